//! Leases: how the stock of one template is spread over the partitions, so that giving a coupon is
//! one commit in the partition of its user, and no partition is hotter than the others.
//!
//! Between the pool and a partition lie two one-way channels, each a cumulative count that is kept
//! at both ends and only grows:
//! - *credited*: the pool adds to its count and takes from its free coupons; the partition later
//!   raises its own count to the pool's, and has the difference;
//! - *returned*: the partition adds to its count and takes from what it has left; the pool later
//!   raises its own count to the partition's, and has the difference.
//!
//! Each step demands the count it starts from, so that it happens once however often it is sent, and
//! whoever comes next finishes what a crash left between two steps. Nothing is ever in both places.
//! Where a fail-over made one end forget, its count is behind in its own channel; it is raised to the
//! other end's, and the coupons with it.

use domain::partition::Partition;
use domain::transaction::{
    Answer, CommitError, Failed, Field, Guard, MapKey, Outcome, Read, Seen, Transaction, Value,
    Write,
};
use edge::store::Binding;

use crate::context::Context;
use crate::expiry::expire_due;
use crate::records::{
    self, CREDITED, LEFT, Lease, RETURNED, SOLD_OUT_UNTIL, fields, integer, integers, unexpected,
};
use crate::template::Published;

/// A lease is a quarter of a partition's even share of what is free: `tests/leases.rs` prints what a
/// larger and a smaller part would do.
pub const LEASE_SHARE: i64 = 4;
/// The leases of idle partitions are called back at most this often, and for as long nobody asks
/// again: a million refused requests a second must not become a million waves over all partitions.
const RECALL_MS: i64 = 1_000;
/// Partitions that one wave of commits calls back from.
const WAVE: usize = 256;
/// Attempts to take a lease. Each lost one is another partition's success, and each makes the guess
/// of what is free better.
const ATTEMPTS_MAX: u32 = 16;
/// As long as a wave over all partitions takes.
const PAUSE_MS: u64 = 20;
/// Pauses, while somebody else calls back. Whoever has not done so by then is taken to have died.
const PAUSES_MAX: u32 = 50;
/// Passes over partitions whose commits were lost, or met others.
const PASSES_MAX: u32 = 4;
/// When the last one began to call back, in unix milliseconds.
const RECALLED_AT: &str = "recalled";
/// Which of those has come to its end.
const RECALL_DONE: &str = "done";
/// Coupons that the pool may still lease out.
pub const FREE: &str = "free";
/// 1 once any coupon was leased out.
pub const LEASED: &str = "leased";

/// The pool's count of what it credited to a partition.
fn credited(partition: Partition) -> Field {
    Field(format!("g{partition}").into_bytes())
}

/// The pool's count of what a partition returned.
fn returned(partition: Partition) -> Field {
    Field(format!("r{partition}").into_bytes())
}

/// How many coupons to ask for.
fn size(free: i64, shares: i64) -> i64 {
    (free / shares).max(1)
}

/// How many to ask for where the pool was not seen for a while: as many as the last time, or of a
/// template's whole stock the first time.
fn size_unseen(lease: &Lease, leasable: i64, shares: i64) -> i64 {
    if lease.size > 0 { lease.size } else { size(leasable, shares) }
}

/// What must be free for a lease of a size: where much less is free than was thought, so that it
/// would strand what others need, the guess is made again.
fn free_for(size: i64, shares: i64) -> i64 {
    if size == 1 { 1 } else { size * shares / 2 }
}

/// Demands that an integer, or nothing for 0, is this one. Two guards tell which way it differs.
pub fn demand(record: &MapKey, field: &Field, value: i64) -> [Guard; 2] {
    [
        Guard::IntegerAtLeast(record.clone(), field.clone(), value),
        Guard::IntegerAtMost(record.clone(), field.clone(), value),
    ]
}

