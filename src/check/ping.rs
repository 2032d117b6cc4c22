//! `ping`: hosts answer echo requests, all of them and soon.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::host::child::{How, Leftovers};
use crate::model::limits::{Limits, Share, Time};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::name;
use crate::model::outcome::{Code, LATE, Outcome, UNKNOWN, code};
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use crate::net::icmp::{self, Echo, Way};
use crate::net::{self, Family, Fault};
use anyhow::Context as _;
use serde::Deserialize;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

pub const TYPE: Type = Type::of::<Ping>(
    "ping",
    &["host"],
    include_str!("../../checks/ping.toml"),
    &[("time", Unit::Seconds), ("loss", Unit::Percent)],
    &[CODES, net::CODES],
);

const CODES: &[Code] = &[
    code(
        "loss",
        "by limits",
        "Echo requests are lost: the host is down or the way to it is bad; where all hosts lose some, it is this machine's own network.",
    ),
    code(
        "time",
        "by limits",
        "Answers take longer than `time` allows.",
    ),
];

/// Hosts answer ICMP echo requests, all at once. ICMP datagram sockets are used where this user may (net.ipv4.ping_group_range), else raw sockets, else the system's ping; the details say which.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Ping {
    /// Hosts by name or address, of IPv6 also as `fe80::1%eth0`; of a name, its first address.
    host: List<String>,
    /// How many requests each gets, 1 to 100, ten in a second. Default: 5.
    count: Option<u16>,
    /// Limits of the requests without an answer within two seconds, in %. Default: `"20%,60%"`.
    loss: Option<Limits<Share>>,
    /// Limits of the mean time of the answers.
    time: Option<Limits<Time>>,
    /// `"ipv4"` or `"ipv6"` alone. Default: both.
    #[serde(default)]
    family: Family,
}

/// The time from one request to the next.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long the last answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is kept back of the deadline to tell the answer.
const RESERVE: Duration = Duration::from_millis(50);
/// The most hosts of one check.
const HOSTS: usize = 200;

/// What became of the requests to one host.
#[derive(Debug, PartialEq)]
struct Seen {
    sent: u32,
    /// Of each answer, in seconds.
    times: Vec<f64>,
    address: Option<SocketAddr>,
    way: &'static str,
    /// What a router or the kernel said about those without an answer.
    said: Option<String>,
}

impl Check for Ping {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let count = self.count.unwrap_or(5);
        let seen: Vec<Result<Seen, Fault>> = thread::scope(|scope| {
            let asked: Vec<_> = self
                .host
                .0
                .iter()
                .map(|host| scope.spawn(move || observe(host, count, self.family, cx)))
                .collect();
            let dead = || Err(Fault::Me(anyhow::anyhow!("no thread for it")));
            asked
                .into_iter()
                .map(|it| it.join().unwrap_or_else(|_| dead()))
                .collect()
        });
        Ok(self.judge(seen))
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.count.is_some_and(|it| !(1..=100).contains(&it)) {
            flaws.push(flaw("count", "expected a number from 1 to 100"));
        }
        if self.host.0.len() > HOSTS {
            flaws.push(flaw(
                "host",
                format!("more than {HOSTS} hosts: make several checks of them"),
            ));
        }
        if self
            .host
            .0
            .iter()
            .any(|it| it.is_empty() || it.starts_with('-'))
        {
            flaws.push(flaw("host", "this is no name of a host"));
        }
        flaws
    }
}

fn observe(host: &str, count: u16, family: Family, cx: &Context) -> Result<Seen, Fault> {
    let address = net::resolve(host, 0, family, cx.deadline)?
        .first()
        .copied()
        .ok_or_else(|| Fault::world("no-such-host", format!("{host} has no address")))?;
    match Echo::open(address) {
        Ok(echo) => Ok(with_sockets(&echo, address, count, cx)),
        Err(error) if icmp::is_refused(&error) => with_ping(address, count, cx),
        Err(error) => Err(net::fault(&error, host, "sending echo requests")),
    }
}

