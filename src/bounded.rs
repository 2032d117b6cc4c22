//! Files that a list names, read up to a bound: only regular ones, so that no pipe and no device is waited for.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The most that a secret, a key or a list of roots has, in bytes.
pub const SECRET: u64 = 64 << 10;
pub const KEYS: u64 = 16 << 20;

/// The bytes of a regular file, which are counted while they are read: what a file says of its size may be wrong.
///
/// # Errors
/// As a file that cannot be read; when it is no regular file, or has more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    use rustix::fs::{Mode, OFlags};
    // To open some devices does something already.
    is_regular(&fs::metadata(path)?)?;
    // Should it have become a pipe since, that is not waited for either.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    is_regular(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::other(format!(
            "it is larger than {}",
            said(most)
        ))),
        false => Ok(bytes),
    }
}

/// The text of a regular file.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| io::Error::other("it is not UTF-8"))
}

fn is_regular(about: &fs::Metadata) -> io::Result<()> {
    match about.is_file() {
        true => Ok(()),
        false if about.is_dir() => Err(io::Error::other("it is a folder")),
        false => Err(io::Error::other(
            "it is a pipe or a device, and no regular file",
        )),
    }
}

fn said(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_whatever_the_file_says_of_its_size() {
        // It says that it has no byte.
        let file = Path::new("/proc/self/status");
        assert!(read(file, 16).is_err());
        assert!(read(file, KEYS).is_ok_and(|it| it.len() > 16));
    }

    #[test]
    fn devices_pipes_and_folders_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("a pipe");
        for path in [Path::new("/dev/zero"), Path::new("/dev/null"), &pipe] {
            let error = read(path, KEYS).expect_err("refused").to_string();
            assert!(error.contains("no regular file"), "{error}");
        }
        assert!(read(folder.path(), KEYS).is_err());
    }
}
