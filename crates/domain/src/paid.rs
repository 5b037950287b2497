//! The rule "is this user new?": a user is new while they have no successfully paid order.
//!
//! One id set a partition holds the places of all who have paid. More than one function needs the
//! rule - a coupon for new users only is guarded by it in its own transaction - so that it is a
//! piece of a transaction and not a call.

use litemap::LiteMap;
use serde::{Deserialize, Serialize};

use crate::answers::{integers, unexpected};
use crate::ids::UserId;
use crate::life::{Life, Shape};
use crate::partition::{Location, Partition, Partitions};
use crate::transaction::{Answer, CommitError, Guard, Read, SetKey, Transaction, Value, Write};

/// The name of the id set. Short, because Redis pays for it with every bucket.
const RECORD: &str = "paid";

/// The configuration record that says whether the import of earlier payers is complete.
const IMPORT: &str = "import";

/// The kinds of records of this rule.
pub const LIVES: &[Life] = &[
    Life {
        name: "paid",
        shape: Shape::Ids,
        what: "users who have paid",
        written_by: "events, the import, operators",
        acts: "for ever: who has paid is never new again",
        ends: "never: about 8 bytes a user",
    },
    Life {
        name: "import",
        shape: Shape::Map,
        what: "whether earlier payers are imported",
        written_by: "operators",
        acts: "for ever",
        ends: "never: one record",
    },
];
/// 1 once an operator declared it complete.
const COMPLETE: &str = "complete";

/// What to make of a user without a mark, while the import of those who paid before this function existed is not
/// complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// The user is new.
    #[default]
    New,
    /// The user is to be asked about elsewhere: `import_incomplete`.
    Ask,
}

impl Unknown {
    /// Whether they are new.
    pub fn is_new(&self) -> bool {
        *self == Self::New
    }
}

/// Where it is known whether the import is complete.
pub fn home_of_import(partitions: Partitions) -> Partition {
    partitions.of_configuration(IMPORT)
}

/// Reads whether the import is complete, for [`is_import_complete`].
pub fn read_import() -> Read {
    Read::Fields(IMPORT.into(), vec![COMPLETE.into()])
}

/// Declares the import complete, or open again.
pub fn declare_import(complete: bool) -> Write {
    Write::Set(IMPORT.into(), COMPLETE.into(), Value::Integer(i64::from(complete)))
}

/// Whether the import is complete; it is not until somebody said so.
///
/// # Errors
/// The record cannot be read, or the answer is to another question.
pub fn is_import_complete(answer: Option<&Answer>) -> Result<bool, CommitError> {
    match integers(answer)? {
        [0] => Ok(false),
        [1] => Ok(true),
        [_] => Err(unexpected()),
    }
}

/// One user's paid mark.
#[derive(Clone, Copy, Debug)]
pub struct PaidMark(Location);

impl PaidMark {
    /// The mark of a user.
    pub fn of(user: UserId, partitions: Partitions) -> Self {
        Self(partitions.locate(user))
    }

    /// The partition in which the mark lies.
    pub fn partition(self) -> Partition {
        self.0.partition
    }

    /// Reads whether the user has paid.
    pub fn read(self) -> Read {
        Read::Contains(RECORD.into(), self.0.place)
    }

    /// Sets the mark. Doing it twice is doing it once.
    pub fn set(self) -> Write {
        Write::Insert(SetKey::from(RECORD), self.0.place)
    }

    /// Demands that the user is new.
    pub fn demand_new(self) -> Guard {
        Guard::IdAbsent(RECORD.into(), self.0.place)
    }
}

/// One transaction a partition that marks all of `users`. Marking again changes nothing, so that a
/// batch of which only a part was committed is simply sent again.
pub fn mark_paid(users: &[UserId], partitions: Partitions) -> Vec<(Partition, Transaction)> {
    let mut transactions: LiteMap<Partition, Transaction> = LiteMap::new_vec();
    for user in users {
        let mark = PaidMark::of(*user, partitions);
        transactions.entry(mark.partition()).or_default().writes.push(mark.set());
    }
    transactions.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_lie_in_one_transaction_a_partition() {
        let partitions = Partitions::new(4).unwrap();
        let users: Vec<_> = (0..100).map(UserId).collect();
        let transactions = mark_paid(&users, partitions);
        assert_eq!(transactions.len(), 4);
        for (partition, transaction) in transactions {
            assert_eq!(transaction.writes.len(), 25, "{partition}");
        }
    }
}
