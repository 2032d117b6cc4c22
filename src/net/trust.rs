//! Trust: the machine's own roots, and what is wrong with a chain that a peer showed.

use crate::bounded;
use crate::model::outcome::{Code, UNKNOWN, code};
use crate::model::quantity;
use crate::net;
use crate::net::legacy;
use crate::net::tls::Peer;
use crate::net::x509::Certificate;
use anyhow::{Context, anyhow};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::cell::RefCell;
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
    /// Where they were read from.
    pub file: PathBuf,
    store: RootCertStore,
    /// In the order of the store.
    ders: Vec<CertificateDer<'static>>,
    /// Those that the library cannot use, with their DER.
    others: Vec<(Certificate, CertificateDer<'static>)>,
    /// How many blocks of the file are no certificate.
    unread: usize,
}

impl Roots {
    /// The root whose subject is this name in DER; of several, the one that ends last.
    pub fn named(&self, subject: &[u8]) -> Option<Certificate> {
        let inner = content(subject);
        let roots = self.store.roots.iter().zip(&self.ders);
        let usual = roots
            .filter(|(root, _)| root.subject.as_ref() == inner)
            .filter_map(|(_, der)| Certificate::from_der(der).ok());
        let others = self.others.iter().map(|it| &it.0);
        let others = others.filter(|it| it.subject_der == subject).cloned();
        usual.chain(others).max_by_key(|it| it.not_after)
    }

