//! `cargo xtask mutants`: deliberate faults in the crates of rules, which their own tests must find.
//!
//! cargo-mutants knows all places where a rule could be another one: a `<` for a `<=`, a function that
//! returns nothing. Of these a seed draws some; each is built and tested alone, natively, by the tests of
//! its own crate. One that passes all of them *lives*: a test is missing, or it changes nothing that
//! counts. Those that may live stand in `crates/mutants.toml` with a reason each.
//!
//! - [`mutant`]: mutants, as they are listed, named and drawn: pure
//! - [`accepted`]: those that may live: pure
//! - [`report`]: what became of those that were drawn: pure

pub mod accepted;
pub mod mutant;
pub mod report;

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::setup::need::Need;
use crate::test::FAST_VARIABLE;
use crate::{process, setup, workspace};
use accepted::Accepted;
use mutant::Mutant;
use report::Report;

/// The crates of rules.
const PACKAGES: [&str; 6] = ["domain", "pricing", "lease", "wallet", "coupons", "purchases"];
/// Mutants that may live, with a reason each.
const ACCEPTED: &str = "crates/mutants.toml";
/// Before it kills what does not end by itself, in seconds.
const GRACE: &str = "60";
/// How `timeout` says that time was over.
const EXIT_TIME_OVER: i32 = 124;
/// How cargo-mutants ends when all was tested: all were caught, some live, some took too long.
const EXIT_TESTED: [i32; 3] = [0, 2, 3];

/// Draws mutants of the crates of rules, tests them, and lists those that live.
#[derive(clap::Args)]
pub struct Arguments {
    /// Draws the same mutants as long as the code is the same [default: another one each time].
    #[arg(long)]
    seed: Option<u64>,
    /// How many mutants are drawn. More of the same seed are these and others.
    #[arg(long, default_value_t = 200)]
    count: usize,
    /// How many are tested at once, each in a copy of the tree.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// After so many minutes it stops, and says which were not tested.
    #[arg(long, default_value_t = 180)]
    minutes: u64,
    /// Only says which are drawn.
    #[arg(long)]
    list: bool,
}

/// Draws mutants, tests them and says what became of them.
///
/// # Errors
/// When cargo-mutants cannot be provided, the tests fail without a mutant, a mutant lives that is not
/// accepted, one that is accepted is gone or caught, or time was over before all were tested.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    for need in [Need::CargoMutants, Need::Protoc] {
        setup::tool(need)?;
    }
    let accepted = read_accepted(&workspace::root().join(ACCEPTED))?;
    let all = mutant::parse(&process::output(&mut list()?)?)?;
    let seed = arguments.seed.unwrap_or_else(|| RandomState::new().hash_one(()));
    let drawn = mutant::draw(&all, seed, arguments.count);
    println!("{} of {} mutants; again with --seed {seed}", drawn.len(), all.len());
    if arguments.list {
        for mutant in drawn {
            println!("{}", mutant.place);
        }
        return Ok(());
    }
    let outcomes = test(arguments, &drawn)?;
    let report = Report::new(&all, &drawn, &report::parse(&outcomes)?, &accepted);
    print!("\n{report}");
    report.verdict()
}

fn read_accepted(file: &Path) -> anyhow::Result<Vec<Accepted>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    accepted::parse(&text).with_context(|| file.display().to_string())
}

fn cargo_mutants() -> anyhow::Result<PathBuf> {
    setup::tool(Need::CargoMutants)
}

/// All mutants.
fn list() -> anyhow::Result<Command> {
    let mut command = Command::new(cargo_mutants()?);
    command.current_dir(workspace::root()).args(["mutants", "--list", "--json", "--colors=never"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    Ok(command)
}

/// Tests the mutants; what cargo-mutants wrote down about them.
fn test(arguments: &Arguments, drawn: &[&Mutant]) -> anyhow::Result<String> {
    let output = workspace::state().join("mutants");
    fs::create_dir_all(&output).with_context(|| output.display().to_string())?;
    let mut command = Command::new("timeout");
    command
        .current_dir(workspace::root())
        .args(["--signal=INT", "--kill-after", GRACE])
        .arg(format!("{}m", arguments.minutes))
        .arg(cargo_mutants()?)
        // The copies of the tree leave out what git ignores, as `target` and our own output.
        .args(["mutants", "--colors=never", "--no-times", "--gitignore=true"])
        .args(["--jobs", &arguments.jobs.to_string()])
        .arg("--output")
        .arg(&output);
    for package in PACKAGES.iter().filter(|name| drawn.iter().any(|one| one.package == **name)) {
        command.args(["--package", package]);
    }
    for mutant in drawn {
        command.arg("--re").arg(mutant.pattern());
    }
    let diff = mutant::diff(drawn, |file| {
        fs::read_to_string(workspace::root().join(file)).with_context(|| file.to_owned())
    })?;
    let diff_file = output.join("drawn.diff");
    fs::write(&diff_file, diff).with_context(|| diff_file.display().to_string())?;
    command.arg("--in-diff").arg(&diff_file);
    // Little of what is built here runs long: what counts is how fast it is built again.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env(FAST_VARIABLE, "1").stdin(Stdio::null());
    eprintln!("> cargo mutants, output in {}", output.display());
    let status = command.status().context("cannot run `timeout`")?;
    match status.code() {
        Some(code) if EXIT_TESTED.contains(&code) => {}
        Some(EXIT_TIME_OVER) => println!("{} minutes are over", arguments.minutes),
        _ => bail!("cargo-mutants failed: {status}; see {}", output.display()),
    }
    let file = output.join("mutants.out/outcomes.json");
    fs::read_to_string(&file).with_context(|| file.display().to_string())
}
