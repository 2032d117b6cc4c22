//! Who else may write a file: every folder and link on the way to it counts, as sshd judges a key file (`StrictModes` in
//! sshd_config(5)).

use crate::host::{account, place};
use rustix::fs::{FileType, lstat, readlink, stat};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const STICKY: u32 = 0o1000;

/// Who besides root and the caller may change what a path leads to: "/x belongs to user 1000", "/x can be written by
/// group staff". None where nobody may. In a sticky folder of root's, such as /tmp, nobody can replace what is
/// another's. What cannot be looked at is told as such.
pub fn others(path: &Path) -> Option<String> {
    let unseen = |path: &Path| format!("{} cannot be looked at", path.display());
    let Ok(whole) = std::path::absolute(path) else {
        return Some(unseen(path));
    };
    let Ok(top) = stat("/") else {
        return Some(unseen(Path::new("/")));
    };
    let trusted = place::trusted(&top);
    let mut steps = place::steps(&whole);
    let mut links = 0;
    let mut at = PathBuf::from("/");
    let mut about = top;
    loop {
        let kind = FileType::from_raw_mode(about.st_mode);
        let shown = at.display();
        if !trusted.contains(&about.st_uid) {
            let owner = account::name(about.st_uid);
            return Some(format!("{shown} belongs to user {owner}"));
        }
        if kind == FileType::Symlink {
            links += 1;
            let target = readlink(&at, Vec::new())
                .ok()
                .filter(|_| links <= place::LINKS);
            let Some(target) = target else {
                return Some(unseen(&at));
            };
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            steps.extend(place::steps(&target));
            match target.is_absolute() {
                true => at = PathBuf::from("/"),
                false => drop(at.pop()),
            }
        } else if kind != FileType::Directory || about.st_mode & STICKY == 0 {
            if about.st_mode & 0o002 != 0 {
                return Some(format!("{shown} can be written by everybody"));
            }
            if about.st_mode & 0o020 != 0 && ![0, top.st_gid].contains(&about.st_gid) {
                let group = account::group_name(about.st_gid);
                return Some(format!("{shown} can be written by group {group}"));
            }
        }
        let step = steps.pop()?;
        match step == ".." {
            true => drop(at.pop()),
            false => at.push(step),
        }
        about = match lstat(&at) {
            Ok(about) => about,
            Err(_) => return Some(unseen(&at)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    #[test]
    fn every_folder_and_link_on_the_way_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/b")).expect("folders");
        let file = at("a/b/list");
        fs::write(&file, "").expect("a file");
        chmod(&file, 0o644);
        assert_eq!(others(&file), None);
        chmod(&at("a"), 0o777);
        let said = others(&file).expect("a writer");
        assert!(said.ends_with("/a can be written by everybody"), "{said}");
        chmod(&at("a"), 0o1777);
        assert_eq!(others(&file), None, "nobody replaces what is ours there");
        chmod(&at("a"), 0o755);
        fs::create_dir(at("open")).expect("a folder");
        chmod(&at("open"), 0o777);
        symlink(&file, at("open/link")).expect("a link");
        let said = others(&at("open/link")).expect("a writer");
        assert!(
            said.ends_with("/open can be written by everybody"),
            "{said}"
        );
        symlink("open/../a/b", at("way")).expect("a link");
        let said = others(&at("way/list")).expect("a writer");
        assert!(
            said.ends_with("/open can be written by everybody"),
            "{said}"
        );
        symlink("round", at("round")).expect("a link");
        assert!(others(&at("round")).is_some());
        assert!(others(&at("none")).is_some());
    }
}
