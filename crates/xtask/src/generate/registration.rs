//! Functions that the program does not know yet. It is built from all functions, so it cannot find a new one by itself:
//! each folder of `functions/` is written into its manifest and into its list before it is built.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use toml::{Table, Value};

/// The manifest of the program.
pub const MANIFEST: &str = "crates/contract/Cargo.toml";
/// The file with its list of functions.
const LIST: &str = "crates/contract/src/lib.rs";
const FUNCTIONS: &str = "functions";
const DEPENDENCIES: &str = "[dependencies]\n";
/// The last one of the list: it answers what no other has.
const LAST: &str = "        root::contract::contract(),\n";

/// The functions that the program does not know, in order of name.
///
/// # Errors
/// A file cannot be read.
pub fn missing(repository: &Path) -> anyhow::Result<Vec<String>> {
    let manifest: Table = read(repository, MANIFEST)?.parse().context(MANIFEST)?;
    let dependencies = manifest.get("dependencies").and_then(Value::as_table);
    let is_known = |name: &str| dependencies.is_some_and(|all| all.contains_key(name));
    let mut names = Vec::new();
    for folder in fs::read_dir(repository.join(FUNCTIONS)).context(FUNCTIONS)? {
        let folder = folder.context(FUNCTIONS)?;
        let name = folder.file_name().to_string_lossy().into_owned();
        if folder.path().join("Cargo.toml").is_file() && !is_known(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Makes the program know all functions; the names of those that it did not know.
///
/// # Errors
/// A file cannot be read or written, or has another shape.
pub fn register(repository: &Path) -> anyhow::Result<Vec<String>> {
    let missing = missing(repository)?;
    if missing.is_empty() {
        return Ok(missing);
    }
    let (mut manifest, mut list) = (read(repository, MANIFEST)?, read(repository, LIST)?);
    ensure!(manifest.contains(DEPENDENCIES), "{MANIFEST} has no {DEPENDENCIES}");
    ensure!(list.contains(LAST), "{LIST} does not list root");
    for name in &missing {
        manifest = with_dependency(&manifest, name);
        list = with_contract(&list, name);
    }
    fs::write(repository.join(MANIFEST), manifest).context(MANIFEST)?;
    fs::write(repository.join(LIST), list).context(LIST)?;
    Ok(missing)
}

fn read(repository: &Path, path: &'static str) -> anyhow::Result<String> {
    fs::read_to_string(repository.join(path)).context(path)
}

/// The manifest with one more dependency, at its place by name.
fn with_dependency(manifest: &str, name: &str) -> String {
    let mut at = manifest.find(DEPENDENCIES).unwrap_or_default() + DEPENDENCIES.len();
    for line in manifest[at..].split_inclusive('\n') {
        let key = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if line.trim().is_empty() || key > name {
            break;
        }
        at += line.len();
    }
    let (before, after) = manifest.split_at(at);
    format!("{before}{name} = {{ path = \"../../{FUNCTIONS}/{name}\" }}\n{after}")
}

/// The list with one more contract, in front of the last one.
fn with_contract(list: &str, name: &str) -> String {
    let contract = format!("        {}::contract::contract(),\n", name.replace('-', "_"));
    if list.contains(&contract) {
        return list.to_owned();
    }
    list.replacen(LAST, &format!("{contract}{LAST}"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST_BEFORE: &str = "\
[package]
name = \"contract\"

[dependencies]
anyhow.workspace = true
coupon = { path = \"../../functions/coupon\" }
root = { path = \"../../functions/root\" }

[lints]
workspace = true
";
    const LIST_BEFORE: &str = "\
    vec![
        coupon::contract::contract(),
        root::contract::contract(),
    ]
";

    fn repository(functions: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(MANIFEST, MANIFEST_BEFORE);
        write(LIST, LIST_BEFORE);
        for name in functions {
            write(&format!("functions/{name}/Cargo.toml"), "[package]\n");
        }
        fs::create_dir_all(folder.path().join("functions/empty")).unwrap();
        folder
    }

    #[test]
    fn new_functions_are_registered_once() {
        let folder = repository(&["coupon", "root", "gift-card", "stamp"]);
        assert_eq!(missing(folder.path()).unwrap(), ["gift-card", "stamp"]);
        assert_eq!(register(folder.path()).unwrap(), ["gift-card", "stamp"]);
        let manifest = read(folder.path(), MANIFEST).unwrap();
        let expected = MANIFEST_BEFORE
            .replace("root =", "gift-card = { path = \"../../functions/gift-card\" }\nroot =")
            .replace("\n\n[lints]", "\nstamp = { path = \"../../functions/stamp\" }\n\n[lints]");
        assert_eq!(manifest, expected);
        let list = read(folder.path(), LIST).unwrap();
        let expected = "\
    vec![
        coupon::contract::contract(),
        gift_card::contract::contract(),
        stamp::contract::contract(),
        root::contract::contract(),
    ]
";
        assert_eq!(list, expected);
        assert!(register(folder.path()).unwrap().is_empty());
        assert_eq!(read(folder.path(), LIST).unwrap(), list);
    }

    #[test]
    fn a_list_of_another_shape_is_refused() {
        let folder = repository(&["stamp"]);
        fs::write(folder.path().join(LIST), "vec![]\n").unwrap();
        let error = register(folder.path()).unwrap_err().to_string();
        assert!(error.contains("does not list root"), "{error}");
        assert_eq!(read(folder.path(), MANIFEST).unwrap(), MANIFEST_BEFORE);
    }
}
