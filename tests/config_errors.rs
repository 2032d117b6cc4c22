//! Every mistake in a list is refused with its place and the nearest valid word.

use crate::koshu::{Lists, koshu};
use std::time::{Duration, Instant};

/// The list, where its mistake stands, and what is said about it.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "[[check]]\ntype = 'http'\nurll = 'http://h/'\n",
        ":3:1",
        "did you mean `url`?",
    ),
    (
        "[[check]]\ntype = 'htpp'\nurl = 'http://h/'\n",
        ":2:8",
        "did you mean `http`?",
    ),
    (
        "[[check]]\nurl = 'http://h/'\n",
        ":1:1",
        "missing key `type`",
    ),
    ("[[check]]\ntype = 'http'\n", ":1:1", "missing key `url`"),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\ntimeout = '5 parsecs'\n",
        ":4:11",
        "expected one such as \"500ms\"",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\ntimeout = 10\n",
        ":4:11",
        "a duration such as",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\ntime = '20s:10s,'\n",
        ":4:8",
        "starts above its end",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\ntime = { warn = '1s', crit = 'x' }\n",
        ":4:30",
        "is not a duration",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\ntime = '1s'\n",
        ":4:8",
        "write \"1s,\" for the warning",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\nbody = 'a('\n",
        ":4:8",
        "unclosed group",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\nexpect = 'x'\n",
        ":4:1",
        "`expect` belongs to type",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'h'\n",
        ":3:7",
        "write http://h",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\nstatus = []\n",
        ":4:10",
        "an empty list",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\nstatus = [700, '2xx', 'x']\n",
        ":4:23",
        "is not a status",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\nlate = 'warn'\n",
        ":4:8",
        "expected a state",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\ngrade = { exspired = 'ok' }\n",
        ":4:11",
        "did you mean `expired`?",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\ngrade = { late = 'ok' }\n",
        ":4:11",
        "late = \"warning\"",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\nretry = { times = 0 }\n",
        ":4:19",
        "from 1 to 10",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\ntags = []\n",
        ":4:8",
        "selects nothing",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\nneeds = ['x']\n",
        ":4:9",
        "no check or group is called `x`",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\nlabel = 'a b'\n",
        ":4:9",
        "a label has only",
    ),
    (
        "[[check]]\ntype = 'disk'\nused = '20,10'\n",
        ":3:8",
        "has no unit",
    ),
    (
        "[[check]]\ntype = 'process'\nmatch = 'x'\ncount = '1,2'\n",
        ":4:9",
        "which way is bad",
    ),
    (
        "[[check]]\ntype = 'tcp'\nhost = 'h'\n",
        ":3:8",
        "has no port",
    ),
    (
        "[[check]]\ntype = 'tcp'\nhost = 'h:1'\nport = 70000\n",
        ":4:8",
        "70000",
    ),
    (
        "[[check]]\ntype = 'cert'\nport = 1\n",
        ":2:8",
        "needs `host` or `file`",
    ),
    (
        "[[check]]\ntype = 'dns'\nhost = 'a'\nvia = 'nowhere'\n",
        ":4:7",
        "is not a server",
    ),
    (
        "[[check]]\ntype = 'dns'\nhost = 'a'\nvia = 'system'\nrecord = 'AB'\n",
        ":5:10",
        "is not a record type",
    ),
    ("[[chek]]\ntype = 'http'\n", ":1:3", "did you mean `check`?"),
    (
        "[check]\ntype = 'http'\n",
        ":1:2",
        "[[check]] with two brackets",
    ),
    (
        "[[grup]]\nname = 'x'\n",
        ":1:3",
        "unknown table or key `grup`",
    ),
    (
        "[defaults]\ntimeuot = '1s'\n[[check]]\ntype = 'disk'\n",
        ":2:1",
        "did you mean `timeout`?",
    ),
    (
        "[defaults]\nname = 'x'\n[[check]]\ntype = 'disk'\n",
        ":2:1",
        "belongs to one check",
    ),
    (
        "[[check]]\ntype = 'disk'\n[[check]]\ntype = 'disk'\n",
        ":3:1",
        "another check is called `disk` already",
    ),
    (
        "[[check]]\nname = 'a b'\ntype = 'disk'\n[[check]]\nname = 'a_b'\ntype = 'disk'\n",
        ":5:8",
        "becomes `a_b` in perfdata",
    ),
    (
        "[[check]]\nname = ''\ntype = 'disk'\n",
        ":2:8",
        "cannot be empty",
    ),
    ("[[check]]\ntype = 'http\n", ":2:", "invalid"),
    (
        "a = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
        ":1:",
        "checks.toml",
    ),
    (
        "[[check]]\ntype = 'http'\nurl = 'http://h/'\nurl = 'http://i/'\n",
        ":4:1",
        "duplicate key",
    ),
];

#[test]
fn every_mistake_names_its_place_and_what_was_meant() {
    for (list, place, meant) in MISTAKES {
        let lists = Lists::new(list);
        let said = lists.run(&[]);
        let first = said.is("UNKNOWN");
        assert!(
            first.contains(&format!("checks.toml{place}")),
            "{place}: {}",
            said.out
        );
        assert!(said.out.contains(meant), "{meant}: {}", said.out);
        assert!(said.out.contains('^'), "underlined: {}", said.out);
        let validated = koshu(&["validate", "-c", &lists.file()]);
        assert_eq!(validated.out, said.out, "validate says the same");
    }
}

