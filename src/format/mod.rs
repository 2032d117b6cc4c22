//! How a report is written: one file per format, and the table of formats.

pub mod checkmk;
pub mod columns;
mod headline;
pub mod human;
pub mod json;
pub mod jsonl;
mod junit;
pub mod nagios;
mod nsca;
mod pandora;
pub mod passive;
pub mod prometheus;
mod tap;
pub mod words;
mod xml;
mod xymon;
pub mod zabbix;

use crate::model::report::Report;
use crate::model::text;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

/// All formats; `--format` takes their names.
pub const FORMATS: &[Format] = &[
    Format {
        exits_with_state: true,
        fail: nagios::fail,
        ..row(
            "nagios",
            "status, perfdata and exit code of a Nagios plugin",
            nagios::write,
        )
    },
    Format {
        exits_with_state: true,
        fail: human::fail,
        ..row("human", "a table for people, worst first", human::write)
    },
    Format {
        media_type: "application/json",
        fail: json::fail,
        ..row("json", "one document with everything", json::write)
    },
    Format {
        media_type: "application/x-ndjson",
        ..row(
            "jsonl",
            "a document per line for Elastic and Cloud Logging",
            jsonl::write,
        )
    },
    Format {
        media_type: "text/plain; version=0.0.4; charset=utf-8",
        ..row(
            "prometheus",
            "metrics for node_exporter and pushgateway",
            prometheus::write,
        )
    },
    row("checkmk", "lines of a Checkmk local check", checkmk::write),
    row(
        "pandora",
        "modules for the agent of Pandora FMS",
        pandora::write,
    ),
    row(
        "nsca",
        "records for send_nsca and send_gearman",
        nsca::write,
    ),
    row("zabbix", "lines for zabbix_sender -T -i -", zabbix::write),
    row(
        "xymon",
        "a combo message for Xymon and Big Brother",
        xymon::write,
    ),
    Format {
        exits_with_state: true,
        media_type: "application/xml",
        ..row("junit", "JUnit's XML for build servers", junit::write)
    },
    Format {
        exits_with_state: true,
        ..row("tap", "the Test Anything Protocol, for prove", tap::write)
    },
];

/// Writes a report.
type Writer = fn(&Report, &Style, &mut dyn Write) -> io::Result<()>;

/// A pure function from report to bytes, and what goes with it.
pub struct Format {
    pub name: &'static str,
    pub about: &'static str,
    /// Whether the exit code is the state unless `--exit` says otherwise.
    pub exits_with_state: bool,
    /// What HTTP calls the bytes (RFC 9110, section 8.3.1).
    pub media_type: &'static str,
    pub write: Writer,
    /// Writes that no check could be run.
    pub fail: fn(&Format, &Failure, &mut dyn Write) -> io::Result<()>,
}

const fn row(name: &'static str, about: &'static str, write: Writer) -> Format {
    Format {
        name,
        about,
        exits_with_state: false,
        media_type: "text/plain; charset=utf-8",
        write,
        fail: |format, failure, to| (format.write)(&failure.report(), &Style::default(), to),
    }
}

impl Format {
    pub fn named(name: &str) -> Option<&'static Format> {
        FORMATS.iter().find(|it| it.name == name)
    }

    /// The bytes of a report.
    pub fn bytes(&self, report: &Report, style: &Style) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = (self.write)(report, style, &mut bytes);
        debug_assert!(written.is_ok(), "a vector takes everything");
        bytes
    }
}

/// How the bytes should look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    pub colour: bool,
    /// The most bytes that `nagios` prints.
    pub max_bytes: usize,
    /// Whether to say what has changed since the run before.
    pub news: bool,
    /// How long the results hold, for engines that want to know.
    pub ttl: Option<Duration>,
}

impl Style {
    /// Nagios' own limit for a plugin's output in older versions, and that of Consul and Docker.
    pub const MAX_BYTES: usize = 4096;
}

impl Default for Style {
    fn default() -> Style {
        Style {
            width: 100,
            colour: false,
            max_bytes: Style::MAX_BYTES,
            news: false,
            ttl: None,
        }
    }
}

/// Why no check could be run.
pub struct Failure {
    /// The name of this machine.
    pub host: String,
    pub at: SystemTime,
    /// One line.
    pub text: String,
    /// More lines; they may have blanks at their beginning.
    pub details: String,
}

impl Failure {
    /// The report of a run that checked nothing, which is UNKNOWN.
    pub fn report(&self) -> Report {
        let lines = self.details.lines().map(text::clean);
        Report {
            host: text::clean(&self.host),
            at: self.at,
            took: Duration::ZERO,
            entries: Vec::new(),
            order: Vec::new(),
            origin: None,
            remarks: Some(lines.collect::<Vec<_>>().join(" "))
                .filter(|it| !it.is_empty())
                .into_iter()
                .collect(),
            stopped: Some(text::clean(&self.text)),
        }
    }
}

#[cfg(test)]
mod tests;
