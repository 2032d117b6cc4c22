//! Histories written and read again.

use super::record::TIDY;
use super::*;
use crate::model::report::sample;
use crate::model::standing::Standing;
use crate::plan::Retention;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// A history in a place that koshu chose, of a list.
fn open(file: &Path) -> anyhow::Result<(History, Option<String>)> {
    open_of(file, "a")
}

fn open_of(file: &Path, list: &str) -> anyhow::Result<(History, Option<String>)> {
    let home = Home {
        path: file.to_owned(),
        chosen: Chosen::ByKoshu,
    };
    History::open(home, listed(list), at(77))
}

fn listed(list: &str) -> Listed {
    Listed {
        key: list.to_owned(),
        is_standard: false,
        claims: true,
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn what_is_remembered_is_there_in_the_next_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("deep/down/history.db");
    let (mut history, said) = open(&file).expect("a file");
    assert!(said.is_none());
    for (seconds, size) in [(100, json!({ "size": 5 })), (160, json!(6))] {
        let mut report = sample::report();
        report.at = at(seconds);
        report.entries[0].name = "log".to_owned();
        report.entries[0].outcome.remember(size);
        let keep = Retention::default();
        history
            .record(&report, &Wanted::default(), &keep, Delivery::Nobody)
            .expect("written");
    }
    history
        .attest(at(200), "restore", &json!({ "by": "anna" }))
        .expect("written");
    drop(history);
    let (history, _) = open(&file).expect("a file");
    let past = history
        .memories(&["log", "other", "restore"])
        .expect("read");
    assert_eq!(past.len(), 2);
    assert_eq!((past["log"].at, &past["log"].value), (at(160), &json!(6)));
    assert_eq!(past["restore"].value["by"], "anna");
}

#[test]
fn a_damaged_file_is_set_aside_and_a_newer_one_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("history.db");
    fs::write(
        &file,
        "this is no database, and long enough to be seen as none".repeat(99),
    )
    .expect("a file");
    let (_, said) = open(&file).expect("a new file");
    assert!(said.expect("a word").contains("history.db.corrupt-77"));
    assert!(folder.path().join("history.db.corrupt-77").exists());
    let connection = Connection::open(&file).expect("a file");
    connection
        .pragma_update(None, "user_version", 999)
        .expect("a number");
    let error = open(&file).expect_err("newer");
    assert!(error.to_string().contains("newer koshu"));
}

#[test]
fn each_user_has_a_file_of_their_own() {
    let var = |name: &str| (name == "STATE_DIRECTORY").then(|| PathBuf::from("/state"));
    let path = Home::of(None, var, "nagios").expect("a place").path;
    assert_eq!(path, Path::new("/state/history-nagios.db"));
    let path = Home::of(Some(Path::new("/x/y.db")), var, "nagios")
        .expect("a place")
        .path;
    assert_eq!(path, Path::new("/x/y.db"));
}

/// A run at a time, in which the only check has a state.
fn run(history: &mut History, seconds: u64, state: State) {
    let mut report = sample::report();
    report.entries.truncate(1);
    report.order = vec![0];
    report.at = at(seconds);
    let past = history
        .standings(["web"].into_iter(), at(seconds))
        .expect("read");
    let next = Standing::next(past.get("web"), state, state, false, report.at);
    report.entries[0].standing = Some(next);
    let keep = Retention {
        age: Duration::from_secs(100_000),
        ..Retention::default()
    };
    history
        .record(&report, &Wanted::default(), &keep, Delivery::Nobody)
        .expect("written");
}

