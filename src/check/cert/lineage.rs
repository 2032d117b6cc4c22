//! Where ACME clients keep what they were issued: the folders of certbot, acme.sh and lego.

use super::renewal::Challenge;
use crate::bounded;
use crate::host::account::unreadable;
use crate::net::x509::Certificate;
use anyhow::anyhow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Whose folder it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Client {
    Certbot,
    AcmeSh,
    Lego,
}

/// One certificate that a client renews.
#[derive(Debug, Default)]
pub struct Lineage {
    pub name: String,
    /// The certificate with its chain.
    pub chain: PathBuf,
    pub key: Option<PathBuf>,
    /// The directory of its CA (RFC 8555, section 7.1.1).
    pub server: Option<String>,
    pub challenge: Option<Challenge>,
    /// The URL of the account at the CA (RFC 8555, section 7.1.2).
    pub account: Option<String>,
    /// Why the client will not renew it.
    pub broken: Vec<String>,
    /// Why what the client knows of it cannot be read.
    pub unread: Option<String>,
    pub renews: Renews,
}

/// When a client renews.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Renews {
    #[default]
    Unknown,
    /// At this second since 1970.
    At(i64),
    /// When so many seconds are left.
    Left(f64),
    /// When a third of the lifetime is left, of very short ones a half (certbot since 4.0).
    Third,
}

impl Lineage {
    /// The second since 1970 at which the client renews a certificate, where that is known.
    pub fn renews(&self, leaf: &Certificate) -> Option<i64> {
        let before_end = |left: f64| leaf.not_after - left as i64;
        match self.renews {
            Renews::Unknown => None,
            Renews::At(second) => Some(second),
            Renews::Left(left) => Some(before_end(left)),
            Renews::Third if leaf.lifetime() < 10.0 * DAY => {
                Some(before_end(leaf.lifetime() / 2.0))
            }
            Renews::Third => Some(before_end(leaf.lifetime() / 3.0)),
        }
    }
}

const DAY: f64 = 86_400.0;

impl Client {
    /// All lineages in a client's folder, by name.
    ///
    /// # Errors
    /// When the folder cannot be read, or has none.
    pub fn lineages(self, folder: &Path) -> anyhow::Result<Vec<Lineage>> {
        let all = match self {
            Client::Certbot => certbot(folder),
            Client::AcmeSh => acme_sh(folder),
            Client::Lego => lego(folder),
        }?;
        match all.is_empty() {
            true => Err(anyhow!(
                "no certificate of an ACME client in {}",
                folder.display()
            )),
            false => Ok(all),
        }
    }
}

/// The entries of a folder in order; nothing where it does not exist.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let all: io::Result<Vec<PathBuf>> = read.map(|it| Ok(it?.path())).collect();
    let mut all = all.map_err(|it| unreadable(folder, &it))?;
    all.sort();
    Ok(all)
}

fn text(path: &Path) -> anyhow::Result<String> {
    bounded::text(path, bounded::KEYS).map_err(|it| unreadable(path, &it))
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|it| it == extension)
}

/// `KEY = VALUE` lines; quotes around a value are taken away, and the first of equal keys counts.
fn assignments(text: &str) -> BTreeMap<&str, &str> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=')
            && !key.trim_start().starts_with('#')
        {
            let value = value.trim().trim_matches('\'');
            all.entry(key.trim()).or_insert(value);
        }
    }
    all
}

/// `renewal/NAME.conf` names everything else (certbot documentation, "Where are my certificates?").
fn certbot(folder: &Path) -> anyhow::Result<Vec<Lineage>> {
    let mut all = Vec::new();
    let confs = entries(&folder.join("renewal"))?;
    for conf in confs.iter().filter(|it| has_extension(it, "conf")) {
        // What cannot be read of one does not hide the others, nor its certificate.
        all.push(certbot_lineage(folder, conf).unwrap_or_else(|error| {
            let live = folder
                .join("live")
                .join(conf.file_stem().unwrap_or_default());
            Lineage {
                name: stem(conf),
                chain: live.join("fullchain.pem"),
                unread: Some(format!("{error:#}")),
                ..Lineage::default()
            }
        }));
    }
    // Only root may look into `live`; what its files say is told by who may.
    for live in entries(&folder.join("live")).unwrap_or_default() {
        let name = live.file_name().unwrap_or_default().to_string_lossy();
        if live.is_dir() && !all.iter().any(|it| it.name == name) {
            all.push(Lineage {
                name: name.to_string(),
                chain: live.join("fullchain.pem"),
                key: Some(live.join("privkey.pem")),
                broken: vec![format!(
                    "{name} has no renewal/{name}.conf, certbot does not know it"
                )],
                ..Lineage::default()
            });
        }
    }
    Ok(all)
}

