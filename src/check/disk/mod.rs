//! `disk`: file systems have room left, counted as df counts; one that never answers costs only itself.

pub mod helper;

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::host::mounts::{self, Mount};
use crate::model::limits::{Free, Inodes, Limits, Used};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::name;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use helper::Answer;
use serde::Deserialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

pub const TYPE: Type = Type::of::<Disk>(
    "disk",
    &["path"],
    include_str!("../../../checks/disk.toml"),
    &[
        ("used", Unit::Bytes),
        ("used_pct", Unit::Percent),
        ("inodes_pct", Unit::Percent),
    ],
    &[CODES],
);

const CODES: &[Code] = &[
    code(
        "used",
        "by limits",
        "The file system fills up: make room, or make it larger.",
    ),
    code(
        "free",
        "by limits",
        "The file system runs out of room: make some, or make it larger.",
    ),
    code(
        "inodes",
        "by limits",
        "The file system runs out of inodes: look for a folder with very many small files.",
    ),
    code(
        "read-only",
        "CRITICAL",
        "The file system can only be read, though fstab wants it to be written, or it was mounted with errors=remount-ro: look for I/O errors in the kernel's log.",
    ),
    code(
        "missing",
        "CRITICAL",
        "The path does not exist: its file system is not mounted, or it was removed.",
    ),
    code(
        "not-answering",
        "CRITICAL",
        "The file system does not answer: look at its server, then unmount it with `umount -f -l`.",
    ),
];

/// File systems have room left, in bytes and inodes, counted as df counts them, and can be written. Without `path`, `device` or `types`, all real ones of this machine.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Disk {
    /// Paths; each stands for the file system that it lies on, one with `*` and `?` for all mounts that it matches.
    path: Option<List<PathBuf>>,
    /// Devices or exports, with `*` and `?`: all mounts of them.
    device: Option<List<String>>,
    /// Types of file systems, with `*` and `?`: `"nfs*"`. Default: those that hold data and can fill up; not the kernel's own (proc, sysfs, tracefs, …), tmpfs, overlay, images (squashfs, iso9660), snapshots, and what is mounted twice.
    types: Option<List<String>>,
    /// Mount points that are left out, with `*` and `?`; `"/srv/x/*"` does not mean `/srv/x`.
    exclude: Option<List<String>>,
    /// Types that are left out, with `*` and `?`.
    exclude_types: Option<List<String>>,
    /// Limits of the room used, in % as df shows it or in bytes. Default: `"80%,90%"` when there is no `free`.
    used: Option<Limits<Used>>,
    /// Limits of the room free for users, in % or bytes.
    free: Option<Limits<Free>>,
    /// Limits of the inodes used, in % or their number. Default: `"90%,95%"`.
    inodes: Option<Limits<Inodes>>,
}

/// Sizes of a file system in bytes, and its inodes (statvfs, POSIX.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Space {
    pub total: u64,
    /// Free for root.
    pub free: u64,
    /// Free for users: without the reserved blocks.
    pub available: u64,
    /// Zero where the file system does not count inodes.
    pub inodes: u64,
    pub inodes_free: u64,
}

impl Space {
    fn used(&self) -> f64 {
        self.total.saturating_sub(self.free) as f64
    }

    /// What df takes percentages of: used and available, without the reserved blocks.
    fn whole(&self) -> f64 {
        self.used() + self.available as f64
    }

    /// The part of it that is used, as df shows it.
    pub fn used_percent(&self) -> f64 {
        percent(self.used(), self.whole())
    }

    fn inodes_percent(&self) -> f64 {
        percent(
            self.inodes.saturating_sub(self.inodes_free) as f64,
            self.inodes as f64,
        )
    }
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        100.0 * part / whole
    } else {
        0.0
    }
}

/// One path and what its file system said.
struct Seen {
    path: PathBuf,
    /// Where the file system is mounted.
    mount: Mount,
    /// It can only be read, though it should be written, and how that is known.
    read_only: Option<&'static str>,
    answer: Answer,
}

