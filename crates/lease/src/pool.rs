//! What a pool says of itself: what is free, and of the waves that reclaim leases from all partitions. Pure.
//!
//! A wave is named by its *stamp*: when it began, in microseconds, of which the last three digits are those of the
//! partition for which it began. So those who begin in one millisecond are told apart, unless they ask for one partition, or
//! for two whose numbers differ by a thousand: these both go on.

use domain::answers::integers;
use domain::partition::Partition;
use domain::transaction::{Answer, CommitError, Field};

use crate::steps::FREE;

/// The wave that began last.
pub(crate) const WAVE: &str = "wave";
/// The last one of those that have ended.
pub(crate) const ENDED: &str = "ended";
/// How many milliseconds that one took.
pub(crate) const TOOK: &str = "took";
/// The one that failed last.
pub(crate) const FAILED: &str = "failed";
/// When that was, in unix milliseconds.
pub(crate) const FAILED_AT: &str = "failed_at";
/// How many milliseconds the wave that is under way has at least.
pub(crate) const PATIENCE: &str = "patience";

/// What a wave found counts for so long, at least; and so far may clocks differ.
pub(crate) const TERM_MS_MIN: i64 = 1_000;
/// It counts for so long at most, and whoever begins a wave has so long to end it.
pub(crate) const TERM_MS_MAX: i64 = 10_000;

/// How long what a wave found counts, from its beginning. Twice as long as it took: so waves take half of the time of a
/// slow store, and no more.
pub(crate) fn term_ms(took_ms: i64) -> i64 {
    took_ms.saturating_mul(2).clamp(TERM_MS_MIN, TERM_MS_MAX)
}

/// The name of a wave that begins.
pub(crate) fn stamp(began_ms: i64, partition: Partition) -> i64 {
    began_ms.saturating_mul(1_000).saturating_add(i64::from(partition.index() % 1_000))
}

/// When a wave began, in unix milliseconds.
pub(crate) fn began_ms(stamp: i64) -> i64 {
    stamp / 1_000
}

/// Whether a date can be. One from further in the future was written by a clock that is ahead, at nobody knows what
/// time.
pub(crate) fn is_believable(stamp: i64, time_ms: i64) -> bool {
    began_ms(stamp) <= time_ms.saturating_add(TERM_MS_MIN)
}

/// What a pool says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    /// Units that it may lease out.
    pub free: i64,
    /// See [`WAVE`].
    pub wave: i64,
    /// See [`ENDED`].
    pub ended: i64,
    /// See [`FAILED`].
    pub failed: i64,
    /// Units that it ever credited to the partition that asks.
    pub credited: i64,
    failed_at_ms: i64,
    took_ms: i64,
    patience_ms: i64,
}

impl Pool {
    /// The fields that [`Self::answered`] expects, with the one that counts what was credited.
    pub fn fields(credited: Field) -> Vec<Field> {
        let own = [FREE, WAVE, ENDED, FAILED, FAILED_AT, TOOK, PATIENCE].map(Field::from);
        own.into_iter().chain([credited]).collect()
    }

    /// The answer to a read of [`Self::fields`].
    ///
    /// # Errors
    /// It is another one.
    pub fn answered(answer: Option<&Answer>) -> Result<Self, CommitError> {
        let [free, wave, ended, failed, failed_at_ms, took_ms, patience_ms, credited] =
            integers(answer)?;
        Ok(Self { free, wave, ended, failed, credited, failed_at_ms, took_ms, patience_ms })
    }

    /// Until when what the last wave found counts: for its term, and for a second behind its end.
    pub fn counts_until(&self) -> i64 {
        let behind_end = self.took_ms.saturating_add(TERM_MS_MIN);
        began_ms(self.ended).saturating_add(term_ms(self.took_ms).max(behind_end))
    }

    /// Whether what the last wave found counts for a request of a moment: another wave would find the same.
    pub fn counts(&self, request_ms: i64, time_ms: i64) -> bool {
        is_believable(self.ended, time_ms) && request_ms < self.counts_until()
    }

    /// Whether the last wave failed just now: the store is not well, and another wave would make it worse.
    pub fn has_failed(&self, time_ms: i64) -> bool {
        let since_ms = time_ms.saturating_sub(self.failed_at_ms);
        self.failed == self.wave && (-TERM_MS_MIN..TERM_MS_MIN).contains(&since_ms)
    }

