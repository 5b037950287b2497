//! Orders that are too many for the record of their user.

use std::cell::RefCell;
use std::collections::BTreeSet;

use binding::Binding;
use binding::memory::Memory;
use domain::ids::UserId;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Outcome, Read, Transaction, Value, Write};
use futures::FutureExt as _;
use futures::executor::block_on;
use serde_json::json;
use store::retention::{Retention, Terms};

use super::collect::at;
use super::shop::{CHANCE, START, Shop, USER, claim, number, refused, settle};
use crate::chance::Phase;
use crate::context::Templates;
use crate::expiry::{expire_due, settled};
use crate::group_buy;
use crate::issue::{Claim, issue, look_up};
use crate::list::{Listed, Page, State, list, state};
use crate::orders::{PAGE_ORDERS_MAX, PAGES_MAX, Record, find, make_room};
use crate::records::{self, Coupon, ENDS, Gave, Order, USER_FIELDS_MAX};
use crate::redemption::{Cart, Use, apply};
use crate::refusal::Refusal;
use crate::reservation::{cancel, confirm};
use crate::template::tests::published;

const DAY_MS: i64 = 86_400_000;

impl Shop {
    fn load(&self) -> Record {
        block_on(Record::load(&self.now(), USER)).unwrap()
    }

    /// Nothing more fits into the user's record, and its orders can move.
    fn full() -> Self {
        let shop = Self::open();
        let years = ("claim_until", json!("2030-01-01T00:00:00Z"));
        shop.publish("t", &[years, ("limit_per_user", json!(500)), ("stock", json!(5_000))])
            .unwrap();
        shop.fill_record(USER);
        let more = Write::Set(records::user(USER), "more".into(), Value::Integer(1));
        shop.write(shop.now().home(USER), vec![more]);
        shop
    }

    /// What filled the user's record is not there any more.
    fn empty_record(&self) {
        let field = |index: u32| format!("x{index}").as_str().into();
        let unset = |index| Write::Unset(records::user(USER), field(index));
        self.write(self.now().home(USER), (0..USER_FIELDS_MAX).map(unset).collect());
    }

    /// In which page an order lies.
    fn page_of(&self, text: &str) -> Option<u32> {
        let field = records::order(&number(text));
        let record = self.load();
        let found = record.orders().find(|(_, number, _)| records::order(number) == field);
        found.map(|(page, ..)| page)
    }

    /// Orders that gave words, somewhere in the user's record, with many others.
    fn greet(&self, numbers: std::ops::Range<u32>) {
        let order = |index: u32| {
            let order = Order::new(1, START, Gave::Greeting("hello".into()));
            let field = records::order(&number(&format!("greeted{index}")));
            Write::Set(records::user(USER), field, order.encode())
        };
        self.write(self.now().home(USER), numbers.map(order).collect());
    }
}

/// A coupon of the user's lies on a page, and there is room in the record again.
fn moved() -> Shop {
    let shop = Shop::open();
    let years = ("claim_until", json!("2030-01-01T00:00:00Z"));
    shop.publish("t", &[years, ("limit_per_user", json!(500)), ("stock", json!(5_000))]).unwrap();
    shop.issue(&claim(USER, "n")).unwrap();
    shop.fill_record(USER);
    assert_eq!(block_on(make_room(&shop.now(), USER)), Ok(true));
    assert_eq!(shop.page_of("n"), Some(1));
    shop.empty_record();
    shop
}