/// The pool's first step of a lease.
fn take(
    template: &str,
    partition: Partition,
    credited_now: i64,
    size: i64,
    free: i64,
) -> Transaction {
    let pool = records::pool(template);
    let [behind, ahead] = demand(&pool, &credited(partition), credited_now);
    Transaction {
        guards: vec![behind, ahead, Guard::IntegerAtLeast(pool.clone(), FREE.into(), free)],
        writes: vec![
            Write::Add(pool.clone(), credited(partition), size),
            Write::Add(pool.clone(), FREE.into(), -size),
            Write::Set(pool.clone(), LEASED.into(), Value::Integer(1)),
        ],
        reads: vec![Read::Fields(
            pool,
            vec![FREE.into(), RECALLED_AT.into(), RECALL_DONE.into(), credited(partition)],
        )],
        ..Transaction::default()
    }
}

/// Where the pool has forgotten what it credited: it is raised to what the partition has.
fn remember_credited(template: &str, partition: Partition, pool: i64, now: i64) -> Transaction {
    let record = records::pool(template);
    Transaction {
        guards: demand(&record, &credited(partition), pool).to_vec(),
        writes: vec![
            Write::Add(record.clone(), credited(partition), now - pool),
            Write::Add(record, FREE.into(), pool - now),
        ],
        ..Transaction::default()
    }
}

/// The partition's step of both channels: takes what the pool credited, and gives back `back`.
/// `forgotten` of it the pool has already, and it cannot be kept.
fn settle(
    template: &str,
    lease: &Lease,
    credited_now: i64,
    back: i64,
    forgotten: i64,
) -> Transaction {
    let record = records::lease(template);
    let mut guards = demand(&record, &CREDITED.into(), lease.credited).to_vec();
    guards.extend(demand(&record, &RETURNED.into(), lease.returned));
    let kept = credited_now - lease.credited - back;
    if forgotten == 0 {
        // Another commit may have taken coupons in between.
        guards.push(Guard::IntegerAtLeast(record.clone(), LEFT.into(), -kept));
    }
    Transaction {
        guards,
        writes: vec![
            Write::Add(record.clone(), CREDITED.into(), credited_now - lease.credited),
            Write::Add(record.clone(), RETURNED.into(), back),
            Write::Add(record, LEFT.into(), kept),
        ],
        ..Transaction::default()
    }
}

/// The pool's last step of a return.
fn take_back(template: &str, partition: Partition, pool: i64, now: i64) -> Transaction {
    let record = records::pool(template);
    Transaction {
        guards: demand(&record, &returned(partition), pool).to_vec(),
        writes: vec![
            Write::Add(record.clone(), returned(partition), now - pool),
            Write::Add(record, FREE.into(), now - pool),
        ],
        ..Transaction::default()
    }
}

/// What came of asking for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refill {
    /// The partition may raise its count to this one.
    Credited(i64),
    /// Nothing is left anywhere.
    SoldOut,
}

/// Whether so little is free that what a partition gets back goes on to the pool at once, as far as
/// that can be told without asking it.
pub fn is_low<B>(context: &Context<'_, B>, published: &Published) -> bool {
    published.free.get().unwrap_or(published.template.leasable()) < shares(context)
}

/// Into how many leases what is free would be divided.
fn shares<B>(context: &Context<'_, B>) -> i64 {
    context.lease_share * i64::from(context.partitions.count())
}

