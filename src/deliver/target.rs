//! Where results go: the URLs of `--to` and the tables `[[to]]`, read into destinations.

use crate::deliver::preset::{PRESETS, Preset};
use crate::deliver::{On, TIMEOUT};
use crate::format::{FORMATS, Format};
use crate::model::duration::Duration;
use crate::model::name;
use crate::model::secret::Secret;
use crate::model::text;
use crate::net;
use serde::Deserialize;
use std::path::PathBuf;
use url::Url;

/// Where results are delivered besides stdout: a file, Nagios' spool or pipe, Xymon, Zabbix, or a program that takes them over HTTP. What cannot be delivered is a result of its own, `koshu-delivery`.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Keys {
    /// `file:PATH`, `nagios:PATH` (its check_result_path or command_file), `tcp://HOST:PORT` (Xymon), `zabbix://HOST:PORT`, or `PRESET+https://…` with a preset of icinga2, nrdp, consul-ttl, sensu, stackstorm, healthchecks, elastic-bulk, pushgateway and webhook.
    pub url: String,
    /// What this machine is called there. Default: its host name.
    pub host: Option<String>,
    /// `"always"`, or `"change"`: only results that are other than in the run before. Default: always, for stackstorm change.
    pub on: Option<On>,
    /// How long it may take. Default: `"5s"`.
    pub timeout: Option<Duration>,
    /// The format of `file:`, `tcp:` and webhook. Default: that of `--format`; of webhook `"json"`.
    pub format: Option<String>,
    /// How long a result holds, for icinga2, sensu and the format xymon.
    pub ttl: Option<Duration>,
    /// Trust the root certificates of this file instead of the system's.
    pub ca: Option<PathBuf>,
    /// The name to log in with. Default: the one in the URL.
    pub user: Option<String>,
    /// The password. Default: the environment variable `KOSHU_PRESET_PASSWORD`, as `KOSHU_ICINGA2_PASSWORD`.
    pub password: Option<Secret>,
    /// The token or key, sent as the program wants it, or where the URL has `{token}`. Default: the environment variable `KOSHU_PRESET_TOKEN`, as `KOSHU_CONSUL_TTL_TOKEN`.
    pub token: Option<Secret>,
}

/// One destination.
#[derive(Clone)]
pub struct Destination {
    /// What it is called in messages, without any secret.
    pub name: String,
    /// Why nothing is delivered there.
    pub refused: Option<String>,
    pub way: Way,
    pub host: Option<String>,
    pub on: On,
    pub timeout: std::time::Duration,
    pub format: Option<&'static Format>,
    pub ttl: Option<std::time::Duration>,
    pub ca: Option<PathBuf>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub token: Option<Secret>,
    /// The folder from which relative paths count.
    pub base: PathBuf,
}

