//! What checks share on the network: names, dialling with a deadline, and the line between the world's faults and ours.

pub mod agent;
pub mod detour;
pub mod dial;
pub mod dns;
pub mod everywhere;
pub mod hello;
pub mod icmp;
mod legacy;
pub mod lenient;
pub mod starttls;
pub mod store;
pub mod tls;
pub mod trust;
pub mod x509;

use crate::model::outcome::{Code, Outcome, code};
use crate::model::state::State;
use anyhow::anyhow;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// The findings that any check of something on the network can have.
pub const CODES: &[Code] = &[
    code(
        "refused",
        "CRITICAL",
        "The machine answers, but nothing listens on the port: start the service, or correct the port.",
    ),
    code(
        "unreachable",
        "CRITICAL",
        "No route, or a router or firewall said no: look at the network between here and there.",
    ),
    code(
        "reset",
        "CRITICAL",
        "The peer broke the connection off: it crashed, is overloaded, or a firewall forbids it.",
    ),
    code(
        "closed",
        "CRITICAL",
        "The peer closed the connection before it had answered.",
    ),
    code(
        "no-such-name",
        "CRITICAL",
        "The name does not exist, or has no address: correct it, or mend its zone.",
    ),
    code(
        "tls-alert",
        "CRITICAL",
        "The peer refused the TLS handshake: protocol version, cipher or client certificate do not suit it.",
    ),
    code(
        "not-tls",
        "CRITICAL",
        "What answers does not speak TLS: wrong port, or TLS was switched off.",
    ),
    code(
        "protocol",
        "CRITICAL",
        "What the peer sends contradicts itself, or is another protocol than was asked for: wrong port or wrong service.",
    ),
    code(
        TOO_OLD,
        "UNKNOWN",
        "The peer speaks a TLS that is too old for koshu, or with parameters that it does not have: what is behind it was not seen. Renew the peer; `legacy = true` of http and tcp asks the host's openssl instead.",
    ),
];

/// The code of a peer whose TLS is too old for this program.
pub const TOO_OLD: &str = "tls-too-old";

/// Why something on the network did not work.
#[derive(Debug)]
pub enum Fault {
    /// The deadline came; the text says how far it got.
    Late(String),
    /// The world is bad: CRITICAL, with one of [`CODES`].
    World { code: &'static str, text: String },
    /// Something is missing here: UNKNOWN.
    Me(anyhow::Error),
}

/// Something that is missing here and has a code of its own.
#[derive(Debug)]
struct Lack {
    code: &'static str,
    text: String,
}

impl fmt::Display for Lack {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(&self.text)
    }
}

impl std::error::Error for Lack {}

impl Fault {
    pub fn world(code: &'static str, text: impl Into<String>) -> Fault {
        Fault::World {
            code,
            text: text.into(),
        }
    }

    /// A fault of ours that has one of [`CODES`].
    pub fn lack(code: &'static str, text: impl Into<String>) -> Fault {
        let text = text.into();
        Fault::Me(Lack { code, text }.into())
    }

    /// Its code, where it has one of its own.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Fault::Late(_) => None,
            Fault::World { code, .. } => Some(code),
            Fault::Me(error) => error.downcast_ref().map(|it: &Lack| it.code),
        }
    }

    /// What a check that ends with this fault returns.
    ///
    /// # Errors
    /// For a fault of ours.
    pub fn outcome(self) -> anyhow::Result<Outcome> {
        match self {
            Fault::Late(seen) => Ok(Outcome::late(&seen)),
            Fault::World { code, text } => Ok(Outcome::of(code, State::Critical, &text)),
            Fault::Me(error) => match error.downcast_ref() {
                Some(Lack { code, text }) => Ok(Outcome::of(code, State::Unknown, text)),
                None => Err(error),
            },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Fault::Late(text) | Fault::World { text, .. } => to.write_str(text),
            Fault::Me(error) => write!(to, "{error:#}"),
        }
    }
}

