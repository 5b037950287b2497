//! Orders, holds and the lists by which both are found, on a store in memory.

use binding::memory::Memory;
use domain::answers::{integers, page};
use domain::day_lists::{BUCKETS, DayLists, day};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Member, OrderedKey, Range, Read, Value};
use futures::executor::block_on;
use store::codec::{decode, encode, unreadable};
use store::life::Shape;
use store::{Context, Record, Seen};

use crate::holds::{hold, let_go};
use crate::order::{Order, Purchase, State, Used, change, find};
use crate::records::{self, HeldUses, Hold, PURCHASERS};

const START: i64 = 1_771_300_000_000;
const DAY_MS: i64 = 86_400_000;
const USER: UserId = UserId(7);

fn number(text: &str) -> OrderNumber {
    OrderNumber::parse(text, "order_number").unwrap()
}

fn at(store: &Memory, ms: i64) -> Context<'_, Memory> {
    Context {
        store,
        partitions: Partitions::new(2).unwrap(),
        now: UnixMillis(START + ms),
        timer: store::Timer::still(),
    }
}

/// Two uses of one unit and three of another one.
fn purchase(state: State, ms: i64) -> Purchase {
    let used = |unit: &str, uses| Used {
        activity: "all".into(),
        unit: unit.into(),
        uses,
        place: 0,
        of_user: Some(9),
        of_all: Some(9),
    };
    let uses = vec![used("a", 2), used("b", 3)];
    Purchase {
        digest: 1,
        attempt: 1,
        state,
        at: START + ms,
        begun: START + ms,
        ordered_at: None,
        uses,
        let_go: vec![],
    }
}

fn members(store: &Memory, list: &OrderedKey, is_of_activity: bool) -> Vec<Member> {
    let context = at(store, 0);
    let stock = records::stock_of(context.partitions, "all");
    let partition = if is_of_activity { stock } else { context.home(USER) };
    let read = Read::Page(list.clone(), Range::default(), 100);
    let answers = block_on(context.read(partition, vec![read])).unwrap();
    page(answers.first()).unwrap().members.clone()
}

/// The days on whose lists the user is, after the first one.
fn listed(store: &Memory) -> Vec<i64> {
    let first = day(UnixMillis(START));
    let is_on = |day: &i64| {
        (0..BUCKETS).any(|bucket| {
            let list = PURCHASERS.list(first + day, bucket);
            members(store, &list, false).contains(&DayLists::member(USER))
        })
    };
    (0..10).filter(is_on).collect()
}

fn put(store: &Memory, number: &OrderNumber, next: &Purchase, ms: i64) {
    let (context, order) = (at(store, ms), Order { user: USER, number });
    let found = block_on(find(&context, order)).unwrap();
    assert_eq!(block_on(change(&context, order, &found, next, vec![])), Ok(true));
}

#[test]
fn an_order_is_found_by_its_user_and_its_user_by_every_day_on_which_it_changed() {
    let (store, one) = (Memory::new(), number("7_a:b.c-d"));
    put(&store, &one, &purchase(State::Taking, 0), 0);
    put(&store, &one, &purchase(State::Taken, 0), 1);
    assert_eq!(listed(&store), [0]);
    let orders = members(&store, &records::orders(USER), false);
    assert_eq!(orders, [records::listed_order(UnixMillis(START), &one)]);
    assert_eq!(records::listed_order_of(&orders[0]), Ok((UnixMillis(START), one.clone())));
    // It gives back on another day, and a sweep ends that on a third one.
    put(&store, &one, &purchase(State::GivingBack, DAY_MS), DAY_MS);
    assert_eq!(listed(&store), [0, 1]);
    put(&store, &one, &purchase(State::GivenBack, DAY_MS), 2 * DAY_MS);
    assert_eq!(listed(&store), [0, 1, 2]);
    put(&store, &number("other"), &purchase(State::Taken, 3 * DAY_MS), 3 * DAY_MS);
    assert_eq!(listed(&store), [0, 1, 2, 3]);
    assert_eq!(members(&store, &records::orders(USER), false).len(), 2);
}

/// An order that is known to be on the list of a day is not put there again.
#[test]
fn a_step_of_the_same_day_writes_no_list() {
    let one = number("n");
    let order = Order { user: USER, number: &one };
    let taking = purchase(State::Taking, 0);
    let at = |ms| UnixMillis(START + ms);
    // The mark of what is under way, the user's orders, and two of the day.
    assert_eq!(order.marks(None, &taking, at(0)).len(), 4);
    assert_eq!(order.marks(Some(&taking), &purchase(State::Taken, 0), at(1)).len(), 1);
    assert_eq!(order.marks(Some(&taking), &purchase(State::Taken, 0), at(DAY_MS)).len(), 3);
}

