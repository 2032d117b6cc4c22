//! The process table, read from /proc once per run (proc(5)).

use crate::host::{Roots, kernel};
use anyhow::Context;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// All processes.
pub struct Processes {
    pub all: Vec<Running>,
    /// When they were read, in seconds on the clock of [`Running::start`]; none where no clock fits it.
    pub clock: Option<f64>,
    /// Those that are koshu's own, once somebody asks.
    own: OnceLock<Vec<u32>>,
}

impl Processes {
    pub fn new(all: Vec<Running>, clock: Option<f64>) -> Processes {
        Processes {
            all,
            clock,
            own: OnceLock::new(),
        }
    }

    /// koshu, what it has started, and the shells above it whose command line is koshu's own
    /// (`sh -c "koshu …"`, sudo, timeout).
    pub fn own(&self) -> &[u32] {
        self.own.get_or_init(|| own(&self.all))
    }
}

/// One process, as far as its `stat` tells (proc(5)).
#[derive(Clone, Debug)]
pub struct Running {
    /// Where the kernel shows it.
    pub proc: Arc<Path>,
    pub pid: u32,
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its name as ps shows it: of programs at most 15 bytes, which need not be text.
    pub short: Vec<u8>,
    pub state: char,
    /// User and system time in ticks.
    pub ticks: u64,
    /// Ticks after boot.
    pub start: u64,
    /// Resident memory in bytes.
    pub memory: u64,
    /// The whole address space in bytes.
    pub virtual_memory: u64,
    pub threads: u64,
}

impl Default for Running {
    fn default() -> Running {
        Running {
            proc: Roots::default().proc,
            pid: 0,
            parent: 0,
            group: 0,
            short: Vec::new(),
            state: 'S',
            ticks: 0,
            start: 0,
            memory: 0,
            virtual_memory: 0,
            threads: 1,
        }
    }
}

/// As many bytes of a program's name the kernel keeps.
pub const SHORT: usize = 15;
/// As many words of a command line can stand before a script: two interpreters, each with its options in one word.
const BEFORE: usize = 5;
/// No run takes longer, so that koshu itself is older only by a clock that is not that of the stamps.
const LONGEST_RUN: f64 = 3600.0;
/// A process may have started that many seconds after the clock was read.
const READING: f64 = 2.0;
/// Room for the entries of a few hundred processes.
const ENTRIES: usize = 16 << 10;

/// Reads all processes now.
///
/// # Errors
/// Without /proc, and when it hides the processes of others.
pub fn read(roots: &Roots) -> anyhow::Result<Processes> {
    use rustix::fs::{Mode, OFlags, RawDir};
    let clock = kernel::boot_clock(roots)?;
    let page = rustix::param::page_size() as u64;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let unreadable = || format!("cannot read {}", roots.proc.display());
    let proc = rustix::fs::open(&*roots.proc, flags, Mode::empty()).with_context(unreadable)?;
    let mut entries = Vec::with_capacity(ENTRIES);
    let mut folder = RawDir::new(&proc, entries.spare_capacity_mut());
    let mut all = Vec::with_capacity(256);
    let mut buffer = [0; 1024];
    while let Some(entry) = folder.next() {
        let entry = entry.with_context(unreadable)?;
        let name = entry.file_name().to_str().unwrap_or_default();
        let Ok(pid) = name.parse::<u32>() else {
            continue;
        };
        // A process that ends while it is read is simply not there.
        let Ok(file) = rustix::fs::openat(
            &proc,
            format!("{name}/stat"),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        ) else {
            continue;
        };
        let count = rustix::io::read(&file, &mut buffer).unwrap_or(0);
        all.extend(parse_stat(&roots.proc, pid, &buffer[..count], page));
    }
    // Every namespace of processes has a first one.
    anyhow::ensure!(
        all.iter().any(|it| it.pid == 1),
        "{} does not show the processes of others (hidepid)",
        roots.proc.display()
    );
    all.sort_by_key(|it| it.pid);
    let clock = Some(clock).filter(|it| fits(*it, &all, roots));
    Ok(Processes::new(all, clock))
}

