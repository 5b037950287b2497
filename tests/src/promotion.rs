//! Asking the promotion function.

use host::App;
use http::Method;
use serde_json::{Value, json};

use crate::app::{Ask, Reply};

/// 10 % off everything, at any time.
pub fn activity() -> Value {
    json!({
        "name": "Spring", "labels": ["10 % off"], "currency": "CNY", "scope": "activity",
        "from": "1970-01-01T00:00:00Z", "until": "9999-01-01T00:00:00Z",
        "tiers": [{"benefit": {"percent_off": {"percent": 10}}}]
    })
}

/// The same for products: `{"include": [...], "exclude": [...], "sku_list": ...}`.
pub fn activity_for(products: Value) -> Value {
    let mut activity = activity();
    activity["dimensions"] = json!({ "products": products });
    activity
}

/// The same for the SKUs of a list in this many parts.
pub fn activity_for_list(name: &str, parts: u32) -> Value {
    activity_for(json!({"sku_list": {"name": name, "parts": parts}}))
}

/// The same with purchase limits.
pub fn activity_with_limits(limits: Value) -> Value {
    let mut activity = activity();
    activity["limits"] = limits;
    activity
}

/// A line of a cart: its id is its SKU.
pub fn line(sku: &str, quantity: u32, unit_price: i64) -> Value {
    json!({"line": sku, "sku": sku, "quantity": quantity, "unit_price": unit_price.to_string()})
}

/// A cart of nobody in particular.
pub fn cart(lines: Vec<Value>) -> Value {
    json!({"currency": "CNY", "lines": lines})
}

/// The cart of a user.
pub fn cart_of(user: u64, lines: Vec<Value>) -> Value {
    json!({"user": user.to_string(), "currency": "CNY", "lines": lines})
}

fn path(id: &str) -> String {
    format!("/v1/activities/{id}")
}

fn put(path: String, body: &Value) -> Ask {
    Ask::new(Method::PUT, path).json(body.to_string()).operator()
}

/// Saves an activity, to be live at once.
pub fn save(id: &str, activity: &Value) -> Ask {
    put(path(id), activity)
}

/// Saves an activity as a draft.
pub fn save_draft(id: &str, activity: &Value) -> Ask {
    put(path(id) + "?draft=true", activity)
}

/// Saves an activity to be live at once, and demands that it is; its version.
///
/// # Panics
/// It is not.
pub async fn saved(app: &App, id: &str, activity: &Value) -> u64 {
    version(&save(id, activity).of(app).await)
}

/// Saves a draft, and demands that it is; its version.
///
/// # Panics
/// It is not.
pub async fn draft_saved(app: &App, id: &str, activity: &Value) -> u64 {
    version(&save_draft(id, activity).of(app).await)
}

/// The version that an answer names.
///
/// # Panics
/// It names none.
#[track_caller]
pub fn version(reply: &Reply) -> u64 {
    assert_eq!(reply.status, 200, "{reply:?}");
    let version = reply.text("version").and_then(|version| version.parse().ok());
    version.unwrap_or_else(|| panic!("no version: {reply:?}"))
}

/// The live version of an activity.
pub fn look(id: &str) -> Ask {
    Ask::get(path(id)).operator()
}

/// The draft of an activity.
pub fn look_at_draft(id: &str) -> Ask {
    Ask::get(path(id) + "?draft=true").operator()
}

/// Takes an activity away.
pub fn withdraw(id: &str) -> Ask {
    Ask::new(Method::DELETE, path(id)).operator()
}

/// Takes a draft away.
pub fn withdraw_draft(id: &str) -> Ask {
    Ask::new(Method::DELETE, path(id) + "?draft=true").operator()
}

/// Sends a part of a draft's list of SKUs.
pub fn add_part(id: &str, part: u32, skus: &[&str]) -> Ask {
    put(format!("{}/sku-list/{part}", path(id)), &json!({ "skus": skus }))
}

/// Makes a draft live.
pub fn publish(id: &str, version: u64) -> Ask {
    let body = json!({"version": version.to_string()});
    Ask::post(path(id) + "/publish", body.to_string()).operator()
}

/// Says for whom a draft holds.
pub fn roll_out(id: &str, percent: u8, users: &[u64]) -> Ask {
    let users: Vec<String> = users.iter().map(u64::to_string).collect();
    put(path(id) + "/rollout", &json!({"percent": percent, "users": users}))
}

/// What does a cart cost?
pub fn evaluate(cart: &Value) -> Ask {
    Ask::post("/v1/promotions/evaluate", cart.to_string())
}

/// What does a cart cost, live and under drafts?
pub fn compare(cart: &Value) -> Ask {
    Ask::post("/v1/promotions/compare", cart.to_string()).operator()
}

/// What do pages show of items? `{"currency", "items": [...], "user"?, "context"?}`
pub fn labels(items: &Value) -> Ask {
    Ask::post("/v1/promotions/labels", items.to_string())
}

/// Takes out of the index what nobody needs, and undoes what was abandoned.
pub fn sweep_promotions() -> Ask {
    Ask::new(Method::POST, "/v1/promotions/sweep").operator()
}

/// Changes prices and stock states, in CNY.
pub fn change_prices(changes: &[Value]) -> Ask {
    let body = json!({"currency": "CNY", "changes": changes});
    Ask::post("/v1/prices", body.to_string()).operator()
}

/// A use of an activity that counts all of its units together.
pub fn use_of(activity: &str, uses: u32) -> Value {
    json!({"activity": activity, "uses": uses})
}

/// Takes uses for an order.
pub fn take(user: u64, number: &str, uses: &[Value]) -> Ask {
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

/// The code with which an evaluation explains an activity; `None`: it was not considered.
///
/// # Panics
/// It is another answer.
#[track_caller]
pub fn code_of(reply: &Reply, activity: &str) -> Option<String> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let body = reply.json();
    let explanations = body["explanations"].as_array().expect("a list");
    let one = explanations.iter().find(|one| one["activity"] == activity)?;
    one["code"].as_str().map(str::to_owned)
}

/// What a cart is evaluated to cost, in cents.
///
/// # Panics
/// It is another answer.
#[track_caller]
pub fn total(reply: &Reply) -> i64 {
    assert_eq!(reply.status, 200, "{reply:?}");
    let total = reply.text("total").and_then(|total| total.parse().ok());
    total.unwrap_or_else(|| panic!("no total: {reply:?}"))
}
