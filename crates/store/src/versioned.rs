//! One record in one field, changed only from the exact value that was seen.

use std::marker::PhantomData;

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::partition::Partition;
use domain::transaction::{Answer, CommitError, Field, Guard, MapKey, Read, Value, Write};
use serde::de::DeserializeOwned;

use crate::attempts::attempts;
use crate::codec::{Record, decode, encode};
use crate::context::Context;
use crate::plan::Plan;

/// Where a record lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The partition.
    pub partition: Partition,
    /// The map.
    pub map: MapKey,
    /// The field.
    pub field: Field,
    kind: PhantomData<fn() -> T>,
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<T> {
    /// As the store keeps it; `None` where there is none.
    pub stored: Option<Value>,
    /// What that means.
    pub record: Option<T>,
}

/// What a decision makes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T, D> {
    /// It stays, and this came of it.
    Stay(D),
    /// This takes its place, with these writes beside it, and this comes of it.
    Set(T, Vec<Write>, D),
    /// It goes, with these writes beside it, and this comes of it.
    Unset(Vec<Write>, D),
}

impl<T: Record + DeserializeOwned> Seen<T> {
    /// What a field holds.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(stored: Option<Value>) -> Result<Self, CommitError> {
        let record = stored.as_ref().map(decode).transpose()?;
        Ok(Self { stored, record })
    }
}

impl<T: Record + DeserializeOwned> Versioned<T> {
    /// A record in a field.
    pub fn new(partition: Partition, map: MapKey, field: impl Into<Field>) -> Self {
        Self { partition, map, field: field.into(), kind: PhantomData }
    }

    /// Reads it.
    pub fn read(&self) -> Read {
        Read::Fields(self.map.clone(), vec![self.field.clone()])
    }

    /// The answer to [`Self::read`].
    ///
    /// # Errors
    /// It cannot be read, or is another answer.
    pub fn answered(&self, answer: Option<&Answer>) -> Result<Seen<T>, CommitError> {
        match fields(answer)? {
            [stored] => Seen::of(stored.clone()),
            _ => Err(unexpected()),
        }
    }

    /// Demands that it is what was seen.
    pub fn unchanged(&self, stored: Option<&Value>) -> Guard {
        let (map, field) = (self.map.clone(), self.field.clone());
        match stored {
            Some(stored) => Guard::FieldEquals(map, field, stored.clone()),
            None => Guard::FieldAbsent(map, field),
        }
    }

    /// Puts a record there.
    pub fn set(&self, record: &T) -> Write {
        Write::Set(self.map.clone(), self.field.clone(), encode(record))
    }

    /// Takes it away.
    pub fn unset(&self) -> Write {
        Write::Unset(self.map.clone(), self.field.clone())
    }

    /// Reads it from the store.
    ///
    /// # Errors
    /// The store's.
    pub async fn find<B: Binding>(&self, context: &Context<'_, B>) -> Result<Seen<T>, CommitError> {
        let answers = context.read(self.partition, vec![self.read()]).await?;
        self.answered(answers.first())
    }

    /// Puts another record in the place of the one that was seen; what is there now, where somebody else was first.
    ///
    /// # Errors
    /// The store's.
    pub async fn swap<B: Binding>(
        &self,
        context: &Context<'_, B>,
        seen: &Seen<T>,
        next: Option<&T>,
        beside: Vec<Write>,
    ) -> Result<Option<Seen<T>>, CommitError> {
        let mut plan = Plan::new();
        plan.demand((), self.unchanged(seen.stored.as_ref()));
        plan.write(next.map_or_else(|| self.unset(), |next| self.set(next)));
        plan.write_all(beside);
        match context.commit(self.partition, plan).await? {
            Ok(_) => Ok(None),
            Err(refused) => Seen::of(refused.field()?.cloned()).map(Some),
        }
    }

