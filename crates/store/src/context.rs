//! What every operation works with: the store, how it is divided, and the time.

use std::pin::Pin;

use binding::Binding;
use domain::answers::unexpected;
use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Outcome, Read, Transaction, Write};

use crate::plan::{Decided, Plan, Reasons};
use crate::timer::Timer;
use crate::wave;

/// One request's world.
#[derive(Debug)]
pub struct Context<'a, B> {
    /// The store.
    pub store: &'a B,
    /// How it is divided.
    pub partitions: Partitions,
    /// The time of the request.
    pub now: UnixMillis,
    /// How much time has passed since.
    pub timer: Timer,
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

    /// What time it is by now: [`now`](Self::now) is when the request began.
    pub fn time(&self) -> UnixMillis {
        UnixMillis(self.now.0.saturating_add(self.timer.passed_ms()))
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
        reasons.decide(self.commit_one(partition, transaction).await?)
    }

    /// As a wave of one: a store that commits waves needs no copy of the transaction for it.
    async fn commit_one(
        &self,
        partition: Partition,
        transaction: Transaction,
    ) -> Result<Outcome, CommitError> {
        let results = self.store.commit_some(&[(partition, transaction)]).await;
        results.into_iter().next().ok_or_else(unexpected)?
    }

    /// Commits plans, all at once; what became of each, or the first failure.
    ///
    /// # Errors
    /// The store's; `Unknown` where some of the plans may have been written ([`Binding::commit_all`]).
    pub async fn commit_all<R>(
        &self,
        plans: Vec<(Partition, Plan<R>)>,
    ) -> Result<Vec<Decided<R>>, CommitError> {
        let (transactions, reasons) = into_parts(plans);
        let outcomes = self.store.commit_all(&transactions).await?;
        reasons.into_iter().zip(outcomes).map(|(reasons, one)| reasons.decide(one)).collect()
    }

    /// Commits plans, all at once, each for itself ([`wave::commit_some`]).
    pub async fn commit_some<R>(
        &self,
        plans: Vec<(Partition, Plan<R>)>,
    ) -> Vec<Result<Decided<R>, CommitError>> {
        let (transactions, reasons) = into_parts(plans);
        let results = wave::commit_some(self.store, &transactions).await;
        let decide = |(result, reasons): (Result<Outcome, CommitError>, Reasons<R>)| {
            result.and_then(|outcome| reasons.decide(outcome))
        };
        results.into_iter().zip(reasons).map(decide).collect()
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
        self.commit_one(partition, transaction).await.map(drop)
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
        wave::answers(self.commit_one(partition, transaction).await?)
    }

    /// Reads, all at once ([`wave::read_all`]).
    ///
    /// # Errors
    /// The store's.
    pub fn read_all(
        &self,
        reads: Vec<(Partition, Read)>,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Answer>, CommitError>> + 'a>> {
        wave::read_all(self.store, reads)
    }

    /// Reads, all at once, each for itself ([`wave::read_some`]).
    pub async fn read_some(
        &self,
        reads: Vec<(Partition, Read)>,
    ) -> Vec<Result<Answer, CommitError>> {
        wave::read_some(self.store, reads).await
    }
}

type Parts<R> = (Vec<(Partition, Transaction)>, Vec<Reasons<R>>);

/// Transactions, and what the outcome of each means.
fn into_parts<R>(plans: Vec<(Partition, Plan<R>)>) -> Parts<R> {
    let parts = |(partition, plan): (Partition, Plan<R>)| {
        let (transaction, reasons) = plan.into_parts();
        ((partition, transaction), reasons)
    };
    plans.into_iter().map(parts).unzip()
}

#[cfg(test)]
pub(crate) mod tests {
    use binding::memory::Memory;
    use domain::transaction::{Guard, Invalid, Value};
    use futures::executor::block_on;

    use super::*;

    /// A world of a store.
    pub(crate) fn context<B: Binding>(store: &B, now: i64) -> Context<'_, B> {
        Context {
            store,
            partitions: Partitions::default(),
            now: UnixMillis(now),
            timer: Timer::still(),
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

    #[test]
    fn of_plans_that_are_committed_together_each_has_its_own_reason() {
        let store = Memory::new();
        let context = context(&store, 0);
        let home = context.home(UserId(7));
        let add = |field: &str, why: &'static str| {
            let mut plan = Plan::new();
            plan.demand(why, Guard::FieldAbsent("map".into(), field.into()));
            plan.write(Write::Set("map".into(), field.into(), Value::Integer(1)));
            (home, plan)
        };
        let why = |decided: Vec<Decided<&'static str>>| -> Vec<_> {
            decided.into_iter().map(|one| one.map_err(|refused| refused.why)).collect()
        };
        let first = block_on(context.commit_all(vec![add("a", "a"), add("b", "b")])).unwrap();
        assert_eq!(why(first), [Ok(vec![]), Ok(vec![])]);
        let again = block_on(context.commit_all(vec![add("c", "c"), add("b", "b")])).unwrap();
        assert_eq!(why(again), [Ok(vec![]), Err("b")]);
        let fault = block_on(context.commit_all(vec![add("", "none")]));
        assert_eq!(fault, Err(Invalid::FieldName.into()));
    }
}
