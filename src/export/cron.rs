//! cron: mail when something has changed.

use crate::export::{Engine, Order, Part};

pub const ENGINE: Engine = Engine {
    name: "cron",
    title: "cron",
    parts: &[Part {
        name: "cron",
        file: "/etc/cron.d/koshu",
        comment: Some("#"),
        write: cron,
    }],
    set_up: &[
        "koshu export cron. cron mails what is printed: with --print change only news, with --print problem whenever something is wrong.",
    ],
    states: "In the text. The exit code is not looked at.",
    limits: "None.",
    timeouts: "None; koshu ends after 50 s.",
    security: "As root no list may be written by others; koshu refuses one that is, where it starts programs.",
    proof: "The line is run by a shell in the tests; cron was not.",
};

fn cron(order: &Order) -> String {
    let line = order.cron(&["--print", "change", "--format", "human"]);
    format!("MAILTO=root\n*/5 * * * * root {line}\n")
}
