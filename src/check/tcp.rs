//! `tcp`: a port accepts connections and, where asked, answers as expected.

use crate::check::{Check, Context, Flaw, READS, Type, flaw};
use crate::model::limits::{Limits, Time};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::pattern::Pattern;
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use crate::model::text;
use crate::net::detour::{self, Wish};
use crate::net::dial::{Conn, dial};
use crate::net::tls::{Offer, Peer};
use crate::net::{self, Family, Fault};
use serde::Deserialize;
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
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
        "The peer answered something in which `expect`, or one of `dialogue`, is not found.",
    ),
];

/// A TCP port accepts connections; optionally it speaks TLS and answers as expected.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Tcp {
    /// The machine, as `HOST` or `HOST:PORT`; IPv6 as `[::1]:25` or `[fe80::1%eth0]:25`.
    host: String,
    /// The port, when it does not stand in `host`.
    port: Option<u16>,
    /// Sent once the connection stands; write `\r\n` where the protocol wants it. Where `expect` begins with 220, the greeting of SMTP and FTP, it is sent after that.
    send: Option<String>,
    /// What the answer must contain; `^` and `$` are the ends of a line.
    expect: Option<Expect>,
    /// What is said in turn, for servers that greet first or want to hear more: `[{ expect = "^220 " }, { send = "QUIT\r\n" }, { expect = "^221 " }]`. Nothing is sent before what comes first was found, nor into an answer that goes on, as `220-` does.
    dialogue: Option<List<Step>>,
    /// Speak TLS; the certificate must be valid for the host.
    #[serde(default)]
    tls: bool,
    /// Whether the certificate must be valid. Default: `true`.
    verify: Option<bool>,
    /// Trust the root certificates of this file instead of the system's.
    ca: Option<PathBuf>,
    /// An old device: where its TLS is too old for koshu, the host's `openssl s_client` makes the connection.
    #[serde(default)]
    legacy: bool,
    /// Limits of the time until all is done.
    time: Option<Limits<Time>>,
    /// `"ipv4"` or `"ipv6"` alone. Default: both.
    #[serde(default)]
    family: Family,
}

/// How much of an answer is looked at.
const MOST: usize = 64 << 10;

/// A text that a line of an answer must contain.
#[derive(Clone, Debug)]
struct Expect {
    /// As the list wrote it.
    shown: String,
    pattern: Arc<Pattern>,
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Expect, D::Error> {
        let shown = Pattern::deserialize(from)?.as_str().to_owned();
        // What is right in the middle of an answer is right: protocols answer in lines, which end in CRLF or LF.
        let pattern = format!("(?mR){shown}").parse();
        let pattern = Arc::new(pattern.map_err(serde::de::Error::custom)?);
        Ok(Expect { shown, pattern })
    }
}

impl schemars::JsonSchema for Expect {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Pattern::schema_name()
    }

    fn inline_schema() -> bool {
        Pattern::inline_schema()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Pattern::json_schema(generator)
    }
}

impl Expect {
    /// Whether it is what servers say that speak first: 220 of SMTP (RFC 5321, section 4.2) and FTP (RFC 959).
    fn is_greeting(&self) -> bool {
        let text = self.shown.trim_start_matches(['^', '(']);
        text.starts_with("220")
    }
}

/// One step of a dialogue.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "StepTable")]
#[schemars(with = "StepTable")]
enum Step {
    Send(String),
    Expect(Expect),
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct StepTable {
    /// What is sent.
    send: Option<String>,
    /// What must come before the next step.
    expect: Option<Expect>,
}

impl TryFrom<StepTable> for Step {
    type Error = String;

    fn try_from(table: StepTable) -> Result<Step, String> {
        match (table.send, table.expect) {
            (Some(text), None) => Ok(Step::Send(text)),
            (None, Some(expect)) => Ok(Step::Expect(expect)),
            _ => Err("each step has exactly one of `send` and `expect`".to_owned()),
        }
    }
}

/// What was seen.
struct Seen {
    who: String,
    took: Duration,
    /// What the peer said last.
    said: Vec<u8>,
    /// What was not found in it, and in which step of how many.
    missed: Option<(String, usize, usize)>,
    passed_over: Vec<String>,
    /// Who made the TLS, where it was not koshu.
    by: Option<String>,
}

impl Check for Tcp {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        match self.observe(cx) {
            Ok(seen) => Ok(self.judge(&seen)),
            Err(fault) => fault.outcome(),
        }
    }

