//! Whether the next renewal will succeed: the CA's own window, CAA, and the way of the challenge.

use super::lineage::Lineage;
use super::{Cert, date};
use crate::check::caa::{self, Caa, Issuer};
use crate::check::{self, Context};
use crate::model::outcome::{Code, Outcome, UNKNOWN, code};
use crate::model::quantity;
use crate::model::state::State;
use crate::model::text;
use crate::net::agent::{self, Reach};
use crate::net::dial::dial;
use crate::net::dns::walk::Walker;
use crate::net::dns::{self, Transport, roots};
use crate::net::everywhere::Everywhere;
use crate::net::trust;
use crate::net::x509::Certificate;
use crate::net::{Family, Resolve, left};
use anyhow::{Context as _, anyhow};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The findings of renewals to come.
pub const CODES: &[Code] = &[
    code(
        "renewal-broken",
        "WARNING",
        "The ACME client will not renew this certificate, or renewed it beside the place that servers read.",
    ),
    code(
        "renewal-stuck",
        "WARNING",
        "The ACME client should have renewed more than a day ago and has not: look at its log and its timer.",
    ),
    code(
        "renewal-overdue",
        "WARNING",
        "The CA's own window for this renewal has passed (ARI, RFC 9773).",
    ),
    code(
        "renewal-notice",
        "CRITICAL",
        "The CA wants this certificate replaced, probably because it will be revoked; the page that it names says why.",
    ),
    code(
        "caa",
        "CRITICAL; WARNING when it cannot be asked",
        "CAA records forbid the CA to issue for a name, so the next renewal will fail: add the CA to them.",
    ),
    code(
        "port-80",
        "WARNING",
        "A challenge over HTTP will fail at this address: open port 80, or take its A or AAAA record away.",
    ),
    code(
        "dns-01",
        "WARNING",
        "A challenge over DNS will fail: the name of the challenge cannot be asked for.",
    ),
];

