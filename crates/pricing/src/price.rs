//! What is taken off a unit, and the weight that each of its lines has in that.
//!
//! A piece costs what its line costs divided by the pieces, in whole cents: of a line of 10.00 and
//! three pieces one costs 3.34 and two cost 3.33, so that the pieces add up to the line, however odd
//! the amount is that earlier layers left.

use crate::activity::{Benefit, Condition, Tier};
use crate::lines::Lines;

/// Pieces of one line at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// Cents each.
    price: i64,
    /// How many.
    count: i64,
    /// The place of their line in the unit.
    place: usize,
}

/// The lines of a unit and what they cost before it.
pub(crate) struct Priced<'a> {
    /// The lines.
    pub members: &'a [u8],
    /// What each line of the cart costs, in cents.
    pub amounts: &'a [i64],
    /// The cart's lines.
    pub lines: &'a Lines<'a>,
}

/// The discount of a unit that uses a tier so many times, in cents; and in `weights` for each member
/// the cents that the discount is taken from: at most what the line costs, together at least the
/// discount. `pieces` is room that many units use one after the other: an allocation costs as much as
/// the price of a small unit.
pub(crate) fn price(
    unit: &Priced<'_>,
    tier: &Tier,
    uses: u32,
    weights: &mut [i64],
    pieces: &mut Vec<Pieces>,
) -> i64 {
    weights.fill(0);
    let uses = i64::from(uses);
    match &tier.benefit {
        Benefit::AmountOff { amount } => {
            unit.weigh_amounts(weights);
            // What does not fit is more than any unit costs.
            amount.minor_units().saturating_mul(uses).clamp(0, weights.iter().sum())
        }
        Benefit::PercentOff { percent } => {
            match counted(tier.condition, uses) {
                None => unit.weigh_amounts(weights),
                Some(count) => {
                    unit.dearest(count, pieces);
                    for one in pieces {
                        weights[one.place] += one.price * one.count;
                    }
                }
            }
            part(weights.iter().sum(), *percent)
        }
        Benefit::FixedPrice { amount } => {
            match counted(tier.condition, uses) {
                None => unit.all(pieces),
                Some(count) => unit.dearest(count, pieces),
            }
            for one in pieces {
                let above = (one.price - amount.minor_units().max(0)).max(0);
                weights[one.place] += above * one.count;
            }
            weights.iter().sum()
        }
        Benefit::NthItemAtPercent { nth, percent } => {
            let count = counted(tier.condition, uses).unwrap_or(i64::MAX);
            let nth = i64::from(*nth).max(1);
            let mut before = 0;
            unit.dearest(count, pieces);
            for one in pieces {
                let after = before + one.count;
                weights[one.place] += one.price * (after / nth - before / nth);
                before = after;
            }
            part(weights.iter().sum(), 100_u8.saturating_sub(*percent))
        }
        Benefit::CheapestFree { count } => {
            let mut free = i64::from(*count).saturating_mul(uses);
            unit.dearest(i64::MAX, pieces);
            for one in pieces.iter().rev() {
                let count = one.count.min(free);
                weights[one.place] += one.price * count;
                free -= count;
            }
            weights.iter().sum()
        }
        Benefit::Gift { .. } | Benefit::FreeShipping => 0,
    }
}

/// How many pieces a benefit acts on; `None`: all.
fn counted(condition: Condition, uses: i64) -> Option<i64> {
    match condition {
        Condition::ForEveryQuantity { quantity, .. } => Some(i64::from(quantity) * uses),
        _ => None,
    }
}

/// A part of an amount, to the nearest cent, half a cent rounded up. An amount is below 2^53, so
/// that a hundred times as much fits.
fn part(amount: i64, percent: u8) -> i64 {
    (amount * i64::from(percent.min(100)) + 50) / 100
}

