//! A hunt: a scenario runs once for each of its host calls and each fault, on each kind of store; a long one for each call
//! and a share of the faults.

use end_to_end::app::{Place, not_loaded};
use end_to_end::effort;
use end_to_end::patient::TIMEOUT_MS;
use host::{ALL_FAULTS, App, Exhausted, Options, Random, Run, exhaust_share};

/// After this time whatever was late has happened, and what is abandoned or retired counts as such.
pub const LATE_MS: u64 = 61_000;
/// A run has one fault, but a late effect may meet the next attempt.
pub const FAILURES_MAX: u32 = 2;
/// Few, so that a wave over all of them is short.
const PARTITIONS: &str = "4";
/// Scenarios with more calls are long: each call is hit by a share of the faults, by turns, unless all are asked for. On Redis
/// by half of them; on the embedded store by a third, because what that store makes of a commit is hunted by the shorter
/// ones.
const CALLS_OF_LONG_ON_REDIS: usize = 80;
/// The same on the embedded store.
const CALLS_OF_LONG: usize = 40;

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
    let share = |calls| match place {
        _ if effort::is_exhaustive() => 1,
        Place::Redis(_) if calls > CALLS_OF_LONG_ON_REDIS => 2,
        Place::Kv if calls > CALLS_OF_LONG => 3,
        _ => 1,
    };
    let done = exhaust_share(&ALL_FAULTS, share, options, scenario);
    let done = done.unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
    let Exhausted { calls, runs, share } = &done;
    let of_faults =
        if *share > 1 { format!(", one in {share} faults each") } else { String::new() };
    println!("{name} on {}: {} calls{of_faults}, {runs} runs", place.name(), calls.len());
    assert!(runs * share > 4 * calls.len(), "{done:?}");
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
