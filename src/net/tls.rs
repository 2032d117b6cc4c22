//! TLS 1.2 and 1.3: a handshake that accepts and records what the peer shows; the judgement comes afterwards.

use crate::net::dial::Stream;
use crate::net::x509::Certificate;
use crate::net::{self, Fault, fault};
use anyhow::anyhow;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct,
    Error, InvalidMessage, PeerIncompatible, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use serde::Deserialize;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the peer showed in the handshake.
#[derive(Debug)]
pub struct Peer {
    pub chain: Vec<CertificateDer<'static>>,
    /// `TLS 1.2`, `TLS 1.3`; empty when it could not be told.
    pub version: &'static str,
    /// Why it is not proven that the peer has the key of its certificate.
    pub unproven: Option<String>,
    /// Whether the chain was only read in the clear, before any TLS.
    pub plain: bool,
    /// Which program made the connection, where it was not koshu: "the host's openssl".
    pub by: Option<&'static str>,
}

/// Which kinds of keys a peer may show.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Keys {
    #[default]
    Any,
    Rsa,
    Ecdsa,
}

/// A version of TLS, as a list writes it.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Deserialize, schemars::JsonSchema)]
pub enum Version {
    #[serde(rename = "1.0")]
    V10,
    #[serde(rename = "1.1")]
    V11,
    #[serde(rename = "1.2")]
    V12,
    #[serde(rename = "1.3")]
    V13,
}

impl Version {
    /// The version of this name, as `TLS 1.2`.
    pub fn named(name: &str) -> Option<Version> {
        [Version::V10, Version::V11, Version::V12, Version::V13]
            .into_iter()
            .find(|it| it.to_string() == name)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(match self {
            Version::V10 => "TLS 1.0",
            Version::V11 => "TLS 1.1",
            Version::V12 => "TLS 1.2",
            Version::V13 => "TLS 1.3",
        })
    }
}

/// A certificate of ours with its key, for servers that demand one.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads PEM: the chain, leaf first, and the key.
    ///
    /// # Errors
    /// When one of them is missing or damaged; nothing of the key is said.
    pub fn read(chain: &[u8], key: &[u8]) -> anyhow::Result<Identity> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|_| anyhow!("the client certificate is damaged"))?;
        if chain.is_empty() {
            return Err(anyhow!("no client certificate in PEM there"));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            anyhow!("no private key of the client in PEM there, or an encrypted one")
        })?;
        Ok(Identity { chain, key })
    }
}

/// What is offered in a handshake; by default everything.
#[derive(Clone, Default)]
pub struct Offer {
    pub keys: Keys,
    /// The oldest and the newest version.
    pub oldest: Option<Version>,
    pub newest: Option<Version>,
    pub identity: Option<Arc<Identity>>,
}

impl Peer {
    /// "TLS 1.0 by the host's openssl", where it was not koshu.
    pub fn made_by(&self) -> Option<String> {
        let version = match self.version {
            "" => "TLS",
            version => version,
        };
        Some(format!("{version} by {}", self.by?))
    }

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
    keys: Keys,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    chain: Vec<CertificateDer<'static>>,
    /// The verdict on the handshake's signature, once it has come.
    proof: Option<Result<(), String>>,
}

