//! What a walk and all servers of a zone come to: answers, metrics, the table of a terminal.

use super::expected::{Expected, Miss, Said, canonical};
use super::observe::{Answer, Seen, Site, View};
use super::resolvers::Compared;
use super::{Dns, Perfdata, delegation, signatures, via};
use crate::check::Context;
use crate::model::limits::{Judges, Limits};
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::{self, Unit};
use crate::model::range::Range;
use crate::model::state::State;
use crate::net::dns::query::Tally;
use crate::net::dns::walk::{Step, plain};
use crate::net::dns::{self, Transport};
use hickory_proto::rr::{Name, RecordType};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// The findings of a walk (the table of codes and grades that all of them follow: CRITICAL where some client gets
/// nothing or wrong data, WARNING where redundancy or correctness is lost).
pub const CODES: &[Code] = &[
    code(
        "not-delegated",
        "CRITICAL",
        "The parent does not know the zone: the registration has lapsed, or the delegation was removed. Caches hide that until their TTL is over. For an internal zone, name its `servers`, begin at its parent with `from`, or ask resolvers with `via`.",
    ),
    code(
        "no-server",
        "CRITICAL",
        "No server of the zone answers for it: whoever has no copy in a cache gets nothing.",
    ),
    code(
        "answers-differ",
        "CRITICAL",
        "The zone's servers answer differently: one has missed a transfer, or was edited by hand. Compare their serials.",
    ),
    code(
        "ds-no-key",
        "CRITICAL",
        "No key in the zone is one that the parent vouches for (DS): resolvers that validate answer SERVFAIL. Give the parent the DS record of a key in use.",
    ),
    code(
        "ds-unsigned",
        "CRITICAL",
        "The parent vouches for keys, and the zone has none: sign it, or take the DS record away from the parent.",
    ),
    code(
        "rrsig-invalid",
        "CRITICAL; WARNING without DS",
        "A signature does not hold, or is missing: sign the zone again, and look at the clock of the signer.",
    ),
    code(
        "rrsig-expired",
        "CRITICAL; WARNING without DS",
        "A signature has ended: the signer does not run, or this server has missed a transfer.",
    ),
    code(
        "rrsig-left",
        "by `rrsig`; WARNING below the TTL",
        "A signature ends soon, or before caches forget what it signs: the signer does not run.",
    ),
    code(
        "chain",
        "CRITICAL",
        "The signatures of the zones above do not lead from the root's key to the parent's word on this zone.",
    ),
    code(
        "zone-expires",
        "by `expire`; WARNING when not refreshed",
        "A secondary does not reach its primary: when its copy has expired it answers SERVFAIL. Look at the transfer, its keys and its firewall.",
    ),
    code(
        "ns-pinned",
        "CRITICAL",
        "The zone's servers are not those of `ns`: somebody has changed the delegation or the zone.",
    ),
    code(
        "serial",
        "WARNING",
        "Servers have different versions of the zone: a transfer is late or fails.",
    ),
    code(
        "lame",
        "WARNING",
        "A server that should answer for the zone does not know it, or answers without authority: add the zone there, or take the server out of the NS records.",
    ),
    code(
        "unreachable",
        "WARNING",
        "A server does not answer: others carry its load, and some questions wait for it.",
    ),
    code(
        "tcp",
        "WARNING",
        "A server does not answer over TCP, which large answers need (RFC 7766): open port 53 for TCP.",
    ),
    code(
        "loss",
        "by limits",
        "More questions are lost than `loss` allows.",
    ),
    code(
        "missing-glue",
        "WARNING",
        "The parent does not give the address of a server inside the zone, which cannot be found without.",
    ),
    code(
        "glue-mismatch",
        "WARNING",
        "The parent gives other addresses for a server than the zone itself: correct them at the registrar.",
    ),
    code(
        "parent-child-ns",
        "WARNING",
        "Parent and zone name different servers.",
    ),
    code(
        "ns-sets-differ",
        "WARNING",
        "The zone's servers name different servers.",
    ),
    code(
        "parents-disagree",
        "WARNING",
        "Servers of the parent zone say different things of this zone.",
    ),
    code(
        "ns-cname",
        "WARNING",
        "A name server's name is an alias, which it may not be (RFC 2181, section 10.3).",
    ),
    code(
        "ns-unresolvable",
        "WARNING",
        "A name server's name has no address.",
    ),
    code(
        "single-ns",
        "WARNING",
        "The zone has a single server (RFC 2182, section 5, wants more).",
    ),
    code(
        "same-address",
        "WARNING",
        "Several server names have the same address.",
    ),
    code(
        "no-ds",
        "WARNING; CRITICAL with `ds = \"required\"`",
        "The zone is signed, but the parent does not vouch for it, so nobody validates.",
    ),
    code(
        "negative-ttl",
        "by limits",
        "That a name does not exist is kept for long: a record added by mistake too late stays unseen as long.",
    ),
    code("ttl", "by limits", "The record's TTL is outside of `ttl`."),
    code(
        "soa-timers",
        "WARNING",
        "A secondary gives up before it has tried again: expire is below refresh and retry.",
    ),
    code(
        "no-edns",
        "OK, a note",
        "A server answers only without EDNS, so that neither large answers nor signatures work.",
    ),
];

