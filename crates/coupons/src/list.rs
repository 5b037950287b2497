//! A user's coupons, page by page.

use std::collections::BTreeMap;

use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::CommitError;
use serde::{Deserialize, Serialize};
use store::{Binding, Plan, attempts};

use crate::context::Context;
use crate::expiry::expire;
use crate::group_buy;
use crate::orders::Record;
use crate::records::{self, Coupon, Gave, Order};

/// In what state a coupon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub enum State {
    /// Held, and not the user's yet.
    Reserved,
    /// Given, and not valid yet.
    NotYetValid,
    /// Can be redeemed.
    Usable,
    /// Is redeemed.
    Redeemed,
    /// Was not redeemed in time.
    Expired,
    /// Was taken back.
    Revoked,
}

/// The state of a coupon of an order that is [settled](crate::expiry::settled); nothing where it has none,
/// or none any more.
pub fn state(order: &Order, now: UnixMillis) -> Option<(State, &Coupon)> {
    let coupon = match &order.gave {
        Gave::Reserved(coupon, _) => return Some((State::Reserved, coupon)),
        Gave::Revoked(coupon, _) => return Some((State::Revoked, coupon)),
        Gave::Issued(coupon) | Gave::Fallback(coupon) => coupon,
        Gave::Greeting(_) | Gave::Cancelled | Gave::Expired => return None,
    };
    let state = if coupon.redeemed.is_some() {
        State::Redeemed
    } else if order.is_over {
        State::Expired
    } else if order.since(now) < coupon.valid_from {
        State::NotYetValid
    } else {
        State::Usable
    };
    Some((state, coupon))
}

/// Which coupons to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In this state only.
    pub state: Option<State>,
    /// After this one: when it was given, and its id.
    pub after: Option<(i64, OrderNumber)>,
    /// At most so many.
    pub limit: usize,
}

/// Some of a user's coupons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The orders by which they were given, the latest first.
    pub orders: Vec<(OrderNumber, Order)>,
    /// Whether there are more.
    pub has_more: bool,
    /// Whether something of the user's cannot be read, or a reward cannot be given for a fault of a record: it is on no
    /// page.
    pub is_incomplete: bool,
}

/// A page of a user's coupons. Rewards that are due are given first, and what is over has expired; whoever has nothing
/// of that does not wait for it. What cannot be read keeps nothing else from being listed.
///
/// # Errors
/// The store's.
pub async fn list<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    page: &Page,
) -> Result<Listed, CommitError> {
    attempts("list coupons", async || {
        let mut record = Record::load(context, user).await?;
        let mut is_incomplete = false;
        match group_buy::settle_found(context, user, &record.fields).await {
            Ok(true) => record = Record::load(context, user).await?,
            Ok(false) => {}
            Err(error) if error.is_of_records() => is_incomplete = true,
            Err(error) => return Err(error),
        }
        let (mut orders, mut pages) = (Vec::new(), BTreeMap::new());
        for (page, number, value) in record.orders() {
            match Order::decode(value) {
                Ok(order) => {
                    if page > 0 {
                        pages.insert(number.clone(), page);
                    }
                    orders.push((number, order));
                }
                Err(_) => is_incomplete = true,
            }
        }
        let (orders, has_more) = select(orders, page, context.now);
        let plan = expire_listed(user, &orders, &pages, context.now);
        if plan.is_empty() {
            return Ok(Some(Listed { orders, has_more, is_incomplete }));
        }
        // Whatever comes of it, the next look tells.
        context.commit(context.home(user), plan).await?.ok();
        Ok(None)
    })
    .await
}

/// The commit that says what of a page of the list has expired. Some of it lies on pages of the user's orders.
fn expire_listed(
    user: UserId,
    listed: &[(OrderNumber, Order)],
    pages: &BTreeMap<OrderNumber, u32>,
    now: UnixMillis,
) -> Plan<()> {
    let mut plan = Plan::new();
    for (number, order) in listed {
        let page = pages.get(number).copied().unwrap_or(0);
        expire(&mut plan, records::page(user, page), user, number, order, now);
    }
    plan
}

/// One page.
fn select(
    mut orders: Vec<(OrderNumber, Order)>,
    page: &Page,
    now: UnixMillis,
) -> (Vec<(OrderNumber, Order)>, bool) {
    orders.retain(|(number, order)| {
        // A reservation that is over is listed until it has expired, so that it does.
        let over = order.expired_at(now).filter(|over| over.coupon().is_some());
        let wanted = state(over.as_ref().unwrap_or(order), now)
            .is_some_and(|(state, _)| page.state.is_none_or(|wanted| wanted == state));
        let after = page.after.as_ref().is_none_or(|(at, last)| (order.at, number) < (*at, last));
        wanted && after
    });
    orders.sort_unstable_by(|(number, order), (other_number, other)| {
        (other.at, other_number).cmp(&(order.at, number))
    });
    let more = orders.len() > page.limit;
    orders.truncate(page.limit);
    (orders, more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::tests::published;

    #[test]
    fn pages_follow_each_other_without_gaps() {
        let now = UnixMillis(1_000);
        let coupon = |at| Coupon::of(&published("spring-15", 1), UnixMillis(at));
        let number = |index: i64| OrderNumber::parse(&format!("n{index}"), "").unwrap();
        let orders: Vec<_> = (0..7)
            .map(|index| {
                let at = index / 2;
                (number(index), Order::new(1, UnixMillis(at), Gave::Issued(coupon(at))))
            })
            .chain([(number(9), Order::new(1, UnixMillis(9), Gave::Cancelled))])
            .collect();
        let mut page = Page { limit: 3, ..Page::default() };
        let mut seen = Vec::new();
        loop {
            let (listed, more) = select(orders.clone(), &page, now);
            seen.extend(listed.iter().map(|(number, _)| number.clone()));
            page.after = listed.last().map(|(number, order)| (order.at, number.clone()));
            if !more {
                break;
            }
        }
        let expected: Vec<_> = [6, 5, 4, 3, 2, 1, 0].map(number).to_vec();
        assert_eq!(seen, expected);
        let redeemed = Page { state: Some(State::Redeemed), limit: 3, ..Page::default() };
        assert_eq!(select(orders, &redeemed, now), (vec![], false));
    }
}
