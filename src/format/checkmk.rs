//! The lines of a Checkmk local check: `STATE "NAME" METRICS TEXT\nDETAILS`, one for each service.

use crate::format::{Style, passive};
use crate::model::metric::Metric;
use crate::model::range::{Number, Range};
use crate::model::report::Report;
use std::io::{self, Write};

/// The most bytes of one line, which stay readable in a service's details.
const MOST: usize = 16 << 10;

pub fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    for result in passive::all(report) {
        let labelled = result.labelled();
        let metrics: Vec<String> = labelled.iter().map(|it| metric(&it.0, it.1)).collect();
        let metrics = match metrics.is_empty() {
            true => "-".to_owned(),
            false => metrics.join("|"),
        };
        writeln!(
            to,
            "{} \"{}\" {metrics} {}",
            result.state.code(),
            // Checkmk ends a name at the next quotation mark, whatever stands before it.
            result.name.replace('"', "'"),
            result.long_text(MOST).replace('\n', "\\n")
        )?;
    }
    Ok(())
}

/// `label=value;warn;crit;min;max`, without units; of ranges only those that Checkmk reads, `upper` and `lower:upper`.
fn metric(label: &str, metric: &Metric) -> String {
    let side = |ranges: &[Range]| match Metric::shown(ranges) {
        Some(it) if !it.inside && it.end.is_finite() => {
            let end = Number(it.end);
            match it.start {
                start if start == f64::NEG_INFINITY || start == 0.0 => end.to_string(),
                start => format!("{}:{end}", Number(start)),
            }
        }
        _ => String::new(),
    };
    let bound = |it: Option<f64>| {
        let it = it.filter(|it| it.is_finite());
        it.map(|it| Number(it).to_string()).unwrap_or_default()
    };
    let fields = [
        Number(metric.value).to_string(),
        side(&metric.limits.warn),
        side(&metric.limits.crit),
        bound(metric.min),
        bound(metric.max),
    ]
    .join(";");
    format!("{label}={}", fields.trim_end_matches(';'))
}
