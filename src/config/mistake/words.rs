//! The words of a mistake: what a key wants, said for people, and nothing of the list that could be a secret.

use super::{Keys, What};
use crate::check::{self, TYPES, Type};
use crate::config::Common;
use crate::deliver;
use crate::format::FORMATS;
use crate::model::name;
use crate::plan::Plan;
use serde_json::Value;
use std::ops::Range;

/// The longest value that is shown, in bytes.
const LONGEST: usize = 32;

/// The tables of a list.
pub const TABLES: [&str; 6] = ["check", "defaults", "group", "history", "to", "window"];

/// The kinds of values that are closed: what is wrong with one can be shown, since no secret is written there.
const CLOSED: [&str; 6] = [
    "duration",
    "limit",
    "limits",
    "runs or a time",
    "size",
    "time zone",
];

/// Words of messages that are koshu's own, also where a value has them.
const OWN: &[&str] = &[
    "NXDOMAIN", "NODATA", "CNAME", "http", "https", "true", "false", "warn", "crit", "critical",
    "warning",
];

/// A key, or one within its value, as the schema has it.
pub struct Field {
    schema: Value,
    /// Whether its values are of a closed kind.
    pub closed: bool,
    /// The keys to it, as far as they are known ones.
    pub path: String,
}

impl Field {
    /// What a table's schema has for the keys that lead to a value.
    pub fn of(table: &Value, path: &[Box<str>]) -> Field {
        let mut shown = String::new();
        let mut schema = table.clone();
        for word in path {
            let (inner, known) = below(&schema, word);
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(if known { word } else { "…" });
            schema = inner;
        }
        Field {
            closed: is_closed(&schema),
            path: shown,
            schema,
        }
    }

    /// The names of the keys that its value may have.
    fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        keys_of(&self.schema, &mut keys);
        keys
    }
}

/// What a key's schema has for a key within its value, and whether that is a known one.
fn below(schema: &Value, word: &str) -> (Value, bool) {
    if let Some(found) = schema["properties"].get(word) {
        return (found.clone(), true);
    }
    let inner = alternatives(schema).map(|it| below(it, word));
    let inner = inner.chain(
        [(schema["items"].clone(), false)].map(|it| match it.0.is_null() {
            true => it,
            false => below(&it.0, word),
        }),
    );
    let mut any = (schema["additionalProperties"].clone(), false);
    for (found, known) in inner {
        if known {
            return (found, true);
        }
        if any.0.is_null() {
            any.0 = found;
        }
    }
    any
}

fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    let list = |key: &str| schema[key].as_array().into_iter().flatten();
    list("anyOf")
        .chain(list("oneOf"))
        .filter(|it| it["type"] != "null")
}

fn keys_of(schema: &Value, found: &mut Vec<String>) {
    if let Some(own) = schema["properties"].as_object() {
        found.extend(own.keys().cloned());
    }
    alternatives(schema).for_each(|it| keys_of(it, found));
}

/// The names of the JSON types that a schema allows.
fn kinds(schema: &Value) -> Vec<&str> {
    let one = schema["type"].as_str().into_iter();
    let list = schema["type"].as_array().into_iter().flatten();
    let all = one.chain(list.filter_map(Value::as_str));
    all.filter(|it| *it != "null").collect()
}

fn is_closed(schema: &Value) -> bool {
    if schema["title"]
        .as_str()
        .is_some_and(|it| CLOSED.contains(&it))
    {
        return true;
    }
    let words = schema["enum"].as_array().into_iter().flatten();
    let words: Vec<&str> = words.filter_map(Value::as_str).collect();
    if words == ["ok", "warning", "critical", "unknown"] {
        return true;
    }
    let kinds = kinds(schema);
    if !kinds.is_empty() {
        return match kinds[..] {
            ["array"] => is_closed(&schema["items"]),
            _ => kinds.iter().all(|it| matches!(*it, "integer" | "number")),
        };
    }
    let mut inner = alternatives(schema).peekable();
    inner.peek().is_some() && inner.all(is_closed)
}

