//! The time of day. It is looked at once a request and handed down as a value.

use domain::time::UnixMillis;

/// Now, by the host's clock.
pub fn now() -> UnixMillis {
    let instant = spin_sdk::wasip3::clocks::system_clock::now();
    UnixMillis(instant.seconds * 1_000 + i64::from(instant.nanoseconds / 1_000_000))
}

/// As long as another request needs for some commits.
const PAUSE_NS: u64 = 20_000_000;

/// Waits a moment, for what another request is about.
pub async fn pause() {
    spin_sdk::wasip3::clocks::monotonic_clock::wait_for(PAUSE_NS).await;
}
