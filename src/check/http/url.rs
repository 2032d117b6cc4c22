//! URLs: read strictly at load, joined for redirects (RFC 3986).

use crate::model::text;
use crate::net::agent::Response;
use serde::Deserialize;
use ureq::http::{Uri, header};

/// An absolute URL of scheme http or https.
#[derive(Debug)]
pub struct Url {
    pub uri: Uri,
    /// User information of the URL, which becomes basic authentication.
    pub login: Option<String>,
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
        let text = String::deserialize(from)?;
        url(&text).map_err(serde::de::Error::custom)
    }
}

pub fn url(text: &str) -> Result<Url, String> {
    let shown = text::without_userinfo(text);
    let (scheme, rest) = match text.split_once("://") {
        Some(("http" | "https", rest)) => text.split_at(text.len() - rest.len()),
        Some(_) => return Err(format!("\"{shown}\" is neither http:// nor https://")),
        None => {
            return Err(format!(
                "\"{shown}\" is no URL, write http://{shown} or https://{shown}"
            ));
        }
    };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (login, rest) = match authority.rfind('@') {
        Some(at) => (Some(rest[..at].to_owned()), &rest[at + 1..]),
        None => (None, rest),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let escaped = escape(rest);
    let uri: Uri = format!("{scheme}{escaped}")
        .parse()
        .map_err(|it| format!("\"{shown}\" is no URL: {it}"))?;
    let authority = uri.authority().map_or("", |it| it.as_str());
    let port = authority.rsplit_once(']').map_or(authority, |it| it.1);
    match uri.host() {
        None | Some("") => Err(format!("\"{shown}\" has no host")),
        Some(_) if port.contains(':') && uri.port_u16().is_none() => {
            Err(format!("\"{shown}\" has a port that is no number"))
        }
        Some(_) => Ok(Url { uri, login }),
    }
}

/// Percent-encodes what may not stand in a path or query as it is (RFC 3986, section 2.1).
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~'
                if !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'}') =>
            {
                escaped.push(byte as char)
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

impl schemars::JsonSchema for Url {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Url".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "uri", "title": "URL", "pattern": "^https?://" })
    }
}

/// Scheme, host and port.
pub fn origin(uri: &Uri) -> (Option<String>, Option<String>, Option<u16>) {
    (
        uri.scheme_str().map(str::to_owned),
        uri.host().map(str::to_lowercase),
        uri.port_u16(),
    )
}

/// Where a response redirects to (RFC 9110, section 10.2.2), or why that cannot be said.
pub fn location(from: &Uri, response: &Response) -> Option<Result<Uri, String>> {
    let status = response.status.as_u16();
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let Some(to) = response.headers.get(header::LOCATION) else {
        return Some(Err(format!("HTTP {status} without a Location to follow")));
    };
    let to = String::from_utf8_lossy(to.as_bytes()).into_owned();
    Some(join(from, &to))
}

/// Resolves a reference against the URL that it stands in (RFC 3986, section 5.2).
pub fn join(from: &Uri, to: &str) -> Result<Uri, String> {
    let base = format!(
        "{}://{}",
        from.scheme_str().unwrap_or("http"),
        from.authority().map_or("", |it| it.as_str())
    );
    let scheme = to.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    });
    let absolute = match to.as_bytes() {
        _ if scheme => to.to_owned(),
        [b'/', b'/', ..] => format!("{}:{to}", from.scheme_str().unwrap_or("http")),
        [b'/', ..] => format!("{base}{to}"),
        [b'?', ..] => format!("{base}{}{to}", from.path()),
        _ => {
            let folder = from.path().rsplit_once('/').map_or("", |it| it.0);
            format!("{base}{}", without_dots(&format!("{folder}/{to}")))
        }
    };
    url(&absolute).map(|it| it.uri)
}

fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => (),
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}{query}", parts.join("/"))
}

/// Percent-decodes user information.
pub fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = (*first == b'%')
            .then(|| std::str::from_utf8(tail.get(..2)?).ok())
            .flatten()
            .and_then(|it| u8::from_str_radix(it, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_locations_are_joined() {
        let from: Uri = "http://h:81/a/b?c".parse().expect("a URI");
        let joined = |to: &str| join(&from, to).expect(to).to_string();
        assert_eq!(joined("d"), "http://h:81/a/d");
        assert_eq!(joined("../d?e"), "http://h:81/d?e");
        assert_eq!(joined("/d"), "http://h:81/d");
        assert_eq!(joined("//g/d"), "http://g/d");
        assert_eq!(joined("?e"), "http://h:81/a/b?e");
        assert_eq!(joined("https://g/#f"), "https://g/");
        assert!(join(&from, "ftp://g/").is_err());
    }

    #[test]
    fn urls_are_checked_at_load() {
        assert!(url("example.jp").is_err_and(|it| it.contains("write http://example.jp")));
        assert!(url("ftp://h/").is_err());
        assert!(url("http:///x").is_err());
        let url = url("https://u:p%40@h/あ b").expect("a URL");
        assert_eq!(url.uri.to_string(), "https://h/%E3%81%82%20b");
        assert_eq!(unescape(&url.login.unwrap_or_default()), "u:p@");
    }
}
