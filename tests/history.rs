//! History: failures are confirmed, changes are news, and nothing that was printed is ever lost.

use crate::engine::{find, locked};
use crate::koshu::{Lists, Said, binary};
use crate::namespace;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// A check that fails while a file is there, and its history.
struct Place {
    list: Lists,
    state: String,
}

fn place(keys: &str, more: &str) -> Place {
    let list = Lists::new(&format!(
        "[[check]]\nname = 'a'\ntype = 'file'\npath = 'bad'\nabsent = true\n{keys}\n{more}"
    ));
    let state = list.path().join("history.db").display().to_string();
    Place { list, state }
}

impl Place {
    #[track_caller]
    fn run(&self, words: &[&str]) -> Said {
        self.list.run(&[words, &["--state", &self.state]].concat())
    }

    fn fails(&self, fails: bool) {
        let path = self.list.path().join("bad");
        match fails {
            true => fs::write(path, "").expect("a file"),
            false => fs::remove_file(path).expect("no file"),
        }
    }

    fn sql(&self, sql: &str) -> String {
        let out = Command::new("sqlite3")
            .args([&self.state, sql])
            .output()
            .expect("sqlite3");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }
}

#[test]
fn a_failure_is_believed_when_it_is_confirmed_and_a_recovery_at_once() {
    let place = place("confirm = 3", "");
    place.run(&[]).is("OK");
    place.fails(true);
    assert!(
        place
            .run(&[])
            .is("OK")
            .starts_with("failing just now, 1 of 3: ")
    );
    let soft = place.run(&["--format", "json"]).json();
    assert_eq!(
        (
            soft["checks"][0]["state"].as_u64(),
            soft["checks"][0]["raw_state"].as_u64()
        ),
        (Some(0), Some(2))
    );
    place.run(&[]).has("OK before; last OK ").is("CRITICAL");
    place.fails(false);
    place.run(&[]).is("OK");
    place.fails(true);
    place.run(&[]).has("1 of 3").is("OK");
}

#[test]
fn flapping_is_counted_among_the_last_runs() {
    let place = place("confirm = '2/4'", "");
    place.fails(true);
    place.run(&[]).has("1 of 2 in 4").is("OK");
    place.fails(false);
    place.run(&[]).is("OK");
    place.fails(true);
    place.run(&[]).is("CRITICAL");
}

#[test]
fn without_history_nothing_is_confirmed_and_it_alarms_at_once() {
    let place = place("confirm = 3", "");
    place.fails(true);
    let said = place.list.run(&["--state", "none"]);
    said.has("nothing can be confirmed: history is switched off")
        .is("CRITICAL");
    let nowhere = place.list.path().join("no/such/folder");
    let file = nowhere.join("history.db").display().to_string();
    place
        .list
        .run(&["--state", &file])
        .has("nothing can be confirmed: there is no folder ")
        .is("CRITICAL");
    assert!(!nowhere.exists(), "a named folder is not made");
    // What was asked for by name is missed, though no key needs it; what was not is not even mentioned.
    let plain = self::place("", "");
    let said = plain.list.run(&["--state", &file]);
    said.has("this run is not recorded: there is no folder ")
        .is("OK");
    let said = plain.list.run(&[]);
    assert!(!said.out.contains("no-history"), "{}", said.out);
}

#[test]
fn what_is_not_confirmed_blocks_nobody() {
    let place = place(
        "confirm = 2",
        "[[check]]\nname = 'b'\ntype = 'file'\npath = 'bad'\nabsent = true\nneeds = ['a']\n",
    );
    place.fails(true);
    assert!(place.run(&[]).is("CRITICAL").starts_with("b: "));
    assert!(place.run(&[]).is("CRITICAL").starts_with("a: "));
}

