//! What this host has: read from /proc, /etc and a few folders, and nothing of it touched.

use crate::check::Run;
use crate::check::disk::helper::{self, Answer};
use crate::config::toml_string;
use crate::discover::{Found, What};
use crate::host::mounts::{self, Mount};
use crate::host::processes::{Processes, Running};
use crate::host::sockets::{self, Holder, Transport};
use crate::model::pattern::Pattern;
use crate::model::quantity;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Everything, in the order in which a person would look.
pub fn all(run: &Run, at: SystemTime) -> Vec<Found> {
    let mounts = run.mounts().unwrap_or_default();
    let listeners = Listeners::read(run);
    let mut found = file_systems(mounts);
    found.extend(fstab(mounts));
    found.extend(listeners.ports());
    found.extend(units(&listeners));
    found.extend(cron(run));
    found.extend(resolvers());
    found.extend(certificates());
    found.extend(backups(mounts, at));
    found
}

fn file_systems(mounts: &[Mount]) -> Vec<Found> {
    let real = mounts::once(mounts, Mount::is_real);
    let of = |mount: &Mount| {
        let point = mount.point.to_string_lossy();
        let what = What::Mount(mount.point.clone());
        let (seen, limits) = match mount.is_harmless().then(|| helper::look(&mount.point)) {
            Some(Answer::Space(space)) => {
                let used = space.used_percent();
                (format!(", {used:.0}% used now"), limits(used))
            }
            _ => (String::new(), "80%,90%".to_owned()),
        };
        let reason = format!("{point} is {} on {}{seen}.", mount.kind, mount.source);
        Found::new("disk", &format!("disk {point}"), what, reason)
            .text("path", &point)
            .text("used", &limits)
    };
    let all = real
        .iter()
        .filter(|it| !it.read_only && it.point.to_str().is_some());
    all.map(of).collect()
}

/// Limits that leave what is now some room; a file system that is almost full stays above them.
fn limits(used: f64) -> String {
    match used {
        it if (78.0..90.0).contains(&it) => {
            let warn = it.ceil() + 2.0;
            format!("{warn:.0}%,{:.0}%", (warn + 4.0).max(90.0))
        }
        _ => "80%,90%".to_owned(),
    }
}

fn fstab(mounts: &[Mount]) -> Option<Found> {
    let planned = mounts::fstab(Path::new("/etc/fstab"));
    let wanted = planned.iter().filter(|it| it.is_wanted());
    let (there, gone): (Vec<_>, Vec<_>) =
        wanted.partition(|it| mounts.iter().any(|mount| mount.point == it.point));
    if there.is_empty() && gone.is_empty() {
        return None;
    }
    let count = there.len() + gone.len();
    let reason = format!("/etc/fstab wants {count} file systems to be mounted.");
    Some(Found::new("mount", "fstab", What::Fstab, reason).doubtful())
}

/// What listens here, by the process that does.
struct Listeners {
    by: BTreeMap<String, Vec<Port>>,
    /// The units of systemd that these processes belong to.
    units: BTreeMap<String, BTreeSet<u16>>,
}

struct Port {
    number: u16,
    /// The only address, when it is not all of them.
    address: Option<std::net::IpAddr>,
}

impl Listeners {
    fn read(run: &Run) -> Listeners {
        let mut read = Listeners {
            by: BTreeMap::new(),
            units: BTreeMap::new(),
        };
        let none = Processes::new(Vec::new(), None);
        let processes = run.processes().unwrap_or(&none);
        let mut all = run.listeners().unwrap_or_default().to_vec();
        let ephemeral = ephemeral(run);
        // Ports that the system gives away by itself are others tomorrow.
        all.retain(|it| it.transport == Transport::Tcp && !ephemeral.contains(&it.at.port()));
        let holders = sockets::holders(processes, &all);
        for it in &all {
            let holder: Option<&Holder> = it.holder(&holders);
            let name = holder.map_or(String::new(), |it| it.name.clone());
            let number = it.at.port();
            let address = Some(it.at.ip()).filter(|it| !it.is_unspecified());
            let ports = read.by.entry(name).or_default();
            match ports.iter_mut().find(|it| it.number == number) {
                None => ports.push(Port { number, address }),
                Some(port) if address.is_none() => port.address = None,
                Some(_) => (),
            }
            let process =
                holder.and_then(|holder| processes.all.iter().find(|it| it.pid == holder.pid));
            if let Some(unit) = process.and_then(unit) {
                read.units.entry(unit).or_default().insert(number);
            }
        }
        read
    }

