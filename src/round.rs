//! One round: a plan is run, what earlier runs saw is brought together with it, and the report is delivered and recorded.

use crate::check::{self, Memories};
use crate::deliver::{self, Parcel, Until};
use crate::format::{Format, Style};
use crate::history::{self, History, Wanted};
use crate::host::account;
use crate::model::forecast::{self, Samples};
use crate::model::outcome::Outcome;
use crate::model::quantity;
use crate::model::report::{Looked, Report};
use crate::model::standing::Standing;
use crate::model::state::State;
use crate::plan::{Job, Pause, Plan};
use crate::runner::{self, Orders, Progress};
use crate::triage;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How a plan is run and recorded.
pub struct Setting<'s> {
    /// The limit of the whole run, delivering included.
    pub deadline: Duration,
    pub parallel: Option<usize>,
    /// What this machine is called in the report.
    pub host: Option<&'s str>,
    /// Where the list came from, when that is not what was asked for.
    pub origin: Option<String>,
    /// The file of history.
    pub state: Option<&'s Path>,
    pub records: Records,
    /// The format and style of destinations that name none.
    pub output: (&'static Format, Style),
    /// The exit code that destinations are told.
    pub told: &'s dyn Fn(&Report) -> u8,
}

/// Which runs are recorded.
#[derive(Clone, Copy, PartialEq)]
pub enum Records {
    /// Those of a list.
    Always,
    /// Those in which a key needs history.
    IfNeeded,
}

/// Who looks on.
pub struct Watch<'w> {
    /// Told now and then what is going on, where somebody watches.
    pub on_progress: Option<&'w mut dyn FnMut(&Progress)>,
    /// Why the run is to stop at once, if it is.
    pub stop: &'w dyn Fn() -> Option<String>,
}

/// An open file of history with what is to be said of it.
type Opened = (History, Option<String>);

/// What earlier runs saw, or why that is not known.
struct Earlier {
    history: Result<Opened, String>,
    past: Result<HashMap<String, Standing>, String>,
    pauses: Vec<Pause>,
    samples: HashMap<String, HashMap<String, Samples>>,
}

/// What has ended so long ago is worth a word while it still fails.
const RECENTLY: Duration = Duration::from_secs(86_400);

/// Why there is no history where nobody wants one.
const OFF: &str = "history is switched off";

fn is_off(state: Option<&Path>) -> bool {
    state.is_some_and(|it| it.as_os_str() == "none")
}

/// Opens the history, or says why there is none.
///
/// # Errors
/// When it is switched off, has no place or cannot be opened.
pub fn open(state: Option<&Path>, env: &check::Env, at: SystemTime) -> Result<Opened, String> {
    if is_off(state) {
        return Err(OFF.to_owned());
    }
    let var = |name: &str| {
        let value = env.var(name).filter(|it| !it.is_empty());
        value.map(PathBuf::from)
    };
    let place = history::place(state, var, &account::own());
    let opened = place.and_then(|it| History::open(&it, at));
    opened.map_err(told)
}

fn told(error: anyhow::Error) -> String {
    format!("{error:#}")
}

