//! What one check has to say: a line, more lines, measurements and faults. Flat by intent.

use crate::model::mask::Mask;
use crate::model::metric::Metric;
use crate::model::perfdata;
use crate::model::state::State;
use crate::model::text;

/// The code of a check that did not answer in time; its state is the check's `late` key.
pub const LATE: &str = "late";
/// The code of something that grows and will be full soon.
pub const FULL_IN: &str = "full-in";
/// The code of a check that could not look.
pub const UNKNOWN: &str = "unknown";

/// A code that a type of check can report, as `koshu explain` tells it.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub code: &'static str,
    /// The state it has unless `grade` says otherwise; limits give their own.
    pub state: &'static str,
    /// When it is reported, and what to do about it.
    pub meaning: &'static str,
}

/// A row of a table of codes.
pub const fn code(code: &'static str, state: &'static str, meaning: &'static str) -> Code {
    Code {
        code,
        state,
        meaning,
    }
}

/// A fault, or a note when its state is OK, with a stable kebab-case code that `grade` can re-grade.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub code: String,
    pub state: State,
    /// One line that names the culprit.
    pub text: String,
}

/// Rows of which each says the same of another thing; a format without tables makes lines of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub head: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// "FIRST: HEAD SECOND, HEAD THIRD", empty cells left out.
    fn lines(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|row| {
            let cells = self.head.iter().zip(row).skip(1);
            let cells = cells.filter(|(_, cell)| !cell.is_empty());
            let cells: Vec<String> = cells.map(|(head, it)| format!("{head} {it}")).collect();
            let first = row.first().map_or("", String::as_str);
            format!("{first}: {}", cells.join(", "))
        })
    }
}

/// What one look at one thing gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The facts in one line; what is said when nothing is wrong.
    summary: String,
    details: Vec<String>,
    table: Option<Table>,
    metrics: Vec<Metric>,
    findings: Vec<Finding>,
    memory: Option<serde_json::Value>,
}

impl Outcome {
    /// Facts without fault; all text is made harmless here and in the other methods.
    pub fn new(summary: &str) -> Outcome {
        Outcome {
            summary: text::clean(&text::without_userinfo(summary)),
            ..Outcome::default()
        }
    }

    /// The same with these facts, for what is looked at piece by piece.
    pub fn with_facts(self, summary: &str) -> Outcome {
        Outcome {
            summary: text::clean(&text::without_userinfo(summary)),
            ..self
        }
    }

