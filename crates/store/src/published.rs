//! Configuration that operators publish, version by version, and everybody reads.
//!
//! Records in up to three partitions:
//! - the *home*: what was published last, and its version. It decides: a version is written there on the condition
//!   that the one before it is the one that was seen. Its owner may keep fields of their own beside it.
//! - an entry of a *list*, by which all of a kind are found
//! - an entry of a *due index*, by which it is found once it is over, and of another one, by which it is found once
//!   nothing of it can act any more ([`crate::sealed`])
//! - the *copy*, which everybody reads, so that they leave the home alone. It follows the home, and never goes back
//!   to an older version.
//!
//! A crash between them leaves the home ahead of the others. Whoever publishes was told nothing and does it again:
//! the same again is the same version, and the others follow then ([`Publication::follow`]). What instances read of
//! the copy they keep for a moment ([`crate::cache`]).

use std::marker::PhantomData;

use binding::Binding;
use domain::answers::{fields, integer, unexpected};
use domain::due::DueIndex;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Field, Guard, INTEGER_MAX, MapKey, Member, OrderedKey, Read, Value, Write,
};
use serde::de::DeserializeOwned;

use crate::codec::{Record, decode, encode};
use crate::context::Context;
use crate::plan::Plan;
use crate::sealed::{self, Archive, Archived};

/// A field of home and copy: what was published.
pub const BODY: &str = "body";
/// A field of home and copy: its version, counted from 1.
pub const VERSION: &str = "version";

/// A field of the home: when nothing of what was published so far can act any more, in unix milliseconds. It only grows.
pub const SETTLED: &str = "settled";

/// What can be published.
pub trait Configuration: Record + DeserializeOwned {
    /// As what it is listed among all of its kind.
    fn listed(&self, id: &str) -> Member;

    /// When it is over: nothing is given any more.
    fn over_at(&self) -> UnixMillis;

    /// When nothing of it can act any more, as far as this version says.
    fn settled_at(&self) -> UnixMillis;
}

/// A version of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version<T> {
    /// Counted from 1.
    pub number: i64,
    /// What it says.
    pub record: T,
}

/// Where a configuration lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication<T> {
    /// Its name among those of its kind.
    pub id: String,
    /// The record that decides.
    pub home: (Partition, MapKey),
    /// The record that everybody reads.
    pub copy: (Partition, MapKey),
    /// The partition of both lists.
    pub lists: Partition,
    /// Where all of its kind are listed.
    pub list: OrderedKey,
    /// Where its name stands by the moment at which it is over. Where that was another moment once, it
    /// stands there, too.
    pub over: DueIndex,
    /// Where it is found once nothing of it can act, and what is kept of it then.
    pub archive: Archive,
    /// What is published.
    pub kind: PhantomData<fn() -> T>,
}

/// The fields that home and copy both have, in front of others.
fn own(others: &[&str]) -> Vec<Field> {
    [BODY, VERSION].iter().chain(others).map(|name| Field::from(*name)).collect()
}

/// The version of an answer that begins with [`BODY`] and [`VERSION`]; nothing where nothing was published.
///
/// # Errors
/// It cannot be read.
pub fn version<T: Record + DeserializeOwned>(
    answer: Option<&Answer>,
) -> Result<Option<Version<T>>, CommitError> {
    match fields(answer)? {
        [None, _, ..] => Ok(None),
        [Some(body), number, ..] => {
            Ok(Some(Version { number: integer(number.as_ref())?, record: decode(body)? }))
        }
        _ => Err(unexpected()),
    }
}

impl<T: Configuration> Publication<T> {
    /// What the home says, and integers that its owner keeps there.
    ///
    /// # Errors
    /// It cannot be read; the store's.
    pub async fn find<B: Binding, const N: usize>(
        &self,
        context: &Context<'_, B>,
        others: [&str; N],
    ) -> Result<Option<(Version<T>, [i64; N])>, CommitError> {
        let (partition, map) = &self.home;
        let read = Read::Fields(map.clone(), own(&others));
        let answers = context.read(*partition, vec![read]).await?;
        let Some(version) = version(answers.first())? else { return Ok(None) };
        let mut integers = [0; N];
        for (integer, value) in integers.iter_mut().zip(&fields(answers.first())?[2..]) {
            *integer = self::integer(value.as_ref())?;
        }
        Ok(Some((version, integers)))
    }

