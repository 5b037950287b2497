//! Mutants that may live.

use anyhow::bail;
use serde::Deserialize;

/// A mutant that may live.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Its name.
    pub mutant: String,
    /// Why no test has to find it.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    accepted: Vec<Accepted>,
}

/// Reads `[[accepted]]` tables, each with `mutant` and `reason`.
///
/// # Errors
/// When the file has another shape, or a mutant stands twice or without a reason.
pub fn parse(text: &str) -> anyhow::Result<Vec<Accepted>> {
    let File { accepted } = toml::from_str(text)?;
    for (index, Accepted { mutant, reason }) in accepted.iter().enumerate() {
        if reason.trim().is_empty() {
            bail!("no reason is given for: {mutant}");
        }
        if accepted[..index].iter().any(|earlier| earlier.mutant == *mutant) {
            bail!("stands twice: {mutant}");
        }
    }
    Ok(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_a_reason_and_stands_once() {
        let one = "[[accepted]]\nmutant = \"a.rs: replace + with -\"\nreason = \"equal\"\n";
        let read = parse(one).expect("a mutant");
        let expected = Accepted { mutant: "a.rs: replace + with -".into(), reason: "equal".into() };
        assert_eq!(read, [expected]);
        assert_eq!(parse("# none\n").expect("no mutant"), []);
        let no_reason = one.replace("equal", " ");
        for wrong in [no_reason.as_str(), &one.repeat(2), "[[accepted]]\nmutant = \"a\"", "x = 1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_committed_file_can_be_read() {
        parse(include_str!("../../../mutants.toml")).expect("crates/mutants.toml");
    }
}
