//! What is written: runs, pauses and what people vouch for; each whole or not at all.

use super::schema::UNCLAIMED;
use super::{History, Listed, Wanted, tidy, unix};
use crate::model::report::{Entry, Report};
use crate::model::state::State;
use crate::model::text;
use crate::plan::{Pause, Retention};
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use std::time::SystemTime;

/// The seconds from one sample to the next.
const SAMPLE: f64 = 890.0;
/// Every so many runs it is tidied up.
pub const TIDY: i64 = 100;
/// The most bytes that are kept of a line.
const LINE: usize = 250;

/// Whether a run has yet to tell others of its results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delivery {
    Nobody,
    ToCome,
}

impl History {
    /// Records a run: what its checks remember, how everything stands, what has changed, and the metrics of
    /// those that are to be sampled; all of it or nothing.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record(
        &mut self,
        report: &Report,
        wanted: &Wanted,
        keep: &Retention,
        delivery: Delivery,
    ) -> anyhow::Result<()> {
        let at = unix(report.at);
        let all = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let list = number(&all, &self.listed)?;
        let deliverer = match delivery {
            Delivery::Nobody => None,
            Delivery::ToCome => Some(own()),
        };
        all.execute(
            "UPDATE list SET ran = ?2, standard = CASE WHEN ?3 THEN ?2 ELSE standard END, delivering = ?4 WHERE id = ?1",
            params![list, at, self.listed.is_standard, deliverer],
        )?;
        all.execute(
            "INSERT INTO run (list, at, took, state) VALUES (?1, ?2, ?3, ?4)",
            params![list, at, report.took.as_secs_f64(), report.state().code()],
        )?;
        let run = all.last_insert_rowid();
        if self.listed.claims {
            let names = report.entries.iter().map(|it| it.name.as_str());
            claim(&all, list, names)?;
        }
        write(&all, list, &report.entries, wanted, at)?;
        if run % TIDY == 0 {
            tidy::tidy(&all, at, keep)?;
        }
        all.commit()?;
        self.list = Some(list);
        if run % TIDY == 0 {
            // It only gives room back; that it cannot is no loss.
            let _ = tidy::give_back(&self.db);
        }
        Ok(())
    }

    /// Adds to the run that was recorded last what koshu says of its delivery.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn delivered(&mut self, entry: Option<&Entry>, at: SystemTime) -> anyhow::Result<()> {
        let both = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let list = number(&both, &self.listed)?;
        both.execute(
            "UPDATE list SET delivering = NULL WHERE id = ?1 AND delivering = ?2",
            params![list, own()],
        )?;
        if let Some(entry) = entry {
            let entries = std::slice::from_ref(entry);
            write(&both, list, entries, &Wanted::default(), unix(at))?;
        }
        Ok(both.commit()?)
    }

    /// Pauses what a pattern means.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn pause(&mut self, pause: &Pause) -> anyhow::Result<()> {
        let both = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let list = number(&both, &self.listed)?;
        both.execute(
            "INSERT INTO pause (list, pattern, since, until, because) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                list,
                pause.pattern,
                unix(pause.since),
                unix(pause.until),
                pause.because
            ],
        )?;
        both.commit()?;
        self.list = Some(list);
        Ok(())
    }

    /// Ends the pauses of a pattern that are not over, and tells how many there were.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn resume(&mut self, pattern: &str, at: SystemTime) -> anyhow::Result<usize> {
        Ok(self.db.execute(
            "UPDATE pause SET resumed = 1 WHERE list IN (?1, ?2) AND pattern = ?3 AND until > ?4 AND NOT resumed",
            params![self.list, UNCLAIMED, pattern, unix(at)],
        )?)
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
        let both = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let list = number(&both, &self.listed)?;
        both.execute(
            "INSERT INTO attestation (list, name, at, value) VALUES (?1, ?2, ?3, ?4)",
            params![list, name, unix(at), value.to_string()],
        )?;
        both.execute(
            "REPLACE INTO memory (list, name, at, value) VALUES (?1, ?2, ?3, ?4)",
            params![list, name, unix(at), value.to_string()],
        )?;
        both.commit()?;
        self.list = Some(list);
        Ok(())
    }
}

