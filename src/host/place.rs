//! Where a file is: its folder, reached step by step and held open, so that nobody swaps it between a look and its use.

use anyhow::{Context as _, anyhow, bail};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// How many links are followed, as the kernel counts them (path_resolution(7)).
pub const LINKS: usize = 40;

/// A name in a folder that is open. What stands there is no link when the place is made.
pub struct Place {
    folder: OwnedFd,
    name: OsString,
}

impl Place {
    /// The place that a path means. A link on the way counts only when it is root's or the caller's own: whoever
    /// owns a link decides where the bytes go.
    ///
    /// # Errors
    /// When a folder is missing or closed to the caller, a link is somebody else's, or the path names no file.
    pub fn of(path: &Path) -> anyhow::Result<Place> {
        let trusted = trusted(&rustix::fs::stat("/")?);
        let start = if path.is_absolute() { "/" } else { "." };
        let mut folder = open(rustix::fs::CWD, OsStr::new(start))?;
        let mut steps: Vec<OsString> = steps(path);
        let mut links = 0;
        while let Some(step) = steps.pop() {
            let is_last = steps.is_empty();
            let about = rustix::fs::statat(&folder, &step, AtFlags::SYMLINK_NOFOLLOW);
            match about {
                Ok(about) if is(&about, FileType::Symlink) => {
                    links += 1;
                    if links > LINKS {
                        bail!("too many links");
                    }
                    if !trusted.contains(&about.st_uid) {
                        bail!("{} is a link of another user", step.display());
                    }
                    let target = rustix::fs::readlinkat(&folder, &step, Vec::new())?;
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    if target.is_absolute() {
                        folder = open(rustix::fs::CWD, OsStr::new("/"))?;
                    }
                    steps.extend(self::steps(&target));
                }
                Ok(_) | Err(Errno::NOENT) if is_last && step != ".." => {
                    return Ok(Place { folder, name: step });
                }
                Ok(_) => folder = open(&folder, &step)?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(anyhow!("names no file"))
    }

    /// What stands there, if anything does.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn about(&self) -> rustix::io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => Ok(Some(about)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens what stands there, never through a link.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(&self, flags: OFlags) -> rustix::io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?;
        Ok(file.into())
    }

    /// Creates a new file of this name beside it.
    ///
    /// # Errors
    /// Those of open(2); that there is one already is one of them.
    pub fn create_beside(&self, name: &OsStr, mode: Mode) -> rustix::io::Result<File> {
        create(&self.folder, name, mode)
    }

    /// Lets the file of this name beside it take its place, at once.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn replace_by(&self, name: &OsStr) -> rustix::io::Result<()> {
        rustix::fs::renameat(&self.folder, name, &self.folder, &self.name)
    }

    /// Removes the file of this name beside it.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn remove_beside(&self, name: &OsStr) -> rustix::io::Result<()> {
        rustix::fs::unlinkat(&self.folder, name, AtFlags::empty())
    }

    /// The name in its folder.
    pub fn name(&self) -> &OsStr {
        &self.name
    }
}

/// Creates a new file in an open folder.
///
/// # Errors
/// Those of open(2); that there is one already is one of them.
pub fn create(folder: &OwnedFd, name: &OsStr, mode: Mode) -> rustix::io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, mode)?.into())
}

/// Whether something is of this kind.
pub fn is(about: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(about.st_mode) == kind
}

/// A folder on the way, for looking into and writing into only.
fn open(folder: impl std::os::fd::AsFd, name: &OsStr) -> anyhow::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
        .with_context(|| format!("cannot enter {}", Path::new(name).display()))
}

/// The users whose files and links are root's or the caller's own; `top` is the root folder. In a namespace of its own
/// root's number is another one: whoever owns the root folder is root there.
pub fn trusted(top: &Stat) -> [u32; 3] {
    [0, rustix::process::geteuid().as_raw(), top.st_uid]
}

/// The steps of a path, the first one last.
pub fn steps(path: &Path) -> Vec<OsString> {
    let steps = path.components().rev().filter_map(|it| match it {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    steps.filter(|it| !it.as_bytes().is_empty()).collect()
}
