//! The simple case: these resolvers are asked, and answer what they should.

use super::Dns;
use super::expected::{Expected, Miss, Said};
use crate::check::Context;
use crate::model::limits::Limits;
use crate::model::metric::Metric;
use crate::model::outcome::Outcome;
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use crate::net::Fault;
use crate::net::dns::data::kind_shown;
use crate::net::dns::name::plain;
use crate::net::dns::query::Edns;
use crate::net::dns::{self, Answer, Transport, read};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// What one server said to all questions about the name.
pub struct View {
    pub server: SocketAddr,
    pub said: Result<Vec<(RecordType, Answer)>, Fault>,
}

impl View {
    /// How long the slowest of its answers took.
    fn took(&self) -> Duration {
        let all = self.said.iter().flatten().map(|it| it.1.took);
        all.max().unwrap_or_default()
    }
}

/// Asks all of them everything at once.
pub fn observe(
    servers: &[SocketAddr],
    name: &Name,
    kinds: &[RecordType],
    transport: Transport,
    deadline: Instant,
) -> Vec<View> {
    let ask = |server: SocketAddr, kind: RecordType| {
        let answer = dns::ask(server, name, kind, transport, deadline)?;
        Ok((kind, answer))
    };
    let looks = servers
        .iter()
        .flat_map(|server| kinds.iter().map(|kind| (*server, *kind)));
    let mut answers: Vec<Result<_, Fault>> = match (servers, kinds) {
        ([server], [kind]) => vec![ask(*server, *kind)],
        _ => thread::scope(|scope| {
            let ask = &ask;
            let all: Vec<_> = looks
                .map(|(server, kind)| scope.spawn(move || ask(server, kind)))
                .collect();
            let ended = "the thread that asked it ended early";
            all.into_iter()
                .map(|it| {
                    it.join()
                        .unwrap_or_else(|_| Err(Fault::Me(anyhow::anyhow!(ended))))
                })
                .collect()
        }),
    };
    let mut views = Vec::new();
    for server in servers {
        let rest = answers.split_off(kinds.len().min(answers.len()));
        let mut said = std::mem::replace(&mut answers, rest);
        // Who answers for one type and not for another is told by the other.
        if said.iter().any(Result::is_ok) {
            for (it, kind) in said.iter_mut().zip(kinds) {
                if let Err(Fault::World { text, .. } | Fault::Late(text)) = it {
                    text.push_str(&format!(
                        ", asked for {} {}",
                        plain(name),
                        kind_shown(*kind)
                    ));
                }
            }
        }
        views.push(View {
            server: *server,
            said: said.into_iter().collect(),
        });
    }
    views
}

/// A server as people write it: without its port where that is the usual one.
pub fn shown(server: SocketAddr) -> String {
    match server.port() {
        53 => server.ip().to_string(),
        _ => server.to_string(),
    }
}

impl Dns {
    /// Asks the resolvers of `via`.
    pub fn ask_via(
        &self,
        cx: &Context,
        servers: &[SocketAddr],
        name: &Name,
    ) -> anyhow::Result<Outcome> {
        let transport = match self.tcp {
            true => Transport::Tcp,
            false => Transport::Udp,
        };
        self.judge_via(observe(
            servers,
            name,
            &self.kinds(),
            transport,
            cx.deadline,
        ))
    }