/// Draws the line between the world and us; every network error passes here.
///
/// `who` is the peer, `doing` what was being done, as "waiting for its answer".
pub fn fault(error: &io::Error, who: &str, doing: &str) -> Fault {
    use io::ErrorKind as Kind;
    if let Some(fault) = tls::told(error, who) {
        return fault;
    }
    match error.kind() {
        Kind::TimedOut | Kind::WouldBlock => {
            Fault::Late(format!("{who}: no answer in time, {doing}"))
        }
        Kind::ConnectionRefused => Fault::world("refused", format!("{who} refuses connections")),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
            Fault::world("reset", format!("{who} broke the connection off, {doing}"))
        }
        Kind::UnexpectedEof => {
            Fault::world("closed", format!("{who} closed the connection, {doing}"))
        }
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => Fault::world(
            "unreachable",
            format!("{who} is unreachable: {}", plain(error)),
        ),
        _ => Fault::Me(anyhow!("{who}: {}, {doing}", plain(error))),
    }
}

/// An error's text without the number that Rust appends.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

/// Which address families may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Both.
    #[default]
    Any,
    Ipv4,
    Ipv6,
}

impl Family {
    fn has(self, address: IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::Ipv4 => address.is_ipv4(),
            Family::Ipv6 => address.is_ipv6(),
        }
    }
}

/// A host as certificates and servers know it: the zone of an address means something on this machine alone.
pub fn without_zone(host: &str) -> &str {
    match host.split_once('%') {
        Some((address, _)) if address.parse::<Ipv6Addr>().is_ok() => address,
        _ => host,
    }
}

/// Takes the zone out of `http://[fe80::1%25eth0]/` (RFC 6874, section 2), also where its `%` is written as it is.
pub fn unzoned(text: &str) -> (Cow<'_, str>, Option<String>) {
    let zoned = || {
        let begin = text.find("://")? + 3;
        let end = text[begin..].find(['/', '?', '#']);
        let end = end.map_or(text.len(), |it| begin + it);
        let open = begin + text[begin..end].find('[')?;
        let percent = open + text[open..end].find('%')?;
        let close = percent + text[percent..end].find(']')?;
        let zone = &text[percent + 1..close];
        let zone = zone
            .strip_prefix("25")
            .filter(|it| !it.is_empty())
            .unwrap_or(zone);
        Some((
            format!("{}{}", &text[..percent], &text[close..]),
            zone.to_owned(),
        ))
    };
    match zoned() {
        Some((text, zone)) => (Cow::Owned(text), Some(zone)),
        None => (Cow::Borrowed(text), None),
    }
}

/// A host as DNS and certificates write it: names in other scripts as `xn--…` (RFC 5890). What is no such name stays as it is.
pub fn ascii(host: &str) -> Cow<'_, str> {
    if host.is_ascii() {
        return Cow::Borrowed(host);
    }
    match url::Host::parse(host) {
        Ok(url::Host::Domain(name)) => Cow::Owned(name),
        _ => Cow::Borrowed(host),
    }
}

/// `HOST`, `HOST:PORT` or `[IPV6]:PORT` as its parts; an IPv6 address without brackets has no port, one with a zone may have.
pub fn split_port(text: &str) -> (&str, Option<u16>) {
    if let Some(rest) = text.strip_prefix('[')
        && let Some((host, port)) = rest.split_once(']')
    {
        return (host, port.strip_prefix(':').and_then(|it| it.parse().ok()));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (text, None),
        },
        _ => (text, None),
    }
}

/// A flaw of `host` and `port` together: a port given twice, none at all, or a host that is empty.
pub fn port_flaw(host: &str, port: Option<u16>, default: Option<u16>) -> Option<String> {
    let (name, inside) = split_port(host);
    match (inside.or(port), default) {
        _ if name.is_empty() => Some("the host is empty".to_owned()),
        _ if name.contains(['/', ' ', '@'])
            || (inside.is_none() && name.matches(':').count() == 1) =>
        {
            Some(format!(
                "\"{name}\" is not a host, expected a name, an address or HOST:PORT"
            ))
        }
        _ if inside.is_some() && port.is_some() => {
            Some("the port is given twice, here and as `port`".to_owned())
        }
        (None, None) => Some("has no port: write host = \"HOST:PORT\" or add port = …".to_owned()),
        (Some(0), _) => Some("no service listens on port 0".to_owned()),
        _ => None,
    }
}

/// Finds the addresses of a name for a port, as [`resolve`] does.
pub type Resolver =
    Arc<dyn Fn(&str, u16, Family, Instant) -> Result<Vec<SocketAddr>, Fault> + Send + Sync>;

/// How names become addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resolve {
    /// As this system does: its hosts file and resolver.
    #[default]
    System,
    /// By the name's own servers, walked to from the root, past all caches.
    Authoritative,
}

