//! NSCA, NSCA-ng and NRDP: results for a Nagios on another machine.

use crate::export::{Engine, Order, Part};

pub const ENGINE: Engine = Engine {
    name: "nsca",
    title: "NSCA, NSCA-ng and NRDP",
    parts: &[Part {
        name: "cron",
        file: "/etc/cron.d/koshu-nsca",
        comment: Some("#"),
        write: cron,
    }],
    set_up: &[
        "koshu run --format nsca --host NAME | send_nsca -H NAGIOS sends all results at once, with NSCA's own client, or that of NSCA-ng. koshu export nsca writes the cron job, koshu export nagios passive the services.",
        "NRDP needs no client: --to nrdp+https://NAGIOS/nrdp/ with KOSHU_NRDP_TOKEN in the environment. It tells how many results it has processed, and koshu checks that.",
    ],
    states: "0 to 3 as they are.",
    limits: "4095 bytes of text for each result (NSCA before 2.9: 511); what does not fit is counted. NSCA-ng and NRDP carry more.",
    timeouts: "NSCA drops what is older than max_packet_age (30 s), and never says so. NSCA-ng and NRDP answer.",
    security: "NSCA does not answer: a wrong password looks like success. Prefer NSCA-ng or NRDP over https.",
    proof: "Tried with NSCA 2.10.2 and NSCA-ng 1.6 and Nagios 4.4.6; NRDP only against a double that is built from its documentation.",
};

fn cron(order: &Order) -> String {
    let line = order.cron(&["--format", "nsca", "--host", &order.host]);
    format!("*/5 * * * * root {line} | /usr/sbin/send_nsca -H nagios.example >/dev/null\n")
}
