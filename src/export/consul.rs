//! Consul: script checks that run koshu, and TTL checks that it reports to.

use crate::export::{Engine, Order, Part};
use serde_json::{Value, json};

pub const ENGINE: Engine = Engine {
    name: "consul",
    title: "Consul",
    parts: &[
        Part {
            name: "script",
            file: "/etc/consul.d/koshu.json",
            comment: None,
            write: script,
        },
        Part {
            name: "ttl",
            file: "/etc/consul.d/koshu-ttl.json",
            comment: None,
            write: ttl,
        },
    ],
    set_up: &[
        "Script checks: koshu export consul script, with enable_local_script_checks (never enable_script_checks, which lets the API run programs).",
        "TTL checks: koshu export consul ttl registers them, and --to consul-ttl+http://127.0.0.1:8500 reports to them, with KOSHU_CONSUL_TTL_TOKEN where there are access lists.",
    ],
    states: "OK passing, WARNING warning, CRITICAL and UNKNOWN critical: Consul knows no UNKNOWN, the text does.",
    limits: "4 kB of text, what does not fit is counted.",
    timeouts: "30 s for scripts unless timeout says otherwise, as the exported ones do (55 s); a TTL check without a result for 5 minutes becomes critical.",
    security: "The token needs node:write for this node, and nothing else.",
    proof: "Not run, there is no package of it; tested against a double that is built from its documented API.",
};

fn script(order: &Order) -> String {
    let checks: Vec<Value> = order
        .waking()
        .iter()
        .map(|it| {
            json!({
                "id": it.name,
                "name": it.name,
                "args": order.words(it, &[]),
                "interval": "60s",
                "timeout": "55s",
            })
        })
        .collect();
    format!("{:#}\n", json!({ "checks": checks }))
}

fn ttl(order: &Order) -> String {
    let of = |name: &str| json!({ "id": name, "name": name, "ttl": "5m" });
    let checks: Vec<Value> = order.passive().iter().map(|it| of(it.name)).collect();
    format!("{:#}\n", json!({ "checks": checks }))
}
