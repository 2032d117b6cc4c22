//! Five hundred peers that say nearly what they should: none hangs koshu, none makes it fall, none is koshu's own fault.

use crate::engine;
use crate::koshu::Lists;
use crate::lab::{GOOD, lab};
use crate::server;
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// The same numbers in every run (Marsaglia, "Xorshift RNGs").
struct Dice(u64);

impl Dice {
    fn of(case: u64) -> Dice {
        let mut dice = Dice((case + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // The first numbers of near seeds are near.
        for _ in 0..3 {
            dice.below(2);
        }
        dice
    }

    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % most.max(1)
    }

    /// Bytes with a few faults; one case in ten has none.
    fn spoil(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let faults = self.below(10).min(4);
        for _ in 0..faults {
            let at = self.below(bytes.len());
            let to = (at + self.below(40)).min(bytes.len());
            match self.below(8) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = b"\0\r\n :;,\xff%0-9"[self.below(12)],
                2 => drop(bytes.drain(at..to)),
                3 => {
                    let again = bytes[at..to].to_vec();
                    bytes.splice(at..at, again);
                }
                4 => bytes.truncate(at),
                5 => {
                    let size = [1, 100, 70_000][self.below(3)];
                    let byte = b"x\n 0"[self.below(4)];
                    bytes.splice(at..at, vec![byte; size]);
                }
                6 => bytes[at..to].reverse(),
                _ => bytes.extend_from_slice(&bytes.clone()),
            }
        }
        bytes
    }

    /// Sends bytes as the case wants it: at once or in parts; and then goes, or stays for a while.
    fn send(&mut self, stream: &mut TcpStream, bytes: &[u8]) {
        let part = [bytes.len().max(1), 7, 1][self.below(3)];
        for some in bytes.chunks(part).take(2000) {
            if stream.write_all(some).is_err() {
                return;
            }
        }
        if self.below(20) == 0 {
            sleep(Duration::from_secs(3));
        }
    }
}

/// Whether each connection is told its number.
fn numbered(answer: impl Fn(TcpStream, Dice) + Send + Sync + Clone + 'static) -> SocketAddr {
    let next = Arc::new(AtomicU64::new(0));
    server::serve(move |stream| {
        let case = next.fetch_add(1, Ordering::Relaxed);
        answer(stream, Dice::of(case));
    })
}

const PAGES: [&[u8]; 6] = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=Shift_JIS\r\nContent-Length: 25\r\n\r\n<html>\x8f\xe1\x8aQ hello</html>\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nX-A: b\r\n c\r\n\r\n{\"status\":\"up\",\"n\":12}",
    b"HTTP/1.1 302 Found\r\nLocation: /next?token=x\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 25\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00",
];

fn pages() -> SocketAddr {
    numbered(|mut stream, mut dice| {
        server::head(&mut stream);
        let page = PAGES[dice.below(PAGES.len())];
        let page = dice.spoil(page);
        dice.send(&mut stream, &page);
    })
}

/// Greets as a mail server, and answers every line.
fn mail() -> SocketAddr {
    numbered(|mut stream, mut dice| {
        for line in [
            &b"220-mail ESMTP\r\n220 ready\r\n"[..],
            b"250-mail\r\n250-STARTTLS\r\n250 HELP\r\n",
            b"221 bye\r\n",
        ] {
            let line = dice.spoil(line);
            dice.send(&mut stream, &line);
            if !stream.read(&mut [0; 512]).is_ok_and(|it| it > 0) {
                return;
            }
        }
    })
}

/// A resolver whose answers are not quite right.
fn resolver() -> SocketAddr {
    let next = AtomicU64::new(0);
    server::datagrams(move |question| {
        let mut dice = Dice::of(next.fetch_add(1, Ordering::Relaxed));
        let mut reply = Message::from_vec(question).ok()?;
        reply.metadata.message_type = MessageType::Response;
        let owner = reply.queries.first()?.name().clone();
        let data = RData::A(A(Ipv4Addr::LOCALHOST));
        reply.answers.push(Record::from_rdata(owner, 60, data));
        let bytes = reply.to_vec().ok()?;
        let mut spoilt = dice.spoil(&bytes);
        spoilt.truncate(60_000);
        Some(spoilt)
    })
}

