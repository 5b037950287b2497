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
//!
//! # Lists for those who check the books
//!
//! The same commits write the lists that find everything, at no further round trip: a user's orders, the users of a
//! day, an activity's holds and units, and the activities that have any. The first commit of an order writes three
//! members more; a hold writes two and one per unit; letting go takes one out. Further steps on the same day write
//! none.
//!
//! # How orders and activities end
//!
//! Uses of all users are taken back in steps in two partitions, an hour apart: first the order is kept for good,
//! then its holds go, then the order ([`collect`]). An order that took only the user's own uses goes in one commit.
//! A mark in the partition of a sealed activity's counts keeps holds from coming, so that they only become fewer
//! ([`holds`]).

pub mod activities;
pub mod collect;
pub mod holds;
pub mod order;
pub mod records;

#[cfg(test)]
mod tests;
