//! Files and stores of certificates, told apart by their content: PEM, DER, PKCS#12, JKS and JCEKS.

use crate::net::x509::Certificate;
use anyhow::{Context, anyhow};
use p12_keystore::Pkcs12Archive;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use x509_parser::error::PEMError;
use x509_parser::pem::Pem;

/// What a file holds, in its order.
#[derive(Default)]
pub struct Store {
    pub certificates: Vec<Certificate>,
    /// Private keys that are not encrypted, or were decrypted.
    pub keys: Vec<PrivateKeyDer<'static>>,
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
            [0x30, ..] => Ok(Store {
                certificates: vec![Certificate::from_der(bytes)?],
                ..Store::default()
            }),
            _ => pem(bytes),
        }
    }
}

/// The SubjectPublicKeyInfo that belongs to a private key; nothing for keys that are too old for the library.
pub fn public_key(key: &PrivateKeyDer) -> Option<Vec<u8>> {
    let key = rustls::crypto::ring::sign::any_supported_type(key).ok()?;
    Some(key.public_key()?.to_vec())
}

/// All blocks (RFC 7468), also OpenSSL's TRUSTED CERTIFICATE.
fn pem(bytes: &[u8]) -> anyhow::Result<Store> {
    let mut store = Store::default();
    let mut rest = bytes;
    for number in 1.. {
        let (after, block) = match x509_parser::pem::parse_x509_pem(rest) {
            Ok(found) => found,
            Err(x509_parser::nom::Err::Error(PEMError::MissingHeader)) => break,
            Err(error) => return Err(anyhow!("PEM block {number} is damaged: {error}")),
        };
        let Pem { label, contents } = block;
        match label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                let read = Certificate::from_der(&contents);
                let read = read.with_context(|| format!("PEM block {number}"))?;
                store.certificates.push(read);
            }
            "PRIVATE KEY" => store.keys.push(PrivatePkcs8KeyDer::from(contents).into()),
            "RSA PRIVATE KEY" => store.keys.push(PrivatePkcs1KeyDer::from(contents).into()),
            "EC PRIVATE KEY" => store.keys.push(PrivateSec1KeyDer::from(contents).into()),
            _ => (),
        }
        rest = after;
    }
    match store.certificates.is_empty() && store.keys.is_empty() {
        true => Err(anyhow!(
            "no certificate in it, neither PEM nor DER nor a store"
        )),
        false => Ok(store),
    }
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
    for bag in &archive.certs {
        let certificate = Certificate::from_der(bag.cert.as_der())?;
        store.certificates.push(certificate);
    }
    for bag in &archive.keys {
        let der = bag.key.as_der().to_vec();
        store.keys.push(PrivatePkcs8KeyDer::from(der).into());
    }
    match store.certificates.is_empty() {
        true => Err(anyhow!("no certificate in this PKCS#12 store")),
        false => Ok(store),
    }
}

/// Java's own stores, whose certificates lie open; private keys in them stay closed
/// (as written by sun.security.provider.JavaKeyStore and com.sun.crypto.provider.JceKeyStore).
fn java(bytes: &[u8]) -> anyhow::Result<Store> {
    let mut from = Reader(bytes);
    let version = from.number()?;
    if !(1..=2).contains(&version) {
        return Err(anyhow!("a Java key store of the unknown version {version}"));
    }
    let count = from.number()?;
    let mut store = Store::default();
    for _ in 0..count {
        let kind = from.number()?;
        let alias = from.short()?;
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
                    "the entry \"{}\" of this Java key store is a secret key, whose end cannot be told; keep those in a store of their own",
                    String::from_utf8_lossy(alias)
                ));
            }
        };
        for _ in 0..chain {
            if version == 2 {
                from.short()?;
            }
            let length = from.number()?;
            let der = from.take(length)?;
            store.certificates.push(Certificate::from_der(der)?);
        }
    }
    match store.certificates.is_empty() {
        true => Err(anyhow!("no certificate in this Java key store")),
        false => Ok(store),
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
