//! The activities there are. What each of them is, the promotion function knows; whoever collects orders asks which ones
//! still limit their users.
//!
//! In the partitions of the *shelves*, where activities and keys lie:
//! - `av`: the activities that are not sealed, or not sealed to the end; an ordered set

use std::collections::BTreeSet;

use domain::answers;
use domain::partition::{Partition, Partitions, fnv1a, mix};
use domain::transaction::{CommitError, Member, OrderedKey, READ_FIELDS_MAX, Range, Read};
use store::{Binding, Context};

/// Shelves: a cart of 20 lines has a hundred keys, which one commit each would be too many for.
pub const SHELVES: u64 = 16;

/// Where a key or an activity lies.
pub fn shelf_of(name: &str) -> u64 {
    mix(fnv1a(name.as_bytes())) % SHELVES
}

/// The partition of a shelf.
pub fn shelf(partitions: Partitions, shelf: u64) -> Partition {
    partitions.of_configuration(&format!("shelf:{shelf}"))
}

/// The partitions of all shelves. Of few partitions one may have several shelves.
pub fn shelves(partitions: Partitions) -> BTreeSet<Partition> {
    (0..SHELVES).map(|one| shelf(partitions, one)).collect()
}

/// The activities of a shelf's partition that may still act, or that something is left of.
pub fn listed() -> OrderedKey {
    "av".into()
}

/// The activities of which uses may still be taken, or of which something is left that was taken: all that were ever
/// published or drafted, until they are sealed to the end.
///
/// # Errors
/// The store's.
pub async fn live_activities<B: Binding>(
    context: &Context<'_, B>,
) -> Result<BTreeSet<String>, CommitError> {
    let mut live = BTreeSet::new();
    let first = |partition| (partition, None);
    let mut open: Vec<(Partition, Option<Member>)> =
        shelves(context.partitions).into_iter().map(first).collect();
    while !open.is_empty() {
        let page = |(partition, after): &(Partition, Option<Member>)| {
            let range = Range { after: after.clone(), below: None };
            (*partition, Read::Page(listed(), range, READ_FIELDS_MAX))
        };
        let answers = context.read_all(open.iter().map(page).collect()).await?;
        let mut next = Vec::new();
        for ((partition, _), answer) in open.into_iter().zip(&answers) {
            let page = answers::page(Some(answer))?;
            for Member(name) in &page.members {
                live.insert(String::from_utf8_lossy(name).into_owned());
            }
            if page.has_more
                && let Some(last) = page.members.last()
            {
                next.push((partition, Some(last.clone())));
            }
        }
        open = next;
    }
    Ok(live)
}
