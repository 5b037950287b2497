//! How activities come and go: versions, drafts, whom a draft holds for, lists of SKUs. On kv and on
//! redis, over HTTP.

use std::time::{Duration, Instant};

use end_to_end::app::{Place, assert_refused, load};
use end_to_end::promotion::{
    activity, activity_for, activity_for_list, add_part, cart, cart_of, code_of, compare,
    draft_saved, evaluate, line, look, look_at_draft, publish, roll_out, save, save_draft, saved,
    sweep_promotions, total, version, withdraw, withdraw_draft,
};
use host::{App, KeyValue, Options, Time};
use serde_json::{Value, json};

/// 2026-02-16T16:00:00Z
const START_MS: u64 = 1_771_257_600_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// How long a key set that is not needed any more stays in the index.
const KEEP_MS: u64 = 5_000;
/// For so long an instance answers by what it has read.
const KNOWN_MS: u64 = 500;
/// Configuration is at most so old.
const EFFECTIVE_WITHIN: Duration = Duration::from_secs(1);

async fn app(place: &Place) -> App {
    let mut options = place.options();
    options.time = Time::Seeded { start_ms: START_MS };
    load(options).await
}

/// So many percent off everything.
fn percent_off(percent: u32) -> Value {
    let mut activity = activity();
    activity["tiers"] = json!([{"benefit": {"percent_off": {"percent": percent}}}]);
    activity
}

