//! What a deployment copies: `.env.example` and `examples/runtime-config.toml`. Text only.

use std::collections::BTreeMap;
use std::fs;

use end_to_end::app::root;
use toml::Table;

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The variables of the example, with their values and what the line above says. `None`: the line is commented out.
fn example() -> BTreeMap<String, (Option<String>, String, String)> {
    let (mut found, mut above) = (BTreeMap::new(), "");
    let text = text(".env.example");
    for line in text.lines() {
        let assignment = line.strip_prefix("# ").unwrap_or(line);
        if let Some((name, value)) =
            assignment.strip_prefix("SPIN_VARIABLE_").and_then(|rest| rest.split_once('='))
        {
            let set = (assignment == line).then(|| value.to_owned());
            let meaning = above.strip_prefix("# ").unwrap_or_default().to_owned();
            let double = found.insert(name.to_lowercase(), (set, value.to_owned(), meaning));
            assert!(double.is_none(), "{name} stands twice");
        }
        above = line;
    }
    found
}

#[test]
fn every_variable_of_the_manifest_is_in_the_example_and_no_other() {
    let manifest: Table = text("spin.toml").parse().expect("the manifest is TOML");
    let variables = manifest["variables"].as_table().expect("variables");
    let example = example();
    let names: Vec<_> = example.keys().collect();
    let mut expected: Vec<_> = variables.keys().collect();
    expected.sort();
    assert_eq!(names, expected);
    for (name, (set, shown, meaning)) in &example {
        let variable = &variables[name];
        assert_eq!(variable["description"].as_str(), Some(meaning.as_str()), "{name}");
        match variable.get("default").and_then(toml::Value::as_str) {
            Some(default) => assert_eq!((set, shown.as_str()), (&None, default), "{name}"),
            None => assert_eq!(set.as_deref(), Some(""), "{name} is to be filled in"),
        }
    }
}

/// Spin 4.1 refuses a file with any other key.
#[test]
fn the_runtime_configuration_has_only_keys_that_spin_reads() {
    const KEYS: [&str; 4] =
        ["state_dir", "max_instance_memory", "key_value_store", "variables_provider"];
    let text = text("examples/runtime-config.toml");
    // What is commented out is an example as well.
    let (_, provider) = text.split_once("# [[variables_provider]]\n").expect("a provider");
    let provider = provider.lines().map(|line| line.trim_start_matches("# ").to_owned() + "\n");
    let whole = text.clone() + "[[variables_provider]]\n" + &provider.collect::<String>();
    let table: Table = whole.parse().expect("TOML");
    for key in table.keys() {
        assert!(KEYS.contains(&key.as_str()), "{key}");
    }
    assert_eq!(table["key_value_store"]["default"]["type"].as_str(), Some("spin"));
    assert_eq!(table["variables_provider"][0]["type"].as_str(), Some("vault"));
}
