//! Wallets: tokens first, ledger later.

pub mod token;
