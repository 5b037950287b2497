//! What cannot be done for a fault of its own records is set aside, with the reason: it costs no sweep anything any
//! more, and is told until somebody retries it or drops it.
//!
//! Protocol. An entry of a [`DueIndex`] is in its index, or set aside, and in neither once it is done:
//! - *set aside*: one commit demands that the entry is in its index, takes it out, and puts it here with a note.
//!   A commit that comes late meets an entry that is gone, or one that was retried, and which is told again.
//! - *retry*: one commit demands that it is set aside, and puts it back. The next sweep tries it.
//! - *drop*: one commit demands that it is set aside, and takes it out: nobody will do it. Records that it stands
//!   for are not touched, so that reconciliation goes on to count and to name them.
//!
//! Only what is at fault itself comes here ([`CommitError::is_of_records`]), and only after it was due for
//! [`PATIENCE_MS`]: a store that fails, a lost race or a fresh record whose writer is still at work never does. Nor
//! does what a newer version wrote: it waits for an instance that can read it.
//!
//! Of the index's name and the entry's bytes its name here is made, so that it can be put back as it was. Two
//! records in each partition: an ordered set of names, and a map of notes.

use binding::Binding;
use domain::answers::{self, fields, unexpected};
use domain::due::{self, DueIndex, Stuck};
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{
    CommitError, Field, Guard, MapKey, Member, OrderedKey, Range, Read, Write,
};
use serde::{Deserialize, Serialize};

use crate::codec::{Record, decode, encode};
use crate::context::Context;
use crate::plan::Plan;
use crate::sweep::Item as Entry;

/// How long something must have been due before it is set aside.
pub const PATIENCE_MS: i64 = 10 * 60_000;
/// Partitions whose names are read at once.
const WAVE: usize = 64;
/// Between the index's name and the entry.
const SEPARATOR: u8 = b':';
/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 400;

/// The names of what is set aside in a partition.
pub fn names() -> OrderedKey {
    "q".into()
}

/// The notes of what is set aside in a partition: name -> [`Note`].
pub fn notes() -> MapKey {
    "q".into()
}

/// What is known of something that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When it was, in unix milliseconds.
    pub at: i64,
    /// What it is, in words for operators.
    pub what: String,
    /// Why it cannot be done.
    pub reason: String,
}

impl Record for Note {
    const NAME: &'static str = "a note of the quarantine";
}

/// Where something is that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which partition.
    pub partition: Partition,
    /// Its name there.
    pub name: Member,
}

/// Something that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where.
    pub place: Place,
    /// What is known of it; nothing where the note cannot be read.
    pub note: Option<Note>,
}

/// The name of an entry of an index.
pub fn name(index: DueIndex, entry: &Member) -> Member {
    Member([index.0.as_bytes(), &[SEPARATOR], &entry.0].concat())
}

/// The index and the entry of a name.
pub fn entry(name: &Member) -> Option<(OrderedKey, Member)> {
    let at = name.0.iter().position(|byte| *byte == SEPARATOR)?;
    let (index, entry) = (name.0.get(..at)?, name.0.get(at + 1..)?);
    let index = std::str::from_utf8(index).ok().filter(|index| !index.is_empty())?;
    (!entry.is_empty()).then(|| (index.into(), Member(entry.to_vec())))
}

fn field(name: &Member) -> Field {
    Field(name.0.clone())
}

/// Whether an item that cannot be done is to be set aside now. What does not even say when it is due is at once.
pub fn is_ripe(item: &Entry, error: &CommitError, now: UnixMillis) -> bool {
    let is_at_fault = error.is_of_records() && !matches!(error, CommitError::Newer(_));
    let since = item.due().map_or(UnixMillis(i64::MIN), |due| due.at);
    is_at_fault && since.0.saturating_add(PATIENCE_MS) <= now.0
}

