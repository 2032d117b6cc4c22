//! Docker: a health check for an image.

use crate::export::{Engine, Order, Part};
use serde_json::Value;

pub const ENGINE: Engine = Engine {
    name: "docker",
    title: "Docker and Kubernetes",
    parts: &[Part {
        name: "dockerfile",
        file: "Dockerfile, at its end",
        comment: Some("#"),
        write: dockerfile,
    }],
    set_up: &[
        "Copy the static binary and a list into the image; koshu export docker writes the lines. In Kubernetes the same command is an exec probe.",
    ],
    states: "Docker knows only healthy (0) and unhealthy: with --exit fail-on=critical WARNING and UNKNOWN are healthy, and CRITICAL is not.",
    limits: "4 kB of text are kept.",
    timeouts: "A health check has 30 s unless --timeout says otherwise, as the exported one does (55 s).",
    security: "Runs as the user of the container.",
    proof: "Not run in these tests (the daemon needs privileges); the exit codes are.",
};

fn dockerfile(order: &Order) -> String {
    let mut words = vec!["/koshu", "run"];
    match &order.lists[..] {
        [] => words.extend(["-c", "/etc/koshu"]),
        lists => words.extend(lists.iter().flat_map(|it| ["-c", it])),
    }
    words.extend(["--exit", "fail-on=critical"]);
    let mut services = order.services().into_iter();
    let retries = match services.any(|it| order.alarms_once(&it)) {
        true => 1,
        false => 3,
    };
    format!(
        "COPY koshu /koshu\nHEALTHCHECK --interval=60s --timeout=55s --retries={retries} CMD {}\n",
        Value::from(words)
    )
}
