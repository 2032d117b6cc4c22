//! What a zone's parents and every one of its servers say; no opinion.

use super::parents::{Parent, chain, parents};
use super::probe::{Probe, Site};
use crate::net::dns::query::{Purpose, Reply, TRIES, Transport};
use crate::net::dns::read::{self, plain};
use crate::net::dns::walk::{Broken, Cut, End, NameServer, Place, Step, Walk, Walker};
use crate::net::has_route;
use hickory_proto::dnssec::rdata::DS;
use hickory_proto::rr::{Name, RData, RecordType};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

/// What to look at.
pub struct Wish<'w> {
    /// The name to ask for, or the zone.
    pub target: &'w Name,
    /// Whether the target must be a zone of its own.
    pub scope: Scope,
    /// The record types to ask for.
    pub kinds: &'w [RecordType],
    /// Servers that the list names, which are asked alone and without a walk.
    pub servers: &'w [IpAddr],
    /// Server names that the list wants.
    pub pins: &'w BTreeSet<Name>,
    /// How many of the parent's addresses are asked.
    pub parents: usize,
    /// The root's keys.
    pub anchors: &'w [DS],
    /// Seconds since 1970.
    pub now: i64,
}

impl Wish<'_> {
    /// What to walk for so that the servers of the zone that has the answer are found: of delegation signers, that is
    /// the parent of the name (RFC 4035, section 3.1.4.1).
    fn path(&self) -> RecordType {
        match self.is_above() {
            true => RecordType::DS,
            false => RecordType::A,
        }
    }

    /// A name in the zone that has the answer.
    fn inside(&self) -> Name {
        match self.is_above() {
            true => self.target.base_name(),
            false => self.target.clone(),
        }
    }

    fn is_above(&self) -> bool {
        self.kinds == [RecordType::DS]
    }
}

/// Whether an apex is wanted, or any name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scope {
    Zone,
    Host,
}

/// What came of it.
pub enum View {
    /// The zone is not there: at whom, and what they say.
    NotDelegated {
        zone: Name,
        steps: Vec<Step>,
        why: String,
    },
    /// The zone is there, the name is not.
    Seen(Box<Seen>),
    /// No server of a cut above, or of the zone, says anything.
    NoServer {
        zone: Name,
        steps: Vec<Step>,
        why: Vec<String>,
    },
}

/// A zone that is there.
pub struct Seen {
    pub zone: Name,
    pub target: Name,
    pub steps: Vec<Step>,
    /// Whether the parent's words can be told from the zone's own.
    pub delegated: bool,
    pub parents: Vec<(IpAddr, Result<Parent, String>)>,
    /// Every name server by name: who names it, and where it is.
    pub servers: BTreeMap<Name, Server>,
    pub sites: Vec<Site>,
    /// Addresses to which no route leads from here.
    pub unasked: Vec<(Name, IpAddr)>,
    /// How many addresses are more than any zone needs, and were not asked.
    pub beyond: usize,
    /// Why the parent's word on the keys does not lead to the root's key.
    pub chain: Result<(), String>,
}

/// A name server of the zone.
#[derive(Clone, Debug, Default)]
pub struct Server {
    pub by_parent: bool,
    pub by_child: bool,
    /// Addresses by the parent, for names inside the zone.
    pub glue: BTreeSet<IpAddr>,
    /// Addresses by the zone itself, for names inside it; nothing when it was not asked.
    pub own: Option<BTreeSet<IpAddr>>,
    /// Why it has no address, or the name that it is an alias of.
    pub place: Option<Place>,
}

/// Looks at a zone and its name.
///
/// # Errors
/// When no root answers, or the time is over before anything is known.
pub fn observe(walker: &Walker, wish: &Wish) -> Result<View, Broken> {
    if !wish.servers.is_empty() {
        return Ok(alone(walker, wish));
    }
    let walk = walker.walk(wish.target, wish.path())?;
    match found(walker, wish, walk)? {
        Ok((walk, apex)) => Ok(look(walker, wish, walk, apex)),
        // One server of the parent may have lost what the others still have.
        Err((walk, view)) => match walker.second_opinion(&walk, wish.target, wish.path())? {
            None => Ok(view),
            Some(walk) => match found(walker, wish, walk)? {
                Ok((walk, apex)) => Ok(look(walker, wish, walk, apex)),
                Err((_, view)) => Ok(view),
            },
        },
    }
}

/// The zone that a walk came to, or what is said instead of it.
type Found = Result<(Walk, Name), (Walk, View)>;

