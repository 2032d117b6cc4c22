//! `plugin`: runs a Nagios plugin, a script or any other command, and takes over what it says.

mod command;

use crate::check::{Author, Check, Context, Flaw, Type, flaw};
use crate::host::account;
use crate::host::child::{Ended, How, KEPT, Leftovers};
use crate::host::writers;
use crate::model::limits::{Count, Limits};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::name;
use crate::model::outcome::{Code, Outcome, UNKNOWN, code};
use crate::model::pattern::Pattern;
use crate::model::perfdata::{self, Extent, Printed};
use crate::model::quantity::{self, Unit};
use crate::model::range::Number;
use crate::model::secret::Secret;
use crate::model::state::State;
use crate::model::text;
use anyhow::{bail, ensure};
use command::Command;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const TYPE: Type = Type::of::<Plugin>(
    "plugin",
    &["command"],
    include_str!("../../../checks/plugin.toml"),
    &[],
    &[CODES],
);

const CODES: &[Code] = &[
    code(
        "warning",
        "WARNING",
        "The plugin says WARNING (exit code 1).",
    ),
    code(
        "critical",
        "CRITICAL",
        "The plugin says CRITICAL (exit code 2).",
    ),
    code(
        "no-output",
        "UNKNOWN",
        "The plugin exits with 0 but says nothing: nobody knows whether it looked at all.",
    ),
    code(
        "exit",
        "UNKNOWN, or CRITICAL for a command that is no plugin",
        "The exit code is none of those that are expected.",
    ),
    code(
        "signal",
        "UNKNOWN",
        "The command was killed by a signal that was not koshu's: it crashed, or the kernel ran out of memory.",
    ),
    code(
        "no-match",
        "CRITICAL",
        "`pattern` finds nothing in what the command prints.",
    ),
    code(
        "value",
        "by limits",
        "A number that `pattern` finds is outside of its `limits`.",
    ),
    code(
        "perfdata",
        "OK",
        "Part of the plugin's perfdata is malformed or cut off, and left out.",
    ),
];

/// A Nagios plugin, script or command is run; its state, text and perfdata are taken over. It runs without input and without a shell, in a process group of its own that is killed at the timeout.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Plugin {
    /// The program and its arguments: a list, or one string that is split at blanks as a shell does. A program without `/` is looked for in PATH and where plugins usually lie.
    command: Command,
    /// Whether `command` is a line for `/bin/sh`.
    #[serde(default)]
    shell: bool,
    /// The folder in which it runs. Default: the list's; for an ad-hoc check, or where the list's cannot be entered, koshu's own.
    dir: Option<PathBuf>,
    /// Environment variables in addition to koshu's own, of which `KOSHU_…_PASSWORD`, `KOSHU_…_TOKEN` and the like are not handed on: text, `{ env = "NAME" }` or `{ file = "PATH" }`.
    #[serde(default)]
    env: BTreeMap<String, Secret>,
    /// Whether processes that it leaves behind when it exits go on, as for a script that starts a daemon; else they are killed, wherever they have gone (koshu knows them by `KOSHU_CHILD` in their environment). At the timeout they are killed all the same.
    #[serde(default)]
    keep_children: bool,
    /// The exit codes of a command that is no plugin, all others are CRITICAL. Default: those of a plugin; `0` when there is a `pattern`.
    exit: Option<List<i32>>,
    /// What the output of a command that is no plugin must contain; each named group `(?<NAME>\d+)` becomes a metric.
    pattern: Option<Pattern>,
    /// Limits of the numbers that `pattern` finds, by the names of its groups: `{ mails = "~:100,~:500" }`.
    #[serde(default)]
    limits: BTreeMap<String, Limits<Count>>,
}

/// The most lines of stderr that are worth showing.
const STDERR_LINES: usize = 20;

