//! What cannot be done for a fault of its own records is set aside, with the reason: it costs no sweep anything any
//! more, and is told until somebody retries it or drops it.
//!
//! Protocol. An entry of a [`DueIndex`] is in its index, or set aside, or dropped, and in none of them once it is done:
//! - *set aside*: one commit demands that the entry is in its index, takes it out, and puts it here with a note.
//!   A commit that comes late meets an entry that is gone, or one that was retried: that is set aside again, and told.
//! - *retry*: one commit demands that it is set aside or dropped, with the note that was seen, and puts it back. The next
//!   sweep tries it.
//! - *drop*: one commit demands that it is set aside, with the note that was seen, and keeps it among those that are
//!   dropped, with the operator's reason. Nobody will do it, and reconciliation goes on to name it.
//!
//! The note is a part of both guards, so that a commit that comes late meets another note where the item was retried and
//! set aside again meanwhile. Where a guard refuses, who asked looks whether it was their own commit that was first.
//!
//! Only what is at fault itself comes here ([`is_ripe`]), and only after it was due for [`PATIENCE_MS`]: a store that
//! fails or a lost race never does. Nor does what a newer version wrote: it waits for an instance that can read it.
//! Where more than [`AT_ONCE_MAX`] items of an index are at fault in one partition, they have more in common than
//! their own records, and none is set aside. Who does an item by another way does not look here: what stands here may
//! be done already, and a retry finds nothing to do.
//!
//! Reconciliation goes on to count what is set aside, and names what was dropped.
//!
//! Of the index's name and the entry's bytes its name here is made, so that it can be put back as it was. Three
//! records in each partition: an ordered set of what is set aside, one of what is dropped, and a map of notes.

use std::collections::BTreeMap;

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::due::{self, DueIndex, Stuck, Swept};
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Field, Guard, MapKey, Member, OrderedKey, Range, Read, Write,
};
use serde::{Deserialize, Serialize};

use crate::codec::{Record, decode, encode};
use crate::context::Context;
use crate::listing::{self, Place};
use crate::plan::Plan;

/// How long something must have been due before it is set aside.
pub const PATIENCE_MS: i64 = 10 * 60_000;
/// Items of an index that one sweep sets aside in one partition.
pub const AT_ONCE_MAX: usize = 8;
/// Between the index's name and the entry.
const SEPARATOR: u8 = b':';
/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 400;

/// The names of what is set aside in a partition.
pub fn names() -> OrderedKey {
    "q".into()
}

/// The names of what is dropped in a partition.
pub fn dropped_names() -> OrderedKey {
    "qd".into()
}

/// The notes of what is set aside or dropped in a partition: name -> [`Note`].
pub fn notes() -> MapKey {
    "qn".into()
}

/// What is known of something that was set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When it was, in unix milliseconds.
    pub at: i64,
    /// What it is, in words for operators.
    pub what: String,
    /// Why it cannot be done.
    pub reason: String,
    /// Why nobody is to do it, where it is dropped.
    pub dropped: Option<String>,
}

impl Record for Note {
    const NAME: &'static str = "a note of the quarantine";
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
pub fn is_ripe(item: &Place, error: &CommitError, now: UnixMillis) -> bool {
    let is_at_fault = error.is_unreadable() && !matches!(error, CommitError::Newer(_));
    let since = item.due().map_or(UnixMillis(i64::MIN), |due| due.at);
    is_at_fault && since.0.saturating_add(PATIENCE_MS) <= now.0
}

/// The commit that sets an entry of an index aside. It is refused where the entry is gone.
fn set_aside(
    index: DueIndex,
    member: &Member,
    what: &str,
    error: &CommitError,
    now: UnixMillis,
) -> Plan<()> {
    let name = name(index, member);
    let mut reason = error.to_string();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    let note = Note { at: now.0, what: what.to_owned(), reason, dropped: None };
    let mut plan = Plan::new();
    plan.demand((), Guard::MemberPresent(index.key(), member.clone()));
    plan.write(Write::RemoveMember(index.key(), member.clone()));
    plan.write(Write::Set(notes(), field(&name), encode(&note)));
    plan.write(Write::AddMember(names(), name.clone()));
    // It may have been dropped, and have come back by another way.
    plan.write(Write::RemoveMember(dropped_names(), name.clone()));
    plan.read(Read::HasMember(names(), name));
    plan
}

/// What became of items that were to be set aside. What somebody else did is nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetAside {
    /// Those that were.
    pub aside: Vec<Stuck>,
    /// Those that stay in the index, because too many are at fault at once.
    pub stuck: Vec<Stuck>,
    /// The store's failures: what became of those items is not known.
    pub failures: Vec<CommitError>,
}

