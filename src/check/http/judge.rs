//! What a response is worth: status, content, age, certificate and times.

use super::charset::{self, Text};
use super::link::shown;
use super::observe::Seen;
use super::request::FieldName;
use super::{Http, Redirect, decode, json};
use crate::check::Context;
use crate::model::limits::{Limits, Time};
use crate::model::metric::Metric;
use crate::model::outcome::Outcome;
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use crate::model::text;
use crate::net::agent::{Ending, Response};
use crate::net::everywhere::{Everywhere, listed};
use crate::net::tls::Peer;
use crate::net::trust;
use anyhow::Context as _;
use serde_json::Value;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use ureq::http::{HeaderMap, header};

impl Http {
    /// Asks once.
    pub fn one(&self, cx: &Context) -> anyhow::Result<Outcome> {
        match self.observe(cx, None) {
            Ok(seen) => self.judge(seen, cx.now),
            Err(fault) => fault.outcome(),
        }
    }

    /// Asks every address of the name, and names the one that differs.
    pub fn all(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let url = &self.url.url;
        let port = url.port_or_known_default().unwrap_or(80);
        let addresses =
            match cx.resolver(self.resolve)(&self.url.host(), port, self.family, cx.deadline) {
                Ok(addresses) => addresses,
                Err(fault) => return fault.outcome(),
            };
        let mut views = Everywhere::ask(&addresses, |it| self.observe(cx, Some(it)));
        if views.seen.is_empty() {
            return views.none();
        }
        let asked = views.asked();
        let mut sites = Vec::new();
        for (address, seen) in std::mem::take(&mut views.seen) {
            let (took, said) = (seen.took, said(&seen.response));
            sites.push((address, took, said, self.judge(seen, cx.now)?));
        }
        let mut outcome = together(sites, asked);
        views.name_silent(&mut outcome);
        Ok(outcome)
    }

    /// Judges one response; `now` is compared with its certificate.
    pub fn judge(&self, seen: Seen, now: SystemTime) -> anyhow::Result<Outcome> {
        let Seen {
            mut response,
            took,
            phases,
            url,
            followed,
            unsafe_hop,
            stuck,
        } = seen;
        let most = self.most();
        let body = std::mem::take(&mut response.body);
        let cut_off = matches!(response.ending, Ending::CutOff(_) | Ending::Broken(_));
        let partial = response.cut || cut_off;
        let decoded = decode::decode(&response.headers, body, partial, most);
        let coding = decoded.as_ref().err().cloned();
        let plain = decoded.unwrap_or_default();
        response.body = plain.body;
        response.cut |= plain.more;
        let is_read = self.reads_body() || response.ending != Ending::Whole;
        let text = match is_read {
            true => charset::read(&response.headers, &response.body),
            false => Text::of_bytes(&response.body),
        };
        let seconds = took.as_secs_f64();
        let size = response.body.len() as f64;
        let more = if response.cut { "more than " } else { "" };
        let via = match &followed[..] {
            [] => String::new(),
            [one] => format!(", redirected to {}", shown(one.as_str())),
            [.., last] => {
                let (times, last) = (followed.len(), shown(last.as_str()));
                format!(", redirected {times} times, to {last}")
            }
        };
        let mut outcome = Outcome::new(&format!(
            "{}, {more}{} in {}{via}",
            said(&response),
            quantity::bytes(size),
            quantity::seconds(seconds)
        ));
        match &stuck {
            Some((code, line)) => outcome.find(code, State::Critical, line),
            None => self.judge_status(&mut outcome, &response)?,
        }
        if let Some(line) = &unsafe_hop {
            outcome.find("insecure-redirect", State::Warning, line);
        }
        if let Some(wanted) = &self.final_url
            && wanted.violated(url.as_str().as_bytes(), "")?.is_some()
        {
            let (url, wanted) = (shown(url.as_str()), wanted.expected());
            let line = format!("the final URL is {url}, expected {wanted}");
            outcome.find("final-url", State::Critical, &line);
        }
        judge_ending(&mut outcome, &response, &text, plain.summed);
        self.judge_headers(&mut outcome, &response.headers)?;
        match coding {
            // What nobody wants to look into need not be readable.
            Some(line) if !self.reads_body() => outcome.find("encoding", State::Ok, &line),
            Some(line) => outcome.find("encoding", State::Critical, &line),
            None => self.judge_body(&mut outcome, &response, &text)?,
        }
        measure(&mut outcome, "time", took, &self.time);
        let metric = Metric::new("size", size, Unit::Bytes).judged(Limits::maybe(&self.size, 0.0));
        outcome.measure(
            metric,
            &format!("the body has {more}{}", quantity::bytes(size)),
        );
        let limits = &self.phases;
        for (label, took, limits) in [
            ("resolve", Some(phases.resolve), &limits.resolve),
            ("connect", Some(phases.connect), &limits.connect),
            ("tls", phases.tls, &limits.tls),
            ("first_byte", Some(phases.first_byte), &limits.first_byte),
            ("transfer", Some(phases.transfer), &limits.transfer),
        ] {
            if let Some(took) = took {
                measure(&mut outcome, label, took, limits);
            }
        }
        self.judge_age(&mut outcome, &response.headers, now);
        self.judge_certificate(&mut outcome, &response, now)?;
        if self.verify == Some(false) {
            outcome.detail("the certificate was not verified, as `verify = false` says");
        }
        if response.cut {
            let most = quantity::bytes(most as f64);
            outcome.detail(&format!("only the first {most} were read"));
        }
        for note in plain.note.iter().chain(&text.note) {
            outcome.detail(note);
        }
        outcome.detail(&format!("answered by {}", response.who));
        for line in &response.passed_over {
            outcome.detail(line);
        }
        Ok(outcome)
    }

