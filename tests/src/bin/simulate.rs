//! Runs schedules of a simulation: one seed again, or many.

use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use end_to_end::app::{Place, not_loaded};
use end_to_end::seed::Named;
use end_to_end::{simulation, wallet_simulation};
use host::LoadError;

/// Schedules after which the progress is told.
const TOLD_EVERY: u64 = 1_000;

/// What is simulated.
#[derive(Clone, Copy, ValueEnum)]
enum Of {
    /// Campaigns, reservations and group-buys.
    Coupons,
    /// Rains, packets, balances and settlement.
    Wallets,
}

/// Runs schedules of a simulation, each from one seed; a seed that fails is printed, and fails
/// again.
#[derive(Parser)]
struct Arguments {
    /// What is simulated.
    #[arg(long, value_enum, default_value_t = Of::Coupons)]
    of: Of,
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

impl Of {
    /// As the command line says it.
    fn name(self) -> &'static str {
        match self {
            Self::Coupons => "coupons",
            Self::Wallets => "wallets",
        }
    }
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
    let arguments = Arguments::parse();
    match arguments.of {
        Of::Coupons => run_all(&arguments, simulation::run, simulation::Report::add),
        Of::Wallets => run_all(&arguments, wallet_simulation::run, wallet_simulation::Report::add),
    }
}

fn run_all<R: Debug + Default + Send>(
    arguments: &Arguments,
    run: fn(&Place, u64) -> Result<R, LoadError>,
    add: fn(&mut R, &R),
) -> Result<()> {
    let Arguments { of, from, count, threads } = *arguments;
    let (next, sum, start) = (AtomicU64::new(0), Mutex::new(R::default()), Instant::now());
    let worker = || -> Result<()> {
        let place = Place::redis();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let seed = from.wrapping_add(number);
            let (named, last) = (Named::schedule(of.name(), seed), Last(&next));
            let report = run(&place, seed).map_err(|error| anyhow::anyhow!(not_loaded(&error)))?;
            drop((named, last));
            add(&mut *sum.lock().ok().context("another schedule failed")?, &report);
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
    let report = sum.into_inner().ok().context("a schedule failed")?;
    println!("{count} schedules in {:.0?}: {report:?}", start.elapsed());
    Ok(())
}
