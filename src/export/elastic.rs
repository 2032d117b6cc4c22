//! Elasticsearch, OpenSearch and Cloud Logging: a document for each result.

use crate::export::{Engine, Order, Part};

pub const ENGINE: Engine = Engine {
    name: "elastic",
    title: "Elasticsearch, OpenSearch, Filebeat, Cloud Logging",
    parts: &[
        Part {
            name: "cron",
            file: "/etc/cron.d/koshu-elastic",
            comment: Some("#"),
            write: cron,
        },
        Part {
            name: "filebeat",
            file: "/etc/filebeat/inputs.d/koshu.yml",
            comment: Some("#"),
            write: filebeat,
        },
    ],
    set_up: &[
        "Direct: --to elastic-bulk+https://HOST:9200/logs-koshu-default with KOSHU_ELASTIC_BULK_TOKEN (an API key) or a user in the URL and KOSHU_ELASTIC_BULK_PASSWORD.",
        "By a file: koshu run --format jsonl >> /var/log/koshu.json, read by Filebeat (koshu export elastic filebeat) or by an agent of Cloud Logging.",
    ],
    states: "event.outcome is success, failure (WARNING and CRITICAL) or unknown; log.level and severity are info, warning, error, notice; koshu.state is 0 to 3.",
    limits: "64 kB of details. Metrics are a list, so that no index gets a field for each check.",
    timeouts: "Delivery has 5 s, or timeout=.",
    security: "The API key needs create_doc for one index and nothing else.",
    proof: "Not run; tested against a double that is built from the documented bulk API.",
};

fn cron(order: &Order) -> String {
    let line = order.cron(&["--format", "jsonl"]);
    format!("*/5 * * * * root {line} >> /var/log/koshu.json\n")
}

fn filebeat(_: &Order) -> String {
    "- type: filestream\n  id: koshu\n  paths: [ /var/log/koshu.json ]\n  parsers:\n    - ndjson:\n        target: \"\"\n        overwrite_keys: true\n".to_owned()
}