/// How a CA is shown who controls a name (RFC 8555, section 8; RFC 8737).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, schemars::JsonSchema)]
pub enum Challenge {
    #[serde(rename = "http-01")]
    Http01,
    #[serde(rename = "dns-01")]
    Dns01,
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl Challenge {
    fn name(self) -> &'static str {
        match self {
            Challenge::Http01 => "http-01",
            Challenge::Dns01 => "dns-01",
            Challenge::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// What is known of CAs by the name of their intermediates: their ACME directory, and the domains that stand for
/// them in CAA records, as they document them.
const CAS: &[(&str, Option<&str>, &[&str])] = &[
    (
        "Let's Encrypt",
        Some("https://acme-v02.api.letsencrypt.org/directory"),
        &["letsencrypt.org"],
    ),
    (
        "Google Trust Services",
        Some("https://dv.acme-v02.api.pki.goog/directory"),
        &["pki.goog"],
    ),
    ("ZeroSSL", None, &["sectigo.com"]),
    ("Sectigo", None, &["sectigo.com"]),
    ("DigiCert", None, &["digicert.com"]),
    ("GlobalSign", None, &["globalsign.com"]),
    (
        "Amazon",
        None,
        &[
            "amazon.com",
            "amazontrust.com",
            "awstrust.com",
            "amazonaws.com",
        ],
    ),
    ("Buypass", None, &["buypass.com"]),
    ("SSL Corp", None, &["ssl.com"]),
    ("Cybertrust Japan", None, &["cybertrust.ne.jp"]),
    ("SECOM", None, &["secomtrust.net"]),
];

/// How long a client may be late, which is two runs of its timer.
const TIMER: i64 = 86_400;
/// The most that is read of a CA's document.
const MOST: u64 = 256 << 10;
/// How long one address has to accept a connection to port 80.
const PATIENCE: Duration = Duration::from_secs(3);

/// A renewal to come.
struct Renewal<'r> {
    cx: &'r Context,
    check: &'r Cert,
    leaf: &'r Certificate,
    lineage: Option<&'r Lineage>,
    /// The domains that stand for the CA in CAA records.
    identities: Vec<String>,
}

/// Why CAA records could not be read, and how bad that is.
type Trouble = (State, String);

/// What a client has not done in time, or will not do.
pub fn behind(outcome: &mut Outcome, lineage: &Lineage, leaf: Option<&Certificate>, now: i64) {
    for line in &lineage.broken {
        outcome.find("renewal-broken", State::Warning, line);
    }
    if let Some(line) = &lineage.unread {
        outcome.find(UNKNOWN, State::Unknown, line);
    }
    let late = leaf.and_then(|it| lineage.renews(it)).map(|it| now - it);
    if let Some(late) = late.filter(|it| *it > TIMER) {
        let line = format!(
            "{} should have been renewed {} ago",
            lineage.name,
            quantity::seconds(late as f64)
        );
        outcome.find("renewal-stuck", State::Warning, &line);
    }
}

impl Cert {
    /// Judges the renewal of one certificate to come.
    pub fn preflight(
        &self,
        cx: &Context,
        outcome: &mut Outcome,
        leaf: &Certificate,
        lineage: Option<&Lineage>,
    ) {
        let known = CAS.iter().find(|it| leaf.issuer_full.contains(it.0));
        let directory = self.directory.as_deref();
        let directory = directory.or_else(|| lineage?.server.as_deref());
        let directory = directory.or_else(|| known?.1);
        let mut renewal = Renewal {
            cx,
            check: self,
            leaf,
            lineage,
            identities: known.map_or(Vec::new(), |it| {
                it.2.iter().map(|it| (*it).to_owned()).collect()
            }),
        };
        match directory {
            Some(directory) => renewal.window(outcome, directory),
            None => outcome.detail(&format!(
                "the ACME directory of {} is not known here, name it as `directory`",
                leaf.issuer
            )),
        }
        renewal.caa(outcome);
        renewal.challenge(outcome);
    }
}

impl Renewal<'_> {
    /// Asks the CA when to renew (ACME Renewal Information, RFC 9773). What cannot be asked is said and no fault.
    fn window(&mut self, outcome: &mut Outcome, directory: &str) {
        let said = self.get(directory).and_then(|document| {
            let identities = document["meta"]["caaIdentities"].as_array();
            let identities = identities.map(|all| all.iter().filter_map(Value::as_str));
            if let Some(identities) = identities {
                self.identities = identities.map(str::to_lowercase).collect();
            }
            match document["renewalInfo"].as_str() {
                Some(base) => {
                    let base = base.trim_end_matches('/');
                    self.get(&format!("{base}/{}", self.identifier()?))
                        .map(Some)
                }
                None => Ok(None),
            }
        });
        let said = match said {
            Ok(Some(said)) => said,
            Ok(None) => return outcome.detail("the CA gives no renewal information"),
            Err(error) => {
                return outcome.detail(&format!("no renewal information of the CA: {error:#}"));
            }
        };
        let time = |key: &str| -> Option<i64> {
            let text = said["suggestedWindow"][key].as_str()?;
            Some(text.parse::<jiff::Timestamp>().ok()?.as_second())
        };
        let (Some(start), Some(end)) = (time("start"), time("end")) else {
            return outcome.detail("the CA's renewal information has no window");
        };
        let subject = &self.leaf.subject;
        let window = format!("{} to {}", date(start), date(end));
        let late = trust::seconds(self.cx.now) - end;
        match late > 0 {
            true => {
                let ago = quantity::seconds(late as f64);
                let line = format!(
                    "{subject}: the CA's window for its renewal ended {ago} ago ({window})"
                );
                outcome.find("renewal-overdue", State::Warning, &line);
            }
            false => outcome.detail(&format!("{subject}: the CA suggests to renew it {window}")),
        }
        if let Some(url) = said["explanationURL"].as_str() {
            let url = text::excerpt(url, 200);
            let line = format!("{subject}: the CA wants it replaced, see {url}");
            outcome.find("renewal-notice", State::Critical, &line);
        }
    }

    /// base64url(authority key identifier) "." base64url(serial number) (RFC 9773, section 4.1).
    fn identifier(&self) -> anyhow::Result<String> {
        let authority = &self.leaf.authority_key;
        if authority.is_empty() {
            return Err(anyhow!("the certificate does not name its authority's key"));
        }
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        Ok(format!(
            "{}.{}",
            encode(authority),
            encode(&self.leaf.serial_der)
        ))
    }

    fn get(&self, url: &str) -> anyhow::Result<Value> {
        let (cx, ca) = (self.cx.clone(), self.check.ca.clone());
        let reach = Reach::direct(
            self.cx.deadline,
            Arc::new(move |peer, name| cx.accept(peer, name, ca.as_deref())),
        );
        let response = agent::get(url, &reach, MOST).map_err(|it| anyhow!("{it}"))?;
        if response.status != 200 {
            return Err(anyhow!("{url} answers HTTP {}", response.status.as_u16()));
        }
        serde_json::from_slice(&response.body).with_context(|| format!("{url} is no JSON"))
    }

    /// Every name's CAA records must allow the CA (RFC 8659).
    fn caa(&self, outcome: &mut Outcome) {
        if self.identities.is_empty() {
            let issuer = &self.leaf.issuer;
            return outcome.detail(&format!(
                "CAA is not judged: how {issuer} is called in it is not known here"
            ));
        }
        let issuer = Issuer {
            identities: self.identities.clone(),
            method: self.method().map(Challenge::name),
            account: self.lineage.and_then(|it| it.account.clone()),
        };
        // Names of one certificate have their parents in common.
        let mut asked: BTreeMap<String, Result<Vec<Caa>, Trouble>> = BTreeMap::new();
        let mut ask = |at: &str| {
            let known = asked.entry(at.to_owned());
            let look = || records(self.cx, self.check.resolve, at);
            known.or_insert_with(look).clone()
        };
        let mut told: Vec<String> = Vec::new();
        for name in &self.leaf.dns_names {
            let (base, wild) = match name.strip_prefix("*.") {
                Some(base) => (base, true),
                None => (name.as_str(), false),
            };
            let (state, line) = match caa::relevant(base, &mut ask) {
                Ok((at, records)) => match issuer.forbidden(&records, wild) {
                    Some(why) => (State::Critical, format!("CAA at {at} {why}")),
                    None => continue,
                },
                Err((state, why)) => (state, format!("CAA of {base}: {why}")),
            };
            if !told.contains(&line) {
                outcome.find("caa", state, &line);
                told.push(line);
            }
            if left(self.cx.deadline).is_zero() {
                return outcome.detail("the time was too short for the CAA records of all names");
            }
        }
    }

    fn method(&self) -> Option<Challenge> {
        self.check.challenge.or_else(|| self.lineage?.challenge)
    }

    /// The way of the challenge is open: port 80 at every address, or the name that a TXT record will have.
    fn challenge(&self, outcome: &mut Outcome) {
        for name in &self.leaf.dns_names {
            if left(self.cx.deadline).is_zero() {
                return outcome.detail("the time was too short for the challenges of all names");
            }
            match self.method() {
                // Where nobody says how, the usual way is looked at.
                None | Some(Challenge::Http01) if !name.starts_with("*.") => {
                    self.port_80(outcome, name);
                }
                Some(Challenge::Dns01) => {
                    let base = name.trim_start_matches("*.");
                    let asked = format!("_acme-challenge.{base}");
                    if let Err(why) = resolvable(&asked, self.cx.deadline) {
                        let line = format!("{asked}: {why}");
                        outcome.find("dns-01", State::Warning, &line);
                    }
                }
                _ => (),
            }
        }
    }

    fn port_80(&self, outcome: &mut Outcome, name: &str) {
        let deadline = self.cx.deadline.min(Instant::now() + PATIENCE);
        let addresses =
            match self.cx.resolver(self.check.resolve)(name, 80, Family::Any, self.cx.deadline) {
                Ok(addresses) => addresses,
                Err(fault) => {
                    return outcome.find("port-80", State::Warning, &format!("{name}: {fault}"));
                }
            };
        let views = Everywhere::ask(&addresses, |it| dial(&[it], deadline).map(drop));
        for (_, fault) in &views.down {
            let line = format!("the challenge of {name} will fail: {fault}");
            outcome.find("port-80", State::Warning, &line);
        }
        views.name_unasked(outcome);
    }
}

/// The CAA records of one name: by the resolvers of this system, or by every one of its own servers, whose
/// signatures must hold too (CA/Browser Forum, ballot SC-085v2).
fn records(cx: &Context, resolve: Resolve, name: &str) -> Result<Vec<Caa>, Trouble> {
    let values = match resolve {
        Resolve::System => {
            let answer = ask(name, RecordType::CAA, cx.deadline);
            let answer = answer.map_err(|it| (State::Warning, it))?;
            let records = answer.records.into_iter();
            let records = records.filter(|it| it.kind == RecordType::CAA);
            records.map(|it| it.value).collect()
        }
        Resolve::Authoritative => {
            let walker = Walker::from_root(&cx.run.walks, cx.deadline);
            let now = trust::seconds(cx.now);
            check::dns::everywhere(&walker, &roots::anchors(), now, name, RecordType::CAA)?
        }
    };
    Ok(values.iter().filter_map(|it| Caa::read(it)).collect())
}

fn resolvable(name: &str, deadline: Instant) -> Result<(), String> {
    ask(name, RecordType::TXT, deadline).map(drop)
}

/// Asks the resolvers of this system in turn; a name that does not exist has no records.
fn ask(name: &str, kind: RecordType, deadline: Instant) -> Result<dns::Answer, String> {
    let servers = dns::system_servers().map_err(|it| format!("{it:#}"))?;
    let name = dns::name(name)?;
    let mut last = "no resolver is configured".to_owned();
    for (index, server) in servers.iter().enumerate() {
        // What is left is shared among the servers that are left.
        let share = left(deadline) / (servers.len() - index) as u32;
        match dns::ask(*server, &name, kind, Transport::Udp, Instant::now() + share) {
            Ok(answer) => match answer.rcode {
                ResponseCode::NoError | ResponseCode::NXDomain => return Ok(answer),
                code => last = format!("{} answers {code}", server.ip()),
            },
            Err(fault) => last = fault.to_string(),
        }
    }
    Err(last)
}
