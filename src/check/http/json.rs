//! Conditions on the fields of a JSON document.

use crate::model::limits::{Amount, Judges, Limit, Limits};
use crate::model::metric::Metric;
use crate::model::outcome::Outcome;
use crate::model::pattern::Pattern;
use crate::model::quantity::Unit;
use crate::model::state::State;
use crate::model::text;
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use serde_json::Value;
use std::fmt;

/// Where a field stands: a JSON Pointer (RFC 6901), or names joined with dots, as `queue.length` or `nodes.0.state`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Place {
    text: String,
    pointer: String,
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Place, String> {
        let pointer = match text.as_bytes() {
            [] => return Err("an empty path, expected one such as \"queue.length\"".to_owned()),
            [b'/', ..] => text.clone(),
            _ => text
                .split('.')
                .map(|it| format!("/{}", it.replace('~', "~0").replace('/', "~1")))
                .collect(),
        };
        Ok(Place { text, pointer })
    }
}

impl Place {
    /// The label of its metric.
    pub fn label(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name: String = self.text.trim_matches('/').chars().map(plain).collect();
        format!("json_{name}")
    }
}

/// What a field must be: a value that it equals, or a table.
#[derive(Debug)]
pub enum Field {
    Equals(Value),
    Like(Box<Table>),
}

/// Whether a text is limits of a number, as everywhere else, and not one to equal: numbers and ranges with a comma.
fn is_like_limits(text: &str) -> bool {
    let part = |it: char| it.is_ascii_digit() || " .,:~@-+".contains(it);
    text.contains(',') && text.contains(|it: char| it.is_ascii_digit()) && text.chars().all(part)
}

