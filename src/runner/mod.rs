//! Jobs → outcomes: a pool of threads whose supervisor owns every deadline and waits for nobody.
//!
//! Workers are added only while none becomes free and the CPU is idle, so that waiting is never serial and work
//! never stampedes: what waits for sockets and what starts programs have workers of their own. A check that is late is reported by name and its worker
//! replaced; nothing is joined at the end.

mod worker;

use crate::check;
use crate::host::Roots;
use crate::host::kernel;
use crate::model::outcome::{Outcome, UNKNOWN};
use crate::model::report::{Looked, Ran};
use crate::model::state::State;
use crate::net;
use crate::plan::Job;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use worker::{Lane, Said, Shop};

/// How a plan is to be run.
pub struct Orders<'o> {
    /// What every check shares.
    pub run: Arc<check::Run>,
    /// When the run began.
    pub at: SystemTime,
    /// When all checks have to have ended, and the limit from which that comes, as it is told.
    pub end: Instant,
    pub limit: String,
    /// At most so many checks at once; by default as many as this machine can hold.
    pub parallel: Option<usize>,
    /// Told now and then what is going on, where somebody watches.
    pub on_progress: Option<&'o mut dyn FnMut(&Progress)>,
    /// Why the run is to stop at once, if it is.
    pub stop: &'o dyn Fn() -> Option<String>,
}

/// What is going on.
pub struct Progress<'p> {
    pub done: usize,
    pub total: usize,
    /// The names of checks that are being looked at.
    pub running: Vec<&'p str>,
}

/// How long after its deadline a check may still answer for itself.
const GRACE: Duration = Duration::from_millis(100);
/// How often workers that wait are looked after while jobs wait for them.
const TICK: Duration = Duration::from_millis(2);
/// How often workers that start programs are looked after, which reads all processes.
const LONG_TICK: Duration = Duration::from_millis(60);
/// How often a signal and the progress are looked after.
const BEAT: Duration = Duration::from_millis(50);
/// The most checks at once; more would need memory without being faster.
const MOST: usize = 2048;
/// The most programs at once.
const MOST_PROGRAMS: usize = 256;
/// What a program may need of memory; interpreters take some 20 MB.
const PROGRAM_KIB: usize = 32 << 10;
/// What a check over TLS may need of memory.
const CHECK_KIB: usize = 400;
/// So many workers begin, before anything is known of how long checks wait.
const FEW: usize = 8;
/// A worker's stack; only what is used takes memory.
const STACK: usize = 1 << 20;

/// Runs all jobs. Returns at the deadline at the latest.
pub fn run(jobs: Vec<Job>, mut orders: Orders) -> Ran {
    let mut supervisor = Supervisor::new(jobs, &orders);
    let stopped = supervisor.supervise(&mut orders);
    let took = supervisor.begin.elapsed();
    let mut looked = supervisor.close(stopped.as_deref());
    // Only now all that was read is known: a page may give back what another check sent.
    let outcomes = looked.iter_mut().map(|it| &mut it.outcome);
    orders.run.secrets.hide(outcomes);
    Ran {
        looked,
        took,
        stopped,
    }
}

/// How far a job is.
enum Stage {
    Waiting,
    Running { look: u32, until: Instant },
    Done(Outcome),
}

struct Task {
    stage: Stage,
    /// When its first look started.
    first: Option<Instant>,
    took: Duration,
    /// What earlier looks said.
    before: Vec<String>,
}

struct Supervisor {
    shop: Arc<Shop>,
    tasks: Vec<Task>,
    begin: Instant,
    end: Instant,
    limit: String,
    said: Receiver<Said>,
    tell: Sender<Said>,
    /// When running looks are late: may hold looks that have ended.
    alarms: BinaryHeap<Reverse<(Instant, usize, u32)>>,
    /// When a job is looked at again.
    again: BinaryHeap<Reverse<(Instant, usize, u32)>>,
    crews: [Crew; Lane::ALL.len()],
    /// Why no more threads could be started, once that was so.
    refused: Option<String>,
    done: usize,
}

