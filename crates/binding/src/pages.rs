//! A bound of the entries of a page, for all reads of a store: a test shows with pages of three entries
//! what else takes a thousand.

use std::borrow::Cow;

use domain::partition::Partition;
use domain::transaction::{READ_FIELDS_MAX, Read, Transaction};

/// The transactions, where no [`Read::Page`] is answered with more than so many members; the same ones, not
/// copied, where none asks for more. What is no valid read stays invalid.
pub fn limited(
    transactions: &[(Partition, Transaction)],
    entries_max: u32,
) -> Cow<'_, [(Partition, Transaction)]> {
    let is_larger = |read: &Read| match read {
        Read::Page(_, _, most) => *most > entries_max && *most <= READ_FIELDS_MAX,
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
            && let Read::Page(_, _, most) = read
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
        Answer, CommitError, Guard, Invalid, Member, OrderedKey, Outcome, Page, Range, Write,
    };
    use futures::executor::block_on;

    use super::*;
    use crate::Binding;
    use crate::memory::Memory;

    /// Members of the set.
    const MEMBERS: u8 = 10;

    fn home() -> Partition {
        Partitions::default().of_configuration("home")
    }

    fn set() -> OrderedKey {
        OrderedKey::from("set")
    }

    fn member(number: u8) -> Member {
        Member(vec![number])
    }

    fn members(count: u8) -> Answer {
        let members = (0..count).map(member).collect();
        Answer::Page(Page { members, has_more: count < MEMBERS })
    }

    fn page(most: u32) -> Read {
        Read::Page(set(), Range::default(), most)
    }

    fn reading(reads: Vec<Read>) -> [(Partition, Transaction); 1] {
        [(home(), Transaction { reads, ..Transaction::default() })]
    }

    /// What a store with a set of ten members answers under the bound.
    fn answer(transaction: Transaction, entries_max: u32) -> Result<Outcome, CommitError> {
        let store = Memory::new();
        let fill = (0..MEMBERS).map(|number| Write::AddMember(set(), member(number))).collect();
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
    fn no_page_has_more_members_than_the_bound_and_it_says_whether_there_are_more() {
        for (asked, bound, expected) in [
            (READ_FIELDS_MAX, 1, 1),
            (READ_FIELDS_MAX, 3, 3),
            (4, 3, 3),
            (3, 3, 3),
            (2, 3, 2),
            (READ_FIELDS_MAX, 11, 10),
            (READ_FIELDS_MAX, READ_FIELDS_MAX, 10),
        ] {
            let expected = Outcome::Committed(vec![members(expected)]);
            assert_eq!(answers(vec![page(asked)], bound), Ok(expected), "{asked} under {bound}");
        }
    }

    #[test]
    fn every_other_read_is_answered_as_ever_beside_a_page() {
        let others = vec![
            Read::Count(set(), Range::default()),
            Read::HasMember(set(), member(9)),
            Read::Contains("ids".into(), 7),
        ];
        let Ok(Outcome::Committed(expected)) = answers(others.clone(), READ_FIELDS_MAX) else {
            panic!("valid reads are answered");
        };
        assert_eq!(expected[..2], [Answer::Size(MEMBERS.into()), Answer::Contains(true)]);
        let reads = [others, vec![page(READ_FIELDS_MAX)]].concat();
        let expected = [expected, vec![members(3)]].concat();
        assert_eq!(answers(reads, 3), Ok(Outcome::Committed(expected)));
    }

    #[test]
    fn guards_and_writes_are_as_they_were_and_a_refusal_has_a_page_too() {
        let transaction = Transaction {
            now_ms: 7,
            guards: vec![Guard::MemberAbsent(set(), member(0))],
            writes: vec![Write::RemoveMember(set(), member(1))],
            reads: vec![page(256)],
        };
        let changed = limited(&[(home(), transaction.clone())], 3).into_owned();
        let reads = vec![page(3)];
        assert_eq!(changed, [(home(), Transaction { reads, ..transaction.clone() })]);
        let Ok(Outcome::Refused(refusal)) = answer(transaction, 3) else {
            panic!("the member is there");
        };
        assert_eq!(refusal.reads, [members(3)]);
    }

    #[test]
    fn nothing_is_copied_where_nothing_changes() {
        let whole = reading(vec![page(READ_FIELDS_MAX)]);
        let small = reading(vec![page(3), Read::Count(set(), Range::default())]);
        for (transactions, bound) in [(&whole, READ_FIELDS_MAX), (&small, 3)] {
            assert!(matches!(limited(transactions, bound), Cow::Borrowed(_)), "{bound}");
        }
        assert!(matches!(limited(&whole, 3), Cow::Owned(_)));
    }

    #[test]
    fn what_is_no_valid_read_stays_invalid() {
        for asked in [0, READ_FIELDS_MAX + 1, u32::MAX] {
            let answers = answers(vec![page(asked)], 3);
            assert_eq!(answers, Err(CommitError::Invalid(Invalid::ReadSize)), "{asked}");
        }
    }
}
