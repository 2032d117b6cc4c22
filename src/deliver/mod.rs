//! Results → destinations: files, Nagios' spool or pipe, Xymon, Zabbix, and whatever takes HTTP; all at once, each
//! with a deadline of its own within the run's, and never changing what a check says.

mod http;
mod local;
mod preset;
mod target;
mod wire;

pub use preset::PRESETS;
pub use target::{Destination, Keys};

use crate::check::{Author, Context, Previous, Run};
use crate::format::passive::{self, Passive};
use crate::format::{Format, Style, zabbix};
use crate::model::outcome::{Code, Outcome, code};
use crate::model::quantity;
use crate::model::report::Report;
use crate::model::state::State;
use crate::model::text;
use crate::model::uuid;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use target::Way;

/// The name of the result that tells how delivering went; no check may be called so.
pub const NAME: &str = "koshu-delivery";

/// What delivering can find.
pub const CODES: &[Code] = &[code(
    "not-delivered",
    "WARNING",
    "A destination did not take the results, or only some of them: the text says which and why. The results themselves are in the answer all the same.",
)];

/// When a result is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// After every run.
    Always,
    /// When it is another than in the run before, or could not be delivered then.
    Change,
}

/// How long a destination may take when it says nothing of it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How much of a run's time is kept for its destinations: so much, and at most a fifth of the whole.
const KEPT: Duration = TIMEOUT;

/// How long destinations still have once a signal wants the run to end.
const GRACE: Duration = Duration::from_millis(500);

/// How often is asked whether the run is to end.
const BEAT: Duration = Duration::from_millis(50);

/// The time that checks leave to the destinations of a run of this length.
pub fn kept(to: &[Destination], whole: Duration) -> Duration {
    match to {
        [] => Duration::ZERO,
        _ => KEPT.min(whole / 5),
    }
}

/// How long delivering may go on.
#[derive(Clone, Copy)]
pub struct Until<'u> {
    /// The end of the whole run.
    pub end: Instant,
    /// Why the run is to end at once, if it is.
    pub stop: &'u dyn Fn() -> Option<String>,
}

/// How the results of a run are to be delivered.
#[derive(Clone)]
pub struct Parcel {
    pub report: Arc<Report>,
    /// The exit code of the run.
    pub code: u8,
    /// The format of destinations that name none, and its style.
    pub format: &'static Format,
    pub style: Style,
    /// Whether what has not changed is due, too, because something was not delivered in the run before.
    pub again: bool,
    /// Names the run where its beginning and its end are told apart: a UUID (RFC 9562).
    pub run_id: String,
}

/// The destinations that are being told that a run has begun, by their number.
#[derive(Default)]
pub struct Begun(HashMap<usize, thread::JoinHandle<()>>);

/// Tells those destinations that want to know that a run begins.
pub fn begin(to: &[Destination], run_id: &str, run: &Arc<Run>, now: SystemTime) -> Begun {
    let mut begun = Begun::default();
    for (number, it) in to.iter().enumerate() {
        if it.refused.is_none()
            && let Way::Http(preset, base) = &it.way
            && let Some(path) = preset.start
        {
            let (preset, base, run_id) = (*preset, base.clone(), run_id.to_owned());
            let (to, cx) = (it.clone(), context(it, run, now));
            // Whether it is heard is seen when the results are delivered.
            let told = spawn(move || drop(http::start(&to, (preset, &base, path), &run_id, &cx)));
            begun.0.extend(told.ok().map(|it| (number, it)));
        }
    }
    begun
}

