//! Asks file systems that may never answer in a process of its own, because a thread that hangs in
//! the kernel would keep koshu's output open past its deadline.

use super::Space;
use crate::host::mounts::{self, Mount, Spot};
use crate::host::{Roots, kernel};
use crate::net;
use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The first argument that makes this program a helper.
pub const WORD: &str = "statvfs-helper";

/// What a file system said.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Space(Space),
    /// The path does not exist.
    Missing,
    Failed(String),
    /// Nothing, and since when an earlier helper hangs there, if one does.
    Silent(Option<String>),
}

/// How long one file system may keep the others of a helper waiting.
const PATIENCE: Duration = Duration::from_millis(300);

/// What is kept back of the deadline to tell the answer.
const RESERVE: Duration = Duration::from_millis(150);

/// Asks in this process; only for file systems that cannot hang.
pub fn look(path: &Path) -> Answer {
    match rustix::fs::statvfs(path) {
        Err(rustix::io::Errno::NOENT) => Answer::Missing,
        Err(error) => Answer::Failed(net::plain(&error.into())),
        Ok(it) => Answer::Space(Space {
            on: mounts::spot(path).unwrap_or_default(),
            total: it.f_blocks * it.f_frsize,
            free: it.f_bfree * it.f_frsize,
            available: it.f_bavail * it.f_frsize,
            inodes: it.f_files,
            inodes_free: it.f_ffree,
        }),
    }
}

/// The life of a helper: asks each path and writes one line for it.
///
/// # Errors
/// When nobody reads the answers any more.
pub fn serve(paths: &[PathBuf], to: &mut dyn Write) -> std::io::Result<()> {
    for path in paths {
        match look(path) {
            Answer::Space(it) => writeln!(
                to,
                "space {} {} {} {} {} {} {} {} {}",
                it.total,
                it.free,
                it.available,
                it.inodes,
                it.inodes_free,
                it.on.mount,
                it.on.major,
                it.on.minor,
                u8::from(it.on.is_point)
            )?,
            Answer::Missing => writeln!(to, "missing")?,
            Answer::Failed(why) => writeln!(to, "failed {why}")?,
            Answer::Silent(_) => (),
        }
        to.flush()?;
    }
    Ok(())
}

fn parse(line: &str) -> Answer {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let numbers: Vec<u64> = rest.split(' ').filter_map(|it| it.parse().ok()).collect();
    match (word, &numbers[..]) {
        ("missing", _) => Answer::Missing,
        (
            "space",
            &[
                total,
                free,
                available,
                inodes,
                inodes_free,
                mount,
                major,
                minor,
                is_point,
            ],
        ) => Answer::Space(Space {
            on: Spot {
                mount,
                major: u32::try_from(major).unwrap_or_default(),
                minor: u32::try_from(minor).unwrap_or_default(),
                is_point: is_point == 1,
            },
            total,
            free,
            available,
            inodes,
            inodes_free,
        }),
        _ => Answer::Failed(rest.to_owned()),
    }
}

/// Asks all paths: first one helper for all, then one for each path that it did not come to.
/// A mount on which a helper of an earlier run still hangs gets no new one.
///
/// # Errors
/// When no helper can be started.
pub fn ask(
    wanted: &[(&Path, &Mount)],
    exe: &Path,
    deadline: Instant,
    now: SystemTime,
) -> anyhow::Result<HashMap<PathBuf, Answer>> {
    let mut answers = HashMap::new();
    if wanted.is_empty() {
        return Ok(answers);
    }
    let until = deadline - RESERVE;
    let stuck = stuck(now);
    let mut open: Vec<&Path> = Vec::new();
    for (path, _) in wanted {
        match stuck.get(&vec![path.to_path_buf()]) {
            Some(since) => {
                answers.insert(path.to_path_buf(), Answer::Silent(Some(since.clone())));
            }
            None => open.push(path),
        }
    }
    // Where a helper for several hangs, its successor would hang as well.
    let together = open.len() > 1 && !stuck.keys().any(|it| it.len() > 1);
    if together {
        let first = (Instant::now() + PATIENCE).min(until);
        open = collect(
            vec![Helper::start(exe, &open)?],
            first,
            Some(PATIENCE),
            &mut answers,
        );
    }
    let mut helpers = Vec::new();
    for path in &open {
        helpers.push(Helper::start(exe, &[path])?);
    }
    for path in collect(helpers, until, None, &mut answers) {
        answers.insert(path.to_path_buf(), Answer::Silent(None));
    }
    Ok(answers)
}