/// Whether a clock is the one that processes are stamped with: by it koshu itself has started only now. Where it is
/// not seen, as from another namespace, there is nothing to compare.
fn fits(clock: f64, all: &[Running], roots: &Roots) -> bool {
    let me = std::process::id();
    let own = all.iter().find(|it| it.pid == me);
    let own = own.filter(|_| *roots.proc == *Roots::default().proc);
    own.is_none_or(|it| it.age(Some(clock)).is_some_and(|age| age < LONGEST_RUN))
}

/// Clock ticks of one second.
pub fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// The name ends at the last `)`, because it may have brackets and blanks of its own.
fn parse_stat(proc: &Arc<Path>, pid: u32, bytes: &[u8], page: u64) -> Option<Running> {
    let open = bytes.iter().position(|it| *it == b'(')?;
    let close = bytes.iter().rposition(|it| *it == b')')?;
    let rest = std::str::from_utf8(bytes.get(close + 2..)?).ok()?;
    let mut fields = [""; 22];
    let found = rest.split_ascii_whitespace();
    fields
        .iter_mut()
        .zip(found)
        .for_each(|(field, it)| *field = it);
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Running {
        proc: proc.clone(),
        pid,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        short: bytes.get(open + 1..close)?.to_vec(),
        state: fields.first()?.chars().next()?,
        ticks: number(11)?.saturating_add(number(12)?),
        threads: number(17)?,
        start: number(19)?,
        virtual_memory: number(20)?,
        memory: number(21)?.saturating_mul(page),
    })
}

