//! `dns`: against a real nsd, and servers that lie or are silent.

use crate::engine::{self, Running, find};
use crate::koshu::{Said, koshu};
use crate::server;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering;
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
        "$ORIGIN example.jp.\n$TTL 300\n@ IN SOA ns1 root 1 3600 900 604800 300\n@ IN NS ns1\n@ IN MX 10 mx1\n@ IN MX 20 MX2\n@ IN TXT \"v=spf1 \" \"-all\"\n@ IN CAA 0 issue \"letsencrypt.org\"\nns1 IN A 192.0.2.1\nwww IN A 192.0.2.10\nwww IN A 192.0.2.11\nwww IN AAAA 2001:db8::10\nalias IN CNAME www\nonly4 IN A 192.0.2.4\n_sip._tcp IN SRV 10 5 5060 www\n{many}{ODD}"
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

/// What zones have beside addresses.
const ODD: &str = r#"
_443._tcp IN TLSA 3 1 1 ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789
host IN SSHFP 4 2 123456789ABCDEF67890123456789ABCDEF67890123456789ABCDEF123456789
child IN NS ns1
child IN DS 12345 13 2 ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789
web IN HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1 port=8443
web IN SVCB 2 svc.example.net. mandatory=port port=53
old IN DNAME New.Example.net.
caa IN CAA 128 issuewild ";"
place IN LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
uri IN URI 10 1 "https://www.example.jp/Path"
own IN TYPE65280 \# 4 0A000001
under_score IN A 192.0.2.20
0/25 IN NS ns1
7 IN CNAME 7.0/25
a\032b IN A 192.0.2.21
dkim._domainkey IN TXT "v=DKIM1; k=rsa; " "p=MIGf+/A=="
naptr IN NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.jp!" .
null IN MX 0 .
"#;

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
    said.has("time=0.").has("servers=1").has("ok=1;;;0;1");
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
fn values_are_expected_as_a_zone_file_has_them() {
    let Some(nsd) = nsd() else { return };
    let digest = "abcdef01 23456789abcdef0123456789ABCDEF0123456789ABCDEF0123456789";
    let print = "123456789abcdef67890123456789abcdef67890123456789abcdef123456789";
    for (name, record, value) in [
        ("_443._tcp", "TLSA", &*format!("3 1 1 {digest}")),
        ("host", "SSHFP", &format!("4 2 {print}")),
        (
            "child",
            "DS",
            &format!("12345 ECDSAP256SHA256 2 ( {digest} )"),
        ),
        (
            "web",
            "HTTPS",
            r#"1 . port=8443 ipv4hint=192.0.2.1 alpn="h2,h3""#,
        ),
        (
            "web",
            "type65",
            "1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1",
        ),
        ("web", "SVCB", "2 SVC.example.net port=53 mandatory=port"),
        ("old", "DNAME", "new.example.net."),
        ("caa", "CAA", "128 issuewild ;"),
        ("", "CAA", "0 issue letsencrypt.org"),
        ("place", "LOC", "52 22 23 N 4 53 32 E -2m 0 10000 10"),
        ("uri", "URI", "10 1 https://www.example.jp/Path"),
        ("own", "TYPE65280", r"\# 4 0a 00 00 01"),
        ("under_score", "A", "192.0.2.20"),
        ("7", "CNAME", "7.0/25.example.jp."),
        (r"a\032b", "A", "192.0.2.21"),
        ("dkim._domainkey", "TXT", "v=DKIM1; k=rsa; p=MIGf+/A=="),
        (
            "dkim._domainkey",
            "TXT",
            r#""v=DKIM1\; k=rsa; p=" "MIGf+/A==""#,
        ),
        (
            "naptr",
            "NAPTR",
            r#"100 10 "u" E2U+sip "!^.*$!sip:info@example.jp!" ."#,
        ),
        ("null", "MX", "0 ."),
    ] {
        let host = format!("{name}.example.jp");
        let host = host.trim_start_matches('.');
        let words = [
            format!("record={record}"),
            format!("expect={}", toml(value)),
        ];
        let said = nsd.ask(host, &[&words[0], &words[1]]);
        assert_eq!(said.code, 0, "{host} {record}: {}", said.out);
        // Every server of a zone is asked in the same words.
        let (address, port) = nsd.via.split_once(':').expect("a port");
        let of_zone = [format!("servers={address}"), format!("port={port}")];
        let said = koshu(&["dns", host, &of_zone[0], &of_zone[1], &words[0], &words[1]]);
        assert_eq!(said.code, 0, "{host} {record}: {}", said.out);
    }
    for (name, record, value) in [
        ("dkim._domainkey", "TXT", "v=DKIM1; k=rsa; p=migf+/A=="),
        ("uri", "URI", "10 1 https://www.example.jp/path"),
        ("own", "TYPE65280", r"\# 4 0a000002"),
        (
            "web",
            "HTTPS",
            "1 . alpn=h3,h2 port=8443 ipv4hint=192.0.2.1",
        ),
    ] {
        let host = format!("{name}.example.jp");
        let words = [
            format!("record={record}"),
            format!("expect={}", toml(value)),
        ];
        let said = nsd.ask(&host, &[&words[0], &words[1]]);
        assert!(said.is("CRITICAL").contains(", expected "), "{}", said.out);
    }
}

