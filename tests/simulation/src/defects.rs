//! Deliberate faults in the product, one for each kind of invariant, and the seed by which the simulation
//! finds each. `cargo xtask defects` builds the app with each of them, and runs schedules from its seed on.

use serde::Deserialize;

/// They stand in a file of their own, which the command reads as well.
const FILE: &str = include_str!("../defects.toml");

/// A place where the product does something else.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defect {
    /// Its name.
    pub name: String,
    /// Which promise it breaks.
    pub breaks: String,
    /// The file, from the root of the repository.
    pub file: String,
    /// What stands there, once.
    pub from: String,
    /// What stands there instead.
    pub to: String,
    /// By which seed it is found.
    pub seed: u64,
}

#[derive(Deserialize)]
struct File {
    defect: Vec<Defect>,
}

/// All of them.
///
/// # Panics
/// The file is no list of them.
pub fn all() -> Vec<Defect> {
    let file: File = toml::from_str(FILE).expect("a list of defects");
    file.defect
}
