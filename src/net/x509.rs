//! Certificates as values: what stands in them, read without judging.

use anyhow::anyhow;
use std::net::IpAddr;
use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::*;

/// One certificate (RFC 5280), with its times in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The common name, else the whole subject, else the first name or the serial number.
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
    /// Whether it is an authority's, where it says so (RFC 5280, section 4.2.1.9).
    pub authority: Option<bool>,
    /// How many other authorities may stand between it and a server's certificate.
    pub path_length: Option<u32>,
    /// Whether it may be used by servers, or issue for them: its extended key usage says so, or there is none.
    pub for_servers: bool,
    /// Whether its key may sign other certificates: its key usage says so, or says nothing (RFC 5280, section 4.2.1.3).
    pub may_sign: bool,
    /// What the library that follows chains does not know about it, as "has the critical extension policyConstraints".
    pub beyond: Option<String>,
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
        Ok(Certificate::first(der)?.0)
    }

    /// Reads the first of the certificates in DER that follow each other, and what is behind it.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn first(der: &[u8]) -> anyhow::Result<(Certificate, &[u8])> {
        let (rest, cert) = X509Certificate::from_der(der).map_err(|error| {
            let why = match error {
                nom::Err::Error(why) | nom::Err::Failure(why) => why.to_string(),
                nom::Err::Incomplete(_) => "it is cut off".to_owned(),
            };
            // What the library says of bytes that are no DER is for who writes libraries.
            let why = match why.starts_with("nom ") || why.contains("BER") || why.contains('(') {
                true => "its encoding is cut off or damaged".to_owned(),
                false => why,
            };
            anyhow!("not an X.509 certificate: {why}")
        })?;
        let own = &der[..der.len() - rest.len()];
        let (mut dns_names, mut addresses) = (Vec::new(), Vec::new());
        if let Ok(Some(names)) = cert.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                    // A name that is no ASCII fits nothing, but is not left out (RFC 5280, section 4.2.1.6).
                    GeneralName::Invalid(Tag(2), bytes) => dns_names.push(latin1(bytes)),
                    _ => (),
                }
            }
        }
        let key = key(&cert);
        let basic = cert.basic_constraints().ok().flatten();
        let basic = basic.map(|it| it.value);
        let serial = cert.tbs_certificate.raw_serial_as_string();
        let subject = short(cert.subject())
            .or_else(|| dns_names.first().cloned())
            .or_else(|| addresses.first().map(IpAddr::to_string))
            .unwrap_or_else(|| format!("the certificate with the serial number {serial}"));
        let certificate = Certificate {
            subject,
            issuer: short(cert.issuer()).unwrap_or_else(|| "an issuer without a name".to_owned()),
            self_issued: cert.subject().as_raw() == cert.issuer().as_raw(),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            dns_names,
            addresses,
            serial,
            key: key.0,
            weak_key: key.1,
            signature: signature(&cert),
            weak_signature: weak_signature(&cert),
            authority: basic.map(|it| it.ca),
            path_length: basic.and_then(|it| it.path_len_constraint),
            for_servers: for_servers(&cert),
            may_sign: may_sign(&cert),
            beyond: beyond(&cert),
            subject_der: cert.subject().as_raw().to_vec(),
            issuer_der: cert.issuer().as_raw().to_vec(),
            issuer_full: cert.issuer().to_string(),
            authority_key: authority_key(&cert),
            serial_der: cert.tbs_certificate.raw_serial().to_vec(),
            public_key: cert.public_key().raw.to_vec(),
            fingerprint: sha256(own),
            public: public(&cert),
        };
        Ok((certificate, rest))
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

/// The common name, or the whole name; nothing where it is empty.
fn short(name: &X509Name) -> Option<String> {
    let common = name.iter_common_name().next().map(|it| {
        let value = it.attr_value();
        match (value.tag(), it.as_str()) {
            (Tag::BmpString, _) => {
                let pairs = value.data.chunks_exact(2);
                let units: Vec<u16> = pairs.map(|it| u16::from_be_bytes([it[0], it[1]])).collect();
                String::from_utf16_lossy(&units)
            }
            (_, Ok(text)) => text.to_owned(),
            // T61String, and what claims to be UTF-8 and is not.
            (_, Err(_)) => latin1(value.data),
        }
    });
    common
        .or_else(|| Some(name.to_string()))
        .filter(|it| !it.trim().is_empty())
}

