//! A real nsd with one zone, inside a namespace.

use crate::engine::{self, Running, find};
use crate::namespace::Namespace;
use std::fs;

/// Serves a zone at an address, on port 53; nothing where nsd is missing.
pub fn serve(own: &Namespace, address: &str, zone: &str, lines: &str) -> Option<Running> {
    let program = find("nsd")?;
    let at = own
        .path()
        .join(format!("nsd-{}", address.replace(':', "-")));
    fs::create_dir_all(&at).expect("a folder");
    let at = at.display().to_string();
    let file = format!("{at}/nsd.conf");
    fs::write(format!("{at}/zone"), lines).expect("a file");
    let config = format!(
        "server:\n ip-address: {address}\n zonesdir: {at}\n database: \"\"\n pidfile: {at}/pid\n xfrdfile: {at}/xfrd\n zonelistfile: {at}/list\n logfile: {at}/log\n username: \"\"\n chroot: \"\"\n server-count: 1\nremote-control:\n control-enable: no\nzone:\n name: {zone}\n zonefile: zone\n"
    );
    fs::write(&file, config).expect("a file");
    let running = engine::start(own.command(&program).args(["-d", "-c", &file]));
    engine::until("nsd", || {
        let via = format!("via={address}");
        own.koshu(&["dns", zone, &via, "record=SOA", "timeout=1s"])
            .code
            == 0
    });
    Some(running)
}

/// A start of authority with timers that make sense, and a server "ns" of the zone.
pub fn apex(zone: &str, address: &str) -> String {
    format!(
        "$ORIGIN {zone}\n$TTL 60\n@ IN SOA ns x 1 3600 900 1209600 60\n@ IN NS ns\nns IN A {address}\n"
    )
}
