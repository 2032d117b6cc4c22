//! Certificates in files: dates, and whether the private key belongs to them.

use super::chain::Found;
use super::{Cert, described, ends};
use crate::bounded;
use crate::check::Context;
use crate::host;
use crate::host::account::unreadable;
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::outcome::{Outcome, UNKNOWN};
use crate::model::pattern::is_wild;
use crate::model::quantity::Unit;
use crate::model::state::State;
use crate::net::store::{Store, public_key};
use crate::net::trust;
use crate::net::x509::Certificate;
use anyhow::{Context as _, anyhow};
use rustls::pki_types::PrivateKeyDer;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file that a server should show.
pub struct File {
    pub path: PathBuf,
    pub modified: SystemTime,
    pub certificates: Vec<Certificate>,
    /// What is wrong with it, with code and state.
    pub wrong: Vec<Found>,
}

impl File {
    pub fn leaf(&self) -> Option<&Certificate> {
        self.certificates.first()
    }
}

/// The most that is read of a file; a longer one is refused.
const MOST: u64 = 16 << 20;

impl Cert {
    /// Judges files alone; one that cannot be read does not hide the others.
    pub fn stored(&self, cx: &Context, files: &List<PathBuf>) -> anyhow::Result<Outcome> {
        let (paths, unread) = expand(cx, files)?;
        let all: Vec<File> = paths
            .into_iter()
            .map(|it| self.file_or_why(cx, it, self.key.as_deref()))
            .collect();
        let mut outcome = self.judge_files(&all, cx.now);
        for line in unread {
            outcome.find(UNKNOWN, State::Unknown, &line);
        }
        for leaf in all.iter().filter_map(File::leaf).filter(|_| self.renewal) {
            self.preflight(cx, &mut outcome, leaf, None);
        }
        Ok(outcome)
    }

    /// The file that a server should show. What hinders reading it does not hide what is served.
    pub fn deployed(&self, cx: &Context) -> anyhow::Result<Option<File>> {
        let Some(file) = self.file.as_ref().and_then(|it| it.0.first()) else {
            return Ok(None);
        };
        Ok(Some(self.file_or_why(
            cx,
            cx.path(file),
            self.key.as_deref(),
        )))
    }

    /// Reads one file, or keeps what hinders that as what is wrong with it.
    pub fn file_or_why(&self, cx: &Context, path: PathBuf, key: Option<&Path>) -> File {
        self.file(cx, path.clone(), key)
            .unwrap_or_else(|error| File {
                path,
                modified: cx.now,
                certificates: Vec::new(),
                wrong: vec![(UNKNOWN, State::Unknown, format!("{error:#}"))],
            })
    }

    /// Reads one file, and compares the private keys in it and in `key` with its certificate.
    fn file(&self, cx: &Context, path: PathBuf, key: Option<&Path>) -> anyhow::Result<File> {
        let mut file = File {
            modified: fs::metadata(&path)
                .and_then(|it| it.modified())
                .unwrap_or(cx.now),
            path,
            certificates: Vec::new(),
            wrong: Vec::new(),
        };
        let shown = file.path.display().to_string();
        let password = self.password.as_ref().map(|it| cx.secret(it)).transpose()?;
        let Some(bytes) = read(&file.path)? else {
            let line = format!("{shown} does not exist");
            file.wrong.push(("missing", State::Critical, line));
            return Ok(file);
        };
        let store = Store::read(&bytes, password.as_deref()).with_context(|| shown.clone())?;
        let mut keys: Vec<(String, Option<Vec<u8>>)> = store
            .keys
            .iter()
            .map(|it| (format!("the private key in {shown}"), public_key(it)))
            .collect();
        if let Some(key) = key {
            let path = cx.path(key);
            let name = format!("the private key {}", path.display());
            match private(&path, password.as_deref()) {
                Ok(key) => keys.push((name, public_key(&key))),
                Err(error) => {
                    let line = format!("{error:#}");
                    file.wrong.push((UNKNOWN, State::Unknown, line));
                }
            }
        }
        for (name, key) in keys {
            let fits = |key: &Vec<u8>| store.certificates.iter().any(|it| it.public_key == *key);
            if key.is_some_and(|it| !fits(&it)) {
                let line = format!("{name} is not that of the certificate");
                file.wrong.push(("key-mismatch", State::Critical, line));
            }
        }
        if store.certificates.is_empty() {
            return Err(anyhow!("no certificate in {shown}"));
        }
        for line in store.unread {
            let line = format!("{shown}: {line}");
            file.wrong.push((UNKNOWN, State::Unknown, line));
        }
        file.certificates = store.certificates;
        Ok(file)
    }

