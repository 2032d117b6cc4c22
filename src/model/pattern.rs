//! A regular expression of the list: its syntax is checked at load, it is built when a check needs it.

use anyhow::Context;
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use std::sync::OnceLock;

/// A regular expression that finds its match anywhere in bytes, which need not be UTF-8.
///
/// Neither its nesting nor its size when built can exhaust memory (crate regex, `size_limit`).
#[derive(Debug)]
pub struct Pattern {
    text: String,
    built: OnceLock<Regex>,
}

const NESTING: u32 = 50;
const SIZE: usize = 1 << 20;

impl Pattern {
    /// As the list wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Builds it at the first call.
    ///
    /// # Errors
    /// When it would take more than a mebibyte.
    pub fn regex(&self) -> anyhow::Result<&Regex> {
        if self.built.get().is_none() {
            let regex = RegexBuilder::new(&self.text)
                .nest_limit(NESTING)
                .size_limit(SIZE)
                .build()
                .with_context(|| format!("regex /{}/ is too large", self.text))?;
            let _ = self.built.set(regex);
        }
        self.built.get().context("regex was not built")
    }

    /// Whether it matches anywhere in `text`.
    ///
    /// # Errors
    /// As [`Pattern::regex`].
    pub fn finds(&self, text: &[u8]) -> anyhow::Result<bool> {
        Ok(self.regex()?.is_match(text))
    }
}

impl std::str::FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        regex_syntax::ParserBuilder::new()
            .nest_limit(NESTING)
            .utf8(false)
            .build()
            .parse(text)
            .map_err(|error| match error {
                regex_syntax::Error::Parse(error) => regex_fault(error.kind(), error.span()),
                regex_syntax::Error::Translate(error) => regex_fault(error.kind(), error.span()),
                _ => "not a regular expression".to_owned(),
            })?;
        Ok(Pattern {
            text: text.to_owned(),
            built: OnceLock::new(),
        })
    }
}

fn regex_fault(kind: &dyn std::fmt::Display, span: &regex_syntax::ast::Span) -> String {
    format!(
        "not a regular expression: {kind} (at character {})",
        span.start.column
    )
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Pattern, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Pattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pattern".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "regex", "title": "regex" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_in_bytes_that_are_not_utf8() {
        let pattern: Pattern = "(?i)CART".parse().expect("a regex");
        assert!(pattern.finds(b"\xff add to cart").expect("small"));
    }

    #[test]
    fn bad_ones_are_refused_at_load_with_their_place() {
        let message = "a(b".parse::<Pattern>().expect_err("unclosed");
        assert!(message.contains("unclosed group") && message.contains("character 2"));
        assert!("(".repeat(400).parse::<Pattern>().is_err());
    }

    #[test]
    fn huge_ones_are_refused_when_they_are_built() {
        let pattern: Pattern = r"(\w{100}){100}".parse().expect("good syntax");
        assert!(pattern.finds(b"x").is_err());
    }
}
