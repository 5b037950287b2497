//! What every operation works with: the store, how it is divided, and the time.

use std::pin::Pin;

use binding::Binding;
use domain::answers::unexpected;
use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Outcome, Read, Transaction, Write};

use crate::plan::{Decided, Plan};

/// Reads of one wave that are made once more. Where more are lost the store is not well.
const LOST_READS_MAX: u32 = 16;

/// One request's world.
#[derive(Debug)]
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

impl<'a, B: Binding> Context<'a, B> {
    /// Where a user lives.
    pub fn home(&self, user: UserId) -> Partition {
        self.partitions.locate(user).partition
    }

    /// Commits one plan: the answers to its reads, or why nothing was written.
    ///
    /// # Errors
    /// The store's.
    pub async fn commit<R>(
        &self,
        partition: Partition,
        plan: Plan<R>,
    ) -> Result<Decided<R>, CommitError> {
        let (transaction, reasons) = plan.into_parts();
        reasons.decide(self.store.commit(partition, &transaction).await?)
    }

    /// Commits plans, all at once, each for itself; what became of each, in their order. A fault of one of them is
    /// its own: some back ends commit a wave's transactions of one cell together or not at all, so that those
    /// which failed for a fault are committed once more, alone.
    pub async fn commit_some<R>(
        &self,
        plans: Vec<(Partition, Plan<R>)>,
    ) -> Vec<Result<Decided<R>, CommitError>> {
        let (transactions, reasons): (Vec<_>, Vec<_>) = plans
            .into_iter()
            .map(|(partition, plan)| {
                let (transaction, reasons) = plan.into_parts();
                ((partition, transaction), reasons)
            })
            .unzip();
        let results = commit_each(self.store, &transactions).await;
        let decide =
            |(result, reasons): (Result<Outcome, CommitError>, crate::plan::Reasons<R>)| {
                result.and_then(|outcome| reasons.decide(outcome))
            };
        results.into_iter().zip(reasons).map(decide).collect()
    }

    /// Commits plans as [`Self::commit_some`] does, where all of them must end well.
    ///
    /// # Errors
    /// Where one fails, the first failure; it is [`CommitError::Unknown`] where another one that writes may have
    /// been committed.
    pub async fn commit_all<R>(
        &self,
        plans: Vec<(Partition, Plan<R>)>,
    ) -> Result<Vec<Decided<R>>, CommitError> {
        let (transactions, reasons): (Vec<_>, Vec<_>) = plans
            .into_iter()
            .map(|(partition, plan)| {
                let (transaction, reasons) = plan.into_parts();
                ((partition, transaction), reasons)
            })
            .unzip();
        let outcomes = self.store.commit_all(&transactions).await?;
        outcomes.into_iter().zip(reasons).map(|(outcome, why)| why.decide(outcome)).collect()
    }

    /// Writes without a condition.
    ///
    /// # Errors
    /// The store's.
    pub async fn write(
        &self,
        partition: Partition,
        writes: impl IntoIterator<Item = Write>,
    ) -> Result<(), CommitError> {
        let writes = writes.into_iter().collect();
        let transaction = Transaction { writes, now_ms: self.now.0, ..Transaction::default() };
        self.store.commit(partition, &transaction).await.map(drop)
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
        answers(self.store.commit(partition, &reading(reads)).await?)
    }

    /// Reads, all at once. A read that was lost is made once more, for itself: of hundreds one may be.
    ///
    /// # Errors
    /// The store's.
    pub fn read_all(
        &self,
        reads: Vec<(Partition, Read)>,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Answer>, CommitError>> + 'a>> {
        // Boxed, so that it stands in a component once, and not in each of its callers.
        Box::pin(read_each(self.store, reads))
    }