impl Check for Disk {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        Ok(self.judge(self.observe(cx)?))
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let paths = || self.path.iter().flat_map(|it| &it.0);
        if paths().any(|it| it.as_os_str().is_empty()) {
            flaws.push(flaw("path", "an empty path is no file system"));
        }
        let chosen = self.device.is_some() || self.types.is_some();
        if chosen && paths().any(|it| !is_pattern(it)) {
            let message = "a path stands for its file system, whatever its device and type";
            flaws.push(flaw("path", message));
        }
        let excluded = self.exclude.is_some() || self.exclude_types.is_some();
        if excluded && paths().any(|it| !is_pattern(it)) {
            flaws.push(flaw("path", "a path that is named is not left out"));
        }
        flaws
    }
}

fn is_pattern(path: &Path) -> bool {
    path.to_str().is_some_and(name::is_pattern)
}

impl Disk {
    /// The paths to look at, each with its mount.
    fn wanted(&self, mounts: &[Mount], cx: &Context) -> anyhow::Result<Vec<(PathBuf, Mount)>> {
        let (patterns, paths): (Vec<&PathBuf>, Vec<&PathBuf>) = self
            .path
            .iter()
            .flat_map(|it| &it.0)
            .partition(|it| is_pattern(it));
        let mut wanted = Vec::new();
        for path in &paths {
            let path = cx.path(path);
            let mount = mounts::of(mounts, &path)?.clone();
            wanted.push((path, mount));
        }
        if paths.is_empty() || !patterns.is_empty() {
            let any = |patterns: &Option<List<String>>, text: &str| {
                patterns
                    .as_ref()
                    .map(|it| it.0.iter().any(|it| name::matches(it, text)))
            };
            let at = |mount: &Mount| mount.point.display().to_string();
            let fits = |mount: &Mount| {
                patterns.is_empty()
                    || patterns
                        .iter()
                        .any(|it| name::matches(&it.display().to_string(), &at(mount)))
            };
            // Whoever names patterns or devices wants what they match, whatever its type.
            let named = !patterns.is_empty() || self.device.is_some();
            let kind = |mount: &Mount| {
                any(&self.types, &mount.kind).unwrap_or(named || mount.is_real())
                    && !any(&self.exclude_types, &mount.kind).unwrap_or(false)
            };
            let chosen = mounts::once(mounts, |mount| {
                fits(mount)
                    && kind(mount)
                    && any(&self.device, &mount.source).unwrap_or(true)
                    && !any(&self.exclude, &at(mount)).unwrap_or(false)
            });
            anyhow::ensure!(
                !chosen.is_empty() || !wanted.is_empty(),
                "{}",
                match named || self.types.is_some() || self.exclude.is_some() {
                    true => "no file system is chosen: nothing that is mounted matches",
                    false => "no real file system is mounted here",
                }
            );
            wanted.extend(chosen.into_iter().map(|it| (it.point.clone(), it)));
        }
        // A path may also be among what a pattern matches.
        let mut known = HashSet::new();
        wanted.retain(|it| known.insert(it.0.clone()));
        Ok(wanted)
    }

    fn observe(&self, cx: &Context) -> anyhow::Result<Vec<Seen>> {
        let mounts = cx.run.mounts()?;
        let wanted = self.wanted(mounts, cx)?;
        let fstab = mounts::fstab(Path::new("/etc/fstab"));
        // A path that is no mount point may lead elsewhere, into a mount that hangs.
        let all_local = mounts.iter().all(Mount::is_harmless);
        let here =
            |path: &Path, mount: &Mount| mount.is_local() && (all_local || path == mount.point);
        let asked: Vec<(&Path, &Mount)> = wanted
            .iter()
            .filter(|(path, mount)| !here(path, mount))
            .map(|(path, mount)| (path.as_path(), mount))
            .collect();
        let mut answers = helper::ask(&asked, &cx.run.env.exe, cx.deadline, cx.now)?;
        let seen = wanted.into_iter().map(|(path, mount)| {
            let answer = match here(&path, &mount) {
                true => helper::look(&path),
                false => answers.remove(&path).unwrap_or(Answer::Silent(None)),
            };
            Seen {
                read_only: mount.is_wrongly_read_only(&fstab),
                path,
                mount,
                answer,
            }
        });
        Ok(seen.collect())
    }

