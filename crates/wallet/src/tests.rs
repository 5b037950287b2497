//! Flows from the first request to what is in the store afterwards, on a store in memory.

mod books;
mod carrying;
mod ends;
mod flows;
mod forgetting;
mod payments;
mod random;
mod requests;
mod two_clocks;
