//! One fixture rendered through all formats side by side.

use super::*;
use crate::model::name;
use crate::model::outcome::Outcome;
use crate::model::perfdata;
use crate::model::report::{Part, sample};
use crate::model::state::State;

/// The sample, something that is blocked, and a plugin that would break out of every format if it could.
fn fixture() -> Report {
    let mut report = sample::report();
    let mut blocked = report.entries[0].clone();
    blocked.name = "shop, \"new\"".to_owned();
    blocked.label = "shop.new".to_owned();
    blocked.outcome = Outcome::of("refused", State::Critical, "192.0.2.9:80 refused");
    blocked.state = State::Critical;
    blocked.part = Part::Blocked("ルーター".to_owned());
    let mut hostile = report.entries[0].clone();
    hostile.name = "hostile".to_owned();
    hostile.label = "hostile".to_owned();
    hostile.kind = "plugin";
    hostile.outcome = Outcome::of(
        "exit",
        State::Critical,
        "a|b=1\nc\n\nstatus www,x.y green fine\u{17}h\ts\t0\tfine ]]> $(id) `id` 'q' \"d\" \\n #7 &red <b> é\0\u{fffe}",
    );
    hostile.state = State::Critical;
    hostile.outcome.detail("&red line \\ two\r\n\r\ncombo");
    let (items, _) = perfdata::parse("'a b\"]'=5KB;1:2;@3:4 x=1 x=2 y=U");
    for item in items {
        if let Some(metric) = item.metric() {
            hostile.outcome.note(metric);
        }
    }
    report.entries.extend([blocked, hostile]);
    report.order.insert(1, 5);
    report.entries[2].behind = vec!["shop, \"new\"".to_owned()];
    report
}

#[test]
fn one_report_in_every_format() {
    let mut all = String::new();
    for format in FORMATS {
        let bytes = format.bytes(&fixture(), &Style::default());
        let text = String::from_utf8(bytes).expect("UTF-8");
        let text = text.replace('\u{17}', "<ETB>").replace('\t', "<TAB>");
        all.push_str(&format!("==== {}\n{text}", format.name));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_run_that_could_not_begin_is_unknown_in_every_format() {
    let failure = Failure {
        host: "box1".to_owned(),
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        text: "checks.toml:1:1: unknown key `tiem`".to_owned(),
        details: "checks.toml:1:1\n  = help: did you mean `time`?\n".to_owned(),
    };
    let mut all = String::new();
    for format in FORMATS {
        let mut bytes = Vec::new();
        (format.fail)(format, &failure, &mut bytes).expect("a vector");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let said = text.contains("tiem") || text.contains("koshu_run_state 3\n");
        assert!(said, "{}: {text}", format.name);
        all.push_str(&format!(
            "==== {}\n{}",
            format.name,
            text.replace('\t', "<TAB>")
        ));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn what_stood_in_for_a_list_is_said_in_every_format_and_on_its_first_line() {
    let mut report = fixture();
    report.origin = Some("there is no list".to_owned());
    report.remarks = vec!["this run is not recorded".to_owned()];
    for format in FORMATS {
        let text = String::from_utf8(format.bytes(&report, &Style::default())).expect("UTF-8");
        let first = text.lines().find(|it| it.contains("there is no list"));
        assert!(first.is_some(), "{}: {text}", format.name);
        if ["nagios", "human"].contains(&format.name) {
            assert_eq!(first, text.lines().next(), "{text}");
            assert!(text.contains("this run is not recorded"), "{text}");
        }
    }
}

#[test]
fn no_text_breaks_out_of_its_record() {
    let report = fixture();
    let of = |name: &str| {
        let format = Format::named(name).expect("a format");
        String::from_utf8(format.bytes(&report, &Style::default())).expect("UTF-8")
    };
    let results = report.entries.len() + 1;
    assert_eq!(of("nsca").matches('\u{17}').count(), results - 1);
    assert_eq!(of("nsca").matches('\t').count(), 3 * results);
    assert_eq!(of("checkmk").lines().count(), results);
    assert_eq!(of("jsonl").lines().count(), results);
    let blocks = of("xymon").replace("combo\n", "");
    assert_eq!(blocks.split("\n\n").count(), results);
    let modules = of("pandora").matches("<module><name>").count();
    assert_eq!(
        of("pandora")
            .matches(
                "</module>
"
            )
            .count(),
        modules
    );
    let tests = of("tap")
        .lines()
        .filter(|it| it.contains("ok ") && !it.starts_with(' '))
        .count();
    assert_eq!(tests, results - 1);
}

/// Checks whose names are those of the summary's counts, and of each other's metrics.
fn meeting() -> Report {
    let mut report = sample::report();
    report.entries.truncate(1);
    report.order = vec![0];
    for name in ["ok", "time", "warning", "web time", "web | time"] {
        let mut entry = report.entries[0].clone();
        entry.name = text::clean(name);
        entry.label = name::label(&format!("x {name}"));
        report.order.push(report.entries.len());
        report.entries.push(entry);
    }
    // A plugin's labels that become the same where only some characters are allowed.
    let (items, _) = perfdata::parse("'C:\\ %'=1 'C:/ %'=2 C____=3");
    for item in items {
        report.entries[0]
            .outcome
            .note(item.metric().expect("a number"));
    }
    report
}

#[test]
fn two_things_never_share_a_name() {
    let of = |name: &str| {
        let format = Format::named(name).expect("a format");
        String::from_utf8(format.bytes(&meeting(), &Style::default())).expect("UTF-8")
    };
    let all_differ = |format: &str, names: Vec<&str>| {
        let mut seen = std::collections::HashSet::new();
        assert!(names.len() > 6, "{format}: {names:?}");
        for it in names {
            assert!(seen.insert(it), "{format}: {it} twice");
        }
    };
    let text = of("pandora");
    let names = text.split("<name>").skip(1);
    all_differ(
        "pandora",
        names.filter_map(|it| it.split("</name>").next()).collect(),
    );
    let text = of("zabbix");
    let keys = text
        .lines()
        .map(|it| it.split("\" \"").nth(1).unwrap_or(it));
    let keys = keys.map(|it| it.split("\" ").next().unwrap_or(it));
    all_differ("zabbix", keys.collect());
    let text = of("checkmk");
    let first = text.lines().find(|it| it.starts_with("0 \"web\""));
    let metrics = first
        .unwrap_or_default()
        .split(' ')
        .nth(2)
        .unwrap_or_default();
    let labels = metrics.split('|').filter_map(|it| it.split('=').next());
    let labels: std::collections::HashSet<&str> = labels.collect();
    assert_eq!(labels.len(), 4, "{text}");
    let text = of("nagios");
    let perfdata = text.lines().next().and_then(|it| it.split(" | ").nth(1));
    let items = perfdata.unwrap_or_default().split(' ');
    all_differ(
        "nagios",
        items
            .filter_map(|it| it.rsplit_once('='))
            .map(|it| it.0)
            .filter(|it| it.contains('.'))
            .collect(),
    );
}
