//! `load`: how many tasks run or wait for the CPU and disks, and who they are when they are too many.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::host::kernel::{self, Load as Averages};
use crate::host::suspects::Watch;
use crate::model::limits::{Amount, Limits};
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::Unit;
use crate::model::range::Number;
use crate::model::state::State;
use serde::Deserialize;

pub const TYPE: Type = Type::of::<Load>(
    "load",
    &[],
    include_str!("../../checks/load.toml"),
    &[
        ("load1", Unit::None),
        ("load5", Unit::None),
        ("load15", Unit::None),
    ],
    &[CODES],
);

const CODES: &[Code] = &[code(
    "load",
    "by limits",
    "Too many tasks run or wait: the details name those that use the CPU or wait in the kernel, and the busiest disk.",
)];

/// The load averages of the last 1, 5 and 15 minutes: how many tasks run, wait for a CPU or wait in the kernel. Without limits it only measures.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Load {
    /// Limits of the average over one minute.
    load1: Option<Limits<Amount>>,
    /// Limits of the average over five minutes.
    load5: Option<Limits<Amount>>,
    /// Limits of the average over fifteen minutes.
    load15: Option<Limits<Amount>>,
    /// Whether the averages are divided by the number of CPUs first.
    #[serde(default)]
    per_cpu: bool,
}

struct Seen {
    load: Averages,
    cpus: usize,
}

impl Check for Load {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let roots = &cx.run.roots;
        let seen = Seen {
            load: kernel::load(roots)?,
            cpus: kernel::cpus(roots)?,
        };
        let mut outcome = self.judge(&seen);
        if outcome.state() != State::Ok {
            for line in Watch::start(roots).tell(roots, cx.deadline) {
                outcome.detail(&line);
            }
        }
        Ok(outcome)
    }

    fn flaws(&self) -> Vec<Flaw> {
        let limited = [&self.load1, &self.load5, &self.load15];
        let none = limited.iter().all(|it| it.is_none());
        (self.per_cpu && none)
            .then(|| {
                flaw(
                    "per_cpu",
                    "without limits there is nothing to judge for each CPU",
                )
            })
            .into_iter()
            .collect()
    }
}

impl Load {
    fn judge(&self, seen: &Seen) -> Outcome {
        let shown = seen.load.averages.map(|it| format!("{it:.2}")).join(", ");
        let cpus = match seen.cpus {
            1 => "1 CPU".to_owned(),
            count => format!("{count} CPUs"),
        };
        let mut outcome = Outcome::new(&format!(
            "load {shown} on {cpus}, {} of {} tasks running",
            seen.load.runnable, seen.load.tasks
        ));
        let limits = [&self.load1, &self.load5, &self.load15];
        let minutes = [1, 5, 15];
        for ((load, limits), minutes) in seen.load.averages.iter().zip(limits).zip(minutes) {
            let label = format!("load{minutes}");
            let limits = Limits::maybe(limits, 0.0);
            let over = if minutes == 1 { "minute" } else { "minutes" };
            if !self.per_cpu {
                let line = format!("load {} over {minutes} {over} on {cpus}", Number(*load));
                let metric = Metric::new(label, *load, Unit::None).judged(limits);
                outcome.measure_as("load", metric, &line);
                continue;
            }
            outcome.note(Metric::new(label.clone(), *load, Unit::None));
            let scaled = (load / seen.cpus as f64 * 1000.0).round() / 1000.0;
            let line = format!(
                "load {} for each of {cpus} over {minutes} {over}",
                Number(scaled)
            );
            let metric = Metric::new(format!("{label}_per_cpu"), scaled, Unit::None);
            outcome.measure_as("load", metric.judged(limits), &line);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(keys: &str) -> Outcome {
        let check: Load = toml::from_str(keys).expect("a load check");
        check.judge(&Seen {
            load: Averages {
                averages: [9.0, 6.0, 3.0],
                runnable: 4,
                tasks: 200,
            },
            cpus: 4,
        })
    }

    #[test]
    fn absolute_or_for_each_cpu() {
        assert_eq!(judged("").state(), State::Ok);
        let outcome = judged("load1 = '8,10'\nload15 = '5,10'");
        assert_eq!(outcome.line(), "load 9 over 1 minute on 4 CPUs");
        assert_eq!(outcome.metrics()[0].to_string(), "load1=9;8;10;0");
        let outcome = judged("load5 = '1,2'\nper_cpu = true");
        assert_eq!(outcome.line(), "load 1.5 for each of 4 CPUs over 5 minutes");
        assert_eq!(outcome.metrics()[3].to_string(), "load5_per_cpu=1.5;1;2;0");
        assert_eq!(judged("load5 = '2,3'\nper_cpu = true").state(), State::Ok);
    }
}