    /// A single finding that says all there is to say.
    pub fn of(code: &str, state: State, text: &str) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.find(code, state, text);
        outcome
    }

    /// The check did not answer in time; `seen` says how far it came.
    pub fn late(seen: &str) -> Outcome {
        Outcome::of(LATE, State::Critical, seen)
    }

    /// Adds a line below the first.
    pub fn detail(&mut self, line: &str) {
        self.details
            .push(text::clean(&text::without_userinfo(line)));
    }

    /// Sets the table; every row has a cell for each word of the head.
    pub fn tabulate(&mut self, head: &[&'static str], rows: Vec<Vec<String>>) {
        let clean = |cell: String| text::clean(&text::without_userinfo(&cell));
        let rows = rows.into_iter();
        self.table = Some(Table {
            head: head.to_vec(),
            rows: rows.map(|it| it.into_iter().map(clean).collect()).collect(),
        });
    }

    /// Keeps something for the next run of this check.
    pub fn remember(&mut self, value: serde_json::Value) {
        self.memory = Some(value);
    }

    /// All of it but its memory, to be told again later.
    pub fn to_value(&self) -> serde_json::Value {
        let findings = self.findings.iter().map(
            |it| serde_json::json!({ "code": it.code, "state": it.state.code(), "text": it.text }),
        );
        let details = self.details.iter().cloned();
        let rows = self.table.iter().flat_map(Table::lines);
        let metrics = self.metrics.iter().map(Metric::to_string);
        serde_json::json!({
            "summary": self.summary,
            "details": details.chain(rows).collect::<Vec<_>>(),
            "findings": findings.collect::<Vec<_>>(),
            "metrics": metrics.collect::<Vec<_>>(),
        })
    }

    /// What was written by [`Outcome::to_value`]; metrics stay as they were printed.
    pub fn from_value(value: &serde_json::Value) -> Option<Outcome> {
        let mut outcome = Outcome::new(value["summary"].as_str()?);
        for it in value["findings"].as_array()? {
            let state = State::of_code(it["state"].as_u64()?);
            outcome.find(it["code"].as_str()?, state, it["text"].as_str()?);
        }
        for it in value["details"].as_array()? {
            outcome.detail(it.as_str()?);
        }
        for it in value["metrics"].as_array()? {
            let (items, _) = perfdata::parse(it.as_str()?);
            outcome
                .metrics
                .extend(items.iter().filter_map(perfdata::Item::metric));
        }
        Some(outcome)
    }

    /// What the next run is to know.
    pub fn memory(&self) -> Option<&serde_json::Value> {
        self.memory.as_ref()
    }

    /// Adds a fault, or a note when the state is OK.
    pub fn find(&mut self, code: &str, state: State, line: &str) {
        self.findings.push(Finding {
            code: code.to_owned(),
            state,
            text: text::clean(&text::without_userinfo(line)),
        });
    }

    /// Adds a measurement; when its limits alarm, `line` says so under the metric's label as code.
    pub fn measure(&mut self, metric: Metric, line: &str) {
        self.measure_as(&metric.label.replace(['_', '.'], "-"), metric, line);
    }

    /// Adds a measurement whose alarm has a code of its own.
    pub fn measure_as(&mut self, code: &str, metric: Metric, line: &str) {
        match metric.state() {
            State::Ok => (),
            state => self.find(code, state, line),
        }
        self.metrics.push(metric);
    }

    /// Adds a measurement whose alarm, if any, is a finding already.
    pub fn note(&mut self, metric: Metric) {
        self.metrics.push(metric);
    }

    /// Adds to the text of every finding of this code.
    pub fn append(&mut self, code: &str, more: &str) {
        for finding in self.findings.iter_mut().filter(|it| it.code == code) {
            finding.text.push_str(more);
        }
    }

    /// Gives every finding of this code another state.
    pub fn regrade(&mut self, code: &str, state: State) {
        for finding in self.findings.iter_mut().filter(|it| it.code == code) {
            finding.state = state;
        }
    }

    /// Hides the secrets that its text gives back; codes, labels and numbers stay as they are.
    pub fn hide(&mut self, mask: &Mask) {
        let findings = self.findings.iter_mut().map(|it| &mut it.text);
        let rows = self
            .table
            .iter_mut()
            .flat_map(|it| it.rows.iter_mut().flatten());
        let texts = self.details.iter_mut().chain(findings).chain(rows);
        for text in texts.chain([&mut self.summary]) {
            if let Some(hidden) = mask.hide(text) {
                *text = hidden;
            }
        }
    }

    /// The worst state of all findings.
    pub fn state(&self) -> State {
        self.findings
            .iter()
            .fold(State::Ok, |worst, it| worst.worst(it.state))
    }

    /// The first line: the faults, worst first, or the facts when there is none.
    pub fn line(&self) -> String {
        let mut faults: Vec<&Finding> = self
            .findings
            .iter()
            .filter(|it| it.state != State::Ok)
            .collect();
        faults.sort_by_key(|it| std::cmp::Reverse(it.state.badness()));
        match faults[..] {
            // What is re-graded to OK may be all there is.
            [] if self.summary.is_empty() => {
                let notes: Vec<&str> = self.findings.iter().map(|it| it.text.as_str()).collect();
                notes.join("; ")
            }
            [] => self.summary.clone(),
            _ => {
                let texts: Vec<&str> = faults.iter().map(|it| it.text.as_str()).collect();
                texts.join("; ")
            }
        }
    }

    /// What else there is to know: the facts when the first line has the faults, notes, details, rows.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.texts();
        lines.extend(self.table.iter().flat_map(Table::lines));
        lines
    }

    pub fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// What else there is to know, apart from the table.
    pub fn texts(&self) -> Vec<String> {
        let told = self.line();
        let facts = Some(self.summary.clone()).filter(|it| !it.is_empty() && *it != told);
        let is_told = |it: &&Finding| self.summary.is_empty() && self.state() == it.state;
        let notes = self
            .findings
            .iter()
            .filter(|it| it.state == State::Ok && !is_told(it))
            .map(|it| format!("note: {}", it.text));
        facts
            .into_iter()
            .chain(notes)
            .chain(self.details.iter().cloned())
            .collect()
    }

    /// The facts alone, whatever the faults.
    pub fn facts(&self) -> &str {
        &self.summary
    }

    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::Judges;
    use crate::model::quantity::Unit;
    use crate::model::range::Range;

    #[test]
    fn the_worst_fault_stands_first() {
        let mut outcome = Outcome::new("3 of 3 looked at");
        assert_eq!(outcome.line(), "3 of 3 looked at");
        outcome.find("small", State::Warning, "a little");
        outcome.find("note", State::Ok, "by the way");
        outcome.find("large", State::Critical, "a lot");
        assert_eq!(outcome.state(), State::Critical);
        assert_eq!(outcome.line(), "a lot; a little");
        assert_eq!(outcome.lines(), ["3 of 3 looked at", "note: by the way"]);
    }

    #[test]
    fn regrading_changes_state_and_line() {
        let mut outcome = Outcome::of("lame", State::Critical, "ns1 is lame");
        outcome.regrade("lame", State::Ok);
        assert_eq!(outcome.state(), State::Ok);
        assert_eq!(outcome.line(), "ns1 is lame", "no line is empty");
        assert!(outcome.lines().is_empty());
    }

    #[test]
    fn a_metric_over_its_limit_is_a_finding() {
        let mut outcome = Outcome::new("fine");
        let metric = Metric::new("full_in", 9.0, Unit::Seconds).judged(Judges {
            warn: vec![],
            crit: vec![Range::up_to(5.0)],
        });
        outcome.measure(metric, "9 s is too long");
        assert_eq!(outcome.findings()[0].code, "full-in");
        assert_eq!(outcome.state(), State::Critical);
    }

    #[test]
    fn hostile_text_is_cleaned_where_it_enters() {
        let outcome = Outcome::new("title | x=1\nnext https://u:secret@h/");
        assert_eq!(outcome.line(), "title ¦ x=1 next https://…@h/");
    }

    #[test]
    fn what_is_kept_is_told_again() {
        let mut outcome = Outcome::new("facts");
        outcome.find("slow", State::Warning, "slow | today");
        let metric = Metric::new("time", 1.5, Unit::Seconds).judged(Judges {
            warn: vec![Range::up_to(1.0)],
            crit: vec![],
        });
        outcome.measure(metric, "time is up");
        outcome.detail("more");
        outcome.tabulate(
            &["server", "says"],
            vec![vec!["ns1".to_owned(), "yes".to_owned()]],
        );
        let again = Outcome::from_value(&outcome.to_value()).expect("an outcome");
        assert_eq!(
            (again.state(), again.line()),
            (outcome.state(), outcome.line())
        );
        assert_eq!(again.lines(), outcome.lines());
        assert_eq!(again.metrics()[0].to_string(), "time=1.5s;1;;0");
        assert!(Outcome::from_value(&serde_json::json!({ "summary": 5 })).is_none());
    }
}
