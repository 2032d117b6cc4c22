//! `file`: files are there or not, new, large and owned as they should be, and hold what they should.

mod content;

use crate::check::{Check, Context, Flaw, Past, Previous, Type, flaw};
use crate::host::account;
use crate::model::limits::Judges;
use crate::model::limits::{Count, Limits, Memory as Bytes, Old, Size};
use crate::model::metric::Metric;
use crate::model::name;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::pattern::Pattern;
use crate::model::quantity::{self, Unit};
use crate::model::range::Range;
use crate::model::state::State;
use crate::model::text;
use content::{Checksum, Content, Mark};
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
    /// Whether `contains` and `bad` look only at lines that were added since the last run, also before the file was rotated to `PATH.1`.
    #[serde(default)]
    new_lines: bool,
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
/// How many bad lines are shown.
const SHOWN: usize = 5;

/// One file as it was seen.
struct Seen {
    path: PathBuf,
    size: u64,
    written: SystemTime,
    user: u32,
    group: u32,
    mode: u32,
    content: Option<Content>,
}

/// What the next run is to know.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Memory {
    /// Of all files together.
    size: u64,
    files: BTreeMap<PathBuf, Mark>,
}

impl Check for File {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let past = match &cx.previous {
            Previous::Known(Past { at, value }) => {
                Memory::deserialize(value).ok().map(|it| (*at, it))
            }
            _ => None,
        };
        let seen = self.observe(cx, past.as_ref().map(|it| &it.1))?;
        let owner = self.owner.as_deref().map(account::number).transpose()?;
        let group = self.group.as_deref().map(account::group).transpose()?;
        let mut outcome = self.judge(&seen, past.as_ref(), cx.now);
        for it in &seen {
            self.judge_owner(&mut outcome, it, owner, group);
        }
        if self.remembers() {
            match &cx.previous {
                Previous::Unknown(why) => {
                    outcome.detail(&format!("nothing is known of the last run: {why}"));
                }
                Previous::Never => outcome.detail("there is no earlier run to compare with"),
                Previous::Known(_) => (),
            }
            outcome.remember(serde_json::json!(remembered(&seen)));
        }
        Ok(outcome)
    }

    fn remembers(&self) -> bool {
        let unchanged = matches!(self.checksum, Some(Checksum::Unchanged));
        self.growth.is_some() || self.new_lines || unchanged
    }

    fn privileged(&self) -> Option<&'static str> {
        let reads = self.contains.is_some() || self.bad.is_some() || self.checksum.is_some();
        reads.then_some("which files root reads")
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let text = self.path.to_string_lossy();
        if text.is_empty() {
            flaws.push(flaw("path", "an empty path is no file"));
        }
        if let (true, Err(error)) = (self.is_pattern(), glob::Pattern::new(&text)) {
            flaws.push(flaw("path", format!("this is no pattern: {}", error.msg)));
        }
        if self.new_lines && self.contains.is_none() && self.bad.is_none() {
            flaws.push(flaw(
                "new_lines",
                "it means nothing without `contains` or `bad`",
            ));
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
        name::is_pattern(&self.path.to_string_lossy())
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

    fn observe(&self, cx: &Context, past: Option<&Memory>) -> anyhow::Result<Vec<Seen>> {
        let path = cx.path(&self.path);
        let mut seen = Vec::new();
        for path in self.paths(&path)? {
            // One that is taken away meanwhile is not there.
            let about = match fs::metadata(&path) {
                Ok(about) => about,
                Err(error) if gone(&error) => continue,
                Err(error) => return Err(account::unreadable(&path, &error)),
            };
            let content = match self.reads() && !self.absent {
                false => None,
                true => {
                    anyhow::ensure!(
                        seen.len() < MOST_READ,
                        "more than {MOST_READ} files match, which are too many to be read"
                    );
                    let mark = past.and_then(|it| it.files.get(&path));
                    Some(self.read(&path, &about, mark, cx)?)
                }
            };
            seen.push(Seen {
                size: about.len(),
                written: about.modified()?,
                user: about.uid(),
                group: about.gid(),
                mode: about.mode() & 0o7777,
                content,
                path,
            });
        }
        Ok(seen)
    }

    /// The file, or all that match.
    fn paths(&self, path: &Path) -> anyhow::Result<Vec<PathBuf>> {
        if !self.is_pattern() {
            return Ok(vec![path.to_owned()]);
        }
        let mut paths = Vec::new();
        for found in glob::glob(&path.to_string_lossy())? {
            match found {
                Ok(path) => paths.push(path),
                Err(error) if gone(error.error()) => (),
                Err(error) => return Err(account::unreadable(error.path(), error.error())),
            }
        }
        // A pattern means files; folders that match are not counted.
        paths.retain(|it| !it.is_dir());
        Ok(paths)
    }

    fn read(
        &self,
        path: &Path,
        about: &Metadata,
        mark: Option<&Mark>,
        cx: &Context,
    ) -> anyhow::Result<Content> {
        anyhow::ensure!(
            about.is_file(),
            "{} is no file that can be read",
            path.display()
        );
        let lines = self.contains.is_some() || self.bad.is_some();
        let mut content = match (lines, self.new_lines) {
            (false, _) => Content::default(),
            (true, false) => content::last_part(path)?,
            (true, true) => {
                content::added(path, about, mark, matches!(cx.previous, Previous::Known(_)))?
            }
        };
        if self.checksum.is_some() {
            content.mark.sha256 = Some(content::sha256(path, cx.deadline)?);
        }
        Ok(content)
    }

    fn judge(
        &self,
        seen: &[Seen],
        past: Option<&(SystemTime, Memory)>,
        now: SystemTime,
    ) -> Outcome {
        let shown = self.path.display();
        if self.absent {
            return self.judge_absent(seen, now);
        }
        let (Some(newest), Some(oldest)) = (
            seen.iter().max_by_key(|it| it.written),
            seen.iter().min_by_key(|it| it.written),
        ) else {
            return self.judge_missing();
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
                "{}: {total}, written {} ago",
                one.path.display(),
                quantity::seconds(age(one))
            ),
            all => format!(
                "{} files match {shown}: {total}, newest {} written {} ago",
                all.len(),
                named(&newest.path),
                quantity::seconds(age(newest))
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
        self.judge_content(&mut outcome, seen, past.map(|it| &it.1));
        if seen.len() > 1 {
            list(&mut outcome, seen, &age);
        }
        outcome
    }

    fn judge_absent(&self, seen: &[Seen], now: SystemTime) -> Outcome {
        match seen {
            [] => Outcome::new(&format!("there is no {}", self.path.display())),
            [first, ..] => {
                let age = now.duration_since(first.written).unwrap_or_default();
                let others = match seen.len() {
                    1 => String::new(),
                    count => format!(" (and {} more)", count - 1),
                };
                let line = format!(
                    "{} is there, written {} ago{others}",
                    first.path.display(),
                    quantity::seconds(age.as_secs_f64())
                );
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

    fn judge_content(&self, outcome: &mut Outcome, seen: &[Seen], past: Option<&Memory>) {
        let contents = || {
            seen.iter()
                .filter_map(|it| Some((it, it.content.as_ref()?)))
        };
        let what = if self.new_lines {
            "what is new in "
        } else {
            ""
        };
        if let Some(pattern) = &self.contains {
            for (it, content) in contents() {
                // A pattern that is too large has been refused when it was first read.
                if !pattern.finds(&content.bytes).unwrap_or(false) && content.is_known {
                    let line = format!(
                        "/{}/ finds nothing in {what}{}",
                        pattern.as_str(),
                        it.path.display()
                    );
                    outcome.find("no-match", State::Critical, &line);
                }
            }
        }
        if let Some(pattern) = &self.bad {
            let mut bad: Vec<(&Path, String)> = Vec::new();
            for (it, content) in contents() {
                for line in content.bytes.split(|it| *it == b'\n') {
                    if pattern.finds(line).unwrap_or(false) {
                        bad.push((&it.path, text::excerpt(&String::from_utf8_lossy(line), 160)));
                    }
                }
            }
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
            let metric = Metric::new("bad", bad.len() as f64, Unit::None).judged(limits);
            let line = match &bad[..] {
                [] => format!("no bad line in {what}{}", self.path.display()),
                [(path, one)] => format!("{}: {one}", path.display()),
                [.., (path, last)] => {
                    format!(
                        "{} bad lines, last in {}: {last}",
                        bad.len(),
                        path.display()
                    )
                }
            };
            outcome.measure(metric, &line);
            for (path, line) in bad.iter().rev().take(SHOWN) {
                outcome.detail(&format!("{}: {line}", named(path)));
            }
        }
        for (it, content) in contents() {
            if content.left_out > 0 {
                let left_out = quantity::bytes(content.left_out as f64);
                outcome.detail(&format!(
                    "{left_out} of {} are not looked at",
                    it.path.display()
                ));
            }
            let before = past.and_then(|past| past.files.get(&it.path)?.sha256.as_deref());
            self.judge_checksum(outcome, it, content.mark.sha256.as_deref(), before);
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

/// The newest files.
fn list(outcome: &mut Outcome, seen: &[Seen], age: &dyn Fn(&Seen) -> f64) {
    let mut newest: Vec<&Seen> = seen.iter().collect();
    newest.sort_by_key(|it| std::cmp::Reverse(it.written));
    for it in newest.iter().take(LISTED) {
        outcome.detail(&format!(
            "{}: {}, written {} ago",
            it.path.display(),
            quantity::bytes(it.size as f64),
            quantity::seconds(age(it))
        ));
    }
    if newest.len() > LISTED {
        outcome.detail(&format!("and {} more files", newest.len() - LISTED));
    }
}

fn remembered(seen: &[Seen]) -> Memory {
    let marks = seen.iter().filter_map(|it| {
        let content = it.content.as_ref()?;
        Some((it.path.clone(), content.mark.clone()))
    });
    Memory {
        size: seen.iter().map(|it| it.size).sum(),
        files: marks.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
            content: None,
        }
    }

    #[test]
    fn the_newest_must_be_new_and_the_oldest_not_too_old() {
        let files = [seen("/b/1", 10, 9000), seen("/b/2", 20, 60)];
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
            file("path = '/x'").judge(&[], None, now()).state(),
            State::Critical
        );
        assert_eq!(
            file("path = '/x'\nabsent = true")
                .judge(&[], None, now())
                .state(),
            State::Ok
        );
        let outcome = file("path = '/x'\nabsent = true").judge(&[seen("/x", 1, 61)], None, now());
        assert_eq!(outcome.line(), "/x is there, written 61 s ago");
        let outcome = file("path = '/x*'\ncount = '0:0,'").judge(&[], None, now());
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
        let outcome = check.judge(&[seen("/x", 3000, 1)], Some(&past), now());
        assert_eq!(outcome.state(), State::Warning);
        assert_eq!(outcome.line(), "/x grows by 3.9 KiB an hour");
        let outcome = check.judge(&[seen("/x", 10, 1)], Some(&past), now());
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
