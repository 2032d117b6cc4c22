//! `uptime`: how long ago the machine started.

use crate::check::{Check, Context, Type};
use crate::host::kernel;
use crate::model::limits::{Age, Limits};
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use std::path::Path;
use std::time::{Duration, SystemTime};

pub const TYPE: Type = Type::of::<Uptime>(
    "uptime",
    &[],
    include_str!("../../checks/uptime.toml"),
    &[("up", Unit::Seconds)],
    &[CODES],
);

const CODES: &[Code] = &[
    code(
        "up",
        "by limits",
        "The machine has started only now, or runs for longer than its kernel should go without updates.",
    ),
    code(
        "reboot-required",
        "OK",
        "An update wants the machine to be started anew (/run/reboot-required).",
    ),
];

/// How long ago the machine started; without limits it only measures.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Uptime {
    /// Limits of the time since it started: `"15m:,"` warns of a machine that has just started.
    up: Option<Limits<Age>>,
}

struct Seen {
    up: f64,
    kernel: Option<String>,
    /// Packages that want it started anew.
    reboot: Option<Vec<String>>,
}

impl Check for Uptime {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let seen = Seen {
            up: kernel::uptime(&cx.run.roots)?,
            kernel: kernel::version(&cx.run.roots).ok(),
            reboot: reboot(Path::new("/run")),
        };
        Ok(self.judge(&seen, cx.now))
    }
}

/// What Debian's packages leave for the administrator.
fn reboot(run: &Path) -> Option<Vec<String>> {
    run.join("reboot-required").exists().then(|| {
        let packages = std::fs::read_to_string(run.join("reboot-required.pkgs"));
        let packages = packages.unwrap_or_default();
        packages.lines().map(str::to_owned).collect()
    })
}

impl Uptime {
    fn judge(&self, seen: &Seen, now: SystemTime) -> Outcome {
        let since = now
            .checked_sub(Duration::try_from_secs_f64(seen.up).unwrap_or_default())
            .and_then(|it| Timestamp::try_from(it).ok())
            .map(|it| {
                it.to_zoned(TimeZone::system())
                    .strftime(" since %Y-%m-%d %H:%M")
                    .to_string()
            });
        let kernel = seen.kernel.as_ref().map(|it| format!(", Linux {it}"));
        let line = format!(
            "up {}{}{}",
            quantity::seconds(seen.up),
            since.unwrap_or_default(),
            kernel.unwrap_or_default()
        );
        let mut outcome = Outcome::new(&line);
        let metric = Metric::new("up", seen.up.round(), Unit::Seconds);
        outcome.measure(metric.judged(Limits::maybe(&self.up, 0.0)), &line);
        if let Some(packages) = &seen.reboot {
            let why = match packages[..] {
                [] => String::new(),
                _ => format!(" for {}", packages.join(", ")),
            };
            let line = format!("the machine should be started anew{why}");
            outcome.find("reboot-required", State::Ok, &line);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_young_and_too_old_alarm() {
        let state = |up: f64| {
            let check: Uptime = toml::from_str("up = '15m:365d,'").expect("an uptime check");
            let seen = Seen {
                up,
                kernel: None,
                reboot: Some(vec!["linux-image".to_owned()]),
            };
            let outcome = check.judge(&seen, SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30));
            assert!(
                outcome
                    .lines()
                    .iter()
                    .any(|it| it.ends_with("anew for linux-image"))
            );
            outcome.state()
        };
        assert_eq!(
            [60.0, 86_400.0, 4e7].map(state),
            [State::Warning, State::Ok, State::Warning]
        );
    }
}