impl Check for Plugin {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        self.judge(&self.observe(cx)?)
    }

    fn spawns(&self) -> bool {
        true
    }

    fn privileged(&self) -> Option<&'static str> {
        Some("which programs root runs")
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws: Vec<Flaw> = self.command.flaw(self.shell).into_iter().collect();
        let groups = self.groups();
        for name in self.limits.keys() {
            if groups.iter().any(|it| it == name) {
                continue;
            }
            let near = name::nearest(name, groups.iter().map(String::as_str));
            let near = near.map_or(String::new(), |it| format!(", did you mean `{it}`?"));
            flaws.push(flaw(
                "limits",
                format!("`pattern` has no group (?<{name}>…){near}"),
            ));
        }
        let wrong = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
        if let Some(name) = self.env.keys().find(wrong) {
            flaws.push(flaw("env", format!("{name:?} is no name of a variable")));
        }
        flaws
    }
}

impl Plugin {
    /// The named groups of the pattern.
    fn groups(&self) -> Vec<String> {
        let regex = self.pattern.as_ref().and_then(|it| it.regex().ok());
        let names = regex.iter().flat_map(|it| it.capture_names()).flatten();
        names.map(str::to_owned).collect()
    }

    /// The folder in which it is to run; koshu's own where that of the list cannot be entered, or none is known.
    fn folder(&self, cx: &Context) -> anyhow::Result<Option<PathBuf>> {
        let enter = |it: &Path| accessat(CWD, it, Access::EXEC_OK, AtFlags::EACCESS);
        let Some(dir) = &self.dir else {
            let base = Some(cx.base.clone());
            return Ok(base.filter(|it| it.is_dir() && enter(it).is_ok()));
        };
        let dir = cx.path(dir);
        ensure!(dir.is_dir(), "there is no folder {}", dir.display());
        ensure!(
            enter(&dir).is_ok(),
            "user {} may not enter the folder {}",
            account::own(),
            dir.display()
        );
        Ok(Some(dir))
    }

    fn observe(&self, cx: &Context) -> anyhow::Result<Ended> {
        let mut command = self.command.prepare(self.shell, cx)?;
        if cx.author == Author::List && rustix::process::geteuid().is_root() {
            let others = writers::others(&command.program);
            if let Some(who) = others.filter(|_| command.program.exists()) {
                bail!("not started as root: {who}");
            }
        }
        if let Some(dir) = self.folder(cx)? {
            command.command.current_dir(dir);
        }
        for (name, value) in &self.env {
            command.command.env(name, cx.value(name, value)?);
        }
        let leftovers = match self.keep_children {
            true => Leftovers::Keep,
            false => Leftovers::Kill,
        };
        cx.run
            .children
            .run(command.command, cx.deadline, leftovers)
            .map_err(|error| command::refused(&command.program, &error))
    }

    fn judge(&self, ended: &Ended) -> anyhow::Result<Outcome> {
        let is_plugin = self.exit.is_none() && self.pattern.is_none();
        let mut outcome = match (ended.how, is_plugin) {
            (How::Late, _) => late(ended),
            (How::Signal(number), _) => killed(number, ended),
            (How::Exit(code), true) => of_plugin(code, self.shell, ended),
            (How::Exit(code), false) => self.of_command(code, ended)?,
        };
        if ended.out.more > 0 {
            outcome.detail(&format!(
                "{} more of its output are left out",
                quantity::bytes(ended.out.more as f64)
            ));
        }
        let errors = text::without_escapes(&ended.err.text());
        let errors: Vec<&str> = errors.lines().filter(|it| !it.trim().is_empty()).collect();
        for line in errors.iter().take(STDERR_LINES) {
            outcome.detail(&format!("stderr: {line}"));
        }
        if errors.len() > STDERR_LINES {
            outcome.detail(&format!(
                "stderr: and {} more lines",
                errors.len() - STDERR_LINES
            ));
        }
        Ok(outcome)
    }

