//! Files and stores of certificates, told apart by their content: PEM, DER, PKCS#12, JKS and JCEKS.

use crate::net::x509::Certificate;
use anyhow::{Context, anyhow};
use p12_keystore::Pkcs12Archive;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use x509_parser::nom;
use x509_parser::pem::Pem;

/// What a file holds, in its order.
#[derive(Default)]
pub struct Store {
    pub certificates: Vec<Certificate>,
    /// Private keys that are not encrypted, or were decrypted.
    pub keys: Vec<PrivateKeyDer<'static>>,
    /// What in it could not be read.
    pub unread: Vec<String>,
}

impl Store {
    /// Reads all there is in a file; `password` opens PKCS#12, which has an empty one by default.
    ///
    /// # Errors
    /// When it is nothing of the kind, is damaged, or the password does not fit.
    pub fn read(bytes: &[u8], password: Option<&str>) -> anyhow::Result<Store> {
        match bytes {
            [0xfe, 0xed, 0xfe, 0xed, rest @ ..] | [0xce, 0xce, 0xce, 0xce, rest @ ..] => java(rest),
            [0x30, ..] if is_pkcs12(bytes) => pkcs12(bytes, password),
            [0x30, ..] => der(bytes),
            _ => pem(bytes),
        }
    }
}

/// The SubjectPublicKeyInfo that belongs to a private key; nothing for keys that are too old for the library.
pub fn public_key(key: &PrivateKeyDer) -> Option<Vec<u8>> {
    let key = rustls::crypto::ring::sign::any_supported_type(key).ok()?;
    Some(key.public_key()?.to_vec())
}

/// One certificate, or several that follow each other.
fn der(bytes: &[u8]) -> anyhow::Result<Store> {
    let (first, mut rest) = Certificate::first(bytes)?;
    let mut store = Store {
        certificates: vec![first],
        ..Store::default()
    };
    while rest.iter().any(|it| !it.is_ascii_whitespace()) {
        match Certificate::first(rest) {
            Ok((next, behind)) => {
                store.certificates.push(next);
                rest = behind;
            }
            Err(error) => {
                let count = store.certificates.len();
                store
                    .unread
                    .push(format!("what follows certificate {count} is {error:#}"));
                break;
            }
        }
    }
    Ok(store)
}

/// All blocks (RFC 7468), also OpenSSL's TRUSTED CERTIFICATE; one that is damaged does not hide the others.
fn pem(bytes: &[u8]) -> anyhow::Result<Store> {
    let mut store = Store::default();
    let mut begins = Vec::new();
    let mut at = 0;
    for (number, line) in bytes.split_inclusive(|it| *it == b'\n').enumerate() {
        let text = String::from_utf8_lossy(line);
        if text.starts_with("-----BEGIN ") {
            begins.push(at);
        } else if text.contains("--BEGIN ") && text.contains("CERTIFICATE") {
            // Programs that read this file pass over it, too.
            store.unread.push(format!(
                "line {} begins a certificate, but not with \"-----BEGIN CERTIFICATE-----\" alone",
                number + 1
            ));
        }
        at += line.len();
    }
    let ends = begins.iter().skip(1).chain(std::iter::once(&at));
    for (number, (begin, end)) in begins.iter().zip(ends).enumerate() {
        let read = match x509_parser::pem::parse_x509_pem(&bytes[*begin..*end]) {
            Ok((_, block)) => block_of(&mut store, block),
            Err(error) => {
                let why = match error {
                    nom::Err::Error(why) | nom::Err::Failure(why) => why.to_string(),
                    nom::Err::Incomplete(_) => "it is cut off".to_owned(),
                };
                Err(anyhow!("it is damaged: {why}"))
            }
        };
        if let Err(error) = read {
            let line = format!("PEM block {} cannot be read: {error:#}", number + 1);
            store.unread.push(line);
        }
    }
    let nothing = store.certificates.is_empty() && store.keys.is_empty();
    match (nothing, store.unread.is_empty()) {
        (true, true) => Err(anyhow!(
            "no certificate in it, neither PEM nor DER nor a store"
        )),
        (true, false) => Err(anyhow!(store.unread.join("; "))),
        (false, _) => Ok(store),
    }
}

/// Takes what one block holds.
fn block_of(store: &mut Store, Pem { label, contents }: Pem) -> anyhow::Result<()> {
    match label.as_str() {
        // Behind a trusted one stands what it is trusted for.
        "TRUSTED CERTIFICATE" => store.certificates.push(Certificate::from_der(&contents)?),
        "CERTIFICATE" | "X509 CERTIFICATE" => {
            let mut read = der(&contents)?;
            store.certificates.append(&mut read.certificates);
            anyhow::ensure!(read.unread.is_empty(), read.unread.join("; "));
        }
        "PRIVATE KEY" => store.keys.push(PrivatePkcs8KeyDer::from(contents).into()),
        "RSA PRIVATE KEY" => store.keys.push(PrivatePkcs1KeyDer::from(contents).into()),
        "EC PRIVATE KEY" => store.keys.push(PrivateSec1KeyDer::from(contents).into()),
        "PKCS7" | "CMS" | "PKCS #7 SIGNED DATA" => {
            return Err(anyhow!(
                "{label} may hold certificates, which koshu reads from PEM, DER, PKCS#12 and Java stores only"
            ));
        }
        _ => (),
    }
    Ok(())
}

