//! Which tests.

/// Those that select packages.
const PACKAGES: [&str; 2] = ["-p", "--package"];

/// Which tests, in two parts, as `cargo test` divides them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// For cargo: which binaries.
    cargo: Vec<String>,
    /// For each binary: which of its tests, and how.
    binary: Vec<String>,
}

impl Selection {
    /// Divides what was given at the `--`. A word without a dash in front is a part of a test's name,
    /// as it is for `cargo test`.
    #[must_use]
    pub fn parse(given: &[String]) -> Self {
        let mut parts = given.splitn(2, |argument| argument == "--");
        let mut cargo = parts.next().unwrap_or_default().to_vec();
        let mut binary = parts.next().unwrap_or_default().to_vec();
        if cargo.first().is_some_and(|first| !first.starts_with('-')) {
            binary.insert(0, cargo.remove(0));
        }
        Self { cargo, binary }
    }

    /// The arguments of cargo.
    pub fn cargo(&self) -> impl Iterator<Item = &str> {
        let all = (!self.has(&PACKAGES)).then_some("--workspace");
        all.into_iter().chain(self.cargo.iter().map(String::as_str))
    }

    /// The arguments of each binary.
    #[must_use]
    pub fn binary(&self) -> &[String] {
        &self.binary
    }

    fn has(&self, names: &[&str]) -> bool {
        self.cargo.iter().any(|argument| {
            let name = argument.split('=').next().unwrap_or_default();
            names.contains(&name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was given, what cargo gets and what binaries get.
    #[track_caller]
    fn check(given: &str, cargo: &str, binary: &str) {
        let given: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
        let selection = Selection::parse(&given);
        assert_eq!(selection.cargo().collect::<Vec<_>>().join(" "), cargo);
        assert_eq!(selection.binary().join(" "), binary);
    }

    #[test]
    fn without_arguments_everything_is_selected() {
        check("", "--workspace", "");
    }

    #[test]
    fn packages_and_targets_are_selected_by_cargo_and_tests_by_their_binary() {
        check("--test api", "--workspace --test api", "");
        check("--test=api -- pays twice", "--workspace --test=api", "pays twice");
        check("-p domain", "-p domain", "");
        check("--package=domain --lib", "--package=domain --lib", "");
        check("-- --exact a::b", "--workspace", "--exact a::b");
    }

    #[test]
    fn a_first_word_is_a_part_of_a_name_as_it_is_for_cargo() {
        check("pays", "--workspace", "pays");
        check("pays --lib -- --nocapture", "--workspace --lib", "pays --nocapture");
    }
}
