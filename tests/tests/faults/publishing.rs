//! Whatever goes wrong at whatever host call of publishing: carts have the old prices as a whole or the
//! new ones as a whole, and after asking again the new ones.

use end_to_end::app::{Ask, Place, Reply, not_loaded};
use end_to_end::patient::{self, Patient};
use end_to_end::purchase::{evaluate, off, post, put, save, sweep, total};
use end_to_end::seed::{Named, seeds};
use futures::future::join_all;
use host::{App, Random, Reuse, Schedule, simulate};
use http::Method;
use serde_json::{Value, json};

use crate::hunt::{self, FAILURES_MAX, LATE_MS, options};

/// Longer than an instance remembers what it read.
const MEMORY_MS: u64 = 600;
/// Attempts on one step.
const ATTEMPTS_MAX: u32 = 4;
/// Sweeps until nothing is left to be taken out of the index.
const SWEEPS_MAX: u32 = 4;
const SCHEDULES: u64 = 60;
/// Attempts where time moves while calls are under way.
const PATIENCE: u32 = 100;
/// They lie on six shelves.
const SKUS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Of all of them, with no activity, with the old one, and with the new one.
const PLAIN: i64 = 60_000;
const OLD: i64 = 57_000;
const NEW: i64 = 50_000;
const USER: u64 = 7;

fn old() -> Value {
    off(10, &SKUS[..3])
}

fn new() -> Value {
    off(20, &SKUS[1..])
}

/// As [`new`], by a list.
fn new_by_list() -> Value {
    let mut activity = new();
    activity["dimensions"] = json!({"products": {"sku_list": {"name": "l", "parts": 2}}});
    activity
}

fn part(part: u32) -> Ask {
    let skus = if part == 1 { &SKUS[1..4] } else { &SKUS[4..] };
    put(format!("/v1/activities/x/sku-list/{part}"), &json!({ "skus": skus }))
}

fn publish(version: u32) -> Ask {
    post("/v1/activities/x/publish", &json!({"version": version.to_string()}))
}

fn roll_out() -> Ask {
    put("/v1/activities/x/rollout", &json!({"users": [USER.to_string()]}))
}

fn withdraw(query: &str) -> Ask {
    Ask::new(Method::DELETE, format!("/v1/activities/x{query}")).operator()
}

/// What is done under faults.
#[derive(Clone, Copy)]
struct Scenario {
    before: fn() -> Vec<Ask>,
    /// One after the other, each until it is answered.
    steps: fn() -> Vec<Ask>,
    /// What the cart costs before and afterwards.
    prices: [i64; 2],
    /// Whether faults hit the sweep afterwards as well: it is the same each time, and a hunt of its own.
    hits_the_sweep: bool,
}

const CHANGED: Scenario =
    Scenario { before: || vec![], steps: || vec![], prices: [OLD, NEW], hits_the_sweep: false };

async fn play(app: App, scenario: Scenario) {
    let mut shopper = Patient::new(&app, FAILURES_MAX);
    let mut price = scenario.prices[0];
    for asked in (scenario.steps)() {
        for attempt in 1.. {
            let reply = patient::ask(&app, &asked).await;
            app.advance_time(MEMORY_MS);
            let now = total(&shopper.until_answered(&evaluate(USER, &SKUS)).await);
            assert!(scenario.prices.contains(&now), "{now} is neither old nor new: {asked:?}");
            assert!(now == price || price == scenario.prices[0], "back to {now}: {asked:?}");
            price = now;
            if let Some(reply) = reply {
                assert!(matches!(reply.status, 200 | 204), "{asked:?}: {reply:?}");
                break;
            }
            assert!(attempt < ATTEMPTS_MAX, "{attempt} attempts: {asked:?}");
        }
    }
    assert_eq!(price, scenario.prices[1], "after all steps");
    if !scenario.hits_the_sweep {
        app.scenario_done();
    }
    app.advance_time(LATE_MS);
    for sweeps in 1.. {
        let reply = shopper.until_answered(&sweep()).await;
        assert_eq!(total(&shopper.until_answered(&evaluate(USER, &SKUS)).await), price);
        if reply.text("retiring").as_deref() == Some("0") {
            break;
        }
        assert!(sweeps < SWEEPS_MAX, "{reply:?}");
        app.advance_time(LATE_MS);
    }
    app.scenario_done();
    // It can be taken away, and come back, whole.
    for (asked, price) in [(withdraw(""), PLAIN), (save("x", "", &old()), OLD)] {
        shopper.until_answered(&withdraw("?draft=true")).await;
        let reply = shopper.until_answered(&asked).await;
        assert!(matches!(reply.status, 200 | 204), "{reply:?}");
        app.advance_time(LATE_MS);
        assert_eq!(total(&shopper.until_answered(&evaluate(USER, &SKUS)).await), price);
    }
}

