//! `file`: files are there or not, new, large and owned as they should be, and hold what they should.

mod content;
mod held;
mod log;
mod search;

use crate::check::{Check, Context, Flaw, Past, Previous, READS, Type, flaw};
use crate::host::{account, files};
use crate::model::duration::Duration;
use crate::model::limits::Judges;
use crate::model::limits::{Count, Limits, Memory as Bytes, Old, Size};
use crate::model::metric::Metric;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::pattern::{self, Pattern};
use crate::model::quantity::{self, Unit};
use crate::model::range::Range;
use crate::model::state::State;
use content::Checksum;
use held::Held;
use log::{Before, Marks, News};
use search::{Found, Search};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub const TYPE: Type = Type::of::<File>(
    "file",
    &["path"],
    include_str!("../../../checks/file.toml"),
    &[
        ("count", Unit::None),
        ("age", Unit::Seconds),
        ("size", Unit::Bytes),
    ],
    &[CODES],
);

const CODES: &[Code] = &[
    code(
        "missing",
        "CRITICAL",
        "There is no such file: what should write it does not.",
    ),
    code("present", "CRITICAL", "A file is there that should not be."),
    code("count", "by limits", "There are too few or too many files."),
    code(
        "age",
        "by limits",
        "Even the newest file is too old: what should write it does not.",
    ),
    code(
        "oldest",
        "by limits",
        "A file has been lying there for too long: what should take it away does not.",
    ),
    code("size", "by limits", "The files are too small or too large."),
    code(
        "growth",
        "by limits",
        "The files grow faster than `growth` allows.",
    ),
    code(
        "owner",
        "WARNING",
        "The file belongs to another user than `owner`.",
    ),
    code(
        "group",
        "WARNING",
        "The file belongs to another group than `group`.",
    ),
    code(
        "mode",
        "WARNING",
        "The permissions of the file are not those of `mode`.",
    ),
    code("no-match", "CRITICAL", "`contains` finds nothing."),
    code(
        "bad",
        "by limits",
        "Lines that `bad` finds are in it: the details show the last ones.",
    ),
    code(
        "unread",
        "UNKNOWN",
        "What was written to a log since the last run cannot be searched, as after it was emptied or taken away: keep what is rotated until the next run, where `new_lines` says that it is looked for.",
    ),
    code(
        "future",
        "WARNING",
        "A file seems to have been written at a time that is yet to come, so that its age is not known: look at the clock, then touch(1) the file.",
    ),
    code(
        "changed",
        "WARNING",
        "The content is not what it was in the last run.",
    ),
    code(
        "checksum",
        "CRITICAL",
        "The content is not the one that `checksum` asks for.",
    ),
];

/// Files are there, or are not; they are new enough, large enough, owned as they should be, and hold what they should.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct File {
    /// The file, or with `*` and `?` all that match; `**` means all folders below.
    path: PathBuf,
    /// Whether the file must not be there.
    #[serde(default)]
    absent: bool,
    /// Limits of the number of files that match: `"1:,"`.
    count: Option<Limits<Count>>,
    /// Limits of the time since the newest was last written.
    age: Option<Limits<Old>>,
    /// Limits of the time since the oldest was last written.
    oldest: Option<Limits<Old>>,
    /// Limits of the size of all together.
    size: Option<Limits<Size>>,
    /// Limits of how many bytes they grow in an hour, as measured since the last run.
    growth: Option<Limits<Bytes>>,
    /// Whose it must be: a user's name or number.
    owner: Option<String>,
    /// Which group's it must be: a name or number.
    group: Option<String>,
    /// The permissions that it must have, in octal: `"0640"`.
    mode: Option<Mode>,
    /// What its content must contain; of a file of more than 16 MiB the last part is looked at.
    contains: Option<Pattern>,
    /// Lines that are bad.
    bad: Option<Pattern>,
    /// Limits of the number of bad lines. Default: `",~:0"`, none.
    bad_count: Option<Limits<Count>>,
    /// Whether `contains` and `bad` look only at lines that were added since the last run. After a rotation the rest of the old file is looked for beside the new one, in the folders in and beside its own, and in every `olddir` of logrotate; `.gz` is read. What cannot be found is `unread`.
    #[serde(default)]
    new_lines: bool,
    /// How long an alarm of new lines is told again: `"1h"`. The next run finds nothing new, which an engine that rechecks takes for a recovery.
    hold: Option<Duration>,
    /// `"unchanged"` since the last run, or `"sha256:HEX"`.
    checksum: Option<Checksum>,
}