    fn ports(&self) -> Vec<Found> {
        let of = |(name, ports): (&String, &Vec<Port>)| {
            let shown = |it: &Port| match it.address {
                None => it.number.to_string(),
                Some(address @ std::net::IpAddr::V6(_)) => {
                    toml_string(&format!("[{address}]:{}", it.number))
                }
                Some(address) => toml_string(&format!("{address}:{}", it.number)),
            };
            let list: Vec<String> = ports.iter().map(shown).collect();
            let plain: Vec<String> = ports.iter().map(|it| it.number.to_string()).collect();
            let (title, who) = match name.is_empty() {
                true => (
                    format!("port {}", plain.join(" ")),
                    "A process of another user",
                ),
                false => (format!("{name} listens"), name.as_str()),
            };
            let what = What::Ports(ports.iter().map(|it| it.number).collect());
            let reason = format!("{who} listens on {}.", plain.join(", "));
            Found::new("port", &title, what, reason).key("listen", format!("[{}]", list.join(", ")))
        };
        self.by.iter().map(of).collect()
    }
}

/// The ports that the kernel gives to whoever asks for any (ip(7), ip_local_port_range).
fn ephemeral(run: &Run) -> std::ops::RangeInclusive<u16> {
    let text = run.roots.read("sys/net/ipv4/ip_local_port_range");
    let text = text.unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|it| it.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) => first..=last,
        _ => 32_768..=60_999,
    }
}

/// The unit of systemd that a process belongs to, by its control group.
fn unit(process: &Running) -> Option<String> {
    let group = process.cgroup();
    let unit = group.split('/').rev().find(|it| it.ends_with(".service"))?;
    // A user's own session is nobody's service.
    (group.starts_with("/system.slice") && !process.is_contained()).then(|| unit.to_owned())
}

/// systemd runs (sd_booted(3)).
fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn units(listeners: &Listeners) -> Vec<Found> {
    if !has_systemd() {
        return Vec::new();
    }
    let reason = "systemd runs here; whatever unit fails, somebody wanted it.".to_owned();
    let mut found = vec![Found::new(
        "service",
        "failed units",
        What::FailedUnits,
        reason,
    )];
    for (unit, ports) in &listeners.units {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let reason = format!("{unit} listens on {}.", ports.join(", "));
        found.push(service(unit, reason));
    }
    let timer = "certbot.timer";
    if Path::new("/etc/systemd/system/timers.target.wants")
        .join(timer)
        .exists()
    {
        let reason = "certbot's certificates are renewed by its timer.".to_owned();
        found.push(service(timer, reason).doubtful());
    }
    found
}

fn service(unit: &str, reason: String) -> Found {
    let name = unit.trim_end_matches(".service");
    Found::new("service", name, What::Unit(unit.to_owned()), reason).text("unit", unit)
}

/// Cron's daemon, where there are jobs for it.
fn cron(run: &Run) -> Option<Found> {
    let mut jobs = entries("/etc/cron.d");
    jobs.retain(|it| {
        !it.file_name()
            .is_some_and(|it| it.as_encoded_bytes().starts_with(b"."))
    });
    jobs.extend(entries("/var/spool/cron/crontabs"));
    jobs.extend(
        entries("/var/spool/cron")
            .into_iter()
            .filter(|it| it.is_file()),
    );
    let processes = run.processes().ok()?;
    let daemon = ["cron", "crond", "fcron", "dcron"]
        .into_iter()
        .find(|name| {
            let mut all = processes.all.iter();
            all.any(|it| it.short == name.as_bytes() && !it.is_zombie() && !it.is_contained())
        })?;
    if jobs.is_empty() {
        return None;
    }
    let count = jobs.len();
    let reason = format!("{count} files of cron jobs wait for {daemon}.");
    let what = What::Process(daemon.to_owned());
    Some(
        Found::new("process", daemon, what, reason)
            .text("match", daemon)
            .text("count", "1:,1:")
            .doubtful(),
    )
}

/// The servers that this machine asks for names.
fn resolvers() -> Option<Found> {
    let text = fs::read("/etc/resolv.conf").ok()?;
    let config = resolv_conf::Config::parse(text).ok()?;
    let servers: Vec<String> = config.nameservers.iter().map(ToString::to_string).collect();
    if servers.is_empty() {
        return None;
    }
    let reason = format!("/etc/resolv.conf asks {} for names.", servers.join(", "));
    Some(
        Found::new("dns", "resolvers", What::Resolvers, reason)
            .text("host", "localhost")
            .text("via", "system")
            // That it answers is enough; not all of them know this name.
            .key(
                "grade",
                "{ nxdomain = \"ok\", no-record = \"ok\" }".to_owned(),
            )
            .doubtful(),
    )
}

