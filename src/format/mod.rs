//! How a report is written: one file per format, and the table of formats.

mod headline;
pub mod human;
pub mod json;
pub mod nagios;

use crate::model::report::Report;
use std::io::{self, Write};

/// All formats; `--format` takes their names.
pub const FORMATS: &[Format] = &[
    Format {
        name: "nagios",
        about: "status, perfdata and exit code of a Nagios plugin",
        exits_with_state: true,
        write: nagios::write,
        fail: nagios::fail,
    },
    Format {
        name: "human",
        about: "a table for people, worst first",
        exits_with_state: true,
        write: human::write,
        fail: human::fail,
    },
    Format {
        name: "json",
        about: "one document with everything",
        exits_with_state: false,
        write: json::write,
        fail: json::fail,
    },
];

/// A pure function from report to bytes, and what goes with it.
pub struct Format {
    pub name: &'static str,
    pub about: &'static str,
    /// Whether the exit code is the state unless `--exit` says otherwise.
    pub exits_with_state: bool,
    pub write: fn(&Report, &Style, &mut dyn Write) -> io::Result<()>,
    /// Writes that no check could be run.
    pub fail: fn(&Failure, &Style, &mut dyn Write) -> io::Result<()>,
}

impl Format {
    pub fn named(name: &str) -> Option<&'static Format> {
        FORMATS.iter().find(|it| it.name == name)
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
        }
    }
}

/// Why no check could be run.
pub struct Failure {
    /// One line.
    pub text: String,
    /// More lines; they may have blanks at their beginning.
    pub details: String,
}
