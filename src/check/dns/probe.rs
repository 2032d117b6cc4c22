//! Every question that one address of a name server is asked, and what it answers.

use crate::model::outcome::UNKNOWN;
use crate::net::Fault;
use crate::net::dns::query::{self, Edns, Purpose, Reply, TRIES, Transport};
use crate::net::dns::read::{self, rcode};
use crate::net::dns::secure::RrSet;
use crate::net::dns::walk::Walker;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, RecordType};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

/// One address of a name server.
#[derive(Debug)]
pub struct Site {
    pub names: Vec<Name>,
    pub address: IpAddr,
    /// The zone's SOA record, or the code and the text of what is wrong.
    pub soa: Result<Soa, Trouble>,
    pub took: Duration,
    /// What is wrong over TCP.
    pub tcp: Result<(), Trouble>,
    pub ns: Option<BTreeSet<Name>>,
    /// What it answers for the name, by type.
    pub answers: BTreeMap<RecordType, Answer>,
    /// Its keys, which may be none; nothing where it did not say.
    pub keys: Option<Option<RrSet>>,
    /// Seconds until it stops answering if it hears nothing of its primary (RFC 7314).
    pub expire: Option<u32>,
    /// Who answers behind a shared address (RFC 5001), printable.
    pub nsid: Option<String>,
    /// `No` when it answers only without.
    pub edns: Edns,
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
    /// What this machine lacks to ask it.
    Unable(String),
}

/// A code, and what is wrong in words.
pub type Trouble = (&'static str, String);

/// A fault under its code; what this machine lacks is no fault of the server.
fn trouble(code: &'static str, fault: &Fault) -> Trouble {
    match fault {
        Fault::Me(error) => (UNKNOWN, format!("{error:#}")),
        fault => (code, fault.to_string()),
    }
}

/// The keys in a reply, which may be none; nothing where it says neither.
fn keys(reply: &Reply, zone: &Name) -> Option<Option<RrSet>> {
    let said = reply.rcode() == ResponseCode::NoError;
    said.then(|| RrSet::of(&reply.message.answers, zone, RecordType::DNSKEY))
}

impl Site {
    /// The keys that it shows.
    pub fn key_set(&self) -> Option<&RrSet> {
        self.keys.as_ref()?.as_ref()
    }
}

/// What every address is asked.
pub struct Probe<'p> {
    pub walker: &'p Walker<'p>,
    pub zone: &'p Name,
    pub target: &'p Name,
    pub kinds: &'p [RecordType],
    pub over_tcp: RecordType,
}

/// The least time that an answer may take before the question is asked again.
const QUICK: Duration = Duration::from_millis(200);

/// A server that takes longer is asked several things at once.
const SLOW: Duration = Duration::from_millis(500);

impl Probe<'_> {
    /// Asks one address everything. The first answer says how it wants to be asked; then TCP goes beside UDP, so that
    /// neither waits for the other.
    pub fn site(&self, address: IpAddr, names: Vec<Name>) -> Site {
        let mut site = self.apex(address, names);
        if site.soa.is_err() {
            return site;
        }
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
            self.over_udp(&mut site);
            let tcp = tcp.join().unwrap_or_else(|_| {
                Err(Fault::Late(
                    "the thread that asked it ended early".to_owned(),
                ))
            });
            match tcp {
                Ok(reply) if self.over_tcp == RecordType::DNSKEY => {
                    site.keys = keys(&reply, self.zone);
                }
                Ok(_) => (),
                Err(fault) => site.tcp = Err(trouble("tcp", &fault)),
            }
        });
        // Signed without the parent's word, or TCP is what does not work.
        let soa = site.soa.as_ref();
        let signed = soa.is_ok_and(|it| !it.set.signatures.is_empty());
        if site.keys.is_none() && (signed || self.over_tcp == RecordType::DNSKEY) {
            let asked = self.ask(
                address,
                self.zone,
                RecordType::DNSKEY,
                Purpose::Walk,
                Transport::Udp,
            );
            site.keys = asked.ok().and_then(|it| keys(&it, self.zone));
        }
        site
    }

    fn ask(
        &self,
        address: IpAddr,
        name: &Name,
        kind: RecordType,
        purpose: Purpose,
        over: Transport,
    ) -> Result<Reply, Fault> {
        let tries = &self.walker.tries;
        self.walker.ask(address, name, kind, purpose, over, tries)
    }

    /// Whether it answers for the zone, and which version of it.
    fn apex(&self, address: IpAddr, names: Vec<Name>) -> Site {
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
        let asked = self.ask(
            address,
            self.zone,
            RecordType::SOA,
            Purpose::Apex,
            Transport::Udp,
        );
        let reply = match asked {
            Ok(reply) => reply,
            Err(fault) => {
                site.soa = Err(trouble("unreachable", &fault));
                return site;
            }
        };
        site.took = reply.took;
        site.edns = reply.edns;
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
        site
    }

    /// What a server that answers for the zone says of its servers and of the name.
    fn over_udp(&self, site: &mut Site) {
        let (address, took) = (site.address, site.took);
        let ask = move |name, kind| self.ask_again(address, name, kind, took);
        let failed = |fault: Fault| match fault {
            Fault::Me(error) => Answer::Unable(format!("{error:#}")),
            fault => Answer::Fault(fault.to_string()),
        };
        let questions = std::iter::once((self.zone, RecordType::NS))
            .chain(self.kinds.iter().map(|kind| (self.target, *kind)));
        let replies: Vec<(RecordType, Result<Reply, Fault>)> = match took > SLOW {
            // One after the other, a slow server would not come to an end in time.
            true => thread::scope(|scope| {
                let asked: Vec<_> = questions
                    .map(|(name, kind)| (kind, scope.spawn(move || ask(name, kind))))
                    .collect();
                let joined = asked.into_iter().filter_map(|(kind, it)| {
                    let reply = it.join().ok()?;
                    Some((kind, reply))
                });
                joined.collect()
            }),
            false => {
                let mut replies = Vec::new();
                for (name, kind) in questions {
                    let reply = ask(name, kind);
                    let is_silent = reply.is_err();
                    replies.push((kind, reply));
                    // One silence costs its retries, not those of every question after it.
                    if is_silent {
                        break;
                    }
                }
                replies
            }
        };
        for (index, (kind, reply)) in replies.into_iter().enumerate() {
            match reply {
                Ok(reply) if index == 0 => {
                    site.ns = Some(read::ns_names(&reply.message.answers, self.zone));
                }
                Ok(reply) => {
                    let answer = answer(&reply, self.target, kind);
                    site.answers.insert(kind, answer);
                }
                Err(fault) => {
                    site.answers.insert(kind, failed(fault));
                    return;
                }
            }
        }
    }

    /// Asks a server that has answered before: it is known how quick it is, and when questions are lost on the way
    /// that is counted, but the answer can still be had over TCP.
    fn ask_again(
        &self,
        address: IpAddr,
        name: &Name,
        kind: RecordType,
        took: Duration,
    ) -> Result<Reply, Fault> {
        let first = (took * 8).clamp(QUICK, TRIES[0]);
        let [_, second, third] = self.walker.tries;
        let tries = [first, second, third];
        let asked = self
            .walker
            .ask(address, name, kind, Purpose::Walk, Transport::Udp, &tries);
        match asked {
            Err(Fault::World {
                code: "no-answer", ..
            }) => self.ask(address, name, kind, Purpose::Walk, Transport::Tcp),
            other => other,
        }
    }
}

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
