//! The commands that are about history alone: what was seen, pauses, and what people vouch for.

use crate::check::review;
use crate::cli::{Attest, PastArgs, PastFormat, PauseArgs, ResumeArgs};
use crate::history::History;
use crate::model::duration::since_1970;
use crate::model::name;
use crate::model::outage::{self, Change, Tally};
use crate::model::quantity;
use crate::model::state::State;
use crate::model::text;
use crate::plan::{Pause, Plan};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::{Duration, SystemTime};
use unicode_width::UnicodeWidthStr;

/// The changes of each check and group, by name.
type Changes = Vec<(String, Vec<Change>)>;

/// The time that is looked at.
struct Period {
    from: SystemTime,
    until: SystemTime,
    zone: TimeZone,
}

/// How many columns a sparkline has.
const COLUMNS: u32 = 32;

fn told(error: anyhow::Error) -> String {
    format!("{error:#}")
}

/// "`wbe`, did you mean `web`?"
fn quoted<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    match name::nearest(wrong, names) {
        Some(near) => format!("`{wrong}`, did you mean `{near}`?"),
        None => format!("`{wrong}`"),
    }
}

/// Shows what was seen.
///
/// # Errors
/// For a name that history does not know.
pub fn show(given: &PastArgs, history: &History, at: SystemTime) -> Result<String, String> {
    let mut changes = history.changes().map_err(told)?;
    let names = changes.iter().map(|it| it.0.as_str());
    if let Some(name) = &given.name
        && !names.clone().any(|it| it == name)
    {
        return Err(format!("nothing is known of {}", quoted(name, names)));
    }
    changes.retain(|it| given.name.as_ref().is_none_or(|name| it.0 == *name));
    let from = at.checked_sub(given.length.0);
    let period = Period {
        from: from.unwrap_or(SystemTime::UNIX_EPOCH),
        until: at,
        zone: TimeZone::system(),
    };
    Ok(write(
        &changes,
        given.name.as_deref(),
        &period,
        given.format,
    ))
}

/// Pauses what a pattern means.
///
/// # Errors
/// When it means nothing.
pub fn pause(
    given: &PauseArgs,
    plan: &Plan,
    history: &mut History,
    at: SystemTime,
) -> Result<String, String> {
    let meant = plan.meant(&given.pattern);
    if meant.is_empty() {
        return Err(plan.no_such(&given.pattern));
    }
    let pause = Pause {
        pattern: given.pattern.clone(),
        since: at,
        until: at + given.length.0,
        because: text::clean(given.because.as_deref().unwrap_or_default()),
    };
    history
        .pause(&pause)
        .map_err(|it| format!("not paused: {it:#}"))?;
    let length = quantity::seconds(given.length.0.as_secs_f64());
    Ok(format!("OK - paused for {length}: {}\n", meant.join(", ")))
}

/// Ends pauses.
///
/// # Errors
/// When no pause is called so.
pub fn resume(given: &ResumeArgs, history: &mut History, at: SystemTime) -> Result<String, String> {
    if history.resume(&given.pattern, at).map_err(told)? > 0 {
        return Ok(format!("OK - {} is paused no more\n", given.pattern));
    }
    let open = history.pauses(at).map_err(told)?;
    let open: Vec<&str> = open.iter().map(|it| it.pattern.as_str()).collect();
    Err(match open[..] {
        [] => "nothing is paused".to_owned(),
        _ => format!(
            "no pause is called `{}`; paused are {}",
            given.pattern,
            open.join(", ")
        ),
    })
}

