//! `ntp`: this machine's clock agrees with a time server, which itself knows the time (SNTP, RFC 5905).

use crate::check::{Check, Clock, Context, Flaw, Type, flaw};
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

/// This machine's clock agrees with a time server's, and the server knows the time itself. Where the way there leaves in doubt on which side of a limit the clock is, more answers are asked for, and the one with the shortest way counts.
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
/// The most answers that are asked for, where one leaves a doubt.
const ANSWERS: usize = 4;
/// How long is waited before a question that has got no answer is asked again, and between questions that have: servers
/// take those that come quicker for an attack (ntpd's `discard minimum 2`).
const AGAIN: Duration = Duration::from_secs(2);
/// How long is waited before a server that asks for fewer questions gets another one.
const SLOWER: Duration = Duration::from_secs(4);
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

    fn after(self, time: Duration) -> Stamp {
        let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
        Stamp(self.0.wrapping_add((time.as_secs() << 32) | fraction))
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

impl Answer {
    /// What stratum 0 means by its four letters, if they are some (RFC 5905, section 7.4).
    fn code(&self) -> Option<String> {
        let letters = self.reference_id.iter().take_while(|it| **it != 0);
        let code: String = letters.map(|it| char::from(*it)).collect();
        let is_code = code.chars().all(|it| it.is_ascii_uppercase());
        (self.stratum == 0 && is_code && !code.is_empty()).then_some(code)
    }

    /// The code of a server that refuses to tell the time. The others say in which state it is itself.
    fn kiss(&self) -> Option<String> {
        const STATES: [&str; 7] = ["ACST", "AUTO", "BCST", "INIT", "MCST", "STEP", "XFAC"];
        self.code().filter(|it| !STATES.contains(&it.as_str()))
    }

    fn knows_the_time(&self) -> bool {
        self.leap != 3 && (1..16).contains(&self.stratum)
    }
}

/// What came of asking a host.
struct Seen {
    address: SocketAddr,
    said: Said,
    /// What is wrong with the addresses that were asked before.
    passed_over: Vec<String>,
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
    /// When it came, by this machine's clock.
    back: Stamp,
}

/// What a server makes of being asked.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Time(Sample),
    /// It refuses, with this code.
    Kiss(String),
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
            back,
        }
    }
}

impl Check for Ntp {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let seen = match self.observe(cx) {
            Ok(seen) => seen,
            Err(fault) => return fault.outcome(),
        };
        let who = seen.address.to_string();
        let mut outcome = match seen.said {
            Said::Time(sample) => self.judge(&who, &sample),
            Said::Kiss(code) => {
                let line = format!("{who} refuses to tell the time ({code})");
                Outcome::of("kiss", State::Critical, &line)
            }
        };
        for line in seen.passed_over {
            outcome.detail(&line);
        }
        Ok(outcome)
    }

    fn flaws(&self) -> Vec<Flaw> {
        let port = net::port_flaw(&self.host, self.port, Some(PORT));
        port.map(|it| flaw("host", it)).into_iter().collect()
    }
}

impl Ntp {
    /// What the first address says that tells the time, or the first that refuses to.
    fn observe(&self, cx: &Context) -> Result<Seen, Fault> {
        let (host, port) = net::split_port(&self.host);
        let port = port.or(self.port).unwrap_or(PORT);
        let addresses = net::resolve(host, port, self.family, cx.deadline)?;
        let (mut kiss, mut last, mut passed_over) = (None, None, Vec::new());
        for (index, address) in addresses.iter().enumerate() {
            // What is left is shared among the addresses that are left.
            let share = net::left(cx.deadline) / (addresses.len() - index) as u32;
            let said = self.ask(*address, Instant::now() + share, cx.run.env.clock);
            let seen = said.map(|said| Seen {
                address: *address,
                said,
                passed_over: Vec::new(),
            });
            match seen {
                Ok(seen) if matches!(seen.said, Said::Time(_)) => {
                    return Ok(Seen {
                        passed_over,
                        ..seen
                    });
                }
                Ok(seen) => {
                    passed_over.push(format!("{address} refuses to tell the time"));
                    kiss = kiss.or(Some(seen));
                }
                Err(fault) => {
                    passed_over.push(fault.to_string());
                    last = Some(fault);
                }
            }
        }
        match (kiss, last) {
            (Some(kiss), _) => Ok(kiss),
            (None, last) => Err(last.unwrap_or_else(|| Fault::Late("no address".to_owned()))),
        }
    }

