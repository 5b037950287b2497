//! What goes wrong in simulations, and a client who asks again.

use host::{Call, Faults, Options, Random, Schedule, Time};

use crate::app::Place;
pub use crate::patient::{Patient, TIMEOUT_MS, ask};

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