fn certbot_lineage(folder: &Path, conf: &Path) -> anyhow::Result<Lineage> {
    let name = stem(conf);
    let text = text(conf)?;
    let keys = assignments(&text);
    let path = |key: &str| keys.get(key).map(PathBuf::from);
    let mut broken = Vec::new();
    let chain = path("fullchain").unwrap_or_else(|| {
        broken.push(format!("renewal/{name}.conf names no fullchain"));
        folder.join("live").join(&name).join("fullchain.pem")
    });
    if let Some((shown, newest)) = left_behind(&chain, path("archive_dir").as_deref()) {
        broken.push(format!(
            "live/{name} still points to number {shown}, number {newest} was issued"
        ));
    }
    let authenticator = keys.get("authenticator").copied();
    if authenticator == Some("manual") && !keys.contains_key("manual_auth_hook") {
        broken.push(format!(
            "{name} was issued by hand, certbot cannot renew it alone"
        ));
    }
    let first = |text: &str| text.split('.').next().and_then(|it| it.parse().ok());
    let version: u32 = keys.get("version").and_then(|it| first(it)).unwrap_or(0);
    let days = keys.get("renew_before_expiry").and_then(|it| {
        let (number, unit) = it.split_once(' ')?;
        let number: f64 = number.parse().ok()?;
        match unit.trim().trim_end_matches('s') {
            "day" => Some(number),
            "hour" => Some(number / 24.0),
            "week" => Some(number * 7.0),
            "month" => Some(number * 30.0),
            _ => None,
        }
    });
    let account = keys
        .get("account")
        .and_then(|it| account(folder, it, keys.get("server")?));
    Ok(Lineage {
        chain,
        key: path("privkey"),
        server: keys.get("server").map(|it| (*it).to_owned()),
        challenge: match authenticator {
            None | Some("manual") => None,
            Some(it) if it.starts_with("dns") => Some(Challenge::Dns01),
            Some(_) => Some(Challenge::Http01),
        },
        account,
        broken,
        unread: None,
        renews: match days {
            Some(days) => Renews::Left(days * DAY),
            None if version >= 4 => Renews::Third,
            None => Renews::Left(30.0 * DAY),
        },
        name,
    })
}

/// The number that `live` points to, and the newest in the archive when that is another one.
fn left_behind(chain: &Path, archive: Option<&Path>) -> Option<(u32, u32)> {
    let number = |path: &Path| -> Option<u32> {
        let name = stem(path);
        name.strip_prefix("fullchain")?.parse().ok()
    };
    let shown = number(&fs::read_link(chain).ok()?)?;
    let newest = entries(archive?)
        .ok()?
        .iter()
        .filter_map(|it| number(it))
        .max()?;
    (newest > shown).then_some((shown, newest))
}

/// The account's URL as certbot noted it; only root may read it.
fn account(folder: &Path, id: &str, server: &str) -> Option<String> {
    let place = server.split_once("://")?.1;
    let file = folder
        .join("accounts")
        .join(place)
        .join(id)
        .join("regr.json");
    let document: serde_json::Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    document["uri"].as_str().map(str::to_owned)
}

