//! Asking about group-buys.

use http::Method;
use serde_json::{Value, json};

use crate::app::{Ask, CLOUD_EVENT};

/// Sets up a campaign.
pub fn set_up(campaign: &str, template: &str, give_back: bool) -> Ask {
    let body = json!({"template": template, "give_back": give_back});
    put(campaign, &body)
}

/// Sets up a campaign of any shape.
pub fn put(campaign: &str, body: &Value) -> Ask {
    Ask::new(Method::PUT, format!("/v1/group-buy-campaigns/{campaign}"))
        .json(body.to_string())
        .operator()
}

/// A campaign.
pub fn look_at(campaign: &str) -> Ask {
    Ask::get(format!("/v1/group-buy-campaigns/{campaign}")).operator()
}

/// Opens a group for an hour.
pub fn open(user: u64, campaign: &str, group: &str) -> Ask {
    open_for(user, campaign, group, 3_600)
}

/// Opens a group.
pub fn open_for(user: u64, campaign: &str, group: &str, seconds: u64) -> Ask {
    let body = json!({
        "campaign": campaign, "group": group, "user": user.to_string(),
        "expires_in_seconds": seconds,
    });
    Ask::post("/v1/group-buys", body.to_string())
}

/// The event that a group ended: `how` is succeeded, failed or expired.
pub fn event(how: &str, user: u64, campaign: &str, group: &str) -> Value {
    json!({
        "specversion": "1.0", "id": "1", "source": "/shop", "type": format!("group.{how}"),
        "data": {"campaign": campaign, "group": group, "user": user.to_string()},
    })
}

/// Says that a group ended.
pub fn ended(how: &str, user: u64, campaign: &str, group: &str) -> Ask {
    let event = event(how, user, campaign, group);
    Ask::post("/v1/events", event.to_string()).header("content-type", CLOUD_EVENT)
}
