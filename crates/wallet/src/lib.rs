//! Wallets: tokens first, ledger later.

pub mod keys;
pub mod split;
pub mod token;
