//! The tables of a list besides its checks: groups, windows, and how much history is kept.

use crate::model::calendar::{Span, When};
use crate::model::duration::Duration;
use crate::model::limits::{Limits, Up};
use crate::model::list::List;
use crate::model::name;
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use crate::plan;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;

/// Checks that are judged together, not one by one: how many of them are up. Redundancy that is lost is WARNING, a service that is down CRITICAL.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct Group {
    /// What the group is called; unique among all checks and groups.
    pub name: String,
    /// What the name becomes in perfdata labels.
    pub label: Option<String>,
    /// Names of checks and other groups, patterns of names, or `"tag:PATTERN"`.
    pub members: Vec<String>,
    /// Limits of how many members are up, or what part of them in %. Default: `"100%,1"`, WARNING when one is down and CRITICAL when all are.
    pub up: Option<Limits<Up>>,
    /// The worst state of a member that still counts as up. One that is not OK makes its group WARNING all the same, unless its own `at_most` is `"ok"`. Default: `"warning"`.
    pub counts: Option<State>,
    /// Words to select groups by.
    pub tags: Option<Vec<String>>,
    /// The ceiling of its state.
    pub at_most: Option<State>,
    /// Whose it is.
    pub owner: Option<String>,
    /// What to do now, in one sentence.
    pub action: Option<String>,
    /// Where it is written what to do.
    pub runbook: Option<String>,
}

/// A time in which states have a ceiling, as maintenance or the night; checks run in it all the same, and show that they are in it.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct Window {
    /// What the window is called.
    pub name: String,
    /// When it is, again and again: `"Sun 02:00-04:00"`, `"first Wed 22:00-23:30"`, or a list of them.
    pub when: Option<List<Span>>,
    /// Service hours: it is whenever these are not.
    pub hours: Option<List<Span>>,
    /// From when it is, once: `"2026-12-24 18:00"`.
    pub from: Option<String>,
    /// Until when it is, once.
    pub until: Option<String>,
    /// Whose clock is meant, as `"Asia/Tokyo"`. Default: this machine's.
    #[schemars(title = "time zone")]
    pub zone: Option<String>,
    /// Names of checks and groups, patterns of names, or `"tag:PATTERN"`. Default: everything.
    #[serde(rename = "match")]
    pub matches: Option<List<String>>,
    /// The ceiling of states in it. Default: `"ok"`.
    pub at_most: Option<State>,
}

/// How much of what was seen is kept; what people have vouched for is kept for ever.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
pub struct History {
    /// For how long. Default: `"90d"`.
    pub keep: Option<Duration>,
    /// How large the file may become, about. Default: `"64MiB"`.
    pub size: Option<Size>,
}

impl History {
    pub fn retention(&self) -> plan::Retention {
        let default = plan::Retention::default();
        plan::Retention {
            age: self.keep.map_or(default.age, |it| it.0),
            bytes: self.size.map_or(default.bytes, |it| it.0),
        }
    }
}

/// A number of bytes, at least a mebibyte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        let text = String::deserialize(from)?;
        let size = match quantity::parse(&text, Unit::Bytes) {
            Some((bytes, Unit::Bytes)) if bytes >= 1_048_576.0 => Some(Size(bytes as u64)),
            _ => None,
        };
        size.ok_or_else(|| {
            let meant = quantity::meant(&text, Unit::Bytes);
            let meant = meant.map_or(String::new(), |it| format!(": write \"{it}\""));
            serde::de::Error::custom(format!("\"{text}\" is no size of at least 1MiB{meant}"))
        })
    }
}

impl schemars::JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "title": "size" })
    }
}

/// What is wrong with a table: the key to point at, and the message.
type Wrong = (&'static str, String);

impl Group {
    /// # Errors
    /// The key that is wrong, and how.
    pub fn plan(self) -> Result<plan::Group, Wrong> {
        if self.members.is_empty() {
            return Err(("members", "a group without members is never up".to_owned()));
        }
        let default = || "100%,1".parse::<Limits<Up>>();
        Ok(plan::Group {
            label: self.label.unwrap_or_else(|| name::label(&self.name)),
            name: self.name,
            members: self.members,
            up: self.up.map_or_else(default, Ok).map_err(|it| ("up", it))?,
            least: self.counts.unwrap_or(State::Warning),
            tags: self.tags.unwrap_or_default(),
            at_most: self.at_most,
            owner: self.owner,
            action: self.action,
            runbook: self.runbook,
        })
    }
}

impl Window {
    /// # Errors
    /// The key that is wrong, and how.
    pub fn plan(self) -> Result<plan::Window, Wrong> {
        let once = (self.from, self.until);
        let when = match (self.when, self.hours, once) {
            (Some(List(spans)), None, (None, None)) => When::During(spans),
            (None, Some(List(spans)), (None, None)) => When::Outside(spans),
            (None, None, (Some(from), Some(until))) => {
                let from = moment(&from).map_err(|it| ("from", it))?;
                let until = moment(&until).map_err(|it| ("until", it))?;
                match from < until {
                    true => When::Once(from, until),
                    false => return Err(("until", "it ends before it begins".to_owned())),
                }
            }
            _ => {
                let message = "expected `when`, or `hours`, or `from` and `until`";
                return Err(("name", message.to_owned()));
            }
        };
        let zone = self.zone.map(|it| zone(&it)).transpose();
        Ok(plan::Window {
            name: self.name,
            when,
            zone: zone.map_err(|it| ("zone", it))?,
            matches: self.matches.map(|it| it.0).unwrap_or_default(),
            at_most: self.at_most.unwrap_or(State::Ok),
        })
    }
}

fn moment(text: &str) -> Result<DateTime, String> {
    let refuse = || format!("\"{text}\" is no time, expected one such as \"2026-12-24 18:00\"");
    // A day alone would be read as its first moment, which nobody means as an end.
    match text.contains(':') {
        true => text.parse().map_err(|_| refuse()),
        false => Err(refuse()),
    }
}

/// Abbreviations that people take for zones, though most are not unique and none follows the summer's clock.
const ABBREVIATIONS: [(&str, &str); 14] = [
    ("JST", "Asia/Tokyo"),
    ("KST", "Asia/Seoul"),
    ("IST", "Asia/Kolkata"),
    ("SGT", "Asia/Singapore"),
    ("HKT", "Asia/Hong_Kong"),
    ("CEST", "Europe/Berlin"),
    ("BST", "Europe/London"),
    ("MSK", "Europe/Moscow"),
    ("EDT", "America/New_York"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("AEST", "Australia/Sydney"),
];

fn zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| {
        let known: Vec<String> = jiff::tz::db()
            .available()
            .map(|it| it.to_string())
            .collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        if known.is_empty() {
            return format!("\"{text}\" is not known: this machine has no time zones (tzdata)");
        }
        let abbreviation = ABBREVIATIONS
            .iter()
            .find(|it| it.0.eq_ignore_ascii_case(text));
        let city = text.replace(' ', "_");
        let of_city = |it: &&&str| {
            it.rsplit('/')
                .next()
                .is_some_and(|it| it.eq_ignore_ascii_case(&city))
        };
        // Short words are abbreviations, which are near to others by chance.
        let near = match text.len() {
            0..5 => None,
            _ => name::nearest(text, known.iter().copied()),
        };
        let meant = abbreviation
            .map(|it| it.1)
            .or(known.iter().find(of_city).copied());
        match meant.or(near) {
            Some(near) => format!("\"{text}\" is no time zone, did you mean \"{near}\"?"),
            None => format!("\"{text}\" is no time zone, expected one such as \"Asia/Tokyo\""),
        }
    })
}