    /// Whether anything is expected of the body.
    fn reads_body(&self) -> bool {
        self.body.is_some() || !self.body_not.0.is_empty() || !self.json.is_empty()
    }

    fn judge_status(&self, outcome: &mut Outcome, response: &Response) -> anyhow::Result<()> {
        let status = response.status.as_u16();
        let said = said(response);
        let redirected = || {
            let to = response.headers.get(header::LOCATION);
            let to = to.map_or("nowhere".into(), |it| {
                String::from_utf8_lossy(it.as_bytes()).into_owned()
            });
            format!("{said}, redirects to {}", text::excerpt(&shown(&to), 80))
        };
        let mut wrong = |state: State, line: &str| outcome.find("status", state, line);
        if let Some(line) = &self.status_line
            && let Some(why) = line.violated(response.line.as_bytes(), "in the status line")?
        {
            let line = text::excerpt(&response.line, 60);
            wrong(State::Critical, &format!("{why} \"{line}\""));
        }
        match (&self.status, &self.status_line, status, self.redirect) {
            (Some(list), _, _, _) => {
                if !list.0.iter().any(|it| it.has(status)) {
                    wrong(
                        State::Critical,
                        &format!("{said} is not an expected status"),
                    );
                }
            }
            (None, Some(_), _, _) => (),
            (None, None, 200..=299 | 304, _) | (None, None, 300..=399, Redirect::Ok) => (),
            (None, None, 300..=399, Redirect::Warning) => {
                outcome.find("redirect", State::Warning, &redirected());
            }
            (None, None, 300..=399, _) => {
                outcome.find("redirect", State::Critical, &redirected());
            }
            (None, None, 400..=499, _) => wrong(State::Warning, &said),
            (None, None, _, _) => wrong(State::Critical, &said),
        }
        Ok(())
    }

