//! Xymon and Big Brother: an extension of the client.

use crate::export::{Engine, Order, Part};

pub const ENGINE: Engine = Engine {
    name: "xymon",
    title: "Xymon and Big Brother",
    parts: &[
        Part {
            name: "launch",
            file: "/etc/xymon/clientlaunch.d/koshu.cfg",
            comment: Some("#"),
            write: launch,
        },
        Part {
            name: "script",
            file: "/usr/lib/xymon/client/ext/koshu.sh",
            comment: Some("#"),
            write: script,
        },
    ],
    set_up: &[
        "koshu export xymon launch and script, and make the script executable: each check becomes a test of this host, koshu the summary.",
        "Without a client: --format xymon --to tcp://SERVER, with &host= where Xymon calls this machine otherwise, and &ttl=2h where koshu runs less often than every half hour.",
        "Graphs: the metrics are lines NAME : VALUE; add the tests to TEST2RRD as ncv.",
    ],
    states: "OK green, WARNING yellow, CRITICAL red, UNKNOWN clear. A test that gets no result for half an hour turns purple.",
    limits: "64 kB for each test, what does not fit is counted. Test names are the checks' labels, with _ for a point.",
    timeouts: "None; koshu ends after 50 s.",
    security: "Xymon takes every status from every address unless --status-senders says otherwise. Texts are escaped, because it shows them as HTML.",
    proof: "Tried with Xymon 4.3.30: its client's launcher, its own sender, and TCP.",
};

fn launch(_: &Order) -> String {
    "[koshu]\n    ENVFILE $XYMONCLIENTHOME/etc/xymonclient.cfg\n    CMD $XYMONCLIENTHOME/ext/koshu.sh\n    LOGFILE $XYMONCLIENTLOGS/koshu.log\n    INTERVAL 5m\n".to_owned()
}

fn script(order: &Order) -> String {
    let line = order.all(&["--format", "xymon"]);
    format!(
        "#!/bin/sh\n{line} --host \"${{MACHINEDOTS:-$(uname -n)}}\" | \"$XYMON\" \"$XYMSRV\" @\n"
    )
}
