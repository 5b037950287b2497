//! Taking a lease, or finding that nothing is left to take.

use std::ops::RangeInclusive;

use domain::answers::integers;
use domain::partition::Partition;
use domain::transaction::{CommitError, Value, Write};
use store::attempts;

use crate::recall::{is_recent, recall};
use crate::record::{Lease, RECALL_MS, SOLD_OUT_UNTIL, Source};
use crate::size::{free_for, shares, size, size_unseen};
use crate::steps::{NotTaken, remember_credited, settle, take};
use crate::{Budget, World};

/// As long as a wave over all partitions takes.
const PAUSE_MS: u64 = 20;
/// Pauses, while somebody else calls back. Whoever has not done so by then is taken to have died.
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
    credited: i64,
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
                    let [free, _, _, credited] = integers(answers.first())?;
                    self.budget.free.set(Some(free));
                    let units = self.need.min(self.lease.left + size);
                    let source = Source::Credit(self.lease.credited, credited);
                    return Ok(Some(Refill::Ready(source, units)));
                }
                Err(refused) => refused,
            };
            let [free, recalled_at, done, credited] = integers(refused.reads.first())?;
            let pool = Pool { free, recalled_at, done, credited };
            if refused.why != NotTaken::TooLittle || !self.must_wait(&pool) {
                break (refused.why, pool);
            }
            (self.world.context().pause)(PAUSE_MS).await;
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
        let is_under_way = pool.done != pool.recalled_at
            && self.world.context().now.0 < pool.recalled_at + RECALL_MS;
        pool.free < self.need && !self.called_back && is_under_way && self.pauses < PAUSES_MAX
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
        let Pool { free, recalled_at, done, .. } = *pool;
        let now = self.world.context().now.0;
        if free >= self.need {
            self.budget.free.set(Some(free));
        } else if self.called_back || (done == recalled_at && is_recent(recalled_at, now)) {
            if free > 0 && self.lease.left + free >= self.least {
                self.budget.free.set(Some(free));
                self.rest = Some(free);
            } else if self.lease.left >= self.least {
                let units = self.need.min(self.lease.left);
                return Ok(Some(Refill::Ready(Source::Left, units)));
            } else {
                self.remember_sold_out(recalled_at.min(now) + RECALL_MS).await?;
                return Ok(Some(Refill::SoldOut));
            }
        } else {
            self.called_back = recall(self.world, &self.budget.place, recalled_at).await?;
            if self.called_back {
                // What this partition had is in the pool, too.
                self.lease.left = 0;
            }
        }
        Ok(None)
    }

    /// So that the next one is refused in one round trip. The pool called back less than a second before
    /// that moment, and whatever was given back later is found after it.
    async fn remember_sold_out(&self, until: i64) -> Result<(), CommitError> {
        let context = self.world.context();
        let (record, field) = (self.budget.place.lease.clone(), SOLD_OUT_UNTIL.into());
        let write = match until > context.now.0 {
            true => Write::Set(record, field, Value::Integer(until)),
            false => Write::Unset(record, field),
        };
        context.write(self.partition, [write]).await
    }
}
