//! What every operation works with: the store, the time, and what was read a moment ago.

use domain::answers::unexpected;
use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Outcome, Read, Transaction};
use edge::store::Binding;
use store::wave;

use crate::catalogue::Catalogue;
use crate::records;

/// One request's world.
pub struct Context<'a, B> {
    /// The store.
    pub store: &'a B,
    /// How it is divided.
    pub partitions: Partitions,
    /// The time of the request.
    pub now: UnixMillis,
    /// What was read a moment ago.
    pub catalogue: &'a Catalogue,
}

impl<B: Binding> Context<'_, B> {
    /// Commits one transaction.
    ///
    /// # Errors
    /// The store's.
    pub async fn commit(
        &self,
        partition: Partition,
        transaction: Transaction,
    ) -> Result<Outcome, CommitError> {
        let outcomes = self.store.commit_all(&[(partition, transaction)]).await?;
        outcomes.into_iter().next().ok_or_else(unexpected)
    }

    /// Commits transactions, all at once.
    ///
    /// # Errors
    /// The store's.
    pub async fn commit_all(
        &self,
        transactions: &[(Partition, Transaction)],
    ) -> Result<Vec<Outcome>, CommitError> {
        self.store.commit_all(transactions).await
    }

    /// Reads, all at once.
    ///
    /// # Errors
    /// The store's.
    pub async fn read_all(
        &self,
        reads: Vec<(Partition, Read)>,
    ) -> Result<Vec<Answer>, CommitError> {
        wave::read_all(self.store, reads).await
    }

    /// Where a user lives.
    pub fn home(&self, user: UserId) -> Partition {
        self.partitions.locate(user).partition
    }

    /// The partition of a shelf.
    pub fn shelf(&self, shelf: u64) -> Partition {
        records::shelf(self.partitions, shelf)
    }

    /// The partition of the shelf of an activity.
    pub fn shelf_of(&self, activity: &str) -> Partition {
        self.shelf(records::shelf_of(activity))
    }
}
