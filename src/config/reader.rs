//! Reads the tables of one list into jobs; what is wrong is collected, so that all of it is told together.

use crate::check::{self, Check, Refused, TYPES, Type, plugin};
use crate::config::mistake::{At, Found, Keys, Place, Strings, What, public};
use crate::config::{Common, Source, tables};
use crate::deliver::{self, Destination};
use crate::format::passive;
use crate::model::name;
use crate::model::outcome::LATE;
use crate::model::secret::{is_named_secret, secret_word};
use crate::model::state::State;
use crate::model::text;
use crate::plan::{self, Job, Meaning, Plan, Retry};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// A key with the value and the places of both.
type Pair<'s> = (Key<'s>, Spanned<DeValue<'s>>);
type Key<'s> = Spanned<Cow<'s, str>>;

/// Names that no check may have.
const RESERVED: [&str; 2] = [passive::SUMMARY, deliver::NAME];

#[derive(Default)]
pub struct Reader<'l> {
    pub plan: Plan,
    pub mistakes: Vec<Found<'l>>,
    /// Keys whose values are secrets that are written out.
    pub secrets: Vec<Written<'l>>,
    /// Where a secret stands among the arguments of a plugin, and behind which option.
    pub exposed: Vec<(&'l Source, usize, &'static str)>,
    /// What is not done as root, with its list, its name and why.
    pub refused: Vec<String>,
    /// The defaults of all files of a folder, and the file that has them.
    folders: HashMap<PathBuf, (&'l Source, Common)>,
    /// Where each name was first used.
    names: HashMap<String, Place<'l>>,
    labels: HashMap<String, Place<'l>>,
    /// Names of what could not be read; whoever names it is not wrong for that.
    unread: HashSet<String>,
    /// Whether a whole file could not be read, so that nobody knows what it names.
    blind: bool,
    /// Where each check has its `needs`, each group its `members` and each window its `match`, in their order.
    needs: Vec<Place<'l>>,
    members: Vec<Place<'l>>,
    matches: Vec<Place<'l>>,
    /// Where each group has its limits.
    ups: Vec<Place<'l>>,
    /// Where each window begins, in their order.
    pub windows: Vec<Place<'l>>,
}

/// A secret that is written out: its list and key, and how many bytes it has.
pub type Written<'l> = (&'l Source, String, usize);

/// Where the keys of a table have their values; the table itself is at the empty key.
type Places = HashMap<String, Range<usize>>;

/// A table that was read, and where its keys stand.
type Read<'l> = (Table<'l>, Places);

/// A table whose keys are read.
struct Table<'l> {
    source: &'l Source,
    /// How messages call it.
    word: &'static str,
    header: Range<usize>,
    strings: Strings<'l>,
}

/// The names of the tables and keys of a file, and what they hold.
fn words<'t>(root: &'t DeTable) -> Vec<(&'t str, &'t DeValue<'t>)> {
    let words = root.iter();
    words
        .map(|(key, value)| (key.get_ref().as_ref(), value.get_ref()))
        .collect()
}

/// Whether a file has neither a table nor a key, or only one without anything in it.
fn holds_nothing(root: &DeTable) -> bool {
    words(root).iter().all(|(_, value)| match value {
        DeValue::Table(table) => table.is_empty(),
        DeValue::Array(items) => items.is_empty(),
        _ => false,
    })
}

/// The folder in which a file is, whichever way it was named.
fn folder(source: &Source) -> PathBuf {
    let folder = match source.base.as_os_str().is_empty() {
        true => Path::new("."),
        false => &source.base,
    };
    fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())
}

impl<'l> Reader<'l> {
    /// Reads whole files, those that serve the others of their folder first.
    pub fn files(&mut self, sources: &'l [Source]) {
        let mut lists = Vec::new();
        for source in sources {
            let (root, errors) = DeTable::parse_recoverable(&source.text);
            let root = root.into_inner();
            if !errors.is_empty() {
                self.blind = true;
                let mut last: Option<usize> = None;
                for error in &errors {
                    let span = error.span().unwrap_or(0..0);
                    // What follows on the same line follows from it.
                    let between = last.and_then(|it| source.text.get(it..span.start));
                    if between.is_none_or(|it| it.contains('\n')) {
                        let what = What::Syntax(error.message().to_owned());
                        last = Some(span.start);
                        self.mistakes
                            .push(Found::new(source, span, what, At::Anything));
                    }
                }
                continue;
            }
            // Of a single file it is said that it has no check.
            if sources.len() > 1 && holds_nothing(&root) {
                let message = "holds nothing: write a [[check]], or remove it";
                self.mistakes
                    .push(Found::said(source, 0..0, message, At::File));
            } else if let [("defaults", DeValue::Table(_))] = words(&root)[..] {
                self.common(source, root);
            } else {
                lists.push((source, root));
            }
        }
        for (source, root) in lists {
            self.file(source, root);
        }
    }

