//! What a zone's parents and every one of its servers say; no opinion.

use crate::net::dns::query::{self, Purpose, Reply, TRIES, Transport};
use crate::net::dns::secure::{self, RrSet, Verdict};
use crate::net::dns::walk::{
    self, Broken, Cut, End, NameServer, Place, Step, Walker, plain, rcode,
};
use crate::net::{Fault, has_route};
use hickory_proto::dnssec::rdata::DS;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType, rdata::SOA};
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

/// One address of a name server.
#[derive(Debug)]
pub struct Site {
    pub names: Vec<Name>,
    pub address: IpAddr,
    /// The zone's SOA record, or the code and the text of what is wrong.
    pub soa: Result<Soa, (&'static str, String)>,
    pub took: Duration,
    /// What is wrong over TCP.
    pub tcp: Result<(), String>,
    pub ns: Option<BTreeSet<Name>>,
    /// What it answers for the name, by type.
    pub answers: BTreeMap<RecordType, Answer>,
    pub keys: Option<RrSet>,
    /// Seconds until it stops answering if it hears nothing of its primary (RFC 7314).
    pub expire: Option<u32>,
    /// Who answers behind a shared address (RFC 5001), printable.
    pub nsid: Option<String>,
    pub edns: Edns,
}

/// Whether a server can EDNS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edns {
    Yes,
    /// It only answers without.
    No,
}

/// A SOA record with its signatures.
#[derive(Clone, Debug)]
pub struct Soa {
    pub data: SOA,
    pub set: RrSet,
}

/// What a server answers for a name and type.
#[derive(Clone, Debug)]
pub enum Answer {
    Set(RrSet),
    Alias(Name, RrSet),
    NoData,
    NxDomain,
    /// It answered before, and now does not or fails.
    Fault(String),
}

/// Looks at a zone and its name.
///
/// # Errors
/// When no root answers, or the time is over before anything is known.
pub fn observe(walker: &Walker, wish: &Wish) -> Result<View, Broken> {
    if !wish.servers.is_empty() {
        return alone(walker, wish);
    }
    let walk = walker.walk(wish.target, RecordType::A)?;
    let last = walk.path.last().unwrap_or(&walker.start);
    let not_delegated = |steps: Vec<Step>, why: String| View::NotDelegated {
        zone: wish.target.clone(),
        steps,
        why,
    };
    match walk.end {
        End::Nobody(why) => {
            return Ok(View::NoServer {
                zone: last.name.clone(),
                steps: walk.steps,
                why,
            });
        }
        // A name that a top-level domain does not know is no name in it, but a zone that is gone.
        End::NxDomain if wish.scope == Scope::Zone || last.name.num_labels() <= 1 => {
            let who = walk.steps.last();
            let who = who.map_or(String::new(), |it| {
                format!("{} ({})", plain(&it.server), it.address)
            });
            return Ok(not_delegated(
                walk.steps,
                format!("{who} says that it does not exist"),
            ));
        }
        End::NxDomain | End::Exists(_) => (),
    }
    let apex = match walk.apex {
        Some(apex) => apex,
        None => apex(walker, walk.steps.last(), wish.target).unwrap_or_else(|| last.name.clone()),
    };
    if wish.scope == Scope::Zone && apex != *wish.target {
        let why = format!("it is no zone of its own, only a name in {}", plain(&apex));
        return Ok(not_delegated(walk.steps, why));
    }
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
        zone: apex,
        target: wish.target.clone(),
        steps: walk.steps,
        delegated: above.is_some(),
        parents,
        servers: BTreeMap::new(),
        sites: Vec::new(),
        unasked: Vec::new(),
        beyond: 0,
        chain,
    };
    seen.name_servers(walker, wish, last);
    Ok(View::Seen(Box::new(seen)))
}

/// Asks the servers of the list alone.
fn alone(walker: &Walker, wish: &Wish) -> Result<View, Broken> {
    let ask = |address: &IpAddr| {
        walker
            .ask(
                *address,
                wish.target,
                RecordType::SOA,
                Purpose::Walk,
                Transport::Udp,
                &TRIES,
            )
            .ok()
    };
    let mut replies = wish.servers.iter().filter_map(ask);
    let apex = replies.find_map(|it| soa_owner(&it, wish.target));
    let zone = apex.unwrap_or_else(|| wish.target.clone());
    let mut seen = Seen {
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
    };
    let named = |it: &IpAddr| (it.to_string(), *it);
    let places: Vec<(Name, IpAddr)> = wish
        .servers
        .iter()
        .map(named)
        .filter_map(|(name, address)| {
            Some((Name::from_ascii(name.replace(':', "-")).ok()?, address))
        })
        .collect();
    seen.probe(walker, wish, &places);
    Ok(View::Seen(Box::new(seen)))
}

