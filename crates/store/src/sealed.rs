//! Configuration that is over for good: it is sealed, then taken away, and its name never comes back.
//!
//! # How a name is sealed
//!
//! 1. *The seal.* Once nothing can act by it any more, and long after that, one commit in the home of the configuration
//!    demands what was seen there and writes [`SEALED`]: the short record that is kept of it. From then on nobody publishes
//!    under the name ([`Place::demand_open`]), and whoever tries is told `sealed`.
//! 2. *A day.* Units that were on their way between pool and partitions have arrived after minutes. So nothing is taken away
//!    before [`WAIT_MS`] have passed.
//! 3. *The copy* goes, so that nobody reads it any more.
//! 4. *The list.* One commit takes the name out of the list of its kind and puts the short record into the archive. From
//!    then on it is not among those that live, by which others are collected.
//! 5. What only the owner knows: leases, accounts, batches, whatever lies beside it. Where that lies in many partitions it goes
//!    on this day and once more on the next one: a partition that failed over may have forgotten that it went.
//! 6. *The home* goes.
//! 7. The due entry, by which all of this is found, goes last.
//!
//! The commits of 3, 4 and 6 leave a *mark*: a hash of the name in a set of their partition, about eight bytes, for ever. Who
//! publishes a first version, and who lets copy and list follow, demands in each partition that it is not there.
//!
//! A short record is kept for as long as operators say, and goes with its own due entry.
//!
//! # What can go wrong
//!
//! 1. A crash anywhere leaves the due entry; the next call does all steps again, and each is done once: it demands what it
//!    takes away, or takes away what cannot come back.
//! 2. Somebody publishes meanwhile. Before the seal: it demands the version that was seen, and is refused. Behind it: the
//!    guards of the home refuse the version. There is no moment with neither, because the mark enters in the commit in which
//!    the seal goes.
//! 3. A version was published and its publisher died before the others followed: the home counts, here as well. What follows
//!    late, however late, is put back and taken away again as long as its step is not done, and refused by its mark
//!    afterwards. A due entry that it leaves is taken out when it is due.
//! 4. A step comes late: the seal demands its version, and none was published since; the move into the archive demands the
//!    name in the list; the home demands the seal that was seen. None of these comes back.
//! 5. Two names with one hash: the second is refused, and never gives anything. Another one serves.
//! 6. What cannot be read stays, keeps nothing else, and is told.

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::due::{Due, DueIndex, Swept};
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Field, Guard, MapKey, Member, OrderedKey, READ_FIELDS_MAX, Range, Read,
    SetKey, Write,
};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use crate::codec::{Form, Record, decode, encode};
use crate::context::Context;
use crate::plan::Plan;
use crate::retention::Terms;
use crate::sweep::{Fault, Sweep};

/// A field of a home: the seal, which is the [`Archived`] of it.
pub const SEALED: &str = "sealed";
/// So long after the seal no unit is on its way between a pool and its partitions any more.
pub const WAIT_MS: i64 = DAY_MS;
/// When what cannot be sealed yet is looked at again.
const AGAIN_MS: i64 = DAY_MS;
const DAY_MS: i64 = 86_400_000;
/// Of one kind that one call seals, takes away or archives.
const DONE_MAX: u64 = 16;
/// Of one kind that one call passes over: each may take a wave or two over all partitions, and is due again a day later.
const PASSED_OVER_MAX: u64 = 64;
/// The key of hashes. It spreads them, and is no secret.
const HASH_KEY: [u8; 16] = *b"hongbao sealed\x01\x01";
/// The set of hashes of a partition.
const NAMES: &str = "xs";

