//! What listens on this machine: the sockets of /proc/net and the processes that hold them (proc(5)).

use crate::host::processes::Processes;
use crate::host::{Roots, diag};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The transport of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    pub fn word(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        }
    }
}

/// A socket that waits for anybody to come.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    pub transport: Transport,
    pub at: SocketAddr,
    /// Whether it takes IPv6 alone; where that cannot be known, not.
    pub v6_only: bool,
    inode: u64,
}

/// All listening TCP sockets and unconnected UDP sockets.
///
/// # Errors
/// When not even /proc/net/tcp can be read.
pub fn listeners(roots: &Roots) -> anyhow::Result<Vec<Listener>> {
    let net = format!("{}/net", roots.leader());
    let mut all = parse(Transport::Tcp, &roots.read(&format!("{net}/tcp"))?);
    for (transport, name) in [
        (Transport::Tcp, "tcp6"),
        (Transport::Udp, "udp"),
        (Transport::Udp, "udp6"),
    ] {
        // A kernel without IPv6 has no such file.
        let text = roots.read(&format!("{net}/{name}")).unwrap_or_default();
        all.extend(parse(transport, &text));
    }
    // The network that the kernel speaks of is our own.
    if roots.leader() == "self" {
        for (transport, which) in [
            (Transport::Tcp, diag::LISTENING_TCP),
            (Transport::Udp, diag::LISTENING_UDP),
        ] {
            let is_any =
                |it: &Listener| it.transport == transport && it.at.ip() == Ipv6Addr::UNSPECIFIED;
            if all.iter().any(is_any)
                && let Ok(alone) = diag::v6_only(which)
            {
                for it in all.iter_mut().filter(|it| it.transport == transport) {
                    it.v6_only = alone.contains(&it.inode);
                }
            }
        }
    }
    all.sort_by_key(|it| (it.transport, it.at.port(), it.at.ip()));
    Ok(all)
}

fn parse(transport: Transport, text: &str) -> Vec<Listener> {
    let listening = match transport {
        Transport::Tcp => "0A",
        Transport::Udp => "07",
    };
    let socket = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next()?;
        let remote = fields.next()?;
        if fields.next()? != listening || !remote.ends_with(":0000") {
            return None;
        }
        Some(Listener {
            transport,
            at: address(local)?,
            v6_only: false,
            inode: fields.nth(5)?.parse().ok()?,
        })
    };
    text.lines().skip(1).filter_map(socket).collect()
}

/// `0100007F:0016`: each 32 bits of the address in the machine's own byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<[u8; 4]>> = ip
        .as_bytes()
        .chunks(8)
        .map(|it| {
            let word = u32::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok()?;
            Some(word.to_ne_bytes())
        })
        .collect();
    let ip = match words?[..] {
        [one] => IpAddr::V4(Ipv4Addr::from(one)),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [a, b, c, d].concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    pub name: String,
    pub pid: u32,
}

impl fmt::Display for Holder {
    /// "nginx (pid 812)".
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{} (pid {})", self.name, self.pid)
    }
}

/// Who holds each listener; a socket whose holder may not be seen has none.
pub fn holders(processes: &Processes, listeners: &[Listener]) -> HashMap<u64, Holder> {
    let wanted: HashMap<String, u64> = listeners
        .iter()
        .map(|it| (format!("socket:[{}]", it.inode), it.inode))
        .collect();
    let mut holders = HashMap::new();
    if wanted.is_empty() {
        return holders;
    }
    for process in &processes.all {
        // Other users' files are seen by root alone.
        for file in fs::read_dir(process.file("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(target) = fs::read_link(file.path()) else {
                continue;
            };
            if let Some(inode) = target.to_str().and_then(|it| wanted.get(it)) {
                holders.entry(*inode).or_insert_with(|| Holder {
                    name: process.name(),
                    pid: process.pid,
                });
            }
        }
        if holders.len() == wanted.len() {
            break;
        }
    }
    holders
}

impl Listener {
    #[cfg(test)]
    pub fn new(transport: Transport, at: SocketAddr, inode: u64) -> Listener {
        Listener {
            transport,
            at,
            v6_only: false,
            inode,
        }
    }

    /// Whether who connects to an address of this machine reaches it.
    pub fn serves(&self, address: IpAddr) -> bool {
        match (self.at.ip().to_canonical(), address.to_canonical()) {
            (own, address) if own == address => true,
            (IpAddr::V4(own), IpAddr::V4(_)) => own.is_unspecified(),
            (IpAddr::V6(own), IpAddr::V6(_)) => own.is_unspecified(),
            (IpAddr::V6(own), IpAddr::V4(_)) => own.is_unspecified() && !self.v6_only,
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }

    /// Who holds it.
    pub fn holder<'h>(&self, holders: &'h HashMap<u64, Holder>) -> Option<&'h Holder> {
        holders.get(&self.inode)
    }

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        let ip = self.at.ip();
        match ip {
            IpAddr::V6(v6) => v6
                .to_ipv4_mapped()
                .map_or(v6.is_loopback(), |it| it.is_loopback()),
            IpAddr::V4(v4) => v4.is_loopback(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   114        0 19207 1 0 100 0 0 10 0
   1: 0100007F:1538 0100007F:E1C2 01 00000000:00000000 00:00000000 00000000   114        0 19299 1 0 100 0 0 10 0
   2: garbage
";

    #[test]
    #[cfg(target_endian = "little")]
    fn only_what_listens_is_read() {
        let all = parse(Transport::Tcp, TCP);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].at.to_string(), "127.0.0.1:5432");
        assert_eq!(all[0].inode, 19207);
        assert!(all[0].is_local());
    }

    #[test]
    fn sockets_serve_their_own_family_and_some_both() {
        let serves = |at: &str, v6_only: bool, address: &str| {
            let at = at.parse().expect("an address");
            let listener = Listener {
                v6_only,
                ..Listener::new(Transport::Tcp, at, 1)
            };
            listener.serves(address.parse().expect("an address"))
        };
        assert!(serves("[::]:80", false, "127.0.0.1"));
        assert!(!serves("[::]:80", true, "127.0.0.1"));
        assert!(serves("[::]:80", true, "::1"));
        assert!(serves("0.0.0.0:80", false, "192.0.2.1"));
        assert!(!serves("0.0.0.0:80", false, "::1"));
        assert!(serves("[::ffff:127.0.0.1]:80", false, "127.0.0.1"));
        assert!(!serves("127.0.0.2:80", false, "127.0.0.1"));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_of_ipv6_are_four_words() {
        let all = address("00000000000000000000000001000000:0035");
        assert_eq!(all.expect("an address").to_string(), "[::1]:53");
        assert!(address("0100:0035").is_some_and(|it| it.port() == 53));
        assert!(address("x:y").is_none());
    }
}
