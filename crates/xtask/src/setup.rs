//! `cargo xtask setup`: finds or provides the WebAssembly target and the tools.
//!
//! - [`need`]: what can be missing, and the steps that provide it
//! - [`facts`]: what this machine has
//! - [`decide`]: what to use, or which step to take next: pure
//! - [`steps`]: the steps
//!
//! It looks, decides, takes one step, and looks again, until everything is there. A step is taken at
//! most once, and a step that fails only rules out its own way: so one run always comes to an end,
//! and a second one is never needed. Every command sets up what it needs by itself.

pub mod decide;
pub mod facts;
pub mod need;
pub mod steps;

use std::path::PathBuf;

use anyhow::bail;

use decide::Decision;
use facts::{Facts, Version};
use need::Need;

/// Finds or provides the WebAssembly target and the tools, and says what it does.
#[derive(clap::Args)]
pub struct Arguments {}

/// What builds the components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The default toolchain has the target installed.
    Default,
    /// Debian's compiler, which builds the standard library along with the components.
    Debian {
        /// Version of the compiler.
        version: Version,
        /// The linker, which Debian's packages leave out.
        linker: PathBuf,
    },
}

/// Sets up what `build`, `up`, `test` and `bench` need.
///
/// # Errors
/// When something is missing and no way to provide it is left.
pub fn run(_: &Arguments) -> anyhow::Result<()> {
    for need in [Need::WasmTarget, Need::Redis, Need::Protoc] {
        let found = provide(need)?;
        println!("{need}: {found}");
    }
    println!("everything is there; next: cargo xtask up");
    Ok(())
}

/// Provides the toolchain that builds the components.
///
/// # Errors
/// When there is none and no way to provide it is left.
pub fn toolchain() -> anyhow::Result<Toolchain> {
    match provide(Need::WasmTarget)? {
        Found::Toolchain(toolchain) => Ok(toolchain),
        Found::Tool(path, _) => bail!("set-up took {} for a toolchain", path.display()),
    }
}

/// Provides a tool, and says where it is.
///
/// # Errors
/// When it is missing and no way to provide it is left.
pub fn tool(need: Need) -> anyhow::Result<PathBuf> {
    match provide(need)? {
        Found::Tool(path, _) => Ok(path),
        Found::Toolchain(_) => bail!("set-up took a toolchain for a tool"),
    }
}

/// What fulfils a need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The WebAssembly target.
    Toolchain(Toolchain),
    /// A program, and its version.
    Tool(PathBuf, Version),
}

impl std::fmt::Display for Found {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Found::Toolchain(Toolchain::Default) => {
                formatter.write_str("installed in the default toolchain")
            }
            Found::Toolchain(Toolchain::Debian { version, linker }) => write!(
                formatter,
                "not in the default toolchain; Debian's compiler {version} builds the standard \
                 library along with the components, linked by {}",
                linker.display()
            ),
            Found::Tool(path, version) => write!(formatter, "{version} at {}", path.display()),
        }
    }
}

fn provide(need: Need) -> anyhow::Result<Found> {
    let mut taken = Vec::new();
    loop {
        match decide::decide(need, &Facts::gather(need, &taken)) {
            Decision::Ready(found) => return Ok(found),
            Decision::Stuck(advice) => bail!("{need}: not found. {advice}"),
            Decision::Take(step) => {
                eprintln!("set-up: {need} is missing: {step}");
                if let Err(error) = steps::take(step) {
                    eprintln!("set-up: that did not work ({error:#}); trying the next way");
                }
                taken.push(step);
            }
        }
    }
}
