//! What one call does where some of it cannot be done: a partition that takes no writes, wallets and tokens that
//! cannot be read. The component's own code, natively, on the store in memory.

use std::cell::RefCell;
use std::collections::BTreeSet;

use binding::memory::Memory;
use coupons::context::Templates;
use coupons::issue::{Claim, Number, issue};
use coupons::publish::{self, Stock};
use coupons::scene::Scene;
use coupons::template::Template;
use coupons::{records as coupon, reservation};
use domain::answers;
use domain::day_lists::day;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::{Partition, Partitions};
use domain::time::{GRACE_MS, UnixMillis};
use domain::transaction::{CommitError, Outcome, Transaction, Value, Write};
use edge::store::Binding;
use futures::executor::block_on;
use serde_json::json;
use store::quarantine::PATIENCE_MS;
use wallet::keys::SigningKeys;
use wallet::records;
use wallet::token::Payload;
use wallet::{pending, rain};

use crate::Books;
use crate::export;
use crate::settle::{Settled, USERS_DEFAULT, settle};

const NOW: UnixMillis = UnixMillis(1_771_257_600_250);
const PARTITIONS: u32 = 4;

mod collected;
mod reconcile;
mod seal;

/// A store of which some partitions take no writes.
#[derive(Default)]
struct Store {
    memory: Memory,
    read_only: RefCell<BTreeSet<Partition>>,
}

impl Binding for Store {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        if !transaction.is_read_only() && self.read_only.borrow().contains(&partition) {
            return Err(CommitError::Unavailable("it is read-only".into()));
        }
        self.memory.commit(partition, transaction).await
    }
}

fn partitions() -> Partitions {
    Partitions::new(PARTITIONS).unwrap()
}

fn keys() -> SigningKeys {
    SigningKeys::parse(&format!("dev-1:{}", "A".repeat(43)), true).unwrap()
}

impl Store {
    fn write(&self, partition: Partition, writes: Vec<Write>) {
        let transaction = Transaction { writes, ..Transaction::default() };
        block_on(self.memory.commit(partition, &transaction)).unwrap();
    }

    /// Gives a user a token of a cent that was drawn so long ago.
    fn give(&self, user: u64, number: &str, ago_ms: i64) {
        let payload = Payload {
            app_id: 0,
            act_id: user,
            activity_id: "spring".to_owned(),
            scene_id: "rain".to_owned(),
            amount: 1,
            out_trade_no: number.to_owned(),
            open_time: NOW.0 - ago_ms,
            rain_id: 1,
            status: 0,
        };
        let stored = keys().sign(&payload, "test").unwrap().to_stored();
        let drawn = UnixMillis(payload.open_time);
        let writes = pending::writes(UserId(user), number, stored, drawn, NOW);
        self.write(home(user), writes.to_vec());
    }

    fn settle(&self, users_max: u32) -> Result<Settled, CommitError> {
        self.settle_at(NOW, users_max)
    }

    fn settle_at(&self, now: UnixMillis, users_max: u32) -> Result<Settled, CommitError> {
        with_books(self, now, |books| block_on(settle(books, users_max)))
    }

    /// What became of the coupons of a template.
    fn stock(&self, template: &str) -> Stock {
        with_books(self, NOW, |books| block_on(publish::look(&books.coupons, template))).unwrap().2
    }
}

fn context<B>(store: &B, now: UnixMillis) -> store::Context<'_, B> {
    store::Context { store, partitions: partitions(), now, timer: store::Timer::still() }
}

/// Does something with the books that a store holds.
fn with_books<B, T>(store: &B, now: UnixMillis, act: impl FnOnce(&Books<'_, B>) -> T) -> T {
    let (templates, keys) = (Templates::default(), keys());
    let coupons = coupons(store, &templates, now);
    act(&Books { wallets: coupons.base, coupons, stage: "test", keys: &keys })
}

fn coupons<'a, B>(
    store: &'a B,
    templates: &'a Templates,
    now: UnixMillis,
) -> coupons::context::Context<'a, B> {
    let base = context(store, now);
    coupons::context::Context { base, stage: "test", templates, lease_share: lease::SHARE }
}

fn home(user: u64) -> Partition {
    partitions().locate(UserId(user)).partition
}

