//! `disk`: file systems have room left, counted as df counts; one that never answers costs only itself.

pub mod helper;

use crate::check::{Check, Context, Flaw, Past, Previous, Type, flaw};
use crate::host::mounts::{self, Mount, Planned, Spot};
use crate::model::duration::since_1970;
use crate::model::limits::{Free, Inodes, Limits, Used};
use crate::model::list::List;
use crate::model::metric::Metric;
use crate::model::name;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::pattern::{fits, is_wild};
use crate::model::quantity::{self, Unit};
use crate::model::state::State;
use helper::Answer;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

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
        "not-mounted",
        "CRITICAL",
        "fstab wants a file system to be mounted there, which is not: what is written now goes to another one. `mount PATH` says why, or does it.",
    ),
    code(
        "was-mounted",
        "WARNING",
        "A file system that earlier runs saw there is not mounted any more, and fstab does not know it; told for 30 days. Mount it, or write `grade = { was-mounted = \"ok\" }` where it is meant to be gone.",
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
    /// Types of file systems, with `*` and `?`: `"nfs*"`. Default: those that hold data and can fill up, also of other machines and of FUSE; not the kernel's own (proc, sysfs, tracefs, …), tmpfs, overlay, images (squashfs, iso9660), snapshots, and what is mounted twice. What fstab wants to be mounted and is not is told, too, and so are types of which nothing is known.
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
    /// Which of the mounts it is.
    pub on: Spot,
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
    /// What fstab wants to be mounted below the path's file system and is not.
    unmounted: Option<PathBuf>,
    choice: Choice,
    answer: Answer,
}

/// How it came that something is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Choice {
    /// Somebody wants to know of it.
    Named,
    /// It is one of all.
    Default,
}

/// What is there.
struct Sight {
    seen: Vec<Seen>,
    /// What fstab wants to be mounted and is not, apart from what has been named.
    unmounted: Vec<PathBuf>,
    /// Mounts that are not looked at, because nothing is known of their types.
    strange: Vec<Mount>,
    /// All that is mounted.
    points: HashSet<PathBuf>,
}

/// On which mount a path lay, and when that was last seen in seconds since 1970.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
struct Lay {
    point: String,
    at: f64,
}

/// By paths, as they are shown.
type Lays = BTreeMap<String, Lay>;

/// How long it is told that something was mounted once.
const MISSED: Duration = Duration::from_secs(30 * 86_400);

impl Check for Disk {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let sight = self.observe(cx)?;
        let before = match &cx.previous {
            Previous::Known(Past { value, .. }) => Lays::deserialize(value).unwrap_or_default(),
            _ => Lays::new(),
        };
        let (missed, lays) = lying(&sight, &before, cx.now);
        let mut outcome = self.judge(sight);
        for line in missed {
            outcome.find("was-mounted", State::Warning, &line);
        }
        if !lays.is_empty() {
            outcome.remember(serde_json::json!(lays));
        }
        Ok(outcome)
    }

    fn recalls(&self) -> bool {
        self.path.is_some()
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
    path.to_str().is_some_and(is_wild)
}