/// The addresses of a name as this system sees it: hosts file, then its resolver.
///
/// # Errors
/// World: the name does not exist. Me: the resolver does not answer. Late: it takes too long.
pub fn resolve(
    host: &str,
    port: u16,
    family: Family,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, Fault> {
    let found = match literal(host)? {
        Some(address) => vec![address],
        None => look_up(&ascii(host), deadline)?,
    };
    only(host, found, port, family)
}

/// The address that a text is, if it is one: of IPv6 also in brackets, and with a zone as `fe80::1%eth0` (RFC 4007, section 11).
///
/// # Errors
/// Me: this machine has no such zone.
pub fn literal(text: &str) -> Result<Option<SocketAddr>, Fault> {
    let inside = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let text = inside.unwrap_or(text);
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(address, 0)));
    }
    let Some((address, zone)) = text.split_once('%') else {
        return Ok(None);
    };
    let Ok(address) = address.parse::<Ipv6Addr>() else {
        return Ok(None);
    };
    let index = match zone.parse::<u32>() {
        Ok(index) => index,
        Err(_) => {
            let flags = SocketFlags::CLOEXEC;
            let socket =
                rustix::net::socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None);
            let index = socket.and_then(|it| rustix::net::netdevice::name_to_index(it, zone));
            index.map_err(|_| {
                Fault::Me(anyhow!(
                    "{text}: there is no network interface {zone} on this machine"
                ))
            })?
        }
    };
    Ok(Some(SocketAddrV6::new(address, 0, 0, index).into()))
}

/// An address in a list, as [`literal`] reads it; whether this machine has its zone is known when it is asked.
#[derive(Clone, Debug, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Address(String);

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Address, String> {
        let plain = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let plain = plain.unwrap_or(&text);
        let is_zoned = plain
            .split_once('%')
            .is_some_and(|(it, zone)| it.parse::<Ipv6Addr>().is_ok() && !zone.is_empty());
        match is_zoned || plain.parse::<IpAddr>().is_ok() {
            true => Ok(Address(text)),
            false => Err(format!("\"{text}\" is no IP address")),
        }
    }
}

impl Address {
    /// # Errors
    /// Me: this machine has no such zone.
    pub fn at(&self, port: u16) -> Result<SocketAddr, Fault> {
        let found = literal(&self.0)?;
        let mut at = found.ok_or_else(|| Fault::Me(anyhow!("{} is no IP address", self.0)))?;
        at.set_port(port);
        Ok(at)
    }
}

/// A machine as [`resolve`] finds it again: its address, with the zone.
pub fn host_of(at: SocketAddr) -> String {
    match at {
        SocketAddr::V6(v6) if v6.scope_id() > 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        _ => at.ip().to_string(),
    }
}

/// Those addresses that are of a family.
///
/// # Errors
/// World: there is none.
pub fn of_family(
    host: &str,
    found: Vec<IpAddr>,
    port: u16,
    family: Family,
) -> Result<Vec<SocketAddr>, Fault> {
    let found = found.into_iter().map(|it| SocketAddr::new(it, 0));
    only(host, found.collect(), port, family)
}

fn only(
    host: &str,
    mut addresses: Vec<SocketAddr>,
    port: u16,
    family: Family,
) -> Result<Vec<SocketAddr>, Fault> {
    addresses.retain(|it| family.has(it.ip()));
    addresses.iter_mut().for_each(|it| it.set_port(port));
    match addresses.is_empty() {
        true => {
            let kind = match family {
                Family::Any => "",
                Family::Ipv4 => "IPv4 ",
                Family::Ipv6 => "IPv6 ",
            };
            let text = format!("{host} has no {kind}address");
            Err(Fault::world("no-such-name", text))
        }
        false => Ok(addresses),
    }
}

