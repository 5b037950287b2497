//! Whatever goes wrong at whatever host call of rains, packets, balances and settlement: after asking
//! again the result is the recorded one, everybody has exactly what they were told, budgets add up, and
//! reconciliation finds nothing.

use end_to_end::app::{Ask, Place, Reply};
use end_to_end::coupon::set_up_scene;
use end_to_end::patient::{self, Patient};
use end_to_end::wallet::{
    cents, look, look_up, open, open_rain, packet, packet_name, payload, post, post_withdrawal,
    rain_number, rain_with, restore, send, set_up_rain, settle, signed, switch_posting, view,
    void_withdrawal, withdraw, withdraw_with,
};
use end_to_end::wallet_checks::{Budget, Has, check_books, check_users, has, settle_all};
use host::App;
use serde_json::{Value, json};

use crate::hunt::{self, FAILURES_MAX, LATE_MS};

/// Longer than a packet lives.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000 + LATE_MS;
/// Cents of the rain, of which each packet has 100.
const BUDGET: i64 = 1_000;
/// Who does things under faults.
const USER: u64 = 7;
/// Who opens a packet of theirs; each in another partition.
const OTHERS: [u64; 2] = [5, 6];

/// What is done under faults.
#[derive(Clone, Copy)]
struct Scenario {
    /// What happened before.
    before: fn() -> Vec<Ask>,
    /// How long ago.
    ago_ms: u64,
    /// What is asked.
    asked: fn() -> Ask,
    /// The status of its answer.
    status: u16,
    /// A member of its answer, and what it says.
    says: (&'static str, &'static str),
    /// The code with which it is refused once it has happened, where it is.
    then: Option<&'static str>,
    /// Packets that the rain gave.
    grants: i64,
    /// What users have afterwards.
    has: &'static [Has],
}

const PLAIN: Scenario = Scenario {
    before: || vec![],
    ago_ms: 0,
    asked: || open_rain(USER, "r", "a"),
    status: 201,
    says: ("amount", "100"),
    then: None,
    grants: 1,
    has: const { &[has(USER, 100, 100)] },
};

/// Three packets of the rain: 3.00.
fn three() -> Vec<Ask> {
    ["x", "y", "z"].map(|award| open_rain(USER, "r", award)).to_vec()
}

fn sent() -> Ask {
    let mut packet = packet(USER, "p", 200, 2);
    packet["kind"] = json!("equal");
    send(&packet)
}

fn three_and(more: Vec<Ask>) -> Vec<Ask> {
    three().into_iter().chain(more).collect()
}

/// Whatever is late happens; then everybody has what they must have, before settlement and after it.
async fn at_rest(app: &App, client: &mut Patient, grants: i64, expected: &[Has]) {
    app.scenario_done();
    for _ in 0..2 {
        app.advance_time(LATE_MS);
        client.until_answered(&view(USER)).await;
    }
    Budget::look(client, "r").await.check(BUDGET, 100 * grants);
    check_users(client, expected).await;
    settle_all(client).await;
    check_users(client, expected).await;
    for one in expected {
        let reply = client.until_answered(&view(one.user)).await;
        assert_eq!(cents(&reply, "pending"), 0, "{reply:?}");
    }
    Budget::look(client, "r").await.check(BUDGET, 100 * grants);
    check_books(client).await;
}

/// What must be the same whenever the same is asked again.
fn lasting(reply: &Reply) -> Value {
    let mut body = reply.json();
    let counts = ["users", "tokens", "sent", "paid", "closed", "withdrawals"];
    for passing in ["replayed", "pending"].into_iter().chain(counts) {
        body.as_object_mut().map(|members| members.remove(passing));
    }
    body
}

