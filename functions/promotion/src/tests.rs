//! Sweeps, on a store in memory: what is due, what is stale, and what is stuck.

use std::cell::Cell;

use binding::memory::{Interrupted, Memory};
use domain::answers::page;
use domain::due::{DueIndex, Swept};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Outcome, Read, Transaction, Value, Write};
use edge::store::Binding;
use futures::FutureExt;
use futures::executor::block_on;
use pricing::activity::Activity;
use purchases::order::{Order, Purchase, State, change, find};
use purchases::records::{self as taken, UNDER_WAY};
use serde_json::{Value as Json, json};
use store::quarantine::PATIENCE_MS;

use crate::catalogue::Catalogue;
use crate::context::Context;
use crate::publish::{Which, add_part, look, publish, save};
use crate::purchase::{Use, give_back, take};
use crate::records::{self, RETIRING};
use crate::refusal::Failure;
use crate::{prices, purchase, retire};

mod collecting;
mod sealing;

const START: i64 = 1_771_300_000_000;
/// As the sweeps say.
const KEEP_MS: i64 = 5_000;
const ABANDONED_MS: i64 = 60_000;
const USER: UserId = UserId(7);

fn number(text: &str) -> OrderNumber {
    OrderNumber::parse(text, "order_number").unwrap()
}

/// A store that is gone after so many calls.
struct Crashing<'a> {
    memory: &'a Memory,
    left: Cell<u32>,
}

impl Binding for Crashing<'_> {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        let left = self.left.get();
        if left == 0 {
            return Err(CommitError::Unavailable("gone".into()));
        }
        self.left.set(left - 1);
        self.memory.commit(partition, transaction).await
    }
}

/// A store, and what an instance remembers of it.
struct Shop<B = Memory> {
    store: B,
    partitions: Partitions,
    catalogue: Catalogue,
}

impl<B: Binding> Shop<B> {
    fn new(store: B) -> Self {
        let partitions = Partitions::new(2).unwrap();
        Self { store, partitions, catalogue: Catalogue::new(1) }
    }

    /// At a moment after the start.
    fn at(&self, ms: i64) -> Context<'_, B> {
        let Self { store, partitions, catalogue } = self;
        let world = store::Context {
            store,
            partitions: *partitions,
            now: UnixMillis(START + ms),
            timer: store::Timer::still(),
        };
        Context { world, catalogue }
    }

    fn save(&self, ms: i64, id: &str, which: Which, more: Json) -> u64 {
        let mut activity = json!({
            "id": id, "name": "A", "currency": "CNY", "scope": "sku",
            "from": "2026-02-01T00:00:00Z", "until": "2026-03-01T00:00:00Z",
            "tiers": [{"benefit": {"percent_off": {"percent": 15}}}],
        });
        for (name, value) in more.as_object().unwrap() {
            activity[name] = value.clone();
        }
        let activity: Activity = serde_json::from_value(activity).unwrap();
        block_on(save(&self.at(ms), &activity, which)).unwrap()
    }

    /// An activity of which all users have so many uses.
    fn limited(&self, id: &str) {
        self.save(0, id, Which::Live, json!({"limits": {"total": "1000"}}));
    }

    fn take(&self, ms: i64, user: UserId, order: &str) {
        let uses = [Use { activity: "all".to_owned(), key: None, uses: 1 }];
        let number = number(order);
        block_on(take(&self.at(ms), Order { user, number: &number }, &uses, None)).unwrap();
    }

    fn order(&self, user: UserId, order: &str) -> Option<Purchase> {
        let number = number(order);
        let found = block_on(find(&self.at(0), Order { user, number: &number }));
        found.unwrap().record
    }

    /// Puts an order that took something back to a state in which a crash may leave it.
    fn crash(&self, user: UserId, order: &str, state: State, ms: i64) {
        let number = number(order);
        let order = Order { user, number: &number };
        let found = block_on(find(&self.at(0), order)).unwrap();
        let mut purchase = found.record.clone().unwrap();
        purchase.state = state;
        purchase.at = START + ms;
        let context = self.at(ms);
        let changed = block_on(change(&context, order, &found, &purchase, vec![]));
        assert_eq!(changed, Ok(true));
    }

    fn write(&self, partition: Partition, writes: Vec<Write>) {
        let transaction = Transaction { writes, ..Transaction::default() };
        block_on(self.store.commit(partition, &transaction)).unwrap();
    }

    /// Moments after the start of what stands in an index.
    fn listed(&self, index: DueIndex, partition: Partition) -> Vec<i64> {
        let answers =
            block_on(self.at(0).read_all(vec![(partition, index.page_of_all(None, 1_024))]));
        let answers = answers.unwrap();
        let members = &page(answers.first()).unwrap().members;
        members.iter().map(|member| domain::due::due(member).unwrap().at.0 - START).collect()
    }

    fn under_way(&self, user: UserId) -> Vec<i64> {
        self.listed(UNDER_WAY, self.at(0).home(user))
    }

    fn retiring(&self, id: &str) -> Vec<i64> {
        self.listed(RETIRING, self.at(0).shelf_of(id))
    }

    fn sweep_orders(&self, ms: i64) -> Swept {
        let partitions: Vec<_> = self.partitions.all().collect();
        block_on(purchase::sweep(&self.at(ms), &partitions)).unwrap()
    }

    fn sweep_activities(&self, ms: i64) -> (Swept, u64) {
        let (swept, left) = block_on(retire::sweep(&self.at(ms)));
        (swept.unwrap(), left)
    }
}

