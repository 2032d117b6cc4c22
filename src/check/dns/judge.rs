//! What a walk and all servers of a zone come to.

use super::expected::{Expected, Miss};
use super::found::{Found, found, grouped, label, labels, reason, said, who};
use super::measures::versions;
use super::observe::{Seen, View};
use super::probe::{Answer, Site};
use super::resolvers::Compared;
use super::table::{HEAD, notes_of, site_row, step_row};
use super::{Dns, delegation, signatures, via};
use crate::check::Context;
use crate::model::limits::Limits;
use crate::model::metric::Metric;
use crate::model::outcome::{Outcome, UNKNOWN};
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use crate::net::dns::data::kind_shown;
use crate::net::dns::query::{Edns, Tally};
use crate::net::dns::read::plain;
use crate::net::dns::{self, Transport};
use hickory_proto::rr::{Name, RecordType};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The name that the target is an alias of, by the first server that says so.
pub fn alias(view: &View) -> Option<Name> {
    let View::Seen(seen) = view else { return None };
    let mut answers = seen.good().flat_map(|it| it.answers.values());
    answers.find_map(|it| match it {
        Answer::Alias(to, _) => Some(to.clone()),
        _ => None,
    })
}

/// What still counts in a zone to which an alias leads: it is somebody else's.
const OF_ALIASES: &[&str] = &[
    "not-delegated",
    "no-server",
    "wrong-answer",
    "answers-differ",
    "nxdomain",
    "no-record",
    "rrsig-invalid",
    "rrsig-expired",
    "ds-no-key",
    "ds-unsigned",
    "chain",
];

impl Dns {
    /// Judges all views: the first is the zone that was asked for, the others are those that aliases lead to.
    pub fn judge(
        &self,
        cx: &Context,
        views: Vec<View>,
        compared: Compared,
        tally: &Tally,
        now: i64,
    ) -> Outcome {
        let expected = Expected::read(self.expect.as_ref(), &self.kinds(), self.fit);
        let mut all: Vec<Found> = Vec::new();
        let mut rows = Vec::new();
        let mut summary = String::new();
        let (mut notes, mut own) = (Vec::new(), Vec::new());
        let last = views.len().saturating_sub(1);
        for (index, view) in views.iter().enumerate() {
            let mut here = match view {
                View::NotDelegated { zone, steps, why } => {
                    rows.extend(steps.iter().map(step_row));
                    match expected {
                        Expected::NxDomain => {
                            summary = format!("{} does not exist, as expected", plain(zone));
                            Vec::new()
                        }
                        _ => {
                            let hint = match index {
                                0 => self.hint(cx, zone),
                                _ => String::new(),
                            };
                            let text = format!("{} is not delegated: {why}{hint}", plain(zone));
                            vec![found("not-delegated", State::Critical, text, &[])]
                        }
                    }
                }
                View::NoServer { zone, steps, why } => {
                    rows.extend(steps.iter().map(step_row));
                    let text = format!("no server of {} answers: {}", plain(zone), why.join("; "));
                    vec![found("no-server", State::Critical, text, &[])]
                }
                View::Seen(seen) => {
                    rows.extend(seen.steps.iter().map(step_row));
                    let mut here = self.judge_zone(seen, now);
                    if seen.good().next().is_some() {
                        here.extend(self.judge_answers(seen, (index == last).then_some(&expected)));
                    }
                    let lasting = signatures::lasting(seen, now);
                    let sites = seen.sites.iter();
                    rows.extend(sites.map(|it| site_row(seen, it, &here, &lasting)));
                    notes.extend(notes_of(seen));
                    if index == 0 {
                        own = lasting;
                    }
                    if index == last {
                        summary = self.facts(seen);
                    }
                    here
                }
            };
            if index > 0 {
                here.retain(|it| OF_ALIASES.contains(&it.code));
                for it in &mut here {
                    it.text = format!("{} is an alias: {}", self.subject(), it.text);
                }
            }
            all.extend(here);
        }
        let mut outcome = Outcome::new(&summary);
        for Found {
            code, state, text, ..
        } in &all
        {
            outcome.find(code, *state, text);
        }
        for Found {
            code, state, text, ..
        } in &compared.found
        {
            outcome.find(code, *state, text);
        }
        if let Some(View::Seen(seen)) = views.first() {
            self.measure(&mut outcome, seen, &all, &own);
        }
        let count = |it: &AtomicUsize| it.load(Relaxed) as f64;
        let loss = count(&tally.lost) / count(&tally.sent).max(1.0) * 100.0;
        let loss = (loss * 10.0).round() / 10.0;
        let metric =
            Metric::new("loss", loss, Unit::Percent).judged(Limits::maybe(&self.loss, 0.0));
        outcome.measure(metric, &format!("{loss}% of the questions were lost"));
        outcome.note(Metric::new("queries", count(&tally.sent), Unit::None));
        notes.extend(compared.notes);
        for note in notes {
            outcome.detail(&note);
        }
        outcome.tabulate(&HEAD, rows);
        outcome
    }