/// `DOMAIN/DOMAIN.conf`, or `DOMAIN_ecc/DOMAIN.conf`, beside what it describes (acme.sh wiki).
fn acme_sh(folder: &Path) -> anyhow::Result<Vec<Lineage>> {
    let mut all = Vec::new();
    for place in entries(folder)?.into_iter().filter(|it| it.is_dir()) {
        let folder_name = place.file_name().unwrap_or_default().to_string_lossy();
        let name = folder_name.trim_end_matches("_ecc").to_owned();
        let conf = place.join(format!("{name}.conf"));
        let chain = place.join("fullchain.cer");
        let mut lineage = Lineage {
            key: Some(place.join(format!("{name}.key"))),
            name: folder_name.clone().into_owned(),
            ..Lineage::default()
        };
        let text = match text(&conf) {
            Ok(text) => text,
            Err(_) if !conf.exists() && !chain.exists() => continue,
            Err(error) => {
                lineage.unread = Some(format!("{error:#}"));
                all.push(Lineage { chain, ..lineage });
                continue;
            }
        };
        let keys = assignments(&text);
        let way = keys.get("Le_Webroot").copied().unwrap_or_default();
        let next = keys.get("Le_NextRenewTime").and_then(|it| it.parse().ok());
        all.push(Lineage {
            chain,
            server: keys.get("Le_API").map(|it| (*it).to_owned()),
            challenge: match way {
                "" => None,
                way if way.starts_with("dns") => Some(Challenge::Dns01),
                way if way.contains("alpn") => Some(Challenge::TlsAlpn01),
                _ => Some(Challenge::Http01),
            },
            renews: next.map_or(Renews::Unknown, Renews::At),
            ..lineage
        });
    }
    Ok(all)
}

/// `certificates/DOMAIN.crt` with its chain, and the key beside it (lego documentation).
fn lego(folder: &Path) -> anyhow::Result<Vec<Lineage>> {
    let mut all = Vec::new();
    for chain in entries(&folder.join("certificates"))? {
        let name = stem(&chain);
        if !has_extension(&chain, "crt") || name.ends_with(".issuer") {
            continue;
        }
        let key = chain.with_extension("key");
        all.push(Lineage {
            key: key.exists().then_some(key),
            chain,
            name,
            ..Lineage::default()
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::cert::tests::certificate;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        folder
    }

    #[test]
    fn certbots_renewal_files_are_read() {
        let at = folder(&[
            (
                "renewal/a.conf",
                "# renew_before_expiry = 30 days\nversion = 4.1.1\nfullchain = /x/a.pem\nprivkey = /x/a.key\n[renewalparams]\nserver = https://ca/dir\naccount = abc\nauthenticator = dns-rfc2136\n",
            ),
            (
                "renewal/b.conf",
                "version = 2.1.0\nrenew_before_expiry = 7 days\nauthenticator = manual\n",
            ),
            (
                "accounts/ca/dir/abc/regr.json",
                "{\"uri\": \"https://ca/acct/1\"}",
            ),
            ("live/c/fullchain.pem", ""),
        ]);
        let all = Client::Certbot.lineages(at.path()).expect("lineages");
        let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(all[0].challenge, Some(Challenge::Dns01));
        assert_eq!(all[0].account.as_deref(), Some("https://ca/acct/1"));
        assert_eq!(all[0].key, Some(PathBuf::from("/x/a.key")));
        assert!(all[0].broken.is_empty());
        let leaf = certificate(90);
        assert_eq!(all[0].renews(&leaf), Some(60 * 86_400));
        assert_eq!(all[1].renews(&leaf), Some(83 * 86_400));
        assert_eq!(all[1].broken.len(), 2, "{:?}", all[1].broken);
        assert_eq!(
            all[2].broken,
            ["c has no renewal/c.conf, certbot does not know it"]
        );
        assert_eq!(all[0].renews(&certificate(6)), Some(3 * 86_400));
    }

    #[test]
    fn acme_sh_and_lego_have_their_own_places() {
        let at = folder(&[
            (
                "a.jp_ecc/a.jp.conf",
                "Le_Domain='a.jp'\nLe_API='https://ca/dir'\nLe_Webroot='dns_cf'\nLe_NextRenewTime='1234'\n",
            ),
            ("http.header", ""),
            ("ca/x/account.conf", ""),
        ]);
        let all = Client::AcmeSh.lineages(at.path()).expect("lineages");
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].renews(&certificate(90)), Some(1234));
        assert_eq!(all[0].challenge, Some(Challenge::Dns01));
        assert!(all[0].chain.ends_with("a.jp_ecc/fullchain.cer"));

        let at = folder(&[
            ("certificates/a.jp.crt", ""),
            ("certificates/a.jp.issuer.crt", ""),
            ("certificates/a.jp.key", ""),
        ]);
        let all = Client::Lego.lineages(at.path()).expect("lineages");
        assert_eq!(all.len(), 1);
        assert!(
            all[0]
                .key
                .as_ref()
                .is_some_and(|it| it.ends_with("a.jp.key"))
        );
        assert!(Client::Lego.lineages(&at.path().join("none")).is_err());
    }
}
