//! What a request knows of time that passes: it is given, so that tests and the simulator decide what the time is.

use std::pin::Pin;

/// A wait that ends by itself.
pub type Pause = Pin<Box<dyn Future<Output = ()>>>;

/// The clock of one request.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    pause: fn(u64) -> Pause,
    monotonic_ms: fn() -> u64,
    began_ms: u64,
}

impl Timer {
    /// Begins with a way to wait so many milliseconds, and a clock that only goes forward, in milliseconds.
    pub fn begin(pause: fn(u64) -> Pause, monotonic_ms: fn() -> u64) -> Self {
        Self { pause, monotonic_ms, began_ms: monotonic_ms() }
    }

    /// One for tests in which no time passes.
    pub fn still() -> Self {
        Self::begin(|_| Box::pin(std::future::ready(())), || 0)
    }

    /// Waits so many milliseconds.
    pub fn pause(&self, ms: u64) -> Pause {
        (self.pause)(ms)
    }

    /// Milliseconds since it began.
    pub fn passed_ms(&self) -> i64 {
        let passed = (self.monotonic_ms)().saturating_sub(self.began_ms);
        i64::try_from(passed).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn time_passes_from_the_beginning_and_never_backwards() {
        static NOW_MS: AtomicU64 = AtomicU64::new(5_000);
        let ready = |_| -> Pause { Box::pin(std::future::ready(())) };
        let timer = Timer::begin(ready, || NOW_MS.load(Ordering::Relaxed));
        for (now_ms, expected) in [(5_000, 0), (5_001, 1), (4_000, 0), (u64::MAX, i64::MAX)] {
            NOW_MS.store(now_ms, Ordering::Relaxed);
            assert_eq!(timer.passed_ms(), expected, "{now_ms}");
        }
        assert_eq!(Timer::still().passed_ms(), 0);
    }
}