/// A clock whose answers are not quite right.
fn clock() -> SocketAddr {
    let next = AtomicU64::new(0);
    server::datagrams(move |question| {
        let mut dice = Dice::of(next.fetch_add(1, Ordering::Relaxed));
        let mut bytes = question.to_vec();
        bytes[0] = 0x24;
        bytes[1] = 2;
        let sent: Vec<u8> = bytes[40..48].to_vec();
        bytes[24..32].copy_from_slice(&sent);
        bytes[32..40].copy_from_slice(&sent);
        let mut spoilt = dice.spoil(&bytes);
        spoilt.truncate(60_000);
        Some(spoilt)
    })
}

#[test]
fn five_hundred_peers_that_break_the_rules_are_all_answered_for() {
    let mut list = String::from("[defaults]\ntimeout = \"2s\"\n");
    let mut add = |name: &str, count: usize, keys: &str| {
        for number in 0..count {
            list.push_str(&format!("[[check]]\nname = \"{name}{number}\"\n{keys}\n"));
        }
    };
    let page = pages();
    let http = format!("type = \"http\"\nurl = \"http://{page}/\"");
    add("page", 120, &http);
    add(
        "body",
        80,
        &format!("{http}\nbody = \"hello\"\nbody_not = \"障害\""),
    );
    add(
        "json",
        60,
        &format!("{http}\njson = {{ status = \"up\", n = \"10,20\" }}"),
    );
    let tcp = format!("type = \"tcp\"\nhost = \"{}\"", mail());
    let quit = r#"dialogue = [{ expect = "^220 " }, { send = "EHLO x\r\n" }, { expect = "^250 " }, { send = "QUIT\r\n" }]"#;
    add("mail", 80, &format!("{tcp}\n{quit}"));
    let cert = format!(
        "type = \"cert\"\nhost = \"{}\"\nstarttls = \"smtp\"",
        mail()
    );
    add("starttls", 40, &cert);
    let dns = format!(
        "type = \"dns\"\nhost = \"h.example\"\nrecord = \"A\"\nvia = \"{}\"",
        resolver()
    );
    add("dns", 60, &dns);
    add(
        "clock",
        30,
        &format!("type = \"ntp\"\nhost = \"{}\"", clock()),
    );
    if let Some(lab) = lab() {
        lab.issue(&GOOD);
        let tls = lab.spoilt(|case, bytes| Dice::of(case).spoil(bytes));
        add("tls", 40, &format!("type = \"cert\"\nhost = \"{tls}\""));
        add(
            "https",
            40,
            &format!("type = \"http\"\nurl = \"https://{tls}/\""),
        );
    } else {
        engine::skip("no peers that spoil TLS without openssl");
    }
    let said = Lists::new(&list).run(&["--format", "json", "--deadline", "40s"]);
    assert!(said.took < Duration::from_secs(40), "{:?}", said.took);
    let report = said.json();
    let checks = report["checks"].as_array().expect("checks");
    assert!(checks.len() >= 470, "{}", checks.len());
    for check in checks {
        let name = check["name"].as_str().unwrap_or_default();
        let text = check["summary"].as_str().unwrap_or_default();
        assert!(
            !text.contains("internal error") && !text.contains('\n'),
            "{name}: {text}"
        );
        // Who does not keep to HTTP, TLS or SMTP is at fault himself; whether a resolver or a clock is right nobody knows.
        let is_ours = ["page", "body", "json", "mail"]
            .iter()
            .any(|it| name.starts_with(it));
        assert!(!is_ours || check["state"] != 3, "{name}: {text}");
    }
}
