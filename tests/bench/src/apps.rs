//! The apps that are measured, in the host.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use end_to_end::app;
use host::{App, KeyValue, Manifest, Options, Stderr, component_bytes};

use crate::command::Command;

/// The app, and beside it the bare component.
pub fn on_redis(address: &str, command: &Command) -> Options {
    let mut options = options(address)
        .variable("bare_redis", address)
        .variable("bare_arguments", command.to_variable());
    options.manifests.push(bare());
    options
}

/// The app on the key-value store, in a folder.
pub fn on_key_value(folder: &Path) -> Options {
    let mut options = options("kv");
    options.key_value = KeyValue::File(folder.to_owned());
    options
}

fn options(store: &str) -> Options {
    let options = app::options(main()).variable("store", store);
    Options { stderr: Stderr::Inherit, ..options }
}

fn main() -> PathBuf {
    app::root().join("spin.toml")
}

fn bare() -> PathBuf {
    app::root().join("tests/components/bare/spin.toml")
}

/// Loads an app.
///
/// # Errors
/// A component is not built, or wrong.
pub async fn load(options: Options) -> Result<App> {
    App::load(options).await.context("`cargo xtask build` builds the components")
}

/// The components, with the bytes of the built file and of what is made of it when it is loaded.
///
/// # Errors
/// A component is not built, or wrong.
pub fn sizes() -> Result<Vec<(String, u64, usize)>> {
    let mut sizes = Vec::new();
    for path in [main(), bare()] {
        for (id, component) in Manifest::read(&path)?.components {
            let bytes = component.source.metadata()?.len();
            sizes.push((id, bytes, component_bytes(&component.source)?.len()));
        }
    }
    Ok(sizes)
}
