//! Runs the components of a `spin.toml` on wasmtime, as Spin would: for development (the binary
//! `hongbao-host`), for tests and for benchmarks. Production is Spin. The host knows no component
//! of ours: it reads manifests and runs what they name.
//!
//! # Map
//!
//! | module | what it does |
//! | --- | --- |
//! | `options` | what a host is told; the defaults are Spin's |
//! | `manifest`, `variables`, `hosts`, `routes` | `spin.toml`, read strictly, and what its parts mean |
//! | `engine` | built file -> component -> ready to be instantiated |
//! | `instance` | what belongs to one instance |
//! | `loaded` | a component with its program |
//! | `interface` | what components import, one file an interface |
//! | `key_value` | the default store, in memory and in SQLite, with Spin's traps |
//! | `http_trigger`, `redis_trigger` | from a request or message to a component |
//! | `server` | sockets |
//! | `app` | all of it together: load, request, serve, publish |
//! | `call` | the kinds of host calls |
//! | `calls` | the gate that every host call passes: counters, faults, trace |
//! | `clock`, `schedule`, `simulate` | virtual time, turns for host calls, runs that repeat |
//! | `server_clock` | what Redis scripts see of it |
//! | `log`, `lock` | where output goes; locks that outlive a panic |
//!
//! # In a test
//!
//! [`App::load`] takes [`Options`]; [`App::request`] answers one request without a socket;
//! [`App::counters`] before and after it say what it cost. `tests/tests/api` does nothing else.
//!
//! [`simulate`] runs a scenario so that it can be repeated from its seeds; [`exhaust`] runs one
//! again and again, with every fault at every host call.
//!
//! # What differs from Spin
//!
//! - One key-value store, `default`; no SQL, no outbound HTTP, no TLS to Redis, no static responses,
//!   no component dependencies. A manifest that asks for them is refused.
//! - Accepted sockets and Redis connections have TCP_NODELAY.
//! - `spin-*` headers that a client sends are replaced, not joined.
//! - Where Spin's key-value host panics, the call traps; what a client sees is the same.
//! - A guest that computes without end holds its thread: there is no preemption.
//!
//! # Time, order and faults under control
//!
//! In a test, counters cover every host call and fuel. Time is virtual, randomness is seeded, and every host call
//! is parked and released in an order that a seed decides. The faults are: an error before the effect, a lost
//! reply, a delay past the time-out, a crash of the instance, a client that goes away, and a call that is delivered
//! twice, at once or a minute later. They come by plan, by chance, or exhaustively: one run counts the calls of a
//! scenario, then there is one run for every call and fault. Instances' clocks may differ by minutes. Scripts on a
//! real Redis see the virtual time as the server's (`server_clock`), which may be withheld, or jump as after a
//! fail-over. What happens to a call by chance follows from the seed and the number of the call alone, so a
//! schedule can be cut short without becoming another one.

mod app;
mod bindings;
mod call;
mod calls;
mod clock;
mod engine;
mod hosts;
mod http_trigger;
mod instance;
mod interface;
mod key_value;
mod loaded;
mod lock;
mod log;
mod manifest;
mod options;
mod redis_trigger;
mod routes;
mod schedule;
mod server;
mod server_clock;
mod simulate;
mod variables;

pub use app::{App, CANCELLED, LoadError};
pub use call::Call;
pub use calls::{Counters, TracedCall};
pub use engine::{ComponentError, component_bytes};
pub use hosts::AllowedHostError;
pub use manifest::{Component, HttpTrigger, Manifest, ManifestError, RedisTrigger, Variable};
pub use options::{Fault, Faults, KeyValue, Options, Random, Reuse, Schedule, Stderr, Time};
pub use redis_trigger::MessageError;
pub use server::Server;
pub use simulate::{ALL_FAULTS, Exhausted, Run, Simulated, exhaust, exhaust_share, simulate};
pub use variables::{ComponentVariables, VariableError};
