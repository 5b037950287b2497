//! The layer between the binding, which is one transaction, and the rules. It has what every rule needs of a store, and
//! knows neither HTTP nor a function.
//!
//! - [`context`]: the store, the time and the partitions of one request
//! - [`wave`]: transactions and reads of several partitions at once
//! - [`plan`]: a transaction whose guards carry their reasons, so that a refusal *is* the reason
//! - [`codec`]: how records are written, with a byte that names the version, and what cannot be read
//! - [`versioned`]: one record that is changed from the exact value that was seen
//! - [`attempts`]: the bounded retry loop after another commit came first
//! - [`cache`]: what an instance read a moment ago
//! - [`published`]: configuration that operators publish and everybody reads
//! - [`sealed`]: configuration that is over for good, and names that never come back
//! - [`numbers`]: numbers under which operations act at most once, and how they are forgotten
//! - [`retention`]: how long what is over is kept
//! - [`life`]: how long each kind of record lives
//! - [`listing`]: one list out of those of all partitions
//! - [`quarantine`]: items that fail through their own records, set aside with the reason
//! - [`sweep`]: doing what is due in an index, the oldest first
//! - [`failure`]: why an operation gave nothing
//!
//! # What the layer guarantees
//!
//! - A refusal carries its reason: nobody maps the index of a guard back to a meaning.
//! - A record that is damaged, absent although another one names it, or of a newer version fails only the requests
//!   that need it (503 `record_unreadable`). It is not a fault of the configuration, as a store of another layout
//!   is (500 `misconfigured`).
//! - A sweep passes over an entry whose records cannot be read, names it (`stuck`) and does the others. An entry
//!   that has been due for ten minutes and fails through its own record goes to the quarantine.
//! - Numbers and sealed names leave a mark in the commit that deletes their record. So operators may change the
//!   retention at any time: code that acts never reads it.
//! - Every sum that reconciliation compares with records has a *gone* count beside it, which the collecting commit
//!   raises, so that books agree before and after a collection. A collection over two partitions takes its steps in
//!   one order, each idempotent. A number is never free before its effect is gone, and its effect is never
//!   forgotten while somebody may still ask for the other half.
//!
//! Checking whether a user is new needs none of this: it has no record and no guard with a reason.

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
pub mod timer;
pub mod versioned;
pub mod wave;

pub use attempts::attempts;
pub use binding::Binding;
pub use codec::Record;
pub use context::Context;
pub use failure::Failure;
pub use plan::{Plan, Refused};
pub use sweep::Sweep;
pub use timer::Timer;
pub use versioned::{Seen, Versioned};
