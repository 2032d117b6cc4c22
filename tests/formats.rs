//! The formats: one run, written for engines, people and programs.

use crate::koshu::Lists;
use crate::server;

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
    let schema = crate::koshu::koshu(&["schema", "report"]).out;
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("a schema");
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