#[test]
fn how_things_stand_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("history.db");
    let (mut history, _) = open(&file).expect("a file");
    for (minute, state) in [State::Ok, State::Critical, State::Critical]
        .iter()
        .enumerate()
    {
        run(&mut history, 60 * minute as u64, *state);
    }
    let it = history
        .standings(["web", "x"].into_iter(), at(500))
        .expect("read");
    assert_eq!(it.len(), 1);
    let it = &it["web"];
    assert_eq!(
        (it.state, it.since, it.before),
        (State::Critical, at(60), Some(State::Ok))
    );
    assert_eq!((it.last_ok, it.looks.as_str()), (Some(at(0)), "oxx"));
    assert_eq!(it.failing.map(|it| it.runs), Some(2));
    let changes: i64 = history
        .db
        .query_row("SELECT count(*) FROM change", [], |it| it.get(0))
        .expect("a number");
    assert_eq!(changes, 2);
}

#[test]
fn what_is_old_is_forgotten_and_attestations_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut history, _) = open(&folder.path().join("h.db")).expect("a file");
    history
        .attest(at(1), "restore", &json!({ "by": "anna" }))
        .expect("written");
    for minute in 0..300 {
        let state = if minute % 2 == 0 {
            State::Ok
        } else {
            State::Warning
        };
        run(&mut history, 1000 * minute, state);
    }
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        history
            .db
            .query_row(&sql, [], |it| it.get(0))
            .expect("a number")
    };
    assert!((100..=102).contains(&count("run")), "{}", count("run"));
    assert!(
        (100..=103).contains(&count("change")),
        "{}",
        count("change")
    );
    assert_eq!(count("attestation"), 1);
}

#[test]
fn what_is_too_much_is_forgotten_from_its_oldest_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut history, _) = open(&folder.path().join("h.db")).expect("a file");
    run(&mut history, 0, State::Ok);
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) INSERT INTO sample (name, metric, at, value) SELECT 'web', 'a metric with a name', i, i FROM n";
    history.db.execute(sql, []).expect("samples");
    let keep = Retention {
        bytes: 1 << 20,
        ..Retention::default()
    };
    for second in 0..TIDY {
        let mut report = sample::report();
        report.at = at(60_000 + second as u64);
        history
            .record(&report, &Wanted::default(), &keep, Delivery::Nobody)
            .expect("written");
    }
    let number = |sql: &str| -> i64 {
        history
            .db
            .query_row(sql, [], |it| it.get(0))
            .expect("a number")
    };
    assert!(number("PRAGMA page_count") * number("PRAGMA page_size") <= 1 << 20);
    assert!(
        number("SELECT count(*) FROM sample") > 5000,
        "not more than it must"
    );
    assert_eq!(
        number("SELECT CAST(max(at) AS INTEGER) FROM sample"),
        60_000,
        "the newest is kept"
    );
}

/// A file as 0.1.0 left it.
fn of_first_version(file: &Path) {
    let db = Connection::open(file).expect("a file");
    db.execute_batch(schema::FIRST).expect("tables");
    db.execute_batch(
        "PRAGMA user_version = 1;
        INSERT INTO run (at, took, state) VALUES (10, 1, 0);
        INSERT INTO standing VALUES ('web', 10, 2, 5, 0, 4, 5, 3, 'oxx'), ('other', 10, 0, 5, 0, 4, NULL, 0, 'o');
        INSERT INTO memory VALUES ('web', 10, '7');
        INSERT INTO change (name, at, state, line) VALUES ('web', 5, 2, 'down'), ('other', 5, 0, 'fine');
        INSERT INTO sample VALUES ('web', 'size', 6, 1), ('other', 'size', 6, 1);",
    )
    .expect("rows");
}

