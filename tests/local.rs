//! This host: load, CPU, memory, users and processes are those that free, ps, who and the classic plugins see,
//! also where the kernel's tables are simulated.

use crate::engine::{self, find};
use crate::koshu::{Said, binary, command, koshu, said};
use crate::namespace;
use crate::server;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A machine of which the kernel's tables are files that the test has written.
struct Machine(TempDir);

impl Machine {
    fn new() -> Machine {
        let machine = Machine(tempfile::tempdir().expect("a folder"));
        machine.write("proc/uptime", "100000.00 1.00\n");
        machine.write(
            "proc/stat",
            "cpu 100 0 100 800 0 0 0 0\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\n",
        );
        machine.process(1, "init", "S", 1, 0);
        machine
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// One process; its name in bytes, because nothing keeps names to be text.
    fn process(&self, pid: u32, name: impl AsRef<[u8]>, state: &str, pages: u64, parent: u32) {
        let mut stat = format!("{pid} (").into_bytes();
        stat.extend_from_slice(name.as_ref());
        stat.extend_from_slice(
            format!(
                ") {state} {parent} 0 0 0 0 0 0 0 0 0 500 500 0 0 20 0 3 0 100 99999 {pages} 0\n"
            )
            .as_bytes(),
        );
        self.write(&format!("proc/{pid}/stat"), stat);
    }

    #[track_caller]
    fn koshu(&self, words: &[&str]) -> Said {
        let mut command = command(words);
        command.env("KOSHU_PROC", self.0.path().join("proc"));
        command.env("KOSHU_SYS", self.0.path().join("sys"));
        said(&mut command)
    }
}

fn perf(said: &Said, label: &str) -> f64 {
    let perf = &said.json()["checks"][0]["perf"][label]["value"];
    perf.as_f64()
        .unwrap_or_else(|| panic!("no {label} in {}", said.out))
}

fn output(program: &str, words: &[&str]) -> String {
    let out = Command::new(program).args(words).output();
    let out = out.unwrap_or_else(|it| panic!("{program}: {it}"));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The number after a label in a plugin's perfdata.
fn classic(text: &str, label: &str) -> f64 {
    let (_, rest) = text
        .split_once(&format!("{label}="))
        .unwrap_or_else(|| panic!("no {label}: {text}"));
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    rest[..end].parse().expect("a number")
}

/// Runs a script with mounts of its own; none where that is not allowed.
fn in_namespace(script: &str) -> Option<String> {
    namespace::mounting(script, Path::new("/"))
}

#[test]
fn load_is_that_of_check_load_and_uptime() {
    let Some(check_load) = find("check_load") else {
        return;
    };
    let said = koshu(&["load", "--format", "json"]);
    let theirs = output(
        &check_load.display().to_string(),
        &["-w", "999", "-c", "999"],
    );
    assert!(
        (perf(&said, "load15") - classic(&theirs, "load15")).abs() < 0.5,
        "{theirs}"
    );
    let uptime = output("uptime", &[]);
    let five: f64 = uptime
        .trim()
        .rsplit(", ")
        .nth(1)
        .and_then(|it| it.parse().ok())
        .expect("a load");
    assert!((perf(&said, "load5") - five).abs() < 1.0, "{uptime}");
}

#[test]
fn load_is_divided_by_the_cpus_where_asked_and_names_suspects() {
    let machine = Machine::new();
    machine.write("proc/loadavg", "8.00 6.00 4.00 3/500 999\n");
    machine.process(7, "tar", "D", 10, 1);
    machine.write("proc/7/wchan", "nfs_wait_client");
    assert_eq!(
        machine.koshu(&["load"]).is("OK"),
        "load 8.00, 6.00, 4.00 on 4 CPUs, 3 of 500 tasks running"
    );
    machine.koshu(&["load", "load1=9,10"]).is("OK");
    let said = machine.koshu(&["load", "load1=1,3", "per_cpu=true"]);
    assert_eq!(
        said.is("WARNING"),
        "load 2 for each of 4 CPUs over 1 minute"
    );
    said.has("load1_per_cpu=2;1;3;0");
    said.has("waiting in the kernel: tar (pid 7, nfs_wait_client)");
}

#[test]
fn memory_is_that_of_free() {
    let said = koshu(&["memory", "available=0B,", "--format", "json"]);
    let free = output("free", &["-b"]);
    let row = |name: &str| -> Vec<f64> {
        let line = free.lines().find(|it| it.starts_with(name)).expect("a row");
        line.split_whitespace()
            .filter_map(|it| it.parse().ok())
            .collect()
    };
    let (memory, swap) = (row("Mem:"), row("Swap:"));
    assert!(
        (perf(&said, "available") - memory[5]).abs() < 300e6,
        "{free}"
    );
    let total = &said.json()["checks"][0]["perf"]["available"]["max"];
    assert_eq!(total.as_f64(), Some(memory[0]));
    if swap[0] > 0.0 {
        assert!((perf(&said, "swap") - swap[1]).abs() < 300e6, "{free}");
    }
}

#[test]
fn swap_is_counted_as_check_swap_counts() {
    if find("check_swap").is_none() {
        return;
    }
    let script = "set -e; printf 'MemTotal: 8000000 kB\\nMemFree: 100000 kB\\nMemAvailable: 3000000 kB\\nBuffers: 0 kB\\nCached: 0 kB\\nSwapCached: 50000 kB\\nSwapTotal: 4194304 kB\\nSwapFree: 1048576 kB\\n' > /tmp/meminfo.$$
mount --bind /tmp/meminfo.$$ /proc/meminfo; rm /tmp/meminfo.$$
/usr/lib/nagios/plugins/check_swap -w 10% -c 5% || true
$KOSHU memory swap=50%,90% || true";
    let Some(out) = in_namespace(script) else {
        return;
    };
    // check_swap tells what is free, koshu what is used, of the same.
    let free = classic(&out, "|swap");
    let used = classic(&out, " swap");
    assert!(
        (free + used - 4194304.0 * 1024.0).abs() < 2.0 * 1024.0 * 1024.0,
        "{out}"
    );
    assert!(
        out.contains("WARNING - 3.0 GiB of 4.0 GiB (74%) of swap used"),
        "{out}"
    );
}

#[test]
fn memory_that_runs_out_names_the_largest() {
    let machine = Machine::new();
    machine.write(
        "proc/meminfo",
        "MemTotal: 1000 kB\nMemAvailable: 40 kB\nSwapTotal: 0 kB\n",
    );
    machine.process(7, "java", "S", 1_000_000, 1);
    machine.process(8, "small", "S", 1, 1);
    let said = machine.koshu(&["memory"]);
    assert_eq!(said.is("CRITICAL"), "40.0 KiB of 1000.0 KiB (4%) available");
    said.has("by memory: java (pid 7) 3.8 GiB, init (pid 1) 4.0 KiB");
    machine
        .koshu(&["memory", "pressure=10%,"])
        .has("does not tell of pressure")
        .is("UNKNOWN");
    machine.write(
        "proc/pressure/memory",
        "some avg10=0.00 avg60=12.50 avg300=1 total=5\nfull avg10=0\n",
    );
    machine
        .koshu(&["memory", "pressure=10%,", "available=1%,"])
        .is("WARNING");
}

#[test]
fn a_busy_cpu_names_who_makes_it_busy() {
    // Two of them, so that one has a CPU even where tests run beside.
    let loops: Vec<engine::Running> = (0..2)
        .map(|_| {
            engine::start(Command::new("bash").args(["-c", "while :; do :; done # koshu-loop"]))
        })
        .collect();
    let said = koshu(&["cpu", "busy=1%,", "sample=500ms"]);
    said.is("WARNING");
    said.has("by CPU: ").has("bash (pid ");
    drop(loops);
}

#[test]
fn cpu_since_the_last_run_needs_no_sample() {
    let machine = Machine::new();
    let state = machine.0.path().join("history.db").display().to_string();
    let words = [
        "cpu",
        "since_last_run=true",
        "sample=100ms",
        "--state",
        &state,
    ];
    // The simulated counters stand still, so that there is nothing to sample.
    machine
        .koshu(&words)
        .has("counted no CPU time")
        .is("UNKNOWN");
    let first = [
        "cpu",
        "since_last_run=true",
        "sample=100ms",
        "--state",
        &state,
    ];
    let mut real = command(&first);
    said(&mut real).is("OK");
    std::thread::sleep(std::time::Duration::from_millis(1200));
    machine.write(
        "proc/stat",
        "cpu 99999999999 0 0 99999999999 0 0 0 0\ncpu0 1\n",
    );
    let said = machine.koshu(&words);
    assert!(said.is("OK").contains("% busy over 1."), "{}", said.out);
}

#[test]
fn uptime_is_the_kernels() {
    let said = koshu(&["uptime", "--format", "json"]);
    let text = fs::read_to_string("/proc/uptime").expect("/proc");
    let theirs: f64 = text
        .split(' ')
        .next()
        .and_then(|it| it.parse().ok())
        .expect("a number");
    assert!((perf(&said, "up") - theirs).abs() < 30.0);
    let machine = Machine::new();
    machine.koshu(&["uptime", "up=15m:,"]).is("OK");
    machine.write("proc/uptime", "30.00 1.00\n");
    machine.koshu(&["uptime", "up=15m:,"]).is("WARNING");
}

#[test]
fn users_are_those_of_who_and_check_users() {
    for program in ["check_users", "utmpdump", "who"] {
        if find(program).is_none() {
            return;
        }
    }
    let script = r"set -e
mount -t tmpfs x /run
cat > /run/text <<END
[7] [00100] [ts/0] [anna    ] [pts/0       ] [192.0.2.7           ] [192.0.2.7      ] [2026-11-01T00:00:00,000000+00:00]
[7] [00101] [ts/1] [bert    ] [pts/1       ] [                    ] [0.0.0.0        ] [2026-11-01T00:00:00,000000+00:00]
[8] [00102] [ts/2] [        ] [pts/2       ] [                    ] [0.0.0.0        ] [2026-11-01T00:00:00,000000+00:00]
END
utmpdump -r < /run/text > /run/utmp 2>/dev/null
echo who $(who /run/utmp | wc -l)
/usr/lib/nagios/plugins/check_users -w 5 -c 9
$KOSHU users
rm /run/utmp; $KOSHU users || true";
    let Some(out) = in_namespace(script) else {
        return;
    };
    assert!(out.contains("who 2\n"), "{out}");
    assert!(out.contains("|users=2;"), "{out}");
    assert!(
        out.contains("OK - 2 sessions: anna, bert (utmp) | count=2"),
        "{out}"
    );
    assert!(out.contains("anna on pts/0 from 192.0.2.7"), "{out}");
    assert!(out.contains("UNKNOWN - neither logind nor utmp"), "{out}");
}

#[test]
fn thousands_of_processes_with_hostile_names_are_counted_right() {
    let machine = Machine::new();
    // No process of this machine has such numbers, not even koshu.
    for pid in 5_000_100..5_003_100 {
        machine.process(pid, format!("worker/{}", pid % 10), "S", 10, 1);
    }
    let hostile: [&[u8]; 7] = [
        b"a) S 1 (b",
        b"line\nend",
        b"pi|pe",
        b"\xff\xfe raw",
        b"[kworker/0:1]",
        b"",
        b"))))",
    ];
    for (pid, name) in (6_005_000..).zip(hostile) {
        machine.process(pid, name, "Z", 10, 77);
    }
    // One that has gone between the list and the look, and what is no process at all.
    fs::create_dir(machine.0.path().join("proc/7000000")).expect("a folder");
    machine.write("proc/7000001/stat", "7000001 (cut");
    machine.write("proc/7000002/stat", "");
    machine.write("proc/self0/stat", "1 (x) S");
    let count = |words: &[&str]| {
        let words = [&["process"], words, &["count=0:,", "--format", "json"]].concat();
        perf(&machine.koshu(&words), "count")
    };
    assert_eq!(count(&["match=*"]), 3008.0);
    assert_eq!(count(&["match=worker/3"]), 300.0);
    assert_eq!(count(&["regex=^worker/[12]$"]), 600.0);
    assert_eq!(count(&["state=Z"]), 7.0);
    assert_eq!(count(&["parent=77"]), 7.0);
    assert_eq!(count(&["parent=init", "state=S"]), 3000.0);
    let said = machine.koshu(&["process", "state=Z", "count=~:5,"]);
    assert_eq!(said.is("WARNING"), "7 processes in state Z");
    assert_eq!(said.out.matches('|').count(), 1);
    said.has("6005002 pi¦pe").has("6005001 line end");
}

#[test]
fn counters_that_began_anew_and_huge_numbers_harm_nothing() {
    let machine = Machine::new();
    machine.write(
        "proc/9/stat",
        "9 (big) S 1 0 0 0 0 0 0 0 0 0 18446744073709551615 18446744073709551615 0 0 20 0 1 0 18446744073709551615 18446744073709551615 18446744073709551615 0\n",
    );
    machine
        .koshu(&[
            "process",
            "match=big",
            "cpu=90%,",
            "memory=1PB,",
            "age=1s:,",
        ])
        .has("big (pid 9) holds 16384.0 PiB")
        // A start in the far future tells no age.
        .is("UNKNOWN");
}

#[test]
fn processes_in_containers_and_control_groups_are_told_apart() {
    let machine = Machine::new();
    for (pid, cgroup, numbers) in [
        (10, "0::/system.slice/nginx.service", "10"),
        (11, "0::/system.slice/docker-0f.scope", "11\t1"),
        (12, "12:pids:/kubepods/pod1\n0::/", "12"),
    ] {
        machine.process(pid, "nginx", "S", 1, 1);
        machine.write(&format!("proc/{pid}/cgroup"), cgroup);
        machine.write(
            &format!("proc/{pid}/status"),
            format!("Name:\tnginx\nNSpid:\t{numbers}\n"),
        );
    }
    let count = |key: &str| {
        let said = machine.koshu(&["process", "nginx", key, "--format", "json"]);
        perf(&said, "count")
    };
    assert_eq!(count("container=true"), 2.0);
    assert_eq!(count("container=false"), 1.0);
    assert_eq!(count("cgroup=*/nginx.service"), 1.0);
    machine.write("proc/10/limits", "Limit Soft Hard Units\nMax open files            100                  4096                 files\n");
    for file in 0..90 {
        machine.write(&format!("proc/10/fd/{file}"), "");
    }
    let said = machine.koshu(&["process", "nginx", "files=80%,95%", "container=false"]);
    assert_eq!(said.is("WARNING"), "nginx (pid 10) has 90 open files");
}

#[test]
fn where_proc_hides_others_nobody_is_counted_wrong() {
    let machine = Machine::new();
    fs::remove_dir_all(machine.0.path().join("proc/1")).expect("removed");
    machine.process(7, "mine", "S", 1, 1);
    machine
        .koshu(&["process", "match=x", "count=0:0,"])
        .has("(hidepid)")
        .is("UNKNOWN");
}

#[test]
fn thousands_of_mounts_are_chosen_from_by_point_device_and_type() {
    let machine = Machine::new();
    let mut table = fs::read_to_string("/proc/self/mountinfo").expect("/proc");
    let root = table
        .lines()
        .rfind(|it| it.split(' ').nth(4) == Some("/"))
        .expect("a root")
        .to_owned();
    for number in 0..5000 {
        table.push_str(&format!(
            "{} 1 9:{number} / /sim/{number} rw - ext4 /dev/sim{number} rw\n",
            9000 + number
        ));
    }
    table.push_str(&format!("{root}\n"));
    machine.write("proc/1/mountinfo", &table);
    let words = ["used=99.9%,", "inodes=99.9%,"];
    let run = |more: &[&str]| machine.koshu(&[&["disk"], more, &words].concat());
    run(&["exclude=/sim/*"]).is("OK");
    // What is not there is told by its name.
    run(&["/sim/1?", "--max-bytes", "100000"])
        .has("/sim/17 does not exist")
        .is("CRITICAL");
    run(&["device=/dev/sim42"])
        .has("/sim/42 does not exist")
        .is("CRITICAL");
    run(&["types=xfs"])
        .has("nothing that is mounted matches")
        .is("UNKNOWN");
    run(&["/sim/1*", "exclude=/sim/1*"]).is("UNKNOWN");
}

#[test]
fn what_listens_is_what_ss_sees() {
    if find("ss").is_none() {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    let said = koshu(&["port", &format!("127.0.0.1:{port}")]);
    let own = std::process::id();
    assert!(
        said.is("OK").ends_with(&format!("(pid {own})")),
        "{}",
        said.out
    );
    let ss = output("ss", &["-tlnpH"]);
    let line = ss
        .lines()
        .find(|it| it.contains(&format!(":{port} ")))
        .expect("ss sees it");
    assert!(line.contains(&format!("pid={own},")), "{line}");
    // Every socket that ss tells of is known here too.
    let ports: Vec<String> = ss
        .lines()
        .filter_map(|it| {
            it.split_whitespace()
                .nth(3)?
                .rsplit(':')
                .next()
                .map(str::to_owned)
        })
        .collect();
    for port in &ports {
        let still = || output("ss", &["-tlnH"]).contains(&format!(":{port} "));
        assert!(koshu(&["port", port]).code == 0 || !still(), "{port}");
    }
    drop(listener);
    koshu(&["port", &port.to_string()])
        .has("nothing listens on tcp")
        .is("CRITICAL");
}

#[test]
fn mounts_have_the_options_that_findmnt_tells() {
    if find("findmnt").is_none() {
        return;
    }
    let row = output("findmnt", &["-n", "-o", "FSTYPE,OPTIONS", "/proc"]);
    let mut fields = row.split_whitespace();
    let (kind, options) = (
        fields.next().expect("a type"),
        fields.next().expect("options"),
    );
    let list: Vec<String> = options.split(',').map(|it| format!("{it:?}")).collect();
    let options = format!("options=[{}]", list.join(","));
    koshu(&["mount", "/proc", &options, &format!("fstype={kind}")]).is("OK");
    koshu(&["mount", "/proc", "options=koshu"])
        .has("without koshu")
        .is("WARNING");
    koshu(&["mount", "/no/such/mount"])
        .has("nothing is mounted on")
        .is("CRITICAL");
}

/// Real systemd as the first process of namespaces of its own, with a unit that is good and one that is bad.
#[test]
fn units_are_as_systemctl_shows_them() {
    let systemd = Path::new("/usr/lib/systemd/systemd");
    if find("unshare").is_none() || engine::file(&systemd.display().to_string()).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let port = server::free_port();
    let script = format!(
        r#"set -e
mount -t tmpfs x /run; mkdir -p /run/lock /run/systemd/system
mount -t tmpfs x /run/lock; mount -t tmpfs x /sys/fs/cgroup; mount -t cgroup2 x /sys/fs/cgroup
cd /run/systemd/system
printf '[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep 600\n' > good.service
printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/sh -c "exit 7"\n' > bad.service
printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/true\n' > once.service
printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/true\n' > never.service
u() {{ printf "[Unit]\nDefaultDependencies=no\n$2" > $1; }}
u job.service '[Service]\nType=oneshot\nExecStart=/bin/true\n'; u job.timer '[Timer]\nOnCalendar=daily\n'
u simple.service '[Service]\nExecStart=/bin/true\n'; u simple.timer '[Timer]\nOnActiveSec=1ms\nOnCalendar=daily\n'
u past.service '[Service]\nType=oneshot\nExecStart=/bin/true\n'; u past.timer '[Timer]\nOnCalendar=2020-01-01\n'
u boot.service '[Service]\nType=oneshot\nExecStart=/bin/true\n'; u boot.timer '[Timer]\nOnActiveSec=1ms\nAccuracySec=1ms\n'
u fails.service '[Service]\nType=oneshot\nExecStart=/bin/false\n'; u fails.timer '[Timer]\nOnActiveSec=1ms\nOnUnitActiveSec=1h\nAccuracySec=1ms\n'
u unmet.service 'ConditionPathExists=/no/such\n[Service]\nExecStart=/bin/sleep 600\n'
u gone.service '[Service]\nType=forking\nRemainAfterExit=yes\nExecStart=/bin/true\n'
u waits.service '[Service]\nExecStart=/bin/sleep 600\n'; u waits.socket '[Socket]\nListenStream=/run/waits.sock\n'
u loop.service '[Service]\nRestart=always\nRestartSec=60\nExecStart=/bin/false\n'
printf 'import socket, time\ns = socket.create_server(("127.0.0.1", {port}))\ntime.sleep(600)\n' > /run/door.py
printf '[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/usr/bin/python3 /run/door.py\n' > door.service
printf '[Unit]\nDefaultDependencies=no\nWants=good.service bad.service once.service door.service job.timer simple.timer past.timer boot.timer fails.timer unmet.service gone.service waits.socket loop.service\n' > lab.target
cat > /run/look <<'END'
for i in $(seq 100); do systemctl is-system-running 2>/dev/null | grep -Eq 'running|degraded' && break; sleep 0.1; done
for unit in good bad once never nosuch; do systemctl show $unit --property=ActiveState | tail -1; {koshu} service $unit; done
{koshu} service exclude=fails*; {koshu} service 'exclude=["bad*", "fails*", "loop*"]'
for i in $(seq 50); do systemctl show simple.service -p InactiveEnterTimestampMonotonic | grep -q =0 || break; sleep 0.1; done
for unit in job simple past.timer boot.timer fails.timer job.timer unmet gone waits; do {koshu} service $unit; done
for i in $(seq 50); do grep -qi :$(printf %04X {port}) /proc/net/tcp && break; sleep 0.1; done
{koshu} discover
END
(sh /run/look > {out}.new 2>&1; mv {out}.new {out}) &
exec env container=lab {systemd} --system --unit=lab.target --log-target=null --show-status=no"#,
        koshu = binary().display(),
        out = folder.path().join("out").display(),
        systemd = systemd.display(),
    );
    let mut unshare = Command::new("unshare");
    let running = engine::start(
        unshare
            .args([
                "--fork",
                "--kill-child",
                "--pid",
                "--mount",
                "--uts",
                "--ipc",
                "--cgroup",
                "--mount-proc",
            ])
            .args(["bash", "-c", &script]),
    );
    let out = folder.path().join("out");
    for _ in 0..300 {
        if out.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    drop(running);
    let text = fs::read_to_string(&out).unwrap_or_default();
    if !text.contains("ActiveState=active") {
        engine::skip("systemd cannot be started in a namespace here");
        return;
    }
    for line in [
        "ActiveState=active\nOK - good.service is active (running) for ",
        "ActiveState=failed\nCRITICAL - bad.service has failed (exit code 7)",
        "ActiveState=inactive\nOK - once.service has run once (success)",
        "ActiveState=inactive\nCRITICAL - never.service has not run since the machine started",
        "ActiveState=inactive\nCRITICAL - nosuch.service: systemd knows no such unit",
        "CRITICAL - bad.service has failed; loop.service has ended badly and waits to be started again | failed=1",
        "OK - no unit has failed | failed=0",
        "loop.service waits to be started again too, but is left out",
        "OK - job.service has not run since the machine started; job.timer starts it",
        "OK - simple.service has run once (success); simple.timer starts it",
        "CRITICAL - past.timer is active, but has elapsed and will not fire again",
        "WARNING - boot.timer is active, but has elapsed and will not fire again",
        "CRITICAL - fails.service has failed (exit code 1), which is what fails.timer is to start",
        "OK - job.timer is active (waiting) for ",
        "CRITICAL - unmet.service was not started: ConditionPathExists=/no/such did not hold",
        "WARNING - gone.service is active (exited) for ",
        "OK - waits.service has not run since the machine started; waits.socket starts it",
        "bad.service has failed too, but is left out",
        "[[check]]\nname = \"failed units\"\ntype = \"service\"\n",
        &format!(
            "# door.service listens on {port}.\n[[check]]\nname = \"door\"\ntype = \"service\"\nunit = \"door.service\"\n"
        ),
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn without_systemd_a_service_is_unknown() {
    let Some(out) = in_namespace("mount -t tmpfs x /run; $KOSHU service nginx; $KOSHU service")
    else {
        return;
    };
    assert_eq!(
        out.matches("UNKNOWN - systemd does not run here; look with `process`")
            .count(),
        2,
        "{out}"
    );
}

#[test]
fn disk_and_process_agree_with_check_disk_and_check_procs() {
    let (Some(check_disk), Some(check_procs)) = (find("check_disk"), find("check_procs")) else {
        return;
    };
    let theirs = output(
        &check_disk.display().to_string(),
        &["-w", "1%", "-c", "1%", "-p", "/", "-u", "bytes"],
    );
    let ours = koshu(&[
        "disk",
        "/",
        "used=99.9%,",
        "inodes=99.9%,",
        "--format",
        "json",
    ]);
    let used = classic(&theirs, " /");
    assert!(
        (perf(&ours, "used") - used).abs() < 64e6,
        "{theirs} {}",
        ours.out
    );
    let loops: Vec<engine::Running> = (0..3)
        .map(|_| engine::start(Command::new("bash").args(["-c", "exec -a koshu-oracle sleep 600"])))
        .collect();
    engine::until("three of them", || {
        output("pgrep", &["-fc", "^koshu-oracle 600"]).trim() == "3"
    });
    let theirs = output(
        &check_procs.display().to_string(),
        &["-a", "koshu-oracle 600"],
    );
    let ours = koshu(&[
        "process",
        "args=^koshu-oracle 600",
        "count=3:3,",
        "--format",
        "json",
    ]);
    assert_eq!(classic(&theirs, "procs"), 3.0, "{theirs}");
    assert_eq!(perf(&ours, "count"), 3.0);
    drop(loops);
}
