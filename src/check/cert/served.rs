//! The certificates that a server shows: every address of its name is asked at once, and all are judged together.

use super::chain::Found;
use super::files::File;
use super::{Cert, Keys, date, ends, left};
use crate::check::Context;
use crate::model::limits::Limits;
use crate::model::metric::Metric;
use crate::model::outcome::{Outcome, UNKNOWN};
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use crate::net::detour::Detour;
use crate::net::dial::{Stream, dial};
use crate::net::everywhere::{Everywhere, listed};
use crate::net::hello::{self, HELLOS};
use crate::net::starttls::{self, Names, Starttls};
use crate::net::tls::{self, Offer, Peer};
use crate::net::trust;
use crate::net::x509::Certificate;
use crate::net::{self, Fault, TOO_OLD};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

/// What one address showed.
pub struct Site {
    address: SocketAddr,
    shown: Vec<Shown>,
    took: Duration,
    /// Kinds of keys that were asked for in vain.
    lacks: Vec<tls::Keys>,
    /// Codes of what is wrong with it.
    codes: Vec<&'static str>,
}

/// One chain that an address showed.
struct Shown {
    peer: Peer,
    chain: Vec<Certificate>,
    /// What is to say of certificates above the leaf that cannot be read; they are not in the chain.
    unread: Vec<String>,
}

/// How to ask one address.
pub struct Ask<'a> {
    pub name: &'a str,
    pub starttls: Option<Starttls>,
    /// The name to say in EHLO.
    pub ehlo: &'a str,
    pub keys: &'a [tls::Keys],
    /// What shows the chain of a server that is too old for the library.
    pub detour: Option<&'a dyn Detour>,
    pub deadline: Instant,
}

/// How long after a renewal a server may still show the old certificate.
const GRACE: Duration = Duration::from_secs(3600);

impl Cert {
    pub fn served(&self, cx: &Context, host: &str) -> anyhow::Result<Outcome> {
        let (host, port) = net::split_port(host);
        let default = self.starttls.map_or(443, Starttls::port);
        let port = port.or(self.port).unwrap_or(default);
        let found = match &self.addresses {
            Some(given) => given.0.iter().map(|it| it.at(port)).collect(),
            None => cx.resolver(self.resolve)(host, port, self.family, cx.deadline),
        };
        let addresses: Vec<SocketAddr> = match found {
            Ok(addresses) => addresses,
            Err(fault) => return fault.outcome(),
        };
        let name = self.sni.as_deref().unwrap_or(net::without_zone(host));
        let name = name.trim_end_matches('.');
        let file = self.deployed(cx)?;
        let leaf = file.as_ref().and_then(|it| it.leaf());
        let keys = match (self.keys, leaf) {
            (Keys::Both, _) => vec![tls::Keys::Ecdsa, tls::Keys::Rsa],
            (Keys::Any, Some(leaf)) => vec![keys_like(leaf)],
            (Keys::Any, None) => vec![tls::Keys::Any],
        };
        let detour = cx.detour();
        let ask = Ask {
            name: &net::ascii(name),
            starttls: self.starttls,
            ehlo: self.ehlo.as_deref().unwrap_or(starttls::EHLO),
            keys: &keys,
            detour: self.legacy.then_some(&*detour),
            deadline: cx.deadline,
        };
        let views = Everywhere::ask(&addresses, |it| look(it, &ask));
        self.judge(cx, name, views, file.as_ref())
    }

