//! Reads the certificate of servers that speak TLS 1.2 or older in ways that no TLS library accepts any more.
//!
//! Up to TLS 1.2 the chain travels in the clear (RFC 5246, section 7.4.2), so one ClientHello shows it. Nothing is
//! negotiated and nothing is proven: the connection ends after the Certificate message.

use crate::net::{Fault, fault};
use rustls::pki_types::CertificateDer;
use std::io::{self, Read, Write};

/// What a server showed in the clear.
#[derive(Debug, PartialEq)]
pub struct Shown {
    /// As in the ServerHello: 0x0301 is TLS 1.0.
    pub version: u16,
    pub chain: Vec<CertificateDer<'static>>,
}

/// A hello to try: the newest version that it offers, and whether it has extensions, on which old stacks choke.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hello {
    version: u16,
    extensions: bool,
}

/// The hellos in the order in which they are tried, each on a connection of its own.
pub const HELLOS: [Hello; 3] = [
    Hello {
        version: 0x0303,
        extensions: true,
    },
    Hello {
        version: 0x0301,
        extensions: false,
    },
    Hello {
        version: 0x0300,
        extensions: false,
    },
];

/// Suites with RSA, DHE and ECDHE key exchange down to RC4 and 3DES: whatever makes a server show its
/// certificate. TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746) stands last.
const SUITES: [u16; 34] = [
    0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0xc023, 0xc027,
    0xc024, 0xc028, 0xc007, 0xc011, 0xc008, 0xc012, 0x009e, 0x009f, 0x0033, 0x0039, 0x0067, 0x006b,
    0x0016, 0x009c, 0x009d, 0x002f, 0x0035, 0x003c, 0x000a, 0x0005, 0x0004, 0x00ff,
];

/// The most that is read before a chain must have come.
const MOST: usize = 256 << 10;

/// How a version is called.
pub fn version_name(version: u16) -> &'static str {
    match version {
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        _ => "an unknown version of TLS",
    }
}

impl Hello {
    /// The record of the ClientHello (RFC 5246, section 7.4.1.2); `name` is the server name, if it has one.
    fn record(self, name: Option<&str>) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        // Not random, because nothing will be encrypted; not all alike, because some servers look.
        body.extend((0..32u8).map(|it| it.wrapping_mul(37) ^ 0x5a));
        body.push(0);
        sized(&mut body, 2, |list| {
            for suite in SUITES {
                list.extend(suite.to_be_bytes());
            }
        });
        body.extend([1, 0]);
        if self.extensions {
            sized(&mut body, 2, |all| extensions(all, name));
        }
        let mut message = vec![1];
        sized(&mut message, 3, |it| it.extend(body));
        // The version of the record stays low: some stacks refuse a higher one (RFC 5246, appendix E).
        let mut record = vec![22];
        record.extend(self.version.min(0x0301).to_be_bytes());
        sized(&mut record, 2, |it| it.extend(message));
        record
    }
}

/// Appends what `fill` writes, with its length before it in so many bytes.
fn sized(to: &mut Vec<u8>, bytes: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    let length = (inner.len() as u32).to_be_bytes();
    to.extend(&length[4 - bytes..]);
    to.extend(inner);
}

fn extensions(all: &mut Vec<u8>, name: Option<&str>) {
    let mut extension = |kind: u16, fill: &dyn Fn(&mut Vec<u8>)| {
        all.extend(kind.to_be_bytes());
        sized(all, 2, |it| fill(it));
    };
    if let Some(name) = name {
        // server_name (RFC 6066)
        extension(0, &|it| {
            sized(it, 2, |list| {
                list.push(0);
                sized(list, 2, |it| it.extend(name.as_bytes()));
            });
        });
    }
    // supported_groups and ec_point_formats (RFC 8422)
    extension(10, &|it| {
        sized(it, 2, |list| list.extend([0, 23, 0, 24, 0, 25, 0, 29]))
    });
    extension(11, &|it| sized(it, 1, |list| list.push(0)));
    // signature_algorithms (RFC 5246), with SHA-1 and MD5
    extension(13, &|it| {
        sized(it, 2, |list| {
            for hash in [4, 5, 6, 2, 3, 1] {
                list.extend([hash, 1, hash, 3]);
            }
            list.extend([2, 2]);
        });
    });
}

/// How far the bytes of a server go.
#[derive(Debug, PartialEq)]
pub enum Progress {
    /// More are needed.
    More,
    Done(Shown),
    /// The description of an alert (RFC 5246, section 7.2).
    Alert(u8),
    /// This is no TLS.
    Other,
}

