//! The edge, the same for every function: HTTP in and out, configuration, clock, randomness and the
//! store.
//!
//! In reading order:
//! - [`serve`](serve::serve): one request from the route table to the response
//! - [`route`]: method, path and who may call
//! - [`http`]: requests and responses as `wasi:http` carries them
//! - [`call`]: what a handler is given - parameters, query, body within limits
//! - [`json`]: bodies of a known shape, and errors that name the field
//! - [`problem`], [`Failure`], [`answer`]: what it gives back
//! - [`config`], [`kept`]: Spin variables, checked, at most 500 ms old, and what goes with them
//! - [`store`]: the binding on Spin's imports, kept for the life of the instance
//! - [`sweep`]: what a sweep could not do
//! - [`clock`]: the time of a request, by the store's clock
//! - [`stages`], [`trace`], [`log`]: `Server-Timing`, the trace id, one line per failure
//! - [`wit`]: errors of the typed interfaces
//!
//! Nothing here knows what a function does.
//!
//! # Rules of the edge
//!
//! - It reads `wasi:http` directly, without the `http` crate in between. That saves code in each component, and
//!   only the headers that somebody asks for leave the host.
//! - Tokens are compared in constant time.
//! - All failures become problem details in one place ([`problem`]). The cause goes to the log with the trace id,
//!   and never into the answer. Panics reach the log through a hook.
//! - Requests of one instance run concurrently and never wake each other: a component's task may only wait for the
//!   host. A request that finds the connection being opened looks again after a millisecond.
//! - A time-out races each call against a timer, because Spin has none. The call that was given up may still
//!   happen.
//! - An instance keeps the store's connection, its clock offset, configuration for 500 ms and health for a second.
//!   No request data lies in statics.

pub mod answer;
pub mod auth;
pub mod call;
pub mod clock;
pub mod config;
pub mod http;
pub mod json;
pub mod kept;
pub mod log;
pub mod problem;
pub mod route;
pub mod serve;
pub mod stages;
pub mod store;
pub mod sweep;
pub mod trace;
pub mod wit;

pub use ::store::Failure;
pub use answer::Answer;
pub use call::Call;
pub use http::Response;
pub use kept::Kept;
pub use problem::Problem;
pub use route::{Access, Route};
pub use serve::serve;
pub use spin_sdk::wasip3;
pub use spin_sdk::wasip3::http::types::Request;
pub use stages::Stages;
