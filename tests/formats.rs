//! The formats: one run, written for engines, people and programs.

use crate::engine;
use crate::koshu::{self, Lists};
use crate::results;
use crate::server;
use serde_json::Value;
use std::process::Command;

fn lists() -> Lists {
    let hostile = server::page("200 OK", "", "x | y\r\n\u{202e}evil\u{7}");
    Lists::new(&format!(
        "[[check]]\nname = 'root disk'\ntype = 'disk'\npath = '/'\nused = '99.9%,100%'\ninodes = '99.9%,100%'\n[[check]]\nname = '古い | ルーター'\ntype = 'tcp'\nhost = '{}'\nowner = 'net team'\naction = 'call | them'\nrunbook = 'https://u:pw@wiki/x'\n[[check]]\nname = 'hostile'\ntype = 'http'\nurl = 'http://{hostile}/'\nbody_not = '(?s).+'\n",
        server::closed()
    ))
}

#[test]
fn nagios_has_one_line_of_perfdata_and_no_other_bar() {
    let said = lists().run(&["--format", "nagios"]);
    assert_eq!(said.out.matches('|').count(), 1, "{}", said.out);
    let first = said.first();
    assert!(
        first.starts_with("CRITICAL - 古い ¦ ルーター: ")
            && first.contains("1 more CRITICAL: hostile; 1 OK"),
        "{first}"
    );
    assert!(first.contains(" | root_disk.used="), "{first}");
    said.has("do: call ¦ them (net team,");
    assert!(!said.out.contains('\u{202e}') && !said.out.contains('\u{7}'));
}

#[test]
fn json_follows_its_schema() {
    let document = lists().run(&["--format", "json"]).json();
    assert_eq!(document["version"], 1);
    assert_eq!(document["state"], 2);
    let checks = document["checks"].as_array().expect("checks");
    let names: Vec<&str> = checks.iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(
        names,
        ["root disk", "古い ¦ ルーター", "hostile"],
        "in the order of the list"
    );
    assert_eq!(checks[1]["findings"][0]["code"], "refused");
    assert_eq!(checks[1]["owner"], "net team");
    assert_eq!(checks[0]["perf"]["used"]["unit"], "B");
    assert!(checks[0]["perf"]["used"]["crit"].is_string());
    let schema = koshu::koshu(&["schema", "report"]).out;
    let schema: Value = serde_json::from_str(&schema).expect("a schema");
    let known = schema["definitions"]["Check"]["properties"]
        .as_object()
        .expect("keys");
    for key in checks[1].as_object().expect("a check").keys() {
        assert!(known.contains_key(key), "{key} is in the schema");
    }
}

#[test]
fn a_person_sees_columns_that_line_up() {
    let said = lists().run(&["--format", "human"]);
    assert!(
        said.out.contains("CRITICAL  古い ¦ ルーター"),
        "{}",
        said.out
    );
    assert!(said.out.contains("2 CRITICAL, 1 OK in "), "{}", said.out);
}

#[test]
fn budgets_can_be_raised_and_lowered() {
    let one = |it: usize| {
        format!("[[check]]\nname = 'disk number {it}'\ntype = 'disk'\npath = '/'\nused = '0%,0%'\n")
    };
    let lists = Lists::new(&(0..200).map(one).collect::<String>());
    let said = lists.run(&[]);
    assert!(
        said.out.len() <= 4096 && said.first().len() <= 1023,
        "{}",
        said.out.len()
    );
    said.has("more lines")
        .has("metrics do not fit")
        .has(" and ")
        .is("CRITICAL");
    let said = lists.run(&["--max-bytes", "1000000"]);
    assert!(said.out.contains("disk_number_199.used=") && said.out.contains("disk number 199: "));
    assert!(lists.run(&["--max-bytes", "500"]).out.len() <= 500);
}

#[test]
fn a_metric_with_wide_limits_is_printed() {
    let lists = Lists::new(
        "[[check]]\nname = 'a'\ntype = 'users'\ncount = '@100000000000:200000000000,@3000000000000:4000000000000'\n[[check]]\nname = 'b'\ntype = 'uptime'\n",
    );
    let said = lists.run(&[]);
    said.has(";@100000000000:200000000000;@3000000000000:4000000000000;0")
        .has(" b.");
    assert!(!said.out.contains("fit"), "{}", said.out);
}

#[test]
fn prove_reads_the_tap_of_a_run() {
    let Some(prove) = engine::find("prove") else {
        return;
    };
    let lists = results::lists();
    let script = format!(
        "{} run --state none --format tap",
        koshu::binary().display()
    );
    let names = |words: &[&str]| {
        let file = lists.add(
            "test.sh",
            format!("exec {script} -c {} {}\n", lists.file(), words.join(" ")).as_bytes(),
        );
        let out = Command::new(&prove)
            .args(["-v", "-e", "sh"])
            .arg(file)
            .output()
            .expect("prove");
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stdout).into_owned(),
        )
    };
    let (passes, said) = names(&["fine"]);
    assert!(passes && said.contains("Result: PASS"), "{said}");
    let (passes, said) = names(&[]);
    assert!(!passes, "{said}");
    // The exit code is that of the state, which a harness takes for a failure of its own.
    assert!(
        said.contains("Failed 4/5 subtests") && said.contains("ok 1 - fine"),
        "{said}"
    );
}

