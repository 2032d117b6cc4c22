//! `cert`: the certificates that a server shows, or that lie in files, are valid and will be for long enough.

mod chain;
mod files;
mod issued;
mod lineage;
mod renewal;
mod served;

use crate::check::{Check, Context, Flaw, READS, Type, flaw};
use crate::model::limits::{Judges, Left, Limits, Time};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::{self, Unit};
use crate::model::range::Range;
use crate::model::secret::Secret;
use crate::model::state::State;
use crate::net::starttls::{self, Starttls};
use crate::net::tls::Version;
use crate::net::x509::Certificate;
use crate::net::{self, Family, Resolve, tls, trust};
use anyhow::anyhow;
use lineage::Client;
use renewal::Challenge;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub const TYPE: Type = Type::of::<Cert>(
    "cert",
    &["host", "file", "certbot", "acme_sh", "lego"],
    include_str!("../../../checks/cert.toml"),
    &[
        ("left", Unit::Seconds),
        ("left_pct", Unit::Percent),
        ("lifetime", Unit::Seconds),
        ("chain", Unit::Seconds),
        ("addresses", Unit::None),
        ("ok", Unit::None),
        ("time", Unit::Seconds),
    ],
    &[
        CODES,
        chain::CODES,
        renewal::CODES,
        net::CODES,
        net::everywhere::CODES,
        trust::CODES,
        starttls::CODES,
    ],
);

const CODES: &[Code] = &[
    code(
        "left",
        "by limits",
        "The certificate ends soon: its renewal has failed, or the server was not reloaded since.",
    ),
    code(
        "not-deployed",
        "WARNING, CRITICAL when what is served ends soon",
        "The file was renewed, but the server still shows the old certificate: reload it.",
    ),
    code(
        "served-newer",
        "WARNING",
        "The server shows a newer certificate than the file: another machine ends TLS, or renewal writes elsewhere.",
    ),
    code(
        "key-mismatch",
        "CRITICAL",
        "The private key is not that of the certificate: the server will not start again.",
    ),
    code("missing", "CRITICAL", "The file does not exist."),
    code(
        "time",
        "by limits",
        "The slowest address took longer than `time` allows.",
    ),
];

/// The certificates of a server, at every address of its name, or of files: dates of the whole chain, name and trust. With both, the server must show what lies in the file.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Cert {
    /// The server, as `HOST` or `HOST:PORT`; every address of the name is asked.
    host: Option<String>,
    /// The port. Default: 443, or that of `starttls`.
    port: Option<u16>,
    /// Ask for TLS in this protocol first: `"smtp"`, `"lmtp"`, `"imap"`, `"pop3"`, `"ftp"`, `"ldap"`, `"mysql"`, `"postgres"`, `"xmpp"`, `"xmpp-server"`, `"sieve"`, `"nntp"` or `"irc"`.
    starttls: Option<Starttls>,
    /// The name to say in EHLO and LHLO, for mail servers that refuse others. Default: `"koshu.invalid"`.
    ehlo: Option<String>,
    /// The name to ask for and to find in the certificate. Default: the host.
    sni: Option<String>,
    /// How the name is resolved: `"system"`, or `"authoritative"` by its own servers, past all caches. Default: `"system"`.
    #[serde(default)]
    resolve: Resolve,
    /// Ask these addresses instead of those that the name resolves to.
    addresses: Option<List<net::Address>>,
    /// Files with certificates in PEM, DER, PKCS#12, JKS or JCEKS, with `*`, `?` and `**`. With `host`, the one file that the server should show.
    file: Option<List<PathBuf>>,
    /// The private key that belongs to the certificate in `file`. A key in the same file is compared anyway.
    key: Option<PathBuf>,
    /// certbot's folder, as `"/etc/letsencrypt"`: every certificate in it, its renewal, and whether this machine serves the newest one.
    certbot: Option<PathBuf>,
    /// The same for acme.sh, as `"/root/.acme.sh"`.
    acme_sh: Option<PathBuf>,
    /// The same for lego, as `"/var/lib/lego"`.
    lego: Option<PathBuf>,
    /// Whether the next renewal will succeed: the CA's own window (ARI), CAA records of all names, and the way of the challenge.
    #[serde(default)]
    renewal: bool,
    /// The CA's ACME directory. Default: as the ACME client or the issuer's name says.
    directory: Option<String>,
    /// The challenge by which it is renewed: `"http-01"`, `"dns-01"` or `"tls-alpn-01"`. Default: as the ACME client says, else `"http-01"`.
    challenge: Option<Challenge>,
    /// The password of a PKCS#12 store.
    password: Option<Secret>,
    /// Limits of the time left, in days or % of the lifetime. Default: `{ warn = ["25%", "30d"], crit = ["10%", "14d"] }`, which suits 6-day and one-year certificates alike.
    left: Option<Limits<Left>>,
    /// Names that the certificate must all cover.
    names: Option<List<String>>,
    /// What the issuer's name must contain, as `"Let's Encrypt"`.
    issuer: Option<String>,
    /// SHA-256 of the certificate or of its public key, in hexadecimal; one of them must fit.
    pin: Option<List<String>>,
    /// The oldest version that is fine: `"1.2"` or `"1.3"`; older ones are findings.
    min_tls: Option<Version>,
    /// An old device, of which only the dates matter: what cannot be mended on it becomes a note.
    #[serde(default)]
    legacy: bool,
    /// `"both"` asks for the RSA and the ECDSA certificate.
    #[serde(default)]
    keys: Keys,
    /// Trust the root certificates of this file instead of the system's.
    ca: Option<PathBuf>,
    /// Limits of the time that the slowest address takes.
    time: Option<Limits<Time>>,
    /// `"ipv4"` or `"ipv6"` alone. Default: both.
    #[serde(default)]
    family: Family,
}