    /// Whether a wave may be under way. Of one that is old enough nobody expects an end.
    pub fn may_be_under_way(&self, time_ms: i64) -> bool {
        let is_open = self.wave != self.ended && self.wave != self.failed;
        is_open && time_ms < began_ms(self.wave).saturating_add(TERM_MS_MAX)
    }

    /// For how long whoever watches a wave takes it to be under way: as long as what the last one found counted, or as
    /// long as who began it demanded.
    pub fn patience_ms(&self) -> i64 {
        term_ms(self.took_ms).max(self.patience_ms).min(TERM_MS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(wave_ms: i64, ended_ms: i64, took_ms: i64) -> Pool {
        Pool { wave: wave_ms * 1_000, ended: ended_ms * 1_000 + 999, took_ms, ..Pool::default() }
    }

    #[test]
    fn what_was_found_counts_for_twice_as_long_as_it_took_within_bounds() {
        for (took, expected) in [
            (i64::MIN, 1_000),
            (0, 1_000),
            (500, 1_000),
            (501, 1_002),
            (5_000, 10_000),
            (5_001, 10_000),
            (i64::MAX, 10_000),
        ] {
            assert_eq!(term_ms(took), expected, "{took}");
            assert_eq!(pool(0, 0, took).patience_ms(), expected, "{took}");
        }
        for (patience_ms, expected) in [(-1, 1_000), (1_001, 1_001), (i64::MAX, 10_000)] {
            assert_eq!(Pool { patience_ms, ..Pool::default() }.patience_ms(), expected);
        }
    }

    #[test]
    fn what_was_found_counts_for_its_term_and_for_whoever_asked_before() {
        // When it began, how long it took; when the request began, what time it is by now.
        for (ended, took, request, time, expected) in [
            (4_000, 0, 5_000, 5_000, false),
            (4_001, 0, 5_000, 5_000, true),
            (5_000, 0, 5_000, 5_000, true),
            (6_000, 0, 5_000, 5_000, true),
            // By a clock that is ahead.
            (6_001, 0, 5_000, 5_000, false),
            (605_000, 0, 5_000, 5_000, false),
            // The request waited for it.
            (7_000, 0, 5_000, 9_000, true),
            (3_000, 1_500, 5_000, 9_000, true),
            (3_000, 1_000, 5_000, 9_000, false),
            // It took longer than the longest term.
            (3_000, 20_000, 23_999, 24_000, true),
            (3_000, 20_000, 24_000, 24_000, false),
        ] {
            let counts = pool(0, ended, took).counts(request, time);
            assert_eq!(counts, expected, "{ended} {took}");
        }
    }

    #[test]
    fn a_wave_that_has_not_ended_may_be_under_way_for_ten_seconds() {
        for (wave_ms, expected) in [(2, false), (10_000, false), (10_001, true), (900_000, true)] {
            let open = pool(wave_ms, 1, 0);
            assert_eq!(open.may_be_under_way(20_000), expected, "{wave_ms}");
            assert!(!Pool { ended: open.wave, ..open }.may_be_under_way(20_000));
            let failed = Pool { failed: open.wave, failed_at_ms: 30_000, ..open };
            assert!(!failed.may_be_under_way(20_000));
            assert!(failed.has_failed(29_000) && failed.has_failed(30_999), "{wave_ms}");
            assert!(!failed.has_failed(28_999) && !failed.has_failed(31_000), "{wave_ms}");
            assert!(!open.has_failed(30_000));
        }
        assert!(!Pool::default().may_be_under_way(0));
        assert!(!Pool::default().has_failed(20_000));
    }

    #[test]
    fn waves_of_one_millisecond_are_told_apart_by_their_partitions() {
        let partitions = domain::partition::Partitions::new(512).unwrap();
        let stamps: std::collections::BTreeSet<_> =
            partitions.all().map(|one| stamp(1_771_257_600_000, one)).collect();
        assert_eq!(stamps.len(), 512);
        assert!(stamps.into_iter().all(|one| began_ms(one) == 1_771_257_600_000));
    }
}
