//! A list for this host, with the reason for each check: what it has mounted, what listens, its certificates, units, cron
//! jobs and backups. What is not right now is a comment, for a person to look at.

mod diff;
mod look;

pub use diff::difference;

use crate::check::Run;
use crate::config::{self, Source, toml_string};
use crate::model::name;
use crate::model::quantity;
use crate::model::state::State;
use crate::model::text;
use crate::runner::{self, Orders};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long all that has to be asked first may take; the machine is not waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// Something of this host that is worth a check.
struct Found {
    /// Why.
    reason: String,
    name: String,
    kind: &'static str,
    /// Keys with their values in TOML.
    keys: Vec<(&'static str, String)>,
    what: What,
    /// Whether only a look tells that it is right now.
    is_doubtful: bool,
}

/// What a check looks at, by which two lists are compared.
enum What {
    Mount(PathBuf),
    Fstab,
    /// TCP ports.
    Ports(Vec<u16>),
    Certificate(PathBuf),
    Unit(String),
    FailedUnits,
    Process(String),
    Resolvers,
    Files(String),
}

impl Found {
    fn new(kind: &'static str, name: &str, what: What, reason: String) -> Found {
        // Processes and mounts are called what anybody likes, and a line end would end the comment.
        Found {
            reason: text::clean(&reason),
            name: text::clean(name),
            kind,
            keys: Vec::new(),
            what,
            is_doubtful: false,
        }
    }

    fn key(mut self, key: &'static str, value: String) -> Found {
        self.keys.push((key, value));
        self
    }

    fn text(self, key: &'static str, value: &str) -> Found {
        self.key(key, toml_string(value))
    }

    fn doubtful(self) -> Found {
        Found {
            is_doubtful: true,
            ..self
        }
    }

    /// The table of the check, its keys in one column.
    fn table(&self) -> String {
        let kind = toml_string(self.kind);
        let keys = [("name", toml_string(&self.name)), ("type", kind)];
        let keys: Vec<_> = keys.iter().chain(&self.keys).collect();
        let widest = keys.iter().map(|it| it.0.len()).max().unwrap_or(0);
        let lines = keys
            .iter()
            .map(|(key, value)| format!("{key:<widest$} = {value}\n"));
        format!("[[check]]\n{}", lines.collect::<String>())
    }
}

/// The list for this host.
pub fn list(run: &Arc<Run>, at: SystemTime) -> Source {
    let mut found = look::all(run, at);
    set_apart(&mut found);
    let wrong = doubts(&mut found, run, at);
    let host = &run.env.host;
    let mut text = format!("# What koshu discover found on {host}: read it, change it, keep it.\n");
    for it in &found {
        text.push_str(&format!("\n# {}\n{}", it.reason, it.table()));
    }
    for (it, why) in &wrong {
        let table = it.table().replace('\n', "\n# ");
        text.push_str(&format!(
            "\n# Not now: {}: {why}\n# {}\n",
            it.reason,
            table.trim_end_matches("\n# ")
        ));
    }
    Source::new("what was found on this host", text, PathBuf::new())
}

/// Gives names and labels of their own to checks that would share one: processes and mounts are called what any user
/// likes, and one list that is refused would be all checks lost.
fn set_apart(found: &mut [Found]) {
    each_apart(found, &|it| it.name.clone(), &Found::table, &|it, name| {
        it.name = name
    });
    each_apart(
        found,
        &|it| name::label(&it.name),
        &|it| it.name.clone(),
        &|it, label| {
            it.keys.insert(0, ("label", toml_string(&label)));
        },
    );
}

/// Sets another word where several have the same one, with a hash of what tells them apart.
fn each_apart(
    found: &mut [Found],
    word: &dyn Fn(&Found) -> String,
    apart: &dyn Fn(&Found) -> String,
    set: &dyn Fn(&mut Found, String),
) {
    let mut taken: HashMap<String, usize> = HashMap::new();
    for it in found.iter() {
        *taken.entry(word(it)).or_default() += 1;
    }
    for it in found {
        if taken[&word(it)] < 2 {
            continue;
        }
        let mut new = name::hashed(&word(it), &apart(it));
        // Hashes are short, and somebody may look for two that are alike.
        while taken.contains_key(&new) {
            new.push_str("_2");
        }
        taken.insert(new.clone(), 1);
        set(it, new);
    }
}

/// Takes out what is not right now, with what was seen.
fn doubts(found: &mut Vec<Found>, run: &Arc<Run>, at: SystemTime) -> Vec<(Found, String)> {
    let text: String = found
        .iter()
        .filter(|it| it.is_doubtful)
        .map(Found::table)
        .collect();
    if text.is_empty() {
        return Vec::new();
    }
    let source = Source::new("what was found on this host", text, PathBuf::new());
    let Ok(mut plan) = config::parse(&[source]) else {
        found.retain(|it| !it.is_doubtful);
        return Vec::new();
    };
    plan.jobs.iter_mut().for_each(|it| it.timeout = PATIENCE);
    let orders = Orders {
        run: run.clone(),
        at,
        end: Instant::now() + PATIENCE + PATIENCE / 4,
        limit: quantity::seconds(PATIENCE.as_secs_f64()),
        parallel: None,
        on_progress: None,
        stop: &|| None,
    };
    let ran = runner::run(plan.jobs, orders);
    let mut looked = ran.looked.into_iter();
    let mut wrong = Vec::new();
    for it in std::mem::take(found) {
        let outcome = match it.is_doubtful {
            true => looked.next().map(|it| it.outcome),
            false => None,
        };
        match outcome {
            Some(outcome) if outcome.state() != State::Ok => wrong.push((it, outcome.line())),
            _ => found.push(it),
        }
    }
    wrong
}
