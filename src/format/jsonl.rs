//! One JSON document on each line, for log stores: the keys of the Elastic Common Schema, and Cloud Logging's
//! `severity` and `message`.

use crate::format::passive::{self, Passive};
use crate::format::{Style, words};
use crate::model::metric::Metric;
use crate::model::report::Report;
use serde_json::{Value, json};
use std::io::{self, Write};

pub fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    for result in passive::all(report) {
        serde_json::to_writer(&mut *to, &document(report, &result))?;
        writeln!(to)?;
    }
    Ok(())
}

/// One result. Metrics are a list, because a key for each label would be a field for each in an index.
pub fn document(report: &Report, result: &Passive) -> Value {
    let words = words::of(result.state);
    let is_ok = words.level == "info";
    let metric =
        |it: &Metric| json!({ "label": it.label, "value": it.value, "unit": it.unit_symbol() });
    let metrics: Vec<Value> = result.metrics.iter().map(metric).collect();
    let at = jiff::Timestamp::try_from(report.at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    json!({
        "@timestamp": format!("{at:.3}"),
        "severity": words.severity,
        "message": format!("{}: {}", result.name, result.text),
        "event": {
            "kind": if is_ok { "metric" } else { "alert" },
            "dataset": "koshu",
            "outcome": words.outcome,
            "duration": u64::try_from(result.took.as_nanos()).unwrap_or(u64::MAX),
        },
        "host": { "name": report.host },
        "log": { "level": words.level },
        "service": { "name": result.name, "type": result.kind },
        "koshu": {
            "state": result.state.code(),
            "details": result.details,
            "metrics": metrics,
        },
    })
}
