//! Whether the parent and the zone agree on who serves it, and whether everybody can be found.

use super::Dns;
use super::found::{Found, found, grouped, label, labels, who};
use super::keys::Signed;
use super::observe::{Seen, Server};
use super::parents::Parent;
use crate::model::outcome::UNKNOWN;
use crate::model::state::State;
use crate::net::dns;
use crate::net::dns::read::plain;
use crate::net::dns::walk::Place;
use hickory_proto::rr::Name;
use std::collections::BTreeSet;
use std::net::IpAddr;

pub fn judge(seen: &Seen, check: &Dns) -> Vec<Found> {
    let mut all = Vec::new();
    let mut say = |code: &'static str, state: State, text: String| {
        all.push(found(code, state, text, &[]));
    };
    let zone = plain(&seen.zone);
    let said: Vec<(&IpAddr, &Parent)> = seen
        .parents
        .iter()
        .filter_map(|it| Some((&it.0, it.1.as_ref().ok()?)))
        .collect();
    if let Some(text) = disagree(&said) {
        say(
            "parents-disagree",
            State::Warning,
            format!("the parent's servers disagree on {zone}: {text}"),
        );
    }
    let by_child: BTreeSet<&Name> = seen.good().flat_map(|it| it.ns.iter().flatten()).collect();
    let by_parent: BTreeSet<&Name> = seen
        .servers
        .iter()
        .filter(|it| it.1.by_parent)
        .map(|it| it.0)
        .collect();
    if seen.delegated && !by_child.is_empty() && by_child != by_parent {
        let only = |a: &BTreeSet<&Name>, b: &BTreeSet<&Name>| names(a.difference(b).copied());
        let text = [
            ("only at the parent: ", only(&by_parent, &by_child)),
            ("only in the zone: ", only(&by_child, &by_parent)),
        ];
        let text = text
            .into_iter()
            .filter(|it| !it.1.is_empty())
            .map(|it| format!("{}{}", it.0, it.1));
        say(
            "parent-child-ns",
            State::Warning,
            format!(
                "the servers of {zone} differ, {}",
                text.collect::<Vec<_>>().join(", ")
            ),
        );
    }
    let groups = grouped(seen.good().filter_map(|it| Some((it, it.ns.as_ref()?))));
    if let [(_, first), rest @ ..] = &groups[..] {
        for (ns, sites) in rest {
            say(
                "ns-sets-differ",
                State::Warning,
                format!(
                    "{} {} as servers of {zone}, {} others",
                    who(sites, "names"),
                    names(ns.iter()),
                    labels(first)
                ),
            );
        }
    }
    for (name, server) in &seen.servers {
        let inside = seen.zone.zone_of(name);
        let shown = plain(name);
        match &server.place {
            Some(Place::Alias(to)) => say(
                "ns-cname",
                State::Warning,
                format!("the server {shown} is an alias of {}", plain(to)),
            ),
            Some(Place::Nowhere(why)) => say(
                "ns-unresolvable",
                State::Warning,
                format!("the server {shown} cannot be found: {why}"),
            ),
            // What this machine cannot look up is no fault of the zone.
            Some(Place::Unknown(why)) => say(
                UNKNOWN,
                State::Unknown,
                format!("the server {shown} cannot be looked up: {why}"),
            ),
            Some(Place::At(_)) | None => (),
        }
        if inside && server.by_parent && seen.delegated && server.glue.is_empty() {
            say(
                "missing-glue",
                State::Warning,
                format!("the parent gives no address of {shown}, which is inside {zone}"),
            );
        }
        if let Some(own) = &server.own
            && seen.delegated
            && !server.glue.is_empty()
            && !own.is_empty()
            && *own != server.glue
        {
            let [parent, child] = [&server.glue, own].map(|it| {
                it.iter()
                    .map(IpAddr::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            });
            say(
                "glue-mismatch",
                State::Warning,
                format!("{shown} is {parent} at the parent, {child} in {zone}"),
            );
        }
    }
    // Servers that the list names are what they are.
    let listed = check.servers.is_some();
    if seen.servers.len() < 2 && !listed {
        let only = seen.servers.keys().next().map_or(String::new(), plain);
        say(
            "single-ns",
            State::Warning,
            format!("{zone} has a single server, {only}"),
        );
    }
    for site in seen.sites.iter().filter(|it| it.names.len() > 1) {
        say(
            "same-address",
            State::Warning,
            format!("{} are one address", label(site)),
        );
    }
    let signed = seen.good().any(|it| {
        it.key_set().is_some()
            || it
                .soa
                .as_ref()
                .is_ok_and(|it| !it.set.signatures.is_empty())
    });
    let vouched = said.iter().any(|it| !it.1.signers.is_empty());
    if seen.delegated && !vouched && !said.is_empty() {
        match (check.ds, signed) {
            (Signed::Required, _) => {
                let text = format!("the parent has no DS record of {zone}, nobody validates it");
                say("no-ds", State::Critical, text);
            }
            (Signed::Auto, true) => {
                let text = format!(
                    "{zone} is signed, but the parent has no DS record of it, so nobody validates"
                );
                say("no-ds", State::Warning, text);
            }
            _ => (),
        }
    }
    all.extend(pinned(seen, check, &by_parent, &by_child));
    all
}

