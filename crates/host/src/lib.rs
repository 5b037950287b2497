//! placeholder doc
mod app;
mod bindings;
mod calls;
mod clock;
mod engine;
mod hosts;
mod http_trigger;
mod instance;
mod interface;
mod key_value;
mod log;
mod manifest;
mod options;
mod redis_trigger;
mod routes;
mod schedule;
mod server;
mod simulate;
mod variables;

pub use app::{App, CANCELLED, LoadError};
pub use calls::{Call, Counters, TracedCall};
pub use engine::{ComponentError, component_bytes};
pub use hosts::AllowedHostError;
pub use manifest::{Component, HttpTrigger, Manifest, ManifestError, RedisTrigger, Variable};
pub use options::{
    Fault, Faults, KeyValue, Options, Random, Reuse, Schedule, Stderr, Time,
};
pub use redis_trigger::MessageError;
pub use server::Server;
pub use simulate::{ALL_FAULTS, Exhausted, Run, Simulated, exhaust, simulate};
pub use variables::VariableError;
