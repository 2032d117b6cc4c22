//! New lines of logs are seen once, and all of them, whatever logrotate does to the files meanwhile.

use crate::engine;
use crate::koshu::{Lists, Said, command, koshu, said};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;

/// A list with one check of a log, and a history of its own.
struct Place {
    list: Lists,
    state: String,
}

impl Place {
    /// The log has a line that is old.
    fn new(keys: &str) -> Place {
        let list = Lists::new(&format!(
            "[[check]]\nname = 'log'\ntype = 'file'\npath = 'logs/app.log'\nbad = 'FATAL'\nnew_lines = true\n{keys}\n"
        ));
        fs::create_dir(list.path().join("logs")).expect("a folder");
        let state = list.path().join("history.db").display().to_string();
        let place = Place { list, state };
        place.append(&format!("FATAL old {}\n", "x".repeat(400)));
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.list.path().join(name)
    }

    fn append(&self, text: &str) {
        let file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.at("logs/app.log"));
        file.and_then(|mut it| it.write_all(text.as_bytes()))
            .expect("written");
    }

    #[track_caller]
    fn run(&self) -> Said {
        self.list
            .run(&["--state", &self.state, "--max-bytes", "20000"])
    }

    fn rotate(&self, keys: &str) {
        // logrotate wants its own files and folders to belong to nobody else.
        let own = format!(
            "\"{0}/logs/app.log\" {{\n su root root\n rotate 5\n missingok\n {keys}\n}}\n",
            self.list.path().display()
        );
        let config = self.list.add("logrotate.conf", own.as_bytes());
        let done = Command::new("logrotate")
            .args(["-f", "-s"])
            .arg(self.at("logrotate.state"))
            .arg(config)
            .output()
            .expect("logrotate");
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{errors}");
    }
}

#[test]
fn logrotate_loses_no_line() {
    if engine::find("logrotate").is_none() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        engine::skip("logrotate changes users, which only root can");
        return;
    }
    for keys in [
        "create",
        "nocreate",
        "create\n compress",
        "create\n compress\n delaycompress",
        "create\n dateext",
        "create\n dateext\n dateformat -%Y%m%d-%s\n compress",
        "create\n dateext\n extension .log\n dateformat -%Y%m%d-%s",
        "create\n olddir ../old\n createolddir 755 root root",
        "create\n olddir inside\n createolddir 755 root root\n compress",
        "copytruncate",
        "copytruncate\n compress",
        "copytruncate\n olddir ../old\n createolddir 755 root root\n compress\n dateext",
        "copy\n rotate 2",
    ] {
        let place = Place::new("");
        place.run().is("OK");
        // A line before each rotation, and none of them but the new ones is told.
        let is_date = keys.contains("dateext");
        for round in 0..if is_date { 1 } else { 3 } {
            place.append(&format!("FATAL {round}a\n"));
            place.rotate(keys);
            place.append(&format!("FATAL {round}b\n"));
            let said = place.run();
            said.is("CRITICAL");
            assert!(said.out.contains("bad=2;"), "{keys}, {round}: {}", said.out);
            let said = place.run();
            assert_eq!(said.code, 0, "{keys}, {round}: {}", said.out);
        }
        if keys.contains("copy\n") || (is_date && !keys.contains("%s")) {
            continue;
        }
        let wait = || {
            // Date formats count seconds.
            if is_date {
                std::thread::sleep(std::time::Duration::from_millis(1100));
            }
        };
        wait();
        // Two between two looks.
        place.append("FATAL first\n");
        place.rotate(keys);
        wait();
        place.append("FATAL second\n");
        place.rotate(keys);
        place.append("FATAL third\n");
        let said = place.run();
        assert!(said.out.contains("bad=3;"), "{keys}: {}", said.out);
        assert_eq!(place.run().code, 0, "{keys}");
    }
}

#[test]
fn a_log_that_was_emptied_is_never_ok() {
    let place = Place::new("");
    place.run().is("OK");
    place.append("FATAL unseen\n");
    fs::write(place.at("logs/app.log"), "quite another line\n").expect("emptied");
    let said = place.run();
    said.is("UNKNOWN");
    said.has("logs/app.log: what was written to it after its first 411 B cannot be found");
    place.run().is("OK");
}

#[test]
fn a_log_that_is_away_for_a_moment_loses_nothing() {
    let place = Place::new("grade = { missing = 'ok' }");
    place.run().is("OK");
    place.append("FATAL unseen\n");
    fs::rename(place.at("logs/app.log"), place.at("logs/app.log.1")).expect("renamed");
    assert!(
        place
            .run()
            .is("CRITICAL")
            .contains("app.log.1: FATAL unseen")
    );
    place.run().is("OK");
    place.append("FATAL new\n");
    place.run().has("bad=1;").is("CRITICAL");
    place.run().is("OK");
}

