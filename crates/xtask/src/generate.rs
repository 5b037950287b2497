//! `cargo xtask generate`: writes what follows from the contracts of the functions - the OpenAPI document, the manifests,
//! `.env.example`, the tables of routes and variables in the README.
//!
//! - [`registration`]: makes the program that writes them know a new folder of `functions/`

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::{native, process, workspace};

pub mod registration;

/// The program that knows the contracts. It is one of its own, because it is built from all functions.
pub const PROGRAM: &str = "contract";

/// Writes the OpenAPI document, the manifests, `.env.example` and the tables of the README.
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
    if arguments.check {
        return check(&native::program(PROGRAM)?);
    }
    for function in registration::register(&workspace::root())? {
        println!("functions/{function} is registered in {}", registration::MANIFEST);
    }
    process::run(Command::new(native::program(PROGRAM)?).current_dir(workspace::root()))
}

/// Checks that all functions are registered and all files as they would be written, by the program that was built.
///
/// # Errors
/// One is not.
pub fn check(program: &Path) -> anyhow::Result<()> {
    let missing = registration::missing(&workspace::root())?;
    if !missing.is_empty() {
        bail!("not registered: {}; run `cargo xtask generate`", missing.join(", "));
    }
    process::run(Command::new(program).arg("--check").current_dir(workspace::root()))
}
