//! Whatever goes wrong at whatever host call of taking uses, giving them back and sweeping: after asking
//! again the order has exactly what it is told, and exactly the rest can be taken by others.

use end_to_end::app::Ask;
use end_to_end::patient::{self, Patient};
use end_to_end::purchase::{give_back, limited, order, save, sweep, take};
use host::App;
use serde_json::json;

use crate::hunt::{self, FAILURES_MAX, LATE_MS};

/// Sweeps until an order is at rest, each a minute after the one before.
const SWEEPS_MAX: u32 = 24;
/// Sweeps that found nothing to do, one after the other, until an order is at rest: whoever was swept
/// while still at work begins again.
const QUIET: u32 = 3;
/// Whose order it is.
const USER: u64 = 7;

/// Uses of an activity, of one unit where it counts each for itself.
type Uses = (&'static str, &'static str, u32);

/// An activity that limits uses.
struct Limited {
    id: &'static str,
    per_user: Option<u32>,
    total: Option<u32>,
    units: &'static [&'static str],
}

const ACTIVITIES: [Limited; 4] = [
    Limited { id: "user", per_user: Some(3), total: None, units: &[""] },
    Limited { id: "all", per_user: None, total: Some(4), units: &[""] },
    Limited { id: "both", per_user: Some(3), total: Some(5), units: &[""] },
    Limited { id: "units", per_user: Some(3), total: Some(5), units: &["red", "blue"] },
];

/// What is done under faults.
#[derive(Clone, Copy)]
struct Scenario {
    /// What happened before.
    before: fn() -> Vec<Ask>,
    /// What is asked.
    asked: fn() -> Ask,
    /// The status of its answer.
    status: u16,
    /// A member of its answer, and what it says.
    says: (&'static str, &'static str),
    /// What the user's orders have afterwards.
    has: &'static [Uses],
    /// What other users had before.
    others: &'static [Uses],
}

const PLAIN: Scenario = Scenario {
    before: || vec![],
    asked: || take(USER, "n", &[("user", "", 1)]),
    status: 201,
    says: ("state", "taken"),
    has: &[("user", "", 1)],
    others: &[],
};

fn sum(uses: &[Uses], id: &str, unit: &str) -> u32 {
    let of = |(activity, key, uses): &Uses| if (*activity, *key) == (id, unit) { *uses } else { 0 };
    uses.iter().map(of).sum()
}

/// Exactly what is left can be taken, to the last use: by the user, then by others.
async fn drain(client: &mut Patient, has: &[Uses], others: &[Uses]) {
    for Limited { id, per_user, total, units } in &ACTIVITIES {
        for unit in *units {
            let used = sum(has, id, unit);
            let taken = used + sum(others, id, unit);
            let mut left = total.map(|total| total - taken);
            let mut number = 0;
            for user in USER.. {
                let of_user = if user == USER { used } else { 0 };
                let free = per_user.map_or(u32::MAX, |limit| limit - of_user);
                let free = free.min(left.unwrap_or(free));
                number += 1;
                for (uses, status) in [(free + 1, 409), (free, 201)] {
                    let number = format!("d-{id}-{unit}-{number}-{uses}");
                    let asked = take(user, &number, &[(id, unit, uses)]);
                    if uses > 0 {
                        let reply = client.until_answered(&asked).await;
                        assert_eq!(reply.status, status, "{free} of {id} {unit}: {reply:?}");
                    }
                }
                left = left.map(|left| left - free);
                if left.is_none_or(|left| left == 0) && user > USER {
                    break;
                }
            }
        }
    }
}

/// Nothing is under way; then everything that is left can be taken.
async fn settle(app: &App, client: &mut Patient, has: &[Uses], others: &[Uses]) {
    app.scenario_done();
    app.advance_time(LATE_MS);
    let swept = client.until_answered(&sweep()).await;
    assert_eq!(swept.text("orders").as_deref(), Some("0"), "{swept:?}");
    drain(client, has, others).await;
}

