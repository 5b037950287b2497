//! Cost grows with the cart and not with the catalogue: 100,000 live activities over a million SKUs, and
//! one activity over 300,000 of them.

use std::time::{Duration, Instant};

use binding::redis::Redis;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use end_to_end::app::{Ask, Place, load};
use end_to_end::carts::{activity, cart, cent_off, evaluate, publish, sku};
use end_to_end::redis_port::NativeConnector;
use futures::{FutureExt, StreamExt, stream};
use host::{App, Counters, Options, Time};
use http::Method;
use pricing::activity::Activity;
use promotion::catalogue::Catalogue;
use promotion::context::Context;
use promotion::publish::{Which, save};
use serde_json::{Value, json};

/// 2026-02-16T16:00:00Z
const START_MS: u64 = 1_771_257_600_000;
/// After this time an instance reads its configuration again, and all that it knows.
const FORGETS_MS: u64 = 501;
/// SKUs of one activity.
const SKUS: usize = 10;
/// Activities that are published at once.
const AT_ONCE: usize = 64;

/// An app with so many live activities, each over ten SKUs of its own.
async fn shop(place: &Place, activities: usize) -> App {
    let connector = NativeConnector::default();
    let partitions = Partitions::default();
    let store = Redis::new(&connector, vec![place.address()], "hb", "live", partitions);
    let now = UnixMillis(i64::try_from(START_MS).expect("it is a time"));
    let saved = stream::iter(0..activities).map(|number| {
        let store = &store;
        async move {
            let skus: Vec<_> = (0..SKUS).map(|place| sku(number * SKUS + place)).collect();
            let mut activity = cent_off(&skus);
            activity["id"] = json!(format!("a{number}"));
            let activity: Activity = serde_json::from_value(activity).expect("an activity");
            activity.validate().expect("a valid one");
            let catalogue = Catalogue::new(7);
            let world = store::Context {
                store,
                partitions,
                now,
                timer: store::Timer::begin(
                    |ms| Box::pin(tokio::time::sleep(Duration::from_millis(ms))),
                    || 0,
                ),
            };
            let context = Context { world, catalogue: &catalogue };
            // Boxed: its type is too deep to be laid out.
            save(&context, &activity, Which::Live).boxed_local().await.expect("it is published");
        }
    });
    saved.buffer_unordered(AT_ONCE).collect::<()>().await;
    app(place).await
}

async fn app(place: &Place) -> App {
    let time = Time::Seeded { start_ms: START_MS };
    load(Options { fuel: true, time, ..place.options() }).await
}

async fn cost(app: &App, ask: Ask) -> (Counters, Value) {
    let before = app.counters();
    let reply = ask.of(app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    (app.counters().since(&before), reply.json())
}

/// What a cart of 20 lines costs when an instance knows nothing of it, and when it does.
async fn costs(app: &App) -> (Counters, Counters) {
    let cart = cart(20);
    cost(app, evaluate(&cart)).await;
    app.advance_time(FORGETS_MS);
    let (first, evaluation) = cost(app, evaluate(&cart)).await;
    // Twenty SKUs, of which two activities have ten each.
    assert_eq!(evaluation["discount"], "20", "{evaluation}");
    let (again, _) = cost(app, evaluate(&cart)).await;
    (first, again)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_costs_no_more_among_100_000_activities_than_among_100() {
    let (few, many) = (Place::redis(), Place::redis());
    let few = shop(&few, 100).await;
    let begin = Instant::now();
    let many_activities = 100_000;
    let many = shop(&many, many_activities).await;
    println!("{many_activities} activities were published in {:?}", begin.elapsed());

    let ((few_first, few_again), (many_first, many_again)) =
        (costs(&few).await, costs(&many).await);
    for (name, few, many) in
        [("first", &few_first, &many_first), ("again", &few_again, &many_again)]
    {
        let ratio = many.fuel as f64 / few.fuel as f64;
        println!("{name}: {} and {} fuel, {ratio:.3}", few.fuel, many.fuel);
        assert!(ratio <= 1.2, "{ratio}");
        assert_eq!(many.store_round_trips(), few.store_round_trips());
    }

    // Publishing touches what it names.
    let another = cent_off(&[sku(3), sku(13), sku(999_999)]);
    let (few, _) = cost(&few, publish("another", &another)).await;
    let (many, _) = cost(&many, publish("another", &another)).await;
    println!("publishing: {} and {} fuel", few.fuel, many.fuel);
    assert_eq!(few.store_round_trips(), many.store_round_trips());
    assert!(many.fuel as f64 <= 1.2 * few.fuel as f64, "{} and {}", few.fuel, many.fuel);
}

fn put_part(id: &str, part: usize, skus: &[String]) -> Ask {
    let path = format!("/v1/activities/{id}/sku-list/{part}");
    Ask::new(Method::PUT, path).json(json!({"skus": skus}).to_string()).operator()
}

fn publish_version(id: &str, version: &Value) -> Ask {
    let body = json!({"version": version}).to_string();
    Ask::new(Method::POST, format!("/v1/activities/{id}/publish")).json(body).operator()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_over_300_000_skus_is_published_in_parts() {
    const PARTS: usize = 300;
    const PART: usize = 1_000;
    let place = Place::redis();
    let app = place.app().await;
    let products = json!({"sku_list": {"name": "spring", "parts": PARTS}});
    let tiers = json!([{"benefit": {"percent_off": {"percent": 10}}}]);
    let draft = activity("Spring", "sku", &products, &tiers);
    let save = publish("spring", &draft);
    let save = Ask { path: format!("{}?draft=true", save.path), ..save };
    let (_, saved) = cost(&app, save).await;
    let begin = Instant::now();
    for part in 1..=PARTS {
        let skus: Vec<_> = (0..PART).map(|place| sku((part - 1) * PART + place)).collect();
        let (_, progress) = cost(&app, put_part("spring", part, &skus)).await;
        assert_eq!(progress, json!({"received": part.to_string(), "parts": PARTS}));
        if part == PARTS / 2 {
            // Half of it is nothing yet; whoever was interrupted sends what was under way again.
            let reply = publish_version("spring", &saved["version"]).of(&app).await;
            assert_eq!((reply.status, reply.text("code").as_deref()), (409, Some("incomplete")));
            let (_, progress) = cost(&app, put_part("spring", part, &skus)).await;
            assert_eq!(progress["received"], part.to_string());
            assert_eq!(evaluate(&cart(1)).of(&app).await.json()["discount"], "0");
        }
    }
    println!("{PARTS} parts of {PART} SKUs were sent in {:?}", begin.elapsed());
    cost(&app, publish_version("spring", &saved["version"])).await;
    for number in [0, 150_000, 299_999] {
        let mut cart = cart(1);
        cart["lines"][0]["sku"] = json!(sku(number));
        assert_eq!(until_discount(&app, &cart).await, "199");
    }
    let mut outside = cart(1);
    outside["lines"][0]["sku"] = json!(sku(300_000));
    let (_, evaluation) = cost(&app, evaluate(&outside)).await;
    assert_eq!(evaluation["discount"], "0", "{evaluation}");
}

/// The discount of a cart, as soon as every instance has to know what was published.
async fn until_discount(app: &App, cart: &Value) -> String {
    let begin = Instant::now();
    loop {
        let (_, evaluation) = cost(app, evaluate(cart)).await;
        let discount = evaluation["discount"].as_str().expect("a text").to_owned();
        if discount != "0" || begin.elapsed() > Duration::from_secs(1) {
            return discount;
        }
    }
}
