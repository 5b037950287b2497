//! Statements: what moved, the latest first; what is not posted before everything that is.

use binding::Binding;
use domain::answers::unexpected;
use domain::ids::UserId;
use domain::transaction::{Answer, CommitError, Read};

use crate::context::Context;
use crate::entry::Entry;
use crate::records::{self, PAGE_ENTRIES};

/// Entries below a sequence number, the latest first: at most `limit`, one round trip.
///
/// # Errors
/// The store's; an entry is missing.
pub async fn entries<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    below: i64,
    limit: i64,
) -> Result<Vec<(i64, Entry)>, CommitError> {
    let first = (below - limit).max(0);
    if first >= below {
        return Ok(Vec::new());
    }
    let (oldest, latest) = (first / PAGE_ENTRIES, (below - 1) / PAGE_ENTRIES);
    let sequences = |page: i64| {
        let from = first.max(page * PAGE_ENTRIES);
        from..below.min((page + 1) * PAGE_ENTRIES)
    };
    let read = |page: i64| {
        let fields = sequences(page).map(records::entry).collect();
        Read::Fields(records::page(user, page * PAGE_ENTRIES), fields)
    };
    let reads = (oldest..=latest).map(read).collect();
    let answers = context.read(context.home(user), reads).await?;
    let mut entries = Vec::new();
    for (page, answer) in (oldest..=latest).zip(&answers) {
        let Answer::Fields(values) = answer else { return Err(unexpected()) };
        for (sequence, value) in sequences(page).zip(values) {
            let value = value.as_ref().ok_or_else(unexpected)?;
            entries.push((sequence, Entry::decode(value)?));
        }
    }
    entries.reverse();
    Ok(entries)
}
