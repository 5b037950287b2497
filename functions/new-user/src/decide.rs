//! Command -> transactions, and outcomes -> answer. Pure.

use litemap::LiteMap;

use domain::answers::unexpected;
use domain::paid::{self, PaidMark, Unknown};
use domain::partition::{Partition, Partitions};
use domain::transaction::{Answer, CommitError, Outcome, Transaction};

use crate::parse::Check;

/// What the store knows of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No successfully paid order.
    New,
    /// At least one.
    Paid,
    /// No mark, and the import of earlier payers is not complete.
    Unknown,
}

/// One transaction a partition that reads the users' marks, in the order of their partitions; and,
/// where it matters, one that reads whether the import is complete, in the same wave.
pub fn check(command: &Check, partitions: Partitions) -> Vec<(Partition, Transaction)> {
    let mut transactions: LiteMap<Partition, Transaction> = LiteMap::new_vec();
    for user in &command.users {
        let mark = PaidMark::of(*user, partitions);
        transactions.entry(mark.partition()).or_default().reads.push(mark.read());
    }
    let mut transactions: Vec<_> = transactions.into_iter().collect();
    if command.unknown == Unknown::Ask {
        transactions.push(read_import(partitions));
    }
    transactions
}

/// Each user's standing, in the order of the command.
///
/// # Errors
/// [`CommitError::Unreadable`] where an answer is not of the kind that was asked for.
pub fn standings(
    command: &Check,
    partitions: Partitions,
    transactions: &[(Partition, Transaction)],
    outcomes: &[Outcome],
) -> Result<Vec<Standing>, CommitError> {
    let unmarked = match command.unknown {
        Unknown::Ask if !import_complete(outcomes.last())? => Standing::Unknown,
        _ => Standing::New,
    };
    // The reads of a partition stand in the order of its users, so that each user's answer is the
    // next one of the partition.
    let mut answers: LiteMap<Partition, _> = LiteMap::new_vec();
    for ((partition, _), outcome) in transactions.iter().zip(outcomes) {
        let Outcome::Committed(reads) = outcome else { return Err(unexpected()) };
        answers.entry(*partition).or_insert_with(|| reads.iter());
    }
    let standing = |user| {
        let partition = PaidMark::of(user, partitions).partition();
        match answers.get_mut(&partition).and_then(Iterator::next) {
            Some(Answer::Contains(true)) => Ok(Standing::Paid),
            Some(Answer::Contains(false)) => Ok(unmarked),
            _ => Err(unexpected()),
        }
    };
    command.users.iter().copied().map(standing).collect()
}

/// Reads whether the import is complete.
pub fn read_import(partitions: Partitions) -> (Partition, Transaction) {
    let reads = vec![paid::read_import()];
    (paid::home_of_import(partitions), Transaction { reads, ..Transaction::default() })
}

/// Declares the import complete, or open again.
pub fn set_import(complete: bool, partitions: Partitions) -> (Partition, Transaction) {
    let (partition, mut transaction) = read_import(partitions);
    transaction.writes = vec![paid::declare_import(complete)];
    (partition, transaction)
}

/// Whether the import is complete; it is not until somebody said so.
///
/// # Errors
/// [`CommitError::Unreadable`] where the record cannot be read, or the answer is not of the kind that was asked for.
pub fn import_complete(outcome: Option<&Outcome>) -> Result<bool, CommitError> {
    let Some(Outcome::Committed(answers)) = outcome else { return Err(unexpected()) };
    paid::is_import_complete(answers.first())
}

#[cfg(test)]
mod tests {
    use binding::Binding;
    use binding::memory::Memory;
    use domain::ids::UserId;
    use domain::paid::mark_paid;
    use futures::executor::block_on;

    use domain::transaction::Value;

    use super::*;

    fn commit(store: &Memory, transactions: &[(Partition, Transaction)]) -> Vec<Outcome> {
        let commit = |(partition, transaction): &(Partition, Transaction)| {
            block_on(store.commit(*partition, transaction)).unwrap()
        };
        transactions.iter().map(commit).collect()
    }

    #[test]
    fn standings_come_in_the_order_of_the_users() {
        let (store, partitions) = (Memory::default(), Partitions::new(4).unwrap());
        let paid: Vec<_> = (0..1_000).step_by(3).map(UserId).collect();
        commit(&store, &mark_paid(&paid, partitions));
        let users: Vec<_> = (0..1_000).rev().chain([3, 3, 4]).map(UserId).collect();
        for (unknown, complete, unmarked) in [
            (Unknown::New, false, Standing::New),
            (Unknown::Ask, false, Standing::Unknown),
            (Unknown::Ask, true, Standing::New),
        ] {
            commit(&store, &[set_import(complete, partitions)]);
            let command = Check { users: users.clone(), unknown };
            let transactions = check(&command, partitions);
            assert!(transactions.len() <= 5, "at most one commit a partition, and the import");
            let outcomes = commit(&store, &transactions);
            let standings = standings(&command, partitions, &transactions, &outcomes).unwrap();
            for (user, standing) in users.iter().zip(standings) {
                let expected = if user.0 % 3 == 0 { Standing::Paid } else { unmarked };
                assert_eq!(standing, expected, "{user} {unknown:?}");
            }
        }
    }

    #[test]
    fn an_import_is_not_complete_until_somebody_said_so() {
        let (store, partitions) = (Memory::default(), Partitions::default());
        let read = || import_complete(commit(&store, &[read_import(partitions)]).first());
        assert_eq!(read(), Ok(false));
        commit(&store, &[set_import(true, partitions)]);
        assert_eq!(read(), Ok(true));
        commit(&store, &[set_import(false, partitions)]);
        assert_eq!(read(), Ok(false));
    }

    #[test]
    fn a_record_of_the_import_that_cannot_be_read_says_neither() {
        for value in [Value::Integer(2), Value::Bytes(vec![]), Value::Bytes(b"garbage".to_vec())] {
            let answers = vec![Answer::Fields(vec![Some(value.clone())])];
            let result = import_complete(Some(&Outcome::Committed(answers)));
            assert!(matches!(result, Err(CommitError::Unreadable(_))), "{value:?}: {result:?}");
        }
    }

    #[test]
    fn a_wrong_kind_of_answer_is_an_error_and_no_standing() {
        let partitions = Partitions::default();
        let command = Check { users: vec![UserId(7)], unknown: Unknown::New };
        let transactions = check(&command, partitions);
        for answers in [vec![], vec![Answer::Size(1)]] {
            let outcomes = [Outcome::Committed(answers)];
            let result = standings(&command, partitions, &transactions, &outcomes);
            assert!(matches!(result, Err(CommitError::Unreadable(_))));
        }
    }
}
