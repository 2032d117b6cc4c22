//! The mount table, read without touching any file system (proc(5), mountinfo).

use crate::host::Roots;
use anyhow::anyhow;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line of the mount table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mount {
    /// Its number in the table, and that of the mount that it lies on.
    pub id: u64,
    pub parent: u64,
    pub point: PathBuf,
    /// What of the file system is to be seen there.
    pub root: PathBuf,
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

/// Types that hold data and can fill up, besides all network file systems and those of FUSE.
const REAL: [&str; 31] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "vfat", "exfat", "f2fs", "jfs", "reiserfs",
    "reiser4", "bcachefs", "ntfs", "ntfs3", "fuse", "fuseblk", "nilfs2", "ufs", "hfs", "hfsplus",
    "apfs", "msdos", "minix", "ubifs", "jffs2", "virtiofs", "9p", "vboxsf", "prl_fs", "vmhgfs",
];

/// File systems of FUSE that only show what others hold, or cannot fill up.
const SHOWN: [&str; 11] = [
    "gvfsd-fuse",
    "portal",
    "lxcfs",
    "snapfuse",
    "squashfuse",
    "archivemount",
    "rofiles-fuse",
    "vmware-vmblock",
    "dumpfs",
    "osxfs",
    "grpcfuse",
];

/// Types that show the same errors=remount-ro whatever they were mounted with (mount(8)).
const ALWAYS_REMOUNT: [&str; 3] = ["vfat", "msdos", "exfat"];

/// Types whose room nobody has to watch: what is in memory, is laid over others or can only be read.
const UNWATCHED: [&str; 12] = [
    "tmpfs",
    "overlay",
    "aufs",
    "unionfs",
    "autofs",
    "erofs",
    "cramfs",
    "romfs",
    "udf",
    "rpc_pipefs",
    "nfsd",
    "devfs",
];

/// Types that the kernel keeps alone.
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
        self.is_local() || KERNEL.contains(&self.kind.as_str())
    }

    /// Whether it is mounted with an option; what is neither `ro` nor written otherwise is `rw`.
    pub fn has(&self, option: &str) -> bool {
        match option {
            "rw" => !self.read_only,
            _ => self.options.iter().any(|it| it == option),
        }
    }

    /// What makes it, where that is a program (fuse(4)).
    pub fn of_fuse(&self) -> Option<&str> {
        self.kind.strip_prefix("fuse.")
    }

    /// Whether nothing is known of its type, so that it may hold data.
    pub fn is_strange(&self) -> bool {
        let kind = self.kind.as_str();
        let is_known =
            KERNEL.contains(&kind) || UNWATCHED.contains(&kind) || self.of_fuse().is_some();
        // A snapshot is no strange type.
        !(is_known || self.is_real() || kind == "zfs")
    }

    /// Whether a single file is mounted there, as containers do it with /etc/hosts. Only what cannot hang is looked at.
    fn is_file(&self) -> bool {
        let is_part = self.root != Path::new("/");
        is_part && self.is_local() && std::fs::metadata(&self.point).is_ok_and(|it| it.is_file())
    }

    /// Whether it holds data and can fill up.
    pub fn is_real(&self) -> bool {
        let kind = self.kind.as_str();
        // ZFS mounts a snapshot as a file system of its own when somebody looks into it.
        if kind == "zfs" && self.source.contains('@') {
            return false;
        }
        let remote =
            REMOTE.contains(&kind) || self.of_fuse().is_some_and(|it| !SHOWN.contains(&it));
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
            _ if self.options.iter().any(|it| it == "errors=remount-ro")
                && !ALWAYS_REMOUNT.contains(&&*self.kind) =>
            {
                Some("as after errors (errors=remount-ro)")
            }
            Some(_) if self.is_real() => Some("though fstab wants it to be written"),
            _ => None,
        }
    }
}

impl Planned {
    /// Whether it should be there whenever one looks; with `nofail` only the start does without it (systemd.mount(5)).
    pub fn is_always(&self) -> bool {
        let mut options = self.options.iter();
        let by_itself = ["noauto", "x-systemd.automount", "comment=systemd.automount"];
        let is_file_system = self.kind != "swap" && self.kind != "ignore";
        is_file_system && self.point.is_absolute() && !options.any(|it| by_itself.contains(&&**it))
    }

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
    parse_fstab(&std::fs::read(file).unwrap_or_default())
}

