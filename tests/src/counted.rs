//! A store that counts the commits of each partition.

use std::cell::RefCell;
use std::collections::BTreeMap;

use binding::Binding;
use domain::partition::Partition;
use domain::transaction::{CommitError, Outcome, Transaction};

/// Another store, counted.
#[derive(Debug)]
pub struct Counted<B> {
    store: B,
    commits: RefCell<BTreeMap<Partition, u64>>,
}

impl<B> Counted<B> {
    /// Counts from zero.
    pub fn new(store: B) -> Self {
        Self { store, commits: RefCell::default() }
    }

    /// Commits so far, those that only read included.
    pub fn commits(&self) -> BTreeMap<Partition, u64> {
        self.commits.borrow().clone()
    }
}

impl<B: Binding> Binding for Counted<B> {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        *self.commits.borrow_mut().entry(partition).or_default() += 1;
        self.store.commit(partition, transaction).await
    }
}