/// Records that somebody vouches for a check.
///
/// # Errors
/// When no review is called so.
pub fn attest(
    given: &Attest,
    plan: &Plan,
    history: &mut History,
    at: SystemTime,
) -> Result<String, String> {
    let reviews = plan
        .jobs
        .iter()
        .filter(|it| it.kind.name == review::TYPE.name);
    let mut reviews = reviews.map(|it| it.name.as_str());
    let name = text::clean(&given.name);
    if !reviews.clone().any(|it| it == name) {
        let meant = quoted(&name, &mut reviews);
        return Err(format!("no check of type review is called {meant}"));
    }
    let attestation = review::Attestation::new(&given.by, given.note.as_deref());
    history
        .attest(at, &name, &attestation.to_value())
        .map_err(|it| format!("not recorded: {it:#}"))?;
    Ok(format!("OK - {name}: {attestation}\n"))
}

/// The past of one check, change by change, or of all, in one line each.
fn write(changes: &Changes, one: Option<&str>, period: &Period, format: PastFormat) -> String {
    match (format, one) {
        (PastFormat::Json, _) => format!("{:#}\n", document(changes, period)),
        (PastFormat::Csv, _) => csv(changes, period),
        (PastFormat::Human, None) => overview(changes, period),
        (PastFormat::Human, Some(name)) => {
            let of = changes.iter().find(|it| it.0 == name);
            story(name, of.map_or(&[][..], |it| &it.1), period)
        }
    }
}

fn unix(at: SystemTime) -> f64 {
    (since_1970(at).as_secs_f64() * 1e3).round() / 1e3
}

fn document(changes: &Changes, period: &Period) -> Value {
    let checks = changes.iter().map(|(name, changes)| {
        let tally = outage::tally(changes, period.from, period.until);
        let changes = changes
            .iter()
            .map(|it| json!({ "time": unix(it.at), "state": it.state.code(), "summary": it.line }));
        json!({
            "name": name,
            "known": tally.known.as_secs_f64(),
            "availability": tally.availability(),
            "outages": tally.outages,
            "longest_outage": tally.longest.as_secs_f64(),
            "mean_time_to_recover": tally.recovery.map(|it| it.as_secs_f64()),
            "changes": changes.collect::<Vec<_>>(),
        })
    });
    json!({
        "version": 1,
        "from": unix(period.from),
        "until": unix(period.until),
        "checks": checks.collect::<Vec<_>>(),
    })
}

/// RFC 4180, one row for each time that a state held.
fn csv(changes: &Changes, period: &Period) -> String {
    let field = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text = String::from("name,state,from,until,seconds,summary\r\n");
    for (name, changes) in changes {
        for (start, end, state) in outage::parts(changes, period.from, period.until) {
            let line = changes
                .iter()
                .rfind(|it| it.at <= start)
                .map_or("", |it| &it.line);
            let _ = write!(
                text,
                "{},{},{},{},{},{}\r\n",
                field(name),
                state.word(),
                moment(start, &TimeZone::UTC, "%FT%TZ"),
                moment(end, &TimeZone::UTC, "%FT%TZ"),
                end.duration_since(start).unwrap_or_default().as_secs(),
                field(line)
            );
        }
    }
    text
}

fn overview(changes: &Changes, period: &Period) -> String {
    let name = changes
        .iter()
        .map(|it| it.0.width())
        .max()
        .unwrap_or(0)
        .clamp(4, 40);
    let filled = |text: &str| format!("{text}{}", " ".repeat(name.saturating_sub(text.width())));
    let mut text = format!(
        "{}  NOW       UP        OUTAGES  LONGEST     RECOVERY    LAST {}\n",
        filled("NAME"),
        span(period)
    );
    for (check, changes) in changes {
        let tally = outage::tally(changes, period.from, period.until);
        let now = changes.last().map_or("", |it| it.state.word());
        let _ = writeln!(
            text,
            "{}  {now:<8}  {:<8}  {:>7}  {:<10}  {:<10}  {}",
            filled(check),
            up(&tally),
            tally.outages,
            time(tally.longest),
            tally.recovery.map_or("-".to_owned(), time),
            sparkline(changes, period)
        );
    }
    text
}

