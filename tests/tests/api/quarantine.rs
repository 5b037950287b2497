//! What cannot be done for a fault of its own records is set aside after a while, told, and comes back or goes.

use domain::ids::UserId;
use domain::partition::Partitions;
use end_to_end::app::{Place, assert_refused, load};
use end_to_end::dump::write_past;
use end_to_end::wallet::{
    differences, drop_item, open_rain, quarantine, rain, rain_number, rain_set_up, retry, settle,
    view,
};
use host::{App, Time};
use serde_json::{Value, json};

const PARTITIONS: u32 = 4;
const START_MS: u64 = 1_771_257_600_000;
/// So long something must have been due.
const PATIENCE_MS: u64 = 10 * 60_000;
const USER: u64 = 7;

async fn settled(app: &App) -> Value {
    let reply = settle().of(app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

async fn items(app: &App) -> Vec<Value> {
    let reply = quarantine("").of(app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["items"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_set_aside_told_and_comes_back_or_goes() {
    let place = Place::redis();
    let mut options = place.options().variable("partitions", PARTITIONS.to_string());
    options.time = Time::Seeded { start_ms: START_MS };
    let app = load(options).await;
    rain_set_up(&app, "r", &rain()).await;
    for award in ["a", "b"] {
        assert_eq!(open_rain(USER, "r", award).of(&app).await.status, 201);
    }
    let partitions = Partitions::new(PARTITIONS).expect("a power of two");
    let home = partitions.locate(UserId(USER)).partition.to_string();
    let numbers = ["a", "b"].map(|award| rain_number(USER, award));
    let write = |number: &str, bytes: &[u8]| {
        write_past(&place.address(), &home, &format!("mk{USER}"), number, bytes)
    };
    let were = numbers.clone().map(|number| write(&number, b"\xffno"));

    // At first they may only be late.
    let told = settled(&app).await;
    let counts = ["stuck", "set_aside", "quarantined", "left"];
    assert_eq!(counts.map(|name| &told[name]), ["2", "0", "0", "0"], "{told}");
    assert_eq!(items(&app).await, Vec::<Value>::new());
    app.advance_time(PATIENCE_MS);
    let told = settled(&app).await;
    assert_eq!(counts.map(|name| &told[name]), ["0", "2", "2", "0"], "{told}");
    assert!(told["set_aside_items"][0]["place"].as_str().unwrap().contains("of user 7"), "{told}");
    assert_eq!(app.stderr().matches(r#""code":"set_aside""#).count(), 2, "{}", app.stderr());
    let told = settled(&app).await;
    assert_eq!(counts.map(|name| &told[name]), ["0", "0", "2", "0"], "{told}");

    // Each stands on a page of its own, with its reason.
    let first = quarantine("?limit=1").of(&app).await.json();
    let cursor = first["cursor"].as_str().expect("there is more").to_owned();
    let second = quarantine(&format!("?limit=1&cursor={cursor}")).of(&app).await.json();
    let both = items(&app).await;
    assert_eq!(both, [first["items"][0].clone(), second["items"][0].clone()]);
    assert!(both[0]["cause"].as_str().unwrap().contains(&numbers[0]), "{both:?}");
    let id = |item: &Value| item["id"].as_str().expect("an id").to_owned();

    // One is repaired and put back; then it is posted.
    write(&numbers[0], &were[0]);
    let reply = retry(&id(&both[0])).of(&app).await;
    assert_eq!((reply.status, reply.json()), (200, both[0].clone()));
    assert_refused(&retry(&id(&both[0])).of(&app).await, 404, "unknown_item");
    let told = settled(&app).await;
    assert_eq!([&told["tokens"], &told["quarantined"]], ["1", "1"], "{told}");

    // One that fails again is set aside at once.
    assert_eq!(retry(&id(&both[1])).of(&app).await.status, 200);
    let told = settled(&app).await;
    assert_eq!(counts.map(|name| &told[name]), ["0", "1", "1", "0"], "{told}");

    // What is dropped is out, for a reason that is kept, and reconciliation names it.
    assert_refused(&drop_item(&id(&both[1]), " ").of(&app).await, 400, "invalid_value");
    assert_eq!(drop_item(&id(&both[1]), "paid by hand").of(&app).await.status, 200);
    assert!(app.stderr().contains("paid by hand"), "{}", app.stderr());
    assert_eq!(items(&app).await, Vec::<Value>::new());
    let dropped = quarantine("?state=dropped").of(&app).await.json();
    assert_eq!(dropped["items"][0]["dropped"], "paid by hand", "{dropped}");
    let codes = async || -> Vec<Value> {
        differences(&app).await.iter().map(|one| one["code"].clone()).collect()
    };
    let found = codes().await;
    assert!(["token_unreadable", "dropped"].iter().all(|code| found.contains(&json!(code))));
    write(&numbers[1], &were[1]);
    assert_eq!(codes().await, [json!("dropped")]);
    // Even that comes back.
    assert_eq!(retry(&id(&both[1])).of(&app).await.status, 200);
    assert_eq!(settled(&app).await["tokens"], "1");
    assert_eq!(codes().await, Vec::<Value>::new());
    let shown = view(USER).of(&app).await;
    assert_eq!(shown.status, 200, "{shown:?}");
}
