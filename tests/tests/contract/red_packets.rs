//! What the app answers about red packets has the shapes and codes that the document lists: good and bad
//! input of each route, and every code that a route is documented with is reached.

use std::collections::BTreeSet;

use domain::ids::UserId;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use end_to_end::app::{Ask, Place};
use end_to_end::coupon::set_up_scene;
use end_to_end::openapi::{Contract, by_caller, wrong_objects};
use end_to_end::past;
use end_to_end::wallet::{
    decide_payment, differences, grab, look, look_at_rain, open, open_rain, open_rain_by, packet,
    packet_name, packet_paid, packet_paid_by, packet_to_pay, rain, rain_set_up, rain_with, send,
    set_up_rain, settle, statement, tell, unapplied_payments,
};
use host::Time;
use serde_json::{Value, json};
use store::numbers::{Family, Number, Watermarks};
use wallet::packet::LIFE_MS;

/// 2026-02-16T16:00:00Z
const START_MS: u64 = 1_771_257_600_000;

async fn contract() -> Contract {
    let mut options = Place::Kv.options();
    options.time = Time::Seeded { start_ms: START_MS };
    // A kept instance would run out of swaps on kv before its requests are over.
    options.reuse.requests = 32;
    Contract::with(options).await
}

/// The same for nobody.
fn nobody(ask: Ask) -> Ask {
    Ask { path: ask.path.replacen("/7", "/x", 1), ..ask }
}

/// A rain of another scene.
fn of_scene(scene: &str, field: &str, value: Value) -> Value {
    let mut rain = rain_with(field, value);
    rain["scene"] = json!(scene);
    rain
}

