//! A Redis that freezes and one that dies, under load: every answer is right or a coded 503 in time,
//! nothing that was acknowledged is lost while the server lives, and the app goes on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use end_to_end::app::{Ask, Place, Reply, check, load, order_paid};
use host::App;

/// Clients at the same time: as many as one instance serves, twice over.
const CLIENTS: u64 = 32;
/// After this time a commit counts as unanswered.
const TIMEOUT_MS: u64 = 300;
/// Far beyond the time-outs that one request can meet one after the other (to open a connection, to
/// check the store's layout, to commit), and far below what a request that hangs would take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Answers of a kind that are waited for at each step.
const ANSWERS: u64 = 200;
/// When a step counts as failed.
const STEP_MAX: Duration = Duration::from_secs(60);

/// What the clients have seen so far.
#[derive(Default)]
struct Seen {
    right: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

impl Seen {
    fn take(&self, ask: &Ask, reply: &Reply, took: Duration) {
        assert!(took < ANSWER_MAX, "{ask:?} took {took:?}: {reply:?}");
        match reply.status {
            200 | 204 => self.right.fetch_add(1, Ordering::Relaxed),
            _ => {
                reply.assert_store_failed();
                self.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }

    /// Waits until there are more answers of a kind.
    async fn more(&self, count: &AtomicU64) {
        let (goal, start) = (count.load(Ordering::Relaxed) + ANSWERS, Instant::now());
        while count.load(Ordering::Relaxed) < goal {
            assert!(start.elapsed() < STEP_MAX, "the answers that were waited for do not come");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Marks and checks user after user; gives those whose mark was acknowledged.
async fn client(app: App, number: u64, seen: Arc<Seen>) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    for round in 0_u64.. {
        if seen.stop.load(Ordering::Relaxed) {
            break;
        }
        let user = (number << 40) + round;
        for ask in [order_paid(user), check(user)] {
            let start = Instant::now();
            let reply = ask.of(&app).await;
            seen.take(&ask, &reply, start.elapsed());
            if reply.status == 204 {
                acknowledged.push(user);
            }
            if reply.status == 200 && acknowledged.last() == Some(&user) {
                assert!(!reply.is_new(), "user {user} was marked");
            }
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_a_503_in_time_and_loses_nothing() {
    let place = Place::redis();
    let Place::Redis(server) = &place else { unreachable!("it was asked for") };
    let app = load(place.options().variable("store_timeout_ms", TIMEOUT_MS.to_string())).await;
    let seen = Arc::new(Seen::default());
    let start = |number| tokio::spawn(client(app.clone(), number, Arc::clone(&seen)));
    let clients: Vec<_> = (0..CLIENTS).map(start).collect();
    for _ in 0..2 {
        seen.more(&seen.right).await;
        server.freeze().unwrap();
        seen.more(&seen.failed).await;
        server.thaw().unwrap();
    }
    seen.more(&seen.right).await;
    seen.stop.store(true, Ordering::Relaxed);
    for client in clients {
        for user in client.await.unwrap() {
            assert!(!check(user).of(&app).await.is_new(), "the mark of {user} was acknowledged");
        }
    }
}

/// A server without persistence forgets all; the mark that a client set right before may be gone, so
/// that only users of after its return are asked about.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_died_is_a_503_and_found_again() {
    let mut place = Place::redis();
    let app = load(place.options().variable("store_timeout_ms", TIMEOUT_MS.to_string())).await;
    let Place::Redis(server) = &mut place else { unreachable!("it was asked for") };
    let seen = Arc::new(Seen::default());
    let load = |number| {
        let (app, seen) = (app.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            for round in 0_u64.. {
                if seen.stop.load(Ordering::Relaxed) {
                    break;
                }
                let user = (number << 40) + round;
                for ask in [order_paid(user), check(user)] {
                    let start = Instant::now();
                    let reply = ask.of(&app).await;
                    seen.take(&ask, &reply, start.elapsed());
                }
            }
        })
    };
    let clients: Vec<_> = (1..=CLIENTS).map(load).collect();
    for _ in 0..2 {
        seen.more(&seen.right).await;
        server.kill();
        seen.more(&seen.failed).await;
        server.start_again().unwrap();
    }
    seen.more(&seen.right).await;
    seen.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    for user in 0..100 {
        assert!(check(user).of(&app).await.is_new());
        assert_eq!(order_paid(user).of(&app).await.status, 204);
        assert!(!check(user).of(&app).await.is_new());
    }
}