fn with_sockets(echo: &Echo, address: SocketAddr, count: u16, cx: &Context) -> Seen {
    let end = cx.deadline - RESERVE;
    let mut sent: HashMap<u16, Instant> = HashMap::new();
    let mut seen = Seen {
        sent: 0,
        times: Vec::new(),
        address: Some(address),
        way: match echo.way {
            Way::Datagram => Way::Datagram.words(),
            Way::Raw => Way::Raw.words(),
        },
        said: None,
    };
    let mut said = 0;
    let begin = Instant::now();
    for sequence in 0..count {
        if Instant::now() >= end {
            break;
        }
        sent.insert(sequence, Instant::now());
        seen.sent += 1;
        if let Err(error) = echo.send(sequence) {
            seen.said = Some(net::plain(&error));
        }
        let last = sequence + 1 == count;
        let until = match last {
            true => Instant::now() + PATIENCE,
            false => begin + INTERVAL * u32::from(sequence + 1),
        };
        while !(last && sent.is_empty()) {
            match echo.receive(until.min(end)) {
                // A second answer to the same request counts for nothing.
                Ok(number) => {
                    if let Some(at) = sent.remove(&number) {
                        seen.times.push(at.elapsed().as_secs_f64());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The kernel tells what a router said, once for each request.
                Err(error) => {
                    seen.said = Some(net::plain(&error));
                    said += 1;
                    if said > u32::from(count) {
                        break;
                    }
                }
            }
        }
    }
    seen
}

/// Where this user may not have a socket, the system's own program may.
fn with_ping(address: SocketAddr, count: u16, cx: &Context) -> Result<Seen, Fault> {
    let run = || -> anyhow::Result<Seen> {
        let places =
            ["/bin/ping", "/usr/bin/ping", "/sbin/ping", "/usr/sbin/ping"].map(PathBuf::from);
        let program = places.into_iter().find(|it| it.exists());
        let program = program.context(
            "this user may not send echo requests: set net.ipv4.ping_group_range, run koshu with CAP_NET_RAW, or install ping",
        )?;
        let seconds = net::left(cx.deadline - RESERVE).as_secs().max(1);
        let mut command = Command::new(program);
        command
            .args([
                "-n",
                "-c",
                &count.to_string(),
                "-i",
                "0.2",
                "-w",
                &seconds.to_string(),
            ])
            .arg(net::host_of(address))
            .env("LC_ALL", "C");
        let ended = cx.run.children.run(command, cx.deadline, Leftovers::Kill)?;
        let text = ended.out.text();
        match (parse(&text), ended.how) {
            (Some(mut seen), _) => {
                seen.address = Some(address);
                Ok(seen)
            }
            (None, How::Late) => Ok(Seen {
                sent: u32::from(count),
                times: vec![],
                address: Some(address),
                way: BY_PING,
                said: None,
            }),
            (None, _) => anyhow::bail!(
                "the system's ping says: {} {}",
                text.trim(),
                ended.err.text().trim()
            ),
        }
    };
    run().map_err(Fault::Me)
}

const BY_PING: &str = "with the system's ping";

/// The lines of iputils, busybox and the BSDs.
fn parse(text: &str) -> Option<Seen> {
    let summary = text
        .lines()
        .find(|it| it.contains(" packets transmitted"))?;
    let sent = summary.split_whitespace().next()?.parse().ok()?;
    let time = |line: &str| {
        let (_, rest) = line.split_once("time=").or(line.split_once("time<"))?;
        rest.split_whitespace()
            .next()?
            .trim_end_matches("ms")
            .parse::<f64>()
            .ok()
    };
    let times = text
        .lines()
        .filter(|it| it.contains("bytes from") && !it.contains("DUP!"));
    Some(Seen {
        sent,
        times: times.filter_map(time).map(|it| it / 1e3).collect(),
        address: None,
        way: BY_PING,
        said: None,
    })
}

impl Ping {
    fn judge(&self, seen: Vec<Result<Seen, Fault>>) -> Outcome {
        let mut told = Vec::new();
        let mut way = None;
        let mut faults = Outcome::default();
        for (host, seen) in self.host.0.iter().zip(seen) {
            match seen {
                Ok(seen) => {
                    told.push(self.judge_one(&mut faults, host, &seen));
                    way = Some(seen.way);
                }
                Err(fault) => {
                    let line = match &fault {
                        Fault::Late(text) | Fault::World { text, .. } => text.clone(),
                        Fault::Me(error) => format!("{host}: {error:#}"),
                    };
                    match fault {
                        Fault::Late(_) => faults.find(LATE, State::Critical, &line),
                        Fault::World { code, .. } => faults.find(code, State::Critical, &line),
                        Fault::Me(_) => faults.find(UNKNOWN, State::Unknown, &line),
                    }
                }
            }
        }
        let mut outcome = faults.with_facts(&match &told[..] {
            [one] if self.host.0.len() == 1 => one.clone(),
            _ => format!("{} of {} hosts looked at", told.len(), self.host.0.len()),
        });
        if self.host.0.len() > 1 {
            told.iter().for_each(|it| outcome.detail(it));
        }
        way.iter().for_each(|it| outcome.detail(it));
        outcome
    }

    fn judge_one(&self, outcome: &mut Outcome, host: &str, seen: &Seen) -> String {
        let label = |metric: &str| match self.host.0.len() {
            1 => metric.to_owned(),
            _ => format!("{}.{metric}", name::label(host)),
        };
        let who = match seen.address {
            Some(address) if net::literal(host).is_ok_and(|it| it.is_none()) => {
                format!("{host} ({})", net::host_of(address))
            }
            _ => host.to_owned(),
        };
        let answers = seen.times.len();
        let loss = 100.0 * (1.0 - answers as f64 / f64::from(seen.sent.max(1)));
        let loss = (loss * 10.0).round() / 10.0;
        let mean = seen.times.iter().sum::<f64>() / answers.max(1) as f64;
        let said = seen
            .said
            .as_ref()
            .map_or(String::new(), |it| format!(" ({it})"));
        let line = match answers {
            0 => format!("{who} does not answer{said}"),
            _ => format!(
                "{who} answers in {}, {loss}% lost{said}",
                quantity::seconds(mean)
            ),
        };
        if answers > 0 {
            let metric = Metric::new(label("time"), (mean * 1e6).round() / 1e6, Unit::Seconds);
            let limits = Limits::maybe(&self.time, 0.0);
            outcome.measure_as("time", metric.judged(limits), &line);
        }
        let default = "20%,60%".parse::<Limits<Share>>().ok();
        let limits = if self.loss.is_some() {
            &self.loss
        } else {
            &default
        };
        let metric = Metric::new(label("loss"), loss, Unit::Percent);
        outcome.measure_as("loss", metric.judged(Limits::maybe(limits, 0.0)), &line);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping(keys: &str) -> Ping {
        let check: Ping = toml::from_str(keys).expect("a ping check");
        assert!(check.flaws().is_empty());
        check
    }

    fn seen(times: &[f64]) -> Result<Seen, Fault> {
        Ok(Seen {
            sent: 5,
            times: times.to_vec(),
            address: None,
            way: BY_PING,
            said: None,
        })
    }

    #[test]
    fn loss_and_time_are_judged_for_each_host() {
        let check = ping("host = ['a', 'b', 'c']\ntime = '100ms,1s'");
        let outcome = check.judge(vec![seen(&[0.01; 5]), seen(&[0.2; 5]), seen(&[])]);
        assert_eq!(outcome.state(), State::Critical);
        assert_eq!(
            outcome.line(),
            "c does not answer; b answers in 0.2 s, 0% lost"
        );
        assert_eq!(outcome.metrics().len(), 5);
        let check = ping("host = 'a'\nloss = '10%,'");
        assert_eq!(check.judge(vec![seen(&[0.01; 4])]).state(), State::Warning);
        assert_eq!(
            check.judge(vec![seen(&[0.01; 5])]).line(),
            "a answers in 10 ms, 0% lost"
        );
    }

    #[test]
    fn a_host_without_an_address_is_not_hidden_by_others() {
        let check = ping("host = ['a', 'b']");
        let lost = Fault::world("no-such-host", "b has no address");
        let outcome = check.judge(vec![seen(&[0.01; 5]), Err(lost)]);
        assert_eq!(outcome.line(), "b has no address");
        assert_eq!(outcome.state(), State::Critical);
    }

    #[test]
    fn the_lines_of_other_pings_are_read() {
        let iputils = "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.\n64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.040 ms\n64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.050 ms (DUP!)\n\n--- 127.0.0.1 ping statistics ---\n2 packets transmitted, 1 received, +1 duplicates, 50% packet loss, time 11ms\n";
        let seen = parse(iputils).expect("iputils");
        assert_eq!((seen.sent, &seen.times[..]), (2, &[0.00004][..]));
        let busybox = "64 bytes from 127.0.0.1: seq=0 ttl=64 time=0.100 ms\n1 packets transmitted, 1 packets received, 0% packet loss\n";
        assert_eq!(parse(busybox).expect("busybox").times.len(), 1);
        assert!(parse("ping: socket: Operation not permitted").is_none());
    }
}
