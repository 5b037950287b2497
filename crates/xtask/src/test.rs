//! `cargo xtask test`: every test of the workspace, on real components and real stores.
//!
//! Cargo builds the test binaries. Here they run one after the other, as cargo runs them, but a binary
//! that fails or crashes does not keep the later ones from running.
//! - [`selection`]: which tests
//! - [`binary`]: builds the test binaries and runs one
//! - [`events`]: what a binary says while it runs: pure
//! - [`summary`]: what became of all of them: pure

pub mod binary;
pub mod events;
pub mod selection;
pub mod summary;

use clap::builder::FalseyValueParser;

use crate::native::Lints;
use crate::setup::need::Need;
use crate::{build, setup, workspace};
use binary::Binary;
use selection::Selection;
use summary::Summary;

/// Set for tests that shall run with little effort; `end_to_end::effort` reads it.
pub const FAST_VARIABLE: &str = "HONGBAO_FAST";

/// Sets up, builds the components and runs every test.
#[derive(clap::Args)]
pub struct Arguments {
    /// Leaves out the exhaustive faults and the rushes, and runs few schedules.
    #[arg(long, env = FAST_VARIABLE, value_parser = FalseyValueParser::new())]
    fast: bool,
    /// Which tests: what `cargo test` takes to select test binaries, and behind another `--` what
    /// these take, such as a part of a test's name. Examples: `-- --package domain`,
    /// `-- --test api`, `-- --test api -- withdrawals`, `-- withdrawals`.
    #[arg(last = true)]
    selection: Vec<String>,
}

/// Whether the tests run as they do in CI, or with little effort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Everything.
    Full,
    /// Without the exhaustive faults and the rushes, with few schedules.
    Fast,
}

/// Runs the tests.
///
/// # Errors
/// When something cannot be provided or built, a test fails, or no test ran.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let selection = Selection::parse(&arguments.selection);
    let effort = if arguments.fast { Effort::Fast } else { Effort::Full };
    set_up()?;
    build::build(&workspace::components()?)?;
    let mut summary = Summary::default();
    let built = binary::build(&selection, Lints::Compiler)?;
    run_binaries(&binary::binaries(built), &selection, effort, &mut summary)?;
    print!("\n{summary}");
    println!("\n{}", summary.closing_line());
    summary.verdict()
}

/// Provides what tests start or call.
///
/// # Errors
/// When something cannot be provided.
pub fn set_up() -> anyhow::Result<()> {
    for need in [Need::Redis, Need::Protoc] {
        setup::tool(need)?;
    }
    Ok(())
}

/// Runs test binaries, one after the other; those that this effort leaves out are counted as skipped.
///
/// # Errors
/// When one cannot be started.
pub fn run_binaries<'a>(
    binaries: impl IntoIterator<Item = &'a Binary>,
    selection: &Selection,
    effort: Effort,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    for binary in binaries {
        if effort == Effort::Fast && binary.is_long() {
            summary.leave_out(binary.id(), binary.count()?);
        } else {
            summary.add(binary.run(selection, effort)?);
        }
    }
    Ok(())
}
