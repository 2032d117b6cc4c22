//! One question to one server: own datagrams with retries, without EDNS where it chokes on that, TCP where the answer
//! does not fit.

use super::message::{self, Heard};
use crate::net::dial::dial;
use crate::net::{Fault, fault, left};
use anyhow::anyhow;
use hickory_proto::op::{Edns as Opt, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RecordType};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
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
}

/// Whether a question has EDNS (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edns {
    Yes,
    /// For servers that only answer without.
    No,
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
    /// `No` when it answers only without.
    pub edns: Edns,
}

impl Reply {
    pub fn rcode(&self) -> ResponseCode {
        self.message.metadata.response_code
    }

    /// Whether it is what a server says that does not understand EDNS (RFC 6891, section 7; BADVERS is section 9).
    fn chokes(&self) -> bool {
        const BADVERS: u16 = 16;
        matches!(self.rcode(), ResponseCode::FormErr | ResponseCode::NotImp)
            || u16::from(self.rcode()) == BADVERS
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

/// How long the first, second and third try wait for an answer before the next is made.
pub const TRIES: [Duration; 3] = [
    Duration::from_millis(800),
    Duration::from_millis(1200),
    Duration::from_millis(2000),
];

/// The tries for a server that is what is looked at: as [`TRIES`], and the last one longer where there is more time
/// than usual, because a list that gives it means it for slow servers.
pub fn unhurried(time: Duration) -> [Duration; 3] {
    [TRIES[0], TRIES[1], TRIES[2].max(time / 5)]
}

/// The tries for somebody who has no other server to ask: as [`TRIES`], quicker where the time is short, and then
/// every four seconds until it is over.
pub fn patient(time: Duration) -> Vec<Duration> {
    const USUAL: Duration = Duration::from_secs(8);
    const LATER: Duration = Duration::from_secs(4);
    let quicker = (time.as_secs_f64() / USUAL.as_secs_f64()).min(1.0);
    let mut tries: Vec<Duration> = TRIES.iter().map(|it| it.mul_f64(quicker)).collect();
    let mut rest = time.saturating_sub(tries.iter().sum());
    while !rest.is_zero() {
        let wait = rest.min(LATER);
        tries.push(wait);
        rest -= wait;
    }
    tries
}

/// The most that an answer over UDP may have, which passes every network unfragmented (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

/// How often a server is asked once more with EDNS, when it has answered without and was silent before, so that what
/// was lost on the way is not taken for its habit.
const DOUBTS: usize = 3;

/// A question to one server.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    pub server: SocketAddr,
    pub name: &'q Name,
    pub kind: RecordType,
    pub purpose: Purpose,
    /// `No` when it is known that the server answers only without.
    pub edns: Edns,
}

/// A datagram that may still be answered.
struct Sent {
    socket: UdpSocket,
    id: u16,
    edns: Edns,
    at: Instant,
}

/// The datagrams that may still be answered.
#[derive(Default)]
struct Open {
    sent: Vec<Sent>,
    /// Why one of them could not be sent, which matters only when none of the others is answered.
    unable: Option<Fault>,
}

impl Open {
    fn push(&mut self, sent: Result<Sent, Fault>) {
        match sent {
            Ok(sent) => self.sent.push(sent),
            Err(fault) => self.unable = Some(fault),
        }
    }
}

impl Question<'_> {
    /// Asks; `tries` say how long each is waited for before the next is made, and late answers to earlier ones count.
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
        let patience = match self.purpose {
            Purpose::Resolve => deadline,
            // Who does not answer over TCP in this time does not answer.
            Purpose::Walk | Purpose::Apex => {
                let usual: Duration = TRIES.iter().sum();
                deadline.min(Instant::now() + usual.max(tries.iter().sum()))
            }
        };
        if transport == Transport::Tcp {
            return self.over_tcp(patience, tally);
        }
        let reply = self.over_udp(tries, deadline, tally)?;
        if !reply.message.metadata.truncation {
            return Ok(reply);
        }
        let again = Question {
            edns: reply.edns,
            ..*self
        };
        let mut whole = again.over_tcp(patience, tally);
        if let Err(Fault::World { text, .. } | Fault::Late(text)) = &mut whole {
            text.push_str(", and its answer does not fit into a datagram");
        }
        let whole = whole?;
        Ok(Reply {
            took: reply.took + whole.took,
            ..whole
        })
    }

    /// The question with its own random number, in wire format.
    fn message(&self) -> Result<(u16, Vec<u8>), Fault> {
        let mut message = Message::query();
        message.metadata.recursion_desired = self.purpose == Purpose::Resolve;
        message.add_query(Query::query(self.name.clone(), self.kind));
        let mut edns = Opt::new();
        edns.set_max_payload(PAYLOAD);
        edns.set_dnssec_ok(self.purpose != Purpose::Resolve);
        if self.purpose == Purpose::Apex {
            for option in [NSID, EXPIRE] {
                let empty = EdnsOption::Unknown(option, Vec::new());
                edns.options_mut().insert(empty);
            }
        }
        if self.edns == Edns::Yes {
            message.set_edns(edns);
        }
        let name = self.name;
        let bytes = message
            .to_vec()
            .map_err(|it| Fault::Me(anyhow!("cannot ask for {name}: {it}")))?;
        Ok((message.metadata.id, bytes))
    }

    /// What these bytes are as a reply to this question (RFC 5452, section 9.1); nothing when they are none.
    pub fn reply(&self, bytes: &[u8], id: u16) -> Option<Result<Message, String>> {
        let message = match message::read(bytes)? {
            Heard::Broken { id: of, why } => return (of == id).then_some(Err(why)),
            Heard::Reply(message) => *message,
        };
        let is_asked = match &message.queries[..] {
            [asked] => {
                let mut echoed = asked.name().to_lowercase();
                echoed.set_fqdn(true);
                echoed == *self.name && asked.query_type() == self.kind
            }
            // A header alone may say that the question was not understood, or that the answer does not fit.
            [] => {
                message.metadata.truncation
                    || message.metadata.response_code != ResponseCode::NoError
            }
            _ => false,
        };
        (message.metadata.id == id && is_asked).then_some(Ok(message))
    }

    /// Sends it as a datagram. A new socket for each has a new random port; connected, it hears ICMP and nobody else.
    fn send(&self, tally: &Tally) -> Result<Sent, Fault> {
        let who = self.server.to_string();
        let told = |error: io::Error| fault(&error, &who, "asking it");
        let (id, bytes) = self.message()?;
        let any: IpAddr = match self.server {
            SocketAddr::V4(_) => [0, 0, 0, 0].into(),
            SocketAddr::V6(_) => [0u16; 8].into(),
        };
        let socket = UdpSocket::bind((any, 0)).map_err(told)?;
        socket.connect(self.server).map_err(told)?;
        socket.set_nonblocking(true).map_err(told)?;
        let at = Instant::now();
        socket.send(&bytes).map_err(told)?;
        tally.sent.fetch_add(1, Relaxed);
        Ok(Sent {
            socket,
            id,
            edns: self.edns,
            at,
        })
    }

    fn over_udp(
        &self,
        tries: &[Duration],
        deadline: Instant,
        tally: &Tally,
    ) -> Result<Reply, Fault> {
        let who = self.server.to_string();
        let plain = Question {
            edns: Edns::No,
            ..*self
        };
        let mut question = *self;
        let mut open = Open::default();
        let (mut strangers, mut malformed) = (0, None);
        // What it says to a question with EDNS that it does not understand, and to one without.
        let (mut choked, mut bare): (Option<Reply>, Option<Reply>) = (None, None);
        let mut doubts = 0;
        let mut waits = tries.iter();
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            let is_late = now >= deadline;
            if now >= next || is_late {
                match &bare {
                    // Asked in both ways, it is silent in one.
                    Some(reply) if doubts < DOUBTS && !is_late => {
                        doubts += 1;
                        next = now + (reply.took * 8).clamp(DOUBT, TRIES[0]);
                        open.push(question.send(tally));
                    }
                    Some(_) => break,
                    None => match waits.next().filter(|_| !is_late) {
                        Some(wait) => {
                            next = now + *wait;
                            let is_first = open.sent.is_empty();
                            let refused = choked.is_some() || malformed.is_some();
                            if !refused {
                                open.push(question.send(tally));
                            }
                            if self.edns == Edns::Yes && (refused || !is_first) {
                                open.push(plain.send(tally));
                            }
                        }
                        None => break,
                    },
                }
            }
            if open.sent.is_empty()
                && let Some(fault) = open.unable.take()
            {
                return Err(fault);
            }
            let Some((index, bytes)) = hear(&open.sent, next.min(deadline), &who)? else {
                continue;
            };
            let Sent { id, edns, at, .. } = open.sent[index];
            let message = match self.reply(&bytes, id) {
                None => {
                    strangers += 1;
                    continue;
                }
                Some(Err(why)) => {
                    // What is too large for the way may be cut by it; without EDNS answers are small.
                    if edns == Edns::Yes && malformed.is_none() && bare.is_none() {
                        open.push(plain.send(tally));
                    }
                    malformed = Some(why);
                    continue;
                }
                Some(Ok(message)) => message,
            };
            let took = at.elapsed();
            let soon = Instant::now() + (took * 8).clamp(DOUBT, TRIES[0]);
            let reply = Reply {
                message,
                took,
                edns,
            };
            let refused = choked.is_some() || malformed.is_some();
            match edns {
                // What was asked for with an option may be understood without (RFC 6891, section 7).
                Edns::Yes
                    if reply.chokes()
                        && reply.rcode() == ResponseCode::FormErr
                        && reply.message.edns.is_some()
                        && question.purpose == Purpose::Apex =>
                {
                    question.purpose = Purpose::Walk;
                    next = next.max(soon);
                    open.push(question.send(tally));
                }
                Edns::Yes if reply.chokes() => {
                    if choked.is_none() && bare.is_none() {
                        next = next.max(soon);
                        open.push(plain.send(tally));
                    }
                    choked = Some(reply);
                    if bare.is_some() {
                        break;
                    }
                }
                Edns::Yes => {
                    lose(&open.sent, index, tally);
                    return Ok(reply);
                }
                Edns::No if self.edns == Edns::No || refused => {
                    lose(&open.sent, index, tally);
                    // What it says to everything has nothing to do with EDNS.
                    return Ok(choked.filter(|_| reply.chokes()).unwrap_or(reply));
                }
                Edns::No if bare.is_none() => {
                    next = soon;
                    bare = Some(reply);
                }
                Edns::No => (),
            }
        }
        if let Some(reply) = bare {
            return Ok(choked.filter(|_| reply.chokes()).unwrap_or(reply));
        }
        if let Some(reply) = choked {
            return Ok(reply);
        }
        tally.lost.fetch_add(open.sent.len(), Relaxed);
        if let Some(fault) = open.unable {
            return Err(fault);
        }
        if let Some(why) = malformed {
            return Err(Fault::world("malformed", format!("{who}: {why}")));
        }
        let also = match strangers {
            0 => String::new(),
            1 => ", but a datagram that is no answer to this question".to_owned(),
            _ => format!(", but {strangers} datagrams that are no answer to this question"),
        };
        match left(deadline).is_zero() {
            true => Err(Fault::Late(format!("{who}: no answer in time{also}"))),
            false => Err(Fault::world("no-answer", format!("{who}: no answer{also}"))),
        }
    }

    /// Asks over TCP, and once more without EDNS where that is not understood.
    fn over_tcp(&self, until: Instant, tally: &Tally) -> Result<Reply, Fault> {
        let first = self.over_one_connection(until, tally);
        let chokes = match &first {
            Ok(reply) => reply.chokes(),
            Err(Fault::World { code, .. }) => matches!(*code, "closed" | "reset" | "malformed"),
            Err(_) => false,
        };
        if self.edns == Edns::No || !chokes {
            return first;
        }
        let plain = Question {
            edns: Edns::No,
            ..*self
        };
        match plain.over_one_connection(until, tally) {
            Ok(bare) if !bare.chokes() => Ok(bare),
            _ => first,
        }
    }

    fn over_one_connection(&self, until: Instant, tally: &Tally) -> Result<Reply, Fault> {
        let who = format!("{} (TCP)", self.server);
        let told = |error: io::Error| fault(&error, &who, "waiting for its answer");
        let start = Instant::now();
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
        let took = start.elapsed();
        match self.reply(&answer, id) {
            Some(Ok(message)) => Ok(Reply {
                message,
                took,
                edns: self.edns,
            }),
            Some(Err(why)) => Err(Fault::world("malformed", format!("{who}: {why}"))),
            None => {
                let text = format!("{who} answers another question");
                Err(Fault::world("no-answer", text))
            }
        }
    }
}

