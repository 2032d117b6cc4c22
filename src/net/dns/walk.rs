//! The walk from the root to a zone's own servers, with no memory beyond the run.
//!
//! What the root says of a top-level domain, and where name servers of other zones are, is asked once in a run and
//! shared by all its checks. What a parent says of the zone itself is asked anew by each check.

use super::query::{Purpose, Question, Reply, TRIES, Tally, Transport};
use super::secure::{self, RrSet, Verdict};
use crate::net::{Fault, has_route, left};
use anyhow::anyhow;
use hickory_proto::dnssec::rdata::{DNSKEY, DS};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A zone cut: the name below which other servers answer, and who they are.
#[derive(Clone, Debug)]
pub struct Cut {
    pub name: Name,
    pub servers: Vec<NameServer>,
}

/// A name server with the addresses that the parent gave; none when it has to be looked up.
#[derive(Clone, Debug)]
pub struct NameServer {
    pub name: Name,
    pub addresses: Vec<IpAddr>,
}

/// One step of the walk, for people.
#[derive(Clone, Debug)]
pub struct Step {
    pub cut: Name,
    pub server: Name,
    pub address: IpAddr,
    pub said: String,
    pub took: Duration,
    /// Of the referral, in seconds.
    pub ttl: Option<u32>,
}

/// Where a walk ended.
#[derive(Debug)]
pub struct Walk {
    pub steps: Vec<Step>,
    /// The cuts from the beginning; the last one is the zone, unless parent and child share their servers.
    pub path: Vec<Cut>,
    /// The owner of the SOA record, which is the zone; nothing where nobody said.
    pub apex: Option<Name>,
    pub end: End,
}

/// What the last servers said of the name.
#[derive(Debug)]
pub enum End {
    /// It is there, with or without the record.
    Exists(Vec<Record>),
    NxDomain,
    /// None of them answers for it: why, of each.
    Nobody(Vec<String>),
}

/// Why a walk could not be made.
#[derive(Debug)]
pub enum Broken {
    /// No root answers: this machine cannot look.
    NoRoot(Vec<String>),
    /// The time is over.
    Late(String),
    /// More cuts or questions than any zone needs.
    Endless(String),
}

/// Where a name server is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    At(Vec<IpAddr>),
    /// It is an alias, which a name server may not be (RFC 2181, section 10.3).
    Alias(Name),
    /// Why it cannot be found.
    Nowhere(String),
    /// Why this machine cannot look.
    Unknown(String),
}

/// What all walks of one run share.
#[derive(Default)]
pub struct Shared {
    tops: Once<(Cut, Option<Step>)>,
    places: Once<Place>,
    /// Keys and DS records of zones above.
    sets: Once<Option<RrSet>>,
    cuts: Mutex<HashMap<(String, Name), Cut>>,
    gates: Gates,
}

/// How deep and how long a walk may be: cuts below each other, lookups of name servers inside lookups, questions.
const MOST_CUTS: usize = 16;
const MOST_LOOKUPS: usize = 8;
const MOST_QUESTIONS: usize = 300;
/// The most servers of one cut that are looked at.
const MOST_SERVERS: usize = 16;
/// How many servers of a cut may be silent, one after the other, before the others are asked at once.
const SILENT: usize = 3;

/// Where walks begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Begin {
    Root,
    /// At servers that the list names, which are what is looked at and therefore not shared.
    Elsewhere,
}

/// Walks for one check.
pub struct Walker<'w> {
    pub shared: &'w Shared,
    /// Tells walks with different beginnings apart.
    pub id: String,
    /// Where walks begin: the root, or the servers of the list.
    pub start: Cut,
    pub begin: Begin,
    pub port: u16,
    pub deadline: Instant,
    pub tally: Tally,
}