fn found(walker: &Walker, wish: &Wish, walk: Walk) -> Result<Found, Broken> {
    let last = walk.path.last().unwrap_or(&walker.start).name.clone();
    let not_delegated = |walk: Walk, why: String| {
        let view = View::NotDelegated {
            zone: wish.target.clone(),
            steps: walk.steps.clone(),
            why,
        };
        Ok(Err((walk, view)))
    };
    match &walk.end {
        End::Nobody(why) => {
            let view = View::NoServer {
                zone: last,
                steps: walk.steps.clone(),
                why: why.clone(),
            };
            return Ok(Err((walk, view)));
        }
        // A name that a top-level domain does not know is no name in it, but a zone that is gone.
        End::NxDomain if wish.scope == Scope::Zone || last.num_labels() <= 1 => {
            let who = walk.steps.last();
            let who = who.map_or(String::new(), |it| {
                format!("{} ({})", plain(&it.server), it.address)
            });
            return not_delegated(walk, format!("{who} says that it does not exist"));
        }
        End::NxDomain | End::Exists(_) => (),
    }
    let apex = match &walk.apex {
        Some(apex) => apex.clone(),
        None => {
            let asked = walk.steps.last();
            let apex = asked.and_then(|it| apex(walker, it.address, &wish.inside(), &TRIES));
            apex.unwrap_or(last)
        }
    };
    if wish.scope == Scope::Zone && apex != *wish.target {
        let why = format!("it is no zone of its own, only a name in {}", plain(&apex));
        return not_delegated(walk, why);
    }
    Ok(Ok((walk, apex)))
}

/// Looks at a zone that is there.
fn look(walker: &Walker, wish: &Wish, walk: Walk, apex: Name) -> View {
    let last = walk.path.last().unwrap_or(&walker.start);
    let above = walk
        .path
        .len()
        .checked_sub(2)
        .and_then(|it| walk.path.get(it));
    let above = above.filter(|_| last.name == apex);
    let parents = match above {
        Some(cut) => parents(walker, cut, &apex, wish.parents),
        None => Vec::new(),
    };
    let chain = match above {
        Some(_) => chain(walker, &walk.path, &parents, wish),
        None => Ok(()),
    };
    let mut seen = Seen {
        steps: walk.steps,
        delegated: above.is_some(),
        parents,
        chain,
        ..Seen::new(apex, wish)
    };
    seen.name_servers(walker, wish, last);
    View::Seen(Box::new(seen))
}

/// Asks the servers of the list alone.
fn alone(walker: &Walker, wish: &Wish) -> View {
    let inside = wish.inside();
    let mut servers = wish.servers.iter();
    let quick = servers.find_map(|it| apex(walker, *it, &inside, &TRIES[..1]));
    // Where none is quick, all are waited for.
    let apex = quick.or_else(|| {
        thread::scope(|scope| {
            let ask = |it: &IpAddr| {
                let (address, inside) = (*it, &inside);
                scope.spawn(move || apex(walker, address, inside, &walker.tries))
            };
            let asked: Vec<_> = wish.servers.iter().map(ask).collect();
            asked
                .into_iter()
                .filter_map(|it| it.join().ok())
                .find_map(|it| it)
        })
    });
    let mut seen = Seen::new(apex.unwrap_or(inside), wish);
    // They go by their addresses, for want of names.
    let places = wish.servers.iter().filter_map(|address| {
        let name = address.to_string().replace(':', "-");
        let name = Name::from_labels(name.split('.').map(str::as_bytes));
        Some((name.ok()?, *address))
    });
    let places: Vec<(Name, IpAddr)> = places.collect();
    seen.probe(walker, wish, &places);
    View::Seen(Box::new(seen))
}

/// The zone that a name is in, by one of its servers.
fn apex(walker: &Walker, address: IpAddr, name: &Name, tries: &[Duration]) -> Option<Name> {
    let mut name = name.clone();
    loop {
        let kind = RecordType::SOA;
        let asked = walker.ask(address, &name, kind, Purpose::Walk, Transport::Udp, tries);
        let reply = asked.ok()?;
        match soa_owner(&reply, &name) {
            Some(apex) => return Some(apex),
            // An alias hides the zone that it is in.
            None if !reply.message.answers.is_empty() && !name.is_root() => name = name.base_name(),
            None => return None,
        }
    }
}

fn soa_owner(reply: &Reply, target: &Name) -> Option<Name> {
    let message = &reply.message;
    let all = message.answers.iter().chain(&message.authorities);
    let soa = all.filter(|it| it.record_type() == RecordType::SOA);
    let owners = soa.map(|it| it.name.to_lowercase());
    owners
        .filter(|it| it.zone_of(target))
        .max_by_key(Name::num_labels)
}

/// The most addresses of one zone that are asked; thirteen names with two each are the most that are in use.
const MOST_ADDRESSES: usize = 40;

impl Seen {
    /// Nothing is known of it yet.
    fn new(zone: Name, wish: &Wish) -> Seen {
        Seen {
            zone,
            target: wish.target.clone(),
            steps: Vec::new(),
            delegated: false,
            parents: Vec::new(),
            servers: BTreeMap::new(),
            sites: Vec::new(),
            unasked: Vec::new(),
            beyond: 0,
            chain: Ok(()),
        }
    }

