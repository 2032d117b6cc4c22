//! The simple case: these resolvers are asked, and answer what they should.

use super::Dns;
use super::expected::{Expected, Miss, Said, canonical};
use crate::check::Context;
use crate::model::limits::Limits;
use crate::model::metric::Metric;
use crate::model::outcome::Outcome;
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use crate::net::Fault;
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
    pub took: Duration,
}

/// Asks all of them at once.
pub fn observe(
    servers: &[SocketAddr],
    name: &Name,
    kinds: &[RecordType],
    transport: Transport,
    deadline: Instant,
) -> Vec<View> {
    let look = |server: &SocketAddr| {
        let start = Instant::now();
        let ask = |kind: &RecordType| {
            let answer = dns::ask(*server, name, *kind, transport, deadline)?;
            Ok((*kind, answer))
        };
        View {
            server: *server,
            said: kinds.iter().map(ask).collect(),
            took: start.elapsed(),
        }
    };
    match servers {
        [one] => vec![look(one)],
        many => thread::scope(|scope| {
            let looks: Vec<_> = many
                .iter()
                .map(|it| scope.spawn(move || look(it)))
                .collect();
            looks.into_iter().filter_map(|it| it.join().ok()).collect()
        }),
    }
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
        let mut answers = Vec::new();
        let mut faults: Vec<(&'static str, String)> = Vec::new();
        let mut late = None;
        let mut slowest = Duration::ZERO;
        for view in views {
            let server = shown(view.server);
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
        let host = self.subject();
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
    pub fn judge_one(
        &self,
        said: &[(RecordType, Answer)],
    ) -> Result<String, (&'static str, String)> {
        let host = self.subject();
        for (kind, answer) in said {
            match answer.rcode {
                ResponseCode::NoError | ResponseCode::NXDomain => (),
                code => {
                    let code = read::rcode(code);
                    return Err((
                        "server-failure",
                        format!("answers {code} for {host} {kind}"),
                    ));
                }
            }
        }
        let answer = together(said);
        let expected = Expected::read(self.expect.as_ref());
        let Err(miss) = expected.compare(&answer, self.fit) else {
            return Ok(match expected {
                Expected::NxDomain => "NXDOMAIN, as expected".to_owned(),
                Expected::NoData => "without record, as expected".to_owned(),
                _ => answer.shown(),
            });
        };
        Err(match miss {
            Miss::Wrong(expected) => (
                "wrong-answer",
                format!("says {host} is {}, expected {expected}", answer.shown()),
            ),
            Miss::NxDomain => ("nxdomain", format!("says {host} does not exist")),
            Miss::NoRecord => {
                let kinds: Vec<String> = said.iter().map(|it| it.0.to_string()).collect();
                let kinds = kinds.join(" or ");
                ("no-record", format!("has no {kinds} record for {host}"))
            }
        })
    }
}

/// What a server's answers come to.
pub fn together(said: &[(RecordType, Answer)]) -> Said {
    let values = said.iter().flat_map(|(kind, answer)| {
        let fitting = answer.records.iter().filter(|it| it.kind == *kind);
        fitting.map(|it| canonical(&it.value))
    });
    Said {
        missing: said.iter().any(|it| it.1.rcode == ResponseCode::NXDomain),
        values: values.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        };
        let verdict = check.judge_one(&[(RecordType::A, answer)]);
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
