//! Follows logs from one run to the next, also where they were rotated, compressed or cut in between (logrotate(8)).
//!
//! A mark tells how far a log was read and what stood there: its first and its last bytes before that place. A file that
//! bears them is that log, whatever it is called now. What a log left behind is looked for in its folder and in that of
//! the file that it links to, in the folders in and beside these, and those that logrotate's own configuration names.

use super::content::{self, MOST, Text};
use super::search::{Found, Search};
use crate::host::account::unreadable;
use crate::model::duration::since_1970;
use crate::model::quantity;
use anyhow::Context as _;
use ring::digest::{self, SHA256};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How far a file was read, and what it was.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Mark {
    inode: u64,
    /// Bytes on the disk.
    #[serde(default)]
    size: u64,
    /// When it was last written: nanoseconds since 1970.
    #[serde(default)]
    written: u64,
    /// Behind the last whole line that was read.
    offset: u64,
    /// The first bytes of what was read.
    #[serde(default)]
    start: Print,
    /// Its last ones.
    #[serde(default)]
    end: Print,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What some bytes are known by: how many they are, and their SHA-256.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
struct Print {
    length: u64,
    hash: String,
}

/// A file that a log has left behind, or that lay beside it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Left {
    /// The log that it belongs to.
    log: String,
    path: String,
    mark: Mark,
    /// Whether it was part of the log when that was looked at; what lay there before is not.
    is_part: bool,
}

/// What is remembered of logs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Marks {
    /// By the paths of logs, as [`key`] writes them.
    #[serde(default)]
    pub files: BTreeMap<String, Mark>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left: Vec<Left>,
}

/// What is new in the logs.
#[derive(Debug, Default)]
pub struct News {
    /// What was found, by log; also in those that are not there any more.
    pub found: BTreeMap<PathBuf, Found>,
    /// What could not be searched, a sentence each.
    pub unread: Vec<String>,
    pub marks: Marks,
}

/// How logs were left by the last run.
#[derive(Clone, Copy)]
pub struct Before<'m> {
    pub at: SystemTime,
    pub marks: &'m Marks,
}

/// How many of the first bytes tell a log from others, and how many before the mark. Short logs are known whole.
const START: u64 = 64 << 10;
const END: u64 = 4 << 10;
/// A mark behind fewer bytes than these may fit what has come since.
const WEAK: u64 = 256;
/// How much earlier than the last run the clock may have shown when something new was written.
const SLACK: Duration = Duration::from_secs(60);
/// What is kept back of the deadline to tell what was found.
const RESERVE: Duration = Duration::from_millis(150);
/// The most files and folders that are looked through for one log.
const LOOKED_AT: usize = 10_000;
/// The most files in its folder of which the beginning is compared with a log that has gone.
const NEAR: usize = 1000;
/// The most files of one log that are remembered.
const REMEMBERED: usize = 16;
/// So many files may be open at once.
const FEW: usize = 100;
/// A log that had not been written for so long was taken away because it was old.
const OLD: Duration = Duration::from_secs(3600);

impl Print {
    fn of(bytes: &[u8]) -> Print {
        Print {
            length: bytes.len() as u64,
            hash: content::hex(&digest::digest(&SHA256, bytes).as_ref()[..16]),
        }
    }

    /// Whether bytes that may be more begin with these.
    fn begins(&self, bytes: &[u8]) -> bool {
        let part = usize::try_from(self.length)
            .ok()
            .and_then(|it| bytes.get(..it));
        part.is_some_and(|it| it.is_empty() || Print::of(it) == *self)
    }
}

/// A path as text, so that no two paths have the same.
pub fn key(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.to_owned(),
        // No path has a NUL in it.
        None => format!("\0{}", content::hex(path.as_os_str().as_bytes())),
    }
}

/// The path of a key.
fn path_of(key: &str) -> PathBuf {
    let Some(digits) = key.strip_prefix('\0') else {
        return PathBuf::from(key);
    };
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.filter_map(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok());
    PathBuf::from(std::ffi::OsString::from_vec(bytes.collect()))
}

/// A file as it lies there now.
struct File {
    path: PathBuf,
    /// The log that it is part of.
    log: PathBuf,
    inode: u64,
    size: u64,
    written: u64,
    /// Opened when it must be.
    text: Option<Text>,
    /// Its first bytes, when they have been read.
    head: Option<Vec<u8>>,
}

impl File {
    fn new(path: &Path, log: &Path, about: &Metadata) -> File {
        File {
            path: path.to_owned(),
            log: log.to_owned(),
            inode: about.ino(),
            size: about.len(),
            written: about.modified().map_or(0, nanos),
            text: None,
            head: None,
        }
    }

    fn is_log(&self) -> bool {
        self.path == self.log
    }

    /// Whether nothing at all has happened to it.
    fn is_as(&self, mark: &Mark) -> bool {
        (self.inode, self.size, self.written) == (mark.inode, mark.size, mark.written)
    }

    fn close(&mut self) {
        self.text = None;
        self.head = None;
    }

