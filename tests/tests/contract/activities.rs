//! What the app answers about activities and drafts has the shapes and codes that the document lists: good
//! and bad input of each route, and every code that a route is documented with is reached.

use end_to_end::app::{Ask, Place};
use end_to_end::openapi::{Contract, as_text, by_caller, too_large};
use end_to_end::promotion::{
    activity, activity_for, activity_for_list, add_part, draft_saved, look, look_at_draft, publish,
    roll_out, save, save_draft, saved, withdraw, withdraw_draft,
};
use serde_json::{Value, json};

/// The activity of tests with another value of a field.
fn with(field: &str, value: Value) -> Value {
    let mut body = activity();
    body[field] = value;
    body
}

fn tier(condition: Value, benefit: Value) -> Value {
    json!({"condition": condition, "benefit": benefit})
}

/// As many keys of 64 bytes.
fn keys(count: usize) -> Value {
    (0..count).map(|number| json!(format!("{number:064}"))).collect()
}

/// An activity with everything in it.
fn full() -> Value {
    let least = |amount: u32| json!({"amount_at_least": {"amount": amount}});
    let amount_off = json!({"amount_off": {"amount": "100"}});
    json!({
        "id": "full", "name": "All", "labels": ["100 off"], "currency": "CNY", "enabled": true,
        "from": "2026-02-17T08:00:00+08:00", "until": "9999-01-01T00:00:00Z",
        "dimensions": {
            "platforms": ["app"], "channels": ["feed"], "regions": ["north"],
            "segments": ["loyal"], "new_users_only": true,
            "products": {"include": [{"brands": ["b", "a"], "shops": ["s"]}],
                         "exclude": [{"skus": ["x"], "spus": ["y"], "categories": ["z"]}]}
        },
        "scope": "spu",
        "tiers": [
            tier(json!("none"), json!("free_shipping")),
            tier(least(1_000), json!({"gift": {"sku": "g", "quantity": 1}})),
            tier(least(2_000), json!({"fixed_price": {"amount": 1}})),
            tier(json!({"for_every_amount": {"amount": "3000", "times_max": 2}}), amount_off),
        ],
        "maximum_discount": "5000",
        "stacking": {"layer": 1, "priority": 7, "exclusive": {"group": "g", "mode": "best"}},
        "limits": {"per_user": 1, "total": "1000", "counted": "by_unit"}
    })
}

