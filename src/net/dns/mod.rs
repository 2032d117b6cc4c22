//! DNS without a cache in between: questions, the walk from the root, and DNSSEC signatures.

pub mod query;
pub mod read;
pub mod roots;
pub mod secure;
pub mod shared;
pub mod walk;

use crate::net::{Fault, literal};
use anyhow::anyhow;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};
use query::{Purpose, Question, TRIES, Tally};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

pub use query::Transport;

/// What a resolver answered.
#[derive(Debug)]
pub struct Answer {
    pub rcode: ResponseCode,
    pub records: Vec<Record>,
}

/// A record of the answer section.
#[derive(Clone, Debug)]
pub struct Record {
    pub kind: RecordType,
    /// In presentation format, TXT strings joined.
    pub value: String,
    /// Seconds for which it may be kept.
    pub ttl: u32,
}

/// A name as DNS knows it, whole, in lower case.
///
/// # Errors
/// When it is no domain name.
pub fn name(text: &str) -> Result<Name, String> {
    let mut name = Name::from_utf8(text)
        .map_err(|_| format!("\"{text}\" is not a domain name"))?
        .to_lowercase();
    name.set_fqdn(true);
    Ok(name)
}

/// Asks a server that recurses for us.
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
    };
    let reply = question.ask(transport, &TRIES, deadline, &Tally::default())?;
    let records = reply.message.answers.iter().map(|it| Record {
        kind: it.record_type(),
        value: presentation(&it.data),
        ttl: it.ttl,
    });
    Ok(Answer {
        rcode: reply.rcode(),
        records: records.collect(),
    })
}

/// A record's data as in a zone file, TXT strings joined.
pub fn presentation(data: &RData) -> String {
    match data {
        RData::TXT(text) => {
            let strings = text.txt_data.iter().map(|it| String::from_utf8_lossy(it));
            strings.collect::<Vec<_>>().concat()
        }
        other => other.to_string(),
    }
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
