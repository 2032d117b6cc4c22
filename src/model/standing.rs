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
    /// Why failing is not believed yet: "failing for 40 s, 2 of 3"; `None` when it is.
    pub fn doubt(self, past: Option<&Standing>, now: SystemTime) -> Option<String> {
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
                let failed = looks
                    .chars()
                    .rev()
                    .take(of as usize)
                    .filter(|it| *it == 'x')
                    .count();
                ((failed as u32) < wanted).then(|| format!("{shown}, {failed} of {wanted} in {of}"))
            }
            _ => None,
        }
    }
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
        let mut past = None;
        for (minute, state) in looks.iter().enumerate() {
            let next = Standing::next(past.as_ref(), *state, *state, false, at(60 * minute as u64));
            past = Some(next);
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
            confirm.doubt(after(looks).as_ref(), at(60 * looks.len() as u64))
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
    fn rules_that_confirm_nothing_are_refused() {
        for bad in ["0", "-1", "x", "3/2", "0/5", "3/99", "", "5 parsecs"] {
            assert!(bad.parse::<Confirm>().is_err(), "{bad}");
        }
    }
}
