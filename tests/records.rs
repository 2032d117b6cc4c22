//! What is recorded: by whom, of which list, and what follows where it cannot be.

use crate::engine;
use crate::koshu::{Lists, Said, binary, command, koshu, said};
use crate::namespace;
use crate::server;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// A check that fails while a file is there.
const CHECK: &str = "[[check]]\nname = 'a'\ntype = 'file'\npath = 'bad'\nabsent = true\n";

fn list(keys: &str) -> Lists {
    Lists::new(&format!("{CHECK}{keys}\n"))
}

fn fails(list: &Lists) {
    list.add("bad", b"");
}

/// koshu with a default place of its own.
#[track_caller]
fn in_place(folder: &Path, words: &[&str]) -> Said {
    said(command(words).env("STATE_DIRECTORY", folder))
}

/// What somebody at a terminal sees; `None` where there is no terminal to be had.
fn by_hand(words: &str, folder: &Path) -> Option<String> {
    engine::find("script")?;
    let words = format!("{} {words}", binary().display());
    let out = Command::new("script")
        .args(["-qec", &words, "/dev/null"])
        .env("STATE_DIRECTORY", folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .expect("script");
    Some(String::from_utf8_lossy(&out.stdout).replace('\r', ""))
}

/// The file of history in a folder.
fn file_in(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).expect("a folder").flatten();
    let mut files = files.map(|it| it.path());
    let file = files.find(|it| it.extension().is_some_and(|it| it == "db"));
    file.expect("a history")
}

fn sql(file: &Path, sql: &str) -> String {
    let out = Command::new("sqlite3").arg(file).arg(sql).output();
    let out = out.expect("sqlite3");
    assert!(out.status.success(), "{out:?}");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// Everything in a folder but the index of the log, which is memory that readers share.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = files.map(|it| it.path());
    let files = files.filter(|it| !it.to_string_lossy().ends_with("-shm"));
    let mut all: Vec<_> = files
        .map(|it| (it.clone(), fs::read(&it).unwrap_or_default()))
        .collect();
    all.sort();
    all
}

#[test]
fn a_look_by_hand_changes_no_later_answer() {
    let list = list("confirm = 2");
    let folder = tempfile::tempdir().expect("a folder");
    let run = || in_place(folder.path(), &["run", "-c", &list.file()]);
    let words = format!("run -c {}", list.file());
    run().is("OK");
    fails(&list);
    let before = contents(folder.path());
    for _ in 0..3 {
        let Some(text) = by_hand(&words, folder.path()) else {
            return;
        };
        assert!(text.contains("recorded runs: 0 of 2"), "{text}");
    }
    // A pipe for the answer makes no program of whoever sits there.
    let piped = by_hand(&format!("{words} --format nagios | cat"), folder.path());
    let piped = piped.unwrap_or_default();
    assert!(piped.starts_with("OK - recorded runs: 0 of 2: "), "{piped}");
    assert_eq!(contents(folder.path()), before);
    run().has("failing just now, 1 of 2").is("OK");
    let text = by_hand(&words, folder.path()).unwrap_or_default();
    assert!(text.contains("recorded runs: 1 of 2"), "{text}");
    let text = by_hand(&format!("{words} --record"), folder.path()).unwrap_or_default();
    assert!(text.contains("CRITICAL"), "{text}");
    let text = by_hand(&words, folder.path()).unwrap_or_default();
    assert!(text.contains("CRITICAL"), "{text}");
}

#[test]
fn a_look_by_hand_makes_nothing_and_believes_what_it_sees() {
    let list = list("confirm = 2");
    fails(&list);
    let folder = list.path().join("nowhere");
    let Some(text) = by_hand(&format!("run -c {}", list.file()), &folder) else {
        return;
    };
    assert!(
        text.contains("nothing can be confirmed: no run has been recorded yet"),
        "{text}"
    );
    assert!(text.contains("CRITICAL"), "{text}");
    assert!(!folder.exists());
    let text = by_hand("history", &folder).unwrap_or_default();
    assert!(text.contains("no run has been recorded in "), "{text}");
    assert!(!folder.exists());
    // A program's run makes the folder that koshu has chosen.
    in_place(&folder, &["run", "-c", &list.file()]).is("OK");
    assert!(folder.exists());
}

