//! What a check's changes of state come to over a time: how much of it it was up, and its outages; pure.

use crate::model::state::State;
use std::time::{Duration, SystemTime};

/// A change of a check's state, from its moment on.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub at: SystemTime,
    pub state: State,
    /// What was said then.
    pub line: String,
}

/// What changes come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// How long something is known, and how much of that it was up: OK or WARNING.
    pub known: Duration,
    pub up: Duration,
    pub outages: u32,
    pub longest: Duration,
    /// The mean time to recover, of outages that are over.
    pub recovery: Option<Duration>,
}

impl Tally {
    /// The part of the time that it was up, in %; `None` when nothing is known.
    pub fn availability(&self) -> Option<f64> {
        let known = self.known.as_secs_f64();
        (known > 0.0).then(|| 100.0 * self.up.as_secs_f64() / known)
    }
}

fn is_up(state: State) -> bool {
    matches!(state, State::Ok | State::Warning)
}

/// The parts of a time in which a state held; what was before the first change is not known.
pub fn parts(
    changes: &[Change],
    from: SystemTime,
    until: SystemTime,
) -> Vec<(SystemTime, SystemTime, State)> {
    let ends = changes.iter().skip(1).map(|it| it.at).chain([until]);
    let parts = changes.iter().zip(ends).map(|(change, end)| {
        let (start, end) = (change.at.max(from), end.min(until));
        (start, end, change.state)
    });
    parts.filter(|(start, end, _)| start < end).collect()
}

/// Adds up what held from one moment to another.
pub fn tally(changes: &[Change], from: SystemTime, until: SystemTime) -> Tally {
    let mut tally = Tally::default();
    let mut open: Option<Duration> = None;
    let mut over = Vec::new();
    for (start, end, state) in parts(changes, from, until) {
        let length = end.duration_since(start).unwrap_or_default();
        tally.known += length;
        match (is_up(state), open) {
            (true, outage) => {
                tally.up += length;
                over.extend(outage);
                open = None;
            }
            // From CRITICAL to UNKNOWN it is the same outage.
            (false, outage) => {
                tally.outages += u32::from(outage.is_none());
                let outage = outage.unwrap_or_default() + length;
                tally.longest = tally.longest.max(outage);
                open = Some(outage);
            }
        }
    }
    let count = over.len() as u32;
    tally.recovery = over.iter().sum::<Duration>().checked_div(count);
    tally
}

/// The worst state of each of so many equal parts of a time; `None` where nothing is known.
pub fn columns(
    changes: &[Change],
    from: SystemTime,
    until: SystemTime,
    count: u32,
) -> Vec<Option<State>> {
    let length = until.duration_since(from).unwrap_or_default() / count.max(1);
    let parts = parts(changes, from, until);
    let column = |number: u32| {
        let (start, end) = (from + length * number, from + length * (number + 1));
        let within = parts.iter().filter(|it| it.0 < end && it.1 > start);
        within.map(|it| it.2).reduce(State::worst)
    };
    (0..count).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Critical as C, Ok as O, Unknown as U, Warning as W};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn changes(all: &[(u64, State)]) -> Vec<Change> {
        let change = |(seconds, state): &(u64, State)| Change {
            at: at(*seconds),
            state: *state,
            line: String::new(),
        };
        all.iter().map(change).collect()
    }

    #[test]
    fn outages_are_added_up() {
        let all = changes(&[
            (100, O),
            (200, C),
            (230, U),
            (240, W),
            (300, C),
            (310, O),
            (390, C),
        ]);
        let it = tally(&all, at(0), at(400));
        assert_eq!(it.known, Duration::from_secs(300));
        assert_eq!(it.up, Duration::from_secs(240));
        assert_eq!(it.availability(), Some(80.0));
        assert_eq!((it.outages, it.longest), (3, Duration::from_secs(40)));
        assert_eq!(
            it.recovery,
            Some(Duration::from_secs(25)),
            "the last one is not over"
        );
    }

    #[test]
    fn only_the_time_that_is_asked_for_counts() {
        let all = changes(&[(100, C), (200, O)]);
        let it = tally(&all, at(150), at(250));
        assert_eq!((it.known.as_secs(), it.up.as_secs()), (100, 50));
        assert_eq!(tally(&[], at(0), at(9)).availability(), None);
        assert_eq!(tally(&all, at(300), at(300)), Tally::default());
    }

    #[test]
    fn columns_show_the_worst() {
        let all = changes(&[(100, O), (250, C), (260, O)]);
        let shown = columns(&all, at(0), at(400), 4);
        assert_eq!(shown, [None, Some(O), Some(C), Some(O)]);
    }
}
