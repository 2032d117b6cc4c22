//! Prometheus: a file for the textfile collector of node_exporter.

use crate::export::{Engine, Order, Part};

pub const ENGINE: Engine = Engine {
    name: "prometheus",
    title: "Prometheus: node_exporter and pushgateway",
    parts: &[
        Part {
            name: "cron",
            file: "/etc/cron.d/koshu-prometheus",
            comment: Some("#"),
            write: cron,
        },
        Part {
            name: "rules",
            file: "/etc/prometheus/rules/koshu.yml",
            comment: Some("#"),
            write: rules,
        },
    ],
    set_up: &[
        "koshu export prometheus cron writes the file for node_exporter (--collector.textfile.directory), replaced at once; koshu export prometheus rules alerts.",
        "Pushgateway: --to pushgateway+http://HOST:9091. Google's Ops Agent, Metricbeat and Zabbix read the same format.",
    ],
    states: "koshu_check_state is 0 to 3, koshu_check_blocked 1 while a check says nothing because of another; koshu_run_state is the one state that should wake somebody.",
    limits: "Texts are not carried, only numbers: koshu_perfdata{check,label,unit}.",
    timeouts: "A file that is not written any more keeps its values for ever: alert on the age of koshu_run_timestamp_seconds, as the exported rules do.",
    security: "The file can be read by all.",
    proof: "Tried with node_exporter 1.5 and pushgateway 1.5.",
};

fn cron(order: &Order) -> String {
    let to = "file:/var/lib/prometheus/node-exporter/koshu.prom?format=prometheus";
    format!(
        "*/1 * * * * root {} >/dev/null\n",
        order.cron(&["--to", to])
    )
}

fn rules(_: &Order) -> String {
    "groups:\n  - name: koshu\n    rules:\n      - alert: KoshuState\n        expr: koshu_run_state >= 2\n        annotations:\n          summary: koshu on {{ $labels.instance }} reports a problem\n      - alert: KoshuStale\n        expr: time() - koshu_run_timestamp_seconds > 600\n        annotations:\n          summary: koshu on {{ $labels.instance }} has not run for 10 minutes\n".to_owned()
}
