//! How long each stage of a request took, for `Server-Timing` (W3C Server Timing).

/// A clock that only goes forward, in nanoseconds.
pub fn monotonic_ns() -> u64 {
    spin_sdk::wasip3::clocks::monotonic_clock::now()
}

/// Parse, commit and render.
const STAGES_USUAL: usize = 3;
/// Bytes of `, commit;dur=12.345`.
const STAGE_BYTES_USUAL: usize = 20;

/// The stages of one request. Each look at the clock is a call of the host. The clock is given, so that a test can tell the time.
#[derive(Debug)]
pub struct Stages {
    /// When the first stage began.
    pub begin_ns: u64,
    clock: fn() -> u64,
    last_ns: u64,
    done: Vec<(&'static str, u64)>,
}

impl Stages {
    /// Begins the first stage.
    pub fn begin(clock: fn() -> u64) -> Self {
        let begin_ns = clock();
        Self { begin_ns, clock, last_ns: begin_ns, done: Vec::with_capacity(STAGES_USUAL) }
    }

    /// Ends a stage; the next one begins.
    pub fn end(&mut self, stage: &'static str) {
        let now_ns = (self.clock)();
        self.done.push((stage, now_ns.saturating_sub(self.last_ns)));
        self.last_ns = now_ns;
    }

    /// The header's value: durations in milliseconds.
    pub fn header(&self) -> String {
        let mut header = String::with_capacity(self.done.len() * STAGE_BYTES_USUAL);
        let mut digits = itoa::Buffer::new();
        for (stage, ns) in &self.done {
            let us = ns / 1_000;
            let separator = if header.is_empty() { "" } else { ", " };
            for part in [separator, *stage, ";dur=", digits.format(us / 1_000), "."] {
                header.push_str(part);
            }
            // The leading one keeps the zeros.
            header.push_str(&digits.format(1_000 + us % 1_000)[1..]);
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
