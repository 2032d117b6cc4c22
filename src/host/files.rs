//! The files that a path with `*` and `?` means, whatever bytes their names are made of.

use crate::model::pattern::{fits, is_wild};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// What could not be looked into.
#[derive(Debug)]
pub struct Closed {
    pub folder: PathBuf,
    pub error: io::Error,
}

/// All that match, sorted; links to nothing, too. `*` and `?` stand for parts of one name, `**` for any number of
/// folders below, links to folders not among them. No other sign means more than itself. `base`, from which a relative
/// path counts, is no pattern.
///
/// # Errors
/// When a folder on the way cannot be read.
pub fn matching(base: &Path, pattern: &Path) -> Result<Vec<PathBuf>, Closed> {
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
                    let is_last = steps.peek().is_none();
                    below(&path, &mut next)?;
                    if is_last {
                        let folders = std::mem::take(&mut next);
                        for folder in folders {
                            entries(&folder, &mut |it| next.push(it.path()))?;
                        }
                    }
                }
                wild if is_wild(wild) => entries(&path, &mut |it| {
                    if fits(wild, &it.file_name().to_string_lossy()) {
                        next.push(it.path());
                    }
                })?,
                _ => next.push(path.join(name)),
            }
        }
        // Twice where one `**` follows another.
        next.sort();
        next.dedup();
        found = next;
    }
    found.retain(|it| fs::symlink_metadata(it).is_ok());
    Ok(found)
}

/// A folder and all below it.
fn below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Closed> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        entries(&folder, &mut |it| {
            if it.file_type().is_ok_and(|it| it.is_dir()) {
                open.push(it.path());
            }
        })?;
        found.push(folder);
    }
    Ok(())
}

fn entries(folder: &Path, each: &mut dyn FnMut(&fs::DirEntry)) -> Result<(), Closed> {
    use io::ErrorKind::{NotADirectory, NotFound};
    let shown = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let mut read = || -> io::Result<()> {
        for entry in fs::read_dir(shown)? {
            each(&entry?);
        }
        Ok(())
    };
    match read() {
        Err(error) if !matches!(error.kind(), NotFound | NotADirectory) => Err(Closed {
            folder: folder.to_owned(),
            error,
        }),
        _ => Ok(()),
    }
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
        let count = |pattern: &str| matching(&base, Path::new(pattern)).expect("open").len();
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
}
