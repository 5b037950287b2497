//! What a host is told: which manifests, where state lies, and for tests what may go wrong.
//! The defaults are those of Spin.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::call::Call;

/// Everything that [`App::load`](crate::App::load) needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The manifests to run together; component ids must differ between them.
    pub manifests: Vec<PathBuf>,
    /// Values of application variables; they win over `SPIN_VARIABLE_NAME` and over defaults.
    pub variables: BTreeMap<String, String>,
    /// Where [`App::serve`](crate::App::serve) listens; `None` is a free port on loopback.
    pub listen: Option<SocketAddr>,
    /// Where the default key-value store lies.
    pub key_value: KeyValue,
    /// How long an instance is kept, and for how much.
    pub reuse: Reuse,
    /// Count fuel (wasm instructions). Costs about a third of the speed of the guests.
    pub fuel: bool,
    /// The clocks that components see.
    pub time: Time,
    /// The randomness that components see.
    pub random: Random,
    /// What goes wrong at which host call.
    pub faults: Faults,
    /// In which order host calls take effect.
    pub schedule: Schedule,
    /// Where the components' standard output and error go, and the host's log with them.
    pub stderr: Stderr,
    /// Keep the trace of host calls even when nothing else controls them.
    pub trace: bool,
}

impl Options {
    /// The defaults for one manifest: as Spin would run it, with a key-value store in memory.
    pub fn new(manifest: impl Into<PathBuf>) -> Self {
        Self {
            manifests: vec![manifest.into()],
            variables: BTreeMap::new(),
            listen: None,
            key_value: KeyValue::Memory,
            reuse: Reuse::default(),
            fuel: false,
            time: Time::Real,
            random: Random::Real,
            faults: Faults::default(),
            schedule: Schedule::Real,
            stderr: Stderr::Inherit,
            trace: false,
        }
    }

    /// The same options with one more variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }
}

/// Where the default key-value store lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValue {
    /// In memory, gone with the app.
    Memory,
    /// In a SQLite file in this folder, which is created if need be; it outlives the process.
    File(PathBuf),
}

/// How long an instance is kept, and for how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// Requests that one instance answers in its life.
    pub requests: usize,
    /// Requests that one instance answers at the same time.
    pub concurrent: usize,
    /// How long an instance without work is kept.
    pub idle: Duration,
}

impl Default for Reuse {
    /// Spin's own values for components of WASI 0.3.
    fn default() -> Self {
        Self { requests: 128, concurrent: 16, idle: Duration::from_secs(1) }
    }
}

/// The clocks that components see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// The machine's.
    Real,
    /// A virtual clock that starts at this time after the Unix epoch. It moves only by
    /// [`App::advance_time`](crate::App::advance_time), and, under a seeded schedule, to the next
    /// waiting timer whenever nothing else can run.
    Seeded {
        /// Milliseconds since the Unix epoch.
        start_ms: u64,
    },
}

/// The randomness that components see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Random {
    /// The machine's.
    Real,
    /// From this seed and the number of the instance.
    Seeded(u64),
}

/// In which order host calls take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// As they come.
    Real,
    /// Parked and released one at a time, in an order that the seed decides. Works inside
    /// [`simulate`](crate::simulate), which owns the runtime.
    Seeded(u64),
}

/// Where the components' standard output and error go, and the host's log with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    /// To the standard error of this process.
    Inherit,
    /// Kept, for [`App::stderr`](crate::App::stderr).
    Capture,
}

/// One thing that goes wrong at one host call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call has no effect and returns an error.
    ErrorBefore,
    /// The call has its effect and returns an error.
    LostReply,
    /// The call has its effect after this time, even when the guest has given it up by then.
    DelayBefore {
        /// Milliseconds of the app's clock.
        ms: u64,
    },
    /// The call has its effect at once and returns after this time.
    DelayAfter {
        /// Milliseconds of the app's clock.
        ms: u64,
    },
    /// The instance dies, with all its requests, before the effect.
    CrashBefore,
    /// The instance dies, with all its requests, after the effect.
    CrashAfter,
    /// The client of the oldest request goes away; the guest goes on.
    Cancel,
    /// The call has its effect twice, and returns what the second one says.
    Duplicate,
    /// The call has its effect and returns, and has it once more after this time.
    DuplicateLater {
        /// Milliseconds of the app's clock.
        ms: u64,
    },
}

