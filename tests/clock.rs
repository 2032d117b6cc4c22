//! `ntp` and `ping` against what Debian has: chronyd, check_ntp_time, and the kernel's own echo.

use crate::engine::{self, find, start, until};
use crate::koshu::{binary, koshu};
use crate::server::free_port;
use std::fs;
use std::net::UdpSocket;
use std::process::Command;

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
