//! `cert`: the certificates that a server shows, or that lie in files, are valid and will be for long enough.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::model::limits::{Judges, Left, Limits, Time};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::{self, Unit};
use crate::model::range::Range;
use crate::model::state::State;
use crate::net::dial::dial;
use crate::net::tls::{self, Peer};
use crate::net::x509::Certificate;
use crate::net::{self, Family, Fault};
use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

pub const TYPE: Type = Type::of::<Cert>(
    "cert",
    &["host", "file"],
    include_str!("../../checks/cert.toml"),
    &[
        ("left", Unit::Seconds),
        ("left_pct", Unit::Percent),
        ("lifetime", Unit::Seconds),
        ("chain", Unit::Seconds),
        ("addresses", Unit::None),
        ("ok", Unit::None),
        ("time", Unit::Seconds),
    ],
    &[CODES, net::CODES, tls::CODES],
);

const CODES: &[Code] = &[
    code(
        "left",
        "by limits",
        "The certificate ends soon: its renewal has failed, or the server was not reloaded since.",
    ),
    code(
        "addresses-down",
        "WARNING",
        "Some addresses of the name show no certificate, others do: look at the machine behind the named one.",
    ),
    code(
        "addresses-differ",
        "WARNING",
        "Addresses of one name show different certificates: one of them was not renewed or not reloaded.",
    ),
    code("missing", "CRITICAL", "The file does not exist."),
    code(
        "time",
        "by limits",
        "The slowest address took longer than `time` allows.",
    ),
];

/// The certificates of a server, at every address of its name, or of files: dates of the whole chain, name and trust.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Cert {
    /// The server, as `HOST` or `HOST:PORT`; every address of the name is asked.
    host: Option<String>,
    /// The port. Default: 443.
    port: Option<u16>,
    /// The name to ask for and to find in the certificate. Default: the host.
    sni: Option<String>,
    /// Files with certificates in PEM or DER, with `*` and `**`; instead of `host`.
    file: Option<List<PathBuf>>,
    /// Limits of the time left, in days or % of the lifetime. Default: `{ warn = ["25%", "30d"], crit = ["10%", "14d"] }`, which suits 6-day and one-year certificates alike.
    left: Option<Limits<Left>>,
    /// Trust the root certificates of this file instead of the system's.
    ca: Option<PathBuf>,
    /// Limits of the time that the slowest address takes.
    time: Option<Limits<Time>>,
    /// `"ipv4"` or `"ipv6"` alone. Default: both.
    #[serde(default)]
    family: Family,
}

/// What one address showed.
struct View {
    address: SocketAddr,
    peer: Result<Peer, Fault>,
    took: Duration,
}

impl Check for Cert {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        match (&self.host, &self.file) {
            (Some(host), _) => self.served(cx, host),
            (None, Some(files)) => self.stored(cx, files),
            (None, None) => Err(anyhow!("neither `host` nor `file`")),
        }
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        match (&self.host, &self.file) {
            (None, None) => flaws.push(flaw("type", "a `cert` check needs `host` or `file`")),
            (Some(_), Some(_)) => {
                flaws.push(flaw("file", "`host` and `file` are two checks, write two"));
            }
            (Some(host), None) => {
                let wrong = net::port_flaw(host, self.port, Some(443));
                flaws.extend(wrong.map(|it| flaw("host", it)));
            }
            (None, Some(_)) => {
                let useless = [
                    ("port", self.port.is_some()),
                    ("sni", self.sni.is_some()),
                    ("ca", self.ca.is_some()),
                    ("time", self.time.is_some()),
                    ("family", self.family != Family::Any),
                ];
                let useless = useless.into_iter().filter(|it| it.1);
                flaws.extend(
                    useless.map(|(key, _)| flaw(key, format!("`{key}` means nothing for a file"))),
                );
            }
        }
        if let Some(sni) = &self.sni
            && tls::server_name(sni).is_err()
        {
            flaws.push(flaw("sni", format!("\"{sni}\" is not a name")));
        }
        flaws
    }
}

