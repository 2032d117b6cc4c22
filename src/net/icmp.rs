//! Echo requests (RFC 792, RFC 4443) through whatever socket this user may have.

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto,
};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How echo requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// Sockets that the kernel restricts to echo, for the groups of net.ipv4.ping_group_range (Linux 3.0).
    Datagram,
    /// For root and CAP_NET_RAW.
    Raw,
}

impl Way {
    pub fn words(self) -> &'static str {
        match self {
            Way::Datagram => "with ICMP datagram sockets",
            Way::Raw => "with raw sockets",
        }
    }
}

/// A socket for echo requests to one address.
pub struct Echo {
    socket: OwnedFd,
    pub way: Way,
    is_v4: bool,
    id: u16,
    /// What only an answer to us can know.
    nonce: [u8; 8],
}

/// The bytes of data in a request, as ping(8) sends them.
const DATA: usize = 56;
const HEADER: usize = 8;

impl Echo {
    /// The first way that is allowed here.
    ///
    /// # Errors
    /// When none is, or there is no route to the address.
    pub fn open(address: SocketAddr) -> io::Result<Echo> {
        let datagram = Echo::with(address, Way::Datagram);
        match datagram {
            Err(error) if is_refused(&error) => Echo::with(address, Way::Raw),
            other => other,
        }
    }

    fn with(address: SocketAddr, way: Way) -> io::Result<Echo> {
        let (family, protocol): (AddressFamily, Protocol) = match address {
            SocketAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
            SocketAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let kind = match way {
            Way::Datagram => SocketType::DGRAM,
            Way::Raw => SocketType::RAW,
        };
        let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
        rustix::net::connect(&socket, &address)?;
        let random = RandomState::new().hash_one(std::process::id());
        Ok(Echo {
            socket,
            way,
            is_v4: address.is_ipv4(),
            id: random as u16,
            nonce: random.to_be_bytes(),
        })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// As the kernel tells them, also for earlier requests.
    pub fn send(&self, sequence: u16) -> io::Result<()> {
        let packet = self.request(sequence);
        rustix::net::send(&self.socket, &packet, SendFlags::empty())?;
        Ok(())
    }

    fn request(&self, sequence: u16) -> [u8; HEADER + DATA] {
        let mut packet = [0; HEADER + DATA];
        packet[0] = if self.is_v4 { 8 } else { 128 };
        packet[4..6].copy_from_slice(&self.id.to_be_bytes());
        packet[6..8].copy_from_slice(&sequence.to_be_bytes());
        packet[8..16].copy_from_slice(&self.nonce);
        // Of IPv6 the kernel reckons it, as of datagrams.
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// The number of a request whose answer comes before `until`.
    ///
    /// # Errors
    /// As the kernel tells them; `WouldBlock` when nothing comes.
    pub fn receive(&self, until: Instant) -> io::Result<u16> {
        let mut buffer = [0; 2048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            // Nothing at all would wait for ever.
            let left = left.max(Duration::from_micros(1));
            set_socket_timeout(&self.socket, Timeout::Recv, Some(left))?;
            match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((count, _)) => {
                    if let Some(sequence) = self.answer(&buffer[..count]) {
                        return Ok(sequence);
                    }
                }
                Err(rustix::io::Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The number of the request that a packet answers.
    fn answer(&self, packet: &[u8]) -> Option<u16> {
        let packet = match (self.way, self.is_v4) {
            // Raw sockets of IPv4 show the IP header, whose length is in its first byte.
            (Way::Raw, true) => packet.get(usize::from(packet.first()? & 15) * 4..)?,
            _ => packet,
        };
        let reply = if self.is_v4 { 0 } else { 129 };
        // Datagram sockets have a number of their own for each.
        let ours = self.way == Way::Datagram || packet.get(4..6)? == self.id.to_be_bytes();
        let is_answer = *packet.first()? == reply && ours && packet.get(8..16)? == self.nonce;
        is_answer.then_some(u16::from_be_bytes([packet[6], packet[7]]))
    }
}

/// Whether this user may not.
pub fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
        || error.raw_os_error() == Some(rustix::io::Errno::PROTONOSUPPORT.raw_os_error())
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|it| u16::from_be_bytes([it[0], it.get(1).copied().unwrap_or(0)]));
    let sum: u32 = words.map(u32::from).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&bytes), !0xddf2);
        assert_eq!(checksum(&[1]), !0x0100);
    }
}
