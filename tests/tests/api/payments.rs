//! A payment for a group packet that was forgotten: the sender is credited once. Where it is too old, or the packet
//! has another payment, an operator decides, and the other events of the batch are committed.

use domain::partition::Partitions;
use end_to_end::app::{Ask, CLOUD_EVENTS, Place, assert_refused, load};
use end_to_end::dump::write_past;
use end_to_end::wallet::{
    cents, decide_payment, differences, open, packet, packet_name, packet_paid, packet_paid_by,
    packet_to_pay, send, settle, tell, unapplied_payments, view,
};
use host::{App, Time};
use serde_json::{Value, json};
use wallet::records::home_of_packet;

/// 2026-02-16T16:00:00Z
const START_MS: u64 = 1_771_257_600_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const PARTITIONS: u32 = 4;

/// An app in which user 7 has sent a packet of 2.00 that nobody has paid for, some days ago.
async fn after(days: u64) -> App {
    let mut options = Place::Kv.options();
    options.time = Time::Seeded { start_ms: START_MS };
    let app = load(options).await;
    assert_eq!(send(&packet_to_pay(7, "p", 200, 2)).of(&app).await.status, 201);
    app.advance_time(days * DAY_MS);
    app
}

/// The id of the only payment that waits.
async fn waiting(app: &App) -> String {
    let listed = unapplied_payments("").of(app).await.json();
    let [payment] = &listed["payments"].as_array().expect("a list")[..] else { panic!("{listed}") };
    payment["payment_id"].as_str().expect("an id").to_owned()
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
    let unknown = json!([packet_paid(7, "p"), packet_paid(7, "lost"), packet_paid(7, "new")]);
    let unknown = Ask::post("/v1/events", unknown.to_string()).header("content-type", CLOUD_EVENTS);
    let refused = unknown.of(&app).await;
    assert_refused(&refused, 422, "unknown_packet");
    assert_eq!(refused.text("field").as_deref(), Some("[1].data.packet"));
    let batch = json!([packet_paid(7, "p"), packet_paid(7, "new")]).to_string();
    let batch = Ask::post("/v1/events", batch).header("content-type", CLOUD_EVENTS);
    for _ in 0..2 {
        assert_refused(&batch.clone().of(&app).await, 422, "too_old");
    }
    assert_eq!(open(&packet_name(7, "new"), 8).of(&app).await.status, 200);
    assert_eq!(balance(&app).await, 0);
    let credited = decide_payment(&waiting(&app).await, "credit").of(&app).await;
    assert_eq!(credited.status, 204, "{credited:?}");
    assert_eq!(balance(&app).await, 200);
    assert_eq!(differences(&app).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_payment_waits_with_all_that_an_operator_must_know() {
    let app = after(0).await;
    let by = |payment, number| packet_paid_by(Some(payment), 7, number);
    assert_eq!(send(&packet_to_pay(7, "q", 300, 1)).of(&app).await.status, 201);
    assert_eq!(tell(&by("T-1", "p")).of(&app).await.status, 204);
    let batch = json!([by("T-1", "p"), by("T-2", "p"), by("T-3", "q")]).to_string();
    let batch = Ask::post("/v1/events", batch).header("content-type", CLOUD_EVENTS);
    for _ in 0..2 {
        let refused = batch.clone().of(&app).await;
        assert_refused(&refused, 422, "already_paid");
        assert_eq!(refused.text("field").as_deref(), Some("[1].data.packet"));
    }
    for name in ["p", "q"] {
        assert_eq!(open(&packet_name(7, name), 8).of(&app).await.status, 200, "{name}");
    }
    let listed = unapplied_payments("").of(&app).await.json();
    let id = waiting(&app).await;
    let expected = json!({"payments": [{
        "payment_id": id, "code": "already_paid", "packet": "7.p",
        "payment": "T-2", "packet_payment": "T-1", "packet_funding": "payment", "sender": "7", "amount": "200", "sent_at": "2026-02-16T16:00:00Z",
        "told_at": "2026-02-16T16:00:00Z"
    }]});
    assert_eq!(listed, expected);
    assert_eq!(balance(&app).await, 0);
    assert_eq!(decide_payment(&id, "credit").of(&app).await.status, 204);
    assert_eq!(balance(&app).await, 200);
    assert_eq!(tell(&by("T-2", "p")).of(&app).await.status, 204, "it is done");
    assert_eq!(unapplied_payments("").of(&app).await.json(), json!({"payments": []}));
    assert_eq!(differences(&app).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_for_a_packet_that_needs_none_waits_and_can_be_dropped() {
    let app = after(0).await;
    assert_eq!(tell(&packet_paid(7, "p")).of(&app).await.status, 204);
    app.advance_time(2 * DAY_MS);
    assert_eq!(balance(&app).await, 200, "nobody opened it");
    assert_eq!(send(&packet(7, "mine", 200, 1)).of(&app).await.status, 201);
    assert_refused(&tell(&packet_paid(7, "mine")).of(&app).await, 422, "already_paid");
    assert_eq!(decide_payment(&waiting(&app).await, "drop").of(&app).await.status, 204);
    assert_refused(&tell(&packet_paid(7, "mine")).of(&app).await, 422, "already_paid");
    assert_eq!(balance(&app).await, 0);
    assert_eq!(differences(&app).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_whose_late_payment_was_decided_cannot_be_sent_again() {
    let app = after(31).await;
    assert_refused(&tell(&packet_paid(7, "p")).of(&app).await, 422, "too_old");
    assert_eq!(decide_payment(&waiting(&app).await, "drop").of(&app).await.status, 204);
    assert_refused(&send(&packet_to_pay(7, "p", 200, 2)).of(&app).await, 422, "too_old");
}

/// The gravest problem is told: what is to be repaired, then what is to be sent again, then what is listed.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_done_keeps_no_other_one_of_its_batch() {
    let place = Place::redis();
    let app = load(place.options().variable("partitions", PARTITIONS.to_string())).await;
    for number in ["broken", "right", "twice"] {
        assert_eq!(send(&packet_to_pay(7, number, 200, 1)).of(&app).await.status, 201);
    }
    let twice = |payment| packet_paid_by(Some(payment), 7, "twice");
    assert_eq!(tell(&twice("T-1")).of(&app).await.status, 204);
    let broken = packet_name(7, "broken");
    let partitions = Partitions::new(PARTITIONS).expect("a power of two");
    let home = home_of_packet(partitions, &broken).to_string();
    let was = write_past(&place.address(), &home, &format!("mp{broken}"), "d", b"\xff");
    assert!(!was.is_empty(), "it was there");
    let mut events = vec![
        twice("T-2"),
        json!({
            "specversion": "1.0", "id": "1", "source": "/shop", "type": "group.failed",
            "data": {"campaign": "none", "group": "g", "user": "7"}
        }),
        packet_paid(7, "broken"),
        packet_paid(7, "lost"),
        packet_paid(7, "right"),
    ];
    let paid = Ask::post("/v1/events", json!(events).to_string());
    let refused = paid.header("content-type", CLOUD_EVENTS).of(&app).await;
    assert_refused(&refused, 503, "record_unreadable");
    assert_eq!(refused.text("field").as_deref(), Some("[2].data.packet"));
    assert_eq!(open(&packet_name(7, "right"), 8).of(&app).await.status, 200);
    let _ = waiting(&app).await;
    for (gone, code, field) in
        [(2, "unknown_group", "[1].data.group"), (1, "unknown_packet", "[1].data.packet")]
    {
        events.remove(gone);
        let paid = Ask::post("/v1/events", json!(events).to_string());
        let refused = paid.header("content-type", CLOUD_EVENTS).of(&app).await;
        assert_refused(&refused, 422, code);
        assert_eq!(refused.text("field").as_deref(), Some(field));
    }
}
