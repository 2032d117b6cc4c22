//! What `koshu export` writes: every part of every engine is whole, and as its engine's grammar wants it.

use crate::engine;
use crate::koshu::{Lists, koshu};
use crate::results::{self, EXPECTED};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The names of all engines, as the help of the command has them.
fn engines() -> Vec<String> {
    let help = koshu(&["export", "--help"]).out;
    let names = help
        .lines()
        .filter_map(|it| it.trim().strip_prefix("- ")?.split_once(':'));
    names.map(|it| it.0.trim().to_owned()).collect()
}

/// A list whose names try to get out of every configuration.
fn awkward() -> Lists {
    Lists::new(
        "[[check]]\nname = \"it's \\\"100%\\\" of $HOME; \\\\n `id` $(id)\"\ntype = 'file'\npath = '/'\n[[check]]\nname = '古酒'\ntype = 'file'\npath = '/'\n[[group]]\nname = 'both'\nmembers = ['古*']\n",
    )
}

#[test]
fn every_part_of_every_engine_is_written() {
    let engines = engines();
    assert!(engines.len() >= 20, "{engines:?}");
    let lists = awkward();
    for engine in &engines {
        for more in [&[][..], &["--each"]] {
            let text = results::export(&lists, &[&[engine.as_str()], more].concat());
            assert!(text.len() > 30, "{engine}: {text}");
        }
    }
    let said = koshu(&["export", "nagios", "activ", "-c", &lists.file()]);
    assert!(
        said.is("UNKNOWN")
            .contains("nagios has no part `activ`; expected active, passive")
    );
    let said = koshu(&["export", "nagois", "-c", &lists.file()]);
    said.is("UNKNOWN");
    said.has("nagios");
}