/// Takes a lease for a partition that has none left, or finds the one that is under way to it.
///
/// # Errors
/// The store's.
pub async fn refill<B: Binding>(
    context: &Context<'_, B>,
    published: &Published,
    partition: Partition,
    lease: &Lease,
) -> Result<Refill, CommitError> {
    let (id, shares) = (&published.id, shares(context));
    let pool = context.pool(id);
    let (mut attempts, mut pauses, mut called_back) = (0, 0, false);
    while attempts < ATTEMPTS_MAX {
        let size = match published.free.get() {
            Some(free) => size(free, shares),
            None => size_unseen(lease, published.template.leasable(), shares),
        };
        let transaction = take(id, partition, lease.credited, size, free_for(size, shares));
        let refused = match context.commit(pool, transaction).await? {
            Outcome::Committed(answers) => {
                let [free, _, _, credited] = integers(answers.first())?;
                published.free.set(Some(free));
                return Ok(Refill::Credited(credited));
            }
            Outcome::Refused(refused) => refused,
        };
        let [free, recalled_at, done, credited] = integers(refused.reads.first())?;
        attempts += 1;
        match refused.failed {
            Failed::Guard(0) => {
                let remember = remember_credited(id, partition, credited, lease.credited);
                context.commit(pool, remember).await?;
            }
            Failed::Guard(1) => return Ok(Refill::Credited(credited)),
            _ if free > 0 => published.free.set(Some(free)),
            _ if called_back || (done == recalled_at && context.now.0 < done + RECALL_MS) => {
                remember_sold_out(context, id, partition, recalled_at + RECALL_MS).await?;
                return Ok(Refill::SoldOut);
            }
            _ if context.now.0 < recalled_at + RECALL_MS && pauses < PAUSES_MAX => {
                // Somebody calls back right now.
                (context.pause)(PAUSE_MS).await;
                pauses += 1;
                attempts -= 1;
            }
            _ => called_back = recall(context, id, recalled_at).await?,
        }
    }
    Err(CommitError::Unavailable(format!("{ATTEMPTS_MAX} attempts to take a lease")))
}

/// So that the next one is refused in one round trip. The pool called back less than a second before
/// that moment, and whatever was given back later is found after it.
async fn remember_sold_out<B: Binding>(
    context: &Context<'_, B>,
    template: &str,
    partition: Partition,
    until: i64,
) -> Result<(), CommitError> {
    if until > context.now.0 {
        let until = Value::Integer(until);
        let write = Write::Set(records::lease(template), SOLD_OUT_UNTIL.into(), until);
        let transaction = Transaction { writes: vec![write], ..Transaction::default() };
        context.commit(partition, transaction).await?;
    }
    Ok(())
}

/// Calls back what partitions have left, finishes what is under way, and ends reservations that have
/// expired; `false` where somebody else began to do so after `recalled_at`.
async fn recall<B: Binding>(
    context: &Context<'_, B>,
    template: &str,
    recalled_at: i64,
) -> Result<bool, CommitError> {
    let record = records::pool(template);
    let at = Value::Integer(context.now.0.max(recalled_at + 1));
    let set = |field: &str| vec![Write::Set(record.clone(), field.into(), at.clone())];
    let begin = Transaction {
        guards: demand(&record, &RECALLED_AT.into(), recalled_at).to_vec(),
        writes: set(RECALLED_AT),
        ..Transaction::default()
    };
    let pool = context.pool(template);
    if let Outcome::Refused(refused) = context.commit(pool, begin).await? {
        // The binding tries once more where a reply is lost, and then meets its own first attempt.
        // Two who begin in the same millisecond may both go on.
        if refused.seen != Seen::Field(Some(at.clone())) {
            return Ok(false);
        }
    }
    call_back_all(context, template).await?;
    let end = Transaction { writes: set(RECALL_DONE), ..Transaction::default() };
    context.commit(pool, end).await?;
    Ok(true)
}

/// Calls back from all partitions, whenever that was done last.
///
/// # Errors
/// The store's.
pub async fn call_back_all<B: Binding>(
    context: &Context<'_, B>,
    template: &str,
) -> Result<(), CommitError> {
    let partitions: Vec<_> = context.partitions.all().collect();
    for wave in partitions.chunks(WAVE) {
        expire_due(context, wave).await?;
        call_back(context, template, wave).await?;
    }
    Ok(())
}

/// Calls back what some partitions have left, and finishes what is under way. Where a commit fails, or
/// finds that another one came first, its partition is looked at again: of hundreds of commits one may
/// well be lost, and the others must not be made again for it.
///
/// # Errors
/// The store's, where it failed in every pass.
pub async fn call_back<B: Binding>(
    context: &Context<'_, B>,
    template: &str,
    partitions: &[Partition],
) -> Result<(), CommitError> {
    let mut again = partitions.to_vec();
    let mut failure = None;
    for _ in 0..PASSES_MAX {
        failure = None;
        again = pass(context, template, &again, &mut failure).await?;
        if again.is_empty() {
            return Ok(());
        }
    }
    // Partitions at which others are at work have no leases that lie idle.
    failure.map_or(Ok(()), Err)
}

