//! `dns`: resolvers answer, quickly, and what they should.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::model::limits::{Limits, Time};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use crate::net::dns::{self, Answer, Transport};
use crate::net::{self, Fault};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, Instant};

pub const TYPE: Type = Type::of::<Dns>(
    "dns",
    &["host"],
    include_str!("../../checks/dns.toml"),
    &[
        ("time", Unit::Seconds),
        ("servers", Unit::None),
        ("ok", Unit::None),
    ],
    &[CODES, net::CODES],
);

const CODES: &[Code] = &[
    code(
        "wrong-answer",
        "CRITICAL",
        "A server answers something else than `expect`: correct the zone, or flush the server's cache.",
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
        "A server does not answer three questions in a row.",
    ),
    code(
        "time",
        "by limits",
        "The slowest server took longer than `time` allows.",
    ),
];

/// Every resolver that is named answers for a name, and what it should. Nothing is cached in between.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Dns {
    /// The name to ask for; an address asks for its PTR record.
    host: String,
    /// Whom to ask: `"system"` for the servers of /etc/resolv.conf, or `ADDRESS` or `ADDRESS:PORT`, one or several; each is asked and named.
    via: List<Server>,
    /// The record type. Default: as the values of `expect` look, else A and AAAA.
    record: Option<Kind>,
    /// What the answer must be: values as in a zone file, `"NXDOMAIN"`, or `"NODATA"`.
    expect: Option<List<String>>,
    /// How the answer is compared: `"exact"`, `"all"` of the expected values and perhaps more, or `"any"` of them. Default: `"exact"`.
    #[serde(default, rename = "match")]
    fit: Fit,
    /// Ask over TCP from the start.
    #[serde(default)]
    tcp: bool,
    /// Limits of the time that the slowest server takes.
    time: Option<Limits<Time>>,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
enum Server {
    System,
    At(SocketAddr),
}

impl TryFrom<String> for Server {
    type Error = String;

    fn try_from(text: String) -> Result<Server, String> {
        let (host, port) = net::split_port(&text);
        match host.parse::<IpAddr>() {
            _ if text == "system" => Ok(Server::System),
            Ok(address) => Ok(Server::At(SocketAddr::new(address, port.unwrap_or(53)))),
            Err(_) => Err(format!(
                "\"{text}\" is not a server, expected \"system\", an address or ADDRESS:PORT"
            )),
        }
    }
}

/// A record type (RFC 1035, section 3.2.2, and its successors).
#[derive(Clone, Copy, Debug, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
struct Kind(RecordType);

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(text: String) -> Result<Kind, String> {
        RecordType::from_str(&text.to_uppercase())
            .map(Kind)
            .map_err(|_| {
                format!("\"{text}\" is not a record type, expected one such as \"A\" or \"MX\"")
            })
    }
}

/// How an answer is compared with what is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Fit {
    #[default]
    Exact,
    All,
    Any,
}

/// What a name is expected to be.
enum Expected {
    Nothing,
    NxDomain,
    NoData,
    Values(BTreeSet<String>),
}

/// What one server said to all questions about the name.
struct View {
    server: SocketAddr,
    said: Result<Vec<(RecordType, Answer)>, Fault>,
    took: Duration,
}