fn parse_fstab(text: &[u8]) -> Vec<Planned> {
    let planned = |line: &[u8]| {
        let fields = line.split(u8::is_ascii_whitespace);
        let mut fields = fields
            .filter(|it| !it.is_empty())
            .take_while(|it| !it.starts_with(b"#"));
        let source = text_of(fields.next()?);
        let point = path_of(fields.next()?);
        let kind = text_of(fields.next()?);
        let options = fields.next().unwrap_or(b"defaults");
        Some(Planned {
            source,
            point,
            kind,
            options: options.split(|it| *it == b',').map(text_of).collect(),
        })
    };
    text.split(|it| *it == b'\n').filter_map(planned).collect()
}

/// All mounts that can be reached, in the order of the table.
///
/// # Errors
/// Without /proc.
pub fn read(roots: &Roots) -> anyhow::Result<Vec<Mount>> {
    let text = roots.bytes(&format!("{}/mountinfo", roots.leader()))?;
    Ok(visible(table(&text)))
}

fn table(text: &[u8]) -> Vec<Mount> {
    text.split(|it| *it == b'\n').filter_map(parse).collect()
}

/// Without what is mounted over: the mount itself, and those that lie below it on the same one.
fn visible(mounts: Vec<Mount>) -> Vec<Mount> {
    let known: HashSet<u64> = mounts.iter().map(|it| it.id).collect();
    let below = |it: &&Mount| known.contains(&it.parent) && it.parent != it.id;
    let taken: HashSet<(u64, &Path)> = mounts
        .iter()
        .filter(below)
        .map(|it| (it.parent, it.point.as_path()))
        .collect();
    let hides = |it: &Mount| {
        let mut above = it.point.ancestors().skip(1);
        below(&it) && above.any(|point| taken.contains(&(it.parent, point)))
    };
    let parents: HashMap<u64, &Mount> = mounts.iter().map(|it| (it.id, it)).collect();
    let is_reached = |mount: &Mount| {
        let mut at = Some(mount);
        // No chain is longer than the table.
        for _ in 0..mounts.len() {
            let Some(it) = at else {
                return true;
            };
            if hides(it) {
                return false;
            }
            at = parents.get(&it.parent).copied().filter(|up| up.id != it.id);
        }
        true
    };
    let covered = |it: &Mount| taken.contains(&(it.id, it.point.as_path()));
    let seen: Vec<bool> = mounts
        .iter()
        .map(|it| !covered(it) && is_reached(it))
        .collect();
    let both = mounts.iter().cloned().zip(seen);
    both.filter(|it| it.1).map(|it| it.0).collect()
}

fn parse(line: &[u8]) -> Option<Mount> {
    let middle = line.windows(3).position(|it| it == b" - ")?;
    let before: Vec<&[u8]> = line[..middle].split(|it| *it == b' ').collect();
    let mut after = line[middle + 3..].split(|it| *it == b' ');
    let kind = text_of(after.next()?);
    let source = text_of(after.next()?);
    let own = before.get(5)?.split(|it| *it == b',');
    let whole = after.next().unwrap_or_default().split(|it| *it == b',');
    let wholly_read_only = whole.clone().any(|it| it == b"ro");
    let all = own.chain(whole);
    let mut options: Vec<String> = Vec::new();
    for option in all.filter(|it| !it.is_empty()).map(text_of) {
        if !options.contains(&option) {
            options.push(option);
        }
    }
    let number = |it: usize| text_of(before.get(it)?).parse().ok();
    Some(Mount {
        id: number(0)?,
        parent: number(1)?,
        point: path_of(before.get(4)?),
        root: path_of(before.get(3)?),
        device: text_of(before.get(2)?),
        read_only: options.iter().any(|it| it == "ro"),
        wholly_read_only,
        options,
        kind,
        source,
    })
}

