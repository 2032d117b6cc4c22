//! TLS 1.2 and 1.3: a handshake that records what the peer sent, and the judgement of a chain apart from it.

use crate::model::outcome::{Code, code};
use crate::model::quantity;
use crate::net::dial::Stream;
use crate::net::x509::Certificate;
use crate::net::{Fault, fault};
use anyhow::{Context, anyhow};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct,
    Error, RootCertStore, SignatureScheme, StreamOwned,
};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

/// The machine's own root certificates, read when the first check needs them.
pub struct Trust {
    /// SSL_CERT_FILE, which goes before the distributions' paths.
    file: Option<PathBuf>,
    roots: OnceLock<Result<Arc<RootCertStore>, String>>,
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
    pub fn roots(&self) -> anyhow::Result<Arc<RootCertStore>> {
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
pub fn roots_of(file: &Path) -> anyhow::Result<Arc<RootCertStore>> {
    let shown = file.display();
    let bytes = fs::read(file).with_context(|| format!("cannot read the roots in {shown}"))?;
    let mut roots = RootCertStore::empty();
    let blocks = CertificateDer::pem_slice_iter(&bytes).flatten();
    let (added, _) = roots.add_parsable_certificates(blocks);
    match added {
        0 => Err(anyhow!("no root certificate in {shown}")),
        _ => Ok(Arc::new(roots)),
    }
}

/// What the peer showed in the handshake.
#[derive(Debug)]
pub struct Peer {
    pub chain: Vec<CertificateDer<'static>>,
    /// `TLS 1.2`, `TLS 1.3`; empty when it could not be told.
    pub version: &'static str,
    /// Why it is not proven that the peer has the key of its certificate.
    pub unproven: Option<String>,
}

impl Peer {
    /// The chain as values, the leaf first.
    ///
    /// # Errors
    /// When one of them is no certificate.
    pub fn certificates(&self) -> anyhow::Result<Vec<Certificate>> {
        self.chain
            .iter()
            .map(|it| Certificate::from_der(it))
            .collect()
    }
}

/// Accepts every chain and keeps it, so that the judgement comes afterwards and is whole.
#[derive(Debug)]
struct Recorder {
    schemes: WebPkiSupportedAlgorithms,
    seen: Mutex<(Vec<CertificateDer<'static>>, Option<String>)>,
}

impl Recorder {
    fn proven(&self, verdict: Result<HandshakeSignatureValid, Error>) -> HandshakeSignatureValid {
        if let Err(error) = verdict {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.1 = Some(reason(&error));
        }
        HandshakeSignatureValid::assertion()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer,
        others: &[CertificateDer],
        _: &ServerName,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(leaf).chain(others);
        let chain = chain.map(|it| it.clone().into_owned()).collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0 = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(self.proven(rustls::crypto::verify_tls12_signature(
            message,
            cert,
            signed,
            &self.schemes,
        )))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(self.proven(rustls::crypto::verify_tls13_signature(
            message,
            cert,
            signed,
            &self.schemes,
        )))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.schemes.supported_schemes();
        schemes.extend([
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
        ]);
        schemes
    }
}

/// The name to ask for: no SNI for addresses (RFC 6066, section 3).
///
/// # Errors
/// When it is neither a name nor an address.
pub fn server_name(host: &str) -> anyhow::Result<ServerName<'static>> {
    let host = host.trim_end_matches('.').to_owned();
    let shown = host.clone();
    ServerName::try_from(host).map_err(|_| anyhow!("\"{shown}\" cannot be asked for in TLS"))
}

/// A connection after the handshake.
pub type Secured = StreamOwned<ClientConnection, Stream>;

/// Makes the handshake and records the chain; nothing is judged and nothing is sent after it.
///
/// # Errors
/// With what the peer showed before it failed, if it showed anything.
pub fn handshake(
    mut stream: Stream,
    name: &str,
    who: &str,
) -> Result<(Secured, Peer), (Fault, Option<Peer>)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let recorder = Arc::new(Recorder {
        schemes: provider.signature_verification_algorithms,
        seen: Mutex::default(),
    });
    let mut conn =
        connection(provider, recorder.clone(), name).map_err(|error| (Fault::Me(error), None))?;
    let peer = |conn: &ClientConnection| {
        let seen = recorder.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Peer {
            chain: seen.0.clone(),
            version: match conn.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "",
            },
            unproven: seen.1.clone(),
        }
    };
    while conn.is_handshaking() {
        if let Err(error) = conn.complete_io(&mut stream) {
            let seen = peer(&conn);
            let seen = (!seen.chain.is_empty()).then_some(seen);
            return Err((handshake_fault(&error, who), seen));
        }
    }
    let peer = peer(&conn);
    Ok((StreamOwned::new(conn, stream), peer))
}

fn connection(
    provider: Arc<CryptoProvider>,
    recorder: Arc<Recorder>,
    name: &str,
) -> anyhow::Result<ClientConnection> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(recorder)
        .with_no_client_auth();
    // A resumed handshake would show neither the chain nor the true time.
    config.resumption = Resumption::disabled();
    Ok(ClientConnection::new(Arc::new(config), server_name(name)?)?)
}

