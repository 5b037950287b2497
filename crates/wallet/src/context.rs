//! What every operation works with.

use std::pin::Pin;

use binding::Binding;
use domain::answers::unexpected;
use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Outcome, Read, Transaction};
use lease::World;

/// One request's world.
pub struct Context<'a, B> {
    /// The store.
    pub store: &'a B,
    /// How it is divided.
    pub partitions: Partitions,
    /// The time of the request.
    pub now: UnixMillis,
    /// Waits so many milliseconds.
    pub pause: fn(u64) -> Pin<Box<dyn Future<Output = ()>>>,
}

impl<B> Clone for Context<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Context<'_, B> {}

impl<B: Binding> Context<'_, B> {
    /// Where a user lives.
    pub fn home(&self, user: UserId) -> Partition {
        self.partitions.locate(user).partition
    }

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

    /// Reads of one partition at one moment.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(
        &self,
        partition: Partition,
        reads: Vec<Read>,
    ) -> Result<Vec<Answer>, CommitError> {
        let transaction = Transaction { reads, ..Transaction::default() };
        match self.commit(partition, transaction).await? {
            Outcome::Committed(answers) => Ok(answers),
            Outcome::Refused(_) => Err(unexpected()),
        }
    }
}

impl<B: Binding> World for Context<'_, B> {
    type Store = B;

    fn store(&self) -> &B {
        self.store
    }

    fn partitions(&self) -> Partitions {
        self.partitions
    }

    fn now(&self) -> UnixMillis {
        self.now
    }

    fn lease_share(&self) -> i64 {
        lease::SHARE
    }

    fn pause(&self, ms: u64) -> Pin<Box<dyn Future<Output = ()>>> {
        (self.pause)(ms)
    }
}
