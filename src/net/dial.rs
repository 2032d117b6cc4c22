//! Connections that end at a deadline: staggered attempts over all addresses, plain or with TLS.

use crate::model::quantity;
use crate::net::detour::Carrier;
use crate::net::{Fault, fault, left, tls};
use anyhow::anyhow;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

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

/// Connects to a Unix domain socket.
///
/// # Errors
/// World: nobody listens there. Me: it is no socket, or may not be used.
pub fn dial_unix(path: &Path, deadline: Instant) -> Result<Stream, Fault> {
    let who = path.display().to_string();
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            Fault::world("refused", format!("the socket {who} does not exist"))
        }
        // Without waiting, a socket whose queue is full says so at once.
        io::ErrorKind::WouldBlock => {
            Fault::Late(format!("{who}: too many others wait, connecting"))
        }
        _ => fault(&error, &who, "connecting"),
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let begin = || {
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &rustix::net::SocketAddrUnix::new(path)?)?;
        Ok::<_, rustix::io::Errno>(socket)
    };
    let socket = UnixStream::from(begin().map_err(|it| told(it.into()))?);
    Ok(Stream {
        socket: Socket::Unix(socket),
        deadline,
    })
}

/// A socket that does not wait.
#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

/// A connection of which every read and write ends at one deadline.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    deadline: Instant,
}

impl Stream {
    fn new(socket: TcpStream, deadline: Instant) -> io::Result<Stream> {
        socket.set_nodelay(true)?;
        Ok(Stream {
            socket: Socket::Tcp(socket),
            deadline,
        })
    }

    /// Both ends of a TCP connection, this one first.
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match &self.socket {
            Socket::Tcp(socket) => socket.local_addr().ok().zip(socket.peer_addr().ok()),
            Socket::Unix(_) => None,
        }
    }

    /// Says that nothing more will be written.
    ///
    /// # Errors
    /// When the peer has gone.
    pub fn end(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Socket::Unix(socket) => socket.shutdown(Shutdown::Write),
        }
    }

    /// Does something once the socket is ready for it, until the deadline.
    ///
    /// The timeouts that sockets have themselves come late, the later the longer they are (Linux' timer wheel).
    fn once_ready<T>(
        &mut self,
        ready: PollFlags,
        mut act: impl FnMut(&mut Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let left = left(self.deadline);
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match act(&mut self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                result => return result,
            }
            let wait = Timespec::try_from(left).unwrap_or_default();
            match poll(&mut [PollFd::new(&self.socket, ready)], Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.once_ready(PollFlags::IN, |socket| match socket {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Unix(socket) => socket.read(buffer),
        })
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.once_ready(PollFlags::OUT, |socket| match socket {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection with or without TLS; where TLS ends without close_notify, reading says UnexpectedEof.
pub enum Conn {
    Plain(Stream),
    Tls(Box<tls::Secured>),
    /// Another program makes the TLS.
    Carried(Box<dyn Carrier>),
}

impl fmt::Debug for Conn {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(match self {
            Conn::Plain(_) => "Plain",
            Conn::Tls(_) => "Tls",
            Conn::Carried(_) => "Carried",
        })
    }
}

impl Read for Conn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Conn::Plain(stream) => stream.read(buffer),
            Conn::Tls(stream) => stream.read(buffer),
            Conn::Carried(stream) => stream.read(buffer),
        }
    }
}

impl Write for Conn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Conn::Plain(stream) => stream.write(bytes),
            Conn::Tls(stream) => stream.write(bytes),
            Conn::Carried(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Conn::Plain(stream) => stream.flush(),
            Conn::Tls(stream) => stream.flush(),
            Conn::Carried(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
