//! `http`: a page answers with the status, headers and body that it should have.

mod request;
mod url;

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::model::limits::{Limits, Size, Time};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::pattern::Pattern;
use crate::model::quantity::{self, Unit};
use crate::model::secret::Secret;
use crate::model::state::State;
use crate::model::text;
use crate::net::agent::{self, Reach, Response};
use crate::net::{self, Family, Fault};
use anyhow::Context as _;
use request::{FieldName, Status, Verb};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::{self, HeaderMap, Method, header};
use url::{Url, location};

pub const TYPE: Type = Type::of::<Http>(
    "http",
    &["url"],
    include_str!("../../../checks/http.toml"),
    &[("time", Unit::Seconds), ("size", Unit::Bytes)],
    &[CODES, net::CODES, net::trust::CODES],
);

const CODES: &[Code] = &[
    code(
        "status",
        "WARNING for 4xx, else CRITICAL",
        "The server answers with a status that `status` does not allow; by default anything but 2xx.",
    ),
    code(
        "redirect",
        "by `redirect`",
        "The server redirects, and `redirect` does not say to follow; or it redirects to nowhere.",
    ),
    code(
        "redirect-loop",
        "CRITICAL",
        "The redirects come back to where they were, or there are more than ten.",
    ),
    code(
        "body",
        "CRITICAL",
        "`body` is not found in the page, or `body_not` is.",
    ),
    code(
        "header",
        "CRITICAL",
        "A header is missing, or is not as `header` wants it.",
    ),
    code(
        "time",
        "by limits",
        "The page took longer than `time` allows.",
    ),
    code(
        "size",
        "by limits",
        "The page is smaller or larger than `size` allows.",
    ),
    code(
        "not-http",
        "CRITICAL",
        "What answers does not speak HTTP: wrong port or wrong service.",
    ),
];

/// A web page or API answers over HTTP/1.1 as it should. By default 2xx is OK, 4xx WARNING, and everything else CRITICAL.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Http {
    /// The page, with `http://` or `https://`.
    url: Url,
    /// The request's method. Default: `"GET"`, with `data` `"POST"`.
    method: Option<Verb>,
    /// Headers of the request: `{ Accept = "text/html" }`; a value can be `{ env = … }` or `{ file = … }`.
    #[serde(default)]
    headers: BTreeMap<FieldName, Secret>,
    /// The body of the request.
    data: Option<String>,
    /// The name for basic authentication.
    user: Option<String>,
    /// The password for basic authentication.
    password: Option<Secret>,
    /// Statuses that are OK, all others are CRITICAL: `[200, "2xx", "300-399"]`.
    status: Option<List<Status>>,
    /// What the body must contain.
    body: Option<Pattern>,
    /// What the body must not contain.
    body_not: Option<Pattern>,
    /// Headers that the response must have, each with what it must contain: `{ Content-Type = "^text/html" }`.
    #[serde(default)]
    header: BTreeMap<FieldName, Pattern>,
    /// What a redirect means: `"follow"`, `"ok"`, `"warning"` or `"critical"`. Default: `"follow"`.
    #[serde(default)]
    redirect: Redirect,
    /// Whether the certificate must be valid for the host. Default: `true`.
    verify: Option<bool>,
    /// Trust the root certificates of this file instead of the system's.
    ca: Option<PathBuf>,
    /// Limits of the time until the body is read.
    time: Option<Limits<Time>>,
    /// Limits of the body's size.
    size: Option<Limits<Size>>,
    /// `"ipv4"` or `"ipv6"` alone. Default: both.
    #[serde(default)]
    family: Family,
    /// Connect to this `HOST` or `HOST:PORT`; the request still names the URL's host.
    address: Option<String>,
}

/// How much of a body is read.
const MOST: u64 = 4 << 20;
const MOST_REDIRECTS: usize = 10;

