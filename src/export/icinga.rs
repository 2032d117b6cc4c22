//! Icinga 2: services that run koshu here or on agents, and services that take its results through the API.

use crate::export::{Engine, Order, Part, Service};

pub const ENGINE: Engine = Engine {
    name: "icinga2",
    title: "Icinga 2",
    parts: &[
        Part {
            name: "active",
            file: "/etc/icinga2/conf.d/koshu.conf",
            comment: Some("//"),
            write: active,
        },
        Part {
            name: "passive",
            file: "/etc/icinga2/conf.d/koshu-passive.conf",
            comment: Some("//"),
            write: passive,
        },
        Part {
            name: "agent",
            file: "/etc/icinga2/zones.d/master/koshu.conf",
            comment: Some("//"),
            write: agent,
        },
    ],
    set_up: &[
        "Active: koshu export icinga2 active, check it with icinga2 daemon -C, reload.",
        "Agents: koshu export icinga2 agent on the master lets Icinga's own agents run their own lists (command_endpoint); CheckCommand koshu must be known on both sides, so put it into a global zone; the zone of the master is taken to be called master. This is how koshu covers many machines.",
        "Passive: koshu export icinga2 passive writes an API user that may do nothing but report these services, and the services; give the user a password, and run koshu with --to 'icinga2+https://koshu@HOST:5665?ca=/var/lib/icinga2/certs/ca.crt' and KOSHU_ICINGA2_PASSWORD in the environment, or a [[to]] table.",
    ],
    states: "0 to 3 as they are; OK and WARNING of a host check are UP, the others DOWN. What is blocked is UNKNOWN in a passive result.",
    limits: "None known (34 kB were kept). Ranges such as @10:20 are dropped from perfdata by Icinga itself.",
    timeouts: "A CheckCommand has 60 s, and then the service is UNKNOWN; koshu ends after 50 s. With ttl= or the check_interval of the service, Icinga notices that no result came.",
    security: "The API user sees and sets only services of this host whose vars.koshu is true. The certificate of the API is checked: give ca.",
    proof: "Tried with Icinga 2.13.6: active, API, a master with an agent.",
};

/// A string of Icinga's language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A word of a command, in which `$` begins a macro.
fn word(text: &str) -> String {
    quoted(&text.replace('$', "$$"))
}

fn command(order: &Order) -> String {
    let mut words = vec![word(&order.exe), "\"run\"".to_owned()];
    for list in &order.lists {
        words.extend(["\"-c\"".to_owned(), word(list)]);
    }
    // A name may begin as an option does.
    words.push("\"--\"".to_owned());
    format!(
        "object CheckCommand \"koshu\" {{\n  command = [ {} ]\n  arguments = {{\n    \"NAME\" = {{\n      value = \"$koshu_checks$\"\n      skip_key = true\n    }}\n  }}\n  timeout = 55s\n}}\n",
        words.join(", ")
    )
}

fn service(service: &Service, assign: &str, more: &str) -> String {
    let name = quoted(service.name);
    let checks = match service.check {
        Some(check) => format!("  vars.koshu_checks = [ {} ]\n", word(check)),
        None => String::new(),
    };
    format!(
        "apply Service {name} {{\n  check_command = \"koshu\"\n  check_interval = 1m\n  retry_interval = 30s\n  max_check_attempts = 1\n{checks}{more}{}  assign where {assign}\n}}\n",
        quiet(service)
    )
}

/// A member is shown, and its group tells of it.
fn quiet(service: &Service) -> &'static str {
    match service.is_member {
        true => "  enable_notifications = false\n",
        false => "",
    }
}

fn active(order: &Order) -> String {
    let mut text = command(order);
    let assign = format!("host.name == {}", quoted(&order.host));
    for it in order.services() {
        text.push_str(&service(&it, &assign, ""));
    }
    text
}

fn agent(order: &Order) -> String {
    let host = quoted(&order.host);
    let mut text = format!(
        "// The agent and its zone; leave out what is there already.\nobject Endpoint {host} {{\n  host = {host}\n}}\nobject Zone {host} {{\n  endpoints = [ {host} ]\n  parent = \"master\"\n}}\n// The command has to be known to the agent, too.\n"
    );
    text.push_str(&command(order));
    let assign = format!("host.name == {host}");
    let more = format!("  command_endpoint = {host}\n  zone = \"master\"\n");
    for it in order.services() {
        text.push_str(&service(&it, &assign, &more));
    }
    text
}

fn passive(order: &Order) -> String {
    let host = quoted(&order.host);
    let mut text = format!(
        "object ApiUser \"koshu\" {{\n  password = \"CHANGE ME\"\n  permissions = [ {{\n    permission = \"actions/process-check-result\"\n    filter = {{{{ host.name == {host} && service.vars.koshu }}}}\n  }} ]\n}}\nobject CheckCommand \"koshu-stale\" {{\n  command = [ {}, \"check_dummy\", \"3\", \"no result of koshu\" ]\n}}\n",
        word(&order.exe)
    );
    for it in order.passive() {
        text.push_str(&format!(
            "apply Service {} {{\n  // Runs only when no result came for this time.\n  check_command = \"koshu-stale\"\n  check_interval = 15m\n  retry_interval = 15m\n  max_check_attempts = 1\n  vars.koshu = true\n{}  assign where host.name == {host}\n}}\n",
            quoted(it.name),
            quiet(&it)
        ));
    }
    text
}