#[test]
fn five_thousand_orders_of_a_year_lock_nobody_out() {
    let shop = Shop::default();
    let templates: Vec<_> = (0..10).map(|one| format!("t{one}")).collect();
    let years = ("claim_until", json!("2030-01-01T00:00:00Z"));
    for template in &templates {
        let changes = [years.clone(), ("limit_per_user", json!(500)), ("stock", json!(9_000))];
        shop.publish(template, &changes).unwrap();
    }
    let of = |index: i64| {
        let template = templates[index as usize % templates.len()].clone();
        Claim { template, ..claim(USER, &format!("n{index}")) }
    };
    let when = |index: i64| index * 365 * DAY_MS / 5_000;
    for index in 0..5_000 {
        let given = block_on(issue(&shop.behind(when(index)), &of(index)));
        assert!(given.is_ok(), "{index}: {given:?}");
    }
    let record = shop.load();
    assert!(record.fields.len() <= USER_FIELDS_MAX as usize + 3 && record.pages.len() > 7);
    assert_eq!(record.orders().count(), 5_000);
    for index in [0, 1, 2_499, 4_998, 4_999] {
        let again = block_on(issue(&shop.behind(when(4_999)), &of(index))).unwrap();
        assert!(again.replayed, "{index}");
        let order = block_on(look_up(&shop.now(), USER, &number(&format!("n{index}")))).unwrap();
        assert_eq!(order.map(|order| order.at), Some(START.0 + when(index)), "{index}");
    }
    assert_eq!(
        refused(block_on(issue(
            &shop.behind(0),
            &Claim { template: "t0".into(), ..claim(USER, "more") }
        ))),
        Refusal::UserLimit
    );

    // The latest first, wherever they lie; and what is over has expired.
    let page = Page { limit: 100, ..Page::default() };
    let listed = block_on(list(&shop.behind(365 * DAY_MS), USER, &page)).unwrap();
    let numbers: Vec<_> = listed.orders.iter().map(|(number, _)| number.as_str()).collect();
    assert_eq!(numbers[..2], ["n4999", "n4998"]);
    let expired = Page { state: Some(State::Expired), ..page };
    let listed = block_on(list(&shop.behind(365 * DAY_MS), USER, &expired)).unwrap();
    assert_eq!((listed.orders.len(), listed.has_more), (100, true));
    assert!(listed.orders.iter().all(|(_, order)| order.is_over));

    // All of it goes, some at a time, and the pages with it.
    let live = templates.iter().cloned().collect();
    let (mut calls, mut gone) = (0, 0);
    loop {
        let ms = 600 * DAY_MS;
        let now = UnixMillis(START.0 + ms);
        let terms = Terms { retention: Retention::default(), now, dry_run: false };
        let none = BTreeSet::new();
        let context = shop.behind(ms);
        let collected = block_on(crate::collect::user(&context, USER, &terms, &live, &none));
        let collected = collected.unwrap();
        gone += collected.gone["orders"];
        calls += 1;
        assert!(collected.gone["orders"] <= 256 && calls < 30, "{collected:?}");
        if !collected.has_more {
            break;
        }
    }
    assert_eq!((gone, calls), (5_000, 20));
    let record = shop.load();
    assert_eq!((record.pages.len(), record.fields.len()), (0, templates.len()));
    for template in &templates {
        assert_eq!(shop.integer(&records::collected(USER), template), 500);
        assert_eq!(shop.integer(&records::lease(template), records::GONE), 500);
        assert_eq!(shop.stock_of(template).issued, 500);
    }
    assert_eq!(refused(shop.issue(&of(0))), Refusal::TooOld);
}

#[test]
fn two_thousand_cancelled_reservations_of_a_day_lock_nobody_out() {
    let shop = Shop::open();
    for index in 0..2_000 {
        let text = format!("n{index}");
        shop.hold(USER, &text, 60_000);
        block_on(cancel(&shop.now(), USER, &number(&text), None)).unwrap();
    }
    assert!(shop.load().pages.len() >= 2);
    let again = block_on(cancel(&shop.now(), USER, &number("n0"), None)).unwrap();
    assert_eq!((again.order.gave, again.replayed), (Gave::Cancelled, true));
    let held = Claim { hold_ms: Some(60_000), ..claim(USER, "n1") };
    assert_eq!(shop.issue(&held).unwrap().order.gave, Gave::Cancelled);
    let given = shop.issue(&claim(USER, "last")).unwrap();
    assert!(matches!(given.order.gave, Gave::Issued(_)));
    let mut gone = 0;
    loop {
        let collected = shop.collect(100 * DAY_MS);
        gone += collected.gone["orders"];
        if !collected.has_more {
            break;
        }
    }
    assert_eq!((gone, shop.load().orders().count()), (2_000, 1));
    assert_eq!(shop.load().pages.len(), 0);
}

/// What a list says of a coupon on a page.
fn moved_states(ms: i64) -> Vec<State> {
    let shop = moved();
    let context = shop.behind(ms);
    let page = Page { limit: 10, ..Page::default() };
    let Listed { orders, .. } = block_on(list(&context, USER, &page)).unwrap();
    orders.iter().map(|(_, order)| state(order, context.now).unwrap().0).collect()
}