/// The commit that sets an entry of an index aside. It is refused where the entry is gone.
pub fn set_aside(
    index: DueIndex,
    member: &Member,
    what: &str,
    error: &CommitError,
    now: UnixMillis,
) -> Plan<()> {
    let name = name(index, member);
    let mut reason = error.to_string();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    let note = Note { at: now.0, what: what.to_owned(), reason };
    let mut plan = Plan::new();
    plan.demand((), Guard::MemberPresent(index.key(), member.clone()));
    plan.write(Write::RemoveMember(index.key(), member.clone()));
    plan.write(Write::Set(notes(), field(&name), encode(&note)));
    plan.write(Write::AddMember(names(), name));
    plan
}

/// Sets entries of an index aside, all at once. Those that were, and those that stay in the index because the store
/// failed; what somebody else did, or set aside, is neither.
pub async fn set_all_aside<B: Binding>(
    context: &Context<'_, B>,
    index: DueIndex,
    entries: Vec<(Entry, Stuck)>,
) -> (Vec<Stuck>, Vec<Stuck>) {
    let plan = |(Entry { member, partition }, Stuck { place, error }): &(Entry, Stuck)| {
        (*partition, set_aside(index, member, place, error, context.now))
    };
    let results = context.commit_some(entries.iter().map(plan).collect()).await;
    let (mut aside, mut stay) = (Vec::new(), Vec::new());
    for ((_, stuck), result) in entries.into_iter().zip(results) {
        match result {
            Ok(Ok(_)) => aside.push(stuck),
            Ok(Err(_)) => {}
            Err(_) => stay.push(stuck),
        }
    }
    (aside, stay)
}

/// Reads how many entries of a partition are set aside.
pub fn count() -> Read {
    Read::Count(names(), Range::default())
}

/// Reads whether an entry of an index is set aside.
pub fn has(index: DueIndex, at: UnixMillis, what: &[u8]) -> Read {
    Read::HasMember(names(), name(index, &due::member(at, what)))
}

/// Reads a page of the entries of one index that are set aside, behind one of them.
pub fn page_of(index: DueIndex, after: Option<Member>, most: u32) -> Read {
    let prefix = |last: u8| Member([index.0.as_bytes(), &[last]].concat());
    let after = after.map_or_else(|| prefix(SEPARATOR), |after| name(index, &after));
    Read::Page(names(), Range { after: Some(after), below: Some(prefix(SEPARATOR + 1)) }, most)
}

/// What is set aside in all partitions, behind a place; and whether there may be more.
///
/// # Errors
/// The store's.
pub async fn list<B: Binding>(
    context: &Context<'_, B>,
    after: Option<&Place>,
    most: usize,
) -> Result<(Vec<Item>, bool), CommitError> {
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
            let after = after.filter(|after| after.partition == *one).map(|one| one.name.clone());
            (*one, Read::Page(names(), Range { after, below: None }, most as u32))
        };
        let answers = context.read_all(wave.iter().map(page).collect()).await?;
        for (partition, answer) in wave.iter().zip(&answers) {
            let page = answers::page(Some(answer))?;
            let place = |name: &Member| Place { partition: *partition, name: name.clone() };
            let room = most - places.len();
            places.extend(page.members.iter().take(room).map(place));
            has_more |= page.has_more || page.members.len() > room;
        }
    }
    let note =
        |one: &Place| (one.partition, Read::Fields(notes(), vec![Field(one.name.0.clone())]));
    let answers = context.read_all(places.iter().map(note).collect()).await?;
    let items = places.into_iter().zip(&answers).map(|(place, answer)| {
        let note = fields(Some(answer))?.first().and_then(Option::as_ref);
        Ok(Item { place, note: note.and_then(|note| decode(note).ok()) })
    });
    Ok((items.collect::<Result<_, CommitError>>()?, has_more))
}

/// What an operator does with something that is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is put back into its index, and tried by the next sweep.
    Retry,
    /// It is taken out, and nobody will do it.
    Drop,
}

