//! `explain` and the schemas, from the doc comments of the types' fields and the tables of findings and engines.

mod listing;
pub mod schema;
mod words;

pub use listing::{View, listed};

use crate::check::{self, TYPES, Type};
use crate::config::{Common, Source};
use crate::deliver;
use crate::export::{ENGINES, Engine};
use crate::format::Style;
use crate::format::columns::folded;
use crate::model::name;
use crate::model::outcome::{Code, LATE};
use crate::model::report::GROUP;
use crate::model::text;
use crate::plan::Plan;
use crate::triage;
use serde_json::Value;
use std::fmt::Write as _;

/// A key as its doc comment tells it.
struct Key {
    name: String,
    /// What can be written, in a word or two.
    kind: String,
    required: bool,
    meaning: String,
}

fn keys_of(schema: &Value) -> Vec<Key> {
    let required = |name: &str| {
        let list = schema["required"].as_array();
        list.is_some_and(|it| it.iter().any(|it| it == name))
    };
    let properties = schema["properties"].as_object();
    let keys = properties.into_iter().flatten().map(|(name, it)| Key {
        name: name.clone(),
        kind: kind_of(it),
        required: required(name),
        meaning: it["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " "),
    });
    keys.collect()
}

/// The kind of a value in a word or two.
fn kind_of(schema: &Value) -> String {
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned();
    }
    if let Some(one) = schema["allOf"].as_array().and_then(|it| it.first()) {
        return kind_of(one);
    }
    if let Some(several) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let kinds: Vec<String> = several
            .iter()
            .filter(|it| it["type"] != "null")
            .map(kind_of)
            .collect();
        return match kinds.iter().all(|it| it.starts_with('"') || it == "word") {
            true => "word".to_owned(),
            false => kinds.join(" or "),
        };
    }
    if schema["enum"].is_array() || schema["const"].is_string() {
        return "word".to_owned();
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => vec!["table"],
    };
    let kinds: Vec<&str> = kinds
        .into_iter()
        .filter(|it| *it != "null")
        .map(|it| match it {
            "object" => "table",
            "array" => "list",
            "boolean" => "true or false",
            "integer" => "number",
            other => other,
        })
        .collect();
    kinds.join(" or ")
}

fn about(kind: &Type) -> String {
    let schema = (kind.schema)().to_value();
    schema["description"]
        .as_str()
        .unwrap_or_default()
        .replace('\n', " ")
}

/// The text for a topic, or the overview, as a terminal of this width and colour shows it; without a width as it is.
///
/// # Errors
/// For a topic that is unknown, with the nearest one.
pub fn explain(topic: Option<&str>, width: Option<usize>, style: &Style) -> Result<String, String> {
    let text = told(topic)?;
    // An example is there to be copied.
    let (text, example) = match text.split_once("\nExample:\n") {
        Some((text, example)) => (text.to_owned(), format!("\nExample:\n{example}")),
        None => (text, String::new()),
    };
    let text = width.map_or(text.clone(), |it| folded(&text, it)) + &example;
    Ok(match style.colour {
        true => text.lines().map(|it| emphasised(it) + "\n").collect(),
        false => text,
    })
}

/// A head, or the word that a text is about, in bold (SGR of ECMA-48).
fn emphasised(line: &str) -> String {
    let is_head = !line.starts_with([' ', '#', '[']) && !line.contains(" = ");
    match line.split_once(':') {
        Some((head, rest)) if is_head && !head.is_empty() => {
            format!("\x1b[1m{head}:\x1b[0m{rest}")
        }
        _ => line.to_owned(),
    }
}