#[test]
fn prove_and_yaml_read_details_with_quotes_and_colons() {
    let lines = [
        "disk: \"full\"",
        "\"quoted\": it's 'so'",
        "- item: {x: [1]}",
        "'it''s'",
        "# no comment",
        "key: 'open",
        "...",
        "---",
        "  far right",
        "back\\slash \\n",
        "line\u{2028}end",
    ];
    let lists = Lists::new("");
    let text = format!("CRITICAL - first: 'line\"\n{}\n", lines.join("\n"));
    lists.add("said", text.as_bytes());
    lists.add(
        "checks.toml",
        b"[[check]]\nname = 'x'\ntype = 'plugin'\ncommand = ['sh', '-c', 'cat said; exit 2']\ndir = '.'\n",
    );
    let said = lists.run(&["--format", "tap"]);
    let file = lists.add("said.tap", said.out.as_bytes());
    if let Some(perl) = engine::find("perl") {
        let script = "use TAP::Parser; my $p = TAP::Parser->new({ source => $ARGV[0] }); my $n = 0; while (my $r = $p->next) { $n++ if $r->is_yaml; print $r->raw, qq(\\n) if $r->is_unknown } print qq($n yaml, ), join(q(;), $p->parse_errors), qq(\\n);";
        let out = Command::new(perl).args(["-e", script]).arg(&file).output();
        let out = String::from_utf8(out.expect("perl").stdout).expect("UTF-8");
        assert_eq!(out, "1 yaml, \n", "{}", said.out);
    }
    let Some(python) = engine::find("python3") else {
        return;
    };
    let script = "import sys, yaml, json\nt = open(sys.argv[1]).read().split('  ---\\n', 1)[1].rsplit('\\n  ...\\n', 1)[0]\nprint(json.dumps(yaml.safe_load(t)))";
    let out = Command::new(python)
        .args(["-c", script])
        .arg(&file)
        .output();
    let out = out.expect("python");
    let read: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|it| {
        panic!(
            "{it}: {} {}",
            said.out,
            String::from_utf8_lossy(&out.stderr)
        )
    });
    let details = read["details"].as_str().expect("a block");
    for line in &lines[..10] {
        assert!(
            details.lines().any(|it| it.trim() == line.trim()),
            "no {line} in {details}"
        );
    }
}

#[test]
fn a_parser_of_xml_reads_the_junit_of_a_run() {
    let Some(python) = engine::find("python3") else {
        return;
    };
    let said = results::lists().run(&["--format", "junit"]);
    assert_eq!(said.code, 2, "junit exits with the state");
    let lists = results::lists();
    let file = lists.add("koshu.xml", said.out.as_bytes());
    let script = "import sys, xml.etree.ElementTree as E\ns = E.parse(sys.argv[1]).getroot()[0]\nprint(s.get('tests'), s.get('failures'), s.get('errors'), s.get('skipped'))\nfor c in s: print(c.get('name'), c[0].tag, c[0].get('message') or c[0].text)";
    let out = Command::new(python)
        .args(["-c", script])
        .arg(file)
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .expect("python3");
    let read = String::from_utf8(out.stdout).expect("UTF-8");
    let lines: Vec<&str> = read.lines().collect();
    assert_eq!(lines[0], "5 3 1 0", "{read}");
    assert_eq!(lines[1], "fine system-out OK - 古酒 ✓ is fine");
    assert_eq!(lines[2], "soon failure WARNING - 91% used: é");
    assert_eq!(lines[4], "blind error UNKNOWN - permission denied");
    assert!(
        lines[5].starts_with("hostile failure CRITICAL - evil ]]> 'q' \"d\""),
        "{read}"
    );
}

#[test]
fn formats_for_programs_exit_with_zero_and_those_for_harnesses_with_the_state() {
    let lists = results::lists();
    for (format, code) in [
        ("nagios", 2),
        ("human", 2),
        ("junit", 2),
        ("tap", 2),
        ("json", 0),
        ("jsonl", 0),
        ("prometheus", 0),
        ("checkmk", 0),
        ("pandora", 0),
        ("nsca", 0),
        ("zabbix", 0),
        ("xymon", 0),
    ] {
        assert_eq!(lists.run(&["--format", format]).code, code, "{format}");
        assert_eq!(
            lists.run(&["--format", format, "--exit", "state"]).code,
            2,
            "{format}"
        );
        let gate = lists.run(&["fine", "--format", format, "--exit", "fail-on=critical"]);
        assert_eq!(gate.code, 0, "{format}");
    }
}
