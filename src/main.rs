//! argv → exit code; the only file that prints, exits, or reads the environment and the clock.
//!
//! The program is one straight line, `argv → Plan → run → [Outcome] → triage → Report → format → bytes →
//! exit code`, and a few constant tables: `check::TYPES` (what can be checked), `dropin::DROPINS` (whose
//! command lines are accepted) and `format::FORMATS` (how a report is written). Modules look strictly
//! downward: main > discover, past, round > cli, manual > config, dropin, export,
//! runner > triage, history > plan > deliver > check > host > net, format > model;
//! `tests/layers.rs` keeps it so.

mod bounded;
mod check;
mod cli;
mod config;
mod deliver;
mod discover;
mod dropin;
mod export;
mod format;
mod heap;
mod history;
mod host;
mod manual;
mod model;
mod net;
mod past;
mod plan;
mod round;
mod runner;
mod start;
mod triage;

use crate::check::disk::helper;
use crate::cli::{AdHoc, Cli, Command, Exit, ExportArgs, Lists, Options, PastArgs, Print, Schema};
use crate::config::{Mistake, Mistakes, Source};
use crate::deliver::{Begun, Destination, Parcel, Until};
use crate::dropin::Dropin;
use crate::export::{Engine, Order};
use crate::format::{Failure, Format, Style};
use crate::history::{History, Listed, list};
use crate::host::Roots;
use crate::host::family;
use crate::host::kernel;
use crate::manual::View;
use crate::model::report::Report;
use crate::model::state::State;
use crate::model::text;
use crate::past::Hold;
use crate::plan::Plan;
use crate::round::{Called, Records, Setting, Watch};
use crate::runner::Progress;
use jiff::tz::TimeZone;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

#[global_allocator]
static HEAP: heap::Heap = heap::Heap::new();

fn main() {
    // A panic is told as a result, never on stderr, which some engines take for the status line.
    std::panic::set_hook(Box::new(|_| ()));
    outlive_full_files();
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
    let args: Vec<OsString> = std::env::args_os().collect();
    let words: Vec<String> = args
        .iter()
        .map(|it| it.to_string_lossy().into_owned())
        .collect();
    if words.get(1).is_some_and(|it| it == helper::WORD) {
        let paths: Vec<PathBuf> = args.into_iter().skip(2).map(PathBuf::from).collect();
        let served = helper::serve(&paths, &mut io::stdout());
        return if served.is_ok() {
            0
        } else {
            State::Unknown.code()
        };
    }
    if let [_, word, name] = &words[..]
        && word == family::WORD
    {
        family::guard(name, &mut io::stdin());
        return 0;
    }
    let called = words.first().map(Path::new).and_then(Path::file_name);
    let called = called.and_then(|it| it.to_str()).unwrap_or_default();
    if let Some(dropin) = Dropin::named(called) {
        return classic(dropin, &words[1..]);
    }
    if let Some(dropin) = words.get(1).and_then(|it| Dropin::named(it)) {
        return classic(dropin, &words[2..]);
    }
    match cli::parse(&args) {
        Ok(cli) => koshu(cli),
        Err(error) => usage(&error, &words),
    }
}

/// Help and version are answers; everything else that the arguments are not is UNKNOWN on stdout, in the format that
/// they ask for.
fn usage(error: &clap::Error, words: &[String]) -> u8 {
    let text = error.to_string();
    if !error.use_stderr() {
        return print(text.as_bytes(), 0);
    }
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let first = first.trim_start_matches("error: ");
    let (first, rest) = match cli::hint(error, words) {
        None => (first.to_owned(), rest),
        // clap's own proposals would contradict it.
        Some(cli::Hint::Instead(text)) => (text, ""),
        Some(cli::Hint::Besides(text)) => (format!("{first}: {text}"), rest),
    };
    // An argument may hold whatever a terminal obeys.
    let rest: Vec<String> = rest.trim_start().lines().map(printable).collect();
    let failure = Failure {
        details: rest.join("\n"),
        ..failure(&first)
    };
    let asked = cli::asked_format(words).and_then(Format::named);
    fail(&failure, asked.unwrap_or(&format::FORMATS[0]))
}

