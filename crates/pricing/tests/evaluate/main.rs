//! Evaluations: worked examples, every code that explains, an oracle and properties.

mod codes;
mod examples;
mod generate;
mod oracle;
mod properties;
mod reference;

use domain::time::UnixMillis;
use pricing::activity::Activity;
use pricing::cart::Cart;
use pricing::decide::evaluate;
use serde_json::{Value, json};

/// 2026-02-18T12:00:00Z, within the window of [`activity`].
const NOW: UnixMillis = UnixMillis(1_771_416_000_000);

/// An activity with this id, scope and tiers from 17 to 24 February 2026, for everybody and
/// everything; `more` adds fields or replaces them.
fn activity(id: &str, scope: &str, tiers: &Value, more: &Value) -> Activity {
    let mut body = json!({
        "id": id, "name": id, "currency": "CNY", "scope": scope, "tiers": tiers,
        "from": "2026-02-17T00:00:00Z", "until": "2026-02-24T00:00:00Z"
    });
    for (field, value) in more.as_object().expect("an object") {
        body[field] = value.clone();
    }
    let activity: Activity = serde_json::from_value(body).expect("an activity");
    activity.validate().expect("a valid activity");
    activity
}

/// The same with one tier.
fn simple(id: &str, scope: &str, condition: &Value, benefit: &Value, more: &Value) -> Activity {
    activity(id, scope, &json!([{"condition": condition, "benefit": benefit}]), more)
}

/// A line `"id sku spu category quantity unit_price"`; shop and brand follow from the category.
fn line(text: &str) -> Value {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [id, sku, spu, category, quantity, unit_price] = parts[..] else { panic!("{text}") };
    json!({
        "line": id, "sku": sku, "spu": spu, "category": category, "unit_price": unit_price,
        "shop": format!("shop-{category}"), "brand": format!("brand-{category}"),
        "quantity": quantity.parse::<u32>().expect("a quantity")
    })
}

/// A cart of such lines in CNY, at [`NOW`], in the app, of a user who is in "bought-here".
fn cart(lines: &[&str]) -> Cart<'static> {
    let body = json!({
        "currency": "CNY",
        "context": {"platform": "app", "channel": "feed", "region": "north",
                    "segments": ["bought-here"], "is_new": false, "at": NOW},
        "lines": lines.iter().map(|text| line(text)).collect::<Vec<_>>()
    });
    // Leaked, because a cart borrows from its text: some kilobytes a test.
    serde_json::from_str(body.to_string().leak()).expect("a cart")
}

/// The evaluation as JSON, where purchase limits leave everything.
#[track_caller]
fn evaluated(activities: &[Activity], cart: &Cart<'_>) -> Value {
    let evaluation = evaluate(activities, cart, |_, _| u64::MAX).expect("an evaluation");
    serde_json::to_value(evaluation).expect("JSON")
}