/// Permission bits.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mode(u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Mode, D::Error> {
        let text = String::deserialize(from)?;
        let mode = u32::from_str_radix(&text, 8)
            .ok()
            .filter(|it| *it <= 0o7777);
        mode.map(Mode).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{text:?} is no mode, expected octal such as \"0640\""
            ))
        })
    }
}

impl schemars::JsonSchema for Mode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mode".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "title": "mode", "pattern": "^[0-7]{1,5}$" })
    }
}

/// The most files of which the content is read.
const MOST_READ: usize = 1000;
/// How many files are listed.
const LISTED: usize = 10;
/// The faults of new lines, which the next run does not find again.
const OF_LINES: &[&str] = &["bad", "no-match", "unread"];

/// One file as it was seen.
struct Seen {
    path: PathBuf,
    /// Where it leads, when it is a link to nothing.
    dangling: Option<PathBuf>,
    size: u64,
    written: SystemTime,
    user: u32,
    group: u32,
    mode: u32,
    sha256: Option<String>,
}

/// What is there.
#[derive(Default)]
struct Sight {
    seen: Vec<Seen>,
    /// What was found in the text of files, and how many bytes of each were not looked at.
    found: BTreeMap<PathBuf, (Found, u64)>,
    /// What of logs could not be searched.
    unread: Vec<String>,
    marks: Marks,
}

/// What the next run is to know.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Memory {
    /// Of which path; where that is another one now, nothing is known.
    #[serde(default)]
    path: Option<String>,
    /// Of all files together.
    size: u64,
    #[serde(flatten)]
    marks: Marks,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held: Vec<Held>,
}

impl Check for File {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let past = match &cx.previous {
            Previous::Known(Past { at, value }) => {
                let own = log::key(&self.path);
                let memory = Memory::deserialize(value).ok();
                let memory = memory.filter(|it| it.path.as_ref().is_none_or(|it| *it == own));
                memory.map(|it| (*at, it))
            }
            // A mark that is never kept would be the first one for ever.
            Previous::Unknown(why) if self.new_lines => {
                anyhow::bail!(
                    "nobody knows which lines are new, because nothing is known of the last run: {why}"
                )
            }
            _ => None,
        };
        let sight = self.observe(cx, past.as_ref())?;
        let owner = self.owner.as_deref().map(account::number).transpose()?;
        let group = self.group.as_deref().map(account::group).transpose()?;
        let mut outcome = self.judge(&sight, past.as_ref(), cx.now);
        for it in &sight.seen {
            self.judge_owner(&mut outcome, it, owner, group);
        }
        if self.remembers() {
            match (&cx.previous, &past) {
                (Previous::Unknown(why), _) => {
                    outcome.detail(&format!("nothing is known of the last run: {why}"));
                }
                (_, None) if self.new_lines => {
                    outcome.detail(
                        "there is no earlier run to compare with: new lines count from here on",
                    );
                }
                (_, None) => outcome.detail("there is no earlier run to compare with"),
                _ => (),
            }
            let held = match self.hold {
                Some(length) => {
                    let before = past.as_ref().map_or(&[][..], |it| &it.1.held);
                    held::hold(&mut outcome, OF_LINES, before, length.0, cx.now)
                }
                None => Vec::new(),
            };
            outcome.remember(serde_json::json!(Memory {
                path: Some(log::key(&self.path)),
                size: sight.seen.iter().map(|it| it.size).sum(),
                marks: sight.marks,
                held,
            }));
        }
        Ok(outcome)
    }

    fn remembers(&self) -> bool {
        let unchanged = matches!(self.checksum, Some(Checksum::Unchanged));
        self.growth.is_some() || self.new_lines || unchanged
    }

    fn alarms_once(&self) -> bool {
        self.new_lines
    }

    fn privileged(&self) -> Option<&'static str> {
        let reads = self.contains.is_some() || self.bad.is_some() || self.checksum.is_some();
        reads.then_some(READS)
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let text = self.path.to_string_lossy();
        if text.is_empty() {
            flaws.push(flaw("path", "an empty path is no file"));
        }
        if self.new_lines && self.contains.is_none() && self.bad.is_none() {
            flaws.push(flaw(
                "new_lines",
                "it means nothing without `contains` or `bad`",
            ));
        }
        if self.hold.is_some() && !self.new_lines {
            flaws.push(flaw("hold", "it means nothing without `new_lines = true`"));
        }
        if self.bad_count.is_some() && self.bad.is_none() {
            flaws.push(flaw("bad_count", "it means nothing without `bad`"));
        }
        if self.absent && self.judges_files() {
            flaws.push(flaw(
                "absent",
                "what must not be there has nothing else to look at",
            ));
        }
        flaws
    }
}