    /// Whether a certificate was itself given as a root, as a self-signed one in `ca` is.
    fn has(&self, certificate: &Certificate, der: &CertificateDer) -> bool {
        let subject = content(&certificate.subject_der);
        let key = content(&certificate.public_key);
        let mut roots = self.store.roots.iter();
        roots.any(|it| it.subject.as_ref() == subject && it.subject_public_key_info.as_ref() == key)
            || self.others.iter().any(|it| it.1 == *der)
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
    let bytes = bounded::read(file, bounded::KEYS);
    let bytes = bytes.with_context(|| format!("cannot read the roots in {shown}"))?;
    let mut roots = Roots {
        file: file.to_owned(),
        store: RootCertStore::empty(),
        ders: Vec::new(),
        others: Vec::new(),
        unread: 0,
    };
    for der in CertificateDer::pem_slice_iter(&bytes) {
        let Ok(der) = der else {
            roots.unread += 1;
            continue;
        };
        match roots.store.add(der.clone()) {
            Ok(()) => roots.ders.push(der),
            Err(_) => match Certificate::from_der(&der) {
                Ok(root) => roots.others.push((root, der)),
                Err(_) => roots.unread += 1,
            },
        }
    }
    match roots.ders.is_empty() && roots.others.is_empty() {
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
        "The certificate leads to no root that this machine trusts, an issuer may not issue it, or it is not for servers: give `ca` if the root is yours.",
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

/// Another judge of chains, for those that the library cannot judge.
pub trait Second {
    /// Whether a chain leads to one of the roots in a file, at a moment or whenever.
    fn judge(&self, chain: &[CertificateDer], roots: &Path, moment: Moment) -> Answer;
}

/// When a chain is to be valid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// In seconds since 1970.
    At(i64),
    Whenever,
}

/// What the other judge says.
#[derive(Debug)]
pub enum Answer {
    Trusted,
    /// The number and the text of an error as OpenSSL has them (X509_V_ERR_…).
    Refused {
        number: u32,
        text: String,
    },
    /// It could not judge either, and why.
    Unable(String),
}

/// The code and the text of something that is wrong; [`UNKNOWN`] is what could not be judged.
pub type Wrong = (&'static str, String);

/// What is wrong with what a peer showed, each with its finding code; empty when nothing is.
///
/// The dates, the name and the trust are judged apart, so that one does not hide the other.
pub fn judge(
    peer: &Peer,
    chain: &[Certificate],
    name: &str,
    roots: &Roots,
    now: SystemTime,
    second: &dyn Second,
) -> Vec<Wrong> {
    let (Some(der), Some(leaf)) = (peer.chain.first(), chain.first()) else {
        return vec![("untrusted", "no certificate was sent".to_owned())];
    };
    let case = Case {
        ders: &peer.chain,
        chain,
        roots,
        now: seconds(now),
        second,
    };
    let trusted = match roots.has(leaf, der) {
        true => Ok(()),
        false => case.trust(),
    };
    let mut wrong = Vec::from_iter(dates(leaf, now));
    let path = path(chain, roots);
    if wrong.is_empty() && trusted.is_ok() {
        let above = path.iter().skip(1).map(|it| &chain[*it]);
        let on_top = path.last().map(|it| &chain[*it]);
        let root = on_top.and_then(|it| roots.named(&it.issuer_der));
        // A root that has ended does not matter where it was sent again, signed by another one.
        let signed_again = |root: &Certificate| {
            let mut again = chain.iter().filter(|it| it.subject_der == root.subject_der);
            again.any(|it| {
                let other = roots.named(&it.issuer_der);
                !it.self_issued && other.is_some_and(|it| dates(&it, now).is_none())
            })
        };
        let root = root.filter(|it| !signed_again(it));
        wrong.extend(above.chain(&root).find_map(|it| dates(it, now)));
    }
    if !covers(leaf, name) {
        let names = names_of(leaf);
        let text = format!("the certificate is for {names}, not for {name}");
        wrong.push(("name-mismatch", text));
    }
    let weak = path.into_iter().map(|it| &chain[it]);
    let weak = weak.filter(|it| it.weak_signature && !it.self_issued);
    wrong.extend(weak.map(|it| {
        let text = format!("{} is signed with {}", it.subject, it.signature);
        ("weak-signature", text)
    }));
    wrong.extend(trusted.err());
    wrong
}

/// Why a chain leads to no root.
enum Broken {
    NoIssuer,
    Told(String),
}

/// A chain that somebody showed, and the roots that it may lead to.
struct Case<'c> {
    ders: &'c [CertificateDer<'static>],
    /// The same as values.
    chain: &'c [Certificate],
    roots: &'c Roots,
    /// In seconds since 1970.
    now: i64,
    second: &'c dyn Second,
}

impl Case<'_> {
    /// Whether the leaf leads to a root, apart from the dates: where only the clock is in the way, a moment is taken at which all was valid.
    fn trust(&self) -> Result<(), Wrong> {
        // No chain that anybody trusts is longer, and each try costs signatures.
        const LONGEST: usize = 8;
        let path = path(self.chain, self.roots);
        let path = path.iter().take(LONGEST).map(|it| &self.chain[*it]);
        let begins = path.clone().map(|it| it.not_before);
        // Clocks differ: what has just begun elsewhere is valid.
        let skewed = begins.clone().filter(|it| *it <= self.now + SKEW);
        let now = skewed.chain([self.now]).max().unwrap_or(self.now);
        let error = match self.library(self.now).or_else(|_| self.library(now)) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // Inside the life of everything that was sent, else at the ends of each life.
        let ends = path.map(|it| it.not_after);
        let from = begins.clone().max().unwrap_or(0);
        let until = ends.clone().min().unwrap_or(0);
        let moments = [from, until].into_iter().chain(begins).chain(ends);
        if moments.into_iter().any(|it| self.library(it).is_ok()) {
            return Ok(());
        }
        let broken = match self.beyond(&error) {
            None => Err(self.told(&error)),
            Some(why) => return self.ask(&why, now),
        };
        broken.map_err(|it| self.no_path(it))
    }

