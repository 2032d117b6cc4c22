//! Programs that take results over HTTP: one row for each, with what it wants to be sent and how it says that it has it.

use crate::deliver::On;
use crate::format::passive::{Passive, nagios_name};
use crate::format::{Format, Style, jsonl, words};
use crate::model::duration::since_1970;
use crate::model::report::Report;
use serde_json::{Value, json};
use std::time::Duration;

/// What is sent in one request.
pub struct Message<'m> {
    pub report: &'m Report,
    /// The results in it: one, or all that are due.
    pub results: &'m [Passive<'m>],
    pub ttl: Option<Duration>,
    pub token: Option<&'m str>,
    pub format: &'static Format,
    pub style: Style,
}

/// An answer: the status code (RFC 9110, section 15), and the body as text and as JSON.
pub struct Answer {
    pub status: u16,
    pub text: String,
    pub json: Value,
}

/// How a program takes results.
pub struct Preset {
    pub name: &'static str,
    pub about: &'static str,
    pub method: &'static str,
    /// The path of a URL that has none.
    pub base: &'static str,
    /// What is appended to the URL's path; `{host}`, `{service}`, `{label}`, `{code}`, `{token}` and `{run}` are
    /// filled in, percent-encoded.
    pub path: &'static str,
    /// What is appended when a run begins, for a program that wants to know.
    pub start: Option<&'static str>,
    pub headers: &'static [(&'static str, &'static str)],
    /// None: that of the destination's format.
    pub media_type: Option<&'static str>,
    /// The header that carries the token, and what stands before it there.
    pub token: Option<(&'static str, &'static str)>,
    /// The secret without which it cannot be spoken to, `PASSWORD` or `TOKEN`.
    pub needs: Option<&'static str>,
    /// Whether each result has a request of its own.
    pub each: bool,
    /// Whether it wants to know how long a result holds.
    pub uses_ttl: bool,
    pub on: On,
    pub body: fn(&Message) -> Vec<u8>,
    /// # Errors
    /// Why it was not taken.
    pub taken: fn(&Answer, usize) -> Result<(), String>,
}

const ROW: Preset = Preset {
    name: "",
    about: "",
    method: "POST",
    base: "",
    path: "",
    start: None,
    headers: &[],
    media_type: Some("application/json"),
    token: None,
    needs: None,
    each: true,
    uses_ttl: false,
    on: On::Always,
    body: document,
    taken: |answer, _| fine(answer),
};