    fn text(&mut self) -> anyhow::Result<&mut Text> {
        if self.text.is_none() {
            let text = Text::open(&self.path)?;
            // It may have been rotated just now.
            let about = text.about().map_err(|it| unreadable(&self.path, &it))?;
            *self = File {
                text: Some(text),
                ..File::new(&self.path, &self.log, &about)
            };
        }
        self.text.as_mut().context("it was not opened")
    }

    fn part(&mut self, from: u64, most: u64) -> anyhow::Result<Vec<u8>> {
        let part = self.text()?.part(from, most);
        part.map_err(|it| unreadable(&self.path, &it))
    }

    /// Whether it has, up to the mark, what the log had.
    fn fits(&mut self, mark: &Mark) -> anyhow::Result<bool> {
        if let Some(length) = self.text()?.length()?
            && length < mark.offset
        {
            return Ok(false);
        }
        if self.head.is_none() {
            self.head = Some(self.part(0, START)?);
        }
        if !self.head.as_deref().is_some_and(|it| mark.start.begins(it)) {
            return Ok(false);
        }
        let from = mark.offset.saturating_sub(mark.end.length);
        let end = self.part(from, mark.end.length)?;
        Ok(end.len() as u64 == mark.end.length && mark.end.begins(&end))
    }

    /// The mark of having read so far.
    fn mark(&mut self, offset: u64) -> anyhow::Result<Mark> {
        let start = self.part(0, offset.min(START))?;
        let length = offset.min(END);
        let end = self.part(offset - length, length)?;
        Ok(Mark {
            start: Print::of(&start),
            end: Print::of(&end),
            offset,
            ..self.untouched()
        })
    }

    /// A mark that knows it only while nothing happens to it.
    fn untouched(&self) -> Mark {
        Mark {
            inode: self.inode,
            size: self.size,
            written: self.written,
            ..Mark::default()
        }
    }

    /// Where its last whole line ends.
    fn last_line_end(&mut self) -> anyhow::Result<u64> {
        const LINE: u64 = 64 << 10;
        let length = match self.text()?.length()? {
            Some(length) => length,
            // What is compressed is finished.
            None => return self.length(),
        };
        let start = length.saturating_sub(LINE);
        let last = self.part(start, LINE)?;
        let end = last.iter().rposition(|it| *it == b'\n');
        Ok(end.map_or(start, |it| start + it as u64 + 1))
    }

    fn length(&mut self) -> anyhow::Result<u64> {
        if let Some(length) = self.text()?.length()? {
            return Ok(length);
        }
        let mut length = 0;
        loop {
            match self.part(length, MOST)?.len() {
                0 => return Ok(length),
                more => length += more as u64,
            }
        }
    }
}

fn nanos(at: SystemTime) -> u64 {
    u64::try_from(since_1970(at).as_nanos()).unwrap_or(u64::MAX)
}

/// What is known of where a file is to be read on.
enum From {
    /// From here on, because it is what a mark was set in.
    Mark(u64),
    /// Wholly, because it has come since.
    Beginning,
    /// Not at all: it was there before, or nothing has happened to it.
    Nowhere(Option<Mark>),
}

