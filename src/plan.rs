//! What is to be run: jobs, and which of them run this time.

use crate::check::{Check, Type};
use crate::model::name;
use crate::model::state::State;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One check with all that is common to checks.
#[derive(Clone)]
pub struct Job {
    pub name: String,
    /// What the name becomes in perfdata.
    pub label: String,
    pub kind: &'static Type,
    pub check: Arc<dyn Check>,
    /// The limit of the check's own I/O, for each look.
    pub timeout: Duration,
    /// The state of a check that does not answer in time.
    pub late: State,
    pub retry: Retry,
    pub tags: Vec<String>,
    /// Patterns of host names; empty runs everywhere.
    pub hosts: Vec<String>,
    pub grade: BTreeMap<String, State>,
    pub owner: Option<String>,
    pub action: Option<String>,
    pub runbook: Option<String>,
    /// The folder from which relative paths count.
    pub base: PathBuf,
}

/// How often to look again in the same run after a failure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retry {
    pub times: u32,
    pub wait: Duration,
}

/// All that is to be run, in the order of the list.
#[derive(Clone, Default)]
pub struct Plan {
    pub jobs: Vec<Job>,
}

impl Plan {
    /// Only the jobs whose `hosts` match this machine's name, whole or up to its first dot.
    ///
    /// # Errors
    /// When none is left: a list that checks nothing must not look like one that is fine.
    pub fn on(mut self, host: &str) -> Result<Plan, String> {
        let short = host.split('.').next().unwrap_or(host);
        let here = |pattern: &String| name::matches(pattern, host) || name::matches(pattern, short);
        let listed = self.jobs.len();
        self.jobs
            .retain(|job| job.hosts.is_empty() || job.hosts.iter().any(here));
        match (listed, self.jobs.is_empty()) {
            (1.., true) => Err(format!(
                "none of the {listed} checks is for this host, {host}"
            )),
            _ => Ok(self),
        }
    }

    /// Only the jobs that one of the words selects: an exact name, else a pattern, or `tag:PATTERN`.
    ///
    /// # Errors
    /// When a word selects nothing; the message has the nearest name.
    pub fn select(mut self, words: &[String]) -> Result<Plan, String> {
        if words.is_empty() {
            return Ok(self);
        }
        let mut chosen = vec![false; self.jobs.len()];
        for word in words {
            let exact = self.jobs.iter().any(|job| job.name == *word);
            let fits = |job: &Job| match word.strip_prefix("tag:") {
                _ if exact => job.name == *word,
                Some(tag) => job.tags.iter().any(|it| name::matches(tag, it)),
                None => name::matches(word, &job.name),
            };
            let hits: Vec<usize> = (0..self.jobs.len())
                .filter(|it| fits(&self.jobs[*it]))
                .collect();
            if hits.is_empty() {
                return Err(self.no_such(word));
            }
            hits.into_iter().for_each(|it| chosen[it] = true);
        }
        let mut keep = chosen.into_iter();
        self.jobs.retain(|_| keep.next().unwrap_or(false));
        Ok(self)
    }

    fn no_such(&self, word: &str) -> String {
        let tags = self.jobs.iter().flat_map(|job| &job.tags);
        let (what, near) = match word.strip_prefix("tag:") {
            Some(tag) => (
                "no check has a tag that matches",
                name::nearest(tag, tags.map(String::as_str)).map(|it| format!("tag:{it}")),
            ),
            None => (
                "no check is called",
                name::nearest(word, self.jobs.iter().map(|job| job.name.as_str()))
                    .map(str::to_owned),
            ),
        };
        match near {
            Some(near) => format!("{what} `{word}`, did you mean `{near}`?"),
            None => format!("{what} `{word}`"),
        }
    }
}