impl Recorder {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proven(&self, verdict: Result<HandshakeSignatureValid, Error>) -> HandshakeSignatureValid {
        self.seen().proof = Some(verdict.map(drop).map_err(|it| reason(&it)));
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
        self.seen().chain = chain.map(|it| it.clone().into_owned()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let mapping = self.schemes.mapping.iter();
        let known = mapping.filter(|it| it.0 == signed.scheme);
        let mut verdict = Err(Error::PeerIncompatible(
            PeerIncompatible::NoSignatureSchemesInCommon,
        ));
        // In TLS 1.2 a scheme does not say on which curve the key is.
        for algorithm in known.flat_map(|it| it.1) {
            let key = public_key(cert)?;
            let key = webpki::RawPublicKeyEntity::try_from(&key);
            let verify = |it: webpki::RawPublicKeyEntity| {
                it.verify_signature(*algorithm, message, signed.signature())
            };
            match key.and_then(verify) {
                Ok(()) => {
                    verdict = Ok(HandshakeSignatureValid::assertion());
                    break;
                }
                Err(webpki::Error::InvalidSignatureForPublicKey) => {
                    verdict = Err(CertificateError::BadSignature.into());
                }
                Err(_) => (),
            }
        }
        Ok(self.proven(verdict))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(
            self.proven(rustls::crypto::verify_tls13_signature_with_raw_key(
                message,
                &public_key(cert)?,
                signed,
                &self.schemes,
            )),
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.schemes.supported_schemes();
        schemes.extend([
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
        ]);
        schemes.retain(|it| {
            let name = it.as_str().unwrap_or_default();
            match self.keys {
                Keys::Any => true,
                Keys::Rsa => name.starts_with("RSA"),
                Keys::Ecdsa => name.starts_with("ECDSA"),
            }
        });
        schemes
    }
}

/// The key of a certificate whose extensions the library may not know, which the proof of the key does not depend on.
fn public_key(cert: &CertificateDer) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    let cert = Certificate::from_der(cert);
    let cert = cert.map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    Ok(cert.public_key.into())
}

/// The name to ask for: no SNI for addresses (RFC 6066, section 3).
///
/// # Errors
/// When it is neither a name nor an address.
pub fn server_name(host: &str) -> anyhow::Result<ServerName<'static>> {
    let shown = host.trim_end_matches('.');
    let host = net::ascii(shown).into_owned();
    ServerName::try_from(host).map_err(|_| anyhow!("\"{shown}\" cannot be asked for in TLS"))
}

/// Why a handshake failed.
pub struct Failed {
    pub fault: Fault,
    /// What the peer showed before, if it showed anything.
    pub peer: Option<Peer>,
    /// Whether the peer may speak a TLS that is too old, or has parameters that the library does not.
    pub is_strange: bool,
}

/// Whether an error can come of a peer that has no version or parameters in common with the library. Other alerts say what else is wrong.
fn is_strange(error: &io::Error) -> bool {
    use AlertDescription as Alert;
    let cause = error.get_ref().and_then(|it| it.downcast_ref::<Error>());
    match cause {
        Some(Error::AlertReceived(alert)) => matches!(
            alert,
            Alert::ProtocolVersion
                | Alert::HandshakeFailure
                | Alert::InsufficientSecurity
                | Alert::IllegalParameter
                | Alert::DecodeError
                | Alert::UnexpectedMessage
                | Alert::InternalError
                | Alert::UnsupportedExtension
                | Alert::InappropriateFallback
                | Alert::NoCertificate
                | Alert::BadRecordMac
                | Alert::CloseNotify
        ),
        Some(Error::PeerIncompatible(_) | Error::PeerMisbehaved(_)) => true,
        Some(_) => false,
        None => matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
        ),
    }
}

/// A connection after the handshake.
pub type Secured = StreamOwned<ClientConnection, Stream>;

