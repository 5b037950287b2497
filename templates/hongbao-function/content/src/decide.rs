//! Command -> transaction, and outcome -> answer. Pure.

use domain::answers::unexpected;
use domain::life::{Life, Shape};
use domain::partition::{Partition, Partitions};
use domain::transaction::{Answer, CommitError, Outcome, Read, Transaction, Write};

use crate::parse::Command;

/// The id set of marked users, one in each partition. No other record has this name: `ARCHITECTURE.md` lists them all.
const RECORD: &str = "{{project-name | kebab_case}}";

/// How long each kind of record lives.
pub const LIVES: &[Life] = &[Life {
    name: RECORD,
    shape: Shape::Ids,
    what: "users who are marked",
    written_by: "callers",
    acts: "until the mark is taken away",
    ends: "never: about 8 bytes a user",
}];

/// The transaction in the partition of the user. Repeating it changes nothing, so a retry is safe.
pub fn transaction(command: &Command, partitions: Partitions) -> (Partition, Transaction) {
    let location = partitions.locate(command.user);
    let write = command.set.map(|is_marked| match is_marked {
        true => Write::Insert(RECORD.into(), location.place),
        false => Write::Remove(RECORD.into(), location.place),
    });
    let reads = vec![Read::Contains(RECORD.into(), location.place)];
    let writes = write.into_iter().collect();
    (location.partition, Transaction { writes, reads, ..Transaction::default() })
}

/// Whether the user is marked, after the transaction.
///
/// # Errors
/// [`CommitError::Unreadable`] where the store answers with what was not asked for.
pub fn is_marked(outcome: &Outcome) -> Result<bool, CommitError> {
    let Outcome::Committed(answers) = outcome else { return Err(unexpected()) };
    let [Answer::Contains(is_marked)] = answers.as_slice() else { return Err(unexpected()) };
    Ok(*is_marked)
}

#[cfg(test)]
mod tests {
    use binding::Binding;
    use binding::memory::Memory;
    use domain::ids::UserId;
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn a_mark_is_what_was_written_last_and_of_one_user() {
        let (store, partitions) = (Memory::default(), Partitions::new(4).unwrap());
        let commit = |user: u64, set: Option<bool>| {
            let command = Command { user: UserId(user), set };
            let (partition, transaction) = transaction(&command, partitions);
            is_marked(&block_on(store.commit(partition, &transaction)).unwrap()).unwrap()
        };
        assert!(!commit(7, None));
        for set in [true, true, false, false, true] {
            assert_eq!(commit(7, Some(set)), set);
            assert_eq!(commit(7, None), set);
            assert!(!commit(8, None));
        }
    }

    #[test]
    fn another_answer_is_an_error() {
        for answers in [vec![], vec![Answer::Size(1)]] {
            assert_eq!(is_marked(&Outcome::Committed(answers)), Err(unexpected()));
        }
    }
}
