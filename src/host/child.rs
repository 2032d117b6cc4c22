//! Programs that are run for a check: in a process group of their own, never longer than they may, and
//! nothing of them left behind (see [`crate::host::family`]).

use crate::host::Roots;
use crate::host::family::{Family, MARK};
use crate::host::processes::{self, Running};
use crate::net;

pub use crate::host::family::Leftovers;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit,
    kill_process_group, pidfd_open, prlimit, waitid,
};
use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

/// The groups that are alive, so that none outlives koshu.
pub struct Children {
    /// Variables of our own environment that are nobody else's affair.
    withheld: Vec<String>,
    /// What descends from programs, from the first one on.
    family: OnceLock<Family>,
    /// This program, for the guard of the family.
    exe: PathBuf,
    /// Closed when the run ends: nothing is started after that.
    closed: RwLock<bool>,
    alive: Mutex<HashSet<Pid>>,
    /// The open files that this process was given; programs get no more, because old ones close all of them.
    files: Rlimit,
}

impl Default for Children {
    fn default() -> Children {
        Children::new(PathBuf::new(), Vec::new())
    }
}

impl Children {
    /// Programs that do not inherit these variables of the environment; `exe` is this program.
    pub fn new(exe: PathBuf, withheld: Vec<String>) -> Children {
        Children {
            withheld,
            exe,
            family: OnceLock::new(),
            closed: RwLock::default(),
            alive: Mutex::default(),
            files: getrlimit(Resource::Nofile),
        }
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    Exit(i32),
    /// Killed by a signal that was not ours.
    Signal(i32),
    /// It was killed when its time was up.
    Late,
}

/// What became of a program.
#[derive(Debug)]
pub struct Ended {
    pub how: How,
    pub out: Kept,
    pub err: Kept,
}

/// What of an output was kept, and how many bytes more there were.
#[derive(Debug, Default)]
pub struct Kept {
    pub bytes: Vec<u8>,
    pub more: u64,
}

impl Kept {
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// What was kept, without a last word that may go on in what was not.
    pub fn whole_words(&self) -> &[u8] {
        if self.more == 0 {
            return &self.bytes;
        }
        let blank = self.bytes.iter().rposition(u8::is_ascii_whitespace);
        &self.bytes[..blank.map_or(0, |it| it + 1)]
    }
}

/// The most that is kept of each output.
pub const KEPT: usize = 256 << 10;
/// How long a program that finds no room for a process waits for it.
const NO_ROOM: Duration = Duration::from_secs(1);
/// How long outputs are read on after the program has exited.
const DRAIN: Duration = Duration::from_millis(100);
/// How long it has between SIGTERM and SIGKILL.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// How often a program is looked at where the kernel cannot tell that it has ended (before Linux 5.3).
const LOOK: Duration = Duration::from_millis(5);

impl Children {
    /// Runs a program until it exits or `deadline`, without input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(
        &self,
        mut command: Command,
        deadline: Instant,
        leftovers: Leftovers,
    ) -> io::Result<Ended> {
        let family = self.family.get_or_init(|| Family::new(self.exe.clone()));
        let mark = family.mark(leftovers);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env(MARK, &mark)
            .process_group(0);
        let mut running = self.start(command, deadline.min(Instant::now() + NO_ROOM))?;
        family.watch();
        let left = running.watch(deadline);
        let how = match left {
            true => None,
            false => {
                running.signal(Signal::TERM);
                running.watch(Instant::now() + LAST_WORDS);
                Some(How::Late)
            }
        };
        if how.is_some() || leftovers == Leftovers::Kill {
            running.signal(Signal::KILL);
        }
        if how.is_some() {
            running.watch(Instant::now() + LAST_WORDS);
        }
        // What has left the group is the program's all the same.
        match how.is_some() || leftovers == Leftovers::Kill {
            true => family.end_of(&mark),
            false => family.keep(&mark),
        }
        let status = running.child.try_wait()?;
        lock(&self.alive).remove(&running.pid);
        let how = how.unwrap_or(match status.map(|it| (it.code(), it.signal())) {
            Some((Some(code), _)) => How::Exit(code),
            Some((None, Some(signal))) => How::Signal(signal),
            _ => How::Late,
        });
        Ok(Ended {
            how,
            out: running.out.kept,
            err: running.err.kept,
        })
    }

