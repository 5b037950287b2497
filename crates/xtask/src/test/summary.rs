//! What became of the tests.

use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

use anyhow::bail;

/// How many of the slowest tests are shown.
const SLOWEST: usize = 10;

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed, or was running when its binary crashed.
    Failed,
    /// Its binary did not run it.
    Ignored,
}

/// A test that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// Its path in its binary.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took, where that is known.
    pub time: Option<Duration>,
}

/// Tests by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
    /// Not run, though asked for.
    pub ignored: u64,
}

impl Counts {
    /// Counts tests.
    #[must_use]
    pub fn of(tests: &[Test]) -> Self {
        let count = |outcome| tests.iter().filter(|test| test.outcome == outcome).count() as u64;
        let [passed, failed, ignored] =
            [Outcome::Passed, Outcome::Failed, Outcome::Ignored].map(count);
        Self { passed, failed, ignored }
    }
}

/// What became of a binary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Package and target.
    pub id: String,
    /// Its tests.
    pub tests: Vec<Test>,
    /// Its tests by outcome.
    pub counts: Counts,
    /// How long it ran.
    pub time: Duration,
    /// How it ended, if it did not end as a test binary does.
    pub crash: Option<String>,
}

impl Report {
    /// Whoever crashes outside a test has failed as well.
    fn failed(&self) -> u64 {
        self.counts.failed.max(u64::from(self.crash.is_some()))
    }
}

/// What became of all binaries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    reports: Vec<Report>,
    /// Binaries that were left out on purpose, and how many tests they have.
    left_out: Vec<(String, u64)>,
}

impl Summary {
    /// A binary has run.
    pub fn add(&mut self, report: Report) {
        self.reports.push(report);
    }

    /// A binary was left out with all its tests.
    pub fn leave_out(&mut self, id: String, tests: u64) {
        self.left_out.push((id, tests));
    }

    /// Everything of another summary.
    pub fn append(&mut self, other: Self) {
        self.reports.extend(other.reports);
        self.left_out.extend(other.left_out);
    }

    /// All tests by outcome; those that were left out count as ignored.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let left_out = self.left_out.iter().map(|(_, tests)| tests).sum();
        let zero = Counts { ignored: left_out, ..Counts::default() };
        self.reports.iter().fold(zero, |sum, report| Counts {
            passed: sum.passed + report.counts.passed,
            failed: sum.failed + report.failed(),
            ignored: sum.ignored + report.counts.ignored,
        })
    }

    /// What CI reads: `N passed, N failed`, and `, N skipped` where some were.
    #[must_use]
    pub fn closing_line(&self) -> String {
        let Counts { passed, failed, ignored } = self.counts();
        let skipped = if ignored == 0 { String::new() } else { format!(", {ignored} skipped") };
        format!("{passed} passed, {failed} failed{skipped}")
    }

    /// Whether tests ran, and all of them passed.
    ///
    /// # Errors
    /// When not.
    pub fn verdict(&self) -> anyhow::Result<()> {
        match self.counts() {
            Counts { failed: 1, .. } => bail!("a test failed"),
            Counts { failed: 2.., .. } => bail!("tests failed"),
            Counts { passed: 0, .. } => bail!("no test ran"),
            Counts { .. } => Ok(()),
        }
    }

    fn slowest(&self) -> Vec<(Duration, &str, &str)> {
        let tests = self.reports.iter().flat_map(|report| {
            let tests = report.tests.iter();
            tests.filter_map(|test| Some((test.time?, report.id.as_str(), test.name.as_str())))
        });
        let mut tests: Vec<_> = tests.collect();
        tests.sort_by_key(|(time, ..)| Reverse(*time));
        tests.truncate(SLOWEST);
        tests
    }

    fn failures(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for report in &self.reports {
            let failed = report.tests.iter().filter(|test| test.outcome == Outcome::Failed);
            lines.extend(failed.map(|test| format!("{} {}", report.id, test.name)));
            let crash = report.crash.iter();
            lines.extend(crash.map(|crash| format!("{} crashed: {crash}", report.id)));
        }
        lines
    }
}

