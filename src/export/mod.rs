//! Other programs' own configuration for a list: one file per engine, and the table of engines.

mod checkmk;
mod chef;
mod consul;
mod cron;
mod docker;
mod elastic;
mod gearman;
mod healthchecks;
mod icinga;
mod nagios;
mod nrpe;
mod nsca;
mod pandora;
mod prometheus;
mod sensu;
mod serf;
mod stackstorm;
mod systemd;
mod xymon;
mod zabbix;

use crate::format::passive::SUMMARY;
use crate::model::text;
use crate::plan::Plan;
use std::collections::HashSet;

/// All engines; `koshu export` takes their names.
pub const ENGINES: &[&Engine] = &[
    &nagios::ENGINE,
    &icinga::ENGINE,
    &nrpe::ENGINE,
    &nsca::ENGINE,
    &gearman::ENGINE,
    &zabbix::ENGINE,
    &xymon::ENGINE,
    &pandora::ENGINE,
    &checkmk::ENGINE,
    &prometheus::ENGINE,
    &elastic::ENGINE,
    &serf::ENGINE,
    &consul::ENGINE,
    &sensu::ENGINE,
    &stackstorm::ENGINE,
    &docker::ENGINE,
    &chef::ENGINE,
    &healthchecks::ENGINE,
    &cron::ENGINE,
    &systemd::ENGINE,
];

/// A program that koshu plugs into, as `koshu export` and koshu-engines(7) tell of it.
pub struct Engine {
    pub name: &'static str,
    pub title: &'static str,
    pub parts: &'static [Part],
    /// How to plug koshu in, step by step.
    pub set_up: &'static [&'static str],
    /// What becomes of the four states there.
    pub states: &'static str,
    /// How much text it takes.
    pub limits: &'static str,
    /// How long it waits, and what happens then.
    pub timeouts: &'static str,
    pub security: &'static str,
    /// With what this was tried.
    pub proof: &'static str,
}

/// One file of an engine's configuration.
pub struct Part {
    pub name: &'static str,
    /// Where it belongs.
    pub file: &'static str,
    /// What begins a comment there, if there are comments.
    pub comment: Option<&'static str>,
    pub write: fn(&Order) -> String,
}

impl Engine {
    pub fn named(name: &str) -> Option<&'static Engine> {
        ENGINES.iter().copied().find(|it| it.name == name)
    }
}

/// What is to be exported.
pub struct Order<'p> {
    /// The path of koshu.
    pub exe: String,
    /// The lists to read; none means koshu's own place for them.
    pub lists: Vec<String>,
    /// What the engine calls this machine.
    pub host: String,
    pub plan: &'p Plan,
    /// Whether there is a service for each check and group, not one for all.
    pub each: bool,
}

/// What an engine shows as one service.
pub struct Service<'p> {
    pub name: &'p str,
    pub label: &'p str,
    /// The check or group to run; none means all.
    check: Option<&'p str>,
    /// Whether it counts through a group, and so wakes nobody by itself.
    is_member: bool,
}

impl Service<'_> {
    /// What a command that runs it is called: `koshu`, or `koshu_LABEL` of a check.
    pub fn command(&self) -> String {
        match self.check {
            None => self.label.to_owned(),
            Some(_) => format!("{SUMMARY}_{}", self.label),
        }
    }
}

