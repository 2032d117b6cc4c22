//! systemd: a timer instead of cron.

use crate::export::{Engine, Order, Part};

pub const ENGINE: Engine = Engine {
    name: "systemd",
    title: "systemd timers",
    parts: &[
        Part {
            name: "service",
            file: "/etc/systemd/system/koshu.service",
            comment: Some("#"),
            write: service,
        },
        Part {
            name: "timer",
            file: "/etc/systemd/system/koshu.timer",
            comment: Some("#"),
            write: timer,
        },
    ],
    set_up: &[
        "koshu export systemd service and timer, then systemctl enable --now koshu.timer. journalctl -u koshu shows the answers; add --to for whoever should have them.",
    ],
    states: "WARNING is a success of the unit, CRITICAL and UNKNOWN a failure: systemctl --failed shows it.",
    limits: "None.",
    timeouts: "TimeoutStartSec is 60 s; koshu ends after 50 s.",
    security: "The unit runs as root, because checks of certificates and processes of others need it; User= makes it less, and what it cannot see then is UNKNOWN.",
    proof: "Verified with systemd-analyze verify of systemd 252.",
};

fn service(order: &Order) -> String {
    // systemd fills in % and $ by itself.
    let words = order.words(&order.services()[0], &["--format", "nagios"]);
    let words: Vec<String> = words
        .iter()
        .map(|it| {
            let it = it.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{}\"", it.replace('%', "%%").replace('$', "$$"))
        })
        .collect();
    format!(
        "[Unit]\nDescription=Run the checks of koshu\nAfter=network.target\n\n[Service]\nType=oneshot\nExecStart={}\nSuccessExitStatus=1\nTimeoutStartSec=60\nStateDirectory=koshu\n",
        words.join(" ")
    )
}

fn timer(_: &Order) -> String {
    "[Unit]\nDescription=Run the checks of koshu every minute\n\n[Timer]\nOnCalendar=minutely\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n".to_owned()
}
