//! The file of a history: where it is, whether it is koshu's own, and how it is opened. Nothing of anybody else's is
//! written, moved or removed.

use super::schema::{self, Age, Whose};
use crate::host::account;
use anyhow::{Context, anyhow, bail};
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Where koshu keeps what belongs to the whole host.
pub const OWN: &str = "/var/lib/koshu";

/// How long another run's transaction is waited for.
const PATIENCE: Duration = Duration::from_millis(900);

/// How long another run may take to make a new file.
const MOMENT: Duration = Duration::from_millis(50);

/// How many bytes of changes gather in the log before they are brought home.
const LOG: u64 = 128 << 10;

/// What every SQLite database begins with (SQLite's file format, §1.3.1).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The mode of a history: what checks have seen is not everybody's business.
const MODE: u32 = 0o640;
/// The mode of the folders in which it lies.
const FOLDER: u32 = 0o755;

/// The place of a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Home {
    pub path: PathBuf,
    pub chosen: Chosen,
}

/// Who chose the place. In koshu's own it may make folders and set damaged files aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Chosen {
    ByUser,
    ByKoshu,
}

impl Home {
    /// Where the file is: as it was asked for, in the folder that systemd gives, in koshu's own where this user
    /// may write, else in the user's.
    ///
    /// Each user has a file of their own, so that what root has written is not in the way of others.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn of(
        asked: Option<&Path>,
        var: impl Fn(&str) -> Option<PathBuf>,
        user: &str,
    ) -> anyhow::Result<Home> {
        let file = format!("history-{}.db", crate::model::name::label(user));
        if let Some(path) = asked {
            let path = match path.is_dir() {
                true => path.join(file),
                false => path.to_owned(),
            };
            let chosen = Chosen::ByUser;
            return Ok(Home { path, chosen });
        }
        let home = |folder: PathBuf| Home {
            path: folder.join(file),
            chosen: Chosen::ByKoshu,
        };
        if let Some(folder) = var("STATE_DIRECTORY") {
            return Ok(home(folder));
        }
        let own = Path::new(OWN);
        let root = rustix::process::geteuid().is_root();
        let may = rustix::fs::access(own, rustix::fs::Access::WRITE_OK).is_ok();
        if root || may {
            return Ok(home(own.to_owned()));
        }
        let folder = var("XDG_STATE_HOME").or_else(|| Some(var("HOME")?.join(".local/state")));
        let folder = folder.ok_or_else(|| anyhow!("no folder for history: HOME is not set"))?;
        Ok(home(folder.join("koshu")))
    }

    fn folder(&self) -> &Path {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        }
    }

    /// The name of a file beside it, as SQLite makes them.
    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(end);
        name.into()
    }
}

/// What stands at a place.
enum Found {
    Nothing,
    /// A regular file without a byte.
    Empty,
    /// What begins like a database.
    Database,
    /// What may once have been one.
    NoDatabase,
}

/// What stands there, without a trace of having looked.
fn look_at(home: &Home) -> anyhow::Result<Found> {
    let path = &home.path;
    let about = match fs::metadata(path) {
        Ok(about) => about,
        // A link to nothing would be written through.
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            bail!("{} is a link to nothing", path.display())
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(account::unreadable(path, &error)),
    };
    if !about.is_file() {
        bail!(
            "{} is no regular file; --state none keeps no history",
            path.display()
        );
    }
    if about.len() == 0 {
        return Ok(Found::Empty);
    }
    let mut begin = Vec::new();
    let read = File::open(path).and_then(|it| it.take(16).read_to_end(&mut begin));
    read.map_err(|it| account::unreadable(path, &it))?;
    Ok(match begin == MAGIC {
        true => Found::Database,
        false => Found::NoDatabase,
    })
}

/// Which file it is, whatever it is called: its device and its number there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identity(u64, u64);

impl Home {
    fn identity(&self) -> Option<Identity> {
        let about = fs::symlink_metadata(&self.path).ok()?;
        about.is_file().then(|| Identity(about.dev(), about.ino()))
    }
}

/// A connection with what belongs to it.
pub struct Opened {
    pub db: Connection,
    /// The file itself, when it is no link.
    pub file: Option<Identity>,
    /// What is to be said of it.
    pub said: Option<String>,
}

