//! argv → exit code; the only file that prints, exits, or reads the environment and the clock.
//!
//! The program is one straight line, `argv → Plan → run → [Outcome] → triage → Report → format → bytes →
//! exit code`, and a few constant tables: `check::TYPES` (what can be checked), `dropin::DROPINS` (whose
//! command lines are accepted) and `format::FORMATS` (how a report is written). Modules look strictly
//! downward: main > discover, past > cli, manual > config, dropin, export,
//! runner > triage, history > plan > deliver > check > host > net, format > model;
//! `tests/layers.rs` keeps it so.

mod check;
mod cli;
mod config;
mod deliver;
mod discover;
mod dropin;
mod export;
mod format;
mod history;
mod host;
mod manual;
mod model;
mod net;
mod past;
mod plan;
mod runner;
mod triage;

use crate::check::disk::helper;
use crate::check::review;
use crate::cli::{
    AdHoc, Attest, Cli, Command, Exit, ExportArgs, Lists, Options, Page, PastArgs, PauseArgs,
    Print, ResumeArgs, Schema,
};
use crate::config::{Mistakes, Source};
use crate::deliver::{Destination, Parcel};
use crate::dropin::Dropin;
use crate::export::{Engine, Order};
use crate::format::{Failure, Format, Style};
use crate::history::{History, Wanted};
use crate::host::Roots;
use crate::model::outcome::Outcome;
use crate::model::report::{Looked, Report};
use crate::model::state::State;
use crate::plan::Plan;
use crate::runner::{Orders, Progress};
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Where lists are looked for when none is given.
const LISTS: &str = "/etc/koshu";

fn main() {
    // A panic is told as a result, never on stderr, which some engines take for the status line.
    std::panic::set_hook(Box::new(|_| ()));
    let code = std::panic::catch_unwind(answer).unwrap_or_else(|_| {
        print(
            b"UNKNOWN - internal error in koshu\n",
            State::Unknown.code(),
        )
    });
    // Workers that hang are not waited for.
    std::process::exit(code.into());
}

/// The answer to the whole command line.
fn answer() -> u8 {
    let words: Vec<String> = std::env::args_os()
        .map(|it| it.to_string_lossy().into_owned())
        .collect();
    if words.get(1).is_some_and(|it| it == helper::WORD) {
        let paths: Vec<PathBuf> = std::env::args_os().skip(2).map(PathBuf::from).collect();
        let served = helper::serve(&paths, &mut io::stdout());
        return if served.is_ok() {
            0
        } else {
            State::Unknown.code()
        };
    }
    let called = words.first().map(Path::new).and_then(Path::file_name);
    let called = called.and_then(|it| it.to_str()).unwrap_or_default();
    if let Some(dropin) = Dropin::named(called) {
        return classic(dropin, &words[1..]);
    }
    if let Some(dropin) = words.get(1).and_then(|it| Dropin::named(it)) {
        return classic(dropin, &words[2..]);
    }
    match cli::parse(&words) {
        Ok(cli) => koshu(cli),
        Err(error) => usage(&error),
    }
}

/// Help and version are answers; everything else that the arguments are not is UNKNOWN on stdout.
fn usage(error: &clap::Error) -> u8 {
    let text = error.to_string();
    if !error.use_stderr() {
        return print(text.as_bytes(), 0);
    }
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let failure = Failure {
        details: rest.trim_start().to_owned(),
        ..failure(first.trim_start_matches("error: "))
    };
    fail(&failure, &format::FORMATS[0])
}

