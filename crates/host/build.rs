//! Generates the bindings for the WIT packages of Spin, from the published `spin-sdk` crate.
//!
//! The packages are not copied into this repository: `Cargo.lock` pins the crate, the components are
//! built with it, and the host takes the very same files. So both sides agree by construction.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders below the crate's `wit/deps`, one a package.
const PACKAGES: [&str; 3] =
    ["spin-redis@3.0.0", "spin-variables@3.0.0", "wasi-keyvalue-2024-10-17"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    let folder = spin_sdk_folder()?.join("wit/deps");
    let paths = PACKAGES
        .iter()
        .map(|package| format!("{:?}", folder.join(package)))
        .collect::<Vec<_>>()
        .join(", ");
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("bindings.rs");
    std::fs::write(out, bindings(&paths))?;
    Ok(())
}

/// The macro call: every interface that a component may import from Spin, and the one export that a
/// Redis trigger calls. All calls may trap, because a fault may be injected into any of them.
fn bindings(paths: &str) -> String {
    format!(
        r#"wasmtime::component::bindgen!({{
    path: [{paths}],
    inline: "
        package hongbao:host;
        world spin {{
            import spin:redis/redis@3.0.0;
            import spin:variables/variables@3.0.0;
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
            export spin:redis/inbound-redis@3.0.0;
        }}
    ",
    world: "hongbao:host/spin",
    imports: {{ default: async | trappable }},
    exports: {{ default: async }},
}});
"#
    )
}

/// Asks cargo where the pinned crate lies; without the network first, because a build that has come
/// this far has usually fetched it.
fn spin_sdk_folder() -> Result<PathBuf, Box<dyn Error>> {
    let cargo = std::env::var("CARGO")?;
    let mut reason = String::new();
    for arguments in [&["--offline"][..], &[]] {
        let output = Command::new(&cargo)
            .args(["metadata", "--format-version", "1"])
            .args(arguments)
            .output()?;
        if !output.status.success() {
            reason = String::from_utf8_lossy(&output.stderr).into_owned();
            continue;
        }
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        return metadata["packages"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|package| package["name"] == "spin-sdk")
            .and_then(|package| package["manifest_path"].as_str())
            .and_then(|manifest| Path::new(manifest).parent())
            .map(Path::to_path_buf)
            .ok_or_else(|| "spin-sdk is not in Cargo.lock".into());
    }
    Err(format!("cargo metadata failed: {reason}").into())
}
