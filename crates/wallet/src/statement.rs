//! Statements: what moved, the latest first; what is not posted before everything that is, and what was carried, a line a
//! month, behind it.

use std::ops::Range;

use binding::Binding;
use domain::answers::fields;
use domain::ids::UserId;
use domain::transaction::{Answer, CommitError, Read, Value};

use crate::account::Account;
use crate::carried::Months;
use crate::context::Context;
use crate::entry::Entry;
use crate::records::{self, PAGE_ENTRIES};

/// Entries of a user, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// By sequence number; nothing where one is missing or cannot be read.
    pub entries: Vec<(i64, Option<Entry>)>,
    /// Those below this are carried, and stand in lines of months.
    pub carried: i64,
}

/// Entries below a sequence number that are not carried: at most `limit`, one round trip.
///
/// # Errors
/// The store's.
pub async fn entries<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    below: i64,
    limit: i64,
) -> Result<Entries, CommitError> {
    let first = (below - limit).max(0);
    if first >= below {
        return Ok(Entries::default());
    }
    let mut reads = vec![Account::read(user)];
    reads.extend(reads_of(user, first..below));
    let answers = context.read(context.home(user), reads).await?;
    let carried = Account::answered(answers.first())?.carried;
    let stored = answered(first..below, &answers[1..])?;
    let entry = |(sequence, value): (i64, Option<Value>)| {
        (sequence, value.and_then(|value| Entry::decode(&value).ok()))
    };
    let kept = stored.into_iter().rev().filter(|(sequence, _)| *sequence >= carried);
    Ok(Entries { entries: kept.map(entry).collect(), carried })
}

/// The entries that are carried, by month: one round trip.
///
/// # Errors
/// The store's; they cannot be read.
pub async fn months<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
) -> Result<Months, CommitError> {
    let answers = context.read(context.home(user), vec![Months::read(user)]).await?;
    Months::answered(answers.first())
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
    let answers = context.read(context.home(user), reads_of(user, sequences.clone())).await?;
    answered(sequences, &answers)
}

/// Reads what the store has under sequence numbers, of which there is at least one.
fn reads_of(user: UserId, sequences: Range<i64>) -> Vec<Read> {
    let page = |page: i64| {
        let from = sequences.start.max(page * PAGE_ENTRIES);
        let until = sequences.end.min((page + 1) * PAGE_ENTRIES);
        Read::Fields(records::page(user, from), (from..until).map(records::entry).collect())
    };
    let pages = sequences.start / PAGE_ENTRIES..=(sequences.end - 1) / PAGE_ENTRIES;
    pages.map(page).collect()
}

/// The answers to [`reads_of`].
fn answered(
    sequences: Range<i64>,
    answers: &[Answer],
) -> Result<Vec<(i64, Option<Value>)>, CommitError> {
    let mut values = Vec::new();
    for answer in answers {
        values.extend(fields(Some(answer))?.iter().cloned());
    }
    Ok(sequences.zip(values).collect())
}
