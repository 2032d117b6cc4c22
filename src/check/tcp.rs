//! `tcp`: a port accepts connections and, where asked, answers as expected.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::model::limits::{Limits, Time};
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::pattern::Pattern;
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use crate::model::text;
use crate::net::dial::{Conn, dial};
use crate::net::hello;
use crate::net::tls::Offer;
use crate::net::{self, Family, Fault};
use serde::Deserialize;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const TYPE: Type = Type::of::<Tcp>(
    "tcp",
    &["host"],
    include_str!("../../checks/tcp.toml"),
    &[("time", Unit::Seconds)],
    &[CODES, net::CODES, net::trust::CODES],
);

const CODES: &[Code] = &[
    code("time", "by limits", "It took longer than `time` allows."),
    code(
        "unexpected",
        "CRITICAL",
        "The peer answered something that `expect` does not find.",
    ),
];

/// A TCP port accepts connections; optionally it speaks TLS and answers as expected.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Tcp {
    /// The machine, as `HOST` or `HOST:PORT`; IPv6 as `[::1]:25` or `[fe80::1%eth0]:25`.
    host: String,
    /// The port, when it does not stand in `host`.
    port: Option<u16>,
    /// Sent once the connection stands; write `\r\n` where the protocol wants it.
    send: Option<String>,
    /// What the answer must contain.
    expect: Option<Pattern>,
    /// Speak TLS; the certificate must be valid for the host.
    #[serde(default)]
    tls: bool,
    /// Whether the certificate must be valid. Default: `true`.
    verify: Option<bool>,
    /// Trust the root certificates of this file instead of the system's.
    ca: Option<PathBuf>,
    /// Limits of the time until all is done.
    time: Option<Limits<Time>>,
    /// `"ipv4"` or `"ipv6"` alone. Default: both.
    #[serde(default)]
    family: Family,
}

/// How much of an answer is looked at.
const MOST: usize = 64 << 10;

/// What was seen.
struct Seen {
    who: String,
    took: Duration,
    /// The answer as far as it was read, when one was expected.
    answer: Option<(Vec<u8>, bool)>,
    passed_over: Vec<String>,
}

impl Check for Tcp {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        match self.observe(cx) {
            Ok(seen) => Ok(self.judge(&seen)),
            Err(fault) => fault.outcome(),
        }
    }

    fn privileged(&self) -> Option<&'static str> {
        self.ca.as_ref().map(|_| "which files root reads")
    }

    fn flaws(&self) -> Vec<Flaw> {
        let port = net::port_flaw(&self.host, self.port, None).map(|it| flaw("host", it));
        let tls = (!self.tls && (self.verify.is_some() || self.ca.is_some()))
            .then(|| flaw("tls", "`verify` and `ca` mean nothing without `tls = true`"));
        port.into_iter().chain(tls).collect()
    }
}

impl Tcp {
    fn observe(&self, cx: &Context) -> Result<Seen, Fault> {
        let start = Instant::now();
        let (host, port) = net::split_port(&self.host);
        let port = port.or(self.port).unwrap_or_default();
        let addresses = net::resolve(host, port, self.family, cx.deadline)?;
        let dialled = dial(&addresses, cx.deadline)?;
        let who = dialled.peer.to_string();
        let mut conn = match self.tls {
            false => Conn::Plain(dialled.stream),
            true => {
                let host = net::without_zone(host);
                let shaken = net::tls::handshake(dialled.stream, host, &who, &Offer::default());
                let (stream, peer) = shaken.map_err(|failed| match failed.is_strange {
                    false => failed.fault,
                    true => hello::explain(failed.fault, host, &who, || {
                        dial(&[dialled.peer], cx.deadline).map(|it| it.stream)
                    }),
                })?;
                if self.verify != Some(false) {
                    cx.accept(&peer, host, self.ca.as_deref())?;
                }
                Conn::Tls(Box::new(stream))
            }
        };
        if let Some(send) = &self.send {
            conn.write_all(send.as_bytes())
                .and_then(|()| conn.flush())
                .map_err(|it| net::fault(&it, &who, "sending"))?;
        }
        let answer = match &self.expect {
            None => None,
            Some(expect) => Some(answer(&mut conn, expect, &who)?),
        };
        Ok(Seen {
            who,
            took: start.elapsed(),
            answer,
            passed_over: dialled.passed_over,
        })
    }

