//! `process`: the processes that should run do, in the right number, and none of them is out of bounds.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::host::account;
use crate::host::processes::{Processes, Running};
use crate::model::limits::{Age, Amount, Count, Files, Judges, Limits, Memory, Share};
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
        ("virtual", Unit::Bytes),
        ("threads", Unit::None),
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
        "virtual",
        "by limits",
        "A matching process has a larger address space than `virtual` allows.",
    ),
    code(
        "threads",
        "by limits",
        "A matching process has more threads than `threads` allows: look for what it waits for.",
    ),
    code(
        "files",
        "by limits",
        "A matching process has more open files than `files` allows: look for a leak, or raise its limit.",
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
    /// A regular expression that finds something in the process' name.
    regex: Option<Pattern>,
    /// What the command line must contain.
    args: Option<Pattern>,
    /// Whose processes: a name, or the number of a user.
    user: Option<String>,
    /// State letters as ps shows them, any of which fits: `"DZ"`.
    state: Option<String>,
    /// Only children of this process: its number, or a name with `*` and `?`.
    parent: Option<String>,
    /// Only processes of this control group and those below it, with `*` and `?`: `"*/nginx.service"`.
    cgroup: Option<String>,
    /// Only processes in containers, or only those that are in none.
    container: Option<bool>,
    /// Limits of the number of matches. Default: `",1:"`, at least one.
    count: Option<Limits<Count>>,
    /// Limits of the resident memory of each match.
    memory: Option<Limits<Memory>>,
    /// Limits of the address space of each match.
    #[serde(rename = "virtual")]
    virtual_memory: Option<Limits<Memory>>,
    /// Limits of the threads of each match.
    threads: Option<Limits<Amount>>,
    /// Limits of the open files of each match, also in % of what it may have. Needs root for other users' processes.
    files: Option<Limits<Files>>,
    /// Limits of the CPU use of each match, in % of one CPU over its life.
    cpu: Option<Limits<Share>>,
    /// Limits of the age of each match: `"1m:,"` warns of younger ones.
    age: Option<Limits<Age>>,
}

/// The states of proc(5).
const STATES: &str = "RSDZTtWXxKPI";

impl Check for Process {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let processes = cx.run.processes()?;
        let matches = self.observe(processes)?;
        Ok(self.judge(&matches, processes.uptime))
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let empty = |it: &Option<String>| it.as_ref().is_some_and(String::is_empty);
        if empty(&self.name) {
            flaws.push(flaw("match", "no process has an empty name"));
        }
        if empty(&self.parent) {
            flaws.push(flaw("parent", "no process has an empty name"));
        }
        if empty(&self.cgroup) {
            flaws.push(flaw("cgroup", "no control group has an empty name"));
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
    fn observe<'p>(&self, processes: &'p Processes) -> anyhow::Result<Vec<Seen<'p>>> {
        let user = self.user.as_deref().map(account::number).transpose()?;
        let own = processes.own();
        let parents = self.parent.as_ref().map(|it| parents(it, processes));
        let mut matches = Vec::new();
        for running in &processes.all {
            // What is known already is asked first, and what costs a file last.
            let fits = !own.contains(&running.pid)
                && self
                    .state
                    .as_ref()
                    .is_none_or(|it| it.contains(running.state))
                && parents
                    .as_ref()
                    .is_none_or(|it| it.contains(&running.parent))
                && self.name.as_ref().is_none_or(|it| is_called(running, it))
                && finds(&self.regex, || running.name())?
                && user.is_none_or(|it| running.user() == Some(it))
                && finds(&self.args, || running.words().join(" "))?
                && self
                    .cgroup
                    .as_ref()
                    .is_none_or(|it| is_within(&running.cgroup(), it))
                && self.container.is_none_or(|it| running.is_contained() == it);
            if fits {
                matches.push(Seen {
                    running,
                    files: match self.files {
                        None => None,
                        Some(_) => files(running)?,
                    },
                });
            }
        }
        Ok(matches)
    }

    fn judge(&self, matches: &[Seen], uptime: f64) -> Outcome {
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
        let bytes = |what: &'static str| move |value| format!("{what} {}", quantity::bytes(value));
        let measures: [Measure; 5] = [
            (
                ("memory", Unit::Bytes),
                Limits::maybe(&self.memory, 0.0),
                Box::new(|it| it.memory as f64),
                Box::new(bytes("holds")),
            ),
            (
                ("cpu", Unit::Percent),
                Limits::maybe(&self.cpu, 0.0),
                Box::new(move |it| (it.cpu(uptime) * 100.0).round() / 100.0),
                Box::new(|value| format!("used {value:.0}% of a CPU since it started")),
            ),
            (
                ("age", Unit::Seconds),
                Limits::maybe(&self.age, 0.0),
                Box::new(move |it| it.age(uptime).round()),
                Box::new(|value| format!("is {} old", quantity::seconds(value))),
            ),
            (
                ("virtual", Unit::Bytes),
                Limits::maybe(&self.virtual_memory, 0.0),
                Box::new(|it| it.virtual_memory as f64),
                Box::new(bytes("has an address space of")),
            ),
            (
                ("threads", Unit::None),
                Limits::maybe(&self.threads, 0.0),
                Box::new(|it| it.threads as f64),
                Box::new(|value| format!("has {value} threads")),
            ),
        ];
        for (what, limits, value, shown) in &measures {
            let measured = matches.iter().map(|it| {
                let metric = Metric::new(what.0, value(it.running), what.1);
                (metric.judged(limits.clone()), it.running)
            });
            worst(&mut outcome, measured.collect(), shown);
        }
        let measured = matches.iter().filter_map(|it| {
            let (open, most) = it.files?;
            let whole = most.map_or(f64::INFINITY, |it| it as f64);
            let metric = Metric::new("files", open as f64, Unit::None).max(whole);
            Some((metric.judged(Limits::maybe(&self.files, whole)), it.running))
        });
        let shown = |value: f64| format!("has {value} open files");
        worst(&mut outcome, measured.collect(), &shown);
        // Whoever holds most stands first, unless the list asks for age.
        let mut matches: Vec<&Running> = matches.iter().map(|it| it.running).collect();
        match self.age {
            Some(_) => matches.sort_by_key(|it| std::cmp::Reverse(it.start)),
            None => matches.sort_by_key(|it| std::cmp::Reverse(it.memory)),
        }
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
        if let Some(regex) = &self.regex {
            words.push_str(&format!(" called /{}/", regex.as_str()));
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
        if let Some(parent) = &self.parent {
            words.push_str(&format!(" started by {parent}"));
        }
        if let Some(cgroup) = &self.cgroup {
            words.push_str(&format!(" in control group {cgroup}"));
        }
        match self.container {
            Some(true) => words.push_str(" in containers"),
            Some(false) => words.push_str(" outside of containers"),
            None => (),
        }
        words
    }
}