fn rounds(from: &str, until: &str) -> Value {
    json!([{"round": 1, "from": from, "until": until}])
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_rains_are_as_the_document_says() {
    let contract = contract().await;
    let app = &contract.app;
    let route = "/v1/rains/{rain}";
    let between = json!({"minimum": "1", "maximum": 500});
    let table = json!({"choices": [{"amount": 1, "weight": 99}, {"amount": "500", "weight": 1}]});
    // It ends at most 30 days after the version that `limited` has already.
    let mut longer = of_scene("limited", "limits", json!({"per_user": 1}));
    longer["rounds"] = rounds("1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z");
    let mut limited = longer.clone();
    limited["rounds"] = rounds("1970-01-01T00:00:00Z", "9999-01-01T00:00:00Z");
    let mut rows = vec![
        (200, "", set_up_rain("r", &rain())),
        (200, "", set_up_rain("r", &rain())),
        (200, "", set_up_rain("r", &rain_with("budget", json!(200_000)))),
        (200, "", set_up_rain("between", &of_scene("between", "amounts", between))),
        (200, "", set_up_rain("table", &of_scene("table", "amounts", table))),
        (400, "invalid_value", set_up_rain("new", &rain_with("budget", json!(-1)))),
        (400, "invalid_part", set_up_rain("R", &rain())),
        (400, "over_single_cap", set_up_rain("new", &rain_with("single_cap", json!(99)))),
        (400, "reserved_activity", set_up_rain("new", &rain_with("activity", json!("red-packet")))),
        (403, "operator_only", by_caller(set_up_rain("r", &rain()))),
        (409, "wrong_currency", set_up_rain("new", &of_scene("new", "currency", json!("USD")))),
        (409, "field_fixed", set_up_rain("r", &rain_with("scene", json!("other")))),
        (409, "scene_taken", set_up_rain("new", &rain())),
        (200, "", set_up_rain("limited", &limited)),
        (409, "limits_end", set_up_rain("limited", &longer)),
        (400, "invalid_value", set_up_rain("new", &rain_with("limits", json!({})))),
    ];
    rows.extend(wrong_objects(&set_up_rain("r", &rain()), r#""scene": "a""#));
    contract.check("put", route, rows).await;

    let (past, future) = ("1971-01-01T00:00:00Z", "9998-01-01T00:00:00Z");
    for (id, field, value) in [
        ("early", "rounds", rounds(future, "9999-01-01T00:00:00Z")),
        ("over", "rounds", rounds("1970-01-01T00:00:00Z", past)),
        ("off", "enabled", json!(false)),
        ("poor", "budget", json!(100)),
        ("one", "limits", json!({"per_user": 1})),
        ("round", "limits", json!({"per_round": 1})),
        ("hurried", "enabled", json!(true)),
    ] {
        rain_set_up(app, id, &of_scene(id, field, value)).await;
    }
    let hurried = json!({"award_type": "cash", "rate_limit": {"awards": 1, "seconds": 60}});
    assert_eq!(set_up_scene("hurried", &hurried).of(app).await.status, 200);
    let other_app = json!({"rain": "r", "round": 1, "award": "a", "app": 2});
    let of = |rain: &str, round: i32, award: &str| {
        open_rain_by(7, &json!({"rain": rain, "round": round, "award": award}))
    };
    let mut rows = vec![
        (201, "", open_rain(7, "r", "a")),
        (201, "", open_rain(7, "r", "a")),
        (201, "", open_rain(7, "poor", "a")),
        (201, "", open_rain(7, "one", "a")),
        (201, "", open_rain(7, "one", "a")),
        (201, "", open_rain(7, "round", "a")),
        (201, "", open_rain(7, "hurried", "a")),
        (201, "", open_rain(7, "hurried", "a")),
        (400, "invalid_id", nobody(open_rain(7, "r", "b"))),
        (400, "invalid_part", open_rain(7, "R", "b")),
        (400, "invalid_part", open_rain(7, "r", "")),
        (400, "invalid_value", of("r", 0, "b")),
        (404, "unknown_rain", open_rain(7, "new", "b")),
        (404, "unknown_round", of("r", 2, "b")),
        (409, "not_started", open_rain(7, "early", "b")),
        (409, "ended", open_rain(7, "over", "b")),
        (409, "disabled", open_rain(7, "off", "b")),
        (409, "budget_exhausted", open_rain(8, "poor", "b")),
        (409, "budget_exhausted", open_rain(8, "poor", "b")),
        (409, "user_limit", open_rain(7, "one", "b")),
        (409, "round_limit", open_rain(7, "round", "b")),
        (422, "order_number_reused", open_rain_by(7, &other_app)),
        (429, "rate_limited", open_rain(7, "hurried", "b")),
    ];
    rows.extend(wrong_objects(&open_rain(7, "r", "b"), r#""round": 1"#));
    let opening = "/v1/users/{user}/rain-packets";
    contract.check("post", opening, rows).await;
    let refused = (409, "budget_in_use", set_up_rain("r", &rain_with("budget", json!(99))));
    contract.check("put", route, vec![refused]).await;
    let rows = vec![
        (200, "", look_at_rain("r")),
        (400, "invalid_part", look_at_rain("R")),
        (401, "missing_token", look_at_rain("r").without("authorization")),
        (403, "operator_only", by_caller(look_at_rain("r"))),
        (404, "unknown_rain", look_at_rain("new")),
    ];
    contract.check("get", route, rows).await;
    contract.assert_all_reached(&[("put", route), ("get", route), ("post", opening)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_group_packets_are_as_the_document_says() {
    let contract = contract().await;
    let app = &contract.app;
    let mut rich = rain_with("amounts", json!({"fixed": 20_000}));
    (rich["single_cap"], rich["budget"]) = (json!(20_000), json!(100_000));
    rain_set_up(app, "r", &rich).await;
    assert_eq!(open_rain(7, "r", "a").of(app).await.status, 201);
    let mut equal = packet(7, "equal", 1_000, 3);
    equal["kind"] = json!("equal");
    let with = |field: &str, value: Value| {
        let mut packet = packet(7, "new", 1_000, 2);
        packet[field] = value;
        send(&packet)
    };
    let sending = "/v1/red-packets";
    let mut rows = vec![
        (201, "", send(&packet(7, "n", 1_000, 2))),
        (201, "", send(&packet(7, "n", 1_000, 2))),
        (201, "", send(&packet_to_pay(7, "later", 1_000, 2))),
        (201, "", send(&packet_to_pay(7, "never", 1_000, 2))),
        (201, "", send(&equal)),
        (400, "invalid_value", with("kind", json!("large"))),
        (400, "invalid_value", with("display", json!({"greeting": "a\nb"}))),
        (400, "invalid_value", with("display", json!({"picture": "http://a/b.png"}))),
        (400, "unknown_field", with("display", json!({"colour": "red"}))),
        (400, "invalid_id", with("sender", json!("-7"))),
        (400, "invalid_order_number", with("order_number", json!("a b"))),
        (400, "invalid_total", with("total", json!(1))),
        (400, "invalid_count", with("count", json!(0))),
        (409, "exceeds_balance", send(&packet(7, "new", 19_000, 2))),
        (409, "exceeds_balance", send(&packet(9, "new", 1_000, 2))),
        (422, "order_number_reused", send(&packet(7, "n", 2_000, 2))),
        (422, "order_number_reused", send(&packet_to_pay(7, "later", 2_000, 2))),
    ];
    rows.extend(wrong_objects(&with("count", json!(2)), r#""count": 2"#));
    contract.check("post", sending, rows).await;
    let name = |number: &str| packet_name(7, number);
    let paid = vec![(204, "", tell(&packet_paid(7, "later")))];
    contract.check("post", "/v1/events", paid).await;

    let (grabbing, opening) = ("/v1/red-packets/{packet}/grab", "/v1/red-packets/{packet}/open");
    for (route, ask) in [(grabbing, grab as fn(&str, u64) -> Ask), (opening, open)] {
        let wrong_user = |user: &str| ask(&name("n"), 8).json(format!(r#"{{"user": {user}}}"#));
        let mut rows = vec![
            (200, "", ask(&name("n"), 8)),
            (200, "", ask(&name("equal"), 7)),
            (200, "", ask(&name("later"), 9)),
            (400, "invalid_packet", ask("x", 8)),
            (400, "invalid_packet", ask("x.n", 8)),
            (400, "invalid_id", wrong_user("-7")),
            (404, "unknown_packet", ask(&name("x"), 8)),
            (409, "unpaid", ask(&name("never"), 8)),
        ];
        rows.extend(wrong_objects(&ask(&name("n"), 8), r#""user": 1"#));
        contract.check("post", route, rows).await;
    }
    let rows = vec![
        (200, "", open(&name("n"), 8)),
        (200, "", open(&name("n"), 9)),
        (409, "finished", open(&name("n"), 10)),
    ];
    contract.check("post", opening, rows).await;
    let rows =
        vec![(409, "already_opened", grab(&name("n"), 8)), (409, "finished", grab(&name("n"), 10))];
    contract.check("post", grabbing, rows).await;
    let looking = "/v1/red-packets/{packet}";
    let rows = vec![
        (200, "", look(&name("n"))),
        (200, "", look(&name("equal"))),
        (200, "", look(&name("never"))),
        (400, "invalid_packet", look("x")),
        (401, "missing_token", look(&name("n")).without("authorization")),
        (404, "unknown_packet", look(&name("x"))),
    ];
    contract.check("get", looking, rows).await;
    check_display(&contract).await;
    app.advance_time(LIFE_MS.unsigned_abs());
    for _ in 0..2 {
        let refused = |ask: fn(&str, u64) -> Ask| (409, "expired", ask(&name("equal"), 9));
        contract.check("post", grabbing, vec![refused(grab)]).await;
        contract.check("post", opening, vec![refused(open)]).await;
        // What was opened in time is told again.
        contract.check("post", opening, vec![(200, "", open(&name("equal"), 7))]).await;
        contract.check("get", looking, vec![(200, "", look(&name("equal")))]).await;
        // Once more when it is closed.
        assert_eq!(settle().of(app).await.status, 200);
    }
    let page = statement(7, "?limit=40").of(app).await;
    contract.document.check_reply("/v1/users/{user}/statement", "get", &page);
    let kinds = page.json()["entries"].as_array().expect("a list").clone();
    let kinds: Vec<_> = kinds.iter().filter_map(|entry| entry["kind"].as_str()).collect();
    for kind in ["rain", "packet", "refund", "packet_sent"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    assert_eq!(differences(app).await, Vec::<Value>::new());
    check_unapplied_payments(&contract).await;
    contract.assert_all_reached(&[
        ("post", sending),
        ("get", looking),
        ("post", grabbing),
        ("post", opening),
    ]);
}

/// A packet that nobody paid for was sent more than 30 days ago, and another one has its payment.
async fn check_unapplied_payments(contract: &Contract) {
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    let app = &contract.app;
    let twice = || tell(&packet_paid_by(Some("T-2"), 7, "later"));
    let paid = vec![(422, "may_be_the_same", twice()), (422, "may_be_the_same", twice())];
    contract.check("post", "/v1/events", paid).await;
    app.advance_time(31 * DAY_MS);
    let (listing, deciding) = ("/v1/unapplied-payments", "/v1/unapplied-payments/{payment_id}");
    let never = packet_name(7, "never");
    let second = format!("payment:T-2:{}", packet_name(7, "later"));
    let too_old = || (422, "too_old", tell(&packet_paid(7, "never")));
    contract.check("post", "/v1/events", vec![too_old(), too_old()]).await;
    let sent = || (422, "too_old", send(&packet_to_pay(7, "never", 1_000, 2)));
    contract.check("post", "/v1/red-packets", vec![sent()]).await;
    // Whatever nobody opened comes back first.
    assert_eq!(settle().of(app).await.status, 200);
    let found = differences(app).await;
    let found: BTreeSet<_> =
        found.iter().map(|one| (one["code"].to_string(), one["place"].to_string())).collect();
    let place = |name: &str| ("\"payment_unapplied\"".to_owned(), format!("\"{name}\""));
    assert_eq!(found, BTreeSet::from([place(&never), place(&second)]));
    let page = unapplied_payments("?limit=1").of(app).await;
    let cursor = page.text("cursor").expect("there are two");
    let listed = unapplied_payments("").of(app).await.json();
    let id = |packet: &str| {
        let mut payments = listed["payments"].as_array().expect("a list").iter();
        let found = payments.find(|one| one["packet"] == packet).expect("it waits");
        found["payment_id"].as_str().expect("an id").to_owned()
    };
    let (second, never) = (id(&packet_name(7, "later")), id(&packet_name(7, "never")));
    let rows = vec![
        (200, "", unapplied_payments("")),
        (200, "", unapplied_payments("?limit=1")),
        (200, "", unapplied_payments(&format!("?cursor={cursor}"))),
        (400, "invalid_value", unapplied_payments("?cursor=x")),
        (400, "invalid_value", unapplied_payments("?limit=0")),
        (400, "invalid_value", unapplied_payments("?limit=101")),
        (400, "unknown_field", unapplied_payments("?x=y")),
        (400, "duplicate_field", unapplied_payments("?cursor=1&cursor=1")),
        (401, "missing_token", unapplied_payments("").without("authorization")),
        (403, "operator_only", by_caller(unapplied_payments(""))),
    ];
    contract.check("get", listing, rows).await;
    let decide = |decision| decide_payment(&never, decision);
    let path = format!("/v1/unapplied-payments/{never}");
    let raw = |body: &str| Ask::post(path.clone(), body.to_owned()).operator();
    let mut rows = vec![
        (400, "invalid_value", decide("keep")),
        (400, "missing_field", raw(r#"{"decision": "drop"}"#)),
        (400, "invalid_value", raw(r#"{"decision": "drop", "reason": " "}"#)),
        (403, "operator_only", by_caller(decide("drop"))),
        (404, "unknown_payment", decide_payment("x", "drop")),
        (404, "unknown_payment", decide_payment("0.YQ", "credit")),
        (404, "unknown_payment", decide_payment("0.YQ", "drop")),
    ];
    rows.extend(wrong_objects(&decide("drop"), r#""decision": "drop""#));
    rows.extend([
        (204, "", raw(r#"{"decision": "credit"}"#)),
        (204, "", raw(r#"{"decision": "credit"}"#)),
        (409, "decided_otherwise", decide("credit")),
        (409, "decided_otherwise", decide("drop")),
        (204, "", decide_payment(&second, "drop")),
        (204, "", decide_payment(&second, "drop")),
        (409, "decided_otherwise", decide_payment(&second, "credit")),
    ]);
    contract.check("post", deciding, rows).await;
    assert_eq!(settle().of(app).await.status, 200);
    // What was given back elsewhere was not applied, and what cannot be paid is not sent again.
    let told = vec![(204, "", tell(&packet_paid(7, "never"))), (422, "may_be_the_same", twice())];
    contract.check("post", "/v1/events", told).await;
    contract.check("post", "/v1/red-packets", vec![sent()]).await;
    assert_eq!(differences(app).await, Vec::<Value>::new());
    contract.assert_all_reached(&[("get", listing), ("post", deciding)]);
}

/// Nothing is kept of a packet but the mark of its number.
#[tokio::test(flavor = "multi_thread")]
async fn answers_about_a_forgotten_packet_are_as_the_document_says() {
    let place = Place::redis();
    let contract = Contract::with(place.options().variable("key_prefix", past::PREFIX)).await;
    let (app, partitions) = (&contract.app, Partitions::default());
    let number =
        Number { family: Family::Packets, user: UserId(7), number: "gone", ordered_at: None };
    let now = UnixMillis(0);
    let marks = Watermarks::default().forget([number], now, partitions).expect("a mark");
    let home = partitions.locate(UserId(7)).partition;
    past::write(place.address(), home, marks.writes).await;
    for packet in [packet(7, "gone", 1_000, 2), packet_to_pay(7, "gone", 1_000, 2)] {
        let sent = (422, "too_old", send(&packet));
        contract.check("post", "/v1/red-packets", vec![sent]).await;
    }
    let told = || (422, "too_old", tell(&packet_paid_by(Some("T-9"), 7, "gone")));
    contract.check("post", "/v1/events", vec![told(), told()]).await;
    let listed = unapplied_payments("").of(app).await;
    contract.document.check_reply("/v1/unapplied-payments", "get", &listed);
    let listed = listed.json();
    let [payment] = &listed["payments"].as_array().expect("a list")[..] else { panic!("{listed}") };
    assert_eq!((&payment["code"], &payment["amount"]), (&json!("too_old"), &Value::Null));
    let id = payment["payment_id"].as_str().expect("an id");
    let rows = vec![
        (409, "amount_unknown", decide_payment(id, "credit")),
        (204, "", decide_payment(id, "drop")),
        (409, "decided_otherwise", decide_payment(id, "credit")),
    ];
    contract.check("post", "/v1/unapplied-payments/{payment_id}", rows).await;
    contract.check("post", "/v1/events", vec![told()]).await;
}

/// What is shown of a packet is no part of the order: it may come with a later attempt, and the first one
/// counts.
async fn check_display(contract: &Contract) {
    let shown = async |packet: &Value| {
        let sent = (201, "", send(packet));
        contract.check("post", "/v1/red-packets", vec![sent]).await;
        let reply = look(&packet_name(7, "shown")).of(&contract.app).await;
        contract.document.check_reply("/v1/red-packets/{packet}", "get", &reply);
        reply.json()["display"].clone()
    };
    let mut sent = packet_to_pay(7, "shown", 1_000, 2);
    let default = json!({"name": "7", "greeting": "恭喜发财，大吉大利"});
    assert_eq!(shown(&sent).await, default);
    let first =
        json!({"name": "Li Lei", "picture": "https://a/b.png", "greeting": "Happy new year"});
    sent["display"] = first.clone();
    assert_eq!(shown(&sent).await, first);
    sent["display"] = json!({"name": "Han Meimei"});
    assert_eq!(shown(&sent).await, first);
}