    pub fn judge_files(&self, files: &[File], now: SystemTime) -> Outcome {
        let all: Vec<(&Path, &Certificate)> = files
            .iter()
            .flat_map(|file| file.certificates.iter().map(|it| (&*file.path, it)))
            .collect();
        let first = all.iter().min_by_key(|it| it.1.not_after);
        let mut outcome = match first {
            None => Outcome::default(),
            Some((_, first)) => {
                let count = match all.len() {
                    1 => String::new(),
                    more => format!(", first of {more} certificates"),
                };
                Outcome::new(&format!("{}{count}", ends(first, now)))
            }
        };
        for (path, certificate) in &all {
            let shown = path.display();
            match (
                trust::dates(certificate, now),
                self.left_state(certificate, now),
            ) {
                (Some((code, line)), _) => {
                    outcome.find(code, State::Critical, &format!("{line} ({shown})"));
                }
                (None, State::Ok) => (),
                (None, state) => {
                    let line = format!("{} ({shown})", ends(certificate, now));
                    outcome.find("left", state, &line);
                }
            }
            outcome.detail(&format!("{shown}: {}", described(certificate, now)));
        }
        for file in files {
            for (code, state, line) in &file.wrong {
                outcome.find(code, *state, line);
            }
            for (code, state, line) in file.leaf().into_iter().flat_map(|it| self.expected(it)) {
                outcome.find(code, state, &format!("{line} ({})", file.path.display()));
            }
        }
        if let Some((_, first)) = first {
            for metric in self.measures(first, now) {
                outcome.note(metric);
            }
            let count = all.len() as f64;
            outcome.note(Metric::new("certificates", count, Unit::None));
        }
        outcome
    }
}

/// The bytes of a file; nothing when it does not exist.
///
/// # Errors
/// When it cannot be read, with the user who could not.
fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match bounded::read(path, MOST) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let why = unreadable(path, &error);
            Err(anyhow!("{why}; a check with `host` sees what is served"))
        }
    }
}

/// The first private key in a file.
///
/// # Errors
/// When there is none that can be read.
fn private(path: &Path, password: Option<&str>) -> anyhow::Result<PrivateKeyDer<'static>> {
    let name = path.display();
    let bytes = read(path)?.with_context(|| format!("{name} does not exist"))?;
    let store = Store::read(&bytes, password).with_context(|| name.to_string())?;
    let first = store.keys.into_iter().next();
    first.with_context(|| format!("no private key in {name} that can be read"))
}

/// The files of all patterns, and a line for each folder that could not be looked into.
///
/// # Errors
/// When nothing fits a pattern.
fn expand(cx: &Context, files: &List<PathBuf>) -> anyhow::Result<(Vec<PathBuf>, Vec<String>)> {
    let (mut all, mut unread) = (Vec::new(), Vec::new());
    for file in &files.0 {
        let path = cx.path(file);
        if !is_wild(&file.to_string_lossy()) || path.exists() {
            all.push(path);
            continue;
        }
        let found = host::files::matching(&cx.base, file);
        // A link that leads nowhere stays: its certificate is missing.
        let could_be = |it: &PathBuf| fs::metadata(it).map_or(true, |it| it.is_file());
        let paths: Vec<PathBuf> = found.paths.into_iter().filter(could_be).collect();
        if paths.is_empty() && found.closed.is_empty() {
            return Err(anyhow!("no file matches {}", Path::display(file)));
        }
        all.extend(paths);
        let lines = found.closed.iter();
        unread.extend(lines.map(|it| unreadable(&it.folder, &it.error).to_string()));
    }
    Ok((all, unread))
}