    fn judge_headers(&self, outcome: &mut Outcome, headers: &HeaderMap) -> anyhow::Result<()> {
        for (FieldName(name), wanted) in &self.header {
            let values: Vec<&[u8]> = headers
                .get_all(name)
                .iter()
                .map(|it| it.as_bytes())
                .collect();
            // One value that fits is enough, one that may not be is too many.
            let mut fits = wanted.is_negative();
            for value in &values {
                let good = wanted.violated(value, "")?.is_none();
                fits = match wanted.is_negative() {
                    true => fits && good,
                    false => fits || good,
                };
            }
            let line = match values.first() {
                _ if fits => continue,
                None => format!("header {name} is missing"),
                Some(value) => {
                    let value = String::from_utf8_lossy(value);
                    let value = match HOLDS_URL.iter().any(|it| name.eq_ignore_ascii_case(it)) {
                        true => shown(&value),
                        false => value.into_owned(),
                    };
                    format!(
                        "header {name} is \"{}\", expected {}",
                        text::excerpt(&value, 60),
                        wanted.expected()
                    )
                }
            };
            outcome.find("header", State::Critical, &line);
        }
        Ok(())
    }

    fn judge_body(
        &self,
        outcome: &mut Outcome,
        response: &Response,
        text: &Text,
    ) -> anyhow::Result<()> {
        let cut_off = matches!(response.ending, Ending::CutOff(_) | Ending::Broken(_));
        let place = match (response.cut, cut_off) {
            (false, false) => "in the body".to_owned(),
            (false, true) => "in what came of the body".to_owned(),
            (true, _) => format!("in the first {}", quantity::bytes(self.most() as f64)),
        };
        for wanted in self
            .body
            .iter()
            .flat_map(|it| &it.0)
            .chain(&self.body_not.0)
        {
            let ways = text.ways.iter().map(|it| wanted.violated(it, &place));
            let ways: Vec<Option<String>> = ways.collect::<anyhow::Result<_>>()?;
            // What must be there is there in one way to read it; what must not be is there in none.
            let line = match wanted.is_negative() || ways.iter().all(Option::is_some) {
                true => ways.into_iter().flatten().next(),
                false => None,
            };
            if let Some(line) = line {
                outcome.find("body", State::Critical, &line);
            }
        }
        if self.json.is_empty() {
            return Ok(());
        }
        let read = |it: &Cow<[u8]>| serde_json::from_slice(it);
        let documents: Vec<Result<Value, _>> = text.ways.iter().map(read).collect();
        let document = match documents.into_iter().reduce(Result::or) {
            Some(Ok(document)) => document,
            Some(Err(error)) if !(response.cut || cut_off) => {
                let line = format!("the body is no JSON document: {error}");
                outcome.find("json", State::Critical, &line);
                return Ok(());
            }
            _ => {
                let line = format!("the JSON document does not end {place}");
                outcome.find("json", State::Critical, &line);
                return Ok(());
            }
        };
        for (path, field) in &self.json {
            json::judge(outcome, &document, path, field)?;
        }
        Ok(())
    }

    /// How old the document is by the server's own clock (RFC 9110, sections 6.6.1 and 8.8.2).
    fn judge_age(&self, outcome: &mut Outcome, headers: &HeaderMap, now: SystemTime) {
        let Some(limits) = &self.age else { return };
        let read = |name| headers.get(name).and_then(|it| date(it.as_bytes()));
        let clock = read(header::DATE).unwrap_or_else(|| trust::seconds(now));
        let Some(modified) = read(header::LAST_MODIFIED) else {
            let line = match headers.get(header::LAST_MODIFIED) {
                None => "does not say when it was last modified",
                Some(_) => "says with no date when it was last modified",
            };
            outcome.find("age", State::Critical, &format!("the document {line}"));
            return;
        };
        let age = (clock - modified) as f64;
        let metric = Metric::new("age", age, Unit::Seconds)
            .signed()
            .judged(limits.of(0.0));
        let line = match age < 0.0 {
            true => format!(
                "the document was modified {} in the future",
                quantity::seconds(-age)
            ),
            false => format!("the document was modified {} ago", quantity::seconds(age)),
        };
        outcome.measure(metric, &line);
    }

