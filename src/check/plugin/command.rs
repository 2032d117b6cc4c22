//! A command as the list writes it, and the program that it names.

use crate::check::{Context, Flaw, flaw};
use crate::model::text;
use crate::net;
use anyhow::{anyhow, bail, ensure};
use serde::Deserialize;
use serde::de::{self, SeqAccess, Visitor};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, BufRead};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process;

/// One line, or a program with its arguments.
#[derive(Debug)]
pub enum Command {
    Line(String),
    Words(Vec<String>),
}

/// Where plugins lie, besides PATH.
const PLACES: [&str; 7] = [
    "/usr/lib/nagios/plugins",
    "/usr/lib64/nagios/plugins",
    "/usr/lib/monitoring-plugins",
    "/usr/local/nagios/libexec",
    "/usr/local/lib/nagios/plugins",
    "/usr/local/libexec/nagios",
    "/opt/nagios/libexec",
];

/// A command that can be started, and its program for messages.
pub struct Ready {
    pub program: PathBuf,
    pub command: process::Command,
}

impl Command {
    /// What is wrong with it at load.
    pub fn flaw(&self, shell: bool) -> Option<Flaw> {
        let message = match (self, shell) {
            (Command::Words(_), true) => "with `shell = true` the command is one string",
            (Command::Line(line), _) if line.trim().is_empty() => "an empty command runs nothing",
            (Command::Line(line), false) => match words(line) {
                None => "a quote in it is never closed",
                Some(_) if wants_shell(line) => {
                    "it has characters that only a shell understands: write `shell = true`, or put them in quotes"
                }
                Some(_) => return None,
            },
            (Command::Words(words), false) if words[0].is_empty() => "the program has no name",
            _ => return None,
        };
        Some(flaw("command", message))
    }

    /// Finds the program.
    ///
    /// # Errors
    /// When it is nowhere, with the places where it was looked for.
    pub fn prepare(&self, shell: bool, cx: &Context) -> anyhow::Result<Ready> {
        let words = match self {
            Command::Line(line) if shell => {
                vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]
            }
            Command::Line(line) => words(line).unwrap_or_default(),
            Command::Words(words) => words.clone(),
        };
        ensure!(!words.is_empty(), "an empty command runs nothing");
        let program = find(&words[0], cx)?;
        let mut command = process::Command::new(&program);
        command.arg0(&words[0]).args(&words[1..]);
        Ok(Ready { program, command })
    }
}

/// Splits a line as a shell does, without anything else that a shell does.
fn words(line: &str) -> Option<Vec<String>> {
    shlex::split(line)
}

/// Whether something outside of quotes means something to a shell.
fn wants_shell(line: &str) -> bool {
    let mut quote = None;
    let mut escaped = false;
    for c in line.chars() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (Some(open), _) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '|' | '&' | ';' | '<' | '>' | '*' | '`' | '$') => return true,
            (Some('"'), '`' | '$') => return true,
            _ => (),
        }
    }
    false
}

fn find(program: &str, cx: &Context) -> anyhow::Result<PathBuf> {
    if program.contains('/') {
        return Ok(cx.path(Path::new(program)));
    }
    let path = cx.run.env.var("PATH").unwrap_or("/usr/bin:/bin");
    let in_path = path.split(':').filter(|it| !it.is_empty());
    let mut folders: Vec<&str> = in_path.chain(PLACES).collect();
    let found = folders
        .iter()
        .map(|it| Path::new(it).join(program))
        .find(|it| it.is_file());
    found.ok_or_else(|| {
        // Where plugins lie is what a person wants to read first.
        folders.sort_by_key(|it| !PLACES.contains(it));
        folders.retain(|it| Path::new(it).is_dir());
        folders.dedup();
        anyhow!("{program} not found in {}", folders.join(", "))
    })
}

/// Why a program could not be started.
pub fn refused(program: &Path, error: &io::Error) -> anyhow::Error {
    let explain = || -> anyhow::Result<()> {
        let shown = program.display();
        let Ok(about) = fs::metadata(program) else {
            bail!("{shown} not found");
        };
        ensure!(about.is_file(), "{shown} is no file");
        match error.kind() {
            io::ErrorKind::NotFound => match interpreter(program) {
                Some(name) => bail!("{shown} wants {name}, which is not found"),
                None => bail!("{shown} cannot be started: a library or loader of it is not found"),
            },
            io::ErrorKind::PermissionDenied => {
                bail!(
                    "{shown} is not executable for user {}",
                    crate::host::account::own()
                )
            }
            io::ErrorKind::WouldBlock => bail!(
                "{shown} cannot be started: user {} may have no more processes and threads (ulimit -u, or pids.max of the control group)",
                crate::host::account::own()
            ),
            _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
                bail!("{shown} is no program: a script begins with #! and its interpreter")
            }
            _ => bail!("{shown} cannot be started: {}", net::plain(error)),
        }
    };
    match explain() {
        Err(why) => why,
        Ok(()) => anyhow!("{} cannot be started", program.display()),
    }
}

/// What stands behind `#!`.
fn interpreter(program: &Path) -> Option<String> {
    let mut line = Vec::new();
    let file = fs::File::open(program).ok()?;
    io::Read::take(io::BufReader::new(file), 256)
        .read_until(b'\n', &mut line)
        .ok()?;
    let line = String::from_utf8_lossy(&line).into_owned();
    let name = line.strip_prefix("#!")?.split_whitespace().next()?;
    Some(text::clean(&OsStr::new(name).to_string_lossy()))
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Command, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Command;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("a command: one string, or a list of the program and its arguments")
            }

            fn visit_str<E: de::Error>(self, line: &str) -> Result<Command, E> {
                Ok(Command::Line(line.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Command, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element::<String>()? {
                    if word.contains('\0') {
                        return Err(de::Error::custom("an argument cannot hold a NUL"));
                    }
                    words.push(word);
                }
                match words.is_empty() {
                    true => Err(de::Error::custom("an empty command runs nothing")),
                    false => Ok(Command::Words(words)),
                }
            }
        }
        from.deserialize_any(Any)
    }
}

impl schemars::JsonSchema for Command {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Command".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "title": "command",
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_needs_a_shell_is_told_at_load() {
        let flaw = |line: &str, shell| Command::Line(line.to_owned()).flaw(shell);
        assert!(flaw("check_load -w 5,4,3", false).is_none());
        assert!(flaw("grep -c 'a|b' /x", false).is_none());
        for line in [
            "a | b",
            "echo $X",
            "ls *.log",
            "a; b",
            "echo \"$X\"",
            "echo 'x",
        ] {
            assert!(flaw(line, false).is_some(), "{line}");
        }
        assert!(flaw("a | b", true).is_none());
        assert!(flaw("  ", true).is_some());
        let words = Command::Words(vec!["a".to_owned()]);
        assert!(words.flaw(true).is_some() && words.flaw(false).is_none());
    }
}
