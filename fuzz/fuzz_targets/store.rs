//! The sniffers of certificate files: PEM, DER, PKCS#12, JKS and JCEKS.
#![no_main]
#![allow(dead_code, reason = "only a part of koshu is fuzzed at a time")]

#[path = "../../src/model/mod.rs"]
mod model;
#[path = "../../src/net/mod.rs"]
mod net;

use libfuzzer_sys::fuzz_target;
use net::store::{Store, public_key};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(store) = Store::read(bytes, Some("changeit")) {
        for key in &store.keys {
            let _ = public_key(key);
        }
        assert!(store.certificates.len() + store.keys.len() <= bytes.len());
    }
});
