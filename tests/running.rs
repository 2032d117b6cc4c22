//! Everything at once, always an answer in time, every check accounted for by name.

use crate::koshu::{Lists, binary, koshu};
use crate::server;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A list of `count` HTTP checks of one address.
fn pages(count: usize, address: SocketAddr, keys: &str) -> Lists {
    let one = |it: usize| {
        format!(
            "[[check]]\nname = 'page {it}'\ntype = 'http'\nurl = 'http://{address}/{it}'\n{keys}\n"
        )
    };
    Lists::new(&(0..count).map(one).collect::<String>())
}

#[test]
fn endpoints_that_never_answer_take_one_timeout_together() {
    let lists = pages(300, server::black_hole(), "timeout = '1s'");
    let said = lists.run(&[]);
    assert!(said.is("CRITICAL").contains("no answer in time"));
    assert!(said.took < Duration::from_secs(4), "{:?}", said.took);
    assert!(
        said.first().contains("299 more CRITICAL"),
        "{}",
        said.first()
    );
}

#[test]
fn a_check_behind_a_hanging_one_does_not_wait() {
    let lists = pages(3, server::black_hole(), "timeout = '2s'");
    let fast = server::page("200 OK", "", "x");
    let mut text = std::fs::read_to_string(lists.file()).expect("the list");
    text.push_str(&format!(
        "[[check]]\nname = 'fast'\ntype = 'http'\nurl = 'http://{fast}/'\n"
    ));
    lists.add("checks.toml", text.as_bytes());
    let document = lists.run(&["--format", "json"]).json();
    let fast = &document["checks"][3];
    assert_eq!(fast["state"], 0);
    assert!(
        fast["duration"].as_f64().is_some_and(|it| it < 1.0),
        "{fast}"
    );
}

#[test]
fn the_deadline_of_the_run_accounts_for_every_check_by_name() {
    let lists = pages(5, server::black_hole(), "timeout = '30s'");
    let begin = Instant::now();
    let said = lists.run(&[
        "--deadline",
        "1s",
        "--parallel",
        "2",
        "--format",
        "json",
        "--exit",
        "state",
    ]);
    assert!(
        begin.elapsed() < Duration::from_millis(1900),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(
        said.code, 3,
        "what the run cut off is UNKNOWN, not CRITICAL"
    );
    let checks = said.json()["checks"].as_array().cloned().expect("checks");
    assert_eq!(checks.len(), 5);
    let summaries: Vec<&str> = checks
        .iter()
        .filter_map(|it| it["summary"].as_str())
        .collect();
    assert!(summaries[0].contains("no answer in time"), "{summaries:?}");
    assert!(
        summaries[4].contains("not started: the run's deadline of 1 s came first"),
        "{summaries:?}"
    );
}

#[test]
fn late_has_the_state_that_the_list_gives_it() {
    let lists = pages(
        1,
        server::black_hole(),
        "timeout = '300ms'\nlate = 'warning'",
    );
    assert!(lists.run(&[]).is("WARNING").contains("no answer in time"));
}

#[test]
fn a_failure_is_looked_at_again_before_anyone_is_woken() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let address = server::serve(move |mut stream| {
        server::head(&mut stream);
        let status = match count.fetch_add(1, Ordering::SeqCst) {
            0 => "503 Reloading",
            _ => "200 OK",
        };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    });
    let lists = pages(1, address, "retry = { times = 2, wait = '100ms' }");
    let said = lists.run(&[]);
    said.is("OK");
    said.has("look 1 said: CRITICAL - HTTP 503");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn retries_end() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let address = server::serve(move |mut stream| {
        server::head(&mut stream);
        count.fetch_add(1, Ordering::SeqCst);
        let _ = stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    });
    let said = pages(1, address, "retry = { times = 2, wait = '10ms' }").run(&[]);
    said.is("CRITICAL");
    said.has("look 2 said: CRITICAL - HTTP 500");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[test]
fn a_timeout_is_looked_at_again_too() {
    let lists = pages(
        1,
        server::black_hole(),
        "timeout = '200ms'\nretry = { times = 1 }",
    );
    lists
        .run(&[])
        .has("look 1 said: CRITICAL - ")
        .is("CRITICAL");
}

fn stopped_by(signal: &str) {
    let lists = pages(3, server::black_hole(), "timeout = '30s'");
    // Under nohup a signal would be ignored here, too, and koshu is to leave it so.
    let child = Command::new("env")
        .arg("--default-signal")
        .arg(binary())
        .args(["run", "-c", &lists.file(), "--state", "none"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("koshu");
    sleep(Duration::from_millis(400));
    let begin = Instant::now();
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &pid])
            .status()
            .expect("kill")
            .success()
    );
    let output = child.wait_with_output().expect("koshu ends");
    assert!(begin.elapsed() < Duration::from_secs(2));
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(3), "{out}");
    let name = signal.trim_start_matches('-');
    assert!(
        out.starts_with(&format!(
            "UNKNOWN - stopped by SIG{name}; 0 of 3 checks had answered"
        )),
        "{out}"
    );
    assert!(
        out.contains("page 2: cut off") && out.ends_with('\n'),
        "{out}"
    );
    assert!(output.stderr.is_empty());
}

