//! Nagios: commands and services that run koshu, and services that take its results.

use crate::export::{Engine, Order, Part, Service};
use crate::format::passive::nagios_name;

pub const ENGINE: Engine = Engine {
    name: "nagios",
    title: "Nagios (and Naemon, Shinken)",
    parts: &[
        Part {
            name: "active",
            file: "/etc/nagios4/conf.d/koshu.cfg",
            comment: Some("#"),
            write: active,
        },
        Part {
            name: "passive",
            file: "/etc/nagios4/conf.d/koshu-passive.cfg",
            comment: Some("#"),
            write: passive,
        },
    ],
    set_up: &[
        "Active: put the output of koshu export nagios active into the configuration, check it with nagios4 -v, reload. One service runs the whole list; --each makes one for each check and group; members of groups are shown and notify nobody, their group does.",
        "Passive: cron runs koshu with --to nagios:/var/lib/nagios4/spool/checkresults (check_result_path, the better way: no size limit, nothing is lost) or --to nagios:/var/lib/nagios4/rw/nagios.cmd (command_file). koshu export nagios passive writes the services; when nothing comes for 15 minutes they become UNKNOWN.",
    ],
    states: "0 to 3 as they are. Of a host check, OK and WARNING are UP, CRITICAL and UNKNOWN are DOWN. What is blocked is UNKNOWN in a passive result.",
    limits: "None in practice (20 kB on the first line were kept); of the pipe 4096 bytes for each result, what does not fit is counted. In names, a backtick and the characters ~!$%^&*|'\"<>?,()=; become _, because Nagios refuses them; in the first line it writes : for ;.",
    timeouts: "service_check_timeout is 60 s, and then the service is CRITICAL; koshu ends after 50 s and names what is late.",
    security: "The spool belongs to the user nagios; koshu as root gives its files to whoever owns the folder. Nobody else should be able to write there: whoever can sets every state.",
    proof: "Tried with Nagios 4.4.6: active, spool, pipe, freshness.",
};

/// What says that nothing came; the command of a check begins with `koshu_`.
const STALE: &str = "koshu-stale";

fn active(order: &Order) -> String {
    let mut text = String::new();
    for service in order.services() {
        let name = service.command();
        text.push_str(&format!(
            "define command {{\n    command_name  {name}\n    command_line  {}\n}}\n",
            in_config(&order.line(&service, &[]))
        ));
        text.push_str(&format!(
            "define service {{\n    use                  generic-service\n    host_name            {}\n    service_description  {}\n    check_command        {name}\n{}}}\n",
            order.host,
            nagios_name(service.name),
            manners(order, &service)
        ));
    }
    text
}

/// What an active service has besides: Nagios is to believe it at once, where the next look would find nothing any
/// more, and a member wakes nobody.
pub fn manners(order: &Order, service: &Service) -> String {
    let attempts = match order.alarms_once(service) {
        true => "    max_check_attempts   1\n",
        false => "",
    };
    attempts.to_owned() + quiet(service)
}

fn passive(order: &Order) -> String {
    let mut text = format!(
        "define command {{\n    command_name  {STALE}\n    command_line  {} check_dummy 3 \"no result of koshu for 15 min\"\n}}\n",
        in_config(&order.exe)
    );
    for service in order.passive() {
        text.push_str(&format!(
            "define service {{\n    use                     generic-service\n    host_name               {}\n    service_description     {}\n    active_checks_enabled   0\n    passive_checks_enabled  1\n    max_check_attempts      1\n    check_freshness         1\n    freshness_threshold     900\n    check_command           {STALE}\n{}}}\n",
            order.host,
            nagios_name(service.name),
            quiet(&service)
        ));
    }
    text
}

/// A member is shown, and its group tells of it.
fn quiet(service: &Service) -> &'static str {
    match service.is_member {
        true => "    notifications_enabled  0\n",
        false => "",
    }
}

/// A command line as Nagios reads it: `$` begins a macro and `;` a comment.
fn in_config(line: &str) -> String {
    line.replace('$', "$$").replace(';', "\\;")
}
