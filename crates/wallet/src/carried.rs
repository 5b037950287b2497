//! Entries that are carried: old ones become one line a month, with what they add up to.
//!
//! # Protocol
//!
//! Entries are carried in their order, from the first on, by a commit in the user's partition. Below `c` of the account
//! all are carried. One may be carried once it was posted long ago, and nothing can act under its number any more:
//!
//! - *a token of a rain*, once the rain is sealed: then no packet of it is opened.
//! - *a token of a group packet* at any time: it leaves a hash of its number, by which who pays it late knows that it was
//!   paid.
//! - *a withdrawal*, once its record is gone: so that of each record that is kept the entries are kept, too.
//!
//! The first that may not stops all behind it: a token of a rain that is not sealed, or a withdrawal that is pending for
//! ever, keeps the entries behind it for as long as it can act. The commit demands `c`, the months that it changes as they were seen, and
//! the watermarks; entries never change, so that with `c` they are what was read. It takes the entries and the numbers of
//! their tokens away, raises the watermark of tokens to the latest time at which one of a rain was drawn, leaves the hashes
//! of those of packets, adds them to their months, and sets `c`. A crash before it leaves all as it was. One that comes
//! late meets another `c`. Of two at once the first counts.
//!
//! So what is carried and what is not add up to the account, at any moment. Of withdrawals whose records are gone the entries
//! that are kept add up to what the account says of them ([`crate::account::Gone`]), and those that are carried to what
//! their months say: together that is what left, beside the withdrawals that are kept. A token that the store has neither pending nor
//! posted is put back only if it was drawn after the watermark, or left no hash: else it is, or may be, among what was
//! carried, and is told as `too_old`.
//!
//! Months that are older still become one line, `before` all others, by the same commit.

use std::collections::BTreeMap;

use domain::answers::unexpected;
use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, READ_FIELDS_MAX, Read, Value, Write};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;
use store::{Record, codec};

use crate::records;

/// The line of what is older than all months.
pub const BEFORE: &str = "before";
/// Months of one user that are kept as lines of their own, whatever operators say: twenty years.
const MONTHS_MAX: usize = 240;
/// Months that one commit merges.
const MERGED_MAX: usize = 120;
/// The key of the chain of hashes, which is no secret: it tells whether a copy has the same entries.
const HASH_KEY: [u8; 16] = *b"hongbao entries\x01";

/// What some entries of a user add up to, that were posted one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Cents by which they changed the balance.
    pub amount: i64,
    /// Cents of them that are income.
    pub income: i64,
    /// Cents that withdrawals took.
    pub taken: i64,
    /// Cents of withdrawals that came back.
    pub back: i64,
    /// How many they are.
    pub count: i64,
    /// The sequence number of the first.
    pub first: i64,
    /// When the last was posted, in unix milliseconds.
    pub until: i64,
    /// A chain over their bytes, in their order.
    pub hash: u64,
}

impl Record for Carried {
    const NAME: &'static str = "the carried entries of a month";
}

/// The carried entries of a user, by month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Months(BTreeMap<String, Carried>);

/// The month of a moment: `2026-02`.
pub fn month(at: UnixMillis) -> String {
    let mut text = at.to_rfc3339();
    text.truncate(text.find('T').map_or(text.len(), |day| day.saturating_sub(3)));
    text
}

fn chained(before: u64, bytes: &[u8]) -> u64 {
    SipHasher24::new_with_key(&HASH_KEY).hash(&[&before.to_le_bytes(), bytes].concat())
}

impl Carried {
    /// Adds what comes behind.
    fn add(&mut self, next: &Self, bytes: &[u8]) {
        if self.count == 0 {
            self.first = next.first;
        }
        self.amount += next.amount;
        self.income += next.income;
        self.taken += next.taken;
        self.back += next.back;
        self.count += next.count;
        self.until = self.until.max(next.until);
        self.hash = chained(self.hash, bytes);
    }
}

impl Months {
    /// Reads those of a user.
    pub fn read(user: UserId) -> Read {
        Read::All(records::months(user), READ_FIELDS_MAX)
    }

    /// The answer to [`Self::read`].
    ///
    /// # Errors
    /// It is another one, or cannot be read.
    pub fn answered(answer: Option<&Answer>) -> Result<Self, CommitError> {
        let Some(Answer::Map(fields)) = answer else { return Err(unexpected()) };
        let one = |(Field(month), value): &(Field, Value)| {
            let month = String::from_utf8(month.clone()).map_err(|_| unexpected())?;
            Ok((month, codec::decode(value)?))
        };
        fields.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// What all of them add up to.
    pub fn total(&self) -> Carried {
        let mut total = Carried::default();
        let months = self.0.iter().filter(|(name, _)| *name != BEFORE).map(|(_, one)| one);
        self.0.get(BEFORE).into_iter().chain(months).for_each(|one| total.add(one, &[]));
        total
    }

    /// The lines below a month, the latest first; what is before all others is the last, and no month.
    pub fn below<'a>(
        &'a self,
        month: Option<&'a str>,
    ) -> impl Iterator<Item = (Option<&'a str>, &'a Carried)> {
        let of_months = self.0.iter().rev().filter(|(name, _)| *name != BEFORE);
        let of_months = of_months.map(|(name, one)| (Some(name.as_str()), one));
        let of_months =
            of_months.filter(move |(name, _)| month.is_none_or(|end| *name < Some(end)));
        of_months.chain(self.0.get(BEFORE).map(|one| (None, one)))
    }

