//! Reclaiming: what lies idle in partitions goes to the pool, for whoever needs it.

use domain::answers::{fields, integer, unexpected};
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, MapKey, Read, Value, Write};
use store::plan::Decided;
use store::{Binding, Context, Plan};

use crate::pool::{ENDED, FAILED, FAILED_AT, PATIENCE, Pool, TOOK, WAVE, is_believable, stamp};
use crate::record::{CREDITED, HELD, LEFT, Lease, RETURNED, SOLD_OUT_UNTIL};
use crate::steps::{credited, returned, settle, take_back};
use crate::{Place, World, demand};

/// Partitions to which commits are sent at once.
const WAVE_PARTITIONS: usize = 256;
/// Passes over partitions whose commits were lost, or met others.
const PASSES_MAX: u32 = 4;

/// Reclaims leases from all partitions, and says so in the pool before and afterwards; `false` where somebody else began to
/// do so since the pool was seen. It is done for a request of a partition.
///
/// Whoever begins while another wave may be under way demands more patience for this one: a store that is slow must not
/// have one wave more each second.
///
/// # Errors
/// The store's. Where leases could not be reclaimed the pool says that the wave failed, if the store takes that. Where only
/// the end could not be written, others wait until they lose patience.
pub(crate) async fn run_wave<W: World>(
    world: &W,
    place: &Place,
    pool: &Pool,
    partition: Partition,
) -> Result<bool, CommitError> {
    let context = world.context();
    let began = context.time();
    let own = stamp(began.0, partition);
    // Another one than before, because whoever begins demands the one that was seen.
    let own = own + i64::from(own == pool.wave);
    let set =
        |field: &str, value| Write::Set(place.pool.clone(), field.into(), Value::Integer(value));
    let mut begin = Plan::new();
    begin.demand_all((), demand(&place.pool, &WAVE.into(), pool.wave));
    begin.write(set(WAVE, own));
    if pool.may_be_under_way(began.0) {
        begin.write(set(PATIENCE, pool.patience_ms() * 2));
    }
    if let Err(refused) = context.commit(place.partition, begin).await? {
        // The binding tries once more where a reply is lost, and then meets its own first attempt.
        if refused.field()? != Some(&Value::Integer(own)) {
            return Ok(false);
        }
    }

    if let Err(error) = reclaim_all_of(world, place, began).await {
        let mut fail = Plan::<()>::new();
        fail.demand_all((), demand(&place.pool, &WAVE.into(), own));
        fail.write_all([set(FAILED, own), set(FAILED_AT, context.time().0)]);
        // Where this fails, too, others wait until they lose patience.
        context.commit(place.partition, fail).await.ok();
        return Err(error);
    }

    let ended = [
        set(ENDED, own),
        set(TOOK, context.time().0.saturating_sub(began.0)),
        Write::Unset(place.pool.clone(), PATIENCE.into()),
    ];
    let mut end = Plan::new();
    end.demand_all((), demand(&place.pool, &ENDED.into(), pool.ended));
    end.write_all(ended.clone());
    if let Err(refused) = context.commit(place.partition, end).await? {
        // What a later one found is newer, unless a clock that is ahead dated it.
        let other = integer(refused.field()?)?;
        if other < own || !is_believable(other, context.time().0) {
            context.write(place.partition, ended).await?;
        }
    }
    Ok(true)
}

/// Reclaims leases from all partitions, whenever that was done last.
///
/// # Errors
/// The store's.
pub async fn call_back_all<W: World>(world: &W, place: &Place) -> Result<(), CommitError> {
    reclaim_all_of(world, place, world.context().time()).await
}

/// What has expired at a moment goes back first.
async fn reclaim_all_of<W: World>(
    world: &W,
    place: &Place,
    now: UnixMillis,
) -> Result<(), CommitError> {
    let partitions: Vec<_> = world.context().partitions.all().collect();
    for wave in partitions.chunks(WAVE_PARTITIONS) {
        world.before_recall(wave, now).await?;
        call_back(world, place, wave).await?;
    }
    Ok(())
}

/// Whether all units are in the pool that were not given: no partition has anything left, or holds anything that might
/// come back, and nothing is under way.
///
/// # Errors
/// The store's.
pub async fn is_all_home<B: Binding>(
    context: &Context<'_, B>,
    place: &Place,
) -> Result<bool, CommitError> {
    Ok(given_if_home(context, place).await?.is_some())
}

/// Units that were given, where all others are in the pool ([`is_all_home`]); else nothing.
///
/// # Errors
/// The store's.
pub async fn given_if_home<B: Binding>(
    context: &Context<'_, B>,
    place: &Place,
) -> Result<Option<i64>, CommitError> {
    let partitions: Vec<_> = context.partitions.all().collect();
    let mut given = 0;
    for wave in partitions.chunks(WAVE_PARTITIONS) {
        let counts = wave.iter().flat_map(|one| [credited(*one), returned(*one)]).collect();
        let mut reads = vec![(place.partition, Read::Fields(place.pool.clone(), counts))];
        reads.extend(wave.iter().map(|one| (*one, Lease::read(place.lease.clone()))));
        let answers = context.read_all(reads).await?;
        let [counts, leases @ ..] = &answers[..] else { return Err(unexpected()) };
        for (counts, lease) in fields(Some(counts))?.chunks(2).zip(leases) {
            let lease = Lease::answered(Some(lease))?;
            let is_under_way = integer(counts[0].as_ref())? > lease.credited
                || lease.returned > integer(counts[1].as_ref())?;
            if lease.left != 0 || lease.held != 0 || is_under_way {
                return Ok(None);
            }
            given += lease.issued();
        }
    }
    Ok(Some(given))
}

