//! The store goes away under load and comes back: killed, and frozen. Every request is answered, and
//! rightly, or with a 503 in time; what was acknowledged is still there afterwards; and the host is
//! never restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use end_to_end::app::{Ask, CALLER, Place, check, load, order_paid};
use end_to_end::client;
use end_to_end::redis_server::RedisServer;
use host::{App, Server};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

const CLIENTS: u64 = 16;
const STORE_TIMEOUT: Duration = Duration::from_millis(500);
/// A machine with two cores that also runs the store and the clients may be this late.
const MARGIN: Duration = Duration::from_millis(1_500);
/// What a test waits for comes within milliseconds, or within the time-out of the store.
const PATIENCE: Duration = Duration::from_secs(30);
/// Right answers before the store goes away, and after it has come back.
const ANSWERS: u64 = 300;
/// Failures to wait for: each client meets some.
const FAILURES: u64 = 4 * CLIENTS;

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    right: watch::Sender<u64>,
    failed: watch::Sender<u64>,
    slowest_us: AtomicU64,
}

/// Waits until so many more were counted.
async fn more(count: &watch::Sender<u64>, number: u64, clients: &mut JoinSet<Client>) {
    let mut counted = count.subscribe();
    let enough = *counted.borrow() + number;
    tokio::select! {
        reached = timeout(PATIENCE, counted.wait_for(|count| *count >= enough)) => {
            reached.expect("what is waited for comes in time").expect("it is still counted");
        }
        Some(ended) = clients.join_next() => {
            panic!("a client has ended: {:?}", ended.map(|client| client.number));
        }
    }
}

/// One client, and how many of its users were acknowledged.
struct Client {
    number: u64,
    acknowledged: u64,
}

/// Tells that the client's next user paid until it is acknowledged, then asks for that user and for
/// one who never pays.
async fn client(number: u64, address: String, seen: Arc<Seen>) -> Client {
    let http = client::Client::new(address);
    let mut client = Client { number, acknowledged: 0 };
    while !seen.stop.load(Ordering::Relaxed) {
        let user = user(number, client.acknowledged);
        for (asked, new) in
            [(order_paid(user), None), (check(user), Some(false)), (check(user + 1), Some(true))]
        {
            loop {
                let start = Instant::now();
                let reply = http.send(&asked).await;
                let took = start.elapsed();
                seen.slowest_us.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
                assert!(took < STORE_TIMEOUT + MARGIN, "{took:?}: {reply:?}");
                reply.assert_well_formed();
                match (reply.status, new) {
                    (204, None) => break,
                    (200, Some(new)) => {
                        assert_eq!(reply.is_new(), new, "{reply:?}");
                        break;
                    }
                    _ => reply.assert_store_failed(),
                }
                seen.failed.send_modify(|count| *count += 1);
                if seen.stop.load(Ordering::Relaxed) {
                    return client;
                }
            }
            seen.right.send_modify(|count| *count += 1);
        }
        client.acknowledged += 1;
    }
    client
}

/// Every second number, so that the neighbour never pays.
fn user(client: u64, number: u64) -> u64 {
    (client << 40) | (number << 1)
}

/// A server that has on its disk what it acknowledged, as a store of payments should.
fn durable() -> RedisServer {
    RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"])
        .unwrap_or_else(|error| panic!("{error:#}; run `cargo xtask test`, which sets it up"))
}

async fn serve(server: &RedisServer) -> (App, Server) {
    let options = Place::Kv.options();
    let options = options
        .variable("store", server.address())
        .variable("store_timeout_ms", STORE_TIMEOUT.as_millis().to_string());
    let app = load(options).await;
    let listening = app.serve().await.expect("a free port on loopback");
    (app, listening)
}

/// Runs the clients while `outage` takes the store away and brings it back.
async fn under_load(
    mut server: RedisServer,
    down: impl Fn(&mut RedisServer),
    up: impl Fn(&mut RedisServer),
) {
    let (app, listening) = serve(&server).await;
    let seen = Arc::new(Seen::default());
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(number, listening.address.to_string(), Arc::clone(&seen)));
    }
    for _ in 0..2 {
        more(&seen.right, ANSWERS, &mut clients).await;
        down(&mut server);
        more(&seen.failed, FAILURES, &mut clients).await;
        up(&mut server);
        more(&seen.right, ANSWERS, &mut clients).await;
    }
    seen.stop.store(true, Ordering::Relaxed);
    let clients = clients.join_all().await;
    let slowest = Duration::from_micros(seen.slowest_us.load(Ordering::Relaxed));
    let failed = *seen.failed.borrow();
    let total: u64 = clients.iter().map(|client| client.acknowledged).sum();
    println!("{total} users acknowledged, {failed} answers 503, the slowest after {slowest:?}");
    for client in clients {
        for index in 0..client.acknowledged {
            let user = user(client.number, index);
            assert!(!check(user).of(&app).await.is_new(), "user {user} was forgotten");
        }
    }
    let log = app.stderr();
    assert!(!log.contains("instance failed") && !log.contains("panic"), "{log}");
    listening.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_killed_under_load_is_right_again_when_it_is_back() {
    under_load(
        durable(),
        |server| server.kill(),
        |server| server.start_again().expect("it starts"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_frozen_under_load_is_right_again_when_it_thaws() {
    under_load(
        durable(),
        |server| server.freeze().expect("it runs"),
        |server| server.thaw().expect("it is frozen"),
    )
    .await;
}

/// Nothing ever listened there.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_there_is_a_503_and_health_says_so() {
    let mut server = durable();
    server.kill();
    let (app, listening) = serve(&server).await;
    let http = client::Client::new(listening.address);
    for asked in [check(1), order_paid(1)] {
        let reply = http.send(&asked).await;
        reply.assert_store_failed();
        assert_eq!(reply.text("code").as_deref(), Some("store_unavailable"), "{reply:?}");
        assert!(!reply.body.windows(CALLER.len()).any(|part| part == CALLER.as_bytes()));
    }
    let health = http.send(&Ask::get("/healthz")).await;
    assert_eq!((health.status, health.text("store")), (503, Some("unavailable".to_owned())));
    server.start_again().expect("it starts");
    assert!(check(1).of(&app).await.is_new());
    listening.stop().await;
}
