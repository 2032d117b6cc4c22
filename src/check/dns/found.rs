//! What is wrong and at which servers, in words.

use super::expected::Said;
use super::observe::Seen;
use super::probe::{Answer, Site};
use crate::model::state::State;
use crate::net::dns::data;
use crate::net::dns::name::plain;
use std::net::IpAddr;

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
        (_, "could") => "could",
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

impl Seen {
    /// The addresses that answer for the zone.
    pub fn good(&self) -> impl Iterator<Item = &Site> {
        self.sites.iter().filter(|it| it.soa.is_ok())
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
            Answer::Set(set) => said
                .values
                .extend(set.records.iter().map(|it| data::shown(&it.data))),
            Answer::Alias(to, _) => {
                said.values.insert(format!("an alias of {}", plain(to)));
            }
            Answer::NoData => (),
            Answer::NxDomain => said.missing = true,
            Answer::Fault(_) | Answer::Unable(_) => return None,
        }
    }
    Some(said)
}

/// A fault's text without the address, which stands before it anyway.
pub fn reason(site: &Site, text: &str) -> String {
    let address = site.address.to_string();
    let text = text
        .replace(&format!("[{address}]:53"), "")
        .replace(&format!("{address}:53"), "")
        .replace(" (TCP)", "");
    text.trim_start_matches([':', ' ', ',']).to_owned()
}