impl File {
    fn is_pattern(&self) -> bool {
        pattern::is_wild(&self.path.to_string_lossy())
    }

    fn judges_files(&self) -> bool {
        self.count.is_some()
            || self.age.is_some()
            || self.oldest.is_some()
            || self.size.is_some()
            || self.growth.is_some()
            || self.owner.is_some()
            || self.group.is_some()
            || self.mode.is_some()
            || self.reads()
    }

    fn reads(&self) -> bool {
        self.contains.is_some() || self.bad.is_some() || self.checksum.is_some()
    }

    fn observe(&self, cx: &Context, past: Option<&(SystemTime, Memory)>) -> anyhow::Result<Sight> {
        let mut sight = Sight::default();
        let mut logs = Vec::new();
        let search = Search {
            contains: self.contains.as_ref(),
            bad: self.bad.as_ref(),
        };
        let looks_into = self.contains.is_some() || self.bad.is_some();
        for path in self.paths(cx)? {
            let Some((about, dangling)) = about(&path)? else {
                continue;
            };
            // What must not be there is, whatever a link leads to; else only a file is one.
            if dangling.is_some() && !self.absent {
                continue;
            }
            let mut sha256 = None;
            if self.reads() && !self.absent {
                anyhow::ensure!(
                    sight.seen.len() < MOST_READ,
                    "more than {MOST_READ} files match, which are too many to be read"
                );
                if looks_into && !self.new_lines {
                    let (text, left_out) = content::last_part(&path, cx.deadline)?;
                    let mut found = Found::default();
                    search.feed(&text, &path, &mut found)?;
                    sight.found.insert(path.clone(), (found, left_out));
                }
                if self.checksum.is_some() {
                    sha256 = Some(content::sha256(&path, cx.deadline)?);
                }
            }
            sight.seen.push(Seen {
                size: about.len(),
                written: about.modified()?,
                user: about.uid(),
                group: about.gid(),
                mode: about.mode() & 0o7777,
                dangling,
                sha256,
                path: path.clone(),
            });
            logs.push((path, about));
        }
        if self.new_lines {
            let named = (!self.is_pattern()).then(|| cx.path(&self.path));
            let before = past.map(|(at, it)| Before {
                at: *at,
                marks: &it.marks,
            });
            let times = (cx.now, cx.deadline);
            let news = log::follow(&logs, named.as_deref(), before, search, times)?;
            let News {
                found,
                unread,
                marks,
            } = news;
            sight.found = found.into_iter().map(|it| (it.0, (it.1, 0))).collect();
            (sight.unread, sight.marks) = (unread, marks);
        }
        for it in sight.seen.iter().filter(|it| it.sha256.is_some()) {
            let mark = sight.marks.files.entry(log::key(&it.path)).or_default();
            mark.sha256 = it.sha256.clone();
        }
        Ok(sight)
    }