/// The workers of a lane.
struct Crew {
    lane: Lane,
    workers: usize,
    most: usize,
    /// How many jobs they have taken since the last tick.
    taken: usize,
    tick: Tick,
}

impl Supervisor {
    fn new(jobs: Vec<Job>, orders: &Orders) -> Supervisor {
        let begin = Instant::now();
        let end = orders.end;
        let (tell, said) = mpsc::channel();
        let last = end
            .checked_sub(GRACE + GRACE / 2)
            .unwrap_or(begin)
            .max(begin);
        let shop = Shop::open(jobs, orders.run.clone(), orders.at, begin, last);
        let crew = |lane: Lane| {
            let jobs = shop.queued(lane);
            let most = match (orders.parallel, lane) {
                (Some(most), _) => most.max(1),
                (None, _) if jobs <= FEW => FEW,
                (None, Lane::Waiting) => {
                    memory(&orders.run.roots, CHECK_KIB).min(files()).min(MOST)
                }
                (None, Lane::Spawning) => memory(&orders.run.roots, PROGRAM_KIB).min(MOST_PROGRAMS),
            };
            Crew {
                lane,
                workers: 0,
                most,
                taken: 0,
                tick: Tick::now(),
            }
        };
        let crews = Lane::ALL.map(crew);
        let task = || Task {
            stage: Stage::Waiting,
            first: None,
            took: Duration::ZERO,
            before: Vec::new(),
        };
        Supervisor {
            tasks: shop.jobs.iter().map(|_| task()).collect(),
            shop: Arc::new(shop),
            begin,
            end,
            limit: orders.limit.clone(),
            said,
            tell,
            alarms: BinaryHeap::new(),
            again: BinaryHeap::new(),
            crews,
            refused: None,
            done: 0,
        }
    }

    /// Until every job is done, the deadline comes, or somebody wants it stopped.
    fn supervise(&mut self, orders: &mut Orders) -> Option<String> {
        // One for each lane before there are more for any: threads may be few.
        // Counted before the first of them takes a job.
        let wanted = Lane::ALL.map(|it| FEW.min(self.crew(it).most).min(self.shop.queued(it)));
        for few in [1, FEW] {
            for lane in Lane::ALL {
                let few = few.min(wanted[lane as usize]);
                let there = self.crew(lane).workers;
                self.hire(lane, few.saturating_sub(there));
            }
        }
        let mut beat = Instant::now();
        while self.done < self.tasks.len() {
            if self.crews.iter().all(|it| it.workers == 0) {
                let why = self.refused.take().unwrap_or_default();
                return Some(format!("no thread could be started: {why}"));
            }
            let now = Instant::now();
            if now >= self.end {
                return None;
            }
            if now >= beat {
                beat = now + BEAT;
                if let Some(reason) = (orders.stop)() {
                    return Some(reason);
                }
                if let Some(tell) = &mut orders.on_progress {
                    tell(&self.progress());
                }
            }
            let wake = self.wake(beat);
            match self.said.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(first) => {
                    self.hear(first);
                    while let Ok(next) = self.said.try_recv() {
                        self.hear(next);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => (),
            }
            self.report_late();
            self.look_again();
            for lane in Lane::ALL {
                self.grow(lane);
            }
        }
        None
    }

    fn crew(&mut self, lane: Lane) -> &mut Crew {
        &mut self.crews[lane as usize]
    }

    fn wake(&self, beat: Instant) -> Instant {
        let alarm = self.alarms.peek().map(|it| it.0.0);
        let again = self.again.peek().map(|it| it.0.0);
        let grow = |it: &&Crew| it.workers < it.most && self.shop.queued(it.lane) > 0;
        let growing = self.crews.iter().filter(grow);
        let tick = growing.map(|it| it.tick.since + length(it.lane)).min();
        [alarm, again, tick, Some(beat), Some(self.end)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.end)
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Started { job, at } => {
                let lane = Lane::of(&self.shop.jobs[job]);
                self.crew(lane).taken += 1;
                let until = self.shop.deadline(job, at);
                let task = &mut self.tasks[job];
                let look = task.before.len() as u32 + 1;
                task.first.get_or_insert(at);
                task.stage = Stage::Running { look, until };
                self.alarms.push(Reverse((until + GRACE, job, look)));
            }
            Said::Done { job, look, outcome } => {
                if let Stage::Running { look: current, .. } = self.tasks[job].stage
                    && current == look
                {
                    self.ended(job, *outcome);
                }
            }
        }
    }

