//! The walk and every server as rows, and what there is to say without being wrong.

use super::found::{Found, labels, said};
use super::observe::Seen;
use super::probe::{Answer, Site};
use super::signatures::Lasting;
use crate::model::quantity;
use crate::net::dns::read::plain;
use crate::net::dns::walk::Step;
use std::collections::BTreeMap;

/// What there is to say without being wrong.
pub fn notes_of(seen: &Seen) -> Vec<String> {
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
pub const HEAD: [&str; 8] = [
    "zone",
    "server",
    "address",
    "says",
    "serial",
    "time",
    "TTL",
    "RRSIG left",
];

pub fn step_row(step: &Step) -> Vec<String> {
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

pub fn site_row(seen: &Seen, site: &Site, all: &[Found], lasting: &[Lasting]) -> Vec<String> {
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
    let own = lasting.iter().filter(|it| it.address == site.address);
    let left = own.map(|it| it.left).reduce(f64::min);
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
        left.map_or(String::new(), quantity::seconds),
    ]
}