/// Users of a partition.
fn users_of(partition: Partition) -> impl Iterator<Item = u64> {
    (1..).filter(move |user| home(*user) == partition)
}

/// What posting cannot read.
fn break_wallet(store: &Store, user: u64) {
    let broken = Write::Set(records::account(UserId(user)), "b".into(), Value::Bytes(vec![0xff]));
    store.write(home(user), vec![broken]);
}

#[test]
fn a_partition_that_takes_no_writes_keeps_no_other_from_being_served() {
    let store = Store::default();
    let [bad, good] = [0, 3].map(|index| partitions().all().nth(index).unwrap());
    // Its users have waited longest.
    for user in users_of(bad).take(100) {
        store.give(user, "n", 1_000_000);
    }
    for user in users_of(good).take(5) {
        store.give(user, "n", 1);
    }
    store.read_only.borrow_mut().insert(bad);
    let settled = store.settle(USERS_DEFAULT).unwrap();
    assert_eq!((settled.users, settled.tokens, settled.stuck.len()), (5, 5, 0));
    assert!(matches!(settled.interrupted, Some(CommitError::Unavailable(_))), "{settled:?}");
    assert_eq!((settled.queued, settled.left), (100, 100));
    // Nothing else is to be done.
    assert!(matches!(store.settle(USERS_DEFAULT), Err(CommitError::Unavailable(_))));
    store.read_only.borrow_mut().clear();
    let settled = store.settle(USERS_DEFAULT).unwrap();
    assert_eq!((settled.users, settled.left, settled.interrupted), (100, 0, None));
}

#[test]
fn who_cannot_be_posted_does_not_count_and_is_not_left() {
    let store = Store::default();
    let mut users = users_of(partitions().all().next().unwrap());
    let (broken, well) = (users.next().unwrap(), users.next().unwrap());
    for (number, ago_ms) in [("a", 90), ("b", 80), ("c", 1)] {
        store.give(broken, number, ago_ms);
    }
    break_wallet(&store, broken);
    store.give(well, "n", 50);
    // One user, and the one in front cannot be.
    let settled = store.settle(1).unwrap();
    assert_eq!((settled.users, settled.tokens), (1, 1), "{settled:?}");
    for _ in 0..2 {
        let settled = store.settle(1).unwrap();
        assert_eq!((settled.users, settled.queued, settled.left), (0, 3, 0), "{settled:?}");
        let [stuck] = &settled.stuck[..] else { panic!("{settled:?}") };
        assert!(stuck.place.contains(&broken.to_string()), "{stuck:?}");
    }
}

#[test]
fn what_cannot_be_done_hides_nothing_that_is_left() {
    let store = Store::default();
    // Rains that are listed and not there, and more users than one call may post.
    let over = |number: i64| rain::OVER.add(UnixMillis(number), format!("r{number}").as_bytes());
    store.write(rain::home_of_all(partitions()), (0..3).map(over).collect());
    let foreign = Write::AddMember(records::QUEUE.key(), "x".into());
    let home = partitions().all().next().unwrap();
    store.write(home, vec![foreign]);
    for user in users_of(home).take(3) {
        store.give(user, "n", 1);
    }
    // All of them have been due for ever: they are set aside, and told.
    let settled = store.settle(1).unwrap();
    assert_eq!((settled.users, settled.set_aside.len(), settled.left), (1, 4, 2), "{settled:?}");
    for (max, users) in [(2, 2), (2, 0)] {
        let settled = store.settle(max).unwrap();
        let told = (settled.users, settled.stuck.len(), settled.set_aside.len(), settled.left);
        assert_eq!(told, (users, 0, 0, 0), "{settled:?}");
        assert_eq!(settled.quarantined, 4);
    }
}

#[test]
fn what_is_due_for_a_moment_stays_and_is_set_aside_when_it_stays_at_fault() {
    let store = Store::default();
    let user = users_of(partitions().all().next().unwrap()).next().unwrap();
    store.give(user, "old", PATIENCE_MS);
    store.give(user, "new", PATIENCE_MS - 1);
    break_wallet(&store, user);
    let settled = store.settle(2).unwrap();
    let told = (settled.stuck.len(), settled.set_aside.len(), settled.queued, settled.left);
    assert_eq!(told, (1, 1, 1, 0), "{settled:?}");
    assert_eq!(settled.quarantined, 1);
    assert!(settled.set_aside[0].place.contains("old"), "{settled:?}");
}

