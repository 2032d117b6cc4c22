//! Reads the tables of one list into jobs; what is wrong is collected, so that all of it is told together.

use crate::check::{self, Check, Refused, TYPES, Type};
use crate::config::mistake::Mistake;
use crate::config::{Common, Source, tables};
use crate::deliver::{self, Destination};
use crate::format::passive;
use crate::model::name;
use crate::model::outcome::LATE;
use crate::model::secret::{is_named_secret, is_secret_key};
use crate::model::state::State;
use crate::model::text;
use crate::plan::{self, Job, Plan, Retry};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// A key with the value and the places of both.
type Pair<'s> = (Key<'s>, Spanned<DeValue<'s>>);
type Key<'s> = Spanned<std::borrow::Cow<'s, str>>;

/// Names that no check may have.
const RESERVED: [&str; 2] = [passive::SUMMARY, deliver::NAME];

#[derive(Default)]
pub struct Reader<'l> {
    pub plan: Plan,
    pub mistakes: Vec<Mistake>,
    /// Keys whose values are secrets that are written out.
    pub secrets: Vec<Written<'l>>,
    /// What is not done as root, with its list, its name and why.
    pub refused: Vec<String>,
    /// The defaults of all files of a folder, and the file that has them.
    folders: HashMap<PathBuf, (&'l Source, Common)>,
    /// Where each name was first used.
    names: HashMap<String, Place<'l>>,
    labels: HashMap<String, Place<'l>>,
    /// Where each check has its `needs`, each group its `members` and each window its `match`, in their order.
    needs: Vec<Place<'l>>,
    members: Vec<Place<'l>>,
    matches: Vec<Place<'l>>,
}

/// A secret that is written out: its list and key, and how many bytes it has.
pub type Written<'l> = (&'l Source, String, usize);

