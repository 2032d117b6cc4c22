//! Nagios ranges, `[@][start:][end]`: the values that raise an alert (plugin guidelines, "Threshold and Ranges").

use std::fmt;

/// A closed interval that is good, or with `inside` (`@`) the closed interval that is bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub start: f64,
    pub end: f64,
    pub inside: bool,
}

impl Range {
    /// Alerts above `end` and below zero; perfdata prints it as a plain number.
    #[cfg(test)]
    pub fn up_to(end: f64) -> Range {
        Range {
            start: 0.0,
            end,
            inside: false,
        }
    }

    /// Alerts below `start`.
    pub fn from(start: f64) -> Range {
        Range {
            start,
            end: f64::INFINITY,
            inside: false,
        }
    }

    /// Whether `value` raises an alert; NaN alerts on every range that is not `@`.
    pub fn alerts(&self, value: f64) -> bool {
        let within = self.start <= value && value <= self.end;
        within == self.inside
    }
}

impl fmt::Display for Range {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let Range { start, end, inside } = *self;
        if inside {
            to.write_str("@")?;
        }
        match start {
            0.0 if end.is_finite() => (),
            f64::NEG_INFINITY => to.write_str("~:")?,
            _ => write!(to, "{}:", Number(start))?,
        }
        match end {
            f64::INFINITY => Ok(()),
            _ => write!(to, "{}", Number(end)),
        }
    }
}

/// A number as every perfdata parser reads it: decimal point, no exponent, at most six decimals.
pub struct Number(pub f64);

impl fmt::Display for Number {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let text = format!("{:.6}", self.0);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        to.write_str(if text == "-0" { "0" } else { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_inside() {
        let range = Range {
            start: 10.0,
            end: 20.0,
            inside: false,
        };
        assert!(!range.alerts(10.0) && !range.alerts(20.0));
        assert!(range.alerts(9.99) && range.alerts(20.01));
        let at = Range {
            inside: true,
            ..range
        };
        assert!(at.alerts(10.0) && at.alerts(20.0) && !at.alerts(20.01));
    }

    #[test]
    fn nan_alerts() {
        assert!(Range::up_to(5.0).alerts(f64::NAN));
        assert!(Range::from(5.0).alerts(f64::NAN));
    }

    #[test]
    fn prints_the_guidelines_grammar() {
        let cases = [
            (Range::up_to(5.0), "5"),
            (Range::from(0.25), "0.25:"),
            (Range::from(0.0), "0:"),
            (
                Range {
                    start: f64::NEG_INFINITY,
                    end: 1.5,
                    inside: false,
                },
                "~:1.5",
            ),
            (
                Range {
                    start: 0.0,
                    end: 5.0,
                    inside: true,
                },
                "@5",
            ),
            (
                Range {
                    start: -3.0,
                    end: 5.0,
                    inside: true,
                },
                "@-3:5",
            ),
        ];
        for (range, text) in cases {
            assert_eq!(range.to_string(), text);
        }
    }

    #[test]
    fn numbers_have_no_exponent() {
        assert_eq!(Number(1e15).to_string(), "1000000000000000");
        assert_eq!(Number(0.000_000_1).to_string(), "0");
        assert_eq!(Number(-0.000_000_1).to_string(), "0");
        assert_eq!(Number(0.112_345_6).to_string(), "0.112346");
    }
}