/// What a value of this schema is, with an example.
fn wanted(schema: &Value) -> String {
    let example = || schema["examples"][0].as_str().unwrap_or_default();
    match schema["title"].as_str() {
        Some("duration") => return "a duration such as \"500ms\", \"10s\" or \"2m\"".to_owned(),
        Some("limits") => {
            return format!(
                "limits such as \"{}\" or {{ warn = …, crit = … }}",
                example()
            );
        }
        Some("limit") => return "one limit, such as \"10:\" or \"5s\"".to_owned(),
        Some("size") => return "a size such as \"64MiB\"".to_owned(),
        Some("regex") => return "a regular expression in quotes".to_owned(),
        Some("secret") => {
            return "a string, { env = \"NAME\" } or { file = \"PATH\" }".to_owned();
        }
        Some("URL") => return "a URL in quotes, such as \"https://example.jp/\"".to_owned(),
        Some("runs or a time") => {
            return "a number of runs such as 3, a time such as \"3m\", or \"3/5\" of the last runs"
                .to_owned();
        }
        Some("one or a list") => {
            let one = alternatives(schema).next().map(wanted);
            return format!("{}, or a list of them", one.unwrap_or_default());
        }
        _ => (),
    }
    let words = words_of(schema);
    if !words.is_empty() {
        return any_of(&words);
    }
    let of_kind: Vec<String> = kinds(schema).into_iter().map(|it| of(it, schema)).collect();
    match of_kind.is_empty() {
        false => of_kind.join(" or "),
        true => {
            let mut inner: Vec<String> = alternatives(schema).map(wanted).collect();
            inner.dedup();
            inner.join(" or ")
        }
    }
}

/// A value of a JSON type.
fn of(kind: &str, schema: &Value) -> String {
    match kind {
        "boolean" => "true or false".to_owned(),
        "integer" => match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
            (Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
            (Some(least), None) => format!("a whole number, {least} or more"),
            _ => "a whole number".to_owned(),
        },
        "number" => "a number".to_owned(),
        "array" => match wanted(&schema["items"]) {
            one if one.is_empty() => "a list in brackets, such as [\"a\", \"b\"]".to_owned(),
            one if one == of("string", &Value::Null) => {
                "a list of strings, such as [\"a\", \"b\"]".to_owned()
            }
            one => format!("a list in brackets of {one}"),
        },
        "object" => {
            let pairs = |(key, it): (&String, &Value)| format!("{key} = {}", example(it));
            let keys = schema["properties"].as_object();
            match keys.map(|it| it.iter().map(pairs).collect::<Vec<_>>()) {
                Some(pairs) if !pairs.is_empty() => {
                    format!("a table such as {{ {} }}", pairs.join(", "))
                }
                _ => format!(
                    "a table such as {{ NAME = {} }}",
                    example(&schema["additionalProperties"])
                ),
            }
        }
        _ => "a string in quotes".to_owned(),
    }
}

/// A value to copy.
fn example(schema: &Value) -> String {
    if let Some(example) = schema["examples"][0].as_str() {
        return format!("\"{example}\"");
    }
    if schema["title"] == "duration" {
        return "\"10s\"".to_owned();
    }
    if let Some(word) = words_of(schema).first() {
        return format!("\"{word}\"");
    }
    match kinds(schema)[..] {
        ["integer" | "number", ..] => "2".to_owned(),
        ["boolean", ..] => "true".to_owned(),
        [] => alternatives(schema)
            .next()
            .map_or_else(|| "\"…\"".to_owned(), example),
        _ => "\"…\"".to_owned(),
    }
}

