//! What a walk measures: times, serials, signatures, countdowns and TTLs, each with its limits.

use super::Dns;
use super::found::{Found, found, grouped, label, labels};
use super::keys::Perfdata;
use super::observe::Seen;
use super::probe::{Answer, Site};
use super::signatures::{Lasting, shortest};
use crate::model::limits::{Judges, Limits};
use crate::model::metric::Metric;
use crate::model::outcome::Outcome;
use crate::model::quantity::{self, Unit};
use crate::model::range::Range;
use crate::model::state::State;
use crate::net::dns::read::plain;
use std::collections::BTreeSet;

/// When zones keep for how long that a name does not exist, unless `negative_ttl` says otherwise.
const NEGATIVE_TTL: f64 = 3.0 * 3600.0;

impl Dns {
    /// Everything that is measured of the zone that was asked for.
    pub fn measure(&self, outcome: &mut Outcome, seen: &Seen, all: &[Found], lasting: &[Lasting]) {
        let slowest = seen.good().max_by_key(|it| it.took);
        if let Some(site) = slowest {
            let took = site.took.as_secs_f64();
            let metric =
                Metric::new("time", took, Unit::Seconds).judged(Limits::maybe(&self.time, 0.0));
            outcome.measure(
                metric,
                &format!("{} took {}", label(site), quantity::seconds(took)),
            );
        }
        let total = seen.sites.len() as f64;
        let bad = |it: &&Site| {
            all.iter()
                .any(|found| found.state != State::Ok && found.at.contains(&it.address))
        };
        let ok = seen.good().filter(|it| !bad(it)).count();
        outcome.note(Metric::new("servers", total, Unit::None));
        outcome.note(Metric::new("ok", ok as f64, Unit::None).max(total));
        let serials: Vec<u32> = seen
            .good()
            .filter_map(|it| Some(it.soa.as_ref().ok()?.data.serial))
            .collect();
        let distinct: BTreeSet<u32> = serials.iter().copied().collect();
        let newest = newest(&serials);
        let behind = serials.iter().filter(|it| Some(**it) != newest).count();
        outcome.note(Metric::new("serials", distinct.len() as f64, Unit::None));
        outcome.note(Metric::new("behind", behind as f64, Unit::None));
        if let Some(it) = shortest(lasting) {
            let (left, lifetime, what, ttl) = (it.left, it.lifetime, &it.what, it.ttl);
            let limits = self
                .rrsig
                .as_ref()
                .map_or(side(lifetime, 15.0, 5.0), |it| it.of(lifetime));
            let metric = Metric::new("rrsig", left, Unit::Seconds)
                .signed()
                .judged(limits);
            let line = format!(
                "the signature over {what} ends in {} ({:.0}% of {})",
                quantity::seconds(left),
                left / lifetime * 100.0,
                quantity::seconds(lifetime)
            );
            let below = metric.state() == State::Ok && left < f64::from(ttl);
            outcome.measure_as("rrsig-left", metric, &line);
            outcome.note(
                Metric::new(
                    "rrsig_pct",
                    (left / lifetime * 100.0).round(),
                    Unit::Percent,
                )
                .signed(),
            );
            if below {
                outcome.find(
                    "rrsig-left",
                    State::Warning,
                    &format!(
                        "{line}, caches keep it for {}",
                        quantity::seconds(ttl.into())
                    ),
                );
            }
        }
        let expires = seen
            .good()
            .filter_map(|it| Some((it, it.expire?, it.soa.as_ref().ok()?.data.expire)));
        if let Some((site, left, whole)) = expires.min_by_key(|it| it.1) {
            let (left, whole) = (f64::from(left), f64::from(whole));
            let limits = self
                .expire
                .as_ref()
                .map_or(side(whole, 50.0, 25.0), |it| it.of(whole));
            let metric = Metric::new("expire", left, Unit::Seconds).judged(limits);
            let line = format!(
                "the copy of {} at {} expires in {}",
                plain(&seen.zone),
                label(site),
                quantity::seconds(left)
            );
            outcome.measure_as("zone-expires", metric, &line);
        }
        let ttls = seen
            .good()
            .flat_map(|it| it.answers.values())
            .filter_map(|it| match it {
                Answer::Set(set) | Answer::Alias(_, set) => Some(set.ttl()),
                _ => None,
            });
        let ttls: Vec<u32> = ttls.collect();
        // The shortest and the longest can both be wrong.
        if let (Some(least), Some(most)) = (ttls.iter().min(), ttls.iter().max()) {
            let of = |ttl: u32| {
                Metric::new("ttl", ttl.into(), Unit::Seconds).judged(Limits::maybe(&self.ttl, 0.0))
            };
            let (least, most) = (of(*least), of(*most));
            let metric = match most.state().badness() > least.state().badness() {
                true => most,
                false => least,
            };
            let line = format!(
                "the TTL of {} is {}",
                plain(&seen.target),
                quantity::seconds(metric.value)
            );
            outcome.measure(metric, &line);
        }
        let negative = seen.good().filter_map(|it| {
            let soa = it.soa.as_ref().ok()?;
            Some(soa.set.ttl().min(soa.data.minimum))
        });
        if let Some(negative) = negative.max() {
            let negative = f64::from(negative);
            let limits = self.negative_ttl.as_ref().map_or_else(
                || Judges {
                    warn: vec![Range {
                        start: 0.0,
                        end: NEGATIVE_TTL,
                        inside: false,
                    }],
                    crit: Vec::new(),
                },
                |it| it.of(0.0),
            );
            let metric = Metric::new("negative_ttl", negative, Unit::Seconds).judged(limits);
            let line = format!(
                "{}: that a name does not exist is kept for {}",
                plain(&seen.zone),
                quantity::seconds(negative)
            );
            outcome.measure(metric, &line);
        }
        if self.perfdata == Some(Perfdata::Each) {
            for site in seen.good() {
                let name = site.names.first().map_or(String::new(), plain);
                let label = crate::model::name::label(&format!("time_{name}_{}", site.address));
                outcome.note(Metric::new(label, site.took.as_secs_f64(), Unit::Seconds));
            }
        }
    }
}

/// Default limits in % of a whole that runs out.
fn side(whole: f64, warn: f64, crit: f64) -> Judges {
    Judges {
        warn: vec![Range::from(whole * warn / 100.0)],
        crit: vec![Range::from(whole * crit / 100.0)],
    }
}

/// The newest of serial numbers (RFC 1982).
fn newest(serials: &[u32]) -> Option<u32> {
    serials
        .iter()
        .copied()
        .reduce(|a, b| match (b.wrapping_sub(a) as i32) > 0 {
            true => b,
            false => a,
        })
}

pub fn versions(seen: &Seen) -> Vec<Found> {
    let serials = seen
        .good()
        .filter_map(|it| Some((it, it.soa.as_ref().ok()?.data.serial)));
    let groups = grouped(serials);
    let all: Vec<u32> = groups.iter().map(|it| it.0).collect();
    let Some(newest) = newest(&all) else {
        return Vec::new();
    };
    let behind = groups.iter().filter(|it| it.0 != newest);
    let found = behind.map(|(serial, sites)| {
        let text = format!("{}: serial {serial} is behind {newest}", labels(sites));
        found("serial", State::Warning, text, sites)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_count_in_a_circle() {
        assert_eq!(newest(&[1, 3, 2]), Some(3));
        assert_eq!(newest(&[4_294_967_295, 1]), Some(1));
        assert_eq!(newest(&[2_026_010_101, 2_026_010_203]), Some(2_026_010_203));
        assert_eq!(newest(&[]), None);
    }
}
