//! This machine: what the kernel and the system's own files tell of it, and programs that run on it.

pub mod account;
pub mod child;
mod diag;
pub mod family;
pub mod files;
pub mod kernel;
pub mod mounts;
pub mod openssl;
pub mod place;
pub mod processes;
pub mod sessions;
pub mod sockets;
pub mod suspects;
pub mod units;
pub mod writers;

use anyhow::{Context, anyhow};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Room for what most files of the kernel hold.
const ROOM: usize = 32 << 10;

/// Something that is read once per run, when the first check needs it.
pub struct Once<T>(OnceLock<Result<T, String>>);

impl<T> Default for Once<T> {
    fn default() -> Once<T> {
        Once(OnceLock::new())
    }
}

impl<T> Once<T> {
    /// What was read, or is read now.
    ///
    /// # Errors
    /// Those of the first reading, for all that ask.
    pub fn get(&self, read: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<&T> {
        let all = self
            .0
            .get_or_init(|| read().map_err(|it| format!("{it:#}")));
        all.as_ref().map_err(|it| anyhow!(it.clone()))
    }
}

/// Where the kernel shows itself; elsewhere when a container looks at the machine that it runs on.
#[derive(Clone, Debug)]
pub struct Roots {
    /// proc(5).
    pub proc: Arc<Path>,
    /// sysfs(5).
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots {
            proc: Path::new("/proc").into(),
            sys: PathBuf::from("/sys"),
        }
    }
}

impl Roots {
    /// A file below /proc as text; what is not UTF-8 is replaced.
    ///
    /// # Errors
    /// When it cannot be read, with its whole path.
    pub fn read(&self, name: &str) -> anyhow::Result<String> {
        Ok(match String::from_utf8(self.bytes(name)?) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// A file below /proc as it is.
    ///
    /// # Errors
    /// As [`Roots::read`].
    pub fn bytes(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.proc.join(name);
        // These files do not tell how long they are, and each part that is asked for costs the kernel a walk.
        let mut bytes = Vec::with_capacity(ROOM);
        let read = fs::File::open(&path).and_then(|mut it| it.read_to_end(&mut bytes));
        read.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(bytes)
    }

    /// The folder of the process that stands for this machine's mounts and network: our own, but the first
    /// one of the machine that a container looks at.
    pub fn leader(&self) -> &'static str {
        match *self.proc == *Path::new("/proc") {
            true => "self",
            false => "1",
        }
    }
}
