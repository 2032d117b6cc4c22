//! The Test Anything Protocol, version 13, for `prove` and other harnesses.

use crate::format::{Style, passive};
use crate::model::report::Report;
use crate::model::state::State;
use serde_json::Value;
use std::io::{self, Write};

pub fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    let tests = passive::checks(report);
    writeln!(to, "TAP version 13\n1..{}", tests.len())?;
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
            // JSON strings are also YAML's.
            let quoted = |it: &str| Value::from(it).to_string();
            writeln!(to, "  ---")?;
            writeln!(to, "  message: {}", quoted(&test.text))?;
            writeln!(to, "  severity: {}", test.state.word().to_lowercase())?;
            if !test.details.is_empty() {
                writeln!(to, "  details:")?;
            }
            for line in &test.details {
                writeln!(to, "    - {}", quoted(line))?;
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
