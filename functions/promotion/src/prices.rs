//! Prices and stock states of SKUs, which change in bulk: the last change counts, in whatever order they
//! come.

use domain::answers::fields;
use domain::error::InvalidInput;
use domain::money::{Amount, Currency};
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Field, Read};
use litemap::LiteMap;
use serde::{Deserialize, Serialize};
use store::{Binding, Plan, Record, Seen, Versioned, attempts, codec};

use crate::context::Context;
use crate::records::{self, SHELVES};
use crate::refusal::Failure;

/// How far ahead of the clock of whoever takes it a change may be: clocks of shops and of instances may each be
/// ten minutes off. One of the future would hide every correction until then.
const AHEAD_MS: i64 = 20 * 60_000;

/// A change of one SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The SKU.
    pub sku: String,
    /// What a piece costs from then on.
    pub unit_price: Option<Amount>,
    /// Whether there is any.
    pub in_stock: Option<bool>,
    /// When it changed: of two changes the later one counts.
    pub changed_at: UnixMillis,
}

/// What is known of a SKU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What a piece costs.
    pub price: Option<Price>,
    /// Whether there is any, and since when that is known in unix milliseconds.
    pub in_stock: Option<(bool, i64)>,
}

impl Record for Offer {
    const NAME: &'static str = "what is known of a SKU";
}

/// A price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Cents a piece.
    pub amount: Amount,
    /// Of which currency.
    pub currency: Currency,
    /// Since when, in unix milliseconds.
    pub at: i64,
}

/// What became of a batch: its changes, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Changed something.
    pub applied: u64,
    /// Were overtaken by another change of the same SKU in the same batch.
    pub merged: u64,
    /// Were overtaken by a later change that was there before, or said what was known.
    pub stale: u64,
}

impl Offer {
    /// With a change; one that is not later changes nothing.
    fn with(&self, change: &Change, currency: Currency) -> Self {
        let at = change.changed_at.0;
        let mut offer = self.clone();
        if let Some(amount) = change.unit_price
            && offer.price.is_none_or(|price| price.at < at)
        {
            offer.price = Some(Price { amount, currency, at });
        }
        if let Some(in_stock) = change.in_stock
            && offer.in_stock.is_none_or(|(_, since)| since < at)
        {
            offer.in_stock = Some((in_stock, at));
        }
        offer
    }
}

/// The last change of each SKU, price and stock state for themselves, and how many were merged.
fn merge(changes: Vec<Change>) -> (LiteMap<String, Vec<Change>>, u64) {
    let count = changes.len();
    // Of changes at one moment the last one of the batch counts.
    let by_time: LiteMap<(UnixMillis, usize), Change> = (changes.into_iter().enumerate())
        .map(|(place, change)| ((change.changed_at, place), change))
        .collect();
    let mut merged: LiteMap<String, Vec<Change>> = LiteMap::new_vec();
    for (_, change) in by_time {
        let of_sku = merged.entry(change.sku.clone()).or_default();
        let hides = |other: &Change| {
            (change.unit_price.is_some() || other.unit_price.is_none())
                && (change.in_stock.is_some() || other.in_stock.is_none())
        };
        of_sku.retain(|other| !hides(other));
        of_sku.push(change);
    }
    let left: usize = merged.values().map(Vec::len).sum();
    (merged, (count - left) as u64)
}

/// Applies a batch of changes, each for itself: what was interrupted is sent again.
///
/// # Errors
/// `invalid_value`, naming a change of the future, with nothing changed; the store's.
pub async fn apply<B: Binding>(
    context: &Context<'_, B>,
    currency: Currency,
    changes: Vec<Change>,
) -> Result<Tally, Failure> {
    let latest = context.now.0.saturating_add(AHEAD_MS);
    if let Some(place) = changes.iter().position(|change| change.changed_at.0 > latest) {
        let field = format!("changes[{place}].changed_at");
        let detail = "must be at most 20 minutes ahead";
        return Err(InvalidInput::new("invalid_value", field, detail).into());
    }
    let (by_sku, merged) = merge(changes);
    let mut tally = Tally { merged, ..Tally::default() };
    let mut shelves: [Vec<(String, Vec<Change>)>; SHELVES as usize] = Default::default();
    for (sku, changes) in by_sku {
        shelves[records::shelf_of(&sku) as usize].push((sku, changes));
    }
    let shelves = (0..).zip(shelves).filter(|(_, skus)| !skus.is_empty());
    let mut left: Vec<Shelf> = shelves.collect();
    attempts("change prices", async || {
        left = attempt(context, currency, std::mem::take(&mut left), &mut tally).await?;
        Ok::<_, CommitError>(left.is_empty().then_some(()))
    })
    .await?;
    Ok(tally)
}