/// A line with its blanks, but without characters that a terminal obeys.
fn printable(line: &str) -> String {
    let indent = line.len() - line.trim_start_matches(' ').len();
    format!("{}{}", &line[..indent], text::clean(line))
}

/// Whether a word where a name belongs is a list.
fn is_list(word: &str) -> bool {
    word.ends_with(".toml") && Path::new(word).is_file()
}

/// koshu's own commands.
fn koshu(cli: Cli) -> u8 {
    match cli.command {
        Command::Run(run) => {
            let list = run.names.iter().find(|it| is_list(it));
            if let Some(list) = list.filter(|_| run.lists.config.is_empty()) {
                let text = format!("`{list}` is no check but a list: koshu run -c {list}");
                return refuse(&text, &run.options);
            }
            let asked = lists(&run.lists, &run.options.history);
            match asked.and_then(|it| Ok((config::parse(&it.sources)?, it))) {
                Err(mistakes) => wrong(&mistakes, &run.options),
                Ok((plan, it)) => {
                    let env = env();
                    let chosen = plan.on(&env.host).and_then(|it| it.select(&run.names));
                    match chosen {
                        Ok(plan) => {
                            let of = (it.listed, it.origin, Records::Always);
                            execute(plan, env, &run.options, of)
                        }
                        Err(text) => refuse(&text, &run.options),
                    }
                }
            }
        }
        Command::AdHoc(ad_hoc) => one(&ad_hoc),
        Command::List(given) => tell(lists(&given.lists, &cli::History::default()).and_then(
            |it| {
                let plan = config::parse(&it.sources)?;
                let view = View {
                    host: &given.host.clone().unwrap_or_else(host),
                    now: SystemTime::now(),
                    zone: TimeZone::system(),
                    width: width().unwrap_or(Style::default().width),
                };
                Ok(manual::listed(&plan, &view, it.origin.as_deref()))
            },
        )),
        Command::Validate(given) => tell(lists(&given, &cli::History::default()).and_then(|it| {
            let (plan, warnings) = config::validate(&it.sources, SystemTime::now())?;
            Ok(manual::validated(
                &plan,
                &it.sources,
                &warnings,
                it.origin.as_deref(),
            ))
        })),
        Command::Explain { topic } => {
            match manual::explain(topic.as_deref(), width(), &plain_style(&env())) {
                Ok(text) => print(text.as_bytes(), 0),
                Err(text) => fail(&failure(&text), &format::FORMATS[0]),
            }
        }
        Command::Attest(given) => with_list((&given.lists, &given.history), |plan, hold, at| {
            past::attest(&given, plan, hold, at)
        }),
        Command::History(given) => looked_back(&given),
        Command::Pause(given) => with_list((&given.lists, &given.history), |plan, hold, at| {
            past::pause(&given, plan, hold, at)
        }),
        Command::Resume(given) => {
            let listed = match lists(&given.lists, &given.history) {
                Ok(it) => it.listed,
                // A pause can be ended whatever has become of the list.
                Err(_) => Listed::at(&given.lists.config),
            };
            with_history(&given.history, listed, |hold, at| {
                past::resume(&given, hold, at)
            })
        }
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
    }
}

/// The lists that are meant.
struct Asked {
    sources: Vec<Source>,
    /// How history knows them.
    listed: Listed,
    /// What was read instead, where there is no list.
    origin: Option<String>,
}