/// Opens a history for writing, made when there is none. One that is damaged is set aside under another name where
/// koshu chose the place, and that is said.
///
/// # Errors
/// When it can be neither read nor made, or is not koshu's.
pub fn open(home: &Home, seconds: u64) -> anyhow::Result<Opened> {
    make_folder(home)?;
    let file = home.identity();
    let anew = || {
        let said = Some(set_aside(home, file, seconds)?);
        let (db, file) = (open_ours(home)?, home.identity());
        Ok(Opened { db, file, said })
    };
    match look_at(home)? {
        Found::Nothing => make(home)?,
        Found::Empty | Found::Database => (),
        Found::NoDatabase if home.chosen == Chosen::ByKoshu => return anew(),
        Found::NoDatabase => bail!(
            "{} is no history of koshu, and left as it is",
            home.path.display()
        ),
    }
    let opened = match open_ours(home) {
        // Another run may just have been making it.
        Err(error) if is_damaged(&error) => {
            thread::sleep(MOMENT);
            open_ours(home)
        }
        opened => opened,
    };
    match opened {
        Err(error) if is_damaged(&error) && home.chosen == Chosen::ByKoshu => anew(),
        Err(error) if is_damaged(&error) => Err(error.context(format!(
            "{} is damaged, and left as it is",
            home.path.display()
        ))),
        opened => Ok(Opened {
            db: opened?,
            file: home.identity(),
            said: None,
        }),
    }
}

/// Opens a history for reading; `None` when nothing has been written yet. Nothing is made, moved or written.
///
/// # Errors
/// When it cannot be read, or is not koshu's.
pub fn read(home: &Home) -> anyhow::Result<Option<Connection>> {
    if home.chosen == Chosen::ByUser && !home.folder().is_dir() {
        bail!("there is no folder {}", home.folder().display());
    }
    match look_at(home)? {
        Found::Nothing | Found::Empty => return Ok(None),
        Found::NoDatabase => bail!("{} is no history of koshu", home.path.display()),
        Found::Database => (),
    }
    let shown = home.path.display();
    let db = reading(home).with_context(|| format!("cannot read {shown}"))?;
    match schema::whose(&db).with_context(|| format!("cannot read {shown}"))? {
        Whose::Nobodys => Ok(None),
        Whose::Ours(Age::Current) => Ok(Some(db)),
        Whose::Ours(Age::Older) => {
            // The file stays as it is until a run is recorded.
            let mut copy = Connection::open_in_memory()?;
            Backup::new(&db, &mut copy)?.run_to_completion(1000, Duration::ZERO, None)?;
            schema::bring_up_to_date(&mut copy)?;
            Ok(Some(copy))
        }
        other => Err(refusal(home, &other)),
    }
}

/// A connection that cannot write.
fn reading(home: &Home) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let has_log = fs::metadata(home.beside("-wal")).is_ok_and(|it| it.len() > 0);
    let db = match has_log || home.beside("-journal").exists() {
        true => Connection::open_with_flags(&home.path, flags)?,
        // Where everything is in the file itself, SQLite need not make the files of its log to read it.
        false => Connection::open_with_flags(
            format!("file:{}?immutable=1", in_uri(&home.path)),
            flags | OpenFlags::SQLITE_OPEN_URI,
        )?,
    };
    db.busy_timeout(PATIENCE)?;
    Ok(db)
}

/// A path as a URI has it (RFC 3986, §2.1).
fn in_uri(path: &Path) -> String {
    let byte = |it: &u8| match it {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
            char::from(*it).to_string()
        }
        _ => format!("%{it:02X}"),
    };
    path.as_os_str().as_bytes().iter().map(byte).collect()
}

fn refusal(home: &Home, whose: &Whose) -> anyhow::Error {
    let shown = home.path.display();
    match whose {
        Whose::Newer => anyhow!("{shown} was written by a newer koshu"),
        _ => anyhow!("{shown} is another program's database, and left as it is"),
    }
}

/// Whose a database is, as its header says (SQLite's file format, §1.3).
fn owner(path: &Path) -> Option<u32> {
    let mut header = [0; 72];
    File::open(path).ok()?.read_exact(&mut header).ok()?;
    let owner: [u8; 4] = header[68..].try_into().ok()?;
    Some(u32::from_be_bytes(owner))
}

