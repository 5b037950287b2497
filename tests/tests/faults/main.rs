//! Every fault at every host call of an operation: first the calls of a scenario are counted, then it runs
//! once for each call and each fault, and afterwards the state is right. In long scenarios each call is hit by a share of the
//! faults only, unless `HONGBAO_EXHAUSTIVE` is set.
//!
//! - [`hunt`]: how that is done
//! - [`paid_marks`]: who is new
//! - [`collection`]: what is over, and goes
//! - [`coupons`], [`group_buy`]: coupons, groups and their rewards
//! - [`publishing`], [`purchases`]: activities, and the uses that orders take of them
//! - [`wallets`]: rains, packets, balances, settlement
//!
//! A fault hits the first attempt, the immediate retry, and what finishes the operation (a sweep or a settlement),
//! once each; in short hunts also a late retry. Calls that only look at the result of a long hunt are not hit.

mod collection;
mod coupons;
mod group_buy;
mod hunt;
mod paid_marks;
mod publishing;
mod purchases;
mod wallets;
