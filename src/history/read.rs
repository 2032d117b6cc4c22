//! What is read of earlier runs. A time that lies ahead is not believed: a clock was wrong when it was written.

use super::schema::UNCLAIMED;
use super::{AHEAD, History, record, state, time, unix};
use crate::check::Past;
use crate::model::forecast::Samples;
use crate::model::outage::Change;
use crate::model::standing::{Failing, Standing};
use crate::plan::Pause;
use rusqlite::{OptionalExtension, params};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::collections::HashMap;
use std::time::SystemTime;

impl History {
    /// What checks of these names remembered last.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn memories(&self, names: &[&str]) -> anyhow::Result<HashMap<String, Past>> {
        self.pasts("memory", names)
    }

    /// The last answers of checks of these names.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn answers(&self, names: &[&str]) -> anyhow::Result<HashMap<String, Past>> {
        self.pasts("answer", names)
    }

    fn pasts(&self, table: &str, names: &[&str]) -> anyhow::Result<HashMap<String, Past>> {
        let mut query = self.db.prepare(&format!(
            "SELECT at, value FROM {table} WHERE list IN (?1, ?2) AND name = ?3 ORDER BY list DESC LIMIT 1"
        ))?;
        let mut memories = HashMap::new();
        for name in names {
            let row = query
                .query_row(params![self.list, UNCLAIMED, name], |row| {
                    Ok((row.get(0)?, row.get::<_, String>(1)?))
                })
                .optional()?;
            if let Some((at, value)) = row {
                let value = serde_json::from_str(&value).unwrap_or_default();
                let at = time(at);
                memories.insert((*name).to_owned(), Past { at, value });
            }
        }
        Ok(memories)
    }

    /// How checks and groups of these names stood after the last run.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn standings<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        now: SystemTime,
    ) -> anyhow::Result<HashMap<String, Standing>> {
        let mut query = self.db.prepare(
            "SELECT at, state, since, before, last_ok, failing, runs, looks FROM standing WHERE list IN (?1, ?2) AND name = ?3 ORDER BY list DESC LIMIT 1",
        )?;
        let mut standings = HashMap::new();
        for name in names {
            let row = query.query_row(params![self.list, UNCLAIMED, name], |row| {
                let failing: Option<f64> = row.get(5)?;
                Ok(Standing {
                    at: time(row.get(0)?),
                    state: state(row.get(1)?),
                    since: time(row.get(2)?),
                    before: row.get::<_, Option<u8>>(3)?.map(state),
                    last_ok: row.get::<_, Option<f64>>(4)?.map(time),
                    failing: match failing {
                        Some(since) => Some(Failing {
                            since: time(since),
                            runs: row.get(6)?,
                        }),
                        None => None,
                    },
                    looks: row.get(7)?,
                })
            });
            if let Some(standing) = row.optional()? {
                standings.insert(name.to_owned(), standing.seen_at(now));
            }
        }
        Ok(standings)
    }

    /// The samples of all metrics of a check from a moment until now, by their labels.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn samples(
        &self,
        name: &str,
        since: SystemTime,
        now: SystemTime,
    ) -> anyhow::Result<HashMap<String, Samples>> {
        let mut query = self.db.prepare(
            "SELECT metric, at, value FROM sample WHERE list IN (?1, ?2) AND name = ?3 AND at BETWEEN ?4 AND ?5 ORDER BY metric, at",
        )?;
        let times = (unix(since), unix(now + AHEAD));
        let of = params![self.list, UNCLAIMED, name, times.0, times.1];
        let rows = query.query_map(of, |row| {
            Ok((row.get::<_, String>(0)?, (row.get(1)?, row.get(2)?)))
        })?;
        let mut all: HashMap<String, Samples> = HashMap::new();
        for row in rows {
            let (metric, sample) = row?;
            all.entry(metric).or_default().push(sample);
        }
        Ok(all)
    }

    /// Pauses that have not been ended by hand and were not over at a moment; none that begins after now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pauses(&self, at: SystemTime, now: SystemTime) -> anyhow::Result<Vec<Pause>> {
        let mut query = self.db.prepare(
            "SELECT pattern, since, until, because FROM pause WHERE list IN (?1, ?2) AND until > ?3 AND since <= ?4 AND NOT resumed ORDER BY id",
        )?;
        let of = params![self.list, UNCLAIMED, unix(at), unix(now + AHEAD)];
        let pauses = query.query_map(of, |row| {
            Ok(Pause {
                pattern: row.get(0)?,
                since: time(row.get(1)?),
                until: time(row.get(2)?),
                because: row.get(3)?,
            })
        })?;
        Ok(pauses.collect::<Result<_, _>>()?)
    }

    /// The changes of everything of the list that has been seen, by name, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn changes(&self, now: SystemTime) -> anyhow::Result<Vec<(String, Vec<Change>)>> {
        // What an older koshu saw is anybody's until the first list has run.
        let lists: i64 = self
            .db
            .query_row("SELECT count(*) FROM list", [], |row| row.get(0))?;
        let list = match lists {
            0 => Some(UNCLAIMED),
            _ => self.list,
        };
        let mut query = self.db.prepare(
            "SELECT name, at, state, line FROM change WHERE list = ?1 ORDER BY name, id",
        )?;
        let rows = query.query_map([list], |row| {
            let change = Change {
                at: time(row.get(1)?),
                state: state(row.get(2)?),
                line: row.get(3)?,
            };
            Ok((row.get::<_, String>(0)?, change))
        })?;
        let mut all: Vec<(String, Vec<Change>)> = Vec::new();
        for row in rows {
            let (name, change) = row?;
            match all.last_mut() {
                Some((last, changes)) if *last == name => changes.push(change),
                _ => all.push((name, vec![change])),
            }
        }
        for (_, changes) in &mut all {
            in_order(changes, now);
        }
        Ok(all)
    }

    /// Whether a run of the list has been recorded; what an older koshu saw may have been of any.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn has_run(&self) -> anyhow::Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM list WHERE id = ?1 AND ran IS NOT NULL) OR (NOT EXISTS (SELECT 1 FROM list) AND EXISTS (SELECT 1 FROM run))";
        Ok(self.db.query_row(sql, [self.list], |row| row.get(0))?)
    }

    /// The keys of all lists of which a run has been recorded, the last one first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn lists(&self) -> anyhow::Result<Vec<String>> {
        let sql = "SELECT key FROM list WHERE ran IS NOT NULL ORDER BY ran DESC, id";
        let mut query = self.db.prepare(sql)?;
        let keys = query.query_map([], |row| row.get(0))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// The keys of all lists of which something is paused at a moment.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn paused(&self, at: SystemTime) -> anyhow::Result<Vec<String>> {
        let sql = "SELECT DISTINCT key FROM list JOIN pause ON pause.list = list.id WHERE until > ?1 AND since <= ?2 AND NOT resumed";
        let mut query = self.db.prepare(sql)?;
        let keys = query.query_map([unix(at), unix(at + AHEAD)], |row| row.get(0))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// When the list that is meant when none is given was last run, whatever its folder is now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn standard_ran(&self) -> anyhow::Result<Option<SystemTime>> {
        let sql = "SELECT max(standard) FROM list";
        let ran: Option<f64> = self.db.query_row(sql, [], |row| row.get(0))?;
        Ok(ran.map(time))
    }

    /// Whether a run of the list has ended before it could say what became of its results.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn has_undelivered(&self) -> anyhow::Result<bool> {
        let sql = "SELECT CAST(delivering AS INTEGER) FROM list WHERE id = ?1";
        let delivering = self.db.query_row(sql, [self.list], |row| row.get(0));
        let delivering: Option<i32> = delivering.optional()?.flatten();
        // Of two processes of one number the other one is gone, as in containers.
        Ok(delivering.is_some_and(|it| it == record::own() || !is_alive(it)))
    }

    /// The same history, with another list meant.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn meaning(self, key: &str) -> anyhow::Result<History> {
        History::of(self.db, self.home, super::Listed::of_key(key))
    }
}

fn is_alive(process: i32) -> bool {
    Pid::from_raw(process).is_some_and(|it| test_kill_process(it) != Err(Errno::SRCH))
}

/// Gives changes, which are in the order in which they were written, times in that order: none was before the one that
/// was written before it. One that lies ahead is believed to have been no later than the next.
fn in_order(changes: &mut [Change], now: SystemTime) {
    let mut earliest = SystemTime::UNIX_EPOCH;
    for change in changes.iter_mut().filter(|it| it.at <= now) {
        change.at = change.at.max(earliest);
        earliest = change.at;
    }
    let mut latest = now;
    for change in changes.iter_mut().rev() {
        change.at = change.at.min(latest);
        latest = change.at;
    }
}
