//! The sweep that ends reservations, and the index by which it finds them.

use domain::due::{Stuck, Swept};
use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Invalid, Value, Write};
use futures::executor::block_on;
use lease::{HELD, LEFT};
use serde_json::json;
use store::quarantine::PATIENCE_MS;

use super::shop::{START, Shop, USER, claim, number, refused};
use crate::expiry::{ENDS_MAX, expire_due, settled};
use crate::issue::{Claim, issue, look_up};
use crate::publish::Stock;
use crate::records::{self, ENDS, Gave, Order};
use crate::refusal::Refusal;
use crate::reservation::{cancel, confirm};

impl Shop {
    /// What a sweep of everything does, so long after the start.
    fn swept(&self, ms: i64) -> Swept {
        let partitions: Vec<_> = self.now().partitions.all().collect();
        block_on(expire_due(&self.behind(ms), &partitions)).unwrap()
    }

    /// How many reservations it ends, where nothing is stuck.
    fn sweep(&self, ms: i64) -> u64 {
        let swept = self.swept(ms);
        assert_eq!(swept, Swept { done: swept.done, ..Swept::default() });
        swept.done
    }

    /// What the order number "n" of a user gave.
    fn gave(&self, user: UserId) -> Gave {
        block_on(look_up(&self.now(), user, &number("n"))).unwrap().unwrap().gave
    }
}

/// Makes the order number "n" of a user one that nobody can read.
fn broken(user: UserId) -> Write {
    let bytes = Value::Bytes(b"no order".to_vec());
    Write::Set(records::user(user), records::order(&number("n")), bytes)
}

#[test]
fn a_sweep_ends_what_is_due_and_counts_it() {
    let shop = Shop::open();
    let users: Vec<_> = (1..=5).map(UserId).collect();
    for user in &users[..3] {
        shop.hold(*user, "n", 30_000);
    }
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
    assert_eq!(block_on(expire_due(&shop.behind(30_000), &others)), Ok(Swept::default()));
    let once = Swept { done: 1, ..Swept::default() };
    assert_eq!(block_on(expire_due(&shop.behind(30_000), &[home])), Ok(once));
}