/// An order that is garbage.
fn garbage(user: UserId, order: &str) -> Write {
    let record = taken::order(user, &number(order));
    Write::Set(record, "o".into(), Value::Bytes(b"\xffgarbage".to_vec()))
}

fn done(done: u64) -> Swept {
    Swept { done, ..Swept::default() }
}

#[test]
fn an_order_stands_in_the_index_as_long_as_it_is_under_way_and_since_when_it_is() {
    let shop = Shop::new(Memory::new());
    shop.limited("all");
    shop.take(1, USER, "n");
    assert_eq!(shop.under_way(USER), [0; 0]);
    shop.crash(USER, "n", State::Taking, 2);
    assert_eq!(shop.under_way(USER), [2]);
    // Giving back begins at another moment.
    shop.crash(USER, "n", State::GivingBack, 3);
    assert_eq!(shop.under_way(USER), [3]);
    let number = number("n");
    block_on(give_back(&shop.at(4), Order { user: USER, number: &number }, None)).unwrap();
    assert_eq!(shop.under_way(USER), [0; 0]);
}

#[test]
fn an_order_that_is_abandoned_is_undone_when_it_is_due() {
    let shop = Shop::new(Memory::new());
    shop.limited("all");
    for (order, state) in [("t", State::Taking), ("u", State::Undoing(0)), ("g", State::GivingBack)]
    {
        shop.take(0, USER, order);
        shop.crash(USER, order, state, 10);
    }
    assert_eq!(shop.sweep_orders(10 + ABANDONED_MS - 1), done(0));
    assert_eq!(shop.under_way(USER), [10; 3]);
    assert_eq!(shop.sweep_orders(10 + ABANDONED_MS), done(3));
    assert_eq!(shop.under_way(USER), [0; 0]);
    let state = |order| shop.order(USER, order).unwrap().state;
    assert_eq!(["t", "u", "g"].map(state), [State::Refused, State::Refused, State::GivenBack]);
    let stock = Read::Fields(taken::stock("all"), vec![taken::unit("")]);
    let stock = (taken::stock_of(shop.partitions, "all"), stock);
    let left = block_on(shop.at(0).read_all(vec![stock])).unwrap();
    assert_eq!(domain::answers::integers(left.first()), Ok([0]), "all of it went back");
}