    /// Adds an entry, which is behind all others.
    pub(crate) fn add(&mut self, entry: &Carried, bytes: &[u8]) {
        self.0.entry(month(UnixMillis(entry.until))).or_default().add(entry, bytes);
    }

    /// Merges months that are older than a moment into the line before all others, some in one go; how many.
    pub(crate) fn merge(&mut self, until: UnixMillis) -> usize {
        let until = month(until);
        let months = self.0.keys().filter(|name| *name != BEFORE);
        let too_many = months.clone().count().saturating_sub(MONTHS_MAX);
        let old = months.enumerate().filter(|(place, name)| *place < too_many || **name < until);
        let old: Vec<_> = old.map(|(_, name)| name.clone()).take(MERGED_MAX).collect();
        let mut before = self.0.get(BEFORE).copied().unwrap_or_default();
        for name in &old {
            if let Some(month) = self.0.remove(name) {
                before.add(&month, &month.hash.to_le_bytes());
            }
        }
        if !old.is_empty() {
            self.0.insert(BEFORE.to_owned(), before);
        }
        old.len()
    }

    /// What makes other months of these: it demands those that change as they are.
    pub(crate) fn change(&self, next: &Self, user: UserId) -> (Vec<Guard>, Vec<Write>) {
        let record = records::months(user);
        let field = |name: &String| Field::from(name.as_str());
        let (mut guards, mut writes) = (Vec::new(), Vec::new());
        for (name, one) in &next.0 {
            let before = self.0.get(name);
            if before == Some(one) {
                continue;
            }
            guards.push(match before {
                None => Guard::FieldAbsent(record.clone(), field(name)),
                Some(before) => {
                    Guard::FieldEquals(record.clone(), field(name), codec::encode(before))
                }
            });
            writes.push(Write::Set(record.clone(), field(name), codec::encode(one)));
        }
        for (name, before) in self.0.iter().filter(|(name, _)| !next.0.contains_key(*name)) {
            guards.push(Guard::FieldEquals(record.clone(), field(name), codec::encode(before)));
            writes.push(Write::Unset(record.clone(), field(name)));
        }
        (guards, writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(first: i64, at: &str, amount: i64) -> Carried {
        let until = UnixMillis::parse_rfc3339(at).unwrap().0;
        Carried { amount, income: amount.max(0), count: 1, first, until, ..Carried::default() }
    }

    #[test]
    fn entries_are_added_by_month_and_old_months_become_one_line() {
        let mut months = Months::default();
        for (first, at, amount) in [
            (0, "2026-01-31T23:59:59.999Z", 5),
            (1, "2026-02-01T00:00:00Z", 7),
            (2, "2026-02-28T00:00:00Z", -3),
            (3, "2026-03-01T00:00:00Z", 1),
        ] {
            months.add(&entry(first, at, amount), &[first as u8]);
        }
        let lines = |months: &Months| -> Vec<_> {
            let line = |(name, one): (Option<&str>, &Carried)| {
                (name.map(str::to_owned), one.amount, one.count, one.first)
            };
            months.below(None).map(line).collect()
        };
        let named = |name: &str| Some(name.to_owned());
        let expected =
            [(named("2026-03"), 1, 1, 3), (named("2026-02"), 4, 2, 1), (named("2026-01"), 5, 1, 0)];
        assert_eq!(lines(&months), expected);
        assert_eq!(months.below(Some("2026-02")).count(), 1);
        let total = months.total();
        assert_eq!((total.amount, total.income, total.count, total.first), (10, 13, 4, 0));

        let mut next = months.clone();
        assert_eq!(next.merge(UnixMillis::parse_rfc3339("2026-03-15T00:00:00Z").unwrap()), 2);
        assert_eq!(lines(&next), [(named("2026-03"), 1, 1, 3), (None, 9, 3, 0)]);
        let after = next.total();
        assert_eq!((after.amount, after.income, after.count), (10, 13, 4));
        let (guards, writes) = months.change(&next, UserId(7));
        assert_eq!((guards.len(), writes.len()), (3, 3));
        assert_eq!(next.change(&next, UserId(7)), (vec![], vec![]));
    }

    #[test]
    fn a_chain_tells_other_entries_and_another_order() {
        let hash = |bytes: [&[u8]; 2]| {
            let mut months = Months::default();
            for one in bytes {
                months.add(&entry(0, "2026-02-01T00:00:00Z", 1), one);
            }
            months.below(None).next().unwrap().1.hash
        };
        assert_eq!(hash([b"a", b"b"]), hash([b"a", b"b"]));
        assert_ne!(hash([b"a", b"b"]), hash([b"b", b"a"]));
        assert_ne!(hash([b"a", b"b"]), hash([b"a", b"c"]));
    }
}