impl<'w> Walker<'w> {
    /// Begins at the root that everybody knows.
    pub fn from_root(shared: &'w Shared, deadline: Instant) -> Walker<'w> {
        Walker {
            shared,
            id: String::new(),
            start: super::roots::root(),
            begin: Begin::Root,
            port: 53,
            deadline,
            tally: Tally::default(),
        }
    }

    /// Walks to the servers that answer for a name.
    ///
    /// # Errors
    /// When no root answers, the time is over, or there is no end.
    pub fn walk(&self, target: &Name, kind: RecordType) -> Result<Walk, Broken> {
        let top = self.top(target)?;
        self.descend(target, kind, top, &mut Vec::new())
    }

    /// The addresses of a name, from its own servers, past aliases.
    ///
    /// # Errors
    /// Why there are none.
    pub fn addresses(&self, host: &Name) -> Result<Vec<IpAddr>, Fault> {
        let (mut name, shown) = (host.clone(), plain(host));
        for _ in 0..MOST_LOOKUPS {
            match self.place(&name, &mut Vec::new()) {
                Place::At(addresses) => return Ok(addresses),
                Place::Alias(next) => name = next,
                Place::Unknown(why) => {
                    return Err(Fault::Me(anyhow!("cannot resolve {shown}: {why}")));
                }
                Place::Nowhere(why) if left(self.deadline).is_zero() => {
                    return Err(Fault::Late(format!(
                        "no answer in time, resolving {shown}: {why}"
                    )));
                }
                Place::Nowhere(why) => {
                    return Err(Fault::world(
                        "no-such-name",
                        format!("{shown} has no address: {why}"),
                    ));
                }
            }
        }
        Err(Fault::world(
            "no-such-name",
            format!("{shown} is an alias without end"),
        ))
    }

    /// Asks one server one question.
    ///
    /// # Errors
    /// As [`Question::ask`].
    pub fn ask(
        &self,
        address: IpAddr,
        name: &Name,
        kind: RecordType,
        purpose: Purpose,
        transport: Transport,
        tries: &[Duration],
    ) -> Result<Reply, Fault> {
        let question = Question {
            server: SocketAddr::new(address, self.port),
            name,
            kind,
            purpose,
        };
        let _pass = self.shared.gates.enter(address);
        question.ask(transport, tries, self.deadline, &self.tally)
    }

    /// The cut below the beginning that a name is in, asked once in a run.
    fn top(&self, target: &Name) -> Result<(Vec<Cut>, Vec<Step>), Broken> {
        let begin = (vec![self.start.clone()], Vec::new());
        if self.begin == Begin::Elsewhere || target.num_labels() < 2 {
            return Ok(begin);
        }
        let key = (self.id.clone(), target.trim_to(1));
        let mut why = Ok(begin);
        let found = self.shared.tops.get(key, self.deadline, || {
            match self.step(&self.start, target, RecordType::A, &mut Vec::new()) {
                Ok((Said::Referral(cut), step)) if cut.name.num_labels() == 1 => Some((cut, step)),
                Ok(_) => None,
                Err(broken) => {
                    why = Err(broken);
                    None
                }
            }
        });
        match found {
            Some((cut, step)) => Ok((vec![self.start.clone(), cut], Vec::from_iter(step))),
            None => why,
        }
    }

    fn descend(
        &self,
        target: &Name,
        kind: RecordType,
        (mut path, mut steps): (Vec<Cut>, Vec<Step>),
        inside: &mut Vec<Name>,
    ) -> Result<Walk, Broken> {
        loop {
            let cut = path.last().unwrap_or(&self.start);
            let (said, step) = self.step(cut, target, kind, inside)?;
            steps.extend(step);
            let (end, apex) = match said {
                Said::Referral(next) => {
                    if path.len() >= MOST_CUTS {
                        return Err(Broken::Endless(format!(
                            "more than {MOST_CUTS} cuts above {target}"
                        )));
                    }
                    if !inside.is_empty() {
                        let key = (self.id.clone(), next.name.clone());
                        lock(&self.shared.cuts).insert(key, next.clone());
                    }
                    path.push(next);
                    continue;
                }
                Said::Exists(records, apex) => (End::Exists(records), apex),
                Said::NxDomain(apex) => (End::NxDomain, apex),
                Said::Nobody(why) => (End::Nobody(why), None),
            };
            return Ok(Walk {
                steps,
                path,
                apex,
                end,
            });
        }
    }

    /// Asks the servers of a cut, in random order, until one answers.
    fn step(
        &self,
        cut: &Cut,
        target: &Name,
        kind: RecordType,
        inside: &mut Vec<Name>,
    ) -> Result<(Said, Option<Step>), Broken> {
        let mut why = Vec::new();
        let mut waiting: Vec<(Name, IpAddr)> = Vec::new();
        let mut servers: Vec<&NameServer> = cut.servers.iter().take(MOST_SERVERS).collect();
        shuffle(&mut servers);
        // Those whose addresses are known come first.
        servers.sort_by_key(|it| it.addresses.is_empty());
        for server in servers {
            let place = match server.addresses.is_empty() {
                false => Place::At(server.addresses.clone()),
                // Whom only its own zone could tell of cannot be found.
                true if cut.name.zone_of(&server.name) => Place::Nowhere("no glue".to_owned()),
                true => self.place(&server.name, inside),
            };
            let mut addresses = match place {
                Place::At(addresses) => addresses,
                Place::Alias(to) => {
                    why.push(format!("{} is an alias of {to}", plain(&server.name)));
                    continue;
                }
                Place::Nowhere(text) | Place::Unknown(text) => {
                    why.push(format!("{}: {text}", plain(&server.name)));
                    continue;
                }
            };
            shuffle(&mut addresses);
            for address in addresses {
                let here = SocketAddr::new(address, self.port);
                if !has_route(here) {
                    why.push(format!("{address}: no route from here"));
                } else if waiting.len() >= SILENT || left(self.deadline).is_zero() {
                    waiting.push((server.name.clone(), address));
                } else {
                    self.bounds(target)?;
                    // One try each at first: another server is as good.
                    match self.listen(cut, (&server.name, address), target, kind, &TRIES[..1]) {
                        Ok(done) => return Ok(done),
                        Err(Some(text)) => why.push(text),
                        Err(None) => waiting.push((server.name.clone(), address)),
                    }
                }
            }
        }
        let again = |(server, address): &(Name, IpAddr)| {
            self.listen(cut, (server, *address), target, kind, &TRIES[1..])
        };
        // Where several are silent, the others are asked all at once.
        let answers: Vec<_> = std::thread::scope(|scope| {
            let asked: Vec<_> = waiting
                .iter()
                .map(|it| (it.1, scope.spawn(move || again(it))))
                .collect();
            asked.into_iter().map(|(at, it)| (at, it.join())).collect()
        });
        for (address, answer) in answers {
            match answer.unwrap_or(Err(None)) {
                Ok(done) => return Ok(done),
                Err(text) => why.push(text.unwrap_or(format!("{address}: no answer"))),
            }
        }
        if cut.name.is_root() {
            return Err(Broken::NoRoot(why));
        }
        self.bounds(target)?;
        Ok((Said::Nobody(why), None))
    }

    /// Asks one server of a cut; what is wrong with it, or nothing when it is silent.
    fn listen(
        &self,
        cut: &Cut,
        (server, address): (&Name, IpAddr),
        target: &Name,
        kind: RecordType,
        tries: &[Duration],
    ) -> Result<(Said, Option<Step>), Option<String>> {
        let asked = self.ask(address, target, kind, Purpose::Walk, Transport::Udp, tries);
        let reply = match asked {
            Ok(reply) => reply,
            Err(
                Fault::Late(_)
                | Fault::World {
                    code: "no-answer", ..
                },
            ) => return Err(None),
            Err(fault) => return Err(Some(fault.to_string())),
        };
        let said = match read(&reply.message, cut, target) {
            Ok(said) => said,
            Err(why) => return Err(Some(format!("{} ({address}): {why}", plain(server)))),
        };
        let (text, ttl) = match &said {
            Said::Referral(next) => (
                format!("referral to {}", plain(&next.name)),
                ns_ttl(&reply.message),
            ),
            Said::Exists(records, _) if records.is_empty() => ("no record".to_owned(), None),
            Said::Exists(records, _) => ("an answer".to_owned(), records.first().map(|it| it.ttl)),
            Said::NxDomain(_) => ("NXDOMAIN".to_owned(), None),
            Said::Nobody(_) => (String::new(), None),
        };
        let step = Step {
            cut: cut.name.clone(),
            server: server.clone(),
            address,
            said: text,
            took: reply.took,
            ttl,
        };
        Ok((said, Some(step)))
    }

    fn bounds(&self, target: &Name) -> Result<(), Broken> {
        if left(self.deadline).is_zero() {
            return Err(Broken::Late(format!(
                "no answer in time, walking to {target}"
            )));
        }
        match self.tally.sent.load(Relaxed) > MOST_QUESTIONS {
            true => Err(Broken::Endless(format!(
                "more than {MOST_QUESTIONS} questions for {target}"
            ))),
            false => Ok(()),
        }
    }

    /// Where a name server is, asked once in a run; `inside` are the lookups that want to know it.
    pub fn place(&self, name: &Name, inside: &mut Vec<Name>) -> Place {
        if inside.contains(name) {
            return Place::Nowhere(format!("to find it, {name} has to be found first"));
        }
        if inside.len() >= MOST_LOOKUPS {
            return Place::Nowhere("too many lookups inside each other".to_owned());
        }
        let key = (self.id.clone(), name.clone());
        let mut late = None;
        let found = self.shared.places.get(key, self.deadline, || {
            inside.push(name.clone());
            let place = self.look_up(name, inside);
            inside.pop();
            // What one check had no time for, or found in a circle, another may find.
            match &place {
                Place::Nowhere(_) if left(self.deadline).is_zero() || !inside.is_empty() => {
                    late = Some(place);
                    None
                }
                _ => Some(place),
            }
        });
        found
            .or(late)
            .unwrap_or_else(|| Place::Nowhere("no answer in time".to_owned()))
    }

    fn look_up(&self, name: &Name, inside: &mut Vec<Name>) -> Place {
        let known = {
            let cuts = lock(&self.shared.cuts);
            let labels = (1..=name.num_labels()).rev();
            labels
                .filter_map(|it| cuts.get(&(self.id.clone(), name.trim_to(it.into()))))
                .next()
                .cloned()
        };
        let begin = match known {
            Some(cut) => Ok((vec![cut], Vec::new())),
            None => self.top(name),
        };
        let walk = match begin.and_then(|it| self.descend(name, RecordType::A, it, inside)) {
            Ok(walk) => walk,
            Err(Broken::NoRoot(why)) => {
                return Place::Unknown(format!("no root answers: {}", why.join("; ")));
            }
            Err(Broken::Late(why) | Broken::Endless(why)) => return Place::Nowhere(why),
        };
        let records = match walk.end {
            End::Exists(records) => records,
            End::NxDomain => return Place::Nowhere("it does not exist".to_owned()),
            End::Nobody(why) => return Place::Nowhere(why.join("; ")),
        };
        if let Some(alias) = records.iter().find_map(|it| match &it.data {
            RData::CNAME(to) if it.name == *name => Some(to.0.to_lowercase()),
            _ => None,
        }) {
            return Place::Alias(alias);
        }
        let mut addresses = addresses_of(&records, name);
        // The server that just answered knows the other kind of address too.
        if let Some(last) = walk.steps.last() {
            let more = self.ask(
                last.address,
                name,
                RecordType::AAAA,
                Purpose::Walk,
                Transport::Udp,
                &TRIES,
            );
            if let Ok(more) = more {
                addresses.extend(addresses_of(&more.message.answers, name));
            }
        }
        match addresses.is_empty() {
            true => Place::Nowhere("it has no address".to_owned()),
            false => Place::At(addresses),
        }
    }

    /// A zone's keys, asked once in a run, when the parent vouches for one that signs them; nothing when
    /// none can be checked here.
    ///
    /// # Errors
    /// Why they cannot be trusted.
    pub fn keys(&self, cut: &Cut, trusted: &[DS], now: i64) -> Result<Option<Vec<DNSKEY>>, String> {
        if !secure::are_known(trusted) {
            return Ok(None);
        }
        let zone = &cut.name;
        let Some(set) = self.set(cut, zone, RecordType::DNSKEY) else {
            return Err(format!("{zone} should be signed, but shows no key"));
        };
        let keys = set.keys();
        let vouched = secure::vouched(trusted, zone, &keys);
        match set.verdict(&vouched, zone, now) {
            Verdict::Good { .. } => Ok(Some(keys)),
            Verdict::Unknown => Ok(None),
            Verdict::Expired(_) => {
                Err(format!("the signature over the keys of {zone} has expired"))
            }
            Verdict::Unsigned | Verdict::Invalid(_) => Err(format!(
                "the keys of {zone} are not those that its parent vouches for"
            )),
        }
    }

    /// What a zone above says of the keys of a zone below it, asked once in a run.
    pub fn signers(&self, cut: &Cut, below: &Name) -> Option<RrSet> {
        self.set(cut, below, RecordType::DS)
    }

    /// Records of a zone above, asked once in a run of one of its servers.
    fn set(&self, cut: &Cut, owner: &Name, kind: RecordType) -> Option<RrSet> {
        let key = (format!("{} {kind}", self.id), owner.clone());
        let found = self.shared.sets.get(key, self.deadline, || {
            let mut servers: Vec<IpAddr> = cut
                .servers
                .iter()
                .flat_map(|it| it.addresses.clone())
                .collect();
            shuffle(&mut servers);
            servers.retain(|it| has_route(SocketAddr::new(*it, self.port)));
            let ask = |address| {
                let reply = self.ask(address, owner, kind, Purpose::Walk, Transport::Udp, &TRIES);
                reply.ok().filter(|it| it.rcode() == ResponseCode::NoError)
            };
            let reply = servers.into_iter().take(SILENT).find_map(ask)?;
            Some(RrSet::of(&reply.message.answers, owner, kind))
        });
        found.flatten()
    }
}

/// What a server of a cut can say of a name.
pub enum Said {
    Referral(Cut),
    Exists(Vec<Record>, Option<Name>),
    NxDomain(Option<Name>),
    /// None of the cut's servers said anything.
    Nobody(Vec<String>),
}

/// What a reply says (RFC 1034, section 4.3.2), or why it is none that counts.
///
/// # Errors
/// What this server does instead.
pub fn read(message: &Message, cut: &Cut, target: &Name) -> Result<Said, String> {
    let soa = message
        .authorities
        .iter()
        .find(|it| it.record_type() == RecordType::SOA);
    let apex = soa.map(|it| it.name.to_lowercase());
    let authoritative = message.metadata.authoritative;
    // An alias to what does not exist is there itself.
    let answered = message.answers.iter().any(|it| it.name == *target);
    match message.metadata.response_code {
        ResponseCode::NXDomain if authoritative && answered => (),
        ResponseCode::NXDomain if authoritative => return Ok(Said::NxDomain(apex)),
        ResponseCode::NoError => (),
        ResponseCode::NXDomain => return Err("answers without authority (no AA)".to_owned()),
        code => return Err(format!("answers {}", rcode(code))),
    }
    let owners = message
        .authorities
        .iter()
        .filter(|it| it.record_type() == RecordType::NS);
    let owners: BTreeSet<Name> = owners.map(|it| it.name.to_lowercase()).collect();
    let below = |it: &&Name| cut.name.zone_of(it) && **it != cut.name && it.zone_of(target);
    // Some servers claim authority for referrals; those have no SOA record.
    let referred = owners
        .iter()
        .find(below)
        .filter(|_| apex.is_none() && message.answers.is_empty());
    match referred {
        None if authoritative => Ok(Said::Exists(message.answers.clone(), apex)),
        Some(owner) => Ok(Said::Referral(referral(message, &cut.name, owner))),
        None if owners.iter().any(|it| it.zone_of(&cut.name)) => Err("refers upward".to_owned()),
        None if !message.answers.is_empty() => Err("answers without authority (no AA)".to_owned()),
        None => Err("neither answers nor refers".to_owned()),
    }
}

/// The cut that a referral names, with its glue: addresses of servers below the zone that refers, and of no others.
fn referral(message: &Message, from: &Name, owner: &Name) -> Cut {
    let names = ns_names(&message.authorities, owner);
    let servers = names.into_iter().map(|name| NameServer {
        addresses: match from.zone_of(&name) {
            true => addresses_of(&message.additionals, &name),
            false => Vec::new(),
        },
        name,
    });
    Cut {
        name: owner.clone(),
        servers: servers.collect(),
    }
}

fn ns_ttl(message: &Message) -> Option<u32> {
    let ns = message
        .authorities
        .iter()
        .find(|it| it.record_type() == RecordType::NS);
    ns.map(|it| it.ttl)
}

/// The names of a zone's servers among records.
pub fn ns_names(records: &[Record], owner: &Name) -> BTreeSet<Name> {
    let of_owner = records.iter().filter(|it| it.name == *owner);
    of_owner
        .filter_map(|it| match &it.data {
            RData::NS(name) => Some(name.0.to_lowercase()),
            _ => None,
        })
        .collect()
}

/// The addresses of a name among records.
pub fn addresses_of(records: &[Record], name: &Name) -> Vec<IpAddr> {
    let own = records.iter().filter(|it| it.name == *name);
    let mut all: Vec<IpAddr> = own
        .filter_map(|it| match &it.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// A response code by the name that everybody knows (IANA, DNS RCODEs).
pub fn rcode(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::NotAuth => "NOTAUTH".to_owned(),
        other => format!("RCODE {}", u16::from(other)),
    }
}

/// A name without its last dot, except the root's.
pub fn plain(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some("") | None => text,
        Some(name) => name.to_owned(),
    }
}

/// Puts a few things in random order, so that no server is asked more than others (RFC 1035, section 7.2).
pub fn shuffle<T>(all: &mut [T]) {
    use std::hash::{BuildHasher, RandomState};
    for end in (1..all.len()).rev() {
        let random = RandomState::new().hash_one(end) as usize;
        all.swap(end, random % (end + 1));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets only so many questions wait at one address at a time, so that hundreds of zones on one server do not
/// look like an attack, and do not overflow its queue.
#[derive(Default)]
struct Gates(Mutex<HashMap<IpAddr, Arc<Gate>>>);

#[derive(Default)]
struct Gate {
    inside: Mutex<usize>,
    left: Condvar,
}

/// How many questions may wait at one address.
const WAITING: usize = 16;
/// How long one waits before the gate; then the server is silent, and nothing is gained by waiting.
const QUEUE: Duration = Duration::from_millis(700);

impl Gates {
    fn enter(&self, address: IpAddr) -> Pass {
        let gate = lock(&self.0).entry(address).or_default().clone();
        let waited = gate
            .left
            .wait_timeout_while(lock(&gate.inside), QUEUE, |it| *it >= WAITING);
        *waited.unwrap_or_else(PoisonError::into_inner).0 += 1;
        Pass(gate)
    }
}

/// A place inside the gate, given back when it is dropped.
struct Pass(Arc<Gate>);

impl Drop for Pass {
    fn drop(&mut self) {
        *lock(&self.0.inside) -= 1;
        self.0.left.notify_one();
    }
}

/// Values that are found out once; who wants one that another is finding out waits for it, but not for ever.
struct Once<V> {
    slots: Mutex<BTreeMap<(String, Name), Slot<V>>>,
    news: Condvar,
}

enum Slot<V> {
    Busy,
    Done(V),
}

impl<V> Default for Once<V> {
    fn default() -> Once<V> {
        Once {
            slots: Mutex::default(),
            news: Condvar::new(),
        }
    }
}

/// How long one check waits for what another finds out; two that wait for each other end with it.
const PATIENCE: Duration = Duration::from_secs(2);

impl<V: Clone> Once<V> {
    /// The value, made by the first who asks. What `make` does not find is not kept.
    fn get(
        &self,
        key: (String, Name),
        deadline: Instant,
        make: impl FnOnce() -> Option<V>,
    ) -> Option<V> {
        let until = deadline.min(Instant::now() + PATIENCE);
        let mut slots = lock(&self.slots);
        loop {
            match slots.get(&key) {
                Some(Slot::Done(value)) => return Some(value.clone()),
                Some(Slot::Busy) if !left(until).is_zero() => {
                    let waited = self.news.wait_timeout(slots, left(until));
                    slots = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                _ => break,
            }
        }
        slots.insert(key.clone(), Slot::Busy);
        drop(slots);
        let made = make();
        let mut slots = lock(&self.slots);
        match &made {
            Some(value) => slots.insert(key, Slot::Done(value.clone())),
            None => slots.remove(&key),
        };
        self.news.notify_all();
        made
    }
}
