//! Which IPv6 sockets of this machine take no IPv4, as the kernel tells it over netlink (sock_diag(7)); /proc does not.

use rustix::net::netlink::SOCK_DIAG;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::collections::HashSet;
use std::io;
use std::time::Duration;

/// From linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const AF_INET6: u8 = 10;
const INET_DIAG_SKV6ONLY: u16 = 11;

/// A protocol of IP and a state of its sockets, as a bit.
pub type Which = (u8, u32);
/// TCP in TCP_LISTEN, and UDP in TCP_CLOSE, which is not connected.
pub const LISTENING_TCP: Which = (6, 1 << 10);
pub const LISTENING_UDP: Which = (17, 1 << 7);
/// The sizes of a message's header, of the question behind it, and of an answer without its attributes.
const HEADER: usize = 16;
const QUESTION: usize = 56;
const ANSWER: usize = 72;
/// Where an answer has the socket's inode.
const INODE: usize = 68;

/// How long the kernel may take, which answers at once.
const PATIENCE: Duration = Duration::from_millis(200);

/// The inodes of those sockets that take IPv6 alone.
///
/// # Errors
/// Where the kernel does not tell: it is older than 4.5, or no Linux at all.
pub fn v6_only((protocol, states): Which) -> io::Result<HashSet<u64>> {
    let flags = SocketFlags::CLOEXEC;
    let kind = SocketType::RAW;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, kind, flags, Some(SOCK_DIAG))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    let mut question = Vec::with_capacity(HEADER + QUESTION);
    question.extend(((HEADER + QUESTION) as u32).to_ne_bytes());
    question.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    question.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    question.extend([0; 8]);
    question.extend([AF_INET6, protocol, 0, 0]);
    question.extend(states.to_ne_bytes());
    question.resize(HEADER + QUESTION, 0);
    rustix::net::send(&socket, &question, SendFlags::empty())?;
    let mut found = HashSet::new();
    let mut buffer = vec![0; 32 << 10];
    loop {
        let (count, _) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if !read(&buffer[..count], &mut found)? {
            return Ok(found);
        }
    }
}

/// Reads one datagram; whether more follow.
fn read(mut bytes: &[u8], found: &mut HashSet<u64>) -> io::Result<bool> {
    while let Some((length, kind)) = head(bytes) {
        let message = bytes
            .get(HEADER..length)
            .ok_or(io::ErrorKind::InvalidData)?;
        match kind {
            NLMSG_DONE => return Ok(false),
            SOCK_DIAG_BY_FAMILY => found.extend(alone(message)),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
    }
    Ok(true)
}

/// The length of a message with its header, and its type.
fn head(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = number(bytes, 0)?;
    let kind = bytes.get(4..6)?.try_into().ok()?;
    Some((length as usize, u16::from_ne_bytes(kind)))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

fn aligned(length: usize) -> usize {
    length.div_ceil(4) * 4
}

/// The inode of a socket that takes IPv6 alone.
fn alone(message: &[u8]) -> Option<u64> {
    let mut attributes = message.get(ANSWER..)?;
    while let Some(&[a, b, c, d]) = attributes.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([c, d]) == INET_DIAG_SKV6ONLY {
            return (value == [1]).then(|| number(message, INODE).map(u64::from))?;
        }
        attributes = attributes.get(aligned(length)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_or_strange_is_no_socket() {
        let mut found = HashSet::new();
        assert!(read(&[], &mut found).is_ok_and(|it| it));
        assert!(read(&[255; 64], &mut found).is_err());
        let mut done = [0; 16];
        done[0] = 16;
        done[4] = 3;
        if cfg!(target_endian = "little") {
            assert!(read(&done, &mut found).is_ok_and(|it| !it));
        }
        assert_eq!(alone(&[0; ANSWER]), None);
        assert_eq!(alone(&[9; ANSWER + 4]), None);
        assert!(found.is_empty());
    }
}
