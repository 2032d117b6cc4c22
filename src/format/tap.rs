//! The Test Anything Protocol, version 13, for `prove` and other harnesses.

use crate::format::{Style, passive};
use crate::model::report::Report;
use crate::model::state::State;
use serde_json::Value;
use std::io::{self, Write};

pub fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    let tests = passive::checks(report);
    writeln!(to, "TAP version 13\n1..{}", tests.len())?;
    for aside in report.asides() {
        writeln!(to, "# {aside}")?;
    }
    for (number, test) in tests.iter().enumerate() {
        let word = match test.state == State::Ok || test.is_blocked {
            true => "ok",
            false => "not ok",
        };
        write!(to, "{word} {} - {}", number + 1, plain(test.name))?;
        match test.is_blocked {
            true => writeln!(to, " # SKIP {}", plain(&test.text))?,
            false => writeln!(to)?,
        }
        if !test.is_blocked && (word == "not ok" || !test.details.is_empty()) {
            writeln!(to, "  ---")?;
            // A JSON string is also one of YAML.
            writeln!(to, "  message: {}", Value::from(test.text.as_str()))?;
            writeln!(to, "  severity: {}", test.state.word().to_lowercase())?;
            // In a literal block nothing has a meaning (YAML 1.1, section 9.3.3); in a list, prove takes a quoted
            // text with a colon for a mapping. The first line's blanks would be those of the block.
            for (number, line) in test.details.iter().enumerate() {
                if number == 0 {
                    writeln!(to, "  details: |")?;
                }
                let line = if number == 0 { line.trim_start() } else { line };
                writeln!(to, "    {}", line)?;
            }
            writeln!(to, "  ...")?;
        }
    }
    Ok(())
}

/// A text in which no `#` begins a directive.
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace('#', "\\#")
}
