//! One JSON document with everything; its schema is printed by `koshu schema report`.

use crate::format::{Failure, Format, Style, headline, nagios};
use crate::model::duration::since_1970;
use crate::model::metric::Metric;
use crate::model::report::{Entry, Part, Report};
use crate::model::state::State;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::SystemTime;

/// One run of koshu. A run that could not begin has `error` and no checks.
#[derive(Serialize, JsonSchema)]
pub struct Document {
    /// The version of this document's shape: 1.
    version: u8,
    /// The name of the machine that ran the checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// The worst state: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    state: u8,
    /// What a person should read first: the first line of the nagios format without its state and perfdata.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    /// When the run began, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<f64>,
    /// How long the run took, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    /// Why no check was run, or why the run was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Where the list came from, when that is not what was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// What else is to be said of the run, as of a history that cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<String>,
    /// What has changed since the run before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    news: Vec<String>,
    /// The checks in the order of the list, then the groups, whose type is `group`.
    checks: Vec<Check>,
}

/// One check.
#[derive(Serialize, JsonSchema)]
struct Check {
    /// Unique and stable.
    name: String,
    /// The name in `[A-Za-z0-9_.-]`, as perfdata has it; unique and stable, too.
    label: String,
    #[serde(rename = "type")]
    kind: String,
    /// 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, after triage.
    state: u8,
    /// What it saw, where triage makes something else of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_state: Option<u8>,
    /// The check or group because of which it says nothing and does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_by: Option<String>,
    /// The group through which it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    member_of: Option<String>,
    /// The checks that say nothing because of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<String>,
    /// Since when it has this state, in seconds since 1970, where history knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<f64>,
    /// What it was before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<u8>,
    /// When it was last OK, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_ok: Option<f64>,
    /// One line: the faults, worst first, or the facts.
    summary: String,
    /// More lines.
    details: Vec<String>,
    findings: Vec<Finding>,
    /// Metrics by their label.
    perf: BTreeMap<String, Perf>,
    /// How long the check took, in seconds.
    duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// What to do now.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    /// Where it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<String>,
}

/// A fault, or a note when its state is 0.
#[derive(Serialize, JsonSchema)]
struct Finding {
    /// Stable, in kebab-case.
    code: String,
    state: u8,
    text: String,
}

/// A measured value; numbers that are not finite are null.
#[derive(Serialize, JsonSchema)]
struct Perf {
    #[serde(serialize_with = "finite")]
    value: Option<f64>,
    /// `s`, `B`, `%` or empty; of a wrapped plugin, whatever it prints.
    unit: String,
    /// The Nagios range that judged it.
    warn: Option<String>,
    crit: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
}

fn finite<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
    value.filter(|it| it.is_finite()).serialize(to)
}

pub fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    let document = Document {
        version: 1,
        host: Some(report.host.clone()),
        state: report.state().code(),
        summary: Some(headline::text(report, nagios::TEXT)),
        time: Some(unix(report.at)),
        duration: Some(milli(report.took.as_secs_f64())),
        error: report.stopped.clone(),
        origin: report.origin.clone(),
        remarks: report.remarks.clone(),
        news: report.news(),
        checks: report.entries.iter().map(check).collect(),
    };
    serde_json::to_writer(&mut *to, &document)?;
    writeln!(to)
}

pub fn fail(_: &Format, failure: &Failure, to: &mut dyn Write) -> io::Result<()> {
    let document = Document {
        version: 1,
        host: None,
        state: State::Unknown.code(),
        summary: Some(failure.text.clone()),
        time: None,
        duration: None,
        error: Some(
            format!("{}\n{}", failure.text, failure.details)
                .trim_end()
                .to_owned(),
        ),
        origin: None,
        remarks: Vec::new(),
        news: Vec::new(),
        checks: Vec::new(),
    };
    serde_json::to_writer(&mut *to, &document)?;
    writeln!(to)
}