const MINUTE_MS: i64 = 60_000;

/// A template whose claim window is over a minute after [`NOW`], with some fields changed.
fn newcomers(changes: serde_json::Value) -> Template {
    let [from, until] = [0, MINUTE_MS].map(|ms| UnixMillis(NOW.0 + ms).to_rfc3339());
    let mut template = json!({
        "activity": "spring", "scene": "newcomer", "kind": "amount_off", "value": "100",
        "currency": "CNY", "stock": "1000", "limit_per_user": 1, "claim_from": from,
        "claim_until": until, "valid_for_days": 1, "low_water_percent": 0,
    });
    for (field, value) in changes.as_object().unwrap() {
        template[field] = value.clone();
    }
    serde_json::from_value(template).unwrap()
}

/// A user holds a coupon of the template for so long.
fn hold(store: &Store, user: u64, hold_ms: i64) {
    let templates = Templates::default();
    let (user, number, template) = (UserId(user), Number::Given(held()), "t".to_owned());
    let (ordered_at, segments, hold_ms) = (None, Vec::new(), Some(hold_ms));
    let claim = Claim { user, number, ordered_at, template, segments, hold_ms };
    block_on(issue(&coupons(store, &templates, NOW), &claim)).unwrap();
}

/// The usual template, of which some users hold a coupon for so long.
fn with_held_coupons(users: &[u64], hold_ms: i64) -> Store {
    let (store, templates) = (Store::default(), Templates::default());
    let context = coupons(&store, &templates, NOW);
    block_on(publish::publish(&context, "t", &newcomers(json!({})))).unwrap();
    users.iter().for_each(|user| hold(&store, *user, hold_ms));
    store
}

fn held() -> OrderNumber {
    OrderNumber::parse("held", "").unwrap()
}

/// Templates that are not at rest.
fn over(store: &Store) -> usize {
    let read = coupon::OVER.page_of_all(None, 100);
    let home = coupon::home_of_list(partitions());
    let transaction = Transaction { reads: vec![read], ..Transaction::default() };
    let outcome = block_on(store.commit(home, &transaction)).unwrap();
    let Outcome::Committed(found) = outcome else { panic!("{outcome:?}") };
    answers::page(found.first()).unwrap().members.len()
}

#[test]
fn what_is_put_back_after_a_template_is_over_goes_home() {
    let hour_ms = 60 * MINUTE_MS;
    let store = with_held_coupons(&[1, 2, 3, 4, 5, 6, 7, 8], hour_ms);
    let at = |ms: i64| UnixMillis(NOW.0 + ms);
    // The window is over for every clock, and everything but the reservations goes home.
    let settled = store.settle_at(at(MINUTE_MS + GRACE_MS), 100).unwrap();
    assert_eq!((settled.templates, settled.reservations, settled.left), (1, 0, 0), "{settled:?}");
    let Stock { reserved, leased, remaining, .. } = store.stock("t");
    assert_eq!((reserved, leased, remaining), (8, 0, 992));
    // One is given back by whoever held it, one is given; the others end.
    let templates = Templates::default();
    let context = coupons(&store, &templates, at(hour_ms - 1));
    block_on(reservation::cancel(&context, UserId(1), &held(), None)).unwrap();
    block_on(reservation::confirm(&context, UserId(2), &held())).unwrap();
    let mut now = at(hour_ms);
    let settled = store.settle_at(now, 100).unwrap();
    assert_eq!(settled.reservations, 6, "{settled:?}");
    // Before it is over for twice as long as when that ended, all of it is home.
    let until = at(2 * (hour_ms + GRACE_MS));
    while now < until {
        now = UnixMillis(now.0 + MINUTE_MS);
        store.settle_at(now, 100).ok();
    }
    let Stock { total, issued, reserved, leased, remaining, .. } = store.stock("t");
    assert_eq!((total, issued, reserved, leased, remaining), (1_000, 1, 0, 0, 999));
    assert_eq!(over(&store), 0);
}