/// The zone that a name is in, by the server that answered last.
fn apex(walker: &Walker, last: Option<&Step>, target: &Name) -> Option<Name> {
    let reply = walker
        .ask(
            last?.address,
            target,
            RecordType::SOA,
            Purpose::Walk,
            Transport::Udp,
            &TRIES,
        )
        .ok()?;
    soa_owner(&reply, target)
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

/// Asks servers of the parent zone for the delegation and for DS records.
fn parents(
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
        let ns = walk::ns_names(&records, zone);
        let set = RrSet::of(&signers.message.answers, zone, RecordType::DS);
        let inside = ns.iter().filter(|it| zone.zone_of(it));
        let glue = inside.map(|it| {
            let addresses = walk::addresses_of(&message.additionals, it);
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
fn chain(
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

impl Seen {
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
                Some(walk::ns_names(&ask.ok()?.message.answers, &self.zone))
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
                own.extend(walk::addresses_of(&reply.message.answers, name));
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

/// What every address is asked.
struct Probe<'p> {
    walker: &'p Walker<'p>,
    zone: &'p Name,
    target: &'p Name,
    kinds: &'p [RecordType],
    over_tcp: RecordType,
}

impl Probe<'_> {
    /// Asks one address everything: TCP beside UDP, so that neither waits for the other.
    fn site(&self, address: IpAddr, names: Vec<Name>) -> Site {
        thread::scope(|scope| {
            let tcp = scope.spawn(|| {
                self.ask(
                    address,
                    self.zone,
                    self.over_tcp,
                    Purpose::Walk,
                    Transport::Tcp,
                )
            });
            let mut site = self.over_udp(address, names);
            let tcp = tcp.join().unwrap_or_else(|_| {
                Err(Fault::Late(
                    "the thread that asked it ended early".to_owned(),
                ))
            });
            match tcp {
                Ok(reply) if self.over_tcp == RecordType::DNSKEY => {
                    site.keys = RrSet::of(&reply.message.answers, self.zone, RecordType::DNSKEY);
                }
                Ok(_) => (),
                Err(fault) => site.tcp = Err(fault.to_string()),
            }
            // Signed without the parent's word, or TCP is what does not work.
            let signed = site
                .soa
                .as_ref()
                .is_ok_and(|it| !it.set.signatures.is_empty());
            if site.keys.is_none() && signed {
                let keys = self.ask(
                    address,
                    self.zone,
                    RecordType::DNSKEY,
                    Purpose::Walk,
                    Transport::Udp,
                );
                site.keys = keys
                    .ok()
                    .and_then(|it| RrSet::of(&it.message.answers, self.zone, RecordType::DNSKEY));
            }
            site
        })
    }

    fn ask(
        &self,
        address: IpAddr,
        name: &Name,
        kind: RecordType,
        purpose: Purpose,
        over: Transport,
    ) -> Result<Reply, Fault> {
        self.walker.ask(address, name, kind, purpose, over, &TRIES)
    }

    fn over_udp(&self, address: IpAddr, names: Vec<Name>) -> Site {
        let mut site = Site {
            names,
            address,
            soa: Err(("unreachable", String::new())),
            took: Duration::ZERO,
            tcp: Ok(()),
            ns: None,
            answers: BTreeMap::new(),
            keys: None,
            expire: None,
            nsid: None,
            edns: Edns::Yes,
        };
        let mut purpose = Purpose::Apex;
        let mut asked = self.ask(address, self.zone, RecordType::SOA, purpose, Transport::Udp);
        let chokes = match &asked {
            Ok(reply) => matches!(reply.rcode(), ResponseCode::FormErr | ResponseCode::NotImp),
            Err(fault) => matches!(
                fault,
                Fault::World {
                    code: "no-answer",
                    ..
                }
            ),
        };
        if chokes {
            let once = [Duration::from_secs(1)];
            let bare = self.walker.ask(
                address,
                self.zone,
                RecordType::SOA,
                Purpose::Plain,
                Transport::Udp,
                &once,
            );
            if bare
                .as_ref()
                .is_ok_and(|it| it.rcode() == ResponseCode::NoError)
            {
                purpose = Purpose::Plain;
                site.edns = Edns::No;
                asked = bare;
            }
        }
        let reply = match asked {
            Ok(reply) => reply,
            Err(Fault::Late(text)) => {
                site.soa = Err(("unreachable", text));
                return site;
            }
            Err(fault) => {
                site.soa = Err(("unreachable", fault.to_string()));
                return site;
            }
        };
        site.took = reply.took;
        site.soa = soa(&reply, self.zone).map_err(|it| ("lame", it));
        if site.soa.is_err() {
            return site;
        }
        site.expire = reply
            .option(query::EXPIRE)
            .and_then(|it| Some(u32::from_be_bytes(it.try_into().ok()?)));
        site.nsid = reply
            .option(query::NSID)
            .filter(|it| !it.is_empty())
            .map(|it| String::from_utf8_lossy(&it).into_owned());
        let purpose = match purpose {
            Purpose::Plain => Purpose::Plain,
            _ => Purpose::Walk,
        };
        let ask = |name, kind| self.ask_again(address, name, kind, purpose, site.took);
        let Ok(ns) = ask(self.zone, RecordType::NS) else {
            return site;
        };
        site.ns = Some(walk::ns_names(&ns.message.answers, self.zone));
        for kind in self.kinds {
            let reply = ask(self.target, *kind);
            let silent = reply.is_err();
            let answer = match reply {
                Ok(reply) => answer(&reply, self.target, *kind),
                Err(fault) => Answer::Fault(fault.to_string()),
            };
            site.answers.insert(*kind, answer);
            // One silence costs its retries, not those of every question after it.
            if silent {
                break;
            }
        }
        site
    }

    /// Asks a server that has answered before: it is known how quick it is, and when questions are lost on the way
    /// that is counted, but the answer can still be had over TCP.
    fn ask_again(
        &self,
        address: IpAddr,
        name: &Name,
        kind: RecordType,
        purpose: Purpose,
        took: Duration,
    ) -> Result<Reply, Fault> {
        let first = (took * 8).clamp(QUICK, TRIES[0]);
        let tries = [first, TRIES[1], TRIES[2]];
        let asked = self
            .walker
            .ask(address, name, kind, purpose, Transport::Udp, &tries);
        match asked {
            Err(Fault::World {
                code: "no-answer", ..
            }) => self.ask(address, name, kind, purpose, Transport::Tcp),
            other => other,
        }
    }
}

/// The most addresses of one zone that are asked; thirteen names with two each are the most that are in use.
const MOST_ADDRESSES: usize = 40;
/// The least time that an answer may take before the question is asked again.
const QUICK: Duration = Duration::from_millis(200);

/// The zone's SOA record in a reply, or why this server is not one of the zone.
fn soa(reply: &Reply, zone: &Name) -> Result<Soa, String> {
    let message = &reply.message;
    let error = reply.option(query::EDE).and_then(|it| extended(&it));
    let error = error.map_or(String::new(), |it| format!(" ({it})"));
    match reply.rcode() {
        ResponseCode::NoError => (),
        code => return Err(format!("answers {}{error}", rcode(code))),
    }
    let set = RrSet::of(&message.answers, zone, RecordType::SOA);
    let data = set.as_ref().and_then(|it| match &it.records.first()?.data {
        RData::SOA(data) => Some(data.clone()),
        _ => None,
    });
    match (message.metadata.authoritative, set, data) {
        (true, Some(set), Some(data)) => Ok(Soa { data, set }),
        (false, Some(_), _) => Err("answers without authority (no AA)".to_owned()),
        (false, None, _)
            if message
                .authorities
                .iter()
                .any(|it| it.record_type() == RecordType::NS) =>
        {
            Err("refers elsewhere instead of answering".to_owned())
        }
        _ => Err(format!("has no SOA record of the zone{error}")),
    }
}

/// An extended DNS error in words (RFC 8914).
fn extended(bytes: &[u8]) -> Option<String> {
    let [high, low, text @ ..] = bytes else {
        return None;
    };
    let code = u16::from_be_bytes([*high, *low]);
    let text = String::from_utf8_lossy(text);
    Some(match text.is_empty() {
        true => format!("EDE {code}"),
        false => format!("EDE {code}: {text}"),
    })
}

fn answer(reply: &Reply, target: &Name, kind: RecordType) -> Answer {
    let message = &reply.message;
    let alias = RrSet::of(&message.answers, target, RecordType::CNAME)
        .filter(|_| kind != RecordType::CNAME);
    let to = alias
        .as_ref()
        .and_then(|it| match &it.records.first()?.data {
            RData::CNAME(to) => Some(to.0.to_lowercase()),
            _ => None,
        });
    if let (Some(to), Some(set)) = (to, alias) {
        return Answer::Alias(to, set);
    }
    match (reply.rcode(), RrSet::of(&message.answers, target, kind)) {
        (ResponseCode::NoError, Some(set)) => Answer::Set(set),
        (ResponseCode::NoError, None) => Answer::NoData,
        (ResponseCode::NXDomain, _) => Answer::NxDomain,
        (code, _) => Answer::Fault(format!("answers {}", rcode(code))),
    }
}