/// koshu's own commands.
fn koshu(cli: Cli) -> u8 {
    match cli.command {
        Command::Run(run) => {
            match lists(&run.lists).and_then(|it| Ok((config::parse(&it.0)?, it.1))) {
                Err(mistakes) => wrong(&mistakes, &run.options),
                Ok((plan, origin)) => {
                    let env = env();
                    let chosen = plan.on(&env.host).and_then(|it| it.select(&run.names));
                    match chosen {
                        Ok(plan) => {
                            let setting = Setting::new(&run.options, origin, Records::Always);
                            execute(plan, env, &run.options, setting)
                        }
                        Err(text) => refuse(&text, &run.options),
                    }
                }
            }
        }
        Command::AdHoc(ad_hoc) => one(&ad_hoc),
        Command::List(given) => tell(lists(&given).and_then(|(sources, origin)| {
            let plan = config::parse(&sources)?;
            Ok(manual::listed(&plan, &env().host, origin.as_deref()))
        })),
        Command::Validate(given) => tell(lists(&given).and_then(|(sources, origin)| {
            let (plan, warnings) = config::validate(&sources)?;
            Ok(manual::validated(
                &plan,
                &sources,
                &warnings,
                origin.as_deref(),
            ))
        })),
        Command::Explain { topic } => match manual::explain(topic.as_deref()) {
            Ok(text) => print(text.as_bytes(), 0),
            Err(text) => fail(&failure(&text), &format::FORMATS[0]),
        },
        Command::Attest(attestation) => attest(&attestation),
        Command::History(given) => past(&given),
        Command::Pause(given) => pause(&given),
        Command::Resume(given) => resume(&given),
        Command::Discover { diff: false, .. } => print(discovered().text.as_bytes(), 0),
        Command::Discover { diff: true, lists } => differing(&lists),
        Command::Export(given) => exported(&given),
        Command::Schema { of } => {
            let schema = match of {
                Schema::List => manual::schema::list(),
                Schema::Report => manual::schema::report(),
            };
            print(format!("{schema:#}\n").as_bytes(), 0)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "koshu", &mut script);
            print(&script, 0)
        }
        Command::Man { page } => {
            let page = match page {
                Page::Command => manual::pages::command(cli::command()),
                Page::List => manual::pages::list(),
                Page::Engines => manual::pages::engines(),
            };
            print(page.as_bytes(), 0)
        }
    }
}

/// The lists to read, and where they came from when nobody named them.
fn lists(given: &Lists) -> Result<(Vec<Source>, Option<String>), Mistakes> {
    if !given.config.is_empty() {
        return Ok((config::read(&given.config)?, None));
    }
    let default = PathBuf::from(LISTS);
    let configured = match std::fs::read_dir(&default) {
        Err(error) => error.kind() != io::ErrorKind::NotFound,
        Ok(entries) => entries
            .flatten()
            .any(|it| it.path().extension().is_some_and(|it| it == "toml")),
    };
    match configured {
        true => Ok((config::read(&[default])?, None)),
        false => {
            let origin = format!(
                "there is no list in {LISTS}, so what koshu discover finds on this host was checked"
            );
            Ok((vec![discovered()], Some(origin)))
        }
    }
}

/// The list of what is found on this host.
fn discovered() -> Source {
    let run = Arc::new(check::Run::new(env(), Err("not needed".to_owned())));
    discover::list(&run, SystemTime::now())
}

/// What is new and gone on this host since a list was written.
fn differing(given: &Lists) -> u8 {
    let paths = match given.config.is_empty() {
        true => vec![PathBuf::from(LISTS)],
        false => given.config.clone(),
    };
    let sources = config::read(&paths).and_then(|it| config::parse(&it).map(|_| it));
    match sources {
        Err(mistakes) => fail(&told(&mistakes), &format::FORMATS[0]),
        Ok(sources) => {
            let run = Arc::new(check::Run::new(env(), Err("not needed".to_owned())));
            let (state, text) = discover::difference(&sources, &run, SystemTime::now());
            print(text.as_bytes(), state.code())
        }
    }
}

