//! The process table, read from /proc once per run (proc(5)).

use anyhow::{Context, anyhow};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

/// All processes, read once per run when the first check needs them.
#[derive(Default)]
pub struct Table(OnceLock<Result<Processes, String>>);

pub struct Processes {
    pub all: Vec<Running>,
    /// Seconds since boot.
    pub uptime: f64,
}

/// One process, as far as its `stat` tells (proc(5)).
#[derive(Clone, Debug, Default)]
pub struct Running {
    pub pid: u32,
    pub parent: u32,
    /// At most 15 bytes of its name.
    pub short: String,
    pub state: char,
    /// User and system time in ticks.
    pub ticks: u64,
    /// Ticks after boot.
    pub start: u64,
    /// Resident memory in bytes.
    pub memory: u64,
}

impl Table {
    pub fn read(&self) -> anyhow::Result<&Processes> {
        let processes = self
            .0
            .get_or_init(|| read_all().map_err(|it| format!("{it:#}")));
        processes.as_ref().map_err(|it| anyhow!(it.clone()))
    }
}

/// Room for the entries of a few hundred processes.
const ENTRIES: usize = 16 << 10;

fn read_all() -> anyhow::Result<Processes> {
    use rustix::fs::{Mode, OFlags, RawDir};
    let uptime = fs::read_to_string("/proc/uptime").context("cannot read /proc/uptime")?;
    let uptime = uptime.split(' ').next().and_then(|it| it.parse().ok());
    let page = rustix::param::page_size() as u64;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty()).context("cannot read /proc")?;
    let mut entries = Vec::with_capacity(ENTRIES);
    let mut folder = RawDir::new(&proc, entries.spare_capacity_mut());
    let mut all = Vec::with_capacity(256);
    let mut buffer = [0; 1024];
    while let Some(entry) = folder.next() {
        let entry = entry.context("cannot read /proc")?;
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
        all.extend(parse_stat(pid, &buffer[..count], page));
    }
    Ok(Processes {
        all,
        uptime: uptime.context("/proc/uptime has no number")?,
    })
}

/// The name ends at the last `)`, because it may have brackets and blanks of its own.
fn parse_stat(pid: u32, bytes: &[u8], page: u64) -> Option<Running> {
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
        pid,
        parent: fields.get(1)?.parse().ok()?,
        short: String::from_utf8_lossy(bytes.get(open + 1..close)?).into_owned(),
        state: fields.first()?.chars().next()?,
        ticks: number(11)? + number(12)?,
        start: number(19)?,
        memory: number(21)? * page,
    })
}

impl Running {
    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid)
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

    /// Seconds since it started.
    pub fn age(&self, uptime: f64) -> f64 {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        (uptime - self.start as f64 / ticks).max(0.0)
    }

    /// % of one CPU over its whole life.
    pub fn cpu(&self, uptime: f64) -> f64 {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let age = self.age(uptime).max(1.0 / ticks);
        100.0 * (self.ticks as f64 / ticks) / age
    }
}

/// koshu, and the shells above it whose command line is koshu's own (`sh -c "koshu …"`, sudo, timeout).
pub fn own(all: &[Running]) -> Vec<u32> {
    let mut own = vec![std::process::id()];
    let find = |pid: u32| all.iter().find(|it| it.pid == pid);
    let mut next = find(own[0]).map(|it| it.parent);
    let called = find(own[0]).and_then(|it| it.words().into_iter().next());
    let called = called.as_deref().map(Path::new).and_then(Path::file_name);
    let Some(called) = called.and_then(|it| it.to_str()) else {
        return own;
    };
    while let Some(parent) = next.and_then(find) {
        if !parent.words().join(" ").contains(called) {
            break;
        }
        own.push(parent.pid);
        next = Some(parent.parent);
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_brackets_blanks_and_line_ends() {
        let stat = b"42 (a) b\n(c)) S 7 0 0 0 0 0 0 0 0 0 5 6 0 0 0 0 2 0 900 0 3 0 0";
        let parsed = parse_stat(42, stat, 4096).expect("a stat line");
        assert_eq!(parsed.short, "a) b\n(c)");
        assert_eq!((parsed.state, parsed.parent), ('S', 7));
        assert_eq!(
            (parsed.ticks, parsed.start, parsed.memory),
            (11, 900, 12288)
        );
        assert!(parse_stat(1, b"1 (x", 4096).is_none());
    }
}
