//! This machine: what the kernel and the system's own files tell of it, and programs that run on it.

pub mod account;
pub mod child;
pub mod kernel;
pub mod mounts;
pub mod processes;
pub mod sessions;
pub mod sockets;
pub mod suspects;
pub mod units;

use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
        let path = self.proc.join(name);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
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
