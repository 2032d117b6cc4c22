//! One round: a plan is run, what earlier runs saw is brought together with it, and the report is delivered and recorded.

use crate::check::{self, Memories};
use crate::deliver::{self, Parcel, Until};
use crate::format::{Format, Style};
use crate::history::shared::Shared;
use crate::history::{self, Delivery, History, Home, Listed, Wanted};
use crate::host::account;
use crate::model::forecast::{self, Samples};
use crate::model::outcome::{Outcome, UNKNOWN};
use crate::model::quantity;
use crate::model::report::{Looked, Ran, Report};
use crate::model::standing::Standing;
use crate::model::state::State;
use crate::plan::{Job, Pause, Plan, Retention};
use crate::runner::{self, Orders, Progress};
use crate::triage::{self, Looks};
use jiff::tz::TimeZone;
use std::collections::{HashMap, HashSet};
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
    /// Whose rows of it are meant.
    pub listed: Listed,
    pub records: Records,
    pub called: Called,
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

/// Who has called it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Called {
    /// A program, as a scheduler: what it sees is recorded.
    ByProgram,
    /// Somebody at a terminal: it leaves history as it is.
    ByHand,
}

/// Who looks on.
pub struct Watch<'w> {
    /// Told now and then what is going on, where somebody watches.
    pub on_progress: Option<&'w mut dyn FnMut(&Progress)>,
    /// Why the run is to stop at once, if it is.
    pub stop: &'w dyn Fn() -> Option<String>,
}

/// An open file of history with what is to be said of it; none while nothing is recorded and nothing is to be.
type Opened = (Option<History>, Option<String>);

/// What earlier runs saw, or why that is not known.
struct Earlier {
    history: Result<Opened, String>,
    past: Result<HashMap<String, Standing>, String>,
    pauses: Vec<Pause>,
    samples: HashMap<String, HashMap<String, Samples>>,
    /// Whether the run before was ended before it could say what became of its results.
    has_undelivered: bool,
}

/// Where history is and what is meant of it.
#[derive(Clone)]
struct Source {
    state: Option<PathBuf>,
    listed: Listed,
    called: Called,
    at: SystemTime,
}

/// What has ended so long ago is worth a word while it still fails.
const RECENTLY: Duration = Duration::from_secs(86_400);

/// Why there is no history where nobody wants one.
const OFF: &str = "history is switched off";

fn is_off(state: Option<&Path>) -> bool {
    state.is_some_and(|it| it.as_os_str() == "none")
}

/// Where history is.
///
/// # Errors
/// When it is switched off or has no place.
pub fn home(state: Option<&Path>, env: &check::Env) -> Result<Home, String> {
    if is_off(state) {
        return Err(OFF.to_owned());
    }
    let var = |name: &str| {
        let value = env.var(name).filter(|it| !it.is_empty());
        value.map(PathBuf::from)
    };
    Home::of(state, var, &account::own()).map_err(told)
}

/// When the list that is meant when none is given was last run, as far as history goes back; `None` when it never was.
///
/// # Errors
/// When there is a history that cannot be read.
pub fn standard_ran(state: Option<&Path>, env: &check::Env) -> Result<Option<SystemTime>, String> {
    // Where there is no place for a history, there is none.
    let Ok(home) = home(state, env) else {
        return Ok(None);
    };
    let history = History::look(home, Listed::discovered()).map_err(told)?;
    history.map_or(Ok(None), |it| it.standard_ran().map_err(told))
}

