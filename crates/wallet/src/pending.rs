//! Tokens that are not posted: how one comes, and which a user has.
//!
//! A token and its entry in the posting queue of the partition come in one commit, and go in one: when it is
//! posted, or dropped as a copy. The entry's name follows from the token - when it was drawn, whose it is, its
//! number -, so that whoever takes the token away knows the entry, and two tokens never share one.
//!
//! The first design had one queue entry per user. Whoever posted the user's last token would have had to take it
//! out, and it could go while another token came.

use domain::answers::unexpected;
use domain::due;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, Read, Value, Write};

use crate::records::{self, PENDING_MAX};
use crate::token::Token;

/// Why a user is not given a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The order number has acted. The guard saw the token where it is not posted ([`Token::from_stored`]), and the
    /// sequence number of its entry where it is.
    Known,
    /// The user has too many that are not posted: whoever posts them makes room.
    Full,
}

/// Demands that an order number has not acted, and that the user has room for one more token.
pub fn demands(user: UserId, number: &str) -> [(Why, Guard); 3] {
    let [is_new, is_unposted] = unknown(user, number);
    let has_room = Guard::SizeAtMost(records::pending(user), PENDING_MAX - 1);
    [(Why::Known, is_new), (Why::Known, is_unposted), (Why::Full, has_room)]
}

/// Demands that an order number is neither pending nor posted.
pub fn unknown(user: UserId, number: &str) -> [Guard; 2] {
    [
        Guard::FieldAbsent(records::pending(user), number.into()),
        Guard::FieldAbsent(records::posted(user), number.into()),
    ]
}

/// Gives a user a token that was drawn at a moment, which stands in it, and asks for its posting.
pub fn writes(
    user: UserId,
    number: &str,
    token: Vec<u8>,
    drawn: UnixMillis,
    now: UnixMillis,
) -> [Write; 4] {
    let [day, changed] = records::CHANGED.mark(user, now);
    [
        Write::Set(records::pending(user), number.into(), Value::Bytes(token)),
        records::QUEUE.add(drawn, &due::of_user(user, number)),
        day,
        changed,
    ]
}

/// Takes a token away, and its entry in the queue.
pub fn taken(user: UserId, token: &Token) -> [Write; 2] {
    let number = token.order_number.as_str();
    [
        Write::Unset(records::pending(user), number.into()),
        records::QUEUE.remove(token.open_time, &due::of_user(user, number)),
    ]
}

/// Reads the tokens of a user that are not posted.
pub fn read(user: UserId) -> Read {
    Read::All(records::pending(user), PENDING_MAX)
}

/// A token that is not posted, as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What it says.
    pub token: Token,
    /// The store's bytes of it.
    pub stored: Vec<u8>,
}

impl Pending {
    /// Its order number.
    pub fn number(&self) -> &OrderNumber {
        &self.token.order_number
    }

    /// Cents.
    pub fn amount(&self) -> i64 {
        self.token.amount.minor_units()
    }

    fn order(&self) -> (UnixMillis, &OrderNumber) {
        (self.token.open_time, self.number())
    }
}

/// The tokens of a user that are not posted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Those that can be read, the oldest first.
    pub readable: Vec<Pending>,
    /// The numbers of those that cannot.
    pub unreadable: Vec<String>,
}

/// What is said of a token that cannot be read.
pub fn unreadable(number: &str) -> CommitError {
    CommitError::Unreadable(format!("the token {number} cannot be read"))
}

/// The answer to [`read`].
///
/// # Errors
/// It is another one.
pub fn found(answer: Option<&Answer>) -> Result<Found, CommitError> {
    let Some(Answer::Map(fields)) = answer else { return Err(unexpected()) };
    let mut found = Found::default();
    for (field, value) in fields {
        match one(field, value) {
            Some(pending) => found.readable.push(pending),
            None => found.unreadable.push(String::from_utf8_lossy(&field.0).into_owned()),
        }
    }
    found.readable.sort_by(|a, b| a.order().cmp(&b.order()));
    Ok(found)
}

/// The answer to [`read`], the oldest first.
///
/// # Errors
/// It is another one, or holds what is no token.
pub fn answered(answer: Option<&Answer>) -> Result<Vec<Pending>, CommitError> {
    let Found { readable, unreadable: of } = found(answer)?;
    match of.first() {
        None => Ok(readable),
        Some(number) => Err(unreadable(number)),
    }
}

fn one(field: &Field, value: &Value) -> Option<Pending> {
    let Value::Bytes(stored) = value else { return None };
    let token = Token::from_stored(stored).ok()?;
    // A token under another number's name would count twice.
    let is_its_own = token.order_number.as_str().as_bytes() == field.0;
    is_its_own.then(|| Pending { token, stored: stored.clone() })
}