impl Check for Dns {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let servers = self.servers()?;
        let name = dns::name(&self.asked()).map_err(|it| anyhow::anyhow!(it))?;
        let transport = if self.tcp {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        let kinds = self.kinds();
        let look = |server: &SocketAddr| {
            let start = Instant::now();
            let ask = |kind: &RecordType| {
                let answer = dns::ask(*server, &name, *kind, transport, cx.deadline)?;
                Ok((*kind, answer))
            };
            View {
                server: *server,
                said: kinds.iter().map(ask).collect(),
                took: start.elapsed(),
            }
        };
        let views = match &servers[..] {
            [one] => vec![look(one)],
            many => std::thread::scope(|scope| {
                let looks: Vec<_> = many
                    .iter()
                    .map(|it| scope.spawn(move || look(it)))
                    .collect();
                looks.into_iter().filter_map(|it| it.join().ok()).collect()
            }),
        };
        self.judge(views)
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if let Err(message) = dns::name(&self.asked()) {
            flaws.push(flaw("host", message));
        } else if self.host.is_empty() || self.host.contains(char::is_whitespace) {
            flaws.push(flaw(
                "host",
                format!("\"{}\" is not a domain name", self.host),
            ));
        }
        if let Some(List(values)) = &self.expect
            && values.len() > 1
            && values
                .iter()
                .any(|it| matches!(it.as_str(), "NXDOMAIN" | "NODATA"))
        {
            flaws.push(flaw("expect", "NXDOMAIN and NODATA stand alone"));
        }
        if self.fit != Fit::Exact && self.expect.is_none() {
            flaws.push(flaw("match", "`match` means nothing without `expect`"));
        }
        flaws
    }
}

