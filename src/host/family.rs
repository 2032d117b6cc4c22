//! What descends from a program that koshu has started: found and ended wherever it has gone, into another process
//! group or session too.
//!
//! koshu adopts what its programs leave behind (PR_SET_CHILD_SUBREAPER(2const)), and each program has a mark in its
//! environment that its descendants inherit, so that it is known whose they are.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The variable that marks a program and all that descends from it.
pub const MARK: &str = "KOSHU_CHILD";
/// The first argument that makes this program a guard.
pub const WORD: &str = "guard-helper";
/// Stands in the mark of a program that may leave something behind.
const KEPT: &str = "kept";
/// How long what is killed is waited for, so that what it leaves in turn is killed as well.
const PATIENCE: Duration = Duration::from_millis(50);
/// How often it is looked after meanwhile.
const LOOK: Duration = Duration::from_millis(1);

/// What happens to processes that a program leaves behind when it exits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Leftovers {
    Kill,
    Keep,
}

/// The programs of one run and all that descends from them.
pub struct Family {
    /// Of this run and no other.
    name: String,
    count: AtomicU64,
    kin: Kin,
    /// The marks of programs that have ended and may leave something behind.
    kept: Mutex<HashSet<String>>,
    guard: Mutex<Watch>,
}

/// Whether somebody watches over the family.
enum Watch {
    /// Not yet: so is this program called.
    Wanted(PathBuf),
    Stands(Guard),
    Over,
}

/// Where it is read who has been left behind.
enum Kin {
    /// The children of our first thread: it starts no programs, so that they are those that koshu has adopted.
    Adopted(File),
    /// Any process that has a mark, where koshu may not adopt or the kernel does not list children (before Linux 4.2).
    Marked,
    /// Nobody tells: /proc is not mounted, or that of other processes.
    Unknown,
}

impl Family {
    /// `exe` is this program, which is started once more to end the family if koshu is killed; nowhere, nobody does.
    pub fn new(exe: PathBuf) -> Family {
        Family {
            kin: Kin::find(),
            name: format!("{:016x}", RandomState::new().hash_one(std::process::id())),
            guard: Mutex::new(Watch::Wanted(exe)),
            count: AtomicU64::default(),
            kept: Mutex::default(),
        }
    }

    /// The mark of one more program.
    pub fn mark(&self, leftovers: Leftovers) -> String {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        match leftovers {
            Leftovers::Kill => format!("{}.{number}", self.name),
            Leftovers::Keep => format!("{}.{KEPT}.{number}", self.name),
        }
    }

    /// Sets a guard, once there is somebody to watch over. Where none can be started, whatever outlives koshu when it is
    /// killed lives on.
    pub fn watch(&self) {
        let mut guard = lock(&self.guard);
        if let Watch::Wanted(exe) = &*guard {
            *guard = Guard::start(exe, &self.name).map_or(Watch::Over, Watch::Stands);
        }
    }

    fn dismiss(&self) {
        if let Watch::Stands(guard) = std::mem::replace(&mut *lock(&self.guard), Watch::Over) {
            guard.dismiss();
        }
    }

    /// A program has ended, and what it has left behind may go on.
    pub fn keep(&self, mark: &str) {
        lock(&self.kept).insert(mark.to_owned());
    }

    /// Ends what a program has left behind.
    pub fn end_of(&self, mark: &str) {
        self.kill(|pid| mark_of(pid).as_deref() == Some(mark));
    }

    /// Ends all that is left but what may go on. What has lost its mark (`env -i`, sudo) goes on where it may be of a
    /// program that may leave something.
    pub fn end(&self) {
        let kept = lock(&self.kept).clone();
        let own = fs::read_link("/proc/self/exe").ok();
        self.kill(|pid| match mark_of(pid) {
            Some(mark) if mark.starts_with(&self.name) => !kept.contains(&mark),
            // A helper or guard of koshu's own.
            _ if fs::read_link(format!("/proc/{}/exe", pid.as_raw_pid())).ok() == own => false,
            _ => kept.is_empty() && matches!(self.kin, Kin::Adopted(_)),
        });
        self.dismiss();
    }

    /// Kills those that a condition holds for, and then those that they leave, until there are none.
    fn kill(&self, is_meant: impl Fn(Pid) -> bool) {
        let until = Instant::now() + PATIENCE;
        let mut killed = HashSet::new();
        loop {
            for pid in self.kin.left(&self.name) {
                if !killed.contains(&pid) && is_meant(pid) {
                    // It may have ended by itself, or belong to another user.
                    let _ = kill_process(pid, Signal::KILL);
                    killed.insert(pid);
                }
            }
            let gone = |pid: &Pid| {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                !matches!(waitid(WaitId::Pid(*pid), options), Ok(None))
            };
            let before = killed.len();
            killed.retain(|it| !gone(it));
            if before == 0 || Instant::now() >= until {
                return;
            }
            if killed.len() == before {
                thread::sleep(LOOK);
            }
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.dismiss();
    }
}

impl Kin {
    fn find() -> Kin {
        let me = rustix::process::getpid();
        // Numbers of another namespace's processes mean others here.
        let is_own = fs::read_link("/proc/self").is_ok_and(|it| *it == *me.to_string());
        if !is_own {
            return Kin::Unknown;
        }
        let list = File::open(format!("/proc/self/task/{me}/children"));
        match (rustix::process::set_child_subreaper(Some(me)), list) {
            (Ok(()), Ok(list)) => Kin::Adopted(list),
            _ => Kin::Marked,
        }
    }