#[test]
fn what_is_on_a_page_is_found_by_everybody() {
    let ask = |shop: &Shop, ms, text: &str| block_on(issue(&shop.behind(ms), &claim(USER, text)));
    // Who asks again, and who asks for another coupon.
    let shop = moved();
    assert!(ask(&shop, 0, "n").unwrap().replayed);
    assert!(!ask(&shop, 0, "m").unwrap().replayed);
    assert_eq!(shop.load().orders().count(), 2);
    // Where the template gives no more.
    let off = [("enabled", json!(false)), ("limit_per_user", json!(500))];
    shop.publish("t", &off).unwrap();
    assert!(ask(&shop, 0, "n").unwrap().replayed);
    assert_eq!(refused(ask(&shop, 0, "o")), Refusal::Disabled);
    let reused = Claim { template: "unknown".into(), ..claim(USER, "n") };
    assert_eq!(refused(shop.issue(&reused)), Refusal::OrderNumberReused);
    // Who cancels, and confirms.
    let cancelled = block_on(cancel(&shop.now(), USER, &number("n"), None));
    assert_eq!(refused(cancelled), Refusal::AlreadyConfirmed);
    assert!(block_on(confirm(&shop.now(), USER, &number("n"))).unwrap().replayed);
    // Who redeems, and rolls back.
    let by = Use::Redeem { order: "A".into(), amount: None, cart: Cart::default() };
    let redeemed = block_on(apply(&shop.now(), USER, &number("n"), &by)).unwrap();
    assert!(redeemed.order.coupon().unwrap().redeemed.is_some());
    assert!(block_on(apply(&shop.now(), USER, &number("n"), &by)).unwrap().replayed);
    let back = Use::Rollback { order: "A".into() };
    assert!(!block_on(apply(&shop.now(), USER, &number("n"), &back)).unwrap().replayed);
    assert_eq!(shop.page_of("n"), Some(1));
    // Who lists, and whoever meets it after its end.
    let page = Page { limit: 10, ..Page::default() };
    let states = |ms| {
        let context = shop.behind(ms);
        let Listed { orders, .. } = block_on(list(&context, USER, &page)).unwrap();
        orders.iter().map(|(_, order)| state(order, context.now).unwrap().0).collect::<Vec<_>>()
    };
    assert_eq!(states(0), [State::Usable, State::Usable]);
    assert_eq!(moved_states(31 * DAY_MS), [State::Expired]);
    let found = block_on(find(&shop.now(), USER, &number("n"))).unwrap().unwrap();
    let late = shop.behind(31 * DAY_MS);
    let over = block_on(settled(&late, USER, &number("n"), found.order)).unwrap();
    assert!(over.is_over);
    assert_eq!(block_on(look_up(&shop.now(), USER, &number("n"))), Ok(Some(over)));
    assert_eq!(states(31 * DAY_MS), [State::Expired, State::Expired]);
}

#[test]
fn what_a_list_or_an_index_says_of_an_order_on_a_page_is_looked_up_there() {
    let shop = moved();
    let home = shop.now().home(USER);
    // By an entry that a lost commit left.
    let until = UnixMillis(START.0 + 1);
    shop.write(home, vec![ENDS.add(until, &records::end(USER, &number("n")))]);
    let swept = block_on(expire_due(&shop.behind(700_000), &[home])).unwrap();
    assert_eq!((swept.stuck.len(), swept.set_aside.len()), (0, 0), "{swept:?}");
    assert_eq!((shop.entries(home, ENDS), shop.page_of("n")), (0, Some(1)));
}

#[test]
fn a_reward_on_a_page_does_not_lapse() {
    let shop = Shop::open();
    shop.earn(USER);
    let due = shop.groups(USER);
    assert_eq!(settle(&shop.now()), 1);
    let given = shop.groups(USER);
    shop.fill_record(USER);
    assert_eq!(block_on(make_room(&shop.now(), USER)), Ok(true));
    let reward = group_buy::reward_number("spring", "g").unwrap();
    assert_eq!(shop.page_of(reward.as_str()), Some(1));
    // Whoever gave it crashed before it counted as given, and the template is over.
    let home = shop.now().home(USER);
    shop.write(home, CHANCE.change(&given, &due).writes);
    assert_eq!(settle(&shop.behind(60 * DAY_MS)), 1);
    assert_eq!((shop.phase(USER), shop.stock().issued), (Phase::Rewarded, 1));

    // Another one lapses, although there are pages.
    let shop = Shop::open();
    shop.earn(USER);
    shop.greet(0..1_005);
    assert_eq!(block_on(make_room(&shop.now(), USER)), Ok(true));
    assert_eq!(settle(&shop.behind(60 * DAY_MS)), 0);
    assert_eq!(shop.phase(USER), Phase::Lapsed);
}

