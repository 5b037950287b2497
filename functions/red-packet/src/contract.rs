//! The contract of this function, in native builds alone.

use edge::contract::Function;
use edge::variable::{DEVELOPMENT, OF_CALLERS, OF_STORE, TOKEN_SIGNING_KEYS, WALLET_CURRENCY};

use crate::ROUTES;

/// The contract. What the operations promise is still written by hand (`crates/contract/parts.json`).
#[must_use]
pub fn contract() -> Function {
    let description = "Money that campaigns give in rains, and that users give each other in group packets. Whoever opens one has a signed token, which counts at once.";
    Function::new("red-packet", description, ROUTES, |_| None).reads(&[
        &OF_STORE,
        &OF_CALLERS,
        &[TOKEN_SIGNING_KEYS, WALLET_CURRENCY, DEVELOPMENT],
    ])
}
