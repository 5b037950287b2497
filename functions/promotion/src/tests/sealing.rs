//! Activities that are over for long: what goes when, what keeps them, and that their names never come back.

use std::collections::BTreeSet;

use domain::answers::fields;
use domain::transaction::{Answer, Range};
use futures::executor::block_on;
use purchases::activities::{listed as names, live_activities};
use purchases::collect;
use store::codec::decode;
use store::retention::{Retention, Terms};

use super::*;
use crate::publish::{find_sealed, roll_out};
use crate::records::{ARCHIVED, Archived, OVER, Rollout, SEALED};
use crate::refusal::Refusal;
use crate::seal;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// 2026-03-01, when activities of these tests end, after the start.
const UNTIL: i64 = 1_772_323_200_000 - START;
/// When they are over for as long as they are kept.
const DUE: i64 = UNTIL + 90 * DAY_MS;
/// Until an activity is sealed to its end, in steps of an hour.
const STEPS: i64 = 8;

fn sealed<T: std::fmt::Debug>(result: Result<T, Failure>) -> bool {
    matches!(result, Err(Failure::Refused(Refusal::Sealed)))
}

/// What a store holds of an activity and its name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    head: bool,
    listed: bool,
    archived: bool,
    definitions: u64,
    parts: u64,
    keys: usize,
    stock: u64,
    holds: u64,
    units: u64,
    counted: bool,
    entries: usize,
}

impl<B: Binding> Shop<B> {
    fn activity(&self, id: &str, more: Json) -> Activity {
        let mut activity = json!({
            "id": id, "name": "A", "currency": "CNY", "scope": "sku",
            "from": "2026-02-01T00:00:00Z", "until": "2026-03-01T00:00:00Z",
            "tiers": [{"benefit": {"percent_off": {"percent": 15}}}],
        });
        for (name, value) in more.as_object().unwrap() {
            activity[name] = value.clone();
        }
        serde_json::from_value(activity).unwrap()
    }

    /// One sweep of everything.
    fn sweep_all(&self, ms: i64) -> Swept {
        block_on(retire::sweep(&self.at(ms))).0.unwrap();
        block_on(seal::sweep(&self.at(ms))).unwrap()
    }

    /// Sweeps hour by hour.
    fn sweep_from(&self, ms: i64) {
        for step in 0..STEPS {
            let swept = self.sweep_all(ms + step * HOUR_MS);
            assert_eq!((swept.stuck, swept.set_aside, swept.failure), (vec![], vec![], None));
        }
    }

    fn collect(&self, user: UserId, ms: i64) {
        let names = block_on(live_activities(&self.at(ms))).unwrap();
        let now = UnixMillis(START + ms);
        let terms = Terms { retention: Retention::default(), now, dry_run: false };
        block_on(collect::user(&self.at(ms), user, &terms, &names)).unwrap();
    }

    fn read(&self, partition: Partition, read: Read) -> Answer {
        block_on(self.at(0).read_all(vec![(partition, read)])).unwrap().remove(0)
    }

    fn size(&self, partition: Partition, read: Read) -> u64 {
        match self.read(partition, read) {
            Answer::Size(size) => size,
            other => panic!("{other:?}"),
        }
    }

    fn archived(&self, id: &str) -> Option<Archived> {
        let read = Read::Fields(records::archive(), vec![id.into()]);
        let answer = self.read(self.at(0).shelf_of(id), read);
        fields(Some(&answer)).unwrap()[0].as_ref().map(|value| decode(value).unwrap())
    }

