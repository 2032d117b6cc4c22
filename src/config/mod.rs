//! TOML → Plan; strict, and every mistake is told with file, line, column and the nearest valid word.

mod mistake;
mod reader;
pub mod tables;

pub use mistake::{Mistake, Mistakes, limits_of};

use crate::bounded;
use crate::check::{Author, Type};
use crate::host::writers;
use crate::model::duration::Duration;
use crate::model::limits::{Limits, Until};
use crate::model::mask;
use crate::model::standing::Confirm;
use crate::model::state::State;
use crate::plan::Plan;
use reader::Reader;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The keys that every check has, whatever its type.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Common {
    /// What the check is called; unique in all files. Default: the type and its target.
    pub name: Option<String>,
    /// What the name becomes in perfdata labels. Default: the name, with `_` for every character outside `[A-Za-z0-9_.-]`.
    pub label: Option<String>,
    /// What kind of check this is.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The limit of the check's own I/O, for each look. Default: `"8s"`.
    pub timeout: Option<Duration>,
    /// The state of a check that does not answer within its timeout. Default: `"critical"`.
    pub late: Option<State>,
    /// Words to select checks by, as in `koshu run tag:web`.
    pub tags: Option<Vec<String>>,
    /// Run this check only where the host's name matches one of these patterns.
    pub hosts: Option<Vec<String>>,
    /// Look again in the same run, only after a failure: `{ times = 2, wait = "5s" }`.
    pub retry: Option<Again>,
    /// Give findings another state, by their code: `{ expired = "warning" }`. `koshu explain TYPE` lists the codes.
    pub grade: Option<BTreeMap<String, State>>,
    /// Names of checks and groups without which this one says nothing: while one of them is down, this one is blocked, and only told as such.
    pub needs: Option<Vec<String>>,
    /// Stay OK until the failure is confirmed: by `3` runs, a time such as `"3m"`, or `"3/5"` of the last runs; needs history. A recovery is believed at once.
    pub confirm: Option<Confirm>,
    /// Look at most this often, and tell the last answer in between, with its age: `"6h"`; needs history.
    pub every: Option<Duration>,
    /// Limits of the time until a metric of the check reaches its critical limit, or is full, as its growth of the last 30 days foretells: `"14d,2d"`. Needs history of at least six hours; what is flat or falls is never full.
    pub full_in: Option<Limits<Until>>,
    /// The ceiling of its state: `"warning"` for what must never wake anybody.
    pub at_most: Option<State>,
    /// Whose it is; printed when the check is not OK.
    pub owner: Option<String>,
    /// What to do now, in one sentence; printed when the check is not OK.
    pub action: Option<String>,
    /// Where it is written what to do; printed when the check is not OK.
    pub runbook: Option<String>,
}

impl Common {
    /// These keys, and where they say nothing, those.
    fn or(self, those: Common) -> Common {
        let grade = match (self.grade, those.grade) {
            (Some(these), Some(mut those)) => {
                those.extend(these);
                Some(those)
            }
            (these, those) => these.or(those),
        };
        Common {
            name: self.name.or(those.name),
            label: self.label.or(those.label),
            kind: self.kind.or(those.kind),
            timeout: self.timeout.or(those.timeout),
            late: self.late.or(those.late),
            tags: self.tags.or(those.tags),
            hosts: self.hosts.or(those.hosts),
            retry: self.retry.or(those.retry),
            grade,
            needs: self.needs.or(those.needs),
            confirm: self.confirm.or(those.confirm),
            every: self.every.or(those.every),
            full_in: self.full_in.or(those.full_in),
            at_most: self.at_most.or(those.at_most),
            owner: self.owner.or(those.owner),
            action: self.action.or(those.action),
            runbook: self.runbook.or(those.runbook),
        }
    }
}

/// How often to look again, and how long to wait before each look.
#[derive(Clone, Copy, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// How many more looks there are, 1 to 10.
    #[serde(deserialize_with = "one_to_ten")]
    pub times: u32,
    /// How long to wait before each of them. Default: at once.
    pub wait: Option<Duration>,
}