    /// Reports looks that did not end in time, and replaces their workers.
    fn report_late(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, job, look))) = self.alarms.peek().copied() {
            if at > now {
                return;
            }
            self.alarms.pop();
            if let Stage::Running {
                look: current,
                until,
            } = self.tasks[job].stage
                && current == look
            {
                let text = match until == self.shop.last {
                    true => "no answer when the run had to end".to_owned(),
                    false => "no answer, not even when its time was up".to_owned(),
                };
                self.hire(Lane::of(&self.shop.jobs[job]), 1);
                self.ended(
                    job,
                    self.shop.verdict(job, until, Ok(Ok(Outcome::late(&text)))),
                );
            }
        }
    }

    /// One look has ended: that is the answer, unless another look is due.
    fn ended(&mut self, job: usize, outcome: Outcome) {
        let now = Instant::now();
        let retry = self.shop.jobs[job].retry;
        let task = &mut self.tasks[job];
        let looks = task.before.len() as u32 + 1;
        let at = now + retry.wait;
        if outcome.state() != State::Ok && looks <= retry.times && at < self.shop.last {
            task.before
                .push(format!("{} - {}", outcome.state().word(), outcome.line()));
            task.stage = Stage::Waiting;
            self.again.push(Reverse((at, job, looks + 1)));
            return;
        }
        let mut outcome = outcome;
        for (index, line) in task.before.drain(..).enumerate() {
            outcome.detail(&format!("look {} said: {line}", index + 1));
        }
        task.took = task.first.map_or(Duration::ZERO, |it| now - it);
        task.stage = Stage::Done(outcome);
        self.done += 1;
    }

    fn look_again(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, job, look))) = self.again.peek().copied() {
            if at > now {
                return;
            }
            self.again.pop();
            self.shop.push(job, look);
        }
    }

    /// Doubles the workers of a lane when most of them did not become free since the last tick and it was
    /// not for want of CPU.
    fn grow(&mut self, lane: Lane) {
        let queued = self.shop.queued(lane);
        let shop = self.shop.clone();
        let crew = self.crew(lane);
        if crew.workers >= crew.most || crew.tick.since.elapsed() < length(lane) {
            return;
        }
        let waiting = queued > 0 && crew.taken < crew.workers.div_ceil(2);
        let more = match waiting && has_cpu_left(lane, &crew.tick, &shop.run) {
            true => crew.workers.min(queued),
            false => 0,
        };
        let more = more.min(crew.most.saturating_sub(crew.workers));
        crew.taken = 0;
        crew.tick = Tick::now();
        self.hire(lane, more);
    }

    fn hire(&mut self, lane: Lane, count: usize) {
        for _ in 0..count {
            let (shop, tell) = (self.shop.clone(), self.tell.clone());
            let hired = thread::Builder::new()
                .stack_size(STACK)
                .spawn(move || shop.work(lane, &tell));
            match hired {
                Ok(_) => self.crew(lane).workers += 1,
                // Those that are there do the work, only later.
                Err(error) => {
                    let first = self.refused.replace(net::plain(&error)).is_none();
                    if self.crew(lane).workers == 0 {
                        self.shop.lend(lane);
                    }
                    if first && lane == Lane::Waiting {
                        self.make_room();
                    }
                    return;
                }
            }
        }
    }

    /// Lets some workers that wait go where programs are to be started, because a program counts as much as a thread
    /// (RLIMIT_NPROC in getrlimit(2)).
    fn make_room(&mut self) {
        const ROOM: usize = 2;
        let starts = |it: &Job| Lane::of(it) == Lane::Spawning;
        if !self.shop.jobs.iter().any(starts) {
            return;
        }
        // Those that start programs can do the rest as well.
        let kept = usize::from(self.crew(Lane::Spawning).workers == 0);
        let waiting = self.crew(Lane::Waiting);
        let less = ROOM.min(waiting.workers.saturating_sub(kept));
        waiting.workers -= less;
        waiting.most = waiting.workers;
        if waiting.workers == 0 {
            self.shop.lend(Lane::Waiting);
        }
        self.shop.dismiss(less);
    }

    fn progress(&self) -> Progress<'_> {
        let running = self.tasks.iter().zip(&self.shop.jobs);
        // Between two looks it is waited for as well.
        let is_open = |it: &Task| match it.stage {
            Stage::Running { .. } => true,
            Stage::Waiting => it.first.is_some(),
            Stage::Done(_) => false,
        };
        let running = running.filter(|(task, _)| is_open(task));
        Progress {
            done: self.done,
            total: self.tasks.len(),
            running: running.map(|(_, job)| job.name.as_str()).collect(),
        }
    }

    /// Accounts for every job by name, also for those that were cut off or never started.
    fn close(self, stopped: Option<&str>) -> Vec<Looked> {
        let limit = &self.limit;
        let reason = stopped.map_or_else(
            || format!("the run's deadline of {limit} came"),
            str::to_owned,
        );
        let few = self.refused.as_ref().map_or(String::new(), |why| {
            let workers: usize = self.crews.iter().map(|it| it.workers).sum();
            format!("; only {workers} threads could be started: {why}")
        });
        let now = Instant::now();
        let account = |task: Task| {
            let took = task.first.map_or(Duration::ZERO, |it| now - it);
            let cut = |text: String| {
                let mut outcome = Outcome::of(UNKNOWN, State::Unknown, &text);
                for (index, line) in task.before.iter().enumerate() {
                    outcome.detail(&format!("look {} said: {line}", index + 1));
                }
                Looked {
                    outcome,
                    took,
                    age: None,
                }
            };
            match task.stage {
                Stage::Done(outcome) => Looked {
                    outcome,
                    took: task.took,
                    age: None,
                },
                Stage::Running { .. } => cut(format!("cut off: {reason} before it answered")),
                Stage::Waiting if task.first.is_some() => {
                    cut(format!("cut off: {reason} before the next look"))
                }
                Stage::Waiting => cut(format!("not started: {reason} first{few}")),
            }
        };
        self.tasks.into_iter().map(account).collect()
    }
}