/// Of what a name is. Names of different kinds have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A template of coupons.
    Template,
    /// A group-buy campaign.
    Campaign,
    /// A rain.
    Rain,
    /// An activity and a scene, which are one rain's.
    SceneOfRain,
    /// An activity of promotions.
    Activity,
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Self::Template => 't',
            Self::Campaign => 'g',
            Self::Rain => 'r',
            Self::SceneOfRain => 's',
            Self::Activity => 'a',
        }
    }

    /// The place of a name in the set of its partition.
    fn hash(self, name: &str, partitions: Partitions) -> u64 {
        let text = format!("{}{name}", self.letter());
        SipHasher24::new_with_key(&HASH_KEY).hash(text.as_bytes()) >> partitions.bits()
    }

    /// Demands that a name was never sealed and taken away, in the partition of its home.
    pub fn demand_unused(self, name: &str, partitions: Partitions) -> Guard {
        Guard::IdAbsent(NAMES.into(), self.hash(name, partitions))
    }

    /// Reads whether it was.
    pub fn read_used(self, name: &str, partitions: Partitions) -> Read {
        Read::Contains(NAMES.into(), self.hash(name, partitions))
    }

    /// Says so, in the commit that takes its home away.
    pub fn mark_used(self, name: &str, partitions: Partitions) -> Write {
        Write::Insert(NAMES.into(), self.hash(name, partitions))
    }
}

/// The set of hashes, for whoever counts what the store holds.
pub fn names() -> SetKey {
    NAMES.into()
}

/// What is kept of configuration that was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archived {
    /// Its last version.
    pub version: i64,
    /// When it was sealed.
    pub sealed_at: UnixMillis,
    /// The activity it belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// The scene.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<String>,
    /// The template of its reward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// From when on it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<UnixMillis>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
    /// Units that there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Units that were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<i64>,
    /// Units of them that were posted. Where they are fewer some were lost, and never came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posted: Option<i64>,
}

impl Archived {
    /// Of what nothing more is known than its version.
    pub fn of(version: i64, sealed_at: UnixMillis) -> Self {
        Self {
            version,
            sealed_at,
            activity: None,
            scene: None,
            template: None,
            from: None,
            until: None,
            total: None,
            given: None,
            posted: None,
        }
    }
}

impl Record for Archived {
    const NAME: &'static str = "the short record of what was sealed";
    const FORM: Form = Form::Json;
}

/// Where what is sealed of a kind is found and kept, beside the list of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The kind.
    pub kind: Kind,
    /// Names by the moment at which nothing of them can act any more. One whose moment was changed may stand at the
    /// former one, too: whoever meets it asks the home.
    pub due: DueIndex,
    /// The map of short records: name -> [`Archived`].
    pub records: &'static str,
    /// Names by the moment of their seal, as long as there is a short record.
    pub ends: DueIndex,
}

/// Where configuration of one name lies, for its sealing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name among those of its kind.
    pub id: String,
    /// The record that decides.
    pub home: (Partition, MapKey),
    /// The partition of the list and of the archive.
    pub lists: Partition,
    /// The list of its kind.
    pub list: OrderedKey,
    /// Where it is archived.
    pub archive: Archive,
}

/// Whether a name is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seal {
    /// It is not.
    Open,
    /// It is, and this will be kept of it.
    Sealed(Box<Archived>),
    /// It is, and its home is gone.
    Gone,
}

impl Place {
    fn field(&self) -> Field {
        SEALED.into()
    }

    /// Demands in the home that it is not sealed.
    pub fn demand_open(&self, partitions: Partitions) -> [Guard; 2] {
        [Guard::FieldAbsent(self.home.1.clone(), self.field()), self.demand_unused(partitions)]
    }

    /// Demands beside the list that its name was never taken out of it.
    pub fn demand_unused(&self, partitions: Partitions) -> Guard {
        self.archive.kind.demand_unused(&self.id, partitions)
    }

    /// Whether it is sealed: one read of its home.
    ///
    /// # Errors
    /// The store's.
    pub async fn look<B: Binding>(&self, context: &Context<'_, B>) -> Result<Seal, CommitError> {
        let reads = vec![
            Read::Fields(self.home.1.clone(), vec![self.field()]),
            self.archive.kind.read_used(&self.id, context.partitions),
        ];
        let answers = context.read(self.home.0, reads).await?;
        match (fields(answers.first())?, answers.get(1)) {
            ([Some(seal)], _) => Ok(Seal::Sealed(Box::new(decode(seal)?))),
            ([None], Some(Answer::Contains(true))) => Ok(Seal::Gone),
            ([None], Some(Answer::Contains(false))) => Ok(Seal::Open),
            _ => Err(unexpected()),
        }
    }

