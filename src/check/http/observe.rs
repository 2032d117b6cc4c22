//! Asks for a page, and follows where it redirects to.

use super::link::{location, shown};
use super::request::{self, FieldName, Own, Parts};
use super::{Http, HttpVersion, MOST_REDIRECTS, Redirect};
use crate::bounded;
use crate::check::Context;
use crate::model::secret::Secret;
use crate::model::text;
use crate::net::agent::{self, Phases, Proxy, Reach, Response, Way};
use crate::net::tls::{Identity, Offer, Peer};
use crate::net::{self, Fault};
use anyhow::Context as _;
use cookie_store::CookieStore;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::{self, Method, StatusCode, Uri, header};
use url::Url;

/// What was seen.
pub struct Seen {
    pub response: Response,
    pub took: Duration,
    /// All exchanges together.
    pub phases: Phases,
    /// What was asked last.
    pub url: Url,
    /// Where the redirects led.
    pub followed: Vec<Url>,
    /// How they left TLS.
    pub unsafe_hop: Option<String>,
    /// Why they were not followed to their end.
    pub stuck: Option<(&'static str, String)>,
}

impl Http {
    /// Asks until a response is no redirect; `at` is the one address to ask.
    ///
    /// # Errors
    /// For everything that is no HTTP response.
    pub fn observe(&self, cx: &Context, at: Option<SocketAddr>) -> Result<Seen, Fault> {
        let start = Instant::now();
        let mut parts = self.parts(cx).map_err(Fault::Me)?;
        let home = self.reach(cx, at).map_err(Fault::Me)?;
        let mut reach = home.clone();
        let mut url = self.url.url.clone();
        let usual = match parts.data.is_empty() {
            true => Method::GET,
            false => Method::POST,
        };
        let mut method = self.method.as_ref().map_or(usual, |it| it.0.clone());
        let most = usize::from(self.redirects.unwrap_or(MOST_REDIRECTS));
        let mut jar = CookieStore::new();
        let mut phases = Phases::default();
        let mut first = None;
        let mut asked = Vec::new();
        let mut unsafe_hop = None;
        loop {
            let at_home = url.origin() == self.url.url.origin();
            let cookies = cookies(&jar, &url);
            let request =
                uri(&url).and_then(|it| request::request(&it, &method, &parts, &cookies, at_home));
            let response = agent::exchange(request.map_err(Fault::Me)?, &reach, self.most())?;
            phases.add(&response.phases);
            keep(&mut jar, &url, &response);
            first = first.or(response.address);
            let next = location(&url, &response);
            if let Some(Ok(next)) = &next
                && url.scheme() == "https"
                && next.scheme() == "http"
            {
                let (from, to) = (shown(url.as_str()), shown(next.as_str()));
                unsafe_hop = Some(format!("{from} redirects to {to}, which is not encrypted"));
            }
            let next = next.filter(|_| self.redirect.follows() && !self.wants(&response));
            asked.push((url.clone(), cookies));
            let stuck = match next {
                None => None,
                Some(Err(why)) => Some(("redirect", why)),
                Some(Ok(next)) if asked.len() > most => {
                    let text = format!(
                        "redirects more than {most} times, then to {}",
                        shown(next.as_str())
                    );
                    Some(("redirect-loop", text))
                }
                // A page may set a cookie and send back to itself.
                Some(Ok(next))
                    if method == Method::GET
                        && asked.contains(&(next.clone(), self::cookies(&jar, &next))) =>
                {
                    let text = format!("redirects in a circle, to {}", shown(next.as_str()));
                    Some(("redirect-loop", text))
                }
                Some(Ok(next))
                    if !becomes_get(response.status, &method)
                        && !parts.data.is_empty()
                        && next.origin() != self.url.url.origin() =>
                {
                    let (status, to) = (response.status.as_u16(), shown(next.as_str()));
                    let text = format!(
                        "HTTP {status} redirects to {to}, another server: the body is not sent there"
                    );
                    Some(("redirect", text))
                }
                Some(Ok(next)) => {
                    if becomes_get(response.status, &method) {
                        method = Method::GET;
                        parts.data.clear();
                        parts.headers.retain(|it| !it.is_of_body());
                    }
                    reach = self.onward(&home, &next, first);
                    url = next;
                    continue;
                }
            };
            return Ok(Seen {
                response,
                took: start.elapsed(),
                phases,
                url,
                unsafe_hop,
                followed: asked.into_iter().skip(1).map(|it| it.0).collect(),
                stuck,
            });
        }
    }