/// What is wrong: code, state, text, and at which addresses.
pub struct Found {
    pub code: &'static str,
    pub state: State,
    pub text: String,
    pub at: Vec<IpAddr>,
}

pub fn found(code: &'static str, state: State, text: impl Into<String>, at: &[&Site]) -> Found {
    Found {
        code,
        state,
        text: text.into(),
        at: at.iter().map(|it| it.address).collect(),
    }
}

/// "ns3.example.jp (192.0.2.53)".
pub fn label(site: &Site) -> String {
    let names: Vec<String> = site.names.iter().map(plain).collect();
    let address = site.address.to_string();
    match names.join(", ") {
        // A server that the list names by its address alone.
        names if names == address.replace(':', "-") => address,
        names => format!("{names} ({address})"),
    }
}

pub fn labels(sites: &[&Site]) -> String {
    let all: Vec<String> = sites.iter().map(|it| label(it)).collect();
    all.join(", ")
}

/// "ns1 (192.0.2.1) serves" or "ns1 (192.0.2.1), ns2 (192.0.2.2) serve".
pub fn who(sites: &[&Site], does: &str) -> String {
    let verb = match (sites.len(), does) {
        (0 | 1, _) => does,
        (_, "is") => "are",
        (_, "has") => "have",
        (_, "does") => "do",
        (_, other) => other.trim_end_matches('s'),
    };
    format!("{} {verb}", labels(sites))
}

/// Sites of which the same is to say, in the order of the first of each.
pub fn grouped<'s, T: PartialEq>(
    sites: impl Iterator<Item = (&'s Site, T)>,
) -> Vec<(T, Vec<&'s Site>)> {
    let mut groups: Vec<(T, Vec<&Site>)> = Vec::new();
    for (site, what) in sites {
        match groups.iter_mut().find(|it| it.0 == what) {
            Some((_, all)) => all.push(site),
            None => groups.push((what, vec![site])),
        }
    }
    groups
}

/// The name that the target is an alias of, by the first server that says so.
pub fn alias(view: &View) -> Option<Name> {
    let View::Seen(seen) = view else { return None };
    let mut answers = seen.good().flat_map(|it| it.answers.values());
    answers.find_map(|it| match it {
        Answer::Alias(to, _) => Some(to.clone()),
        _ => None,
    })
}

