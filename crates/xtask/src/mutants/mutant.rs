//! Mutants, as cargo-mutants lists them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Context;
use serde::Deserialize;
use sha1_smol::Sha1;

/// Characters that mean something in a regular expression.
const META: &str = r"\.+*?()|[]{}^$#&-~";

/// A place where the code could be another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// The crate that it is in.
    pub package: String,
    /// The file that it is in.
    pub file: String,
    /// The line that it begins in, from 1.
    pub line: usize,
    /// How cargo-mutants names it: `file:line:column: what is changed`.
    pub place: String,
    /// `file: what is changed`, with a number from the second such change of the file on: the same
    /// while lines move.
    pub name: String,
}

impl Mutant {
    /// The regular expression that selects it alone.
    #[must_use]
    pub fn pattern(&self) -> String {
        let mut pattern = "^".to_owned();
        for character in self.place.chars() {
            if META.contains(character) {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern + "$"
    }
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    package: String,
    file: String,
}

/// Reads the list of cargo-mutants.
///
/// # Errors
/// When it has another shape.
pub fn parse(list: &str) -> anyhow::Result<Vec<Mutant>> {
    let listed: Vec<Listed> =
        serde_json::from_str(list).context("cargo-mutants lists mutants in another shape")?;
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mutants = listed.into_iter().map(|Listed { name: place, package, file }| {
        let (line, change) = change(&place, &file)
            .with_context(|| format!("cargo-mutants names mutants in another way: {place}"))?;
        let name = format!("{file}: {change}");
        let number = seen.entry(name.clone()).and_modify(|number| *number += 1).or_insert(1);
        let name = if *number == 1 { name } else { format!("{name} ({number})") };
        Ok(Mutant { package, file, line, place, name })
    });
    mutants.collect()
}

/// Of `crates/domain/src/money.rs:12:5: replace + with -` the line and what is changed.
fn change<'a>(place: &'a str, file: &str) -> Option<(usize, &'a str)> {
    let (position, change) = place.strip_prefix(file)?.strip_prefix(':')?.split_once(": ")?;
    let (line, _) = position.split_once(':')?;
    Some((line.parse().ok()?, change))
}

/// Draws mutants: those whose SHA-1 of seed and name is smallest. So a seed draws the same as long as
/// they are there, and more of the same seed are these and others.
#[must_use]
pub fn draw(mutants: &[Mutant], seed: u64, count: usize) -> Vec<&Mutant> {
    let mut drawn: Vec<&Mutant> = mutants.iter().collect();
    drawn.sort_by_cached_key(|mutant| {
        Sha1::from(format!("{seed} {}", mutant.name)).digest().bytes()
    });
    drawn.truncate(count);
    drawn
}

/// A diff whose new lines are those in which the mutants begin. cargo-mutants 27.1 tests fields that are left
/// out of a struct whatever patterns say, but only in lines that a diff names.
///
/// # Errors
/// When a file cannot be read, or has no such line.
pub fn diff(
    mutants: &[&Mutant],
    read: impl Fn(&str) -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let mut lines: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for mutant in mutants {
        lines.entry(&mutant.file).or_default().insert(mutant.line);
    }
    let mut diff = String::new();
    for (file, lines) in lines {
        let text = read(file)?;
        let text: Vec<_> = text.lines().collect();
        diff += &format!("--- a/{file}\n+++ b/{file}\n");
        for (inserted, line) in lines.into_iter().enumerate() {
            let new = text.get(line - 1).with_context(|| format!("{file} has no line {line}"))?;
            diff += &format!("@@ -{},0 +{line},1 @@\n+{new}\n", line - 1 - inserted);
        }
    }
    Ok(diff)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As cargo-mutants 27.1 writes it, shortened.
    const LIST: &str = r#"[
        {"package": "domain", "file": "crates/domain/src/money.rs", "genre": "BinaryOperator",
         "name": "crates/domain/src/money.rs:12:5: replace + with - in Money::add"},
        {"package": "domain", "file": "crates/domain/src/money.rs", "genre": "BinaryOperator",
         "name": "crates/domain/src/money.rs:13:9: replace + with - in Money::add"},
        {"package": "lease", "file": "crates/lease/src/lib.rs", "genre": "FnValue",
         "name": "crates/lease/src/lib.rs:7:1: replace share -> Option<u8> with Some(0)"}]"#;

    pub(crate) fn mutants() -> Vec<Mutant> {
        parse(LIST).expect("mutants")
    }

    #[test]
    fn names_do_not_depend_on_lines() {
        let names: Vec<_> = mutants().into_iter().map(|mutant| mutant.name).collect();
        let expected = [
            "crates/domain/src/money.rs: replace + with - in Money::add",
            "crates/domain/src/money.rs: replace + with - in Money::add (2)",
            "crates/lease/src/lib.rs: replace share -> Option<u8> with Some(0)",
        ];
        assert_eq!(names, expected);
        assert!(parse(r#"[{"package": "a", "file": "b", "name": "c"}]"#).is_err());
    }

    #[test]
    fn a_pattern_takes_every_character_as_it_is() {
        let expected =
            r"^crates/lease/src/lib\.rs:7:1: replace share \-> Option<u8> with Some\(0\)$";
        assert_eq!(mutants()[2].pattern(), expected);
    }

    #[test]
    fn a_diff_names_each_line_once_and_as_it_is() {
        let mutants = mutants();
        let drawn = [&mutants[1], &mutants[0], &mutants[0]];
        let text = (1..=20).map(|line| format!("    line {line}\n")).collect::<String>();
        let diff = diff(&drawn, |_| Ok(text.clone())).expect("a diff");
        let expected = "\
--- a/crates/domain/src/money.rs
+++ b/crates/domain/src/money.rs
@@ -11,0 +12,1 @@
+    line 12
@@ -11,0 +13,1 @@
+    line 13
";
        assert_eq!(diff, expected);
        assert!(super::diff(&drawn, |_| Ok("short".to_owned())).is_err());
    }

    #[test]
    fn a_seed_draws_the_same_and_more_of_it_are_these_and_others() {
        let mutants: Vec<Mutant> = (0..100)
            .map(|number| Mutant {
                package: "domain".to_owned(),
                file: String::new(),
                line: 1,
                place: format!("{number}"),
                name: format!("{number}"),
            })
            .collect();
        let ten = draw(&mutants, 7, 10);
        assert_eq!(ten.len(), 10);
        assert_eq!(ten, draw(&mutants, 7, 20)[..10]);
        assert_ne!(ten, draw(&mutants, 8, 10));
        let places: Vec<_> = ten.iter().map(|mutant| mutant.place.as_str()).collect();
        assert_eq!(places, PLACES, "another draw than when this was written");
        let without: Vec<_> = mutants.iter().filter(|one| one.name != PLACES[0]).cloned().collect();
        assert_eq!(draw(&without, 7, 9), ten[1..]);
    }

    /// What seed 7 draws of a hundred numbers.
    const PLACES: [&str; 10] = ["61", "41", "11", "83", "68", "55", "87", "94", "82", "39"];

    #[test]
    fn all_are_drawn_where_there_are_no_more() {
        assert_eq!(draw(&mutants(), 1, 200).len(), 3);
    }
}
