//! `cargo xtask ci`: exactly what CI runs. Needs no terminal and no stdin.
//!
//! The order is by price: formatting costs a second, the rules about dependencies another one (and
//! the build of cargo-deny on a fresh machine), clippy checks everything without generating code,
//! and the tests need everything built. What clippy compiles for build scripts and procedural
//! macros the tests use again; the rest they must generate code for, which clippy never did.

use std::time::{Duration, Instant};

use crate::setup::need::Need;
use crate::{build, process, setup, workspace};

/// Checks everything: format, dependencies, lints, tests.
#[derive(clap::Args)]
pub struct Arguments {}

type Check = fn() -> anyhow::Result<()>;

const STEPS: &[(&str, Check)] = &[
    ("format", || cargo(&["fmt", "--all", "--check"])),
    ("set-up", set_up),
    ("dependencies", dependencies),
    ("lints", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
    }),
    ("components", || build::run(&build::Arguments {})),
    ("tests", || cargo(&["test", "--workspace", "--locked"])),
];

/// Runs the steps up to the first that fails, and says how long each took.
///
/// # Errors
/// The error of that step.
pub fn run(_: &Arguments) -> anyhow::Result<()> {
    let mut durations = Vec::new();
    let mut result = Ok(());
    for (name, check) in STEPS {
        eprintln!("\n== {name}");
        let start = Instant::now();
        result = check();
        durations.push(start.elapsed());
        if result.is_err() {
            break;
        }
    }
    eprint!("\n{}", table(&durations, result.is_ok()));
    result
}

fn table(durations: &[Duration], passed: bool) -> String {
    let mut text = String::new();
    for (index, (name, _)) in STEPS.iter().enumerate() {
        let failed = !passed && index + 1 == durations.len();
        text += &match durations.get(index) {
            Some(duration) => {
                let outcome = if failed { "FAILED" } else { "ok" };
                format!("{name:<14}{:>7.1} s  {outcome}\n", duration.as_secs_f64())
            }
            None => format!("{name:<14}{:>7}    not run\n", ""),
        };
    }
    let total: Duration = durations.iter().sum();
    text + &format!("{:<14}{:>7.1} s\n", "total", total.as_secs_f64())
}

fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    process::run(workspace::cargo().args(arguments))
}

fn set_up() -> anyhow::Result<()> {
    setup::run(&setup::Arguments {})
}

fn dependencies() -> anyhow::Result<()> {
    let cargo_deny = setup::tool(Need::CargoDeny)?;
    let mut command = std::process::Command::new(cargo_deny);
    // Not advisories: their database comes from a server of its own, which may be out of reach.
    command.current_dir(workspace::root()).args(["check", "bans", "licenses", "sources"]);
    process::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_says_what_failed_and_what_was_not_run() {
        let text = table(&[Duration::from_millis(1_250), Duration::from_secs(90)], false);
        let expected = "\
format            1.2 s  ok
set-up           90.0 s  FAILED
dependencies             not run
lints                    not run
components               not run
tests                    not run
total            91.2 s
";
        assert_eq!(text, expected);
    }
}
