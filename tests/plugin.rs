//! `plugin`: other people's plugins and commands say what they said before, and nothing of them is left behind.

use crate::engine::{self, find};
use crate::koshu::{Lists, Said, command, koshu, said};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A folder with an executable script.
fn script(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("script");
    write(&path, text, 0o755);
    let shown = path.display().to_string();
    (folder, shown)
}

/// Written by another process: a file that this one has open for writing could be "busy" in a fork of another test.
fn write(path: &Path, text: &str, mode: u32) {
    let source = path.with_extension("source");
    fs::write(&source, text).expect("a file");
    fs::set_permissions(&source, fs::Permissions::from_mode(mode)).expect("a mode");
    let copied = Command::new("cp").arg("-p").arg(&source).arg(path).status();
    assert!(copied.is_ok_and(|it| it.success()));
}

fn shell(line: &str, more: &[&str]) -> Said {
    koshu(&[&["plugin", line, "shell=true"], more].concat())
}

/// Asserts that no process has this word in its command line.
#[track_caller]
fn gone(word: &str) {
    engine::until("everything to be gone", || {
        let found = Command::new("pgrep").args(["-f", word]).status();
        !found.is_ok_and(|it| it.success())
    });
}

#[test]
fn classic_plugins_say_what_they_said() {
    let Some(dummy) = find("check_dummy") else {
        return;
    };
    let dummy = dummy.display().to_string();
    for (code, word) in ["OK", "WARNING", "CRITICAL", "UNKNOWN"].iter().enumerate() {
        let command = format!("{dummy} {code} 'the text'");
        assert_eq!(koshu(&["plugin", &command]).is(word), "the text");
    }
    let Some(load) = find("check_load") else {
        return;
    };
    let command = format!("{} -w 1000,900,800 -c 3000,2000,1000", load.display());
    let said = koshu(&["plugin", &command, "--format", "json"]).json();
    let perf = &said["checks"][0]["perf"];
    assert_eq!(perf["load1"]["warn"], "1000", "{said}");
    assert_eq!(perf["load15"]["crit"], "1000", "{said}");
    assert_eq!(
        said["checks"][0]["name"], "plugin check_load",
        "no arguments in the name"
    );
}

#[test]
fn perfdata_is_passed_on_as_it_came() {
    let (_folder, path) = script(
        "#!/bin/sh\necho \"DISK OK - 2 disks | '/my disk'=2643MB;5948;@10:20;0;5968 n=18446744073709551615c\"\necho long text\necho 'more | x=1.50us;;;0'\necho 'y=U z=nan'\n",
    );
    let said = koshu(&["plugin", &path]);
    assert_eq!(
        said.out,
        "OK - 2 disks | '/my disk'=2643MB;5948;@10:20;0;5968 n=18446744073709551615c x=1.50us;;;0\nnote: this is no perfdata: \"z=nan\"\nlong text\nmore\n"
    );
    let list = Lists::new(&format!(
        "[[check]]\nname = 'disks'\ntype = 'plugin'\ncommand = '{path}'\n[[check]]\ntype = 'plugin'\nname = 'b'\ncommand = '{path}'\n"
    ));
    let said = list.run(&[]);
    said.has(" | 'disks./my disk'=2643MB;5948;@10:20;0;5968 disks.n=");
    said.has(" 'b./my disk'=2643MB;").has(" b.x=1.50us;;;0");
}

#[test]
fn what_stands_before_the_state_word_does_not_hide_it() {
    for text in [
        r"\n\n  \nCRITICAL - the text | a=1\n",
        r"\357\273\277CRITICAL - the text | a=1",
        r"\033[1;31mCRITICAL\033[0m - the text | a=1\033[0m\n",
        r"\357\273\277\033[31mDISK CRITICAL\033[m: \033[4mthe text\033[24m | a=1\r\n",
        r"[CRITICAL] - the text | a=1\n",
    ] {
        let said = shell(&format!("printf '{text}'; exit 2"), &[]);
        assert_eq!(said.is("CRITICAL"), "the text", "{text}");
        said.has(" | a=1\n");
    }
}