    /// All that is left of an activity whose list, if it has one, is that of its first version.
    fn left(&self, id: &str) -> Left {
        let (shelf, stock) = (self.at(0).shelf_of(id), taken::stock_of(self.partitions, id));
        let has = |partition, list: domain::transaction::OrderedKey| {
            self.read(partition, Read::HasMember(list, id.into())) == Answer::Contains(true)
        };
        let entries = |index: DueIndex| {
            let answer = self.read(shelf, index.page_of_all(None, 1_024));
            let members = page(Some(&answer)).unwrap().members.clone();
            let of_id =
                members.iter().map(|one| domain::due::due(one).unwrap().what == id.as_bytes());
            of_id.filter(|is_of_id| *is_of_id).count()
        };
        let count = |list| Read::Count(list, Range::default());
        let keys = records::shelf;
        let shelves: BTreeSet<_> =
            (0..records::SHELVES).map(|shelf| keys(self.partitions, shelf)).collect();
        let keys = shelves.into_iter().map(|one| self.size(one, Read::Size(records::index())));
        Left {
            head: block_on(crate::heads::find(&self.at(0), id)).unwrap().value.is_some(),
            listed: has(shelf, names()),
            archived: self.archived(id).is_some(),
            definitions: self.size(shelf, Read::Size(records::definitions(id))),
            parts: self.size(shelf, Read::Size(records::list(id, 1)))
                + self.size(shelf, Read::Size(records::listed(id, 1))),
            keys: keys.sum::<u64>() as usize,
            stock: self.size(stock, Read::Size(taken::stock(id))),
            holds: self.size(stock, Read::Size(taken::holds(id)))
                + self.size(stock, count(taken::held(id))),
            units: self.size(stock, count(taken::units(id))),
            counted: has(stock, taken::activities()),
            entries: [RETIRING, OVER, SEALED].into_iter().map(entries).sum(),
        }
    }
}

/// A shop of an activity with a list of SKUs, of which two users took something.
fn shop() -> Shop {
    let shop = Shop::new(Memory::new());
    let more = json!({"dimensions": {"products": {"sku_list": {"name": "l", "parts": 2}}},
        "limits": {"total": "9", "per_user": 3, "counted": "by_unit"}});
    let version = shop.save(0, "x", Which::Draft, more);
    for part in 1..=2 {
        block_on(add_part(&shop.at(0), "x", part, &[format!("s{part}")])).unwrap();
    }
    block_on(publish(&shop.at(0), "x", version)).unwrap();
    for (user, unit) in [(USER, "red"), (UserId(8), "blue")] {
        let uses = [Use { activity: "x".into(), key: Some(unit.into()), uses: 2 }];
        let number = number("n");
        block_on(take(&shop.at(1), Order { user, number: &number }, &uses, None)).unwrap();
    }
    shop
}

/// Publishing, in all ways.
fn check_sealed<B: Binding>(shop: &Shop<B>, ms: i64) {
    for which in [Which::Live, Which::Draft] {
        let activity = shop.activity("x", json!({"until": "2036-03-01T00:00:00Z"}));
        assert!(sealed(block_on(save(&shop.at(ms), &activity, which))), "{which:?}");
    }
}

