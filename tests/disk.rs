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

/// In a mount namespace of its own with an fstab and two file systems in files, `a` and `b`; `$1` is a folder.
fn with_fstab(fstab: &str, script: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "mkdir -p $1/srv $1/big; cat > $1/fstab <<EOF\n{fstab}\nEOF\n[ -e /etc/fstab ] || exit 99; mount --bind $1/fstab /etc/fstab || exit 99\n\
         koshu() {{ $KOSHU \"$@\" used=99.9%,100% inodes=99.9%,100%; echo \"exit $?\"; }}\n{script}"
    );
    namespace::mounting(&script, folder.path())
}

#[test]
fn a_data_disk_that_is_not_mounted_is_never_ok() {
    let Some(out) = with_fstab(
        "/dev/a $1/srv ext4 nofail 0 2\n/dev/b $1/srv/hand ext4 noauto 0 0\n/dev/c $1/srv/auto ext4 x-systemd.automount 0 0\n",
        "mkdir $1/srv/hand $1/srv/auto; ln -s $1/srv $1/link\n\
         for path in $1/srv $1/srv/deep/er $1/srv/hand $1/link $1/srv/../srv; do koshu disk $path; done\n\
         mount -t tmpfs a $1/srv && mkdir $1/srv/hand\n\
         for path in $1/srv $1/srv/hand $1/link; do koshu disk $path; done",
    ) else {
        return;
    };
    let lines: Vec<&str> = out.lines().collect();
    let ends: Vec<&&str> = lines.iter().filter(|it| it.starts_with("exit")).collect();
    assert_eq!(
        ends,
        [
            &"exit 2", &"exit 2", &"exit 2", &"exit 2", &"exit 2", &"exit 0", &"exit 0", &"exit 0"
        ],
        "{out}"
    );
    assert!(
        out.contains("/srv is not mounted, though fstab wants it to be; it lies on /"),
        "{out}"
    );
    assert!(
        out.contains("/srv is not mounted, though fstab wants it to be; ")
            && out.contains("/srv/deep/er should lie on it"),
        "{out}"
    );
}

#[test]
fn all_file_systems_are_those_that_fstab_wants_too() {
    let Some(out) = with_fstab(
        "/dev/a $1/srv ext4 defaults 0 2\nx $1/tmp tmpfs defaults 0 0\n",
        "koshu disk; koshu disk exclude=$1/srv",
    ) else {
        return;
    };
    assert!(
        out.starts_with("CRITICAL - ") && out.contains("/srv is not mounted, though fstab"),
        "{out}"
    );
    assert_eq!(out.matches("is not mounted").count(), 1, "{out}");
}

#[test]
fn a_disk_that_only_history_knows_is_missed() {
    let Some(out) = with_fstab(
        "",
        "mount -t tmpfs data $1/srv\n\
         printf '[[check]]\\nname=\"data\"\\ntype=\"disk\"\\npath=\"%s\"\\nused=\"99.9%%,100%%\"\\ninodes=\"99.9%%,100%%\"\\n' $1/srv > $1/l.toml\n\
         run() { $KOSHU run -c $1/l.toml --state $1/h.db </dev/null; echo \"exit $?\"; }\n\
         run $1; umount $1/srv; run $1; run $1; echo 'grade = { was-mounted = \"ok\" }' >> $1/l.toml; run $1; sed -i '$d' $1/l.toml; mount -t tmpfs data $1/srv; run $1",
    ) else {
        return;
    };
    let ends: Vec<&str> = out.lines().filter(|it| it.starts_with("exit")).collect();
    assert_eq!(
        ends,
        ["exit 0", "exit 1", "exit 1", "exit 0", "exit 0"],
        "{out}"
    );
    assert!(
        out.contains("/srv is not mounted any more, as it was until 2"),
        "{out}"
    );
}

#[test]
fn a_path_is_where_the_kernel_says_that_it_is() {
    let Some(out) = with_fstab(
        "$1/img $1/alias/x ext4 defaults 0 0\n",
        "mkdir -p $1/big/x $1/a/b $1/twin; ln -s big $1/alias; ln -s big/x $1/link\n\
         mount -t tmpfs big $1/big/x || exit 99; mkdir $1/big/x/sub\n\
         for path in $1/link $1/a/../big/x $1/alias/x $1/link/sub; do koshu disk $path; done\n\
         koshu mount $1/link | sed 's/ used=.*//'\n\
         mount -t tmpfs inner $1/a/b; mount -t tmpfs outer $1/a; mkdir $1/a/b; koshu disk $1/a/b\n\
         mount --bind $1/big/x $1/twin; koshu disk $1/twin\n\
         name=$(printf 'caf\\351'); mkdir $1/$name; mount -t tmpfs latin $1/$name; koshu disk \"path=$1/caf?\" \n\
         mkdir '$1/[2026]' 2>/dev/null; mkdir \"$1/[2026]\" $1/2; mount -t tmpfs brackets \"$1/[2026]\"; koshu disk \"$1/[2026]\"\n\
         touch $1/file $1/over; mount --bind $1/file $1/over; koshu disk $1/over",
    ) else {
        return;
    };
    let lines: Vec<&str> = out.lines().filter(|it| it.contains(" - ")).collect();
    for (line, on) in [
        (0, "/big/x (where "),
        (1, "/big/x (where "),
        (2, "/big/x (where "),
        (3, "/big/x (where "),
        (5, "/a (where "),
        (6, "/twin | "),
        (8, "/[2026] | "),
        (9, "/over | "),
    ] {
        assert!(
            lines[line].starts_with("OK - ") && lines[line].contains(on),
            "{line}, {on}: {out}"
        );
    }
    assert!(
        lines[7].starts_with("OK - ") && lines[7].contains("caf"),
        "{out}"
    );
}

#[test]
fn of_several_paths_the_one_that_is_missing_is_named() {
    let said = koshu(&["disk", "path=['/', '/srv/no-such-db']"]);
    assert_eq!(said.is("CRITICAL"), "/srv/no-such-db does not exist");
    let said = koshu(&["disk", "path=['/srv/no-such-db', '/']"]);
    assert_eq!(said.is("CRITICAL"), "/srv/no-such-db does not exist");
    assert!(!said.out.contains("2 file systems"), "{}", said.out);
}