/// A literal string of TOML.
fn toml(text: &str) -> String {
    format!("'{text}'")
}

#[test]
fn values_may_be_told_by_a_part_or_a_regex() {
    let Some(nsd) = nsd() else { return };
    let ask = |expect: &str, fit: &str| {
        let words = [format!("expect={expect}"), format!("match={fit}")];
        nsd.ask(
            "dkim._domainkey.example.jp",
            &["record=TXT", &words[0], &words[1]],
        )
    };
    ask(r"'^v=DKIM1;.*\bp=\S+$'", "regex").is("OK");
    ask("'k=RSA'", "contains").is("OK");
    ask("['k=rsa', 'v=DKIM1']", "contains").is("OK");
    assert!(
        ask("'p=$'", "regex")
            .is("CRITICAL")
            .contains("expected a value like /p=$/")
    );
    assert!(
        ask("['k=rsa', 'k=ed25519']", "contains")
            .is("CRITICAL")
            .contains("expected a value with ")
    );
    nsd.ask("www.example.jp", &["expect=^192", "match=regex"])
        .is("OK");
    assert!(
        ask("'('", "regex")
            .is("UNKNOWN")
            .contains("not a regular expression")
    );
}

#[test]
fn what_no_record_can_be_is_refused_with_what_was_meant() {
    for (words, hint) in [
        (&["expect=nxdomain"][..], "is written NXDOMAIN"),
        (&["expect=NoData"], "is written NODATA"),
        (&["expect=www.example.net"], "record = \"CNAME\""),
        (&["record=MX", "expect=mx1.example.jp"], "written as 10 "),
        (&["record=AXFR"], "is not a record type"),
    ] {
        let said = koshu(&[&["dns", "www.example.jp"], words].concat());
        assert!(
            said.is("UNKNOWN").contains(hint) || said.out.contains(hint),
            "{}",
            said.out
        );
    }
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

/// A datagram as this question's answer: with these flags and response code, and what follows the question.
fn replied(question: &[u8], flags: [u8; 2], counts: [u8; 3], records: &[u8]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|it| *it == 0).unwrap_or(0) + 5;
    let mut answer = question[..end].to_vec();
    answer[2..4].copy_from_slice(&[flags[0] | 0x80, flags[1]]);
    for (at, count) in [7, 9, 11].into_iter().zip(counts) {
        answer[at - 1..=at].copy_from_slice(&[0, count]);
    }
    [&answer, records].concat()
}

/// An A record of the name that was asked for.
fn address(last: u8) -> [u8; 16] {
    [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]
}

/// Whether a question has an OPT record.
fn has_edns(question: &[u8]) -> bool {
    question[11] == 1
}

/// Answers for one address.
fn says(last: u8) -> SocketAddr {
    server::datagrams(move |it| Some(replied(it, [0, 0x80], [1, 0, 0], &address(last))))
}

#[test]
fn resolvers_that_differ_do_not_agree() {
    let (one, same, other) = (says(1), says(1), says(9));
    let ask = |via: &[SocketAddr], more: &[&str]| {
        let via: Vec<String> = via.iter().map(|it| format!("'{it}'")).collect();
        let via = format!("via=[{}]", via.join(", "));
        koshu(&[&["dns", "www.example.jp", "record=A", &via], more].concat())
    };
    let said = ask(&[one, same, other], &[]);
    assert_eq!(
        said.is("WARNING"),
        format!(
            "{other} says www.example.jp is 192.0.2.9, but {one}, {same} say 192.0.2.1; 2 of 3 servers agree"
        )
    );
    said.has("servers=3").has("ok=2;;;0;3");
    assert_eq!(
        ask(&[one, other], &["--format", "json"]).codes(),
        ["answers-differ"]
    );
    ask(&[one, same], &[]).is("OK");
    ask(&[one, same], &[]).has("2 of 2 servers agree");
    // What the list wants may be any of several.
    ask(&[one, other], &["expect=192.0.2.0/24"]).is("OK");
    ask(&[one, other], &["expect=192.0.2.1"]).is("CRITICAL");
    ask(&[one, other], &["grade={answers-differ='ok'}"]).is("OK");
}

