//! The reader of HTTP responses, given whatever a server says, in parts of any size.
#![no_main]
#![allow(dead_code, reason = "only a part of koshu is fuzzed at a time")]

#[path = "../../src/model/mod.rs"]
mod model;
#[path = "../../src/net/mod.rs"]
mod net;

use libfuzzer_sys::fuzz_target;
use net::lenient::Reader;

// The first byte says how many are read at a time.
fuzz_target!(|bytes: &[u8]| {
    if let Some((first, rest)) = bytes.split_first() {
        let mut reader = Reader::new();
        let mut plain = Vec::new();
        for part in rest.chunks(usize::from(*first).max(1)) {
            if reader.plain(part.len()).is_none() && reader.take(part, &mut plain).is_err() {
                return;
            }
        }
        let _ = reader.end();
    }
});