    /// The file, or all that match.
    fn paths(&self, cx: &Context) -> anyhow::Result<Vec<PathBuf>> {
        if !self.is_pattern() {
            return Ok(vec![cx.path(&self.path)]);
        }
        let found = files::matching(&cx.base, &self.path);
        if let Some(it) = found.closed.first() {
            return Err(account::unreadable(&it.folder, &it.error));
        }
        let mut paths = found.paths;
        // A pattern means files; folders that match are not counted.
        paths.retain(|it| !it.is_dir());
        Ok(paths)
    }

    fn judge(
        &self,
        sight: &Sight,
        past: Option<&(SystemTime, Memory)>,
        now: SystemTime,
    ) -> Outcome {
        let shown = self.path.display();
        let seen = &sight.seen[..];
        if self.absent {
            return self.judge_absent(seen, now);
        }
        // What was written in the future is as new as can be, which says nothing of the others.
        let (Some(newest), Some(oldest)) = (
            seen.iter()
                .max_by_key(|it| (!is_ahead(it, now), it.written)),
            seen.iter().min_by_key(|it| it.written),
        ) else {
            let mut outcome = self.judge_missing();
            self.judge_content(&mut outcome, sight, past.map(|it| &it.1));
            return outcome;
        };
        let age = |it: &Seen| {
            now.duration_since(it.written)
                .unwrap_or_default()
                .as_secs_f64()
        };
        let size: u64 = seen.iter().map(|it| it.size).sum();
        let total = quantity::bytes(size as f64);
        let mut outcome = Outcome::new(&match seen {
            [one] => format!(
                "{}: {total}, written {}",
                one.path.display(),
                when(one, now)
            ),
            all => format!(
                "{} files match {shown}: {total}, newest {} written {}",
                all.len(),
                named(&newest.path),
                when(newest, now)
            ),
        });
        if self.is_pattern() || self.count.is_some() {
            let metric = Metric::new("count", seen.len() as f64, Unit::None);
            let line = match seen.len() {
                1 => format!("1 file matches {shown}"),
                count => format!("{count} files match {shown}"),
            };
            outcome.measure(metric.judged(Limits::maybe(&self.count, 0.0)), &line);
        }
        let metric = Metric::new("age", age(newest).round(), Unit::Seconds);
        let line = format!(
            "{} was written {} ago",
            newest.path.display(),
            quantity::seconds(age(newest))
        );
        outcome.measure(metric.judged(Limits::maybe(&self.age, 0.0)), &line);
        if self.oldest.is_some() {
            let metric = Metric::new("oldest", age(oldest).round(), Unit::Seconds);
            let line = format!(
                "{} has been lying there for {}",
                oldest.path.display(),
                quantity::seconds(age(oldest))
            );
            outcome.measure(metric.judged(Limits::maybe(&self.oldest, 0.0)), &line);
        }
        let metric = Metric::new("size", size as f64, Unit::Bytes);
        let line = match seen {
            [one] => format!("{} has {total}", one.path.display()),
            all => format!("the {} files of {shown} have {total} together", all.len()),
        };
        outcome.measure(metric.judged(Limits::maybe(&self.size, 0.0)), &line);
        self.judge_growth(&mut outcome, size, past, now);
        if self.age.is_some() || self.oldest.is_some() {
            judge_ahead(&mut outcome, seen, now);
        }
        self.judge_content(&mut outcome, sight, past.map(|it| &it.1));
        if seen.len() > 1 {
            list(&mut outcome, seen, now);
        }
        outcome
    }

    fn judge_absent(&self, seen: &[Seen], now: SystemTime) -> Outcome {
        match seen {
            [] => Outcome::new(&format!("there is no {}", self.path.display())),
            [first, ..] => {
                let others = match seen.len() {
                    1 => String::new(),
                    count => format!(" (and {} more)", count - 1),
                };
                let path = first.path.display();
                let line = match &first.dangling {
                    None => format!("{path} is there, written {}{others}", when(first, now)),
                    Some(target) => format!(
                        "{path} is there, a link to {}, which does not exist{others}",
                        target.display()
                    ),
                };
                Outcome::of("present", State::Critical, &line)
            }
        }
    }

