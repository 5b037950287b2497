//! What lies where in this repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use crate::process;

/// The WebAssembly target of every component: it imports only what its code calls through WIT.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// The folders that hold components: the app's own, and those that only tests and benchmarks run.
const COMPONENT_FOLDERS: [&str; 2] = ["functions", "tests/components"];

/// The folder of the repository.
#[must_use]
pub fn root() -> PathBuf {
    // Cargo sets the variable for whatever it runs, so that a moved checkout is found as well.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let is_this = package.ends_with("crates/xtask");
    let package = if is_this { package } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")) };
    package.ancestors().nth(2).map_or_else(PathBuf::new, Path::to_path_buf)
}

/// State of this machine that git ignores: tools that set-up built, and the data of `up`.
#[must_use]
pub fn state() -> PathBuf {
    root().join(".hongbao")
}

/// The cargo of the default toolchain: the one that runs this program.
#[must_use]
pub fn cargo() -> Command {
    let mut command =
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".to_owned().into()));
    command.current_dir(root());
    command
}

/// A package that is built into a component.
#[derive(Debug, PartialEq, Eq)]
pub struct Component {
    /// Folder, package and component id alike.
    pub package: String,
    /// Where the build leaves it, and where `spin.toml` expects it; relative to the root.
    pub artefact: PathBuf,
}

/// The components of the workspace, in order of name.
///
/// # Errors
/// When cargo cannot read the workspace.
pub fn components() -> anyhow::Result<Vec<Component>> {
    let mut metadata = cargo();
    metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
    let text = process::output(&mut metadata)?;
    let metadata: Metadata =
        serde_json::from_str(&text).context("cargo metadata answers another shape")?;
    Ok(components_in(metadata))
}

fn components_in(metadata: Metadata) -> Vec<Component> {
    let folders = COMPONENT_FOLDERS.map(|folder| metadata.workspace_root.join(folder));
    let mut components: Vec<Component> = metadata
        .packages
        .into_iter()
        .filter(|package| folders.iter().any(|folder| package.manifest_path.starts_with(folder)))
        .filter_map(|package| {
            let mut targets = package.targets.into_iter();
            let library =
                targets.find(|target| target.crate_types.iter().any(|t| t == "cdylib"))?;
            let file = format!("{}.wasm", library.name.replace('-', "_"));
            let artefact = ["target", WASM_TARGET, "release", &file].iter().collect();
            Some(Component { package: package.name, artefact })
        })
        .collect();
    components.sort_by(|one, other| one.package.cmp(&other.package));
    components
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_components_and_nothing_else() {
        let metadata = r#"{"workspace_root": "/repo", "packages": [
            {"name": "new-user", "manifest_path": "/repo/functions/new-user/Cargo.toml",
             "targets": [{"name": "new_user", "crate_types": ["cdylib", "rlib"]}]},
            {"name": "bare", "manifest_path": "/repo/tests/components/bare/Cargo.toml",
             "targets": [{"name": "bare", "crate_types": ["cdylib"]}]},
            {"name": "domain", "manifest_path": "/repo/crates/domain/Cargo.toml",
             "targets": [{"name": "domain", "crate_types": ["lib"]}]},
            {"name": "end-to-end", "manifest_path": "/repo/tests/Cargo.toml",
             "targets": [{"name": "end_to_end", "crate_types": ["lib"]}]}]}"#;
        let found = components_in(serde_json::from_str(metadata).expect("metadata"));
        let component = |package: &str, file: &str| Component {
            package: package.to_owned(),
            artefact: format!("target/wasm32-unknown-unknown/release/{file}").into(),
        };
        let expected = [component("bare", "bare.wasm"), component("new-user", "new_user.wasm")];
        assert_eq!(found, expected);
    }

    #[test]
    fn root_holds_the_workspace() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
        assert!(manifest.contains("[workspace]"));
    }
}