/// The long form.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// What the text must match.
    regex: Option<Pattern>,
    /// What the text must not match.
    not: Option<Pattern>,
    /// The range in which the number is a WARNING.
    warn: Option<Limit<Amount>>,
    /// The range in which the number is CRITICAL.
    crit: Option<Limit<Amount>>,
    /// Whether the field must be there.
    exists: Option<bool>,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Field, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Field;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("a value to equal, limits such as \"10,100\", or a table with regex, not, warn, crit or exists")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Field, E> {
                if !is_like_limits(text) {
                    return Ok(Field::Equals(text.into()));
                }
                let limits = text.parse::<Limits<Amount>>().map_err(|it| {
                    E::custom(format!(
                        "{it}; a text that it must equal is written {{ regex = \"^{text}$\" }}"
                    ))
                })?;
                Ok(Field::Like(Box::new(Table {
                    warn: limits.warn,
                    crit: limits.crit,
                    ..Table::default()
                })))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Field, E> {
                Ok(Field::Equals(value.into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Field, E> {
                Ok(Field::Equals(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Field, E> {
                Ok(Field::Equals(number.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                let Table {
                    regex,
                    not,
                    warn,
                    crit,
                    exists,
                } = &table;
                let says = [
                    regex.is_some(),
                    not.is_some(),
                    warn.is_some(),
                    crit.is_some(),
                    exists.is_some(),
                ];
                match says.contains(&true) {
                    true => Ok(Field::Like(Box::new(table))),
                    false => Err(de::Error::custom(
                        "an empty table, expected regex, not, warn, crit or exists",
                    )),
                }
            }
        }
        from.deserialize_any(Forms)
    }
}

impl schemars::JsonSchema for Field {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Field".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let table = Table::json_schema(generator);
        schemars::json_schema!({
            "title": "value or condition",
            "anyOf": [{ "type": ["string", "number", "boolean"] }, table],
        })
    }
}

/// Judges one field of a document; limits become a metric.
///
/// # Errors
/// When a regex is too large to be built.
pub fn judge(
    outcome: &mut Outcome,
    document: &Value,
    place: &Place,
    field: &Field,
) -> anyhow::Result<()> {
    let name = &place.text;
    let value = document.pointer(&place.pointer);
    let mut wrong = |line: String| outcome.find("json", State::Critical, &line);
    let table = match (value, field) {
        (None, Field::Like(table)) if table.exists == Some(false) => return Ok(()),
        (None, _) => {
            wrong(format!("{name} is not in the JSON document"));
            return Ok(());
        }
        (Some(value), Field::Equals(wanted)) => {
            if !equal(value, wanted) {
                wrong(format!("{name} is {}, expected {wanted}", shown(value)));
            }
            return Ok(());
        }
        (Some(_), Field::Like(table)) => table,
    };
    let Some(value) = value else { return Ok(()) };
    if table.exists == Some(false) {
        wrong(format!("{name} is in the JSON document, and should not be"));
    }
    let plain = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let Some(regex) = &table.regex
        && !regex.finds(plain.as_bytes())?
    {
        wrong(format!(
            "{name} is {}, expected /{}/",
            shown(value),
            regex.as_str()
        ));
    }
    if let Some(regex) = &table.not
        && regex.finds(plain.as_bytes())?
    {
        wrong(format!(
            "{name} is {}, expected not /{}/",
            shown(value),
            regex.as_str()
        ));
    }
    if table.warn.is_none() && table.crit.is_none() {
        return Ok(());
    }
    let Ok(number) = plain.trim().parse::<f64>() else {
        wrong(format!("{name} is {}, expected a number", shown(value)));
        return Ok(());
    };
    let of =
        |limit: &Option<Limit<Amount>>| limit.as_ref().map(|it| it.of(0.0)).unwrap_or_default();
    let metric = Metric::new(place.label(), number, Unit::None)
        .signed()
        .judged(Judges {
            warn: of(&table.warn),
            crit: of(&table.crit),
        });
    outcome.measure_as("json", metric, &format!("{name} is {}", shown(value)));
    Ok(())
}

/// Numbers are equal by value, and a string equals a number or a boolean that is written like it.
fn equal(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Bool(it), Value::String(wanted)) => wanted.parse() == Ok(*it),
        (Value::Number(it), Value::String(wanted)) => wanted.parse().ok() == it.as_f64(),
        _ => value == wanted,
    }
}

fn shown(value: &Value) -> String {
    text::excerpt(&value.to_string(), 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    struct Of {
        json: BTreeMap<Place, Field>,
    }

    fn judged(toml: &str, document: &str) -> Outcome {
        let of: Of = toml::from_str(&format!("json = {toml}")).expect("conditions");
        let document = serde_json::from_str(document).expect("a document");
        let mut outcome = Outcome::default();
        for (place, field) in &of.json {
            judge(&mut outcome, &document, place, field).expect("small");
        }
        outcome
    }

    const DOCUMENT: &str =
        r#"{"ok":true,"n":12.5,"s":"up","deep":{"list":[{"x":"3"}]},"a/b":null}"#;

    #[test]
    fn fields_are_found_by_path_and_pointer() {
        for good in [
            "{ ok = true, n = 12.5, s = 'up' }",
            "{ 'deep.list.0.x' = '3' }",
            "{ '/deep/list/0/x' = { regex = '^3$' } }",
            "{ '/a~1b' = { exists = true } }",
            "{ gone = { exists = false } }",
        ] {
            assert_eq!(judged(good, DOCUMENT).state(), State::Ok, "{good}");
        }
        for bad in [
            "{ ok = false }",
            "{ n = 12 }",
            "{ gone = 'x' }",
            "{ s = { exists = false } }",
            "{ s = { not = 'u' } }",
            "{ s = { warn = '3' } }",
        ] {
            assert_eq!(judged(bad, DOCUMENT).state(), State::Critical, "{bad}");
        }
    }

    #[test]
    fn limits_of_numbers_become_perfdata() {
        let outcome = judged("{ n = { warn = '10', crit = '20' } }", DOCUMENT);
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.metrics()[0].to_string(), "json_n=12.5;10;20");
        let outcome = judged("{ 'deep.list.0.x' = { crit = '5:' } }", DOCUMENT);
        assert_eq!(outcome.line(), "deep.list.0.x is \"3\"");
        assert_eq!(outcome.metrics()[0].label, "json_deep_list_0_x");
    }

    #[test]
    fn limits_are_written_as_everywhere() {
        assert_eq!(judged("{ n = '10,20' }", DOCUMENT).state(), State::Warning);
        assert_eq!(judged("{ n = ',10' }", DOCUMENT).state(), State::Critical);
        let outcome = judged("{ n = '20:,@1:2' }", DOCUMENT);
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.metrics()[0].to_string(), "json_n=12.5;20:;@1:2");
        assert_eq!(judged("{ s = '1,2' }", DOCUMENT).state(), State::Critical);
        // A text with a comma that is no limits is one to equal.
        let names = r#"{"s":"Tokyo, 2"}"#;
        assert_eq!(judged("{ s = 'Tokyo, 2' }", names).state(), State::Ok);
        let wrong = toml::from_str::<Of>("json = { n = '1,2,3' }").expect_err("three limits");
        assert!(wrong.to_string().contains("regex"), "{wrong}");
    }

    #[test]
    fn empty_tables_and_paths_are_refused() {
        assert!(toml::from_str::<Of>("json = { a = {} }").is_err());
        assert!(toml::from_str::<Of>("json = { '' = 1 }").is_err());
        assert!(toml::from_str::<Of>("json = { a = { wran = '1' } }").is_err());
    }
}
