//! `service`: a unit of systemd is active, or no unit at all has failed.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::host::kernel;
use crate::host::units::{self, Idle, Properties};
use crate::model::limits::{Age, Count, Limits, Memory};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::name;
use crate::model::outcome::{Code, Outcome, UNKNOWN, code};
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

pub const TYPE: Type = Type::of::<Service>(
    "service",
    &["unit"],
    include_str!("../../checks/service.toml"),
    &[],
    &[CODES],
);

const CODES: &[Code] = &[
    code(
        "failed",
        "CRITICAL",
        "The unit has failed: `journalctl -u UNIT` says why, `systemctl restart UNIT` tries again.",
    ),
    code(
        "inactive",
        "CRITICAL",
        "The unit is not active: nobody has started it, or somebody has stopped it.",
    ),
    code(
        "missing",
        "CRITICAL",
        "systemd knows no such unit: it is not installed, or its name is another.",
    ),
    code(
        "masked",
        "CRITICAL",
        "The unit is masked, so that nothing can start it.",
    ),
    code(
        "restarting",
        "CRITICAL",
        "The unit has ended and waits to be started again: it does not stay up.",
    ),
    code(
        "elapsed",
        "CRITICAL, or WARNING for a timer that is to fire only once",
        "The timer is active, but will not fire again: it waits for something that never happens, or its dates are past.",
    ),
    code(
        "stays-active",
        "WARNING",
        "The timer cannot start its unit again, because that stays active (`RemainAfterExit=yes`): its work is not done.",
    ),
    code(
        "no-trigger",
        "WARNING",
        "The unit has run, but the timer that is to start it again is not active: `systemctl enable --now X.timer`.",
    ),
    code(
        "condition",
        "CRITICAL, or WARNING where a timer tries again",
        "systemd did not start the unit, because a condition of its unit file did not hold.",
    ),
    code(
        "exited",
        "WARNING",
        "The unit is active, but none of its processes runs: a daemon has ended unnoticed. A service that is to end is `Type=oneshot`.",
    ),
    code(
        "frozen",
        "CRITICAL",
        "The unit's processes are stopped: `systemctl thaw UNIT` lets them go on.",
    ),
    code(
        "changing",
        "WARNING",
        "The unit is starting or stopping just now.",
    ),
    code(
        "disabled",
        "OK",
        "The unit is active, but will not be started with the machine.",
    ),
    code(
        "age",
        "by limits",
        "The unit became active too lately, or too long ago.",
    ),
    code(
        "memory",
        "by limits",
        "The unit's processes hold more memory than `memory` allows.",
    ),
    code(
        "restarts",
        "by limits",
        "systemd had to start the unit anew too often.",
    ),
];

/// A unit of systemd is active and does its work, as `systemctl show` tells; without `unit`, no unit of this machine has failed or fails over and over. A service that runs once and ends (`Type=oneshot`, or started by a timer) is judged by its last result; one that a timer or socket is still to start is fine; a timer, socket or path is judged by what it starts, too.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Service {
    /// Units; a name without a suffix is a service.
    unit: Option<List<String>>,
    /// Without `unit`: units that may have failed, with `*` and `?`.
    exclude: Option<List<String>>,
    /// Limits of the time since each became active: `"1m:,"` warns of younger ones.
    age: Option<Limits<Age>>,
    /// Limits of the memory of each unit's processes together.
    memory: Option<Limits<Memory>>,
    /// Limits of how often systemd has started each anew by itself.
    restarts: Option<Limits<Count>>,
}

const PROPERTIES: [&str; 22] = [
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "FreezerState",
    "Result",
    "ExecMainStatus",
    "Type",
    "UnitFileState",
    "NRestarts",
    "MemoryCurrent",
    "ActiveEnterTimestampMonotonic",
    "InactiveEnterTimestampMonotonic",
    "ConditionResult",
    "AssertResult",
    "ConditionTimestampMonotonic",
    "Triggers",
    "TriggeredBy",
    "TimersCalendar",
    "TimersMonotonic",
    "NextElapseUSecRealtime",
    "NextElapseUSecMonotonic",
];