    /// Starts a program that is talked to over its input and output; it ends with the talk.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn talk(self: &Arc<Self>, mut command: Command, deadline: Instant) -> io::Result<Talk> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut running = self.start(command, deadline.min(Instant::now() + NO_ROOM))?;
        let input = running.child.stdin.take().map(OwnedFd::from);
        Ok(Talk {
            input: Pipe::new(input)?,
            running,
            deadline,
            children: self.clone(),
        })
    }

    fn start(&self, mut command: Command, until: Instant) -> io::Result<Program> {
        for name in &self.withheld {
            // What a program is given on purpose it keeps.
            let given = command.get_envs().any(|(it, _)| it == name.as_str());
            if !given {
                command.env_remove(name);
            }
        }
        let (mut child, pid) = loop {
            let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
            if *closed {
                return Err(io::Error::other("the run has ended"));
            }
            match command.spawn() {
                Ok(child) => {
                    let pid = Pid::from_child(&child);
                    lock(&self.alive).insert(pid);
                    break (child, pid);
                }
                // The user has as many processes as he may, but some of them end.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {}
                Err(error) => return Err(error),
            }
            drop(closed);
            thread::sleep(LOOK);
        };
        if getrlimit(Resource::Nofile) != self.files {
            // Where it is not allowed, the program has more open files than it was meant to.
            let _ = prlimit(Some(pid), Resource::Nofile, self.files);
        }
        Ok(Program {
            pid,
            pidfd: pidfd_open(pid, PidfdFlags::empty()).ok(),
            out: Pipe::new(child.stdout.take().map(OwnedFd::from))?,
            err: Pipe::new(child.stderr.take().map(OwnedFd::from))?,
            child,
        })
    }

    /// How many of the processes that were started, or that those have started, run or want to at this moment.
    ///
    /// # Errors
    /// Without /proc.
    pub fn wanting_cpu(&self, roots: &Roots) -> anyhow::Result<usize> {
        let processes = processes::read(roots)?;
        let alive = lock(&self.alive);
        let ours = |it: &&Running| {
            let group = i32::try_from(it.group).ok().and_then(Pid::from_raw);
            group.is_some_and(|it| alive.contains(&it))
        };
        let all = processes.all.iter().filter(ours);
        Ok(all.filter(|it| matches!(it.state, 'R' | 'D')).count())
    }

    /// Kills whatever still runs, and lets nothing be started any more.
    pub fn end(&self) {
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = true;
        for pid in lock(&self.alive).drain() {
            // It may have gone by itself.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        if let Some(family) = self.family.get() {
            family.end();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Program {
    child: Child,
    pid: Pid,
    /// Readable when the program has ended.
    pidfd: Option<OwnedFd>,
    out: Pipe,
    err: Pipe,
}

impl Program {
    /// Reads both outputs until the program has exited and they are empty; false when `until` came first.
    fn watch(&mut self, until: Instant) -> bool {
        let mut drained: Option<Instant> = None;
        let mut exited = false;
        loop {
            let now = Instant::now();
            if exited {
                let end = *drained.get_or_insert((now + DRAIN).min(until));
                if (self.out.is_closed() && self.err.is_closed()) || now >= end {
                    return true;
                }
            } else if now >= until {
                return false;
            }
            let wait = net::left(drained.unwrap_or(until));
            let wait = match (&self.pidfd, exited) {
                (None, false) => wait.min(LOOK),
                _ => wait,
            };
            let [ended, out, err] = self.poll(wait, exited);
            if out {
                self.out.read();
            }
            if err {
                self.err.read();
            }
            let look = ended || self.pidfd.is_none();
            exited = exited || (look && self.has_exited());
        }
    }

    /// Waits until something happens: the program has ended, or there is something to read.
    fn poll(&self, wait: Duration, exited: bool) -> [bool; 3] {
        let pidfd = self.pidfd.as_ref().filter(|_| !exited);
        let ends: [Option<BorrowedFd>; 3] = [
            pidfd.map(AsFd::as_fd),
            self.out.open.as_ref().map(AsFd::as_fd),
            self.err.open.as_ref().map(AsFd::as_fd),
        ];
        let mut polled: Vec<PollFd> = Vec::with_capacity(ends.len());
        for end in ends.iter().flatten() {
            polled.push(PollFd::new(end, PollFlags::IN));
        }
        let wait = Timespec::try_from(wait).unwrap_or_default();
        if poll(&mut polled, Some(&wait)).is_err() {
            // An interrupted wait is only a shorter one.
            return [false; 3];
        }
        let mut ready = polled.iter().map(|it| !it.revents().is_empty());
        ends.map(|it| it.is_some() && ready.next().unwrap_or(false))
    }

    /// Whether the program has exited; it stays a zombie, so that its group's number is not given away.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.pid), options) {
            Ok(status) => status.is_some(),
            Err(_) => true,
        }
    }

    fn signal(&self, signal: Signal) {
        // A group without members needs no signal.
        let _ = kill_process_group(self.pid, signal);
    }
}