    /// Judges all addresses of a name together; the same fault at several of them is said once.
    fn judge(
        &self,
        cx: &Context,
        name: &str,
        views: Everywhere<Site>,
        file: Option<&File>,
    ) -> anyhow::Result<Outcome> {
        let total = views.asked();
        if views.seen.is_empty() {
            return views.none();
        }
        let roots = cx.roots(self.ca.as_deref())?;
        let mut views = views;
        let mut sites: Vec<Site> = std::mem::take(&mut views.seen)
            .into_iter()
            .map(|it| it.1)
            .collect();
        let mut faults: Vec<(Found, Vec<SocketAddr>)> = Vec::new();
        for site in &mut sites {
            for shown in &site.shown {
                let wrong = cx.judge(&shown.peer, &shown.chain, name, &roots);
                let mut all = self.weigh((&shown.peer, &shown.chain), wrong, &roots, cx.now);
                let unread = shown.unread.iter().cloned();
                all.extend(unread.map(|it| (UNKNOWN, State::Unknown, it)));
                for found in all {
                    site.codes.push(found.0);
                    match faults.iter_mut().find(|it| it.0 == found) {
                        Some((_, at)) => at.push(site.address),
                        None => faults.push((found, vec![site.address])),
                    }
                }
            }
            site.codes.dedup();
        }
        let bad = |site: &&Site| {
            let mut worse = faults.iter().filter(|it| it.0.1 != State::Ok);
            worse.any(|it| it.1.contains(&site.address))
        };
        let good = sites.len() - sites.iter().filter(bad).count();
        let mut outcome = self.facts(cx.now, &sites, total, good, file);
        for ((code, state, line), mut at) in faults {
            at.dedup();
            let place = match total {
                1 => String::new(),
                _ => format!(" (at {})", listed(&at)),
            };
            outcome.find(code, state, &format!("{line}{place}"));
        }
        match file {
            Some(file) => {
                for (code, state, line) in &file.wrong {
                    outcome.find(code, *state, line);
                }
                self.compare(&mut outcome, &sites, file, cx.now);
            }
            None => self.differ(&mut outcome, &sites, cx.now),
        }
        views.name_silent(&mut outcome);
        let leaf = leaves(&sites).next();
        if let Some((_, leaf)) = leaf.filter(|_| self.renewal) {
            self.preflight(cx, &mut outcome, leaf, None);
        }
        Ok(outcome)
    }

    /// What there is to say and to measure, whatever the verdict.
    fn facts(
        &self,
        now: SystemTime,
        sites: &[Site],
        total: usize,
        good: usize,
        file: Option<&File>,
    ) -> Outcome {
        let all = || sites.iter().flat_map(|it| &it.shown);
        let leaves = all().filter_map(|it| it.chain.first());
        let Some(first) = leaves.min_by_key(|it| it.not_after) else {
            return Outcome::new("no certificate was sent");
        };
        let everywhere = match total {
            1 => String::new(),
            _ => format!(", at {} of {total} addresses", sites.len()),
        };
        let by = all().find_map(|it| it.peer.made_by());
        let how = match (all().any(|it| it.peer.plain), by) {
            (true, _) => ", read without proof of key".to_owned(),
            (false, Some(by)) => format!(", {by}"),
            (false, None) => String::new(),
        };
        let mut outcome = Outcome::new(&format!("{}{everywhere}{how}", ends(first, now)));
        for metric in self.measures(first, now) {
            outcome.note(metric);
        }
        let chain = all()
            .flat_map(|it| it.chain.iter().skip(1))
            .map(|it| left(it, now))
            .fold(f64::INFINITY, f64::min);
        if chain.is_finite() {
            outcome.note(Metric::new("chain", chain, Unit::Seconds).signed());
        }
        if let Some(leaf) = file.and_then(File::leaf) {
            outcome.note(Metric::new("file", left(leaf, now), Unit::Seconds).signed());
        }
        outcome.note(Metric::new("addresses", total as f64, Unit::None));
        outcome.note(Metric::new("ok", good as f64, Unit::None).max(total as f64));
        let slowest = sites.iter().map(|it| it.took).max().unwrap_or_default();
        let slowest = slowest.as_secs_f64();
        let time = Metric::new("time", slowest, Unit::Seconds);
        outcome.measure(
            time.judged(Limits::maybe(&self.time, 0.0)),
            &format!("took {}", quantity::seconds(slowest)),
        );
        let rows = sites.iter().flat_map(|site| {
            let all = site.shown.iter();
            all.map(move |it| row(site, it, now))
        });
        outcome.tabulate(&HEAD, rows.collect());
        for site in sites {
            for kind in &site.lacks {
                outcome.detail(&format!(
                    "{} has no {} certificate",
                    site.address,
                    kind_name(*kind)
                ));
            }
        }
        let mut told: Vec<&str> = Vec::new();
        for certificate in all().flat_map(|it| it.chain.iter().skip(1)) {
            if !told.contains(&certificate.fingerprint.as_str()) {
                outcome.detail(&format!(
                    "sent with it: {}, issued by {}, {}",
                    ends(certificate, now),
                    certificate.issuer,
                    certificate.key
                ));
                told.push(&certificate.fingerprint);
            }
        }
        outcome
    }