#[test]
fn a_log_mark_is_not_moved_by_hand() {
    let list = Lists::new(
        "[[check]]\nname = 'log'\ntype = 'file'\npath = 'log'\nbad = 'ERROR'\nnew_lines = true\n",
    );
    list.add("log", b"fine\n");
    let folder = tempfile::tempdir().expect("a folder");
    let run = || in_place(folder.path(), &["run", "-c", &list.file()]);
    run().is("OK");
    list.add("log", b"fine\nERROR\n");
    let words = format!("run -c {}", list.file());
    for _ in 0..2 {
        let Some(text) = by_hand(&words, folder.path()) else {
            return;
        };
        assert!(text.contains("ERROR"), "{text}");
    }
    run().has("ERROR").is("CRITICAL");
    run().is("OK");
}

/// Runs in a namespace, with a history in a small file system `$1/small` and a check that must be confirmed.
fn beside(script: &str) -> Option<String> {
    let list = list("confirm = 2");
    let script = format!(
        "mkdir $1/small; mount -t tmpfs -o size=300k x $1/small || exit 99; \
         run() {{ $KOSHU run -c $1/checks.toml --state $1/small/h.db | head -n 3; }}; run $1; > $1/bad; {script}"
    );
    namespace::mounting(&script, list.path())
}

#[test]
fn a_failure_is_not_tolerated_for_ever_where_nothing_can_be_recorded() {
    for (script, why) in [
        (
            "mount -o remount,ro $1/small; run $1; run $1",
            "cannot open",
        ),
        (
            "head -c 900000 /dev/zero > $1/small/fill 2>/dev/null; run $1; run $1",
            "not recorded",
        ),
    ] {
        let Some(text) = beside(script) else {
            return;
        };
        let states: Vec<&str> = text
            .lines()
            .filter_map(|it| it.split_once(" - ").map(|it| it.0))
            .collect();
        assert_eq!(states, ["OK", "CRITICAL", "CRITICAL"], "{text}");
        assert!(text.contains("nothing can be confirmed: "), "{text}");
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn a_history_of_somebody_else_confirms_nothing() {
    let list = list("confirm = 2");
    let state = list.path().join("h.db").display().to_string();
    list.run(&["--state", &state]).is("OK");
    fails(&list);
    if !rustix::process::geteuid().is_root() {
        engine::skip("only root can become another user");
        return;
    }
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode")
    };
    mode(list.path(), 0o755);
    mode(Path::new(&state), 0o644);
    let copy = list.path().join("koshu");
    fs::copy(binary(), &copy).expect("a copy");
    mode(&copy, 0o755);
    for _ in 0..2 {
        let out = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&copy)
            .args(["run", "-c", &list.file(), "--state", &state])
            .stdin(Stdio::null())
            .output()
            .expect("setpriv");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.starts_with("CRITICAL - "), "{text}");
        assert!(text.contains("nothing can be confirmed: "), "{text}");
    }
}

/// Overwrites all pages of a history but the first.
fn damage(file: &Path) {
    sql(file, "PRAGMA wal_checkpoint(TRUNCATE)");
    let mut bytes = fs::read(file).expect("the file");
    bytes[4096..].fill(0xff);
    fs::write(file, bytes).expect("written");
}

