//! The commands that are about history alone: what was seen, pauses, and what people vouch for.

use crate::check::{self, review};
use crate::cli::{Attest, PastArgs, PastFormat, PauseArgs, ResumeArgs};
use crate::history::shared::{self, Shared};
use crate::history::{History, Home, Listed, list};
use crate::host::account;
use crate::model::duration::since_1970;
use crate::model::name;
use crate::model::outage::{self, Change, Tally};
use crate::model::quantity;
use crate::model::state::State;
use crate::model::text;
use crate::plan::{Pause, Plan};
use crate::round;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;
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

/// How many lists are named of those that history knows.
const SHOWN: usize = 5;

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

/// For whose runs holds what root says.
const ALL: &str = "all runs on this host";

/// Where what somebody says of a list is kept. What root says holds for all users, unless a file is named.
pub struct Hold {
    state: Option<PathBuf>,
    listed: Listed,
    env: check::Env,
}

impl Hold {
    pub fn new(state: Option<PathBuf>, listed: Listed, env: check::Env) -> Hold {
        Hold { state, listed, env }
    }

    fn is_for_all(&self) -> bool {
        self.state.is_none() && rustix::process::geteuid().is_root()
    }

    fn history(&self, at: SystemTime) -> Result<History, String> {
        let home = round::home(self.state.as_deref(), &self.env)?;
        let opened = History::open(home, self.listed.clone(), at);
        opened.map(|it| it.0).map_err(told)
    }

    /// The history as it is; none while there is none.
    fn look(&self) -> Result<Option<History>, String> {
        let home = round::home(self.state.as_deref(), &self.env)?;
        History::look(home, self.listed.clone()).map_err(told)
    }

    /// Where nobody has named a list and one alone has something paused, that one is meant.
    fn mean_the_only_one_paused(&mut self, shared: &Shared, at: SystemTime) -> Result<(), String> {
        let mut keys = shared.paused(at);
        if let Some(history) = self.look()? {
            keys.extend(history.paused(at).map_err(told)?);
        }
        keys.sort();
        keys.dedup();
        if let [only] = &keys[..] {
            self.listed = Listed::of_key(only);
        }
        Ok(())
    }

    /// What root has said for all, which a named file is apart from.
    fn shared(&self) -> Result<Shared, String> {
        match self.state {
            None => Shared::read().map_err(told),
            Some(_) => Ok(Shared::default()),
        }
    }

    /// For whose runs it holds.
    fn reach(&self) -> String {
        match self.is_for_all() {
            true => ALL.to_owned(),
            false => self.own_reach(),
        }
    }

    /// For whose runs holds what is in the history itself.
    fn own_reach(&self) -> String {
        match &self.state {
            None => format!("runs of {} only", account::own()),
            Some(state) => format!("runs with --state {} only", state.display()),
        }
    }
}

/// Why there is no list: there was one.
pub fn lost_list(ran: SystemTime) -> String {
    format!(
        "the list is gone: it was last run on {}. Put it back, or name another with -c; to check what koshu discover finds, write that into it",
        moment(ran, &TimeZone::system(), "%F %H:%M")
    )
}

/// Why nobody can tell whether there should be a list.
pub fn unknown_list(why: &str) -> String {
    format!("there is no list, and whether there was one is not known: {why}")
}

/// What is said where only a list will do.
pub fn no_list() -> String {
    format!(
        "there is no list in {0}; write one, as by koshu discover > {0}/host.toml, or name one with -c",
        list::STANDARD
    )
}

/// What is said of a history before the first run.
pub fn nothing_yet(home: &Home) -> String {
    format!(
        "no run has been recorded in {} yet; a run by hand is only with --record",
        home.path.display()
    )
}

/// Shows what was seen of a list.
///
/// # Errors
/// For a name or a list that history does not know.
pub fn show(given: &PastArgs, history: History, at: SystemTime) -> Result<String, String> {
    let (history, note) = meant(given, history)?;
    let mut changes = history.changes(at).map_err(told)?;
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
    let mut text = write(&changes, given.name.as_deref(), &period, given.format);
    if let (Some(note), PastFormat::Human) = (note, given.format) {
        let _ = writeln!(text, "\n{note}");
    }
    Ok(text)
}

/// The history of the list that was asked for; where none was, of the only one that there is, and that is said.
fn meant(given: &PastArgs, history: History) -> Result<(History, Option<String>), String> {
    if history.has_run().map_err(told)? {
        return Ok((history, None));
    }
    let lists = history.lists().map_err(told)?;
    match &lists[..] {
        [only] if given.lists.config.is_empty() => {
            let note = format!("of {}, the only list that has been run", list::shown(only));
            Ok((history.meaning(only).map_err(told)?, Some(note)))
        }
        _ => {
            let asked = list::shown(&Listed::at(&given.lists.config).key);
            let mut known: Vec<String> = lists.iter().map(|it| list::shown(it)).collect();
            let more = known.len().saturating_sub(SHOWN);
            if more > 0 {
                known.truncate(SHOWN);
                known.push(format!("{more} more"));
            }
            Err(match known[..] {
                [] => format!("no run of {asked} has been recorded yet"),
                _ => format!(
                    "no run of {asked} has been recorded; known are {}",
                    known.join("; ")
                ),
            })
        }
    }
}

