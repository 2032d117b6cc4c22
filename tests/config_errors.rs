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
        "write \"10s\"",
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
        "no check or group has this name",
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
        "another check or group has this name already",
    ),
    (
        "[[check]]\nname = 'a b'\ntype = 'disk'\n[[check]]\nname = 'a_b'\ntype = 'disk'\n",
        ":5:8",
        "becomes the same label",
    ),
    (
        "[[check]]\nname = ''\ntype = 'disk'\n",
        ":2:8",
        "cannot be empty",
    ),
    ("[[check]]\ntype = 'http\n", ":2:", "ends on its line"),
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
        let parsed = !said.out.contains("duplicate") && !place.ends_with(':');
        assert_eq!(said.out.contains('^'), parsed, "underlined: {}", said.out);
        let validated = koshu(&["validate", "-c", &lists.file()]);
        assert_eq!(validated.out, said.out, "validate says the same");
    }
}

/// What people write, and the words that help them; Rust's own words help nobody.
#[test]
fn mistakes_that_people_make_are_told_in_their_words() {
    let disk = "[[check]]\ntype = 'disk'\n";
    let tcp = "[[check]]\ntype = 'tcp'\nhost = 'h:1'\n";
    let http = "[[check]]\ntype = 'http'\nurl = 'http://h/'\n";
    let window = "[[check]]\ntype = 'disk'\n[[window]]\nname = 'w'\nwhen = '01:00-02:00'\n";
    let cases = [
        (http, "body = \"\\d+\"", "`\\d` begins an escape"),
        (http, "body = “x”", "are no quotes of TOML"),
        (http, "body: 'x'", "write KEY = VALUE, not KEY: VALUE"),
        (
            http,
            "compressed = True",
            "write true or false, in small letters",
        ),
        (http, "method = GET", "stands in quotes"),
        (disk, "used = 80%", "stands in quotes"),
        (disk, "used = '80G,90G'", "write \"80GiB\""),
        (disk, "timeout = '5min.'", "expected one such as"),
        (disk, "timeout = '5 seconds'", "write \"5s\""),
        (
            disk,
            "retry = 3",
            "a table such as { times = 2, wait = \"10s\" }",
        ),
        (disk, "retry = { tims = 2 }", "did you mean `times`?"),
        (
            disk,
            "needs = 5",
            "a list of strings, such as [\"a\", \"b\"]",
        ),
        (disk, "grade = 'ok'", "a table such as { NAME = \"ok\" }"),
        (
            disk,
            "warning = '80%'",
            "limits stand at what they limit: used =",
        ),
        (disk, "mountpoint = '/'", "did you mean `path`?"),
        (disk, "interval = '5m'", "did you mean `every`?"),
        (disk, "zzz = 1", "the keys of disk are path, "),
        (
            tcp,
            "port = '22'",
            "a whole number from 0 to 65535, found a string",
        ),
        (tcp, "tls = 'yes'", "expected true or false, found a string"),
        (
            tcp,
            "family = 'v4'",
            "expected \"ipv4\", \"ipv6\" or \"any\"",
        ),
        (tcp, "send = ['x']", "a string in quotes, found a list"),
        (window, "zone = 'JST'", "did you mean \"Asia/Tokyo\"?"),
        (window, "zone = 'Tokyo'", "did you mean \"Asia/Tokyo\"?"),
        (
            "",
            "type = 'http'",
            "`type` belongs to a check: write [[check]]",
        ),
    ];
    for (before, line, words) in cases {
        let lists = Lists::new(&format!("{before}{line}\n"));
        let said = lists.run(&[]);
        said.has(words).is("UNKNOWN");
        for rust in [
            "struct ",
            "u16",
            "u32",
            "a sequence",
            "a map",
            "variant",
            "invalid type",
        ] {
            assert!(!said.out.contains(rust), "{rust}: {}", said.out);
        }
    }
}

#[test]
fn one_string_stands_for_a_list_of_one() {
    let list = "[[check]]\nname = 'a'\ntype = 'disk'\nused = '99%,100%'\ntags = 'web'\n[[check]]\nname = 'b'\ntype = 'disk'\nused = '99%,100%'\nneeds = 'a'\n[[group]]\nname = 'g'\nmembers = 'tag:web'\n";
    let lists = Lists::new(list);
    koshu(&["validate", "-c", &lists.file()]).has("2 checks are right");
    koshu(&["list", "-c", &lists.file()]).has("web");
}

