//! How sweeps go through what is due: page by page, the oldest first, in several partitions side by side.
//!
//! What cannot be done now stays in its index, in front of the rest. So a walk goes on behind it until enough
//! was done, and not until enough was looked at.

use domain::answers;
use domain::due::{DueIndex, Swept};
use domain::partition::Partition;
use domain::transaction::Member;
use store::Binding;

use crate::context::Context;

/// Items of one page: one wave of reads and one of commits for each.
const PAGE: u32 = 256;
/// Items of a partition after which one walk reads no further page, whatever became of them, because a sweep
/// must end. Where so many stay in front of the rest, more is wrong than single records, or a template that
/// refuses owes thousands of rewards: then `has_more` stays true until operators see to it.
const LOOKS_MAX: usize = 4_096;

/// A walk through what is due in a partition.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Where.
    pub partition: Partition,
    /// How many items were done.
    pub done: u64,
    /// Whether the store failed with one of them. Then it ends.
    pub has_failed: bool,
    after: Option<Member>,
    looked: usize,
}

/// What is due next in a partition.
pub struct Next {
    /// In which, and how far.
    pub walk: Walk,
    /// In their order.
    pub items: Vec<Member>,
    has_more: bool,
}

/// Walks that begin at the oldest.
pub fn begin(partitions: &[Partition]) -> Vec<Walk> {
    let walk = |one: &Partition| Walk {
        partition: *one,
        done: 0,
        has_failed: false,
        after: None,
        looked: 0,
    };
    partitions.iter().map(walk).collect()
}

/// The next page of each walk, all at once. An index that cannot be read is stuck, with `what` it lists; where
/// the store does not answer, that walk ends.
pub async fn next<B: Binding>(
    context: &Context<'_, B>,
    index: DueIndex,
    what: &str,
    walks: Vec<Walk>,
    swept: &mut Swept,
) -> Vec<Next> {
    let read = |walk: &Walk| (walk.partition, index.page(context.now, walk.after.clone(), PAGE));
    let pages = context.read_some(walks.iter().map(read).collect()).await;
    let mut nexts = Vec::new();
    for (mut walk, answer) in walks.into_iter().zip(pages) {
        match answer.and_then(|answer| answers::page(Some(&answer)).cloned()) {
            Ok(page) => {
                walk.looked += page.members.len();
                walk.after = page.members.last().cloned();
                let has_more = page.has_more && walk.after.is_some();
                nexts.push(Next { walk, items: page.members, has_more });
            }
            Err(error) => {
                let place = || format!("{what} of partition {}", walk.partition);
                swept.count(place, Err(error));
            }
        }
    }
    nexts
}

/// The walks that go on, after what was due next was dealt with: those that have done less than
/// `done_max`.
pub fn going_on(nexts: Vec<Next>, done_max: u64, swept: &mut Swept) -> Vec<Walk> {
    let mut walks = Vec::new();
    for Next { walk, has_more, .. } in nexts {
        if has_more && !walk.has_failed && walk.done < done_max && walk.looked < LOOKS_MAX {
            walks.push(walk);
        } else {
            swept.has_more |= has_more;
        }
    }
    walks
}
