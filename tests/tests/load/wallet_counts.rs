//! What wallets cost the store, exactly: round trips of each operation, and a backlog of a hundred thousand
//! tokens that settlement posts within its bound a call.

use binding::Binding;
use binding::redis::Redis;
use domain::ids::UserId;
use domain::partition::Partitions;
use domain::time::UnixMillis;
use domain::transaction::{Transaction, Value, Write};
use end_to_end::app::{Ask, Place, Reply, SIGNING_KEYS, assert_refused, load, not_loaded};
use end_to_end::coupon::set_up_scene;
use end_to_end::redis_port::NativeConnector;
use end_to_end::redis_server::RedisServer;
use end_to_end::wallet::{
    cents, open, open_rain, packet, packet_name, payload, post, rain_number, rain_set_up,
    rain_with, send, settle_users, statement, switch_posting, view,
};
use futures::future::try_join_all;
use host::{App, Call, Time, simulate};
use serde_json::json;
use wallet::keys::SigningKeys;
use wallet::{pending, records};

async fn done(app: &App, asked: &Ask) -> Reply {
    let reply = asked.of(app).await;
    assert!((200..300).contains(&reply.status), "{reply:?}");
    reply
}

/// Commands that a request sends, once the instance knows the store and the script.
async fn commands(app: &App, asked: &Ask) -> (u64, Reply) {
    let before = app.counters();
    let reply = asked.of(app).await;
    (app.counters().since(&before).of(Call::RedisExecute), reply)
}

/// In virtual time, so that what an instance knows is known throughout.
#[test]
fn operations_take_the_round_trips_that_they_promise() {
    let place = Place::Redis(RedisServer::start(&[]).expect("a server"));
    let mut options = place.options().variable("partitions", "4");
    // What Redis collects, by its own clock, is collected later.
    options.time = Time::Seeded { start_ms: 4_000_000_000_000 };
    simulate(options, |app| async move { count(app).await })
        .unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
}

async fn count(app: App) {
    rain_set_up(&app, "r", &rain_with("budget", json!("100000"))).await;
    let user = 7;
    let mut table = Vec::new();
    let mut row = |name: &'static str, counted: (u64, Reply), status: u16| {
        assert_eq!(counted.1.status, status, "{name}: {:?}", counted.1);
        table.push((name, counted.0));
    };
    done(&app, &open_rain(user, "r", "first")).await;
    row("rain, from a lease", commands(&app, &open_rain(user, "r", "a")).await, 201);
    row("rain, replayed", commands(&app, &open_rain(user, "r", "a")).await, 201);
    let hurried = json!({"award_type": "cash", "rate_limit": {"awards": 9, "seconds": 3_600}});
    done(&app, &set_up_scene("hurried", &hurried)).await;
    rain_set_up(&app, "h", &rain_with("scene", json!("hurried"))).await;
    done(&app, &open_rain(11, "h", "first")).await;
    row("rain, within a rate limit", commands(&app, &open_rain(11, "h", "a")).await, 201);
    row("rate limit, replayed", commands(&app, &open_rain(11, "h", "a")).await, 201);
    done(&app, &view(user)).await;
    row("view", commands(&app, &view(user)).await, 200);
    // To look, to post, and the view.
    row("post two tokens", commands(&app, &post(user)).await, 200);
    done(&app, &send(&packet(user, "p0", 100, 1))).await;
    // To look at the account, the sender's commit, the packet's.
    row("send", commands(&app, &send(&packet(user, "p", 30, 1))).await, 201);
    let name = packet_name(user, "p");
    row("open", commands(&app, &open(&name, 8)).await, 200);
    row("open, finished", commands(&app, &open(&name, 9)).await, 409);
    for (name, count) in &table {
        println!("{name}: {count} round trips");
    }
    let expected = [
        ("rain, from a lease", 1),
        ("rain, replayed", 1),
        ("rain, within a rate limit", 2),
        ("rate limit, replayed", 1),
        ("view", 1),
        ("post two tokens", 3),
        ("send", 3),
        ("open", 2),
        ("open, finished", 1),
    ];
    assert_eq!(table, expected);
}

