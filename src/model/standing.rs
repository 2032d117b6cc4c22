//! How a check stands: what it is now, since when, and what it was before; pure, from one run to the next.

use crate::model::quantity;
use crate::model::state::State;
use std::time::{Duration, SystemTime};

/// What is remembered of a check's states.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// When it was last looked at.
    pub at: SystemTime,
    /// What it was to a person, and since when.
    pub state: State,
    pub since: SystemTime,
    /// What it was before that.
    pub before: Option<State>,
    pub last_ok: Option<SystemTime>,
    /// Since when it has failed in every look, whatever triage made of it.
    pub failing: Option<Failing>,
    /// The last looks, newest last: `o` for OK, `x` for anything else.
    pub looks: String,
}

/// Looks that failed one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failing {
    pub since: SystemTime,
    pub runs: u32,
}

/// How many looks are remembered.
pub const LOOKS: usize = 32;

/// How much failing it takes to be believed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Confirm {
    /// So many looks, one after the other.
    Runs(u32),
    /// For so long.
    For(Duration),
    /// So many of the last looks.
    Of(u32, u32),
}

impl Failing {
    /// What follows from one more look.
    pub fn next(before: Option<Failing>, fails: State, at: SystemTime) -> Option<Failing> {
        match (fails, before) {
            (State::Ok, _) => None,
            (_, None) => Some(Failing { since: at, runs: 1 }),
            (_, Some(it)) => Some(Failing {
                runs: it.runs.saturating_add(1),
                ..it
            }),
        }
    }
}

/// The looks with one more.
pub fn looks(before: &str, raw: State) -> String {
    let mut looks = before.to_owned();
    looks.push(match raw {
        State::Ok => 'o',
        _ => 'x',
    });
    let more = looks.len().saturating_sub(LOOKS);
    looks.split_off(more)
}

impl Standing {
    /// As it looks at a moment. A time that lies ahead was written by a clock that was wrong: only how long before
    /// the last look it was is believed.
    pub fn seen_at(self, now: SystemTime) -> Standing {
        let last = self.at;
        let believed = |it: SystemTime| match it > now {
            true => now
                .checked_sub(last.duration_since(it).unwrap_or_default())
                .unwrap_or(now),
            false => it,
        };
        Standing {
            at: believed(self.at),
            since: believed(self.since),
            last_ok: self.last_ok.map(believed),
            failing: self.failing.map(|it| Failing {
                since: believed(it.since),
                ..it
            }),
            ..self
        }
    }

    /// Whether it was told as failing and has failed ever since: that is not taken back while it goes on.
    fn is_told(&self) -> bool {
        self.failing.is_some() && self.state != State::Ok
    }

    /// What is known after a run in which it was looked at; `held` when its state says nothing this time.
    pub fn next(
        past: Option<&Standing>,
        raw: State,
        state: State,
        held: bool,
        at: SystemTime,
    ) -> Standing {
        let state = match past {
            Some(past) if held => past.state,
            _ => state,
        };
        let same = past.filter(|it| it.state == state);
        Standing {
            at,
            state,
            since: same.map_or(at, |it| it.since),
            before: match same {
                Some(same) => same.before,
                None => past.map(|it| it.state),
            },
            last_ok: match state {
                State::Ok => Some(at),
                _ => past.and_then(|it| it.last_ok),
            },
            failing: Failing::next(past.and_then(|it| it.failing), raw, at),
            looks: looks(past.map_or("", |it| &it.looks), raw),
        }
    }
}

impl Confirm {
    /// Why failing is not believed yet of what recorded runs alone have seen: "recorded runs: 1 of 3"; `None` when it
    /// is.
    pub fn doubt_of_recorded(self, past: &Standing, now: SystemTime) -> Option<String> {
        if past.is_told() {
            return None;
        }
        let runs = past.failing.map_or(0, |it| it.runs);
        match self {
            Confirm::Runs(wanted) => {
                (runs < wanted).then(|| format!("recorded runs: {runs} of {wanted}"))
            }
            Confirm::For(wanted) => {
                let since = past.failing.map_or(now, |it| it.since);
                let time = now.duration_since(since).unwrap_or_default();
                let shown = |it: Duration| quantity::seconds(it.as_secs_f64().round());
                (time < wanted)
                    .then(|| format!("recorded runs: {} of {}", shown(time), shown(wanted)))
            }
            Confirm::Of(wanted, of) => {
                let failed = failed(&past.looks, of);
                (failed < wanted).then(|| format!("recorded runs: {failed} of {wanted} in {of}"))
            }
        }
    }

