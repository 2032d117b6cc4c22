//! Values of keys that only `dns` has: servers, record types, and a few words.

use crate::model::list::List;
use crate::net::{self, dns};
use hickory_proto::rr::RecordType;
use serde::Deserialize;
use std::net::SocketAddr;

/// Whom to ask.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub enum Server {
    System,
    At(net::Address, u16),
}

impl TryFrom<String> for Server {
    type Error = String;

    fn try_from(text: String) -> Result<Server, String> {
        let (host, port) = net::split_port(&text);
        match net::Address::try_from(host.to_owned()) {
            _ if text == "system" => Ok(Server::System),
            Ok(address) => Ok(Server::At(address, port.unwrap_or(53))),
            Err(_) => Err(format!(
                "\"{text}\" is not a server, expected \"system\", an address or ADDRESS:PORT"
            )),
        }
    }
}

/// The servers of a list, those of the system by their addresses.
pub fn addresses(list: &List<Server>) -> anyhow::Result<Vec<SocketAddr>> {
    let mut servers = Vec::new();
    for server in &list.0 {
        match server {
            Server::At(address, port) => {
                let at = address.at(*port);
                servers.push(at.map_err(|it| anyhow::anyhow!("{it}"))?);
            }
            Server::System => servers.extend(dns::system_servers()?),
        }
    }
    servers.dedup();
    Ok(servers)
}

/// A record type (RFC 1035, section 3.2.2, and its successors).
#[derive(Clone, Copy, Debug, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Kind(pub RecordType);

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(text: String) -> Result<Kind, String> {
        dns::data::kind(&text).map(Kind).ok_or_else(|| {
            format!(
                "\"{text}\" is not a record type, expected one such as \"A\", \"MX\" or \"TYPE65280\""
            )
        })
    }
}

/// How many servers of the parent are asked.
#[derive(Clone, Copy, Debug)]
pub struct Parents(pub usize);

impl<'de> Deserialize<'de> for Parents {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Parents, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Parents;

            fn expecting(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
                to.write_str("a number of servers from 1, or \"all\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Parents, E> {
                match (text, text.parse()) {
                    ("all", _) => Ok(Parents(usize::MAX)),
                    (_, Ok(number)) => self.visit_i64(number),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Parents, E> {
                let found = usize::try_from(number).ok().filter(|it| *it > 0);
                found
                    .map(Parents)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl schemars::JsonSchema for Parents {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Parents".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "title": "number or \"all\"", "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "all" }] })
    }
}

/// Whether the parent vouches for the zone's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signed {
    #[default]
    Auto,
    Required,
    Absent,
}

/// What is measured beside the usual.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Perfdata {
    Each,
}