async fn play(app: App, scenario: Scenario) {
    let mut client = Patient::new(&app, FAILURES_MAX);
    let asked = (scenario.asked)();
    let mut replies: Vec<Reply> = Vec::new();
    for (attempt, late_ms) in [0, 0, LATE_MS].into_iter().enumerate() {
        if late_ms > 0 {
            app.scenario_done();
        }
        app.advance_time(late_ms);
        let mut reply = client.until_answered(&asked).await;
        for _ in 0..FAILURES_MAX {
            // A settlement that did a part says how much is left.
            if reply.text("left").is_some_and(|left| left != "0") {
                reply = client.until_answered(&asked).await;
            }
        }
        let refused = scenario.then.filter(|_| reply.status == 409 || attempt > 0);
        let (status, (member, says)) = match refused {
            Some(code) => (409, ("code", code)),
            None => (scenario.status, scenario.says),
        };
        assert_eq!(reply.status, status, "{reply:?}");
        let shown = reply.json()[member].clone();
        let shown = shown.as_str().map_or_else(|| shown.to_string(), str::to_owned);
        assert_eq!(shown, says, "{reply:?}");
        replies.push(reply);
    }
    if scenario.then.is_none() {
        for again in &replies[1..] {
            assert_eq!(lasting(&replies[0]), lasting(again));
            if again.json()["replayed"].is_boolean() {
                assert_eq!(again.json()["replayed"], true, "{again:?}");
            }
        }
    }
    if let Some(number) = replies[0].text("order_number") {
        let found = client.until_answered(&look_up(USER, &number)).await;
        assert_eq!(cents(&found, "amount"), cents(&replies[0], "amount"), "{found:?}");
    }
    at_rest(&app, &mut client, scenario.grants, scenario.has).await;
}

async fn prepare(app: &App, before: Vec<Ask>) {
    let rain = rain_with("budget", json!(BUDGET.to_string()));
    for asked in [set_up_rain("r", &rain)].into_iter().chain(before) {
        let reply = asked.of(app).await;
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
    }
}

#[track_caller]
fn hunt(name: &str, scenario: Scenario) {
    hunt::hunt(name, move |app| async move {
        prepare(&app, (scenario.before)()).await;
        app.advance_time(scenario.ago_ms);
        app.set_up_done();
        play(app, scenario).await;
    });
}

#[test]
fn a_grant_that_takes_the_first_lease() {
    hunt("grant, lease", PLAIN);
}

/// The rain is still in its partition when the user opens the next packet.
#[test]
fn a_grant_from_a_lease() {
    hunt_from_lease("grant");
}

/// The second award of two in a scene that allows so many: the attempt that is lost counts once.
#[test]
fn a_grant_within_a_rate_limit() {
    let before = || {
        let limit = json!({"awards": 2, "seconds": 3_600});
        let scene = json!({"award_type": "cash", "rate_limit": limit});
        vec![set_up_scene("rain", &scene), open_rain(USER, "r", "x")]
    };
    hunt(
        "grant, rate limit",
        Scenario { before, grants: 2, has: const { &[has(USER, 200, 200)] }, ..PLAIN },
    );
}

fn hunt_from_lease(name: &str) {
    // A lease is never less than what was drawn, and here more: 10 of 1,000 fit into it.
    let before = || {
        let mut rain = rain_with("amounts", json!({"fixed": "1"}));
        rain["activity"] = json!("small");
        vec![set_up_rain("s", &rain), open_rain(USER, "s", "x")]
    };
    let scenario = Scenario {
        before,
        asked: || open_rain(USER, "s", "a"),
        says: ("amount", "1"),
        grants: 0,
        has: const { &[has(USER, 2, 2)] },
        ..PLAIN
    };
    hunt(name, scenario);
}

/// Large tokens are posted when they are given.
#[test]
fn a_grant_that_is_posted_at_once() {
    let before = || {
        let mode = json!({"mode": "large_at_once", "large_from": "100"});
        vec![switch_posting(&mode), open_rain(USER, "r", "x")]
    };
    hunt(
        "grant, posted",
        Scenario { before, grants: 2, has: const { &[has(USER, 200, 200)] }, ..PLAIN },
    );
}

#[test]
fn a_refusal_when_the_budget_is_spent() {
    let before = || (0..10).map(|user| open_rain(10 + user, "r", "x")).collect();
    let (status, says) = (409, ("code", "budget_exhausted"));
    let has = const { &[has(USER, 0, 0), has(10, 100, 100), has(19, 100, 100)] };
    hunt("exhausted", Scenario { before, status, says, grants: 10, has, ..PLAIN });
}

const THREE: Scenario = Scenario {
    before: three,
    asked: || view(USER),
    status: 200,
    says: ("balance", "300"),
    grants: 3,
    has: const { &[has(USER, 300, 300)] },
    ..PLAIN
};

#[test]
fn a_view() {
    hunt("view", THREE);
}

#[test]
fn posting() {
    hunt("post", Scenario { asked: || post(USER), says: ("pending", "0"), ..THREE });
}

#[test]
fn a_withdrawal() {
    let (asked, says) = (|| withdraw(USER, "w", 250), ("state", "pending"));
    let has = const { &[Has { held: 250, ..has(USER, 50, 300) }] };
    hunt("withdraw", Scenario { asked, status: 201, says, has, ..THREE });
}

