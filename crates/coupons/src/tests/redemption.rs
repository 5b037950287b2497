//! Redeeming coupons with orders of the shop, and rolling that back.

use domain::ids::UserId;
use domain::transaction::Write;
use futures::executor::block_on;
use serde_json::json;

use super::shop::{START, Shop, USER, claim, coupon, number, refused};
use crate::issue::{Claim, Recorded, look_up};
use crate::records::{self, Gave, Order, Redeemed};
use crate::redemption::{Cart, Use, apply};
use crate::refusal::{Failure, Refusal};
use crate::reservation::{cancel, confirm};

impl Shop {
    fn redeem(&self, text: &str, order: &str, amount: Option<i64>) -> Result<Recorded, Failure> {
        let redemption = Use::Redeem { order: order.into(), amount, cart: Cart::default() };
        block_on(apply(&self.behind(5), USER, &number(text), &redemption))
    }

    fn roll_back(&self, text: &str, order: &str) -> Result<Recorded, Failure> {
        let rollback = Use::Rollback { order: order.into() };
        block_on(apply(&self.behind(6), USER, &number(text), &rollback))
    }
}

#[test]
fn a_coupon_is_redeemed_by_one_order_for_one_amount() {
    let shop = Shop::open();
    shop.issue(&claim(USER, "n")).unwrap();
    assert_eq!(refused(shop.redeem("n", "A", Some(1_501))), Refusal::OverSingleCap);
    let redeemed = shop.redeem("n", "A", Some(1_500)).unwrap();
    let by = Redeemed { order: "A".into(), amount: Some(1_500), at: START.0 + 5 };
    assert_eq!(coupon(&redeemed).redeemed, Some(by));
    assert_eq!((&redeemed.number, redeemed.replayed), (&number("n"), false));
    assert_eq!(
        block_on(look_up(&shop.now(), USER, &number("n"))),
        Ok(Some(redeemed.order.clone()))
    );

    let again = Ok(Recorded { replayed: true, ..redeemed });
    assert_eq!(shop.redeem("n", "A", Some(1_500)), again);
    assert_eq!(refused(shop.redeem("n", "A", None)), Refusal::OrderNumberReused);
    assert_eq!(refused(shop.redeem("n", "B", Some(1_500))), Refusal::AlreadyRedeemed);
    assert_eq!(refused(shop.roll_back("n", "B")), Refusal::AlreadyRedeemed);
    assert_eq!(shop.redeem("n", "A", Some(1_500)), again);
    assert_eq!(shop.stock().issued, 1);
}

#[test]
fn a_redemption_that_was_rolled_back_can_come_no_more() {
    let shop = Shop::open();
    shop.issue(&claim(USER, "n")).unwrap();
    shop.redeem("n", "A", Some(1_000)).unwrap();
    let free = shop.roll_back("n", "A").unwrap();
    assert_eq!((&coupon(&free).redeemed, free.replayed), (&None, false));
    assert_eq!(shop.roll_back("n", "A"), Ok(Recorded { replayed: true, ..free }));
    assert_eq!(refused(shop.redeem("n", "A", Some(1_000))), Refusal::RolledBack);
    let other = shop.redeem("n", "B", Some(500)).unwrap();
    assert_eq!(coupon(&other).redeemed.as_ref().unwrap().amount, Some(500));
    // A roll-back may overtake the redemption.
    shop.publish("u", &[]).unwrap();
    shop.issue(&Claim { template: "u".into(), ..claim(USER, "late") }).unwrap();
    assert!(!shop.roll_back("late", "C").unwrap().replayed);
    assert_eq!(refused(shop.redeem("late", "C", None)), Refusal::RolledBack);
}

#[test]
fn a_fallback_stays_one_when_it_is_redeemed() {
    let shop = Shop::open();
    shop.publish("f", &[("value", json!(300))]).unwrap();
    shop.publish("t", &[("stock", json!(0)), ("fallback_template", json!("f"))]).unwrap();
    shop.issue(&claim(USER, "n")).unwrap();
    assert_eq!(refused(shop.redeem("n", "A", Some(301))), Refusal::OverSingleCap);
    let redeemed = shop.redeem("n", "A", Some(300)).unwrap();
    assert!(matches!(redeemed.order.gave, Gave::Fallback(_)), "{redeemed:?}");
    let free = shop.roll_back("n", "A").unwrap();
    assert!(matches!(free.order.gave, Gave::Fallback(_)), "{free:?}");
}

#[test]
fn only_what_is_given_and_valid_can_be_redeemed() {
    let shop = Shop::open();
    shop.publish("later", &[("valid_from", json!("2026-02-17T00:00:00Z"))]).unwrap();
    shop.publish("empty", &[("stock", json!(0)), ("greeting", json!("sorry"))]).unwrap();
    shop.issue(&Claim { template: "later".into(), ..claim(USER, "later") }).unwrap();
    shop.issue(&Claim { template: "empty".into(), ..claim(USER, "greeted") }).unwrap();
    block_on(cancel(&shop.now(), USER, &number("cancelled"), None)).unwrap();
    shop.hold(USER, "held", 60_000);
    let table = [
        ("later", Refusal::NotYetValid),
        ("greeted", Refusal::UnknownCoupon),
        ("cancelled", Refusal::UnknownCoupon),
        ("held", Refusal::NotConfirmed),
        ("nowhere", Refusal::UnknownCoupon),
    ];
    for (text, expected) in table {
        assert_eq!(refused(shop.redeem(text, "A", None)), expected, "{text}");
    }
    block_on(confirm(&shop.now(), USER, &number("held"))).unwrap();
    assert!(!shop.redeem("held", "A", None).unwrap().replayed);
    // It is this user's.
    let redemption = Use::Redeem { order: "A".into(), amount: None, cart: Cart::default() };
    let other = block_on(apply(&shop.now(), UserId(8), &number("held"), &redemption));
    assert_eq!(refused(other), Refusal::UnknownCoupon);
}

#[test]
fn of_two_orders_at_the_same_time_one_redeems() {
    let shop = Shop::open();
    let given = shop.issue(&claim(USER, "n")).unwrap();
    // What the other order commits, after this one saw the coupon.
    let redeemed = shop.redeem("n", "B", None).unwrap();
    let (home, field) = (shop.now().home(USER), records::order(&number("n")));
    let set = |order: &Order| Write::Set(records::user(USER), field.clone(), order.encode());
    shop.write(home, vec![set(&given.order)]);
    shop.meanwhile(1, home, vec![set(&redeemed.order)]);
    assert_eq!(refused(shop.redeem("n", "A", None)), Refusal::AlreadyRedeemed);
    assert!(shop.was_interrupted());
    assert_eq!(block_on(look_up(&shop.now(), USER, &number("n"))), Ok(Some(redeemed.order)));
}
