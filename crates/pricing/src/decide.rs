//! An evaluation: the steps together, layer after layer.

use domain::error::InvalidInput;
use domain::money::Amount;
use domain::time::UnixMillis;

use crate::activity::{Activity, Benefit};
use crate::cart::Cart;
use crate::considered::Considered;
use crate::evaluation::{Evaluation, GiftGiven, LineTotal, UnitGiven};
use crate::explain::{Code, Explanation, Reason};
use crate::lines::Lines;
use crate::offer::make;
use crate::select::{admit, select};
use crate::stack::{Candidate, settle};

/// Activities that one evaluation considers. An index hands in those that name something in the
/// cart; who hands in more has none.
pub const ACTIVITIES_MAX: usize = 1_000;

/// What a cart costs under these activities, and why. Their order makes no difference, nor does that
/// of the lines. The activities are ones that [`Activity::validate`] accepts.
///
/// `uses_left` says how often an activity with purchase limits may still be used: in all (`None`),
/// where its limits are counted by activity; by the unit with this key, where they are counted by
/// unit.
///
/// # Errors
/// As [`Cart::check`]; `duplicate_line`, `duplicate_activity` and `too_many` activities.
pub fn evaluate<'a>(
    activities: &'a [Activity],
    cart: &'a Cart<'_>,
    uses_left: impl Fn(&Activity, Option<&str>) -> u64,
) -> Result<Evaluation<'a>, InvalidInput> {
    let considered = activities.iter().map(|activity| Considered { activity, selected: None });
    evaluate_considered(&considered.collect::<Vec<_>>(), cart, uses_left)
}

/// As [`evaluate`], where an index knows what selects what.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_considered<'a>(
    considered: &[Considered<'a>],
    cart: &'a Cart<'_>,
    uses_left: impl Fn(&Activity, Option<&str>) -> u64,
) -> Result<Evaluation<'a>, InvalidInput> {
    cart.check()?;
    let at = cart.context.at.unwrap_or_default();
    let by_priority = sort(considered)?;
    let sorted: Vec<&Activity> = by_priority.iter().map(|one| one.activity).collect();
    let admitted: Vec<Result<(), Code>> =
        sorted.iter().map(|activity| admit(activity, cart.currency, &cart.context, at)).collect();
    let suitable = by_priority.iter().zip(&admitted).filter(|(_, admitted)| admitted.is_ok());
    let lines = Lines::of(cart, suitable.map(|(one, _)| *one))?;

    let mut reasons: Vec<Reason> =
        admitted.iter().map(|one| one.err().unwrap_or(Code::NoLineSelected).into()).collect();
    let mut given = Vec::new();
    let mut amounts: Vec<i64> = lines.by_id.iter().map(|line| line.subtotal()).collect();
    let mut place = 0;
    for layer in sorted.chunk_by(|a, b| a.stacking.layer == b.stacking.layer) {
        let mut candidates = Vec::with_capacity(layer.len());
        for (activity, place) in layer.iter().copied().zip(place..) {
            if admitted[place].is_ok() {
                let selected = match &by_priority[place].selected {
                    Some(selected) => lines.in_order(selected),
                    None => select(&activity.dimensions.products, &lines),
                };
                match make(activity, &selected, &lines, &amounts, &uses_left) {
                    Ok(offer) => candidates.push(Candidate { activity, place, offer }),
                    Err(reason) => reasons[place] = reason,
                }
            }
        }
        place += layer.len();
        settle(candidates, &mut amounts, &mut reasons, &mut given);
    }

    let explanations = sorted.iter().zip(reasons);
    let explanations =
        explanations.map(|(activity, reason)| Explanation::new(&activity.id, reason)).collect();
    Ok(render(&lines, &amounts, &given, next_change(&sorted, at), explanations))
}

/// The activities by layer, priority and id.
fn sort<'a, 'b>(considered: &'b [Considered<'a>]) -> Result<Vec<&'b Considered<'a>>, InvalidInput> {
    if considered.len() > ACTIVITIES_MAX {
        let detail = format!("must be at most {ACTIVITIES_MAX}");
        return Err(InvalidInput::new("too_many", "activities", detail));
    }
    let mut by_id: Vec<(&str, usize)> =
        considered.iter().enumerate().map(|(index, one)| (&*one.activity.id, index)).collect();
    by_id.sort_unstable();
    if let Some(pair) = by_id.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let field = format!("activities[{}].id", pair[1].1);
        return Err(InvalidInput::new("duplicate_activity", field, "another one has this id"));
    }
    // By id already, and the sort is stable.
    let mut sorted: Vec<_> = by_id.iter().map(|(_, index)| &considered[*index]).collect();
    sorted.sort_by_key(|one| (one.activity.stacking.layer, one.activity.stacking.priority));
    Ok(sorted)
}

/// The next moment at which one of these starts or ends.
fn next_change(activities: &[&Activity], at: UnixMillis) -> Option<UnixMillis> {
    let enabled = activities.iter().filter(|activity| activity.enabled);
    enabled.flat_map(|activity| [activity.from, activity.until]).filter(|one| *one > at).min()
}

fn render<'a>(
    lines: &Lines<'a>,
    amounts: &[i64],
    given: &[Candidate<'a>],
    valid_until: Option<UnixMillis>,
    explanations: Vec<Explanation<'a>>,
) -> Evaluation<'a> {
    let (mut subtotal, mut total) = (0, 0);
    let mut totals = Vec::with_capacity(lines.len());
    for (line, amount) in lines.by_id.iter().zip(amounts) {
        subtotal += line.subtotal();
        total += amount;
        totals.push(LineTotal {
            line: &line.line,
            subtotal: cents(line.subtotal()),
            discount: cents(line.subtotal() - amount),
            total: cents(*amount),
        });
    }
    let units: Vec<UnitGiven<'_>> =
        given.iter().flat_map(|candidate| render_units(candidate, lines)).collect();
    let mut offers = given.iter().flat_map(|candidate| &candidate.offer.units);
    Evaluation {
        lines: totals,
        units,
        subtotal: cents(subtotal),
        discount: cents(subtotal - total),
        total: cents(total),
        free_shipping: offers.any(|unit| *unit.benefit == Benefit::FreeShipping),
        valid_until,
        explanations,
    }
}

fn render_units<'a>(
    candidate: &Candidate<'a>,
    lines: &Lines<'a>,
) -> impl Iterator<Item = UnitGiven<'a>> {
    let Candidate { activity, offer, .. } = candidate;
    offer.units.iter().map(|unit| {
        let members = offer.members[unit.range.clone()].iter();
        let gift = match unit.benefit {
            // At most a million uses of a thousand pieces.
            Benefit::Gift { sku, quantity } => {
                Some(GiftGiven { sku, quantity: quantity.saturating_mul(unit.uses) })
            }
            _ => None,
        };
        UnitGiven {
            activity: &activity.id,
            scope: activity.scope,
            key: unit.key,
            lines: members.map(|line| &*lines.by_id[usize::from(*line)].line).collect(),
            discounts: offer.shares[unit.range.clone()].iter().map(|one| cents(*one)).collect(),
            discount: cents(unit.discount),
            uses: unit.uses,
            gifts: gift.into_iter().collect(),
        }
    })
}

/// Cents as an amount. No sum here is above that of the cart, which was checked to be an amount.
fn cents(minor_units: i64) -> Amount {
    Amount::new(minor_units).unwrap_or_default()
}
