//! Taking a lease, or finding that nothing is left to take.

use std::ops::RangeInclusive;

use domain::partition::Partition;
use domain::transaction::{CommitError, Guard, Value, Write};
use store::{Plan, attempts};

use crate::pool::Pool;
use crate::reclaim::run_wave;
use crate::record::{LEFT, Lease, SOLD_OUT_UNTIL, Source};
use crate::size::{free_for, shares, size, size_unseen};
use crate::steps::{NotTaken, remember_credited, settle, take};
use crate::{Budget, World};

/// As long as a wave over all partitions takes on a store that is fast. Each pause is twice the one before, up to 16 times
/// this.
const PAUSE_MS: i64 = 20;
/// See [`PAUSE_MS`].
const DOUBLED_MAX: u32 = 4;
/// Nobody waits longer for others: somebody who asked a shop for a coupon has given up by then.
const WAITED_MS_MAX: i64 = 15_000;

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
/// where the pool has no more, and others had none in the last wave that counts.
///
/// The lease is as it was read a moment ago. Where it has changed since, the commit that gives will tell,
/// and the lease is to be read again.
///
/// # Errors
/// The store's; `Unavailable`, too, where nobody could find out what is left.
pub async fn refill<W: World>(
    world: &W,
    budget: &Budget<'_>,
    partition: Partition,
    lease: Lease,
    wanted: RangeInclusive<i64>,
) -> Result<Refill, CommitError> {
    let (least, need) = wanted.into_inner();
    let (rest, watch, waited_ms, has_reclaimed) = (None, Watch::default(), 0, false);
    let asked_at_ms = world.context().time().0;
    let mut asking = Asking {
        world,
        budget,
        partition,
        lease,
        least,
        need,
        rest,
        watch,
        asked_at_ms,
        waited_ms,
        has_reclaimed,
    };
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
    watch: Watch,
    /// When it began to ask.
    asked_at_ms: i64,
    /// The sum of all pauses.
    waited_ms: i64,
    /// By a wave of this request.
    has_reclaimed: bool,
}

/// A wave of somebody else, as long as it is the last one that began.
#[derive(Default)]
struct Watch {
    stamp: i64,
    pauses: u32,
    watched_ms: i64,
}

impl Watch {
    /// For how long this one has been watched.
    fn see(&mut self, stamp: i64) -> i64 {
        if self.stamp != stamp {
            *self = Self { stamp, ..Self::default() };
        }
        self.watched_ms
    }

    /// The next pause.
    fn pause_ms(&mut self) -> i64 {
        let pause_ms = PAUSE_MS << self.pauses.min(DOUBLED_MAX);
        self.pauses += 1;
        self.watched_ms += pause_ms;
        pause_ms
    }
}

impl<W: World> Asking<'_, W> {
    /// Asks the pool once; waits first for somebody else who reclaims leases.
    async fn attempt(&mut self) -> Result<Option<Refill>, CommitError> {
        let place = &self.budget.place;
        let mut has_waited = false;
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
                    let Pool { free, credited, .. } = Pool::answered(answers.first())?;
                    self.budget.free.set(Some(free));
                    let units = self.need.min(self.lease.left + size);
                    let source = Source::Credit(self.lease.credited, credited);
                    return Ok(Some(Refill::Ready(source, units)));
                }
                Err(refused) => refused,
            };
            let pool = Pool::answered(refused.reads.first())?;
            if refused.why != NotTaken::TooLittle || !self.must_wait(&pool) {
                break (refused.why, pool);
            }
            let passed_ms = self.world.context().time().0.saturating_sub(self.asked_at_ms);
            if passed_ms.max(self.waited_ms) >= WAITED_MS_MAX {
                return Err(unknown("others still look for it"));
            }
            let pause_ms = self.watch.pause_ms();
            self.world.context().timer.pause(pause_ms.unsigned_abs()).await;
            self.waited_ms += pause_ms;
            has_waited = true;
        };
        if has_waited {
            // The wave may have taken home what there was.
            let read = Lease::read(place.lease.clone());
            let answers = self.world.context().read(self.partition, vec![read]).await?;
            self.lease = Lease::answered(answers.first())?;
        }
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

    /// Whether somebody else reclaims leases right now.
    fn must_wait(&mut self, pool: &Pool) -> bool {
        let (now, time) = (self.world.context().now.0, self.world.context().time().0);
        let may_come = pool.may_be_under_way(time) && !pool.counts(now, time);
        let is_watched = self.watch.see(pool.wave) < pool.patience_ms();
        pool.free < self.need && !self.has_reclaimed && may_come && is_watched
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

    /// Takes less, reclaims leases, or finds that nothing is left.
    async fn too_little(&mut self, pool: &Pool) -> Result<Option<Refill>, CommitError> {
        let free = pool.free;
        let (now, time) = (self.world.context().now.0, self.world.context().time().0);
        if free >= self.need {
            self.budget.free.set(Some(free));
        } else if self.has_reclaimed || pool.counts(now, time) {
            if free > 0 && self.lease.left + free >= self.least {
                self.budget.free.set(Some(free));
                self.rest = Some(free);
            } else if self.lease.left >= self.least {
                let units = self.need.min(self.lease.left);
                return Ok(Some(Refill::Ready(Source::Left, units)));
            } else {
                self.remember_sold_out(pool.counts_until()).await?;
                return Ok(Some(Refill::SoldOut));
            }
        } else if pool.has_failed(time) {
            return Err(unknown("the last look for it failed"));
        } else {
            let place = &self.budget.place;
            self.has_reclaimed = run_wave(self.world, place, pool, self.partition).await?;
            if self.has_reclaimed {
                // What this partition had is in the pool, too.
                self.lease.left = 0;
            }
        }
        Ok(None)
    }

    /// So that the next one is refused in one round trip. The wave that found it began a term before that
    /// moment, and whatever was given back later is found after it. What has come back to this partition since is not
    /// hidden.
    async fn remember_sold_out(&self, until: i64) -> Result<(), CommitError> {
        let context = self.world.context();
        let record = &self.budget.place.lease;
        let mut plan = Plan::<()>::new();
        if until > context.time().0 {
            let no_more = Guard::IntegerAtMost(record.clone(), LEFT.into(), self.lease.left);
            plan.demand((), no_more);
            plan.write(Write::Set(record.clone(), SOLD_OUT_UNTIL.into(), Value::Integer(until)));
        } else {
            plan.write(Write::Unset(record.clone(), SOLD_OUT_UNTIL.into()));
        }
        context.commit(self.partition, plan).await?.ok();
        Ok(())
    }
}

/// Nobody knows whether anything is left.
fn unknown(why: &str) -> CommitError {
    CommitError::Unavailable(format!("what is left of a budget: {why}"))
}