/// Blank, tab, line end and backslash are written as octal numbers.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let octal = (*first == b'\\')
            .then(|| std::str::from_utf8(tail.get(..3)?).ok())
            .flatten()
            .and_then(|it| u8::from_str_radix(it, 8).ok());
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    plain
}

fn text_of(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

fn path_of(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(field)))
}

/// The mount that a path seems to lie on, as far as that can be told without touching it: the longest one of which it
/// is a part, and of those the newest. Links on the way lead elsewhere.
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

/// Where in the table something lies, as the kernel says it (statx(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spot {
    /// The number of the mount; 0 where the kernel does not tell.
    pub mount: u64,
    pub major: u32,
    pub minor: u32,
    /// Whether something is mounted right there.
    pub is_point: bool,
}

/// Where a path leads. It may hang where something on the way does.
///
/// # Errors
/// Those of statx(2).
pub fn spot(path: &Path) -> rustix::io::Result<Spot> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let ask = |path: &Path| statx(CWD, path, AtFlags::empty(), wanted);
    let about = ask(path)?;
    let device = (about.stx_dev_major, about.stx_dev_minor);
    let tells = about
        .stx_attributes_mask
        .contains(StatxAttributes::MOUNT_ROOT);
    let is_point = match tells {
        true => about.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        // Before Linux 5.8.
        false => {
            let up = ask(&path.join(".."));
            up.is_ok_and(|it| (it.stx_dev_major, it.stx_dev_minor) != device)
        }
    };
    let has_number = about.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    Ok(Spot {
        mount: if has_number { about.stx_mnt_id } else { 0 },
        major: device.0,
        minor: device.1,
        is_point,
    })
}

/// The mount of a spot: by its number, else by its device, of several the one that is nearest to the path's text.
pub fn of_spot<'m>(mounts: &'m [Mount], spot: &Spot, path: &Path) -> Option<&'m Mount> {
    let by_number = mounts.iter().find(|it| it.id == spot.mount);
    by_number.or_else(|| {
        let device = format!("{}:{}", spot.major, spot.minor);
        let twins = mounts.iter().filter(|it| it.device == device);
        twins.max_by_key(|it| (path.starts_with(&it.point), it.point.components().count()))
    })
}

