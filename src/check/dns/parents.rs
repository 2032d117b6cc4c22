//! What the zone above says: the delegation, glue, DS records, and the keys that lead to them.

use super::observe::Wish;
use crate::net::dns::query::{Purpose, TRIES, Transport};
use crate::net::dns::read::{self, rcode};
use crate::net::dns::secure::{self, RrSet, Verdict};
use crate::net::dns::walk::{self, Cut, Place, Walker};
use crate::net::has_route;
use hickory_proto::dnssec::rdata::DS;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::thread;

/// What one server of the parent zone says.
#[derive(Clone, Debug, Default)]
pub struct Parent {
    /// Nothing when it does not delegate the zone.
    pub ns: BTreeSet<Name>,
    pub glue: BTreeMap<Name, BTreeSet<IpAddr>>,
    pub signers: Vec<DS>,
    /// The DS records with their signature.
    pub set: Option<RrSet>,
}

/// Asks servers of the parent zone for the delegation and for DS records.
pub fn parents(
    walker: &Walker,
    cut: &Cut,
    zone: &Name,
    most: usize,
) -> Vec<(IpAddr, Result<Parent, String>)> {
    let mut addresses = Vec::new();
    for server in &cut.servers {
        match server.addresses.is_empty() {
            false => addresses.extend(server.addresses.iter().copied()),
            true => {
                if let Place::At(found) = walker.place(&server.name, &mut Vec::new()) {
                    addresses.extend(found);
                }
            }
        }
    }
    addresses.sort();
    addresses.dedup();
    addresses.retain(|it| has_route(SocketAddr::new(*it, walker.port)));
    walk::shuffle(&mut addresses);
    addresses.truncate(most);
    let look = |address: IpAddr| {
        let ask = |kind| {
            walker
                .ask(address, zone, kind, Purpose::Walk, Transport::Udp, &TRIES)
                .map_err(|it| it.to_string())
        };
        let delegation = ask(RecordType::NS)?;
        let signers = ask(RecordType::DS)?;
        let message = &delegation.message;
        match delegation.rcode() {
            ResponseCode::NoError => (),
            ResponseCode::NXDomain => return Ok(Parent::default()),
            code => return Err(format!("{address} answers {}", rcode(code))),
        }
        let records: Vec<Record> = message
            .authorities
            .iter()
            .chain(&message.answers)
            .cloned()
            .collect();
        let ns = read::ns_names(&records, zone);
        let set = RrSet::of(&signers.message.answers, zone, RecordType::DS);
        let inside = ns.iter().filter(|it| zone.zone_of(it));
        let glue = inside.map(|it| {
            let addresses = read::addresses_of(&message.additionals, it);
            (it.clone(), addresses.into_iter().collect())
        });
        Ok(Parent {
            glue: glue.collect(),
            signers: set.as_ref().map_or(Vec::new(), RrSet::signers),
            set,
            ns,
        })
    };
    thread::scope(|scope| {
        let looks: Vec<_> = addresses
            .iter()
            .map(|it| (*it, scope.spawn(move || look(*it))))
            .collect();
        let lost = || Err("the thread that asked it ended early".to_owned());
        let looks = looks.into_iter();
        looks
            .map(|(at, it)| (at, it.join().unwrap_or_else(|_| lost())))
            .collect()
    })
}

/// Follows the keys from the root's own down to the parent, whose word on the zone's keys must be signed.
pub fn chain(
    walker: &Walker,
    path: &[Cut],
    parents: &[(IpAddr, Result<Parent, String>)],
    wish: &Wish,
) -> Result<(), String> {
    let sets = parents
        .iter()
        .filter_map(|it| it.1.as_ref().ok()?.set.as_ref());
    let sets: Vec<&RrSet> = sets.collect();
    let (Some(begin), Some(first)) = (path.first(), sets.first()) else {
        return Ok(());
    };
    if !begin.name.is_root() || wish.anchors.is_empty() || !secure::are_known(&first.signers()) {
        return Ok(());
    }
    let mut trusted = wish.anchors.to_vec();
    for (cut, below) in path.iter().zip(path.iter().skip(1)) {
        let zone = &cut.name;
        let Some(keys) = walker.keys(cut, &trusted, wish.now)? else {
            return Ok(());
        };
        let keys: Vec<_> = keys.iter().collect();
        let is_last = path.last().is_some_and(|it| it.name == below.name);
        let asked;
        let sets: Vec<&RrSet> = match is_last {
            true => sets.clone(),
            false => {
                asked = walker.signers(cut, &below.name);
                // A cut above that is not signed ends the chain, and nobody validates.
                match &asked {
                    Some(set) => vec![set],
                    None => return Ok(()),
                }
            }
        };
        for set in sets {
            match set.verdict(&keys, zone, wish.now) {
                Verdict::Good { .. } | Verdict::Unknown => (),
                Verdict::Unsigned => {
                    return Err(format!(
                        "the DS records of {} in {zone} are not signed",
                        set.owner
                    ));
                }
                Verdict::Expired(ago) => {
                    let ago = crate::model::quantity::seconds(ago as f64);
                    return Err(format!(
                        "the signature of {zone} over the DS records of {} expired {ago} ago",
                        set.owner
                    ));
                }
                Verdict::Invalid(why) => {
                    return Err(format!(
                        "the DS record set of {} in {zone} {why}",
                        set.owner
                    ));
                }
            }
            trusted = set.signers();
        }
    }
    Ok(())
}
