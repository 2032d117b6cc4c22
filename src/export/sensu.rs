//! Sensu Go: check resources.

use crate::export::{Engine, Order, Part};
use serde_json::json;

pub const ENGINE: Engine = Engine {
    name: "sensu",
    title: "Sensu Go",
    parts: &[Part {
        name: "checks",
        file: "for sensuctl create --file",
        comment: None,
        write: checks,
    }],
    set_up: &[
        "Active: koshu export sensu | sensuctl create.",
        "Passive: --to sensu+http://127.0.0.1:3031, the API of the agent on this machine, makes an event for each check; no check need be known before. With ttl= Sensu notices that none came.",
    ],
    states: "0 to 3 as they are. Names have only letters, digits, points, hyphens and underscores: they are the checks' labels.",
    limits: "None known. Of perfdata, Sensu takes no label with a blank.",
    timeouts: "The exported checks have 55 s.",
    security: "The API of the agent listens on loopback and takes everything: whoever is on this machine can send events.",
    proof: "Not run, there is no package of it; tested against a double that is built from its documented API.",
};

fn checks(order: &Order) -> String {
    let checks = order.waking().into_iter().map(|it| {
        let check = json!({
            "type": "CheckConfig",
            "api_version": "core/v2",
            "metadata": { "name": it.label, "namespace": "default" },
            "spec": {
                "command": order.line(&it, &[]),
                "interval": 60,
                "timeout": 55,
                "publish": true,
                "subscriptions": [ "system" ],
                "output_metric_format": "nagios_perfdata",
            },
        });
        format!("{check:#}\n")
    });
    checks.collect()
}
