//! What checks share on the network: names, dialling with a deadline, and the line between the world's faults and ours.

pub mod agent;
pub mod dns;
pub mod tls;
pub mod x509;

use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity;
use crate::model::state::State;
use anyhow::anyhow;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::Deserialize;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::mpsc;
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
];

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

impl Fault {
    pub fn world(code: &'static str, text: impl Into<String>) -> Fault {
        Fault::World {
            code,
            text: text.into(),
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
            Fault::Me(error) => Err(error),
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

/// `HOST`, `HOST:PORT` or `[IPV6]:PORT` as its parts; an IPv6 address without brackets has no port.
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
    let host = host.trim_end_matches('.');
    let none = || {
        let kind = match family {
            Family::Any => "",
            Family::Ipv4 => "IPv4 ",
            Family::Ipv6 => "IPv6 ",
        };
        Fault::world("no-such-name", format!("{host} has no {kind}address"))
    };
    let found = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => look_up(host, deadline)?,
    };
    let addresses: Vec<SocketAddr> = found
        .into_iter()
        .filter(|it| family.has(*it))
        .map(|it| SocketAddr::new(it, port))
        .collect();
    match addresses.is_empty() {
        true => Err(none()),
        false => Ok(addresses),
    }
}

/// Asks getaddrinfo on a thread of its own, because nothing else bounds it.
fn look_up(host: &str, deadline: Instant) -> Result<Vec<IpAddr>, Fault> {
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
                for address in list.flatten().map(|it| it.sockaddr.ip()) {
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

/// What is left until a deadline.
pub fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A connection, and the addresses that were tried in vain before it.
#[derive(Debug)]
pub struct Dialled {
    pub stream: Stream,
    pub peer: SocketAddr,
    /// One sentence for each address that failed or stayed silent.
    pub passed_over: Vec<String>,
}

/// How long one address may be silent before the next one is tried too (RFC 8305, section 8).
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first address that answers; tries the next one after 250 ms of silence.
///
/// # Errors
/// When the deadline comes or every address fails.
pub fn dial(addresses: &[SocketAddr], deadline: Instant) -> Result<Dialled, Fault> {
    let mut waiting: Vec<(SocketAddr, rustix::fd::OwnedFd, Instant)> = Vec::new();
    let mut failed: Vec<(SocketAddr, io::Error)> = Vec::new();
    let mut next = addresses.iter();
    let mut start = Instant::now();
    loop {
        let now = Instant::now();
        if waiting.is_empty() || now >= start {
            match next.next() {
                Some(address) => {
                    match begin(*address) {
                        Ok(socket) => waiting.push((*address, socket, now)),
                        Err(error) => failed.push((*address, error)),
                    }
                    start = now + STAGGER;
                    if waiting.is_empty() {
                        continue;
                    }
                }
                None if waiting.is_empty() => return Err(all_failed(failed)),
                None => start = deadline,
            }
        }
        if now >= deadline {
            return Err(silent(&waiting, &failed));
        }
        let until = start.min(deadline).saturating_duration_since(now);
        let mut polled: Vec<PollFd> = waiting
            .iter()
            .map(|(_, socket, _)| PollFd::new(socket, PollFlags::OUT))
            .collect();
        let wait = Timespec::try_from(until).unwrap_or_default();
        match poll(&mut polled, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(Fault::Me(anyhow!("cannot wait for a socket: {error}"))),
        }
        let ready = polled.iter().position(|it| !it.revents().is_empty());
        drop(polled);
        if let Some(index) = ready {
            let (peer, socket, _) = waiting.remove(index);
            match rustix::net::sockopt::socket_error(&socket) {
                Ok(Ok(())) => {
                    let stream = Stream::new(TcpStream::from(socket), deadline)
                        .map_err(|it| fault(&it, &peer.to_string(), "connecting"))?;
                    return Ok(Dialled {
                        stream,
                        peer,
                        passed_over: passed_over(&waiting, &failed),
                    });
                }
                Ok(Err(error)) | Err(error) => failed.push((peer, error.into())),
            }
            start = Instant::now();
        }
    }
}

/// Starts to connect without waiting.
fn begin(address: SocketAddr) -> io::Result<rustix::fd::OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

fn passed_over(
    waiting: &[(SocketAddr, rustix::fd::OwnedFd, Instant)],
    failed: &[(SocketAddr, io::Error)],
) -> Vec<String> {
    let failed = failed
        .iter()
        .map(|(address, error)| fault(error, &address.to_string(), "connecting").to_string());
    let silent = waiting.iter().map(|(address, _, since)| {
        let waited = quantity::seconds(since.elapsed().as_secs_f64());
        format!("{address} did not answer for {waited}")
    });
    failed.chain(silent).collect()
}

fn all_failed(mut failed: Vec<(SocketAddr, io::Error)>) -> Fault {
    let Some((last, error)) = failed.pop() else {
        return Fault::Me(anyhow!("no address to connect to"));
    };
    let others = passed_over(&[], &failed);
    match fault(&error, &last.to_string(), "connecting") {
        Fault::World { code, text } if !others.is_empty() => {
            Fault::world(code, format!("{text}; {}", others.join("; ")))
        }
        fault => fault,
    }
}

fn silent(
    waiting: &[(SocketAddr, rustix::fd::OwnedFd, Instant)],
    failed: &[(SocketAddr, io::Error)],
) -> Fault {
    let silent: Vec<String> = waiting.iter().map(|it| it.0.to_string()).collect();
    let mut text = format!("no answer in time, connecting to {}", silent.join(" and "));
    for line in passed_over(&[], failed) {
        text.push_str("; ");
        text.push_str(&line);
    }
    Fault::Late(text)
}

/// A TCP connection of which every read and write ends at one deadline.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    deadline: Instant,
}

impl Stream {
    fn new(socket: TcpStream, deadline: Instant) -> io::Result<Stream> {
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        Ok(Stream { socket, deadline })
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        match left(self.deadline) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection with or without TLS.
pub enum Conn {
    Plain(Stream),
    Tls(Box<tls::Secured>),
}

impl fmt::Debug for Conn {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(match self {
            Conn::Plain(_) => "Plain",
            Conn::Tls(_) => "Tls",
        })
    }
}

impl Read for Conn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Conn::Plain(stream) => stream.read(buffer),
            Conn::Tls(stream) => match stream.read(buffer) {
                // Many servers hang up without close_notify; the length of what they sent is judged above.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                result => result,
            },
        }
    }
}