/// What systemd says of the units that are asked for, and of those that start them or that they start.
#[derive(Default)]
struct Seen {
    asked: Vec<Properties>,
    others: BTreeMap<String, Properties>,
    /// By the name of a unit, the conditions of it that did not hold.
    unmet: BTreeMap<String, Vec<String>>,
    /// Seconds on the clock of the stamps.
    clock: f64,
}

impl Check for Service {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let children = &cx.run.children;
        let Some(List(asked)) = &self.unit else {
            return Ok(self.judge_all(&units::idle(children, cx.deadline)?));
        };
        let all = units::properties(children, asked, &PROPERTIES, cx.deadline)?;
        let others: BTreeSet<String> = all.iter().flat_map(others).collect();
        let others: Vec<String> = others.into_iter().collect();
        let others = units::by_id(children, &others, &PROPERTIES, cx.deadline)?;
        let mut unmet = BTreeMap::new();
        for unit in all.iter().chain(others.values()).filter(|it| is_unmet(it)) {
            let id = get(unit, "Id").to_owned();
            unmet.insert(id.clone(), units::unmet(children, &id, cx.deadline)?);
        }
        let seen = Seen {
            asked: all,
            others,
            unmet,
            clock: kernel::monotonic_clock(),
        };
        Ok(self.judge(asked, &seen))
    }

    fn spawns(&self) -> bool {
        true
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let units = self.unit.iter().flat_map(|it| &it.0);
        if let Some(unit) = units
            .clone()
            .find(|it| it.is_empty() || it.starts_with('-'))
        {
            flaws.push(flaw("unit", format!("{unit:?} is no name of a unit")));
        }
        if let Some(unit) = units.clone().find(|it| name::is_pattern(it)) {
            flaws.push(flaw(
                "unit",
                format!("{unit:?} is a pattern, expected the name of a unit"),
            ));
        }
        if self.unit.is_some() && self.exclude.is_some() {
            flaws.push(flaw("exclude", "a unit that is named is not left out"));
        }
        let limited = self.age.is_some() || self.memory.is_some() || self.restarts.is_some();
        if self.unit.is_none() && limited {
            flaws.push(flaw(
                "unit",
                "`age`, `memory` and `restarts` are those of named units",
            ));
        }
        flaws
    }
}

/// A property's value; empty where this systemd does not have it.
fn get<'p>(unit: &'p Properties, key: &str) -> &'p str {
    unit.get(key).map_or("", String::as_str)
}

/// Whether a stamp, or the time until something, is one: "0", "n/a" and "infinity" are none.
fn is_set(unit: &Properties, key: &str) -> bool {
    !matches!(get(unit, key), "" | "0" | "n/a" | "infinity")
}

fn is_active(unit: &Properties) -> bool {
    matches!(
        get(unit, "ActiveState"),
        "active" | "reloading" | "refreshing"
    )
}

/// Whether it was not started when it last was to be, because a condition did not hold.
fn is_unmet(unit: &Properties) -> bool {
    let no = |key: &str| get(unit, key) == "no";
    get(unit, "ActiveState") == "inactive"
        && is_set(unit, "ConditionTimestampMonotonic")
        && (no("ConditionResult") || no("AssertResult"))
}

/// The names of the units that start it or that it starts, and of the timer that is usually called like it.
fn others(unit: &Properties) -> Vec<String> {
    let mut names: Vec<&str> = get(unit, "Triggers").split_whitespace().collect();
    if get(unit, "ActiveState") == "inactive" {
        names.extend(get(unit, "TriggeredBy").split_whitespace());
    }
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let service = get(unit, "Id").strip_suffix(".service");
    if let Some(name) = service.filter(|_| get(unit, "ActiveState") == "inactive") {
        names.push(format!("{name}.timer"));
    }
    names
}

impl Seen {
    /// Those of the units of a property that systemd told of.
    fn named(&self, unit: &Properties, key: &str) -> Vec<&Properties> {
        let names = get(unit, key).split_whitespace();
        names.filter_map(|it| self.others.get(it)).collect()
    }

