//! `dns`: a zone's delegation, every one of its servers and what they answer, past all caches; or what resolvers say.

mod codes;
mod delegation;
mod expected;
mod found;
mod judge;
mod keys;
mod measures;
mod observe;
mod parents;
mod probe;
mod resolvers;
mod signatures;
mod table;
mod via;

use crate::bounded;
use crate::check::caa::{self, Caa, Issuer};
use crate::check::{Check, Context, Flaw, READS, Type, flaw};
use crate::model::limits::{Age, Left, Limits, Share, Time};
use crate::model::list::List;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::Unit;
use crate::model::state::State;
use crate::net::dns::query::unhurried;
use crate::net::dns::walk::Walker;
use crate::net::dns::{self, read, roots, walk};
use crate::net::{self, Fault};
use expected::{Expected, Fit};
use hickory_proto::dnssec::rdata::DS;
use hickory_proto::rr::{Name, RecordType};
use keys::{Kind, Parents, Perfdata, Server, Signed, addresses};
use observe::{Scope, View, Wish};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

pub const TYPE: Type = Type::of::<Dns>(
    "dns",
    &["host", "zone"],
    include_str!("../../../checks/dns.toml"),
    &[
        ("time", Unit::Seconds),
        ("servers", Unit::None),
        ("ok", Unit::None),
        ("serials", Unit::None),
        ("behind", Unit::None),
        ("rrsig", Unit::Seconds),
        ("rrsig_pct", Unit::Percent),
        ("expire", Unit::Seconds),
        ("ttl", Unit::Seconds),
        ("negative_ttl", Unit::Seconds),
        ("loss", Unit::Percent),
        ("queries", Unit::None),
    ],
    &[CODES, codes::CODES, resolvers::CODES, net::CODES],
);

const CODES: &[Code] = &[
    code(
        "wrong-answer",
        "CRITICAL",
        "A server answers something else than `expect`: correct the zone there, or wait for its transfer; of a resolver, flush its cache.",
    ),
    code(
        "no-record",
        "CRITICAL",
        "The name exists, but has no record of this type.",
    ),
    code(
        "nxdomain",
        "CRITICAL",
        "A server says that the name does not exist.",
    ),
    code(
        "server-failure",
        "CRITICAL",
        "A server refuses or fails to answer: look at its log; with DNSSEC, at the zone's signatures.",
    ),
    code(
        "no-answer",
        "CRITICAL",
        "A server does not answer, however often it is asked.",
    ),
    code(
        "malformed",
        "CRITICAL",
        "A server's answer is no sound DNS message: something cuts or changes it on the way, or the server is broken.",
    ),
    code(
        "time",
        "by limits",
        "The slowest server took longer than `time` allows.",
    ),
];

/// A name or zone, walked to from the root and asked at every authoritative server, with nothing cached in between; with `via`, only what these resolvers answer.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Dns {
    /// The name to ask for, whose zone is judged too; an address asks for its PTR record.
    host: Option<String>,
    /// A zone alone: its delegation and its servers.
    zone: Option<String>,
    /// Only ask these resolvers: `"system"` for the servers of /etc/resolv.conf, or `ADDRESS` or `ADDRESS:PORT`, one or several; each is asked and named.
    via: Option<List<Server>>,
    /// The record type by its name, or `"TYPE65280"`. Default: as the values of `expect` look, else A and AAAA.
    record: Option<Kind>,
    /// What the answer must be: values as in a zone file, networks as `"192.0.2.0/24"`, `"NXDOMAIN"`, or `"NODATA"`. TXT strings are joined, and need no quotes.
    expect: Option<List<String>>,
    /// How the answer is compared: `"exact"`, `"all"` of the expected values and perhaps more, `"any"` of them; or `"regex"` or `"contains"`, when each of `expect` must be found in one of its values. Default: `"exact"`.
    #[serde(default, rename = "match")]
    fit: Fit,
    /// With `via`, ask over TCP from the start.
    #[serde(default)]
    tcp: bool,
    /// Limits of the time that the slowest server takes.
    time: Option<Limits<Time>>,
    /// Only ask these servers, for a zone that no parent delegates.
    servers: Option<List<IpAddr>>,
    /// Begin the walk at these servers of a parent instead of at the root.
    from: Option<List<IpAddr>>,
    /// A file of root hints, for a root of one's own.
    root_hints: Option<PathBuf>,
    /// A file with DS records of the root's keys, for a root of one's own.
    trust_anchor: Option<PathBuf>,
    /// The port of all servers. Default: 53.
    port: Option<u16>,
    /// How many servers of the parent zone are asked, or `"all"`. Default: 2.
    parents: Option<Parents>,
    /// The names that the zone's servers must have, at the parent and in the zone.
    ns: Option<List<String>>,
    /// Whether the parent must vouch for the zone's keys: `"auto"`, `"required"` or `"absent"`. Default: `"auto"`, when the zone is signed.
    #[serde(default)]
    ds: Signed,
    /// Limits of what signatures have left of their lifetime. Default: `"15%,5%"`.
    rrsig: Option<Limits<Left>>,
    /// Limits of what a secondary's copy of the zone has left, in % of the expiry in its SOA record. Default: `"50%,25%"`.
    expire: Option<Limits<Left>>,
    /// Limits of the time for which resolvers keep that a name does not exist. Default: `"3h,"`.
    negative_ttl: Option<Limits<Time>>,
    /// Limits of the record's TTL: `"1m:1d,"`.
    ttl: Option<Limits<Age>>,
    /// Limits of the share of questions that are lost.
    loss: Option<Limits<Share>>,
    /// The domain of a CA, as `"letsencrypt.org"`, that CAA records must allow to issue for the name.
    issuer: Option<String>,
    /// Resolvers whose answer is compared with that of the zone's own servers, as in `via`.
    resolvers: Option<List<Server>>,
    /// Whether those resolvers must say of a random name that it does not exist.
    #[serde(default)]
    hijack: bool,
    /// `"each"` also measures the time of every address.
    perfdata: Option<Perfdata>,
}

