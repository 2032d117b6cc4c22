//! `ntp` and `ping` against what Debian has: chronyd, check_ntp_time, and the kernel's own echo.

use crate::engine::{self, find, start, until};
use crate::koshu::{binary, koshu};
use crate::namespace::namespace;
use crate::nsd;
use crate::server::free_port;
use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// chronyd that serves the time of this machine and leaves its clock alone.
fn chronyd(more: &str) -> Option<(engine::Running, u16, tempfile::TempDir)> {
    let program = find("chronyd")?;
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let config = format!(
        "port {port}\nbindaddress 127.0.0.1\ncmdport 0\nbindcmdaddress /\nallow 127.0.0.0/8\npidfile {0}/pid\n{more}\n",
        folder.path().display()
    );
    let file = folder.path().join("chrony.conf");
    fs::write(&file, config).expect("a file");
    let running = start(
        Command::new(program)
            .args(["-x", "-d", "-u", "root", "-f"])
            .arg(&file),
    );
    until("chronyd", || {
        let said = koshu(&["ntp", &format!("127.0.0.1:{port}"), "timeout=500ms"]);
        !said.out.contains("refuses") && !said.out.contains("no answer")
    });
    Some((running, port, folder))
}

#[test]
fn the_clock_is_that_of_chronyd_and_check_ntp_time_agrees() {
    let Some((_running, port, _folder)) = chronyd("local stratum 5") else {
        return;
    };
    let host = format!("127.0.0.1:{port}");
    let said = koshu(&["ntp", &host, "--format", "json"]);
    let perf = &said.json()["checks"][0]["perf"];
    assert_eq!(said.json()["state"], 0, "{}", said.out);
    assert!(
        perf["offset"]["value"]
            .as_f64()
            .is_some_and(|it| it.abs() < 0.2),
        "{}",
        said.out
    );
    assert_eq!(perf["stratum"]["value"], 5.0);
    koshu(&["ntp", &host, "stratum=~:3,~:4"]).is("CRITICAL");
    if let Some(theirs) = find("check_ntp_time") {
        let out = Command::new(theirs)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .output();
        let text = String::from_utf8_lossy(&out.expect("it runs").stdout).into_owned();
        assert!(text.starts_with("NTP OK: Offset "), "{text}");
    }
}

#[test]
fn a_server_that_does_not_know_the_time_is_critical() {
    let Some((_running, port, _folder)) = chronyd("") else {
        return;
    };
    let said = koshu(&["ntp", &format!("127.0.0.1:{port}")]);
    said.has("says that it does not know the time")
        .is("CRITICAL");
}

#[test]
fn servers_that_are_down_silent_or_no_servers_are_told_apart() {
    let port = free_port();
    koshu(&["ntp", &format!("127.0.0.1:{port}"), "timeout=2s"])
        .has("refuses")
        .is("CRITICAL");
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = silent.local_addr().expect("an address").port();
    koshu(&["ntp", &format!("127.0.0.1:{port}"), "timeout=300ms"])
        .has("no answer in time")
        .is("CRITICAL");
    std::thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((_, from)) = silent.recv_from(&mut buffer) {
            let _ = silent.send_to(b"hello", from);
        }
    });
    koshu(&["ntp", &format!("127.0.0.1:{port}"), "timeout=500ms"])
        .has("not in NTP")
        .is("CRITICAL");
    koshu(&["ntp", "no.such.host.invalid", "timeout=5s"]).has("no.such.host.invalid");
}

/// A time server that is right, but for what `change` does to its answers; it says how often it was asked.
fn time_server(
    change: impl Fn(usize, &mut [u8; 48]) + Send + 'static,
) -> (u16, std::sync::Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = socket.local_addr().expect("an address").port();
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later");
            let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
            let stamp = (((now.as_secs() + 2_208_988_800) << 32) | fraction).to_be_bytes();
            let mut answer = [0; 48];
            answer[0] = (4 << 3) | 4;
            answer[1] = 2;
            answer[12..16].copy_from_slice(&[192, 0, 2, 1]);
            answer[16..24].copy_from_slice(&stamp);
            answer[24..32].copy_from_slice(&buffer[40..48]);
            answer[32..40].copy_from_slice(&stamp);
            answer[40..48].copy_from_slice(&stamp);
            change(count.fetch_add(1, Ordering::SeqCst), &mut answer);
            let _ = socket.send_to(&answer, from);
        }
    });
    (port, asked)
}

/// Makes an answer a kiss-o'-death.
fn kiss(answer: &mut [u8; 48], code: &[u8; 4]) {
    answer[0] = (3 << 6) | (4 << 3) | 4;
    answer[1] = 0;
    answer[12..16].copy_from_slice(code);
    // The time of a server that refuses means nothing.
    answer[32..48].fill(0);
}