    /// Says which addresses show another certificate than the newest one of its kind.
    fn differ(&self, outcome: &mut Outcome, sites: &[Site], now: SystemTime) {
        let leaves: Vec<(SocketAddr, &Certificate)> = leaves(sites).collect();
        let mut old_ones = Vec::new();
        for (address, old) in &leaves {
            let newest = leaves
                .iter()
                .map(|it| it.1)
                .filter(|it| it.key_kind() == old.key_kind())
                .max_by_key(|it| (it.not_before, &it.serial));
            if newest.is_some_and(|it| it.serial != old.serial) {
                let left = left(old, now);
                let part = left / old.lifetime() * 100.0;
                let line = format!(
                    "{address} still serves the old certificate ({} left, {part:.0}% of {})",
                    quantity::seconds(left),
                    quantity::seconds(old.lifetime().floor())
                );
                let state = match self.left_state(old, now) {
                    State::Critical => State::Critical,
                    _ => State::Warning,
                };
                old_ones.push((state, line));
            }
        }
        let new = leaves.len() - old_ones.len();
        if let Some((_, last)) = old_ones.last_mut() {
            last.push_str(&format!("; {new} of {} have the new one", leaves.len()));
        }
        for (state, line) in old_ones {
            outcome.find("addresses-differ", state, &line);
        }
    }

    /// Compares what is served with what lies in the file.
    pub fn compare(&self, outcome: &mut Outcome, sites: &[Site], file: &File, now: SystemTime) {
        let Some(leaf) = file.leaf() else {
            return;
        };
        for (address, served) in leaves(sites) {
            if served.fingerprint == leaf.fingerprint || served.key_kind() != leaf.key_kind() {
                continue;
            }
            let since = now.duration_since(file.modified).unwrap_or_default();
            let renewed = quantity::seconds(since.as_secs_f64());
            if leaf.not_before < served.not_before {
                let line = format!(
                    "{address} serves a newer certificate than {}: it {}",
                    file.path.display(),
                    ends(served, now)
                );
                outcome.find("served-newer", State::Warning, &line);
            } else if since < GRACE {
                outcome.detail(&format!(
                    "{address} does not serve {} yet, which was renewed {renewed} ago",
                    file.path.display()
                ));
            } else {
                let state = match self.left_state(served, now) {
                    State::Critical => State::Critical,
                    _ => State::Warning,
                };
                let ends = match left(served, now) {
                    left if left < 0.0 => format!("ended {} ago", quantity::seconds(-left)),
                    left => format!("ends in {}", quantity::seconds(left)),
                };
                let line = format!(
                    "{} was renewed on disk {renewed} ago, {address} still serves the one that {ends}",
                    file.path.display()
                );
                outcome.find("not-deployed", state, &line);
            }
        }
    }
}

/// The kind of key to ask for: only the same kind of certificate can be compared with a file.
pub fn keys_like(leaf: &Certificate) -> tls::Keys {
    match leaf.key_kind() {
        "RSA" => tls::Keys::Rsa,
        "EC" => tls::Keys::Ecdsa,
        _ => tls::Keys::Any,
    }
}

/// The leaves of all chains of all addresses.
fn leaves(sites: &[Site]) -> impl Iterator<Item = (SocketAddr, &Certificate)> {
    sites.iter().flat_map(|site| {
        let chains = site.shown.iter().filter_map(|it| it.chain.first());
        chains.map(|it| (site.address, it))
    })
}

/// Who shows what until when, how far it is through its life, by whom, for which names, over what, and what is wrong.
const HEAD: [&str; 9] = [
    "address",
    "certificate",
    "until",
    "life gone",
    "key",
    "by",
    "for",
    "TLS",
    "findings",
];

fn row(site: &Site, shown: &Shown, now: SystemTime) -> Vec<String> {
    let address = site.address.to_string();
    let Some(leaf) = shown.chain.first() else {
        let none = "no certificate".to_owned();
        return [vec![address, none], vec![String::new(); HEAD.len() - 2]].concat();
    };
    let gone = 100.0 - left(leaf, now) / leaf.lifetime() * 100.0;
    vec![
        address,
        leaf.subject.clone(),
        date(leaf.not_after),
        format!("{gone:.0}%"),
        leaf.key.clone(),
        leaf.issuer.clone(),
        trust::names_of(leaf),
        shown.peer.version.trim_start_matches("TLS ").to_owned(),
        site.codes.join(" "),
    ]
}

fn kind_name(keys: tls::Keys) -> &'static str {
    match keys {
        tls::Keys::Any => "TLS",
        tls::Keys::Rsa => "RSA",
        tls::Keys::Ecdsa => "ECDSA",
    }
}