    /// Whether it is sealed, and its home still there or gone.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_sealed<B: Binding>(
        &self,
        context: &Context<'_, B>,
    ) -> Result<bool, CommitError> {
        Ok(self.look(context).await? != Seal::Open)
    }

    /// Puts the seal into a plan for the home, which demands beside that what was seen there (step 1).
    pub fn seal<R: Copy>(
        &self,
        plan: &mut Plan<R>,
        why: R,
        archived: &Archived,
        partitions: Partitions,
    ) {
        plan.demand_all(why, self.demand_open(partitions));
        plan.write(Write::Set(self.home.1.clone(), self.field(), encode(archived)));
    }

    /// Whether the name is in the list of its kind, so that step 4 is not done.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_listed<B: Binding>(
        &self,
        context: &Context<'_, B>,
        listed: &Member,
    ) -> Result<bool, CommitError> {
        let read = Read::HasMember(self.list.clone(), listed.clone());
        let answers = context.read(self.lists, vec![read]).await?;
        Ok(answers.first() == Some(&Answer::Contains(true)))
    }

    /// Moves the name from the list into the archive (step 4), where that is not done.
    ///
    /// # Errors
    /// The store's.
    pub async fn move_into_archive<B: Binding>(
        &self,
        context: &Context<'_, B>,
        listed: Member,
        archived: &Archived,
    ) -> Result<(), CommitError> {
        let Archive { records, ends, .. } = self.archive;
        let mut plan = Plan::new();
        plan.demand((), Guard::MemberPresent(self.list.clone(), listed.clone()));
        plan.write_all([
            Write::RemoveMember(self.list.clone(), listed),
            Write::Set(records.into(), self.record_field(), encode(archived)),
            ends.add(archived.sealed_at, self.id.as_bytes()),
            self.archive.kind.mark_used(&self.id, context.partitions),
        ]);
        // Refused, it is done.
        context.commit(self.lists, plan).await.map(drop)
    }

    fn record_field(&self) -> Field {
        self.id.as_str().into()
    }

    /// Takes the home away and marks the name as used (step 6); whether this was the one who did.
    ///
    /// # Errors
    /// The store's.
    pub async fn take_home<B: Binding>(
        &self,
        context: &Context<'_, B>,
        archived: &Archived,
    ) -> Result<bool, CommitError> {
        let (partition, map) = &self.home;
        let mut plan = Plan::new();
        plan.demand((), Guard::FieldEquals(map.clone(), self.field(), encode(archived)));
        plan.write(Write::Drop(map.clone()));
        plan.write(self.archive.kind.mark_used(&self.id, context.partitions));
        Ok(context.commit(*partition, plan).await?.is_ok())
    }

    /// What was kept of it, as long as that is kept.
    ///
    /// # Errors
    /// The store's.
    pub async fn archived<B: Binding>(
        &self,
        context: &Context<'_, B>,
    ) -> Result<Option<Archived>, CommitError> {
        let read = Read::Fields(self.archive.records.into(), vec![self.record_field()]);
        let answers = context.read(self.lists, vec![read]).await?;
        match fields(answers.first())? {
            [value] => value.as_ref().map(decode).transpose(),
            _ => Err(unexpected()),
        }
    }
}

/// What became of the look at one that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It is not over before this moment.
    Later(UnixMillis),
    /// It is over, and cannot be sealed or taken away yet: something of it is out, or was under way a moment ago.
    Waits,
    /// It is sealed now, or would be.
    Sealed,
    /// It is gone now, or would be.
    Gone,
    /// Nothing is left of it but its due entry.
    Nothing,
}

/// What a call did with configuration that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealing {
    /// How many were sealed, or would be.
    pub sealed: u64,
    /// How many of them are gone now, or would be.
    pub gone: u64,
    /// How many are over and wait: something is out of them, or a day after the seal has not passed.
    pub waiting: u64,
    /// How many short records are gone now, or would be.
    pub archives: u64,
    /// What the sweeps met: `done` counts what of it was done.
    pub swept: Swept,
}

impl Sealing {
    /// Adds what a call did with another kind.
    pub fn add(&mut self, other: Self) {
        self.sealed += other.sealed;
        self.gone += other.gone;
        self.waiting += other.waiting;
        self.archives += other.archives;
        self.swept.add(other.swept);
    }
}