impl Write for Conn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Conn::Plain(stream) => stream.write(bytes),
            Conn::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Conn::Plain(stream) => stream.flush(),
            Conn::Tls(stream) => stream.flush(),
        }
    }
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
        assert!(port_flaw("h:80", Some(81), None).is_some());
        assert!(port_flaw("h", None, None).is_some());
        assert!(port_flaw("h:http", None, Some(80)).is_some());
        assert!(port_flaw("", Some(1), None).is_some());
        assert!(port_flaw("::1", Some(1), None).is_none());
        assert!(port_flaw("h", None, Some(443)).is_none());
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

    #[test]
    fn a_dead_address_does_not_eat_the_timeout() {
        let alive = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let alive = alive.local_addr().expect("bound");
        let dead: SocketAddr = "[::1]:1".parse().expect("an address");
        let deadline = Instant::now() + Duration::from_secs(5);
        // The listener is gone or not: what matters is that the dead one is named.
        match dial(&[dead, alive], deadline) {
            Ok(dialled) => assert!(dialled.passed_over[0].contains("[::1]:1")),
            Err(fault) => assert!(fault.to_string().contains("[::1]:1")),
        }
    }

    #[test]
    fn a_deadline_that_has_passed_is_late() {
        let past = Instant::now() - Duration::from_secs(1);
        let address = "127.0.0.1:1".parse().expect("an address");
        // Loopback refuses at once, so either answer is honest; it must not hang.
        assert!(dial(&[address], past).is_err());
    }
}
