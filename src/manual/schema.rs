//! JSON Schemas: of a list, for editors, and of the report, for programs.

use crate::check::TYPES;
use crate::config::Common;
use crate::config::tables::{Group, History, Window};
use crate::deliver::Keys;
use crate::format::json::Document;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The schema of the keys that all checks have.
pub fn common() -> Value {
    let settings = SchemaSettings::draft07().with(|it| it.inline_subschemas = true);
    let generator = settings.into_generator();
    generator.into_root_schema_for::<Common>().to_value()
}

/// The schemas of the tables besides checks, by their names.
pub fn tables() -> [(&'static str, Value); 4] {
    let settings = SchemaSettings::draft07().with(|it| it.inline_subschemas = true);
    let of = || settings.clone().into_generator();
    [
        ("group", of().into_root_schema_for::<Group>().to_value()),
        ("window", of().into_root_schema_for::<Window>().to_value()),
        ("to", of().into_root_schema_for::<Keys>().to_value()),
        ("history", of().into_root_schema_for::<History>().to_value()),
    ]
}

/// The JSON Schema of a list, for editors.
pub fn list() -> Value {
    let mut common = common();
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
    for (name, mut table) in tables() {
        table["additionalProperties"] = json!(false);
        schema["properties"][name] = match name {
            "history" => table,
            _ => json!({ "type": "array", "items": table }),
        };
    }
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
pub fn report() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    generator.into_root_schema_for::<Document>().to_value()
}
