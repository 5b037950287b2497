//! Every call that a component makes to the outside passes the gate here: it is counted, and in tests
//! it may fail, be late, take the instance down, or wait for its turn.
//!
//! Without faults, schedule or trace there is no [`Control`], and a call costs one atomic addition.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::call::Call;
use crate::clock::Clock;
use crate::lock::lock;
use crate::options::{Fault, Faults};
use crate::schedule::{Scheduler, Turn};

/// Counts since the app was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    calls: [u64; Call::ALL.len()],
    /// Instances created, for HTTP and for messages.
    pub instances: u64,
    /// Wasm instructions of all guests; 0 unless [`Options::fuel`](crate::Options::fuel).
    pub fuel: u64,
}

impl Counters {
    /// Host calls of one kind.
    pub fn of(&self, call: Call) -> u64 {
        self.calls[call as usize]
    }

    /// Host calls in total.
    pub fn host_calls(&self) -> u64 {
        self.calls.iter().sum()
    }

    /// Round trips to stores: Redis commands and key-value operations.
    pub fn store_round_trips(&self) -> u64 {
        Call::ALL
            .into_iter()
            .filter(|call| call.is_store_round_trip())
            .map(|call| self.of(call))
            .sum()
    }

    /// What happened between an earlier snapshot and this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            calls: std::array::from_fn(|kind| self.calls[kind] - earlier.calls[kind]),
            instances: self.instances - earlier.instances,
            fuel: self.fuel - earlier.fuel,
        }
    }
}

/// One host call in the trace of an app under control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedCall {
    /// Counted from 1, in the order in which the guests made the calls.
    pub number: u64,
    /// What was called.
    pub call: Call,
    /// The command, key or name.
    pub detail: String,
    /// What went wrong with it.
    pub fault: Option<Fault>,
}

impl std::fmt::Display for TracedCall {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} {}", self.number, self.call.name(), self.detail)?;
        self.fault.map_or(Ok(()), |fault| write!(formatter, " ({fault:?})"))
    }
}

/// An error that a host call can return to the guest when a fault is injected.
pub(crate) trait Broken: Sized + Send + 'static {
    /// The error of a broken connection; `None` where the interface has no errors.
    fn broken(call: Call) -> Option<Self>;
}

/// For calls without errors.
impl Broken for std::convert::Infallible {
    fn broken(_: Call) -> Option<Self> {
        None
    }
}

/// What a call gives: a trap, or the guest's own result.
pub(crate) type Outcome<T, E> = wasmtime::Result<Result<T, E>>;

/// The gate that every host call passes.
pub(crate) struct Gate {
    counts: [AtomicU64; Call::ALL.len()],
    pub(crate) instances: AtomicU64,
    pub(crate) fuel: AtomicU64,
    pub(crate) control: Option<Arc<Control>>,
}

impl Gate {
    pub(crate) fn new(control: Option<Control>) -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            instances: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            control: control.map(Arc::new),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters {
            calls: std::array::from_fn(|kind| self.counts[kind].load(Ordering::Relaxed)),
            instances: self.instances.load(Ordering::Relaxed),
            fuel: self.fuel.load(Ordering::Relaxed),
        }
    }

    /// Lets one call through. `effect` owns what it needs, because it may outlive the guest's
    /// interest in it; it may be had more than once.
    pub(crate) async fn pass<T, E, F>(
        &self,
        call: Call,
        detail: impl FnOnce() -> String + Send,
        effect: impl Fn() -> F + Send + 'static,
    ) -> Outcome<T, E>
    where
        T: Send + 'static,
        E: Broken,
        F: Future<Output = Outcome<T, E>> + Send + 'static,
    {
        self.counts[call as usize].fetch_add(1, Ordering::Relaxed);
        match &self.control {
            None => effect().await,
            Some(control) => control.pass(call, detail(), effect).await,
        }
    }
}

/// What randomness is for.
#[derive(Clone, Copy)]
enum Decision {
    Fault,
    ClockSkew,
    StoreClock,
}

