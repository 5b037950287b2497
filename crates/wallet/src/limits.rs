//! How many packets of a rain one user gets, in all and of one round. Pure.
//!
//! A rain with limits counts the packets of each user in a record of its own, `md<user>:<rain>`, in the partition of
//! the user. A rain without limits has no such record, and pays nothing.
//!
//! # How it is exact
//!
//! 1. The commit that gives a packet demands in this order that its order number has not acted, and that the counters
//!    are below the limits; it adds one to each. So a retry meets its own token and is told that, and of requests at
//!    the same time only as many are given as the limits allow.
//! 2. A crash before the commit counts nothing, one after it has counted what was given. A commit that comes late
//!    meets the same guards.
//! 3. A token that the store lost, with all that its commit wrote, and that its client puts back is not counted again.
//! 4. Both counters are kept, whichever limits there are, so that another version of the rain may change them. What
//!    was given by a version without limits is not counted.
//!
//! # How the counters end
//!
//! The store may collect a record [`KEPT_MS`] and a day after the end of the rain by the version that counted last.
//! Nothing may act then. A version with limits ends at the latest [`KEPT_MS`] after the earliest end of a version
//! with limits (the pool remembers that moment: [`LATEST_END`]), so that rounds which are added do not find users
//! whose counters are gone; requests after the end are refused by time; and a commit that is still on its way finds
//! no cents in the partition, because settlement takes back the leases of a rain that is over.

use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{Field, Guard, MapKey, Write};
use serde::{Deserialize, Serialize};

/// How long after its end a rain may be given further rounds, and users' packets still count.
pub const KEPT_MS: i64 = 30 * DAY_MS;
/// Of a pool: the latest end that a version with limits may have.
pub const LATEST_END: &str = "latest-end";

const DAY_MS: i64 = 86_400_000;
/// A limit above this is none.
const LIMIT_MAX: u32 = 1_000_000;
/// The field of all packets.
const ALL: &str = "a";

/// How many packets of a rain one user may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline, extend("minProperties" = 1)))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Of all rounds together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = LIMIT_MAX)))]
    pub per_user: Option<u32>,
    /// Of each round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = LIMIT_MAX)))]
    pub per_round: Option<u32>,
}

/// Which limit a user has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// That of the rain.
    User,
    /// That of the round.
    Round,
}

/// What giving one packet demands and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The user is below the limits.
    pub guards: Vec<(Reached, Guard)>,
    /// The user has one more.
    pub writes: [Write; 3],
}

impl Limits {
    /// Checks what a shape cannot say.
    ///
    /// # Errors
    /// `invalid_value`, naming the field.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        let wrong = |field, detail| Err(InvalidInput::new("invalid_value", field, detail));
        let is_wrong =
            |limit: Option<u32>| limit.is_some_and(|one| !(1..=LIMIT_MAX).contains(&one));
        if is_wrong(self.per_user) {
            wrong("limits.per_user", "must be 1 to 1000000")
        } else if is_wrong(self.per_round) {
            wrong("limits.per_round", "must be 1 to 1000000")
        } else if self.per_user.or(self.per_round).is_none() {
            wrong("limits", "must have per_user or per_round")
        } else {
            Ok(())
        }
    }

    /// Counts one packet of a round of a rain that ends then.
    pub fn count(&self, user: UserId, rain: &str, round: i32, until: UnixMillis) -> Counted {
        let (record, of_round) = (counters(user, rain), Field(format!("r{round}").into_bytes()));
        let below = |reached, field: &Field, limit: Option<u32>| {
            let most = i64::from(limit?) - 1;
            Some((reached, Guard::IntegerAtMost(record.clone(), field.clone(), most)))
        };
        let guards = [
            below(Reached::User, &ALL.into(), self.per_user),
            below(Reached::Round, &of_round, self.per_round),
        ];
        let collected = until.0.saturating_add(KEPT_MS + DAY_MS);
        Counted {
            guards: guards.into_iter().flatten().collect(),
            writes: [
                Write::Add(record.clone(), ALL.into(), 1),
                Write::Add(record.clone(), of_round, 1),
                Write::CollectAfter(record, collected),
            ],
        }
    }
}

/// What a user has of a rain: how many packets in all, and of each round.
pub fn counters(user: UserId, rain: &str) -> MapKey {
    MapKey(format!("md{user}:{rain}"))
}

/// The latest end that a version with limits may have after one that ends then.
pub fn latest_end(before: Option<i64>, until: UnixMillis) -> i64 {
    let latest = until.0.saturating_add(KEPT_MS);
    before.map_or(latest, |before| before.min(latest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_limits_name_the_field() {
        let validate = |per_user, per_round| {
            Limits { per_user, per_round }.validate().map_err(|error| error.field)
        };
        for (per_user, per_round) in [(Some(1), None), (None, Some(1_000_000)), (Some(1), Some(2))]
        {
            assert_eq!(validate(per_user, per_round), Ok(()));
        }
        for (per_user, per_round, field) in [
            (None, None, "limits"),
            (Some(0), Some(1), "limits.per_user"),
            (Some(1), Some(0), "limits.per_round"),
            (Some(1_000_001), None, "limits.per_user"),
            (None, Some(1_000_001), "limits.per_round"),
        ] {
            assert_eq!(validate(per_user, per_round), Err(field.to_owned()));
        }
    }

    #[test]
    fn no_version_outlives_the_counters_of_another_one() {
        let day = |days: i64| UnixMillis(days * DAY_MS);
        let latest = [10, 40, 5, 20].iter().fold(None, |before, end| {
            assert!(before.is_none_or(|latest| day(*end).0 <= latest), "{end} is allowed");
            Some(latest_end(before, day(*end)))
        });
        assert_eq!(latest, Some(day(35).0));
        let Counted { writes: [.., Write::CollectAfter(_, collected)], .. } =
            Limits { per_user: Some(1), per_round: None }.count(UserId(7), "r", 1, day(5))
        else {
            panic!("the record is collected at last");
        };
        assert!(collected > day(35).0);
    }
}