fn told(topic: Option<&str>) -> Result<String, String> {
    let Some(topic) = topic else {
        return Ok(overview());
    };
    if let Some(kind) = Type::named(topic) {
        return Ok(explain_type(kind));
    }
    if let Some((name, table)) = schema::tables().into_iter().find(|it| it.0 == topic) {
        let about = table["description"].as_str().unwrap_or_default();
        let mut text = format!("{name}, a table: {about}\n\nKeys:\n\n");
        write_keys(&mut text, &keys_of(&table));
        if name == "to" {
            text.push_str("\nPresets:\n\n");
            for preset in deliver::PRESETS {
                let _ = writeln!(text, "  {:<14}{}", preset.name, preset.about);
            }
        }
        return Ok(text);
    }
    if let Some(engine) = Engine::named(topic) {
        return Ok(explain_engine(engine));
    }
    if let Some(text) = words::told(topic) {
        return Ok(text.to_owned());
    }
    let of_types = TYPES
        .iter()
        .flat_map(|kind| kind.codes().map(move |code| (kind.name, code)));
    let of_koshu = deliver::CODES.iter().map(|code| (deliver::NAME, code));
    let of_groups = triage::CODES.iter().map(|code| (GROUP, code));
    let findings: Vec<(&str, &Code)> = of_types
        .chain(of_koshu)
        .chain(of_groups)
        .filter(|(_, code)| code.code == topic)
        .collect();
    if topic == LATE {
        return Ok("late: the check did not answer within its timeout\n\n  state    that of the key `late`, by default critical\n\nThe text says how far it came. Look at what it waits for; where slow is normal, raise `timeout`.\n".to_owned());
    }
    let key = explain_key(topic);
    if let (true, Some(text)) = (findings.is_empty(), &key) {
        return Ok(text.clone());
    }
    if findings.is_empty() {
        let engines = ENGINES.iter().map(|it| it.name);
        let types = TYPES.iter().map(|it| it.name).chain(engines);
        let codes = TYPES.iter().flat_map(|it| it.codes()).chain(triage::CODES);
        let codes = codes.map(|it| it.code);
        let words = words::WORDS.iter().map(|it| it.0);
        let keys = check::keys::<Common>().iter().copied();
        let near = name::nearest(topic, types.chain(codes).chain(words).chain(keys));
        let near = near.map_or(String::new(), |it| format!(", did you mean `{it}`?"));
        return Err(format!(
            "`{topic}` is no type, key, finding, table or engine{near}"
        ));
    }
    let mut text = format!("{topic}: a finding\n");
    let mut told: Vec<&str> = Vec::new();
    for (_, code) in &findings {
        if told.contains(&code.meaning) {
            continue;
        }
        told.push(code.meaning);
        let same = findings.iter().filter(|it| it.1.meaning == code.meaning);
        let types: Vec<&str> = same.map(|it| it.0).collect();
        let _ = write!(
            text,
            "\n  {}\n\n  types    {}\n  state    {}\n",
            code.meaning,
            types.join(", "),
            code.state
        );
    }
    // Only findings of checks can be graded.
    let not_gradable = deliver::CODES.iter().chain(triage::CODES);
    let is_gradable = !not_gradable.into_iter().any(|it| it.code == topic);
    let other = match findings.iter().any(|it| it.1.state.starts_with("WARNING")) {
        true => "ok",
        false => "warning",
    };
    if is_gradable {
        let _ = write!(
            text,
            "\nTo give it another state: grade = {{ {topic} = \"{other}\" }}\n"
        );
    }
    text.extend(key.map(|it| format!("\n{it}")));
    Ok(text)
}

fn overview() -> String {
    let mut text = String::from(
        "Types of checks (koshu explain TYPE shows keys, findings and an example):\n\n",
    );
    for kind in TYPES {
        let _ = writeln!(text, "  {:<10}{}", kind.name, about(kind));
    }
    text.push_str("\nKeys of every check, also in [defaults] but for name, label and type:\n\n");
    write_keys(&mut text, &keys_of(&schema::common()));
    text.push_str("\nOther tables: koshu explain group, window, to or history\n");
    text.push_str(
        "How values are written: koshu explain limits, duration, size, pattern, secret or states\n",
    );
    let engines: Vec<&str> = ENGINES.iter().map(|it| it.name).collect();
    let _ = writeln!(
        text,
        "How koshu plugs into other systems: koshu explain {}",
        engines.join(", ")
    );
    text
}

