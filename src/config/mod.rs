//! TOML → Plan; strict, and every mistake is told with file, line, column and the nearest valid word.

mod mistake;

pub use mistake::{Mistake, Mistakes};

use crate::check::{self, Check, TYPES, Type};
use crate::model::duration::Duration;
use crate::model::name;
use crate::model::outcome::LATE;
use crate::model::secret::is_secret_key;
use crate::model::state::State;
use crate::model::text;
use crate::plan::{Job, Plan, Retry};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

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
    /// Whose it is; printed when the check is not OK.
    pub owner: Option<String>,
    /// What to do now, in one sentence; printed when the check is not OK.
    pub action: Option<String>,
    /// Where it is written what to do; printed when the check is not OK.
    pub runbook: Option<String>,
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

/// The timeout of a check that names none: below check_nrpe's 10 s.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(8);

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
                        Err(mistake) => mistakes.push(mistake),
                    }
                }
            }
        }
    }
    match mistakes.is_empty() {
        true => Ok(sources),
        false => Err(Mistakes(mistakes)),
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let about = fs::metadata(path).map_err(|it| unreadable(&it))?;
    if !about.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files: Vec<PathBuf> = fs::read_dir(path)
        .map_err(|it| unreadable(&it))?
        .filter_map(|it| Some(it.ok()?.path()))
        .filter(|it| it.extension().is_some_and(|it| it == "toml"))
        .collect();
    files.sort();
    match files.is_empty() {
        true => Err("no *.toml file in this directory, so nothing would be checked".to_owned()),
        false => Ok(files),
    }
}

fn unreadable(error: &std::io::Error) -> String {
    format!("cannot be read: {error}")
}

fn source(path: &Path) -> Result<Source, Mistake> {
    let name = path.display().to_string();
    let refuse = |message: &str| Mistake::of(&name, message);
    let size = fs::metadata(path)
        .map_err(|it| refuse(&unreadable(&it)))?
        .len();
    if size > LARGEST {
        return Err(refuse("is larger than 64 MiB, which no list of checks is"));
    }
    let bytes = fs::read(path).map_err(|it| refuse(&unreadable(&it)))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let read = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
        Mistake::at(
            &Source::new(&name, read, PathBuf::new()),
            good..good,
            "is not UTF-8 from here on",
        )
    })?;
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    Ok(Source::new(&name, text, base))
}

impl Source {
    pub fn new(name: &str, text: String, base: PathBuf) -> Source {
        Source {
            name: name.to_owned(),
            text,
            base,
            words: None,
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
                None if index == 0 => {
                    let key = kind.targets[0];
                    text.push_str(&format!("{key} = {}\n", wants.value(key, word)));
                }
                None => return Err(format!("expected KEY=VALUE, found `{word}`")),
            }
        }
        Ok(Source {
            words: Some(Words),
            ..Source::new("command line", text, base)
        })
    }
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
        let written = value.starts_with(['[', '{', '"', '\'']);
        let plain = value.parse::<f64>().is_ok() || matches!(value, "true" | "false");
        match written || (plain && self.wants_plain(key)) {
            true => value.to_owned(),
            false => toml_string(value),
        }
    }

    fn wants_plain(&self, key: &str) -> bool {
        let schema = (self.kind.schema)().to_value();
        let kinds = &schema["properties"][key]["type"];
        let plain =
            |it: &serde_json::Value| matches!(it.as_str(), Some("integer" | "number" | "boolean"));
        plain(kinds) || kinds.as_array().is_some_and(|it| it.iter().any(plain))
    }
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
    let mut reader = Reader::default();
    for source in sources {
        reader.file(source);
    }
    if reader.mistakes.is_empty() && reader.jobs.is_empty() {
        let name = sources.first().map_or("the list", |it| it.name.as_str());
        reader.mistakes.push(Mistake::of(
            name,
            "has no [[check]], so nothing would be checked",
        ));
    }
    match reader.mistakes.is_empty() {
        true => Ok(Plan { jobs: reader.jobs }),
        false => Err(Mistakes(reader.mistakes)),
    }
}

/// Where a literal secret stands in a file that others may read.
pub fn exposed_secrets(sources: &[Source]) -> Vec<String> {
    let mut exposed = Vec::new();
    for source in sources {
        let readable = fs::metadata(&source.name).is_ok_and(|it| {
            use std::os::unix::fs::PermissionsExt;
            it.permissions().mode() & 0o044 != 0
        });
        if let (true, (root, _)) = (readable, DeTable::parse_recoverable(&source.text)) {
            literal_secrets(root.get_ref(), &mut |key| {
                exposed.push(format!(
                    "{}: `{key}` is written out in a file that others may read; use {{ env = … }} or {{ file = … }}, or chmod 600",
                    source.name
                ));
            });
        }
    }
    exposed
}

