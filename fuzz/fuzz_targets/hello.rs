//! The plain TLS reader, given whatever a server sends.
#![no_main]
#![allow(dead_code, reason = "only a part of koshu is fuzzed at a time")]

#[path = "../../src/model/mod.rs"]
mod model;
#[path = "../../src/net/mod.rs"]
mod net;
mod peer;

use libfuzzer_sys::fuzz_target;
use net::hello::{HELLOS, read};

fuzz_target!(|bytes: &[u8]| {
    let mut peer = peer::Peer::new(bytes);
    if let Ok(shown) = read(&mut peer, HELLOS[0], Some("h"), "h") {
        let size: usize = shown.chain.iter().map(|it| it.len()).sum();
        assert!(size <= bytes.len(), "a chain is no larger than what was sent");
        for der in &shown.chain {
            let _ = net::x509::Certificate::from_der(der);
        }
    }
});
