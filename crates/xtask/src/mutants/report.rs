//! What became of the mutants that were drawn.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::accepted::Accepted;
use super::mutant::Mutant;

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Outcome {
    /// A test found it.
    #[serde(rename = "CaughtMutant")]
    Caught,
    /// No test found it.
    #[serde(rename = "MissedMutant")]
    Living,
    /// It does not compile.
    Unviable,
    /// Tests did not end: somebody would notice.
    #[serde(rename = "Timeout")]
    TimedOut,
    /// What is said of the tree without a mutant.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Tested>,
}

#[derive(Deserialize)]
struct Tested {
    scenario: Scenario,
    summary: Outcome,
}

#[derive(Deserialize)]
enum Scenario {
    Baseline,
    Mutant { name: String },
}

/// Reads what cargo-mutants writes down: outcomes by place.
///
/// # Errors
/// When it has another shape.
pub fn parse(outcomes: &str) -> anyhow::Result<HashMap<String, Outcome>> {
    let Outcomes { outcomes } =
        serde_json::from_str(outcomes).context("cargo-mutants writes outcomes in another shape")?;
    let tested = outcomes.into_iter().filter_map(|tested| match tested.scenario {
        Scenario::Mutant { name } => Some((name, tested.summary)),
        Scenario::Baseline => None,
    });
    Ok(tested.collect())
}

/// What became of all that were drawn, by place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    caught: usize,
    living: Vec<String>,
    accepted: Vec<(String, String)>,
    unviable: Vec<String>,
    timed_out: Vec<String>,
    not_tested: Vec<String>,
    stale: Vec<String>,
}

impl Report {
    /// Compares what was drawn with what became of it, and all there are with those that may live.
    #[must_use]
    pub fn new(
        all: &[Mutant],
        drawn: &[&Mutant],
        outcomes: &HashMap<String, Outcome>,
        accepted: &[Accepted],
    ) -> Self {
        let mut report = Self::default();
        for mutant in drawn {
            let place = mutant.place.clone();
            let accepted = accepted.iter().find(|accepted| accepted.mutant == mutant.name);
            match (outcomes.get(&mutant.place), accepted) {
                (Some(Outcome::Living), Some(accepted)) => {
                    report.accepted.push((place, accepted.reason.clone()));
                }
                (Some(Outcome::Living), None) => report.living.push(place),
                (Some(Outcome::Unviable), _) => report.unviable.push(place),
                (Some(Outcome::TimedOut), _) => report.timed_out.push(place),
                (Some(Outcome::Caught), found) => {
                    report.caught += 1;
                    let name = |found: &Accepted| format!("{}: a test finds it", found.mutant);
                    report.stale.extend(found.map(name));
                }
                (Some(Outcome::Other) | None, _) => report.not_tested.push(place),
            }
        }
        let gone = accepted.iter().filter(|one| all.iter().all(|mutant| mutant.name != one.mutant));
        report.stale.extend(gone.map(|one| format!("{}: there is no such mutant", one.mutant)));
        report
    }

    /// Whether nothing is left to do.
    ///
    /// # Errors
    /// When a mutant lives that may not or was not tested, or one that may live is gone or caught.
    pub fn verdict(&self) -> anyhow::Result<()> {
        if !self.living.is_empty() {
            bail!("mutants live: add a test, or write them with a reason into crates/mutants.toml");
        }
        if !self.not_tested.is_empty() {
            bail!("not all mutants were tested");
        }
        if !self.stale.is_empty() {
            bail!("crates/mutants.toml is stale");
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caught, living, accepted, unviable, timed_out, not_tested, stale } = self;
        let (living_count, accepted_count) = (living.len(), accepted.len());
        writeln!(
            formatter,
            "{caught} caught, {living_count} living, {accepted_count} living and accepted, {} timed \
             out, {} unviable, {} not tested",
            timed_out.len(),
            unviable.len(),
            not_tested.len()
        )?;
        let accepted = accepted.iter().map(|(place, reason)| format!("{place}\n    {reason}"));
        let lists = [
            ("living", living.clone()),
            ("living and accepted", accepted.collect()),
            ("timed out", timed_out.clone()),
            ("unviable", unviable.clone()),
            ("not tested", not_tested.clone()),
            ("stale in crates/mutants.toml", stale.clone()),
        ];
        for (title, mut lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            lines.sort();
            writeln!(formatter, "\n{title}")?;
            lines.iter().try_for_each(|line| writeln!(formatter, "  {line}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::mutant::tests::mutants;

    /// As cargo-mutants 27.1 writes it, shortened.
    fn outcomes(summaries: [&str; 3]) -> HashMap<String, Outcome> {
        let tested: Vec<_> = mutants()
            .iter()
            .zip(summaries)
            .map(|(mutant, summary)| {
                let place = &mutant.place;
                format!(
                    r#"{{"scenario": {{"Mutant": {{"name": "{place}", "package": "domain"}}}},
                         "summary": "{summary}", "phase_results": []}}"#
                )
            })
            .collect();
        let baseline = r#"{"scenario": "Baseline", "summary": "Success"}"#;
        let text =
            format!(r#"{{"outcomes": [{baseline}, {}], "total_mutants": 3}}"#, tested.join(","));
        parse(&text).expect("outcomes")
    }

    fn report(summaries: [&str; 3], accepted: &[&str]) -> Report {
        let all = mutants();
        let accepted: Vec<_> = accepted
            .iter()
            .map(|name| Accepted { mutant: (*name).to_owned(), reason: "equal".to_owned() })
            .collect();
        Report::new(&all, &all.iter().collect::<Vec<_>>(), &outcomes(summaries), &accepted)
    }

    const SHARE: &str = "crates/lease/src/lib.rs: replace share -> Option<u8> with Some(0)";

    #[test]
    fn lists_what_lives_with_its_place() {
        let report = report(["CaughtMutant", "MissedMutant", "MissedMutant"], &[SHARE]);
        let expected = "\
1 caught, 1 living, 1 living and accepted, 0 timed out, 0 unviable, 0 not tested

living
  crates/domain/src/money.rs:13:9: replace + with - in Money::add

living and accepted
  crates/lease/src/lib.rs:7:1: replace share -> Option<u8> with Some(0)
    equal
";
        assert_eq!(report.to_string(), expected);
        assert!(report.verdict().is_err());
    }

    #[test]
    fn nothing_is_left_to_do_when_the_others_are_accepted_or_ended_otherwise() {
        let report = report(["Unviable", "Timeout", "MissedMutant"], &[SHARE]);
        assert!(report.verdict().is_ok(), "{report}");
        assert_eq!((report.unviable.len(), report.timed_out.len()), (1, 1));
    }

    #[test]
    fn an_accepted_mutant_that_is_caught_or_gone_is_stale() {
        let gone = "crates/lease/src/lib.rs: replace < with <= in share";
        let all_caught = ["CaughtMutant", "CaughtMutant", "CaughtMutant"];
        let report = report(all_caught, &[SHARE, gone]);
        assert_eq!(report.stale.len(), 2);
        assert!(report.verdict().is_err());
        assert!(self::report(all_caught, &[]).verdict().is_ok());
    }

    #[test]
    fn what_time_did_not_suffice_for_was_not_tested() {
        let all = mutants();
        let report = Report::new(&all, &[&all[0]], &HashMap::new(), &[]);
        assert_eq!(report.not_tested, [all[0].place.clone()]);
        assert!(report.verdict().is_err());
    }
}