#[test]
fn of_redeeming_and_moving_one_is_first_and_both_are_done() {
    let redeem = || Use::Redeem { order: "A".into(), amount: None, cart: Cart::default() };
    let is_redeemed = |shop: &Shop| {
        let order = block_on(look_up(&shop.now(), USER, &number("n"))).unwrap().unwrap();
        order.coupon().unwrap().redeemed.is_some()
    };
    let full = || {
        let shop = Shop::open();
        shop.issue(&claim(USER, "n")).unwrap();
        shop.fill_record(USER);
        shop
    };
    for before in 0..2 {
        // Somebody moves the coupon before a commit of the one who redeems it.
        let shop = full();
        shop.store.interrupt(before, |memory| {
            let templates = Templates::default();
            let context = at(memory, &templates, 0);
            assert_eq!(make_room(&context, USER).now_or_never(), Some(Ok(true)));
        });
        block_on(apply(&shop.now(), USER, &number("n"), &redeem())).unwrap();
        assert!(shop.was_interrupted() && is_redeemed(&shop), "{before}");
        assert_eq!(shop.page_of("n"), Some(1));
        // And the other way round.
        let shop = full();
        shop.store.interrupt(before, move |memory| {
            let templates = Templates::default();
            let context = at(memory, &templates, 0);
            apply(&context, USER, &number("n"), &redeem()).now_or_never().unwrap().unwrap();
        });
        assert_eq!(block_on(make_room(&shop.now(), USER)), Ok(true));
        assert!(shop.was_interrupted() && is_redeemed(&shop), "{before}");
        assert_eq!(shop.page_of("n"), Some(if before == 0 { 1 } else { 0 }));
    }
}

#[test]
fn whatever_is_moved_meanwhile_no_number_acts_twice() {
    // Somebody moves the order before a commit of the one who asks again; and collects it afterwards.
    for before in 0..6 {
        let shop = Shop::open();
        shop.publish("t", &[("limit_per_user", json!(9))]).unwrap();
        shop.issue(&claim(USER, "n")).unwrap();
        shop.fill_record(USER);
        shop.store.interrupt(before, |memory| {
            let templates = Templates::default();
            make_room(&at(memory, &templates, 0), USER).now_or_never().unwrap().unwrap();
        });
        assert!(shop.issue(&claim(USER, "n")).unwrap().replayed, "{before}");
        assert_eq!(shop.stock().issued, 1);
    }
}

/// A commit that acts, made when there was no page: it comes once the order is on one, and once it is collected.
#[test]
fn a_commit_that_comes_late_finds_the_order_wherever_it_is() {
    let shop = Shop::open();
    let years = ("claim_until", json!("2030-01-01T00:00:00Z"));
    shop.publish("t", &[years, ("limit_per_user", json!(9))]).unwrap();
    // A lease arrives first, so that giving is one commit.
    shop.issue(&claim(USER, "first")).unwrap();
    let late = Recorder { memory: shop.store.memory(), written: RefCell::default() };
    let templates = Templates::default();
    block_on(issue(&at(&late, &templates, 0), &claim(USER, "n"))).unwrap();
    let (partition, commit) = late.written.take().pop().unwrap();
    let arrives = || {
        let before = shop.load();
        let outcome = block_on(shop.store.commit(partition, &commit)).unwrap();
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
        assert_eq!(shop.load(), before);
    };
    arrives();
    shop.fill_record(USER);
    assert_eq!(block_on(make_room(&shop.now(), USER)), Ok(true));
    assert_eq!(shop.page_of("n"), Some(1));
    arrives();
    shop.empty_record();
    assert_eq!(shop.collect(121 * DAY_MS).gone["orders"], 2);
    assert_eq!(shop.load().pages.len(), 0);
    arrives();
    assert_eq!(shop.stock().issued, 2);
}

/// A store that remembers what was written.
struct Recorder<'a> {
    memory: &'a Memory,
    written: RefCell<Vec<(Partition, Transaction)>>,
}

