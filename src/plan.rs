//! What is to be run: jobs, which of them run this time, and how they hang together.

use crate::check::{Author, Check, Type};
use crate::deliver::Destination;
use crate::model::calendar::When;
use crate::model::limits::{Limits, Until, Up};
use crate::model::name;
use crate::model::standing::Confirm;
use crate::model::state::State;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// One check with all that is common to checks.
#[derive(Clone)]
pub struct Job {
    pub name: String,
    /// What the name becomes in perfdata.
    pub label: String,
    pub kind: &'static Type,
    /// What it looks at, as its list says it.
    pub target: String,
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
    /// Names of checks and groups without which it says nothing.
    pub needs: Vec<String>,
    /// How much failing it takes to be believed.
    pub confirm: Option<Confirm>,
    /// How long an answer holds before it is looked at again.
    pub every: Option<Duration>,
    /// Limits of the time until something of it is full.
    pub full_in: Option<Limits<Until>>,
    /// The ceiling of its state.
    pub at_most: Option<State>,
    pub owner: Option<String>,
    pub action: Option<String>,
    pub runbook: Option<String>,
    /// The folder from which relative paths count.
    pub base: PathBuf,
    pub author: Author,
}

impl Job {
    /// A job of this name and nothing else that a list could say.
    pub fn new(name: &str, kind: &'static Type, check: Arc<dyn Check>) -> Job {
        Job {
            name: name.to_owned(),
            label: name::label(name),
            kind,
            target: String::new(),
            check,
            timeout: TIMEOUT,
            late: State::Critical,
            retry: Retry::default(),
            tags: Vec::new(),
            hosts: Vec::new(),
            grade: BTreeMap::new(),
            needs: Vec::new(),
            confirm: None,
            every: None,
            full_in: None,
            at_most: None,
            owner: None,
            action: None,
            runbook: None,
            base: PathBuf::new(),
            author: Author::Caller,
        }
    }
}

/// The timeout of a check that names none: below check_nrpe's 10 s.
const TIMEOUT: Duration = Duration::from_secs(8);

/// How often to look again in the same run after a failure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retry {
    pub times: u32,
    pub wait: Duration,
}

/// Checks and groups that are judged together, not one by one.
#[derive(Clone)]
pub struct Group {
    pub name: String,
    pub label: String,
    /// Names of checks and other groups.
    pub members: Vec<String>,
    pub up: Limits<Up>,
    /// The worst state of a member that is still up.
    pub least: State,
    pub tags: Vec<String>,
    pub at_most: Option<State>,
    pub owner: Option<String>,
    pub action: Option<String>,
    pub runbook: Option<String>,
}

/// A time in which states have a ceiling.
#[derive(Clone)]
pub struct Window {
    pub name: String,
    pub when: When,
    /// Where the times are those of the clock; without it, here.
    pub zone: Option<TimeZone>,
    /// Names, patterns of names and `tag:PATTERN`; empty means everything.
    pub matches: Vec<String>,
    pub at_most: State,
}

/// What somebody has paused for a time, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Pause {
    /// A name, a pattern of names or `tag:PATTERN`.
    pub pattern: String,
    pub since: SystemTime,
    pub until: SystemTime,
    pub because: String,
}

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention {
    pub age: Duration,
    /// About how large the file may become.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            age: Duration::from_secs(90 * 86_400),
            bytes: 64 << 20,
        }
    }
}

/// All that is to be run, in the order of the list, and how it hangs together.
#[derive(Clone, Default)]
pub struct Plan {
    pub jobs: Vec<Job>,
    pub groups: Vec<Group>,
    pub windows: Vec<Window>,
    /// Where results go besides stdout.
    pub to: Vec<Destination>,
    pub retention: Retention,
}

