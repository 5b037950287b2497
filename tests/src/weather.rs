//! What goes wrong in simulations, and a client who asks again.

use host::{App, Call, Faults, Options, Random, Schedule, Time};

use crate::app::{Ask, Place, Reply};

/// After this time of the virtual clock a call to Redis counts as unanswered.
pub const TIMEOUT_MS: u64 = 300;

/// The app on Redis, in so few partitions that users meet, with its order, randomness and faults from a
/// seed.
pub fn options(place: &Place, seed: u64, partitions: u32) -> Options {
    let mut options = place
        .options()
        .variable("partitions", partitions.to_string())
        .variable("store_timeout_ms", TIMEOUT_MS.to_string());
    options.schedule = Schedule::Seeded(seed);
    options.random = Random::Seeded(seed);
    options.faults = faults(seed, vec![Call::RedisOpen, Call::RedisExecute]);
    options
}

/// The same from a moment on, where nothing goes wrong: a look at all books is long.
pub fn fair_options(place: &Place, seed: u64, partitions: u32, start_ms: u64) -> Options {
    let mut options = options(place, seed, partitions);
    options.faults = Faults::default();
    options.time = Time::Seeded { start_ms };
    options
}

/// A little of everything, at calls of these kinds; one seed in four has good weather.
pub fn faults(seed: u64, calls: Vec<Call>) -> Faults {
    let chance = if seed.is_multiple_of(4) { 0.0 } else { 0.01 };
    Faults {
        seed,
        calls,
        error_before: 2.0 * chance,
        lost_reply: 3.0 * chance,
        delay_before: 2.0 * chance,
        delay_after: 2.0 * chance,
        crash_before: chance,
        crash_after: chance,
        cancel: chance,
        duplicate: chance,
        duplicate_later: chance,
        delay_ms_max: 2 * TIMEOUT_MS,
        ..Faults::default()
    }
}

/// Asks once; the answer may be lost, or be that the store failed.
pub async fn ask(app: &App, asked: &Ask) -> Option<Reply> {
    let reply = asked.of(app).await;
    if reply.is_lost() {
        return None;
    }
    reply.assert_well_formed();
    if reply.status == 503 {
        reply.assert_store_failed();
        return None;
    }
    Some(reply)
}

/// A client who asks again until there is an answer.
pub struct Patient {
    app: App,
    failures: u32,
    failures_max: u32,
}

impl Patient {
    /// A client whose requests fail so many times at the most, all together.
    pub fn new(app: &App, failures_max: u32) -> Self {
        Self { app: app.clone(), failures: 0, failures_max }
    }

    /// Asks until there is an answer.
    ///
    /// # Panics
    /// Too many requests fail.
    pub async fn until_answered(&mut self, asked: &Ask) -> Reply {
        loop {
            if let Some(reply) = ask(&self.app, asked).await {
                return reply;
            }
            self.failures += 1;
            assert!(
                self.failures <= self.failures_max,
                "{} requests failed: {asked:?}",
                self.failures
            );
        }
    }
}
