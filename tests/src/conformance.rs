//! The conformance suite: the same transactions go to a back end and to the reference model, and
//! their answers are compared one by one.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use binding::Binding;
use binding::memory::Memory;
use binding::state::Move;
use domain::partition::Partition;
use domain::transaction::{
    Answer, CommitError, Field, Outcome, READ_FIELDS_MAX, Range, Read, Transaction, Value,
};
use litemap::LiteMap;
use proptest::prop_assert_eq;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use tokio::runtime::Runtime;

use crate::generator::{ORDERED_SETS, Options, Script, scripts};

/// Reads of one transaction of the last comparison.
const IDS_A_READ: usize = 1_000;
/// Attempts to make a failing script shorter and simpler.
const SHRINKS_MAX: u32 = 10_000;
/// What that takes at most: some stores are made anew for each attempt.
const SHRINKS_MS_MAX: u32 = 120_000;

/// How often each way to end was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Committed.
    pub committed: u32,
    /// Refused by a guard, or with nothing to move.
    pub refused: u32,
    /// Invalid.
    pub invalid: u32,
}

impl Report {
    /// Demands that no way to end was met by chance only.
    pub fn assert_varied(&self) {
        let total = self.committed + self.refused + self.invalid;
        for (name, count) in
            [("committed", self.committed), ("refused", self.refused), ("invalid", self.invalid)]
        {
            assert!(count > total / 20, "too few transactions were {name}: {self:?}");
        }
    }
}

/// Generates a script and tests it; where that fails, makes it shorter and simpler as long as it still fails.
/// `test` starts with an empty store each time, and calls [`run`].
///
/// # Errors
/// The test fails: with the difference and the least script.
pub fn find(
    runtime: &Runtime,
    options: Options,
    test: impl AsyncFn(&Script) -> Result<Report, TestCaseError>,
) -> Result<Report, TestError<Script>> {
    let config = Config {
        cases: 1,
        // The seed repeats it.
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(options.seed),
        max_shrink_iters: SHRINKS_MAX,
        max_shrink_time: SHRINKS_MS_MAX,
        ..Config::default()
    };
    let report = Cell::new(Report::default());
    TestRunner::new(config).run(&scripts(options), |script| {
        report.set(runtime.block_on(test(&script))?);
        Ok(())
    })?;
    Ok(report.get())
}

/// The same where nothing may be found.
///
/// # Panics
/// The test fails. The message has the options with the seed as well.
pub fn check(
    runtime: &Runtime,
    options: Options,
    test: impl AsyncFn(&Script) -> Result<Report, TestCaseError>,
) -> Report {
    let report = find(runtime, options, test);
    let report = report.unwrap_or_else(|failure| panic!("{options:?}: {failure}"));
    println!("{report:?}");
    report
}

/// Runs a script on an empty store and compares every answer with the model's; at the end also every id that
/// was named, and every ordered set, page by page.
///
/// # Errors
/// An answer differs. The message has the number of the transaction.
pub async fn run<B: Binding>(back_end: &B, script: &Script) -> Result<Report, TestCaseError> {
    let model = Memory::new();
    let mut report = Report::default();
    for (number, (partition, transaction)) in script.transactions.iter().enumerate() {
        let answer = back_end.commit(*partition, transaction).await;
        match &answer {
            Ok(Outcome::Committed(_)) => report.committed += 1,
            Ok(Outcome::Refused(_)) => report.refused += 1,
            Err(_) => report.invalid += 1,
        }
        compare(&model, *partition, transaction, script.page_entries_max, answer).map_err(
            |difference| {
                TestCaseError::fail(format!("transaction {number} in {partition}: {difference}"))
            },
        )?;
    }
    compare_ids(&model, back_end, script).await?;
    compare_ordered_sets(&model, back_end, script).await?;
    Ok(report)
}

/// Commits on the model as well and compares.
fn compare(
    model: &Memory,
    partition: Partition,
    transaction: &Transaction,
    page_entries_max: u32,
    answer: Result<Outcome, CommitError>,
) -> Result<(), String> {
    let moved = moved_values(transaction, &answer);
    let mut choice = |parts: Move<'_>, fields: &LiteMap<Field, Value>| {
        let wanted = moved.get(parts.field);
        let taken = fields.iter().find(|(_, value)| Some(*value) == wanted);
        let first = || fields.first();
        taken.or_else(first).map(|(field, _)| field.clone()).expect("a map has a field")
    };
    let mut limited = transaction.clone();
    for read in &mut limited.reads {
        if let Read::Page(_, _, most @ 1..=READ_FIELDS_MAX) = read {
            *most = page_entries_max.min(*most);
        }
    }
    let expected = model.commit_choosing(partition, &limited, &mut choice);
    let same = expected == answer;
    if same { Ok(()) } else { Err(format!("{answer:?} and not {expected:?}")) }
}

/// What moves out of pools took, by the field that they put it under: the generator reads it.
fn moved_values(
    transaction: &Transaction,
    answer: &Result<Outcome, CommitError>,
) -> BTreeMap<Field, Value> {
    let Ok(Outcome::Committed(answers)) = answer else { return BTreeMap::new() };
    let reads = transaction.reads.iter().zip(answers);
    let values = reads.filter_map(|(read, answer)| match (read, answer) {
        (Read::Fields(_, fields), Answer::Fields(values)) => Some(fields.iter().zip(values)),
        _ => None,
    });
    values
        .flatten()
        .filter(|(field, _)| field.0.starts_with(b"operation:"))
        .filter_map(|(field, value)| Some((field.clone(), value.clone()?)))
        .collect()
}

/// Compares every id that was named.
async fn compare_ids<B: Binding>(
    model: &Memory,
    back_end: &B,
    script: &Script,
) -> Result<(), TestCaseError> {
    for (home, ids) in script.ids() {
        for ids in ids.chunks(IDS_A_READ) {
            let reads = ids.iter().map(|(set, id)| Read::Contains((*set).clone(), *id)).collect();
            let now_ms = script.now_ms;
            let transaction = Transaction { now_ms, reads, ..Transaction::default() };
            let answer = back_end.commit(home, &transaction).await;
            let expected = model.commit(home, &transaction).await;
            prop_assert_eq!(answer, expected, "the ids in {}", home);
        }
    }
    Ok(())
}

/// Compares every ordered set, a page after the other, and that the pages are all of it.
async fn compare_ordered_sets<B: Binding>(
    model: &Memory,
    back_end: &B,
    script: &Script,
) -> Result<(), TestCaseError> {
    let homes = script.transactions.iter().map(|(home, _)| *home).collect::<BTreeSet<_>>();
    for (home, set) in homes.into_iter().flat_map(|home| ORDERED_SETS.map(|set| (home, set))) {
        let (mut range, mut seen) = (Range::default(), 0);
        loop {
            let page = Read::Page(set.into(), range.clone(), script.page_entries_max);
            let reads = vec![page, Read::Count(set.into(), Range::default())];
            let now_ms = script.now_ms;
            let transaction = Transaction { now_ms, reads, ..Transaction::default() };
            let answer = back_end.commit(home, &transaction).await;
            let expected = model.commit(home, &transaction).await;
            prop_assert_eq!(&answer, &expected, "the members of {:?} in {}", set, home);
            let Ok(Outcome::Committed(answers)) = answer else { break };
            let [Answer::Page(page), Answer::Size(count)] = &answers[..] else { break };
            seen += page.members.len() as u64;
            if !page.has_more {
                prop_assert_eq!(seen, *count, "the pages of {:?} in {}", set, home);
                break;
            }
            range.after = page.members.last().cloned();
        }
    }
    Ok(())
}
