//! Entries: what moved in a user's account, one after the other.

use domain::transaction::{CommitError, Value};
use serde::{Deserialize, Serialize};

/// The first byte of an entry. Another one means another encoding.
const ENCODING: u8 = 1;

/// One movement of a user's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Cents that came; negative, where they went.
    pub amount: i64,
    /// When it was posted, in unix milliseconds.
    pub at: i64,
    /// What it was.
    pub what: What,
}

/// What an entry stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A token was posted: its payload, as it was signed.
    Token(Vec<u8>),
    /// A withdrawal took money.
    Withdrawal(String),
    /// A withdrawal that was voided gave it back.
    Voided(String),
    /// A group packet was sent from the balance, under this order number.
    Sent(String),
}

impl Entry {
    /// As the store keeps it.
    pub fn encode(&self) -> Value {
        encoded(self, ENCODING)
    }

    /// Reads it again.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(value: &Value) -> Result<Self, CommitError> {
        decoded(value, ENCODING, "an entry")
    }
}

/// What postcard writes, behind a byte that names the encoding.
pub(crate) fn encoded(value: &impl Serialize, encoding: u8) -> Value {
    // No type of this crate has anything that postcard could refuse.
    Value::Bytes(postcard::to_extend(value, vec![encoding]).unwrap_or_default())
}

/// What postcard wrote behind a byte that names the encoding.
pub(crate) fn decoded<'a, T: Deserialize<'a>>(
    value: &'a Value,
    encoding: u8,
    name: &str,
) -> Result<T, CommitError> {
    let broken = || CommitError::Unreadable(format!("{name} cannot be read"));
    let Value::Bytes(bytes) = value else { return Err(broken()) };
    let rest = bytes.strip_prefix(&[encoding]).ok_or_else(broken)?;
    postcard::from_bytes(rest).map_err(|_| broken())
}