    /// Finds all servers of the zone and asks each at every address.
    fn name_servers(&mut self, walker: &Walker, wish: &Wish, cut: &Cut) {
        let mut by_parent: BTreeSet<Name> = BTreeSet::new();
        for (_, said) in &self.parents {
            if let Ok(said) = said {
                by_parent.extend(said.ns.iter().cloned());
                for (name, addresses) in &said.glue {
                    let server = self.servers.entry(name.clone()).or_default();
                    server.glue.extend(addresses);
                }
            }
        }
        if by_parent.is_empty() {
            by_parent.extend(cut.servers.iter().map(|it| it.name.clone()));
            for NameServer { name, addresses } in &cut.servers {
                let server = self.servers.entry(name.clone()).or_default();
                if self.zone.zone_of(name) {
                    server.glue.extend(addresses);
                }
            }
        }
        // Parent and child share their servers: the zone's own word is all there is.
        if !self.delegated && cut.name != self.zone {
            by_parent.clear();
            self.servers.clear();
            let last = self.steps.last();
            let own = last.and_then(|it| {
                let ask = walker.ask(
                    it.address,
                    &self.zone,
                    RecordType::NS,
                    Purpose::Walk,
                    Transport::Udp,
                    &TRIES,
                );
                Some(read::ns_names(&ask.ok()?.message.answers, &self.zone))
            });
            for name in own.unwrap_or_default() {
                self.servers.entry(name).or_default().by_child = true;
            }
        }
        for name in by_parent {
            self.servers.entry(name).or_default().by_parent = true;
        }
        for name in wish.pins {
            self.servers.entry(name.clone()).or_default();
        }
        self.ask_new(walker, wish);
        let own: BTreeSet<Name> = self
            .sites
            .iter()
            .flat_map(|it| it.ns.iter().flatten().cloned())
            .collect();
        for name in own {
            self.servers.entry(name).or_default().by_child = true;
        }
        self.own_addresses(walker);
        self.ask_new(walker, wish);
    }

    /// The addresses of servers inside the zone, as the zone itself says.
    fn own_addresses(&mut self, walker: &Walker) {
        let good = self
            .sites
            .iter()
            .find(|it| it.soa.is_ok())
            .map(|it| it.address);
        let Some(good) = good else { return };
        for (name, server) in &mut self.servers {
            if !self.zone.zone_of(name) {
                continue;
            }
            let mut own = BTreeSet::new();
            for kind in [RecordType::A, RecordType::AAAA] {
                let reply = walker.ask(good, name, kind, Purpose::Walk, Transport::Udp, &TRIES);
                let Ok(reply) = reply else { return };
                let alias = reply.message.answers.iter().find_map(|it| match &it.data {
                    RData::CNAME(to) if it.name == *name => Some(to.0.clone()),
                    _ => None,
                });
                if let Some(alias) = alias {
                    server.place = Some(Place::Alias(alias));
                    break;
                }
                own.extend(read::addresses_of(&reply.message.answers, name));
            }
            server.own = Some(own);
        }
    }

    /// Asks the addresses that were not asked yet.
    fn ask_new(&mut self, walker: &Walker, wish: &Wish) {
        let lost = self
            .servers
            .iter_mut()
            .filter(|(name, server)| server.place.is_none() && !self.zone.zone_of(name));
        thread::scope(|scope| {
            for (name, server) in lost {
                scope.spawn(move || server.place = Some(walker.place(name, &mut Vec::new())));
            }
        });
        let mut places = Vec::new();
        for (name, server) in &self.servers {
            let found: BTreeSet<IpAddr> = match &server.place {
                Some(Place::At(addresses)) => addresses.iter().copied().collect(),
                _ => server
                    .glue
                    .iter()
                    .chain(server.own.iter().flatten())
                    .copied()
                    .collect(),
            };
            places.extend(found.into_iter().map(|it| (name.clone(), it)));
        }
        self.beyond = places.len().saturating_sub(MOST_ADDRESSES);
        places.truncate(MOST_ADDRESSES);
        self.probe(walker, wish, &places);
    }

    fn probe(&mut self, walker: &Walker, wish: &Wish, places: &[(Name, IpAddr)]) {
        let mut fresh: BTreeMap<IpAddr, Vec<Name>> = BTreeMap::new();
        for (name, address) in places {
            if let Some(site) = self.sites.iter_mut().find(|it| it.address == *address) {
                if !site.names.contains(name) {
                    site.names.push(name.clone());
                }
                continue;
            }
            let place = (name.clone(), *address);
            match has_route(SocketAddr::new(*address, walker.port)) {
                true => fresh.entry(*address).or_default().push(name.clone()),
                false if !self.unasked.contains(&place) => self.unasked.push(place),
                false => (),
            }
        }
        let signed = self
            .parents
            .iter()
            .any(|it| it.1.as_ref().is_ok_and(|it| !it.signers.is_empty()));
        let probe = Probe {
            walker,
            zone: &self.zone,
            target: &self.target,
            kinds: wish.kinds,
            // The question over TCP is one that is needed anyway.
            over_tcp: match signed {
                true => RecordType::DNSKEY,
                false => RecordType::SOA,
            },
        };
        let probe = &probe;
        let sites: Vec<Site> = thread::scope(|scope| {
            let asked: Vec<_> = fresh
                .into_iter()
                .map(|(address, names)| scope.spawn(move || probe.site(address, names)))
                .collect();
            asked.into_iter().filter_map(|it| it.join().ok()).collect()
        });
        self.sites.extend(sites);
    }
}