/// The words that a schema allows, when it allows nothing else.
fn words_of(schema: &Value) -> Vec<String> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    let words = listed.chain(schema.get("const")).filter_map(Value::as_str);
    let mut words: Vec<String> = words.map(str::to_owned).collect();
    if words.is_empty() {
        for it in alternatives(schema) {
            match words_of(it) {
                inner if inner.is_empty() => return Vec::new(),
                inner => words.extend(inner),
            }
        }
    }
    words
}

/// `"a", "b" or "c"`
fn any_of(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|it| format!("\"{it}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// A value as it stands in the list, if it may be shown where its kind is closed.
pub fn shown(raw: &str) -> Option<&str> {
    let inner = ['"', '\''].iter().find_map(|quote| {
        let inner = raw.strip_prefix(*quote)?;
        inner.strip_suffix(*quote)
    });
    is_plain(inner.unwrap_or(raw)).then_some(raw)
}

/// Whether a text is short and has only what limits, sizes, times and zones are made of.
fn is_plain(text: &str) -> bool {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"%:.,@~/+-".contains(&it);
    text.len() <= LONGEST && text.bytes().all(plain)
}

/// A key that koshu does not know: shown where it resembles one that it knows, or is a word of letters; else
/// it may be a value that stands in the wrong place.
fn unknown(word: &str, near: Option<&str>) -> String {
    let bare = |it: u8| it.is_ascii_alphabetic() || b"_-".contains(&it);
    let resembles = near.is_some() && is_plain(word);
    let short = !word.is_empty() && word.len() <= LONGEST;
    match resembles || (short && word.bytes().all(bare)) {
        true => format!("`{word}`"),
        false => "`…`".to_owned(),
    }
}

/// A key as the excerpt shows it.
pub fn key(raw: &str, what: &What) -> String {
    let shown = match what {
        What::UnknownTable(word) => unknown(word, name::nearest(word, TABLES)),
        What::UnknownKey(word, keys) => unknown(word, nearest_key(word, *keys)),
        What::UnknownFinding(word, kind) => unknown(word, nearest_finding(word, *kind)),
        // A known key in the wrong place.
        _ => unknown(raw, None),
    };
    shown.trim_matches('`').to_owned()
}

/// The known key nearest to an unknown one.
pub fn nearest_key(word: &str, keys: Keys) -> Option<&'static str> {
    let common = || check::keys::<Common>().iter().copied();
    match keys {
        Keys::OfType(kind) => name::nearest(word, (kind.keys)().iter().copied().chain(common())),
        Keys::OfTable(_, keys) => name::nearest(word, keys.iter().copied()),
    }
}

fn findings(kind: Option<&'static Type>) -> impl Iterator<Item = &'static str> {
    let types = TYPES.iter().copied();
    let meant = types.filter(move |it| kind.is_none_or(|kind| kind.name == it.name));
    meant.flat_map(Type::codes).map(|it| it.code)
}

fn nearest_finding(word: &str, kind: Option<&'static Type>) -> Option<&'static str> {
    name::nearest(word, findings(kind))
}

/// The key that serde misses.
pub fn missing(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("missing field `")?;
    rest.split('`').next()
}

/// The message and the help of a mistake.
pub fn tell(
    what: &What,
    field: Option<&Field>,
    value_is_shown: bool,
    plan: &Plan,
) -> (String, Option<String>) {
    let mean = |near: Option<&str>| near.map(|it| format!("did you mean `{it}`?"));
    let types = || {
        let names: Vec<&str> = TYPES.iter().map(|it| it.name).collect();
        format!("the types are {}", names.join(", "))
    };
    match what {
        // What the parser would have taken instead says less than the help.
        What::Syntax(message) => {
            let first = message.split(", expected ").next().unwrap_or_default();
            (first.to_owned(), None)
        }
        What::Said(text) => (text.to_string(), None),
        What::Refused(message, strings) => match field {
            _ if missing(message).is_some() => {
                let key = missing(message).unwrap_or_default();
                (format!("missing key `{key}`"), None)
            }
            Some(field) => refused(message, field, |it| match value_is_shown {
                true => it.to_owned(),
                false => without(it, strings),
            }),
            None => (without(message, strings), None),
        },
        What::UnknownTable(word) => {
            let near = name::nearest(word, TABLES);
            let of_check = TYPES.iter().any(|it| (it.keys)().contains(&&**word))
                || check::keys::<Common>().contains(&&**word);
            let message = format!("unknown table or key {}", unknown(word, near));
            let help = match of_check {
                true => Some(format!(
                    "`{word}` belongs to a check: write [[check]] on a line above it"
                )),
                false => mean(near).or(Some(
                    "the tables are [[check]], [[group]], [[window]], [[to]], [defaults] and [history]"
                        .to_owned(),
                )),
            };
            (message, help)
        }
        What::UnknownKey(word, keys @ Keys::OfTable(table, known)) => {
            let near = nearest_key(word, *keys);
            let known = format!("its keys are {}", known.join(", "));
            (
                format!("unknown key {} in {table}", unknown(word, near)),
                mean(near).or(Some(known)),
            )
        }
        What::UnknownKey(word, keys @ Keys::OfType(kind)) => {
            let near = nearest_key(word, *keys);
            let message = format!(
                "unknown key {} for a check of type `{}`",
                unknown(word, near),
                kind.name
            );
            (
                message,
                Some(mean(near).unwrap_or_else(|| elsewhere(word, kind))),
            )
        }
        What::UnknownFinding(word, kind) => {
            let near = nearest_finding(word, *kind);
            let message = format!("unknown finding {}", unknown(word, near));
            let of = kind.map_or("TYPE", |it| it.name);
            let list = format!("koshu explain {of} lists the findings");
            (message, mean(near).or(Some(list)))
        }
        What::UnknownType(word) => {
            let near = name::nearest(word, TYPES.iter().map(|it| it.name));
            let message = match is_plain(word) {
                true => format!("unknown check type `{word}`"),
                false => "unknown check type".to_owned(),
            };
            (message, mean(near).or(Some(types())))
        }
        What::UnknownName(word) => match word.strip_prefix("tag:") {
            Some(_) => (
                "no check has a tag that matches".to_owned(),
                mean(public(plan.near(word).as_deref())),
            ),
            None => (
                "no check or group has this name".to_owned(),
                mean(public(plan.near(word).as_deref())),
            ),
        },
        What::SameName(_) => (
            "another check or group has this name already".to_owned(),
            Some("give each a `name` of its own".to_owned()),
        ),
        What::SameLabel(_) => (
            "in perfdata this name becomes the same label as another one".to_owned(),
            Some("give one of them a `label` of its own".to_owned()),
        ),
    }
}

/// A name that can be told: the default name of a check may hold what stands in a URL's path.
pub fn public(name: Option<&str>) -> Option<&str> {
    name.filter(|it| !it.contains("://"))
}

/// What to do about a key that is no key of the type.
fn elsewhere(word: &str, kind: &Type) -> String {
    let meant = SYNONYMS.iter().find(|it| it.0.contains(&word));
    let known = |key: &str| (kind.keys)().contains(&key) || check::keys::<Common>().contains(&key);
    if let Some(key) = meant.and_then(|it| it.1.iter().find(|it| known(it))) {
        return format!("did you mean `{key}`?");
    }
    if matches!(word, "w" | "c" | "warn" | "warning" | "crit" | "critical")
        && let Some((key, example)) = limits_of(kind)
    {
        return format!("limits stand at what they limit: {key} = \"{example}\"");
    }
    if let Some(other) = TYPES.iter().find(|it| (it.keys)().contains(&word)) {
        return format!("`{word}` belongs to type `{}`", other.name);
    }
    let own = (kind.keys)().join(", ");
    format!(
        "the keys of {} are {own}; koshu explain {} has all",
        kind.name, kind.name
    )
}

/// What other programs call a thing, and what it is called here; the first that the type has is meant.
const SYNONYMS: [(&[&str], &[&str]); 10] = [
    (
        &["hostname", "ip", "address", "server", "target", "fqdn"],
        &["host", "url", "zone"],
    ),
    (&["uri", "link", "endpoint", "website"], &["url"]),
    (
        &[
            "mount",
            "mountpoint",
            "mount_point",
            "filesystem",
            "partition",
            "device",
            "file",
        ],
        &["path"],
    ),
    (
        &[
            "content", "contains", "string", "text", "keyword", "pattern", "regex",
        ],
        &["body", "expect", "match"],
    ),
    (&["status_code", "code", "expected_status"], &["status"]),
    (
        &["interval", "frequency", "period", "check_interval"],
        &["every"],
    ),
    (&["retries", "attempts", "max_check_attempts"], &["retry"]),
    (
        &["depends", "depends_on", "requires", "parents"],
        &["needs"],
    ),
    (&["exec", "script", "program", "cmd"], &["command"]),
    (&["username", "login"], &["user"]),
];

/// The first key of a type that takes limits, with an example.
pub fn limits_of(kind: &Type) -> Option<(&'static str, String)> {
    let schema = (kind.schema)().to_value();
    let example = |schema: &Value| {
        let example = |it: &Value| it["examples"][0].as_str().map(str::to_owned);
        let mut all = alternatives(schema).chain([schema]);
        all.find(|it| it["title"] == "limits").and_then(example)
    };
    let keys = (kind.keys)().iter();
    let mut found = keys.filter_map(|key| Some((*key, example(&schema["properties"][key])?)));
    let first = found.next();
    match first {
        // How long it took is what is meant, where that is known.
        Some((key, _)) if key != "time" => found.find(|it| it.0 == "time").or(first),
        _ => first,
    }
}

/// What serde or a type says of a value, in the words of its key.
fn refused(
    message: &str,
    field: &Field,
    shown: impl Fn(&str) -> String,
) -> (String, Option<String>) {
    let wanted = wanted(&field.schema);
    let said = |start: &str| message.starts_with(start);
    let first = || {
        let mut words = message.split('`');
        words.nth(1).unwrap_or_default()
    };
    if said("unknown field ") {
        let keys = field.keys();
        let near = name::nearest(first(), keys.iter().map(String::as_str));
        let known = format!("its keys are {}", keys.join(", "));
        let help = near.map_or(known, |it| format!("did you mean `{it}`?"));
        return (
            format!("unknown key {}", unknown(first(), near)),
            Some(help),
        );
    }
    if said("unknown variant ") && !wanted.is_empty() {
        let words = words_of(&field.schema);
        let near = name::nearest(first(), words.iter().map(String::as_str));
        let help = near.map(|it| format!("did you mean \"{it}\"?"));
        return (format!("expected {wanted}"), help);
    }
    let of_serde = said("invalid type: ") || said("invalid value: ") || said("invalid length ");
    match of_serde && !wanted.is_empty() {
        true => {
            let help = (found(message) == ", found a string" && wanted.contains("number"))
                .then(|| "a number stands without quotes".to_owned());
            (format!("expected {wanted}{}", found(message)), help)
        }
        false => {
            // A type's own words, which end serde's where the key is not known.
            let own = match of_serde {
                true => message.rfind("expected ").map_or("", |it| &message[it..]),
                false => message,
            };
            (shown(own), None)
        }
    }
}

/// What was found instead, of serde's words for it.
fn found(message: &str) -> &'static str {
    const KINDS: [(&str, &str); 6] = [
        ("invalid type: string", ", found a string"),
        ("invalid type: integer", ", found a number"),
        ("invalid type: floating", ", found a number"),
        ("invalid type: boolean", ", found true or false"),
        ("invalid type: sequence", ", found a list"),
        ("invalid type: map", ", found a table"),
    ];
    let kind = KINDS.iter().find(|it| message.starts_with(it.0));
    kind.map_or("", |it| it.1)
}

/// A message without what it has of a table's strings: neither a whole one, nor a word that stands in one.
pub fn without(message: &str, strings: &[impl AsRef<str>]) -> String {
    /// Shorter ones are in every other word.
    const SHORTEST: usize = 4;
    /// More than that of a message nobody reads.
    const MOST: usize = 400;
    let strings = strings.iter().map(AsRef::as_ref);
    let strings: Vec<&str> = strings
        .filter(|it| it.len() >= SHORTEST && !is_own(it))
        .collect();
    let mut text = message.to_owned();
    for it in &strings {
        let escaped = it.escape_debug().to_string();
        for form in [*it, escaped.as_str(), &crate::model::text::clean(it)] {
            if form.len() >= SHORTEST {
                text = text.replace(form, "…");
            }
        }
    }
    let text = crate::model::text::excerpt(&text, MOST);
    let strings: Vec<String> = strings.iter().map(|it| it.to_lowercase()).collect();
    let stands = |word: &str| {
        let word = word.to_lowercase();
        strings.iter().any(|it| it.contains(&word))
    };
    let mut hidden = String::with_capacity(text.len());
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ';' | '(' | ')');
    for word in text.split_inclusive(ends) {
        let bare = word.trim_end_matches(ends);
        match bare.len() >= SHORTEST && stands(bare) {
            _ if is_own(bare) => hidden.push_str(bare),
            true => hidden.push('…'),
            false => hidden.push_str(&parts(bare, &stands)),
        }
        hidden.push_str(&word[bare.len()..]);
    }
    while hidden.contains("……") {
        hidden = hidden.replace("……", "…");
    }
    hidden
}

/// A word without those of its parts that stand in a string, of six characters or more.
fn parts(word: &str, stands: &impl Fn(&str) -> bool) -> String {
    const SHORTEST: usize = 6;
    let chars: Vec<char> = word.chars().collect();
    let part = |from: usize, to: usize| chars[from..to].iter().collect::<String>();
    let mut shown = String::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = part(at, chars.len().min(at + 8));
        if let Some(scheme) = ["https://", "http://"]
            .iter()
            .find(|it| rest.starts_with(**it))
        {
            shown.push_str(scheme);
            at += scheme.len();
            continue;
        }
        let mut end = at + SHORTEST;
        if end > chars.len() || !stands(&part(at, end)) {
            shown.push(chars[at]);
            at += 1;
            continue;
        }
        while end < chars.len() && stands(&part(at, end + 1)) {
            end += 1;
        }
        // Of a whole word of koshu's own nothing is hidden.
        match is_own(&part(at, end)) {
            true => shown.push_str(&part(at, end)),
            false => shown.push('…'),
        }
        at = end;
    }
    shown
}