/// What tests add to the gate.
pub(crate) struct Control {
    made: AtomicU64,
    faults: Faults,
    faults_stopped: AtomicBool,
    trace: Mutex<Vec<TracedCall>>,
    clock: Arc<Clock>,
    pub(crate) scheduler: Option<Arc<Scheduler>>,
    /// Calls that belong to the preparation of a scenario.
    set_up: AtomicU64,
    /// The last call of a scenario; what is called afterwards only looks at what came of it.
    last: AtomicU64,
    /// Requests that wait for their response, by age; cancelled by sending.
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
    requests: AtomicU64,
}

impl Control {
    pub(crate) fn new(
        faults: Faults,
        clock: Arc<Clock>,
        scheduler: Option<Arc<Scheduler>>,
    ) -> Self {
        Self {
            made: AtomicU64::new(0),
            faults,
            faults_stopped: AtomicBool::new(false),
            trace: Mutex::default(),
            clock,
            scheduler,
            set_up: AtomicU64::new(0),
            last: AtomicU64::new(u64::MAX),
            waiting: Mutex::default(),
            requests: AtomicU64::new(0),
        }
    }

    pub(crate) fn trace(&self) -> Vec<TracedCall> {
        lock(&self.trace).clone()
    }

    pub(crate) fn faults_injected(&self) -> Vec<TracedCall> {
        lock(&self.trace).iter().filter(|call| call.fault.is_some()).cloned().collect()
    }

    pub(crate) fn stop_faults(&self) {
        self.faults_stopped.store(true, Ordering::Release);
    }

    pub(crate) fn are_faults_stopped(&self) -> bool {
        self.faults_stopped.load(Ordering::Acquire)
    }

    /// How far the system clock of the instance of this number is ahead, or behind where negative.
    pub(crate) fn clock_skew_ms(&self, instance: u64) -> i64 {
        let skew_ms_max = i64::try_from(self.faults.clock_skew_ms_max).unwrap_or(i64::MAX);
        let mut random = self.random(Decision::ClockSkew, instance);
        let skew_ms = if random.random_ratio(1, 3) {
            0
        } else {
            random.random_range(-skew_ms_max..=skew_ms_max)
        };
        skew_ms.saturating_add(self.faults.clock_ahead_ms)
    }

    /// Whether a server tells scripts its time.
    pub(crate) fn is_store_clock_withheld(&self) -> bool {
        self.faults.store_clock_withheld && !self.are_faults_stopped()
    }

    /// How far a server's clock is ahead in this minute, or behind where negative.
    pub(crate) fn store_clock_off_ms(&self, minute: u64) -> i64 {
        let off_ms_max = i64::try_from(self.faults.store_clock_off_ms_max).unwrap_or(i64::MAX);
        if off_ms_max == 0 || self.are_faults_stopped() {
            return 0;
        }
        self.random(Decision::StoreClock, minute).random_range(-off_ms_max..=off_ms_max)
    }

    /// Whether anything is wrong with the clocks of servers.
    pub(crate) fn has_store_clock_faults(&self) -> bool {
        self.faults.store_clock_withheld || self.faults.store_clock_off_ms_max > 0
    }

    /// The randomness of one decision. It depends on no other decision, so that a scenario with fewer
    /// steps changes as few as possible of those that stay.
    fn random(&self, decision: Decision, number: u64) -> StdRng {
        let mut seed = <StdRng as SeedableRng>::Seed::default();
        let parts = [self.faults.seed, decision as u64, number];
        for (bytes, part) in seed.chunks_exact_mut(size_of::<u64>()).zip(parts) {
            bytes.copy_from_slice(&part.to_le_bytes());
        }
        StdRng::from_seed(seed)
    }