fn one_to_ten<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match i64::deserialize(from)? {
        times @ 1..=10 => Ok(times as u32),
        _ => Err(serde::de::Error::custom("expected a number from 1 to 10")),
    }
}

/// The most that is read of one file.
const LARGEST: u64 = 64 << 20;

/// A list to read: a file, or the words of an ad-hoc command.
pub struct Source {
    /// How its mistakes name it.
    pub name: String,
    pub text: String,
    /// The folder from which its relative paths count.
    pub base: PathBuf,
    /// Whether each line stands for a word of the command line.
    words: Option<Words>,
    /// Who else may write what root reads here, as a message says it.
    writable: Option<String>,
}

/// Which line of the text which word of the command line became.
struct Words;

/// The files of all paths: a file itself, a directory's `*.toml` sorted.
///
/// # Errors
/// For a path that cannot be read and a directory that has no list.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Source>, Mistakes> {
    let mut sources = Vec::new();
    let mut mistakes = Vec::new();
    for path in paths {
        match files(path) {
            Err(message) => mistakes.push(Mistake::of(&path.display().to_string(), &message)),
            Ok(files) => {
                for file in files {
                    match source(&file) {
                        Ok(source) => sources.push(source),
                        Err(mistake) => mistakes.push(*mistake),
                    }
                }
            }
        }
    }
    match mistakes.is_empty() {
        true => Ok(sources),
        false => Err(Mistakes::of(mistakes)),
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let about = fs::metadata(path).map_err(|it| unreadable(&it))?;
    if !about.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let mut others = Vec::new();
    for entry in fs::read_dir(path).map_err(|it| unreadable(&it))? {
        let entry = entry.map_err(|it| unreadable(&it))?;
        match is_list(&entry.path()) {
            true => files.push(entry.path()),
            false => others.push(entry.path()),
        }
    }
    files.sort();
    others.sort();
    match files.is_empty() {
        true => Err(format!(
            "no *.toml file in this directory, so nothing would be checked{}",
            instead(&others)
        )),
        false => Ok(files),
    }
}

/// Whether a file of a folder is a list by its name. What is hidden is somebody's draft, as editors make them.
fn is_list(path: &Path) -> bool {
    let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes);
    let is_hidden = name.is_some_and(|it| it.starts_with(b"."));
    !is_hidden && path.extension().is_some_and(|it| it == "toml")
}

/// What may have been meant to be a list in a folder that has none: "; lists in its folder sites are not read".
fn instead(others: &[PathBuf]) -> String {
    let has_lists = |it: &&PathBuf| {
        let files = fs::read_dir(it).into_iter().flatten().flatten();
        files.map(|it| it.path()).any(|it| is_list(&it))
    };
    let name = |it: &PathBuf| it.file_name().unwrap_or_default().display().to_string();
    if let Some(folder) = others.iter().find(has_lists) {
        return format!("; those in its folder {} are not read", name(folder));
    }
    let hidden = |it: &&PathBuf| it.extension().is_some_and(|it| it == "toml");
    match (others.iter().find(hidden), others) {
        (Some(file), _) => format!("; {} is hidden, and not read", name(file)),
        (None, [file, ..]) => format!("; {} is no list by its name", name(file)),
        (None, []) => String::new(),
    }
}

fn unreadable(error: &std::io::Error) -> String {
    format!("cannot be read: {error}")
}

fn source(path: &Path) -> Result<Source, Box<Mistake>> {
    let name = path.display().to_string();
    let refuse = |message: &str| Box::new(Mistake::of(&name, message));
    let bytes = bounded::read(path, LARGEST).map_err(|it| refuse(&unreadable(&it)))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let read = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
        let read = Source::new(&name, read, PathBuf::new());
        Box::new(Mistake::at(&read, good, "is not UTF-8 from here on"))
    })?;
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let writable = match rustix::process::geteuid().is_root() {
        true => writers::others(path),
        false => None,
    };
    Ok(Source {
        writable,
        ..Source::new(&name, text, base)
    })
}

