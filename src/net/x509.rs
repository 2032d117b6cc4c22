//! Certificates as values: what stands in them, read without judging.

use anyhow::{Context, anyhow};
use std::net::IpAddr;
use x509_parser::prelude::*;

/// One certificate (RFC 5280), with its times in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The common name, or the whole subject where there is none.
    pub subject: String,
    pub issuer: String,
    /// Whether subject and issuer are the same name.
    pub self_issued: bool,
    pub not_before: i64,
    pub not_after: i64,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// The serial number in hexadecimal.
    pub serial: String,
    pub is_ca: bool,
    /// The public key's kind and size: `RSA 2048`.
    pub key: String,
}

impl Certificate {
    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn from_der(der: &[u8]) -> anyhow::Result<Certificate> {
        let (_, cert) = X509Certificate::from_der(der)
            .map_err(|error| anyhow!("not an X.509 certificate: {error}"))?;
        let (mut dns_names, mut addresses) = (Vec::new(), Vec::new());
        if let Ok(Some(names)) = cert.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                    _ => (),
                }
            }
        }
        Ok(Certificate {
            subject: short(cert.subject()),
            issuer: short(cert.issuer()),
            self_issued: cert.subject().as_raw() == cert.issuer().as_raw(),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            dns_names,
            addresses,
            serial: cert.tbs_certificate.raw_serial_as_string(),
            is_ca: cert.is_ca(),
            key: key(&cert),
        })
    }

    /// Seconds from the first to the last moment, both counted in (CA/Browser Forum, Baseline Requirements 6.3.2).
    pub fn lifetime(&self) -> f64 {
        (self.not_after - self.not_before) as f64 + 1.0
    }

    /// Reads every certificate of a file: all PEM blocks, or one in DER.
    ///
    /// # Errors
    /// When there is none, or one that cannot be read.
    pub fn all(bytes: &[u8]) -> anyhow::Result<Vec<Certificate>> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        if bytes.first() == Some(&0x30) {
            return Ok(vec![Certificate::from_der(bytes)?]);
        }
        let mut all = Vec::new();
        for (index, block) in CertificateDer::pem_slice_iter(bytes).enumerate() {
            let number = index + 1;
            let block = block.map_err(|it| anyhow!("PEM block {number} is damaged: {it}"))?;
            let certificate = Certificate::from_der(&block);
            all.push(certificate.with_context(|| format!("PEM block {number}"))?);
        }
        match all.is_empty() {
            true => Err(anyhow!("no certificate in it, neither PEM nor DER")),
            false => Ok(all),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn short(name: &X509Name) -> String {
    let common = name
        .iter_common_name()
        .next()
        .and_then(|it| it.as_str().ok());
    match common {
        Some(common) => common.to_owned(),
        None => name.to_string(),
    }
}

fn key(cert: &X509Certificate) -> String {
    use x509_parser::public_key::PublicKey;
    match cert.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(point)) => format!("EC {}", point.key_size()),
        _ => "another kind of key".to_owned(),
    }
}
