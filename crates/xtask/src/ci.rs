//! `cargo xtask ci`: exactly what CI runs. Needs no terminal and no stdin.
//!
//! The order is by price: formatting costs a second, the rules about dependencies another one, and the tests
//! need everything built. Clippy looks at our packages while they are built: to check them apart would mean to
//! read all their dependencies once more, which takes minutes. What it says is judged by a stage of its own, so
//! that a warning does not keep the tests from running.
//!
//! A stage that fails does not keep the later ones from running, unless they need what it makes: one run
//! says everything that is wrong.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::native::{self, Lints};
use crate::setup::need::Need;
use crate::test::binary::{self, Binary};
use crate::test::selection::Selection;
use crate::test::summary::Summary;
use crate::test::{self, Effort};
use crate::{build, generate, process, setup, workspace};

/// Checks everything: format, dependencies, lints, tests.
#[derive(clap::Args)]
pub struct Arguments {}

/// What stages leave for later ones.
#[derive(Default)]
struct Run {
    binaries: Vec<Binary>,
    contract: Option<PathBuf>,
    warnings: usize,
    summary: Summary,
}

struct Stage {
    name: &'static str,
    /// Stages without whose result this one would only say again that they failed.
    needs: &'static [&'static str],
    check: fn(&mut Run) -> anyhow::Result<()>,
}

const STAGES: &[Stage] = &[
    Stage { name: "format", needs: &[], check: |_| format() },
    Stage { name: "set-up", needs: &[], check: |_| setup::run(&setup::Arguments {}) },
    Stage { name: "dependencies", needs: &[], check: |_| dependencies() },
    Stage {
        name: "components",
        needs: &["set-up"],
        check: |_| build::run(&build::Arguments::default()),
    },
    Stage { name: "native build", needs: &[], check: build_native },
    Stage { name: "lints", needs: &["native build"], check: lints },
    Stage { name: "generated files", needs: &["native build"], check: generated_files },
    Stage { name: "tests", needs: &["components", "native build"], check: tests },
    Stage { name: "simulations", needs: &["components", "native build"], check: simulations },
];

/// Runs the stages, says how long each took, what became of the tests and which were the slowest.
///
/// # Errors
/// When a stage failed.
pub fn run(_: &Arguments) -> anyhow::Result<()> {
    let mut run = Run::default();
    let mut results: Vec<(&str, Outcome)> = Vec::new();
    for Stage { name, needs, check } in STAGES {
        let passed = |need: &&str| {
            results.iter().any(|(name, outcome)| name == need && outcome.has_passed())
        };
        let outcome = if needs.iter().all(passed) {
            println!("\n== {name}");
            let start = Instant::now();
            let result = check(&mut run);
            if let Err(error) = &result {
                println!("{name} failed: {error:#}");
            }
            Outcome::Run { passed: result.is_ok(), time: start.elapsed() }
        } else {
            Outcome::NotRun
        };
        results.push((name, outcome));
    }
    println!("\n== summary\n{}\n{}", run.summary, table(&results));
    println!("{}", run.summary.closing_line());
    let all = results.iter();
    let failed: Vec<_> =
        all.filter(|(_, outcome)| !outcome.has_passed()).map(|(name, _)| *name).collect();
    if failed.is_empty() {
        run.summary.verdict()
    } else {
        bail!("not passed: {}", failed.join(", "))
    }
}

/// What became of a stage.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Run { passed: bool, time: Duration },
    NotRun,
}

impl Outcome {
    fn has_passed(self) -> bool {
        matches!(self, Outcome::Run { passed: true, .. })
    }
}

fn table(results: &[(&str, Outcome)]) -> String {
    let mut text = String::new();
    let mut total = Duration::ZERO;
    for (name, outcome) in results {
        text += &match outcome {
            Outcome::Run { passed, time } => {
                total += *time;
                let outcome = if *passed { "ok" } else { "FAILED" };
                format!("{name:<14}{:>7.1} s  {outcome}\n", time.as_secs_f64())
            }
            Outcome::NotRun => format!("{name:<14}{:>7}    not run\n", ""),
        };
    }
    text + &format!("{:<14}{:>7.1} s\n", "total", total.as_secs_f64())
}

fn format() -> anyhow::Result<()> {
    process::run(workspace::cargo().args(["fmt", "--all", "--check"]))
}

fn dependencies() -> anyhow::Result<()> {
    let cargo_deny = setup::tool(Need::CargoDeny)?;
    let mut command = std::process::Command::new(cargo_deny);
    // Not advisories: their database comes from a server of its own, which may be out of reach.
    command.current_dir(workspace::root()).args(["check", "bans", "licenses", "sources"]);
    process::run(&mut command)
}

fn build_native(run: &mut Run) -> anyhow::Result<()> {
    let tests = binary::build(&Selection::default(), Lints::Clippy)?;
    let programs = native::programs(Lints::Clippy)?;
    run.warnings = tests.warnings + programs.warnings;
    run.binaries = binary::binaries(tests);
    let mut programs = programs.executables.into_iter();
    run.contract = programs.find(|one| one.target == generate::PROGRAM).map(|one| one.file);
    Ok(())
}

fn lints(run: &mut Run) -> anyhow::Result<()> {
    match run.warnings {
        0 => Ok(()),
        count => bail!("{count} warnings, above in the native build"),
    }
}

fn generated_files(run: &mut Run) -> anyhow::Result<()> {
    generate::check(run.contract.as_deref().context("the program is not among those built")?)
}

fn tests(run: &mut Run) -> anyhow::Result<()> {
    test::set_up()?;
    let mut summary = Summary::default();
    let binaries = run.binaries.iter().filter(|binary| !binary.is_simulation());
    test::run_binaries(binaries, &Selection::default(), Effort::Full, &mut summary)?;
    conclude(run, summary)
}

fn simulations(run: &mut Run) -> anyhow::Result<()> {
    test::set_up()?;
    let mut summary = Summary::default();
    let binaries = run.binaries.iter().filter(|binary| binary.is_simulation());
    test::run_binaries(binaries, &Selection::default(), Effort::Full, &mut summary)?;
    conclude(run, summary)
}

/// A stage that ran no test has failed, whatever the other one did.
fn conclude(run: &mut Run, summary: Summary) -> anyhow::Result<()> {
    let verdict = summary.verdict();
    run.summary.append(summary);
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_says_what_failed_and_what_was_not_run() {
        let run = |passed, time| Outcome::Run { passed, time };
        let text = table(&[
            ("format", run(true, Duration::from_millis(1_250))),
            ("set-up", run(false, Duration::from_secs(90))),
            ("lints", run(true, Duration::from_secs(1))),
            ("components", Outcome::NotRun),
        ]);
        let expected = "\
format            1.2 s  ok
set-up           90.0 s  FAILED
lints             1.0 s  ok
components               not run
total            92.2 s
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_stage_needs_only_earlier_stages() {
        for (index, stage) in STAGES.iter().enumerate() {
            let earlier: Vec<_> = STAGES[..index].iter().map(|stage| stage.name).collect();
            for need in stage.needs {
                assert!(earlier.contains(need), "{} needs {need}", stage.name);
            }
        }
    }
}
