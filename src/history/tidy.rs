//! What is forgotten: what is too old by a clock that earlier runs bear out, and what is too much.

use crate::plan::Retention;
use rusqlite::{Connection, Transaction};

/// How often a quarter is forgotten at the most; what is left then is no larger than its newest part.
const QUARTERS: u32 = 12;

/// Forgets what is too old or too much. What people have vouched for is never forgotten.
///
/// # Errors
/// When the file cannot be written.
pub fn tidy(all: &Transaction, now: f64, keep: &Retention) -> rusqlite::Result<()> {
    let age = keep.age.as_secs_f64();
    if is_borne_out(all, now, age)? {
        forget(all, now - age)?;
    }
    let number = |pragma: &str| all.query_row(pragma, [], |row| row.get::<_, i64>(0));
    // Each time a quarter of what there is makes room for some time.
    for _ in 0..QUARTERS {
        let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
        let bytes = pages.saturating_mul(number("PRAGMA page_size")?);
        if u64::try_from(bytes).is_ok_and(|it| it <= keep.bytes) {
            break;
        }
        // Counted in rows, so that no clock has a say in it.
        let rows = number("SELECT (SELECT count(*) FROM run) + (SELECT count(*) FROM sample)")?;
        let before: f64 = all.query_row(
            "SELECT at FROM (SELECT at FROM run UNION ALL SELECT at FROM sample) ORDER BY at LIMIT 1 OFFSET ?1",
            [rows / 4],
            |row| row.get(0),
        )?;
        forget(all, before)?;
    }
    Ok(())
}

/// Whether some run was recorded a while ago by this clock. Where none was, it may have been put ahead since, and what
/// it calls old may be of this morning.
fn is_borne_out(all: &Transaction, now: f64, age: f64) -> rusqlite::Result<bool> {
    all.query_row(
        "SELECT EXISTS (SELECT 1 FROM run WHERE at BETWEEN ?1 AND ?2)",
        [now - age, now - age / 10.0],
        |row| row.get(0),
    )
}

fn forget(all: &Transaction, before: f64) -> rusqlite::Result<()> {
    all.execute("DELETE FROM run WHERE at < ?1", [before])?;
    all.execute("DELETE FROM standing WHERE at < ?1", [before])?;
    all.execute("DELETE FROM pause WHERE until < ?1", [before])?;
    all.execute("DELETE FROM sample WHERE at < ?1", [before])?;
    // The last change before that says what was then.
    all.execute(
        "DELETE FROM change WHERE at < ?1 AND EXISTS (SELECT 1 FROM change AS later WHERE later.name = change.name AND later.list = change.list AND later.at > change.at AND later.at <= ?1)",
        [before],
    )?;
    // That the standard list has once been run is remembered for good.
    all.execute(
        "DELETE FROM list WHERE ran < ?1 AND standard IS NULL AND NOT EXISTS (SELECT 1 FROM change WHERE change.list = list.id) AND NOT EXISTS (SELECT 1 FROM memory WHERE memory.list = list.id) AND NOT EXISTS (SELECT 1 FROM attestation WHERE attestation.list = list.id) AND NOT EXISTS (SELECT 1 FROM pause WHERE pause.list = list.id)",
        [before],
    )?;
    Ok(())
}

/// Gives room that is not used any more back to the file system, a part of it at a time.
///
/// # Errors
/// When the file cannot be written.
pub fn give_back(db: &Connection) -> rusqlite::Result<()> {
    let mut give = db.prepare("PRAGMA incremental_vacuum(4000)")?;
    // Each step is one page.
    let mut pages = give.query([])?;
    while pages.next()?.is_some() {}
    db.execute_batch("PRAGMA optimize")
}