/// Asks one address for each kind of certificate; it is down when it shows none.
pub fn look(address: SocketAddr, ask: &Ask) -> Result<Site, Fault> {
    let start = Instant::now();
    let mut site = Site {
        address,
        shown: Vec::new(),
        took: Duration::ZERO,
        lacks: Vec::new(),
        codes: Vec::new(),
    };
    let mut first = None;
    for keys in ask.keys {
        match handshake(address, ask, *keys) {
            Ok(shown) => {
                let leaf = |it: &Shown| it.chain.first().map(|it| it.fingerprint.clone());
                // A server that ignores what it was asked for shows the same one twice.
                match site.shown.iter().any(|it| leaf(it) == leaf(&shown)) {
                    true => site.lacks.push(*keys),
                    false => site.shown.push(shown),
                }
            }
            Err(fault) => {
                site.lacks.push(*keys);
                first = first.or(Some(fault));
            }
        }
    }
    match (first, site.shown.is_empty(), ask.keys) {
        // The one kind that the file has is not served: then whatever there is.
        (Some(Fault::World { .. }), true, [tls::Keys::Rsa | tls::Keys::Ecdsa]) => {
            site.shown.push(handshake(address, ask, tls::Keys::Any)?);
            site.lacks.clear();
        }
        (Some(fault), true, _) => return Err(fault),
        _ => (),
    }
    site.took = start.elapsed();
    Ok(site)
}

/// One handshake; where the library cannot make it, the certificate is read in the clear.
fn handshake(address: SocketAddr, ask: &Ask, keys: tls::Keys) -> Result<Shown, Fault> {
    let who = address.to_string();
    let offer = Offer {
        keys,
        ..Offer::default()
    };
    let failed = match tls::handshake(connect(address, ask)?, ask.name, &who, &offer) {
        Ok((_, peer)) => return shown(peer, &who),
        Err(failed) => failed,
    };
    let fault = match failed.peer {
        Some(peer) => return shown(peer, &who),
        None => failed.fault,
    };
    let old = matches!(
        &fault,
        Fault::World {
            code: "tls-alert" | "closed" | "reset",
            ..
        }
    );
    for hello in HELLOS.iter().filter(|_| old && keys != tls::Keys::Ecdsa) {
        let read = connect(address, ask)
            .and_then(|mut stream| hello::read(&mut stream, *hello, hello::sni(ask.name), &who));
        match read {
            Ok(read) if !read.chain.is_empty() => {
                let peer = Peer {
                    chain: read.chain,
                    version: hello::version_name(read.spoken.version),
                    unproven: Some("it was read in the clear".to_owned()),
                    plain: true,
                    by: None,
                };
                return shown(peer, &who);
            }
            Err(
                torn @ Fault::World {
                    code: "protocol", ..
                },
            ) => return Err(torn),
            _ => (),
        }
    }
    let fault = match failed.is_strange && keys == tls::Keys::Any {
        true => hello::explain(fault, ask.name, &who, || connect(address, ask)),
        false => fault,
    };
    match (ask.detour, ask.starttls) {
        (Some(detour), None) if fault.code() == Some(TOO_OLD) => {
            let seen = detour.look(address, ask.name);
            let seen = seen.map_err(|why| Fault::lack(TOO_OLD, format!("{fault}; {why}")))?;
            shown(seen, &who)
        }
        _ => Err(fault),
    }
}

fn connect(address: SocketAddr, ask: &Ask) -> Result<Stream, Fault> {
    let mut stream = dial(&[address], ask.deadline)?.stream;
    if let Some(starttls) = ask.starttls {
        let names = Names {
            name: ask.name,
            ehlo: ask.ehlo,
        };
        starttls.negotiate(&mut stream, &names, &address.to_string())?;
    }
    Ok(stream)
}

fn shown(peer: Peer, who: &str) -> Result<Shown, Fault> {
    let mut seen = Shown {
        chain: Vec::new(),
        unread: Vec::new(),
        peer: Peer {
            chain: Vec::new(),
            ..peer
        },
    };
    for (index, der) in peer.chain.into_iter().enumerate() {
        match (Certificate::from_der(&der), index) {
            (Ok(certificate), _) => {
                seen.chain.push(certificate);
                seen.peer.chain.push(der);
            }
            (Err(error), 0) => {
                let text = format!("what {who} shows cannot be read: {error:#}");
                return Err(Fault::world("untrusted", text));
            }
            (Err(error), _) => seen.unread.push(format!(
                "certificate {} of the chain cannot be read: {error:#}",
                index + 1
            )),
        }
    }
    Ok(seen)
}