    /// The time that the server's certificate has left; its name and trust were judged before anything was sent.
    fn judge_certificate(
        &self,
        outcome: &mut Outcome,
        response: &Response,
        now: SystemTime,
    ) -> anyhow::Result<()> {
        let Some(limits) = &self.cert else {
            return Ok(());
        };
        let chain = response.peer.as_ref().map(|it| it.certificates());
        let chain = chain.transpose().context("the server's certificate")?;
        let Some(leaf) = chain.iter().flatten().next() else {
            let line = "the page came without TLS, there is no certificate to judge";
            outcome.find("cert", State::Critical, line);
            return Ok(());
        };
        let left = (leaf.not_after - trust::seconds(now)) as f64;
        let metric = Metric::new("cert", left, Unit::Seconds)
            .signed()
            .judged(limits.of(leaf.lifetime()));
        let line = match left < 0.0 {
            true => format!(
                "the certificate {} ended {} ago",
                leaf.subject,
                quantity::seconds(-left)
            ),
            false => format!(
                "the certificate {} ends in {}",
                leaf.subject,
                quantity::seconds(left)
            ),
        };
        match left < 0.0 {
            // Expired is CRITICAL whatever the limits.
            true => {
                outcome.find("cert", State::Critical, &line);
                outcome.note(metric);
            }
            false => {
                outcome.measure(metric, &line);
                outcome.detail(&line);
            }
        }
        Ok(())
    }
}

/// Whether the page came to its end; `summed` says that what it was compressed with has checked it.
fn judge_ending(outcome: &mut Outcome, response: &Response, text: &Text, summed: bool) {
    match &response.ending {
        Ending::Whole => (),
        Ending::CutOff(why) => {
            outcome.find("cut-off", State::Critical, &format!("the page is {why}"));
        }
        Ending::Broken(_) | Ending::Unclosed if response.cut || summed || is_complete(text) => (),
        Ending::Broken(why) => {
            outcome.find("cut-off", State::Critical, &format!("the page is {why}"));
        }
        Ending::Unclosed => {
            let line = format!(
                "the page may be cut off after {}: it does not say how long it is, and TLS ended without close_notify",
                quantity::bytes(response.body.len() as f64),
            );
            outcome.find("no-close-notify", State::Warning, &line);
        }
    }
}

/// Headers whose values are URLs, of which the query is not shown.
const HOLDS_URL: [&str; 4] = ["Location", "Content-Location", "Refresh", "Link"];

/// Whether it is a document that shows its own end: HTML or JSON.
fn is_complete(text: &Text) -> bool {
    text.ways.iter().any(|it| {
        let mut body = it.trim_ascii_end();
        while body.ends_with(b"-->")
            && let Some(comment) = body.windows(4).rposition(|it| it == b"<!--")
        {
            body = body[..comment].trim_ascii_end();
        }
        let tag = body.len().saturating_sub(b"</html>".len());
        body[tag..].eq_ignore_ascii_case(b"</html>")
            // A number may be a part of a number.
            || matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
                && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
    })
}

/// Measures how long something took.
fn measure(outcome: &mut Outcome, label: &str, took: Duration, limits: &Option<Limits<Time>>) {
    let took = took.as_secs_f64();
    let metric = Metric::new(label, took, Unit::Seconds).judged(Limits::maybe(limits, 0.0));
    let what = match label {
        "time" => String::new(),
        label => format!("{} ", label.replace('_', " ")),
    };
    outcome.measure(metric, &format!("{what}took {}", quantity::seconds(took)));
}

/// "HTTP 404 Not Found", and who made the TLS where it was not koshu.
fn said(response: &Response) -> String {
    let reason = response.status.canonical_reason().unwrap_or_default();
    let said = format!("HTTP {} {reason}", response.status.as_u16());
    let by = response.peer.as_ref().and_then(Peer::made_by);
    match by {
        Some(by) => format!("{}, {by}", said.trim_end()),
        None => said.trim_end().to_owned(),
    }
}

