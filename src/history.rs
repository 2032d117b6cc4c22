//! What earlier runs saw, in one SQLite file; a hint, never a verdict: whatever is wrong with it is said, and
//! nothing waits for it longer than a second.

use crate::check::Past;
use crate::model::duration::since_1970;
use crate::model::forecast::Samples;
use crate::model::outage::Change;
use crate::model::report::Report;
use crate::model::standing::{Failing, Standing};
use crate::model::state::State;
use crate::model::text;
use crate::plan::{Pause, Retention};
use anyhow::{Context, anyhow, ensure};
use rusqlite::config::DbConfig;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params,
};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// An open file.
#[derive(Debug)]
pub struct History(Connection);

/// The seconds from one sample to the next.
const SAMPLE: f64 = 890.0;
/// Every so many runs it is tidied up.
const TIDY: i64 = 100;
/// How often a quarter is forgotten at the most; what is left then is no larger than its newest part.
const QUARTERS: u32 = 12;
/// The most bytes that are kept of a line.
const LINE: usize = 250;

/// What of a run is kept beyond how everything stands: the names of checks whose metrics are to be sampled, and
/// of those whose answers are to be told again.
#[derive(Debug, Default)]
pub struct Wanted<'n> {
    pub samples: HashSet<&'n str>,
    pub answers: HashSet<&'n str>,
}

