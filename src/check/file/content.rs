//! What is in a file: its text, also where it is compressed, its last part, its checksum.

use crate::host::account::unreadable;
use anyhow::ensure;
use flate2::read::MultiGzDecoder;
use ring::digest::{self, SHA256};
use serde::Deserialize;
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
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

/// The most that is held of a file at once.
pub const MOST: u64 = 16 << 20;

/// The text of an open file.
pub enum Text {
    Plain(File),
    /// Decompressed from its beginning, and how far that has come.
    Gzip(Box<MultiGzDecoder<BufReader<File>>>, u64),
}

impl Text {
    /// Opens a file; what gzip(1) has written is decompressed while it is read (RFC 1952).
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> anyhow::Result<Text> {
        let mut file = open(path)?;
        let mut magic = Vec::new();
        let read = (&mut file).take(2).read_to_end(&mut magic);
        read.and_then(|_| file.rewind())
            .map_err(|it| unreadable(path, &it))?;
        Ok(match magic == [0x1f, 0x8b] {
            true => Text::Gzip(Box::new(MultiGzDecoder::new(BufReader::new(file))), 0),
            false => Text::Plain(file),
        })
    }

    /// What the file system tells of it.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn about(&self) -> io::Result<Metadata> {
        match self {
            Text::Plain(file) => file.metadata(),
            Text::Gzip(decoder, _) => decoder.get_ref().get_ref().metadata(),
        }
    }

    /// How much text there is, where that is known before it is read.
    pub fn length(&self) -> io::Result<Option<u64>> {
        match self {
            Text::Plain(file) => Ok(Some(file.metadata()?.len())),
            Text::Gzip(..) => Ok(None),
        }
    }

    /// At most so many bytes from a place on; fewer only at the end.
    pub fn part(&mut self, from: u64, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self {
            Text::Plain(file) => {
                file.seek(SeekFrom::Start(from))?;
                file.take(most).read_to_end(&mut bytes)?;
            }
            Text::Gzip(decoder, at) => {
                if from < *at {
                    let file = decoder.get_mut().get_mut();
                    file.rewind()?;
                    let file = file.try_clone()?;
                    **decoder = MultiGzDecoder::new(BufReader::new(file));
                    *at = 0;
                }
                *at += io::copy(&mut decoder.by_ref().take(from - *at), &mut io::sink())?;
                *at += decoder.by_ref().take(most).read_to_end(&mut bytes)? as u64;
            }
        }
        Ok(bytes)
    }
}

/// The whole text of a file, or its last part, and how much is left out before that.
///
/// # Errors
/// When it cannot be read, or not in time.
pub fn last_part(path: &Path, deadline: Instant) -> anyhow::Result<(Vec<u8>, u64)> {
    let mut text = Text::open(path)?;
    let failed = |it: io::Error| unreadable(path, &it);
    if let Some(length) = text.length().map_err(failed)? {
        let left_out = length.saturating_sub(MOST);
        return Ok((text.part(left_out, MOST).map_err(failed)?, left_out));
    }
    let (mut last, mut left_out) = (Vec::new(), 0);
    loop {
        ensure_in_time(path, deadline)?;
        let from = left_out + last.len() as u64;
        let mut more = text.part(from, MOST).map_err(failed)?;
        let is_end = (more.len() as u64) < MOST;
        last.append(&mut more);
        let too_many = last.len().saturating_sub(MOST as usize);
        last.drain(..too_many);
        left_out += too_many as u64;
        if is_end {
            return Ok((last, left_out));
        }
    }
}

/// Opens a file to be read. What is none, as a device or a pipe that somebody put there, is neither opened nor
/// waited for.
///
/// # Errors
/// When it is no file, or cannot be read.
fn open(path: &Path) -> anyhow::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let failed = |it: io::Error| unreadable(path, &it);
    ensure_file(path, fs::metadata(path).map_err(failed)?.file_type())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = opened.map(File::from).map_err(|it| failed(it.into()))?;
    // It may have been put there since.
    ensure_file(path, file.metadata().map_err(failed)?.file_type())?;
    Ok(file)
}

fn ensure_file(path: &Path, kind: FileType) -> anyhow::Result<()> {
    let what = match kind {
        it if it.is_dir() => "a folder",
        it if it.is_fifo() => "a named pipe",
        it if it.is_socket() => "a socket",
        _ => "a device",
    };
    ensure!(
        kind.is_file(),
        "{} is {what}, no file that can be read",
        path.display()
    );
    Ok(())
}

fn ensure_in_time(path: &Path, deadline: Instant) -> anyhow::Result<()> {
    ensure!(
        Instant::now() < deadline,
        "{} is too large to be read in time",
        path.display()
    );
    Ok(())
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
        ensure_in_time(path, deadline)?;
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(unreadable(path, &error)),
        }
    }
    Ok(hex(hash.finish().as_ref()))
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_checksum_is_that_of_sha256sum() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        fs::write(&path, "abc").expect("written");
        let sum = sha256(&path, soon()).expect("read");
        assert!(sum.starts_with("ba7816bf8f01cfea414140de5dae2223"));
        assert!(sha256(&path, Instant::now()).is_err());
    }

    #[test]
    fn of_a_large_file_the_last_part_is_looked_at_also_when_it_is_compressed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (plain, packed) = (folder.path().join("log"), folder.path().join("log.gz"));
        let file = File::create(&plain).expect("a file");
        file.set_len(MOST + 102).expect("a sparse file");
        let mut file = File::options().append(true).open(&plain).expect("a file");
        file.write_all(b"\nlast\n").expect("written");
        let out = File::create(&packed).expect("a file");
        let mut out = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
        io::copy(&mut File::open(&plain).expect("a file"), &mut out).expect("packed");
        out.finish().expect("written");
        for path in [plain, packed] {
            let (bytes, left_out) = last_part(&path, soon()).expect("read");
            assert_eq!((bytes.len() as u64, left_out), (MOST, 108));
            assert!(bytes.ends_with(b"\nlast\n"));
            let mut text = Text::open(&path).expect("opened");
            for from in [MOST + 103, 0, MOST + 104] {
                let part = text.part(from, 4).expect("read");
                let wanted: &[u8] = match from {
                    0 => b"\0\0\0\0",
                    it if it == MOST + 103 => b"last",
                    _ => b"ast\n",
                };
                assert_eq!(part, wanted, "{path:?} from {from}");
            }
        }
    }
}