/// How many servers of the parent are asked by default.
const PARENTS: usize = 2;

impl Check for Dns {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let name = self.name().map_err(|it| anyhow::anyhow!(it))?;
        match &self.via {
            Some(via) => self.ask_via(cx, &addresses(via)?, &name),
            None => self.walk(cx, &name),
        }
    }

    fn privileged(&self) -> Option<&'static str> {
        let reads = self.root_hints.is_some() || self.trust_anchor.is_some();
        reads.then_some(READS)
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let key = if self.zone.is_some() { "zone" } else { "host" };
        match (&self.host, &self.zone) {
            (None, None) => flaws.push(flaw("type", "a `dns` check needs `host` or `zone`")),
            (Some(_), Some(_)) => {
                flaws.push(flaw(
                    "zone",
                    "`host` judges its zone too, `zone` is for a zone alone",
                ));
            }
            _ => {
                let subject = self.subject();
                if subject.is_empty() || subject.contains(char::is_whitespace) {
                    flaws.push(flaw(key, format!("\"{subject}\" is not a domain name")));
                } else if let Err(message) = self.name() {
                    flaws.push(flaw(key, message));
                }
            }
        }
        if let Some(list) = self.expect.as_ref().filter(|_| self.zone.is_none())
            && let Some(message) = Expected::flaw(list, &self.kinds(), self.fit)
        {
            flaws.push(flaw("expect", message));
        }
        if self.fit != Fit::Exact && self.expect.is_none() {
            flaws.push(flaw("match", "`match` means nothing without `expect`"));
        }
        let of_hosts = [
            ("record", self.record.is_some()),
            ("expect", self.expect.is_some()),
            ("via", self.via.is_some()),
            ("ttl", self.ttl.is_some()),
            ("resolvers", self.resolvers.is_some()),
            ("issuer", self.issuer.is_some()),
        ];
        for (key, _) in of_hosts
            .into_iter()
            .filter(|it| it.1 && self.zone.is_some())
        {
            flaws.push(flaw(key, format!("`{key}` is for a `host`")));
        }
        let of_walks = [
            ("servers", self.servers.is_some()),
            ("from", self.from.is_some()),
            ("root_hints", self.root_hints.is_some()),
            ("trust_anchor", self.trust_anchor.is_some()),
            ("port", self.port.is_some()),
            ("parents", self.parents.is_some()),
            ("ns", self.ns.is_some()),
            ("ds", self.ds != Signed::Auto),
            ("rrsig", self.rrsig.is_some()),
            ("expire", self.expire.is_some()),
            ("negative_ttl", self.negative_ttl.is_some()),
            ("ttl", self.ttl.is_some()),
            ("loss", self.loss.is_some()),
            ("resolvers", self.resolvers.is_some()),
            ("issuer", self.issuer.is_some()),
            ("perfdata", self.perfdata.is_some()),
        ];
        for (key, _) in of_walks.into_iter().filter(|it| it.1 && self.via.is_some()) {
            flaws.push(flaw(
                key,
                format!("`{key}` means nothing with `via`, which does not walk"),
            ));
        }
        let of_parents = [
            ("from", self.from.is_some()),
            ("root_hints", self.root_hints.is_some()),
            ("trust_anchor", self.trust_anchor.is_some()),
            ("parents", self.parents.is_some()),
            ("ds", self.ds != Signed::Auto),
            ("issuer", self.issuer.is_some()),
        ];
        for (key, _) in of_parents
            .into_iter()
            .filter(|it| it.1 && self.servers.is_some())
        {
            flaws.push(flaw(
                key,
                format!("`{key}` means nothing with `servers`, which are asked alone"),
            ));
        }
        if self.from.is_some() && self.root_hints.is_some() {
            flaws.push(flaw(
                "from",
                "`from` and `root_hints` are two beginnings, choose one",
            ));
        }
        if self.tcp && self.via.is_none() {
            flaws.push(flaw("tcp", "`tcp` is for `via`; a walk asks over both"));
        }
        if self.hijack && self.resolvers.is_none() {
            flaws.push(flaw("hijack", "`hijack` asks `resolvers`"));
        }
        for name in self.ns.iter().flat_map(|it| &it.0) {
            if let Err(message) = dns::name(name) {
                flaws.push(flaw("ns", message));
            }
        }
        flaws
    }
}