#[test]
fn several_mistakes_are_told_together() {
    let said = Lists::new(
        "[[check]]\ntype = 'http'\nurl = 'x'\ntimeout = 'y'\nlate = 'z'\nbodyy = ''\n[[check]]\ntype = 'tpc'\n",
    )
    .run(&[]);
    said.is("UNKNOWN");
    for place in [":3:7", ":4:11", ":5:8", ":6:1", ":8:8"] {
        said.has(&format!("checks.toml{place}"));
    }
    said.has("4 more mistakes");
}

#[test]
fn a_misspelt_required_key_is_one_mistake() {
    let said = Lists::new("[[check]]\ntype = 'http'\nurll = 'http://h/'\n").run(&[]);
    assert!(!said.out.contains("missing key"), "{}", said.out);
}

#[test]
fn a_list_that_checks_nothing_is_unknown() {
    Lists::new("")
        .run(&[])
        .has("nothing would be checked")
        .is("UNKNOWN");
    Lists::new("[defaults]\ntimeout = '1s'\n")
        .run(&[])
        .is("UNKNOWN");
    let empty = tempfile::tempdir().expect("a folder");
    let path = empty.path().display().to_string();
    koshu(&["run", "-c", &path])
        .has("no *.toml file")
        .is("UNKNOWN");
    koshu(&["run", "-c", "/no/such/list"])
        .has("cannot be read")
        .is("UNKNOWN");
}

#[test]
fn bytes_that_are_not_utf8_have_a_place() {
    let lists = Lists::new("");
    lists.add("checks.toml", b"[[check]]\ntype = 'disk'\nname = '\xff'\n");
    lists
        .run(&[])
        .has("checks.toml:3:9: is not UTF-8")
        .is("UNKNOWN");
}

#[test]
fn columns_count_characters() {
    let said = Lists::new("[[check]]\ntype = 'disk'\naction = '再起動' \t# 古酒\nx = 1\n[[check]]\nname = '古', type = 1\n").run(&[]);
    said.is("UNKNOWN");
    said.has("checks.toml:6:11");
}

#[test]
fn all_files_of_a_directory_are_one_list() {
    let lists = Lists::new(
        "[defaults]\ntimeout = '1s'\n[[check]]\nname = 'a'\ntype = 'disk'\nused = '99%,100%'\n",
    );
    lists.add(
        "more.toml",
        b"[[check]]\nname = 'b'\ntype = 'disk'\nused = '99%,100%'\n",
    );
    lists.add("notes.txt", b"not a list");
    let path = lists.path().display().to_string();
    let listed = koshu(&["list", "-c", &path]).out;
    assert!(listed.contains("a     disk  1 s"), "{listed}");
    assert!(
        listed.contains("b     disk  8 s"),
        "[defaults] are those of their own file: {listed}"
    );
    lists.add("third.toml", b"[[check]]\nname = 'a'\ntype = 'disk'\n");
    koshu(&["run", "-c", &path])
        .has("third.toml:2:8: another check is called `a` already")
        .is("UNKNOWN");
}

#[test]
fn a_configuration_error_is_a_document_under_json() {
    let said = Lists::new("[[check]]\ntype = 'x'\n").run(&["--format", "json"]);
    assert_eq!(said.code, 3);
    let document = said.json();
    assert_eq!(document["state"], 3);
    assert!(
        document["error"]
            .as_str()
            .is_some_and(|it| it.contains("unknown check type"))
    );
}

#[test]
fn ad_hoc_mistakes_name_the_word() {
    koshu(&["http", "http://h/", "bodyy=x"])
        .has("command line, word 2")
        .has("did you mean `body`?")
        .is("UNKNOWN");
    koshu(&["tcp", "h:1", "time=5"]).has("\"5,\"").is("UNKNOWN");
    koshu(&["tcp", "h:1", "again"])
        .has("expected KEY=VALUE, found `again`")
        .is("UNKNOWN");
    koshu(&["disk", "/", "used={ warn = '1%' "]).is("UNKNOWN");
    koshu(&["tcp", "h:1", "retry={times=99}"])
        .has("from 1 to 10")
        .is("UNKNOWN");
}

#[test]
fn ad_hoc_values_are_read_as_what_their_key_wants() {
    let port = crate::server::closed().port().to_string();
    let said = koshu(&[
        "tcp",
        "127.0.0.1",
        &format!("port={port}"),
        "timeout=1s",
        "tls=false",
        "name=10",
    ]);
    assert!(said.is("CRITICAL").contains("refuses"));
    // A name may look like a number, a port may not be a word.
    koshu(&["tcp", "127.0.0.1", "port=ssh"])
        .has("command line, word 2")
        .is("UNKNOWN");
}

#[test]
fn ten_thousand_checks_load_in_time() {
    let one = |it: usize| {
        format!(
            "[[check]]\nname = 'check {it}'\ntype = 'http'\nurl = 'http://127.0.0.1:1/{it}'\nbody = 'a|b'\ntime = '1s,3s'\n"
        )
    };
    let lists = Lists::new(&(0..10_000).map(one).collect::<String>());
    let begin = Instant::now();
    let said = koshu(&["validate", "-c", &lists.file()]);
    assert!(said.out.starts_with("10000 checks are right"));
    // The bound itself is measured in benches/ with the release build; this only forbids a quadratic one.
    assert!(begin.elapsed() < Duration::from_secs(20));
}