    /// A command of which exit code and output are to be judged here.
    fn of_command(&self, code: i32, ended: &Ended) -> anyhow::Result<Outcome> {
        let output = text::without_escapes(&ended.out.text());
        let first = output.lines().find(|it| !it.trim().is_empty());
        let mut outcome = Outcome::new(&match first {
            Some(line) => text::excerpt(line, 200),
            None => format!("exits with {code}"),
        });
        let expected = self.exit.as_ref().map_or(&[0][..], |it| &it.0);
        if !expected.contains(&code) {
            let list: Vec<String> = expected.iter().map(i32::to_string).collect();
            let line = format!(
                "exits with {code}, expected {}{}",
                list.join(" or "),
                said(ended)
            );
            outcome.find("exit", State::Critical, &line);
        }
        if let Some(pattern) = &self.pattern {
            match pattern.regex()?.captures(ended.out.whole_words()) {
                None if ended.out.more > 0 => outcome.find(
                    UNKNOWN,
                    State::Unknown,
                    &format!(
                        "/{}/ finds nothing in the first {} of the output, and no more of it was kept",
                        pattern.as_str(),
                        quantity::bytes(KEPT as f64)
                    ),
                ),
                None => outcome.find(
                    "no-match",
                    State::Critical,
                    &format!("/{}/ finds nothing{}", pattern.as_str(), said(ended)),
                ),
                Some(found) => {
                    for name in self.groups() {
                        // A group of another branch of the pattern did not take part.
                        if let Some(value) = found.name(&name) {
                            let value = String::from_utf8_lossy(value.as_bytes());
                            self.measure(&mut outcome, &name, &value);
                        }
                    }
                }
            }
        }
        Ok(outcome)
    }

    fn measure(&self, outcome: &mut Outcome, name: &str, value: &str) {
        let number = value.parse::<f64>().ok().filter(|it| it.is_finite());
        let Some(number) = number else {
            let shown = text::excerpt(value, 40);
            let line = format!("{name} is \"{shown}\", which is no number");
            return outcome.find(UNKNOWN, State::Unknown, &line);
        };
        let limits = self.limits.get(name).map(|it| it.of(0.0));
        let metric = Metric::new(name, number, Unit::None).signed();
        let metric = metric.judged(limits.unwrap_or_default());
        outcome.measure_as("value", metric, &format!("{name} is {}", Number(number)));
    }
}

/// What a plugin says in the guidelines' way.
fn of_plugin(code: i32, shell: bool, ended: &Ended) -> Outcome {
    let extent = match ended.out.more {
        0 => Extent::Whole,
        _ => Extent::Cut,
    };
    let mut printed = perfdata::read(&ended.out.text(), extent);
    if printed.text.is_empty() {
        // Who says nothing but numbers has looked all the same.
        printed.text = match printed.long.is_empty() {
            true => in_words(&printed.items),
            false => printed.long.remove(0),
        };
    }
    let line = without_state(&printed.text);
    let silent = line.is_empty();
    let (code, state, line) = match code {
        0 if silent => {
            let line = format!("exits with 0 but says nothing{}", said(ended));
            ("no-output", State::Unknown, line)
        }
        0 => return with_rest(Outcome::new(line), &printed),
        1..=3 if silent => {
            let line = format!("exits with {code} but says nothing{}", said(ended));
            let (code, state) = finding(code);
            (code, state, line)
        }
        1..=3 => {
            let (code, state) = finding(code);
            (code, state, line.to_owned())
        }
        _ => {
            let what = match (code, shell) {
                (126, true) => ": the shell may not execute the command",
                (127, true) => ": the shell does not find the command",
                _ => ", which is no state of a plugin (0 to 3)",
            };
            let line = format!("exits with {code}{what}{}", said(ended));
            ("exit", State::Unknown, line)
        }
    };
    with_rest(Outcome::of(code, state, &line), &printed)
}

/// Perfdata for people: "time=1s, size=5KB".
fn in_words(items: &[perfdata::Item]) -> String {
    const SHOWN: usize = 5;
    let item = |it: &perfdata::Item| format!("{}={}{}", it.label, it.value, it.unit);
    let shown: Vec<String> = items.iter().take(SHOWN).map(item).collect();
    match items.len() {
        count if count > SHOWN => format!("{} and {} more", shown.join(", "), count - SHOWN),
        _ => shown.join(", "),
    }
}

/// The finding of a plugin's own state.
fn finding(code: i32) -> (&'static str, State) {
    match code {
        1 => ("warning", State::Warning),
        2 => ("critical", State::Critical),
        _ => (UNKNOWN, State::Unknown),
    }
}

