//! Values for Zabbix trapper items, as lines for `zabbix_sender -T -i -`: what there is, and then its states, texts and
//! metrics.

use crate::format::Style;
use crate::format::passive::{self, Passive, SUMMARY};
use crate::model::range::Number;
use crate::model::report::Report;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::SystemTime;

/// The most bytes of a text item's value, in characters at least as many.
const MOST: usize = 65_535;

/// A value of an item.
#[derive(Debug, PartialEq)]
pub struct Sample {
    pub key: String,
    pub value: String,
}

pub fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    let at = seconds(report);
    for Sample { key, value } in samples(report, &passive::all(report)) {
        writeln!(
            to,
            "{} {} {at} {}",
            quoted(&report.host),
            quoted(&key),
            quoted(&value)
        )?;
    }
    Ok(())
}

/// The time of a run in seconds since 1970.
pub fn seconds(report: &Report) -> u64 {
    let since = report.at.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// What is discovered of a report, and the values of some of its results.
pub fn samples(report: &Report, results: &[Passive]) -> Vec<Sample> {
    let all = passive::all(report);
    let checks = || all.iter().filter(|it| it.name != SUMMARY);
    let found: Vec<Value> = checks()
        .map(|it| json!({ "{#NAME}": it.name, "{#TYPE}": it.kind }))
        .collect();
    let metrics: Vec<Value> = checks()
        .flat_map(|check| {
            check.metrics.iter().map(|it| {
                json!({ "{#NAME}": check.name, "{#METRIC}": it.label, "{#UNIT}": it.unit_symbol() })
            })
        })
        .collect();
    let sample = |key: String, value: String| Sample { key, value };
    let mut samples = vec![
        sample("koshu.checks".to_owned(), Value::from(found).to_string()),
        sample("koshu.metrics".to_owned(), Value::from(metrics).to_string()),
    ];
    for it in results {
        let name = parameter(it.name);
        samples.push(sample(
            format!("koshu.state[{name}]"),
            it.state.code().to_string(),
        ));
        samples.push(sample(format!("koshu.text[{name}]"), it.long_text(MOST)));
        for metric in &it.metrics {
            let label = parameter(&metric.label);
            samples.push(sample(
                format!("koshu.metric[{name},{label}]"),
                Number(metric.value).to_string(),
            ));
        }
    }
    samples
}

/// A parameter of an item key, quoted where it must be and only there, because the key of a discovered item is
/// made so too, and keys are compared as texts.
fn parameter(text: &str) -> String {
    let quoted = text.starts_with(['"', ' ', '[']) || text.contains([',', ']']);
    match quoted {
        // A backslash before the closing quote would quote it.
        true => format!("\"{}\"", text.trim_end_matches('\\').replace('"', "\\\"")),
        false => text.to_owned(),
    }
}

/// A word of a line for zabbix_sender.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_quoted_only_where_they_must_be() {
        assert_eq!(parameter("disk /var"), "disk /var");
        assert_eq!(parameter("a, \"b\"]"), "\"a, \\\"b\\\"]\"");
        assert_eq!(parameter("古酒 'x'"), "古酒 'x'");
    }
}