    /// Takes the defaults of all files of a folder from one that holds nothing else.
    fn common(&mut self, source: &'l Source, root: DeTable<'l>) {
        for (key, value) in root {
            let folder = folder(source);
            let place = key.span();
            match self.folders.get(&folder).map(|it| it.0) {
                // Named twice, it is the same file.
                Some(first) if first.name == source.name => (),
                Some(first) => {
                    let message = format!(
                        "the files of this folder have their defaults from {} already",
                        first.name
                    );
                    let help = "put both into one file";
                    self.mistakes
                        .push(Found::said(source, place, message, At::Key("")).help(help));
                }
                None => {
                    let defaults = self.defaults(source, value);
                    self.folders.insert(folder, (source, defaults));
                }
            }
        }
    }

    fn file(&mut self, source: &'l Source, root: DeTable<'l>) {
        let common = self.folders.get(&folder(source)).map(|it| it.1.clone());
        let mut defaults = common.unwrap_or_default();
        let has_checks = root.contains_key("check");
        let mut lists = Vec::new();
        for (key, value) in root {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("defaults", DeValue::Table(_)) => {
                    if !has_checks {
                        let message = "these are for the checks of this file, and it has none";
                        let help = "put [defaults] beside its checks, or alone into a file of its own, which serves all files of its folder";
                        let mistake = Found::said(source, key.span(), message, At::Key(""));
                        self.mistakes.push(mistake.help(help));
                    }
                    defaults = self.defaults(source, value).or(defaults);
                }
                ("check" | "group" | "to" | "window", DeValue::Array(_)) => {
                    lists.push((key.into_inner(), value));
                }
                (word @ ("check" | "group" | "to" | "window"), DeValue::Table(_)) => {
                    self.blind = true;
                    let text = format!("`{word}` is a list of tables");
                    let at = At::Table(match word {
                        "check" => "[check]",
                        "group" => "[group]",
                        "to" => "[to]",
                        _ => "[window]",
                    });
                    let mistake = Found::said(source, key.span(), text, at);
                    self.mistakes
                        .push(mistake.help(format!("write [[{word}]] with two brackets")));
                }
                ("history", DeValue::Table(_)) => {
                    if let Some((keys, _)) =
                        self.table::<tables::History>(source, "[history]", value)
                    {
                        self.plan.retention = keys.retention();
                    }
                }
                ("defaults" | "check" | "group" | "history" | "to" | "window", other) => {
                    self.blind = true;
                    let text = format!("expected a table, found {}", kind_of(other));
                    self.mistakes
                        .push(Found::said(source, key.span(), text, At::Key("")));
                }
                (word, _) => {
                    let what = What::UnknownTable(word.into());
                    self.mistakes
                        .push(Found::new(source, key.span(), what, At::Key("")));
                }
            }
        }
        for (word, list) in lists {
            let DeValue::Array(items) = list.into_inner() else {
                continue;
            };
            for item in items {
                match word.as_ref() {
                    "check" => self.check(source, &defaults, item),
                    "group" => self.group(source, item),
                    "to" => self.to(source, item),
                    _ => self.window(source, item),
                }
            }
        }
    }

    /// Reads a table that is no check, and where each of its keys stands.
    fn table<T: DeserializeOwned + JsonSchema>(
        &mut self,
        source: &'l Source,
        word: &'static str,
        item: Spanned<DeValue<'l>>,
    ) -> Option<(T, Read<'l>)> {
        let header = item.span();
        let DeValue::Table(table) = item.into_inner() else {
            self.no_table(source, header, word);
            return None;
        };
        let strings = strings_of(&table);
        let name = table.get("name").and_then(|it| it.get_ref().as_str());
        let name = name.map(text::clean);
        let keys = check::keys::<T>();
        let mut known = Vec::new();
        let before = self.mistakes.len();
        for (key, value) in table {
            match keys.contains(&key.get_ref().as_ref()) {
                true => known.push((key, value)),
                false => {
                    let what =
                        What::UnknownKey(key.get_ref().as_ref().into(), Keys::OfTable(word, keys));
                    self.mistakes
                        .push(Found::new(source, key.span(), what, At::Key("")));
                }
            }
        }
        let mut places: Places = known
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), value.span()))
            .collect();
        places.insert(String::new(), header.clone());
        let table = Table {
            source,
            word,
            header,
            strings,
        };
        let read = self.read(&table, check::schema::<T>, known, T::deserialize);
        match read {
            Some(read) if self.mistakes.len() == before => Some((read, (table, places))),
            _ => {
                self.unread.extend(name);
                None
            }
        }
    }

    fn no_table(&mut self, source: &'l Source, at: Range<usize>, word: &'static str) {
        let text = format!("expected a table as {word} begins it");
        self.mistakes
            .push(Found::said(source, at, text, At::Table(word)));
    }

    /// A key of a table that is read contradicts another, or means nothing.
    fn refuse(
        &mut self,
        (table, places): &Read<'l>,
        schema: fn() -> Schema,
        (key, message): (&'static str, String),
    ) {
        let place = places.get(key).cloned();
        let at = match place {
            Some(_) => At::Value(schema, vec![key.into()]),
            None => At::Table(table.word),
        };
        let place = place.unwrap_or(table.header.clone());
        let what = What::Refused(message, table.strings.clone());
        self.mistakes
            .push(Found::new(table.source, place, what, at));
    }

    fn group(&mut self, source: &'l Source, item: Spanned<DeValue<'l>>) {
        let Some((keys, read)) = self.table::<tables::Group>(source, "[[group]]", item) else {
            return;
        };
        match keys.plan() {
            Err(wrong) => self.refuse(&read, check::schema::<tables::Group>, wrong),
            Ok(group) => {
                let group = plan::Group {
                    name: text::clean(&group.name),
                    owner: group.owner.map(|it| text::clean(&it)),
                    action: group.action.map(|it| text::clean(&it)),
                    runbook: group.runbook.map(|it| text::clean(&it)),
                    ..group
                };
                let (table, places) = read;
                let place = |key: &str| places.get(key).unwrap_or(&table.header).clone();
                self.name(&table, &places, &group.name, &group.label);
                self.members.push((source, place("members")));
                self.ups.push((source, place("up")));
                self.plan.groups.push(group);
            }
        }
    }

    fn window(&mut self, source: &'l Source, item: Spanned<DeValue<'l>>) {
        let Some((keys, read)) = self.table::<tables::Window>(source, "[[window]]", item) else {
            return;
        };
        match keys.plan() {
            Err(wrong) => self.refuse(&read, check::schema::<tables::Window>, wrong),
            Ok(window) => {
                let (table, places) = read;
                let place = places.get("match").unwrap_or(&table.header);
                self.matches.push((source, place.clone()));
                self.windows.push((source, table.header));
                self.plan.windows.push(plan::Window {
                    name: text::clean(&window.name),
                    ..window
                });
            }
        }
    }

    /// Why root does not do what a list says that others may write.
    fn refused(source: &Source, what: &str) -> Option<String> {
        let who = source.writable.as_ref()?;
        Some(format!(
            "not done as root: {who}, so the list may not say {what}; take the right to write away, or run koshu as another user"
        ))
    }

    fn to(&mut self, source: &'l Source, item: Spanned<DeValue<'l>>) {
        if let DeValue::Table(table) = item.get_ref() {
            literal_secrets(table, &mut |key, bytes| {
                self.secrets.push((source, key.to_owned(), bytes))
            });
        }
        let Some((keys, read)) = self.table::<deliver::Keys>(source, "[[to]]", item) else {
            return;
        };
        match keys.destination(source.base.clone()) {
            Err(wrong) => self.refuse(&read, check::schema::<deliver::Keys>, wrong),
            Ok(destination) => {
                // Files and secrets that only root has are within reach of a destination.
                let refused = Self::refused(source, "where root writes and sends what");
                let told = |why: &String| format!("{}: {}: {why}", source.name, destination.name);
                self.refused.extend(refused.as_ref().map(told));
                self.plan.to.push(Destination {
                    refused,
                    ..destination
                });
            }
        }
    }

    /// Ties checks, groups and windows of all files together by their names.
    pub fn tie(&mut self) {
        let mut wrong = Vec::new();
        let mut meaning = Meaning::of(&self.plan);
        let mut unknown = |word: &String, (source, span): &Place<'l>, schema, key: &str| {
            if !self.blind && !self.unread.contains(word) {
                let what = What::UnknownName(word.as_str().into());
                let at = At::Value(schema, vec![key.into()]);
                wrong.push(Found::new(source, span.clone(), what, at));
            }
        };
        let mut members: Vec<Vec<String>> = Vec::new();
        for (number, (group, place)) in self.plan.groups.iter().zip(&self.members).enumerate() {
            let own = self.plan.jobs.len() + number;
            let mut seen = HashSet::new();
            let mut found = Vec::new();
            for word in &group.members {
                let meant = meaning.meant(word);
                // A pattern may mean the group itself, an exact name is a loop.
                let others = meant.iter().filter(|it| **it != own || *word == group.name);
                if meant.iter().all(|it| *it == own) && *word != group.name {
                    unknown(word, place, check::schema::<tables::Group>, "members");
                }
                found.extend(
                    others
                        .filter(|it| seen.insert(**it))
                        .map(|it| meaning.name(*it)),
                );
            }
            members.push(found.into_iter().map(str::to_owned).collect());
        }
        for (job, place) in self.plan.jobs.iter().zip(&self.needs) {
            for word in job.needs.iter().filter(|it| !meaning.knows(it)) {
                unknown(word, place, check::schema::<Common>, "needs");
            }
        }
        for (window, place) in self.plan.windows.iter().zip(&self.matches) {
            for word in &window.matches {
                if meaning.meant(word).is_empty() {
                    unknown(word, place, check::schema::<tables::Window>, "match");
                }
            }
        }
        drop(meaning);
        let complete = wrong.is_empty() && !self.blind && self.unread.is_empty();
        for (number, (group, members)) in self.plan.groups.iter_mut().zip(members).enumerate() {
            group.members = members;
            let count = group.members.len();
            if complete && group.up.at_least().is_some_and(|it| it > count as f64) {
                let text = match count {
                    1 => "there is 1 member, so never so many are up".to_owned(),
                    count => format!("there are {count} members, so never so many are up"),
                };
                let (source, span) = self.ups[number].clone();
                let at = At::Value(check::schema::<tables::Group>, vec!["up".into()]);
                wrong.push(Found::said(source, span, text, at));
            }
        }
        let links = self.plan.links();
        if let Err(circle) = plan::sorted(&links) {
            let names: Vec<&str> = self.plan.names().collect();
            let jobs = self.plan.jobs.len();
            let ((source, span), schema, key): (_, fn() -> Schema, _) =
                match circle[0].checked_sub(jobs) {
                    None => (&self.needs[circle[0]], check::schema::<Common>, "needs"),
                    Some(group) => (
                        &self.members[group],
                        check::schema::<tables::Group>,
                        "members",
                    ),
                };
            let text = format!("a loop: {}", path(&circle, &names));
            let at = At::Value(schema, vec![key.into()]);
            wrong.push(Found::said(source, span.clone(), text, at));
        }
        self.mistakes.extend(wrong);
    }

    fn defaults(&mut self, source: &'l Source, value: Spanned<DeValue<'l>>) -> Common {
        const WORD: &str = "[defaults]";
        let header = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            return Common::default();
        };
        let strings = strings_of(&table);
        let common = check::keys::<Common>();
        let mut known = Vec::new();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                word @ ("name" | "label" | "type") => {
                    let text = format!("`{word}` belongs to one check, not to {WORD}");
                    self.mistakes
                        .push(Found::said(source, key.span(), text, At::Key("")));
                }
                word if common.contains(&word) => known.push((key, value)),
                word => {
                    let what = What::UnknownKey(word.into(), Keys::OfTable(WORD, common));
                    self.mistakes
                        .push(Found::new(source, key.span(), what, At::Key("")));
                }
            }
        }
        self.grades(source, &known, None);
        let table = Table {
            source,
            word: WORD,
            header,
            strings,
        };
        self.read(&table, check::schema::<Common>, known, Common::deserialize)
            .unwrap_or_default()
    }

    /// Reports unknown codes under `grade`: of a type, or in [defaults] of all.
    fn grades(&mut self, source: &'l Source, pairs: &[Pair], kind: Option<&'static Type>) {
        let grade = pairs.iter().find(|(key, _)| key.get_ref() == "grade");
        let Some(DeValue::Table(table)) = grade.map(|(_, value)| value.get_ref()) else {
            return;
        };
        let types: &[&Type] = match &kind {
            Some(kind) => std::slice::from_ref(kind),
            None => TYPES,
        };
        let codes: HashSet<&str> = types
            .iter()
            .flat_map(|it| it.codes())
            .map(|it| it.code)
            .collect();
        for (key, _) in table {
            let word = key.get_ref().as_ref();
            let what = match word {
                _ if codes.contains(word) => continue,
                LATE => What::Said(
                    "a check that does not answer in time has the state of its key `late`".into(),
                ),
                word => What::UnknownFinding(word.into(), kind),
            };
            let mistake = Found::new(source, key.span(), what, At::Key("grade"));
            self.mistakes.push(match word {
                LATE => mistake.help("write late = \"warning\""),
                _ => mistake,
            });
        }
    }

    /// Deserializes a table of known keys; on an error at one key, that key is put aside so that the
    /// mistakes at the others are found too.
    fn read<T>(
        &mut self,
        table: &Table<'l>,
        schema: fn() -> Schema,
        mut pairs: Vec<Pair<'l>>,
        parse: impl Fn(ValueDeserializer<'l>) -> Result<T, toml::de::Error>,
    ) -> Option<T> {
        let header = &table.header;
        let refused = |error: &toml::de::Error| {
            What::Refused(error.message().to_owned(), table.strings.clone())
        };
        let mut aside: Vec<String> = Vec::new();
        loop {
            let all: DeTable = pairs.iter().cloned().collect();
            let value = Spanned::new(header.clone(), DeValue::Table(all));
            let error = match parse(ValueDeserializer::from(value)) {
                Ok(_) if !aside.is_empty() => return None,
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let span = error.span().unwrap_or(header.clone());
            let culprit = pairs.iter().position(|(key, value)| {
                let whole = key.span().start..value.span().end;
                whole.contains(&span.start) && whole != *header
            });
            match culprit {
                None => {
                    let lost = aside
                        .iter()
                        .any(|key| error.message().contains(&format!("`{key}`")));
                    if !lost {
                        self.mistakes.push(Found::new(
                            table.source,
                            header.clone(),
                            refused(&error),
                            At::Table(table.word),
                        ));
                    }
                    return None;
                }
                Some(index) if listed(&mut pairs[index].1, &error) => (),
                Some(index) => {
                    let (key, value) = pairs.remove(index);
                    let mut path = vec![key.get_ref().as_ref().into()];
                    path_to(&value, span.start, &mut path);
                    let at = At::Value(schema, path);
                    self.mistakes
                        .push(Found::new(table.source, span, refused(&error), at));
                    aside.push(key.into_inner().into_owned());
                }
            }
        }
    }

    fn check(&mut self, source: &'l Source, defaults: &Common, item: Spanned<DeValue<'l>>) {
        const WORD: &str = "[[check]]";
        let header = item.span();
        let DeValue::Table(table) = item.into_inner() else {
            self.no_table(source, header, WORD);
            return;
        };
        let Some(kind) = self.kind(source, &header, &table) else {
            match table.get("name").and_then(|it| it.get_ref().as_str()) {
                Some(name) => drop(self.unread.insert(text::clean(name))),
                None => self.blind = true,
            }
            return;
        };
        let target = target(kind, &table);
        let strings = strings_of(&table);
        let name = table.get("name").and_then(|it| it.get_ref().as_str());
        let called = text::clean(name.unwrap_or(&target));
        let (common_keys, own_keys) = (check::keys::<Common>(), (kind.keys)());
        let (mut common, mut own) = (Vec::new(), Vec::new());
        let first = self.mistakes.len();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                // A type may mean something else by a common word, as review does by `every`.
                word if own_keys.contains(&word) => own.push((key, value)),
                word if common_keys.contains(&word) => common.push((key, value)),
                word => {
                    let what = What::UnknownKey(word.into(), Keys::OfType(kind));
                    self.mistakes
                        .push(Found::new(source, key.span(), what, At::Key("")));
                }
            }
        }
        let reads_secrets = own.iter().any(|it| names_secret(it.1.get_ref()));
        literal_secrets(own.iter().map(|it| (&it.0, &it.1)), &mut |key, bytes| {
            self.secrets.push((source, key.to_owned(), bytes));
        });
        if kind.name == plugin::TYPE.name
            && let Some((_, command)) = own.iter().find(|it| it.0.get_ref() == "command")
            && let Some(option) = secret_argument(command.get_ref())
        {
            self.exposed.push((source, command.span().start, option));
        }
        self.grades(source, &common, Some(kind));
        let places: Places = own
            .iter()
            .chain(&common)
            .map(|(key, value)| (key.get_ref().to_string(), value.span()))
            .collect();
        let table = Table {
            source,
            word: WORD,
            header,
            strings,
        };
        let common = self.read(&table, check::schema::<Common>, common, Common::deserialize);
        let own = self.read(&table, kind.schema, own, kind.parse);
        self.drop_doubles(first);
        let (Some(common), Some(own)) = (common, own) else {
            self.unread.insert(called);
            return;
        };
        let read = (table, places);
        for flaw in own.flaws() {
            let schema = match own_keys.contains(&flaw.key) {
                true => kind.schema,
                false => check::schema::<Common>,
            };
            self.refuse(&read, schema, (flaw.key, flaw.message));
        }
        let what = own
            .privileged()
            .or(reads_secrets.then_some("which secrets of root it sends"));
        let own = match what.and_then(|it| Self::refused(source, it)) {
            None => own,
            Some(why) => {
                let told = format!("{}: {called}: {why}", source.name);
                self.refused.push(told);
                Arc::new(Refused(why))
            }
        };
        let seen = text::clean(target.strip_prefix(kind.name).unwrap_or_default());
        if let Some(job) = self.job(&read, kind, called, common, defaults, own) {
            self.plan.jobs.push(Job {
                target: seen,
                ..job
            });
        }
    }

    /// A required key that was misspelt is one mistake, not two.
    fn drop_doubles(&mut self, first: usize) {
        let all = self.mistakes.split_off(first);
        let missing = all.iter().any(|it| it.missing().is_some());
        let meant: Vec<&str> = match missing {
            true => all.iter().filter_map(Found::meant).collect(),
            false => Vec::new(),
        };
        let double = |it: &Found| it.missing().is_some_and(|key| meant.contains(&key));
        self.mistakes
            .extend(all.into_iter().filter(|it| !double(it)));
    }

    fn kind(
        &mut self,
        source: &'l Source,
        header: &Range<usize>,
        table: &DeTable,
    ) -> Option<&'static Type> {
        let listed = || {
            let all: Vec<&str> = TYPES.iter().map(|it| it.name).collect();
            format!("the types are {}", all.join(", "))
        };
        let Some(value) = table.get("type") else {
            let at = At::Table("[[check]]");
            let mistake = Found::said(source, header.clone(), "missing key `type`", at);
            self.mistakes.push(mistake.help(listed()));
            return None;
        };
        let at = At::Value(check::schema::<Common>, vec!["type".into()]);
        let Some(word) = value.get_ref().as_str() else {
            let text = "expected the name of a type in quotes";
            let mistake = Found::said(source, value.span(), text, at);
            self.mistakes.push(mistake.help(listed()));
            return None;
        };
        let kind = Type::named(word);
        if kind.is_none() {
            let what = What::UnknownType(word.into());
            self.mistakes
                .push(Found::new(source, value.span(), what, at));
        }
        kind
    }

    /// Takes a name and a label for a check or a group; false when there is none to take.
    fn name(&mut self, table: &Table<'l>, places: &Places, name: &str, label: &str) -> bool {
        let schema = check::schema::<Common>;
        // A name that nobody wrote down is that of the whole table.
        let place = |key: &str| match places.get(key) {
            Some(span) => (span.clone(), At::Value(schema, vec![key.into()])),
            None => (table.header.clone(), At::Table(table.word)),
        };
        let source = table.source;
        let said = |key: &str, text: Cow<'static, str>| {
            let (span, at) = place(key);
            Found::said(source, span, text, at)
        };
        if name.is_empty() {
            self.mistakes
                .push(said("name", "a name cannot be empty".into()));
            return false;
        }
        if let Some(word) = RESERVED.iter().find(|it| [name, label].contains(it)) {
            let text = format!("`{word}` is what koshu itself is called in results");
            self.mistakes
                .push(said("name", text.into()).help("give it another `name`"));
        }
        if name::label(label) != label || label.is_empty() {
            let text = "a label has only characters of [A-Za-z0-9_.-]";
            self.mistakes.push(said("label", text.into()));
        }
        let (span, at) = place("name");
        let here = (source, span.clone());
        if let Some(first) = self.names.insert(name.to_owned(), here.clone()) {
            let what = What::SameName(first.clone());
            self.mistakes.push(Found::new(source, span, what, at));
            // All that follow are told of the first one.
            self.names.insert(name.to_owned(), first);
        } else if let Some(first) = self.labels.insert(label.to_owned(), here) {
            let what = What::SameLabel(first);
            self.mistakes.push(Found::new(source, span, what, at));
        }
        true
    }

    /// What a check becomes; None where it has no name to be called by.
    fn job(
        &mut self,
        (table, places): &Read<'l>,
        kind: &'static Type,
        name: String,
        common: Common,
        defaults: &Common,
        check: Arc<dyn Check>,
    ) -> Option<Job> {
        let source = table.source;
        let label = common.label.clone().unwrap_or_else(|| name::label(&name));
        if !self.name(table, places, &name, &label) {
            return None;
        }
        for (key, given) in [("tags", &common.tags), ("hosts", &common.hosts)] {
            if given.as_ref().is_some_and(Vec::is_empty) {
                let text = format!("an empty list of {key} selects nothing");
                let place = places.get(key).unwrap_or(&table.header).clone();
                let at = At::Value(check::schema::<Common>, vec![key.into()]);
                self.mistakes.push(Found::said(source, place, text, at));
            }
        }
        let mut grade = defaults.grade.clone().unwrap_or_default();
        grade.retain(|code, _| kind.codes().any(|it| it.code == code));
        grade.extend(common.grade.unwrap_or_default());
        let job = Job::new(&name, kind, check);
        let timeout = common.timeout.or(defaults.timeout);
        let timeout = timeout.map_or(job.timeout, |it| it.0);
        if timeout.is_zero() {
            let text = "a timeout of nothing lets no check answer";
            let place = places.get("timeout").unwrap_or(&table.header).clone();
            let at = At::Value(check::schema::<Common>, vec!["timeout".into()]);
            self.mistakes.push(Found::said(source, place, text, at));
        }
        let retry = common.retry.or(defaults.retry);
        let text = |own: Option<String>, default: &Option<String>| {
            own.or_else(|| default.clone()).map(|it| text::clean(&it))
        };
        let words = |own: Option<Vec<String>>, default: &Option<Vec<String>>| {
            let given = own.or_else(|| default.clone()).unwrap_or_default();
            let clean = given.iter().map(|it| text::clean(it));
            clean.collect::<Vec<_>>()
        };
        let needs = places.get("needs").unwrap_or(&table.header);
        self.needs.push((source, needs.clone()));
        Some(Job {
            label,
            timeout,
            late: common.late.or(defaults.late).unwrap_or(State::Critical),
            retry: retry.map_or(Retry::default(), |it| Retry {
                times: it.times,
                wait: it.wait.map_or(std::time::Duration::ZERO, |it| it.0),
            }),
            tags: words(common.tags, &defaults.tags),
            hosts: words(common.hosts, &defaults.hosts),
            grade,
            needs: words(common.needs, &defaults.needs),
            confirm: common.confirm.or(defaults.confirm),
            every: common.every.or(defaults.every).map(|it| it.0),
            full_in: common.full_in.or(defaults.full_in.clone()),
            at_most: common.at_most.or(defaults.at_most),
            owner: text(common.owner, &defaults.owner),
            action: text(common.action, &defaults.action),
            runbook: text(common.runbook, &defaults.runbook),
            base: source.base.clone(),
            author: source.author(),
            ..job
        })
    }
}

