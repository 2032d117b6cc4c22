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
    /// Options of this mount and of its file system, each once.
    pub options: Vec<String>,
    pub read_only: bool,
    /// Not only this mount of it, as a sandbox has it, but the file system itself.
    pub wholly_read_only: bool,
}

/// One line of fstab(5).
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub source: String,
    pub point: PathBuf,
    pub kind: String,
    pub options: Vec<String>,
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

    /// Whether it is mounted with an option; what is neither `ro` nor written otherwise is `rw`.
    pub fn has(&self, option: &str) -> bool {
        match option {
            "rw" => !self.read_only,
            _ => self.options.iter().any(|it| it == option),
        }
    }

    /// Whether it holds data and can fill up.
    pub fn is_real(&self) -> bool {
        let kind = self.kind.as_str();
        // ZFS mounts a snapshot as a file system of its own when somebody looks into it.
        if kind == "zfs" && self.source.contains('@') {
            return false;
        }
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

impl Mount {
    /// How it is known that it should be written, when it can only be read.
    pub fn is_wrongly_read_only(&self, fstab: &[Planned]) -> Option<&'static str> {
        let planned = fstab.iter().find(|it| it.point == self.point);
        let to_be_read = |it: &String| it == "ro" || it.starts_with("snapshot");
        match planned {
            _ if !self.wholly_read_only => None,
            Some(planned) if planned.options.iter().any(to_be_read) => None,
            _ if self.options.iter().any(|it| it == "errors=remount-ro") => {
                Some("as after errors (errors=remount-ro)")
            }
            Some(_) if self.is_real() => Some("though fstab wants it to be written"),
            _ => None,
        }
    }
}

impl Planned {
    /// Whether it is to be mounted at start, so that a machine without it is not as it should be.
    pub fn is_wanted(&self) -> bool {
        let by_hand = self
            .options
            .iter()
            .any(|it| it == "noauto" || it == "nofail");
        self.kind != "swap" && self.kind != "ignore" && self.point.is_absolute() && !by_hand
    }
}

/// What fstab wants to be mounted; nothing where there is none.
pub fn fstab(file: &Path) -> Vec<Planned> {
    let bytes = std::fs::read(file).unwrap_or_default();
    parse_fstab(&String::from_utf8_lossy(&bytes))
}

fn parse_fstab(text: &str) -> Vec<Planned> {
    let planned = |line: &str| {
        let line = line.trim();
        let mut fields = line
            .split_whitespace()
            .take_while(|it| !it.starts_with('#'));
        let source = unescape(fields.next()?);
        let point = PathBuf::from(unescape(fields.next()?));
        let kind = fields.next()?.to_owned();
        let options = fields.next().unwrap_or("defaults").split(',');
        Some(Planned {
            source,
            point,
            kind,
            options: options.map(unescape).collect(),
        })
    };
    text.lines().filter_map(planned).collect()
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
    let kind = after.next()?.to_owned();
    let source = unescape(after.next()?);
    let own = before.get(5)?.split(',');
    let whole = after.next().unwrap_or_default().split(',');
    let wholly_read_only = whole.clone().any(|it| it == "ro");
    let all = own.chain(whole);
    let mut options: Vec<String> = Vec::new();
    for option in all.filter(|it| !it.is_empty()).map(unescape) {
        if !options.contains(&option) {
            options.push(option);
        }
    }
    Some(Mount {
        point: PathBuf::from(unescape(before.get(4)?)),
        device: (*before.get(2)?).to_owned(),
        read_only: options.iter().any(|it| it == "ro"),
        wholly_read_only,
        options,
        kind,
        source,
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

/// The chosen file systems, each once: bind mounts and snapshots of one are not further ones.
pub fn once(mounts: &[Mount], is_chosen: impl Fn(&Mount) -> bool) -> Vec<Mount> {
    let mut chosen: Vec<&Mount> = Vec::new();
    for mount in mounts {
        // What is mounted over hides what was there before.
        chosen.retain(|it| it.point != mount.point);
        if !is_chosen(mount) {
            continue;
        }
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
32 25 8:3 / /old ro,noatime - ext3 /dev/sdc1 ro
33 25 8:4 / /boxed ro - ext4 /dev/sdd1 rw,errors=remount-ro";

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
        let points: Vec<PathBuf> = once(&table(), Mount::is_real)
            .into_iter()
            .map(|it| it.point)
            .collect();
        let expected = ["/", "/mnt1", "/mnt/nfs share", "/old", "/boxed"].map(PathBuf::from);
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
    #[test]
    fn a_read_only_remount_is_told_from_a_mount_that_is_meant_so() {
        let fstab = parse_fstab(
            "# /dev/x / ext4 rw\n/dev/sdc1 /old ext3 noatime 0 2\nUUID=1 /iso\\040x ext4 ro\n",
        );
        assert_eq!(fstab.len(), 2);
        assert_eq!(fstab[1].point, Path::new("/iso x"));
        let mounts = table();
        let old = of(&mounts, Path::new("/old")).expect("old");
        assert!(old.is_wrongly_read_only(&fstab).is_some());
        assert!(old.is_wrongly_read_only(&fstab[1..]).is_none());
        let forced =
            parse("32 25 8:3 / /x rw - ext4 /dev/sdc1 ro,errors=remount-ro").expect("a line");
        assert!(forced.is_wrongly_read_only(&[]).is_some());
        let boxed = of(&mounts, Path::new("/boxed")).expect("boxed");
        assert!(
            boxed.is_wrongly_read_only(&[]).is_none(),
            "a sandbox is no fault"
        );
    }
}
