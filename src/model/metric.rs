//! A measured value together with the limits that judge it, so that state and perfdata cannot disagree.

use crate::model::limits::Judges;
use crate::model::perfdata::{Item, quoted};
use crate::model::quantity::Unit;
use crate::model::range::{Number, Range};
use crate::model::state::State;
use std::fmt;

/// A metric that a type of check usually has, by its label.
pub type Usual = (&'static str, Unit);

/// What perfdata prints and what the limits judge.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// snake_case, constant for its check whatever the state; of a wrapped plugin, whatever it prints.
    pub label: String,
    pub value: f64,
    pub unit: Unit,
    pub limits: Judges,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// How a wrapped plugin wrote it, so that no graph of it changes.
    pub as_came: Option<Item>,
}

impl Metric {
    /// A metric without limits, never below zero.
    pub fn new(label: impl Into<String>, value: f64, unit: Unit) -> Metric {
        Metric {
            label: label.into(),
            value,
            unit,
            limits: Judges::default(),
            min: Some(0.0),
            max: None,
            as_came: None,
        }
    }

    /// The unit of measurement in perfdata.
    pub fn unit_symbol(&self) -> &str {
        match &self.as_came {
            Some(item) => &item.unit,
            None => self.unit.symbol(),
        }
    }

    /// `label=…` as perfdata prints it, with something before the label.
    pub fn perfdata(&self, prefix: &str) -> String {
        let label = format!("{prefix}{}", self.label);
        format!("{}={}", quoted(&label), self.fields())
    }

    /// The same metric judged by `limits`.
    pub fn judged(self, limits: Judges) -> Metric {
        Metric { limits, ..self }
    }

    /// The same metric with its largest possible value.
    pub fn max(self, max: f64) -> Metric {
        Metric {
            max: Some(max),
            ..self
        }
    }

    /// The same metric that may also be below zero.
    pub fn signed(self) -> Metric {
        Metric { min: None, ..self }
    }

    /// The state its limits give; a value that is no number is UNKNOWN, never OK.
    pub fn state(&self) -> State {
        let alerts =
            |ranges: &[Range]| !ranges.is_empty() && ranges.iter().all(|it| it.alerts(self.value));
        match () {
            _ if !self.value.is_finite() => State::Unknown,
            _ if alerts(&self.limits.crit) => State::Critical,
            _ if alerts(&self.limits.warn) => State::Warning,
            _ => State::Ok,
        }
    }

    /// The range that stands for a side in perfdata: of several, the one whose good values are also
    /// good for all others; where there is none, no range tells the truth.
    pub fn shown(ranges: &[Range]) -> Option<Range> {
        let holds =
            |a: &Range, b: &Range| !a.inside && !b.inside && a.start <= b.start && a.end >= b.end;
        match ranges {
            [one] => Some(*one),
            many => many
                .iter()
                .find(|it| many.iter().all(|other| holds(it, other)))
                .copied(),
        }
    }
}

impl Metric {
    /// `value[unit];warn;crit;min;max` without trailing semicolons.
    fn fields(&self) -> String {
        if let Some(item) = &self.as_came {
            return item.fields();
        }
        let range = |ranges: &[Range]| {
            Metric::shown(ranges)
                .map(|it| it.to_string())
                .unwrap_or_default()
        };
        let bound = |bound: Option<f64>| {
            bound
                .filter(|it| it.is_finite())
                .map(|it| Number(it).to_string())
                .unwrap_or_default()
        };
        let fields = [
            range(&self.limits.warn),
            range(&self.limits.crit),
            bound(self.min),
            bound(self.max),
        ]
        .join(";");
        let text = format!("{}{};{fields}", Number(self.value), self.unit.symbol());
        text.trim_end_matches(';').to_owned()
    }
}

impl fmt::Display for Metric {
    /// As [`Metric::perfdata`]; a value that is no number prints nothing.
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self.value.is_finite() {
            true => to.write_str(&self.perfdata("")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(warn: &[Range], crit: &[Range]) -> Judges {
        Judges {
            warn: warn.to_vec(),
            crit: crit.to_vec(),
        }
    }

    #[test]
    fn state_and_perfdata_come_from_the_same_limits() {
        let metric = Metric::new("time", 1.5, Unit::Seconds)
            .judged(limits(&[Range::up_to(1.0)], &[Range::up_to(3.0)]));
        assert_eq!(metric.state(), State::Warning);
        assert_eq!(metric.to_string(), "time=1.5s;1;3;0");
    }

    #[test]
    fn a_list_alarms_only_where_all_members_do() {
        let both = [Range::from(100.0), Range::from(30.0)];
        let at = |value| {
            Metric::new("left", value, Unit::Seconds)
                .judged(limits(&both, &[]))
                .state()
        };
        assert_eq!(at(50.0), State::Ok);
        assert_eq!(at(20.0), State::Warning);
        assert_eq!(Metric::shown(&both), Some(Range::from(30.0)));
    }

    #[test]
    fn nan_is_never_ok_and_never_printed() {
        for value in [f64::NAN, f64::INFINITY] {
            let metric = Metric::new("x", value, Unit::None);
            assert_eq!(metric.state(), State::Unknown);
            assert_eq!(metric.to_string(), "");
        }
    }

    #[test]
    fn empty_fields_at_the_end_are_left_out() {
        let metric = Metric::new("n", 3.0, Unit::None);
        assert_eq!(metric.to_string(), "n=3;;;0");
        assert_eq!(metric.clone().signed().to_string(), "n=3");
        assert_eq!(metric.max(9.0).to_string(), "n=3;;;0;9");
    }
}