impl Priced<'_> {
    /// Each line weighs what it costs.
    fn weigh_amounts(&self, weights: &mut [i64]) {
        for (weight, line) in weights.iter_mut().zip(self.members) {
            *weight = self.amounts[usize::from(*line)];
        }
    }

    /// All pieces, line by line.
    fn all(&self, pieces: &mut Vec<Pieces>) {
        pieces.clear();
        for (place, line) in self.members.iter().enumerate() {
            let line = usize::from(*line);
            let quantity = i64::from(self.lines.by_id[line].quantity);
            let (price, dearer) = (self.amounts[line] / quantity, self.amounts[line] % quantity);
            if dearer > 0 {
                pieces.push(Pieces { price: price + 1, count: dearer, place });
            }
            pieces.push(Pieces { price, count: quantity - dearer, place });
        }
    }

    /// So many pieces, the dearest first; of equal ones those of the line with the smaller id. Of the
    /// rest none.
    fn dearest(&self, count: i64, pieces: &mut Vec<Pieces>) {
        self.all(pieces);
        pieces.sort_unstable_by(|a, b| b.price.cmp(&a.price).then(a.place.cmp(&b.place)));
        let mut left = count;
        for one in pieces {
            one.count = one.count.min(left);
            left -= one.count;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cart::Cart;

    /// Lines of so many pieces and so many cents altogether, in one unit.
    #[track_caller]
    fn check(lines: &[(u32, i64)], tier: &Value, uses: u32, discount: i64, weights: &[i64]) {
        let body = |(index, (quantity, _)): (usize, &(u32, i64))| json!({"line": index.to_string(), "sku": "a", "quantity": quantity, "unit_price": 0});
        let lines_json: Vec<Value> = lines.iter().enumerate().map(body).collect();
        let text = json!({"currency": "CNY", "lines": lines_json}).to_string();
        let cart: Cart<'_> = serde_json::from_str(&text).unwrap();
        let amounts: Vec<i64> = lines.iter().map(|(_, amount)| *amount).collect();
        let members: Vec<u8> = (0..lines.len() as u8).collect();
        let sorted = Lines::of(&cart, [].iter()).unwrap();
        let unit = Priced { members: &members, amounts: &amounts, lines: &sorted };
        let tier: Tier = serde_json::from_value(tier.clone()).unwrap();
        let mut found = vec![-1; lines.len()];
        let off = price(&unit, &tier, uses, &mut found, &mut Vec::new());
        assert_eq!((off, found.as_slice()), (discount, weights));
    }

    #[test]
    fn benefits_without_a_condition_act_on_all_pieces() {
        // Two pieces of 3.00, three of 3.34, 3.33 and 3.33.
        let lines = [(2, 600), (3, 1_000)];
        let tier = |benefit| json!({"benefit": benefit});
        check(&lines, &tier(json!({"amount_off": {"amount": 500}})), 1, 500, &[600, 1_000]);
        check(&lines, &tier(json!({"amount_off": {"amount": 1_601}})), 1, 1_600, &[600, 1_000]);
        // 1600 * 0.07 = 112; 1600 * 0.33 = 528.
        check(&lines, &tier(json!({"percent_off": {"percent": 7}})), 1, 112, &[600, 1_000]);
        check(&lines, &tier(json!({"percent_off": {"percent": 100}})), 1, 1_600, &[600, 1_000]);
        // 34 + 33 + 33 cents above 3.00.
        check(&lines, &tier(json!({"fixed_price": {"amount": 300}})), 1, 100, &[0, 100]);
        // 3.34, 3.33, 3.33, 3.00, 3.00: the second and the fourth; 633 * 0.5 = 316.5, rounded up.
        let half = json!({"nth_item_at_percent": {"nth": 2, "percent": 50}});
        check(&lines, &tier(half), 1, 317, &[300, 333]);
        // The three cheapest: 3.00, 3.00, 3.33.
        check(&lines, &tier(json!({"cheapest_free": {"count": 3}})), 1, 933, &[600, 333]);
        check(&lines, &tier(json!({"cheapest_free": {"count": 9}})), 1, 1_600, &[600, 1_000]);
        check(&lines, &tier(json!("free_shipping")), 1, 0, &[0, 0]);
    }

    #[test]
    fn for_every_quantity_acts_on_the_pieces_that_count() {
        // 9.00, 9.00, 5.00, 5.00, 5.00.
        let lines = [(3, 1_500), (2, 1_800)];
        let tier = |benefit| {
            let condition = json!({"for_every_quantity": {"quantity": 2}});
            json!({"condition": condition, "benefit": benefit})
        };
        check(&lines, &tier(json!({"amount_off": {"amount": 100}})), 2, 200, &[1_500, 1_800]);
        check(&lines, &tier(json!({"percent_off": {"percent": 10}})), 2, 280, &[1_000, 1_800]);
        check(&lines, &tier(json!({"fixed_price": {"amount": 450}})), 2, 1_000, &[100, 900]);
        let half = json!({"nth_item_at_percent": {"nth": 2, "percent": 50}});
        check(&lines, &tier(half.clone()), 2, 700, &[500, 900]);
        check(&lines, &tier(half), 1, 450, &[0, 900]);
        // The cheapest of the unit, not of the pieces that count.
        check(&lines, &tier(json!({"cheapest_free": {"count": 1}})), 2, 1_000, &[1_000, 0]);
    }

    #[test]
    fn halves_of_cents_favour_the_customer() {
        let table = [(1, 50, 1), (1, 49, 0), (3, 50, 2), (149, 1, 1), (150, 1, 2), (7, 255, 7)];
        for (amount, percent, expected) in table {
            assert_eq!(part(amount, percent), expected, "{percent} percent of {amount}");
        }
    }
}
