//! What is published agrees with what runs: the OpenAPI document, the manifests, the components.
//!
//! - [`routes`]: every route and method of the app is in the document, and every one of the document in the app
//! - [`activities`], [`balances`], [`coupons`], [`promotions`], [`red_packets`]: shapes and codes of the
//!   answers, by function
//! - [`coupon_refusals`]: every refusal of the coupon function
//! - [`manifest`]: what `spin.toml` gives to the app, and events over a Redis channel
//! - [`components`]: imports, exports and sizes of the components
//! - [`environment`]: the examples of configuration
//! - [`template`]: the template of new functions

mod activities;
mod balances;
mod components;
mod coupon_refusals;
mod coupons;
mod environment;
mod manifest;
mod promotions;
mod red_packets;
mod routes;
mod template;
