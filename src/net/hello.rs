//! Reads the certificate of servers that speak TLS 1.2 or older in ways that no TLS library accepts any more.
//!
//! Up to TLS 1.2 the chain travels in the clear (RFC 5246, section 7.4.2), so one ClientHello shows it. Nothing is
//! negotiated and nothing is proven: the connection ends after the Certificate message.

use crate::net::{Fault, TOO_OLD, fault};
use rustls::CipherSuite;
use rustls::pki_types::CertificateDer;
use std::io::{self, Read, Write};

/// What a server showed in the clear.
#[derive(Debug, PartialEq)]
pub struct Shown {
    pub spoken: Spoken,
    pub chain: Vec<CertificateDer<'static>>,
}

/// What a server chose in its ServerHello.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spoken {
    /// 0x0301 is TLS 1.0.
    pub version: u16,
    /// Nothing in a hello that is too short for it, as sloppy devices send it.
    pub suite: Option<u16>,
}

/// A hello to try: the newest version that it offers, and whether it has extensions, on which old stacks choke.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hello {
    version: u16,
    extensions: bool,
}

/// The hellos that show a chain, in the order in which they are tried, each on a connection of its own.
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

/// One for servers of TLS 1.3 alone, which show in the clear only what they chose.
const NEWEST: Hello = Hello {
    version: 0x0304,
    extensions: true,
};

/// Suites of all kinds of key exchange down to RC4, 3DES and export ones: whatever makes a server show its
/// certificate, those without one last. TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746) ends the list.
const SUITES: &[u16] = &[
    // ECDHE with AES-GCM, ChaCha20, CBC, RC4, 3DES
    0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0xc023, 0xc027,
    0xc024, 0xc028, 0xc007, 0xc011, 0xc008, 0xc012, // ECDHE with CCM, Camellia, ARIA
    0xc0ac, 0xc0ad, 0xc0ae, 0xc0af, 0xc072, 0xc073, 0xc076, 0xc077, 0xc086, 0xc087, 0xc08a, 0xc08b,
    0xc05c, 0xc05d, 0xc060, 0xc061, // DHE with RSA and DSS
    0x009e, 0x009f, 0xccaa, 0x0033, 0x0039, 0x0067, 0x006b, 0x0016, 0x0045, 0x0088, 0x00be, 0x00c4,
    0xc07c, 0xc07d, 0xc052, 0xc053, 0xc09e, 0xc09f, 0xc0a2, 0xc0a3, 0x009a, 0x00a2, 0x00a3, 0x0032,
    0x0038, 0x0040, 0x006a, 0x0013, 0x0044, 0x0087, 0x0015, 0x0012, // RSA
    0x009c, 0x009d, 0x002f, 0x0035, 0x003c, 0x003d, 0x000a, 0x0005, 0x0004, 0x0041, 0x0084, 0x00ba,
    0x00c0, 0xc07a, 0xc07b, 0xc050, 0xc051, 0xc09c, 0xc09d, 0xc0a0, 0xc0a1, 0x0096, 0x0007, 0x0009,
    // ECDH
    0xc004, 0xc005, 0xc00e, 0xc00f, 0xc02d, 0xc02e, 0xc031, 0xc032, // export, NULL, anonymous
    0x0003, 0x0006, 0x0008, 0x0014, 0x0001, 0x0002, 0x003b, 0xc006, 0xc010, 0xc019, 0xc018, 0x00a6,
    0x0034, 0x003a, 0x001b, 0x0018, 0x00ff,
];

/// Those of TLS 1.3 (RFC 8446, appendix B.4).
const NEWEST_SUITES: &[u16] = &[0x1301, 0x1302, 0x1303, 0x1304, 0x1305];

/// The most that is read before a chain must have come.
const MOST: usize = 256 << 10;

/// How a version is called.
pub fn version_name(version: u16) -> &'static str {
    match version {
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        0x0304 => "TLS 1.3",
        _ => "an unknown version of TLS",
    }
}

