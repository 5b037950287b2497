//! The test binaries: built by cargo, found in what it says, and run.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::events::Events;
use super::selection::Selection;
use super::summary::Report;
use super::{Effort, FAST_VARIABLE};
use crate::{process, workspace};

/// Lets a test binary of a stable toolchain say what it does in JSON and how long a test took. Only for
/// the binary: to the compiler it would mean another build of everything.
const UNSTABLE_VARIABLE: &str = "RUSTC_BOOTSTRAP";
/// See [`UNSTABLE_VARIABLE`].
const REPORT: [&str; 3] = ["-Zunstable-options", "--format=json", "--report-time"];

/// What a binary is built from, in the order in which cargo runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Library,
    Program,
    Test,
}

/// A test binary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binary {
    package: String,
    kind: Kind,
    target: String,
    /// The folder of the package, in which it runs.
    folder: PathBuf,
    executable: PathBuf,
}

/// What cargo made of the workspace.
#[derive(Debug, Default)]
pub struct Built {
    /// The test binaries.
    pub binaries: Vec<Binary>,
    /// Warnings of the compiler, and of clippy where it was asked.
    pub warnings: usize,
}

/// Whether clippy looks at what is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lints {
    /// The compiler's own only.
    Compiler,
    /// Clippy's too, while it is built: to check it apart would mean to read all dependencies again.
    Clippy,
}

impl Lints {
    /// Makes clippy compile the packages of the workspace. That is how `cargo clippy` does it, too.
    pub fn apply(self, command: &mut Command) {
        if self == Self::Clippy {
            command.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
        }
    }
}

/// Builds the test binaries and finds them.
///
/// # Errors
/// When one does not build.
pub fn build(selection: &Selection, lints: Lints) -> anyhow::Result<Built> {
    let mut command = workspace::cargo();
    command.args(["test", "--no-run"]).args(selection.cargo());
    built(&mut command, lints)
}

/// Builds all programs, also those without tests.
///
/// # Errors
/// When one does not build.
pub fn build_programs(lints: Lints) -> anyhow::Result<Built> {
    let mut command = workspace::cargo();
    built(command.args(["build", "--workspace", "--bins"]), lints)
}

/// Runs cargo, shows what the compiler says while it says it, and finds what was built.
fn built(command: &mut Command, lints: Lints) -> anyhow::Result<Built> {
    lints.apply(command.args(["--locked", "--message-format=json"]));
    process::announce(command);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut built = Built::default();
    for line in BufReader::new(output).lines() {
        built.take(&line.context("cargo writes no text")?)?;
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!("cargo failed: {status}");
    }
    built.binaries.sort();
    Ok(built)
}

impl Built {
    /// Takes one message of cargo, a JSON object.
    fn take(&mut self, line: &str) -> anyhow::Result<()> {
        let mut message: Message =
            serde_json::from_str(line).context("cargo's messages have another shape")?;
        if let Some(diagnostic) = message.message.take() {
            eprint!("{}", diagnostic.rendered.unwrap_or_default());
            self.warnings += usize::from(diagnostic.level == "warning");
        }
        self.binaries.extend(message.into_binary());
        Ok(())
    }
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

impl Message {
    fn into_binary(self) -> Option<Binary> {
        let Self { reason, package_id, manifest_path, target, profile, executable, .. } = self;
        if reason != "compiler-artifact" || !profile?.test {
            return None;
        }
        let (executable, target) = (executable?, target?);
        let folder = manifest_path?.parent().map(Path::to_path_buf)?;
        let package = package_name(&package_id?, &folder)?;
        let kind = match target.kind.first()?.as_str() {
            "test" => Kind::Test,
            "bin" | "example" | "bench" => Kind::Program,
            _ => Kind::Library,
        };
        Some(Binary { package, kind, target: target.name, folder, executable })
    }
}

/// `path+file:///repository/crates/domain#0.1.0`, or `...#name@0.1.0` where the folder has another name.
fn package_name(id: &str, folder: &Path) -> Option<String> {
    let (_, version) = id.rsplit_once('#')?;
    match version.split_once('@') {
        Some((name, _)) => Some(name.to_owned()),
        None => folder.file_name()?.to_str().map(str::to_owned),
    }
}

impl Binary {
    /// Package and target, as nextest names them: `domain`, `host::bin/name`, `end-to-end::api`.
    #[must_use]
    pub fn id(&self) -> String {
        match self.kind {
            Kind::Library => self.package.clone(),
            Kind::Program => format!("{}::bin/{}", self.package, self.target),
            Kind::Test => format!("{}::{}", self.package, self.target),
        }
    }

