//! The benchmarks: figures of one run, as tables for the README. Nothing here is asserted about time;
//! only a wrong answer, or memory above its limit, is an error.
//!
//! In reading order:
//!
//! - [`check`]: requests a second, of the check against a native server and a bare component
//! - [`issue`]: of issuing coupons, what they cost the store, and the load of the pool
//! - [`evaluate`]: carts of 1, 20 and 200 lines
//! - [`wallet`]: packets, openings, views, and how fast settlement posts
//! - [`fuel`]: WebAssembly instructions and store round trips for each route, sizes of components
//! - [`memory`]: what an id costs in a real Redis
//! - [`routes`]: the requests that are measured; [`apps`]: the apps that answer them
//! - [`command`]: what the check sends to Redis, recorded; [`native`]: the server that sends the same
//! - [`load`]: the load generator
//!
//! Run it by `cargo xtask bench`, which builds the components first.

use std::fs;
use std::num::{NonZeroU32, NonZeroU64};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};

mod apps;
mod check;
mod command;
mod evaluate;
mod fuel;
mod issue;
mod load;
mod memory;
mod native;
mod routes;
mod wallet;

#[derive(Parser)]
#[command(about = "Measures, and prints tables")]
struct CommandLine {
    /// What to measure.
    #[arg(value_enum, default_value_t = What::All)]
    what: What,
    /// How long each measurement of requests takes.
    #[arg(long, default_value = "2")]
    seconds: NonZeroU64,
    /// How often the contenders of the check take turns.
    #[arg(long, default_value = "7")]
    rounds: NonZeroU32,
    /// Memory of up to 16 million ids instead of one.
    #[arg(long)]
    full: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Requests a second.
    Check,
    /// Coupons: requests a second, bytes, and the load of the pool.
    Issue,
    /// Carts: requests a second, and fuel.
    Evaluate,
    /// Red packets, views and settlement: requests a second, fuel, tokens a second.
    Wallet,
    /// Fuel, store round trips and sizes.
    Fuel,
    /// Bytes an id.
    Memory,
    /// Everything.
    All,
}

#[tokio::main]
async fn main() -> Result<()> {
    let CommandLine { what, seconds, rounds, full } = CommandLine::parse();
    let wanted = |part| what == part || what == What::All;
    println!("{}", machine());
    if wanted(What::Check) {
        check::run(rounds.get(), Duration::from_secs(seconds.get())).await?;
    }
    if wanted(What::Issue) {
        issue::run(rounds.get(), Duration::from_secs(seconds.get())).await?;
    }
    if wanted(What::Evaluate) {
        evaluate::run(rounds.get(), Duration::from_secs(seconds.get())).await?;
    }
    if wanted(What::Wallet) {
        wallet::run(rounds.get(), Duration::from_secs(seconds.get())).await?;
    }
    if wanted(What::Fuel) {
        fuel::run().await?;
    }
    if wanted(What::Memory) {
        memory::run(full).await?;
    }
    Ok(())
}

/// What a reader needs to know of the machine to make something of the figures.
fn machine() -> String {
    let cores = available_parallelism().map_or(1, usize::from);
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or("unknown processor").trim_start_matches(['\t', ' ', ':']);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    format!(
        "{cores} cores ({model}), client, servers and Redis beside each other; load average before: {load}"
    )
}
