//! Values for Zabbix trapper items, as lines for `zabbix_sender -T -i -`: what there is, and then its states, texts and
//! metrics.

use crate::format::Style;
use crate::format::passive::{self, Passive, SUMMARY};
use crate::model::duration::since_1970;
use crate::model::range::Number;
use crate::model::report::Report;
use serde_json::{Value, json};
use std::io::{self, Write};

/// The most bytes of a text item's value, in characters at least as many.
const MOST: usize = 65_535;

/// A value of an item.
#[derive(Debug, PartialEq)]
pub struct Sample {
    pub key: String,
    pub value: String,
}

pub fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    let at = since_1970(report.at).as_secs();
    for Sample { key, value } in samples(&passive::all(report), &|_| true) {
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

/// What is discovered of all results of a report, and the values of those that are due.
pub fn samples(all: &[Passive], is_due: &dyn Fn(&Passive) -> bool) -> Vec<Sample> {
    let checks = || all.iter().filter(|it| it.name != SUMMARY);
    let found: Vec<Value> = checks()
        .map(|it| json!({ "{#LABEL}": it.label, "{#NAME}": it.name, "{#TYPE}": it.kind }))
        .collect();
    let metrics: Vec<Value> = checks()
        .flat_map(|check| {
            check.labelled().into_iter().map(|(label, it)| {
                json!({
                    "{#LABEL}": check.label,
                    "{#NAME}": check.name,
                    "{#METRIC}": label,
                    "{#UNIT}": it.unit_symbol(),
                })
            })
        })
        .collect();
    let sample = |key: String, value: String| Sample { key, value };
    let mut samples = vec![
        sample("koshu.checks".to_owned(), Value::from(found).to_string()),
        sample("koshu.metrics".to_owned(), Value::from(metrics).to_string()),
    ];
    // Labels need no quotes in a key.
    for it in all.iter().filter(|it| is_due(it)) {
        let label = it.label;
        let state = it.state.code().to_string();
        samples.push(sample(format!("koshu.state[{label}]"), state));
        let text = it.long_text(MOST);
        samples.push(sample(format!("koshu.text[{label}]"), text));
        // The summary is no discovered check, so that its counts have no items.
        let labelled = it.labelled().into_iter();
        for (metric_label, metric) in labelled.filter(|_| it.name != SUMMARY) {
            samples.push(sample(
                format!("koshu.metric[{label},{metric_label}]"),
                Number(metric.value).to_string(),
            ));
        }
    }
    samples
}

/// A word of a line for zabbix_sender.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', "\\n"))
}