#[test]
fn a_history_that_is_malformed_inside_is_set_aside_and_hides_no_outage() {
    if engine::find("sqlite3").is_none() {
        return;
    }
    for keys in ["confirm = 2", "confirm = 2\nchecksum = 'unchanged'"] {
        let list = Lists::new(&format!(
            "{CHECK}confirm = 2\n[[check]]\nname = 'b'\ntype = 'file'\npath = 'checks.toml'\n{}\n",
            keys.trim_start_matches("confirm = 2")
        ));
        let folder = tempfile::tempdir().expect("a folder");
        let run = || in_place(folder.path(), &["run", "-c", &list.file()]);
        run().is("OK");
        fails(&list);
        damage(&file_in(folder.path()));
        run()
            .has("the history was damaged; it is kept as ")
            .is("CRITICAL");
        // It was told, and goes on.
        run().is("CRITICAL");
        assert_eq!(sql(&file_in(folder.path()), "PRAGMA integrity_check"), "ok");
        let kept = contents(folder.path());
        let kept = kept.iter().map(|it| it.0.display().to_string());
        assert_eq!(kept.filter(|it| it.contains("corrupt-")).count(), 1);
    }
}

#[test]
fn runs_beside_each_other_set_one_damaged_file_aside_and_no_other() {
    if engine::find("sqlite3").is_none() {
        return;
    }
    let list = list("confirm = 2");
    let folder = tempfile::tempdir().expect("a folder");
    let run = || in_place(folder.path(), &["run", "-c", &list.file()]);
    run().is("OK");
    damage(&file_in(folder.path()));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| run().is("OK").to_owned());
        }
    });
    let kept = names_in(folder.path());
    let kept: Vec<_> = kept.iter().filter(|it| it.contains("corrupt-")).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(sql(&file_in(folder.path()), "PRAGMA integrity_check"), "ok");
}

#[test]
fn first_runs_beside_each_other_make_one_history() {
    if engine::find("sqlite3").is_none() {
        return;
    }
    let list = list("confirm = 2");
    for _ in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let run = || in_place(folder.path(), &["run", "-c", &list.file()]);
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| run().is("OK").to_owned());
            }
        });
        let runs = sql(&file_in(folder.path()), "SELECT count(*) FROM run");
        assert_eq!(runs, "12");
        assert!(
            names_in(folder.path())
                .iter()
                .all(|it| !it.contains("corrupt"))
        );
    }
}

#[test]
fn one_damaged_table_is_found_when_it_is_written() {
    if engine::find("sqlite3").is_none() {
        return;
    }
    for table in ["standing", "change", "run", "list"] {
        let list = list("confirm = 2");
        let folder = tempfile::tempdir().expect("a folder");
        let run = || in_place(folder.path(), &["run", "-c", &list.file()]);
        run().is("OK");
        fails(&list);
        let file = file_in(folder.path());
        let root = sql(
            &file,
            &format!(
                "PRAGMA wal_checkpoint(TRUNCATE); SELECT rootpage FROM sqlite_schema WHERE name = '{table}'"
            ),
        );
        let root: usize = root
            .lines()
            .last()
            .and_then(|it| it.parse().ok())
            .expect("a page");
        let mut bytes = fs::read(&file).expect("the file");
        bytes[(root - 1) * 4096..root * 4096].fill(0xff);
        fs::write(&file, bytes).expect("written");
        // A table that the first of these does not touch is no reason not to believe it.
        let (first, second) = (run(), run());
        assert_eq!(second.code, 2, "{table}: {}", second.out);
        let both = format!("{}{}", first.out, second.out);
        assert!(
            both.contains("the history was damaged; it is kept as "),
            "{table}: {both}"
        );
    }
}

#[test]
fn a_named_history_that_is_damaged_is_left_alone() {
    if engine::find("sqlite3").is_none() {
        return;
    }
    let list = list("confirm = 2");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("h.db");
    let state = file.display().to_string();
    list.run(&["--state", &state]).is("OK");
    fails(&list);
    damage(&file);
    for _ in 0..2 {
        let said = list.run(&["--state", &state]);
        assert_eq!(said.code, 2, "{}", said.out);
        said.has("nothing can be confirmed: ");
    }
    let names = contents(folder.path());
    assert!(
        names
            .iter()
            .all(|it| !it.0.display().to_string().contains("corrupt")),
        "{names:?}"
    );
}

