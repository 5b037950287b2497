//! Calling back: what lies idle in partitions goes to the pool, for whoever needs it.

use binding::Binding;
use domain::answers::{fields, integer, unexpected};
use domain::partition::Partition;
use domain::transaction::{Answer, CommitError, Outcome, Read, Seen, Transaction, Value, Write};

use crate::record::Lease;
use crate::steps::{RECALL_DONE, RECALLED_AT, credited, returned, settle, take_back};
use crate::{Place, World, commit, demand};

/// The leases of idle partitions are called back at most this often, and for as long nobody asks
/// again: a million refused requests a second must not become a million waves over all partitions.
pub(crate) const RECALL_MS: i64 = 1_000;
/// Partitions that one wave of commits calls back from.
const WAVE: usize = 256;
/// Passes over partitions whose commits were lost, or met others.
const PASSES_MAX: u32 = 4;

/// Calls back from all partitions, and says so in the pool before and afterwards; `false` where somebody
/// else began to do so after `recalled_at`.
pub(crate) async fn recall<W: World>(
    world: &W,
    place: &Place,
    recalled_at: i64,
) -> Result<bool, CommitError> {
    let at = Value::Integer(world.now().0.max(recalled_at + 1));
    let set = |field: &str| vec![Write::Set(place.pool.clone(), field.into(), at.clone())];
    let begin = Transaction {
        guards: demand(&place.pool, &RECALLED_AT.into(), recalled_at).to_vec(),
        writes: set(RECALLED_AT),
        ..Transaction::default()
    };
    if let Outcome::Refused(refused) = commit(world, place.partition, begin).await? {
        // The binding tries once more where a reply is lost, and then meets its own first attempt.
        // Two who begin in the same millisecond may both go on.
        if refused.seen != Seen::Field(Some(at.clone())) {
            return Ok(false);
        }
    }
    call_back_all(world, place).await?;
    let end = Transaction { writes: set(RECALL_DONE), ..Transaction::default() };
    commit(world, place.partition, end).await?;
    Ok(true)
}

/// Calls back from all partitions, whenever that was done last.
///
/// # Errors
/// The store's.
pub async fn call_back_all<W: World>(world: &W, place: &Place) -> Result<(), CommitError> {
    let partitions: Vec<_> = world.partitions().all().collect();
    for wave in partitions.chunks(WAVE) {
        world.before_recall(wave).await?;
        call_back(world, place, wave).await?;
    }
    Ok(())
}

/// Calls back what some partitions have left, and finishes what is under way. Where a commit fails, or
/// finds that another one came first, its partition is looked at again: of hundreds of commits one may
/// well be lost, and the others must not be made again for it.
///
/// # Errors
/// The store's, where it failed in every pass.
pub async fn call_back<W: World>(
    world: &W,
    place: &Place,
    partitions: &[Partition],
) -> Result<(), CommitError> {
    let mut again = partitions.to_vec();
    let mut failure = None;
    for _ in 0..PASSES_MAX {
        failure = None;
        again = pass(world, place, &again, &mut failure).await?;
        if again.is_empty() {
            return Ok(());
        }
    }
    // Partitions at which others are at work have no leases that lie idle.
    failure.map_or(Ok(()), Err)
}

/// One pass over partitions; those that are to be looked at again.
async fn pass<W: World>(
    world: &W,
    place: &Place,
    partitions: &[Partition],
    failure: &mut Option<CommitError>,
) -> Result<Vec<Partition>, CommitError> {
    let counts = partitions.iter().flat_map(|one| [credited(*one), returned(*one)]).collect();
    let reads = vec![Read::Fields(place.pool.clone(), counts)];
    let read_lease =
        || Transaction { reads: vec![Lease::read(place.lease.clone())], ..Transaction::default() };
    let mut wave: Vec<_> = partitions.iter().map(|one| (*one, read_lease())).collect();
    wave.push((place.partition, Transaction { reads, ..Transaction::default() }));
    let mut results = world.store().commit_some(&wave).await;
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
            steps.push((*partition, settle(&place.lease, &lease, credited, back, forgotten)));
            returns.push((*partition, returned, lease.returned + back));
        } else if lease.returned > returned {
            returns.push((*partition, returned, lease.returned));
        }
    }
    let settled = world.store().commit_some(&steps).await;
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
        ((place.partition, take_back(place, partition, pool_count, now)), partition)
    };
    let (steps, of): (Vec<_>, Vec<_>) =
        returns.into_iter().filter(|(_, pool_count, now)| now > pool_count).map(step).unzip();
    for (partition, result) in of.into_iter().zip(world.store().commit_some(&steps).await) {
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
