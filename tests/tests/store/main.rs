//! The store below the functions: its two back ends, on real servers.
//!
//! - [`conformance`], [`conformance_in_host`]: both answer as the reference model does, natively and through a
//!   component
//! - [`key_value`], [`races`]: the key-value back end, and two instances that create a partition at once
//! - [`redis`], [`cluster`]: the Redis back end on one server and on a cluster
//! - [`clocks`]: instances whose clocks are wrong go by the store's
//! - [`durability`]: what `/healthz` says of how a store keeps data
//! - [`outage`]: the store goes away under load and comes back

mod clocks;
mod cluster;
mod conformance;
mod conformance_in_host;
mod durability;
mod key_value;
mod outage;
mod races;
mod redis;