    pub(crate) fn set_up_done(&self) {
        self.set_up.store(self.made.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn scenario_done(&self) {
        self.last.fetch_min(self.made.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The calls between preparing a scenario and looking at what came of it.
    pub(crate) fn calls_of_scenario(&self) -> Range<u64> {
        let last = self.last.load(Ordering::Relaxed);
        self.set_up.load(Ordering::Relaxed) + 1..last.saturating_add(1)
    }

    /// Registers a request that a fault may cancel; gives its number and the cancellation.
    pub(crate) fn request_started(&self) -> (u64, oneshot::Receiver<()>) {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let (cancel, cancelled) = oneshot::channel();
        lock(&self.waiting).insert(number, cancel);
        (number, cancelled)
    }

    pub(crate) fn request_ended(&self, number: u64) {
        lock(&self.waiting).remove(&number);
    }

    async fn pass<T, E, F>(
        self: &Arc<Self>,
        call: Call,
        detail: String,
        effect: impl Fn() -> F + Send + 'static,
    ) -> Outcome<T, E>
    where
        T: Send + 'static,
        E: Broken,
        F: Future<Output = Outcome<T, E>> + Send + 'static,
    {
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = self.choose(number, call);
        let label = format!("{number} {} {detail}", call.name());
        lock(&self.trace).push(TracedCall { number, call, detail, fault });
        if let Some(Fault::DelayBefore { ms }) = fault {
            return match self.late(call, label, ms, effect).await {
                Ok(outcome) => outcome,
                Err(error) => Err(wasmtime::Error::msg(format!("late host call: {error}"))),
            };
        }
        let turn = self.turn(call, &label).await;
        match fault {
            Some(Fault::ErrorBefore) if let Some(error) = E::broken(call) => return Ok(Err(error)),
            Some(Fault::CrashBefore) => return Err(crash(&label, "before")),
            Some(Fault::Cancel) => self.cancel_oldest(),
            _ => {}
        }
        let mut outcome = effect().await;
        if fault == Some(Fault::Duplicate) {
            outcome = effect().await;
        }
        drop(turn);
        match fault {
            Some(Fault::LostReply) if let Some(error) = E::broken(call) => Ok(Err(error)),
            Some(Fault::CrashAfter) => Err(crash(&label, "after")),
            Some(Fault::DelayAfter { ms }) => {
                self.clock.sleep_ms(ms).await;
                outcome
            }
            Some(Fault::DuplicateLater { ms }) => {
                // Nobody waits for what the second one says.
                drop(self.late(call, label, ms, effect));
                outcome
            }
            _ => outcome,
        }
    }

    /// Has the effect after this time, on a task of its own, so that it happens even if the guest gives
    /// the call up.
    fn late<T, F>(
        self: &Arc<Self>,
        call: Call,
        label: String,
        ms: u64,
        effect: impl Fn() -> F + Send + 'static,
    ) -> JoinHandle<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let control = Arc::clone(self);
        tokio::spawn(async move {
            control.clock.sleep_ms(ms).await;
            let _turn = control.turn(call, &label).await;
            effect().await
        })
    }

    /// Waits for the call's turn, if calls take turns. A wait on the clock does not: its turn is its
    /// deadline, and to hold others up while it waits would stop the clock.
    async fn turn(&self, call: Call, label: &str) -> Option<Turn> {
        match &self.scheduler {
            Some(scheduler) if call != Call::ClockWait => Some(scheduler.park(label).await),
            _ => None,
        }
    }

    fn choose(&self, number: u64, call: Call) -> Option<Fault> {
        let faults = &self.faults;
        if self.are_faults_stopped() {
            return None;
        }
        if let Some(fault) = faults.plan.get(&number) {
            return Some(*fault);
        }
        if !(faults.calls.is_empty() || faults.calls.contains(&call)) {
            return None;
        }
        let mut random = self.random(Decision::Fault, number);
        let mut rest: f64 = random.random();
        let ms = random.random_range(0..=faults.delay_ms_max);
        [
            (faults.error_before, Fault::ErrorBefore),
            (faults.lost_reply, Fault::LostReply),
            (faults.delay_before, Fault::DelayBefore { ms }),
            (faults.delay_after, Fault::DelayAfter { ms }),
            (faults.crash_before, Fault::CrashBefore),
            (faults.crash_after, Fault::CrashAfter),
            (faults.cancel, Fault::Cancel),
            (faults.duplicate, Fault::Duplicate),
            (faults.duplicate_later, Fault::DuplicateLater { ms }),
        ]
        .into_iter()
        .find_map(|(probability, fault)| {
            rest -= probability;
            (rest < 0.0).then_some(fault)
        })
        .filter(|fault| fault.applies_to(call))
    }

    fn cancel_oldest(&self) {
        if let Some((_, cancel)) = lock(&self.waiting).pop_first() {
            // A request that has just been answered cannot be cancelled any more.
            let _ = cancel.send(());
        }
    }
}

fn crash(label: &str, when: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("injected crash {when} host call {label}"))
}