/// Numbers in an order in which each comes after those that it rests upon, or some that form a loop.
///
/// # Errors
/// The loop, its first number again at the end.
pub fn sorted(links: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut open: Vec<usize> = links.iter().map(Vec::len).collect();
    let mut above: Vec<Vec<usize>> = vec![Vec::new(); links.len()];
    for (number, below) in links.iter().enumerate() {
        below.iter().for_each(|it| above[*it].push(number));
    }
    let mut order: Vec<usize> = (0..links.len()).filter(|it| open[*it] == 0).collect();
    let mut next = 0;
    while let Some(number) = order.get(next).copied() {
        next += 1;
        for it in &above[number] {
            open[*it] -= 1;
            if open[*it] == 0 {
                order.push(*it);
            }
        }
    }
    let Some(first) = open.iter().position(|it| *it > 0) else {
        return Ok(order);
    };
    // Whoever is left rests upon somebody who is left.
    let mut path = vec![first];
    let mut steps: Vec<Option<usize>> = vec![None; links.len()];
    loop {
        let last = path[path.len() - 1];
        steps[last] = Some(path.len() - 1);
        let Some(below) = links[last].iter().copied().find(|it| open[*it] > 0) else {
            return Err(path);
        };
        path.push(below);
        if let Some(start) = steps[below] {
            return Err(path.split_off(start));
        }
    }
}

/// What words mean among the names of checks and groups; made once for many words.
pub struct Meaning<'p> {
    names: Vec<&'p str>,
    numbers: HashMap<&'p str, usize>,
    /// The numbers of the names in the order of the alphabet, so that a pattern is only compared with names that
    /// begin as it does.
    sorted: Vec<usize>,
    tags: BTreeMap<&'p str, Vec<usize>>,
    /// What was asked for already.
    known: HashMap<String, Vec<usize>>,
}

impl<'p> Meaning<'p> {
    /// Among the names of all checks of a plan, then those of all groups.
    pub fn of(plan: &'p Plan) -> Meaning<'p> {
        Meaning::among(plan.names(), plan.tags())
    }

    /// Among names and the tags of each.
    pub fn among(
        names: impl Iterator<Item = &'p str>,
        all_tags: impl Iterator<Item = &'p [String]>,
    ) -> Meaning<'p> {
        let names: Vec<&str> = names.collect();
        let mut sorted: Vec<usize> = (0..names.len()).collect();
        sorted.sort_by_key(|it| names[*it]);
        let mut tags: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (number, all) in all_tags.enumerate() {
            for tag in all {
                tags.entry(tag).or_default().push(number);
            }
        }
        Meaning {
            numbers: names
                .iter()
                .enumerate()
                .map(|(number, it)| (*it, number))
                .collect(),
            names,
            sorted,
            tags,
            known: HashMap::new(),
        }
    }

    /// How many names there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// The name of this number.
    pub fn name(&self, number: usize) -> &'p str {
        self.names[number]
    }

    /// Whether something is called so.
    pub fn knows(&self, name: &str) -> bool {
        self.numbers.contains_key(name)
    }

    /// The numbers of the names that a word means, in their order: an exact name, else a pattern of names or `tag:PATTERN`.
    pub fn meant(&mut self, word: &str) -> Vec<usize> {
        if let Some(number) = self.numbers.get(word) {
            return vec![*number];
        }
        if let Some(known) = self.known.get(word) {
            return known.clone();
        }
        let mut found = match word.strip_prefix("tag:") {
            Some(tag) => self.tagged(tag),
            None => self.matching(word),
        };
        found.sort_unstable();
        found.dedup();
        self.known.insert(word.to_owned(), found.clone());
        found
    }

    fn tagged(&self, pattern: &str) -> Vec<usize> {
        let glob = Glob::of(pattern);
        let tags = self.tags.iter().filter(|it| glob.matches(it.0));
        tags.flat_map(|it| it.1.iter().copied()).collect()
    }

    fn matching(&self, pattern: &str) -> Vec<usize> {
        let glob = Glob::of(pattern);
        let start = self
            .sorted
            .partition_point(|it| self.names[*it] < glob.begin);
        let from = self.sorted[start..].iter().copied();
        let same = from.take_while(|it| self.names[*it].starts_with(glob.begin));
        same.filter(|it| glob.matches(self.names[*it])).collect()
    }
}

/// A pattern that is compared with many names.
struct Glob<'w> {
    /// What a name begins and ends with, whatever stands between.
    begin: &'w str,
    end: &'w str,
    pattern: Option<glob::Pattern>,
}

