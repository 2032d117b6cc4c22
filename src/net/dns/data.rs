//! Record data as zone files write them: one table of what the data of each type consist of, read and written by it.

use super::name;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{
    BinDecodable, BinDecoder, BinEncodable, BinEncoder, NameEncoding,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One part of a record's data.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    /// A number of so many bytes.
    Number(usize),
    /// Seconds, which may be written as `1h30m`.
    Time,
    Address4,
    Address6,
    Name,
    /// A number or the mnemonic of a DNSSEC algorithm (RFC 8624).
    Algorithm,
    /// A character string (RFC 1035, section 3.3), in quotes or not.
    Text,
    /// The same, of letters and digits, without quotes and case.
    Tag,
    /// One or more character strings, which mean what they are together.
    Texts,
    /// Text up to the end.
    Rest,
    /// Bytes up to the end.
    Hex,
    Base64,
    /// Bytes after their count, `-` for none (RFC 5155, section 4.3).
    Salt,
    /// SvcParams (RFC 9460, section 2.1).
    Params,
    /// RFC 1876.
    Location,
}

/// A record type: its number, its name, what its data consist of, and an example for people.
type Row = (u16, &'static str, &'static [Field], &'static str);

/// IANA, Resource Record (RR) TYPEs.
const TYPES: &[Row] = {
    use Field::*;
    const N8: Field = Number(1);
    const N16: Field = Number(2);
    const N32: Field = Number(4);
    &[
        (1, "A", &[Address4], "192.0.2.1"),
        (2, "NS", &[Name], "ns1.example.jp."),
        (5, "CNAME", &[Name], "www.example.jp."),
        (
            6,
            "SOA",
            &[Name, Name, N32, Time, Time, Time, Time],
            "ns1.example.jp. root.example.jp. 1 3600 900 604800 300",
        ),
        (12, "PTR", &[Name], "www.example.jp."),
        (13, "HINFO", &[Text, Text], "\"PC\" \"Linux\""),
        (15, "MX", &[N16, Name], "10 mx1.example.jp."),
        (16, "TXT", &[Texts], "\"v=spf1 -all\""),
        (17, "RP", &[Name, Name], "root.example.jp. ."),
        (18, "AFSDB", &[N16, Name], "1 afs.example.jp."),
        (28, "AAAA", &[Address6], "2001:db8::1"),
        (
            29,
            "LOC",
            &[Location],
            "35 41 22.000 N 139 41 30.000 E 40m 1m 10000m 10m",
        ),
        (
            33,
            "SRV",
            &[N16, N16, N16, Name],
            "10 5 5060 sip.example.jp.",
        ),
        (
            35,
            "NAPTR",
            &[N16, N16, Text, Text, Text, Name],
            "100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.jp!\" .",
        ),
        (36, "KX", &[N16, Name], "10 kx.example.jp."),
        (37, "CERT", &[N16, N16, Algorithm, Base64], "1 0 0 AQID"),
        (39, "DNAME", &[Name], "example.net."),
        (43, "DS", &[N16, Algorithm, N8, Hex], "12345 13 2 ab01…"),
        (44, "SSHFP", &[N8, N8, Hex], "4 2 ab01…"),
        (
            48,
            "DNSKEY",
            &[N16, N8, Algorithm, Base64],
            "257 3 13 AQID…",
        ),
        (49, "DHCID", &[Base64], "AQID…"),
        (51, "NSEC3PARAM", &[N8, N8, N16, Salt], "1 0 0 -"),
        (52, "TLSA", &[N8, N8, N8, Hex], "3 1 1 ab01…"),
        (53, "SMIMEA", &[N8, N8, N8, Hex], "3 1 1 ab01…"),
        (59, "CDS", &[N16, Algorithm, N8, Hex], "12345 13 2 ab01…"),
        (
            60,
            "CDNSKEY",
            &[N16, N8, Algorithm, Base64],
            "257 3 13 AQID…",
        ),
        (61, "OPENPGPKEY", &[Base64], "AQID…"),
        (63, "ZONEMD", &[N32, N8, N8, Hex], "2026010101 1 1 ab01…"),
        (64, "SVCB", &[N16, Name, Params], "1 . alpn=h2"),
        (65, "HTTPS", &[N16, Name, Params], "1 . alpn=h2,h3"),
        (99, "SPF", &[Texts], "\"v=spf1 -all\""),
        (
            256,
            "URI",
            &[N16, N16, Rest],
            "10 1 \"https://www.example.jp/\"",
        ),
        (257, "CAA", &[N8, Tag, Rest], "0 issue \"letsencrypt.org\""),
    ]
};

fn row(kind: RecordType) -> Option<&'static Row> {
    TYPES.iter().find(|it| it.0 == u16::from(kind))
}

