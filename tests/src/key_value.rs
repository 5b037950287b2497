//! A key-value store in memory with the semantics of Spin's default store, its traps included:
//! - `swap` compares only if the key existed when `current` was read; for an absent key both of two
//!   swaps answer ok, and the second overwrites
//! - `increment` on a value that is not 8 bytes long breaks the store for good
//!
//! Calls can be counted, made to fail before or after their effect, and put in any order among
//! concurrent writers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard};

use binding::kv::KeyValue;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// When a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has no effect.
    Before,
    /// It has its effect, and the answer is lost.
    After,
}

/// The store, which writers share.
#[derive(Debug)]
pub struct Store {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    values: BTreeMap<String, Vec<u8>>,
    broken: bool,
    random: StdRng,
}

/// One writer's view of the store.
#[derive(Debug)]
pub struct Port<'a> {
    store: &'a Store,
    turns: Option<(&'a Turns, usize)>,
    fault: Option<(u32, Fault)>,
    calls: Mutex<u32>,
}

/// A handle of a compare-and-swap.
#[derive(Debug)]
pub struct Cas {
    key: String,
    seen: Mutex<Option<Vec<u8>>>,
}

impl Store {
    /// An empty store; the seed is that of the names which its writers make up.
    pub fn new(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { inner: Mutex::new(Inner { values: BTreeMap::new(), broken: false, random }) }
    }

    /// A view for one writer.
    pub fn port(&self) -> Port<'_> {
        Port { store: self, turns: None, fault: None, calls: Mutex::new(0) }
    }

    /// The keys.
    pub fn keys(&self) -> Vec<String> {
        self.lock().values.keys().cloned().collect()
    }

    /// Sets a key, as something else than the binding would.
    pub fn put(&self, key: &str, value: &[u8]) {
        self.lock().values.insert(key.to_owned(), value.to_vec());
    }

    /// Removes a key, as something else than the binding would.
    pub fn take(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().values.remove(key)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no writer panics inside the store")
    }
}

impl<'a> Port<'a> {
    /// Makes one call fail, counted from 0.
    #[must_use]
    pub fn failing(self, call: u32, fault: Fault) -> Self {
        Self { fault: Some((call, fault)), ..self }
    }

    /// Makes each call wait for this writer's turn.
    #[must_use]
    pub fn taking(self, turns: &'a Turns, writer: usize) -> Self {
        Self { turns: Some((turns, writer)), ..self }
    }

    /// The number of calls so far.
    pub fn calls(&self) -> u32 {
        *self.calls.lock().expect("no call panics")
    }

    fn call<T>(&self, effect: impl FnOnce(&mut Inner) -> Result<T, String>) -> Result<T, String> {
        let number = {
            let mut calls = self.calls.lock().expect("no call panics");
            *calls += 1;
            *calls - 1
        };
        if let Some((turns, writer)) = self.turns {
            turns.wait(writer);
        }
        let fault = self.fault.and_then(|(call, fault)| (call == number).then_some(fault));
        if fault == Some(Fault::Before) {
            return Err("failed before the effect".to_owned());
        }
        let mut inner = self.store.lock();
        if inner.broken {
            return Err("the store is broken".to_owned());
        }
        let result = effect(&mut inner);
        if fault == Some(Fault::After) { Err("failed after the effect".to_owned()) } else { result }
    }
}

impl KeyValue for &Port<'_> {
    type Cas = Cas;

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.call(|inner| Ok(inner.values.get(key).cloned()))
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), String> {
        self.call(|inner| {
            inner.values.insert(key.to_owned(), value.to_vec());
            Ok(())
        })
    }

    fn delete(&self, key: &str) -> Result<(), String> {
        self.call(|inner| {
            inner.values.remove(key);
            Ok(())
        })
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, String> {
        self.call(|inner| {
            let value = inner.values.entry(key.to_owned()).or_insert_with(|| vec![0; 8]);
            let Ok(bytes) = <[u8; 8]>::try_from(value.as_slice()) else {
                inner.broken = true;
                return Err("the host panicked".to_owned());
            };
            let sum = i64::from_le_bytes(bytes) + delta;
            *value = sum.to_le_bytes().to_vec();
            Ok(sum)
        })
    }

    fn cas(&self, key: &str) -> Result<Cas, String> {
        self.call(|_| Ok(Cas { key: key.to_owned(), seen: Mutex::new(None) }))
    }

    fn current(&self, cas: &Cas) -> Result<Option<Vec<u8>>, String> {
        self.call(|inner| {
            let current = inner.values.get(&cas.key).cloned();
            cas.seen.lock().expect("no call panics").clone_from(&current);
            Ok(current)
        })
    }

    fn swap(&self, cas: Cas, value: &[u8]) -> Result<bool, String> {
        self.call(|inner| {
            let seen = cas.seen.into_inner().expect("no call panics");
            if seen.is_some() && inner.values.get(&cas.key) != seen.as_ref() {
                return Ok(false);
            }
            inner.values.insert(cas.key, value.to_vec());
            Ok(true)
        })
    }

    fn random(&self) -> u64 {
        self.store.lock().random.random()
    }
}

/// Puts the calls of concurrent writers in an order that a seed decides: whenever all writers wait or
/// have finished, one of them goes on.
#[derive(Debug)]
pub struct Turns {
    state: Mutex<TurnState>,
    changed: Condvar,
}

#[derive(Debug)]
struct TurnState {
    running: usize,
    waiting: BTreeSet<usize>,
    next: Option<usize>,
    random: StdRng,
}

impl Turns {
    /// An order for a number of writers.
    pub fn new(seed: u64, writers: usize) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let waiting = BTreeSet::new();
        let state = TurnState { running: writers, waiting, next: None, random };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Says that a writer makes no more calls.
    pub fn finish(&self) {
        let mut state = self.lock();
        state.running -= 1;
        self.choose(&mut state);
    }

    fn wait(&self, writer: usize) {
        let mut state = self.lock();
        state.running -= 1;
        state.waiting.insert(writer);
        self.choose(&mut state);
        while state.next != Some(writer) {
            state = self.changed.wait(state).expect("no writer panics while it waits");
        }
        state.next = None;
    }

    fn choose(&self, state: &mut TurnState) {
        if state.running > 0 || state.waiting.is_empty() {
            return;
        }
        let chosen = state.random.random_range(0..state.waiting.len());
        let writer = state.waiting.iter().nth(chosen).copied();
        if let Some(writer) = writer {
            state.waiting.remove(&writer);
            state.running += 1;
        }
        state.next = writer;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, TurnState> {
        self.state.lock().expect("no writer panics while it waits")
    }
}