/// What one piece for 10.00 costs somebody, in cents, once all instances know what was changed.
async fn costs(app: &App, user: Option<u64>) -> i64 {
    app.advance_time(KNOWN_MS);
    let lines = vec![line("x", 1, 1_000)];
    let cart = user.map_or_else(|| cart(lines.clone()), |user| cart_of(user, lines.clone()));
    total(&evaluate(&cart).of(app).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_holds_and_what_is_withdrawn_does_not() {
    for place in Place::all() {
        let app = app(&place).await;
        assert_eq!(costs(&app, None).await, 1_000);
        assert_eq!(saved(&app, "a", &percent_off(10)).await, 1);
        assert_eq!(costs(&app, None).await, 900);
        assert_eq!(saved(&app, "a", &percent_off(10)).await, 1, "the same again");
        assert_eq!(saved(&app, "a", &percent_off(20)).await, 2);
        assert_eq!(costs(&app, None).await, 800);
        let found = look("a").of(&app).await.json();
        let benefit = &found["definition"]["tiers"][0]["benefit"];
        assert_eq!(
            (&found["version"], &benefit["percent_off"]["percent"]),
            (&json!("2"), &json!(20))
        );
        for _ in 0..2 {
            assert_eq!(withdraw("a").of(&app).await.status, 204);
            assert_eq!(costs(&app, None).await, 1_000);
            assert_refused(&look("a").of(&app).await, 404, "unknown_activity");
        }
        assert_eq!(saved(&app, "a", &percent_off(20)).await, 3, "versions go on");
        assert_eq!(costs(&app, None).await, 800);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_holds_for_nobody_until_it_is_published() {
    for place in Place::all() {
        let app = app(&place).await;
        saved(&app, "a", &percent_off(10)).await;
        let draft = draft_saved(&app, "a", &percent_off(50)).await;
        assert_eq!(draft_saved(&app, "a", &percent_off(50)).await, draft, "the same again");
        assert_eq!((costs(&app, None).await, costs(&app, Some(7)).await), (900, 900));
        assert_eq!(version(&look_at_draft("a").of(&app).await), draft);
        assert_eq!(look("a").of(&app).await.json()["draft"], json!(draft.to_string()));
        for _ in 0..2 {
            assert_eq!(version(&publish("a", draft).of(&app).await), draft);
            assert_eq!(costs(&app, None).await, 500);
        }
        assert_refused(&look_at_draft("a").of(&app).await, 404, "unknown_draft");
        // A draft that is taken away leaves what is live as it was.
        draft_saved(&app, "a", &percent_off(70)).await;
        assert_eq!(roll_out("a", 100, &[]).of(&app).await.status, 200);
        assert_eq!(costs(&app, Some(7)).await, 300);
        assert_eq!(withdraw_draft("a").of(&app).await.status, 204);
        assert_eq!(costs(&app, Some(7)).await, 500);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_holds_for_those_it_is_rolled_out_to() {
    for place in Place::all() {
        let app = app(&place).await;
        for id in ["a", "b"] {
            draft_saved(&app, id, &percent_off(10)).await;
        }
        let rolled_out = async |percent: u8, users: &[u64]| {
            for id in ["a", "b"] {
                let reply = roll_out(id, percent, users).of(&app).await;
                assert_eq!(reply.status, 200, "{reply:?}");
            }
        };
        // Who is among 60 users; the same for both activities.
        let who = async || {
            app.advance_time(KNOWN_MS);
            let mut users = Vec::new();
            for user in 0..60 {
                let reply = evaluate(&cart_of(user, vec![line("x", 1, 1_000)])).of(&app).await;
                assert_eq!(code_of(&reply, "a"), code_of(&reply, "b"), "user {user}");
                users.extend(code_of(&reply, "a").map(|_| user));
            }
            users
        };
        let mut before = Vec::new();
        for percent in [0, 10, 40, 100] {
            rolled_out(percent, &[]).await;
            let users = who().await;
            assert!(before.iter().all(|user| users.contains(user)), "{before:?} {users:?}");
            assert!(before.len() < users.len() || percent == 0, "{percent} %: {users:?}");
            before = users;
        }
        assert_eq!(before.len(), 60);
        assert_eq!(costs(&app, None).await, 1_000, "nobody in particular is not asked");
        rolled_out(0, &[7, 9]).await;
        assert_eq!(who().await, [7, 9]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_shows_what_drafts_would_change() {
    for place in Place::all() {
        let app = app(&place).await;
        let of_sku = |sku: &str| activity_for(json!({"include": [{"skus": [sku]}]}));
        saved(&app, "a", &of_sku("x")).await;
        let mut draft = of_sku("x");
        draft["tiers"] = json!([{"benefit": {"amount_off": {"amount": 500}}}]);
        draft_saved(&app, "a", &draft).await;
        draft_saved(&app, "b", &of_sku("y")).await;
        saved(&app, "c", &of_sku("z")).await;
        let lines = ["x", "y", "z"].map(|sku| line(sku, 1, 1_000)).to_vec();
        let reply = compare(&cart(lines.clone())).of(&app).await;
        let body = reply.json();
        assert_eq!(
            (&body["live"]["total"], &body["draft"]["total"]),
            (&json!("2800"), &json!("2300"))
        );
        let lines_differ = json!([{"line": "x", "live": "900", "draft": "500"},
                                  {"line": "y", "live": "1000", "draft": "900"}]);
        assert_eq!(body["lines"], lines_differ, "{reply:?}");
        let activities_differ = json!([{"activity": "b", "live": null, "draft": "applied"}]);
        assert_eq!(body["activities"], activities_differ, "{reply:?}");
        assert_eq!(total(&evaluate(&cart(lines)).of(&app).await), 2_800, "nothing was published");
    }
}

/// Sends a part; how many parts are there then.
async fn part_sent(app: &App, part: u32, skus: &[&str]) -> Value {
    let reply = add_part("a", part, skus).of(app).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["received"].clone()
}

/// Which of these SKUs have 10 % off, once all instances know what was changed.
async fn reduced(app: &App, skus: &[&str]) -> Vec<String> {
    app.advance_time(KNOWN_MS);
    let lines = skus.iter().map(|sku| line(sku, 1, 1_000)).collect();
    let reply = evaluate(&cart(lines)).of(app).await.json();
    let lines = reply["lines"].as_array().expect("a list").iter();
    let reduced = lines.filter(|line| line["total"] == "900");
    reduced.filter_map(|line| line["line"].as_str()).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_skus_is_live_as_a_whole_and_its_successor_takes_its_place() {
    const ALL: [&str; 5] = ["p", "q", "r", "s", "t"];
    for place in Place::all() {
        let app = app(&place).await;
        let first = draft_saved(&app, "a", &activity_for_list("first", 3)).await;
        assert_eq!(part_sent(&app, 3, &["r"]).await, "1");
        for _ in 0..2 {
            assert_eq!(part_sent(&app, 1, &["p", "s"]).await, "2");
        }
        // Whoever was interrupted sends the draft again, and goes on.
        assert_eq!(draft_saved(&app, "a", &activity_for_list("first", 3)).await, first);
        assert_refused(&publish("a", first).of(&app).await, 409, "incomplete");
        assert_eq!(part_sent(&app, 2, &["q"]).await, "3");
        assert_eq!(reduced(&app, &ALL).await, [""; 0]);
        assert_eq!(publish("a", first).of(&app).await.status, 200);
        assert_eq!(reduced(&app, &ALL).await, ["p", "q", "r", "s"]);

        let second = draft_saved(&app, "a", &activity_for_list("second", 1)).await;
        assert_eq!(part_sent(&app, 1, &["r", "t"]).await, "1");
        assert_eq!(reduced(&app, &ALL).await, ["p", "q", "r", "s"]);
        assert_eq!(publish("a", second).of(&app).await.status, 200);
        let retired_ms = app.now_ms();
        assert_eq!(reduced(&app, &ALL).await, ["r", "t"]);

        // The old keys are in the index until nobody can be reading by them.
        let left = async || sweep_promotions().of(&app).await.json()["retiring"].clone();
        app.advance_time(retired_ms + KEEP_MS - 1 - app.now_ms());
        assert_eq!(
            (left().await, &look("a").of(&app).await.json()["retiring"]),
            (json!("1"), &json!(1))
        );
        app.advance_time(1);
        assert_eq!(
            (left().await, &look("a").of(&app).await.json()["retiring"]),
            (json!("0"), &json!(0))
        );
        assert_eq!(sweep_promotions().of(&app).await.json()["activities"], "0");
        assert_eq!(reduced(&app, &ALL).await, ["r", "t"]);
    }
}

/// Over for long it goes in steps, hours apart, and leaves a short record.
#[tokio::test(flavor = "multi_thread")]
async fn an_activity_that_is_over_for_long_is_sealed_and_its_name_never_comes_back() {
    for place in Place::all() {
        let app = app(&place).await;
        let mut body = percent_off(10);
        body["until"] = json!("2026-03-01T00:00:00Z");
        saved(&app, "a", &body).await;
        draft_saved(&app, "never", &percent_off(20)).await;
        assert_eq!(costs(&app, None).await, 900);
        // The 31st of May, 91 days later.
        app.advance_time(104 * DAY_MS);
        let mut steps = Vec::new();
        for _ in 0..6 {
            let swept = sweep_promotions().of(&app).await.json();
            assert_eq!((&swept["stuck"], &swept["has_more"]), (&json!("0"), &json!(false)));
            steps.push(swept["sealing"].clone());
            app.advance_time(HOUR_MS);
        }
        assert_eq!(steps, ["2", "0", "2", "2", "0", "0"]);
        for (id, name) in [("a", &body["name"]), ("never", &body["name"])] {
            let left = look(id).of(&app).await.json();
            assert_eq!((&left["version"], &left["sealed"]["name"]), (&json!("1"), name));
            assert_refused(&save(id, &percent_off(5)).of(&app).await, 409, "sealed");
            assert_refused(&save_draft(id, &percent_off(5)).of(&app).await, 409, "sealed");
        }
        assert_eq!(costs(&app, None).await, 1_000);
    }
}

/// Two hosts on one store: what one of them publishes the other one has to read. Instances keep what they
/// read for half a second.
async fn effective_everywhere(options: impl Fn() -> Options) {
    let (here, there) = (load(options()).await, load(options()).await);
    saved(&here, "a", &percent_off(10)).await;
    assert_eq!(costs(&there, None).await, 900);
    saved(&here, "a", &percent_off(20)).await;
    let start = Instant::now();
    while costs(&there, None).await != 800 {
        assert!(start.elapsed() < EFFECTIVE_WITHIN, "it costs what it did");
    }
    assert_eq!(withdraw("a").of(&here).await.status, 204);
    let start = Instant::now();
    while costs(&there, None).await != 1_000 {
        assert!(start.elapsed() < EFFECTIVE_WITHIN, "it costs what it did");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_effective_everywhere_within_a_second() {
    let place = Place::redis();
    effective_everywhere(|| place.options()).await;
    let folder = tempfile::tempdir().expect("a folder");
    effective_everywhere(|| {
        let mut options = Place::Kv.options();
        options.key_value = KeyValue::File(folder.path().to_owned());
        options
    })
    .await;
}