/// Runs a plan, delivers the report and records it.
pub fn run(
    mut plan: Plan,
    env: check::Env,
    at: SystemTime,
    setting: &Setting,
    watch: Watch,
) -> Report {
    let end = Instant::now() + setting.deadline;
    let remembers = |it: &Job| it.check.remembers();
    let needs = |it: &Job| remembers(it) || it.confirm.is_some() || it.full_in.is_some();
    let needing: Vec<bool> = plan
        .jobs
        .iter()
        .map(|it| needs(it) || it.every.is_some())
        .collect();
    let named = |which: fn(&Job) -> bool| -> Vec<String> {
        let jobs = plan.jobs.iter().filter(|it| which(it));
        jobs.map(|it| it.name.clone()).collect()
    };
    let foretold = named(|it| it.full_in.is_some());
    let rare = named(|it| it.every.is_some());
    let is_wanted = setting.records == Records::Always || needing.contains(&true);
    // What a check remembers, and whether it is due, must be known before it runs; nothing else must.
    let opened = match plan.jobs.iter().any(remembers) || !rare.is_empty() {
        _ if !is_wanted => Some(Err("not needed".to_owned())),
        _ if is_off(setting.state) => Some(Err(OFF.to_owned())),
        true => {
            let (env, state) = (env.clone(), setting.state.map(Path::to_owned));
            let opening = Pending::start(move || open(state.as_deref(), &env, at));
            Some(opening.take().and_then(|it| it))
        }
        false => None,
    };
    let (memories, kept) = match &opened {
        Some(opened) => (memories(&plan, opened), kept(&plan, opened, at)),
        None => (Ok(HashMap::new()), HashMap::new()),
    };
    let host = setting.host.unwrap_or(&env.host).to_owned();
    let shared = Arc::new(check::Run::new(env, memories));
    // The file is read while the checks run.
    let reading = match opened {
        Some(Err(why)) => Pending(Err(why)),
        opened => {
            let (run, state) = (shared.clone(), setting.state.map(Path::to_owned));
            let names = plan.names().chain([deliver::NAME]).map(str::to_owned);
            let (names, foretold): (Vec<String>, _) = (names.collect(), foretold.clone());
            Pending::start(move || {
                let opened = opened.unwrap_or_else(|| open(state.as_deref(), &run.env, at));
                load(opened, &names, &foretold, at)
            })
        }
    };
    let to = std::mem::take(&mut plan.to);
    // It only tells two runs apart, so that a machine without random numbers still delivers.
    let run_id = deliver::run_id().unwrap_or_default();
    let begun = deliver::begin(&to, &run_id, &shared, at);
    let for_delivery = deliver::kept(&to, setting.deadline);
    let seconds = |it: Duration| quantity::seconds(it.as_secs_f64());
    let limit = match for_delivery.is_zero() {
        true => seconds(setting.deadline),
        false => format!(
            "{}, less {} to deliver,",
            seconds(setting.deadline),
            seconds(for_delivery)
        ),
    };
    let orders = Orders {
        run: shared.clone(),
        at,
        end: end - for_delivery,
        limit,
        parallel: setting.parallel,
        on_progress: watch.on_progress,
        stop: watch.stop,
    };
    let due = plan.jobs.iter().filter(|it| !kept.contains_key(&it.name));
    let mut ran = runner::run(due.cloned().collect(), orders);
    // What a check that was cut off has started must not go on without it.
    shared.children.end();
    // Between those that were looked at stand those that were not due.
    let mut looked = ran.looked.into_iter();
    let all = plan
        .jobs
        .iter()
        .filter_map(|it| kept.get(&it.name).cloned().or_else(|| looked.next()));
    ran.looked = all.collect();
    let earlier = reading.take().unwrap_or_else(Earlier::unknown);
    let mut history = earlier.history;
    let delivered = earlier.past.as_ref().ok();
    let delivered = delivered.and_then(|it| it.get(deliver::NAME).cloned());
    // To find the zone takes longer than many a check, and only windows are in one.
    let zone = match plan.windows.is_empty() && earlier.pauses.is_empty() {
        true => TimeZone::UTC,
        false => TimeZone::system(),
    };
    let retention = plan.retention;
    let mut report = triage::report(
        plan,
        ran,
        triage::Setting {
            host,
            at,
            zone,
            origin: setting.origin.clone(),
            pauses: earlier.pauses,
            samples: earlier.samples,
            past: earlier.past,
        },
    );
    if !to.is_empty() {
        let failed = delivered.as_ref().is_some_and(|it| it.state != State::Ok);
        let parcel = Parcel {
            code: (setting.told)(&report),
            report: Arc::new(report.clone()),
            format: setting.output.0,
            style: setting.output.1,
            again: failed,
            run_id,
        };
        let stop = watch.stop;
        let until = Until { end, stop };
        let outcome = match deliver::deliver(&to, &parcel, begun, &shared, until) {
            None if failed => Some(deliver::recovered(&to)),
            outcome => outcome,
        };
        if let Some(outcome) = outcome {
            triage::add(&mut report, deliver::NAME, outcome, delivered.as_ref());
        }
    }
    // Recorded before it is printed, so that nothing is printed that was not; and after it is delivered, so that a
    // change that nobody was told of is one in the next run, too.
    if let Ok((history, said)) = &mut history {
        let wanted = Wanted {
            samples: foretold.iter().map(String::as_str).collect(),
            answers: rare.iter().map(String::as_str).collect(),
        };
        let failed = history.record(&report, &wanted, &retention).err();
        let failed = failed.map(|it| format!("this run is not recorded: {it:#}"));
        for line in said.iter().chain(&failed) {
            let entries = report.entries.iter_mut().zip(&needing);
            entries
                .filter(|it| *it.1)
                .for_each(|it| it.0.outcome.detail(line));
        }
    }
    report
}

