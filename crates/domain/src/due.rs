//! An index of what is to be done at a moment, the oldest first: an ordered set of a partition whose members
//! begin with the moment. Whoever does it pages through what is due, and takes each item out with the commit
//! that did it, or after it. Pure.
//!
//! The moment of an item is part of its name, so that it must follow from what the item is about: from the
//! order that expires, the packet that ends, the token that is to be posted. Then whoever takes it out knows it.
//!
//! What waits in such an index: the posting queue; packets that are being sent, owed or to be closed; reservations
//! and withdrawals with an end; rewards that are due; orders that are under way; versions, rains and templates that
//! are over. An entry comes and goes in the commit of what it stands for.

use crate::answers::unexpected;
use crate::ids::UserId;
use crate::time::UnixMillis;
use crate::transaction::{CommitError, Guard, Member, OrderedKey, Range, Read, Write};

/// Bytes of a moment, and of a user.
const NUMBER_BYTES: usize = 8;
/// Moments are written so that those before 1970 stand in front of the others.
const SIGN: u64 = 1 << 63;

/// An index, by its name in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueIndex(pub &'static str);

/// What is to be done at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due<'a> {
    /// From when on.
    pub at: UnixMillis,
    /// With whom or what: see [`of_user`] for what is a user's.
    pub what: &'a [u8],
}

/// What a sweep did of what was due. One bad record stops only itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Items that were done.
    pub done: u64,
    /// Items that cannot be done for a fault of their own records; they stay.
    pub stuck: Vec<Stuck>,
    /// Items that cannot be done, either, and are not in the index any more: somebody has to look at them.
    pub set_aside: Vec<Stuck>,
    /// Whether more is due than this sweep looked at.
    pub has_more: bool,
    /// The first failure of the store that it met. What failed stays, and `has_more` is true.
    pub failure: Option<CommitError>,
}

/// Failures of the store after which a sweep of one partition ends: an item may need another partition, which is
/// away, and those behind it may not.
pub const FAILURES_MAX: u32 = 3;

/// An item that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Which: the index or list, and what stands in it, in words for operators.
    pub place: String,
    /// Why.
    pub error: CommitError,
}

impl Swept {
    /// Counts what became of an item: whether there was anything to do, or why it cannot be done. Whether the
    /// store answered: where it did not, that says nothing of the item, which stays.
    pub fn count(
        &mut self,
        place: impl FnOnce() -> String,
        result: Result<bool, CommitError>,
    ) -> bool {
        match result {
            Ok(is_done) => self.done += u64::from(is_done),
            Err(error) if error.is_of_records() => {
                self.stuck.push(Stuck { place: place(), error });
            }
            Err(error) => {
                self.has_more = true;
                self.failure.get_or_insert(error);
                return false;
            }
        }
        true
    }

    /// Adds what another sweep did.
    pub fn add(&mut self, other: Self) {
        self.done += other.done;
        self.stuck.extend(other.stuck);
        self.set_aside.extend(other.set_aside);
        self.has_more |= other.has_more;
        self.failure = self.failure.take().or(other.failure);
    }

    /// The sweep at its end.
    ///
    /// # Errors
    /// The store's, where it failed before anything was done or found.
    pub fn finish(self) -> Result<Self, CommitError> {
        let found_none = self.stuck.is_empty() && self.set_aside.is_empty();
        match self.failure {
            Some(failure) if self.done == 0 && found_none => Err(failure),
            _ => Ok(self),
        }
    }
}

/// What some sweeps did, of which none keeps another.
///
/// # Errors
/// The store's, where it failed one of them before anything was done or found by any.
pub fn each<const N: usize>(
    sweeps: [Result<Swept, CommitError>; N],
) -> Result<[Swept; N], CommitError> {
    let failed = |failure| Swept { has_more: true, failure: Some(failure), ..Swept::default() };
    let sweeps = sweeps.map(|one| one.unwrap_or_else(failed));
    let mut all = Swept::default();
    sweeps.iter().for_each(|one| all.add(one.clone()));
    all.finish()?;
    Ok(sweeps)
}

impl DueIndex {
    /// Its record.
    #[must_use]
    pub fn key(self) -> OrderedKey {
        self.0.into()
    }

    /// Puts something in. Twice is once.
    #[must_use]
    pub fn add(self, at: UnixMillis, what: &[u8]) -> Write {
        Write::AddMember(self.key(), member(at, what))
    }

    /// Takes something out, if it is there.
    #[must_use]
    pub fn remove(self, at: UnixMillis, what: &[u8]) -> Write {
        Write::RemoveMember(self.key(), member(at, what))
    }

    /// Demands that something is there.
    #[must_use]
    pub fn demand(self, at: UnixMillis, what: &[u8]) -> Guard {
        Guard::MemberPresent(self.key(), member(at, what))
    }

    /// Reads whether something is there.
    #[must_use]
    pub fn has(self, at: UnixMillis, what: &[u8]) -> Read {
        Read::HasMember(self.key(), member(at, what))
    }

    /// A page of what is due at a moment, the oldest first, behind a member of another page.
    #[must_use]
    pub fn page(self, until: UnixMillis, after: Option<Member>, most: u32) -> Read {
        Read::Page(self.key(), Range { after, below: Some(end_of(until)) }, most)
    }

    /// A page of all that is there, due or not.
    #[must_use]
    pub fn page_of_all(self, after: Option<Member>, most: u32) -> Read {
        Read::Page(self.key(), Range { after, below: None }, most)
    }

