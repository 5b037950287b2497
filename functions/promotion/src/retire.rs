//! Taking key sets out of the index that no version needs any more: later, and in small steps.

use domain::answers::{fields, unexpected};
use domain::due::{Due, Swept};
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Read, Value, Write};
use pricing::activity::KeyKind;
use store::sweep::{Fault, Sweep};
use store::{Binding, codec};

use crate::context::Context;
use crate::heads::{self, Found, check_changed, find, replace, stored_definition};
use crate::index::{self, Change, named_keys};
use crate::records::{self, Retired, SkuPart};
use crate::refusal::{Failure, Refusal};

/// How long a key set stays: for so long an instance may still read by the version before, and a request
/// that is under way, too.
const KEEP_MS: i64 = 5_000;
/// Key sets and parts of lists that one call takes out, of all activities. Each takes a few swaps of Spin's key-value
/// store, which makes at most 256 for one instance.
const STEPS_MAX: u32 = 48;
/// Parts of lists that one call takes out of one activity.
const PARTS_MAX: u32 = 8;
/// Parts of a list that are asked for at once. Those that are gone cost nothing; of the others each may have
/// 64 KB.
const PARTS_READ_MAX: usize = 4;
/// Activities of one shelf that a sweep takes something from, or counts the key sets of.
const ACTIVITIES_MAX: u64 = 16;
/// Activities of one shelf that a sweep passes over: those that are not due yet, and those that cannot be done.
const PASSED_OVER_MAX: u64 = 256;

/// What the index lists, in words for operators.
const NAME: &str = "activities with old versions";

/// What a call left of what an activity does not need any more.
#[derive(Debug)]
pub struct Left {
    /// Key sets that are still in the index.
    pub sets: usize,
    /// Whether some of them could go already: another call goes on.
    pub has_more: bool,
    /// What ended the call after it had taken out some.
    pub failure: Option<Failure>,
}

/// Takes out of the index what an activity does not need any more, as far as one call may.
///
/// # Errors
/// The store's, and `published_meanwhile` where others change the same keys all the time; where nothing was taken out.
pub async fn clean<B: Binding>(context: &Context<'_, B>, id: &str) -> Result<Left, Failure> {
    let found = find(context, id).await?;
    clean_found(context, id, &found, &mut { STEPS_MAX }).await
}

async fn clean_found<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    found: &Found,
    steps_left: &mut u32,
) -> Result<Left, Failure> {
    let mut parts_left = PARTS_MAX.min(*steps_left);
    let mut done = Vec::new();
    let mut has_more = false;
    let mut failure = None;
    for retired in &found.head.retired {
        if !is_due(UnixMillis(retired.since), context.now) {
            break;
        }
        if *steps_left == 0 {
            has_more = true;
            break;
        }
        let parts_before = parts_left;
        let result = take_out(context, id, found, retired, &mut parts_left).await;
        *steps_left = steps_left.saturating_sub(1 + parts_before - parts_left);
        match result {
            Ok(true) => done.push(retired.clone()),
            Ok(false) => {
                has_more = true;
                break;
            }
            Err(error) if done.is_empty() => return Err(error),
            // What went before stays done.
            Err(error) => {
                has_more = true;
                failure = Some(error);
                break;
            }
        }
    }
    let sets = found.head.retired.len() - done.len();
    if !done.is_empty() && !forget(context, id, found, &done).await? {
        // Somebody else changed the head: another call drops what was taken out.
        has_more = true;
    }
    Ok(Left { sets, has_more, failure })
}

/// Whether what is not needed since a moment may go.
fn is_due(since: UnixMillis, now: UnixMillis) -> bool {
    since.0.saturating_add(KEEP_MS) <= now.0
}

/// Takes a key set out of the index; `false` where it is not done.
async fn take_out<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    found: &Found,
    retired: &Retired,
    parts_left: &mut u32,
) -> Result<bool, Failure> {
    if !take_parts(context, id, retired, parts_left).await? {
        return Ok(false);
    }
    let Some(definition) = stored_definition(context, id, retired.version).await? else {
        check_changed(context, id, found, retired.version).await?;
        // Somebody else took it out.
        return Ok(false);
    };
    let keys = named_keys(&definition);
    index::change(context, id, retired.set, &keys, Change::Remove).await?;
    Ok(true)
}

/// Takes parts of a list out of the index; whether none is left.
async fn take_parts<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    retired: &Retired,
    parts_left: &mut u32,
) -> Result<bool, Failure> {
    if retired.parts == 0 {
        return Ok(true);
    }
    let shelf = context.shelf_of(id);
    let (list, listed) = (records::list(id, retired.set), records::listed(id, retired.set));
    let size = context.read_all(vec![(shelf, Read::Size(list.clone()))]).await?;
    let Some(Answer::Size(mut left)) = size.first().cloned() else {
        return Err(unexpected().into());
    };
    for numbers in in_turn(retired.parts, left).chunks(PARTS_READ_MAX) {
        if left == 0 {
            break;
        }
        let numbers: Vec<Field> = numbers.iter().map(|one| records::number(*one)).collect();
        let read = Read::Fields(list.clone(), numbers.clone());
        let answers = context.read_all(vec![(shelf, read)]).await?;
        for (part, skus) in numbers.into_iter().zip(fields(answers.first())?) {
            let Some(skus) = skus else { continue };
            if *parts_left == 0 {
                return Ok(false);
            }
            let keys = keys_of(skus)?;
            index::change(context, id, retired.set, &keys, Change::Remove).await?;
            let writes =
                [Write::Unset(list.clone(), part.clone()), Write::Unset(listed.clone(), part)];
            context.write(shelf, writes).await?;
            *parts_left -= 1;
            left = left.saturating_sub(1);
        }
    }
    Ok(true)
}