#[test]
fn a_withdrawal_of_more_than_there_is() {
    let (asked, says) = (|| withdraw(USER, "w", 301), ("code", "exceeds_balance"));
    hunt("withdraw, too much", Scenario { asked, status: 409, says, ..THREE });
}

#[test]
fn a_withdrawal_that_is_posted() {
    let before = || three_and(vec![withdraw(USER, "w", 250)]);
    let (asked, says) = (|| post_withdrawal(USER, "w"), ("state", "posted"));
    let has = const { &[Has { withdrawn: 250, ..has(USER, 50, 300) }] };
    let then = Some("already_posted");
    hunt("withdraw, post", Scenario { before, asked, says, then, has, ..THREE });
}

#[test]
fn a_withdrawal_that_is_voided() {
    let before = || three_and(vec![withdraw(USER, "w", 250)]);
    let (asked, says) = (|| void_withdrawal(USER, "w"), ("state", "voided"));
    let then = Some("already_voided");
    hunt("withdraw, void", Scenario { before, asked, says, then, ..THREE });
}

#[test]
fn a_withdrawal_that_is_voided_before_it_comes() {
    let (asked, says) = (|| void_withdrawal(USER, "w"), ("state", "voided"));
    let then = Some("already_voided");
    hunt("withdraw, void unknown", Scenario { asked, says, then, ..THREE });
}

/// The store does not know the token; no rain that is there gave it.
#[test]
fn a_token_that_the_client_holds() {
    fn asked() -> Ask {
        let mut lost = payload(USER, &rain_number(USER, "lost"), 500);
        lost.activity_id = "gone".to_owned();
        restore(USER, &[signed(&lost)])
    }
    let (says, has) = (("balance", "800"), const { &[has(USER, 800, 800)] });
    let scenario = Scenario { asked, says, has, ..THREE };
    hunt::hunt("restore", move |app| async move {
        prepare(&app, three()).await;
        app.set_up_done();
        let mut client = Patient::new(&app, FAILURES_MAX);
        for late_ms in [0, 0, LATE_MS] {
            app.advance_time(late_ms);
            let reply = client.until_answered(&(scenario.asked)()).await;
            assert_eq!(reply.text("balance").as_deref(), Some("800"), "{reply:?}");
        }
        at_rest(&app, &mut client, scenario.grants, scenario.has).await;
    });
}

#[test]
fn a_packet_from_the_balance() {
    let (says, has) = (("packet", "7.p"), const { &[has(USER, 100, 300)] });
    hunt("send", Scenario { asked: sent, status: 201, says, has, ..THREE });
}

/// The last part of it, so that later it is finished.
#[test]
fn an_opening() {
    let before = || three_and(vec![sent(), open(&packet_name(USER, "p"), OTHERS[0])]);
    let asked = || open(&packet_name(USER, "p"), OTHERS[1]);
    let has = const { &[has(USER, 100, 300), has(OTHERS[0], 100, 100), has(OTHERS[1], 100, 100)] };
    let scenario = Scenario { before, asked, says: ("amount", "100"), has, ..THREE };
    hunt::hunt("open", move |app| async move {
        prepare(&app, (scenario.before)()).await;
        app.set_up_done();
        let mut client = Patient::new(&app, FAILURES_MAX);
        let mut replies = Vec::new();
        for late_ms in [0, 0, LATE_MS] {
            app.advance_time(late_ms);
            let reply = client.until_answered(&(scenario.asked)()).await;
            assert_eq!((reply.status, cents(&reply, "amount")), (200, 100), "{reply:?}");
            replies.push(lasting(&reply));
        }
        assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
        at_rest(&app, &mut client, scenario.grants, scenario.has).await;
    });
}

/// Who opens goes away, whatever was done: settlement pays what was taken.
#[test]
fn an_opening_that_is_abandoned() {
    hunt::hunt("abandoned opening", move |app| async move {
        prepare(&app, three_and(vec![sent()])).await;
        app.set_up_done();
        let packet = packet_name(USER, "p");
        patient::ask(&app, &open(&packet, OTHERS[0])).await;
        abandoned(&app, &packet).await;
    });
}