/// A record type by its name in any case, or as `TYPE257` (RFC 3597, section 5). Those that are no records of a zone,
/// such as transfers, are none.
pub fn kind(text: &str) -> Option<RecordType> {
    const RECORDS_END: u16 = 128;
    let text = text.to_uppercase();
    let number = match TYPES.iter().find(|it| it.1 == text) {
        Some(row) => row.0,
        None => match text.strip_prefix("TYPE") {
            Some(number) => number.parse().ok()?,
            None => u16::from(text.parse::<RecordType>().ok()?),
        },
    };
    const OPT: u16 = 41;
    let is_question = (RECORDS_END..256).contains(&number) || number == OPT || number == 0;
    (!is_question).then(|| RecordType::from(number))
}

/// The name of a record type.
pub fn kind_shown(kind: RecordType) -> String {
    match (row(kind), kind) {
        (Some(row), _) => row.1.to_owned(),
        (None, RecordType::Unknown(number)) => format!("TYPE{number}"),
        (None, other) => other.to_string(),
    }
}

/// Record data as a zone file has them, in one form that equal ones share: names in lower case without the last dot,
/// TXT strings joined and without quotes where they need none.
pub fn shown(data: &RData) -> String {
    let kind = data.record_type();
    let Some(wire) = wire(data) else {
        return data.to_string();
    };
    match (row(kind), data) {
        // What has no row is written by the library where that knows it.
        (None, RData::Unknown { .. }) | (Some(_), _) => of_wire(kind, &wire),
        (None, known) => known.to_string(),
    }
}

/// Record data as they travel, names not compressed.
fn wire(data: &RData) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).ok()?;
    Some(bytes)
}

/// Whether bytes are data of this type, as far as that is known here.
pub fn is_sound(kind: RecordType, wire: &[u8]) -> bool {
    row(kind).is_none_or(|row| write(row.2, wire).is_some())
}

fn of_wire(kind: RecordType, wire: &[u8]) -> String {
    let written = row(kind).and_then(|row| write(row.2, wire));
    written.unwrap_or_else(|| {
        // RFC 3597, section 5.
        format!("\\# {} {}", wire.len(), hex(wire))
            .trim_end()
            .to_owned()
    })
}