impl Archive {
    /// Looks at what of a kind has been over for as long as configuration is kept, the oldest first, and moves its due
    /// entries on. `look` seals one, or takes it away, and in a dry run only says what would come of it.
    ///
    /// # Errors
    /// The store's, where it failed before anything was done or found. What cannot be read stops only itself.
    pub async fn seal_due<B: Binding>(
        &self,
        context: &Context<'_, B>,
        lists: Partition,
        name: &'static str,
        terms: &Terms,
        mut look: impl AsyncFnMut(&str) -> Result<Looked, CommitError>,
    ) -> Result<Sealing, CommitError> {
        let mut sealing = Sealing::default();
        let until = terms.configuration_until();
        let partitions = [lists];
        let sweep = sweep(self.due, name, &partitions, until, terms);
        let act = async |due: Due<'_>| -> Result<bool, Fault> {
            let id = std::str::from_utf8(due.what).map_err(|_| unexpected())?;
            let looked = look(id).await?;
            let again = UnixMillis(until.0.saturating_add(AGAIN_MS));
            let (to, count) = match looked {
                Looked::Later(at) => (Some(at.max(UnixMillis(until.0.saturating_add(1)))), None),
                Looked::Waits => (Some(again), Some(&mut sealing.waiting)),
                Looked::Sealed => (Some(again), Some(&mut sealing.sealed)),
                Looked::Gone => (None, Some(&mut sealing.gone)),
                Looked::Nothing => (None, None),
            };
            if let Some(count) = count {
                *count += 1;
            }
            if !terms.dry_run {
                self.move_entry(context, lists, due, to).await?;
            }
            Ok(matches!(looked, Looked::Sealed | Looked::Gone))
        };
        sealing.swept = sweep.each(context, act).await?;
        Ok(sealing)
    }

    /// Moves a due entry, or takes it out (step 7).
    async fn move_entry<B: Binding>(
        &self,
        context: &Context<'_, B>,
        lists: Partition,
        Due { at: from, what }: Due<'_>,
        to: Option<UnixMillis>,
    ) -> Result<(), CommitError> {
        let mut plan = Plan::new();
        plan.demand((), self.due.demand(from, what));
        plan.write(self.due.remove(from, what));
        plan.write_all(to.map(|to| self.due.add(to, what)));
        // Refused, somebody else moved it.
        context.commit(lists, plan).await.map(drop)
    }

    /// Takes short records away that were kept long enough. `before` does what is to be done before one goes.
    ///
    /// # Errors
    /// The store's, where it failed before anything was done or found. What cannot be read stops only itself.
    pub async fn end<B: Binding>(
        &self,
        context: &Context<'_, B>,
        lists: Partition,
        name: &'static str,
        terms: &Terms,
        mut before: impl AsyncFnMut(&str, &Archived) -> Result<(), CommitError>,
    ) -> Result<Sealing, CommitError> {
        let partitions = [lists];
        let sweep = sweep(self.ends, name, &partitions, terms.archive_until(), terms);
        let act = async |due: Due<'_>| -> Result<bool, Fault> {
            if terms.dry_run {
                return Ok(true);
            }
            let id = std::str::from_utf8(due.what).map_err(|_| unexpected())?;
            let (map, field): (MapKey, Field) = (self.records.into(), id.into());
            let read = Read::Fields(map.clone(), vec![field.clone()]);
            let answers = context.read(lists, vec![read]).await?;
            let stored = fields(answers.first())?.first().cloned().flatten();
            let archived = stored.as_ref().map(decode::<Archived>).transpose()?;
            if let Some(archived) = &archived {
                before(id, archived).await?;
            }
            let mut plan = Plan::new();
            plan.demand((), self.ends.demand(due.at, due.what));
            plan.write(self.ends.remove(due.at, due.what));
            plan.write(Write::Unset(map, field));
            context.commit(lists, plan).await?.ok();
            Ok(archived.is_some())
        };
        let swept = sweep.each(context, act).await?;
        Ok(Sealing { archives: swept.done, swept, ..Sealing::default() })
    }
}

fn sweep<'a>(
    index: DueIndex,
    name: &'static str,
    partitions: &'a [Partition],
    until: UnixMillis,
    terms: &Terms,
) -> Sweep<'a> {
    Sweep {
        index,
        name,
        partitions,
        until,
        looks_ahead: false,
        sets_aside: !terms.dry_run,
        done_max: DONE_MAX,
        passed_over_max: PASSED_OVER_MAX,
    }
}