/// Another program's configuration.
fn exported(given: &ExportArgs) -> u8 {
    let refused = |text: &str| fail(&failure(text), &format::FORMATS[0]);
    let Some(engine) = Engine::named(&given.engine) else {
        return refused("no such engine");
    };
    let plan = lists(&given.lists).and_then(|it| config::parse(&it.0));
    let host = host();
    let plan = match plan {
        Err(mistakes) => return fail(&told(&mistakes), &format::FORMATS[0]),
        Ok(plan) => match plan.on(&host) {
            Err(text) => return refused(&text),
            Ok(plan) => plan,
        },
    };
    // Whoever runs it may stand in another folder.
    let whole = |it: &PathBuf| std::path::absolute(it).unwrap_or_else(|_| it.clone());
    let shown = |it: PathBuf| it.to_string_lossy().into_owned();
    let exe = std::env::current_exe().map_or_else(|_| "/usr/local/bin/koshu".to_owned(), shown);
    let order = Order {
        exe,
        lists: given.lists.config.iter().map(whole).map(shown).collect(),
        host: given.host.clone().unwrap_or(host),
        plan: &plan,
        each: given.each,
    };
    match export::write(engine, given.part.as_deref(), &order) {
        Ok(text) => print(text.as_bytes(), 0),
        Err(text) => refused(&text),
    }
}

/// One check without a list.
fn one(ad_hoc: &AdHoc) -> u8 {
    let base = std::env::current_dir().unwrap_or_default();
    match Source::ad_hoc(ad_hoc.kind, &ad_hoc.words, base) {
        Err(text) => refuse(&text, &ad_hoc.options),
        Ok(source) => match config::parse(&[source]) {
            Err(mistakes) => wrong(&mistakes, &ad_hoc.options),
            Ok(plan) => {
                let setting = Setting::new(&ad_hoc.options, None, Records::IfNeeded);
                execute(plan, env(), &ad_hoc.options, setting)
            }
        },
    }
}

/// Runs a plan, delivers the report and prints it.
fn execute(mut plan: Plan, env: check::Env, options: &Options, mut setting: Setting) -> u8 {
    let format = format(options);
    let style = style(options, &env);
    match destinations(options) {
        Ok(more) => plan.to.extend(more),
        Err(text) => return fail(&failure(&text), format),
    }
    if plan.to.iter().any(|it| it.on == deliver::On::Change) {
        setting.records = Records::Always;
    }
    setting.output = (format, style);
    // Whoever is told of the run is told its state, unless another policy was asked for.
    let told = options.exit.unwrap_or(Exit::State);
    let report = run(plan, env, &setting, &|report| told.code(report.state()));
    let default = match format.exits_with_state {
        true => Exit::State,
        false => Exit::Zero,
    };
    let exit = options.exit.unwrap_or(default);
    let code = match report.stopped {
        Some(_) => State::Unknown.code(),
        None => exit.code(report.state()),
    };
    let silent = match options.print {
        Print::Always => false,
        Print::Problem => report.state() == State::Ok,
        // Where nobody knows what was before, everything is news.
        Print::Change => {
            let known = report.entries.iter().any(|it| it.standing.is_some());
            known && report.news().is_empty()
        }
    };
    if silent {
        return code;
    }
    let mut bytes = Vec::new();
    match (format.write)(&report, &style, &mut bytes) {
        Ok(()) => print(&bytes, code),
        Err(error) => refuse(&format!("cannot write the report: {error}"), options),
    }
}