impl Source {
    pub fn new(name: &str, text: String, base: PathBuf) -> Source {
        Source {
            name: name.to_owned(),
            text,
            base,
            words: None,
            writable: None,
        }
    }

    /// Who wrote it.
    pub fn author(&self) -> Author {
        match self.words {
            Some(Words) => Author::Caller,
            None => Author::List,
        }
    }

    /// The list of one check that the words of an ad-hoc command stand for: `TYPE [TARGET] [KEY=VALUE]…`.
    ///
    /// # Errors
    /// For a second word that is not KEY=VALUE, and one that holds a line end.
    pub fn ad_hoc(kind: &'static Type, words: &[String], base: PathBuf) -> Result<Source, String> {
        let mut text = format!("[[check]]\ntype = {:?}\n", kind.name);
        let wants = Wants::of(kind);
        for (index, word) in words.iter().enumerate() {
            if word.contains(['\n', '\r']) {
                return Err(format!("word {} of the check holds a line end", index + 1));
            }
            match key_and_value(word) {
                Some((key, value)) => {
                    text.push_str(&format!("{key} = {}\n", wants.value(key, value)));
                }
                None if index == 0 && !kind.targets.is_empty() => {
                    let key = kind.targets[0];
                    text.push_str(&format!("{key} = {}\n", wants.value(key, word)));
                }
                None => return Err(no_pair(kind, words, index)),
            }
        }
        Ok(Source {
            words: Some(Words),
            ..Source::new("command line", text, base)
        })
    }
}

/// What is wrong with a word that is no KEY=VALUE, and what was probably meant.
fn no_pair(kind: &Type, words: &[String], index: usize) -> String {
    let (first, word) = (words[0].as_str(), words[index].as_str());
    let host = |it: char| it.is_ascii_alphanumeric() || ".-[]:".contains(it);
    let takes = |key: &str| (kind.keys)().contains(&key);
    let meant = if word.parse::<u16>().is_ok() && takes("port") && first.chars().all(host) {
        format!(
            "; the port belongs to the host: koshu {} {first}:{word}",
            kind.name
        )
    } else if word.contains(['=', ':']) {
        "; a key has small letters and _ alone, and = stands between it and its value".to_owned()
    } else if index > 0 && takes("path") && first.contains('/') && word.contains('/') {
        "; write a pattern in quotes, so that the shell leaves it alone, and several paths as [\"…\", \"…\"]"
            .to_owned()
    } else {
        format!("; koshu explain {} has the keys", kind.name)
    };
    format!("word {} of the check is not KEY=VALUE{meant}", index + 1)
}

/// Splits KEY=VALUE; only a left side that can be a key makes it one.
fn key_and_value(word: &str) -> Option<(&str, &str)> {
    let (key, value) = word.split_once('=')?;
    let good = key.starts_with(|c: char| c.is_ascii_lowercase())
        && key
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    good.then_some((key, value))
}

/// Which keys want a number or a boolean, so that an ad-hoc value is read as one.
struct Wants {
    kind: &'static Type,
}

impl Wants {
    fn of(kind: &'static Type) -> Wants {
        Wants { kind }
    }

    /// The value as TOML.
    fn value(&self, key: &str, value: &str) -> String {
        let written = value.starts_with(['[', '{', '"', '\'']) && !is_bracketed(value);
        let plain = value.parse::<f64>().is_ok() || matches!(value, "true" | "false");
        match written || (plain && self.wants_plain(key)) {
            true => value.to_owned(),
            false => toml_string(value),
        }
    }

    fn wants_plain(&self, key: &str) -> bool {
        let schema = (self.kind.schema)().to_value();
        is_plain(&schema["properties"][key])
    }
}

/// Whether a value is an IPv6 address in brackets, with a port or without, and no list: `[::1]:22`.
fn is_bracketed(value: &str) -> bool {
    let inside = value.strip_prefix('[').and_then(|it| it.split_once(']'));
    inside.is_some_and(|(address, _)| {
        let address = address.split('%').next().unwrap_or_default();
        address.parse::<std::net::Ipv6Addr>().is_ok()
    })
}

