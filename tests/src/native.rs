//! The coupon function without a component: its own code on a store of the test's.

use coupons::context::{Context, Templates};
use domain::partition::Partitions;
use domain::time::UnixMillis;

/// A request of 2026-02-16T16:00:00Z.
pub fn context<'a, B>(store: &'a B, templates: &'a Templates, lease_share: i64) -> Context<'a, B> {
    let base = store::Context {
        store,
        partitions: Partitions::default(),
        now: UnixMillis(1_771_257_600_000),
        timer: store::Timer::begin(|_| Box::pin(tokio::task::yield_now()), || 0),
    };
    Context { base, stage: "live", templates, lease_share }
}
