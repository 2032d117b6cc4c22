//! `process`: the processes that should run do, in the right number, and none of them is out of bounds.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::host::account;
use crate::host::processes::{Processes, Running, own};
use crate::model::limits::{Age, Count, Judges, Limits, Memory, Share};
use crate::model::metric::Metric;
use crate::model::name;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::pattern::Pattern;
use crate::model::quantity::{self, Unit};
use crate::model::range::Range;
use crate::model::state::State;
use serde::Deserialize;

pub const TYPE: Type = Type::of::<Process>(
    "process",
    &["match", "args"],
    include_str!("../../checks/process.toml"),
    &[
        ("count", Unit::None),
        ("memory", Unit::Bytes),
        ("cpu", Unit::Percent),
        ("age", Unit::Seconds),
    ],
    &[CODES],
);

const CODES: &[Code] = &[
    code(
        "count",
        "by limits",
        "Too few or too many processes match: start the service, or look for what multiplies.",
    ),
    code(
        "memory",
        "by limits",
        "A matching process holds more memory than `memory` allows: look for a leak.",
    ),
    code(
        "cpu",
        "by limits",
        "A matching process has used more CPU than `cpu` allows, over its whole life.",
    ),
    code(
        "age",
        "by limits",
        "A matching process is younger or older than `age` allows: it restarts, or hangs.",
    ),
];

/// Processes run in the right number, and none of the matches holds too much memory, CPU or time. koshu itself is never counted.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Process {
    /// The process' name, with `*` and `?`; longer than 15 characters too.
    #[serde(rename = "match")]
    name: Option<String>,
    /// What the command line must contain.
    args: Option<Pattern>,
    /// Whose processes: a name, or the number of a user.
    user: Option<String>,
    /// State letters as ps shows them, any of which fits: `"DZ"`.
    state: Option<String>,
    /// Limits of the number of matches. Default: `",1:"`, at least one.
    count: Option<Limits<Count>>,
    /// Limits of the resident memory of each match.
    memory: Option<Limits<Memory>>,
    /// Limits of the CPU use of each match, in % of one CPU over its life.
    cpu: Option<Limits<Share>>,
    /// Limits of the age of each match: `"1m:,"` warns of younger ones.
    age: Option<Limits<Age>>,
}

/// The states of proc(5).
const STATES: &str = "RSDZTtWXxKPI";

impl Check for Process {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let processes = cx.run.processes.read(&cx.run.roots)?;
        let matches = self.observe(processes)?;
        Ok(self.judge(&matches, processes.uptime))
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let empty = |it: &Option<String>| it.as_ref().is_some_and(String::is_empty);
        if empty(&self.name) {
            flaws.push(flaw("match", "no process has an empty name"));
        }
        if empty(&self.user) {
            flaws.push(flaw("user", "no user has an empty name"));
        }
        if let Some(state) = &self.state
            && (state.is_empty() || !state.chars().all(|c| STATES.contains(c)))
        {
            flaws.push(flaw(
                "state",
                format!("\"{state}\" has letters that are no states, expected some of {STATES}"),
            ));
        }
        flaws
    }
}

