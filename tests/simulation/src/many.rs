//! Many schedules, some at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use end_to_end::app::Place;

use crate::plan::{Plan, Reduction};
use crate::run::run;
use crate::world::Report;

/// What many schedules did.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Schedules that ran to the end.
    pub schedules: u64,
    /// All of it together.
    pub report: Report,
    /// Seeds that failed, with what did not hold.
    pub failed: Vec<(u64, String)>,
}

impl Done {
    /// As text.
    pub fn text(&self) -> String {
        let Report { answered, failed, checks, actions, faults, seen } = &self.report;
        let mut text = format!(
            "{} schedules: {answered} requests answered, {failed} failed; the store read {checks} times\n",
            self.schedules
        );
        for (title, counts) in [("actions", actions), ("faults", faults), ("seen", seen)] {
            text += &format!("{title}:\n");
            for (name, count) in counts {
                text += &format!("  {count:>10}  {name}\n");
            }
        }
        for (seed, message) in &self.failed {
            text += &format!("FAILED: seed {seed}: {message}\n");
        }
        text
    }
}

/// Runs these seeds, so many at the same time, each thread on a server of its own; up to the first that
/// fails, or all. `told` hears of each.
///
/// # Panics
/// The app does not load.
pub fn run_all(
    seeds: &[u64],
    threads: usize,
    reduction: &Reduction,
    goes_on: bool,
    told: impl Fn(u64) + Sync,
) -> Done {
    let (next, done) = (AtomicU64::new(0), Mutex::new(Done::default()));
    let worker = || {
        let place = Place::redis();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = usize::try_from(index).ok().and_then(|index| seeds.get(index)) else {
                return;
            };
            let result = run(&place, &Plan::draw(*seed, reduction));
            let mut done = done.lock().expect("nobody panics while holding it");
            match result {
                Ok(report) => {
                    done.schedules += 1;
                    done.report.add(&report);
                }
                Err(failure) => {
                    done.failed.push((*seed, failure.message));
                    if !goes_on {
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                    }
                }
            }
            drop(done);
            told(*seed);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().expect("a failing schedule is caught");
        }
    });
    done.into_inner().expect("nobody panics while holding it")
}
