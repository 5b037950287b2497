//! Asking the coupon function.

use host::App;
use http::Method;
use serde_json::{Value, json};

use crate::app::{Ask, Reply};

/// 15.00 off from 15.10, `stock` of them, all of which are given, one a user, at any time.
pub fn template(stock: u64) -> Value {
    json!({
        "activity": "spring", "scene": "newcomer", "kind": "amount_off", "value": "1500",
        "threshold": "1510", "currency": "CNY", "stock": stock.to_string(), "limit_per_user": 1,
        "claim_from": "1970-01-01T00:00:00Z", "claim_until": "9999-01-01T00:00:00Z",
        "valid_for_days": 30, "low_water_percent": 0
    })
}

/// Publishes a template.
pub fn publish(id: &str, template: &Value) -> Ask {
    Ask::new(Method::PUT, format!("/v1/coupon-templates/{id}"))
        .json(template.to_string())
        .operator()
}

/// Publishes a template, and demands that it is.
///
/// # Panics
/// It is not.
pub async fn published(app: &App, id: &str, template: &Value) -> Reply {
    let reply = publish(id, template).of(app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply
}

/// A template, and its stock.
pub fn look(id: &str) -> Ask {
    Ask::get(format!("/v1/coupon-templates/{id}"))
}

/// Sets up a scene.
pub fn set_up_scene(id: &str, scene: &Value) -> Ask {
    Ask::new(Method::PUT, format!("/v1/scenes/{id}")).json(scene.to_string()).operator()
}

/// A scene.
pub fn look_at_scene(id: &str) -> Ask {
    Ask::get(format!("/v1/scenes/{id}")).operator()
}

/// Asks for a coupon.
pub fn issue(user: u64, template: &str, number: &str) -> Ask {
    let body = json!({"order_number": number, "template": template});
    Ask::post(format!("/v1/users/{user}/coupons"), body.to_string())
}

/// What a number gave.
pub fn look_up(user: u64, number: &str) -> Ask {
    Ask::get(format!("/v1/users/{user}/coupons/orders/{number}"))
}

/// A user's coupons.
pub fn list(user: u64) -> Ask {
    Ask::get(format!("/v1/users/{user}/coupons"))
}

/// Holds a coupon.
pub fn reserve(user: u64, template: &str, number: &str, seconds: u64) -> Ask {
    let body = json!({
        "order_number": number, "template": template, "expires_in_seconds": seconds,
    });
    Ask::post(format!("/v1/users/{user}/reservations"), body.to_string())
}

/// Makes a held coupon the user's.
pub fn confirm(user: u64, number: &str) -> Ask {
    Ask::new(Method::POST, format!("/v1/users/{user}/reservations/{number}/confirm"))
}

/// Puts a held coupon back.
pub fn cancel(user: u64, number: &str) -> Ask {
    Ask::new(Method::POST, format!("/v1/users/{user}/reservations/{number}/cancel"))
}

/// Redeems a coupon.
pub fn redeem(user: u64, coupon: &str, order: &str) -> Ask {
    let body = json!({"order": order});
    Ask::post(format!("/v1/users/{user}/coupons/{coupon}/redeem"), body.to_string())
}

/// Rolls a redemption back.
pub fn roll_back(user: u64, coupon: &str, order: &str) -> Ask {
    let body = json!({"order": order});
    Ask::post(format!("/v1/users/{user}/coupons/{coupon}/rollback"), body.to_string())
}

/// Takes a coupon back.
pub fn revoke(user: u64, coupon: &str, reason: &str) -> Ask {
    let body = json!({"reason": reason});
    Ask::post(format!("/v1/users/{user}/coupons/{coupon}/revoke"), body.to_string()).operator()
}

/// Makes a coupon valid for longer.
pub fn extend(user: u64, coupon: &str, until: &str) -> Ask {
    let body = json!({"valid_until": until});
    Ask::post(format!("/v1/users/{user}/coupons/{coupon}/extend"), body.to_string()).operator()
}

/// Takes the coupons of a template back; the body has the reason, and which.
pub fn revoke_many(template: &str, body: &Value) -> Ask {
    Ask::post(format!("/v1/coupon-templates/{template}/revoke"), body.to_string()).operator()
}

/// Makes the coupons of a template valid for longer; the body says until when, and which.
pub fn extend_many(template: &str, body: &Value) -> Ask {
    Ask::post(format!("/v1/coupon-templates/{template}/extend"), body.to_string()).operator()
}

/// Ends what has expired.
pub fn sweep() -> Ask {
    Ask::new(Method::POST, "/v1/coupons/sweep").operator()
}

/// What became of a template's coupons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// All.
    pub total: i64,
    /// Given.
    pub issued: i64,
    /// Held.
    pub reserved: i64,
    /// In the partitions.
    pub leased: i64,
    /// In the pool.
    pub remaining: i64,
}

impl Stock {
    /// From an answer to [`look`].
    ///
    /// # Panics
    /// It is another answer, or the parts do not add up.
    #[track_caller]
    pub fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{reply:?}");
        let stock = &reply.json()["stock"];
        let part = |name: &str| {
            let text = stock[name].as_str().unwrap_or_else(|| panic!("{name}: {reply:?}"));
            text.parse().unwrap_or_else(|error| panic!("{name}: {error}: {reply:?}"))
        };
        let stock = Self {
            total: part("total"),
            issued: part("issued"),
            reserved: part("reserved"),
            leased: part("leased"),
            remaining: part("remaining"),
        };
        let Self { total, issued, reserved, leased, remaining } = stock;
        assert_eq!(issued + reserved + leased + remaining, total, "{stock:?}");
        for part in [issued, reserved, leased, remaining] {
            assert!((0..=total).contains(&part), "{stock:?}");
        }
        stock
    }
}
