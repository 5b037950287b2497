//! Whatever goes wrong at whatever host call of a collection: no number acts a second time, before it, at it and after
//! it, what users have stays as it is, and all books agree.

use end_to_end::app::{Ask, Place, Reply, not_loaded};
use end_to_end::coupon::{cancel, issue, publish, redeem, template};
use end_to_end::patient::Patient;
use end_to_end::purchase;
use end_to_end::wallet::{
    collect, open, open_rain, packet, packet_name, post_withdrawal, rain_with, retain, send,
    set_up_rain, settle, view, withdraw,
};
use end_to_end::wallet_checks::check_books;
use host::{App, Fault, Run, Time, exhaust};
use serde_json::{Value, json};

use crate::hunt::{self, FAILURES_MAX, LATE_MS};

const DAY_MS: u64 = 86_400_000;
/// A midnight in a time that has not come.
const START_MS: u64 = 46_000 * DAY_MS;
/// Whose records go.
const USER: u64 = 7;
/// Who has opened a packet.
const OPENER: u64 = 8;
/// Calls of a collection until it has nothing to do.
const CALLS_MAX: u32 = 16;

/// Each number that has acted, asked for as it was.
fn numbers() -> Vec<Ask> {
    let timed = |path: &str, mut body: Value| {
        let at = domain::time::UnixMillis(START_MS as i64).to_rfc3339();
        body["ordered_at"] = json!(at);
        Ask::post(format!("/v1/users/{USER}/{path}"), body.to_string())
    };
    vec![
        issue(USER, "t", "plain"),
        timed("coupons", json!({"order_number": "timed", "template": "t"})),
        purchase::take(USER, "plain", &[("limited", "", 1)]),
        timed(
            "purchases",
            json!({"order_number": "timed", "uses": [{"activity": "limited", "uses": 1}]}),
        ),
        send(&packet(USER, "p", 100, 2)),
        withdraw(USER, "plain", 10),
        timed("withdrawals", json!({"withdrawal_number": "timed", "amount": "10"})),
        withdraw(USER, "too-much", 1_000_000),
    ]
}

/// Everything that is over three weeks later.
async fn prepare(app: &App) {
    let least = json!({
        "numbers_days": 7, "entries_days": 14, "configuration_days": 7, "archive_days": 14,
    });
    let mut coupons = template(10);
    coupons["valid_for_days"] = json!(1);
    coupons["limit_per_user"] = json!(9);
    let limits = json!({"per_user": 9, "total": "9"});
    let mut asks = vec![
        retain(&least),
        publish("t", &coupons),
        purchase::save("limited", "", &purchase::limited(&limits)),
        set_up_rain("r", &rain_with("budget", json!("1000"))),
        open_rain(USER, "r", "a"),
        open_rain(USER, "r", "b"),
        settle(),
    ];
    asks.extend(numbers());
    asks.extend([
        open(&packet_name(USER, "p"), OPENER),
        redeem(USER, "plain", "order"),
        post_withdrawal(USER, "plain"),
        post_withdrawal(USER, "timed"),
        cancel(USER, "never"),
    ]);
    for asked in asks {
        let reply = asked.of(app).await;
        let code = reply.text("code");
        assert!(reply.status < 300 || code.as_deref() == Some("exceeds_balance"), "{reply:?}");
    }
    // Coupons expire, what is left of the packet goes back, and its sender has it.
    for _ in 0..3 {
        app.advance_time(DAY_MS + LATE_MS);
        assert_eq!(settle().of(app).await.status, 200);
    }
    app.advance_time(60 * DAY_MS);
    app.set_up_done();
}

fn is_refused_for_age(reply: &Reply) -> bool {
    reply.text("code").as_deref() == Some("too_old")
}

/// A number that is asked again gives what it gave, or is refused.
fn never_acts(asked: &Ask, reply: &Reply) {
    let is_replayed = reply.status < 300
        && (reply.json()["replayed"] == json!(true)
            || reply.header("idempotent-replayed") == Some("true"));
    let is_recorded = reply.text("code").as_deref() == Some("exceeds_balance");
    assert!(is_replayed || is_recorded || is_refused_for_age(reply), "{asked:?}: {reply:?}");
}

async fn balance(client: &mut Patient, user: u64) -> (Option<String>, Option<String>) {
    let reply = client.until_answered(&view(user)).await;
    (reply.text("balance"), reply.text("withdrawn"))
}

async fn play(app: App) {
    prepare(&app).await;
    let mut client = Patient::new(&app, FAILURES_MAX);
    let reply = client.until_answered(&collect(&json!({}))).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    app.scenario_done();
    for asked in numbers() {
        never_acts(&asked, &client.until_answered(&asked).await);
    }
    // What is collected in several steps goes on for some days.
    for _ in 0..6 {
        app.advance_time(DAY_MS + LATE_MS);
        for call in 0.. {
            assert!(call < CALLS_MAX, "it goes on after {CALLS_MAX} calls");
            let body = client.until_answered(&collect(&json!({}))).await.json();
            assert_eq!(body["stuck_items"], json!([]), "{body}");
            if body["has_more"] == json!(false) {
                break;
            }
        }
        for asked in numbers() {
            never_acts(&asked, &client.until_answered(&asked).await);
        }
    }
    for asked in numbers() {
        let reply = client.until_answered(&asked).await;
        assert!(is_refused_for_age(&reply), "{asked:?}: {reply:?}");
    }
    let reply = client.until_answered(&cancel(USER, "never")).await;
    assert!(is_refused_for_age(&reply), "{reply:?}");
    // 2.00 of the rain, less what the opener has of the packet, and two withdrawals of 0.10.
    let (of_user, withdrawn) = balance(&mut client, USER).await;
    let (of_opener, _) = balance(&mut client, OPENER).await;
    let cents = |text: Option<String>| text.and_then(|text| text.parse::<i64>().ok());
    assert_eq!(cents(of_user).zip(cents(of_opener)).map(|(a, b)| a + b), Some(180));
    assert_eq!(withdrawn.as_deref(), Some("20"));
    check_books(&mut client).await;
}

/// On Redis alone: what the embedded store makes of a commit is hunted elsewhere, and this takes hundreds of them.
#[test]
fn a_collection_of_everything() {
    let place = Place::redis();
    let options = |run: &Run| {
        let mut options = hunt::options(&place, hunt::prefix(run)).variable("partitions", "1");
        options.time = Time::Seeded { start_ms: START_MS };
        options
    };
    let faults = [
        Fault::ErrorBefore,
        Fault::LostReply,
        Fault::CrashBefore,
        Fault::CrashAfter,
        Fault::DuplicateLater { ms: 20_000 },
    ];
    let done = exhaust(&faults, options, |app, _| play(app));
    let done = done.unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
    println!("collection: {} calls, {} runs", done.calls.len(), done.runs);
    assert!(done.runs > 2 * done.calls.len(), "{done:?}");
}