impl Dns {
    /// What is looked at, as the list writes it.
    fn subject(&self) -> &str {
        let subject = self.host.as_deref().or(self.zone.as_deref());
        let subject = subject.unwrap_or_default();
        let inside = subject
            .strip_prefix('[')
            .and_then(|it| it.strip_suffix(']'));
        inside.unwrap_or(subject)
    }

    /// The name in the question: of an address, its name under in-addr.arpa or ip6.arpa (RFC 1035, RFC 3596).
    fn name(&self) -> Result<Name, String> {
        match self.subject().parse::<IpAddr>() {
            Err(_) => dns::name(self.subject()),
            Ok(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                dns::name(&format!("{d}.{c}.{b}.{a}.in-addr.arpa."))
            }
            Ok(IpAddr::V6(address)) => {
                let nibbles = address.octets().into_iter().rev();
                let nibbles = nibbles.map(|it| format!("{:x}.{:x}.", it & 15, it >> 4));
                dns::name(&format!("{}ip6.arpa.", nibbles.collect::<String>()))
            }
        }
    }

    /// The record types to ask for.
    fn kinds(&self) -> Vec<RecordType> {
        if let Some(Kind(kind)) = self.record {
            return vec![kind];
        }
        if self.zone.is_some() {
            return Vec::new();
        }
        if self.subject().parse::<IpAddr>().is_ok() {
            return vec![RecordType::PTR];
        }
        let values = self.expect.iter().flat_map(|it| &it.0);
        let addresses = values.filter_map(|it| it.split('/').next()?.parse().ok());
        let addresses: Vec<IpAddr> = addresses.collect();
        match (
            addresses.iter().any(IpAddr::is_ipv4),
            addresses.iter().any(IpAddr::is_ipv6),
        ) {
            (true, false) => vec![RecordType::A],
            (false, true) => vec![RecordType::AAAA],
            _ => vec![RecordType::A, RecordType::AAAA],
        }
    }

    /// Whether aliases are followed: not when they are what is asked for.
    fn follows(&self) -> bool {
        !matches!(self.record, Some(Kind(RecordType::CNAME)))
    }

    /// Where walks begin.
    fn start(&self, cx: &Context) -> anyhow::Result<walk::Cut> {
        use anyhow::Context as _;
        if let Some(List(addresses)) = &self.from {
            return Ok(walk::Cut {
                name: Name::root(),
                servers: vec![walk::NameServer {
                    name: Name::root(),
                    addresses: addresses.clone(),
                }],
            });
        }
        let Some(hints) = &self.root_hints else {
            return Ok(roots::root());
        };
        let path = cx.path(hints);
        let text = bounded::text(&path, bounded::KEYS);
        let text =
            text.with_context(|| format!("cannot read the root hints {}", path.display()))?;
        roots::read(&text).with_context(|| path.display().to_string())
    }