fn entries(folder: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = all.map(|it| it.path()).collect();
    all.sort();
    all
}

/// Where servers name their certificate files, and how.
const CONFIGURED: &[(&str, &str)] = &[
    (
        "/etc/nginx/**/*.conf",
        r"(?m)^\s*ssl_certificate\s+([^;\s$]+)\s*;",
    ),
    (
        "/etc/nginx/sites-enabled/*",
        r"(?m)^\s*ssl_certificate\s+([^;\s$]+)\s*;",
    ),
    (
        "/etc/apache2/*-enabled/*",
        r#"(?mi)^\s*SSLCertificateFile\s+"?([^"\s$]+)"#,
    ),
    (
        "/etc/httpd/conf*/**/*.conf",
        r#"(?mi)^\s*SSLCertificateFile\s+"?([^"\s$]+)"#,
    ),
    (
        "/etc/postfix/main.cf",
        r"(?m)^\s*smtpd_tls_cert_file\s*=\s*([^\s$]+)",
    ),
    (
        "/etc/dovecot/**/*.conf",
        r"(?m)^\s*ssl_cert\s*=\s*<\s*([^\s$]+)",
    ),
];

/// Files that lie where a certificate client keeps what it renews.
const KEPT: &[(&str, &str)] = &[
    ("/etc/letsencrypt/live/*/fullchain.pem", "certbot"),
    ("/var/lib/acme/*/fullchain.pem", "an ACME client"),
    ("/root/.acme.sh/*/fullchain.cer", "acme.sh"),
];

/// Certificate files, each once and with the reason why it matters.
fn certificates() -> Vec<Found> {
    let mut found: Vec<(PathBuf, String)> = Vec::new();
    for (pattern, client) in KEPT {
        for file in files(pattern) {
            found.push((file, format!("Kept and renewed by {client}")));
        }
    }
    for (pattern, setting) in CONFIGURED {
        let setting: Option<Pattern> = setting.parse().ok();
        let Some(regex) = setting.as_ref().and_then(|it| it.regex().ok()) else {
            continue;
        };
        for config in files(pattern) {
            let bytes = fs::read(&config).unwrap_or_default();
            let names = regex.captures_iter(&bytes).filter_map(|it| it.get(1));
            for name in names {
                let file = PathBuf::from(String::from_utf8_lossy(name.as_bytes()).into_owned());
                if file.is_absolute() {
                    found.push((file, format!("Named in {}", config.display())));
                }
            }
        }
    }
    let mut known = BTreeSet::new();
    found.retain(|(file, _)| known.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())));
    found.retain(|(file, _)| file.to_str().is_some_and(|it| !it.contains('\n')));
    found
        .into_iter()
        .map(|(file, reason)| {
            let shown = file.to_string_lossy().into_owned();
            let is_there = file.exists();
            let what = What::Certificate(file);
            let found = Found::new("cert", &format!("cert {shown}"), what, format!("{reason}."))
                .text("file", &shown);
            // A server that does not run may name what was never made; one that is expired is told.
            match is_there {
                true => found,
                false => found.doubtful(),
            }
        })
        .collect()
}

fn files(pattern: &str) -> Vec<PathBuf> {
    let found = glob::glob(pattern).into_iter().flatten().flatten();
    found.filter(|it| Path::is_file(it)).collect()
}

/// Where people put what they can restore from.
const BACKUPS: &[&str] = &[
    "/var/backups",
    "/backup",
    "/backups",
    "/srv/backup",
    "/srv/backups",
    "/mnt/backup",
    "/mnt/backups",
    "/var/lib/backup",
    "/var/lib/backups",
];

/// Endings of what is kept to be restored.
const ARCHIVES: &[&str] = &[
    "7z", "bak", "borg", "bz2", "cpio", "dump", "gpg", "gz", "lz4", "rdb", "sql", "tar", "tgz",
    "xz", "zip", "zst",
];

/// What Debian keeps of its own files, whenever they happen to change.
const OWN: &[&str] = &[
    "alternatives",
    "apt.",
    "dpkg.",
    "group",
    "gshadow",
    "passwd",
    "shadow",
];

