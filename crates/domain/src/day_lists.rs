//! Lists of the users of a partition who had to do with something, a day at a time, so that whoever checks
//! books finds all of them, and those of yesterday without the others. Days and users are ordered sets, which
//! are read page by page. A day's users lie in several of them: small sets are kept in a shorter form. Pure.

use crate::answers::unexpected;
use crate::ids::UserId;
use crate::partition::{fnv1a, mix};
use crate::time::UnixMillis;
use crate::transaction::{CommitError, Member, OrderedKey, READ_FIELDS_MAX, Range, Read, Write};

const DAY_MS: i64 = 86_400_000;

/// Records of a day.
pub const BUCKETS: u64 = 64;

/// The day of a moment.
pub fn day(at: UnixMillis) -> i64 {
    at.0.div_euclid(DAY_MS)
}

/// Lists of users: `<name>`, the days there are, and `<name><day>:<bucket>`, the users of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayLists(pub &'static str);

impl DayLists {
    /// A page of the days there are, behind a member of another page.
    pub fn days(self, after: Option<Member>) -> Read {
        Read::Page(self.0.into(), Range { after, below: None }, READ_FIELDS_MAX)
    }

    /// The first days before one.
    pub fn days_before(self, day: i64, most: u32) -> Read {
        let below = Some(Member(day.to_be_bytes().to_vec()));
        Read::Page(self.0.into(), Range { after: None, below }, most)
    }

    /// The day of a member of [`Self::days`].
    ///
    /// # Errors
    /// It is none.
    pub fn day_of(member: &Member) -> Result<i64, CommitError> {
        let bytes = member.0.as_slice().try_into().map_err(|_| unexpected())?;
        Ok(i64::from_be_bytes(bytes))
    }

    /// Some of the users of a day.
    pub fn list(self, day: i64, bucket: u64) -> OrderedKey {
        OrderedKey(format!("{}{day}:{bucket}", self.0))
    }

    /// A page of some of the users of a day, behind a member of another page.
    pub fn users(self, day: i64, bucket: u64, after: Option<Member>) -> Read {
        Read::Page(self.list(day, bucket), Range { after, below: None }, READ_FIELDS_MAX)
    }

    /// The first users of a list of a day, behind a member of another page.
    pub fn page(self, day: i64, bucket: u64, after: Option<Member>, most: u32) -> Read {
        Read::Page(self.list(day, bucket), Range { after, below: None }, most)
    }

    /// How many users each list of a day has, in the order of the lists.
    pub fn counts(self, day: i64) -> Vec<Read> {
        let count = |bucket| Read::Count(self.list(day, bucket), Range::default());
        (0..BUCKETS).map(count).collect()
    }

    /// The user of a member of [`Self::users`].
    ///
    /// # Errors
    /// It is none.
    pub fn user_of(member: &Member) -> Result<UserId, CommitError> {
        let bytes = member.0.as_slice().try_into().map_err(|_| unexpected())?;
        Ok(UserId(u64::from_be_bytes(bytes)))
    }

    /// The member that stands for a user.
    pub fn member(user: UserId) -> Member {
        Member(user.0.to_be_bytes().to_vec())
    }

    /// Puts a user on the list of the day of a moment. Twice is once.
    pub fn mark(self, user: UserId, at: UnixMillis) -> [Write; 2] {
        self.mark_on(user, day(at))
    }

    /// Puts a user on the list of a day.
    pub fn mark_on(self, user: UserId, day: i64) -> [Write; 2] {
        [
            // Days are after 1970, so that their bytes are in their order.
            Write::AddMember(self.0.into(), Member(day.to_be_bytes().to_vec())),
            Write::AddMember(self.list(day, bucket_of(user)), Self::member(user)),
        ]
    }

    /// Takes a user off the list of a day, if they are there.
    pub fn unmark(self, user: UserId, day: i64) -> Write {
        Write::RemoveMember(self.list(day, bucket_of(user)), Self::member(user))
    }

    /// Takes a day out of [`Self::days`]. Whoever does knows that its lists are empty, and looks again afterwards.
    pub fn forget(self, day: i64) -> Write {
        Write::RemoveMember(self.0.into(), Member(day.to_be_bytes().to_vec()))
    }
}

/// In which of the records of a day a user stands.
fn bucket_of(user: UserId) -> u64 {
    mix(fnv1a(&user.0.to_le_bytes())) % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_of_a_day_is_found() {
        let (user, at) = (UserId(652_024_209_997_893_632), UnixMillis(20_000 * DAY_MS + 5));
        let lists = DayLists("j");
        let [Write::AddMember(days, day), Write::AddMember(list, member)] = lists.mark(user, at)
        else {
            panic!("two members are added");
        };
        let read = Read::Page(days, Range::default(), READ_FIELDS_MAX);
        assert_eq!(lists.days(None), read);
        assert_eq!(DayLists::day_of(&day), Ok(20_000));
        assert_eq!(DayLists::user_of(&member), Ok(user));
        assert!((0..BUCKETS).any(|bucket| lists.list(20_000, bucket) == list));
        assert_eq!(lists.unmark(user, 20_000), Write::RemoveMember(list, member));
        assert_eq!(lists.forget(20_000), Write::RemoveMember("j".into(), day));
        assert!(DayLists::day_of(&Member(vec![1])).is_err());
        assert!(DayLists::user_of(&Member(vec![1; 9])).is_err());
    }
}
