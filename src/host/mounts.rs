//! The mount table, read without touching any file system (proc(5), mountinfo).

use crate::host::Roots;
use anyhow::anyhow;
use std::path::{Path, PathBuf};

/// One line of the mount table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mount {
    pub point: PathBuf,
    /// The file system's type, as "ext4".
    pub kind: String,
    /// A device or a server's export.
    pub source: String,
    /// major:minor; the same for all mounts of one file system.
    pub device: String,
    pub read_only: bool,
}

/// Types whose statvfs cannot hang on another machine or process.
const LOCAL: [&str; 9] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "vfat", "tmpfs", "overlay",
];

/// Types that hold data and can fill up, besides all network file systems.
const REAL: [&str; 19] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "vfat", "exfat", "f2fs", "jfs", "reiserfs",
    "bcachefs", "ntfs", "ntfs3", "fuseblk", "nilfs2", "ufs", "hfsplus", "msdos",
];

/// Types that are served by another machine.
const REMOTE: [&str; 13] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "glusterfs",
    "lustre",
    "gpfs",
    "afs",
    "ocfs2",
    "gfs2",
    "beegfs",
];

impl Mount {
    /// Whether its statvfs may run in this process.
    pub fn is_local(&self) -> bool {
        LOCAL.contains(&self.kind.as_str())
    }

    /// Whether a path that leads into it cannot hang: local, or kept by the kernel alone.
    pub fn is_harmless(&self) -> bool {
        const KERNEL: [&str; 23] = [
            "proc",
            "sysfs",
            "devtmpfs",
            "devpts",
            "cgroup",
            "cgroup2",
            "mqueue",
            "hugetlbfs",
            "debugfs",
            "tracefs",
            "securityfs",
            "pstore",
            "bpf",
            "configfs",
            "fusectl",
            "ramfs",
            "rootfs",
            "efivarfs",
            "binfmt_misc",
            "squashfs",
            "iso9660",
            "nsfs",
            "selinuxfs",
        ];
        self.is_local() || KERNEL.contains(&self.kind.as_str())
    }

    fn is_real(&self) -> bool {
        let kind = self.kind.as_str();
        let remote = REMOTE.contains(&kind)
            || kind.strip_prefix("fuse.").is_some_and(|it| {
                REMOTE.contains(&it)
                    || matches!(
                        it,
                        "sshfs" | "s3fs" | "rclone" | "mergerfs" | "mfs" | "ceph-fuse"
                    )
            });
        let root = self.point == Path::new("/") && kind == "overlay";
        REAL.contains(&kind) || remote || root
    }
}

/// All mounts, in the order of the table.
///
/// # Errors
/// Without /proc.
pub fn read(roots: &Roots) -> anyhow::Result<Vec<Mount>> {
    let text = roots.read(&format!("{}/mountinfo", roots.leader()))?;
    Ok(text.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let before: Vec<&str> = before.split(' ').collect();
    let mut after = after.split(' ');
    Some(Mount {
        point: PathBuf::from(unescape(before.get(4)?)),
        device: (*before.get(2)?).to_owned(),
        read_only: before.get(5)?.split(',').any(|it| it == "ro"),
        kind: after.next()?.to_owned(),
        source: unescape(after.next()?),
    })
}

/// Blank, tab, line end and backslash are written as octal numbers.
fn unescape(text: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = (*first == b'\\')
            .then(|| std::str::from_utf8(tail.get(..3)?).ok())
            .flatten()
            .and_then(|it| u8::from_str_radix(it, 8).ok());
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The mount that a path lies on: the longest one of which it is a part, and of those the newest.
///
/// # Errors
/// When not even `/` is mounted, as in a broken chroot.
pub fn of<'m>(mounts: &'m [Mount], path: &Path) -> anyhow::Result<&'m Mount> {
    mounts
        .iter()
        .filter(|it| path.starts_with(&it.point))
        .max_by_key(|it| it.point.components().count())
        .ok_or_else(|| anyhow!("{} lies on no mounted file system", path.display()))
}

/// The file systems that hold data and can fill up, each once.
pub fn real(mounts: &[Mount]) -> Vec<Mount> {
    let mut chosen: Vec<&Mount> = Vec::new();
    for mount in mounts.iter().filter(|it| it.is_real()) {
        // What is mounted over hides what was there before.
        chosen.retain(|it| it.point != mount.point);
        let length = |it: &Mount| it.point.as_os_str().len();
        match chosen.iter_mut().find(|it| it.device == mount.device) {
            Some(twin) if length(mount) < length(twin) => *twin = mount,
            Some(_) => (),
            None => chosen.push(mount),
        }
    }
    chosen.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
26 25 0:22 / /proc rw - proc proc rw
27 25 0:30 / /run rw - tmpfs tmpfs rw
28 25 8:2 / /mnt1 rw - xfs /dev/sdb1 rw
29 25 8:2 /sub /srv/bind rw - xfs /dev/sdb1 rw
30 25 0:50 / /mnt/nfs\\040share rw - nfs4 nfs1:/export rw
31 25 7:0 / /snap/x ro - squashfs /dev/loop0 ro
32 25 8:3 / /old ro,noatime - ext3 /dev/sdc1 ro";

    fn table() -> Vec<Mount> {
        TABLE.lines().filter_map(parse).collect()
    }

    #[test]
    fn a_path_belongs_to_its_mount_and_not_to_a_namesake() {
        let mounts = table();
        let point = |path: &str| of(&mounts, Path::new(path)).expect("a mount").point.clone();
        assert_eq!(point("/mnt1/data"), Path::new("/mnt1"));
        assert_eq!(point("/mnt1x"), Path::new("/"));
        assert_eq!(point("/mnt/nfs share/a"), Path::new("/mnt/nfs share"));
    }

    #[test]
    fn real_file_systems_are_listed_once() {
        let points: Vec<PathBuf> = real(&table()).into_iter().map(|it| it.point).collect();
        let expected = ["/", "/mnt1", "/mnt/nfs share", "/old"].map(PathBuf::from);
        assert_eq!(points, expected);
    }

    #[test]
    fn only_what_cannot_hang_is_local() {
        let mounts = table();
        assert!(of(&mounts, Path::new("/")).expect("root").is_local());
        let nfs = of(&mounts, Path::new("/mnt/nfs share")).expect("nfs");
        assert!(!nfs.is_local() && !nfs.is_harmless());
        assert!(of(&mounts, Path::new("/old")).expect("old").read_only);
    }
}
