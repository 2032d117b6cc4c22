//! The four states of the Nagios plugin guidelines and the order of their badness.

use serde::Deserialize;
use std::str::FromStr;

/// What is known about a thing; the discriminant is the plugin exit code (guidelines, "Plugin Return Codes").
///
/// The exit code is not the order of badness, so there is deliberately no `Ord`:
/// compare with [`State::badness`] or combine with [`State::worst`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum State {
    #[default]
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl State {
    /// The state of an exit code; what is none is UNKNOWN.
    pub fn of_code(code: u64) -> State {
        match code {
            0 => State::Ok,
            1 => State::Warning,
            2 => State::Critical,
            _ => State::Unknown,
        }
    }

    /// All states, best first.
    pub const BY_BADNESS: [State; 4] = [State::Ok, State::Warning, State::Unknown, State::Critical];

    /// Rank in the fixed order OK < WARNING < UNKNOWN < CRITICAL.
    pub fn badness(self) -> u8 {
        match self {
            State::Ok => 0,
            State::Warning => 1,
            State::Unknown => 2,
            State::Critical => 3,
        }
    }

    /// The worse of two states in the order of badness.
    pub fn worst(self, other: State) -> State {
        if other.badness() > self.badness() {
            other
        } else {
            self
        }
    }

    /// The plugin exit code, 0 to 3.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The word of the plugin guidelines, in capitals.
    pub fn word(self) -> &'static str {
        match self {
            State::Ok => "OK",
            State::Warning => "WARNING",
            State::Critical => "CRITICAL",
            State::Unknown => "UNKNOWN",
        }
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(word: &str) -> Result<State, String> {
        State::BY_BADNESS
            .into_iter()
            .find(|it| it.word().eq_ignore_ascii_case(word))
            .ok_or_else(|| {
                "expected a state: \"ok\", \"warning\", \"critical\" or \"unknown\"".to_owned()
            })
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<State, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for State {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "State".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": ["ok", "warning", "critical", "unknown"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn badness_is_ok_warning_unknown_critical() {
        let ranks: Vec<u8> = State::BY_BADNESS.iter().map(|it| it.badness()).collect();
        assert_eq!(ranks, [0, 1, 2, 3]);
        assert_eq!(State::Critical.worst(State::Unknown), State::Critical);
        assert_eq!(State::Unknown.worst(State::Warning), State::Unknown);
    }

    #[test]
    fn exit_codes_are_those_of_the_guidelines() {
        let codes = [State::Ok, State::Warning, State::Critical, State::Unknown].map(State::code);
        assert_eq!(codes, [0, 1, 2, 3]);
    }

    #[test]
    fn words_are_read_in_any_case() {
        assert_eq!("Warning".parse(), Ok(State::Warning));
        assert!("warn".parse::<State>().is_err());
    }
}
