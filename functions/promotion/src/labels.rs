//! What product pages show: the labels and prices of items, without a cart, now and in the windows that
//! come, so that a page can switch prices at the right moment by itself.

use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::money::Amount;
use domain::time::UnixMillis;
use pricing::activity::Activity;
use pricing::cart::{Cart, Line};
use pricing::considered::Considered;
use pricing::decide::evaluate_considered;
use pricing::explain::Code;
use store::Binding;

use crate::catalogue::{Candidate, View};
use crate::context::Context;
use crate::evaluate::{Prepared, prepare};
use crate::prices::{Offer, offers};
use crate::refusal::Failure;

/// Windows of one item: a page that is open for days is loaded again.
const WINDOWS_MAX: usize = 8;
/// Moments at which something may change, that are looked at for one item.
const MOMENTS_MAX: usize = 32;

/// What is shown of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The SKU.
    pub sku: String,
    /// What a piece costs without promotions, where that is known.
    pub unit_price: Option<Amount>,
    /// Whether there is any, where that is known.
    pub in_stock: Option<bool>,
    /// Activities that a purchase of the item may take part in, with what pages say of them.
    pub labels: Vec<Label>,
    /// What one piece costs, from now on; nothing where the price is not known.
    pub windows: Vec<Window>,
}

/// What a page says of an activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The activity.
    pub activity: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Until when it lasts.
    pub until: UnixMillis,
}

/// What one piece costs in a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// From when on.
    pub from: UnixMillis,
    /// Until when, that moment not included; `None`: no change is known.
    pub until: Option<UnixMillis>,
    /// What one piece costs.
    pub price: Amount,
    /// The activities that make it cost that.
    pub activities: Vec<String>,
}

/// What is shown of the items of a cart with one piece a line. `has_price` says of which the price is
/// given, and not only known to the store.
///
/// # Errors
/// As an evaluation.
pub async fn labels<B: Binding>(
    context: &Context<'_, B>,
    user: Option<UserId>,
    mut items: Cart<'_>,
    has_price: &[bool],
) -> Result<Vec<Item>, Failure> {
    let skus: Vec<&str> = items.lines.iter().map(|line| &*line.sku).collect();
    let offers = offers(context, &skus).await?;
    let currency = items.currency;
    let mut known = has_price.to_vec();
    for ((line, offer), known) in items.lines.iter_mut().zip(&offers).zip(&mut known) {
        let stored = offer.price.filter(|price| !*known && price.currency == currency);
        if let Some(price) = stored {
            line.unit_price = price.amount;
            *known = true;
        }
    }
    items.check().map_err(of_items)?;
    let prepared = prepare(context, user, &mut items, View::Of(user)).await?;
    let mut shown = Vec::with_capacity(items.lines.len());
    for (place, (offer, is_known)) in offers.iter().zip(known).enumerate() {
        shown.push(show(&prepared, &items, place, offer, is_known)?);
    }
    Ok(shown)
}

/// What is wrong with a cart of items: on the wire its lines are items.
pub fn of_items(error: InvalidInput) -> InvalidInput {
    InvalidInput { field: error.field.replace("lines", "items"), ..error }
}

/// The activities that select one item, as an evaluation of it alone takes them.
fn of_item(candidates: &[Candidate], place: usize) -> Vec<Considered<'_>> {
    let selecting = candidates.iter().filter(|one| one.selected().get(place) == Some(&true));
    let activities = selecting.filter_map(Candidate::activity);
    let all = |activity| Considered { activity, selected: Some(vec![true]) };
    activities.map(all).collect()
}

fn show(
    prepared: &Prepared,
    items: &Cart<'_>,
    place: usize,
    offer: &Offer,
    is_known: bool,
) -> Result<Item, InvalidInput> {
    let line: &Line<'_> = &items.lines[place];
    let considered = of_item(prepared.candidates(), place);
    let mut alone = Cart { lines: vec![line.clone()], ..items.clone() };
    let (mut labels, mut windows) = (Vec::new(), Vec::<Window>::new());
    for moment in 0..MOMENTS_MAX {
        let from = alone.context.at.unwrap_or_default();
        let evaluation = evaluate_considered(&considered, &alone, |activity, unit| {
            prepared.facts().uses_left(activity, unit)
        })?;
        if moment == 0 {
            let is_shown = |code| code > Code::NoLineSelected && code != Code::LimitUsedUp;
            let shown = evaluation.explanations.iter().filter(|one| is_shown(one.code));
            let activity = |id: &str| considered.iter().find(|one| one.activity.id == id);
            labels = shown.filter_map(|one| activity(one.activity)).map(label).collect();
        }
        let applied = evaluation.explanations.iter().filter(|one| one.applied);
        let activities: Vec<String> = applied.map(|one| one.activity.to_owned()).collect();
        let (until, price) = (evaluation.valid_until, evaluation.total);
        let is_full = windows.len() == WINDOWS_MAX;
        match windows.last_mut() {
            Some(last) if last.price == price && last.activities == activities => {
                last.until = until;
            }
            _ if is_full => break,
            _ => windows.push(Window { from, until, price, activities }),
        }
        match until {
            Some(until) if is_known => alone.context.at = Some(until),
            _ => break,
        }
    }
    if !is_known {
        windows.clear();
    }
    Ok(Item {
        sku: line.sku.to_string(),
        unit_price: is_known.then_some(line.unit_price),
        in_stock: offer.in_stock.map(|(in_stock, _)| in_stock),
        labels,
        windows,
    })
}

fn label(considered: &Considered<'_>) -> Label {
    let Activity { id, labels, until, .. } = considered.activity;
    Label { activity: id.clone(), labels: labels.clone(), until: *until }
}
