//! `cpu`: what the CPUs do, and who makes them do it.

use crate::check::{Check, Context, Flaw, Past, Previous, Type, flaw};
use crate::host::kernel::{self, Shares, Ticks};
use crate::host::suspects::Watch;
use crate::model::duration::Duration;
use crate::model::limits::{Limits, Share};
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::{self, Unit};
use crate::model::range::Number;
use crate::model::state::State;
use serde::Deserialize;
use std::thread;
use std::time::{Duration as Time, Instant};

pub const TYPE: Type = Type::of::<Cpu>(
    "cpu",
    &[],
    include_str!("../../checks/cpu.toml"),
    &[
        ("busy", Unit::Percent),
        ("user", Unit::Percent),
        ("system", Unit::Percent),
        ("iowait", Unit::Percent),
        ("steal", Unit::Percent),
    ],
    &[CODES],
);

const CODES: &[Code] = &[
    code(
        "busy",
        "by limits",
        "The CPUs have little time left: the details name who uses them.",
    ),
    code(
        "user",
        "by limits",
        "Programs use more CPU than `user` allows.",
    ),
    code(
        "system",
        "by limits",
        "The kernel uses more CPU than `system` allows.",
    ),
    code(
        "iowait",
        "by limits",
        "CPUs are idle because disks do not keep up: the details name the busiest disk and who waits.",
    ),
    code(
        "steal",
        "by limits",
        "The machine that this virtual one runs on takes its CPU time: ask whoever runs it.",
    ),
];

/// Shares of the CPU time of all CPUs together, over a sample or since the last run. Without limits it only measures.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Cpu {
    /// Limits of all time that is neither idle nor waiting for disks, in %.
    busy: Option<Limits<Share>>,
    /// Limits of the time of programs, in %.
    user: Option<Limits<Share>>,
    /// Limits of the time of the kernel, in %.
    system: Option<Limits<Share>>,
    /// Limits of the time in which CPUs were idle but a disk was waited for, in %.
    iowait: Option<Limits<Share>>,
    /// Limits of the time that was taken by the machine that this virtual one runs on, in %.
    steal: Option<Limits<Share>>,
    /// How long to look. Default: `"1s"`.
    sample: Option<Duration>,
    /// Whether to measure since the last run instead, at once; without one, over `sample`.
    #[serde(default)]
    since_last_run: bool,
}

/// The shortest time between two runs that is worth measuring, and the longest.
const SPAN: std::ops::Range<f64> = 1.0..86_400.0;

struct Seen {
    shares: Shares,
    over: f64,
    now: Ticks,
    suspects: Vec<String>,
}

impl Check for Cpu {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let roots = &cx.run.roots;
        let since = match &cx.previous {
            Previous::Known(past) if self.since_last_run => since(past, kernel::ticks(roots)?, cx),
            _ => None,
        };
        let mut seen = match since {
            Some(seen) => seen,
            None => self.sample(cx)?,
        };
        let mut outcome = self.judge(&seen);
        if outcome.state() != State::Ok && seen.suspects.is_empty() {
            seen.suspects = Watch::start(roots).tell(roots, cx.deadline);
        }
        seen.suspects.iter().for_each(|it| outcome.detail(it));
        if let (Previous::Unknown(why), true) = (&cx.previous, self.since_last_run) {
            outcome.detail(&format!("nothing is known of the last run: {why}"));
        }
        outcome.remember(serde_json::json!(seen.now));
        Ok(outcome)
    }

    fn remembers(&self) -> bool {
        self.since_last_run
    }

    /// Without an earlier run it measures for a moment.
    fn needs_earlier(&self) -> bool {
        false
    }

    fn flaws(&self) -> Vec<Flaw> {
        let range = Time::from_millis(100)..=Time::from_secs(60);
        let sample = self.sample.filter(|it| !range.contains(&it.0));
        sample
            .map(|_| flaw("sample", "expected 100 ms to 60 s"))
            .into_iter()
            .collect()
    }
}

/// What was spent since the last run, when that is a time worth measuring.
fn since(past: &Past, now: Ticks, cx: &Context) -> Option<Seen> {
    let over = cx.now.duration_since(past.at).ok()?.as_secs_f64();
    let before = Ticks::deserialize(&past.value).ok()?;
    Some(Seen {
        shares: now.since(&before).filter(|_| SPAN.contains(&over))?,
        over,
        now,
        suspects: vec![],
    })
}

impl Cpu {
    fn sample(&self, cx: &Context) -> anyhow::Result<Seen> {
        let roots = &cx.run.roots;
        let sample = self.sample.map_or(Time::from_secs(1), |it| it.0);
        let begin = Instant::now();
        let watch = Watch::start(roots);
        let before = kernel::ticks(roots)?;
        // What is left of the time is for telling.
        let until = (begin + sample).min(cx.deadline - Time::from_millis(50));
        thread::sleep(until.saturating_duration_since(Instant::now()));
        let now = kernel::ticks(roots)?;
        let shares = now.since(&before);
        Ok(Seen {
            shares: shares
                .ok_or_else(|| anyhow::anyhow!("the kernel counted no CPU time in between"))?,
            over: begin.elapsed().as_secs_f64(),
            now,
            suspects: watch.tell(roots, cx.deadline),
        })
    }

    fn judge(&self, seen: &Seen) -> Outcome {
        let Shares {
            user,
            system,
            iowait,
            steal,
            busy,
        } = seen.shares;
        let over = quantity::seconds(seen.over);
        let shown = |value: f64| Number((value * 10.0).round() / 10.0).to_string();
        let mut outcome = Outcome::new(&format!(
            "{}% busy over {over}: user {}%, system {}%, iowait {}%, steal {}%",
            shown(busy),
            shown(user),
            shown(system),
            shown(iowait),
            shown(steal)
        ));
        let measures = [
            ("busy", busy, &self.busy, "busy"),
            ("user", user, &self.user, "used by programs"),
            ("system", system, &self.system, "used by the kernel"),
            ("iowait", iowait, &self.iowait, "waiting for disks"),
            (
                "steal",
                steal,
                &self.steal,
                "taken by the host of this virtual machine",
            ),
        ];
        for (label, value, limits, what) in measures {
            let metric = Metric::new(label, value, Unit::Percent);
            let line = format!("{}% {what} over {over}", shown(value));
            outcome.measure(metric.judged(Limits::maybe(limits, 0.0)), &line);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_share_has_its_own_limits() {
        let seen = Seen {
            shares: Shares {
                user: 50.0,
                system: 10.04,
                iowait: 30.0,
                steal: 5.0,
                busy: 65.04,
            },
            over: 1.0,
            now: Ticks::default(),
            suspects: vec![],
        };
        let judged = |keys: &str| {
            let check: Cpu = toml::from_str(keys).expect("a cpu check");
            assert!(check.flaws().is_empty());
            check.judge(&seen)
        };
        assert_eq!(judged("").state(), State::Ok);
        let outcome = judged("iowait = '20%,50%'\nsteal = '10%,'");
        assert_eq!(outcome.line(), "30% waiting for disks over 1 s");
        let outcome = judged("busy = '50%,60%'");
        assert_eq!(outcome.state(), State::Critical);
        assert_eq!(
            outcome.facts(),
            "65% busy over 1 s: user 50%, system 10%, iowait 30%, steal 5%"
        );
    }
}