#[test]
fn rows_from_before_lists_go_to_the_first_list_with_a_check_of_that_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("h.db");
    of_first_version(&file);
    let before = fs::read(&file).expect("the file");
    let home = || Home {
        path: file.clone(),
        chosen: Chosen::ByKoshu,
    };
    let looked = History::look(home(), listed("b")).expect("read");
    let looked = looked.expect("a history");
    assert_eq!(looked.changes(at(100)).expect("read").len(), 2);
    assert_eq!(
        looked
            .standings(["web"].into_iter(), at(100))
            .expect("read")
            .len(),
        1
    );
    assert_eq!(fs::read(&file).expect("the file"), before, "only looked at");
    let (mut history, _) = open_of(&file, "a").expect("a file");
    let past = history.standings(["web"].into_iter(), at(100));
    assert_eq!(past.expect("read")["web"].looks, "oxx");
    run(&mut history, 20, State::Ok);
    let names = |history: &History| -> Vec<String> {
        let changes = history.changes(at(100)).expect("read");
        changes.into_iter().map(|it| it.0).collect()
    };
    assert_eq!(names(&history), ["web"]);
    let samples = history.samples("web", at(0), at(100)).expect("read");
    assert_eq!(samples["size"].len(), 1);
    let (other, _) = open_of(&file, "b").expect("a file");
    let known = |name: &str| {
        let known = other.standings([name].into_iter(), at(100)).expect("read");
        known.contains_key(name)
    };
    assert!(!known("web") && known("other"));
    assert!(other.memories(&["web"]).expect("read").is_empty());
    assert!(
        other
            .samples("web", at(0), at(100))
            .expect("read")
            .is_empty()
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(&file).expect("the file").permissions(),
    );
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn checks_of_one_name_in_two_lists_do_not_mix() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("h.db");
    for (list, state) in [("a", State::Ok), ("b", State::Critical)] {
        let (mut history, _) = open_of(&file, list).expect("a file");
        run(&mut history, 10, state);
    }
    for (list, state) in [("a", State::Ok), ("b", State::Critical)] {
        let (history, _) = open_of(&file, list).expect("a file");
        let past = history.standings(["web"].into_iter(), at(20));
        assert_eq!(past.expect("read")["web"].state, state);
        assert_eq!(history.changes(at(20)).expect("read")[0].1.len(), 1);
    }
}

#[test]
fn one_run_ten_years_ahead_forgets_nothing_and_is_not_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut history, _) = open(&folder.path().join("h.db")).expect("a file");
    for run in 0..TIDY as u64 - 1 {
        self::run(&mut history, 100 * run, State::Ok);
    }
    // The hundredth tidies up.
    run(&mut history, 315_360_000, State::Critical);
    let runs: i64 = history
        .db
        .query_row("SELECT count(*) FROM run", [], |it| it.get(0))
        .expect("a number");
    assert_eq!(runs, TIDY);
    let now = at(20_000);
    let changes = history.changes(now).expect("read").remove(0).1;
    let told: Vec<_> = changes.iter().map(|it| (it.at, it.state)).collect();
    assert_eq!(told, [(at(0), State::Ok), (now, State::Critical)]);
    run(&mut history, 20_000, State::Ok);
    let changes = history.changes(at(20_001)).expect("read").remove(0).1;
    assert_eq!(changes.last().map(|it| it.state), Some(State::Ok));
    assert!(changes.iter().all(|it| it.at <= at(20_001)));
}

#[test]
fn a_clock_that_was_wrong_for_a_moment_moves_no_other_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut history, _) = open(&folder.path().join("h.db")).expect("a file");
    let (ok, bad) = (State::Ok, State::Critical);
    // Down from 1000 on, but for a moment in which the clock stood at 7, then at a time that is yet to come.
    for (seconds, state) in [
        (100, ok),
        (1000, bad),
        (7, ok),
        (2000, bad),
        (90_000, ok),
        (3000, bad),
    ] {
        run(&mut history, seconds, state);
    }
    let changes = history.changes(at(5000)).expect("read").remove(0).1;
    let told: Vec<_> = changes.iter().map(|it| (it.at, it.state)).collect();
    assert_eq!(
        told,
        [
            (at(100), ok),
            (at(1000), bad),
            (at(1000), ok),
            (at(2000), bad),
            (at(3000), ok),
            (at(3000), bad)
        ]
    );
}
