//! Rains from setting one up to what users have of it, on a store in memory.

use std::cell::Cell;
use std::rc::Rc;

use binding::memory::{Interrupted, Memory};
use coupons::context::Templates;
use coupons::issue::{Number, issue};
use coupons::records;
use coupons::scene::{RateLimit, Scene};
use domain::ids::UserId;
use domain::money::Currency;
use domain::order_number::OrderNumber;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Outcome, Read, Transaction};
use edge::store::Binding;
use futures::FutureExt as _;
use serde_json::{Value, json};
use store::Plan;
use wallet::context::Context;
use wallet::keys::SigningKeys;
use wallet::limits::{self, Reached};
use wallet::rain::{Closed, Rain};

use crate::grant::{Claim, Granted, grant};
use crate::publish::{look, publish};
use crate::rains::Rains;
use crate::refusal::{Failure, Refusal};
use crate::{Done, Settings, render};

mod seal;

const USER: UserId = UserId(7);
const RAIN: &str = "r";
const DAY_MS: i64 = 86_400_000;
/// 2026-02-16T16:00:00Z, when the rain begins; it has two rounds of one hour.
const START_MS: i64 = 1_771_257_600_000;
const HOUR_MS: i64 = 3_600_000;
const END_MS: i64 = START_MS + 2 * HOUR_MS;

fn at<B>(store: &B, now_ms: i64) -> Context<'_, B> {
    Context {
        store,
        partitions: Partitions::new(4).unwrap(),
        now: UnixMillis(now_ms),
        timer: store::Timer::still(),
    }
}

/// The result of what never waits; also where somebody else's turn comes in the middle of it.
fn done<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

fn settings() -> Settings {
    Settings {
        keys: SigningKeys::parse(&format!("dev-1:{}", "A".repeat(43)), true).unwrap(),
        currency: Currency::parse("CNY").unwrap(),
        rains: Rains::default(),
    }
}

/// A rain whose rounds lie in each other, so that both are open in the first hour, and which ends at a moment.
fn rain_until(limits: &Value, end_ms: i64) -> Rain {
    let [from, until] = [START_MS, end_ms].map(|at| UnixMillis(at).to_rfc3339());
    let mut rain = json!({
        "activity": "spring", "scene": "rain", "currency": "CNY", "budget": "100000",
        "single_cap": "100", "amounts": {"fixed": "100"},
        "rounds": [
            {"round": 1, "from": from, "until": until},
            {"round": 2, "from": from, "until": until},
        ],
    });
    if !limits.is_null() {
        rain["limits"] = limits.clone();
    }
    serde_json::from_value(rain).unwrap()
}

fn set_up<B: Binding>(context: &Context<'_, B>, rain: &Rain) -> Result<i64, Failure> {
    done(publish(context, RAIN, rain, [7; 16]))
}

/// A store with a rain of these limits.
fn raining(limits: &Value) -> Memory {
    let store = Memory::new();
    set_up(&at(&store, START_MS), &rain_until(limits, END_MS)).unwrap();
    store
}

fn open_at<B: Binding>(
    store: &B,
    now_ms: i64,
    user: UserId,
    round: i32,
    award: &str,
) -> Result<Granted, Failure> {
    let claim = Claim { user, rain: RAIN.into(), round, award: award.into(), app: 0 };
    done(grant(&at(store, now_ms), "live", &settings(), &claim))
}

fn open<B: Binding>(store: &B, round: i32, award: &str) -> Result<Granted, Failure> {
    open_at(store, START_MS, USER, round, award)
}