#[test]
fn what_is_new_without_a_mark_is_unknown_where_none_can_be_kept() {
    let place = Place::new("");
    let run = |state: &str| place.list.run(&["--state", state]);
    run("none").has("history is switched off").is("UNKNOWN");
    run("none").is("UNKNOWN");
    run("/proc/nowhere/history.db").is("UNKNOWN");
    place.run().has("new lines count from here on").is("OK");
    let mut ad_hoc = command(&["file", "logs/app.log", "bad=FATAL", "new_lines=true"]);
    said(ad_hoc.current_dir(place.list.path())).is("UNKNOWN");
}

#[test]
fn an_alarm_of_new_lines_is_held() {
    let place = Place::new("hold = '1h'");
    place.run().is("OK");
    place.append("FATAL one\n");
    place.run().has("bad=1;").is("CRITICAL");
    let said = place.run();
    said.has("bad=0;").has(", held for 60 min)");
    assert!(said.is("CRITICAL").contains("app.log: FATAL one ("));
    let list = Lists::new("[[check]]\ntype = 'file'\npath = 'x'\nbad = 'y'\nhold = '1h'\n");
    koshu(&["validate", "-c", &list.file()])
        .has("`new_lines = true`")
        .is("UNKNOWN");
}

#[test]
fn a_service_that_alarms_once_has_one_attempt() {
    let place = Place::new("[[check]]\nname = 'up'\ntype = 'uptime'");
    for (engine, part) in [("nagios", "active"), ("nrpe", "services")] {
        let export = |more: &[&str]| {
            let file = place.list.file();
            koshu(&[&["export", engine, part, "-c", &file], more].concat()).out
        };
        let is_one = |text: &str, name: &str| {
            let service = text.split("define service {").find(|it| {
                it.lines()
                    .any(|it| it.trim().starts_with("service_description") && it.ends_with(name))
            });
            let service = service.unwrap_or_else(|| panic!("no {name} in {text}"));
            service.contains("max_check_attempts   1\n")
        };
        assert!(is_one(&export(&[]), " koshu"));
        let each = export(&["--each"]);
        assert!(is_one(&each, " log") && !is_one(&each, " up"), "{each}");
    }
    let file = place.list.file();
    let docker = koshu(&["export", "docker", "-c", &file]);
    docker.has("--retries=1");
}

#[test]
fn names_that_are_not_text_are_looked_at() {
    let list = Lists::new(
        "[[check]]\nname = 'logs'\ntype = 'file'\npath = '[2026]/*.log'\nbad = 'FATAL'\nnew_lines = true\n",
    );
    let folder = list.path().join("[2026]");
    fs::create_dir(&folder).expect("a folder");
    let path = folder.join(std::ffi::OsStr::from_bytes(b"caf\xe9.log"));
    fs::write(&path, "fine\n").expect("a file");
    let state = list.path().join("history.db").display().to_string();
    list.run(&["--state", &state]).has("count=1;").is("OK");
    fs::write(&path, "fine\nFATAL\n").expect("a file");
    list.run(&["--state", &state]).has("bad=1;").is("CRITICAL");
    list.run(&["--state", &state]).is("OK");
}

#[test]
fn a_link_to_nothing_is_there_where_nothing_should_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lock");
    std::os::unix::fs::symlink("/nowhere/at-all", &path).expect("a link");
    for path in [path, folder.path().join("l*k")] {
        let said = koshu(&["file", &path.display().to_string(), "absent=true"]);
        assert!(
            said.is("CRITICAL")
                .contains("is there, a link to /nowhere/at-all, which does not exist"),
            "{}",
            said.out
        );
    }
}

#[test]
fn what_is_no_file_is_never_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|it| it.success()));
    let socket = folder.path().join("socket");
    let _open = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let shown = |path: &PathBuf| path.display().to_string();
    for (path, what) in [
        (shown(&pipe), "a named pipe"),
        (shown(&socket), "a socket"),
        ("/dev/zero".to_owned(), "a device"),
        ("/dev".to_owned(), "a folder"),
    ] {
        for key in ["contains=x", "bad=x", "checksum=unchanged"] {
            let said = koshu(&["file", &path, key]);
            assert!(said.is("UNKNOWN").contains(what), "{}", said.out);
            assert!(said.took.as_secs() < 3, "{path} {key}");
        }
    }
}
