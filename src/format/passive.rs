//! What engines that know services take from one run: a summary, and one result for each check and group.

use crate::format::{headline, nagios};
use crate::model::metric::Metric;
use crate::model::name;
use crate::model::quantity::Unit;
use crate::model::report::{Entry, Part, Report};
use crate::model::state::State;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// The name of the summary; no check may be called so.
pub const SUMMARY: &str = "koshu";

/// One result as a service has it.
pub struct Passive<'r> {
    /// The service's name, which is that of the check.
    pub name: &'r str,
    /// The name in `[A-Za-z0-9_.-]`.
    pub label: &'r str,
    /// The type of the check, `group`, or `summary`.
    pub kind: &'r str,
    /// What is blocked is UNKNOWN: nobody can tell while its cause is down.
    pub state: State,
    /// "CRITICAL - 192.0.2.1:22 refused", on one line.
    pub text: String,
    /// More lines, none of them empty.
    pub details: Vec<String>,
    /// Those that have a value, each label once.
    pub metrics: Vec<Metric>,
    pub took: Duration,
    /// Whether it is another than in the run before; where nobody knows, it is.
    pub is_news: bool,
    /// Whether it says nothing of itself, because something that it needs is down.
    pub is_blocked: bool,
}

/// The summary and then every check and group, in the order of the list.
pub fn all(report: &Report) -> Vec<Passive<'_>> {
    let entries: Vec<Passive> = report.entries.iter().map(of).collect();
    let is_news = entries.is_empty() || entries.iter().any(|it| it.is_news);
    let mut all = vec![summary(report, is_news)];
    all.extend(entries);
    all
}

/// Every check and group; the summary only stands for a run that has none to tell of.
pub fn checks(report: &Report) -> Vec<Passive<'_>> {
    let mut all = all(report);
    if all.len() > 1 {
        all.remove(0);
    }
    all
}

fn summary(report: &Report, is_news: bool) -> Passive<'_> {
    let state = report.state();
    let of = |it: State| report.of(it).len();
    let counts = State::BY_BADNESS.map(|it| (it.word().to_lowercase(), of(it)));
    let counts = counts
        .into_iter()
        .map(|(label, count)| Metric::new(label, count as f64, Unit::None));
    let time = Metric::new("time", report.took.as_secs_f64(), Unit::Seconds);
    let mut details = nagios::body(report, usize::MAX);
    details.extend(report.remarks.iter().cloned());
    Passive {
        name: SUMMARY,
        label: SUMMARY,
        kind: "summary",
        state,
        text: line(state, |room| headline::text(report, room)),
        details,
        metrics: counts.chain([time]).collect(),
        took: report.took,
        is_news,
        is_blocked: false,
    }
}

fn of(entry: &Entry) -> Passive<'_> {
    let cause = match &entry.part {
        Part::Blocked(cause) => Some(cause),
        _ => None,
    };
    let state = cause.map_or(entry.state(), |_| State::Unknown);
    let said = match cause {
        Some(cause) => format!("blocked by {cause}: {}", entry.line()),
        None => entry.line(),
    };
    let standing = entry.standing.as_ref();
    let is_news = standing.is_none_or(|it| entry.age.is_none() && it.since == it.at);
    // A plugin may print a label twice; most engines refuse the whole result then.
    let mut labels = HashSet::new();
    let metrics = entry.outcome.metrics().iter();
    let metrics = metrics.filter(|it| it.value.is_finite() && labels.insert(&it.label));
    let metrics = metrics.cloned().collect();
    Passive {
        name: &entry.name,
        label: &entry.label,
        kind: entry.kind,
        state,
        text: line(state, |room| crate::model::text::fit(&said, room)),
        details: nagios::below(entry),
        metrics,
        took: entry.took,
        is_news,
        is_blocked: cause.is_some(),
    }
}

/// The state word and a text for the room that is left beside it.
fn line(state: State, text: impl Fn(usize) -> String) -> String {
    let word = state.word();
    format!("{word} - {}", text(nagios::TEXT - word.len() - 3))
}

/// A first line and as many more as fit into `most` bytes.
fn with_lines(first: String, more: Vec<String>, most: usize) -> String {
    let more = nagios::within(more, most.saturating_sub(first.len() + 1));
    more.iter().fold(first, |text, line| text + "\n" + line)
}

impl Passive<'_> {
    /// Text, perfdata and details as a plugin prints them, in at most `most` bytes: whole items and lines, what
    /// does not fit counted.
    pub fn output(&self, most: usize) -> String {
        let mut first = self.text.clone();
        let mut left_out = 0;
        let mut bar = " | ";
        for item in self.perfdata() {
            // Room is kept to say that there is more.
            match first.len() + bar.len() + item.len() + 80 <= most {
                true => {
                    first.push_str(bar);
                    first.push_str(&item);
                    bar = " ";
                }
                false => left_out += 1,
            }
        }
        let mut lines = self.details.clone();
        if left_out > 0 {
            lines.insert(0, format!("perfdata: {}", nagios::do_not_fit(left_out)));
        }
        with_lines(first, lines, most)
    }

    /// Text and details alone, as [`Passive::output`].
    pub fn long_text(&self, most: usize) -> String {
        with_lines(self.text.clone(), self.details.clone(), most)
    }

    /// Every metric with its label in `[A-Za-z0-9_.-]`, each label once: a plugin's that become the same get a hash.
    pub fn labelled(&self) -> Vec<(String, &Metric)> {
        let plain = self.metrics.iter().map(|it| (name::label(&it.label), it));
        let plain: Vec<(String, &Metric)> = plain.collect();
        let mut counts: HashMap<String, u32> = HashMap::new();
        for (label, _) in &plain {
            *counts.entry(label.clone()).or_default() += 1;
        }
        let apart =
            plain.into_iter().map(
                |(label, it)| match counts[&label] > 1 && label != it.label {
                    true => (name::hashed(&label, &it.label), it),
                    false => (label, it),
                },
            );
        apart.collect()
    }

    /// Every metric as perfdata has it.
    pub fn perfdata(&self) -> Vec<String> {
        self.metrics.iter().map(|it| it.perfdata("")).collect()
    }
}

/// A service's name as Nagios allows it: its configuration refuses these characters in names by default
/// (`illegal_object_name_chars`), and `;` ends a field of a command.
pub fn nagios_name(name: &str) -> String {
    name.replace(|c: char| "`~!$%^&*|'\"<>?,()=;".contains(c), "_")
}
