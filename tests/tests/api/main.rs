//! The functions over HTTP: what each operation answers and leaves behind, on the embedded store and on Redis.
//!
//! - [`new_user`], [`orders`]: who is new, by hand and from real orders
//! - [`coupons`], [`scenes`], [`bulk`]: coupons, what is configured for their scenes, issuing to the users of
//!   a file
//! - [`coupon_money`]: what coupons did not use of a budget, and coupons that are taken back or extended
//! - [`group_buy`]: groups and their rewards
//! - [`activities`], [`promotions`], [`promotion_index`]: publishing, pricing carts, finding activities
//! - [`withdrawals`]: money that leaves a balance, and tokens that the store has lost
//! - [`payments`]: payments for group packets: late, or a second one
//! - [`reconciliation`]: corrupted books are found
//! - [`quarantine`]: what cannot be done is set aside
//! - [`unreadable`]: one unreadable record stops only itself

mod activities;
mod bulk;
mod coupon_money;
mod coupons;
mod group_buy;
mod new_user;
mod orders;
mod payments;
mod promotion_index;
mod promotions;
mod quarantine;
mod reconciliation;
mod scenes;
mod unreadable;
mod withdrawals;