    /// The unit that is to start this one, when it is about to.
    fn starter(&self, unit: &Properties) -> Option<&Properties> {
        let all = self.named(unit, "TriggeredBy").into_iter();
        all.into_iter()
            .find(|it| is_active(it) && !will_not_fire(it))
    }

    /// The timer that is to start this one, but is not active.
    fn dead_timer(&self, unit: &Properties) -> Option<&Properties> {
        let usual = get(unit, "Id").strip_suffix(".service");
        let usual = usual.and_then(|it| self.others.get(&format!("{it}.timer")));
        let usual = usual.filter(|it| get(it, "LoadState") == "loaded");
        let all = self.named(unit, "TriggeredBy").into_iter().chain(usual);
        let is_timer = |it: &&Properties| get(it, "Id").ends_with(".timer");
        all.into_iter()
            .filter(is_timer)
            .find(|_| self.starter(unit).is_none())
    }

    /// "ConditionPathExists=/x did not hold".
    fn why_unmet(&self, unit: &Properties) -> String {
        match self.unmet.get(get(unit, "Id")) {
            Some(all) if !all.is_empty() => format!("{} did not hold", all.join(" and ")),
            _ => "a condition of its unit file did not hold".to_owned(),
        }
    }
}

/// Whether a timer has elapsed and has no next time.
fn will_not_fire(unit: &Properties) -> bool {
    get(unit, "SubState") == "elapsed"
        && !is_set(unit, "NextElapseUSecRealtime")
        && !is_set(unit, "NextElapseUSecMonotonic")
}

/// Whether a timer is to fire only once after the machine, its manager or itself has started.
fn fires_once(unit: &Properties) -> bool {
    let monotonic = get(unit, "TimersMonotonic");
    let repeats = monotonic.contains("OnUnitActive") || monotonic.contains("OnUnitInactive");
    !monotonic.is_empty() && !repeats && get(unit, "TimersCalendar").is_empty()
}

impl Service {
    fn judge(&self, asked: &[String], seen: &Seen) -> Outcome {
        let told: Vec<String> = asked
            .iter()
            .zip(&seen.asked)
            .map(|it| described(it.0, it.1, seen))
            .collect();
        let mut outcome = Outcome::new(&match &told[..] {
            [one] => one.clone(),
            many => format!("{} units looked at", many.len()),
        });
        for (asked, unit) in asked.iter().zip(&seen.asked) {
            self.judge_one(&mut outcome, asked, unit, seen);
        }
        if told.len() > 1 {
            told.iter().for_each(|it| outcome.detail(it));
        }
        outcome
    }

    fn judge_one(&self, outcome: &mut Outcome, asked: &str, unit: &Properties, seen: &Seen) {
        let line = described(asked, unit, seen);
        if let Some((code, state)) = fault(unit, seen) {
            outcome.find(code, state, &line);
        } else if get(unit, "UnitFileState") == "disabled" && get(unit, "ActiveState") == "active" {
            let line = format!("{asked} will not be started with the machine (disabled)");
            outcome.find("disabled", State::Ok, &line);
        }
        if is_active(unit) {
            for started in seen.named(unit, "Triggers") {
                if let Some((code, state, line)) = fault_of_started(unit, started, seen) {
                    outcome.find(code, state, &line);
                }
            }
        }
        let count = seen.asked.len();
        let stamped = is_active(unit) && is_set(unit, "ActiveEnterTimestampMonotonic");
        if self.age.is_some() && stamped && age(unit, seen.clock).is_none() {
            let line = format!(
                "how long {asked} is active cannot be known here: its stamp is of no clock that can be read"
            );
            outcome.find(UNKNOWN, State::Unknown, &line);
        }
        let label = |metric: &str| match count {
            1 => metric.to_owned(),
            _ => format!("{}.{metric}", name::label(asked)),
        };
        if let Some(age) = age(unit, seen.clock) {
            let metric = Metric::new(label("age"), age.round(), Unit::Seconds);
            let line = format!("{asked} is active for {}", quantity::seconds(age));
            outcome.measure_as("age", metric.judged(Limits::maybe(&self.age, 0.0)), &line);
        }
        // What is not counted reads "[not set]", or as the largest number.
        let number = |key: &str| {
            get(unit, key)
                .parse::<u64>()
                .ok()
                .filter(|it| *it != u64::MAX)
        };
        let unknown = [
            ("memory", self.memory.is_some(), "MemoryCurrent"),
            ("restarts", self.restarts.is_some(), "NRestarts"),
        ];
        for (what, is_limited, key) in unknown {
            if is_limited && is_active(unit) && number(key).is_none() {
                let line = format!("systemd does not count the {what} of {asked}");
                outcome.find(UNKNOWN, State::Unknown, &line);
            }
        }
        if let Some(memory) = number("MemoryCurrent") {
            let metric = Metric::new(label("memory"), memory as f64, Unit::Bytes);
            let line = format!("{asked} holds {}", quantity::bytes(memory as f64));
            outcome.measure_as(
                "memory",
                metric.judged(Limits::maybe(&self.memory, 0.0)),
                &line,
            );
        }
        if let Some(restarts) = number("NRestarts") {
            let metric = Metric::new(label("restarts"), restarts as f64, Unit::None);
            let line = format!("{asked} was started anew {restarts} times");
            outcome.measure_as(
                "restarts",
                metric.judged(Limits::maybe(&self.restarts, 0.0)),
                &line,
            );
        }
    }

