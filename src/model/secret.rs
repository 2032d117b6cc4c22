//! A value that is never printed: a string, or the place where to read it.

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use std::fmt;
use std::path::PathBuf;

/// A password or token; where it stands in the environment or a file, it is read when it is needed.
#[derive(Clone, PartialEq)]
pub enum Secret {
    Literal(String),
    /// The name of an environment variable.
    Env(String),
    /// A file that holds the secret and nothing else but a line end.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("…")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Env,
    File,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        struct Places;
        impl<'de> Visitor<'de> for Places {
            type Value = Secret;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("a string, { env = \"NAME\" } or { file = \"PATH\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::Literal(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                let one = || de::Error::custom("expected exactly one of `env` and `file`");
                let secret = match map.next_key()?.ok_or_else(one)? {
                    Place::Env => Secret::Env(map.next_value()?),
                    Place::File => Secret::File(map.next_value()?),
                };
                match map.next_key::<String>()? {
                    None => Ok(secret),
                    Some(_) => Err(one()),
                }
            }
        }
        from.deserialize_any(Places)
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "title": "secret",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "env": { "type": "string" }, "file": { "type": "string" } },
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ],
        })
    }
}

/// Words for what is secret.
const WORDS: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "credential",
    "api_key",
    "cookie",
];

/// The word in a key's name that says that its value is secret.
pub fn secret_word(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    WORDS.iter().copied().find(|word| key.contains(word))
}

/// Whether a key's name says that its value is secret.
pub fn is_named_secret(key: &str) -> bool {
    secret_word(key).is_some()
}

/// Whether a key's name says, or nearly says, that its value is secret.
pub fn is_secret_key(key: &str) -> bool {
    let like = |word: &&str| strsim::jaro_winkler(&key.to_ascii_lowercase(), word) > 0.85;
    is_named_secret(key) || WORDS.iter().any(like)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_text_never_shows_it() {
        let shown = format!("{:?}", Secret::Literal("hunter2".to_owned()));
        assert_eq!(shown, "…");
    }

    #[test]
    fn misspelt_secret_keys_are_secret_too() {
        for key in [
            "password",
            "pasword",
            "passwrd",
            "api_token",
            "Authorization",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["url", "path", "port", "timeout", "host", "body"] {
            assert!(!is_secret_key(key), "{key}");
        }
    }
}
