//! The oracle: an evaluation that is slow and obvious. It knows pieces, fractions and maps where the
//! engine knows lines, ranks and runs, and shares nothing with it but the shapes of input. What it
//! answers is the JSON that the engine must answer.

use std::collections::BTreeMap;

use domain::time::UnixMillis;
use pricing::activity::{Activity, Benefit, Condition, Counted, Mode, Scope, Selector, Tier};
use pricing::cart::{Cart, Line};
use serde_json::{Value, json};

/// What an activity does to one unit.
#[derive(Clone)]
struct Given<'a> {
    activity: &'a Activity,
    key: String,
    benefit: &'a Benefit,
    uses: i128,
    /// By line id, what is taken off.
    shares: BTreeMap<&'a str, i128>,
}

impl Given<'_> {
    fn discount(&self) -> i128 {
        self.shares.values().sum()
    }

    fn counts(&self) -> bool {
        self.discount() > 0 || matches!(self.benefit, Benefit::Gift { .. } | Benefit::FreeShipping)
    }
}

/// A code and what is missing: in cents, or in pieces.
type Why = (&'static str, Option<(&'static str, i128)>);

pub fn evaluate(
    activities: &[Activity],
    cart: &Cart<'_>,
    uses_left: impl Fn(&Activity, Option<&str>) -> u64,
) -> Value {
    let lines: BTreeMap<&str, &Line<'_>> = cart.lines.iter().map(|l| (&*l.line, l)).collect();
    let full: BTreeMap<&str, i128> = lines.iter().map(|(id, line)| (*id, cost(line))).collect();
    let mut remaining = full.clone();
    let mut whys: BTreeMap<(u8, u32, &str), Why> = BTreeMap::new();
    let mut given: Vec<Given<'_>> = Vec::new();
    for layer in 0..=u8::MAX {
        let mut offers: BTreeMap<(u32, &str), Vec<Given<'_>>> = BTreeMap::new();
        for activity in activities.iter().filter(|one| one.stacking.layer == layer) {
            let place = (activity.stacking.priority, activity.id.as_str());
            match offer(activity, cart, &lines, &remaining, &uses_left) {
                Ok(offer) => drop(offers.insert(place, offer)),
                Err(why) => drop(whys.insert((layer, place.0, place.1), why)),
            }
        }
        // Alone first, each a group of itself; then the groups by name.
        let mut groups: Vec<Vec<(u32, &str)>> = Vec::new();
        let mut named: BTreeMap<&str, Vec<(u32, &str)>> = BTreeMap::new();
        for (place, offer) in &offers {
            match &offer[0].activity.stacking.exclusive {
                None => groups.push(vec![*place]),
                Some(exclusive) => named.entry(&exclusive.group).or_default().push(*place),
            }
        }
        groups.extend(named.into_values());
        for group in groups {
            let exclusive = &offers[&group[0]][0].activity.stacking.exclusive;
            let best = exclusive.as_ref().is_some_and(|exclusive| exclusive.mode == Mode::Best);
            let mut winner: Option<((u32, &str), Vec<Given<'_>>)> = None;
            for place in &group {
                let mut offer = offers[place].clone();
                for (line, share) in offer.iter_mut().flat_map(|unit| &mut unit.shares) {
                    *share = (*share).min(remaining[line]);
                }
                offer.retain(Given::counts);
                let why =
                    if offer.is_empty() { "nothing_left_to_discount" } else { "excluded_by_group" };
                whys.insert((layer, place.0, place.1), (why, None));
                let total = |offer: &[Given<'_>]| offer.iter().map(Given::discount).sum::<i128>();
                let wins = match &winner {
                    None => true,
                    Some((_, other)) => best && total(&offer) > total(other),
                };
                if !offer.is_empty() && wins {
                    winner = Some((*place, offer));
                }
            }
            if let Some((place, offer)) = winner {
                whys.insert((layer, place.0, place.1), ("applied", None));
                for (line, share) in offer.iter().flat_map(|unit| &unit.shares) {
                    *remaining.get_mut(line).unwrap() -= share;
                }
                given.extend(offer);
            }
        }
    }
    answer(activities, cart, &full, &remaining, &given, &whys)
}

fn answer(
    activities: &[Activity],
    cart: &Cart<'_>,
    full: &BTreeMap<&str, i128>,
    remaining: &BTreeMap<&str, i128>,
    given: &[Given<'_>],
    whys: &BTreeMap<(u8, u32, &str), Why>,
) -> Value {
    let text = |number: i128| Value::String(number.to_string());
    let at = cart.context.at.unwrap();
    let mut changes: Vec<UnixMillis> = Vec::new();
    for activity in activities.iter().filter(|activity| activity.enabled) {
        changes.extend([activity.from, activity.until].into_iter().filter(|one| *one > at));
    }
    let lines = full.iter().map(|(id, cost)| {
        let rest = remaining[id];
        json!({"line": id, "subtotal": text(*cost), "discount": text(cost - rest), "total": text(rest)})
    });
    let units = given.iter().map(|unit| {
        let gifts = match unit.benefit {
            Benefit::Gift { sku, quantity } => {
                json!([{"sku": sku, "quantity": (i128::from(*quantity) * unit.uses) as u64}])
            }
            _ => json!([]),
        };
        json!({
            "activity": unit.activity.id, "scope": unit.activity.scope, "key": unit.key,
            "lines": unit.shares.keys().collect::<Vec<_>>(),
            "discounts": unit.shares.values().map(|share| text(*share)).collect::<Vec<_>>(),
            "discount": text(unit.discount()), "uses": unit.uses as u64, "gifts": gifts
        })
    });
    let explanations = whys.iter().map(|((_, _, activity), (code, shortfall))| {
        let applied = *code == "applied";
        let mut one = json!({"activity": activity, "applied": applied, "code": code});
        if let Some((of, missing)) = shortfall {
            one["shortfall"] = json!({*of: text(*missing)});
        }
        one
    });
    let (subtotal, total): (i128, i128) = (full.values().sum(), remaining.values().sum());
    json!({
        "lines": lines.collect::<Vec<_>>(),
        "units": units.collect::<Vec<_>>(),
        "subtotal": text(subtotal), "discount": text(subtotal - total), "total": text(total),
        "free_shipping": given.iter().any(|unit| *unit.benefit == Benefit::FreeShipping),
        "valid_until": changes.into_iter().min(),
        "explanations": explanations.collect::<Vec<_>>()
    })
}

fn cost(line: &Line<'_>) -> i128 {
    i128::from(line.unit_price.minor_units()) * i128::from(line.quantity)
}

fn has(set: &[String], key: &str) -> bool {
    set.iter().any(|one| one == key)
}

fn matches(selector: &Selector, line: &Line<'_>) -> bool {
    let pairs = [
        (&selector.skus, &line.sku),
        (&selector.spus, &line.spu),
        (&selector.shops, &line.shop),
        (&selector.brands, &line.brand),
        (&selector.categories, &line.category),
    ];
    pairs.iter().all(|(set, key)| set.is_empty() || has(set.as_slice(), key))
}

/// Which dimension does not suit?
fn unsuitable(activity: &Activity, cart: &Cart<'_>) -> Option<&'static str> {
    let (context, at) = (&cart.context, cart.context.at.unwrap());
    let dimensions = &activity.dimensions;
    let segments = dimensions.segments.as_slice();
    let checks = [
        (activity.enabled, "disabled"),
        (activity.from <= at, "not_started"),
        (activity.until > at, "ended"),
        (activity.currency == cart.currency, "wrong_currency"),
        (
            dimensions.platforms.is_empty()
                || has(dimensions.platforms.as_slice(), &context.platform),
            "wrong_platform",
        ),
        (
            dimensions.channels.is_empty() || has(dimensions.channels.as_slice(), &context.channel),
            "wrong_channel",
        ),
        (
            dimensions.regions.is_empty() || has(dimensions.regions.as_slice(), &context.region),
            "wrong_region",
        ),
        (
            segments.is_empty() || context.segments.iter().any(|one| has(segments, one)),
            "wrong_segment",
        ),
        (!dimensions.new_users_only || context.is_new.is_some(), "user_unknown"),
        (!dimensions.new_users_only || context.is_new == Some(true), "not_a_new_user"),
    ];
    checks.iter().find(|(fine, _)| !fine).map(|(_, code)| *code)
}

fn offer<'a>(
    activity: &'a Activity,
    cart: &Cart<'_>,
    lines: &BTreeMap<&'a str, &Line<'_>>,
    remaining: &BTreeMap<&'a str, i128>,
    uses_left: &impl Fn(&Activity, Option<&str>) -> u64,
) -> Result<Vec<Given<'a>>, Why> {
    if let Some(code) = unsuitable(activity, cart) {
        return Err((code, None));
    }
    let mut units: BTreeMap<String, Vec<&'a str>> = BTreeMap::new();
    let products = &activity.dimensions.products;
    for (id, line) in lines {
        let included = products.include.is_empty()
            || products.include.iter().any(|selector| matches(selector, line));
        let excluded = products.exclude.iter().any(|selector| matches(selector, line));
        let key = match activity.scope {
            Scope::Sku => &line.sku,
            Scope::Spu => &line.spu,
            Scope::Shop => &line.shop,
            Scope::Brand => &line.brand,
            Scope::Category => &line.category,
            Scope::Activity => activity.id.as_str(),
        };
        if included && !excluded && !key.is_empty() {
            units.entry(key.to_owned()).or_default().push(id);
        }
    }
    let mut used = 0;
    let mut given: Vec<Given<'a>> = Vec::new();
    let mut whys: Vec<Why> = Vec::new();
    for (key, ids) in units {
        let left = match activity.limits.map(|limits| limits.counted) {
            None => i128::MAX,
            Some(Counted::ByActivity) => i128::from(uses_left(activity, None)) - used,
            Some(Counted::ByUnit) => i128::from(uses_left(activity, Some(&key))),
        };
        match unit(activity, key, &ids, lines, remaining, left) {
            Ok(unit) => {
                used += unit.uses;
                given.push(unit);
            }
            Err(why) => whys.push(why),
        }
    }
    if let Some(maximum) = activity.maximum_discount {
        let all: Vec<i128> = given.iter().map(Given::discount).collect();
        let maximum = i128::from(maximum.minor_units()).min(all.iter().sum());
        for (unit, discount) in given.iter_mut().zip(divide(maximum, &all)) {
            // From the same weights as before: what a line bears.
            let weights = weigh(unit, lines, remaining);
            unit.shares = unit.shares.keys().copied().zip(divide(discount, &weights)).collect();
        }
        given.retain(Given::counts);
    }
    if given.is_empty() { Err(furthest(&whys)) } else { Ok(given) }
}

/// Of several failures the one that came furthest, and of these the nearest.
fn furthest(whys: &[Why]) -> Why {
    let steps = ["amount_too_low", "quantity_too_low", "limit_used_up", "nothing_left_to_discount"];
    for step in steps.iter().rev() {
        let mut there: Vec<Why> = whys.iter().filter(|(code, _)| code == step).copied().collect();
        there.sort_by_key(|(_, shortfall)| shortfall.map(|(_, missing)| missing));
        if let Some(why) = there.first() {
            return *why;
        }
    }
    ("no_line_selected", None)
}

fn unit<'a>(
    activity: &'a Activity,
    key: String,
    ids: &[&'a str],
    lines: &BTreeMap<&'a str, &Line<'_>>,
    remaining: &BTreeMap<&'a str, i128>,
    left: i128,
) -> Result<Given<'a>, Why> {
    let amount: i128 = ids.iter().map(|id| remaining[id]).sum();
    let quantity: i128 = ids.iter().map(|id| i128::from(lines[id].quantity)).sum();
    let mut met: Option<(&Tier, i128)> = None;
    for tier in &activity.tiers {
        if let Ok(times) = times(tier, amount, quantity) {
            met = Some((tier, times));
        }
    }
    let Some((tier, times)) = met else {
        return Err(times(&activity.tiers[0], amount, quantity).unwrap_err());
    };
    let uses = times.min(left);
    if uses <= 0 {
        return Err(("limit_used_up", None));
    }
    let shares = ids.iter().map(|id| (*id, 0)).collect();
    let mut unit = Given { activity, key, benefit: &tier.benefit, uses, shares };
    let weights = weigh(&unit, lines, remaining);
    let discount = match unit.benefit {
        Benefit::AmountOff { amount: off } => (i128::from(off.minor_units()) * uses).min(amount),
        // The weights are hundredths of a cent: to the nearest cent, halves up.
        _ => (weights.iter().sum::<i128>() + 50) / 100,
    };
    unit.shares = unit.shares.keys().copied().zip(divide(discount, &weights)).collect();
    if unit.counts() { Ok(unit) } else { Err(("nothing_left_to_discount", None)) }
}

/// How often a condition is met, by taking it away as often as it is there.
fn times(tier: &Tier, amount: i128, quantity: i128) -> Result<i128, Why> {
    let (of, code, have, need, most) = match tier.condition {
        Condition::None => ("amount", "", 0, 0, 1),
        Condition::AmountAtLeast { amount: need } => {
            ("amount", "amount_too_low", amount, need.minor_units(), 1)
        }
        Condition::ForEveryAmount { amount: need, times_max } => {
            ("amount", "amount_too_low", amount, need.minor_units(), times_max)
        }
        Condition::QuantityAtLeast { quantity: need } => {
            ("quantity", "quantity_too_low", quantity, i64::from(need), 1)
        }
        Condition::ForEveryQuantity { quantity: need, times_max } => {
            ("quantity", "quantity_too_low", quantity, i64::from(need), times_max)
        }
    };
    let (mut rest, mut times) = (have, 0);
    while rest >= i128::from(need) && times < i128::from(most) {
        rest -= i128::from(need);
        times += 1;
    }
    if times == 0 {
        return Err((code, Some((of, i128::from(need) - have))));
    }
    match tier.benefit {
        Benefit::NthItemAtPercent { nth, .. } if quantity < i128::from(nth) => {
            Err(("quantity_too_low", Some(("quantity", i128::from(nth) - quantity))))
        }
        _ => Ok(times),
    }
}

/// What each line of a unit bears, piece by piece: in hundredths of a cent what is taken off it. For
/// an amount off, what the line costs.
fn weigh(
    unit: &Given<'_>,
    lines: &BTreeMap<&str, &Line<'_>>,
    remaining: &BTreeMap<&str, i128>,
) -> Vec<i128> {
    let mut pieces: Vec<(i128, &str)> = Vec::new();
    for id in unit.shares.keys() {
        let quantity = i128::from(lines[id].quantity);
        // The first cents of the line, the next cents, and so on: they differ by one at the most.
        for piece in 1..=quantity {
            let upto = |piece: i128| remaining[id] * piece / quantity;
            pieces.push((upto(piece) - upto(piece - 1), id));
        }
    }
    pieces.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let tier = unit.activity.tiers.iter().find(|tier| std::ptr::eq(&tier.benefit, unit.benefit));
    let counted = match tier.unwrap().condition {
        Condition::ForEveryQuantity { quantity, .. } => i128::from(quantity) * unit.uses,
        _ => pieces.len() as i128,
    };
    let mut weights: BTreeMap<&str, i128> = unit.shares.keys().map(|id| (*id, 0)).collect();
    let all = pieces.len() as i128;
    for (index, (price, id)) in (0..).zip(pieces) {
        let is_counted = index < counted;
        *weights.get_mut(id).unwrap() += match unit.benefit {
            Benefit::AmountOff { .. } => price,
            Benefit::PercentOff { percent } if is_counted => price * i128::from(*percent),
            Benefit::FixedPrice { amount } if is_counted => {
                let amount = i128::from(amount.minor_units());
                if price > amount { (price - amount) * 100 } else { 0 }
            }
            Benefit::NthItemAtPercent { nth, percent }
                if is_counted && (index + 1) % i128::from(*nth) == 0 =>
            {
                price * (100 - i128::from(*percent))
            }
            Benefit::CheapestFree { count } if index >= all - i128::from(*count) * unit.uses => {
                price * 100
            }
            _ => 0,
        };
    }
    weights.into_values().collect()
}

/// Largest remainder: whole cents first, then one cent after the other to the largest fraction that
/// has none yet.
fn divide(discount: i128, weights: &[i128]) -> Vec<i128> {
    let sum: i128 = weights.iter().sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let mut shares: Vec<i128> = weights.iter().map(|weight| discount * weight / sum).collect();
    let mut fractions: Vec<i128> = weights.iter().map(|weight| discount * weight % sum).collect();
    while shares.iter().sum::<i128>() < discount {
        let largest = *fractions.iter().max().unwrap();
        let first = fractions.iter().position(|fraction| *fraction == largest).unwrap();
        shares[first] += 1;
        fractions[first] = -1;
    }
    shares
}
