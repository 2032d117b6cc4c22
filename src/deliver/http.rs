//! Results over HTTP: one connection for all requests to a destination, each answer judged by its preset.

use crate::check::Context;
use crate::deliver::Parcel;
use crate::deliver::preset::{Answer, Message, Preset};
use crate::deliver::target::{Destination, variable};
use crate::format::passive::Passive;
use crate::format::{Format, Style};
use crate::model::report::Report;
use crate::net::agent::{Reach, Request, Session};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use url::Url;

/// The most bytes of an answer that are read.
const ANSWER: u64 = 256 << 10;

/// Secrets of a destination, once they are read.
struct Secrets {
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    /// Whether the URL says where the token stands in it, so that no header carries it.
    is_placed: bool,
}

/// Delivers results, each or all of them in a request.
///
/// # Errors
/// What was not taken, and why.
pub fn send(
    to: &Destination,
    (preset, base): (&Preset, &Url),
    parcel: &Parcel,
    report: &Report,
    results: &[Passive],
    cx: &Context,
) -> Result<(), String> {
    let secrets = secrets(to, preset, base, cx)?;
    let mut session = session(to, cx);
    let format = match preset.media_type {
        Some(_) => parcel.format,
        None => {
            let json = Format::named("json").unwrap_or(parcel.format);
            to.format.unwrap_or(json)
        }
    };
    let step = if preset.each { 1 } else { results.len() };
    let mut refused: Vec<String> = Vec::new();
    for (number, part) in results.chunks(step).enumerate() {
        let message = Message {
            report,
            results: part,
            ttl: to.ttl,
            token: secrets.token.as_deref(),
            format,
            style: Style {
                ttl: to.ttl,
                ..Style::default()
            },
        };
        let filled = |path: &str| {
            let [first, ..] = part else {
                return String::new();
            };
            let words = [
                ("{host}", report.host.as_str()),
                ("{service}", first.name),
                ("{label}", first.label),
                ("{code}", &parcel.code.to_string()),
                ("{run}", &parcel.run_id),
            ];
            fill(path, &words, &secrets)
        };
        let url = joined(base, &filled(preset.path), &secrets);
        let media_type = preset.media_type.unwrap_or(format.media_type);
        let request = || Request {
            method: preset.method,
            url: &url,
            headers: headers(preset, &secrets, media_type),
            body: (preset.body)(&message),
        };
        let sent = session.ask(&request(), ANSWER);
        let sent = match sent {
            // The server may have hung up since the last request; a second look costs one connection.
            Err(_) if number > 0 => {
                session = self::session(to, cx);
                session.ask(&request(), ANSWER)
            }
            sent => sent,
        };
        let done = number * step;
        let open = |why: String| match done {
            0 => why,
            _ => format!(
                "{why}; {done} of {} results were sent before",
                results.len()
            ),
        };
        let response = sent.map_err(|it| open(it.to_string()))?;
        let text = String::from_utf8_lossy(&response.body).trim().to_owned();
        let answer = Answer {
            status: response.status.as_u16(),
            json: serde_json::from_str(&text).unwrap_or_default(),
            text,
        };
        if let Err(why) = (preset.taken)(&answer, part.len()) {
            // Who is not let in is not let in with the next result either.
            if !preset.each || matches!(answer.status, 401 | 403) {
                return Err(open(why));
            }
            refused.push(format!("{}: {why}", part[0].name));
        }
    }
    match refused.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{} of {} results were refused, the first of them {first}",
            refused.len(),
            results.len()
        )),
    }
}

/// Tells that a run begins.
///
/// # Errors
/// Why it cannot be told; what the server says to it is not looked at.
pub fn start(
    to: &Destination,
    (preset, base, path): (&Preset, &Url, &str),
    run_id: &str,
    cx: &Context,
) -> Result<(), String> {
    let secrets = secrets(to, preset, base, cx)?;
    let url = joined(base, &fill(path, &[("{run}", run_id)], &secrets), &secrets);
    let request = Request {
        method: preset.method,
        url: &url,
        headers: headers(preset, &secrets, "text/plain"),
        body: Vec::new(),
    };
    let sent = session(to, cx).ask(&request, ANSWER);
    sent.map(|_| ()).map_err(|it| it.to_string())
}