/// What somebody wrote as in a zone file, in the form of [`shown`].
///
/// # Errors
/// When it is no data of this type.
pub fn read(kind: RecordType, text: &str) -> Result<String, String> {
    let wrong = |such: &str| {
        let kind = kind_shown(kind);
        Err(format!("\"{text}\" is no {kind} record, {such}"))
    };
    let text = text.trim();
    if let Some(generic) = text.strip_prefix("\\#") {
        return match of_generic(generic) {
            Some(wire) if is_sound(kind, &wire) => Ok(of_wire(kind, &wire)),
            _ => wrong("expected \\# LENGTH HEX (RFC 3597)"),
        };
    }
    match row(kind) {
        Some((_, _, fields, example)) => match parse(fields, text) {
            Some(wire) => Ok(of_wire(kind, &wire)),
            None => wrong(&format!("which is written as {example}")),
        },
        None if matches!(kind, RecordType::Unknown(_)) => {
            wrong("expected \\# LENGTH HEX (RFC 3597)")
        }
        None => Ok(text.split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}

fn of_generic(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_whitespace();
    let length: usize = words.next()?.parse().ok()?;
    let wire = of_hex(&words.collect::<String>())?;
    (wire.len() == length).then_some(wire)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let is_hex = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    let pairs = is_hex.then(|| digits.chunks(2))?;
    pairs
        .map(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok())
        .collect()
}

/// One word of a zone file, with its escapes and without its quotes; brackets only fold lines.
#[derive(Clone, Debug, Default)]
struct Word {
    text: String,
}

impl Word {
    fn bytes(&self) -> Option<Vec<u8>> {
        let (mut bytes, mut rest) = (Vec::new(), self.text.as_str());
        while let Some(next) = rest.chars().next() {
            rest = match next {
                '\\' => {
                    let (byte, left) = name::escaped(&rest[1..])?;
                    bytes.push(byte);
                    left
                }
                _ => {
                    bytes.extend_from_slice(&rest.as_bytes()[..next.len_utf8()]);
                    &rest[next.len_utf8()..]
                }
            };
        }
        Some(bytes)
    }
}

fn words(text: &str) -> Option<Vec<Word>> {
    let mut words: Vec<Word> = Vec::new();
    let mut open: Option<Word> = None;
    let mut in_quotes = false;
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match next {
            '"' => {
                in_quotes = !in_quotes;
                let closed = !in_quotes;
                let word = open.get_or_insert_default();
                // What follows a quoted string directly is the next one, but a value after `key=` belongs to it.
                if closed && !word.text.contains('=') {
                    words.extend(open.take());
                }
            }
            '\\' => {
                let word = open.get_or_insert_default();
                word.text.push('\\');
                word.text.push(chars.next()?);
            }
            ' ' | '\t' | '\r' | '\n' | '(' | ')' if !in_quotes => words.extend(open.take()),
            other => open.get_or_insert_default().text.push(other),
        }
    }
    words.extend(open);
    (!in_quotes).then_some(words)
}

/// Text in quotes, as a character string of a zone file.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", escaped(bytes, &['"', '\\']))
}

/// Bytes as text, with `\` before some characters, and what cannot be printed by its number.
fn escaped(bytes: &[u8], special: &[char]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for next in chunk.valid().chars() {
            match next {
                next if next.is_control() => {
                    for byte in next.encode_utf8(&mut [0; 4]).bytes() {
                        text.push_str(&format!("\\{byte:03}"));
                    }
                }
                next if special.contains(&next) => text.extend(['\\', next]),
                next => text.push(next),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\{byte:03}"));
        }
    }
    text
}

/// DNSSEC algorithms by their mnemonics (IANA, DNS Security Algorithm Numbers).
const ALGORITHMS: &[(u8, &str)] = &[
    (5, "RSASHA1"),
    (7, "RSASHA1-NSEC3-SHA1"),
    (7, "NSEC3RSASHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
    (16, "ED448"),
];

/// Text → wire.
fn parse(fields: &[Field], text: &str) -> Option<Vec<u8>> {
    let mut wire = Vec::new();
    if let [Field::Texts] = fields {
        return texts(text);
    }
    let all = words(text)?;
    let mut rest = &all[..];
    for field in fields {
        let together = |rest: &[Word]| rest.iter().map(|it| &*it.text).collect::<String>();
        match field {
            Field::Hex => {
                wire.extend(of_hex(&together(rest))?);
                rest = &[];
            }
            Field::Base64 => {
                wire.extend(BASE64_STANDARD.decode(together(rest)).ok()?);
                rest = &[];
            }
            Field::Rest => {
                let values: Option<Vec<Vec<u8>>> = rest.iter().map(Word::bytes).collect();
                (!rest.is_empty()).then_some(())?;
                wire.extend(values?.join(&b' '));
                rest = &[];
            }
            Field::Params => {
                wire.extend(params(rest)?);
                rest = &[];
            }
            Field::Location => {
                wire.extend(location(rest)?);
                rest = &[];
            }
            one => {
                let (word, left) = rest.split_first()?;
                parse_one(*one, word, &mut wire)?;
                rest = left;
            }
        }
    }
    rest.is_empty().then_some(wire)
}

fn parse_one(field: Field, word: &Word, wire: &mut Vec<u8>) -> Option<()> {
    let text = word.text.as_str();
    let is_number = text.bytes().all(|it| it.is_ascii_digit());
    match field {
        Field::Number(size) => {
            let number: u32 = text.parse().ok().filter(|_| is_number)?;
            let bytes = number.to_be_bytes();
            let (zero, bytes) = bytes.split_at(4 - size);
            zero.iter().all(|it| *it == 0).then(|| wire.extend(bytes))
        }
        Field::Time => {
            let seconds = hickory_proto::serialize::txt::parse_ttl(text).ok()?;
            wire.extend(seconds.to_be_bytes());
            Some(())
        }
        Field::Algorithm if is_number => parse_one(Field::Number(1), word, wire),
        Field::Algorithm => {
            let text = text.to_uppercase();
            let known = ALGORITHMS.iter().find(|it| it.1 == text)?;
            wire.push(known.0);
            Some(())
        }
        Field::Address4 => {
            wire.extend(text.parse::<Ipv4Addr>().ok()?.octets());
            Some(())
        }
        Field::Address6 => {
            wire.extend(text.parse::<Ipv6Addr>().ok()?.octets());
            Some(())
        }
        Field::Name => {
            let mut bytes = Vec::new();
            let mut encoder = BinEncoder::new(&mut bytes);
            encoder.set_name_encoding(NameEncoding::Uncompressed);
            name::read(text).ok()?.emit(&mut encoder).ok()?;
            wire.extend(bytes);
            Some(())
        }
        Field::Text => string(&word.bytes()?, wire),
        Field::Tag => {
            let is_tag = !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric());
            is_tag.then(|| string(text.to_lowercase().as_bytes(), wire))?
        }
        Field::Salt if text == "-" => string(b"", wire),
        Field::Salt => string(&of_hex(text)?, wire),
        Field::Texts
        | Field::Rest
        | Field::Hex
        | Field::Base64
        | Field::Params
        | Field::Location => None,
    }
}