fn story(name: &str, changes: &[Change], period: &Period) -> String {
    let tally = outage::tally(changes, period.from, period.until);
    let mut text = format!(
        "{name}, last {}: up {}, {} outages, longest {}, mean time to recover {}\n{}\n\n",
        span(period),
        up(&tally),
        tally.outages,
        time(tally.longest),
        tally.recovery.map_or("-".to_owned(), time),
        sparkline(changes, period)
    );
    for (start, end, state) in outage::parts(changes, period.from, period.until) {
        let line = changes
            .iter()
            .rfind(|it| it.at <= start)
            .map_or("", |it| &it.line);
        let _ = writeln!(
            text,
            "{}  {:<8}  {:<12}  {line}",
            moment(start, &period.zone, "%F %T"),
            state.word(),
            time(end.duration_since(start).unwrap_or_default())
        );
    }
    text
}

fn span(period: &Period) -> String {
    time(period.until.duration_since(period.from).unwrap_or_default())
}

fn up(tally: &Tally) -> String {
    match tally.availability() {
        // Only what has never been down is wholly up.
        Some(share) if tally.outages > 0 => format!("{:.3}%", share.min(99.999)),
        Some(_) => "100%".to_owned(),
        None => "-".to_owned(),
    }
}

fn time(it: Duration) -> String {
    match it.as_secs() {
        0 => "-".to_owned(),
        seconds => quantity::seconds(seconds as f64),
    }
}

fn moment(at: SystemTime, zone: &TimeZone, form: &str) -> String {
    let at = Timestamp::try_from(at).unwrap_or_default();
    at.to_zoned(zone.clone()).strftime(form).to_string()
}

/// The higher, the worse.
fn sparkline(changes: &[Change], period: &Period) -> String {
    let columns = outage::columns(changes, period.from, period.until, COLUMNS);
    let column = |it: Option<State>| match it {
        None => ' ',
        Some(State::Ok) => '▁',
        Some(State::Warning) => '▄',
        Some(State::Unknown) => '▆',
        Some(State::Critical) => '█',
    };
    columns.into_iter().map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn written(one: Option<&str>, format: PastFormat) -> String {
        let change = |seconds: u64, state: State, line: &str| Change {
            at: at(seconds),
            state,
            line: line.to_owned(),
        };
        let changes = vec![(
            "web".to_owned(),
            vec![
                change(0, State::Ok, "fine"),
                change(16_000, State::Critical, "no \"answer\""),
                change(17_000, State::Ok, "fine, again"),
            ],
        )];
        let period = Period {
            from: at(0),
            until: at(32_000),
            zone: TimeZone::UTC,
        };
        write(&changes, one, &period, format)
    }

    #[test]
    fn one_line_for_each_or_each_change_of_one() {
        insta::assert_snapshot!(written(None, PastFormat::Human), @r"
        NAME  NOW       UP        OUTAGES  LONGEST     RECOVERY    LAST 8 h 53 min
        web   OK        96.875%         1  16 min      16 min      ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
        ");
        insta::assert_snapshot!(written(Some("web"), PastFormat::Human), @r#"
        web, last 8 h 53 min: up 96.875%, 1 outages, longest 16 min, mean time to recover 16 min
        ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁

        1970-01-01 00:00:00  OK        4 h 26 min    fine
        1970-01-01 04:26:40  CRITICAL  16 min        no "answer"
        1970-01-01 04:43:20  OK        4 h 10 min    fine, again
        "#);
    }

    #[test]
    fn programs_get_json_and_csv() {
        let json: Value = serde_json::from_str(&written(None, PastFormat::Json)).expect("JSON");
        assert_eq!(json["checks"][0]["availability"], 96.875);
        assert_eq!(json["checks"][0]["mean_time_to_recover"], 1000.0);
        let csv = written(None, PastFormat::Csv);
        let row = "\"web\",CRITICAL,1970-01-01T04:26:40Z,1970-01-01T04:43:20Z,1000,\"no \"\"answer\"\"\"\r\n";
        assert!(csv.contains(row), "{csv}");
    }
}
