//! The reference model: every partition in memory; and a store in which tests let somebody else come in between.

use litemap::LiteMap;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::partition::Partition;
use domain::transaction::{
    Answer, CommitError, MapKey, OrderedKey, Outcome, Range, Read, Refusal, SetKey, Transaction,
    Write,
};

use crate::Binding;
use crate::state::{Applied, Choice, PartitionState};

/// A store in memory.
#[derive(Debug, Default)]
pub struct Memory {
    partitions: Mutex<LiteMap<Partition, PartitionState>>,
    clock: Mutex<Option<i64>>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// What its clock says from now on, in unix milliseconds; nothing where it has none, as at first.
    pub fn set_clock(&self, now_ms: Option<i64>) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = now_ms;
    }

    /// Commits with a choice of what a move takes.
    ///
    /// # Errors
    /// `Invalid` only.
    pub fn commit_choosing(
        &self,
        partition: Partition,
        transaction: &Transaction,
        choice: Choice<'_>,
    ) -> Result<Outcome, CommitError> {
        transaction.validate()?;
        let mut partitions = self.lock();
        let state = partitions.entry(partition).or_default();
        Ok(self.tell(store(state, state.apply_choosing(transaction, choice)?)))
    }

    /// The outcome, with the time where it was asked for.
    fn tell(&self, mut outcome: Outcome) -> Outcome {
        let (Outcome::Committed(reads) | Outcome::Refused(Refusal { reads, .. })) = &mut outcome;
        for answer in reads {
            if let Answer::Clock(time) = answer {
                *time = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
            }
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, LiteMap<Partition, PartitionState>> {
        // A state is replaced in one step, so that a panic elsewhere cannot leave half of one.
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Binding for Memory {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        transaction.validate()?;
        let mut partitions = self.lock();
        let state = partitions.entry(partition).or_default();
        Ok(self.tell(store(state, state.apply(transaction)?)))
    }
}

fn store(state: &mut PartitionState, applied: Applied) -> Outcome {
    if let Some(next) = applied.next {
        *state = next;
    }
    applied.outcome
}

/// A store in memory in which somebody else acts between two commits of the one who is watched, or which is gone.
#[derive(Default)]
pub struct Interrupted {
    memory: Memory,
    meanwhile: RefCell<Option<Meanwhile>>,
    is_gone: Cell<bool>,
}

/// What somebody else does, after so many commits.
struct Meanwhile(u32, Box<dyn FnOnce(&Memory)>);

impl Interrupted {
    /// What it holds, for those who are not watched.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// After so many commits somebody else acts.
    pub fn interrupt(&self, commits: u32, act: impl FnOnce(&Memory) + 'static) {
        self.meanwhile.replace(Some(Meanwhile(commits, Box::new(act))));
    }

    /// Whether they did.
    pub fn was_interrupted(&self) -> bool {
        self.meanwhile.borrow().is_none()
    }

    /// From now on it cannot be reached, or can again.
    pub fn set_gone(&self, is_gone: bool) {
        self.is_gone.set(is_gone);
    }
}

impl Binding for Interrupted {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        if self.is_gone.get() {
            return Err(CommitError::Unavailable("gone".into()));
        }
        match self.meanwhile.take() {
            Some(Meanwhile(0, act)) => act(&self.memory),
            Some(Meanwhile(commits, act)) => {
                self.meanwhile.replace(Some(Meanwhile(commits - 1, act)));
            }
            None => {}
        }
        self.memory.commit(partition, transaction).await
    }
}

/// A store in memory that keeps what is written to it, in which somebody else acts between two commits, and which is gone
/// from some commit on: for tests of what takes many commits.
#[derive(Default)]
pub struct Journal {
    memory: Memory,
    written: RefCell<Vec<(Partition, Transaction)>>,
    commits: Cell<u32>,
    meanwhile: RefCell<Option<Meanwhile>>,
    gone: Cell<Option<Gone>>,
}

/// From which commit on a store is gone.
#[derive(Clone, Copy, Debug)]
struct Gone {
    commits: u32,
    is_reply_lost: bool,
}

/// The name of a record, with what it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A map.
    Map(MapKey),
    /// A set of ids.
    Ids(SetKey),
    /// An ordered set.
    Ordered(OrderedKey),
}