    pub fn judge_via(&self, views: Vec<View>) -> anyhow::Result<Outcome> {
        let total = views.len();
        let expected = Expected::read(self.expect.as_ref(), &self.kinds(), self.fit);
        let mut answers: Vec<(String, Said)> = Vec::new();
        let mut faults: Vec<(&'static str, String)> = Vec::new();
        let (mut late, mut bare, mut strays) = (Vec::new(), Vec::new(), Vec::new());
        let mut slowest = Duration::ZERO;
        for view in views {
            let server = shown(view.server);
            let took = view.took();
            let said = match view.said {
                Ok(said) => said,
                Err(Fault::World { code, text }) => {
                    faults.push((code, text));
                    continue;
                }
                Err(Fault::Late(text)) => {
                    late.push(text);
                    continue;
                }
                Err(Fault::Me(error)) => return Err(error),
            };
            slowest = slowest.max(took);
            if said.iter().any(|it| it.1.edns == Edns::No) {
                bare.push(server.clone());
            }
            match self.judge_one(&said, &expected) {
                Ok(values) => {
                    let others = said.iter().flat_map(|it| it.1.strays.iter().map(plain));
                    strays.extend(others.map(|it| {
                        format!("{server} also sends records of {it}, which it was not asked for")
                    }));
                    answers.push((server, values));
                }
                Err((code, line)) => faults.push((code, format!("{server} {line}"))),
            }
        }
        let host = self.subject();
        let groups = groups(&answers, &expected);
        // Of equally many, the first are as good as the others.
        let usual = groups.iter().rev().max_by_key(|it| it.1.len());
        let agree = match usual {
            Some((_, servers)) => servers.len(),
            None => 0,
        };
        let time = quantity::seconds(slowest.as_secs_f64());
        let of = match total {
            1 => String::new(),
            _ => format!("{agree} of {total} servers agree"),
        };
        let values = |said: &Said| match expected {
            Expected::NxDomain => "NXDOMAIN, as expected".to_owned(),
            Expected::NoData => "without record, as expected".to_owned(),
            _ => said.shown(),
        };
        let mut outcome = match usual {
            None => Outcome::default(),
            Some((said, _)) => {
                let of = Some(of.as_str()).filter(|it| !it.is_empty());
                let facts = [values(said), format!("in {time}")];
                let facts: Vec<&str> = facts.iter().map(String::as_str).chain(of).collect();
                Outcome::new(&format!("{host} is {}", facts.join(", ")))
            }
        };
        for (code, line) in faults {
            outcome.find(code, State::Critical, &line);
        }
        for text in late {
            outcome.find(crate::model::outcome::LATE, State::Critical, &text);
        }
        if let Some((usual, most)) = usual {
            for (said, servers) in groups.iter().filter(|it| it.0 != *usual) {
                let text = format!(
                    "{} {host} is {}, but {} {}; {of}",
                    saying(servers),
                    said.shown(),
                    saying(most),
                    usual.shown()
                );
                outcome.find("answers-differ", State::Warning, &text);
            }
        }
        if let [first, ..] = &bare[..] {
            let text = match &bare[..] {
                [_] => format!("{first} answers only without EDNS"),
                all => format!("{} answer only without EDNS", all.join(", ")),
            };
            outcome.find("no-edns", State::Ok, &text);
        }
        if slowest > Duration::ZERO {
            let limits = Limits::maybe(&self.time, 0.0);
            let metric = Metric::new("time", slowest.as_secs_f64(), Unit::Seconds).judged(limits);
            outcome.measure(metric, &format!("{host}: took {time}"));
        }
        outcome.note(Metric::new("servers", total as f64, Unit::None));
        outcome.note(Metric::new("ok", agree as f64, Unit::None).max(total as f64));
        for (server, said) in &answers {
            outcome.detail(&format!("{server}: {}", values(said)));
        }
        for line in strays {
            outcome.detail(&line);
        }
        Ok(outcome)
    }

    /// What a server's answers come to, or which finding they are.
    pub fn judge_one(
        &self,
        said: &[(RecordType, Answer)],
        expected: &Expected,
    ) -> Result<Said, (&'static str, String)> {
        let host = self.subject();
        for (kind, answer) in said {
            match answer.rcode {
                ResponseCode::NoError | ResponseCode::NXDomain => (),
                code => {
                    let code = read::rcode(code);
                    let kind = kind_shown(*kind);
                    return Err((
                        "server-failure",
                        format!("answers {code} for {host} {kind}"),
                    ));
                }
            }
        }
        let answer = together(said);
        let Err(miss) = expected.compare(&answer, self.fit) else {
            return Ok(answer);
        };
        Err(match miss {
            Miss::Wrong(expected) => (
                "wrong-answer",
                format!("says {host} is {}, expected {expected}", answer.shown()),
            ),
            Miss::NxDomain => ("nxdomain", format!("says {host} does not exist")),
            Miss::NoRecord => {
                let kinds: Vec<String> = said.iter().map(|it| kind_shown(it.0)).collect();
                let kinds = kinds.join(" or ");
                let others = said.iter().flat_map(|it| it.1.strays.iter().map(plain));
                let others: Vec<String> = others.collect();
                let others = match others.is_empty() {
                    true => String::new(),
                    false => format!(", but sends one of {}", others.join(", ")),
                };
                (
                    "no-record",
                    format!("has no {kinds} record for {host}{others}"),
                )
            }
        })
    }
}

/// Servers by what they say, in the order of the first of each; all of them together where it is said what the name
/// should be, and each has said that.
fn groups<'a>(answers: &'a [(String, Said)], expected: &Expected) -> Vec<(&'a Said, Vec<&'a str>)> {
    let mut groups: Vec<(&Said, Vec<&str>)> = Vec::new();
    for (server, said) in answers {
        let same =
            |it: &&mut (&Said, Vec<&str>)| !matches!(expected, Expected::Nothing) || it.0 == said;
        match groups.iter_mut().find(same) {
            Some(group) => group.1.push(server),
            None => groups.push((said, vec![server])),
        }
    }
    groups
}

