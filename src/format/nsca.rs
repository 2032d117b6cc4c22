//! Records for send_nsca, NSCA-ng's send_nsca and send_gearman: `HOST TAB SERVICE TAB CODE TAB TEXT`, ETB between them.

use crate::format::{Style, passive};
use crate::model::report::Report;
use std::io::{self, Write};

/// The most bytes of an output, which NSCA 2.9 and later carry.
const MOST: usize = 4095;
/// The character between two records; a line end alone would make one of them.
const ETB: char = '\u{17}';

pub fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    for (number, result) in passive::all(report).iter().enumerate() {
        if number > 0 {
            write!(to, "{ETB}")?;
        }
        write!(
            to,
            "{}\t{}\t{}\t{}",
            passive::nagios_name(&report.host),
            passive::nagios_name(result.name),
            result.state.code(),
            result.output(MOST)
        )?;
    }
    writeln!(to)
}
