//! Taking key sets out of the index that no version needs any more: later, and in small steps.

use domain::answers::unexpected;
use domain::transaction::{Answer, CommitError, Field, Read, Transaction, Value, Write};
use edge::store::Binding;
use pricing::activity::KeyKind;

use crate::context::Context;
use crate::heads::{Found, definition, find, replace};
use crate::index::{self, Change, named_keys};
use crate::records::{self, Retired};
use crate::refusal::Failure;

/// How long a key set stays: for so long an instance may still read by the version before, and a request
/// that is under way, too.
const KEEP_MS: i64 = 5_000;
/// Parts of lists that one call takes out.
const PARTS_MAX: u32 = 8;
/// Activities of one shelf that a sweep looks at.
const ACTIVITIES_MAX: u32 = 16;

/// Takes out of the index what an activity does not need any more, as far as one call may; how many key
/// sets are left.
///
/// # Errors
/// The store's; `published_meanwhile` where others change the same keys all the time.
pub async fn clean<B: Binding>(context: &Context<'_, B>, id: &str) -> Result<usize, Failure> {
    let found = find(context, id).await?;
    let mut parts_left = PARTS_MAX;
    let mut done = Vec::new();
    for retired in &found.head.retired {
        if retired.since + KEEP_MS > context.now.0 || parts_left == 0 {
            break;
        }
        if take_parts(context, id, retired, &mut parts_left).await? {
            let definition = definition(context, id, retired.version).await?;
            let keys = named_keys(&definition);
            index::change(context, id, retired.set, &keys, Change::Remove).await?;
            done.push(retired.clone());
        }
    }
    let left = found.head.retired.len() - done.len();
    if !done.is_empty() {
        forget(context, id, &found, &done).await?;
    }
    Ok(left)
}

/// Takes parts of a list out of the index; whether none is left.
async fn take_parts<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    retired: &Retired,
    parts_left: &mut u32,
) -> Result<bool, Failure> {
    let shelf = context.shelf_of(id);
    let (list, listed) = (records::list(id, retired.set), records::listed(id, retired.set));
    while retired.parts > 0 && *parts_left > 0 {
        let read = (shelf, Read::Some(list.clone(), 1));
        let answers = context.read_all(vec![read]).await?;
        let Some(Answer::Map(parts)) = answers.into_iter().next() else {
            return Err(unexpected().into());
        };
        let Some((part, skus)) = parts.into_iter().next() else { return Ok(true) };
        let keys = keys_of(&skus)?;
        index::change(context, id, retired.set, &keys, Change::Remove).await?;
        let writes =
            vec![Write::Unset(list.clone(), part.clone()), Write::Unset(listed.clone(), part)];
        context.commit(shelf, Transaction { writes, ..Transaction::default() }).await?;
        *parts_left -= 1;
    }
    Ok(retired.parts == 0)
}

/// The index's fields of a part of a list.
fn keys_of(skus: &Value) -> Result<Vec<(String, u64)>, CommitError> {
    let Value::Bytes(bytes) = skus else { return Err(unexpected()) };
    let text = std::str::from_utf8(bytes).map_err(|_| unexpected())?;
    Ok(text.split('\n').map(|sku| (records::key(KeyKind::Sku, sku), 0)).collect())
}

/// Drops what was taken out. Where somebody else changed the head it is done by the next call.
async fn forget<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    found: &Found,
    done: &[Retired],
) -> Result<(), Failure> {
    let mut head = found.head.clone();
    head.retired.retain(|retired| !done.contains(retired));
    let definition = |retired: &Retired| {
        Write::Unset(records::definitions(id), records::number(retired.version))
    };
    let writes = done.iter().map(definition).collect();
    replace(context, id, found, head, writes).await?;
    Ok(())
}

/// Takes out what is due on all shelves, as far as one call may; activities that were looked at, and key
/// sets that are left with them.
///
/// # Errors
/// As [`clean`].
pub async fn sweep<B: Binding>(context: &Context<'_, B>) -> Result<(u64, u64), Failure> {
    let read = |shelf| (context.shelf(shelf), Read::Some(records::retiring(), ACTIVITIES_MAX));
    let reads: Vec<_> = (0..records::SHELVES).map(read).collect();
    let mut activities: Vec<Field> = Vec::new();
    for answer in context.read_all(reads).await? {
        let Answer::Map(map) = answer else { return Err(unexpected().into()) };
        activities.extend(map.into_iter().map(|(activity, _)| activity));
    }
    let (mut looked, mut left) = (0, 0);
    for activity in activities {
        let id = String::from_utf8(activity.0).map_err(|_| unexpected())?;
        left += clean(context, &id).await? as u64;
        looked += 1;
    }
    Ok((looked, left))
}