/// What is mounted on a point, also where its path leads over links. Where that might hang, its text alone counts.
pub fn on<'m>(mounts: &'m [Mount], point: &Path) -> Option<&'m Mount> {
    let by_text = mounts.iter().rfind(|it| it.point == *point);
    by_text.or_else(|| {
        let is_safe = mounts.iter().all(Mount::is_harmless);
        let spot = is_safe.then(|| spot(point).ok()).flatten()?;
        let found = spot.is_point.then(|| of_spot(mounts, &spot, point));
        found.flatten()
    })
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
        // The whole of it rather than a part, and a folder rather than a file.
        let rank = |it: &Mount| {
            let is_part = it.root != Path::new("/");
            (is_part, it.is_file(), it.point.as_os_str().len())
        };
        match chosen.iter_mut().find(|it| it.device == mount.device) {
            Some(twin) if rank(mount) < rank(twin) => *twin = mount,
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
        super::table(TABLE.as_bytes())
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
    fn what_is_mounted_over_is_not_there() {
        let points = |text: &str| -> Vec<String> {
            let seen = visible(super::table(text.as_bytes()));
            seen.iter()
                .map(|it| format!("{} {}", it.point.display(), it.source))
                .collect()
        };
        let root = "25 1 8:1 / / rw - ext4 root rw\n";
        // Over the parent, which hides what is below it.
        let parent = "26 25 8:2 / /srv/db rw - ext4 db rw\n27 25 8:3 / /srv rw - ext4 srv rw\n";
        assert_eq!(points(&format!("{root}{parent}")), ["/ root", "/srv srv"]);
        // In the other order both are there.
        let child = "26 25 8:2 / /srv rw - ext4 srv rw\n27 26 8:3 / /srv/db rw - ext4 db rw\n";
        assert_eq!(points(&format!("{root}{child}")).len(), 3);
        // Over the same point, and over that with what lies below.
        let over = "28 26 8:4 / /srv rw - ext4 new rw\n";
        assert_eq!(
            points(&format!("{root}{child}{over}")),
            ["/ root", "/srv new"]
        );
    }

    #[test]
    fn a_point_need_not_be_text() {
        let line = b"26 25 8:2 / /srv/caf\xe9\\040x rw - ext4 db rw";
        let mount = parse(line).expect("a line");
        assert_eq!(
            mount.point.as_os_str().as_encoded_bytes(),
            b"/srv/caf\xe9 x"
        );
    }

    #[test]
    fn all_that_may_hold_data_is_real_or_strange() {
        let of = |kind: &str, source: &str| Mount {
            kind: kind.to_owned(),
            source: source.to_owned(),
            ..Mount::default()
        };
        for kind in [
            "virtiofs",
            "9p",
            "fuse.mergerfs",
            "fuse.glusterfs",
            "fuse.x",
            "nfs4",
            "vfat",
        ] {
            assert!(of(kind, "x").is_real(), "{kind}");
        }
        for kind in ["fuse.lxcfs", "fuse.gvfsd-fuse", "proc", "tmpfs", "squashfs"] {
            let mount = of(kind, "x");
            assert!(!mount.is_real() && !mount.is_strange(), "{kind}");
        }
        assert!(of("newfs", "x").is_strange());
        assert!(!of("zfs", "pool@snap").is_real());
    }

    #[test]
    fn vfat_that_can_only_be_read_is_no_error() {
        let line = |kind: &str| {
            let text = format!("32 25 8:3 / /boot/efi rw - {kind} /dev/sdc1 ro,errors=remount-ro");
            parse(text.as_bytes()).expect("a line")
        };
        assert!(line("vfat").is_wrongly_read_only(&[]).is_none());
        assert!(line("ext4").is_wrongly_read_only(&[]).is_some());
        let fstab = parse_fstab(b"/dev/sdc1 /boot/efi vfat defaults 0 1");
        assert!(line("vfat").is_wrongly_read_only(&fstab).is_some());
    }

    #[test]
    fn only_what_comes_by_itself_must_not_always_be_there() {
        let is = |options: &str| {
            let line = format!("/dev/sdb1 /srv ext4 {options} 0 2");
            parse_fstab(line.as_bytes())[0].is_always()
        };
        assert!(is("defaults") && is("nofail") && is("nofail,x-systemd.device-timeout=5s"));
        assert!(!is("noauto") && !is("rw,x-systemd.automount"));
        assert!(!parse_fstab(b"/dev/sdb2 none swap sw")[0].is_always());
    }

    #[test]
    fn of_bind_twins_the_whole_is_chosen() {
        let text = "25 1 0:9 / / rw - overlay overlay rw\n26 25 8:1 /var/lib/docker/hosts /etc/hosts rw - ext4 sda1 rw\n27 25 8:1 / /var/lib/mysql rw - ext4 sda1 rw\n";
        let all = once(&super::table(text.as_bytes()), Mount::is_real);
        let points: Vec<_> = all.iter().map(|it| it.point.clone()).collect();
        assert_eq!(points, ["/", "/var/lib/mysql"].map(PathBuf::from));
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
            b"# /dev/x / ext4 rw\n/dev/sdc1 /old ext3 noatime 0 2\nUUID=1 /iso\\040x ext4 ro\n",
        );
        assert_eq!(fstab.len(), 2);
        assert_eq!(fstab[1].point, Path::new("/iso x"));
        let mounts = table();
        let old = of(&mounts, Path::new("/old")).expect("old");
        assert!(old.is_wrongly_read_only(&fstab).is_some());
        assert!(old.is_wrongly_read_only(&fstab[1..]).is_none());
        let forced =
            parse(b"32 25 8:3 / /x rw - ext4 /dev/sdc1 ro,errors=remount-ro").expect("a line");
        assert!(forced.is_wrongly_read_only(&[]).is_some());
        let boxed = of(&mounts, Path::new("/boxed")).expect("boxed");
        assert!(
            boxed.is_wrongly_read_only(&[]).is_none(),
            "a sandbox is no fault"
        );
    }
}