/// Follows logs: reads what was added since the last run, first to the files that were rotated away. Where no run was
/// before, nothing is new yet, but all of a log that has come since the last run.
///
/// `logs` are there now; `named` is one that should be, if only one is meant.
///
/// # Errors
/// When a log cannot be read.
pub fn follow(
    logs: &[(PathBuf, Metadata)],
    named: Option<&Path>,
    before: Option<Before>,
    search: Search,
    (at, deadline): (SystemTime, Instant),
) -> anyhow::Result<News> {
    let mut walk = Walk {
        search,
        before,
        at,
        deadline: deadline.checked_sub(RESERVE).unwrap_or(deadline),
        news: News::default(),
        done: HashSet::new(),
        whole: HashSet::new(),
    };
    let mut files: Vec<File> = logs
        .iter()
        .map(|(path, about)| File::new(path, path, about))
        .collect();
    let known = before.map(|it| it.marks);
    let empty = Marks::default();
    let marks = known.unwrap_or(&empty);
    // The mark that each file was found by: its number, and what follows.
    let mut from: Vec<Option<From>> = Vec::new();
    let are_few = files.len() < FEW;
    for file in &mut files {
        from.push(walk.by_inode(file, marks)?);
        if !are_few {
            file.close();
        }
    }
    let mut all: Vec<PathBuf> = logs.iter().map(|it| it.0.clone()).collect();
    all.extend(named.map(Path::to_owned));
    all.extend(marks.files.keys().map(|it| path_of(it)));
    all.extend(marks.left.iter().map(|it| path_of(&it.log)));
    all.sort();
    all.dedup();
    let mut taken: HashSet<u64> = files.iter().map(|it| it.inode).collect();
    let (mut beside, mut packed) = (Vec::new(), HashMap::new());
    for log in &all {
        let is_searched = !walk.whole.contains(&key(log));
        let found: Vec<PathBuf> = match is_searched {
            true => relatives(log, marks.files.get(&key(log)).map(|it| it.inode)),
            false => {
                let own = marks.left.iter().filter(|it| path_of(&it.log) == *log);
                own.map(|it| path_of(&it.path)).collect()
            }
        };
        for path in found {
            // One that goes away meanwhile was searched for too late.
            let Ok(about) = fs::metadata(&path) else {
                continue;
            };
            if !about.is_file() || !taken.insert(about.ino()) {
                continue;
            }
            let file = File::new(&path, log, &about);
            match foreign(&path) {
                Some(_) if walk.is_recent(file.written) && is_searched => {
                    let of_log: &mut Vec<File> = packed.entry(log.clone()).or_default();
                    of_log.push(file);
                }
                Some(_) => (),
                None => beside.push((file, is_searched)),
            }
        }
    }
    for (mut file, is_searched) in beside {
        let found = match walk.by_inode(&mut file, marks) {
            Ok(Some(found)) => found,
            Ok(None) => match walk.by_print(&mut file, marks) {
                Ok(Some(found)) => found,
                Ok(None) => walk.by_time(&file, is_searched, marks, named),
                Err(error) => {
                    walk.unreadable(&file, &error);
                    continue;
                }
            },
            Err(error) => {
                walk.unreadable(&file, &error);
                continue;
            }
        };
        files.push(file);
        from.push(Some(found));
    }
    // Under another name it can only be known by what is in it.
    for log in &all {
        let name = key(log);
        if marks.files.contains_key(&name) && !walk.done.contains(&name) {
            for path in neighbours(log) {
                let about = fs::metadata(&path).ok().filter(Metadata::is_file);
                let about = about.filter(|it| !taken.contains(&it.ino()));
                let mut file = match about {
                    Some(about) => File::new(&path, log, &about),
                    None => continue,
                };
                // One that cannot be read is hardly this log.
                if walk.is_recent(file.written)
                    && let Ok(Some(found)) = walk.by_print(&mut file, marks)
                {
                    taken.insert(file.inode);
                    files.push(file);
                    from.push(Some(found));
                }
            }
        }
    }
    for (file, from) in files.iter_mut().zip(&mut from) {
        if from.is_none() {
            *from = Some(match walk.by_print(file, marks)? {
                Some(found) => found,
                None if before.is_some() => From::Beginning,
                None => From::Nowhere(None),
            });
            if !are_few {
                file.close();
            }
        }
    }
    walk.tell_lost(&all, marks, named, &packed);
    // The older first, and the logs themselves last.
    let mut both: Vec<(File, From)> = files.into_iter().zip(from.into_iter().flatten()).collect();
    both.sort_by_key(|(file, from)| (file.is_log(), matches!(from, From::Beginning), file.written));
    for (file, from) in both {
        walk.read(file, from)?;
    }
    Ok(walk.news)
}

/// What goes along while logs are followed.
struct Walk<'a> {
    search: Search<'a>,
    before: Option<Before<'a>>,
    at: SystemTime,
    deadline: Instant,
    news: News,
    /// The logs whose marks were found again.
    done: HashSet<String>,
    /// Those among them that are where they were: nothing was rotated.
    whole: HashSet<String>,
}

