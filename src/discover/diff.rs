//! What is on this host that no check of a list looks at, and what the list looks at that is gone.

use crate::check::Run;
use crate::config::{self, Source};
use crate::discover::{What, doubts, look};
use crate::host::mounts;
use crate::host::sockets::{Listener, Transport};
use crate::model::name;
use crate::model::state::State;
use crate::model::text;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// The difference as a plugin tells it: what is new with the check to add, what is gone with its list.
pub fn difference(sources: &[Source], run: &Arc<Run>, at: SystemTime) -> (State, String) {
    let written = config::written(sources);
    let checks: Vec<&Value> = written.iter().map(|it| &it.1).collect();
    let mut found = look::all(run, at);
    // What is not right now is nothing new to look at.
    doubts(&mut found, run, at);
    let new: Vec<_> = found
        .iter()
        .filter(|it| !covers(&checks, &it.what))
        .collect();
    let gone: Vec<(String, String)> = written
        .iter()
        .filter_map(|(list, check)| Some((*list, check, gone(check, &checks, run)?)))
        .map(|(list, check, why)| (title(check), format!("{} ({list})", text::clean(&why))))
        .collect();
    if new.is_empty() && gone.is_empty() {
        return (
            State::Ok,
            "OK - nothing new and nothing gone on this host\n".to_owned(),
        );
    }
    let mut parts = Vec::new();
    if !new.is_empty() {
        let names: Vec<&str> = new.iter().map(|it| it.name.as_str()).collect();
        parts.push(format!("{} new: {}", new.len(), names.join(", ")));
    }
    if !gone.is_empty() {
        let names: Vec<&str> = gone.iter().map(|it| it.0.as_str()).collect();
        parts.push(format!("{} gone: {}", gone.len(), names.join(", ")));
    }
    let mut text = format!("WARNING - {}\n", parts.join("; "));
    for (name, why) in &gone {
        text.push_str(&format!("gone: {name}: {why}\n"));
    }
    for it in &new {
        text.push_str(&format!("\n# {}\n{}", it.reason, it.table()));
    }
    (State::Warning, text)
}

/// What a check of a list is called in messages.
fn title(check: &Value) -> String {
    match check["name"].as_str() {
        Some(name) => text::clean(name),
        None => check["type"].as_str().unwrap_or("check").to_owned(),
    }
}

/// The strings of a key that is one or a list.
fn strings<'v>(check: &'v Value, key: &str) -> Vec<&'v str> {
    match &check[key] {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one],
        _ => Vec::new(),
    }
}

/// Whether any check looks at it.
fn covers(checks: &[&Value], what: &What) -> bool {
    let of = |kind: &'static str| checks.iter().filter(move |it| it["type"] == kind);
    let matches = |pattern: &str, path: &Path| name::matches(pattern, &path.to_string_lossy());
    let all = |check: &Value, keys: &[&str]| keys.iter().all(|key| check[key].is_null());
    match what {
        What::Mount(point) => of("disk").any(|it| {
            all(it, &["path", "device", "types"])
                || strings(it, "path").iter().any(|it| matches(it, point))
        }),
        What::Fstab => of("mount").any(|it| it["path"].is_null()),
        What::Ports(ports) => ports
            .iter()
            .all(|port| checks.iter().any(|it| looks_at(it, *port))),
        What::Certificate(file) => of("cert").any(|it| {
            let mut files = strings(it, "file").into_iter();
            files.any(|it| matches(it, file) || file.starts_with(it))
        }),
        What::Unit(unit) => of("service").any(|it| {
            let mut units = strings(it, "unit").into_iter();
            units.any(|it| it == unit || format!("{it}.service") == *unit)
        }),
        What::FailedUnits => of("service").any(|it| it["unit"].is_null()),
        What::Process(name) => {
            let unit = format!("{name}.service");
            of("process").any(|it| {
                strings(it, "match")
                    .iter()
                    .any(|it| it.contains(name.as_str()))
            }) || covers(checks, &What::Unit(unit))
        }
        What::Resolvers => of("dns").any(|it| !it["via"].is_null() || !it["resolvers"].is_null()),
        What::Files(path) => of("file").any(|it| {
            strings(it, "path")
                .iter()
                .any(|it| it == path || name::matches(it, path) || name::matches(path, it))
        }),
    }
}

