//! Whatever goes wrong at whatever host call of a group-buy: after asking again the chance is taken
//! once, what was said of the group is in the store, and the reward is one coupon.

use end_to_end::app::{Ask, Reply};
use end_to_end::coupon::{Stock, list, look, look_up, publish, sweep, template};
use end_to_end::group_buy::{ended, open, set_up};
use end_to_end::patient::Patient;
use host::App;

use crate::hunt::{self, FAILURES_MAX, LATE_MS};

/// The order number of the reward of the first group.
const REWARD: &str = "group:c:g";

/// One client, who asks again.
struct Client(Patient);

impl Client {
    async fn until_answered(&mut self, asked: &Ask) -> Reply {
        self.0.until_answered(asked).await
    }

    async fn coupons(&mut self) -> Vec<String> {
        let reply = self.until_answered(&list(7)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let coupons = reply.json()["coupons"].as_array().expect("a list").clone();
        coupons.iter().map(|coupon| coupon["coupon"].as_str().unwrap().to_owned()).collect()
    }
}

/// What is done under faults.
#[derive(Clone, Copy)]
struct Scenario {
    /// What happened before.
    before: fn() -> Vec<Ask>,
    /// What is asked.
    asked: fn() -> Ask,
    /// The status of its answer.
    status: u16,
    /// Where the group stands afterwards, and once somebody has looked at the coupons.
    state: &'static [&'static str],
    state_in_the_end: &'static str,
}

async fn play(app: App, scenario: Scenario) {
    let Scenario { asked, status, state, state_in_the_end, .. } = scenario;
    let mut client = Client(Patient::new(&app, FAILURES_MAX));
    let reply = client.until_answered(&asked()).await;
    assert_eq!(reply.status, status, "{reply:?}");
    let group = client.until_answered(&open(7, "c", "g")).await;
    let is = group.text("state").unwrap_or_default();
    assert!(group.status == 201 && state.contains(&is.as_str()), "{group:?}");
    // Somebody asks late, and what was late itself has happened.
    app.advance_time(LATE_MS);
    let reply = client.until_answered(&asked()).await;
    assert_eq!(reply.status, status, "{reply:?}");

    let given: &[_] = if state_in_the_end == "rewarded" { &[REWARD] } else { &[] };
    for _ in 0..2 {
        assert_eq!(client.coupons().await, given);
        let swept = client.until_answered(&sweep()).await;
        assert_eq!(swept.text("rewarded").as_deref(), Some("0"), "{swept:?}");
    }
    let group = client.until_answered(&open(7, "c", "g")).await;
    assert_eq!(group.text("state").as_deref(), Some(state_in_the_end), "{group:?}");
    let stock = Stock::of(&client.until_answered(&look("t")).await);
    assert_eq!((stock.issued, stock.reserved), (given.len() as i64, 0), "{stock:?}");

    // The chance is used, but for one that was given back.
    let other = client.until_answered(&open(7, "c", "h")).await;
    if state_in_the_end == "failed" {
        assert_eq!(other.text("state").as_deref(), Some("open"), "{other:?}");
        assert_eq!(client.until_answered(&asked()).await.status, status);
        let other = client.until_answered(&open(7, "c", "h")).await;
        assert_eq!(other.text("state").as_deref(), Some("open"), "{other:?}");
    } else {
        assert_eq!(other.text("code").as_deref(), Some("chance_used"), "{other:?}");
    }
}

#[track_caller]
fn hunt(name: &str, scenario: Scenario) {
    hunt::hunt(name, |app| async move {
        let before = [publish("t", &template(10)), set_up("c", "t", true)];
        for asked in before.into_iter().chain((scenario.before)()) {
            let reply = asked.of(&app).await;
            assert!(matches!(reply.status, 200..=204), "{reply:?}");
        }
        app.set_up_done();
        play(app, scenario).await;
    });
}

#[test]
fn an_opening() {
    let asked = || open(7, "c", "g");
    let (state, state_in_the_end) = (&["open"], "open");
    hunt("open", Scenario { before: || vec![], asked, status: 201, state, state_in_the_end });
}

#[test]
fn a_success() {
    let before = || vec![open(7, "c", "g")];
    let asked = || ended("succeeded", 7, "c", "g");
    let (state, state_in_the_end) = (&["succeeded"], "rewarded");
    hunt("group.succeeded", Scenario { before, asked, status: 204, state, state_in_the_end });
}

#[test]
fn a_failure() {
    let before = || vec![open(7, "c", "g")];
    let asked = || ended("failed", 7, "c", "g");
    let (state, state_in_the_end) = (&["failed"], "failed");
    hunt("group.failed", Scenario { before, asked, status: 204, state, state_in_the_end });
}

#[track_caller]
fn hunt_reward(name: &str, asked: fn() -> Ask, state: &'static [&'static str]) {
    let before = || vec![open(7, "c", "g"), ended("succeeded", 7, "c", "g")];
    let state_in_the_end = "rewarded";
    hunt(name, Scenario { before, asked, status: 200, state, state_in_the_end });
}

#[test]
fn a_reward_by_a_list() {
    hunt_reward("reward, list", || list(7), &["rewarded"]);
}

/// It looks for the coupon first: where that was given and the rest was not, the rest is left to whoever
/// comes next.
#[test]
fn a_reward_by_a_look_up() {
    hunt_reward("reward, look-up", || look_up(7, REWARD), &["succeeded", "rewarded"]);
}

#[test]
fn a_reward_by_a_sweep() {
    hunt_reward("reward, sweep", sweep, &["rewarded"]);
}
