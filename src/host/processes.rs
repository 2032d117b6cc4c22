//! The process table, read from /proc once per run (proc(5)).

use crate::host::{Roots, kernel};
use anyhow::Context;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// All processes.
pub struct Processes {
    pub all: Vec<Running>,
    /// Seconds since boot.
    pub uptime: f64,
    /// Those that are koshu's own, once somebody asks.
    own: OnceLock<Vec<u32>>,
}

impl Processes {
    pub fn new(all: Vec<Running>, uptime: f64) -> Processes {
        Processes {
            all,
            uptime,
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
    /// At most 15 bytes of its name.
    pub short: String,
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
            short: String::new(),
            state: 'S',
            ticks: 0,
            start: 0,
            memory: 0,
            virtual_memory: 0,
            threads: 1,
        }
    }
}

/// Room for the entries of a few hundred processes.
const ENTRIES: usize = 16 << 10;

/// Reads all processes now.
///
/// # Errors
/// Without /proc, and when it hides the processes of others.
pub fn read(roots: &Roots) -> anyhow::Result<Processes> {
    use rustix::fs::{Mode, OFlags, RawDir};
    let uptime = kernel::uptime(roots)?;
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
    Ok(Processes::new(all, uptime))
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
        short: String::from_utf8_lossy(bytes.get(open + 1..close)?).into_owned(),
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

    /// The command line's words; none for kernel threads and processes that have gone.
    pub fn words(&self) -> Vec<String> {
        let bytes = fs::read(self.file("cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let words = text.trim_end_matches('\0').split('\0');
        words
            .map(str::to_owned)
            .filter(|it| !it.is_empty())
            .collect()
    }

    /// The whole name: where the kernel has cut it, from the command line, of a script its file.
    pub fn name(&self) -> String {
        if self.short.len() < 15 {
            return self.short.clone();
        }
        let words = self.words();
        let base = |word: &String| {
            let name = Path::new(word).file_name()?.to_str()?.to_owned();
            name.starts_with(&self.short).then_some(name)
        };
        words
            .iter()
            .take(2)
            .find_map(base)
            .unwrap_or(self.short.clone())
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

    /// Seconds since it started.
    pub fn age(&self, uptime: f64) -> f64 {
        let ticks = ticks_per_second();
        (uptime - self.start as f64 / ticks).max(0.0)
    }

    /// % of one CPU over its whole life.
    pub fn cpu(&self, uptime: f64) -> f64 {
        let ticks = ticks_per_second();
        let age = self.age(uptime).max(1.0 / ticks);
        100.0 * (self.ticks as f64 / ticks) / age
    }
}

fn own(all: &[Running]) -> Vec<u32> {
    let me = std::process::id();
    let mut own = vec![me];
    let find = |pid: u32| all.iter().find(|it| it.pid == pid);
    let mut next = find(me).map(|it| it.parent);
    let called = find(me).and_then(|it| it.words().into_iter().next());
    let called = called.as_deref().map(Path::new).and_then(Path::file_name);
    if let Some(called) = called.and_then(|it| it.to_str()) {
        while let Some(parent) = next.and_then(find) {
            if !parent.words().join(" ").contains(called) {
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
        assert_eq!(parsed.short, "a) b\n(c)");
        assert_eq!((parsed.state, parsed.parent), ('S', 7));
        assert_eq!(
            (parsed.ticks, parsed.start, parsed.memory),
            (11, 900, 12288)
        );
        assert!(parse_stat(&proc, 1, b"1 (x", 4096).is_none());
    }
}