/// All presets; `PRESET+https://…` takes their names.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "icinga2",
        about: "Icinga 2's API, action process-check-result",
        path: "/v1/actions/process-check-result?service={host}!{service}",
        headers: &[("Accept", "application/json")],
        needs: Some("PASSWORD"),
        uses_ttl: true,
        body: |it| {
            let result = &it.results[0];
            let mut body = json!({
                "exit_status": result.state.code(),
                "plugin_output": result.long_text(LARGE),
                "performance_data": result.perfdata(),
                "check_source": it.report.host,
            });
            if let Some(ttl) = it.ttl {
                body["ttl"] = json!(ttl.as_secs());
            }
            bytes(&body)
        },
        taken: |answer, _| {
            let of_result = &answer.json["results"][0];
            match (answer.status, of_result["code"].as_f64()) {
                (200, Some(200.0)) => Ok(()),
                (404, _) => Err(
                    "Icinga knows no such host and service, or this user may not see it".to_owned(),
                ),
                (_, Some(_)) => Err(said(of_result["status"].as_str().unwrap_or_default())),
                _ => Err(not(answer)),
            }
        },
        ..ROW
    },
    Preset {
        name: "nrdp",
        about: "NRDP, which hands results to Nagios",
        media_type: Some("application/x-www-form-urlencoded"),
        needs: Some("TOKEN"),
        each: false,
        body: |it| {
            let results = it.results.iter().map(|result| {
                json!({
                    "checkresult": { "type": "service", "checktype": "1" },
                    "hostname": it.report.host,
                    "servicename": nagios_name(result.name),
                    "state": result.state.code().to_string(),
                    "output": result.output(LARGE),
                })
            });
            let data = json!({ "checkresults": results.collect::<Vec<_>>() }).to_string();
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("token", it.token.unwrap_or_default())
                .append_pair("cmd", "submitcheck")
                .append_pair("json", &data);
            form.finish().into_bytes()
        },
        // A wrong token is answered with 200, too.
        taken: |answer, sent| {
            fine(answer)?;
            let result = &answer.json["result"];
            let processed = result["meta"]["output"].as_str().unwrap_or_default();
            let count: Option<usize> = processed.split(' ').next().and_then(|it| it.parse().ok());
            match (result["status"].as_i64(), count) {
                (Some(0), Some(count)) if count < sent => {
                    Err(format!("only {count} of {sent} results were processed"))
                }
                (Some(0), _) => Ok(()),
                (Some(_), _) => Err(said(result["message"].as_str().unwrap_or_default())),
                (None, _) => Err(not(answer)),
            }
        },
        ..ROW
    },
    Preset {
        name: "consul-ttl",
        about: "a Consul agent's TTL checks, whose ids are the checks' names",
        method: "PUT",
        path: "/v1/agent/check/update/{service}",
        token: Some(("X-Consul-Token", "")),
        body: |it| {
            let result = &it.results[0];
            bytes(&json!({
                "Status": words::of(result.state).consul,
                "Output": result.output(4096),
            }))
        },
        taken: |answer, _| match answer.status {
            404 => Err("Consul knows no TTL check of this id".to_owned()),
            _ => fine(answer),
        },
        ..ROW
    },
    Preset {
        name: "sensu",
        about: "a Sensu Go agent's API for events",
        path: "/events",
        uses_ttl: true,
        body: |it| {
            let result = &it.results[0];
            // Sensu takes all that stands behind the only bar for perfdata.
            let perfdata = result.perfdata().join(" ");
            let text = result.long_text(LARGE);
            let mut check = json!({
                "metadata": { "name": result.label },
                "status": result.state.code(),
                "output": text,
            });
            if !perfdata.is_empty() {
                check["output"] = json!(format!("{text} | {perfdata}"));
                check["output_metric_format"] = json!("nagios_perfdata");
            }
            if let Some(ttl) = it.ttl {
                check["ttl"] = json!(ttl.as_secs());
            }
            bytes(&json!({ "check": check }))
        },
        ..ROW
    },
    Preset {
        name: "stackstorm",
        about: "StackStorm, as its nagios pack reports changes of state",
        path: "/api/v1/webhooks/st2",
        token: Some(("St2-Api-Key", "")),
        needs: Some("TOKEN"),
        on: On::Change,
        body: |it| {
            let result = &it.results[0];
            bytes(&json!({
                "trigger": "nagios.service_state_change",
                "payload": {
                    "host": it.report.host,
                    "service": result.name,
                    "event_id": since_1970(it.report.at).as_millis().to_string(),
                    "state": result.state.word(),
                    "state_id": result.state.code().to_string(),
                    "state_type": "HARD",
                    "attempt": "1",
                    "msg": result.long_text(LARGE),
                },
            }))
        },
        ..ROW
    },
    Preset {
        name: "healthchecks",
        about: "healthchecks.io and its like, which miss koshu when it does not run",
        // The address of a check is its secret: it stands in the URL, or is the token.
        path: "{token}/{code}?rid={run}",
        start: Some("{token}/start?rid={run}"),
        media_type: Some("text/plain; charset=utf-8"),
        each: false,
        body: |it| {
            let summary = it.results.first().map(|it| it.long_text(10_000));
            summary.unwrap_or_default().into_bytes()
        },
        // An unknown check and one that is asked too often are answered with 200, too: "OK (not found)".
        taken: |answer, _| match answer.text.contains('(') {
            true => Err(said(&answer.text)),
            false => fine(answer),
        },
        ..ROW
    },
    Preset {
        name: "elastic-bulk",
        about: "Elasticsearch's and OpenSearch's bulk API, into the index or data stream of the URL",
        base: "/koshu",
        path: "/_bulk",
        media_type: Some("application/x-ndjson"),
        token: Some(("Authorization", "ApiKey ")),
        each: false,
        body: |it| {
            let lines = it.results.iter().map(|result| {
                let document = jsonl::document(it.report, result);
                format!("{{\"create\":{{}}}}\n{document}\n")
            });
            lines.collect::<String>().into_bytes()
        },
        taken: |answer, sent| {
            fine(answer)?;
            let none = Vec::new();
            let items = answer.json["items"].as_array().unwrap_or(&none);
            let wrong: Vec<&Value> = items
                .iter()
                .map(|it| &it["create"]["error"])
                .filter(|it| !it.is_null())
                .collect();
            match (answer.json["errors"].as_bool(), wrong.first()) {
                (Some(false), _) => Ok(()),
                (Some(true), Some(first)) => Err(format!(
                    "{} of {sent} documents were refused: {}",
                    wrong.len(),
                    said(first["reason"].as_str().unwrap_or_default())
                )),
                _ => Err(not(answer)),
            }
        },
        ..ROW
    },
    Preset {
        name: "pushgateway",
        about: "Prometheus' pushgateway, as job koshu of this instance",
        method: "PUT",
        path: "/metrics/job/koshu/instance/{host}",
        media_type: Some("text/plain; version=0.0.4"),
        each: false,
        body: |it| {
            let format = Format::named("prometheus").unwrap_or(it.format);
            format.bytes(it.report, &it.style)
        },
        ..ROW
    },
    Preset {
        name: "webhook",
        about: "whatever takes a document, by default that of --format json",
        media_type: None,
        token: Some(("Authorization", "Bearer ")),
        each: false,
        ..ROW
    },
];

/// More than any engine shows of a result.
const LARGE: usize = 64 << 10;

fn bytes(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

/// The whole report in the destination's format.
fn document(message: &Message) -> Vec<u8> {
    message.format.bytes(message.report, &message.style)
}

/// Any success of HTTP.
fn fine(answer: &Answer) -> Result<(), String> {
    match answer.status {
        200..=299 => Ok(()),
        _ => Err(not(answer)),
    }
}

fn not(answer: &Answer) -> String {
    let said = said(&answer.text);
    match said.is_empty() {
        true => format!("HTTP {}", answer.status),
        false => format!("HTTP {}: {said}", answer.status),
    }
}

/// The beginning of what was said.
fn said(text: &str) -> String {
    crate::model::text::excerpt(text, 120)
}
