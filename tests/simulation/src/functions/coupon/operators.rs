//! What operators do with coupons: other stocks, batches, coupons that they take back or extend.

use domain::time::UnixMillis;
use end_to_end::app::{Ask, Reply};
use end_to_end::coupon::{extend, extend_many, look, publish, revoke_many, template};
use http::Method;
use rand::RngExt;
use serde_json::{Value, json};

use super::{Coupons, TEMPLATES};
use crate::world::{DAY_MS, Step, USERS};

/// Why.
pub const REASON: &str = "it was a mistake";
/// Calls of one walk.
const CALLS_MAX: u32 = 8;

/// Another stock, while everything goes on.
pub async fn change_stock(step: &mut Step) {
    let id = step.one_of(&TEMPLATES);
    let shown = step.ask(&look(id)).await;
    let Some(shown) = shown.filter(|shown| shown.status == 200) else { return };
    let mut body = shown.json()["definition"].clone();
    if body.is_null() {
        // It is sealed.
        return;
    }
    body["stock"] = template(step.random.random_range(0..=25))["stock"].clone();
    let Some(reply) = step.ask(&publish(id, &body)).await else { return };
    let code = reply.text("code").unwrap_or_default();
    let refused = ["stock_in_use", "published_meanwhile", "sealed"].contains(&code.as_str());
    assert!(reply.status == 200 || refused, "{reply:?}");
    if reply.status == 200 {
        step.world.saw("coupon: stock changed");
    }
}

/// Gives one of a template to everybody.
pub async fn batch(coupons: &Coupons, step: &mut Step) {
    let id = step.one_of(&TEMPLATES);
    let users: Vec<_> = USERS.iter().map(u64::to_string).collect();
    let body = json!({"batch": format!("b{}", step.id.client), "users": users}).to_string();
    let path = format!("/v1/coupon-templates/{id}/bulk");
    let asked = Ask::new(Method::POST, path).json(body).operator();
    let Some(reply) = step.ask(&asked).await else { return };
    if reply.status == 404 && coupons.may_have_ended(&step.world, id) {
        return;
    }
    assert_eq!(reply.status, 202, "{reply:?}");
    step.world.saw("coupon: batch");
}

/// Takes back what a batch gave, or all of a template that gives nothing any more.
pub async fn revoke_some(coupons: &Coupons, step: &mut Step) {
    let id = step.one_of(&TEMPLATES);
    let mut body = json!({"reason": REASON});
    if step.random.random_bool(0.5) {
        body["batch"] = json!(format!("b{}", step.id.client));
    } else {
        coupons.revoking().templates.insert(id);
    }
    walk(step, body, |body| revoke_many(id, body), "revoked").await;
}

/// Extends all of a template, or what a batch gave.
pub async fn extend_some(step: &mut Step) {
    let id = step.one_of(&TEMPLATES);
    let mut body = json!({"valid_until": until(step)});
    if step.random.random_bool(0.5) {
        body["batch"] = json!(format!("b{}", step.id.client));
    }
    walk(step, body, |body| extend_many(id, body), "extended").await;
}

/// Extends one coupon.
pub async fn extend_one(step: &mut Step, user: u64, number: &str) -> Option<Reply> {
    let until = until(step);
    step.ask(&extend(user, number, &until)).await
}

fn until(step: &mut Step) -> String {
    let skew_ms = step.world.plan.skew_ms_max();
    let ms = step.world.app.now_ms() + skew_ms + step.random.random_range(1..10) * DAY_MS;
    UnixMillis(ms as i64).to_rfc3339()
}

/// To the end of the lists, or until an answer is lost.
async fn walk(step: &mut Step, mut body: Value, ask: impl Fn(&Value) -> Ask, what: &str) {
    for _ in 0..CALLS_MAX {
        let Some(reply) = step.ask(&ask(&body)).await else { return };
        if reply.status != 200 {
            let code = reply.text("code").unwrap_or_default();
            // Until when it was to be extended may be over by now.
            let refused = ["template_enabled", "unknown_template", "invalid_value"];
            assert!(refused.contains(&&*code), "{reply:?}");
            return;
        }
        if reply.text(what).as_deref() != Some("0") {
            step.world.saw(format!("coupon: many {what}"));
        }
        let Some(cursor) = reply.text("cursor") else { return };
        body["cursor"] = json!(cursor);
    }
}