impl Disk {
    /// The paths to look at, each with its mount.
    fn wanted(
        &self,
        mounts: &[Mount],
        cx: &Context,
        unmounted: &[Planned],
    ) -> anyhow::Result<(Vec<Wanted>, Vec<PathBuf>)> {
        let (patterns, paths): (Vec<&PathBuf>, Vec<&PathBuf>) = self
            .path
            .iter()
            .flat_map(|it| &it.0)
            .partition(|it| is_pattern(it));
        let mut wanted = Vec::new();
        for path in &paths {
            let path = cx.path(path);
            let mount = mounts::of(mounts, &path)?.clone();
            wanted.push((path, mount, Choice::Named));
        }
        let mut missing = Vec::new();
        if paths.is_empty() || !patterns.is_empty() {
            let any = |patterns: &Option<List<String>>, text: &str| {
                patterns
                    .as_ref()
                    .map(|it| it.0.iter().any(|it| fits(it, text)))
            };
            let at = |mount: &Mount| mount.point.to_string_lossy().into_owned();
            let is_meant = |mount: &Mount| {
                patterns.is_empty()
                    || patterns
                        .iter()
                        .any(|it| fits(&it.to_string_lossy(), &at(mount)))
            };
            // Whoever names patterns or devices wants what they match, whatever its type.
            let named = !patterns.is_empty() || self.device.is_some();
            let kind = |mount: &Mount| {
                any(&self.types, &mount.kind).unwrap_or(named || mount.is_real())
                    && !any(&self.exclude_types, &mount.kind).unwrap_or(false)
            };
            let is_chosen = |mount: &Mount| {
                is_meant(mount)
                    && kind(mount)
                    && any(&self.device, &mount.source).unwrap_or(true)
                    && !any(&self.exclude, &at(mount)).unwrap_or(false)
            };
            let chosen = mounts::once(mounts, is_chosen);
            // Of a line without a device of its own nobody knows which one is meant.
            let planned = unmounted.iter().filter(|_| self.device.is_none());
            let planned = planned.map(|it| Mount {
                point: it.point.clone(),
                kind: it.kind.clone(),
                source: it.source.clone(),
                ..Mount::default()
            });
            missing.extend(planned.filter(is_chosen).map(|it| it.point));
            anyhow::ensure!(
                !chosen.is_empty() || !wanted.is_empty() || !missing.is_empty(),
                "{}",
                match named || self.types.is_some() || self.exclude.is_some() {
                    true => "no file system is chosen: nothing that is mounted matches",
                    false => "no real file system is mounted here",
                }
            );
            let choice = match named {
                true => Choice::Named,
                false => Choice::Default,
            };
            wanted.extend(chosen.into_iter().map(|it| (it.point.clone(), it, choice)));
        }
        // A path may also be among what a pattern matches.
        let mut known = HashSet::new();
        wanted.retain(|it| known.insert(it.0.clone()));
        Ok((wanted, missing))
    }

