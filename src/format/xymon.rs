//! A combo message of Xymon and Big Brother: one status for each test, as `xymon SERVER @` and a TCP connection take it.

use crate::format::{Style, passive, words, xml};
use crate::model::range::Number;
use crate::model::report::Report;
use std::io::{self, Write};

/// The most bytes of a status, well below the 256 kB of Xymon's channels.
const MOST: usize = 64 << 10;

pub fn write(report: &Report, style: &Style, to: &mut dyn Write) -> io::Result<()> {
    let host = report.host.replace('.', ",");
    // The lifetime is in minutes, whatever unit is written (xymon(1) takes only h, d and w).
    let lifetime = style.ttl.map_or(String::new(), |it| {
        format!("+{}", it.as_secs().div_ceil(60).max(1))
    });
    writeln!(to, "combo")?;
    for (number, result) in passive::all(report).iter().enumerate() {
        // A blank line ends a message, so no text may have one.
        if number > 0 {
            writeln!(to)?;
        }
        let mut lines = result.long_text(MOST);
        lines.push('\n');
        let (first, rest) = lines.split_once('\n').unwrap_or((&lines, ""));
        writeln!(
            to,
            "status{lifetime} {host}.{} {} {}",
            // A dot would end the host's name.
            result.label.replace('.', "_"),
            words::of(result.state).xymon,
            xml::escaped(first)
        )?;
        write!(to, "{}", xml::escaped(rest))?;
        // Lines of "name : value" are what Xymon graphs (its module ncv).
        for metric in &result.metrics {
            let label = xml::escaped(&metric.label);
            writeln!(to, "{label} : {}", Number(metric.value))?;
        }
    }
    Ok(())
}