/// Whether a word is one of koshu's own: a key, a type, or what messages name besides.
fn is_own(word: &str) -> bool {
    OWN.contains(&word)
        || deliver::PRESETS.iter().any(|it| it.name == word)
        || FORMATS.iter().any(|it| it.name == word)
        || (word.contains('/') && jiff::tz::TimeZone::get(word).is_ok())
        || check::keys::<Common>().contains(&word)
        || TYPES
            .iter()
            .any(|it| it.name == word || (it.keys)().contains(&word))
}

/// What to do about text that is no TOML; it names the mistake, and quotes nothing.
pub fn syntax_help(text: &str, span: &Range<usize>) -> Option<String> {
    let at = text.floor_char_boundary(span.start.min(text.len()));
    let begin = text[..at].rfind('\n').map_or(0, |it| it + 1);
    let end = text[at..].find('\n').map_or(text.len(), |it| at + it);
    let line = text[begin..end].trim();
    let value = line.split_once('=').map(|it| it.1.trim());
    let help = if line.contains(['“', '”', '„', '‘', '’', '«', '»']) {
        "“ ” and ‘ ’ are no quotes of TOML: write \" or '".to_owned()
    } else if let Some(escape) = bad_escape(&text[begin..end], at - begin) {
        format!("in \"…\" {escape} begins an escape: write a regex or a path in single quotes, '…'")
    } else if line.starts_with('[') {
        match line.starts_with("[[") {
            false => "a list of checks is written [[check]], with two brackets".to_owned(),
            true => return None,
        }
    } else {
        let Some(value) = value else {
            return Some(match line.contains(':') {
                true => "write KEY = VALUE, not KEY: VALUE".to_owned(),
                false => "write KEY = VALUE".to_owned(),
            });
        };
        let word = value.split('#').next().unwrap_or_default().trim();
        match value.chars().next() {
            None => "a value belongs behind the =".to_owned(),
            Some('"' | '\'') => {
                "a string ends on its line, with the quote that it began with; a second key needs a line of its own"
                    .to_owned()
            }
            Some('[' | '{') => "lists and tables need commas between their parts and a bracket at their end".to_owned(),
            Some(_) if ["true", "false", "yes", "no", "on", "off"].contains(&&*word.to_lowercase()) => {
                "write true or false, in small letters".to_owned()
            }
            Some(_) => "a value that is no plain number, true or false stands in quotes: KEY = \"VALUE\"".to_owned(),
        }
    };
    Some(help)
}

