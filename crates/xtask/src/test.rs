//! `cargo xtask test`: every test of the workspace, on real components and real stores.

use crate::setup::need::Need;
use crate::{build, process, setup, workspace};

/// Sets up, builds the components and runs every test.
#[derive(clap::Args)]
pub struct Arguments {
    /// Passed on to `cargo test --workspace`, for example `-- --test conformance`.
    #[arg(last = true)]
    cargo: Vec<String>,
}

/// Runs the tests.
///
/// # Errors
/// When something cannot be provided or built, or a test fails.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    for need in [Need::Redis, Need::Protoc] {
        setup::tool(need)?;
    }
    build::build(&workspace::components()?)?;
    let mut command = workspace::cargo();
    process::run(command.args(["test", "--workspace"]).args(&arguments.cargo))
}