/// The number of this process.
pub fn own() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// The number of a list, which gets one when it has none.
fn number(all: &Transaction, listed: &Listed) -> rusqlite::Result<i64> {
    let sql = "SELECT id FROM list WHERE key = ?1";
    let known = all.query_row(sql, [&listed.key], |row| row.get(0));
    if let Some(number) = known.optional()? {
        return Ok(number);
    }
    all.execute("INSERT INTO list (key) VALUES (?1)", [&listed.key])?;
    Ok(all.last_insert_rowid())
}

/// Takes the rows of these names that were written before lists were told apart.
fn claim<'n>(
    all: &Transaction,
    list: i64,
    names: impl Iterator<Item = &'n str>,
) -> rusqlite::Result<()> {
    let sql = "SELECT EXISTS (SELECT 1 FROM standing WHERE list = ?1) OR EXISTS (SELECT 1 FROM memory WHERE list = ?1)";
    if !all.query_row(sql, [UNCLAIMED], |row| row.get(0))? {
        return Ok(());
    }
    let tables = [
        "standing",
        "memory",
        "answer",
        "attestation",
        "change",
        "sample",
    ];
    let claim = |table: &str| {
        all.prepare(&format!(
            "UPDATE OR IGNORE {table} SET list = ?1 WHERE list = ?2 AND name = ?3"
        ))
    };
    let mut claims: Vec<_> = tables.into_iter().map(claim).collect::<Result<_, _>>()?;
    for name in names {
        for claim in &mut claims {
            claim.execute(params![list, UNCLAIMED, name])?;
        }
    }
    Ok(())
}

/// Writes what is kept of entries.
fn write(
    all: &Transaction,
    list: i64,
    entries: &[Entry],
    wanted: &Wanted,
    at: f64,
) -> rusqlite::Result<()> {
    let mut remember =
        all.prepare("REPLACE INTO memory (list, name, at, value) VALUES (?1, ?2, ?3, ?4)")?;
    let mut stand = all.prepare(
        "REPLACE INTO standing (list, name, at, state, since, before, last_ok, failing, runs, looks) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let mut change = all
        .prepare("INSERT INTO change (list, name, at, state, line) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut answer =
        all.prepare("REPLACE INTO answer (list, name, at, value) VALUES (?1, ?2, ?3, ?4)")?;
    // A sample that lies ahead must not hold up all others. Two lists at the same moment share a row.
    let mut sample = all.prepare(
        "INSERT OR IGNORE INTO sample (list, name, metric, at, value) SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM sample WHERE list = ?1 AND name = ?2 AND metric = ?3 AND at > ?4 - ?6 AND at <= ?4)",
    )?;
    // An answer of an earlier run has been recorded then.
    for entry in entries.iter().filter(|it| it.age.is_none()) {
        let name = entry.name.as_str();
        if wanted.answers.contains(name) {
            let value = entry.outcome.to_value().to_string();
            answer.execute(params![list, name, at, value])?;
        }
        if wanted.samples.contains(name) {
            let metrics = entry.outcome.metrics().iter();
            for it in metrics.filter(|it| it.value.is_finite()) {
                sample.execute(params![list, name, it.label, at, it.value, SAMPLE])?;
            }
        }
        if let Some(memory) = entry.outcome.memory() {
            remember.execute(params![list, name, at, memory.to_string()])?;
        }
        let Some(it) = &entry.standing else {
            continue;
        };
        stand.execute(params![
            list,
            name,
            at,
            it.state.code(),
            unix(it.since),
            it.before.map(State::code),
            it.last_ok.map(unix),
            it.failing.map(|it| unix(it.since)),
            it.failing.map_or(0, |it| it.runs),
            it.looks
        ])?;
        if it.since == it.at {
            let line = text::fit(&entry.line(), LINE);
            change.execute(params![list, name, at, it.state.code(), line])?;
        }
    }
    Ok(())
}
