//! DNS without a cache in between: questions, the walk from the root, and DNSSEC signatures.

pub mod data;
mod message;
pub mod name;
pub mod query;
pub mod read;
pub mod roots;
pub mod secure;
pub mod shared;
pub mod walk;

use crate::net::{Fault, left, literal};
use anyhow::anyhow;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, Name, RData, Record as Wire, RecordType};
use query::{Edns, Purpose, Question, Tally, patient};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use name::read as name;
pub use query::Transport;

/// What a resolver answered.
#[derive(Debug)]
pub struct Answer {
    pub rcode: ResponseCode,
    /// Those of the name, or of what it is an alias of.
    pub records: Vec<Record>,
    /// Other names whose records of the same type it sent, which nobody asked for.
    pub strays: BTreeSet<Name>,
    /// How long the answer took.
    pub took: Duration,
    /// `No` when it answers only without.
    pub edns: Edns,
}

/// A record of the answer section.
#[derive(Clone, Debug)]
pub struct Record {
    pub kind: RecordType,
    /// In presentation format, as [`data::shown`].
    pub value: String,
    /// Seconds for which it may be kept.
    pub ttl: u32,
}

/// Asks a server that recurses for us, until the deadline.
///
/// # Errors
/// When no answer comes, or only ones that are not to this question.
pub fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    transport: Transport,
    deadline: Instant,
) -> Result<Answer, Fault> {
    let question = Question {
        server,
        name,
        kind,
        purpose: Purpose::Resolve,
        edns: Edns::Yes,
    };
    let tries = patient(left(deadline));
    let reply = question.ask(transport, &tries, deadline, &Tally::default())?;
    let mut answers = reply.message.answers.clone();
    answers.retain(|it| it.dns_class == DNSClass::IN);
    let own = chain(name, kind, &answers);
    let (own, others): (Vec<Wire>, Vec<Wire>) =
        answers.into_iter().partition(|it| own.contains(&it.name));
    let records = own.iter().map(|it| Record {
        kind: it.record_type(),
        value: data::shown(&it.data),
        ttl: it.ttl,
    });
    let strays = others.iter().filter(|it| it.record_type() == kind);
    Ok(Answer {
        rcode: reply.rcode(),
        records: records.collect(),
        strays: strays.map(|it| it.name.to_lowercase()).collect(),
        took: reply.took,
        edns: reply.edns,
    })
}

/// A name and what it is an alias of, one after the other (RFC 1034, section 3.6.2).
fn chain(name: &Name, kind: RecordType, answers: &[Wire]) -> Vec<Name> {
    let mut chain = vec![name.clone()];
    while kind != RecordType::CNAME && chain.len() <= answers.len() {
        let alias = answers.iter().find_map(|it| match &it.data {
            RData::CNAME(to) if chain.last() == Some(&it.name) => Some(to.0.clone()),
            _ => None,
        });
        match alias {
            Some(next) => chain.push(next),
            None => break,
        }
    }
    chain
}

/// The servers of /etc/resolv.conf, or the local one where it names none (resolv.conf(5)).
///
/// # Errors
/// When the file is there but not readable.
pub fn system_servers() -> anyhow::Result<Vec<SocketAddr>> {
    let file = "/etc/resolv.conf";
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(anyhow!("cannot read {file}: {error}")),
    };
    let (config, _) = resolv_conf::Config::parse_with_errors(&bytes);
    let servers = config.get_nameservers_or_local();
    // A server in a zone that this machine does not have cannot be asked by anybody here.
    let found = servers.iter().map(|it| literal(&it.to_string()));
    let mut found: Vec<SocketAddr> = found.filter_map(|it| it.ok().flatten()).collect();
    found.iter_mut().for_each(|it| it.set_port(53));
    Ok(found)
}