fn string(bytes: &[u8], wire: &mut Vec<u8>) -> Option<()> {
    wire.push(u8::try_from(bytes.len()).ok()?);
    wire.extend(bytes);
    Some(())
}

/// Strings in quotes, one after the other; without quotes all of it is one text, blanks and all.
fn texts(text: &str) -> Option<Vec<u8>> {
    let bytes = match text.starts_with('"') {
        true => {
            let words = words(text)?;
            let bytes: Option<Vec<Vec<u8>>> = words.iter().map(Word::bytes).collect();
            bytes?.concat()
        }
        false => Word {
            text: text.to_owned(),
        }
        .bytes()?,
    };
    let mut wire = Vec::new();
    for part in bytes.chunks(255) {
        string(part, &mut wire)?;
    }
    Some(wire)
}

/// Wire → text.
fn write(fields: &[Field], wire: &[u8]) -> Option<String> {
    let mut decoder = BinDecoder::new(wire);
    let mut words: Vec<String> = Vec::new();
    for field in fields {
        let rest = |decoder: &mut BinDecoder| {
            let length = decoder.len();
            Some(decoder.read_slice(length).ok()?.unverified().to_vec())
        };
        let word = match field {
            Field::Number(size) => bytes(&mut decoder, *size)?
                .iter()
                .fold(0, |sum, it| sum << 8 | u32::from(*it))
                .to_string(),
            Field::Time => decoder.read_u32().ok()?.unverified().to_string(),
            Field::Algorithm => bytes(&mut decoder, 1)?[0].to_string(),
            Field::Address4 => {
                let octets: [u8; 4] = bytes(&mut decoder, 4)?.try_into().ok()?;
                IpAddr::from(octets).to_string()
            }
            Field::Address6 => {
                let octets: [u8; 16] = bytes(&mut decoder, 16)?.try_into().ok()?;
                IpAddr::from(octets).to_string()
            }
            Field::Name => name::plain(&Name::read(&mut decoder).ok()?.to_lowercase()),
            Field::Text => quoted(&text(&mut decoder)?),
            Field::Tag => {
                let tag = text(&mut decoder)?;
                let is_tag = !tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric);
                is_tag.then(|| String::from_utf8_lossy(&tag).to_lowercase())?
            }
            Field::Texts => {
                let mut all = Vec::new();
                while !decoder.is_empty() {
                    all.extend(text(&mut decoder)?);
                }
                let bare = escaped(&all, &['\\']);
                let is_bare = std::str::from_utf8(&all).is_ok_and(|it| it == bare)
                    && !bare.starts_with('"')
                    && bare.trim() == bare
                    && !bare.is_empty();
                match is_bare {
                    true => bare,
                    false => quoted(&all),
                }
            }
            Field::Rest => quoted(&rest(&mut decoder)?),
            Field::Hex => hex(&rest(&mut decoder)?),
            Field::Base64 => BASE64_STANDARD.encode(rest(&mut decoder)?),
            Field::Salt => match &text(&mut decoder)?[..] {
                [] => "-".to_owned(),
                salt => hex(salt),
            },
            Field::Params => params_shown(&rest(&mut decoder)?)?,
            Field::Location => location_shown(&rest(&mut decoder)?)?,
        };
        words.push(word);
    }
    words.retain(|it| !it.is_empty());
    decoder.is_empty().then(|| words.join(" "))
}

