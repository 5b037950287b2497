//! The contract of this function, in native builds alone.

use edge::contract::Function;
use edge::variable::{OF_CALLERS, OF_STORE};

use crate::ROUTES;

/// The contract. What the operations promise is still written by hand (`crates/contract/parts.json`).
#[must_use]
pub fn contract() -> Function {
    let description = "What a cart costs under all activities, and why; purchase limits, prices and stock states.";
    Function::new("promotion", description, ROUTES, |_| None).reads(&[&OF_STORE, &OF_CALLERS])
}
