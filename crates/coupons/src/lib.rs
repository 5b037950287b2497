//! Coupons: exactly once, within budget, without a hot key.
//!
//! In reading order:
//! - [`template`], [`scene`]: what operators publish, and which rules follow from it alone
//! - [`pace`]: the rate limit of a user for awards of a scene, packets of rains included
//! - [`records`]: what the store holds, and under which names; [`lives`]: for how long
//! - [`orders`]: the orders of a user, and when a number may act; [`collect`]: how they are deleted
//! - [`issue`]: one commit decides and records; the stock is spread over the partitions by [`lease`]
//! - [`reservation`] and [`expiry`], [`redemption`], [`list`], [`bulk`], [`publish`]: the other operations
//! - [`settling`]: budget that coupons did not use returns
//! - [`revocation`] and [`walk`]: operators revoke and extend coupons, one or many
//! - [`chance`], [`group_buy`]: one group per user and campaign, and its reward
//! - [`seal`]: the end of templates and campaigns that are over for good
//! - [`refusal`]: why a request got nothing, by code
//!
//! [`context`] is what all of them work with. None of them reads a clock or a random number.
//!
//! # How a coupon is issued
//!
//! One commit in the user's partition: the number must not have acted, the user must be below the limit (and new,
//! where the template demands it), and something must be left. The commit writes the order, which is the coupon,
//! and two counts. A refusal writes nothing. A retry meets the order and returns what it says. The hot path asks
//! for nothing of earlier orders but whether the user has pages of them.
//!
//! # What surrounds it
//!
//! - The stock of a template is leased to the partitions ([`lease`]). Instances read a copy of the template (the
//!   *notice*) in another partition than the pool's; without it the pool would carry twice the load. The copy never
//!   goes back to an older version. A template that is over can be opened again by a later version.
//! - Low water withholds `threshold - 1` coupons in the pool, so nothing else has to know about it.
//! - Where a scene has no stock, issuing raises the partition's own `credited`, and no pool is asked.
//! - `events` cannot issue coupons. So a group that succeeds leaves its reward due, in an index too, and the next
//!   request for the user's coupons or the next sweep issues it ([`group_buy`]).

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