    /// What the copy says.
    ///
    /// # Errors
    /// It cannot be read; the store's.
    pub async fn find_copy<B: Binding>(
        &self,
        context: &Context<'_, B>,
    ) -> Result<Option<Version<T>>, CommitError> {
        let (partition, map) = &self.copy;
        let read = Read::Fields(map.clone(), own(&[]));
        version(context.read(*partition, vec![read]).await?.first())
    }

    /// Demands that the home still says this; nothing, where nothing was published.
    pub fn unchanged(&self, seen: Option<&Version<T>>) -> Guard {
        let (map, field) = (self.home.1.clone(), VERSION.into());
        match seen {
            None => Guard::FieldAbsent(map, field),
            Some(seen) => Guard::FieldEquals(map, field, Value::Integer(seen.number)),
        }
    }

    /// Puts the version after the one that was seen into a plan for the home; its number. Where somebody else
    /// published meanwhile, or it was sealed, the plan is refused, and `changed` is why.
    pub fn replace<R: Copy>(
        &self,
        plan: &mut Plan<R>,
        changed: R,
        seen: Option<&Version<T>>,
        record: &T,
        partitions: Partitions,
    ) -> i64 {
        let number = seen.map_or(1, |seen| seen.number + 1);
        plan.demand(changed, self.unchanged(seen));
        plan.demand_all(changed, self.sealing().demand_open(partitions));
        plan.write_all(writes(&self.home.1, number, record));
        number
    }

    /// Puts into a plan that replaces a version when nothing of what was published so far can act any more: not before the
    /// end of any version, whose copies may still be read, and not before now. `settled` is what [`SETTLED`] said with the
    /// version that was seen.
    pub fn remember<R>(
        &self,
        plan: &mut Plan<R>,
        seen: Option<&Version<T>>,
        settled: i64,
        now: UnixMillis,
    ) {
        let of_seen = seen.map_or(now, |seen| seen.record.settled_at());
        let settled = Value::Integer(settled.max(of_seen.0).max(now.0).min(INTEGER_MAX));
        plan.write(Write::Set(self.home.1.clone(), SETTLED.into(), settled));
    }

    /// Lets the lists and the copy follow the home, which has this version. Where the copy has a later one it stays.
    ///
    /// # Errors
    /// `Unavailable` where it was sealed and taken away meanwhile; the store's. Then it is to be done again.
    pub async fn follow<B: Binding>(
        &self,
        context: &Context<'_, B>,
        number: i64,
        record: &T,
    ) -> Result<(), CommitError> {
        let is_gone = || CommitError::Unavailable(format!("{} is sealed meanwhile", T::NAME));
        let unused = || self.archive.kind.demand_unused(&self.id, context.partitions);
        // First: what can be read can be found.
        let mut plan = Plan::new();
        plan.demand((), unused());
        plan.write_all([
            Write::AddMember(self.list.clone(), record.listed(&self.id)),
            self.over.add(record.over_at(), self.id.as_bytes()),
            self.archive.due.add(record.settled_at(), self.id.as_bytes()),
        ]);
        context.commit(self.lists, plan).await?.map_err(|_| is_gone())?;
        let (partition, map) = &self.copy;
        let mut plan = Plan::new();
        plan.demand(true, unused());
        plan.demand(false, Guard::IntegerAtMost(map.clone(), VERSION.into(), number - 1));
        plan.write_all(writes(map, number, record));
        match context.commit(*partition, plan).await? {
            Err(refused) if refused.why => Err(is_gone()),
            // Refused, it has this version or a later one.
            _ => Ok(()),
        }
    }

    /// Where it is sealed.
    pub fn sealing(&self) -> sealed::Place {
        sealed::Place {
            id: self.id.clone(),
            home: self.home.clone(),
            lists: self.lists,
            list: self.list.clone(),
            archive: self.archive,
        }
    }

    /// Seals the version that was seen ([`crate::sealed`], step 1), on these conditions as well; whether it was sealed.
    ///
    /// # Errors
    /// The store's.
    pub async fn seal<B: Binding>(
        &self,
        context: &Context<'_, B>,
        seen: &Version<T>,
        conditions: impl IntoIterator<Item = Guard>,
        archived: &Archived,
    ) -> Result<bool, CommitError> {
        let mut plan = Plan::new();
        plan.demand((), self.unchanged(Some(seen))).demand_all((), conditions);
        self.sealing().seal(&mut plan, (), archived, context.partitions);
        Ok(context.commit(self.home.0, plan).await?.is_ok())
    }

