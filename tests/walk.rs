//! `dns`: a private world of real Knot, BIND, NSD and Unbound servers with faults, walked from its own root.

use crate::engine::{self, find};
use crate::koshu::Said;
use crate::namespace::{Namespace, namespace};
use crate::nsd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// The lab in a namespace of its own; its servers end with it.
struct World {
    own: Namespace,
    run: PathBuf,
}

fn world() -> Option<World> {
    for program in [
        "nsd",
        "knotd",
        "named",
        "unbound",
        "dnssec-signzone",
        "python3",
        "dig",
    ] {
        find(program)?;
    }
    let own = namespace(&[], "127.0.0.1 localhost\n", &["127.0.0.71"])?;
    let run = own.path().join("lab");
    let world = World { own, run };
    let started = world.lab(&["start"]).output().expect("bash");
    assert!(
        started.status.success(),
        "{}{}",
        String::from_utf8_lossy(&started.stdout),
        String::from_utf8_lossy(&started.stderr)
    );
    Some(world)
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.lab(&["stop"]).output();
    }
}

impl World {
    fn lab(&self, words: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dns-lab/lab.sh");
        let mut command = self.own.command(Path::new("/usr/bin/env"));
        command
            .arg(format!("LAB_DIR={}", self.run.display()))
            .args(["LAB_PORT=53", "bash"])
            .arg(script)
            .args(words)
            .stdin(std::process::Stdio::null());
        command
    }

    #[track_caller]
    fn ask(&self, words: &[&str]) -> Said {
        let file = |name: &str| self.run.join(name).display().to_string();
        let hints = format!("root_hints={}", file("root.hints"));
        let anchor = format!("trust_anchor={}", file("trust-anchor.ds"));
        self.own
            .koshu(&[&["dns"], words, &[&hints, &anchor]].concat())
    }

    #[track_caller]
    fn codes(&self, words: &[&str]) -> (u64, Vec<String>, Said) {
        let said = self.ask(&[words, &["--format", "json"]].concat());
        let document = said.json();
        let findings = document["checks"][0]["findings"].as_array().cloned();
        let worse = findings
            .unwrap_or_default()
            .into_iter()
            .filter(|it| it["state"] != 0);
        let mut codes: Vec<String> = worse
            .map(|it| it["code"].as_str().unwrap_or_default().to_owned())
            .collect();
        codes.sort();
        (document["state"].as_u64().unwrap_or(9), codes, said)
    }
}