/// How to reach it.
#[derive(Clone)]
pub enum Way {
    File(PathBuf),
    /// A check-result spool or a command pipe.
    Nagios(PathBuf),
    Tcp(String, u16),
    Zabbix(String, u16),
    Http(&'static Preset, Url),
}

/// Schemes besides those of the presets.
const SCHEMES: [&str; 4] = ["file", "nagios", "tcp", "zabbix"];

/// A key that is wrong, and how.
type Wrong = (&'static str, String);

impl Keys {
    /// A URL that has the other keys, but never a secret, in its query.
    pub fn of(url: &str) -> Keys {
        Keys {
            url: url.to_owned(),
            host: None,
            on: None,
            timeout: None,
            format: None,
            ttl: None,
            ca: None,
            user: None,
            password: None,
            token: None,
        }
    }

    /// The destination that the keys mean.
    ///
    /// # Errors
    /// The key that is wrong, and how.
    pub fn destination(mut self, base: PathBuf) -> Result<Destination, Wrong> {
        let at_url = |it: String| ("url", it);
        let (url, query) = match self.url.split_once('?') {
            Some((url, query)) => (url.to_owned(), query.to_owned()),
            None => (self.url.clone(), String::new()),
        };
        let rest = self.take(&query).map_err(at_url)?;
        let (scheme, place) = url.split_once(':').ok_or_else(|| at_url(unknown(&url)))?;
        let scheme = scheme.to_ascii_lowercase();
        let scheme = scheme.as_str();
        let (way, name) = match scheme {
            "file" | "nagios" if !place.trim_start_matches('/').is_empty() => {
                // file:///x and file:/x are the same (RFC 8089, section 2).
                let path = match place.strip_prefix("///") {
                    Some(path) => format!("/{path}"),
                    None => place.to_owned(),
                };
                let path = percent_encoding::percent_decode_str(&path).decode_utf8_lossy();
                let name = format!("{scheme}:{path}");
                match scheme {
                    "file" => (Way::File(PathBuf::from(&*path)), name),
                    _ => (Way::Nagios(PathBuf::from(&*path)), name),
                }
            }
            "tcp" | "zabbix" => {
                let default = if scheme == "tcp" { 1984 } else { 10_051 };
                let (url, zone) = net::unzoned(&url);
                let url = parsed(&url).map_err(at_url)?;
                let host = url.host_str().unwrap_or_default();
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let zone = zone.map_or(String::new(), |it| format!("%{it}"));
                let host = format!("{host}{zone}");
                let port = url.port().unwrap_or(default);
                if host.is_empty() || !matches!(url.path(), "" | "/") {
                    return Err(at_url(format!("expected {scheme}://HOST:PORT")));
                }
                let name = format!("{scheme} {host}:{port}");
                match scheme {
                    "tcp" => (Way::Tcp(host, port), name),
                    _ => (Way::Zabbix(host, port), name),
                }
            }
            _ => {
                let (preset, scheme) = preset(scheme).map_err(at_url)?;
                let mut url = parsed(&format!("{scheme}:{place}")).map_err(at_url)?;
                if url.password().is_some() {
                    return Err(at_url(format!(
                        "a password in a URL is seen by everybody; set `password`, or {} in the environment",
                        variable(preset, "PASSWORD")
                    )));
                }
                if !url.username().is_empty() {
                    let user = percent_encoding::percent_decode_str(url.username());
                    self.user
                        .get_or_insert(user.decode_utf8_lossy().into_owned());
                    // It has no meaning for the request itself.
                    let _ = url.set_username("");
                }
                if matches!(url.path(), "" | "/") {
                    url.set_path(preset.base);
                }
                url.set_query(Some(rest.as_str()).filter(|it| !it.is_empty()));
                let host = url.host_str().unwrap_or_default();
                let port = url.port_or_known_default().unwrap_or_default();
                let name = format!("{} {host}:{port}", preset.name);
                (Way::Http(preset, url), name)
            }
        };
        if !rest.is_empty() && !matches!(way, Way::Http(..)) {
            let word = rest.split(['=', '&']).next().unwrap_or_default();
            return Err(at_url(format!("{scheme} knows no `{word}`")));
        }
        self.build(way, text::clean(&name), base)
    }

    fn build(self, way: Way, name: String, base: PathBuf) -> Result<Destination, Wrong> {
        let format = self.format.as_deref().map(|word| {
            let near = name::nearest(word, FORMATS.iter().map(|it| it.name));
            let near = near.map_or(String::new(), |it| format!(", did you mean `{it}`?"));
            Format::named(word).ok_or_else(|| ("format", format!("unknown format `{word}`{near}")))
        });
        let format = format.transpose()?;
        let preset = match &way {
            Way::Http(preset, _) => Some(*preset),
            _ => None,
        };
        let takes_format = match preset {
            Some(preset) => preset.media_type.is_none(),
            None => matches!(way, Way::File(_) | Way::Tcp(..)),
        };
        let useless = |key: &'static str| Err((key, format!("`{key}` does nothing for {name}")));
        if format.is_some() && !takes_format {
            return useless("format");
        }
        let takes_ttl = takes_format || preset.is_some_and(|it| it.uses_ttl);
        if self.ttl.is_some() && !takes_ttl {
            return useless("ttl");
        }
        for (key, given) in [
            ("ca", self.ca.is_some()),
            ("user", self.user.is_some()),
            ("password", self.password.is_some()),
            ("token", self.token.is_some()),
        ] {
            if given && preset.is_none() {
                return useless(key);
            }
        }
        let timeout = self.timeout.map_or(TIMEOUT, |it| it.0);
        if timeout.is_zero() {
            return Err((
                "timeout",
                "a timeout of nothing delivers nothing".to_owned(),
            ));
        }
        Ok(Destination {
            on: self.on.unwrap_or(preset.map_or(On::Always, |it| it.on)),
            name,
            refused: None,
            way,
            host: self.host.map(|it| text::clean(&it)),
            timeout,
            format,
            ttl: self.ttl.map(|it| it.0),
            ca: self.ca,
            user: self.user,
            password: self.password,
            token: self.token,
            base,
        })
    }

    /// Takes what is koshu's own out of a query, and returns the rest of it as it was written.
    fn take(&mut self, query: &str) -> Result<String, String> {
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|it| !it.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            let value = value.into_owned();
            let twice = match key {
                "host" => self.host.replace(value).is_some(),
                "format" => self.format.replace(value).is_some(),
                "ca" => self.ca.replace(PathBuf::from(value)).is_some(),
                "timeout" => self.timeout.replace(value.parse()?).is_some(),
                "ttl" => self.ttl.replace(value.parse()?).is_some(),
                "on" => {
                    let on = match value.as_str() {
                        "always" => On::Always,
                        "change" => On::Change,
                        _ => return Err("`on` is always or change".to_owned()),
                    };
                    self.on.replace(on).is_some()
                }
                "password" | "token" if value != "{token}" => {
                    return Err(format!(
                        "a {key} in a URL is seen by everybody; it belongs into [[to]] or the environment"
                    ));
                }
                _ => {
                    rest.push(pair);
                    false
                }
            };
            if twice {
                return Err(format!("`{key}` is set twice"));
            }
        }
        Ok(rest.join("&"))
    }
}

/// The environment variable that holds a secret for a preset.
pub fn variable(preset: &Preset, word: &str) -> String {
    let name = preset.name.to_uppercase().replace('-', "_");
    format!("KOSHU_{name}_{word}")
}

fn parsed(url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|it| format!("no URL: {it}"))
}