/// Whether a check looks at a TCP port: names it, or has it by its type.
fn looks_at(check: &Value, port: u16) -> bool {
    let ends = format!(":{port}");
    let is = |it: &Value| match it {
        Value::Number(number) => number.as_u64() == Some(port.into()),
        Value::String(text) => {
            let range = text.split_once('-');
            let within = range.and_then(|(first, last)| {
                let first: u16 = first.parse().ok()?;
                Some((first..=last.parse().ok()?).contains(&port))
            });
            text.ends_with(&ends)
                || text.contains(&format!("{ends}/"))
                || *text == port.to_string()
                || within == Some(true)
        }
        _ => false,
    };
    let named = ["listen", "allow", "host", "url", "port"]
        .iter()
        .any(|key| {
            let value = &check[*key];
            is(value) || value.as_array().is_some_and(|it| it.iter().any(is))
        });
    let url = check["url"].as_str().unwrap_or_default();
    let local = |it: &str| {
        let mut rest = it.split("://").last().unwrap_or_default().split(['/', ':']);
        matches!(rest.next(), Some("localhost" | "127.0.0.1"))
    };
    // Of another machine's port nothing follows for this one.
    let default = match check["type"].as_str() {
        Some("http") if local(url) => [("http://", 80), ("https://", 443)]
            .iter()
            .any(|(scheme, it)| *it == port && url.starts_with(scheme)),
        Some("cert") => port == 443 && strings(check, "host").iter().any(|it| local(it)),
        _ => false,
    };
    named || default
}

/// Why something that a check looks at is not there any more, if it is not.
fn gone(check: &Value, all: &[&Value], run: &Run) -> Option<String> {
    let plain = |it: &&str| !name::is_pattern(it);
    match check["type"].as_str()? {
        "disk" => {
            let mounts = run.mounts().ok()?;
            let path = strings(check, "path")
                .into_iter()
                .filter(plain)
                .find(|path| {
                    let path = Path::new(path);
                    let on = mounts::of(mounts, path).ok().map(|it| it.point.as_path());
                    // Where another check looks at the same file system, this one was meant for its own.
                    let twice = || {
                        let mut others = all.iter().filter(|it| it["type"] == "disk");
                        others.any(|it| {
                            strings(it, "path")
                                .iter()
                                .any(|it| Some(Path::new(it)) == on)
                        })
                    };
                    on != Some(path) && twice()
                })?;
            Some(format!("{path} is no mount any more"))
        }
        "port" => {
            let listeners = run.listeners().ok()?;
            let has = |port: u16| {
                let is = |it: &Listener| it.transport == Transport::Tcp && it.at.port() == port;
                listeners.iter().any(is)
            };
            let list = match &check["listen"] {
                Value::Array(items) => items.clone(),
                one => vec![one.clone()],
            };
            let number = |it: &Value| match it {
                Value::String(text) if !text.starts_with("udp:") => {
                    text.rsplit(':').next()?.parse().ok()
                }
                it => u16::try_from(it.as_u64()?).ok(),
            };
            let port = list.iter().filter_map(number).find(|it| !has(*it))?;
            Some(format!("nothing listens on {port} any more"))
        }
        "cert" => {
            let mut files = strings(check, "file").into_iter().filter(plain);
            let file = files.find(|it| it.starts_with('/') && !Path::new(it).exists())?;
            Some(format!("{file} is not there any more"))
        }
        "service" => {
            const FOLDERS: [&str; 4] = [
                "/etc/systemd/system",
                "/run/systemd/system",
                "/lib/systemd/system",
                "/usr/lib/systemd/system",
            ];
            let unit = strings(check, "unit").into_iter().find(|it| {
                let file = match it.contains('.') {
                    true => (*it).to_owned(),
                    false => format!("{it}.service"),
                };
                // Of a template only the template is a file.
                !file.contains('@') && !FOLDERS.iter().any(|it| Path::new(it).join(&file).exists())
            })?;
            Some(format!("there is no unit {unit} any more"))
        }
        _ => None,
    }
}
