//! The template of `spin new`: it becomes a function of this workspace by a plain replacement of what it asks for. Text only;
//! `tests/template` compiles it and runs its tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use end_to_end::app::root;
use toml::{Table, Value};

const TEMPLATE: &str = "templates/hongbao-function";

fn content() -> PathBuf {
    root().join(TEMPLATE).join("content")
}

/// The files below a folder, by path in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("a text");
                found.insert(path.strip_prefix(folder).expect("below").to_owned(), text);
            }
        }
    }
    found
}

/// The files of the function `gift-card`, as `spin new` makes them: it takes `.tmpl` off a name.
fn gift_card() -> BTreeMap<PathBuf, String> {
    let instance = |(path, text): (PathBuf, String)| {
        let is_template = path.extension().is_some_and(|extension| extension == "tmpl");
        let path = if is_template { path.with_extension("") } else { path };
        let text = text
            .replace("{{project-name | kebab_case}}", "gift-card")
            .replace("{{project-name | pascal_case}}", "GiftCard");
        (path, text)
    };
    files(&content()).into_iter().map(instance).collect()
}

fn table(text: &str) -> Table {
    text.parse().expect("TOML")
}

#[test]
fn its_manifest_is_one_of_spin() {
    let text = fs::read_to_string(root().join(TEMPLATE).join("metadata/spin-template.toml"));
    let manifest = table(&text.expect("a manifest"));
    assert_eq!(manifest["manifest_version"].as_str(), Some("1"));
    assert_eq!(manifest["id"].as_str(), Some("hongbao-function"));
    // It asks for nothing but the name, so that plain replacement does without Spin.
    for key in manifest.keys() {
        let known = ["manifest_version", "id", "description", "tags", "add_component"];
        assert!(known.contains(&key.as_str()), "{key}");
    }
}

#[test]
fn no_placeholder_remains_and_all_stand_in_strings() {
    let function = gift_card();
    for (path, text) in &function {
        for mark in ["{{", "}}", "{%", "%}"] {
            assert!(!text.contains(mark), "{}: {mark}", path.display());
        }
    }
    for (path, text) in files(&content()) {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| line.contains("{{")) {
            let (before, rest) = line.split_once("{{").expect("a placeholder");
            let after = rest.split_once("}}").expect("its end").1;
            let quotes = |part: &str| part.matches('"').count() % 2 == 1;
            assert!(quotes(before) && quotes(after), "{}:{}", path.display(), index + 1);
        }
    }
}

#[test]
fn it_has_the_files_and_the_manifest_of_a_function() {
    let function = gift_card();
    let paths: Vec<_> = function.keys().map(|path| path.display().to_string()).collect();
    let expected = ["Cargo.toml", "contract", "decide", "lib", "parse", "render"];
    let expected = expected.map(|name| match name {
        "Cargo.toml" => name.to_owned(),
        _ => format!("src/{name}.rs"),
    });
    assert_eq!(paths, expected);
    let manifest = table(&function[Path::new("Cargo.toml")]);
    assert_eq!(manifest["package"]["name"].as_str(), Some("gift-card"));
    let crate_type = ["cdylib", "rlib"].map(|one| Value::String(one.to_owned()));
    assert_eq!(manifest["lib"]["crate-type"].as_array().map(Vec::as_slice), Some(&crate_type[..]));
    let library = &function[Path::new("src/lib.rs")];
    assert_eq!(library.matches("\"/v1/users/{user}/gift-card\"").count(), 2, "its routes");
}

/// What is compiled has the dependencies of what `spin new` makes.
#[test]
fn what_is_compiled_is_the_template() {
    let compiled = fs::read_to_string(root().join("tests/template/Cargo.toml")).expect("a file");
    let (compiled, made) = (table(&compiled), table(&gift_card()[Path::new("Cargo.toml")]));
    for key in ["dependencies", "dev-dependencies", "target", "lints"] {
        assert_eq!(compiled[key], made[key], "{key}");
    }
    let library = compiled["lib"]["path"].as_str().expect("a path");
    let library = fs::canonicalize(root().join("tests/template").join(library)).expect("a file");
    assert_eq!(library, fs::canonicalize(content().join("src/lib.rs")).expect("a file"));
}

/// CONTRIBUTING says how to copy the template without Spin: with these replacements.
#[test]
fn the_way_without_spin_replaces_every_placeholder() {
    let contributing = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("a file");
    let sed = contributing.lines().find(|line| line.contains("sed -i")).expect("a command");
    for (from, to) in [("kebab_case", "gift-card"), ("pascal_case", "GiftCard")] {
        let replacement = format!("s/{{{{project-name | {from}}}}}/{to}/");
        assert!(sed.contains(&replacement), "{replacement} is not in {sed}");
    }
    // Each replacement is done once a line.
    for (path, text) in files(&content()) {
        let is_once = |line: &str| line.matches("{{").count() <= 1;
        assert!(text.lines().all(is_once), "{}", path.display());
    }
}