#[test]
fn an_order_that_cannot_be_read_stops_only_itself() {
    let shop = Shop::new(Memory::new());
    shop.limited("all");
    // More than a page, in front of the one that can be undone.
    let broken: Vec<_> = (0..100).map(|one| format!("b{one}")).collect();
    for order in broken.iter().map(String::as_str).chain(["n"]) {
        shop.take(0, USER, order);
        shop.crash(USER, order, State::Taking, if order == "n" { 2 } else { 1 });
    }
    let home = shop.at(0).home(USER);
    shop.write(home, broken.iter().map(|order| garbage(USER, order)).collect());
    let swept = shop.sweep_orders(ABANDONED_MS + 2);
    assert_eq!((swept.done, swept.stuck.len(), swept.has_more), (1, 100, false));
    assert_eq!(swept.stuck[0].place, format!("orders under way in {home}: b0 of user 7"));
    assert_eq!(shop.order(USER, "n").unwrap().state, State::Refused);
    // They stay, and are told of again.
    assert_eq!(shop.sweep_orders(ABANDONED_MS + 2).stuck.len(), 100);
}

/// What a record may be instead of itself, and whether that passes by itself.
fn unreadable() -> [(Value, bool); 4] {
    [
        (Value::Bytes(b"\xffgarbage".to_vec()), false),
        (Value::Bytes(vec![]), false),
        (Value::Integer(1), false),
        // Of the next version.
        (Value::Bytes(vec![2, 0]), true),
    ]
}

