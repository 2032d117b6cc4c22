//! Trust: the machine's own roots, and what is wrong with a chain that a peer showed.

use crate::model::outcome::{Code, code};
use crate::model::quantity;
use crate::net::legacy;
use crate::net::tls::{Peer, UNSAFE, reason};
use crate::net::x509::Certificate;
use anyhow::{Context, anyhow};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

/// The machine's own root certificates, read when the first check needs them.
pub struct Trust {
    /// SSL_CERT_FILE, which goes before the distributions' paths.
    file: Option<PathBuf>,
    roots: OnceLock<Result<Arc<Roots>, String>>,
}

/// Root certificates, and what stands in them.
pub struct Roots {
    store: RootCertStore,
    /// In the order of the store.
    ders: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// The root whose subject is this name in DER; of several, the one that ends last.
    pub fn named(&self, subject: &[u8]) -> Option<Certificate> {
        let subject = content(subject);
        let roots = self.store.roots.iter().zip(&self.ders);
        roots
            .filter(|(root, _)| root.subject.as_ref() == subject)
            .filter_map(|(_, der)| Certificate::from_der(der).ok())
            .max_by_key(|it| it.not_after)
    }

    /// Whether a certificate was itself given as a root, as a self-signed one in `ca` is.
    fn has(&self, certificate: &Certificate) -> bool {
        let subject = content(&certificate.subject_der);
        let key = content(&certificate.public_key);
        let mut roots = self.store.roots.iter();
        roots.any(|it| it.subject.as_ref() == subject && it.subject_public_key_info.as_ref() == key)
    }
}

/// What is inside a DER sequence.
fn content(der: &[u8]) -> &[u8] {
    let header = match der {
        [_, length, ..] if *length >= 0x80 => 2 + usize::from(length & 0x7f),
        _ => 2,
    };
    der.get(header..).unwrap_or_default()
}

/// Where the distributions keep their bundle of root certificates.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

impl Trust {
    pub fn new(file: Option<PathBuf>) -> Trust {
        Trust {
            file,
            roots: OnceLock::new(),
        }
    }

    /// The roots of this machine.
    ///
    /// # Errors
    /// When it has none.
    pub fn roots(&self) -> anyhow::Result<Arc<Roots>> {
        let roots = self.roots.get_or_init(|| match &self.file {
            Some(file) => roots_of(file).map_err(|it| format!("{it:#}")),
            None => BUNDLES
                .iter()
                .find_map(|it| roots_of(Path::new(it)).ok())
                .ok_or_else(|| {
                    "this machine has no root certificates; install ca-certificates, set SSL_CERT_FILE or give `ca`".to_owned()
                }),
        });
        roots.clone().map_err(|it| anyhow!(it))
    }
}

/// The roots in a file of PEM blocks.
///
/// # Errors
/// When it cannot be read or has none.
pub fn roots_of(file: &Path) -> anyhow::Result<Arc<Roots>> {
    let shown = file.display();
    let bytes = fs::read(file).with_context(|| format!("cannot read the roots in {shown}"))?;
    let mut roots = Roots {
        store: RootCertStore::empty(),
        ders: Vec::new(),
    };
    for der in CertificateDer::pem_slice_iter(&bytes).flatten() {
        // What webpki does not understand cannot vouch for anything.
        if roots.store.add(der.clone()).is_ok() {
            roots.ders.push(der);
        }
    }
    match roots.ders.is_empty() {
        true => Err(anyhow!("no root certificate in {shown}")),
        false => Ok(Arc::new(roots)),
    }
}