/// "10.0.0.1 says" or "10.0.0.1, 10.0.0.2 say".
fn saying(servers: &[&str]) -> String {
    let verb = if servers.len() == 1 { "says" } else { "say" };
    format!("{} {verb}", servers.join(", "))
}

/// What a server's answers come to.
pub fn together(said: &[(RecordType, Answer)]) -> Said {
    let values = said.iter().flat_map(|(kind, answer)| {
        let fitting = answer.records.iter().filter(|it| it.kind == *kind);
        fitting.map(|it| it.value.clone())
    });
    Said {
        missing: said.iter().any(|it| it.1.rcode == ResponseCode::NXDomain),
        values: values.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn code(keys: &str, rcode: ResponseCode, values: &[&str]) -> &'static str {
        let check: Dns = toml::from_str(&format!(
            "host = 'www.example.jp'\nvia = '192.0.2.53'\n{keys}"
        ))
        .expect("a dns check");
        let records = values.iter().map(|it| dns::Record {
            kind: RecordType::A,
            value: (*it).to_owned(),
            ttl: 60,
        });
        let answer = Answer {
            rcode,
            records: records.collect(),
            strays: BTreeSet::new(),
            took: Duration::ZERO,
            edns: Edns::Yes,
        };
        let expected = Expected::read(check.expect.as_ref(), &check.kinds(), check.fit);
        let verdict = check.judge_one(&[(RecordType::A, answer)], &expected);
        verdict.err().map_or("", |it| it.0)
    }

    #[test]
    fn answers_are_judged_by_what_is_expected() {
        use ResponseCode::{NXDomain, NoError, ServFail};
        assert_eq!(code("expect = '192.0.2.1'", NoError, &["192.0.2.1"]), "");
        assert_eq!(
            code("expect = '192.0.2.1'", NoError, &["192.0.2.2"]),
            "wrong-answer"
        );
        assert_eq!(code("expect = 'NXDOMAIN'", NXDomain, &[]), "");
        assert_eq!(code("expect = 'NXDOMAIN'", NoError, &[]), "wrong-answer");
        assert_eq!(code("expect = 'NODATA'", NoError, &[]), "");
        assert_eq!(code("", NXDomain, &[]), "nxdomain");
        assert_eq!(code("", NoError, &[]), "no-record");
        assert_eq!(code("expect = 'NXDOMAIN'", ServFail, &[]), "server-failure");
    }
}