#[test]
fn perfdata_alone_is_no_silence() {
    let said = shell("echo '| time=1.5s;2;3 size=7KB'", &[]);
    assert_eq!(said.is("OK"), "time=1.5s, size=7KB");
    said.has(" | time=1.5s;2;3 size=7KB");
}

#[test]
fn labels_are_told_apart_as_they_came() {
    let said = shell(
        r"printf '%s\n' 'OK - x | C:\ Used Space=12GB;80;90 D:\ Used Space=3GB '\''CN=a, O=b'\''=5'",
        &[],
    );
    said.has(r" | 'C:\ Used Space'=12GB;80;90 'D:\ Used Space'=3GB 'CN=a, O=b'=5");
}

#[test]
fn a_number_in_which_the_output_is_cut_is_left_out() {
    // The last 5 of 1234567 would be beyond what is kept.
    let line = "printf 'OK - x | a=1 b=1234'; head -c 300000 /dev/zero | tr '\\0' 5; echo ' c=3'";
    let said = shell(line, &["--format", "json"]);
    let perf = said.json()["checks"][0]["perf"].clone();
    assert_eq!(perf.as_object().map(|it| it.len()), Some(1), "{perf}");
    assert_eq!(perf["a"]["value"], 1.0, "{perf}");
}

#[test]
fn secrets_of_koshus_own_are_not_handed_on() {
    let line = "echo \"password=$KOSHU_ICINGA_PASSWORD token=$KOSHU_X_TOKEN other=$KOSHU_X own=$OWN_TOKEN\"";
    let run = |more: &[&str]| {
        let mut run = command(&[&["plugin", line, "shell=true"], more].concat());
        run.env("KOSHU_ICINGA_PASSWORD", "p-7c2f")
            .env("KOSHU_X_TOKEN", "t-7c2f")
            .env("KOSHU_X", "x")
            .env("OWN_TOKEN", "mine");
        said(&mut run).is("OK").to_owned()
    };
    assert_eq!(run(&[]), "password= token= other=x own=mine");
    // What is given on purpose arrives.
    let given = "env={ KOSHU_X_TOKEN = { env = \"OWN_TOKEN\" } }";
    assert_eq!(run(&[given]), "password= token=mine other=x own=mine");
}

#[test]
fn a_parent_that_ignores_the_end_of_children_harms_no_plugin() {
    let Some(perl) = find("perl") else {
        return;
    };
    let script = "$SIG{CHLD} = 'IGNORE'; exec @ARGV";
    let out = Command::new(perl)
        .args(["-e", script])
        .arg(crate::koshu::binary())
        .args(["plugin", "echo fine; exit 1", "shell=true"])
        .env("STATE_DIRECTORY", "/dev/null/no-history")
        .output()
        .expect("perl");
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(
        (text.as_ref(), out.status.code()),
        ("WARNING - fine\n", Some(1))
    );
}