    fn privileged(&self) -> Option<&'static str> {
        self.ca.as_ref().map(|_| READS)
    }

    fn spawns(&self) -> bool {
        self.legacy
    }

    fn flaws(&self) -> Vec<Flaw> {
        let port = net::port_flaw(&self.host, self.port, None).map(|it| flaw("host", it));
        let useless = self.verify.is_some() || self.ca.is_some() || self.legacy;
        let tls = (!self.tls && useless).then(|| {
            let message = "`verify`, `ca` and `legacy` mean nothing without `tls = true`";
            flaw("tls", message)
        });
        let twice = (self.dialogue.is_some() && (self.send.is_some() || self.expect.is_some()))
            .then(|| {
                flaw(
                    "dialogue",
                    "`send` and `expect` are steps of the `dialogue`",
                )
            });
        port.into_iter().chain(tls).chain(twice).collect()
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
        let mut by = None;
        let conn = match self.tls {
            false => Conn::Plain(dialled.stream),
            true => {
                let judge = |peer: &Peer, name: &str| match self.verify {
                    Some(false) => Ok(()),
                    _ => cx.accept(peer, name, self.ca.as_deref()),
                };
                let detour = cx.detour();
                let wish = Wish {
                    name: net::without_zone(host),
                    who: &who,
                    offer: &Offer::default(),
                    judge: &judge,
                    detour: self.legacy.then_some(&*detour),
                };
                let again = || dial(&[dialled.peer], cx.deadline).map(|it| it.stream);
                let (conn, peer) =
                    detour::secure(dialled.stream, Some(dialled.peer), &wish, again)?;
                by = peer.made_by();
                conn
            }
        };
        let mut talk = Talk {
            conn,
            who: &who,
            heard: Vec::new(),
            at: 0,
            before: Vec::new(),
        };
        let steps = self.steps();
        let mut missed = None;
        for (index, step) in steps.iter().enumerate() {
            match step {
                Step::Send(text) => talk.say(text)?,
                Step::Expect(expect) => {
                    let speaks = matches!(steps.get(index + 1), Some(Step::Send(_)));
                    let next = if speaks { Next::Speak } else { Next::Listen };
                    if !talk.hears(expect, next)? {
                        missed = Some((expect.shown.clone(), index + 1, steps.len()));
                        break;
                    }
                }
            }
        }
        Ok(Seen {
            said: match talk.heard.is_empty() && missed.is_none() {
                true => talk.before,
                false => talk.heard,
            },
            who,
            took: start.elapsed(),
            missed,
            passed_over: dialled.passed_over,
            by,
        })
    }

    /// What is said in turn.
    fn steps(&self) -> Vec<Step> {
        if let Some(List(steps)) = &self.dialogue {
            return steps.clone();
        }
        let send = self.send.clone().map(Step::Send);
        let expect = self.expect.clone().map(Step::Expect);
        match &self.expect {
            Some(it) if it.is_greeting() => expect.into_iter().chain(send).collect(),
            _ => send.into_iter().chain(expect).collect(),
        }
    }

    fn judge(&self, seen: &Seen) -> Outcome {
        let took = seen.took.as_secs_f64();
        let shown = quantity::seconds(took);
        let said = quoted(&seen.said);
        let answered = match said.is_empty() {
            true => String::new(),
            false => format!(", answers \"{said}\""),
        };
        let by = seen.by.iter().map(|it| format!(", {it}"));
        let by: String = by.collect();
        let mut outcome = Outcome::new(&format!("{} is open in {shown}{answered}{by}", seen.who));
        if let Some((expected, step, steps)) = &seen.missed {
            let said = match said.is_empty() {
                true => "says nothing".to_owned(),
                false => format!("says \"{said}\""),
            };
            let place = match self.dialogue {
                Some(_) => format!(" (step {step} of {steps})"),
                None => String::new(),
            };
            let line = format!("{} {said}, expected /{expected}/{place}", seen.who);
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

/// A connection and what was heard on it.
struct Talk<'t> {
    conn: Conn,
    who: &'t str,
    /// What the peer said since it was last spoken to.
    heard: Vec<u8>,
    /// How much of that was expected already.
    at: usize,
    /// What it had said before.
    before: Vec<u8>,
}

/// What follows an answer.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    /// We speak, and therefore let the peer finish.
    Speak,
    Listen,
}

impl Talk<'_> {
    fn say(&mut self, text: &str) -> Result<(), Fault> {
        if !self.heard.is_empty() {
            self.before = std::mem::take(&mut self.heard);
        }
        self.at = 0;
        let sent = self.conn.write_all(text.as_bytes());
        let sent = sent.and_then(|()| self.conn.flush());
        sent.map_err(|it| net::fault(&it, self.who, "sending"))
    }

    /// Reads until the answer is as expected, ends, or is too long; whether it is.
    fn hears(&mut self, expect: &Expect, next: Next) -> Result<bool, Fault> {
        let regex = expect.pattern.regex().map_err(Fault::Me)?;
        loop {
            let found = regex.find_at(&self.heard, self.at);
            let found = found.map(|it| (it.start(), it.end()));
            if let Some((begin, end)) = found
                && (next == Next::Listen || is_finished(&self.heard, begin))
            {
                self.at = end;
                return Ok(true);
            }
            if self.heard.len() - self.at > MOST || !self.listen()? {
                self.at = self.heard.len();
                return Ok(found.is_some());
            }
        }
    }

    /// Reads what comes; false where the peer has no more to say.
    fn listen(&mut self) -> Result<bool, Fault> {
        let mut buffer = [0; 4096];
        loop {
            match self.conn.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.heard.extend_from_slice(&buffer[..count]);
                    return Ok(true);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    // Many servers hang up without the word with which TLS ends.
                    ErrorKind::UnexpectedEof => return Ok(false),
                    _ => {
                        let doing = match self.heard.is_empty() {
                            true => "waiting for its answer".to_owned(),
                            false => format!("so far it says \"{}\"", quoted(&self.heard)),
                        };
                        return Err(net::fault(&error, self.who, &doing));
                    }
                },
            }
        }
    }
}

