//! Finds and starts other people's programs; every one is stopped by its pid when the test ends.

use crate::server;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Where a program is. Where it is missing, the test says that it is skipped; under CI that is a failure.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(
        [
            "/usr/sbin",
            "/sbin",
            "/usr/local/sbin",
            "/usr/lib/nagios/plugins",
            "/usr/lib/xymon/server/bin",
            "/usr/lib/xymon/client/bin",
            "/usr/lib/postgresql/15/bin",
        ]
        .map(PathBuf::from),
    );
    let found = folders.map(|it| it.join(name)).find(|it| it.is_file());
    if found.is_none() {
        missing(name);
    }
    found
}

/// A file that a package brings, like [`find`].
pub fn file(path: &str) -> Option<PathBuf> {
    let found = Some(PathBuf::from(path)).filter(|it| it.exists());
    if found.is_none() {
        missing(path);
    }
    found
}

#[track_caller]
fn missing(name: &str) {
    let ci = std::env::var_os("CI").is_some_and(|it| it == "true");
    assert!(!ci, "{name} is missing, and under CI nothing is skipped");
    skip(&format!(
        "{name} is not installed, .ci/run says from which package"
    ));
}

/// Why tests were skipped.
static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Says that a test is skipped for want of something that no package brings.
pub fn skip(why: &str) {
    SKIPPED.lock().expect("a lock").push(why.to_owned());
    let name = std::thread::current().name().map(str::to_owned);
    tell(&format!("skipped: {}: {why}", name.unwrap_or_default()));
}

/// Writes past what the test runner captures: nothing may silently stop being tested.
pub fn tell(line: &str) {
    // Whoever closed stderr does not want to know.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Why tests have been skipped so far.
pub fn skipped() -> Vec<String> {
    SKIPPED.lock().expect("a lock").clone()
}

/// A running program.
pub struct Running(Child);

impl Running {
    pub fn new(child: Child) -> Running {
        Running(child)
    }
}

impl Drop for Running {
    /// Asks it to end, so that it takes its own children along, and insists.
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        // Those that have children of their own take some time, and killed they would leave them behind.
        for _ in 0..500 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that runs as this user when the tests run as root, which some servers refuse to be.
pub fn as_user(user: &str, program: &Path) -> Command {
    match rustix::process::geteuid().is_root() {
        false => Command::new(program),
        true => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", user, "--regid", user, "--clear-groups"])
                .arg(program);
            command
        }
    }
}

/// Starts a program in the foreground with its output out of the way.
pub fn start(command: &mut Command) -> Running {
    let child = command
        // What it starts of koshu's own has no history either.
        .env("STATE_DIRECTORY", "/dev/null/no-history")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Running(child.expect("the program starts"))
}

/// Runs a program to its end with something to read.
pub fn fed(command: &mut Command, text: &str) -> std::process::Output {
    let mut running = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut to = running.stdin.take().expect("a pipe");
    to.write_all(text.as_bytes()).expect("written");
    drop(to);
    running.wait_with_output().expect("the program ends")
}

/// Waits until something holds, at most ten seconds.
#[track_caller]
pub fn until(what: &str, holds: impl Fn() -> bool) {
    until_within(Duration::from_secs(10), what, holds);
}

/// As [`until`], for what takes longer.
#[track_caller]
pub fn until_within(most: Duration, what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < most, "waited in vain for {what}");
        sleep(Duration::from_millis(10));
    }
}

#[track_caller]
pub fn until_open(port: u16) {
    until("a port to open", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
}

/// Where openssl lives, and certificates that a test makes with it.
pub fn openssl(words: &[&str]) {
    let done = Command::new("openssl")
        .args(words)
        .output()
        .expect("openssl runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// `openssl s_server` on a free port.
pub fn s_server(words: &[&str]) -> (Running, SocketAddr) {
    let port = server::free_port();
    let running = start(
        Command::new("openssl")
            .args([
                "s_server",
                "-quiet",
                "-www",
                "-accept",
                &format!("127.0.0.1:{port}"),
            ])
            .args(words),
    );
    until_open(port);
    (running, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Holds a database so that nobody else can write it, by sqlite3(1), which has to be there.
pub fn locked(database: &Path) -> Running {
    let mut shell = Command::new("sqlite3")
        .arg(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sqlite3");
    let stdin = shell.stdin.as_mut().expect("a pipe");
    let written = stdin.write_all(b"BEGIN IMMEDIATE; SELECT 'locked';\n");
    written.expect("written");
    let mut line = String::new();
    let mut out = BufReader::new(shell.stdout.as_mut().expect("a pipe"));
    out.read_line(&mut line).expect("locked");
    Running::new(shell)
}