#[track_caller]
fn hunt<F>(name: &str, before: fn() -> Vec<Ask>, play: impl Fn(App) -> F + Copy)
where
    F: Future<Output = ()> + Send + 'static,
{
    hunt::hunt(name, |app| {
        let played = play(app.clone());
        async move {
            for asked in before() {
                let reply = asked.of(&app).await;
                assert_eq!(reply.status, 200, "{reply:?}");
            }
            app.advance_time(MEMORY_MS);
            app.set_up_done();
            played.await;
        }
    });
}

#[track_caller]
fn hunt_for(name: &str, scenario: Scenario) {
    hunt(name, scenario.before, move |app| play(app, scenario));
}

#[test]
fn a_first_save() {
    let steps = || vec![save("x", "", &new())];
    hunt_for("first save", Scenario { steps, prices: [PLAIN, NEW], ..CHANGED });
}

#[test]
fn a_save_over_what_is_live() {
    let before = || vec![save("x", "", &old())];
    let steps = || vec![save("x", "", &new())];
    hunt_for("save", Scenario { before, steps, ..CHANGED });
}

#[test]
fn a_draft_that_is_published() {
    let before = || vec![save("x", "", &old())];
    let steps = || vec![save("x", "?draft=true", &new()), publish(2)];
    hunt_for("draft, publish", Scenario { before, steps, ..CHANGED });
}

#[test]
fn a_list_that_comes_in_parts() {
    let before = || vec![save("x", "", &old()), save("x", "?draft=true", &new_by_list()), part(2)];
    let steps = || vec![part(1), publish(2)];
    hunt_for("part, publish", Scenario { before, steps, ..CHANGED });
}

#[test]
fn a_withdrawal() {
    let before = || vec![save("x", "", &old())];
    hunt_for(
        "withdraw",
        Scenario { before, steps: || vec![withdraw("")], prices: [OLD, PLAIN], ..CHANGED },
    );
}

#[test]
fn a_rollout() {
    let before = || vec![save("x", "", &old()), save("x", "?draft=true", &new())];
    hunt_for("rollout", Scenario { before, steps: || vec![roll_out()], ..CHANGED });
}

/// Whoever tries a draft has the live activity until the next draft is whole and rolled out.
#[test]
fn another_draft_while_one_is_rolled_out() {
    let before = || {
        let draft = off(30, &SKUS);
        vec![save("x", "", &old()), save("x", "?draft=true", &draft), roll_out()]
    };
    let steps = || vec![save("x", "?draft=true", &new()), roll_out()];
    hunt("draft under a rollout", before, move |app| async move {
        let mut shopper = Patient::new(&app, FAILURES_MAX);
        for asked in steps() {
            for attempt in 1.. {
                let reply = patient::ask(&app, &asked).await;
                app.advance_time(MEMORY_MS);
                let now = total(&shopper.until_answered(&evaluate(USER, &SKUS)).await);
                assert!([42_000, OLD, NEW].contains(&now), "{now} is half of something");
                if let Some(reply) = reply {
                    assert_eq!(reply.status, 200, "{reply:?}");
                    break;
                }
                assert!(attempt < ATTEMPTS_MAX, "{attempt} attempts: {asked:?}");
            }
        }
        app.advance_time(LATE_MS);
        assert_eq!(total(&shopper.until_answered(&evaluate(USER, &SKUS)).await), NEW);
        app.scenario_done();
    });
}

/// Old key sets, and parts of lists, go step by step; prices do not move meanwhile.
#[test]
fn a_sweep_of_what_is_retired() {
    let before = || {
        let list = save("x", "?draft=true", &new_by_list());
        vec![save("x", "", &old()), list, part(1), part(2), publish(2), save("x", "", &new())]
    };
    hunt("sweep", before, move |app| async move {
        app.advance_time(LATE_MS);
        play(
            app,
            Scenario { before, steps: || vec![sweep()], prices: [NEW, NEW], hits_the_sweep: true },
        )
        .await;
    });
}

fn prices(amount: u32, at: u32) -> Ask {
    let change = |sku: &&str| json!({"sku": sku, "unit_price": (amount * 100).to_string(), "changed_at": format!("2023-01-01T00:00:{at:02}Z")});
    let changes: Vec<_> = SKUS.iter().map(change).collect();
    post("/v1/prices", &json!({"currency": "CNY", "changes": changes}))
}

