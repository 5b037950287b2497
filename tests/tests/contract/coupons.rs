//! What the app answers about coupons has the shapes and codes that the document lists: good and bad
//! input of each route. `coupon_refusals.rs` has the refusals that need a clock or many requests.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::time::UnixMillis;
use end_to_end::app::{Ask, Place};
use end_to_end::coupon::{
    cancel, confirm, extend, extend_many, issue, list, look, look_up, publish, published, redeem,
    reserve, revoke, revoke_many, roll_back, sweep, template,
};
use end_to_end::openapi::{Document, as_text, by_caller, too_large};
use serde_json::{Value, json};

/// The template of tests with another value of a field.
fn with(field: &str, value: Value) -> Value {
    let mut body = template(10);
    body[field] = value;
    body
}

/// A year from now.
fn soon() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let soon = i64::try_from(now.as_millis()).unwrap() + 365 * 86_400_000;
    UnixMillis(soon).to_rfc3339()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_templates_are_as_the_document_says() {
    let app = Place::Kv.app().await;
    let document = Document::of(&app).await;
    let check_all = async |method: &str, route: &str, rows| {
        document.check(&app, method, route, rows).await;
    };
    let put = |field: &str, value: Value| publish("t", &with(field, value));
    let text = |body: &'static str| publish("t", &Value::Null).json(body);
    let mut percent = with("kind", json!("percent_off"));
    (percent["value"], percent["budget"]) = (json!(20), json!(100));
    let mut full = with("valid_from", json!("2026-01-01T08:00:00+08:00"));
    let more = json!({
        "budget": 15_000, "fallback_template": "t", "greeting": "Next time", "segments": ["gold"],
        "single_cap": "1500", "new_users_only": true, "enabled": false,
    });
    full.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let route = "/v1/coupon-templates/{template}";
    let rows = vec![
        (200, "", publish("t", &template(10))),
        (200, "", publish("full", &full)),
        (400, "invalid_part", publish("T", &template(10))),
        (400, "invalid_json", text("{")),
        (400, "invalid_value", text("[]")),
        (400, "missing_field", text("{}")),
        (400, "duplicate_field", text(r#"{"value": 1, "value": 1}"#)),
        (400, "unknown_field", put("colour", json!("red"))),
        (400, "invalid_value", put("kind", json!("free"))),
        (400, "invalid_value", put("limit_per_user", json!(501))),
        (400, "invalid_value", publish("t", &percent)),
        (400, "invalid_part", put("activity", json!("Spring"))),
        (400, "over_single_cap", put("single_cap", json!(1_499))),
        (400, "unknown_template", put("fallback_template", json!("x"))),
        (400, "fallback_circle", put("fallback_template", json!("full"))),
        (401, "missing_token", put("stock", json!(10)).without("authorization")),
        (403, "operator_only", by_caller(put("stock", json!(10)))),
        (413, "body_too_large", too_large(publish("t", &Value::Null))),
        (415, "unsupported_media_type", as_text(put("stock", json!(10)))),
    ];
    check_all("put", route, rows).await;
    let rows = vec![
        (200, "", look("t")),
        (200, "", look("full")),
        (400, "invalid_part", look("T")),
        (401, "missing_token", look("t").without("authorization")),
        (404, "unknown_template", look("x")),
    ];
    check_all("get", route, rows).await;

    let path = "/v1/coupon-templates/t/bulk";
    let bulk = |body: Value| Ask::post(path, body.to_string()).operator();
    let to = |users: Value| bulk(json!({"batch": "b", "users": users}));
    let elsewhere = Ask { path: path.replace("/t/", "/x/"), ..to(json!([1])) };
    let rows = vec![
        (202, "", to(json!(["1", 2, 2]))),
        (202, "", bulk(json!({"batch": "c", "users": [1, 3]}))),
        (400, "invalid_part", bulk(json!({"batch": "B", "users": [1]}))),
        (400, "too_few_users", to(json!([]))),
        (400, "too_many_users", to(json!(vec![7; 1_001]))),
        (400, "invalid_id", to(json!([-1]))),
        (400, "missing_field", bulk(json!({"users": [1]}))),
        (403, "operator_only", by_caller(to(json!([1])))),
        (404, "unknown_template", elsewhere),
        (413, "body_too_large", too_large(to(json!([1])))),
        (415, "unsupported_media_type", as_text(to(json!([1])))),
    ];
    check_all("post", "/v1/coupon-templates/{template}/bulk", rows).await;
    let batch = |id: &str| Ask::get(format!("{path}/{id}")).operator();
    let rows = vec![
        (200, "", batch("c")),
        (400, "invalid_part", batch("C")),
        (403, "operator_only", by_caller(batch("c"))),
        (404, "unknown_batch", batch("d")),
    ];
    check_all("get", "/v1/coupon-templates/{template}/bulk/{batch}", rows).await;

    let over = with("claim_until", json!("1970-01-02T00:00:00Z"));
    published(&app, "over", &template(10)).await;
    let mut budgeted = with("budget", json!(15_000));
    budgeted["rollback_days"] = json!(0);
    let rows = vec![
        (200, "", publish("budgeted", &budgeted)),
        (400, "invalid_value", put("rollback_days", json!(366))),
        (400, "invalid_value", publish("new", &over)),
        (200, "", publish("over", &over)),
        (200, "", publish("over", &template(10))),
        (409, "stock_in_use", publish("t", &template(1))),
        (409, "field_fixed", put("value", json!("1600"))),
    ];
    check_all("put", route, rows).await;
    check_all("get", route, vec![(200, "", look("budgeted"))]).await;

    let reason = json!({"reason": "wrong"});
    let from = |cursor: &str| json!({"reason": "wrong", "batch": "b", "cursor": cursor});
    let rows = vec![
        (200, "", revoke_many("t", &json!({"reason": "wrong", "batch": "b"}))),
        (200, "", revoke_many("full", &reason)),
        (200, "", revoke_many("t", &from("0.0.0"))),
        (400, "invalid_part", revoke_many("T", &reason)),
        (400, "invalid_value", revoke_many("t", &json!({"reason": " "}))),
        (400, "invalid_value", revoke_many("t", &from("x"))),
        (400, "missing_field", revoke_many("t", &json!({}))),
        (403, "operator_only", by_caller(revoke_many("t", &reason))),
        (404, "unknown_template", revoke_many("x", &reason)),
        (409, "template_enabled", revoke_many("t", &reason)),
        (413, "body_too_large", too_large(revoke_many("t", &reason))),
        (415, "unsupported_media_type", as_text(revoke_many("t", &reason))),
    ];
    check_all("post", "/v1/coupon-templates/{template}/revoke", rows).await;
    let until = |until: &str| json!({"valid_until": until});
    let (later, ever) = (until(&soon()), until("9998-01-01T00:00:00Z"));
    let rows = vec![
        (200, "", extend_many("t", &later)),
        (400, "invalid_part", extend_many("T", &later)),
        (400, "invalid_value", extend_many("t", &until("1970-01-02T00:00:00Z"))),
        (400, "invalid_value", extend_many("t", &ever)),
        (403, "operator_only", by_caller(extend_many("t", &later))),
        (404, "unknown_template", extend_many("x", &later)),
        (413, "body_too_large", too_large(extend_many("t", &later))),
        (415, "unsupported_media_type", as_text(extend_many("t", &later))),
    ];
    check_all("post", "/v1/coupon-templates/{template}/extend", rows).await;
    let refused = (403, "operator_only", by_caller(sweep()));
    check_all("post", "/v1/coupons/sweep", vec![(200, "", sweep()), refused]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_coupons_are_as_the_document_says() {
    let app = Place::Kv.app().await;
    let document = Document::of(&app).await;
    let check_all = async |method: &str, route: &str, rows| {
        document.check(&app, method, route, rows).await;
    };
    let mut empty = template(0);
    empty["greeting"] = json!("Next time");
    published(&app, "t", &with("limit_per_user", json!(9))).await;
    published(&app, "empty", &empty).await;
    published(&app, "one", &template(10)).await;
    let post = |body: &str| Ask::post("/v1/users/7/coupons", body.to_owned());
    let key = |key: &str| post(r#"{"template": "t"}"#).header("idempotency-key", key);
    let nobody = |ask: Ask| Ask { path: ask.path.replace("/7/", "/x/"), ..ask };
    let play = r#"{"template": "t", "play": {"round": "1", "award": "cash"}}"#;
    let both = r#"{"template": "t", "play": {"round": "1", "award": "cash"}, "order_number": "n"}"#;
    let timed =
        r#"{"template": "t", "order_number": "timed", "ordered_at": "2026-02-16T16:00:00Z"}"#;
    let ahead =
        r#"{"template": "t", "order_number": "soon", "ordered_at": "9000-01-01T00:00:00Z"}"#;
    let rows = vec![
        (201, "", issue(7, "t", "n")),
        (201, "", issue(7, "t", "n")),
        (201, "", post(timed)),
        (422, "order_number_reused", issue(7, "t", "timed")),
        (201, "", issue(7, "empty", "words")),
        (201, "", issue(7, "one", "one")),
        (201, "", post(play)),
        (201, "", key("k")),
        (400, "invalid_value", post(both)),
        (400, "invalid_value", post(ahead)),
        (400, "missing_field", post(r#"{"template": "t"}"#)),
        (400, "unknown_field", post(r#"{"colour": "red"}"#)),
        (400, "invalid_order_number", key("a b")),
        (400, "invalid_order_number", issue(7, "t", "a b")),
        (400, "invalid_part", issue(7, "T", "n")),
        (400, "invalid_id", nobody(issue(7, "t", "n"))),
        (401, "wrong_token", issue(7, "t", "n").header("authorization", "Bearer x")),
        (404, "unknown_template", issue(7, "x", "new")),
        (409, "user_limit", issue(7, "one", "new")),
        (413, "body_too_large", too_large(issue(7, "t", "n"))),
        (415, "unsupported_media_type", as_text(issue(7, "t", "n"))),
        (422, "order_number_reused", issue(7, "one", "n")),
    ];
    check_all("post", "/v1/users/{user}/coupons", rows).await;
    let rows = vec![
        (201, "", reserve(7, "t", "held", 600)),
        (201, "", reserve(7, "t", "held", 600)),
        (400, "invalid_value", reserve(7, "t", "new", 43_201)),
        (400, "invalid_id", nobody(reserve(7, "t", "new", 600))),
        (404, "unknown_template", reserve(7, "x", "new", 600)),
        (409, "sold_out", reserve(7, "empty", "new", 600)),
        (409, "user_limit", reserve(7, "one", "new", 600)),
        (413, "body_too_large", too_large(reserve(7, "t", "new", 600))),
        (415, "unsupported_media_type", as_text(reserve(7, "t", "new", 600))),
        (422, "order_number_reused", reserve(7, "t", "held", 601)),
    ];
    check_all("post", "/v1/users/{user}/reservations", rows).await;
    let page = |query: &str| Ask::get(format!("/v1/users/7/coupons{query}"));
    let rows = vec![
        (200, "", list(7)),
        (200, "", page("?limit=1&state=usable")),
        (200, "", page("?cursor=1~n")),
        (400, "invalid_id", Ask::get("/v1/users/x/coupons")),
        (400, "invalid_value", page("?limit=101")),
        (400, "invalid_value", page("?state=lost")),
        (400, "invalid_value", page("?cursor=n")),
        (400, "unknown_field", page("?colour=red")),
        (400, "duplicate_field", page("?limit=1&limit=1")),
    ];
    check_all("get", "/v1/users/{user}/coupons", rows).await;
    let rows = vec![
        (200, "", look_up(7, "n")),
        (200, "", look_up(7, "words")),
        (200, "", look_up(7, "held")),
        (400, "invalid_order_number", look_up(7, "a%20b")),
        (400, "invalid_id", nobody(look_up(7, "n"))),
        (404, "unknown_order", look_up(7, "new")),
    ];
    check_all("get", "/v1/users/{user}/coupons/orders/{order_number}", rows).await;

    let of_cart = |mut body: Value| {
        body["order"] = json!("A");
        redeem(7, "one", "A").json(body.to_string())
    };
    let amount =
        |amount: i64| redeem(7, "n", "A").json(json!({"order": "A", "amount": amount}).to_string());
    let rows = vec![
        (200, "", amount(1_500)),
        (200, "", amount(1_500)),
        (400, "invalid_order", redeem(7, "n", "")),
        (400, "invalid_value", amount(-1)),
        (400, "invalid_order_number", redeem(7, "a%20b", "A")),
        (400, "invalid_value", of_cart(json!({"order_amount": -1}))),
        (400, "invalid_value", of_cart(json!({"currency": "cny"}))),
        (404, "unknown_coupon", redeem(7, "new", "A")),
        (409, "not_confirmed", redeem(7, "held", "A")),
        (409, "already_redeemed", redeem(7, "n", "B")),
        (409, "below_threshold", of_cart(json!({"order_amount": "1509", "currency": "CNY"}))),
        (409, "wrong_currency", of_cart(json!({"currency": "EUR"}))),
        (415, "unsupported_media_type", as_text(redeem(7, "n", "A"))),
        (422, "order_number_reused", amount(1_499)),
    ];
    check_all("post", "/v1/users/{user}/coupons/{coupon}/redeem", rows).await;
    let rows = vec![
        (200, "", roll_back(7, "n", "A")),
        (200, "", roll_back(7, "n", "A")),
        (400, "invalid_order", roll_back(7, "n", "")),
        (404, "unknown_coupon", roll_back(7, "new", "A")),
        (409, "not_confirmed", roll_back(7, "held", "A")),
    ];
    check_all("post", "/v1/users/{user}/coupons/{coupon}/rollback", rows).await;
    let again = vec![(409, "rolled_back", redeem(7, "n", "A"))];
    check_all("post", "/v1/users/{user}/coupons/{coupon}/redeem", again).await;
    let rows = vec![
        (200, "", extend(7, "one", &soon())),
        (200, "", extend(7, "one", &soon())),
        (400, "invalid_value", extend(7, "one", "1970-01-02T00:00:00Z")),
        (400, "invalid_order_number", extend(7, "a%20b", &soon())),
        (403, "operator_only", by_caller(extend(7, "one", &soon()))),
        (404, "unknown_coupon", extend(7, "new", &soon())),
        (409, "not_confirmed", extend(7, "held", &soon())),
        (415, "unsupported_media_type", as_text(extend(7, "one", &soon()))),
    ];
    check_all("post", "/v1/users/{user}/coupons/{coupon}/extend", rows).await;
    let rows = vec![
        (200, "", revoke(7, "one", "by mistake")),
        (200, "", revoke(7, "one", "another time")),
        (400, "invalid_value", revoke(7, "n", "")),
        (400, "invalid_value", revoke(7, "n", &"x".repeat(201))),
        (403, "operator_only", by_caller(revoke(7, "n", "x"))),
        (404, "unknown_coupon", revoke(7, "new", "x")),
        (409, "not_confirmed", revoke(7, "held", "x")),
        (415, "unsupported_media_type", as_text(revoke(7, "n", "x"))),
    ];
    check_all("post", "/v1/users/{user}/coupons/{coupon}/revoke", rows).await;
    let again = vec![(409, "revoked", redeem(7, "one", "A"))];
    check_all("post", "/v1/users/{user}/coupons/{coupon}/redeem", again).await;
    let again = vec![(200, "", page("?state=revoked")), (200, "", list(7))];
    check_all("get", "/v1/users/{user}/coupons", again).await;

    let rows = vec![
        (200, "", confirm(7, "held")),
        (200, "", confirm(7, "held")),
        (400, "invalid_order_number", confirm(7, "a%20b")),
        (404, "unknown_order", confirm(7, "new")),
    ];
    check_all("post", "/v1/users/{user}/reservations/{order_number}/confirm", rows).await;
    let rows = vec![
        (200, "", cancel(7, "late")),
        (200, "", cancel(7, "late")),
        (200, "", cancel(7, "early").json(r#"{"ordered_at": "2026-02-16T16:00:00Z"}"#.to_owned())),
        (400, "unknown_field", cancel(7, "late").json(r#"{"colour": "red"}"#.to_owned())),
        (400, "invalid_id", nobody(cancel(7, "late"))),
        (409, "already_confirmed", cancel(7, "held")),
        (415, "unsupported_media_type", as_text(cancel(7, "late").json("{}".to_owned()))),
    ];
    check_all("post", "/v1/users/{user}/reservations/{order_number}/cancel", rows).await;
}