/// What is taken out of a packet is what the other user has.
async fn abandoned(app: &App, packet: &str) {
    let mut client = Patient::new(app, FAILURES_MAX);
    for _ in 0..3 {
        app.advance_time(LATE_MS);
        client.until_answered(&settle()).await;
        // The first one is hit; the later ones finish what it may have left.
        app.scenario_done();
    }
    let shown = client.until_answered(&look(packet)).await;
    let taken = if shown.status == 404 { 0 } else { cents(&shown, "taken") };
    let left = if shown.status == 404 { 300 } else { 100 };
    let expected = [has(USER, left, 300), has(OTHERS[0], taken, taken)];
    at_rest(app, &mut client, 3, &expected).await;
}

/// Who sends goes away: the packet is there, or nothing was taken.
#[test]
fn a_packet_that_is_abandoned() {
    hunt::hunt("abandoned packet", move |app| async move {
        prepare(&app, three()).await;
        app.set_up_done();
        patient::ask(&app, &sent()).await;
        abandoned(&app, &packet_name(USER, "p")).await;
    });
}

const SETTLEMENT: Scenario = Scenario { asked: settle, says: ("left", "0"), ..THREE };

#[test]
fn settlement_after_grants() {
    let before = || three_and(OTHERS.map(|user| open_rain(user, "r", "x")).to_vec());
    let has = const { &[has(USER, 300, 300), has(OTHERS[0], 100, 100), has(OTHERS[1], 100, 100)] };
    hunt("settle, grants", Scenario { before, grants: 5, has, ..SETTLEMENT });
}

/// The opening is in the packet, and its token has not arrived.
#[test]
fn settlement_after_an_opening_that_was_not_paid() {
    let before = || three_and(vec![sent(), open(&packet_name(USER, "p"), OTHERS[0])]);
    let has = const { &[has(USER, 100, 300), has(OTHERS[0], 100, 100)] };
    let scenario = Scenario { before, has, ..SETTLEMENT };
    hunt("settle, paid", scenario);
    let place = Place::redis();
    let address = place.address();
    let client = redis::Client::open(address).expect("an address");
    let client: &'static redis::Client = Box::leak(Box::new(client));
    hunt::hunt_on("settle, not paid", &place, move |app, run| async move {
        let prefix = hunt::prefix(&run);
        prepare(&app, (scenario.before)()).await;
        let mut connection = client.get_connection().expect("the server accepts connections");
        let name = format!("{prefix}:*:mmk{}", OTHERS[0]);
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(name).query(&mut connection).expect("the server answers");
        let gone: u32 =
            redis::cmd("DEL").arg(&keys).query(&mut connection).expect("the server answers");
        assert_eq!(gone, 1, "{keys:?}");
        app.set_up_done();
        play(app, scenario).await;
    });
}

#[test]
fn settlement_after_an_expiry() {
    let before = || three_and(vec![sent(), open(&packet_name(USER, "p"), OTHERS[0])]);
    let has = const { &[has(USER, 200, 300), has(OTHERS[0], 100, 100)] };
    hunt("settle, expired", Scenario { before, ago_ms: DAY_MS, has, ..SETTLEMENT });
}

#[test]
fn settlement_after_the_end_of_a_withdrawal() {
    let before = || {
        let end = json!({"expires_in_seconds": 60});
        three_and(vec![withdraw_with(USER, "w", 250, &end)])
    };
    let has = const { &[has(USER, 300, 300)] };
    hunt("settle, withdrawal", Scenario { before, ago_ms: DAY_MS, has, ..SETTLEMENT });
}

/// Whoever asks after its end has it voided first.
#[test]
fn a_withdrawal_that_is_posted_after_its_end() {
    let before = || {
        let end = json!({"expires_in_seconds": 60});
        three_and(vec![withdraw_with(USER, "w", 250, &end)])
    };
    let (asked, says) = (|| post_withdrawal(USER, "w"), ("code", "already_voided"));
    let scenario = Scenario { before, ago_ms: DAY_MS, asked, status: 409, says, ..THREE };
    hunt("withdraw, post late", scenario);
}

#[test]
fn switching_how_tokens_are_posted() {
    let (asked, says) = (|| switch_posting(&json!({"mode": "queued"})), ("mode", "queued"));
    hunt("mode", Scenario { asked, says, ..THREE });
}

#[test]
fn setting_up_a_rain() {
    let asked = || {
        let mut rain = rain_with("activity", json!("other"));
        rain["budget"] = json!("700");
        set_up_rain("o", &rain)
    };
    hunt("rain", Scenario { asked, says: ("version", "1"), ..THREE });
}