    /// Those that may have been left behind.
    fn left(&self, name: &str) -> Vec<Pid> {
        match self {
            Kin::Adopted(list) => {
                let mut bytes = vec![0; 4096];
                let count = list.read_at(&mut bytes, 0).unwrap_or(0);
                // What is cut off is seen when these have gone.
                let text = String::from_utf8_lossy(&bytes[..count]);
                let whole = text.rsplit_once(' ').map_or("", |it| it.0);
                whole.split(' ').filter_map(pid).collect()
            }
            Kin::Marked => marked(name),
            Kin::Unknown => Vec::new(),
        }
    }
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

/// The mark of a process; none when it has ended, belongs to another user or has lost it.
fn mark_of(pid: Pid) -> Option<String> {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_pid())).ok()?;
    let mut variables = environment.split(|it| *it == 0);
    let value = variables.find_map(|it| it.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

/// All processes that have a mark of this family and are not to be kept.
fn marked(name: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|it| pid(it.file_name().to_str()?));
    let is_marked = |pid: &Pid| mark_of(*pid).is_some_and(|it| it.starts_with(name));
    pids.filter(is_marked).collect()
}

/// A process that ends the family when koshu is killed and cannot. A signal for the death of a parent
/// (PR_SET_PDEATHSIG) would reach the programs alone, not what they have started, and would have to be asked for
/// between fork and exec, where hardly anything is allowed.
struct Guard(Child);

impl Guard {
    fn start(exe: &Path, name: &str) -> io::Result<Guard> {
        if exe.as_os_str().is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut command = Command::new(exe);
        command
            .args([WORD, name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env_clear()
            .current_dir("/")
            .process_group(0);
        command.spawn().map(Guard)
    }

    /// Koshu ends in good order.
    fn dismiss(mut self) {
        if let Some(mut word) = self.0.stdin.take() {
            // It is killed anyway; but where it reads on before, it must know.
            let _ = word.write_all(b".");
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The life of a guard: waits for a word; an end without one is that of koshu.
pub fn guard(name: &str, from: &mut dyn Read) {
    let mut word = Vec::new();
    let is_own =
        || fs::read_link("/proc/self").is_ok_and(|it| *it == *std::process::id().to_string());
    if from.read_to_end(&mut word).is_err() || !word.is_empty() || !is_own() {
        return;
    }
    let until = Instant::now() + 10 * PATIENCE;
    while Instant::now() < until {
        let kept = format!("{name}.{KEPT}");
        let is_kept = |pid: Pid| mark_of(pid).is_none_or(|it| it.starts_with(&kept));
        let left: Vec<Pid> = marked(name)
            .into_iter()
            .filter(|it| !is_kept(*it))
            .collect();
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(LOOK);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a process still runs.
    fn lives(number: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn what_may_not_be_adopted_is_found_by_its_mark() {
        let mut family = Family::new(PathBuf::new());
        family.kin = Kin::Marked;
        let left_behind = |leftovers: Leftovers| {
            let mark = family.mark(leftovers);
            let mut shell = Command::new("/bin/sh");
            let script = "setsid sleep 60 >/dev/null 2>&1 & echo $!";
            let out = shell.args(["-c", script]).env(MARK, &mark).output();
            let number = String::from_utf8(out.expect("a shell").stdout).expect("a number");
            (mark, number.trim().to_owned())
        };
        let (mark, number) = left_behind(Leftovers::Kill);
        let (other, kept) = left_behind(Leftovers::Keep);
        assert!(lives(&number) && lives(&kept));
        family.end_of(&mark);
        assert!(!lives(&number) && lives(&kept));
        family.keep(&other);
        family.end();
        assert!(lives(&kept), "it may go on");
        family.end_of(&other);
        assert!(!lives(&kept));
    }

    #[test]
    fn a_guard_ends_what_is_left_only_where_nobody_says_a_word() {
        let family = Family::new(PathBuf::new());
        let mark = family.mark(Leftovers::Kill);
        let mut child = Command::new("/bin/sleep")
            .arg("60")
            .env(MARK, &mark)
            .spawn()
            .expect("sleep");
        guard(&family.name, &mut &b"."[..]);
        assert!(lives(&child.id().to_string()));
        guard(&family.name, &mut &b""[..]);
        assert!(!lives(&child.id().to_string()));
        assert!(child.wait().is_ok());
    }
}
