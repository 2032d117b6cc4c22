//! `dns`: servers that lie, loop, drip and never end; each costs a bounded time, and none gives a false OK.

use crate::koshu::{Said, koshu};
use crate::server;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), 60, data)
}

fn ns(owner: &str, server: &str) -> Record {
    record(owner, RData::NS(NS(name(server))))
}

fn a(owner: &str, last: u8) -> Record {
    record(owner, RData::A(A(Ipv4Addr::new(127, 0, 0, last))))
}

fn soa(owner: &str) -> Record {
    record(
        owner,
        RData::SOA(SOA::new(name("ns"), name("x"), 1, 3600, 900, 1_209_600, 60)),
    )
}

/// The reply to a question, still without records.
fn reply(question: &Message) -> Message {
    let mut reply = question.clone();
    reply.metadata.message_type = MessageType::Response;
    reply.edns = None;
    reply
}

/// Answers datagrams at an address with what `answer` makes of each question.
fn udp(last: u8, port: u16, answer: impl Fn(&Message) -> Vec<Vec<u8>> + Send + 'static) {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, last), port)).expect("a port");
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            let question = Message::from_vec(&buffer[..count]).expect("koshu asks in DNS");
            for bytes in answer(&question) {
                let _ = socket.send_to(&bytes, from);
            }
        }
    });
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a message")
}

/// A root at 127.0.0.41 that delegates bad. to 127.0.0.42, of which `hostile` is the answer.
struct World {
    port: u16,
    hints: crate::koshu::Lists,
}

fn world(hostile: impl Fn(&Message) -> Vec<Vec<u8>> + Send + 'static) -> World {
    let world = delegating();
    udp(42, world.port, hostile);
    world
}

/// A root that delegates bad. to 127.0.0.42.
fn delegating() -> World {
    root(|question| {
        let mut said = reply(question);
        said.authorities.push(ns("bad.", "ns.bad."));
        said.additionals.push(a("ns.bad.", 42));
        said
    })
}

fn root(answer: impl Fn(&Message) -> Message + Send + 'static) -> World {
    // A port that is free at both addresses.
    let port = server::free_port();
    udp(41, port, move |question| vec![bytes(&answer(question))]);
    let hints = crate::koshu::Lists::new("");
    hints.add("hints", b". NS r.\nr. A 127.0.0.41\n");
    World { port, hints }
}

impl World {
    #[track_caller]
    fn ask(&self, host: &str) -> Said {
        let hints = format!("root_hints={}", self.hints.path().join("hints").display());
        let port = format!("port={}", self.port);
        let record = if host.starts_with("zone=") {
            "parents=2"
        } else {
            "record=A"
        };
        let said = koshu(&["dns", host, &hints, &port, record, "timeout=6s"]);
        assert!(said.took < Duration::from_millis(7000), "{:?}", said.took);
        assert_ne!(said.code, 0, "a false OK: {}", said.out);
        said
    }
}

fn honest(question: &Message) -> Message {
    honest_of("bad.", question)
}

fn honest_of(zone: &str, question: &Message) -> Message {
    let server = format!("ns.{zone}");
    let asked = question.queries[0].name().to_ascii();
    let last = if asked == server { 42 } else { 9 };
    let mut said = reply(question);
    said.metadata.authoritative = true;
    match question.queries[0].query_type() {
        RecordType::SOA => said.answers.push(soa(zone)),
        RecordType::NS => said.answers.push(ns(zone, &server)),
        RecordType::A => said.answers.push(a(&asked, last)),
        _ => said.authorities.push(soa(zone)),
    }
    said
}

#[test]
fn the_honest_server_of_these_tests_is_fine_but_alone() {
    let world = world(|question| vec![bytes(&honest(question))]);
    let said = world.ask("www.bad");
    let line = said.is("WARNING");
    assert!(
        line.contains("single server") && line.contains("TCP"),
        "{line}"
    );
}

#[test]
fn answers_to_other_questions_are_no_answers() {
    let wrong_id = world(|question| {
        let mut said = bytes(&honest(question));
        said[0] ^= 1;
        vec![said]
    });
    wrong_id.ask("www.bad").is("CRITICAL");
    let wrong_name = world(|question| {
        let mut other = question.clone();
        other.queries[0].set_name(name("www.good."));
        vec![bytes(&honest(&other))]
    });
    wrong_name.ask("www.bad").is("CRITICAL");
}

#[test]
fn answers_from_other_addresses_are_no_answers() {
    let world = delegating();
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 42), world.port)).expect("a port");
    let stranger = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 43), world.port)).expect("a port");
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            let question = Message::from_vec(&buffer[..count]).expect("koshu asks in DNS");
            let _ = stranger.send_to(&bytes(&honest(&question)), from);
        }
    });
    world.ask("www.bad").is("CRITICAL");
}

#[test]
fn broken_messages_are_no_answers() {
    // The owner's name points to itself.
    world(|question| {
        let mut said = bytes(&reply(question));
        said[7] = 1;
        said.extend([
            0xc0,
            said.len() as u8,
            0,
            1,
            0,
            1,
            0,
            0,
            0,
            60,
            0,
            4,
            1,
            2,
            3,
            4,
        ]);
        vec![said]
    })
    .ask("www.bad")
    .is("CRITICAL");
    // The record ends before its data.
    world(|question| {
        let said = bytes(&honest(question));
        vec![said[..said.len() - 3].to_vec()]
    })
    .ask("www.bad")
    .is("CRITICAL");
    // Rubbish, many of it.
    world(|_| vec![vec![0xff; 1400]; 50])
        .ask("www.bad")
        .is("CRITICAL");
    world(|_| vec![vec![], vec![0]])
        .ask("www.bad")
        .is("CRITICAL");
}