/// How long it is from one look at a crew to the next.
fn length(lane: Lane) -> Duration {
    match lane {
        Lane::Waiting => TICK,
        Lane::Spawning => LONG_TICK,
    }
}

/// Whether it is not for want of CPU that workers do not become free: this process has used less than a quarter
/// of the machine since, or fewer programs want a CPU than there are.
fn has_cpu_left(lane: Lane, since: &Tick, run: &check::Run) -> bool {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    match lane {
        Lane::Waiting => {
            let now = Tick::now();
            (now.cpu - since.cpu) * 4 < (now.since - since.since) * cores as u32
        }
        // Where nobody tells, waiting is taken for waiting.
        Lane::Spawning => run
            .children
            .wanting_cpu(&run.roots)
            .map_or(true, |it| it < cores),
    }
}

/// A moment, and the CPU time that this process had used at it.
struct Tick {
    since: Instant,
    cpu: Duration,
}

impl Tick {
    fn now() -> Tick {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Tick {
            since: Instant::now(),
            cpu: Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32),
        }
    }
}

/// How many checks this machine can hold at once by open files, of which this process takes all that it may have.
fn files() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        limit.current = limit.maximum;
        // Where it is not allowed, the old limit stays.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(32) / 2)
        .unwrap_or(usize::MAX)
        .max(FEWEST)
}

/// How many that need so much memory each this machine can hold at once; half of what is free belongs to others.
fn memory(roots: &Roots, kib_each: usize) -> usize {
    let free = kernel::memory(roots).map_or(u64::MAX, |it| it.available);
    let kib = usize::try_from(free / 1024).unwrap_or(usize::MAX);
    (kib / 2 / kib_each).max(FEWEST)
}

