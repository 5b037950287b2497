//! Wallets: what users were given as signed tokens, and the ledger into which tokens are posted. Three
//! functions share these rules: `red-packet` gives, `balance` shows and pays out, `settlement` posts.
//!
//! In reading order:
//! - [`token`], [`keys`]: what a user was given, signed; either copy restores the other
//! - [`records`]: what the store holds, and under which names
//! - [`account`], [`entry`]: the ledger - every movement has two sides
//! - [`pending`]: tokens that are not posted
//! - [`posting`]: how they are posted, by order number at most once
//! - [`mode`]: the switch for posting
//! - [`view`]: what a user has, posted or not; [`statement`]: what moved; [`carried`]: what moved long ago
//! - [`withdraw`]: money that leaves, in two phases
//! - [`rain`]: rounds in which a campaign gives money; [`limits`]: how many packets of it one user gets
//! - [`seal`]: the end of rains that are over for good
//! - [`packet`], [`split`]: group packets, and how they are divided
//! - [`collect`]: deletes what is over; [`lives`]: how long each kind of record lives
//!
//! [`context`] is what all of them work with. None of them reads a clock or a random number.
//!
//! # Tokens first, ledger later
//!
//! ```text
//!    rain: one commit in the user's partition           group packet: one commit takes a part,
//!    number new - budget leased - token written         a second one pays it under the packet's number
//!                       \                                  /
//!                        v                                v
//!             +---------------------------- user's partition ----------------------------+
//!    client   |  pending   order number -> signed token      queue   of these, by age    |
//!    holds -->|     |                                                                    |
//!    a copy   |     | posting: one transaction for up to 256 tokens, by number once      |
//!             |     v                                                                    |
//!             |  entries 0, 1, 2, ...    posted   order number -> entry                  |
//!             |  account  balance, held, income, withdrawn     fund -, users +           |
//!             +--------------------------------------------------------------------------+
//!                       |                                |
//!         view = account + pending          withdrawal: held, then paid out or voided
//! ```
//!
//! Only the components that give tokens hold keys that can sign. The sum of all accounts is zero at any moment.

pub mod account;
pub mod carried;
pub mod collect;
pub mod entry;
pub mod keys;
pub mod limits;
pub mod lives;
pub mod mode;
pub mod packet;
pub mod pending;
pub mod posting;
pub mod rain;
pub mod records;
pub mod seal;
pub mod split;
pub mod statement;
pub mod token;
pub mod view;
pub mod withdraw;

pub use store::context;

#[cfg(test)]
mod tests;
