//! What evaluating a cart costs, as the host counts it: fuel of the whole request, JSON in and answer out,
//! and store round trips.

use end_to_end::app::{Place, Reply, load};
use end_to_end::carts::{cart, evaluate, of_number, publish};
use host::{App, Counters, Options, Time};
use serde_json::Value;

/// 2026-02-16T16:00:00Z
const START_MS: u64 = 1_771_257_600_000;
/// After this time an instance reads its configuration again, and all that it knows.
const FORGETS_MS: u64 = 501;
/// What platforms set for the discount functions of a whole cart: 200 lines.
const FUEL_MAX: u64 = 11_000_000;

async fn app(place: &Place) -> App {
    let time = Time::Seeded { start_ms: START_MS };
    load(Options { fuel: true, time, ..place.options() }).await
}

async fn publish_all(app: &App, activities: std::ops::Range<usize>) {
    for number in activities {
        let reply = publish(&format!("a{number}"), &of_number(number)).of(app).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

async fn cost(app: &App, cart: &Value) -> (Counters, Reply) {
    let before = app.counters();
    let reply = evaluate(cart).of(app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    (app.counters().since(&before), reply)
}

/// How many activities were given.
fn applied(reply: &Reply) -> usize {
    let evaluation = reply.json();
    let explanations = evaluation["explanations"].as_array().expect("a list");
    explanations.iter().filter(|one| one["applied"] == true).count()
}

/// A cart as an instance meets it first, and then again, when it knows the activities.
struct Cost {
    first: Counters,
    again: Counters,
    applied: usize,
    considered: usize,
}

async fn costs(app: &App, lines: usize) -> Cost {
    let cart = cart(lines);
    cost(app, &cart).await;
    app.advance_time(FORGETS_MS);
    let (first, reply) = cost(app, &cart).await;
    let (again, _) = cost(app, &cart).await;
    let considered = reply.json()["explanations"].as_array().map_or(0, Vec::len);
    Cost { first, again, applied: applied(&reply), considered }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fuel_of_a_request_is_far_inside_the_limit_and_grows_about_linearly() {
    let place = Place::redis();
    println!(
        "{:>6}{:>11}{:>9}{:>14}{:>14}{:>7}",
        "lines", "activities", "applied", "fuel, first", "fuel, again", "trips"
    );
    let app = app(&place).await;
    let mut published = 0;
    let mut largest = None;
    let mut table: Vec<(usize, usize, u64)> = Vec::new();
    for activities in [1, 5, 25, 50] {
        publish_all(&app, published..activities).await;
        published = activities;
        for lines in [1, 20, 100, 200] {
            let Cost { first, again, applied, considered } = costs(&app, lines).await;
            println!(
                "{lines:>6}{considered:>11}{applied:>9}{:>14}{:>14}{:>7}",
                first.fuel,
                again.fuel,
                first.store_round_trips()
            );
            table.push((lines, activities, again.fuel));
            if (lines, activities) == (200, 25) {
                assert!(applied >= 20, "{applied} of 25 apply");
                largest = Some(first.fuel.max(again.fuel));
            }
            // All that an instance does not know it reads in two waves of at most one commit a shelf.
            assert!(first.store_round_trips() <= 32, "{first:?}");
            assert_eq!(again.store_round_trips(), 0, "{again:?}");
        }
    }
    let largest = largest.expect("200 lines with 25 activities were measured");
    assert!(largest <= FUEL_MAX, "{largest} of {FUEL_MAX}");
    let of = |lines, activities| {
        let row = table.iter().find(|row| (row.0, row.1) == (lines, activities));
        row.expect("it was measured").2 as f64
    };
    // Twice as much of the one costs at most twice as much.
    assert!(of(200, 25) <= 2.2 * of(100, 25), "lines");
    assert!(of(200, 50) <= 2.2 * of(200, 25), "activities");
}