#[test]
fn a_working_directory_that_may_not_be_entered_harms_no_plugin() {
    if !rustix::process::geteuid().is_root() || find("setpriv").is_none() {
        engine::skip("only root can become another user");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("a mode");
    // The binary may lie where nobody may look.
    let copy = tempfile::tempdir().expect("a folder");
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let koshu = copy.path().join("koshu");
    let copied = Command::new("cp")
        .arg(crate::koshu::binary())
        .arg(&koshu)
        .status();
    assert!(copied.is_ok_and(|it| it.success()));
    let run = |words: &[&str]| {
        let out = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&koshu)
            .args(words)
            .current_dir(folder.path())
            .env("STATE_DIRECTORY", "/dev/null/no-history")
            .output()
            .expect("koshu");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert_eq!(run(&["plugin", "/bin/echo fine"]), "OK - fine\n");
    let dir = format!("dir={}", folder.path().display());
    let said = run(&["plugin", "/bin/echo fine", &dir]);
    let why = format!(" may not enter the folder {}\n", folder.path().display());
    assert!(
        said.starts_with("UNKNOWN - user ") && said.ends_with(&why),
        "{said}"
    );
}

#[test]
fn states_of_a_plugin_can_be_regraded() {
    shell("echo no idea; exit 3", &["grade={ unknown = \"warning\" }"]).is("WARNING");
    shell("echo bad; exit 2", &["grade={ critical = \"warning\" }"]).is("WARNING");
    let silent = shell("true", &[]);
    assert_eq!(silent.is("UNKNOWN"), "exits with 0 but says nothing");
    shell("true", &["grade={ no-output = \"ok\" }"]).is("OK");
}

#[test]
fn every_way_to_fail_says_exactly_that() {
    koshu(&["plugin", "koshu-no-such-plugin"])
        .has("koshu-no-such-plugin not found in ")
        .has("/bin")
        .is("UNKNOWN");
    koshu(&["plugin", "/no/such/plugin"])
        .has("/no/such/plugin not found")
        .is("UNKNOWN");
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    write(&at("data"), "text\n", 0o644);
    write(&at("nothing"), "just text\n", 0o755);
    write(&at("lost"), "#!/no/such/interpreter -x\n", 0o755);
    for (name, words) in [
        ("data", "is not executable for user "),
        ("nothing", "is no program: a script begins with #!"),
        ("lost", "wants /no/such/interpreter, which is not found"),
    ] {
        let path = at(name).display().to_string();
        koshu(&["plugin", &path]).has(words).is("UNKNOWN");
    }
    let said = shell("echo x; exit 42", &[]);
    assert_eq!(
        said.is("UNKNOWN"),
        "exits with 42, which is no state of a plugin (0 to 3); it says \"x\""
    );
    shell("exit 255", &[]).has("exits with 255").is("UNKNOWN");
    shell("no-such-command-here", &[])
        .has("the shell does not find")
        .is("UNKNOWN");
    shell("kill -SEGV $$", &[])
        .has("killed by signal 11 (SIGSEGV)")
        .is("UNKNOWN");
    shell("echo why >&2; exit 2", &[])
        .has("on stderr it says \"why\"")
        .has("stderr: why")
        .is("CRITICAL");
    let late = shell(
        "echo half-way; sleep 60",
        &["timeout=300ms", "late=warning"],
    );
    assert_eq!(
        late.is("WARNING"),
        "no answer, and it was killed; it says \"half-way\" (timeout 0.3 s)"
    );
}

#[test]
fn a_grandchild_that_holds_stdout_costs_nothing_and_does_not_survive() {
    let begin = Instant::now();
    shell("sleep 7341 & echo done", &["timeout=30s"]).is("OK");
    assert!(begin.elapsed() < Duration::from_secs(10));
    gone("sleep 7341");
}

#[test]
fn a_script_that_starts_a_daemon_may_keep_it() {
    shell("sleep 7342 & echo done", &["keep_children=true"]).is("OK");
    let found = Command::new("pkill").args(["-f", "^sleep 7342$"]).status();
    assert!(found.is_ok_and(|it| it.success()), "it was still there");
}

#[test]
fn whatever_it_does_it_ends_at_its_deadline_and_nothing_survives() {
    let cases = [
        ("trap '' TERM INT; sleep 7343; sleep 7343", "sleep 7343"),
        ("exec >&- 2>&-; sleep 7344", "sleep 7344"),
        (
            "(trap '' TERM; sleep 7345 & sleep 7345) & sleep 7345",
            "sleep 7345",
        ),
        ("kill -STOP $$; sleep 7346", "sleep 7346"),
        ("while :; do echo spam; done # 7347", "spam; done # 7347"),
    ];
    for (line, word) in cases {
        let begin = Instant::now();
        let said = shell(line, &["timeout=400ms"]);
        assert!(
            said.is("CRITICAL")
                .starts_with("no answer, and it was killed"),
            "{line}"
        );
        assert!(begin.elapsed() < Duration::from_secs(10), "{line}");
        gone(word);
    }
}

/// Ways out of the process group; each leaves a `sleep` of the given number behind.
const ESCAPES: [&str; 6] = [
    "timeout 600 sleep N >/dev/null 2>&1 & echo out",
    "set -m; sleep N >/dev/null 2>&1 & echo out",
    "setsid sleep N >/dev/null 2>&1 & sleep 0.2; echo out",
    r#"(setsid sh -c "sleep N & sleep N" >/dev/null 2>&1 &) ; sleep 0.2; echo out"#,
    r#"setsid sh -c "trap : TERM HUP; setsid timeout 600 sleep N & wait" >/dev/null 2>&1 & sleep 0.2; echo out"#,
    "env -i /usr/bin/setsid /bin/sleep N >/dev/null 2>&1 & sleep 0.2; echo out",
];

#[test]
fn what_leaves_its_group_does_not_survive_its_program() {
    for (number, line) in (7360..).zip(ESCAPES) {
        let said = shell(&line.replace('N', &number.to_string()), &["timeout=30s"]);
        assert_eq!(said.is("OK"), "out", "{line}");
        assert!(said.took < Duration::from_secs(10), "{line}");
        gone(&format!("sleep {number}$"));
    }
}

#[test]
fn what_leaves_its_group_does_not_survive_the_deadline() {
    for (number, line) in (7370..).zip(ESCAPES) {
        let line = format!("{}; sleep {number}", line.replace('N', &number.to_string()));
        let said = shell(&line, &["timeout=800ms"]);
        let late = "no answer, and it was killed";
        assert!(said.is("CRITICAL").starts_with(late), "{line}");
        gone(&format!("sleep {number}$"));
    }
    // Programs beside each other each take their own along.
    let check = |(number, line): (usize, &&str)| {
        let line = line.replace('N', &(7380 + number).to_string());
        format!(
            "[[check]]\nname = 'c{number}'\ntype = 'plugin'\nshell = true\ncommand = '{line}'\n"
        )
    };
    let checks = ESCAPES.iter().enumerate().map(check);
    Lists::new(&checks.collect::<String>()).run(&[]).is("OK");
    gone("sleep 738[0-9]$");
}

#[test]
fn a_daemon_that_may_be_kept_lives_on_whatever_it_does() {
    let daemons = [
        "setsid sleep 7390",
        "env -i /usr/bin/setsid /bin/sleep 7391",
    ];
    let check = |(number, line): (usize, &&str)| {
        format!(
            "[[check]]\nname = 'c{number}'\ntype = 'plugin'\nshell = true\nkeep_children = true\ncommand = '{line} >/dev/null 2>&1 & sleep 0.2; echo out'\n"
        )
    };
    let checks: String = daemons.iter().enumerate().map(check).collect();
    let other = "[[check]]\nname = 'other'\ntype = 'plugin'\nshell = true\ncommand = 'setsid sleep 7392 >/dev/null 2>&1 & echo out'\n";
    Lists::new(&format!("{checks}{other}")).run(&[]).is("OK");
    gone("sleep 7392$");
    for number in [7390, 7391] {
        let word = format!("sleep {number}$");
        let found = Command::new("pkill").args(["-f", &word]).status();
        assert!(found.is_ok_and(|it| it.success()), "{number} lives");
    }
}

#[test]
fn nothing_survives_a_koshu_that_is_killed() {
    let lines = [
        "exec sleep N",
        "sleep N; true",
        "setsid sleep N; true",
        "setsid -f timeout 600 sleep N; sleep N; true",
    ];
    for (number, line) in (7400..).zip(lines) {
        let line = line.replace('N', &number.to_string());
        let mut child = Command::new(crate::koshu::binary())
            .args(["plugin", &line, "shell=true", "timeout=600s"])
            .env("STATE_DIRECTORY", "/dev/null/no-history")
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("koshu starts");
        let word = format!("^sleep {number}$");
        engine::until("the command", || {
            let found = Command::new("pgrep").args(["-f", &word]).output();
            found.is_ok_and(|it| it.status.success())
        });
        child.kill().expect("a signal");
        child.wait().expect("an end");
        gone(&format!("sleep {number}"));
    }
}

#[test]
fn a_gigabyte_of_output_is_read_and_forgotten() {
    let said = shell(
        "head -c 1000000000 /dev/zero | tr '\\0' 'x'; exit 1",
        &["timeout=45s"],
    );
    said.is("WARNING");
    said.has("953.4 MiB more of its output are left out");
    assert!(said.out.len() <= 4096);
}

#[test]
fn what_is_cut_off_with_the_run_is_killed_too() {
    let list = Lists::new(
        "[[check]]\nname = 'slow'\ntype = 'plugin'\ncommand = 'sleep 7348'\ntimeout = '60s'\n",
    );
    list.run(&["--deadline", "500ms"]).is("UNKNOWN");
    gone("sleep 7348");
}

#[test]
fn a_stopped_run_leaves_nothing_behind() {
    let child = Command::new(crate::koshu::binary())
        .args(["plugin", "sleep 7349"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("koshu starts");
    engine::until("the command", || {
        let found = Command::new("pgrep").args(["-f", "^sleep 7349$"]).status();
        found.is_ok_and(|it| it.success())
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    let out = child.wait_with_output().expect("an end");
    assert_eq!(out.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&out.stdout).contains("stopped by SIGTERM"));
    gone("^sleep 7349$");
}

#[test]
fn it_has_its_folder_its_variables_and_no_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = format!("dir={}", folder.path().display());
    let said = shell(
        "cat; echo \"$(pwd) $GREETING\"",
        &[&dir, "env={ GREETING = \"hello\" }"],
    );
    assert_eq!(said.is("OK"), format!("{} hello", folder.path().display()));
    shell("true", &["dir=/no/such/folder"])
        .has("there is no folder /no/such/folder")
        .is("UNKNOWN");
    let said = shell(
        "echo x$TOKEN",
        &["env={ TOKEN = { env = \"KOSHU_NOT_SET\" } }"],
    );
    said.has("KOSHU_NOT_SET is not set").is("UNKNOWN");
}

#[test]
fn a_short_script_becomes_three_lines_of_toml() {
    let line = "printf 'jobs: 7\\nfailed: 2\\n'";
    let pattern = r"pattern=jobs: (?<jobs>\d+)\s+failed: (?<failed>\d+)";
    let limits = "limits={ failed = \"~:0,~:5\", jobs = \"1:,\" }";
    let said = shell(line, &[pattern, limits]);
    assert_eq!(said.is("WARNING"), "failed is 2");
    said.has(" | jobs=7;1: failed=2;~:0;~:5");
    shell("exit 3", &["exit=[3, 4]"]).is("OK");
    assert_eq!(
        shell("exit 5", &["exit=0"]).is("CRITICAL"),
        "exits with 5, expected 0"
    );
    shell("echo x", &["pattern=y"])
        .has("/y/ finds nothing; it says \"x\"")
        .is("CRITICAL");
}

#[test]
fn hostile_output_injects_nothing() {
    let (_folder, path) = script(
        "#!/bin/sh\nprintf 'OK - a\\033[2J\\tb\\000c\\377 \\342\\200\\256 | x=1;2;3;4;5;6\\n| y=1 | z=2\\n'\n",
    );
    let said = koshu(&["plugin", &path]);
    said.is("OK");
    assert!(
        !said.out.contains(['\u{1b}', '\0', '\u{202e}', '\t']),
        "{:?}",
        said.out
    );
    assert_eq!(said.out.matches('|').count(), 1);
    said.has("y=1 z=2");
}

#[test]
fn arguments_of_a_command_are_not_shown() {
    let said = koshu(&["plugin", "sh -c 'exit 0' password-7c2f", "--format", "json"]);
    assert!(!said.out.contains("password-7c2f"), "{}", said.out);
    let said = shell("PASSWORD=secret-7c2f true", &["--format", "json"]);
    assert!(!said.out.contains("secret-7c2f"), "{}", said.out);
}

#[test]
fn commands_that_wait_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    // Each ends only when all have begun.
    let line = "touch $N; while [ $(ls | wc -l) -lt 24 ]; do sleep 0.1; done";
    let check = |number: u32| {
        format!(
            "[[check]]\nname = 'c{number}'\ntype = 'plugin'\nshell = true\ncommand = '{line}'\nenv = {{ N = 'c{number}' }}\ndir = '{}'\nexit = 0\ntimeout = '40s'\n",
            folder.path().display()
        )
    };
    let list = Lists::new(&(0..24).map(check).collect::<String>());
    let said = list.run(&["--format", "json"]);
    assert_eq!(said.json()["state"], 0, "{}", said.out);
}