impl<'p> Order<'p> {
    /// The services that run koshu: one for all checks, or one for each check and each group.
    pub fn services(&self) -> Vec<Service<'p>> {
        match self.each {
            true => self.all_of_the_list().collect(),
            false => vec![summary()],
        }
    }

    /// The same for an engine that cannot be told to keep quiet of a service: a group stands for its members.
    pub fn waking(&self) -> Vec<Service<'p>> {
        let mut services = self.services();
        services.retain(|it| !it.is_member);
        services
    }

    /// The services that take results of one run: the summary, every check and every group.
    pub fn passive(&self) -> Vec<Service<'p>> {
        [summary()]
            .into_iter()
            .chain(self.all_of_the_list())
            .collect()
    }

    /// Every check, and then every group.
    fn all_of_the_list(&self) -> impl Iterator<Item = Service<'p>> + use<'p> {
        let groups = &self.plan.groups;
        let members = groups.iter().flat_map(|it| &it.members);
        let members: HashSet<&str> = members.map(String::as_str).collect();
        let checks = self.plan.jobs.iter().map(|it| (&it.name, &it.label));
        let groups = groups.iter().map(|it| (&it.name, &it.label));
        checks.chain(groups).map(move |(name, label)| Service {
            name,
            label,
            check: Some(name),
            is_member: members.contains(name.as_str()),
        })
    }

    /// Whether a service has a check in it whose alarm the next look does not find again: it must be believed at the
    /// first attempt.
    pub fn alarms_once(&self, service: &Service) -> bool {
        let groups = &self.plan.groups;
        let mut names: Vec<&str> = service.check.into_iter().collect();
        let mut at = 0;
        // A list with a loop is refused at load; a member may be in several groups.
        while let Some(name) = names.get(at).copied() {
            let group = groups.iter().find(|it| it.name == name);
            let members = group.iter().flat_map(|it| &it.members).map(String::as_str);
            let new: Vec<&str> = members.filter(|it| !names.contains(it)).collect();
            names.extend(new);
            at += 1;
        }
        let mut jobs = self.plan.jobs.iter();
        jobs.any(|it| {
            it.check.alarms_once() && (service.check.is_none() || names.contains(&it.name.as_str()))
        })
    }

    /// The words of the command that runs a service.
    pub fn words(&self, service: &Service, options: &[&str]) -> Vec<String> {
        let mut words = vec![self.exe.clone(), "run".to_owned()];
        for list in &self.lists {
            words.extend(["-c".to_owned(), list.clone()]);
        }
        words.extend(options.iter().map(|it| (*it).to_owned()));
        // A name may begin as an option does; behind others somebody may want to write options.
        let like_option = service.check.is_some_and(|it| it.starts_with('-'));
        words.extend(like_option.then(|| "--".to_owned()));
        words.extend(service.check.map(str::to_owned));
        words
    }

    /// The command that runs a service, as a line for a shell.
    pub fn line(&self, service: &Service, options: &[&str]) -> String {
        line(&self.words(service, options))
    }

    /// The command that runs all checks, as a line for a shell.
    pub fn all(&self, options: &[&str]) -> String {
        self.line(&summary(), options)
    }

    /// The same in a table of cron, which takes a percent sign for a line end (crontab(5)).
    pub fn cron(&self, options: &[&str]) -> String {
        self.all(options).replace('%', "\\%")
    }
}

fn summary<'p>() -> Service<'p> {
    Service {
        name: SUMMARY,
        label: SUMMARY,
        check: None,
        is_member: false,
    }
}

/// Words as a shell reads them.
fn line(words: &[String]) -> String {
    let words = words.iter().map(String::as_str);
    // Only a NUL cannot be quoted, and no name and no path has one.
    shlex::try_join(words).unwrap_or_default()
}

/// The text of an engine's configuration: one part, or all of them, each under its name.
///
/// # Errors
/// When it has no part of this name, and for a path that no line can hold.
pub fn write(engine: &Engine, part: Option<&str>, order: &Order) -> Result<String, String> {
    let chosen: Vec<&Part> = match part {
        None => engine.parts.iter().collect(),
        Some(name) => engine.parts.iter().filter(|it| it.name == name).collect(),
    };
    if chosen.is_empty() {
        let names: Vec<&str> = engine.parts.iter().map(|it| it.name).collect();
        let text = format!(
            "{} has no part `{}`; expected {}",
            engine.name,
            part.unwrap_or_default(),
            names.join(", ")
        );
        return Err(text);
    }
    let paths = order.lists.iter().chain([&order.exe]);
    if let Some(path) = paths.into_iter().find(|it| it.contains(char::is_control)) {
        return Err(format!(
            "{} has a line end or another control character in its name, which a configuration cannot hold",
            text::clean(path)
        ));
    }
    let mut written = String::new();
    for it in &chosen {
        let is_script = (it.write)(order).starts_with("#!");
        if chosen.len() > 1 {
            written.push_str(&format!(
                "==== {} ({}): {}\n",
                it.name, engine.name, it.file
            ));
        } else if let (Some(mark), false) = (it.comment, is_script) {
            written.push_str(&format!(
                "{mark} {}, written by koshu export {}\n",
                it.file, engine.name
            ));
        }
        written.push_str(&(it.write)(order));
    }
    Ok(written)
}
