//! Flows from the first request to what is in the store afterwards, on a store in memory.

mod bulk;
mod expiry;
mod group_buy;
mod issue;
mod list;
mod publish;
mod redemption;
mod reservation;
mod scene;
mod settling;
mod shop;
mod two_clocks;