/// Finds strings under keys that are called secret, in a table and the tables in it.
fn literal_secrets<'k, 's: 'k>(
    pairs: impl IntoIterator<Item = (&'k Key<'s>, &'k Spanned<DeValue<'s>>)>,
    found: &mut dyn FnMut(&str, usize),
) {
    for (key, value) in pairs {
        match value.get_ref() {
            DeValue::String(text) if is_named_secret(key.get_ref()) => {
                found(key.get_ref(), text.len());
            }
            DeValue::Table(inner) => {
                for (key, value) in inner {
                    let named = is_named_secret(key.get_ref());
                    if let Some(text) = value.get_ref().as_str().filter(|_| named) {
                        found(key.get_ref(), text.len());
                    }
                }
            }
            _ => (),
        }
    }
}

/// The word for the secret that stands among the arguments of a command, if one does: whoever may list processes
/// reads it there.
fn secret_argument(command: &DeValue) -> Option<&'static str> {
    let words: Vec<&str> = match command {
        DeValue::String(line) => line.split_whitespace().collect(),
        DeValue::Array(items) => items
            .iter()
            .filter_map(|it| it.get_ref().as_str())
            .collect(),
        _ => Vec::new(),
    };
    let mut words = words.iter().skip(1).peekable();
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (*word, words.peek().map(|it| **it)),
        };
        // What names a file, a variable, or the next option is no secret.
        let is_value = |it: &str| !it.is_empty() && !it.starts_with(['-', '$', '/']);
        let names_it = option.starts_with('-') || word.contains('=');
        if let Some(named) = secret_word(option).filter(|_| names_it)
            && value.is_some_and(is_value)
        {
            return Some(named);
        }
    }
    None
}

