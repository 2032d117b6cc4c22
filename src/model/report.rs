//! All outcomes of one run after triage; its state is the exit code.

use crate::model::metric::Usual;
use crate::model::outcome::Outcome;
use crate::model::quantity;
use crate::model::standing::Standing;
use crate::model::state::State;
use std::time::{Duration, SystemTime};

/// What the looks at one check gave.
#[derive(Clone, Debug)]
pub struct Looked {
    pub outcome: Outcome,
    pub took: Duration,
    /// How long ago that was, when it is an answer of an earlier run.
    pub age: Option<Duration>,
}

/// What a run gave before triage: one entry for each job, in their order.
#[derive(Clone, Debug)]
pub struct Ran {
    pub looked: Vec<Looked>,
    pub took: Duration,
    /// Why it ended before its time.
    pub stopped: Option<String>,
}

/// The type of what koshu says of itself, which is no check.
pub const KOSHU: &str = "koshu";

/// The type of checks that are judged together.
pub const GROUP: &str = "group";

/// One check's outcome with its name and what a person needs to act on it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    /// What the name becomes in perfdata.
    pub label: String,
    /// The type's name.
    pub kind: &'static str,
    /// The metrics that this type usually has, so that a budget need not look at states.
    pub usual_metrics: &'static [Usual],
    pub outcome: Outcome,
    /// What it is to a person, after triage.
    pub state: State,
    /// How it counts.
    pub part: Part,
    /// What triage has to say before its line: "in maintenance until Sun 04:00".
    pub remarks: Vec<String>,
    /// Names of those that say nothing because of it.
    pub behind: Vec<String>,
    /// How it stands with this run; without history it is not known.
    pub standing: Option<Standing>,
    /// What it was in the run before, when that was something else.
    pub was: Option<State>,
    /// How long the looks took, waits between them included.
    pub took: Duration,
    /// How long ago it was looked at, when that was in an earlier run.
    pub age: Option<Duration>,
    pub owner: Option<String>,
    /// What to do now, one sentence.
    pub action: Option<String>,
    /// Where it is written.
    pub runbook: Option<String>,
}

/// How an entry counts in the report.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// By itself.
    Own,
    /// Through a group of this name, which names it.
    Member(String),
    /// Not at all, because it needs what is called so, and that is down.
    Blocked(String),
}

impl Entry {
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether it fails, but nobody need act on it now.
    pub fn is_tolerated(&self) -> bool {
        self.state == State::Ok && self.outcome.state() != State::Ok
    }

    /// Whether a person should see more of it than that it is counted: it fails, or some of it does.
    pub fn is_shown(&self) -> bool {
        // What a group says below its line is which of its members are not OK.
        let has_bad_member = self.kind == GROUP && !self.outcome.lines().is_empty();
        self.state != State::Ok || self.is_tolerated() || has_bad_member
    }

    /// Its one line, with what triage says of it.
    pub fn line(&self) -> String {
        let mut line = self.remarks.join(", ");
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&self.outcome.line());
        match self.behind.len() {
            0 => line,
            1 => format!("{line} (1 check behind it blocked)"),
            count => format!("{line} ({count} checks behind it blocked)"),
        }
    }

    /// What else there is to know, apart from the table.
    pub fn texts(&self) -> Vec<String> {
        let mut texts = self.outcome.texts();
        texts.extend(self.blocked());
        texts.extend(self.history());
        texts
    }

    /// What else there is to know.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.outcome.lines();
        lines.extend(self.blocked());
        lines.extend(self.history());
        lines
    }

    /// "CRITICAL for 3 h, OK before; last OK 3 h 5 min ago", of what is not OK and has been seen before.
    fn history(&self) -> Option<String> {
        let it = self.standing.as_ref().filter(|it| it.state != State::Ok)?;
        let ago = |then: SystemTime| {
            let time = it.at.duration_since(then).unwrap_or_default();
            quantity::seconds(time.as_secs_f64().round())
        };
        let before = it.before?;
        let since = match it.since == it.at {
            true => format!("{} only now, {} before", it.state.word(), before.word()),
            false => format!(
                "{} for {}, {} before",
                it.state.word(),
                ago(it.since),
                before.word()
            ),
        };
        Some(match it.last_ok {
            Some(last) => format!("{since}; last OK {} ago", ago(last)),
            None => format!("{since}; never OK as far as history goes back"),
        })
    }

    fn blocked(&self) -> Option<String> {
        (!self.behind.is_empty()).then(|| format!("blocked: {}", self.behind.join(", ")))
    }
}

