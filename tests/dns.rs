//! `dns`: against a real nsd, and servers that lie or are silent.

use crate::engine::{self, Running, find};
use crate::koshu::{Said, koshu};
use crate::server;
use std::fs;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A real nsd with one zone.
struct Nsd {
    _running: Running,
    _folder: TempDir,
    via: String,
}

fn nsd() -> Option<Nsd> {
    let program = find("nsd")?;
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display().to_string();
    let port = server::free_port();
    let many: String = (0..120)
        .map(|it| format!("many IN A 192.0.2.{it}\n"))
        .collect();
    let zone = format!(
        "$ORIGIN example.jp.\n$TTL 300\n@ IN SOA ns1 root 1 3600 900 604800 300\n@ IN NS ns1\n@ IN MX 10 mx1\n@ IN MX 20 MX2\n@ IN TXT \"v=spf1 \" \"-all\"\n@ IN CAA 0 issue \"letsencrypt.org\"\nns1 IN A 192.0.2.1\nwww IN A 192.0.2.10\nwww IN A 192.0.2.11\nwww IN AAAA 2001:db8::10\nalias IN CNAME www\nonly4 IN A 192.0.2.4\n_sip._tcp IN SRV 10 5 5060 www\n{many}"
    );
    fs::write(folder.path().join("zone"), zone).expect("a file");
    let config = format!(
        "server:\n ip-address: 127.0.0.1\n port: {port}\n zonesdir: \"{at}\"\n database: \"\"\n pidfile: \"{at}/pid\"\n xfrdfile: \"{at}/xfrd\"\n zonelistfile: \"{at}/list\"\n logfile: \"{at}/log\"\n username: \"\"\n chroot: \"\"\nremote-control:\n control-enable: no\nzone:\n name: example.jp\n zonefile: zone\n"
    );
    let file = folder.path().join("nsd.conf");
    fs::write(&file, config).expect("a file");
    let running = engine::start(Command::new(program).args(["-d", "-c"]).arg(&file));
    engine::until_open(port);
    Some(Nsd {
        _running: running,
        _folder: folder,
        via: format!("127.0.0.1:{port}"),
    })
}

impl Nsd {
    fn ask(&self, name: &str, words: &[&str]) -> Said {
        let via = format!("via={}", self.via);
        koshu(&[&["dns", name, &via], words].concat())
    }
}

#[test]
fn a_real_server_is_asked_for_any_type() {
    let Some(nsd) = nsd() else { return };
    let said = nsd.ask("www.example.jp", &["time=1s,3s"]);
    assert!(
        said.is("OK")
            .starts_with("www.example.jp is 192.0.2.10, 192.0.2.11, 2001:db8::10, in "),
        "{}",
        said.out
    );
    said.has("time=0.0").has("servers=1").has("ok=1;;;0;1");
    for (name, record, value) in [
        (
            "example.jp",
            "MX",
            "['10 mx1.example.jp.', '20 mx2.example.jp']",
        ),
        ("example.jp", "TXT", "v=spf1 -all"),
        ("example.jp", "NS", "ns1.example.jp"),
        ("alias.example.jp", "CNAME", "www.example.jp."),
        ("_sip._tcp.example.jp", "SRV", "10 5 5060 www.example.jp"),
        ("alias.example.jp", "A", "['192.0.2.10', '192.0.2.11']"),
    ] {
        nsd.ask(
            name,
            &[&format!("record={record}"), &format!("expect={value}")],
        )
        .is("OK");
    }
    nsd.ask("example.jp", &["record=CAA"])
        .has("letsencrypt.org")
        .is("OK");
    nsd.ask("example.jp", &["record=SOA"]).is("OK");
}