/// One outcome of several addresses: a fault that several have is said once, each metric is that of the
/// address where it is worst, or that of the slowest.
fn together(mut sites: Vec<(SocketAddr, Duration, String, Outcome)>, asked: usize) -> Outcome {
    sites.sort_by_key(|it| (std::cmp::Reverse(it.1), it.0));
    let count = |said: &str| sites.iter().filter(|it| it.2 == said).count();
    // What most of them say; of equally many, what the best one says.
    let usual = sites.iter().max_by_key(|it| {
        let bad = it.3.state().badness();
        (
            count(&it.2),
            std::cmp::Reverse(bad),
            std::cmp::Reverse(it.0),
        )
    });
    let Some((_, _, usual, _)) = usual else {
        return Outcome::default();
    };
    let slowest = sites.first().map(|it| it.1).unwrap_or_default();
    let mut outcome = Outcome::new(&format!(
        "{usual} at {} of {asked} addresses, the slowest in {}",
        count(usual),
        quantity::seconds(slowest.as_secs_f64())
    ));
    let mut faults: Vec<(&str, State, &str, Vec<SocketAddr>)> = Vec::new();
    for (address, _, _, one) in &sites {
        for it in one.findings() {
            let same = |known: &&mut (&str, State, &str, _)| {
                (known.0, known.1, known.2) == (&*it.code, it.state, &*it.text)
            };
            match faults.iter_mut().find(same) {
                Some((_, _, _, at)) => at.push(*address),
                None => faults.push((&it.code, it.state, &it.text, vec![*address])),
            }
        }
    }
    for (code, state, line, at) in faults {
        let place = match asked {
            1 => String::new(),
            _ => format!(" (at {})", listed(&at)),
        };
        outcome.find(code, state, &format!("{line}{place}"));
    }
    for (address, _, said, _) in sites.iter().filter(|it| it.2 != *usual) {
        let line = format!("{address} answers {said}, where others answer {usual}");
        outcome.find("addresses-differ", State::Warning, &line);
    }
    let all = || sites.iter().flat_map(|it| it.3.metrics());
    let mut told: Vec<&str> = Vec::new();
    for metric in all() {
        if !told.contains(&metric.label.as_str()) {
            let same = all().filter(|it| it.label == metric.label);
            // Of equals the first, which is that of the slowest address.
            let worst = same.reduce(|a, b| match b.state().badness() > a.state().badness() {
                true => b,
                false => a,
            });
            worst.into_iter().for_each(|it| outcome.note(it.clone()));
            told.push(&metric.label);
        }
    }
    let good = sites.iter().filter(|it| it.3.state() == State::Ok).count();
    outcome.note(Metric::new("addresses", asked as f64, Unit::None));
    outcome.note(Metric::new("ok", good as f64, Unit::None).max(asked as f64));
    for (address, _, _, one) in &sites {
        let line = one.facts();
        outcome.detail(&format!("{address}: {line}"));
    }
    outcome
}