#[test]
fn news_of_a_run_that_was_killed_before_it_was_heard_are_told_by_the_next() {
    let list = list("");
    let folder = tempfile::tempdir().expect("a folder");
    let out = list.path().join("out");
    let run = || {
        let to = format!("file:{}?on=change", out.display());
        in_place(folder.path(), &["run", "-c", &list.file(), "--to", &to])
    };
    run().is("OK");
    fs::remove_file(&out).expect("seen for the first time");
    run().is("OK");
    assert!(!out.exists());
    fails(&list);
    let deaf = format!("tcp://{}?timeout=20s", server::black_hole());
    let mut child = Command::new(binary())
        .args(["run", "-c", &list.file(), "--to", &deaf])
        .env("STATE_DIRECTORY", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("koshu");
    // Recorded, and not heard yet.
    let file = file_in(folder.path());
    if engine::find("sqlite3").is_some() {
        engine::until("a record", || sql(&file, "SELECT count(*) FROM run") == "3");
        let beside = format!("file:{}?on=change", list.path().join("beside").display());
        in_place(folder.path(), &["run", "-c", &list.file(), "--to", &beside]).is("CRITICAL");
        assert!(
            !list.path().join("beside").exists(),
            "it is still being told"
        );
        sql(
            &file,
            &format!("UPDATE list SET delivering = {}", child.id()),
        );
    } else {
        sleep(Duration::from_secs(1));
    }
    let _ = child.kill();
    let _ = child.wait();
    run().is("CRITICAL");
    assert!(out.exists(), "nobody was told of it");
    fs::remove_file(&out).expect("removed");
    run().is("CRITICAL");
    assert!(!out.exists());
}

#[test]
fn nothing_but_a_history_is_taken_for_one() {
    let list = list("confirm = 2");
    fails(&list);
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("precious.conf"), "precious = true\n".repeat(500)).expect("written");
    fs::write(at("short"), "x").expect("written");
    std::os::unix::fs::symlink(at("nothing"), at("link")).expect("a link");
    let mut named = vec![
        at("precious.conf"),
        at("short"),
        at("link"),
        list.path().join("checks.toml"),
    ];
    if engine::find("sqlite3").is_some() {
        sql(
            &at("other.db"),
            "CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = 70",
        );
        sql(
            &at("wal.db"),
            "PRAGMA journal_mode = WAL; CREATE TABLE run (x)",
        );
        named.extend([at("other.db"), at("wal.db")]);
    }
    let made = Command::new("mkfifo").arg(at("pipe")).status();
    if made.is_ok_and(|it| it.success()) {
        named.push(at("pipe"));
    }
    let before = contents_of(&named);
    let names = names_in(folder.path());
    for file in ["/dev/null", "/dev/full", "/dev/zero"]
        .map(PathBuf::from)
        .iter()
        .chain(&named)
    {
        let state = file.display().to_string();
        let said = list.run(&["--state", &state]);
        assert_eq!(said.code, 2, "{state}: {}", said.out);
        said.has("nothing can be confirmed: ")
            .has("this run is not recorded: ");
        koshu(&["history", "--state", &state]).is("UNKNOWN");
        koshu(&[
            "pause",
            "a",
            "--for",
            "1h",
            "-c",
            &list.file(),
            "--state",
            &state,
        ])
        .is("UNKNOWN");
        koshu(&["resume", "a", "-c", &list.file(), "--state", &state]).is("UNKNOWN");
    }
    assert_eq!(contents_of(&named), before);
    assert_eq!(names_in(folder.path()), names, "nothing is left behind");
    assert!(!Path::new("/dev/null-wal").exists() && !Path::new("/dev/full-journal").exists());
    // An empty file is a new history.
    fs::write(at("empty"), "").expect("written");
    let state = at("empty").display().to_string();
    list.run(&["--state", &state]).has("1 of 2").is("OK");
    list.run(&["--state", &state]).is("CRITICAL");
}

