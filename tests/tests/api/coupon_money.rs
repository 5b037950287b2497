//! What coupons did not use of a budget returns to it; coupons that are taken back or extended, one and many.

use end_to_end::app::{Ask, Place, Reply, assert_refused, load};
use end_to_end::coupon::{
    Stock, extend, extend_many, issue, look, publish, published, redeem, reserve, revoke,
    revoke_many, roll_back, sweep, template,
};
use end_to_end::wallet::{cents, differences, settle};
use host::{App, Time};
use serde_json::{Value, json};

/// 2026-02-16T16:00:00Z
const START_MS: u64 = 1_771_257_600_000;
const DAY_MS: u64 = 86_400_000;

async fn app(place: &Place) -> App {
    let mut options = place.options();
    options.time = Time::Seeded { start_ms: START_MS };
    load(options).await
}

/// A fifth off, a cent at the most, of a budget for three; valid for two days, to be rolled back for one.
fn budgeted() -> Value {
    let mut body = template(10);
    let fields = json!({
        "kind": "percent_off", "value": 20, "single_cap": 100, "budget": 350, "threshold": 0,
        "limit_per_user": 9, "valid_for_days": 2, "rollback_days": 1,
    });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

async fn given(app: &App, user: u64, number: &str) {
    let reply = issue(user, "t", number).of(app).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

fn redeem_for(user: u64, coupon: &str, order: &str, amount: u64) -> Ask {
    redeem(user, coupon, order).json(json!({"order": order, "amount": amount}).to_string())
}

#[track_caller]
fn state(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["coupon"]["state"].clone()
}

async fn settled(app: &App) -> [i64; 2] {
    let reply = settle().of(app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    ["coupons", "home"].map(|name| cents(&reply, name))
}

async fn unused(app: &App) -> i64 {
    cents(&look("t").of(app).await, "unused")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_used_is_given_again() {
    for place in Place::all() {
        let app = app(&place).await;
        published(&app, "t", &budgeted()).await;
        for user in 1..=3 {
            given(&app, user, "n").await;
        }
        assert_refused(&issue(4, "t", "n").of(&app).await, 409, "budget_exhausted");
        assert_eq!(state(&redeem_for(1, "n", "A", 50).of(&app).await), "redeemed");
        assert_eq!(state(&roll_back(1, "n", "A").of(&app).await), "usable");
        assert_eq!(state(&redeem_for(1, "n", "B", 40).of(&app).await), "redeemed");
        assert_eq!(state(&redeem_for(2, "n", "A", 100).of(&app).await), "redeemed");
        assert_eq!((settled(&app).await, unused(&app).await), ([0, 0], 0), "{}", place.name());

        // Of the one 60 are left, which with the rest of the budget are one more.
        app.advance_time(DAY_MS);
        assert_eq!((settled(&app).await, unused(&app).await), ([2, 1], 60), "{}", place.name());
        assert_refused(&roll_back(1, "n", "B").of(&app).await, 409, "redemption_final");
        assert_eq!(redeem_for(1, "n", "B", 40).of(&app).await.json()["replayed"], true);
        given(&app, 4, "n").await;
        assert_refused(&issue(5, "t", "n").of(&app).await, 409, "budget_exhausted");

        // The third one expires.
        app.advance_time(DAY_MS);
        let reply = sweep().of(&app).await;
        let swept = ["settled", "home"].map(|name| cents(&reply, name));
        assert_eq!((swept, unused(&app).await), ([1, 1], 160), "{}", place.name());
        given(&app, 5, "n").await;
        assert_refused(&issue(6, "t", "n").of(&app).await, 409, "budget_exhausted");
        let stock = Stock::of(&look("t").of(&app).await);
        assert_eq!((stock.total, stock.issued), (5, 5), "{stock:?}");
        assert_eq!(settled(&app).await, [0, 0]);
        assert_eq!(differences(&app).await, Vec::<Value>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_reaches_the_threshold_in_the_currency_of_the_coupon() {
    for place in Place::all() {
        let app = app(&place).await;
        published(&app, "t", &template(10)).await;
        given(&app, 7, "n").await;
        let of_cart = |amount: u64, currency: &str| {
            let body = json!({"order": "A", "order_amount": amount, "currency": currency});
            redeem(7, "n", "A").json(body.to_string())
        };
        assert_refused(&of_cart(1_509, "CNY").of(&app).await, 409, "below_threshold");
        assert_refused(&of_cart(1_510, "EUR").of(&app).await, 409, "wrong_currency");
        assert_eq!(state(&of_cart(1_510, "CNY").of(&app).await), "redeemed");
        // A retry is told what was recorded.
        assert_eq!(of_cart(0, "EUR").of(&app).await.json()["replayed"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_that_is_taken_back_is_given_to_somebody_else() {
    for place in Place::all() {
        let app = app(&place).await;
        published(&app, "t", &template(1)).await;
        given(&app, 7, "n").await;
        assert_refused(&issue(8, "t", "n").of(&app).await, 409, "sold_out");
        let reply = revoke(7, "n", "by mistake").of(&app).await;
        assert_eq!(state(&reply), "revoked");
        let coupon = reply.json()["coupon"].clone();
        assert_eq!(coupon["revoked"]["reason"], "by mistake", "{reply:?}");
        let again = revoke(7, "n", "again").of(&app).await.json();
        assert_eq!((&again["coupon"], &again["replayed"]), (&coupon, &json!(true)));
        assert_refused(&redeem(7, "n", "A").of(&app).await, 409, "revoked");
        assert_refused(&issue(7, "t", "m").of(&app).await, 409, "user_limit");
        app.advance_time(2_000);
        given(&app, 8, "n").await;
        assert_eq!(state(&redeem(8, "n", "A").of(&app).await), "redeemed");
        assert_refused(&revoke(8, "n", "late").of(&app).await, 409, "already_redeemed");
        let listed = Ask::get("/v1/users/7/coupons?state=revoked").of(&app).await.json();
        assert_eq!(listed["coupons"], json!([coupon]));
        settled(&app).await;
        assert_eq!(differences(&app).await, Vec::<Value>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_that_is_extended_is_valid_until_then() {
    for place in Place::all() {
        let app = app(&place).await;
        published(&app, "t", &budgeted()).await;
        given(&app, 1, "n").await;
        given(&app, 2, "n").await;
        let until = "2026-02-21T16:00:00Z";
        let reply = extend(1, "n", until).of(&app).await;
        assert_eq!(state(&reply), "usable");
        assert_eq!(reply.json()["coupon"]["valid_until"], until);
        // Until then at least.
        let earlier = extend(1, "n", "2026-02-17T16:00:00Z").of(&app).await.json();
        assert_eq!(
            (&earlier["replayed"], &earlier["coupon"]["valid_until"]),
            (&json!(true), &json!(until))
        );
        app.advance_time(2 * DAY_MS);
        assert_refused(&extend(2, "n", until).of(&app).await, 409, "expired");
        assert_eq!((settled(&app).await, unused(&app).await), ([1, 1], 100), "{}", place.name());
        app.advance_time(3 * DAY_MS);
        assert_eq!((settled(&app).await, unused(&app).await), ([1, 1], 200), "{}", place.name());
        assert_eq!(differences(&app).await, Vec::<Value>::new());
    }
}

/// All calls of a walk: how many coupons were changed, and held ones.
async fn walk(app: &App, ask: impl Fn(&Value) -> Ask, mut body: Value, word: &str) -> [i64; 2] {
    let mut sum = [0, 0];
    for _ in 0..100 {
        let reply = ask(&body).of(app).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        for (sum, name) in sum.iter_mut().zip([word, "reserved"]) {
            *sum += cents(&reply, name);
        }
        let Some(cursor) = reply.text("cursor") else { return sum };
        body["cursor"] = json!(cursor);
    }
    panic!("it does not end")
}

#[tokio::test(flavor = "multi_thread")]
async fn coupons_of_a_template_or_a_batch_are_extended_and_taken_back() {
    for place in Place::all() {
        let app = app(&place).await;
        let mut body = template(50);
        body["limit_per_user"] = json!(9);
        published(&app, "t", &body).await;
        published(&app, "other", &body).await;
        for user in 1..=10 {
            given(&app, user, "n").await;
        }
        assert_eq!(issue(1, "other", "o").of(&app).await.status, 201);
        assert_eq!(reserve(1, "t", "held", 600).of(&app).await.status, 201);
        assert_eq!(state(&redeem(2, "n", "A").of(&app).await), "redeemed");
        let users: Vec<_> = (5..=12).collect();
        let batch = json!({"batch": "b", "users": users});
        let bulk = Ask::post("/v1/coupon-templates/t/bulk", batch.to_string()).operator();
        assert_eq!(bulk.of(&app).await.status, 202);

        let until = json!({"valid_until": "2027-01-01T00:00:00Z"});
        let extended = walk(&app, |body| extend_many("t", body), until.clone(), "extended").await;
        assert_eq!(extended, [17, 1], "{}", place.name());
        let again = walk(&app, |body| extend_many("t", body), until, "extended").await;
        assert_eq!(again, [0, 1], "{}", place.name());

        let of_batch = json!({"reason": "wrong", "batch": "b"});
        let revoked = walk(&app, |body| revoke_many("t", body), of_batch, "revoked").await;
        assert_eq!(revoked, [8, 0], "{}", place.name());
        let reason = json!({"reason": "wrong"});
        assert_refused(&revoke_many("t", &reason).of(&app).await, 409, "template_enabled");
        body["enabled"] = json!(false);
        published(&app, "t", &body).await;
        let revoked = walk(&app, |body| revoke_many("t", body), reason, "revoked").await;
        assert_eq!(revoked, [9, 1], "{}", place.name());
        let stock = Stock::of(&look("t").of(&app).await);
        assert_eq!((stock.issued, stock.reserved), (1, 1), "{stock:?}");
        assert_eq!(Stock::of(&look("other").of(&app).await).issued, 1);
        assert_eq!(differences(&app).await, Vec::<Value>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_over_is_opened_again() {
    for place in Place::all() {
        let app = app(&place).await;
        let mut body = template(10);
        body["claim_until"] = json!("2026-02-16T15:59:59Z");
        let reply = publish("t", &body).of(&app).await;
        assert_refused(&reply, 400, "invalid_value");
        assert_eq!(reply.text("field").as_deref(), Some("claim_until"));
        body["claim_until"] = json!("2026-02-16T17:00:00Z");
        published(&app, "t", &body).await;
        given(&app, 1, "n").await;
        app.advance_time(DAY_MS);
        assert_refused(&issue(2, "t", "n").of(&app).await, 409, "ended");
        // Its leases went home.
        assert_eq!(settle().of(&app).await.status, 200);
        assert_eq!(Stock::of(&look("t").of(&app).await).leased, 0);
        body["claim_until"] = json!("2026-02-20T16:00:00Z");
        published(&app, "t", &body).await;
        given(&app, 2, "n").await;
        // They go home at the next end, too, with what comes back behind it.
        app.advance_time(4 * DAY_MS);
        assert_eq!(settle().of(&app).await.status, 200);
        assert_eq!(Stock::of(&look("t").of(&app).await).leased, 0);
        assert_eq!(state(&revoke(2, "n", "late").of(&app).await), "revoked");
        settled(&app).await;
        let stock = Stock::of(&look("t").of(&app).await);
        assert_eq!((stock.issued, stock.leased, stock.remaining), (1, 0, 9), "{stock:?}");
        assert_eq!(differences(&app).await, Vec::<Value>::new());
    }
}