/// The same request at another path, or with a query.
fn at(ask: Ask, rest: &str) -> Ask {
    Ask { path: format!("/v1/activities/{rest}"), ..ask }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_activities_are_as_the_document_says() {
    let contract = Contract::of(&Place::Kv).await;
    let route = "/v1/activities/{activity}";
    let put = |field: &str, value: Value| save("a", &with(field, value));
    let text = |body: &'static str| save("a", &Value::Null).json(body);
    let query = |query: &str| at(save("a", &activity()), &format!("a?{query}"));
    let shipping = tier(json!({"for_every_amount": {"amount": 1}}), json!("free_shipping"));
    let descending = json!([activity()["tiers"][0], activity()["tiers"][0]]);
    let rows = vec![
        (200, "", save("a", &activity())),
        (200, "", save("a", &activity())),
        (200, "", save("full", &full())),
        (200, "", save_draft("a", &activity_for_list("l", 2))),
        (400, "invalid_part", save("A", &activity())),
        (400, "invalid_json", text("{")),
        (400, "missing_field", text("{}")),
        (400, "duplicate_field", text(r#"{"name": "a", "name": "a"}"#)),
        (400, "duplicate_field", query("draft=true&draft=true")),
        (400, "unknown_field", put("colour", json!("red"))),
        (400, "unknown_field", query("colour=red")),
        (400, "invalid_value", query("draft=maybe")),
        (400, "invalid_value", put("id", json!("b"))),
        (400, "invalid_value", put("until", json!("1970-01-01T00:00:00Z"))),
        (400, "invalid_value", put("tiers", json!([]))),
        (400, "too_many", put("labels", json!(vec!["label"; 9]))),
        (400, "not_meaningful", put("tiers", json!([shipping]))),
        (400, "not_ascending", put("tiers", descending)),
        (400, "too_large", save("a", &activity_for(json!({"include": [{"skus": keys(1_000)}]})))),
        (401, "missing_token", save("a", &activity()).without("authorization")),
        (403, "operator_only", by_caller(save("a", &activity()))),
        (409, "incomplete", save("b", &activity_for_list("l", 2))),
        (413, "body_too_large", too_large(save("a", &activity()))),
        (415, "unsupported_media_type", as_text(save("a", &activity()))),
    ];
    contract.check("put", route, rows).await;
    let rows = vec![
        (200, "", look("a")),
        (200, "", look("full")),
        (200, "", look_at_draft("a")),
        (400, "invalid_part", look("A")),
        (400, "invalid_value", at(look("a"), "a?draft=1")),
        (401, "wrong_token", look("a").header("authorization", "Bearer x")),
        (403, "operator_only", by_caller(look("a"))),
        (404, "unknown_activity", look("x")),
        (404, "unknown_activity", look("b")),
        (404, "unknown_draft", look_at_draft("full")),
    ];
    contract.check("get", route, rows).await;
    let rows = vec![
        (204, "", withdraw("full")),
        (204, "", withdraw("full")),
        (204, "", withdraw_draft("x")),
        (400, "invalid_part", withdraw("A")),
        (400, "unknown_field", at(withdraw("a"), "a?colour=red")),
        (403, "operator_only", by_caller(withdraw("a"))),
        (413, "body_too_large", too_large(withdraw("a"))),
    ];
    contract.check("delete", route, rows).await;
    let gone = vec![(404, "unknown_activity", look("full"))];
    contract.check("get", route, gone).await;
    let routes = ["get", "put", "delete"].map(|method| (method, route));
    contract.assert_all_reached(&routes);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_drafts_are_as_the_document_says() {
    let contract = Contract::of(&Place::Kv).await;
    let app = &contract.app;
    assert_eq!(draft_saved(app, "a", &activity_for_list("l", 2)).await, 1);
    saved(app, "live", &activity()).await;
    let (parts, publishing, rollout) = (
        "/v1/activities/{activity}/sku-list/{part}",
        "/v1/activities/{activity}/publish",
        "/v1/activities/{activity}/rollout",
    );
    let part = |number: &str| at(add_part("a", 1, &["x"]), &format!("a/sku-list/{number}"));
    let too_many = add_part("a", 1, &vec!["x"; 1_001]);
    let rows = vec![
        (200, "", add_part("a", 1, &["x", "y", "x"])),
        (200, "", add_part("a", 1, &["y", "x"])),
        (400, "invalid_part", add_part("A", 1, &["x"])),
        (400, "invalid_value", part("0")),
        (400, "invalid_value", part("one")),
        (400, "invalid_value", add_part("a", 1, &[])),
        (400, "invalid_value", add_part("a", 1, &["x\n"])),
        (400, "too_many", too_many),
        (400, "missing_field", part("1").json("{}")),
        (401, "missing_token", part("1").without("authorization")),
        (403, "operator_only", by_caller(part("1"))),
        (404, "unknown_draft", add_part("live", 1, &["x"])),
        (404, "unknown_part", part("3")),
        (409, "part_differs", part("1")),
        (413, "body_too_large", too_large(part("1"))),
        (415, "unsupported_media_type", as_text(part("1"))),
    ];
    contract.check("put", parts, rows).await;
    let incomplete = vec![(409, "incomplete", publish("a", 1))];
    contract.check("post", publishing, incomplete).await;
    let incomplete = vec![(409, "incomplete", roll_out("a", 5, &[]))];
    contract.check("put", rollout, incomplete).await;
    contract.check("put", parts, vec![(200, "", add_part("a", 2, &["z"]))]).await;

    // With its versions an activity has a limit, too.
    let mut large = activity();
    large["dimensions"] = json!({"segments": keys(820)});
    saved(app, "large", &large).await;
    large["dimensions"] = json!({"segments": keys(130)});
    draft_saved(app, "large", &large).await;
    let many: Vec<u64> = (1..=500).map(|number| u64::MAX - number).collect();
    let put = |body: Value| roll_out("a", 0, &[]).json(body.to_string());
    let rows = vec![
        (200, "", roll_out("a", 5, &[7, 8])),
        (200, "", put(json!({}))),
        (400, "invalid_json", put(json!({})).json("{")),
        (400, "invalid_part", roll_out("A", 5, &[])),
        (400, "invalid_id", put(json!({"users": [-1]}))),
        (400, "invalid_value", roll_out("a", 101, &[])),
        (400, "too_many", roll_out("a", 5, &[7; 501])),
        (400, "too_large", roll_out("large", 5, &many)),
        (400, "unknown_field", put(json!({"colour": "red"}))),
        (400, "duplicate_field", roll_out("a", 5, &[]).json(r#"{"percent": 1, "percent": 1}"#)),
        (403, "operator_only", by_caller(roll_out("a", 5, &[]))),
        (404, "unknown_draft", roll_out("live", 5, &[])),
        (413, "body_too_large", too_large(roll_out("a", 5, &[]))),
        (415, "unsupported_media_type", as_text(roll_out("a", 5, &[]))),
    ];
    contract.check("put", rollout, rows).await;
    let rows = vec![
        (400, "invalid_part", publish("A", 1)),
        (400, "invalid_value", publish("a", 1).json(r#"{"version": -1}"#)),
        (400, "missing_field", publish("a", 1).json("{}")),
        (403, "operator_only", by_caller(publish("a", 1))),
        (404, "unknown_draft", publish("live", 2)),
        (404, "unknown_draft", publish("x", 1)),
        (409, "not_the_draft", publish("a", 2)),
        (413, "body_too_large", too_large(publish("a", 1))),
        (415, "unsupported_media_type", as_text(publish("a", 1))),
        (200, "", publish("a", 1)),
        (200, "", publish("a", 1)),
    ];
    contract.check("post", publishing, rows).await;
    let found = vec![(200, "", look("a"))];
    contract.check("get", "/v1/activities/{activity}", found).await;
    contract.assert_all_reached(&[("put", parts), ("post", publishing), ("put", rollout)]);
}
