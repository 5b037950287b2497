//! Statements: what moved, the latest first; what is not posted before everything that is.

use std::ops::Range;

use binding::Binding;
use domain::answers::fields;
use domain::ids::UserId;
use domain::transaction::{CommitError, Read, Value};

use crate::context::Context;
use crate::entry::Entry;
use crate::records::{self, PAGE_ENTRIES};

/// Entries below a sequence number, the latest first: at most `limit`, one round trip. Nothing where one is missing or
/// cannot be read.
///
/// # Errors
/// The store's.
pub async fn entries<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    below: i64,
    limit: i64,
) -> Result<Vec<(i64, Option<Entry>)>, CommitError> {
    let stored = stored(context, user, (below - limit).max(0)..below).await?;
    let entry = |(sequence, value): (i64, Option<Value>)| {
        (sequence, value.and_then(|value| Entry::decode(&value).ok()))
    };
    Ok(stored.into_iter().rev().map(entry).collect())
}

/// What the store has under sequence numbers, in their order: one round trip.
///
/// # Errors
/// The store's.
pub async fn stored<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    sequences: Range<i64>,
) -> Result<Vec<(i64, Option<Value>)>, CommitError> {
    if sequences.is_empty() {
        return Ok(Vec::new());
    }
    let page = |page: i64| {
        let from = sequences.start.max(page * PAGE_ENTRIES);
        let until = sequences.end.min((page + 1) * PAGE_ENTRIES);
        Read::Fields(records::page(user, from), (from..until).map(records::entry).collect())
    };
    let pages = sequences.start / PAGE_ENTRIES..=(sequences.end - 1) / PAGE_ENTRIES;
    let answers = context.read(context.home(user), pages.map(page).collect()).await?;
    let mut values = Vec::new();
    for answer in &answers {
        values.extend(fields(Some(answer))?.iter().cloned());
    }
    Ok(sequences.zip(values).collect())
}