#[test]
fn a_template_without_a_stock_is_put_to_rest_once_nothing_of_it_is_held() {
    let (store, templates) = (Store::default(), Templates::default());
    let scene = coupon::scene(partitions(), "newcomer");
    let endless = scene.set(&Scene { stock: false, ..Scene::plain() });
    store.write(scene.partition, vec![endless]);
    let context = coupons(&store, &templates, NOW);
    let template = newcomers(json!({"stock": null}));
    block_on(publish::publish(&context, "t", &template)).unwrap();
    hold(&store, 1, 3 * GRACE_MS);
    hold(&store, 2, MINUTE_MS);
    block_on(reservation::confirm(&context, UserId(2), &held())).unwrap();
    for (ms, expected) in [(GRACE_MS, 1), (2 * GRACE_MS, 1), (4 * GRACE_MS, 0)] {
        store.settle_at(UnixMillis(NOW.0 + MINUTE_MS + ms), 100).unwrap();
        assert_eq!(over(&store), expected, "{ms}");
    }
}

#[test]
fn what_is_held_for_ever_costs_a_look_a_day() {
    let day_ms = 24 * 60 * MINUTE_MS;
    let store = with_held_coupons(&[1], MINUTE_MS);
    let order = (coupon::user(UserId(1)), coupon::order(&held()));
    store.write(home(1), vec![Write::Set(order.0, order.1, Value::Bytes(vec![0xff]))]);
    let mut looks = 0;
    for hours in 1..=24 * 30 {
        let now = UnixMillis(NOW.0 + hours * 60 * MINUTE_MS);
        let result = store.settle_at(now, 100);
        looks += result.map_or(0, |settled| settled.templates);
    }
    assert!((30..=40).contains(&looks), "{looks} looks");
    assert_eq!((over(&store), store.stock("t").reserved), (1, 1));
    // Once somebody has ended it, it goes home.
    let order = (coupon::user(UserId(1)), coupon::order(&held()));
    let release = |field: &str, units| Write::Add(coupon::lease("t"), field.into(), units);
    store.write(
        home(1),
        vec![Write::Unset(order.0, order.1), release(lease::HELD, -1), release(lease::LEFT, 1)],
    );
    store.settle_at(UnixMillis(NOW.0 + 32 * day_ms), 100).ok();
    assert_eq!((over(&store), store.stock("t").remaining), (0, 1_000));
}

#[test]
fn a_template_that_was_published_again_is_over_when_it_says_so() {
    let store = with_held_coupons(&[], MINUTE_MS);
    let early = coupon::OVER.add(UnixMillis(NOW.0 - 2 * GRACE_MS), b"t");
    store.write(coupon::home_of_list(partitions()), vec![early]);
    assert_eq!(over(&store), 2);
    let settled = store.settle(100).unwrap();
    assert_eq!((settled.templates, settled.left, over(&store)), (0, 0, 1), "{settled:?}");
    let settled = store.settle_at(UnixMillis(NOW.0 + MINUTE_MS + GRACE_MS), 100).unwrap();
    assert_eq!((settled.templates, settled.left, over(&store)), (1, 0, 0), "{settled:?}");
}

/// Pages of an export give each record of the day once, and end; one that cannot be read is counted.
#[test]
fn an_export_has_each_record_of_its_day_once() {
    let store = Store::default();
    for user in 0..40 {
        store.give(user, &format!("n{user}"), 0);
    }
    store.settle(USERS_DEFAULT).unwrap();
    let entry = records::entry(0);
    let garbage = Value::Bytes(b"\xffgarbage".to_vec());
    store.write(home(7), vec![Write::Set(records::page(UserId(7), 0), entry, garbage)]);
    let of = day(NOW);
    for (of, expected, unreadable) in [(of, 39, 1), (of - 1, 0, 0)] {
        let (mut users, mut broken, mut cursor) = (Vec::new(), 0, export::Cursor::default());
        loop {
            let page = with_books(&store, NOW, |books| {
                block_on(export::export(books, of, cursor.clone())).unwrap()
            });
            users.extend(page.records.iter().map(|record| record.user));
            broken += page.unreadable;
            match page.next {
                Some(next) => cursor = export::Cursor::parse(&next.text()).unwrap(),
                None => break,
            }
        }
        let once: BTreeSet<_> = users.iter().collect();
        assert_eq!((users.len(), once.len(), broken), (expected, expected, unreadable));
    }
}
