//! Posting: a user's tokens become entries of the ledger, by order number at most once.
//!
//! One commit in the user's partition posts some tokens: it demands that the account is as it was seen, that
//! each token is there as it was seen, and that no number was posted; it writes an entry and a mark for each, takes
//! the tokens and their entries in the queue away, and moves the money. A crash before it leaves all as it was, one
//! after it nothing to do; a commit that comes late meets a mark, or an account that moved on. A token that
//! cannot be read stays, with its entry in the queue, and stops no other.
//!
//! If two post the same user at once, the loser's round is refused, and it goes on with what is left.

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::due;
use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Field, Guard, Read, Value, Write};
use prost::Message as _;
use store::{Plan, attempts};

use crate::account::{Account, Movement};
use crate::context::Context;
use crate::entry::{Entry, What};
use crate::packet;
use crate::pending::{self, Pending};
use crate::records;
use crate::token::{Payload, Token};

/// Tokens of one transaction: each takes two guards and four writes, and one more where its money comes from
/// an account of its own: 1,792 operations of 2,048.
pub const BATCH_MAX: usize = 256;
/// What a posting did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// Tokens that were posted.
    pub tokens: u64,
    /// The account afterwards.
    pub account: Account,
    /// The numbers of tokens that cannot be read.
    pub unreadable: Vec<String>,
}

/// Where the money of a token comes from.
pub fn source(token: &Token) -> String {
    if token.activity == packet::ACTIVITY {
        records::PACKETS.to_owned()
    } else {
        records::fund(&token.activity, &token.scene)
    }
}

/// What every attempt reads.
fn reads(user: UserId) -> Vec<Read> {
    vec![Account::read(user), pending::read(user)]
}

/// Posts all tokens of a user that can be read: one round trip to look, and one for each 256 tokens. Whoever
/// does the same at once posts some of them, and none twice.
///
/// # Errors
/// The store's; what was posted stays so.
pub async fn post<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
) -> Result<Posted, CommitError> {
    let home = context.home(user);
    let mut answers = context.read(home, reads(user)).await?;
    let mut posted = Posted::default();
    attempts("post", async || {
        let account = Account::answered(answers.first())?;
        let pending::Found { readable: tokens, unreadable } = pending::found(answers.get(1))?;
        (posted.account, posted.unreadable) = (account, unreadable);
        if tokens.is_empty() {
            return Ok(Some(std::mem::take(&mut posted)));
        }
        let batch = &tokens[..tokens.len().min(BATCH_MAX)];
        answers = match context.commit(home, step(context, user, &account, batch)).await? {
            Ok(answers) => {
                posted.tokens += batch.len() as u64;
                answers
            }
            Err(refused) => {
                if let Why::Posted(place) = refused.why
                    && let Some(one) = batch.get(place)
                {
                    drop_posted(context, user, one).await?;
                }
                refused.reads
            }
        };
        Ok(None)
    })
    .await
}

/// Why some tokens are not posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The account is elsewhere, or a token is not what it was: somebody else posts.
    Moved,
    /// The number of the token of this place was posted.
    Posted(usize),
}

/// What posts some tokens.
fn step<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    account: &Account,
    batch: &[Pending],
) -> Plan<Why> {
    let now = context.now;
    let mut movement = Movement::new(Plan::new(), user, account, now, Why::Moved);
    let mut sources: Vec<(String, i64)> = Vec::new();
    let mut income = 0;
    for (place, one) in batch.iter().enumerate() {
        let (pending, posted) = (records::pending(user), records::posted(user));
        let field = || Field::from(one.number().as_str());
        let value = Value::Bytes(one.stored.clone());
        movement.demand(Why::Moved, Guard::FieldEquals(pending, field(), value));
        movement.demand(Why::Posted(place), Guard::FieldAbsent(posted.clone(), field()));
        pending::taken(user, &one.token).into_iter().for_each(|write| movement.write(write));
        let (amount, what) = (one.amount(), What::Token(Payload::from(&one.token).encode_to_vec()));
        let sequence = movement.entry(&Entry { amount, at: now.0, what });
        movement.write(Write::Set(posted, field(), Value::Integer(sequence)));
        if !packet::is_refund(&one.token) {
            income += amount;
        }
        let source = source(&one.token);
        match sources.iter_mut().find(|(name, _)| *name == source) {
            Some((_, cents)) => *cents += amount,
            None => sources.push((source, amount)),
        }
    }
    movement.credit_all(&sources);
    movement.count_income(income);
    movement.plan(reads(user))
}

/// Drops a token whose number was posted: a copy that came back.
async fn drop_posted<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    one: &Pending,
) -> Result<(), CommitError> {
    let field = one.number().as_str().into();
    let mut plan = Plan::new();
    plan.demand((), Guard::FieldPresent(records::posted(user), field));
    plan.write_all(pending::taken(user, &one.token));
    context.commit(context.home(user), plan).await?.ok();
    Ok(())
}

/// Takes an entry out of the queue whose token was posted.
///
/// # Errors
/// `Unreadable` where the token is neither there nor posted: it was lost, and the entry stays, so that somebody
/// looks. The client's copy restores it. Else the store's.
pub async fn leave_queue<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    drawn: UnixMillis,
    number: &str,
) -> Result<(), CommitError> {
    let entry = due::of_user(user, number);
    let mut plan = Plan::new();
    plan.demand(Stays::NotOurs, Guard::FieldAbsent(records::pending(user), number.into()));
    plan.demand(Stays::NotOurs, records::QUEUE.demand(drawn, &entry));
    plan.demand(Stays::Lost, Guard::FieldPresent(records::posted(user), number.into()));
    plan.write(records::QUEUE.remove(drawn, &entry));
    match context.commit(context.home(user), plan).await? {
        Err(refused) if refused.why == Stays::Lost => {
            Err(CommitError::Unreadable(format!("the token {number} is queued, and not there")))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Why an entry stays in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    /// The token is there, or somebody else took the entry out.
    NotOurs,
    /// The token is nowhere.
    Lost,
}

/// The token of an order number that was posted; nothing where its entry was carried meanwhile, which takes the number
/// away, too.
///
/// # Errors
/// The store's; it is no entry of a token.
pub async fn posted_token<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    sequence: i64,
) -> Result<Option<Token>, CommitError> {
    let read = Read::Fields(records::page(user, sequence), vec![records::entry(sequence)]);
    let answers = context.read(context.home(user), vec![read, Account::read(user)]).await?;
    let value = fields(answers.first())?.first().and_then(Option::as_ref);
    let Some(value) = value else {
        let is_carried = sequence < Account::answered(answers.get(1))?.carried;
        return if is_carried { Ok(None) } else { Err(unexpected()) };
    };
    match Entry::decode(value)?.what {
        What::Token(payload) => Token::from_payload(&payload).map(Some).map_err(|_| unexpected()),
        _ => Err(unexpected()),
    }
}