fn session(to: &Destination, cx: &Context) -> Session {
    let (cx, ca) = (cx.clone(), to.ca.clone());
    let deadline = cx.deadline;
    let judge = Arc::new(move |peer: &_, name: &str| cx.accept(peer, name, ca.as_deref()));
    Session::new(&Reach::direct(deadline, judge), 1)
}

/// Reads the secrets: as the list says, else from the environment.
fn secrets(to: &Destination, preset: &Preset, base: &Url, cx: &Context) -> Result<Secrets, String> {
    let read = |given: &Option<_>, word: &str| match given {
        Some(secret) => cx.secret(secret).map(Some).map_err(|it| format!("{it:#}")),
        None => {
            let value = cx.run.env.var(&variable(preset, word));
            value.iter().for_each(|it| cx.run.secrets.keep(it));
            Ok(value.map(str::to_owned))
        }
    };
    let secrets = Secrets {
        user: to.user.clone(),
        password: read(&to.password, "PASSWORD")?,
        token: read(&to.token, "TOKEN")?,
        is_placed: PLACES.iter().any(|it| base.as_str().contains(it)),
    };
    let needs = match secrets.is_placed {
        true => Some("TOKEN"),
        false => preset.needs,
    };
    let missing = match needs {
        Some("PASSWORD") => secrets.password.is_none(),
        Some(_) => secrets.token.is_none(),
        None => false,
    };
    if let (Some(word), true) = (needs, missing) {
        return Err(format!(
            "{} wants a {}: set it in [[to]], or {} in the environment",
            preset.name,
            word.to_lowercase(),
            variable(preset, word)
        ));
    }
    Ok(secrets)
}

fn headers(
    preset: &Preset,
    secrets: &Secrets,
    media_type: &'static str,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![("Content-Type", media_type.to_owned())];
    headers.extend(
        preset
            .headers
            .iter()
            .map(|(name, it)| (*name, (*it).to_owned())),
    );
    if let Some(password) = &secrets.password {
        let login = format!("{}:{password}", secrets.user.as_deref().unwrap_or_default());
        let login = format!("Basic {}", BASE64_STANDARD.encode(login));
        headers.push(("Authorization", login));
    } else if let (Some((name, before)), Some(token), false) =
        (preset.token, &secrets.token, secrets.is_placed)
    {
        headers.push((name, format!("{before}{token}")));
    }
    headers
}

/// A path with its words filled in.
fn fill(path: &str, words: &[(&str, &str)], secrets: &Secrets) -> String {
    let encoded = |it: &str| utf8_percent_encode(it, NON_ALPHANUMERIC).to_string();
    let token = match &secrets.token {
        Some(token) => format!("/{}", token.trim_matches('/')),
        None => String::new(),
    };
    let mut filled = path.replace("{token}", &token);
    for (word, value) in words {
        filled = filled.replace(word, &encoded(value));
    }
    filled
}

/// How a URL says where its token stands; in a path the braces are encoded.
const PLACES: [&str; 2] = ["{token}", "%7Btoken%7D"];

/// What is encoded of a token that stands in a URL, of which it may be several parts of the path.
const OF_TOKEN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_');

/// A URL with more behind its path, its query after that, and the token in its place.
fn joined(base: &Url, more: &str, secrets: &Secrets) -> String {
    let mut url = base.clone();
    let (path, query) = more.split_once('?').unwrap_or((more, ""));
    if !path.is_empty() {
        let whole = format!("{}{path}", base.path().trim_end_matches('/'));
        url.set_path(&whole);
    }
    let queries = [base.query().unwrap_or_default(), query];
    let queries: Vec<&str> = queries.into_iter().filter(|it| !it.is_empty()).collect();
    url.set_query(
        Some(&queries.join("&"))
            .filter(|it| !it.is_empty())
            .map(String::as_str),
    );
    let token = secrets.token.as_deref().unwrap_or_default();
    let token = utf8_percent_encode(token, OF_TOKEN).to_string();
    let places = PLACES.iter();
    places.fold(url.to_string(), |url, it| url.replace(it, &token))
}
