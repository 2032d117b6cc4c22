//! One question to one server: own datagrams with retries, TCP where the answer does not fit.

use crate::net::dial::dial;
use crate::net::{Fault, fault, left};
use anyhow::anyhow;
use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RecordType};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transport {
    /// UDP, and TCP when the answer does not fit (RFC 7766).
    Udp,
    Tcp,
}

/// What a question is for, which decides its flags and options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Purpose {
    /// A resolver is to find the answer: recursion desired.
    Resolve,
    /// A server is to say what itself knows, with signatures.
    Walk,
    /// The same, and how long its copy of the zone is good (EXPIRE, RFC 7314), and who it is (NSID, RFC 5001).
    Apex,
    /// Without EDNS, for servers that choke on it.
    Plain,
}

/// How many questions were sent, and how many of them were lost.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: AtomicUsize,
    pub lost: AtomicUsize,
}

/// What a server said, and how.
#[derive(Debug)]
pub struct Reply {
    pub message: Message,
    /// How long the try took that was answered.
    pub took: Duration,
}

impl Reply {
    pub fn rcode(&self) -> ResponseCode {
        self.message.metadata.response_code
    }

    /// An EDNS option of this code, as its bytes.
    pub fn option(&self, code: u16) -> Option<Vec<u8>> {
        let edns = self.message.edns.as_ref()?;
        edns.options().options.iter().find_map(|(_, it)| match it {
            EdnsOption::Unknown(number, bytes) if *number == code => Some(bytes.clone()),
            EdnsOption::NSID(payload) if code == NSID => Some(payload.as_ref().to_vec()),
            _ => None,
        })
    }
}

/// EDNS options by number.
pub const NSID: u16 = 3;
pub const EXPIRE: u16 = 9;
/// Extended DNS errors (RFC 8914).
pub const EDE: u16 = 15;

/// How long the first, second and third try wait for an answer.
pub const TRIES: [Duration; 3] = [
    Duration::from_millis(800),
    Duration::from_millis(1200),
    Duration::from_millis(2000),
];

/// The most that an answer over UDP may have, which passes every network unfragmented (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

/// A question to one server.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    pub server: SocketAddr,
    pub name: &'q Name,
    pub kind: RecordType,
    pub purpose: Purpose,
}