    /// The root's keys; none where the walk does not begin at the root.
    fn anchors(&self, cx: &Context) -> anyhow::Result<Vec<DS>> {
        use anyhow::Context as _;
        match (&self.trust_anchor, &self.from, &self.root_hints) {
            (Some(file), _, _) => {
                let path = cx.path(file);
                let text = bounded::text(&path, bounded::KEYS);
                let text = text
                    .with_context(|| format!("cannot read the trust anchor {}", path.display()))?;
                roots::read_anchors(&text).with_context(|| path.display().to_string())
            }
            (None, None, None) => Ok(roots::anchors()),
            _ => Ok(Vec::new()),
        }
    }

    /// Walks to the name and judges what was seen.
    fn walk(&self, cx: &Context, name: &Name) -> anyhow::Result<Outcome> {
        let start = self.start(cx)?;
        let pins = self.ns.iter().flat_map(|it| &it.0);
        let pins: BTreeSet<Name> = pins.filter_map(|it| dns::name(it).ok()).collect();
        let (anchors, kinds) = (self.anchors(cx)?, self.kinds());
        let walker = Walker {
            shared: &cx.run.walks,
            // Walks with the usual beginning share what they find with other types of checks.
            id: match (&self.from, &self.root_hints, self.port) {
                (None, None, None) => String::new(),
                other => format!("{other:?}"),
            },
            start,
            begin: match self.from {
                Some(_) => walk::Begin::Elsewhere,
                None => walk::Begin::Root,
            },
            port: self.port.unwrap_or(53),
            deadline: cx.deadline,
            tries: unhurried(net::left(cx.deadline)),
            tally: Default::default(),
        };
        let now = net::trust::seconds(cx.now);
        let wish = Wish {
            target: name,
            scope: match self.zone {
                Some(_) => Scope::Zone,
                None => Scope::Host,
            },
            kinds: &kinds,
            servers: self.servers.as_ref().map_or(&[], |it| &it.0),
            pins: &pins,
            parents: self.parents.map_or(PARENTS, |it| it.0),
            anchors: &anchors,
            now,
        };
        let mut views = Vec::new();
        let (mut next, none) = (Some(name.clone()), BTreeSet::new());
        // Aliases are judged at every server, then followed by a walk of their own.
        while let Some(target) = next.take() {
            if views.len() > ALIASES {
                let text = format!(
                    "{} is an alias of an alias, more than {ALIASES} times",
                    self.subject()
                );
                return Ok(Outcome::of("no-record", State::Critical, &text));
            }
            let target = &target;
            let wish = match views.is_empty() {
                true => Wish { target, ..wish },
                // Where an alias leads, only the name is wanted.
                false => Wish {
                    target,
                    scope: Scope::Host,
                    pins: &none,
                    ..wish
                },
            };
            match observe::observe(&walker, &wish) {
                Ok(view) => {
                    next = judge::alias(&view).filter(|_| self.follows());
                    views.push(view);
                }
                Err(broken) => return self.broken(cx, broken, name),
            }
        }
        let mut compared = self.compare(cx, &views, &walker)?;
        compared.found.extend(self.issuance(&walker, &anchors, now));
        Ok(self.judge(cx, views, compared, &walker.tally, now))
    }

    /// Whether CAA records allow the CA that the list names.
    fn issuance(&self, walker: &Walker, anchors: &[DS], now: i64) -> Option<found::Found> {
        let issuer = Issuer {
            identities: vec![self.issuer.as_ref()?.to_lowercase()],
            ..Issuer::default()
        };
        let ask = |at: &str| {
            let values = everywhere(walker, anchors, now, at, RecordType::CAA)?;
            Ok(values.iter().filter_map(|it| Caa::read(it)).collect())
        };
        let text = match caa::relevant(self.subject(), ask) {
            Ok((at, records)) => {
                let why = issuer.forbidden(&records, false)?;
                format!("CAA at {at} {why}")
            }
            Err((_, why)) => format!("CAA of {}: {why}", self.subject()),
        };
        Some(found::found("caa", State::Warning, text, &[]))
    }

    /// What is said when the walk itself could not be made.
    fn broken(&self, cx: &Context, broken: walk::Broken, name: &Name) -> anyhow::Result<Outcome> {
        match broken {
            walk::Broken::NoRoot(why) => {
                let why: Vec<String> = why.into_iter().take(3).collect();
                let hint = self.hint(cx, name);
                let who = match self.from {
                    Some(_) => "none of `from`",
                    None => "no root server",
                };
                Err(anyhow::anyhow!("{who} answers ({}){hint}", why.join("; ")))
            }
            walk::Broken::Unable(text) => Err(anyhow::anyhow!(text)),
            walk::Broken::Late(text) => Fault::Late(text).outcome(),
            walk::Broken::Endless(text) => Ok(Outcome::of("no-server", State::Critical, &text)),
        }
    }
}

