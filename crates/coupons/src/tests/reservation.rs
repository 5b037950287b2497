//! Coupons that are held for a moment, and then given or put back.

use std::cell::Cell;
use std::rc::Rc;

use binding::Binding;
use domain::ids::UserId;
use domain::transaction::{Outcome, Transaction, Write};
use futures::FutureExt as _;
use futures::executor::block_on;
use serde_json::json;

use store::Plan;

use super::shop::{AHEAD_MS, START, Shop, USER, claim, coupon, number, refused};
use crate::expiry::{End, end};
use crate::issue::{Claim, Recorded, issue, look_up};
use crate::publish::Stock;
use crate::records::{self, Gave, Order};
use crate::refusal::{Failure, Refusal};
use crate::reservation;

impl Shop {
    fn confirm(&self, ms: i64, text: &str) -> Result<Recorded, Failure> {
        block_on(reservation::confirm(&self.behind(ms), USER, &number(text)))
    }

    fn cancel(&self, text: &str) -> Result<Recorded, Failure> {
        block_on(reservation::cancel(&self.now(), USER, &number(text), None))
    }
}

#[test]
fn what_is_held_and_confirmed_is_given_once() {
    let shop = Shop::open();
    let held = shop.hold(USER, "n", 60_000);
    assert_eq!(held.order.gave, Gave::Reserved(coupon(&held).clone(), START.0 + 60_000));
    let stock = Stock { total: 100, issued: 0, reserved: 1, leased: 5, remaining: 94, unused: 0 };
    assert_eq!(shop.stock(), stock);

    let confirmed = shop.confirm(59_999, "n").unwrap();
    assert_eq!(confirmed.order.gave, Gave::Issued(coupon(&held).clone()));
    assert_eq!((&confirmed.number, confirmed.replayed), (&number("n"), false));
    assert_eq!(shop.confirm(60_000, "n"), Ok(Recorded { replayed: true, ..confirmed }));
    assert_eq!(refused(shop.cancel("n")), Refusal::AlreadyConfirmed);
    assert_eq!(shop.stock(), Stock { issued: 1, reserved: 0, ..stock });
}

#[test]
fn what_is_cancelled_goes_back_once() {
    let shop = Shop::open();
    shop.hold(USER, "n", 60_000);
    let cancelled = shop.cancel("n").unwrap();
    assert_eq!((&cancelled.order.gave, cancelled.replayed), (&Gave::Cancelled, false));
    let again = Recorded { replayed: true, ..cancelled };
    assert_eq!(shop.cancel("n"), Ok(again));
    assert_eq!(refused(shop.confirm(0, "n")), Refusal::Cancelled);
    // Where much is free, the partition keeps it.
    let stock = Stock { total: 100, issued: 0, reserved: 0, leased: 6, remaining: 94, unused: 0 };
    assert_eq!(shop.stock(), stock);
    shop.hold(USER, "o", 60_000);
    assert_eq!(shop.stock(), Stock { reserved: 1, leased: 5, ..stock });
}

#[test]
fn an_own_reservation_that_has_expired_does_not_count_against_the_limit() {
    let shop = Shop::open();
    shop.publish("t", &[("limit_per_user", json!(2))]).unwrap();
    shop.publish("u", &[]).unwrap();
    shop.hold(USER, "over", 60_000);
    shop.hold(USER, "open", 60_001);
    let other = Claim { template: "u".into(), hold_ms: Some(1), ..claim(USER, "other") };
    shop.issue(&other).unwrap();
    let issue_at = |ms, text| block_on(issue(&shop.behind(ms), &claim(USER, text)));
    assert_eq!(refused(issue_at(59_999, "n")), Refusal::UserLimit);
    // No sweep has come.
    let given = issue_at(60_000, "n").unwrap();
    assert!(matches!(given.order.gave, Gave::Issued(_)));
    let gave = |text| block_on(look_up(&shop.now(), USER, &number(text))).unwrap().unwrap().gave;
    assert_eq!(gave("over"), Gave::Expired);
    assert!(matches!(gave("open"), Gave::Reserved(..)));
    assert!(matches!(gave("other"), Gave::Reserved(..)), "of another template");
    assert_eq!(refused(issue_at(60_000, "o")), Refusal::UserLimit);
    let stock = shop.stock();
    assert_eq!((stock.issued, stock.reserved), (1, 1));
    // An instance that is behind cannot confirm what is over.
    assert_eq!(refused(shop.confirm(59_999, "over")), Refusal::ReservationExpired);
    assert_eq!(issue_at(60_000, "n"), Ok(Recorded { replayed: true, ..given }));
}

#[test]
fn whatever_becomes_of_a_reservation_meanwhile_counts_for_the_limit() {
    // Before each commit of the one who asks for another coupon.
    let mut interrupted = 0;
    let ways = [End::Confirm, End::Cancel, End::Expire];
    for (before, way) in (0..6).flat_map(|before| ways.map(|way| (before, way))) {
        let shop = Shop::open();
        shop.hold(USER, "held", 60_000);
        let held = block_on(look_up(&shop.now(), USER, &number("held"))).unwrap().unwrap();
        let mut plan = Plan::new();
        end(&mut plan, USER, &number("held"), &held, way, shop.now().now).unwrap();
        let (mut confirm, _) = plan.into_parts();
        let guards = std::mem::take(&mut confirm.guards);
        let home = shop.now().home(USER);
        let is_confirmed = Rc::new(Cell::new(false));
        let told = Rc::clone(&is_confirmed);
        shop.store.interrupt(before, move |memory| {
            let confirm = Transaction { guards, ..confirm };
            let outcome = memory.commit(home, &confirm).now_or_never().unwrap().unwrap();
            told.set(way == End::Confirm && matches!(outcome, Outcome::Committed(_)));
        });
        let asked = block_on(issue(&shop.behind(60_000), &claim(USER, "n")));
        if !shop.was_interrupted() {
            continue;
        }
        interrupted += 1;
        if is_confirmed.get() {
            assert_eq!(refused(asked), Refusal::UserLimit, "{before} {way:?}");
        } else {
            assert!(asked.is_ok(), "{before} {way:?}: {asked:?}");
        }
        let stock = shop.stock();
        assert_eq!((stock.issued, stock.reserved), (1, 0), "{before} {way:?}");
    }
    assert!(interrupted >= 12, "{interrupted}");
}

