//! A transaction whose guards carry their reasons: whoever is refused has the reason, and never asks which guard
//! it was.

use domain::answers::unexpected;
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Failed, Field, Guard, MapKey, Outcome, Read, Refusal, Seen, Transaction,
    Value, Write,
};

/// What to commit in one partition. `R` says why a guard is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<R> {
    transaction: Transaction,
    /// One for each guard.
    reasons: Vec<R>,
    /// Of writes that need something to move, by their place.
    moves: Vec<(usize, R)>,
}

/// A plan of which nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused<R> {
    /// Why: the reason of the first guard that did not hold.
    pub why: R,
    /// What that guard saw.
    pub seen: Seen,
    /// One answer for each read, of the unchanged records.
    pub reads: Vec<Answer>,
}

/// What became of a plan: the answers to its reads, or the reason why nothing was written.
pub type Decided<R> = Result<Vec<Answer>, Refused<R>>;

impl<R> Default for Plan<R> {
    fn default() -> Self {
        Self { transaction: Transaction::default(), reasons: Vec::new(), moves: Vec::new() }
    }
}

impl<R> Plan<R> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge's clock, for back ends that collect records by it. No guard looks at it.
    pub fn at(&mut self, now: UnixMillis) -> &mut Self {
        self.transaction.now_ms = now.0;
        self
    }

    /// Demands something; else nothing is written, and this is why. Guards are checked in their order.
    pub fn demand(&mut self, why: R, guard: Guard) -> &mut Self {
        self.transaction.guards.push(guard);
        self.reasons.push(why);
        self
    }

    /// A transaction that demands for one reason only.
    pub fn of(transaction: Transaction, why: R) -> Self
    where
        R: Clone,
    {
        let reasons = vec![why; transaction.guards.len()];
        Self { transaction, reasons, moves: Vec::new() }
    }

    /// Demands some things for one reason.
    pub fn demand_all(&mut self, why: R, guards: impl IntoIterator<Item = Guard>) -> &mut Self
    where
        R: Clone,
    {
        for guard in guards {
            self.demand(why.clone(), guard);
        }
        self
    }

    /// Writes something.
    pub fn write(&mut self, write: Write) -> &mut Self {
        self.transaction.writes.push(write);
        self
    }

    /// Writes some things.
    pub fn write_all(&mut self, writes: impl IntoIterator<Item = Write>) -> &mut Self {
        self.transaction.writes.extend(writes);
        self
    }

    /// Takes any field out of the first map and puts its value under this field of the second ([`Write::Move`]);
    /// where the first is empty nothing is written, and this is why.
    pub fn take_any(&mut self, why: R, from: MapKey, to: MapKey, field: Field) -> &mut Self {
        self.moves.push((self.transaction.writes.len(), why));
        self.write(Write::Move(from, to, field))
    }

    /// Reads something, as it is after the writes, or unchanged after a refusal.
    pub fn read(&mut self, read: Read) -> &mut Self {
        self.transaction.reads.push(read);
        self
    }

    /// Reads some things.
    pub fn read_all(&mut self, reads: impl IntoIterator<Item = Read>) -> &mut Self {
        self.transaction.reads.extend(reads);
        self
    }

    /// Whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.transaction.is_read_only()
    }

    /// The transaction, and what its outcome means.
    pub fn into_parts(self) -> (Transaction, Reasons<R>) {
        let Self { transaction, reasons, moves } = self;
        (transaction, Reasons { reasons, moves })
    }
}

/// The reasons of a plan whose transaction is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasons<R> {
    reasons: Vec<R>,
    moves: Vec<(usize, R)>,
}

impl<R> Reasons<R> {
    /// What an outcome means.
    ///
    /// # Errors
    /// It is that of another transaction.
    pub fn decide(self, outcome: Outcome) -> Result<Decided<R>, CommitError> {
        let Refusal { failed, seen, reads } = match outcome {
            Outcome::Committed(answers) => return Ok(Ok(answers)),
            Outcome::Refused(refusal) => refusal,
        };
        let Self { reasons, moves } = self;
        let why = match failed {
            Failed::Guard(place) => reasons.into_iter().nth(place),
            Failed::Write(place) => {
                moves.into_iter().find(|(of, _)| *of == place).map(|(_, why)| why)
            }
        };
        Ok(Err(Refused { why: why.ok_or_else(unexpected)?, seen, reads }))
    }
}

impl<R> Refused<R> {
    /// What the field of the guard holds.
    ///
    /// # Errors
    /// The guard was about no field.
    pub fn field(&self) -> Result<Option<&Value>, CommitError> {
        match &self.seen {
            Seen::Field(value) => Ok(value.as_ref()),
            _ => Err(unexpected()),
        }
    }
}

#[cfg(test)]
mod tests {
    use binding::Binding;
    use binding::memory::Memory;
    use domain::partition::Partition;
    use futures::executor::block_on;

    use super::*;

    fn commit(store: &Memory, plan: Plan<&'static str>) -> Decided<&'static str> {
        let (transaction, reasons) = plan.into_parts();
        let outcome = block_on(store.commit(Partition::DESCRIPTION, &transaction)).unwrap();
        reasons.decide(outcome).unwrap()
    }

    #[test]
    fn a_refusal_is_the_reason_of_its_guard_or_of_its_write() {
        let store = Memory::new();
        let field = |name: &str| (MapKey::from("m"), Field::from(name));
        let absent = |name: &str| Guard::FieldAbsent(field(name).0, field(name).1);
        let mut plan = Plan::new();
        plan.demand("a is there", absent("a")).demand_all("b or c is", [absent("b"), absent("c")]);
        plan.write(Write::Set(field("c").0, field("c").1, Value::Integer(7)));
        plan.read(Read::Size("m".into()));
        assert_eq!(commit(&store, plan.clone()), Ok(vec![Answer::Size(1)]));
        let refused = commit(&store, plan).unwrap_err();
        assert_eq!((refused.why, refused.field()), ("b or c is", Ok(Some(&Value::Integer(7)))));
        assert_eq!(refused.reads, [Answer::Size(1)]);

        let mut plan = Plan::new();
        plan.demand("a is there", absent("a"));
        plan.write(Write::Add("n".into(), "x".into(), 1));
        plan.take_any("nothing is left", "empty".into(), "to".into(), "f".into());
        let refused = commit(&store, plan).unwrap_err();
        assert_eq!(refused.why, "nothing is left");
        assert!(refused.field().is_err());
    }

    #[test]
    fn what_another_transaction_refused_is_no_reason() {
        let refusal =
            |failed| Outcome::Refused(Refusal { failed, seen: Seen::Size(0), reads: vec![] });
        let (_, reasons) = Plan::<&str>::new().into_parts();
        assert!(reasons.clone().decide(refusal(Failed::Guard(0))).is_err());
        assert!(reasons.decide(refusal(Failed::Write(0))).is_err());
    }
}
