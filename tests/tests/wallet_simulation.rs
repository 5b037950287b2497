//! Many schedules of the wallets' simulation, each with its own seed, order and faults.

use std::thread;

use end_to_end::app::{Place, not_loaded};
use end_to_end::seed::{Named, seeds};
use end_to_end::wallet_simulation::{Report, run};

/// In all.
const SCHEDULES: u64 = 2_000;
/// At the same time; each has a server of its own.
const THREADS: u64 = 2;

fn run_many(first: u64, count: u64) -> Report {
    let place = Place::redis();
    let mut sum = Report::default();
    for seed in (0..count).map(|number| first.wrapping_add(number)) {
        let _named = Named::test(seed);
        let report = run(&place, seed).unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
        sum.add(&report);
    }
    sum
}

#[test]
fn money_is_right_after_every_step() {
    let seeds = seeds();
    let each = SCHEDULES / (seeds.len() as u64 * THREADS);
    for seed in seeds {
        let threads = (0..THREADS).map(|number| {
            let first = seed.wrapping_add(number * each);
            thread::spawn(move || run_many(first, each))
        });
        let mut sum = Report::default();
        for thread in threads.collect::<Vec<_>>() {
            sum.add(&thread.join().expect("no schedule failed"));
        }
        println!("{} schedules: {sum:?}", each * THREADS);
        let happened = [sum.granted, sum.opened, sum.withdrawn, sum.exact, sum.failed, sum.faults];
        assert!(happened.iter().all(|count| *count > 0), "all of it happened: {sum:?}");
    }
}

#[test]
fn a_seed_repeats_its_schedule() {
    let place = Place::redis();
    let reports = [3, 3, 5].map(|seed| run(&place, seed).expect("the app loads"));
    assert_eq!(reports[0], reports[1]);
    assert_ne!(reports[0], reports[2]);
}
