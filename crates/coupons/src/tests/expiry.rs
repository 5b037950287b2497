//! The sweep that ends reservations, and the index by which it finds them.

use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Read, Value, Write};
use futures::executor::block_on;
use lease::{HELD, LEFT};
use serde_json::json;

use super::shop::{START, Shop, USER, claim, number, refused};
use crate::expiry::{expire_due, settled};
use crate::issue::{issue, look_up};
use crate::publish::Stock;
use crate::records::{self, Gave};
use crate::refusal::Refusal;
use crate::reservation::{cancel, confirm};

impl Shop {
    /// How many reservations a sweep of everything ends, so long after the start.
    fn sweep(&self, ms: i64) -> u64 {
        let partitions: Vec<_> = self.now().partitions.all().collect();
        block_on(expire_due(&self.behind(ms), &partitions)).unwrap()
    }

    /// What the order number "n" of a user gave.
    fn gave(&self, user: UserId) -> Gave {
        block_on(look_up(&self.now(), user, &number("n"))).unwrap().unwrap().gave
    }

    /// How many periods of a user's partition have reservations.
    fn periods(&self, user: UserId) -> u64 {
        match self.read(self.now().home(user), Read::Size(records::ends())) {
            Answer::Size(size) => size,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_sweep_ends_what_is_due_and_counts_it() {
    let shop = Shop::open();
    let users: Vec<_> = (1..=5).map(UserId).collect();
    for user in &users[..3] {
        shop.hold(*user, "n", 30_000);
    }
    // In the same minute, and in the next one.
    shop.hold(users[3], "n", 30_001);
    shop.hold(users[4], "n", 70_000);
    assert_eq!(shop.sweep(29_999), 0);
    assert_eq!(shop.stock().reserved, 5);
    assert_eq!(shop.sweep(30_000), 3);
    assert!(users[..3].iter().all(|user| shop.gave(*user) == Gave::Expired));
    assert!(users[3..].iter().all(|user| matches!(shop.gave(*user), Gave::Reserved(..))));
    let stock = shop.stock();
    assert_eq!((stock.issued, stock.reserved, stock.leased + stock.remaining), (0, 2, 98));
    assert_eq!(shop.sweep(30_000), 0, "once");
    assert_eq!(shop.sweep(70_000), 2);
    let stock = shop.stock();
    assert_eq!((stock.issued, stock.reserved, stock.leased + stock.remaining), (0, 0, 100));
}

#[test]
fn a_sweep_looks_only_at_the_partitions_it_was_given() {
    let shop = Shop::open();
    shop.hold(USER, "n", 30_000);
    let home = shop.now().home(USER);
    let others: Vec<_> = shop.now().partitions.all().filter(|one| *one != home).collect();
    assert_eq!(block_on(expire_due(&shop.behind(30_000), &others)), Ok(0));
    assert_eq!(block_on(expire_due(&shop.behind(30_000), &[home])), Ok(1));
}

#[test]
fn what_was_confirmed_or_cancelled_is_not_swept() {
    let shop = Shop::open();
    let (confirmed, cancelled) = (UserId(1), UserId(2));
    shop.hold(confirmed, "n", 30_000);
    shop.hold(cancelled, "n", 30_000);
    block_on(confirm(&shop.now(), confirmed, &number("n"))).unwrap();
    block_on(cancel(&shop.now(), cancelled, &number("n"))).unwrap();
    assert_eq!(shop.sweep(30_000), 0);
    assert!(matches!(shop.gave(confirmed), Gave::Issued(_)));
    assert_eq!(shop.gave(cancelled), Gave::Cancelled);
}

#[test]
fn whoever_had_a_reservation_that_was_swept_may_have_another_coupon() {
    let shop = Shop::open();
    shop.hold(USER, "n", 30_000);
    assert_eq!(refused(shop.issue(&claim(USER, "o"))), Refusal::UserLimit);
    assert_eq!(shop.sweep(30_000), 1);
    assert!(matches!(shop.issue(&claim(USER, "o")).unwrap().order.gave, Gave::Issued(_)));
}

#[test]
fn a_period_that_is_over_and_empty_is_forgotten() {
    let shop = Shop::open();
    shop.hold(USER, "n", 30_000);
    assert_eq!(shop.periods(USER), 1);
    assert_eq!(shop.sweep(30_000), 1);
    // As long as it lasts, another reservation may come into it.
    assert_eq!(shop.sweep(59_749), 0);
    assert_eq!(shop.periods(USER), 1);
    assert_eq!(shop.sweep(59_750), 0);
    assert_eq!(shop.periods(USER), 0);
}

#[test]
fn a_reservation_that_comes_late_into_a_period_is_swept_later() {
    let shop = Shop::open();
    let held = shop.hold(USER, "n", 30_000);
    assert_eq!(shop.sweep(30_000), 1);
    // By a clock that is behind, between the look into the empty period and the commit that forgets it.
    let (home, until) = (shop.now().home(USER), START.0 + 30_000);
    let period = records::period(UnixMillis(until));
    let late = number("late");
    let writes = vec![
        Write::Set(records::user(USER), records::order(&late), held.order.encode()),
        Write::Add(records::user(USER), records::held_count("t"), 1),
        Write::Add(records::lease("t"), LEFT.into(), -1),
        Write::Add(records::lease("t"), HELD.into(), 1),
        Write::Set(records::ends(), period.to_string().as_str().into(), Value::Integer(1)),
        Write::Set(records::ends_in(period), records::end(USER, &late), Value::Integer(until)),
    ];
    shop.meanwhile(2, home, writes);
    assert_eq!(block_on(expire_due(&shop.behind(120_000), &[home])), Ok(0));
    assert!(shop.was_interrupted());
    assert_eq!(shop.periods(USER), 1);
    assert_eq!(shop.stock().reserved, 1);
    assert_eq!(block_on(expire_due(&shop.behind(120_000), &[home])), Ok(1));
    let stock = Stock { total: 100, issued: 0, reserved: 0, leased: 6, remaining: 94 };
    assert_eq!(shop.stock(), stock);
}

#[test]
fn whoever_needs_stock_gets_what_others_held_too_long() {
    let shop = Shop::open();
    shop.publish("t", &[("stock", json!(1))]).unwrap();
    shop.hold(USER, "n", 30_000);
    let home = shop.now().home(USER);
    let mut others = (8..).map(UserId).filter(|user| shop.now().home(*user) != home);
    let other = others.next().unwrap();
    let claim = claim(other, "n");
    assert_eq!(refused(block_on(issue(&shop.behind(28_000), &claim))), Refusal::SoldOut);
    let given = block_on(issue(&shop.behind(30_000), &claim)).unwrap();
    assert!(matches!(given.order.gave, Gave::Issued(_)));
    assert_eq!(shop.gave(USER), Gave::Expired);
    assert_eq!(shop.stock(), Stock { total: 1, issued: 1, ..Stock::default() });
}

#[test]
fn nothing_is_told_of_what_is_over_where_the_store_does_not_answer() {
    let shop = Shop::open();
    let held = shop.hold(USER, "n", 30_000).order;
    shop.store.set_gone(true);
    let number = number("n");
    let before = block_on(settled(&shop.behind(29_999), USER, &number, held.clone()));
    assert_eq!(before.as_ref(), Ok(&held));
    let result = block_on(settled(&shop.behind(30_000), USER, &number, held));
    assert!(matches!(result, Err(CommitError::Unavailable(_))), "{result:?}");
}
