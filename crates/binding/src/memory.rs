//! The reference model: every partition in memory; and a store in which tests let somebody else come in between.

use litemap::LiteMap;
use std::cell::{Cell, RefCell};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::partition::Partition;
use domain::transaction::{Answer, CommitError, Outcome, Refusal, Transaction};

use crate::Binding;
use crate::state::{Applied, Choice, PartitionState};

/// A store in memory.
#[derive(Debug, Default)]
pub struct Memory {
    partitions: Mutex<LiteMap<Partition, PartitionState>>,
    clock: Mutex<Option<i64>>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// What its clock says from now on, in unix milliseconds; nothing where it has none, as at first.
    pub fn set_clock(&self, now_ms: Option<i64>) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = now_ms;
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
        Ok(self.tell(store(state, state.apply_choosing(transaction, choice)?)))
    }

    /// The outcome, with the time where it was asked for.
    fn tell(&self, mut outcome: Outcome) -> Outcome {
        let (Outcome::Committed(reads) | Outcome::Refused(Refusal { reads, .. })) = &mut outcome;
        for answer in reads {
            if let Answer::Clock(time) = answer {
                *time = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
            }
        }
        outcome
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
        Ok(self.tell(store(state, state.apply(transaction)?)))
    }
}

fn store(state: &mut PartitionState, applied: Applied) -> Outcome {
    if let Some(next) = applied.next {
        *state = next;
    }
    applied.outcome
}

/// A store in memory in which somebody else acts between two commits of the one who is watched, or which is gone.
#[derive(Default)]
pub struct Interrupted {
    memory: Memory,
    meanwhile: RefCell<Option<Meanwhile>>,
    is_gone: Cell<bool>,
}

/// What somebody else does, after so many commits.
struct Meanwhile(u32, Box<dyn FnOnce(&Memory)>);

impl Interrupted {
    /// What it holds, for those who are not watched.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// After so many commits somebody else acts.
    pub fn interrupt(&self, commits: u32, act: impl FnOnce(&Memory) + 'static) {
        self.meanwhile.replace(Some(Meanwhile(commits, Box::new(act))));
    }

    /// Whether they did.
    pub fn was_interrupted(&self) -> bool {
        self.meanwhile.borrow().is_none()
    }

    /// From now on it cannot be reached, or can again.
    pub fn set_gone(&self, is_gone: bool) {
        self.is_gone.set(is_gone);
    }
}

impl Binding for Interrupted {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        if self.is_gone.get() {
            return Err(CommitError::Unavailable("gone".into()));
        }
        match self.meanwhile.take() {
            Some(Meanwhile(0, act)) => act(&self.memory),
            Some(Meanwhile(commits, act)) => {
                self.meanwhile.replace(Some(Meanwhile(commits - 1, act)));
            }
            None => {}
        }
        self.memory.commit(partition, transaction).await
    }
}
