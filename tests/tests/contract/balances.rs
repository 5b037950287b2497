//! What the app answers about balances and settlement has the shapes and codes that the document lists:
//! good and bad input of each route, and every code that a route is documented with is reached.
//! `red_packets.rs` is the same for red packets.

use domain::ids::UserId;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use domain::transaction::Write;
use end_to_end::app::{Ask, Place, SIGNING_KEYS, verifying_keys};
use end_to_end::dump::write_past;
use end_to_end::openapi::{Contract, Row, as_text, by_caller, too_large, wrong_objects};
use end_to_end::past;
use end_to_end::wallet::{
    STAGE, collect, differences, drop_item, export, look_at_withdrawal, look_up, open_rain,
    payload, post, post_withdrawal, posting, quarantine, rain, rain_number, rain_set_up, reconcile,
    restore, retain, retention, retry, settle, settle_users, signed, signed_by, statement,
    switch_posting, view, void_withdrawal, withdraw, withdraw_with,
};
use host::Time;
use http::Method;
use serde_json::{Value, json};
use wallet::keys::SigningKeys;

/// A key that has ended, and one that the app does not know.
const ENDED: &str = "k0:CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg";
const STRANGE: &str = "k9:CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";

async fn contract() -> Contract {
    let ended = SigningKeys::parse(ENDED, false).expect("a key").verifying_text();
    let keys = format!("{},{ended}@2026-01-01T00:00:00Z", verifying_keys());
    let mut options = Place::Kv.options().variable("token_verifying_keys", keys);
    // A kept instance would run out of swaps on kv before its requests are over.
    options.reuse.requests = 32;
    Contract::with(options).await
}

