//! Rains from setting one up to what users have of it, on a store in memory.

use std::cell::Cell;
use std::rc::Rc;

use binding::memory::{Interrupted, Memory};
use domain::ids::UserId;
use domain::money::Currency;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use domain::transaction::{Answer, Read};
use edge::store::Binding;
use futures::FutureExt as _;
use serde_json::{Value, json};
use store::Plan;
use wallet::context::Context;
use wallet::keys::SigningKeys;
use wallet::limits::{self, Reached};
use wallet::rain::{Closed, Rain};

use crate::Settings;
use crate::grant::{Claim, Granted, grant};
use crate::publish::{look, publish};
use crate::rains::Rains;
use crate::refusal::{Failure, Refusal};

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
        pause: |_| Box::pin(std::future::ready(())),
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
