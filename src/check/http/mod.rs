//! `http`: a page answers with the status, headers and body that it should have.

mod charset;
mod condition;
mod decode;
mod json;
mod judge;
mod link;
mod observe;
mod request;

use crate::check::{Check, Context, Flaw, READS, Type, flaw};
use crate::model::limits::{Judges, Left, Limits, Old, Size, Time};
use crate::model::list::List;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::Unit;
use crate::model::secret::Secret;
use crate::net::tls::{self, Version};
use crate::net::{self, Family, Resolve};
use condition::{Condition, Unwanted};
use json::{Field, Place};
use link::Link;
use request::{FieldName, Status, Verb};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub const TYPE: Type = Type::of::<Http>(
    "http",
    &["url"],
    include_str!("../../../checks/http.toml"),
    &[
        ("time", Unit::Seconds),
        ("size", Unit::Bytes),
        ("resolve", Unit::Seconds),
        ("connect", Unit::Seconds),
        ("tls", Unit::Seconds),
        ("first_byte", Unit::Seconds),
        ("transfer", Unit::Seconds),
    ],
    &[CODES, net::CODES, net::everywhere::CODES, net::trust::CODES],
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
        "The server redirects, and `redirect` does not say to follow; or it redirects to nowhere, or a request with a body to another server.",
    ),
    code(
        "redirect-loop",
        "CRITICAL",
        "The redirects come back to where they were, or there are more than `redirects`.",
    ),
    code(
        "insecure-redirect",
        "WARNING",
        "A page that was asked for over TLS redirects to one without: everybody on the way can read and change it.",
    ),
    code(
        "final-url",
        "CRITICAL",
        "The redirects led elsewhere than `final_url` says.",
    ),
    code(
        "body",
        "CRITICAL",
        "`body` is not found in the page, or `body_not` is.",
    ),
    code(
        "cut-off",
        "CRITICAL",
        "The connection ended before the page did: the server or something before it crashed, or ran into a limit.",
    ),
    code(
        "no-close-notify",
        "WARNING",
        "The page does not say how long it is, and TLS ended without the word that says that nothing was cut off; a document that shows its own end is fine.",
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
        "json",
        "CRITICAL, or by limits",
        "The body is no JSON document, or a field in it is not as `json` wants it.",
    ),
    code(
        "age",
        "by limits, CRITICAL without a date",
        "The document was changed longer ago than `age` allows, or its Last-Modified does not say when.",
    ),
    code(
        "encoding",
        "CRITICAL; a note where nothing looks at the body",
        "The body is compressed, and what it is compressed with is unknown or damaged.",
    ),
    code("cert", "by limits", "The server's certificate ends soon."),
    code(
        "resolve",
        "by limits",
        "Resolving the name took longer than `phases` allows.",
    ),
    code(
        "connect",
        "by limits",
        "Connecting took longer than `phases` allows: the network, or a full queue of the server.",
    ),
    code(
        "tls",
        "by limits",
        "The TLS handshake took longer than `phases` allows.",
    ),
    code(
        "first-byte",
        "by limits",
        "The server thought about its answer for longer than `phases` allows.",
    ),
    code(
        "transfer",
        "by limits",
        "Sending the answer took longer than `phases` allows.",
    ),
    code(
        "proxy",
        "CRITICAL",
        "The proxy refuses the tunnel: its own rules or password, or it cannot reach the server.",
    ),
    code(
        "not-http",
        "CRITICAL",
        "What answers does not speak HTTP, or a version that was not asked for; the text says how it begins.",
    ),
    code(
        "bad-http",
        "CRITICAL",
        "The answer begins as HTTP and then breaks its rules, so that nobody can say what it means; the text says where.",
    ),
];