    /// Reads, decides and swaps, until the decision was made on what is there. `seen` spares the first read.
    ///
    /// # Errors
    /// The decision's, with nothing changed; the store's.
    pub async fn change<B: Binding, D, E: From<CommitError>>(
        &self,
        context: &Context<'_, B>,
        seen: Option<Seen<T>>,
        what: &str,
        mut decide: impl FnMut(Option<&T>) -> Result<Change<T, D>, E>,
    ) -> Result<D, E> {
        let mut seen = match seen {
            Some(seen) => seen,
            None => self.find(context).await?,
        };
        attempts(what, async || {
            let (next, beside, done) = match decide(seen.record.as_ref())? {
                Change::Stay(done) => return Ok(Some(done)),
                Change::Set(next, beside, done) => (Some(next), beside, done),
                Change::Unset(beside, done) => (None, beside, done),
            };
            Ok(match self.swap(context, &seen, next.as_ref(), beside).await? {
                None => Some(done),
                Some(now) => {
                    seen = now;
                    None
                }
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use binding::memory::Memory;
    use futures::executor::block_on;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::context::tests::context;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Count(u32);

    impl Record for Count {
        const NAME: &'static str = "a count";
    }

    #[test]
    fn a_change_is_decided_on_what_is_there() {
        let store = Memory::new();
        let context = context(&store, 0);
        let place = Versioned::<Count>::new(Partition::DESCRIPTION, "m".into(), "f");
        let old = block_on(place.find(&context)).unwrap();
        assert_eq!(old.record, None);
        // Whoever changes it meanwhile is seen, although the first read was spared.
        let first = block_on(place.swap(&context, &old, Some(&Count(1)), vec![])).unwrap();
        assert_eq!(first, None);
        let mut decided = Vec::new();
        let add = |count: Option<&Count>| {
            decided.push(count.cloned());
            let next = Count(count.map_or(0, |count| count.0) + 1);
            let beside = vec![Write::Add("m".into(), "changes".into(), 1)];
            Ok::<_, CommitError>(Change::Set(next.clone(), beside, next))
        };
        let done = block_on(place.change(&context, Some(old), "count", add)).unwrap();
        assert_eq!((done, decided), (Count(2), vec![None, Some(Count(1))]));
        let stay = |count: Option<&Count>| Ok::<_, CommitError>(Change::Stay(count.cloned()));
        let found = block_on(place.change(&context, None, "count", stay)).unwrap();
        assert_eq!(found, Some(Count(2)));
        let go = |_: Option<&Count>| Ok::<_, CommitError>(Change::Unset(vec![], ()));
        block_on(place.change(&context, None, "count", go)).unwrap();
        let reads = vec![place.read(), Read::Fields("m".into(), vec!["changes".into()])];
        let answers = block_on(context.read(place.partition, reads)).unwrap();
        assert_eq!(place.answered(answers.first()).unwrap().record, None);
        assert_eq!(fields(answers.get(1)), Ok([Some(Value::Integer(1))].as_slice()));
    }

    #[test]
    fn what_cannot_be_read_is_not_overwritten() {
        let store = Memory::new();
        let context = context(&store, 0);
        let place = Versioned::<Count>::new(Partition::DESCRIPTION, "m".into(), "f");
        let foreign = Value::Bytes(b"foreign".to_vec());
        let write = Write::Set("m".into(), "f".into(), foreign.clone());
        block_on(context.write(place.partition, [write])).unwrap();
        let none = Seen { stored: None, record: None };
        let set = |_: Option<&Count>| Ok::<_, CommitError>(Change::Set(Count(1), vec![], ()));
        let result = block_on(place.change(&context, Some(none), "count", set));
        assert!(matches!(result, Err(CommitError::Unreadable(_))), "{result:?}");
        let answers = block_on(context.read(place.partition, vec![place.read()])).unwrap();
        assert_eq!(fields(answers.first()), Ok([Some(foreign)].as_slice()));
    }
}
