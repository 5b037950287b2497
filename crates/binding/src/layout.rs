//! What a store writes down about itself at its first use, and is checked against ever after.

use domain::life::{Life, Shape};
use domain::partition::{Partition, Partitions};
use domain::transaction::{
    Answer, CommitError, Field, Guard, MapKey, Outcome, Read, Transaction, Value, Write,
};

use crate::Binding;

/// The version of what this binding writes: the names of keys, the encoding of values and the parts
/// of an id set. A change that older data does not survive raises it.
pub const LAYOUT_VERSION: i64 = 4;

/// The kind of the record.
pub const LIVES: &[Life] = &[Life {
    name: "layout",
    shape: Shape::Map,
    what: "how the store is divided, and the version of its layout",
    written_by: "the first request",
    acts: "for ever",
    ends: "never: one record",
}];

const RECORD: &str = "layout";
const PARTITIONS: &str = "partitions";
const VERSION: &str = "version";

/// Compares the store with what it was first used with, or writes that down if this is the first
/// use. Once for the life of an instance is enough. The same round trip says what the store's clock says, in
/// unix milliseconds; nothing where it has none.
///
/// # Errors
/// `Unusable`, naming both numbers, where the store was laid out otherwise; else the store's.
pub async fn check<B: Binding>(
    binding: &B,
    partitions: Partitions,
) -> Result<Option<i64>, CommitError> {
    let record = || MapKey::from(RECORD);
    let count = i64::from(partitions.count());
    let expected = [(PARTITIONS, count), (VERSION, LAYOUT_VERSION)];
    let transaction = Transaction {
        guards: vec![Guard::FieldAbsent(record(), PARTITIONS.into())],
        writes: expected
            .map(|(field, value)| Write::Set(record(), field.into(), Value::Integer(value)))
            .to_vec(),
        reads: vec![
            Read::Fields(record(), expected.map(|(field, _)| Field::from(field)).to_vec()),
            Read::Clock,
        ],
        ..Transaction::default()
    };
    let outcomes = binding.commit_all(&[(Partition::DESCRIPTION, transaction)]).await?;
    let reads = match outcomes.into_iter().next() {
        Some(Outcome::Committed(reads)) => reads,
        Some(Outcome::Refused(refusal)) => refusal.reads,
        None => Vec::new(),
    };
    let [Answer::Fields(found), Answer::Clock(clock)] = reads.as_slice() else {
        return Err(CommitError::Unusable("the layout record cannot be read".to_owned()));
    };
    for ((field, expected), found) in expected.into_iter().zip(found) {
        if *found != Some(Value::Integer(expected)) {
            let found = match found {
                Some(Value::Integer(found)) => found.to_string(),
                _ => "none".to_owned(),
            };
            return Err(CommitError::Unusable(format!(
                "it was laid out with {field} {found}, and {expected} is configured"
            )));
        }
    }
    Ok(*clock)
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::memory::Memory;

    #[test]
    fn the_same_round_trip_tells_the_stores_time() {
        let memory = Memory::new();
        let look = || block_on(check(&memory, Partitions::default()));
        assert_eq!(look(), Ok(None), "it has no clock");
        memory.set_clock(Some(1_771_257_600_000));
        assert_eq!(look(), Ok(Some(1_771_257_600_000)));
        memory.set_clock(None);
        assert_eq!(look(), Ok(None));
    }

    #[test]
    fn another_number_of_partitions_is_refused_and_both_are_named() {
        let memory = Memory::new();
        block_on(check(&memory, Partitions::default())).unwrap();
        block_on(check(&memory, Partitions::default())).unwrap();
        let error = block_on(check(&memory, Partitions::new(512).unwrap())).unwrap_err();
        let CommitError::Unusable(text) = error else { panic!("{error}") };
        assert!(text.contains("256") && text.contains("512"), "{text}");
    }
}
