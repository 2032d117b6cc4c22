//! `users`: who is logged in.

use crate::check::{Check, Context, Type};
use crate::host::sessions::{self, Session};
use crate::model::limits::{Count, Limits};
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::Unit;
use serde::Deserialize;
use std::collections::BTreeMap;

pub const TYPE: Type = Type::of::<Users>(
    "users",
    &[],
    include_str!("../../checks/users.toml"),
    &[("count", Unit::None)],
    &[CODES],
);

const CODES: &[Code] = &[code(
    "count",
    "by limits",
    "More or fewer people are logged in than `count` allows: the details say who, and from where.",
)];

/// People who are logged in, as logind or utmp tells; without limits it only counts.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Users {
    /// Limits of the number of sessions: `"~:5,~:20"`.
    count: Option<Limits<Count>>,
}

impl Check for Users {
    fn run(&self, _: &Context) -> anyhow::Result<Outcome> {
        let (sessions, source) = sessions::read()?;
        Ok(self.judge(&sessions, source))
    }
}

impl Users {
    fn judge(&self, sessions: &[Session], source: &str) -> Outcome {
        let mut of: BTreeMap<&str, usize> = BTreeMap::new();
        sessions
            .iter()
            .for_each(|it| *of.entry(&it.user).or_default() += 1);
        let names = of.iter().map(|(user, count)| match count {
            1 => (*user).to_owned(),
            _ => format!("{user} ({count})"),
        });
        let names: Vec<String> = names.collect();
        let count = match sessions.len() {
            0 => "nobody is logged in".to_owned(),
            1 => format!("1 session: {}", names.join(", ")),
            count => format!("{count} sessions: {}", names.join(", ")),
        };
        let mut outcome = Outcome::new(&format!("{count} ({source})"));
        let metric = Metric::new("count", sessions.len() as f64, Unit::None);
        outcome.measure(metric.judged(Limits::maybe(&self.count, 0.0)), &count);
        for it in sessions {
            let from = match it.from.as_str() {
                "" => String::new(),
                from => format!(" from {from}"),
            };
            outcome.detail(&format!("{} on {}{from}", it.user, it.line));
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::state::State;

    #[test]
    fn everybody_is_counted_and_named() {
        let session = |user: &str, from: &str| Session {
            user: user.to_owned(),
            line: "pts/0".to_owned(),
            from: from.to_owned(),
        };
        let check: Users = toml::from_str("count = '~:1,~:5'").expect("a users check");
        let sessions = [
            session("anna", ""),
            session("bert", "192.0.2.7"),
            session("anna", ""),
        ];
        let outcome = check.judge(&sessions, "utmp");
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "3 sessions: anna (2), bert");
        assert!(
            outcome
                .lines()
                .contains(&"bert on pts/0 from 192.0.2.7".to_owned())
        );
        assert_eq!(
            check.judge(&[], "utmp").line(),
            "nobody is logged in (utmp)"
        );
    }
}
