//! What must hold of orders, counts and holds at any moment.

use std::collections::{BTreeMap, BTreeSet};

use domain::due;
use domain::transaction::{Member, Value};
use promotion::records::{Head, OVER, RETIRING, SEALED, retiring_of};
use purchases::order::{Purchase, State};
use purchases::records::{Hold, UNDER_WAY, listed_order_of, under_way_of};
use store::codec::decode;

use super::orders::{Known, Name, Orders, Use};
use super::{Activity, Limits};
use crate::books::Books;
use crate::world::{Kept, NUMBERS_DAYS, World};

/// Counts by the id of their record and their field.
pub type Counts = BTreeMap<(String, String), i64>;

/// What the store says, at one moment.
#[derive(Debug, Default)]
struct Store {
    /// `an`: of users, by activity and unit.
    of_users: Counts,
    /// `ag`: what is gone of that.
    gone_of_users: Counts,
    /// `as`: of activities, by unit.
    of_all: Counts,
    /// `as`: what is gone of that.
    gone_of_all: Counts,
    /// `ax`: holds, by activity, order and attempt; whether they hold.
    holds: BTreeMap<(String, Name, u32), bool>,
    /// `ao`: orders.
    orders: BTreeMap<Name, Purchase>,
    /// `ay`, ordered sets: holds that hold something, by activity.
    held: BTreeSet<(String, String)>,
    /// `aq`, ordered sets: orders by their users.
    listed: BTreeSet<Name>,
    /// `at`, an ordered set: orders under way, and since when.
    under_way: BTreeMap<Name, i64>,
    /// `ar`, `au`, `aw`, ordered sets: activities with old versions, or that are over, or sealed, and since when; by the
    /// name of the index and by shelf.
    entries: BTreeSet<(&'static str, String, String, i64)>,
    /// `ah`: the same, as heads say it.
    of_heads: BTreeSet<(&'static str, String, String, i64)>,
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("names are text")
}

fn count(value: &Value) -> i64 {
    let Value::Integer(count) = value else { panic!("{value:?} is no count") };
    *count
}

/// The user and the rest of a name.
fn name(text: &str) -> Name {
    let (user, number) = text.split_once(':').expect("a user, and more");
    (user.parse().expect("a user"), number.to_owned())
}

impl Store {
    fn read(books: &Books) -> Self {
        let mut store = Self::default();
        for partition in books.partitions().all().map(|one| one.to_string()) {
            for member in books.entries(&partition, UNDER_WAY) {
                let of = due::due(&member).and_then(under_way_of);
                let (since, user, number) = of.expect("an order that is under way");
                assert_eq!(partition, books.home(user.0), "{number} is not where its user is");
                let name = (user.0, number.as_str().to_owned());
                let other = store.under_way.insert(name, since.0);
                assert_eq!(other, None, "{user} {number} is under way twice");
            }
        }
        for partition in books.partitions().of_configurations().map(|one| one.to_string()) {
            for index in [RETIRING, OVER, SEALED] {
                for member in books.entries(&partition, index) {
                    let of = due::due(&member).and_then(retiring_of);
                    let (since, id) = of.expect("an activity of an index");
                    store.entries.insert((index.0, partition.clone(), id.to_owned(), since.0));
                }
            }
        }
        for ((partition, record), fields) in books.records() {
            let is_home = |user: u64| {
                assert_eq!(*partition, books.home(user), "{record} is not where its user is");
            };
            if record == "ah" {
                for (id, head) in fields {
                    let head = decode::<Head>(head).expect("a head");
                    for (index, at) in [
                        (RETIRING, head.retires_since()),
                        (OVER, head.over_since()),
                        (SEALED, head.sealing_at()),
                    ] {
                        let one = at.map(|at| (index.0, partition.clone(), utf8(id), at.0));
                        store.of_heads.extend(one);
                    }
                }
            } else if let Some(user) = record.strip_prefix("an") {
                is_home(user.parse().expect("a user"));
                let counts = fields.iter().map(|(field, value)| (utf8(field), count(value)));
                let counts = counts.map(|(field, count)| ((user.to_owned(), field), count));
                store.of_users.extend(counts);
            } else if let Some(user) = record.strip_prefix("ag") {
                is_home(user.parse().expect("a user"));
                let counts = fields.iter().map(|(field, value)| (utf8(field), count(value)));
                let counts = counts.map(|(field, count)| ((user.to_owned(), field), count));
                store.gone_of_users.extend(counts);
            } else if let Some(id) = record.strip_prefix("as") {
                for (field, value) in fields {
                    let (field, count) = (utf8(field), count(value));
                    // Under the name of the count that it is a part of.
                    match field.strip_prefix('g') {
                        Some(unit) => {
                            store.gone_of_all.insert((id.to_owned(), format!("n{unit}")), count)
                        }
                        None => store.of_all.insert((id.to_owned(), field), count),
                    };
                }
            } else if let Some(id) = record.strip_prefix("ax") {
                for (field, held) in fields {
                    let field = utf8(field);
                    let (order, attempt) = field.rsplit_once(':').expect("an attempt");
                    let held = matches!(decode::<Hold>(held).expect("a hold"), Hold::Held(_));
                    let attempt = attempt.parse().expect("a number");
                    store.holds.insert((id.to_owned(), name(order), attempt), held);
                }
            } else if let Some(id) = record.strip_prefix("ay").filter(|id| !id.is_empty()) {
                store.held.extend(fields.keys().map(|hold| (id.to_owned(), utf8(hold))));
            } else if let Some(user) = record.strip_prefix("aq") {
                let user = user.parse().expect("a user");
                is_home(user);
                let listed = fields.keys().map(|name| {
                    let (_, number) = listed_order_of(&Member(name.clone())).expect("an order");
                    (user, number.as_str().to_owned())
                });
                store.listed.extend(listed);
            } else if let Some(order) = record.strip_prefix("ao") {
                let name = name(order);
                is_home(name.0);
                // The one field; none where it was made unreadable and is shown as it is.
                for value in fields.values() {
                    let purchase = decode(value).expect("an order");
                    store.orders.insert(name.clone(), purchase);
                }
            }
        }
        store
    }
}

fn without_zeros(counts: &Counts) -> Counts {
    counts
        .iter()
        .filter(|(_, count)| **count != 0)
        .map(|(field, count)| (field.clone(), *count))
        .collect()
}

/// Whether an order has what it asks for, or may have, so that it counts for its user.
fn counts(state: State) -> bool {
    match state {
        State::Taking | State::Taken | State::Kept(_) | State::Undoing(_) | State::GivingBack => {
            true
        }
        State::Refused | State::GivenBack => false,
    }
}

fn is_under_way(state: State) -> bool {
    matches!(state, State::Taking | State::Undoing(_) | State::GivingBack)
}

/// Orders that are under way.
pub fn under_way(books: &Books) -> Vec<String> {
    let under_way = Store::read(books).under_way;
    under_way
        .into_iter()
        .map(|((user, number), at)| format!("order {number} of {user}, since {at}"))
        .collect()
}

/// What is kept of orders where all of them are over.
pub fn left(books: &Books) -> Vec<String> {
    let Store { orders, holds, held, .. } = Store::read(books);
    let orders = orders.into_iter().map(|order| format!("{order:?}"));
    let holds = holds.into_iter().map(|hold| format!("{hold:?}"));
    orders.chain(holds).chain(held.into_iter().map(|hold| format!("{hold:?}"))).collect()
}

/// What users and activities have counted, without zeros.
pub fn counted(books: &Books) -> (Counts, Counts) {
    let store = Store::read(books);
    (without_zeros(&store.of_users), without_zeros(&store.of_all))
}

/// How often a unit of an activity was used in all.
pub fn used_in_all(books: &Books, id: &str, unit: &str) -> i64 {
    let name = (id.to_owned(), format!("n{unit}"));
    Store::read(books).of_all.get(&name).copied().unwrap_or(0)
}

/// Checks everything.
///
/// # Panics
/// It does not hold.
pub fn check(world: &World, books: &Books, activities: &[Activity], known: &mut Orders) {
    let (store, kept) = (Store::read(books), world.kept());
    tell(world, &store);
    known.look(&store.orders, kept);
    world.saw_times("promotion: order forgotten", known.gone_count());
    let known = &*known;
    assert_eq!(store.entries, store.of_heads, "what is marked as old or over is");
    check_limits(&store, activities);
    check_lists(&store);
    check_orders(&store, activities, known);
    check_holds(&store, activities, known, kept);
    check_counts(&store, activities, known);
    check_known(&store, activities, known);
}

fn tell(world: &World, store: &Store) {
    for purchase in store.orders.values() {
        let state = match purchase.state {
            State::Taking => "taking",
            State::Undoing(_) => "undoing",
            State::Refused => "refused",
            State::GivingBack => "giving back",
            State::Kept(_) => "kept",
            State::Taken | State::GivenBack => continue,
        };
        world.saw(format!("promotion: order {state}"));
    }
    let let_go = store.holds.values().filter(|held| !**held).count();
    world.saw_times("promotion: hold let go", let_go as u64);
}

/// Whoever checks the books finds every order, and every hold that holds something.
fn check_lists(store: &Store) {
    let orders: BTreeSet<_> = store.orders.keys().cloned().collect();
    assert_eq!(store.listed, orders, "users' orders are listed");
    let held = store.holds.iter().filter(|(_, held)| **held).map(|((id, name, attempt), _)| {
        let (user, number) = name;
        (id.clone(), format!("{user}:{number}:{attempt}"))
    });
    assert_eq!(store.held, held.collect(), "holds that hold something are listed");
}

/// Limits of an activity and of one of its units.
fn limits(activities: &[Activity], id: &str, unit: &str) -> Limits {
    let activity = activities.iter().find(|one| one.id == id && one.units.contains(&unit));
    activity.unwrap_or_else(|| panic!("nobody ever asked for {id} {unit}")).highest
}

/// No limit is passed, and nothing is below zero.
fn check_limits(store: &Store, activities: &[Activity]) {
    for ((user, field), count) in &store.of_users {
        let (id, unit) = field.split_once('/').expect("an activity and a unit");
        let most = limits(activities, id, unit).per_user.map_or(0, i64::from);
        assert!((0..=most).contains(count), "{user} used {field} {count} times of {most}");
    }
    for ((id, field), count) in &store.of_all {
        let unit = field.strip_prefix('n').expect("a unit");
        let most = limits(activities, id, unit).total.map_or(0, i64::from);
        assert!((0..=most).contains(count), "{id} {unit} was used {count} times of {most}");
    }
}

/// Activities of these uses that count for all users.
fn held_activities<'a>(
    activities: &[Activity],
    uses: &[(&'a str, &str, u32)],
) -> BTreeSet<&'a str> {
    let limited = uses.iter().filter(|(id, unit, _)| limits(activities, id, unit).total.is_some());
    limited.map(|(id, _, _)| *id).collect()
}

/// Orders are of somebody who asked for them and for what they use, and exactly those that are under way are
/// marked so.
fn check_orders(store: &Store, activities: &[Activity], known: &Orders) {
    let mut under_way = BTreeMap::new();
    for (name, purchase) in &store.orders {
        let asked = known.uses(name).unwrap_or_else(|| panic!("nobody asked for {name:?}"));
        let uses = purchase.uses.iter().map(|used| (&*used.activity, &*used.unit, used.uses));
        let uses: Vec<_> = uses.collect();
        let is_empty = purchase.state == State::GivenBack && uses.is_empty();
        assert!(is_empty || uses == asked, "{name:?} asked for {asked:?}: {purchase:?}");
        for used in &purchase.uses {
            let Limits { per_user, total } = limits(activities, &used.activity, &used.unit);
            let within = |limit: Option<i64>, most: Option<u32>| match (limit, most) {
                (None, None) => true,
                (Some(limit), Some(most)) => (1..=i64::from(most)).contains(&limit),
                _ => false,
            };
            assert!(within(used.of_user.map(i64::from), per_user), "{name:?}: {used:?}");
            assert!(within(used.of_all, total), "{name:?}: {used:?}");
        }
        if is_under_way(purchase.state) {
            under_way.insert(name.clone(), purchase.at);
        }
    }
    assert_eq!(store.under_way, under_way, "what is marked as under way is under way");
}

/// What is held belongs to an order that may have it, by its last attempt; an order that has taken holds
/// everything, and one that has nothing holds nothing: of an attempt that is over nothing comes any more.
///
/// What an order let go of is collected with the order, once that is over for long enough.
fn check_holds(store: &Store, activities: &[Activity], known: &Orders, kept: Kept) {
    for ((id, name, attempt), held) in &store.holds {
        let asked = known.uses(name).unwrap_or_else(|| panic!("nobody asked for {name:?}"));
        let holds = held_activities(activities, asked);
        assert!(holds.contains(id.as_str()), "{name:?} does not ask for {id}");
        let order = store.orders.get(name);
        let order = order.unwrap_or_else(|| panic!("a hold without an order: {id} {name:?}"));
        assert!(*attempt <= order.attempt, "{id} {attempt}: {name:?} is {order:?}");
        if *held {
            let may = *attempt == order.attempt && counts(order.state);
            assert!(may, "{id} {attempt} is held: {name:?} is {order:?}");
        }
    }
    for (name, order) in &store.orders {
        let uses = order.uses.iter().map(|used| (&*used.activity, &*used.unit, used.uses));
        let uses: Vec<_> = uses.collect();
        let began_ms = u64::try_from(order.at).expect("a time");
        let may_go = !is_under_way(order.state) && kept.may_be_gone(began_ms, NUMBERS_DAYS);
        for id in held_activities(activities, &uses) {
            let hold = |attempt| store.holds.get(&(id.to_owned(), name.clone(), attempt));
            let expected = match order.state {
                State::Taken => Some(&true),
                State::Refused | State::GivenBack if !may_go => Some(&false),
                State::Refused | State::GivenBack => hold(order.attempt).filter(|held| !**held),
                _ => hold(order.attempt),
            };
            assert_eq!(hold(order.attempt), expected, "{id} of {name:?}: {order:?}");
            for attempt in 1..order.attempt {
                let is_let_go =
                    hold(attempt) == Some(&false) || (may_go && hold(attempt).is_none());
                assert!(is_let_go, "{id} {attempt} of {name:?}: {order:?}");
            }
        }
    }
}

/// What users have counted is what their orders have or may have, and what activities have counted is what is
/// held.
fn check_counts(store: &Store, activities: &[Activity], known: &Orders) {
    let mut of_users = without_zeros(&store.gone_of_users);
    for ((user, _), order) in store.orders.iter().filter(|(_, order)| counts(order.state)) {
        for used in order.uses.iter().filter(|used| used.of_user.is_some()) {
            let field = format!("{}/{}", used.activity, used.unit);
            *of_users.entry((user.to_string(), field)).or_default() += i64::from(used.uses);
        }
    }
    assert_eq!(without_zeros(&store.of_users), of_users, "what users count is what orders have");
    let mut held = without_zeros(&store.gone_of_all);
    for ((id, name, _), _) in store.holds.iter().filter(|(_, held)| **held) {
        let asked: &[Use] = known.uses(name).expect("somebody asked for it");
        for (_, unit, uses) in asked.iter().filter(|(activity, _, _)| activity == id) {
            assert!(limits(activities, id, unit).total.is_some(), "{id} counts users only");
            *held.entry((id.clone(), format!("n{unit}"))).or_default() += i64::from(*uses);
        }
    }
    assert_eq!(without_zeros(&store.of_all), held, "what activities count is what is held");
}

/// What was acknowledged holds.
fn check_known(store: &Store, activities: &[Activity], known: &Orders) {
    let orders = known;
    for (name, uses, known) in orders.all() {
        if let Some(was) = orders.gone(&name) {
            let fits = match known {
                Known::Taken => matches!(was.state, State::Taken | State::Kept(_)),
                Known::GivenBack => was.state == State::GivenBack,
                Known::Nothing => was.state != State::GivenBack,
                Known::GivingBack => true,
            };
            assert!(fits, "{name:?} was {known:?}: {was:?}");
            continue;
        }
        let held = store.holds.iter().filter(|((_, of, _), held)| **held && *of == name);
        let held: Vec<_> = held.map(|((id, _, _), _)| id.as_str()).collect();
        let state = store.orders.get(&name).map(|order| order.state);
        match known {
            Known::Taken => {
                if matches!(state, Some(State::Kept(_))) {
                    // Its holds go one by one.
                    continue;
                }
                let all: Vec<_> = held_activities(activities, &uses).into_iter().collect();
                assert_eq!(held, all, "{name:?} has taken");
                assert_eq!(state, Some(State::Taken), "{name:?} has taken");
            }
            Known::GivenBack => {
                assert_eq!(held, Vec::<&str>::new(), "{name:?} still holds");
                assert_eq!(state, Some(State::GivenBack), "{name:?} was given back");
            }
            Known::Nothing => {
                let gives_back = matches!(state, Some(State::GivingBack | State::GivenBack));
                assert!(!gives_back, "nobody gave {name:?} back: {state:?}");
            }
            Known::GivingBack => {}
        }
    }
}
