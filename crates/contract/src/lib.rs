//! What follows from the contracts of the functions, written by one command: `cargo xtask generate`.
//!
//! A function says once what its routes promise and what its component is given (`src/contract.rs` beside its route
//! table, in the words of [`edge::contract`]). From that come
//! - [`openapi`]: the OpenAPI document, with [`operations`], [`schemas`] and what all routes [`share`](shared)
//! - [`manifest`]: `spin.toml` and `spin-nudge.toml`, with what is watched ([`crates`])
//! - [`variables`]: the example of an environment, `.env.example`
//! - [`readme`]: the tables of routes and variables
//!
//! [`json`] writes JSON in an order that reads well. Nothing here needs what it writes.

use std::path::Path;

use anyhow::Context;
use edge::contract::Function;

pub mod crates;
pub mod json;
pub mod manifest;
pub mod openapi;
pub mod operations;
pub mod readme;
pub mod schemas;
pub mod shared;
pub mod variables;

/// The command that writes the files.
pub const COMMAND: &str = "cargo xtask generate";

/// A file that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path in the repository.
    pub path: &'static str,
    /// What stands in it.
    pub text: String,
}

/// The contracts of all functions, in the order in which they are shown. `cargo xtask generate` adds those of new folders.
#[must_use]
pub fn functions() -> Vec<Function> {
    vec![
        new_user::contract::contract(),
        events::contract::contract(),
        coupon::contract::contract(),
        promotion::contract::contract(),
        red_packet::contract::contract(),
        balance::contract::contract(),
        settlement::contract::contract(),
        root::contract::contract(),
    ]
}

/// All that is written, for the repository in this folder.
///
/// # Errors
/// A contract contradicts itself or another one, or a file cannot be read.
pub fn files(repository: &Path) -> anyhow::Result<Vec<File>> {
    let functions = functions();
    let document = openapi::document(&functions)?;
    let crates = crates::Crates::read(repository, &functions)?;
    let before = std::fs::read_to_string(repository.join(readme::PATH))
        .with_context(|| format!("cannot read {}", readme::PATH))?;
    Ok(vec![
        File { path: openapi::PATH, text: json::text(&document) },
        File { path: manifest::PATH, text: manifest::http(&functions, &crates)? },
        File { path: manifest::PATH_NUDGE, text: manifest::redis(&functions, &crates)? },
        File { path: variables::PATH, text: variables::environment(&functions) },
        File { path: readme::PATH, text: readme::with_tables(&before, &functions, &document)? },
    ])
}

/// The paths of files that are not as they would be written.
///
/// # Errors
/// As [`files`].
pub fn outdated(repository: &Path) -> anyhow::Result<Vec<&'static str>> {
    let is_outdated = |file: &File| {
        std::fs::read_to_string(repository.join(file.path)).ok().as_deref() != Some(&*file.text)
    };
    Ok(files(repository)?.into_iter().filter(is_outdated).map(|file| file.path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_as_they_would_be_written() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let outdated = outdated(repository.expect("two folders up")).expect("contracts");
        assert!(outdated.is_empty(), "run `{COMMAND}`, which writes {outdated:?}");
    }
}