impl Running {
    /// A file of what the kernel tells of it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.proc.join(format!("{}/{name}", self.pid))
    }

    /// A file of what the kernel tells of it as text; empty when it has gone or may not be seen.
    fn text(&self, name: &str) -> String {
        let bytes = fs::read(self.file(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The command line's words; none for kernel threads and processes that have ended.
    pub fn words(&self) -> Vec<Vec<u8>> {
        let bytes = fs::read(self.file("cmdline")).unwrap_or_default();
        let words = bytes.split(|it| *it == 0).filter(|it| !it.is_empty());
        words.map(<[u8]>::to_vec).collect()
    }

    /// Whether it has ended, and only its parent has not asked how. One whose first thread alone has ended lives on.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x') && self.threads <= 1
    }

    /// The whole name, of which the kernel keeps the beginning: from the command line, of a script its file, else of
    /// the program's file.
    pub fn name(&self) -> String {
        let whole = match self.short.len() < SHORT {
            true => None,
            false => self.in_words(&self.words()).or_else(|| self.in_file()),
        };
        let whole = whole.as_ref().unwrap_or(&self.short);
        String::from_utf8_lossy(whole).into_owned()
    }

    /// Whether a condition holds for its name: the whole one, the one that ps shows, or, of a title that the program
    /// has given itself ("gunicorn: master [shop]"), that of the program.
    pub fn is_called(&self, fits: impl Fn(&str) -> bool) -> bool {
        let short = String::from_utf8_lossy(&self.short);
        let title = short.split_once(": ").map(|it| it.0);
        let cut = self.short.len() >= SHORT;
        fits(&short) || title.is_some_and(&fits) || (cut && fits(&self.name()))
    }

    /// The name that begins as the short one does, from the first words of the command line that are no options.
    fn in_words(&self, words: &[Vec<u8>]) -> Option<Vec<u8>> {
        let files = words.iter().filter(|it| !it.starts_with(b"-"));
        files.take(BEFORE).find_map(|word| {
            // A program that has given itself a title leaves it as one word.
            let ends: &[&[u8]] = match words.len() {
                1 => &[b": ", b" "],
                _ => &[b": "],
            };
            let cut = |end: &&[u8]| word.windows(end.len()).position(|it| it == *end);
            let parts = ends.iter().filter_map(cut).map(|end| &word[..end]);
            let names = parts.chain([&word[..]]).map(base);
            names
                .into_iter()
                .find(|it| it.starts_with(&self.short))
                .map(<[u8]>::to_vec)
        })
    }

    /// The same from the program's file, which only root and the process' own user may see.
    fn in_file(&self) -> Option<Vec<u8>> {
        let file = fs::read_link(self.file("exe")).ok()?;
        let file = file.as_os_str().as_bytes();
        let name = base(file.strip_suffix(b" (deleted)").unwrap_or(file));
        name.starts_with(&self.short).then(|| name.to_vec())
    }

    /// The effective user's number.
    pub fn user(&self) -> Option<u32> {
        Some(fs::metadata(self.file("")).ok()?.uid())
    }

    /// Its control group, of several hierarchies the longest (cgroups(7)); "/" is none.
    pub fn cgroup(&self) -> String {
        let text = self.text("cgroup");
        let paths = text.lines().filter_map(|it| it.splitn(3, ':').nth(2));
        paths.max_by_key(|it| it.len()).unwrap_or("/").to_owned()
    }

    /// Whether it runs in a container: it has a number in a namespace below ours, or a control group as
    /// container engines give them.
    pub fn is_contained(&self) -> bool {
        let status = self.text("status");
        let numbers = status.lines().find_map(|it| it.strip_prefix("NSpid:"));
        if numbers.is_some_and(|it| it.split_whitespace().count() > 1) {
            return true;
        }
        const ENGINES: [&str; 7] = [
            "docker",
            "kubepods",
            "libpod",
            "lxc",
            "containerd",
            "crio",
            "machine.slice",
        ];
        let cgroup = self.cgroup();
        ENGINES.iter().any(|it| cgroup.contains(it))
    }

    /// Its open files and the most that it may have.
    ///
    /// # Errors
    /// When it belongs to another user, or has gone.
    pub fn files(&self) -> std::io::Result<(u64, Option<u64>)> {
        let open = fs::read_dir(self.file("fd"))?.count() as u64;
        let limits = self.text("limits");
        let line = limits
            .lines()
            .find_map(|it| it.strip_prefix("Max open files"));
        let most = line.and_then(|it| it.split_whitespace().next()?.parse().ok());
        Ok((open, most))
    }

    /// The function of the kernel that it waits in, where the kernel tells.
    pub fn waits_in(&self) -> Option<String> {
        let place = self.text("wchan");
        Some(place).filter(|it| !it.is_empty() && it != "0")
    }

    /// Seconds since it started; none where no clock tells.
    pub fn age(&self, clock: Option<f64>) -> Option<f64> {
        let age = clock? - self.start as f64 / ticks_per_second();
        (age > -READING).then_some(age.max(0.0))
    }

    /// % of one CPU over its whole life.
    pub fn cpu(&self, clock: Option<f64>) -> Option<f64> {
        let ticks = ticks_per_second();
        let age = self.age(clock)?.max(1.0 / ticks);
        Some(100.0 * (self.ticks as f64 / ticks) / age)
    }
}

/// A path's last part.
fn base(path: &[u8]) -> &[u8] {
    let start = path.iter().rposition(|it| *it == b'/');
    &path[start.map_or(0, |it| it + 1)..]
}

fn own(all: &[Running]) -> Vec<u32> {
    let me = std::process::id();
    let mut own = vec![me];
    let find = |pid: u32| all.iter().find(|it| it.pid == pid);
    let mut next = find(me).map(|it| it.parent);
    let called = find(me).and_then(|it| it.words().into_iter().next());
    let called = called.as_deref().map(base).filter(|it| !it.is_empty());
    if let Some(called) = called {
        while let Some(parent) = next.and_then(find) {
            let line = parent.words().join(&b' ');
            if !line.windows(called.len()).any(|it| it == called) {
                break;
            }
            own.push(parent.pid);
            next = Some(parent.parent);
        }
    }
    let mut last = vec![me];
    while !last.is_empty() {
        let born = all.iter().filter(|it| last.contains(&it.parent));
        last = born
            .map(|it| it.pid)
            .filter(|it| !own.contains(it))
            .collect();
        own.extend(&last);
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_brackets_blanks_and_line_ends() {
        let stat = b"42 (a) b\n(c)) S 7 0 0 0 0 0 0 0 0 0 5 6 0 0 0 0 2 0 900 0 3 0 0";
        let proc = Roots::default().proc;
        let parsed = parse_stat(&proc, 42, stat, 4096).expect("a stat line");
        assert_eq!(parsed.short, b"a) b\n(c)");
        assert_eq!((parsed.state, parsed.parent), ('S', 7));
        assert_eq!(
            (parsed.ticks, parsed.start, parsed.memory),
            (11, 900, 12288)
        );
        assert!(parse_stat(&proc, 1, b"1 (x", 4096).is_none());
    }

    /// What a process is called by its short name and its command line.
    fn called(short: &[u8], words: &[&[u8]]) -> Vec<u8> {
        let running = Running {
            short: short.to_vec(),
            ..Running::default()
        };
        let words: Vec<Vec<u8>> = words.iter().map(|it| it.to_vec()).collect();
        running.in_words(&words).unwrap_or(running.short)
    }

    /// Short name, command line, whole name.
    type Case<'c> = (&'c [u8], &'c [&'c [u8]], &'c [u8]);

    #[test]
    fn a_cut_name_is_completed_from_the_command_line() {
        let cases: [Case; 9] = [
            (
                b"systemd-timesyn",
                &[b"/lib/systemd/systemd-timesyncd"],
                b"systemd-timesyncd",
            ),
            (
                b"nightly-backup.",
                &[b"/bin/sh", b"/x/nightly-backup.sh"],
                b"nightly-backup.sh",
            ),
            (
                b"nightly-backup.",
                &[b"/bin/sh", b"-e", b"/x/nightly-backup.sh", b"-v"],
                b"nightly-backup.sh",
            ),
            (
                b"nightly-backup.",
                &[b"bash", b"-eu", b"/x/run", b"-q", b"/x/nightly-backup.sh"],
                b"nightly-backup.sh",
            ),
            (
                b"koshu-with-a-lo",
                &[b"koshu-with-a-long-name: serving /srv/www"],
                b"koshu-with-a-long-name",
            ),
            (
                b"koshu-with-a-lo",
                &[b"/x/koshu-with-a-long-name worker 3"],
                b"koshu-with-a-long-name",
            ),
            (
                b"name with blank",
                &[b"/x/name with blanks and more"],
                b"name with blanks and more",
            ),
            (
                b"caf\xe9-sauvegard",
                &[b"sh", b"/x/caf\xe9-sauvegarde.sh"],
                b"caf\xe9-sauvegarde.sh",
            ),
            (
                b"something-else-",
                &[b"/x/other", b"and more"],
                b"something-else-",
            ),
        ];
        for (short, words, name) in cases {
            let said = called(short, words);
            assert_eq!(said, name, "{}", String::from_utf8_lossy(&said));
        }
    }

    #[test]
    fn a_process_is_called_by_its_title_too() {
        let running = Running {
            short: b"gunicorn: maste".to_vec(),
            ..Running::default()
        };
        for name in ["gunicorn", "gunicorn: maste"] {
            assert!(running.is_called(|it| it == name), "{name}");
        }
        assert!(!running.is_called(|it| it == "gunicor"));
    }

    #[test]
    fn a_start_in_the_future_tells_no_age() {
        let ticks = ticks_per_second();
        let running = Running {
            start: (500.0 * ticks) as u64,
            ticks: (100.0 * ticks) as u64,
            ..Running::default()
        };
        assert_eq!(running.age(Some(60.0)), None, "the uptime of a container");
        assert_eq!(running.cpu(Some(60.0)), None);
        assert_eq!(running.age(Some(499.0)), Some(0.0));
        assert_eq!(running.cpu(Some(1500.0)), Some(10.0));
        assert_eq!(running.age(None), None);
    }

    #[test]
    fn only_the_dead_are_zombies() {
        let state = |state: char, threads: u64| Running {
            state,
            threads,
            ..Running::default()
        };
        assert!(state('Z', 1).is_zombie() && state('X', 0).is_zombie());
        assert!(!state('S', 1).is_zombie());
        assert!(!state('Z', 3).is_zombie(), "its other threads run on");
    }
}
