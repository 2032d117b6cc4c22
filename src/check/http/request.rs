//! What a request is made of: method, headers, statuses to expect.

use anyhow::Context as _;
use serde::Deserialize;
use ureq::http::{self, Method, Uri};

/// A request method (RFC 9110, section 9).
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Verb(pub Method);

impl TryFrom<String> for Verb {
    type Error = String;

    fn try_from(text: String) -> Result<Verb, String> {
        Method::from_bytes(text.as_bytes())
            .map(Verb)
            .map_err(|_| format!("{text:?} is not a method, expected one such as \"HEAD\""))
    }
}

/// A header's name (RFC 9110, section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct FieldName(pub String);

impl TryFrom<String> for FieldName {
    type Error = String;

    fn try_from(text: String) -> Result<FieldName, String> {
        match http::HeaderName::from_bytes(text.as_bytes()) {
            Ok(_) => Ok(FieldName(text)),
            Err(_) => Err(format!("{text:?} is not the name of a header")),
        }
    }
}

/// A status, a class, or a range of statuses: `200`, `"2xx"`, `"200-299"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    from: u16,
    to: u16,
}

impl Status {
    pub fn has(&self, status: u16) -> bool {
        (self.from..=self.to).contains(&status)
    }
}

impl std::str::FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Status, String> {
        let number = |text: &str| {
            let number = text.trim().parse::<u16>().ok();
            number.filter(|it| (100..=999).contains(it))
        };
        let pair = match (text.strip_suffix("xx"), text.split_once('-')) {
            (Some(class), _) => number(&format!("{class}00")).map(|it| (it, it + 99)),
            (None, Some((from, to))) => number(from).zip(number(to)),
            (None, None) => number(text).map(|it| (it, it)),
        };
        match pair {
            Some((from, to)) if from <= to => Ok(Status { from, to }),
            _ => Err(format!(
                "\"{text}\" is not a status, expected 200, \"2xx\" or \"200-299\""
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Status, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Status;

            fn expecting(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
                to.write_str("a status: 200, \"2xx\" or \"200-299\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Status, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Status, E> {
                self.visit_str(&number.to_string())
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl schemars::JsonSchema for Status {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Status".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "title": "status", "type": ["integer", "string"] })
    }
}

/// Names are written as people know them, because there are devices that compare them to the letter.
pub fn request(
    uri: &Uri,
    method: &Method,
    data: &[u8],
    headers: &[(String, String)],
    login: Option<&str>,
    at_home: bool,
) -> anyhow::Result<http::Request<Vec<u8>>> {
    // What may be secret goes only to whom it was meant for (RFC 9110, section 15.4).
    let own = if at_home { headers } else { &[] };
    let login = login.filter(|_| at_home);
    let host = host_header(uri);
    let form = (!data.is_empty()).then_some("application/x-www-form-urlencoded");
    let usual = [
        ("Host", Some(host.as_str())),
        (
            "User-Agent",
            Some(concat!("koshu/", env!("CARGO_PKG_VERSION"))),
        ),
        ("Accept", Some("*/*")),
        ("Accept-Encoding", Some("identity")),
        ("Connection", Some("close")),
        ("Authorization", login),
        ("Content-Type", form),
    ];
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in usual {
        let given = own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        if let (Some(value), false) = (value, given) {
            request = ureq_proto::client::header_raw(request, name, value.as_bytes());
        }
    }
    for (name, value) in own {
        http::HeaderValue::from_str(value).map_err(|_| {
            anyhow::anyhow!("the value of header {name} has characters that headers cannot have")
        })?;
        request = ureq_proto::client::header_raw(request, name, value.as_bytes());
    }
    request
        .body(data.to_vec())
        .context("the request cannot be written")
}

/// The host, and the port where it is not the scheme's own (RFC 9110, section 7.2).
fn host_header(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    match (uri.scheme_str(), uri.port_u16()) {
        (_, None) | (Some("http"), Some(80)) | (Some("https"), Some(443)) => host.to_owned(),
        (_, Some(port)) => format!("{host}:{port}"),
    }
}

/// Base64 with padding (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for index in 0..4 {
            text.push(match index <= chunk.len() {
                true => DIGITS[(bits >> (18 - 6 * index) & 63) as usize] as char,
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