impl SetAside {
    /// Counts it in what a sweep did.
    pub fn add_to(self, swept: &mut Swept) {
        swept.set_aside.extend(self.aside);
        swept.stuck.extend(self.stuck);
        for error in self.failures {
            swept.has_more = true;
            swept.failure.get_or_insert(error);
        }
    }
}

/// Sets entries of an index aside, all at once, but none of a partition that has too many.
pub async fn set_all_aside<B: Binding>(
    context: &Context<'_, B>,
    index: DueIndex,
    entries: Vec<(Place, Stuck)>,
) -> SetAside {
    let mut counts = BTreeMap::new();
    for (entry, _) in &entries {
        *counts.entry(entry.partition).or_insert(0_usize) += 1;
    }
    let (few, many): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(entry, _)| counts[&entry.partition] <= AT_ONCE_MAX);
    let plan = |(Place { member, partition }, Stuck { place, error }): &(Place, Stuck)| {
        (*partition, set_aside(index, member, place, error, context.now))
    };
    let results = context.commit_some(few.iter().map(plan).collect()).await;
    let stuck = many.into_iter().map(|(_, stuck)| stuck).collect();
    let mut done = SetAside { stuck, ..SetAside::default() };
    for ((_, stuck), result) in few.into_iter().zip(results) {
        match result {
            Ok(Ok(_)) => done.aside.push(stuck),
            // The store was asked twice, or somebody else set it aside.
            Ok(Err(refused)) if refused.reads == [Answer::Contains(true)] => {
                done.aside.push(stuck);
            }
            Ok(Err(_)) => {}
            Err(error) => done.failures.push(error),
        }
    }
    done
}

/// Reads how many entries of a partition are set aside.
pub fn count() -> Read {
    Read::Count(names(), Range::default())
}

/// How many entries of some partitions are set aside. Where the store fails with one, the sweep was interrupted.
pub async fn count_all<B: Binding>(
    context: &Context<'_, B>,
    partitions: impl Iterator<Item = Partition>,
    swept: &mut Swept,
) -> u64 {
    let answers = context.read_some(partitions.map(|one| (one, count())).collect()).await;
    let mut sum = 0;
    for answer in answers {
        match answer {
            Ok(Answer::Size(size)) => sum += size,
            Ok(_) => drop(swept.failure.get_or_insert_with(unexpected)),
            Err(error) => drop(swept.failure.get_or_insert(error)),
        }
    }
    sum
}

/// Reads whether an entry of an index is set aside, and whether it is dropped.
pub fn has(index: DueIndex, at: UnixMillis, what: &[u8]) -> [Read; 2] {
    let name = name(index, &due::member(at, what));
    [Read::HasMember(names(), name.clone()), Read::HasMember(dropped_names(), name)]
}

/// Reads a page of a list of names, of the entries of one index, behind one of them.
pub fn page_of(list: OrderedKey, index: DueIndex, after: Option<Member>, most: u32) -> Read {
    let prefix = |last: u8| Member([index.0.as_bytes(), &[last]].concat());
    let after = after.unwrap_or_else(|| prefix(SEPARATOR));
    Read::Page(list, Range { after: Some(after), below: Some(prefix(SEPARATOR + 1)) }, most)
}

/// What is in a list of names - [`names`] or [`dropped_names`] - of all partitions, behind a place; and whether there
/// may be more.
///
/// # Errors
/// The store's.
pub async fn list<B: Binding>(
    context: &Context<'_, B>,
    list: &OrderedKey,
    after: Option<&Place>,
    most: usize,
) -> Result<(Vec<Item>, bool), CommitError> {
    let (places, has_more) = listing::list(context, list, after, most).await?;
    let note = |one: &Place| (one.partition, Read::Fields(notes(), vec![field(&one.member)]));
    let answers = context.read_all(places.iter().map(note).collect()).await?;
    let items = places.into_iter().zip(&answers).map(|(place, answer)| {
        let note = fields(Some(answer))?.first().and_then(Option::as_ref);
        Ok(Item { place, note: note.and_then(|note| decode(note).ok()) })
    });
    Ok((items.collect::<Result<_, CommitError>>()?, has_more))
}