/// Whether a value says where a secret is read, by itself or in a table of such.
fn names_secret(value: &DeValue) -> bool {
    let DeValue::Table(table) = value else {
        return false;
    };
    table.iter().any(|(key, value)| match value.get_ref() {
        DeValue::String(_) => matches!(key.get_ref().as_ref(), "env" | "file"),
        value => names_secret(value),
    })
}

/// All strings of a table, however deep, and the keys of the tables in it.
fn strings_of<'s>(table: &DeTable<'s>) -> Strings<'s> {
    fn gather<'s>(value: &DeValue<'s>, found: &mut Vec<Cow<'s, str>>) {
        match value {
            DeValue::String(text) => found.push(text.clone()),
            DeValue::Array(items) => items.iter().for_each(|it| gather(it.get_ref(), found)),
            DeValue::Table(table) => {
                for (key, value) in table {
                    found.push(key.get_ref().clone());
                    gather(value.get_ref(), found);
                }
            }
            _ => (),
        }
    }
    let mut found = Vec::new();
    table
        .values()
        .for_each(|it| gather(it.get_ref(), &mut found));
    Rc::new(found)
}

/// Adds the keys within a value that lead to a byte of the list.
fn path_to(value: &Spanned<DeValue>, at: usize, path: &mut Vec<Box<str>>) {
    match value.get_ref() {
        DeValue::Array(items) => {
            let item = items.iter().find(|it| it.span().contains(&at));
            item.into_iter().for_each(|it| path_to(it, at, path));
        }
        DeValue::Table(table) => {
            if let Some((key, value)) = table.iter().find(|it| it.1.span().contains(&at)) {
                path.push(key.get_ref().as_ref().into());
                path_to(value, at, path);
            }
        }
        _ => (),
    }
}