fn contents_of(files: &[PathBuf]) -> Vec<Vec<u8>> {
    let regular = files.iter().filter(|it| it.is_file());
    regular.map(|it| fs::read(it).expect("a file")).collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> = names
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn in_its_own_place_koshu_sets_aside_what_is_no_database_and_follows_no_link_to_do_it() {
    let list = list("confirm = 2");
    fails(&list);
    let folder = tempfile::tempdir().expect("a folder");
    let run = || in_place(folder.path(), &["run", "-c", &list.file()]);
    run().is("OK");
    let file = file_in(folder.path());
    let text = "no database at all\n".repeat(500);
    fs::write(&file, &text).expect("written");
    // It may be damaged again in the next run, so that nothing is tolerated now.
    run()
        .has("the history was damaged; it is kept as ")
        .is("CRITICAL");
    let kept = contents(folder.path());
    assert!(kept.iter().any(|it| it.1 == text.as_bytes()));
    let precious = list.add("precious", text.as_bytes());
    fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink(&precious, &file).expect("a link");
    let names = names_in(folder.path());
    run().has("is damaged, and left as it is").is("CRITICAL");
    assert_eq!(fs::read_to_string(&precious).expect("the file"), text);
    assert_eq!(names_in(folder.path()), names);
}

#[test]
fn a_first_look_that_cannot_be_remembered_is_not_ok() {
    if engine::find("sqlite3").is_none() {
        return;
    }
    let list = Lists::new(
        "[[check]]\nname = 'lines'\ntype = 'file'\npath = 'log'\nbad = 'ERROR'\nnew_lines = true\n\
         [[check]]\nname = 'sum'\ntype = 'file'\npath = 'log'\nchecksum = 'unchanged'\n\
         [[check]]\nname = 'growth'\ntype = 'file'\npath = 'log'\ngrowth = '1kB,1MB'\n\
         [[check]]\nname = 'cpu'\ntype = 'cpu'\nsince_last_run = true\nsample = '100ms'\n",
    );
    list.add("log", b"fine\n");
    let state = list.path().join("h.db");
    let run = |words: &[&str]| {
        let state = state.display().to_string();
        list.run(&[words, &["--state", &state]].concat())
    };
    run(&["cpu"]);
    let lock = engine::locked(&state);
    for _ in 0..2 {
        let said = run(&["--format", "json", "--exit", "state"]);
        assert_eq!(said.code, 3, "{}", said.out);
        let states = said.json()["checks"].clone();
        let states: Vec<_> = (0..3).map(|it| states[it]["state"].clone()).collect();
        assert_eq!(states, [3, 3, 3], "{}", said.out);
        said.has("there is nothing to compare with, and will not be: this run is not recorded");
    }
    drop(lock);
    run(&["sum"]).is("OK");
}

#[test]
fn a_clock_that_was_ahead_hides_no_outage() {
    if engine::find("sqlite3").is_none() {
        return;
    }
    let ahead = "UPDATE standing SET at = at + 3e8, since = since + 3e8, last_ok = last_ok + 3e8, failing = failing + 3e8; UPDATE change SET at = at + 3e8";
    let list = list("confirm = '1s'");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("h.db");
    let state = file.display().to_string();
    let run = || list.run(&["--state", &state]);
    run().is("OK");
    fails(&list);
    run().has("failing just now").is("OK");
    sql(&file, ahead);
    run();
    sleep(Duration::from_millis(1100));
    run().is("CRITICAL");
    // What was confirmed is not taken back by a clock that jumps back.
    sql(&file, ahead);
    run().is("CRITICAL");
    fs::remove_file(list.path().join("bad")).expect("removed");
    run().is("OK");
    sql(&file, "UPDATE change SET at = at + 3e8 WHERE state = 2");
    let past = koshu(&["history", "-c", &list.file(), "--state", &state]).out;
    let row = past
        .lines()
        .find(|it| it.starts_with("a "))
        .unwrap_or_default();
    assert!(row.starts_with("a     OK "), "{past}");
}

#[test]
fn a_pause_from_the_future_pauses_nothing() {
    if engine::find("sqlite3").is_none() {
        return;
    }
    let list = list("");
    fails(&list);
    let file = list.path().join("h.db");
    let state = file.display().to_string();
    let more = ["-c", &list.file(), "--state", &state];
    koshu(&[&["pause", "a", "--for", "2h"], &more[..]].concat()).is("OK");
    list.run(&["--state", &state]).is("OK");
    sql(
        &file,
        "UPDATE pause SET since = since + 3e8, until = until + 3e8",
    );
    list.run(&["--state", &state]).is("CRITICAL");
}

#[test]
fn two_lists_with_a_check_of_one_name_do_not_mix_in_one_history() {
    let one = list("");
    let other = list("");
    fails(&other);
    let folder = tempfile::tempdir().expect("a folder");
    let at = |words: &[&str]| in_place(folder.path(), words);
    for _ in 0..2 {
        at(&["run", "-c", &one.file()]).is("OK");
        let said = at(&["run", "-c", &other.file(), "--print", "always"]);
        assert!(!said.out.contains("OK before"), "{}", said.out);
    }
    let past = at(&["history", "a", "-c", &one.file()]).out;
    assert!(
        past.contains("  OK  ") && !past.contains("CRITICAL"),
        "{past}"
    );
    let past = at(&["history", "a", "-c", &other.file()]).out;
    assert!(
        past.contains("CRITICAL") && !past.contains("  OK  "),
        "{past}"
    );
    // The content may change, and the path may be written in another way: it is the same list.
    other.add("checks.toml", format!("# more\n{CHECK}").as_bytes());
    let twisted = format!("{}/./checks.toml", other.path().display());
    let past = at(&["history", "-c", &twisted]).out;
    assert!(past.contains("CRITICAL"), "{past}");
    // Nobody has run /etc/koshu, and two others are known.
    at(&["history"])
        .has("no run of -c /etc/koshu has been recorded; known are -c ")
        .is("UNKNOWN");
    // A pause is of one list.
    at(&[
        "pause",
        "a",
        "--for",
        "1h",
        "-c",
        &one.file(),
        "--state",
        &state_in(folder.path()),
    ])
    .is("OK");
    at(&["run", "-c", &other.file()]).is("CRITICAL");
    at(&[
        "pause",
        "a",
        "--for",
        "1h",
        "-c",
        &other.file(),
        "--state",
        &state_in(folder.path()),
    ])
    .has("This holds for runs with --state ")
    .is("OK");
    at(&["run", "-c", &other.file()]).is("OK");
}

fn state_in(folder: &Path) -> String {
    file_in(folder).display().to_string()
}

#[test]
fn files_and_folders_have_their_own_modes_whatever_the_umask_is() {
    let list = list("");
    let file = list.file();
    for mask in ["000", "077"] {
        let folder = list.path().join(format!("deep{mask}"));
        let script = format!("umask {mask}; exec \"$0\" run -c \"$1\"");
        let out = Command::new("sh")
            .args(["-c", &script])
            .arg(binary())
            .arg(&file)
            .env("STATE_DIRECTORY", folder.join("koshu"))
            .stdin(Stdio::null())
            .output()
            .expect("sh");
        assert!(out.status.success(), "{out:?}");
        let mode = |path: &Path| {
            let about = fs::metadata(path).expect("it is there");
            about.permissions().mode() & 0o7777
        };
        assert_eq!(mode(&folder) & 0o022, 0);
        assert_eq!(mode(&folder.join("koshu")) & 0o022, 0);
        for name in names_in(&folder.join("koshu")) {
            assert_eq!(mode(&folder.join("koshu").join(&name)), 0o640, "{name}");
        }
    }
}