    /// Whether this answer is one that the list asks for.
    pub fn wants(&self, response: &Response) -> bool {
        let status = response.status.as_u16();
        match (&self.status, &self.status_line) {
            (Some(list), _) => list.0.iter().any(|it| it.has(status)),
            (None, Some(line)) => {
                let violated = line.violated(response.line.as_bytes(), "in the status line");
                matches!(violated, Ok(None))
            }
            (None, None) => false,
        }
    }

    /// What goes into every request.
    fn parts(&self, cx: &Context) -> anyhow::Result<Parts> {
        let read = |name: &str, secret: &Secret| {
            let value = cx.value(name, secret)?;
            request::header_value(name, &value)?;
            anyhow::Ok(value)
        };
        let headers = |(FieldName(name), value): (&FieldName, &Secret)| {
            let text = read(name, value).with_context(|| format!("header {name}"))?;
            Ok(Own::new(name, text, value))
        };
        let login = match (&self.bearer, &self.user, &self.url.login) {
            (Some(token), _, _) => {
                let token = read("Authorization", token).context("`bearer`")?;
                Some(format!("Bearer {token}"))
            }
            (None, user, login) => login_of(cx, user.as_deref(), &self.password, login.as_ref())?,
        };
        Ok(Parts {
            version: match self.version {
                HttpVersion::V10 => http::Version::HTTP_10,
                HttpVersion::V11 => http::Version::HTTP_11,
            },
            data: self.data.clone().unwrap_or_default().into_bytes(),
            headers: self
                .headers
                .iter()
                .map(headers)
                .collect::<anyhow::Result<_>>()?,
            login,
            proxy_login: self.proxy_login(cx)?,
            compressed: self.compressed,
        })
    }

    fn proxy_login(&self, cx: &Context) -> anyhow::Result<Option<String>> {
        let login = self.proxy.as_ref().and_then(|it| it.login.as_ref());
        login_of(cx, self.proxy_user.as_deref(), &self.proxy_password, login)
    }

    /// How to reach the first page.
    fn reach(&self, cx: &Context, at: Option<SocketAddr>) -> anyhow::Result<Reach> {
        let unix = self
            .address
            .as_ref()
            .and_then(|it| it.strip_prefix("unix:"));
        let way = match (at, &self.proxy, unix, &self.address) {
            (Some(at), _, _, _) => Way::Address(net::host_of(at), None),
            (_, Some(proxy), _, _) => Way::Proxy(Proxy {
                host: proxy.host(),
                port: proxy.url.port_or_known_default().unwrap_or(80),
                login: self.proxy_login(cx)?,
            }),
            (_, _, Some(path), _) => Way::Unix(cx.path(Path::new(path))),
            (_, _, _, Some(address)) => {
                let (host, port) = net::split_port(address);
                Way::Address(host.to_owned(), port)
            }
            _ if self.url.zone.is_some() => Way::Address(self.url.host(), None),
            _ => Way::Direct,
        };
        let verify = self.verify != Some(false);
        let (cx_, ca) = (cx.clone(), self.ca.clone());
        let judge = move |peer: &Peer, name: &str| match verify {
            false => Ok(()),
            true => cx_.accept(peer, name, ca.as_deref()),
        };
        Ok(Reach {
            family: self.family,
            resolver: cx.resolver(self.resolve),
            way,
            sni: self.sni.clone(),
            offer: Offer {
                oldest: self.min_tls,
                newest: self.max_tls,
                identity: self.identity(cx)?,
                ..Offer::default()
            },
            proxy_line: self.proxy_line,
            detour: self.legacy.then(|| cx.detour()),
            ..Reach::direct(cx.deadline, Arc::new(judge))
        })
    }