/// Delivers to all destinations at once. None when all of it was taken.
pub fn deliver(
    to: &[Destination],
    parcel: &Parcel,
    mut begun: Begun,
    run: &Arc<Run>,
    until: Until,
) -> Option<Outcome> {
    let (done, results) = mpsc::channel();
    let begin = Instant::now();
    for (number, it) in to.iter().enumerate() {
        let (it, parcel, done) = (it.clone(), parcel.clone(), done.clone());
        let mut cx = context(&it, run, parcel.report.at);
        cx.deadline = cx.deadline.min(until.end);
        let told = begun.0.remove(&number);
        let started = spawn(move || {
            // A run that ends before it begins would be taken for one that never ends.
            if let Some(told) = told {
                let _ = told.join();
            }
            // Whoever waits may have gone.
            let _ = done.send((number, one(&it, &parcel, &cx)));
        });
        if let Err(error) = started {
            return Some(failed(
                &[format!("nothing was delivered: {error}")],
                to.len(),
            ));
        }
    }
    drop(done);
    let mut said: Vec<Option<Result<(), String>>> = vec![None; to.len()];
    let last = to.iter().map(|it| it.timeout).max().unwrap_or_default();
    // A destination keeps its deadline by itself; what hangs in the kernel is not waited for.
    let own = begin + last + Duration::from_millis(200);
    let mut end = own.min(until.end);
    let mut stopped = None;
    let is_late = loop {
        let now = Instant::now();
        if now >= end {
            break true;
        }
        if stopped.is_none() {
            stopped = (until.stop)();
            end = end.min(stopped.as_ref().map_or(end, |_| now + GRACE));
        }
        match results.recv_timeout(BEAT.min(end.saturating_duration_since(now))) {
            Ok((number, result)) => said[number] = Some(result),
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    let faults = to.iter().zip(said).filter_map(|(it, said)| {
        let missing = || match &stopped {
            _ if !is_late => "internal error in koshu".to_owned(),
            Some(reason) => format!("did not take it before the run was {reason}"),
            None if own > until.end => "did not take it before the run's deadline".to_owned(),
            None => {
                let limit = quantity::seconds(it.timeout.as_secs_f64());
                format!("did not take it within {limit}")
            }
        };
        let fault = said.unwrap_or_else(|| Err(missing())).err()?;
        Some(format!("{}: {fault}", it.name))
    });
    let faults: Vec<String> = faults.collect();
    let mut outcome = (!faults.is_empty()).then(|| failed(&faults, to.len()))?;
    run.secrets.hide([&mut outcome]);
    Some(outcome)
}

/// What is said when something that was not delivered in the run before is delivered again.
pub fn recovered(to: &[Destination]) -> Outcome {
    let names: Vec<&str> = to.iter().map(|it| it.name.as_str()).collect();
    Outcome::new(&format!("delivered again to {}", names.join(", ")))
}

fn failed(faults: &[String], total: usize) -> Outcome {
    let text = match faults {
        [fault] => fault.clone(),
        _ => format!(
            "{} of {total} destinations did not take the results, the first of them {}",
            faults.len(),
            faults[0]
        ),
    };
    let mut outcome = Outcome::of("not-delivered", State::Warning, &text);
    if faults.len() > 1 {
        faults.iter().for_each(|it| outcome.detail(it));
    }
    outcome
}

fn spawn(work: impl FnOnce() + Send + 'static) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name("deliver".to_owned())
        .spawn(work)
}

fn context(to: &Destination, run: &Arc<Run>, now: SystemTime) -> Context {
    Context {
        now,
        previous: Previous::Never,
        deadline: Instant::now() + to.timeout,
        base: to.base.clone(),
        author: Author::List,
        run: run.clone(),
    }
}

/// Delivers to one destination.
fn one(to: &Destination, parcel: &Parcel, cx: &Context) -> Result<(), String> {
    if let Some(why) = &to.refused {
        return Err(why.clone());
    }
    let renamed = to.host.as_ref().map(|host| Report {
        host: text::clean(host),
        ..Report::clone(&parcel.report)
    });
    let report: &Report = renamed.as_ref().unwrap_or(&parcel.report);
    let mut results = passive::all(report);
    let is_due = |it: &Passive| to.on == On::Always || parcel.again || it.is_news;
    // What there is to be discovered is told whole, and the values of what is due.
    let samples = match &to.way {
        Way::Zabbix(..) => zabbix::samples(&results, &is_due),
        _ => Vec::new(),
    };
    results.retain(is_due);
    if results.is_empty() {
        return Ok(());
    }
    let document = || {
        let style = Style {
            ttl: to.ttl,
            // Escapes are for terminals.
            colour: false,
            ..parcel.style
        };
        to.format.unwrap_or(parcel.format).bytes(report, &style)
    };
    let told = |it: anyhow::Error| format!("{it:#}");
    match &to.way {
        Way::File(path) => local::file(&cx.path(path), &document(), cx.deadline).map_err(told),
        Way::Nagios(path) => {
            local::nagios(&cx.path(path), &report.host, &results, cx).map_err(told)
        }
        Way::Tcp(host, port) => {
            wire::tcp(host, *port, &document(), cx).map_err(|it| it.to_string())
        }
        Way::Zabbix(host, port) => wire::zabbix(host, *port, report, &samples, cx),
        Way::Http(preset, base) => http::send(to, (preset, base), parcel, report, &results, cx),
    }
}

/// A name for a run.
///
/// # Errors
/// When this machine has no random numbers.
pub fn run_id() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    local::random(&mut bytes)?;
    Ok(uuid::hyphenated(bytes))
}
