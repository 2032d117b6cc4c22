//! Serf: a query that runs the checks on every member.

use crate::export::{Engine, Order, Part};
use serde_json::json;

pub const ENGINE: Engine = Engine {
    name: "serf",
    title: "Serf",
    parts: &[Part {
        name: "agent",
        file: "/etc/serf/koshu.json",
        comment: None,
        write: agent,
    }],
    set_up: &[
        "Give koshu export serf to each agent (serf agent -config-file) and ask all machines at once: serf query -timeout=5s koshu. One server's answer to serf query -format=json has them all.",
    ],
    states: "In the text, which begins with the state's word. A handler that ends with another code than 0 sends no answer, hence --exit zero.",
    limits: "1024 bytes for each answer; a longer one is dropped. The exported handler prints at most 1000, and counts what it leaves out.",
    timeouts: "An answer that comes after the query's time is dropped; the handler ends after 3 s.",
    security: "Whoever can send a query has the checks run; give the cluster a key (encrypt_key).",
    proof: "Tried with Serf 0.9.4 and two members.",
};

fn agent(order: &Order) -> String {
    let options = [
        "--format",
        "nagios",
        "--exit",
        "zero",
        "--deadline",
        "3s",
        "--max-bytes",
        "1000",
    ];
    let handler = format!("query:koshu={}", order.all(&options));
    format!("{:#}\n", json!({ "event_handlers": [handler] }))
}
