//! Flows from the first request to what is in the store afterwards, on a store in memory.

mod flows;
mod payments;
mod requests;
mod two_clocks;