fn bytes<'d>(decoder: &mut BinDecoder<'d>, count: usize) -> Option<&'d [u8]> {
    Some(decoder.read_slice(count).ok()?.unverified())
}

fn text(decoder: &mut BinDecoder) -> Option<Vec<u8>> {
    Some(decoder.read_character_data().ok()?.unverified().to_vec())
}

/// SvcParamKeys (IANA, Service Parameter Keys) and how their values are written.
const PARAMS: &[(&str, Param)] = &[
    ("mandatory", Param::Keys),
    ("alpn", Param::Names),
    ("no-default-alpn", Param::Nothing),
    ("port", Param::Port),
    ("ipv4hint", Param::Hint4),
    ("ech", Param::Base64),
    ("ipv6hint", Param::Hint6),
    ("dohpath", Param::Text),
    ("ohttp", Param::Nothing),
];

#[derive(Clone, Copy)]
enum Param {
    Keys,
    Names,
    Nothing,
    Port,
    Hint4,
    Hint6,
    Base64,
    Text,
}

fn param_key(text: &str) -> Option<u16> {
    let text = text.to_lowercase();
    let known = PARAMS.iter().position(|it| it.0 == text);
    match known {
        Some(key) => u16::try_from(key).ok(),
        None => text.strip_prefix("key")?.parse().ok(),
    }
}

fn param_name(key: u16) -> String {
    let known = PARAMS.get(usize::from(key));
    known.map_or_else(|| format!("key{key}"), |it| it.0.to_owned())
}

fn param_of(key: u16) -> Param {
    PARAMS.get(usize::from(key)).map_or(Param::Text, |it| it.1)
}

/// `alpn=h2,h3 port=8443` → wire, in the order of their keys.
fn params(words: &[Word]) -> Option<Vec<u8>> {
    let mut all = std::collections::BTreeMap::new();
    for word in words {
        let (key, value) = match word.text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word.text.as_str(), None),
        };
        let key = param_key(key)?;
        let text = Word {
            text: value.unwrap_or_default().to_owned(),
        };
        let bytes = text.bytes()?;
        let items = || {
            bytes
                .split(|it| *it == b',')
                .map(|it| std::str::from_utf8(it).ok())
        };
        let mut wire = Vec::new();
        match param_of(key) {
            Param::Nothing => value.is_none_or(str::is_empty).then_some(())?,
            Param::Port => {
                let port: u16 = std::str::from_utf8(&bytes).ok()?.parse().ok()?;
                wire.extend(port.to_be_bytes());
            }
            Param::Base64 => wire = BASE64_STANDARD.decode(&bytes).ok()?,
            Param::Text => wire.clone_from(&bytes),
            Param::Keys => {
                let keys: Option<Vec<u16>> = items().map(|it| param_key(it?)).collect();
                let mut keys = keys?;
                keys.sort_unstable();
                wire.extend(keys.into_iter().flat_map(u16::to_be_bytes));
            }
            Param::Names => {
                for item in bytes.split(|it| *it == b',') {
                    string(item, &mut wire)?;
                }
            }
            Param::Hint4 => {
                for item in items() {
                    wire.extend(item?.parse::<Ipv4Addr>().ok()?.octets());
                }
            }
            Param::Hint6 => {
                for item in items() {
                    wire.extend(item?.parse::<Ipv6Addr>().ok()?.octets());
                }
            }
        }
        all.insert(key, wire).is_none().then_some(())?;
    }
    let mut wire = Vec::new();
    for (key, value) in all {
        wire.extend(key.to_be_bytes());
        wire.extend(u16::try_from(value.len()).ok()?.to_be_bytes());
        wire.extend(value);
    }
    Some(wire)
}

