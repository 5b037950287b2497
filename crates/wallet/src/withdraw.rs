//! Withdrawals in two phases: the money is held, then it left, or comes back.
//!
//! # The life of a withdrawal
//!
//! 1. *Asked for*: one commit demands that the number has no record and is not forgotten ([`store::numbers`]), holds the
//!    money and writes the record; or writes that there was too little. Whoever asks again is told what the record says.
//! 2. *Ended*: one commit demands the exact record. The caller posts or voids it. One that was asked for with an end
//!    (`expires_in_seconds`) is voided when that is over, by settlement (an index, `m3`) or by whoever meets it then: that
//!    is committed before anything is told of it, so that the first commit decides whether it left or expired, whatever
//!    clocks say. One without an end is never voided by a machine: reconciliation names it where it is pending for long.
//! 3. *Voided before it came*: a record under a number that nobody asked for, which demands likewise that the number is
//!    not forgotten; who is late with a voiding must not leave a new record for each try.
//! 4. *Gone*: what ended long ago is collected ([`crate::collect`]): one commit demands the exact record, takes it away
//!    with its entry in the index of all (`m2`), leaves the mark of its number, and adds its cents to what is gone of the
//!    user's withdrawals, so that account and entries are still explained. Entries of it are carried later, and taken off
//!    there again. Asking, or voiding, under its number is `too_old` from then on.
//!
//! The indexes change in the commit that changes the record; what is pending is never collected.
//!
//! Pending tokens are posted before a withdrawal is decided. A refusal is recorded only by a commit that sees too
//! little and nothing pending. The result codes are those of two-phase transfers.

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::due::{self, Due, Swept};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Field, Guard, MapKey, Read, Value, Write};
use serde::{Deserialize, Serialize};
use store::numbers::{Family, Number};
use store::sweep::{Fault, Sweep};
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
    /// When the caller said that it was ordered, in unix milliseconds.
    pub ordered_at: Option<i64>,
    /// Until when it may be pending.
    pub end: Option<End>,
    /// Whether it was voided because that was over.
    pub has_expired: bool,
}

/// Until when a withdrawal may be pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many seconds were asked for.
    pub seconds: u32,
    /// The moment, in unix milliseconds.
    pub at: i64,
}

/// What a caller asks for under a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Cents.
    pub amount: i64,
    /// When it was ordered, if the caller says so: it is part of the number.
    pub ordered_at: Option<UnixMillis>,
    /// How long it may be pending, where it has an end.
    pub expires_in_seconds: Option<u32>,
}

/// The longest time that a withdrawal with an end may be pending: 400 days.
pub const EXPIRES_IN_SECONDS_MAX: u32 = 400 * 86_400;
/// Withdrawals that one sweep of a partition voids, and that it passes over.
const SWEEP_MAX: u64 = 256;
const PASSED_OVER_MAX: u64 = 1_024;

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
    /// The number was used with another time or another end.
    OrderNumberReused,
    /// It was ordered so long ago that what became of it is not kept.
    TooOld,
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
    fn again(self, request: &Request) -> Result {
        let seconds = self.end.map(|end| end.seconds);
        let is_same_order = self.ordered_at == request.ordered_at.map(|at| at.0)
            && seconds == request.expires_in_seconds;
        match self.state {
            // Voided before it came: no amount is known of it.
            State::Voided if self.amount == 0 => Err(Refusal::AlreadyVoided.into()),
            _ if self.amount != request.amount => Err(Refusal::ExistsWithDifferentAmount.into()),
            _ if !is_same_order => Err(Refusal::OrderNumberReused.into()),
            State::ExceedsBalance => Err(Refusal::ExceedsBalance.into()),
            State::Pending | State::Posted | State::Voided => Ok((self, true)),
        }
    }

    /// Whether it is pending, and may not be any more by this clock.
    fn is_over(&self, now: UnixMillis) -> bool {
        self.state == State::Pending && self.end.is_some_and(|end| now.0 >= end.at)
    }

    /// Its number, as marks know it.
    pub(crate) fn number<'a>(&self, user: UserId, number: &'a str) -> Number<'a> {
        number_of(user, number, self.ordered_at.map(UnixMillis))
    }

    /// Puts it into the indexes.
    fn listed(&self, user: UserId, number: &str) -> Vec<Write> {
        let what = due::of_user(user, number);
        let mut writes = vec![records::WITHDRAWALS.add(UnixMillis(self.at), &what)];
        if let (State::Pending, Some(end)) = (self.state, self.end) {
            writes.push(records::WITHDRAWAL_ENDS.add(UnixMillis(end.at), &what));
        }
        writes
    }

    /// Takes it out of the indexes.
    pub(crate) fn unlisted(&self, user: UserId, number: &str) -> Vec<Write> {
        let what = due::of_user(user, number);
        let mut writes = vec![records::WITHDRAWALS.remove(UnixMillis(self.at), &what)];
        if let (State::Pending, Some(end)) = (self.state, self.end) {
            writes.push(records::WITHDRAWAL_ENDS.remove(UnixMillis(end.at), &what));
        }
        writes
    }
}