/// Puts into a plan that the lease of a budget that is over for good goes, as it was seen; nothing where it has units that
/// were not given, so that they must go back first.
pub fn close<R: Copy>(plan: &mut Plan<R>, why: R, record: &MapKey, lease: &Lease) -> bool {
    if lease.left != 0 || lease.held != 0 {
        return false;
    }
    let counts = [(CREDITED, lease.credited), (RETURNED, lease.returned), (LEFT, 0), (HELD, 0)];
    for (field, value) in counts {
        plan.demand_all(why, demand(record, &field.into(), value));
    }
    plan.write(Write::Drop(record.clone()));
    true
}

/// Takes the leases of a budget that is over for good away, everywhere; `false` where a partition has units that were not
/// given, or another commit came first. What is done stays so, and doing it again does the rest.
///
/// # Errors
/// The store's.
pub async fn close_all<B: Binding>(
    context: &Context<'_, B>,
    place: &Place,
) -> Result<bool, CommitError> {
    let partitions: Vec<_> = context.partitions.all().collect();
    let mut is_all = true;
    for wave in partitions.chunks(WAVE_PARTITIONS) {
        let reads = wave.iter().map(|one| (*one, Lease::read(place.lease.clone()))).collect();
        let mut plans = Vec::new();
        for (partition, lease) in wave.iter().zip(context.read_all(reads).await?) {
            let (mut plan, lease) = (Plan::new(), Lease::answered(Some(&lease))?);
            match close(&mut plan, (), &place.lease, &lease) {
                true => plans.push((*partition, plan)),
                false => is_all = false,
            }
        }
        for decided in context.commit_some(plans).await {
            is_all &= decided?.is_ok();
        }
    }
    Ok(is_all)
}

/// Lets all partitions forget that nothing is left, once the pool has more. Whoever asked the pool before that may
/// still say so afterwards, as may a partition with which the store fails: that ends within a term.
pub async fn forget_sold_out<W: World>(world: &W, place: &Place) {
    let context = world.context();
    let forget = |partition| {
        let mut plan = Plan::<()>::new();
        plan.write(Write::Unset(place.lease.clone(), SOLD_OUT_UNTIL.into()));
        (partition, plan)
    };
    context.commit_some(context.partitions.all().map(forget).collect()).await;
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
    let context = world.context();
    let counts = partitions.iter().flat_map(|one| [credited(*one), returned(*one)]).collect();
    let read_lease = |one: &Partition| (*one, reading(Lease::read(place.lease.clone())));
    let mut wave: Vec<_> = partitions.iter().map(read_lease).collect();
    wave.push((place.partition, reading(Read::Fields(place.pool.clone(), counts))));
    let mut results = context.commit_some(wave).await;
    let counts = results.pop().ok_or_else(unexpected)?;
    if results.iter().all(Result::is_err) {
        // A store that is gone will be so in the next pass.
        return results.pop().map_or(Ok(Vec::new()), |result| result.map(|_| Vec::new()));
    }
    let answers = match counts {
        Ok(decided) => answers(decided)?,
        Err(error) => {
            *failure = Some(error);
            return Ok(partitions.to_vec());
        }
    };
    let counts = fields(answers.first())?;

    // The partitions' step.
    let (mut again, mut steps, mut returns) = (Vec::new(), Vec::new(), Vec::new());
    let mut stepped = Vec::new();
    for ((partition, result), counts) in partitions.iter().zip(results).zip(counts.chunks(2)) {
        let decided = match result {
            Ok(decided) => decided,
            Err(error) => {
                *failure = Some(error);
                again.push(*partition);
                continue;
            }
        };
        let lease = Lease::answered(self::answers(decided)?.first())?;
        let credited = integer(counts[0].as_ref())?.max(lease.credited);
        let returned = integer(counts[1].as_ref())?;
        // A partition that has forgotten what it returned takes it from what it has.
        let forgotten = (returned - lease.returned).max(0);
        let back = (lease.left + credited - lease.credited).max(forgotten);
        if credited != lease.credited || back != 0 {
            stepped.push(*partition);
            steps.push((*partition, settle(&place.lease, &lease, credited, back, forgotten)));
            returns.push((*partition, returned, lease.returned + back));
        } else if lease.returned > returned {
            returns.push((*partition, returned, lease.returned));
        }
    }
    for (partition, result) in stepped.into_iter().zip(context.commit_some(steps).await) {
        if !is_done(result, failure) {
            again.push(partition);
            returns.retain(|(one, ..)| *one != partition);
        }
    }

    // The pool's.
    let step = |(partition, pool_count, now): (Partition, i64, i64)| {
        ((place.partition, take_back(place, partition, pool_count, now)), partition)
    };
    let (steps, of): (Vec<_>, Vec<_>) =
        returns.into_iter().filter(|(_, pool_count, now)| now > pool_count).map(step).unzip();
    for (partition, result) in of.into_iter().zip(context.commit_some(steps).await) {
        if !is_done(result, failure) {
            again.push(partition);
        }
    }
    Ok(again)
}

/// Whether a step was made; the store's failure is kept.
fn is_done(result: Result<Decided<()>, CommitError>, failure: &mut Option<CommitError>) -> bool {
    match result {
        Ok(decided) => decided.is_ok(),
        Err(error) => {
            *failure = Some(error);
            false
        }
    }
}

/// A plan that only reads.
fn reading(read: Read) -> Plan<()> {
    let mut plan = Plan::new();
    plan.read(read);
    plan
}

/// The answers of a plan that demands nothing.
fn answers(decided: Decided<()>) -> Result<Vec<Answer>, CommitError> {
    decided.map_err(|_| unexpected())
}
