//! Destinations that are files: what stands at a path stays what it is, and nobody else decides where the bytes go.

use crate::engine;
use crate::koshu::{Lists, Said, binary, koshu};
use rustix::fs::{CWD, FileType, Mode, makedev, mkfifoat, mknodat};
use serde_json::Value;
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::process::Command;
use std::thread;

fn deliver(to: &str) -> Said {
    let list = Lists::new("[[check]]\nname = 'fine'\ntype = 'file'\npath = '/'\n");
    koshu(&["run", "-c", &list.file(), "--to", to])
}

fn taken(to: &str) {
    deliver(to).is("OK");
}

/// Why it was not taken.
fn told(to: &str) -> String {
    deliver(to).is("WARNING").to_owned()
}

#[test]
fn what_is_no_regular_file_is_written_through_and_stays_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let to = |name: &str| format!("file:{}?format=json", at(name).display());
    let kind = |name: &str| fs::symlink_metadata(at(name)).expect("there").file_type();
    let document = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).expect("whole") };

    mkfifoat(CWD, at("pipe"), Mode::RWXU).expect("a pipe");
    let reader = at("pipe");
    let reading = thread::spawn(move || fs::read(reader).expect("read"));
    // Whoever opens it for writing waits for the reader; koshu does not.
    let opened = OpenOptions::new().write(true).open(at("pipe"));
    let opened = opened.expect("a reader");
    taken(&to("pipe"));
    drop(opened);
    assert_eq!(
        document(&reading.join().expect("read"))["host"]
            .as_str()
            .map(str::is_empty),
        Some(false)
    );
    assert!(kind("pipe").is_fifo());
    let alone = told(&to("pipe"));
    assert!(alone.contains("cannot write"), "{alone}");

    fs::write(at("real"), "old").expect("a file");
    symlink("real", at("link")).expect("a link");
    taken(&to("link"));
    assert!(kind("link").is_symlink(), "the link is still one");
    document(&fs::read(at("real")).expect("read"));

    let device = mknodat(
        CWD,
        at("null"),
        FileType::CharacterDevice,
        Mode::RWXU,
        makedev(1, 3),
    );
    if device.is_ok() {
        taken(&to("null"));
        assert!(kind("null").is_char_device());
    }
    let names = fs::read_dir(folder.path()).expect("a folder").flatten();
    let left = names.filter(|it| it.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0, "nothing is left behind");
}

#[test]
fn a_file_that_is_replaced_keeps_its_owner_and_mode() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("koshu.json");
    fs::write(&file, "old").expect("a file");
    fs::set_permissions(&file, Permissions::from_mode(0o604)).expect("a mode");
    let owner = if rustix::process::geteuid().is_root() {
        chown(&file, Some(65_534), Some(65_534)).expect("given away");
        65_534
    } else {
        rustix::process::geteuid().as_raw()
    };
    taken(&format!("file:{}?format=json", file.display()));
    let about = fs::metadata(&file).expect("there");
    assert_eq!((about.mode() & 0o777, about.uid()), (0o604, owner));
    assert!(about.len() > 10, "and has been written");
    // A new one is nobody else's to write, whatever the umask of the caller.
    fs::remove_file(&file).expect("gone");
    let script = format!(
        "umask 0; exec {} uptime --to file:{}",
        binary().display(),
        file.display()
    );
    Command::new("sh")
        .args(["-c", &script])
        .env("STATE_DIRECTORY", "/dev/null/no-history")
        .output()
        .expect("it runs");
    assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o644);
}

#[test]
fn a_link_that_another_user_puts_in_the_way_is_not_followed() {
    if !rustix::process::geteuid().is_root() {
        return engine::skip("only root can act as two users");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["secret", "theirs"] {
        fs::create_dir(at(name)).expect("a folder");
    }
    fs::write(at("secret/root.conf"), "precious").expect("a file");
    for (target, link) in [
        ("../secret", "theirs/spool"),
        ("../secret/root.conf", "theirs/file"),
    ] {
        symlink(target, at(link)).expect("a link");
        lchown(at(link), Some(65_534), Some(65_534)).expect("given away");
    }
    for to in [
        format!("nagios:{}", at("theirs/spool").display()),
        format!("file:{}", at("theirs/file").display()),
        format!("file:{}", at("theirs/spool/root.conf").display()),
    ] {
        let said = told(&to);
        assert!(said.contains("is a link of another user"), "{said}");
    }
    let names = fs::read_dir(at("secret")).expect("a folder").flatten();
    assert_eq!(names.count(), 1, "nothing has landed there");
    assert_eq!(
        fs::read_to_string(at("secret/root.conf")).expect("read"),
        "precious"
    );
}

#[test]
fn a_host_name_with_a_line_end_is_no_command_of_nagios() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("nagios.cmd");
    mkfifoat(CWD, &pipe, Mode::RWXU).expect("a pipe");
    let reader = pipe.clone();
    let reading = thread::spawn(move || fs::read_to_string(reader).expect("read"));
    let opened = OpenOptions::new().write(true).open(&pipe);
    let opened = opened.expect("a reader");
    let list = Lists::new("[[check]]\nname = 'fine'\ntype = 'file'\npath = '/'\n");
    let to = format!("nagios:{}", pipe.display());
    let host = "box;x\n[1] SHUTDOWN_PROGRAM";
    for words in [
        &["--host", host, "--to", &to][..],
        &["--to", &format!("{to}?host=box%3Bx%0A[1] SHUTDOWN_PROGRAM")],
    ] {
        koshu(&[&["run", "-c", &list.file()], words].concat()).is("OK");
    }
    drop(opened);
    let text = reading.join().expect("read");
    assert_eq!(
        text.lines().count(),
        4,
        "a check and the whole, twice: {text}"
    );
    for line in text.lines() {
        let (_, command) = line.split_once("] ").expect("a time");
        assert!(
            command.starts_with("PROCESS_SERVICE_CHECK_RESULT;box_x [1] SHUTDOWN_PROGRAM;"),
            "{line}"
        );
    }
    for format in [
        "nsca",
        "zabbix",
        "xymon",
        "jsonl",
        "junit",
        "prometheus",
        "checkmk",
    ] {
        let said = list.run(&["--format", format, "--host", host]);
        let begins = said.out.lines().any(|it| it.starts_with("[1]"));
        assert!(!begins, "{format}: {}", said.out);
    }
}