/// The lists that are given; where none is and none has ever been, what is found on this host.
fn lists(given: &Lists, history: &cli::History) -> Result<Asked, Mistakes> {
    let standard = PathBuf::from(list::STANDARD);
    // What cannot be looked at, a folder without a list and a link to nothing are not nothing.
    let is_there = match std::fs::symlink_metadata(&standard) {
        Err(error) => error.kind() != io::ErrorKind::NotFound,
        Ok(_) => true,
    };
    if !given.config.is_empty() || is_there {
        let paths = match given.config.is_empty() {
            true => std::slice::from_ref(&standard),
            false => &given.config,
        };
        return Ok(Asked {
            sources: config::read(paths)?,
            listed: Listed::at(paths),
            origin: None,
        });
    }
    let lost = |text: String| Mistakes::of(vec![Mistake::of(list::STANDARD, &text)]);
    let ran = round::standard_ran(history.state.as_deref(), &env());
    match ran.map_err(|why| lost(past::unknown_list(&why)))? {
        Some(ran) => Err(lost(past::lost_list(ran))),
        None => Ok(Asked {
            sources: vec![discovered()],
            listed: Listed::discovered(),
            origin: Some(format!(
                "there is no list in {}, so what koshu discover finds on this host was checked",
                list::STANDARD
            )),
        }),
    }
}

/// The list of what is found on this host.
fn discovered() -> Source {
    discover::list(&without_past(), SystemTime::now())
}

/// What checks share, without anything of earlier runs.
fn without_past() -> Arc<check::Run> {
    Arc::new(check::Run::new(env(), Err("not needed".to_owned())))
}

/// What is new and gone on this host since a list was written.
fn differing(given: &Lists) -> u8 {
    let paths = match given.config.is_empty() {
        true => vec![PathBuf::from(list::STANDARD)],
        false => given.config.clone(),
    };
    let sources = config::read(&paths).and_then(|it| config::parse(&it).map(|_| it));
    match sources {
        Err(mistakes) => fail(&told(&mistakes), &format::FORMATS[0]),
        Ok(sources) => {
            let run = without_past();
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
    let asked = lists(&given.lists, &cli::History::default());
    if asked.as_ref().is_ok_and(|it| it.origin.is_some()) {
        return refused(&past::no_list());
    }
    let plan = asked.and_then(|it| config::parse(&it.sources));
    let host = host();
    let plan = match plan {
        Err(mistakes) => return fail(&told(&mistakes), &format::FORMATS[0]),
        Ok(plan) => match plan.on(&host) {
            Err(text) => return refused(&text),
            Ok(plan) => plan,
        },
    };
    // Whoever runs it may stand in another folder.
    let shown = |it: PathBuf| match it.into_os_string().into_string() {
        Ok(path) => Ok(path),
        Err(path) => Err(format!(
            "{} is not UTF-8, which a configuration cannot hold",
            path.display()
        )),
    };
    let whole = |it: &PathBuf| shown(std::path::absolute(it).unwrap_or_else(|_| it.clone()));
    let lists: Result<Vec<String>, String> = given.lists.config.iter().map(whole).collect();
    let exe = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/usr/local/bin/koshu"));
    let (exe, lists) = match (shown(exe), lists) {
        (Ok(exe), Ok(lists)) => (exe, lists),
        (Err(text), _) | (_, Err(text)) => return refused(&text),
    };
    let order = Order {
        exe,
        lists,
        host: text::clean(&given.host.clone().unwrap_or(host)),
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
                let of = (Listed::command(), None, Records::IfNeeded);
                execute(plan, env(), &ad_hoc.options, of)
            }
        },
    }
}

