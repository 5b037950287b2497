//! Doing what is due in an index, the oldest first.

use binding::Binding;
use domain::answers;
use domain::due::{self, Due, DueIndex, FAILURES_MAX, Swept};
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::CommitError;

use crate::context::Context;

/// Items that are read at once.
const PAGE: u32 = 256;
/// Items that a sweep passes over, beside those that it does: what has gone already, and what cannot be done.
const PASSED_OVER_MAX: u64 = 1_024;

/// What is due in one partition.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// Where.
    pub partition: Partition,
    /// The index.
    pub index: DueIndex,
    /// What is due then.
    pub until: UnixMillis,
    /// What its items are, in words for operators.
    pub name: &'static str,
}

impl Queue {
    /// Does what is due, so many items at most. Each is done by `act`, which says whether there was anything to do
    /// and takes the item out; one that cannot be done for a fault of its own records is passed over, and named.
    /// Where the store fails with an item, those behind it are tried, for a while.
    ///
    /// # Errors
    /// The store's, where it failed before anything was done or found.
    pub async fn sweep<B: Binding>(
        &self,
        context: &Context<'_, B>,
        most: u64,
        mut act: impl AsyncFnMut(&Due<'_>) -> Result<bool, CommitError>,
    ) -> Result<Swept, CommitError> {
        let Self { partition, index, until, name } = *self;
        let (mut swept, mut after, mut looked, mut failures) = (Swept::default(), None, 0, 0);
        loop {
            let answers = context.read(partition, vec![index.page(until, after, PAGE)]).await;
            let page = answers.and_then(|answers| answers::page(answers.first()).cloned());
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    swept.count(|| format!("{name} in {partition}"), Err(error));
                    return swept.finish();
                }
            };
            for member in &page.members {
                if swept.done >= most || looked >= most + PASSED_OVER_MAX {
                    swept.has_more = true;
                    return swept.finish();
                }
                looked += 1;
                let place = || format!("{name} in {partition}: {}", due::words(member));
                let result = match due::due(member) {
                    Ok(due) => act(&due).await,
                    Err(error) => Err(error),
                };
                failures += u32::from(!swept.count(place, result));
                if failures >= FAILURES_MAX {
                    return swept.finish();
                }
            }
            if !page.has_more {
                return swept.finish();
            }
            after = page.members.last().cloned();
        }
    }
}