/// Whether a schema is that of a number or a boolean, or of a list of them that need not be a list.
fn is_plain(schema: &serde_json::Value) -> bool {
    let plain =
        |it: &serde_json::Value| matches!(it.as_str(), Some("integer" | "number" | "boolean"));
    let kinds = &schema["type"];
    let one = &schema["anyOf"][0];
    plain(kinds)
        || kinds.as_array().is_some_and(|it| it.iter().any(plain))
        || (!one.is_null() && is_plain(one))
}

/// A string as a TOML basic string.
pub fn toml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            _ if c.is_control() => quoted.push_str(&format!("\\u{:04X}", c as u32)),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Reads all sources into one plan.
///
/// # Errors
/// All mistakes that could be found together.
pub fn parse(sources: &[Source]) -> Result<Plan, Mistakes> {
    read_in(sources).map(|it| it.0)
}

/// Reads all sources into one plan, and tells where a literal secret stands in a file that others may read, what is
/// not done because others may write the list, and what has no effect any more.
///
/// # Errors
/// All mistakes that could be found together.
pub fn validate(sources: &[Source], now: SystemTime) -> Result<(Plan, Vec<String>), Mistakes> {
    let (plan, reader) = read_in(sources)?;
    let mut warnings = reader.refused;
    let at = jiff::Timestamp::try_from(now).unwrap_or_default();
    for (window, place) in plan.windows.iter().zip(&reader.windows) {
        let zone = window
            .zone
            .clone()
            .unwrap_or_else(jiff::tz::TimeZone::system);
        if window.when.is_over(at, &zone) {
            warnings.push(format!(
                "{}: the window is over for ever; take it out, or give it another time",
                mistake::placed(place.0, place.1.start)
            ));
        }
    }
    for (source, at, word) in reader.exposed {
        warnings.push(format!(
            "{}: whoever lists processes reads the {word} among the arguments; hand it over by env = {{ NAME = {{ file = \"…\" }} }}, if the plugin can take it so",
            mistake::placed(source, at)
        ));
    }
    for (source, key, bytes) in reader.secrets {
        if bytes < mask::LEAST {
            warnings.push(format!(
                "{}: `{key}` is shorter than {} bytes, so it is not hidden where a server gives it back",
                source.name,
                mask::LEAST
            ));
        }
        if others_may_read(Path::new(&source.name)) {
            warnings.push(format!(
                "{}: `{key}` is written out in a file that others may read; use {{ env = … }} or {{ file = … }}, or chmod 600",
                source.name
            ));
        }
    }
    Ok((plan, warnings))
}

/// The plan of all sources, and what was seen while it was read.
fn read_in(sources: &[Source]) -> Result<(Plan, Reader<'_>), Mistakes> {
    let mut reader = Reader::default();
    reader.files(sources);
    reader.tie();
    if reader.mistakes.is_empty() && reader.plan.jobs.is_empty() {
        let name = sources.first().map_or("the list", |it| it.name.as_str());
        let text = "has no [[check]], so nothing would be checked";
        return Err(Mistakes::of(vec![Mistake::of(name, text)]));
    }
    if !reader.mistakes.is_empty() {
        return Err(Mistakes::found(reader.mistakes, sources, &reader.plan));
    }
    let plan = std::mem::take(&mut reader.plan);
    Ok((plan, reader))
}

/// The checks of all sources as they are written, each with its list; what is no TOML has none.
pub fn written(sources: &[Source]) -> Vec<(&str, serde_json::Value)> {
    let checks = |source: &Source| {
        let document: serde_json::Value = toml::from_str(&source.text).unwrap_or_default();
        document["check"].as_array().cloned().unwrap_or_default()
    };
    let all = sources.iter();
    all.flat_map(|it| {
        checks(it)
            .into_iter()
            .map(|check| (it.name.as_str(), check))
    })
    .collect()
}

fn others_may_read(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|it| it.permissions().mode() & 0o044 != 0)
}

#[cfg(test)]
mod tests;
