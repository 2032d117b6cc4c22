//! `process`: the processes that should run do, in the right number, and none of them is out of bounds.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::host::account;
use crate::host::processes::{Processes, Running, SHORT};
use crate::model::limits::{Age, Amount, Count, Files, Judges, Limits, Memory, Share};
use crate::model::metric::Metric;
use crate::model::name;
use crate::model::outcome::{Code, Outcome, UNKNOWN, code};
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
    code(
        "zombies",
        "OK",
        "Processes of this name have ended, and their parent has not noticed: they are not counted. Restart the parent if they become more.",
    ),
];

/// Processes run in the right number, and none of the matches holds too much memory, CPU or time. koshu itself is never counted, nor are zombies, which have ended, unless `state` asks for them.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Process {
    /// The process' name, with `*` and `?`: the whole one, or the 15 bytes that ps shows of it; of a script its file's, unless `#!/usr/bin/env` starts it.
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
        let (matches, zombies) = self.observe(processes)?;
        let mut outcome = self.judge(&matches, &zombies, processes.clock);
        if !zombies.is_empty() {
            let line = unburied(&zombies, processes);
            outcome.find("zombies", State::Ok, &line);
        }
        Ok(outcome)
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
    /// The processes that match, and apart from them those that have ended.
    fn observe<'p>(&self, processes: &'p Processes) -> anyhow::Result<Found<'p>> {
        let user = self.user.as_deref().map(account::number).transpose()?;
        let own = processes.own();
        let parents = self.parent.as_ref().map(|it| parents(it, processes));
        let wants_zombies = self
            .state
            .as_ref()
            .is_some_and(|it| it.contains(['Z', 'X', 'x']));
        let (mut matches, mut zombies) = (Vec::new(), Vec::new());
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
                && finds(&self.regex, || running.name().into_bytes())?
                && user.is_none_or(|it| running.user() == Some(it))
                && finds(&self.args, || running.words().join(&b' '))?
                && self
                    .cgroup
                    .as_ref()
                    .is_none_or(|it| is_within(&running.cgroup(), it))
                && self.container.is_none_or(|it| running.is_contained() == it);
            if fits && running.is_zombie() && !wants_zombies {
                zombies.push(running);
            } else if fits {
                matches.push(Seen {
                    running,
                    files: match self.files {
                        None => None,
                        Some(_) => files(running)?,
                    },
                });
            }
        }
        Ok((matches, zombies))
    }

    fn judge(&self, matches: &[Seen], zombies: &[&Running], clock: Option<f64>) -> Outcome {
        let count = match matches.len() {
            1 => "1 process".to_owned(),
            count => format!("{count} processes"),
        };
        let not_counted = match zombies.len() {
            0 => String::new(),
            1 => " (and 1 zombie, which is not counted)".to_owned(),
            count => format!(" (and {count} zombies, which are not counted)"),
        };
        let line = format!("{count}{}{not_counted}", self.wanted());
        let mut outcome = Outcome::new(&line);
        let limits = match &self.count {
            Some(limits) => limits.of(0.0),
            None => Judges {
                warn: vec![],
                crit: vec![Range::from(1.0)],
            },
        };
        let metric = Metric::new("count", matches.len() as f64, Unit::None).judged(limits);
        outcome.measure(metric, &line);
        let bytes = |what: &'static str| move |value| format!("{what} {}", quantity::bytes(value));
        let measures: [Measure; 5] = [
            (
                ("memory", Unit::Bytes),
                Limits::maybe(&self.memory, 0.0),
                Box::new(|it| Some(it.memory as f64)),
                Box::new(bytes("holds")),
            ),
            (
                ("cpu", Unit::Percent),
                Limits::maybe(&self.cpu, 0.0),
                Box::new(move |it| Some((it.cpu(clock)? * 100.0).round() / 100.0)),
                Box::new(|value| format!("used {value:.0}% of a CPU since it started")),
            ),
            (
                ("age", Unit::Seconds),
                Limits::maybe(&self.age, 0.0),
                Box::new(move |it| it.age(clock).map(f64::round)),
                Box::new(|value| format!("is {} old", quantity::seconds(value))),
            ),
            (
                ("virtual", Unit::Bytes),
                Limits::maybe(&self.virtual_memory, 0.0),
                Box::new(|it| Some(it.virtual_memory as f64)),
                Box::new(bytes("has an address space of")),
            ),
            (
                ("threads", Unit::None),
                Limits::maybe(&self.threads, 0.0),
                Box::new(|it| Some(it.threads as f64)),
                Box::new(|value| format!("has {value} threads")),
            ),
        ];
        for (what, limits, value, shown) in &measures {
            let measured = matches.iter().filter_map(|it| {
                let metric = Metric::new(what.0, value(it.running)?, what.1);
                Some((metric.judged(limits.clone()), it.running))
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
        let ageless = matches.iter().find(|it| it.running.age(clock).is_none());
        if let Some(it) = ageless.filter(|_| self.age.is_some() || self.cpu.is_some()) {
            let line = format!(
                "when {} (pid {}) started cannot be known here: its stamp is of no clock that can be read",
                it.running.name(),
                it.running.pid
            );
            outcome.find(UNKNOWN, State::Unknown, &line);
        }
        // Whoever holds most stands first, unless the list asks for age.
        let mut matches: Vec<&Running> = matches.iter().map(|it| it.running).collect();
        match self.age {
            Some(_) => matches.sort_by_key(|it| std::cmp::Reverse(it.start)),
            None => matches.sort_by_key(|it| std::cmp::Reverse(it.memory)),
        }
        const SHOWN: usize = 10;
        for it in matches.iter().take(SHOWN) {
            let age = it
                .age(clock)
                .map(|it| format!("{}, ", quantity::seconds(it)));
            let cpu = it.cpu(clock).map(|it| format!(", {it:.0}% CPU"));
            outcome.detail(&format!(
                "{} {}: {}{}{}",
                it.pid,
                it.name(),
                age.unwrap_or_default(),
                quantity::bytes(it.memory as f64),
                cpu.unwrap_or_default()
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

type Found<'p> = (Vec<Seen<'p>>, Vec<&'p Running>);

/// One match, with its open files where they are limited.
struct Seen<'p> {
    running: &'p Running,
    files: Option<(u64, Option<u64>)>,
}

/// What is measured of each match: label and unit, limits, the value where it is known, and a match with it in words.
type Measure = (
    (&'static str, Unit),
    Judges,
    Box<dyn Fn(&Running) -> Option<f64>>,
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

fn finds(pattern: &Option<Pattern>, text: impl Fn() -> Vec<u8>) -> anyhow::Result<bool> {
    match pattern {
        None => Ok(true),
        Some(pattern) => pattern.finds(&text()),
    }
}

/// "not counted: zombie worker (pid 7, of master (pid 5))".
fn unburied(zombies: &[&Running], processes: &Processes) -> String {
    const SHOWN: usize = 5;
    let who = |it: &Running| {
        let parent = processes.all.iter().find(|other| other.pid == it.parent);
        let parent = parent.map(|it| format!(", of {} (pid {})", it.name(), it.pid));
        format!(
            "zombie {} (pid {}{})",
            it.name(),
            it.pid,
            parent.unwrap_or_default()
        )
    };
    let named: Vec<String> = zombies.iter().take(SHOWN).map(|it| who(it)).collect();
    let more = match zombies.len() {
        count if count > SHOWN => format!(" and {} more", count - SHOWN),
        _ => String::new(),
    };
    format!("not counted: {}{more}", named.join(", "))
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
    if name::is_pattern(wanted) {
        return running.is_called(|it| name::matches(wanted, it));
    }
    // What the kernel keeps of the name tells most processes apart without a look at their command line.
    let known = running
        .short
        .utf8_chunks()
        .next()
        .map_or("", |it| it.valid());
    let may_be = wanted.starts_with(known) || known.starts_with(wanted);
    // Of what has ended nothing longer is known.
    let is_cut = running.is_zombie() && running.short.len() >= SHORT && wanted.starts_with(known);
    is_cut || (may_be && running.is_called(|it| it == wanted))
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
            short: b"worker".to_vec(),
            state: 'S',
            memory,
            ..Running::default()
        }
    }

    #[test]
    fn no_match_is_critical_unless_it_may_be_absent() {
        assert_eq!(
            process("match = 'x'").judge(&[], &[], Some(1.0)).state(),
            State::Critical
        );
        let outcome = process("match = 'x'\ncount = '0:0,'").judge(&[], &[], Some(1.0));
        assert_eq!(outcome.state(), State::Ok);
    }

    #[test]
    fn the_worst_match_is_named() {
        let (small, large) = (running(7, 10), running(8, 2000));
        let outcome = process("match = 'worker'\nmemory = '100B,1kB'").judge(
            &[seen(&small), seen(&large)],
            &[],
            Some(1.0),
        );
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
        let outcome = process("match = 'worker'\nage = '1m:,'").judge(
            &[seen(&old), seen(&young)],
            &[],
            Some(1000.0),
        );
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "worker (pid 8) is 10 s old");
    }
    #[test]
    fn open_files_are_judged_by_what_each_may_have() {
        let one = running(7, 0);
        let outcome =
            process("match = 'worker'\nfiles = '80%,95%'").judge(&[seen(&one)], &[], Some(1.0));
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