    fn judge_all(&self, idle: &[Idle]) -> Outcome {
        let excluded = |it: &Idle| {
            let mut patterns = self.exclude.iter().flat_map(|it| &it.0);
            patterns.any(|pattern| name::matches(pattern, &it.name))
        };
        let (left_out, idle): (Vec<&Idle>, Vec<&Idle>) = idle.iter().partition(|it| excluded(it));
        let named = |restarts: bool| -> Vec<&str> {
            let all = idle.iter().filter(|it| it.restarts == restarts);
            all.map(|it| it.name.as_str()).collect()
        };
        let (failed, restarting) = (named(false), named(true));
        let mut outcome = match idle.is_empty() {
            true => Outcome::new("no unit has failed"),
            false => Outcome::default(),
        };
        let metric = Metric::new("failed", failed.len() as f64, Unit::None);
        outcome.note(metric);
        let list = |units: &[&str], one: &str, many: &str| match units {
            [only] => format!("{only} {one}"),
            all => format!("{} units {many}: {}", all.len(), all.join(", ")),
        };
        if !failed.is_empty() {
            let line = list(&failed, "has failed", "have failed");
            outcome.find("failed", State::Critical, &line);
        }
        if !restarting.is_empty() {
            let one = "has ended badly and waits to be started again";
            let many = "have ended badly and wait to be started again";
            let line = list(&restarting, one, many);
            outcome.find("restarting", State::Critical, &line);
        }
        for it in left_out {
            let what = match it.restarts {
                true => "waits to be started again",
                false => "has failed",
            };
            outcome.detail(&format!("{} {what} too, but is left out", it.name));
        }
        outcome
    }
}