/// The preset of `PRESET+https`, and the scheme behind it.
fn preset(scheme: &str) -> Result<(&'static Preset, &str), String> {
    let named = |word: &str| PRESETS.iter().find(|it| it.name == word);
    match scheme.split_once('+') {
        Some((word, scheme @ ("http" | "https"))) => match named(word) {
            Some(preset) => Ok((preset, scheme)),
            None => Err(unknown(word)),
        },
        None if matches!(scheme, "http" | "https") => Err(format!(
            "whose is it? Write webhook+{scheme}://…, or another preset: {}",
            presets()
        )),
        None if named(scheme).is_some() => Err(format!("write {scheme}+https://…")),
        _ => Err(unknown(scheme)),
    }
}

fn presets() -> String {
    let names: Vec<&str> = PRESETS.iter().map(|it| it.name).collect();
    names.join(", ")
}

fn unknown(word: &str) -> String {
    let known = SCHEMES.into_iter().chain(PRESETS.iter().map(|it| it.name));
    let shown = text::excerpt(&text::without_userinfo(word), 40);
    match name::nearest(word, known) {
        Some(near) => format!("unknown destination `{shown}`, did you mean `{near}`?"),
        None => format!(
            "unknown destination `{shown}`; expected file:PATH, nagios:PATH, tcp://HOST, zabbix://HOST or PRESET+https://HOST with a preset of {}",
            presets()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Destination, Wrong> {
        Keys::of(url).destination(PathBuf::from("/etc/koshu"))
    }

    fn wrong(url: &str) -> String {
        read(url).err().map_or(String::new(), |it| it.1)
    }

    #[test]
    fn every_scheme_is_read() {
        for (url, name) in [
            (
                "file:/var/lib/x.prom?format=prometheus",
                "file:/var/lib/x.prom",
            ),
            ("file:///x", "file:/x"),
            ("file:x", "file:x"),
            ("nagios:/var/spool", "nagios:/var/spool"),
            ("tcp://xymon.lab", "tcp xymon.lab:1984"),
            ("zabbix://[::1]:10055?host=a", "zabbix ::1:10055"),
            ("TCP://[fe80::1%25eth0]:1985", "tcp fe80::1%eth0:1985"),
            ("Webhook+HTTPS://h.lab/", "webhook h.lab:443"),
            (
                "icinga2+https://koshu@127.0.0.1:5665?ca=/x",
                "icinga2 127.0.0.1:5665",
            ),
            (
                "webhook+https://h.lab/a/b?key=1&on=change",
                "webhook h.lab:443",
            ),
        ] {
            assert_eq!(read(url).map(|it| it.name), Ok(name.to_owned()), "{url}");
        }
        let webhook = read("webhook+https://h.lab/a?key=1&on=change&b=%20").expect("a webhook");
        assert!(webhook.on == On::Change);
        let Way::Http(_, url) = webhook.way else {
            panic!("a webhook is HTTP");
        };
        assert_eq!(
            url.as_str(),
            "https://h.lab/a?key=1&b=%20",
            "what is not ours stays"
        );
    }

    #[test]
    fn mistakes_name_what_is_meant() {
        assert!(wrong("icinga+https://x").contains("did you mean `icinga2`"));
        assert!(wrong("https://x/").contains("webhook+https://"));
        assert!(wrong("icinga2://x").contains("icinga2+https://"));
        assert!(wrong("zabix://x").contains("did you mean `zabbix`"));
        assert!(wrong("icinga2+https://u:pw@x").contains("KOSHU_ICINGA2_PASSWORD"));
        assert!(!wrong("icinga2+https://u:pw@x").contains("pw@"));
        assert!(wrong("consul-ttl+http://x?token=y").contains("seen by everybody"));
        assert!(wrong("tcp://x?format=xymn").contains("did you mean `xymon`"));
        assert!(wrong("nagios:/x?ttl=5m").contains("`ttl` does nothing"));
        assert!(wrong("file:/x?colour=no").contains("knows no `colour`"));
        assert!(wrong("tcp://x?on=sometimes").contains("always or change"));
    }
}
