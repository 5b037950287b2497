//! Scenes: what an award type does is configuration. On kv and on redis, over HTTP.

use std::time::Duration;

use end_to_end::app::{Place, assert_refused, load};
use end_to_end::coupon::{
    Stock, cancel, confirm, issue, list, look, look_at_scene, published, reserve, set_up_scene,
    sweep, template,
};
use end_to_end::group_buy::{ended, open, set_up};
use end_to_end::openapi::{Document, as_text, by_caller, too_large};
use end_to_end::wallet::{open_rain, rain, rain_set_up};
use futures::future::join_all;
use host::{App, Time};
use serde_json::{Value, json};

/// 2096-02-16T16:00:00Z: what Redis collects, by its own clock, is collected later.
const START_MS: u64 = 3_980_246_400_000;
const SCENE: &str = "/v1/scenes/{scene}";
const MINUTE_MS: u64 = 60_000;

async fn app(place: &Place) -> App {
    let mut options = place.options();
    options.time = Time::Seeded { start_ms: START_MS };
    load(options).await
}

async fn scene(app: &App, id: &str, scene: Value) {
    let reply = set_up_scene(id, &scene).of(app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// A template of a scene.
fn of(scene: &str, stock: Option<u64>, limit: u32) -> Value {
    let mut body = template(0);
    body["scene"] = json!(scene);
    body["stock"] = json!(stock);
    body["limit_per_user"] = json!(limit);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_keeps_the_statement_with_which_it_was_given() {
    for place in Place::all() {
        let app = app(&place).await;
        scene(&app, "s", json!({"award_type": "cash", "statement": "Lucky money"})).await;
        published(&app, "t", &of("s", Some(9), 9)).await;
        let reply = issue(7, "t", "n").of(&app).await;
        assert_eq!(reply.json()["coupon"]["statement"], "Lucky money", "{reply:?}");
        scene(&app, "s", json!({"award_type": "cash", "statement": "Spring gift"})).await;
        let reply = issue(7, "t", "m").of(&app).await;
        assert_eq!(reply.json()["coupon"]["statement"], "Spring gift", "{reply:?}");
        let listed = list(7).of(&app).await.json();
        let says = |index: usize| listed["coupons"][index]["statement"].clone();
        assert_eq!([says(0), says(1)], ["Lucky money", "Spring gift"], "{listed}");
        // A scene that nobody set up says nothing.
        published(&app, "plain", &of("other", Some(9), 9)).await;
        let reply = issue(7, "plain", "p").of(&app).await;
        assert_eq!(reply.json()["coupon"].get("statement"), None, "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_holds_for_each_user_and_for_all_templates_of_the_scene() {
    for place in Place::all() {
        let app = app(&place).await;
        let limit = json!({"awards": 2, "seconds": 60});
        scene(&app, "s", json!({"award_type": "cash", "rate_limit": limit})).await;
        published(&app, "t", &of("s", Some(50), 50)).await;
        published(&app, "u", &of("s", Some(50), 50)).await;
        for number in ["n1", "n2", "n1", "n2"] {
            let reply = issue(7, "t", number).of(&app).await;
            assert_eq!(reply.status, 201, "a replay is no award: {reply:?}");
        }
        let reply = issue(7, "t", "n3").of(&app).await;
        assert_refused(&reply, 429, "rate_limited");
        assert_eq!(reply.header("retry-after"), Some("60"), "{reply:?}");
        assert_eq!(issue(8, "u", "m").of(&app).await.status, 201);
        assert_refused(&issue(7, "u", "m").of(&app).await, 429, "rate_limited");
        app.advance_time(MINUTE_MS - 1);
        let reply = reserve(7, "u", "m", 60).of(&app).await;
        assert_refused(&reply, 429, "rate_limited");
        assert_eq!(reply.header("retry-after"), Some("1"), "{reply:?}");
        app.advance_time(1);
        assert_eq!(issue(7, "u", "m").of(&app).await.status, 201);
        // Whoever was refused took nothing with them.
        for id in ["t", "u"] {
            let stock = Stock::of(&look(id).of(&app).await);
            assert_eq!(stock.issued, 2, "{stock:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_of_rains_and_coupons_of_a_scene_keep_to_one_pace() {
    for place in Place::all() {
        let app = app(&place).await;
        let limit = json!({"awards": 2, "seconds": 60});
        scene(&app, "rain", json!({"award_type": "cash", "rate_limit": limit})).await;
        published(&app, "t", &of("rain", Some(50), 50)).await;
        rain_set_up(&app, "r", &rain()).await;
        assert_eq!(open_rain(7, "r", "a").of(&app).await.status, 201);
        assert_eq!(issue(7, "t", "n").of(&app).await.status, 201);
        for asked in [open_rain(7, "r", "b"), issue(7, "t", "m")] {
            let reply = asked.of(&app).await;
            assert_refused(&reply, 429, "rate_limited");
            assert_eq!(reply.header("retry-after"), Some("60"), "{reply:?}");
        }
        let again = open_rain(7, "r", "a").of(&app).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
        assert_eq!(open_rain(8, "r", "a").of(&app).await.status, 201);
        app.advance_time(MINUTE_MS);
        assert_eq!(open_rain(7, "r", "b").of(&app).await.status, 201);
        assert_eq!(issue(7, "t", "m").of(&app).await.status, 201);
        assert_refused(&open_rain(7, "r", "c").of(&app).await, 429, "rate_limited");
        assert_eq!(Stock::of(&look("t").of(&app).await).issued, 2);
    }
}

/// On the machine's clock: requests of one instance that wait for each other wait on it.
#[tokio::test(flavor = "multi_thread")]
async fn of_ten_at_once_as_many_are_given_as_the_rate_limit_lets() {
    for place in Place::all() {
        let app = place.app().await;
        let limit = json!({"awards": 2, "seconds": 3_600});
        scene(&app, "s", json!({"award_type": "cash", "rate_limit": limit})).await;
        published(&app, "t", &of("s", Some(50), 50)).await;
        let asked: Vec<_> = (0..10).map(|number| issue(7, "t", &format!("n{number}"))).collect();
        let replies = join_all(asked.iter().map(|asked| asked.of(&app))).await;
        let given = replies.iter().filter(|reply| reply.status == 201).count();
        assert_eq!(given, 2, "{replies:?}");
        for reply in replies.iter().filter(|reply| reply.status != 201) {
            assert_refused(reply, 429, "rate_limited");
        }
        assert_eq!(Stock::of(&look("t").of(&app).await).issued, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_stock_as_many_are_given_as_are_asked_for() {
    for place in Place::all() {
        let app = app(&place).await;
        scene(&app, "s", json!({"award_type": "pendant", "stock": false})).await;
        published(&app, "t", &of("s", None, 1)).await;
        for user in 0..20_u64 {
            assert_eq!(issue(user * 1_000_003, "t", "n").of(&app).await.status, 201);
        }
        assert_refused(&issue(0, "t", "m").of(&app).await, 409, "user_limit");
        for user in [100, 101, 102] {
            assert_eq!(reserve(user, "t", "n", 60).of(&app).await.status, 201);
        }
        assert_eq!(confirm(100, "n").of(&app).await.status, 200);
        assert_eq!(cancel(101, "n").of(&app).await.status, 200);
        let shown = look("t").of(&app).await.json();
        let stock = json!({"total": "22", "issued": "21", "reserved": "1"});
        assert_eq!(shown["stock"], stock, "{shown}");
        let amount = json!({"total": "33000", "issued": "31500", "reserved": "1500"});
        assert_eq!(shown["amount"], amount, "{shown}");
        app.advance_time(MINUTE_MS);
        assert_eq!(sweep().of(&app).await.text("expired").as_deref(), Some("1"));
        let shown = look("t").of(&app).await.json();
        assert_eq!(shown["stock"]["reserved"], "0", "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_goes_with_its_scene() {
    for place in Place::all() {
        let app = app(&place).await;
        let publish =
            async |id: &str, body: &Value| end_to_end::coupon::publish(id, body).of(&app).await;
        scene(&app, "s", json!({"award_type": "pendant", "stock": false})).await;
        let reply = publish("t", &of("s", Some(1), 1)).await;
        assert_refused(&reply, 400, "invalid_value");
        assert_eq!(reply.text("field").as_deref(), Some("stock"), "{reply:?}");
        let reply = publish("t", &of("counted", None, 1)).await;
        assert_refused(&reply, 400, "invalid_value");
        assert_eq!(reply.text("field").as_deref(), Some("stock"), "{reply:?}");
        // What was published without a stock cannot be counted afterwards, nor the other way round.
        published(&app, "t", &of("s", None, 1)).await;
        assert_refused(&publish("t", &of("s", Some(1), 1)).await, 409, "field_fixed");
        published(&app, "u", &of("counted", Some(1), 1)).await;
        assert_refused(&publish("u", &of("counted", None, 1)).await, 409, "field_fixed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reward_lapses_where_the_scene_is_not_compensated() {
    for place in Place::all() {
        let app = app(&place).await;
        scene(&app, "s", json!({"award_type": "cash", "compensated": false})).await;
        published(&app, "t", &of("s", Some(0), 1)).await;
        assert_eq!(set_up("c", "t", true).of(&app).await.status, 200);
        assert_eq!(open(7, "c", "g").of(&app).await.status, 201);
        assert_eq!(ended("succeeded", 7, "c", "g").of(&app).await.status, 204);
        assert_eq!(sweep().of(&app).await.text("rewarded").as_deref(), Some("0"));
        let reply = open(7, "c", "g").of(&app).await;
        assert_eq!(reply.text("state").as_deref(), Some("lapsed"), "{reply:?}");
        published(&app, "t", &of("s", Some(5), 1)).await;
        app.advance_time(MINUTE_MS);
        assert_eq!(sweep().of(&app).await.text("rewarded").as_deref(), Some("0"));
        assert_eq!(list(7).of(&app).await.json()["coupons"], json!([]));
        assert_refused(&open(7, "c", "h").of(&app).await, 409, "chance_used");
    }
}

/// Another instance, which has read the template and its scene, sees the change within a second of real
/// time.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_effective_within_a_second() {
    let place = Place::redis();
    let (one, other) = (place.app().await, place.app().await);
    scene(&one, "s", json!({"award_type": "cash"})).await;
    published(&one, "t", &of("s", Some(500), 500)).await;
    assert_eq!(issue(7, "t", "a").of(&other).await.status, 201);
    let statement = json!({"award_type": "cash", "statement": "Lucky money"});
    scene(&one, "s", statement).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let reply = issue(7, "t", "b").of(&other).await;
    assert_eq!(reply.json()["coupon"]["statement"], "Lucky money", "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_scenes_are_as_the_document_says() {
    for place in Place::all() {
        let app = place.app().await;
        let document = Document::of(&app).await;
        let put = |scene: Value| set_up_scene("s", &scene);
        let full = json!({
            "award_type": "voucher", "statement": "Gift", "compensated": false, "stock": true,
            "rate_limit": {"awards": 1_000, "seconds": 2_678_400},
        });
        let limit = |awards: u32| json!({"award_type": "cash", "rate_limit": {"awards": awards, "seconds": 60}});
        let rows = vec![
            (200, "", put(full.clone())),
            (200, "", put(full.clone())),
            (200, "", put(json!({"award_type": "cash"}))),
            (400, "missing_field", put(json!({}))),
            (400, "unknown_field", put(json!({"award_type": "cash", "x": 1}))),
            (400, "invalid_part", put(json!({"award_type": "Cash"}))),
            (400, "invalid_part", set_up_scene("S", &full)),
            (400, "invalid_value", put(limit(0))),
            (400, "invalid_json", put(json!(1)).json("{")),
            (403, "operator_only", by_caller(put(full.clone()))),
            (409, "field_fixed", put(json!({"award_type": "cash", "stock": false}))),
            (413, "body_too_large", too_large(put(full.clone()))),
            (415, "unsupported_media_type", as_text(put(full.clone()))),
        ];
        document.check(&app, "put", SCENE, rows).await;
        let rows = vec![
            (200, "", look_at_scene("s")),
            (400, "invalid_part", look_at_scene("S")),
            (403, "operator_only", by_caller(look_at_scene("s"))),
            (404, "unknown_scene", look_at_scene("x")),
        ];
        document.check(&app, "get", SCENE, rows).await;
        let shown = look_at_scene("s").of(&app).await.json();
        assert_eq!(shown["award_type"], "cash", "{shown}");
    }
}