/// All members of a list of what lives, page by page.
///
/// # Errors
/// The store's.
pub async fn list<B: Binding>(
    context: &Context<'_, B>,
    partition: Partition,
    list: &OrderedKey,
) -> Result<Vec<Member>, CommitError> {
    let (mut members, mut after) = (Vec::new(), None);
    loop {
        let read = Read::Page(list.clone(), Range { after, below: None }, READ_FIELDS_MAX);
        let answers = context.read(partition, vec![read]).await?;
        let page = domain::answers::page(answers.first())?;
        members.extend(page.members.iter().cloned());
        if !page.has_more {
            return Ok(members);
        }
        after = page.members.last().cloned();
    }
}

#[cfg(test)]
mod tests {
    use binding::memory::Memory;
    use domain::transaction::Value;
    use futures::executor::block_on;

    use super::*;
    use crate::context::tests::context;
    use crate::retention::Retention;

    const ARCHIVE: Archive =
        Archive { kind: Kind::Template, due: DueIndex("s"), records: "z", ends: DueIndex("y") };
    const KINDS: [Kind; 5] =
        [Kind::Template, Kind::Campaign, Kind::Rain, Kind::SceneOfRain, Kind::Activity];

    fn place<B: Binding>(context: &Context<'_, B>, id: &str) -> Place {
        let partition = |name| context.partitions.of_configuration(name);
        let (home, lists) = ((partition("home"), "p".into()), partition("lists"));
        Place { id: id.to_owned(), home, lists, list: "f".into(), archive: ARCHIVE }
    }

    fn terms(now: UnixMillis) -> Terms {
        Terms { retention: Retention::default(), now, dry_run: false }
    }

    #[test]
    fn a_name_is_used_for_its_kind_alone() {
        let store = Memory::new();
        let context = context(&store, 0);
        let home = context.partitions.of_configuration("home");
        for (place, kind) in KINDS.iter().enumerate() {
            block_on(context.write(home, [kind.mark_used("a", context.partitions)])).unwrap();
            let used = KINDS.map(|kind| {
                let reads = ["a", "b"].map(|name| kind.read_used(name, context.partitions));
                block_on(context.read(home, reads.to_vec())).unwrap()
            });
            for (of, answers) in used.into_iter().enumerate() {
                let expected = [Answer::Contains(of <= place), Answer::Contains(false)];
                assert_eq!(answers, expected, "{:?}", KINDS[of]);
            }
            let mut plan = Plan::new();
            plan.demand((), kind.demand_unused("a", context.partitions));
            assert!(block_on(context.commit(home, plan)).unwrap().is_err());
        }
    }

    #[test]
    fn a_list_is_read_to_its_end() {
        let store = Memory::new();
        let context = context(&store, 0);
        let lists = context.partitions.of_configuration("lists");
        assert_eq!(block_on(list(&context, lists, &"f".into())), Ok(vec![]));
        let most = READ_FIELDS_MAX as usize;
        for count in [most, most + 1, 2 * most + 1] {
            let add = |index: usize| {
                Write::AddMember("f".into(), Member(format!("{index:05}").into_bytes()))
            };
            for part in (0..count).collect::<Vec<_>>().chunks(most) {
                block_on(context.write(lists, part.iter().copied().map(add))).unwrap();
            }
            let found = block_on(list(&context, lists, &"f".into())).unwrap();
            assert_eq!(found.len(), count);
        }
    }