/// Makes a list of one out of a string where a list is wanted; false where that is not what is wrong.
fn listed(value: &mut Spanned<DeValue>, error: &toml::de::Error) -> bool {
    let wants = error.message().starts_with("invalid type: string")
        && error.message().ends_with("expected a sequence");
    let whole = error.span().is_none_or(|it| it == value.span());
    if !(wants && whole && value.get_ref().is_str()) {
        return false;
    }
    let only = value.clone();
    let mut list = toml::de::DeArray::new();
    list.push(only);
    *value = Spanned::new(value.span(), DeValue::Array(list));
    true
}

/// What a value is, for people.
fn kind_of(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The names of a loop, of which a long one shows its begin and its end.
fn path(circle: &[usize], names: &[&str]) -> String {
    const ENDS: usize = 4;
    let told = |it: &usize| public(Some(names[*it])).unwrap_or("…");
    let steps: Vec<&str> = match circle.len() > 3 * ENDS {
        false => circle.iter().map(told).collect(),
        true => {
            let (head, tail) = (&circle[..ENDS], &circle[circle.len() - ENDS..]);
            let head = head.iter().map(told);
            head.chain(["…"]).chain(tail.iter().map(told)).collect()
        }
    };
    steps.join(" → ")
}

/// The default name, "TYPE TARGET"; of a URL, without user information and query, of a command its program alone.
fn target(kind: &Type, table: &DeTable) -> String {
    let found = kind
        .targets
        .iter()
        .find_map(|key| Some((*key, table.get(*key)?)));
    let target = found
        .map(|it| it.1)
        .and_then(|value| match value.get_ref() {
            DeValue::Array(items) => items.first()?.get_ref().as_str(),
            value => value.as_str(),
        });
    match target {
        None => kind.name.to_owned(),
        Some(target) => {
            let target = text::without_userinfo(target);
            let target = match found {
                Some(("command", _)) => {
                    // `PASSWORD=… program` is a line for a shell.
                    let mut words = target.split_whitespace();
                    let program = words.find(|it| !it.contains('=')).unwrap_or_default();
                    program.rsplit('/').next().unwrap_or_default()
                }
                _ if target.contains("://") => target.split(['?', '#']).next().unwrap_or_default(),
                _ => &target,
            };
            format!("{} {target}", kind.name)
        }
    }
}
