//! `explain`, the schemas and the manual pages, all from the doc comments of the types' fields.

use crate::check::{TYPES, Type};
use crate::config::{Common, Source};
use crate::format::json::Document;
use crate::model::name;
use crate::model::outcome::{Code, LATE};
use crate::plan::Plan;
use clap_mangen::roff::{Inline, Roff, bold, roman};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

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

fn common_schema() -> Value {
    let generator = SchemaSettings::draft07()
        .with(|it| it.inline_subschemas = true)
        .into_generator();
    generator.into_root_schema_for::<Common>().to_value()
}

fn about(kind: &Type) -> String {
    let schema = (kind.schema)().to_value();
    schema["description"]
        .as_str()
        .unwrap_or_default()
        .replace('\n', " ")
}

/// The text for a topic, or the overview.
///
/// # Errors
/// For a topic that is neither a type nor a finding, with the nearest one.
pub fn explain(topic: Option<&str>) -> Result<String, String> {
    let Some(topic) = topic else {
        return Ok(overview());
    };
    if let Some(kind) = Type::named(topic) {
        return Ok(explain_type(kind));
    }
    let findings: Vec<(&Type, &Code)> = TYPES
        .iter()
        .flat_map(|kind| kind.codes().map(move |code| (*kind, code)))
        .filter(|(_, code)| code.code == topic)
        .collect();
    if topic == LATE {
        return Ok("late: the check did not answer within its timeout\n\n  state    that of the key `late`, by default critical\n\nThe text says how far it came. Look at what it waits for; where slow is normal, raise `timeout`.\n".to_owned());
    }
    if findings.is_empty() {
        let types = TYPES.iter().map(|it| it.name);
        let codes = TYPES.iter().flat_map(|it| it.codes()).map(|it| it.code);
        let near = name::nearest(topic, types.chain(codes));
        let near = near.map_or(String::new(), |it| format!(", did you mean `{it}`?"));
        return Err(format!("`{topic}` is neither a type nor a finding{near}"));
    }
    let mut text = format!("{topic}: a finding\n");
    let mut told: Vec<&str> = Vec::new();
    for (_, code) in &findings {
        if told.contains(&code.meaning) {
            continue;
        }
        told.push(code.meaning);
        let same = findings.iter().filter(|it| it.1.meaning == code.meaning);
        let types: Vec<&str> = same.map(|it| it.0.name).collect();
        let _ = write!(
            text,
            "\n  {}\n\n  types    {}\n  state    {}\n",
            code.meaning,
            types.join(", "),
            code.state
        );
    }
    let _ = write!(
        text,
        "\nTo give it another state: grade = {{ {topic} = \"warning\" }}\n"
    );
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
    write_keys(&mut text, &keys_of(&common_schema()));
    text
}

fn explain_type(kind: &Type) -> String {
    let mut text = format!("{}: {}\n\nKeys:\n\n", kind.name, about(kind));
    write_keys(&mut text, &keys_of(&(kind.schema)().to_value()));
    text.push_str("\nFindings, which `grade` can re-grade:\n\n");
    for code in kind.codes() {
        let _ = writeln!(text, "  {:<18}{}. {}", code.code, code.state, code.meaning);
    }
    let _ = write!(
        text,
        "\nKeys of every check: koshu explain\n\nExample:\n\n{}",
        kind.example
    );
    text
}

fn write_keys(text: &mut String, keys: &[Key]) {
    for key in keys {
        let need = if key.required { ", required" } else { "" };
        let _ = writeln!(text, "  {:<10}{}{need}", key.name, key.kind);
        let _ = writeln!(text, "            {}", key.meaning);
    }
}