fn params_shown(wire: &[u8]) -> Option<String> {
    let mut decoder = BinDecoder::new(wire);
    let mut all = std::collections::BTreeMap::new();
    while !decoder.is_empty() {
        let key = decoder.read_u16().ok()?.unverified();
        let length = decoder.read_u16().ok()?.unverified();
        let value = bytes(&mut decoder, length.into())?;
        let pieces = |size: usize| {
            let whole = value.len().is_multiple_of(size) && !value.is_empty();
            whole.then(|| value.chunks(size))
        };
        let shown = match param_of(key) {
            Param::Nothing => value.is_empty().then(String::new)?,
            Param::Port => u16::from_be_bytes(value.try_into().ok()?).to_string(),
            Param::Base64 => BASE64_STANDARD.encode(value),
            Param::Text => match escaped(value, &['"', '\\']) {
                text if text.contains([' ', '(', ')']) => format!("\"{text}\""),
                text => text,
            },
            Param::Keys => {
                let names = pieces(2)?.map(|it| param_name(u16::from_be_bytes([it[0], it[1]])));
                names.collect::<Vec<_>>().join(",")
            }
            Param::Names => {
                let mut list = BinDecoder::new(value);
                let mut names = Vec::new();
                while !list.is_empty() {
                    names.push(escaped(&text(&mut list)?, &['"', '\\', ',']));
                }
                names.join(",")
            }
            Param::Hint4 => {
                let hints = pieces(4)?.map(|it| <[u8; 4]>::try_from(it).ok().map(IpAddr::from));
                shown_all(hints)?
            }
            Param::Hint6 => {
                let hints = pieces(16)?.map(|it| <[u8; 16]>::try_from(it).ok().map(IpAddr::from));
                shown_all(hints)?
            }
        };
        let name = param_name(key);
        let pair = match shown.is_empty() {
            true => name,
            false => format!("{name}={shown}"),
        };
        all.insert(key, pair);
    }
    Some(all.into_values().collect::<Vec<_>>().join(" "))
}

fn shown_all(addresses: impl Iterator<Item = Option<IpAddr>>) -> Option<String> {
    let all: Option<Vec<String>> = addresses.map(|it| Some(it?.to_string())).collect();
    Some(all?.join(","))
}

/// What latitudes and longitudes are counted from, in thousandths of an arc second (RFC 1876, section 2).
const MIDDLE: i64 = 1 << 31;
/// Metres below the reference spheroid at which altitudes begin, in centimetres.
const DEPTH: i64 = 10_000_000;

/// `52 22 23.000 N 4 53 32.000 E -2m 1m 10000m 10m` → wire; what is left out after the altitude has its default.
fn location(words: &[Word]) -> Option<Vec<u8>> {
    let all: Vec<&str> = words.iter().map(|it| it.text.as_str()).collect();
    let (latitude, rest) = angle(&all, ["N", "S"], 90)?;
    let (longitude, rest) = angle(rest, ["E", "W"], 180)?;
    let (altitude, rest) = rest.split_first()?;
    let altitude = u32::try_from(centimetres(altitude)? + DEPTH).ok()?;
    (rest.len() <= 3).then_some(())?;
    let mut wire = vec![0];
    for (index, default) in ["1m", "10000m", "10m"].into_iter().enumerate() {
        wire.push(size(centimetres(rest.get(index).unwrap_or(&default))?)?);
    }
    for number in [latitude, longitude, altitude] {
        wire.extend(number.to_be_bytes());
    }
    Some(wire)
}