/// Long text and perfdata.
fn with_rest(mut outcome: Outcome, printed: &Printed) -> Outcome {
    for line in &printed.long {
        outcome.detail(line);
    }
    for metric in printed.items.iter().filter_map(perfdata::Item::metric) {
        outcome.note(metric);
    }
    if !printed.malformed.is_empty() {
        const SHOWN: usize = 5;
        let words = printed.malformed.iter().take(SHOWN);
        let words: Vec<String> = words
            .map(|it| format!("\"{}\"", text::excerpt(it, 40)))
            .collect();
        let more = match printed.malformed.len() {
            count if count > SHOWN => format!(" and {} more", count - SHOWN),
            _ => String::new(),
        };
        let line = format!("this is no perfdata: {}{more}", words.join(", "));
        outcome.find("perfdata", State::Ok, &line);
    }
    if let Some(half) = &printed.half {
        let half = text::excerpt(half, 40);
        let line = format!("the output is cut off at \"{half}\", which is left out");
        outcome.find("perfdata", State::Ok, &line);
    }
    outcome
}

/// The text without the plugin's own state word: "DISK CRITICAL - ", "OK: ", "[OK] - ".
fn without_state(line: &str) -> &str {
    let rest = line
        .split_once(' ')
        .filter(|(service, _)| {
            let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "_-".contains(c);
            service.starts_with(|c: char| c.is_ascii_uppercase()) && service.chars().all(upper)
        })
        .map(|it| it.1);
    // A state word is an upper-case word as well.
    for start in [Some(line), rest].into_iter().flatten() {
        for word in ["OK", "WARNING", "CRITICAL", "UNKNOWN"] {
            let framed = start
                .strip_prefix('[')
                .and_then(|it| it.strip_prefix(word)?.strip_prefix(']'));
            let after = framed.or(start.strip_prefix(word)).map(str::trim_start);
            let after = after.and_then(|it| it.strip_prefix(['-', ':']));
            if let Some(after) = after {
                return after.trim_start();
            }
        }
    }
    line
}

fn late(ended: &Ended) -> Outcome {
    let said = said(ended);
    match said.is_empty() {
        true => Outcome::late("no answer, and it was killed"),
        false => Outcome::late(&format!("no answer, and it was killed{said}")),
    }
}

fn killed(number: i32, ended: &Ended) -> Outcome {
    let name = signal_hook::low_level::signal_name(number);
    let name = name.map_or(String::new(), |it| format!(" ({it})"));
    let line = format!("killed by signal {number}{name}{}", said(ended));
    Outcome::of("signal", State::Unknown, &line)
}