impl Request {
    /// So many cents, and nothing else.
    pub fn of(amount: i64) -> Self {
        Self { amount, ordered_at: None, expires_in_seconds: None }
    }
}

fn record(user: UserId) -> MapKey {
    records::withdrawals(user)
}

fn number_of(user: UserId, number: &str, ordered_at: Option<UnixMillis>) -> Number<'_> {
    Number { family: Family::Withdrawals, user, number, ordered_at }
}

/// What became of a number: one round trip, and some more for the first who meets it after its end.
///
/// # Errors
/// The store's.
pub async fn look<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
) -> Result<Option<Withdrawal>> {
    attempts("look at a withdrawal", async || {
        let read = Read::Fields(record(user), vec![number.as_str().into()]);
        let answers = context.read(context.home(user), vec![read]).await?;
        let value = fields(answers.first())?.first().and_then(Option::as_ref);
        let found = value.map(Withdrawal::decode).transpose()?;
        if !found.as_ref().is_some_and(|found| found.is_over(context.now)) {
            return Ok(Some(found));
        }
        expire(context, user, number).await?;
        Ok(None)
    })
    .await
}

/// Holds money of a user. Whatever the user was given is posted before.
///
/// # Errors
/// `exists_with_different_amount`, `order_number_reused`, `too_old`; `exceeds_balance`, which is recorded; the store's.
pub async fn create<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    request: &Request,
) -> Result {
    let home = context.home(user);
    let field = || Field::from(number.as_str());
    let amount = request.amount;
    let mut account = posting::post(context, user).await?.account;
    attempts("withdraw", async || {
        let now = context.now;
        let is_covered = account.balance >= amount;
        let state = if is_covered { State::Pending } else { State::ExceedsBalance };
        let end = |seconds| End { seconds, at: now.0 + i64::from(seconds) * 1_000 };
        let withdrawal = Withdrawal {
            amount,
            state,
            at: now.0,
            ordered_at: request.ordered_at.map(|at| at.0),
            end: request.expires_in_seconds.map(end),
            has_expired: false,
        };
        let write = Write::Set(record(user), field(), withdrawal.encode());
        let listed = withdrawal.listed(user, number.as_str());
        let reads = vec![Account::read(user), pending::read(user)];
        let mut plan = Plan::new();
        plan.demand(Why::Known, Guard::FieldAbsent(record(user), field()));
        let is_remembered = withdrawal.number(user, number.as_str()).demands(context.partitions);
        plan.demand_all(Why::TooOld, is_remembered);
        let plan = if is_covered {
            let mut movement = Movement::new(plan, user, &account, now, Why::Moved);
            movement.demand(Why::Moved, Account::demand_balance(user, amount));
            movement.hold(amount);
            let what = What::Withdrawal(number.as_str().to_owned());
            movement.entry(&Entry { amount: -amount, at: now.0, what });
            movement.write(write);
            listed.into_iter().for_each(|write| movement.write(write));
            movement.plan(reads)
        } else {
            // Nothing may be pending that would cover it.
            plan.demand(Why::Moved, Guard::SizeAtMost(records::pending(user), 0));
            plan.demand(Why::Moved, Account::demand_less(user, amount));
            plan.write(write).write_all(listed).read_all(reads);
            plan
        };
        let refused = match context.commit(home, plan).await? {
            Ok(_) if is_covered => return Ok(Some((withdrawal, false))),
            Ok(_) => return Err(Refusal::ExceedsBalance.into()),
            Err(refused) => refused,
        };
        match refused.why {
            Why::Known => {
                let value = refused.field()?.ok_or_else(unexpected)?;
                let known = Withdrawal::decode(value)?;
                if known.is_over(now) {
                    expire(context, user, number).await?;
                    return Ok(None);
                }
                return known.again(request).map(Some);
            }
            Why::TooOld => return Err(Refusal::TooOld.into()),
            Why::Moved => {}
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
    /// The number is forgotten.
    TooOld,
    /// The account is elsewhere.
    Moved,
}

/// By what a withdrawal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The money left.
    Post,
    /// It comes back, because the caller says so; the time is that of a number which never came.
    Void(Option<UnixMillis>),
    /// It comes back, because the time is over.
    Expire,
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
    end(context, user, number, Ending::Post).await
}

/// The money comes back. A number that never came can come no more afterwards; `ordered_at` belongs to that number.
///
/// # Errors
/// `already_posted`, `already_voided`, `exceeds_balance`, `too_old`; the store's.
pub async fn void<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    ordered_at: Option<UnixMillis>,
) -> Result<Withdrawal> {
    end(context, user, number, Ending::Void(ordered_at)).await
}

/// Voids a withdrawal whose time is over, if it is still pending; nothing else changes.
async fn expire<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
) -> std::result::Result<(), CommitError> {
    match end(context, user, number, Ending::Expire).await {
        Ok(_) | Err(Failure::Refused(_)) => Ok(()),
        Err(Failure::Store(error)) => Err(error),
    }
}

