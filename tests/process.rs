//! `process`: agrees with ps, and never counts itself.

use crate::engine;
use crate::koshu::{binary, command, koshu};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// A program of our own under a name that nothing else has.
fn sleeper(name: &str) -> (tempfile::TempDir, engine::Running) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    // A copy that this process wrote could be "busy" for a fork of another test.
    let copied = Command::new("cp").arg("/bin/sleep").arg(&path).status();
    assert!(copied.is_ok_and(|it| it.success()));
    let running = engine::start(Command::new(&path).arg("60"));
    let shown = path.display().to_string();
    engine::until("the program to run", || {
        Command::new("pgrep")
            .args(["-f", &shown])
            .output()
            .is_ok_and(|it| it.status.success())
    });
    (folder, running)
}

#[test]
fn processes_are_found_by_their_whole_name() {
    let (_folder, _running) = sleeper("koshu-test-with-a-long-name");
    let name = "match=koshu-test-with-a-long-name";
    assert_eq!(
        koshu(&["process", name]).is("OK"),
        "1 process called koshu-test-with-a-long-name"
    );
    koshu(&["process", "match=koshu-test-wit"]).is("CRITICAL");
    // As ps shows it.
    koshu(&["process", "match=koshu-test-with"]).is("OK");
    koshu(&["process", "match=koshu-test-with-*"]).is("OK");
    koshu(&["process", name, "count=2:,"]).is("WARNING");
    koshu(&["process", name, "count=,0:0"]).is("CRITICAL");
    koshu(&["process", name, "args=name 60$"]).is("OK");
    koshu(&["process", name, "state=S"]).is("OK");
    koshu(&["process", name, "state=Z"]).is("CRITICAL");
    koshu(&["process", name, "age=1h:,"])
        .has("s old")
        .is("WARNING");
    koshu(&["process", name, "memory=1B,"]).is("WARNING");
    koshu(&["process", name, "cpu=50,90"]).is("OK");
    koshu(&["process", name, "user=nobody"]).is("CRITICAL");
    let user = rustix::process::geteuid().as_raw().to_string();
    koshu(&["process", name, &format!("user={user}")]).is("OK");
    koshu(&["process", name, "user=no-such-user"])
        .has("no user no-such-user")
        .is("UNKNOWN");
}

#[test]
fn a_script_is_known_by_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("koshu-nightly-backup.sh");
    fs::write(&path, "#!/bin/sh\nsleep 60\n:\n").expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    let _running = engine::start(&mut Command::new(&path));
    engine::until("the script", || {
        koshu(&["process", "match=koshu-nightly-backup.sh"]).code == 0
    });
}

#[test]
fn a_script_is_known_by_its_file_behind_the_interpreters_options() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, line) in [
        ("koshu-options-once.sh", "#!/bin/sh -e"),
        ("koshu-ソース-ラベル.sh", "#!/bin/bash -eu"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, format!("{line}\nsleep 60\n:\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        let _running = engine::start(&mut Command::new(&path));
        let wanted = format!("match={name}");
        engine::until(name, || koshu(&["process", &wanted]).code == 0);
    }
}

#[test]
fn a_name_that_is_no_text_is_found_by_its_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().expect("a folder");
    // Latin-1, as old backups have it.
    let path = folder
        .path()
        .join(std::ffi::OsStr::from_bytes(b"koshu-caf\xe9-sauvegarde"));
    let copied = Command::new("cp").arg("/bin/sleep").arg(&path).status();
    assert!(copied.is_ok_and(|it| it.success()));
    let _running = engine::start(Command::new(&path).arg("60"));
    engine::until("the program", || {
        koshu(&["process", "match=koshu-caf?-sauvegarde"]).code == 0
    });
    koshu(&["process", "match=koshu-caf\u{fffd}-sauvegarde"]).is("OK");
    koshu(&["process", r"args=(?-u)caf\xe9-sauvegarde"]).is("OK");
    koshu(&["process", r"args=(?-u)caf\xe8-sauvegarde"]).is("CRITICAL");
}

#[test]
fn a_title_that_a_program_has_given_itself_hides_no_name() {
    let Some(perl) = engine::find("perl") else {
        return;
    };
    let script = "$0 = 'koshu-titled-for-long: serving /srv/www'; sleep 60";
    let _running = engine::start(Command::new(&perl).args(["-e", script]));
    engine::until("the title", || {
        koshu(&["process", "match=koshu-titled-for-long"]).code == 0
    });
    koshu(&["process", "match=koshu-titled-fo"]).is("OK");
    let _running =
        engine::start(Command::new(&perl).args(["-e", "$0 = 'koshu-web: master'; sleep 60"]));
    engine::until("the title", || {
        koshu(&["process", "match=koshu-web"]).code == 0
    });
}