/// A key: the one of every check, and those of types that are called so.
fn explain_key(topic: &str) -> Option<String> {
    let of = |owner: String, schema: &Value| {
        let key = keys_of(schema).into_iter().find(|it| it.name == topic)?;
        Some(format!(
            "{topic}: a key of {owner}, {}\n\n{}\n",
            key.kind, key.meaning
        ))
    };
    let common = of("every check".to_owned(), &schema::common());
    let types = TYPES.iter().filter_map(|it| {
        let schema = (it.schema)().to_value();
        of(format!("type {}", it.name), &schema)
    });
    let tables = schema::tables();
    let tables = tables.iter();
    let tables = tables.filter_map(|(name, it)| of(format!("[[{name}]]"), it));
    let all: Vec<String> = common.into_iter().chain(types).chain(tables).collect();
    (!all.is_empty()).then(|| all.join("\n"))
}

fn explain_type(kind: &Type) -> String {
    let mut text = format!("{}: {}\n\nKeys:\n\n", kind.name, about(kind));
    write_keys(&mut text, &keys_of(&(kind.schema)().to_value()));
    text.push_str("\nFindings, which `grade` can re-grade:\n\n");
    let widest = kind.codes().map(|it| it.code.len() + 2).max().unwrap_or(0);
    for code in kind.codes() {
        let (name, state) = (code.code, code.state);
        let _ = writeln!(text, "  {name:<widest$}{state}. {}", code.meaning);
    }
    let _ = write!(
        text,
        "\nKeys of every check: koshu explain\n\nExample:\n\n{}",
        kind.example
    );
    text
}

/// What there is to know of an engine, each with its word.
fn facts(engine: &Engine) -> Vec<(&'static str, String)> {
    let parts = engine.parts.iter();
    let parts = parts.map(|it| format!("koshu export {} {} ({})", engine.name, it.name, it.file));
    vec![
        ("Configuration", parts.collect::<Vec<_>>().join("; ")),
        ("States", engine.states.to_owned()),
        ("Size limits", engine.limits.to_owned()),
        ("Timeouts", engine.timeouts.to_owned()),
        ("Security", engine.security.to_owned()),
        ("Proof", engine.proof.to_owned()),
    ]
}

fn explain_engine(engine: &Engine) -> String {
    let mut text = format!("{}\n\n", engine.title);
    for step in engine.set_up {
        let _ = writeln!(text, "{step}\n");
    }
    for (word, fact) in facts(engine) {
        let _ = writeln!(text, "  {word:<15}{fact}");
    }
    text
}

fn write_keys(text: &mut String, keys: &[Key]) {
    let widest = keys.iter().map(|it| it.name.len() + 2).max().unwrap_or(0);
    for key in keys {
        let need = if key.required { ", required" } else { "" };
        let _ = writeln!(text, "  {:<widest$}{}{need}", key.name, key.kind);
        let _ = writeln!(text, "  {:<widest$}{}", "", key.meaning);
    }
}

/// What `validate` says of lists without a mistake.
pub fn validated(
    plan: &Plan,
    sources: &[Source],
    warnings: &[String],
    origin: Option<&str>,
) -> String {
    let checks = match plan.jobs.len() {
        1 => "1 check is".to_owned(),
        count => format!("{count} checks are"),
    };
    let files: Vec<String> = sources.iter().map(|it| text::clean(&it.name)).collect();
    let mut text = format!("{checks} right in {}\n", files.join(", "));
    for warning in warnings {
        let _ = writeln!(text, "warning: {}", text::clean(warning));
    }
    if let Some(origin) = origin {
        let _ = writeln!(text, "{origin}");
    }
    text
}

#[cfg(test)]
mod tests;
