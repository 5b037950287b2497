//! `cargo xtask build`: the components, where `spin.toml` expects them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;
use crate::setup::facts::{DEBIAN_CARGO, DEBIAN_RUSTC};
use crate::setup::{self, Toolchain};
use crate::workspace::{self, Component, WASM_TARGET};

/// The linker of the target, as cargo takes it from the environment.
const LINKER_VARIABLE: &str = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER";

/// Sets up what is missing and builds the components.
#[derive(clap::Args)]
pub struct Arguments {}

/// Builds all components and prints their sizes.
///
/// # Errors
/// When the toolchain cannot be provided or a component does not build.
pub fn run(_: &Arguments) -> anyhow::Result<()> {
    let components = workspace::components()?;
    build(&components)?;
    for component in components {
        let file = workspace::root().join(&component.artefact);
        let size = file.metadata().with_context(|| format!("{} is missing", file.display()))?.len();
        println!("{:>9} bytes  {}", size, component.artefact.display());
    }
    Ok(())
}

/// Builds the components, in one run of cargo: they share most of their dependencies.
///
/// # Errors
/// When the toolchain cannot be provided or a component does not build.
pub fn build(components: &[Component]) -> anyhow::Result<()> {
    if components.is_empty() {
        bail!("the workspace has no component");
    }
    process::run(&mut command(&setup::toolchain()?, components))
}

/// Builds the components of a copy of the tree in that copy, quickly rather than well: they are thrown away.
///
/// # Errors
/// As [`build`].
pub fn build_in(tree: &Path, components: &[Component]) -> anyhow::Result<()> {
    let mut command = command(&setup::toolchain()?, components);
    command
        .current_dir(tree)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true");
    process::run(&mut command)
}

fn command(toolchain: &Toolchain, components: &[Component]) -> Command {
    let mut command = match toolchain {
        Toolchain::Default => workspace::cargo(),
        Toolchain::Debian { .. } => {
            let mut command = Command::new(DEBIAN_CARGO);
            command.current_dir(workspace::root());
            command
        }
    };
    // `spin.toml` names files in `target`, wherever else this user keeps build artefacts.
    command.args(["build", "--release", "--target", WASM_TARGET, "--target-dir", "target"]);
    if let Toolchain::Debian { linker, .. } = toolchain {
        command
            .env("RUSTC", DEBIAN_RUSTC)
            // Building the standard library is not stable yet; Debian has no other compiler for it.
            .env("RUSTC_BOOTSTRAP", "1")
            .env(LINKER_VARIABLE, linker)
            // Set by the cargo that runs us; they name the default toolchain and its libraries.
            .env_remove("CARGO")
            .env_remove("LD_LIBRARY_PATH")
            .arg("-Zbuild-std=std,panic_abort");
    }
    for component in components {
        command.args(["-p", &component.package]);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::decide::RUST_VERSION_MIN;
    use std::ffi::OsStr;
    use std::path::PathBuf;

    fn new_user() -> Vec<Component> {
        vec![Component { package: "new-user".to_owned(), artefact: PathBuf::new() }]
    }

    #[test]
    fn the_default_toolchain_runs_the_plain_cargo_command() {
        let command = command(&Toolchain::Default, &new_user());
        let arguments: Vec<_> = command.get_args().filter_map(OsStr::to_str).collect();
        let expected =
            "build --release --target wasm32-unknown-unknown --target-dir target -p new-user";
        assert_eq!(arguments.join(" "), expected);
        assert_eq!(command.get_envs().count(), 0);
    }

    #[test]
    fn debian_builds_the_standard_library_along() {
        let linker = PathBuf::from("/toolchain/rust-lld");
        let toolchain = Toolchain::Debian { version: RUST_VERSION_MIN, linker };
        let command = command(&toolchain, &new_user());
        assert_eq!(command.get_program(), "/usr/bin/cargo");
        assert!(command.get_args().any(|argument| argument == "-Zbuild-std=std,panic_abort"));
        let linker = command.get_envs().find(|(name, _)| *name == LINKER_VARIABLE);
        assert_eq!(linker.and_then(|(_, value)| value), Some(OsStr::new("/toolchain/rust-lld")));
    }
}