/// Makes the handshake and records the chain; nothing is judged and nothing is sent after it.
///
/// # Errors
/// As [`Failed`] says.
pub fn handshake(
    mut stream: Stream,
    name: &str,
    who: &str,
    offer: &Offer,
) -> Result<(Secured, Peer), Box<Failed>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let recorder = Arc::new(Recorder {
        schemes: provider.signature_verification_algorithms,
        keys: offer.keys,
        seen: Mutex::default(),
    });
    let mut conn = connection(provider, recorder.clone(), name, offer).map_err(|error| Failed {
        fault: Fault::Me(error),
        peer: None,
        is_strange: false,
    })?;
    let peer = |conn: &ClientConnection| {
        let seen = recorder.seen();
        Peer {
            chain: seen.chain.clone(),
            version: match conn.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "",
            },
            unproven: match &seen.proof {
                Some(Ok(())) => None,
                Some(Err(why)) => Some(why.clone()),
                None => Some("the handshake ended before".to_owned()),
            },
            plain: false,
            by: None,
        }
    };
    while conn.is_handshaking() {
        if let Err(error) = conn.complete_io(&mut stream) {
            let seen = peer(&conn);
            return Err(Box::new(Failed {
                fault: fault(&error, who, "in the TLS handshake"),
                // What the list asks for is no lack of koshu's.
                is_strange: seen.chain.is_empty()
                    && offer.oldest != Some(Version::V13)
                    && is_strange(&error),
                peer: (!seen.chain.is_empty()).then_some(seen),
            }));
        }
    }
    let peer = peer(&conn);
    Ok((StreamOwned::new(conn, stream), peer))
}

fn connection(
    provider: Arc<CryptoProvider>,
    recorder: Arc<Recorder>,
    name: &str,
    offer: &Offer,
) -> anyhow::Result<ClientConnection> {
    let offered = |version: Version| {
        offer.oldest.is_none_or(|it| version >= it) && offer.newest.is_none_or(|it| version <= it)
    };
    let versions: Vec<&SupportedProtocolVersion> = [
        (Version::V13, &rustls::version::TLS13),
        (Version::V12, &rustls::version::TLS12),
    ]
    .into_iter()
    .filter(|it| offered(it.0))
    .map(|it| it.1)
    .collect();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .dangerous()
        .with_custom_certificate_verifier(recorder);
    let mut config = match &offer.identity {
        None => config.with_no_client_auth(),
        Some(identity) => config
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|it| anyhow!("the client certificate cannot be used: {}", reason(&it)))?,
    };
    // A resumed handshake would show neither the chain nor the true time.
    config.resumption = Resumption::disabled();
    Ok(ClientConnection::new(Arc::new(config), server_name(name)?)?)
}

/// What an error of TLS means, if it is one; a server's refusal may come long after the handshake (RFC 8446, section 4.4.2.4).
pub fn told(error: &io::Error, who: &str) -> Option<Fault> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::AlertReceived(alert) => {
            Fault::world("tls-alert", format!("{who} {}", alert_text(*alert)))
        }
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::InvalidEmptyPayload
            | InvalidMessage::MessageTooLarge,
        ) => Fault::world("not-tls", format!("{who} does not speak TLS")),
        Error::InvalidMessage(_) => Fault::world(
            "protocol",
            format!("{who} sends messages of TLS that contradict themselves"),
        ),
        other => Fault::world("tls-alert", format!("{who}: {}", reason(other))),
    })
}

fn alert_text(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::ProtocolVersion => "speaks neither TLS 1.2 nor 1.3",
        AlertDescription::HandshakeFailure => "has no cipher suite in common with TLS 1.2 and 1.3",
        AlertDescription::UnrecognisedName => "does not know this name (SNI)",
        AlertDescription::CertificateRequired => "demands a client certificate",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA => "does not accept our client certificate",
        AlertDescription::InternalError => "has an internal error in TLS",
        _ => "refuses the TLS handshake",
    };
    format!("{meaning} (alert {alert:?})")
}

/// A TLS error in words; rustls' own text for some of them is a page of debug output.
pub fn reason(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "the signature of its handshake is wrong".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => "it is signed with an algorithm that koshu cannot check".to_owned(),
        Error::InvalidCertificate(_) => "its certificate cannot be read".to_owned(),
        Error::PeerIncompatible(_) => {
            "speaks TLS in a way that TLS 1.2 and 1.3 do not allow".to_owned()
        }
        Error::PeerMisbehaved(_) => "breaks the rules of TLS".to_owned(),
        other => other.to_string(),
    }
}
