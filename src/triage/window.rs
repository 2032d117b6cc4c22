//! Times in which states have a ceiling.

use crate::model::calendar::When;
use crate::model::quantity;
use crate::model::report::Entry;
use crate::model::state::State;
use crate::plan::{self, Pause, Window};
use crate::triage::at_most;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::HashSet;
use std::time::SystemTime;

/// The windows that hold at one moment.
pub struct Windows {
    now: Vec<Now>,
    /// All names, because an exact name wins over a pattern.
    names: HashSet<String>,
}

struct Now {
    matches: Vec<String>,
    at_most: State,
    remark: String,
}

impl Windows {
    pub fn new(windows: &[Window], entries: &[Entry], at: SystemTime, here: &TimeZone) -> Windows {
        let at = Timestamp::try_from(at).unwrap_or_default();
        let now = windows.iter().filter_map(|it| {
            let zone = it.zone.as_ref().unwrap_or(here);
            let until = it.when.until(at, zone)?;
            Some(Now {
                matches: it.matches.clone(),
                at_most: it.at_most,
                remark: remark(it, at, until, zone),
            })
        });
        Windows {
            now: now.collect(),
            names: entries.iter().map(|it| it.name.clone()).collect(),
        }
    }

    /// Puts the ceilings of those that match on an entry, and says so where that changes something.
    pub fn apply(&self, entry: &mut Entry, tags: &[String]) {
        for window in &self.now {
            let mut words = window.matches.iter();
            if window.matches.is_empty() || words.any(|it| self.is_meant(it, entry, tags)) {
                let state = at_most(entry.state, window.at_most);
                if state != entry.state {
                    entry.remarks.push(window.remark.clone());
                }
                entry.state = state;
            }
        }
    }

    fn is_meant(&self, word: &str, entry: &Entry, tags: &[String]) -> bool {
        plan::means(word, self.names.contains(word), &entry.name, tags)
    }

    /// Says of what still fails that its pause is over.
    pub fn tell_over(&self, pause: &Pause, entry: &mut Entry, tags: &[String], at: SystemTime) {
        let Ok(ago) = at.duration_since(pause.until) else {
            return;
        };
        if entry.state == State::Ok || !self.is_meant(&pause.pattern, entry, tags) {
            return;
        }
        let because = match pause.because.as_str() {
            "" => String::new(),
            because => format!(" ({because})"),
        };
        let ago = quantity::seconds(ago.as_secs_f64().round());
        let line = format!("its pause{because} ended {ago} ago");
        entry.outcome.detail(&line);
    }
}

/// What somebody has paused is a window, too.
pub fn paused(pause: &Pause) -> Option<Window> {
    let moment = |at: SystemTime| Timestamp::try_from(at).ok();
    Some(Window {
        name: match pause.because.as_str() {
            "" => "paused".to_owned(),
            because => format!("paused: {because}"),
        },
        when: When::Between(moment(pause.since)?, moment(pause.until)?),
        zone: None,
        matches: vec![pause.pattern.clone()],
        at_most: State::Ok,
    })
}

/// "in maintenance until Sun 04:00 (nightly batch)", with the day when it is not today.
fn remark(window: &Window, now: Timestamp, until: Timestamp, zone: &TimeZone) -> String {
    let name = &window.name;
    if until == Timestamp::MAX {
        return format!("in maintenance ({name})");
    }
    let (now, until) = (now.to_zoned(zone.clone()), until.to_zoned(zone.clone()));
    let days = now
        .date()
        .until(until.date())
        .map_or(99, |it| it.get_days());
    let form = match days {
        0 => "%H:%M",
        1..7 => "%a %H:%M",
        _ => "%F %H:%M",
    };
    format!("in maintenance until {} ({name})", until.strftime(form))
}