/// Seconds since 1970 of an HTTP date, in any of its three forms (RFC 9110, section 5.6.7).
fn date(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if let Ok(zoned) = jiff::fmt::rfc2822::parse(text) {
        return Some(zoned.timestamp().as_second());
    }
    let forms = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let read = |form| jiff::civil::DateTime::strptime(form, text).ok();
    let time = forms.into_iter().find_map(read)?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::agent::Phases;
    use ureq::http::StatusCode;

    fn http(keys: &str) -> Http {
        toml::from_str(&format!("url = 'http://h/'\n{keys}")).expect("an http check")
    }

    fn seen(status: u16, body: &str) -> Seen {
        Seen {
            response: Response {
                status: StatusCode::from_u16(status).expect("a status"),
                line: format!("HTTP/1.1 {status} Well"),
                headers: HeaderMap::new(),
                body: body.as_bytes().to_vec(),
                cut: false,
                who: "h".to_owned(),
                address: None,
                passed_over: vec![],
                ending: Ending::Whole,
                phases: Phases::default(),
                peer: None,
            },
            took: Duration::from_millis(100),
            phases: Phases::default(),
            url: "http://h/".parse().expect("a URL"),
            followed: vec![],
            unsafe_hop: None,
            stuck: None,
        }
    }

    fn judged(keys: &str, seen: Seen) -> Outcome {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        http(keys).judge(seen, now).expect("a judgement")
    }

    fn state(keys: &str, status: u16, body: &str) -> State {
        judged(keys, seen(status, body)).state()
    }

    #[test]
    fn statuses_are_judged_by_class_unless_they_are_listed() {
        assert_eq!(state("", 204, ""), State::Ok);
        assert_eq!(state("", 404, ""), State::Warning);
        assert_eq!(state("", 503, ""), State::Critical);
        assert_eq!(state("status = [404]", 404, ""), State::Ok);
        assert_eq!(state("status = '2xx'", 404, ""), State::Critical);
        assert_eq!(state("redirect = 'warning'", 302, ""), State::Warning);
        assert_eq!(state("status_line = '404 Well'", 404, ""), State::Ok);
        assert_eq!(state("status_line = '^HTTP/2'", 200, ""), State::Critical);
        let both = "status = 200\nstatus_line = 'Bad'";
        assert_eq!(state(both, 200, ""), State::Critical);
    }

    #[test]
    fn body_conditions_say_what_was_found() {
        assert_eq!(state("body = 'cart'", 200, "add to cart"), State::Ok);
        assert_eq!(state("body = 'cart'", 200, "sold out"), State::Critical);
        assert_eq!(
            state("body_not = 'err.r'", 200, "an error"),
            State::Critical
        );
        assert_eq!(state("body = ['a', 'x']", 200, "abc"), State::Critical);
        assert_eq!(state("header = { X-Foo = '.' }", 200, ""), State::Critical);
        let not = "header = { X-Foo = { regex = '.', not = true } }";
        assert_eq!(state(not, 200, ""), State::Ok);
        assert_eq!(state("size = '10B:,'", 200, "x"), State::Warning);
        assert_eq!(state("json = { a = 1 }", 200, "<html>"), State::Critical);
    }

    #[test]
    fn the_age_of_a_document_counts_by_the_servers_clock() {
        let aged = |modified: &str| {
            let mut seen = seen(200, "");
            for (name, value) in [
                ("date", "Sun, 06 Nov 1994 09:49:37 GMT"),
                ("last-modified", modified),
            ] {
                let value = value.parse().expect("a value");
                seen.response.headers.insert(name, value);
            }
            judged("age = '30m,2h'", seen)
        };
        for hour_ago in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            let outcome = aged(hour_ago);
            assert_eq!(outcome.line(), "the document was modified 60 min ago");
            assert_eq!(outcome.state(), State::Warning);
        }
        assert_eq!(aged("yesterday").state(), State::Critical);
        assert_eq!(state("age = '1d,2d'", 200, ""), State::Critical);
    }

    #[test]
    fn the_address_that_differs_is_named() {
        let at = |last: u8| SocketAddr::from(([192, 0, 2, last], 80));
        let site = |last: u8, status: u16| {
            let seen = seen(status, "");
            let said = said(&seen.response);
            let took = Duration::from_millis(last.into());
            (at(last), took, said, judged("", seen))
        };
        let outcome = together(vec![site(1, 200), site(2, 503), site(3, 200)], 3);
        assert_eq!(outcome.state(), State::Critical);
        assert!(
            outcome
                .line()
                .starts_with("HTTP 503 Service Unavailable (at 192.0.2.2:80)")
        );
        assert!(outcome.line().contains("192.0.2.2:80 answers HTTP 503"));
        let labels: Vec<String> = outcome.metrics().iter().map(Metric::to_string).collect();
        assert!(labels.contains(&"addresses=3;;;0".to_owned()), "{labels:?}");
        assert!(labels.contains(&"ok=2;;;0;3".to_owned()), "{labels:?}");
    }
}
