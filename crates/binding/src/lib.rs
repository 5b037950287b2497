//! The shared KV/Redis binding: one operation, [`Binding::commit`], and three back ends that give the
//! same answers.
//!
//! - [`memory`]: the reference model, for tests
//! - [`kv`]: `wasi:keyvalue`, partitions lie in a few values changed by compare-and-swap
//! - [`redis`]: one generic Lua script; a partition lies in one slot
//! - [`state`], [`cell`]: what a transaction makes of one partition, and of those in one value, for the first two
//! - [`pages`]: a limit for the entries of one page, set from outside
//! - [`layout`]: what a store records about itself at its first use
//!
//! The back ends reach the outside through ports ([`kv::KeyValue`], [`redis::Connector`]), so that
//! they run natively in tests and on Spin's imports in a component. The transaction itself is data
//! and lives in [`domain::transaction`].

use std::cell::RefCell;
use std::pin::Pin;

use domain::partition::Partition;
use domain::transaction::{CommitError, Outcome, Transaction};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

pub mod cell;
mod encoding;
pub mod kv;
pub mod layout;
pub mod memory;
pub mod pages;
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

    /// Commits transactions in their partitions, all at once: each of them whole or not at all, and
    /// without an order among them. What became of each, in their order.
    fn commit_some(
        &self,
        transactions: &[(Partition, Transaction)],
    ) -> impl Future<Output = Vec<Result<Outcome, CommitError>>> {
        commit_each(self, transactions)
    }

    /// Commits transactions as [`Binding::commit_some`] does, where all of them must end well. One
    /// outcome for each, in their order.
    ///
    /// # Errors
    /// Where one fails, the first failure; it is [`CommitError::Unknown`] where another one that
    /// writes may have been committed.
    fn commit_all(
        &self,
        transactions: &[(Partition, Transaction)],
    ) -> impl Future<Output = Result<Vec<Outcome>, CommitError>> {
        async { all(transactions, self.commit_some(transactions).await) }
    }
}

/// The outcomes, or the first failure.
fn all(
    transactions: &[(Partition, Transaction)],
    results: Vec<Result<Outcome, CommitError>>,
) -> Result<Vec<Outcome>, CommitError> {
    let written = transactions.iter().zip(&results).any(|((_, transaction), result)| {
        !transaction.is_read_only() && !matches!(result, Err(CommitError::Unavailable(_)))
    });
    results.into_iter().collect::<Result<_, _>>().map_err(|error| match error {
        CommitError::Unavailable(text) if written => CommitError::Unknown(text),
        error => error,
    })
}

async fn commit_each<B: Binding + ?Sized>(
    binding: &B,
    transactions: &[(Partition, Transaction)],
) -> Vec<Result<Outcome, CommitError>> {
    let results = RefCell::new(vec![None; transactions.len()]);
    // Boxed, so that one kind of collection serves every back end: it is code in every component.
    let mut commits = transactions.iter().enumerate().map(|(index, (partition, transaction))| {
        let results = &results;
        let commit = async move {
            let result = binding.commit(*partition, transaction).await;
            results.borrow_mut()[index] = Some(result);
        };
        Box::pin(commit) as Pin<Box<dyn Future<Output = ()> + '_>>
    });
    match (transactions.len(), commits.next()) {
        // Most requests: a collection for one would cost as much as the rest of the commit.
        (1, Some(only)) => only.await,
        (_, first) => {
            let all: FuturesUnordered<_> = first.into_iter().chain(commits).collect();
            all.for_each(|()| std::future::ready(())).await;
        }
    }
    results.into_inner().into_iter().flatten().collect()
}
