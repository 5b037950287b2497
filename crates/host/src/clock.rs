//! The clocks that components see: the machine's, or a virtual one that tests move.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, oneshot};

use crate::options::Time;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// Resolution that the guests are told; the real one is at least as good on every platform we know.
pub(crate) const RESOLUTION_NS: u64 = 1_000;

/// A clock, shared by all instances of an app.
pub(crate) enum Clock {
    Real { start: Instant },
    Virtual(VirtualClock),
}

/// Time that moves only when it is told to.
#[derive(Default)]
pub(crate) struct VirtualClock {
    start_ns: u64,
    /// Nanoseconds since the start; atomic because `now` is on the guests' hot path.
    elapsed_ns: AtomicU64,
    /// By deadline, then by registration, so that ties have an order.
    sleepers: Mutex<BTreeMap<(u64, u64), oneshot::Sender<()>>>,
    registered: AtomicU64,
    /// Tells a driver that there is somebody to wake.
    pub(crate) changed: Notify,
}

impl Clock {
    pub(crate) fn new(time: Time) -> Self {
        match time {
            Time::Real => Self::Real { start: Instant::now() },
            Time::Seeded { start_ms } => Self::Virtual(VirtualClock {
                start_ns: start_ms.saturating_mul(NANOSECONDS_PER_MILLISECOND),
                ..VirtualClock::default()
            }),
        }
    }

    /// Nanoseconds since an arbitrary point, never going back.
    pub(crate) fn monotonic_ns(&self) -> u64 {
        match self {
            Self::Real { start } => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Self::Virtual(clock) => clock.elapsed_ns.load(Ordering::Acquire),
        }
    }

    /// Time since the Unix epoch; a machine whose clock stands before it is taken to be at it.
    pub(crate) fn system(&self) -> Duration {
        match self {
            Self::Real { .. } => {
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
            }
            Self::Virtual(clock) => Duration::from_nanos(
                clock.start_ns.saturating_add(clock.elapsed_ns.load(Ordering::Acquire)),
            ),
        }
    }

    /// Time since the Unix epoch as a clock sees it that is so far ahead, or behind where negative.
    pub(crate) fn system_off_by(&self, skew_ms: i64) -> Duration {
        let skew = Duration::from_millis(skew_ms.unsigned_abs());
        let now = self.system();
        if skew_ms < 0 { now.saturating_sub(skew) } else { now.saturating_add(skew) }
    }

    pub(crate) async fn sleep_ms(&self, ms: u64) {
        self.sleep_ns(ms.saturating_mul(NANOSECONDS_PER_MILLISECOND)).await;
    }

    pub(crate) async fn sleep_ns(&self, ns: u64) {
        match self {
            Self::Real { .. } => tokio::time::sleep(Duration::from_nanos(ns)).await,
            Self::Virtual(clock) => clock.sleep(ns).await,
        }
    }
}

impl VirtualClock {
    async fn sleep(&self, ns: u64) {
        if ns == 0 {
            return;
        }
        let deadline = self.elapsed_ns.load(Ordering::Acquire).saturating_add(ns);
        let number = self.registered.fetch_add(1, Ordering::Relaxed);
        let (wake, woken) = oneshot::channel();
        self.lock().insert((deadline, number), wake);
        self.changed.notify_one();
        // The sender is only dropped with the clock, when nobody is left to wait for it.
        let _ = woken.await;
    }

    /// Moves the clock to the first deadline that somebody still waits for, and wakes everyone who
    /// waits for that moment.
    pub(crate) fn advance_to_next(&self) -> bool {
        let deadline = {
            let mut sleepers = self.lock();
            sleepers.retain(|_, wake| !wake.is_closed());
            match sleepers.first_key_value() {
                None => return false,
                Some(((deadline, _), _)) => *deadline,
            }
        };
        self.elapsed_ns.fetch_max(deadline, Ordering::AcqRel);
        self.wake_due(deadline);
        true
    }

    /// Moves the clock by so much and wakes everyone whose deadline has come, in order.
    pub(crate) fn advance_ms(&self, ms: u64) {
        let by = ms.saturating_mul(NANOSECONDS_PER_MILLISECOND);
        let now = self.elapsed_ns.fetch_add(by, Ordering::AcqRel) + by;
        self.wake_due(now);
    }

    fn wake_due(&self, now: u64) {
        let mut sleepers = self.lock();
        let later = sleepers.split_off(&(now.saturating_add(1), 0));
        for (_, wake) in std::mem::replace(&mut *sleepers, later) {
            // Whoever gave up waiting is not woken.
            let _ = wake.send(());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(u64, u64), oneshot::Sender<()>>> {
        self.sleepers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn a_virtual_clock_wakes_in_order_of_deadlines_and_skips_who_gave_up() {
        let clock = Clock::new(Time::Seeded { start_ms: 5 });
        let Clock::Virtual(driver) = &clock else {
            unreachable!("asked for a virtual clock");
        };
        let mut late = Box::pin(clock.sleep_ms(20));
        let mut early = Box::pin(clock.sleep_ms(10));
        let mut never = Box::pin(clock.sleep_ms(1));
        assert!(late.as_mut().now_or_never().is_none());
        assert!(early.as_mut().now_or_never().is_none());
        assert!(never.as_mut().now_or_never().is_none());
        drop(never);

        assert!(driver.advance_to_next());
        assert!(early.as_mut().now_or_never().is_some());
        assert!(late.as_mut().now_or_never().is_none());
        assert_eq!(clock.system(), Duration::from_millis(15));

        driver.advance_ms(10);
        assert!(late.as_mut().now_or_never().is_some());
        assert_eq!(clock.monotonic_ns(), 20_000_000);
        assert!(!driver.advance_to_next());
    }

    #[test]
    fn a_clock_may_be_ahead_or_behind_but_not_before_the_epoch() {
        let clock = Clock::new(Time::Seeded { start_ms: 5 });
        let rows = [(0, 5), (10, 15), (-2, 3), (-5, 0), (-6, 0)];
        for (skew_ms, ms) in rows {
            assert_eq!(clock.system_off_by(skew_ms), Duration::from_millis(ms), "{skew_ms}");
        }
    }
}
