//! URLs: read strictly at load, joined for redirects (WHATWG URL, as browsers do).

use crate::model::text;
use crate::net;
use crate::net::agent::Response;
use serde::Deserialize;
use std::borrow::Cow;
use ureq::http::header;

/// An absolute URL of scheme http or https.
#[derive(Debug)]
pub struct Link {
    pub url: url::Url,
    /// User and password of the URL, which become basic authentication.
    pub login: Option<(String, String)>,
    /// The zone of an IPv6 address, which no server is told (RFC 6874, section 4).
    pub zone: Option<String>,
}

impl Link {
    /// The host to connect to.
    pub fn host(&self) -> String {
        match &self.zone {
            Some(zone) => format!("{}%{zone}", host(&self.url)),
            None => host(&self.url),
        }
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Link, D::Error> {
        let text = String::deserialize(from)?;
        read(&text).map_err(serde::de::Error::custom)
    }
}

fn read(text: &str) -> Result<Link, String> {
    let shown = text::without_userinfo(text);
    let is_ours = |scheme: &str| ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str());
    match text.split_once("://") {
        Some((scheme, _)) if is_ours(scheme) => (),
        Some(_) => return Err(format!("\"{shown}\" is neither http:// nor https://")),
        None => {
            return Err(format!(
                "\"{shown}\" is no URL, write http://{shown} or https://{shown}"
            ));
        }
    }
    if text
        .split("//")
        .nth(1)
        .is_some_and(|it| it.starts_with('/') || it.is_empty())
    {
        return Err(format!("\"{shown}\" has no host"));
    }
    let (text, zone) = net::unzoned(text);
    if zone.as_ref().is_some_and(String::is_empty) {
        return Err(format!(
            "\"{shown}\" has an address without the network interface behind its `%`"
        ));
    }
    let mut url = url::Url::parse(&text).map_err(|it| format!("\"{shown}\" is no URL: {it}"))?;
    let login = match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => Some((unescape(user), unescape(password.unwrap_or_default()))),
    };
    plain(&mut url);
    Ok(Link { url, login, zone })
}

/// A URL, or what should be one, as it may be shown: its query and fragment may hold tokens.
pub fn shown(url: &str) -> String {
    let url = text::without_userinfo(url);
    match url.find(['?', '#']) {
        Some(end) => format!("{}?…", &url[..end]),
        None => url,
    }
}

/// Takes away what is not sent: user information and the fragment.
fn plain(url: &mut url::Url) {
    // Both fail only for URLs without a host, which these have.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
}

impl schemars::JsonSchema for Link {
    fn schema_name() -> Cow<'static, str> {
        "Link".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "uri", "title": "URL", "pattern": "^https?://" })
    }
}

/// Where a response redirects to (RFC 9110, section 10.2.2), or why that cannot be said.
pub fn location(from: &url::Url, response: &Response) -> Option<Result<url::Url, String>> {
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

/// Resolves a reference against the URL that it stands in.
pub fn join(from: &url::Url, to: &str) -> Result<url::Url, String> {
    let shown = text::excerpt(&shown(to), 80);
    let mut url = from
        .join(to)
        .map_err(|it| format!("redirects to \"{shown}\", which is no URL: {it}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!(
            "redirects to \"{shown}\", which is neither http:// nor https://"
        ));
    }
    plain(&mut url);
    Ok(url)
}

/// The host of a URL without the brackets of an IPv6 address.
pub fn host(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    host.trim_matches(['[', ']']).to_owned()
}

/// Percent-decodes user information.
fn unescape(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_not_shown() {
        assert_eq!(shown("https://u:p@h/a?token=x#y"), "https://…@h/a?…");
        assert_eq!(shown("/a#access_token=x"), "/a?…");
        assert_eq!(shown("https://h/a"), "https://h/a");
    }

    #[test]
    fn relative_locations_are_joined() {
        let from: url::Url = "http://h:81/a/b?c".parse().expect("a URL");
        let joined = |to: &str| join(&from, to).expect(to).to_string();
        assert_eq!(joined("d"), "http://h:81/a/d");
        assert_eq!(joined("../d?e"), "http://h:81/d?e");
        assert_eq!(joined("/d"), "http://h:81/d");
        assert_eq!(joined("//g/d"), "http://g/d");
        assert_eq!(joined("?e"), "http://h:81/a/b?e");
        assert_eq!(joined("https://u:p@g/#f"), "https://g/");
        assert!(join(&from, "ftp://g/").is_err());
        assert!(join(&from, "mailto:x").is_err());
    }

    #[test]
    fn urls_are_checked_at_load() {
        assert!(read("example.jp").is_err_and(|it| it.contains("write http://example.jp")));
        assert!(read("ftp://h/").is_err());
        assert!(read("http:///x").is_err());
        assert!(read("http://h:x/").is_err());
        assert!(read("http://[fe80::1%]/").is_err());
        let url = read("https://u:p%40@h/あ b").expect("a URL");
        assert_eq!(url.url.to_string(), "https://h/%E3%81%82%20b");
        assert_eq!(url.login, Some(("u".to_owned(), "p@".to_owned())));
        let upper = read("HTTPS://Example.JP/A").expect("a URL");
        assert_eq!(upper.url.to_string(), "https://example.jp/A");
        for zoned in [
            "http://[fe80::1%25eth0]:81/a%5D",
            "http://u:p@[fe80::1%eth0]:81/a%5D",
        ] {
            let link = read(zoned).expect("a URL");
            assert_eq!(link.url.to_string(), "http://[fe80::1]:81/a%5D");
            assert_eq!(link.host(), "fe80::1%eth0");
        }
        let japanese = read("https://古酒.jp/").expect("a URL");
        assert_eq!(japanese.url.host_str(), Some("xn--7oro34l.jp"));
    }
}
