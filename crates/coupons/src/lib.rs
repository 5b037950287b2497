//! Coupons: exactly once, within budget, without a hot key.
//!
//! In reading order:
//! - [`template`], [`scene`]: what operators publish, and which rules follow from it alone
//! - [`pace`]: how fast a user may get awards of a scene; packets of rains keep to it, too
//! - [`records`]: what the store holds, and under which names; [`lives`]: for how long
//! - [`orders`]: the orders of a user, and when a number may act; [`collect`]: how they go
//! - [`issue`]: one commit decides and records; the stock is spread over the partitions by [`lease`]
//! - [`reservation`] and [`expiry`], [`redemption`], [`list`], [`bulk`], [`publish`]: the other operations
//! - [`settling`]: what coupons did not use of a budget returns to it
//! - [`revocation`] and [`walk`]: operators take coupons back and extend them, one or many
//! - [`chance`], [`group_buy`]: one group a user and campaign, and its reward
//! - [`seal`]: the end of templates and campaigns that are over for good
//! - [`refusal`]: why a request got nothing, by code
//!
//! [`context`] is what all of them work with. None of them reads a clock or a random number.

pub mod bulk;
pub mod chance;
pub mod collect;
pub mod context;
pub mod expiry;
pub mod group_buy;
pub mod issue;
pub mod list;
mod listed;
pub mod lives;
pub mod orders;
pub mod pace;
pub mod publish;
pub mod records;
pub mod redemption;
pub mod refusal;
pub mod reservation;
pub mod revocation;
pub mod scene;
pub mod seal;
pub mod settling;
pub mod template;
pub mod walk;

#[cfg(test)]
mod tests;