#[test]
fn cron_mails_only_news() {
    let place = place(
        "",
        "[[check]]\nname = 'behind'\ntype = 'file'\npath = 'bad'\nabsent = true\nneeds = ['a']\n",
    );
    let run = |words: &[&str]| {
        let out = Command::new(binary())
            .args(["run", "-c", &place.list.file(), "--state", &place.state])
            .args(words)
            .output()
            .expect("koshu");
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stdout).into_owned(),
        )
    };
    assert_eq!(run(&["--print", "change"]), (Some(0), String::new()));
    place.fails(true);
    let (code, out) = run(&["--print", "change"]);
    assert_eq!(code, Some(2));
    assert!(out.contains("\nchanged: a: CRITICAL, was OK\n"), "{out}");
    assert_eq!(
        out.matches("changed: ").count(),
        1,
        "one change, not two: {out}"
    );
    assert_eq!(run(&["--print", "change"]), (Some(2), String::new()));
    assert!(run(&["--print", "problem"]).1.starts_with("CRITICAL - a: "));
    place.fails(false);
    let (code, out) = run(&["--print", "change"]);
    assert!(
        code == Some(0) && out.contains("changed: a: OK, was CRITICAL\n"),
        "{out}"
    );
    assert_eq!(run(&["--print", "problem"]), (Some(0), String::new()));
    assert!(run(&["--print", "change", "--format", "json"]).1.is_empty());
    // What is not known is told.
    place
        .list
        .run(&["--print", "change", "--state", "none"])
        .is("OK");
}

#[test]
fn twenty_behind_one_cause_are_one_change() {
    let more: String = (0..20)
        .map(|it| format!("[[check]]\nname = 'c{it}'\ntype = 'file'\npath = 'bad'\nabsent = true\nneeds = ['a']\n"))
        .collect();
    let place = place("action = 'remove it'", &more);
    place.run(&[]).is("OK");
    place.fails(true);
    let said = place.run(&["--print", "change"]);
    assert!(
        said.is("CRITICAL")
            .ends_with("(20 checks behind it blocked)")
    );
    assert_eq!(said.out.matches("changed: ").count(), 1, "{}", said.out);
    said.has("do: remove it");
    if find("sqlite3").is_some() {
        assert_eq!(
            place.sql("SELECT count(*) FROM change WHERE state <> 0"),
            "1"
        );
    }
}

#[test]
fn runs_beside_each_other_are_all_recorded() {
    if find("sqlite3").is_none() {
        return;
    }
    let place = place("confirm = 2", "");
    let failed: Vec<String> = thread::scope(|scope| {
        let run = || scope.spawn(|| place.run(&[]).out);
        let runs: Vec<_> = (0..32).map(|_| run()).collect();
        let said = runs.into_iter().map(|it| it.join().expect("an answer"));
        said.filter(|it| it.contains("not recorded") || it.contains("confirmed"))
            .collect()
    });
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(place.sql("SELECT count(*) FROM run"), "32");
    assert_eq!(place.sql("PRAGMA integrity_check"), "ok");
}