#[test]
fn what_was_confirmed_or_cancelled_is_not_swept() {
    let shop = Shop::open();
    let (confirmed, cancelled) = (UserId(1), UserId(2));
    shop.hold(confirmed, "n", 30_000);
    shop.hold(cancelled, "n", 30_000);
    block_on(confirm(&shop.now(), confirmed, &number("n"))).unwrap();
    block_on(cancel(&shop.now(), cancelled, &number("n"), None)).unwrap();
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
fn a_reservation_leaves_the_index_however_it_ends() {
    let shop = Shop::open();
    let users: Vec<_> = shop.neighbours().take(3).collect();
    for user in &users {
        shop.hold(*user, "n", 30_000);
    }
    let home = shop.now().home(USER);
    assert_eq!(shop.entries(home, ENDS), 3);
    block_on(confirm(&shop.now(), users[0], &number("n"))).unwrap();
    assert_eq!(shop.entries(home, ENDS), 2);
    block_on(cancel(&shop.now(), users[1], &number("n"), None)).unwrap();
    assert_eq!(shop.entries(home, ENDS), 1);
    assert_eq!(shop.sweep(30_000), 1);
    assert_eq!(shop.entries(home, ENDS), 0);
}

#[test]
fn many_are_ended_by_repeated_sweeps_the_oldest_first() {
    let shop = Shop::open();
    shop.publish("t", &[("stock", json!(1_000))]).unwrap();
    let count = ENDS_MAX as usize + 10;
    let users: Vec<_> = shop.neighbours().take(count).collect();
    // Whoever comes later holds for a shorter time.
    for (user, hold_ms) in users.iter().zip((1..=count as i64).rev()) {
        shop.hold(*user, "n", 30_000 + hold_ms);
    }
    let swept = Swept { done: ENDS_MAX, has_more: true, ..Swept::default() };
    assert_eq!(shop.swept(60_000), swept);
    let is_held = |user: &&UserId| matches!(shop.gave(**user), Gave::Reserved(..));
    let held: Vec<_> = users.iter().filter(is_held).collect();
    assert_eq!(held, users[..10].iter().collect::<Vec<_>>());
    assert_eq!(shop.swept(60_000), Swept { done: 10, ..Swept::default() });
    assert_eq!(shop.swept(60_000), Swept::default());
    let stock = shop.stock();
    assert_eq!((stock.issued, stock.reserved, stock.leased + stock.remaining), (0, 0, 1_000));
}

#[test]
fn a_reservation_that_cannot_be_ended_stops_only_itself() {
    let shop = Shop::open();
    for (id, stock) in [("u", 1), ("v", 9)] {
        shop.publish(id, &[("stock", json!(stock))]).unwrap();
    }
    let users: Vec<_> = shop.neighbours().take(4).collect();
    let hold = |user: UserId, template: &str, hold_ms| {
        let held = Claim { hold_ms: Some(hold_ms), template: template.into(), ..claim(user, "n") };
        shop.issue(&held).unwrap();
    };
    // The oldest has an order that nobody can read, and the next one a lease that cannot be counted.
    hold(users[0], "t", 10_000);
    hold(users[1], "v", 20_000);
    hold(users[2], "u", 30_000);
    hold(users[3], "t", 30_000);
    let home = shop.now().home(USER);
    shop.write(
        home,
        vec![
            broken(users[0]),
            Write::Set(records::lease("v"), HELD.into(), Value::Bytes(vec![1])),
            Write::AddMember(ENDS.key(), "foreign".into()),
        ],
    );
    // Nothing of it stops who needs stock of another template.
    let elsewhere = |user: &UserId| shop.now().home(*user) != home;
    let other = (8..).map(UserId).find(elsewhere).unwrap();
    let needs = Claim { template: "u".into(), ..claim(other, "n") };
    assert_eq!(refused(block_on(issue(&shop.behind(28_000), &needs))), Refusal::SoldOut);
    let given = block_on(issue(&shop.behind(30_000), &needs)).unwrap();
    assert!(matches!(given.order.gave, Gave::Issued(_)));
    assert_eq!(shop.gave(users[2]), Gave::Expired);
    assert_eq!(shop.gave(users[3]), Gave::Expired);

    let swept = shop.swept(30_000);
    assert_eq!((swept.done, swept.has_more), (0, false));
    let places = |of: &[Stuck]| of.iter().map(|one| one.place.clone()).collect::<Vec<_>>();
    let place = |user| format!("reservations that end in {home}: n of user {user}");
    let foreign = format!("reservations that end in {home}: foreign");
    assert_eq!(places(&swept.stuck), [place(users[0]), place(users[1])]);
    assert_eq!(swept.stuck[1].error, CommitError::Invalid(Invalid::NotAnInteger));
    // What never says when it is due is set aside at once.
    assert_eq!(places(&swept.set_aside), [foreign]);

    // Later so is a bad order, but not one whose lease is at fault, which is everybody's.
    let swept = shop.swept(20_000 + PATIENCE_MS);
    assert_eq!(places(&swept.set_aside), [place(users[0])]);
    assert_eq!(places(&swept.stuck), [place(users[1])]);
}

#[test]
fn what_is_stuck_does_not_hide_what_is_behind_it() {
    let shop = Shop::open();
    let stuck = ENDS_MAX as usize + 10;
    let home = shop.now().home(USER);
    for user in shop.neighbours().take(stuck) {
        let entry = records::end(user, &number("n"));
        shop.write(home, vec![broken(user), ENDS.add(UnixMillis(START.0 + 1), &entry)]);
    }
    shop.hold(USER, "n", 30_000);
    let swept = shop.swept(30_000);
    assert_eq!((swept.done, swept.stuck.len(), swept.has_more), (1, stuck, false));
    assert_eq!(shop.gave(USER), Gave::Expired);
}

#[test]
fn an_entry_without_its_reservation_goes() {
    let shop = Shop::open();
    shop.hold(USER, "n", 60_000);
    let users: Vec<_> = shop.neighbours().take(2).collect();
    shop.hold(users[0], "n", 60_000);
    block_on(confirm(&shop.now(), users[0], &number("n"))).unwrap();
    // Held until another moment, and confirmed.
    let home = shop.now().home(USER);
    let entry = |user| ENDS.add(UnixMillis(START.0 + 30_000), &records::end(user, &number("n")));
    shop.write(home, [USER, users[0]].map(entry).to_vec());
    assert_eq!(shop.entries(home, ENDS), 3);
    assert_eq!(shop.sweep(30_000), 0);
    assert_eq!(shop.entries(home, ENDS), 1);
    assert!(matches!(shop.gave(USER), Gave::Reserved(..)));
    assert_eq!((shop.sweep(60_000), shop.entries(home, ENDS)), (1, 0));
    // An order that was lost: somebody has to look.
    shop.write(home, vec![entry(users[1])]);
    for _ in 0..2 {
        let swept = block_on(expire_due(&shop.behind(60_000), &[home])).unwrap();
        assert_eq!((swept.done, swept.stuck.len(), swept.has_more), (0, 1, false), "{swept:?}");
        assert!(swept.stuck[0].place.contains(&users[1].to_string()), "{swept:?}");
    }
}

#[test]
fn an_entry_whose_reservation_comes_late_stays() {
    let shop = Shop::open();
    let held = shop.hold(USER, "n", 30_000);
    assert_eq!(shop.sweep(30_000), 1);
    let (home, until, late) = (shop.now().home(USER), UnixMillis(START.0 + 30_000), number("late"));
    let entry = ENDS.add(until, &records::end(USER, &late));
    let cancelled = Order { gave: Gave::Cancelled, ..held.order.clone() }.encode();
    let order = |value| Write::Set(records::user(USER), records::order(&late), value);
    shop.write(home, vec![order(cancelled), entry.clone()]);
    // Between the look at the order and the commit that takes the entry out.
    let writes = vec![
        order(held.order.encode()),
        Write::Add(records::user(USER), records::held_count("t"), 1),
        Write::Add(records::lease("t"), LEFT.into(), -1),
        Write::Add(records::lease("t"), HELD.into(), 1),
        entry,
    ];
    shop.meanwhile(2, home, writes);
    assert_eq!(block_on(expire_due(&shop.behind(120_000), &[home])), Ok(Swept::default()));
    assert!(shop.was_interrupted());
    assert_eq!((shop.entries(home, ENDS), shop.stock().reserved), (1, 1));
    let once = Swept { done: 1, ..Swept::default() };
    assert_eq!(block_on(expire_due(&shop.behind(120_000), &[home])), Ok(once));
    let stock = Stock { total: 100, issued: 0, reserved: 0, leased: 6, remaining: 94, unused: 0 };
    assert_eq!(shop.stock(), stock);
}

#[test]
fn a_sweep_fails_where_the_store_does() {
    let shop = Shop::open();
    shop.hold(USER, "n", 30_000);
    shop.store.set_gone(true);
    let home = shop.now().home(USER);
    let result = block_on(expire_due(&shop.behind(30_000), &[home]));
    assert!(matches!(result, Err(CommitError::Unavailable(_))), "{result:?}");
    shop.store.set_gone(false);
    assert_eq!(shop.sweep(30_000), 1);
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
