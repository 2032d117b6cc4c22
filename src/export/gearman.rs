//! Gearman: a worker that runs koshu for whoever asks.

use crate::export::{Engine, Order, Part};

pub const ENGINE: Engine = Engine {
    name: "gearman",
    title: "Gearman and mod_gearman",
    parts: &[Part {
        name: "worker",
        file: "/usr/local/bin/koshu-worker",
        comment: Some("#"),
        write: worker,
    }],
    set_up: &[
        "mod_gearman runs koshu as every plugin: nothing is to be set up besides koshu export nagios active.",
        "Without Nagios, koshu export gearman writes a worker for the stock client: gearman -h SERVER -f koshu all runs the checks there and prints the answer.",
    ],
    states: "In the text: a job whose program ends with another code than 0 is failed, and its output lost, hence --exit zero.",
    limits: "None known.",
    timeouts: "The client's own (gearman -t).",
    security: "A job server has no access control: whoever reaches it has the checks run. Bind it to an address that only your machines reach.",
    proof: "Tried with gearmand 1.1.20 and its command line worker; mod_gearman was not run.",
};

fn worker(order: &Order) -> String {
    let line = order.all(&["--format", "nagios", "--exit", "zero"]);
    format!("#!/bin/sh\nexec gearman -w -h \"${{1:-127.0.0.1}}\" -f koshu -- {line}\n")
}