/// How many bytes of changes gather in the log before they are brought home.
const LOG: u64 = 128 << 10;

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
    -- Every run.
    CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        took REAL NOT NULL,
        state INTEGER NOT NULL
    );
    -- How each check and group stands.
    CREATE TABLE standing (
        name TEXT PRIMARY KEY,
        at REAL NOT NULL,
        state INTEGER NOT NULL,
        since REAL NOT NULL,
        before INTEGER,
        last_ok REAL,
        failing REAL,
        runs INTEGER NOT NULL,
        looks TEXT NOT NULL
    ) WITHOUT ROWID;
    -- Every change of a state; the first is what it was when it was first seen.
    CREATE TABLE change (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        at REAL NOT NULL,
        state INTEGER NOT NULL,
        line TEXT NOT NULL
    );
    CREATE INDEX change_of ON change (name, at);
    -- The last answers of checks that are not looked at in every run, as JSON.
    CREATE TABLE answer (
        name TEXT PRIMARY KEY,
        at REAL NOT NULL,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    -- Metrics of which the growth is to be foretold, every quarter of an hour.
    CREATE TABLE sample (
        name TEXT NOT NULL,
        metric TEXT NOT NULL,
        at REAL NOT NULL,
        value REAL NOT NULL,
        PRIMARY KEY (name, metric, at)
    ) WITHOUT ROWID;
    -- What people have paused.
    CREATE TABLE pause (
        id INTEGER PRIMARY KEY,
        pattern TEXT NOT NULL,
        since REAL NOT NULL,
        until REAL NOT NULL,
        because TEXT NOT NULL,
        resumed INTEGER NOT NULL DEFAULT 0
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
        let known = STEPS.len();
        let version = |connection: &Connection| -> rusqlite::Result<usize> {
            connection
                .query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
                .map(|it| usize::try_from(it).unwrap_or(usize::MAX))
        };
        if version(&connection)? == 0 {
            // What is deleted gives its room back; it can only be set before there is anything.
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        // Where WAL cannot be had, as over NFS, the old journal does.
        let _: String = connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
            .with_context(|| format!("cannot use {shown}"))?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // To bring the log home waits for the disk; every few runs is often enough, and a short one is read at once.
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let is_short = fs::metadata(log).is_ok_and(|it| it.len() < LOG);
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_short)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        if version(&connection)? != known {
            let step = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
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
        self.pasts("SELECT at, value FROM memory WHERE name = ?1", names)
    }

    /// The last answers of checks of these names.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn answers(&self, names: &[&str]) -> anyhow::Result<HashMap<String, Past>> {
        self.pasts("SELECT at, value FROM answer WHERE name = ?1", names)
    }

    fn pasts(&self, sql: &str, names: &[&str]) -> anyhow::Result<HashMap<String, Past>> {
        let mut query = self.0.prepare(sql)?;
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

    /// Gives room that is not used any more back to the file system, a part of it at a time.
    fn give_back(&self) -> rusqlite::Result<()> {
        let mut give = self.0.prepare("PRAGMA incremental_vacuum(4000)")?;
        // Each step is one page.
        let mut pages = give.query([])?;
        while pages.next()?.is_some() {}
        self.0.execute_batch("PRAGMA optimize")
    }

    /// How checks and groups of these names stood after the last run.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn standings<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
    ) -> anyhow::Result<HashMap<String, Standing>> {
        let mut query = self.0.prepare(
            "SELECT at, state, since, before, last_ok, failing, runs, looks FROM standing WHERE name = ?1",
        )?;
        let mut standings = HashMap::new();
        for name in names {
            let row = query.query_row([name], |row| {
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
                standings.insert(name.to_owned(), standing);
            }
        }
        Ok(standings)
    }

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
    ) -> anyhow::Result<()> {
        let at = unix(report.at);
        let all = self
            .0
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        all.execute(
            "INSERT INTO run (at, took, state) VALUES (?1, ?2, ?3)",
            params![at, report.took.as_secs_f64(), report.state().code()],
        )?;
        let run = all.last_insert_rowid();
        {
            let mut remember =
                all.prepare("REPLACE INTO memory (name, at, value) VALUES (?1, ?2, ?3)")?;
            let mut stand = all.prepare(
                "REPLACE INTO standing (name, at, state, since, before, last_ok, failing, runs, looks) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            let mut change =
                all.prepare("INSERT INTO change (name, at, state, line) VALUES (?1, ?2, ?3, ?4)")?;
            let mut answer =
                all.prepare("REPLACE INTO answer (name, at, value) VALUES (?1, ?2, ?3)")?;
            let mut sample = all.prepare(
                "INSERT INTO sample (name, metric, at, value) SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM sample WHERE name = ?1 AND metric = ?2 AND at > ?3 - ?5)",
            )?;
            // An answer of an earlier run has been recorded then.
            for entry in report.entries.iter().filter(|it| it.age.is_none()) {
                let name = entry.name.as_str();
                if wanted.answers.contains(name) {
                    let value = entry.outcome.to_value().to_string();
                    answer.execute(params![name, at, value])?;
                }
                if wanted.samples.contains(name) {
                    let metrics = entry.outcome.metrics().iter();
                    for it in metrics.filter(|it| it.value.is_finite()) {
                        sample.execute(params![entry.name, it.label, at, it.value, SAMPLE])?;
                    }
                }
                if let Some(memory) = entry.outcome.memory() {
                    remember.execute(params![entry.name, at, memory.to_string()])?;
                }
                let Some(it) = &entry.standing else {
                    continue;
                };
                stand.execute(params![
                    entry.name,
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
                    change.execute(params![entry.name, at, it.state.code(), line])?;
                }
            }
        }
        if run % TIDY == 0 {
            tidy(&all, at, keep)?;
        }
        all.commit()?;
        if run % TIDY == 0 {
            // It only gives room back; that it cannot is no loss.
            let _ = self.give_back();
        }
        Ok(())
    }

    /// The samples of all metrics of a check since a moment, by their labels.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn samples(
        &self,
        name: &str,
        since: SystemTime,
    ) -> anyhow::Result<HashMap<String, Samples>> {
        let mut query = self.0.prepare(
            "SELECT metric, at, value FROM sample WHERE name = ?1 AND at >= ?2 ORDER BY metric, at",
        )?;
        let rows = query.query_map(params![name, unix(since)], |row| {
            Ok((row.get::<_, String>(0)?, (row.get(1)?, row.get(2)?)))
        })?;
        let mut all: HashMap<String, Samples> = HashMap::new();
        for row in rows {
            let (metric, sample) = row?;
            all.entry(metric).or_default().push(sample);
        }
        Ok(all)
    }

    /// Pauses that have not been ended by hand and were not over at a moment.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pauses(&self, at: SystemTime) -> anyhow::Result<Vec<Pause>> {
        let mut query = self.0.prepare(
            "SELECT pattern, since, until, because FROM pause WHERE until > ?1 AND NOT resumed ORDER BY id",
        )?;
        let pauses = query.query_map([unix(at)], |row| {
            Ok(Pause {
                pattern: row.get(0)?,
                since: time(row.get(1)?),
                until: time(row.get(2)?),
                because: row.get(3)?,
            })
        })?;
        Ok(pauses.collect::<Result<_, _>>()?)
    }

    /// Pauses what a pattern means.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn pause(&mut self, pause: &Pause) -> anyhow::Result<()> {
        self.0.execute(
            "INSERT INTO pause (pattern, since, until, because) VALUES (?1, ?2, ?3, ?4)",
            params![
                pause.pattern,
                unix(pause.since),
                unix(pause.until),
                pause.because
            ],
        )?;
        Ok(())
    }

    /// Ends the pauses of a pattern that are not over, and tells how many there were.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn resume(&mut self, pattern: &str, at: SystemTime) -> anyhow::Result<usize> {
        Ok(self.0.execute(
            "UPDATE pause SET resumed = 1 WHERE pattern = ?1 AND until > ?2 AND NOT resumed",
            params![pattern, unix(at)],
        )?)
    }

    /// The changes of everything that has been seen, by name, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn changes(&self) -> anyhow::Result<Vec<(String, Vec<Change>)>> {
        let mut query = self
            .0
            .prepare("SELECT name, at, state, line FROM change ORDER BY name, at, id")?;
        let rows = query.query_map([], |row| {
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
        Ok(all)
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

/// Forgets what is too old or too much. What people have vouched for is never forgotten.
fn tidy(all: &Transaction, now: f64, keep: &Retention) -> rusqlite::Result<()> {
    let oldest = now - keep.age.as_secs_f64();
    let forget = |before: f64| -> rusqlite::Result<()> {
        all.execute("DELETE FROM run WHERE at < ?1", [before])?;
        all.execute("DELETE FROM standing WHERE at < ?1", [before])?;
        all.execute("DELETE FROM pause WHERE until < ?1", [before])?;
        all.execute("DELETE FROM sample WHERE at < ?1", [before])?;
        // The last change before that says what was then.
        all.execute(
            "DELETE FROM change WHERE at < ?1 AND EXISTS (SELECT 1 FROM change AS later WHERE later.name = change.name AND later.at > change.at AND later.at <= ?1)",
            [before],
        )?;
        Ok(())
    };
    forget(oldest)?;
    let number = |pragma: &str| all.query_row(pragma, [], |row| row.get::<_, i64>(0));
    // Each time a quarter of what there is makes room for some time.
    for _ in 0..QUARTERS {
        let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
        let bytes = pages.saturating_mul(number("PRAGMA page_size")?);
        if u64::try_from(bytes).is_ok_and(|it| it <= keep.bytes) {
            break;
        }
        let first: Option<f64> = all.query_row(
            "SELECT min(at) FROM (SELECT min(at) AS at FROM run UNION ALL SELECT min(at) FROM sample)",
            [],
            |row| row.get(0),
        )?;
        let first = first.unwrap_or(oldest);
        forget(first + (now - first) / 4.0)?;
    }
    Ok(())
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
mod tests {
    use super::*;
    use crate::model::report::sample;
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
        for (seconds, size) in [(100, json!({ "size": 5 })), (160, json!(6))] {
            let mut report = sample::report();
            report.at = at(seconds);
            report.entries[0].name = "log".to_owned();
            report.entries[0].outcome.remember(size);
            let keep = Retention::default();
            history
                .record(&report, &Wanted::default(), &keep)
                .expect("written");
        }
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

    /// A run at a time, in which the only check has a state.
    fn run(history: &mut History, seconds: u64, state: State) {
        let mut report = sample::report();
        report.entries.truncate(1);
        report.order = vec![0];
        report.at = at(seconds);
        let past = history.standings(["web"].into_iter()).expect("read");
        let next = Standing::next(past.get("web"), state, state, false, report.at);
        report.entries[0].standing = Some(next);
        let keep = Retention {
            age: Duration::from_secs(100_000),
            ..Retention::default()
        };
        history
            .record(&report, &Wanted::default(), &keep)
            .expect("written");
    }

    #[test]
    fn how_things_stand_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("history.db");
        let (mut history, _) = History::open(&file, at(5)).expect("a file");
        for (minute, state) in [State::Ok, State::Critical, State::Critical]
            .iter()
            .enumerate()
        {
            run(&mut history, 60 * minute as u64, *state);
        }
        let it = history.standings(["web", "x"].into_iter()).expect("read");
        assert_eq!(it.len(), 1);
        let it = &it["web"];
        assert_eq!(
            (it.state, it.since, it.before),
            (State::Critical, at(60), Some(State::Ok))
        );
        assert_eq!((it.last_ok, it.looks.as_str()), (Some(at(0)), "oxx"));
        assert_eq!(it.failing.map(|it| it.runs), Some(2));
        let changes: i64 = history
            .0
            .query_row("SELECT count(*) FROM change", [], |it| it.get(0))
            .expect("a number");
        assert_eq!(changes, 2);
    }

    #[test]
    fn what_is_old_is_forgotten_and_attestations_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut history, _) = History::open(&folder.path().join("h.db"), at(5)).expect("a file");
        history
            .attest(at(1), "restore", &json!({ "by": "anna" }))
            .expect("written");
        for minute in 0..300 {
            let state = if minute % 2 == 0 {
                State::Ok
            } else {
                State::Warning
            };
            run(&mut history, 1000 * minute, state);
        }
        let count = |table: &str| -> i64 {
            let sql = format!("SELECT count(*) FROM {table}");
            history
                .0
                .query_row(&sql, [], |it| it.get(0))
                .expect("a number")
        };
        assert!((100..=102).contains(&count("run")), "{}", count("run"));
        assert!(
            (100..=103).contains(&count("change")),
            "{}",
            count("change")
        );
        assert_eq!(count("attestation"), 1);
    }

    #[test]
    fn what_is_too_much_is_forgotten_from_its_oldest_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut history, _) = History::open(&folder.path().join("h.db"), at(5)).expect("a file");
        run(&mut history, 0, State::Ok);
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) INSERT INTO sample SELECT 'web', 'a metric with a name', i, i FROM n";
        history.0.execute(sql, []).expect("samples");
        let keep = Retention {
            bytes: 1 << 20,
            ..Retention::default()
        };
        for second in 0..TIDY {
            let mut report = sample::report();
            report.at = at(60_000 + second as u64);
            history
                .record(&report, &Wanted::default(), &keep)
                .expect("written");
        }
        let number = |sql: &str| -> i64 {
            history
                .0
                .query_row(sql, [], |it| it.get(0))
                .expect("a number")
        };
        assert!(number("PRAGMA page_count") * number("PRAGMA page_size") <= 1 << 20);
        assert!(
            number("SELECT count(*) FROM sample") > 5000,
            "not more than it must"
        );
        assert_eq!(
            number("SELECT CAST(max(at) AS INTEGER) FROM sample"),
            60_000,
            "the newest is kept"
        );
    }
}
