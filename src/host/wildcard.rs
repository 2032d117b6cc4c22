//! Files whose path fits a pattern of `*` and `**`, whatever their names are made of.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// What fits, in order, and the folders that could not be looked into.
#[derive(Debug, Default)]
pub struct Found {
    pub paths: Vec<PathBuf>,
    pub unread: Vec<(PathBuf, io::Error)>,
}

/// Whether a path is a pattern at all.
pub fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_bytes().contains(&b'*')
}

/// All paths that fit: `*` stands for any part of one name, `**` for any number of folders.
pub fn paths(pattern: &Path) -> Found {
    let mut found = Found::default();
    let parts: Vec<Component> = pattern.components().collect();
    walk(PathBuf::new(), &parts, &mut found, &mut HashSet::new());
    found.paths.sort();
    found.paths.dedup();
    found
}

fn walk(at: PathBuf, parts: &[Component], found: &mut Found, seen: &mut HashSet<(u64, u64)>) {
    let Some((first, rest)) = parts.split_first() else {
        // What the last part names literally need not be there.
        if fs::symlink_metadata(&at).is_ok() {
            found.paths.push(at);
        }
        return;
    };
    match first {
        Component::Normal(name) if *name == "**" => {
            walk(at.clone(), rest, found, seen);
            // A link back to a folder above would have no end.
            let known = fs::metadata(&at).is_ok_and(|it| !seen.insert((it.dev(), it.ino())));
            if !known {
                for name in names(&at, found) {
                    let below = at.join(name);
                    if below.is_dir() {
                        walk(below, parts, found, seen);
                    }
                }
            }
        }
        Component::Normal(name) if is_pattern(Path::new(name)) => {
            for entry in names(&at, found) {
                if fits(name.as_bytes(), entry.as_bytes()) {
                    walk(at.join(entry), rest, found, seen);
                }
            }
        }
        literal => walk(at.join(literal), rest, found, seen),
    }
}

/// The names in a folder; none where there is no such folder.
fn names(folder: &Path, found: &mut Found) -> Vec<std::ffi::OsString> {
    let shown = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let read = fs::read_dir(shown).and_then(|it| {
        it.map(|entry| entry.map(|it| it.file_name()))
            .collect::<io::Result<Vec<_>>>()
    });
    match read {
        Ok(names) => names,
        Err(error) => {
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) {
                found.unread.push((shown.to_owned(), error));
            }
            Vec::new()
        }
    }
}

/// Whether a name fits a pattern in which `*` stands for any bytes.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let mut parts = pattern.split(|it| *it == b'*');
    let Some(mut rest) = parts.next().and_then(|it| name.strip_prefix(it)) else {
        return false;
    };
    let parts: Vec<&[u8]> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle.iter().filter(|it| !it.is_empty()) {
        let Some(at) = rest.windows(part.len()).position(|it| it == *part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn stars_stand_for_any_bytes() {
        for (pattern, name, expected) in [
            ("*.pem", &b"a.pem"[..], true),
            ("*.pem", b"\xff\xfe.pem", true),
            ("*.pem", b"a.pem.bak", false),
            ("a*b*c", b"aXbYc", true),
            ("a*b*c", b"ac", false),
            ("a*a", b"a", false),
            ("*", b"", true),
            ("[x]*", b"[x]1", true),
            ("plain", b"plain", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name), expected, "{pattern}");
        }
    }

    #[test]
    fn folders_below_are_found_and_links_have_an_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |it: &str| folder.path().join(it);
        fs::create_dir_all(at("a/b")).expect("folders");
        let odd = folder.path().join(OsStr::from_bytes(b"a/b/\xe9.crt"));
        for path in [at("x.crt"), at("a/y.crt"), odd.clone()] {
            fs::write(path, "").expect("a file");
        }
        std::os::unix::fs::symlink(folder.path(), at("a/b/up")).expect("a link");
        let found = paths(&at("**/*.crt"));
        assert!(found.unread.is_empty());
        assert!(found.paths.contains(&odd));
        let own = found
            .paths
            .iter()
            .filter(|it| !it.to_string_lossy().contains("/up/"));
        assert_eq!(own.count(), 3, "{:?}", found.paths);
        assert_eq!(paths(&at("*/y.crt")).paths, [at("a/y.crt")]);
        assert!(paths(&at("*/z.crt")).paths.is_empty());
    }
}
