//! The tables of a history, and the steps that bring an older file up to date.

use anyhow::ensure;
use rusqlite::{Connection, TransactionBehavior};

/// Marks a file as koshu's own (the header of SQLite's file format, §1.3.13): "kosh".
pub const OWNER: u32 = u32::from_be_bytes(*b"kosh");

/// The number of no list: rows of 0.1.0, until a list claims them.
pub const UNCLAIMED: i64 = 0;

/// Tables that every version has; a file without them is somebody else's.
const ALWAYS: [&str; 4] = ["change", "memory", "run", "standing"];

/// One step for each version of the schema; `user_version` says how many have been taken.
const STEPS: &[&str] = &[
    "
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
",
    "
    -- The lists whose rows these are. `ran` is when it was last run, `standard` when that was as /etc/koshu, and
    -- `delivering` the process that has not said yet what became of its results.
    CREATE TABLE list (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        ran REAL,
        standard REAL,
        delivering REAL
    );
    -- Rows of list 0 were written before lists were told apart; the first list that has a check of that name takes them.
    ALTER TABLE memory RENAME TO old_memory;
    CREATE TABLE memory (
        list INTEGER NOT NULL,
        name TEXT NOT NULL,
        at REAL NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (list, name)
    ) WITHOUT ROWID;
    INSERT INTO memory SELECT 0, name, at, value FROM old_memory;
    DROP TABLE old_memory;
    ALTER TABLE standing RENAME TO old_standing;
    CREATE TABLE standing (
        list INTEGER NOT NULL,
        name TEXT NOT NULL,
        at REAL NOT NULL,
        state INTEGER NOT NULL,
        since REAL NOT NULL,
        before INTEGER,
        last_ok REAL,
        failing REAL,
        runs INTEGER NOT NULL,
        looks TEXT NOT NULL,
        PRIMARY KEY (list, name)
    ) WITHOUT ROWID;
    INSERT INTO standing SELECT 0, name, at, state, since, before, last_ok, failing, runs, looks FROM old_standing;
    DROP TABLE old_standing;
    ALTER TABLE answer RENAME TO old_answer;
    CREATE TABLE answer (
        list INTEGER NOT NULL,
        name TEXT NOT NULL,
        at REAL NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (list, name)
    ) WITHOUT ROWID;
    INSERT INTO answer SELECT 0, name, at, value FROM old_answer;
    DROP TABLE old_answer;
    -- What may be long is not copied.
    ALTER TABLE attestation ADD COLUMN list INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE change ADD COLUMN list INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE pause ADD COLUMN list INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE run ADD COLUMN list INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sample ADD COLUMN list INTEGER NOT NULL DEFAULT 0;
",
];

/// Whose a database is, as its tables tell.
#[derive(Debug, PartialEq)]
pub enum Whose {
    /// Nothing is in it yet.
    Nobodys,
    /// Of this version of koshu, or an older one.
    Ours(Age),
    /// Of a koshu that is newer than this one.
    Newer,
    Anothers,
}

/// Whether a file has all steps behind it.
#[derive(Debug, PartialEq)]
pub enum Age {
    Current,
    Older,
}

/// Looks whose a database is, and changes nothing.
///
/// # Errors
/// When it cannot be read.
pub fn whose(db: &Connection) -> rusqlite::Result<Whose> {
    let owner: u32 = db.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let taken = version(db)?;
    let mut query = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let tables = query.query_map([], |row| row.get::<_, String>(0))?;
    let tables: Vec<String> = tables.collect::<Result<_, _>>()?;
    let has_ours = ALWAYS.iter().all(|it| tables.iter().any(|has| has == it));
    Ok(match taken {
        0 if tables.is_empty() && (owner == OWNER || owner == 0) => Whose::Nobodys,
        _ if owner != OWNER && (owner != 0 || !has_ours) => Whose::Anothers,
        _ if taken > STEPS.len() => Whose::Newer,
        _ if taken == STEPS.len() => Whose::Ours(Age::Current),
        _ => Whose::Ours(Age::Older),
    })
}

fn version(db: &Connection) -> rusqlite::Result<usize> {
    let taken = db.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    Ok(usize::try_from(taken).unwrap_or(usize::MAX))
}

/// Takes the steps that a file has not taken, all of them or none.
///
/// # Errors
/// When it cannot be written, or was written by a newer koshu meanwhile.
pub fn bring_up_to_date(db: &mut Connection) -> anyhow::Result<()> {
    let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another run may have been quicker.
    let taken = version(&step)?;
    ensure!(taken <= STEPS.len(), "it was written by a newer koshu");
    for sql in &STEPS[taken..] {
        step.execute_batch(sql)?;
    }
    step.pragma_update(None, "application_id", OWNER)?;
    step.pragma_update(None, "user_version", STEPS.len() as i64)?;
    Ok(step.commit()?)
}

/// The tables as 0.1.0 made them.
#[cfg(test)]
pub const FIRST: &str = STEPS[0];
