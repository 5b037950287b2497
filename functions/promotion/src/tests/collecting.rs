//! A purchase asked again, and given back, before, at and after its collection, whatever clocks say, whoever comes in
//! between, and wherever it crashes: what was recorded, or `too_old`, and never a second effect.

use std::collections::BTreeSet;

use domain::answers::{fields, integer, integers, page};
use domain::transaction::{Answer, Field, Range};
use purchases::activities::live_activities;
use purchases::collect;
use store::retention::{Collected, Retention, Terms};

use super::*;
use crate::refusal::Refusal;

const DAY_MS: i64 = 86_400_000;
const SKEWS: [i64; 3] = [-10 * 60_000, 0, 10 * 60_000];
/// So old is what is collected.
const KEPT_DAYS: u32 = 90;
/// Days after the start at which an order of the start is over.
const OVER: i64 = KEPT_DAYS as i64 + 1;
/// Store calls of one operation, at most.
const CALLS_MAX: u32 = 40;

fn partitions() -> Partitions {
    Partitions::new(2).unwrap()
}

fn world<B: Binding>(store: &B, ms: i64) -> store::Context<'_, B> {
    store::Context {
        store,
        partitions: partitions(),
        now: UnixMillis(START + ms),
        timer: store::Timer::still(),
    }
}

/// All of it in one poll, because it may be asked for inside of another executor.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the memory answers at once")
}

fn terms(ms: i64, dry_run: bool) -> Terms {
    let retention = Retention { numbers_days: KEPT_DAYS, ..Retention::default() };
    Terms { retention, now: UnixMillis(START + ms), dry_run }
}