#[test]
fn zombies_are_named_and_not_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("koshu-undead");
    let copied = Command::new("cp").arg("/bin/true").arg(&path).status();
    assert!(copied.is_ok_and(|it| it.success()));
    let mut child = Command::new(&path).spawn().expect("a program");
    let stat = format!("/proc/{}/stat", child.id());
    engine::until("a zombie", || {
        fs::read_to_string(&stat).is_ok_and(|it| it.contains(") Z "))
    });
    let said = koshu(&["process", "match=koshu-undead"]);
    let line = "0 processes called koshu-undead (and 1 zombie, which is not counted)";
    assert_eq!(said.is("CRITICAL"), line);
    said.has("| count=0;");
    said.has(&format!(
        "note: not counted: zombie koshu-undead (pid {}, of ",
        child.id()
    ));
    koshu(&["process", "match=koshu-undead", "count=0:0,"]).is("OK");
    koshu(&[
        "process",
        "match=koshu-undead",
        "grade={ zombies = \"warning\" }",
        "count=0:0,",
    ])
    .is("WARNING");
    // Whoever asks for them gets them.
    let said = koshu(&["process", "match=koshu-undead", "state=Z", "count=0:0,"]);
    assert_eq!(
        said.is("WARNING"),
        "1 process called koshu-undead in state Z"
    );
    assert!(child.wait().is_ok());
}

#[test]
fn the_uptime_of_a_container_makes_no_process_young() {
    let (_folder, _running) = sleeper("koshu-clocked");
    let folder = tempfile::tempdir().expect("a folder");
    let script = "printf '0.50 0.10\\n' > $1/uptime
mount --bind $1/uptime /proc/uptime || exit 99
$KOSHU process match=koshu-clocked age=1h:,; $KOSHU process match=* cpu=100000%,; $KOSHU uptime";
    let Some(out) = crate::namespace::mounting(script, folder.path()) else {
        return;
    };
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].starts_with("WARNING - koshu-clocked (pid "),
        "{out}"
    );
    assert!(!lines[0].contains(" is 0 s old"), "{out}");
    assert!(
        out.contains("\nOK - ") && out.contains("OK - up 0.5 s"),
        "{out}"
    );
    assert!(!out.contains("% of a CPU"), "{out}");
}

#[test]
fn it_agrees_with_ps() {
    let out = Command::new("ps")
        .args(["-e", "-o", "comm="])
        .output()
        .expect("ps");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let said = koshu(&["process", "match=*", "--format", "json"]);
    let count = said.json()["checks"][0]["perf"]["count"]["value"]
        .as_f64()
        .expect("a count");
    // Tests beside this one start and end processes.
    assert!(
        (count - text.lines().count() as f64).abs() <= 25.0,
        "{count}"
    );
    let uptime = koshu(&["process", "args=.", "match=*", "count=1:,1:"]);
    uptime.is("OK");
}

#[test]
fn it_never_counts_itself_nor_the_shell_that_started_it() {
    let marker = "koshu-marker-7c2f";
    let script = format!(
        "{} process args={marker} count=0:0,; true",
        binary().display()
    );
    let out = Command::new("sh")
        .args(["-c", &script])
        .output()
        .expect("sh");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.starts_with("OK - 0 processes"), "{text}");
}

#[test]
fn arguments_of_processes_are_not_shown() {
    let (_folder, _running) = sleeper("koshu-arguments");
    let said = koshu(&["process", "match=koshu-arguments"]);
    assert!(!said.out.contains(" 60"), "{}", said.out);
}

#[test]
fn without_proc_it_is_unknown() {
    if engine::find("unshare").is_none() {
        return;
    }
    let script = format!(
        "mount -t tmpfs x /proc && {} process match=x; {} disk /",
        binary().display(),
        binary().display()
    );
    let out = Command::new("unshare")
        .args(["-m", "bash", "-c", &script])
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if text.is_empty() {
        engine::skip("mounting is not allowed here");
        return;
    }
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines
            .iter()
            .all(|it| it.starts_with("UNKNOWN - cannot read /proc")),
        "{text}"
    );
    let mut alone = command(&["process", "match=x"]);
    alone.timeout(Duration::from_secs(5));
    assert!(alone.output().is_ok());
}
