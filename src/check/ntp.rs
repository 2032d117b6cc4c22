//! `ntp`: this machine's clock agrees with a time server, which itself knows the time (SNTP, RFC 5905).

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::model::limits::{Count, Judges, Limits, Old, Time};
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::{self, Unit};
use crate::model::range::Range;
use crate::model::state::State;
use crate::net::{self, Family, Fault};
use serde::Deserialize;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

pub const TYPE: Type = Type::of::<Ntp>(
    "ntp",
    &["host"],
    include_str!("../../checks/ntp.toml"),
    &[
        ("offset", Unit::Seconds),
        ("delay", Unit::Seconds),
        ("stratum", Unit::None),
        ("age", Unit::Seconds),
    ],
    &[CODES, net::CODES],
);

const CODES: &[Code] = &[
    code(
        "offset",
        "by limits",
        "This machine's clock and the server's differ: look whether the time service runs here, then at other servers to see whose fault it is.",
    ),
    code(
        "stratum",
        "by limits",
        "The server is too far away from a clock that keeps time itself.",
    ),
    code(
        "age",
        "by limits",
        "The server has not heard from its own source for too long.",
    ),
    code(
        "unsynchronized",
        "CRITICAL",
        "The server says itself that it does not know the time.",
    ),
    code(
        "kiss",
        "CRITICAL",
        "The server refuses to serve (kiss-o'-death, RFC 5905 section 7.4).",
    ),
    code("malformed", "CRITICAL", "The answer is no NTP."),
];

/// This machine's clock agrees with a time server's, and the server knows the time itself. Of several answers, the one with the shortest way counts.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Ntp {
    /// The server, as `HOST` or `HOST:PORT`.
    host: String,
    /// The port, when it does not stand in `host`. Default: 123.
    port: Option<u16>,
    /// Limits of the difference, in either direction. Default: `"1s,10s"`.
    offset: Option<Limits<Time>>,
    /// Limits of how many servers stand between it and a clock that keeps time itself.
    stratum: Option<Limits<Count>>,
    /// Limits of the time since the server last heard from its own source.
    age: Option<Limits<Old>>,
    /// `"ipv4"` or `"ipv6"` alone. Default: both.
    #[serde(default)]
    family: Family,
}

/// The port of NTP (RFC 5905 section 7.2).
const PORT: u16 = 123;
/// How many answers are wanted; servers limit how many they give.
const ANSWERS: usize = 4;
/// How long is waited for one of them, once the first has come.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long is waited before a question that has got no answer is asked again.
const AGAIN: Duration = Duration::from_secs(2);
/// The length of a packet without extensions.
const PACKET: usize = 48;

/// Seconds in units of 2⁻³², as NTP counts them: since 1900 and beginning anew every 136 years, so that only
/// differences mean something.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stamp(u64);

impl Stamp {
    /// Seconds from 1900 to 1970.
    const EPOCH: u64 = 2_208_988_800;

    fn of(at: SystemTime) -> Stamp {
        let since = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = since.as_secs().wrapping_add(Stamp::EPOCH);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        Stamp((seconds << 32) | fraction)
    }

    /// Seconds from an earlier moment.
    fn since(self, earlier: Stamp) -> f64 {
        self.0.wrapping_sub(earlier.0) as i64 as f64 / 4_294_967_296.0
    }
}

/// What a server said.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Answer {
    leap: u8,
    stratum: u8,
    /// Of stratum 0, why it refuses, in four letters.
    reference_id: [u8; 4],
    /// When its own clock was last set.
    reference: Stamp,
    /// What was asked.
    originate: Stamp,
    receive: Stamp,
    transmit: Stamp,
}

/// RFC 5905 section 7.3.
fn parse(bytes: &[u8]) -> Option<Answer> {
    const SERVER: u8 = 4;
    let packet = bytes.get(..PACKET)?;
    let stamp = |at: usize| {
        let bytes: [u8; 8] = packet.get(at..at + 8)?.try_into().ok()?;
        Some(Stamp(u64::from_be_bytes(bytes)))
    };
    (packet[0] & 0b111 == SERVER).then_some(Answer {
        leap: packet[0] >> 6,
        stratum: packet[1],
        reference_id: packet[12..16].try_into().ok()?,
        reference: stamp(16)?,
        originate: stamp(24)?,
        receive: stamp(32)?,
        transmit: stamp(40)?,
    })
}

/// A question of a client of version 4.
fn question(now: Stamp) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[0] = (4 << 3) | 3;
    packet[40..].copy_from_slice(&now.0.to_be_bytes());
    packet
}

/// One answer with what it says about the clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    answer: Answer,
    /// How far the server is ahead, in seconds.
    offset: f64,
    /// How long the way there and back took, in seconds.
    delay: f64,
}

