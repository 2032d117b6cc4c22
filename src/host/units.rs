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
    let mut words = vec!["show".to_owned(), format!("--property={}", names.join(","))];
    words.push("--".to_owned());
    words.extend(units.iter().cloned());
    let text = systemctl(children, &words, deadline)?;
    let all = parse(&text);
    ensure!(
        all.len() == units.len(),
        "systemctl told of {} units instead of {}",
        all.len(),
        units.len()
    );
    Ok(all)
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

/// The names of all units that have failed.
///
/// # Errors
/// As [`properties`].
pub fn failed(children: &Children, deadline: Instant) -> anyhow::Result<Vec<String>> {
    let words = [
        "list-units",
        "--state=failed",
        "--all",
        "--plain",
        "--no-legend",
        "--no-pager",
    ];
    let words = words.map(str::to_owned);
    let text = systemctl(children, &words, deadline)?;
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    Ok(text.lines().filter_map(first).collect())
}

fn systemctl(children: &Children, words: &[String], deadline: Instant) -> anyhow::Result<String> {
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
        How::Exit(0) => Ok(ended.out.text().into_owned()),
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
}