    fn identity(&self, cx: &Context) -> anyhow::Result<Option<Arc<Identity>>> {
        let Some(chain) = &self.client_cert else {
            return Ok(None);
        };
        let read = |path: &Path| {
            let path = cx.path(path);
            let bytes = bounded::read(&path, bounded::KEYS);
            bytes.with_context(|| format!("cannot read {}", path.display()))
        };
        let key = self.client_key.as_ref().unwrap_or(chain);
        let identity = Identity::read(&read(chain)?, &read(key)?);
        Ok(Some(Arc::new(identity?)))
    }

    /// How to reach a page that another one redirects to: as the list says on the same host, else directly,
    /// with `sticky` where the first page was.
    fn onward(&self, home: &Reach, next: &Url, first: Option<SocketAddr>) -> Reach {
        let own = &self.url.url;
        let same_host = next.host() == own.host();
        let same_port = next.port_or_known_default() == own.port_or_known_default();
        let mut reach = home.clone();
        reach.way = match (&home.way, self.redirect, first) {
            (Way::Proxy(_), _, _) => home.way.clone(),
            (Way::Unix(_), Redirect::Sticky | Redirect::Stickyport, _) => home.way.clone(),
            (_, Redirect::Sticky, Some(at)) => Way::Address(net::host_of(at), None),
            (_, Redirect::Stickyport, Some(at)) => Way::Address(net::host_of(at), Some(at.port())),
            (Way::Address(host, _), _, _) if same_host && !same_port => {
                Way::Address(host.clone(), None)
            }
            _ if same_host => home.way.clone(),
            _ => Way::Direct,
        };
        if !same_host {
            reach.sni = None;
            reach.offer.identity = None;
            reach.proxy_line = false;
        }
        reach
    }
}

/// The value of Authorization for a user, or for who is named in a URL.
fn login_of(
    cx: &Context,
    user: Option<&str>,
    password: &Option<Secret>,
    in_url: Option<&(String, String)>,
) -> anyhow::Result<Option<String>> {
    let password = password.as_ref().map(|it| cx.secret(it)).transpose()?;
    let login = match (user, in_url) {
        (Some(user), _) => Some(request::basic(user, &password.unwrap_or_default())),
        (None, Some((user, password))) => {
            cx.run.secrets.keep(password);
            Some(request::basic(user, password))
        }
        (None, None) => None,
    };
    // A server may give back what it was sent as it came.
    let encoded = login.as_deref().and_then(|it| it.strip_prefix("Basic "));
    encoded.iter().for_each(|it| cx.run.secrets.keep(it));
    Ok(login)
}

/// Whether the next request is a GET without a body (RFC 9110, sections 15.4.2 to 15.4.4, as browsers do).
fn becomes_get(status: StatusCode, method: &Method) -> bool {
    match status.as_u16() {
        301 | 302 => method == Method::POST,
        303 => method != Method::HEAD,
        _ => false,
    }
}

/// The cookies that go to a URL, as the header says it (RFC 6265, section 5.4).
fn cookies(jar: &CookieStore, url: &Url) -> String {
    let mut all: Vec<String> = jar
        .get_request_values(url)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    all.sort();
    all.join("; ")
}

/// Keeps the cookies of a response; those that it may not set are left out.
fn keep(jar: &mut CookieStore, url: &Url, response: &Response) {
    for cookie in response.headers.get_all(header::SET_COOKIE) {
        let _ = jar.parse(&String::from_utf8_lossy(cookie.as_bytes()), url);
    }
}

fn uri(url: &Url) -> anyhow::Result<Uri> {
    url.as_str().parse().with_context(|| {
        format!(
            "{} cannot be asked for",
            text::excerpt(&shown(url.as_str()), 200)
        )
    })
}