    /// Reads, all at once; what each read, in their order. A record that cannot be read is its own fault, and a
    /// partition that does not answer keeps no other from it.
    pub async fn read_some(
        &self,
        reads: Vec<(Partition, Read)>,
    ) -> Vec<Result<Answer, CommitError>> {
        let reads: Vec<_> = reads.into_iter().map(|(at, read)| (at, reading(vec![read]))).collect();
        let only =
            |result: Result<Outcome, CommitError>| answers(result?)?.pop().ok_or_else(unexpected);
        commit_each(self.store, &reads).await.into_iter().map(only).collect()
    }
}

fn reading(reads: Vec<Read>) -> Transaction {
    Transaction { reads, ..Transaction::default() }
}

/// The answers of a transaction that has no guards.
fn answers(outcome: Outcome) -> Result<Vec<Answer>, CommitError> {
    match outcome {
        Outcome::Committed(answers) => Ok(answers),
        Outcome::Refused(_) => Err(unexpected()),
    }
}

async fn commit_each<B: Binding>(
    store: &B,
    transactions: &[(Partition, Transaction)],
) -> Vec<Result<Outcome, CommitError>> {
    let mut results = store.commit_some(transactions).await;
    // One alone has already been told of its own fault.
    if transactions.len() > 1 {
        for ((partition, transaction), result) in transactions.iter().zip(&mut results) {
            if result.as_ref().is_err_and(CommitError::is_of_records) {
                *result = store.commit(*partition, transaction).await;
            }
        }
    }
    results
}

async fn read_each<B: Binding>(
    store: &B,
    reads: Vec<(Partition, Read)>,
) -> Result<Vec<Answer>, CommitError> {
    let reads: Vec<_> = reads.into_iter().map(|(at, read)| (at, reading(vec![read]))).collect();
    let mut found = Vec::with_capacity(reads.len());
    let mut lost = 0;
    for (read, result) in reads.iter().zip(store.commit_some(&reads).await) {
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

#[cfg(test)]
pub(crate) mod tests {
    use binding::memory::Memory;
    use domain::transaction::{Invalid, Value};
    use futures::executor::block_on;

    use super::*;

    /// A world of a store.
    pub(crate) fn context<B: Binding>(store: &B, now: i64) -> Context<'_, B> {
        Context {
            store,
            partitions: Partitions::default(),
            now: UnixMillis(now),
            pause: |_| Box::pin(std::future::ready(())),
        }
    }

    /// A store that commits a wave together or not at all.
    #[derive(Default)]
    struct Together(Memory);

    impl Binding for Together {
        async fn commit(
            &self,
            partition: Partition,
            transaction: &Transaction,
        ) -> Result<Outcome, CommitError> {
            self.0.commit(partition, transaction).await
        }

        async fn commit_some(
            &self,
            transactions: &[(Partition, Transaction)],
        ) -> Vec<Result<Outcome, CommitError>> {
            let fault = transactions.iter().find_map(|(_, one)| one.validate().err());
            match fault {
                Some(fault) => vec![Err(fault.into()); transactions.len()],
                None => self.0.commit_some(transactions).await,
            }
        }
    }

    #[test]
    fn one_fault_is_not_that_of_the_wave() {
        let store = Together::default();
        let context = context(&store, 0);
        let home = context.home(UserId(7));
        let set = |field: &str| {
            let mut plan = Plan::<()>::new();
            plan.write(Write::Set("map".into(), field.into(), Value::Integer(1)));
            (home, plan)
        };
        let committed = Ok(Ok(vec![]));
        let results = block_on(context.commit_some(vec![set("a"), set(""), set("b")]));
        let expected = [committed.clone(), Err(Invalid::FieldName.into()), committed];
        assert_eq!(results, expected);

        let size = (home, Read::Size("map".into()));
        let fault = (home, Read::Size("".into()));
        let answers = block_on(context.read_some(vec![size.clone(), fault, size]));
        let two = Ok(Answer::Size(2));
        assert_eq!(answers, [two.clone(), Err(Invalid::RecordName.into()), two]);
    }
}