impl Binding for Recorder<'_> {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        let outcome = self.memory.commit(partition, transaction).await?;
        if !transaction.is_read_only() && matches!(outcome, Outcome::Committed(_)) {
            self.written.borrow_mut().push((partition, transaction.clone()));
        }
        Ok(outcome)
    }
}

#[test]
fn a_page_that_orders_are_moved_to_is_not_taken_away() {
    // Somebody moves orders before each commit of the one who collects the last order of the page.
    for before in 0..6 {
        let shop = moved();
        shop.fill_record(USER);
        shop.greet(0..10);
        shop.store.interrupt(before, |memory| {
            let templates = Templates::default();
            assert_eq!(make_room(&at(memory, &templates, 0), USER).now_or_never(), Some(Ok(true)));
        });
        let due_ms = 121 * DAY_MS;
        let greeted = |text: &str| block_on(look_up(&shop.now(), USER, &number(text)));
        let mut gone = 0;
        loop {
            let collected = shop.collect(due_ms);
            gone += collected.gone.get("orders").copied().unwrap_or(0);
            if !collected.has_more {
                break;
            }
        }
        if !shop.was_interrupted() {
            continue;
        }
        assert_eq!(gone, 11, "{before}");
        // Nothing is lost out of sight: all of it went, with its number.
        assert_eq!(shop.load().orders().count(), 0, "{before}");
        assert_eq!(greeted("greeted0"), Ok(None));
        for text in ["n", "greeted0", "greeted9"] {
            assert_eq!(refused(shop.issue(&claim(USER, text))), Refusal::TooOld, "{before}");
        }
        for page in 1..=PAGES_MAX {
            let size = Read::Size(records::page(USER, page));
            assert_eq!(shop.read(shop.now().home(USER), size), Answer::Size(0), "{before}");
        }
    }
}

#[test]
fn only_where_nothing_can_move_the_record_is_full() {
    let shop = Shop::full();
    assert_eq!(refused(shop.issue(&claim(USER, "n"))), Refusal::TooManyCoupons);
    let cancelled = block_on(cancel(&shop.now(), USER, &number("n"), None));
    assert_eq!(refused(cancelled), Refusal::TooManyCoupons);
    let (opening, home) = (super::shop::opening(USER, "g"), shop.now().home(USER));
    let opened = block_on(group_buy::open(&shop.now(), &opening));
    assert_eq!(refused(opened), Refusal::TooManyCoupons);
    // What is reserved stays.
    let held = Order::decode(&shop.hold(UserId(1_007), "n", 60_000).order.encode()).unwrap();
    let reserved = Write::Set(records::user(USER), records::order(&number("r")), held.encode());
    shop.write(home, vec![reserved]);
    assert_eq!(block_on(make_room(&shop.now(), USER)), Ok(false));
    // A count of nothing goes.
    let none = Write::Set(records::user(USER), records::held_count("u"), Value::Integer(0));
    shop.write(home, vec![none]);
    assert_eq!(block_on(make_room(&shop.now(), USER)), Ok(true));
    assert_eq!(shop.load().field(&records::held_count("u")), None);
    // What can move does, and then there is room.
    let unset = |name: &str| Write::Unset(records::user(USER), name.into());
    shop.write(home, vec![unset("x0"), unset("x1"), unset("x2")]);
    shop.greet(0..2);
    assert!(block_on(group_buy::open(&shop.now(), &opening)).is_ok());
    assert_eq!((shop.page_of("greeted0"), shop.page_of("r")), (Some(1), Some(0)));
}

#[test]
fn pages_fill_up_one_after_the_other_and_then_the_record_is_full() {
    let shop = Shop::full();
    shop.empty_record();
    let (mut next, mut rooms) = (0, 0);
    loop {
        let more = USER_FIELDS_MAX + 20 - shop.load().fields.len() as u32;
        shop.greet(next..next + more);
        next += more;
        if !block_on(make_room(&shop.now(), USER)).unwrap() {
            break;
        }
        rooms += 1;
    }
    let record = shop.load();
    let sizes: Vec<_> = record.pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, vec![PAGE_ORDERS_MAX as usize; PAGES_MAX as usize]);
    assert_eq!((rooms, record.orders().count()), (30, 15 * 512 + 1_018));
    assert_eq!(refused(shop.issue(&claim(USER, "n"))), Refusal::TooManyCoupons);
}

