//! Entries: what moved in a user's account, one after the other.

use domain::transaction::{CommitError, Value};
use serde::{Deserialize, Serialize};
use store::{Record, codec};

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

impl Record for Entry {
    const NAME: &'static str = "an entry";
}

impl Entry {
    /// As the store keeps it.
    pub fn encode(&self) -> Value {
        codec::encode(self)
    }

    /// Reads it again.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(value: &Value) -> Result<Self, CommitError> {
        codec::decode(value)
    }
}