#[test]
fn order_case_and_ttl_of_answers_are_no_difference() {
    let of = |first: u8, ttl: u8, kind: u8, data: [&'static [u8]; 2]| {
        server::datagrams(move |it| {
            let record = |data: &[u8]| {
                let head = [0xc0, 12, 0, kind, 0, 1, 0, 0, 0, ttl, 0, data.len() as u8];
                [&head[..], data].concat()
            };
            let [a, b] = [data[first as usize], data[1 - first as usize]].map(record);
            Some(replied(it, [0, 0x80], [2, 0, 0], &[a, b].concat()))
        })
    };
    let (lower, upper): ([&[u8]; 2], [&[u8]; 2]) = (
        [b"\0\x0a\x03mx1\x02jp\0", b"\0\x14\x03mx2\x02jp\0"],
        [b"\0\x0a\x03MX1\x02jp\0", b"\0\x14\x03mx2\x02JP\0"],
    );
    let via = format!(
        "via=['{}', '{}']",
        of(0, 60, 15, lower),
        of(1, 9, 15, upper)
    );
    let said = koshu(&["dns", "example.jp", "record=MX", &via]);
    assert!(
        said.is("OK")
            .starts_with("example.jp is 10 mx1.jp, 20 mx2.jp, in "),
        "{}",
        said.out
    );
}

#[test]
fn every_silent_resolver_is_named() {
    let (one, other) = (server::datagrams(|_| None), server::datagrams(|_| None));
    let via = format!("via=['{one}', '{other}']");
    let said = koshu(&["dns", "a.example", &via, "timeout=400ms"]);
    said.has(&format!("{one}: no answer in time"))
        .has(&format!("{other}: no answer in time"))
        .is("CRITICAL");
}

#[test]
fn records_of_another_owner_are_no_answer() {
    // b.example, and then b.example as the alias of what was asked for.
    let other = b"\x01b\x07example\0\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x02";
    let alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x0b\x01B\x07example\0";
    let ask = |records: Vec<u8>, count: u8| {
        let at = server::datagrams(move |it| Some(replied(it, [0, 0x80], [count, 0, 0], &records)));
        koshu(&["dns", "a.example", &format!("via={at}"), "record=A"])
    };
    assert!(
        ask(other.to_vec(), 1)
            .is("CRITICAL")
            .ends_with("has no A record for a.example, but sends one of b.example")
    );
    let said = ask([&other[..], &address(1)].concat(), 2);
    assert!(said.is("OK").starts_with("a.example is 192.0.2.1, in "));
    said.has("also sends records of b.example, which it was not asked for");
    let said = ask([&other[..], &alias[..]].concat(), 2);
    assert!(said.is("OK").starts_with("a.example is 192.0.2.2, in "));
    // Aliases without end.
    let circle = [
        &b"\x01b\x07example\0\0\x05\0\x01\0\0\0\x3c\0\x02\xc0\x0c"[..],
        &alias[..],
    ];
    ask(circle.concat(), 2).is("CRITICAL");
}

#[test]
fn resolvers_that_choke_on_edns_are_asked_without() {
    for (what, refusal) in [
        ("FORMERR", [0, 1]),
        ("FORMERR, header only", [0, 1]),
        ("NOTIMP", [0, 4]),
        ("BADVERS", [0, 0]),
        ("silence", [0, 0]),
        ("cut", [0, 0]),
    ] {
        let at = server::datagrams(move |question| {
            if !has_edns(question) {
                return Some(replied(question, [0, 0x80], [1, 0, 0], &address(1)));
            }
            match what {
                "silence" => None,
                "FORMERR, header only" => {
                    let mut answer = replied(question, refusal, [0, 0, 0], &[]);
                    answer.truncate(12);
                    answer[5] = 0;
                    Some(answer)
                }
                // The upper bits of the code are in the OPT record (RFC 6891, section 6.1.3).
                "BADVERS" => Some(replied(
                    question,
                    [0, 0],
                    [0, 0, 1],
                    &[0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0],
                )),
                "cut" => {
                    let mut answer = replied(question, [0, 0x80], [1, 0, 0], &address(1));
                    answer.truncate(answer.len() - 3);
                    Some(answer)
                }
                _ => Some(replied(question, refusal, [0, 0, 0], &[])),
            }
        });
        let said = koshu(&["dns", "a.example", &format!("via={at}"), "timeout=3s"]);
        assert!(
            said.is("OK").starts_with("a.example is 192.0.2.1, in "),
            "{what}: {}",
            said.out
        );
        said.has(&format!("note: {at} answers only without EDNS"));
    }
    // What it says to everything has nothing to do with EDNS.
    let at = server::datagrams(|it| Some(replied(it, [0, 1], [0, 0, 0], &[])));
    let said = koshu(&["dns", "a.example", &format!("via={at}")]);
    assert!(
        said.is("CRITICAL")
            .contains("answers FORMERR for a.example A")
    );
    assert!(!said.out.contains("EDNS"), "{}", said.out);
}