    fn judge(&self, seen: &Seen) -> Outcome {
        let took = seen.took.as_secs_f64();
        let shown = quantity::seconds(took);
        let answered = match &seen.answer {
            Some((bytes, true)) => format!(", answers \"{}\"", quoted(bytes)),
            _ => String::new(),
        };
        let mut outcome = Outcome::new(&format!("{} is open in {shown}{answered}", seen.who));
        if let Some((bytes, false)) = &seen.answer {
            let expected = self.expect.as_ref().map_or("", Pattern::as_str);
            let line = match bytes.is_empty() {
                true => format!("{} says nothing, expected /{expected}/", seen.who),
                false => format!(
                    "{} says \"{}\", expected /{expected}/",
                    seen.who,
                    quoted(bytes)
                ),
            };
            outcome.find("unexpected", State::Critical, &line);
        }
        let metric = Metric::new("time", took, Unit::Seconds);
        let limits = Limits::maybe(&self.time, 0.0);
        outcome.measure(metric.judged(limits), &format!("{} took {shown}", seen.who));
        for line in &seen.passed_over {
            outcome.detail(line);
        }
        outcome
    }
}

fn quoted(bytes: &[u8]) -> String {
    text::excerpt(&String::from_utf8_lossy(bytes), 80)
}

/// Reads until the answer is as expected, ends, or is too long; with the verdict.
fn answer(conn: &mut Conn, expect: &Pattern, who: &str) -> Result<(Vec<u8>, bool), Fault> {
    let regex = expect.regex().map_err(Fault::Me)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match conn.read(&mut buffer) {
            Ok(0) => return Ok((bytes, false)),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            // Many servers hang up without the word with which TLS ends.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Ok((bytes, false));
            }
            Err(error) => {
                let doing = match bytes.is_empty() {
                    true => "waiting for its answer".to_owned(),
                    false => format!("so far it says \"{}\"", quoted(&bytes)),
                };
                return Err(net::fault(&error, who, &doing));
            }
        }
        if regex.is_match(&bytes) {
            return Ok((bytes, true));
        }
        if bytes.len() > MOST {
            return Ok((bytes, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(keys: &str) -> Tcp {
        toml::from_str(keys).expect("a tcp check")
    }

    fn seen(answer: Option<(&[u8], bool)>) -> Seen {
        Seen {
            who: "192.0.2.1:25".to_owned(),
            took: Duration::from_millis(1500),
            answer: answer.map(|(bytes, good)| (bytes.to_vec(), good)),
            passed_over: vec![],
        }
    }

    #[test]
    fn slow_is_judged_by_its_limits() {
        let check = tcp("host = 'h:25'\ntime = '1s,3s'");
        let outcome = check.judge(&seen(None));
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "192.0.2.1:25 took 1.5 s");
    }

    #[test]
    fn an_unexpected_answer_is_shown() {
        let check = tcp("host = 'h'\nport = 25\nexpect = '^220 '");
        let outcome = check.judge(&seen(Some((b"554 no | service\r\n", false))));
        assert_eq!(outcome.state(), State::Critical);
        assert!(outcome.line().contains("says \"554 no ¦ service\""));
    }

    #[test]
    fn keys_that_contradict_each_other_are_flaws() {
        assert_eq!(tcp("host = 'h:1'\nport = 2").flaws().len(), 1);
        assert_eq!(tcp("host = 'h'").flaws().len(), 1);
        assert_eq!(tcp("host = 'h:1'\nca = 'x'").flaws().len(), 1);
        assert!(
            tcp("host = 'h:1'\ntls = true\nverify = false")
                .flaws()
                .is_empty()
        );
    }
}