/// PFX begins with its version, where a certificate has another sequence (RFC 7292, section 4).
fn is_pkcs12(bytes: &[u8]) -> bool {
    let header = match bytes.get(1) {
        Some(length) if *length >= 0x80 => 2 + usize::from(length & 0x7f),
        _ => 2,
    };
    bytes.get(header) == Some(&0x02)
}

fn pkcs12(bytes: &[u8], password: Option<&str>) -> anyhow::Result<Store> {
    let archive = Pkcs12Archive::from_pkcs12(bytes, password.unwrap_or_default());
    let archive = archive.map_err(|error| match (error, password) {
        (p12_keystore::error::Error::MacError(_), None) => {
            anyhow!("this PKCS#12 store needs its `password`")
        }
        (p12_keystore::error::Error::MacError(_), Some(_)) => {
            anyhow!("the password does not open this PKCS#12 store")
        }
        (error, _) => anyhow!("not a PKCS#12 store that can be read: {error}"),
    })?;
    let mut store = Store::default();
    for (number, bag) in archive.certs.iter().enumerate() {
        match Certificate::from_der(bag.cert.as_der()) {
            Ok(certificate) => store.certificates.push(certificate),
            Err(error) => store
                .unread
                .push(format!("certificate {} in it: {error:#}", number + 1)),
        }
    }
    for bag in &archive.keys {
        let der = bag.key.as_der().to_vec();
        store.keys.push(PrivatePkcs8KeyDer::from(der).into());
    }
    whole(store, "PKCS#12")
}

/// Java's own stores, whose certificates lie open; private keys in them stay closed
/// (as written by sun.security.provider.JavaKeyStore and com.sun.crypto.provider.JceKeyStore).
fn java(bytes: &[u8]) -> anyhow::Result<Store> {
    let mut from = Reader(bytes);
    let version = from.number()?;
    if !(1..=2).contains(&version) {
        return Err(anyhow!("a Java key store of the unknown version {version}"));
    }
    let mut store = Store::default();
    // What comes before a damage counts.
    if let Err(error) = java_entries(&mut from, version, &mut store) {
        store.unread.push(format!("{error:#}"));
    }
    whole(store, "Java key")
}

fn java_entries(from: &mut Reader, version: usize, store: &mut Store) -> anyhow::Result<()> {
    for _ in 0..from.number()? {
        let kind = from.number()?;
        let alias = String::from_utf8_lossy(from.short()?).into_owned();
        from.take(8)?;
        let chain = match kind {
            1 => {
                let sealed = from.number()?;
                from.take(sealed)?;
                from.number()?
            }
            2 => 1,
            _ => {
                return Err(anyhow!(
                    "the entry \"{alias}\" of this Java key store is a secret key, whose end cannot be told; keep those in a store of their own"
                ));
            }
        };
        for _ in 0..chain {
            if version == 2 {
                from.short()?;
            }
            let length = from.number()?;
            match Certificate::from_der(from.take(length)?) {
                Ok(certificate) => store.certificates.push(certificate),
                Err(error) => store
                    .unread
                    .push(format!("the entry \"{alias}\": {error:#}")),
            }
        }
    }
    Ok(())
}

/// A store that has certificates.
fn whole(store: Store, kind: &str) -> anyhow::Result<Store> {
    match (store.certificates.is_empty(), store.unread.is_empty()) {
        (true, true) => Err(anyhow!("no certificate in this {kind} store")),
        (true, false) => Err(anyhow!(store.unread.join("; "))),
        (false, _) => Ok(store),
    }
}

/// Big-endian fields of a Java stream.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> anyhow::Result<&'b [u8]> {
        let parts = self.0.split_at_checked(count);
        let (taken, rest) = parts.context("this Java key store is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> anyhow::Result<usize> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |sum, it| sum << 8 | usize::from(*it)))
    }

    fn short(&mut self) -> anyhow::Result<&'b [u8]> {
        let bytes = self.take(2)?;
        self.take(usize::from(bytes[0]) << 8 | usize::from(bytes[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lying_counts_of_a_java_store_end() {
        let bytes = [
            &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff][..],
            &[0, 0, 0, 2, 0, 1, b'a'],
        ]
        .concat();
        let error = Store::read(&bytes, None).err().expect("an error");
        assert_eq!(error.to_string(), "this Java key store is cut off");
    }

    #[test]
    fn text_without_blocks_is_no_certificate() {
        assert!(Store::read(b"hello", None).is_err());
        assert!(Store::read(b"", None).is_err());
        assert!(Store::read(b"-----BEGIN CERTIFICATE-----\nAAAA\n", None).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_sniffer_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..4) {
            let magic: &[u8] = match kind {
                0 => &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2],
                1 => &[0x30, 0x82],
                2 => b"-----BEGIN CERTIFICATE-----\n",
                _ => &[],
            };
            let _ = Store::read(&[magic, &bytes].concat(), Some("changeit"));
        }
    }
}