/// Retries or drops something: what is known of it; nothing where it is not set aside (any more).
///
/// # Errors
/// `Unreadable` where its name does not say from which index it comes; the store's.
pub async fn act<B: Binding>(
    context: &Context<'_, B>,
    Place { partition, name }: &Place,
    act: Act,
) -> Result<Option<Item>, CommitError> {
    let mut plan = Plan::new();
    plan.demand((), Guard::MemberPresent(names(), name.clone()));
    let answers = context.read(*partition, vec![Read::Fields(notes(), vec![field(name)])]).await?;
    let note = fields(answers.first())?.first().and_then(Option::as_ref);
    let note = note.and_then(|note| decode(note).ok());
    plan.write(Write::RemoveMember(names(), name.clone()));
    plan.write(Write::Unset(notes(), field(name)));
    if act == Act::Retry {
        let (index, entry) = entry(name).ok_or_else(unexpected)?;
        plan.write(Write::AddMember(index, entry));
    }
    let place = Place { partition: *partition, name: name.clone() };
    let is_done = context.commit(*partition, plan).await?.is_ok();
    Ok(is_done.then_some(Item { place, note }))
}

#[cfg(test)]
mod tests {
    use binding::memory::Memory;
    use domain::transaction::Answer;
    use futures::executor::block_on;

    use super::*;
    use crate::context::tests::context;

    const INDEX: DueIndex = DueIndex("mq");

    #[test]
    fn a_name_says_where_it_comes_from() {
        let member = Member(vec![b':', 0xff, 0, b':']);
        assert_eq!(entry(&name(INDEX, &member)), Some((INDEX.key(), member)));
        for name in ["", "mq", "mq:", ":x"] {
            assert_eq!(entry(&Member(name.as_bytes().to_vec())), None, "{name}");
        }
    }

    #[test]
    fn what_is_set_aside_is_told_and_comes_back_or_goes() {
        let store = Memory::new();
        let context = context(&store, 5);
        let home = Partition::DESCRIPTION;
        let (one, two) = (Member::from("one"), Member::from("two"));
        let put = |index: DueIndex, member: &Member| {
            context.write(home, [Write::AddMember(index.key(), member.clone())])
        };
        let other = DueIndex("mr");
        for (index, member) in [(INDEX, &one), (INDEX, &two), (other, &one)] {
            block_on(put(index, member)).unwrap();
            let error = CommitError::Unreadable("x".repeat(999));
            let plan = set_aside(index, member, "a thing", &error, context.now);
            assert!(block_on(context.commit(home, plan.clone())).unwrap().is_ok());
            // Delivered once more, it finds nothing to do.
            assert!(block_on(context.commit(home, plan)).unwrap().is_err());
        }
        let listed = || block_on(list(&context, None, 9)).unwrap();
        let (items, has_more) = listed();
        assert_eq!((items.len(), has_more), (3, false));
        // Page by page.
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let (page, has_more) = block_on(list(&context, after.as_ref(), 2)).unwrap();
            after = page.last().map(|item: &Item| item.place.clone());
            pages.extend(page);
            if !has_more {
                break;
            }
        }
        assert_eq!(pages, items);
        let note = items[0].note.as_ref().expect("it has a note");
        assert_eq!((note.at, note.what.as_str(), note.reason.len()), (5, "a thing", 400));
        let of = |index| block_on(context.read(home, vec![page_of(index, None, 9)])).unwrap();
        let page = answers::page(of(INDEX).first()).unwrap().clone();
        assert_eq!(page.members, [name(INDEX, &one), name(INDEX, &two)]);

        let act = |name: &Member, what| {
            let place = Place { partition: home, name: name.clone() };
            block_on(act(&context, &place, what)).unwrap().is_some()
        };
        assert!(act(&name(INDEX, &one), Act::Retry) && !act(&name(INDEX, &one), Act::Drop));
        assert!(act(&name(INDEX, &two), Act::Drop) && !act(&name(INDEX, &two), Act::Retry));
        assert_eq!(listed().0.len(), 1);
        let left = block_on(context.read(home, vec![INDEX.page_of_all(None, 9), count()])).unwrap();
        assert_eq!(answers::page(left.first()).unwrap().members, [one]);
        assert_eq!(left.get(1), Some(&Answer::Size(1)));
    }
}