#[test]
fn one_answer_is_enough_for_a_clock_that_is_beyond_doubt() {
    let (port, asked) = time_server(|_, _| ());
    koshu(&["ntp", &format!("127.0.0.1:{port}")]).is("OK");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_kiss_after_a_good_answer_does_not_replace_it() {
    let (port, asked) = time_server(|index, answer| match index {
        0 => (),
        _ => kiss(answer, b"RATE"),
    });
    // No way is shorter than this limit, so that it is asked again.
    let said = koshu(&["ntp", &format!("127.0.0.1:{port}"), "offset=1us,10s"]);
    said.has("stratum 2").has("offset=");
    assert!(!said.out.contains("refuses"), "{}", said.out);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn a_server_that_only_kisses_is_named_with_its_code_and_has_no_offset() {
    let (port, asked) = time_server(|_, answer| kiss(answer, b"DENY"));
    let said = koshu(&["ntp", &format!("127.0.0.1:{port}"), "--format", "json"]);
    assert_eq!(said.codes(), ["kiss"]);
    said.has("refuses to tell the time (DENY)");
    assert!(!said.out.contains("offset"), "{}", said.out);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let (port, asked) = time_server(|_, answer| kiss(answer, b"RATE"));
    let said = koshu(&["ntp", &format!("127.0.0.1:{port}"), "timeout=3s"]);
    said.has("(RATE)").is("CRITICAL");
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "not again before four seconds"
    );
}

#[test]
fn the_time_that_a_dead_address_or_name_server_takes_is_no_error_of_the_clock() {
    let Some(own) = namespace(&["fd53::1/128"], "", &["127.0.0.9", "127.0.0.10"]) else {
        return;
    };
    let zone = nsd::apex("test.", "127.0.0.10") + "clock IN AAAA fd53::1\nclock IN A 127.0.0.1\n";
    let Some(_zone) = nsd::serve(&own, "127.0.0.10", "test", &zone) else {
        return;
    };
    let (Some(python), Some(chronyd)) = (find("python3"), find("chronyd")) else {
        return;
    };
    let config = own.path().join("chrony.conf");
    let lines = format!(
        "port 123\nbindaddress 127.0.0.1\ncmdport 0\nbindcmdaddress /\nallow 127.0.0.0/8\npidfile {}/chrony.pid\nlocal stratum 3\n",
        own.path().display()
    );
    fs::write(&config, lines).expect("a file");
    let _clock = start(
        own.command(&chronyd)
            .args(["-x", "-d", "-u", "root", "-f"])
            .arg(&config),
    );
    let ready = own.path().join("ready");
    let script = format!(
        "import socket, time
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(('fd53::1', 123))
t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
t.bind(('127.0.0.9', 53))
open('{}', 'w')
time.sleep(600)",
        ready.display()
    );
    let _silent = start(own.command(&python).args(["-c", &script]));
    until("two that are silent", || ready.exists());
    until("chronyd", || {
        own.koshu(&["ntp", "127.0.0.1", "timeout=500ms"]).code == 0
    });
    let said = own.koshu(&["ntp", "clock.test", "timeout=6s", "offset=200ms,1s"]);
    assert!(said.is("OK").contains("127.0.0.1:123"), "{}", said.out);
    said.has("[fd53::1]:123: no answer in time");
    let (name_server, address) = (Duration::from_secs(1), Duration::from_secs(2));
    assert!(said.took >= name_server + address, "{:?}", said.took);
}

/// In a network of its own: only loopback, and as a user who is not root.
fn in_network(script: &str) -> Option<String> {
    for program in ["unshare", "setpriv", "ip", "ping"] {
        find(program)?;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("koshu");
    fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("a mode");
    // The tests' own folder may be closed to others.
    let copied = Command::new("cp").arg(binary()).arg(&copy).status();
    assert!(copied.is_ok_and(|it| it.success()));
    let out = Command::new("unshare")
        .args([
            "-n",
            "bash",
            "-c",
            &format!("set -e; ip link set lo up; {script}"),
        ])
        .env("KOSHU", &copy)
        .env(
            "AS_NOBODY",
            "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all",
        )
        .output()
        .expect("unshare");
    let errors = String::from_utf8_lossy(&out.stderr);
    if errors.contains("unshare failed") || errors.contains("setresgid failed") {
        engine::skip("no networks of our own here");
        return None;
    }
    Some(format!("{}{errors}", String::from_utf8_lossy(&out.stdout)))
}

#[test]
fn echo_goes_the_way_that_this_user_may() {
    let Some(out) = in_network(
        "echo '1 0' > /proc/sys/net/ipv4/ping_group_range
$KOSHU ping 127.0.0.1; $KOSHU ping ::1
$AS_NOBODY $KOSHU ping 127.0.0.1 count=2 || true
echo '0 65534' > /proc/sys/net/ipv4/ping_group_range
$AS_NOBODY $KOSHU ping 127.0.0.1; $AS_NOBODY $KOSHU ping ::1",
    ) else {
        return;
    };
    assert_eq!(out.matches("with raw sockets").count(), 2, "{out}");
    assert_eq!(out.matches("with the system's ping").count(), 1, "{out}");
    assert_eq!(
        out.matches("with ICMP datagram sockets").count(),
        2,
        "{out}"
    );
    assert_eq!(out.matches(", 0% lost | time=").count(), 5, "{out}");
}

#[test]
fn hosts_that_do_not_answer_are_named_beside_those_that_do() {
    let Some(out) = in_network(
        "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all
$KOSHU ping '[\"::1\", \"127.0.0.1\", \"203.0.113.1\"]' count=2 timeout=3s || echo exit $?",
    ) else {
        return;
    };
    assert!(out.starts_with("CRITICAL - "), "{out}");
    assert!(
        out.contains("127.0.0.1 does not answer") && out.contains("exit 2"),
        "{out}"
    );
    assert!(out.contains("203.0.113.1 is unreachable"), "{out}");
    assert!(out.contains("::1 answers in "), "{out}");
}
