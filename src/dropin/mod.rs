//! Whose command lines are accepted under their own names: a check, and the words it answers in.

mod check_dummy;

use crate::format::Style;
use crate::model::report::Report;
use crate::plan::Job;
use std::io::{self, Write};

/// All borrowed names, found by argv[0] or as the first argument.
pub const DROPINS: &[Dropin] = &[check_dummy::DROPIN];

/// A classic plugin that koshu stands in for.
pub struct Dropin {
    pub name: &'static str,
    /// Reads the classic arguments; help, version and mistakes are texts to print with exit code 3.
    pub parse: fn(&[String]) -> Result<Job, String>,
    /// Writes as the classic plugin does.
    pub write: fn(&Report, &Style, &mut dyn Write) -> io::Result<()>,
}

impl Dropin {
    pub fn named(name: &str) -> Option<&'static Dropin> {
        DROPINS.iter().find(|it| it.name == name)
    }
}