impl Process {
    fn observe<'p>(&self, processes: &'p Processes) -> anyhow::Result<Vec<&'p Running>> {
        let user = self.user.as_deref().map(account::number).transpose()?;
        let own = own(&processes.all);
        let mut matches = Vec::new();
        for running in &processes.all {
            let fits = !own.contains(&running.pid)
                && self
                    .state
                    .as_ref()
                    .is_none_or(|it| it.contains(running.state))
                && self.name.as_ref().is_none_or(|it| is_called(running, it))
                && user.is_none_or(|it| running.user() == Some(it));
            let fits = match &self.args {
                Some(args) if fits => args.finds(running.words().join(" ").as_bytes())?,
                _ => fits,
            };
            if fits {
                matches.push(running);
            }
        }
        Ok(matches)
    }

    fn judge(&self, matches: &[&Running], uptime: f64) -> Outcome {
        let wanted = self.wanted();
        let count = match matches.len() {
            1 => "1 process".to_owned(),
            count => format!("{count} processes"),
        };
        let mut outcome = Outcome::new(&format!("{count}{wanted}"));
        let limits = match &self.count {
            Some(limits) => limits.of(0.0),
            None => Judges {
                warn: vec![],
                crit: vec![Range::from(1.0)],
            },
        };
        let metric = Metric::new("count", matches.len() as f64, Unit::None).judged(limits);
        outcome.measure(metric, &format!("{count}{wanted}"));
        let memory = |it: &Running| it.memory as f64;
        let shown = |value: f64| format!("holds {}", quantity::bytes(value));
        let limits = Limits::maybe(&self.memory, 0.0);
        worst(
            &mut outcome,
            matches,
            ("memory", Unit::Bytes),
            &limits,
            &memory,
            &shown,
        );
        let cpu = |it: &Running| (it.cpu(uptime) * 100.0).round() / 100.0;
        let shown = |value: f64| format!("used {value:.0}% of a CPU since it started");
        let limits = Limits::maybe(&self.cpu, 0.0);
        worst(
            &mut outcome,
            matches,
            ("cpu", Unit::Percent),
            &limits,
            &cpu,
            &shown,
        );
        let age = |it: &Running| it.age(uptime).round();
        let shown = |value: f64| format!("is {} old", quantity::seconds(value));
        let limits = Limits::maybe(&self.age, 0.0);
        worst(
            &mut outcome,
            matches,
            ("age", Unit::Seconds),
            &limits,
            &age,
            &shown,
        );
        const SHOWN: usize = 10;
        for it in matches.iter().take(SHOWN) {
            outcome.detail(&format!(
                "{} {}: {}, {}, {:.0}% CPU",
                it.pid,
                it.name(),
                quantity::seconds(it.age(uptime)),
                quantity::bytes(it.memory as f64),
                it.cpu(uptime)
            ));
        }
        if matches.len() > SHOWN {
            outcome.detail(&format!("and {} more", matches.len() - SHOWN));
        }
        outcome
    }

    /// What was looked for, in words; never arguments, which may hold secrets.
    fn wanted(&self) -> String {
        let mut words = String::new();
        if let Some(name) = &self.name {
            words.push_str(&format!(" called {name}"));
        }
        if let Some(args) = &self.args {
            words.push_str(&format!(" with /{}/", args.as_str()));
        }
        if let Some(user) = &self.user {
            words.push_str(&format!(" of user {user}"));
        }
        if let Some(state) = &self.state {
            words.push_str(&format!(" in state {state}"));
        }
        words
    }
}

/// Measures the match that its limits judge worst, of equals the one with the highest value.
fn worst(
    outcome: &mut Outcome,
    matches: &[&Running],
    (label, unit): (&str, Unit),
    limits: &Judges,
    value: &dyn Fn(&Running) -> f64,
    shown: &dyn Fn(f64) -> String,
) {
    let judged = matches.iter().map(|it| {
        let metric = Metric::new(label, value(it), unit).judged(limits.clone());
        (metric, *it)
    });
    let worst = judged.max_by(|(a, _), (b, _)| {
        let badness = |it: &Metric| it.state().badness();
        badness(a)
            .cmp(&badness(b))
            .then(a.value.total_cmp(&b.value))
    });
    if let Some((metric, it)) = worst {
        let over = matches
            .iter()
            .filter(|it| {
                let metric = Metric::new(label, value(it), unit).judged(limits.clone());
                metric.state() != State::Ok
            })
            .count();
        let others = match over {
            0 | 1 => String::new(),
            more => format!(" (and {} more)", more - 1),
        };
        let line = format!(
            "{} (pid {}) {}{others}",
            it.name(),
            it.pid,
            shown(metric.value)
        );
        outcome.measure(metric, &line);
    }
}

fn is_called(running: &Running, wanted: &str) -> bool {
    match name::is_pattern(wanted) {
        true => name::matches(wanted, &running.name()),
        // The cut name tells most processes apart without a look at their command line.
        false => {
            let cut = wanted.as_bytes().starts_with(running.short.as_bytes());
            cut && running.name() == wanted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(keys: &str) -> Process {
        toml::from_str(keys).expect("a process check")
    }

    fn running(pid: u32, memory: u64) -> Running {
        Running {
            pid,
            short: "worker".to_owned(),
            state: 'S',
            memory,
            ..Running::default()
        }
    }

    #[test]
    fn no_match_is_critical_unless_it_may_be_absent() {
        assert_eq!(
            process("match = 'x'").judge(&[], 1.0).state(),
            State::Critical
        );
        let outcome = process("match = 'x'\ncount = '0:0,'").judge(&[], 1.0);
        assert_eq!(outcome.state(), State::Ok);
    }

    #[test]
    fn the_worst_match_is_named() {
        let (small, large) = (running(7, 10), running(8, 2000));
        let outcome =
            process("match = 'worker'\nmemory = '100B,1kB'").judge(&[&small, &large], 1.0);
        assert_eq!(outcome.state(), State::Critical);
        assert_eq!(outcome.line(), "worker (pid 8) holds 2.0 KiB");
    }

    #[test]
    fn too_young_is_found_among_old_ones() {
        let ticks = rustix::param::clock_ticks_per_second();
        let old = running(7, 0);
        let young = Running {
            start: 990 * ticks,
            ..running(8, 0)
        };
        let outcome = process("match = 'worker'\nage = '1m:,'").judge(&[&old, &young], 1000.0);
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "worker (pid 8) is 10 s old");
    }
}
