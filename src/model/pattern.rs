//! Patterns of the list: regular expressions, whose syntax is checked at load and which are built when a check needs
//! them, and those of `*` and `?`.

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

/// Whether a text has `*` or `?` in it, which stand for others in paths, devices and types.
pub fn is_wild(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether a whole text is what a pattern means: `*` stands for any characters, also none, `?` for one. All others, as
/// brackets, mean themselves.
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Where the last `*` stood, and up to where it reaches.
    let mut star = None;
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(it) if *it == '?' || *it == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                None => return false,
                Some((before, reach)) => {
                    star = Some((before, reach + 1));
                    (at, from) = (before + 1, reach + 1);
                }
            },
        }
    }
    pattern[at..].iter().all(|it| *it == '*')
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
    fn only_stars_and_question_marks_stand_for_others() {
        assert!(fits("*", "") && fits("a*c?", "abcccd") && fits("/srv/*", "/srv/a/b"));
        assert!(!fits("a*c", "abcd") && !fits("?", "") && !fits("", "x"));
        assert!(fits("[2026]", "[2026]") && !fits("[2026]", "2"));
        // No number of stars makes it slow.
        assert!(!fits(&"*a".repeat(100), &"a".repeat(99)));
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
