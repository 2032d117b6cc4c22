//! `port`: what listens on this machine, with the process that does, and what must not.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::host::sockets::{self, Holder, Listener, Transport};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::Unit;
use crate::model::state::State;
use crate::net;
use serde::Deserialize;
use serde::de::{self, Visitor};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

pub const TYPE: Type = Type::of::<Port>(
    "port",
    &["listen"],
    include_str!("../../checks/port.toml"),
    &[("listeners", Unit::None)],
    &[CODES],
);

const CODES: &[Code] = &[
    code(
        "closed",
        "CRITICAL",
        "Nothing listens there: start what should.",
    ),
    code(
        "forbidden",
        "CRITICAL",
        "Something listens that must not, where other machines reach it: the text names the process.",
    ),
    code(
        "unexpected",
        "WARNING",
        "Something listens that is neither in `listen` nor in `allow`, where other machines reach it: stop it, or allow it.",
    ),
];

/// Sockets that listen on this machine, from the kernel's own tables, with the processes that hold them; nothing is connected to. Each socket is written `PORT`, `"FIRST-LAST"`, `"ADDRESS:PORT"` or `"udp:PORT"`.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Port {
    /// What must listen; with an address, on that one or on all of its kind: `[::]` takes IPv4 too, unless it is for IPv6 alone.
    listen: Option<List<Socket>>,
    /// What must not listen where other machines reach it.
    forbid: Option<List<Socket>>,
    /// What else may listen: anything that other machines reach and that is neither here nor in `listen` is unexpected.
    allow: Option<List<Socket>>,
}

/// Sockets of one transport: one port or several, on one address or any.
#[derive(Clone, Debug, PartialEq)]
struct Socket {
    transport: Transport,
    address: Option<IpAddr>,
    ports: RangeInclusive<u16>,
}

impl Socket {
    fn has_port_of(&self, listener: &Listener) -> bool {
        self.transport == listener.transport && self.ports.contains(&listener.at.port())
    }

    /// Whether it is among those meant: a listener on all addresses is also one on each.
    fn is(&self, listener: &Listener) -> bool {
        self.has_port_of(listener) && self.address.is_none_or(|it| listener.serves(it))
    }
}

impl std::str::FromStr for Socket {
    type Err = String;

    fn from_str(text: &str) -> Result<Socket, String> {
        let refuse = || {
            format!(
                "\"{text}\" is no socket, expected a port, \"FIRST-LAST\", \"ADDRESS:PORT\" or \"udp:PORT\""
            )
        };
        let (transport, rest) = match text.split_once(':') {
            Some(("tcp", rest)) => (Transport::Tcp, rest),
            Some(("udp", rest)) => (Transport::Udp, rest),
            _ => (Transport::Tcp, text),
        };
        let (address, ports) = match rest.rsplit_once(':') {
            Some((address, ports)) => {
                let address = address.trim_start_matches('[').trim_end_matches(']');
                // The kernel's tables do not tell the zone.
                let address = net::without_zone(address);
                (Some(address.parse().map_err(|_| refuse())?), ports)
            }
            None => (None, rest),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| text.parse::<u16>().ok().filter(|it| *it > 0);
        let (first, last) = port(first).zip(port(last)).ok_or_else(refuse)?;
        match first <= last {
            true => Ok(Socket {
                transport,
                address,
                ports: first..=last,
            }),
            false => Err(refuse()),
        }
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{} ", self.transport.word())?;
        match self.address {
            Some(IpAddr::V6(address)) => write!(to, "[{address}]:")?,
            Some(address) => write!(to, "{address}:")?,
            None => (),
        }
        match self.ports.start() == self.ports.end() {
            true => write!(to, "{}", self.ports.start()),
            false => write!(to, "{}-{}", self.ports.start(), self.ports.end()),
        }
    }
}

impl<'de> Deserialize<'de> for Socket {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Socket, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Socket;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("a port, \"FIRST-LAST\", \"ADDRESS:PORT\" or \"udp:PORT\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Socket, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, port: i64) -> Result<Socket, E> {
                port.to_string().parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Any)
    }
}

impl schemars::JsonSchema for Socket {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Socket".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "title": "socket",
            "type": ["integer", "string"],
        })
    }
}

impl Check for Port {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let listeners = cx.run.listeners()?;
        let processes = cx.run.processes()?;
        let meant: Vec<Listener> = listeners
            .iter()
            .filter(|it| self.speaks_of(it))
            .cloned()
            .collect();
        let holders = sockets::holders(processes, &meant);
        Ok(self.judge(listeners, &holders))
    }

    fn flaws(&self) -> Vec<Flaw> {
        let none = self.listen.is_none() && self.forbid.is_none() && self.allow.is_none();
        none.then(|| {
            flaw(
                "listen",
                "there is nothing to look at without `listen`, `forbid` or `allow`",
            )
        })
        .into_iter()
        .collect()
    }
}

impl Port {
    fn names(list: &Option<List<Socket>>, listener: &Listener) -> bool {
        list.iter().flat_map(|it| &it.0).any(|it| it.is(listener))
    }

    /// Whether a listener is worth knowing who holds it.
    fn speaks_of(&self, listener: &Listener) -> bool {
        Port::names(&self.listen, listener)
            || Port::names(&self.forbid, listener)
            || self.is_unexpected(listener)
    }

