//! Flows from the first request to what is in the store afterwards, on a store in memory.

mod bulk;
mod collect;
mod expiry;
mod group_buy;
mod issue;
mod list;
mod pages;
mod publish;
mod redemption;
mod reservation;
mod scene;
mod seal;
mod settling;
mod shop;
mod two_clocks;
