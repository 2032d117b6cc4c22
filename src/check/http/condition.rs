//! What a text must, or must not, be like.

use crate::model::list::List;
use crate::model::pattern::Pattern;
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use std::fmt;

/// A condition on a text: a regex, or a table that says more.
#[derive(Debug)]
pub struct Condition {
    pattern: Pattern,
    /// As the list wrote it, between slashes or quotes.
    shown: String,
    /// Whether it must not be found.
    not: bool,
}

/// The long form.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Table {
    /// A literal text.
    text: Option<String>,
    /// A regular expression.
    regex: Option<Pattern>,
    /// Whether upper and lower case are the same.
    #[serde(default)]
    ignore_case: bool,
    /// Whether `.` also matches a line's end.
    #[serde(default)]
    linespan: bool,
    /// Whether it must not be found.
    #[serde(default)]
    not: bool,
}

impl Table {
    fn condition(self) -> Result<Condition, String> {
        let (regex, shown) = match (self.text, self.regex) {
            (Some(text), None) => (regex_syntax::escape(&text), format!("\"{text}\"")),
            (None, Some(regex)) => (regex.as_str().to_owned(), format!("/{}/", regex.as_str())),
            _ => return Err("expected exactly one of `text` and `regex`".to_owned()),
        };
        let flags = match (self.ignore_case, self.linespan) {
            (false, false) => "",
            (true, false) => "(?i)",
            (false, true) => "(?s)",
            (true, true) => "(?is)",
        };
        Ok(Condition {
            pattern: format!("{flags}{regex}").parse()?,
            shown,
            not: self.not,
        })
    }
}

impl Condition {
    /// Why a text does not fulfil it; `place` says where the text stands, as "in the body".
    ///
    /// # Errors
    /// When the regex is too large to be built.
    pub fn violated(&self, text: &[u8], place: &str) -> anyhow::Result<Option<String>> {
        let found = self.pattern.regex()?.find(text);
        Ok(match (found, self.not) {
            (None, false) => Some(format!("{} is not found {place}", self.shown)),
            (Some(found), true) => {
                let found = String::from_utf8_lossy(found.as_bytes());
                let found = crate::model::text::excerpt(&found, 60);
                Some(format!("\"{found}\" is found {place}"))
            }
            _ => None,
        })
    }

    /// What is expected, as in "expected /^2/".
    pub fn expected(&self) -> String {
        match self.not {
            false => self.shown.clone(),
            true => format!("not {}", self.shown),
        }
    }

    pub fn is_negative(&self) -> bool {
        self.not
    }
}

/// Regexes that must not be found.
#[derive(Debug, Default)]
pub struct Unwanted(pub Vec<Condition>);

impl<'de> Deserialize<'de> for Unwanted {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Unwanted, D::Error> {
        let List(all) = List::<Pattern>::deserialize(from)?;
        let unwanted = all.into_iter().map(|pattern| Condition {
            shown: format!("/{}/", pattern.as_str()),
            pattern,
            not: true,
        });
        Ok(Unwanted(unwanted.collect()))
    }
}

impl schemars::JsonSchema for Unwanted {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Unwanted".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        List::<Pattern>::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Condition, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Condition;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("a regex, or { text = \"…\" } or { regex = \"…\" } with ignore_case, linespan, not")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Condition, E> {
                Ok(Condition {
                    pattern: text.parse().map_err(E::custom)?,
                    shown: format!("/{text}/"),
                    not: false,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Condition, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                table.condition().map_err(de::Error::custom)
            }
        }
        from.deserialize_any(Forms)
    }
}

impl schemars::JsonSchema for Condition {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Condition".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let table = Table::json_schema(generator);
        schemars::json_schema!({
            "title": "regex or condition",
            "anyOf": [{ "type": "string", "format": "regex" }, table],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Of {
        it: Condition,
    }

    fn violated(toml: &str, text: &str) -> Option<String> {
        let of: Of = toml::from_str(&format!("it = {toml}")).expect("a condition");
        of.it.violated(text.as_bytes(), "in it").expect("small")
    }

    #[test]
    fn literal_text_is_no_regex() {
        assert_eq!(violated("{ text = 'a.b' }", "xa.by"), None);
        assert_eq!(
            violated("{ text = 'a.b' }", "xaxby").as_deref(),
            Some("\"a.b\" is not found in it")
        );
    }

    #[test]
    fn case_lines_and_inversion() {
        assert_eq!(
            violated(
                "{ regex = 'A.B', ignore_case = true, linespan = true }",
                "a\nb"
            ),
            None
        );
        assert!(violated("{ regex = 'a.b' }", "a\nb").is_some());
        assert_eq!(
            violated(
                "{ text = 'ERROR', ignore_case = true, not = true }",
                "an error"
            )
            .as_deref(),
            Some("\"error\" is found in it")
        );
        assert_eq!(violated("{ text = 'x', not = true }", "y"), None);
    }

    #[test]
    fn both_or_neither_of_text_and_regex_are_refused() {
        assert!(toml::from_str::<Of>("it = { not = true }").is_err());
        assert!(toml::from_str::<Of>("it = { text = 'a', regex = 'b' }").is_err());
        assert!(toml::from_str::<Of>("it = { txt = 'a' }").is_err());
    }
}
