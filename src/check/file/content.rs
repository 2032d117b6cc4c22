//! What is in a file: its last part, what was added since the last run, its checksum.

use crate::host::account::unreadable;
use ring::digest::{self, SHA256};
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a file's checksum must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Checksum {
    /// That of the last run.
    Unchanged,
    /// In hexadecimal digits.
    Sha256(String),
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Checksum, D::Error> {
        let text = String::deserialize(from)?;
        let hex = text.strip_prefix("sha256:").map(str::to_ascii_lowercase);
        let is_hex = |it: &String| it.len() == 64 && it.chars().all(|c| c.is_ascii_hexdigit());
        match (text.as_str(), hex.filter(is_hex)) {
            ("unchanged", _) => Ok(Checksum::Unchanged),
            (_, Some(hex)) => Ok(Checksum::Sha256(hex)),
            _ => Err(serde::de::Error::custom(
                "expected \"unchanged\", or \"sha256:\" with 64 hexadecimal digits",
            )),
        }
    }
}

impl schemars::JsonSchema for Checksum {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Checksum".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "title": "checksum",
            "pattern": "^(unchanged|sha256:[0-9a-fA-F]{64})$",
        })
    }
}

/// What of a file is looked at.
#[derive(Debug, Default)]
pub struct Content {
    pub bytes: Vec<u8>,
    /// How many bytes there are besides, because they are too many.
    pub left_out: u64,
    /// False when it cannot be known yet what is new.
    pub is_known: bool,
    pub mark: Mark,
}

/// How far a file was read, and what it was.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Mark {
    inode: u64,
    /// Behind the last whole line.
    offset: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// The most that is read of a file in one run.
const MOST: u64 = 16 << 20;

/// The whole file, or its last part.
///
/// # Errors
/// When it cannot be read.
pub fn last_part(path: &Path) -> anyhow::Result<Content> {
    let mut file = open(path)?;
    let size = file.metadata()?.len();
    let left_out = size.saturating_sub(MOST);
    Ok(Content {
        bytes: part(&mut file, left_out, MOST).map_err(|it| unreadable(path, &it))?,
        left_out,
        is_known: true,
        mark: Mark::default(),
    })
}

/// The whole lines that were added since a mark, first those of the file that was rotated away.
/// Without a mark nothing is new yet, but all of a file that has come since the last run.
///
/// # Errors
/// When it cannot be read.
pub fn added(
    path: &Path,
    about: &Metadata,
    mark: Option<&Mark>,
    had_run: bool,
) -> anyhow::Result<Content> {
    let mut file = open(path)?;
    let size = file.metadata()?.len();
    let (from, mut bytes, mut left_out) = match mark {
        Some(mark) if mark.inode == about.ino() && mark.offset <= size => {
            (mark.offset, Vec::new(), 0)
        }
        Some(mark) => {
            let (bytes, left_out) = rest_of_rotated(path, mark);
            (0, bytes, left_out)
        }
        None if had_run => (0, Vec::new(), 0),
        None => (size, Vec::new(), 0),
    };
    let new = size - from;
    let start = from + new.saturating_sub(MOST);
    left_out += start - from;
    let mut last = part(&mut file, start, MOST).map_err(|it| unreadable(path, &it))?;
    // A line that is still being written is for the next run; but one that is longer than all that is read.
    let whole = last
        .iter()
        .rposition(|it| *it == b'\n')
        .map_or(0, |it| it + 1);
    let whole = if last.len() as u64 == MOST && whole == 0 {
        last.len()
    } else {
        whole
    };
    last.truncate(whole);
    let offset = match mark.is_none() && !had_run {
        true => last_line_end(&mut file, size)?,
        false => start + whole as u64,
    };
    bytes.append(&mut last);
    Ok(Content {
        bytes,
        left_out,
        is_known: mark.is_some() || had_run,
        mark: Mark {
            inode: about.ino(),
            offset,
            sha256: None,
        },
    })
}