fn make_folder(home: &Home) -> anyhow::Result<()> {
    let folder = home.folder();
    if folder.is_dir() {
        return Ok(());
    }
    if home.chosen == Chosen::ByUser {
        bail!("there is no folder {}", folder.display());
    }
    let made = DirBuilder::new()
        .recursive(true)
        .mode(FOLDER)
        .create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    // Whatever the umask is: all users read what root says in koshu's own folder.
    if folder == Path::new(OWN) {
        fs::set_permissions(folder, Permissions::from_mode(FOLDER))?;
    }
    Ok(())
}

/// Makes the file itself, so that it has its own mode from the beginning; SQLite gives the same to the files beside it.
fn make(home: &Home) -> anyhow::Result<()> {
    let mut new = OpenOptions::new();
    match new.write(true).create_new(true).mode(MODE).open(&home.path) {
        Ok(file) => Ok(file.set_permissions(Permissions::from_mode(MODE))?),
        // Another run may have been quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot make {}", home.path.display())),
    }
}

/// Opens what is koshu's own or empty, and brings it up to date.
fn open_ours(home: &Home) -> anyhow::Result<Connection> {
    let path = &home.path;
    let shown = path.display();
    let is_empty = fs::metadata(path).is_ok_and(|it| it.len() == 0);
    if !is_empty && owner(path) != Some(schema::OWNER) {
        // Before anything is opened for writing, which leaves its traces in any database.
        let looking = reading(home).with_context(|| format!("cannot open {shown}"))?;
        match schema::whose(&looking).with_context(|| format!("cannot open {shown}"))? {
            Whose::Nobodys | Whose::Ours(_) => (),
            other => return Err(refusal(home, &other)),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db =
        Connection::open_with_flags(path, flags).with_context(|| format!("cannot open {shown}"))?;
    db.busy_timeout(PATIENCE)?;
    let whose = schema::whose(&db).with_context(|| format!("cannot open {shown}"))?;
    if matches!(whose, Whose::Newer | Whose::Anothers) {
        return Err(refusal(home, &whose));
    }
    if is_empty {
        // What is deleted gives its room back; it can only be set before there is anything.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    // Where WAL cannot be had, as over NFS, the old journal does.
    let _: String = db
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .with_context(|| format!("cannot use {shown}"))?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    // To bring the log home waits for the disk; every few runs is often enough, and a short one is read at once.
    let is_short = fs::metadata(home.beside("-wal")).is_ok_and(|it| it.len() < LOG);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_short)?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    if whose != Whose::Ours(Age::Current) {
        schema::bring_up_to_date(&mut db).with_context(|| format!("cannot write {shown}"))?;
        close_to_others(home);
    }
    Ok(db)
}

/// Takes from others the right to read what 0.1.0 let them read.
fn close_to_others(home: &Home) {
    let own = rustix::process::geteuid().as_raw();
    for path in [home.path.clone(), home.beside("-wal"), home.beside("-shm")] {
        let Ok(about) = fs::metadata(&path) else {
            continue;
        };
        let mode = about.permissions().mode();
        if about.uid() == own && mode & 0o027 != 0 {
            // That others may read it a little longer is no reason not to record.
            let _ = fs::set_permissions(&path, Permissions::from_mode(mode & !0o027 & 0o777));
        }
    }
}

/// Moves a damaged file of koshu's own out of the way, and tells where it is.
///
/// # Errors
/// When it cannot be moved, or is a link.
pub fn set_aside(home: &Home, file: Option<Identity>, seconds: u64) -> anyhow::Result<String> {
    let path = &home.path;
    let Some(file) = file else {
        bail!("{} is damaged, and left as it is", path.display());
    };
    // Another run may have done it meanwhile; what is there now is not damaged.
    if home.identity() != Some(file) {
        return Ok("the history was damaged; another run has set it aside".to_owned());
    }
    let aside = path.with_added_extension(format!("corrupt-{seconds}"));
    fs::rename(path, &aside)
        .with_context(|| format!("{} is damaged, and stays so", path.display()))?;
    for rest in ["-wal", "-shm"] {
        // What belongs to the damaged file must not be replayed into its successor.
        let _ = fs::remove_file(home.beside(rest));
    }
    make(home)?;
    Ok(format!(
        "the history was damaged; it is kept as {}",
        aside.display()
    ))
}

/// Whether a file is no database any more, or is malformed inside.
pub fn is_damaged(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<rusqlite::Error>();
    let code = cause.and_then(rusqlite::Error::sqlite_error_code);
    matches!(
        code,
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}