/// A place in a list; its line is only counted when somebody asks, which would be slow for every check.
type Place<'l> = (&'l Source, std::ops::Range<usize>);

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
                let syntax = errors
                    .iter()
                    .map(|it| Mistake::at(source, it.span().unwrap_or(0..0), it.message()));
                self.mistakes.extend(syntax);
                continue;
            }
            // Of a single file it is said that it has no check.
            if sources.len() > 1 && holds_nothing(&root) {
                let message = "holds nothing: write a [[check]], or remove it";
                self.mistakes.push(Mistake::of(&source.name, message));
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
                        .push(Mistake::at(source, place, &message).help(help));
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
                        self.mistakes
                            .push(Mistake::at(source, key.span(), message).help(help));
                    }
                    defaults = self.defaults(source, value).or(defaults);
                }
                ("check" | "group" | "to" | "window", DeValue::Array(_)) => {
                    lists.push((key.into_inner(), value));
                }
                (word @ ("check" | "group" | "to" | "window"), DeValue::Table(_)) => {
                    self.mistakes.push(
                        Mistake::at(source, key.span(), &format!("`{word}` is a list of tables"))
                            .help(&format!("write [[{word}]] with two brackets")),
                    )
                }
                ("history", DeValue::Table(_)) => {
                    if let Some((keys, _)) = self.table::<tables::History>(source, "history", value)
                    {
                        self.plan.retention = keys.retention();
                    }
                }
                ("defaults" | "check" | "group" | "history" | "to" | "window", other) => {
                    let kind = other.type_str();
                    let message = format!("expected a table, found {kind}");
                    self.mistakes
                        .push(Mistake::at(source, value.span(), &message));
                }
                (word, _) => {
                    let message = format!("unknown table or key `{}`", text::clean(word));
                    let tables = ["check", "defaults", "group", "history", "to", "window"];
                    let near = name::nearest(word, tables);
                    self.mistakes
                        .push(Mistake::at(source, key.span(), &message).nearest(near));
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
    fn table<T: DeserializeOwned>(
        &mut self,
        source: &'l Source,
        word: &str,
        item: Spanned<DeValue>,
    ) -> Option<(T, HashMap<String, std::ops::Range<usize>>)> {
        let header = item.span();
        let DeValue::Table(table) = item.into_inner() else {
            self.mistakes
                .push(Mistake::at(source, header, "expected a table"));
            return None;
        };
        let keys = check::keys::<T>();
        let mut known = Vec::new();
        let before = self.mistakes.len();
        for (key, value) in table {
            match keys.contains(&key.get_ref().as_ref()) {
                true => known.push((key, value)),
                false => {
                    let wrong = key.get_ref();
                    let message = format!("unknown key `{}` in [[{word}]]", text::clean(wrong));
                    let near = name::nearest(wrong, keys.iter().copied());
                    self.mistakes
                        .push(Mistake::at(source, key.span(), &message).nearest(near));
                }
            }
        }
        let mut places: HashMap<String, std::ops::Range<usize>> = known
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), value.span()))
            .collect();
        places.insert(String::new(), header.clone());
        let read = self.read(source, header, known, T::deserialize)?;
        (self.mistakes.len() == before).then_some((read, places))
    }

    /// A key of a table that is read contradicts another, or means nothing.
    fn refuse(
        &mut self,
        source: &Source,
        places: &HashMap<String, std::ops::Range<usize>>,
        (key, message): (&'static str, String),
    ) {
        let place = places.get(key).unwrap_or(&places[""]).clone();
        let mistake = Mistake::at(source, place, &message);
        self.mistakes.push(mistake.key(key));
    }

    fn group(&mut self, source: &'l Source, item: Spanned<DeValue>) {
        let Some((keys, places)) = self.table::<tables::Group>(source, "group", item) else {
            return;
        };
        let place = |key: &str| places.get(key).unwrap_or(&places[""]).clone();
        match keys.plan() {
            Err(wrong) => self.refuse(source, &places, wrong),
            Ok(group) => {
                let group = plan::Group {
                    name: text::clean(&group.name),
                    owner: group.owner.map(|it| text::clean(&it)),
                    action: group.action.map(|it| text::clean(&it)),
                    runbook: group.runbook.map(|it| text::clean(&it)),
                    ..group
                };
                self.name(source, &place, &group.name, &group.label);
                self.members.push((source, place("members")));
                self.plan.groups.push(group);
            }
        }
    }

    fn window(&mut self, source: &'l Source, item: Spanned<DeValue>) {
        let Some((keys, places)) = self.table::<tables::Window>(source, "window", item) else {
            return;
        };
        let place = |key: &str| places.get(key).unwrap_or(&places[""]).clone();
        match keys.plan() {
            Err(wrong) => self.refuse(source, &places, wrong),
            Ok(window) => {
                self.matches.push((source, place("match")));
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

    fn to(&mut self, source: &'l Source, item: Spanned<DeValue>) {
        if let DeValue::Table(table) = item.get_ref() {
            literal_secrets(table, &mut |key, bytes| {
                self.secrets.push((source, key.to_owned(), bytes))
            });
        }
        let Some((keys, places)) = self.table::<deliver::Keys>(source, "to", item) else {
            return;
        };
        match keys.destination(source.base.clone()) {
            Err(wrong) => self.refuse(source, &places, wrong),
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
        for (group, (source, span)) in self.plan.groups.iter().zip(&self.members) {
            for word in &group.members {
                let meant = self.plan.meant(word);
                if meant.iter().all(|it| *it == group.name) {
                    let message = self.plan.no_such(word);
                    wrong.push(Mistake::at(source, span.clone(), &message).key("members"));
                }
            }
        }
        let members: Vec<Vec<String>> = self
            .plan
            .groups
            .iter()
            .map(|group| {
                let mut members: Vec<String> = Vec::new();
                for name in group.members.iter().flat_map(|it| self.plan.meant(it)) {
                    // A pattern may mean the group itself, an exact name is a loop.
                    let own = name == group.name && !group.members.contains(&name);
                    if !own && !members.contains(&name) {
                        members.push(name);
                    }
                }
                members
            })
            .collect();
        for (group, members) in self.plan.groups.iter_mut().zip(members) {
            group.members = members;
        }
        for (job, (source, span)) in self.plan.jobs.iter().zip(&self.needs) {
            for word in &job.needs {
                if !self.plan.names().any(|it| it == word) {
                    let near = name::nearest(word, self.plan.names());
                    let message = format!("no check or group is called `{}`", text::clean(word));
                    wrong.push(Mistake::at(source, span.clone(), &message).nearest(near));
                }
            }
        }
        for (window, (source, span)) in self.plan.windows.iter().zip(&self.matches) {
            for word in &window.matches {
                if self.plan.meant(word).is_empty() {
                    let message = self.plan.no_such(word);
                    wrong.push(Mistake::at(source, span.clone(), &message).key("match"));
                }
            }
        }
        let links = self.plan.links();
        if let Err(circle) = plan::sorted(&links) {
            let names: Vec<&str> = self.plan.names().collect();
            let path: Vec<&str> = circle.iter().map(|it| names[*it]).collect();
            let jobs = self.plan.jobs.len();
            let (source, span) = match circle[0].checked_sub(jobs) {
                None => &self.needs[circle[0]],
                Some(group) => &self.members[group],
            };
            let message = format!("a loop: {}", path.join(" → "));
            wrong.push(Mistake::at(source, span.clone(), &message));
        }
        self.mistakes.extend(wrong);
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
                            .push(Mistake::at(source, header.clone(), &missing(&error)));
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

    fn check(&mut self, source: &'l Source, defaults: &Common, item: Spanned<DeValue>) {
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
                // A type may mean something else by a common word, as review does by `every`.
                word if own_keys.contains(&word) => own.push((key, value)),
                word if common_keys.contains(&word) => common.push((key, value)),
                word => {
                    let mistake = self.unknown_key(source, kind, word, key.span());
                    meant.extend(mistake.near.clone());
                    self.mistakes.push(mistake);
                }
            }
        }
        let reads_secrets = own.iter().any(|it| names_secret(it.1.get_ref()));
        literal_secrets(own.iter().map(|it| (&it.0, &it.1)), &mut |key, bytes| {
            self.secrets.push((source, key.to_owned(), bytes));
        });
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
                .any(|key| it.message == format!("missing key `{key}`"))
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
            let seen = target.strip_prefix(kind.name).unwrap_or_default();
            let seen = text::clean(seen);
            let name = common.name.clone().unwrap_or(target);
            let what = own
                .privileged()
                .or(reads_secrets.then_some("which secrets of root it sends"));
            let own = match what.and_then(|it| Self::refused(source, it)) {
                None => own,
                Some(why) => {
                    let told = format!("{}: {}: {why}", source.name, text::clean(&name));
                    self.refused.push(told);
                    Arc::new(Refused(why))
                }
            };
            let before = self.plan.jobs.len();
            self.job(source, &place, kind, name, common, defaults, own);
            if let Some(job) = self.plan.jobs.get_mut(before) {
                job.target = seen;
            }
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

    /// Takes a name and a label for a check or a group; false when there is none to take.
    fn name(
        &mut self,
        source: &'l Source,
        place: &dyn Fn(&str) -> std::ops::Range<usize>,
        name: &str,
        label: &str,
    ) -> bool {
        if name.is_empty() {
            self.mistakes
                .push(Mistake::at(source, place("name"), "a name cannot be empty"));
            return false;
        }
        if let Some(word) = RESERVED.iter().find(|it| [name, label].contains(it)) {
            let message = format!("`{word}` is what koshu itself is called in results");
            let help = "give it another `name`";
            self.mistakes
                .push(Mistake::at(source, place("name"), &message).help(help));
        }
        if name::label(label) != label || label.is_empty() {
            let message = format!("a label has only characters of [A-Za-z0-9_.-], not {label:?}");
            self.mistakes
                .push(Mistake::at(source, place("label"), &message));
        }
        let here = (source, place("name"));
        let told = |(source, span): Place| Mistake::at(source, span, "").place();
        if let Some(first) = self.names.insert(name.to_owned(), here.clone()) {
            let message = format!(
                "another check is called `{name}` already, at {}",
                told(first)
            );
            let help = "give each a `name` of its own";
            self.mistakes
                .push(Mistake::at(source, place("name"), &message).help(help));
        } else if let Some(first) = self.labels.insert(label.to_owned(), here) {
            let message = format!(
                "`{name}` becomes `{label}` in perfdata, as does another check, at {}",
                told(first)
            );
            let help = "give one of them a `label` of its own";
            self.mistakes
                .push(Mistake::at(source, place("name"), &message).help(help));
        }
        true
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call, which gathers what a job is made of"
    )]
    fn job(
        &mut self,
        source: &'l Source,
        place: &dyn Fn(&str) -> std::ops::Range<usize>,
        kind: &'static Type,
        name: String,
        common: Common,
        defaults: &Common,
        check: Arc<dyn Check>,
    ) {
        let name = text::clean(&name);
        let label = common.label.clone().unwrap_or_else(|| name::label(&name));
        if !self.name(source, place, &name, &label) {
            return;
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
        let job = Job::new(&name, kind, check);
        let timeout = common.timeout.or(defaults.timeout);
        let timeout = timeout.map_or(job.timeout, |it| it.0);
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
        self.needs.push((source, place("needs")));
        self.plan.jobs.push(Job {
            label,
            timeout,
            late: common.late.or(defaults.late).unwrap_or(State::Critical),
            retry: retry.map_or(Retry::default(), |it| Retry {
                times: it.times,
                wait: it.wait.map_or(std::time::Duration::ZERO, |it| it.0),
            }),
            tags: common.tags.or(defaults.tags.clone()).unwrap_or_default(),
            hosts: common.hosts.or(defaults.hosts.clone()).unwrap_or_default(),
            grade,
            needs: common.needs.or(defaults.needs.clone()).unwrap_or_default(),
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
        });
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

/// serde speaks of fields where a list has keys.
fn missing(error: &toml::de::Error) -> String {
    error.message().replace("missing field", "missing key")
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
