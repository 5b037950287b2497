//! `cargo xtask bench`: the benchmarks, which print their figures.

use std::process::Command;

use crate::setup::need::Need;
use crate::{build, native, process, setup, workspace};

/// Sets up, builds the components and runs the benchmarks.
#[derive(clap::Args)]
pub struct Arguments {
    /// Passed on to the benchmarks, for example `-- --help`.
    #[arg(last = true)]
    bench: Vec<String>,
}

/// Runs the benchmarks.
///
/// # Errors
/// When something cannot be provided or built, or a benchmark fails.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::tool(Need::Redis)?;
    build::build(&workspace::components()?)?;
    process::run(Command::new(native::program("bench")?).args(&arguments.bench))
}