impl Source {
    /// Opens the history, or says why there is none. By hand it is only read.
    fn open(&self, env: &check::Env) -> Result<Opened, String> {
        let home = home(self.state.as_deref(), env)?;
        let listed = self.listed.clone();
        let opened = match self.called {
            Called::ByHand => History::look(home, listed).map(|it| (it, None)),
            Called::ByProgram => History::open(home, listed, self.at).map(|it| (Some(it.0), it.1)),
        };
        opened.map_err(told)
    }
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
    let source = Source {
        state: setting.state.map(Path::to_owned),
        listed: setting.listed.clone(),
        called: setting.called,
        at,
    };
    let mut remarks = Vec::new();
    let shared = match is_wanted {
        true => Shared::read().unwrap_or_else(|error| {
            remarks.push(told(error));
            Shared::default()
        }),
        false => Shared::default(),
    };
    // What a check remembers, and whether it is due, must be known before it runs; nothing else must.
    let recalls = |it: &Job| setting.records == Records::Always && it.check.recalls();
    let is_needed = |it: &Job| remembers(it) || recalls(it) || it.every.is_some();
    let opened = match plan.jobs.iter().any(is_needed) {
        _ if !is_wanted => Some(Err("not needed".to_owned())),
        _ if is_off(setting.state) => Some(Err(OFF.to_owned())),
        true => {
            let (env, source) = (env.clone(), source.clone());
            let opening = Pending::start(move || source.open(&env));
            Some(opening.take().and_then(|it| it))
        }
        false => None,
    };
    let opened = match opened {
        // What is malformed inside is set aside like what cannot be opened at all.
        Some(Ok((Some(history), said))) => Some(sound(history, said, &plan, at)),
        opened => opened,
    };
    let (memories, kept) = match &opened {
        Some(opened) => (memories(&plan, opened), kept(&plan, opened, at)),
        None => (Ok(HashMap::new()), HashMap::new()),
    };
    let host = setting.host.unwrap_or(&env.host).to_owned();
    let firsts = firsts(&plan, &memories);
    let recently = at.checked_sub(RECENTLY).unwrap_or(at);
    let common = shared.pauses(&setting.listed, recently, at);
    let run = check::Run::new(env, memories).with_vouched(shared.attested(&setting.listed));
    let shared = Arc::new(run);
    // The file is read while the checks run.
    let reading = match opened {
        Some(Err(why)) => Pending(Err(why)),
        opened => {
            let (run, source) = (shared.clone(), source.clone());
            let names = plan.names().chain([deliver::NAME]).map(str::to_owned);
            let (names, foretold): (Vec<String>, _) = (names.collect(), foretold.clone());
            Pending::start(move || {
                let opened = opened.unwrap_or_else(|| source.open(&run.env));
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
    let mut earlier = reading.take().unwrap_or_else(Earlier::unknown);
    earlier.pauses.extend(common);
    // What was asked for by name is missed by somebody.
    if let (Err(why), true) = (&earlier.history, is_wanted && setting.state.is_some())
        && why != OFF
    {
        let lost = match setting.called {
            Called::ByProgram => "this run is not recorded",
            Called::ByHand => "nothing is known of earlier runs",
        };
        remarks.push(format!("{lost}: {why}"));
    }
    let delivered = earlier.past.as_ref().ok();
    let delivered = delivered.and_then(|it| it.get(deliver::NAME).cloned());
    // To find the zone takes longer than many a check, and only windows are in one.
    let zone = match plan.windows.is_empty() && earlier.pauses.is_empty() {
        true => TimeZone::UTC,
        false => TimeZone::system(),
    };
    let retention = plan.retention;
    let (history, said) = match earlier.history {
        Ok((history, said)) => (
            history.filter(|_| setting.called == Called::ByProgram),
            said,
        ),
        Err(_) => (None, None),
    };
    let looks = match (setting.called, &said) {
        (Called::ByHand, _) => Looks::ByHand,
        // Nothing is known of what the damaged file knew, and the next run may find it damaged again.
        (_, Some(said)) => Looks::Lost(said.clone()),
        (_, None) => Looks::Recorded,
    };
    let known = triage::Setting {
        host,
        at,
        zone,
        origin: setting.origin.clone(),
        pauses: earlier.pauses,
        samples: earlier.samples,
        past: earlier.past,
        looks,
        remarks,
    };
    let mut again = match &history {
        Some(_) if rests_on_recording(&plan, &ran, &firsts) => {
            Some((plan.clone(), ran.clone(), known.clone()))
        }
        _ => None,
    };
    let mut report = triage::report(plan, ran, known);
    // Recorded before anybody is told, so that nothing is told that was not; what of it nobody was told of is so marked.
    let mut recorded = history.map(|history| Recording {
        history,
        wanted: Wanted {
            samples: foretold.iter().map(String::as_str).collect(),
            answers: rare.iter().map(String::as_str).collect(),
        },
        retention,
        delivery: match to.is_empty() {
            true => Delivery::Nobody,
            false => Delivery::ToCome,
        },
    });
    let mut notes: Vec<String> = said.into_iter().collect();
    if let Some(mut recording) = recorded.take() {
        match recording.record(&report) {
            Ok(()) => recorded = Some(recording),
            Err(error) => {
                let is_damaged = history::is_damaged(&error);
                let mut why = format!("this run is not recorded: {error:#}");
                if is_damaged && let Ok((anew, said)) = recording.begin_anew(at) {
                    recorded = Some(anew);
                    why = said;
                }
                if let Some((plan, mut ran, known)) = again.take() {
                    if recorded.is_none() {
                        doubt_firsts(&plan, &mut ran, &firsts, &why);
                    }
                    let looks = Looks::Lost(why.clone());
                    report = triage::report(plan, ran, triage::Setting { looks, ..known });
                }
                if let Some(recording) = &mut recorded
                    && let Err(error) = recording.record(&report)
                {
                    why = format!("{why}; this run is not recorded: {error:#}");
                    recorded = None;
                }
                notes.push(why);
            }
        }
    }
    for note in &notes {
        let entries = report.entries.iter_mut().zip(&needing);
        entries
            .filter(|it| *it.1)
            .for_each(|it| it.0.outcome.detail(note));
    }
    if !to.is_empty() {
        let failed = delivered.as_ref().is_some_and(|it| it.state != State::Ok);
        let parcel = Parcel {
            code: (setting.told)(&report),
            report: Arc::new(report.clone()),
            format: setting.output.0,
            style: setting.output.1,
            again: failed || earlier.has_undelivered,
            run_id,
        };
        let stop = watch.stop;
        let until = Until { end, stop };
        let outcome = match deliver::deliver(&to, &parcel, begun, &shared, until) {
            None if failed => Some(deliver::recovered(&to)),
            outcome => outcome,
        };
        let told = outcome.is_some();
        if let Some(outcome) = outcome {
            triage::add(&mut report, deliver::NAME, outcome, delivered.as_ref());
        }
        if let Some(recording) = &mut recorded {
            let entry = report.entries.last().filter(|_| told);
            // The next run tells everything again then.
            let _ = recording.history.delivered(entry, at);
        }
    }
    report
}

/// A history with what of a run is written into it.
struct Recording<'n> {
    history: History,
    wanted: Wanted<'n>,
    retention: Retention,
    delivery: Delivery,
}

impl<'n> Recording<'n> {
    fn record(&mut self, report: &Report) -> anyhow::Result<()> {
        self.history
            .record(report, &self.wanted, &self.retention, self.delivery)
    }

    /// With the malformed file out of the way, and what is to be said of that.
    fn begin_anew(self, at: SystemTime) -> anyhow::Result<(Recording<'n>, String)> {
        let (history, said) = self.history.begin_anew(at)?;
        Ok((Recording { history, ..self }, said))
    }
}

/// The names of checks that compare with an earlier run, of which there is none.
fn firsts(plan: &Plan, memories: &Memories) -> HashSet<String> {
    let Ok(known) = memories else {
        return HashSet::new();
    };
    let remembering = plan.jobs.iter().filter(|it| it.check.needs_earlier());
    let firsts = remembering.filter(|it| !known.contains_key(&it.name));
    firsts.map(|it| it.name.clone()).collect()
}

/// Whether something would be judged otherwise if this run could not be recorded: what is tolerated until it is
/// confirmed, and what looks for the first time at what it will compare with.
fn rests_on_recording(plan: &Plan, ran: &Ran, firsts: &HashSet<String>) -> bool {
    let mut both = plan.jobs.iter().zip(&ran.looked);
    both.any(|(job, looked)| {
        let may_fail = looked.outcome.state() != State::Ok || job.full_in.is_some();
        (job.confirm.is_some() && may_fail) || is_first(job, looked, firsts)
    })
}

fn is_first(job: &Job, looked: &Looked, firsts: &HashSet<String>) -> bool {
    looked.outcome.memory().is_some() && firsts.contains(&job.name)
}

/// A first look that cannot be remembered is the first one for ever: what compares with it says nothing.
fn doubt_firsts(plan: &Plan, ran: &mut Ran, firsts: &HashSet<String>, why: &str) {
    for (job, looked) in plan.jobs.iter().zip(&mut ran.looked) {
        if is_first(job, looked, firsts) {
            let line = format!("there is nothing to compare with, and will not be: {why}");
            looked.outcome.find(UNKNOWN, State::Unknown, &line);
            let grade = job.grade.get(UNKNOWN);
            grade
                .iter()
                .for_each(|it| looked.outcome.regrade(UNKNOWN, **it));
        }
    }
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
            has_undelivered: false,
        }
    }

    /// No run has been recorded, and this one will not be.
    fn nothing() -> Earlier {
        Earlier {
            history: Ok((None, None)),
            past: Err("no run has been recorded yet".to_owned()),
            ..Earlier::unknown(String::new())
        }
    }
}

/// A history whose memories and answers can be read; one that is malformed there is set aside.
fn sound(
    history: History,
    said: Option<String>,
    plan: &Plan,
    at: SystemTime,
) -> Result<Opened, String> {
    let names = |which: fn(&Job) -> bool| -> Vec<&str> {
        let jobs = plan.jobs.iter().filter(|it| which(it));
        jobs.map(|it| it.name.as_str()).collect()
    };
    let memories = history.memories(&names(compares));
    let answers = history.answers(&names(|it| it.every.is_some()));
    mended(history, said, memories.and(answers).err(), at)
}

/// The history itself, or where reading it has shown that it is damaged, a new one.
fn mended(
    history: History,
    said: Option<String>,
    error: Option<anyhow::Error>,
    at: SystemTime,
) -> Result<Opened, String> {
    match error {
        Some(error) if history::is_damaged(&error) && history.records() => {
            let anew = history.begin_anew(at);
            anew.map(|it| (Some(it.0), Some(it.1))).map_err(told)
        }
        _ => Ok((Some(history), said)),
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
        Ok((None, _)) => return Earlier::nothing(),
        Ok((Some(history), said)) => (history, said),
    };
    let names = || names.iter().map(String::as_str);
    let error = history.standings(names(), at).err();
    let (history, said) = match mended(history, said, error, at) {
        Err(why) => return Earlier::unknown(why),
        Ok((None, _)) => return Earlier::nothing(),
        Ok((Some(history), said)) => (history, said),
    };
    let window = Duration::from_secs_f64(forecast::WINDOW);
    let since = at.checked_sub(window).unwrap_or(SystemTime::UNIX_EPOCH);
    let samples = foretold
        .iter()
        .filter_map(|name| Some((name.clone(), history.samples(name, since, at).ok()?)));
    let recently = at.checked_sub(RECENTLY).unwrap_or(at);
    Earlier {
        past: history.standings(names(), at).map_err(told),
        pauses: history.pauses(recently, at).unwrap_or_default(),
        samples: samples.collect(),
        has_undelivered: history.has_undelivered().unwrap_or_default(),
        history: Ok((Some(history), said)),
    }
}

/// Whether a check wants to know what it saw in an earlier run.
fn compares(job: &Job) -> bool {
    job.check.remembers() || job.check.recalls()
}

/// What the checks of a plan remember.
fn memories(plan: &Plan, opened: &Result<Opened, String>) -> Memories {
    let (history, _) = opened.as_ref().map_err(String::clone)?;
    let Some(history) = history else {
        return Ok(HashMap::new());
    };
    let remembering = plan.jobs.iter().filter(|it| compares(it));
    let names: Vec<&str> = remembering.map(|it| it.name.as_str()).collect();
    history.memories(&names).map_err(told)
}

/// The answers of checks that are not due yet.
fn kept(plan: &Plan, opened: &Result<Opened, String>, at: SystemTime) -> HashMap<String, Looked> {
    let rare = plan.jobs.iter().filter(|it| it.every.is_some());
    let names: Vec<&str> = rare.clone().map(|it| it.name.as_str()).collect();
    let answers = match opened {
        Ok((Some(history), _)) if !names.is_empty() => history.answers(&names).unwrap_or_default(),
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