impl Cert {
    fn served(&self, cx: &Context, host: &str) -> anyhow::Result<Outcome> {
        let (name, port) = net::split_port(host);
        let port = port.or(self.port).unwrap_or(443);
        let addresses = match net::resolve(name, port, self.family, cx.deadline) {
            Ok(addresses) => addresses,
            Err(fault) => return fault.outcome(),
        };
        let name = self.sni.as_deref().unwrap_or(name);
        let views = observe(&addresses, name, cx.deadline);
        self.judge(cx, name, views)
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

    /// Judges all views of a name together; the same fault at several addresses is said once.
    fn judge(&self, cx: &Context, name: &str, views: Vec<View>) -> anyhow::Result<Outcome> {
        let roots = cx.roots(self.ca.as_deref())?;
        let total = views.len();
        let mut faults: Vec<(String, State, String, Vec<SocketAddr>)> = Vec::new();
        let mut add = |code: &str, state: State, line: String, at: SocketAddr| match faults
            .iter_mut()
            .find(|it| it.0 == code && it.2 == line)
        {
            Some(known) => known.3.push(at),
            None => faults.push((code.to_owned(), state, line, vec![at])),
        };
        let (mut shown, mut down) = (Vec::new(), Vec::new());
        for view in views {
            match view.peer {
                Ok(peer) => shown.push((view.address, peer, view.took)),
                Err(fault) => down.push((view.address, fault)),
            }
        }
        if shown.is_empty() {
            return none_shown(down);
        }
        let mut served = Vec::new();
        let mut bad = Vec::new();
        for (address, peer, took) in &shown {
            let mut wrong = tls::judge(peer, name, &roots, cx.now);
            let chain = peer.certificates()?;
            for certificate in &chain {
                let left = Metric::new("left", left(certificate, cx.now), Unit::Seconds)
                    .judged(self.limits(certificate.lifetime()));
                let dated = tls::dates(certificate, cx.now).is_some();
                let on_path = !(certificate.self_issued && certificate.is_ca && chain.len() > 1);
                if left.state() != State::Ok && !dated && on_path {
                    add("left", left.state(), ends(certificate, cx.now), *address);
                    bad.push(*address);
                }
            }
            for (code, line) in wrong.drain(..) {
                add(code, State::Critical, line, *address);
                bad.push(*address);
            }
            served.push((*address, chain, peer.version, *took));
        }
        bad.sort_unstable();
        bad.dedup();
        let mut outcome = self.facts(cx, &served, total, total - down.len() - bad.len());
        for (code, state, line, at) in faults {
            let where_ = match total {
                1 => String::new(),
                _ => format!(" (at {})", listed(&at)),
            };
            outcome.find(&code, state, &format!("{line}{where_}"));
        }
        differ(&served, &mut outcome, cx.now);
        for (address, fault) in down {
            let line = format!("{fault}");
            let line = match line.contains(&address.to_string()) {
                true => line,
                false => format!("{address}: {line}"),
            };
            outcome.find("addresses-down", State::Warning, &line);
        }
        Ok(outcome)
    }

    /// What there is to say and to measure, whatever the verdict.
    fn facts(
        &self,
        cx: &Context,
        served: &[(SocketAddr, Vec<Certificate>, &str, Duration)],
        total: usize,
        good: usize,
    ) -> Outcome {
        let leaves = served.iter().filter_map(|it| it.1.first());
        let Some(first) = leaves.min_by_key(|it| it.not_after) else {
            return Outcome::new("no certificate was sent");
        };
        let everywhere = match total {
            1 => String::new(),
            _ => format!(", at {} of {total} addresses", served.len()),
        };
        let mut outcome = Outcome::new(&format!("{}{everywhere}", ends(first, cx.now)));
        self.measures(first, cx.now)
            .into_iter()
            .for_each(|it| outcome.note(it));
        let chain = served
            .iter()
            .flat_map(|it| it.1.iter().skip(1))
            .map(|it| left(it, cx.now))
            .fold(f64::INFINITY, f64::min);
        if chain.is_finite() {
            outcome.note(Metric::new("chain", chain, Unit::Seconds).signed());
        }
        outcome.note(Metric::new("addresses", total as f64, Unit::None));
        outcome.note(Metric::new("ok", good as f64, Unit::None).max(total as f64));
        let slowest = served.iter().map(|it| it.3).max().unwrap_or_default();
        let slowest = slowest.as_secs_f64();
        let time = Metric::new("time", slowest, Unit::Seconds);
        outcome.measure(
            time.judged(Limits::maybe(&self.time, 0.0)),
            &format!("took {}", quantity::seconds(slowest)),
        );
        for (address, chain, version, _) in served {
            for (index, certificate) in chain.iter().enumerate() {
                let place = match index {
                    0 => format!("{address} {version}: "),
                    _ => format!("{address} sends also: "),
                };
                outcome.detail(&format!("{place}{}", described(certificate, cx.now)));
            }
        }
        outcome
    }

    fn measures(&self, certificate: &Certificate, now: SystemTime) -> [Metric; 3] {
        let (left, lifetime) = (left(certificate, now), certificate.lifetime());
        [
            Metric::new("left", left, Unit::Seconds)
                .signed()
                .judged(self.limits(lifetime)),
            Metric::new("left_pct", (left / lifetime * 100.0).round(), Unit::Percent).signed(),
            Metric::new("lifetime", lifetime, Unit::Seconds),
        ]
    }

    fn stored(&self, cx: &Context, files: &List<PathBuf>) -> anyhow::Result<Outcome> {
        let mut certificates = Vec::new();
        let mut missing = Vec::new();
        for file in expand(cx, files)? {
            match fs::read(&file) {
                Ok(bytes) => {
                    let read = Certificate::all(&bytes);
                    let read = read.with_context(|| format!("{}", file.display()))?;
                    certificates.extend(read.into_iter().map(|it| (file.clone(), it)));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(file),
                Err(error) => {
                    let user = rustix::process::geteuid().as_raw();
                    return Err(anyhow!(
                        "cannot read {} as user {user}: {}",
                        file.display(),
                        net::plain(&error)
                    ));
                }
            }
        }
        Ok(self.judge_files(&certificates, &missing, cx.now))
    }

    fn judge_files(
        &self,
        certificates: &[(PathBuf, Certificate)],
        missing: &[PathBuf],
        now: SystemTime,
    ) -> Outcome {
        let first = certificates.iter().min_by_key(|it| it.1.not_after);
        let mut outcome = match first {
            None => Outcome::default(),
            Some((_, first)) => {
                let count = match certificates.len() {
                    1 => String::new(),
                    more => format!(", first of {more} certificates"),
                };
                Outcome::new(&format!("{}{count}", ends(first, now)))
            }
        };
        for (file, certificate) in certificates {
            let shown = file.display();
            let metric = Metric::new("left", left(certificate, now), Unit::Seconds)
                .judged(self.limits(certificate.lifetime()));
            match tls::dates(certificate, now) {
                Some((code, line)) => {
                    outcome.find(code, State::Critical, &format!("{line} ({shown})"));
                }
                None if metric.state() != State::Ok => {
                    let line = format!("{} ({shown})", ends(certificate, now));
                    outcome.find("left", metric.state(), &line);
                }
                None => (),
            }
            outcome.detail(&format!("{shown}: {}", described(certificate, now)));
        }
        for file in missing {
            let line = format!("{} does not exist", file.display());
            outcome.find("missing", State::Critical, &line);
        }
        if let Some((_, first)) = first {
            self.measures(first, now)
                .into_iter()
                .for_each(|it| outcome.note(it));
            let count = certificates.len() as f64;
            outcome.note(Metric::new("certificates", count, Unit::None));
        }
        outcome
    }
}

/// Asks every address at once.
fn observe(addresses: &[SocketAddr], name: &str, deadline: Instant) -> Vec<View> {
    let look = |address: &SocketAddr| {
        let start = Instant::now();
        let peer = dial(&[*address], deadline).and_then(|dialled| {
            let who = address.to_string();
            match tls::handshake(dialled.stream, name, &who) {
                Ok((_, peer)) | Err((_, Some(peer))) => Ok(peer),
                Err((fault, None)) => Err(fault),
            }
        });
        View {
            address: *address,
            peer,
            took: start.elapsed(),
        }
    };
    match addresses {
        [one] => vec![look(one)],
        many => std::thread::scope(|scope| {
            let looks: Vec<_> = many
                .iter()
                .map(|it| scope.spawn(move || look(it)))
                .collect();
            looks.into_iter().filter_map(|it| it.join().ok()).collect()
        }),
    }
}

/// No address showed a certificate: what the first of them says stands for all.
fn none_shown(down: Vec<(SocketAddr, Fault)>) -> anyhow::Result<Outcome> {
    let mut down = down.into_iter();
    let Some((_, first)) = down.next() else {
        return Err(anyhow!("no address was asked"));
    };
    let mut outcome = first.outcome()?;
    for (_, fault) in down {
        outcome.detail(&fault.to_string());
    }
    Ok(outcome)
}

/// Says which addresses show another certificate than the newest one.
fn differ(
    served: &[(SocketAddr, Vec<Certificate>, &str, Duration)],
    outcome: &mut Outcome,
    now: SystemTime,
) {
    let leaf = |it: &(SocketAddr, Vec<Certificate>, &str, Duration)| it.1.first().cloned();
    let Some(newest) = served
        .iter()
        .filter_map(leaf)
        .max_by_key(|it| it.not_before)
    else {
        return;
    };
    for view in served {
        if let Some(old) = leaf(view)
            && old.serial != newest.serial
            && old.key.split(' ').next() == newest.key.split(' ').next()
        {
            let left = quantity::seconds(left(&old, now));
            let line = format!("{} still serves the old certificate ({left} left)", view.0);
            outcome.find("addresses-differ", State::Warning, &line);
        }
    }
}

/// The files of all patterns.
fn expand(cx: &Context, files: &List<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for file in &files.0 {
        let path = cx.path(file);
        let pattern = path.to_string_lossy();
        if !crate::model::name::is_pattern(&pattern) || path.exists() {
            all.push(path);
            continue;
        }
        let before = all.len();
        let found = glob::glob(&pattern).with_context(|| format!("pattern {pattern}"))?;
        all.extend(found.flatten().filter(|it| it.is_file()));
        if all.len() == before {
            return Err(anyhow!("no file matches {}", Path::display(file)));
        }
    }
    Ok(all)
}

fn left(certificate: &Certificate, now: SystemTime) -> f64 {
    (certificate.not_after - tls::seconds(now)) as f64
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
        tls::names_of(certificate)
    )
}

fn date(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y-%m-%d").to_string(),
        Err(_) => "beyond the calendar".to_owned(),
    }
}

fn listed(addresses: &[SocketAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(|it| it.to_string()).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn cert(keys: &str) -> Cert {
        toml::from_str(keys).expect("a cert check")
    }

    fn certificate(lifetime_days: i64) -> Certificate {
        Certificate {
            subject: "example.jp".to_owned(),
            issuer: "A CA".to_owned(),
            self_issued: false,
            not_before: 0,
            not_after: lifetime_days * DAY,
            dns_names: vec!["example.jp".to_owned()],
            addresses: vec![],
            serial: "01".to_owned(),
            is_ca: false,
            key: "EC 256".to_owned(),
        }
    }

    fn state(keys: &str, lifetime_days: i64, left: i64) -> State {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs((lifetime_days * DAY - left) as u64);
        let files = [(PathBuf::from("x.pem"), certificate(lifetime_days))];
        cert(keys).judge_files(&files, &[], now).state()
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
    fn host_and_file_are_two_checks() {
        assert_eq!(cert("host = 'h'\nfile = 'x'").flaws().len(), 1);
        assert_eq!(cert("port = 1").flaws().len(), 1);
        assert_eq!(cert("file = 'x'\nsni = 'a'").flaws().len(), 1);
        assert!(cert("host = 'h:8443'").flaws().is_empty());
    }
}
