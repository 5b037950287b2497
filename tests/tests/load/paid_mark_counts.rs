//! What a request costs, as the host counts it: in steady state one store round trip a check or a
//! mark, one a partition for a batch and all of them at once, and one connection an instance.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::ids::UserId;
use domain::partition::Partitions;
use end_to_end::app::{
    Ask, Place, check, check_many, load, mark_paid, not_loaded, order_paid, root,
};
use futures::future::join_all;
use host::{App, Call, Counters, Faults, Options, simulate};
use http::Method;
use tokio::task::JoinSet;

/// Users of a batch, and one more user.
const USERS: u64 = 1_000;
/// A user for whom both the store and the instance have been warmed up.
const WARM: u64 = 652_024_209_997_893_632;
/// Requests that one instance answers at a time.
const CONCURRENT: u64 = 16;

/// Asks, demands success, and gives what it cost.
async fn cost(app: &App, ask: Ask) -> Counters {
    let before = app.counters();
    let reply = ask.of(app).await;
    assert!(matches!(reply.status, 200 | 204), "{reply:?}");
    app.counters().since(&before)
}

async fn is_new(app: &App, user: u64) -> bool {
    check(user).of(app).await.is_new()
}

/// Brings both components of the app into their steady state.
async fn warm_up(app: &App) {
    for ask in [order_paid(WARM), check(WARM), order_paid(WARM), check(WARM)] {
        cost(app, ask).await;
    }
}

fn partitions_of(users: &[u64]) -> u64 {
    let partition = |user: &u64| Partitions::default().locate(UserId(*user)).partition;
    users.iter().map(partition).collect::<BTreeSet<_>>().len() as u64
}

