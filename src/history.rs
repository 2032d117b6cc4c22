//! What earlier runs saw, in one SQLite file; a hint, never a verdict: whatever is wrong with it is said, and
//! nothing waits for it longer than a second.

use crate::check::Past;
use anyhow::{Context, anyhow, ensure};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// An open file.
#[derive(Debug)]
pub struct History(Connection);

/// How long another run's transaction is waited for.
const PATIENCE: Duration = Duration::from_millis(900);

/// One step for each version of the schema; `user_version` says how many have been taken.
const STEPS: &[&str] = &["
    -- What a check remembers from one run to the next, as JSON.
    CREATE TABLE memory (
        name TEXT PRIMARY KEY,
        at REAL NOT NULL,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    -- What people have vouched for; only ever added to.
    CREATE TABLE attestation (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        at REAL NOT NULL,
        value TEXT NOT NULL
    );
"];

impl History {
    /// Opens a file, made when it is not there. One that is no database any more is set aside under
    /// another name, and the second value says so.
    ///
    /// # Errors
    /// When it can be neither read nor made, or was written by a newer koshu.
    pub fn open(path: &Path, now: SystemTime) -> anyhow::Result<(History, Option<String>)> {
        match History::try_open(path) {
            Err(error) if is_corrupt(&error) => {
                let seconds = unix(now) as u64;
                let aside = path.with_added_extension(format!("corrupt-{seconds}"));
                fs::rename(path, &aside)
                    .with_context(|| format!("{} is damaged, and stays so", path.display()))?;
                for rest in ["-wal", "-shm"] {
                    let mut rest_of = path.as_os_str().to_owned();
                    rest_of.push(rest);
                    // What belongs to the damaged file must not be replayed into its successor.
                    let _ = fs::remove_file(rest_of);
                }
                let said = format!("the history was damaged; it is kept as {}", aside.display());
                Ok((History::try_open(path)?, Some(said)))
            }
            opened => Ok((opened?, None)),
        }
    }

    fn try_open(path: &Path) -> anyhow::Result<History> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let shown = path.display();
        let mut connection =
            Connection::open(path).with_context(|| format!("cannot open {shown}"))?;
        connection.busy_timeout(PATIENCE)?;
        // Where WAL cannot be had, as over NFS, the old journal does.
        let _: String = connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
            .with_context(|| format!("cannot use {shown}"))?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let known = STEPS.len();
        let version = |connection: &Connection| -> rusqlite::Result<usize> {
            connection
                .query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
                .map(|it| usize::try_from(it).unwrap_or(usize::MAX))
        };
        if version(&connection)? != known {
            let step = connection
                .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
                .with_context(|| format!("cannot write {shown}"))?;
            // Another run may have been quicker.
            let taken = version(&step)?;
            ensure!(taken <= known, "{shown} was written by a newer koshu");
            for sql in &STEPS[taken..] {
                step.execute_batch(sql)?;
            }
            step.pragma_update(None, "user_version", known as i64)?;
            step.commit()?;
        }
        Ok(History(connection))
    }

    /// What checks of these names remembered last.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn memories(&self, names: &[&str]) -> anyhow::Result<HashMap<String, Past>> {
        let mut query = self
            .0
            .prepare("SELECT at, value FROM memory WHERE name = ?1")?;
        let mut memories = HashMap::new();
        for name in names {
            let row = query
                .query_row([name], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))
                .optional()?;
            if let Some((at, value)) = row {
                let value = serde_json::from_str(&value).unwrap_or_default();
                let at = time(at);
                memories.insert((*name).to_owned(), Past { at, value });
            }
        }
        Ok(memories)
    }

    /// Keeps what checks want to remember.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remember(
        &mut self,
        at: SystemTime,
        memories: &[(&str, &serde_json::Value)],
    ) -> anyhow::Result<()> {
        let all = self.0.transaction()?;
        for (name, value) in memories {
            all.execute(
                "REPLACE INTO memory (name, at, value) VALUES (?1, ?2, ?3)",
                params![name, unix(at), value.to_string()],
            )?;
        }
        Ok(all.commit()?)
    }

    /// Adds what somebody vouches for, and lets the check remember it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn attest(
        &mut self,
        at: SystemTime,
        name: &str,
        value: &serde_json::Value,
    ) -> anyhow::Result<()> {
        let both = self.0.transaction()?;
        both.execute(
            "INSERT INTO attestation (name, at, value) VALUES (?1, ?2, ?3)",
            params![name, unix(at), value.to_string()],
        )?;
        both.execute(
            "REPLACE INTO memory (name, at, value) VALUES (?1, ?2, ?3)",
            params![name, unix(at), value.to_string()],
        )?;
        Ok(both.commit()?)
    }
}