impl Walk<'_> {
    /// By the number of the file, if what was read of it is still in it.
    fn by_inode(&mut self, file: &mut File, marks: &Marks) -> anyhow::Result<Option<From>> {
        let name = key(&file.log);
        let logs = marks.files.iter().map(|(log, mark)| (log, mark, true));
        let left = marks.left.iter().map(|it| (&it.log, &it.mark, it.is_part));
        for (log, mark, is_part) in logs.chain(left) {
            if mark.inode != file.inode {
                continue;
            }
            if *log != name && !(file.is_log() && is_part) {
                continue;
            }
            let is_as = file.is_as(mark);
            // Numbers of files are given away again.
            if !is_as && (!is_part && mark.start.length == 0 || !file.fits(mark)?) {
                continue;
            }
            self.find(file, log, mark, marks);
            return Ok(Some(match is_as || !is_part {
                true => From::Nowhere(Some(mark.clone())),
                false => From::Mark(mark.offset),
            }));
        }
        Ok(None)
    }

    /// By what is in it: a copy, or what was compressed.
    fn by_print(&mut self, file: &mut File, marks: &Marks) -> anyhow::Result<Option<From>> {
        let name = key(&file.log);
        let logs = marks.files.iter();
        let left = marks.left.iter().map(|it| (&it.log, &it.mark));
        let mut fitting = logs
            .chain(left)
            .filter(|(log, mark)| mark.offset > 0 && mark.start.length > 0 && **log == name)
            .collect::<Vec<_>>();
        // A log that matches a pattern may be what was rotated away from another one.
        if file.is_log() {
            let others = marks.files.iter();
            fitting.extend(others.filter(|(log, mark)| {
                let is_near = || {
                    let log = path_of(log);
                    is_relative(&log, &file.path) || series(&log) == series(&file.path)
                };
                mark.start.length > 0 && **log != name && is_near()
            }));
        }
        fitting.sort_by_key(|it| std::cmp::Reverse(it.1.offset));
        for (log, mark) in fitting {
            if file.fits(mark)? {
                self.find(file, log, mark, marks);
                return Ok(Some(From::Mark(mark.offset)));
            }
        }
        Ok(None)
    }

    /// A file is what a mark was set in; of interest when that is how its log was left.
    fn find(&mut self, file: &File, log: &str, mark: &Mark, marks: &Marks) {
        if marks.files.get(log) == Some(mark) {
            self.done.insert(log.to_owned());
            if key(&file.path) == log && mark.offset >= WEAK {
                self.whole.insert(log.to_owned());
            }
        }
    }

    /// What lies beside a log and has been written since the last run is part of it where that was rotated.
    fn by_time(
        &mut self,
        file: &File,
        is_searched: bool,
        marks: &Marks,
        named: Option<&Path>,
    ) -> From {
        let name = key(&file.log);
        let mark = marks.files.get(&name);
        // The number of a file is another one's on another device.
        let is_named = || both(&file.log).iter().any(|it| is_relative(it, &file.path));
        let was_looked_at = mark.is_some()
            || named == Some(&file.log)
            || marks.left.iter().any(|it| it.log == name);
        if self.before.is_none()
            || !is_searched
            || !was_looked_at
            || !self.is_recent(file.written)
            || !is_named()
        {
            return From::Nowhere(None);
        }
        // An empty log is known by nothing; what came after it is what it became.
        if mark.is_some_and(|it| it.offset == 0) {
            self.done.insert(name);
        }
        From::Beginning
    }

    fn is_recent(&self, written: u64) -> bool {
        let since = self.before.map_or(self.at, |it| it.at);
        u128::from(written) + SLACK.as_nanos() >= u128::from(nanos(since))
    }

    /// What cannot be read beside a log only matters where it is new.
    fn unreadable(&mut self, file: &File, error: &anyhow::Error) {
        if self.before.is_some() && self.is_recent(file.written) {
            let line = format!(
                "{} ({}), a part of {}, is not searched: {error:#}",
                file.path.display(),
                quantity::bytes(file.size as f64),
                file.log.display()
            );
            self.news.unread.push(line);
        }
    }

    /// Tells of logs that have gone with what was added to them.
    fn tell_lost(
        &mut self,
        all: &[PathBuf],
        marks: &Marks,
        named: Option<&Path>,
        packed: &HashMap<PathBuf, Vec<File>>,
    ) {
        let Some(before) = self.before else {
            return;
        };
        for log in all {
            let name = key(log);
            let is_whole = self.done.contains(&name);
            for file in packed.get(log).into_iter().flatten() {
                let line = format!(
                    "{} ({}), a part of {}, is not searched: koshu reads no {}",
                    file.path.display(),
                    quantity::bytes(file.size as f64),
                    log.display(),
                    foreign(&file.path).unwrap_or("such file")
                );
                self.news.unread.push(line);
            }
            let Some(mark) = marks.files.get(&name).filter(|_| !is_whole) else {
                continue;
            };
            // Those with a date in their names are taken away when they are old.
            let quiet = u128::from(nanos(before.at)).saturating_sub(mark.written.into());
            let is_old = quiet > OLD.as_nanos() && mark.offset >= mark.size;
            let mut others = marks.files.keys().filter(|it| **it != name);
            let is_rotated = others.any(|it| is_relative(&path_of(it), log));
            let is_gone = named != Some(log) && !log.exists();
            if (is_gone && (is_old || is_rotated)) || packed.contains_key(log) {
                continue;
            }
            let what = match mark.offset {
                0 => "what was written to it cannot be found".to_owned(),
                offset => format!(
                    "what was written to it after its first {} cannot be found",
                    quantity::bytes(offset as f64)
                ),
            };
            let how = match log.exists() {
                true => "another file has taken its place, or it was emptied",
                false => "it is gone",
            };
            let line = format!("{}: {what}: {how}", log.display());
            self.news.unread.push(line);
        }
    }

    fn read(&mut self, mut file: File, from: From) -> anyhow::Result<()> {
        let is_log = file.is_log();
        let start = match from {
            From::Nowhere(known) => {
                // What lay beside a log long before will not be taken for new.
                let mark = match known {
                    Some(mark) => mark,
                    None if is_log => {
                        let end = file.last_line_end()?;
                        file.mark(end)?
                    }
                    None if !self.is_recent(file.written) => return Ok(()),
                    None => self.passed_by(&mut file),
                };
                if is_log {
                    self.news.found.entry(file.log.clone()).or_default();
                }
                let is_part = self.was_part(&file);
                self.keep(&file, mark, is_part);
                return Ok(());
            }
            From::Mark(offset) => offset,
            From::Beginning => 0,
        };
        let (log, search) = (file.log.clone(), self.search);
        let mut found = self.news.found.remove(&log).unwrap_or_default();
        let done = self.lines(&mut file, start, search, &mut found);
        self.news.found.insert(log, found);
        match done {
            Ok(offset) => {
                let mark = file.mark(offset)?;
                self.keep(&file, mark, true);
                Ok(())
            }
            Err(error) if is_log => Err(error),
            Err(error) => {
                self.unreadable(&file, &error);
                Ok(())
            }
        }
    }

    /// Looks through what is new in a file, and returns where its last whole line ends.
    fn lines(
        &mut self,
        file: &mut File,
        start: u64,
        search: Search,
        found: &mut Found,
    ) -> anyhow::Result<u64> {
        let mut from = start;
        loop {
            if Instant::now() >= self.deadline {
                let size = match file.text()?.length()? {
                    Some(length) => quantity::bytes(length.saturating_sub(from) as f64),
                    None => format!("the rest of {}", quantity::bytes(file.size as f64)),
                };
                let later = if file.is_log() {
                    "; the next run goes on there"
                } else {
                    ""
                };
                let line = format!(
                    "{size} of {} are not searched, because there is no time left{later}",
                    file.path.display()
                );
                self.news.unread.push(line);
                return Ok(from);
            }
            let part = file.part(from, MOST)?;
            let is_end = (part.len() as u64) < MOST;
            let end = part.iter().rposition(|it| *it == b'\n');
            // A line that is still being written is for the next run; but not one that is longer than all that is
            // read, nor the last one of what was rotated away.
            let whole = match end {
                _ if is_end && !file.is_log() => part.len(),
                Some(end) => end + 1,
                None if is_end => 0,
                None => part.len(),
            };
            let path = file.path.clone();
            search.feed(&part[..whole], &path, found)?;
            from += whole as u64;
            if is_end {
                return Ok(from);
            }
        }
    }

    /// The mark of a file beside a log that is no part of what is new: it may be compressed before the next run.
    fn passed_by(&self, file: &mut File) -> Mark {
        let length = file.length();
        let mark = length.and_then(|it| file.mark(it));
        mark.unwrap_or_else(|_| file.untouched())
    }

    fn was_part(&self, file: &File) -> bool {
        let name = key(&file.log);
        self.before.is_some_and(|it| {
            it.marks.files.values().any(|it| it.inode == file.inode)
                || it
                    .marks
                    .left
                    .iter()
                    .any(|it| it.log == name && it.mark.inode == file.inode && it.is_part)
        })
    }

    /// Remembers a file.
    fn keep(&mut self, file: &File, mark: Mark, is_part: bool) {
        let log = key(&file.log);
        if file.is_log() {
            self.news.marks.files.insert(log, mark);
            return;
        }
        let left = &mut self.news.marks.left;
        left.push(Left {
            path: key(&file.path),
            mark,
            is_part,
            log: log.clone(),
        });
        // They come with the older first.
        if left.iter().filter(|it| it.log == log).count() > REMEMBERED
            && let Some(oldest) = left.iter().position(|it| it.log == log)
        {
            left.remove(oldest);
        }
    }
}