/// Reads answers until all came or `until`, which each answer puts off by `patience`; returns the
/// paths without one.
fn collect<'p>(
    mut helpers: Vec<Helper<'p>>,
    mut until: Instant,
    patience: Option<Duration>,
    answers: &mut HashMap<PathBuf, Answer>,
) -> Vec<&'p Path> {
    while helpers.iter().any(|it| !it.open.is_empty()) && Instant::now() < until {
        let mut polled: Vec<PollFd> = helpers
            .iter()
            .filter(|it| !it.open.is_empty())
            .map(|it| PollFd::new(&it.output, PollFlags::IN))
            .collect();
        let wait = Timespec::try_from(net::left(until)).unwrap_or_default();
        let ready = poll(&mut polled, Some(&wait));
        let ready: Vec<bool> = match ready {
            Ok(_) => polled.iter().map(|it| !it.revents().is_empty()).collect(),
            Err(_) => continue,
        };
        let waiting = helpers.iter_mut().filter(|it| !it.open.is_empty());
        for (helper, _) in waiting.zip(ready).filter(|it| it.1) {
            let before = helper.open.len();
            helper.read(answers);
            if let (Some(patience), true) = (patience, helper.open.len() < before) {
                until = Instant::now() + patience;
            }
        }
    }
    let open = helpers.iter().flat_map(|it| it.open.clone()).collect();
    helpers.into_iter().for_each(Helper::end);
    open
}

/// A helper process and the paths that it has not answered for.
struct Helper<'p> {
    child: Child,
    output: ChildStdout,
    open: Vec<&'p Path>,
    text: Vec<u8>,
}

impl<'p> Helper<'p> {
    fn start(exe: &Path, paths: &[&'p Path]) -> anyhow::Result<Helper<'p>> {
        let mut child = Command::new(exe)
            .arg(WORD)
            .args(paths)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .spawn()
            .context("cannot start a helper for file systems that may hang")?;
        let output = child.stdout.take().context("the helper has no output")?;
        Ok(Helper {
            child,
            output,
            open: paths.to_vec(),
            text: Vec::new(),
        })
    }

    /// Takes what is there; it answers in the order in which it was asked.
    fn read(&mut self, answers: &mut HashMap<PathBuf, Answer>) {
        let mut buffer = [0; 4096];
        match self.output.read(&mut buffer) {
            Ok(0) | Err(_) => {
                for path in self.open.drain(..) {
                    let why = "the helper died".to_owned();
                    answers.insert(path.to_path_buf(), Answer::Failed(why));
                }
            }
            Ok(count) => self.text.extend_from_slice(&buffer[..count]),
        }
        while let Some(end) = self.text.iter().position(|it| *it == b'\n') {
            let line: Vec<u8> = self.text.drain(..=end).collect();
            if self.open.is_empty() {
                return;
            }
            let line = String::from_utf8_lossy(&line);
            answers.insert(self.open.remove(0).to_path_buf(), parse(line.trim_end()));
        }
    }

    /// Kills it if it still hangs, and never waits for it: it may be beyond killing.
    fn end(mut self) {
        if !self.open.is_empty() {
            let _ = self.child.kill();
        }
        let _ = self.child.try_wait();
    }
}

/// Helpers of earlier runs that still hang: the paths they were asked, and since when.
fn stuck(now: SystemTime) -> HashMap<Vec<PathBuf>, String> {
    let mut stuck = HashMap::new();
    let own = std::process::id().to_string();
    let Ok(entries) = fs::read_dir("/proc") else {
        return stuck;
    };
    for entry in entries.flatten() {
        let pid = entry.file_name();
        if !pid.as_bytes().iter().all(u8::is_ascii_digit) || pid.as_bytes() == own.as_bytes() {
            continue;
        }
        let folder = entry.path();
        let Ok(line) = fs::read(folder.join("cmdline")) else {
            continue;
        };
        let mut words = line.split(|it| *it == 0).skip(1);
        // One that has started only now belongs to a run beside this one, and does not hang.
        if words.next() != Some(WORD.as_bytes()) {
            continue;
        }
        let Some((age, since)) = started(&folder, now) else {
            continue;
        };
        if age < Duration::from_secs(2) {
            continue;
        }
        let paths = words
            .filter(|it| !it.is_empty())
            .map(|it| PathBuf::from(std::ffi::OsStr::from_bytes(it)))
            .collect();
        stuck.insert(paths, since);
    }
    stuck
}

/// How long ago a process started, and at which time of day.
fn started(folder: &Path, now: SystemTime) -> Option<(Duration, String)> {
    use jiff::{SignedDuration, Timestamp, tz::TimeZone};
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    let clock = kernel::boot_clock(&Roots::default()).ok()?;
    let ticks: f64 = stat
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    let age = clock - ticks / rustix::param::clock_ticks_per_second() as f64;
    let age = Duration::from_secs_f64(age.max(0.0));
    let now = Timestamp::try_from(now).ok()?.to_zoned(TimeZone::system());
    let then = &now - SignedDuration::try_from(age).ok()?;
    let form = if then.date() == now.date() {
        "%H:%M"
    } else {
        "%Y-%m-%d %H:%M"
    };
    Some((age, then.strftime(form).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_the_pipe() {
        let mut line = Vec::new();
        serve(&[PathBuf::from("/"), PathBuf::from("/no/such")], &mut line).expect("a vector");
        let text = String::from_utf8(line).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert!(matches!(parse(lines[0]), Answer::Space(it) if it.total > 0 && it.on.is_point));
        assert_eq!(parse(lines[1]), Answer::Missing);
        assert_eq!(parse("space 1 2"), Answer::Failed("1 2".to_owned()));
    }
}