fn angle<'w, 't>(
    words: &'w [&'t str],
    [ahead, back]: [&str; 2],
    most: i64,
) -> Option<(u32, &'w [&'t str])> {
    let end = words
        .iter()
        .position(|it| it.eq_ignore_ascii_case(ahead) || it.eq_ignore_ascii_case(back))?;
    (1..=3).contains(&end).then_some(())?;
    let part = |index: usize| words[..end].get(index).copied().unwrap_or("0");
    let (degrees, minutes): (i64, i64) = (part(0).parse().ok()?, part(1).parse().ok()?);
    let seconds = decimal(part(2), 3)?;
    let sound = (0..60).contains(&minutes) && (0..60_000).contains(&seconds);
    let whole = (degrees * 60 + minutes) * 60_000 + seconds;
    let fits = degrees >= 0 && whole <= most * 3_600_000;
    (sound && fits).then_some(())?;
    let way = match words[end].eq_ignore_ascii_case(ahead) {
        true => whole,
        false => -whole,
    };
    Some((u32::try_from(MIDDLE + way).ok()?, &words[end + 1..]))
}

/// A number with so many decimals, times ten to their count.
fn decimal(text: &str, decimals: usize) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
    let sound = is_number(whole) && is_number(part) && part.len() <= decimals && !whole.is_empty();
    let number: i64 = format!("{whole}{part:0<decimals$}").parse().ok()?;
    sound.then_some(sign * number)
}

fn centimetres(text: &str) -> Option<i64> {
    decimal(text.strip_suffix(['m', 'M']).unwrap_or(text), 2)
}

/// A size as a digit and a power of ten, of centimetres.
fn size(centimetres: i64) -> Option<u8> {
    let (mut digit, mut power) = (u64::try_from(centimetres).ok()?, 0);
    while digit > 9 {
        (digit, power) = (digit / 10, power + 1);
    }
    (power <= 9).then_some((digit as u8) << 4 | power)
}