    /// Nothing is there; with limits of the number, those judge it.
    fn judge_missing(&self) -> Outcome {
        let line = match self.is_pattern() {
            true => format!("no file matches {}", self.path.display()),
            false => format!("{} does not exist", self.path.display()),
        };
        match &self.count {
            None => Outcome::of("missing", State::Critical, &line),
            Some(limits) => {
                let mut outcome = Outcome::new(&line);
                let metric = Metric::new("count", 0.0, Unit::None);
                outcome.measure(metric.judged(limits.of(0.0)), &line);
                outcome
            }
        }
    }

    fn judge_growth(
        &self,
        outcome: &mut Outcome,
        size: u64,
        past: Option<&(SystemTime, Memory)>,
        now: SystemTime,
    ) {
        let (Some(limits), Some((at, before))) = (&self.growth, past) else {
            return;
        };
        let hours = now.duration_since(*at).unwrap_or_default().as_secs_f64() / 3600.0;
        if hours <= 0.0 {
            return;
        }
        // What was emptied or rotated does not grow.
        let growth = (size.saturating_sub(before.size) as f64 / hours).round();
        let metric = Metric::new("growth", growth, Unit::Bytes);
        let line = format!(
            "{} grows by {} an hour",
            self.path.display(),
            quantity::bytes(growth)
        );
        outcome.measure(metric.judged(limits.of(0.0)), &line);
    }

    fn judge_content(&self, outcome: &mut Outcome, sight: &Sight, past: Option<&Memory>) {
        let what = if self.new_lines {
            "what is new in "
        } else {
            ""
        };
        // Before the first run it cannot be known what is new.
        let is_known = !self.new_lines || past.is_some();
        if let (Some(pattern), true) = (&self.contains, is_known) {
            for (path, _) in sight.found.iter().filter(|it| !it.1.0.contains) {
                let line = format!(
                    "/{}/ finds nothing in {what}{}",
                    pattern.as_str(),
                    path.display()
                );
                outcome.find("no-match", State::Critical, &line);
            }
        }
        if self.bad.is_some() && !sight.found.is_empty() {
            let bad: u64 = sight.found.values().map(|it| it.0.bad).sum();
            let last: Vec<&(PathBuf, String)> =
                sight.found.values().flat_map(|it| &it.0.last).collect();
            let limits = match &self.bad_count {
                Some(limits) => limits.of(0.0),
                None => Judges {
                    warn: vec![],
                    crit: vec![Range {
                        start: f64::NEG_INFINITY,
                        end: 0.0,
                        inside: false,
                    }],
                },
            };
            let metric = Metric::new("bad", bad as f64, Unit::None).judged(limits);
            let line = match &last[..] {
                [] => format!("no bad line in {what}{}", self.path.display()),
                [(path, one)] => format!("{}: {one}", path.display()),
                [.., (path, last)] => {
                    format!("{bad} bad lines, last in {}: {last}", path.display())
                }
            };
            outcome.measure(metric, &line);
            for (path, line) in last.iter().rev().take(search::SHOWN) {
                outcome.detail(&format!("{}: {line}", named(path)));
            }
        }
        for line in &sight.unread {
            outcome.find("unread", State::Unknown, line);
        }
        for (path, (_, left_out)) in sight.found.iter().filter(|it| it.1.1 > 0) {
            let left_out = quantity::bytes(*left_out as f64);
            outcome.detail(&format!(
                "{left_out} of {} are not looked at",
                path.display()
            ));
        }
        for it in &sight.seen {
            let before =
                past.and_then(|past| past.marks.files.get(&log::key(&it.path))?.sha256.as_deref());
            self.judge_checksum(outcome, it, it.sha256.as_deref(), before);
        }
    }

    fn judge_checksum(
        &self,
        outcome: &mut Outcome,
        it: &Seen,
        now: Option<&str>,
        before: Option<&str>,
    ) {
        let path = it.path.display();
        match (&self.checksum, now, before) {
            (Some(Checksum::Sha256(wanted)), Some(now), _) if wanted != now => {
                let line = format!("the SHA-256 of {path} is {now}, not {wanted}");
                outcome.find("checksum", State::Critical, &line);
            }
            (Some(Checksum::Unchanged), Some(now), Some(before)) if now != before => {
                outcome.find("changed", State::Warning, &format!("{path} has changed"));
                outcome.detail(&format!("SHA-256 of {path}: {before} before, {now} now"));
            }
            _ => (),
        }
    }