/// One run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The name of this machine.
    pub host: String,
    pub at: SystemTime,
    pub took: Duration,
    /// In the order of the list.
    pub entries: Vec<Entry>,
    /// Indices of the entries that count by themselves, what needs a person first.
    pub order: Vec<usize>,
    /// Where the list came from, when that is not what was asked for.
    pub origin: Option<String>,
    /// What else is to be said of the run, as of a history that cannot be used.
    pub remarks: Vec<String>,
    /// Why the run ended before its time.
    pub stopped: Option<String>,
}

impl Report {
    /// The worst state; a run that checked nothing or was stopped is UNKNOWN.
    pub fn state(&self) -> State {
        match self.stopped.is_some() || self.entries.is_empty() {
            true => State::Unknown,
            false => self
                .worst_first()
                .fold(State::Ok, |worst, it| worst.worst(it.state())),
        }
    }

    /// The entries that count by themselves, what needs a person first.
    pub fn worst_first(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().map(|index| &self.entries[*index])
    }

    /// What has changed since the run before, what needs a person first: "router-b: CRITICAL, was OK". What is
    /// judged through a group or blocked has no news of its own.
    pub fn news(&self) -> Vec<String> {
        // An answer of an earlier run was news then.
        let fresh = self.worst_first().filter(|it| it.age.is_none());
        let news = fresh.filter_map(|it| {
            let standing = it.standing.as_ref()?;
            let first = standing.before.is_none() && standing.since == standing.at;
            let word = it.state.word();
            match it.was {
                Some(was) => Some(format!("{}: {word}, was {}", it.name, was.word())),
                None if first && it.state != State::Ok => {
                    Some(format!("{}: {word}, not seen before", it.name))
                }
                None => None,
            }
        });
        news.collect()
    }

    /// What is to be said of the run itself beside its checks, where a format has no summary to say it in.
    pub fn asides(&self) -> impl Iterator<Item = &String> {
        let all = self.origin.iter().chain(&self.remarks);
        all.filter(|_| !self.entries.is_empty())
    }

    /// The entries of one state, what needs a person first.
    pub fn of(&self, state: State) -> Vec<&Entry> {
        self.worst_first()
            .filter(|it| it.state() == state)
            .collect()
    }
}

#[cfg(test)]
pub mod sample {
    use super::*;
    use crate::model::limits::Judges;
    use crate::model::metric::Metric;
    use crate::model::quantity::Unit;
    use crate::model::range::Range;

    /// The one report that every format renders in its test.
    pub fn report() -> Report {
        let entry = |name: &str, kind: &'static str, outcome: Outcome| Entry {
            name: name.to_owned(),
            label: crate::model::name::label(name),
            kind,
            usual_metrics: &[],
            state: outcome.state(),
            part: Part::Own,
            remarks: vec![],
            behind: vec![],
            standing: None,
            was: None,
            outcome,
            took: Duration::from_millis(120),
            age: None,
            owner: None,
            action: None,
            runbook: None,
        };
        let mut web = Outcome::new("HTTP 200, 1256 bytes in 0.112 s");
        web.measure(
            Metric::new("time", 0.112, Unit::Seconds).judged(Judges {
                warn: vec![Range::up_to(1.0)],
                crit: vec![Range::up_to(3.0)],
            }),
            "slow",
        );
        let mut disk = Outcome::new("2 file systems, fullest /var: 91% used");
        disk.measure(
            Metric::new("used", 91.0, Unit::Bytes)
                .judged(Judges {
                    warn: vec![Range::up_to(80.0)],
                    crit: vec![Range::up_to(95.0)],
                })
                .max(100.0),
            "/var: 91% used",
        );
        disk.detail("/: 40% used");
        let router = Outcome::of("refused", State::Critical, "192.0.2.1:22 refused");
        let mut db = Outcome::of("unknown", State::Unknown, "cannot read | <b>&\"']]>");
        db.detail("permission denied");
        let mut entries = vec![
            entry("web", "http", web),
            entry("disk /var", "disk", disk),
            entry("ルーター", "tcp", router),
            entry("db", "process", db),
        ];
        entries[2].owner = Some("network team".to_owned());
        entries[2].action = Some("power-cycle outlet 7".to_owned());
        entries[2].runbook = Some("https://wiki.example.jp/router".to_owned());
        Report {
            host: "box1".to_owned(),
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
            took: Duration::from_millis(345),
            entries,
            order: vec![2, 3, 1, 0],
            origin: None,
            remarks: Vec::new(),
            stopped: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_checked_nothing_is_unknown() {
        let mut report = sample::report();
        assert_eq!(report.state(), State::Critical);
        report.entries.clear();
        report.order.clear();
        assert_eq!(report.state(), State::Unknown);
    }
}
