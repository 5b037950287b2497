//! What the app answers about carts, pages, prices and purchases has the shapes and codes that the document
//! lists: good and bad input of each route, and every code that a route is documented with is reached.

use end_to_end::app::{Ask, Place, mark_paid};
use end_to_end::openapi::{Contract, as_text, by_caller, too_large};
use end_to_end::promotion::{
    activity, activity_with_limits, cart, cart_of, change_prices, code_of, compare, draft_saved,
    evaluate, give_back, labels, line, order, saved, sweep_promotions, take, use_of,
};
use serde_json::{Value, json};

/// The activity of tests with another value of a field.
fn with(field: &str, value: Value) -> Value {
    let mut body = activity();
    body[field] = value;
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_carts_and_prices_are_as_the_document_says() {
    let contract = Contract::of(&Place::Kv).await;
    let app = &contract.app;
    saved(app, "a", &activity_with_limits(json!({"per_user": 1, "total": 2}))).await;
    let gift = json!({"benefit": {"gift": {"sku": "g", "quantity": 1}}});
    saved(app, "gift", &with("tiers", json!([gift]))).await;
    let far = json!({"amount_at_least": {"amount": 10_000}});
    let far = json!({"condition": far, "benefit": "free_shipping"});
    saved(app, "far", &with("tiers", json!([far]))).await;
    draft_saved(app, "a", &with("enabled", json!(false))).await;
    let context = json!({"platform": "app", "channel": "", "region": "north", "segments": ["s"],
                         "at": "2026-02-17T00:00:00Z"});
    let known = json!({"line": "1", "sku": "x", "spu": "y", "shop": "s", "brand": "b",
                       "category": "c", "quantity": 2, "unit_price": 500});
    let mut whole = cart_of(7, vec![known.clone(), line("x", 1, 100)]);
    whole["context"] = context.clone();
    let dear = line("x", 1_000_000, 9_007_199_254_740_991);
    for (name, ask) in [("evaluate", evaluate as fn(&Value) -> Ask), ("compare", compare)] {
        let route = format!("/v1/promotions/{name}");
        let of = |lines: Vec<Value>| ask(&cart(lines));
        let nobody = of(vec![line("x", 1, 100)]);
        let text = |body: &'static str| nobody.clone().json(body);
        let mut another = cart(vec![]);
        another["user"] = json!("-1");
        let mut coloured = cart(vec![]);
        coloured["context"] = json!({"colour": "red"});
        let rows = vec![
            (200, "", nobody.clone()),
            (200, "", of(vec![])),
            (200, "", ask(&whole)),
            (400, "invalid_id", ask(&another)),
            (400, "invalid_json", text("{")),
            (400, "missing_field", text("{}")),
            (400, "duplicate_field", text(r#"{"lines": [], "lines": []}"#)),
            (400, "unknown_field", ask(&coloured)),
            (400, "invalid_value", of(vec![line("", 1, 1)])),
            (400, "invalid_value", of(vec![line("x", 0, 1)])),
            (400, "invalid_value", of(vec![line("x", 1, -1)])),
            (400, "too_many", of(vec![line("x", 1, 1); 201])),
            (400, "duplicate_line", of(vec![line("x", 1, 1); 2])),
            (400, "amount_out_of_range", of(vec![dear.clone()])),
            (401, "missing_token", nobody.clone().without("authorization")),
            (413, "body_too_large", too_large(nobody.clone())),
            (415, "unsupported_media_type", as_text(nobody)),
        ];
        contract.check("post", &route, rows).await;
        contract.assert_all_reached(&[("post", &route)]);
    }
    let refused = vec![(403, "operator_only", by_caller(compare(&cart(vec![]))))];
    contract.check("post", "/v1/promotions/compare", refused).await;

    let of = |items: Value| labels(&json!({"currency": "CNY", "items": items}));
    let priced = |sku: &str, price: i64| json!([{"sku": sku, "unit_price": price}]);
    let mut known = known;
    known.as_object_mut().unwrap().retain(|field, _| field != "line" && field != "quantity");
    let whole = json!({"user": 7, "currency": "CNY", "context": context, "items": [known]});
    let all: i64 = 9_007_199_254_740_991;
    let too_dear = json!([{"sku": "x", "unit_price": all}, {"sku": "y", "unit_price": 1}]);
    let rows = vec![
        (200, "", of(priced("x", 500))),
        (200, "", of(json!([{"sku": "x"}, {"sku": "x"}]))),
        (200, "", labels(&whole)),
        (400, "invalid_value", of(json!([]))),
        (400, "invalid_value", of(priced("", 1))),
        (400, "invalid_value", of(priced("x", -1))),
        (400, "too_many", of(json!(vec![json!({"sku": "x"}); 101]))),
        (400, "amount_out_of_range", of(too_dear)),
        (400, "unknown_field", of(json!([{"sku": "x", "colour": "red"}]))),
        (400, "missing_field", of(json!([{}]))),
        (400, "invalid_id", labels(&json!({"user": "x", "currency": "CNY", "items": [known]}))),
        (401, "missing_token", of(priced("x", 1)).without("authorization")),
        (413, "body_too_large", too_large(of(priced("x", 1)))),
        (415, "unsupported_media_type", as_text(of(priced("x", 1)))),
    ];
    contract.check("post", "/v1/promotions/labels", rows).await;

    let at = "2026-02-17T00:00:00Z";
    let one = |change: Value| change_prices(&[change]);
    let price = |sku: &str, price: i64| json!({"sku": sku, "unit_price": price, "changed_at": at});
    let rows = vec![
        (200, "", one(price("x", 500))),
        (200, "", one(json!({"sku": "x", "in_stock": false, "changed_at": at}))),
        (400, "invalid_value", change_prices(&[])),
        (400, "invalid_value", one(price("", 1))),
        (400, "invalid_value", one(price("x", -1))),
        (400, "invalid_value", one(json!({"sku": "x", "changed_at": at}))),
        (400, "missing_field", one(json!({"sku": "x", "unit_price": 1}))),
        (400, "unknown_field", one(json!({"colour": "red"}))),
        (400, "too_many", change_prices(&vec![price("x", 1); 1_001])),
        (401, "missing_token", one(price("x", 1)).without("authorization")),
        (403, "operator_only", by_caller(one(price("x", 1)))),
        (413, "body_too_large", too_large(one(price("x", 1)))),
        (415, "unsupported_media_type", as_text(one(price("x", 1)))),
    ];
    contract.check("post", "/v1/prices", rows).await;
    contract
        .check("post", "/v1/promotions/labels", vec![(200, "", of(json!([{"sku": "x"}])))])
        .await;
    // Stored prices together are too much, too.
    let all = [price("y", all), price("z", all)];
    assert_eq!(change_prices(&all).of(app).await.status, 200);
    let reply = of(json!([{"sku": "y"}, {"sku": "z"}])).of(app).await;
    assert_eq!(reply.text("field").as_deref(), Some("items"), "{reply:?}");
    let rows = vec![
        (200, "", sweep_promotions()),
        (401, "missing_token", sweep_promotions().without("authorization")),
        (403, "operator_only", by_caller(sweep_promotions())),
        (413, "body_too_large", too_large(sweep_promotions())),
    ];
    contract.check("post", "/v1/promotions/sweep", rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_purchases_are_as_the_document_says() {
    let contract = Contract::of(&Place::Kv).await;
    let app = &contract.app;
    saved(app, "a", &activity()).await;
    saved(app, "once", &activity_with_limits(json!({"per_user": 1, "total": 10}))).await;
    let by_unit = json!({"per_user": 1, "counted": "by_unit"});
    saved(app, "by-unit", &activity_with_limits(by_unit)).await;
    saved(app, "early", &with("from", json!("9998-01-01T00:00:00Z"))).await;
    saved(app, "over", &with("until", json!("1970-01-02T00:00:00Z"))).await;
    saved(app, "off", &with("enabled", json!(false))).await;
    let one = |number: &str, activity: &str| take(7, number, &[use_of(activity, 1)]);
    let post = |body: Value| Ask::post("/v1/users/7/purchases", body.to_string());
    let nobody = |ask: Ask| Ask { path: ask.path.replace("/7/", "/x/"), ..ask };
    let unit = |key: &str| json!({"activity": "by-unit", "key": key, "uses": 1});
    let unnamed = post(json!({"uses": [use_of("a", 1)]}));
    let at = |number: &str, at: &str| json!({"order_number": number, "ordered_at": at, "uses": [use_of("a", 1)]});
    let rows = vec![
        (201, "", one("n", "once")),
        (201, "", one("n", "once")),
        (201, "", take(7, "units", &[unit("x"), unit("y"), use_of("a", 3)])),
        (201, "", unnamed.clone().header("idempotency-key", "k")),
        (400, "invalid_id", nobody(one("new", "a"))),
        (400, "invalid_order_number", one("a b", "a")),
        (400, "invalid_part", one("new", "A")),
        (400, "invalid_value", take(7, "new", &[])),
        (400, "invalid_value", take(7, "new", &[use_of("a", 0)])),
        (400, "invalid_value", take(7, "new", &[unit("")])),
        (400, "missing_field", unnamed),
        (400, "missing_field", one("new", "by-unit")),
        (400, "too_many", take(7, "new", &vec![use_of("a", 1); 501])),
        (400, "unknown_field", post(json!({"colour": "red"}))),
        (401, "missing_token", one("new", "a").without("authorization")),
        (404, "unknown_activity", one("new", "x")),
        (409, "limit_used_up", one("new", "once")),
        (409, "limit_used_up", take(8, "new", &[use_of("once", 2)])),
        (409, "not_started", one("new", "early")),
        (409, "ended", one("new", "over")),
        (409, "disabled", one("new", "off")),
        (413, "body_too_large", too_large(one("new", "a"))),
        (415, "unsupported_media_type", as_text(one("new", "a"))),
        (422, "order_number_reused", one("n", "a")),
        (201, "", post(at("t", "2026-01-01T00:00:00Z"))),
        (400, "invalid_value", post(at("new", "9998-01-01T00:00:00Z"))),
        (422, "order_number_reused", post(at("t", "2026-01-01T00:00:01Z"))),
        (422, "too_old", post(at("new", "1970-01-01T00:00:00Z"))),
    ];
    let purchases = "/v1/users/{user}/purchases";
    contract.check("post", purchases, rows).await;
    let one_order = "/v1/users/{user}/purchases/{order_number}";
    let rows = vec![
        (200, "", order(7, "n")),
        (200, "", order(7, "units")),
        (400, "invalid_order_number", order(7, "a%20b")),
        (400, "invalid_id", nobody(order(7, "n"))),
        (401, "missing_token", order(7, "n").without("authorization")),
        (404, "unknown_order", order(7, "new")),
        (404, "unknown_order", order(8, "n")),
    ];
    contract.check("get", one_order, rows).await;
    let giving_back = "/v1/users/{user}/purchases/{order_number}/give-back";
    let ordered_at =
        |number: &str, at: &str| give_back(7, number).json(json!({"ordered_at": at}).to_string());
    let rows = vec![
        (200, "", give_back(7, "n")),
        (200, "", give_back(7, "n")),
        (200, "", give_back(7, "late")),
        (400, "invalid_order_number", give_back(7, "a%20b")),
        (400, "invalid_id", nobody(give_back(7, "n"))),
        (401, "missing_token", give_back(7, "n").without("authorization")),
        (413, "body_too_large", too_large(give_back(7, "n"))),
        (422, "order_number_reused", give_back(7, "t")),
        (422, "too_old", ordered_at("new", "1970-01-01T00:00:00Z")),
        (200, "", ordered_at("t", "2026-01-01T00:00:00Z")),
        (400, "invalid_value", ordered_at("new", "9998-01-01T00:00:00Z")),
        (400, "unknown_field", give_back(7, "new").json(r#"{"colour": "red"}"#)),
        (415, "unsupported_media_type", as_text(ordered_at("t", "2026-01-01T00:00:00Z"))),
    ];
    contract.check("post", giving_back, rows).await;
    let rows =
        vec![(409, "given_back", one("n", "once")), (409, "given_back", one("late", "once"))];
    contract.check("post", purchases, rows).await;
    contract.check("get", one_order, vec![(200, "", order(7, "n"))]).await;
    contract.assert_all_reached(&[("post", purchases), ("get", one_order), ("post", giving_back)]);
}

/// For each code an activity of its name that is explained by it, to user 7 who has paid, or to nobody.
fn explained() -> Vec<(&'static str, Value)> {
    let dimensions = |dimensions: Value| with("dimensions", dimensions);
    let tier = |condition: Value| {
        with("tiers", json!([{"condition": condition, "benefit": {"percent_off": {"percent": 9}}}]))
    };
    let group = |priority: u32| {
        with("stacking", json!({"priority": priority, "exclusive": {"group": "g"}}))
    };
    let elsewhere = json!({"products": {"include": [{"skus": ["x"], "shops": ["another"]}]}});
    let dear = json!([{"benefit": {"fixed_price": {"amount": 1_000_000}}}]);
    vec![
        ("disabled", with("enabled", json!(false))),
        ("not_started", with("from", json!("9998-01-01T00:00:00Z"))),
        ("ended", with("until", json!("1970-01-02T00:00:00Z"))),
        ("wrong_currency", with("currency", json!("USD"))),
        ("wrong_platform", dimensions(json!({"platforms": ["app"]}))),
        ("wrong_channel", dimensions(json!({"channels": ["feed"]}))),
        ("wrong_region", dimensions(json!({"regions": ["north"]}))),
        ("wrong_segment", dimensions(json!({"segments": ["loyal"]}))),
        ("user_unknown", dimensions(json!({"new_users_only": true}))),
        ("not_a_new_user", dimensions(json!({"new_users_only": true}))),
        ("no_line_selected", dimensions(elsewhere)),
        ("amount_too_low", tier(json!({"amount_at_least": {"amount": 10_000}}))),
        ("quantity_too_low", tier(json!({"quantity_at_least": {"quantity": 10}}))),
        ("limit_used_up", activity_with_limits(json!({"per_user": 1}))),
        ("nothing_left_to_discount", with("tiers", dear)),
        ("excluded_by_group", group(2)),
        ("applied", group(1)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_explanation_of_the_document_is_given() {
    let contract = Contract::of(&Place::Kv).await;
    let app = &contract.app;
    let listed = &contract.document.value["components"]["schemas"]["ExplanationCode"];
    let listed = listed["enum"].as_array().expect("codes");
    for (code, activity) in explained() {
        saved(app, &code.replace('_', "-"), &activity).await;
    }
    assert_eq!(mark_paid(&[7]).of(app).await.status, 204);
    let used = take(7, "n", &[use_of("limit-used-up", 1)]);
    assert_eq!(used.of(app).await.status, 201);
    let lines = vec![line("x", 1, 1_000)];
    let replies =
        [evaluate(&cart(lines.clone())).of(app).await, evaluate(&cart_of(7, lines)).of(app).await];
    for code in listed.iter().filter_map(Value::as_str) {
        let activity = code.replace('_', "-");
        let codes = replies.each_ref().map(|reply| code_of(reply, &activity));
        let is_given = codes.iter().flatten().any(|given| given == code);
        assert!(is_given, "{code}: {codes:?}");
    }
    assert_eq!(listed.len(), explained().len());
    for reply in &replies {
        contract.document.check_reply("/v1/promotions/evaluate", "post", reply);
    }
}