/// The least time that an answer may take before it is missed.
const DOUBT: Duration = Duration::from_millis(200);

/// Counts those questions as lost that were asked in the same way before the one that was answered.
fn lose(sent: &[Sent], answered: usize, tally: &Tally) {
    let one = &sent[answered];
    let before = sent
        .iter()
        .filter(|it| it.edns == one.edns && it.at < one.at);
    tally.lost.fetch_add(before.count(), Relaxed);
}

/// The next datagram that comes to one of the sockets, and to which; nothing when the time is over.
fn hear(sent: &[Sent], until: Instant, who: &str) -> Result<Option<(usize, Vec<u8>)>, Fault> {
    let told = |error: io::Error| fault(&error, who, "asking it");
    let mut buffer = [0; 4096];
    loop {
        for (index, one) in sent.iter().enumerate() {
            match one.socket.recv(&mut buffer) {
                Ok(count) => return Ok(Some((index, buffer[..count].to_vec()))),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(told(error)),
            }
        }
        let time = left(until);
        if time.is_zero() {
            return Ok(None);
        }
        let mut polled: Vec<PollFd> = sent
            .iter()
            .map(|it| PollFd::new(&it.socket, PollFlags::IN))
            .collect();
        let wait = Timespec::try_from(time).ok();
        match poll(&mut polled, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(told(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::MessageType;

    #[test]
    fn only_replies_to_the_question_count() {
        let name = crate::net::dns::name("www.Example.jp").expect("a name");
        let other = crate::net::dns::name("www.example.com").expect("a name");
        let question = Question {
            server: SocketAddr::from(([127, 0, 0, 1], 53)),
            name: &name,
            kind: RecordType::A,
            purpose: Purpose::Apex,
            edns: Edns::Yes,
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

    fn asked(name: &Name) -> Question<'_> {
        Question {
            server: SocketAddr::from(([127, 0, 0, 1], 53)),
            name,
            kind: RecordType::A,
            purpose: Purpose::Resolve,
            edns: Edns::No,
        }
    }

    /// A reply to a question for an A record, with this second byte of flags, counts and records.
    fn replied(
        question: &Question,
        flags: [u8; 2],
        counts: [u8; 3],
        records: &[u8],
    ) -> (u16, Vec<u8>) {
        let (id, mut bytes) = question.message().expect("a question");
        bytes[2..4].copy_from_slice(&flags);
        for (at, count) in [7, 9, 11].into_iter().zip(counts) {
            bytes[at] = count;
        }
        bytes.extend_from_slice(records);
        (id, bytes)
    }

    const ADDRESS: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];

    #[test]
    fn a_malformed_record_that_nobody_asked_for_hides_nothing() {
        let name = crate::net::dns::name("a.example").expect("a name");
        let question = asked(&name);
        // An A record of three bytes, and one that ends nowhere.
        let bad = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 3, 192, 0, 2];
        let endless = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 200, 192, 0, 2];
        for more in [&bad, &endless] {
            let (id, bytes) = replied(
                &question,
                [0x84, 0],
                [1, 0, 1],
                &[&ADDRESS, &more[..]].concat(),
            );
            let reply = question.reply(&bytes, id);
            assert!(reply.is_some_and(|it| it.is_ok_and(|it| it.answers.len() == 1)));
        }
        let (id, bytes) = replied(
            &question,
            [0x84, 0],
            [2, 0, 0],
            &[&ADDRESS, &bad[..]].concat(),
        );
        let why = question.reply(&bytes, id).and_then(Result::err);
        assert_eq!(why.as_deref(), Some("its answer has a malformed A record"));
        let (id, bytes) = replied(&question, [0x84, 0], [2, 0, 0], &ADDRESS);
        let why = question.reply(&bytes, id).and_then(Result::err);
        assert_eq!(why.as_deref(), Some("its answer breaks off"));
    }

    #[test]
    fn what_says_that_it_was_cut_may_end_anywhere() {
        let name = crate::net::dns::name("a.example").expect("a name");
        let question = asked(&name);
        let (id, bytes) = replied(
            &question,
            [0x86, 0],
            [2, 0, 1],
            &[&ADDRESS[..], &ADDRESS[..9]].concat(),
        );
        for end in 12..=bytes.len() {
            let reply = question.reply(&bytes[..end], id);
            let reply = reply.and_then(Result::ok).expect("a reply");
            assert!(reply.metadata.truncation, "{end}");
        }
    }

    #[test]
    fn a_header_alone_may_say_that_it_failed_and_no_more() {
        let name = crate::net::dns::name("a.example").expect("a name");
        let question = asked(&name);
        for (rcode, counts) in [(1, true), (1, false)] {
            let (id, mut bytes) = replied(&question, [0x80, rcode], [0, 0, 0], &[]);
            bytes.truncate(12);
            bytes[5] = u8::from(counts);
            let reply = question.reply(&bytes, id).and_then(Result::ok);
            assert!(reply.is_some_and(|it| it.response_code == ResponseCode::FormErr));
            bytes[3] = 0;
            assert!(question.reply(&bytes, id).is_none());
        }
    }

    #[test]
    fn tries_follow_the_time_that_there_is() {
        let millis = |time: u64| -> Vec<u128> {
            let tries = patient(Duration::from_millis(time));
            tries.iter().map(Duration::as_millis).collect()
        };
        assert_eq!(millis(8000), [800, 1200, 2000, 4000]);
        assert_eq!(millis(1000), [100, 150, 250, 500]);
        assert_eq!(millis(15000), [800, 1200, 2000, 4000, 4000, 3000]);
        assert_eq!(unhurried(Duration::from_secs(8)), TRIES);
        let sum: Duration = unhurried(Duration::from_secs(20)).iter().sum();
        assert_eq!(sum, Duration::from_secs(6));
    }
}
