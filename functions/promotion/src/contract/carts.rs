//! What operations on carts, product pages and prices promise.

use edge::contract::Operation as Promise;
use pricing::evaluation::Evaluation;
use serde_json::{Value, json};

use super::Alike as _;
use crate::parse::{EvaluateBody, LabelsBody, PricesBody};
use crate::render::{ComparisonBody, ItemsBody, TallyBody};

/// A cart, as examples show it.
fn cart() -> Value {
    json!({
        "currency": "CNY",
        "lines": [{"line": "1", "sku": "a", "brand": "b", "quantity": 1, "unit_price": "1000"}]
    })
}

/// What it costs.
fn evaluation() -> Value {
    json!({
        "lines": [{"line": "1", "subtotal": "1000", "discount": "0", "total": "1000"}],
        "units": [],
        "subtotal": "1000",
        "discount": "0",
        "total": "1000",
        "free_shipping": false,
        "valid_until": "2026-02-24T00:00:00Z",
        "explanations": [{
            "activity": "second-half",
            "applied": false,
            "code": "quantity_too_low",
            "shortfall": {"quantity": "1"}
        }]
    })
}

pub(super) fn evaluate() -> Promise {
    Promise::new("evaluateCart", "What does a cart cost, and why?")
        .description("Nothing is taken: purchase limits are only looked at.")
        .body::<EvaluateBody<'static>>(cart())
        .answers::<Evaluation<'static>>(200, "What it costs.", evaluation())
        .refuses_carts()
}

pub(super) fn labels() -> Promise {
    Promise::new("labelItems", "What do product pages show of items?")
        .body::<LabelsBody<'static>>(
            json!({"currency": "CNY", "items": [{"sku": "a", "unit_price": "1000"}]}),
        )
        .answers::<ItemsBody<'static>>(
            200,
            "In order.",
            json!({"items": [{
                "sku": "a",
                "unit_price": "1000",
                "in_stock": null,
                "labels": [],
                "windows": [{
                    "from": "2026-02-17T00:00:00Z",
                    "until": null,
                    "price": "1000",
                    "activities": []
                }]
            }]}),
        )
        .refuses_carts()
}

pub(super) fn compare() -> Promise {
    Promise::new("compareCart", "What does a cart cost, live and under drafts?")
        .body::<EvaluateBody<'static>>(cart())
        .answers::<ComparisonBody<'static>>(
            200,
            "Both, and where they differ; null: not considered.",
            json!({
                "live": evaluation(),
                "draft": evaluation(),
                "lines": [],
                "activities": []
            }),
        )
        .refuses_carts()
}

pub(super) fn change_prices() -> Promise {
    Promise::new(
        "changePrices",
        "Change prices and stock states; of each SKU the last change counts",
    )
    .description("After a 503 send all again.")
    .body::<PricesBody>(json!({
        "currency": "CNY",
        "changes": [{
            "sku": "a",
            "unit_price": "1000",
            "in_stock": true,
            "changed_at": "2026-02-17T00:00:00Z"
        }]
    }))
    .answers::<TallyBody>(
        200,
        "What became of the changes: `merged` and `stale` ones were overtaken, in the \
                 batch or before.",
        json!({"applied": "1", "merged": "0", "stale": "0"}),
    )
}