/// Snowflake ids, as many as a batch may have.
fn batch() -> Vec<u64> {
    (0..USERS).map(|number| (155_000_000_000 + number * 7) << 22).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_redis_a_request_is_one_round_trip_a_partition() {
    let place = Place::redis();
    let app = place.app().await;
    warm_up(&app).await;
    let (batch, partitions) = (batch(), partitions_of(&batch()));
    assert!((200..=256).contains(&partitions), "the batch is spread: {partitions}");
    let import = || Ask::new(Method::PUT, "/v1/users/import").json(r#"{"complete": true}"#);
    let table = [
        ("check", check(1), 1),
        ("check, paid", check(WARM), 1),
        ("check, unknown=ask", Ask::get("/v1/users/1/new?unknown=ask"), 2),
        ("order.paid", order_paid(2), 1),
        ("order.paid again", order_paid(2), 1),
        ("mark-paid of one", mark_paid(&[3]), 1),
        ("mark-paid of 1,000", mark_paid(&batch), partitions),
        ("check-new of one", check_many(&[4]), 1),
        ("check-new of 1,000", check_many(&batch), partitions),
        ("import", import().operator(), 1),
    ];
    for (name, ask, expected) in table {
        let cost = cost(&app, ask).await;
        assert_eq!(cost.of(Call::RedisExecute), expected, "{name}: {cost:?}");
        assert_eq!(cost.store_round_trips(), expected, "{name}: {cost:?}");
        assert_eq!(cost.of(Call::RedisOpen), 0, "{name}: {cost:?}");
    }
}

/// Every call is late by up to a second of virtual time: one after the other would take minutes.
#[test]
fn the_round_trips_of_a_batch_are_made_at_once() {
    const DELAY_MS_MAX: u64 = 1_000;
    let place = Place::redis();
    let mut options = place.options();
    options.faults = Faults {
        calls: vec![Call::RedisExecute],
        delay_after: 1.0,
        delay_ms_max: DELAY_MS_MAX,
        ..Faults::default()
    };
    let simulated = simulate(options, |app| async move {
        warm_up(&app).await;
        for ask in [mark_paid(&batch()), check_many(&batch())] {
            cost(&app, check(WARM)).await;
            let before_ms = app.now_ms();
            let cost = cost(&app, ask).await;
            assert_eq!(cost.of(Call::RedisExecute), partitions_of(&batch()));
            let took_ms = app.now_ms() - before_ms;
            assert!(took_ms <= DELAY_MS_MAX, "{took_ms} ms");
            assert!(took_ms > DELAY_MS_MAX / 2, "the delays were real: {took_ms} ms");
        }
    });
    simulated.unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
}

/// The server stands still while they come, so that all of them are under way at once. On one thread,
/// so that the instance has come to rest before the next request comes: one that finds it at work
/// starts another instance, as in Spin.
#[tokio::test]
async fn one_connection_is_kept_by_an_instance_and_shared_by_16_requests_at_once() {
    let place = Place::redis();
    let Place::Redis(server) = &place else { unreachable!("it is a server") };
    let mut options = place.options().variable("store_timeout_ms", "30000");
    // A slow machine must not end the instance between two rounds.
    options.reuse.idle = Duration::from_secs(600);
    let app = load(options).await;
    cost(&app, check(WARM)).await;
    let warm = app.counters();
    assert_eq!((warm.instances, warm.of(Call::RedisOpen)), (1, 1));
    for round in 0..3 {
        let before = app.counters();
        server.freeze().expect("it runs");
        let mut asked = JoinSet::new();
        for number in 1..=CONCURRENT {
            let one = app.clone();
            asked.spawn(async move { is_new(&one, round * CONCURRENT + number).await });
            let sent = || app.counters().since(&before).of(Call::RedisExecute);
            while sent() < number {
                assert!(asked.try_join_next().is_none(), "nobody answers while it stands still");
                tokio::task::yield_now().await;
            }
        }
        server.thaw().expect("it is frozen");
        assert!(asked.join_all().await.into_iter().all(|new| new));
        let cost = app.counters().since(&before);
        assert_eq!((cost.instances, cost.of(Call::RedisOpen)), (0, 0), "round {round}: {cost:?}");
        assert_eq!(cost.of(Call::RedisExecute), CONCURRENT, "round {round}");
    }
    let clients: String = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).await.unwrap();
    // The test's own, and the instance's.
    assert_eq!(clients.lines().count(), 2, "{clients}");
}

/// Cold, and all at once: however many instances the host starts, none opens a second connection.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_first_requests_open_one_connection_an_instance() {
    let place = Place::redis();
    let app = place.app().await;
    for round in 1..=3 {
        let asked = join_all((0..4 * CONCURRENT).map(|user| is_new(&app, user)));
        assert!(asked.await.into_iter().all(|new| new));
        let counted = app.counters();
        let opened = counted.of(Call::RedisOpen);
        assert!((1..=counted.instances).contains(&opened), "round {round}: {counted:?}");
    }
}

fn counting(place: &Place) -> Options {
    Options { fuel: true, ..place.options() }
}

/// Figures to look at; what they must be is only that they are.
#[tokio::test(flavor = "multi_thread")]
async fn fuel_and_host_calls_of_each_route() {
    assert!(root().join("spin.toml").exists());
    for place in Place::all() {
        let app = load(counting(&place)).await;
        for _ in 0..2 {
            warm_up(&app).await;
            cost(&app, mark_paid(&batch())).await;
            cost(&app, check_many(&batch())).await;
            cost(&app, Ask::get("/healthz")).await;
        }
        let routes = [
            ("GET /v1/users/{user}/new", check(1)),
            ("POST /v1/users/check-new, 1,000", check_many(&batch())),
            ("POST /v1/users/mark-paid, 1,000", mark_paid(&batch())),
            ("GET /v1/users/import", Ask::get("/v1/users/import").operator()),
            ("POST /v1/events", order_paid(5)),
            ("POST /v1/events, again", order_paid(5)),
            ("GET /healthz", Ask::get("/healthz")),
            ("GET /openapi.json", Ask::get("/openapi.json")),
        ];
        println!("{:<6}{:<34}{:>12}{:>12}{:>12}", "store", "route", "fuel", "host calls", "trips");
        for (route, ask) in routes {
            let cost = cost(&app, ask).await;
            assert!(cost.fuel > 0, "{route}");
            let (calls, trips) = (cost.host_calls(), cost.store_round_trips());
            println!("{:<6}{route:<34}{:>12}{calls:>12}{trips:>12}", place.name(), cost.fuel);
        }
    }
}