#[test]
fn json_and_yaml_parts_are_read_by_other_parsers() {
    let lists = awkward();
    for (engine, part) in [
        ("serf", "agent"),
        ("consul", "script"),
        ("consul", "ttl"),
        ("zabbix", "template"),
        ("zabbix", "trapper"),
    ] {
        let text = results::export(&lists, &[engine, part, "--each"]);
        let read: Value = serde_json::from_str(&text).unwrap_or_else(|it| panic!("{it}: {text}"));
        assert!(read.is_object());
    }
    let sensu = results::export(&lists, &["sensu", "--each"]);
    let resources: Vec<Value> = serde_json::Deserializer::from_str(&sensu)
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("JSON");
    assert_eq!(resources.len(), 2);
    for it in resources {
        assert_eq!(it["type"], "CheckConfig");
        assert!(it["spec"]["interval"].is_u64() && it["spec"]["command"].is_string());
    }
    let consul: Value =
        serde_json::from_str(&results::export(&lists, &["consul", "ttl"])).expect("JSON");
    let ids: Vec<&str> = consul["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter_map(|it| it["id"].as_str())
        .collect();
    assert_eq!(
        ids.len(),
        4,
        "the summary, the checks and the group: {ids:?}"
    );
    assert!(ids.contains(&"koshu") && ids.contains(&"both") && ids.contains(&"古酒"));
    let Some(python) = engine::find("python3") else {
        return;
    };
    for (engine, part) in [
        ("stackstorm", "action"),
        ("stackstorm", "rule"),
        ("prometheus", "rules"),
        ("elastic", "filebeat"),
    ] {
        let file = lists.add(
            "part.yaml",
            results::export(&lists, &[engine, part]).as_bytes(),
        );
        let done = Command::new(&python)
            .args([
                "-c",
                "import sys, yaml; assert yaml.safe_load(open(sys.argv[1], encoding='utf-8'))",
            ])
            .arg(file)
            .output()
            .expect("python3");
        assert!(
            done.status.success(),
            "{engine} {part}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

/// Runs a script of a part as a shell would, and returns what it prints.
#[track_caller]
fn shell(lists: &Lists, script: &str) -> String {
    let file = lists.add("script", script.as_bytes());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("made to run");
    let out = Command::new("sh")
        .arg(&file)
        .env("STATE_DIRECTORY", "/dev/null/no-history")
        .output()
        .expect("sh");
    String::from_utf8(out.stdout).expect("UTF-8")
}

#[test]
fn checkmk_can_read_every_line_of_the_local_check() {
    let lists = results::lists();
    let script = results::export(&lists, &["checkmk", "local"]);
    assert!(
        script.starts_with("#!/bin/sh\n"),
        "a script begins with its shell: {script}"
    );
    let out = shell(&lists, &script);
    // The grammar of cmk's own parser: state, a quoted name, metrics without a blank, text.
    let mut seen = Vec::new();
    for line in out.lines() {
        let (state, rest) = line.split_once(' ').expect("a state");
        let (name, rest) = rest
            .strip_prefix('"')
            .and_then(|it| it.split_once("\" "))
            .expect("a name");
        let (metrics, text) = rest.split_once(' ').expect("metrics");
        for metric in metrics.split('|').filter(|it| *it != "-") {
            let (label, values) = metric.split_once('=').expect("a metric");
            assert!(
                label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)),
                "{metric}"
            );
            for value in values.split(';').filter(|it| !it.is_empty()) {
                assert!(
                    value.split(':').all(|it| it.parse::<f64>().is_ok()),
                    "{metric}"
                );
            }
        }
        seen.push((
            name.to_owned(),
            state.to_owned(),
            text.to_owned(),
            metrics.to_owned(),
        ));
    }
    assert_eq!(seen.len(), EXPECTED.len() + 2);
    for it in &EXPECTED {
        let found = seen
            .iter()
            .find(|seen| seen.0 == it.name)
            .expect("a service");
        assert_eq!(found.1, it.code.to_string());
        assert!(found.2.starts_with(it.text), "{found:?}");
    }
    let soon = seen.iter().find(|it| it.0 == "soon").expect("a service");
    assert_eq!(soon.3, "used=91;80;95;0;100");
    let mrpe = results::export(&awkward(), &["checkmk", "mrpe", "--each"]);
    for line in mrpe.lines().filter(|it| !it.starts_with('#')) {
        let (name, rest) = line.split_once(' ').expect("a name");
        assert!(
            name.is_ascii() && rest.starts_with("(interval=300) /"),
            "{line}"
        );
    }
}

#[test]
fn a_shell_runs_the_line_of_cron() {
    let lists = results::lists();
    let text = results::export(&lists, &["cron"]);
    let line = text
        .lines()
        .find(|it| it.starts_with("*/5"))
        .expect("a line");
    let command = line.splitn(7, ' ').nth(6).expect("a command");
    let out = shell(&lists, &command.replace("\\%", "%"));
    assert!(out.contains("CRITICAL") && out.contains("broken"), "{out}");
}

#[test]
fn systemd_likes_the_units_and_would_run_them() {
    let Some(analyze) = engine::find("systemd-analyze") else {
        return;
    };
    let lists = awkward();
    let service = results::export(&lists, &["systemd", "service", "--each"]);
    let timer = results::export(&lists, &["systemd", "timer"]);
    lists.add("koshu.service", service.as_bytes());
    lists.add("koshu.timer", timer.as_bytes());
    let out = Command::new(analyze)
        .args(["verify", "--man=no"])
        .arg(lists.path().join("koshu.service"))
        .arg(lists.path().join("koshu.timer"))
        .output()
        .expect("systemd-analyze");
    let said = String::from_utf8_lossy(&out.stderr);
    let about_us: Vec<&str> = said.lines().filter(|it| it.contains("koshu")).collect();
    assert!(about_us.is_empty(), "{said}");
}

#[test]
fn docker_calls_only_critical_unhealthy() {
    let lists = results::lists();
    let text = results::export(&lists, &["docker"]);
    let line = text
        .lines()
        .find(|it| it.starts_with("HEALTHCHECK"))
        .expect("a line");
    let (_, words) = line.split_once("CMD ").expect("a command");
    let words: Vec<String> = serde_json::from_str(words).expect("JSON");
    assert_eq!(words[0], "/koshu");
    for (name, code) in [("fine", 0), ("soon", 0), ("blind", 0), ("broken", 1)] {
        let mut all: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        all.push(name);
        assert_eq!(koshu(&all).code, code, "{name}");
    }
}

#[test]
fn names_that_try_to_get_out_reach_koshu_as_they_are() {
    let lists = awkward();
    let name = "it's \"100%\" of $HOME; \\n `id` $(id)";
    // NRPE, Checkmk, Sensu and cron hand their lines to a shell.
    let lines = [
        results::export(&lists, &["nrpe", "commands", "--each"]).replace("$$", "$"),
        results::export(&lists, &["checkmk", "mrpe", "--each"]),
    ];
    for text in lines {
        let line = text.lines().find(|it| it.contains("100%")).expect("a line");
        let start = line
            .find(&crate::koshu::binary().display().to_string())
            .expect("koshu");
        let out = shell(&lists, &format!("{} --format json\n", &line[start..]));
        let said: Value =
            serde_json::from_str(&out).unwrap_or_else(|it| panic!("{it}: {line} {out}"));
        assert_eq!(said["checks"][0]["name"], name);
    }
    let consul: Value =
        serde_json::from_str(&results::export(&lists, &["consul", "script", "--each"]))
            .expect("JSON");
    let args: Vec<&str> = consul["checks"][0]["args"]
        .as_array()
        .expect("words")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(args.last(), Some(&name));
    assert_eq!(koshu(&args[1..]).code, 0);
}

#[test]
fn a_percent_sign_ends_no_line_of_cron() {
    let lists = results::lists();
    let folder = lists.path().join("100%");
    fs::create_dir(&folder).expect("a folder");
    let file = folder.join("list.toml");
    fs::copy(lists.file(), &file).expect("a copy");
    let file = file.display().to_string();
    for engine in ["cron", "nsca", "prometheus", "elastic", "healthchecks"] {
        let text = koshu(&["export", engine, "cron", "-c", &file]).out;
        let line = text.lines().find(|it| it.starts_with('*')).expect("a line");
        assert!(
            line.contains("100\\%") && !line.contains("100%"),
            "{engine}: {line}"
        );
    }
}

#[test]
fn a_name_that_begins_as_an_option_is_a_name() {
    let lists = Lists::new(
        "[[check]]\nname = '--to=file:stolen'\ntype = 'file'\npath = '/'\n[[check]]\nname = 'other'\ntype = 'file'\npath = '/none'\n",
    );
    let runs = [
        results::export(&lists, &["nrpe", "commands", "--each"]).replace("$$", "$"),
        results::export(&lists, &["checkmk", "mrpe", "--each"]),
    ];
    for text in runs {
        let line = text.lines().find(|it| it.contains("stolen"));
        let line = line.expect("a line");
        let start = line.find(&crate::koshu::binary().display().to_string());
        let out = shell(&lists, &format!("{}\n", &line[start.expect("koshu")..]));
        assert!(out.starts_with("OK - "), "only that check is run: {out}");
        assert!(!lists.path().join("stolen").exists());
    }
    let sensu = results::export(&lists, &["sensu", "checks", "--each"]);
    assert!(sensu.contains("-- '--to=file:stolen'"), "{sensu}");
    let icinga = results::export(&lists, &["icinga2", "active", "--each"]);
    assert!(icinga.contains("\"--\" ]"), "{icinga}");
}

#[test]
fn a_path_that_no_configuration_can_hold_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let lists = results::lists();
    let other = lists
        .path()
        .join(std::ffi::OsString::from_vec(b"a\xffb.toml".to_vec()));
    for path in [lists.path().join("a\nb.toml"), other] {
        fs::copy(lists.file(), &path).expect("a copy");
        for engine in ["cron", "nagios", "icinga2", "nrpe", "docker"] {
            let mut export = crate::koshu::command(&["export", engine, "-c"]);
            let said = crate::koshu::said(export.arg(&path));
            let text = said.is("UNKNOWN");
            assert!(text.contains("which a configuration cannot hold"), "{text}");
        }
    }
}

#[test]
fn docker_checks_every_list_it_is_given() {
    let lists = results::lists();
    let second = lists.add(
        "second.toml",
        b"[[check]]\nname = 'x'\ntype = 'file'\npath = '/'\n",
    );
    let second = second.display().to_string();
    let text = koshu(&["export", "docker", "-c", &lists.file(), "-c", &second]).out;
    assert!(
        text.contains(&lists.file()) && text.contains(&second),
        "{text}"
    );
}

#[test]
fn members_of_groups_wake_nobody_by_themselves() {
    let lists = Lists::new(
        "[[check]]\nname = 'w1'\ntype = 'uptime'\n[[check]]\nname = 'w2'\ntype = 'uptime'\n[[check]]\nname = 'alone'\ntype = 'uptime'\n[[group]]\nname = 'web tier'\nmembers = ['w*']\n[[group]]\nname = 'all'\nmembers = ['web tier']\n",
    );
    let mark = "notifications_enabled  0";
    for (engine, part) in [
        ("nagios", "active"),
        ("nagios", "passive"),
        ("nrpe", "services"),
    ] {
        let text = results::export(&lists, &[engine, part, "--each"]);
        assert_eq!(
            text.matches(mark).count(),
            3,
            "two checks and a group: {text}"
        );
    }
    for part in ["active", "passive", "agent"] {
        let text = results::export(&lists, &["icinga2", part, "--each"]);
        assert_eq!(
            text.matches("enable_notifications = false").count(),
            3,
            "{text}"
        );
        assert!(text.contains("apply Service \"all\""), "{text}");
    }
    let commands = results::export(&lists, &["nrpe", "commands", "--each"]);
    assert_eq!(commands.matches("command[koshu_").count(), 5, "{commands}");
    assert!(commands.contains("command[koshu_web_tier]="), "{commands}");
    // Who cannot be told to keep quiet is told of the group alone.
    for (engine, part) in [
        ("checkmk", "mrpe"),
        ("consul", "script"),
        ("sensu", "checks"),
    ] {
        let text = results::export(&lists, &[engine, part, "--each"]);
        assert!(text.contains("alone") && text.contains("all"), "{text}");
        assert!(!text.contains("w1") && !text.contains("tier"), "{text}");
    }
    // The command of a group judges its members together.
    lists.run(&["web tier"]).is("OK");
}
