//! `service`: a unit of systemd is active, or no unit at all has failed.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::host::kernel;
use crate::host::units::{self, Properties};
use crate::model::limits::{Age, Count, Limits, Memory};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::name;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use serde::Deserialize;

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

/// A unit of systemd is active, as `systemctl show` tells; without `unit`, no unit of this machine has failed. A service that runs once and ends (`Type=oneshot`) is judged by its last result.
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

const PROPERTIES: [&str; 12] = [
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "ExecMainStatus",
    "Type",
    "UnitFileState",
    "NRestarts",
    "MemoryCurrent",
    "ActiveEnterTimestampMonotonic",
    "InactiveEnterTimestampMonotonic",
];

impl Check for Service {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let children = &cx.run.children;
        match &self.unit {
            Some(List(asked)) => {
                let all = units::properties(children, asked, &PROPERTIES, cx.deadline)?;
                let uptime = kernel::uptime(&cx.run.roots)?;
                Ok(self.judge(asked, &all, uptime))
            }
            None => Ok(self.judge_all(&units::failed(children, cx.deadline)?)),
        }
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

impl Service {
    fn judge(&self, asked: &[String], all: &[Properties], uptime: f64) -> Outcome {
        let told: Vec<String> = asked
            .iter()
            .zip(all)
            .map(|it| described(it.0, it.1, uptime))
            .collect();
        let mut outcome = Outcome::new(&match &told[..] {
            [one] => one.clone(),
            many => format!("{} units looked at", many.len()),
        });
        for (asked, unit) in asked.iter().zip(all) {
            self.judge_one(&mut outcome, asked, unit, uptime, all.len());
        }
        if told.len() > 1 {
            told.iter().for_each(|it| outcome.detail(it));
        }
        outcome
    }

    fn judge_one(
        &self,
        outcome: &mut Outcome,
        asked: &str,
        unit: &Properties,
        uptime: f64,
        count: usize,
    ) {
        let get = |key: &str| unit.get(key).map_or("", String::as_str);
        let line = described(asked, unit, uptime);
        // A unit that has never run has had no bad result either.
        let has_run = !matches!(get("InactiveEnterTimestampMonotonic"), "" | "0");
        let once = get("Type") == "oneshot" && get("Result") == "success" && has_run;
        let fault = match (get("LoadState"), get("ActiveState"), get("SubState")) {
            ("not-found", ..) => Some(("missing", State::Critical)),
            ("masked", ..) => Some(("masked", State::Critical)),
            (_, "failed", _) => Some(("failed", State::Critical)),
            (_, "activating", "auto-restart") => Some(("restarting", State::Critical)),
            (_, "activating", _) if once => None,
            (_, "activating" | "deactivating", _) => Some(("changing", State::Warning)),
            (_, "active" | "reloading" | "refreshing", _) => None,
            (_, "inactive", _) if once => None,
            _ => Some(("inactive", State::Critical)),
        };
        if let Some((code, state)) = fault {
            outcome.find(code, state, &line);
        } else if get("UnitFileState") == "disabled" && get("ActiveState") == "active" {
            let line = format!("{asked} will not be started with the machine (disabled)");
            outcome.find("disabled", State::Ok, &line);
        }
        let label = |metric: &str| match count {
            1 => metric.to_owned(),
            _ => format!("{}.{metric}", name::label(asked)),
        };
        if let Some(age) = age(unit, uptime) {
            let metric = Metric::new(label("age"), age.round(), Unit::Seconds);
            let line = format!("{asked} is active for {}", quantity::seconds(age));
            outcome.measure_as("age", metric.judged(Limits::maybe(&self.age, 0.0)), &line);
        }
        // What is not counted reads "[not set]", or as the largest number.
        let number = |key: &str| get(key).parse::<u64>().ok().filter(|it| *it != u64::MAX);
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

    fn judge_all(&self, failed: &[String]) -> Outcome {
        let excluded = |unit: &str| {
            let patterns = self.exclude.iter().flat_map(|it| &it.0);
            patterns.clone().any(|it| name::matches(it, unit))
        };
        let (left_out, failed): (Vec<&String>, Vec<&String>) =
            failed.iter().partition(|it| excluded(it));
        let mut outcome = match failed.is_empty() {
            true => Outcome::new("no unit has failed"),
            false => Outcome::default(),
        };
        let metric = Metric::new("failed", failed.len() as f64, Unit::None);
        outcome.note(metric);
        if let [first, rest @ ..] = &failed[..] {
            let names: Vec<&str> = failed.iter().map(|it| it.as_str()).collect();
            let line = match rest.len() {
                0 => format!("{first} has failed"),
                _ => format!("{} units have failed: {}", failed.len(), names.join(", ")),
            };
            outcome.find("failed", State::Critical, &line);
        }
        for unit in left_out {
            outcome.detail(&format!("{unit} has failed too, but is left out"));
        }
        outcome
    }
}

/// Seconds since it became active.
fn age(unit: &Properties, uptime: f64) -> Option<f64> {
    let entered = unit
        .get("ActiveEnterTimestampMonotonic")?
        .parse::<f64>()
        .ok()?;
    let active = matches!(unit.get("ActiveState")?.as_str(), "active" | "reloading");
    (active && entered > 0.0).then(|| (uptime - entered / 1e6).max(0.0))
}

/// "nginx.service is active (running) for 3 d 4 h", "x.service has failed (exit-code, status 1)".
fn described(asked: &str, unit: &Properties, uptime: f64) -> String {
    let get = |key: &str| unit.get(key).map_or("", String::as_str);
    let id = match get("Id") {
        "" => asked,
        id => id,
    };
    let since = age(unit, uptime).map_or(String::new(), |it| {
        format!(" for {}", quantity::seconds(it))
    });
    let why = match (get("Result"), get("ExecMainStatus")) {
        ("exit-code", status) => format!("exit code {status}"),
        (result, _) => result.to_owned(),
    };
    match (get("LoadState"), get("ActiveState")) {
        ("not-found", _) => format!("{id}: systemd knows no such unit"),
        ("masked", _) => format!("{id} is masked"),
        (_, "failed") => format!("{id} has failed ({why})"),
        (_, "activating") if get("SubState") == "auto-restart" => {
            format!("{id} has ended ({why}) and waits to be started again")
        }
        (_, "inactive") if get("Type") == "oneshot" => match get("InactiveEnterTimestampMonotonic")
        {
            "" | "0" => format!("{id} has not run since the machine started"),
            _ => format!("{id} has run once ({why})"),
        },
        (_, active) => format!("{id} is {active} ({}){since}", get("SubState")),
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
        let check: Service = toml::from_str(&format!("unit = 'x'\n{keys}")).expect("keys");
        assert!(check.flaws().is_empty());
        check.judge(&["x".to_owned()], &[unit(text)], 1000.0)
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
        let failed = |units: &[&str]| {
            let units: Vec<String> = units.iter().map(|it| (*it).to_owned()).collect();
            check.judge_all(&units)
        };
        assert_eq!(failed(&["fwupd-refresh.service"]).state(), State::Ok);
        assert_eq!(
            failed(&["a.service", "b.mount"]).line(),
            "2 units have failed: a.service, b.mount"
        );
    }
}
