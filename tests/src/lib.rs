//! Support of the end-to-end tests.
//!
//! - [`app`]: the app in the host, its requests and answers
//! - [`carts`]: carts and activities of any size
//! - [`client`]: asking over a socket
//! - [`counted`]: a store that counts its commits
//! - [`coupon`]: asking the coupon function
//! - [`group_buy`]: asking about group-buys
//! - [`conformance`]: one suite over every back end of the binding, with the transactions of
//!   [`generator`]
//! - [`key_value`]: a store with the semantics, and the traps, of Spin's default store
//! - [`dump`]: a Redis store as a whole
//! - [`effort`]: how much tests do
//! - [`native`]: the coupon function without a component
//! - [`openapi`]: the OpenAPI document, and whether an answer is as it says
//! - [`past`]: what is written into a store past the app
//! - [`patient`]: a client who asks again until there is an answer
//! - [`promotion`]: asking the promotion function
//! - [`purchase`]: asking for uses of activities
//! - [`redis_port`]: the Redis port on the crate that Spin's host uses
//! - [`redis_server`]: real servers, alone and as a cluster
//! - [`seed`]: seeds of random tests
//! - [`wallet`](mod@wallet): asking about red packets, balances and settlement
//! - [`wallet_checks`]: what wallets must agree on

pub mod app;
pub mod carts;
pub mod client;
pub mod conformance;
pub mod counted;
pub mod coupon;
pub mod dump;
pub mod effort;
pub mod generator;
pub mod group_buy;
pub mod key_value;
pub mod native;
pub mod openapi;
pub mod past;
pub mod patient;
pub mod promotion;
pub mod purchase;
pub mod redis_port;
pub mod redis_server;
pub mod seed;
pub mod wallet;
pub mod wallet_checks;