/// Endings of what is compressed; only gzip's is read.
const PACKED: [(&str, &str); 7] = [
    (".gz", ""),
    (".xz", "xz"),
    (".zst", "zstd"),
    (".bz2", "bzip2"),
    (".lz4", "lz4"),
    (".Z", "compress"),
    (".zip", "zip"),
];

/// What compressed a file that cannot be read here.
fn foreign(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy();
    let found = PACKED[1..].iter().find(|it| name.ends_with(it.0));
    found.map(|it| it.1)
}

/// Whether a file is named as logrotate(8) and others name what they rotate away: `app.log.1`, `app.log-20261125.gz`,
/// `app-20261125.log`.
fn is_relative(log: &Path, file: &Path) -> bool {
    let names = log.file_name().zip(file.file_name());
    let Some((log, name)) = names.map(|(a, b)| (a.as_bytes(), b.as_bytes())) else {
        return false;
    };
    let packed = PACKED
        .iter()
        .find_map(|it| name.strip_suffix(it.0.as_bytes()));
    let name = packed.unwrap_or(name);
    if let Some(rest) = name.strip_prefix(log) {
        let word = rest.get(1..).unwrap_or_default();
        let is_dated = is_stamp(word, 1) || matches!(word, b"old" | b"bak" | b"prev");
        return (rest.is_empty() && packed.is_some())
            || (matches!(rest.first(), Some(b'.' | b'-' | b'_')) && is_dated);
    }
    let dot = log.iter().rposition(|it| *it == b'.').filter(|it| *it > 0);
    let Some((stem, extension)) = dot.map(|it| log.split_at(it)) else {
        return false;
    };
    let between = name
        .strip_prefix(stem)
        .and_then(|it| it.strip_suffix(extension));
    match between.and_then(<[u8]>::split_first) {
        // `app-2.log` is as likely another log.
        Some((b'.', rest)) => is_stamp(rest, 1),
        Some((b'-' | b'_', rest)) => is_stamp(rest, 6),
        _ => false,
    }
}

/// A name without its numbers and what it was compressed with.
fn series(file: &Path) -> Vec<u8> {
    let name = file.file_name().map_or(&b""[..], |it| it.as_bytes());
    let packed = PACKED
        .iter()
        .find_map(|it| name.strip_suffix(it.0.as_bytes()));
    let name = packed.unwrap_or(name).iter();
    name.copied().filter(|it| !it.is_ascii_digit()).collect()
}

/// A number or date with at least so many digits.
fn is_stamp(word: &[u8], digits: usize) -> bool {
    let is_part = |it: &u8| it.is_ascii_digit() || b"-_.:+TZ".contains(it);
    let count = word.iter().filter(|it| it.is_ascii_digit()).count();
    count >= digits && word.iter().all(is_part)
}

