//! From raw outcomes to what a person must act on; pure, and run once when all outcomes are known.
//!
//! In this order: what grows is foretold; what is not confirmed yet stays OK; windows put a ceiling on what they match; what needs
//! something that is down is blocked; groups are judged by their members; a check's own ceiling is put on what
//! is left. Nothing that is OK is ever held back.

mod forecast;
mod group;
mod order;
mod window;

pub use group::CODES;

use crate::model::forecast::Samples;
use crate::model::limits::Judges;
use crate::model::outcome::{FULL_IN, Outcome};
use crate::model::quantity;
use crate::model::report::{Entry, KOSHU, Looked, Part, Ran, Report};
use crate::model::standing::{Confirm, Standing};
use crate::model::state::State;
use crate::model::text;
use crate::plan::{self, Job, Meaning, Pause, Plan};
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// What is known of a run besides its outcomes.
#[derive(Clone)]
pub struct Setting {
    pub host: String,
    pub at: SystemTime,
    /// The zone of this machine.
    pub zone: TimeZone,
    /// Where the list came from, when that is not what was asked for.
    pub origin: Option<String>,
    /// What people have paused; what is over is among it for a day.
    pub pauses: Vec<Pause>,
    /// The samples of metrics whose growth is to be foretold, by the names of checks.
    pub samples: HashMap<String, HashMap<String, Samples>>,
    /// How everything stood after the run before, by name; or why that is not known.
    pub past: Result<HashMap<String, Standing>, String>,
    /// What becomes of this run's looks.
    pub looks: Looks,
    /// What else is to be said of the run.
    pub remarks: Vec<String>,
}

/// What becomes of the looks of a run, on which it depends what can be confirmed.
#[derive(Clone, Debug, PartialEq)]
pub enum Looks {
    /// They are recorded, so that each failure brings the next one closer to being believed.
    Recorded,
    /// Somebody looks by hand, which leaves no trace.
    ByHand,
    /// They could not be recorded, and why: what is tolerated now would be for ever.
    Lost(String),
}

/// Puts the outcomes of a plan together, every one of them exactly once.
pub fn report(plan: Plan, ran: Ran, setting: Setting) -> Report {
    let plan = group::whole(plan);
    let links = plan.links();
    let Plan {
        jobs,
        groups,
        windows,
        ..
    } = plan;
    let ceilings: Vec<Option<State>> = jobs
        .iter()
        .map(|it| it.at_most)
        .chain(groups.iter().map(|it| it.at_most))
        .collect();
    let tags: Vec<Vec<String>> = jobs
        .iter()
        .map(|it| it.tags.clone())
        .chain(groups.iter().map(|it| it.tags.clone()))
        .collect();
    let confirms: Vec<Option<Confirm>> = jobs.iter().map(|it| it.confirm).collect();
    let foretold: Vec<Option<(Judges, Option<State>)>> = jobs
        .iter()
        .map(|it| Some((it.full_in.as_ref()?.of(0.0), it.grade.get(FULL_IN).copied())))
        .collect();
    let first_group = jobs.len();
    let mut entries: Vec<Entry> = jobs.into_iter().zip(ran.looked).map(entry).collect();
    entries.extend(groups.iter().map(group::entry));
    for (entry, limits) in entries.iter_mut().zip(&foretold) {
        let Some((limits, grade)) = limits else {
            continue;
        };
        match &setting.past {
            Err(why) => entry
                .outcome
                .detail(&format!("nothing can be foretold: {why}")),
            Ok(past) => {
                let (none, name) = (HashMap::new(), entry.name.clone());
                let series = setting.samples.get(&name).unwrap_or(&none);
                if entry.age.is_none() {
                    forecast::judge(entry, limits, series, past.get(&name), setting.at);
                    // The runner has graded what the check itself found.
                    grade
                        .iter()
                        .for_each(|it| entry.outcome.regrade(FULL_IN, *it));
                    entry.state = entry.outcome.state();
                }
            }
        }
    }
    for (entry, confirm) in entries.iter_mut().zip(&confirms) {
        if let (Some(confirm), true) = (confirm, entry.state != State::Ok) {
            doubt(entry, *confirm, &setting);
        }
    }
    let mut windows = windows;
    windows.extend(setting.pauses.iter().filter_map(window::paused));
    let names: Vec<String> = entries.iter().map(|it| it.name.clone()).collect();
    let names = names.iter().map(String::as_str);
    let mut names = Meaning::among(names, tags.iter().map(Vec::as_slice));
    let windows = window::Windows::new(&windows, &mut names, setting.at, &setting.zone);
    let mut all = Judged {
        causes: vec![None; entries.len()],
        entries,
        ceilings,
    };
    // A list with a loop is refused at load.
    for number in plan::sorted(&links).unwrap_or_default() {
        if let Some(group) = number.checked_sub(first_group) {
            group::judge(&mut all, number, &groups[group], &links[number]);
        }
        windows.apply(number, &mut all.entries[number]);
        if number < first_group && all.entries[number].state != State::Ok {
            // A check that fails while something that it needs is down says nothing: its cause does.
            if let Some(cause) = all.cause(&links[number]) {
                all.block(number, cause);
            }
        }
    }
    for number in 0..all.entries.len() {
        all.entries[number].state = all.held(number);
    }
    let mut entries = all.entries;
    for pause in &setting.pauses {
        window::tell_over(pause, &mut entries, &mut names, setting.at);
    }
    group::tell(&mut entries, first_group, &links);
    if let Ok(past) = &setting.past {
        for entry in &mut entries {
            stand(entry, past.get(&entry.name), setting.at);
        }
    }
    Report {
        host: text::clean(&setting.host),
        at: setting.at,
        took: ran.took,
        order: order::worst_first(&entries),
        entries,
        origin: setting.origin,
        remarks: setting.remarks.iter().map(|it| text::clean(it)).collect(),
        stopped: ran.stopped,
    }
}