fn literal_secrets(table: &DeTable, found: &mut dyn FnMut(&str)) {
    for (key, value) in table {
        match value.get_ref() {
            DeValue::String(_) if is_secret_key(key.get_ref()) => found(key.get_ref()),
            DeValue::Table(inner) => literal_secrets(inner, found),
            DeValue::Array(items) => {
                for item in items.iter() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        literal_secrets(inner, found);
                    }
                }
            }
            _ => (),
        }
    }
}

/// A key with the value and the places of both.
type Pair<'s> = (Spanned<std::borrow::Cow<'s, str>>, Spanned<DeValue<'s>>);

#[derive(Default)]
struct Reader {
    jobs: Vec<Job>,
    mistakes: Vec<Mistake>,
    /// Where each name was first used.
    names: HashMap<String, String>,
    labels: HashMap<String, String>,
}

impl Reader {
    fn file(&mut self, source: &Source) {
        let (root, errors) = DeTable::parse_recoverable(&source.text);
        let root = root.into_inner();
        if !errors.is_empty() {
            let syntax = errors
                .iter()
                .map(|it| Mistake::at(source, it.span().unwrap_or(0..0), it.message()));
            self.mistakes.extend(syntax);
            return;
        }
        let mut defaults = Common::default();
        let mut checks = None;
        for (key, value) in root {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("defaults", DeValue::Table(_)) => defaults = self.defaults(source, value),
                ("check", DeValue::Array(_)) => checks = Some(value),
                ("check", DeValue::Table(_)) => self.mistakes.push(
                    Mistake::at(source, key.span(), "`check` is a list of tables")
                        .help("write [[check]] with two brackets"),
                ),
                ("defaults" | "check", other) => {
                    let kind = other.type_str();
                    let message = format!("expected a table, found {kind}");
                    self.mistakes
                        .push(Mistake::at(source, value.span(), &message));
                }
                (word, _) => {
                    let message = format!("unknown table or key `{}`", text::clean(word));
                    let near = name::nearest(word, ["check", "defaults"]);
                    self.mistakes
                        .push(Mistake::at(source, key.span(), &message).nearest(near));
                }
            }
        }
        if let Some(DeValue::Array(items)) = checks.map(Spanned::into_inner) {
            for item in items {
                self.check(source, &defaults, item);
            }
        }
    }

    fn defaults(&mut self, source: &Source, value: Spanned<DeValue>) -> Common {
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            return Common::default();
        };
        let common = check::keys::<Common>();
        let mut known = Vec::new();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                word @ ("name" | "label" | "type") => {
                    let message = format!("`{word}` belongs to one check, not to [defaults]");
                    self.mistakes
                        .push(Mistake::at(source, key.span(), &message));
                }
                word if common.contains(&word) => known.push((key, value)),
                word => {
                    let message = format!("unknown key `{}` in [defaults]", text::clean(word));
                    let near = name::nearest(word, common.iter().copied());
                    self.mistakes
                        .push(Mistake::at(source, key.span(), &message).nearest(near));
                }
            }
        }
        let codes: Vec<&str> = TYPES
            .iter()
            .flat_map(|it| it.codes())
            .map(|it| it.code)
            .collect();
        self.grades(source, &known, &codes);
        self.read(source, span, known, Common::deserialize)
            .unwrap_or_default()
    }

    /// Reports unknown codes under `grade`.
    fn grades(&mut self, source: &Source, pairs: &[Pair], codes: &[&str]) {
        let grade = pairs.iter().find(|(key, _)| key.get_ref() == "grade");
        let Some(DeValue::Table(table)) = grade.map(|(_, value)| value.get_ref()) else {
            return;
        };
        for (key, _) in table {
            let word = key.get_ref().as_ref();
            if word == LATE {
                let mistake = Mistake::at(
                    source,
                    key.span(),
                    "a check that does not answer in time has the state of its key `late`",
                );
                self.mistakes.push(mistake.help("write late = \"warning\""));
            } else if !codes.contains(&word) {
                let message = format!("unknown finding `{}`", text::clean(word));
                let near = name::nearest(word, codes.iter().copied());
                self.mistakes
                    .push(Mistake::at(source, key.span(), &message).nearest(near));
            }
        }
    }

    /// Deserializes a table of known keys; on an error at one key, that key is put aside so that the
    /// mistakes at the others are found too.
    fn read<'s, T>(
        &mut self,
        source: &Source,
        header: std::ops::Range<usize>,
        mut pairs: Vec<Pair<'s>>,
        parse: impl Fn(ValueDeserializer<'s>) -> Result<T, toml::de::Error>,
    ) -> Option<T> {
        let mut aside: Vec<String> = Vec::new();
        loop {
            let table: DeTable = pairs.iter().cloned().collect();
            let value = Spanned::new(header.clone(), DeValue::Table(table));
            let error = match parse(ValueDeserializer::from(value)) {
                Ok(_) if !aside.is_empty() => return None,
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let span = error.span().unwrap_or(header.clone());
            let culprit = pairs.iter().position(|(key, value)| {
                let whole = key.span().start..value.span().end;
                whole.contains(&span.start) && whole != header
            });
            match culprit {
                None => {
                    let lost = aside
                        .iter()
                        .any(|key| error.message().contains(&format!("`{key}`")));
                    if !lost {
                        self.mistakes
                            .push(Mistake::at(source, header.clone(), error.message()));
                    }
                    return None;
                }
                Some(index) => {
                    let (key, _) = pairs.remove(index);
                    let key = key.into_inner();
                    let message = match is_secret_key(&key) {
                        true => "expected a string, { env = \"NAME\" } or { file = \"PATH\" }",
                        false => error.message(),
                    };
                    self.mistakes
                        .push(Mistake::at(source, span, message).key(&key));
                    aside.push(key.into_owned());
                }
            }
        }
    }

    fn check(&mut self, source: &Source, defaults: &Common, item: Spanned<DeValue>) {
        let header = item.span();
        let DeValue::Table(table) = item.into_inner() else {
            self.mistakes
                .push(Mistake::at(source, header, "expected a table"));
            return;
        };
        let Some(kind) = self.kind(source, &header, &table) else {
            return;
        };
        let target = target(kind, &table);
        let (common_keys, own_keys) = (check::keys::<Common>(), (kind.keys)());
        let (mut common, mut own) = (Vec::new(), Vec::new());
        let mut meant = Vec::new();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                word if common_keys.contains(&word) => common.push((key, value)),
                word if own_keys.contains(&word) => own.push((key, value)),
                word => {
                    let mistake = self.unknown_key(source, kind, word, key.span());
                    meant.extend(mistake.near.clone());
                    self.mistakes.push(mistake);
                }
            }
        }
        let codes: Vec<&str> = kind.codes().map(|it| it.code).collect();
        self.grades(source, &common, &codes);
        let places: HashMap<String, std::ops::Range<usize>> = own
            .iter()
            .chain(&common)
            .map(|(key, value)| (key.get_ref().to_string(), value.span()))
            .collect();
        let before = self.mistakes.len();
        let common = self.read(source, header.clone(), common, Common::deserialize);
        let own = self.read(source, header.clone(), own, kind.parse);
        // A required key that was misspelt is one mistake, not two.
        let double = |it: &Mistake| {
            meant
                .iter()
                .any(|key| it.message == format!("missing field `{key}`"))
        };
        let mut index = 0;
        self.mistakes.retain(|it| {
            index += 1;
            index <= before || !double(it)
        });
        if let (Some(common), Some(own)) = (common, own) {
            let place = |key: &str| places.get(key).cloned().unwrap_or(header.clone());
            for flaw in own.flaws() {
                let mistake = Mistake::at(source, place(flaw.key), &flaw.message);
                self.mistakes.push(mistake.key(flaw.key));
            }
            let name = common.name.clone().unwrap_or_else(|| target);
            self.job(source, &place, kind, name, common, defaults, own);
        }
    }

    fn kind(
        &mut self,
        source: &Source,
        header: &std::ops::Range<usize>,
        table: &DeTable,
    ) -> Option<&'static Type> {
        let all = || TYPES.iter().map(|it| it.name);
        let listed = || all().collect::<Vec<_>>().join(", ");
        let Some(value) = table.get("type") else {
            let mistake = Mistake::at(source, header.clone(), "missing key `type`");
            self.mistakes
                .push(mistake.help(&format!("the types are {}", listed())));
            return None;
        };
        let Some(word) = value.get_ref().as_str() else {
            let mistake = Mistake::at(source, value.span(), "expected the name of a type");
            self.mistakes
                .push(mistake.help(&format!("the types are {}", listed())));
            return None;
        };
        let kind = Type::named(word);
        if kind.is_none() {
            let message = format!("unknown check type `{}`", text::clean(word));
            let mistake = Mistake::at(source, value.span(), &message);
            self.mistakes.push(match name::nearest(word, all()) {
                Some(near) => mistake.nearest(Some(near)),
                None => mistake.help(&format!("the types are {}", listed())),
            });
        }
        kind
    }

    fn unknown_key(
        &self,
        source: &Source,
        kind: &Type,
        word: &str,
        span: std::ops::Range<usize>,
    ) -> Mistake {
        let message = format!(
            "unknown key `{}` for a check of type `{}`",
            text::clean(word),
            kind.name
        );
        let mistake = Mistake::at(source, span, &message);
        let known = (kind.keys)().iter().chain(check::keys::<Common>()).copied();
        let elsewhere = TYPES.iter().find(|it| (it.keys)().contains(&word));
        match (name::nearest(word, known), elsewhere) {
            (near @ Some(_), _) => mistake.nearest(near),
            (None, Some(other)) => {
                mistake.help(&format!("`{word}` belongs to type `{}`", other.name))
            }
            (None, None) => mistake,
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call, which gathers what a job is made of"
    )]
    fn job(
        &mut self,
        source: &Source,
        place: &dyn Fn(&str) -> std::ops::Range<usize>,
        kind: &'static Type,
        name: String,
        common: Common,
        defaults: &Common,
        check: Arc<dyn Check>,
    ) {
        let name = text::clean(&name);
        let label = common.label.clone().unwrap_or_else(|| name::label(&name));
        if name.is_empty() {
            self.mistakes
                .push(Mistake::at(source, place("name"), "a name cannot be empty"));
            return;
        }
        if name::label(&label) != label || label.is_empty() {
            let message = format!("a label has only characters of [A-Za-z0-9_.-], not {label:?}");
            self.mistakes
                .push(Mistake::at(source, place("label"), &message));
        }
        let here = Mistake::at(source, place("name"), "").place();
        if let Some(first) = self.names.insert(name.clone(), here.clone()) {
            let message = format!("another check is called `{name}` already, at {first}");
            let help = "give each a `name` of its own";
            self.mistakes
                .push(Mistake::at(source, place("name"), &message).help(help));
        } else if let Some(first) = self.labels.insert(label.clone(), here) {
            let message = format!(
                "`{name}` becomes `{label}` in perfdata, as does another check, at {first}"
            );
            let help = "give one of them a `label` of its own";
            self.mistakes
                .push(Mistake::at(source, place("name"), &message).help(help));
        }
        for list in ["tags", "hosts"] {
            let given = if list == "tags" {
                &common.tags
            } else {
                &common.hosts
            };
            if given.as_ref().is_some_and(Vec::is_empty) {
                let message = format!("an empty list of {list} selects nothing");
                self.mistakes
                    .push(Mistake::at(source, place(list), &message));
            }
        }
        let mut grade = defaults.grade.clone().unwrap_or_default();
        grade.retain(|code, _| kind.codes().any(|it| it.code == code));
        grade.extend(common.grade.unwrap_or_default());
        let timeout = common
            .timeout
            .or(defaults.timeout)
            .map_or(TIMEOUT, |it| it.0);
        if timeout.is_zero() {
            self.mistakes.push(Mistake::at(
                source,
                place("timeout"),
                "a timeout of nothing lets no check answer",
            ));
        }
        let retry = common.retry.or(defaults.retry);
        let text = |own: Option<String>, default: &Option<String>| {
            own.or_else(|| default.clone()).map(|it| text::clean(&it))
        };
        self.jobs.push(Job {
            name,
            label,
            kind,
            check,
            timeout,
            late: common.late.or(defaults.late).unwrap_or(State::Critical),
            retry: retry.map_or(Retry::default(), |it| Retry {
                times: it.times,
                wait: it.wait.map_or(std::time::Duration::ZERO, |it| it.0),
            }),
            tags: common.tags.or(defaults.tags.clone()).unwrap_or_default(),
            hosts: common.hosts.or(defaults.hosts.clone()).unwrap_or_default(),
            grade,
            owner: text(common.owner, &defaults.owner),
            action: text(common.action, &defaults.action),
            runbook: text(common.runbook, &defaults.runbook),
            base: source.base.clone(),
        });
    }
}

/// The default name, "TYPE TARGET"; of a URL, without user information and query.
fn target(kind: &Type, table: &DeTable) -> String {
    let value = kind.targets.iter().find_map(|key| table.get(*key));
    let target = value.and_then(|value| match value.get_ref() {
        DeValue::Array(items) => items.get(0)?.get_ref().as_str(),
        value => value.as_str(),
    });
    match target {
        None => kind.name.to_owned(),
        Some(target) => {
            let target = text::without_userinfo(target);
            let target = match target.contains("://") {
                true => target.split(['?', '#']).next().unwrap_or_default(),
                false => &target,
            };
            format!("{} {target}", kind.name)
        }
    }
}