/// What is wrong with a unit by its own state.
fn fault(unit: &Properties, seen: &Seen) -> Option<(&'static str, State)> {
    let is_service = get(unit, "Id").ends_with(".service");
    let is_oneshot = get(unit, "Type") == "oneshot";
    // A unit that has never run has had no bad result either.
    let has_run = is_set(unit, "InactiveEnterTimestampMonotonic");
    let is_well = matches!(get(unit, "Result"), "success" | "");
    let starter = seen.starter(unit);
    let once = is_oneshot && is_well && has_run;
    match (
        get(unit, "LoadState"),
        get(unit, "ActiveState"),
        get(unit, "SubState"),
    ) {
        ("not-found", ..) => Some(("missing", State::Critical)),
        ("masked", ..) => Some(("masked", State::Critical)),
        (_, "failed", _) => Some(("failed", State::Critical)),
        (_, "activating", "auto-restart") => Some(("restarting", State::Critical)),
        (_, "activating", _) if once => None,
        (_, "activating" | "deactivating", _) => Some(("changing", State::Warning)),
        _ if matches!(get(unit, "FreezerState"), "frozen" | "freezing") => {
            Some(("frozen", State::Critical))
        }
        (_, "active", "exited") if is_service && !is_oneshot => Some(("exited", State::Warning)),
        (_, "active", _) if will_not_fire(unit) => Some(match fires_once(unit) {
            true => ("elapsed", State::Warning),
            false => ("elapsed", State::Critical),
        }),
        (_, "active" | "reloading" | "refreshing", _) => None,
        (_, "inactive", _) if is_unmet(unit) => Some(match starter {
            Some(_) => ("condition", State::Warning),
            None => ("condition", State::Critical),
        }),
        (_, "inactive", _) if is_well && starter.is_some() => None,
        (_, "inactive", _) if once && seen.dead_timer(unit).is_some() => {
            Some(("no-trigger", State::Warning))
        }
        (_, "inactive", _) if once => None,
        _ => Some(("inactive", State::Critical)),
    }
}

/// What is wrong with a unit that another one, whose own state may be fine, is there to start.
fn fault_of_started(
    starter: &Properties,
    unit: &Properties,
    seen: &Seen,
) -> Option<(&'static str, State, String)> {
    let (id, by) = (get(unit, "Id"), get(starter, "Id"));
    let is_timer = by.ends_with(".timer");
    let states = (
        get(unit, "LoadState"),
        get(unit, "ActiveState"),
        get(unit, "SubState"),
    );
    let (code, state) = match states {
        ("not-found", ..) => ("missing", State::Critical),
        ("masked", ..) => ("masked", State::Critical),
        (_, "failed", _) => ("failed", State::Critical),
        (_, "activating", "auto-restart") => ("restarting", State::Critical),
        (_, "active", "exited") if is_timer => {
            let line = format!("{id} stays active after its end, so {by} does not start it again");
            return Some(("stays-active", State::Warning, line));
        }
        _ if is_unmet(unit) => ("condition", State::Warning),
        _ => return None,
    };
    let line = format!(
        "{}, which is what {by} is to start",
        described(id, unit, seen)
    );
    Some((code, state, line))
}

/// Seconds since it became active; none where its stamp is of no clock that can be read.
fn age(unit: &Properties, clock: f64) -> Option<f64> {
    let entered = get(unit, "ActiveEnterTimestampMonotonic")
        .parse::<f64>()
        .ok()?;
    let age = clock - entered / 1e6;
    (is_active(unit) && entered > 0.0 && age > -1.0).then_some(age.max(0.0))
}