impl Dns {
    /// The name in the question: of an address, its name under in-addr.arpa or ip6.arpa (RFC 1035, RFC 3596).
    fn asked(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Err(_) => self.host.clone(),
            Ok(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
            }
            Ok(IpAddr::V6(address)) => {
                let nibbles = address.octets().into_iter().rev();
                let nibbles = nibbles.map(|it| format!("{:x}.{:x}.", it & 15, it >> 4));
                format!("{}ip6.arpa.", nibbles.collect::<String>())
            }
        }
    }

    fn servers(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let mut servers = Vec::new();
        for server in &self.via.0 {
            match server {
                Server::At(address) => servers.push(*address),
                Server::System => {
                    let system = dns::system_servers()?;
                    servers.extend(system.into_iter().map(|it| SocketAddr::new(it, 53)));
                }
            }
        }
        servers.dedup();
        Ok(servers)
    }

    fn kinds(&self) -> Vec<RecordType> {
        if let Some(Kind(kind)) = self.record {
            return vec![kind];
        }
        if self.host.parse::<IpAddr>().is_ok() {
            return vec![RecordType::PTR];
        }
        let addresses = self.expect.iter().flat_map(|it| &it.0);
        let addresses: Vec<IpAddr> = addresses.filter_map(|it| it.parse().ok()).collect();
        match (
            addresses.iter().any(IpAddr::is_ipv4),
            addresses.iter().any(IpAddr::is_ipv6),
        ) {
            (true, false) => vec![RecordType::A],
            (false, true) => vec![RecordType::AAAA],
            _ => vec![RecordType::A, RecordType::AAAA],
        }
    }

    fn expected(&self) -> Expected {
        match self.expect.as_ref().map(|it| &it.0[..]) {
            None => Expected::Nothing,
            Some([one]) if one == "NXDOMAIN" => Expected::NxDomain,
            Some([one]) if one == "NODATA" => Expected::NoData,
            Some(values) => Expected::Values(values.iter().map(|it| canonical(it)).collect()),
        }
    }

    fn judge(&self, views: Vec<View>) -> anyhow::Result<Outcome> {
        let total = views.len();
        let mut answers = Vec::new();
        let mut faults: Vec<(&'static str, String)> = Vec::new();
        let mut late = None;
        let mut slowest = Duration::ZERO;
        for view in views {
            let server = match view.server {
                it if it.port() == 53 => it.ip().to_string(),
                it => it.to_string(),
            };
            match view.said {
                Ok(said) => {
                    slowest = slowest.max(view.took);
                    match self.judge_one(&said) {
                        Ok(values) => answers.push((server, values)),
                        Err((code, line)) => faults.push((code, format!("{server} {line}"))),
                    }
                }
                Err(Fault::World { code, text }) => faults.push((code, text)),
                Err(Fault::Late(text)) => late = Some(text),
                Err(Fault::Me(error)) => return Err(error),
            }
        }
        let host = &self.host;
        let values = answers.first().map_or("", |it| it.1.as_str());
        let shown = quantity::seconds(slowest.as_secs_f64());
        let of = match total {
            1 => String::new(),
            _ => format!(", {} of {total} servers agree", answers.len()),
        };
        let mut outcome = match answers.is_empty() {
            true => Outcome::default(),
            false => Outcome::new(&format!("{host} is {values}, in {shown}{of}")),
        };
        let servers = Metric::new("servers", total as f64, Unit::None);
        let good = Metric::new("ok", answers.len() as f64, Unit::None).max(total as f64);
        for (code, line) in faults {
            outcome.find(code, State::Critical, &line);
        }
        if let Some(text) = late {
            outcome.find(crate::model::outcome::LATE, State::Critical, &text);
        }
        if slowest > Duration::ZERO {
            let limits = Limits::maybe(&self.time, 0.0);
            let time = Metric::new("time", slowest.as_secs_f64(), Unit::Seconds).judged(limits);
            outcome.measure(time, &format!("{host}: took {shown}"));
        }
        outcome.note(servers);
        outcome.note(good);
        for (server, values) in answers {
            outcome.detail(&format!("{server}: {values}"));
        }
        Ok(outcome)
    }

    /// What a server's answers come to, or which finding they are.
    fn judge_one(&self, said: &[(RecordType, Answer)]) -> Result<String, (&'static str, String)> {
        let host = &self.host;
        for (kind, answer) in said {
            match answer.rcode {
                ResponseCode::NoError | ResponseCode::NXDomain => (),
                code => {
                    let code = code.to_string();
                    return Err((
                        "server-failure",
                        format!("answers {code} for {host} {kind}"),
                    ));
                }
            }
        }
        let missing = said.iter().any(|it| it.1.rcode == ResponseCode::NXDomain);
        let values: BTreeSet<String> = said
            .iter()
            .flat_map(|(kind, answer)| {
                let fitting = answer.records.iter().filter(|it| it.kind == *kind);
                fitting.map(|it| canonical(&it.value))
            })
            .collect();
        let kinds: Vec<String> = said.iter().map(|it| it.0.to_string()).collect();
        let kinds = kinds.join(" or ");
        let shown = values.iter().cloned().collect::<Vec<_>>().join(", ");
        let wrong = |expected: String| {
            let got = match (missing, values.is_empty()) {
                (true, _) => "NXDOMAIN",
                (false, true) => "no record",
                (false, false) => shown.as_str(),
            };
            Err((
                "wrong-answer",
                format!("says {host} is {got}, expected {expected}"),
            ))
        };
        match self.expected() {
            Expected::NxDomain if missing => Ok("NXDOMAIN, as expected".to_owned()),
            Expected::NxDomain => wrong("NXDOMAIN".to_owned()),
            Expected::NoData if !missing && values.is_empty() => {
                Ok("without record, as expected".to_owned())
            }
            Expected::NoData => wrong("NODATA".to_owned()),
            _ if missing => Err(("nxdomain", format!("says {host} does not exist"))),
            _ if values.is_empty() => {
                Err(("no-record", format!("has no {kinds} record for {host}")))
            }
            Expected::Nothing => Ok(shown),
            Expected::Values(expected) => {
                let fits = match self.fit {
                    Fit::Exact => values == expected,
                    Fit::All => values.is_superset(&expected),
                    Fit::Any => !values.is_disjoint(&expected),
                };
                let list = expected.iter().cloned().collect::<Vec<_>>();
                match (fits, self.fit) {
                    (true, _) => Ok(shown),
                    (false, Fit::Exact) => wrong(list.join(", ")),
                    (false, Fit::All) => wrong(format!("all of {}", list.join(", "))),
                    (false, Fit::Any) => wrong(format!("any of {}", list.join(", "))),
                }
            }
        }
    }
}