impl Sample {
    fn of(answer: Answer, back: Stamp) -> Sample {
        let out = answer.receive.since(answer.originate);
        let home = answer.transmit.since(back);
        let whole = back.since(answer.originate);
        Sample {
            answer,
            offset: (out + home) / 2.0,
            delay: (whole - answer.transmit.since(answer.receive)).max(0.0),
        }
    }
}

impl Check for Ntp {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        match self.observe(cx) {
            Ok((who, sample)) => Ok(self.judge(&who, &sample, Stamp::of(cx.now))),
            Err(fault) => fault.outcome(),
        }
    }

    fn flaws(&self) -> Vec<Flaw> {
        let port = net::port_flaw(&self.host, self.port, Some(PORT));
        port.map(|it| flaw("host", it)).into_iter().collect()
    }
}

impl Ntp {
    /// The answer with the shortest way, of the first address that answers.
    fn observe(&self, cx: &Context) -> Result<(String, Sample), Fault> {
        let (host, port) = net::split_port(&self.host);
        let port = port.or(self.port).unwrap_or(PORT);
        let addresses = net::resolve(host, port, self.family, cx.deadline)?;
        let mut last = None;
        for (index, address) in addresses.iter().enumerate() {
            // What is left is shared among the addresses that are left.
            let share = net::left(cx.deadline) / (addresses.len() - index) as u32;
            match ask(*address, Instant::now() + share, cx) {
                Ok(sample) => return Ok((address.to_string(), sample)),
                Err(fault) => last = Some(fault),
            }
        }
        Err(last.unwrap_or_else(|| Fault::Late("no address".to_owned())))
    }

    fn judge(&self, who: &str, sample: &Sample, now: Stamp) -> Outcome {
        let Sample {
            answer,
            offset,
            delay,
        } = *sample;
        if answer.stratum == 0 && answer.leap != 3 {
            let code = String::from_utf8_lossy(&answer.reference_id)
                .trim_end_matches('\0')
                .to_owned();
            let line = format!("{who} refuses to tell the time ({code})");
            return Outcome::of("kiss", State::Critical, &line);
        }
        let clock = match offset {
            it if it.abs() < 0.0005 => format!("this clock and that of {who} agree"),
            it if it > 0.0 => format!("this clock is {} behind {who}", quantity::seconds(it)),
            it => format!("this clock is {} ahead of {who}", quantity::seconds(-it)),
        };
        let mut outcome = Outcome::new(&format!("{clock}, stratum {}", answer.stratum));
        if answer.leap == 3 || answer.stratum > 15 {
            let line = format!("{who} says that it does not know the time");
            outcome.find("unsynchronized", State::Critical, &line);
        }
        let default = "1s,10s".parse::<Limits<Time>>().ok();
        let limits = if self.offset.is_some() {
            &self.offset
        } else {
            &default
        };
        let limits = either_way(Limits::maybe(limits, 0.0));
        let metric = Metric::new("offset", micro(offset), Unit::Seconds).signed();
        outcome.measure(metric.judged(limits), &clock);
        outcome.note(Metric::new("delay", micro(delay), Unit::Seconds));
        let metric = Metric::new("stratum", f64::from(answer.stratum), Unit::None);
        let line = format!("{who} has stratum {}", answer.stratum);
        outcome.measure(metric.judged(Limits::maybe(&self.stratum, 0.0)), &line);
        if answer.reference.0 != 0 {
            let age = now.since(answer.reference) + offset;
            let metric = Metric::new("age", age.max(0.0).round(), Unit::Seconds);
            let line = format!(
                "{who} has not heard from its own source for {}",
                quantity::seconds(age.max(0.0))
            );
            outcome.measure(metric.judged(Limits::maybe(&self.age, 0.0)), &line);
        }
        outcome
    }
}

