//! `cargo xtask generate`: writes what follows from the contracts of the functions - the OpenAPI document, the manifests,
//! the table of routes in the README.

use std::path::Path;
use std::process::Command;

use crate::{native, process, workspace};

/// The program that knows the contracts. It is one of its own, because it is built from all functions.
pub const PROGRAM: &str = "contract";

/// Writes the OpenAPI document, the manifests and the table of routes.
#[derive(clap::Args)]
pub struct Arguments {
    /// Writes nothing, and fails where something would be written.
    #[arg(long)]
    check: bool,
}

/// Builds the program and runs it.
///
/// # Errors
/// When it does not build, a contract contradicts itself, or, with `--check`, a file is not as it would be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let program = native::program(PROGRAM)?;
    if arguments.check {
        return check(&program);
    }
    process::run(Command::new(program).current_dir(workspace::root()))
}

/// Checks that all files are as they would be written, by the program that was built.
///
/// # Errors
/// One is not.
pub fn check(program: &Path) -> anyhow::Result<()> {
    process::run(Command::new(program).arg("--check").current_dir(workspace::root()))
}
