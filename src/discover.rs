//! A list for this host when there is none: its real file systems, and the certificate files that its
//! servers are configured with. Nothing is contacted.

use crate::config::{Source, toml_string};
use crate::model::pattern::Pattern;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
const KEPT: &[&str] = &[
    "/etc/letsencrypt/live/*/fullchain.pem",
    "/var/lib/acme/*/fullchain.pem",
    "/root/.acme.sh/*/fullchain.cer",
];

/// The list for this host, with the reason for each check.
pub fn list() -> Source {
    let mut text = String::from(
        "# The real file systems of this host.\n[[check]]\nname = \"disks\"\ntype = \"disk\"\n",
    );
    for (file, reason) in certificates() {
        let file = file.to_string_lossy();
        text.push_str(&format!(
            "\n# {reason}\n[[check]]\ntype = \"cert\"\nfile = {}\n",
            toml_string(&file)
        ));
    }
    Source::new("what was found on this host", text, PathBuf::new())
}

/// Certificate files, each once and with the reason why it matters.
fn certificates() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for pattern in KEPT {
        for file in files(pattern) {
            found.push((file, "kept and renewed by a certificate client".to_owned()));
        }
    }
    for (pattern, setting) in CONFIGURED {
        let setting: Option<Pattern> = setting.parse().ok();
        for config in files(pattern) {
            let bytes = fs::read(&config).unwrap_or_default();
            let Some(regex) = setting.as_ref().and_then(|it| it.regex().ok()) else {
                continue;
            };
            for found_here in regex.captures_iter(&bytes) {
                let Some(name) = found_here.get(1) else {
                    continue;
                };
                let file = PathBuf::from(String::from_utf8_lossy(name.as_bytes()).into_owned());
                if file.is_absolute() {
                    found.push((file, format!("named in {}", config.display())));
                }
            }
        }
    }
    let mut known = BTreeSet::new();
    found.retain(|(file, _)| known.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())));
    found.retain(|(file, _)| file.to_str().is_some_and(|it| !it.contains('\n')));
    found
}

fn files(pattern: &str) -> Vec<PathBuf> {
    let found = glob::glob(pattern).into_iter().flatten().flatten();
    found.filter(|it| Path::is_file(it)).collect()
}