/// A web page or API answers over HTTP as it should. By default 2xx is OK, 4xx WARNING, and everything else CRITICAL.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Http {
    /// The page, with `http://` or `https://`; an IPv6 address of a network interface is written `http://[fe80::1%25eth0]/`.
    url: Link,
    /// The request's method. Default: `"GET"`, with `data` `"POST"`.
    method: Option<Verb>,
    /// Headers of the request: `{ Accept = "text/html" }`; a value can be `{ env = … }` or `{ file = … }`. Redirects to another server get them too, but not those that are secret by their place or name.
    #[serde(default)]
    headers: BTreeMap<FieldName, Secret>,
    /// The body of the request.
    data: Option<String>,
    /// The version to speak, `"1.0"` or `"1.1"`. Default: `"1.1"`.
    #[serde(default)]
    version: HttpVersion,
    /// Whether to ask for gzip or deflate. What is compressed is read either way.
    #[serde(default)]
    compressed: bool,
    /// The name for basic authentication.
    user: Option<String>,
    /// The password for basic authentication.
    password: Option<Secret>,
    /// A token for bearer authentication.
    bearer: Option<Secret>,
    /// Statuses that are OK, all others are CRITICAL: `[200, "2xx", "300-399"]`.
    status: Option<List<Status>>,
    /// What the status line must match, as `"^HTTP/1.1 200 "`; alone, it says what is OK.
    status_line: Option<Condition>,
    /// What the body must match: regexes, or tables `{ text = "…", ignore_case = true, linespan = true, not = true }`.
    body: Option<List<Condition>>,
    /// Regexes that the body must not match.
    #[serde(default)]
    body_not: Unwanted,
    /// Headers that the response must have, each with what it must match: `{ Content-Type = "^text/html" }`.
    #[serde(default)]
    header: BTreeMap<FieldName, Condition>,
    /// Fields of a JSON document: `{ status = "ok", "queue.length" = "100,1000" }`. Numbers with a comma are limits, any other value must be equal; tables have `warn`, `crit`, `regex`, `not`, `exists`. A path is names joined with dots, or a JSON Pointer.
    #[serde(default)]
    json: BTreeMap<Place, Field>,
    /// Limits of the time since the document was last modified.
    age: Option<Limits<Old>>,
    /// What a redirect means: `"follow"`, `"ok"`, `"warning"` or `"critical"`; `"sticky"` follows at the same address, `"stickyport"` also at the same port. Default: `"follow"`.
    #[serde(default)]
    redirect: Redirect,
    /// What the URL must match at which the redirects end; its query counts, and is not shown.
    final_url: Option<Condition>,
    /// How many redirects are followed. Default: 10.
    redirects: Option<u8>,
    /// Whether the certificate must be valid for the host. Default: `true`.
    verify: Option<bool>,
    /// Trust the root certificates of this file instead of the system's.
    ca: Option<PathBuf>,
    /// Limits of the time that the server's certificate has left, in days or % of its lifetime: `"14d,7d"`.
    cert: Option<Limits<Left>>,
    /// The oldest version of TLS to offer, `"1.2"` or `"1.3"`.
    min_tls: Option<Version>,
    /// The newest version of TLS to offer.
    max_tls: Option<Version>,
    /// The name to ask for in TLS, and that the certificate must have. Default: the URL's host.
    sni: Option<String>,
    /// An old device: where its TLS is too old for koshu, the host's `openssl s_client` makes the connection.
    #[serde(default)]
    legacy: bool,
    /// A certificate of ours in PEM, for servers that demand one.
    client_cert: Option<PathBuf>,
    /// Its private key in PEM. Default: in the same file.
    client_key: Option<PathBuf>,
    /// Ask through this proxy, `"http://proxy:3128"`; https:// goes through a tunnel. Without it the server is asked directly: HTTP_PROXY, HTTPS_PROXY and other variables are ignored.
    proxy: Option<Link>,
    /// The name for the proxy's basic authentication.
    proxy_user: Option<String>,
    /// The password for the proxy's basic authentication.
    proxy_password: Option<Secret>,
    /// Limits of the time until the body is read.
    time: Option<Limits<Time>>,
    /// Limits of parts of that time: `{ resolve = …, connect = …, tls = …, first_byte = …, transfer = … }`.
    #[serde(default)]
    phases: PhaseLimits,
    /// Limits of the body's size.
    size: Option<Limits<Size>>,
    /// `"ipv4"` or `"ipv6"` alone. Default: both.
    #[serde(default)]
    family: Family,
    /// How the name is resolved: `"system"`, or `"authoritative"` by its own servers, past all caches. Default: `"system"`.
    #[serde(default)]
    resolve: Resolve,
    /// Connect to this `HOST` or `HOST:PORT`, or to a socket `unix:PATH`; the request still names the URL's host.
    address: Option<String>,
    /// `"all"` asks every address of the name. Default: `"first"`, the first that answers.
    #[serde(default)]
    addresses: Addresses,
    /// Whether to begin with a PROXY line, for servers that expect a load balancer.
    #[serde(default)]
    proxy_line: bool,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
