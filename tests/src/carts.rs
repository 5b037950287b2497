//! Carts and activities of any size, for counting and measuring: a shop of four sellers, ten brands and
//! twenty categories, with two colours of each product.

use serde_json::{Value, json};

use crate::app::Ask;

/// Until when the activities of a shop last.
const UNTIL: &str = "2030-01-01T00:00:00Z";

/// A cart of so many lines.
pub fn cart(lines: usize) -> Value {
    json!({"user": "652024209997893632", "currency": "CNY",
           "context": {"platform": "app", "channel": "feed", "region": "north"},
           "lines": (0..lines).map(line).collect::<Vec<_>>()})
}

/// The line of a number: one SKU each, two SKUs an SPU.
pub fn line(number: usize) -> Value {
    json!({"line": number.to_string(), "sku": sku(number), "spu": format!("SPU-{}", number / 2),
           "shop": format!("shop-{}", number % 4), "brand": format!("brand-{}", number % 10),
           "category": format!("category-{}", number % 20), "quantity": number % 3 + 1,
           "unit_price": (1_990 + number % 7 * 500).to_string()})
}

/// The SKU of a number.
pub fn sku(number: usize) -> String {
    format!("SKU-{number:06}")
}

/// An activity over these products.
pub fn activity(name: &str, scope: &str, products: &Value, tiers: &Value) -> Value {
    json!({"name": name, "labels": [name], "currency": "CNY", "scope": scope,
           "from": "2026-01-01T00:00:00Z", "until": UNTIL,
           "dimensions": {"products": products}, "tiers": tiers})
}

/// An activity that takes a cent off whatever bears these SKUs.
pub fn cent_off(skus: &[String]) -> Value {
    let tiers = json!([{"benefit": {"amount_off": {"amount": 1}}}]);
    activity("A cent off", "sku", &json!({"include": [{"skus": skus}]}), &tiers)
}

/// The activity of a number, one of five kinds: each applies to a cart of twenty lines or more.
pub fn of_number(number: usize) -> Value {
    let round = number / 5;
    let include = |selector: Value| json!({"include": [selector]});
    let mut activity = match number % 5 {
        0 => {
            let skus: Vec<_> = (0..8).map(|place| sku(place * 20 + round % 20)).collect();
            let tiers = json!([{"benefit": {"fixed_price": {"amount": 990 + round}}}]);
            activity("Flash price", "sku", &include(json!({"skus": skus})), &tiers)
        }
        1 => {
            let categories = [round, round + 10].map(|number| format!("category-{}", number % 20));
            let half = json!({"nth_item_at_percent": {"nth": 2, "percent": 50}});
            let tiers = json!([{"benefit": half}]);
            activity("Second at half", "spu", &include(json!({"categories": categories})), &tiers)
        }
        2 => {
            let least = |amount: u32| json!({"amount_at_least": {"amount": amount}});
            let off = |amount: u32| json!({"amount_off": {"amount": amount}});
            let tiers = json!([{"condition": least(2_000), "benefit": off(100)},
                               {"condition": least(20_000), "benefit": off(2_000)}]);
            let shops = json!({"shops": [format!("shop-{}", round % 4)]});
            activity("Spend and save", "activity", &include(shops), &tiers)
        }
        3 => {
            let tiers = json!([{"benefit": {"percent_off": {"percent": 5 + round % 5}}}]);
            let brands = json!({"brands": [format!("brand-{}", round % 10)]});
            activity("Brand day", "brand", &include(brands), &tiers)
        }
        _ => {
            let tiers = json!([{"condition": {"for_every_amount": {"amount": 5_000}},
                                "benefit": {"gift": {"sku": "socks", "quantity": 1}}}]);
            activity("A gift", "activity", &json!({}), &tiers)
        }
    };
    activity["stacking"] = json!({"layer": number % 5 % 3, "priority": number});
    if number % 5 == 3 {
        activity["stacking"]["exclusive"] = json!({"group": "brands", "mode": "best"});
    }
    activity
}

/// Publishes an activity.
pub fn publish(id: &str, activity: &Value) -> Ask {
    Ask::new(http::Method::PUT, format!("/v1/activities/{id}"))
        .json(activity.to_string())
        .operator()
}

/// Evaluates a cart.
pub fn evaluate(cart: &Value) -> Ask {
    Ask::post("/v1/promotions/evaluate", cart.to_string())
}