#[test]
fn an_activity_goes_in_steps_once_nothing_of_it_is_held() {
    let shop = shop();
    let all = shop.left("x");
    assert!(all.head && all.listed && all.counted, "{all:?}");
    assert_eq!((all.parts, all.keys, all.units, all.entries), (4, 2, 2, 1));
    // The draft that became live is over with it.
    assert_eq!(shop.listed(OVER, shop.at(0).shelf_of("x")), [UNTIL]);
    assert_eq!(shop.sweep_all(DUE - 1), done(0));
    assert_eq!(shop.left("x"), all);
    assert_eq!(shop.sweep_all(DUE), done(1));
    check_sealed(&shop, DUE);
    let unknown = block_on(look(&shop.at(DUE), "x", Which::Live));
    assert!(matches!(unknown, Err(Failure::Refused(Refusal::UnknownActivity(_)))));
    let was = block_on(find_sealed(&shop.at(DUE), "x")).unwrap();
    assert_eq!(was.as_ref().map(|was| was.sealed_at), Some(START + DUE));
    assert_eq!((shop.left("x").keys, shop.left("x").entries), (2, 2), "for who is late");
    // The keys go; then orders keep it, which are not collected.
    shop.sweep_from(DUE + HOUR_MS);
    let left = shop.left("x");
    assert_eq!((left.keys, left.parts, left.definitions), (0, 0, 0));
    assert_eq!((left.head, left.listed, left.stock, left.holds), (true, true, 2, 4));
    for user in [USER, UserId(8)] {
        for day in 0..4 {
            assert!(shop.left("x").listed);
            shop.collect(user, DUE + day * DAY_MS);
        }
    }
    assert_eq!((shop.left("x").holds, shop.left("x").stock), (0, 4), "what is gone is counted");
    shop.sweep_from(DUE + 5 * DAY_MS);
    assert_eq!(shop.left("x"), Left { archived: true, ..Left::default() });
    assert_eq!(shop.archived("x"), was);
    assert_eq!(block_on(find_sealed(&shop.at(0), "x")), Ok(was.clone()));
    let was = was.unwrap();
    let window = (UNTIL + START - 28 * DAY_MS, UNTIL + START);
    assert_eq!((was.version, was.window, was.sealed_at), (1, Some(window), START + DUE));
    check_sealed(&shop, DUE + 6 * DAY_MS);
    assert_eq!(block_on(live_activities(&shop.at(0))), Ok(BTreeSet::new()));
    // Then users have no counts of it any more.
    shop.collect(USER, DUE + 6 * DAY_MS);
    for map in [taken::user(USER), taken::gone(USER)] {
        assert_eq!(shop.size(shop.at(0).home(USER), Read::Size(map)), 0);
    }
    // The short record goes, too, and the name stays sealed.
    let archived = shop.listed(ARCHIVED, shop.at(0).shelf_of("x"));
    let gone = archived[0] + 1_100 * DAY_MS;
    assert_eq!(shop.sweep_all(gone - 1), done(0));
    assert_eq!(shop.sweep_all(gone), done(1));
    assert_eq!(shop.left("x"), Left::default());
    assert_eq!(block_on(find_sealed(&shop.at(0), "x")), Ok(None));
    check_sealed(&shop, gone);
}

#[test]
fn an_activity_goes_on_where_somebody_publishes_first() {
    let shop = shop();
    shop.save(DUE, "x", Which::Live, json!({"until": "2036-03-01T00:00:00Z"}));
    assert_eq!(shop.sweep_all(DUE), done(0));
    // A window that ends in the past is over when it was published, not when it ended.
    shop.save(DUE, "y", Which::Live, json!({}));
    assert_eq!(shop.sweep_all(DUE + 90 * DAY_MS - 1), done(0));
    assert_eq!(shop.sweep_all(DUE + 90 * DAY_MS), done(1));
    assert!(shop.left("x").head && shop.left("x").listed);
}

#[test]
fn what_was_withdrawn_and_what_was_never_published_goes_as_well() {
    let shop = Shop::new(Memory::new());
    shop.save(0, "withdrawn", Which::Live, json!({"until": "2036-03-01T00:00:00Z"}));
    block_on(crate::publish::withdraw(&shop.at(DAY_MS), "withdrawn", Which::Live)).unwrap();
    shop.sweep_all(DAY_MS + KEEP_MS);
    shop.save(DAY_MS, "draft", Which::Draft, json!({"until": "2036-03-01T00:00:00Z"}));
    let due = 91 * DAY_MS + KEEP_MS;
    assert_eq!(shop.sweep_all(due - KEEP_MS - 1), done(0));
    shop.sweep_from(due);
    for id in ["withdrawn", "draft"] {
        assert_eq!(shop.left(id), Left { archived: true, ..Left::default() }, "{id}");
    }
    assert_eq!(shop.archived("draft").unwrap().name, "A");
    assert_eq!(shop.archived("withdrawn").unwrap().window, None);
}