/// The checks that would run on a host, as a table.
pub fn listed(plan: &Plan, host: &str, origin: Option<&str>) -> String {
    let here = plan.clone().on(host).unwrap_or_default();
    let width = plan
        .jobs
        .iter()
        .map(|it| it.name.width())
        .max()
        .unwrap_or(4)
        .max(4);
    let cell = |text: &str, width: usize| {
        let fill = " ".repeat(width.saturating_sub(text.width()));
        format!("{text}{fill}")
    };
    let mut text = format!("{}  TYPE      TIMEOUT  TAGS\n", cell("NAME", width));
    for job in &plan.jobs {
        let runs = here.jobs.iter().any(|it| it.name == job.name);
        let timeout = crate::model::quantity::seconds(job.timeout.as_secs_f64());
        let not_here = match runs {
            true => String::new(),
            false => format!("  (not on {host}, only on {})", job.hosts.join(", ")),
        };
        let line = format!(
            "{}  {:<8}  {timeout:<7}  {}{not_here}",
            cell(&job.name, width),
            job.kind.name,
            job.tags.join(" ")
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if let Some(origin) = origin {
        let _ = writeln!(text, "\n{origin}");
    }
    text
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
    let files: Vec<&str> = sources.iter().map(|it| it.name.as_str()).collect();
    let mut text = format!("{checks} right in {}\n", files.join(", "));
    for warning in warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    if let Some(origin) = origin {
        let _ = writeln!(text, "{origin}");
    }
    text
}

/// The JSON Schema of a list, for editors.
pub fn list_schema() -> Value {
    let mut common = common_schema();
    let common = match common["properties"].take() {
        Value::Object(properties) => properties,
        _ => Map::new(),
    };
    let mut definitions = Map::new();
    let checks: Vec<Value> = TYPES
        .iter()
        .map(|kind| {
            let mut schema = (kind.schema)().to_value();
            if let Value::Object(own) = schema["definitions"].take() {
                definitions.extend(own);
            }
            let mut properties = common.clone();
            if let Value::Object(own) = schema["properties"].take() {
                properties.extend(own);
            }
            properties.insert("type".to_owned(), json!({ "const": kind.name }));
            let mut required = vec![json!("type")];
            required.extend(schema["required"].as_array().into_iter().flatten().cloned());
            json!({
                "title": kind.name,
                "description": schema["description"],
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            })
        })
        .collect();
    let mut defaults = common;
    defaults.retain(|key, _| !["name", "label", "type"].contains(&key.as_str()));
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "koshu's list of checks",
        "type": "object",
        "properties": {
            "defaults": { "type": "object", "properties": defaults, "additionalProperties": false },
            "check": { "type": "array", "minItems": 1, "items": { "oneOf": checks } },
        },
        "required": ["check"],
        "additionalProperties": false,
        "definitions": definitions,
    });
    without_null(&mut schema);
    schema
}

/// TOML has no null, so an optional key is one that is left out.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(map) => {
            if let Some(Value::Array(kinds)) = map.get_mut("type") {
                kinds.retain(|it| it != "null");
                if let [one] = &kinds[..] {
                    let one = one.clone();
                    map.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(several)) = map.get_mut("anyOf") {
                several.retain(|it| it["type"] != "null");
            }
            map.values_mut().for_each(without_null);
        }
        _ => (),
    }
}

/// The JSON Schema of the report that `--format json` prints.
pub fn report_schema() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    generator.into_root_schema_for::<Document>().to_value()
}

/// koshu(1).
pub fn command_page(command: clap::Command) -> String {
    let command = command.disable_help_subcommand(true);
    let man = clap_mangen::Man::new(command.clone())
        .date("")
        .source(concat!("koshu ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    let rendered = man
        .render_title(&mut page)
        .and_then(|()| man.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page));
    debug_assert!(rendered.is_ok(), "a vector takes everything");
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for sub in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        roff.control("SS", [sub.get_name()]);
        if let Some(about) = sub.get_about() {
            roff.text([roman(about.to_string())]);
        }
        let common = Type::named(sub.get_name()).is_some();
        for arg in sub
            .get_arguments()
            .filter(|it| !it.is_hide_set() && it.get_id() != "help")
        {
            // The options of the ad-hoc checks are those of `run`.
            if common && !arg.is_positional() {
                continue;
            }
            roff.control("TP", []);
            roff.text([bold(usage(arg))]);
            let help = arg.get_help().map(|it| it.to_string()).unwrap_or_default();
            let values: Vec<String> = arg
                .get_possible_values()
                .iter()
                .map(|it| it.get_name().to_owned())
                .collect();
            let values = match (arg.get_action().takes_values(), &values[..]) {
                (true, [_, ..]) => format!(" ({})", values.join(", ")),
                _ => String::new(),
            };
            roff.text([roman(format!("{help}{values}"))]);
        }
        if common {
            roff.text([
                roman("Options are those of "),
                bold("run"),
                roman(" from --format on."),
            ]);
        }
    }
    let sections: &[(&str, &[&str])] = &[
        (
            "EXIT STATUS",
            &[
                "0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, or what --exit says. The worst state counts, in the order OK < WARNING < UNKNOWN < CRITICAL.",
                "A mistake in the list or on the command line, a run that was stopped by a signal and an output that cannot be written are 3.",
            ],
        ),
        (
            "OUTPUT",
            &[
                "Everything is printed on stdout, all at once. The nagios format has at most 255 bytes of text and 1023 with perfdata on the first line, and 4096 in all unless --max-bytes says otherwise; what does not fit is counted.",
                "On a terminal, stderr shows what a run is waiting for; otherwise it stays empty.",
            ],
        ),
        (
            "FILES",
            &["/etc/koshu/*.toml: the lists that are read when -c names none. See koshu.toml(5)."],
        ),
        (
            "ENVIRONMENT",
            &[
                "SSL_CERT_FILE: root certificates instead of the system's. NO_COLOR: no colours. Variables that a list names as { env = \"NAME\" }.",
            ],
        ),
        (
            "EXAMPLES",
            &[
                "koshu run -c checks.toml",
                "koshu run 'web*' tag:db --format json",
                "koshu cert example.jp left=30d,14d",
                "koshu disk / used=80%,90%",
            ],
        ),
        ("SEE ALSO", &["koshu.toml(5)"]),
    ];
    for (title, lines) in sections {
        roff.control("SH", [*title]);
        for line in *lines {
            roff.control("PP", []);
            roff.text([roman(*line)]);
        }
    }
    format!("{}{}", String::from_utf8_lossy(&page), body(&roff))
}

