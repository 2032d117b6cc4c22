//! What earlier runs saw, in one SQLite file; a hint, never a verdict: whatever is wrong with it is said, and
//! nothing waits for it longer than a second.

mod file;
pub mod list;
mod read;
mod record;
mod schema;
pub mod shared;
mod tidy;

pub use file::{Chosen, Home, is_damaged};
pub use list::Listed;
pub use record::Delivery;

use crate::model::duration::since_1970;
use crate::model::state::State;
use file::{Identity, Opened};
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

/// An open file, in which one list is meant.
#[derive(Debug)]
pub struct History {
    db: Connection,
    home: Home,
    listed: Listed,
    /// Which file it is, where it is open for recording.
    file: Option<Identity>,
    /// The number of the list; none while nothing is written of it.
    list: Option<i64>,
}

/// What of a run is kept beyond how everything stands: the names of checks whose metrics are to be sampled, and
/// of those whose answers are to be told again.
#[derive(Debug, Default)]
pub struct Wanted<'n> {
    pub samples: HashSet<&'n str>,
    pub answers: HashSet<&'n str>,
}

/// How far ahead a stored time may lie: runs beside each other begin at different moments.
const AHEAD: Duration = Duration::from_secs(60);

impl History {
    /// Opens a file for recording, made when it is not there. One that is damaged is set aside under another name
    /// where koshu chose the place, and the second value says so.
    ///
    /// # Errors
    /// When it can be neither read nor made, is not koshu's, or was written by a newer koshu.
    pub fn open(
        home: Home,
        listed: Listed,
        now: SystemTime,
    ) -> anyhow::Result<(History, Option<String>)> {
        let seconds = unix(now) as u64;
        let Opened { db, file, said } = file::open(&home, seconds)?;
        let (history, said) = match History::of(db, home.clone(), listed.clone()) {
            Err(error) if is_damaged(&error) && home.chosen == Chosen::ByKoshu => {
                let said = file::set_aside(&home, file, seconds)?;
                let Opened { db, file, .. } = file::open(&home, seconds)?;
                let history = History::of(db, home, listed)?;
                (History { file, ..history }, Some(said))
            }
            history => (History { file, ..history? }, said),
        };
        Ok((history, said))
    }

    /// Opens a file for reading alone; `None` when nothing has been written into it yet.
    ///
    /// # Errors
    /// When it cannot be read or is not koshu's.
    pub fn look(home: Home, listed: Listed) -> anyhow::Result<Option<History>> {
        match file::read(&home)? {
            Some(db) => Ok(Some(History::of(db, home, listed)?)),
            None => Ok(None),
        }
    }

    fn of(db: Connection, home: Home, listed: Listed) -> anyhow::Result<History> {
        let sql = "SELECT id FROM list WHERE key = ?1";
        let list = db.query_row(sql, [&listed.key], |row| row.get(0));
        Ok(History {
            list: list.optional()?,
            file: None,
            db,
            home,
            listed,
        })
    }

    /// Whether runs can be recorded in it.
    pub fn records(&self) -> bool {
        self.db.is_readonly("main").is_ok_and(|it| !it)
    }

    /// Sets a file that turned out to be malformed aside, and begins a new one.
    ///
    /// # Errors
    /// When the file's place was named by the user, or it cannot be moved or made anew.
    pub fn begin_anew(self, now: SystemTime) -> anyhow::Result<(History, String)> {
        let History {
            db,
            home,
            listed,
            file,
            ..
        } = self;
        if home.chosen == Chosen::ByUser {
            anyhow::bail!("{} is damaged, and left as it is", home.path.display());
        }
        // SQLite must not bring its log home any more.
        drop(db);
        let said = file::set_aside(&home, file, unix(now) as u64)?;
        let (history, _) = History::open(home, listed, now)?;
        Ok((history, said))
    }
}

fn state(code: u8) -> State {
    State::of_code(code.into())
}

fn unix(at: SystemTime) -> f64 {
    since_1970(at).as_secs_f64()
}

fn time(unix: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(unix).unwrap_or_default()
}

#[cfg(test)]
mod tests;
