//! One list out of the ordered sets of one name in all partitions, page by page.

use binding::Binding;
use domain::answers;
use domain::due::{self, Due};
use domain::partition::Partition;
use domain::transaction::{CommitError, Member, OrderedKey, Range, Read};

use crate::context::Context;

/// Partitions that are asked at once.
const WAVE: usize = 64;

/// Where a member of an ordered set is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// As it stands there: of an index the oldest first.
    pub member: Member,
    /// In which partition.
    pub partition: Partition,
}

impl Place {
    /// What a member of an index stands for.
    ///
    /// # Errors
    /// It is nothing that is due.
    pub fn due(&self) -> Result<Due<'_>, CommitError> {
        due::due(&self.member)
    }
}

/// A page of at most so many members, in the order of the partitions, behind a place; and whether there may be more. A
/// round trip for 64 partitions.
///
/// # Errors
/// The store's.
pub async fn list<B: Binding>(
    context: &Context<'_, B>,
    list: &OrderedKey,
    after: Option<&Place>,
    most: usize,
) -> Result<(Vec<Place>, bool), CommitError> {
    let all = context.partitions.all().chain(context.partitions.of_configurations());
    let is_before = |one: &Partition| after.is_some_and(|after| after.partition != *one);
    let partitions: Vec<_> = all.skip_while(is_before).collect();
    let mut places: Vec<Place> = Vec::new();
    let mut has_more = false;
    for wave in partitions.chunks(WAVE) {
        if places.len() >= most {
            has_more = true;
            break;
        }
        let page = |one: &Partition| {
            let after = after.filter(|after| after.partition == *one).map(|one| one.member.clone());
            (*one, Read::Page(list.clone(), Range { after, below: None }, most as u32))
        };
        let answers = context.read_all(wave.iter().map(page).collect()).await?;
        for (partition, answer) in wave.iter().zip(&answers) {
            let page = answers::page(Some(answer))?;
            let place = |member: &Member| Place { member: member.clone(), partition: *partition };
            let room = most - places.len();
            places.extend(page.members.iter().take(room).map(place));
            has_more |= page.has_more || page.members.len() > room;
        }
    }
    Ok((places, has_more))
}
