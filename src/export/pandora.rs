//! Pandora FMS: a plugin line for its agent.

use crate::export::{Engine, Order, Part};

pub const ENGINE: Engine = Engine {
    name: "pandora",
    title: "Pandora FMS",
    parts: &[Part {
        name: "agent",
        file: "/etc/pandora/pandora_agent.conf, at its end",
        comment: Some("#"),
        write: agent,
    }],
    set_up: &[
        "Append the output of koshu export pandora to pandora_agent.conf and restart the agent: every check becomes a module koshu NAME, every metric a module koshu NAME | LABEL, which no check can be called.",
    ],
    states: "The value of a module is 0 to 3: 1 is WARNING, 2 and 3 are CRITICAL by the module's limits; the text tells UNKNOWN from CRITICAL.",
    limits: "4 kB of text for each module, what does not fit is counted.",
    timeouts: "module_timeout; a module that is late is missing. koshu ends after 50 s.",
    security: "The agent runs koshu as its own user. It drops the whole output when the exit code is not 0, hence the exit policy of this format is zero.",
    proof: "Tried with the agent 4.1 in its local mode; the server was not run.",
};

fn agent(order: &Order) -> String {
    let line = order.all(&["--format", "pandora"]);
    format!("module_plugin {line}\n")
}
