//! The time of day. It is looked at once a request and handed down as a value.

use domain::time::UnixMillis;

/// Now, by the host's clock.
pub fn now() -> UnixMillis {
    let instant = spin_sdk::wasip3::clocks::system_clock::now();
    UnixMillis(instant.seconds * 1_000 + i64::from(instant.nanoseconds / 1_000_000))
}

/// Waits, for what another request of this instance, or somebody else, is about.
pub async fn pause(ms: u64) {
    spin_sdk::wasip3::clocks::monotonic_clock::wait_for(ms.saturating_mul(1_000_000)).await;
}
