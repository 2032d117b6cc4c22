//! What the DNS walk makes of a server's bytes: the reply, the referral in it, its records and their signatures.
#![no_main]
#![allow(dead_code, reason = "only a part of koshu is fuzzed at a time")]

#[path = "../../src/model/mod.rs"]
mod model;
#[path = "../../src/net/mod.rs"]
mod net;

use hickory_proto::rr::{Name, RecordType};
use libfuzzer_sys::fuzz_target;
use net::dns::query::{Purpose, Question};
use net::dns::secure::{RrSet, vouched};
use net::dns::read::{Said, addresses_of, ns_names, read};
use net::dns::walk::Cut;

fuzz_target!(|bytes: &[u8]| {
    let target = Name::from_ascii("www.good.lab.").expect("a name");
    let zone = Name::from_ascii("good.lab.").expect("a name");
    let cut = Cut {
        name: Name::from_ascii("lab.").expect("a name"),
        servers: Vec::new(),
    };
    let question = Question {
        server: ([127, 0, 0, 1], 53).into(),
        name: &target,
        kind: RecordType::A,
        purpose: Purpose::Walk,
    };
    let id = bytes.get(..2).map_or(0, |it| u16::from_be_bytes([it[0], it[1]]));
    let Some(message) = question.reply(bytes, id) else {
        return;
    };
    if let Ok(Said::Referral(below)) = read(&message, &cut, &target) {
        assert!(cut.name.zone_of(&below.name) && below.name != cut.name, "a referral leads downward");
        assert!(below.name.zone_of(&target));
    }
    for owner in [&target, &zone] {
        ns_names(&message.authorities, owner);
        addresses_of(&message.additionals, owner);
        let keys = RrSet::of(&message.answers, owner, RecordType::DNSKEY).map_or(Vec::new(), |it| it.keys());
        let signers = RrSet::of(&message.answers, owner, RecordType::DS).map_or(Vec::new(), |it| it.signers());
        vouched(&signers, owner, &keys);
        for kind in [RecordType::A, RecordType::SOA, RecordType::DNSKEY, RecordType::DS] {
            if let Some(set) = RrSet::of(&message.answers, owner, kind) {
                set.verdict(&keys.iter().collect::<Vec<_>>(), owner, 1_800_000_000);
                for record in &set.records {
                    net::dns::presentation(&record.data);
                }
            }
        }
    }
});