/// One pass over partitions; those that are to be looked at again.
async fn pass<B: Binding>(
    context: &Context<'_, B>,
    template: &str,
    partitions: &[Partition],
    failure: &mut Option<CommitError>,
) -> Result<Vec<Partition>, CommitError> {
    let pool = context.pool(template);
    let counts = partitions.iter().flat_map(|one| [credited(*one), returned(*one)]).collect();
    let reads = vec![Read::Fields(records::pool(template), counts)];
    let read_lease =
        || Transaction { reads: vec![Lease::read(template)], ..Transaction::default() };
    let mut wave: Vec<_> = partitions.iter().map(|one| (*one, read_lease())).collect();
    wave.push((pool, Transaction { reads, ..Transaction::default() }));
    let mut results = context.store.commit_some(&wave).await;
    let answers = answers(results.pop().ok_or_else(unexpected)??)?;
    let counts = fields(answers.first())?;
    if results.iter().all(Result::is_err) {
        // A store that is gone will be so in the next pass.
        return results.pop().map_or(Ok(Vec::new()), |result| result.map(|_| Vec::new()));
    }

    // The partitions' step.
    let (mut again, mut steps, mut returns) = (Vec::new(), Vec::new(), Vec::new());
    for ((partition, result), counts) in partitions.iter().zip(results).zip(counts.chunks(2)) {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => {
                *failure = Some(error);
                again.push(*partition);
                continue;
            }
        };
        let lease = Lease::answered(self::answers(outcome)?.first())?;
        let credited = integer(counts[0].as_ref())?.max(lease.credited);
        let returned = integer(counts[1].as_ref())?;
        // A partition that has forgotten what it returned takes it from what it has.
        let forgotten = (returned - lease.returned).max(0);
        let back = (lease.left + credited - lease.credited).max(forgotten);
        if credited != lease.credited || back != 0 {
            steps.push((*partition, settle(template, &lease, credited, back, forgotten)));
            returns.push((*partition, returned, lease.returned + back));
        } else if lease.returned > returned {
            returns.push((*partition, returned, lease.returned));
        }
    }
    let settled = context.store.commit_some(&steps).await;
    for ((partition, _), result) in steps.iter().zip(settled) {
        match result {
            Ok(Outcome::Committed(_)) => continue,
            Ok(Outcome::Refused(_)) => {}
            Err(error) => *failure = Some(error),
        }
        again.push(*partition);
        returns.retain(|(one, ..)| one != partition);
    }

    // The pool's.
    let step = |(partition, pool_count, now): (Partition, i64, i64)| {
        ((pool, take_back(template, partition, pool_count, now)), partition)
    };
    let (steps, of): (Vec<_>, Vec<_>) =
        returns.into_iter().filter(|(_, pool_count, now)| now > pool_count).map(step).unzip();
    for (partition, result) in of.into_iter().zip(context.store.commit_some(&steps).await) {
        match result {
            Ok(Outcome::Committed(_)) => continue,
            Ok(Outcome::Refused(_)) => {}
            Err(error) => *failure = Some(error),
        }
        again.push(partition);
    }
    Ok(again)
}

/// The answers of a transaction that has no guards.
fn answers(outcome: Outcome) -> Result<Vec<Answer>, CommitError> {
    match outcome {
        Outcome::Committed(answers) => Ok(answers),
        Outcome::Refused(_) => Err(unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_shrink_with_what_is_free_and_end_at_one() {
        let sizes = [(1_000_000, 976), (262_144, 256), (2_048, 2), (2_047, 1), (1, 1), (0, 1)];
        for (free, expected) in sizes {
            assert_eq!(size(free, 4 * 256), expected, "{free}");
            assert!(free_for(expected, 4 * 256) <= free.max(1), "{free}");
        }
    }
}
