//! The files that a path with `*` and `?` means, whatever bytes their names are made of.

use crate::model::pattern::{fits, is_wild};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// What matches a pattern, and what hid from it.
#[derive(Debug, Default)]
pub struct Found {
    /// Sorted; links to nothing, too.
    pub paths: Vec<PathBuf>,
    /// The folders that could not be looked into.
    pub closed: Vec<Closed>,
}

/// What could not be looked into.
#[derive(Debug)]
pub struct Closed {
    pub folder: PathBuf,
    pub error: io::Error,
}

/// All that match: `*` and `?` stand for parts of one name, `**` for any number of folders below. No other sign means
/// more than itself. `base`, from which a relative path counts, is no pattern.
pub fn matching(base: &Path, pattern: &Path) -> Found {
    let mut closed = Vec::new();
    let mut found = vec![base.to_owned()];
    let mut steps = pattern.components().peekable();
    while let Some(step) = steps.next() {
        let Component::Normal(name) = step else {
            found.iter_mut().for_each(|it| it.push(step));
            continue;
        };
        let text = name.to_string_lossy();
        let mut next = Vec::new();
        for path in found {
            match &*text {
                "**" => {
                    let folders = below(path, &mut closed);
                    match steps.peek() {
                        Some(_) => next.extend(folders),
                        None => {
                            let inside = folders.iter().flat_map(|it| entries(it, &mut closed));
                            next.extend(inside.map(|it| it.path()));
                        }
                    }
                }
                wild if is_wild(wild) => {
                    let all = entries(&path, &mut closed).into_iter();
                    let fitting = all.filter(|it| fits(wild, &it.file_name().to_string_lossy()));
                    next.extend(fitting.map(|it| it.path()));
                }
                _ => next.push(path.join(name)),
            }
        }
        // Twice where one `**` follows another.
        next.sort();
        next.dedup();
        found = next;
    }
    found.retain(|it| fs::symlink_metadata(it).is_ok());
    Found {
        paths: found,
        closed,
    }
}

/// A folder and all below it, behind links, too, each once: a link back to a folder above would have no end. By its
/// own path where it has one there.
fn below(folder: PathBuf, closed: &mut Vec<Closed>) -> Vec<PathBuf> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let (mut open, mut links) = (vec![folder], Vec::new());
    while let Some(folder) = open.pop().or_else(|| links.pop()) {
        let known = fs::metadata(&folder).is_ok_and(|it| !seen.insert((it.dev(), it.ino())));
        if known {
            continue;
        }
        for it in entries(&folder, closed) {
            match it.file_type() {
                Ok(kind) if kind.is_dir() => open.push(it.path()),
                Ok(kind) if kind.is_symlink() && it.path().is_dir() => links.push(it.path()),
                _ => (),
            }
        }
        // Of two links to one folder it is always the same that counts.
        links.sort_by(|a, b| b.cmp(a));
        found.push(folder);
    }
    found
}

/// What a folder holds; nothing where there is no such folder.
fn entries(folder: &Path, closed: &mut Vec<Closed>) -> Vec<fs::DirEntry> {
    use io::ErrorKind::{NotADirectory, NotFound};
    let shown = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let read = fs::read_dir(shown).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    read.unwrap_or_else(|error| {
        if !matches!(error.kind(), NotFound | NotADirectory) {
            closed.push(Closed {
                folder: folder.to_owned(),
                error,
            });
        }
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn only_what_is_said_to_be_a_pattern_is_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().join("base*[x]");
        for name in ["[2026]/a.log", "2/a.log", "deep/er/b.log", "deep/c.txt"] {
            let path = base.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, "").expect("a file");
        }
        fs::write(base.join(OsStr::from_bytes(b"caf\xe9.log")), "").expect("a file");
        std::os::unix::fs::symlink("nowhere", base.join("gone.log")).expect("a link");
        let count = |pattern: &str| matching(&base, Path::new(pattern)).paths.len();
        assert_eq!(count("[2026]/*.log"), 1);
        assert_eq!(count("[2026]/a.log"), 1);
        assert_eq!(count("*.log"), 2, "not UTF-8, and a link to nothing");
        assert_eq!(count("caf?.log"), 1);
        assert_eq!(count("**/*.log"), 5);
        assert_eq!(count("**/**/b.log"), 1);
        assert_eq!(count("deep/**"), 3);
        assert_eq!(count("*/a.log"), 2);
        assert_eq!(count("nowhere/*"), 0);
    }
    #[test]
    fn folders_below_are_found_behind_links_too_and_links_have_an_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let away = tempfile::tempdir().expect("a folder");
        let at = |it: &str| folder.path().join(it);
        fs::create_dir_all(at("a/b")).expect("folders");
        let odd = folder.path().join(OsStr::from_bytes(b"a/b/\xe9.crt"));
        let behind = at("link/z.crt");
        std::os::unix::fs::symlink(away.path(), at("link")).expect("a link");
        for path in [at("x.crt"), at("a/y.crt"), odd.clone(), behind.clone()] {
            fs::write(path, "").expect("a file");
        }
        std::os::unix::fs::symlink(folder.path(), at("a/b/up")).expect("a link");
        std::os::unix::fs::symlink(at("a"), at("again")).expect("a link");
        let found = matching(folder.path(), Path::new("**/*.crt"));
        assert!(found.closed.is_empty());
        let mut all = [at("x.crt"), at("a/y.crt"), odd, behind];
        all.sort();
        assert_eq!(found.paths, all, "each once, by its own path");
        let count = |pattern: &str| matching(folder.path(), Path::new(pattern)).paths.len();
        assert_eq!(count("*/y.crt"), 2);
        assert_eq!(count("*/none.crt"), 0);
    }
}
