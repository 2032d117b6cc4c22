//! The walk from the root to a zone's own servers, with no memory beyond the run.
//!
//! What the root says of a top-level domain, and where name servers of other zones are, is asked once in a run and
//! shared by all its checks. What a parent says of the zone itself is asked anew by each check.

use super::query::{Edns, Purpose, Question, Reply, TRIES, Tally, Transport, unhurried};
use super::read::{self, Said, addresses_of, plain};
use super::secure::{self, RrSet, Verdict};
use super::shared::{Shared, lock};
use crate::net::{Fault, has_route, left};
use anyhow::anyhow;
use hickory_proto::dnssec::rdata::{DNSKEY, DS};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
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
    /// No server of a cut can be asked from here.
    Unable(String),
}

/// Why a server of a cut is of no use.
enum Deaf {
    Silent,
    Wrong(String),
    /// What this machine lacks.
    Unable(String),
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
    /// For servers that are what is looked at.
    pub tries: [Duration; 3],
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
            tries: unhurried(left(deadline)),
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

    /// Asks other servers of the last cut whether they know of a zone below that the first one did not, and walks
    /// on there; nothing when none of them does.
    ///
    /// # Errors
    /// As [`Walker::walk`].
    pub fn second_opinion(
        &self,
        walk: &Walk,
        target: &Name,
        kind: RecordType,
    ) -> Result<Option<Walk>, Broken> {
        let (Some(cut), Some(asked)) = (walk.path.last(), walk.steps.last()) else {
            return Ok(None);
        };
        let places = cut.servers.iter();
        let places = places.flat_map(|it| it.addresses.iter().map(move |at| (&it.name, *at)));
        let mut others: Vec<(&Name, IpAddr)> = places
            .filter(|it| it.1 != asked.address && has_route(SocketAddr::new(it.1, self.port)))
            .collect();
        shuffle(&mut others);
        for place in others.into_iter().take(SILENT) {
            self.bounds(target)?;
            let said = self.listen(cut, place, target, kind, &TRIES[..1]);
            if let Ok((Said::Referral(next), step)) = said {
                let path = [&walk.path[..], &[next]].concat();
                let steps = walk.steps.iter().cloned().chain(step).collect();
                let walked = self.descend(target, kind, (path, steps), &mut Vec::new());
                return walked.map(Some);
            }
        }
        Ok(None)
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
        let server = SocketAddr::new(address, self.port);
        let question = Question {
            server,
            name,
            kind,
            purpose,
            edns: match lock(&self.shared.bare).contains(&server) {
                true => Edns::No,
                false => Edns::Yes,
            },
        };
        let _pass = self.shared.gates.enter(address);
        let reply = question.ask(transport, tries, self.deadline, &self.tally)?;
        if reply.edns == Edns::No {
            lock(&self.shared.bare).insert(server);
        }
        Ok(reply)
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
        let (mut why, mut unable) = (Vec::new(), Vec::new());
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
                Place::Nowhere(text) => {
                    why.push(format!("{}: {text}", plain(&server.name)));
                    continue;
                }
                Place::Unknown(text) => {
                    unable.push(format!("{}: {text}", plain(&server.name)));
                    continue;
                }
            };
            shuffle(&mut addresses);
            for address in addresses {
                let here = SocketAddr::new(address, self.port);
                if !has_route(here) {
                    unable.push(format!("{address}: no route from here"));
                } else if waiting.len() >= SILENT || left(self.deadline).is_zero() {
                    waiting.push((server.name.clone(), address));
                } else {
                    self.bounds(target)?;
                    // One try each at first: another server is as good.
                    match self.listen(cut, (&server.name, address), target, kind, &TRIES[..1]) {
                        Ok(done) => return Ok(done),
                        Err(Deaf::Wrong(text)) => why.push(text),
                        Err(Deaf::Unable(text)) => unable.push(text),
                        Err(Deaf::Silent) => waiting.push((server.name.clone(), address)),
                    }
                }
            }
        }
        let again = |(server, address): &(Name, IpAddr)| {
            self.listen(cut, (server, *address), target, kind, &self.tries[1..])
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
            match answer.unwrap_or(Err(Deaf::Silent)) {
                Ok(done) => return Ok(done),
                Err(Deaf::Wrong(text)) => why.push(text),
                Err(Deaf::Unable(text)) => unable.push(text),
                Err(Deaf::Silent) => why.push(format!("{address}: no answer")),
            }
        }
        if cut.name.is_root() {
            why.extend(unable);
            return Err(Broken::NoRoot(why));
        }
        self.bounds(target)?;
        if why.is_empty() && !unable.is_empty() {
            let text = format!("no server of {} can be asked", plain(&cut.name));
            return Err(Broken::Unable(format!("{text} ({})", unable.join("; "))));
        }
        why.extend(unable);
        Ok((Said::Nobody(why), None))
    }

    /// Asks one server of a cut.
    fn listen(
        &self,
        cut: &Cut,
        (server, address): (&Name, IpAddr),
        target: &Name,
        kind: RecordType,
        tries: &[Duration],
    ) -> Result<(Said, Option<Step>), Deaf> {
        let asked = self.ask(address, target, kind, Purpose::Walk, Transport::Udp, tries);
        let reply = match asked {
            Ok(reply) => reply,
            Err(
                Fault::Late(_)
                | Fault::World {
                    code: "no-answer", ..
                },
            ) => return Err(Deaf::Silent),
            Err(Fault::Me(error)) => return Err(Deaf::Unable(format!("{error:#}"))),
            Err(fault) => return Err(Deaf::Wrong(fault.to_string())),
        };
        let said = match read::read(&reply.message, cut, target) {
            Ok(said) => said,
            Err(why) => {
                let text = format!("{} ({address}): {why}", plain(server));
                return Err(Deaf::Wrong(text));
            }
        };
        let (text, ttl) = match &said {
            Said::Referral(next) => (
                format!("referral to {}", plain(&next.name)),
                read::ns_ttl(&reply.message),
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
            Err(Broken::Unable(why)) => return Place::Unknown(why),
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

/// Puts a few things in random order, so that no server is asked more than others (RFC 1035, section 7.2).
pub fn shuffle<T>(all: &mut [T]) {
    use std::hash::{BuildHasher, RandomState};
    for end in (1..all.len()).rev() {
        let random = RandomState::new().hash_one(end) as usize;
        all.swap(end, random % (end + 1));
    }
}
