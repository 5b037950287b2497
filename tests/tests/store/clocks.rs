//! Instances whose clocks are wrong go by the store's, and say so.

use end_to_end::app::{Ask, Place, Reply, load};
use end_to_end::coupon::{issue, list, look_up, publish, reserve, template};
use end_to_end::promotion::{activity, cart, evaluate, line, save};
use end_to_end::wallet::{
    look, open, open_rain, packet, packet_name, rain_with, send, set_up_rain, settle, statement,
    view,
};
use host::{App, Faults, Random, Time};
use serde_json::{Value, json};

/// 2026-02-16T16:00:00Z
const START_MS: u64 = 1_771_257_600_000;
const TEN_MINUTES_MS: i64 = 600_000;
/// A window around the start of which a clock that is ten minutes off is outside.
const FROM: &str = "2026-02-16T15:55:00Z";
const UNTIL: &str = "2026-02-16T16:05:00Z";

/// The app on a server, in a virtual time that is the server's too.
async fn app(place: &Place, faults: Faults) -> App {
    let mut options = place.options();
    options.time = Time::Seeded { start_ms: START_MS };
    options.random = Random::Seeded(7);
    options.faults = faults;
    load(options).await
}

fn ahead(clock_ahead_ms: i64) -> Faults {
    Faults { clock_ahead_ms, ..Faults::default() }
}

async fn warnings(app: &App) -> Vec<(String, String)> {
    let health = Ask::get("/healthz").of(app).await;
    assert_eq!(health.status, 200, "it serves all the same: {health:?}");
    let warnings = health.json()["warnings"].as_array().expect("a list").clone();
    let text = |warning: &Value, name: &str| warning[name].as_str().expect("a text").to_owned();
    let both = |warning: &Value| (text(warning, "code"), text(warning, "detail"));
    // Tests have neither a file nor a replica.
    warnings.iter().map(both).filter(|(code, _)| code.contains("clock")).collect()
}

fn for_a_while(mut body: Value) -> Value {
    (body["claim_from"], body["claim_until"]) = (json!(FROM), json!(UNTIL));
    body
}

/// What depends on the time: windows, deadlines and moments of everything that the app gives.
async fn answers(app: &App) -> Vec<(u16, Value)> {
    let rounds = json!([{"round": 1, "from": FROM, "until": UNTIL}]);
    let mut offer = activity();
    (offer["from"], offer["until"]) = (json!(FROM), json!(UNTIL));
    let basket = cart(vec![line("a", 1, 1_000)]);
    let name = packet_name(3, "sent");
    // Parts of a random packet differ between two runs, as threads of the host take turns at the one source.
    let mut equal_parts = packet(3, "sent", 100, 2);
    equal_parts["kind"] = json!("equal");
    let before = [
        publish("t", &for_a_while(template(10))),
        issue(1, "t", "one"),
        reserve(2, "t", "held", 60),
        list(1),
        set_up_rain("r", &rain_with("rounds", rounds)),
        open_rain(3, "r", "a"),
        send(&equal_parts),
        open(&name, 2),
        look(&name),
        save("x", &offer),
        evaluate(&basket),
    ];
    let after = [
        issue(4, "t", "late"),
        look_up(2, "held"),
        open_rain(4, "r", "b"),
        evaluate(&basket),
        settle(),
        view(3),
        statement(3, ""),
    ];
    let mut replies = Vec::new();
    let answer = |reply: Reply| {
        let mut body = reply.json();
        if let Some(body) = body.as_object_mut() {
            // Of a failure, which has none in common with another one.
            body.remove("trace_id");
        }
        (reply.status, body)
    };
    for ask in before {
        replies.push(answer(ask.of(app).await));
    }
    app.advance_time(6 * 60_000);
    for ask in after {
        replies.push(answer(ask.of(app).await));
    }
    replies
}

