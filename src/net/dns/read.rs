//! What a server's reply says to who walks: a referral downward, an answer, or nothing that counts.

use super::walk::{Cut, NameServer};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeSet;
use std::net::IpAddr;

pub use super::name::plain;

/// What a server of a cut can say of a name.
pub enum Said {
    Referral(Cut),
    Exists(Vec<Record>, Option<Name>),
    NxDomain(Option<Name>),
    /// None of the cut's servers said anything.
    Nobody(Vec<String>),
}

/// What a reply says (RFC 1034, section 4.3.2), or why it is none that counts.
///
/// # Errors
/// What this server does instead.
pub fn read(message: &Message, cut: &Cut, target: &Name) -> Result<Said, String> {
    // Of an alias to another zone of the same servers, it may be the other one's.
    let soa = message.authorities.iter().find(|it| {
        let is_soa = it.record_type() == RecordType::SOA;
        is_soa && it.name.zone_of(target) && cut.name.zone_of(&it.name)
    });
    let apex = soa.map(|it| it.name.to_lowercase());
    let authoritative = message.metadata.authoritative;
    // An alias to what does not exist is there itself.
    let answered = message.answers.iter().any(|it| it.name == *target);
    match message.metadata.response_code {
        ResponseCode::NXDomain if authoritative && answered => (),
        ResponseCode::NXDomain if authoritative => return Ok(Said::NxDomain(apex)),
        ResponseCode::NoError => (),
        ResponseCode::NXDomain => return Err("answers without authority (no AA)".to_owned()),
        code => return Err(format!("answers {}", rcode(code))),
    }
    let owners = message
        .authorities
        .iter()
        .filter(|it| it.record_type() == RecordType::NS);
    let owners: BTreeSet<Name> = owners.map(|it| it.name.to_lowercase()).collect();
    let below = |it: &&Name| cut.name.zone_of(it) && **it != cut.name && it.zone_of(target);
    // Some servers claim authority for referrals; those have no SOA record.
    let referred = owners
        .iter()
        .find(below)
        .filter(|_| apex.is_none() && message.answers.is_empty());
    match referred {
        None if authoritative => Ok(Said::Exists(message.answers.clone(), apex)),
        Some(owner) => Ok(Said::Referral(referral(message, &cut.name, owner))),
        None if owners.iter().any(|it| it.zone_of(&cut.name)) => Err("refers upward".to_owned()),
        None if !message.answers.is_empty() => Err("answers without authority (no AA)".to_owned()),
        None => Err("neither answers nor refers".to_owned()),
    }
}

/// The cut that a referral names, with its glue: addresses of servers below the zone that refers, and of no others.
fn referral(message: &Message, from: &Name, owner: &Name) -> Cut {
    let names = ns_names(&message.authorities, owner);
    let servers = names.into_iter().map(|name| NameServer {
        addresses: match from.zone_of(&name) {
            true => addresses_of(&message.additionals, &name),
            false => Vec::new(),
        },
        name,
    });
    Cut {
        name: owner.clone(),
        servers: servers.collect(),
    }
}

pub fn ns_ttl(message: &Message) -> Option<u32> {
    let ns = message
        .authorities
        .iter()
        .find(|it| it.record_type() == RecordType::NS);
    ns.map(|it| it.ttl)
}

/// The names of a zone's servers among records.
pub fn ns_names(records: &[Record], owner: &Name) -> BTreeSet<Name> {
    let of_owner = records.iter().filter(|it| it.name == *owner);
    of_owner
        .filter_map(|it| match &it.data {
            RData::NS(name) => Some(name.0.to_lowercase()),
            _ => None,
        })
        .collect()
}

/// The addresses of a name among records.
pub fn addresses_of(records: &[Record], name: &Name) -> Vec<IpAddr> {
    let own = records.iter().filter(|it| it.name == *name);
    let mut all: Vec<IpAddr> = own
        .filter_map(|it| match &it.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// A response code by the name that everybody knows (IANA, DNS RCODEs).
pub fn rcode(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::NotAuth => "NOTAUTH".to_owned(),
        ResponseCode::BADVERS | ResponseCode::BADSIG => "BADVERS".to_owned(),
        other => format!("RCODE {}", u16::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::rdata::{A, SOA};

    fn name(text: &str) -> Name {
        super::super::name(text).expect("a name")
    }

    /// What an authoritative answer for www.example.jp comes to, with a SOA record of this owner beside it.
    fn apex(owner: &str) -> Option<Name> {
        let mut message = Message::response(1, OpCode::Query);
        message.metadata.authoritative = true;
        let target = name("www.example.jp");
        let address = RData::A(A::new(192, 0, 2, 1));
        let soa = RData::SOA(SOA::new(name("ns.x"), name("r.x"), 1, 2, 3, 4, 5));
        message.answers = vec![Record::from_rdata(target.clone(), 60, address)];
        message.authorities = vec![Record::from_rdata(name(owner), 60, soa)];
        let cut = Cut {
            name: name("example.jp"),
            servers: Vec::new(),
        };
        match read(&message, &cut, &target) {
            Ok(Said::Exists(records, apex)) => {
                assert_eq!(records.len(), 1);
                apex
            }
            _ => panic!("{owner}: no answer"),
        }
    }

    #[test]
    fn a_soa_record_beside_an_answer_names_the_zone_only_where_it_can_be() {
        assert_eq!(apex("example.jp"), Some(name("example.jp")));
        assert_eq!(apex("www.example.jp"), Some(name("www.example.jp")));
        // Of the zone that an alias leads to, and of one above.
        assert_eq!(apex("example.net"), None);
        assert_eq!(apex("jp"), None);
    }
}