/// What was added to a file before it was renamed, as logrotate(8) does.
fn rest_of_rotated(path: &Path, mark: &Mark) -> (Vec<u8>, u64) {
    let mut rotated = path.as_os_str().to_owned();
    rotated.push(".1");
    let rotated = PathBuf::from(rotated);
    let rest = || -> io::Result<(Vec<u8>, u64)> {
        let mut file = File::open(&rotated)?;
        let about = file.metadata()?;
        if about.ino() != mark.inode || about.len() < mark.offset {
            return Ok((Vec::new(), 0));
        }
        let start = mark.offset.max(about.len().saturating_sub(MOST));
        Ok((part(&mut file, start, MOST)?, start - mark.offset))
    };
    // Where it was compressed or removed at once, what it had is lost.
    rest().unwrap_or_default()
}

/// Where the last whole line of a file ends.
fn last_line_end(file: &mut File, size: u64) -> anyhow::Result<u64> {
    const LINE: u64 = 64 << 10;
    let start = size.saturating_sub(LINE);
    let last = part(file, start, LINE)?;
    let end = last.iter().rposition(|it| *it == b'\n');
    Ok(end.map_or(start, |it| start + it as u64 + 1))
}

fn open(path: &Path) -> anyhow::Result<File> {
    // A pipe that somebody put there must not be waited for.
    let flags =
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    opened
        .map(File::from)
        .map_err(|it| unreadable(path, &it.into()))
}

fn part(file: &mut File, from: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The SHA-256 of a whole file in hexadecimal digits.
///
/// # Errors
/// When it cannot be read, or not in time.
pub fn sha256(path: &Path, deadline: Instant) -> anyhow::Result<String> {
    let mut file = open(path)?;
    let mut hash = digest::Context::new(&SHA256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        anyhow::ensure!(
            Instant::now() < deadline,
            "{} is too large to be read in time",
            path.display()
        );
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(unreadable(path, &error)),
        }
    }
    let digits = hash.finish();
    Ok(digits
        .as_ref()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn text(content: &Content) -> &str {
        std::str::from_utf8(&content.bytes).expect("text")
    }

    fn look(path: &Path, mark: Option<&Mark>) -> Content {
        let about = fs::metadata(path).expect("a file");
        added(path, &about, mark, mark.is_some()).expect("read")
    }

    fn append(path: &Path, text: &str) {
        use std::io::Write;
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("a file");
        file.write_all(text.as_bytes()).expect("written");
    }

    #[test]
    fn only_whole_lines_that_are_new_are_read_each_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        append(&path, "old\nhalf");
        let first = look(&path, None);
        assert!(!first.is_known && first.bytes.is_empty());
        append(&path, " a line\nnew\nst");
        let second = look(&path, Some(&first.mark));
        assert_eq!(text(&second), "half a line\nnew\n");
        append(&path, "art\n");
        let third = look(&path, Some(&second.mark));
        assert_eq!(text(&third), "start\n");
        assert!(look(&path, Some(&third.mark)).bytes.is_empty());
    }

    #[test]
    fn a_rotated_file_is_read_to_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        append(&path, "one\n");
        let first = look(&path, None);
        append(&path, "two\n");
        fs::rename(&path, folder.path().join("log.1")).expect("renamed");
        append(&path, "three\n");
        let second = look(&path, Some(&first.mark));
        assert_eq!(text(&second), "two\nthree\n");
        // Truncated in place, as copytruncate does.
        fs::write(&path, "x\n").expect("written");
        assert_eq!(text(&look(&path, Some(&second.mark))), "x\n");
    }

    #[test]
    fn too_much_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        append(&path, "a\n");
        let first = look(&path, None);
        let file = File::options().append(true).open(&path).expect("a file");
        file.set_len(MOST + 102).expect("a sparse file");
        append(&path, "\nlast\n");
        let second = look(&path, Some(&first.mark));
        assert_eq!(second.left_out, 106);
        assert!(second.bytes.ends_with(b"\nlast\n"));
        assert_eq!(last_part(&path).expect("read").left_out, 108);
    }

    #[test]
    fn a_checksum_is_that_of_sha256sum() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        append(&path, "abc");
        let sum = sha256(&path, Instant::now() + std::time::Duration::from_secs(5)).expect("read");
        assert!(sum.starts_with("ba7816bf8f01cfea414140de5dae2223"));
        assert!(sha256(&path, Instant::now()).is_err());
    }
}