/// A value so that equal ones compare equal: addresses in their one form, names in lower case
/// without the last dot, blanks folded.
fn canonical(value: &str) -> String {
    if let Ok(address) = value.trim().parse::<IpAddr>() {
        return address.to_string();
    }
    let words: Vec<String> = value
        .split_whitespace()
        .map(|word| match word.strip_suffix('.') {
            Some(name) if !name.is_empty() => name.to_lowercase(),
            _ if word.contains('.') && !word.contains(['"', '=', ':']) => word.to_lowercase(),
            _ => word.to_owned(),
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(keys: &str) -> Dns {
        toml::from_str(&format!(
            "host = 'www.example.jp'\nvia = '192.0.2.53'\n{keys}"
        ))
        .expect("a dns check")
    }

    fn said(rcode: ResponseCode, values: &[&str]) -> Vec<(RecordType, Answer)> {
        let records = values.iter().map(|it| dns::Record {
            kind: RecordType::A,
            value: (*it).to_owned(),
        });
        let answer = Answer {
            rcode,
            records: records.collect(),
        };
        vec![(RecordType::A, answer)]
    }

    fn code(keys: &str, rcode: ResponseCode, values: &[&str]) -> &'static str {
        let verdict = dns(keys).judge_one(&said(rcode, values));
        verdict.err().map_or("", |it| it.0)
    }

    #[test]
    fn sets_are_compared_as_asked() {
        use ResponseCode::NoError;
        let two = ["192.0.2.1", "192.0.2.2"];
        assert_eq!(
            code("expect = ['192.0.2.2', '192.0.2.1']", NoError, &two),
            ""
        );
        assert_eq!(code("expect = '192.0.2.1'", NoError, &two), "wrong-answer");
        assert_eq!(
            code("expect = '192.0.2.1'\nmatch = 'all'", NoError, &two),
            ""
        );
        let any = "expect = ['192.0.2.9', '192.0.2.1']\nmatch = 'any'";
        assert_eq!(code(any, NoError, &two), "");
        assert_eq!(code(any, NoError, &["192.0.2.3"]), "wrong-answer");
    }

    #[test]
    fn nothing_can_be_expected_too() {
        use ResponseCode::{NXDomain, NoError, ServFail};
        assert_eq!(code("expect = 'NXDOMAIN'", NXDomain, &[]), "");
        assert_eq!(code("expect = 'NXDOMAIN'", NoError, &[]), "wrong-answer");
        assert_eq!(code("expect = 'NODATA'", NoError, &[]), "");
        assert_eq!(code("", NXDomain, &[]), "nxdomain");
        assert_eq!(code("", NoError, &[]), "no-record");
        assert_eq!(code("expect = 'NXDOMAIN'", ServFail, &[]), "server-failure");
    }

    #[test]
    fn names_compare_without_case_and_last_dot() {
        assert_eq!(
            canonical("10 MX1.example.JP."),
            canonical("10  mx1.example.jp")
        );
        assert_eq!(canonical("2001:DB8::0:1"), "2001:db8::1");
        assert_eq!(canonical("v=spf1 -all"), "v=spf1 -all");
    }

    #[test]
    fn addresses_ask_for_their_names() {
        let check: Dns = toml::from_str("host = '192.0.2.7'\nvia = 'system'").expect("a check");
        assert_eq!(check.asked(), "7.2.0.192.in-addr.arpa.");
        assert_eq!(check.kinds(), [RecordType::PTR]);
        let check: Dns = toml::from_str("host = '::1'\nvia = 'system'").expect("a check");
        assert!(check.asked().starts_with("1.0.0.") && check.asked().ends_with(".0.ip6.arpa."));
    }

    #[test]
    fn record_types_follow_the_expected_values() {
        assert_eq!(dns("expect = '192.0.2.1'").kinds(), [RecordType::A]);
        assert_eq!(dns("expect = '::1'").kinds(), [RecordType::AAAA]);
        assert_eq!(dns("").kinds().len(), 2);
        assert_eq!(dns("record = 'mx'").kinds(), [RecordType::MX]);
    }
}