/// What a redirect means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Redirect {
    /// Ask where it points.
    #[default]
    Follow,
    Ok,
    Warning,
    Critical,
}

/// What was seen.
struct Seen {
    response: Response,
    took: Duration,
    /// Where the redirects led.
    followed: Vec<String>,
    /// Why they were not followed to their end.
    stuck: Option<(&'static str, String)>,
}

impl Check for Http {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        match self.observe(cx) {
            Ok(seen) => self.judge(&seen),
            Err(fault) => fault.outcome(),
        }
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let secure = self.url.uri.scheme_str() == Some("https");
        if self.password.is_some() && self.user.is_none() {
            flaws.push(flaw("password", "a `password` needs its `user`"));
        }
        if self.user.is_some() && self.url.login.is_some() {
            flaws.push(flaw("user", "the URL names a user already"));
        }
        if self.ca.is_some() && self.verify == Some(false) {
            flaws.push(flaw("ca", "`ca` means nothing with `verify = false`"));
        }
        if let Some(address) = &self.address
            && let Some(message) = net::port_flaw(address, None, Some(80))
        {
            flaws.push(flaw("address", message));
        }
        if !secure
            && self.redirect != Redirect::Follow
            && (self.ca.is_some() || self.verify.is_some())
        {
            flaws.push(flaw("url", "`verify` and `ca` mean nothing for http://"));
        }
        flaws
    }
}

impl Http {
    fn observe(&self, cx: &Context) -> Result<Seen, Fault> {
        let start = Instant::now();
        let login = self.login(cx).map_err(Fault::Me)?;
        let headers = self.request_headers(cx).map_err(Fault::Me)?;
        let mut uri = self.url.uri.clone();
        let default = if self.data.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut method = self.method.clone().map_or(default, |it| it.0);
        let mut data = self.data.clone().unwrap_or_default().into_bytes();
        let (mut followed, mut stuck) = (Vec::new(), None);
        let home = url::origin(&uri);
        loop {
            let at_home = home == url::origin(&uri);
            let mut reach = self.reach(cx);
            if !at_home {
                reach.address = None;
            }
            let request =
                request::request(&uri, &method, &data, &headers, login.as_deref(), at_home)
                    .map_err(Fault::Me)?;
            let response = agent::exchange(request, &reach, MOST)?;
            let next = match self.redirect {
                Redirect::Follow if !self.wants(response.status) => location(&uri, &response),
                _ => None,
            };
            match next {
                Some(Ok(next)) if followed.len() < MOST_REDIRECTS => {
                    let shown = text::without_userinfo(&next.to_string());
                    let again = next == uri || followed.contains(&shown);
                    if again && method == Method::GET {
                        stuck = Some((
                            "redirect-loop",
                            format!("redirects in a circle, to {shown}"),
                        ));
                    }
                    // RFC 9110, 15.4: only 307 and 308 keep the method.
                    if !matches!(response.status.as_u16(), 307 | 308) && method != Method::HEAD {
                        method = Method::GET;
                        data.clear();
                    }
                    followed.push(shown);
                    uri = next;
                }
                Some(Ok(next)) => {
                    let text =
                        format!("redirects more than {MOST_REDIRECTS} times, then to {next}");
                    stuck = Some(("redirect-loop", text));
                }
                Some(Err(why)) => stuck = Some(("redirect", why)),
                None => {
                    return Ok(Seen {
                        response,
                        took: start.elapsed(),
                        followed,
                        stuck,
                    });
                }
            }
            if stuck.is_some() {
                return Ok(Seen {
                    response,
                    took: start.elapsed(),
                    followed,
                    stuck,
                });
            }
        }
    }

    /// Whether this status is one that the list asks for.
    fn wants(&self, status: http::StatusCode) -> bool {
        let wanted = self.status.as_ref();
        wanted.is_some_and(|it| it.0.iter().any(|it| it.has(status.as_u16())))
    }

