//! The engine against the oracle.

use std::cell::RefCell;
use std::collections::BTreeMap;

use pricing::activity::{Activity, Benefit, Condition};
use pricing::decide::evaluate;
use pricing::evaluation::Evaluation;
use proptest::test_runner::FileFailurePersistence::WithSource;
use proptest::test_runner::{Config, TestRunner};

use crate::generate::{activities, cart, uses_left};
use crate::reference;

/// Generated carts with generated activities.
const CASES: u32 = 100_000;
/// Attempts to make a failing case smaller: some seconds.
const SHRINKS_MAX: u32 = 20_000;
/// How often each code must have explained something, and each pair of a condition and a benefit
/// must have been given: else the cases are none.
const OCCURRENCES_MIN: u32 = 100;
/// The codes, and the pairs of conditions and benefits that have a meaning: of 35 pairs two are
/// without one for shipping, three for pieces, and one for cheapest free.
const KINDS: usize = 17 + 35 - 6;

#[test]
fn agrees_with_the_oracle() {
    let config = Config {
        cases: CASES,
        failure_persistence: Some(Box::new(WithSource("regressions"))),
        max_shrink_iters: SHRINKS_MAX,
        ..Config::with_source_file(file!())
    };
    let occurrences = RefCell::new(BTreeMap::new());
    TestRunner::new(config)
        .run(&(activities(), cart()), |(activities, cart)| {
            let expected = reference::evaluate(&activities, &cart, uses_left);
            let found = evaluate(&activities, &cart, uses_left).expect("an evaluation");
            count(&activities, &found, &mut occurrences.borrow_mut());
            proptest::prop_assert_eq!(serde_json::to_value(found).expect("JSON"), expected);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let occurrences = occurrences.into_inner();
    assert!(occurrences.values().all(|count| *count >= OCCURRENCES_MIN), "{occurrences:#?}");
    assert_eq!(occurrences.len(), KINDS, "{occurrences:#?}");
}

/// Counts what a case is about: codes, and conditions with benefits that were given. Activities of
/// one tier are enough for that.
fn count(
    activities: &[Activity],
    evaluation: &Evaluation<'_>,
    occurrences: &mut BTreeMap<String, u32>,
) {
    for one in &evaluation.explanations {
        *occurrences.entry(format!("{:?}", one.code)).or_default() += 1;
        let activity = activities.iter().find(|activity| activity.id == one.activity);
        if let Some([tier]) = activity.map(|activity| activity.tiers.as_slice())
            && one.applied
        {
            let pair = format!("{} {}", condition(&tier.condition), benefit(&tier.benefit));
            *occurrences.entry(pair).or_default() += 1;
        }
    }
}

fn condition(condition: &Condition) -> &'static str {
    match condition {
        Condition::None => "none",
        Condition::AmountAtLeast { .. } => "amount at least",
        Condition::QuantityAtLeast { .. } => "quantity at least",
        Condition::ForEveryAmount { .. } => "for every amount",
        Condition::ForEveryQuantity { .. } => "for every quantity",
    }
}

fn benefit(benefit: &Benefit) -> &'static str {
    match benefit {
        Benefit::AmountOff { .. } => "amount off",
        Benefit::PercentOff { .. } => "percent off",
        Benefit::FixedPrice { .. } => "fixed price",
        Benefit::NthItemAtPercent { .. } => "nth item at percent",
        Benefit::CheapestFree { .. } => "cheapest free",
        Benefit::Gift { .. } => "gift",
        Benefit::FreeShipping => "free shipping",
    }
}
