//! The reference model: every partition in memory.

use litemap::LiteMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::partition::Partition;
use domain::transaction::{CommitError, Outcome, Transaction};

use crate::Binding;
use crate::state::{Applied, Choice, PartitionState};

/// A store in memory.
#[derive(Debug, Default)]
pub struct Memory {
    partitions: Mutex<LiteMap<Partition, PartitionState>>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Commits with a choice of what a move takes.
    ///
    /// # Errors
    /// `Invalid` only.
    pub fn commit_choosing(
        &self,
        partition: Partition,
        transaction: &Transaction,
        choice: Choice<'_>,
    ) -> Result<Outcome, CommitError> {
        transaction.validate()?;
        let mut partitions = self.lock();
        let state = partitions.entry(partition).or_default();
        Ok(store(state, state.apply_choosing(transaction, choice)?))
    }

    fn lock(&self) -> MutexGuard<'_, LiteMap<Partition, PartitionState>> {
        // A state is replaced in one step, so that a panic elsewhere cannot leave half of one.
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Binding for Memory {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        transaction.validate()?;
        let mut partitions = self.lock();
        let state = partitions.entry(partition).or_default();
        Ok(store(state, state.apply(transaction)?))
    }
}

fn store(state: &mut PartitionState, applied: Applied) -> Outcome {
    if let Some(next) = applied.next {
        *state = next;
    }
    applied.outcome
}