    /// The library's verdict, with the issuers' key usage and what the root says of itself, which it does not look at.
    fn library(&self, moment: i64) -> Result<(), Refusal> {
        let modern = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        // Old algorithms are findings of their own, and must not hide whether the chain is trusted.
        let algorithms = [legacy::ALGORITHMS, modern.all].concat();
        let (leaf, others) = self
            .ders
            .split_first()
            .ok_or(Refusal::of(webpki::Error::BadDer))?;
        let leaf = webpki::EndEntityCert::try_from(leaf).map_err(Refusal::of)?;
        let seconds = u64::try_from(moment).unwrap_or(0);
        let objection = RefCell::new(None);
        let examine = |path: &webpki::VerifiedPath| {
            let sent = path.intermediate_certificates().map(|it| it.der());
            let sent: Vec<Certificate> = sent
                .filter_map(|it| Certificate::from_der(&it).ok())
                .collect();
            let anchor = path.anchor();
            let roots = self.roots.store.roots.iter().zip(&self.roots.ders);
            let root = roots.filter(|it| it.0 == anchor);
            let root = root.filter_map(|it| Certificate::from_der(it.1).ok());
            let root: Vec<Certificate> = root.collect();
            let not_signer = sent.iter().chain(&root).find(|it| !it.may_sign);
            let wrong = not_signer.map(|it| {
                let subject = &it.subject;
                format!("{subject} may not sign certificates (its key usage has no keyCertSign)")
            });
            match wrong.or_else(|| root_flaw(root.first()?, &sent)) {
                None => Ok(()),
                Some(wrong) => {
                    *objection.borrow_mut() = Some(wrong);
                    Err(webpki::Error::EndEntityUsedAsCa)
                }
            }
        };
        let done = leaf.verify_for_usage(
            &algorithms,
            &self.roots.store.roots,
            others,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            webpki::KeyUsage::server_auth(),
            None,
            Some(&examine),
        );
        done.map(drop).map_err(|error| Refusal {
            error,
            objection: objection.take(),
        })
    }

    /// What is in the way of the library, where it is that and not the chain's own fault.
    fn beyond(&self, refusal: &Refusal) -> Option<String> {
        use webpki::Error as E;
        let odd = |it: &Certificate| Some(format!("{} {}", it.subject, it.beyond.as_ref()?));
        let root = |it: &Certificate| {
            let mut others = self.roots.others.iter();
            let root = others.find(|other| other.0.subject_der == it.issuer_der)?;
            let why = root.0.beyond.as_deref();
            let why = why.unwrap_or("is a root that koshu's library cannot read");
            Some(format!("{} {why}", root.0.subject))
        };
        let known = self
            .chain
            .iter()
            .find_map(|it| odd(it).or_else(|| root(it)));
        if known.is_some() || refusal.objection.is_some() {
            return known;
        }
        match &refusal.error {
            E::UnsupportedSignatureAlgorithmContext(_)
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                let path = path(self.chain, self.roots);
                let all = path.into_iter().map(|it| &self.chain[it]);
                let all = all.map(|it| format!("{} ({})", it.signature, it.subject));
                let all: Vec<String> = all.collect();
                Some(format!(
                    "koshu's library cannot check all of its signatures: {}",
                    all.join(", ")
                ))
            }
            E::InvalidSignatureForPublicKey => {
                let roots = self
                    .chain
                    .iter()
                    .filter_map(|it| self.roots.named(&it.issuer_der));
                let keys = self.chain.iter().cloned().chain(roots);
                let mut odd = keys.filter(|it| it.weak_key || it.has_odd_key());
                odd.next().map(|it| {
                    format!(
                        "koshu's library cannot use the key of {} ({})",
                        it.subject, it.key
                    )
                })
            }
            E::UnknownIssuer
            | E::CaUsedAsEndEntity
            | E::EndEntityUsedAsCa
            | E::PathLenConstraintViolated
            | E::NameConstraintViolation
            | E::RequiredEkuNotFoundContext(_)
            | E::EmptyEkuExtension
            | E::CertExpired { .. }
            | E::CertNotValidYet { .. } => None,
            _ => Some("koshu's library cannot read all of it".to_owned()),
        }
    }

    /// The reason for a refusal that the library can give.
    fn told(&self, refusal: &Refusal) -> Broken {
        use webpki::Error as E;
        if let Some(objection) = &refusal.objection {
            return Broken::Told(objection.clone());
        }
        let path = path(self.chain, self.roots);
        let named = |found: Option<&Certificate>| {
            found
                .map_or("a certificate of the chain", |it| it.subject.as_str())
                .to_owned()
        };
        let mut above = path.iter().skip(1).map(|it| &self.chain[*it]);
        let mut all = path.iter().map(|it| &self.chain[*it]);
        Broken::Told(match &refusal.error {
            E::UnknownIssuer => return Broken::NoIssuer,
            E::CaUsedAsEndEntity => {
                "the certificate of an authority is used as a server's".to_owned()
            }
            E::EndEntityUsedAsCa => format!(
                "{} is not an authority, but issued another certificate (basic constraints)",
                named(above.find(|it| it.authority != Some(true)))
            ),
            E::PathLenConstraintViolated => {
                "the chain is longer than an authority in it allows (path length)".to_owned()
            }
            E::NameConstraintViolation => {
                "an authority in the chain may not issue for these names (name constraints)"
                    .to_owned()
            }
            E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => format!(
                "{} is not for servers (extended key usage)",
                named(all.find(|it| !it.for_servers))
            ),
            E::InvalidSignatureForPublicKey => {
                "a signature in the chain was not made with the key of its issuer".to_owned()
            }
            _ => "a certificate of the chain is not valid at any time of the others".to_owned(),
        })
    }

    /// Asks the other judge; `why` is what the library stumbled on.
    fn ask(&self, why: &str, now: i64) -> Result<(), Wrong> {
        let ask = |moment| self.second.judge(self.ders, &self.roots.file, moment);
        let answer = match ask(Moment::At(now)) {
            // "certificate is not yet valid" and "has expired": dates are judged apart.
            Answer::Refused { number: 9 | 10, .. } => ask(Moment::Whenever),
            answer => answer,
        };
        match answer {
            Answer::Trusted => Ok(()),
            // No issuer, or a self-signed certificate on top that is no root here.
            Answer::Refused {
                number: 2 | 18 | 19 | 20 | 21 | 27,
                ..
            } => Err(self.no_path(Broken::NoIssuer)),
            Answer::Refused { text, .. } => {
                Err(self.no_path(Broken::Told(format!("{text} ({why})"))))
            }
            Answer::Unable(what) => Err((
                UNKNOWN,
                format!("whether the chain is trusted cannot be told: {why}, and {what}"),
            )),
        }
    }

    /// Why the chain leads to no root.
    fn no_path(&self, broken: Broken) -> Wrong {
        let Some(leaf) = self.chain.first() else {
            return ("untrusted", "no certificate was sent".to_owned());
        };
        let issuer = &leaf.issuer;
        let mut others = self.chain.iter().skip(1);
        let issuer_sent = others.any(|it| it.subject_der == leaf.issuer_der);
        let last = self.chain.last().map_or("unknown", |it| it.issuer.as_str());
        let unread = match self.roots.unread {
            0 => String::new(),
            count => format!(
                "; {count} of the certificates in {} cannot be read",
                self.roots.file.display()
            ),
        };
        match broken {
            _ if leaf.self_issued => ("self-signed", "the certificate is self-signed".to_owned()),
            Broken::NoIssuer if issuer_sent => (
                "untrusted",
                format!("not trusted: \"{last}\" is no root here{unread}"),
            ),
            Broken::NoIssuer => (
                "incomplete-chain",
                format!(
                    "the certificate of the issuer \"{issuer}\" is not sent, and is no root here{unread}"
                ),
            ),
            Broken::Told(text) => ("untrusted", format!("not trusted: {text}")),
        }
    }
}