impl<'w> Glob<'w> {
    fn of(word: &'w str) -> Glob<'w> {
        let end = word.rfind(['*', '?', ']']).map_or(0, |it| it + 1);
        Glob {
            begin: &word[..word.find(['*', '?', '[']).unwrap_or(word.len())],
            end: &word[end..],
            pattern: glob::Pattern::new(word).ok(),
        }
    }

    fn matches(&self, name: &str) -> bool {
        name.ends_with(self.end) && self.pattern.as_ref().is_some_and(|it| it.matches(name))
    }
}

impl Plan {
    /// What each rests upon, by number: checks first, then groups. What is not in the plan is left out.
    pub fn links(&self) -> Vec<Vec<usize>> {
        let names = self.names();
        let numbers: HashMap<&str, usize> =
            names.enumerate().map(|(number, it)| (it, number)).collect();
        let of = |words: &[String]| {
            let found = words
                .iter()
                .filter_map(|it| numbers.get(it.as_str()).copied());
            found.collect()
        };
        let jobs = self.jobs.iter().map(|it| of(&it.needs));
        jobs.chain(self.groups.iter().map(|it| of(&it.members)))
            .collect()
    }

    /// The names of all checks, then those of all groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let jobs = self.jobs.iter().map(|it| it.name.as_str());
        jobs.chain(self.groups.iter().map(|it| it.name.as_str()))
    }

    /// The tags of all checks, then those of all groups.
    fn tags(&self) -> impl Iterator<Item = &[String]> {
        let jobs = self.jobs.iter().map(|it| it.tags.as_slice());
        jobs.chain(self.groups.iter().map(|it| it.tags.as_slice()))
    }

    /// The names that a word means, an exact name before a pattern.
    pub fn meant(&self, word: &str) -> Vec<String> {
        let mut meaning = Meaning::of(self);
        let meant = meaning.meant(word).into_iter();
        meant.map(|it| meaning.name(it).to_owned()).collect()
    }

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

    /// Only the jobs that one of the words selects, by an exact name, else a pattern, or `tag:PATTERN`; a group
    /// stands for its members.
    ///
    /// # Errors
    /// When a word selects nothing; the message has the nearest name.
    pub fn select(mut self, words: &[String]) -> Result<Plan, String> {
        if words.is_empty() {
            return Ok(self);
        }
        let mut chosen = vec![false; self.jobs.len() + self.groups.len()];
        let mut meaning = Meaning::of(&self);
        for word in words {
            let hits = meaning.meant(word);
            if hits.is_empty() {
                return Err(self.no_such(word));
            }
            hits.into_iter().for_each(|it| chosen[it] = true);
        }
        drop(meaning);
        let links = self.links();
        // Groups before their members.
        for number in sorted(&links).unwrap_or_default().into_iter().rev() {
            if chosen[number] && number >= self.jobs.len() {
                links[number].iter().for_each(|it| chosen[*it] = true);
            }
        }
        let mut keep = chosen.into_iter();
        self.jobs.retain(|_| keep.next().unwrap_or(false));
        Ok(self)
    }

    /// The word that means something and is nearest to one that does not.
    pub fn near(&self, word: &str) -> Option<String> {
        let tags = self.tags().flatten().map(String::as_str);
        match word.strip_prefix("tag:") {
            Some(tag) => name::nearest(tag, tags).map(|it| format!("tag:{it}")),
            None => name::nearest(word, self.names()).map(str::to_owned),
        }
    }

    /// Why a word of the command line selects nothing.
    pub fn no_such(&self, word: &str) -> String {
        let what = match word.starts_with("tag:") {
            true => "no check has a tag that matches",
            false => "no check is called",
        };
        match self.near(word) {
            _ if word.ends_with(".toml") => {
                format!("{what} `{word}`; a list is named with -c: koshu run -c {word}")
            }
            Some(near) => format!("{what} `{word}`, did you mean `{near}`?"),
            None => format!("{what} `{word}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_or_a_loop_is_found() {
        assert_eq!(sorted(&[vec![1], vec![2], vec![]]), Ok(vec![2, 1, 0]));
        assert_eq!(sorted(&[vec![], vec![2], vec![1]]), Err(vec![1, 2, 1]));
        assert_eq!(sorted(&[vec![0]]), Err(vec![0, 0]));
        assert_eq!(sorted(&[vec![1], vec![2], vec![1]]), Err(vec![1, 2, 1]));
    }
}