/// Which certificates of a server are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Keys {
    /// The one that it shows.
    #[default]
    Any,
    Both,
}

/// What `legacy` makes notes of.
const LEGACY: &[&str] = &[
    "untrusted",
    "self-signed",
    "incomplete-chain",
    "name-mismatch",
    "weak-key",
    "weak-signature",
    "old-tls",
];

impl Check for Cert {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        match (&self.host, &self.file, self.client()) {
            (Some(host), _, _) => self.served(cx, host),
            (None, Some(files), _) => self.stored(cx, files),
            (None, None, Some((client, folder))) => self.issued(cx, client, folder),
            (None, None, None) => Err(anyhow!("neither `host` nor `file`")),
        }
    }

    fn privileged(&self) -> Option<&'static str> {
        let folders = [
            &self.key,
            &self.certbot,
            &self.acme_sh,
            &self.lego,
            &self.ca,
        ];
        let reads = self.file.is_some() || folders.iter().any(|it| it.is_some());
        reads.then_some(READS)
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let folders = [
            ("certbot", &self.certbot),
            ("acme_sh", &self.acme_sh),
            ("lego", &self.lego),
        ];
        let folders = folders.into_iter().filter(|it| it.1.is_some());
        let folders: Vec<&'static str> = folders.map(|it| it.0).collect();
        let of_servers = [
            ("port", self.port.is_some()),
            ("starttls", self.starttls.is_some()),
            ("sni", self.sni.is_some()),
            ("addresses", self.addresses.is_some()),
            ("min_tls", self.min_tls.is_some()),
            ("keys", self.keys != Keys::Any),
            ("time", self.time.is_some()),
            ("family", self.family != Family::Any && folders.is_empty()),
            ("ca", self.ca.is_some() && !self.renewal),
            ("resolve", self.resolve != Resolve::System && !self.renewal),
        ];
        let apart = self.host.is_some() || self.file.is_some() || folders.len() > 1;
        for key in folders.iter().filter(|_| apart) {
            flaws.push(flaw(
                key,
                format!("`{key}` stands alone, write a check of its own"),
            ));
        }
        match (&self.host, &self.file) {
            (None, None) if folders.is_empty() => {
                flaws.push(flaw("type", "a `cert` check needs `host` or `file`"))
            }
            (Some(host), file) => {
                let default = self.starttls.map_or(443, Starttls::port);
                let wrong = net::port_flaw(host, self.port, Some(default));
                flaws.extend(wrong.map(|it| flaw("host", it)));
                let (name, _) = net::split_port(host);
                if !name.is_ascii() && tls::server_name(name).is_err() {
                    flaws.push(flaw("host", format!("\"{name}\" is no name of a host")));
                }
                if file.as_ref().is_some_and(|it| it.0.len() > 1) {
                    let message = "a server shows one file: name that one, or write two checks";
                    flaws.push(flaw("file", message));
                }
            }
            (None, _) => {
                let useless = of_servers.into_iter().filter(|it| it.1);
                flaws
                    .extend(useless.map(|(key, _)| {
                        flaw(key, format!("`{key}` means nothing without `host`"))
                    }));
            }
        }
        if self.key.is_some() && self.file.as_ref().is_none_or(|it| it.0.len() != 1) {
            flaws.push(flaw("key", "`key` belongs to one `file`"));
        }
        for (key, given) in [
            ("directory", self.directory.is_some()),
            ("challenge", self.challenge.is_some()),
        ] {
            if given && !self.renewal {
                flaws.push(flaw(
                    key,
                    format!("`{key}` means nothing without `renewal = true`"),
                ));
            }
        }
        if self
            .directory
            .as_ref()
            .is_some_and(|it| !it.starts_with("https://"))
        {
            flaws.push(flaw("directory", "an ACME directory is an https:// URL"));
        }
        if self.password.is_some() && self.file.is_none() {
            flaws.push(flaw("password", "`password` opens a `file`"));
        }
        if let Some(ehlo) = &self.ehlo {
            if !matches!(self.starttls, Some(Starttls::Smtp | Starttls::Lmtp)) {
                let message = "`ehlo` means nothing without starttls = \"smtp\" or \"lmtp\"";
                flaws.push(flaw("ehlo", message));
            }
            let odd = |it: char| !it.is_ascii_graphic();
            if ehlo.is_empty() || ehlo.contains(odd) {
                let message = format!("\"{ehlo}\" is no name, expected one as \"mail.example.jp\"");
                flaws.push(flaw("ehlo", message));
            }
        }
        if let Some(sni) = &self.sni
            && tls::server_name(sni).is_err()
        {
            flaws.push(flaw("sni", format!("\"{sni}\" is not a name")));
        }
        for name in self.names.iter().flat_map(|it| &it.0) {
            if tls::server_name(name).is_err() {
                flaws.push(flaw("names", format!("\"{name}\" is not a name")));
            }
        }
        for pin in self.pin.iter().flat_map(|it| &it.0) {
            if chain::plain_pin(pin).len() != 64 {
                let message = format!("\"{pin}\" is not a SHA-256 in hexadecimal");
                flaws.push(flaw("pin", message));
            }
        }
        flaws
    }
}

