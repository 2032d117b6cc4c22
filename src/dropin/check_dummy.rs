//! `check_dummy STATE [TEXT]`: answers with the state that it is given.

use crate::check::{Check, Context, Type};
use crate::dropin::Dropin;
use crate::format::Style;
use crate::model::outcome::Outcome;
use crate::model::report::Report;
use crate::model::state::State;
use crate::plan::Job;
use serde::Deserialize;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

pub const DROPIN: Dropin = Dropin {
    name: "check_dummy",
    parse,
    write,
};

const TYPE: Type = Type::of::<Dummy>("dummy", &["state"], "", &[], &[]);

const USAGE: &str = "Usage:\n check_dummy <integer state> [optional text]\n";

/// A state as it was given.
#[derive(Deserialize, schemars::JsonSchema)]
struct Dummy {
    state: State,
    text: String,
}

impl Check for Dummy {
    fn run(&self, _: &Context) -> anyhow::Result<Outcome> {
        Ok(Outcome::of("dummy", self.state, &self.text))
    }
}

fn parse(words: &[String]) -> Result<Job, String> {
    let version = concat!("check_dummy v", env!("CARGO_PKG_VERSION"), " (koshu)\n");
    let text = |index: usize| words.get(index).filter(|it| !it.is_empty());
    let Some(state) = text(0) else {
        return Err(format!("check_dummy: Could not parse arguments\n{USAGE}"));
    };
    let dummy = match state.as_str() {
        "-h" | "--help" => {
            return Err(format!(
                "{version}\nThis plugin will simply return the state corresponding to the numeric value\nof the <state> argument with optional text\n\n{USAGE}"
            ));
        }
        "-V" | "--version" => return Err(version.to_owned()),
        _ => match (state.parse::<i64>(), text(1)) {
            (Ok(number @ 0..=3), text) => Dummy {
                state: [State::Ok, State::Warning, State::Critical, State::Unknown]
                    [number as usize],
                text: text.cloned().unwrap_or_default(),
            },
            (Ok(number), _) => Dummy {
                state: State::Unknown,
                text: format!("Status {number} is not a supported error state"),
            },
            (Err(_), _) => {
                return Err(format!(
                    "check_dummy: Arguments to check_dummy must be an integer\n{USAGE}"
                ));
            }
        },
    };
    Ok(Job {
        timeout: Duration::from_secs(10),
        ..Job::new("dummy", &TYPE, Arc::new(dummy))
    })
}

fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    let texts = report.entries.iter().flat_map(|it| it.outcome.findings());
    let text = texts.map(|it| it.text.as_str()).collect::<String>();
    match text.is_empty() {
        true => writeln!(to, "{}", report.state().word()),
        false => writeln!(to, "{}: {text}", report.state().word()),
    }
}
