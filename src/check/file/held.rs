//! Alarms of lines that were new once, kept for a time: the next look finds nothing new, which is no recovery.

use crate::model::duration::since_1970;
use crate::model::outcome::Outcome;
use crate::model::quantity;
use crate::model::state::State;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// A fault that was found in new lines.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Held {
    /// Seconds since 1970.
    at: f64,
    code: String,
    /// As its exit code.
    state: u64,
    text: String,
}

/// Adds the faults of earlier looks that still hold, and returns all that the next look is to know. `fresh` tells the
/// codes of faults that are held.
pub fn hold(
    outcome: &mut Outcome,
    fresh: &[&str],
    before: &[Held],
    length: Duration,
    now: SystemTime,
) -> Vec<Held> {
    let seconds = since_1970(now).as_secs_f64();
    let faults = outcome.findings().iter();
    let mut all: Vec<Held> = faults
        .filter(|it| it.state != State::Ok && fresh.contains(&it.code.as_str()))
        .map(|it| Held {
            at: seconds,
            code: it.code.clone(),
            state: it.state.code().into(),
            text: it.text.clone(),
        })
        .collect();
    for old in before {
        // A time to come is not believed: it is held from now on.
        let old = Held {
            at: old.at.min(seconds),
            ..old.clone()
        };
        let age = seconds - old.at;
        let badness = |it: &Held| State::of_code(it.state).badness();
        let is_worse = all
            .iter()
            .all(|it| it.code != old.code || badness(it) < badness(&old));
        if age >= length.as_secs_f64() || !is_worse {
            continue;
        }
        let line = format!(
            "{} ({} ago, held for {})",
            old.text,
            quantity::seconds(age.round()),
            quantity::seconds(length.as_secs_f64())
        );
        outcome.find(&old.code, State::of_code(old.state), &line);
        all.push(old);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn look(state: State, before: &[Held], seconds: u64) -> (Outcome, Vec<Held>) {
        let mut outcome = Outcome::new("fine");
        outcome.find("bad", state, "FATAL");
        let hour = Duration::from_secs(3600);
        let held = hold(&mut outcome, &["bad"], before, hour, at(seconds));
        (outcome, held)
    }

    #[test]
    fn an_alarm_is_held_for_its_time_and_not_longer() {
        let (_, held) = look(State::Critical, &[], 10_000);
        let (outcome, held) = look(State::Ok, &held, 10_060);
        assert_eq!(outcome.state(), State::Critical);
        assert_eq!(outcome.line(), "FATAL (60 s ago, held for 60 min)");
        let (outcome, held) = look(State::Warning, &held, 13_000);
        assert_eq!(outcome.state(), State::Critical, "the worse one counts");
        let (outcome, held) = look(State::Ok, &held, 13_600);
        assert_eq!(outcome.state(), State::Warning, "and each has its own time");
        let (outcome, held) = look(State::Ok, &held, 16_600);
        assert_eq!((outcome.state(), held.len()), (State::Ok, 0));
    }

    #[test]
    fn a_clock_that_was_ahead_holds_nothing_for_ever() {
        let (_, held) = look(State::Critical, &[], 900_000);
        let (_, held) = look(State::Ok, &held, 10_000);
        let (outcome, _) = look(State::Ok, &held, 13_600);
        assert_eq!(outcome.state(), State::Ok);
    }
}