/// What every server of a name's zone says of it, when all say the same and their signatures hold.
///
/// # Errors
/// How bad it is that they do not, and why.
pub fn everywhere(
    walker: &Walker,
    anchors: &[DS],
    now: i64,
    name: &str,
    kind: RecordType,
) -> Result<Vec<String>, (State, String)> {
    let name = dns::name(name).map_err(|it| (State::Warning, it))?;
    let none = BTreeSet::new();
    let wish = Wish {
        target: &name,
        scope: Scope::Host,
        kinds: &[kind],
        servers: &[],
        pins: &none,
        parents: PARENTS,
        anchors,
        now,
    };
    let seen = match observe::observe(walker, &wish) {
        Ok(View::Seen(seen)) => seen,
        Ok(View::NotDelegated { why, .. }) => return Err((State::Critical, why)),
        Ok(View::NoServer { why, .. }) => return Err((State::Critical, why.join("; "))),
        Err(walk::Broken::NoRoot(why)) => {
            return Err((
                State::Warning,
                format!("no root server answers ({})", why.join("; ")),
            ));
        }
        Err(walk::Broken::Late(why) | walk::Broken::Endless(why) | walk::Broken::Unable(why)) => {
            return Err((State::Warning, why));
        }
    };
    let unsound = signatures::judge(&seen, now)
        .into_iter()
        .find(|it| it.state == State::Critical);
    if let Some(unsound) = unsound {
        return Err((State::Critical, unsound.text));
    }
    let said: Vec<_> = found::grouped(seen.good().filter_map(|it| Some((it, found::said(it)?))));
    match &said[..] {
        [(said, _)] => Ok(said.values.iter().cloned().collect()),
        [] => Err((
            State::Critical,
            format!("no server of {} answers for it", read::plain(&seen.zone)),
        )),
        [(_, some), (_, others), ..] => {
            let [some, others] = [some, others].map(|it| found::labels(it));
            Err((
                State::Critical,
                format!("{some} and {others} answer differently"),
            ))
        }
    }
}

/// How many aliases are followed.
const ALIASES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(keys: &str) -> Dns {
        toml::from_str(keys).expect("a dns check")
    }

    #[test]
    fn addresses_ask_for_their_names() {
        let check = dns("host = '192.0.2.7'");
        assert_eq!(
            check.name().expect("a name").to_ascii(),
            "7.2.0.192.in-addr.arpa."
        );
        assert_eq!(check.kinds(), [RecordType::PTR]);
        let name = dns("host = '::1'").name().expect("a name").to_ascii();
        assert!(name.starts_with("1.0.0.") && name.ends_with(".0.ip6.arpa."));
    }

    #[test]
    fn record_types_follow_the_expected_values() {
        assert_eq!(
            dns("host = 'h'\nexpect = '192.0.2.1'").kinds(),
            [RecordType::A]
        );
        assert_eq!(
            dns("host = 'h'\nexpect = '2001:db8::/32'").kinds(),
            [RecordType::AAAA]
        );
        assert_eq!(dns("host = 'h'").kinds().len(), 2);
        assert_eq!(dns("host = 'h'\nrecord = 'mx'").kinds(), [RecordType::MX]);
        assert!(dns("zone = 'z'").kinds().is_empty());
    }

    #[test]
    fn keys_that_do_not_fit_together_are_flaws() {
        let flaws = |keys: &str| dns(keys).flaws().len();
        assert_eq!(flaws("host = 'h'"), 0);
        assert_eq!(flaws("zone = 'z'\nparents = 'all'"), 0);
        assert_eq!(flaws("record = 'A'"), 1);
        assert_eq!(flaws("zone = 'z'\nhost = 'h'"), 1);
        assert_eq!(flaws("zone = 'z'\nexpect = '192.0.2.1'"), 1);
        assert_eq!(flaws("host = 'h'\nvia = 'system'\nport = 5353"), 1);
        assert_eq!(flaws("host = 'h'\nhijack = true"), 1);
        assert_eq!(flaws("host = 'h'\ntcp = true"), 1);
        assert_eq!(flaws("host = 'h'\nservers = '192.0.2.1'\nparents = 3"), 1);
        assert!(toml::from_str::<Dns>("host = 'h'\nparents = 0").is_err());
    }
}
