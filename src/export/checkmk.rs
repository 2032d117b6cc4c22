//! Checkmk: a local check, or lines for MRPE.

use crate::export::{Engine, Order, Part};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

pub const ENGINE: Engine = Engine {
    name: "checkmk",
    title: "Checkmk",
    parts: &[
        Part {
            name: "local",
            file: "/usr/lib/check_mk_agent/local/300/koshu",
            comment: Some("#"),
            write: local,
        },
        Part {
            name: "mrpe",
            file: "/etc/check_mk/mrpe.cfg",
            comment: Some("#"),
            write: mrpe,
        },
    ],
    set_up: &[
        "Local check: put the script of koshu export checkmk local into a folder of the agent whose name is the number of seconds between runs, and make it executable: one process gives a service for each check.",
        "MRPE: koshu export checkmk mrpe, with --each one service for each check.",
    ],
    states: "0 to 3 as they are. Limits of metrics only where they are an upper one or a lower and an upper one.",
    limits: "16 kB for each service, what does not fit is counted. Quotation marks in names become '.",
    timeouts: "The agent's whole answer has 60 s; in a folder with a number, or with interval=, koshu runs apart from it and its last answer is told.",
    security: "The agent runs as root, and so does koshu: then no list may be written by others.",
    proof: "Not run, there is no package of it; written and tested by the documented grammar of its agent.",
};

fn local(order: &Order) -> String {
    format!("#!/bin/sh\nexec {}\n", order.all(&["--format", "checkmk"]))
}

fn mrpe(order: &Order) -> String {
    let lines = order.waking().into_iter().map(|it| {
        let name = utf8_percent_encode(it.name, NON_ALPHANUMERIC);
        format!("{name} (interval=300) {}\n", order.line(&it, &[]))
    });
    lines.collect()
}