#[test]
fn a_draft_that_nobody_tries_goes_and_leaves_what_is_live() {
    let shop = Shop::new(Memory::new());
    let until = "2036-03-01T00:00:00Z";
    for (id, percent) in [("tried", 5), ("left", 0)] {
        shop.save(0, id, Which::Live, json!({"until": until}));
        shop.save(1, id, Which::Draft, json!({"until": until, "labels": ["new"]}));
        let rollout = Rollout { percent, users: vec![] };
        block_on(roll_out(&shop.at(2), id, &rollout)).unwrap();
    }
    shop.sweep_from(100 * DAY_MS);
    for (id, has_draft) in [("tried", true), ("left", false)] {
        let published = block_on(look(&shop.at(0), id, Which::Live)).unwrap();
        assert_eq!((published.draft.is_some(), published.retiring), (has_draft, 0), "{id}");
        let Left { head, listed, entries, .. } = shop.left(id);
        assert_eq!((head, listed, entries), (true, true, 1), "{id}");
    }
    assert_eq!(shop.left("left").definitions, 1);
    // A draft that is tried is over with its window.
    shop.sweep_from((366 * 10 + 120) * DAY_MS);
    assert_eq!(shop.left("tried"), Left { archived: true, ..Left::default() });
}

#[test]
fn the_retention_that_is_published_counts() {
    let shop = Shop::new(Memory::new());
    shop.save(0, "x", Which::Live, json!({}));
    let place = Retention::place(shop.partitions);
    let retention = Retention { configuration_days: 7, archive_days: 14, ..Retention::default() };
    shop.write(place.partition, vec![place.set(&retention)]);
    assert_eq!(shop.sweep_all(UNTIL + 7 * DAY_MS - 1), done(0));
    shop.sweep_from(UNTIL + 7 * DAY_MS);
    assert!(shop.left("x").archived);
    shop.sweep_from(UNTIL + 22 * DAY_MS);
    assert_eq!(shop.left("x"), Left::default());
}

/// An order that came to a halt half-way, when its activity is sealed.
#[test]
fn an_order_that_is_late_holds_nothing_of_what_is_sealed_and_leaves_nothing() {
    for (state, is_asked) in [State::Taking, State::GivingBack]
        .into_iter()
        .flat_map(|state| [(state, true), (state, false)])
    {
        let shop = Shop::new(Memory::new());
        shop.limited("x");
        let uses = [Use { activity: "x".to_owned(), key: None, uses: 1 }];
        let number = number("n");
        let order = Order { user: USER, number: &number };
        block_on(take(&shop.at(0), order, &uses, None)).unwrap();
        shop.crash(USER, "n", state, 0);
        if state == State::Taking {
            // It had not come so far.
            let hold = taken::hold(USER, &number, 1);
            let stock = taken::stock_of(shop.partitions, "x");
            let held = domain::transaction::Member(hold.0.clone());
            shop.write(
                stock,
                vec![
                    Write::Unset(taken::holds("x"), hold),
                    Write::RemoveMember(taken::held("x"), held),
                    Write::Drop(taken::stock("x")),
                ],
            );
        }
        shop.sweep_from(DUE);
        let is_done = shop.left("x") == Left { archived: true, ..Left::default() };
        assert_eq!(is_done, state == State::Taking, "{:?}", shop.left("x"));
        // Whoever goes on finds the activity gone.
        if is_asked {
            let asked = block_on(take(&shop.at(DUE + DAY_MS), order, &uses, None));
            assert!(matches!(asked, Err(Failure::Refused(_))), "{asked:?}");
        }
        shop.sweep_orders(DUE + DAY_MS);
        let after = shop.order(USER, "n").unwrap().state;
        let expected = if state == State::Taking { State::Refused } else { State::GivenBack };
        assert_eq!(after, expected);
        shop.sweep_from(DUE + 2 * DAY_MS);
        assert_eq!(shop.left("x"), Left { archived: true, ..Left::default() }, "{state:?}");
        let again = block_on(take(&shop.at(DUE + 3 * DAY_MS), order, &uses, None));
        assert!(matches!(again, Err(Failure::Refused(_))), "{again:?}");
        assert_eq!(shop.left("x"), Left { archived: true, ..Left::default() });
    }
}

