//! Whether what a zone's servers send is signed by keys that the parent vouches for, and for how long.

use super::found::{Found, found, grouped, who};
use super::observe::Seen;
use super::probe::{Answer, Site};
use crate::model::quantity;
use crate::model::state::State;
use crate::net::dns::data::kind_shown;
use crate::net::dns::read::plain;
use crate::net::dns::secure::{self, RrSet, Verdict};
use hickory_proto::dnssec::rdata::{DNSKEY, DS};
use std::net::IpAddr;

/// What the parents vouch for.
fn signers(seen: &Seen) -> Vec<DS> {
    let said = seen.parents.iter().filter_map(|it| it.1.as_ref().ok());
    said.flat_map(|it| it.signers.clone()).collect()
}

/// Everything signed that a server sent, apart from its keys.
fn sets(site: &Site) -> Vec<&RrSet> {
    let answers = site.answers.values().filter_map(|it| match it {
        Answer::Set(set) | Answer::Alias(_, set) => Some(set),
        _ => None,
    });
    let soa = site.soa.as_ref().ok().map(|it| &it.set);
    soa.into_iter().chain(answers).collect()
}

pub fn judge(seen: &Seen, now: i64) -> Vec<Found> {
    let signers = signers(seen);
    let vouched = !signers.is_empty();
    let known = secure::are_known(&signers);
    let state = match vouched {
        true => State::Critical,
        false => State::Warning,
    };
    let zone = plain(&seen.zone);
    let mut wrong: Vec<(&Site, (&'static str, &'static str, String))> = Vec::new();
    for site in seen.good() {
        let Some(set) = site.key_set() else {
            // Who did not say may have some.
            if vouched && site.keys.is_some() {
                let text = format!("{zone} without keys, for which the parent vouches");
                wrong.push((site, ("ds-unsigned", "serves", text)));
            }
            continue;
        };
        let keys = set.keys();
        let all: Vec<&DNSKEY> = keys.iter().collect();
        let trusted = match vouched {
            true => secure::vouched(&signers, &seen.zone, &keys),
            false => all.clone(),
        };
        if vouched && !known {
            continue;
        }
        if vouched && trusted.is_empty() {
            let tags = tags(signers.iter().map(DS::key_tag));
            let own = tags_of(&all);
            let text = format!("the keys {own} of {zone}, the parent vouches for {tags}");
            wrong.push((site, ("ds-no-key", "has", text)));
            continue;
        }
        let signed =
            std::iter::once((set, &trusted)).chain(sets(site).into_iter().map(|it| (it, &all)));
        for (set, by) in signed {
            let what = format!("{} {}", plain(&set.owner), kind_shown(set.kind));
            match set.verdict(by, &seen.zone, now) {
                Verdict::Good { .. } | Verdict::Unknown => (),
                Verdict::Expired(ago) => {
                    let ago = quantity::seconds(ago as f64);
                    wrong.push((
                        site,
                        (
                            "rrsig-expired",
                            "serves",
                            format!("{what} with a signature that expired {ago} ago"),
                        ),
                    ));
                }
                Verdict::Invalid(why) => {
                    wrong.push((
                        site,
                        ("rrsig-invalid", "serves", format!("{what}, which {why}")),
                    ));
                }
                Verdict::Unsigned => {
                    wrong.push((
                        site,
                        (
                            "rrsig-invalid",
                            "serves",
                            format!("{what} without a signature"),
                        ),
                    ));
                }
            }
        }
    }
    let mut all: Vec<Found> = Vec::new();
    for ((code, does, text), sites) in grouped(wrong.into_iter()) {
        // Of several sets with the same fault at the same servers, the first stands for all.
        let at: Vec<_> = sites.iter().map(|it| it.address).collect();
        if !all.iter().any(|it| it.code == code && it.at == at) {
            all.push(found(
                code,
                state,
                format!("{} {text}", who(&sites, does)),
                &sites,
            ));
        }
    }
    if let Err(why) = &seen.chain {
        all.push(found(
            "chain",
            State::Critical,
            format!("{zone} cannot be validated: {why}"),
            &[],
        ));
    }
    all
}

fn tags(all: impl Iterator<Item = u16>) -> String {
    let mut all: Vec<String> = all.map(|it| it.to_string()).collect();
    all.sort();
    all.dedup();
    all.join(", ")
}

fn tags_of(keys: &[&DNSKEY]) -> String {
    tags(keys.iter().filter_map(|it| it.calculate_key_tag().ok()))
}

/// A good signature of one server.
pub struct Lasting {
    pub address: IpAddr,
    /// Seconds that it has left, of so many.
    pub left: f64,
    pub lifetime: f64,
    /// Over what, and how long caches keep that.
    pub what: String,
    pub ttl: u32,
}

/// The good signatures of all servers.
pub fn lasting(seen: &Seen, now: i64) -> Vec<Lasting> {
    let mut all = Vec::new();
    for site in seen.good() {
        let Some(set) = site.key_set() else { continue };
        let keys = set.keys();
        let keys: Vec<&DNSKEY> = keys.iter().collect();
        for set in std::iter::once(set).chain(sets(site)) {
            if let Verdict::Good { left, lifetime } = set.verdict(&keys, &seen.zone, now) {
                all.push(Lasting {
                    address: site.address,
                    left: left as f64,
                    lifetime: lifetime.max(1) as f64,
                    what: format!("{} {}", plain(&set.owner), set.kind),
                    ttl: set.ttl(),
                });
            }
        }
    }
    all
}

/// The one of which the smallest part is left.
pub fn shortest(all: &[Lasting]) -> Option<&Lasting> {
    let part = |it: &Lasting| it.left / it.lifetime;
    all.iter().min_by(|a, b| part(a).total_cmp(&part(b)))
}