    fn judge_owner(&self, outcome: &mut Outcome, it: &Seen, user: Option<u32>, group: Option<u32>) {
        let path = it.path.display();
        if let Some(wanted) = user.filter(|wanted| *wanted != it.user) {
            let line = format!(
                "{path} belongs to user {}, not {}",
                account::name(it.user),
                account::name(wanted)
            );
            outcome.find("owner", State::Warning, &line);
        }
        if let Some(wanted) = group.filter(|wanted| *wanted != it.group) {
            let line = format!(
                "{path} belongs to group {}, not {}",
                account::group_name(it.group),
                account::group_name(wanted)
            );
            outcome.find("group", State::Warning, &line);
        }
        if let Some(Mode(wanted)) = self.mode.filter(|wanted| wanted.0 != it.mode) {
            let line = format!(
                "{path} has the permissions {:04o}, not {wanted:04o}",
                it.mode
            );
            outcome.find("mode", State::Warning, &line);
        }
    }
}

fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn named(path: &Path) -> std::path::Display<'_> {
    Path::new(path.file_name().unwrap_or(path.as_os_str())).display()
}

/// How far ahead a file's time may be: clocks of servers differ.
const AHEAD: std::time::Duration = std::time::Duration::from_secs(60);

/// Whether it seems to have been written in the future.
fn is_ahead(it: &Seen, now: SystemTime) -> bool {
    it.written.duration_since(now).is_ok_and(|it| it > AHEAD)
}

/// "5 min ago", or "at a time 11 d ahead".
fn when(it: &Seen, now: SystemTime) -> String {
    let seconds = |it: std::time::Duration| quantity::seconds(it.as_secs_f64());
    match it.written.duration_since(now) {
        Ok(ahead) if ahead > AHEAD => format!("at a time {} ahead", seconds(ahead)),
        _ => {
            let age = now.duration_since(it.written).unwrap_or_default();
            format!("{} ago", seconds(age))
        }
    }
}

/// Files whose age is not known.
fn judge_ahead(outcome: &mut Outcome, seen: &[Seen], now: SystemTime) {
    let mut ahead = seen.iter().filter(|it| is_ahead(it, now));
    if let Some(first) = ahead.next() {
        let others = match ahead.count() {
            0 => String::new(),
            count => format!(" (and {count} more)"),
        };
        let line = format!(
            "{} was written {}, so nobody knows how old it is{others}",
            first.path.display(),
            when(first, now)
        );
        outcome.find("future", State::Warning, &line);
    }
}

/// What is told of a path itself, and where it leads when it is a link to nothing; none where there is nothing.
fn about(path: &Path) -> anyhow::Result<Option<(Metadata, Option<PathBuf>)>> {
    let failed = |it: io::Error| account::unreadable(path, &it);
    match fs::metadata(path) {
        Ok(about) => Ok(Some((about, None))),
        Err(error) if gone(&error) => match fs::symlink_metadata(path) {
            // One that is taken away meanwhile is not there.
            Err(error) if gone(&error) => Ok(None),
            Err(error) => Err(failed(error)),
            Ok(about) => {
                let target = fs::read_link(path).unwrap_or_default();
                Ok(Some((about, Some(target))))
            }
        },
        Err(error) => Err(failed(error)),
    }
}