impl Fault {
    /// Whether a call of this kind can have the fault: a clock has no errors, and what does not reach
    /// a store has no effect that could be doubled.
    pub(crate) fn applies_to(self, call: Call) -> bool {
        match self {
            Self::ErrorBefore | Self::LostReply => call != Call::ClockWait,
            Self::Duplicate | Self::DuplicateLater { .. } => call.is_store_round_trip(),
            _ => true,
        }
    }
}

/// What goes wrong at which host call: by plan, and by chance. Everything is off by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Faults by host call number, counted from 1 over the life of the app. They win over chance, so
    /// that what [`App::faults_injected`](crate::App::faults_injected) says of a run can be replayed,
    /// all of it or a part.
    pub plan: BTreeMap<u64, Fault>,
    /// Decides the faults that come by chance, each call's by the call's number alone, and the clocks.
    pub seed: u64,
    /// Only calls of these kinds fail by chance; empty means every kind.
    pub calls: Vec<Call>,
    /// Probability, 0 to 1, of [`Fault::ErrorBefore`] at each call.
    pub error_before: f64,
    /// Probability of [`Fault::LostReply`].
    pub lost_reply: f64,
    /// Probability of [`Fault::DelayBefore`], of up to `delay_ms_max`.
    pub delay_before: f64,
    /// Probability of [`Fault::DelayAfter`], of up to `delay_ms_max`.
    pub delay_after: f64,
    /// Probability of [`Fault::CrashBefore`].
    pub crash_before: f64,
    /// Probability of [`Fault::CrashAfter`].
    pub crash_after: f64,
    /// Probability of [`Fault::Cancel`].
    pub cancel: f64,
    /// Probability of [`Fault::Duplicate`].
    pub duplicate: f64,
    /// Probability of [`Fault::DuplicateLater`], after up to `delay_ms_max`.
    pub duplicate_later: f64,
    /// The longest delay that comes by chance.
    pub delay_ms_max: u64,
    /// How far the system clock of an instance may be off, in either direction. Each instance has an
    /// offset of its own, from the seed and the number of the instance; one in three has none. Its
    /// monotonic clock is not affected, nor is [`App::now_ms`](crate::App::now_ms).
    pub clock_skew_ms_max: u64,
    /// How far the system clocks of all instances are ahead besides, or behind where negative.
    pub clock_ahead_ms: i64,
    /// How far the clock of a Redis server may be off, in either direction, as scripts see it. Each minute the seed
    /// decides anew, as if another machine had taken over.
    pub store_clock_off_ms_max: u64,
    /// A Redis server does not tell scripts its time.
    pub store_clock_withheld: bool,
}

impl Faults {
    /// One fault at one call.
    pub fn at(call_number: u64, fault: Fault) -> Self {
        Self { plan: BTreeMap::from([(call_number, fault)]), ..Self::default() }
    }

    /// What is wrong with clocks, and nothing else.
    #[must_use]
    pub fn of_clocks(&self) -> Self {
        Self {
            seed: self.seed,
            clock_skew_ms_max: self.clock_skew_ms_max,
            clock_ahead_ms: self.clock_ahead_ms,
            store_clock_off_ms_max: self.store_clock_off_ms_max,
            store_clock_withheld: self.store_clock_withheld,
            ..Self::default()
        }
    }

    /// Whether anything can go wrong at all.
    pub(crate) fn any(&self) -> bool {
        *self != Self { seed: self.seed, ..Self::default() }
    }
}
