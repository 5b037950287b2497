//! How fast one user may get awards of a scene that limits it: coupons of its templates and packets of its rains
//! together. Pure.
//!
//! A user's paces lie in a record of their own, a field for each scene, in the partition of the user ([`paces`]): so
//! whoever gives an award of the scene changes the same value. They are not in the user's record of coupons, which has
//! a limit of its own, because packets of rains must not fill that.
//!
//! # How it is exact
//!
//! 1. The commit that gives an award demands that the number has not acted, and then that the pace is what was seen. It
//!    writes the next pace. The first attempt takes it that there is none, which costs no read.
//! 2. Where the pace is another one the refusal shows it. If it has room for one more award, the next attempt demands
//!    that one; else `rate_limited` is told. The number has not acted then: that guard comes first, so that a retry of
//!    what was given is told what was given, whatever the pace is.
//! 3. Of awards at the same time one is first. The others meet another pace, and decide again.
//! 4. A crash before the commit counts nothing, and one after it has counted what was given. A commit that comes late
//!    meets the same guards. `rate_limited` is recorded nowhere: the same number may act later.
//! 5. The store may collect the record [`KEPT_MS`] after the last award. No limit looks back so far, whatever it will
//!    be.
//!
//! Rewards of group-buys are earned, and not paced.
//!
//! The limit costs one more round trip for a user who already has awards of the scene, and none for others or for
//! scenes without a limit.

use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Field, Guard, MapKey, Value, Write};
use serde::{Deserialize, Serialize};
use store::codec::{decode, encode};
use store::{Plan, Record};

use crate::scene::{RateLimit, SECONDS_MAX};

/// How long a pace may count after the last award: the longest time of a limit, and a day for clocks that differ.
pub const KEPT_MS: i64 = (SECONDS_MAX as i64 + 86_400) * 1_000;

/// How many awards a user got since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pace {
    since_seconds: i64,
    awards: u32,
}

impl Record for Pace {
    const NAME: &'static str = "a pace";
}

/// What giving one more award demands and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The pace is the one that was seen. Its refusal tells what it is.
    pub guard: Guard,
    /// The next one. It is collected by the clock of the plan.
    pub writes: [Write; 2],
}

impl Step {
    /// Puts a step, if there is one, into the plan of whatever gives the award; `why` is why the plan is refused where
    /// the pace is another one.
    pub fn demand<R>(step: Option<Self>, plan: &mut Plan<R>, why: R, now: UnixMillis) {
        if let Some(Self { guard, writes }) = step {
            plan.demand(why, guard);
            plan.at(now).write_all(writes);
        }
    }
}

/// The user is too fast: so many seconds until the next award.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub u32);

/// The paces of a user, by scene.
pub fn paces(user: UserId) -> MapKey {
    MapKey(format!("r{user}"))
}

impl RateLimit {
    /// One more award of a scene for a user whose pace is this.
    ///
    /// # Errors
    /// The value is no pace.
    pub fn step(
        self,
        user: UserId,
        scene: &str,
        seen: Option<&Value>,
        now: UnixMillis,
    ) -> Result<Result<Step, Wait>, CommitError> {
        let next = match self.next(seen, now)? {
            Ok(next) => encode(&next),
            Err(wait) => return Ok(Err(wait)),
        };
        let (record, field) = (paces(user), Field::from(scene));
        let guard = match seen {
            Some(seen) => Guard::FieldEquals(record.clone(), field.clone(), seen.clone()),
            None => Guard::FieldAbsent(record.clone(), field.clone()),
        };
        let collected = now.0.saturating_add(KEPT_MS);
        let writes =
            [Write::Set(record.clone(), field, next), Write::CollectAfter(record, collected)];
        Ok(Ok(Step { guard, writes }))
    }

    fn next(
        self,
        seen: Option<&Value>,
        now: UnixMillis,
    ) -> Result<Result<Pace, Wait>, CommitError> {
        let now = now.0.div_euclid(1_000);
        let first = Pace { since_seconds: now, awards: 1 };
        let Some(Pace { since_seconds, awards }) = seen.map(decode).transpose()? else {
            return Ok(Ok(first));
        };
        let wait = since_seconds.saturating_add(self.seconds.into()).saturating_sub(now);
        Ok(if wait <= 0 {
            Ok(first)
        } else if awards < self.awards {
            Ok(Pace { since_seconds, awards: awards + 1 })
        } else {
            Err(Wait(u32::try_from(wait).unwrap_or(u32::MAX)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_counts_from_the_first_award() {
        let limit = RateLimit { awards: 2, seconds: 10 };
        let at = |seen: Option<Pace>, ms: i64| {
            limit.next(seen.map(|seen| encode(&seen)).as_ref(), UnixMillis(ms)).unwrap()
        };
        let one = at(None, 5_000).unwrap();
        let two = at(Some(one), 14_999).unwrap();
        assert_eq!(at(Some(two), 5_000), Err(Wait(10)));
        assert_eq!(at(Some(two), 14_999), Err(Wait(1)));
        // A clock that is behind waits a little longer.
        assert_eq!(at(Some(two), 3_000), Err(Wait(12)));
        assert_eq!(at(Some(two), 15_000), at(None, 15_000));
        // A shorter time counts at once.
        let shorter = RateLimit { awards: 2, seconds: 5 };
        let next = shorter.next(Some(&encode(&two)), UnixMillis(10_000)).unwrap();
        assert_eq!(next, at(None, 10_000));
        assert!(limit.next(Some(&Value::Bytes(vec![])), UnixMillis(0)).is_err());
    }

    #[test]
    fn a_step_demands_what_was_seen_and_is_kept_as_long_as_any_limit_counts() {
        let limit = RateLimit { awards: 2, seconds: 10 };
        let step = |seen: Option<&Value>| {
            limit.step(UserId(7), "cash", seen, UnixMillis(5_000)).unwrap().unwrap()
        };
        let (record, field) = (paces(UserId(7)), Field::from("cash"));
        let first = step(None);
        assert_eq!(first.guard, Guard::FieldAbsent(record.clone(), field.clone()));
        let [Write::Set(_, _, value), Write::CollectAfter(_, collected)] = &first.writes else {
            panic!("{first:?}")
        };
        assert_eq!(step(Some(value)).guard, Guard::FieldEquals(record, field, value.clone()));
        assert!(*collected > 5_000 + i64::from(SECONDS_MAX) * 1_000);
    }
}
