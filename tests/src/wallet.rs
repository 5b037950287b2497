//! Asking the functions of red packets, the balance and settlement.

use domain::ids::UserId;
use host::App;
use http::Method;
use serde_json::{Value, json};
use wallet::keys::SigningKeys;
use wallet::token::{Payload, Token};

use crate::app::{Ask, CLOUD_EVENT, Reply, SIGNING_KEYS};

/// The stage of an app that is given none.
pub const STAGE: &str = "live";

/// A rain of 1.00 each, a thousand of them, whose one round lasts from 1970 to 9999.
pub fn rain() -> Value {
    json!({
        "activity": "spring", "scene": "rain", "currency": "CNY",
        "budget": "100000", "single_cap": "500",
        "rounds": [{"round": 1, "from": "1970-01-01T00:00:00Z", "until": "9999-01-01T00:00:00Z"}],
        "amounts": {"fixed": "100"}
    })
}

/// The same with another value of a field.
pub fn rain_with(field: &str, value: Value) -> Value {
    let mut rain = rain();
    rain[field] = value;
    rain
}

/// The same with a budget, and any amount between two, in cents.
pub fn rain_between(budget: i64, minimum: i64, maximum: i64) -> Value {
    let between = json!({"minimum": minimum.to_string(), "maximum": maximum.to_string()});
    let mut rain = rain_with("amounts", between);
    rain["budget"] = json!(budget.to_string());
    rain["single_cap"] = json!(maximum.to_string());
    rain
}

fn put(path: impl Into<String>, body: &Value) -> Ask {
    Ask::new(Method::PUT, path).json(body.to_string()).operator()
}

/// Sets a rain up.
pub fn set_up_rain(id: &str, rain: &Value) -> Ask {
    put(format!("/v1/rains/{id}"), rain)
}