#[test]
fn the_log_beside_the_file_does_not_grow_from_run_to_run() {
    let place = place("", "");
    let log = || fs::metadata(format!("{}-wal", place.state)).map_or(0, |it| it.len());
    let mut largest = 0;
    for _ in 0..150 {
        place.run(&[]).is("OK");
        largest = largest.max(log());
    }
    // One run may add to a log that was just short enough.
    assert!((1..192 << 10).contains(&largest), "{largest} bytes");
    if find("sqlite3").is_some() {
        assert_eq!(place.sql("SELECT count(*) FROM run"), "150");
        assert_eq!(place.sql("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn what_was_printed_survives_being_killed_at_any_moment() {
    if find("sqlite3").is_none() {
        return;
    }
    // The thousand is for the bench of a patient person: KOSHU_KILLS=1000.
    let kills = std::env::var("KOSHU_KILLS")
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(150);
    let place = place("confirm = 2", "");
    place.run(&[]).is("OK");
    let mut printed = 1;
    for number in 0_u64..kills {
        let mut child = Command::new(binary())
            .args(["run", "-c", &place.list.file(), "--state", &place.state])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("koshu");
        // From the first moment to after the end, in no order.
        thread::sleep(Duration::from_micros((number * 7919) % 30_000));
        let _ = child.kill();
        let out = child.wait_with_output().expect("an end");
        printed += i64::from(out.stdout.starts_with(b"OK - "));
    }
    assert_eq!(place.sql("PRAGMA integrity_check"), "ok");
    let recorded: i64 = place
        .sql("SELECT count(*) FROM run")
        .parse()
        .expect("a number");
    assert!(
        recorded >= printed,
        "{recorded} recorded, {printed} printed"
    );
    assert!(
        !fs::read_dir(place.list.path())
            .expect("a folder")
            .flatten()
            .any(|it| it.file_name().to_string_lossy().contains("corrupt"))
    );
    place.run(&[]).is("OK");
}

#[test]
fn a_locked_or_full_history_costs_a_sentence_and_no_answer() {
    if find("sqlite3").is_none() {
        return;
    }
    let place = place("confirm = 2", "");
    place.run(&[]).is("OK");
    let lock = locked(Path::new(&place.state));
    let said = place.run(&[]);
    said.has("this run is not recorded: ").is("OK");
    assert!(said.took < Duration::from_secs(5), "{:?}", said.took);
    drop(lock);
    place.run(&[]).is("OK");
}

#[test]
fn the_history_table_of_a_list_is_read() {
    let good = place("", "[history]\nkeep = '30d'\nsize = '8MiB'\n");
    good.run(&[]).is("OK");
    place("", "[history]\nsize = '5B'\n")
        .run(&[])
        .has("no size of at least 1MiB")
        .is("UNKNOWN");
    place("", "[history]\nkep = '30d'\n")
        .run(&[])
        .has("did you mean `keep`?")
        .is("UNKNOWN");
    place("confirm = 0", "")
        .run(&[])
        .has("confirms nothing")
        .is("UNKNOWN");
}

impl Place {
    /// Another command with the same list and history.
    #[track_caller]
    fn koshu(&self, words: &[&str]) -> Said {
        crate::koshu::koshu(&[words, &["--state", &self.state]].concat())
    }
}

#[test]
fn what_is_paused_runs_and_shows_and_says_when_the_pause_is_over() {
    let place = place("tags = ['move']", "");
    place.fails(true);
    place.run(&[]).is("CRITICAL");
    let file = place.list.file();
    let pause = |pattern: &str, time: &str| {
        place.koshu(&[
            "pause",
            pattern,
            "--for",
            time,
            "--because",
            "moving | house",
            "-c",
            &file,
        ])
    };
    pause("b", "2h").has("no check is called `b`").is("UNKNOWN");
    assert_eq!(pause("tag:move", "2h").is("OK"), "paused for 2 h: a");
    let said = place.run(&[]);
    assert!(
        said.is("OK").starts_with("in maintenance until "),
        "{}",
        said.out
    );
    said.has("(paused: moving ¦ house)");
    assert_eq!(
        place.run(&["--format", "json"]).json()["checks"][0]["raw_state"],
        2
    );
    place
        .koshu(&["resume", "a"])
        .has("paused are tag:move")
        .is("UNKNOWN");
    place.koshu(&["resume", "tag:move"]).is("OK");
    let said = place.run(&[]);
    said.is("CRITICAL");
    assert!(
        !said.out.contains("its pause"),
        "ended by hand: {}",
        said.out
    );
    place
        .koshu(&["resume", "tag:move"])
        .has("nothing is paused")
        .is("UNKNOWN");
    pause("a", "300ms").is("OK");
    thread::sleep(Duration::from_millis(400));
    place
        .run(&[])
        .has("its pause (moving ¦ house) ended ")
        .is("CRITICAL");
}

#[test]
fn the_past_is_told_for_people_and_programs() {
    let place = place("", "[[check]]\nname = 'b'\ntype = 'uptime'\n");
    place.run(&[]).is("OK");
    place.fails(true);
    place.run(&[]).is("CRITICAL");
    place.fails(false);
    place.run(&[]).is("OK");
    let text = place.koshu(&["history"]).out;
    assert!(
        text.starts_with("NAME") && text.contains("\na     OK "),
        "{text}"
    );
    assert!(text.contains("\nb     OK        100% "), "{text}");
    let text = place.koshu(&["history", "a", "--for", "1h"]).out;
    assert_eq!(
        text.lines()
            .filter(|it| it.contains("  CRITICAL  "))
            .count(),
        1,
        "{text}"
    );
    place
        .koshu(&["history", "aa"])
        .has("nothing is known of `aa`")
        .is("UNKNOWN");
    let json: serde_json::Value =
        serde_json::from_str(&place.koshu(&["history", "--format", "json"]).out).expect("JSON");
    assert_eq!(
        json["checks"][0]["changes"].as_array().map(Vec::len),
        Some(3)
    );
    let csv = place.koshu(&["history", "a", "--format", "csv"]).out;
    assert!(
        csv.starts_with("name,state,from,until,seconds,summary\r\n\"a\",OK,"),
        "{csv}"
    );
}

#[test]
fn what_is_looked_at_rarely_tells_its_age() {
    let place = place("every = '1h'", "");
    place.run(&[]).is("OK");
    place.fails(true);
    let said = place.run(&[]);
    assert!(said.is("OK").starts_with("as of "), "{}", said.out);
    assert!(said.is("OK").contains(" ago: there is no "), "{}", said.out);
    // Without history it is looked at in every run.
    place.list.run(&["--state", "none"]).is("CRITICAL");
    if find("sqlite3").is_some() {
        place.sql("UPDATE answer SET at = at - 3601");
        place.run(&[]).is("CRITICAL");
        place.fails(false);
        let said = place.run(&[]);
        assert!(said.is("CRITICAL").starts_with("as of "), "{}", said.out);
        assert_eq!(place.sql("SELECT count(*) FROM run"), "4");
    }
}

#[test]
fn an_answer_that_is_told_again_is_no_news() {
    let place = place("every = '1h'", "");
    place.fails(true);
    place
        .run(&["--print", "change"])
        .has("changed: a: CRITICAL, not seen before");
    let again = place.run(&["--format", "json"]).json();
    assert!(again["news"].is_null(), "{again}");
    if find("sqlite3").is_some() {
        assert_eq!(place.sql("SELECT count(*) FROM change"), "1");
    }
}

#[test]
fn what_grows_is_told_before_it_is_full() {
    if find("sqlite3").is_none() {
        return;
    }
    let list = Lists::new(
        "[[check]]\nname = 'log'\ntype = 'file'\npath = 'log'\nsize = '~:1MB,~:1MB'\nfull_in = '14d,2d'\n",
    );
    let state = list.path().join("history.db").display().to_string();
    let place = Place { list, state };
    let size = |bytes: usize| {
        fs::write(place.list.path().join("log"), "x".repeat(bytes)).expect("written")
    };
    size(900_000);
    place.run(&[]).is("OK");
    // Five days of a hundred kilobytes a day, up to now.
    place.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 480) INSERT INTO sample (name, metric, at, value) SELECT 'log', 'size', (SELECT at FROM run) - i * 900, 900000 - i * 900 * 100000 / 86400 FROM n",
    );
    let said = place.run(&[]);
    let line = said.is("CRITICAL");
    assert!(
        line.starts_with("size: full in about ") && line.contains("a day"),
        "{line}"
    );
    said.has(" size_full_in=8");
    let said = place.list.run(&["--state", "none"]);
    said.has("nothing can be foretold: history is switched off")
        .is("OK");
    place.sql("UPDATE sample SET value = 900000");
    place.run(&[]).is("OK");
}

#[test]
fn a_full_disk_costs_a_sentence() {
    let place = place("confirm = 2", "");
    let script = "mkdir $1/small; mount -t tmpfs -o size=64k x $1/small || exit 99; $KOSHU run -c $1/checks.toml --state $1/small/h.db; head -c 200000 /dev/zero > $1/small/fill 2>/dev/null; $KOSHU run -c $1/checks.toml --state $1/small/h.db";
    let Some(text) = namespace::mounting(script, place.list.path()) else {
        return;
    };
    assert_eq!(text.matches("OK - there is no ").count(), 2, "{text}");
}
