//! A bound of the entries of a page, for all reads of a store: a test shows with pages of three entries
//! what else takes a thousand.

use std::borrow::Cow;

use domain::partition::Partition;
use domain::transaction::{READ_FIELDS_MAX, Read, Transaction};

/// The transactions, where no [`Read::Some`] is answered with more than so many entries; the same ones,
/// not copied, where none asks for more. What is no valid read stays invalid.
pub fn limited(
    transactions: &[(Partition, Transaction)],
    entries_max: u32,
) -> Cow<'_, [(Partition, Transaction)]> {
    let is_larger = |read: &Read| match read {
        Read::Some(_, most) => *most > entries_max && *most <= READ_FIELDS_MAX,
        _ => false,
    };
    // The usual bound is that of every read: nothing is looked at.
    if entries_max >= READ_FIELDS_MAX
        || !transactions.iter().any(|(_, one)| one.reads.iter().any(is_larger))
    {
        return Cow::Borrowed(transactions);
    }
    let mut limited = transactions.to_vec();
    for read in limited.iter_mut().flat_map(|(_, one)| &mut one.reads) {
        if is_larger(read)
            && let Read::Some(_, most) = read
        {
            *most = entries_max;
        }
    }
    Cow::Owned(limited)
}

#[cfg(test)]
mod tests {
    use domain::partition::Partitions;
    use domain::transaction::{
        Answer, CommitError, Field, Guard, Invalid, MapKey, Outcome, Value, Write,
    };
    use futures::executor::block_on;

    use super::*;
    use crate::Binding;
    use crate::memory::Memory;

    /// Entries of the map.
    const ENTRIES: i64 = 10;

    fn home() -> Partition {
        Partitions::default().of_configuration("home")
    }

    fn map() -> MapKey {
        MapKey::from("map")
    }

    fn entry(number: i64) -> (Field, Value) {
        (Field::from(format!("field-{number}").as_str()), Value::Integer(number))
    }

    fn entries(count: i64) -> Answer {
        Answer::Map((0..count).map(entry).collect())
    }

    fn reading(reads: Vec<Read>) -> [(Partition, Transaction); 1] {
        [(home(), Transaction { reads, ..Transaction::default() })]
    }

    /// What a store with a map of ten entries answers under the bound.
    fn answer(transaction: Transaction, entries_max: u32) -> Result<Outcome, CommitError> {
        let store = Memory::new();
        let set = |number| {
            let (field, value) = entry(number);
            Write::Set(map(), field, value)
        };
        let fill = (0..ENTRIES).map(set).collect();
        let fill = Transaction { writes: fill, ..Transaction::default() };
        block_on(store.commit(home(), &fill)).expect("it is valid");
        let transactions = [(home(), transaction)];
        let mut results = block_on(store.commit_some(&limited(&transactions, entries_max)));
        results.pop().expect("there is one result for each")
    }

    fn answers(reads: Vec<Read>, entries_max: u32) -> Result<Outcome, CommitError> {
        answer(Transaction { reads, ..Transaction::default() }, entries_max)
    }

    #[test]
    fn no_page_has_more_entries_than_the_bound() {
        for (asked, bound, expected) in [
            (READ_FIELDS_MAX, 1, 1),
            (READ_FIELDS_MAX, 3, 3),
            (4, 3, 3),
            (3, 3, 3),
            (2, 3, 2),
            (READ_FIELDS_MAX, 11, 10),
            (READ_FIELDS_MAX, READ_FIELDS_MAX, 10),
        ] {
            let answers = answers(vec![Read::Some(map(), asked)], bound);
            let expected = Outcome::Committed(vec![entries(expected)]);
            assert_eq!(answers, Ok(expected), "{asked} under {bound}");
        }
    }

    #[test]
    fn every_other_read_is_answered_as_ever_beside_a_page() {
        let others = vec![
            Read::All(map(), READ_FIELDS_MAX),
            Read::All(map(), 4),
            Read::Fields(map(), (0..ENTRIES).map(|number| entry(number).0).collect()),
            Read::Size(map()),
            Read::Contains("set".into(), 7),
        ];
        let page = Read::Some(map(), READ_FIELDS_MAX);
        let Ok(Outcome::Committed(expected)) = answers(others.clone(), READ_FIELDS_MAX) else {
            panic!("valid reads are answered");
        };
        assert_eq!(expected[..2], [entries(ENTRIES), Answer::Size(ENTRIES as u64)]);
        let reads = [others, vec![page]].concat();
        let expected = [expected, vec![entries(3)]].concat();
        assert_eq!(answers(reads, 3), Ok(Outcome::Committed(expected)));
    }

    #[test]
    fn guards_and_writes_are_as_they_were_and_a_refusal_has_a_page_too() {
        let transaction = Transaction {
            now_ms: 7,
            guards: vec![Guard::SizeAtMost(map(), 9)],
            writes: vec![Write::Drop(map())],
            reads: vec![Read::Some(map(), 256)],
        };
        let changed = limited(&[(home(), transaction.clone())], 3).into_owned();
        let reads = vec![Read::Some(map(), 3)];
        assert_eq!(changed, [(home(), Transaction { reads, ..transaction.clone() })]);
        let Ok(Outcome::Refused(refusal)) = answer(transaction, 3) else {
            panic!("ten entries are more than nine");
        };
        assert_eq!(refusal.reads, [entries(3)]);
    }

    #[test]
    fn nothing_is_copied_where_nothing_changes() {
        let whole = reading(vec![Read::Some(map(), READ_FIELDS_MAX)]);
        let small = reading(vec![Read::Some(map(), 3), Read::All(map(), READ_FIELDS_MAX)]);
        for (transactions, bound) in [(&whole, READ_FIELDS_MAX), (&small, 3)] {
            assert!(matches!(limited(transactions, bound), Cow::Borrowed(_)), "{bound}");
        }
        assert!(matches!(limited(&whole, 3), Cow::Owned(_)));
    }

    #[test]
    fn what_is_no_valid_read_stays_invalid() {
        for asked in [0, READ_FIELDS_MAX + 1, u32::MAX] {
            let answers = answers(vec![Read::Some(map(), asked)], 3);
            assert_eq!(answers, Err(CommitError::Invalid(Invalid::ReadSize)), "{asked}");
        }
    }
}