enum HttpVersion {
    #[serde(rename = "1.0")]
    V10,
    #[default]
    #[serde(rename = "1.1")]
    V11,
}

/// Which addresses of a name are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Addresses {
    #[default]
    First,
    All,
}

/// What a redirect means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Redirect {
    /// Ask where it points.
    #[default]
    Follow,
    /// Ask there, but at the address of the first page.
    Sticky,
    /// And at its port.
    Stickyport,
    Ok,
    Warning,
    Critical,
}

impl Http {
    /// How many bytes of a body are read: enough to judge its size.
    fn most(&self) -> u64 {
        let Judges { warn, crit } = Limits::maybe(&self.size, 0.0);
        let ends = warn.iter().chain(&crit).flat_map(|it| [it.start, it.end]);
        let largest = ends.filter(|it| it.is_finite()).fold(0.0, f64::max);
        // One more byte tells that it is too large.
        (largest as u64 + 1).clamp(MOST, MOST_EVER)
    }
}

impl Redirect {
    fn follows(self) -> bool {
        matches!(
            self,
            Redirect::Follow | Redirect::Sticky | Redirect::Stickyport
        )
    }
}

/// Limits of the phases of a request.
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct PhaseLimits {
    resolve: Option<Limits<Time>>,
    connect: Option<Limits<Time>>,
    tls: Option<Limits<Time>>,
    first_byte: Option<Limits<Time>>,
    transfer: Option<Limits<Time>>,
}

/// How much of a body is read, unless `size` asks for more.
const MOST: u64 = 4 << 20;
/// What `size` can ask for.
const MOST_EVER: u64 = 64 << 20;
const MOST_REDIRECTS: u8 = 10;