/// Where the file is: as it was asked for, in the folder that systemd gives, in koshu's own where this user
/// may write, else in the user's.
///
/// Each user has a file of their own, so that what root has written is not in the way of others.
///
/// # Errors
/// When there is no such folder.
pub fn place(
    asked: Option<&Path>,
    var: impl Fn(&str) -> Option<PathBuf>,
    user: &str,
) -> anyhow::Result<PathBuf> {
    let file = format!("history-{}.db", crate::model::name::label(user));
    if let Some(path) = asked {
        return Ok(match path.is_dir() {
            true => path.join(file),
            false => path.to_owned(),
        });
    }
    if let Some(folder) = var("STATE_DIRECTORY") {
        return Ok(folder.join(file));
    }
    let own = Path::new("/var/lib/koshu");
    let root = rustix::process::geteuid().is_root();
    let may = rustix::fs::access(own, rustix::fs::Access::WRITE_OK).is_ok();
    if root || may {
        return Ok(own.join(file));
    }
    let home = var("XDG_STATE_HOME").or_else(|| Some(var("HOME")?.join(".local/state")));
    let folder = home.ok_or_else(|| anyhow!("no folder for history: HOME is not set"))?;
    Ok(folder.join("koshu").join(file))
}

fn is_corrupt(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<rusqlite::Error>();
    let code = cause.and_then(rusqlite::Error::sqlite_error_code);
    matches!(
        code,
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}

fn unix(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

fn time(unix: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(unix).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_remembered_is_there_in_the_next_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("deep/down/history.db");
        let (mut history, said) = History::open(&file, at(5)).expect("a file");
        assert!(said.is_none());
        let first = json!({ "size": 5 });
        history
            .remember(at(100), &[("log", &first)])
            .expect("written");
        history
            .remember(at(160), &[("log", &json!(6))])
            .expect("written");
        history
            .attest(at(200), "restore", &json!({ "by": "anna" }))
            .expect("written");
        drop(history);
        let (history, _) = History::open(&file, at(5)).expect("a file");
        let past = history
            .memories(&["log", "other", "restore"])
            .expect("read");
        assert_eq!(past.len(), 2);
        assert_eq!((past["log"].at, &past["log"].value), (at(160), &json!(6)));
        assert_eq!(past["restore"].value["by"], "anna");
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_a_newer_one_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("history.db");
        fs::write(
            &file,
            "this is no database, and long enough to be seen as none".repeat(99),
        )
        .expect("a file");
        let (_, said) = History::open(&file, at(77)).expect("a new file");
        assert!(said.expect("a word").contains("history.db.corrupt-77"));
        assert!(folder.path().join("history.db.corrupt-77").exists());
        let connection = Connection::open(&file).expect("a file");
        connection
            .pragma_update(None, "user_version", 999)
            .expect("a number");
        let error = History::open(&file, at(77)).expect_err("newer");
        assert!(error.to_string().contains("newer koshu"));
    }

    #[test]
    fn each_user_has_a_file_of_their_own() {
        let var = |name: &str| (name == "STATE_DIRECTORY").then(|| PathBuf::from("/state"));
        let path = place(None, var, "nagios").expect("a place");
        assert_eq!(path, Path::new("/state/history-nagios.db"));
        let path = place(Some(Path::new("/x/y.db")), var, "nagios").expect("a place");
        assert_eq!(path, Path::new("/x/y.db"));
    }
}