    fn reach(&self, cx: &Context) -> Reach {
        let verify = self.verify != Some(false);
        let (cx_, ca) = (cx.clone(), self.ca.clone());
        let judge = move |peer: &net::tls::Peer, name: &str| match verify {
            false => Ok(()),
            true => cx_.accept(peer, name, ca.as_deref()),
        };
        let address = self.address.as_ref().map(|it| {
            let (host, port) = net::split_port(it);
            (host.to_owned(), port)
        });
        Reach {
            family: self.family,
            address,
            deadline: cx.deadline,
            judge: Arc::new(judge),
        }
    }

    /// The value of the Authorization header.
    fn login(&self, cx: &Context) -> anyhow::Result<Option<String>> {
        let login = match (&self.user, &self.password, &self.url.login) {
            (Some(user), Some(password), _) => format!("{user}:{}", cx.secret(password)?),
            (Some(user), None, _) => format!("{user}:"),
            (None, _, Some(login)) => url::unescape(login),
            (None, _, None) => return Ok(None),
        };
        Ok(Some(format!("Basic {}", request::base64(login.as_bytes()))))
    }

    fn request_headers(&self, cx: &Context) -> anyhow::Result<Vec<(String, String)>> {
        let read = |(FieldName(name), value): (&FieldName, &Secret)| {
            let value = cx.secret(value).with_context(|| format!("header {name}"))?;
            Ok((name.clone(), value))
        };
        self.headers.iter().map(read).collect()
    }

    fn judge(&self, seen: &Seen) -> anyhow::Result<Outcome> {
        let response = &seen.response;
        let status = response.status.as_u16();
        let reason = response.status.canonical_reason().unwrap_or_default();
        let said = format!("HTTP {status} {reason}");
        let said = said.trim_end();
        let took = seen.took.as_secs_f64();
        let size = response.body.len() as f64;
        let more = if response.cut { "more than " } else { "" };
        let via = match seen.followed.len() {
            0 => String::new(),
            1 => format!(", redirected to {}", seen.followed[0]),
            times => format!(
                ", redirected {times} times, to {}",
                seen.followed[times - 1]
            ),
        };
        let mut outcome = Outcome::new(&format!(
            "{said}, {more}{} in {}{via}",
            quantity::bytes(size),
            quantity::seconds(took)
        ));
        match &seen.stuck {
            Some((code, line)) => outcome.find(code, State::Critical, line),
            None => self.judge_status(&mut outcome, response, said),
        }
        self.judge_content(&mut outcome, response, more)?;
        let time = Metric::new("time", took, Unit::Seconds).judged(Limits::maybe(&self.time, 0.0));
        outcome.measure(time, &format!("took {}", quantity::seconds(took)));
        let metric = Metric::new("size", size, Unit::Bytes).judged(Limits::maybe(&self.size, 0.0));
        outcome.measure(
            metric,
            &format!("the body has {more}{}", quantity::bytes(size)),
        );
        if self.verify == Some(false) {
            outcome.detail("the certificate was not verified, as `verify = false` says");
        }
        if response.cut {
            outcome.detail(&format!(
                "only the first {} were read",
                quantity::bytes(MOST as f64)
            ));
        }
        outcome.detail(&format!("answered by {}", response.peer));
        for line in &response.passed_over {
            outcome.detail(line);
        }
        Ok(outcome)
    }

    fn judge_status(&self, outcome: &mut Outcome, response: &Response, said: &str) {
        let status = response.status.as_u16();
        let to = response.headers.get(header::LOCATION);
        let to = to.map_or("nowhere".to_owned(), |it| {
            String::from_utf8_lossy(it.as_bytes()).into_owned()
        });
        let redirected = || format!("{said}, redirects to {to}");
        match (&self.status, status, self.redirect) {
            (Some(_), _, _) if self.wants(response.status) => (),
            (Some(_), _, _) => outcome.find(
                "status",
                State::Critical,
                &format!("{said} is not an expected status"),
            ),
            (None, 200..=299, _) | (None, 300..=399, Redirect::Ok) => (),
            (None, 304, Redirect::Follow) => (),
            (None, 300..=399, Redirect::Warning) => {
                outcome.find("redirect", State::Warning, &redirected())
            }
            (None, 300..=399, _) => outcome.find("redirect", State::Critical, &redirected()),
            (None, 400..=499, _) => outcome.find("status", State::Warning, said),
            (None, _, _) => outcome.find("status", State::Critical, said),
        }
    }