/// What a root says of itself that forbids such a chain beneath it, as most programs see it.
fn root_flaw(root: &Certificate, sent: &[Certificate]) -> Option<String> {
    let subject = &root.subject;
    let authorities = sent.iter().filter(|it| !it.self_issued).count();
    if root.authority == Some(false) {
        return Some(format!(
            "the root {subject} is not an authority (basic constraints)"
        ));
    }
    if root.path_length.is_some_and(|it| authorities > it as usize) {
        return Some(format!(
            "the chain is longer than the root {subject} allows (path length)"
        ));
    }
    (!root.for_servers)
        .then(|| format!("the root {subject} is not for servers (extended key usage)"))
}

/// The library's no.
struct Refusal {
    error: webpki::Error,
    /// What is in the way that the library itself does not look at.
    objection: Option<String>,
}

impl Refusal {
    fn of(error: webpki::Error) -> Refusal {
        Refusal {
            error,
            objection: None,
        }
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
    let name = net::ascii(name.trim_end_matches('.'));
    let parent = name.split_once('.').map(|it| it.1);
    certificate.dns_names.iter().any(|it| {
        let wild = it.strip_prefix("*.").zip(parent);
        it.eq_ignore_ascii_case(&name)
            || wild.is_some_and(|(of, parent)| of.contains('.') && of.eq_ignore_ascii_case(parent))
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
