//! A payment for a group packet that was forgotten: the sender is credited once; where it is too old, an operator
//! decides, and the other events of the batch are committed.

use end_to_end::app::{Ask, CLOUD_EVENTS, Place, assert_refused, load};
use end_to_end::wallet::{
    cents, decide_late_payment, differences, open, packet_name, packet_paid, packet_to_pay, send,
    settle, tell, view,
};
use host::{App, Time};
use serde_json::{Value, json};

/// 2026-02-16T16:00:00Z
const START_MS: u64 = 1_771_257_600_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// An app in which user 7 has sent a packet of 2.00 that nobody has paid for, some days ago.
async fn after(days: u64) -> App {
    let mut options = Place::Kv.options();
    options.time = Time::Seeded { start_ms: START_MS };
    let app = load(options).await;
    assert_eq!(send(&packet_to_pay(7, "p", 200, 2)).of(&app).await.status, 201);
    app.advance_time(days * DAY_MS);
    app
}

async fn balance(app: &App) -> i64 {
    assert_eq!(settle().of(app).await.status, 200);
    cents(&view(7).of(app).await, "balance")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_for_a_packet_that_was_forgotten_credits_the_sender_once() {
    let app = after(8).await;
    for _ in 0..2 {
        assert_eq!(tell(&packet_paid(7, "p")).of(&app).await.status, 204);
        assert_eq!(balance(&app).await, 200);
    }
    assert_refused(&open(&packet_name(7, "p"), 8).of(&app).await, 409, "expired");
    assert_eq!(differences(&app).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_that_is_sent_again_can_be_paid() {
    let app = after(8).await;
    assert_eq!(send(&packet_to_pay(7, "p", 200, 2)).of(&app).await.status, 201);
    assert_eq!(tell(&packet_paid(7, "p")).of(&app).await.status, 204);
    assert_eq!(open(&packet_name(7, "p"), 8).of(&app).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_too_old_keeps_no_other_event_of_its_batch() {
    let app = after(31).await;
    assert_eq!(send(&packet_to_pay(7, "new", 200, 2)).of(&app).await.status, 201);
    let batch = json!([packet_paid(7, "p"), packet_paid(7, "new")]).to_string();
    let batch = Ask::post("/v1/events", batch).header("content-type", CLOUD_EVENTS);
    for _ in 0..2 {
        assert_refused(&batch.clone().of(&app).await, 422, "too_old");
    }
    assert_eq!(open(&packet_name(7, "new"), 8).of(&app).await.status, 200);
    assert_eq!(balance(&app).await, 0);
    let credited = decide_late_payment(&packet_name(7, "p"), "credit").of(&app).await;
    assert_eq!(credited.status, 204, "{credited:?}");
    assert_eq!(balance(&app).await, 200);
    assert_eq!(differences(&app).await, Vec::<Value>::new());
}