/// A borrowed name: the classic arguments, the classic words.
fn classic(dropin: &Dropin, words: &[String]) -> u8 {
    match (dropin.parse)(words) {
        Err(text) => print(text.as_bytes(), State::Unknown.code()),
        Ok(job) => {
            let setting = Setting {
                deadline: job.timeout * 2,
                parallel: None,
                host: None,
                origin: None,
                state: None,
                records: Records::IfNeeded,
                output: (&format::FORMATS[0], Style::default()),
            };
            let plan = Plan {
                jobs: vec![job],
                ..Plan::default()
            };
            let report = run(plan, env(), &setting, &|it| it.state().code());
            let mut bytes = Vec::new();
            let written = (dropin.write)(&report, &Style::default(), &mut bytes);
            let code = report.state().code();
            match written {
                Ok(()) => print(&bytes, code),
                Err(_) => State::Unknown.code(),
            }
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// How a plan is run and recorded.
struct Setting<'s> {
    deadline: Duration,
    parallel: Option<usize>,
    /// What this machine is called in the report.
    host: Option<&'s str>,
    /// Where the list came from, when that is not what was asked for.
    origin: Option<String>,
    /// The file of history.
    state: Option<&'s Path>,
    records: Records,
    /// The format and style of destinations that name none.
    output: (&'static Format, Style),
}

/// Which runs are recorded.
#[derive(Clone, Copy, PartialEq)]
enum Records {
    /// Those of a list.
    Always,
    /// Those in which a key needs history.
    IfNeeded,
}

impl<'s> Setting<'s> {
    fn new(options: &'s Options, origin: Option<String>, records: Records) -> Setting<'s> {
        Setting {
            deadline: options.deadline.0,
            parallel: options.parallel.map(|it| it as usize),
            host: options.host.as_deref(),
            origin,
            state: options.history.state.as_deref(),
            records: match options.print {
                Print::Change => Records::Always,
                _ => records,
            },
            output: (&format::FORMATS[0], Style::default()),
        }
    }
}

/// Runs a plan, delivers the report and records it; `told` is the exit code that destinations are told.
fn run(
    mut plan: Plan,
    env: check::Env,
    setting: &Setting,
    told_code: &dyn Fn(&Report) -> u8,
) -> Report {
    let at = SystemTime::now();
    let needs = |job: &plan::Job| {
        job.check.remembers()
            || job.confirm.is_some()
            || job.full_in.is_some()
            || job.every.is_some()
    };
    let needing: Vec<bool> = plan.jobs.iter().map(needs).collect();
    let mut history = match setting.records == Records::Always || needing.contains(&true) {
        true => open(setting.state, at),
        false => Err("not needed".to_owned()),
    };
    let told = |it: anyhow::Error| format!("{it:#}");
    let memories = history
        .as_ref()
        .map_err(String::clone)
        .and_then(|(history, _)| {
            let remembering = plan.jobs.iter().filter(|it| it.check.remembers());
            let names: Vec<&str> = remembering.map(|it| it.name.as_str()).collect();
            history.memories(&names).map_err(told)
        });
    let past = history
        .as_ref()
        .map_err(String::clone)
        .and_then(|(history, _)| {
            let names = plan.names().chain([deliver::NAME]);
            history.standings(names).map_err(told)
        });
    let delivered = past.as_ref().ok();
    let delivered = delivered.and_then(|it| it.get(deliver::NAME).cloned());
    // What ended a day ago is worth a word while it still fails.
    let recently = at.checked_sub(DAY).unwrap_or(at);
    let pauses = history
        .as_ref()
        .ok()
        .and_then(|it| it.0.pauses(recently).ok());
    let names = |keeps: fn(&plan::Job) -> bool| -> Vec<String> {
        let jobs = plan.jobs.iter().filter(|it| keeps(it));
        jobs.map(|it| it.name.clone()).collect()
    };
    let foretold = names(|it| it.full_in.is_some());
    let rare = names(|it| it.every.is_some());
    let kept = kept(&plan, history.as_ref().ok().map(|it| &it.0), at);
    let window = Duration::from_secs_f64(model::forecast::WINDOW);
    let since = at.checked_sub(window).unwrap_or(SystemTime::UNIX_EPOCH);
    let samples = foretold.iter().filter_map(|name| {
        let (history, _) = history.as_ref().ok()?;
        Some((name.clone(), history.samples(name, since).ok()?))
    });
    let samples = samples.collect();
    let retention = plan.retention;
    let host = setting.host.unwrap_or(&env.host).to_owned();
    let signal = signals();
    let stop = move || match signal.load(Ordering::Relaxed) {
        0 => None,
        number if number == signal_hook::consts::SIGINT as usize => {
            Some("stopped by SIGINT".to_owned())
        }
        _ => Some("stopped by SIGTERM".to_owned()),
    };
    let watched = io::stderr().is_terminal();
    let begin = Instant::now();
    let mut show = |progress: &Progress| show(progress, begin);
    let shared = Arc::new(check::Run::new(env, memories));
    let orders = Orders {
        run: shared.clone(),
        at,
        deadline: setting.deadline,
        parallel: setting.parallel,
        on_progress: watched.then_some(&mut show),
        stop: &stop,
    };
    let to = std::mem::take(&mut plan.to);
    // It only tells two runs apart, so that a machine without random numbers still delivers.
    let run_id = deliver::run_id().unwrap_or_default();
    deliver::begin(&to, &run_id, &shared, at);
    let due = plan.jobs.iter().filter(|it| !kept.contains_key(&it.name));
    let mut ran = runner::run(due.cloned().collect(), orders);
    // What a check that was cut off has started must not go on without it.
    shared.children.end();
    if watched && begin.elapsed() > QUIET {
        // Nobody minds when the progress line cannot be wiped.
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    // Between those that were looked at stand those that were not due.
    let mut looked = ran.looked.into_iter();
    let all = plan
        .jobs
        .iter()
        .filter_map(|it| kept.get(&it.name).cloned().or_else(|| looked.next()));
    ran.looked = all.collect();
    let pauses = pauses.unwrap_or_default();
    // To find the zone takes longer than many a check, and only windows are in one.
    let zone = match plan.windows.is_empty() && pauses.is_empty() {
        true => TimeZone::UTC,
        false => TimeZone::system(),
    };
    let origin = setting.origin.clone();
    let mut report = triage::report(
        plan,
        ran,
        triage::Setting {
            host,
            at,
            zone,
            origin,
            pauses,
            samples,
            past,
        },
    );
    if !to.is_empty() {
        let failed = delivered.as_ref().is_some_and(|it| it.state != State::Ok);
        let parcel = Parcel {
            report: Arc::new(report.clone()),
            code: told_code(&report),
            format: setting.output.0,
            style: setting.output.1,
            again: failed,
            run_id,
        };
        let outcome = match deliver::deliver(&to, &parcel, &shared) {
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

/// The answers of checks that are not due yet.
fn kept(plan: &Plan, history: Option<&History>, at: SystemTime) -> HashMap<String, Looked> {
    let rare = plan.jobs.iter().filter(|it| it.every.is_some());
    let names: Vec<&str> = rare.clone().map(|it| it.name.as_str()).collect();
    let answers = match history {
        Some(history) if !names.is_empty() => history.answers(&names).unwrap_or_default(),
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

/// Opens the history, or says why there is none.
fn open(state: Option<&Path>, at: SystemTime) -> Result<(History, Option<String>), String> {
    if state.is_some_and(|it| it.as_os_str() == "none") {
        return Err("history is switched off".to_owned());
    }
    let var = |name: &str| {
        let value = std::env::var_os(name).filter(|it| !it.is_empty());
        value.map(PathBuf::from)
    };
    let place = history::place(state, var, &host::account::own());
    let opened = place.and_then(|it| History::open(&it, at));
    opened.map_err(|it| format!("{it:#}"))
}

/// Does something with the history of a command that is about nothing else.
fn with_history(
    given: &cli::History,
    does: impl FnOnce(&mut History, SystemTime) -> Result<String, String>,
) -> u8 {
    let at = SystemTime::now();
    let done = open(given.state.as_deref(), at).and_then(|(mut history, _)| does(&mut history, at));
    match done {
        Ok(text) => print(text.as_bytes(), 0),
        Err(why) => fail(&failure(&why), &format::FORMATS[0]),
    }
}

/// Shows what was seen.
fn past(given: &PastArgs) -> u8 {
    with_history(&given.history, |history, at| {
        let mut changes = history.changes().map_err(|it| format!("{it:#}"))?;
        let names = changes.iter().map(|it| it.0.as_str());
        if let Some(name) = &given.name
            && !names.clone().any(|it| it == name)
        {
            let near = model::name::nearest(name, names);
            let near = near.map_or(String::new(), |it| format!(", did you mean `{it}`?"));
            return Err(format!("nothing is known of `{name}`{near}"));
        }
        changes.retain(|it| given.name.as_ref().is_none_or(|name| it.0 == *name));
        let period = past::Period {
            from: at
                .checked_sub(given.length.0)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            until: at,
            zone: TimeZone::system(),
        };
        let one = given.name.as_deref();
        Ok(past::write(&changes, one, &period, given.format))
    })
}

/// Pauses what a pattern means.
fn pause(given: &PauseArgs) -> u8 {
    let known = match lists(&given.lists).and_then(|it| config::parse(&it.0)) {
        Err(mistakes) => return fail(&told(&mistakes), &format::FORMATS[0]),
        Ok(plan) => plan,
    };
    let meant = known.meant(&given.pattern);
    if meant.is_empty() {
        let text = known.no_such(&given.pattern);
        return fail(&failure(&text), &format::FORMATS[0]);
    }
    with_history(&given.history, |history, at| {
        let pause = plan::Pause {
            pattern: given.pattern.clone(),
            since: at,
            until: at + given.length.0,
            because: model::text::clean(given.because.as_deref().unwrap_or_default()),
        };
        history
            .pause(&pause)
            .map_err(|it| format!("not paused: {it:#}"))?;
        let length = model::quantity::seconds(given.length.0.as_secs_f64());
        Ok(format!("OK - paused for {length}: {}\n", meant.join(", ")))
    })
}

/// Ends pauses.
fn resume(given: &ResumeArgs) -> u8 {
    with_history(&given.history, |history, at| {
        let told = |it: anyhow::Error| format!("{it:#}");
        match history.resume(&given.pattern, at).map_err(told)? {
            0 => {
                let open = history.pauses(at).map_err(told)?;
                let open: Vec<&str> = open.iter().map(|it| it.pattern.as_str()).collect();
                Err(match open[..] {
                    [] => "nothing is paused".to_owned(),
                    _ => format!(
                        "no pause is called `{}`; paused are {}",
                        given.pattern,
                        open.join(", ")
                    ),
                })
            }
            _ => Ok(format!("OK - {} is paused no more\n", given.pattern)),
        }
    })
}

/// Records that somebody vouches for a check.
fn attest(given: &Attest) -> u8 {
    let known = match lists(&given.lists).and_then(|it| config::parse(&it.0)) {
        Err(mistakes) => return fail(&told(&mistakes), &format::FORMATS[0]),
        Ok(plan) => plan,
    };
    let reviews = known
        .jobs
        .iter()
        .filter(|it| it.kind.name == review::TYPE.name);
    let mut reviews = reviews.map(|it| it.name.as_str());
    let name = model::text::clean(&given.name);
    if !reviews.clone().any(|it| it == name) {
        let near = model::name::nearest(&name, &mut reviews);
        let near = near.map_or(String::new(), |it| format!(", did you mean `{it}`?"));
        let text = format!("no check of type review is called `{name}`{near}");
        return fail(&failure(&text), &format::FORMATS[0]);
    }
    let at = SystemTime::now();
    let attestation = review::Attestation::new(&given.by, given.note.as_deref());
    let written = open(given.history.state.as_deref(), at).and_then(|(mut history, _)| {
        let written = history.attest(at, &name, &attestation.to_value());
        written.map_err(|it| format!("{it:#}"))
    });
    match written {
        Ok(()) => print(format!("OK - {name}: {attestation}\n").as_bytes(), 0),
        Err(why) => fail(
            &failure(&format!("not recorded: {why}")),
            &format::FORMATS[0],
        ),
    }
}

/// How long a run may take before its progress is worth showing.
const QUIET: Duration = Duration::from_millis(500);

/// The progress line of a terminal.
fn show(progress: &Progress, begin: Instant) {
    if begin.elapsed() < QUIET {
        return;
    }
    let names = progress.running.join(", ");
    let line = format!(
        "{} of {} done, waiting for {names}",
        progress.done, progress.total
    );
    let line = model::text::fit(&line, 78);
    let _ = write!(io::stderr(), "\r{line}\x1b[K");
}

/// The number of the last signal that wants us to stop, or 0.
fn signals() -> Arc<AtomicUsize> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let seen = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM] {
        // Where it cannot be caught, the signal ends the process as ever.
        let _ = signal_hook::flag::register_usize(signal, seen.clone(), signal as usize);
    }
    seen
}

fn env() -> check::Env {
    let text = |it: std::ffi::OsString| it.to_string_lossy().into_owned();
    check::Env {
        vars: std::env::vars_os()
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
        host: host(),
        exe: PathBuf::from("/proc/self/exe"),
        roots: roots(),
    }
}

/// The name of this machine.
fn host() -> String {
    let names = rustix::system::uname();
    names.nodename().to_string_lossy().into_owned()
}

/// Where /proc and /sys of the machine are to be looked at, which a container may have elsewhere.
fn roots() -> Roots {
    let default = Roots::default();
    let given = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty());
    Roots {
        proc: given("KOSHU_PROC").map_or(default.proc, |it| Path::new(&it).into()),
        sys: given("KOSHU_SYS").map_or(default.sys, PathBuf::from),
    }
}

fn format(options: &Options) -> &'static Format {
    let default = match io::stdout().is_terminal() {
        true => "human",
        false => "nagios",
    };
    let name = options.format.as_deref().unwrap_or(default);
    Format::named(name).unwrap_or(&format::FORMATS[0])
}

fn style(options: &Options, env: &check::Env) -> Style {
    let terminal = io::stdout().is_terminal();
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let width = size
        .ok()
        .map(|it| usize::from(it.ws_col))
        .filter(|it| *it > 0);
    let plain = env.var("NO_COLOR").is_some_and(|it| !it.is_empty());
    Style {
        width: width.unwrap_or(Style::default().width),
        colour: terminal && !plain && env.var("TERM") != Some("dumb"),
        max_bytes: options.max_bytes as usize,
        news: options.print == Print::Change,
        ttl: None,
    }
}

fn failure(text: &str) -> Failure {
    Failure {
        host: host(),
        at: SystemTime::now(),
        text: text.to_owned(),
        details: String::new(),
    }
}

/// The destinations of the command line.
fn destinations(options: &Options) -> Result<Vec<Destination>, String> {
    let base = std::env::current_dir().unwrap_or_default();
    let read = |url: &String| deliver::Keys::of(url).destination(base.clone());
    let read = options.to.iter().map(read);
    read.map(|it| it.map_err(|(_, text)| format!("--to: {text}")))
        .collect()
}

fn refuse(text: &str, options: &Options) -> u8 {
    unable(failure(text), options)
}

fn wrong(mistakes: &Mistakes, options: &Options) -> u8 {
    unable(told(mistakes), options)
}

/// Says that no check could be run, to whoever waits for results, too: of those only the command line is known.
fn unable(mut failure: Failure, options: &Options) -> u8 {
    let format = format(options);
    let to = destinations(options).unwrap_or_default();
    if let Some(host) = &options.host {
        failure.host.clone_from(host);
    }
    if !to.is_empty() {
        let parcel = Parcel {
            report: Arc::new(failure.report()),
            code: State::Unknown.code(),
            format,
            style: Style::default(),
            again: true,
            run_id: deliver::run_id().unwrap_or_default(),
        };
        let run = Arc::new(check::Run::new(env(), Err("not needed".to_owned())));
        if let Some(outcome) = deliver::deliver(&to, &parcel, &run) {
            let line = format!("{}: {}", deliver::NAME, outcome.line());
            failure.details = format!("{}\n{line}", failure.details.trim_end());
        }
    }
    fail(&failure, format)
}

fn told(mistakes: &Mistakes) -> Failure {
    Failure {
        details: mistakes.to_string(),
        ..failure(&mistakes.headline())
    }
}

fn tell(text: Result<String, Mistakes>) -> u8 {
    match text {
        Ok(text) => print(text.as_bytes(), 0),
        Err(mistakes) => fail(&told(&mistakes), &format::FORMATS[0]),
    }
}

fn fail(failure: &Failure, format: &Format) -> u8 {
    let mut bytes = Vec::new();
    // A vector takes everything.
    let _ = (format.fail)(format, failure, &mut bytes);
    print(&bytes, State::Unknown.code())
}

/// Writes everything at once, and returns the exit code: a reader that has gone changes nothing, any other
/// error is UNKNOWN.
fn print(bytes: &[u8], code: u8) -> u8 {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    match written {
        Ok(()) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(_) => State::Unknown.code(),
    }
}