impl Cert {
    /// The ACME client whose folder is looked at.
    fn client(&self) -> Option<(Client, &Path)> {
        fn given(client: Client, folder: &Option<PathBuf>) -> Option<(Client, &Path)> {
            Some((client, folder.as_deref()?))
        }
        given(Client::Certbot, &self.certbot)
            .or_else(|| given(Client::AcmeSh, &self.acme_sh))
            .or_else(|| given(Client::Lego, &self.lego))
    }

    /// The limits of one certificate's time left.
    fn limits(&self, lifetime: f64) -> Judges {
        match &self.left {
            Some(limits) => limits.of(lifetime),
            None => {
                let side = |percent: f64, days: f64| {
                    vec![
                        Range::from(lifetime * percent / 100.0),
                        Range::from(days * 86_400.0),
                    ]
                };
                Judges {
                    warn: side(25.0, 30.0),
                    crit: side(10.0, 14.0),
                }
            }
        }
    }

    /// The state that a finding has here: `legacy` makes notes of what cannot be mended on old devices.
    fn grade(&self, code: &str, state: State) -> State {
        match self.legacy && LEGACY.contains(&code) {
            true => State::Ok,
            false => state,
        }
    }

    /// The metrics of the certificate that ends first.
    fn measures(&self, certificate: &Certificate, now: SystemTime) -> [Metric; 3] {
        let (left, lifetime) = (left(certificate, now), certificate.lifetime());
        let limits = self.limits(lifetime);
        let percent = |ranges: &[Range]| {
            let part = |end: f64| (end / lifetime * 10_000.0).round() / 100.0;
            let ranges = ranges.iter().map(|it| Range {
                start: part(it.start),
                end: part(it.end),
                ..*it
            });
            ranges.collect()
        };
        let parts = Judges {
            warn: percent(&limits.warn),
            crit: percent(&limits.crit),
        };
        [
            Metric::new("left", left, Unit::Seconds)
                .signed()
                .judged(limits),
            Metric::new("left_pct", (left / lifetime * 100.0).round(), Unit::Percent)
                .signed()
                .judged(parts)
                .max(100.0),
            Metric::new("lifetime", lifetime, Unit::Seconds),
        ]
    }

    /// What the limits say of one certificate.
    fn left_state(&self, certificate: &Certificate, now: SystemTime) -> State {
        Metric::new("left", left(certificate, now), Unit::Seconds)
            .judged(self.limits(certificate.lifetime()))
            .state()
    }
}

