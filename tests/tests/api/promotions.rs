//! What carts and product pages are told: purchase limits, new users, windows of time, stored prices. On
//! kv and on redis, over HTTP.

use end_to_end::app::{Place, Reply, load, order_paid};
use end_to_end::promotion::{
    activity, activity_with_limits, cart, cart_of, change_prices, code_of, evaluate, give_back,
    labels, line, saved, take, total, use_of,
};
use host::{App, Time};
use serde_json::{Value, json};

/// 2026-02-17T00:00:00Z
const START_MS: u64 = 1_771_286_400_000;
const HOUR_MS: u64 = 3_600_000;
const START: &str = "2026-02-17T00:00:00Z";
const IN_AN_HOUR: &str = "2026-02-17T01:00:00Z";
const IN_TWO_HOURS: &str = "2026-02-17T02:00:00Z";

async fn app(place: &Place) -> App {
    let mut options = place.options();
    options.time = Time::Seeded { start_ms: START_MS };
    load(options).await
}

/// An answer that must be one.
#[track_caller]
fn body(reply: &Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{reply:?}");
    reply.json()
}

/// The cart of a user with one piece for 10.00.
fn one_piece(user: u64) -> Value {
    cart_of(user, vec![line("x", 1, 1_000)])
}

/// 10 % off from in an hour until in two.
fn soon() -> Value {
    let mut soon = activity();
    (soon["from"], soon["until"]) = (json!(IN_AN_HOUR), json!(IN_TWO_HOURS));
    soon
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_counts_from_when_it_is_taken_until_it_is_given_back() {
    for place in Place::all() {
        let app = app(&place).await;
        let limits = json!({"per_user": 1, "total": 2});
        saved(&app, "a", &activity_with_limits(limits)).await;
        let code = async |user: u64| code_of(&evaluate(&one_piece(user)).of(&app).await, "a");
        let (applied, used_up) = (Some("applied".to_owned()), Some("limit_used_up".to_owned()));
        for _ in 0..3 {
            assert_eq!(code(7).await, applied, "looking takes nothing");
        }
        body(&take(7, "n", &[use_of("a", 1)]).of(&app).await, 201);
        assert_eq!((code(7).await, code(8).await), (used_up.clone(), applied.clone()));
        body(&take(8, "n", &[use_of("a", 1)]).of(&app).await, 201);
        assert_eq!(code(9).await, used_up, "all users together have used it twice");
        let again = take(7, "n", &[use_of("a", 1)]).of(&app).await;
        assert_eq!(body(&again, 201)["replayed"], true, "an order that has taken has taken");
        for _ in 0..2 {
            body(&give_back(7, "n").of(&app).await, 200);
            assert_eq!((code(7).await, code(9).await), (applied.clone(), applied.clone()));
            assert_eq!(code(8).await, used_up);
        }
    }
}

/// What an evaluation says of its uses is what an order takes: three pieces of each SKU, a user.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_evaluation_counts_an_order_can_take() {
    for place in Place::all() {
        let app = app(&place).await;
        let mut pieces = activity_with_limits(json!({"per_user": 3, "counted": "by_unit"}));
        pieces["scope"] = json!("sku");
        pieces["tiers"][0]["condition"] = json!({"for_every_quantity": {"quantity": 1}});
        saved(&app, "a", &pieces).await;
        let cart = cart_of(7, vec![line("x", 2, 1_000), line("y", 1, 1_000)]);
        let mut totals = Vec::new();
        for number in ["first", "second", "third"] {
            let reply = evaluate(&cart).of(&app).await;
            totals.push(total(&reply));
            let evaluation = reply.json();
            let units = evaluation["units"].as_array().expect("a list").iter();
            let taken = |unit: &Value| json!({"activity": unit["activity"], "key": unit["key"], "uses": unit["uses"]});
            let uses: Vec<Value> = units.map(taken).collect();
            body(&take(7, number, &uses).of(&app).await, 201);
        }
        // 10 % of two pieces of x and one of y; of one and one; of y alone.
        assert_eq!(totals, [2_700, 2_800, 2_900]);
        assert_eq!(code_of(&evaluate(&cart).of(&app).await, "a").as_deref(), Some("limit_used_up"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_user_is_new_is_told_by_the_store() {
    for place in Place::all() {
        let app = app(&place).await;
        let mut for_new = activity();
        for_new["dimensions"] = json!({"new_users_only": true});
        saved(&app, "a", &for_new).await;
        let told = async |mut cart: Value, is_new: Option<bool>| {
            cart["context"] = json!({ "is_new": is_new });
            code_of(&evaluate(&cart).of(&app).await, "a").expect("it is considered")
        };
        assert_eq!(order_paid(8).of(&app).await.status, 204);
        for claimed in [None, Some(true), Some(false)] {
            assert_eq!(told(one_piece(7), claimed).await, "applied");
            assert_eq!(told(one_piece(8), claimed).await, "not_a_new_user");
        }
        // Of nobody in particular the caller may say it.
        let nobody = cart(vec![line("x", 1, 1_000)]);
        assert_eq!(told(nobody.clone(), None).await, "user_unknown");
        assert_eq!(told(nobody.clone(), Some(true)).await, "applied");
        assert_eq!(told(nobody, Some(false)).await, "not_a_new_user");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_holds_until_something_starts_or_ends() {
    for place in Place::all() {
        let app = app(&place).await;
        saved(&app, "a", &soon()).await;
        let told = async |at: Option<&str>| {
            let mut cart = one_piece(7);
            cart["context"] = json!({ "at": at });
            let reply = evaluate(&cart).of(&app).await;
            let code = code_of(&reply, "a").expect("it is considered");
            (code, reply.text("valid_until"), total(&reply))
        };
        let until = |at: &str| Some(at.to_owned());
        let before = ("not_started".to_owned(), until(IN_AN_HOUR), 1_000);
        let during = ("applied".to_owned(), until(IN_TWO_HOURS), 900);
        let after = ("ended".to_owned(), None, 1_000);
        // Asked about other moments, and asked when they have come.
        assert_eq!(told(Some(IN_AN_HOUR)).await, during);
        assert_eq!(told(Some(IN_TWO_HOURS)).await, after);
        assert_eq!(told(None).await, before);
        app.advance_time(HOUR_MS - 1);
        assert_eq!(told(None).await, before);
        app.advance_time(1);
        assert_eq!(told(None).await, during);
        app.advance_time(HOUR_MS);
        assert_eq!(told(None).await, after);
    }
}

/// What pages show of one item without a price of its own.
async fn shown(app: &App, sku: &str) -> Value {
    let items = json!({"currency": "CNY", "items": [{"sku": sku}]});
    body(&labels(&items).of(app).await, 200)["items"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_knows_the_prices_of_the_hours_to_come() {
    for place in Place::all() {
        let app = app(&place).await;
        saved(&app, "soon", &soon()).await;
        let mut far = activity();
        far["labels"] = json!(["Free shipping from 100.00"]);
        let condition = json!({"amount_at_least": {"amount": 10_000}});
        far["tiers"] = json!([{"condition": condition, "benefit": "free_shipping"}]);
        saved(&app, "far", &far).await;

        let item = json!({"sku": "x", "unit_price": "1000"});
        let items = json!({"currency": "CNY", "items": [item]});
        let item = &body(&labels(&items).of(&app).await, 200)["items"][0];
        let label = json!({"activity": "far", "labels": far["labels"], "until": far["until"]});
        assert_eq!(item["labels"], json!([label]), "what may be reached now is shown");
        let windows = json!([
            {"from": START, "until": IN_AN_HOUR, "price": "1000", "activities": []},
            {"from": IN_AN_HOUR, "until": IN_TWO_HOURS, "price": "900", "activities": ["soon"]},
            {"from": IN_TWO_HOURS, "until": null, "price": "1000", "activities": []},
        ]);
        assert_eq!(item["windows"], windows);

        // Without a price there is nothing to show but labels.
        let found = shown(&app, "x").await;
        assert_eq!((&found["windows"], &found["unit_price"]), (&json!([]), &json!(null)));
        assert_eq!(found["labels"], json!([label]));
        let change =
            json!({"sku": "x", "unit_price": 1_000, "in_stock": true, "changed_at": START});
        body(&change_prices(&[change]).of(&app).await, 200);
        let found = shown(&app, "x").await;
        assert_eq!(found["windows"], windows);
        assert_eq!((&found["unit_price"], &found["in_stock"]), (&json!("1000"), &json!(true)));
        // The price of the request goes before that of the store, which is of another currency, too.
        let item = json!({"sku": "x", "unit_price": "500"});
        for (currency, item, expected) in
            [("CNY", item, json!("500")), ("USD", json!({"sku": "x"}), json!(null))]
        {
            let items = json!({"currency": currency, "items": [item]});
            let found = body(&labels(&items).of(&app).await, 200);
            assert_eq!(found["items"][0]["unit_price"], expected, "{found}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_changes_of_a_price_the_last_counts_in_whatever_order_they_come() {
    for place in Place::all() {
        let app = app(&place).await;
        let changed = async |changes: &[Value]| {
            let tally = body(&change_prices(changes).of(&app).await, 200);
            ["applied", "merged", "stale"].map(|name| tally[name].clone())
        };
        let price = |sku: &str, price: i64, second: u32| {
            let at = format!("2026-02-17T00:00:0{second}Z");
            json!({"sku": sku, "unit_price": price, "changed_at": at})
        };
        let in_stock = |in_stock: bool, second: u32| json!({"sku": "x", "in_stock": in_stock, "changed_at": format!("2026-02-17T00:00:0{second}Z")});
        let batch = [
            price("x", 300, 3),
            price("x", 100, 1),
            price("y", 700, 1),
            price("x", 200, 2),
            in_stock(true, 1),
        ];
        assert_eq!(changed(&batch).await, ["3", "2", "0"]);
        assert_eq!(changed(&batch).await, ["0", "2", "3"], "the same again");
        assert_eq!(changed(&[price("x", 250, 2), in_stock(false, 2)]).await, ["1", "0", "1"]);
        let found = shown(&app, "x").await;
        assert_eq!((&found["unit_price"], &found["in_stock"]), (&json!("300"), &json!(false)));
        assert_eq!(changed(&[price("x", 400, 4)]).await, ["1", "0", "0"]);
        assert_eq!(shown(&app, "x").await["unit_price"], "400");
        assert_eq!(shown(&app, "y").await["unit_price"], "700");
    }
}
