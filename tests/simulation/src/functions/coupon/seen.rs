//! What may become of an order from one look at the store to the next: what was decided stays so. One that is gone was over
//! for long enough, and never comes back.

use std::collections::BTreeMap;

use coupons::records::{Coupon, Gave, Order, Unused};

use crate::books::Books;

/// An order as it was at the last look at which it was there.
#[derive(Debug)]
struct Found {
    order: Order,
    is_gone: bool,
}

/// Every order that was ever seen, by user and number.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<(u64, String), Found>);

/// What was new at a look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// Orders that are gone.
    pub forgotten: u64,
    /// Coupons of which the rest was counted.
    pub settled: u64,
}

/// The orders in the store.
fn orders(books: &Books) -> BTreeMap<(u64, String), Order> {
    let mut orders = BTreeMap::new();
    for ((home, name), record) in books.records() {
        let user = name.strip_prefix('c').and_then(|name| name.split(':').next()?.parse().ok());
        let Some(user) = user else { continue };
        assert_eq!(*home, books.home(user), "{name} is not where {user} lives");
        for (field, value) in record {
            let Some(number) = field.strip_prefix(b"o") else { continue };
            let number = String::from_utf8(number.to_vec()).expect("numbers are text");
            let order = Order::decode(value).expect("an order");
            let before = orders.insert((user, number), order);
            assert!(before.is_none(), "{name}: an order is there twice: {before:?}");
        }
    }
    orders
}

impl Seen {
    /// Looks at all orders; `may_be_collected` says whether what ended at a moment may be gone.
    ///
    /// # Panics
    /// Something became of one that may not.
    pub fn look(&mut self, books: &Books, may_be_collected: impl Fn(u64) -> bool) -> Told {
        let (mut now, mut told) = (orders(books), Told::default());
        for (name, found) in &mut self.0 {
            let Found { order: before, is_gone } = found;
            match now.remove(name) {
                Some(after) => {
                    assert!(!*is_gone, "{name:?} is there again: {before:?}, then {after:?}");
                    check_next(name, before, &after);
                    told.settled += u64::from(is_counted(&after) && !is_counted(before));
                    *before = after;
                }
                None if *is_gone => {}
                None => {
                    let ended_ms = u64::try_from(before.ends_at().0).expect("a time");
                    assert!(may_be_collected(ended_ms), "{name:?} was forgotten: {before:?}");
                    told.forgotten += 1;
                    *is_gone = true;
                }
            }
        }
        let new = now.into_iter().map(|(name, order)| (name, Found { order, is_gone: false }));
        self.0.extend(new);
        told
    }

    /// Whether an order was there and is gone.
    pub fn is_gone(&self, user: u64, number: &str) -> bool {
        self.0.get(&(user, number.to_owned())).is_some_and(|found| found.is_gone)
    }

    /// Cents that the coupons of a template took off, or may take off yet, and how many coupons those are.
    pub fn used(&self, template: &str) -> (i64, i64) {
        let coupons = self.0.values().filter_map(|found| found.order.given());
        let of = coupons.filter(|coupon| coupon.template == template);
        of.fold((0, 0), |(cents, count), coupon| (cents + used(coupon), count + 1))
    }
}

fn is_counted(order: &Order) -> bool {
    order.given().is_some_and(|coupon| coupon.unused == Unused::Counted)
}

/// What a coupon takes off in the end, as far as it is known; all that it may where the shop does not say.
fn used(coupon: &Coupon) -> i64 {
    let face = coupon.cap.unwrap_or(0);
    coupon.redeemed.as_ref().map_or(0, |redeemed| redeemed.amount.unwrap_or(face))
}

/// What comes later fits.
fn check_next(name: &(u64, String), before: &Order, after: &Order) {
    if before == after {
        return;
    }
    let what = || format!("{name:?}: {before:?}, then {after:?}");
    assert_eq!((before.digest, before.at), (after.digest, after.at), "{}", what());
    let (from, to) = match (&before.gave, &after.gave) {
        (Gave::Reserved(from, _), Gave::Issued(to)) => (from, to),
        (Gave::Reserved(..), Gave::Cancelled | Gave::Expired) => return,
        (Gave::Reserved(from, _), Gave::Revoked(to, _)) => (from, to),
        (Gave::Issued(from), Gave::Issued(to)) => (from, to),
        (Gave::Fallback(from), Gave::Fallback(to)) => (from, to),
        (Gave::Issued(from) | Gave::Fallback(from), Gave::Revoked(to, _)) => (from, to),
        _ => panic!("{}", what()),
    };
    let is_revoked = matches!(after.gave, Gave::Revoked(..));
    assert!(!is_revoked || to.redeemed.is_none(), "a redeemed coupon is revoked: {}", what());
    assert!(after.is_over || !before.is_over, "{}", what());
    assert!(to.valid_until >= from.valid_until, "{}", what());
    assert!(to.rolled_back.starts_with(&from.rolled_back), "{}", what());
    let is_rolled_back = to.rolled_back.len() > from.rolled_back.len();
    if from.redeemed.is_some() && to.redeemed != from.redeemed {
        assert!(is_rolled_back, "a redemption is gone: {}", what());
    }
    if before.is_over {
        let is_same = !is_revoked && from.redeemed == to.redeemed && !is_rolled_back;
        // An expired coupon whose last redemption never came may still be told that it cannot come any more.
        let is_open = from.redeemed.is_none() && to.redeemed.is_none() && !is_revoked;
        assert!(is_same || is_open, "it was over: {}", what());
    }
    if matches!(from.unused, Unused::Counted | Unused::Dropped) {
        let is_same = from.unused == to.unused && from.redeemed == to.redeemed && !is_revoked;
        assert!(is_same, "it was settled: {}", what());
    }
}
