//! One DNS question to one server: own datagrams, so that nothing is cached in between.

use crate::net::dial::dial;
use crate::net::{Fault, fault, left};
use anyhow::anyhow;
use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transport {
    /// UDP, and TCP when the answer does not fit (RFC 7766).
    Udp,
    Tcp,
}

/// What a server answered.
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
}

/// How long the first, second and third try wait for an answer.
const TRIES: [Duration; 3] = [
    Duration::from_millis(800),
    Duration::from_millis(1200),
    Duration::from_millis(2000),
];

/// The most that an answer over UDP may have, which passes every network unfragmented (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

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
    let reply = match transport {
        Transport::Tcp => over_tcp(server, name, kind, deadline)?,
        Transport::Udp => match over_udp(server, name, kind, deadline)? {
            cut if cut.metadata.truncation => over_tcp(server, name, kind, deadline)?,
            whole => whole,
        },
    };
    let records = reply.answers.iter().map(|it| Record {
        kind: it.record_type(),
        value: presentation(&it.data),
    });
    Ok(Answer {
        rcode: reply.metadata.response_code,
        records: records.collect(),
    })
}

fn presentation(data: &RData) -> String {
    match data {
        RData::TXT(text) => {
            let strings = text.txt_data.iter().map(|it| String::from_utf8_lossy(it));
            strings.collect::<Vec<_>>().concat()
        }
        other => other.to_string(),
    }
}

/// A question with its own random number, in wire format.
fn question(name: &Name, kind: RecordType) -> Result<(u16, Vec<u8>), Fault> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    message.set_edns(edns);
    let bytes = message
        .to_vec()
        .map_err(|it| Fault::Me(anyhow!("cannot ask for {name}: {it}")))?;
    Ok((message.metadata.id, bytes))
}

/// The reply, if these bytes are one to this question (RFC 5452, section 9.1).
fn reply(bytes: &[u8], id: u16, name: &Name, kind: RecordType) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    let [asked] = &message.queries[..] else {
        return None;
    };
    let mut echoed = asked.name().to_lowercase();
    echoed.set_fqdn(true);
    let fits = message.metadata.id == id
        && message.metadata.message_type == MessageType::Response
        && echoed == *name
        && asked.query_type() == kind;
    fits.then_some(message)
}

fn over_udp(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    deadline: Instant,
) -> Result<Message, Fault> {
    let who = server.to_string();
    let mut strangers = 0;
    for wait in TRIES {
        let until = (Instant::now() + wait).min(deadline);
        let (id, bytes) = question(name, kind)?;
        // A new socket for each try has a new random port; connected, it hears ICMP and nobody else.
        let any: IpAddr = match server {
            SocketAddr::V4(_) => [0, 0, 0, 0].into(),
            SocketAddr::V6(_) => [0u16; 8].into(),
        };
        let told = |error: io::Error| fault(&error, &who, "asking it");
        let socket = UdpSocket::bind((any, 0)).map_err(told)?;
        socket.connect(server).map_err(told)?;
        socket.send(&bytes).map_err(told)?;
        let mut buffer = [0; 4096];
        while let Some(time) = Some(left(until)).filter(|it| !it.is_zero()) {
            socket.set_read_timeout(Some(time)).map_err(told)?;
            match socket.recv(&mut buffer) {
                Ok(count) => match reply(&buffer[..count], id, name, kind) {
                    Some(message) => return Ok(message),
                    None => strangers += 1,
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    break;
                }
                Err(error) => return Err(told(error)),
            }
        }
        if left(deadline).is_zero() {
            break;
        }
    }
    let also = match strangers {
        0 => String::new(),
        _ => format!(", but {strangers} datagrams that answer another question"),
    };
    match left(deadline).is_zero() {
        true => Err(Fault::Late(format!("{who}: no answer in time{also}"))),
        false => Err(Fault::world("no-answer", format!("{who}: no answer{also}"))),
    }
}

fn over_tcp(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    deadline: Instant,
) -> Result<Message, Fault> {
    let who = format!("{server} (TCP)");
    let told = |error: io::Error| fault(&error, &who, "waiting for its answer");
    let mut stream = dial(&[server], deadline)?.stream;
    let (id, bytes) = question(name, kind)?;
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let framed: Vec<u8> = length.to_be_bytes().into_iter().chain(bytes).collect();
    stream.write_all(&framed).map_err(told)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).map_err(told)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer).map_err(told)?;
    reply(&answer, id, name, kind)
        .ok_or_else(|| Fault::world("no-answer", format!("{who} answers another question")))
}

/// The servers of /etc/resolv.conf, or the local one where it names none (resolv.conf(5)).
///
/// # Errors
/// When the file is there but not readable.
pub fn system_servers() -> anyhow::Result<Vec<IpAddr>> {
    let file = "/etc/resolv.conf";
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(anyhow!("cannot read {file}: {error}")),
    };
    let (config, _) = resolv_conf::Config::parse_with_errors(&bytes);
    let servers = config.get_nameservers_or_local();
    Ok(servers.into_iter().map(IpAddr::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replies_to_the_question_count() {
        let name = name("www.Example.jp").expect("a name");
        let (id, bytes) = question(&name, RecordType::A).expect("a question");
        let mut message = Message::from_vec(&bytes).expect("our own");
        assert!(
            reply(&bytes, id, &name, RecordType::A).is_none(),
            "a question is no reply"
        );
        message.metadata.message_type = MessageType::Response;
        let bytes = message.to_vec().expect("a message");
        assert!(reply(&bytes, id, &name, RecordType::A).is_some());
        assert!(reply(&bytes, id.wrapping_add(1), &name, RecordType::A).is_none());
        assert!(reply(&bytes, id, &name, RecordType::AAAA).is_none());
        let other = super::name("www.example.com").expect("a name");
        assert!(reply(&bytes, id, &other, RecordType::A).is_none());
        assert!(reply(&bytes[..11], id, &name, RecordType::A).is_none());
    }
}
