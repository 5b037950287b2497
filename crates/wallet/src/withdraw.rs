//! Withdrawals in two phases: the money is held, then it left, or comes back.

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::transaction::{CommitError, Field, Guard, MapKey, Read, Value, Write};
use serde::{Deserialize, Serialize};
use store::{Plan, Record, attempts, codec};

use crate::account::{Account, Movement};
use crate::context::Context;
use crate::entry::{Entry, What};
use crate::pending;
use crate::posting;
use crate::records;

/// What became of a withdrawal's number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Cents; 0 where it was voided before it came.
    pub amount: i64,
    /// What became of it.
    pub state: State,
    /// When, in unix milliseconds.
    pub at: i64,
}

/// What became of a withdrawal, in the terms of two-phase transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The money is held.
    Pending,
    /// It left.
    Posted,
    /// It came back. Also of a number that never came, so that it cannot come late.
    Voided,
    /// There was less than that.
    ExceedsBalance,
}

/// Why there is no withdrawal, or no other state of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The number was used for another amount.
    ExistsWithDifferentAmount,
    /// There was less than that when it was asked for.
    ExceedsBalance,
    /// It left already.
    AlreadyPosted,
    /// It came back already.
    AlreadyVoided,
    /// Nobody asked for it.
    NotFound,
}

/// What came of a call: the withdrawal, and whether an earlier one did it.
pub type Result<T = (Withdrawal, bool)> = std::result::Result<T, Failure>;

/// Why a call gave nothing.
#[derive(Debug)]
pub enum Failure {
    /// A normal answer.
    Refused(Refusal),
    /// The store's.
    Store(CommitError),
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Record for Withdrawal {
    const NAME: &'static str = "a withdrawal";
}

impl Withdrawal {
    /// As the store keeps it.
    pub fn encode(&self) -> Value {
        codec::encode(self)
    }

    /// Reads it again.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(value: &Value) -> std::result::Result<Self, CommitError> {
        codec::decode(value)
    }

    /// What asking for it again gives.
    fn again(self, amount: i64) -> Result {
        match self.state {
            // Voided before it came: no amount is known of it.
            State::Voided if self.amount == 0 => Err(Refusal::AlreadyVoided.into()),
            _ if self.amount != amount => Err(Refusal::ExistsWithDifferentAmount.into()),
            State::ExceedsBalance => Err(Refusal::ExceedsBalance.into()),
            State::Pending | State::Posted | State::Voided => Ok((self, true)),
        }
    }
}

fn record(user: UserId) -> MapKey {
    records::withdrawals(user)
}

/// What became of a number.
///
/// # Errors
/// The store's.
pub async fn look<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
) -> Result<Option<Withdrawal>> {
    let read = Read::Fields(record(user), vec![number.as_str().into()]);
    let answers = context.read(context.home(user), vec![read]).await?;
    let value = fields(answers.first())?.first().and_then(Option::as_ref);
    Ok(value.map(Withdrawal::decode).transpose()?)
}

