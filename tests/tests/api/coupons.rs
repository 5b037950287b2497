//! Coupons in ordinary times: what each operation gives, on kv and on redis.

use end_to_end::app::{Ask, Place, Reply, assert_refused, order_paid};
use end_to_end::coupon::{
    Stock, cancel, confirm, issue, list, look, look_up, publish, published, redeem, reserve,
    roll_back, template,
};
use host::App;
use serde_json::{Value, json};

async fn stock(app: &App, id: &str) -> Stock {
    Stock::of(&look(id).of(app).await)
}

#[track_caller]
fn assert_given(reply: &Reply, outcome: &str, replayed: bool) {
    assert_eq!(reply.status, 201, "{reply:?}");
    let body = reply.json();
    assert_eq!(body["outcome"], outcome, "{reply:?}");
    assert_eq!(body["replayed"], replayed, "{reply:?}");
    assert_eq!(reply.header("idempotent-replayed"), replayed.then_some("true"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_acts_once_and_is_told_again() {
    for place in Place::all() {
        let app = place.app().await;
        published(&app, "t", &template(10)).await;
        let first = issue(7, "t", "n1").of(&app).await;
        assert_given(&first, "issued", false);
        assert_eq!(first.json()["coupon"]["coupon"], "n1");
        let again = issue(7, "t", "n1").of(&app).await;
        assert_given(&again, "issued", true);
        assert_eq!(first.json()["coupon"], again.json()["coupon"]);
        published(&app, "other", &template(10)).await;
        assert_refused(&issue(7, "other", "n1").of(&app).await, 422, "order_number_reused");
        assert_refused(&issue(7, "t", "n2").of(&app).await, 409, "user_limit");
        // Another user's number is another number.
        assert_given(&issue(8, "t", "n1").of(&app).await, "issued", false);
        let found = look_up(7, "n1").of(&app).await;
        assert_eq!(found.json()["coupon"], first.json()["coupon"]);
        assert_refused(&look_up(7, "n2").of(&app).await, 404, "unknown_order");
        let stock = stock(&app, "t").await;
        assert_eq!((stock.issued, stock.reserved), (2, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_is_given_and_low_water_is_exact() {
    // Stock, percent, and how many are given.
    for (total, percent, given) in [(100, 10, 91), (15, 10, 14), (20, 0, 20)] {
        let place = Place::redis();
        let app = place.app().await;
        let mut fallback = template(3);
        fallback["greeting"] = json!("Until next time");
        published(&app, "fallback", &fallback).await;
        let mut body = template(total);
        body["low_water_percent"] = json!(percent);
        body["fallback_template"] = json!("fallback");
        published(&app, "t", &body).await;
        let mut outcomes = Vec::new();
        for user in 0..total + 10 {
            let reply = issue(user * 1_000_003, "t", "n").of(&app).await;
            assert_eq!(reply.status, 201, "{reply:?}");
            outcomes.push(reply.text("outcome").unwrap());
        }
        let count = |name: &str| outcomes.iter().filter(|outcome| *outcome == name).count() as u64;
        assert_eq!(count("issued"), given, "of {total} at {percent} percent");
        assert_eq!(count("fallback"), 3);
        assert_eq!(count("greeting"), total + 10 - given - 3);
        assert!(outcomes.iter().take(given as usize).all(|outcome| outcome == "issued"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_is_confirmed_or_goes_back() {
    for place in Place::all() {
        let app = place.app().await;
        published(&app, "t", &template(2)).await;
        for number in ["a", "b"] {
            let user = u64::from(number.as_bytes()[0]);
            let reply = reserve(user, "t", number, 600).of(&app).await;
            assert_given(&reply, "reserved", false);
            assert_given(&reserve(user, "t", number, 600).of(&app).await, "reserved", true);
            assert_refused(&redeem(user, number, "A").of(&app).await, 409, "not_confirmed");
        }
        assert_refused(&issue(3, "t", "c").of(&app).await, 409, "sold_out");
        let reply = confirm(97, "a").of(&app).await;
        assert_eq!((reply.status, reply.text("outcome").as_deref()), (200, Some("issued")));
        assert_refused(&cancel(97, "a").of(&app).await, 409, "already_confirmed");
        let reply = cancel(98, "b").of(&app).await;
        assert_eq!((reply.status, reply.text("outcome").as_deref()), (200, Some("cancelled")));
        assert_eq!(cancel(98, "b").of(&app).await.json()["replayed"], true);
        assert_refused(&confirm(98, "b").of(&app).await, 409, "cancelled");
        assert_refused(&confirm(98, "z").of(&app).await, 404, "unknown_order");
        // A number that was cancelled before it came can come no more.
        assert_eq!(cancel(9, "late").of(&app).await.status, 200);
        assert_refused(&reserve(9, "t", "late", 600).of(&app).await, 409, "cancelled");
        let stock = stock(&app, "t").await;
        assert_eq!((stock.issued, stock.reserved), (1, 0), "{stock:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_is_redeemed_and_rolled_back() {
    for place in Place::all() {
        let app = place.app().await;
        published(&app, "t", &template(2)).await;
        assert_given(&issue(7, "t", "n").of(&app).await, "issued", false);
        let state = |reply: &Reply| reply.json()["coupon"]["state"].clone();
        let reply = redeem(7, "n", "A").of(&app).await;
        assert_eq!((reply.status, state(&reply)), (200, json!("redeemed")), "{reply:?}");
        let reply = redeem(7, "n", "A").of(&app).await;
        assert_eq!(reply.json()["replayed"], true);
        assert_refused(&redeem(7, "n", "B").of(&app).await, 409, "already_redeemed");
        let reply = roll_back(7, "n", "A").of(&app).await;
        assert_eq!((reply.status, state(&reply)), (200, json!("usable")), "{reply:?}");
        assert_refused(&redeem(7, "n", "A").of(&app).await, 409, "rolled_back");
        assert_eq!(redeem(7, "n", "B").of(&app).await.status, 200);
        assert_refused(&redeem(8, "n", "B").of(&app).await, 404, "unknown_coupon");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_pages_and_states() {
    for place in Place::all() {
        let app = place.app().await;
        let mut body = template(100);
        body["limit_per_user"] = json!(50);
        published(&app, "t", &body).await;
        for index in 0..25 {
            let reply = issue(7, "t", &format!("n{index}")).of(&app).await;
            assert_given(&reply, "issued", false);
        }
        assert_eq!(redeem(7, "n3", "A").of(&app).await.status, 200);
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/users/7/coupons?limit=10{cursor}");
            let page = Ask::get(path).of(&app).await.json();
            let coupons = page["coupons"].as_array().unwrap();
            assert!(coupons.len() <= 10);
            ids.extend(coupons.iter().map(|coupon| coupon["coupon"].clone()));
            let Some(next) = page["cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let mut distinct: Vec<_> = ids.iter().map(Value::to_string).collect();
        distinct.sort();
        distinct.dedup();
        assert_eq!((ids.len(), distinct.len()), (25, 25));
        let redeemed = Ask::get("/v1/users/7/coupons?state=redeemed").of(&app).await.json();
        assert_eq!(redeemed["coupons"].as_array().unwrap().len(), 1);
        assert_eq!(list(8).of(&app).await.json()["coupons"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_changes_while_a_campaign_runs() {
    for place in Place::all() {
        let app = place.app().await;
        assert_eq!(published(&app, "t", &template(10)).await.json()["version"], 1);
        assert_eq!(published(&app, "t", &template(10)).await.json()["version"], 1);
        for user in 0..8 {
            assert_given(&issue(user, "t", "n").of(&app).await, "issued", false);
        }
        assert_refused(&publish("t", &template(7)).of(&app).await, 409, "stock_in_use");
        assert_eq!(published(&app, "t", &template(8)).await.json()["version"], 2);
        assert_refused(&issue(8, "t", "n").of(&app).await, 409, "sold_out");
        published(&app, "t", &template(9)).await;
        let stock = stock(&app, "t").await;
        assert_eq!((stock.total, stock.issued), (9, 8));
        let mut dearer = template(9);
        dearer["value"] = json!("1600");
        assert_refused(&publish("t", &dearer).of(&app).await, 409, "field_fixed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_users_only_is_decided_with_the_coupon() {
    for place in Place::all() {
        let app = place.app().await;
        let mut body = template(10);
        body["new_users_only"] = json!(true);
        published(&app, "t", &body).await;
        assert_eq!(order_paid(7).of(&app).await.status, 204);
        assert_refused(&issue(7, "t", "n").of(&app).await, 409, "not_eligible");
        assert_given(&issue(8, "t", "n").of(&app).await, "issued", false);
        assert_eq!(order_paid(8).of(&app).await.status, 204);
        assert_given(&issue(8, "t", "n").of(&app).await, "issued", true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_batches_and_groups_are_not_for_callers() {
    for place in Place::all() {
        let app = place.app().await;
        published(&app, "t", &template(10)).await;
        for number in ["group:c:g", "bulk:t:b"] {
            assert_refused(&issue(7, "t", number).of(&app).await, 400, "invalid_order_number");
            assert_refused(&cancel(7, number).of(&app).await, 400, "invalid_order_number");
            assert_refused(&look_up(7, number).of(&app).await, 404, "unknown_order");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_numbers_follow_from_does_not_change() {
    for place in Place::all() {
        let app = place.app().await;
        published(&app, "t", &template(10)).await;
        let play = json!({"template": "t", "play": {"round": "1", "award": "x"}}).to_string();
        let asked = Ask::post("/v1/users/7/coupons", play);
        let reply = asked.of(&app).await;
        assert_given(&reply, "issued", false);
        assert_eq!(reply.text("order_number").as_deref(), Some("7_spring_newcomer_1_x_live"));
        assert_given(&asked.of(&app).await, "issued", true);
        for field in ["activity", "scene"] {
            let mut other = template(10);
            other[field] = json!("other");
            assert_refused(&publish("t", &other).of(&app).await, 409, "field_fixed");
        }
    }
}
