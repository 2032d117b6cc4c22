//! Times in which states have a ceiling.

use crate::model::calendar::When;
use crate::model::quantity;
use crate::model::report::Entry;
use crate::model::state::State;
use crate::plan::{Meaning, Pause, Window};
use crate::triage::at_most;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::time::SystemTime;

/// The windows that hold at one moment.
pub struct Windows {
    now: Vec<Now>,
    /// Which of them are meant for each entry, in their order.
    of: Vec<Vec<usize>>,
}

struct Now {
    at_most: State,
    remark: String,
}

impl Windows {
    pub fn new(
        windows: &[Window],
        names: &mut Meaning,
        at: SystemTime,
        here: &TimeZone,
    ) -> Windows {
        let at = Timestamp::try_from(at).unwrap_or_default();
        let mut now = Vec::new();
        let mut of = vec![Vec::new(); names.count()];
        for window in windows {
            let zone = window.zone.as_ref().unwrap_or(here);
            let Some(until) = window.when.until(at, zone) else {
                continue;
            };
            let meant: BTreeSet<usize> = match window.matches[..] {
                [] => (0..of.len()).collect(),
                _ => window
                    .matches
                    .iter()
                    .flat_map(|it| names.meant(it))
                    .collect(),
            };
            meant.iter().for_each(|it| of[*it].push(now.len()));
            now.push(Now {
                at_most: window.at_most,
                remark: remark(window, at, until, zone),
            });
        }
        Windows { now, of }
    }

    /// Puts the ceilings of those that are meant on an entry, and says so where that changes something.
    pub fn apply(&self, number: usize, entry: &mut Entry) {
        for window in self.of[number].iter().map(|it| &self.now[*it]) {
            let state = at_most(entry.state, window.at_most);
            if state != entry.state {
                entry.remarks.push(window.remark.clone());
            }
            entry.state = state;
        }
    }
}

/// Says of what still fails that its pause is over.
pub fn tell_over(pause: &Pause, entries: &mut [Entry], names: &mut Meaning, at: SystemTime) {
    let Ok(ago) = at.duration_since(pause.until) else {
        return;
    };
    let because = match pause.because.as_str() {
        "" => String::new(),
        because => format!(" ({because})"),
    };
    let ago = quantity::seconds(ago.as_secs_f64().round());
    let line = format!("its pause{because} ended {ago} ago");
    for number in names.meant(&pause.pattern) {
        let entry = &mut entries[number];
        if entry.state != State::Ok {
            entry.outcome.detail(&line);
        }
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