impl Seen {
    /// The addresses that answer for the zone.
    pub fn good(&self) -> impl Iterator<Item = &Site> {
        self.sites.iter().filter(|it| it.soa.is_ok())
    }
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

/// When zones keep for how long that a name does not exist, unless `negative_ttl` says otherwise.
const NEGATIVE_TTL: f64 = 3.0 * 3600.0;

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
        let expected = Expected::read(self.expect.as_ref());
        let mut all: Vec<Found> = Vec::new();
        let mut rows = Vec::new();
        let mut summary = String::new();
        let mut notes = Vec::new();
        let last = views.len().saturating_sub(1);
        for (index, view) in views.iter().enumerate() {
            let mut here = match view {
                View::NotDelegated { zone, steps, why } => {
                    rows.extend(steps.iter().map(step_row));
                    let hint = if index == 0 {
                        self.hint(cx, zone)
                    } else {
                        String::new()
                    };
                    match expected {
                        Expected::NxDomain => {
                            summary = format!("{} does not exist, as expected", plain(zone));
                            Vec::new()
                        }
                        _ => {
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
                    rows.extend(seen.sites.iter().map(|it| site_row(seen, it, &here, now)));
                    notes.extend(notes_of(seen));
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
            self.measure(&mut outcome, seen, &all, now);
        }
        let count = |it: &std::sync::atomic::AtomicUsize| it.load(Relaxed) as f64;
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
            return vec![found("no-server", State::Critical, no_server(seen), &[])];
        }
        let mut all = delegation::judge(seen, self);
        all.extend(signatures::judge(seen, now));
        all.extend(reachable(seen));
        all.extend(versions(seen));
        let soas = seen.good().filter_map(|it| it.soa.as_ref().ok());
        if let Some(soa) = soas.map(|it| &it.data).next()
            && soa.expire < soa.refresh + soa.retry
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
            site.answers.iter().find_map(|(kind, answer)| match answer {
                Answer::Fault(why) => Some((site, format!("{kind}: {why}"))),
                _ => None,
            })
        });
        for (why, sites) in grouped(failing) {
            let text = format!(
                "{} not answer for {} {why}",
                who(&sites, "does"),
                plain(&seen.target)
            );
            all.push(found("unreachable", State::Warning, text, &sites));
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
        let kinds: Vec<String> = self.kinds().iter().map(RecordType::to_string).collect();
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

    fn measure(&self, outcome: &mut Outcome, seen: &Seen, all: &[Found], now: i64) {
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
        let wrong = seen.sites.iter().filter(bad).count();
        let fine = seen.sites.iter().filter(|it| it.soa.is_ok()).count();
        let lost = seen
            .sites
            .iter()
            .filter(|it| it.soa.is_err() && !bad(it))
            .count();
        let ok = seen.sites.len() - wrong - lost;
        outcome.note(Metric::new("servers", total, Unit::None));
        outcome.note(Metric::new("ok", ok.min(fine) as f64, Unit::None).max(total));
        let serials: Vec<u32> = seen
            .good()
            .filter_map(|it| Some(it.soa.as_ref().ok()?.data.serial))
            .collect();
        let distinct: BTreeSet<u32> = serials.iter().copied().collect();
        let newest = newest(&serials);
        let behind = serials.iter().filter(|it| Some(**it) != newest).count();
        outcome.note(Metric::new("serials", distinct.len() as f64, Unit::None));
        outcome.note(Metric::new("behind", behind as f64, Unit::None));
        if let Some((left, lifetime, what, ttl)) = signatures::shortest(seen, now) {
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

    /// What this system's resolver says of a name that the walk does not find: it may be internal.
    pub fn hint(&self, cx: &Context, name: &Name) -> String {
        let deadline = cx.deadline.min(Instant::now() + Duration::from_secs(1));
        let servers: Vec<SocketAddr> = dns::system_servers()
            .unwrap_or_default()
            .into_iter()
            .map(|it| SocketAddr::new(it, 53))
            .collect();
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

/// Default limits in % of a whole that runs out.
fn side(whole: f64, warn: f64, crit: f64) -> Judges {
    Judges {
        warn: vec![Range::from(whole * warn / 100.0)],
        crit: vec![Range::from(whole * crit / 100.0)],
    }
}

/// What one server answers for the name, all types together; nothing where it was not asked or failed.
pub fn said(site: &Site) -> Option<Said> {
    let mut said = Said::default();
    if site.answers.is_empty() {
        return None;
    }
    for answer in site.answers.values() {
        match answer {
            Answer::Set(set) => said.values.extend(
                set.records
                    .iter()
                    .map(|it| canonical(&dns::presentation(&it.data))),
            ),
            Answer::Alias(to, _) => {
                said.values.insert(format!("an alias of {}", plain(to)));
            }
            Answer::NoData => (),
            Answer::NxDomain => said.missing = true,
            Answer::Fault(_) => return None,
        }
    }
    Some(said)
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

fn versions(seen: &Seen) -> Vec<Found> {
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

/// Which addresses do not answer as they should.
fn reachable(seen: &Seen) -> Vec<Found> {
    let mut all = Vec::new();
    let bad = seen.sites.iter().filter_map(|it| {
        let (code, why) = it.soa.as_ref().err()?;
        Some((it, (*code, reason(it, why))))
    });
    for ((code, why), sites) in grouped(bad) {
        let text = format!("{} {code}: {why}", who(&sites, "is"));
        all.push(found(code, State::Warning, text, &sites));
    }
    let silent = seen
        .good()
        .filter_map(|it| Some((it, reason(it, it.tcp.as_ref().err()?))));
    for (why, sites) in grouped(silent) {
        let text = format!("{} not answer over TCP: {why}", who(&sites, "does"));
        all.push(found("tcp", State::Warning, text, &sites));
    }
    let old = seen
        .good()
        .filter(|it| it.edns == super::observe::Edns::No)
        .map(|it| (it, ()));
    for ((), sites) in grouped(old) {
        let text = format!("{} only without EDNS", who(&sites, "answers"));
        all.push(found("no-edns", State::Ok, text, &sites));
    }
    all
}

/// A fault's text without the address, which stands before it anyway.
fn reason(site: &Site, text: &str) -> String {
    let address = site.address.to_string();
    let text = text
        .replace(&format!("[{address}]:53"), "")
        .replace(&format!("{address}:53"), "")
        .replace(" (TCP)", "");
    text.trim_start_matches([':', ' ', ',']).to_owned()
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
    let asked: BTreeSet<&Name> = seen.sites.iter().flat_map(|it| &it.names).collect();
    let lost = seen.servers.iter().filter(|it| !asked.contains(it.0));
    why.extend(lost.map(|(name, server)| format!("{} {}", plain(name), delegation::lost(server))));
    let why = match why.is_empty() {
        true => "the parent names none".to_owned(),
        false => why.join("; "),
    };
    format!("no server of {} answers for it: {why}", plain(&seen.zone))
}

/// What there is to say without being wrong.
fn notes_of(seen: &Seen) -> Vec<String> {
    let mut notes = Vec::new();
    if !seen.delegated && !seen.steps.is_empty() {
        notes.push(format!(
            "{} shares its servers with the zone above, whose delegation cannot be seen",
            plain(&seen.zone)
        ));
    }
    for (address, said) in &seen.parents {
        if let Err(why) = said {
            notes.push(format!(
                "the parent's server {address} was asked in vain: {why}"
            ));
        }
    }
    for (name, address) in &seen.unasked {
        notes.push(format!(
            "{} ({address}) was not asked: no route from here",
            plain(name)
        ));
    }
    if seen.beyond > 0 {
        notes.push(format!("{} more addresses were not asked", seen.beyond));
    }
    let mut instances: BTreeMap<String, Vec<&Site>> = BTreeMap::new();
    for site in &seen.sites {
        if let Some(id) = &site.nsid {
            instances.entry(id.clone()).or_default().push(site);
        }
    }
    for (id, sites) in instances {
        notes.push(format!("{} calls itself {id} (NSID)", labels(&sites)));
    }
    notes
}

/// The walk, and then every server.
const HEAD: [&str; 8] = [
    "zone",
    "server",
    "address",
    "says",
    "serial",
    "time",
    "TTL",
    "RRSIG left",
];

fn step_row(step: &Step) -> Vec<String> {
    vec![
        plain(&step.cut),
        plain(&step.server),
        step.address.to_string(),
        step.said.clone(),
        String::new(),
        quantity::seconds(step.took.as_secs_f64()),
        step.ttl
            .map_or(String::new(), |it| quantity::seconds(it.into())),
        String::new(),
    ]
}

fn site_row(seen: &Seen, site: &Site, all: &[Found], now: i64) -> Vec<String> {
    let names: Vec<String> = site.names.iter().map(plain).collect();
    let mut codes: Vec<&str> = all
        .iter()
        .filter(|it| it.at.contains(&site.address))
        .map(|it| it.code)
        .collect();
    codes.dedup();
    let says = match (&site.soa, codes.is_empty()) {
        (Err((code, _)), true) => (*code).to_owned(),
        (_, false) => codes.join(" "),
        (Ok(_), true) => said(site).map_or("ok".to_owned(), |it| it.shown()),
    };
    let soa = site.soa.as_ref().ok();
    let ttl = site.answers.values().find_map(|it| match it {
        Answer::Set(set) | Answer::Alias(_, set) => Some(set.ttl()),
        _ => None,
    });
    let ttl = ttl.or(soa.map(|it| it.set.ttl()));
    let left = signatures::left(seen, site, now);
    vec![
        plain(&seen.zone),
        names.join(", "),
        site.address.to_string(),
        says,
        soa.map_or(String::new(), |it| it.data.serial.to_string()),
        if soa.is_some() {
            quantity::seconds(site.took.as_secs_f64())
        } else {
            String::new()
        },
        ttl.map_or(String::new(), |it| quantity::seconds(it.into())),
        left.map_or(String::new(), |it| quantity::seconds(it as f64)),
    ]
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
