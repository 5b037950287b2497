//! The view: what a user has, whether it was posted or not.
//!
//! It is one read of one moment: the account, and the tokens that are not in it. No sum of pending tokens is kept,
//! because each order number counts once: a token that the store lost and a client sends is restored only where its
//! number is neither pending nor posted.

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::ids::UserId;
use domain::transaction::{Answer, CommitError, Guard, Read, Value};
use store::numbers::{Family, Watermarks};
use store::{Plan, attempts};

use crate::account::Account;
use crate::context::Context;
use crate::keys::VerifyingKeys;
use crate::packet;
use crate::pending::{self, Pending};
use crate::posting;
use crate::records::{self, PENDING_MAX};
use crate::token::{Envelope, Token, TokenError};

/// Tokens that a client may send along.
pub const CLIENT_TOKENS_MAX: usize = 100;

/// What a user has: every order number counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Cents that can be withdrawn.
    pub balance: i64,
    /// Cents of them that are not posted.
    pub pending: i64,
    /// Cents that ever came, refunds aside.
    pub income: i64,
    /// Cents that left by withdrawals.
    pub withdrawn: i64,
    /// Cents that are held for withdrawals.
    pub held: i64,
    /// Tokens that are not posted, the oldest first.
    pub tokens: Vec<Pending>,
    /// Entries.
    pub entries: i64,
    /// Tokens that cannot be read: what they are worth is in none of these.
    pub unreadable: usize,
}

impl View {
    fn of(account: &Account, found: pending::Found) -> Self {
        let pending::Found { readable: tokens, unreadable } = found;
        let pending = tokens.iter().map(Pending::amount).sum::<i64>();
        let earned = tokens.iter().filter(|one| !packet::is_refund(&one.token));
        Self {
            balance: account.balance + pending,
            pending,
            income: account.income + earned.map(Pending::amount).sum::<i64>(),
            withdrawn: account.withdrawn,
            held: account.held,
            tokens,
            entries: account.sequence,
            unreadable: unreadable.len(),
        }
    }
}

/// What a user has: one round trip. What cannot be read of it is counted.
///
/// # Errors
/// The store's; the account cannot be read.
pub async fn view<B: Binding>(context: &Context<'_, B>, user: UserId) -> Result<View, CommitError> {
    let reads = vec![Account::read(user), pending::read(user)];
    let answers = context.read(context.home(user), reads).await?;
    Ok(View::of(&Account::answered(answers.first())?, pending::found(answers.get(1))?))
}

/// A token that the client sent and that does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongToken {
    /// Its place in the list.
    pub index: usize,
    /// Why.
    pub why: TokenError,
}

/// Why tokens could not be put back.
#[derive(Debug)]
pub enum RestoreError {
    /// One of them is not right. Nothing was put back.
    Wrong(WrongToken),
    /// The store's.
    Store(CommitError),
}

impl From<CommitError> for RestoreError {
    fn from(error: CommitError) -> Self {
        Self::Store(error)
    }
}

/// What came of tokens that a client sent along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// How many were put back.
    pub tokens: usize,
    /// The places of those that are so old that what became of them is not kept: they count in the account, or never did.
    pub too_old: Vec<usize>,
}

/// Puts back tokens that the client holds and the store has lost. A token that the store has, posted or not, counts there
/// and is not looked at any further, but for whose it is. One that may be among what was carried is not put back, and
/// named; it keeps no other.
///
/// # Errors
/// A token is not right; the store's.
pub async fn restore<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    stage: &str,
    keys: &VerifyingKeys,
    texts: &[String],
) -> Result<Restored, RestoreError> {
    let mut tokens: Vec<(usize, Token, Vec<u8>)> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let wrong = |why| RestoreError::Wrong(WrongToken { index, why });
        let token = keys.open(text, user, stage, context.now).map_err(wrong)?;
        let stored = Envelope::from_text(text).map_err(wrong)?.to_stored();
        // Of two copies one is enough.
        if !tokens.iter().any(|(_, other, _)| other.order_number == token.order_number) {
            tokens.push((index, token, stored));
        }
    }
    if tokens.is_empty() {
        return Ok(Restored::default());
    }
    let home = context.home(user);
    attempts("put tokens back", async || {
        let numbers: Vec<_> =
            tokens.iter().map(|(_, token, _)| token.order_number.as_str().into()).collect();
        let mut reads = vec![
            Read::Fields(records::pending(user), numbers.clone()),
            Read::Fields(records::posted(user), numbers),
            Watermarks::read(user),
        ];
        let marks = tokens.iter().map(|(_, token, _)| token.number());
        reads.extend(marks.map(|number| number.read_forgotten(context.partitions)));
        let answers = context.read(home, reads).await?;
        let (pending, posted) = (fields(answers.first())?, fields(answers.get(1))?);
        let carried_up_to = Watermarks::answered(answers.get(2))?.up_to(Family::Tokens);
        let forgotten = answers.iter().skip(3);
        let known = pending.iter().zip(posted).map(|(one, other)| one.is_some() || other.is_some());
        let mut restored = Restored::default();
        let mut plan = Plan::new();
        for (((index, token, stored), is_known), forgotten) in
            tokens.iter().zip(known).zip(forgotten)
        {
            let (number, drawn) = (token.order_number.as_str(), token.open_time);
            let mark = token.number();
            let is_below = mark.ordered_at.is_some_and(|drawn| drawn <= carried_up_to);
            let is_marked = mark.ordered_at.is_none() && *forgotten == Answer::Contains(true);
            match is_known {
                true => {}
                false if is_below || is_marked => restored.too_old.push(*index),
                false => {
                    plan.demand_all((), pending::unknown(user, number));
                    plan.demand_all((), mark.demands(context.partitions));
                    plan.write_all(pending::writes(
                        user,
                        number,
                        stored.clone(),
                        drawn,
                        context.now,
                    ));
                    restored.tokens += 1;
                }
            }
        }
        if restored.tokens == 0 {
            return Ok(Some(restored));
        }
        let room = PENDING_MAX - u32::try_from(restored.tokens).unwrap_or(PENDING_MAX);
        plan.demand((), Guard::SizeAtMost(records::pending(user), room));
        if context.commit(home, plan).await?.is_ok() {
            return Ok(Some(restored));
        }
        // Full, or another request put one of them back.
        posting::post(context, user).await?;
        Ok(None)
    })
    .await
}

/// Whether an order number has acted: its token, and whether it is posted.
///
/// # Errors
/// The store's.
pub async fn look_up<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &str,
) -> Result<Option<(Token, bool)>, CommitError> {
    attempts("look a number up", async || {
        let reads = vec![
            Read::Fields(records::pending(user), vec![number.into()]),
            Read::Fields(records::posted(user), vec![number.into()]),
        ];
        let answers = context.read(context.home(user), reads).await?;
        let value = |index: usize| {
            fields(answers.get(index)).map(|values| values.first().and_then(Option::as_ref))
        };
        match (value(0)?, value(1)?) {
            (_, Some(Value::Integer(sequence))) => {
                // Where it was carried meanwhile the number went with it.
                let token = posting::posted_token(context, user, *sequence).await?;
                Ok(token.map(|token| Some((token, true))))
            }
            (Some(Value::Bytes(stored)), None) => {
                let token = Token::from_stored(stored).map_err(|_| unexpected())?;
                Ok(Some(Some((token, false))))
            }
            (None, None) => Ok(Some(None)),
            _ => Err(unexpected()),
        }
    })
    .await
}