    fn judge(&self, seen: Vec<Seen>) -> Outcome {
        let mut fullest: Vec<(&Seen, Space)> = seen
            .iter()
            .filter_map(|it| match it.answer {
                Answer::Space(space) => Some((it, space)),
                _ => None,
            })
            .collect();
        fullest.sort_by(|a, b| b.1.used_percent().total_cmp(&a.1.used_percent()));
        let mut outcome = match (&fullest[..], seen.len()) {
            ([], _) => Outcome::default(),
            ([(one, space)], 1) => Outcome::new(&described(one, space)),
            ([(first, space), ..], count) => Outcome::new(&format!(
                "{count} file systems, fullest: {}",
                described(first, space)
            )),
        };
        for it in &seen {
            self.judge_one(&mut outcome, it, seen.len());
        }
        if seen.len() > 1 {
            for (it, space) in &fullest {
                outcome.detail(&described(it, space));
            }
        }
        outcome
    }

    fn judge_one(&self, outcome: &mut Outcome, seen: &Seen, count: usize) {
        let shown = seen.path.display().to_string();
        if let Some(why) = seen.read_only {
            let line = format!("{} can only be read, {why}", seen.mount.point.display());
            outcome.find("read-only", State::Critical, &line);
        }
        let space = match &seen.answer {
            Answer::Space(space) => space,
            Answer::Missing => {
                return outcome.find(
                    "missing",
                    State::Critical,
                    &format!("{shown} does not exist"),
                );
            }
            Answer::Failed(why) => {
                return outcome.find(
                    "unknown",
                    State::Unknown,
                    &format!("cannot look at {shown}: {why}"),
                );
            }
            Answer::Silent(since) => {
                let mount = &seen.mount;
                let since = match since {
                    Some(since) => format!("not answering since {since}"),
                    None => "not answering".to_owned(),
                };
                let line = format!("{} on {}: {since}", mount.point.display(), mount.source);
                return outcome.find("not-answering", State::Critical, &line);
            }
        };
        let label = |metric: &str| match count {
            1 => metric.to_owned(),
            _ => format!("{}.{metric}", name::label(&shown)),
        };
        let whole = space.whole();
        let line = described(seen, space);
        let default = "80%,90%".parse::<Limits<Used>>().ok();
        let used = match (&self.used, &self.free) {
            (None, None) => Limits::maybe(&default, whole),
            (used, _) => Limits::maybe(used, whole),
        };
        let metric = Metric::new(label("used"), space.used(), Unit::Bytes);
        outcome.measure_as("used", metric.judged(used).max(whole), &line);
        let metric = Metric::new(
            label("used_pct"),
            round(space.used_percent()),
            Unit::Percent,
        );
        outcome.measure_as("used", metric, &line);
        if let Some(free) = &self.free {
            let metric = Metric::new(label("free"), space.available as f64, Unit::Bytes);
            let free_line = format!(
                "{} free of {} on {}",
                quantity::bytes(space.available as f64),
                quantity::bytes(whole),
                place(seen)
            );
            outcome.measure_as("free", metric.judged(free.of(whole)).max(whole), &free_line);
        }
        if space.inodes > 0 {
            let default = "90%,95%".parse::<Limits<Inodes>>().ok();
            let limits = if self.inodes.is_some() {
                &self.inodes
            } else {
                &default
            };
            let (whole, value) = (space.inodes as f64, space.inodes_percent());
            let line = format!(
                "{}% of the inodes used, {} left on {}",
                value.ceil(),
                space.inodes_free,
                place(seen)
            );
            let used = space.inodes.saturating_sub(space.inodes_free) as f64;
            let metric = Metric::new(label("inodes"), used, Unit::None).max(whole);
            outcome.measure_as("inodes", metric.judged(Limits::maybe(limits, whole)), &line);
            let metric = Metric::new(label("inodes_pct"), round(value), Unit::Percent);
            outcome.note(metric);
        }
    }
}

/// Two decimals, which is more than anyone reads.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// "91% used, 8.1 GiB of 90.0 GiB free on /var"; percentages rounded up, as df does.
fn described(seen: &Seen, space: &Space) -> String {
    let read_only = if seen.mount.read_only {
        ", read-only"
    } else {
        ""
    };
    format!(
        "{}% used, {} of {} free on {}{read_only}",
        space.used_percent().ceil(),
        quantity::bytes(space.available as f64),
        quantity::bytes(space.whole()),
        place(seen)
    )
}

