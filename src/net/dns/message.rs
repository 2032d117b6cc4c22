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
