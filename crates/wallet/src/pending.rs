//! Tokens that are not posted: how one comes, and which a user has.

use domain::answers::unexpected;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, Read, Value, Write};

use crate::records::{self, PENDING_MAX};
use crate::token::Token;

/// Guards of [`guards`], in their order.
pub const GUARDS: usize = 3;

/// Demands that an order number has not acted, and that the user has room for one more token:
/// - the first guard sees the token where it is not posted ([`Token::from_stored`]),
/// - the second one the sequence number of its entry where it is,
/// - the third one is refused where the user has too many: whoever posts them makes room.
pub fn guards(user: UserId, number: &str) -> [Guard; GUARDS] {
    let [is_new, is_unposted] = unknown(user, number);
    [is_new, is_unposted, Guard::SizeAtMost(records::pending(user), PENDING_MAX - 1)]
}

/// Demands that an order number is neither pending nor posted.
pub fn unknown(user: UserId, number: &str) -> [Guard; 2] {
    [
        Guard::FieldAbsent(records::pending(user), number.into()),
        Guard::FieldAbsent(records::posted(user), number.into()),
    ]
}

/// Gives a user a token, and asks for its posting.
pub fn writes(user: UserId, number: &str, token: Vec<u8>, now: UnixMillis) -> [Write; 4] {
    let [day, changed] = records::CHANGED.mark(user, now);
    let since = Value::Integer(now.0);
    [
        Write::Set(records::pending(user), number.into(), Value::Bytes(token)),
        Write::Set(records::queue(), records::user_field(user), since),
        day,
        changed,
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

/// The answer to [`read`], the oldest first.
///
/// # Errors
/// It is another one, or holds what is no token.
pub fn answered(answer: Option<&Answer>) -> Result<Vec<Pending>, CommitError> {
    let Some(Answer::Map(fields)) = answer else { return Err(unexpected()) };
    let mut pending = fields.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    pending.sort_by(|a, b| a.order().cmp(&b.order()));
    Ok(pending)
}

fn one((field, value): &(Field, Value)) -> Result<Pending, CommitError> {
    let broken = || CommitError::Unusable("a token cannot be read".into());
    let Value::Bytes(stored) = value else { return Err(broken()) };
    let token = Token::from_stored(stored).map_err(|_| broken())?;
    // A token under another number's name would count twice.
    if token.order_number.as_str().as_bytes() != field.0 {
        return Err(broken());
    }
    Ok(Pending { token, stored: stored.clone() })
}
