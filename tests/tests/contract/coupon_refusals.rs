//! Every refusal of the coupon function, by code: reached over HTTP on kv and on redis, with its status,
//! and listed in the OpenAPI document for that route and status. None of them is left out: the codes
//! are those of `crates/coupons/src/refusal.rs`.

use std::collections::BTreeSet;

use end_to_end::app::{Ask, Place, load, not_loaded, order_paid};
use end_to_end::coupon::{
    cancel, confirm, extend, issue, look, look_at_scene, look_up, publish, published, redeem,
    reserve, revoke, revoke_many, roll_back, set_up_scene, template,
};
use end_to_end::group_buy::{look_at, open, put, set_up};
use end_to_end::openapi::{Document, Row};
use futures::future::join_all;
use host::{App, Schedule, Time, simulate};
use serde_json::{Value, json};

/// 2096-02-16T16:00:00Z: what Redis collects, by its own clock, is collected later.
const START_MS: u64 = 3_980_246_400_000;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Fields of a user's record, and one more: what a commit adds to a record that has room.
const RECORD_FULL: u64 = 1_001;
/// Coupons of a template that a user may have at the most.
const LIMIT_MAX: u64 = 500;
/// Parts of a batch.
const PARTS_MAX: usize = 1_023;

const TEMPLATE: &str = "/v1/coupon-templates/{template}";
const BULK: &str = "/v1/coupon-templates/{template}/bulk";
const BATCH: &str = "/v1/coupon-templates/{template}/bulk/{batch}";
const COUPONS: &str = "/v1/users/{user}/coupons";
const ORDER: &str = "/v1/users/{user}/coupons/orders/{order_number}";
const REDEEM: &str = "/v1/users/{user}/coupons/{coupon}/redeem";
const ROLLBACK: &str = "/v1/users/{user}/coupons/{coupon}/rollback";
const REVOKE: &str = "/v1/users/{user}/coupons/{coupon}/revoke";
const EXTEND: &str = "/v1/users/{user}/coupons/{coupon}/extend";
const REVOKE_MANY: &str = "/v1/coupon-templates/{template}/revoke";
const RESERVATIONS: &str = "/v1/users/{user}/reservations";
const CONFIRM: &str = "/v1/users/{user}/reservations/{order_number}/confirm";
const CANCEL: &str = "/v1/users/{user}/reservations/{order_number}/cancel";
const CAMPAIGN: &str = "/v1/group-buy-campaigns/{campaign}";
const SCENE: &str = "/v1/scenes/{scene}";
const GROUPS: &str = "/v1/group-buys";

/// The code of each refusal, as the source says it.
fn listed() -> BTreeSet<String> {
    let source = include_str!("../../../crates/coupons/src/refusal.rs");
    let rows = source.split("(\"").skip(1);
    rows.filter_map(|row| Some(row.split_once("\", \"")?.0.to_owned())).collect()
}

/// The same request of a number that has a time.
fn ordered_at(at: &str, ask: Ask) -> Ask {
    let mut body: Value = serde_json::from_slice(&ask.body).expect("a body");
    body["ordered_at"] = json!(at);
    ask.json(body.to_string())
}

/// Only publishing at the same time reaches it.
const PUBLISHED_MEANWHILE: &str = "published_meanwhile";
/// Only a collection months later reaches it.
const SEALED: &str = "sealed";

struct Table {
    app: App,
    document: Document,
    reached: BTreeSet<String>,
}

impl Table {
    /// The app at [`START_MS`], with the templates that the rows are about.
    async fn set_up(place: &Place) -> Self {
        let mut options = place.options();
        options.time = Time::Seeded { start_ms: START_MS };
        // A kept instance would run out of swaps on kv before its requests are over.
        options.reuse.requests = 32;
        let app = load(options).await;
        let with = |fields: Value| {
            let mut body = template(10);
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            body
        };
        for (id, fields) in [
            ("t", json!({"limit_per_user": 9})),
            ("one", json!({"stock": 1})),
            ("poor", json!({"budget": 2_999})),
            ("single", json!({})),
            ("gold", json!({"segments": ["gold"]})),
            ("new", json!({"new_users_only": true})),
            ("ask", json!({"new_users_only": true, "unknown_users": "ask"})),
            ("off", json!({"enabled": false})),
            ("brief", json!({"rollback_days": 0, "limit_per_user": 9})),
            (
                "window",
                json!({
                    "claim_from": "2096-02-16T17:00:00Z", "claim_until": "2096-02-16T18:00:00Z",
                    "valid_for_days": null,
                    "valid_from": "2096-02-16T19:00:00Z", "valid_until": "2096-02-16T20:00:00Z",
                }),
            ),
        ] {
            published(&app, id, &with(fields)).await;
        }
        // Who has paid.
        assert_eq!(order_paid(9).of(&app).await.status, 204);
        let document = Document::of(&app).await;
        Self { app, document, reached: BTreeSet::new() }
    }

