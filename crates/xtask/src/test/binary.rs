//! The test binaries: built by cargo, and run.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;

use super::events::Events;
use super::selection::Selection;
use super::summary::Report;
use super::{Effort, FAST_VARIABLE};
use crate::native::{self, Built, Executable, Kind, Lints};
use crate::{process, workspace};

/// Lets a test binary of a stable toolchain say what it does in JSON and how long a test took. Only for
/// the binary: to the compiler it would mean another build of everything.
const UNSTABLE_VARIABLE: &str = "RUSTC_BOOTSTRAP";
/// See [`UNSTABLE_VARIABLE`].
const REPORT: [&str; 3] = ["-Zunstable-options", "--format=json", "--report-time"];

/// A test binary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binary(Executable);

/// Builds the test binaries; they are in [`binaries`] of it.
///
/// # Errors
/// When one does not build.
pub fn build(selection: &Selection, lints: Lints) -> anyhow::Result<Built> {
    let mut command = workspace::cargo();
    native::run(command.args(["test", "--no-run", "--locked"]).args(selection.cargo()), lints)
}

/// The test binaries of a build, in the order in which cargo runs them.
pub fn binaries(built: Built) -> Vec<Binary> {
    let tests = built.executables.into_iter().filter(|one| one.is_test);
    let mut binaries: Vec<_> = tests.map(Binary).collect();
    binaries.sort();
    binaries
}

impl Binary {
    /// Package and target, as nextest names them: `domain`, `host::bin/name`, `end-to-end::api`.
    #[must_use]
    pub fn id(&self) -> String {
        match self.0.kind {
            Kind::Library => self.0.package.clone(),
            Kind::Program => format!("{}::bin/{}", self.0.package, self.0.target),
            Kind::Test => format!("{}::{}", self.0.package, self.0.target),
        }
    }

    /// Whether it takes minutes: every fault at every call, or rushes of thousands.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.0.kind == Kind::Test && ["faults", "load"].contains(&self.0.target.as_str())
    }

    /// Whether it is the simulator's.
    #[must_use]
    pub fn is_simulation(&self) -> bool {
        self.0.kind == Kind::Test && self.0.package == "simulation" && self.0.target == "simulation"
    }

    /// How many tests it has.
    ///
    /// # Errors
    /// When it does not say.
    pub fn count(&self) -> anyhow::Result<u64> {
        let list = process::output(self.command().args(["--list", "--format=terse"]))?;
        Ok(list.lines().filter(|line| line.ends_with(": test")).count() as u64)
    }

    /// Runs it and shows what it says.
    ///
    /// # Errors
    /// When it cannot be started; when a test fails, the report says so.
    pub fn run(&self, selection: &Selection, effort: Effort) -> anyhow::Result<Report> {
        let id = self.id();
        println!("\n-- {id}");
        let mut command = self.command();
        match effort {
            Effort::Full => command.env_remove(FAST_VARIABLE),
            Effort::Fast => command.env(FAST_VARIABLE, "1"),
        };
        command.env(UNSTABLE_VARIABLE, "1").args(REPORT).args(selection.binary());
        let start = Instant::now();
        let cannot_run = || format!("cannot run {}", self.0.file.display());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(cannot_run)?;
        let mut events = Events::default();
        let mut output = child.stdout.take().map(BufReader::new).with_context(cannot_run)?;
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).with_context(cannot_run)? > 0 {
            if let Some(shown) = events.take(String::from_utf8_lossy(&line).trim_end_matches('\n'))
            {
                println!("{shown}");
            }
            line.clear();
        }
        let status = child.wait().with_context(cannot_run)?;
        let report = events.end(id, status, start.elapsed());
        if let Some(crash) = &report.crash {
            println!("{} crashed: {crash}", report.id);
        }
        Ok(report)
    }

    /// In its package's folder and with its package's variables. Those of `xtask` are in our own
    /// environment, because cargo runs us; the version and so on are the same in all packages.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.0.file);
        command
            .current_dir(&self.0.folder)
            .env("CARGO_MANIFEST_DIR", &self.0.folder)
            .env("CARGO_MANIFEST_PATH", self.0.folder.join("Cargo.toml"))
            .env("CARGO_PKG_NAME", &self.0.package);
        command
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::native::tests::built;

    fn binaries() -> Vec<Binary> {
        super::binaries(built())
    }

    #[test]
    fn finds_the_test_binaries_and_nothing_else_in_order() {
        let ids: Vec<_> = binaries().iter().map(Binary::id).collect();
        let expected =
            ["domain", "end-to-end::faults", "host::bin/hongbao-host", "simulation::simulation"];
        assert_eq!(ids, expected);
    }

    #[test]
    fn knows_what_is_long_and_the_simulator_by_name() {
        let that = |is: fn(&Binary) -> bool| {
            binaries().iter().filter(|binary| is(binary)).map(Binary::id).collect::<Vec<_>>()
        };
        assert_eq!(that(Binary::is_long), ["end-to-end::faults"]);
        assert_eq!(that(Binary::is_simulation), ["simulation::simulation"]);
    }

    #[test]
    fn runs_in_the_folder_of_its_package() {
        let binaries = binaries();
        let command = binaries[1].command();
        assert_eq!(command.get_program(), "/target/faults-1");
        assert_eq!(command.get_current_dir(), Some(Path::new("/repository/tests")));
        let folder = command.get_envs().find(|(name, _)| *name == "CARGO_MANIFEST_DIR");
        assert_eq!(folder.and_then(|(_, value)| value), Some("/repository/tests".as_ref()));
    }

    /// As cargo does, with this very binary: one of its tests, and how many it has.
    #[test]
    fn counts_and_runs_tests_of_a_real_binary() {
        let binary = Binary(Executable {
            package: "xtask".to_owned(),
            kind: Kind::Library,
            target: "xtask".to_owned(),
            folder: workspace::root().join("crates/xtask"),
            file: std::env::current_exe().expect("a test runs in a file"),
            is_test: true,
        });
        assert!(binary.count().expect("count") > 1);
        let name = "workspace::tests::root_holds_the_workspace";
        let selection = Selection::parse(&["--".to_owned(), "--exact".to_owned(), name.to_owned()]);
        let report = binary.run(&selection, Effort::Full).expect("run");
        assert_eq!((report.counts.passed, report.counts.failed), (1, 0));
        assert_eq!(report.tests[0].name, name);
        assert!(report.tests[0].time.is_some() && report.crash.is_none());
    }
}
