//! Native builds: cargo runs, what the compiler says is shown while it says it, and what was made is found.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{process, workspace};

/// What an executable is built from, in the order in which cargo runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A library, with the tests in it.
    Library,
    /// A program.
    Program,
    /// A file or folder of tests.
    Test,
}

/// An executable that was built.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Executable {
    /// The package.
    pub package: String,
    /// What it is built from.
    pub kind: Kind,
    /// The name of that.
    pub target: String,
    /// The folder of the package.
    pub folder: PathBuf,
    /// Where it is.
    pub file: PathBuf,
    /// Whether it runs tests.
    pub is_test: bool,
}

/// What cargo made of the workspace.
#[derive(Debug, Default)]
pub struct Built {
    /// Everything that can be run.
    pub executables: Vec<Executable>,
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

/// Builds all programs, also those without tests.
///
/// # Errors
/// When one does not build.
pub fn programs(lints: Lints) -> anyhow::Result<Built> {
    let mut command = workspace::cargo();
    run(command.args(["build", "--workspace", "--bins", "--locked"]), lints)
}

/// Builds a program by its name; where it is. Of the whole workspace: alone its dependencies would have other
/// features, and be built once more.
///
/// # Errors
/// When it does not build.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let mut command = workspace::cargo();
    let built = run(command.args(["build", "--workspace", "--bin", name]), Lints::Compiler)?;
    let mut found = built.executables.into_iter().filter(|one| one.target == name);
    found.next().map(|one| one.file).with_context(|| format!("cargo names no {name}"))
}

/// Runs cargo.
///
/// # Errors
/// When something does not build.
pub fn run(command: &mut Command, lints: Lints) -> anyhow::Result<Built> {
    lints.apply(command.arg("--message-format=json"));
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
    Ok(built)
}

impl Built {
    /// Takes one message of cargo, a JSON object.
    ///
    /// # Errors
    /// It is none.
    pub fn take(&mut self, line: &str) -> anyhow::Result<()> {
        let mut message: Message =
            serde_json::from_str(line).context("cargo's messages have another shape")?;
        if let Some(diagnostic) = message.message.take() {
            eprint!("{}", diagnostic.rendered.unwrap_or_default());
            self.warnings += usize::from(diagnostic.level == "warning");
        }
        self.executables.extend(message.into_executable());
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
    fn into_executable(self) -> Option<Executable> {
        let Self { reason, package_id, manifest_path, target, profile, executable, .. } = self;
        if reason != "compiler-artifact" {
            return None;
        }
        let (file, target) = (executable?, target?);
        let folder = manifest_path?.parent().map(Path::to_path_buf)?;
        let package = package_name(&package_id?, &folder)?;
        let kind = match target.kind.first()?.as_str() {
            "test" => Kind::Test,
            "bin" | "example" | "bench" => Kind::Program,
            _ => Kind::Library,
        };
        let is_test = profile?.test;
        Some(Executable { package, kind, target: target.name, folder, file, is_test })
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What cargo 1.95 says, shortened.
    pub const MESSAGES: &str = r##"
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

    /// What was built, by these messages.
    pub fn built() -> Built {
        let mut built = Built::default();
        for line in MESSAGES.trim().lines() {
            built.take(line).expect("a message");
        }
        built
    }

    #[test]
    fn counts_warnings_and_no_notes() {
        assert_eq!(built().warnings, 1);
    }

    #[test]
    fn finds_what_can_be_run_and_nothing_else() {
        let targets: Vec<_> =
            built().executables.into_iter().map(|one| (one.target, one.is_test)).collect();
        let expected = [
            ("faults", true),
            ("bench", false),
            ("simulation", true),
            ("domain", true),
            ("hongbao-host", true),
        ];
        assert_eq!(targets, expected.map(|(target, is_test)| (target.to_owned(), is_test)));
        assert!(Built::default().take("no message").is_err());
    }
}
