//! What native tests work with: a store in memory in which somebody else can come in between.

use std::cell::RefCell;

use binding::Binding;
use binding::memory::Memory;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Outcome, Transaction};

use crate::context::Context;

/// A store in which somebody else acts between two commits of the one who is watched.
#[derive(Default)]
pub(crate) struct Store {
    /// What it holds.
    pub(crate) memory: Memory,
    meanwhile: RefCell<Option<Meanwhile>>,
}

/// What somebody else does, after so many commits.
struct Meanwhile(u32, Box<dyn FnOnce(&Memory)>);

impl Store {
    /// After so many commits somebody else acts.
    pub(crate) fn interrupt(&self, commits: u32, act: impl FnOnce(&Memory) + 'static) {
        *self.meanwhile.borrow_mut() = Some(Meanwhile(commits, Box::new(act)));
    }

    /// Whether they did.
    pub(crate) fn was_interrupted(&self) -> bool {
        self.meanwhile.borrow().is_none()
    }
}

impl Binding for Store {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        let due = self.meanwhile.borrow_mut().take();
        match due {
            Some(Meanwhile(0, act)) => act(&self.memory),
            Some(Meanwhile(commits, act)) => {
                *self.meanwhile.borrow_mut() = Some(Meanwhile(commits - 1, act));
            }
            None => {}
        }
        self.memory.commit(partition, transaction).await
    }
}

/// A request of a moment, in a store of four partitions.
pub(crate) fn at<B>(store: &B, now_ms: i64) -> Context<'_, B> {
    Context {
        store,
        partitions: Partitions::new(4).unwrap(),
        now: UnixMillis(now_ms),
        pause: |_| Box::pin(std::future::ready(())),
    }
}