    /// Takes the copy away, so that none follows any more (step 3).
    ///
    /// # Errors
    /// The store's.
    pub async fn take_copy<B: Binding>(&self, context: &Context<'_, B>) -> Result<(), CommitError> {
        let (partition, map) = &self.copy;
        let mark = self.archive.kind.mark_used(&self.id, context.partitions);
        context.write(*partition, [Write::Drop(map.clone()), mark]).await
    }
}

fn writes<T: Record>(map: &MapKey, number: i64, record: &T) -> [Write; 2] {
    [
        Write::Set(map.clone(), BODY.into(), encode(record)),
        Write::Set(map.clone(), VERSION.into(), Value::Integer(number)),
    ]
}

#[cfg(test)]
mod tests {
    use binding::memory::{Interrupted, Memory};
    use domain::answers;
    use domain::due::due;
    use domain::transaction::{Range, Transaction};
    use futures::FutureExt as _;
    use futures::executor::block_on;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::codec::unreadable;
    use crate::context::tests::context;

    const OVER: DueIndex = DueIndex("o");

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Rule(String, i64);

    impl Record for Rule {
        const NAME: &'static str = "a rule";
    }

    impl Configuration for Rule {
        fn listed(&self, id: &str) -> Member {
            id.into()
        }

        fn over_at(&self) -> UnixMillis {
            UnixMillis(self.1)
        }

        fn settled_at(&self) -> UnixMillis {
            UnixMillis(self.1)
        }
    }

    const ARCHIVE: Archive = Archive {
        kind: sealed::Kind::Template,
        due: DueIndex("os"),
        records: "oz",
        ends: DueIndex("oy"),
    };

    fn rule(text: &str) -> Rule {
        Rule(text.to_owned(), 7)
    }

    fn publication<B: Binding>(context: &Context<'_, B>) -> Publication<Rule> {
        let partition = |name| context.partitions.of_configuration(name);
        Publication {
            id: "a".into(),
            home: (partition("home"), "p".into()),
            copy: (partition("copy"), "t".into()),
            lists: partition("lists"),
            list: "f".into(),
            over: OVER,
            archive: ARCHIVE,
            kind: PhantomData,
        }
    }

    /// Writes the version after the one that was seen, with something of the owner's; its number, where nobody
    /// else was first.
    fn replace<B: Binding>(
        context: &Context<'_, B>,
        seen: Option<&Version<Rule>>,
        record: &Rule,
    ) -> Option<i64> {
        let publication = publication(context);
        let mut plan = Plan::new();
        let number = publication.replace(&mut plan, "changed", seen, record, context.partitions);
        plan.write(Write::Add("p".into(), "free".into(), 5));
        match block_on(context.commit(publication.home.0, plan)).unwrap() {
            Ok(_) => Some(number),
            Err(refused) => {
                assert_eq!(refused.why, "changed");
                None
            }
        }
    }

    #[test]
    fn the_home_decides_and_only_from_the_version_that_was_seen() {
        let store = Memory::new();
        let context = context(&store, 0);
        let publication = publication(&context);
        let find = || block_on(publication.find(&context, ["free"])).unwrap();
        assert_eq!(find(), None);
        assert_eq!(replace(&context, None, &rule("a")), Some(1));
        assert_eq!(replace(&context, None, &rule("b")), None);
        let first = Version { number: 1, record: rule("a") };
        assert_eq!(find(), Some((first.clone(), [5])));
        assert_eq!(replace(&context, Some(&first), &rule("b")), Some(2));
        assert_eq!(replace(&context, Some(&first), &rule("c")), None);
        assert_eq!(find(), Some((Version { number: 2, record: rule("b") }, [10])));
        // Nobody reads it before it follows.
        assert_eq!(block_on(publication.find_copy(&context)), Ok(None));
    }