impl Question<'_> {
    /// Asks, at most once for each of `tries`.
    ///
    /// # Errors
    /// When no answer comes, or only ones that are not to this question.
    pub fn ask(
        &self,
        transport: Transport,
        tries: &[Duration],
        deadline: Instant,
        tally: &Tally,
    ) -> Result<Reply, Fault> {
        match transport {
            Transport::Tcp => self.over_tcp(deadline, tally),
            Transport::Udp => match self.over_udp(tries, deadline, tally)? {
                cut if cut.message.metadata.truncation => self.over_tcp(deadline, tally),
                whole => Ok(whole),
            },
        }
    }

    /// The question with its own random number, in wire format.
    fn message(&self) -> Result<(u16, Vec<u8>), Fault> {
        let mut message = Message::query();
        message.metadata.recursion_desired = self.purpose == Purpose::Resolve;
        message.add_query(Query::query(self.name.clone(), self.kind));
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        edns.set_dnssec_ok(matches!(self.purpose, Purpose::Walk | Purpose::Apex));
        if self.purpose == Purpose::Apex {
            for option in [NSID, EXPIRE] {
                let empty = EdnsOption::Unknown(option, Vec::new());
                edns.options_mut().insert(empty);
            }
        }
        if self.purpose != Purpose::Plain {
            message.set_edns(edns);
        }
        let name = self.name;
        let bytes = message
            .to_vec()
            .map_err(|it| Fault::Me(anyhow!("cannot ask for {name}: {it}")))?;
        Ok((message.metadata.id, bytes))
    }

    /// The reply, if these bytes are one to this question (RFC 5452, section 9.1).
    pub fn reply(&self, bytes: &[u8], id: u16) -> Option<Message> {
        let message = Message::from_vec(bytes).ok()?;
        let [asked] = &message.queries[..] else {
            return None;
        };
        let mut echoed = asked.name().to_lowercase();
        echoed.set_fqdn(true);
        let fits = message.metadata.id == id
            && message.metadata.message_type == MessageType::Response
            && echoed == *self.name
            && asked.query_type() == self.kind;
        fits.then_some(message)
    }

    fn over_udp(
        &self,
        tries: &[Duration],
        deadline: Instant,
        tally: &Tally,
    ) -> Result<Reply, Fault> {
        let who = self.server.to_string();
        let mut strangers = 0;
        for wait in tries {
            let start = Instant::now();
            let until = (start + *wait).min(deadline);
            let (id, bytes) = self.message()?;
            // A new socket for each try has a new random port; connected, it hears ICMP and nobody else.
            let any: IpAddr = match self.server {
                SocketAddr::V4(_) => [0, 0, 0, 0].into(),
                SocketAddr::V6(_) => [0u16; 8].into(),
            };
            let told = |error: io::Error| fault(&error, &who, "asking it");
            let socket = UdpSocket::bind((any, 0)).map_err(told)?;
            socket.connect(self.server).map_err(told)?;
            socket.send(&bytes).map_err(told)?;
            tally.sent.fetch_add(1, Relaxed);
            let mut buffer = [0; 4096];
            while let Some(time) = Some(left(until)).filter(|it| !it.is_zero()) {
                socket.set_read_timeout(Some(time)).map_err(told)?;
                match socket.recv(&mut buffer) {
                    Ok(count) => match self.reply(&buffer[..count], id) {
                        Some(message) => {
                            let took = start.elapsed();
                            return Ok(Reply { message, took });
                        }
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
            tally.lost.fetch_add(1, Relaxed);
            if left(deadline).is_zero() {
                break;
            }
        }
        let also = match strangers {
            0 => String::new(),
            _ => format!(", but {strangers} datagrams that are no answer to this question"),
        };
        match left(deadline).is_zero() {
            true => Err(Fault::Late(format!("{who}: no answer in time{also}"))),
            false => Err(Fault::world("no-answer", format!("{who}: no answer{also}"))),
        }
    }

    fn over_tcp(&self, deadline: Instant, tally: &Tally) -> Result<Reply, Fault> {
        let who = format!("{} (TCP)", self.server);
        let told = |error: io::Error| fault(&error, &who, "waiting for its answer");
        let start = Instant::now();
        // Who does not answer over TCP in this time does not answer.
        let until = deadline.min(start + TRIES.iter().sum::<Duration>());
        let mut stream = dial(&[self.server], until)?.stream;
        let (id, bytes) = self.message()?;
        tally.sent.fetch_add(1, Relaxed);
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        let framed: Vec<u8> = length.to_be_bytes().into_iter().chain(bytes).collect();
        stream.write_all(&framed).map_err(told)?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).map_err(told)?;
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer).map_err(told)?;
        let message = self.reply(&answer, id);
        let took = start.elapsed();
        message
            .map(|message| Reply { message, took })
            .ok_or_else(|| Fault::world("no-answer", format!("{who} answers another question")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replies_to_the_question_count() {
        let name = crate::net::dns::name("www.Example.jp").expect("a name");
        let other = crate::net::dns::name("www.example.com").expect("a name");
        let question = Question {
            server: SocketAddr::from(([127, 0, 0, 1], 53)),
            name: &name,
            kind: RecordType::A,
            purpose: Purpose::Apex,
        };
        let (id, bytes) = question.message().expect("a question");
        let mut message = Message::from_vec(&bytes).expect("our own");
        assert!(
            question.reply(&bytes, id).is_none(),
            "a question is no reply"
        );
        message.metadata.message_type = MessageType::Response;
        let bytes = message.to_vec().expect("a message");
        assert!(question.reply(&bytes, id).is_some());
        assert!(question.reply(&bytes, id.wrapping_add(1)).is_none());
        let of = |name, kind| Question {
            name,
            kind,
            ..question
        };
        assert!(of(&name, RecordType::AAAA).reply(&bytes, id).is_none());
        assert!(of(&other, RecordType::A).reply(&bytes, id).is_none());
        assert!(question.reply(&bytes[..11], id).is_none());
    }
}