#[test]
fn an_instance_that_knew_an_activity_learns_that_it_is_gone() {
    let shop = Shop::new(Memory::new());
    shop.save(0, "x", Which::Live, json!({"until": "2036-03-01T00:00:00Z"}));
    let asleep = Catalogue::new(2);
    let head = |catalogue: &Catalogue, ms| {
        let context = Context { world: shop.at(ms).world, catalogue };
        block_on(crate::look_up::head(&context, "x")).unwrap()
    };
    assert!(head(&asleep, 1).is_some());
    block_on(crate::publish::withdraw(&shop.at(2), "x", Which::Live)).unwrap();
    shop.sweep_all(2 + KEEP_MS);
    shop.sweep_from(91 * DAY_MS);
    assert!(shop.left("x").archived);
    // It was asleep for all that time.
    assert!(head(&asleep.renewed(), 92 * DAY_MS).is_none());
    // A replica that is behind, and has none yet, takes nothing away.
    assert!(head(&asleep.renewed(), HOUR_MS).is_some());
}

#[test]
fn a_hold_of_an_order_that_was_collected_does_not_keep_its_activity() {
    let shop = Shop::new(Memory::new());
    shop.limited("x");
    let stock = taken::stock_of(shop.partitions, "x");
    let hold = taken::hold(USER, &number("gone"), 1);
    let writes = vec![
        Write::AddMember(taken::activities(), "x".into()),
        Write::AddMember(taken::held("x"), domain::transaction::Member(hold.0.clone())),
        Write::Set(taken::holds("x"), hold, store::codec::encode(&taken::Hold::Held(vec![]))),
        Write::Add(taken::stock("x"), taken::unit(""), 1),
    ];
    shop.write(stock, writes);
    shop.sweep_from(DUE);
    assert!(shop.left("x").head);
    shop.sweep_from(DUE + 2 * DAY_MS);
    assert_eq!(shop.left("x"), Left { archived: true, ..Left::default() });
}

#[test]
fn a_crash_after_any_call_of_a_sweep_leaves_the_rest_to_the_next_one() {
    for step in 0..4 {
        let mut calls = 0;
        loop {
            let shop = shop();
            for user in [USER, UserId(8)] {
                for day in 0..4 {
                    shop.collect(user, DUE + (day - 4) * DAY_MS);
                }
            }
            for before in 0..step {
                shop.sweep_all(DUE + before * HOUR_MS);
            }
            let crashing = Crashing { memory: &shop.store, left: Cell::new(calls) };
            let at = DUE + step * HOUR_MS;
            let is_done = {
                let catalogue = Catalogue::new(1);
                let world = store::Context {
                    store: &crashing,
                    partitions: shop.partitions,
                    now: UnixMillis(START + at),
                    timer: store::Timer::still(),
                };
                let context = Context { world, catalogue: &catalogue };
                // The one for keys may end at the crash, too.
                let (retired, _) = block_on(retire::sweep(&context));
                let sealed = block_on(seal::sweep(&context));
                retired.is_ok() && sealed.is_ok_and(|swept| swept.failure.is_none())
            };
            shop.sweep_from(at);
            shop.sweep_from(at + DAY_MS);
            let expected = Left { archived: true, ..Left::default() };
            assert_eq!(shop.left("x"), expected, "step {step} after {calls}");
            check_sealed(&shop, at + 2 * DAY_MS);
            if is_done {
                break;
            }
            calls += 1;
            assert!(calls < 200, "it ends");
        }
    }
}