/// By binary, then the slowest tests, what was left out, and what failed.
impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:>7}{:>7}{:>8}{:>11}", "passed", "failed", "ignored", "time")?;
        // Most packages are tested elsewhere; a line for nothing hides the others.
        let shown = |report: &&Report| !report.tests.is_empty() || report.crash.is_some();
        for report in self.reports.iter().filter(shown) {
            let Counts { passed, ignored, .. } = report.counts;
            let (failed, seconds) = (report.failed(), report.time.as_secs_f64());
            let id = &report.id;
            writeln!(formatter, "{passed:>7}{failed:>7}{ignored:>8}{seconds:>9.1} s  {id}")?;
        }
        let slowest = self.slowest();
        if !slowest.is_empty() {
            writeln!(formatter, "\nslowest tests")?;
            for (time, id, name) in slowest {
                writeln!(formatter, "{:>9.1} s  {id} {name}", time.as_secs_f64())?;
            }
        }
        for (id, tests) in &self.left_out {
            writeln!(formatter, "\nleft out by --fast: {id}, {tests} tests")?;
        }
        let failures = self.failures();
        if !failures.is_empty() {
            writeln!(formatter, "\nfailed")?;
            for line in failures {
                writeln!(formatter, "  {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str, outcome: Outcome, milliseconds: u64) -> Test {
        let time = Some(Duration::from_millis(milliseconds));
        Test { name: name.to_owned(), outcome, time }
    }

    fn report(id: &str, tests: Vec<Test>, crash: Option<&str>) -> Report {
        let counts = Counts::of(&tests);
        let (id, crash) = (id.to_owned(), crash.map(str::to_owned));
        Report { id, tests, counts, time: Duration::from_millis(2_500), crash }
    }

    fn passed() -> Report {
        let tests = vec![
            test("a::quick", Outcome::Passed, 10),
            test("a::slow", Outcome::Passed, 2_400),
            test("a::later", Outcome::Ignored, 0),
        ];
        report("domain", tests, None)
    }

    #[test]
    fn says_what_passed_what_failed_and_what_was_slow() {
        let mut summary = Summary::default();
        summary.add(passed());
        summary.add(report("xtask", Vec::new(), None));
        let failed = vec![test("b::wrong", Outcome::Failed, 100)];
        summary.add(report("end-to-end::api", failed, None));
        summary.add(report("end-to-end::store", Vec::new(), Some("signal: 11 (SIGSEGV)")));
        summary.leave_out("end-to-end::faults".to_owned(), 12);
        let expected = "\
\u{20}passed failed ignored       time
      2      0       1      2.5 s  domain
      0      1       0      2.5 s  end-to-end::api
      0      1       0      2.5 s  end-to-end::store

slowest tests
      2.4 s  domain a::slow
      0.1 s  end-to-end::api b::wrong
      0.0 s  domain a::quick
      0.0 s  domain a::later

left out by --fast: end-to-end::faults, 12 tests

failed
  end-to-end::api b::wrong
  end-to-end::store crashed: signal: 11 (SIGSEGV)
";
        assert_eq!(summary.to_string(), expected);
        assert_eq!(summary.closing_line(), "2 passed, 2 failed, 13 skipped");
        assert!(summary.verdict().is_err());
    }

    #[test]
    fn ten_tests_are_the_slowest() {
        let tests = (0..30).map(|number| test(&format!("t{number}"), Outcome::Passed, number));
        let mut summary = Summary::default();
        summary.add(report("domain", tests.collect(), None));
        let slowest: Vec<_> = summary.slowest().into_iter().map(|(_, _, name)| name).collect();
        assert_eq!(slowest, ["t29", "t28", "t27", "t26", "t25", "t24", "t23", "t22", "t21", "t20"]);
    }

    #[test]
    fn all_passed_only_if_a_test_ran_and_nothing_crashed() {
        let verdict = |reports: Vec<Report>| {
            let mut summary = Summary::default();
            reports.into_iter().for_each(|report| summary.add(report));
            (summary.closing_line(), summary.verdict().map_err(|error| error.to_string()))
        };
        let all = verdict(vec![passed()]);
        assert_eq!(all, ("2 passed, 0 failed, 1 skipped".to_owned(), Ok(())));
        let none = verdict(vec![report("domain", Vec::new(), None)]);
        assert_eq!(none, ("0 passed, 0 failed".to_owned(), Err("no test ran".to_owned())));
        let ignored = vec![test("a::later", Outcome::Ignored, 0)];
        assert!(verdict(vec![report("domain", ignored, None)]).1.is_err());
        let crashed = verdict(vec![passed(), report("store", Vec::new(), Some("exit status: 1"))]);
        assert_eq!(crashed.1, Err("a test failed".to_owned()));
    }
}