/// The findings that a certificate can have.
pub const CODES: &[Code] = &[
    code(
        "expired",
        "CRITICAL",
        "The certificate, or one that it depends on, is past its time: renew it and reload the server.",
    ),
    code(
        "not-yet-valid",
        "CRITICAL",
        "The certificate begins in the future: look at the clocks, then at who issued it.",
    ),
    code(
        "name-mismatch",
        "CRITICAL",
        "The certificate is not for this name: wrong virtual host, or a name is missing in it.",
    ),
    code(
        "untrusted",
        "CRITICAL",
        "The certificate leads to no root that this machine trusts, or is not for servers: give `ca` if it is yours.",
    ),
    code(
        "incomplete-chain",
        "CRITICAL",
        "The server does not send the certificate of its certificate's issuer: append the intermediate to its file.",
    ),
    code(
        "weak-signature",
        "CRITICAL",
        "A certificate below the root is signed with SHA-1 or MD5, which can be forged: have it issued again.",
    ),
    code(
        "self-signed",
        "CRITICAL",
        "The certificate vouches for itself: replace it, or give it as `ca`.",
    ),
];

/// How far clocks may differ before a certificate counts as not yet valid.
const SKEW: i64 = 300;

/// What is wrong with what a peer showed, each with its finding code; empty when nothing is.
///
/// The dates, the name and the trust are judged apart, so that one does not hide the other.
pub fn judge(
    peer: &Peer,
    chain: &[Certificate],
    name: &str,
    roots: &Roots,
    now: SystemTime,
) -> Vec<(&'static str, String)> {
    let (Some((leaf, others)), Some(values)) = (peer.chain.split_first(), chain.first()) else {
        return vec![("untrusted", "no certificate was sent".to_owned())];
    };
    let trusted = match ParsedCertificate::try_from(leaf) {
        _ if roots.has(values) => Ok(Ok(())),
        Ok(parsed) => trust(&parsed, chain, others, &roots.store, now),
        Err(error) => Err(reason(&error)),
    };
    let mut wrong = Vec::from_iter(dates(values, now));
    if let (true, Ok(Err(of_path))) = (wrong.is_empty(), &trusted) {
        wrong.push(of_path.clone());
    }
    if !covers(values, name) {
        let names = names_of(values);
        let text = format!("the certificate is for {names}, not for {name}");
        wrong.push(("name-mismatch", text));
    }
    let path = path(chain, roots).into_iter().map(|it| &chain[it]);
    let weak = path.filter(|it| it.weak_signature && !it.self_issued);
    let weak = weak.map(|it| {
        let text = format!("{} is signed with {}", it.subject, it.signature);
        ("weak-signature", text)
    });
    wrong.extend(weak);
    let told = wrong.iter().any(|it| it.0 == "weak-signature");
    match trusted {
        Ok(_) => (),
        Err(text) if text == UNSAFE && told => (),
        Err(text) => wrong.push(no_path(&text, chain, values)),
    }
    wrong
}

/// Why a chain leads to no root; without a reason of its own an issuer is lacking.
fn no_path(text: &str, chain: &[Certificate], leaf: &Certificate) -> (&'static str, String) {
    let issuer = &leaf.issuer;
    let mut others = chain.iter().skip(1);
    let issuer_sent = others.any(|it| it.subject_der == leaf.issuer_der);
    let last = chain.last().map_or("unknown", |it| it.issuer.as_str());
    match text {
        _ if leaf.self_issued => ("self-signed", "the certificate is self-signed".to_owned()),
        "" if issuer_sent => (
            "untrusted",
            format!("not trusted: \"{last}\" is no root here"),
        ),
        "" => (
            "incomplete-chain",
            format!("the certificate of the issuer \"{issuer}\" is not sent, and is no root here"),
        ),
        text => ("untrusted", format!("not trusted: {text}")),
    }
}

/// The places of the leaf and of its issuers among what was sent, up to one whose issuer is a root.
///
/// Of several issuers of one name, the one that ends last, as a client that knows all of them would.
pub fn path(chain: &[Certificate], roots: &Roots) -> Vec<usize> {
    let mut path: Vec<usize> = (0..chain.len().min(1)).collect();
    while let Some(last) = path.last().map(|it| &chain[*it]) {
        if last.self_issued || roots.named(&last.issuer_der).is_some() {
            break;
        }
        let issuers = (0..chain.len())
            .filter(|it| !path.contains(it) && chain[*it].subject_der == last.issuer_der);
        match issuers.max_by_key(|it| chain[*it].not_after) {
            Some(issuer) => path.push(issuer),
            None => break,
        }
    }
    path
}