/// What an operator does with something that is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// It is put back into its index, and tried by the next sweep. Also what was dropped.
    Retry,
    /// Nobody is to do it, for this reason.
    Drop(&'a str),
}

/// Retries or drops something: what was known of it; nothing where it is not here (any more).
///
/// # Errors
/// `Unreadable` where its name does not say from which index it comes; the store's.
pub async fn act<B: Binding>(
    context: &Context<'_, B>,
    place: &Place,
    act: Act<'_>,
) -> Result<Option<Item>, CommitError> {
    let Place { member: name, partition } = place;
    let reads = || {
        vec![
            Read::HasMember(names(), name.clone()),
            Read::HasMember(dropped_names(), name.clone()),
            Read::Fields(notes(), vec![field(name)]),
        ]
    };
    let (index, member) = entry(name).ok_or_else(unexpected)?;
    let answers = context.read(*partition, reads()).await?;
    let [Answer::Contains(is_aside), Answer::Contains(is_dropped), note] = &answers[..] else {
        return Err(unexpected());
    };
    let stored = fields(Some(note))?.first().cloned().flatten();
    let known = stored.as_ref().and_then(|note| decode::<Note>(note).ok());
    let item = Item { place: place.clone(), note: known };
    let list = match (is_aside, is_dropped, act) {
        (true, _, _) => names(),
        (false, true, Act::Retry) => dropped_names(),
        (false, true, Act::Drop(_)) => return Ok(Some(item)),
        (false, false, _) => return Ok(None),
    };
    let mut plan = Plan::new();
    plan.demand((), Guard::MemberPresent(list.clone(), name.clone()));
    plan.demand(
        (),
        match &stored {
            Some(stored) => Guard::FieldEquals(notes(), field(name), stored.clone()),
            None => Guard::FieldAbsent(notes(), field(name)),
        },
    );
    plan.write(Write::RemoveMember(list, name.clone()));
    // Where it is afterwards.
    let done = match act {
        Act::Retry => {
            plan.write(Write::Unset(notes(), field(name)));
            plan.write(Write::AddMember(index.clone(), member.clone()));
            Read::HasMember(index, member)
        }
        Act::Drop(reason) => {
            let unknown = || Note { at: context.now.0, ..Note::default() };
            let note = item.note.clone().unwrap_or_else(unknown);
            let note = Note { dropped: Some(reason.to_owned()), ..note };
            plan.write(Write::Set(notes(), field(name), encode(&note)));
            plan.write(Write::AddMember(dropped_names(), name.clone()));
            Read::HasMember(dropped_names(), name.clone())
        }
    };
    plan.read(done);
    match context.commit(*partition, plan).await? {
        Ok(_) => Ok(Some(item)),
        // The store was asked twice and met its own first commit, or somebody else did the same.
        Err(refused) if refused.reads == [Answer::Contains(true)] => Ok(Some(item)),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use binding::memory::Memory;
    use domain::answers;
    use domain::transaction::{Outcome, Transaction};
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
        let all = |of: OrderedKey| block_on(list(&context, &of, None, 9)).unwrap();
        let (items, has_more) = all(names());
        assert_eq!((items.len(), has_more), (3, false));
        // Page by page.
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let (page, has_more) = block_on(list(&context, &names(), after.as_ref(), 2)).unwrap();
            after = page.last().map(|item: &Item| item.place.clone());
            pages.extend(page);
            if !has_more {
                break;
            }
        }
        assert_eq!(pages, items);
        let note = items[0].note.as_ref().expect("it has a note");
        assert_eq!((note.at, note.what.as_str(), note.reason.len()), (5, "a thing", 400));
        let of =
            |index| block_on(context.read(home, vec![page_of(names(), index, None, 9)])).unwrap();
        let page = answers::page(of(INDEX).first()).unwrap().clone();
        assert_eq!(page.members, [name(INDEX, &one), name(INDEX, &two)]);

        let act = |name: &Member, what| {
            let place = Place { member: name.clone(), partition: home };
            block_on(act(&context, &place, what)).unwrap()
        };
        let [one_aside, two_aside] = [name(INDEX, &one), name(INDEX, &two)];
        assert!(act(&one_aside, Act::Retry).is_some());
        assert_eq!((act(&one_aside, Act::Retry), act(&one_aside, Act::Drop("no"))), (None, None));
        assert!(act(&two_aside, Act::Drop("paid")).is_some());
        let (dropped, _) = all(dropped_names());
        let reason = |item: &Item| item.note.as_ref().and_then(|note| note.dropped.clone());
        assert_eq!(dropped.iter().map(reason).collect::<Vec<_>>(), [Some("paid".to_owned())]);
        assert_eq!(act(&two_aside, Act::Drop("again")), Some(dropped[0].clone()));
        assert_eq!(all(names()).0.len(), 1);
        let left = || {
            let reads = vec![INDEX.page_of_all(None, 9), count()];
            block_on(context.read(home, reads)).unwrap()
        };
        let members = |answers: &[Answer]| answers::page(answers.first()).unwrap().members.clone();
        assert_eq!((members(&left()), left()[1].clone()), (vec![one.clone()], Answer::Size(1)));
        // Even what was dropped comes back.
        assert!(act(&two_aside, Act::Retry).is_some());
        assert_eq!((members(&left()), all(dropped_names()).0.len()), (vec![one, two], 0));
    }

    #[test]
    fn a_drop_that_comes_late_does_not_take_what_was_set_aside_again() {
        let store = Memory::new();
        let home = Partition::DESCRIPTION;
        let member = Member::from("one");
        let aside = |now| {
            let context = context(&store, now);
            let error = CommitError::Unreadable("no".into());
            block_on(context.write(home, [Write::AddMember(INDEX.key(), member.clone())])).unwrap();
            let plan = set_aside(INDEX, &member, "a thing", &error, context.now);
            assert!(block_on(context.commit(home, plan)).unwrap().is_ok());
        };
        aside(1);
        let late = Late { store: &store, held: RefCell::default() };
        let place = Place { member: name(INDEX, &member), partition: home };
        let late_context = context(&late, 2);
        assert!(block_on(act(&late_context, &place, Act::Drop("no"))).is_err());
        let context = context(&store, 3);
        assert!(block_on(act(&context, &place, Act::Retry)).unwrap().is_some());
        aside(4);
        // Now it arrives.
        let (partition, transaction) = late.held.take().expect("a commit is under way");
        let outcome = block_on(store.commit(partition, &transaction)).unwrap();
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
        assert_eq!(block_on(list(&context, &names(), None, 9)).unwrap().0.len(), 1);
    }

    /// A store that keeps what writes, and says that it does not know.
    struct Late<'a> {
        store: &'a Memory,
        held: RefCell<Option<(Partition, Transaction)>>,
    }

    impl Binding for Late<'_> {
        async fn commit(
            &self,
            partition: Partition,
            transaction: &Transaction,
        ) -> Result<Outcome, CommitError> {
            if transaction.is_read_only() {
                return self.store.commit(partition, transaction).await;
            }
            *self.held.borrow_mut() = Some((partition, transaction.clone()));
            Err(CommitError::Unknown("late".into()))
        }
    }

    #[test]
    fn where_many_are_at_fault_at_once_none_is_set_aside() {
        let store = Memory::new();
        let context = context(&store, 0);
        let partition = Partition::DESCRIPTION;
        for (count, aside) in [(AT_ONCE_MAX, AT_ONCE_MAX), (AT_ONCE_MAX + 1, 0)] {
            let entry = |number: usize| {
                let member = Member::from(format!("{count}.{number}").as_str());
                let error = CommitError::Unreadable("no".into());
                (Place { member, partition }, Stuck { place: String::new(), error })
            };
            let entries: Vec<_> = (0..count).map(entry).collect();
            let add =
                |(entry, _): &(Place, Stuck)| Write::AddMember(INDEX.key(), entry.member.clone());
            block_on(context.write(partition, entries.iter().map(add))).unwrap();
            let done = block_on(set_all_aside(&context, INDEX, entries));
            assert_eq!((done.aside.len(), done.stuck.len()), (aside, count - aside));
            assert_eq!(done.failures, []);
        }
    }
}