/// A request that needs a record which cannot be read says so.
#[track_caller]
fn check_told<T: std::fmt::Debug>(result: Result<T, Failure>, is_newer: bool, name: &str) {
    match result {
        Err(Failure::Store(CommitError::Newer(text))) if is_newer => assert!(text.contains(name)),
        Err(Failure::Store(CommitError::Unreadable(text))) if !is_newer => {
            assert!(text.contains(name), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_of_an_activity_that_cannot_be_read_is_told_and_stays() {
    for (value, is_newer) in unreadable() {
        let shop = Shop::new(Memory::new());
        let list = json!({"dimensions": {"products": {"sku_list": {"name": "l", "parts": 2}}}});
        shop.save(0, "x", Which::Draft, list);
        let skus = ["s".to_owned()];
        block_on(add_part(&shop.at(0), "x", 1, &skus)).unwrap();
        let set = |map, field: domain::transaction::Field| Write::Set(map, field, value.clone());
        let shelf = shop.at(0).shelf_of("x");
        // From the inside to the outside: what stands behind a broken record is not reached any more.
        shop.write(shelf, vec![set(records::list("x", 1), records::number(1))]);
        let part = block_on(add_part(&shop.at(0), "x", 1, &skus));
        check_told(part, is_newer, "a part of a list of SKUs");
        let key = records::key(pricing::activity::KeyKind::Sku, "t");
        let of_key = shop.at(0).shelf(records::shelf_of(&key));
        shop.write(of_key, vec![set(records::index(), key.as_str().into())]);
        let part = block_on(add_part(&shop.at(0), "x", 2, &["t".to_owned()]));
        check_told(part, is_newer, "a key's entry in the index");
        shop.write(shelf, vec![set(records::definitions("x"), records::number(1))]);
        let draft = block_on(look(&shop.at(0), "x", Which::Draft));
        check_told(draft, is_newer, "the definition of an activity");
        shop.write(shelf, vec![set(records::heads(), "x".into())]);
        check_told(block_on(publish(&shop.at(0), "x", 1)), is_newer, "the head of an activity");
        let read = (shelf, Read::Fields(records::heads(), vec!["x".into()]));
        let answers = block_on(shop.at(0).read_all(vec![read])).unwrap();
        assert_eq!(domain::answers::fields(answers.first()), Ok([Some(value)].as_slice()));
    }
}

#[test]
fn a_definition_that_a_head_names_and_that_is_missing_is_told() {
    let shop = Shop::new(Memory::new());
    let version = shop.save(0, "x", Which::Draft, naming(&["a"]));
    let shelf = shop.at(0).shelf_of("x");
    shop.write(shelf, vec![Write::Drop(records::definitions("x"))]);
    let draft = block_on(look(&shop.at(0), "x", Which::Draft));
    check_told(draft, false, &format!("version {version} of activity x has no definition"));
}

#[test]
fn an_order_or_a_hold_that_cannot_be_read_is_told() {
    for (value, is_newer) in unreadable() {
        let shop = Shop::new(Memory::new());
        shop.limited("all");
        shop.take(0, USER, "n");
        let number = number("n");
        let order = Order { user: USER, number: &number };
        let hold = taken::hold(USER, &number, 1);
        let write = Write::Set(taken::holds("all"), hold, value.clone());
        shop.write(taken::stock_of(shop.partitions, "all"), vec![write]);
        check_told(block_on(give_back(&shop.at(1), order, None)), is_newer, "a hold of an order");
        let write = Write::Set(taken::order(USER, &number), "o".into(), value);
        shop.write(shop.at(0).home(USER), vec![write]);
        check_told(block_on(purchase::look(&shop.at(1), order)), is_newer, "what an order took");
        check_told(block_on(give_back(&shop.at(1), order, None)), is_newer, "what an order took");
        // Another order of the user is none of its business.
        shop.take(1, USER, "other");
    }
}

#[test]
fn what_cannot_be_read_of_a_sku_is_told_and_no_price_overwrites_it() {
    for (value, is_newer) in unreadable() {
        let shop = Shop::new(Memory::new());
        let shelf = shop.at(0).shelf(records::shelf_of("s"));
        shop.write(shelf, vec![Write::Set(records::offers(), "s".into(), value)]);
        let offers = block_on(prices::offers(&shop.at(0), &["s"])).map_err(Failure::from);
        check_told(offers, is_newer, "what is known of a SKU");
        let change = prices::Change {
            sku: "s".into(),
            unit_price: None,
            in_stock: Some(true),
            changed_at: UnixMillis(START),
        };
        let currency = domain::money::Currency::parse("CNY").unwrap();
        let applied = block_on(prices::apply(&shop.at(0), currency, vec![change]));
        check_told(applied, is_newer, "what is known of a SKU");
    }
}

#[test]
fn a_change_of_the_future_is_refused_with_its_batch_and_blocks_no_correction() {
    let shop = Shop::new(Memory::new());
    let change = |at: i64| prices::Change {
        sku: "s".into(),
        unit_price: None,
        in_stock: Some(true),
        changed_at: UnixMillis(at),
    };
    let currency = domain::money::Currency::parse("CNY").unwrap();
    let apply = |changes| block_on(prices::apply(&shop.at(0), currency, changes));
    let clocks_differ_ms = 20 * 60_000;
    let refused = apply(vec![change(START), change(START + clocks_differ_ms + 1)]);
    let Err(Failure::Invalid(error)) = refused else { panic!("it was applied") };
    assert_eq!(error.field, "changes[1].changed_at");
    let offers = || block_on(prices::offers(&shop.at(0), &["s"])).unwrap();
    let before = format!("{:?}", offers());
    assert!(apply(vec![change(START)]).is_ok());
    assert_ne!(format!("{:?}", offers()), before, "the batch left nothing that is later");
}

#[test]
fn an_order_whose_hold_is_none_stops_only_itself() {
    let shop = Shop::new(Memory::new());
    shop.limited("all");
    for order in ["a", "b"] {
        shop.take(0, USER, order);
        shop.crash(USER, order, State::Taking, 0);
    }
    let hold = taken::hold(USER, &number("a"), 1);
    let none = Write::Set(taken::holds("all"), hold, Value::Bytes(vec![]));
    shop.write(taken::stock_of(shop.partitions, "all"), vec![none]);
    let swept = shop.sweep_orders(ABANDONED_MS);
    assert_eq!((swept.done, swept.stuck.len()), (1, 1));
    assert_eq!(shop.order(USER, "b").unwrap().state, State::Refused);
}

#[test]
fn a_mark_that_is_stale_goes_and_no_other_one() {
    let shop = Shop::new(Memory::new());
    shop.limited("all");
    let home = shop.at(0).home(USER);
    let mark = |at: i64, order: &str| {
        UNDER_WAY.add(UnixMillis(START + at), &taken::under_way(USER, &number(order)))
    };
    shop.take(0, USER, "taken");
    shop.take(0, USER, "taking");
    shop.crash(USER, "taking", State::Taking, ABANDONED_MS);
    shop.write(home, vec![mark(1, "taken"), mark(2, "taking"), mark(3, "lost")]);
    let swept = shop.sweep_orders(ABANDONED_MS + 3);
    assert_eq!((swept.done, swept.stuck.len()), (0, 1), "{swept:?}");
    assert!(swept.stuck[0].place.contains("lost"), "{swept:?}");
    assert_eq!(shop.under_way(USER), [3, ABANDONED_MS], "somebody has to look");
    assert_eq!(shop.order(USER, "taken").unwrap().state, State::Taken);
}

#[test]
fn a_mark_stays_where_the_order_changes_while_it_is_found_to_be_stale() {
    let shop = Shop::new(Interrupted::default());
    shop.limited("all");
    shop.take(0, USER, "n");
    let home = shop.at(0).home(USER);
    let at = UnixMillis(START + 1);
    let what = taken::under_way(USER, &number("n"));
    shop.write(home, vec![UNDER_WAY.add(at, &what)]);
    // Between the look and the removal it is under way since that very moment.
    let (record, mut purchase) = (taken::order(USER, &number("n")), shop.order(USER, "n").unwrap());
    purchase.state = State::GivingBack;
    purchase.at = at.0;
    let writes = vec![
        Write::Set(record, "o".into(), store::codec::encode(&purchase)),
        UNDER_WAY.add(at, &what),
    ];
    // The first pages of both partitions, and the look.
    shop.store.interrupt(3, move |memory| {
        let transaction = Transaction { writes, ..Transaction::default() };
        // Inside of the sweep, whose executor is at work.
        memory.commit(home, &transaction).now_or_never().unwrap().unwrap();
    });
    assert_eq!(shop.sweep_orders(ABANDONED_MS + 1), done(0));
    assert!(shop.store.was_interrupted());
    assert_eq!(shop.under_way(USER), [1]);
    assert_eq!(shop.sweep_orders(ABANDONED_MS + 1), done(1));
    assert_eq!(shop.order(USER, "n").unwrap().state, State::GivenBack);
}

#[test]
fn a_store_that_is_gone_ends_both_sweeps() {
    let shop = Shop::new(Interrupted::default());
    shop.store.set_gone(true);
    let partitions: Vec<_> = shop.partitions.all().collect();
    let gone = CommitError::Unavailable("gone".into());
    assert_eq!(block_on(purchase::sweep(&shop.at(0), &partitions)), Err(gone.clone()));
    assert_eq!(block_on(retire::sweep(&shop.at(0))).0, Err(gone));
}

#[test]
fn a_sweep_undoes_so_many_orders_and_says_that_more_are_due() {
    let shop = Shop::new(Memory::new());
    shop.limited("all");
    for one in 0..65 {
        let order = format!("n{one}");
        shop.take(0, USER, &order);
        shop.crash(USER, &order, State::Taking, one);
    }
    assert_eq!(shop.sweep_orders(ABANDONED_MS + 63), done(64));
    assert_eq!(shop.under_way(USER), [64]);
    shop.take(0, USER, "later");
    for one in 0..64 {
        let order = format!("m{one}");
        shop.take(0, USER, &order);
        shop.crash(USER, &order, State::Taking, one);
    }
    let swept = shop.sweep_orders(ABANDONED_MS + 64);
    assert_eq!(swept, Swept { done: 64, has_more: true, ..Swept::default() });
    assert_eq!(shop.under_way(USER), [64], "the oldest go first");
}

fn naming(skus: &[&str]) -> Json {
    json!({"dimensions": {"products": {"include": [{ "skus": skus }]}}})
}

#[test]
fn old_versions_go_when_they_are_due_and_the_index_says_when_the_next_one_is() {
    let shop = Shop::new(Memory::new());
    for (ms, sku) in [(0, "a"), (10, "b"), (20, "c")] {
        shop.save(ms, "x", Which::Live, naming(&[sku]));
    }
    assert_eq!(shop.retiring("x"), [10]);
    assert_eq!(shop.sweep_activities(10 + KEEP_MS - 1), (done(0), 2));
    assert_eq!(shop.sweep_activities(10 + KEEP_MS), (done(1), 1));
    assert_eq!(shop.retiring("x"), [20]);
    assert_eq!(shop.sweep_activities(20 + KEEP_MS), (done(1), 0));
    assert_eq!(shop.retiring("x"), [0; 0]);
    assert_eq!(shop.sweep_activities(20 + KEEP_MS), (done(0), 0));
    assert_eq!(block_on(look(&shop.at(30), "x", Which::Live)).unwrap().retiring, 0);
}

/// A list of SKUs in these parts, of so many, that was live and is not any more since `10`.
fn list_of(shop: &Shop, parts: u32) {
    let list = json!({"dimensions": {"products": {"sku_list": {"name": "l", "parts": parts}}}});
    let version = shop.save(0, "x", Which::Draft, list);
    for part in 1..=parts {
        block_on(add_part(&shop.at(0), "x", part, &[format!("s{part}")])).unwrap();
    }
    block_on(publish(&shop.at(0), "x", version)).unwrap();
    shop.save(10, "x", Which::Live, naming(&["a"]));
}

/// Keys in the index, of all shelves.
fn keys(shop: &Shop) -> usize {
    let mut shelves: Vec<_> = (0..records::SHELVES).map(|shelf| shop.at(0).shelf(shelf)).collect();
    shelves.sort_unstable();
    shelves.dedup();
    let read = |one: Partition| (one, Read::Size(records::index()));
    let sizes = block_on(shop.at(0).read_all(shelves.into_iter().map(read).collect())).unwrap();
    let size = |one: &domain::transaction::Answer| match one {
        domain::transaction::Answer::Size(size) => *size as usize,
        other => panic!("{other:?}"),
    };
    sizes.iter().map(size).sum()
}

#[test]
fn parts_of_a_list_go_some_at_a_time_until_none_is_left() {
    let shop = Shop::new(Memory::new());
    list_of(&shop, 19);
    assert_eq!(keys(&shop), 20);
    for left in [12, 4] {
        let swept = Swept { done: 1, has_more: true, ..Swept::default() };
        assert_eq!(shop.sweep_activities(10 + KEEP_MS), (swept, 1));
        assert_eq!(keys(&shop), left);
    }
    assert_eq!(shop.sweep_activities(10 + KEEP_MS), (done(1), 0));
    assert_eq!(keys(&shop), 1, "what is live stays");
}

#[test]
fn parts_that_are_gone_or_were_never_sent_are_passed_over() {
    let shop = Shop::new(Memory::new());
    list_of(&shop, 40);
    // What is gone by other hands, as of a draft that was never complete.
    let list = records::list("x", 1);
    let gone = (1..=40).filter(|part| part % 3 != 0);
    let gone = gone.map(|part| Write::Unset(list.clone(), records::number(part))).collect();
    shop.write(shop.at(0).shelf_of("x"), gone);
    let more = Swept { done: 1, has_more: true, ..Swept::default() };
    assert_eq!(shop.sweep_activities(10 + KEEP_MS), (more, 1));
    assert_eq!(shop.sweep_activities(10 + KEEP_MS), (done(1), 0));
    let size = (shop.at(0).shelf_of("x"), Read::Size(list));
    let answers = block_on(shop.at(0).read_all(vec![size])).unwrap();
    assert_eq!(answers, [domain::transaction::Answer::Size(0)]);
}

#[test]
fn an_activity_whose_records_are_at_fault_stops_only_itself() {
    let shop = Shop::new(Memory::new());
    for (ms, id) in [(1, "head"), (2, "definition"), (3, "missing"), (4, "whole")] {
        shop.save(0, id, Which::Live, naming(&["a"]));
        shop.save(ms, id, Which::Live, naming(&["b"]));
    }
    let garbage = || Value::Bytes(b"\xff".to_vec());
    let shelf = |id: &str| shop.at(0).shelf_of(id);
    shop.write(shelf("head"), vec![Write::Set(records::heads(), "head".into(), garbage())]);
    shop.write(shelf("definition"), vec![Write::Drop(records::definitions("definition"))]);
    shop.write(shelf("missing"), vec![Write::Unset(records::heads(), "missing".into())]);
    let (swept, left) = shop.sweep_activities(10 + KEEP_MS);
    let places: Vec<_> = swept.stuck.iter().map(|stuck| stuck.place.as_str()).collect();
    let named = |id: &str| format!("activities with old versions in {}: {id}", shelf(id));
    assert_eq!(places, ["head", "definition", "missing"].map(named));
    assert_eq!((swept.done, swept.has_more, left), (1, false, 1));
    assert_eq!(block_on(look(&shop.at(20), "whole", Which::Live)).unwrap().retiring, 0);
}

#[test]
fn a_mark_of_an_activity_that_is_stale_goes() {
    let shop = Shop::new(Memory::new());
    shop.save(0, "x", Which::Live, naming(&["a"]));
    shop.save(20, "x", Which::Live, naming(&["b"]));
    shop.write(shop.at(0).shelf_of("x"), vec![RETIRING.add(UnixMillis(START + 10), b"x")]);
    assert_eq!(shop.retiring("x"), [10, 20]);
    assert_eq!(shop.sweep_activities(10 + KEEP_MS), (done(0), 1));
    assert_eq!(shop.retiring("x"), [20]);
}

#[test]
fn an_order_that_cannot_be_read_is_set_aside_when_it_has_been_due_for_long() {
    let shop = Shop::new(Memory::new());
    shop.limited("all");
    for order in ["b", "n"] {
        shop.take(0, USER, order);
        shop.crash(USER, order, State::Taking, 0);
    }
    let home = shop.at(0).home(USER);
    shop.write(home, vec![garbage(USER, "b")]);
    let swept = shop.sweep_orders(PATIENCE_MS - 1);
    assert_eq!((swept.done, swept.stuck.len(), swept.set_aside.len()), (1, 1, 0), "{swept:?}");
    let swept = shop.sweep_orders(PATIENCE_MS);
    assert_eq!((swept.done, swept.stuck.len(), swept.set_aside.len()), (0, 0, 1), "{swept:?}");
    assert_eq!(swept.set_aside[0].place, format!("orders under way in {home}: b of user 7"));
    assert_eq!(shop.under_way(USER), [0; 0]);
    assert_eq!(shop.sweep_orders(PATIENCE_MS), done(0), "it costs nothing any more");
}

#[test]
fn an_order_of_a_newer_version_is_never_set_aside() {
    let shop = Shop::new(Memory::new());
    shop.limited("all");
    shop.take(0, USER, "n");
    shop.crash(USER, "n", State::Taking, 0);
    let newer = Value::Bytes(vec![<Purchase as store::Record>::VERSION + 1]);
    let record = taken::order(USER, &number("n"));
    shop.write(shop.at(0).home(USER), vec![Write::Set(record, "o".into(), newer)]);
    let swept = shop.sweep_orders(PATIENCE_MS);
    assert_eq!((swept.stuck.len(), swept.set_aside.len()), (1, 0), "{swept:?}");
    assert_eq!(shop.under_way(USER), [0]);
}

#[test]
fn an_activity_is_set_aside_for_its_own_head_and_not_for_a_key_that_others_share() {
    let shop = Shop::new(Memory::new());
    for id in ["head", "key"] {
        shop.save(0, id, Which::Live, naming(&[id]));
        shop.save(0, id, Which::Live, naming(&["b"]));
    }
    let garbage = || Value::Bytes(b"\xff".to_vec());
    let head = Write::Set(records::heads(), "head".into(), garbage());
    shop.write(shop.at(0).shelf_of("head"), vec![head]);
    let key = records::key(pricing::activity::KeyKind::Sku, "key");
    let of_key = shop.at(0).shelf(records::shelf_of(&key));
    shop.write(of_key, vec![Write::Set(records::index(), key.as_str().into(), garbage())]);
    assert_eq!(shop.retiring("key"), [0, 0], "both lie in one partition");
    let (swept, _) = shop.sweep_activities(PATIENCE_MS - 1);
    assert_eq!((swept.stuck.len(), swept.set_aside.len()), (2, 0), "{swept:?}");
    let (swept, left) = shop.sweep_activities(PATIENCE_MS);
    assert_eq!((swept.stuck.len(), swept.set_aside.len(), left), (1, 1, 1), "{swept:?}");
    assert!(swept.set_aside[0].place.ends_with(": head"), "{swept:?}");
    assert!(swept.stuck[0].place.ends_with(": key"), "{swept:?}");
    assert_eq!(shop.retiring("key"), [0], "the other one is gone from the index of both");
}