#[track_caller]
fn refused(result: Result<Granted, Failure>) -> Refusal {
    match result {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Cents that were given.
fn granted<B: Binding>(store: &B) -> i64 {
    done(look(&at(store, START_MS), RAIN)).unwrap().2.granted
}

fn counters<B: Binding>(store: &B, now_ms: i64) -> usize {
    let context = at(store, now_ms);
    let mut plan = Plan::<()>::new();
    plan.at(context.now).read(Read::All(limits::counters(USER, RAIN), 100));
    match done(context.commit(context.home(USER), plan)).unwrap().unwrap().as_slice() {
        [Answer::Map(fields)] => fields.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_user_gets_as_many_packets_as_the_limits_allow() {
    let store = raining(&json!({"per_user": 3, "per_round": 2}));
    let first = open(&store, 1, "a").unwrap();
    open(&store, 1, "b").unwrap();
    assert_eq!(refused(open(&store, 1, "c")), Refusal::Limit(Reached::Round));
    open(&store, 2, "a").unwrap();
    assert_eq!(refused(open(&store, 2, "b")), Refusal::Limit(Reached::User));
    // What was given is told however often, and does not count again.
    let again = open(&store, 1, "a").unwrap();
    assert_eq!((again.text, again.replayed), (first.text, true));
    assert_eq!((granted(&store), counters(&store, START_MS)), (300, 3));
    open_at(&store, START_MS, UserId(8), 1, "a").unwrap();

    // Another version counts what the first one gave, also by a limit that it did not have.
    let more = rain_until(&json!({"per_user": 4}), END_MS);
    assert_eq!(set_up(&at(&store, START_MS), &more), Ok(2));
    open(&store, 1, "d").unwrap();
    assert_eq!(refused(open(&store, 2, "d")), Refusal::Limit(Reached::User));
}

#[test]
fn one_limit_is_enough_and_none_counts_nothing() {
    for (limits, given, reached) in [
        (json!({"per_user": 1}), [true, false, false], Reached::User),
        (json!({"per_round": 1}), [true, false, true], Reached::Round),
    ] {
        let store = raining(&limits);
        for ((round, award), given) in [(1, "a"), (1, "b"), (2, "a")].into_iter().zip(given) {
            match open(&store, round, award) {
                Ok(_) => assert!(given, "{limits} {round} {award}"),
                refusal => {
                    assert_eq!(refused(refusal), Refusal::Limit(reached));
                    assert!(!given, "{limits} {round} {award}");
                }
            }
        }
    }
    let store = raining(&Value::Null);
    for award in ["a", "b", "c"] {
        open(&store, 1, award).unwrap();
    }
    assert_eq!(counters(&store, START_MS), 0);
}

#[test]
fn of_two_requests_at_once_one_is_given_wherever_the_other_one_comes_in_between() {
    let (mut interrupted, mut leased) = (0, Vec::new());
    for commits in 0..12 {
        let store = Interrupted::default();
        let rain = rain_until(&json!({"per_user": 1}), END_MS);
        set_up(&at(&store, START_MS), &rain).unwrap();
        let told = Rc::new(Cell::new(false));
        let other = Rc::clone(&told);
        store.interrupt(commits, move |store| other.set(open(store, 1, "b").is_ok()));
        let given = open(&store, 1, "a");
        if !store.was_interrupted() {
            continue;
        }
        interrupted += 1;
        assert_ne!(given.is_ok(), told.get(), "{commits}: {given:?}");
        assert_eq!(granted(&store), 100, "{commits}");
        let (_, _, budget) = done(look(&at(&store, START_MS), RAIN)).unwrap();
        leased.push(budget.leased);
        open_at(&store, START_MS, UserId(8), 1, "a").unwrap();
    }
    assert!(interrupted >= 4, "{interrupted}");
    // Who took a lease and was refused afterwards gave it back.
    assert!(leased.contains(&0), "{leased:?}");
}

#[test]
fn counters_outlive_the_rain_and_no_longer() {
    let limits = json!({"per_user": 1});
    let store = raining(&limits);
    open(&store, 1, "a").unwrap();
    assert_eq!(refused(open_at(&store, END_MS, USER, 1, "b")), Refusal::Closed(Closed::Ended));

    // Further rounds find the counters, as long as a version may have some.
    let last_end = END_MS + limits::KEPT_MS;
    let longer = rain_until(&limits, last_end);
    assert_eq!(set_up(&at(&store, END_MS), &longer), Ok(2));
    assert_eq!(refused(open_at(&store, last_end - 1, USER, 1, "b")), Refusal::Limit(Reached::User));
    let too_long = rain_until(&limits, last_end + 1_000);
    let refusal = set_up(&at(&store, END_MS), &too_long);
    assert_eq!(refusal, Err(Failure::Refused(Refusal::LimitsEnd)));
    // One without limits needs no counters.
    assert_eq!(set_up(&at(&store, END_MS), &rain_until(&Value::Null, last_end + 1_000)), Ok(3));

    assert_eq!(counters(&store, last_end + DAY_MS - 1), 2);
    assert_eq!(counters(&store, last_end + DAY_MS), 0);
}

#[test]
fn a_version_that_was_over_at_once_binds_no_other_one() {
    let limits = json!({"per_round": 1});
    let store = Memory::new();
    let late = START_MS + 100 * DAY_MS;
    assert_eq!(set_up(&at(&store, late), &rain_until(&limits, END_MS)), Ok(1));
    assert_eq!(set_up(&at(&store, late), &rain_until(&limits, late + DAY_MS)), Ok(2));
    open_at(&store, late, USER, 1, "a").unwrap();
}

/// Sets the scene of the rain up, with so many awards a minute.
fn limit_scene<B: Binding>(store: &B, awards: u32) {
    let rate_limit = Some(RateLimit { awards, seconds: 60 });
    let context = at(store, START_MS);
    let record = records::scene(context.partitions, "rain");
    let scene = record.set(&Scene { rate_limit, ..Scene::plain() });
    done(context.write(record.partition, [scene])).unwrap();
}

/// Somebody gives the user a coupon of a template of the scene.
fn give_coupon<B: Binding>(
    store: &B,
    now_ms: i64,
    number: &str,
) -> Result<(), coupons::refusal::Failure> {
    let templates = Templates::default();
    let (base, lease_share) = (at(store, now_ms), lease::SHARE);
    let context =
        coupons::context::Context { base, stage: "live", templates: &templates, lease_share };
    let [from, until] = [START_MS, END_MS].map(|at| UnixMillis(at).to_rfc3339());
    let template = json!({
        "activity": "spring", "scene": "rain", "kind": "amount_off", "value": "100", "currency": "CNY",
        "stock": "1000", "limit_per_user": 9, "claim_from": from, "claim_until": until, "valid_for_days": 1,
    });
    let template = serde_json::from_value(template).unwrap();
    done(coupons::publish::publish(&context, "t", &template)).unwrap();
    let number = Number::Given(OrderNumber::parse(number, "").unwrap());
    let (template, segments) = ("t".into(), Vec::new());
    let (user, ordered_at, hold_ms) = (USER, None, None);
    let claim = coupons::issue::Claim { user, number, ordered_at, template, segments, hold_ms };
    done(issue(&context, &claim)).map(drop)
}

#[test]
fn packets_and_coupons_of_a_scene_keep_to_one_pace() {
    let store = raining(&Value::Null);
    limit_scene(&store, 2);
    let at = |ms: i64, award: &str| open_at(&store, START_MS + ms, USER, 1, award);
    let first = at(0, "a").unwrap();
    give_coupon(&store, START_MS + 1_000, "n").unwrap();
    assert_eq!(refused(at(1_000, "b")), Refusal::RateLimited(59));
    let too_fast = coupons::refusal::Refusal::RateLimited(58);
    assert_eq!(give_coupon(&store, START_MS + 2_000, "m"), Err(too_fast.into()));
    // What was given is told, however fast the user asks.
    let again = at(2_000, "a").unwrap();
    assert_eq!((again.text, again.replayed), (first.text, true));
    open_at(&store, START_MS, UserId(8), 1, "a").unwrap();
    assert_eq!(granted(&store), 200);
    // The same number may act later.
    assert!(!at(60_000, "b").unwrap().replayed);
    give_coupon(&store, START_MS + 60_000, "m").unwrap();
    assert_eq!(refused(at(60_999, "c")), Refusal::RateLimited(60));
}

#[test]
fn what_cannot_be_given_for_another_reason_leaves_the_pace_alone() {
    let store = raining(&json!({"per_round": 1}));
    limit_scene(&store, 2);
    open(&store, 1, "a").unwrap();
    assert_eq!(refused(open(&store, 1, "b")), Refusal::Limit(Reached::Round));
    open(&store, 2, "a").unwrap();
    assert_eq!(refused(open(&store, 2, "b")), Refusal::Limit(Reached::Round));
    let other = rain_until(&Value::Null, END_MS);
    assert_eq!(set_up(&at(&store, START_MS), &other), Ok(2));
    assert_eq!(refused(open(&store, 1, "b")), Refusal::RateLimited(60));
}

#[test]
fn of_two_awards_at_once_one_keeps_to_the_pace_wherever_the_other_one_comes_in_between() {
    type Other = fn(&Memory) -> bool;
    let others: [(Other, i64); 2] = [
        (|store| open(store, 1, "b").is_ok(), 100),
        (|store| give_coupon(store, START_MS, "n").is_ok(), 0),
    ];
    for (other, cents) in others {
        let (mut interrupted, mut leased) = (0, Vec::new());
        for commits in 0..14 {
            let store = Interrupted::default();
            set_up(&at(&store, START_MS), &rain_until(&Value::Null, END_MS)).unwrap();
            limit_scene(&store, 1);
            let told = Rc::new(Cell::new(false));
            let theirs = Rc::clone(&told);
            store.interrupt(commits, move |store| theirs.set(other(store)));
            let given = open(&store, 1, "a");
            if !store.was_interrupted() {
                continue;
            }
            interrupted += 1;
            assert_ne!(given.is_ok(), told.get(), "{commits}: {given:?}");
            assert_eq!(granted(&store), if given.is_ok() { 100 } else { cents }, "{commits}");
            let (_, _, budget) = done(look(&at(&store, START_MS), RAIN)).unwrap();
            leased.push(budget.leased);
        }
        assert!(interrupted >= 4, "{interrupted}");
        // Who took a lease and was refused afterwards gave it back.
        assert!(leased.contains(&0), "{leased:?}");
    }
}

/// Counts commits and reads.
#[derive(Default)]
struct Counted {
    memory: Memory,
    trips: Cell<u32>,
}

impl Binding for Counted {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        self.trips.set(self.trips.get() + 1);
        self.memory.commit(partition, transaction).await
    }
}

#[test]
fn a_pace_costs_a_round_trip_where_the_scene_limits_it_and_nothing_where_not() {
    for (limit, expected) in [(None, [1, 1, 1]), (Some(9), [1, 2, 1])] {
        let store = Counted::default();
        set_up(&at(&store, START_MS), &rain_until(&Value::Null, END_MS)).unwrap();
        if let Some(awards) = limit {
            limit_scene(&store, awards);
        }
        let settings = settings();
        let open = |user: UserId, award: &str| {
            let claim = Claim { user, rain: RAIN.into(), round: 1, award: award.into(), app: 0 };
            store.trips.set(0);
            done(grant(&at(&store, START_MS), "live", &settings, &claim)).unwrap();
            store.trips.get()
        };
        // Another user of the same partition takes the lease, and reads the configuration.
        let partitions = at(&store, START_MS).partitions;
        let home = |user: UserId| partitions.locate(user).partition;
        let other = (100..).map(UserId).find(|user| home(*user) == home(USER)).unwrap();
        open(other, "a");
        let trips = [open(USER, "a"), open(USER, "b"), open(USER, "b")];
        assert_eq!(trips, expected, "{limit:?}");
    }
}

#[test]
fn nobody_is_told_the_secret_of_a_rain() {
    let store = raining(&Value::Null);
    let (version, rain, budget) = done(look(&at(&store, START_MS), RAIN)).unwrap();
    let told = Done::Rain(RAIN.into(), version, Box::new(rain), Some(budget));
    let answer = render::done(&told, Currency::parse("CNY").unwrap()).unwrap();
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["definition"]["activity"], "spring", "{answer}");
    let answer = answer.to_string();
    assert!(!answer.contains("secret") && !answer.contains("7,7,7"), "{answer}");
}
