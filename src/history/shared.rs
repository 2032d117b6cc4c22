//! What root has said for all users of this host: pauses and attestations, in a file of its own that everybody reads.
//!
//! A user's own history is in nobody else's reach, so that what root says there would hold for root's runs alone. This
//! file holds no secret and nothing of what checks saw. It is believed only when it is root's and only root's to write.

use super::{AHEAD, Listed};
use crate::check::Past;
use crate::host::place::{self, Place};
use crate::model::duration::since_1970;
use crate::plan::Pause;
use anyhow::{Context, bail, ensure};
use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The file, in koshu's own folder.
const NAME: &str = "shared-root.json";

/// The most that is read of it.
const LARGEST: u64 = 16 << 20;

/// How long a pause that is over is kept.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// How long another root is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is in the file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Shared {
    version: u32,
    #[serde(default)]
    pauses: Vec<Paused>,
    /// Only ever added to.
    #[serde(default)]
    attestations: Vec<Attested>,
}

/// A pause of checks of one list; times in seconds from 1970 on.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Paused {
    list: String,
    pattern: String,
    since: f64,
    until: f64,
    because: String,
}

/// What somebody vouches for.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Attested {
    list: String,
    name: String,
    at: f64,
    value: serde_json::Value,
}

/// Where the file is.
pub fn path() -> PathBuf {
    Path::new(super::file::OWN).join(NAME)
}

impl Shared {
    /// What root has said; nothing where there is no file.
    ///
    /// # Errors
    /// When it cannot be read, or others than root could have written it.
    pub fn read() -> anyhow::Result<Shared> {
        let file = match Place::of(&path()).map(|it| it.open(OFlags::RDONLY | OFlags::NONBLOCK)) {
            Ok(Ok(file)) => file,
            Ok(Err(Errno::NOENT)) => return Ok(Shared::default()),
            Ok(Err(error)) => {
                return Err(error).with_context(|| format!("cannot read {}", path().display()));
            }
            // There is no folder, or none that this user may enter.
            Err(_) => return Ok(Shared::default()),
        };
        read_from(&file).with_context(|| format!("{} is not used", path().display()))
    }

    /// The pauses of a list that were not over at a moment; none that begins after now.
    pub fn pauses(&self, listed: &Listed, at: SystemTime, now: SystemTime) -> Vec<Pause> {
        let of = self.pauses.iter().filter(|it| it.list == listed.key);
        let pauses = of.map(|it| Pause {
            pattern: it.pattern.clone(),
            since: super::time(it.since),
            until: super::time(it.until),
            because: it.because.clone(),
        });
        pauses
            .filter(|it| it.until > at && it.since <= now + AHEAD)
            .collect()
    }

    /// The keys of all lists of which something is paused at a moment.
    pub fn paused(&self, at: SystemTime) -> Vec<String> {
        let at = super::unix(at);
        let open = self.pauses.iter().filter(|it| it.until > at);
        open.map(|it| it.list.clone()).collect()
    }

    /// The last attestation of each check of a list.
    pub fn attested(&self, listed: &Listed) -> HashMap<String, Past> {
        let of = self.attestations.iter().filter(|it| it.list == listed.key);
        let pasts = of.map(|it| {
            let past = Past {
                at: super::time(it.at),
                value: it.value.clone(),
            };
            (it.name.clone(), past)
        });
        pasts.collect()
    }

    /// Adds a pause.
    pub fn pause(&mut self, listed: &Listed, pause: &Pause) {
        self.pauses.push(Paused {
            list: listed.key.clone(),
            pattern: pause.pattern.clone(),
            since: super::unix(pause.since),
            until: super::unix(pause.until),
            because: pause.because.clone(),
        });
    }

    /// Ends the pauses of a pattern that are not over, and tells how many there were.
    pub fn resume(&mut self, listed: &Listed, pattern: &str, at: SystemTime) -> usize {
        let before = self.pauses.len();
        let at = super::unix(at);
        self.pauses
            .retain(|it| it.list != listed.key || it.pattern != pattern || it.until <= at);
        before - self.pauses.len()
    }

    /// Adds what somebody vouches for.
    pub fn attest(
        &mut self,
        listed: &Listed,
        at: SystemTime,
        name: &str,
        value: serde_json::Value,
    ) {
        self.attestations.push(Attested {
            list: listed.key.clone(),
            name: name.to_owned(),
            at: super::unix(at),
            value,
        });
    }
}

fn read_from(file: &File) -> anyhow::Result<Shared> {
    let about = rustix::fs::fstat(file)?;
    ensure!(
        place::is(&about, FileType::RegularFile),
        "it is no regular file"
    );
    // In a namespace of its own root's number is another one: whoever owns the root folder is root there.
    let root = rustix::fs::stat("/")?.st_uid;
    ensure!(
        [0, root].contains(&about.st_uid) && about.st_mode & 0o022 == 0,
        "others than root may write it"
    );
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text)?;
    let shared: Shared = serde_json::from_str(&text)?;
    ensure!(shared.version <= VERSION, "it was written by a newer koshu");
    Ok(shared)
}

/// The version of the file's form.
const VERSION: u32 = 1;

/// Changes the file as root: what is there is read, changed and put in its place at once, so that nobody ever reads
/// half of it, and one root waits for another.
///
/// # Errors
/// When it cannot be read or written.
pub fn change<T>(now: SystemTime, change: impl FnOnce(&mut Shared) -> T) -> anyhow::Result<T> {
    let path = path();
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(folder);
        made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    let locked = File::open(folder)?;
    lock(&locked)?;
    let mut shared = Shared::read()?;
    let changed = change(&mut shared);
    shared.version = VERSION;
    let oldest = since_1970(now).as_secs_f64() - KEPT.as_secs_f64();
    shared.pauses.retain(|it| it.until > oldest);
    let bytes = serde_json::to_vec_pretty(&shared)?;
    write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(changed)
}

/// Holds a folder until it is closed.
fn lock(folder: &File) -> anyhow::Result<()> {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        match rustix::fs::flock(folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if std::time::Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(Errno::WOULDBLOCK) => bail!("another koshu has been writing for too long"),
            Err(error) => return Err(error.into()),
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let place = Place::of(path)?;
    let mut beside = OsString::from(".");
    beside.push(place.name());
    beside.push(".new");
    // Whoever holds the lock is alone; what is there is of one that was killed.
    let _ = place.remove_beside(&beside);
    let mode = Mode::from_raw_mode(0o644);
    let written = place
        .create_beside(OsStr::new(&beside), mode)
        .map_err(anyhow::Error::from)
        .and_then(|mut file| {
            rustix::fs::fchmod(&file, mode)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            Ok(place.replace_by(&beside)?)
        });
    if written.is_err() {
        let _ = place.remove_beside(&beside);
    }
    written
}
