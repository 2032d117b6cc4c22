//! What a request is made of: method, headers, statuses to expect.

use crate::model::secret::{Secret, is_secret_key};
use anyhow::{Context as _, anyhow};
use base64::prelude::{BASE64_STANDARD, Engine as _};
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

/// A header that the list gives.
pub struct Own {
    pub name: String,
    pub value: String,
    /// Whether only the first page's origin gets it: it may be secret, or speaks of that origin alone.
    pub stays_home: bool,
}

impl Own {
    pub fn new(name: &str, value: String, source: &Secret) -> Own {
        let key = name.to_ascii_lowercase().replace('-', "_");
        let words = ["auth", "key", "session", "signature", "jwt"];
        let is_named = is_secret_key(&key) || words.iter().any(|it| key.contains(it));
        Own {
            name: name.to_owned(),
            value,
            stays_home: is_named || key == "host" || !matches!(source, Secret::Literal(_)),
        }
    }

    /// Whether it speaks of the request's body.
    pub fn is_of_body(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        name.starts_with("content-") || name == "transfer-encoding" || name == "expect"
    }
}

/// What goes into every request of one look.
pub struct Parts {
    pub version: http::Version,
    pub data: Vec<u8>,
    pub headers: Vec<Own>,
    /// The value of Authorization.
    pub login: Option<String>,
    /// The value of Proxy-Authorization, for requests that the proxy itself answers.
    pub proxy_login: Option<String>,
    pub compressed: bool,
}

/// Refuses what a header cannot hold; the value itself may be secret and is not said.
///
/// # Errors
/// When it has a line end or another control character.
pub fn header_value(name: &str, value: &str) -> anyhow::Result<()> {
    match http::HeaderValue::from_str(value) {
        Ok(_) => Ok(()),
        Err(_) => Err(anyhow!(
            "the value of header {name} has characters that headers cannot have"
        )),
    }
}

/// Names are written as people know them, because there are devices that compare them to the letter.
pub fn request(
    uri: &Uri,
    method: &Method,
    parts: &Parts,
    cookies: &str,
    at_home: bool,
) -> anyhow::Result<http::Request<Vec<u8>>> {
    // What may be secret goes only to whom it was meant for (RFC 9110, section 15.4).
    let own = || parts.headers.iter().filter(|it| at_home || !it.stays_home);
    let login = parts.login.as_deref().filter(|_| at_home);
    let proxy_login = parts.proxy_login.as_deref();
    let proxy_login = proxy_login.filter(|_| uri.scheme_str() == Some("http"));
    let data = &parts.data;
    let encoding = match parts.compressed {
        true => "gzip, deflate",
        false => "identity",
    };
    let host = host_header(uri);
    let form = (!data.is_empty()).then_some("application/x-www-form-urlencoded");
    let usual = [
        ("Host", Some(host.as_str())),
        (
            "User-Agent",
            Some(concat!("koshu/", env!("CARGO_PKG_VERSION"))),
        ),
        ("Accept", Some("*/*")),
        ("Accept-Encoding", Some(encoding)),
        ("Connection", Some("close")),
        ("Authorization", login),
        ("Proxy-Authorization", proxy_login),
        ("Cookie", Some(cookies).filter(|it| !it.is_empty())),
        ("Content-Type", form),
    ];
    let mut request = http::Request::builder()
        .method(method)
        .uri(uri)
        .version(parts.version);
    for (name, value) in usual {
        let given = own().any(|it| it.name.eq_ignore_ascii_case(name));
        if let (Some(value), false) = (value, given) {
            request = ureq_proto::client::header_raw(request, name, value.as_bytes());
        }
    }
    for Own { name, value, .. } in own() {
        request = ureq_proto::client::header_raw(request, name, value.as_bytes());
    }
    request
        .body(data.clone())
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

/// Basic authentication (RFC 7617).
pub fn basic(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_stays_at_home() {
        let stays = |name: &str, source: Secret| Own::new(name, String::new(), &source).stays_home;
        let plain = || Secret::Literal(String::new());
        for name in [
            "Authorization",
            "Cookie",
            "X-Token",
            "X-Api-Key",
            "X-Auth",
            "Host",
        ] {
            assert!(stays(name, plain()), "{name}");
        }
        for name in [
            "User-Agent",
            "Accept",
            "Accept-Language",
            "Referer",
            "Range",
            "X-Probe",
        ] {
            assert!(!stays(name, plain()), "{name}");
            assert!(stays(name, Secret::Env("X".to_owned())), "{name}");
        }
    }
}
