//! `review`: something that only a person can look at, which goes stale when nobody vouches for it again.

use crate::check::{Check, Context, Flaw, Previous, Type, flaw};
use crate::model::duration::Duration;
use crate::model::limits::{Left, Limits};
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, UNKNOWN, code};
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use crate::model::text;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::SystemTime;

pub const TYPE: Type = Type::of::<Review>(
    "review",
    &["what"],
    include_str!("../../checks/review.toml"),
    &[("left", Unit::Seconds)],
    &[CODES],
);

const CODES: &[Code] = &[
    code(
        "left",
        "by limits",
        "The attestation goes stale: look again, then say so with `koshu attest NAME --by WHO --note WHAT`.",
    ),
    code(
        "never-attested",
        "CRITICAL",
        "Nobody has vouched for it yet, or only on a day that is yet to come: look, then say so with `koshu attest NAME --by WHO --note WHAT`.",
    ),
];

/// How far ahead the clock may have been when somebody attested: it is set back a little now and then.
const AHEAD: std::time::Duration = std::time::Duration::from_secs(3600);

/// Something that only a person can attest, as a restore test or an item of an audit; `koshu attest` records who did, and it goes stale.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Review {
    /// What is to be true, in one sentence.
    what: String,
    /// How long an attestation holds.
    every: Duration,
    /// Limits of the time that is left until it goes stale, also in % of `every`. Default: `"10%,0s"`.
    left: Option<Limits<Left>>,
}

/// What a person has said.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Attestation {
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Attestation {
    pub fn new(by: &str, note: Option<&str>) -> Attestation {
        Attestation {
            by: text::clean(by),
            note: note.map(text::clean).filter(|it| !it.is_empty()),
        }
    }

    /// As history keeps it.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::json!(self)
    }
}

impl fmt::Display for Attestation {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "attested by {}", self.by)?;
        match &self.note {
            Some(note) => write!(to, ": {note}"),
            None => Ok(()),
        }
    }
}

impl Check for Review {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        Ok(self.judge(&cx.previous, cx.now))
    }

    fn remembers(&self) -> bool {
        true
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.every.0.is_zero() {
            flaws.push(flaw(
                "every",
                "an attestation that holds for no time is always stale",
            ));
        }
        if self.what.trim().is_empty() {
            flaws.push(flaw("what", "it must say what a person is to attest"));
        }
        flaws
    }
}

impl Review {
    fn judge(&self, previous: &Previous, now: SystemTime) -> Outcome {
        let what = &self.what;
        let past = match previous {
            Previous::Known(past) => past,
            Previous::Unknown(why) => {
                let line = format!("nobody knows whether it was attested: {why}");
                return with_what(Outcome::of(UNKNOWN, State::Unknown, &line), what);
            }
            Previous::Never => {
                let outcome = Outcome::of("never-attested", State::Critical, "never attested");
                return with_what(outcome, what);
            }
        };
        let Ok(said) = Attestation::deserialize(&past.value) else {
            let line = "what is recorded of it is no attestation";
            return with_what(Outcome::of(UNKNOWN, State::Unknown, line), what);
        };
        let every = self.every.0.as_secs_f64();
        let day = Timestamp::try_from(past.at).map(|it| it.to_zoned(TimeZone::system()));
        let day = day.map_or(String::new(), |it| it.strftime(" on %Y-%m-%d").to_string());
        if past.at > now + AHEAD {
            let line = format!(
                "attested by {}{day}, which is yet to come: a clock was wrong",
                said.by
            );
            return with_what(Outcome::of("never-attested", State::Critical, &line), what);
        }
        let age = now
            .duration_since(past.at)
            .unwrap_or_default()
            .as_secs_f64();
        let left = every - age;
        let holds = match left > 0.0 {
            true => format!("holds for another {}", quantity::seconds(left)),
            false => format!("stale for {}", quantity::seconds(-left)),
        };
        let line = format!("attested by {}{day}, {holds}", said.by);
        let mut outcome = Outcome::new(&line);
        let default = "10%,0s".parse::<Limits<Left>>().ok();
        let limits = Limits::maybe(
            if self.left.is_some() {
                &self.left
            } else {
                &default
            },
            every,
        );
        let metric = Metric::new("left", left.round(), Unit::Seconds).signed();
        outcome.measure(metric.judged(limits), &line);
        if let Some(note) = &said.note {
            outcome.detail(&format!("note of {}: {note}", said.by));
        }
        with_what(outcome, what)
    }
}

fn with_what(mut outcome: Outcome, what: &str) -> Outcome {
    outcome.detail(&format!("to attest: {what}"));
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Past;
    use std::time::Duration as Time;

    fn judged(days: u64) -> Outcome {
        let check: Review = toml::from_str("what = 'it works'\nevery = '100d'").expect("keys");
        let at = SystemTime::UNIX_EPOCH + Time::from_secs(20_000 * 86_400);
        let value = Attestation::new("anna", Some("saw | it")).to_value();
        let previous = Previous::Known(Past { at, value });
        check.judge(&previous, at + Time::from_secs(days * 86_400))
    }

    #[test]
    fn it_goes_stale_with_a_warning_before() {
        assert_eq!(judged(0).state(), State::Ok);
        assert!(judged(10).line().ends_with("holds for another 90 d"));
        assert_eq!(judged(91).state(), State::Warning);
        assert_eq!(judged(101).state(), State::Critical);
        assert!(judged(103).line().ends_with("stale for 3 d"));
        assert!(
            judged(1)
                .lines()
                .contains(&"note of anna: saw ¦ it".to_owned())
        );
    }

    #[test]
    fn an_attestation_from_the_future_is_none() {
        let check: Review = toml::from_str("what = 'it works'\nevery = '100d'").expect("keys");
        let at = SystemTime::UNIX_EPOCH + Time::from_secs(20_000 * 86_400);
        let value = Attestation::new("anna", None).to_value();
        let previous = Previous::Known(Past { at, value });
        let judged = |before: u64| check.judge(&previous, at - Time::from_secs(before));
        assert_eq!(judged(60).state(), State::Ok);
        let ahead = judged(10 * 365 * 86_400);
        assert_eq!(ahead.state(), State::Critical);
        assert!(ahead.line().contains("yet to come"), "{}", ahead.line());
    }

    #[test]
    fn without_an_attestation_it_is_never_ok() {
        let check: Review = toml::from_str("what = 'it works'\nevery = '1d'").expect("keys");
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(check.judge(&Previous::Never, now).state(), State::Critical);
        let unknown = Previous::Unknown("disk full".to_owned());
        assert_eq!(check.judge(&unknown, now).state(), State::Unknown);
        let odd = Previous::Known(Past {
            at: now,
            value: serde_json::json!(5),
        });
        assert_eq!(check.judge(&odd, now).state(), State::Unknown);
    }
}