    async fn check(&mut self, method: &str, route: &str, rows: Vec<Row>) {
        let refused = rows.iter().filter(|(status, ..)| *status >= 400);
        self.reached.extend(refused.map(|(_, code, _)| (*code).to_owned()));
        self.document.check(&self.app, method, route, rows).await;
    }

    /// What is asked of templates, at the same time for coupons and for reservations.
    async fn check_claims(&mut self) {
        let golden = json!({"template": "gold", "order_number": "g", "segments": ["gold"]});
        let golden = Ask::post("/v1/users/1/coupons", golden.to_string());
        assert_eq!(cancel(1, "late").of(&self.app).await.status, 200);
        let rows = vec![
            (201, "", issue(1, "one", "n")),
            (409, "sold_out", issue(2, "one", "n")),
            (201, "", issue(1, "poor", "p")),
            (409, "budget_exhausted", issue(2, "poor", "n")),
            (201, "", issue(1, "single", "s")),
            (409, "user_limit", issue(1, "single", "other")),
            (409, "not_started", issue(1, "window", "w")),
            (409, "not_eligible", issue(1, "gold", "g")),
            (201, "", golden),
            (409, "not_eligible", issue(9, "new", "n")),
            (409, "not_eligible", issue(9, "ask", "n")),
            (409, "import_incomplete", issue(1, "ask", "a")),
            (201, "", issue(1, "new", "e")),
            (409, "disabled", issue(1, "off", "o")),
            (404, "unknown_template", issue(1, "x", "x")),
            (422, "order_number_reused", issue(1, "t", "n")),
            (422, "too_old", ordered_at("1970-01-01T00:00:00Z", issue(1, "t", "old"))),
            (409, "cancelled", issue(1, "t", "late")),
        ];
        self.check("post", COUPONS, rows).await;
        let hold = |user: u64, template: &str, number: &str| reserve(user, template, number, 60);
        let rows = vec![
            (201, "", hold(1, "t", "held")),
            (409, "sold_out", hold(2, "one", "h")),
            (409, "budget_exhausted", hold(2, "poor", "h")),
            (409, "user_limit", hold(1, "single", "h")),
            (409, "not_started", hold(1, "window", "h")),
            (409, "not_eligible", hold(1, "gold", "h")),
            (409, "not_eligible", hold(9, "new", "h")),
            (409, "import_incomplete", hold(1, "ask", "h")),
            (409, "disabled", hold(1, "off", "h")),
            (404, "unknown_template", hold(1, "x", "h")),
            (422, "order_number_reused", hold(1, "one", "n")),
            (422, "too_old", ordered_at("1970-01-01T00:00:00Z", hold(1, "t", "old"))),
            (409, "cancelled", hold(1, "t", "late")),
        ];
        self.check("post", RESERVATIONS, rows).await;
    }