    fn observe(&self, cx: &Context) -> anyhow::Result<Sight> {
        let mounts = cx.run.mounts()?;
        // Another machine that is looked at from a container has another fstab, and other numbers of mounts.
        let is_own = cx.run.roots.leader() == "self";
        let fstab = match is_own {
            true => mounts::fstab(Path::new("/etc/fstab")),
            false => Vec::new(),
        };
        let points: HashSet<PathBuf> = mounts.iter().map(|it| it.point.clone()).collect();
        let unmounted: Vec<Planned> = fstab
            .iter()
            .filter(|it| it.is_always() && !points.contains(&it.point))
            .cloned()
            .collect();
        let (wanted, missing) = self.wanted(mounts, cx, &unmounted)?;
        // A path that is no mount point may lead elsewhere, into a mount that hangs.
        let all_local = mounts.iter().all(Mount::is_harmless);
        let here =
            |path: &Path, mount: &Mount| mount.is_local() && (all_local || path == mount.point);
        // Where a link leads can be asked where nothing hangs.
        let real = |path: &Path| {
            let found = all_local.then(|| fs::canonicalize(path).ok()).flatten();
            found.unwrap_or_else(|| path.to_owned())
        };
        // What fstab may know by another path than the table is looked at, too, but nothing that is not asked for.
        let holds = |it: &&Planned| {
            let point = real(&it.point);
            let mut paths = wanted.iter().map(|it| &it.0);
            missing.contains(&it.point)
                || paths.any(|path| path.starts_with(&it.point) || real(path).starts_with(&point))
        };
        let suspects = unmounted.iter().filter(holds).map(|it| {
            let mount = mounts::of(mounts, &it.point).cloned().unwrap_or_default();
            (it.point.clone(), mount)
        });
        let suspects: Vec<(PathBuf, Mount)> = suspects.collect();
        let both = wanted.iter().map(|it| (&it.0, &it.1));
        let both = both.chain(suspects.iter().map(|it| (&it.0, &it.1)));
        let mut known = HashSet::new();
        let both: Vec<(&PathBuf, &Mount)> = both.filter(|it| known.insert(it.0)).collect();
        let asked: Vec<(&Path, &Mount)> = both
            .iter()
            .filter(|(path, mount)| !here(path, mount))
            .map(|(path, mount)| (path.as_path(), *mount))
            .collect();
        let mut answers = helper::ask(&asked, &cx.run.env.exe, cx.deadline, cx.now)?;
        for (path, mount) in both {
            if here(path, mount) {
                answers.insert(path.clone(), helper::look(path));
            }
        }
        let is_away = |point: &PathBuf| match answers.get(point) {
            Some(Answer::Space(space)) => !space.on.is_point,
            Some(Answer::Missing) => true,
            _ => false,
        };
        let planned: Vec<(PathBuf, PathBuf)> = fstab
            .iter()
            .filter(|it| it.is_always())
            .map(|it| (real(&it.point), it.point.clone()))
            .collect();
        // The longest point that holds a path, when that is not there.
        let unmounted_of = |path: &Path| {
            if planned.is_empty() {
                return None;
            }
            let real = real(path);
            let holding = planned
                .iter()
                .filter(|it| path.starts_with(&it.1) || real.starts_with(&it.0));
            let longest = holding.max_by_key(|it| it.0.components().count());
            let point = longest.map(|it| &it.1)?;
            let is_there = points.contains(point);
            (!is_there && is_away(point)).then(|| point.clone())
        };
        let seen: Vec<Seen> = wanted
            .into_iter()
            .map(|(path, mount, choice)| {
                let answer = answers.get(&path).cloned();
                let answer = answer.unwrap_or(Answer::Silent(None));
                let mount = match &answer {
                    Answer::Space(space) if is_own => {
                        let found = mounts::of_spot(mounts, &space.on, &path);
                        found.cloned().unwrap_or(mount)
                    }
                    _ => mount,
                };
                Seen {
                    read_only: mount.is_wrongly_read_only(&fstab),
                    unmounted: unmounted_of(&path),
                    path,
                    mount,
                    choice,
                    answer,
                }
            })
            .collect();
        let mut strange = Vec::new();
        if seen.iter().any(|it| it.choice == Choice::Default) && self.types.is_none() {
            strange = mounts::once(mounts, Mount::is_strange);
        }
        Ok(Sight {
            unmounted: missing.into_iter().filter(|it| is_away(it)).collect(),
            strange,
            points,
            seen,
        })
    }