fn statuses(answers: &[(u16, Value)]) -> Vec<u16> {
    answers.iter().map(|(status, _)| *status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_clock_is_ten_minutes_off_answers_as_one_whose_clock_is_right_and_warns() {
    let place = Place::redis();
    let right = app(&place, ahead(0)).await;
    let expected = answers(&right).await;
    assert!(statuses(&expected[..11]).iter().all(|status| *status < 300), "{expected:?}");
    assert_eq!(warnings(&right).await, []);
    for (ahead_ms, side) in [(TEN_MINUTES_MS, "ahead of"), (-TEN_MINUTES_MS, "behind")] {
        let place = Place::redis();
        let wrong = app(&place, ahead(ahead_ms)).await;
        assert_eq!(answers(&wrong).await, expected, "{side}");
        let found = warnings(&wrong).await;
        let [(code, detail)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(code, "clock_offset");
        assert!(detail.contains(&format!("is 600000 ms {side} the store's")), "{detail}");

        // Where the store does not tell its time each instance goes by its own clock.
        let place = Place::redis();
        let faults = Faults { store_clock_withheld: true, ..ahead(ahead_ms) };
        let alone = app(&place, faults).await;
        assert_ne!(statuses(&answers(&alone).await), statuses(&expected), "{side}");
        let found = warnings(&alone).await;
        assert!(matches!(&*found, [(code, _)] if code == "store_clock_unknown"), "{found:?}");
    }
}

/// The time of a server that is real, in real time.
#[tokio::test(flavor = "multi_thread")]
async fn the_offset_to_a_real_server_is_told_in_milliseconds() {
    let place = Place::redis();
    let options = |clock_ahead_ms| {
        let mut options = place.options();
        options.faults = Faults { clock_ahead_ms, ..Faults::default() };
        options
    };
    // On one machine there is one clock.
    assert_eq!(warnings(&load(place.options()).await).await, []);
    let found = warnings(&load(options(TEN_MINUTES_MS)).await).await;
    let [(code, detail)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(code, "clock_offset");
    let ms = detail.split(' ').find_map(|word| word.parse::<i64>().ok()).expect("a number");
    // As far as a round trip of a busy machine explains.
    assert!((TEN_MINUTES_MS - 5_000..=TEN_MINUTES_MS + 1).contains(&ms), "{detail}");
    assert!(detail.contains("ahead of"), "{detail}");
    // The embedded store has no clock.
    let mut options = Place::Kv.options();
    options.faults = ahead(TEN_MINUTES_MS);
    assert_eq!(warnings(&load(options).await).await, []);
}

/// The time comes with what is sent anyway; only where the instance's own clock was set it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_measured_again_without_a_round_trip_of_its_own() {
    let place = Place::redis();
    let app = app(&place, ahead(TEN_MINUTES_MS)).await;
    let round_trips = async || {
        let before = app.counters();
        let reply = view(7).of(&app).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        app.counters().since(&before).store_round_trips()
    };
    round_trips().await;
    let warm = round_trips().await;
    app.advance_time(1_000);
    assert_eq!(round_trips().await, warm, "another configuration");
    app.advance_time(61_000);
    assert_eq!(round_trips().await, warm, "after a minute");
    assert_eq!(round_trips().await, warm);
    // All clocks are set right: the offset that was measured is wrong at once.
    app.stop_faults();
    app.advance_time(1_000);
    assert_eq!(round_trips().await, warm + 1, "its own clock was set");
    assert_eq!(round_trips().await, warm);
}

/// A machine with another clock takes over: an instance follows it within a minute.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_follows_a_store_whose_clock_jumps() {
    let place = Place::redis();
    let off = Faults { seed: 3, store_clock_off_ms_max: 10_000, ..Faults::default() };
    let app = app(&place, off).await;
    let mut told = Vec::new();
    for _ in 0..8 {
        // The first request brings the time with it, the next one has it.
        app.advance_time(61_000);
        for _ in 0..2 {
            let reply = view(7).of(&app).await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        Ask::get("/healthz").of(&app).await;
        app.advance_time(61_000);
        told.extend(warnings(&app).await.into_iter().map(|(_, detail)| detail));
    }
    told.dedup();
    assert!(told.len() > 3, "{told:?}");
}
