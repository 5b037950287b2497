//! The shared KV/Redis binding: one operation, [`Binding::commit`], and three back ends that give the
//! same answers.
//!
//! - [`memory`]: the reference model, for tests
//! - [`kv`]: `wasi:keyvalue`, a partition is one value changed by compare-and-swap
//! - [`redis`]: one generic Lua script; a partition lies in one slot
//! - [`state`]: what a transaction makes of a partition, for the first two
//! - [`layout`]: what a store writes down about itself at its first use
//!
//! The back ends reach the outside through ports ([`kv::KeyValue`], [`redis::Connector`]), so that
//! they run natively in tests and on Spin's imports in a component. The transaction itself is data
//! and lives in [`domain::transaction`].

use domain::partition::Partition;
use domain::transaction::{CommitError, Outcome, Transaction};

mod encoding;
pub mod kv;
pub mod layout;
pub mod memory;
pub mod redis;
pub mod state;

/// A store of partitions.
pub trait Binding {
    /// Commits a transaction in one partition: all of it or nothing.
    ///
    /// # Errors
    /// See [`CommitError`]: only `Unknown` leaves open whether it happened.
    fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> impl Future<Output = Result<Outcome, CommitError>>;
}
