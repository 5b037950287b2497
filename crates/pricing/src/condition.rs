//! Does a unit meet the condition of a tier, and how often?

use domain::integer::Count;
use domain::money::Amount;

use crate::activity::{Benefit, Condition, Tier};
use crate::explain::{Code, Reason, Shortfall};

/// The tier that a unit is given, and how often it meets the tier's condition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Met<'a> {
    pub tier: &'a Tier,
    /// 1 to [`crate::activity::TIMES_MAX`].
    pub times: u32,
}

/// The last tier that a unit of `amount` cents and `quantity` pieces meets.
///
/// # Errors
/// It meets none: what it lacks for the first.
pub(crate) fn test(tiers: &[Tier], amount: i64, quantity: i64) -> Result<Met<'_>, Reason> {
    let mut first = None;
    for tier in tiers.iter().rev() {
        match times(tier, amount, quantity) {
            Ok(times) => return Ok(Met { tier, times }),
            Err(reason) => first = Some(reason),
        }
    }
    // An activity without tiers is refused on publishing; it gives nothing.
    Err(first.unwrap_or(Code::NothingLeftToDiscount.into()))
}

/// How often a condition is met, at least once. The numbers that are divided by were checked to be 1
/// or more; `max` keeps a stored one that was not from dividing by nothing.
fn times(tier: &Tier, amount: i64, quantity: i64) -> Result<u32, Reason> {
    let (count, times_max) = match tier.condition {
        Condition::None => (1, 1),
        Condition::AmountAtLeast { amount: least } => (reach_amount(amount, least)?, 1),
        Condition::QuantityAtLeast { quantity: least } => (reach_quantity(quantity, least)?, 1),
        Condition::ForEveryAmount { amount: every, times_max } => {
            (reach_amount(amount, every)?, times_max)
        }
        Condition::ForEveryQuantity { quantity: every, times_max } => {
            (reach_quantity(quantity, every)?, times_max)
        }
    };
    if let Benefit::NthItemAtPercent { nth, .. } = tier.benefit {
        // With fewer pieces there is no n-th.
        reach_quantity(quantity, nth)?;
    }
    Ok(u32::try_from(count).unwrap_or(u32::MAX).min(times_max))
}

/// How often `every` cents fit into `amount`.
fn reach_amount(amount: i64, every: Amount) -> Result<i64, Reason> {
    let every = every.minor_units().max(1);
    if amount >= every {
        return Ok(amount / every);
    }
    // Both are within 0 and 2^53 - 1, and so is what is missing.
    let shortfall = Amount::new(every - amount).ok().map(Shortfall::Amount);
    Err(Reason { code: Code::AmountTooLow, shortfall })
}

/// How often `every` pieces fit into `quantity`.
fn reach_quantity(quantity: i64, every: u32) -> Result<i64, Reason> {
    let every = i64::from(every).max(1);
    if quantity >= every {
        return Ok(quantity / every);
    }
    let shortfall = Count::new((every - quantity).unsigned_abs()).map(Shortfall::Quantity);
    Err(Reason { code: Code::QuantityTooLow, shortfall })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tiers(conditions: &[Value]) -> Vec<Tier> {
        let tier = |condition: &Value| json!({"condition": condition, "benefit": "free_shipping"});
        let tiers = conditions.iter().map(|one| serde_json::from_value(tier(one)).unwrap());
        tiers.collect()
    }

    #[test]
    fn conditions_are_met_from_their_number_on() {
        let every_amount = json!({"for_every_amount": {"amount": 100, "times_max": 3}});
        let every_two = json!({"for_every_quantity": {"quantity": 2, "times_max": 2}});
        let table = [
            (json!("none"), 0, 1, Ok(1)),
            (json!({"amount_at_least": {"amount": 100}}), 99, 9, Err(1)),
            (json!({"amount_at_least": {"amount": 100}}), 100, 1, Ok(1)),
            (json!({"amount_at_least": {"amount": 100}}), 900, 1, Ok(1)),
            (json!({"quantity_at_least": {"quantity": 3}}), 900, 1, Err(2)),
            (json!({"quantity_at_least": {"quantity": 3}}), 0, 3, Ok(1)),
            (json!({"quantity_at_least": {"quantity": 3}}), 0, 7, Ok(1)),
            (every_amount.clone(), 40, 1, Err(60)),
            (every_amount.clone(), 299, 1, Ok(2)),
            (every_amount, 500, 1, Ok(3)),
            (every_two.clone(), 9, 1, Err(1)),
            (every_two.clone(), 9, 3, Ok(1)),
            (every_two, 9, 9, Ok(2)),
        ];
        for (condition, amount, quantity, expected) in table {
            let tiers = tiers(std::slice::from_ref(&condition));
            let found = test(&tiers, amount, quantity);
            let found = found.map(|met| met.times).map_err(|reason| match reason.shortfall {
                Some(Shortfall::Amount(amount)) => amount.minor_units(),
                Some(Shortfall::Quantity(count)) => count.get(),
                None => 0,
            });
            assert_eq!(found, expected, "{condition} {amount} {quantity}");
        }
    }

    #[test]
    fn the_last_tier_that_is_met_applies_and_the_first_tells_what_is_missing() {
        let least = |amount: u32| json!({"amount_at_least": {"amount": amount}});
        let tiers = tiers(&[least(100), least(200), least(300)]);
        for (amount, index) in [(100, 0), (199, 0), (200, 1), (300, 2), (9_999, 2)] {
            let met = test(&tiers, amount, 1).unwrap();
            assert!(std::ptr::eq(met.tier, &raw const tiers[index]), "{amount}");
        }
        let reason = test(&tiers, 70, 1).unwrap_err();
        assert_eq!(reason.code, Code::AmountTooLow);
        assert_eq!(reason.shortfall, Some(Shortfall::Amount(Amount::new(30).unwrap())));
    }
}