/// The path, and where its file system is mounted when that is elsewhere.
fn place(seen: &Seen) -> String {
    let (path, point) = (seen.path.display(), seen.mount.point.display());
    match seen.path == seen.mount.point {
        true => format!("{path}"),
        false => format!("{point} (where {path} is)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(keys: &str) -> Disk {
        toml::from_str(keys).expect("a disk check")
    }

    /// 1000 bytes, 600 used, 100 reserved for root, so 300 available: df says 67 %.
    const SPACE: Space = Space {
        total: 1000,
        free: 400,
        available: 300,
        inodes: 100,
        inodes_free: 50,
    };

    fn seen(path: &str, answer: Answer) -> Seen {
        Seen {
            path: PathBuf::from(path),
            mount: Mount {
                point: PathBuf::from(path),
                source: "nfs1:/export".to_owned(),
                ..Mount::default()
            },
            read_only: None,
            answer,
        }
    }

    fn judged(keys: &str) -> Outcome {
        disk(keys).judge(vec![seen("/", Answer::Space(SPACE))])
    }

    #[test]
    fn percentages_are_those_of_df() {
        assert_eq!(SPACE.used_percent().ceil(), 67.0);
        assert_eq!(judged("used = '66%,90%'").state(), State::Warning);
        assert_eq!(judged("used = '67%,90%'").state(), State::Ok);
    }

    #[test]
    fn free_room_is_what_users_get() {
        assert_eq!(judged("free = '301B,10%'").state(), State::Warning);
        assert_eq!(judged("free = '300B,10%'").state(), State::Ok);
        assert_eq!(judged("free = ',50%'").state(), State::Critical);
    }

    #[test]
    fn without_limits_it_still_alarms() {
        let full = Space {
            free: 50,
            available: 50,
            ..SPACE
        };
        let outcome = disk("").judge(vec![seen("/", Answer::Space(full))]);
        assert_eq!(outcome.state(), State::Critical);
        let outcome = disk("free = '1B,'").judge(vec![seen("/", Answer::Space(full))]);
        assert_eq!(outcome.state(), State::Ok);
    }

    #[test]
    fn inodes_run_out_too() {
        assert_eq!(judged("inodes = '40%,90%'").state(), State::Warning);
        let outcome = judged("inodes = '10%,40%'");
        assert_eq!(outcome.line(), "50% of the inodes used, 50 left on /");
    }

    #[test]
    fn a_silent_mount_names_its_server_and_costs_only_itself() {
        let outcome = disk("").judge(vec![
            seen("/", Answer::Space(SPACE)),
            seen("/mnt/x", Answer::Silent(Some("14:02".to_owned()))),
        ]);
        assert_eq!(outcome.state(), State::Critical);
        assert_eq!(
            outcome.line(),
            "/mnt/x on nfs1:/export: not answering since 14:02"
        );
        assert!(outcome.metrics().iter().any(|it| it.label == "_.used"));
    }

    #[test]
    fn labels_of_several_file_systems_have_their_paths() {
        let outcome = disk("").judge(vec![
            seen("/", Answer::Space(SPACE)),
            seen("/var/log", Answer::Space(SPACE)),
        ]);
        let labels: Vec<&str> = outcome
            .metrics()
            .iter()
            .map(|it| it.label.as_str())
            .collect();
        assert!(labels.contains(&"_.used") && labels.contains(&"_var_log.inodes_pct"));
    }
    #[test]
    fn what_should_be_written_and_cannot_is_critical() {
        let outcome = disk("used = '99%,'").judge(vec![Seen {
            read_only: Some("though fstab wants it to be written"),
            ..seen("/srv", Answer::Space(SPACE))
        }]);
        assert_eq!(outcome.state(), State::Critical);
        assert_eq!(
            outcome.line(),
            "/srv can only be read, though fstab wants it to be written"
        );
    }

    #[test]
    fn a_path_and_what_cannot_apply_to_it_are_a_flaw() {
        assert_eq!(disk("path = '/'\ntypes = 'ext4'").flaws().len(), 1);
        assert_eq!(disk("path = '/'\nexclude = '/mnt*'").flaws().len(), 1);
        assert!(
            disk("path = '/srv/*'\nexclude = '/srv/x'")
                .flaws()
                .is_empty()
        );
    }
}