/// Somebody publishes, or another sweep comes, between any two calls of a sweep.
#[test]
fn who_publishes_while_it_is_sealed_is_refused_or_keeps_it_whole() {
    for (step, is_publishing) in (0..4).flat_map(|step| [(step, false), (step, true)]) {
        let mut calls = 0;
        loop {
            let shop = Shop::new(Interrupted::default());
            shop.save(0, "x", Which::Live, json!({"limits": {"total": "9"}}));
            for before in 0..step {
                shop.sweep_all(DUE + before * HOUR_MS);
            }
            let at = DUE + step * HOUR_MS;
            let activity = shop.activity("x", json!({"until": "2036-03-01T00:00:00Z"}));
            let told = std::rc::Rc::new(std::cell::RefCell::new(None));
            let (answer, partitions) = (std::rc::Rc::clone(&told), shop.partitions);
            shop.store.interrupt(calls, move |memory| {
                let catalogue = Catalogue::new(1);
                for skew in [-10 * 60_000, 10 * 60_000] {
                    let world = store::Context {
                        store: memory,
                        partitions,
                        now: UnixMillis(START + at + skew),
                        timer: store::Timer::still(),
                    };
                    let context = Context { world, catalogue: &catalogue };
                    if is_publishing {
                        let saved = save(&context, &activity, Which::Live);
                        answer.replace(Some(saved.now_or_never().unwrap()));
                    } else {
                        retire::sweep(&context).now_or_never().unwrap().0.unwrap();
                        seal::sweep(&context).now_or_never().unwrap().unwrap();
                    }
                }
            });
            shop.sweep_all(at);
            if !shop.store.was_interrupted() {
                break;
            }
            let told = told.take();
            shop.sweep_from(at + HOUR_MS);
            let told_text = format!("step {step} after {calls}: {told:?}");
            match told {
                Some(Ok(version)) => {
                    let published = block_on(look(&shop.at(at), "x", Which::Live)).unwrap();
                    assert_eq!(published.version, version, "{told_text}");
                    let Left { head, listed, entries, keys, .. } = shop.left("x");
                    assert_eq!((head, listed, entries, keys), (true, true, 1, 1), "{told_text}");
                    assert_eq!(step, 0, "{told_text}");
                }
                Some(refused) => {
                    assert!(sealed(refused), "{told_text}");
                    let expected = Left { archived: true, ..Left::default() };
                    assert_eq!(shop.left("x"), expected, "{told_text}");
                }
                None => {
                    let expected = Left { archived: true, ..Left::default() };
                    assert_eq!(shop.left("x"), expected, "{told_text}");
                    check_sealed(&shop, at + DAY_MS);
                }
            }
            calls += 1;
            assert!(calls < 200, "it ends");
        }
    }
}

#[test]
fn an_activity_that_is_over_and_cannot_be_read_is_set_aside_and_keeps_no_other() {
    let shop = Shop::new(Memory::new());
    for id in ["broken", "whole"] {
        shop.save(0, id, Which::Live, json!({}));
    }
    let garbage = Value::Bytes(b"\xff".to_vec());
    let head = Write::Set(records::heads(), "broken".into(), garbage);
    shop.write(shop.at(0).shelf_of("broken"), vec![head]);
    let swept = shop.sweep_all(DUE);
    assert_eq!((swept.done, swept.stuck.len(), swept.set_aside.len()), (1, 0, 1), "{swept:?}");
    assert!(swept.set_aside[0].place.starts_with("activities that are over"), "{swept:?}");
    // For who collects it is live.
    let live = ["broken", "whole"].map(str::to_owned).into();
    assert_eq!(block_on(live_activities(&shop.at(0))), Ok(live));
}

#[test]
fn a_sweep_seals_so_many_and_says_that_there_are_more() {
    let shop = Shop::new(Memory::new());
    for one in 0..20 {
        shop.save(0, &format!("a{one}"), Which::Live, json!({}));
    }
    let mut done = 0;
    loop {
        let swept = shop.sweep_all(DUE);
        assert!(swept.done <= 16, "{swept:?}");
        done += swept.done;
        if !swept.has_more {
            break;
        }
    }
    assert_eq!(done, 20);
}
