//! `cargo xtask defects`: the simulation finds what is wrong, shown by what is made wrong.
//!
//! `tests/simulation/defects.toml` lists deliberate faults in the product, one for each kind of promise, with
//! the seed that finds each. In a copy of the tree each is put into the product, the components are built,
//! and the simulation runs schedules from that seed on until one fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::setup::need::Need;
use crate::{build, native, process, setup, simulate, workspace};

const LIST: &str = "tests/simulation/defects.toml";
/// Which build of the app is simulated; `simulation::plan` reads it.
const APP_VARIABLE: &str = "HONGBAO_SIMULATED_APP";
/// What the simulator prints of a seed that fails.
const FAILED: &str = "FAILED: seed ";

/// Puts deliberate faults into the product, one after the other, and demands that the simulation finds each.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only those whose name contains this.
    #[arg(long, default_value = "")]
    name: String,
    /// From seed 0 on, and not from the seed that is listed.
    #[arg(long)]
    from_zero: bool,
    /// Schedules within which each is found.
    #[arg(long, default_value_t = 2_000)]
    count: u64,
}

#[derive(Deserialize)]
struct List {
    defect: Vec<Defect>,
}

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

/// All that are listed.
///
/// # Errors
/// The file cannot be read, or is no list of them.
pub fn all() -> anyhow::Result<Vec<Defect>> {
    let text = fs::read_to_string(workspace::root().join(LIST)).context(LIST)?;
    Ok(toml::from_str::<List>(&text).context(LIST)?.defect)
}

/// Builds and simulates each.
///
/// # Errors
/// When one cannot be built, or is not found.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::tool(Need::Redis)?;
    let mut defects = all()?;
    defects.retain(|defect| defect.name.contains(&arguments.name));
    let simulate = native::program(simulate::NAME)?;
    let tree = workspace::state().join("defects");
    copy_tree(&tree)?;
    let mut missed = Vec::new();
    for defect in &defects {
        let start = Instant::now();
        let from = if arguments.from_zero { 0 } else { defect.seed };
        let found = found_by(defect, &tree, &simulate, from, arguments.count)
            .with_context(|| defect.name.clone())?;
        let seconds = start.elapsed().as_secs();
        match found {
            Some(line) => println!("{}: found ({seconds} s) by {line}", defect.name),
            None => {
                println!("{}: NOT FOUND ({seconds} s)", defect.name);
                missed.push(format!("{} ({})", defect.name, defect.breaks));
            }
        }
    }
    println!("{} of {} defects found", defects.len() - missed.len(), defects.len());
    if !missed.is_empty() {
        bail!("not found: {}", missed.join(", "));
    }
    Ok(())
}

/// Copies what git knows, where it differs, so that what is built stays built.
fn copy_tree(tree: &Path) -> anyhow::Result<()> {
    let root = workspace::root();
    let mut list = Command::new("git");
    list.current_dir(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    for name in process::output(&mut list)?.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root.join(name), tree.join(name));
        let Ok(wanted) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|there| there == wanted) {
            continue;
        }
        let folder = to.parent().context("a file has a folder")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        fs::write(&to, wanted).with_context(|| to.display().to_string())?;
    }
    Ok(())
}

/// The line by which the simulator says that a schedule failed; nothing where all hold.
fn found_by(
    defect: &Defect,
    tree: &Path,
    simulate: &PathBuf,
    from: u64,
    count: u64,
) -> anyhow::Result<Option<String>> {
    let file = tree.join(&defect.file);
    let right = fs::read_to_string(&file).with_context(|| defect.file.clone())?;
    let wrong = broken(&right, &defect.from, &defect.to)?;
    fs::write(&file, wrong)?;
    let built = build::build_in(tree, &workspace::components()?);
    // The copy is right again before anything else can fail.
    fs::write(&file, right)?;
    built?;
    let output = Command::new(simulate)
        .args(["--from", &from.to_string(), "--count", &count.to_string(), "--no-shrink"])
        .env(APP_VARIABLE, tree)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .with_context(|| simulate.display().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(FAILED)).map(str::to_owned);
    if output.status.success() == line.is_some() {
        bail!("the simulator ended with {} and said:\n{text}", output.status);
    }
    Ok(line)
}

/// A text with one place changed.
fn broken(text: &str, from: &str, to: &str) -> anyhow::Result<String> {
    match text.matches(from).count() {
        1 => Ok(text.replacen(from, to, 1)),
        count => bail!("what is to be changed stands there {count} times: {from}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_changed_and_no_other() {
        assert_eq!(broken("a < b", "<", "<=").unwrap(), "a <= b");
        assert!(broken("a < b < c", "<", "<=").is_err());
        assert!(broken("a > b", "<", "<=").is_err());
    }
}