    /// Everything that is wrong with a zone, apart from what it answers.
    fn judge_zone(&self, seen: &Seen, now: i64) -> Vec<Found> {
        if seen.good().next().is_none() {
            let (code, state) = match is_blind(seen) {
                true => (UNKNOWN, State::Unknown),
                false => ("no-server", State::Critical),
            };
            return vec![found(code, state, no_server(seen), &[])];
        }
        let mut all = delegation::judge(seen, self);
        all.extend(signatures::judge(seen, now));
        all.extend(reachable(seen));
        all.extend(versions(seen));
        let soas = seen.good().filter_map(|it| it.soa.as_ref().ok());
        if let Some(soa) = soas.map(|it| &it.data).next()
            && i64::from(soa.expire) < i64::from(soa.refresh) + i64::from(soa.retry)
        {
            let text = format!(
                "{}: expire {} s is below refresh {} s and retry {} s",
                plain(&seen.zone),
                soa.expire,
                soa.refresh,
                soa.retry
            );
            all.push(found("soa-timers", State::Warning, text, &[]));
        }
        for site in seen.good() {
            if let (Ok(soa), Some(left)) = (&site.soa, site.expire) {
                let (expire, refresh, retry) = (
                    i64::from(soa.data.expire),
                    i64::from(soa.data.refresh),
                    i64::from(soa.data.retry),
                );
                let age = expire - i64::from(left);
                if age > 3 * refresh + retry {
                    let text = format!(
                        "{} has not heard of its primary for {}, its copy expires in {}",
                        label(site),
                        quantity::seconds(age as f64),
                        quantity::seconds(left.into())
                    );
                    all.push(found("zone-expires", State::Warning, text, &[site]));
                }
            }
        }
        all
    }

    /// Whether every server answers the same, and what is expected; that is left to where an alias leads.
    fn judge_answers(&self, seen: &Seen, expected: Option<&Expected>) -> Vec<Found> {
        let mut all = Vec::new();
        let failing = seen.good().filter_map(|site| {
            let mut answers = site.answers.iter();
            answers.find_map(|(kind, answer)| match answer {
                Answer::Fault(why) => Some((site, ("unreachable", *kind, why))),
                Answer::Unable(why) => Some((site, (UNKNOWN, *kind, why))),
                _ => None,
            })
        });
        for ((code, kind, why), sites) in grouped(failing) {
            let text = format!(
                "{} not answer for {} {}: {why}",
                who(&sites, "does"),
                plain(&seen.target),
                kind_shown(kind)
            );
            all.push(found(code, grade(code), text, &sites));
        }
        let groups = grouped(seen.good().filter_map(|it| Some((it, said(it)?))));
        let total: usize = groups.iter().map(|it| it.1.len()).sum();
        let Some((usual, agree)) = groups
            .iter()
            .max_by_key(|it| it.1.len())
            .map(|it| (&it.0, it.1.len()))
        else {
            return all;
        };
        let name = plain(&seen.target);
        let tally = |agree: usize| format!("{agree} of {total} addresses agree");
        match expected {
            Some(expected) if matches!(expected, Expected::Nothing) => {
                if let Err(miss) = expected.compare(usual, self.fit) {
                    let (code, what) = match miss {
                        Miss::NxDomain => ("nxdomain", "does not exist".to_owned()),
                        _ => ("no-record", format!("has no {} record", self.kinds_shown())),
                    };
                    all.push(found(code, State::Critical, format!("{name} {what}"), &[]));
                }
            }
            Some(expected) => {
                let misses: Vec<_> = groups
                    .iter()
                    .filter_map(|(said, sites)| {
                        Some((said, expected.compare(said, self.fit).err()?, sites))
                    })
                    .collect();
                let good = total - misses.iter().map(|it| it.2.len()).sum::<usize>();
                for (said, miss, sites) in &misses {
                    let wanted = match miss {
                        Miss::Wrong(wanted) => wanted.clone(),
                        Miss::NxDomain | Miss::NoRecord => {
                            let list = self.expect.iter().flat_map(|it| it.0.clone());
                            list.collect::<Vec<_>>().join(", ")
                        }
                    };
                    let all_of_them = || format!("every server of {} serves", plain(&seen.zone));
                    let servers = match good {
                        0 if groups.len() == 1 => all_of_them(),
                        _ => who(sites, "serves"),
                    };
                    let text = format!(
                        "{servers} {} for {name}, expected {wanted}; {}",
                        said.shown(),
                        tally(good)
                    );
                    all.push(found("wrong-answer", State::Critical, text, sites));
                }
            }
            None => (),
        }
        let differ = !matches!(
            expected,
            Some(Expected::Values(_) | Expected::NxDomain | Expected::NoData)
        );
        for (said, sites) in groups.iter().filter(|it| differ && it.0 != *usual) {
            let text = format!(
                "{} {} for {name}, others {}; {}",
                who(sites, "serves"),
                said.shown(),
                usual.shown(),
                tally(agree)
            );
            all.push(found("answers-differ", State::Critical, text, sites));
        }
        all
    }