/// The newest files.
fn list(outcome: &mut Outcome, seen: &[Seen], now: SystemTime) {
    let mut newest: Vec<&Seen> = seen.iter().collect();
    newest.sort_by_key(|it| std::cmp::Reverse(it.written));
    for it in newest.iter().take(LISTED) {
        outcome.detail(&format!(
            "{}: {}, written {}",
            it.path.display(),
            quantity::bytes(it.size as f64),
            when(it, now)
        ));
    }
    if newest.len() > LISTED {
        outcome.detail(&format!("and {} more files", newest.len() - LISTED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_file_of_the_future_is_not_new() {
        let at = |path: &str, ahead: u64| Seen {
            written: now() + Duration::from_secs(ahead),
            ..seen(path, 1, 0)
        };
        let check = file("path = '/b/*'\nage = ',1h'");
        let outcome = check.judge(&sight(vec![at("/b/1", 360_000_000)]), None, now());
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(
            outcome.line(),
            "/b/1 was written at a time 4166 d ahead, so nobody knows how old it is"
        );
        // The others are as old as they are.
        let both = sight(vec![at("/b/1", 360_000_000), seen("/b/2", 1, 9000)]);
        assert_eq!(check.judge(&both, None, now()).state(), State::Critical);
        let near = check.judge(&sight(vec![at("/b/1", 5)]), None, now());
        assert_eq!(near.state(), State::Ok);
        let unjudged = file("path = '/b/1'").judge(&sight(vec![at("/b/1", 360_000)]), None, now());
        assert_eq!(
            unjudged.line(),
            "/b/1: 1 B, written at a time 4 d 4 h ahead"
        );
    }

    fn file(keys: &str) -> File {
        toml::from_str(keys).expect("a file check")
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    fn seen(path: &str, size: u64, age: u64) -> Seen {
        Seen {
            path: PathBuf::from(path),
            size,
            written: now() - Duration::from_secs(age),
            user: 0,
            group: 0,
            mode: 0o640,
            dangling: None,
            sha256: None,
        }
    }

    fn sight(seen: Vec<Seen>) -> Sight {
        Sight {
            seen,
            ..Sight::default()
        }
    }

    #[test]
    fn the_newest_must_be_new_and_the_oldest_not_too_old() {
        let files = sight(vec![seen("/b/1", 10, 9000), seen("/b/2", 20, 60)]);
        let judged = |keys: &str| {
            let check = file(&format!("path = '/b/*'\n{keys}"));
            check.judge(&files, None, now())
        };
        assert_eq!(judged("age = '1h,2h'").state(), State::Ok);
        let outcome = judged("oldest = '1h,2h'");
        assert_eq!(outcome.line(), "/b/1 has been lying there for 2 h 30 min");
        assert_eq!(judged("size = '31B:,'").state(), State::Warning);
        assert_eq!(judged("count = '~:1,'").line(), "2 files match /b/*");
    }

    #[test]
    fn nothing_there_is_critical_unless_it_should_be_so() {
        assert_eq!(
            file("path = '/x'")
                .judge(&sight(vec![]), None, now())
                .state(),
            State::Critical
        );
        assert_eq!(
            file("path = '/x'\nabsent = true")
                .judge(&sight(vec![]), None, now())
                .state(),
            State::Ok
        );
        let outcome =
            file("path = '/x'\nabsent = true").judge(&sight(vec![seen("/x", 1, 61)]), None, now());
        assert_eq!(outcome.line(), "/x is there, written 61 s ago");
        let outcome = file("path = '/x*'\ncount = '0:0,'").judge(&sight(vec![]), None, now());
        assert_eq!(outcome.state(), State::Ok);
    }

    #[test]
    fn growth_is_measured_since_the_last_run() {
        let check = file("path = '/x'\ngrowth = '1kB,1MB'");
        let past = (
            now() - Duration::from_secs(1800),
            Memory {
                size: 1000,
                ..Memory::default()
            },
        );
        let outcome = check.judge(&sight(vec![seen("/x", 3000, 1)]), Some(&past), now());
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "/x grows by 3.9 KiB an hour");
        let outcome = check.judge(&sight(vec![seen("/x", 10, 1)]), Some(&past), now());
        assert_eq!(outcome.state(), State::Ok);
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(file("path = '/x'\nmode = '0640'").mode, Some(Mode(0o640)));
        for bad in ["'0999'", "'u+x'", "'77777'"] {
            let keys = format!("path = '/x'\nmode = {bad}");
            assert!(toml::from_str::<File>(&keys).is_err(), "{bad}");
        }
    }
}