#[test]
fn a_user_with_many_reservations_that_have_expired_gets_another_coupon() {
    let shop = Shop::open();
    shop.publish("t", &[("stock", json!(1_000)), ("limit_per_user", json!(500))]).unwrap();
    for index in 0..500 {
        shop.hold(USER, &format!("n{index}"), 1_000);
    }
    block_on(issue(&shop.behind(1_000), &claim(USER, "n"))).unwrap();
}

#[test]
fn where_little_is_free_what_is_cancelled_goes_to_the_pool() {
    // Sixteen leases of one take all of 16: that much is not little.
    for (total, leased) in [(15, 0), (16, 1)] {
        let shop = Shop::default();
        shop.publish("t", &[("stock", json!(total))]).unwrap();
        // The other instance, which does not know how many are free.
        let held = Claim { hold_ms: Some(60_000), ..claim(USER, "n") };
        block_on(issue(&shop.ahead(-AHEAD_MS), &held)).unwrap();
        shop.cancel("n").unwrap();
        let stock =
            Stock { total, issued: 0, reserved: 0, leased, remaining: total - leased, unused: 0 };
        assert_eq!(shop.stock(), stock);
    }
}

#[test]
fn what_was_put_back_is_there_for_others_of_the_partition_at_once() {
    let shop = Shop::open();
    shop.publish("t", &[("stock", json!(1))]).unwrap();
    shop.hold(USER, "n", 60_000);
    let home = shop.now().home(USER);
    let mut others = (8..).map(UserId).filter(|user| shop.now().home(*user) == home);
    let claim = claim(others.next().unwrap(), "n");
    assert_eq!(refused(shop.issue(&claim)), Refusal::SoldOut);
    shop.cancel("n").unwrap();
    assert!(matches!(shop.issue(&claim).unwrap().order.gave, Gave::Issued(_)));
    assert_eq!(shop.stock(), Stock { total: 1, issued: 1, ..Stock::default() });
}

#[test]
fn a_reservation_ends_at_its_moment() {
    let shop = Shop::open();
    shop.hold(USER, "n", 60_000);
    assert_eq!(refused(shop.confirm(60_000, "n")), Refusal::ReservationExpired);
    // It was told, so that it holds for a clock that is behind.
    assert_eq!(refused(shop.confirm(0, "n")), Refusal::ReservationExpired);
    let cancelled = shop.cancel("n").unwrap();
    assert_eq!((cancelled.order.gave, cancelled.replayed), (Gave::Expired, true));
    let stock = Stock { total: 100, issued: 0, reserved: 0, leased: 6, remaining: 94, unused: 0 };
    assert_eq!(shop.stock(), stock);
}

#[test]
fn a_number_that_never_came_is_unknown_until_it_is_cancelled() {
    let shop = Shop::open();
    assert_eq!(refused(shop.confirm(0, "n")), Refusal::UnknownOrder);
    let cancelled = shop.cancel("n").unwrap();
    assert_eq!((&cancelled.order.gave, cancelled.replayed), (&Gave::Cancelled, false));
    assert_eq!(shop.cancel("n"), Ok(Recorded { replayed: true, ..cancelled }));
    assert_eq!(refused(shop.confirm(0, "n")), Refusal::Cancelled);
}

#[test]
fn a_number_that_acts_while_it_is_cancelled_has_acted() {
    let shop = Shop::open();
    let given = shop.issue(&claim(USER, "other")).unwrap();
    let order = Order { at: START.0, ..given.order };
    let write = Write::Set(records::user(USER), records::order(&number("n")), order.encode());
    // After the one who cancels saw that there is no such number.
    shop.meanwhile(1, shop.now().home(USER), vec![write]);
    assert_eq!(refused(shop.cancel("n")), Refusal::AlreadyConfirmed);
    assert!(shop.was_interrupted());
    assert_eq!(block_on(look_up(&shop.now(), USER, &number("n"))), Ok(Some(order)));
}

#[test]
fn what_was_given_or_greeted_can_not_be_cancelled() {
    let shop = Shop::open();
    let words = [("stock", json!(0)), ("greeting", json!("sorry"))];
    shop.issue(&claim(USER, "given")).unwrap();
    shop.publish("empty", &words).unwrap();
    let greeted = Claim { template: "empty".into(), ..claim(USER, "greeted") };
    shop.issue(&greeted).unwrap();
    for text in ["given", "greeted"] {
        assert_eq!(refused(shop.cancel(text)), Refusal::AlreadyConfirmed, "{text}");
        assert!(shop.confirm(0, text).unwrap().replayed, "{text}");
    }
    assert_eq!(shop.stock().issued, 1);
}