/// Holds `amount` cents of a user. Whatever the user was given is posted before.
///
/// # Errors
/// `exists_with_different_amount`; `exceeds_balance`, which is recorded; the store's.
pub async fn create<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    amount: i64,
) -> Result {
    let home = context.home(user);
    let field = || Field::from(number.as_str());
    let mut account = posting::post(context, user).await?.account;
    attempts("withdraw", async || {
        let now = context.now;
        let is_covered = account.balance >= amount;
        let state = if is_covered { State::Pending } else { State::ExceedsBalance };
        let withdrawal = Withdrawal { amount, state, at: now.0 };
        let write = Write::Set(record(user), field(), withdrawal.encode());
        let reads = vec![Account::read(user), pending::read(user)];
        let mut plan = Plan::new();
        plan.demand(Why::Known, Guard::FieldAbsent(record(user), field()));
        let plan = if is_covered {
            let mut movement = Movement::new(plan, user, &account, now, Why::Moved);
            movement.demand(Why::Moved, Account::demand_balance(user, amount));
            movement.hold(amount);
            let what = What::Withdrawal(number.as_str().to_owned());
            movement.entry(&Entry { amount: -amount, at: now.0, what });
            movement.write(write);
            movement.plan(reads)
        } else {
            // Nothing may be pending that would cover it.
            plan.demand(Why::Moved, Guard::SizeAtMost(records::pending(user), 0));
            plan.demand(Why::Moved, Account::demand_less(user, amount));
            plan.write(write).read_all(reads);
            plan
        };
        let refused = match context.commit(home, plan).await? {
            Ok(_) if is_covered => return Ok(Some((withdrawal, false))),
            Ok(_) => return Err(Refusal::ExceedsBalance.into()),
            Err(refused) => refused,
        };
        if refused.why == Why::Known {
            let value = refused.field()?.ok_or_else(unexpected)?;
            return Withdrawal::decode(value)?.again(amount).map(Some);
        }
        account = Account::answered(refused.reads.first())?;
        let pending::Found { readable, unreadable } = pending::found(refused.reads.get(1))?;
        if account.balance < amount {
            if let (true, Some(number)) = (readable.is_empty(), unreadable.first()) {
                // What cannot be read might be enough.
                return Err(pending::unreadable(number).into());
            }
            if !readable.is_empty() {
                account = posting::post(context, user).await?.account;
            }
        }
        Ok(None)
    })
    .await
}

/// Why a step of a withdrawal is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The number has acted, or what became of it has changed.
    Known,
    /// The account is elsewhere.
    Moved,
}

/// The money left.
///
/// # Errors
/// `not_found`, `already_posted`, `already_voided`, `exceeds_balance`; the store's.
pub async fn post<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
) -> Result<Withdrawal> {
    end(context, user, number, State::Posted).await
}

/// The money comes back. A number that never came can come no more afterwards.
///
/// # Errors
/// `already_posted`, `already_voided`, `exceeds_balance`; the store's.
pub async fn void<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
) -> Result<Withdrawal> {
    end(context, user, number, State::Voided).await
}

async fn end<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    state: State,
) -> Result<Withdrawal> {
    let home = context.home(user);
    let field = || Field::from(number.as_str());
    attempts("end a withdrawal", async || {
        let reads = vec![Read::Fields(record(user), vec![field()]), Account::read(user)];
        let answers = context.read(home, reads).await?;
        let value = fields(answers.first())?.first().cloned().flatten();
        let now = context.now;
        let Some(value) = value else {
            if state == State::Posted {
                return Err(Refusal::NotFound.into());
            }
            let withdrawal = Withdrawal { amount: 0, state, at: now.0 };
            let mut plan = Plan::new();
            plan.demand(Why::Known, Guard::FieldAbsent(record(user), field()));
            plan.write(Write::Set(record(user), field(), withdrawal.encode()));
            return Ok(context.commit(home, plan).await?.is_ok().then_some(withdrawal));
        };
        let before = Withdrawal::decode(&value)?;
        match before.state {
            State::Pending => {}
            State::Posted => return Err(Refusal::AlreadyPosted.into()),
            State::Voided => return Err(Refusal::AlreadyVoided.into()),
            State::ExceedsBalance => return Err(Refusal::ExceedsBalance.into()),
        }
        let amount = before.amount;
        let withdrawal = Withdrawal { amount, state, at: now.0 };
        let account = Account::answered(answers.get(1))?;
        let mut movement = Movement::new(Plan::new(), user, &account, now, Why::Moved);
        movement.demand(Why::Known, Guard::FieldEquals(record(user), field(), value));
        if state == State::Posted {
            movement.pay_out(amount);
        } else {
            movement.hold(-amount);
            let what = What::Voided(number.as_str().to_owned());
            movement.entry(&Entry { amount, at: now.0, what });
        }
        movement.write(Write::Set(record(user), field(), withdrawal.encode()));
        Ok(context.commit(home, movement.plan(vec![])).await?.is_ok().then_some(withdrawal))
    })
    .await
}
