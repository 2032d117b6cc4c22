//! The dialogues before TLS, given whatever a server says.
#![no_main]
#![allow(dead_code, reason = "only a part of koshu is fuzzed at a time")]

#[path = "../../src/model/mod.rs"]
mod model;
#[path = "../../src/net/mod.rs"]
mod net;
mod peer;

use libfuzzer_sys::fuzz_target;
use net::starttls::{Names, Starttls};

const ALL: [Starttls; 13] = [
    Starttls::Smtp,
    Starttls::Lmtp,
    Starttls::Imap,
    Starttls::Pop3,
    Starttls::Ftp,
    Starttls::Ldap,
    Starttls::Mysql,
    Starttls::Postgres,
    Starttls::Xmpp,
    Starttls::XmppServer,
    Starttls::Sieve,
    Starttls::Nntp,
    Starttls::Irc,
];

const NAMES: Names = Names {
    name: "h",
    ehlo: "h",
};

// The first byte chooses the protocol.
fuzz_target!(|bytes: &[u8]| {
    if let Some((first, rest)) = bytes.split_first() {
        let mut peer = peer::Peer::new(rest);
        let _ = ALL[usize::from(*first) % ALL.len()].negotiate(&mut peer, &NAMES, "h");
    }
});