#[test]
fn what_has_ended_moves_first_and_then_the_oldest() {
    let shop = Shop::full();
    shop.empty_record();
    let order = |index: i64, gave| {
        let order = Order::new(1, UnixMillis(START.0 + index), gave);
        let field = records::order(&number(&format!("n{index:04}")));
        Write::Set(records::user(USER), field, order.encode())
    };
    let coupon = Coupon::of(&published("t", 1), START);
    // The youngest have ended.
    let gave = |index| match index {
        0..900 => Gave::Issued(coupon.clone()),
        _ => Gave::Greeting("hello".into()),
    };
    let writes = (0..1_010).map(|index| order(index, gave(index))).collect();
    shop.write(shop.now().home(USER), writes);
    assert_eq!(block_on(make_room(&shop.now(), USER)), Ok(true));
    let record = shop.load();
    let moved: BTreeSet<_> = record.pages[0].iter().map(|(field, _)| field.clone()).collect();
    let first = (900..1_010).chain(0..146);
    let first = first.map(|index: i64| records::order(&number(&format!("n{index:04}"))));
    assert_eq!(moved, first.collect());
}

#[test]
fn a_page_that_is_begun_meanwhile_is_not_forgotten() {
    let shop = moved();
    shop.fill_record(USER);
    shop.greet(0..10);
    let home = shop.now().home(USER);
    // Somebody begins another page between the look and the commit.
    let order = Order::new(1, START, Gave::Greeting("elsewhere".into()));
    let field = records::order(&number("elsewhere"));
    let other = vec![
        Write::Set(records::page(USER, 2), field, order.encode()),
        Write::Set(records::user(USER), records::PAGES.into(), Value::Integer(2)),
    ];
    // One look without pages, and one with them.
    shop.meanwhile(2, home, other);
    assert_eq!(block_on(make_room(&shop.now(), USER)), Ok(true));
    assert!(shop.was_interrupted());
    assert_eq!(shop.page_of("elsewhere"), Some(2));
    assert_eq!(block_on(look_up(&shop.now(), USER, &number("elsewhere"))), Ok(Some(order)));
}

#[test]
fn a_page_never_has_more_orders_than_one_may() {
    let shop = moved();
    shop.fill_record(USER);
    shop.greet(0..10);
    let home = shop.now().home(USER);
    let order = Order::new(1, START, Gave::Greeting("elsewhere".into()));
    let set = |index: u32| {
        let field = records::order(&number(&format!("elsewhere{index}")));
        Write::Set(records::page(USER, 1), field, order.encode())
    };
    shop.meanwhile(2, home, (0..PAGE_ORDERS_MAX - 5).map(set).collect());
    assert_eq!(block_on(make_room(&shop.now(), USER)), Ok(true));
    assert!(shop.was_interrupted());
    let size = shop.read(home, Read::Size(records::page(USER, 1)));
    assert_eq!(size, Answer::Size(u64::from(PAGE_ORDERS_MAX) - 4), "nothing was moved");
    assert_eq!(block_on(make_room(&shop.now(), USER)), Ok(true));
    assert_eq!(shop.page_of("greeted0"), Some(2));
}

#[test]
fn a_page_that_is_filled_meanwhile_is_there_although_its_only_order_went() {
    let mut interrupted = 0;
    for before in 0..6 {
        let shop = moved();
        shop.fill_record(USER);
        let home = shop.now().home(USER);
        let young = Order::new(1, UnixMillis(START.0 + 100 * DAY_MS), Gave::Cancelled);
        let numbers = || (0..10).map(|index| number(&format!("young{index}")));
        let set = |number| Write::Set(records::user(USER), records::order(&number), young.encode());
        shop.write(home, numbers().map(set).collect());
        shop.store.interrupt(before, |memory| {
            let templates = Templates::default();
            assert_eq!(make_room(&at(memory, &templates, 0), USER).now_or_never(), Some(Ok(true)));
        });
        assert_eq!(shop.collect(121 * DAY_MS).gone.get("orders"), Some(&1), "{before}");
        interrupted += u32::from(shop.was_interrupted());
        for number in numbers() {
            let found = block_on(look_up(&shop.now(), USER, &number));
            assert_eq!(found, Ok(Some(young.clone())), "{before}");
        }
        assert_eq!(block_on(look_up(&shop.now(), USER, &number("n"))), Ok(None), "{before}");
    }
    assert!(interrupted >= 4, "{interrupted}");
}
