//! Group-buys in ordinary times, on kv and on redis: one chance a campaign, one reward a success.

use end_to_end::app::{Ask, CLOUD_EVENTS, Place, Reply, check, event as paid, load, order_paid};
use end_to_end::coupon::{Stock, list, look, look_up, published, reserve, sweep, template};
use end_to_end::group_buy::{ended, event, look_at, open, open_for, put, set_up};
use end_to_end::wallet::{cents, differences, settle};
use futures::future::join_all;
use host::{App, Call, Options, Time};
use serde_json::{Value, json};

/// 2026-02-16T16:00:00Z
const START_MS: u64 = 1_771_257_600_000;

/// An app with a template `t`, and two campaigns: `back` gives the chance back, `once` does not.
async fn app(place: &Place, template: &Value) -> App {
    let mut options = place.options();
    options.time = Time::Seeded { start_ms: START_MS };
    app_of(options, template).await
}

async fn app_of(options: Options, template: &Value) -> App {
    let app = load(options).await;
    published(&app, "t", template).await;
    for (campaign, give_back) in [("back", true), ("once", false)] {
        let reply = set_up(campaign, "t", give_back).of(&app).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    app
}

#[track_caller]
fn assert_refused(reply: &Reply, status: u16, code: &str, field: Option<&str>) {
    reply.assert_well_formed();
    let (is_code, is_field) = (reply.text("code"), reply.text("field"));
    let is = (reply.status, is_code.as_deref(), is_field.as_deref());
    assert_eq!(is, (status, Some(code), field), "{reply:?}");
}

#[track_caller]
fn assert_state(reply: &Reply, state: &str, replayed: bool) {
    reply.assert_well_formed();
    assert_eq!((reply.status, reply.text("state").as_deref()), (201, Some(state)), "{reply:?}");
    assert_eq!(reply.header("idempotent-replayed"), replayed.then_some("true"), "{reply:?}");
}

async fn says(app: &App, how: &str, user: u64, campaign: &str, group: &str) {
    let reply = ended(how, user, campaign, group).of(app).await;
    assert_eq!(reply.status, 204, "{reply:?}");
}

/// The ids of a user's coupons.
async fn coupons(app: &App, user: u64) -> Vec<String> {
    let reply = list(user).of(app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let coupons = reply.json()["coupons"].as_array().expect("a list").clone();
    coupons.iter().map(|coupon| coupon["coupon"].as_str().unwrap().to_owned()).collect()
}

async fn rewarded(app: &App) -> String {
    let reply = sweep().of(app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.text("rewarded").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_takes_the_one_chance_and_is_rewarded_once() {
    for place in Place::all() {
        let app = app(&place, &template(10)).await;
        let first = open(7, "once", "g1").of(&app).await;
        assert_state(&first, "open", false);
        let body = json!({
            "campaign": "once", "group": "g1", "user": "7", "state": "open",
            "expires_at": "2026-02-16T17:00:00Z",
        });
        assert_eq!(first.json(), body);
        let again = open(7, "once", "g1").of(&app).await;
        assert_state(&again, "open", true);
        assert_eq!(again.json(), body);
        let other = open_for(7, "once", "g1", 60).of(&app).await;
        assert_refused(&other, 422, "order_number_reused", None);
        assert_refused(&open(7, "once", "g2").of(&app).await, 409, "chance_used", None);
        // Chances are the user's and the campaign's.
        assert_state(&open(8, "once", "g1").of(&app).await, "open", false);
        assert_state(&open(7, "back", "g1").of(&app).await, "open", false);
        assert_eq!((coupons(&app, 7).await.len(), rewarded(&app).await), (0, "0".into()));

        for _ in 0..3 {
            says(&app, "succeeded", 7, "once", "g1").await;
        }
        assert_state(&open(7, "once", "g1").of(&app).await, "succeeded", true);
        assert_eq!(rewarded(&app).await, "1");
        for how in ["succeeded", "failed", "expired", "succeeded"] {
            says(&app, how, 7, "once", "g1").await;
            assert_eq!(rewarded(&app).await, "0");
            assert_eq!(coupons(&app, 7).await, ["group:once:g1"]);
        }
        assert_state(&open(7, "once", "g1").of(&app).await, "rewarded", true);
        assert_refused(&open(7, "once", "g2").of(&app).await, 409, "chance_used", None);
        assert_eq!(coupons(&app, 8).await.len(), 0);
        assert_eq!(Stock::of(&look("t").of(&app).await).issued, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_at_the_coupons_gives_the_reward() {
    for place in Place::all() {
        let app = app(&place, &template(10)).await;
        for user in [7, 8] {
            assert_state(&open(user, "once", "g").of(&app).await, "open", false);
            let reply = look_up(user, "group:once:g").of(&app).await;
            assert_refused(&reply, 404, "unknown_order", None);
            says(&app, "succeeded", user, "once", "g").await;
        }
        assert_eq!(coupons(&app, 7).await, ["group:once:g"]);
        let reply = look_up(8, "group:once:g").of(&app).await;
        assert_eq!((reply.status, reply.text("outcome").as_deref()), (200, Some("issued")));
        assert_eq!((coupons(&app, 8).await.len(), rewarded(&app).await), (1, "0".into()));
        assert_eq!(Stock::of(&look("t").of(&app).await).issued, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_says_whether_the_chance_is_given_back() {
    for place in Place::all() {
        let app = app(&place, &template(10)).await;
        for how in ["failed", "expired"] {
            let user = how.len() as u64;
            for campaign in ["once", "back"] {
                assert_state(&open(user, campaign, "g1").of(&app).await, "open", false);
                says(&app, how, user, campaign, "g1").await;
                says(&app, "succeeded", user, campaign, "g1").await;
                assert_state(&open(user, campaign, "g1").of(&app).await, how, true);
            }
            let reply = open(user, "once", "g2").of(&app).await;
            assert_refused(&reply, 409, "chance_used", None);
            assert_state(&open(user, "back", "g2").of(&app).await, "open", false);
            // What comes late of the first group leaves the second one alone.
            says(&app, how, user, "back", "g1").await;
            assert_state(&open(user, "back", "g1").of(&app).await, how, true);
            assert_state(&open(user, "back", "g2").of(&app).await, "open", true);
            says(&app, "succeeded", user, "back", "g2").await;
            assert_eq!(coupons(&app, user).await, ["group:back:g2"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_expires_by_time() {
    for place in Place::all() {
        let app = app(&place, &template(10)).await;
        for (user, campaign) in [(7, "back"), (8, "once"), (9, "once")] {
            assert_state(&open_for(user, campaign, "g1", 60).of(&app).await, "open", false);
        }
        app.advance_time(59_999);
        says(&app, "succeeded", 9, "once", "g1").await;
        app.advance_time(1);
        for (user, campaign) in [(7, "back"), (8, "once")] {
            assert_state(&open_for(user, campaign, "g1", 60).of(&app).await, "expired", true);
            says(&app, "succeeded", user, campaign, "g1").await;
            assert_state(&open_for(user, campaign, "g1", 60).of(&app).await, "expired", true);
        }
        assert_state(&open(7, "back", "g2").of(&app).await, "open", false);
        assert_refused(&open(8, "once", "g2").of(&app).await, 409, "chance_used", None);
        assert_eq!(rewarded(&app).await, "1");
        assert_eq!(coupons(&app, 9).await, ["group:once:g1"]);
        assert_eq!(coupons(&app, 7).await.len() + coupons(&app, 8).await.len(), 0);
    }
}

/// Whether a user may have the reward is decided when the group is opened.
#[tokio::test(flavor = "multi_thread")]
async fn only_new_users_open_groups_and_may_pay_afterwards() {
    for place in Place::all() {
        let mut template = template(10);
        template["new_users_only"] = json!(true);
        template["segments"] = json!(["gold"]);
        let app = app(&place, &template).await;
        assert_eq!(order_paid(6).of(&app).await.status, 204);
        assert_refused(&open(6, "back", "g").of(&app).await, 409, "not_eligible", None);
        assert_state(&open(7, "back", "g").of(&app).await, "open", false);
        assert_eq!(order_paid(7).of(&app).await.status, 204);
        says(&app, "succeeded", 7, "back", "g").await;
        assert_eq!(coupons(&app, 7).await, ["group:back:g"]);
        // A chance that was given back is one for new users again.
        assert_state(&open(8, "back", "g").of(&app).await, "open", false);
        says(&app, "failed", 8, "back", "g").await;
        assert_eq!(order_paid(8).of(&app).await.status, 204);
        assert_refused(&open(8, "back", "h").of(&app).await, 409, "not_eligible", None);
        assert_state(&open(8, "back", "g").of(&app).await, "failed", true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reward_that_the_template_refuses_stays_due() {
    for place in Place::all() {
        let app = app(&place, &template(1)).await;
        for user in [7, 8] {
            assert_state(&open(user, "once", "g").of(&app).await, "open", false);
            says(&app, "succeeded", user, "once", "g").await;
        }
        assert_eq!(rewarded(&app).await, "1");
        assert_eq!(rewarded(&app).await, "0");
        assert_eq!(coupons(&app, 7).await.len() + coupons(&app, 8).await.len(), 1);
        published(&app, "t", &template(2)).await;
        // Longer than anybody remembers that nothing is left.
        app.advance_time(1_100);
        assert_eq!(rewarded(&app).await, "1");
        assert_eq!((coupons(&app, 7).await.len(), coupons(&app, 8).await.len()), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_set_up_and_switched_off() {
    for place in Place::all() {
        let app = app(&place, &template(10)).await;
        let body = json!({"campaign": "back", "template": "t", "give_back": true, "enabled": true});
        assert_eq!(look_at("back").of(&app).await.json(), body);
        assert_refused(&look_at("other").of(&app).await, 404, "unknown_campaign", None);
        assert_refused(&open(7, "other", "g").of(&app).await, 404, "unknown_campaign", None);
        assert_refused(
            &set_up("back", "none", true).of(&app).await,
            400,
            "unknown_template",
            Some("template"),
        );
        assert_state(&open(7, "back", "g").of(&app).await, "open", false);
        let off = json!({"template": "t", "give_back": true, "enabled": false});
        let reply = put("back", &off).of(&app).await;
        assert_eq!((reply.status, &reply.json()["enabled"]), (200, &json!(false)), "{reply:?}");
        assert_refused(&open(8, "back", "g").of(&app).await, 409, "disabled", None);
        // What is open goes on.
        assert_state(&open(7, "back", "g").of(&app).await, "open", true);
        says(&app, "succeeded", 7, "back", "g").await;
        assert_eq!(coupons(&app, 7).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_name_the_field() {
    let app = app(&Place::Kv, &template(10)).await;
    let right = json!({"campaign": "back", "group": "g", "user": "7", "expires_in_seconds": 60});
    let table = [
        ("campaign", json!("Back"), "invalid_part"),
        ("group", json!("a:b"), "invalid_part"),
        ("group", json!(7), "invalid_value"),
        ("user", json!("-7"), "invalid_id"),
        ("expires_in_seconds", json!(0), "invalid_value"),
        ("expires_in_seconds", json!(2_678_401), "invalid_value"),
        ("expires_in_seconds", json!("60"), "invalid_value"),
        ("more", json!(1), "unknown_field"),
        ("user", Value::Null, "missing_field"),
    ];
    for (field, value, code) in table {
        let mut body = right.clone();
        match value {
            Value::Null => drop(body.as_object_mut().unwrap().remove(field)),
            value => body[field] = value,
        }
        let reply = Ask::post("/v1/group-buys", body.to_string()).of(&app).await;
        assert_refused(&reply, 400, code, Some(field));
    }
    let campaigns = [
        (json!({"template": "T", "give_back": true}), "invalid_part", "template"),
        (json!({"template": "t"}), "missing_field", "give_back"),
        (json!({"template": "t", "give_back": 1}), "invalid_value", "give_back"),
    ];
    for (body, code, field) in campaigns {
        assert_refused(&put("back", &body).of(&app).await, 400, code, Some(field));
    }
    let reply = put("Back", &json!({"template": "t", "give_back": true})).of(&app).await;
    assert_refused(&reply, 400, "invalid_part", Some("campaign"));
    assert_refused(
        &ended("failed", 7, "Back", "g").of(&app).await,
        400,
        "invalid_part",
        Some("data.campaign"),
    );
    assert_refused(
        &ended("won", 7, "back", "g").of(&app).await,
        422,
        "unknown_event_type",
        Some("type"),
    );
}

/// An end that overtakes the opening must not be lost: its sender is told to send it again. All else is done.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_group_is_named_and_all_other_events_count() {
    for place in Place::all() {
        let app = app(&place, &template(10)).await;
        assert_state(&open(7, "once", "g").of(&app).await, "open", false);
        let events =
            json!([paid(9), event("failed", 7, "once", "g"), event("succeeded", 7, "once", "h"),]);
        let batch = Ask::post("/v1/events", events.to_string());
        let reply = batch.header("content-type", CLOUD_EVENTS).of(&app).await;
        assert_refused(&reply, 422, "unknown_group", Some("[2].data.group"));
        assert!(!check(9).of(&app).await.is_new());
        assert_state(&open(7, "once", "g").of(&app).await, "failed", true);

        let events =
            json!([event("succeeded", 7, "once", "g"), paid(9), event("failed", 7, "once", "g"),]);
        let batch = Ask::post("/v1/events", events.to_string());
        let reply = batch.header("content-type", CLOUD_EVENTS).of(&app).await;
        assert_eq!(reply.status, 204, "{reply:?}");
        assert!(!check(9).of(&app).await.is_new());
        assert_state(&open(7, "once", "g").of(&app).await, "failed", true);

        for how in ["succeeded", "failed", "expired"] {
            let reply = ended(how, 8, "once", "g").of(&app).await;
            assert_refused(&reply, 422, "unknown_group", Some("data.group"));
        }
        assert_state(&open(8, "once", "g").of(&app).await, "open", false);
        says(&app, "succeeded", 8, "once", "g").await;
        assert_eq!(coupons(&app, 8).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_at_once_open_one_group_and_earn_one_reward() {
    for place in Place::all() {
        // In real time, because requests that come together wait for each other.
        let app = app_of(place.options(), &template(10)).await;
        let groups: Vec<_> = (0..10).map(|number| format!("g{number}")).collect();
        let replies = all(&app, groups.iter().map(|group| open(7, "back", group))).await;
        let opened: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
        assert_eq!(opened.len(), 1, "{replies:?}");
        for reply in replies.iter().filter(|reply| reply.status != 201) {
            assert_refused(reply, 409, "chance_used", None);
        }
        let group = opened[0].text("group").unwrap();
        let succeeded = (0..10).map(|_| ended("succeeded", 7, "back", &group));
        assert!(all(&app, succeeded).await.iter().all(|reply| reply.status == 204));
        let looks = (0..10).map(|number| if number % 2 == 0 { list(7) } else { sweep() });
        assert!(all(&app, looks).await.iter().all(|reply| reply.status == 200));
        assert_eq!(coupons(&app, 7).await.len(), 1);
        assert_eq!(Stock::of(&look("t").of(&app).await).issued, 1);
    }
}

async fn all(app: &App, asks: impl Iterator<Item = Ask>) -> Vec<Reply> {
    let tasks = asks.map(|ask| {
        let app = app.clone();
        tokio::spawn(async move { ask.of(&app).await })
    });
    join_all(tasks).await.into_iter().map(|reply| reply.expect("it ends")).collect()
}

/// Whoever has no reward does not pay for those of others.
#[tokio::test(flavor = "multi_thread")]
async fn round_trips_are_few() {
    let place = Place::redis();
    let app = app(&place, &template(10)).await;
    // Opens the stores of both instances.
    assert_state(&open(7, "once", "g").of(&app).await, "open", false);
    assert_eq!(order_paid(1).of(&app).await.status, 204);
    let table = [
        ("open", open(8, "once", "g"), 2 + 1),
        ("list", list(8), 1),
        ("succeeded", ended("succeeded", 8, "once", "g"), 2),
        ("succeeded again", ended("succeeded", 8, "once", "g"), 1),
        ("paid", order_paid(9), 1),
    ];
    for (name, ask, expected) in table {
        let before = app.counters();
        let reply = ask.of(&app).await;
        assert!(matches!(reply.status, 200..=204), "{reply:?}");
        let cost = app.counters().since(&before);
        assert_eq!(cost.of(Call::VariablesGet), 0, "{name}");
        assert_eq!(cost.store_round_trips(), expected, "{name}");
    }
}

/// Settlement ends what a sweep ends, and takes back what a template that is over has in the partitions.
#[tokio::test(flavor = "multi_thread")]
async fn settlement_does_what_a_sweep_does_and_takes_leases_back() {
    for place in Place::all() {
        let mut body = template(100);
        body["claim_until"] = json!("2026-02-16T17:00:00Z");
        let app = app(&place, &body).await;
        assert_eq!(reserve(7, "t", "r", 60).of(&app).await.status, 201);
        assert_eq!(open(8, "once", "g1").of(&app).await.status, 201);
        says(&app, "succeeded", 8, "once", "g1").await;
        let settled = async || {
            let reply = settle().of(&app).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            ["reservations", "rewards", "templates"].map(|name| cents(&reply, name))
        };
        let stock = async || Stock::of(&look("t").of(&app).await);
        assert_eq!(settled().await, [0, 1, 0], "{}", place.name());
        app.advance_time(60_000);
        assert_eq!(settled().await, [1, 0, 0], "{}", place.name());
        // What was held is in its partition.
        let before = stock().await;
        assert_eq!((before.issued, before.reserved, before.leased), (1, 0, 1), "{before:?}");
        app.advance_time(3_600_000);
        // It is over by this clock, and may not be by another one.
        assert_eq!(settled().await, [0, 0, 0], "{}", place.name());
        app.advance_time(24 * 60_000);
        assert_eq!(settled().await, [0, 0, 1], "{}", place.name());
        let after = stock().await;
        assert_eq!((after.issued, after.leased, after.remaining), (1, 0, 99), "{after:?}");
        assert_eq!(settled().await, [0, 0, 0], "{}", place.name());
        assert_eq!(differences(&app).await, Vec::<Value>::new());
    }
}

/// What a reservation gives back after its template was put to rest goes home.
#[tokio::test(flavor = "multi_thread")]
async fn settlement_brings_home_what_is_put_back_after_a_template_is_over() {
    const MINUTE_MS: u64 = 60_000;
    for place in Place::all() {
        let mut body = template(100);
        body["claim_until"] = json!("2026-02-16T16:30:00Z");
        let app = app(&place, &body).await;
        assert_eq!(reserve(7, "t", "r", 3_600).of(&app).await.status, 201);
        let settled = async || {
            let reply = settle().of(&app).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            assert_eq!(cents(&reply, "left"), 0, "{reply:?}");
            ["reservations", "templates"].map(|name| cents(&reply, name))
        };
        let stock = async || Stock::of(&look("t").of(&app).await);
        app.advance_time(56 * MINUTE_MS);
        assert_eq!(settled().await, [0, 1], "{}", place.name());
        let held = stock().await;
        assert_eq!((held.reserved, held.leased, held.remaining), (1, 0, 99), "{held:?}");
        app.advance_time(4 * MINUTE_MS);
        assert_eq!(settled().await, [1, 1], "{}", place.name());
        let home = stock().await;
        assert_eq!((home.reserved, home.leased, home.remaining), (0, 0, 100), "{home:?}");
        app.advance_time(60 * MINUTE_MS);
        assert_eq!(settled().await, [0, 0], "{}", place.name());
        assert_eq!(differences(&app).await, Vec::<Value>::new());
    }
}