#[test]
fn a_resolver_on_a_bad_line_can_edns() {
    // The first two of each name's questions with EDNS are lost.
    let lost = std::sync::atomic::AtomicUsize::new(0);
    let at = server::datagrams(move |it| {
        let is_lost = has_edns(it) && lost.fetch_add(1, Ordering::SeqCst) < 2;
        (!is_lost).then(|| replied(it, [0, 0x80], [1, 0, 0], &address(1)))
    });
    let said = koshu(&[
        "dns",
        "a.example",
        &format!("via={at}"),
        "record=A",
        "timeout=3s",
    ]);
    said.is("OK");
    assert!(!said.out.contains("EDNS"), "{}", said.out);
}

/// Datagrams and connections at one port; `over_tcp` answers what came over a connection.
fn both(
    over_udp: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static,
    over_tcp: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + Clone + 'static,
) -> SocketAddr {
    let at = server::serve(move |mut stream| {
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_ok() {
            let mut question = vec![0; u16::from_be_bytes(length).into()];
            let _ = stream.read_exact(&mut question);
            let answer = over_tcp(&question);
            if answer.is_empty() {
                return;
            }
            let length = (answer.len() as u16).to_be_bytes();
            let _ = stream.write_all(&[&length, &answer[..]].concat());
        }
    });
    server::datagrams_at(at, over_udp);
    at
}

#[test]
fn an_answer_that_was_cut_comes_over_tcp_wherever_it_ends() {
    for end in [12, 20, 36, 41, 50] {
        let at = both(
            move |it| {
                let two = [address(1), address(2)].concat();
                let mut answer = replied(it, [2, 0x80], [2, 0, 0], &two);
                answer.truncate(end);
                Some(answer)
            },
            |it| replied(it, [0, 0x80], [2, 0, 0], &[address(1), address(2)].concat()),
        );
        let said = koshu(&["dns", "a.example", &format!("via={at}"), "record=A"]);
        assert!(
            said.is("OK")
                .starts_with("a.example is 192.0.2.1, 192.0.2.2, in "),
            "{end}: {}",
            said.out
        );
    }
}

#[test]
fn what_is_not_answered_is_told_with_its_reason() {
    // Cut, and nothing listens for connections.
    let at = server::datagrams(|it| Some(replied(it, [2, 0x80], [0, 0, 0], &[])));
    let said = koshu(&["dns", "a.example", &format!("via={at}"), "record=A"]);
    assert!(
        said.is("CRITICAL")
            .ends_with("refuses connections, and its answer does not fit into a datagram"),
        "{}",
        said.out
    );
    // Questions for AAAA are dropped.
    let at = server::datagrams(|it| {
        let kind = it[12..]
            .iter()
            .position(|it| *it == 0)
            .map(|end| it[12 + end + 2]);
        (kind == Some(1)).then(|| replied(it, [0, 0x80], [1, 0, 0], &address(1)))
    });
    let said = koshu(&["dns", "a.example", &format!("via={at}"), "timeout=400ms"]);
    assert!(
        said.is("CRITICAL")
            .contains("no answer in time, asked for a.example AAAA"),
        "{}",
        said.out
    );
}

#[test]
fn a_resolver_without_edns_is_asked_so_over_tcp_too() {
    let at = both(
        |it| Some(replied(it, [2, 0x80], [0, 0, 0], &[])),
        |it| match (has_edns(it), it[13]) {
            (true, b'a') => replied(it, [0, 1], [0, 0, 0], &[]),
            // The connection ends.
            (true, _) => Vec::new(),
            (false, _) => replied(it, [0, 0x80], [1, 0, 0], &address(1)),
        },
    );
    for (name, more) in [("a", &[][..]), ("a", &["tcp=true"]), ("b", &["tcp=true"])] {
        let (name, via) = (format!("{name}.example"), format!("via={at}"));
        let said = koshu(&[&["dns", &name, &via, "record=A"], more].concat());
        said.is("OK");
        said.has("answers only without EDNS");
    }
}