/// Runs a plan, delivers the report and prints it.
fn execute(
    mut plan: Plan,
    env: check::Env,
    options: &Options,
    (listed, origin, records): (Listed, Option<String>, Records),
) -> u8 {
    let format = format(options);
    let style = style(options, &env);
    match destinations(options) {
        Ok(more) => plan.to.extend(more),
        Err(text) => return fail(&failure(&text), format),
    }
    let changes = plan.to.iter().any(|it| it.on == deliver::On::Change);
    // Whoever is told of the run is told its state, unless another policy was asked for.
    let told = options.exit.unwrap_or(Exit::State);
    let setting = Setting {
        deadline: options.deadline.0,
        parallel: options.parallel.map(|it| it as usize),
        host: options.host.as_deref(),
        origin,
        state: options.history.state.as_deref(),
        listed,
        called: match options.record {
            true => Called::ByProgram,
            false => called(),
        },
        records: match changes || options.print == Print::Change {
            true => Records::Always,
            false => records,
        },
        output: (format, style),
        told: &|report| told.code(report.state()),
    };
    let report = watched(plan, env, &setting);
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

/// Runs a plan, with a progress line where somebody watches, until a signal wants it to stop.
fn watched(plan: Plan, env: check::Env, setting: &Setting) -> Report {
    let stop = stop();
    let watched = io::stderr().is_terminal();
    let begin = Instant::now();
    let mut show = |progress: &Progress| show(progress, begin);
    let watch = Watch {
        on_progress: watched.then_some(&mut show),
        stop: &stop,
    };
    let report = round::run(plan, env, SystemTime::now(), setting, watch);
    if watched && begin.elapsed() > QUIET {
        // Nobody minds when the progress line cannot be wiped.
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    report
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
                listed: Listed::command(),
                records: Records::IfNeeded,
                called: called(),
                output: (&format::FORMATS[0], Style::default()),
                told: &|report| report.state().code(),
            };
            let plan = Plan {
                jobs: vec![job],
                ..Plan::default()
            };
            let report = watched(plan, env(), &setting);
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

/// Whether somebody at a terminal has called it; an engine, cron and systemd give it none.
fn called() -> Called {
    match io::stdin().is_terminal() || io::stdout().is_terminal() {
        true => Called::ByHand,
        false => Called::ByProgram,
    }
}

/// Shows what was seen of a list.
fn looked_back(given: &PastArgs) -> u8 {
    let at = SystemTime::now();
    let home = round::home(given.history.state.as_deref(), &env());
    let listed = Listed::at(&given.lists.config);
    let found = home.and_then(|it| {
        let history = History::look(it.clone(), listed);
        Ok((history.map_err(|it| format!("{it:#}"))?, it))
    });
    let shown = found.and_then(|(history, home)| match history {
        Some(history) => past::show(given, history, at),
        None => Err(past::nothing_yet(&home)),
    });
    match shown {
        Ok(text) => print(text.as_bytes(), 0),
        Err(why) => fail(&failure(&why), &format::FORMATS[0]),
    }
}

/// Does something with what history holds of a list, for a command that is about nothing else.
fn with_history(
    given: &cli::History,
    listed: Listed,
    does: impl FnOnce(&mut Hold, SystemTime) -> Result<String, String>,
) -> u8 {
    let at = SystemTime::now();
    let hold = Hold::new(given.state.clone(), listed, env());
    match does(&mut { hold }, at) {
        Ok(text) => print(text.as_bytes(), 0),
        Err(why) => fail(&failure(&why), &format::FORMATS[0]),
    }
}

/// The same for a command that names checks of the list.
fn with_list(
    given: (&Lists, &cli::History),
    does: impl FnOnce(&Plan, &mut Hold, SystemTime) -> Result<String, String>,
) -> u8 {
    let asked = lists(given.0, given.1);
    match asked.and_then(|it| Ok((config::parse(&it.sources)?, it.listed))) {
        Err(mistakes) => fail(&told(&mistakes), &format::FORMATS[0]),
        Ok((plan, listed)) => with_history(given.1, listed, |hold, at| does(&plan, hold, at)),
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
    let line = text::fit(&line, 78);
    let _ = write!(io::stderr(), "\r{line}\x1b[K");
}

/// Says why the run is to end at once, once a signal wants it to.
fn stop() -> impl Fn() -> Option<String> {
    let signal = signals();
    move || match signal.load(Ordering::Relaxed) {
        0 => None,
        number => {
            let name = i32::try_from(number).ok();
            let name = name.and_then(signal_hook::low_level::signal_name);
            let name = name.map_or_else(|| format!("signal {number}"), str::to_owned);
            Some(format!("stopped by {name}"))
        }
    }
}

/// The signals that end a program which does not catch them (signal(7)): from people, engines, timers and limits.
/// Those that tell of a fault of the program itself are left alone, and so is SIGXFSZ: see [`outlive_full_files`].
fn ending() -> impl Iterator<Item = i32> {
    use rustix::process::Signal;
    use signal_hook::consts::*;
    let old = [
        SIGHUP, SIGINT, SIGQUIT, SIGTRAP, SIGABRT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGXCPU,
        SIGVTALRM, SIGPROF, SIGIO,
    ];
    let linux = [Signal::STKFLT, Signal::POWER].map(Signal::as_raw);
    // The first real-time signals are the C library's own.
    old.into_iter().chain(linux).chain(35..=64)
}

/// The number of the last signal that wants us to stop, or 0. What was ignored when koshu was started stays ignored,
/// as nohup and shells want it; only SIGCHLD does not, because then nobody could tell how a program has ended.
fn signals() -> Arc<AtomicUsize> {
    use signal_hook::consts::SIGCHLD;
    let seen = Arc::new(AtomicUsize::new(0));
    let ignored = kernel::ignored_signals();
    for signal in ending().filter(|it| !ignored.contains(it)) {
        // Where it cannot be caught, the signal ends the process as ever.
        let _ = signal_hook::flag::register_usize(signal, seen.clone(), signal as usize);
    }
    if ignored.contains(&SIGCHLD) {
        let _ = signal_hook::flag::register(SIGCHLD, Arc::default());
    }
    seen
}

/// Makes a write beyond the largest file that is allowed (`ulimit -f`) an error, which is told, instead of the end.
fn outlive_full_files() {
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

fn env() -> check::Env {
    let text = |it: OsString| it.to_string_lossy().into_owned();
    check::Env {
        vars: std::env::vars_os()
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
        host: host(),
        exe: PathBuf::from("/proc/self/exe"),
        roots: roots(),
        clock: check::Clock(SystemTime::now),
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

/// The columns of the terminal, if stdout is one.
fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let width = size.ok().map(|it| usize::from(it.ws_col));
    width.filter(|it| *it > 0)
}

/// What the terminal shows, if stdout is one.
fn plain_style(env: &check::Env) -> Style {
    let terminal = io::stdout().is_terminal();
    let plain = env.var("NO_COLOR").is_some_and(|it| !it.is_empty());
    Style {
        width: width().unwrap_or(Style::default().width),
        colour: terminal && !plain && env.var("TERM") != Some("dumb"),
        ..Style::default()
    }
}

fn style(options: &Options, env: &check::Env) -> Style {
    Style {
        max_bytes: options.max_bytes as usize,
        news: options.print == Print::Change,
        ..plain_style(env)
    }
}

fn failure(text: &str) -> Failure {
    Failure {
        host: host(),
        at: SystemTime::now(),
        text: text::clean(text),
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
        let run = without_past();
        let stop = stop();
        let until = Until {
            end: Instant::now() + options.deadline.0,
            stop: &stop,
        };
        if let Some(outcome) = deliver::deliver(&to, &parcel, Begun::default(), &run, until) {
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

/// Writes everything, and returns the exit code: a reader that has gone changes nothing, any other error is UNKNOWN.
fn print(bytes: &[u8], code: u8) -> u8 {
    let written = match start::stdout_was_open() {
        true => write_all(bytes),
        false => Err(Errno::BADF),
    };
    match written {
        Ok(()) | Err(Errno::PIPE) => code,
        Err(_) => State::Unknown.code(),
    }
}

/// Writes to standard output by itself, because the library's own takes one that cannot be written to for a good one.
fn write_all(mut bytes: &[u8]) -> Result<(), Errno> {
    let stdout = rustix::stdio::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(stdout, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => (),
            // Whoever started koshu does not want to wait for its own end of a pipe, but koshu's is the same.
            Err(Errno::AGAIN) => {
                let mut polled = [PollFd::new(&stdout, PollFlags::OUT)];
                match poll(&mut polled, None) {
                    Ok(_) | Err(Errno::INTR) => (),
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