    #[test]
    fn a_short_record_that_cannot_be_read_is_told_and_keeps_no_other() {
        let store = Memory::new();
        let at = UnixMillis(1);
        let end = context(&store, 1_100 * DAY_MS + 1);
        let lists = end.partitions.of_configuration("lists");
        for id in ["a", "b"] {
            let place = place(&end, id);
            block_on(end.write(lists, [Write::AddMember("f".into(), id.into())])).unwrap();
            let archived = Archived { total: Some(7), ..Archived::of(3, at) };
            for _ in 0..2 {
                block_on(place.move_into_archive(&end, id.into(), &archived)).unwrap();
            }
            assert_eq!(block_on(place.archived(&end)), Ok(Some(archived)));
            assert_eq!(block_on(place.is_listed(&end, &id.into())), Ok(false));
        }
        let garbage = Write::Set("z".into(), "a".into(), Value::Integer(1));
        block_on(end.write(lists, [garbage])).unwrap();
        let mut seen = Vec::new();
        let before = async |id: &str, archived: &Archived| {
            seen.push((id.to_owned(), archived.total));
            Ok(())
        };
        let ended = block_on(ARCHIVE.end(&end, lists, "a record", &terms(end.now), before));
        let ended = ended.unwrap();
        assert_eq!((ended.archives, ended.swept.set_aside.len()), (1, 1), "{ended:?}");
        assert_eq!(seen, [("b".to_owned(), Some(7))]);
        assert_eq!(block_on(place(&end, "b").archived(&end)), Ok(None));
        assert!(block_on(place(&end, "a").archived(&end)).is_err());
    }

    #[test]
    fn what_is_not_over_is_looked_at_when_it_is() {
        let store = Memory::new();
        let now = UnixMillis(1_000 * DAY_MS);
        let context = context(&store, now.0);
        let lists = context.partitions.of_configuration("lists");
        let until = terms(now).configuration_until();
        let entries = |at: i64| [ARCHIVE.due.add(UnixMillis(at), b"a")];
        block_on(context.write(lists, entries(until.0))).unwrap();
        let run = |looked: Looked| {
            let mut looks = 0;
            let look = async |_: &str| {
                looks += 1;
                Ok(looked)
            };
            let sealing =
                block_on(ARCHIVE.seal_due(&context, lists, "a name", &terms(now), look)).unwrap();
            (looks, [sealing.sealed, sealing.gone, sealing.waiting])
        };
        let due = |at: i64| {
            let read = ARCHIVE.due.has(UnixMillis(at), b"a");
            let answers = block_on(context.read(lists, vec![read])).unwrap();
            answers == [Answer::Contains(true)]
        };
        for (looked, at, counts) in [
            (Looked::Later(UnixMillis(until.0 + 5)), until.0 + 5, [0, 0, 0]),
            // It says so of a moment at which it was looked at already.
            (Looked::Later(UnixMillis(0)), until.0 + 1, [0, 0, 0]),
            (Looked::Waits, until.0 + AGAIN_MS, [0, 0, 1]),
            (Looked::Sealed, until.0 + AGAIN_MS, [1, 0, 0]),
        ] {
            block_on(context.write(lists, entries(until.0))).unwrap();
            assert_eq!(run(looked), (1, counts), "{looked:?}");
            assert!(due(at) && !due(until.0), "{looked:?}");
            block_on(context.write(lists, [ARCHIVE.due.remove(UnixMillis(at), b"a")])).unwrap();
            assert_eq!(run(looked), (0, [0; 3]));
        }
        for (looked, counts) in [(Looked::Gone, [0, 1, 0]), (Looked::Nothing, [0; 3])] {
            block_on(context.write(lists, entries(until.0))).unwrap();
            assert_eq!((run(looked), run(looked)), ((1, counts), (0, [0; 3])));
        }
    }

    #[test]
    fn a_call_looks_at_some_and_the_next_one_at_others() {
        let store = Memory::new();
        let now = UnixMillis(1_000 * DAY_MS);
        let context = context(&store, now.0);
        let lists = context.partitions.of_configuration("lists");
        let until = terms(now).configuration_until();
        let names = 0..200;
        let add = |index: u32| ARCHIVE.due.add(until, index.to_string().as_bytes());
        block_on(context.write(lists, names.map(add))).unwrap();
        let (mut looks, mut calls) = (Vec::new(), 0);
        loop {
            let before = looks.len();
            let look = async |id: &str| {
                looks.push(id.to_owned());
                Ok(Looked::Waits)
            };
            let sealing =
                block_on(ARCHIVE.seal_due(&context, lists, "a name", &terms(now), look)).unwrap();
            calls += 1;
            let looked = (looks.len() - before) as u64;
            assert!(looked <= PASSED_OVER_MAX && sealing.waiting == looked, "{sealing:?}");
            if !sealing.swept.has_more {
                break;
            }
        }
        looks.sort();
        looks.dedup();
        assert_eq!((looks.len(), calls), (200, 4));
    }
}