#[track_caller]
fn shown(reply: &Reply) -> Vec<String> {
    let page = reply.json();
    let items = page["items"].as_array().unwrap_or_else(|| panic!("{reply:?}"));
    items.iter().map(|item| item["unit_price"].as_str().unwrap_or_default().to_owned()).collect()
}

/// An older batch that comes later changes nothing, nor does one that is delivered again.
#[test]
fn batches_of_prices() {
    hunt(
        "prices",
        || vec![prices(1, 1)],
        move |app| async move {
            let mut client = Patient::new(&app, FAILURES_MAX);
            for (batch, expected) in [(prices(3, 3), "300"), (prices(2, 2), "300")] {
                let reply = client.until_answered(&batch).await;
                assert_eq!(reply.status, 200, "{reply:?}");
                for late_ms in [MEMORY_MS, LATE_MS] {
                    app.advance_time(late_ms);
                    let items: Vec<_> = SKUS.iter().map(|sku| json!({"sku": sku})).collect();
                    let page = json!({"currency": "CNY", "items": items}).to_string();
                    let reply =
                        client.until_answered(&Ask::post("/v1/promotions/labels", page)).await;
                    assert_eq!(shown(&reply), [expected; SKUS.len()], "{reply:?}");
                }
            }
        },
    );
}

/// Carts that are evaluated while an operator publishes, on the same instance or others, in every order
/// that a seed makes of the host calls. Each cart asks about other products than the one before, of which
/// the instance remembers some.
fn interleaved(place: &Place, seed: u64, concurrent: usize) -> usize {
    let mut options = options(place, format!("i{concurrent}-{:x}", seed & 0xffff_ffff));
    options.schedule = Schedule::Seeded(seed);
    options.random = Random::Seeded(seed);
    options.reuse = Reuse { concurrent, ..Reuse::default() };
    let simulated = simulate(options, move |app| async move {
        for asked in [save("x", "", &old()), evaluate(USER, &SKUS[..1])] {
            assert_eq!(asked.of(&app).await.status, 200);
        }
        let operator = async {
            for asked in [save("x", "", &new()), save("y", "", &off(10, &SKUS)), withdraw("")] {
                // Time moves for all, so that calls may take too long.
                let reply = Patient::new(&app, PATIENCE).until_answered(&asked).await;
                assert!(matches!(reply.status, 200 | 204), "{reply:?}");
            }
        };
        let shopper = |number: usize| {
            let app = app.clone();
            async move {
                let mut totals = Vec::new();
                for round in 0..6 {
                    let skus = &SKUS[..1 + (number + round) % SKUS.len()];
                    let asked = evaluate(USER, skus);
                    let reply = Patient::new(&app, PATIENCE).until_answered(&asked).await;
                    totals.push((skus.len(), total(&reply)));
                    app.advance_time(100);
                }
                totals
            }
        };
        let shoppers = join_all((0..4).map(shopper));
        let ((), totals) = futures::join!(operator, shoppers);
        totals.concat()
    });
    let simulated = simulated.unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
    let mut seen = std::collections::BTreeSet::new();
    for (count, total) in &simulated.result {
        let count = *count as i64;
        let (old, new, all) = (count.min(3) * 1_000, (count - 1) * 2_000, count * 1_000);
        // `y` comes beside either version of `x`, or alone; never a part of the SKUs of either.
        // Nothing at all: the heads of two activities are read at two moments, so that `x` may be seen to
        // have gone before `y` is seen to have come, for as long as an instance remembers.
        let allowed = [0, old, new, old + all, new + all, all].map(|off| count * 10_000 - off);
        assert!(allowed.contains(total), "{count} for {total}: not one of {allowed:?}");
        seen.insert(total);
    }
    seen.len()
}

#[test]
fn a_cart_sees_the_whole_of_an_activity_or_nothing_of_it() {
    let redis = Place::redis();
    let mut seen = 0;
    for first in seeds() {
        for seed in (0..SCHEDULES).map(|number| first.wrapping_add(number)) {
            let _named = Named::test(seed);
            for (place, concurrent) in [(&Place::Kv, 16), (&redis, 16), (&redis, 1)] {
                seen = seen.max(interleaved(place, seed, concurrent));
            }
        }
    }
    println!("up to {seen} different totals");
    assert!(seen > SKUS.len(), "the orders differ");
}