impl Journal {
    /// A store to which this was written.
    ///
    /// # Errors
    /// One of the transactions is invalid.
    pub async fn of(written: &[(Partition, Transaction)]) -> Result<Self, CommitError> {
        let journal = Self::default();
        for (partition, transaction) in written {
            journal.commit(*partition, transaction).await?;
        }
        journal.commits.set(0);
        Ok(journal)
    }

    /// What it holds, for those who are not watched.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What was written, in order, what was refused among it.
    pub fn written(&self) -> Vec<(Partition, Transaction)> {
        self.written.borrow().clone()
    }

    /// Commits since this was last asked.
    pub fn commits(&self) -> u32 {
        self.commits.take()
    }

    /// After so many commits somebody else acts.
    pub fn interrupt(&self, commits: u32, act: impl FnOnce(&Memory) + 'static) {
        self.meanwhile.replace(Some(Meanwhile(commits, Box::new(act))));
    }

    /// After so many commits it cannot be reached; of the first that fails perhaps only the reply is lost.
    pub fn fail_after(&self, commits: u32, is_reply_lost: bool) {
        self.gone.set(Some(Gone { commits, is_reply_lost }));
    }

    /// It can be reached again, and nobody acts in between any more.
    pub fn recover(&self) {
        self.gone.set(None);
        self.meanwhile.replace(None);
    }

    /// The names of all records that were ever written, with their partitions.
    pub fn names(&self) -> BTreeSet<(Partition, Name)> {
        let written = self.written.borrow();
        let writes = written.iter().flat_map(|(partition, transaction)| {
            transaction.writes.iter().map(|write| (*partition, name(write)))
        });
        writes.collect()
    }

    /// Whether there is anything in a map or an ordered set; sets of ids are never empty again.
    ///
    /// # Errors
    /// The name is none.
    pub async fn is_there(&self, partition: Partition, name: &Name) -> Result<bool, CommitError> {
        let read = match name {
            Name::Ids(_) => return Ok(true),
            Name::Map(key) => Read::Size(key.clone()),
            Name::Ordered(key) => Read::Count(key.clone(), Range::default()),
        };
        let transaction = Transaction { reads: vec![read], ..Transaction::default() };
        let outcome = self.memory.commit(partition, &transaction).await?;
        Ok(!matches!(outcome, Outcome::Committed(answers) if answers == [Answer::Size(0)]))
    }
}

/// The record that a write changes.
fn name(write: &Write) -> Name {
    match write {
        Write::Set(map, ..)
        | Write::Add(map, ..)
        | Write::Unset(map, _)
        | Write::Drop(map)
        | Write::Move(_, map, _)
        | Write::CollectAfter(map, _)
        | Write::Keep(map) => Name::Map(map.clone()),
        Write::Insert(set, _) | Write::Remove(set, _) => Name::Ids(set.clone()),
        Write::AddMember(key, _) | Write::RemoveMember(key, _) => Name::Ordered(key.clone()),
    }
}

impl Binding for Journal {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        let unknown = || CommitError::Unavailable("gone".into());
        self.commits.set(self.commits.get() + 1);
        let is_reply_lost = match self.gone.get() {
            Some(Gone { commits: 0, is_reply_lost: false }) => return Err(unknown()),
            Some(Gone { commits: 0, is_reply_lost: true }) => {
                self.gone.set(Some(Gone { commits: 0, is_reply_lost: false }));
                true
            }
            Some(Gone { commits, is_reply_lost }) => {
                self.gone.set(Some(Gone { commits: commits - 1, is_reply_lost }));
                false
            }
            None => false,
        };
        match self.meanwhile.take() {
            Some(Meanwhile(0, act)) => act(&self.memory),
            Some(Meanwhile(commits, act)) => {
                self.meanwhile.replace(Some(Meanwhile(commits - 1, act)));
            }
            None => {}
        }
        if !transaction.is_read_only() {
            self.written.borrow_mut().push((partition, transaction.clone()));
        }
        let outcome = self.memory.commit(partition, transaction).await;
        if is_reply_lost { Err(CommitError::Unknown("the reply is lost".into())) } else { outcome }
    }
}