#[test]
fn sigterm_still_gets_a_whole_answer() {
    stopped_by("-TERM");
}

#[test]
fn sigint_still_gets_a_whole_answer() {
    stopped_by("-INT");
}

#[test]
fn every_signal_that_ends_a_program_still_gets_a_whole_answer() {
    let signals = [
        "HUP", "QUIT", "USR1", "USR2", "ALRM", "XCPU", "VTALRM", "PROF", "IO", "ABRT", "TRAP",
    ];
    std::thread::scope(|scope| {
        for signal in signals {
            scope.spawn(move || stopped_by(&format!("-{signal}")));
        }
    });
}

/// What `koshu plugin` answers to a signal a moment after its start, called with a script before it.
fn signalled(before: &str, signal: &str) -> (String, Option<i32>) {
    let script = format!("{before} exec \"$@\"");
    let child = Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(binary())
        .args(["plugin", "sleep 1", "exit=0"])
        .env("STATE_DIRECTORY", "/dev/null/no-history")
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh");
    sleep(Duration::from_millis(400));
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(sent.is_ok_and(|it| it.success()));
    let out = child.wait_with_output().expect("an end");
    (
        String::from_utf8_lossy(&out.stdout).into_owned(),
        out.status.code(),
    )
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let (out, code) = signalled("trap '' HUP USR1;", "-HUP");
    assert!(out.starts_with("OK - "), "as under nohup: {out}");
    assert_eq!(code, Some(0));
    let (out, _) = signalled("trap '' HUP USR1;", "-USR2");
    assert!(out.starts_with("UNKNOWN - stopped by SIGUSR2"), "{out}");
    let (out, _) = signalled("", "-40");
    assert!(out.starts_with("UNKNOWN - stopped by signal 40"), "{out}");
}

#[test]
fn a_file_that_may_grow_no_more_is_an_error_of_writing() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "ulimit -f 0; {} disk / used=99.9%, > {}",
        binary().display(),
        folder.path().join("out").display()
    );
    let status = Command::new("sh")
        .args(["-c", &script])
        .status()
        .expect("sh");
    assert_eq!(status.code(), Some(3), "{status}");
}

#[test]
fn the_answer_is_the_same_whatever_finishes_first() {
    let slow = server::serve(|mut stream| {
        server::head(&mut stream);
        sleep(Duration::from_millis(300));
        let _ = stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    });
    let quick = server::page("500 No", "", "");
    let check = |name: &str, at: SocketAddr| {
        format!("[[check]]\nname = '{name}'\ntype = 'http'\nurl = 'http://{at}/'\n")
    };
    let lists = Lists::new(&(check("a", slow) + &check("b", quick) + &check("c", quick)));
    for _ in 0..3 {
        assert_eq!(
            lists.run(&[]).is("CRITICAL"),
            "a: HTTP 500 Internal Server Error; 2 more CRITICAL: b, c"
        );
    }
}

#[test]
fn without_a_list_this_host_is_checked_and_that_is_said() {
    if std::path::Path::new("/etc/koshu").exists() {
        crate::engine::skip("/etc/koshu exists here, so there is a list");
        return;
    }
    let said = koshu(&["run"]);
    said.has("there is no list in /etc/koshu").has("used=");
    koshu(&["list"]).has("disk /");
}

