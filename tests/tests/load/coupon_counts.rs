//! What coupons cost, as the host counts it on Redis; and the faults of well-known flash-sale scripts,
//! each shown to be absent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use end_to_end::app::{Place, Reply};
use end_to_end::coupon::{Stock, issue, look, look_up, publish, published, template};
use end_to_end::patient::Patient;
use futures::future::join_all;
use host::{Call, Fault, exhaust};
use serde_json::json;
use tokio::task::JoinSet;

const CLIENTS: u64 = 16;
/// What publishing promises.
const EFFECTIVE_WITHIN: Duration = Duration::from_secs(1);

fn user(number: u64) -> u64 {
    (155_000_000_000 + number * 7) << 22
}

#[track_caller]
fn assert_refused(reply: &Reply, code: &str) {
    assert_eq!((reply.status, reply.text("code").as_deref()), (409, Some(code)), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_is_one_round_trip_but_for_one_in_twenty() {
    const ISSUES: u64 = 40_000;
    let place = Place::redis();
    let app = place.app().await;
    published(&app, "t", &template(1_000_000)).await;
    let before = app.counters();
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (app, next) = (app.clone(), Arc::clone(&next));
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= ISSUES {
                    return;
                }
                let reply = issue(user(number), "t", "n").of(&app).await;
                assert_eq!(reply.status, 201, "{reply:?}");
            }
        });
    }
    clients.join_all().await;
    let cost = app.counters().since(&before);
    let each = cost.store_round_trips() as f64 / ISSUES as f64;
    println!("{each:.4} round trips an issue, {} instances", cost.instances);
    assert!((1.0..=1.05).contains(&each), "{each} round trips an issue");
    assert_eq!(Stock::of(&look("t").of(&app).await).issued, ISSUES as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_while_sold_out_is_remembered_is_one_round_trip() {
    let place = Place::redis();
    let app = place.app().await;
    published(&app, "t", &template(1)).await;
    assert_eq!(issue(user(1), "t", "n").of(&app).await.status, 201);
    let mut counted = 0;
    for number in 0..20 {
        // The first one looks for what others have left, the second one is told what was found.
        for attempt in 0..2 {
            let before = app.counters();
            assert_refused(
                &issue(user(2), "t", &format!("{number}-{attempt}")).of(&app).await,
                "sold_out",
            );
            let cost = app.counters().since(&before);
            if attempt == 1 && cost.of(Call::VariablesGet) == 0 {
                assert_eq!(cost.store_round_trips(), 1, "{cost:?}");
                counted += 1;
            }
        }
    }
    assert!(counted > 10, "{counted} were counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_at_once_with_one_number_give_one_coupon() {
    for place in Place::all() {
        let app = place.app().await;
        let mut body = template(100);
        body["limit_per_user"] = json!(50);
        published(&app, "t", &body).await;
        let replies = join_all((0..10).map(|_| {
            let app = app.clone();
            tokio::spawn(async move { issue(7, "t", "n").of(&app).await })
        }))
        .await;
        let replies: Vec<_> = replies.into_iter().map(|reply| reply.expect("it ends")).collect();
        let first = replies.iter().filter(|reply| reply.json()["replayed"] == false).count();
        assert_eq!(first, 1, "{replies:?}");
        for reply in &replies {
            assert_eq!(reply.status, 201, "{reply:?}");
            assert_eq!(reply.json()["coupon"], replies[0].json()["coupon"]);
        }
        assert_eq!(Stock::of(&look("t").of(&app).await).issued, 1);
    }
}

/// Instances keep a template for half a second.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_effective_everywhere_within_a_second() {
    for place in Place::all() {
        // Two hosts: what one of them publishes the other one has to read.
        let (here, there) = (place.app().await, place.app().await);
        if place.name() == "kv" {
            // In memory each host has a store of its own.
            continue;
        }
        published(&here, "t", &template(1_000)).await;
        assert_eq!(issue(1, "t", "n").of(&there).await.status, 201);
        let mut disabled = template(1_000);
        disabled["enabled"] = json!(false);
        assert_eq!(publish("t", &disabled).of(&here).await.status, 200);
        let start = Instant::now();
        for number in 2.. {
            let reply = issue(number, "t", "n").of(&there).await;
            if reply.status == 409 {
                assert_refused(&reply, "disabled");
                break;
            }
            assert!(start.elapsed() < EFFECTIVE_WITHIN, "{reply:?}");
        }
    }
}

// Faults of published scripts that take stock with `INCR` or in Lua -----------------------------------

/// A retried order number is refused as a duplicate instead of answered with its first result.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_answered_with_the_first_result() {
    let place = Place::redis();
    let app = place.app().await;
    published(&app, "t", &template(1)).await;
    let first = issue(7, "t", "n").of(&app).await;
    let again = issue(7, "t", "n").of(&app).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json()["coupon"], again.json()["coupon"]);
}

/// `if redis.call('sismember', ...)` is always true in Lua, where 0 is: nobody, or everybody, is taken to
/// have one already.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_one_is_told_from_who_has_none() {
    let place = Place::redis();
    let app = place.app().await;
    published(&app, "t", &template(10)).await;
    assert_eq!(issue(7, "t", "a").of(&app).await.status, 201);
    assert_refused(&issue(7, "t", "b").of(&app).await, "user_limit");
    assert_eq!(issue(8, "t", "a").of(&app).await.status, 201);
}

/// Stock leaks when a later step fails after the decrement.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_user_takes_no_stock() {
    let place = Place::redis();
    let app = place.app().await;
    published(&app, "t", &template(2)).await;
    assert_eq!(issue(7, "t", "a").of(&app).await.status, 201);
    for number in 0..20 {
        assert_refused(&issue(7, "t", &format!("b{number}")).of(&app).await, "user_limit");
    }
    let reply = issue(8, "t", "n").of(&app).await;
    assert_eq!(reply.status, 201, "nothing leaked: {reply:?}");
}

/// What happens with one coupon where each host call of an issue meets a fault, and the client asks
/// until it is answered.
fn with(faults: &[Fault]) {
    let place = Place::redis();
    let options = |run: &host::Run| {
        place.forget_scripts();
        place
            .options()
            .variable("partitions", "4")
            .variable("key_prefix", format!("r{}", run.number))
    };
    let done = exhaust(faults, options, |app, _| async move {
        published(&app, "t", &template(2)).await;
        app.set_up_done();
        let mut client = Patient::new(&app, 1);
        let reply = client.until_answered(&issue(7, "t", "n")).await;
        assert_eq!(reply.status, 201, "the user is not locked out: {reply:?}");
        let reply = client.until_answered(&look("t")).await;
        assert_eq!(Stock::of(&reply).issued, 1, "it was taken once");
        let reply = client.until_answered(&issue(8, "t", "n")).await;
        assert_eq!(reply.status, 201, "nothing leaked: {reply:?}");
        let reply = client.until_answered(&look_up(7, "n")).await;
        assert_eq!(reply.json()["outcome"], "issued", "{reply:?}");
    });
    let done = done.unwrap_or_else(|error| panic!("{}", end_to_end::app::not_loaded(&error)));
    assert!(done.runs > done.calls.len(), "{done:?}");
}

/// A user is locked out when the process dies between "mark user" and "take stock".
#[test]
fn a_death_between_any_two_steps_locks_nobody_out() {
    with(&[Fault::CrashBefore, Fault::CrashAfter]);
}

/// The effect is applied, the reply is lost, and the retry applies it again.
#[test]
fn a_lost_reply_is_not_applied_again() {
    with(&[Fault::LostReply, Fault::Cancel]);
}