/// Files that are written again and again under names that only differ in numbers.
fn backups(mounts: &[Mount], at: SystemTime) -> Vec<Found> {
    let mut found = Vec::new();
    for folder in BACKUPS {
        // A dead server must not keep this waiting.
        let safe = mounts::of(mounts, Path::new(folder)).is_ok_and(Mount::is_harmless);
        if !safe {
            continue;
        }
        let mut series: BTreeMap<String, Vec<(SystemTime, u64)>> = BTreeMap::new();
        for path in entries(folder) {
            let Some(name) = path.file_name().and_then(|it| it.to_str()) else {
                continue;
            };
            let is_archive = ARCHIVES.contains(&name.rsplit('.').next().unwrap_or_default());
            let own = *folder == "/var/backups" && OWN.iter().any(|it| name.starts_with(it));
            let about = fs::symlink_metadata(&path)
                .ok()
                .filter(fs::Metadata::is_file);
            if let (true, false, Some(about)) = (is_archive, own, about)
                && let Ok(written) = about.modified()
            {
                series
                    .entry(series_of(name))
                    .or_default()
                    .push((written, about.len()));
            }
        }
        let series = series.into_iter().filter(|it| it.1.len() > 1);
        found.extend(series.filter_map(|(name, files)| backup(folder, &name, files, at)));
    }
    found
}

/// A name with `*` for each number in it: `shop-2026-11-24.dump` is one of `shop-*.dump`.
fn series_of(name: &str) -> String {
    let mut series = String::new();
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        if !c.is_ascii_digit() {
            series.push(match c {
                '[' | '?' | '*' => '?',
                _ => c,
            });
            continue;
        }
        let is_part = |it: &char| it.is_ascii_digit() || matches!(it, '-' | '_' | ':' | 'T' | '.');
        let mut number = String::new();
        while let Some(next) = rest.next_if(is_part) {
            number.push(next);
        }
        // What parts a number from the words behind it is none of it.
        let words = number.trim_start_matches(|it: char| it.is_ascii_digit() || it == 'T');
        let tail = number.len()
            - number
                .trim_end_matches(|it: char| !it.is_ascii_digit())
                .len();
        let tail = if words.is_empty() { 0 } else { tail };
        series.push('*');
        series.push_str(&number[number.len() - tail..]);
    }
    series
}

fn backup(
    folder: &str,
    name: &str,
    mut files: Vec<(SystemTime, u64)>,
    at: SystemTime,
) -> Option<Found> {
    files.sort();
    files.reverse();
    let pairs = files.windows(2).take(10);
    let mut gaps: Vec<Duration> = pairs
        .filter_map(|it| it[0].0.duration_since(it[1].0).ok())
        .collect();
    gaps.sort();
    // Several at once are one backup in parts.
    let gap = gaps
        .get(gaps.len().saturating_sub(1) / 2)
        .copied()?
        .max(Duration::from_secs(3600));
    let newest = files.first()?;
    let old = at.duration_since(newest.0).unwrap_or_default();
    let hours = |it: Duration| it.as_secs().div_ceil(3600);
    let (warn, critical) = (hours(gap + gap / 8) + 1, hours(gap * 2) + 2);
    let path = format!("{folder}/{name}");
    let shown = |it: Duration| quantity::seconds(it.as_secs_f64().round());
    let reason = format!(
        "{} files of {path}, one about every {}, the newest {} old.",
        files.len(),
        shown(gap),
        shown(old)
    );
    Some(
        Found::new(
            "file",
            &format!("backup {name}"),
            What::Files(path.clone()),
            reason,
        )
        .text("path", &path)
        .text("age", &format!("{warn}h,{critical}h"))
        .text("size", &format!("{}B:,1B:", (newest.1 / 2).max(1)))
        .doubtful(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_what_changes() {
        for (name, series) in [
            ("shop-2026-11-24.dump", "shop-*.dump"),
            ("db_20261124_0300.sql.gz", "db_*.sql.gz"),
            ("mail.tar.gz.1", "mail.tar.gz.*"),
            ("host1-full.tar", "host*-full.tar"),
            ("2026-11-24T03:00:00-home.tgz", "*-home.tgz"),
            ("plain.tar", "plain.tar"),
        ] {
            assert_eq!(series_of(name), series);
        }
    }

    #[test]
    fn what_is_now_gets_room_and_what_is_full_does_not() {
        assert_eq!(limits(20.0), "80%,90%");
        assert_eq!(limits(84.2), "87%,91%");
        assert_eq!(limits(79.0), "81%,90%");
        assert_eq!(limits(97.0), "80%,90%");
    }
}
