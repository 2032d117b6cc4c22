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

#[test]
fn words_keys_and_states_are_explained() {
    for (topic, text) in [
        ("limits", "alarms outside of 10 to 20"),
        ("duration", "\"500ms\""),
        ("pattern", "`[2026]` in a path is that text"),
        ("states", "in the order of their badness"),
        ("ok", "exit code 0"),
        ("WARNING", "exit code 1"),
        ("critical", "exit code 2"),
        ("unknown", "exit code 3"),
        ("timeout", "timeout: a key of every check, duration"),
        ("status", "status: a key of type http"),
        ("members", "members: a key of [[group]]"),
    ] {
        let said = koshu(&["explain", topic]);
        assert_eq!(said.code, 0, "{topic}: {}", said.out);
        said.has(text);
    }
    // Every key that all checks have is a topic, as the overview promises.
    let overview = koshu(&["explain"]).out;
    let (_, keys) = overview
        .split_once("Keys of every check")
        .expect("the keys");
    let words = keys.lines().filter_map(|it| it.strip_prefix("  "));
    let words = words.filter(|it| !it.starts_with(' '));
    let words: Vec<&str> = words
        .filter_map(|it| it.split_whitespace().next())
        .collect();
    assert!(words.len() > 15, "{words:?}");
    for word in words {
        let said = koshu(&["explain", word]);
        assert_eq!(said.code, 0, "{word}: {}", said.out);
    }
    let said = koshu(&["explain", "limit"]);
    assert!(said.is("UNKNOWN").contains("did you mean `limits`?"));
}

/// What a command prints on a terminal of 80 columns.
fn on_a_terminal(line: &str) -> Option<String> {
    crate::engine::find("script")?;
    let inner = format!(
        "stty cols 80; exec {} {line}",
        crate::koshu::binary().display()
    );
    let output = std::process::Command::new("script")
        .args(["-qec", &inner, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("script");
    Some(String::from_utf8_lossy(&output.stdout).replace('\r', ""))
}

#[test]
fn what_is_explained_fits_the_terminal_and_its_heads_stand_out() {
    for topic in ["", "disk", "http", "limits", "lame", "nagios", "unknown"] {
        let Some(text) = on_a_terminal(&format!("explain {topic}")) else {
            return;
        };
        let (told, example) = text.split_once("Example:").unwrap_or((&text, ""));
        let plain = told.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        for line in plain.lines() {
            assert!(line.chars().count() <= 80, "{topic}: {line}");
        }
        if topic == "disk" {
            assert!(told.contains("\u{1b}[1mKeys:\u{1b}[0m"), "{text}");
            assert!(
                example.contains("used    = \"80%,90%\""),
                "as it is: {text}"
            );
        }
    }
    // Where nobody looks, a key has its line, as ever.
    let said = koshu(&["explain", "disk"]);
    assert!(said.out.lines().any(|it| it.len() > 100) && !said.out.contains('\u{1b}'));
}

#[test]
fn a_list_shows_targets_groups_and_windows_with_their_next_time() {
    let lists = crate::koshu::Lists::new(
        "[[check]]\nname = 'front'\ntype = 'http'\nurl = 'https://u:hush@shop.example.jp/'\ntags = [\"a\\u001bb\"]\n\
         [[check]]\ntype = 'disk'\npath = '/srv'\nhosts = ['db*']\n\
         [[group]]\nname = 'all'\nmembers = ['front', 'disk /srv']\n\
         [[window]]\nname = 'always'\nwhen = 'Mon-Sun 00:00-24:00'\nmatch = ['front']\nat_most = 'ok'\n\
         [[window]]\nname = 'nightly'\nwhen = 'first Wed 22:00-23:30'\nzone = 'Asia/Tokyo'\nmatch = ['*']\nat_most = 'warning'\n\
         [[window]]\nname = 'gone'\nfrom = '2020-01-01 00:00'\nuntil = '2020-01-02 00:00'\nmatch = ['*']\nat_most = 'ok'\n",
    );
    let said = koshu(&["list", "-c", &lists.file(), "--host", "web1"]);
    assert_eq!(said.code, 0, "{}", said.out);
    said.has("https://…@shop.example.jp/")
        .has("not on web1, only on db*")
        .has("GROUP  MEMBERS")
        .has("front, disk /srv")
        .has("now, without end")
        .has("22:00 JST")
        .has("never again");
    assert!(
        !said.out.contains(['\u{1b}']) && !said.out.contains("hush"),
        "{}",
        said.out
    );
    let said = koshu(&["list", "-c", &lists.file(), "--host", "db1"]);
    assert!(!said.out.contains("not on"), "{}", said.out);
    if let Some(text) = on_a_terminal(&format!("list -c {} --host web1", lists.file())) {
        assert!(text.lines().all(|it| it.chars().count() <= 80), "{text}");
        assert!(text.contains("https://…@shop.example.jp/"), "{text}");
    }
}
