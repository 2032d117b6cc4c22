//! `memory`: programs can still get memory, swap has room, and nobody waits for memory.

use crate::check::{Check, Context, Type};
use crate::host::kernel::{self, Memory as Amounts};
use crate::host::suspects;
use crate::model::limits::{Free, Limits, Share, Used};
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use serde::Deserialize;

pub const TYPE: Type = Type::of::<Memory>(
    "memory",
    &[],
    include_str!("../../checks/memory.toml"),
    &[
        ("used", Unit::Bytes),
        ("available", Unit::Bytes),
        ("swap", Unit::Bytes),
        ("pressure", Unit::Percent),
    ],
    &[CODES],
);

const CODES: &[Code] = &[
    code(
        "used",
        "by limits",
        "Programs hold more memory than `used` allows: the details name the largest.",
    ),
    code(
        "available",
        "by limits",
        "Programs can get less memory than `available` asks for: the details name those that hold most.",
    ),
    code(
        "swap",
        "by limits",
        "Swap fills up: the machine needs more memory than it has.",
    ),
    code(
        "no-swap",
        "CRITICAL",
        "`swap` is limited, but there is none, or it is switched off.",
    ),
    code(
        "pressure",
        "by limits",
        "Tasks waited for memory for a larger part of the last minute than `pressure` allows.",
    ),
];

/// Memory that programs can still get without swapping, swap, and how long tasks wait for memory (pressure stall information).
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Memory {
    /// Limits of what is in use and cannot be given to programs, in % or bytes, as `free` counts it.
    used: Option<Limits<Used>>,
    /// Limits of what programs can still get, in % or bytes. Default: `"10%,5%"` when there is no `used`.
    available: Option<Limits<Free>>,
    /// Limits of the swap in use, in % or bytes; what is in memory too counts as free.
    swap: Option<Limits<Used>>,
    /// Limits of the part of the last minute in which some task waited for memory, in %. Needs Linux 4.20.
    pressure: Option<Limits<Share>>,
}

struct Seen {
    memory: Amounts,
    pressure: Option<f64>,
}

impl Check for Memory {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let roots = &cx.run.roots;
        let seen = Seen {
            memory: kernel::memory(roots)?,
            pressure: kernel::pressure(roots, "memory"),
        };
        anyhow::ensure!(
            self.pressure.is_none() || seen.pressure.is_some(),
            "this kernel does not tell of pressure (Linux 4.20, psi=1)"
        );
        let mut outcome = self.judge(&seen);
        if outcome.state() != State::Ok {
            let line = match cx.run.processes() {
                Ok(processes) => suspects::largest(processes),
                Err(error) => Some(format!("no suspects: {error:#}")),
            };
            line.iter().for_each(|it| outcome.detail(it));
        }
        Ok(outcome)
    }
}

impl Memory {
    fn judge(&self, seen: &Seen) -> Outcome {
        let Amounts {
            total,
            available,
            swap,
            swap_free,
        } = seen.memory;
        let (whole, left) = (total as f64, available as f64);
        let (swap, swapped) = (swap as f64, swap.saturating_sub(swap_free) as f64);
        let of = |part: f64, whole: f64| match whole > 0.0 {
            true => format!(
                "{} of {} ({:.0}%)",
                quantity::bytes(part),
                quantity::bytes(whole),
                100.0 * part / whole
            ),
            false => "none".to_owned(),
        };
        let in_swap = match swap > 0.0 {
            true => format!(", {} of swap used", of(swapped, swap)),
            false => ", no swap".to_owned(),
        };
        let mut outcome = Outcome::new(&format!("{} available{in_swap}", of(left, whole)));
        let metric = Metric::new("used", whole - left, Unit::Bytes).max(whole);
        let limits = Limits::maybe(&self.used, whole);
        let line = format!("{} used", of(whole - left, whole));
        outcome.measure(metric.judged(limits), &line);
        let default = "10%,5%".parse::<Limits<Free>>().ok();
        let limits = match (&self.used, &self.available) {
            (None, None) => Limits::maybe(&default, whole),
            (_, available) => Limits::maybe(available, whole),
        };
        let metric = Metric::new("available", left, Unit::Bytes).max(whole);
        let line = format!("{} available", of(left, whole));
        outcome.measure(metric.judged(limits), &line);
        if swap > 0.0 {
            let metric = Metric::new("swap", swapped, Unit::Bytes).max(swap);
            let limits = Limits::maybe(&self.swap, swap);
            let line = format!("{} of swap used", of(swapped, swap));
            outcome.measure(metric.judged(limits), &line);
        } else if self.swap.is_some() {
            outcome.find("no-swap", State::Critical, "there is no swap, or it is off");
        }
        if let Some(pressure) = seen.pressure {
            let limits = Limits::maybe(&self.pressure, 0.0);
            let metric = Metric::new("pressure", pressure, Unit::Percent);
            let line = format!("tasks waited for memory in {pressure}% of the last minute");
            outcome.measure(metric.judged(limits), &line);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(keys: &str, memory: Amounts) -> Outcome {
        let check: Memory = toml::from_str(keys).expect("a memory check");
        check.judge(&Seen {
            memory,
            pressure: Some(12.5),
        })
    }

    const MEMORY: Amounts = Amounts {
        total: 1000,
        available: 80,
        swap: 500,
        swap_free: 200,
    };

    #[test]
    fn what_is_available_alarms_by_default() {
        let outcome = judged("", MEMORY);
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "80 B of 1000 B (8%) available");
        assert_eq!(judged("used = '95%,'", MEMORY).state(), State::Ok);
        assert_eq!(judged("used = '91%,92%'", MEMORY).state(), State::Warning);
    }

    #[test]
    fn swap_that_is_limited_must_be_there() {
        assert_eq!(
            judged("swap = '50%,70%'\navailable = '1%,'", MEMORY).state(),
            State::Warning
        );
        let none = Amounts {
            swap: 0,
            swap_free: 0,
            ..MEMORY
        };
        let outcome = judged("swap = '50%,70%'\navailable = '1%,'", none);
        assert_eq!(outcome.findings()[0].code, "no-swap");
        assert_eq!(judged("available = '1%,'", none).state(), State::Ok);
    }

    #[test]
    fn pressure_is_judged_where_it_is_told() {
        let outcome = judged("pressure = '10%,20%'\navailable = '1%,'", MEMORY);
        assert_eq!(
            outcome.line(),
            "tasks waited for memory in 12.5% of the last minute"
        );
    }
}