/// Seconds since 1970.
fn unix(at: SystemTime) -> f64 {
    milli(since_1970(at).as_secs_f64())
}

fn milli(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

fn check(entry: &Entry) -> Check {
    let findings = entry.outcome.findings().iter().map(|it| Finding {
        code: it.code.clone(),
        state: it.state.code(),
        text: it.text.clone(),
    });
    let perf = entry
        .outcome
        .metrics()
        .iter()
        .map(|it| (it.label.clone(), perf(it)));
    Check {
        name: entry.name.clone(),
        label: entry.label.clone(),
        kind: entry.kind.to_owned(),
        state: entry.state().code(),
        raw_state: Some(entry.outcome.state())
            .filter(|it| *it != entry.state())
            .map(State::code),
        blocked_by: match &entry.part {
            Part::Blocked(cause) => Some(cause.clone()),
            _ => None,
        },
        member_of: match &entry.part {
            Part::Member(group) => Some(group.clone()),
            _ => None,
        },
        blocks: entry.behind.clone(),
        since: entry.standing.as_ref().map(|it| unix(it.since)),
        before: entry
            .standing
            .as_ref()
            .and_then(|it| Some(it.before?.code())),
        last_ok: entry.standing.as_ref().and_then(|it| it.last_ok.map(unix)),
        summary: entry.line(),
        details: entry.lines(),
        findings: findings.collect(),
        perf: perf.collect(),
        duration: milli(entry.took.as_secs_f64()),
        owner: entry.owner.clone(),
        action: entry.action.clone(),
        runbook: entry.runbook.clone(),
    }
}

fn perf(metric: &Metric) -> Perf {
    let range = |ranges: &[_]| Metric::shown(ranges).map(|it| it.to_string());
    Perf {
        value: Some(metric.value),
        unit: metric.unit_symbol().to_owned(),
        warn: range(&metric.limits.warn),
        crit: range(&metric.limits.crit),
        min: metric.min,
        max: metric.max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::sample;

    #[test]
    fn renders_the_sample() {
        let mut bytes = Vec::new();
        write(&sample::report(), &Style::default(), &mut bytes).expect("a vector");
        let text = String::from_utf8(bytes)
            .expect("UTF-8")
            .replace("},{\"name", "},\n{\"name");
        insta::assert_snapshot!(text, @r###"
        {"version":1,"host":"box1","state":2,"summary":"ルーター: 192.0.2.1:22 refused; 1 UNKNOWN: db; 1 WARNING: disk /var; 1 OK","time":1790000000.0,"duration":0.345,"checks":[{"name":"web","label":"web","type":"http","state":0,"summary":"HTTP 200, 1256 bytes in 0.112 s","details":[],"findings":[],"perf":{"time":{"value":0.112,"unit":"s","warn":"1","crit":"3","min":0.0,"max":null}},"duration":0.12},
        {"name":"disk /var","label":"disk__var","type":"disk","state":1,"summary":"/var: 91% used","details":["2 file systems, fullest /var: 91% used","/: 40% used"],"findings":[{"code":"used","state":1,"text":"/var: 91% used"}],"perf":{"used":{"value":91.0,"unit":"B","warn":"80","crit":"95","min":0.0,"max":100.0}},"duration":0.12},
        {"name":"ルーター","label":"0472c6","type":"tcp","state":2,"summary":"192.0.2.1:22 refused","details":[],"findings":[{"code":"refused","state":2,"text":"192.0.2.1:22 refused"}],"perf":{},"duration":0.12,"owner":"network team","action":"power-cycle outlet 7","runbook":"https://wiki.example.jp/router"},
        {"name":"db","label":"db","type":"process","state":3,"summary":"cannot read ¦ <b>&\"']]>","details":["permission denied"],"findings":[{"code":"unknown","state":3,"text":"cannot read ¦ <b>&\"']]>"}],"perf":{},"duration":0.12}]}
        "###);
    }
}
