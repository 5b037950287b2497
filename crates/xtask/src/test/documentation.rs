//! The examples in the documentation, which cargo builds and runs itself.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::Context;

use super::selection::Selection;
use super::summary::{Counts, Outcome, Report, Test};
use crate::native::Lints;
use crate::{process, workspace};

/// The argument that selects nothing else.
const DOCUMENTATION: &str = "--doc";

/// Builds and runs the examples, upon what was built with these lints.
///
/// # Errors
/// When cargo cannot be started; when an example fails, the report says so.
pub fn run(selection: &Selection, lints: Lints) -> anyhow::Result<Report> {
    let mut command = workspace::cargo();
    command.args(["test", DOCUMENTATION, "--locked", "--no-fail-fast"]);
    command.args(selection.cargo().filter(|argument| *argument != DOCUMENTATION));
    command.arg("--").args(selection.binary());
    lints.apply(&mut command);
    println!();
    process::announce(&command);
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run the examples in the documentation")?;
    let mut tests = Vec::new();
    let output = child.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("cargo writes no text")?;
        println!("{line}");
        tests.extend(test_in(&line));
    }
    let status = child.wait().context("cannot wait for cargo")?;
    let counts = Counts::of(&tests);
    // An example that does not compile fails; all else that may fail has no line of its own.
    let crash = (status.success() != (counts.failed == 0)).then(|| status.to_string());
    let id = "documentation".to_owned();
    Ok(Report { id, tests, counts, time: start.elapsed(), crash })
}

/// `test crates/host/src/lib.rs - (line 26) - compile ... ok`
fn test_in(line: &str) -> Option<Test> {
    let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let outcome = match outcome {
        "ok" => Outcome::Passed,
        "FAILED" => Outcome::Failed,
        _ if outcome.starts_with("ignored") => Outcome::Ignored,
        _ => return None,
    };
    Some(Test { name: name.to_owned(), outcome, time: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_of_examples_and_no_others() {
        let table = [
            ("test crates/host/src/lib.rs - (line 26) - compile ... ok", Some(Outcome::Passed)),
            ("test src/a.rs - a::b (line 3) ... FAILED", Some(Outcome::Failed)),
            ("test src/a.rs - a::c (line 9) ... ignored", Some(Outcome::Ignored)),
            ("test result: ok. 1 passed; 0 failed; 0 ignored", None),
            ("running 1 test", None),
            ("", None),
        ];
        for (line, expected) in table {
            assert_eq!(test_in(line).map(|test| test.outcome), expected, "{line}");
        }
        let named = test_in(table[1].0).expect("a test");
        assert_eq!(named.name, "src/a.rs - a::b (line 3)");
    }
}
