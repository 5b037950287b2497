//! Many schedules of the simulation, each with its own seed, order, faults and campaigns.

use end_to_end::app::{Place, not_loaded};
use end_to_end::schedules::run_all;
use end_to_end::seed::{Named, seeds};
use end_to_end::simulation::{Report, run};

/// In all.
const SCHEDULES: u64 = 2_000;

fn run_one(place: &Place, seed: u64) -> Report {
    let _named = Named::schedule("coupons", seed);
    run(place, seed).unwrap_or_else(|error| panic!("{}", not_loaded(&error)))
}

#[test]
fn the_invariants_hold_after_every_step() {
    let seeds = seeds();
    for seed in &seeds {
        let reports = run_all(*seed, SCHEDULES / seeds.len() as u64, run_one);
        let mut sum = Report::default();
        reports.iter().for_each(|report| sum.add(report));
        println!("{} schedules: {sum:?}", reports.len());
        assert!(sum.given > 0 && sum.failed > 0 && sum.faults > 0, "all of it happened: {sum:?}");
    }
}

#[test]
fn a_seed_repeats_its_schedule() {
    let place = Place::redis();
    let reports = [3, 3, 5].map(|seed| run(&place, seed).expect("the app loads"));
    assert_eq!(reports[0], reports[1]);
    assert_ne!(reports[0], reports[2]);
}