/// One match, with its open files where they are limited.
struct Seen<'p> {
    running: &'p Running,
    files: Option<(u64, Option<u64>)>,
}

/// What is measured of each match: label and unit, limits, the value, and a match with it in words.
type Measure = (
    (&'static str, Unit),
    Judges,
    Box<dyn Fn(&Running) -> f64>,
    Box<dyn Fn(f64) -> String>,
);

/// Measures the match that its limits judge worst, of equals the one with the highest value.
fn worst(outcome: &mut Outcome, measured: Vec<(Metric, &Running)>, shown: &dyn Fn(f64) -> String) {
    let over = measured.iter().filter(|it| it.0.state() != State::Ok);
    let others = match over.count() {
        0 | 1 => String::new(),
        more => format!(" (and {} more)", more - 1),
    };
    let worst = measured.into_iter().max_by(|(a, _), (b, _)| {
        let badness = |it: &Metric| it.state().badness();
        badness(a)
            .cmp(&badness(b))
            .then(a.value.total_cmp(&b.value))
    });
    if let Some((metric, it)) = worst {
        let line = format!(
            "{} (pid {}) {}{others}",
            it.name(),
            it.pid,
            shown(metric.value)
        );
        outcome.measure(metric, &line);
    }
}

fn finds(pattern: &Option<Pattern>, text: impl Fn() -> String) -> anyhow::Result<bool> {
    match pattern {
        None => Ok(true),
        Some(pattern) => pattern.finds(text().as_bytes()),
    }
}

/// The open files of a process; none when it has gone meanwhile.
fn files(running: &Running) -> anyhow::Result<Option<(u64, Option<u64>)>> {
    match running.files() {
        Ok(files) => Ok(Some(files)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(account::unreadable(&running.file("fd"), &error)),
    }
}

/// The numbers of the processes that a number or name means.
fn parents(wanted: &str, processes: &Processes) -> Vec<u32> {
    match wanted.parse() {
        Ok(number) => vec![number],
        Err(_) => {
            let all = processes.all.iter();
            let called = all.filter(|it| is_called(it, wanted));
            called.map(|it| it.pid).collect()
        }
    }
}

/// Whether a control group is the wanted one or lies below it.
fn is_within(cgroup: &str, wanted: &str) -> bool {
    let ends = cgroup
        .match_indices('/')
        .map(|it| it.0)
        .filter(|it| *it > 0);
    let ends = ends.chain([cgroup.len()]);
    ends.map(|end| &cgroup[..end])
        .any(|it| name::matches(wanted, it))
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

    fn seen(running: &Running) -> Seen<'_> {
        Seen {
            running,
            files: Some((90, Some(100))),
        }
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
        let outcome = process("match = 'worker'\nmemory = '100B,1kB'")
            .judge(&[seen(&small), seen(&large)], 1.0);
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
        let outcome =
            process("match = 'worker'\nage = '1m:,'").judge(&[seen(&old), seen(&young)], 1000.0);
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "worker (pid 8) is 10 s old");
    }
    #[test]
    fn open_files_are_judged_by_what_each_may_have() {
        let one = running(7, 0);
        let outcome = process("match = 'worker'\nfiles = '80%,95%'").judge(&[seen(&one)], 1.0);
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "worker (pid 7) has 90 open files");
    }

    #[test]
    fn control_groups_have_others_below_them() {
        assert!(is_within("/system.slice/nginx.service", "*/nginx.service"));
        assert!(is_within(
            "/system.slice/nginx.service/worker",
            "*/nginx.service"
        ));
        assert!(!is_within(
            "/system.slice/nginx.service2",
            "*/nginx.service"
        ));
        assert!(is_within("/user.slice/x", "/user.slice"));
    }
}
