//! `mount`: file systems are mounted, from where and how they should be.

use crate::check::{Check, Context, Flaw, Type, flaw};
use crate::host::mounts::{self, Mount, Planned};
use crate::model::list::List;
use crate::model::outcome::{Code, Outcome, code};
use crate::model::pattern::fits;
use crate::model::state::State;
use serde::Deserialize;
use std::path::{Path, PathBuf};

pub const TYPE: Type = Type::of::<Mounted>(
    "mount",
    &["path"],
    include_str!("../../checks/mount.toml"),
    &[],
    &[CODES],
);

const CODES: &[Code] = &[
    code(
        "not-mounted",
        "CRITICAL",
        "Nothing is mounted there: `mount PATH` says why, or does it.",
    ),
    code(
        "option",
        "WARNING",
        "It is mounted without an option that it must have, or with one that it must not.",
    ),
    code(
        "type",
        "WARNING",
        "Another type of file system is mounted there.",
    ),
    code(
        "source",
        "WARNING",
        "Another device or export is mounted there.",
    ),
];

/// File systems are mounted, from where and how they should be. Without `path`, everything that fstab wants to be mounted at start.
#[derive(Deserialize, schemars::JsonSchema)]
pub struct Mounted {
    /// Mount points.
    path: Option<List<PathBuf>>,
    /// Options that each must have, or with `!` must not: `["rw", "!nosuid"]`.
    options: Option<List<String>>,
    /// The type of each, with `*` and `?`: `"nfs*"`.
    fstype: Option<String>,
    /// The device or export of each, with `*` and `?`.
    source: Option<String>,
}

impl Check for Mounted {
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
        let mounts = cx.run.mounts()?;
        let points = match &self.path {
            Some(paths) => paths.0.iter().map(|it| cx.path(it)).collect(),
            None => {
                let file = Path::new("/etc/fstab");
                anyhow::ensure!(file.exists(), "there is no /etc/fstab here");
                let planned = planned(&mounts::fstab(file));
                anyhow::ensure!(
                    !planned.is_empty(),
                    "fstab wants nothing to be mounted, so there is nothing to look at"
                );
                planned
            }
        };
        Ok(self.judge(&points, mounts))
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self
            .path
            .iter()
            .flat_map(|it| &it.0)
            .any(|it| it.as_os_str().is_empty())
        {
            flaws.push(flaw("path", "an empty path is no mount point"));
        }
        let options = self.options.iter().flat_map(|it| &it.0);
        if options
            .clone()
            .any(|it| it.trim_start_matches('!').is_empty())
        {
            flaws.push(flaw("options", "an empty word is no option"));
        }
        flaws
    }
}

/// What fstab wants to be there once the machine has started.
fn planned(fstab: &[Planned]) -> Vec<PathBuf> {
    fstab
        .iter()
        .filter(|it| it.is_wanted())
        .map(|it| it.point.clone())
        .collect()
}

impl Mounted {
    fn judge(&self, points: &[PathBuf], mounts: &[Mount]) -> Outcome {
        let found = |point: &PathBuf| mounts::on(mounts, point);
        let mut outcome = Outcome::new(&match points {
            [one] => found(one).map_or(String::new(), described),
            many => format!("{} mount points looked at", many.len()),
        });
        for point in points {
            match found(point) {
                None => {
                    let line = format!("nothing is mounted on {}", point.display());
                    outcome.find("not-mounted", State::Critical, &line);
                }
                Some(mount) => self.judge_one(&mut outcome, mount),
            }
        }
        if points.len() > 1 {
            points
                .iter()
                .filter_map(found)
                .for_each(|it| outcome.detail(&described(it)));
        }
        outcome
    }

    fn judge_one(&self, outcome: &mut Outcome, mount: &Mount) {
        let point = mount.point.display();
        for wanted in self.options.iter().flat_map(|it| &it.0) {
            let (option, must) = match wanted.strip_prefix('!') {
                Some(option) => (option, false),
                None => (wanted.as_str(), true),
            };
            if mount.has(option) != must {
                let how = if must { "without" } else { "with" };
                let line = format!("{point} is mounted {how} {option}");
                outcome.find("option", State::Warning, &line);
            }
        }
        if let Some(wanted) = &self.fstype
            && !fits(wanted, &mount.kind)
        {
            let line = format!("{point} is {}, not {wanted}", mount.kind);
            outcome.find("type", State::Warning, &line);
        }
        if let Some(wanted) = &self.source
            && !fits(wanted, &mount.source)
        {
            let line = format!("{point} is mounted from {}, not {wanted}", mount.source);
            outcome.find("source", State::Warning, &line);
        }
    }
}

/// "/srv: /dev/sdb1, ext4, rw,noatime"
fn described(mount: &Mount) -> String {
    format!(
        "{}: {}, {}, {}",
        mount.point.display(),
        mount.source,
        mount.kind,
        mount.options.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(keys: &str) -> Outcome {
        let check: Mounted = toml::from_str(keys).expect("a mount check");
        assert!(check.flaws().is_empty());
        let mounts = [Mount {
            point: PathBuf::from("/srv"),
            source: "nfs1:/export".to_owned(),
            kind: "nfs4".to_owned(),
            options: vec!["rw".to_owned(), "noatime".to_owned()],
            ..Mount::default()
        }];
        let points: Vec<PathBuf> = check.path.iter().flat_map(|it| it.0.clone()).collect();
        check.judge(&points, &mounts)
    }

    #[test]
    fn what_is_there_is_told_with_its_options() {
        assert_eq!(
            judged("path = '/srv'").line(),
            "/srv: nfs1:/export, nfs4, rw,noatime"
        );
        assert_eq!(
            judged("path = ['/srv', '/x']").line(),
            "nothing is mounted on /x"
        );
        assert_eq!(
            judged("path = '/srv'\noptions = ['rw', '!ro']").state(),
            State::Ok
        );
        assert_eq!(
            judged("path = '/srv'\noptions = 'noexec'").line(),
            "/srv is mounted without noexec"
        );
        assert_eq!(
            judged("path = '/srv'\noptions = '!noatime'").line(),
            "/srv is mounted with noatime"
        );
        assert_eq!(judged("path = '/srv'\nfstype = 'nfs*'").state(), State::Ok);
        assert_eq!(
            judged("path = '/srv'\nfstype = 'ext4'").state(),
            State::Warning
        );
        assert_eq!(
            judged("path = '/srv'\nsource = 'nfs2:*'").state(),
            State::Warning
        );
    }

    #[test]
    fn fstab_wants_what_is_mounted_at_start() {
        let line = |point: &str, kind: &str, option: &str| Planned {
            source: "x".to_owned(),
            point: PathBuf::from(point),
            kind: kind.to_owned(),
            options: vec![option.to_owned()],
        };
        let fstab = [
            line("/", "ext4", "defaults"),
            line("none", "swap", "sw"),
            line("/mnt", "ext4", "noauto"),
            line("/srv", "nfs", "rw"),
        ];
        assert_eq!(planned(&fstab), ["/", "/srv"].map(PathBuf::from));
    }
}
