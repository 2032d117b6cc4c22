//! `checks/`: one example for each type, and each can be copied as it is.

use crate::koshu::{command, koshu, said};
use std::fs;
use std::path::Path;

#[test]
fn every_type_has_an_example_that_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("checks");
    let overview = koshu(&["explain"]).out;
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("checks/").flatten() {
        let path = entry.path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let file = path.display().to_string();
        assert_eq!(koshu(&["validate", "-c", &file]).code, 0, "{file}");
        assert!(
            overview.contains(&format!("\n  {name} ")),
            "{name} is a type"
        );
        let text = fs::read_to_string(&path).expect("an example");
        assert!(
            koshu(&["explain", &name]).out.ends_with(&text),
            "explain shows it"
        );
        count += 1;
    }
    let rows = overview
        .lines()
        .take_while(|it| !it.starts_with("Keys of every"))
        .filter(|it| it.starts_with("  "))
        .count();
    assert_eq!(count, rows, "an example for every type");
}

#[test]
fn every_key_and_finding_is_explained() {
    for name in [
        "http", "cert", "dns", "tcp", "disk", "process", "load", "cpu", "memory", "uptime",
        "users", "file", "service", "mount", "port", "ntp", "ping", "plugin", "review",
    ] {
        let text = koshu(&["explain", name]).out;
        let mut lines = text.lines().skip_while(|it| *it != "Keys:").skip(2);
        while let Some(key) = lines.next().filter(|it| !it.is_empty()) {
            let meaning = lines.next().unwrap_or_default().trim();
            assert!(meaning.len() > 10, "{name}: {key} says what it means");
        }
        let codes = text
            .lines()
            .skip_while(|it| !it.starts_with("Findings"))
            .skip(2);
        for code in codes
            .take_while(|it| !it.is_empty())
            .filter_map(|it| it.split_whitespace().next())
        {
            assert_eq!(koshu(&["explain", code]).code, 0, "{code}");
        }
    }
    assert_eq!(koshu(&["explain", "late"]).code, 0);
}

#[test]
fn schemas_are_json_schemas_of_what_is_there() {
    let list: serde_json::Value = serde_json::from_str(&koshu(&["schema"]).out).expect("JSON");
    let types = list["properties"]["check"]["items"]["oneOf"]
        .as_array()
        .expect("types")
        .len();
    assert_eq!(types, 19);
    assert!(!list.to_string().contains("\"null\""), "TOML has no null");
    let report: serde_json::Value =
        serde_json::from_str(&koshu(&["schema", "report"]).out).expect("JSON");
    for key in ["version", "host", "state", "time", "checks"] {
        assert!(report["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn completions_know_the_types() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            said(&mut command(&["completions", shell]))
                .out
                .contains("cert"),
            "{shell}"
        );
    }
}
