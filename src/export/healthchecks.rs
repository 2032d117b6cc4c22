//! healthchecks.io and its like: somebody outside notices that koshu itself has stopped.

use crate::export::{Engine, Order, Part};

pub const ENGINE: Engine = Engine {
    name: "healthchecks",
    title: "healthchecks.io and other dead man's switches",
    parts: &[Part {
        name: "cron",
        file: "/etc/cron.d/koshu-healthchecks",
        comment: Some("#"),
        write: cron,
    }],
    set_up: &[
        "--to healthchecks+https://hc-ping.com with the check's UUID in KOSHU_HEALTHCHECKS_TOKEN tells when a run begins, and how it ended. Who watches the watcher: when nothing comes, they call you.",
    ],
    states: "The exit code of the run, 0 is success: with --exit fail-on=critical WARNING and UNKNOWN are, too.",
    limits: "10 kB of text, what does not fit is counted.",
    timeouts: "Delivery has 5 s, or timeout=. A run that began and did not end is told as such by the service.",
    security: "The UUID is all that is needed to report: keep it out of command lines.",
    proof: "Not run; tested against a double that is built from its documented API.",
};

fn cron(order: &Order) -> String {
    let line = order.cron(&["--to", "healthchecks+https://hc-ping.com"]);
    format!("KOSHU_HEALTHCHECKS_TOKEN=CHANGE-ME\n*/5 * * * * root {line} >/dev/null\n")
}
