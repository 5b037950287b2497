//! Accounts: every movement of value takes it from one account and gives it to another, in one
//! transaction, so that the sum over all accounts is zero at any moment.
//!
//! A user has an account of their own, with a number of entries. Everything else - funds of campaigns,
//! what is held, what left - has a part in each partition, so that a movement balances where it happens;
//! those parts together are the account. What the users of a partition have is there once more as one
//! account, so that one read tells whether a partition balances.

use domain::answers::integers;
use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, Read, Value, Write};
use store::Plan;

use crate::entry::Entry;
use crate::records;

/// Fields of a user's account.
const BALANCE: &str = "b";
const HELD: &str = "h";
const INCOME: &str = "i";
const WITHDRAWN: &str = "w";
const SEQUENCE: &str = "s";
const CARRIED: &str = "c";
/// Of withdrawals whose records are gone: what they took and what came back, as far as their entries are not carried.
const GONE_TAKEN: &str = "t";
const GONE_BACK: &str = "v";

/// A user's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Cents that can be withdrawn.
    pub balance: i64,
    /// Cents that are held for withdrawals.
    pub held: i64,
    /// Cents that ever came, refunds aside.
    pub income: i64,
    /// Cents that ever left by withdrawals.
    pub withdrawn: i64,
    /// How many entries there ever were.
    pub sequence: i64,
    /// Entries below this are carried ([`crate::carried`]).
    pub carried: i64,
}

/// What entries that are not carried say of withdrawals whose records are gone, so that entries and accounts can be compared
/// with those that are kept. Of one that came back the first of its two entries may
/// be carried, and the second not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Cents that they took.
    pub taken: i64,
    /// Cents that came back.
    pub back: i64,
}

impl Gone {
    /// Reads what is gone of a user's withdrawals.
    pub fn read(user: UserId) -> Read {
        let fields = [GONE_TAKEN, GONE_BACK];
        Read::Fields(records::account(user), fields.map(Field::from).to_vec())
    }

    /// The answer to [`Gone::read`].
    ///
    /// # Errors
    /// It is another one.
    pub fn answered(answer: Option<&Answer>) -> Result<Self, CommitError> {
        let [taken, back] = integers(answer)?;
        Ok(Self { taken, back })
    }

    /// Adds to what is gone; takes off, where it is negative.
    pub fn writes(self, user: UserId) -> impl Iterator<Item = Write> {
        let Self { taken, back } = self;
        [(GONE_TAKEN, taken), (GONE_BACK, back)]
            .into_iter()
            .filter(|(_, cents)| *cents != 0)
            .map(move |(field, cents)| Write::Add(records::account(user), field.into(), cents))
    }
}

impl Account {
    /// Reads a user's account.
    pub fn read(user: UserId) -> Read {
        let fields = [BALANCE, HELD, INCOME, WITHDRAWN, SEQUENCE, CARRIED];
        Read::Fields(records::account(user), fields.map(Field::from).to_vec())
    }

    /// The answer to [`Account::read`].
    ///
    /// # Errors
    /// It is another one.
    pub fn answered(answer: Option<&Answer>) -> Result<Self, CommitError> {
        let [balance, held, income, withdrawn, sequence, carried] = integers(answer)?;
        Ok(Self { balance, held, income, withdrawn, sequence, carried })
    }

    /// Demands that so many cents can be withdrawn.
    pub fn demand_balance(user: UserId, cents: i64) -> Guard {
        Guard::IntegerAtLeast(records::account(user), BALANCE.into(), cents)
    }

    /// Demands that the entries below the same one are carried.
    pub fn demand_carried(&self, user: UserId) -> Guard {
        let (record, field) = (records::account(user), Field::from(CARRIED));
        match self.carried {
            0 => Guard::FieldAbsent(record, field),
            below => Guard::FieldEquals(record, field, Value::Integer(below)),
        }
    }

    /// From now on the entries below this one are carried.
    pub fn set_carried(user: UserId, below: i64) -> Write {
        Write::Set(records::account(user), CARRIED.into(), Value::Integer(below))
    }

    /// Demands that fewer cents can be withdrawn.
    pub fn demand_less(user: UserId, cents: i64) -> Guard {
        Guard::IntegerAtMost(records::account(user), BALANCE.into(), cents - 1)
    }
}

/// A movement of a user's account, as a part of a plan. Its first guard demands that no other movement came in
/// between: entries stand one after the other.
#[derive(Debug)]
pub struct Movement<R> {
    user: UserId,
    sequence: i64,
    plan: Plan<R>,
}

impl<R> Movement<R> {
    /// Begins where an account is, behind what a plan demands already; `moved` says that the account is elsewhere.
    pub fn new(
        mut plan: Plan<R>,
        user: UserId,
        account: &Account,
        now: UnixMillis,
        moved: R,
    ) -> Self {
        let (record, field) = (records::account(user), Field::from(SEQUENCE));
        let guard = match account.sequence {
            0 => Guard::FieldAbsent(record, field),
            last => Guard::FieldEquals(record, field, Value::Integer(last)),
        };
        plan.at(now).demand(moved, guard).write_all(records::CHANGED.mark(user, now));
        Self { user, sequence: account.sequence, plan }
    }

    /// Demands something else.
    pub fn demand(&mut self, why: R, guard: Guard) {
        self.plan.demand(why, guard);
    }

    /// Writes something else.
    pub fn write(&mut self, write: Write) {
        self.plan.write(write);
    }

    /// Writes an entry; its sequence number.
    pub fn entry(&mut self, entry: &Entry) -> i64 {
        let sequence = self.sequence;
        let write = Write::Set(
            records::page(self.user, sequence),
            records::entry(sequence),
            entry.encode(),
        );
        self.plan.write(write);
        self.sequence += 1;
        sequence
    }

    /// Moves cents from an account that is no user's to the user's balance; back, where they are
    /// negative.
    pub fn credit(&mut self, from: &str, cents: i64) {
        self.credit_all(&[(from.to_owned(), cents)]);
    }

    /// As [`Self::credit`], from several accounts: two writes, and one for each.
    pub fn credit_all(&mut self, sources: &[(String, i64)]) {
        let cents = sources.iter().map(|(_, cents)| cents).sum();
        self.add_to_user(BALANCE, cents);
        self.add_to(records::USERS, cents);
        for (from, cents) in sources {
            self.add_to(from, -cents);
        }
    }

    /// Counts cents as the user's income.
    pub fn count_income(&mut self, cents: i64) {
        self.add_to_user(INCOME, cents);
    }

    /// Moves cents from the user's balance into what is held; back, where they are negative.
    pub fn hold(&mut self, cents: i64) {
        self.credit(records::HELD, -cents);
        self.add_to_user(HELD, cents);
    }

    /// What was held leaves.
    pub fn pay_out(&mut self, cents: i64) {
        self.add_to_user(HELD, -cents);
        self.add_to_user(WITHDRAWN, cents);
        self.add_to(records::HELD, -cents);
        self.add_to(records::PAID_OUT, cents);
    }

    fn add_to_user(&mut self, field: &str, cents: i64) {
        self.plan.write(Write::Add(records::account(self.user), field.into(), cents));
    }

    fn add_to(&mut self, account: &str, cents: i64) {
        self.plan.write(Write::Add(records::accounts(), account.into(), cents));
    }

    /// The plan.
    pub fn plan(mut self, reads: Vec<Read>) -> Plan<R> {
        let sequence = Value::Integer(self.sequence);
        let write = Write::Set(records::account(self.user), SEQUENCE.into(), sequence);
        self.plan.write(write).read_all(reads);
        self.plan
    }
}