fn micro(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// Limits of a difference hold in both directions.
fn either_way(limits: Judges) -> Judges {
    let both = |ranges: Vec<Range>| {
        let both = |it: Range| match it.start == 0.0 && !it.inside {
            true => Range {
                start: -it.end,
                ..it
            },
            false => it,
        };
        ranges.into_iter().map(both).collect()
    };
    Judges {
        warn: both(limits.warn),
        crit: both(limits.crit),
    }
}

/// Asks one address until it has answered often enough.
fn ask(address: SocketAddr, until: Instant, cx: &Context) -> Result<Sample, Fault> {
    let who = address.to_string();
    let told = |error: &std::io::Error| net::fault(error, &who, "waiting for its answer");
    let any = match address {
        SocketAddr::V4(_) => "0.0.0.0:0",
        SocketAddr::V6(_) => "[::]:0",
    };
    let socket = UdpSocket::bind(any).map_err(|it| told(&it))?;
    socket.connect(address).map_err(|it| told(&it))?;
    let begin = Instant::now();
    // The wall clock is read once; that it is set meanwhile changes nothing.
    let now = || Stamp::of(cx.now + begin.elapsed());
    let mut best: Option<Sample> = None;
    let mut malformed = false;
    for _ in 0..ANSWERS {
        let sent = now();
        socket.send(&question(sent)).map_err(|it| told(&it))?;
        let patience = if best.is_some() { PATIENCE } else { AGAIN };
        let wait = Instant::now() + patience;
        match hear(&socket, sent, wait.min(until), &now) {
            Ok(Some(sample)) => {
                best = best.filter(|it| it.delay <= sample.delay).or(Some(sample));
                if sample.answer.stratum == 0 {
                    break;
                }
            }
            Ok(None) => malformed = true,
            Err(error) => match (net::fault(&error, &who, "waiting for its answer"), best) {
                // Whoever has answered once is not silent.
                (Fault::Late(_), Some(_)) => break,
                (Fault::Late(_), None) if Instant::now() < until => (),
                (fault, None) => return Err(fault),
                (_, Some(_)) => break,
            },
        }
        if Instant::now() >= until {
            break;
        }
    }
    match (best, malformed) {
        (Some(best), _) => Ok(best),
        (None, true) => Err(Fault::world(
            "malformed",
            format!("{who} answers, but not in NTP"),
        )),
        (None, false) => Err(Fault::Late(format!("{who}: no answer in time"))),
    }
}

/// The answer to the question of a moment; `None` for something else.
fn hear(
    socket: &UdpSocket,
    sent: Stamp,
    until: Instant,
    now: &dyn Fn() -> Stamp,
) -> std::io::Result<Option<Sample>> {
    let mut buffer = [0; 512];
    let mut other = false;
    loop {
        let left = net::left(until);
        if left.is_zero() {
            return match other {
                true => Ok(None),
                false => Err(std::io::ErrorKind::TimedOut.into()),
            };
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(count) => {
                let back = now();
                match parse(&buffer[..count]) {
                    Some(answer) if answer.originate == sent => {
                        return Ok(Some(Sample::of(answer, back)));
                    }
                    // A late answer to an earlier question, or a stranger's.
                    Some(_) => (),
                    None => other = true,
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => (),
            Err(error)
                if other
                    && matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Stamp {
        Stamp((seconds * 4_294_967_296.0) as u64)
    }

    fn sample(offset: f64) -> Sample {
        // The way takes 20 ms in each direction, the server 10 ms.
        let answer = Answer {
            leap: 0,
            stratum: 2,
            reference_id: *b"GPS\0",
            reference: at(900.0 + offset),
            originate: at(1000.0),
            receive: at(1000.02 + offset),
            transmit: at(1000.03 + offset),
        };
        Sample::of(answer, at(1000.05))
    }

    fn judged(keys: &str, sample: &Sample) -> Outcome {
        let check: Ntp = toml::from_str(&format!("host = 'h'\n{keys}")).expect("an ntp check");
        check.judge("192.0.2.1:123", sample, at(1000.0))
    }

    #[test]
    fn offset_and_delay_are_those_of_the_rfc() {
        let it = sample(0.5);
        assert!((it.offset - 0.5).abs() < 1e-6 && (it.delay - 0.04).abs() < 1e-6);
        assert_eq!(judged("", &it).state(), State::Ok);
        let outcome = judged("", &sample(-1.5));
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "this clock is 1.5 s ahead of 192.0.2.1:123");
        assert_eq!(outcome.metrics()[0].to_string(), "offset=-1.5s;-1:1;-10:10");
        assert_eq!(judged("", &sample(20.0)).state(), State::Critical);
    }

    #[test]
    fn an_era_ends_between_question_and_answer() {
        let late = Stamp(u64::MAX);
        assert!((Stamp(4_294_967_295).since(late) - 1.0).abs() < 1e-6);
        let in_2037 = SystemTime::UNIX_EPOCH + Duration::from_secs(2_114_380_800);
        let in_2035 = SystemTime::UNIX_EPOCH + Duration::from_secs(2_051_222_400);
        let seconds = Stamp::of(in_2037).since(Stamp::of(in_2035));
        assert_eq!(seconds, 63_158_400.0);
    }

    #[test]
    fn servers_that_do_not_know_the_time_say_so() {
        let mut it = sample(0.0);
        it.answer.leap = 3;
        assert_eq!(judged("", &it).findings()[0].code, "unsynchronized");
        it.answer.leap = 0;
        it.answer.stratum = 0;
        it.answer.reference_id = *b"RATE";
        assert_eq!(
            judged("", &it).line(),
            "192.0.2.1:123 refuses to tell the time (RATE)"
        );
        let it = sample(0.0);
        assert_eq!(judged("age = '60s,5m'", &it).state(), State::Warning);
        assert_eq!(judged("stratum = ',~:1'", &it).state(), State::Critical);
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let mut packet = question(at(5.0));
        assert!(parse(&packet).is_none(), "a question is no answer");
        packet[0] = (4 << 3) | 4;
        assert!(parse(&packet).is_some());
        assert!(parse(&packet[..47]).is_none());
    }
}