/// What a failed handshake means.
fn handshake_fault(error: &io::Error, who: &str) -> Fault {
    let doing = "in the TLS handshake";
    match error.get_ref().and_then(|it| it.downcast_ref::<Error>()) {
        None => fault(error, who, doing),
        Some(Error::AlertReceived(alert)) => {
            Fault::world("tls-alert", format!("{who} {}", alert_text(*alert)))
        }
        Some(Error::InvalidMessage(_)) => {
            Fault::world("not-tls", format!("{who} does not speak TLS"))
        }
        Some(other) => Fault::world("tls-alert", format!("{who}: {}", reason(other))),
    }
}

fn alert_text(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::ProtocolVersion => "speaks neither TLS 1.2 nor 1.3",
        AlertDescription::HandshakeFailure => "has no cipher suite in common with TLS 1.2 and 1.3",
        AlertDescription::UnrecognisedName => "does not know this name (SNI)",
        AlertDescription::CertificateRequired => "demands a client certificate",
        AlertDescription::InternalError => "has an internal error in TLS",
        _ => "refuses the TLS handshake",
    };
    format!("{meaning} (alert {alert:?})")
}

/// A TLS error in words; rustls' own text for some of them is a page of debug output.
fn reason(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "the key is too weak, or the signature is wrong".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => "signed with an algorithm that is no longer safe".to_owned(),
        Error::PeerIncompatible(_) => {
            "speaks TLS in a way that TLS 1.2 and 1.3 do not allow".to_owned()
        }
        Error::PeerMisbehaved(_) => "breaks the rules of TLS".to_owned(),
        other => other.to_string(),
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
        "No path leads from the certificate to a trusted root: send the missing intermediate, or give `ca`.",
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
    name: &str,
    roots: &RootCertStore,
    now: SystemTime,
) -> Vec<(&'static str, String)> {
    let Some((leaf, others)) = peer.chain.split_first() else {
        return vec![("untrusted", "no certificate was sent".to_owned())];
    };
    let values = match Certificate::from_der(leaf) {
        Ok(values) => values,
        Err(error) => return vec![("untrusted", format!("{error:#}"))],
    };
    let mut wrong = Vec::new();
    let parsed = ParsedCertificate::try_from(leaf);
    let trusted = match &parsed {
        _ if is_root(leaf, roots) => Ok(Ok(())),
        Ok(parsed) => trust(parsed, leaf, others, roots, now),
        Err(error) => Err(reason(error)),
    };
    wrong.extend(dates(&values, now));
    if let (true, Ok(Err(of_path))) = (wrong.is_empty(), &trusted) {
        wrong.push(of_path.clone());
    }
    let named = match (&parsed, server_name(name)) {
        (Ok(parsed), Ok(name)) => rustls::client::verify_server_name(parsed, &name).is_ok(),
        _ => false,
    };
    if !named {
        let text = format!(
            "the certificate is for {}, not for {name}",
            names_of(&values)
        );
        wrong.push(("name-mismatch", text));
    }
    if let Err(text) = trusted {
        wrong.push(match values.self_issued {
            true => ("self-signed", "the certificate is self-signed".to_owned()),
            false => ("untrusted", text),
        });
    }
    if let Some(why) = &peer.unproven
        && wrong.is_empty()
    {
        wrong.push((
            "untrusted",
            format!("the server did not prove its key: {why}"),
        ));
    }
    wrong
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

/// Whether the leaf itself was given as a root, as a self-signed one in `ca` is.
fn is_root(leaf: &CertificateDer, roots: &RootCertStore) -> bool {
    use x509_parser::prelude::{FromDer, X509Certificate};
    X509Certificate::from_der(leaf).is_ok_and(|(_, leaf)| {
        roots.roots.iter().any(|root| {
            leaf.subject().as_raw().ends_with(&root.subject)
                && leaf
                    .public_key()
                    .raw
                    .ends_with(&root.subject_public_key_info)
        })
    })
}

/// What is wrong with the dates of a path, apart from whether it leads to a root.
type Dates = Result<(), (&'static str, String)>;

/// Whether the leaf leads to a root. Where only the clock is in the way, a moment is taken at which
/// everything was valid, because dates are judged apart.
fn trust(
    parsed: &ParsedCertificate,
    leaf: &CertificateDer,
    others: &[CertificateDer],
    roots: &RootCertStore,
    now: SystemTime,
) -> Result<Dates, String> {
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let at = |moment: i64| {
        let moment = Duration::from_secs(u64::try_from(moment).unwrap_or(0));
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            parsed,
            roots,
            others,
            UnixTime::since_unix_epoch(moment),
            algorithms.all,
        )
    };
    let error = match at(seconds(now)) {
        Ok(()) => return Ok(Ok(())),
        Err(error) => error,
    };
    let chain: Vec<Certificate> = std::iter::once(leaf)
        .chain(others)
        .filter_map(|it| Certificate::from_der(it).ok())
        .collect();
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
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            let issuer = chain.last().map_or("unknown", |it| it.issuer.as_str());
            format!("not trusted: nothing sent and no root here is its issuer \"{issuer}\"")
        }
        Error::InvalidCertificate(CertificateError::Other(_)) => {
            "not trusted: the certificate of an authority is used as a server's".to_owned()
        }
        other => format!("not trusted: {}", reason(other)),
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