    /// What is asked of coupons and reservations that are there, or are not.
    async fn check_uses(&mut self) {
        let amount = |amount: u64| {
            redeem(1, "s", "A").json(json!({"order": "A", "amount": amount}).to_string())
        };
        let rows = vec![
            (404, "unknown_coupon", redeem(1, "x", "A")),
            (404, "unknown_coupon", redeem(1, "late", "A")),
            (409, "not_confirmed", redeem(1, "held", "A")),
            (409, "over_single_cap", amount(1_501)),
            (200, "", amount(1_500)),
            (409, "already_redeemed", redeem(1, "s", "B")),
            (422, "order_number_reused", amount(1_499)),
        ];
        self.check("post", REDEEM, rows).await;
        let mut rows = vec![
            (404, "unknown_coupon", roll_back(1, "x", "A")),
            (409, "not_confirmed", roll_back(1, "held", "A")),
            (409, "already_redeemed", roll_back(1, "s", "B")),
        ];
        let before_they_come =
            (0..15).map(|order| (200, "", roll_back(1, "s", &order.to_string())));
        rows.push((200, "", roll_back(1, "s", "A")));
        rows.extend(before_they_come);
        rows.push((409, "too_many_rollbacks", roll_back(1, "s", "C")));
        self.check("post", ROLLBACK, rows).await;
        let rows = vec![
            (409, "rolled_back", redeem(1, "s", "A")),
            (409, "rolled_back", redeem(1, "s", "7")),
            (409, "too_many_rollbacks", redeem(1, "s", "C")),
        ];
        self.check("post", REDEEM, rows).await;
        self.check("get", ORDER, vec![(404, "unknown_order", look_up(1, "x"))]).await;
        let rows =
            vec![(404, "unknown_order", confirm(1, "x")), (409, "cancelled", confirm(1, "late"))];
        self.check("post", CONFIRM, rows).await;
        let old = cancel(1, "old").json(r#"{"ordered_at": "1970-01-01T00:00:00Z"}"#.to_owned());
        let rows = vec![(409, "already_confirmed", cancel(1, "s")), (422, "too_old", old)];
        self.check("post", CANCEL, rows).await;
    }

    /// What operators do to coupons, and what a cart says.
    async fn check_money(&mut self) {
        for number in ["final", "back", "open"] {
            assert_eq!(issue(4, "brief", number).of(&self.app).await.status, 201);
        }
        let of_cart = |cart: Value| {
            let mut body = json!({"order": "A"});
            body.as_object_mut().unwrap().extend(cart.as_object().unwrap().clone());
            redeem(4, "final", "A").json(body.to_string())
        };
        let rows = vec![
            (409, "below_threshold", of_cart(json!({"order_amount": 1_509}))),
            (409, "wrong_currency", of_cart(json!({"currency": "EUR"}))),
            (200, "", of_cart(json!({"order_amount": 1_510, "currency": "CNY"}))),
        ];
        self.check("post", REDEEM, rows).await;
        let too_late = vec![(409, "redemption_final", roll_back(4, "final", "A"))];
        self.check("post", ROLLBACK, too_late).await;
        let rows = vec![
            (404, "unknown_coupon", revoke(4, "x", "wrong")),
            (409, "not_confirmed", revoke(1, "held", "wrong")),
            (409, "already_redeemed", revoke(4, "final", "wrong")),
            (200, "", revoke(4, "back", "wrong")),
        ];
        self.check("post", REVOKE, rows).await;
        let until = "2096-12-31T00:00:00Z";
        let rows = vec![
            (404, "unknown_coupon", extend(4, "x", until)),
            (409, "not_confirmed", extend(1, "held", until)),
            (409, "already_redeemed", extend(4, "final", until)),
            (409, "revoked", extend(4, "back", until)),
            (200, "", extend(4, "open", until)),
        ];
        self.check("post", EXTEND, rows).await;
        self.check("post", REDEEM, vec![(409, "revoked", redeem(4, "back", "A"))]).await;
        self.check("post", ROLLBACK, vec![(409, "revoked", roll_back(4, "back", "A"))]).await;
        let reason = json!({"reason": "wrong"});
        let rows = vec![
            (404, "unknown_template", revoke_many("x", &reason)),
            (409, "template_enabled", revoke_many("brief", &reason)),
            (200, "", revoke_many("off", &reason)),
        ];
        self.check("post", REVOKE_MANY, rows).await;
    }

    async fn check_templates(&mut self) {
        let with = |field: &str, value: Value| {
            let mut body = template(10);
            body[field] = value;
            publish("single", &body)
        };
        let rows = vec![
            (400, "over_single_cap", with("single_cap", json!(1_499))),
            (400, "unknown_template", with("fallback_template", json!("x"))),
            (400, "fallback_circle", with("fallback_template", json!("single"))),
            (409, "field_fixed", with("value", json!(1_600))),
            (409, "field_fixed", with("currency", json!("EUR"))),
            (409, "stock_in_use", with("stock", json!(0))),
        ];
        self.check("put", TEMPLATE, rows).await;
        for id in 1..=5 {
            let mut body = template(10);
            if id > 1 {
                body["fallback_template"] = json!(format!("chain-{}", id - 1));
            }
            published(&self.app, &format!("chain-{id}"), &body).await;
        }
        let deep = (400, "fallback_too_deep", with("fallback_template", json!("chain-5")));
        self.check("put", TEMPLATE, vec![deep]).await;
        self.check("get", TEMPLATE, vec![(404, "unknown_template", look("x"))]).await;
    }

    /// The clock goes over the ends of a reservation, of a claim window and of a validity.
    async fn check_times(&mut self) {
        self.app.advance_time(MINUTE_MS);
        self.check("post", CONFIRM, vec![(409, "reservation_expired", confirm(1, "held"))]).await;
        let claim = |status, code| vec![(status, code, issue(1, "window", "w"))];
        self.app.advance_time(HOUR_MS - MINUTE_MS - 1);
        self.check("post", COUPONS, claim(409, "not_started")).await;
        self.app.advance_time(1);
        // A refusal leaves the number as it was.
        self.check("post", COUPONS, claim(201, "")).await;
        self.app.advance_time(HOUR_MS);
        self.check("post", COUPONS, vec![(409, "ended", issue(2, "window", "w"))]).await;
        self.check("post", RESERVATIONS, vec![(409, "ended", reserve(2, "window", "w", 60))]).await;
        // It is opened again, and coupons that it gave are what they were.
        self.check("put", TEMPLATE, vec![(200, "", publish("window", &template(10)))]).await;
        let redemption = |status, code| vec![(status, code, redeem(1, "w", "A"))];
        self.app.advance_time(HOUR_MS - 1);
        self.check("post", REDEEM, redemption(409, "not_yet_valid")).await;
        self.app.advance_time(1 + HOUR_MS);
        self.check("post", REDEEM, redemption(409, "expired")).await;
        self.check("post", REVOKE, vec![(409, "expired", revoke(1, "w", "wrong"))]).await;
        let late = extend(1, "w", "2096-12-31T00:00:00Z");
        self.check("post", EXTEND, vec![(409, "expired", late)]).await;
    }

    async fn check_scenes(&mut self) {
        let hurried = json!({"award_type": "cash", "rate_limit": {"awards": 1, "seconds": 60}});
        let rows = vec![
            (200, "", set_up_scene("hurried", &hurried)),
            (
                409,
                "field_fixed",
                set_up_scene("hurried", &json!({"award_type": "cash", "stock": false})),
            ),
        ];
        self.check("put", SCENE, rows).await;
        self.check("get", SCENE, vec![(404, "unknown_scene", look_at_scene("x"))]).await;
        let mut body = template(10);
        body["scene"] = json!("hurried");
        published(&self.app, "hurried", &body).await;
        let rows = vec![
            (201, "", issue(3, "hurried", "n")),
            (201, "", issue(3, "hurried", "n")),
            (409, "user_limit", issue(3, "hurried", "m")),
        ];
        self.check("post", COUPONS, rows).await;
        body["limit_per_user"] = json!(9);
        published(&self.app, "hurried", &body).await;
        let rows = vec![(429, "rate_limited", issue(3, "hurried", "m"))];
        self.check("post", COUPONS, rows).await;
        let rows = vec![(429, "rate_limited", reserve(3, "hurried", "m", 60))];
        self.check("post", RESERVATIONS, rows).await;
        self.app.advance_time(MINUTE_MS);
        self.check("post", COUPONS, vec![(201, "", issue(3, "hurried", "m"))]).await;
    }

    async fn check_batches(&mut self) {
        let bulk = |template: &str, users: Vec<u64>| {
            let body = json!({"batch": "b", "users": users});
            let path = format!("/v1/coupon-templates/{template}/bulk");
            Ask::post(path, body.to_string()).operator()
        };
        let progress = Ask::get("/v1/coupon-templates/t/bulk/b").operator();
        self.check("get", BATCH, vec![(404, "unknown_batch", progress)]).await;
        let mut rows = vec![(404, "unknown_template", bulk("x", vec![1]))];
        // Pairs of a few users: each pair is another part.
        let users = 0..46_u64;
        let pairs = users.clone().flat_map(|one| users.clone().map(move |two| vec![one, two]));
        rows.extend(pairs.take(PARTS_MAX).map(|pair| (202, "", bulk("t", pair))));
        rows.push((202, "", bulk("t", vec![0, 0])));
        self.check("post", BULK, rows).await;
        self.check("post", BULK, vec![(409, "batch_full", bulk("t", vec![101]))]).await;
    }

    async fn check_groups(&mut self) {
        let off = json!({"template": "t", "give_back": true, "enabled": false});
        let ask = json!({"template": "t", "give_back": true, "unknown_users": "ask"});
        let rows = vec![
            (200, "", set_up("c", "t", false)),
            (200, "", put("off", &off)),
            (200, "", put("ask", &ask)),
            (400, "unknown_template", set_up("c", "x", false)),
        ];
        self.check("put", CAMPAIGN, rows).await;
        self.check("get", CAMPAIGN, vec![(404, "unknown_campaign", look_at("x"))]).await;
        let rows = vec![
            (201, "", open(1, "c", "g")),
            (404, "unknown_campaign", open(1, "x", "g")),
            (409, "chance_used", open(1, "c", "h")),
            (409, "disabled", open(1, "off", "g")),
            (409, "not_eligible", open(9, "c", "g")),
            (409, "import_incomplete", open(1, "ask", "g")),
        ];
        self.check("post", GROUPS, rows).await;
    }

    /// A record that is full of reservations takes nothing more, whatever the route; other orders move to pages.
    async fn check_full_record(&mut self) {
        let templates = ["full-0", "full-1"];
        for id in templates {
            let mut body = template(1_000);
            body["limit_per_user"] = json!(LIMIT_MAX);
            published(&self.app, id, &body).await;
        }
        let of = |number: u64| templates[(number / LIMIT_MAX) as usize];
        let hold = |number: u64| reserve(77, of(number), &format!("n{number}"), 43_200);
        // Each template has a field, too.
        let fill = (0..RECORD_FULL - 2).map(|number| (201, "", hold(number)));
        self.check("post", RESERVATIONS, fill.collect()).await;
        let full = vec![(409, "too_many_coupons", cancel(77, "more"))];
        self.check("post", CANCEL, full).await;
        let full = |ask| vec![(409, "too_many_coupons", ask)];
        self.check("post", COUPONS, full(issue(77, "t", "more"))).await;
        self.check("post", RESERVATIONS, full(reserve(77, "t", "more", 60))).await;
        self.check("post", GROUPS, full(open(77, "c", "more"))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_reached_and_described() {
    for place in Place::all() {
        let mut table = Table::set_up(&place).await;
        table.check_claims().await;
        table.check_uses().await;
        table.check_money().await;
        table.check_templates().await;
        table.check_times().await;
        table.check_scenes().await;
        table.check_batches().await;
        table.check_groups().await;
        table.check_full_record().await;
        let mut expected = listed();
        for elsewhere in [PUBLISHED_MEANWHILE, SEALED] {
            assert!(expected.remove(elsewhere), "{expected:?}");
        }
        assert!(expected.len() > 25, "{expected:?}");
        let missed: Vec<_> = expected.difference(&table.reached).collect();
        assert!(missed.is_empty(), "not reached on {}: {missed:?}", place.name());
    }
}

/// Of many who publish at the same moment each takes effect, is told to look again, or finds nothing to
/// change.
#[test]
fn who_publishes_at_the_same_moment_is_told() {
    const PUBLISHERS: u64 = 24;
    for place in Place::all() {
        let mut options = place.options();
        options.schedule = Schedule::Seeded(1);
        let simulated = simulate(options, |app| async move {
            let document = Document::of(&app).await;
            let asked: Vec<_> =
                (0..PUBLISHERS).map(|more| publish("t", &template(10 + more))).collect();
            let replies = join_all(asked.iter().map(|ask| ask.of(&app))).await;
            let mut versions = BTreeSet::new();
            let mut told = 0;
            for reply in &replies {
                document.check_reply(TEMPLATE, "put", reply);
                if reply.status == 200 {
                    versions.insert(reply.json()["version"].as_u64());
                } else {
                    let is = (reply.status, reply.text("code").unwrap_or_default());
                    assert_eq!(is, (409, PUBLISHED_MEANWHILE.to_owned()), "{reply:?}");
                    told += 1;
                }
            }
            assert!(told > 0 && versions.len() as u64 + told == PUBLISHERS, "{told} {versions:?}");
            look("t").of(&app).await.json()["version"].as_u64() == Some(versions.len() as u64)
        });
        let simulated = simulated.unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
        assert!(simulated.result, "each that took effect is a version of its own");
    }
}