type Shelf = (u64, Vec<(String, Vec<Change>)>);

async fn attempt<B: Binding>(
    context: &Context<'_, B>,
    currency: Currency,
    shelves: Vec<Shelf>,
    tally: &mut Tally,
) -> Result<Vec<Shelf>, CommitError> {
    let read = |(shelf, skus): &Shelf| {
        let skus = skus.iter().map(|(sku, _)| Field::from(sku.as_str())).collect();
        (context.shelf(*shelf), Read::Fields(records::offers(), skus))
    };
    let reads: Vec<_> = shelves.iter().map(read).collect();
    let answers = context.read_all(reads).await?;
    let (mut steps, mut of) = (Vec::new(), Vec::new());
    for (shelf, answer) in shelves.into_iter().zip(&answers) {
        let (partition, mut plan) = (context.shelf(shelf.0), Plan::new());
        let (mut applied, mut stale) = (0, 0);
        for ((sku, changes), value) in shelf.1.iter().zip(fields(Some(answer))?) {
            let place = Versioned::new(partition, records::offers(), sku.as_str());
            let before: Seen<Offer> = Seen::of(value.clone())?;
            let mut offer = before.record.unwrap_or_default();
            let mut is_changed = before.stored.is_none();
            for change in changes {
                let after = offer.with(change, currency);
                if after == offer {
                    stale += 1
                } else {
                    applied += 1;
                    is_changed = true;
                }
                offer = after;
            }
            if is_changed {
                plan.demand((), place.unchanged(before.stored.as_ref())).write(place.set(&offer));
            }
        }
        if plan.is_empty() {
            tally.stale += stale;
        } else {
            steps.push((partition, plan));
            of.push((shelf, applied, stale));
        }
    }
    let mut again = Vec::new();
    for (decided, (shelf, applied, stale)) in context.commit_all(steps).await?.into_iter().zip(of) {
        if decided.is_ok() {
            tally.applied += applied;
            tally.stale += stale;
        } else {
            again.push(shelf);
        }
    }
    Ok(again)
}

/// What is known of these SKUs, in their order.
///
/// # Errors
/// The store's.
pub async fn offers<B: Binding>(
    context: &Context<'_, B>,
    skus: &[&str],
) -> Result<Vec<Offer>, CommitError> {
    let mut shelves: [Vec<usize>; SHELVES as usize] = Default::default();
    for (place, sku) in skus.iter().enumerate() {
        shelves[records::shelf_of(sku) as usize].push(place);
    }
    let shelves: Vec<_> = (0..).zip(shelves).filter(|(_, places)| !places.is_empty()).collect();
    let read = |(shelf, places): &(u64, Vec<usize>)| {
        let skus = places.iter().map(|place| Field::from(skus[*place])).collect();
        (context.shelf(*shelf), Read::Fields(records::offers(), skus))
    };
    let reads: Vec<_> = shelves.iter().map(read).collect();
    let mut offers = vec![Offer::default(); skus.len()];
    for (answer, (_, places)) in context.read_all(reads).await?.iter().zip(&shelves) {
        for (value, place) in fields(Some(answer))?.iter().zip(places) {
            if let Some(value) = value {
                offers[*place] = codec::decode::<Offer>(value)?;
            }
        }
    }
    Ok(offers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(sku: &str, price: Option<i64>, in_stock: Option<bool>, at: i64) -> Change {
        let unit_price = price.map(|price| Amount::new(price).unwrap());
        Change { sku: sku.to_owned(), unit_price, in_stock, changed_at: UnixMillis(at) }
    }

    #[test]
    fn of_repeated_changes_the_last_remains() {
        let (merged, count) = merge(vec![
            change("a", Some(3), None, 30),
            change("a", Some(1), None, 10),
            change("a", None, Some(true), 20),
            change("b", Some(7), Some(false), 1),
            change("a", Some(2), None, 20),
        ]);
        assert_eq!(count, 2);
        let kept = [change("a", None, Some(true), 20), change("a", Some(3), None, 30)];
        assert_eq!(merged.get("a").map(Vec::as_slice), Some(kept.as_slice()));
    }

    #[test]
    fn an_older_change_does_not_come_back() {
        let currency = Currency::parse("CNY").unwrap();
        let offer = Offer::default().with(&change("a", Some(3), Some(true), 30), currency);
        assert_eq!(offer.with(&change("a", Some(1), Some(false), 29), currency), offer);
        assert_eq!(offer.with(&change("a", Some(1), Some(false), 30), currency), offer);
        let later = offer.with(&change("a", Some(1), None, 31), currency);
        assert_eq!(later.price.map(|price| price.amount.minor_units()), Some(1));
        assert_eq!(later.in_stock, offer.in_stock);
    }
}