/// Serves TCP at 127.0.0.42.
fn tcp(port: u16, answer: impl Fn(TcpStream) + Send + Sync + Clone + 'static) {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 42), port)).expect("a port");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || answer(stream));
        }
    });
}

fn cut(question: &Message) -> Vec<Vec<u8>> {
    let mut said = reply(question);
    said.metadata.truncation = true;
    vec![bytes(&said)]
}

#[test]
fn streams_that_never_end_end() {
    let drip = world(cut);
    tcp(drip.port, |mut stream| {
        let _ = stream.write_all(&[0xff, 0xff]);
        while stream.write_all(&[0]).is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    drip.ask("www.bad").is("CRITICAL");
    let huge = world(cut);
    tcp(huge.port, |mut stream| {
        let mut question = [0; 512];
        let _ = stream.read(&mut question);
        let mut said = vec![0xff, 0xff];
        said.extend(&question[2..4]);
        said.extend([0x84, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        said.resize(2 + 65535, 0xc0);
        let _ = stream.write_all(&said);
    });
    huge.ask("www.bad").is("CRITICAL");
}

#[test]
fn aliases_without_end_end() {
    let world = world(|question| {
        let query = &question.queries[0];
        if query.query_type() != RecordType::A {
            return vec![bytes(&honest(question))];
        }
        let mut said = reply(question);
        said.metadata.authoritative = true;
        let owner = query.name().to_ascii();
        let first = owner.split('.').next().unwrap_or_default();
        let to = format!("{first}x.bad.");
        said.answers
            .push(record(&owner, RData::CNAME(CNAME(name(&to)))));
        vec![bytes(&said)]
    });
    let said = world.ask("www.bad");
    assert!(
        said.is("CRITICAL").contains("more than 8 times"),
        "{}",
        said.out
    );
}

#[test]
fn delegations_without_end_end() {
    // Each server refers one label deeper, to itself.
    let world = delegating();
    let deeper = std::sync::atomic::AtomicU8::new(2);
    udp(42, world.port, move |question| {
        let depth = deeper.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let owner = question.queries[0].name().trim_to(depth.into()).to_ascii();
        let server = format!("ns.{owner}");
        let mut said = reply(question);
        said.authorities.push(ns(&owner, &server));
        said.additionals.push(a(&server, 42));
        vec![bytes(&said)]
    });
    let host = format!("{}bad", "a.".repeat(60));
    let said = world.ask(&host);
    assert!(
        said.is("CRITICAL").contains("more than 16 cuts"),
        "{}",
        said.out
    );
}

#[test]
fn servers_that_can_only_be_found_through_each_other_are_not_found() {
    let world = root(|question| {
        let mut said = reply(question);
        match question.queries[0].name().to_ascii().ends_with("worse.") {
            true => said.authorities.push(ns("worse.", "ns.bad.")),
            false => said.authorities.push(ns("bad.", "ns.worse.")),
        }
        said
    });
    let said = world.ask("www.bad");
    assert!(
        said.is("CRITICAL").contains("has to be found first"),
        "{}",
        said.out
    );
}

#[test]
fn a_thousand_servers_are_not_all_asked() {
    let world = root(|question| {
        let mut said = reply(question);
        for number in 0..25 {
            said.authorities
                .push(ns("bad.", &format!("n{number}.bad.")));
            for last in [42, 44, 45, 46] {
                said.additionals.push(a(&format!("n{number}.bad."), last));
            }
        }
        said
    });
    udp(42, world.port, |question| vec![bytes(&honest(question))]);
    world.ask("www.bad").has("more addresses were not asked");
}

#[test]
fn data_of_other_names_is_not_taken_for_the_answer() {
    let world = world(|question| {
        let mut said = honest(question);
        if question.queries[0].query_type() == RecordType::A {
            said.answers = vec![a("www.bank.", 9)];
        }
        vec![bytes(&said)]
    });
    let said = world.ask("www.bad");
    assert!(
        said.is("CRITICAL").contains("has no A record"),
        "{}",
        said.out
    );
}

#[test]
fn one_parent_that_lost_a_delegation_is_no_lost_zone() {
    let world = root(|question| {
        let mut said = reply(question);
        said.authorities.push(ns("top.", "a.top."));
        said.authorities.push(ns("top.", "b.top."));
        said.additionals.push(a("a.top.", 44));
        said.additionals.push(a("b.top.", 45));
        said
    });
    udp(44, world.port, |question| {
        let mut said = reply(question);
        said.authorities.push(ns("bad.top.", "ns.bad.top."));
        said.additionals.push(a("ns.bad.top.", 42));
        vec![bytes(&said)]
    });
    udp(45, world.port, |question| {
        let mut said = reply(question);
        said.metadata.authoritative = true;
        said.metadata.response_code = ResponseCode::NXDomain;
        said.authorities.push(soa("top."));
        vec![bytes(&said)]
    });
    udp(42, world.port, |question| {
        vec![bytes(&honest_of("bad.top.", question))]
    });
    // Whichever of the two is asked first.
    for host in ["www.bad.top", "zone=bad.top"].iter().cycle().take(12) {
        let said = world.ask(host);
        let line = said.is("WARNING");
        assert!(
            line.contains("the parent's servers disagree on bad.top"),
            "{line}"
        );
        assert!(line.contains("no such zone"), "{line}");
    }
}