fn location_shown(wire: &[u8]) -> Option<String> {
    let [0, sizes @ ..] = wire else { return None };
    let (sizes, numbers) = sizes.split_at_checked(3)?;
    let [latitude, longitude, altitude] = <[_; 3]>::try_from(
        numbers
            .chunks(4)
            .map(|it| Some(i64::from(u32::from_be_bytes(it.try_into().ok()?))))
            .collect::<Option<Vec<i64>>>()?,
    )
    .ok()?;
    let angle = |number: i64, [ahead, back]: [&str; 2]| {
        let way = number - MIDDLE;
        let whole = way.abs();
        let side = if way < 0 { back } else { ahead };
        let (degrees, minutes) = (whole / 3_600_000, whole / 60_000 % 60);
        let seconds = whole % 60_000;
        format!(
            "{degrees} {minutes} {}.{:03} {side}",
            seconds / 1000,
            seconds % 1000
        )
    };
    let metres = |it: i64| {
        let sign = if it < 0 { "-" } else { "" };
        let (whole, part) = (it.abs() / 100, it.abs() % 100);
        match part {
            0 => format!("{sign}{whole}m"),
            part => format!("{sign}{whole}.{part:02}m"),
        }
    };
    let size = |it: &u8| {
        let (digit, power) = (it >> 4, it & 15);
        let sound = digit <= 9 && power <= 9;
        sound.then(|| metres(i64::from(digit) * 10_i64.pow(power.into())))
    };
    let sizes: Option<Vec<String>> = sizes.iter().map(size).collect();
    Some(format!(
        "{} {} {} {}",
        angle(latitude, ["N", "S"]),
        angle(longitude, ["E", "W"]),
        metres(altitude - DEPTH),
        sizes?.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(record: &str, one: &str, other: &str) {
        let kind = kind(record).expect("a type");
        assert_eq!(read(kind, one), read(kind, other), "{record}");
        assert!(
            read(kind, one).is_ok(),
            "{record} {one}: {:?}",
            read(kind, one)
        );
    }

    #[test]
    fn examples_of_every_type_are_read_and_stay_what_they_are() {
        for (number, name, fields, example) in TYPES {
            let example = example.replace("ab01…", "ab01").replace("AQID…", "AQID");
            assert_eq!(kind(name).map(u16::from), Some(*number));
            let wire = parse(fields, &example).unwrap_or_else(|| panic!("{name} {example}"));
            let text = write(fields, &wire).unwrap_or_else(|| panic!("{name} {example}"));
            assert_eq!(parse(fields, &text).as_ref(), Some(&wire), "{name} {text}");
        }
    }

    #[test]
    fn data_are_the_same_however_they_are_written() {
        same("MX", "10 MX1.example.JP.", "10  mx1.example.jp");
        same("AAAA", "2001:DB8::0:1", "2001:db8::1");
        same("TXT", r#""v=spf1 " "-all""#, "v=spf1 -all");
        same("TXT", r#""v=DKIM1; k=rsa""#, r"v=DKIM1\; k=rsa");
        same("TXT", r#""a\"b""#, r#""a" "\"b""#);
        same("TLSA", "3 1 1 AB CD\tef", "3 1 1 abcdef");
        same("SSHFP", "4 2 ABCDEF", "4 2 ( abcd ef )");
        same("DS", "12345 ECDSAP256SHA256 2 AB 01", "12345 13 2 ab01");
        same(
            "CAA",
            "0 issue letsencrypt.org",
            "0 ISSUE \"letsencrypt.org\"",
        );
        same("CAA", "0 issue ;", "0 issue \";\"");
        same(
            "HTTPS",
            "1 . port=8443 alpn=\"h3,h2\"",
            "1 . alpn=h3,h2 port=8443",
        );
        same("HTTPS", "1 . key667=\\032\\251", "1 . key667=\" \\251\"");
        same("DNAME", "Example.NET.", "example.net");
        same(
            "SOA",
            "ns1.x. a\\.b.x. 1 1h 15m 1w 300",
            "ns1.x a\\.b.x 1 3600 900 604800 5m",
        );
        same(
            "URI",
            "10 1 https://www.example.jp/",
            "10 1 \"https://www.example.jp/\"",
        );
        same(
            "LOC",
            "52 22 23 N 4 53 32 E -2m",
            "52 22 23.000 N 4 53 32.000 E -2.00m 1m 10000m 10m",
        );
        same("A", r"\# 4 C0 000201", "192.0.2.1");
        same("TYPE65280", r"\# 3 AB CD EF", r"\# 3 abcdef");
        same("TYPE1", "192.0.2.1", r"\# 4 c0000201");
    }

    #[test]
    fn what_differs_is_not_the_same() {
        let of = |record: &str, text: &str| read(kind(record).expect("a type"), text);
        assert_ne!(of("TXT", "a b"), of("TXT", "a  b"));
        assert_ne!(of("TXT", "Word.com"), of("TXT", "word.com"));
        assert_ne!(of("TXT", r#""\"a\"""#), of("TXT", r#""a""#));
        assert_ne!(of("TLSA", "3 1 1 abcd"), of("TLSA", "3 1 2 abcd"));
        assert_eq!(of("TXT", "a  b").as_deref(), Ok("a  b"));
    }

    #[test]
    fn what_is_no_data_says_how_they_are_written() {
        for (record, text) in [
            ("A", "www.example.jp"),
            ("A", "2001:db8::1"),
            ("MX", "mx1.example.jp"),
            ("MX", "70000 mx1.example.jp"),
            ("CNAME", "a b"),
            ("TLSA", "3 1 1 abc"),
            ("LOC", "91 N 0 E 0m"),
            ("HTTPS", "1 . port=x"),
            ("TYPE65280", "abcd"),
            ("TYPE65280", r"\# 3 abcd"),
            ("CAA", "0 issue"),
            ("TXT", "\"open"),
        ] {
            let said = read(kind(record).expect("a type"), text);
            assert!(
                said.as_ref()
                    .is_err_and(|it| it.contains("written as") || it.contains("expected")),
                "{record} {text} {said:?}"
            );
        }
        for text in [
            "AXFR",
            "ANY",
            "OPT",
            "TYPE0",
            "TYPE255",
            "TYPE70000",
            "NOTYPE",
        ] {
            assert_eq!(kind(text), None, "{text}");
        }
        assert_eq!(kind_shown(RecordType::Unknown(65280)), "TYPE65280");
        assert_eq!(kind_shown(RecordType::from(29)), "LOC");
    }
}
