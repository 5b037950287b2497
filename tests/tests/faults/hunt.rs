//! A hunt: a scenario runs once for each of its host calls and each fault, on each kind of store.

use end_to_end::app::{Place, not_loaded};
use end_to_end::patient::TIMEOUT_MS;
use host::{ALL_FAULTS, App, Exhausted, Options, Random, Run, exhaust};

/// After this time whatever was late has happened, and what is abandoned or retired counts as such.
pub const LATE_MS: u64 = 61_000;
/// A run has one fault, but a late effect may meet the next attempt.
pub const FAILURES_MAX: u32 = 2;
/// Few, so that a wave over all of them is short.
const PARTITIONS: &str = "4";

/// The same calls in each run, on records of its own.
pub fn options(place: &Place, prefix: String) -> Options {
    // Else the first run would send scripts that the later ones find.
    place.forget_scripts();
    let mut options = place
        .options()
        .variable("partitions", PARTITIONS)
        .variable("store_timeout_ms", TIMEOUT_MS.to_string())
        .variable("key_prefix", prefix);
    options.random = Random::Seeded(7);
    options
}

/// The prefix of the records of a run.
pub fn prefix(run: &Run) -> String {
    format!("r{}", run.number)
}

/// Hunts on one store, with these options.
#[track_caller]
pub fn hunt_with<F>(
    name: &str,
    place: &Place,
    options: impl Fn(&Run) -> Options,
    scenario: impl Fn(App, Run) -> F,
) -> Exhausted
where
    F: Future<Output = ()> + Send + 'static,
{
    let done = exhaust(&ALL_FAULTS, options, scenario);
    let done = done.unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
    println!("{name} on {}: {} calls, {} runs", place.name(), done.calls.len(), done.runs);
    assert!(done.runs > 4 * done.calls.len(), "{done:?}");
    done
}

/// Hunts on one store.
#[track_caller]
pub fn hunt_on<F>(name: &str, place: &Place, scenario: impl Fn(App, Run) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    hunt_with(name, place, |run| options(place, prefix(run)), scenario);
}

/// Hunts on each kind of store.
#[track_caller]
pub fn hunt<F>(name: &str, scenario: impl Fn(App) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for place in Place::all() {
        hunt_on(name, &place, |app, _| scenario(app));
    }
}
