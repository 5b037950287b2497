//! What every operation works with: the store layer's.

pub use store::Context;