/// What is wrong with the dates of one certificate.
pub fn dates(certificate: &Certificate, now: SystemTime) -> Option<(&'static str, String)> {
    let now = seconds(now);
    let Certificate { subject, .. } = certificate;
    if now > certificate.not_after {
        let ago = quantity::seconds((now - certificate.not_after) as f64);
        return Some(("expired", format!("{subject} expired {ago} ago")));
    }
    (now + SKEW < certificate.not_before).then(|| {
        let ahead = quantity::seconds((certificate.not_before - now) as f64);
        (
            "not-yet-valid",
            format!("{subject} is not valid for {ahead} yet"),
        )
    })
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX))
}

/// Whether a certificate is for this name or address: names with one wildcard in place of the left-most label
/// (RFC 6125, section 6.4.3), never the common name.
pub fn covers(certificate: &Certificate, name: &str) -> bool {
    if let Ok(address) = name.parse() {
        return certificate.addresses.contains(&address);
    }
    let name = name.trim_end_matches('.');
    let parent = name.split_once('.').map(|it| it.1);
    certificate.dns_names.iter().any(|it| {
        let wild = it.strip_prefix("*.").zip(parent);
        it.eq_ignore_ascii_case(name)
            || wild.is_some_and(|(of, parent)| of.contains('.') && of.eq_ignore_ascii_case(parent))
    })
}

/// What is wrong with the dates of a path, apart from whether it leads to a root.
type Dates = Result<(), (&'static str, String)>;

/// Whether the leaf leads to a root; an empty reason means that no issuer was found. Where only the clock is in the way, a moment is taken at which
/// everything was valid, because dates are judged apart.
fn trust(
    parsed: &ParsedCertificate,
    chain: &[Certificate],
    others: &[CertificateDer],
    roots: &RootCertStore,
    now: SystemTime,
) -> Result<Dates, String> {
    let modern = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    // Old algorithms are findings of their own, and must not hide whether the chain is trusted.
    let algorithms = [legacy::ALGORITHMS, modern.all].concat();
    let at = |moment: i64| {
        let moment = Duration::from_secs(u64::try_from(moment).unwrap_or(0));
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            parsed,
            roots,
            others,
            UnixTime::since_unix_epoch(moment),
            &algorithms,
        )
    };
    let error = match at(seconds(now)) {
        Ok(()) => return Ok(Ok(())),
        Err(error) => error,
    };
    // Inside the life of everything that was sent, else at the ends of the leaf's own life.
    let from = chain.iter().map(|it| it.not_before).max().unwrap_or(0);
    let until = chain.iter().map(|it| it.not_after).min().unwrap_or(0);
    let ends = chain.first().map(|it| [it.not_before, it.not_after]);
    let moments = [from, until].into_iter().chain(ends.into_iter().flatten());
    if moments.into_iter().any(|it| at(it).is_ok()) {
        let late = chain.iter().skip(1).find_map(|it| dates(it, now));
        return Ok(Err(late.unwrap_or_else(|| ("expired", reason(&error)))));
    }
    Err(match &error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => String::new(),
        Error::InvalidCertificate(CertificateError::InvalidPurpose) => {
            "the certificate is not for servers (extended key usage)".to_owned()
        }
        Error::InvalidCertificate(CertificateError::InvalidPurposeContext { .. }) => {
            "the certificate is not for servers (extended key usage)".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Other(_)) => {
            "the certificate of an authority is used as a server's".to_owned()
        }
        other => reason(other),
    })
}

/// The names that a certificate is for.
pub fn names_of(certificate: &Certificate) -> String {
    let addresses = certificate.addresses.iter().map(|it| it.to_string());
    let names: Vec<String> = certificate
        .dns_names
        .iter()
        .cloned()
        .chain(addresses)
        .collect();
    match names.len() {
        0 => format!("no name (subject {})", certificate.subject),
        1..=4 => names.join(", "),
        more => format!("{} and {} more", names[..3].join(", "), more - 3),
    }
}