    /// How many are due at a moment.
    #[must_use]
    pub fn count(self, until: UnixMillis) -> Read {
        Read::Count(self.key(), Range { after: None, below: Some(end_of(until)) })
    }
}

/// Behind all that is due at a moment, and in front of the rest.
fn end_of(at: UnixMillis) -> Member {
    Member(moment(UnixMillis(at.0.saturating_add(1))).to_vec())
}

fn moment(at: UnixMillis) -> [u8; NUMBER_BYTES] {
    (at.0.cast_unsigned() ^ SIGN).to_be_bytes()
}

/// The member of an index that stands for something that is due at a moment.
#[must_use]
pub fn member(at: UnixMillis, what: &[u8]) -> Member {
    Member([&moment(at), what].concat())
}

/// What a member of an index stands for.
///
/// # Errors
/// It is none.
pub fn due(member: &Member) -> Result<Due<'_>, CommitError> {
    let (moment, what) = member.0.split_first_chunk::<NUMBER_BYTES>().ok_or_else(unexpected)?;
    let at = UnixMillis((u64::from_be_bytes(*moment) ^ SIGN).cast_signed());
    Ok(Due { at, what })
}

/// A member in words for operators.
#[must_use]
pub fn words(member: &Member) -> String {
    let Ok(Due { what, .. }) = due(member) else { return member.0.escape_ascii().to_string() };
    match (std::str::from_utf8(what), user_of(what)) {
        (Ok(text), _) if text.chars().all(|one| one.is_ascii_graphic()) => text.to_owned(),
        (_, Ok((user, name))) => format!("{name} of user {user}"),
        _ => what.escape_ascii().to_string(),
    }
}

/// Something of a user.
#[must_use]
pub fn of_user(user: UserId, name: &str) -> Vec<u8> {
    [&user.0.to_be_bytes(), name.as_bytes()].concat()
}

/// The user, and what of the user it is.
///
/// # Errors
/// It is nothing of a user.
pub fn user_of(what: &[u8]) -> Result<(UserId, &str), CommitError> {
    let (user, name) = what.split_first_chunk::<NUMBER_BYTES>().ok_or_else(unexpected)?;
    let name = std::str::from_utf8(name).map_err(|_| unexpected())?;
    Ok((UserId(u64::from_be_bytes(*user)), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: DueIndex = DueIndex("d");

    fn added(at: i64, what: &[u8]) -> Member {
        let Write::AddMember(key, member) = INDEX.add(UnixMillis(at), what) else {
            panic!("a member is added");
        };
        assert_eq!(key, INDEX.key());
        member
    }

    #[test]
    fn an_item_is_itself_again() {
        let what = of_user(UserId(u64::MAX - 1), "7_a:b.c");
        for at in [i64::MIN, -1, 0, 1, 1_771_257_600_250, i64::MAX] {
            let member = added(at, &what);
            assert_eq!(due(&member), Ok(Due { at: UnixMillis(at), what: &what }));
        }
        assert_eq!(user_of(&what), Ok((UserId(u64::MAX - 1), "7_a:b.c")));
        assert_eq!(words(&added(0, &what)), format!("7_a:b.c of user {}", u64::MAX - 1));
        assert_eq!(words(&added(0, b"7.p-1")), "7.p-1");
        assert_eq!(words(&Member(vec![0xff])), "\\xff");
        assert!(due(&Member(vec![1; 7])).is_err());
        assert!(user_of(&[1; 7]).is_err());
        assert!(user_of(&[&[1; 8][..], &[0xff]].concat()).is_err());
    }

    #[test]
    fn what_is_wrong_with_a_record_stops_that_item_only() {
        let mut swept = Swept::default();
        let place = || "packets that expire: 7.a".to_owned();
        for result in [Ok(true), Ok(false), Err(unexpected())] {
            assert!(swept.count(place, result));
        }
        assert_eq!((swept.done, swept.stuck.len(), swept.has_more), (1, 1, false));
        assert_eq!(swept.stuck[0].place, place());
        let gone = CommitError::Unavailable("gone".into());
        assert!(!swept.count(place, Err(gone.clone())));
        assert!(!swept.count(place, Err(CommitError::Unknown("late".into()))));
        assert_eq!((swept.failure.as_ref(), swept.has_more), (Some(&gone), true));
        assert_eq!(swept.clone().finish(), Ok(swept.clone()), "what was done is told");
        let nothing = Swept { done: 0, stuck: vec![], ..swept.clone() };
        assert_eq!(nothing.finish(), Err(gone.clone()));
        let (idle, none) = (Ok(Swept::default()), Err(gone.clone()));
        assert_eq!(each([idle, none.clone()]), Err(gone.clone()), "nothing was done");
        let [done, other] = each([Ok(Swept { done: 1, ..Swept::default() }), none]).unwrap();
        assert_eq!((done.done, other.failure, other.has_more), (1, Some(gone), true));
    }

    #[test]
    fn items_stand_in_the_order_of_time_and_what_is_due_in_front_of_the_rest() {
        let times = [i64::MIN, -2, -1, 0, 1, 255, 256, 65_535, 1_771_257_600_250, i64::MAX - 1];
        assert!(times.is_sorted_by_key(|at| added(*at, &[0xff; 200])));
        for at in times {
            let Read::Page(_, range, 9) = INDEX.page(UnixMillis(at), None, 9) else {
                panic!("a page is read");
            };
            let end = range.below.expect("it ends");
            assert!(added(at, &[0xff; 200]) < end && end <= added(at + 1, &[]), "{at}");
        }
    }
}