#[test]
fn mistakes_come_in_the_order_of_the_file_and_once() {
    let said = Lists::new(
        "[[check]]\nname = 'a'\ntype = 'disk'\nneeds = ['x']\n[[group]]\nname = 'g'\nmembers = ['y']\n[[check]]\nname = 'b'\ntype = 'disk'\nused = '5'\n[[check]]\nname = 'c'\ntype = 'disk'\nneeds = ['b']\n",
    )
    .run(&[]);
    let places: Vec<&str> = said
        .out
        .lines()
        .skip(1)
        .filter_map(|it| it.split("checks.toml:").nth(1)?.split(": ").next())
        .collect();
    assert_eq!(places, ["4:9", "7:11", "11:8"], "{}", said.out);
}

#[test]
fn validate_points_a_secret_among_arguments_to_the_environment() {
    let warns = |command: &str| {
        let list = format!("[[check]]\nname = 'p'\ntype = 'plugin'\ncommand = {command}\n");
        let lists = Lists::new(&list);
        let said = koshu(&["validate", "-c", &lists.file()]);
        assert_eq!(said.code, 0, "{}", said.out);
        assert!(!said.out.contains("s3cret"), "{}", said.out);
        said.out.contains("hand it over by env")
    };
    assert!(warns("'check_x -H h --password s3cret'"));
    assert!(warns("'check_x --api-key=s3cret'"));
    assert!(warns("['check_x', '--token', 's3cret']"));
    assert!(!warns("'check_x --password-file /etc/x'"));
    assert!(!warns("'check_x -H h --no-password'"));
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
        .has("third.toml:2:8: another check or group has this name already, at")
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
    koshu(&["tcp", "h:1", "time=5"])
        .has("write \"5ms,\" or \"5s,\"")
        .is("UNKNOWN");
    koshu(&["tcp", "h:1", "again"])
        .has("word 2 of the check is not KEY=VALUE")
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

/// Lists of so many mistakes, each kind of which was slow in a way of its own.
fn wrong_lists(count: usize) -> Vec<(&'static str, String)> {
    let all = |one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let check = |it: usize, more: &str| format!("[[check]]\nname = 'c{it}'\ntype = 'disk'\n{more}");
    vec![
        ("unknown keys", all(&|it| check(it, "ussed = 'x'\n"))),
        ("unknown keys of one check", {
            format!(
                "[[check]]\ntype = 'disk'\n{}",
                all(&|it| format!("key{it} = 1\n"))
            )
        }),
        (
            "unknown findings",
            all(&|it| check(it, "grade = { fulll = 'ok' }\n")),
        ),
        (
            "bad values",
            all(&|it| check(it, "used = '20,10'\ntimeout = 'x'\n")),
        ),
        (
            "unknown types",
            all(&|it| format!("[[check]]\nname = 'c{it}'\ntype = 'dsk'\n")),
        ),
        (
            "unknown needs",
            all(&|it| check(it, &format!("needs = ['d{it}']\n"))),
        ),
        (
            "one name",
            all(&|_| "[[check]]\ntype = 'disk'\n".to_owned()),
        ),
        (
            "one label",
            all(&|it| format!("[[check]]\nname = 'c{it}'\nlabel = 'x'\ntype = 'disk'\n")),
        ),
        ("groups of nobody", {
            let group = |it: usize| format!("[[group]]\nname = 'g{it}'\nmembers = ['x{it}*']\n");
            format!("{}{}", all(&|it| check(it, "")), all(&group))
        }),
        ("one long loop", {
            let next = |it: usize| check(it, &format!("needs = ['c{}']\n", (it + 1) % count));
            all(&next)
        }),
        ("no TOML", all(&|it| format!("[[check]]\nkey{it} = = 1\n"))),
        ("one line", {
            let list = all(&|it| format!("{{ name = 'c{it}', type = 'dsk' }}, "));
            format!("check = [{list}]\n")
        }),
        ("unknown tables", all(&|it| format!("[t{it}]\n"))),
    ]
}

#[test]
fn ten_thousand_mistakes_of_any_kind_are_answered_in_time() {
    for (kind, list) in wrong_lists(10_000) {
        let said = Lists::new(&list).run(&["--deadline", "2s"]);
        said.is("UNKNOWN");
        let lines = said.out.lines().count();
        assert!(lines < 120, "{kind}: {lines} lines");
        // The release build takes a tenth of that; when each mistake looked at all others, it took minutes.
        assert!(
            said.took < Duration::from_secs(6),
            "{kind}: {:?}",
            said.took
        );
    }
}

#[test]
fn what_is_no_regular_file_is_refused_and_never_waited_for() {
    let lists = Lists::new("[[check]]\ntype = 'disk'\n");
    let pipe = lists.path().join("pipe.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|it| it.success()), "mkfifo");
    let folder = lists.path().display().to_string();
    for path in [
        "/dev/zero",
        "/dev/stdin",
        &pipe.display().to_string(),
        &folder,
    ] {
        let said = koshu(&["run", "-c", path]);
        said.has("no regular file").is("UNKNOWN");
        assert!(
            said.took < Duration::from_secs(5),
            "{path}: {:?}",
            said.took
        );
    }
    let large = lists.path().join("large.toml");
    let file = std::fs::File::create(&large).expect("a file");
    file.set_len(65 << 20).expect("a length");
    koshu(&["run", "-c", &large.display().to_string()])
        .has("larger than 64 MiB")
        .is("UNKNOWN");
    let address = crate::server::page("200 OK", "", "fine");
    for secret in ["/dev/zero", &pipe.display().to_string()] {
        let url = format!("http://{address}/");
        let bearer = format!("bearer={{ file = '{secret}' }}");
        let said = koshu(&["http", &url, &bearer]);
        said.has("no regular file").is("UNKNOWN");
        assert!(said.took < Duration::from_secs(5), "{:?}", said.took);
        let said = koshu(&["cert", &format!("file={secret}")]);
        said.has("no regular file").is("UNKNOWN");
    }
}

#[test]
fn limits_that_can_never_alarm_are_refused() {
    let reversed = "so it can never be seen";
    let cases = [
        ("disk", "used = '90%,80%'", reversed),
        ("disk", "free = '5%,20%'", reversed),
        ("disk", "used = { warn = '90%', crit = '80%' }", reversed),
        ("disk", "used = '110%,120%'", "can never alarm"),
        ("disk", "full_in = '2d,14d'", reversed),
        ("cert", "host = 'h'\nleft = '14d,30d'", reversed),
        (
            "cert",
            "host = 'h'\nleft = { warn = ['10%', '5d'], crit = ['25%', '30d'] }",
            reversed,
        ),
        ("process", "match = 'x'\ncount = '1:20,5:10'", reversed),
        (
            "tcp",
            "host = 'h:1'\ntime = '100,500'",
            "write \"100ms,500ms\" or \"100s,500s\"",
        ),
        ("tcp", "host = 'h:1'\ntime = 5", "write \"5ms,\" or \"5s,\""),
        (
            "tcp",
            "host = 'h:1'\ntime = { warn = 1, crit = 3 }",
            "write \"3ms\" or \"3s\"",
        ),
        (
            "tcp",
            "host = 'h:1'\ntimeout = 5",
            "write \"5s\" for seconds",
        ),
        (
            "tcp",
            "host = 'h:1'\nretry = { times = 1, wait = 5 }",
            "write \"5s\" for seconds",
        ),
    ];
    for (kind, keys, message) in cases {
        let lists = Lists::new(&format!("[[check]]\ntype = '{kind}'\n{keys}\n"));
        let said = koshu(&["validate", "-c", &lists.file()]);
        said.has(message).has("checks.toml:").is("UNKNOWN");
    }
    for up in ["'1,2'", "'4,1'", "',5'", "{ warn = 3 }"] {
        let lists = Lists::new(&format!(
            "[[check]]\nname = 'a'\ntype = 'disk'\n[[check]]\nname = 'b'\ntype = 'disk'\n[[group]]\nname = 'g'\nmembers = ['a', 'b']\nup = {up}\n"
        ));
        koshu(&["validate", "-c", &lists.file()])
            .has("checks.toml:10:6: ")
            .is("UNKNOWN");
    }
}

#[test]
fn validate_warns_of_a_window_that_is_over_for_ever() {
    let window = |until: &str| {
        Lists::new(&format!(
            "[[check]]\ntype = 'disk'\n[[window]]\nname = 'move'\nfrom = '2020-01-01 00:00'\nuntil = '{until} 00:00'\nzone = 'Asia/Tokyo'\n"
        ))
    };
    let validated = |lists: &Lists| koshu(&["validate", "-c", &lists.file()]);
    let said = validated(&window("2020-01-02"));
    said.has("warning: ")
        .has("checks.toml:3:1: the window is over for ever");
    assert_eq!(said.code, 0);
    assert!(
        !validated(&window("2099-01-02"))
            .out
            .contains("over for ever")
    );
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
