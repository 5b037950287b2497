//! How long each stage of a request took, for `Server-Timing` (W3C Server Timing).

use std::fmt::Write;

/// A clock that only goes forward, in nanoseconds.
pub fn monotonic_ns() -> u64 {
    spin_sdk::wasip3::clocks::monotonic_clock::now()
}

/// The stages of one request. The clock is given, so that a test can tell the time.
#[derive(Debug)]
pub struct Stages {
    clock: fn() -> u64,
    last_ns: u64,
    done: Vec<(&'static str, u64)>,
}

impl Stages {
    /// Begins the first stage.
    pub fn begin(clock: fn() -> u64) -> Self {
        Self { clock, last_ns: clock(), done: Vec::with_capacity(5) }
    }

    /// Ends a stage; the next one begins.
    pub fn end(&mut self, stage: &'static str) {
        let now_ns = (self.clock)();
        self.done.push((stage, now_ns.saturating_sub(self.last_ns)));
        self.last_ns = now_ns;
    }

    /// The header's value: durations in milliseconds.
    pub fn header(&self) -> String {
        let mut header = String::with_capacity(self.done.len() * 20);
        for (index, (stage, ns)) in self.done.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let us = ns / 1_000;
            // Writing into a string cannot fail.
            let _ = write!(header, "{comma}{stage};dur={}.{:03}", us / 1_000, us % 1_000);
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn the_header_has_each_stage_in_milliseconds() {
        static NOW_NS: AtomicU64 = AtomicU64::new(0);
        let mut stages = Stages::begin(|| NOW_NS.fetch_add(1_234_567, Ordering::Relaxed));
        stages.end("parse");
        stages.end("commit");
        assert_eq!(stages.header(), "parse;dur=1.234, commit;dur=1.234");
    }
}