/// The numbers of all parts, in the order in which they are looked for. They go in the order of their numbers,
/// so that of a list that was complete exactly the last `left` are there; of another one the rest comes then.
fn in_turn(parts: u32, left: u64) -> Vec<u64> {
    let parts = u64::from(parts);
    let first = parts.saturating_sub(left) + 1;
    (first..=parts).chain(1..first).collect()
}

/// The index's fields of a part of a list.
fn keys_of(skus: &Value) -> Result<Vec<(String, u64)>, CommitError> {
    let SkuPart(skus) = codec::decode(skus)?;
    Ok(skus.into_iter().map(|sku| (records::key(KeyKind::Sku, sku), 0)).collect())
}

/// Drops what was taken out; `false` where somebody else changed the head.
async fn forget<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    found: &Found,
    done: &[Retired],
) -> Result<bool, Failure> {
    let mut head = found.head.clone();
    head.retired.retain(|retired| !done.contains(retired));
    let definition = |retired: &Retired| {
        Write::Unset(records::definitions(id), records::number(retired.version))
    };
    let writes = done.iter().map(definition).collect();
    replace(context, id, found, head, writes).await
}

/// The partitions of all shelves.
pub fn shelves<B: Binding>(context: &Context<'_, B>) -> Vec<Partition> {
    purchases::activities::shelves(context.partitions).into_iter().collect()
}

/// Takes out what is due on all shelves, the oldest first, as far as one call may; what became of the activities,
/// and the key sets that are left with them and with those that are not due yet. An activity whose records
/// are at fault stops only itself.
///
/// # Errors
/// The store's.
pub async fn sweep<B: Binding>(context: &Context<'_, B>) -> (Result<Swept, CommitError>, u64) {
    let shelves = shelves(context);
    let sweep = Sweep {
        index: records::RETIRING,
        name: NAME,
        partitions: &shelves,
        until: UnixMillis(context.now.0.saturating_sub(KEEP_MS)),
        // Behind what is due stands what was replaced in these seconds, if anything: it is counted.
        looks_ahead: true,
        sets_aside: true,
        done_max: ACTIVITIES_MAX,
        passed_over_max: PASSED_OVER_MAX,
    };
    let (mut has_more, mut left, mut steps_left) = (false, 0, STEPS_MAX);
    let mut in_part = Vec::new();
    let swept = sweep
        .each(context, async |due| {
            let Ended { is_done, failure } =
                end(context, due, &mut steps_left, &mut has_more, &mut left).await?;
            let place = || format!("{NAME}: {}", due.what.escape_ascii());
            in_part.extend(failure.map(|error| (place(), error)));
            Ok(is_done)
        })
        .await;
    let swept = swept.map(|mut swept| {
        swept.has_more |= has_more;
        for (place, error) in in_part {
            swept.count(|| place, Err(error));
        }
        swept
    });
    (swept, left)
}

/// What became of an item.
struct Ended {
    /// Whether something that was due is done.
    is_done: bool,
    /// What kept the rest of it from being done.
    failure: Option<CommitError>,
}

/// Does what stands in the index. Adds the key sets that are left, and notes where something could go already.
async fn end<B: Binding>(
    context: &Context<'_, B>,
    due: Due<'_>,
    steps_left: &mut u32,
    has_more: &mut bool,
    left: &mut u64,
) -> Result<Ended, Fault> {
    let (since, id) = records::retiring_of(due)?;
    let found = find(context, id).await?;
    if found.value.is_none() {
        let missing =
            CommitError::Unreadable("an activity that has old versions is missing".into());
        return Err(missing.into());
    }
    if found.head.retires_since() != Some(since) {
        // The mark is stale.
        let entry = records::RETIRING.remove(since, id.as_bytes());
        heads::forget_entry(context, id, &found, entry).await?;
        return Ok(Ended { is_done: false, failure: None });
    }
    let may_step = *steps_left > 0;
    let (ended, failure) = match clean_found(context, id, &found, steps_left).await {
        Ok(Left { sets, has_more: more, failure }) => {
            *has_more |= more;
            *left += sets as u64;
            // Some of it went, if there was a step left.
            let is_done = may_step && is_due(since, context.now);
            (Ended { is_done, failure: None }, failure)
        }
        Err(failure) => {
            *left += found.head.retired.len() as u64;
            (Ended { is_done: false, failure: None }, Some(failure))
        }
    };
    let failure = match failure {
        None => return Ok(ended),
        // Others publish for the same keys all the time: the next sweep tries again.
        Some(Failure::Refused(Refusal::PublishedMeanwhile)) => {
            *has_more = true;
            return Ok(ended);
        }
        Some(Failure::Store(error)) => error,
        Some(Failure::Refused(refusal)) => CommitError::Unreadable(refusal.detail()),
        Some(Failure::Invalid(error)) => CommitError::Unreadable(error.detail),
    };
    if ended.is_done {
        return Ok(Ended { failure: Some(failure), ..ended });
    }
    // The keys of the index are those of other activities, too.
    Err(Fault::of_shared_record(failure))
}