    /// Whether it takes minutes: every fault at every call, or rushes of thousands.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.kind == Kind::Test && ["faults", "load"].contains(&self.target.as_str())
    }

    /// Whether it is the simulator's.
    #[must_use]
    pub fn is_simulation(&self) -> bool {
        self.kind == Kind::Test && self.package == "simulation" && self.target == "simulation"
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
        let cannot_run = || format!("cannot run {}", self.executable.display());
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
        let mut command = Command::new(&self.executable);
        command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .env("CARGO_MANIFEST_PATH", self.folder.join("Cargo.toml"))
            .env("CARGO_PKG_NAME", &self.package);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cargo 1.95 says, shortened.
    const MESSAGES: &str = r##"
{"reason":"compiler-artifact","package_id":"registry+https://example.com#itoa@1.0.18","manifest_path":"/cache/itoa/Cargo.toml","target":{"kind":["lib"],"name":"itoa"},"profile":{"test":false},"executable":null,"fresh":true}
{"reason":"build-script-executed","package_id":"path+file:///repository/crates/binding#0.1.0","out_dir":"/out"}
{"reason":"compiler-artifact","package_id":"path+file:///repository/tests#end-to-end@0.1.0","manifest_path":"/repository/tests/Cargo.toml","target":{"kind":["test"],"name":"faults"},"profile":{"test":true},"executable":"/target/faults-1"}
{"reason":"compiler-artifact","package_id":"path+file:///repository/tests#end-to-end@0.1.0","manifest_path":"/repository/tests/Cargo.toml","target":{"kind":["bin"],"name":"bench"},"profile":{"test":false},"executable":"/target/bench"}
{"reason":"compiler-artifact","package_id":"path+file:///repository/tests/simulation#0.1.0","manifest_path":"/repository/tests/simulation/Cargo.toml","target":{"kind":["test"],"name":"simulation"},"profile":{"test":true},"executable":"/target/simulation-1"}
{"reason":"compiler-artifact","package_id":"path+file:///repository/crates/domain#0.1.0","manifest_path":"/repository/crates/domain/Cargo.toml","target":{"kind":["lib"],"name":"domain"},"profile":{"test":true},"executable":"/target/domain-1"}
{"reason":"compiler-artifact","package_id":"path+file:///repository/crates/host#0.1.0","manifest_path":"/repository/crates/host/Cargo.toml","target":{"kind":["bin"],"name":"hongbao-host"},"profile":{"test":true},"executable":"/target/host-1"}
{"reason":"compiler-message","package_id":"path+file:///repository/crates/host#0.1.0","manifest_path":"/repository/crates/host/Cargo.toml","target":{"kind":["lib"],"name":"host"},"message":{"level":"warning","message":"unused","rendered":"warning: unused\n","spans":[]}}
{"reason":"compiler-message","package_id":"path+file:///repository/crates/host#0.1.0","manifest_path":"/repository/crates/host/Cargo.toml","target":{"kind":["lib"],"name":"host"},"message":{"level":"note","message":"a note","rendered":null,"spans":[]}}
{"reason":"build-finished","success":true}
"##;

    fn built() -> Built {
        let mut built = Built::default();
        for line in MESSAGES.trim().lines() {
            built.take(line).expect("a message");
        }
        built.binaries.sort();
        built
    }

    fn binaries() -> Vec<Binary> {
        built().binaries
    }

    #[test]
    fn counts_warnings_and_no_notes() {
        assert_eq!(built().warnings, 1);
    }

    #[test]
    fn finds_the_test_binaries_and_nothing_else_in_order() {
        let ids: Vec<_> = binaries().iter().map(Binary::id).collect();
        let expected =
            ["domain", "end-to-end::faults", "host::bin/hongbao-host", "simulation::simulation"];
        assert_eq!(ids, expected);
        assert!(Built::default().take("no message").is_err());
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
        let binary = Binary {
            package: "xtask".to_owned(),
            kind: Kind::Library,
            target: "xtask".to_owned(),
            folder: workspace::root().join("crates/xtask"),
            executable: std::env::current_exe().expect("a test runs in a file"),
        };
        assert!(binary.count().expect("count") > 1);
        let name = "workspace::tests::root_holds_the_workspace";
        let selection = Selection::parse(&["--".to_owned(), "--exact".to_owned(), name.to_owned()]);
        let report = binary.run(&selection, Effort::Full).expect("run");
        assert_eq!((report.counts.passed, report.counts.failed), (1, 0));
        assert_eq!(report.tests[0].name, name);
        assert!(report.tests[0].time.is_some() && report.crash.is_none());
    }
}
