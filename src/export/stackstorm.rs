//! StackStorm: an action that runs the checks, and a rule for what changes.

use crate::export::{Engine, Order, Part};

pub const ENGINE: Engine = Engine {
    name: "stackstorm",
    title: "StackStorm",
    parts: &[
        Part {
            name: "action",
            file: "/opt/stackstorm/packs/koshu/actions/run.yaml",
            comment: Some("#"),
            write: action,
        },
        Part {
            name: "rule",
            file: "/opt/stackstorm/packs/koshu/rules/critical.yaml",
            comment: Some("#"),
            write: rule,
        },
    ],
    set_up: &[
        "--to stackstorm+https://HOST with KOSHU_STACKSTORM_TOKEN (an API key) sends each change of state as the trigger nagios.service_state_change with the keys of the nagios pack, so that its rules fire. Install that pack: the trigger must be known.",
        "koshu export stackstorm action runs the checks from a workflow and gives it the JSON document.",
    ],
    states: "state is the word, state_id 0 to 3, state_type always HARD: koshu has confirmed by itself.",
    limits: "64 kB of text.",
    timeouts: "Delivery has 5 s, or timeout=; the action 60 s.",
    security: "An API key, sent as St2-Api-Key; give ca where the certificate is your own.",
    proof: "Not run; tested against a double that is built from what the nagios pack sends.",
};

fn action(order: &Order) -> String {
    let line = order.all(&["--format", "json"]).replace('\'', "''");
    format!(
        "name: run\npack: koshu\ndescription: Run the checks of this machine\nrunner_type: local-shell-cmd\nenabled: true\nentry_point: ''\nparameters:\n  cmd:\n    immutable: true\n    default: '{line}'\n"
    )
}

fn rule(_: &Order) -> String {
    "name: critical\npack: koshu\ndescription: What to do when a check becomes CRITICAL\nenabled: true\ntrigger:\n  type: nagios.service_state_change\ncriteria:\n  trigger.state:\n    type: eq\n    pattern: CRITICAL\naction:\n  ref: core.local\n  parameters:\n    cmd: 'logger -t koshu \"{{ trigger.host }} {{ trigger.service }}\"'\n".to_owned()
}
