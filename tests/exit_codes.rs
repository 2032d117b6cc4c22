//! Every path ends with 0 to 3 and a complete answer on stdout.

use crate::koshu::{Lists, binary, command, koshu, said};
use crate::server;
use std::process::{Command, Stdio};

#[test]
fn a_wrong_command_line_is_unknown_on_stdout() {
    koshu(&["bogus"]).is("UNKNOWN");
    koshu(&[]).is("UNKNOWN");
    koshu(&["run", "--format", "xml"]).is("UNKNOWN");
    koshu(&["run", "--state"]).is("UNKNOWN");
    koshu(&["run", "--deadline", "soon"]).is("UNKNOWN");
    koshu(&["run", "--exit", "fail-on=bad"]).is("UNKNOWN");
    koshu(&["explain", "htpp"])
        .has("did you mean `http`?")
        .is("UNKNOWN");
}

#[test]
fn help_and_version_are_answers() {
    assert_eq!(koshu(&["--help"]).code, 0);
    assert_eq!(koshu(&["run", "--help"]).code, 0);
    assert_eq!(koshu(&["http", "--help"]).code, 0);
    assert_eq!(
        koshu(&["--version"]).out,
        concat!("koshu ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn the_exit_policy_is_the_users() {
    let port = server::closed().to_string();
    let policy = |exit: &str| koshu(&["tcp", &port, "--exit", exit]).code;
    assert_eq!(policy("state"), 2);
    assert_eq!(policy("zero"), 0);
    assert_eq!(policy("fail-on=critical"), 1);
    assert_eq!(
        koshu(&["tcp", &port, "late=ok", "--exit", "fail-on=unknown"]).code,
        1
    );
    assert_eq!(koshu(&["tcp", &port, "--format", "json"]).code, 0);
    assert_eq!(
        koshu(&["tcp", &port, "--format", "json", "--exit", "state"]).code,
        2
    );
    koshu(&["tcp", &port, "--state", "none"]).is("CRITICAL");
}

#[test]
fn a_reader_that_has_gone_changes_nothing() {
    let script = format!(
        "{} disk / used=0%,0% | head -c 0; exit ${{PIPESTATUS[0]}}",
        binary().display()
    );
    let done = Command::new("bash")
        .args(["-c", &script])
        .output()
        .expect("bash");
    assert_eq!(done.status.code(), Some(2));
    assert!(done.stderr.is_empty());
}

#[test]
fn an_output_that_cannot_be_written_is_unknown() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let status = Command::new(binary())
        .args(["disk", "/", "used=99%,100%"])
        .stdout(Stdio::from(full))
        .status()
        .expect("koshu");
    assert_eq!(status.code(), Some(3));
    let script = format!("{} disk / >&-; exit $?", binary().display());
    let done = Command::new("bash")
        .args(["-c", &script])
        .output()
        .expect("bash");
    assert!(done.stderr.is_empty());
    assert!(matches!(done.status.code(), Some(0..=3)));
}

#[test]
fn a_poor_environment_is_enough() {
    let mut poor = command(&["disk", "/", "used=99%,100%", "inodes=99%,100%"]);
    poor.env_clear().current_dir("/");
    said(&mut poor).is("OK");
}

#[test]
fn the_classic_dummy_answers_as_ever() {
    let dummy = |words: &[&str]| {
        let said = said(&mut command(&[&["check_dummy"], words].concat()));
        (said.code, said.out)
    };
    assert_eq!(dummy(&["0"]), (0, "OK\n".to_owned()));
    assert_eq!(
        dummy(&["2", "a text"]),
        (2, "CRITICAL: a text\n".to_owned())
    );
    assert_eq!(dummy(&["1", ""]), (1, "WARNING\n".to_owned()));
    assert_eq!(
        dummy(&["9"]),
        (
            3,
            "UNKNOWN: Status 9 is not a supported error state\n".to_owned()
        )
    );
    assert_eq!(dummy(&["x"]).0, 3);
    assert_eq!(dummy(&[]).0, 3);
    assert_eq!(dummy(&["--help"]).0, 3);
    assert_eq!(dummy(&["-V"]).0, 3);
}

#[test]
fn the_classic_dummy_is_found_by_its_own_name_and_agrees_with_the_original() {
    use std::os::unix::process::CommandExt;
    let Some(original) = crate::engine::find("check_dummy") else {
        return;
    };
    for words in [&["0"][..], &["2", "x y"], &["3"], &["7"], &["1", "a"]] {
        let ours = Command::new(binary())
            .arg0("/usr/lib/nagios/plugins/check_dummy")
            .args(words)
            .output()
            .expect("koshu");
        let theirs = Command::new(&original)
            .args(words)
            .output()
            .expect("check_dummy");
        assert_eq!(ours.status.code(), theirs.status.code(), "{words:?}");
        assert_eq!(ours.stdout, theirs.stdout, "{words:?}");
    }
}

#[test]
fn selections_that_select_nothing_are_unknown_with_the_nearest_name() {
    let lists = Lists::new(
        "[[check]]\nname = 'web1'\ntype = 'disk'\npath = '/'\ntags = ['front']\nused = '99%,100%'\n[[check]]\nname = 'db'\ntype = 'disk'\npath = '/'\nused = '99%,100%'\n",
    );
    let wrong = lists.run(&["wbe1"]);
    assert!(wrong.is("UNKNOWN").contains("did you mean `web1`?"));
    assert!(
        lists
            .run(&["tag:fornt"])
            .is("UNKNOWN")
            .contains("did you mean `tag:front`?")
    );
    lists.run(&["tag:fr*"]).is("OK");
    lists.run(&["w*"]).is("OK");
    assert!(lists.run(&[]).is("OK").starts_with("2 checks fine"));
}

#[test]
fn an_exact_name_wins_over_a_pattern() {
    let lists = Lists::new(
        "[[check]]\nname = 'web*'\ntype = 'disk'\npath = '/'\nused = '99%,100%'\n[[check]]\nname = 'web1'\ntype = 'tcp'\nhost = '127.0.0.1:1'\n",
    );
    lists.run(&["web*"]).is("OK");
    lists.run(&["web1"]).is("CRITICAL");
    assert!(lists.run(&["web?"]).is("CRITICAL").contains("web1"));
}

#[test]
fn hosts_decide_where_a_check_runs() {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let lists = Lists::new(&format!(
        "[[check]]\nname = 'here'\ntype = 'disk'\npath = '/'\nused = '99%,100%'\nhosts = ['{host}']\n[[check]]\nname = 'there'\ntype = 'tcp'\nhost = '127.0.0.1:1'\nhosts = ['no-such-*']\n"
    ));
    lists.run(&[]).is("OK");
    assert!(koshu(&["list", "-c", &lists.file()]).out.contains("not on"));
    let nowhere = Lists::new("[[check]]\ntype = 'disk'\npath = '/'\nhosts = ['no-such-*']\n");
    assert!(
        nowhere
            .run(&[])
            .is("UNKNOWN")
            .contains("none of the 1 checks is for this host")
    );
}