    #[test]
    fn the_copy_follows_and_never_goes_back() {
        let store = Memory::new();
        let context = context(&store, 0);
        let publication = publication(&context);
        for (number, text, over_at, expected) in [
            (2, "b", 7, (2, "b")),
            (1, "a", 6, (2, "b")),
            (2, "b", 7, (2, "b")),
            (3, "c", 9, (3, "c")),
        ] {
            let record = Rule(text.into(), over_at);
            block_on(publication.follow(&context, number, &record)).unwrap();
            let copy = block_on(publication.find_copy(&context)).unwrap().unwrap();
            assert_eq!((copy.number, copy.record.0.as_str()), expected, "{number}");
        }
        let reads = vec![Read::Page("f".into(), Range::default(), 9), OVER.page_of_all(None, 9)];
        let found = block_on(context.read(publication.lists, reads)).unwrap();
        assert_eq!(answers::page(found.first()).unwrap().members, ["a".into()]);
        let over = &answers::page(found.get(1)).unwrap().members;
        let moments: Vec<_> = over.iter().map(|member| due(member).unwrap().at.0).collect();
        assert_eq!(moments, [6, 7, 9]);
    }

    #[test]
    fn nothing_follows_what_was_sealed_and_taken_away() {
        let store = Memory::new();
        let context = context(&store, 0);
        let publication = publication(&context);
        let places = [publication.home.0, publication.copy.0, publication.lists];
        assert!(places.iter().all(|one| places.iter().filter(|other| one == *other).count() == 1));
        assert_eq!(replace(&context, None, &rule("a")), Some(1));
        let follow = || block_on(publication.follow(&context, 1, &rule("a")));
        follow().unwrap();
        let seen = Version { number: 1, record: rule("a") };
        let archived = Archived::of(1, UnixMillis(7));
        let seal = |seen| block_on(publication.seal(&context, seen, [], &archived)).unwrap();
        let other = Version { number: 2, ..seen.clone() };
        assert!(!seal(&other), "another version was seen");
        assert!(seal(&seen) && !seal(&seen));
        assert_eq!(replace(&context, Some(&seen), &rule("b")), None);
        // What follows the version that was sealed changes nothing.
        follow().unwrap();
        let is_unavailable = |result| matches!(result, Err(CommitError::Unavailable(_)));
        block_on(publication.take_copy(&context)).unwrap();
        assert!(is_unavailable(follow()));
        assert_eq!(block_on(publication.find_copy(&context)), Ok(None));
        let sealing = publication.sealing();
        let listed = || block_on(sealing.is_listed(&context, &"a".into())).unwrap();
        assert!(listed());
        block_on(sealing.move_into_archive(&context, "a".into(), &archived)).unwrap();
        assert!(is_unavailable(follow()) && !listed());
        let looked = || block_on(sealing.look(&context)).unwrap();
        assert_eq!(looked(), sealed::Seal::Sealed(Box::new(archived.clone())));
        let take = || block_on(sealing.take_home(&context, &archived)).unwrap();
        assert!(take() && !take());
        assert_eq!((looked(), replace(&context, None, &rule("a"))), (sealed::Seal::Gone, None));
    }

    #[test]
    fn a_later_version_that_comes_between_stays() {
        let store = Interrupted::default();
        let context = context(&store, 0);
        let publication = publication(&context);
        let (partition, map) = publication.copy.clone();
        let later = writes(&map, 3, &rule("c")).to_vec();
        store.interrupt(1, move |memory| {
            let transaction = Transaction { writes: later, ..Transaction::default() };
            memory.commit(partition, &transaction).now_or_never().unwrap().unwrap();
        });
        block_on(publication.follow(&context, 2, &rule("b"))).unwrap();
        assert!(store.was_interrupted());
        let copy = block_on(publication.find_copy(&context)).unwrap();
        assert_eq!(copy, Some(Version { number: 3, record: rule("c") }));
    }

    #[test]
    fn what_cannot_be_read_is_not_nothing() {
        let store = Memory::new();
        let context = context(&store, 0);
        let publication = publication(&context);
        for (partition, map) in [publication.home.clone(), publication.copy.clone()] {
            let foreign = Write::Set(map, BODY.into(), Value::Bytes(b"foreign".to_vec()));
            block_on(context.write(partition, [foreign])).unwrap();
        }
        let broken = unreadable(Rule::NAME);
        assert_eq!(block_on(publication.find(&context, [])), Err(broken.clone()));
        assert_eq!(block_on(publication.find_copy(&context)), Err(broken));
    }
}