/// What it printed last, on either output, as far as one line shows it.
fn said(ended: &Ended) -> String {
    let last = |kept: &str| {
        let plain = text::without_escapes(kept);
        let line = plain.lines().rfind(|it| !it.trim().is_empty());
        line.map(|it| text::excerpt(it, 120))
    };
    match (last(&ended.out.text()), last(&ended.err.text())) {
        (Some(line), _) => format!("; it says \"{line}\""),
        (None, Some(line)) => format!("; on stderr it says \"{line}\""),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::child::Kept;

    fn ended(how: How, out: &str, err: &str) -> Ended {
        let kept = |text: &str| Kept {
            bytes: text.as_bytes().to_vec(),
            more: 0,
        };
        Ended {
            how,
            out: kept(out),
            err: kept(err),
        }
    }

    fn judged(keys: &str, how: How, out: &str) -> Outcome {
        let plugin: Plugin = toml::from_str(&format!("command = 'x'\n{keys}")).expect("keys");
        assert!(plugin.flaws().is_empty());
        plugin.judge(&ended(how, out, "")).expect("a verdict")
    }

    #[test]
    fn the_own_state_word_is_dropped() {
        let cases = [
            ("DISK OK - free space: /", "free space: /"),
            ("CRITICAL: all is lost", "all is lost"),
            ("HTTP WARNING: HTTP/1.1 404", "HTTP/1.1 404"),
            ("FILE_AGE OK: x is new", "x is new"),
            ("PROCS OK: 9 processes", "9 processes"),
            ("[WARNING] - critical=0, warning=1", "critical=0, warning=1"),
            ("OKAY - fine", "OKAY - fine"),
            ("all is OK - really", "all is OK - really"),
            ("OK", "OK"),
        ];
        for (line, without) in cases {
            assert_eq!(without_state(line), without);
        }
    }

    #[test]
    fn exit_codes_say_what_they_are() {
        let state = |code: i32| judged("", How::Exit(code), "x").state();
        assert_eq!(
            [0, 1, 2, 3, 4, 255].map(state),
            [
                State::Ok,
                State::Warning,
                State::Critical,
                State::Unknown,
                State::Unknown,
                State::Unknown
            ]
        );
        let outcome = judged("", How::Exit(7), "x");
        assert!(
            outcome
                .line()
                .starts_with("exits with 7, which is no state")
        );
        assert_eq!(
            judged("", How::Signal(11), "").line(),
            "killed by signal 11 (SIGSEGV)"
        );
        assert!(
            judged("shell = true", How::Exit(127), "")
                .line()
                .contains("does not find")
        );
    }

    #[test]
    fn perfdata_alone_is_an_answer() {
        let outcome = judged("", How::Exit(0), "| time=1.5s;2;3 size=7KB\n");
        assert_eq!(
            (outcome.state(), outcome.line()),
            (State::Ok, "time=1.5s, size=7KB".to_owned())
        );
        let outcome = judged("", How::Exit(1), "| time=1.5s;2;3\nthe disk is slow\n");
        assert_eq!(outcome.line(), "the disk is slow");
        assert_eq!(judged("", How::Exit(0), "|\n").state(), State::Unknown);
    }

    #[test]
    fn what_is_cut_inside_a_number_is_no_number() {
        let cut = |keys: &str, out: &str| {
            let plugin: Plugin = toml::from_str(&format!("command = 'x'\n{keys}")).expect("keys");
            let mut ended = ended(How::Exit(0), out, "");
            ended.out.more = 3;
            plugin.judge(&ended).expect("a verdict")
        };
        let outcome = cut("", "OK | a=1 b=12");
        assert_eq!(outcome.metrics().len(), 1);
        let note = "note: the output is cut off at \"b=12\", which is left out";
        assert!(outcome.texts().iter().any(|it| it == note), "{outcome:?}");
        let keys = "pattern = 'n=(?<n>\\d+)'\nlimits = { n = '~:500,' }";
        assert_eq!(cut(keys, "n=12").findings()[0].code, UNKNOWN);
        assert_eq!(cut(keys, "n=12 x").metrics()[0].value, 12.0);
    }

    #[test]
    fn a_silent_exit_0_is_not_ok() {
        assert_eq!(judged("", How::Exit(0), "\n").state(), State::Unknown);
        assert_eq!(judged("exit = 0", How::Exit(0), "").state(), State::Ok);
    }

    #[test]
    fn named_groups_become_metrics_with_limits() {
        let keys = "pattern = '(?<mails>\\d+) mails|empty'\nlimits = { mails = '~:10,~:20' }";
        let outcome = judged(keys, How::Exit(0), "there are\n 12 mails\n");
        assert_eq!(outcome.line(), "mails is 12");
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.metrics()[0].to_string(), "mails=12;~:10;~:20");
        assert_eq!(judged(keys, How::Exit(0), "empty").state(), State::Ok);
        assert_eq!(
            judged(keys, How::Exit(0), "?").findings()[0].code,
            "no-match"
        );
        assert_eq!(judged(keys, How::Exit(1), "empty").state(), State::Critical);
        let wrong = "pattern = '(?<n>\\S+)'";
        assert_eq!(judged(wrong, How::Exit(0), "ten").state(), State::Unknown);
    }

    #[test]
    fn limits_of_groups_that_are_not_there_are_flaws() {
        let plugin: Plugin =
            toml::from_str("command = 'x'\npattern = '(?<mails>\\d)'\nlimits = { mail = '~:1,' }")
                .expect("keys");
        assert!(plugin.flaws()[0].message.contains("did you mean `mails`?"));
    }
}
