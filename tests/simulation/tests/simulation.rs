//! Schedules of the simulation: those of seeds that failed once, and many from fresh seeds; and that the
//! simulation does what it is there for.

use std::collections::BTreeSet;

use end_to_end::app::{Place, root};
use end_to_end::effort;
use end_to_end::seed::seeds;
use simulation::functions::FUNCTIONS;
use simulation::lives;
use simulation::long_run::{self, Scale};
use simulation::many::{Done, run_all};
use simulation::plan::{FAULTS, Plan, Reduction};
use simulation::run::run;
use simulation::shrink::shrink;

/// In all. Some minutes of two cores: a schedule in which weeks pass takes five times as long as another.
const SCHEDULES: u64 = 600;
/// Where nothing is left out.
const SCHEDULES_OF_ALL: u64 = 1_500;
/// Seeds that meet what happens once in a thousand schedules: a token restored from the client's copy, a payment that an
/// operator credits. The fixed seed's schedules meet everything else, so that nothing depends on fresh ones.
const MEET_WHAT_IS_RARE: [u64; 2] = [20_225, 20_277];
/// At the same time; each has a server of its own.
const THREADS: usize = 2;
/// A seed a line, and what it found.
const FAILED_ONCE: &str = include_str!("../seeds.txt");

/// Runs seeds; the first that fails is shrunk and told.
fn run_seeds(seeds: &[u64]) -> Done {
    let done = run_all(seeds, THREADS, &Reduction::default(), false, |_| {});
    if let Some((seed, message)) = done.failed.first() {
        let story = match shrink(&Place::redis(), *seed, &Reduction::default()) {
            Ok(shrunk) => shrunk.text(*seed),
            Err(error) => format!("{error}, a second time"),
        };
        panic!("seed {seed}: {message}\n{story}\nput it into tests/simulation/seeds.txt");
    }
    done
}

#[test]
fn what_failed_once_holds() {
    let seed = |line: &str| line.split_whitespace().next()?.parse::<u64>().ok();
    let lines = FAILED_ONCE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let seeds: Vec<_> = lines.map(|line| seed(line).unwrap_or_else(|| panic!("{line}"))).collect();
    assert!(!seeds.is_empty());
    assert_eq!(run_seeds(&seeds).schedules, seeds.len() as u64);
}

#[test]
fn every_promise_holds_after_every_step() {
    let seeds = seeds();
    let all = if effort::is_exhaustive() { SCHEDULES_OF_ALL } else { SCHEDULES };
    let each = effort::schedules(all) / seeds.len() as u64;
    let drawn = seeds.iter().flat_map(|seed| (0..each).map(|n| seed.wrapping_add(n)));
    let seeds: Vec<_> = MEET_WHAT_IS_RARE.into_iter().chain(drawn).collect();
    let done = run_seeds(&seeds);
    println!("{}", done.text());
    // Few schedules do not see everything.
    if effort::is_fast() {
        return;
    }
    let report = done.report;
    for function in FUNCTIONS {
        for (action, _) in function.actions.iter().chain(function.later) {
            let name = format!("{}: {action}", function.name);
            assert!(report.actions.contains_key(&name), "{name} was never done");
        }
        for state in function.states {
            assert!(report.seen.contains_key(*state), "{state} was never seen");
        }
    }
    for fault in FAULTS {
        assert!(report.faults.contains_key(fault), "{fault} never happened");
    }
}

#[test]
fn a_seed_repeats_its_schedule() {
    let place = Place::redis();
    let report = |seed| run(&place, &Plan::draw(seed, &Reduction::default())).expect("it holds");
    let reports = [3, 3, 5].map(report);
    assert_eq!(reports[0], reports[1]);
    assert_ne!(reports[0], reports[2]);
}

/// Days of a shop in CI; `cargo xtask simulate --days 400` runs them all.
const DAYS: u64 = 60;
/// Users who come every day.
const USERS: u64 = 24;

#[tokio::test(flavor = "multi_thread")]
async fn the_store_stays_as_large_as_it_is() {
    let report = long_run::run(Scale::of_few_days(DAYS, USERS), |_, _| {}).await;
    println!("{}", report.text());
    let growth = report.growth();
    println!("{}", growth.text);
    // In the last third some of what is kept for weeks still comes to its end for the first time: it was 16.
    assert!(growth.percent <= 25, "{}", growth.text);
    for action in ["issue: 201 ", "open a rain: 201 ", "purchase: 201 ", "withdraw: 201 "] {
        assert!(report.last_answers.contains_key(action), "{action}: {:?}", report.last_answers);
    }
    let is_too_old = |name: &&String| name.starts_with("again") && name.ends_with("too_old");
    assert!(report.answers.keys().any(|name| is_too_old(&name)), "{:?}", report.answers);
}

#[test]
fn the_table_of_lives_is_that_of_the_declarations() {
    let document = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a document");
    let written = lives::written_into(&document).expect("it has a place for the table");
    assert!(written == document, "run `cargo xtask simulate --write-lives`");
}

/// `cargo xtask defects` puts each of them into the product, and the simulation finds it.
#[test]
fn the_list_of_defects_is_of_the_code_as_it_is() {
    let defects = xtask::defects::all().expect("a list of defects");
    let breaks: BTreeSet<_> = defects.iter().map(|defect| &defect.breaks).collect();
    assert!(breaks.len() >= 12, "{breaks:?}");
    for defect in &defects {
        let text = std::fs::read_to_string(root().join(&defect.file)).expect(&defect.file);
        assert_eq!(text.matches(&defect.from).count(), 1, "{}: {}", defect.name, defect.from);
        assert_ne!(defect.from, defect.to, "{}", defect.name);
    }
}