/// Reads records, messages and the chain in them; never panics and never allocates more than it was given.
pub fn parse(bytes: &[u8]) -> Progress {
    let mut handshake = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let kind = rest[0];
        if !matches!(kind, 20..=23) || rest.get(1).is_some_and(|it| *it != 3) {
            return Progress::Other;
        }
        let Some(header) = rest.get(..5) else {
            break;
        };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let body = &rest[5..rest.len().min(5 + length)];
        match (kind, body) {
            (21, [_, description, ..]) => return Progress::Alert(*description),
            (22, body) => handshake.extend_from_slice(body),
            _ => (),
        }
        rest = &rest[rest.len().min(5 + length)..];
    }
    messages(&handshake)
}

/// The handshake messages up to the Certificate.
fn messages(bytes: &[u8]) -> Progress {
    let mut version = 0;
    let mut rest = bytes;
    while let [kind, a, b, c, tail @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some(body) = tail.get(..length) else {
            return Progress::More;
        };
        match (kind, body) {
            (2, [high, low, ..]) => version = u16::from_be_bytes([*high, *low]),
            (11, [_, _, _, list @ ..]) => {
                return Progress::Done(Shown {
                    version,
                    chain: certificates(list),
                });
            }
            // ServerHelloDone without a certificate: an anonymous server.
            (14, _) => {
                return Progress::Done(Shown {
                    version,
                    chain: Vec::new(),
                });
            }
            _ => (),
        }
        rest = &tail[length..];
    }
    Progress::More
}

fn certificates(list: &[u8]) -> Vec<CertificateDer<'static>> {
    let mut chain = Vec::new();
    let mut rest = list;
    while let [a, b, c, tail @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some(der) = tail.get(..length) else {
            break;
        };
        chain.push(CertificateDer::from(der.to_vec()));
        rest = &tail[length..];
    }
    chain
}

/// Sends one hello and reads what the server shows.
///
/// # Errors
/// When it shows no certificate.
pub fn read(
    stream: &mut (impl Read + Write),
    hello: Hello,
    name: Option<&str>,
    who: &str,
) -> Result<Shown, Fault> {
    let told = |error: io::Error| fault(&error, who, "in the TLS handshake");
    stream.write_all(&hello.record(name)).map_err(told)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(told(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(told(error)),
        }
        match parse(&bytes) {
            Progress::Done(shown) => return Ok(shown),
            Progress::Alert(description) => {
                let text = format!("{who} refuses the TLS handshake (alert {description})");
                return Err(Fault::world("tls-alert", text));
            }
            Progress::Other => {
                return Err(Fault::world("not-tls", format!("{who} does not speak TLS")));
            }
            Progress::More if bytes.len() > MOST => {
                let text = format!("{who} sends more than a handshake can have");
                return Err(Fault::world("not-tls", text));
            }
            Progress::More => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// ServerHello of TLS 1.0 and a chain of two, cut into records of 7 bytes.
    fn server(records_of: usize) -> Vec<u8> {
        let mut messages = vec![2, 0, 0, 2, 3, 1];
        messages.push(11);
        sized(&mut messages, 3, |it| {
            sized(it, 3, |list| {
                sized(list, 3, |it| it.extend(b"leaf"));
                sized(list, 3, |it| it.extend(b"issuer"));
            });
        });
        let mut bytes = Vec::new();
        for part in messages.chunks(records_of) {
            bytes.extend([22, 3, 1]);
            sized(&mut bytes, 2, |it| it.extend(part));
        }
        bytes
    }

    #[test]
    fn the_chain_is_put_together_from_any_records() {
        for records_of in [1, 7, 1000] {
            let Progress::Done(shown) = parse(&server(records_of)) else {
                panic!("no chain");
            };
            assert_eq!(shown.version, 0x0301);
            assert_eq!(shown.chain.len(), 2);
            assert_eq!(&*shown.chain[0], b"leaf");
        }
    }

    #[test]
    fn what_is_cut_off_needs_more_and_other_protocols_are_told() {
        let whole = server(1000);
        for end in 1..whole.len() {
            assert_eq!(parse(&whole[..end]), Progress::More, "{end}");
        }
        assert_eq!(parse(b"220 smtp"), Progress::Other);
        assert_eq!(parse(&[21, 3, 1, 0, 2, 2, 70]), Progress::Alert(70));
    }

    #[test]
    fn lying_lengths_are_harmless() {
        let mut lying = server(1000);
        // The list says that its second certificate has 16 MiB.
        let at = lying
            .windows(6)
            .position(|it| it == b"issuer")
            .expect("there")
            - 3;
        lying[at] = 0xff;
        assert!(matches!(parse(&lying), Progress::Done(shown) if shown.chain.len() == 1));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let mut record = vec![22, 3, 1];
            sized(&mut record, 2, |it| it.extend(&bytes));
            let _ = parse(&record);
        }
    }
}