/// Whether the servers are those that the list wants.
fn pinned(
    seen: &Seen,
    check: &Dns,
    by_parent: &BTreeSet<&Name>,
    by_child: &BTreeSet<&Name>,
) -> Option<Found> {
    let pins = check.ns.iter().flat_map(|it| &it.0);
    let pins: BTreeSet<Name> = pins.filter_map(|it| dns::name(it).ok()).collect();
    let wanted: BTreeSet<&Name> = pins.iter().collect();
    if wanted.is_empty() {
        return None;
    }
    let wrong = [
        ("at the parent", by_parent, seen.delegated),
        ("in the zone", by_child, !by_child.is_empty()),
    ];
    let wrong = wrong.into_iter().filter(|it| it.2 && *it.1 != wanted);
    let wrong: Vec<String> = wrong
        .map(|it| format!("{} {}", names(it.1.iter().copied()), it.0))
        .collect();
    (!wrong.is_empty()).then(|| {
        let text = format!(
            "the servers of {} are {}, not {}",
            plain(&seen.zone),
            wrong.join(" and "),
            names(wanted.into_iter())
        );
        found("ns-pinned", State::Critical, text, &[])
    })
}

/// What servers of the parent say differently.
fn disagree(said: &[(&IpAddr, &Parent)]) -> Option<String> {
    let [(first, one), rest @ ..] = said else {
        return None;
    };
    rest.iter().find_map(|(address, other)| {
        let tags = |it: &Parent| {
            it.signers
                .iter()
                .map(|it| it.key_tag())
                .collect::<BTreeSet<u16>>()
        };
        if one.ns != other.ns {
            let [a, b] = [one, other].map(|it| match it.ns.is_empty() {
                true => "no such zone".to_owned(),
                false => names(it.ns.iter()),
            });
            return Some(format!("{first} says {a}, {address} says {b}"));
        }
        if one.glue != other.glue {
            return Some(format!(
                "{first} and {address} give different addresses of its servers"
            ));
        }
        (tags(one) != tags(other))
            .then(|| format!("{first} and {address} have different DS records"))
    })
}

/// Why a server could not be asked.
pub fn lost(server: &Server) -> String {
    match &server.place {
        Some(Place::Alias(to)) => format!("is an alias of {}", plain(to)),
        Some(Place::Nowhere(why) | Place::Unknown(why)) => format!("cannot be found: {why}"),
        _ => "has no address at the parent (glue)".to_owned(),
    }
}

fn names<'n>(all: impl Iterator<Item = &'n Name>) -> String {
    all.map(plain).collect::<Vec<_>>().join(", ")
}