/// Adds what koshu has to say of itself after the run, and how that stands.
pub fn add(report: &mut Report, name: &str, outcome: Outcome, past: Option<&Standing>) {
    let mut entry = Entry {
        name: name.to_owned(),
        label: name.to_owned(),
        kind: KOSHU,
        usual_metrics: &[],
        state: outcome.state(),
        part: Part::Own,
        remarks: Vec::new(),
        behind: Vec::new(),
        standing: None,
        was: None,
        outcome,
        took: Duration::ZERO,
        age: None,
        owner: None,
        action: None,
        runbook: None,
    };
    if report.entries.iter().any(|it| it.standing.is_some()) {
        stand(&mut entry, past, report.at);
    }
    report.entries.push(entry);
    report.order = order::worst_first(&report.entries);
}

fn entry((job, looked): (Job, Looked)) -> Entry {
    Entry {
        name: job.name,
        label: job.label,
        kind: job.kind.name,
        usual_metrics: job.kind.metrics,
        state: looked.outcome.state(),
        part: Part::Own,
        remarks: looked
            .age
            .map(|it| format!("as of {} ago", quantity::seconds(it.as_secs_f64().round())))
            .into_iter()
            .collect(),
        behind: Vec::new(),
        standing: None,
        was: None,
        outcome: looked.outcome,
        took: looked.took,
        age: looked.age,
        owner: job.owner,
        action: job.action,
        runbook: job.runbook,
    }
}

/// Stays OK while a failure is not confirmed; where nothing can be, it is believed at once.
fn doubt(entry: &mut Entry, confirm: Confirm, setting: &Setting) {
    let past = match (&setting.past, &setting.looks) {
        (Err(why), _) | (_, Looks::Lost(why)) => {
            let line = format!("nothing can be confirmed: {why}");
            return entry.outcome.detail(&line);
        }
        (Ok(past), _) => past.get(&entry.name),
    };
    let doubt = match (&setting.looks, past) {
        // An answer of an earlier run confirms nothing.
        _ if entry.age.is_some() => {
            entry.state = past.map_or(entry.state, |it| it.state);
            return;
        }
        (Looks::ByHand, None) => {
            let line = "nothing can be confirmed: no recorded run has seen it";
            return entry.outcome.detail(line);
        }
        (Looks::ByHand, Some(past)) => confirm.doubt_of_recorded(past, setting.at),
        _ => confirm.doubt(past, setting.at),
    };
    if let Some(doubt) = doubt {
        entry.remarks.push(doubt);
        entry.state = State::Ok;
    }
}

/// Sets how an entry stands with this run, and what it was before. What is blocked changes nothing: its cause does.
fn stand(entry: &mut Entry, past: Option<&Standing>, at: SystemTime) {
    if entry.age.is_some() {
        entry.standing = past.cloned();
        return;
    }
    let held = matches!(entry.part, Part::Blocked(_));
    let raw = entry.outcome.state();
    let standing = Standing::next(past, raw, entry.state, held, at);
    entry.was = past.map(|it| it.state).filter(|it| *it != standing.state);
    entry.standing = Some(standing);
}

/// The better of a state and its ceiling.
fn at_most(state: State, ceiling: State) -> State {
    match state.badness() > ceiling.badness() {
        true => ceiling,
        false => state,
    }
}

/// Whether others can do their work with it: a warning is no failure.
fn is_up(entry: &Entry) -> bool {
    matches!(entry.state, State::Ok | State::Warning) && !matches!(entry.part, Part::Blocked(_))
}

/// The entries while they are judged, each with what holds it.
struct Judged {
    entries: Vec<Entry>,
    /// The entry that blocks each, if one does; it is never blocked itself.
    causes: Vec<Option<usize>>,
    /// The ceiling of each by its own key.
    ceilings: Vec<Option<State>>,
}

impl Judged {
    /// The state of an entry under its own ceiling.
    fn held(&self, number: usize) -> State {
        let state = self.entries[number].state;
        self.ceilings[number].map_or(state, |it| at_most(state, it))
    }

    /// The first of these that is down; where that one is blocked itself, what blocks it.
    fn cause(&self, needs: &[usize]) -> Option<usize> {
        let mut needs = needs.iter().copied();
        let down = needs.find(|it| !is_up(&self.entries[*it]))?;
        Some(self.causes[down].unwrap_or(down))
    }

    fn block(&mut self, number: usize, cause: usize) {
        let name = self.entries[number].name.clone();
        let because = self.entries[cause].name.clone();
        self.entries[cause].behind.push(name);
        self.entries[number].part = Part::Blocked(because);
        self.causes[number] = Some(cause);
    }
}

/// What a group takes as long as its slowest member.
fn longest(entries: &[Entry], members: &[usize]) -> Duration {
    let took = members.iter().map(|it| entries[*it].took);
    took.max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