/// "nginx.service is active (running) for 3 d 4 h", "x.service has failed (exit code 1)".
fn described(asked: &str, unit: &Properties, seen: &Seen) -> String {
    let id = match get(unit, "Id") {
        "" => asked,
        id => id,
    };
    let since = age(unit, seen.clock).map_or(String::new(), |it| {
        format!(" for {}", quantity::seconds(it))
    });
    let why = match (get(unit, "Result"), get(unit, "ExecMainStatus")) {
        ("exit-code", status) => format!("exit code {status}"),
        (result, _) => result.to_owned(),
    };
    let starter = seen.starter(unit);
    let has_run = is_set(unit, "InactiveEnterTimestampMonotonic");
    let (active, fine) = (get(unit, "ActiveState"), get(unit, "SubState"));
    let is_job = get(unit, "Type") == "oneshot" || starter.is_some();
    match (get(unit, "LoadState"), active) {
        ("not-found", _) => format!("{id}: systemd knows no such unit"),
        ("masked", _) => format!("{id} is masked"),
        (_, "failed") => format!("{id} has failed ({why})"),
        (_, "activating") if fine == "auto-restart" => {
            format!("{id} has ended ({why}) and waits to be started again")
        }
        (_, "active") if matches!(get(unit, "FreezerState"), "frozen" | "freezing") => {
            format!("{id} is frozen: its processes are stopped")
        }
        (_, "active") if will_not_fire(unit) => {
            format!("{id} is active, but has elapsed and will not fire again")
        }
        (_, "active") if is_set(unit, "NextElapseUSecRealtime") => {
            format!(
                "{id} is active ({fine}){since}, next {}",
                get(unit, "NextElapseUSecRealtime")
            )
        }
        (_, "inactive") if is_unmet(unit) => {
            format!("{id} was not started: {}", seen.why_unmet(unit))
        }
        (_, "inactive") if is_job => {
            let begun = match has_run {
                false => format!("{id} has not run since the machine started"),
                true => format!("{id} has run once ({why})"),
            };
            match (starter, seen.dead_timer(unit)) {
                (Some(it), _) => format!("{begun}; {} starts it", get(it, "Id")),
                (None, Some(it)) => {
                    format!(
                        "{begun}, but {}, which is to start it, is not active",
                        get(it, "Id")
                    )
                }
                (None, None) => begun,
            }
        }
        (_, active) => format!("{id} is {active} ({fine}){since}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> Properties {
        let pairs = text.split(' ').filter_map(|it| it.split_once('='));
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn judged(keys: &str, text: &str) -> Outcome {
        judged_among(keys, text, &[])
    }

    /// The same while systemd tells of other units, too.
    fn judged_among(keys: &str, text: &str, others: &[&str]) -> Outcome {
        let check: Service = toml::from_str(&format!("unit = 'x'\n{keys}")).expect("keys");
        assert!(check.flaws().is_empty());
        let others = others.iter().map(|it| unit(it));
        let seen = Seen {
            asked: vec![unit(text)],
            others: others.map(|it| (it["Id"].clone(), it)).collect(),
            unmet: BTreeMap::from([("x.service".to_owned(), vec!["ConditionUser=no".to_owned()])]),
            clock: 1000.0,
        };
        check.judge(&["x".to_owned()], &seen)
    }

    /// State, first code if any, and line.
    fn told(text: &str, others: &[&str]) -> (State, String, String) {
        let outcome = judged_among("", text, others);
        let code = outcome.findings().first().map(|it| it.code.clone());
        (outcome.state(), code.unwrap_or_default(), outcome.line())
    }

    #[test]
    fn every_state_of_a_unit_has_its_own_code() {
        let cases = [
            ("LoadState=not-found ActiveState=inactive", "missing"),
            ("LoadState=masked ActiveState=inactive", "masked"),
            (
                "LoadState=loaded ActiveState=failed Result=exit-code ExecMainStatus=3",
                "failed",
            ),
            (
                "LoadState=loaded ActiveState=inactive Type=simple Result=success",
                "inactive",
            ),
            (
                "LoadState=loaded ActiveState=activating SubState=auto-restart",
                "restarting",
            ),
            (
                "LoadState=loaded ActiveState=activating SubState=start",
                "changing",
            ),
            (
                "LoadState=loaded ActiveState=active UnitFileState=disabled",
                "disabled",
            ),
        ];
        for (text, code) in cases {
            assert_eq!(judged("", text).findings()[0].code, code, "{text}");
        }
        let failed = judged("", cases[2].0);
        assert_eq!(failed.line(), "x has failed (exit code 3)");
    }

    #[test]
    fn what_runs_once_is_judged_by_its_result() {
        let never = "LoadState=loaded ActiveState=inactive Type=oneshot Result=success";
        assert_eq!(judged("", never).state(), State::Critical);
        let once = format!("{never} InactiveEnterTimestampMonotonic=5");
        assert_eq!(judged("", &once).state(), State::Ok);
        let failed = "LoadState=loaded ActiveState=inactive Type=oneshot Result=timeout";
        assert_eq!(judged("", failed).state(), State::Critical);
    }

    #[test]
    fn age_memory_and_restarts_are_measured() {
        let text = "Id=x.service LoadState=loaded ActiveState=active SubState=running NRestarts=7 MemoryCurrent=1048576 ActiveEnterTimestampMonotonic=940000000";
        let outcome = judged("age = '5m:,'", text);
        assert_eq!(outcome.line(), "x is active for 60 s");
        let outcome = judged("memory = '1MB,'\nrestarts = ',~:5'", text);
        assert_eq!(outcome.state(), State::Critical);
        assert_eq!(outcome.metrics().len(), 3);
        assert_eq!(outcome.facts(), "x.service is active (running) for 60 s");
        let none = judged("", &text.replace("1048576", "18446744073709551615"));
        assert_eq!(none.metrics().len(), 2);
    }

    #[test]
    fn failed_units_are_named_unless_they_are_left_out() {
        let check: Service = toml::from_str("exclude = 'fwupd*'").expect("keys");
        let idle = |units: &[&str], restarts: bool| {
            let idle = |name: &&str| Idle {
                name: (*name).to_owned(),
                restarts,
            };
            let units: Vec<Idle> = units.iter().map(idle).collect();
            check.judge_all(&units)
        };
        let failed = |units: &[&str]| idle(units, false);
        let again = idle(&["loop.service"], true);
        assert_eq!(
            again.line(),
            "loop.service has ended badly and waits to be started again"
        );
        assert_eq!(again.state(), State::Critical);
        assert_eq!(failed(&["fwupd-refresh.service"]).state(), State::Ok);
        assert_eq!(
            failed(&["a.service", "b.mount"]).line(),
            "2 units have failed: a.service, b.mount"
        );
    }

    const JOB: &str = "Id=x.service LoadState=loaded ActiveState=inactive SubState=dead Result=success ConditionResult=yes AssertResult=yes";
    const TIMER: &str = "Id=x.timer LoadState=loaded ActiveState=active SubState=waiting NextElapseUSecMonotonic=1h Triggers=x.service";

    #[test]
    fn a_job_of_a_timer_is_fine_before_its_first_run_and_after_a_good_one() {
        let never = format!("{JOB} Type=oneshot TriggeredBy=x.timer");
        let (state, _, line) = told(&never, &[TIMER]);
        assert_eq!(state, State::Ok, "{line}");
        assert_eq!(
            line,
            "x.service has not run since the machine started; x.timer starts it"
        );
        // Many jobs are not declared as such.
        let simple =
            format!("{JOB} Type=simple TriggeredBy=x.timer InactiveEnterTimestampMonotonic=5");
        let (state, _, line) = told(&simple, &[TIMER]);
        assert_eq!(
            (state, line.as_str()),
            (
                State::Ok,
                "x.service has run once (success); x.timer starts it"
            )
        );
        let (state, code, _) = told(&simple.replace("x.timer", ""), &[]);
        assert_eq!((state, code.as_str()), (State::Critical, "inactive"));
        let socket =
            "Id=x.socket LoadState=loaded ActiveState=active SubState=listening Triggers=x.service";
        let waits = format!("{JOB} Type=simple TriggeredBy=x.socket");
        assert_eq!(told(&waits, &[socket]).0, State::Ok);
        // A timer that does nothing starts nothing.
        let elapsed = TIMER
            .replace("waiting", "elapsed")
            .replace("1h", "infinity");
        assert_eq!(told(&never, &[&elapsed]).1, "inactive");
        let dead = TIMER.replace("ActiveState=active", "ActiveState=inactive");
        assert_eq!(told(&never, &[&dead]).1, "inactive");
        let ran = format!("{JOB} Type=oneshot InactiveEnterTimestampMonotonic=5");
        let (state, code, line) = told(&ran, &[&dead]);
        assert_eq!((state, code.as_str()), (State::Warning, "no-trigger"));
        assert!(
            line.ends_with(", but x.timer, which is to start it, is not active"),
            "{line}"
        );
        assert_eq!(told(&ran, &[]).0, State::Ok, "it needs none");
    }

    #[test]
    fn a_condition_that_did_not_hold_is_named() {
        let text = JOB.replace(
            "ConditionResult=yes",
            "ConditionResult=no ConditionTimestampMonotonic=7",
        );
        let (state, code, line) = told(&format!("{text} Type=simple"), &[]);
        assert_eq!((state, code.as_str()), (State::Critical, "condition"));
        assert_eq!(
            line,
            "x.service was not started: ConditionUser=no did not hold"
        );
        let (state, code, _) = told(
            &format!("{text} Type=oneshot TriggeredBy=x.timer"),
            &[TIMER],
        );
        assert_eq!((state, code.as_str()), (State::Warning, "condition"));
        // Before the first attempt nothing has been asked.
        let text = JOB.replace("yes", "no");
        assert_eq!(
            told(&format!("{text} ConditionTimestampMonotonic=0"), &[]).1,
            "inactive"
        );
    }

    #[test]
    fn a_state_word_that_is_fine_hides_no_work_that_is_not_done() {
        let job = |words: &str| format!("Id=x.service LoadState=loaded {words}");
        let elapsed = TIMER
            .replace("waiting", "elapsed")
            .replace("1h", "infinity");
        let once = format!("{elapsed} TimersMonotonic={{OnBootUSec=1min}}");
        let again = format!("{elapsed} TimersMonotonic={{OnUnitActiveUSec=1h}}");
        let cases = [
            (TIMER.to_owned(), job("ActiveState=inactive"), State::Ok, ""),
            (
                TIMER.to_owned(),
                job("ActiveState=active SubState=running"),
                State::Ok,
                "",
            ),
            (
                elapsed,
                job("ActiveState=inactive"),
                State::Critical,
                "elapsed",
            ),
            (once, job("ActiveState=inactive"), State::Warning, "elapsed"),
            (
                again,
                job("ActiveState=inactive"),
                State::Critical,
                "elapsed",
            ),
            (
                TIMER.to_owned(),
                job("ActiveState=failed Result=timeout"),
                State::Critical,
                "failed",
            ),
            (
                TIMER.to_owned(),
                "Id=x.service LoadState=not-found".to_owned(),
                State::Critical,
                "missing",
            ),
            (
                TIMER.to_owned(),
                "Id=x.service LoadState=masked".to_owned(),
                State::Critical,
                "masked",
            ),
            (
                TIMER.to_owned(),
                job("ActiveState=active SubState=exited"),
                State::Warning,
                "stays-active",
            ),
            (
                TIMER.to_owned(),
                job("ActiveState=inactive ConditionResult=no ConditionTimestampMonotonic=7"),
                State::Warning,
                "condition",
            ),
            (
                job("ActiveState=active SubState=exited Type=forking"),
                TIMER.to_owned(),
                State::Warning,
                "exited",
            ),
            (
                job("ActiveState=active SubState=exited Type=oneshot"),
                TIMER.to_owned(),
                State::Ok,
                "",
            ),
            (
                job("ActiveState=active SubState=running FreezerState=frozen"),
                TIMER.to_owned(),
                State::Critical,
                "frozen",
            ),
        ];
        for (unit, other, state, code) in cases {
            let said = told(&unit, &[&other]);
            assert_eq!(
                (said.0, said.1.as_str()),
                (state, code),
                "{unit} beside {other}: {}",
                said.2
            );
        }
        let failed = job("ActiveState=failed Result=exit-code ExecMainStatus=3");
        assert_eq!(
            told(TIMER, &[&failed]).2,
            "x.service has failed (exit code 3), which is what x.timer is to start"
        );
    }

    #[test]
    fn a_stamp_of_another_clock_tells_no_age() {
        // In a container with a clock of its own, and after a suspended night, /proc/uptime is another one.
        let text = "LoadState=loaded ActiveState=active ActiveEnterTimestampMonotonic=5000000000";
        assert_eq!(judged("", text).state(), State::Ok);
        let outcome = judged("age = '1h:,'", text);
        assert_eq!(outcome.metrics().len(), 0);
        assert_eq!(outcome.state(), State::Unknown);
    }

    #[test]
    fn a_limit_of_what_is_not_counted_is_unknown() {
        let text = "LoadState=loaded ActiveState=active MemoryCurrent=[not";
        let outcome = judged("memory = '1GB,'", text);
        assert_eq!(outcome.line(), "systemd does not count the memory of x");
        assert_eq!(judged("restarts = '~:3,'", text).state(), State::Unknown);
    }
}
