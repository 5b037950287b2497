//! Which crates of this repository a package is built from: what `spin watch` looks at.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use edge::contract::Function;
use toml::{Table, Value};

/// The crates of the repository that others name.
pub struct Crates {
    /// Folders by name.
    folders: BTreeMap<String, String>,
    /// Names of the crates that a folder depends on.
    needs: BTreeMap<String, Vec<String>>,
}

impl Crates {
    /// Reads the manifests of cargo, of these functions and of what they need.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read(repository: &Path, functions: &[Function]) -> anyhow::Result<Self> {
        let workspace = table(&repository.join("Cargo.toml"))?;
        let listed = workspace["workspace"]["dependencies"].as_table().context("dependencies")?;
        let folders: BTreeMap<_, _> = listed
            .iter()
            .filter_map(|(name, value)| {
                Some((name.clone(), value.get("path")?.as_str()?.to_owned()))
            })
            .collect();
        let mut crates = Self { folders, needs: BTreeMap::new() };
        let all = functions.iter().map(|one| format!("functions/{}", one.name));
        for folder in all.chain(crates.folders.values().cloned()).collect::<Vec<_>>() {
            let manifest = table(&repository.join(&folder).join("Cargo.toml"))?;
            let names = manifest.get("dependencies").and_then(Value::as_table);
            let names = names.into_iter().flat_map(Table::keys);
            let needs = names.filter(|name| crates.folders.contains_key(*name)).cloned().collect();
            crates.needs.insert(folder, needs);
        }
        Ok(crates)
    }

    /// The folders that a function is built from: its own, then those of crates.
    #[must_use]
    pub fn of(&self, function: &str) -> Vec<String> {
        let mut found = vec![format!("functions/{function}")];
        let mut next = 0;
        while let Some(folder) = found.get(next) {
            for name in self.needs.get(folder).into_iter().flatten() {
                let needed = &self.folders[name];
                if !found.contains(needed) {
                    found.push(needed.clone());
                }
            }
            next += 1;
        }
        found[1..].sort();
        found
    }
}

fn table(path: &Path) -> anyhow::Result<Table> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is no TOML", path.display()))
}