/// Bytes as Latin-1, which gives every byte a character.
fn latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

fn for_servers(cert: &X509Certificate) -> bool {
    match cert.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.server_auth || usage.value.any,
        Err(_) => false,
    }
}

fn may_sign(cert: &X509Certificate) -> bool {
    match cert.key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Err(_) => false,
    }
}

/// What webpki refuses to look at, or does not know.
fn beyond(cert: &X509Certificate) -> Option<String> {
    // keyUsage, subjectAltName, basicConstraints, nameConstraints, cRLDistributionPoints, extKeyUsage.
    const KNOWN: [&str; 6] = [
        "2.5.29.15",
        "2.5.29.17",
        "2.5.29.19",
        "2.5.29.30",
        "2.5.29.31",
        "2.5.29.37",
    ];
    let unknown = cert
        .extensions()
        .iter()
        .filter(|it| it.critical && !KNOWN.contains(&it.oid.to_id_string().as_str()))
        .map(|it| match oid2sn(&it.oid, oid_registry()) {
            Ok(name) => name.to_owned(),
            Err(_) => it.oid.to_id_string(),
        });
    let unknown: Vec<String> = unknown.collect();
    if !unknown.is_empty() {
        let critical = match unknown.len() {
            1 => "the critical extension",
            _ => "the critical extensions",
        };
        return Some(format!("has {critical} {}", unknown.join(", ")));
    }
    if cert.version() != X509Version::V3 {
        return Some("is no certificate of version 3".to_owned());
    }
    let constraints = cert.name_constraints().ok().flatten();
    let trees = constraints.iter().flat_map(|it| {
        let all = [&it.value.permitted_subtrees, &it.value.excluded_subtrees];
        all.into_iter().flatten().flatten()
    });
    let plain =
        |it: &GeneralName| matches!(it, GeneralName::DNSName(_) | GeneralName::IPAddress(_));
    let mut odd = trees.filter(|it| !plain(&it.base));
    odd.next().map(|it| {
        let kind = match it.base {
            GeneralName::DirectoryName(_) => "directory names",
            GeneralName::RFC822Name(_) => "e-mail addresses",
            GeneralName::URI(_) => "URIs",
            _ => "names of another kind",
        };
        format!("constrains {kind}")
    })
}

/// The kind and size of a public key, and whether it is too short for today.
fn key(cert: &X509Certificate) -> (String, bool) {
    use x509_parser::public_key::PublicKey;
    match cert.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => (format!("RSA {}", key.key_size()), key.key_size() < 2048),
        Ok(PublicKey::EC(point)) => {
            // A point of P-521 fills 66 bytes.
            let size = match point.key_size() {
                528 => 521,
                size => size,
            };
            (format!("EC {size}"), size < 256)
        }
        _ => {
            let kind = cert.public_key().algorithm.algorithm.to_id_string();
            let kind = match kind.as_str() {
                "1.3.101.112" => "Ed25519",
                "1.3.101.113" => "Ed448",
                "1.2.840.113549.1.1.10" => "RSA-PSS",
                "1.2.840.10040.4.1" => "DSA",
                _ => "another kind of key",
            };
            (kind.to_owned(), false)
        }
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
    /// Whether the key has a kind or a size that ring does not verify with.
    pub fn has_odd_key(&self) -> bool {
        match self.key.split_once(' ') {
            Some(("RSA", bits)) => !bits.parse().is_ok_and(|it| (1024..=8192).contains(&it)),
            Some(("EC", bits)) => !matches!(bits, "256" | "384"),
            _ => self.key != "Ed25519",
        }
    }

    /// RSA, EC or another kind.
    pub fn key_kind(&self) -> &str {
        self.key.split(' ').next().unwrap_or_default()
    }
}