#[test]
fn a_terminal_shows_what_is_being_waited_for() {
    let Some(_) = crate::engine::find("script") else {
        return;
    };
    let lists = pages(2, server::black_hole(), "timeout = '1500ms'");
    let inner = format!("{} run -c {}", binary().display(), lists.file());
    let output = Command::new("script")
        .args(["-qec", &inner, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .expect("script");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(
        out.contains("0 of 2 done, waiting for page 0, page 1"),
        "{out}"
    );
    assert!(out.contains("\x1b[1;31mCRITICAL"), "{out}");
    let mut plain = Command::new("script");
    plain.args([
        "-qec",
        &format!("{} disk / used=99%,100%", binary().display()),
        "/dev/null",
    ]);
    let output = plain
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .expect("script");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("\x1b[1;"));
}

#[test]
fn a_check_that_pauses_before_its_next_look_is_waited_for_by_name() {
    let Some(_) = crate::engine::find("script") else {
        return;
    };
    let keys = "retry = { times = 1, wait = '1200ms' }";
    let lists = pages(1, server::closed(), keys);
    let inner = format!("{} run -c {}", binary().display(), lists.file());
    let output = Command::new("script")
        .args(["-qec", &inner, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .expect("script");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("0 of 1 done, waiting for page 0"), "{out}");
}

#[test]
fn an_answer_that_nobody_can_get_is_no_ok() {
    let koshu = binary().display().to_string();
    for (what, code) in [
        ("--version >&-", 3),
        ("disk / used=99.9%, >&-", 3),
        ("disk / used=99.9%, --format json >&-", 3),
        ("disk / used=99.9%, <&- >&- 2>&-", 3),
        // Open, but only to read.
        ("disk / used=99.9%, 1</dev/null", 3),
        ("disk / used=99.9%, >/dev/full", 3),
        // Whoever wants only the code gets it.
        ("disk / used=99.9%, >/dev/null", 0),
        ("disk / used=99.9%, 1<>/dev/null", 0),
        ("disk / used=99.9%, <&- 2>&- >/dev/null", 0),
    ] {
        let script = format!("{koshu} {what}; exit $?");
        let status = Command::new("sh")
            .args(["-c", &script])
            .env("STATE_DIRECTORY", "/dev/null/no-history")
            .status();
        assert_eq!(status.expect("sh").code(), Some(code), "{what}");
    }
}

#[test]
fn few_threads_serve_programs_too_and_are_told() {
    if !rustix::process::geteuid().is_root() || crate::engine::find("setpriv").is_none() {
        crate::engine::skip("only root can become a user that has nothing running");
        return;
    }
    let page = server::page("200 OK", "", "x");
    let lists = pages(12, page, "timeout = '5s'");
    let mut text = std::fs::read_to_string(lists.file()).expect("the list");
    for number in 0..2 {
        text.push_str(&format!(
            "[[check]]\nname = 'p{number}'\ntype = 'plugin'\ncommand = '/bin/echo fine'\n"
        ));
    }
    lists.add("checks.toml", text.as_bytes());
    // Where the user may look.
    let copy = tempfile::tempdir().expect("a folder");
    for (path, mode) in [(copy.path(), 0o755), (lists.path(), 0o755)] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    }
    let koshu = copy.path().join("koshu");
    let copied = Command::new("cp").arg(binary()).arg(&koshu).status();
    assert!(copied.is_ok_and(|it| it.success()));
    for limit in 1..=6 {
        // A user of its own, so that nobody else's processes count.
        let user = (61_000 + limit).to_string();
        let script = format!(
            "ulimit -u {limit}; exec {} run -c {} --state none --deadline 20s",
            koshu.display(),
            lists.file()
        );
        let begin = Instant::now();
        let out = Command::new("setpriv")
            .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
            .args(["bash", "-c", &script])
            .output()
            .expect("setpriv");
        let out = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(begin.elapsed() < Duration::from_secs(10), "{limit}: {out}");
        match limit {
            1 => assert!(
                out.starts_with("UNKNOWN - no thread could be started: "),
                "{out}"
            ),
            // One thread alone, and no room for a program.
            2 => assert!(
                out.contains("may have no more processes and threads"),
                "{out}"
            ),
            _ => assert!(out.starts_with("OK - 14 checks fine"), "{limit}: {out}"),
        }
    }
}