    fn kinds_shown(&self) -> String {
        let kinds: Vec<String> = self.kinds().into_iter().map(kind_shown).collect();
        kinds.join(" or ")
    }

    /// The facts in one line.
    fn facts(&self, seen: &Seen) -> String {
        let (good, total) = (seen.good().count(), seen.sites.len());
        let serial = seen
            .good()
            .find_map(|it| Some(it.soa.as_ref().ok()?.data.serial));
        let serial = serial.map_or(String::new(), |it| format!(", serial {it}"));
        let groups = grouped(seen.good().filter_map(|it| Some((it, said(it)?))));
        let usual = groups.iter().max_by_key(|it| it.1.len());
        let what = match usual {
            Some((said, _)) => format!("{} is {}", self.subject(), said.shown()),
            None => format!("{} is served", self.subject()),
        };
        format!("{what}, at {good} of {total} addresses{serial}")
    }

    /// What this system's resolver says of a name that the walk does not find: it may be internal.
    pub fn hint(&self, cx: &Context, name: &Name) -> String {
        let deadline = cx.deadline.min(Instant::now() + Duration::from_secs(1));
        let servers = dns::system_servers().unwrap_or_default();
        let kinds = [match self.zone {
            Some(_) => RecordType::SOA,
            None => RecordType::A,
        }];
        let views = via::observe(&servers, name, &kinds, Transport::Udp, deadline);
        let answers = views
            .iter()
            .filter_map(|it| Some(via::together(it.said.as_ref().ok()?)));
        let known = answers.into_iter().find(|it| !it.values.is_empty());
        known.map_or(String::new(), |it| {
            format!(
                "; but this system's resolver says {}: for an internal zone name its `servers`, its parent's servers with `from`, or resolvers with `via`",
                it.shown()
            )
        })
    }
}

/// What a fault of one server is worth: what this machine lacks is no fault of theirs.
fn grade(code: &str) -> State {
    match code {
        UNKNOWN => State::Unknown,
        _ => State::Warning,
    }
}

/// Which addresses do not answer as they should.
fn reachable(seen: &Seen) -> Vec<Found> {
    let mut all = Vec::new();
    let bad = seen.sites.iter().filter_map(|it| {
        let (code, why) = it.soa.as_ref().err()?;
        Some((it, (*code, reason(it, why))))
    });
    for ((code, why), sites) in grouped(bad) {
        let text = match code {
            UNKNOWN => format!("{} not be asked: {why}", who(&sites, "could")),
            _ => format!("{} {code}: {why}", who(&sites, "is")),
        };
        all.push(found(code, grade(code), text, &sites));
    }
    let silent = seen.good().filter_map(|it| {
        let (code, why) = it.tcp.as_ref().err()?;
        Some((it, (*code, reason(it, why))))
    });
    for ((code, why), sites) in grouped(silent) {
        let text = format!("{} not answer over TCP: {why}", who(&sites, "does"));
        all.push(found(code, grade(code), text, &sites));
    }
    let old = seen
        .good()
        .filter(|it| it.edns == Edns::No)
        .map(|it| (it, ()));
    for ((), sites) in grouped(old) {
        let text = format!("{} only without EDNS", who(&sites, "answers"));
        all.push(found("no-edns", State::Ok, text, &sites));
    }
    all
}

/// Whether no server of a zone could be asked at all, for want of something here.
fn is_blind(seen: &Seen) -> bool {
    let ours = |it: &Site| matches!(it.soa, Err((UNKNOWN, _)));
    let asked = seen.sites.iter().all(ours);
    asked && (!seen.sites.is_empty() || !seen.unasked.is_empty())
}

fn no_server(seen: &Seen) -> String {
    let sites = seen
        .sites
        .iter()
        .filter_map(|it| Some((it, reason(it, &it.soa.as_ref().err()?.1))));
    let mut why: Vec<String> = grouped(sites)
        .iter()
        .map(|(why, sites)| format!("{} {why}", labels(sites)))
        .collect();
    let far = seen.unasked.iter().map(|it| &it.0);
    let asked = seen.sites.iter().flat_map(|it| &it.names);
    let asked: BTreeSet<&Name> = asked.chain(far).collect();
    let lost = seen.servers.iter().filter(|it| !asked.contains(it.0));
    why.extend(lost.map(|(name, server)| format!("{} {}", plain(name), delegation::lost(server))));
    let far = seen
        .unasked
        .iter()
        .map(|(name, address)| format!("{} ({address}) no route from here", plain(name)));
    why.extend(far);
    let why = match why.is_empty() {
        true => "the parent names none".to_owned(),
        false => why.join("; "),
    };
    format!("no server of {} answers for it: {why}", plain(&seen.zone))
}