/// A talk with a program, every part of which ends at one deadline.
pub struct Talk {
    running: Program,
    input: Pipe,
    deadline: Instant,
    children: Arc<Children>,
}

impl Talk {
    /// What it said on stderr so far.
    pub fn complaints(&mut self) -> String {
        self.running.err.read();
        self.running.err.kept.text().into_owned()
    }

    /// Waits until there is something to read, or room to write; stderr is read on the way.
    fn wait(&mut self, wanted: Wanted) -> io::Result<()> {
        let left = net::left(self.deadline);
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let err = self.running.err.open.as_ref();
        let (end, flags) = match wanted {
            Wanted::Output => (self.running.out.open.as_ref(), PollFlags::IN),
            Wanted::Room => (self.input.open.as_ref(), PollFlags::OUT),
        };
        let mut polled: Vec<PollFd> = end.iter().map(|it| PollFd::new(*it, flags)).collect();
        polled.extend(err.iter().map(|it| PollFd::new(*it, PollFlags::IN)));
        let wait = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut polled, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
        drop(polled);
        self.running.err.read();
        Ok(())
    }
}

/// What is waited for.
#[derive(Clone, Copy)]
enum Wanted {
    Output,
    Room,
}

impl Read for Talk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(open) = &mut self.running.out.open else {
                return Ok(0);
            };
            match open.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(Wanted::Output)?;
                }
                result => return result,
            }
        }
    }
}

impl Write for Talk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let Some(open) = &mut self.input.open else {
                return Err(io::ErrorKind::BrokenPipe.into());
            };
            match open.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(Wanted::Room)?;
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.running.signal(Signal::KILL);
        self.running.watch(Instant::now() + LAST_WORDS);
        // One that is still there is a zombie soon, and gone with us.
        let _ = self.running.child.try_wait();
        lock(&self.children.alive).remove(&self.running.pid);
    }
}

/// Our end of an output.
struct Pipe {
    open: Option<std::fs::File>,
    kept: Kept,
}

impl Pipe {
    fn new(end: Option<OwnedFd>) -> io::Result<Pipe> {
        if let Some(end) = &end {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        Ok(Pipe {
            open: end.map(std::fs::File::from),
            kept: Kept::default(),
        })
    }

    fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    /// Takes what is there.
    fn read(&mut self) {
        let Some(open) = &mut self.open else {
            return;
        };
        let mut buffer = [0; 64 << 10];
        match open.read(&mut buffer) {
            Ok(0) => self.open = None,
            Ok(count) => {
                let room = KEPT.saturating_sub(self.kept.bytes.len()).min(count);
                self.kept.bytes.extend_from_slice(&buffer[..room]);
                self.kept.more += (count - room) as u64;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => self.open = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, millis: u64) -> Ended {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let deadline = Instant::now() + Duration::from_millis(millis);
        let children = Children::default();
        let ended = children.run(command, deadline, Leftovers::Kill);
        assert!(lock(&children.alive).is_empty());
        ended.expect("a shell")
    }

    #[test]
    fn both_outputs_and_the_code_are_kept() {
        let ended = run("echo one; echo two >&2; exit 7", 10_000);
        assert_eq!(ended.how, How::Exit(7));
        assert_eq!((&*ended.out.text(), &*ended.err.text()), ("one\n", "two\n"));
    }

    #[test]
    fn a_signal_is_told_by_its_number() {
        assert_eq!(run("kill -SEGV $$", 10_000).how, How::Signal(11));
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let ended = run("head -c 300000 /dev/zero", 10_000);
        assert_eq!(ended.out.bytes.len(), KEPT);
        assert_eq!(ended.out.more, 300_000 - KEPT as u64);
    }

    #[test]
    fn a_talk_goes_both_ways_and_ends_with_its_program() {
        let children = Arc::new(Children::default());
        let far = Instant::now() + Duration::from_secs(10);
        let mut talk = children.talk(Command::new("/bin/cat"), far).expect("cat");
        let mut heard = [0; 5];
        talk.write_all(b"hello").expect("room");
        talk.read_exact(&mut heard).expect("an echo");
        assert_eq!(&heard, b"hello");
        drop(talk);
        assert!(lock(&children.alive).is_empty());
        let soon = Instant::now() + Duration::from_millis(50);
        let mut talk = children.talk(Command::new("/bin/cat"), soon).expect("cat");
        let error = talk.read(&mut heard).expect_err("nothing is said");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn nothing_is_started_after_the_end() {
        let children = Children::default();
        children.end();
        let far = Instant::now() + Duration::from_secs(5);
        let ended = children.run(Command::new("/bin/true"), far, Leftovers::Kill);
        assert!(ended.is_err());
    }
}