    fn is_unexpected(&self, listener: &Listener) -> bool {
        // Whoever asks something from a UDP socket is not served by it.
        let ephemeral = listener.transport == Transport::Udp && listener.at.port() >= 32_768;
        self.allow.is_some()
            && !listener.is_local()
            && !ephemeral
            && !Port::names(&self.allow, listener)
            && !Port::names(&self.listen, listener)
    }

    fn judge(&self, listeners: &[Listener], holders: &HashMap<u64, Holder>) -> Outcome {
        let told = |it: &Listener| {
            let holder = it.holder(holders);
            let holder = holder.map_or(String::new(), |it| format!(" by {it}"));
            format!("{} {}{holder}", it.transport.word(), it.at)
        };
        let listed = |all: &[&Listener]| {
            let texts: Vec<String> = all.iter().map(|it| told(it)).collect();
            texts.join(", ")
        };
        let mut good: Vec<&Listener> = Vec::new();
        let mut closed = Vec::new();
        for socket in self.listen.iter().flat_map(|it| &it.0) {
            let mut hits = listeners.iter().filter(|it| socket.is(it)).peekable();
            if hits.peek().is_none() {
                // Who looks at a list of listeners sees it there.
                let alone = listeners
                    .iter()
                    .find(|it| it.v6_only && socket.has_port_of(it));
                closed.push(match alone.filter(|_| socket.address.is_some()) {
                    Some(it) => format!("{socket} ({} takes no IPv4)", it.at),
                    None => socket.to_string(),
                });
            }
            for hit in hits {
                if !good.contains(&hit) {
                    good.push(hit);
                }
            }
        }
        let forbidden = |it: &&Listener| !it.is_local() && Port::names(&self.forbid, it);
        let forbidden: Vec<&Listener> = listeners.iter().filter(forbidden).collect();
        let unexpected: Vec<&Listener> = listeners
            .iter()
            .filter(|it| self.is_unexpected(it) && !forbidden.contains(it))
            .collect();
        let mut outcome = Outcome::new(&match &good[..] {
            [] => format!("{} sockets listen", listeners.len()),
            all => format!("listening: {}", listed(all)),
        });
        if !closed.is_empty() {
            let line = format!("nothing listens on {}", closed.join(", "));
            outcome.find("closed", State::Critical, &line);
        }
        if !forbidden.is_empty() {
            let line = format!("must not listen: {}", listed(&forbidden));
            outcome.find("forbidden", State::Critical, &line);
        }
        if !unexpected.is_empty() {
            let line = format!("unexpected: {}", listed(&unexpected));
            outcome.find("unexpected", State::Warning, &line);
        }
        let metric = Metric::new("listeners", listeners.len() as f64, Unit::None);
        outcome.note(metric);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(text: &str) -> Listener {
        let (transport, at) = text.split_once(' ').expect("two words");
        let transport = match transport {
            "tcp" => Transport::Tcp,
            _ => Transport::Udp,
        };
        Listener::new(transport, at.parse().expect("an address"), at.len() as u64)
    }

    fn judged(keys: &str) -> Outcome {
        let check: Port = toml::from_str(keys).expect("a port check");
        assert!(check.flaws().is_empty());
        let all = [
            "tcp 0.0.0.0:22",
            "tcp 127.0.0.1:5432",
            "tcp [::]:8080",
            "udp 0.0.0.0:68",
        ];
        let holders = HashMap::from([(
            10,
            Holder {
                name: "sshd".to_owned(),
                pid: 7,
            },
        )]);
        check.judge(&all.map(listener), &holders)
    }

    #[test]
    fn what_must_listen_does_on_its_address_or_on_all() {
        assert_eq!(
            judged("listen = 22").line(),
            "listening: tcp 0.0.0.0:22 by sshd (pid 7)"
        );
        assert_eq!(
            judged("listen = ['127.0.0.1:22', '127.0.0.1:5432']").state(),
            State::Ok
        );
        let outcome = judged("listen = ['192.0.2.1:5432', 'udp:53']");
        assert_eq!(
            outcome.line(),
            "nothing listens on tcp 192.0.2.1:5432, udp 53"
        );
    }

    #[test]
    fn what_must_not_listen_is_named_where_others_reach_it() {
        assert_eq!(judged("forbid = [23, 5432]").state(), State::Ok);
        let outcome = judged("forbid = ['8000-8100']");
        assert_eq!(outcome.line(), "must not listen: tcp [::]:8080");
        let outcome = judged("listen = 22\nallow = 'udp:68'");
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "unexpected: tcp [::]:8080");
        assert_eq!(judged("allow = [22, 8080, 'udp:68']").state(), State::Ok);
    }

    #[test]
    fn sockets_are_read_as_people_write_them() {
        for good in [
            "22",
            "udp:53",
            "tcp:[::1]:25",
            "::1:25",
            "[fe80::1%eth0]:25",
            "1-65535",
        ] {
            assert!(good.parse::<Socket>().is_ok(), "{good}");
        }
        for bad in ["0", "x", "9-5", "localhost:25", "70000", "sctp:5"] {
            assert!(bad.parse::<Socket>().is_err(), "{bad}");
        }
    }
}
