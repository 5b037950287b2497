//! The layer between the binding, which is one transaction, and the rules: what every rule needs of a store, once.
//! It knows neither HTTP nor a function.
//!
//! - [`context`]: the store, the time and the partitions of one request
//! - [`wave`]: transactions and reads of several partitions at once
//! - [`plan`]: a transaction whose guards carry their reasons, so that a refusal *is* the reason
//! - [`codec`]: how records are written, with a byte that names the version, and what cannot be read
//! - [`versioned`]: one record that is changed from the exact value that was seen
//! - [`attempts`]: the loop of whoever loses against another commit, with its bound
//! - [`cache`]: what an instance read a moment ago
//! - [`published`]: configuration that operators publish and everybody reads
//! - [`sealed`]: configuration that is over for good, and names that never come back
//! - [`numbers`]: numbers under which operations act at most once, and how they are forgotten
//! - [`retention`]: how long what is over is kept
//! - [`life`]: how long each kind of record lives
//! - [`listing`]: one list out of those of all partitions
//! - [`quarantine`]: what cannot be done for a fault of its own records, set aside with its reason
//! - [`sweep`]: doing what is due in an index, the oldest first
//! - [`failure`]: why an operation gave nothing

pub mod attempts;
pub mod cache;
pub mod codec;
pub mod context;
pub mod failure;
pub mod life;
pub mod listing;
pub mod numbers;
pub mod plan;
pub mod published;
pub mod quarantine;
pub mod retention;
pub mod sealed;
pub mod sweep;
pub mod versioned;
pub mod wave;

pub use attempts::attempts;
pub use binding::Binding;
pub use codec::Record;
pub use context::Context;
pub use failure::Failure;
pub use plan::{Plan, Refused};
pub use sweep::Sweep;
pub use versioned::{Seen, Versioned};
