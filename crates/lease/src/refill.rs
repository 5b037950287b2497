//! Taking a lease, or finding that nothing is left to take.

use std::ops::RangeInclusive;

use domain::answers::integers;
use domain::partition::Partition;
use domain::transaction::{Answer, CommitError, Value, Write};
use store::attempts;

use crate::recall::recall;
use crate::record::{Lease, SOLD_OUT_UNTIL, Source, TERM_MS_MIN, term_ms};
use crate::size::{free_for, shares, size, size_unseen};
use crate::steps::{NotTaken, remember_credited, settle, take};
use crate::{Budget, World};

/// As long as a wave over all partitions takes on a store that is fast. Each pause is twice the one before, up to 16 times
/// this.
const PAUSE_MS: u64 = 20;
/// See [`PAUSE_MS`].
const DOUBLED_MAX: u32 = 4;
/// Pauses, while somebody else calls back: 15 seconds, longer than it counts. Whoever has not done so by then is taken to
/// have died.
const PAUSES_MAX: u32 = 50;

/// What came of asking for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refill {
    /// The partition may give so many units from there: as many as are needed, or what is left of the
    /// budget where that is less.
    Ready(Source, i64),
    /// Less than the least is left anywhere.
    SoldOut,
}

/// More for a partition that has less left than is needed: takes a lease, or finds the one that is under
/// way to it. Of `least..=need` units, at least one, it says how many can be given: less than `need` only
/// where the pool has no more, and others had none when they were last called back, at most a second ago.
///
/// The lease is as it was read a moment ago. Where it has changed since, the commit that gives will tell,
/// and the lease is to be read again.
///
/// # Errors
/// The store's.
pub async fn refill<W: World>(
    world: &W,
    budget: &Budget<'_>,
    partition: Partition,
    lease: Lease,
    wanted: RangeInclusive<i64>,
) -> Result<Refill, CommitError> {
    let (least, need) = wanted.into_inner();
    let (pauses, rest, called_back) = (0, None, false);
    let mut asking =
        Asking { world, budget, partition, lease, least, need, rest, pauses, called_back };
    // Each lost attempt is another partition's success, and makes the guess of what is free better.
    attempts("take a lease", async || asking.attempt().await).await
}

/// Who asks for more, and what they know.
struct Asking<'a, W> {
    world: &'a W,
    budget: &'a Budget<'a>,
    partition: Partition,
    lease: Lease,
    least: i64,
    need: i64,
    /// What the pool has, where the next attempt is to take less than is needed.
    rest: Option<i64>,
    pauses: u32,
    called_back: bool,
}

/// What the pool says of itself.
struct Pool {
    free: i64,
    recalled_at: i64,
    done: i64,
    /// How long what the last calling back found counts, and how long the next one may take.
    term: i64,
    credited: i64,
}

impl Pool {
    /// What a commit that did not take a lease read.
    fn read(answer: Option<&Answer>) -> Result<Self, CommitError> {
        let [free, recalled_at, done, took, credited] = integers(answer)?;
        Ok(Self { free, recalled_at, done, term: term_ms(took), credited })
    }

    /// Whether a calling back of a moment began less than a term before another one. One that a clock far ahead dated
    /// was at nobody knows what time: its date must not keep others from calling back until they reach it.
    fn is_recent(&self, began: i64, before: i64, time: i64) -> bool {
        let is_past = began <= time.saturating_add(TERM_MS_MIN);
        is_past && before < began.saturating_add(self.term)
    }

    /// Whether one is under way, as far as anybody can tell.
    fn is_calling_back(&self, time: i64) -> bool {
        self.done != self.recalled_at && self.is_recent(self.recalled_at, time, time)
    }

    /// Whether what one found counts for a request of a moment: another one would find the same.
    fn has_called_back(&self, now: i64, time: i64) -> bool {
        self.is_recent(self.done, now, time)
    }
}

