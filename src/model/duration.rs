//! A length of time: as a key of the list, `"500ms"`, `"10s"`, `"2m"`, and that from 1970 on.

use crate::model::quantity::{self, Unit};
use serde::Deserialize;
use std::time::SystemTime;

/// A length of time, written as a number with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

/// The time from 1970 on, of which nothing is before it (POSIX.1, "Seconds Since the Epoch").
pub fn since_1970(at: SystemTime) -> std::time::Duration {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// The longest time that is taken for meant: ten years.
const LONGEST: f64 = 3650.0 * 86_400.0;

impl std::str::FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Duration, String> {
        let bare = text.trim().parse::<f64>().is_ok();
        match quantity::parse(text, Unit::Seconds) {
            Some((seconds, Unit::Seconds)) if !bare && (0.0..=LONGEST).contains(&seconds) => {
                Ok(Duration(std::time::Duration::from_secs_f64(seconds)))
            }
            Some((_, Unit::Seconds)) if bare => Err(format!(
                "{} has no unit: write \"{}s\" for seconds, or \"{}ms\"",
                text.trim(),
                text.trim(),
                text.trim()
            )),
            _ => {
                let meant = quantity::meant(text, Unit::Seconds);
                let meant = meant.map_or(String::new(), |it| format!(": write \"{it}\""));
                Err(format!(
                    "\"{text}\" is not a duration, expected one such as \"500ms\", \"10s\" or \"2m\"{meant}"
                ))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Duration;

            fn expecting(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
                to.write_str("a duration such as \"500ms\", \"10s\" or \"2m\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Duration, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Duration, E> {
                self.visit_str(&number.to_string())
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl schemars::JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "title": "duration",
            "pattern": "^[0-9.]+ *(us|ms|s|m|min|h|d|w)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_a_unit_and_a_sign_of_sense() {
        assert_eq!(
            "1.5s".parse(),
            Ok(Duration(std::time::Duration::from_millis(1500)))
        );
        for text in ["10", "-1s", "5 parsecs", "", "99999w", "5%"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
