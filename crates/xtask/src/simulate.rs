//! `cargo xtask simulate`: schedules of a simulation, one seed again or many.

use crate::setup::need::Need;
use crate::{build, process, setup, workspace};

/// Sets up, builds the components and runs schedules of the simulation.
#[derive(clap::Args)]
pub struct Arguments {
    /// What is simulated.
    #[arg(long, default_value = "coupons", value_parser = ["coupons", "wallets"])]
    of: String,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    count: u64,
}

/// Runs the schedules.
///
/// # Errors
/// When something cannot be provided or built, or an invariant does not hold.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::tool(Need::Redis)?;
    build::build(&workspace::components()?)?;
    let mut command = workspace::cargo();
    command.args(["run", "--package", "end-to-end", "--bin", "simulate", "--"]);
    let (from, count) = (arguments.from.to_string(), arguments.count.to_string());
    process::run(command.args(["--of", &arguments.of, "--from", &from, "--count", &count]))
}
