//! How much tests do: everything, as in CI, or little, under `cargo xtask test --fast`.
//!
//! A test that says more by doing more asks here how much. One that with less would prove something else
//! is left as it is.

use std::env;

/// `1` under `cargo xtask test --fast`; in CI it is removed.
const VARIABLE: &str = "HONGBAO_FAST";
/// `1` where every fault shall hit every call on every store, and all schedules run.
const EXHAUSTIVE: &str = "HONGBAO_EXHAUSTIVE";
/// By what fewer schedules are divided.
const SHARE: u64 = 10;

/// Whether tests shall do little.
pub fn is_fast() -> bool {
    is_set(VARIABLE)
}

/// Whether nothing shall be left out that CI leaves out.
pub fn is_exhaustive() -> bool {
    is_set(EXHAUSTIVE)
}

fn is_set(variable: &str) -> bool {
    env::var(variable).is_ok_and(|value| !matches!(value.as_str(), "" | "0"))
}

/// Of so many schedules, or cases, how many shall run: all, or a tenth, which is at least one.
pub fn schedules(full: u64) -> u64 {
    if is_fast() { full.div_ceil(SHARE) } else { full }
}