/// So many users with so many tokens each.
const USERS: u64 = 10_000;
const TOKENS: u64 = 10;
/// Users that one call posts.
const BOUND: i64 = 1_000;
/// Commits at the same time.
const CONCURRENT: usize = 64;

/// Gives tokens past the app, as fast as the store takes them; none costs a budget.
async fn give(address: &str) {
    let connector = NativeConnector::default();
    let partitions = Partitions::default();
    let redis = Redis::new(&connector, vec![address.to_owned()], "hb", "live", partitions);
    let keys = SigningKeys::parse(SIGNING_KEYS, false).expect("keys");
    let grants: Vec<_> = (0..USERS * TOKENS)
        .map(|index| {
            let (user, number) =
                (index % USERS, rain_number(index % USERS, &format!("t{}", index / USERS)));
            let stored =
                keys.sign(&payload(user, &number, 5), "live").expect("a token").to_stored();
            let drawn = payload(user, &number, 5).open_time;
            let user = UserId(user);
            let (drawn, now) = (UnixMillis(drawn), UnixMillis(1_771_257_600_000));
            let writes = pending::writes(user, &number, stored, drawn, now).to_vec();
            let guards = pending::demands(user, &number).map(|(_, guard)| guard).to_vec();
            let transaction = Transaction { guards, writes, ..Transaction::default() };
            (partitions.locate(user).partition, transaction)
        })
        .collect();
    for part in grants.chunks(CONCURRENT) {
        let commits =
            part.iter().map(|(partition, transaction)| redis.commit(*partition, transaction));
        try_join_all(commits).await.expect("the store commits");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_posted_within_the_bound_of_each_call() {
    let place = Place::Redis(RedisServer::start(&[]).expect("a server"));
    let app = place.app().await;
    give(&place.address()).await;
    let whole = 5 * TOKENS as i64;
    let balance = async |user| cents(&done(&app, &view(user)).await, "balance");

    done(&app, &switch_posting(&json!({"mode": "off"}))).await;
    let reply = done(&app, &settle_users(BOUND)).await;
    let (all, said) = ((USERS * TOKENS) as i64, |name| cents(&reply, name));
    assert_eq!((said("tokens"), said("queued"), said("left")), (0, all, 0), "{reply:?}");
    assert_eq!(balance(7).await, whole);

    done(&app, &switch_posting(&json!({"mode": "queued"}))).await;
    let (mut calls, mut tokens, mut left) = (0, 0, all);
    while left > 0 {
        let reply = done(&app, &settle_users(BOUND)).await;
        let users = cents(&reply, "users");
        assert!((1..=BOUND).contains(&users), "{reply:?}");
        (calls, tokens) = (calls + 1, tokens + cents(&reply, "tokens"));
        left = all - tokens;
        assert_eq!((cents(&reply, "left"), cents(&reply, "queued")), (left, left), "{reply:?}");
        // Posted or not, nobody sees a difference.
        assert_eq!(balance(calls * 31).await, whole);
    }
    assert_eq!(tokens, (USERS * TOKENS) as i64);
    println!("{tokens} tokens of {USERS} users in {calls} calls");
    assert_refused(&settle_users(0).of(&app).await, 400, "invalid_value");
}

/// A cursor says how many entries there were on its first page; what was pending then is looked for among
/// those that came since, which must not become all that there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_is_too_old_is_refused_without_reading_entries() {
    let server = RedisServer::start(&[]).expect("a server");
    let place = Place::Redis(server);
    let partitions = Partitions::new(4).expect("a power of two");
    let connector = NativeConnector::default();
    let redis = Redis::new(&connector, vec![place.address()], "hb", "live", partitions);
    let app = load(place.options().variable("partitions", "4")).await;
    done(&app, &view(7)).await;
    let account = records::account(UserId(7));
    let entries = Write::Set(account, "s".into(), Value::Integer(2_001));
    let transaction = Transaction { writes: vec![entries], ..Transaction::default() };
    let home = partitions.locate(UserId(7)).partition;
    redis.commit(home, &transaction).await.expect("the store commits");
    let (count, reply) = commands(&app, &statement(7, "?cursor=20:0~1~a")).await;
    assert_refused(&reply, 400, "invalid_value");
    assert_eq!(reply.text("field").as_deref(), Some("cursor"), "{reply:?}");
    assert_eq!(count, 1);
}