fn live(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const LIVE: &[&str] = &["all", "both", "mine"];

fn collect_with<B: Binding>(store: &B, ms: i64, names: &[&str]) -> Result<Collected, CommitError> {
    now(collect::user(&world(store, ms), USER, &terms(ms, false), &live(names)))
}

/// Collects day after day, until there is nothing more to do.
fn collect_all(store: &Memory, day: i64, names: &[&str]) -> Collected {
    let mut last = Collected::default();
    for day in day..day + 6 {
        for _ in 0..8 {
            last = collect_with(store, day * DAY_MS, names).unwrap();
            if !last.has_more {
                break;
            }
        }
        assert!(!last.has_more);
    }
    last
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Take,
    GiveBack,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Taken,
    GivenBack,
    Refused(&'static str),
}

fn uses_of(activities: &[&str]) -> Vec<Use> {
    let one = |id: &&str| Use { activity: (*id).to_owned(), key: None, uses: 2 };
    activities.iter().map(one).collect()
}

fn ask<B: Binding>(
    store: &B,
    ms: i64,
    asked: Ask,
    order: &str,
    activities: &[&str],
    ordered_at: Option<i64>,
) -> Told {
    let catalogue = Catalogue::new(1);
    let context = Context { world: world(store, ms), catalogue: &catalogue };
    let number = number(order);
    let order = Order { user: USER, number: &number };
    let ordered_at = ordered_at.map(|ms| UnixMillis(START + ms));
    let purchase = match asked {
        Ask::Take => now(take(&context, order, &uses_of(activities), ordered_at)).map(|one| one.0),
        Ask::GiveBack => now(give_back(&context, order, ordered_at)),
    };
    match purchase.map(|purchase| purchase.state) {
        Ok(State::Taken | State::Kept(_)) => Told::Taken,
        Ok(State::GivenBack) => Told::GivenBack,
        Err(Failure::Refused(refusal)) => Told::Refused(refusal.code()),
        other => panic!("{other:?}"),
    }
}

/// Activities that last for years: one that counts for all, one for each user, one for both.
fn open<B: Binding>(shop: &Shop<B>) {
    for (id, limits) in [
        ("all", json!({"total": "1000"})),
        ("mine", json!({"per_user": 50})),
        ("both", json!({"total": "1000", "per_user": 50})),
    ] {
        let until = "2036-03-01T00:00:00Z";
        shop.save(0, id, Which::Live, json!({"limits": limits, "until": until}));
    }
}

fn read(store: &Memory, partition: Partition, reads: Vec<Read>) -> Vec<Answer> {
    now(world(store, 0).read(partition, reads)).unwrap()
}

fn home() -> Partition {
    partitions().locate(USER).partition
}

/// What an activity counts of all, and what of that is gone; and the user's, likewise.
fn counts(store: &Memory, activity: &str) -> ([i64; 2], [i64; 2]) {
    let (stock, unit) = (taken::stock_of(partitions(), activity), taken::unit_of(activity, ""));
    let of_all = Read::Fields(taken::stock(activity), vec![taken::unit(""), taken::gone_unit("")]);
    let of_all = integers(read(store, stock, vec![of_all]).first()).unwrap();
    let user = [taken::user(USER), taken::gone(USER)];
    let user = user.map(|map| Read::Fields(map, vec![unit.clone()])).to_vec();
    let user = read(store, home(), user);
    let one = |answer| integer(fields(answer).unwrap()[0].as_ref()).unwrap();
    (of_all, [one(user.first()), one(user.get(1))])
}

fn purchase_of(store: &Memory, order: &str) -> Option<Purchase> {
    let number = number(order);
    now(find(&world(store, 0), Order { user: USER, number: &number })).unwrap().record
}

fn held(store: &Memory, activity: &str) -> usize {
    let stock = taken::stock_of(partitions(), activity);
    let reads = vec![Read::Page(taken::held(activity), Range::default(), 100)];
    page(read(store, stock, reads).first()).unwrap().members.len()
}

fn size(store: &Memory, partition: Partition, read_size: Read) -> u64 {
    match read(store, partition, vec![read_size]).first() {
        Some(Answer::Size(size)) => *size,
        other => panic!("{other:?}"),
    }
}

/// Fields of an activity's holds, tombstones among them.
fn holds(store: &Memory, activity: &str) -> u64 {
    size(store, taken::stock_of(partitions(), activity), Read::Size(taken::holds(activity)))
}

fn orders(store: &Memory) -> u64 {
    size(store, home(), Read::Count(taken::orders(USER), Range::default()))
}

/// Sums agree with what is left of their records; this order of the user is the only one, and uses 2 of each activity.
#[track_caller]
fn check_sums(store: &Memory, order: &str, activities: &[&str], told: &str) {
    let purchase = purchase_of(store, order);
    let counts_for_user = purchase.as_ref().is_some_and(Purchase::counts);
    for activity in activities {
        let ([of_all, gone_of_all], [of_user, gone_of_user]) = counts(store, activity);
        let (has_total, has_user) = (*activity != "mine", *activity != "all");
        let held = 2 * held(store, activity) as i64;
        assert_eq!(of_all, held + gone_of_all, "{activity}: {told}");
        let counted = if counts_for_user && has_user { 2 } else { 0 };
        assert_eq!(of_user, counted + gone_of_user, "{activity}: {told}");
        // Never twice.
        assert!((0..=2).contains(&of_all) && (has_total || of_all == 0), "{activity}: {told}");
        assert!((0..=2).contains(&of_user), "{activity}: {told}");
    }
}

#[test]
fn an_order_that_is_over_goes_step_by_step_and_its_uses_stay_counted() {
    let shop = Shop::new(Memory::new());
    open(&shop);
    let all = ["all", "both", "mine"];
    let (store, over) = (&shop.store, OVER * DAY_MS);
    assert_eq!(ask(store, 0, Ask::Take, "n", &all, None), Told::Taken);
    // Nothing goes before its time, and it is said when.
    let early = collect_with(store, 80 * DAY_MS, LIVE).unwrap();
    assert_eq!((early.gone.len(), early.has_more), (0, false));
    assert_eq!(early.next, Some(UnixMillis(START + i64::from(KEPT_DAYS) * DAY_MS)));
    let dry = now(collect::user(&world(store, over), USER, &terms(over, true), &live(LIVE)));
    assert_eq!(dry.unwrap().gone, [("purchases", 1)].into());
    assert_eq!(purchase_of(store, "n").unwrap().state, State::Taken);
    // It is kept; an hour later its holds go; an hour later it does.
    assert_eq!(collect_with(store, over, LIVE).unwrap().gone.len(), 0);
    assert_eq!(purchase_of(store, "n").unwrap().state, State::Kept(START + over));
    assert_eq!((held(store, "all"), held(store, "both")), (1, 1));
    let hour = 3_600_000;
    collect_with(store, over + hour - 1, LIVE).unwrap();
    assert_eq!(held(store, "all"), 1);
    collect_with(store, over + hour, LIVE).unwrap();
    assert_eq!((holds(store, "all"), holds(store, "both"), orders(store)), (0, 0, 1));
    assert_eq!(counts(store, "all"), ([2, 2], [0, 0]));
    assert_eq!(counts(store, "both"), ([2, 2], [2, 0]));
    assert_eq!(collect_with(store, over + 2 * hour - 1, LIVE).unwrap().gone.len(), 0);
    let last = collect_with(store, over + 2 * hour, LIVE).unwrap();
    assert_eq!(last.gone, [("purchases", 1)].into());
    assert_eq!((purchase_of(store, "n"), orders(store)), (None, 0));
    assert_eq!(counts(store, "both"), ([2, 2], [2, 2]));
    assert_eq!(counts(store, "mine"), ([0, 0], [2, 2]));
    // Its counts are looked at from time to time, and limit the user.
    assert_eq!(last.next, Some(UnixMillis(START + over + 2 * hour + 30 * DAY_MS)));
    let many = [Use { activity: "mine".into(), key: None, uses: 49 }];
    let (catalogue, other) = (Catalogue::new(1), number("m"));
    let context = Context { world: world(store, over), catalogue: &catalogue };
    let refused = now(take(&context, Order { user: USER, number: &other }, &many, None));
    assert_eq!(refused, Err(Refusal::LimitUsedUp("uses[0]".into()).into()));
    // Of activities that are sealed nothing is left.
    let gone = collect_with(store, over + 2 * hour, &[]).unwrap();
    assert_eq!((gone.gone, gone.next), ([("purchase_counts", 2)].into(), None));
    assert_eq!(counts(store, "both"), ([2, 2], [0, 0]));
    let left = [taken::user(USER), taken::gone(USER)].map(Read::Size);
    assert_eq!(read(store, home(), left.to_vec()), [Answer::Size(0), Answer::Size(0)]);
}

#[test]
fn whatever_became_of_an_order_it_goes_and_so_does_what_attempts_let_go() {
    let shop = Shop::new(Memory::new());
    open(&shop);
    let store = &shop.store;
    shop.save(0, "few", Which::Live, json!({"limits": {"total": "1"}}));
    // Refused by one of two activities, with a tombstone in the other one; given back then.
    for order in ["refused", "cleared"] {
        let told = ask(store, 0, Ask::Take, order, &["all", "few"], None);
        assert_eq!(told, Told::Refused("limit_used_up"));
    }
    assert_eq!(ask(store, 1, Ask::GiveBack, "cleared", &[], None), Told::GivenBack);
    // Refused, and taken when the activity has no limit for all any more.
    assert_eq!(ask(store, 0, Ask::Take, "again", &["few"], None), Told::Refused("limit_used_up"));
    shop.save(2, "few", Which::Live, json!({"limits": {"per_user": 9}}));
    assert_eq!(ask(store, 3, Ask::Take, "again", &["few"], None), Told::Taken);
    // Taken and given back; given back before it came.
    assert_eq!(ask(store, 0, Ask::Take, "back", &["all", "both"], None), Told::Taken);
    assert_eq!(ask(store, 1, Ask::GiveBack, "back", &[], None), Told::GivenBack);
    assert_eq!(ask(store, 1, Ask::GiveBack, "never", &[], None), Told::GivenBack);
    assert_eq!((holds(store, "all"), holds(store, "both"), holds(store, "few")), (3, 1, 3));
    assert_eq!(orders(store), 5);
    collect_all(store, OVER, LIVE);
    assert_eq!((holds(store, "all"), holds(store, "both"), holds(store, "few")), (0, 0, 0));
    assert_eq!(orders(store), 0);
    assert_eq!(counts(store, "both"), ([0, 0], [0, 0]));
    assert_eq!(counts(store, "few"), ([0, 0], [0, 0]), "it is not live");
    for order in ["refused", "cleared", "again", "back", "never"] {
        for asked in [Ask::Take, Ask::GiveBack] {
            let told = ask(store, OVER * DAY_MS, asked, order, &["all"], None);
            assert_eq!(told, Told::Refused("too_old"), "{order} {asked:?}");
        }
    }
}

#[test]
fn an_order_that_is_under_way_is_never_over() {
    let shop = Shop::new(Memory::new());
    open(&shop);
    for state in [State::Taking, State::Undoing(0), State::GivingBack] {
        let order = format!("{state:?}").to_lowercase().replace(['(', ')'], "-");
        assert_eq!(ask(&shop.store, 0, Ask::Take, &order, &["both"], None), Told::Taken);
        shop.crash(USER, &order, state, 0);
    }
    let collected = collect_all(&shop.store, OVER, LIVE);
    assert_eq!((collected.gone.len(), orders(&shop.store)), (0, 3));
    assert_eq!(held(&shop.store, "both"), 3);
    assert!(collected.next.is_some());
}

#[test]
fn a_number_with_a_time_is_forgotten_by_its_time() {
    let shop = Shop::new(Memory::new());
    open(&shop);
    let store = &shop.store;
    let ask = |ms, asked, order, at| ask(store, ms, asked, order, &["both"], at);
    assert_eq!(ask(0, Ask::Take, "n", Some(-DAY_MS)), Told::Taken);
    let reused = Told::Refused("order_number_reused");
    for at in [None, Some(-DAY_MS + 1)] {
        assert_eq!(ask(1, Ask::Take, "n", at), reused, "{at:?}");
        assert_eq!(ask(1, Ask::GiveBack, "n", at), reused, "{at:?}");
    }
    assert_eq!(ask(2 * DAY_MS, Ask::Take, "later", Some(DAY_MS)), Told::Taken);
    collect_all(store, OVER, LIVE);
    let later = OVER * DAY_MS;
    // Whatever is older than what was forgotten is, too; whatever is not acts.
    for (order, at) in [("n", -DAY_MS), ("other", -DAY_MS), ("other", -2 * DAY_MS)] {
        assert_eq!(ask(later, Ask::Take, order, Some(at)), Told::Refused("too_old"), "{order}");
        assert_eq!(ask(later, Ask::GiveBack, order, Some(at)), Told::Refused("too_old"), "{order}");
    }
    assert_eq!(ask(later, Ask::Take, "third", Some(2 * DAY_MS)), Told::Taken);
    // What was taken later goes with its own time.
    assert_eq!(ask(later, Ask::Take, "later", Some(DAY_MS)), Told::Refused("too_old"));
    let mark = Read::Contains(store::numbers::forgotten(), 0);
    assert_eq!(read(store, home(), vec![mark]), [Answer::Contains(false)]);
    let (catalogue, number) = (Catalogue::new(1), number("future"));
    let context = Context { world: world(store, 0), catalogue: &catalogue };
    let order = Order { user: USER, number: &number };
    let at = Some(UnixMillis(START + 5 * 60_000 + 1));
    for result in [
        now(take(&context, order, &uses_of(&["all"]), at)).map(drop),
        now(give_back(&context, order, at)).map(drop),
    ] {
        assert!(matches!(result, Err(Failure::Invalid(error)) if error.field == "ordered_at"));
    }
}

/// How far the collection of an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    Kept,
    Emptied,
    Gone,
}

const STAGES: [Stage; 4] = [Stage::Before, Stage::Kept, Stage::Emptied, Stage::Gone];

/// An order whose collection is so far, and the moment of the next step.
fn at_stage<B: Binding + Default>(
    memory: impl Fn(&B) -> &Memory,
    activities: &[&str],
    stage: Stage,
) -> (Shop<B>, i64) {
    let shop = Shop::new(B::default());
    open(&shop);
    let store = memory(&shop.store);
    assert_eq!(ask(store, 0, Ask::Take, "n", activities, None), Told::Taken);
    let steps = STAGES.iter().position(|one| *one == stage).unwrap() as i64;
    for step in 0..steps {
        collect_with(store, (OVER + step) * DAY_MS, LIVE).unwrap();
    }
    (shop, (OVER + steps) * DAY_MS)
}

/// What may be told of an order whose collection was so far before, and is so far behind it.
fn check_told(asked: Ask, told: &Told, stage: Stage, context: &str) {
    let too_old = Told::Refused("too_old");
    match asked {
        Ask::Take if stage == Stage::Gone => assert_eq!(*told, too_old, "{context}"),
        Ask::Take => assert!([Told::Taken, too_old].contains(told), "{context}"),
        Ask::GiveBack if stage == Stage::Before => {
            assert!([Told::GivenBack, too_old].contains(told), "{context}");
        }
        Ask::GiveBack => assert_eq!(*told, too_old, "{context}"),
    }
}

/// What was told holds to the end: what was given back is not counted, what was kept is.
fn check_end(store: &Memory, activities: &[&str], was_given_back: bool, context: &str) {
    collect_all(store, OVER + 2 * i64::from(KEPT_DAYS), LIVE);
    assert_eq!((purchase_of(store, "n"), orders(store)), (None, 0), "{context}");
    let uses = if was_given_back { 0 } else { 2 };
    for activity in activities {
        let of = |counts: bool| if counts { [uses; 2] } else { [0; 2] };
        let expected = (of(*activity != "mine"), of(*activity != "all"));
        assert_eq!(counts(store, activity), expected, "{activity}: {context}");
        assert_eq!(holds(store, activity), 0, "{activity}: {context}");
    }
    // And when the activities are over.
    for (asked, days) in [Ask::Take, Ask::GiveBack]
        .into_iter()
        .flat_map(|asked| [400, 4_000].map(|days| (asked, days)))
    {
        let told = ask(store, days * DAY_MS, asked, "n", activities, None);
        assert_eq!(told, Told::Refused("too_old"), "{context}");
    }
}

const USED: [&[&str]; 3] = [&["mine"], &["all"], &["mine", "all", "both"]];

/// Somebody asks between any two calls of a collection, by any clock.
#[test]
fn who_asks_while_it_is_collected_is_told_what_was_or_that_it_is_too_old() {
    for (activities, stage) in USED.iter().flat_map(|uses| STAGES.map(|stage| (*uses, stage))) {
        for (asked, skew) in
            [Ask::Take, Ask::GiveBack].into_iter().flat_map(|asked| SKEWS.map(|skew| (asked, skew)))
        {
            for calls in 0..CALLS_MAX {
                let (shop, at) = at_stage(Interrupted::memory, activities, stage);
                let told = std::rc::Rc::new(std::cell::RefCell::new(None));
                let (uses, answer) = (activities.to_vec(), std::rc::Rc::clone(&told));
                shop.store.interrupt(calls, move |memory| {
                    answer.replace(Some(ask(memory, at + skew, asked, "n", &uses, None)));
                });
                collect_with(&shop.store, at, LIVE).unwrap();
                let context = format!("{activities:?} {stage:?} {asked:?} {skew} after {calls}");
                let store = shop.store.memory();
                check_sums(store, "n", activities, &context);
                let Some(told) = told.take() else { break };
                check_told(asked, &told, stage, &context);
                check_end(store, activities, told == Told::GivenBack, &context);
                assert!(calls + 1 < CALLS_MAX, "it ends");
            }
        }
    }
}

/// It is collected between any two calls of somebody who asks, by any clock.
#[test]
fn who_asks_and_is_overtaken_by_the_collection_is_told_what_was_or_that_it_is_too_old() {
    for (activities, stage) in USED.iter().flat_map(|uses| STAGES.map(|stage| (*uses, stage))) {
        for (asked, skew) in
            [Ask::Take, Ask::GiveBack].into_iter().flat_map(|asked| SKEWS.map(|skew| (asked, skew)))
        {
            for calls in 0..CALLS_MAX {
                let (shop, at) = at_stage(Interrupted::memory, activities, stage);
                shop.store.interrupt(calls, move |memory| {
                    for step in 0..4 {
                        collect_with(memory, at + skew + step * DAY_MS, LIVE).unwrap();
                    }
                });
                let told = ask(&shop.store, at, asked, "n", activities, None);
                let context = format!("{activities:?} {stage:?} {asked:?} {skew} after {calls}");
                let store = shop.store.memory();
                check_sums(store, "n", activities, &context);
                check_told(asked, &told, stage, &context);
                if !shop.store.was_interrupted() {
                    break;
                }
                check_end(store, activities, told == Told::GivenBack, &context);
                assert!(calls + 1 < CALLS_MAX, "it ends");
            }
        }
    }
}

/// Two collections, one in the middle of the other.
#[test]
fn two_collections_at_once_count_what_is_gone_once() {
    for (activities, stage) in USED.iter().flat_map(|uses| STAGES.map(|stage| (*uses, stage))) {
        // The last one is so late that the first was parked for longer than it waits.
        let skews = SKEWS.into_iter().chain([2 * 3_600_000]);
        for (calls, skew) in skews.flat_map(|skew| (0..CALLS_MAX).map(move |calls| (calls, skew))) {
            let (shop, at) = at_stage(Interrupted::memory, activities, stage);
            shop.store.interrupt(calls, move |memory| {
                collect_with(memory, at + skew, LIVE).unwrap();
            });
            collect_with(&shop.store, at, LIVE).unwrap();
            let context = format!("{activities:?} {stage:?} {skew} after {calls}");
            check_sums(shop.store.memory(), "n", activities, &context);
            check_end(shop.store.memory(), activities, false, &context);
        }
    }
}

#[test]
fn a_crash_after_any_call_of_a_collection_leaves_the_rest_to_the_next_one() {
    for (activities, stage) in USED.iter().flat_map(|uses| STAGES.map(|stage| (*uses, stage))) {
        for calls in 0..CALLS_MAX {
            let (shop, at) = at_stage(|memory: &Memory| memory, activities, stage);
            let crashing = Crashing { memory: &shop.store, left: Cell::new(calls) };
            let result = collect_with(&crashing, at, LIVE);
            let context = format!("{activities:?} {stage:?} after {calls}");
            check_sums(&shop.store, "n", activities, &context);
            check_end(&shop.store, activities, false, &context);
            if result.is_ok() {
                break;
            }
            assert!(calls + 1 < CALLS_MAX, "it ends");
        }
    }
}

/// A partition that falls back to what it was before one step.
#[test]
fn a_step_that_is_undone_by_a_server_that_failed_over_is_done_again() {
    for stage in [Stage::Kept, Stage::Emptied] {
        let (shop, at) = at_stage(|memory: &Memory| memory, &["both"], stage);
        let store = &shop.store;
        let stock = taken::stock_of(partitions(), "both");
        let map = |partition, map: domain::transaction::MapKey| match read(
            store,
            partition,
            vec![Read::All(map, 100)],
        )
        .remove(0)
        {
            Answer::Map(fields) => fields,
            other => panic!("{other:?}"),
        };
        let maps = [taken::holds("both"), taken::stock("both")];
        let order = taken::order(USER, &number("n"));
        let before: Vec<_> = maps.iter().map(|one| map(stock, one.clone())).collect();
        let order_before = map(home(), order.clone());
        collect_with(store, at, LIVE).unwrap();
        let back = |name: &domain::transaction::MapKey, fields: &[(Field, Value)]| {
            let set = |(field, value): &(Field, Value)| {
                Write::Set(name.clone(), field.clone(), value.clone())
            };
            [Write::Drop(name.clone())]
                .into_iter()
                .chain(fields.iter().map(set))
                .collect::<Vec<_>>()
        };
        if stage == Stage::Kept {
            // The holds are back, and the order says that they may be gone.
            let mut writes: Vec<_> =
                maps.iter().zip(&before).flat_map(|(m, f)| back(m, f)).collect();
            let held = taken::hold(USER, &number("n"), 1);
            writes.push(Write::AddMember(taken::held("both"), domain::transaction::Member(held.0)));
            shop.write(stock, writes);
        } else {
            // The order is back, with its place and without its mark, as it was before it went.
            let listed = taken::listed_order(UnixMillis(START), &number("n"));
            let mut writes = back(&order, &order_before);
            writes.push(Write::AddMember(taken::orders(USER), listed));
            writes.push(Write::Drop(taken::gone(USER)));
            shop.write(home(), writes);
        }
        check_sums(store, "n", &["both"], &format!("{stage:?}"));
        check_end(store, &["both"], false, &format!("{stage:?}"));
    }
}

#[test]
fn an_order_or_a_hold_that_cannot_be_read_stays_is_told_and_keeps_nothing_else() {
    let shop = Shop::new(Memory::new());
    open(&shop);
    let store = &shop.store;
    for order in ["a", "b", "c"] {
        assert_eq!(ask(store, 0, Ask::Take, order, &["both"], None), Told::Taken);
    }
    shop.write(home(), vec![garbage(USER, "a")]);
    let hold = taken::hold(USER, &number("b"), 1);
    let broken = Write::Set(taken::holds("both"), hold, Value::Bytes(b"\xff".to_vec()));
    shop.write(taken::stock_of(partitions(), "both"), vec![broken]);
    let listed = domain::due::member(UnixMillis(START), b"no number");
    shop.write(home(), vec![Write::AddMember(taken::orders(USER), listed)]);
    for day in OVER..OVER + 4 {
        let told = collect_with(store, day * DAY_MS, LIVE);
        assert!(told.is_err_and(|error| error.is_of_records()), "{day}");
    }
    assert_eq!((purchase_of(store, "c"), orders(store)), (None, 3));
    assert!(matches!(purchase_of(store, "b").unwrap().state, State::Kept(_)));
    assert_eq!(counts(store, "both"), ([6, 2], [6, 2]));
}

#[test]
fn many_orders_go_over_several_calls_the_oldest_first() {
    let shop = Shop::new(Memory::new());
    open(&shop);
    let store = &shop.store;
    for one in 0..300 {
        let activity = if one % 2 == 0 { "mine" } else { "all" };
        let used = json!([{"activity": activity, "unit": "", "uses": 1, "place": 0,
            "of_user": (activity == "mine").then_some(50), "of_all": null}]);
        let purchase = order_of(State::Taken, 1, &used);
        let (at, begun) = (START + one, START + one);
        write_order(store, &format!("n{one}"), &Purchase { at, begun, ..purchase });
    }
    let first = collect_with(store, OVER * DAY_MS, LIVE).unwrap();
    assert_eq!((first.gone, first.has_more), ([("purchases", 256)].into(), true));
    assert_eq!((purchase_of(store, "n255"), orders(store)), (None, 44));
    let second = collect_with(store, OVER * DAY_MS, LIVE).unwrap();
    assert_eq!((second.gone, second.has_more), ([("purchases", 44)].into(), false));
    assert_eq!(counts(store, "mine"), ([0, 0], [150, 150]));
}

#[test]
fn activities_are_live_from_their_first_draft_on() {
    let shop = Shop::new(Memory::new());
    assert_eq!(now(live_activities(&world(&shop.store, 0))), Ok(BTreeSet::new()));
    shop.save(0, "a", Which::Draft, json!({}));
    shop.save(0, "b", Which::Live, json!({}));
    assert_eq!(now(live_activities(&world(&shop.store, 0))), Ok(live(&["a", "b"])));
}

/// Writes an order down as it may be, with its counts.
fn write_order(store: &Memory, order: &str, purchase: &Purchase) {
    let number = number(order);
    let order = Order { user: USER, number: &number };
    let none = store::Seen { stored: None, record: None };
    let sign = i64::from(purchase.counts());
    let counts = order.count(&purchase.uses, sign).collect();
    assert_eq!(now(change(&world(store, 0), order, &none, purchase, counts)), Ok(true));
}

fn order_of(state: State, attempt: u32, uses: &Json) -> Purchase {
    serde_json::from_value(json!({
        "digest": 1, "attempt": attempt, "state": state, "at": START, "begun": START,
        "ordered_at": null, "uses": uses, "let_go": []}))
    .unwrap()
}

#[test]
fn what_takes_more_than_one_commit_goes_all_the_same() {
    let memory = Memory::new();
    // So many attempts that more is let go than one read returns.
    let used = json!([{"activity": "all", "unit": "", "uses": 1, "place": 0, "of_user": null,
        "of_all": 9}]);
    write_order(&memory, "tried", &order_of(State::Refused, 300, &used));
    let stock = taken::stock_of(partitions(), "all");
    let let_go = store::codec::encode(&taken::Hold::LetGo);
    let tombstone = |attempt| {
        let name = taken::hold(USER, &number("tried"), attempt);
        Write::Set(taken::holds("all"), name, let_go.clone())
    };
    now(world(&memory, 0).write(stock, (1..=300).map(tombstone))).unwrap();
    // So many units that more is counted than one commit writes.
    for order in 0..8 {
        let one = |unit| {
            json!({"activity": "mine", "unit": format!("{order}-{unit}"), "uses": 2, "place": 0,
                "of_user": 9, "of_all": null})
        };
        let uses: Vec<_> = (0..500).map(one).collect();
        write_order(&memory, &format!("n{order}"), &order_of(State::Taken, 1, &json!(uses)));
    }
    let user = |map| size(&memory, home(), Read::Size(map));
    assert_eq!((holds(&memory, "all"), user(taken::user(USER))), (300, 4_000));
    let collected = collect_with(&memory, OVER * DAY_MS, LIVE).unwrap();
    assert_eq!((collected.gone, collected.has_more), ([("purchases", 9)].into(), false));
    assert_eq!((holds(&memory, "all"), orders(&memory)), (0, 0));
    assert_eq!((user(taken::user(USER)), user(taken::gone(USER))), (4_000, 4_000));
    let units = Read::Count(taken::gone_units(USER), Range::default());
    assert_eq!(size(&memory, home(), units.clone()), 4_000);
    let collected = collect_with(&memory, OVER * DAY_MS, &[]).unwrap();
    assert_eq!(collected.gone, [("purchase_counts", 4_000)].into());
    assert_eq!((user(taken::user(USER)), user(taken::gone(USER))), (0, 0));
    assert_eq!((size(&memory, home(), units), collected.next), (0, None));
}
