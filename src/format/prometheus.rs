//! Prometheus' text format 0.0.4, for the textfile collector of node_exporter and for pushgateway.

use crate::format::Style;
use crate::format::passive::{self, Passive, SUMMARY};
use crate::model::duration::since_1970;
use crate::model::range::Number;
use crate::model::report::Report;
use std::io::{self, Write};

pub fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    let all = passive::all(report);
    for aside in report.asides() {
        writeln!(to, "# {aside}")?;
    }
    let checks = || all.iter().filter(|it| it.name != SUMMARY);
    let of = |it: &Passive| labels(&[("check", it.name), ("type", it.kind)]);
    let at = since_1970(report.at).as_secs_f64();
    // Prometheus knows how old a file is only from what stands in it.
    let mut family = |name: &str, help: &str, samples: &[(String, f64)]| {
        if samples.is_empty() {
            return Ok(());
        }
        writeln!(to, "# HELP {name} {help}\n# TYPE {name} gauge")?;
        for (labels, value) in samples {
            writeln!(to, "{name}{labels} {}", Number(*value))?;
        }
        Ok(())
    };
    let one = |value: f64| vec![(String::new(), value)];
    let each = |value: fn(&Passive) -> f64| -> Vec<(String, f64)> {
        checks().map(|it| (of(it), value(it))).collect()
    };
    family(
        "koshu_run_timestamp_seconds",
        "When koshu ran, in seconds since 1970.",
        &one(at),
    )?;
    family(
        "koshu_run_duration_seconds",
        "How long the run took.",
        &one(report.took.as_secs_f64()),
    )?;
    family(
        "koshu_run_state",
        "What a person must know of: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
        &one(f64::from(report.state().code())),
    )?;
    family(
        "koshu_check_state",
        "0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
        &each(|it| f64::from(it.state.code())),
    )?;
    family(
        "koshu_check_blocked",
        "1 while something that the check needs is down.",
        &each(|it| f64::from(u8::from(it.is_blocked))),
    )?;
    family(
        "koshu_check_duration_seconds",
        "How long the check took.",
        &each(|it| it.took.as_secs_f64()),
    )?;
    let metrics = checks().flat_map(|check| {
        let of = move |label: &str, unit: &str| {
            labels(&[("check", check.name), ("label", label), ("unit", unit)])
        };
        let metrics = check.metrics.iter();
        metrics.map(move |it| (of(&it.label, it.unit_symbol()), it.value))
    });
    family(
        "koshu_perfdata",
        "A measured value, in the unit of its label.",
        &metrics.collect::<Vec<_>>(),
    )
}

/// `{name="value",…}`, escaped as the format wants it.
fn labels(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{name}=\"{}\"", value.replace('\n', "\\n"))
    };
    let pairs: Vec<String> = pairs.iter().map(pair).collect();
    format!("{{{}}}", pairs.join(","))
}
