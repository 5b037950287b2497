//! Whatever goes wrong at whatever host call of an operation on coupons: after asking again the result
//! is the recorded one, and nothing leaked - every coupon that is not given can still be given.

use end_to_end::app::{Ask, Reply};
use end_to_end::coupon::{
    Stock, cancel, confirm, extend, issue, look, publish, redeem, reserve, revoke, roll_back,
    set_up_scene, sweep, template,
};
use end_to_end::patient::Patient;
use host::App;
use http::Method;
use serde_json::json;

use crate::hunt::{self, FAILURES_MAX, LATE_MS};

/// Longer than anybody remembers that nothing is left.
const MEMORY_MS: u64 = 1_100;
/// Coupons of the template.
const STOCK: u64 = 6;

/// One client, who asks again.
struct Client(Patient);

impl Client {
    async fn until_answered(&mut self, asked: &Ask) -> Reply {
        self.0.until_answered(asked).await
    }

    async fn stock(&mut self) -> Stock {
        Stock::of(&self.until_answered(&look("t")).await)
    }
}

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
    /// Coupons that are given afterwards, and held.
    issued: i64,
    held: i64,
    /// Reservations that have expired; some may not have been put back yet.
    expired: i64,
    /// How many there are in all.
    total: u64,
    /// Whether faults hit the giving of what is left as well: it is the same after each operation, and a hunt
    /// of its own.
    hits_the_rest: bool,
}

const PLAIN: Scenario = Scenario {
    before: || vec![],
    ago_ms: 0,
    asked: || issue(7, "t", "n"),
    status: 201,
    says: ("outcome", "issued"),
    issued: 1,
    held: 0,
    expired: 0,
    total: STOCK,
    hits_the_rest: false,
};

async fn play(app: App, scenario: Scenario) {
    let mut client = Client(Patient::new(&app, FAILURES_MAX));
    let asked = (scenario.asked)();
    let first = client.until_answered(&asked).await;
    let again = client.until_answered(&asked).await;
    for reply in [&first, &again] {
        assert_eq!(reply.status, scenario.status, "{reply:?}");
        let (member, says) = scenario.says;
        assert_eq!(reply.text(member).as_deref(), Some(says), "{reply:?}");
    }
    if first.json()["coupon"].is_object() {
        assert_eq!(first.json()["coupon"], again.json()["coupon"]);
        assert_eq!(again.json()["replayed"], true, "{again:?}");
    }
    if !scenario.hits_the_rest {
        app.scenario_done();
    }
    app.advance_time(LATE_MS);
    let third = client.until_answered(&asked).await;
    assert_eq!((third.status, third.json()), (again.status, again.json()));
    let stock = client.stock().await;
    let held = scenario.held..=scenario.held + scenario.expired;
    assert!(stock.issued == scenario.issued && held.contains(&stock.reserved), "{stock:?}");

    // Whatever is left can be given, to the last one.
    let left = scenario.total as i64 - scenario.issued - scenario.held;
    let mut given = 0;
    for user in 1_000.. {
        let reply = client.until_answered(&issue(user, "t", "d")).await;
        match reply.status {
            201 => given += 1,
            _ => {
                assert_eq!(reply.text("code").as_deref(), Some("sold_out"), "{reply:?}");
                if given == left {
                    break;
                }
                app.advance_time(MEMORY_MS);
                let reply = client.until_answered(&issue(user, "t", "d")).await;
                assert_eq!(reply.status, 201, "{given} of {left} were given: {reply:?}");
                given += 1;
            }
        }
    }
    assert_eq!(given, left);
    let stock = client.stock().await;
    assert_eq!((stock.leased, stock.remaining), (0, 0), "{stock:?}");
}

#[track_caller]
fn hunt(name: &str, scenario: Scenario) {
    hunt::hunt(name, |app| async move {
        let reply = publish("t", &template(scenario.total)).of(&app).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        for asked in (scenario.before)() {
            let reply = asked.of(&app).await;
            assert!(matches!(reply.status, 200 | 201), "{reply:?}");
        }
        app.advance_time(scenario.ago_ms);
        app.set_up_done();
        play(app, scenario).await;
    });
}

#[test]
fn an_issue_that_takes_the_first_lease() {
    hunt("issue, lease, and the rest of the stock", Scenario { hits_the_rest: true, ..PLAIN });
}

#[test]
fn an_issue_from_a_lease() {
    // So many that a lease is more than one.
    let before = || vec![issue(3, "t", "m"), issue(7, "t", "m2")];
    let asked = || issue(7 << 8, "t", "n");
    hunt("issue", Scenario { before, asked, issued: 3, total: 40, ..PLAIN });
}

/// The second award of two in a scene that allows so many: the attempt that is lost counts once.
#[test]
fn an_issue_within_a_rate_limit() {
    let before = || {
        let limit = json!({"awards": 2, "seconds": 3_600});
        let mut body = template(STOCK);
        body["scene"] = json!("hurried");
        body["limit_per_user"] = json!(3);
        let scene = json!({"award_type": "cash", "rate_limit": limit});
        vec![set_up_scene("hurried", &scene), publish("hurried", &body), issue(7, "hurried", "m")]
    };
    let asked = || issue(7, "hurried", "n");
    hunt("issue, rate limit", Scenario { before, asked, issued: 0, ..PLAIN });
}