/// Sets a rain up, and demands that it is.
///
/// # Panics
/// It is not.
pub async fn rain_set_up(app: &App, id: &str, rain: &Value) {
    let reply = set_up_rain(id, rain).of(app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// A rain, and what is left of its budget.
pub fn look_at_rain(id: &str) -> Ask {
    Ask::get(format!("/v1/rains/{id}")).operator()
}

/// Opens a packet of a rain's first round.
pub fn open_rain(user: u64, rain: &str, award: &str) -> Ask {
    open_rain_by(user, &json!({"rain": rain, "round": 1, "award": award}))
}

/// Opens a packet of a rain, with whatever body.
pub fn open_rain_by(user: u64, body: &Value) -> Ask {
    Ask::post(format!("/v1/users/{user}/rain-packets"), body.to_string())
}

/// The number under which a user opens a packet of [`rain`].
pub fn rain_number(user: u64, award: &str) -> String {
    format!("{user}_spring_rain_1_{award}_{STAGE}")
}

/// A group packet at random, from the sender's balance.
pub fn packet(sender: u64, number: &str, total: i64, count: u32) -> Value {
    json!({
        "order_number": number, "sender": sender.to_string(), "total": total.to_string(),
        "count": count, "kind": "random", "funding": "balance"
    })
}

/// The same, to be paid for.
pub fn packet_to_pay(sender: u64, number: &str, total: i64, count: u32) -> Value {
    let mut packet = packet(sender, number, total, count);
    packet["funding"] = json!("payment");
    packet
}

/// The name of a group packet.
pub fn packet_name(sender: u64, number: &str) -> String {
    format!("{sender}.{number}")
}

/// Sends a group packet.
pub fn send(packet: &Value) -> Ask {
    Ask::post("/v1/red-packets", packet.to_string())
}

/// A group packet as it is now.
pub fn look(packet: &str) -> Ask {
    Ask::get(format!("/v1/red-packets/{packet}"))
}

/// May a user open it?
pub fn grab(packet: &str, user: u64) -> Ask {
    by_user(packet, "grab", user)
}

/// Takes a part of it.
pub fn open(packet: &str, user: u64) -> Ask {
    by_user(packet, "open", user)
}

fn by_user(packet: &str, action: &str, user: u64) -> Ask {
    let body = json!({"user": user.to_string()});
    Ask::post(format!("/v1/red-packets/{packet}/{action}"), body.to_string())
}

/// An event: a group packet was paid for.
pub fn packet_paid(sender: u64, number: &str) -> Value {
    packet_paid_by(None, sender, number)
}

/// The same, by a payment that may have a number.
pub fn packet_paid_by(payment: Option<&str>, sender: u64, number: &str) -> Value {
    let mut data = json!({
        "packet": packet_name(sender, number), "sender": sender.to_string(), "order_number": number
    });
    if let Some(payment) = payment {
        data["payment"] = json!(payment);
    }
    json!({
        "specversion": "1.0", "id": "1", "source": "/payments", "type": "packet.paid",
        "data": data
    })
}

/// Sends an event, structured.
pub fn tell(event: &Value) -> Ask {
    Ask::post("/v1/events", event.to_string()).header("content-type", CLOUD_EVENT)
}

fn of_user(user: u64, path: &str) -> String {
    format!("/v1/users/{user}/{path}")
}

/// What does a user have?
pub fn view(user: u64) -> Ask {
    Ask::get(of_user(user, "balance"))
}

/// The same, with tokens that the client holds.
pub fn restore<S: AsRef<str>>(user: u64, tokens: &[S]) -> Ask {
    let tokens: Vec<&str> = tokens.iter().map(AsRef::as_ref).collect();
    Ask::post(of_user(user, "balance"), json!({ "tokens": tokens }).to_string())
}

/// Posts what a user was given.
pub fn post(user: u64) -> Ask {
    Ask::new(Method::POST, of_user(user, "balance/post"))
}

/// Has this number acted?
pub fn look_up(user: u64, number: &str) -> Ask {
    Ask::get(of_user(user, &format!("balance/orders/{number}")))
}

/// What moved: a page, with a query as `?limit=2&cursor=7` or none.
pub fn statement(user: u64, query: &str) -> Ask {
    Ask::get(of_user(user, "statement") + query)
}

/// Asks for a withdrawal.
pub fn withdraw(user: u64, number: &str, amount: i64) -> Ask {
    let body = json!({"withdrawal_number": number, "amount": amount.to_string()});
    Ask::post(of_user(user, "withdrawals"), body.to_string())
}

/// The same, with more members.
pub fn withdraw_with(user: u64, number: &str, amount: i64, more: &Value) -> Ask {
    let mut body = json!({"withdrawal_number": number, "amount": amount.to_string()});
    let more = more.as_object().cloned().unwrap_or_default();
    more.into_iter().for_each(|(name, value)| body[name] = value);
    Ask::post(of_user(user, "withdrawals"), body.to_string())
}

/// What became of a withdrawal?
pub fn look_at_withdrawal(user: u64, number: &str) -> Ask {
    Ask::get(of_user(user, &format!("withdrawals/{number}")))
}

/// It left.
pub fn post_withdrawal(user: u64, number: &str) -> Ask {
    Ask::new(Method::POST, of_user(user, &format!("withdrawals/{number}/post")))
}

/// It comes back.
pub fn void_withdrawal(user: u64, number: &str) -> Ask {
    Ask::new(Method::POST, of_user(user, &format!("withdrawals/{number}/void")))
}

/// Settles, with nothing said.
pub fn settle() -> Ask {
    Ask::new(Method::POST, "/v1/settlement").operator()
}

/// Settles at most so many users.
pub fn settle_users(users_max: i64) -> Ask {
    Ask::post("/v1/settlement", json!({ "users_max": users_max }).to_string()).operator()
}

/// What is set aside? With a query.
pub fn quarantine(query: &str) -> Ask {
    Ask::get(format!("/v1/quarantine{query}")).operator()
}

/// Puts something back that is set aside.
pub fn retry(item: &str) -> Ask {
    Ask::new(Method::POST, format!("/v1/quarantine/{item}/retry")).operator()
}

/// Takes something out that is set aside.
pub fn drop_item(item: &str, reason: &str) -> Ask {
    let path = format!("/v1/quarantine/{item}/drop");
    Ask::post(path, json!({ "reason": reason }).to_string()).operator()
}

/// For which payments was there no use? With a query as `?limit=3` or none.
pub fn unapplied_payments(query: &str) -> Ask {
    Ask::get(format!("/v1/unapplied-payments{query}")).operator()
}

/// What becomes of one, by its id: `credit` or `drop`.
pub fn decide_payment(payment_id: &str, decision: &str) -> Ask {
    let body = json!({ "decision": decision, "reason": "as agreed" }).to_string();
    Ask::post(format!("/v1/unapplied-payments/{payment_id}"), body).operator()
}

/// How long is what is over kept?
pub fn retention() -> Ask {
    Ask::get("/v1/retention").operator()
}

/// Keeps it so long.
pub fn retain(retention: &Value) -> Ask {
    put("/v1/retention", retention)
}

/// Takes away what is over for long enough, or says what would go: `{"dry_run"?, "users_max"?}`.
pub fn collect(body: &Value) -> Ask {
    Ask::post("/v1/collection", body.to_string()).operator()
}

/// What does the store hold of a day? With a query as `?cursor=x` or none.
pub fn export(day: &str, query: &str) -> Ask {
    Ask::get(format!("/v1/export/{day}{query}")).operator()
}

/// How are tokens posted?
pub fn posting() -> Ask {
    Ask::get("/v1/posting").operator()
}

/// Posts them in another way: `{"mode", "large_from"?}`.
pub fn switch_posting(mode: &Value) -> Ask {
    put("/v1/posting", mode)
}

/// Where do books not agree? With a query as `?scope=full` or none.
pub fn reconcile(query: &str) -> Ask {
    Ask::get(format!("/v1/reconciliation{query}")).operator()
}

/// All differences of all users, page after page.
///
/// # Panics
/// A page is no page.
pub async fn differences(app: &App) -> Vec<Value> {
    let mut found = Vec::new();
    let mut query = "?scope=full".to_owned();
    loop {
        let reply = reconcile(&query).of(app).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        found.extend(reply.json()["differences"].as_array().expect("a list").iter().cloned());
        let Some(cursor) = reply.text("cursor") else { return found };
        query = format!("?scope=full&cursor={cursor}");
    }
}

/// An amount of an answer, in cents.
///
/// # Panics
/// There is none.
#[track_caller]
pub fn cents(reply: &Reply, name: &str) -> i64 {
    let amount = reply.text(name).and_then(|amount| amount.parse().ok());
    amount.unwrap_or_else(|| panic!("no {name}: {reply:?}"))
}

/// What a token says, by a text of an answer; nothing is verified.
///
/// # Panics
/// There is none.
#[track_caller]
pub fn token_of(reply: &Reply) -> Token {
    let text = reply.text("token").unwrap_or_else(|| panic!("no token: {reply:?}"));
    let envelope = wallet::token::Envelope::from_text(&text);
    let stored = envelope.unwrap_or_else(|error| panic!("{error}: {reply:?}")).to_stored();
    Token::from_stored(&stored).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

/// What a token of [`rain`] says of so many cents, under a number.
pub fn payload(user: u64, number: &str, cents: i64) -> Payload {
    Payload {
        app_id: 0,
        act_id: UserId(user).0,
        activity_id: "spring".to_owned(),
        scene_id: "rain".to_owned(),
        amount: cents,
        out_trade_no: number.to_owned(),
        open_time: 1_771_257_600_000,
        rain_id: 1,
        status: 0,
    }
}

/// A token that the app believes: signed by the keys of tests for its stage.
///
/// # Panics
/// The payload cannot be signed.
pub fn signed(payload: &Payload) -> String {
    signed_by(SIGNING_KEYS, STAGE, payload)
}

/// A token that is signed by other keys, or for another stage.
///
/// # Panics
/// The keys are none, or the payload cannot be signed.
pub fn signed_by(keys: &str, stage: &str, payload: &Payload) -> String {
    let keys = SigningKeys::parse(keys, true).expect("keys of a test");
    keys.sign(payload, stage).expect("a payload of a test").to_text()
}