async fn end<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    ending: Ending,
) -> Result<Withdrawal> {
    let home = context.home(user);
    let field = || Field::from(number.as_str());
    attempts("end a withdrawal", async || {
        let reads = vec![Read::Fields(record(user), vec![field()]), Account::read(user)];
        let answers = context.read(home, reads).await?;
        let value = fields(answers.first())?.first().cloned().flatten();
        let now = context.now;
        let Some(value) = value else {
            return match ending {
                Ending::Void(ordered_at) => forbid(context, user, number, ordered_at).await,
                Ending::Post | Ending::Expire => Err(Refusal::NotFound.into()),
            };
        };
        let before = Withdrawal::decode(&value)?;
        match before.state {
            State::Pending => {}
            State::Posted => return Err(Refusal::AlreadyPosted.into()),
            State::Voided => return Err(Refusal::AlreadyVoided.into()),
            State::ExceedsBalance => return Err(Refusal::ExceedsBalance.into()),
        }
        let has_expired = before.is_over(now) && !matches!(ending, Ending::Void(_));
        let state = match ending {
            Ending::Expire if !has_expired => return Ok(Some(before)),
            Ending::Post if !has_expired => State::Posted,
            Ending::Post | Ending::Void(_) | Ending::Expire => State::Voided,
        };
        let amount = before.amount;
        let unlisted = before.unlisted(user, number.as_str());
        let withdrawal = Withdrawal { state, at: now.0, has_expired, ..before };
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
        let listed = withdrawal.listed(user, number.as_str());
        unlisted.into_iter().chain(listed).for_each(|write| movement.write(write));
        if context.commit(home, movement.plan(vec![])).await?.is_err() {
            return Ok(None);
        }
        match ending {
            Ending::Post if has_expired => Err(Refusal::AlreadyVoided.into()),
            _ => Ok(Some(withdrawal)),
        }
    })
    .await
}

/// Keeps a number that never came from coming; nothing where it came meanwhile.
async fn forbid<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    ordered_at: Option<UnixMillis>,
) -> Result<Option<Withdrawal>> {
    let withdrawal = Withdrawal {
        amount: 0,
        state: State::Voided,
        at: context.now.0,
        ordered_at: ordered_at.map(|at| at.0),
        end: None,
        has_expired: false,
    };
    let field = Field::from(number.as_str());
    let mut plan = Plan::new();
    plan.demand(Why::Known, Guard::FieldAbsent(record(user), field.clone()));
    let is_remembered = withdrawal.number(user, number.as_str()).demands(context.partitions);
    plan.demand_all(Why::TooOld, is_remembered);
    plan.write(Write::Set(record(user), field, withdrawal.encode()));
    plan.write_all(withdrawal.listed(user, number.as_str()));
    match context.commit(context.home(user), plan).await? {
        Ok(_) => Ok(Some(withdrawal)),
        Err(refused) if refused.why == Why::TooOld => Err(Refusal::TooOld.into()),
        Err(_) => Ok(None),
    }
}

/// Voids the withdrawals of some partitions whose time is over, those that wait longest first, bounded.
///
/// # Errors
/// The store's, where it failed before anything was done or found.
pub async fn expire_due<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
) -> std::result::Result<Swept, CommitError> {
    let sweep = Sweep {
        index: records::WITHDRAWAL_ENDS,
        name: "a withdrawal whose time is over",
        partitions,
        until: context.now,
        looks_ahead: false,
        sets_aside: true,
        done_max: SWEEP_MAX,
        passed_over_max: PASSED_OVER_MAX,
    };
    sweep.each(context, async |due| expire_one(context, &due).await).await
}

async fn expire_one<B: Binding>(
    context: &Context<'_, B>,
    due: &Due<'_>,
) -> std::result::Result<bool, Fault> {
    let (user, number) = due::user_of(due.what)?;
    let number = OrderNumber::parse(number, "number").map_err(|_| unexpected())?;
    let is_done = match end(context, user, &number, Ending::Expire).await {
        Ok(withdrawal) => withdrawal.has_expired,
        Err(Failure::Refused(Refusal::NotFound)) => {
            let error = format!("the withdrawal {number} has an end, and is not there");
            return Err(CommitError::Unreadable(error).into());
        }
        Err(Failure::Refused(_)) => false,
        // An integer may be one of the accounts of the partition, which are everybody's.
        Err(Failure::Store(error @ CommitError::Invalid(_))) => {
            return Err(Fault::of_shared_record(error));
        }
        Err(Failure::Store(error)) => return Err(error.into()),
    };
    if !is_done {
        // One that a retry of an operator put back, after it had ended.
        context
            .write(context.home(user), [records::WITHDRAWAL_ENDS.remove(due.at, due.what)])
            .await?;
    }
    Ok(is_done)
}
