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
#[derive(clap::Args, Default)]
pub struct Arguments {
    /// The components, by name [default: all].
    #[arg(value_name = "COMPONENT")]
    names: Vec<String>,
}

/// Builds components and prints their sizes.
///
/// # Errors
/// When a component does not exist or does not build, or the toolchain cannot be provided.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let components = chosen(workspace::components()?, &arguments.names)?;
    build(&components)?;
    for component in components {
        let file = workspace::root().join(&component.artefact);
        let size = file.metadata().with_context(|| format!("{} is missing", file.display()))?.len();
        println!("{:>9} bytes  {}", size, component.artefact.display());
    }
    Ok(())
}

fn chosen(all: Vec<Component>, names: &[String]) -> anyhow::Result<Vec<Component>> {
    let is_known = |name: &String| all.iter().any(|component| component.package == *name);
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<_> = all.iter().map(|component| component.package.as_str()).collect();
        bail!("there is no component {name}, but {}", known.join(", "));
    }
    let is_chosen = |component: &Component| names.is_empty() || names.contains(&component.package);
    Ok(all.into_iter().filter(is_chosen).collect())
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
    fn names_choose_among_the_components_and_an_unknown_one_is_refused() {
        let component =
            |name: &str| Component { package: name.to_owned(), artefact: PathBuf::new() };
        let choose = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen(["coupon", "events", "root"].map(component).into(), &names)
        };
        let packages = |names: &[&str]| -> Vec<_> {
            choose(names).unwrap().into_iter().map(|one| one.package).collect()
        };
        assert_eq!(packages(&[]), ["coupon", "events", "root"]);
        assert_eq!(packages(&["root", "coupon"]), ["coupon", "root"]);
        let error = choose(&["coupons"]).unwrap_err().to_string();
        assert_eq!(error, "there is no component coupons, but coupon, events, root");
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
