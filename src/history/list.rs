//! Whose rows are whose: checks of the same name in two lists do not mix.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where a list is looked for when none is given.
pub const STANDARD: &str = "/etc/koshu";

/// A list as history knows it: by where it is, never by what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The paths that `-c` named, each as it is without links; or a word for what is in no file.
    pub key: String,
    /// Whether it is the one that is meant when none is given.
    pub is_standard: bool,
    /// Whether it takes the rows of its checks that no list has yet.
    pub claims: bool,
}

const DISCOVERED: &str = "discover";
const COMMAND: &str = "command line";

impl Listed {
    /// The list of these files and folders.
    pub fn at(paths: &[PathBuf]) -> Listed {
        let paths = match paths.is_empty() {
            true => &[PathBuf::from(STANDARD)],
            false => paths,
        };
        let whole: BTreeSet<PathBuf> = paths.iter().map(|it| canonical(it)).collect();
        let texts: Vec<String> = whole.iter().map(|it| text(it)).collect();
        let is_standard = paths.len() == 1
            && std::path::absolute(&paths[0]).is_ok_and(|it| it == Path::new(STANDARD));
        Listed {
            key: serde_json::json!(texts).to_string(),
            is_standard,
            claims: true,
        }
    }

    /// What koshu finds on this host where there is no list.
    pub fn discovered() -> Listed {
        Listed {
            key: DISCOVERED.to_owned(),
            is_standard: false,
            claims: true,
        }
    }

    /// A list that history has named.
    pub fn of_key(key: &str) -> Listed {
        Listed {
            key: key.to_owned(),
            is_standard: false,
            claims: false,
        }
    }

    /// A check of the command line. It reads what an older koshu knew of a check of its name, and leaves it to a list.
    pub fn command() -> Listed {
        Listed {
            key: COMMAND.to_owned(),
            is_standard: false,
            claims: false,
        }
    }
}

/// What a key means to a person: "-c /srv/web.toml".
pub fn shown(key: &str) -> String {
    match serde_json::from_str::<Vec<String>>(key) {
        Ok(paths) => {
            let paths: Vec<String> = paths.iter().map(|it| format!("-c {it}")).collect();
            paths.join(" ")
        }
        Err(_) if key == DISCOVERED => "what koshu discover finds".to_owned(),
        Err(_) => "checks of the command line".to_owned(),
    }
}

/// A path without links; where the file is gone, as far as its folders are there.
fn canonical(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = whole.ancestors().find_map(|above| {
        let found = fs::canonicalize(above).ok()?;
        let rest = whole.strip_prefix(above).ok()?;
        Some(match rest.as_os_str().is_empty() {
            true => found,
            false => found.join(rest),
        })
    });
    found.unwrap_or(whole)
}

/// A path as text that no other path has.
fn text(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.to_owned(),
        // No whole path begins so.
        None => format!("bytes {}", path.as_os_str().as_bytes().escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_where_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.toml"), "").expect("a file");
        std::os::unix::fs::symlink(at("a.toml"), at("link.toml")).expect("a link");
        let (a, link, gone) = (at("a.toml"), at("link.toml"), at("gone.toml"));
        assert_eq!(
            Listed::at(std::slice::from_ref(&a)),
            Listed::at(&[link, a.clone()])
        );
        assert_ne!(
            Listed::at(std::slice::from_ref(&a)),
            Listed::at(&[a, gone.clone()])
        );
        assert!(Listed::at(&[gone]).key.contains("gone.toml"));
        assert!(Listed::at(&[]).is_standard);
        assert!(Listed::at(&["/etc/../etc/koshu/".into()]).key == Listed::at(&[]).key);
    }
}