/// So many checks are tried at once however little there is.
const FEWEST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Check, Context, TYPES};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A check that does what the test says.
    struct Does(fn(&Context) -> anyhow::Result<Outcome>);

    impl Check for Does {
        fn run(&self, cx: &Context) -> anyhow::Result<Outcome> {
            (self.0)(cx)
        }
    }

    fn job(name: &str, does: fn(&Context) -> anyhow::Result<Outcome>) -> Job {
        Job {
            timeout: Duration::from_millis(100),
            ..Job::new(name, TYPES[0], Arc::new(Does(does)))
        }
    }

    fn ran(jobs: Vec<Job>, parallel: Option<usize>) -> Ran {
        let orders = Orders {
            run: Arc::new(check::Run::new(check::Env::default(), Err(String::new()))),
            at: SystemTime::UNIX_EPOCH,
            end: Instant::now() + Duration::from_secs(5),
            limit: "5.0 s".to_owned(),
            parallel,
            on_progress: None,
            stop: &|| None,
        };
        run(jobs, orders)
    }

    #[test]
    fn two_checks_that_wait_are_looked_at_together() {
        static MET: AtomicUsize = AtomicUsize::new(0);
        fn meet(_: &Context) -> anyhow::Result<Outcome> {
            let both = MET.fetch_add(1, Ordering::SeqCst) / 2 * 2 + 2;
            let begin = Instant::now();
            while MET.load(Ordering::SeqCst) < both {
                anyhow::ensure!(begin.elapsed() < Duration::from_secs(3), "alone");
                thread::sleep(Duration::from_millis(1));
            }
            Ok(Outcome::new("met"))
        }
        // A worker may take its job before the next is hired.
        for _ in 0..100 {
            let ran = ran(vec![job("a", meet), job("b", meet)], None);
            let lines = ran.looked.iter().map(|it| it.outcome.line());
            assert_eq!(lines.collect::<Vec<_>>(), ["met", "met"]);
        }
    }

    #[test]
    fn a_panic_costs_only_its_own_check() {
        std::panic::set_hook(Box::new(|_| ()));
        let ran = ran(
            vec![
                job("bad", |_| panic!("index 7 is out of | bounds")),
                job("good", |_| Ok(Outcome::new("fine"))),
                job("blind", |_| anyhow::bail!("no permission")),
            ],
            None,
        );
        let _ = std::panic::take_hook();
        let said: Vec<(State, String)> = ran
            .looked
            .iter()
            .map(|it| (it.outcome.state(), it.outcome.line()))
            .collect();
        let text = "internal error in check type http: index 7 is out of ¦ bounds";
        assert_eq!(said[0], (State::Unknown, text.to_owned()));
        assert_eq!(said[1], (State::Ok, "fine".to_owned()));
        assert_eq!(said[2], (State::Unknown, "no permission".to_owned()));
    }

    #[test]
    fn a_check_that_ignores_its_deadline_is_reported_and_its_worker_replaced() {
        let stuck = |_: &Context| {
            thread::sleep(Duration::from_secs(4));
            Ok(Outcome::new("too late"))
        };
        let jobs = vec![
            job("stuck", stuck),
            job("stuck too", stuck),
            job("quick", |_| Ok(Outcome::new("fine"))),
        ];
        let ran = ran(jobs, Some(1));
        assert!(ran.took < Duration::from_secs(2), "{:?}", ran.took);
        let states: Vec<State> = ran.looked.iter().map(|it| it.outcome.state()).collect();
        assert_eq!(states, [State::Critical, State::Critical, State::Ok]);
        let line = ran.looked[0].outcome.line();
        assert!(
            line == "no answer, not even when its time was up (timeout 0.1 s)",
            "{line}"
        );
    }

    #[test]
    fn grades_change_states_and_late_has_its_own() {
        let mut graded = job("graded", |_| Ok(Outcome::of("lame", State::Critical, "x")));
        graded.grade.insert("lame".to_owned(), State::Ok);
        let mut late = job("late", |_| Ok(Outcome::late("x")));
        late.late = State::Warning;
        let ran = ran(vec![graded, late], None);
        let states: Vec<State> = ran.looked.iter().map(|it| it.outcome.state()).collect();
        assert_eq!(states, [State::Ok, State::Warning]);
    }
}
