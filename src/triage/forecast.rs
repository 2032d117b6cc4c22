//! What grows until it reaches its critical limit, or is full.

use crate::model::duration::since_1970;
use crate::model::forecast::{self, Forecast, Samples};
use crate::model::limits::Judges;
use crate::model::metric::Metric;
use crate::model::outcome::FULL_IN;
use crate::model::quantity::{self, Unit};
use crate::model::range::{Number, Range};
use crate::model::report::Entry;
use crate::model::standing::Standing;
use crate::model::state::State;
use std::collections::HashMap;
use std::time::SystemTime;

/// What an alarm needs more to end than to begin, so that it does not come and go at its limit.
const MORE: f64 = 1.2;

/// The samples of each metric of one check, by its label.
pub type Series = HashMap<String, Samples>;

/// Judges the time until each metric that has a limit or an end reaches it.
pub fn judge(
    entry: &mut Entry,
    limits: &Judges,
    series: &Series,
    past: Option<&Standing>,
    at: SystemTime,
) {
    let now = since_1970(at);
    let metrics: Vec<Metric> = entry.outcome.metrics().to_vec();
    for metric in metrics {
        let (Some(target), Some(samples)) = (target(&metric), series.get(&metric.label)) else {
            continue;
        };
        let mut samples = samples.clone();
        samples.push((now.as_secs_f64(), metric.value));
        let Some(it) = forecast::until(&samples, target) else {
            continue;
        };
        let alarmed = past.is_some_and(|it| it.state != State::Ok);
        let limits = match alarmed {
            true => Judges {
                warn: limits.warn.iter().map(longer).collect(),
                crit: limits.crit.iter().map(longer).collect(),
            },
            false => limits.clone(),
        };
        let label = format!("{}_full_in", metric.label);
        let about = Metric::new(label, it.about.round(), Unit::Seconds).judged(limits);
        entry
            .outcome
            .measure_as(FULL_IN, about, &line(&metric, &it));
        if it.about <= forecast::WINDOW {
            entry.outcome.detail(&line(&metric, &it));
        }
    }
    entry.state = entry.outcome.state();
}

/// The value at which it is at its end: the critical limit, else the largest possible.
pub fn target(metric: &Metric) -> Option<f64> {
    let crit = Metric::shown(&metric.limits.crit).filter(|it| !it.inside);
    let limit = crit.map(|it| it.end).filter(|it| it.is_finite());
    limit.or(metric
        .max
        .filter(|it| it.is_finite() && metric.unit != Unit::Percent))
}

fn longer(range: &Range) -> Range {
    Range {
        start: range.start * MORE,
        ..*range
    }
}

/// "used: full in about 9 d (6 d to 14 d), +1.2 GiB a day"
fn line(metric: &Metric, it: &Forecast) -> String {
    let per_day = match metric.unit {
        Unit::Bytes => quantity::bytes(it.per_day),
        Unit::Seconds => quantity::seconds(it.per_day),
        Unit::Percent => format!("{:.2}%", it.per_day),
        Unit::None => Number((it.per_day * 100.0).round() / 100.0).to_string(),
    };
    format!(
        "{}: full in about {} ({} to {}), +{per_day} a day",
        metric.label,
        quantity::seconds(it.about),
        quantity::seconds(it.soonest),
        quantity::seconds(it.latest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::sample;
    use std::time::Duration;

    fn limits() -> Judges {
        Judges {
            warn: vec![Range::from(14.0 * 86_400.0)],
            crit: vec![Range::from(2.0 * 86_400.0)],
        }
    }

    /// A disk of 100 bytes that has grown by one byte a day for so many days, from 60.
    fn after(days: f64, past: Option<State>) -> Entry {
        let mut entry = sample::report().entries[1].clone();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(days * 86_400.0);
        let used = Metric::new("used", 60.0 + days, Unit::Bytes).max(100.0);
        entry.outcome = crate::model::outcome::Outcome::new("fine");
        entry.outcome.note(used);
        let samples = (0..(days * 24.0) as u32).map(|it| {
            // It wavers by a hundredth, in no order.
            let waver = f64::from(it.wrapping_mul(2_654_435_761) % 1000) / 1e3 - 0.5;
            (f64::from(it) * 3600.0, 60.0 + f64::from(it) / 24.0 + waver)
        });
        let series = Series::from([("used".to_owned(), samples.collect())]);
        let past = past.map(|state| Standing::next(None, state, state, false, at));
        judge(&mut entry, &limits(), &series, past.as_ref(), at);
        entry
    }

    #[test]
    fn what_will_be_full_is_told_before_it_is() {
        assert_eq!(after(20.0, None).state, State::Ok, "in twenty days");
        let entry = after(30.0, None);
        assert_eq!(entry.state, State::Warning);
        let line = entry.outcome.line();
        assert!(
            line.starts_with("used: full in about ") && line.ends_with(", +1 B a day"),
            "{line}"
        );
        assert_eq!(after(38.5, None).state, State::Critical);
    }

    #[test]
    fn an_alarm_does_not_come_and_go_at_its_limit() {
        let mut state = State::Ok;
        let mut changes = 0;
        for hour in (0..(40 * 24)).step_by(4) {
            let next = after(f64::from(hour) / 24.0, Some(state)).state;
            changes += u32::from(next != state);
            state = next;
        }
        assert_eq!((state, changes), (State::Critical, 2));
    }

    #[test]
    fn a_critical_limit_is_the_end_where_there_is_one() {
        let metric = Metric::new("size", 1.0, Unit::Bytes).max(100.0);
        assert_eq!(target(&metric), Some(100.0));
        let judged = metric.judged(Judges {
            warn: vec![],
            crit: vec![Range::up_to(50.0)],
        });
        assert_eq!(target(&judged), Some(50.0));
        assert_eq!(target(&Metric::new("x", 1.0, Unit::None)), None);
    }
}