fn usage(arg: &clap::Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let value = names
        .iter()
        .map(|it| it.to_string())
        .collect::<Vec<_>>()
        .join(" ");
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long} {value}"),
        (None, Some(long)) => format!("--{long} {value}"),
        _ if value.is_empty() => arg.get_id().to_string().to_uppercase(),
        _ => value,
    }
}

/// The roff without its preamble, which stands at the top of the page already.
fn body(roff: &Roff) -> String {
    roff.to_roff()
}

/// koshu.toml(5).
pub fn list_page() -> String {
    let mut roff = Roff::new();
    roff.control(
        "TH",
        [
            "koshu.toml",
            "5",
            "",
            concat!("koshu ", env!("CARGO_PKG_VERSION")),
        ],
    );
    roff.control("SH", ["NAME"]);
    roff.text([roman("koshu.toml - the list of checks that koshu(1) runs")]);
    let mut section = |title: &str, paragraphs: &[&str]| {
        roff.control("SH", [title]);
        for paragraph in paragraphs {
            roff.control("PP", []);
            roff.text([roman(*paragraph)]);
        }
    };
    section(
        "DESCRIPTION",
        &[
            "A list is a TOML file. Each [[check]] table is one check; [defaults] holds common keys for all checks of its file. Keys that nobody knows, values of the wrong kind, names used twice and lists that check nothing are refused with file, line and column.",
        ],
    );
    section(
        "VALUES",
        &[
            "Limits are written \"WARN,CRIT\", with one side left out as in \"80%,\", or as a table { warn = …, crit = … }. Each is a Nagios range ([@][start:][end]) or a bare value, which alarms in the metric's bad direction; a list of limits alarms only where all of its members do. Units are us ms s m min h d w, B kB MB GB TB KiB MiB GiB TiB, and % of the whole.",
            "Durations have a unit: \"500ms\", \"10s\", \"2m\". Regular expressions are those of the Rust crate regex: no look-around, no back-references; (?i) ignores case.",
            "Secrets are strings, { env = \"NAME\" } or { file = \"PATH\" }, and are never printed. Relative paths count from the list's folder.",
        ],
    );
    roff.control("SH", ["COMMON KEYS"]);
    page_keys(&mut roff, &keys_of(&common_schema()));
    for kind in TYPES {
        roff.control("SH", [format!("TYPE {}", kind.name).as_str()]);
        roff.text([roman(about(kind))]);
        page_keys(&mut roff, &keys_of(&(kind.schema)().to_value()));
        roff.control("SS", ["Findings"]);
        for code in kind.codes() {
            roff.control("TP", []);
            roff.text([bold(code.code)]);
            roff.text([roman(format!("{}. {}", code.state, code.meaning))]);
        }
        roff.control("SS", ["Example"]);
        roff.control("nf", []);
        for line in kind.example.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("koshu(1)")]);
    body(&roff)
}

fn page_keys(roff: &mut Roff, keys: &[Key]) {
    for key in keys {
        let need = if key.required { ", required" } else { "" };
        roff.control("TP", []);
        let head: [Inline; 2] = [bold(&key.name), roman(format!(" ({}{need})", key.kind))];
        roff.text(head);
        roff.text([roman(&key.meaning)]);
    }
}