#[test]
fn one_malformed_additional_record_does_not_hide_the_answer() {
    let bad = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 3, 192, 0, 2];
    let at = server::datagrams(move |it| {
        let records = [&address(1)[..], &bad].concat();
        Some(replied(it, [0, 0x80], [1, 0, 1], &records))
    });
    let said = koshu(&["dns", "a.example", &format!("via={at}"), "record=A"]);
    said.is("OK");
    // In the answer itself it is told.
    let at = server::datagrams(move |it| {
        let records = [&address(1)[..], &bad].concat();
        Some(replied(it, [0, 0x80], [2, 0, 0], &records))
    });
    let said = koshu(&[
        "dns",
        "a.example",
        &format!("via={at}"),
        "record=A",
        "timeout=1s",
    ]);
    assert!(
        said.is("CRITICAL")
            .contains("its answer has a malformed A record"),
        "{}",
        said.out
    );
}

#[test]
fn a_soa_record_beside_the_answer_is_no_harm() {
    let soa = b"\x07example\0\0\x06\0\x01\0\0\0\x3c\0\x18\x01a\0\x01b\0\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01";
    let mut soa = soa.to_vec();
    // Its data are two names of three bytes and five numbers.
    soa[18] = 26;
    let at = server::datagrams(move |it| {
        Some(replied(
            it,
            [0, 0x80],
            [1, 1, 0],
            &[&address(1)[..], &soa].concat(),
        ))
    });
    let said = koshu(&[
        "dns",
        "a.example",
        &format!("via={at}"),
        "record=A",
        "timeout=1s",
    ]);
    assert!(
        said.is("OK").starts_with("a.example is 192.0.2.1, in "),
        "{}",
        said.out
    );
}

#[test]
fn a_slow_resolver_is_waited_for_and_its_time_is_its_own() {
    // As 2.2 s and 4.5 s are to the eight seconds of the default.
    for (slow, timeout) in [(550, "timeout=2s"), (1125, "timeout=2s")] {
        let at = server::slow_datagrams(Duration::from_millis(slow), |it| {
            Some(replied(it, [0, 0x80], [1, 0, 0], &address(1)))
        });
        let said = koshu(&[
            "dns",
            "a.example",
            &format!("via={at}"),
            timeout,
            "--format",
            "json",
        ]);
        assert_eq!(said.json()["state"], 0, "{}", said.out);
        let time = said.json()["checks"][0]["perf"]["time"]["value"].as_f64();
        let slow = slow as f64 / 1000.0;
        assert!(
            time.is_some_and(|it| (slow..slow + 0.8).contains(&it)),
            "{}",
            said.out
        );
    }
}

#[test]
fn a_slow_server_of_a_zone_is_waited_for_too() {
    let soa = b"\xc0\x0c\0\x06\0\x01\0\0\0\x3c\0\x1a\x01a\0\x01b\0\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\x09\0\0\0\x01";
    let ns = b"\xc0\x0c\0\x02\0\x01\0\0\0\x3c\0\x03\x01n\0";
    let at = server::slow_datagrams(Duration::from_millis(1000), move |it| {
        let end = 12 + it[12..].iter().position(|it| *it == 0)?;
        Some(match it[end + 2] {
            1 => replied(it, [4, 0], [1, 0, 0], &address(1)),
            2 => replied(it, [4, 0], [1, 0, 0], ns),
            6 => replied(it, [4, 0], [1, 0, 0], soa),
            _ => replied(it, [4, 0], [0, 0, 0], &[]),
        })
    });
    let said = koshu(&[
        "dns",
        "example",
        "servers=127.0.0.1",
        &format!("port={}", at.port()),
        "timeout=5s",
        "grade={tcp='ok'}",
    ]);
    assert!(
        said.is("OK").starts_with("example is 192.0.2.1, at 1 of 1"),
        "{}",
        said.out
    );
}

#[test]
fn the_time_of_a_second_try_is_not_that_of_the_first() {
    let lost = std::sync::atomic::AtomicUsize::new(0);
    let at = server::datagrams(move |it| {
        let is_lost = lost.fetch_add(1, Ordering::SeqCst) == 0;
        (!is_lost).then(|| replied(it, [0, 0x80], [1, 0, 0], &address(1)))
    });
    let words = [
        "dns",
        "a.example",
        &format!("via={at}"),
        "record=A",
        "time=700ms,2s",
    ];
    let said = koshu(&words);
    said.is("OK");
    assert!(said.took >= Duration::from_millis(800), "{:?}", said.took);
}

#[test]
fn silent_and_lying_servers_are_critical_in_time() {
    let silent = server::datagrams(|_| None);
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
