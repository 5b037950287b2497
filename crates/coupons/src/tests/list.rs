//! A user's coupons, page by page.

use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::transaction::{Answer, Read, Value, Write};
use futures::executor::block_on;
use serde_json::json;

use super::shop::{START, Shop, USER, claim, number};
use crate::issue::{Claim, issue};
use crate::list::{Listed, Page, State, list, state};
use crate::records::{self, Gave, Order};
use crate::redemption::{Cart, Use, apply};
use crate::reservation::cancel;

impl Shop {
    fn page(&self, page: &Page) -> (Vec<(OrderNumber, Order)>, bool) {
        let listed = block_on(list(&self.behind(10), USER, page)).unwrap();
        assert!(!listed.is_incomplete);
        (listed.orders, listed.has_more)
    }

    /// The numbers of a page, and whether there are more.
    fn numbers(&self, page: &Page) -> (Vec<String>, bool) {
        let (orders, more) = self.page(page);
        (orders.iter().map(|(number, _)| number.as_str().to_owned()).collect(), more)
    }
}

/// One coupon of each state: the usable one first, the reserved one last.
fn shop() -> Shop {
    let shop = Shop::open();
    shop.publish("t", &[("limit_per_user", json!(10))]).unwrap();
    let issue_at = |ms, claim: &Claim| block_on(issue(&shop.behind(ms), claim)).unwrap();
    issue_at(0, &claim(USER, "usable"));
    issue_at(1, &claim(USER, "redeemed"));
    let redemption = Use::Redeem { order: "A".into(), amount: None, cart: Cart::default() };
    block_on(apply(&shop.behind(1), USER, &number("redeemed"), &redemption)).unwrap();
    shop.publish("later", &[("valid_from", json!("2026-02-17T00:00:00Z"))]).unwrap();
    issue_at(2, &Claim { template: "later".into(), ..claim(USER, "later") });
    let soon =
        [("valid_for_days", json!(null)), ("valid_until", json!("2026-02-16T16:00:00.255Z"))];
    shop.publish("soon", &soon).unwrap();
    issue_at(3, &Claim { template: "soon".into(), ..claim(USER, "expired") });
    issue_at(4, &Claim { hold_ms: Some(60_000), ..claim(USER, "reserved") });
    // What gave nothing is not listed.
    block_on(cancel(&shop.now(), USER, &number("cancelled"), None)).unwrap();
    shop.publish("empty", &[("stock", json!(0)), ("greeting", json!("sorry"))]).unwrap();
    issue_at(5, &Claim { template: "empty".into(), ..claim(USER, "greeted") });
    shop
}

#[test]
fn coupons_are_listed_with_their_states_the_latest_first() {
    let shop = shop();
    let (orders, more) = shop.page(&Page { limit: 5, ..Page::default() });
    assert!(!more);
    let now = shop.behind(10).now;
    let states: Vec<_> = orders
        .iter()
        .map(|(number, order)| (number.as_str(), order.at - START.0, state(order, now).unwrap().0))
        .collect();
    let expected = [
        ("reserved", 4, State::Reserved),
        ("expired", 3, State::Expired),
        ("later", 2, State::NotYetValid),
        ("redeemed", 1, State::Redeemed),
        ("usable", 0, State::Usable),
    ];
    assert_eq!(states, expected);
    let page = Page { limit: 5, ..Page::default() };
    assert_eq!(block_on(list(&shop.now(), UserId(8), &page)), Ok(Listed::default()));
}

#[test]
fn a_list_can_be_of_one_state() {
    let shop = shop();
    let table = [
        (State::Reserved, "reserved"),
        (State::Expired, "expired"),
        (State::NotYetValid, "later"),
        (State::Redeemed, "redeemed"),
        (State::Usable, "usable"),
    ];
    for (state, expected) in table {
        let page = Page { state: Some(state), limit: 5, ..Page::default() };
        assert_eq!(shop.numbers(&page), (vec![expected.to_owned()], false), "{state:?}");
    }
}

#[test]
fn a_page_says_whether_there_are_more() {
    let shop = shop();
    let mut page = Page { limit: 2, ..Page::default() };
    let mut pages = Vec::new();
    loop {
        let (orders, more) = shop.page(&page);
        pages.push(orders.len());
        page.after = orders.last().map(|(number, order)| (order.at, number.clone()));
        if !more {
            break;
        }
    }
    assert_eq!(pages, [2, 2, 1]);
    let all = Page { limit: 5, ..Page::default() };
    assert!(!shop.numbers(&all).1, "exactly as many as the limit");
    assert!(shop.numbers(&Page { limit: 4, ..Page::default() }).1);
}

#[test]
fn what_a_list_tells_is_so_for_the_next_clock() {
    let shop = shop();
    // Before anybody listed: the clock behind the end by a millisecond finds it usable.
    let usable = Page { state: Some(State::Usable), limit: 5, ..Page::default() };
    let numbers = |ms| {
        let Listed { orders, .. } = block_on(list(&shop.behind(ms), USER, &usable)).unwrap();
        orders.iter().map(|(number, _)| number.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(4), ["expired", "usable"]);
    shop.page(&Page { limit: 5, ..Page::default() });
    assert_eq!(numbers(4), ["usable"]);
}

#[test]
fn what_gave_nothing_has_no_state() {
    for gave in [Gave::Cancelled, Gave::Expired, Gave::Greeting("sorry".into())] {
        assert!(state(&Order::new(1, START, gave), START).is_none());
    }
}

#[test]
fn what_cannot_be_read_keeps_nothing_else_from_being_listed() {
    let shop = shop();
    let page = Page { limit: 9, ..Page::default() };
    let all = shop.numbers(&page).0;
    let home = shop.now().home(USER);
    let order = records::order(&number("usable"));
    let was = block_on(
        shop.now().read(home, vec![Read::Fields(records::user(USER), vec![order.clone()])]),
    );
    for broken in [&b"\xffno"[..], &[9, 1, 2]] {
        let value = Value::Bytes(broken.to_vec());
        shop.write(home, vec![Write::Set(records::user(USER), order.clone(), value)]);
        let listed = block_on(list(&shop.behind(10), USER, &page)).unwrap();
        let numbers: Vec<_> = listed.orders.iter().map(|(number, _)| number.as_str()).collect();
        let others: Vec<_> =
            all.iter().map(String::as_str).filter(|one| *one != "usable").collect();
        assert_eq!((numbers, listed.is_incomplete), (others, true));
    }
    // It is repaired.
    let Ok([Answer::Fields(values)]) = was.as_deref() else { panic!("{was:?}") };
    let value = values[0].clone().expect("an order");
    shop.write(home, vec![Write::Set(records::user(USER), order, value)]);
    assert_eq!(shop.numbers(&page).0, all);
}
