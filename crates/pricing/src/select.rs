//! Does an activity suit the customer and the moment, and which lines does it select?

use domain::money::Currency;
use domain::time::UnixMillis;

use crate::activity::{Activity, Keys, Products, Selector};
use crate::cart::Context;
use crate::explain::Code;
use crate::lines::{Lines, Ranks, UNKNOWN};

/// Checks everything but the products.
///
/// # Errors
/// The first dimension that does not match.
pub(crate) fn admit(
    activity: &Activity,
    currency: Currency,
    context: &Context<'_>,
    at: UnixMillis,
) -> Result<(), Code> {
    let dimensions = &activity.dimensions;
    let in_segment = || context.segments.iter().any(|one| dimensions.segments.contains(one));
    if !activity.enabled {
        Err(Code::Disabled)
    } else if at < activity.from {
        Err(Code::NotStarted)
    } else if at >= activity.until {
        Err(Code::Ended)
    } else if currency != activity.currency {
        Err(Code::WrongCurrency)
    } else if !allows(&dimensions.platforms, &context.platform) {
        Err(Code::WrongPlatform)
    } else if !allows(&dimensions.channels, &context.channel) {
        Err(Code::WrongChannel)
    } else if !allows(&dimensions.regions, &context.region) {
        Err(Code::WrongRegion)
    } else if !dimensions.segments.is_empty() && !in_segment() {
        Err(Code::WrongSegment)
    } else {
        match (dimensions.new_users_only, context.is_new) {
            (true, None) => Err(Code::UserUnknown),
            (true, Some(false)) => Err(Code::NotANewUser),
            _ => Ok(()),
        }
    }
}

fn allows(keys: &Keys, key: &str) -> bool {
    keys.is_empty() || keys.contains(key)
}

/// Which lines are of these products: one answer a line.
pub(crate) fn select(products: &Products, lines: &Lines<'_>) -> Vec<bool> {
    let all = products.include.is_empty() && products.sku_list.is_none();
    let mut selected = vec![all; lines.len()];
    for selector in &products.include {
        let matches = match_lines(selector, lines);
        selected.iter_mut().zip(matches).for_each(|(line, one)| *line |= one);
    }
    for selector in &products.exclude {
        let matches = match_lines(selector, lines);
        selected.iter_mut().zip(matches).for_each(|(line, one)| *line &= !one);
    }
    selected
}

fn match_lines(selector: &Selector, lines: &Lines<'_>) -> Vec<bool> {
    let mut matches = vec![true; lines.len()];
    for (kind, keys) in selector.lists() {
        if !keys.is_empty() {
            let ranks = lines.ranks(kind);
            let contained = contained(keys, ranks);
            for (line, rank) in matches.iter_mut().zip(&ranks.of_line) {
                *line &= *rank != UNKNOWN && contained[usize::from(*rank)];
            }
        }
    }
    matches
}

/// Which of the cart's keys are in the set: one answer a rank. Looks the shorter list up in the
/// longer one, so that neither a large set nor a large cart is gone through for a small other.
fn contained(keys: &Keys, ranks: &Ranks<'_>) -> Vec<bool> {
    if keys.as_slice().len() >= ranks.names.len() {
        return ranks.names.iter().map(|name| keys.contains(name)).collect();
    }
    let mut contained = vec![false; ranks.names.len()];
    for key in keys.as_slice() {
        if let Ok(rank) = ranks.names.binary_search(&key.as_str()) {
            contained[rank] = true;
        }
    }
    contained
}