    /// Why failing is not believed yet: "failing for 40 s, 2 of 3"; `None` when it is.
    pub fn doubt(self, past: Option<&Standing>, now: SystemTime) -> Option<String> {
        if past.is_some_and(Standing::is_told) {
            return None;
        }
        let failing = Failing::next(past.and_then(|it| it.failing), State::Unknown, now)?;
        let time = now.duration_since(failing.since).unwrap_or_default();
        let shown = match time.as_secs() {
            0 => "failing just now".to_owned(),
            seconds => format!("failing for {}", quantity::seconds(seconds as f64)),
        };
        match self {
            Confirm::Runs(runs) if failing.runs < runs => {
                Some(format!("{shown}, {} of {runs}", failing.runs))
            }
            Confirm::For(wanted) if time < wanted => {
                let wanted = quantity::seconds(wanted.as_secs_f64());
                Some(format!("{shown}, of {wanted}"))
            }
            Confirm::Of(wanted, of) => {
                let looks = looks(past.map_or("", |it| &it.looks), State::Unknown);
                let failed = failed(&looks, of);
                (failed < wanted).then(|| format!("{shown}, {failed} of {wanted} in {of}"))
            }
            _ => None,
        }
    }
}

/// How many of so many last looks failed.
fn failed(looks: &str, of: u32) -> u32 {
    let last = looks.chars().rev().take(of as usize);
    last.filter(|it| *it == 'x').count() as u32
}

impl std::str::FromStr for Confirm {
    type Err = String;

    fn from_str(text: &str) -> Result<Confirm, String> {
        let refuse = || {
            format!(
                "\"{text}\" confirms nothing, expected a number of runs such as 3, a time such as \"3m\", or \"3/5\" of the last runs"
            )
        };
        let most = LOOKS as u32;
        if let Some((wanted, of)) = text.split_once('/') {
            let pair = wanted.parse::<u32>().ok().zip(of.parse::<u32>().ok());
            return match pair {
                Some((wanted, of)) if 0 < wanted && wanted <= of && of <= most => {
                    Ok(Confirm::Of(wanted, of))
                }
                _ => Err(format!("{}, of at most {most}", refuse())),
            };
        }
        match text.parse::<u32>() {
            Ok(runs @ 1..=1000) => Ok(Confirm::Runs(runs)),
            Ok(_) => Err(refuse()),
            Err(_) => match text.parse::<crate::model::duration::Duration>() {
                Ok(it) => Ok(Confirm::For(it.0)),
                Err(_) => Err(refuse()),
            },
        }
    }
}

impl<'de> serde::Deserialize<'de> for Confirm {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Confirm, D::Error> {
        struct Any;
        impl serde::de::Visitor<'_> for Any {
            type Value = Confirm;

            fn expecting(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
                to.write_str("a number of runs such as 3, a time such as \"3m\", or \"3/5\" of the last runs")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Confirm, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, runs: i64) -> Result<Confirm, E> {
                runs.to_string().parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Any)
    }
}