#[test]
fn what_is_not_expected_is_named_with_its_server() {
    let Some(nsd) = nsd() else { return };
    let said = nsd.ask("www.example.jp", &["expect=192.0.2.9"]);
    let text = format!(
        "{} says www.example.jp is 192.0.2.10, 192.0.2.11, expected 192.0.2.9",
        nsd.via
    );
    assert_eq!(said.is("CRITICAL"), text);
    nsd.ask("www.example.jp", &["expect=192.0.2.10", "match=all"])
        .is("OK");
    nsd.ask(
        "www.example.jp",
        &["expect=['192.0.2.10', '192.0.2.99']", "match=any"],
    )
    .is("OK");
    nsd.ask(
        "www.example.jp",
        &["expect=['192.0.2.10', '192.0.2.11', '2001:DB8:0::10']"],
    )
    .is("OK");
    assert!(
        nsd.ask("none.example.jp", &[])
            .is("CRITICAL")
            .contains("none.example.jp does not exist")
    );
    nsd.ask("none.example.jp", &["expect=NXDOMAIN"]).is("OK");
    nsd.ask("www.example.jp", &["expect=NXDOMAIN"])
        .is("CRITICAL");
    assert!(
        nsd.ask("only4.example.jp", &["record=AAAA"])
            .is("CRITICAL")
            .contains("has no AAAA record")
    );
    nsd.ask("only4.example.jp", &["record=AAAA", "expect=NODATA"])
        .is("OK");
    assert!(
        nsd.ask("www.example.com", &[])
            .is("CRITICAL")
            .contains("REFUSED"),
        "another zone"
    );
}

#[test]
fn answers_that_do_not_fit_into_a_datagram_come_over_tcp() {
    let Some(nsd) = nsd() else { return };
    let said = nsd.ask("many.example.jp", &["record=A", "--format", "json"]);
    assert!(
        said.json()["checks"][0]["summary"]
            .as_str()
            .is_some_and(|it| it.matches("192.0.2.").count() == 120)
    );
    nsd.ask("www.example.jp", &["tcp=true"]).is("OK");
}

#[test]
fn several_servers_are_each_asked_and_named() {
    let Some(nsd) = nsd() else { return };
    let dead = server::closed();
    let via = format!("via=['{}', '{dead}']", nsd.via);
    let said = koshu(&["dns", "www.example.jp", &via]);
    assert!(
        said.is("CRITICAL")
            .contains(&format!("{dead} refuses connections")),
        "{}",
        said.out
    );
    said.has(&format!("{}: 192.0.2.10", nsd.via))
        .has("ok=1;;;0;2");
}

#[test]
fn silent_and_lying_servers_are_critical_in_time() {
    let silent = server::datagrams(|_| None);
    let said = koshu(&["dns", "a.example", &format!("via={silent}")]);
    assert!(said.is("CRITICAL").contains("no answer"));
    assert!(
        said.took < Duration::from_millis(5500),
        "three tries and no more: {:?}",
        said.took
    );
    let said = koshu(&[
        "dns",
        "a.example",
        &format!("via={silent}"),
        "timeout=500ms",
    ]);
    assert!(said.is("CRITICAL").contains("no answer in time"));
    let wrong_id = server::datagrams(|question| {
        let mut answer = question.to_vec();
        answer[0] ^= 1;
        answer[2] |= 0x80;
        Some(answer)
    });
    let said = koshu(&[
        "dns",
        "a.example",
        &format!("via={wrong_id}"),
        "timeout=500ms",
    ]);
    assert!(
        said.is("CRITICAL").contains("no answer to this question"),
        "{}",
        said.out
    );
    for rubbish in [vec![], vec![0xff; 3], vec![0xff; 2000]] {
        let server = server::datagrams(move |_| Some(rubbish.clone()));
        koshu(&[
            "dns",
            "a.example",
            &format!("via={server}"),
            "timeout=400ms",
        ])
        .is("CRITICAL");
    }
    // A compression pointer that points to itself (RFC 1035, 4.1.4).
    let loops = server::datagrams(|question| {
        let mut answer = question[..12].to_vec();
        answer[2] |= 0x80;
        answer.extend([0xc0, 12, 0, 1, 0, 1]);
        Some(answer)
    });
    koshu(&["dns", "a.example", &format!("via={loops}"), "timeout=400ms"]).is("CRITICAL");
}

#[test]
fn a_failing_resolver_says_how_it_fails() {
    let failing = server::datagrams(|question| {
        let mut answer = question.to_vec();
        answer[2] |= 0x80;
        answer[3] = (answer[3] & 0xf0) | 2;
        Some(answer)
    });
    let said = koshu(&[
        "dns",
        "a.example",
        &format!("via={failing}"),
        "--format",
        "json",
    ]);
    assert_eq!(said.codes(), ["server-failure"]);
}
