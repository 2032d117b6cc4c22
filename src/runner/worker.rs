//! What workers do: take a job, look, tell. Errors and panics become UNKNOWN here and nowhere else.

use crate::check::{self, Context};
use crate::model::outcome::{LATE, Outcome, UNKNOWN};
use crate::model::quantity;
use crate::model::state::State;
use crate::plan::Job;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

/// What a worker tells.
pub enum Said {
    Started {
        job: usize,
        at: Instant,
    },
    Done {
        job: usize,
        look: u32,
        outcome: Box<Outcome>,
    },
}

/// The jobs that wait for a worker.
#[derive(Default)]
struct Queue {
    jobs: Mutex<VecDeque<(usize, u32)>>,
    more: Condvar,
}

/// Which workers do a job: those that wait, of which there may be very many, or those that start programs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lane {
    Waiting,
    Spawning,
}

impl Lane {
    pub const ALL: [Lane; 2] = [Lane::Waiting, Lane::Spawning];

    fn other(self) -> Lane {
        match self {
            Lane::Waiting => Lane::Spawning,
            Lane::Spawning => Lane::Waiting,
        }
    }

    pub fn of(job: &Job) -> Lane {
        match job.check.spawns() {
            true => Lane::Spawning,
            false => Lane::Waiting,
        }
    }
}

/// What workers have in common.
pub struct Shop {
    pub jobs: Vec<Job>,
    queues: [Queue; Lane::ALL.len()],
    /// Whether no worker could be started for a lane, so that those of the other one do its jobs.
    is_lent: [AtomicBool; Lane::ALL.len()],
    /// How many workers that wait are to end, so that programs can be started in their place.
    surplus: AtomicUsize,
    pub run: Arc<check::Run>,
    pub at: SystemTime,
    pub begin: Instant,
    /// Until when a check's own I/O may take at the most.
    pub last: Instant,
}

impl Queue {
    fn push(&self, job: usize, look: u32) {
        lock(&self.jobs).push_back((job, look));
        self.more.notify_one();
    }

    /// The next job, unless the worker is to end.
    fn pop(&self, is_to_end: impl Fn() -> bool) -> Option<(usize, u32)> {
        let mut jobs = lock(&self.jobs);
        loop {
            if is_to_end() {
                return None;
            }
            match jobs.pop_front() {
                Some(next) => return Some(next),
                None => {
                    jobs = self.more.wait(jobs).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Shop {
    /// All jobs wait for their first look.
    pub fn open(
        jobs: Vec<Job>,
        run: Arc<check::Run>,
        at: SystemTime,
        begin: Instant,
        last: Instant,
    ) -> Shop {
        let shop = Shop {
            jobs,
            queues: Default::default(),
            is_lent: Default::default(),
            surplus: AtomicUsize::default(),
            run,
            at,
            begin,
            last,
        };
        // Nobody waits yet whom one would have to wake.
        for job in 0..shop.jobs.len() {
            let queue = shop.queue(Lane::of(&shop.jobs[job]));
            lock(&queue.jobs).push_back((job, 1));
        }
        shop
    }

    /// Lets a job wait for a worker.
    pub fn push(&self, job: usize, look: u32) {
        self.queue(Lane::of(&self.jobs[job])).push(job, look);
    }

    /// How many jobs of a lane wait for a worker.
    pub fn queued(&self, lane: Lane) -> usize {
        lock(&self.queue(lane).jobs).len()
    }

    fn queue(&self, lane: Lane) -> &Queue {
        match self.is_lent[lane as usize].load(Ordering::Acquire) {
            true => &self.queues[lane.other() as usize],
            false => &self.queues[lane as usize],
        }
    }

    /// Gives the jobs of a lane that has no workers to those of the other one.
    pub fn lend(&self, lane: Lane) {
        self.is_lent[lane as usize].store(true, Ordering::Release);
        let jobs = std::mem::take(&mut *lock(&self.queues[lane as usize].jobs));
        let other = &self.queues[lane.other() as usize];
        lock(&other.jobs).extend(jobs);
        other.more.notify_all();
    }

    /// Lets so many of the workers that wait end as soon as they are free.
    pub fn dismiss(&self, count: usize) {
        self.surplus.fetch_add(count, Ordering::AcqRel);
        self.queues[Lane::Waiting as usize].more.notify_all();
    }

    fn is_surplus(&self, lane: Lane) -> bool {
        let less = |it: usize| it.checked_sub(1);
        let take = || {
            self.surplus
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
        };
        lane == Lane::Waiting && take().is_ok()
    }

    /// The life of a worker, which ends with the process.
    pub fn work(&self, lane: Lane, tell: &Sender<Said>) {
        loop {
            let Some((job, look)) = self.queue(lane).pop(|| self.is_surplus(lane)) else {
                return;
            };
            let at = Instant::now();
            if at >= self.last {
                // What cannot be answered any more is not begun; the supervisor accounts for it.
                return;
            }
            let started = tell.send(Said::Started { job, at });
            let outcome = Box::new(self.look(job, at));
            let done = tell.send(Said::Done { job, look, outcome });
            if started.is_err() || done.is_err() {
                return;
            }
        }
    }

    pub fn deadline(&self, job: usize, at: Instant) -> Instant {
        (at + self.jobs[job].timeout).min(self.last)
    }

    fn look(&self, job: usize, at: Instant) -> Outcome {
        let deadline = self.deadline(job, at);
        let cx = Context {
            now: self.at + at.duration_since(self.begin),
            previous: self.run.previous(&self.jobs[job].name),
            deadline,
            base: self.jobs[job].base.clone(),
            author: self.jobs[job].author,
            run: self.run.clone(),
        };
        let check = &self.jobs[job].check;
        let result = catch_unwind(AssertUnwindSafe(|| check.run(&cx)));
        self.verdict(job, deadline, result)
    }

    /// The one place where an error, a panic and a passed deadline become findings, and where the list
    /// re-grades them.
    pub fn verdict(
        &self,
        job: usize,
        deadline: Instant,
        result: thread::Result<anyhow::Result<Outcome>>,
    ) -> Outcome {
        let job = &self.jobs[job];
        let mut outcome = match result {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::of(UNKNOWN, State::Unknown, &format!("{error:#}")),
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or(panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no reason given");
                let text = format!("internal error in check type {}: {text}", job.kind.name);
                Outcome::of(UNKNOWN, State::Unknown, &text)
            }
        };
        // What the run's own deadline cut short says nothing about the check.
        match deadline == self.last {
            true => outcome.regrade(LATE, State::Unknown),
            false => {
                let timeout = quantity::seconds(job.timeout.as_secs_f64());
                outcome.append(LATE, &format!(" (timeout {timeout})"));
                outcome.regrade(LATE, job.late);
            }
        }
        for (code, state) in &job.grade {
            outcome.regrade(code, *state);
        }
        outcome
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
