//! `disk`: agrees with df, and a mount that never answers costs only itself.

use crate::koshu::koshu;
use crate::namespace;
use std::process::Command;
use std::time::{Duration, Instant};

fn df(words: &[&str]) -> Vec<String> {
    let out = Command::new("df").args(words).output().expect("df");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = text.lines().last().unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

fn perf(said: &crate::koshu::Said, label: &str) -> f64 {
    let perf = &said.json()["checks"][0]["perf"][label]["value"];
    perf.as_f64()
        .unwrap_or_else(|| panic!("no {label} in {}", said.out))
}

#[test]
fn it_counts_as_df_counts() {
    let fields = df(&["-B1", "--output=used,avail,pcent,iused", "/"]);
    let number = |it: usize| {
        fields[it]
            .trim_end_matches('%')
            .parse::<f64>()
            .expect("a number")
    };
    let said = koshu(&["disk", "/", "used=99%,100%", "free=1B,", "--format", "json"]);
    // Other programs write while we look.
    let near = |a: f64, b: f64| (a - b).abs() <= 64e6;
    assert!(
        near(perf(&said, "used"), number(0)),
        "{} {fields:?}",
        said.out
    );
    assert!(
        near(perf(&said, "free"), number(1)),
        "{} {fields:?}",
        said.out
    );
    let percent = perf(&said, "used_pct").ceil();
    assert!((percent - number(2)).abs() <= 1.0, "{percent} {fields:?}");
}

#[test]
fn limits_in_percent_and_bytes_alarm() {
    koshu(&["disk", "/", "used=0%,"]).is("WARNING");
    koshu(&["disk", "/", "used=,0%"]).is("CRITICAL");
    koshu(&["disk", "/", "free=8000TB,"]).is("WARNING");
    koshu(&["disk", "/", "used=99.9%,100%", "inodes=0%,"]).has("of the inodes used");
}

#[test]
fn a_path_stands_for_its_file_system() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    assert!(
        koshu(&["disk", &path, "used=99%,100%"])
            .is("OK")
            .contains(&format!("(where {path} is)"))
    );
    assert!(
        koshu(&["disk", "/no/such/path"])
            .is("CRITICAL")
            .contains("/no/such/path does not exist")
    );
}

#[test]
fn all_real_file_systems_are_the_default() {
    let said = koshu(&[
        "disk",
        "used=99.9%,100%",
        "inodes=99.9%,100%",
        "--format",
        "json",
    ]);
    assert_eq!(said.json()["state"], 0, "{}", said.out);
    assert!(!said.out.contains("/proc"), "{}", said.out);
}

/// In a mount namespace of its own: a FUSE file system whose daemon never answers, not even INIT.
fn with_hanging_mount(script: &str) -> Option<String> {
    if !std::path::Path::new("/dev/fuse").exists() {
        // The device is the kernel's, and no package brings it.
        crate::engine::skip("no /dev/fuse here");
        return None;
    }
    let script = format!(
        "mkdir -p \"$1/hang\" && exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=040000,user_id=0,group_id=0 deadserver:/export \"$1/hang\" || exit 99\n{script}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    namespace::mounting(&script, folder.path())
}

#[test]
fn a_mount_that_never_answers_costs_only_itself() {
    let begin = Instant::now();
    let Some(out) = with_hanging_mount(
        "cat > $1/l.toml <<EOF\n[[check]]\nname='hang'\ntype='disk'\npath='$1/hang'\ntimeout='1s'\n[[check]]\nname='root'\ntype='disk'\npath='/'\nused='99.9%,100%'\ninodes='99.9%,100%'\n[[check]]\nname='both'\ntype='disk'\npath=['/', '$1/hang']\ntimeout='1s'\nused='99.9%,100%'\nEOF\n$KOSHU run -c $1/l.toml; echo \"exit $?\"; pgrep -fc \"statvfs-helper .*$1\"",
    ) else {
        return;
    };
    assert!(begin.elapsed() < Duration::from_secs(6));
    assert!(
        out.starts_with("CRITICAL - hang: ")
            && out.contains("/hang on deadserver:/export: not answering"),
        "{out}"
    );
    assert!(out.contains("; 1 OK"), "{out}");
    assert!(
        out.contains("CRITICAL - both: ") && out.contains("exit 2"),
        "{out}"
    );
    assert!(out.trim_end().ends_with('0'), "no helper is left: {out}");
}

#[test]
fn a_history_that_never_answers_costs_two_seconds_and_a_sentence() {
    let begin = Instant::now();
    let list = "[[check]]\nname='a'\ntype='file'\npath='/nowhere'\nconfirm=2\n[[check]]\nname='b'\ntype='file'\npath='/'\n";
    let Some(out) = with_hanging_mount(&format!(
        "cat > $1/l.toml <<EOF\n{list}EOF\n$KOSHU run -c $1/l.toml --state $1/hang/history.db; echo \"exit $?\"; sed -i 's/confirm=2/every=\"1h\"/' $1/l.toml; $KOSHU run -c $1/l.toml --state $1/hang/history.db; echo \"exit $?\""
    )) else {
        return;
    };
    assert!(begin.elapsed() < Duration::from_secs(9), "{out}");
    assert_eq!(out.matches("CRITICAL - a: ").count(), 4, "{out}");
    assert_eq!(out.matches("exit 2").count(), 2, "{out}");
    assert!(
        out.contains("nothing can be confirmed: the history does not answer"),
        "{out}"
    );
}

#[test]
fn a_helper_that_hangs_from_an_earlier_run_gets_no_company() {
    // The helper of an earlier run that even SIGKILL cannot end is one that we start ourselves.
    let Some(out) = with_hanging_mount(
        "$KOSHU statvfs-helper $1/hang & sleep 2.5; for i in 1 2 3; do $KOSHU disk $1/hang timeout=3s; done; pgrep -fc 'statvfs-helper' -P $$; kill -9 %1",
    ) else {
        return;
    };
    let since: Vec<&str> = out
        .lines()
        .filter(|it| it.contains("not answering since "))
        .collect();
    assert_eq!(since.len(), 3, "{out}");
    assert!(
        out.trim_end().ends_with('1'),
        "one helper, the first: {out}"
    );
}