impl schemars::JsonSchema for Confirm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Confirm".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "title": "runs or a time", "type": ["integer", "string"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Critical as C, Ok as O, Warning as W};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// The standing after looks of one minute each, believed at once.
    fn after(looks: &[State]) -> Option<Standing> {
        told(looks, |state| state)
    }

    /// The standing after looks of one minute each, none of which was believed.
    fn doubted(looks: &[State]) -> Option<Standing> {
        told(looks, |_| O)
    }

    fn told(looks: &[State], told: impl Fn(State) -> State) -> Option<Standing> {
        let mut past = None;
        for (minute, state) in looks.iter().enumerate() {
            let at = at(60 * minute as u64);
            past = Some(Standing::next(
                past.as_ref(),
                *state,
                told(*state),
                false,
                at,
            ));
        }
        past
    }

    #[test]
    fn since_when_and_what_it_was_before() {
        let it = after(&[O, O, W, C, C]).expect("looks");
        assert_eq!((it.state, it.since, it.before), (C, at(180), Some(W)));
        assert_eq!(it.last_ok, Some(at(60)));
        assert_eq!(
            it.failing,
            Some(Failing {
                since: at(120),
                runs: 3
            })
        );
        assert_eq!(it.looks, "ooxxx");
    }

    #[test]
    fn what_is_held_back_keeps_its_state() {
        let past = after(&[O, O]).expect("looks");
        let held = Standing::next(Some(&past), C, C, true, at(120));
        assert_eq!((held.state, held.since), (O, at(0)));
        assert_eq!(held.failing.map(|it| it.runs), Some(1));
    }

    #[test]
    fn failing_is_believed_after_so_many_runs_or_so_long() {
        let doubt = |text: &str, looks: &[State]| {
            let confirm: Confirm = text.parse().expect("a rule");
            confirm.doubt(doubted(looks).as_ref(), at(60 * looks.len() as u64))
        };
        assert_eq!(
            doubt("3", &[O, C]).as_deref(),
            Some("failing for 60 s, 2 of 3")
        );
        assert_eq!(doubt("3", &[O, C, C]), None);
        assert_eq!(doubt("1", &[]), None);
        assert_eq!(doubt("3", &[]).as_deref(), Some("failing just now, 1 of 3"));
        assert_eq!(
            doubt("2m", &[O, C]).as_deref(),
            Some("failing for 60 s, of 2 min")
        );
        assert_eq!(doubt("2m", &[O, C, C]), None);
        assert_eq!(doubt("3/5", &[C, O, C, O]), None);
        assert_eq!(
            doubt("3/5", &[C, O, O, O, O]).as_deref(),
            Some("failing just now, 1 of 3 in 5")
        );
    }

    #[test]
    fn a_time_ahead_is_believed_only_by_its_distance_from_the_last_look() {
        let past = doubted(&[O, C, C, C]).expect("looks");
        let ahead = |it: SystemTime| it + Duration::from_secs(1_000_000);
        let wrong = Standing {
            at: ahead(past.at),
            since: ahead(past.since),
            last_ok: past.last_ok.map(ahead),
            failing: past.failing.map(|it| Failing {
                since: ahead(it.since),
                ..it
            }),
            ..past.clone()
        };
        let seen = wrong.seen_at(at(500));
        assert_eq!((seen.at, seen.last_ok), (at(500), Some(at(500))));
        assert_eq!(seen.failing.map(|it| it.since), Some(at(380)));
        let confirm: Confirm = "3m".parse().expect("a rule");
        assert!(confirm.doubt(Some(&seen), at(540)).is_some());
        assert_eq!(confirm.doubt(Some(&seen), at(560)), None);
        assert_eq!(past.clone().seen_at(at(1000)), past);
    }

    #[test]
    fn what_was_told_is_not_taken_back_while_it_goes_on() {
        let past = after(&[O, C]).expect("looks").seen_at(at(0));
        for rule in ["3", "3m", "3/5"] {
            let confirm: Confirm = rule.parse().expect("a rule");
            assert_eq!(confirm.doubt(Some(&past), at(1)), None, "{rule}");
            assert_eq!(confirm.doubt_of_recorded(&past, at(1)), None, "{rule}");
        }
    }

    #[test]
    fn a_look_by_hand_counts_for_nothing() {
        let doubt = |text: &str, looks: &[State]| {
            let confirm: Confirm = text.parse().expect("a rule");
            let past = doubted(looks).expect("looks");
            confirm.doubt_of_recorded(&past, at(60 * looks.len() as u64))
        };
        assert_eq!(doubt("3", &[O]).as_deref(), Some("recorded runs: 0 of 3"));
        assert_eq!(
            doubt("3", &[O, C]).as_deref(),
            Some("recorded runs: 1 of 3")
        );
        assert_eq!(doubt("3", &[C, C, C]), None);
        assert_eq!(
            doubt("3m", &[O, C]).as_deref(),
            Some("recorded runs: 60 s of 3 min")
        );
        assert_eq!(
            doubt("2/4", &[C, O]).as_deref(),
            Some("recorded runs: 1 of 2 in 4")
        );
    }

    #[test]
    fn rules_that_confirm_nothing_are_refused() {
        for bad in ["0", "-1", "x", "3/2", "0/5", "3/99", "", "5 parsecs"] {
            assert!(bad.parse::<Confirm>().is_err(), "{bad}");
        }
    }
}
