//! Changing the index: mentions of an activity's key set come and go, key by key.

use domain::answers::fields;
use domain::transaction::{CommitError, Field, Guard, Read, VALUE_BYTES_MAX, Value, Write};
use pricing::activity::{Activity, KeyKind};
use store::{Binding, Plan, codec};

use crate::context::Context;
use crate::heads::publishing;
use crate::records::{self, Mention, Mentions, SHELVES};
use crate::refusal::{Failure, Refusal};
use crate::selectors::{Selectors, masks};

/// Keys that one commit changes, with a guard and a write each.
const KEYS_MAX: usize = 1_000;
/// Activities that one key may have; more than an evaluation considers make no sense.
const MENTIONS_MAX: usize = 1_000;

/// The index's fields of what an activity names itself, each with its mask.
pub fn named_keys(activity: &Activity) -> Vec<(String, u64)> {
    let products = &activity.dimensions.products;
    let named = masks(products);
    let key = |((kind, key), mask): ((usize, &str), u64)| {
        KeyKind::ALL.get(kind).map(|kind| (records::key(*kind, key), mask))
    };
    let mut keys: Vec<_> = named.into_iter().filter_map(key).collect();
    if Selectors::of(products).includes_everything() {
        keys.push((records::everything(), 0));
    }
    keys
}

/// What becomes of the mentions of a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They are put into the index.
    Add,
    /// They are taken out of it.
    Remove,
}

/// Adds these masks to what mentions the keys, or removes the mentions. A key comes with its mask, as [`records::key`]
/// names it, and no key comes twice. Doing it twice is doing it once; what was interrupted is done again.
///
/// # Errors
/// `too_many_activities` for one key; `published_meanwhile` where others change the same keys all the
/// time; the store's.
pub async fn change<B: Binding>(
    context: &Context<'_, B>,
    activity: &str,
    set: u64,
    keys: &[(String, u64)],
    change: Change,
) -> Result<(), Failure> {
    let mut shelves: [Vec<(&str, u64)>; SHELVES as usize] = [(); SHELVES as usize].map(|()| vec![]);
    for (key, mask) in keys {
        shelves[records::shelf_of(key) as usize].push((key, *mask));
    }
    let chunks = (0..)
        .zip(&shelves)
        .flat_map(|(shelf, keys)| keys.chunks(KEYS_MAX).map(move |chunk| (shelf, chunk)));
    let mut left: Vec<(u64, &[(&str, u64)])> = chunks.collect();
    publishing(async || {
        left = attempt(context, activity, set, change, std::mem::take(&mut left)).await?;
        Ok(left.is_empty().then_some(()))
    })
    .await
}

/// Reads what is there and changes it, all at once; those that somebody else changed in between.
async fn attempt<'a, B: Binding>(
    context: &Context<'_, B>,
    activity: &str,
    set: u64,
    change: Change,
    chunks: Vec<(u64, &'a [(&'a str, u64)])>,
) -> Result<Vec<(u64, &'a [(&'a str, u64)])>, Failure> {
    let read = |(shelf, keys): &(u64, &[(&str, u64)])| {
        let keys = keys.iter().map(|(key, _)| Field::from(*key)).collect();
        (context.shelf(*shelf), Read::Fields(records::index(), keys))
    };
    let reads: Vec<_> = chunks.iter().map(read).collect();
    let answers = context.read_all(reads).await?;
    let (mut steps, mut of) = (Vec::new(), Vec::new());
    for (chunk, answer) in chunks.into_iter().zip(&answers) {
        let mut plan = Plan::new();
        for ((key, mask), value) in chunk.1.iter().zip(fields(Some(answer))?) {
            let mention = Mention { activity, set, mask: *mask };
            let (before, after) = edit(value.as_ref(), mention, change)?;
            if before != after {
                let (guard, write) = replace(Field::from(*key), value.as_ref(), &after)?;
                plan.demand((), guard).write(write);
            }
        }
        if !plan.is_empty() {
            steps.push((context.shelf(chunk.0), plan));
            of.push(chunk);
        }
    }
    let decided = context.commit_all(steps).await?;
    let lost = of.into_iter().zip(decided).filter(|(_, decided)| decided.is_err());
    Ok(lost.map(|(chunk, _)| chunk).collect())
}

/// What mentions a key, and what will.
fn edit<'a>(
    value: Option<&'a Value>,
    mention: Mention<'a>,
    change: Change,
) -> Result<(Mentions<'a>, Mentions<'a>), CommitError> {
    let before: Mentions<'_> = value.map(codec::decode).transpose()?.unwrap_or_default();
    let is_another =
        |one: &&Mention<'_>| (one.activity, one.set) != (mention.activity, mention.set);
    let mut after: Vec<_> = before.0.iter().filter(is_another).cloned().collect();
    if change == Change::Add {
        // A SKU may be named by a selector and by a list.
        let named =
            before.0.iter().filter(|one| !is_another(one)).fold(0, |all, one| all | one.mask);
        // In an order of their own, so that doing it twice changes nothing.
        let is_before =
            |one: &Mention<'_>| (one.activity, one.set) < (mention.activity, mention.set);
        let place = after.partition_point(is_before);
        after.insert(place, Mention { mask: mention.mask | named, ..mention });
    }
    Ok((before, Mentions(after)))
}

fn replace(
    key: Field,
    before: Option<&Value>,
    after: &Mentions<'_>,
) -> Result<(Guard, Write), Failure> {
    let record = records::index();
    let guard = match before {
        Some(before) => Guard::FieldEquals(record.clone(), key.clone(), before.clone()),
        None => Guard::FieldAbsent(record.clone(), key.clone()),
    };
    if after.0.is_empty() {
        return Ok((guard, Write::Unset(record, key)));
    }
    let value = codec::encode(after);
    let fits = matches!(&value, Value::Bytes(bytes) if bytes.len() <= VALUE_BYTES_MAX);
    if after.0.len() > MENTIONS_MAX || !fits {
        let key = String::from_utf8_lossy(&key.0).into_owned();
        return Err(Refusal::TooManyActivities(key).into());
    }
    Ok((guard, Write::Set(record, key, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_that_was_made_changes_nothing_and_can_be_undone() {
        let mention = |activity, set| Mention { activity, set, mask: 3 };
        let value = codec::encode(&Mentions(vec![mention("b", 1)]));
        let (before, added) = edit(Some(&value), mention("a", 2), Change::Add).unwrap();
        assert_eq!(added.0, [mention("a", 2), mention("b", 1)]);
        let stored = codec::encode(&added);
        let (same, again) = edit(Some(&stored), mention("a", 2), Change::Add).unwrap();
        assert_eq!(same, again);
        let (_, removed) = edit(Some(&stored), mention("a", 2), Change::Remove).unwrap();
        assert_eq!(removed, before);
        // Another key set of the same activity stays.
        let (_, other) = edit(Some(&stored), mention("a", 3), Change::Remove).unwrap();
        assert_eq!(other, added);
    }
}