impl<W: World> Asking<'_, W> {
    /// Asks the pool once; waits first for somebody else who calls back.
    async fn attempt(&mut self) -> Result<Option<Refill>, CommitError> {
        let place = &self.budget.place;
        let (why, pool) = loop {
            let shares = shares(self.world);
            let asked = self.rest.take().unwrap_or(self.need);
            let size = match self.budget.free.get() {
                Some(free) => size(free, shares, asked),
                None => size_unseen(&self.lease, self.budget.total, shares, asked),
            };
            let free_for = free_for(size, shares, asked);
            let plan = take(place, self.partition, self.lease.credited, size, free_for);
            let refused = match self.world.context().commit(place.partition, plan).await? {
                Ok(answers) => {
                    let Pool { free, credited, .. } = Pool::read(answers.first())?;
                    self.budget.free.set(Some(free));
                    let units = self.need.min(self.lease.left + size);
                    let source = Source::Credit(self.lease.credited, credited);
                    return Ok(Some(Refill::Ready(source, units)));
                }
                Err(refused) => refused,
            };
            let pool = Pool::read(refused.reads.first())?;
            if refused.why != NotTaken::TooLittle || !self.must_wait(&pool) {
                break (refused.why, pool);
            }
            let pause_ms = PAUSE_MS << self.pauses.min(DOUBLED_MAX);
            self.world.context().timer.pause(pause_ms).await;
            self.pauses += 1;
        };
        match why {
            NotTaken::Forgotten => {
                let credited = self.lease.credited;
                let remember = remember_credited(place, self.partition, pool.credited, credited);
                // Whatever comes of it, the next attempt tells.
                self.world.context().commit(place.partition, remember).await?.ok();
                Ok(None)
            }
            NotTaken::UnderWay => self.arrive(pool.credited).await,
            NotTaken::TooLittle => self.too_little(&pool).await,
        }
    }

    /// Whether somebody else calls back right now.
    fn must_wait(&self, pool: &Pool) -> bool {
        let (now, time) = (self.world.context().now.0, self.world.context().time().0);
        let must = pool.is_calling_back(time) && !pool.has_called_back(now, time);
        pool.free < self.need && !self.called_back && must && self.pauses < PAUSES_MAX
    }

    /// Brings home what the pool credited, where it is too little; unless somebody else has. It was taken for
    /// another one, who needs less, and more can follow once it has arrived.
    async fn arrive(&mut self, credited: i64) -> Result<Option<Refill>, CommitError> {
        let (record, lease) = (&self.budget.place.lease, &self.lease);
        if lease.left + credited - lease.credited >= self.need {
            let source = Source::Credit(lease.credited, credited);
            return Ok(Some(Refill::Ready(source, self.need)));
        }
        let mut step = settle(record, lease, credited, 0, 0);
        step.read(Lease::read(record.clone()));
        let decided = self.world.context().commit(self.partition, step).await?;
        let answers = decided.unwrap_or_else(|refused| refused.reads);
        self.lease = Lease::answered(answers.first())?;
        let is_enough = self.lease.left >= self.need;
        Ok(is_enough.then_some(Refill::Ready(Source::Left, self.need)))
    }

    /// Takes less, calls back, or finds that nothing is left.
    async fn too_little(&mut self, pool: &Pool) -> Result<Option<Refill>, CommitError> {
        let free = pool.free;
        let (now, time) = (self.world.context().now.0, self.world.context().time().0);
        if free >= self.need {
            self.budget.free.set(Some(free));
        } else if self.called_back || pool.has_called_back(now, time) {
            if free > 0 && self.lease.left + free >= self.least {
                self.budget.free.set(Some(free));
                self.rest = Some(free);
            } else if self.lease.left >= self.least {
                let units = self.need.min(self.lease.left);
                return Ok(Some(Refill::Ready(Source::Left, units)));
            } else {
                self.remember_sold_out(pool.done.min(time) + pool.term).await?;
                return Ok(Some(Refill::SoldOut));
            }
        } else {
            let waited = (self.pauses > 0 && pool.done != pool.recalled_at).then_some(pool.term);
            let place = &self.budget.place;
            self.called_back = recall(self.world, place, pool.recalled_at, waited).await?;
            if self.called_back {
                // What this partition had is in the pool, too.
                self.lease.left = 0;
            }
            // Whoever has begun instead is waited for from the start.
            self.pauses = 0;
        }
        Ok(None)
    }

    /// So that the next one is refused in one round trip. The pool called back less than a term ([`term_ms`]) before
    /// that moment, and whatever was given back later is found after it.
    async fn remember_sold_out(&self, until: i64) -> Result<(), CommitError> {
        let context = self.world.context();
        let (record, field) = (self.budget.place.lease.clone(), SOLD_OUT_UNTIL.into());
        let write = match until > context.time().0 {
            true => Write::Set(record, field, Value::Integer(until)),
            false => Write::Unset(record, field),
        };
        context.write(self.partition, [write]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(recalled_at: i64, done: i64, took: i64) -> Pool {
        Pool { free: 0, recalled_at, done, term: term_ms(took), credited: 0 }
    }

    #[test]
    fn what_was_found_counts_for_its_term_and_for_whoever_asked_before() {
        // When it began, how long it took; when the request began, what time it is by now.
        for (recalled_at, took, now, time, expected) in [
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
        ] {
            let done = pool(recalled_at, recalled_at, took);
            assert_eq!(done.has_called_back(now, time), expected, "{recalled_at} {took}");
            assert!(!done.is_calling_back(time));
        }
    }

    #[test]
    fn one_that_is_under_way_has_twice_as_long_as_the_last_one_took() {
        for (recalled_at, took, expected) in [
            (4_000, 0, false),
            (4_001, 0, true),
            (6_000, 0, true),
            (6_001, 0, false),
            (1_001, 2_000, true),
            (1_000, 2_000, false),
        ] {
            let under_way = pool(recalled_at, 0, took);
            assert_eq!(under_way.is_calling_back(5_000), expected, "{recalled_at} {took}");
            assert!(!under_way.has_called_back(5_000, 5_000));
            let other = pool(recalled_at, 4_500, took);
            assert!(other.has_called_back(5_000, 5_000), "one before it has ended");
        }
    }
}
