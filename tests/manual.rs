//! `man/` is made from the code, and the README tells what is there.

use crate::koshu::koshu;
use std::fs;
use std::path::Path;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|it| panic!("{name}: {it}"))
}

#[test]
fn manual_pages_are_sound_roff() {
    if crate::engine::find("groff").is_none() {
        return;
    }
    for page in ["koshu.1", "koshu.toml.5", "koshu-engines.7"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(page);
        let out = std::process::Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-K", "utf8"])
            .arg(&path)
            .output()
            .expect("groff");
        let wrong = String::from_utf8_lossy(&out.stderr).into_owned();
        let wrong: Vec<&str> = wrong.lines().filter(|it| !it.contains("break")).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

#[test]
fn the_manual_has_every_type_and_key() {
    let page = file("man/koshu.toml.5");
    for word in [
        "url",
        "via",
        "left",
        "inodes",
        "match",
        "retry",
        "grade",
        "runbook",
        "name\\-mismatch",
    ] {
        assert!(page.contains(word), "{word}");
    }
    let readme = file("README.md");
    let engines = koshu(&["export", "--help"]).out;
    let engines = engines
        .lines()
        .filter_map(|it| it.trim().strip_prefix("- ")?.split_once(':'));
    let names: Vec<&str> = engines.map(|it| it.0).collect();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        assert!(
            readme.contains(name),
            "README tells how koshu plugs into {name}"
        );
    }
    for kind in [
        "http", "cert", "dns", "tcp", "disk", "process", "load", "cpu", "memory", "uptime",
        "users", "file", "service", "mount", "port", "ntp", "ping", "plugin", "review",
    ] {
        assert!(readme.contains(&format!("`{kind}`")), "README names {kind}");
    }
    assert!(file("CHANGELOG.md").contains("## Unreleased"));
}

#[test]
fn an_engine_is_explained_with_its_limits() {
    let said = koshu(&["explain", "xymon"]);
    said.has("koshu export xymon launch (/etc/xymon/clientlaunch.d/koshu.cfg)")
        .has("Size limits")
        .has("Security");
    assert_eq!(said.code, 0);
    let said = koshu(&["explain", "icinga"]);
    assert!(
        said.is("UNKNOWN").contains("did you mean `icinga2`?"),
        "{}",
        said.out
    );
    koshu(&["explain"]).has("koshu explain nagios, icinga2");
    koshu(&["explain", "to"]).has("healthchecks");
}
