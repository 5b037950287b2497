//! What one activity would give, were it alone on the amounts that the layers before leave.

use std::ops::Range;

use crate::activity::{Activity, Benefit, Counted};
use crate::allot::allot;
use crate::condition::{Met, test};
use crate::explain::{Code, Reason};
use crate::group::group;
use crate::lines::Lines;
use crate::price::{Priced, price};

/// What an activity would give. A line is in one unit at the most.
pub(crate) struct Offer<'a> {
    /// The lines of all units.
    pub members: Vec<u8>,
    /// What is taken off each of these lines, in cents: at most what the line costs.
    pub shares: Vec<i64>,
    /// The units that are given something, by key.
    pub units: Vec<UnitOffer<'a>>,
}

/// What one unit would be given.
pub(crate) struct UnitOffer<'a> {
    /// What its lines share.
    pub key: &'a str,
    /// The places of its lines in `members`, and of their shares.
    pub range: Range<usize>,
    /// What the activity gives it.
    pub benefit: &'a Benefit,
    /// How often it uses the activity.
    pub uses: u32,
    /// The sum of its shares, in cents.
    pub discount: i64,
}

impl UnitOffer<'_> {
    /// Whether it is given anything.
    pub fn is_something(&self) -> bool {
        self.discount > 0 || matches!(self.benefit, Benefit::Gift { .. } | Benefit::FreeShipping)
    }
}

impl Offer<'_> {
    /// All that is taken off, in cents.
    pub fn discount(&self) -> i64 {
        self.units.iter().map(|unit| unit.discount).sum()
    }

    /// Reduces each share to what is left of its line, and drops units that are given nothing then.
    pub fn clip(&mut self, left: &[i64]) {
        for unit in &mut self.units {
            unit.discount = 0;
            for place in unit.range.clone() {
                let share = &mut self.shares[place];
                *share = (*share).min(left[usize::from(self.members[place])]);
                unit.discount += *share;
            }
        }
        self.units.retain(UnitOffer::is_something);
    }
}

/// What an activity offers to the lines that it selects, for these amounts, one a line.
///
/// # Errors
/// Nothing, with the reason of the unit that came furthest.
pub(crate) fn make<'a>(
    activity: &'a Activity,
    selected: &[bool],
    lines: &Lines<'a>,
    amounts: &[i64],
    uses_left: &impl Fn(&Activity, Option<&str>) -> u64,
) -> Result<Offer<'a>, Reason> {
    let grouped = group(activity, selected, lines);
    let mut weights = vec![0; grouped.members.len()];
    let mut units = Vec::with_capacity(grouped.units.len());
    let mut pieces = Vec::new();
    let mut failed = Reason::from(Code::NoLineSelected);
    let mut budget = Budget::of(activity, uses_left);
    for unit in grouped.units {
        let members = &grouped.members[unit.range.clone()];
        let amount = members.iter().map(|line| amounts[usize::from(*line)]).sum();
        let quantity = |line: &u8| i64::from(lines.by_id[usize::from(*line)].quantity);
        let outcome = test(&activity.tiers, amount, members.iter().map(quantity).sum());
        let Met { tier, times } = match outcome {
            Ok(met) => met,
            Err(reason) => {
                failed = failed.further(reason);
                continue;
            }
        };
        let uses = budget.left(unit.key).min(times);
        if uses == 0 {
            failed = failed.further(Code::LimitUsedUp.into());
            continue;
        }
        let priced = Priced { members, amounts, lines };
        let weights = &mut weights[unit.range.clone()];
        let discount = price(&priced, tier, uses, weights, &mut pieces);
        let (key, range, benefit) = (unit.key, unit.range, &tier.benefit);
        let offer = UnitOffer { key, range, benefit, uses, discount };
        if offer.is_something() {
            budget.take(uses);
            units.push(offer);
        } else {
            failed = failed.further(Code::NothingLeftToDiscount.into());
        }
    }
    if units.is_empty() {
        return Err(failed);
    }
    // The maximum is at least one cent, so that something remains.
    cap(activity, &mut units);
    let mut shares = vec![0; weights.len()];
    for unit in &units {
        let range = unit.range.clone();
        allot(unit.discount, &weights[range.clone()], &mut shares[range]);
    }
    Ok(Offer { members: grouped.members, shares, units })
}

/// Keeps the units of an activity together within its maximum discount, each in proportion.
fn cap(activity: &Activity, units: &mut Vec<UnitOffer<'_>>) {
    let discounts: Vec<i64> = units.iter().map(|unit| unit.discount).collect();
    let Some(maximum) = activity.maximum_discount else { return };
    let maximum = maximum.minor_units().max(0);
    if discounts.iter().sum::<i64>() > maximum {
        let mut capped = vec![0; units.len()];
        allot(maximum, &discounts, &mut capped);
        units.iter_mut().zip(capped).for_each(|(unit, discount)| unit.discount = discount);
        units.retain(UnitOffer::is_something);
    }
}

/// The uses that purchase limits leave to one activity.
struct Budget<'a, F> {
    activity: &'a Activity,
    uses_left: &'a F,
    /// Of the activity, where it counts them together.
    together: Option<u32>,
}

impl<'a, F: Fn(&Activity, Option<&str>) -> u64> Budget<'a, F> {
    fn of(activity: &'a Activity, uses_left: &'a F) -> Self {
        let by_activity =
            activity.limits.is_some_and(|limits| limits.counted == Counted::ByActivity);
        let together = by_activity.then(|| fitting(uses_left(activity, None)));
        Self { activity, uses_left, together }
    }

    /// What is left to the unit with this key.
    fn left(&self, key: &str) -> u32 {
        match (self.activity.limits, self.together) {
            (None, _) => u32::MAX,
            (Some(_), Some(left)) => left,
            (Some(_), None) => fitting((self.uses_left)(self.activity, Some(key))),
        }
    }

    fn take(&mut self, uses: u32) {
        self.together = self.together.map(|left| left - uses);
    }
}

/// No unit uses an activity more often than [`crate::activity::TIMES_MAX`] times, 200 units do so
/// 200 million times, so that more makes no difference.
fn fitting(uses: u64) -> u32 {
    u32::try_from(uses).unwrap_or(u32::MAX)
}
