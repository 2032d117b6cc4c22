//! Messages as servers really send them: read record by record, so that one bad record does not hide the rest.

use super::data;
use hickory_proto::op::{Edns, Header, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, Restrict};

/// What bytes from the network come to.
#[derive(Debug)]
pub enum Heard {
    /// A reply with its question, or one that says no more than its header: that it failed, or was cut.
    Reply(Box<Message>),
    /// A reply, but not all of what counts in it can be read.
    Broken { id: u16, why: String },
}

/// Reads a reply. What was cut says so (TC) and is asked for again, so that it need not end well; and what is wrong
/// in the additional section is left out, because nothing of it was asked for.
pub fn read(bytes: &[u8]) -> Option<Heard> {
    let mut decoder = BinDecoder::new(bytes);
    let Header { metadata, counts } = Header::read(&mut decoder).ok()?;
    if metadata.message_type != MessageType::Response {
        return None;
    }
    let is_cut = metadata.truncation;
    let mut message = Message::response(metadata.id, metadata.op_code);
    message.metadata = metadata;
    for _ in 0..counts.queries {
        match Query::read(&mut decoder) {
            Ok(query) => message.queries.push(query),
            // Some send their header alone, with the counts of the question.
            Err(_) if is_cut || metadata.response_code != ResponseCode::NoError => {
                message.queries.clear();
                return Some(Heard::Reply(Box::new(message)));
            }
            Err(_) => return None,
        }
    }
    let broken = |why: String| {
        let id = metadata.id;
        Some(Heard::Broken { id, why })
    };
    for (count, place) in [(counts.answers, 0), (counts.authorities, 1)] {
        for _ in 0..count {
            match record(&mut decoder) {
                Some(Ok(record)) if place == 0 => message.answers.push(record),
                Some(Ok(record)) => message.authorities.push(record),
                Some(Err(kind)) if place == 0 => {
                    let kind = data::kind_shown(kind);
                    return broken(format!("its answer has a malformed {kind} record"));
                }
                Some(Err(_)) => (),
                None if is_cut => return Some(Heard::Reply(Box::new(message))),
                None => return broken("its answer breaks off".to_owned()),
            }
        }
    }
    for _ in 0..counts.additionals {
        match record(&mut decoder) {
            Some(Ok(record)) => match &record.data {
                RData::OPT(_) | RData::Update0(RecordType::OPT) if message.edns.is_none() => {
                    let edns = Edns::from(&record);
                    let high = edns.rcode_high();
                    let low = message.metadata.response_code.low();
                    message.metadata.response_code = ResponseCode::from(high, low);
                    message.edns = Some(edns);
                }
                _ => message.additionals.push(record),
            },
            Some(Err(_)) => (),
            None => break,
        }
    }
    Some(Heard::Reply(Box::new(message)))
}

/// The next record, or the type of one whose data are not what they should be; nothing where its end cannot be found.
fn record(decoder: &mut BinDecoder) -> Option<Result<Record, RecordType>> {
    let owner = Name::read(decoder).ok()?;
    let kind = RecordType::read(decoder).ok()?;
    let class = decoder.read_u16().ok()?.unverified();
    let ttl = decoder.read_u32().ok()?.unverified();
    let length = decoder.read_u16().ok()?.unverified();
    let mut inside = decoder.clone(u16::try_from(decoder.index()).ok()?);
    let bytes = decoder.read_slice(length.into()).ok()?.unverified();
    let read = match length {
        0 => Some(RData::Update0(kind)),
        _ => RData::read(&mut inside, kind, Restrict::new(length)).ok(),
    };
    // What the library is too strict for may still be what our own table knows.
    let data = match read {
        Some(RData::Update0(kind)) if kind != RecordType::OPT && !data::is_sound(kind, bytes) => {
            None
        }
        Some(data) => Some(data),
        None if kind != RecordType::OPT && data::is_sound(kind, bytes) => Some(RData::Unknown {
            code: kind,
            rdata: NULL::with(bytes.to_vec()),
        }),
        None => None,
    };
    let Some(data) = data else {
        return Some(Err(kind));
    };
    let mut record = Record::from_rdata(owner, ttl, data);
    record.dns_class = match kind {
        RecordType::OPT => DNSClass::for_opt(class),
        _ => DNSClass::from(class),
    };
    Some(Ok(record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::svcb::{SVCB, SvcParamKey, SvcParamValue};
    use hickory_proto::rr::rdata::{A, CAA, CNAME, HTTPS, MX, SOA, TXT};

    /// A reply that has something of everything.
    fn reply() -> Vec<u8> {
        let name = |text: &str| super::super::name(text).expect("a name");
        let www = name("www.example.jp");
        let mut message = Message::response(7, hickory_proto::op::OpCode::Query);
        message.add_query(Query::query(www.clone(), RecordType::A));
        let svcb = SVCB::new(
            1,
            name("."),
            vec![(SvcParamKey::Port, SvcParamValue::Port(8443))],
        );
        for data in [
            RData::A(A::new(192, 0, 2, 1)),
            RData::CNAME(CNAME(name("alias.example.jp"))),
            RData::MX(MX::new(10, name("mx.example.jp"))),
            RData::TXT(TXT::new(vec!["a".to_owned(), "b".to_owned()])),
            RData::HTTPS(HTTPS(svcb)),
            RData::CAA(CAA::new_issue(false, None, Vec::new())),
        ] {
            message
                .answers
                .push(Record::from_rdata(www.clone(), 60, data));
        }
        let soa = SOA::new(name("ns.x"), name("r.x"), 1, 2, 3, 4, 5);
        message.authorities = vec![Record::from_rdata(www, 60, RData::SOA(soa))];
        message.set_edns(Edns::new());
        message.to_vec().expect("a message")
    }

    #[test]
    fn a_sound_reply_is_read_whole() {
        let Some(Heard::Reply(message)) = read(&reply()) else {
            panic!("no reply");
        };
        let expected = Message::from_vec(&reply()).expect("a message");
        assert_eq!(*message, expected);
    }

    #[test]
    fn no_bytes_do_any_harm() {
        let sound = reply();
        let mut seed: u64 = 0x2545_f491_4f6c_dd1d;
        let mut random = |most: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as usize % most
        };
        for _ in 0..20_000 {
            let mut bytes = sound.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            bytes.truncate(bytes.len() - random(3) * random(40));
            if let Some(Heard::Reply(message)) = read(&bytes) {
                for record in message.answers.iter().chain(&message.authorities) {
                    data::shown(&record.data);
                }
            }
        }
    }
}
