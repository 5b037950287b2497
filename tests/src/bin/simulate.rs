//! Runs schedules of the simulation: one seed again, or many.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use end_to_end::app::{Place, not_loaded};
use end_to_end::seed::Named;
use end_to_end::simulation::{Report, run};

/// Schedules after which the progress is told.
const TOLD_EVERY: u64 = 1_000;

/// Runs schedules of the simulation, each from one seed; a seed that fails is printed, and fails
/// again.
#[derive(Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// How many at the same time.
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

/// Lets nobody begin another schedule once one has panicked.
struct Last<'a>(&'a AtomicU64);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(u64::MAX / 2, Ordering::Relaxed);
        }
    }
}

fn main() -> Result<()> {
    let Arguments { from, count, threads } = Arguments::parse();
    let (next, sum, start) = (AtomicU64::new(0), Mutex::new(Report::default()), Instant::now());
    let worker = || -> Result<()> {
        let place = Place::redis();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let seed = from.wrapping_add(number);
            let (named, last) = (Named::schedule(seed), Last(&next));
            let report = run(&place, seed).map_err(|error| anyhow::anyhow!(not_loaded(&error)))?;
            drop((named, last));
            sum.lock().ok().context("another schedule failed")?.add(&report);
            if (number + 1) % TOLD_EVERY == 0 {
                println!("{} of {count} after {:.0?}", number + 1, start.elapsed());
            }
        }
    };
    let results = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    for result in results {
        match result {
            Ok(result) => result?,
            Err(_) => bail!("a schedule failed"),
        }
    }
    let report = *sum.lock().ok().context("a schedule failed")?;
    println!("{count} schedules in {:.0?}: {report:?}", start.elapsed());
    Ok(())
}