/// A log, and the file that it links to.
fn both(log: &Path) -> Vec<PathBuf> {
    let real = fs::canonicalize(log).ok();
    let mut both = vec![log.to_owned()];
    both.extend(real.filter(|it| it != log));
    both
}

/// What may be parts of a log, by their names or the number of the file: beside it, in the folders in and beside its
/// own, and where logrotate's configuration says.
fn relatives(log: &Path, inode: Option<u64>) -> Vec<PathBuf> {
    let below = |folder: &Path| -> Vec<PathBuf> {
        let all = fs::read_dir(folder).into_iter().flatten().flatten();
        let only = all.take(LOOKED_AT).filter(|it| {
            // A link may lead anywhere.
            it.file_type().is_ok_and(|it| it.is_dir())
        });
        only.map(|it| it.path()).take(200).collect()
    };
    let mut found = Vec::new();
    for log in both(log) {
        let Some(folder) = log.parent() else {
            continue;
        };
        let mut folders = vec![folder.to_owned()];
        folders.extend(below(folder));
        folders.extend(folder.parent().into_iter().flat_map(below));
        folders.extend(olddirs().into_iter().map(|it| folder.join(it)));
        let mut known = HashSet::new();
        folders.retain(|it| known.insert(it.clone()));
        let all = folders
            .iter()
            .flat_map(|it| fs::read_dir(it).into_iter().flatten().flatten());
        let named = all.take(LOOKED_AT).filter(|it| {
            let path = it.path();
            path != log && (Some(it.ino()) == inode || is_relative(&log, &path))
        });
        found.extend(named.map(|it| it.path()));
    }
    found
}

/// What lies in the folder of a log under any name.
fn neighbours(log: &Path) -> Vec<PathBuf> {
    let folders: Vec<PathBuf> = both(log)
        .iter()
        .filter_map(|it| it.parent().map(Path::to_owned))
        .collect();
    let all = folders
        .iter()
        .flat_map(|it| fs::read_dir(it).into_iter().flatten().flatten());
    all.take(NEAR).map(|it| it.path()).collect()
}

