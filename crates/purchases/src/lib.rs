//! Purchases: what orders take of activities with limits, each once by order number.
//!
//! In reading order:
//! - [`records`]: what the store holds, and under which names
//! - [`order`]: an order, how far it is, and the commit that changes it
//! - [`holds`]: what an order has of the uses that an activity gives to all users
//! - [`activities`]: which activities there are
//! - [`collect`]: how orders that are over go, and what stays of them
//!
//! How an order goes from one state to the next, and what a request may use, is `functions/promotion`'s, which
//! knows the activities. Reconciliation reads what is written here. Nothing here reads a clock or a random number.

pub mod activities;
pub mod collect;
pub mod holds;
pub mod order;
pub mod records;

#[cfg(test)]
mod tests;