/// Whether the reply of which a part begins at `at` is whole. One whose lines begin with `250-` goes on to the line with
/// the same number and no `-` (RFC 5321, section 4.2.1; RFC 959, section 4.2); of all others nobody knows.
fn is_finished(heard: &[u8], at: usize) -> bool {
    let line = heard[..at].iter().rposition(|it| *it == b'\n');
    let mut lines = heard[line.map_or(0, |it| it + 1)..].split(|it| *it == b'\n');
    let first = lines.next().unwrap_or_default();
    let is_code = first.len() >= 3 && first[..3].iter().all(u8::is_ascii_digit);
    match first.get(3) {
        Some(b'-') if is_code => {
            lines.any(|it| it.starts_with(&first[..3]) && it.get(3) != Some(&b'-') && it.len() > 3)
        }
        // The next byte says whether more lines follow.
        None => !is_code,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(keys: &str) -> Tcp {
        toml::from_str(keys).expect("a tcp check")
    }

    fn seen(said: &[u8], missed: Option<&str>) -> Seen {
        Seen {
            who: "192.0.2.1:25".to_owned(),
            took: Duration::from_millis(1500),
            said: said.to_vec(),
            missed: missed.map(|it| (it.to_owned(), 2, 3)),
            passed_over: vec![],
            by: None,
        }
    }

    #[test]
    fn slow_is_judged_by_its_limits() {
        let check = tcp("host = 'h:25'\ntime = '1s,3s'");
        let outcome = check.judge(&seen(b"", None));
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "192.0.2.1:25 took 1.5 s");
    }

    #[test]
    fn an_unexpected_answer_is_shown() {
        let check = tcp("host = 'h'\nport = 25\nexpect = '^220 '");
        let outcome = check.judge(&seen(b"554 no | service\r\n", Some("^220 ")));
        assert_eq!(outcome.state(), State::Critical);
        assert!(outcome.line().contains("says \"554 no ¦ service\""));
        let check = tcp("host = 'h:1'\ndialogue = [{ expect = '^220 ' }]");
        let outcome = check.judge(&seen(b"", Some("^250 ")));
        let line = "192.0.2.1:25 says nothing, expected /^250 / (step 2 of 3)";
        assert_eq!(outcome.line(), line);
    }

    #[test]
    fn replies_of_several_lines_end_at_the_same_code() {
        for whole in [
            "220 mail\r\n",
            "220 ",
            "220-a\r\n220 b",
            "230-a\r\n 230- x\r\n220 y\r\n230 b\r\n",
            "* OK ready",
            "login: ",
            "",
        ] {
            assert!(is_finished(whole.as_bytes(), 0), "{whole:?}");
        }
        for part in [
            "220-a\r\n",
            "220",
            "220-a\r\n220",
            "220-a\r\n221 b\r\n",
            "220-a\r\n220-b\r\n",
        ] {
            assert!(!is_finished(part.as_bytes(), 0), "{part:?}");
        }
        assert!(is_finished(b"220-a\r\n220 b\r\n", 7));
    }

    #[test]
    fn a_greeting_is_waited_for_before_anything_is_sent() {
        let first = |keys: &str| tcp(&format!("host = 'h:1'\n{keys}")).steps().swap_remove(0);
        let smtp = "send = 'QUIT'\nexpect = '^220[ -]'";
        assert!(matches!(first(smtp), Step::Expect(_)));
        assert!(matches!(
            first("send = 'PING'\nexpect = 'PONG'"),
            Step::Send(_)
        ));
    }

    #[test]
    fn keys_that_contradict_each_other_are_flaws() {
        assert_eq!(tcp("host = 'h:1'\nport = 2").flaws().len(), 1);
        assert_eq!(tcp("host = 'h'").flaws().len(), 1);
        assert_eq!(tcp("host = 'h:1'\nca = 'x'").flaws().len(), 1);
        let both = "host = 'h:1'\nsend = 'x'\ndialogue = [{ send = 'y' }]";
        assert_eq!(tcp(both).flaws().len(), 1);
        for bad in ["{}", "{ send = 'a', expect = 'b' }", "{ say = 'a' }"] {
            assert!(toml::from_str::<Tcp>(&format!("host = 'h:1'\ndialogue = [{bad}]")).is_err());
        }
        assert!(
            tcp("host = 'h:1'\ntls = true\nverify = false")
                .flaws()
                .is_empty()
        );
    }
}