/// The folders that logrotate(8) is told to rotate into.
fn olddirs() -> Vec<PathBuf> {
    let dropped = fs::read_dir("/etc/logrotate.d").into_iter().flatten();
    let mut files: Vec<PathBuf> = dropped.flatten().map(|it| it.path()).collect();
    files.push(PathBuf::from("/etc/logrotate.conf"));
    let text = |path: PathBuf| -> io::Result<String> {
        let mut text = String::new();
        let is_file = fs::metadata(&path)?.is_file();
        if is_file {
            io::Read::read_to_string(
                &mut io::Read::take(fs::File::open(path)?, 256 << 10),
                &mut text,
            )?;
        }
        Ok(text)
    };
    let texts = files.into_iter().filter_map(|it| text(it).ok());
    let line = |it: &str| {
        let folder = it.trim().strip_prefix("olddir")?;
        folder
            .starts_with(char::is_whitespace)
            .then(|| PathBuf::from(folder.trim().trim_matches('"')))
    };
    texts
        .flat_map(|text| text.lines().filter_map(line).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pattern::Pattern;
    use std::process::Command;

    /// A log in a folder of its own, and what is remembered of it.
    struct Log {
        folder: tempfile::TempDir,
        marks: Option<(SystemTime, Marks)>,
    }

    impl Log {
        /// Looked at once, with a line that is old and so long that the mark is not weak.
        fn new() -> Log {
            let mut log = Log {
                folder: tempfile::tempdir().expect("a folder"),
                marks: None,
            };
            fs::create_dir(log.at("logs")).expect("a folder");
            log.append(&format!("FATAL old {}\n", "x".repeat(300)));
            assert_eq!(log.look(), ("".to_owned(), 0));
            log
        }

        fn at(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn path(&self) -> PathBuf {
            self.at("logs/app.log")
        }

        fn append(&self, text: &str) {
            use std::io::Write;
            let mut file = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(self.path())
                .expect("a file");
            file.write_all(text.as_bytes()).expect("written");
        }

        fn sh(&self, script: &str) {
            let done = Command::new("sh")
                .args(["-ec", script])
                .current_dir(self.at("logs"))
                .status();
            assert!(done.is_ok_and(|it| it.success()), "{script}");
        }

        fn news(&mut self, patterns: &[&str]) -> News {
            let bad: Pattern = "FATAL".parse().expect("a regex");
            let search = Search {
                contains: None,
                bad: Some(&bad),
            };
            let mut logs = Vec::new();
            for path in patterns {
                let path = self.at("logs").join(path);
                if let Ok(about) = fs::metadata(&path) {
                    logs.push((path, about));
                }
            }
            let before = self
                .marks
                .as_ref()
                .map(|(at, marks)| Before { at: *at, marks });
            let named = self.path();
            let named = (patterns.len() == 1).then_some(&*named);
            let now = SystemTime::now();
            let deadline = Instant::now() + Duration::from_secs(20);
            let news = follow(&logs, named, before, search, (now, deadline)).expect("read");
            // Through what history keeps.
            let kept = serde_json::to_string(&news.marks).expect("JSON");
            self.marks = Some((now, serde_json::from_str(&kept).expect("marks")));
            news
        }

        /// The last words of the bad lines that are new, and how much is not read.
        fn look(&mut self) -> (String, usize) {
            let news = self.news(&["app.log"]);
            (Log::words(&news), news.unread.len())
        }

        fn words(news: &News) -> String {
            let lines = news.found.values().flat_map(|it| &it.last);
            let words = lines.map(|it| it.1.rsplit(' ').next().unwrap_or_default().to_owned());
            words.collect::<Vec<_>>().join(" ")
        }

        #[track_caller]
        fn finds(&mut self, words: &str) {
            assert_eq!(self.look(), (words.to_owned(), 0));
            assert_eq!(self.look(), (String::new(), 0), "each line once");
        }

        /// The words that are not "one" are found wherever the log is rotated to.
        fn rotated(script: &str, words: &str) -> Log {
            let mut log = Log::new();
            log.append("FATAL one\n");
            log.sh(script);
            assert_eq!(log.look(), (words.to_owned(), 0), "{script}");
            assert_eq!(log.look(), (String::new(), 0), "each line once: {script}");
            log
        }
    }

    #[test]
    fn only_whole_lines_that_are_new_are_read_each_once() {
        let mut log = Log::new();
        log.append("FATAL ha");
        log.finds("");
        log.append("lf\nFATAL st");
        log.finds("half");
        log.append("art\n");
        log.finds("start");
    }

    #[test]
    fn a_log_is_found_again_however_it_was_rotated() {
        for script in [
            "mv app.log app.log.1; echo FATAL two > app.log",
            "mv app.log app.log-20261125; echo FATAL two > app.log",
            "mv app.log app-20261125.log; echo FATAL two > app.log",
            "mkdir old; mv app.log old/app.log.1; echo FATAL two > app.log",
            "mkdir ../old; mv app.log ../old/app.log-20261125; echo FATAL two > app.log",
            "mv app.log app.log.1; gzip app.log.1; echo FATAL two > app.log",
            "mv app.log app.log-20261125-1764000000; gzip app.log-*; echo FATAL two > app.log",
            // Compressed at once into another folder, without the time of the last line.
            "mkdir ../old; gzip -nc app.log > ../old/app.log.1.gz; rm app.log; echo FATAL two > app.log",
            // In place, with less, more and just as much as before.
            "cp app.log app.log.1; echo FATAL two > app.log",
            "cp app.log app.log.1; : > app.log; seq 1 500 >> app.log; echo FATAL two >> app.log",
            "cp app.log app.log.1; size=$(stat -c %s app.log); : > app.log; \
             head -c $((size - 10)) /dev/zero | tr '\\0' y >> app.log; printf '\\nFATAL two' | head -c 11 | tail -c 11 > /dev/null; \
             printf '\\nFATAL two\\n' >> app.log",
            "cp app.log app.log.1; gzip app.log.1; echo FATAL two > app.log",
            // Under names that nobody could guess.
            "mv app.log kept; echo FATAL two > app.log",
            "gzip -c app.log > kept; echo FATAL two > app.log",
            "cp app.log kept; echo FATAL two > app.log",
        ] {
            Log::rotated(script, "one two");
        }
    }

    #[test]
    fn a_log_that_is_a_link_is_found_where_it_led() {
        let mut log = Log::new();
        log.sh("mkdir ../data; mv app.log ../data/a; ln -s ../data/a app.log");
        log.look();
        log.append("FATAL one\n");
        log.sh("echo FATAL two > ../data/b; ln -sf ../data/b app.log");
        log.finds("one two");
    }

    #[test]
    fn all_that_was_rotated_since_is_read_in_its_order() {
        for script in [
            "mv app.log app.log.1; echo FATAL two > app.log; \
             mv app.log.1 app.log.2; mv app.log app.log.1; echo FATAL three > app.log",
            "mv app.log app.log.1; echo FATAL two > app.log; sleep 0.02; \
             gzip app.log.1; mv app.log.1.gz app.log.2.gz; mv app.log app.log.1; gzip app.log.1; echo FATAL three > app.log",
            "mv app.log app.log-20261124; echo FATAL two > app.log; sleep 0.02; \
             mv app.log app.log-20261125; gzip app.log-20261124; echo FATAL three > app.log",
            "cp app.log app.log.1; echo FATAL two > app.log; sleep 0.02; \
             mv app.log.1 app.log.2; cp -p app.log app.log.1; echo FATAL three > app.log",
        ] {
            Log::rotated(script, "one two three");
        }
    }

    #[test]
    fn a_look_between_renaming_and_making_anew_loses_nothing() {
        let mut log = Log::new();
        log.append("FATAL one\n");
        log.sh("mv app.log app.log.1");
        log.finds("one");
        // The program has not opened the new one yet.
        log.sh("echo FATAL two >> app.log.1");
        log.finds("two");
        log.append("FATAL three\n");
        log.sh("echo FATAL four >> app.log.1; gzip app.log.1");
        log.finds("four three");
        log.append("FATAL five\n");
        log.finds("five");
    }

    #[test]
    fn a_program_that_goes_on_writing_to_the_old_file_is_heard() {
        let mut log = Log::rotated("mv app.log app.log.1; seq 500 > app.log", "one");
        log.sh("echo FATAL two >> app.log.1");
        log.finds("two");
        log.append("FATAL three\n");
        log.finds("three");
    }

    #[test]
    fn what_was_there_before_the_first_look_stays_old() {
        let mut log = Log {
            folder: tempfile::tempdir().expect("a folder"),
            marks: None,
        };
        fs::create_dir(log.at("logs")).expect("a folder");
        log.append("FATAL now\n");
        log.sh("echo FATAL older > app.log.1; seq 100 | sed s/^/FATAL/ | gzip > app.log.2.gz; echo FATAL other > app-2.log");
        log.finds("");
        log.append("FATAL one\n");
        log.sh("mv app.log.2.gz app.log.3.gz; mv app.log.1 app.log.2; gzip app.log.2; mv app.log app.log.1; touch app.log");
        log.finds("one");
        log.sh("echo FATAL other >> app-2.log");
        log.finds("");
    }

    #[test]
    fn an_empty_log_that_was_filled_and_emptied_again_is_found() {
        let mut log = Log {
            folder: tempfile::tempdir().expect("a folder"),
            marks: None,
        };
        fs::create_dir(log.at("logs")).expect("a folder");
        log.append("");
        log.finds("");
        log.sh("echo FATAL one >> app.log; cp app.log app.log.1; : > app.log");
        log.finds("one");
        log.sh("echo FATAL two >> app.log; mv app.log.1 app.log.2; mv app.log app.log.1; touch app.log");
        log.finds("two");
        log.append("FATAL three\n");
        log.finds("three");
    }

    #[test]
    fn what_cannot_be_found_is_told_with_its_size() {
        for (script, told) in [
            (": > app.log", "after its first 311 B cannot be found"),
            ("rm app.log; echo x > app.log", "311 B cannot be found"),
            (
                "echo other > app.log.1; seq 500 > app.log",
                "311 B cannot be found",
            ),
            ("rm app.log", "311 B cannot be found: it is gone"),
            (
                "mv app.log app.log.1; gzip app.log.1; printf x | dd of=app.log.1.gz bs=1 seek=20 conv=notrunc 2>/dev/null; touch app.log",
                "app.log",
            ),
            (
                "mv app.log app.log.1.xz; touch app.log",
                "koshu reads no xz",
            ),
        ] {
            let mut log = Log::new();
            log.append("FATAL one\n");
            log.sh(script);
            let news = log.news(&["app.log"]);
            assert!(!news.unread.is_empty(), "{script}");
            assert!(news.unread[0].contains(told), "{script}: {:?}", news.unread);
            log.append("FATAL two\n");
            assert!(log.look().0.ends_with("two"), "{script}");
        }
    }

    #[test]
    fn a_pattern_that_matches_what_is_rotated_reads_each_line_once() {
        let mut log = Log::new();
        log.marks = None;
        let all = [
            "app.log",
            "app.log.1",
            "app.log.2",
            "app.log.2.gz",
            "app.log.3.gz",
        ];
        log.sh("echo FATAL older > app.log.1; echo FATAL oldest | gzip > app.log.2.gz");
        assert_eq!(Log::words(&log.news(&all)), "");
        log.append("FATAL one\n");
        log.sh("mv app.log.2.gz app.log.3.gz; mv app.log.1 app.log.2; gzip app.log.2; mv app.log app.log.1; echo FATAL two > app.log");
        let news = log.news(&all);
        let mut words: Vec<String> = Log::words(&news).split(' ').map(str::to_owned).collect();
        words.sort();
        assert_eq!(words, ["one", "two"], "{:?}", news.unread);
        // What is taken away because it is old is not missed.
        log.sh("rm app.log.3.gz");
        let news = log.news(&all);
        assert_eq!((Log::words(&news), news.unread.len()), (String::new(), 0));
    }

    #[test]
    fn rotated_files_are_known_by_their_names_and_others_are_not() {
        let of = |name: &str| is_relative(Path::new("/l/app.log"), Path::new(name));
        for name in [
            "app.log.1",
            "app.log.2.gz",
            "app.log-20261125",
            "app.log-20261125.xz",
            "app.log.old",
            "app-20261125.log",
            "app.1.log.gz",
            "app.log_2026-11-25T10:00:00",
            "app.log.gz",
        ] {
            assert!(of(name), "{name}");
        }
        for name in [
            "app.log",
            "app-2.log",
            "app-access.log",
            "app.log.lock",
            "application.log.1",
            "app.log.d",
            "xapp.log.1",
            "app.log.conf1",
        ] {
            assert!(!of(name), "{name}");
        }
    }

    #[test]
    fn marks_of_names_that_are_not_text_survive() {
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/l/caf\xe9.log"));
        assert_eq!(path_of(&key(path)), path);
        assert_eq!(path_of(&key(Path::new("/l/é.log"))), Path::new("/l/é.log"));
    }
}
