//! Certificates as values: what stands in them, read without judging.

use anyhow::anyhow;
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
    /// The public key's kind and size: `RSA 2048`.
    pub key: String,
    /// Whether the key is too short for today: RSA below 2048 bits, EC below 256.
    pub weak_key: bool,
    /// The signature's algorithm, as `sha256WithRSAEncryption`.
    pub signature: String,
    /// Whether that can be forged: MD2, MD5 or SHA-1.
    pub weak_signature: bool,
    /// The names in DER, for following a chain.
    pub subject_der: Vec<u8>,
    pub issuer_der: Vec<u8>,
    /// The issuer's whole name.
    pub issuer_full: String,
    /// The identifier of the issuer's key (RFC 5280, section 4.2.1.1); empty where there is none.
    pub authority_key: Vec<u8>,
    /// The serial number as in DER, with the zero before a first byte above 127.
    pub serial_der: Vec<u8>,
    /// SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
    /// SHA-256 of the certificate in DER, in hexadecimal.
    pub fingerprint: String,
    /// Whether it follows the rules for certificates that browsers trust: it has one of the policies of
    /// the CA/Browser Forum (Baseline Requirements, section 7.1.6.1).
    pub public: bool,
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
        let key = key(&cert);
        Ok(Certificate {
            subject: short(cert.subject()),
            issuer: short(cert.issuer()),
            self_issued: cert.subject().as_raw() == cert.issuer().as_raw(),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            dns_names,
            addresses,
            serial: cert.tbs_certificate.raw_serial_as_string(),
            key: key.0,
            weak_key: key.1,
            signature: signature(&cert),
            weak_signature: weak_signature(&cert),
            subject_der: cert.subject().as_raw().to_vec(),
            issuer_der: cert.issuer().as_raw().to_vec(),
            issuer_full: cert.issuer().to_string(),
            authority_key: authority_key(&cert),
            serial_der: cert.tbs_certificate.raw_serial().to_vec(),
            public_key: cert.public_key().raw.to_vec(),
            fingerprint: sha256(der),
            public: public(&cert),
        })
    }

    /// Seconds from the first to the last moment, both counted in (CA/Browser Forum, Baseline Requirements 6.3.2).
    pub fn lifetime(&self) -> f64 {
        (self.not_after - self.not_before) as f64 + 1.0
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

/// The kind and size of a public key, and whether it is too short for today.
fn key(cert: &X509Certificate) -> (String, bool) {
    use x509_parser::public_key::PublicKey;
    match cert.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => (format!("RSA {}", key.key_size()), key.key_size() < 2048),
        Ok(PublicKey::EC(point)) => (format!("EC {}", point.key_size()), point.key_size() < 256),
        _ => ("another kind of key".to_owned(), false),
    }
}

fn authority_key(cert: &X509Certificate) -> Vec<u8> {
    let mut all = cert.extensions().iter();
    let found = all.find_map(|it| match it.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(key) => key.key_identifier.as_ref(),
        _ => None,
    });
    found.map_or(Vec::new(), |it| it.0.to_vec())
}

fn public(cert: &X509Certificate) -> bool {
    cert.extensions()
        .iter()
        .any(|it| match it.parsed_extension() {
            ParsedExtension::CertificatePolicies(policies) => policies
                .iter()
                .any(|it| it.policy_id.to_id_string().starts_with("2.23.140.1.")),
            _ => false,
        })
}

fn signature(cert: &X509Certificate) -> String {
    let id = &cert.signature_algorithm.algorithm;
    let registry = oid_registry();
    match oid2sn(id, registry) {
        Ok(name) => name.to_owned(),
        Err(_) => id.to_id_string(),
    }
}

fn weak_signature(cert: &X509Certificate) -> bool {
    const WEAK: [&str; 6] = [
        "1.2.840.113549.1.1.2", // md2WithRSAEncryption
        "1.2.840.113549.1.1.4", // md5WithRSAEncryption
        "1.2.840.113549.1.1.5", // sha1WithRSAEncryption
        "1.3.14.3.2.29",        // the same, of old
        "1.2.840.10040.4.3",    // dsaWithSHA1
        "1.2.840.10045.4.1",    // ecdsa-with-SHA1
    ];
    let id = cert.signature_algorithm.algorithm.to_id_string();
    WEAK.contains(&id.as_str())
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect()
}

impl Certificate {
    /// RSA, EC or another kind.
    pub fn key_kind(&self) -> &str {
        self.key.split(' ').next().unwrap_or_default()
    }
}
