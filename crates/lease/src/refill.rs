//! Taking a lease, or finding that nothing is left to take.

use std::ops::RangeInclusive;

use domain::answers::integers;
use domain::partition::Partition;
use domain::transaction::{CommitError, Failed, MapKey, Outcome, Transaction, Value, Write};

use crate::recall::{RECALL_MS, recall};
use crate::record::{Lease, SOLD_OUT_UNTIL, Source};
use crate::size::{free_for, shares, size, size_unseen};
use crate::steps::{remember_credited, settle, take};
use crate::{Budget, World, commit};

/// Attempts to take a lease. Each lost one is another partition's success, and each makes the guess
/// of what is free better.
const ATTEMPTS_MAX: u32 = 16;
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
    mut lease: Lease,
    wanted: RangeInclusive<i64>,
) -> Result<Refill, CommitError> {
    let (least, need) = wanted.into_inner();
    let (place, shares) = (&budget.place, shares(world));
    let now = world.now().0;
    let (mut attempts, mut pauses, mut called_back) = (0, 0, false);
    // What the pool has, where the next attempt is to take less than is needed.
    let mut rest: Option<i64> = None;
    while attempts < ATTEMPTS_MAX {
        let asked = rest.take().unwrap_or(need);
        let size = match budget.free.get() {
            Some(free) => size(free, shares, asked),
            None => size_unseen(&lease, budget.total, shares, asked),
        };
        let free_for = free_for(size, shares, asked);
        let transaction = take(place, partition, lease.credited, size, free_for);
        let refused = match commit(world, place.partition, transaction).await? {
            Outcome::Committed(answers) => {
                let [free, _, _, credited] = integers(answers.first())?;
                budget.free.set(Some(free));
                let units = need.min(lease.left + size);
                return Ok(Refill::Ready(Source::Credit(lease.credited, credited), units));
            }
            Outcome::Refused(refused) => refused,
        };
        let [free, recalled_at, done, credited] = integers(refused.reads.first())?;
        attempts += 1;
        match refused.failed {
            Failed::Guard(0) => {
                let remember = remember_credited(place, partition, credited, lease.credited);
                commit(world, place.partition, remember).await?;
            }
            Failed::Guard(1) if lease.left + credited - lease.credited >= need => {
                return Ok(Refill::Ready(Source::Credit(lease.credited, credited), need));
            }
            Failed::Guard(1) => {
                // It was taken for another one, who needs less. More can follow once it has arrived.
                lease = arrive(world, &place.lease, partition, &lease, credited).await?;
                if lease.left >= need {
                    return Ok(Refill::Ready(Source::Left, need));
                }
            }
            _ if free >= need => budget.free.set(Some(free)),
            _ if called_back || (done == recalled_at && now < done + RECALL_MS) => {
                if free > 0 && lease.left + free >= least {
                    budget.free.set(Some(free));
                    rest = Some(free);
                } else if lease.left >= least {
                    return Ok(Refill::Ready(Source::Left, need.min(lease.left)));
                } else {
                    let until = recalled_at + RECALL_MS;
                    remember_sold_out(world, &place.lease, partition, until).await?;
                    return Ok(Refill::SoldOut);
                }
            }
            _ if now < recalled_at + RECALL_MS && pauses < PAUSES_MAX => {
                // Somebody else calls back right now.
                world.pause(PAUSE_MS).await;
                pauses += 1;
                attempts -= 1;
            }
            _ => {
                called_back = recall(world, place, recalled_at).await?;
                if called_back {
                    // What this partition had is in the pool, too.
                    lease.left = 0;
                }
            }
        }
    }
    Err(CommitError::Unavailable(format!("{ATTEMPTS_MAX} attempts to take a lease")))
}

/// Brings home what the pool credited to a partition, unless somebody else has; the lease afterwards.
async fn arrive<W: World>(
    world: &W,
    record: &MapKey,
    partition: Partition,
    lease: &Lease,
    credited: i64,
) -> Result<Lease, CommitError> {
    let mut step = settle(record, lease, credited, 0, 0);
    step.reads.push(Lease::read(record.clone()));
    let answers = match commit(world, partition, step).await? {
        Outcome::Committed(answers) => answers,
        Outcome::Refused(refused) => refused.reads,
    };
    Lease::answered(answers.first())
}

/// So that the next one is refused in one round trip. The pool called back less than a second before
/// that moment, and whatever was given back later is found after it.
async fn remember_sold_out<W: World>(
    world: &W,
    record: &MapKey,
    partition: Partition,
    until: i64,
) -> Result<(), CommitError> {
    if until > world.now().0 {
        let until = Value::Integer(until);
        let write = Write::Set(record.clone(), SOLD_OUT_UNTIL.into(), until);
        let transaction = Transaction { writes: vec![write], ..Transaction::default() };
        commit(world, partition, transaction).await?;
    }
    Ok(())
}
