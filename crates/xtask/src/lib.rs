//! Everything that is done with this repository, behind one command: `cargo xtask <command>`.
//!
//! A command is a file: its arguments, and `run`. In the order in which a newcomer meets them:
//! - [`setup`]: finds or provides the WebAssembly target and the tools
//! - [`build`]: the components
//! - [`up`]: the whole app, on this machine
//! - [`demo`]: a year of real orders: priced and explained, then replayed against a running app
//! - [`evaluate`]: what the cart of a file costs under the activities of a file, and why
//! - [`import`]: the backfill, users who paid before the app existed
//! - [`bulk`]: coupons for the users of a file
//! - [`export`]: what the store holds of a day, into a file
//! - [`generate`]: the OpenAPI document, the manifests and the tables of the README, from the contracts of the functions
//! - [`test`], [`simulate`], [`bench`], [`ci`]: what they say
//! - [`defects`]: deliberate faults in the product, which the simulation must find
//! - [`mutants`]: deliberate faults in the rules, which tests must find
//!
//! Beneath them: [`workspace`] knows what lies where, [`native`] builds for this machine, [`process`] runs other programs, [`keys`] has the
//! keys of tokens, [`http`] asks a running app, [`users`] sends it a file of users. It is a library too, so
//! that the end-to-end tests replay the same orders and import the same files through a client of their
//! own.

pub mod bench;
pub mod build;
pub mod bulk;
pub mod ci;
pub mod defects;
pub mod demo;
pub mod evaluate;
pub mod export;
pub mod generate;
pub mod http;
pub mod import;
pub mod keys;
pub mod mutants;
pub mod native;
pub mod process;
pub mod setup;
pub mod simulate;
pub mod test;
pub mod up;
pub mod users;
pub mod workspace;
