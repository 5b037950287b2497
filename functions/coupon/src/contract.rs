//! The contract of this function, in native builds alone.

use edge::contract::Function;
use edge::variable::{OF_CALLERS, OF_STORE};

use crate::ROUTES;

/// The contract. What the operations promise is still written by hand (`crates/contract/parts.json`).
#[must_use]
pub fn contract() -> Function {
    let description = "Coupons: exactly once by order number, never over budget. A coupon's id is the order number under which it was given.";
    Function::new("coupon", description, ROUTES, |_| None)
        .reads(&[&OF_STORE, &OF_CALLERS])
        .tag("group-buy", "A new user has one chance a campaign to open a group; a group that succeeds earns a coupon.")
}
