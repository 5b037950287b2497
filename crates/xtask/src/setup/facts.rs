//! What this machine has. Looks, and changes nothing.

use std::fmt;
use std::path::{Path, PathBuf};

use super::need::{Need, Step};
use crate::process::{find, probe};
use crate::workspace::{self, WASM_TARGET};

/// Debian's compiler and its cargo, apart from a default toolchain that comes first in PATH.
pub const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// See [`DEBIAN_RUSTC`].
pub const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// Python, on whose package index one tool lies built.
pub const PYTHON: &str = "python3";

/// What set-up decides by. Only what the need is about is filled in.
#[derive(Debug, Default)]
pub struct Facts {
    /// The default toolchain has the standard library of the target.
    pub target_installed: bool,
    /// Debian's compiler, if the standard library's source and its cargo are there too.
    pub debian_rust: Option<Version>,
    /// The version that Debian's lists offer.
    pub debian_rust_offered: Option<Version>,
    /// A linker for WebAssembly.
    pub linker: Option<PathBuf>,
    /// Whether Debian's packages can be installed.
    pub apt: Apt,
    /// There is a rustup.
    pub rustup: bool,
    /// The `redis-server` in PATH.
    pub redis: Option<(PathBuf, Version)>,
    /// The `protoc` in PATH.
    pub protoc: Option<(PathBuf, Version)>,
    /// There is a Python that installs packages.
    pub pip: bool,
    /// The `cargo-deny` in PATH, or the one that set-up provided: the newest.
    pub cargo_deny: Option<(PathBuf, Version)>,
    /// The `cargo-mutants` that set-up built, or the one in PATH.
    pub cargo_mutants: Option<(PathBuf, Version)>,
    /// Steps that were taken already, whether they worked or not.
    pub taken: Vec<Step>,
}

/// Whether Debian's packages can be installed, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Apt {
    /// No Debian, or no permission without a password.
    #[default]
    Unusable,
    /// As we are.
    Root,
    /// Through sudo, which asks for no password.
    Sudo,
}

impl Apt {
    /// What is possible here.
    #[must_use]
    pub fn of_this_machine() -> Self {
        if find("apt-get").is_none() {
            Apt::Unusable
        } else if probe("id", &["-u"]).is_some_and(|user| user.trim() == "0") {
            Apt::Root
        } else if probe("sudo", &["-n", "true"]).is_some() {
            Apt::Sudo
        } else {
            Apt::Unusable
        }
    }
}

/// Major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64, pub u64, pub u64);

impl Version {
    /// The first version in a text such as `rustc 1.96.0 (ac68faa20 2026-05-25)`.
    #[must_use]
    pub fn find_in(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
            let mut numbers = word.split('.').map(|number| number.parse().ok());
            let (major, minor) = (numbers.next()??, numbers.next()??);
            Some(Version(major, minor, numbers.next().flatten().unwrap_or(0)))
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Facts {
    /// Looks at this machine.
    #[must_use]
    pub fn gather(need: Need, taken: &[Step]) -> Self {
        let facts = Facts { taken: taken.to_vec(), ..Facts::default() };
        match need {
            Need::WasmTarget => facts.with_rust(),
            Need::Redis => {
                let redis = find("redis-server").and_then(with_version);
                Facts { redis, apt: Apt::of_this_machine(), ..facts }
            }
            Need::Protoc => {
                let protoc = find("protoc").and_then(with_version);
                Facts { protoc, apt: Apt::of_this_machine(), ..facts }
            }
            Need::CargoDeny => {
                let provided = [tools().join("bin/cargo-deny"), wheel().join("bin/cargo-deny")];
                let found = provided.into_iter().chain(find("cargo-deny")).filter_map(with_version);
                let cargo_deny = found.max_by_key(|(_, version)| *version);
                let pip = probe(PYTHON, &["-m", "pip", "--version"]).is_some();
                Facts { cargo_deny, pip, ..facts }
            }
            Need::CargoMutants => {
                let built = Some(tools().join("bin/cargo-mutants")).filter(|file| file.is_file());
                let found = built.or_else(|| find("cargo-mutants"));
                // It takes no argument but the name under which cargo calls it.
                let cargo_mutants =
                    found.and_then(|file| version_of(file, &["mutants", "--version"]));
                Facts { cargo_mutants, ..facts }
            }
        }
    }

    fn with_rust(self) -> Self {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let sysroot = probe(&rustc, &["--print", "sysroot"]).map(|path| PathBuf::from(path.trim()));
        let libraries = sysroot.map(|sysroot| sysroot.join("lib/rustlib"));
        let target_installed =
            libraries.as_ref().is_some_and(|path| path.join(WASM_TARGET).join("lib").is_dir());
        if target_installed {
            return Facts { target_installed, ..self };
        }
        let host = probe(&rustc, &["-vV"]).and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        });
        let rust_lld = libraries
            .zip(host)
            .map(|(libraries, host)| libraries.join(host).join("bin/rust-lld"))
            .filter(|file| file.is_file());
        Facts {
            debian_rust: debian_rust(),
            debian_rust_offered: debian_rust_offered(),
            linker: rust_lld.or_else(|| find("wasm-ld")),
            apt: Apt::of_this_machine(),
            rustup: find("rustup").is_some(),
            ..self
        }
    }
}

/// The folder into whose `bin` set-up builds tools.
#[must_use]
pub fn tools() -> PathBuf {
    workspace::state().join("tools")
}

/// The folder into whose `bin` the package with cargo-deny goes.
#[must_use]
pub fn wheel() -> PathBuf {
    tools().join("cargo-deny")
}

fn with_version(program: PathBuf) -> Option<(PathBuf, Version)> {
    version_of(program, &["--version"])
}

fn version_of(program: PathBuf, arguments: &[&str]) -> Option<(PathBuf, Version)> {
    let text = probe(program.to_str()?, arguments)?;
    Some((program, Version::find_in(&text)?))
}

/// The source lies beneath the compiler's own sysroot, wherever that is.
fn debian_rust() -> Option<Version> {
    let sysroot = probe(DEBIAN_RUSTC, &["--print", "sysroot"])?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std/Cargo.toml");
    let complete = source.is_file() && Path::new(DEBIAN_CARGO).is_file();
    complete.then(|| Version::find_in(&probe(DEBIAN_RUSTC, &["--version"])?)).flatten()
}

fn debian_rust_offered() -> Option<Version> {
    let text = probe("apt-cache", &["policy", "rustc-web"])?;
    let candidate = text.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    Version::find_in(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_as_programs_print_them() {
        let table = [
            ("rustc 1.96.0 (ac68faa20 2026-05-25)", Some(Version(1, 96, 0))),
            ("1.96.0+dfsg1-1~deb12u2", Some(Version(1, 96, 0))),
            ("5:7.0.15-1~deb12u10", Some(Version(7, 0, 15))),
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0", Some(Version(7, 0, 15))),
            ("libprotoc 3.21.12", Some(Version(3, 21, 12))),
            ("libprotoc 29.3", Some(Version(29, 3, 0))),
            ("cargo-deny 0.20.2", Some(Version(0, 20, 2))),
            ("cargo-mutants 27.1.0", Some(Version(27, 1, 0))),
            ("1.95", Some(Version(1, 95, 0))),
            ("(none)", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(Version::find_in(text), expected, "{text}");
        }
    }

    #[test]
    fn versions_are_ordered_by_number_and_not_by_digit() {
        assert!(Version(1, 100, 0) > Version(1, 95, 9));
    }
}
