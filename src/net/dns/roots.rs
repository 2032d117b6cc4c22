//! Where every walk begins: the root servers (IANA, root hints) and the root's keys (IANA, root trust anchors).

use super::walk::{Cut, NameServer};
use anyhow::{Context, anyhow};
use hickory_proto::dnssec::rdata::DS;
use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::rr::Name;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The root servers' letters and addresses, as of the root hints of 2025.
const ROOTS: [(&str, &str, &str); 13] = [
    ("a", "198.41.0.4", "2001:503:ba3e::2:30"),
    ("b", "170.247.170.2", "2801:1b8:10::b"),
    ("c", "192.33.4.12", "2001:500:2::c"),
    ("d", "199.7.91.13", "2001:500:2d::d"),
    ("e", "192.203.230.10", "2001:500:a8::e"),
    ("f", "192.5.5.241", "2001:500:2f::f"),
    ("g", "192.112.36.4", "2001:500:12::d0d"),
    ("h", "198.97.190.53", "2001:500:1::53"),
    ("i", "192.36.148.17", "2001:7fe::53"),
    ("j", "192.58.128.30", "2001:503:c27::2:30"),
    ("k", "193.0.14.129", "2001:7fd::1"),
    ("l", "199.7.83.42", "2001:500:9f::42"),
    ("m", "202.12.27.33", "2001:dc3::35"),
];

/// The key-signing keys of the root, of 2017 and 2024, as DS records.
const ANCHORS: &str = "\
. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16";

/// The root as everybody knows it.
pub fn root() -> Cut {
    let servers = ROOTS.iter().map(|(letter, v4, v6)| NameServer {
        name: name(&format!("{letter}.root-servers.net.")),
        addresses: [v4, v6].iter().filter_map(|it| it.parse().ok()).collect(),
    });
    Cut {
        name: Name::root(),
        servers: servers.collect(),
    }
}

fn name(text: &str) -> Name {
    super::name(text).unwrap_or_else(|_| Name::root())
}

/// The root of a file of hints: NS, A and AAAA records as in a zone file, one in a line.
///
/// # Errors
/// When it has no server with an address.
pub fn read(text: &str) -> anyhow::Result<Cut> {
    let mut addresses: BTreeMap<Name, Vec<IpAddr>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = words(line);
        if let [owner, .., "A" | "AAAA", address] = words[..] {
            let address = address
                .parse()
                .with_context(|| format!("\"{address}\" is no address"))?;
            addresses.entry(name(owner)).or_default().push(address);
        }
    }
    let servers = addresses.into_iter();
    let servers: Vec<NameServer> = servers
        .map(|(name, addresses)| NameServer { name, addresses })
        .collect();
    match servers.is_empty() {
        true => Err(anyhow!("no server with an address in these root hints")),
        false => Ok(Cut {
            name: Name::root(),
            servers,
        }),
    }
}

/// The words of a line, without its comment.
fn words(line: &str) -> Vec<&str> {
    let line = line.split(';').next().unwrap_or_default();
    line.split_whitespace().collect()
}

/// The root's own keys.
pub fn anchors() -> Vec<DS> {
    read_anchors(ANCHORS).unwrap_or_default()
}

/// DS records of the root as in a zone file, one in a line.
///
/// # Errors
/// When there is none.
pub fn read_anchors(text: &str) -> anyhow::Result<Vec<DS>> {
    let anchors: Vec<DS> = text.lines().filter_map(anchor).collect();
    match anchors.is_empty() {
        true => Err(anyhow!("no DS record in this trust anchor")),
        false => Ok(anchors),
    }
}

fn anchor(line: &str) -> Option<DS> {
    let words = words(line);
    let at = words.iter().position(|it| *it == "DS")?;
    let [tag, algorithm, digest, hex @ ..] = words.get(at + 1..)? else {
        return None;
    };
    let hex: Vec<u8> = hex.concat().into_bytes();
    let bytes: Option<Vec<u8>> = hex
        .chunks(2)
        .map(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok())
        .collect();
    Some(DS::new(
        tag.parse().ok()?,
        Algorithm::from_u8(algorithm.parse().ok()?),
        DigestType::from(digest.parse::<u8>().ok()?),
        bytes?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_known() {
        let root = root();
        assert_eq!(root.servers.len(), 13);
        assert!(root.servers.iter().all(|it| it.addresses.len() == 2));
        let tags: Vec<u16> = anchors().iter().map(DS::key_tag).collect();
        assert_eq!(tags, [20326, 38696]);
        assert!(anchors().iter().all(|it| it.digest().len() == 32));
    }

    #[test]
    fn hints_and_anchors_are_read_from_files() {
        let hints =
            ". 3600000 NS a.root.\na.root. 3600000 IN A 127.0.0.53 ; here\na.root. AAAA ::1\n";
        let cut = read(hints).expect("hints");
        assert_eq!(cut.servers.len(), 1);
        assert_eq!(cut.servers[0].addresses.len(), 2);
        assert!(read("nothing").is_err());
        assert!(
            read_anchors(". IN DS 1 13 2 abcdef 0123").is_ok_and(|it| it[0].digest().len() == 5)
        );
        assert!(read_anchors("").is_err());
    }
}