impl std::fmt::Display for Spoken {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        let version = version_name(self.version);
        match self.suite.map(|it| (it, CipherSuite::from(it).as_str())) {
            Some((_, Some(suite))) => write!(to, "{version} with {suite}"),
            Some((number, None)) => write!(to, "{version} with the suite 0x{number:04x}"),
            None => to.write_str(version),
        }
    }
}

impl Hello {
    /// The record of the ClientHello (RFC 5246, section 7.4.1.2); `name` is the server name, if it has one.
    fn record(self, name: Option<&str>) -> Vec<u8> {
        // TLS 1.3 is offered in an extension (RFC 8446, section 4.1.2).
        let mut body = self.version.min(0x0303).to_be_bytes().to_vec();
        let suites = match self {
            NEWEST => NEWEST_SUITES,
            _ => SUITES,
        };
        // Not random, because nothing will be encrypted; not all alike, because some servers look.
        body.extend((0..32u8).map(|it| it.wrapping_mul(37) ^ 0x5a));
        body.push(0);
        sized(&mut body, 2, |list| {
            for suite in suites {
                list.extend(suite.to_be_bytes());
            }
        });
        body.extend([1, 0]);
        if self.extensions {
            sized(&mut body, 2, |all| extensions(all, name, self));
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

fn extensions(all: &mut Vec<u8>, name: Option<&str>, hello: Hello) {
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
    // supported_groups and ec_point_formats (RFC 8422): the curves of NIST, Brainpool, X25519 and X448
    extension(10, &|it| {
        sized(it, 2, |list| {
            for group in [23, 24, 25, 29, 30, 26, 27, 28, 21, 22] {
                list.extend([0, group]);
            }
        });
    });
    extension(11, &|it| sized(it, 1, |list| list.push(0)));
    // signature_algorithms (RFC 5246), with Ed25519, Ed448, PSS and in older versions SHA-1 and MD5
    extension(13, &|it| {
        sized(it, 2, |list| {
            for hash in [4, 5, 6, 2, 3, 1] {
                list.extend([hash, 1, hash, 3]);
            }
            list.extend([2, 2]);
            for newer in 4..=11 {
                list.extend([8, newer]);
            }
        });
    });
    if hello == NEWEST {
        // supported_versions, and a key_share without keys, which asks the server to choose a group (RFC 8446, section 4.2.8)
        extension(43, &|it| sized(it, 1, |list| list.extend([3, 4])));
        extension(51, &|it| sized(it, 2, |_| ()));
    }
}

/// How far the bytes of a server go.
#[derive(Debug, PartialEq)]
pub enum Progress {
    /// More are needed.
    More,
    Done(Shown),
    /// The description of an alert (RFC 5246, section 7.2).
    Alert(u8),
    /// The lengths in its certificate list contradict each other.
    Torn,
    /// This is no TLS.
    Other,
}

/// What the bytes of a server say so far.
#[derive(Debug, PartialEq)]
pub struct Heard {
    /// Its ServerHello, as soon as that is whole.
    pub spoken: Option<Spoken>,
    pub progress: Progress,
}

/// Reads records, messages and the chain in them; never panics and never allocates more than it was given.
pub fn parse(bytes: &[u8]) -> Heard {
    let mut handshake = Vec::new();
    let mut rest = bytes;
    let mut end = None;
    while !rest.is_empty() && end.is_none() {
        let kind = rest[0];
        if !matches!(kind, 20..=23) || rest.get(1).is_some_and(|it| *it != 3) {
            end = Some(Progress::Other);
            break;
        }
        let Some(header) = rest.get(..5) else {
            break;
        };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let body = &rest[5..rest.len().min(5 + length)];
        match (kind, body) {
            // A warning is no end, apart from close_notify (RFC 5246, section 7.2).
            (21, [1, description, ..]) if *description != 0 => (),
            (21, [_, description, ..]) => end = Some(Progress::Alert(*description)),
            (22, body) => handshake.extend_from_slice(body),
            _ => (),
        }
        rest = &rest[rest.len().min(5 + length)..];
    }
    let mut heard = messages(&handshake);
    if let (Progress::More, Some(end)) = (&heard.progress, end) {
        heard.progress = end;
    }
    heard
}

/// The handshake messages up to the Certificate.
fn messages(bytes: &[u8]) -> Heard {
    let mut heard = Heard {
        spoken: None,
        progress: Progress::More,
    };
    let mut rest = bytes;
    while let [kind, a, b, c, tail @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some(body) = tail.get(..length) else {
            return heard;
        };
        let done = |chain| match heard.spoken {
            Some(spoken) => Progress::Done(Shown { spoken, chain }),
            None => Progress::Torn,
        };
        let end = match (kind, body) {
            (2, body) => {
                heard.spoken = server_hello(body);
                heard.spoken.is_none().then_some(Progress::Torn)
            }
            (11, body) => Some(certificates(body).map_or(Progress::Torn, done)),
            // ServerHelloDone without a certificate: an anonymous server.
            (14, _) => Some(done(Vec::new())),
            _ => None,
        };
        if let Some(end) = end {
            heard.progress = end;
            return heard;
        }
        rest = &tail[length..];
    }
    heard
}

/// The version, 32 random bytes, a session and the suite (RFC 5246, section 7.4.1.3); TLS 1.3 says so in an extension.
fn server_hello(body: &[u8]) -> Option<Spoken> {
    let version = u16::from_be_bytes([*body.first()?, *body.get(1)?]);
    let session = usize::from(body.get(34).copied().unwrap_or(0));
    let rest = body.get(35 + session..).unwrap_or_default();
    let suite = match rest {
        [high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    };
    let mut extensions = rest.get(5..).unwrap_or_default();
    let mut newer = None;
    while let [a, b, c, d, tail @ ..] = extensions {
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        let (value, behind) = tail.split_at(length.min(tail.len()));
        if let ([0, 43], [high, low]) = ([*a, *b], value) {
            newer = Some(u16::from_be_bytes([*high, *low]));
        }
        extensions = behind;
    }
    Some(Spoken {
        version: newer.unwrap_or(version),
        suite,
    })
}

/// The chain, where the lengths of list and entries fit each other (RFC 5246, section 7.4.2).
fn certificates(body: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let (whole, mut rest) = body.split_at_checked(3)?;
    let length = u32::from_be_bytes([0, whole[0], whole[1], whole[2]]) as usize;
    if rest.len() != length {
        return None;
    }
    let mut chain = Vec::new();
    while !rest.is_empty() {
        let (entry, tail) = rest.split_at_checked(3)?;
        let length = u32::from_be_bytes([0, entry[0], entry[1], entry[2]]) as usize;
        let (der, behind) = tail.split_at_checked(length)?;
        if der.is_empty() {
            return None;
        }
        chain.push(CertificateDer::from(der.to_vec()));
        rest = behind;
    }
    Some(chain)
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
    converse(stream, hello, name, who, |heard| match heard.progress {
        Progress::Done(shown) => Some(shown),
        _ => None,
    })
}

/// Sends one hello and reads until `enough` finds what it looks for.
fn converse<T>(
    stream: &mut (impl Read + Write),
    hello: Hello,
    name: Option<&str>,
    who: &str,
    enough: impl Fn(Heard) -> Option<T>,
) -> Result<T, Fault> {
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
        let heard = parse(&bytes);
        let wrong = match heard.progress {
            Progress::Alert(description) => {
                let text = format!("{who} refuses the TLS handshake (alert {description})");
                Some(Fault::world("tls-alert", text))
            }
            Progress::Torn => {
                let text =
                    format!("{who} sends messages of TLS whose lengths contradict each other");
                Some(Fault::world("protocol", text))
            }
            Progress::Other => Some(Fault::world("not-tls", format!("{who} does not speak TLS"))),
            Progress::More if bytes.len() > MOST => {
                let text = format!("{who} sends more than a handshake can have");
                Some(Fault::world("not-tls", text))
            }
            Progress::More | Progress::Done(_) => None,
        };
        match (enough(heard), wrong) {
            (Some(found), _) => return Ok(found),
            (None, Some(fault)) => return Err(fault),
            (None, None) => (),
        }
    }
}

/// Why a handshake failed with a peer that may be too old: whoever answers an older hello speaks TLS, but one that the library does not have.
/// `again` makes a new connection to it.
pub fn explain<S: Read + Write>(
    fault: Fault,
    name: &str,
    who: &str,
    mut again: impl FnMut() -> Result<S, Fault>,
) -> Fault {
    let [first, older @ ..] = HELLOS;
    for hello in [first, NEWEST].into_iter().chain(older) {
        let spoken = again()
            .and_then(|mut stream| converse(&mut stream, hello, sni(name), who, |it| it.spoken));
        match spoken {
            Ok(spoken) => return too_old(spoken, who),
            // Nobody is left to ask, or no time.
            Err(Fault::Late(_) | Fault::Me(_)) => return fault,
            Err(Fault::World { .. }) => (),
        }
    }
    fault
}

/// The fault of a peer that chose something that the library does not have.
pub fn too_old(spoken: Spoken, who: &str) -> Fault {
    let text = match spoken.version {
        0x0303.. => format!("{who} speaks {spoken}, with parameters that koshu does not have"),
        _ => format!("{who} speaks {spoken}, which is too old for koshu"),
    };
    Fault::lack(TOO_OLD, text)
}

/// The name to say in the hello; addresses are no names there (RFC 6066, section 3).
pub fn sni(name: &str) -> Option<&str> {
    name.parse::<std::net::IpAddr>().is_err().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// ServerHello of TLS 1.0 and a chain of two, cut into records of 7 bytes.
    fn server(records_of: usize) -> Vec<u8> {
        let mut messages = vec![2];
        sized(&mut messages, 3, |it| {
            it.extend([3, 1]);
            it.extend([7; 32]);
            it.extend([0, 0, 0x35, 0]);
        });
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
            let Progress::Done(shown) = parse(&server(records_of)).progress else {
                panic!("no chain");
            };
            let spoken = shown.spoken.to_string();
            assert_eq!(spoken, "TLS 1.0 with TLS_RSA_WITH_AES_256_CBC_SHA");
            assert_eq!(shown.chain.len(), 2);
            assert_eq!(&*shown.chain[0], b"leaf");
        }
    }

    #[test]
    fn what_is_cut_off_needs_more_and_other_protocols_are_told() {
        let whole = server(1000);
        for end in 1..whole.len() {
            assert_eq!(parse(&whole[..end]).progress, Progress::More, "{end}");
        }
        assert_eq!(parse(b"220 smtp").progress, Progress::Other);
        let fatal = [21, 3, 1, 0, 2, 2, 70];
        assert_eq!(parse(&fatal).progress, Progress::Alert(70));
    }

    #[test]
    fn a_warning_is_no_end() {
        // unrecognized_name, as servers send it to whoever asks for a name that they do not have.
        let warning = [21, 3, 1, 0, 2, 1, 112];
        assert_eq!(parse(&warning).progress, Progress::More);
        let all = [&warning[..], &server(1000)].concat();
        assert!(matches!(parse(&all).progress, Progress::Done(_)));
        let goodbye = [21, 3, 1, 0, 2, 1, 0];
        assert_eq!(parse(&goodbye).progress, Progress::Alert(0));
    }

    #[test]
    fn lengths_that_contradict_each_other_are_no_certificate() {
        let good = server(1000);
        let at = good
            .windows(6)
            .position(|it| it == b"issuer")
            .expect("there");
        // The second certificate is longer than its list, or shorter; the list than its message; the first one is empty.
        for (place, by) in [
            (at - 3, 0xff),
            (at - 1, 5),
            (at - 1, 7),
            (at - 8, 1),
            (at - 11, 1),
        ] {
            let mut lying = good.clone();
            lying[place] = by;
            let heard = parse(&lying);
            assert_eq!(heard.progress, Progress::Torn, "{place}");
            assert!(heard.spoken.is_some());
        }
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
