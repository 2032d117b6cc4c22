//! What each engine calls the four states, in one table.

use crate::model::state::State;

/// The words of one state.
pub struct Words {
    pub state: State,
    /// Xymon's colour; `clear` is what cannot be judged (xymon(1), "COLORS").
    pub xymon: &'static str,
    /// Consul's check status; it knows no UNKNOWN.
    pub consul: &'static str,
    /// `event.outcome` of the Elastic Common Schema.
    pub outcome: &'static str,
    /// `severity` of Cloud Logging.
    pub severity: &'static str,
    /// `log.level`, the severities of syslog (RFC 5424, section 6.2.1).
    pub level: &'static str,
}

const fn row(state: State, words: [&'static str; 5]) -> Words {
    let [xymon, consul, outcome, severity, level] = words;
    Words {
        state,
        xymon,
        consul,
        outcome,
        severity,
        level,
    }
}

/// The table; Nagios, Icinga, Zabbix, Sensu, Checkmk and Pandora take the state's code, 0 to 3.
#[rustfmt::skip]
pub const WORDS: [Words; 4] = [
    row(State::Ok,       ["green",  "passing",  "success", "INFO",    "info"]),
    row(State::Warning,  ["yellow", "warning",  "failure", "WARNING", "warning"]),
    row(State::Critical, ["red",    "critical", "failure", "ERROR",   "error"]),
    row(State::Unknown,  ["clear",  "critical", "unknown", "NOTICE",  "notice"]),
];

/// The words of a state.
pub fn of(state: State) -> &'static Words {
    let row = WORDS.iter().find(|it| it.state == state);
    row.unwrap_or(&WORDS[3])
}
