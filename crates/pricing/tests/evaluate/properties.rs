//! What holds for every cart and every activity.

use domain::money::Amount;
use domain::transaction::INTEGER_MAX;
use pricing::activity::{Activity, Benefit, Condition, Exclusive, Mode};
use pricing::cart::Cart;
use pricing::decide::evaluate;
use pricing::evaluation::Evaluation;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::WithSource;
use proptest::test_runner::TestCaseError;

use crate::generate::{ACTIVITIES_MAX, LINES_MAX, activities, cart, uses_left};

/// Generated cases of each property.
const CASES: u32 = 5_000;

fn json(activities: &[Activity], cart: &Cart<'_>) -> String {
    let evaluation = evaluate(activities, cart, uses_left).expect("an evaluation");
    serde_json::to_string(&evaluation).expect("JSON")
}

/// Lines add up to the whole, units to the lines, shares to the units; nothing is below zero, and no
/// more is taken off than there is.
fn check_sums(evaluation: &Evaluation<'_>) -> Result<(), TestCaseError> {
    let mut sums = [0; 3];
    for line in &evaluation.lines {
        let parts = [line.subtotal, line.discount, line.total].map(Amount::minor_units);
        let [subtotal, discount, total] = parts;
        prop_assert_eq!(subtotal - discount, total);
        prop_assert!(0 <= total && total <= subtotal, "{:?}", line);
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        let of_units = evaluation.units.iter().flat_map(|u| u.lines.iter().zip(&u.discounts));
        let of_units = of_units.filter(|(id, _)| **id == line.line);
        prop_assert_eq!(of_units.map(|(_, one)| one.minor_units()).sum::<i64>(), discount);
    }
    let whole = [evaluation.subtotal, evaluation.discount, evaluation.total];
    prop_assert_eq!(sums, whole.map(Amount::minor_units));
    for unit in &evaluation.units {
        prop_assert_eq!(unit.lines.len(), unit.discounts.len());
        prop_assert!(unit.discounts.iter().all(|one| one.minor_units() >= 0));
        let sum: i64 = unit.discounts.iter().map(|one| one.minor_units()).sum();
        prop_assert_eq!(unit.discount.minor_units(), sum);
        let eligible = evaluation.lines.iter().filter(|line| unit.lines.contains(&line.line));
        let eligible: i64 = eligible.map(|line| line.subtotal.minor_units()).sum();
        prop_assert!(sum <= eligible, "{unit:?}");
        prop_assert!(unit.uses >= 1);
    }
    Ok(())
}

/// Makes the amounts and prices of a case enormous.
fn enlarge(activities: &mut [Activity], cart: &mut Cart<'_>, factor: i64) {
    let larger = |amount: &mut Amount| {
        let product = amount.minor_units().saturating_mul(factor).min(INTEGER_MAX);
        *amount = Amount::new(product).expect("an amount");
    };
    cart.lines.iter_mut().for_each(|line| larger(&mut line.unit_price));
    for activity in activities {
        activity.maximum_discount.iter_mut().for_each(larger);
        for tier in &mut activity.tiers {
            match &mut tier.condition {
                Condition::AmountAtLeast { amount } | Condition::ForEveryAmount { amount, .. } => {
                    larger(amount);
                }
                _ => {}
            }
            match &mut tier.benefit {
                Benefit::AmountOff { amount } | Benefit::FixedPrice { amount } => larger(amount),
                _ => {}
            }
        }
    }
}

/// Puts numbers into an activity that validation refuses.
fn spoil(activity: &mut Activity, number: u32, cents: i64) {
    let cents = Amount::new(cents).expect("an amount");
    activity.maximum_discount.iter_mut().for_each(|maximum| *maximum = cents);
    for tier in &mut activity.tiers {
        match &mut tier.condition {
            Condition::None => {}
            Condition::AmountAtLeast { amount } => *amount = cents,
            Condition::QuantityAtLeast { quantity } => *quantity = number,
            Condition::ForEveryAmount { amount, times_max } => {
                (*amount, *times_max) = (cents, u32::MAX - number);
            }
            Condition::ForEveryQuantity { quantity, times_max } => {
                (*quantity, *times_max) = (number, u32::MAX - number);
            }
        }
        match &mut tier.benefit {
            Benefit::AmountOff { amount } | Benefit::FixedPrice { amount } => *amount = cents,
            Benefit::PercentOff { percent } => *percent = u8::MAX,
            Benefit::NthItemAtPercent { nth, percent } => (*nth, *percent) = (number, u8::MAX),
            Benefit::CheapestFree { count } => *count = u32::MAX - number,
            Benefit::Gift { quantity, .. } => *quantity = u32::MAX - number,
            Benefit::FreeShipping => {}
        }
    }
}