fn stock(store: &Memory) -> [i64; 2] {
    let context = at(store, 0);
    let read = Read::Fields(records::stock("all"), ["a", "b"].map(records::unit).to_vec());
    let partition = records::stock_of(context.partitions, "all");
    let answers = block_on(context.read(partition, vec![read])).unwrap();
    integers(answers.first()).unwrap()
}

#[test]
fn a_hold_is_listed_as_long_as_it_holds_and_its_activity_for_good() {
    let (store, one) = (Memory::new(), number("n:1"));
    let (context, order) = (at(&store, 0), Order { user: USER, number: &one });
    let purchase = purchase(State::Taking, 0);
    let held = || members(&store, &records::held("all"), true);
    for _ in 0..2 {
        assert_eq!(block_on(hold(&context, order, &purchase)), Ok(None));
        assert_eq!((stock(&store), held().len()), ([2, 3], 1));
    }
    assert_eq!(records::hold_of(&held()[0].0), Ok((USER, one.clone(), 1)));
    for _ in 0..2 {
        block_on(let_go(&context, order, &purchase)).unwrap();
        assert_eq!((stock(&store), held().len()), ([0, 0], 0));
    }
    assert_eq!(members(&store, &records::activities(), true), ["all".into()]);
    assert_eq!(members(&store, &records::units("all"), true), ["a".into(), "b".into()]);
    // It cannot come any more.
    assert_eq!(block_on(hold(&context, order, &purchase)), Ok(Some(crate::order::NOBODY)));
    assert_eq!((stock(&store), held().len()), ([0, 0], 0));
}

#[test]
fn what_a_hold_has_goes_back_whatever_its_order_says() {
    let (store, one) = (Memory::new(), number("n"));
    let (context, order) = (at(&store, 0), Order { user: USER, number: &one });
    let mut purchase = purchase(State::Taking, 0);
    block_on(hold(&context, order, &purchase)).unwrap();
    purchase.uses[0].uses = 1;
    block_on(let_go(&context, order, &purchase)).unwrap();
    assert_eq!(stock(&store), [0, 0]);
}

#[test]
fn what_is_encoded_is_decoded_and_what_is_not_is_named() {
    let held = Hold::Held(vec![HeldUses { unit: "a".into(), uses: 2 }]);
    for hold in [Hold::LetGo, held] {
        assert_eq!(decode::<Hold>(&encode(&hold)), Ok(hold));
    }
    let taken = purchase(State::Taken, 0);
    assert_eq!(Seen::of(Some(encode(&taken))).unwrap().record, Some(taken));
    for value in [Value::Bytes(b"garbage".to_vec()), Value::Integer(1)] {
        assert_eq!(decode::<Hold>(&value), Err(unreadable(Hold::NAME)));
        assert_eq!(decode::<Purchase>(&value), Err(unreadable(Purchase::NAME)));
    }
    let newer = Value::Bytes(vec![Hold::VERSION + 1]);
    assert!(matches!(decode::<Hold>(&newer), Err(CommitError::Newer(_))));
    assert!(matches!(decode::<Purchase>(&newer), Err(CommitError::Newer(_))));
    for name in ["", "7", "7:n", "x:n:1", "7:n:x", "7:n :1"] {
        assert!(records::hold_of(name.as_bytes()).is_err(), "{name}");
    }
}

/// The lives of the records of a name.
fn lives(name: &str, shape: Shape) -> usize {
    records::LIVES.iter().filter(|life| life.shape == shape && life.matches(name)).count()
}

#[test]
fn every_record_has_one_life() {
    let one = number("7_a:b.c-d");
    for map in [
        records::stock("all"),
        records::holds("all"),
        records::user(USER),
        records::gone(USER),
        records::order(USER, &one),
    ] {
        assert_eq!(lives(&map.0, Shape::Map), 1, "{map:?}");
    }
    for list in [
        records::held("all"),
        records::units("all"),
        records::activities(),
        records::orders(USER),
        records::gone_units(USER),
        records::UNDER_WAY.key(),
        PURCHASERS.list(20_000, 63),
        PURCHASERS.0.into(),
    ] {
        assert_eq!(lives(&list.0, Shape::Ordered), 1, "{list:?}");
    }
}

#[test]
fn what_is_gone_is_named_as_what_it_is_a_part_of() {
    assert_eq!(records::unit_of_gone(&records::gone_unit("red")), Some(records::unit("red")));
    assert_eq!(records::unit_of_gone(&records::unit("green")), None);
    let unit = records::unit_of("all", "a/b");
    assert_eq!(records::activity_of(&unit.0), Ok("all"));
    assert!(records::activity_of(b"all").is_err());
    assert!(records::listed_order_of(&"short".into()).is_err());
}
