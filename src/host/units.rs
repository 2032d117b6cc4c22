//! Units of systemd, as its own `systemctl` tells them.

use crate::host::child::{Children, How, Leftovers};
use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The properties of one unit (org.freedesktop.systemd1(5)), by name.
pub type Properties = BTreeMap<String, String>;

/// The properties of units, in the order in which they were asked for.
///
/// # Errors
/// Where systemd does not run, and when `systemctl` fails.
pub fn properties(
    children: &Children,
    units: &[String],
    names: &[&str],
    deadline: Instant,
) -> anyhow::Result<Vec<Properties>> {
    let all = show(children, units, names, deadline)?;
    ensure!(
        all.len() == units.len(),
        "systemctl told of {} units instead of {}",
        all.len(),
        units.len()
    );
    Ok(all)
}

/// The properties of units that others name, by their `Id`, which must be among `names`.
///
/// # Errors
/// As [`properties`].
pub fn by_id(
    children: &Children,
    units: &[String],
    names: &[&str],
    deadline: Instant,
) -> anyhow::Result<BTreeMap<String, Properties>> {
    if units.is_empty() {
        return Ok(BTreeMap::new());
    }
    let all = show(children, units, names, deadline)?.into_iter();
    Ok(all
        .filter_map(|it| Some((it.get("Id")?.clone(), it)))
        .collect())
}

fn show(
    children: &Children,
    units: &[String],
    names: &[&str],
    deadline: Instant,
) -> anyhow::Result<Vec<Properties>> {
    let mut words = vec!["show".to_owned(), format!("--property={}", names.join(","))];
    words.push("--".to_owned());
    words.extend(units.iter().cloned());
    Ok(parse(&systemctl(children, &words, &[0], deadline)?))
}

/// The conditions and assertions of a unit that did not hold when it was last to be started:
/// "ConditionPathExists=/x". Only `systemctl status` tells them in words.
///
/// # Errors
/// As [`properties`].
pub fn unmet(children: &Children, unit: &str, deadline: Instant) -> anyhow::Result<Vec<String>> {
    let words = ["status", "--no-pager", "--lines=0", "--full", "--", unit].map(str::to_owned);
    // 3 is that it is not active (systemctl(1)).
    let text = systemctl(children, &words, &[0, 3], deadline)?;
    Ok(parse_unmet(&text))
}

fn parse_unmet(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .filter_map(|it| it.strip_suffix(" was not met"));
    let name = |it: &str| Some(it[it.find(['C', 'A'])?..].to_owned());
    lines.filter_map(name).collect()
}

/// `KEY=VALUE` lines, units parted by an empty line.
fn parse(text: &str) -> Vec<Properties> {
    let blocks = text.trim_end().split("\n\n");
    let block = |block: &str| {
        let pairs = block.lines().filter_map(|it| it.split_once('='));
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    };
    blocks.map(block).collect()
}

/// A unit that does not do its work, in a list of many.
#[derive(Debug, PartialEq)]
pub struct Idle {
    pub name: String,
    /// It has ended and waits to be started again, over and over perhaps; else it has failed.
    pub restarts: bool,
}

/// All units that have failed, or have ended badly and wait to be started again.
///
/// # Errors
/// As [`properties`].
pub fn idle(children: &Children, deadline: Instant) -> anyhow::Result<Vec<Idle>> {
    let words = [
        "list-units",
        "--state=failed,auto-restart",
        "--all",
        "--plain",
        "--no-legend",
        "--no-pager",
    ];
    let words = words.map(str::to_owned);
    let text = systemctl(children, &words, &[0], deadline)?;
    let mut idle = parse_idle(&text);
    // One that ends well and begins anew works as it is meant to.
    let waiting = idle.iter().filter(|it| it.restarts).map(|it| &it.name);
    let waiting: Vec<String> = waiting.cloned().collect();
    let ends = by_id(children, &waiting, &["Id", "Result"], deadline)?;
    let ended_well = |it: &Idle| {
        ends.get(&it.name)
            .is_some_and(|it| it.get("Result").is_some_and(|it| it == "success"))
    };
    idle.retain(|it| !(it.restarts && ended_well(it)));
    Ok(idle)
}

/// Lines of name, load state, state, finer state and description; old versions put a mark before the name.
fn parse_idle(text: &str) -> Vec<Idle> {
    let line = |line: &str| {
        let mut words = line.split_whitespace().skip_while(|it| !it.contains('.'));
        let name = words.next()?.to_owned();
        let restarts = words.nth(2) == Some("auto-restart");
        Some(Idle { name, restarts })
    };
    text.lines().filter_map(line).collect()
}

fn systemctl(
    children: &Children,
    words: &[String],
    good: &[i32],
    deadline: Instant,
) -> anyhow::Result<String> {
    // sd_booted(3)
    ensure!(
        Path::new("/run/systemd/system").is_dir(),
        "systemd does not run here; look with `process`, or with `plugin` and the init system's own command"
    );
    let places = ["/usr/bin/systemctl", "/bin/systemctl"].map(PathBuf::from);
    let program = places.into_iter().find(|it| it.exists());
    let program = program.context("systemd runs, but there is no systemctl in /usr/bin or /bin")?;
    let mut command = Command::new(program);
    command
        .args(words)
        .env("LC_ALL", "C")
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_PAGER", "");
    let ended = children.run(command, deadline, Leftovers::Kill);
    let ended = ended.context("cannot start systemctl")?;
    match ended.how {
        How::Exit(code) if good.contains(&code) => Ok(ended.out.text().into_owned()),
        How::Late => bail!("systemctl does not answer"),
        How::Signal(number) => bail!("systemctl was killed by signal {number}"),
        How::Exit(code) => bail!("systemctl exits with {code}: {}", ended.err.text().trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_parted_by_empty_lines() {
        let text = "Id=a.service\nActiveState=active\n\nId=b.timer\nDescription=x=y\n\n";
        let all = parse(text);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0]["ActiveState"], "active");
        assert_eq!(all[1]["Description"], "x=y");
    }

    #[test]
    fn unmet_conditions_are_read_from_the_status() {
        let text = "○ x.service\n     Active: inactive (dead)\n  Condition: start condition failed at Wed; 1s ago\n             ├─ ConditionPathExists=/a b was not met\n             └─ AssertUser=|root was not met\n";
        assert_eq!(
            parse_unmet(text),
            ["ConditionPathExists=/a b", "AssertUser=|root"]
        );
    }

    #[test]
    fn failed_units_and_those_that_restart_are_told_apart() {
        let text = "bad.service  loaded failed     failed       A text\n● loop.service loaded activating auto-restart x\n";
        let idle = parse_idle(text);
        let told: Vec<(&str, bool)> = idle.iter().map(|it| (&*it.name, it.restarts)).collect();
        assert_eq!(told, [("bad.service", false), ("loop.service", true)]);
    }
}