/// Pauses what a pattern means.
///
/// # Errors
/// When it means nothing.
pub fn pause(
    given: &PauseArgs,
    plan: &Plan,
    hold: &mut Hold,
    at: SystemTime,
) -> Result<String, String> {
    let (Some(pattern), Some(length)) = (&given.pattern, given.length) else {
        return paused(hold, at);
    };
    let meant = plan.meant(pattern);
    if meant.is_empty() {
        return Err(plan.no_such(pattern));
    }
    let pause = Pause {
        pattern: pattern.clone(),
        since: at,
        until: at + length.0,
        because: text::clean(given.because.as_deref().unwrap_or_default()),
    };
    let refused = |it: anyhow::Error| format!("not paused: {it:#}");
    match hold.is_for_all() {
        true => shared::change(at, |it| it.pause(&hold.listed, &pause)).map_err(refused)?,
        false => hold.history(at)?.pause(&pause).map_err(refused)?,
    }
    let length = quantity::seconds(length.0.as_secs_f64());
    Ok(format!(
        "OK - paused for {length}: {}\nThis holds for {}.\n",
        meant.join(", "),
        hold.reach()
    ))
}

/// What is paused, and for whose runs.
fn paused(hold: &Hold, at: SystemTime) -> Result<String, String> {
    let own = match hold.look()? {
        Some(history) => history.pauses(at, at).map_err(told)?,
        None => Vec::new(),
    };
    let common = hold.shared()?.pauses(&hold.listed, at, at);
    if own.is_empty() && common.is_empty() {
        return Ok("OK - nothing is paused\n".to_owned());
    }
    let zone = TimeZone::system();
    let mut text = format!("OK - {} paused\n", own.len() + common.len());
    let mut tell = |pauses: &[Pause], reach: &str| {
        for it in pauses {
            let until = moment(it.until, &zone, "%F %H:%M");
            let because = match it.because.as_str() {
                "" => String::new(),
                because => format!(" ({because})"),
            };
            let _ = writeln!(text, "{} until {until}{because}, for {reach}", it.pattern);
        }
    };
    tell(&common, ALL);
    tell(&own, &hold.own_reach());
    Ok(text)
}

/// Ends pauses.
///
/// # Errors
/// When no pause is called so.
pub fn resume(given: &ResumeArgs, hold: &mut Hold, at: SystemTime) -> Result<String, String> {
    let pattern = &given.pattern;
    let mut ended = 0;
    let mut open: Vec<String> = Vec::new();
    let shared = hold.shared()?;
    if given.lists.config.is_empty() {
        hold.mean_the_only_one_paused(&shared, at)?;
    }
    if let Some(history) = hold.look()? {
        open.extend(patterns(history.pauses(at, at).map_err(told)?));
        if open.contains(pattern) {
            ended += hold.history(at)?.resume(pattern, at).map_err(told)?;
        }
    }
    let common = patterns(shared.pauses(&hold.listed, at, at));
    if common.contains(pattern) {
        if !hold.is_for_all() {
            return Err(match ended {
                0 => format!(
                    "{pattern} is paused by root for all runs on this host, and only root ends that"
                ),
                _ => format!(
                    "{pattern} is not paused by {} any more, but by root for all runs on this host",
                    account::own()
                ),
            });
        }
        ended += shared::change(at, |it| it.resume(&hold.listed, pattern, at)).map_err(told)?;
    }
    if ended > 0 {
        return Ok(format!(
            "OK - {pattern} is no longer paused\nThis holds for {}.\n",
            hold.reach()
        ));
    }
    open.extend(common);
    Err(match open[..] {
        [] => "nothing is paused".to_owned(),
        _ => format!(
            "no pause is called `{pattern}`; paused are {}",
            open.join(", ")
        ),
    })
}

fn patterns(pauses: Vec<Pause>) -> Vec<String> {
    pauses.into_iter().map(|it| it.pattern).collect()
}

/// Records that somebody vouches for a check.
///
/// # Errors
/// When no review is called so.
pub fn attest(
    given: &Attest,
    plan: &Plan,
    hold: &mut Hold,
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
    let value = attestation.to_value();
    let refused = |it: anyhow::Error| format!("not recorded: {it:#}");
    match hold.is_for_all() {
        true => {
            shared::change(at, |it| it.attest(&hold.listed, at, &name, value)).map_err(refused)?
        }
        false => hold
            .history(at)?
            .attest(at, &name, &value)
            .map_err(refused)?,
    }
    Ok(format!(
        "OK - {name}: {attestation}\nThis holds for {}.\n",
        hold.reach()
    ))
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
