//! How long what is over is kept, and what a collection took away.
//!
//! Operators publish it as one record; who collects reads it at the beginning. Nobody who acts needs it: what was
//! collected left marks ([`crate::numbers`]), so that a change of these times never lets anything act twice.

use std::collections::BTreeMap;

use domain::error::InvalidInput;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::codec::{Form, Record};
use crate::versioned::Versioned;

const DAY_MS: i64 = 86_400_000;
/// The one field of the record.
const BODY: &str = "body";
/// A hundred years: more is never.
const DAYS_MAX: u32 = 36_500;

/// For how many days things are kept once they are over. What is left out has its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// What acted under a number: coupons that ended, purchases, packets, withdrawals, posted tokens. Whoever sends such a
    /// number later is told `too_old`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = Self::LEAST.numbers_days, max = DAYS_MAX)))]
    pub numbers_days: u32,
    /// Entries of statements, until a month of them becomes one line.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = Self::LEAST.entries_days, max = DAYS_MAX)))]
    pub entries_days: u32,
    /// Templates, rains, campaigns and activities that are over, until a short record is left of each.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = Self::LEAST.configuration_days, max = DAYS_MAX)))]
    pub configuration_days: u32,
    /// Those short records, and lines of months, until they go or become one.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = Self::LEAST.archive_days, max = DAYS_MAX)))]
    pub archive_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { numbers_days: 90, entries_days: 400, configuration_days: 90, archive_days: 1_100 }
    }
}

impl Record for Retention {
    const NAME: &'static str = "how long things are kept";
    const FORM: Form = Form::Json;
}

impl Retention {
    /// The least of each: late effects, repeated events and disputes take days.
    pub const LEAST: Self =
        Self { numbers_days: 7, entries_days: 14, configuration_days: 7, archive_days: 14 };

    /// Checks the bounds.
    ///
    /// # Errors
    /// `invalid_value`, naming the field.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        let Self { numbers_days, entries_days, configuration_days, archive_days } = *self;
        let least = Self::LEAST;
        for (field, days, least) in [
            ("numbers_days", numbers_days, least.numbers_days),
            ("entries_days", entries_days, least.entries_days),
            ("configuration_days", configuration_days, least.configuration_days),
            ("archive_days", archive_days, least.archive_days),
        ] {
            if !(least..=DAYS_MAX).contains(&days) {
                let detail = format!("must be {least} to {DAYS_MAX}");
                return Err(InvalidInput::new("invalid_value", field, detail));
            }
        }
        Ok(())
    }

    /// Where it lies.
    pub fn place(partitions: Partitions) -> Versioned<Self> {
        Versioned::new(partitions.of_configuration("retention"), "xr".into(), BODY)
    }
}

/// The terms of one collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long things are kept.
    pub retention: Retention,
    /// The moment of the call.
    pub now: UnixMillis,
    /// Whether it only says what would go, and writes nothing.
    pub dry_run: bool,
}

impl Terms {
    /// What ended before goes, of what acted under a number.
    pub fn numbers_until(&self) -> UnixMillis {
        self.before(self.retention.numbers_days)
    }

    /// Entries that were posted before become lines of months.
    pub fn entries_until(&self) -> UnixMillis {
        self.before(self.retention.entries_days)
    }

    /// Configuration that ended before goes.
    pub fn configuration_until(&self) -> UnixMillis {
        self.before(self.retention.configuration_days)
    }

    /// Short records that are older go.
    pub fn archive_until(&self) -> UnixMillis {
        self.before(self.retention.archive_days)
    }

    fn before(&self, days: u32) -> UnixMillis {
        UnixMillis(self.now.0 - i64::from(days) * DAY_MS)
    }
}

/// What became of something of which parts are collected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// What went, or would go, by the name of its kind: "orders", "entries".
    pub gone: BTreeMap<&'static str, u64>,
    /// When something of what is left can go at the earliest. Nothing where nothing is left that anybody has to look at
    /// again: then it is on no list any more.
    pub next: Option<UnixMillis>,
    /// Whether more could go now.
    pub has_more: bool,
}

impl Collected {
    /// Counts what went.
    pub fn count(&mut self, kind: &'static str, number: u64) {
        if number > 0 {
            *self.gone.entry(kind).or_default() += number;
        }
    }

    /// Something is left that can go from a moment on.
    pub fn keep_until(&mut self, at: UnixMillis) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Adds what became of something else.
    pub fn add(&mut self, other: Self) {
        for (kind, number) in other.gone {
            self.count(kind, number);
        }
        if let Some(next) = other.next {
            self.keep_until(next);
        }
        self.has_more |= other.has_more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_has_a_least_and_a_default_above_it() {
        assert_eq!(Retention::default().validate(), Ok(()));
        assert_eq!(Retention::LEAST.validate(), Ok(()));
        for (field, change) in [
            ("numbers_days", (|one| one.numbers_days = 6) as fn(&mut Retention)),
            ("entries_days", |one| one.entries_days = 13),
            ("configuration_days", |one| one.configuration_days = 6),
            ("archive_days", |one| one.archive_days = 36_501),
        ] {
            let mut retention = Retention::default();
            change(&mut retention);
            assert_eq!(retention.validate().unwrap_err().field, field);
        }
        let some: Retention = serde_json::from_str(r#"{"numbers_days": 30}"#).unwrap();
        assert_eq!(some, Retention { numbers_days: 30, ..Retention::default() });
    }

    #[test]
    fn what_is_left_is_looked_at_when_the_first_of_it_can_go() {
        let mut collected = Collected::default();
        collected.count("orders", 0);
        collected.keep_until(UnixMillis(9));
        let mut other = Collected { has_more: true, ..Collected::default() };
        other.count("orders", 2);
        other.keep_until(UnixMillis(5));
        collected.add(other);
        assert_eq!(collected.gone, BTreeMap::from([("orders", 2)]));
        assert_eq!((collected.next, collected.has_more), (Some(UnixMillis(5)), true));
    }
}