/// Seconds until a certificate ends.
fn left(certificate: &Certificate, now: SystemTime) -> f64 {
    (certificate.not_after - trust::seconds(now)) as f64
}

/// "example.jp ends in 12 d (2026-12-04)".
fn ends(certificate: &Certificate, now: SystemTime) -> String {
    let Certificate { subject, .. } = certificate;
    let left = left(certificate, now);
    let when = date(certificate.not_after);
    match left < 0.0 {
        true => format!("{subject} ended {} ago ({when})", quantity::seconds(-left)),
        false => format!("{subject} ends in {} ({when})", quantity::seconds(left)),
    }
}

fn described(certificate: &Certificate, now: SystemTime) -> String {
    format!(
        "{}, issued by {}, {}, for {}",
        ends(certificate, now),
        certificate.issuer,
        certificate.key,
        trust::names_of(certificate)
    )
}

fn date(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y-%m-%d").to_string(),
        Err(_) => "beyond the calendar".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DAY: i64 = 86_400;

    fn cert(keys: &str) -> Cert {
        toml::from_str(keys).expect("a cert check")
    }

    pub fn certificate(lifetime_days: i64) -> Certificate {
        Certificate {
            subject: "example.jp".to_owned(),
            issuer: "A CA".to_owned(),
            self_issued: false,
            not_before: 0,
            not_after: lifetime_days * DAY,
            dns_names: vec!["example.jp".to_owned()],
            addresses: vec![],
            serial: "01".to_owned(),
            key: "EC 256".to_owned(),
            weak_key: false,
            signature: "ecdsa-with-SHA256".to_owned(),
            weak_signature: false,
            authority: None,
            path_length: None,
            for_servers: true,
            may_sign: true,
            beyond: None,
            subject_der: vec![1],
            issuer_der: vec![2],
            issuer_full: "CN=A CA".to_owned(),
            authority_key: vec![],
            serial_der: vec![],
            public_key: vec![],
            fingerprint: String::new(),
            public: false,
        }
    }

    fn state(keys: &str, lifetime_days: i64, left: i64) -> State {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs((lifetime_days * DAY - left) as u64);
        let file = files::File {
            path: PathBuf::from("x.pem"),
            modified: now,
            certificates: vec![certificate(lifetime_days)],
            wrong: vec![],
        };
        cert(keys).judge_files(&[file], now).state()
    }

    #[test]
    fn default_limits_follow_the_lifetime() {
        // dns-cert.md 5.1: WARNING and CRITICAL for 398 d, 90 d, and half-days for 6-day ones.
        for (lifetime, warning, critical) in [
            (398, 30 * DAY, 14 * DAY),
            (90, 1_944_000, 9 * DAY),
            (6, 129_600, 51_840),
        ] {
            assert_eq!(state("file = 'x'", lifetime, warning + 60), State::Ok);
            assert_eq!(state("file = 'x'", lifetime, warning - 60), State::Warning);
            assert_eq!(state("file = 'x'", lifetime, critical + 60), State::Warning);
            assert_eq!(
                state("file = 'x'", lifetime, critical - 60),
                State::Critical
            );
        }
    }

    #[test]
    fn expired_is_critical_whatever_the_limits() {
        assert_eq!(state("file = 'x'\nleft = ',1h'", 90, -5), State::Critical);
        assert_eq!(state("file = 'x'\nleft = '1h,'", 90, -5), State::Critical);
    }

    #[test]
    fn own_limits_count_in_days_or_percent() {
        assert_eq!(
            state("file = 'x'\nleft = '50%,10%'", 100, 49 * DAY),
            State::Warning
        );
        assert_eq!(state("file = 'x'\nleft = '3d,1d'", 100, 4 * DAY), State::Ok);
    }

    #[test]
    fn keys_that_do_not_fit_together_are_flaws() {
        assert!(cert("host = 'h'\nfile = 'x'").flaws().is_empty());
        assert_eq!(cert("host = 'h'\nfile = ['x', 'y']").flaws().len(), 1);
        assert_eq!(cert("host = 'h'\npin = 'abc'").flaws().len(), 1);
        assert_eq!(cert("port = 1").flaws().len(), 1);
        assert_eq!(cert("file = 'x'\nsni = 'a'").flaws().len(), 1);
        assert!(cert("host = 'h:8443'").flaws().is_empty());
    }
}