/// Work of another thread, which is left behind when it hangs in the kernel.
struct Pending<T>(Result<Receiver<T>, String>);

/// How long history is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

impl<T: Send + 'static> Pending<T> {
    fn start(work: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let (done, result) = mpsc::channel();
        let reader = thread::Builder::new().name("history".to_owned());
        let started = reader.spawn(move || {
            // Whoever waited may have gone.
            let _ = done.send(work());
        });
        Pending(started.map(|_| result).map_err(|it| it.to_string()))
    }

    fn take(self) -> Result<T, String> {
        let result = self.0?.recv_timeout(PATIENCE);
        result.map_err(|it| match it {
            RecvTimeoutError::Timeout => "the history does not answer".to_owned(),
            RecvTimeoutError::Disconnected => "internal error while history was read".to_owned(),
        })
    }
}

impl Earlier {
    /// Nothing is known, and why.
    fn unknown(why: String) -> Earlier {
        Earlier {
            history: Err(why.clone()),
            past: Err(why),
            pauses: Vec::new(),
            samples: HashMap::new(),
        }
    }
}

/// Reads what triage wants to know.
fn load(
    opened: Result<Opened, String>,
    names: &[String],
    foretold: &[String],
    at: SystemTime,
) -> Earlier {
    let (history, said) = match opened {
        Err(why) => return Earlier::unknown(why),
        Ok(opened) => opened,
    };
    let window = Duration::from_secs_f64(forecast::WINDOW);
    let since = at.checked_sub(window).unwrap_or(SystemTime::UNIX_EPOCH);
    let samples = foretold
        .iter()
        .filter_map(|name| Some((name.clone(), history.samples(name, since).ok()?)));
    let recently = at.checked_sub(RECENTLY).unwrap_or(at);
    Earlier {
        past: history
            .standings(names.iter().map(String::as_str))
            .map_err(told),
        pauses: history.pauses(recently).unwrap_or_default(),
        samples: samples.collect(),
        history: Ok((history, said)),
    }
}

/// What the checks of a plan remember.
fn memories(plan: &Plan, opened: &Result<Opened, String>) -> Memories {
    let (history, _) = opened.as_ref().map_err(String::clone)?;
    let remembering = plan.jobs.iter().filter(|it| it.check.remembers());
    let names: Vec<&str> = remembering.map(|it| it.name.as_str()).collect();
    history.memories(&names).map_err(told)
}

/// The answers of checks that are not due yet.
fn kept(plan: &Plan, opened: &Result<Opened, String>, at: SystemTime) -> HashMap<String, Looked> {
    let rare = plan.jobs.iter().filter(|it| it.every.is_some());
    let names: Vec<&str> = rare.clone().map(|it| it.name.as_str()).collect();
    let answers = match opened {
        Ok((history, _)) if !names.is_empty() => history.answers(&names).unwrap_or_default(),
        _ => HashMap::new(),
    };
    let kept = rare.filter_map(|job| {
        let answer = answers.get(&job.name)?;
        // An answer from the future is none.
        let age = at.duration_since(answer.at).ok()?;
        let looked = Looked {
            outcome: Outcome::from_value(&answer.value)?,
            took: Duration::ZERO,
            age: Some(age),
        };
        (age < job.every?).then(|| (job.name.clone(), looked))
    });
    kept.collect()
}
