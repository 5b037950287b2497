//! Load and cost: rushes over sockets that give exactly what there is, and what requests cost by the host's
//! counters.
//!
//! - [`flash_sale`], [`packet_rush`], [`purchase_sale`]: rushes, on a Redis that loses replies
//! - [`paid_mark_counts`], [`coupon_counts`], [`promotion_counts`], [`wallet_counts`]: round trips and fuel
//! - [`backlog`]: thousands of what waits or is listed
//! - [`leases`]: how the load of a sale lies on the partitions
//! - [`promotion_catalogue`]: a cart costs the same in a catalogue of any size

mod backlog;
mod coupon_counts;
mod flash_sale;
mod leases;
mod packet_rush;
mod paid_mark_counts;
mod promotion_catalogue;
mod promotion_counts;
mod purchase_sale;
mod wallet_counts;