#[test]
fn every_fault_of_the_lab_is_seen_and_no_other() {
    let Some(world) = world() else { return };
    let table = include_str!("dns-lab/expect.tab");
    let rows: Vec<&str> = table.lines().filter(|it| !it.starts_with('#')).collect();
    assert!(rows.len() > 35);
    let wrong: Vec<String> = thread::scope(|scope| {
        let asked: Vec<_> = rows
            .iter()
            .map(|row| {
                let world = &world;
                scope.spawn(move || {
                    let mut words = row.split_whitespace();
                    let name = words.next().expect("a name");
                    let state = words.next().expect("a state");
                    let codes: Vec<&str> = words.collect();
                    let (got, found, said) = world.codes(&[name, "time=300ms,3s", "timeout=15s"]);
                    let got = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][got as usize];
                    (got != state || found != codes)
                        .then(|| format!("{row}: {got} {found:?}\n{}", said.out))
                })
            })
            .collect();
        asked
            .into_iter()
            .filter_map(|it| it.join().expect("a verdict"))
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn servers_that_choke_on_edns_are_asked_without_and_it_is_noted() {
    let Some(world) = world() else { return };
    for zone in ["formerr", "header", "badvers", "cutopt", "dropopt"] {
        let (_, codes, said) = world.codes(&[&format!("www.{zone}.lab")]);
        let notes = said.json()["checks"][0]["findings"].to_string();
        assert!(notes.contains("no-edns"), "{zone}: {}", said.out);
        assert!(
            codes.iter().all(|it| it == "single-ns"),
            "{zone}: {}",
            said.out
        );
        assert!(
            said.took < Duration::from_secs(8),
            "{zone}: {:?}",
            said.took
        );
    }
    // What is lost on the way is no habit.
    let said = world.ask(&["www.flaky.lab"]);
    assert!(!said.out.contains("EDNS"), "{}", said.out);
    // A resolver that has to get past them has its own ways.
    let said = world
        .own
        .koshu(&["dns", "www.formerr.lab", "via=127.0.0.78", "record=A"]);
    assert!(
        said.is("OK")
            .starts_with("www.formerr.lab is 192.0.2.10, in "),
        "{}",
        said.out
    );
    said.has("note: 127.0.0.78 answers only without EDNS");
}

#[test]
fn healthy_zones_give_no_false_alarm_run_after_run() {
    let Some(world) = world() else { return };
    let check = |name: &str| {
        let file = |name: &str| world.run.join(name).display().to_string();
        format!(
            "[[check]]\nname = '{name}'\ntype = 'dns'\nhost = '{name}'\nroot_hints = '{}'\ntrust_anchor = '{}'\n",
            file("root.hints"),
            file("trust-anchor.ds")
        )
    };
    let again = |names: &[&str], runs: usize| {
        let list: String = names.iter().map(|it| check(it)).collect();
        let lists = crate::koshu::Lists::new(&list);
        for _ in 0..runs {
            world.own.koshu(&["run", "-c", &lists.file()]).is("OK");
        }
    };
    again(
        &[
            "www.good.lab",
            "web.outside.lab",
            "www.cached.lab",
            "api.good.lab",
            "www.xfr.lab",
        ],
        200,
    );
    // Every second question to one of its servers is lost, so that each run takes a second or two.
    again(&["www.flaky.lab"], 15);
}

#[test]
fn a_removed_delegation_is_seen_while_resolvers_still_answer() {
    let Some(world) = world() else { return };
    let resolver = ["www.cached.lab", "record=A"];
    let via = |words: &[&str]| {
        world
            .own
            .koshu(&[&["dns"], words, &["via=127.0.0.71"]].concat())
    };
    via(&resolver).is("OK");
    world.ask(&resolver).is("OK");
    assert!(
        world
            .lab(&["break", "cached"])
            .status()
            .expect("bash")
            .success()
    );
    via(&resolver).is("OK");
    let said = world.ask(&resolver);
    let line = said.is("CRITICAL");
    assert!(
        line.starts_with("www.cached.lab is not delegated: "),
        "{line}"
    );
    // This system's resolver is the one that still remembers, so the line says what that could mean.
    assert!(
        line.contains("this system's resolver says 192.0.2.10"),
        "{line}"
    );
    assert!(
        line.contains("`servers`") && line.contains("`from`"),
        "{line}"
    );
    let said = world.ask(&["www.cached.lab", "record=A", "resolvers=127.0.0.71"]);
    said.is("CRITICAL");
}

#[test]
fn secondaries_that_lose_their_primary_are_noticed_before_they_give_up() {
    let Some(world) = world() else { return };
    let zone = ["zone=xfr.lab", "timeout=20s"];
    world.ask(&zone).is("OK");
    assert!(
        world
            .lab(&["break", "knot-ns1"])
            .status()
            .expect("bash")
            .success()
    );
    let mut seen = None;
    for _ in 0..60 {
        thread::sleep(Duration::from_secs(1));
        let (_, codes, said) = world.codes(&zone);
        assert!(
            !codes.contains(&"no-server".to_owned()),
            "too late: {}",
            said.out
        );
        if codes.contains(&"zone-expires".to_owned()) {
            seen = Some(said);
            break;
        }
    }
    let said = seen.expect("noticed");
    assert!(
        said.out.contains("has not heard of its primary for") || said.out.contains("expires in"),
        "{}",
        said.out
    );
}

#[test]
fn resolvers_are_compared_with_the_truth() {
    let Some(world) = world() else { return };
    let ask = |name: &str, resolver: &str| {
        world.codes(&[
            name,
            &format!("resolvers={resolver}"),
            "hijack=true",
            "record=A",
        ])
    };
    assert_eq!(ask("www.good.lab", "127.0.0.70").1, Vec::<String>::new());
    assert_eq!(ask("www.good.lab", "127.0.0.71").1, Vec::<String>::new());
    assert_eq!(ask("www.good.lab", "127.0.0.69").1, ["hijack"]);
    let (state, codes, _) = ask("www.good.lab", "127.0.0.65");
    assert_eq!((state, codes.join(" ").as_str()), (2, "resolver-fails"));
    // nsd answers without recursion what it has: an old zone, with the TTL of that zone.
    let (_, codes, said) = ask("www.good.lab", "127.0.0.68");
    assert_eq!(codes, Vec::<String>::new(), "{}", said.out);
    let (state, codes, said) = ask("www.split.lab", "127.0.0.63");
    assert_eq!(
        (state, codes.join(" ").as_str()),
        (2, "answers-differ"),
        "{}",
        said.out
    );
    said.has("127.0.0.63 has old data for at most 5 min");
    // Asked as resolvers, without a walk.
    let via = |name: &str, servers: &str| {
        world
            .own
            .koshu(&["dns", name, &format!("via={servers}"), "record=A"])
    };
    let said = via("www.good.lab", "['127.0.0.70', '127.0.0.71', '127.0.0.69']");
    assert!(
        said.is("OK").ends_with(", 3 of 3 servers agree"),
        "{}",
        said.out
    );
    let said = via(
        "www.split.lab",
        "['127.0.0.61', '127.0.0.62', '127.0.0.63']",
    );
    let line = said.is("WARNING");
    assert!(
        line.starts_with("127.0.0.63 says www.split.lab is ")
            && line.ends_with("; 2 of 3 servers agree"),
        "{line}"
    );
}

#[test]
fn expectations_hold_at_every_server() {
    let Some(world) = world() else { return };
    let said = world.ask(&["www.stale.lab", "expect=192.0.2.10"]);
    let line = said.is("CRITICAL");
    assert!(
        line.starts_with("ns3.good.lab (127.0.0.63) serves 192.0.2.9 for www.stale.lab, expected 192.0.2.10; 2 of 3 addresses agree"),
        "{line}"
    );
    said.has(" serials=2").has(" behind=1").has(" ok=2;;;0;3");
    world
        .ask(&["www.good.lab", "expect=['192.0.2.0/24', '2001:db8::/32']"])
        .is("OK");
    world
        .ask(&["www.good.lab", "expect=192.0.2.10", "match=any"])
        .is("OK");
    world
        .ask(&["good.lab", "record=MX", "expect=10 mx.good.lab."])
        .is("OK");
    world
        .ask(&["api.good.lab", "record=CNAME", "expect=web.outside.lab."])
        .is("OK");
    world.ask(&["api.good.lab", "expect=192.0.2.20"]).is("OK");
    world
        .ask(&["api.good.lab", "expect=192.0.2.21"])
        .is("CRITICAL");
    world.ask(&["nosuch.good.lab", "expect=NXDOMAIN"]).is("OK");
    // Delegation signers are the parent's.
    let said = world.ask(&["good.lab", "record=DS", "match=regex", "expect=' 13 2 '"]);
    assert!(
        said.is("OK").contains("at 2 of 2 addresses"),
        "{}",
        said.out
    );
    world
        .ask(&["nods.lab", "record=DS", "expect=NODATA"])
        .is("OK");
    world.ask(&["www.gone.lab", "expect=NXDOMAIN"]).is("OK");
    world
        .ask(&[
            "www.stale.lab",
            "record=MX",
            "expect=NODATA",
            "grade={serial='ok'}",
        ])
        .is("OK");
    let said = world.ask(&["www.good.lab", "expect=NXDOMAIN"]);
    assert!(
        said.is("CRITICAL")
            .starts_with("every server of good.lab serves 192.0.2.10"),
        "{}",
        said.out
    );
}

#[test]
fn zones_have_pins_limits_and_beginnings_of_their_own() {
    let Some(world) = world() else { return };
    let codes = |words: &[&str]| world.codes(words).1.join(" ");
    assert_eq!(codes(&["zone=good.lab"]), "");
    assert_eq!(codes(&["zone=www.good.lab"]), "not-delegated");
    assert_eq!(
        codes(&[
            "zone=good.lab",
            "ns=['ns1.good.lab', 'ns2.good.lab', 'ns3.good.lab']"
        ]),
        ""
    );
    assert_eq!(
        codes(&["zone=good.lab", "ns=['ns1.good.lab', 'ns2.good.lab']"]),
        "ns-pinned"
    );
    assert_eq!(codes(&["zone=nods.lab", "ds='absent'"]), "");
    let (state, found, _) = world.codes(&["zone=nods.lab", "ds='required'"]);
    assert_eq!((state, found.join(" ").as_str()), (2, "no-ds"));
    assert_eq!(codes(&["zone=good.lab", "rrsig=20d,1d"]), "rrsig-left");
    assert_eq!(codes(&["zone=good.lab", "expire=20d,1d"]), "zone-expires");
    assert_eq!(
        codes(&["zone=good.lab", "negative_ttl=1m,"]),
        "negative-ttl"
    );
    assert_eq!(
        codes(&["www.ttl.lab", "ttl=1m:1d,", "grade={soa-timers='ok'}"]),
        "ttl"
    );
    assert_eq!(codes(&["zone=good.lab", "parents=all"]), "");
    let only = |words: &[&str]| world.own.koshu(&[&["dns"], words].concat());
    let said = only(&["www.stale.lab", "servers=['127.0.0.61', '127.0.0.62']"]);
    assert!(
        said.is("OK").contains("at 2 of 2 addresses"),
        "{}",
        said.out
    );
    only(&["www.stale.lab", "servers=['127.0.0.61', '127.0.0.63']"]).is("CRITICAL");
    only(&["www.good.lab", "from=['127.0.0.55', '127.0.0.56']"]).is("OK");
    assert!(
        only(&["www.good.lab", "from='127.0.0.66'", "timeout=3s"])
            .is("UNKNOWN")
            .contains("none of `from` answers")
    );
    world
        .ask(&["www.good.lab", "perfdata=each"])
        .has(" time_ns1.good.lab_127.0.0.61=");
    // Without any root this machine cannot look, which is no fault of the zone.
    let said = only(&["www.good.lab"]);
    assert!(
        said.is("UNKNOWN").starts_with("no root server answers ("),
        "{}",
        said.out
    );
}

#[test]
fn caa_must_allow_the_issuer_that_the_list_names() {
    let Some(world) = world() else { return };
    let codes = |words: &[&str]| world.codes(words).1.join(" ");
    assert_eq!(codes(&["www.caa.lab", "issuer=letsencrypt.org"]), "");
    assert_eq!(codes(&["www.caa.lab", "issuer=pki.goog"]), "caa");
    assert_eq!(codes(&["locked.caa.lab", "issuer=letsencrypt.org"]), "caa");
    assert_eq!(codes(&["www.good.lab", "issuer=anybody.example"]), "");
}

#[test]
fn a_machine_without_ipv6_says_whom_it_did_not_ask() {
    let Some(world) = world() else { return };
    world.ask(&["www.v6dead.lab"]).is("WARNING");
    let ip = find("ip").expect("ip");
    let gone = world
        .own
        .command(&ip)
        .args(["-6", "addr", "flush", "dev", "lo"])
        .status();
    assert!(gone.expect("ip").success());
    let said = world.ask(&["www.v6dead.lab"]);
    said.is("OK");
    said.has("(::1) was not asked: no route from here");
}

#[test]
fn what_this_machine_lacks_is_unknown_and_no_fault_of_the_zone() {
    let Some(world) = world() else { return };
    let hints = format!("root_hints={}", world.run.join("root.hints").display());
    let words = ["dns", "www.good.lab", &hints, "--format", "json"];
    // From too few files for any question to enough for some of them.
    for most in 4..12 {
        let said = world.own.koshu_with_files(most, &words);
        let state = said.json()["state"].as_u64();
        assert!(matches!(state, Some(0 | 3)), "{most}: {}", said.out);
    }
    let ip = find("ip").expect("ip");
    let gone = world
        .own
        .command(&ip)
        .args(["addr", "flush", "dev", "lo"])
        .status();
    assert!(gone.expect("ip").success());
    let said = world.own.koshu(&["dns", "www.good.lab", &hints]);
    assert!(
        said.is("UNKNOWN").contains("no route from here"),
        "{}",
        said.out
    );
}

#[test]
fn three_dual_stack_servers_cost_at_most_48_questions() {
    let v4 = ["127.0.0.3", "127.0.0.4", "127.0.0.5"];
    let v6 = ["fd53::3", "fd53::4", "fd53::5"];
    let mut own_addresses = vec!["198.41.0.4/32".to_owned()];
    own_addresses.extend(v6.iter().map(|it| format!("{it}/128")));
    let own_addresses: Vec<&str> = own_addresses.iter().map(String::as_str).collect();
    let Some(own) = namespace(&own_addresses, "", &["127.0.0.7"]) else {
        return;
    };
    let root = "$TTL 60\n. IN SOA a.root-servers.net. x. 1 3600 900 1209600 60\n. IN NS a.root-servers.net.\na.root-servers.net. IN A 198.41.0.4\nlab. IN NS ns.lab.\nns.lab. IN A 127.0.0.2\n";
    let Some(_root) = nsd::serve(&own, "198.41.0.4", ".", root) else {
        return;
    };
    let servers = |apex: &str, below: &str| -> String {
        let one = |it: usize| {
            let name = format!("n{it}{below}");
            format!(
                "{apex} IN NS {name}\n{name} IN A {}\n{name} IN AAAA {}\n",
                v4[it], v6[it]
            )
        };
        (0..3).map(one).collect()
    };
    let delegation = servers("two", ".two");
    let _lab = nsd::serve(
        &own,
        "127.0.0.2",
        "lab",
        &(nsd::apex("lab.", "127.0.0.2") + &delegation),
    );
    let zone = format!(
        "$ORIGIN two.lab.\n$TTL 60\n@ IN SOA n0 x 1 3600 900 1209600 60\n{}www IN A 192.0.2.1\nwww IN AAAA 2001:db8::1\n",
        servers("@", "")
    );
    let _zones: Vec<_> = v4
        .iter()
        .chain(&v6)
        .map(|it| nsd::serve(&own, it, "two.lab", &zone))
        .collect();
    let said = own.koshu(&["dns", "www.two.lab", "grade={chain='ok'}"]);
    said.is("OK");
    said.has(" servers=6;;;0 ok=6;;;0;6");
    let queries = said
        .first()
        .split("queries=")
        .nth(1)
        .and_then(|it| it.split(';').next()?.parse::<u32>().ok());
    assert!(queries.is_some_and(|it| it <= 48), "{}", said.first());
}

#[test]
fn keys_above_the_zone_must_lead_to_the_roots() {
    let Some(world) = world() else { return };
    let anchor = world.run.join("other.ds");
    let text = std::fs::read_to_string(world.run.join("trust-anchor.ds")).expect("an anchor");
    let end = text.trim_end().len() - 4;
    std::fs::write(&anchor, format!("{}0000\n", &text.trim_end()[..end])).expect("a file");
    let hints = format!("root_hints={}", world.run.join("root.hints").display());
    let said = world.own.koshu(&[
        "dns",
        "www.good.lab",
        &hints,
        &format!("trust_anchor={}", anchor.display()),
    ]);
    assert!(
        said.is("CRITICAL")
            .contains("good.lab cannot be validated: the keys of . are not those"),
        "{}",
        said.out
    );
    world
        .own
        .koshu(&["dns", "www.good.lab", &hints, "grade={chain='ok'}"])
        .is("OK");
}

#[test]
fn a_zone_costs_few_questions_and_a_dead_server_its_own_retries() {
    let Some(world) = world() else { return };
    let said = world.ask(&["www.good.lab"]);
    let queries = |said: &Said| {
        said.first()
            .split("queries=")
            .nth(1)
            .and_then(|it| it.split(';').next()?.parse::<u32>().ok())
    };
    // Three servers on one address each; three dual-stack ones would be 15 more.
    assert!(
        queries(&said).is_some_and(|it| it + 15 <= 48),
        "{}",
        said.first()
    );
    let said = world.ask(&["www.dead.lab", "timeout=20s"]);
    said.is("WARNING");
    assert!(said.took < Duration::from_millis(7500), "{:?}", said.took);
}

#[test]
fn a_terminal_shows_the_walk_as_a_table() {
    let Some(world) = world() else { return };
    let said = world.ask(&["www.stale.lab", "--format", "human"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(
        lines
            .iter()
            .any(|it| it.starts_with("zone ") && it.contains("RRSIG")),
        "{}",
        said.out
    );
    for begin in [".  ", "lab  ", "stale.lab  ns3.good.lab"] {
        assert!(
            lines.iter().any(|it| it.starts_with(begin)),
            "{begin}: {}",
            said.out
        );
    }
}

#[test]
fn pages_and_certificates_can_resolve_past_all_caches() {
    // The address of a.root-servers.net, on which a root of our own answers.
    let Some(own) = namespace(&["198.41.0.4/32"], "", &["127.0.0.1"]) else {
        return;
    };
    let root = "$TTL 60\n. IN SOA a.root-servers.net. x. 1 3600 900 1209600 60\n. IN NS a.root-servers.net.\na.root-servers.net. IN A 198.41.0.4\nlab. IN NS ns.lab.\nns.lab. IN A 127.0.0.2\n";
    let Some(_root) = nsd::serve(&own, "198.41.0.4", ".", root) else {
        return;
    };
    let lab = nsd::apex("lab.", "127.0.0.2") + "web IN CNAME www\nwww IN A 127.0.0.1\n";
    let _lab = nsd::serve(&own, "127.0.0.2", "lab", &lab);
    let python = find("python3").expect("python3");
    let folder = own.path().join("www");
    std::fs::create_dir(&folder).expect("a folder");
    let _web = engine::start(own.command(&python).args([
        "-m",
        "http.server",
        "-b",
        "127.0.0.1",
        "-d",
        &folder.display().to_string(),
        "8000",
    ]));
    engine::until("a web server", || {
        own.koshu(&["tcp", "127.0.0.1:8000"]).code == 0
    });
    own.koshu(&["http", "http://web.lab:8000/", "resolve=authoritative"])
        .is("OK");
    let said = own.koshu(&["http", "http://web.lab:8000/"]);
    assert_ne!(said.code, 0, "no resolver listens: {}", said.out);
    let said = own.koshu(&["http", "http://gone.lab:8000/", "resolve=authoritative"]);
    assert!(
        said.is("CRITICAL")
            .contains("gone.lab has no address: it does not exist"),
        "{}",
        said.out
    );
    let said = own.koshu(&["cert", "web.lab:8000", "resolve=authoritative"]);
    assert_eq!(said.is("CRITICAL"), "127.0.0.1:8000 does not speak TLS");
    // The same root is what a dns check walks from.
    own.koshu(&["dns", "web.lab", "grade={single-ns='ok'}"])
        .is("OK");
}