    /// Asks one address until what it says of the clock is beyond doubt.
    fn ask(&self, address: SocketAddr, until: Instant, clock: Clock) -> Result<Said, Fault> {
        let who = address.to_string();
        let told = |error: &std::io::Error| net::fault(error, &who, "waiting for its answer");
        let any = match address {
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let socket = UdpSocket::bind(any).map_err(|it| told(&it))?;
        socket.connect(address).map_err(|it| told(&it))?;
        let mut open: Vec<Asked> = Vec::new();
        let (mut best, mut kiss): (Option<Sample>, Option<String>) = (None, None);
        let mut malformed = false;
        for _ in 0..ANSWERS {
            if net::left(until).is_zero() {
                break;
            }
            // The clock is read here and nowhere before, so that nothing that took time is taken for its error.
            let asked = Asked {
                clock: Stamp::of((clock.0)()),
                at: Instant::now(),
            };
            open.push(asked);
            if let Err(error) = socket.send(&question(asked.clock)) {
                match best {
                    Some(_) => break,
                    None => return Err(told(&error)),
                }
            }
            let sample = match hear(&socket, &mut open, (asked.at + AGAIN).min(until)) {
                Ok(Some(sample)) => sample,
                Ok(None) => {
                    malformed = true;
                    continue;
                }
                // Whoever has answered once is not silent.
                Err(_) if best.is_some() || kiss.is_some() => break,
                Err(error) => match net::fault(&error, &who, "waiting for its answer") {
                    Fault::Late(_) => continue,
                    fault => return Err(fault),
                },
            };
            let pause = match sample.answer.kiss() {
                // It has said what it will say.
                Some(_) if best.is_some() || kiss.is_some() => break,
                Some(code) if code == "RATE" => {
                    kiss = Some(code);
                    SLOWER
                }
                Some(code) => return Ok(Said::Kiss(code)),
                None => {
                    best = best.filter(|it| it.delay <= sample.delay).or(Some(sample));
                    AGAIN
                }
            };
            let doubtful = best.is_none_or(|it| self.is_doubtful(&it));
            if !doubtful || net::left(until) <= pause {
                break;
            }
            std::thread::sleep(pause);
        }
        match (best, kiss) {
            (Some(best), _) => Ok(Said::Time(best)),
            (None, Some(code)) => Ok(Said::Kiss(code)),
            (None, None) if malformed => {
                let text = format!("{who} answers, but not in NTP");
                Err(Fault::world("malformed", text))
            }
            (None, None) => Err(Fault::Late(format!("{who}: no answer in time"))),
        }
    }

    /// Whether the way was so long that the clock may be on the other side of a limit: its error is at most half of it
    /// (RFC 5905, section 11.2).
    fn is_doubtful(&self, sample: &Sample) -> bool {
        let half = sample.delay / 2.0;
        let (least, most) = (sample.offset - half, sample.offset + half);
        // Limits hold in both directions, so that what is nearest to none may be the mildest.
        let at = [least, most, 0.0_f64.clamp(least, most)];
        let states = at.map(|it| self.offset(it).state());
        sample.answer.knows_the_time() && states.iter().any(|it| *it != states[0])
    }

    /// A difference with the limits that judge it.
    fn offset(&self, offset: f64) -> Metric {
        let default = "1s,10s".parse::<Limits<Time>>().ok();
        let limits = if self.offset.is_some() {
            &self.offset
        } else {
            &default
        };
        let limits = either_way(Limits::maybe(limits, 0.0));
        let metric = Metric::new("offset", micro(offset), Unit::Seconds).signed();
        metric.judged(limits)
    }

    fn judge(&self, who: &str, sample: &Sample) -> Outcome {
        let Sample {
            answer,
            offset,
            delay,
            back,
        } = *sample;
        let clock = match offset {
            it if it.abs() < 0.0005 => format!("this clock and that of {who} agree"),
            it if it > 0.0 => format!("this clock is {} behind {who}", quantity::seconds(it)),
            it => format!("this clock is {} ahead of {who}", quantity::seconds(-it)),
        };
        let mut outcome = Outcome::new(&format!("{clock}, stratum {}", answer.stratum));
        if !answer.knows_the_time() {
            let code = answer.code().map_or(String::new(), |it| format!(" ({it})"));
            let line = format!("{who} says that it does not know the time{code}");
            outcome.find("unsynchronized", State::Critical, &line);
        }
        outcome.measure(self.offset(offset), &clock);
        outcome.note(Metric::new("delay", micro(delay), Unit::Seconds));
        let metric = Metric::new("stratum", f64::from(answer.stratum), Unit::None);
        let line = format!("{who} has stratum {}", answer.stratum);
        outcome.measure(metric.judged(Limits::maybe(&self.stratum, 0.0)), &line);
        if answer.reference.0 != 0 {
            let age = back.since(answer.reference) + offset;
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

/// A question that may still be answered: when it was asked, by the clock and by what no one sets.
#[derive(Clone, Copy)]
struct Asked {
    clock: Stamp,
    at: Instant,
}

/// An answer to one of the questions, which is closed by it; `None` for something else.
fn hear(
    socket: &UdpSocket,
    open: &mut Vec<Asked>,
    until: Instant,
) -> std::io::Result<Option<Sample>> {
    use std::io::ErrorKind as Kind;
    let mut buffer = [0; 512];
    let mut other = false;
    loop {
        let left = net::left(until);
        if left.is_zero() {
            return match other {
                true => Ok(None),
                false => Err(Kind::TimedOut.into()),
            };
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(count) => {
                let came = Instant::now();
                let answer = parse(&buffer[..count]);
                let asked = answer
                    .and_then(|answer| open.iter().position(|it| it.clock == answer.originate));
                match (answer, asked) {
                    (Some(answer), Some(index)) => {
                        let asked = open.swap_remove(index);
                        let back = asked.clock.after(came - asked.at);
                        return Ok(Some(Sample::of(answer, back)));
                    }
                    // A stranger's.
                    (Some(_), None) => (),
                    (None, _) => other = true,
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    Kind::Interrupted | Kind::WouldBlock | Kind::TimedOut
                ) => {}
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
        check.judge("192.0.2.1:123", sample)
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
        it.answer.stratum = 0;
        it.answer.reference_id = *b"INIT";
        assert_eq!(
            judged("", &it).line(),
            "192.0.2.1:123 says that it does not know the time (INIT)"
        );
        assert_eq!(it.answer.kiss(), None);
        it.answer.reference_id = [0; 4];
        it.answer.leap = 0;
        assert_eq!(judged("", &it).findings()[0].code, "unsynchronized");
        let it = sample(0.0);
        assert_eq!(judged("age = '60s,5m'", &it).state(), State::Warning);
        assert_eq!(judged("stratum = ',~:1'", &it).state(), State::Critical);
    }

    #[test]
    fn a_kiss_is_one_whatever_its_leap() {
        let mut it = sample(0.0);
        it.answer.stratum = 0;
        for (leap, code) in [(0, b"DENY"), (3, b"RATE"), (3, b"RSTR")] {
            it.answer.leap = leap;
            it.answer.reference_id = *code;
            assert_eq!(
                it.answer.kiss().map(String::into_bytes),
                Some(code.to_vec())
            );
        }
        it.answer.stratum = 2;
        assert_eq!(it.answer.kiss(), None, "of a server of its own name");
    }

    #[test]
    fn only_a_way_that_is_too_long_leaves_a_doubt() {
        // 40 ms there and back.
        let doubtful = |keys: &str, offset: f64| {
            let check: Ntp = toml::from_str(&format!("host = 'h'\n{keys}")).expect("an ntp check");
            check.is_doubtful(&sample(offset))
        };
        assert!(!doubtful("", 0.0));
        assert!(!doubtful("", 5.0));
        assert!(doubtful("", 0.99));
        assert!(doubtful("offset = '10ms,1s'", 0.0));
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