    fn judge(&self, sight: Sight) -> Outcome {
        let Sight { seen, .. } = &sight;
        let mut fullest: Vec<(&Seen, Space)> = seen
            .iter()
            .filter_map(|it| match it.answer {
                Answer::Space(space) => Some((it, space)),
                _ => None,
            })
            .collect();
        fullest.sort_by(|a, b| b.1.used_percent().total_cmp(&a.1.used_percent()));
        let mut outcome = match &fullest[..] {
            [] => Outcome::default(),
            [(one, space)] => Outcome::new(&described(one, space)),
            [(first, space), ..] => Outcome::new(&format!(
                "{} file systems, fullest: {}",
                fullest.len(),
                described(first, space)
            )),
        };
        for it in seen {
            self.judge_one(&mut outcome, it, seen.len());
        }
        for point in &sight.unmounted {
            let line = format!(
                "{} is not mounted, though fstab wants it to be",
                point.display()
            );
            outcome.find("not-mounted", State::Critical, &line);
        }
        for it in &sight.strange {
            outcome.detail(&format!(
                "{} is not looked at: nothing is known of its type {}; name it in `path` or `types`",
                it.point.display(),
                it.kind
            ));
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
        if let Some(point) = &seen.unmounted {
            let lies = match (&seen.answer, *point == seen.path) {
                (Answer::Space(_), true) => format!("; it lies on {}", seen.mount.point.display()),
                (Answer::Space(_), false) => {
                    format!("; {shown} lies on {}", seen.mount.point.display())
                }
                (_, true) => String::new(),
                (_, false) => format!("; {shown} should lie on it"),
            };
            let line = format!(
                "{} is not mounted, though fstab wants it to be{lies}",
                point.display()
            );
            outcome.find("not-mounted", State::Critical, &line);
        }
        let space = match &seen.answer {
            Answer::Space(space) => space,
            Answer::Missing if seen.unmounted.is_some() => return,
            // What another user has mounted is closed even to root (mount.fuse(8), allow_other).
            Answer::Failed(why)
                if seen.choice == Choice::Default && seen.mount.of_fuse().is_some() =>
            {
                return outcome.detail(&format!("{shown} is not looked at: {why}"));
            }
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

/// A path, the mount that it seems to lie on, and how it was chosen.
type Wanted = (PathBuf, Mount, Choice);

/// What earlier runs saw mounted where nothing is any more, and what the next run is to know.
fn lying(sight: &Sight, before: &Lays, now: SystemTime) -> (Vec<String>, Lays) {
    let seconds = since_1970(now).as_secs_f64();
    let (mut missed, mut lays) = (Vec::new(), Lays::new());
    let named = sight.seen.iter().filter(|it| it.choice == Choice::Named);
    for it in named.filter(|it| matches!(it.answer, Answer::Space(_) | Answer::Missing)) {
        let shown = it.path.to_string_lossy().into_owned();
        let is_there = matches!(it.answer, Answer::Space(_));
        let old = before.get(&shown).filter(|old| {
            let point = Path::new(&old.point);
            let is_below = point != it.mount.point && point.starts_with(&it.mount.point);
            let age = seconds - old.at;
            // A time that is yet to come is not believed.
            is_below && !sight.points.contains(point) && (0.0..MISSED.as_secs_f64()).contains(&age)
        });
        match old {
            Some(old) => {
                // Whoever misses the path or what fstab wants has said so.
                if is_there && it.unmounted.is_none() {
                    missed.push(format!(
                        "{} is not mounted any more, as it was until {}; {shown} lies on {}",
                        old.point,
                        day(old.at),
                        it.mount.point.display()
                    ));
                }
                lays.insert(shown, old.clone());
            }
            None if is_there && it.unmounted.is_none() => {
                let point = it.mount.point.to_string_lossy().into_owned();
                lays.insert(shown, Lay { point, at: seconds });
            }
            None => {
                lays.extend(before.get(&shown).map(|it| (shown, it.clone())));
            }
        }
    }
    (missed, lays)
}

/// A time since 1970 as people here write it.
fn day(seconds: f64) -> String {
    let at = Timestamp::from_second(seconds as i64);
    let at = at.map(|it| it.to_zoned(TimeZone::system()));
    at.map_or(String::new(), |it| {
        it.strftime("%Y-%m-%d %H:%M").to_string()
    })
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
        on: Spot {
            mount: 0,
            major: 0,
            minor: 0,
            is_point: false,
        },
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
            unmounted: None,
            choice: Choice::Named,
            answer,
        }
    }

    fn sight(seen: Vec<Seen>) -> Sight {
        Sight {
            seen,
            unmounted: Vec::new(),
            strange: Vec::new(),
            points: HashSet::new(),
        }
    }

    fn judged(keys: &str) -> Outcome {
        disk(keys).judge(sight(vec![seen("/", Answer::Space(SPACE))]))
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
        let outcome = disk("").judge(sight(vec![seen("/", Answer::Space(full))]));
        assert_eq!(outcome.state(), State::Critical);
        let outcome = disk("free = '1B,'").judge(sight(vec![seen("/", Answer::Space(full))]));
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
        let outcome = disk("").judge(sight(vec![
            seen("/", Answer::Space(SPACE)),
            seen("/mnt/x", Answer::Silent(Some("14:02".to_owned()))),
        ]));
        assert_eq!(outcome.state(), State::Critical);
        assert_eq!(
            outcome.line(),
            "/mnt/x on nfs1:/export: not answering since 14:02"
        );
        assert!(outcome.metrics().iter().any(|it| it.label == "_.used"));
    }

    #[test]
    fn labels_of_several_file_systems_have_their_paths() {
        let outcome = disk("").judge(sight(vec![
            seen("/", Answer::Space(SPACE)),
            seen("/var/log", Answer::Space(SPACE)),
        ]));
        let labels: Vec<&str> = outcome
            .metrics()
            .iter()
            .map(|it| it.label.as_str())
            .collect();
        assert!(labels.contains(&"_.used") && labels.contains(&"_var_log.inodes_pct"));
    }
    #[test]
    fn what_should_be_written_and_cannot_is_critical() {
        let outcome = disk("used = '99%,'").judge(sight(vec![Seen {
            read_only: Some("though fstab wants it to be written"),
            ..seen("/srv", Answer::Space(SPACE))
        }]));
        assert_eq!(outcome.state(), State::Critical);
        assert_eq!(
            outcome.line(),
            "/srv can only be read, though fstab wants it to be written"
        );
    }

    fn lies(path: &str, point: &str) -> Seen {
        Seen {
            mount: Mount {
                point: PathBuf::from(point),
                ..Mount::default()
            },
            ..seen(path, Answer::Space(SPACE))
        }
    }

    #[test]
    fn a_mount_that_only_history_knows_is_missed_for_thirty_days() {
        let at = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400 + 3600);
        let first = sight(vec![lies("/srv/db/x", "/srv/db")]);
        let (missed, lays) = lying(&first, &Lays::new(), at(100));
        assert!(missed.is_empty());
        let gone = sight(vec![lies("/srv/db/x", "/")]);
        let (missed, lays) = lying(&gone, &lays, at(101));
        assert_eq!(missed.len(), 1);
        assert!(
            missed[0].starts_with("/srv/db is not mounted any more, as it was until 1970-04-1")
                && missed[0].ends_with("; /srv/db/x lies on /"),
            "{}",
            missed[0]
        );
        let (missed, lays) = lying(&gone, &lays, at(129));
        assert_eq!(missed.len(), 1, "since the same day");
        let (missed, lays) = lying(&gone, &lays, at(131));
        assert!(missed.is_empty());
        assert_eq!(lays["/srv/db/x"].point, "/", "and then never again");
        // One that is mounted elsewhere, or deeper, is not missed.
        let (_, lays) = lying(&gone, &Lays::new(), at(100));
        assert!(lying(&first, &lays, at(101)).0.is_empty());
        // What the clock said when it was ahead is not believed.
        let (_, lays) = lying(&first, &Lays::new(), at(4000));
        assert!(lying(&gone, &lays, at(101)).0.is_empty());
    }

    #[test]
    fn what_nobody_named_and_cannot_be_looked_at_is_told() {
        let closed = Seen {
            choice: Choice::Default,
            mount: Mount {
                kind: "fuse.sshfs".to_owned(),
                ..Mount::default()
            },
            ..seen("/home/a/x", Answer::Failed("permission denied".to_owned()))
        };
        let mut all = sight(vec![seen("/", Answer::Space(SPACE)), closed]);
        all.strange = vec![Mount {
            point: PathBuf::from("/new"),
            kind: "newfs".to_owned(),
            ..Mount::default()
        }];
        let outcome = disk("").judge(all);
        assert_eq!(outcome.state(), State::Ok);
        let lines = outcome.lines().join("\n");
        assert!(
            lines.contains("/home/a/x is not looked at: permission denied"),
            "{lines}"
        );
        assert!(lines.contains("/new is not looked at: nothing is known of its type newfs"));
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