/// The same for nobody.
fn nobody(ask: Ask) -> Ask {
    Ask { path: ask.path.replacen("/7", "/x", 1), ..ask }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_balances_are_as_the_document_says() {
    let contract = contract().await;
    let app = &contract.app;
    rain_set_up(app, "r", &rain()).await;
    let number = rain_number(7, "a");
    let lost = signed(&payload(7, "lost", 5));
    let balance = "/v1/users/{user}/balance";
    let rows = vec![
        (200, "", view(7)),
        (400, "invalid_id", nobody(view(7))),
        (401, "missing_token", view(7).without("authorization")),
    ];
    contract.check("get", balance, rows).await;
    assert_eq!(open_rain(7, "r", "a").of(app).await.status, 201);
    let wrong = |keys: &str, stage: &str, user: u64| {
        restore(7, &[&lost, &signed_by(keys, stage, &payload(user, "n", 5))])
    };
    let mut rows = vec![
        (200, "", restore::<&str>(7, &[])),
        (422, "malformed_token", restore(7, &["x"])),
        (422, "unknown_key", wrong(STRANGE, STAGE, 7)),
        (422, "key_expired", wrong(ENDED, STAGE, 7)),
        (422, "bad_signature", wrong(SIGNING_KEYS, "gray", 7)),
        (422, "foreign_token", wrong(SIGNING_KEYS, STAGE, 8)),
        (200, "", restore(7, &[&lost, &lost])),
        (200, "", restore(7, &[&lost])),
        (400, "invalid_id", nobody(restore(7, &[&lost]))),
        (400, "invalid_value", restore(7, &[&lost]).json(r#"{"tokens": [7]}"#)),
        (400, "too_many_tokens", restore(7, &vec![&lost; 101])),
    ];
    rows.extend(wrong_objects(&restore(7, &[&lost]), r#""tokens": []"#));
    contract.check("post", balance, rows).await;
    let looking_up = "/v1/users/{user}/balance/orders/{order_number}";
    let rows = vec![
        (200, "", look_up(7, &number)),
        (400, "invalid_order_number", look_up(7, "a%20b")),
        (400, "invalid_id", nobody(look_up(7, &number))),
        (401, "missing_token", look_up(7, &number).without("authorization")),
        (404, "unknown_order", look_up(7, "x")),
        (404, "unknown_order", look_up(8, &number)),
    ];
    contract.check("get", looking_up, rows).await;
    let rows = vec![
        (200, "", post(7)),
        (200, "", post(7)),
        (400, "invalid_id", nobody(post(7))),
        (401, "missing_token", post(7).without("authorization")),
        (413, "body_too_large", too_large(post(7))),
    ];
    contract.check("post", "/v1/users/{user}/balance/post", rows).await;
    contract.check("get", looking_up, vec![(200, "", look_up(7, &number))]).await;
    contract.check("get", balance, vec![(200, "", view(7))]).await;
    contract.assert_all_reached(&[("post", balance), ("get", looking_up)]);

    let pages = "/v1/users/{user}/statement";
    let first = statement(7, "?limit=1").of(app).await;
    let next = first.text("cursor").expect("there is more");
    let rows = vec![
        (200, "", statement(7, "")),
        (200, "", statement(8, "")),
        (200, "", statement(7, &format!("?limit=40&cursor={next}"))),
        (400, "invalid_id", nobody(statement(7, ""))),
        (400, "invalid_value", statement(7, "?cursor=x")),
        (400, "invalid_value", statement(7, "?limit=0")),
        (400, "invalid_value", statement(7, "?limit=41")),
        (400, "unknown_field", statement(7, "?x=y")),
        (400, "duplicate_field", statement(7, "?limit=1&limit=1")),
        (401, "missing_token", statement(7, "").without("authorization")),
    ];
    contract.check("get", pages, rows).await;
    let limited = |name: &str| switch_posting(&json!({"mode": "queued", "statements": name}));
    assert_eq!(limited("first_screens").of(app).await.status, 200);
    let rows = vec![
        (200, "", statement(7, "")),
        (200, "", statement(7, "?cursor=39:1")),
        (503, "statements_limited", statement(7, "?cursor=40:1")),
    ];
    contract.check("get", pages, rows).await;
    assert_eq!(limited("all").of(app).await.status, 200);
    contract.check("get", pages, vec![(200, "", statement(7, "?cursor=40:1"))]).await;
    contract.assert_all_reached(&[("get", pages)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_withdrawals_are_as_the_document_says() {
    let place = Place::redis();
    let contract = Contract::with(place.options().variable("key_prefix", past::PREFIX)).await;
    let app = &contract.app;
    rain_set_up(app, "r", &rain()).await;
    assert_eq!(open_rain(7, "r", "a").of(app).await.status, 201);
    let one = "/v1/users/{user}/withdrawals/{withdrawal_number}";
    let (posting, voiding) = (&*format!("{one}/post"), &*format!("{one}/void"));
    let never = vec![(200, "", void_withdrawal(7, "never"))];
    contract.check("post", voiding, never).await;
    let asking = "/v1/users/{user}/withdrawals";
    let with = |number: &str, more: Value| withdraw_with(7, number, 1, &more);
    let mut rows = vec![
        (201, "", withdraw(7, "w", 60)),
        (201, "", withdraw(7, "w", 60)),
        (201, "", withdraw(7, "back", 10)),
        (201, "", with("ends", json!({"expires_in_seconds": 34_560_000}))),
        (422, "order_number_reused", with("ends", json!({"expires_in_seconds": 1}))),
        (201, "", with("ordered", json!({"ordered_at": "2026-01-01T00:00:00Z"}))),
        (422, "order_number_reused", with("ordered", json!({}))),
        (400, "invalid_value", with("new", json!({"expires_in_seconds": 0}))),
        (400, "invalid_value", with("new", json!({"expires_in_seconds": 34_560_001}))),
        (400, "invalid_value", with("new", json!({"ordered_at": "9999-01-01T00:00:00Z"}))),
        (400, "invalid_value", with("new", json!({"ordered_at": "yesterday"}))),
        (400, "invalid_id", nobody(withdraw(7, "new", 1))),
        (400, "invalid_order_number", withdraw(7, "a b", 1)),
        (400, "invalid_amount", withdraw(7, "new", 0)),
        (409, "exists_with_different_amount", withdraw(7, "w", 61)),
        (409, "exceeds_balance", withdraw(7, "much", 29)),
        (409, "exceeds_balance", withdraw(7, "much", 29)),
        (409, "already_voided", withdraw(7, "never", 1)),
    ];
    rows.extend(wrong_objects(&withdraw(7, "new", 1), r#""amount": 1"#));
    contract.check("post", asking, rows).await;
    let refused = |ask: fn(u64, &str) -> Ask| -> Vec<Row> {
        vec![
            (400, "invalid_id", nobody(ask(7, "w"))),
            (400, "invalid_order_number", ask(7, "a%20b")),
            (401, "missing_token", ask(7, "w").without("authorization")),
        ]
    };
    let ends = |ask: fn(u64, &str) -> Ask| -> Vec<Row> {
        let mut rows = refused(ask);
        rows.push((409, "already_posted", ask(7, "w")));
        rows.push((409, "already_voided", ask(7, "back")));
        rows.push((409, "exceeds_balance", ask(7, "much")));
        rows.push((413, "body_too_large", too_large(ask(7, "w"))));
        rows
    };
    contract.check("post", posting, vec![(200, "", post_withdrawal(7, "w"))]).await;
    contract.check("post", voiding, vec![(200, "", void_withdrawal(7, "back"))]).await;
    contract.check("post", posting, ends(post_withdrawal)).await;
    contract
        .check("post", posting, vec![(404, "unknown_withdrawal", post_withdrawal(7, "x"))])
        .await;
    contract.check("post", voiding, ends(void_withdrawal)).await;
    // What was ordered before a time is forgotten.
    let forgotten = UnixMillis::parse_rfc3339("2026-01-15T00:00:00Z").expect("a time");
    let set = Write::Set("x7".into(), "w".into(), domain::transaction::Value::Integer(forgotten.0));
    let home = Partitions::default().locate(UserId(7)).partition;
    past::write(place.address(), home, vec![set]).await;
    let old = json!({"ordered_at": "2026-01-15T00:00:00Z"});
    let younger = json!({"ordered_at": "2026-01-15T00:00:00.001Z"});
    let void_with =
        |number: &str, body: &Value| Ask::post(void_withdrawal(7, number).path, body.to_string());
    let rows = vec![
        (201, "", with("ordered", json!({"ordered_at": "2026-01-01T00:00:00Z"}))),
        (422, "too_old", with("new", old.clone())),
        (201, "", with("younger", younger.clone())),
    ];
    contract.check("post", asking, rows).await;
    let mut rows = vec![
        (422, "too_old", void_with("unknown", &old)),
        (200, "", void_with("unknown", &younger)),
        (200, "", void_with("younger", &old)),
        (400, "invalid_value", void_with("x", &json!({"ordered_at": "9999-01-01T00:00:00Z"}))),
    ];
    rows.push((400, "unknown_field", void_with("x", &json!({"at": 1}))));
    contract.check("post", voiding, rows).await;
    contract.check("post", asking, vec![(201, "", withdraw(7, "w", 60))]).await;
    contract.check("get", one, refused(look_at_withdrawal)).await;
    for number in ["w", "back", "much", "never", "ends", "ordered"] {
        contract.check("get", one, vec![(200, "", look_at_withdrawal(7, number))]).await;
    }
    contract.check("get", one, vec![(404, "unknown_withdrawal", look_at_withdrawal(7, "x"))]).await;
    let page = statement(7, "").of(app).await;
    contract.document.check_reply("/v1/users/{user}/statement", "get", &page);
    assert_eq!(page.json()["entries"].as_array().map(Vec::len), Some(8), "{page:?}");
    contract.check("get", "/v1/users/{user}/balance", vec![(200, "", view(7))]).await;
    assert_eq!(differences(app).await, Vec::<Value>::new());
    contract.assert_all_reached(&[
        ("post", asking),
        ("get", one),
        ("post", posting),
        ("post", voiding),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_settlement_are_as_the_document_says() {
    let contract = contract().await;
    let app = &contract.app;
    rain_set_up(app, "r", &rain()).await;
    assert_eq!(open_rain(7, "r", "a").of(app).await.status, 201);
    let rows = vec![
        (200, "", settle()),
        (200, "", settle_users(1)),
        (400, "invalid_value", settle_users(0)),
        (400, "unknown_field", settle_users(1).json(r#"{"colour": "red"}"#)),
        (401, "missing_token", settle().without("authorization")),
        (403, "operator_only", by_caller(settle())),
        (413, "body_too_large", too_large(settle())),
        (415, "unsupported_media_type", as_text(settle_users(1))),
    ];
    contract.check("post", "/v1/settlement", rows).await;
    let rows = vec![
        (200, "", posting()),
        (401, "missing_token", posting().without("authorization")),
        (403, "operator_only", by_caller(posting())),
    ];
    contract.check("get", "/v1/posting", rows).await;
    let large = json!({"mode": "large_at_once", "large_from": 100});
    let mut rows = vec![
        (200, "", switch_posting(&json!({"mode": "off"}))),
        (200, "", switch_posting(&large)),
        (200, "", switch_posting(&json!({"mode": "off", "statements": "first_screens"}))),
        (400, "invalid_value", switch_posting(&json!({"mode": "off", "statements": "none"}))),
        (400, "missing_field", switch_posting(&json!({"mode": "large_at_once"}))),
        (400, "invalid_value", switch_posting(&json!({"mode": "queued", "large_from": 1}))),
        (403, "operator_only", by_caller(switch_posting(&large))),
    ];
    rows.extend(wrong_objects(&switch_posting(&large), r#""mode": "off""#));
    contract.check("put", "/v1/posting", rows).await;
    contract.check("get", "/v1/posting", vec![(200, "", posting())]).await;
    let rows = vec![
        (200, "", retention()),
        (401, "missing_token", retention().without("authorization")),
        (403, "operator_only", by_caller(retention())),
    ];
    contract.check("get", "/v1/retention", rows).await;
    let kept = json!({"numbers_days": 30});
    let mut rows = vec![
        (200, "", retain(&kept)),
        (200, "", retain(&json!({}))),
        (400, "invalid_value", retain(&json!({"numbers_days": 6}))),
        (400, "invalid_value", retain(&json!({"archive_days": 36_501}))),
        (403, "operator_only", by_caller(retain(&kept))),
    ];
    // Every member may be left out.
    let wrong = wrong_objects(&retain(&kept), r#""numbers_days": 30"#);
    rows.extend(wrong.into_iter().filter(|(_, code, _)| *code != "missing_field"));
    contract.check("put", "/v1/retention", rows).await;
    let rows = vec![
        (200, "", collect(&json!({"dry_run": true}))),
        (200, "", collect(&json!({"users_max": 1}))),
        (200, "", Ask::new(Method::POST, "/v1/collection").operator()),
        (400, "invalid_value", collect(&json!({"users_max": 0}))),
        (400, "unknown_field", collect(&json!({"colour": "red"}))),
        (401, "missing_token", collect(&json!({})).without("authorization")),
        (403, "operator_only", by_caller(collect(&json!({})))),
        (413, "body_too_large", too_large(collect(&json!({})))),
        (415, "unsupported_media_type", as_text(collect(&json!({})))),
    ];
    contract.check("post", "/v1/collection", rows).await;
    let today = &UnixMillis(app.now_ms().try_into().expect("a time")).to_rfc3339()[..10];
    let rows = vec![
        (200, "", export(today, "")),
        (200, "", export("2026-01-01", "?cursor=3.1.63.")),
        (400, "invalid_value", export("yesterday", "")),
        (400, "invalid_value", export(today, "?cursor=x")),
        (401, "missing_token", export(today, "").without("authorization")),
        (403, "operator_only", by_caller(export(today, ""))),
    ];
    contract.check("get", "/v1/export/{day}", rows).await;
    let exported = export(today, "").of(app).await.json();
    assert_eq!(exported["records"].as_array().map(Vec::len), Some(1), "{exported}");
    assert_eq!(exported["records"][0]["record"]["what"], "token", "{exported}");
    let route = "/v1/reconciliation";
    let rows = vec![
        (200, "", reconcile("")),
        (200, "", reconcile("?scope=recent")),
        (200, "", reconcile("?scope=full&cursor=3")),
        (400, "invalid_value", reconcile("?scope=x")),
        (400, "invalid_value", reconcile("?cursor=x")),
        (400, "unknown_field", reconcile("?x=y")),
        (400, "duplicate_field", reconcile("?scope=full&scope=full")),
        (401, "missing_token", reconcile("").without("authorization")),
        (403, "operator_only", by_caller(reconcile(""))),
    ];
    contract.check("get", route, rows).await;
    assert_eq!(differences(app).await, Vec::<Value>::new());
    // A token that the rain never gave.
    let strange = restore(7, &[signed(&payload(7, "strange", 5))]).of(app).await;
    assert_eq!(strange.status, 200, "{strange:?}");
    contract.check("get", route, vec![(200, "", reconcile("?scope=full"))]).await;
    let found = differences(app).await;
    let codes: Vec<_> = found.iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["budget_differs"], "{found:?}");
    contract.assert_all_reached(&[("get", route)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_the_quarantine_are_as_the_document_says() {
    let place = Place::redis();
    let mut options = place.options();
    options.time = Time::Seeded { start_ms: 1_771_257_600_000 };
    let contract = Contract::with(options).await;
    let app = &contract.app;
    rain_set_up(app, "r", &rain()).await;
    let home = Partitions::default().locate(UserId(7)).partition.to_string();
    for award in ["a", "b", "c"] {
        assert_eq!(open_rain(7, "r", award).of(app).await.status, 201);
        write_past(&place.address(), &home, "mk7", &rain_number(7, award), b"\xffno");
    }
    app.advance_time(10 * 60_000);
    contract.check("post", "/v1/settlement", vec![(200, "", settle())]).await;
    let list = "/v1/quarantine";
    let rows = vec![
        (200, "", quarantine("")),
        (200, "", quarantine("?limit=1")),
        (200, "", quarantine("?state=dropped")),
        (400, "invalid_value", quarantine("?state=x")),
        (400, "invalid_value", quarantine("?limit=101")),
        (400, "invalid_value", quarantine("?cursor=x")),
        (400, "unknown_field", quarantine("?x=y")),
        (401, "missing_token", quarantine("").without("authorization")),
        (403, "operator_only", by_caller(quarantine(""))),
    ];
    contract.check("get", list, rows).await;
    let items = quarantine("").of(app).await.json();
    let id = |place: usize| items["items"][place]["id"].as_str().expect("an id").to_owned();
    let rows = vec![
        (200, "", retry(&id(0))),
        (404, "unknown_item", retry(&id(0))),
        (404, "unknown_item", retry("x")),
        (401, "missing_token", retry(&id(1)).without("authorization")),
        (403, "operator_only", by_caller(retry(&id(1)))),
    ];
    contract.check("post", "/v1/quarantine/{item}/retry", rows).await;
    let mut rows = vec![
        (200, "", drop_item(&id(1), "paid by hand")),
        (200, "", drop_item(&id(1), "paid by hand")),
        (404, "unknown_item", drop_item(&id(0), "paid by hand")),
        (400, "invalid_value", drop_item(&id(2), "")),
        (400, "invalid_value", drop_item(&id(2), &"x".repeat(401))),
        (401, "missing_token", drop_item(&id(2), "x").without("authorization")),
        (403, "operator_only", by_caller(drop_item(&id(2), "x"))),
        (413, "body_too_large", too_large(drop_item(&id(2), "x"))),
        (415, "unsupported_media_type", as_text(drop_item(&id(2), "x"))),
    ];
    rows.extend(wrong_objects(&drop_item(&id(2), "x"), r#""reason": "y""#));
    contract.check("post", "/v1/quarantine/{item}/drop", rows).await;
    let routes = [
        ("get", list),
        ("post", "/v1/quarantine/{item}/retry"),
        ("post", "/v1/quarantine/{item}/drop"),
    ];
    contract.assert_all_reached(&routes);
}