impl Check for Http {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        match self.addresses {
            Addresses::First => self.one(cx),
            Addresses::All => self.all(cx),
        }
    }

    fn privileged(&self) -> Option<&'static str> {
        let files = [&self.ca, &self.client_cert, &self.client_key];
        let address = self.address.as_deref().unwrap_or_default();
        match address.starts_with("unix:") {
            true => Some("which sockets root asks"),
            false => {
                let reads = files.iter().any(|it| it.is_some());
                reads.then_some(READS)
            }
        }
    }

    fn spawns(&self) -> bool {
        self.legacy
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let mut wrong = |key: &'static str, message: &str| flaws.push(flaw(key, message));
        let secure = self.url.url.scheme() == "https";
        let unix = self
            .address
            .as_ref()
            .and_then(|it| it.strip_prefix("unix:"));
        if self.password.is_some() && self.user.is_none() {
            wrong("password", "a `password` needs its `user`");
        }
        if self.user.is_some() && self.url.login.is_some() {
            wrong("user", "the URL names a user already");
        }
        if self.bearer.is_some() && (self.user.is_some() || self.url.login.is_some()) {
            wrong("bearer", "`bearer` and `user` are two ways, choose one");
        }
        if self.ca.is_some() && self.verify == Some(false) {
            wrong("ca", "`ca` means nothing with `verify = false`");
        }
        if self.client_key.is_some() && self.client_cert.is_none() {
            wrong("client_key", "a `client_key` needs its `client_cert`");
        }
        if self.proxy_password.is_some() && self.proxy_user.is_none() {
            wrong(
                "proxy_password",
                "a `proxy_password` needs its `proxy_user`",
            );
        }
        match &self.proxy {
            None if self.proxy_user.is_some() => {
                wrong("proxy_user", "`proxy_user` needs a `proxy`");
            }
            None => (),
            Some(proxy) if proxy.url.scheme() != "http" || proxy.url.path() != "/" => {
                wrong("proxy", "a proxy is written as \"http://HOST:PORT\"");
            }
            Some(_) if self.address.is_some() => {
                wrong("address", "through a proxy, the proxy chooses the address");
            }
            Some(_) if self.addresses == Addresses::All => {
                wrong(
                    "addresses",
                    "through a proxy, the proxy chooses the address",
                );
            }
            Some(proxy) if self.proxy_user.is_some() && proxy.login.is_some() => {
                wrong("proxy_user", "the proxy's URL names a user already");
            }
            Some(_) => (),
        }
        if self.addresses == Addresses::All && self.address.is_some() {
            wrong("addresses", "`address` names the one to ask");
        }
        match (&self.address, unix) {
            (_, Some("")) => wrong("address", "\"unix:\" without the path of a socket"),
            (Some(address), None) => {
                if let Some(message) = net::port_flaw(address, None, Some(80)) {
                    wrong("address", &message);
                }
            }
            _ => (),
        }
        for (key, version) in [("min_tls", self.min_tls), ("max_tls", self.max_tls)] {
            if version.is_some_and(|it| it < Version::V12) {
                wrong(
                    key,
                    "pages are read over TLS 1.2 and 1.3; a `cert` check reads older servers",
                );
            }
        }
        if self
            .min_tls
            .zip(self.max_tls)
            .is_some_and(|(min, max)| min > max)
        {
            wrong("max_tls", "`max_tls` is older than `min_tls`");
        }
        let not_legacy = [
            ("min_tls", self.min_tls.is_some()),
            ("client_cert", self.client_cert.is_some()),
            ("proxy", self.proxy.is_some()),
            ("proxy_line", self.proxy_line),
            ("address", unix.is_some()),
        ];
        for (key, _) in not_legacy.into_iter().filter(|it| it.1 && self.legacy) {
            wrong(
                "legacy",
                &format!("`legacy` and `{key}` do not go together, choose one"),
            );
        }
        if self
            .sni
            .as_ref()
            .is_some_and(|it| tls::server_name(it).is_err())
        {
            wrong("sni", "not a name that can be asked for");
        }
        let of_tls = [
            ("verify", self.verify.is_some()),
            ("ca", self.ca.is_some()),
            ("cert", self.cert.is_some()),
            ("min_tls", self.min_tls.is_some()),
            ("max_tls", self.max_tls.is_some()),
            ("sni", self.sni.is_some()),
            ("client_cert", self.client_cert.is_some()),
            ("legacy", self.legacy),
        ];
        if !secure && !self.redirect.follows() {
            for (key, _) in of_tls.into_iter().filter(|it| it.1) {
                wrong(key, &format!("`{key}` means nothing for http://"));
            }
        }
        if self.most() == MOST_EVER {
            wrong("size", "at most 64 MiB of a body are read");
        }
        if self.redirects.is_some() && !self.redirect.follows() {
            wrong(
                "redirects",
                "`redirects` means nothing when none is followed",
            );
        }
        if self.final_url.is_some() && !self.redirect.follows() {
            wrong(
                "final_url",
                "`final_url` means nothing when no redirect is followed",
            );
        }
        let mut labels = Vec::new();
        for label in self.json.keys().map(Place::label) {
            if labels.contains(&label) {
                wrong("json", &format!("two fields have the label {label}"));
            }
            labels.push(label);
        }
        flaws
    }
}
