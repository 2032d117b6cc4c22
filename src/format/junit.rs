//! JUnit's XML, for build servers: a test case for each check.

use crate::format::{Style, passive, xml::escaped};
use crate::model::report::Report;
use crate::model::state::State;
use std::io::{self, Write};

pub fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    let cases = passive::checks(report);
    let count = |states: &[State]| {
        let of = |it: &&passive::Passive| !it.is_blocked && states.contains(&it.state);
        cases.iter().filter(of).count()
    };
    let blocked = cases.iter().filter(|it| it.is_blocked).count();
    let at = jiff::Timestamp::try_from(report.at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    writeln!(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        to,
        "<testsuites><testsuite name=\"koshu\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{blocked}\" time=\"{:.3}\" timestamp=\"{at:.0}\" hostname=\"{}\">",
        cases.len(),
        count(&[State::Warning, State::Critical]),
        count(&[State::Unknown]),
        report.took.as_secs_f64(),
        escaped(&report.host)
    )?;
    let asides: Vec<String> = report.asides().map(|it| escaped(it)).collect();
    if !asides.is_empty() {
        write!(to, "<properties>")?;
        for aside in asides {
            write!(to, "<property name=\"remark\" value=\"{aside}\"/>")?;
        }
        writeln!(to, "</properties>")?;
    }
    for case in &cases {
        write!(
            to,
            "<testcase classname=\"koshu.{}\" name=\"{}\" time=\"{:.3}\">",
            escaped(case.kind),
            escaped(case.name),
            case.took.as_secs_f64()
        )?;
        let message = escaped(&case.text);
        let details = escaped(&case.details.join("\n"));
        let word = case.state.word();
        match case.state {
            State::Ok if details.is_empty() => write!(to, "<system-out>{message}</system-out>")?,
            State::Ok => write!(to, "<system-out>{message}\n{details}</system-out>")?,
            _ if case.is_blocked => write!(to, "<skipped message=\"{message}\"/>")?,
            State::Unknown => write!(
                to,
                "<error type=\"{word}\" message=\"{message}\">{details}</error>"
            )?,
            State::Warning | State::Critical => write!(
                to,
                "<failure type=\"{word}\" message=\"{message}\">{details}</failure>"
            )?,
        }
        writeln!(to, "</testcase>")?;
    }
    writeln!(to, "</testsuite></testsuites>")
}