async fn play(app: App, scenario: Scenario) {
    let mut client = Patient::new(&app, FAILURES_MAX);
    let asked = (scenario.asked)();
    let (member, says) = scenario.says;
    let mut replies = Vec::new();
    for late_ms in [0, 0, LATE_MS] {
        if late_ms > 0 {
            app.scenario_done();
        }
        app.advance_time(late_ms);
        let reply = client.until_answered(&asked).await;
        assert_eq!(reply.status, scenario.status, "{reply:?}");
        assert_eq!(reply.text(member).as_deref(), Some(says), "{reply:?}");
        replies.push(reply.json());
    }
    if scenario.status == 201 {
        assert_eq!(replies[0]["uses"], replies[1]["uses"]);
        assert_eq!(replies[1]["replayed"], true, "{replies:?}");
    }
    assert_eq!(replies[1], replies[2]);
    settle(&app, &mut client, scenario.has, scenario.others).await;
}

/// Prepares each run: the activities, and what happened before.
async fn prepare(app: &App, before: fn() -> Vec<Ask>) {
    for Limited { id, per_user, total, units } in &ACTIVITIES {
        let counted = if units.len() > 1 { "by_unit" } else { "by_activity" };
        let total = total.map(|total| total.to_string());
        let limits = json!({"per_user": per_user, "total": total, "counted": counted});
        let reply = save(id, "", &limited(&limits)).of(app).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    for asked in before() {
        let reply = asked.of(app).await;
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
    }
    app.set_up_done();
}

#[track_caller]
fn hunt<F>(name: &str, before: fn() -> Vec<Ask>, play: impl Fn(App) -> F + Copy + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    hunt::hunt(name, |app| async move {
        prepare(&app, before).await;
        play(app).await;
    });
}

#[track_caller]
fn hunt_for(name: &str, scenario: Scenario) {
    hunt(name, scenario.before, move |app| play(app, scenario));
}

#[test]
fn a_take_with_a_limit_for_each_user() {
    hunt_for("take, per user", PLAIN);
}

#[test]
fn a_take_with_a_limit_for_all() {
    let asked = || take(USER, "n", &[("all", "", 2)]);
    hunt_for("take, total", Scenario { asked, has: &[("all", "", 2)], ..PLAIN });
}

#[test]
fn a_take_of_several_units() {
    const USES: &[Uses] = &[("units", "red", 2), ("units", "blue", 1), ("both", "", 3)];
    let asked = || take(USER, "n", USES);
    hunt_for("take, units", Scenario { asked, has: USES, ..PLAIN });
}

/// The first activity holds already when the second one refuses: all of it goes back.
#[test]
fn a_take_of_which_the_second_activity_refuses() {
    const OTHERS: &[Uses] = &[("both", "", 3), ("both", "", 2)];
    let before = || vec![take(2, "m", &OTHERS[..1]), take(3, "m", &OTHERS[1..])];
    let asked = || take(USER, "n", &[("all", "", 2), ("user", "", 1), ("both", "", 1)]);
    let (status, says) = (409, ("code", "limit_used_up"));
    let others = OTHERS;
    hunt_for("refused", Scenario { before, asked, status, says, has: &[], others });
}

#[test]
fn a_take_that_the_user_has_used_up() {
    let before = || vec![take(USER, "m", &[("user", "", 3)])];
    let asked = || take(USER, "n", &[("all", "", 1), ("user", "", 1)]);
    let (status, says, has) = (409, ("code", "limit_used_up"), &[("user", "", 3)]);
    hunt_for("used up", Scenario { before, asked, status, says, has, others: &[] });
}

const GIVEN_BACK: Scenario = Scenario {
    before: || vec![],
    asked: || give_back(USER, "n"),
    status: 200,
    says: ("state", "given_back"),
    has: &[],
    others: &[],
};

#[test]
fn giving_back_what_is_limited_for_each_user() {
    let before = || vec![take(USER, "n", &[("user", "", 2)])];
    hunt_for("give back, per user", Scenario { before, ..GIVEN_BACK });
}

#[test]
fn giving_back_what_is_limited_for_all() {
    let uses = || vec![take(USER, "n", &[("all", "", 2), ("units", "red", 3), ("both", "", 1)])];
    hunt_for("give back, total", Scenario { before: uses, ..GIVEN_BACK });
}

/// It cannot be taken any more, whatever comes late.
#[test]
fn giving_back_what_is_not_known() {
    hunt_for("give back, unknown", GIVEN_BACK);
    hunt("then a take", GIVEN_BACK.before, |app| async move {
        let mut client = Patient::new(&app, FAILURES_MAX);
        client.until_answered(&give_back(USER, "n")).await;
        let asked = take(USER, "n", &[("user", "", 1), ("all", "", 1)]);
        for late_ms in [0, LATE_MS] {
            app.advance_time(late_ms);
            let reply = client.until_answered(&asked).await;
            assert_eq!(reply.text("code").as_deref(), Some("given_back"), "{reply:?}");
        }
        settle(&app, &mut client, &[], &[]).await;
    });
}

/// Sweeps until an order is not under way; what it is then, or why there is none. A client that is gone
/// may have left an instance that still works on it, at whatever pace.
async fn rest(app: &App, client: &mut Patient) -> String {
    let (mut before, mut quiet) = (String::new(), 0);
    for _ in 0..SWEEPS_MAX {
        app.advance_time(LATE_MS);
        let swept = client.until_answered(&sweep()).await;
        let found = client.until_answered(&order(USER, "n")).await;
        let state = found.text("state").or_else(|| found.text("code")).unwrap_or_default();
        // The first sweep is hit; the later ones only look.
        app.scenario_done();
        let is_quiet = swept.text("orders").as_deref() == Some("0") && state == before;
        quiet = if is_quiet { quiet + 1 } else { 0 };
        if quiet == QUIET {
            return state;
        }
        before = state;
    }
    panic!("{before} after {SWEEPS_MAX} sweeps");
}

/// The client goes away, whatever was done and whatever is late: the sweep leaves all or nothing.
#[test]
fn an_order_that_is_abandoned() {
    const USES: &[Uses] = &[("all", "", 2), ("both", "", 1), ("units", "red", 1)];
    hunt("abandoned take", GIVEN_BACK.before, |app| async move {
        patient::ask(&app, &take(USER, "n", USES)).await;
        let mut client = Patient::new(&app, FAILURES_MAX);
        let has = match rest(&app, &mut client).await.as_str() {
            "taken" => USES,
            state => {
                assert_eq!(state, "unknown_order");
                &[]
            }
        };
        settle(&app, &mut client, has, &[]).await;
    });
}

/// A give-back of which nobody asks again is finished, or never began.
#[test]
fn a_give_back_that_is_abandoned() {
    const USES: &[Uses] = &[("all", "", 2), ("both", "", 1)];
    let before = || vec![take(USER, "n", USES)];
    hunt("abandoned give-back", before, |app| async move {
        patient::ask(&app, &give_back(USER, "n")).await;
        let mut client = Patient::new(&app, FAILURES_MAX);
        let has = match rest(&app, &mut client).await.as_str() {
            "taken" => USES,
            state => {
                assert_eq!(state, "given_back");
                &[]
            }
        };
        settle(&app, &mut client, has, &[]).await;
    });
}

/// A take and its give-back at once, and the sweep with them: the order ends as given back.
#[test]
fn a_give_back_that_meets_its_take() {
    const USES: &[Uses] = &[("all", "", 2), ("user", "", 1), ("both", "", 1)];
    hunt("take meets give-back", GIVEN_BACK.before, |app| async move {
        let (took, gave) = (take(USER, "n", USES), give_back(USER, "n"));
        futures::join!(patient::ask(&app, &took), patient::ask(&app, &gave));
        let mut client = Patient::new(&app, FAILURES_MAX);
        let reply = client.until_answered(&gave).await;
        assert_eq!(reply.text("state").as_deref(), Some("given_back"), "{reply:?}");
        app.advance_time(LATE_MS);
        let reply = client.until_answered(&took).await;
        assert_eq!(reply.text("code").as_deref(), Some("given_back"), "{reply:?}");
        settle(&app, &mut client, &[], &[]).await;
    });
}