    fn judge_content(
        &self,
        outcome: &mut Outcome,
        response: &Response,
        more: &str,
    ) -> anyhow::Result<()> {
        let place = match more.is_empty() {
            true => "in the body".to_owned(),
            false => format!("in the first {}", quantity::bytes(MOST as f64)),
        };
        if let Some(wanted) = &self.body
            && !wanted.finds(&response.body)?
        {
            let line = format!("/{}/ is not found {place}", wanted.as_str());
            outcome.find("body", State::Critical, &line);
        }
        if let Some(unwanted) = &self.body_not
            && let Some(found) = unwanted.regex()?.find(&response.body)
        {
            let found = text::excerpt(&String::from_utf8_lossy(found.as_bytes()), 60);
            outcome.find(
                "body",
                State::Critical,
                &format!("\"{found}\" is found {place}"),
            );
        }
        for (FieldName(name), wanted) in &self.header {
            let values: Vec<&[u8]> = values(&response.headers, name);
            let mut fits = false;
            for value in &values {
                fits |= wanted.finds(value)?;
            }
            let line = match values.first() {
                _ if fits => continue,
                None => format!("header {name} is missing"),
                Some(value) => format!(
                    "header {name} is \"{}\", expected /{}/",
                    text::excerpt(&String::from_utf8_lossy(value), 60),
                    wanted.as_str()
                ),
            };
            outcome.find("header", State::Critical, &line);
        }
        Ok(())
    }
}

fn values<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h [u8]> {
    headers
        .get_all(name)
        .iter()
        .map(|it| it.as_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(keys: &str) -> Http {
        toml::from_str(&format!("url = 'http://h/'\n{keys}")).expect("an http check")
    }

    fn seen(status: u16, body: &str) -> Seen {
        Seen {
            response: Response {
                status: http::StatusCode::from_u16(status).expect("a status"),
                headers: HeaderMap::new(),
                body: body.as_bytes().to_vec(),
                cut: false,
                peer: "h".to_owned(),
                passed_over: vec![],
            },
            took: Duration::from_millis(100),
            followed: vec![],
            stuck: None,
        }
    }

    fn state(keys: &str, status: u16, body: &str) -> State {
        http(keys)
            .judge(&seen(status, body))
            .expect("a judgement")
            .state()
    }

    #[test]
    fn statuses_are_judged_by_class_unless_they_are_listed() {
        assert_eq!(state("", 204, ""), State::Ok);
        assert_eq!(state("", 404, ""), State::Warning);
        assert_eq!(state("", 503, ""), State::Critical);
        assert_eq!(state("status = [404]", 404, ""), State::Ok);
        assert_eq!(state("status = '2xx'", 404, ""), State::Critical);
        assert_eq!(state("redirect = 'warning'", 302, ""), State::Warning);
    }

    #[test]
    fn body_conditions_say_what_was_found() {
        assert_eq!(state("body = 'cart'", 200, "add to cart"), State::Ok);
        assert_eq!(state("body = 'cart'", 200, "sold out"), State::Critical);
        assert_eq!(
            state("body_not = 'err.r'", 200, "an error"),
            State::Critical
        );
        assert_eq!(state("header = { X-Foo = '.' }", 200, ""), State::Critical);
        assert_eq!(state("size = '10B:,'", 200, "x"), State::Warning);
    }
}