/// An order of lines or of activities.
fn order() -> impl Strategy<Value = Vec<usize>> {
    Just((0..LINES_MAX.max(ACTIVITIES_MAX)).collect::<Vec<_>>()).prop_shuffle()
}

fn in_order<T: Clone>(all: &[T], order: &[usize]) -> Vec<T> {
    order.iter().filter_map(|index| all.get(*index)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: Some(Box::new(WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn parts_add_up_and_no_line_is_below_zero(activities in activities(), cart in cart()) {
        let evaluation = evaluate(&activities, &cart, uses_left).expect("an evaluation");
        check_sums(&evaluation)?;
        // Every activity is explained once; those that apply are those that gave something.
        prop_assert_eq!(evaluation.explanations.len(), activities.len());
        for activity in &activities {
            let mut own = evaluation.explanations.iter().filter(|one| one.activity == activity.id);
            let gave = evaluation.units.iter().any(|unit| unit.activity == activity.id);
            prop_assert_eq!(own.next().map(|one| one.applied), Some(gave));
            let maximum = activity.maximum_discount.map_or(INTEGER_MAX, Amount::minor_units);
            let units = evaluation.units.iter().filter(|unit| unit.activity == activity.id);
            prop_assert!(units.map(|unit| unit.discount.minor_units()).sum::<i64>() <= maximum);
        }
    }

    #[test]
    fn order_of_lines_and_of_activities_makes_no_difference(
        activities in activities(), cart in cart(), (one_order, other_order) in (order(), order()),
    ) {
        let other_activities = in_order(&activities, &one_order);
        let other_cart = Cart { lines: in_order(&cart.lines, &other_order), ..cart.clone() };
        prop_assert_eq!(json(&activities, &cart), json(&other_activities, &other_cart));
    }

    #[test]
    fn evaluating_twice_is_equal(activities in activities(), cart in cart()) {
        let (activities_again, cart_again) = (activities.clone(), cart.clone());
        prop_assert_eq!(json(&activities, &cart), json(&activities_again, &cart_again));
    }

    /// A layer of activities outside of groups and one exclusive group with the mode `best`.
    #[test]
    fn one_more_in_a_layer_never_makes_the_customer_pay_more(
        mut activities in activities(), cart in cart()
    ) {
        for activity in &mut activities {
            activity.stacking.layer = 0;
            if let Some(exclusive) = &mut activity.stacking.exclusive {
                *exclusive = Exclusive { group: "g".into(), mode: Mode::Best };
            }
        }
        let total = |activities: &[Activity]| {
            evaluate(activities, &cart, uses_left).expect("an evaluation").total
        };
        for count in 1..=activities.len() {
            prop_assert!(total(&activities[..count]) <= total(&activities[..count - 1]), "{count}");
        }
    }

    #[test]
    fn enormous_amounts_are_exact_or_refused(
        mut activities in activities(), mut cart in cart(), shift in 30_u32..50
    ) {
        enlarge(&mut activities, &mut cart, (1 << shift) - 1);
        let subtotals =
            cart.lines.iter().map(|l| i128::from(l.unit_price.minor_units()) * i128::from(l.quantity));
        let fits = subtotals.sum::<i128>() <= i128::from(INTEGER_MAX);
        match evaluate(&activities, &cart, uses_left) {
            Ok(evaluation) => {
                prop_assert!(fits);
                check_sums(&evaluation)?;
            }
            Err(error) => {
                prop_assert!(!fits);
                prop_assert_eq!(error.code, "amount_out_of_range");
            }
        }
    }

    /// Validation keeps such activities out; should one come in, it takes nothing down.
    #[test]
    fn activities_that_were_not_validated_break_no_sum(
        mut activities in activities(), cart in cart(),
        number in prop_oneof![0_u32..3, u32::MAX - 2..=u32::MAX],
        cents in prop_oneof![-INTEGER_MAX..2, -2_i64..3, INTEGER_MAX - 1..=INTEGER_MAX],
    ) {
        activities.iter_mut().for_each(|activity| spoil(activity, number, cents));
        check_sums(&evaluate(&activities, &cart, |_, _| u64::MAX).expect("an evaluation"))?;
    }

    #[test]
    fn activities_are_stored_and_read_again(activities in activities()) {
        let text = serde_json::to_string(&activities).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Vec<Activity>>(&text).expect("activities"), activities);
    }
}
