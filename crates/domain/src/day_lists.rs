//! Lists of the users of a partition who had to do with something, a day at a time, so that whoever checks
//! books finds all of them, and those of yesterday without the others. A day's users lie in several
//! records, so that one read returns all of a record. Pure.

use crate::ids::UserId;
use crate::partition::{fnv1a, mix};
use crate::time::UnixMillis;
use crate::transaction::{Field, MapKey, READ_FIELDS_MAX, Read, Value, Write};

const DAY_MS: i64 = 86_400_000;

/// Records of a day.
pub const BUCKETS: u64 = 64;

/// The day of a moment.
pub fn day(at: UnixMillis) -> i64 {
    at.0.div_euclid(DAY_MS)
}

/// A user in a list.
pub fn user_field(user: UserId) -> Field {
    Field(user.to_string().into_bytes())
}

/// The user of a field.
pub fn user_of(field: &Field) -> Option<UserId> {
    std::str::from_utf8(&field.0).ok()?.parse().ok()
}

/// Lists of users: `<name>`, the index of days, and `<name><day>:<bucket>`, the users of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayLists(pub &'static str);

impl DayLists {
    /// Which days there are.
    pub fn days(self) -> Read {
        Read::Some(self.0.into(), READ_FIELDS_MAX)
    }

    /// The day of a field of the answer to [`Self::days`].
    pub fn day_of(field: &Field) -> Option<i64> {
        std::str::from_utf8(&field.0).ok()?.parse().ok()
    }

    /// Some of the users of a day.
    pub fn list(self, day: i64, bucket: u64) -> MapKey {
        MapKey(format!("{}{day}:{bucket}", self.0))
    }

    /// Puts a user on the list of a day. Twice is once.
    pub fn mark(self, user: UserId, at: UnixMillis) -> [Write; 2] {
        let day = day(at);
        let bucket = mix(fnv1a(&user.0.to_le_bytes())) % BUCKETS;
        let name = day.to_string();
        [
            Write::Set(self.0.into(), name.as_str().into(), Value::Integer(1)),
            Write::Set(self.list(day, bucket), user_field(user), Value::Integer(1)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_of_a_day_is_found() {
        let (user, at) = (UserId(652_024_209_997_893_632), UnixMillis(20_000 * DAY_MS + 5));
        let lists = DayLists("j");
        let [Write::Set(days, day, _), Write::Set(list, field, _)] = lists.mark(user, at) else {
            panic!("two fields are set");
        };
        assert_eq!(Read::Some(days, READ_FIELDS_MAX), lists.days());
        assert_eq!(DayLists::day_of(&day), Some(20_000));
        assert_eq!(user_of(&field), Some(user));
        assert!((0..BUCKETS).any(|bucket| lists.list(20_000, bucket) == list));
    }
}
