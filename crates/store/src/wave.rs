//! Transactions and reads of several partitions at once, where one that fails does not fail the others.

use std::pin::Pin;

use binding::Binding;
use domain::answers::unexpected;
use domain::partition::Partition;
use domain::transaction::{Answer, CommitError, Outcome, Read, Transaction};

/// Reads of one wave that are made once more. Where more are lost the store is not well.
const LOST_READS_MAX: u32 = 16;

/// Reads, all at once. A read that was lost is made once more, for itself: of hundreds one may be.
///
/// # Errors
/// The store's.
pub fn read_all<'a, B: Binding>(
    store: &'a B,
    reads: Vec<(Partition, Read)>,
) -> Pin<Box<dyn Future<Output = Result<Vec<Answer>, CommitError>> + 'a>> {
    // Boxed, so that it stands in a component once, and not in each of its callers.
    Box::pin(async move { read_each(store, &alone(reads)).await })
}

/// Reads, all at once; what each read, in their order. A record that cannot be read is its own fault, and a
/// partition that does not answer keeps no other from it.
pub async fn read_some<B: Binding>(
    store: &B,
    reads: Vec<(Partition, Read)>,
) -> Vec<Result<Answer, CommitError>> {
    let reads = alone(reads);
    if let Ok(answers) = read_each(store, &reads).await {
        return answers.into_iter().map(Ok).collect();
    }
    let answer =
        |result: Result<Outcome, CommitError>| answers(result?)?.pop().ok_or_else(unexpected);
    commit_some(store, &reads).await.into_iter().map(answer).collect()
}

/// Commits transactions, all at once; what became of each, in their order. A fault of one of them is its own: some
/// back ends commit a wave's transactions of one cell together or not at all, so that those which failed for a
/// fault are committed once more, each for itself.
pub async fn commit_some<B: Binding>(
    store: &B,
    transactions: &[(Partition, Transaction)],
) -> Vec<Result<Outcome, CommitError>> {
    let mut results = store.commit_some(transactions).await;
    for ((partition, transaction), result) in transactions.iter().zip(&mut results) {
        if result.as_ref().is_err_and(CommitError::is_of_records) {
            *result = store.commit(*partition, transaction).await;
        }
    }
    results
}

/// The answers of a transaction that has no guards.
pub(crate) fn answers(outcome: Outcome) -> Result<Vec<Answer>, CommitError> {
    match outcome {
        Outcome::Committed(answers) => Ok(answers),
        Outcome::Refused(_) => Err(unexpected()),
    }
}

/// Each read as a transaction of its own.
fn alone(reads: Vec<(Partition, Read)>) -> Vec<(Partition, Transaction)> {
    let alone = |(partition, read)| {
        (partition, Transaction { reads: vec![read], ..Transaction::default() })
    };
    reads.into_iter().map(alone).collect()
}

async fn read_each<B: Binding>(
    store: &B,
    reads: &[(Partition, Transaction)],
) -> Result<Vec<Answer>, CommitError> {
    let mut found = Vec::with_capacity(reads.len());
    let mut lost = 0;
    for (read, result) in reads.iter().zip(store.commit_some(reads).await) {
        let outcome = match result {
            Err(CommitError::Unavailable(_)) if lost < LOST_READS_MAX => {
                lost += 1;
                store.commit(read.0, &read.1).await?
            }
            result => result?,
        };
        found.extend(answers(outcome)?);
    }
    Ok(found)
}