#[test]
fn setting_up_a_scene() {
    let asked = || set_up_scene("s", &json!({"award_type": "cash", "statement": "Gift"}));
    let says = ("statement", "Gift");
    hunt("scene", Scenario { asked, status: 200, says, issued: 0, ..PLAIN });
}

/// They lie in three partitions, and the one who asks in the fourth.
#[test]
fn an_issue_of_what_was_reserved_and_has_expired() {
    let before = || (0..STOCK).map(|user| reserve(user, "t", "m", 30)).collect();
    hunt("issue, recall", Scenario { before, ago_ms: 31_000, expired: STOCK as i64, ..PLAIN });
}

#[test]
fn a_refusal_when_nothing_is_left() {
    let before = || (10..10 + STOCK).map(|user| issue(user, "t", "m")).collect();
    let (status, says) = (409, ("code", "sold_out"));
    let issued = STOCK as i64;
    hunt("sold out", Scenario { before, status, says, issued, ..PLAIN });
}

#[test]
fn a_reservation() {
    let asked = || reserve(7, "t", "n", 3_600);
    hunt("reserve", Scenario { asked, says: ("outcome", "reserved"), issued: 0, held: 1, ..PLAIN });
}

#[test]
fn a_confirmation() {
    let before = || vec![reserve(7, "t", "n", 3_600)];
    let asked = || confirm(7, "n");
    hunt("confirm", Scenario { before, asked, status: 200, ..PLAIN });
}

#[test]
fn a_cancellation() {
    let before = || vec![reserve(7, "t", "n", 3_600)];
    let (asked, says) = (|| cancel(7, "n"), ("outcome", "cancelled"));
    hunt("cancel", Scenario { before, asked, status: 200, says, issued: 0, ..PLAIN });
}

#[test]
fn a_redemption() {
    let before = || vec![issue(7, "t", "n")];
    hunt("redeem", Scenario { before, asked: || redeem(7, "n", "A"), status: 200, ..PLAIN });
}

#[test]
fn a_roll_back() {
    let before = || vec![issue(7, "t", "n"), redeem(7, "n", "A")];
    hunt("roll back", Scenario { before, asked: || roll_back(7, "n", "A"), status: 200, ..PLAIN });
}

#[test]
fn a_revocation() {
    let before = || vec![issue(7, "t", "n")];
    let (asked, says) = (|| revoke(7, "n", "by mistake"), ("outcome", "revoked"));
    hunt("revoke", Scenario { before, asked, status: 200, says, issued: 0, ..PLAIN });
}

#[test]
fn an_extension() {
    let before = || vec![issue(7, "t", "n")];
    let asked = || extend(7, "n", "2024-03-01T00:00:00Z");
    hunt("extend", Scenario { before, asked, status: 200, ..PLAIN });
}

/// Of three coupons of a budget for three one was redeemed for less, and two expire: what they did not use comes home
/// once, and is given again.
#[test]
fn a_sweep_that_settles() {
    const DAY_MS: u64 = 86_400_000;
    hunt::hunt("settle", |app| async move {
        let mut body = template(10);
        let fields =
            json!({"budget": 4_600, "limit_per_user": 9, "valid_for_days": 1, "rollback_days": 1});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let of_cents = json!({"order": "A", "amount": 100}).to_string();
        let before = [
            publish("t", &body),
            issue(7, "t", "n"),
            issue(8, "t", "n"),
            issue(9, "t", "n"),
            redeem(7, "n", "A").json(of_cents),
        ];
        for asked in before {
            let reply = asked.of(&app).await;
            assert!(matches!(reply.status, 200 | 201), "{reply:?}");
        }
        app.advance_time(DAY_MS);
        app.set_up_done();
        let mut client = Client(Patient::new(&app, FAILURES_MAX));
        client.until_answered(&sweep()).await;
        app.scenario_done();
        app.advance_time(LATE_MS);
        client.until_answered(&sweep()).await;
        let look = client.until_answered(&look("t")).await;
        assert_eq!(look.text("unused").as_deref(), Some("4400"), "{look:?}");
        // With the 100 cents that the budget had left, three more.
        for user in [17, 18, 19] {
            let reply = client.until_answered(&issue(user, "t", "n")).await;
            assert_eq!(reply.status, 201, "{reply:?}");
        }
        let reply = client.until_answered(&issue(20, "t", "n")).await;
        assert_eq!(reply.text("code").as_deref(), Some("budget_exhausted"), "{reply:?}");
    });
}

#[test]
fn a_batch() {
    let asked = || {
        let body = json!({"batch": "b", "users": ["7", "8", "7000000000"]});
        Ask::new(Method::POST, "/v1/coupon-templates/t/bulk").json(body.to_string()).operator()
    };
    hunt("bulk", Scenario { asked, status: 202, says: ("batch", "b"), issued: 3, ..PLAIN });
}
