//! The view: what a user has, whether it was posted or not.

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::ids::UserId;
use domain::transaction::{CommitError, Guard, Read, Value};
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

/// Puts back tokens that the client holds and the store has lost; how many. A token that the store
/// has, posted or not, counts there and is not looked at any further, but for whose it is.
///
/// # Errors
/// A token is not right; the store's.
pub async fn restore<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    stage: &str,
    keys: &VerifyingKeys,
    texts: &[String],
) -> Result<usize, RestoreError> {
    let mut tokens = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let wrong = |why| RestoreError::Wrong(WrongToken { index, why });
        let Token { order_number: number, open_time, .. } =
            keys.open(text, user, stage, context.now).map_err(wrong)?;
        let stored = Envelope::from_text(text).map_err(wrong)?.to_stored();
        // Of two copies one is enough.
        if !tokens.iter().any(|(other, _, _)| *other == number) {
            tokens.push((number, open_time, stored));
        }
    }
    if tokens.is_empty() {
        return Ok(0);
    }
    let home = context.home(user);
    attempts("put tokens back", async || {
        let numbers: Vec<_> = tokens.iter().map(|(number, ..)| number.as_str().into()).collect();
        let reads = vec![
            Read::Fields(records::pending(user), numbers.clone()),
            Read::Fields(records::posted(user), numbers),
        ];
        let answers = context.read(home, reads).await?;
        let (pending, posted) = (fields(answers.first())?, fields(answers.get(1))?);
        let known = pending.iter().zip(posted).map(|(one, other)| one.is_some() || other.is_some());
        let lost: Vec<_> =
            tokens.iter().zip(known).filter(|(_, known)| !known).map(|(token, _)| token).collect();
        if lost.is_empty() {
            return Ok(Some(0));
        }
        let mut plan = Plan::new();
        for (number, drawn, stored) in &lost {
            let (number, stored) = (number.as_str(), stored.clone());
            plan.demand_all((), pending::unknown(user, number));
            plan.write_all(pending::writes(user, number, stored, *drawn, context.now));
        }
        let room = PENDING_MAX - u32::try_from(lost.len()).unwrap_or(PENDING_MAX);
        plan.demand((), Guard::SizeAtMost(records::pending(user), room));
        if context.commit(home, plan).await?.is_ok() {
            return Ok(Some(lost.len()));
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
            Ok(Some((posting::posted_token(context, user, *sequence).await?, true)))
        }
        (Some(Value::Bytes(stored)), None) => {
            Ok(Some((Token::from_stored(stored).map_err(|_| unexpected())?, false)))
        }
        (None, None) => Ok(None),
        _ => Err(unexpected()),
    }
}
