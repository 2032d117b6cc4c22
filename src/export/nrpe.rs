//! NRPE: a command for each service, and the services of the Nagios that asks.

use crate::export::nagios::manners;
use crate::export::{Engine, Order, Part};
use crate::format::passive::nagios_name;

pub const ENGINE: Engine = Engine {
    name: "nrpe",
    title: "NRPE",
    parts: &[
        Part {
            name: "commands",
            file: "/etc/nagios/nrpe.d/koshu.cfg",
            comment: Some("#"),
            write: commands,
        },
        Part {
            name: "services",
            file: "/etc/nagios4/conf.d/koshu-nrpe.cfg",
            comment: Some("#"),
            write: services,
        },
    ],
    set_up: &[
        "On the machine that is watched: koshu export nrpe commands, reload NRPE. On the Nagios: koshu export nrpe services.",
        "There is a command for each service and none with arguments, which Debian's NRPE refuses in any case.",
    ],
    states: "0 to 3 as they are.",
    limits: "NRPE 4 carries 64 kB, version 2 of its protocol (check_nrpe -2) 1023 bytes; koshu's first line with perfdata is never longer.",
    timeouts: "check_nrpe waits 10 s, and then says UNKNOWN; the exported commands end after 9 s.",
    security: "Without certificates, NRPE's TLS proves nothing: allowed_hosts is only a filter of addresses. Commands run as the user of NRPE; what needs root is UNKNOWN, and says so.",
    proof: "Tried with NRPE 4.1.0 over TLS, by check_nrpe and by a Nagios.",
};

fn commands(order: &Order) -> String {
    let commands = order.services().into_iter().map(|it| {
        // NRPE takes $ARG1$ and its like out of a command.
        let line = order.line(&it, &["--deadline", "9s"]).replace('$', "$$");
        format!("command[{}]={line}\n", it.command())
    });
    commands.collect()
}

fn services(order: &Order) -> String {
    let services = order.services().into_iter().map(|it| {
        format!(
            "define service {{\n    use                  generic-service\n    host_name            {}\n    service_description  {}\n    check_command        check_nrpe!{}\n{}}}\n",
            order.host,
            nagios_name(it.name),
            it.command(),
            manners(order, &it)
        )
    });
    services.collect()
}