/// Asks getaddrinfo on a thread of its own, because nothing else bounds it.
fn look_up(host: &str, deadline: Instant) -> Result<Vec<SocketAddr>, Fault> {
    use dns_lookup::{AddrInfoHints, LookupErrorKind, getaddrinfo};
    let (tell, answer) = mpsc::sync_channel(1);
    let name = host.to_owned();
    thread::Builder::new()
        .stack_size(256 << 10)
        .spawn(move || {
            let hints = AddrInfoHints {
                socktype: dns_lookup::SockType::Stream.into(),
                ..AddrInfoHints::default()
            };
            let found = getaddrinfo(Some(&name), None, Some(hints)).map(|list| {
                let mut addresses = Vec::new();
                for address in list.flatten().map(|it| it.sockaddr) {
                    if !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
                addresses
            });
            // The check may have gone when its deadline came.
            let _ = tell.send(found.map_err(|it| (it.kind(), io::Error::from(it))));
        })
        .map_err(|it| Fault::Me(anyhow!("cannot start a thread to resolve {host}: {it}")))?;
    match answer.recv_timeout(left(deadline)) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err((LookupErrorKind::NoName | LookupErrorKind::NoData, _))) => Err(Fault::world(
            "no-such-name",
            format!("the name {host} does not exist"),
        )),
        Ok(Err((LookupErrorKind::Again | LookupErrorKind::Fail, _))) => Err(Fault::Me(anyhow!(
            "cannot resolve {host}: the resolver does not answer or fails"
        ))),
        Ok(Err((_, error))) => Err(Fault::Me(anyhow!("cannot resolve {host}: {error}"))),
        Err(_) => Err(Fault::Late(format!("no answer in time, resolving {host}"))),
    }
}

/// Whether this machine has a way to an address at all; nothing is sent.
pub fn has_route(address: SocketAddr) -> bool {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0));
    socket.is_ok_and(|it| it.connect(address).is_ok())
}

/// What is left until a deadline.
pub fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_split_from_hosts() {
        assert_eq!(split_port("h:80"), ("h", Some(80)));
        assert_eq!(split_port("h"), ("h", None));
        assert_eq!(split_port("::1"), ("::1", None));
        assert_eq!(split_port("[::1]:22"), ("::1", Some(22)));
        assert_eq!(split_port("[::1]"), ("::1", None));
        assert_eq!(split_port("[fe80::1%lo]:22"), ("fe80::1%lo", Some(22)));
        assert_eq!(split_port("fe80::1%lo"), ("fe80::1%lo", None));
        assert!(port_flaw("h:80", Some(81), None).is_some());
        assert!(port_flaw("h", None, None).is_some());
        assert!(port_flaw("h:http", None, Some(80)).is_some());
        assert!(port_flaw("", Some(1), None).is_some());
        assert!(port_flaw("::1", Some(1), None).is_none());
        assert!(port_flaw("h", None, Some(443)).is_none());
    }

    #[test]
    fn addresses_have_zones_where_the_machine_has_them() {
        let shown = |text| literal(text).map(|it| it.map(|it| it.to_string()));
        assert!(matches!(shown("h.example"), Ok(None)));
        assert!(matches!(shown("h%lo"), Ok(None)));
        assert!(shown("::1").is_ok_and(|it| it.as_deref() == Some("[::1]:0")));
        assert!(shown("[::1]").is_ok_and(|it| it.as_deref() == Some("[::1]:0")));
        assert!(shown("fe80::1%7").is_ok_and(|it| it.as_deref() == Some("[fe80::1%7]:0")));
        assert!(shown("fe80::1%lo").is_ok_and(|it| it.as_deref() == Some("[fe80::1%1]:0")));
        let none = shown("fe80::1%eth99").expect_err("no such zone");
        assert!(matches!(&none, Fault::Me(_)));
        assert!(none.to_string().contains("no network interface eth99"));
        let zoned = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0, 3);
        assert_eq!(host_of(zoned.into()), "::1%3");
    }

    #[test]
    fn names_in_other_scripts_are_asked_for_in_ascii() {
        assert_eq!(ascii("日本語.example.jp"), "xn--wgv71a119e.example.jp");
        assert_eq!(ascii("Bücher.example"), "xn--bcher-kva.example");
        assert_eq!(ascii("*.bücher.example"), "*.xn--bcher-kva.example");
        assert_eq!(ascii("_a.example"), "_a.example");
    }

    #[test]
    fn the_worlds_faults_are_told_from_ours() {
        let told = |kind: io::ErrorKind| fault(&kind.into(), "peer", "connecting");
        assert!(matches!(
            told(io::ErrorKind::ConnectionRefused),
            Fault::World {
                code: "refused",
                ..
            }
        ));
        assert!(matches!(told(io::ErrorKind::TimedOut), Fault::Late(_)));
        assert!(matches!(
            told(io::ErrorKind::PermissionDenied),
            Fault::Me(_)
        ));
        assert!(matches!(
            told(io::ErrorKind::AddrNotAvailable),
            Fault::Me(_)
        ));
    }
}
