//! What all walks of one run share: what was found out once, and patience with servers that many ask.

use super::secure::RrSet;
use super::walk::{Cut, Place, Step};
use crate::net::left;
use hickory_proto::rr::Name;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What all walks of one run share.
#[derive(Default)]
pub struct Shared {
    pub tops: Once<(Cut, Option<Step>)>,
    pub places: Once<Place>,
    /// Keys and DS records of zones above.
    pub sets: Once<Option<RrSet>>,
    pub cuts: Mutex<HashMap<(String, Name), Cut>>,
    pub gates: Gates,
    /// Servers that answer only without EDNS.
    pub bare: Mutex<HashSet<SocketAddr>>,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets only so many questions wait at one address at a time, so that hundreds of zones on one server do not
/// look like an attack, and do not overflow its queue.
#[derive(Default)]
pub struct Gates(Mutex<HashMap<IpAddr, Arc<Gate>>>);

#[derive(Default)]
struct Gate {
    inside: Mutex<usize>,
    left: Condvar,
}

/// How many questions may wait at one address.
const WAITING: usize = 16;
/// How long one waits before the gate; then the server is silent, and nothing is gained by waiting.
const QUEUE: Duration = Duration::from_millis(700);

impl Gates {
    pub fn enter(&self, address: IpAddr) -> Pass {
        let gate = lock(&self.0).entry(address).or_default().clone();
        let waited = gate
            .left
            .wait_timeout_while(lock(&gate.inside), QUEUE, |it| *it >= WAITING);
        *waited.unwrap_or_else(PoisonError::into_inner).0 += 1;
        Pass(gate)
    }
}

/// A place inside the gate, given back when it is dropped.
pub struct Pass(Arc<Gate>);

impl Drop for Pass {
    fn drop(&mut self) {
        *lock(&self.0.inside) -= 1;
        self.0.left.notify_one();
    }
}

/// Values that are found out once; who wants one that another is finding out waits for it, but not for ever.
pub struct Once<V> {
    slots: Mutex<BTreeMap<(String, Name), Slot<V>>>,
    news: Condvar,
}

enum Slot<V> {
    Busy,
    Done(V),
}

impl<V> Default for Once<V> {
    fn default() -> Once<V> {
        Once {
            slots: Mutex::default(),
            news: Condvar::new(),
        }
    }
}

/// How long one check waits for what another finds out; two that wait for each other end with it.
const PATIENCE: Duration = Duration::from_secs(2);

impl<V: Clone> Once<V> {
    /// The value, made by the first who asks. What `make` does not find is not kept.
    pub fn get(
        &self,
        key: (String, Name),
        deadline: Instant,
        make: impl FnOnce() -> Option<V>,
    ) -> Option<V> {
        let until = deadline.min(Instant::now() + PATIENCE);
        let mut slots = lock(&self.slots);
        loop {
            match slots.get(&key) {
                Some(Slot::Done(value)) => return Some(value.clone()),
                Some(Slot::Busy) if !left(until).is_zero() => {
                    let waited = self.news.wait_timeout(slots, left(until));
                    slots = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                _ => break,
            }
        }
        slots.insert(key.clone(), Slot::Busy);
        drop(slots);
        let made = make();
        let mut slots = lock(&self.slots);
        match &made {
            Some(value) => slots.insert(key, Slot::Done(value.clone())),
            None => slots.remove(&key),
        };
        self.news.notify_all();
        made
    }
}
