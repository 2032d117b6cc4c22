//! As root: lists, programs and destinations that others may change.

use crate::engine;
use crate::koshu::{Lists, Said, koshu};
use crate::server;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

/// A user and a group that own nothing.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        engine::skip("only root is at risk");
    }
    root
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

const PLUGIN: &str = "[[check]]\nname = 'own'\ntype = 'plugin'\ncommand = 'touch ran'\nexit = 0\n";
const FINE: &str = "[[check]]\nname = 'fine'\ntype = 'file'\npath = '/'\n";

#[test]
fn root_does_not_do_what_a_list_of_others_says_and_runs_the_rest() {
    if !is_root() {
        return;
    }
    let list = Lists::new(&format!("{PLUGIN}{FINE}"));
    let ran = |said: &Said| {
        let ran = fs::remove_file(list.path().join("ran")).is_ok();
        assert_eq!(said.code == 0, ran, "{}", said.out);
        ran
    };
    assert!(ran(&list.run(&[])));
    let refused = |who: &str| {
        let said = list.run(&[]);
        assert!(!ran(&said), "{}", said.out);
        let text = said.is("UNKNOWN");
        assert!(
            text.starts_with("own: not done as root: ") && text.ends_with("; 1 OK"),
            "one check is refused, not the run: {text}"
        );
        said.has(who).has("may not say which programs root runs");
        let said = koshu(&["validate", "-c", &list.file()]);
        said.has("warning: ").has("own: not done as root").has(who);
    };
    chmod(list.file(), 0o666);
    refused("checks.toml can be written by everybody");
    chmod(list.file(), 0o664);
    assert!(ran(&list.run(&[])), "root's own group is root");
    chown(list.file(), None, Some(NOBODY)).expect("a group");
    chmod(list.file(), 0o664);
    refused("checks.toml can be written by group");
    chown(list.file(), Some(NOBODY), Some(0)).expect("an owner");
    chmod(list.file(), 0o644);
    refused("checks.toml belongs to user");
    chown(list.file(), Some(0), Some(0)).expect("an owner");
    chmod(list.path(), 0o777);
    refused("can be written by everybody");
    chmod(list.path(), 0o1777);
    assert!(ran(&list.run(&[])), "a sticky folder of root's");
    chmod(list.path(), 0o755);
    assert!(ran(&list.run(&[])));
}

#[test]
fn a_link_and_a_folder_further_up_count_as_the_list_does() {
    if !is_root() {
        return;
    }
    let list = Lists::new(PLUGIN);
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("link.toml");
    symlink(list.file(), &link).expect("a link");
    let run = || koshu(&["run", "-c", &link.to_string_lossy(), "--state", "none"]);
    run().is("OK");
    chmod(folder.path(), 0o777);
    run().has("can be written by everybody").is("UNKNOWN");
    chmod(folder.path(), 0o755);
    std::os::unix::fs::lchown(&link, Some(NOBODY), None).expect("an owner");
    run().has("link.toml belongs to user").is("UNKNOWN");
    let deep = folder.path().join("a/b/c");
    fs::create_dir_all(&deep).expect("folders");
    fs::write(deep.join("x.toml"), PLUGIN).expect("a list");
    let deep = deep.to_string_lossy().into_owned();
    let run = || koshu(&["run", "-c", &deep, "--state", "none"]);
    run().is("OK");
    chmod(folder.path().join("a"), 0o777);
    run().has("/a can be written by everybody").is("UNKNOWN");
}

#[test]
fn files_sockets_and_secrets_of_root_are_not_read_for_others() {
    if !is_root() {
        return;
    }
    let closed = server::closed();
    let http = format!("type = 'http'\nurl = 'http://{closed}/'\n");
    for keys in [
        "type = 'file'\npath = '/etc/shadow'\ncontains = 'root:'\n".to_owned(),
        "type = 'file'\npath = '/etc/shadow'\nbad = 'root:'\n".to_owned(),
        "type = 'file'\npath = '/etc/shadow'\nchecksum = 'unchanged'\n".to_owned(),
        "type = 'cert'\nfile = '/etc/shadow'\n".to_owned(),
        format!("type = 'cert'\nhost = '{closed}'\nca = '/etc/shadow'\n"),
        format!("type = 'tcp'\nhost = '{closed}'\ntls = true\nca = '/etc/shadow'\n"),
        format!("{http}bearer = {{ file = '/etc/shadow' }}\n"),
        format!("{http}bearer = {{ env = 'PATH' }}\n"),
        format!("{http}headers = {{ X-Token = {{ file = '/etc/shadow' }} }}\n"),
        format!("{http}address = 'unix:/run/docker.sock'\n"),
        "type = 'http'\nurl = 'https://127.0.0.1/'\nclient_cert = '/etc/shadow'\nclient_key = '/etc/shadow'\n"
            .to_owned(),
        "type = 'http'\nurl = 'https://127.0.0.1/'\nca = '/etc/shadow'\n".to_owned(),
        "type = 'dns'\nzone = 'example.test'\nroot_hints = '/etc/shadow'\n".to_owned(),
    ] {
        let list = Lists::new(&format!("[[check]]\nname = 'x'\n{keys}"));
        chmod(list.file(), 0o666);
        let text = list.run(&["--deadline", "3s"]);
        let text = text.is("UNKNOWN");
        assert!(text.starts_with("not done as root"), "{keys}: {text}");
    }
    // What anybody may ask is asked.
    let list = Lists::new(FINE);
    chmod(list.file(), 0o666);
    list.run(&[]).is("OK");
}

#[test]
fn a_destination_of_a_list_of_others_gets_nothing_and_the_run_says_so() {
    if !is_root() {
        return;
    }
    let list = Lists::new(&format!("{FINE}[[to]]\nurl = 'file:out'\n"));
    list.run(&[]).is("OK");
    fs::remove_file(list.path().join("out")).expect("what was delivered");
    chmod(list.file(), 0o666);
    let said = list.run(&[]);
    said.is("WARNING");
    said.has("koshu-delivery: file:out: not done as root");
    said.has("may not say where root writes and sends what");
    assert!(!list.path().join("out").exists());
    koshu(&["validate", "-c", &list.file()]).has("file:out: not done as root");
}

#[test]
fn root_starts_no_program_of_a_list_that_others_may_replace() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("check_x");
    fs::write(&program, "#!/bin/sh\necho fine\n").expect("a program");
    chmod(&program, 0o755);
    let shown = program.to_string_lossy().into_owned();
    let list = Lists::new(&format!(
        "[[check]]\ntype = 'plugin'\ncommand = '{shown}'\n"
    ));
    list.run(&[]).is("OK");
    chmod(&program, 0o775);
    chown(&program, None, Some(NOBODY)).expect("a group");
    let said = list.run(&[]);
    said.has("check_x can be written by group").is("UNKNOWN");
    assert!(said.first().contains("not started as root"), "{}", said.out);
    chown(&program, None, Some(0)).expect("a group");
    chmod(folder.path(), 0o777);
    list.run(&[])
        .has("can be written by everybody")
        .is("UNKNOWN");
    // What is typed is the caller's own affair.
    koshu(&["plugin", &shown]).is("OK");
}
