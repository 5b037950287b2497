//! Asking for uses of activities, and for prices under them.

use http::Method;
use serde_json::{Value, json};

use crate::app::{Ask, Reply};

/// `percent` off these SKUs, at any time.
pub fn off(percent: u8, skus: &[&str]) -> Value {
    json!({
        "name": "Spring", "currency": "CNY", "scope": "activity",
        "from": "1970-01-01T00:00:00Z", "until": "9999-01-01T00:00:00Z",
        "dimensions": {"products": {"include": [{"skus": skus}]}},
        "tiers": [{"benefit": {"percent_off": {"percent": percent}}}]
    })
}

/// The same with purchase limits.
pub fn limited(limits: &Value) -> Value {
    let mut activity = off(10, &["a"]);
    activity["limits"] = limits.clone();
    activity
}

/// Saves an activity; the query is `?draft=true` or nothing.
pub fn save(id: &str, query: &str, activity: &Value) -> Ask {
    put(format!("/v1/activities/{id}{query}"), activity)
}

/// What operators put somewhere.
pub fn put(path: impl Into<String>, body: &Value) -> Ask {
    Ask::new(Method::PUT, path).json(body.to_string()).operator()
}

/// What operators post.
pub fn post(path: impl Into<String>, body: &Value) -> Ask {
    Ask::post(path, body.to_string()).operator()
}

/// Takes uses for an order: activities, units' keys or nothing, and how often.
pub fn take(user: u64, number: &str, uses: &[(&str, &str, u32)]) -> Ask {
    let one = |(activity, key, uses): &(&str, &str, u32)| {
        let mut one = json!({"activity": activity, "uses": uses});
        if !key.is_empty() {
            one["key"] = json!(key);
        }
        one
    };
    let uses: Vec<_> = uses.iter().map(one).collect();
    let body = json!({"order_number": number, "uses": uses});
    Ask::post(format!("/v1/users/{user}/purchases"), body.to_string())
}

/// What an order took.
pub fn order(user: u64, number: &str) -> Ask {
    Ask::get(format!("/v1/users/{user}/purchases/{number}"))
}

/// Gives back what an order took.
pub fn give_back(user: u64, number: &str) -> Ask {
    Ask::new(Method::POST, format!("/v1/users/{user}/purchases/{number}/give-back"))
}

/// Takes out of the index what nobody needs, and undoes orders of which nobody asks again.
pub fn sweep() -> Ask {
    Ask::new(Method::POST, "/v1/promotions/sweep").operator()
}

/// What do these SKUs cost, one of each at 100.00?
pub fn evaluate(user: u64, skus: &[&str]) -> Ask {
    let line = |sku: &&str| json!({"line": sku, "sku": sku, "quantity": 1, "unit_price": "10000"});
    let lines: Vec<_> = skus.iter().map(line).collect();
    let body = json!({"user": user.to_string(), "currency": "CNY", "lines": lines});
    Ask::post("/v1/promotions/evaluate", body.to_string())
}

/// The answer to [`evaluate`], in cents.
///
/// # Panics
/// It is another answer.
#[track_caller]
pub fn total(reply: &Reply) -> i64 {
    assert_eq!(reply.status, 200, "{reply:?}");
    let total = reply.text("total").and_then(|total| total.parse().ok());
    total.unwrap_or_else(|| panic!("no total: {reply:?}"))
}
