//! The contract of this function, in native builds alone.

use edge::contract::Function;
use edge::variable::{DEVELOPMENT, OF_CALLERS, OF_STORE, TOKEN_SIGNING_KEYS, Variable};

use crate::ROUTES;

/// By which tokens are signed.
const OF_TOKENS: [Variable; 2] = [TOKEN_SIGNING_KEYS, DEVELOPMENT];

/// The contract. What the operations promise is still written by hand (`crates/contract/parts.json`).
#[must_use]
pub fn contract() -> Function {
    let description = "Posts tokens, finishes what a crash left half-way, and says where the books do not agree. For a schedule and for operators.";
    Function::new("settlement", description, ROUTES, |_| None)
        .reads(&[&OF_STORE, &OF_CALLERS, &OF_TOKENS])
        .listens(
            "hongbao-settlement",
            "Whatever a message says, what is queued is settled.",
            &[&OF_STORE, &OF_TOKENS],
        )
}