/// The escape at or just before a byte of a line that TOML does not know; named only if it is one of a regex.
fn bad_escape(line: &str, at: usize) -> Option<String> {
    if !line[..at].contains('"') {
        return None;
    }
    let near = line.floor_char_boundary(at.saturating_sub(1));
    let slash = near + line[near..].find('\\')?;
    let next = line[slash + 1..].chars().next()?;
    match slash <= at + 1 && !"btnfre\"\\uUx".contains(next) {
        false => None,
        true if "dDwWsSBpP.()[]{}|+*?^$-/".contains(next) => Some(format!("`\\{next}`")),
        true => Some("a backslash".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_nothing_of_a_hidden_string() {
        let cases = [
            (
                "\"s3cret pass\" is no name",
                "s3cret pass",
                "\"…\" is no name",
            ),
            ("\"s3cret\" is no port", "host:S3cret", "\"…\" is no port"),
            (
                "write http://hunter2-x/ instead",
                "u:hunter2-x",
                "write http://…/ instead",
            ),
            ("`host` is missing", "host.example", "`host` is missing"),
            (
                "\"htp://…@ss/w0rd:9x\" is no URL",
                "htp://u:p@ss/w0rd:9x",
                "\"…\" is no URL",
            ),
            (
                "\"a\\\"quoted\\\"b\" is wrong",
                "a\"quoted\"b",
                "\"…\" is wrong",
            ),
        ];
        for (message, string, shown) in cases {
            assert_eq!(without(message, &[string]), shown);
        }
    }

    #[test]
    fn only_short_plain_values_are_shown() {
        assert_eq!(shown("'5x'"), Some("'5x'"));
        assert_eq!(shown("70000"), Some("70000"));
        for raw in ["\"5 parsecs\"", "'a|b'", "\"\\u0041\"", "\"\"\"5s\"\"\""] {
            assert_eq!(shown(raw), None, "{raw}");
        }
        assert_eq!(shown(&"5".repeat(33)), None);
    }

    #[test]
    fn keys_that_may_be_values_are_not_shown() {
        assert_eq!(unknown("urll", Some("url")), "`urll`");
        assert_eq!(unknown("hostname", None), "`hostname`");
        assert_eq!(unknown("hunter2-7f3a", None), "`…`");
        assert_eq!(unknown("a b", None), "`…`");
    }
}
