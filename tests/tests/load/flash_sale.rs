//! A flash sale over sockets, on a real Redis: exactly what there is is given, to the last coupon,
//! whatever is lost on the way; nobody is told that nothing is left while something is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use end_to_end::app::{Place, Reply, load};
use end_to_end::client::Client;
use end_to_end::coupon::{Stock, cancel, issue, look, published, reserve, template};
use host::{App, Call, Faults, Server};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const CLIENTS: u64 = 64;
/// Attempts until an answer must be there.
const ATTEMPTS_MAX: u32 = 100;

/// What a wave over all partitions found counts for a second, or for twice as long as it took (`lease`); and what a busy
/// machine adds to it.
const FREE_WITHIN: Duration = Duration::from_millis(1_500);

/// How often each answer was given: an outcome, or the code of a refusal.
type Answers = BTreeMap<String, u64>;

/// The app on a Redis that loses some of its replies.
async fn serve(place: &Place, lost_reply: f64) -> (App, Server) {
    let mut options = place.options();
    options.faults =
        Faults { seed: 7, calls: vec![Call::RedisExecute], lost_reply, ..Faults::default() };
    let app = load(options).await;
    let listening = app.serve().await.expect("a free port on loopback");
    (app, listening)
}

#[track_caller]
fn answer(reply: &Reply) -> String {
    let name = if reply.status == 201 { "outcome" } else { "code" };
    reply.text(name).unwrap_or_else(|| panic!("{reply:?}"))
}

/// Users one after the other, each asked for by one of the clients.
async fn sale(
    listening: &Server,
    requests: u64,
    user: impl Fn(u64) -> u64 + Send + Sync + 'static,
) -> Answers {
    let next = Arc::new(AtomicU64::new(0));
    let user = Arc::new(user);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (next, user) = (Arc::clone(&next), Arc::clone(&user));
        let client = Client::new(listening.address);
        clients.spawn(async move {
            let mut answers = Answers::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return answers;
                }
                let reply = client.until_answered(&issue(user(number), "t", "n")).await;
                *answers.entry(answer(&reply)).or_default() += 1;
            }
        });
    }
    let mut all = Answers::new();
    for answers in clients.join_all().await {
        for (answer, count) in answers {
            *all.entry(answer).or_default() += count;
        }
    }
    all
}

/// Ids of which neighbours lie far apart.
fn snowflake(number: u64) -> u64 {
    (155_000_000_000 + number * 7) << 22
}

async fn exactly(body: Value, requests: u64, given: u64, refused: &str) {
    let place = Place::redis();
    let (app, listening) = serve(&place, 0.1).await;
    until_published(&app, &body).await;
    let answers = sale(&listening, requests, snowflake).await;
    println!("{requests} requests for {given}: {answers:?}");
    assert_eq!(answers.get("issued"), Some(&given), "{answers:?}");
    assert_eq!(answers.get(refused), Some(&(requests - given)), "{answers:?}");
    let client = Client::new(listening.address);
    let stock = Stock::of(&client.until_answered(&look("t")).await);
    assert_eq!((stock.issued, stock.reserved), (given as i64, 0), "{stock:?}");
    assert_eq!((stock.leased, stock.remaining), (0, 0), "{stock:?}");
    listening.stop().await;
}

async fn until_published(app: &App, body: &Value) {
    for _ in 0..ATTEMPTS_MAX {
        if end_to_end::coupon::publish("t", body).of(app).await.status == 200 {
            return;
        }
    }
    panic!("not published in {ATTEMPTS_MAX} attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_of_fifty_thousand() {
    exactly(template(10_000), 50_000, 10_000, "sold_out").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_of_fifty_thousand() {
    exactly(template(10), 50_000, 10, "sold_out").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_does_not_divide_evenly() {
    let mut body = template(100_000);
    body["budget"] = json!((1_500 * 1_234 + 1_499).to_string());
    exactly(body, 10_000, 1_234, "budget_exhausted").await;
}

/// Spread over the partitions evenly, and so that one of them has half of all.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_stranded_however_requests_are_spread() {
    let even: fn(u64) -> u64 = |number| number;
    let uneven: fn(u64) -> u64 = |number| if number % 2 == 0 { number << 8 } else { number };
    for user in [even, uneven] {
        let place = Place::redis();
        let (app, listening) = serve(&place, 0.0).await;
        published(&app, "t", &template(10_000)).await;
        let answers = sale(&listening, 10_500, user).await;
        println!("{answers:?}");
        assert_eq!(answers.get("issued"), Some(&10_000), "{answers:?}");
        assert_eq!(answers.get("sold_out"), Some(&500), "{answers:?}");
        let stock = Stock::of(&look("t").of(&app).await);
        assert_eq!(stock.issued, 10_000, "{stock:?}");
        listening.stop().await;
    }
}

/// One in five reservations is cancelled, while others ask and when nobody does. Whoever is told
/// `sold_out` asks again, and gets a coupon within a second as long as one is free; on a slow machine within twice
/// the time of the slowest request, which looks for it everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_is_free_within_a_second() {
    const STOCK: u64 = 2_000;
    const USERS: u64 = 3_000;
    let place = Place::redis();
    let (app, listening) = serve(&place, 0.0).await;
    published(&app, "t", &template(STOCK)).await;
    let mut clients = JoinSet::new();
    for first in 0..CLIENTS {
        let client = Client::new(listening.address);
        clients.spawn(async move {
            let mut held = Vec::new();
            for number in (first..USERS).step_by(CLIENTS as usize) {
                let user = snowflake(number);
                let reply = client.until_answered(&reserve(user, "t", "n", 3_600)).await;
                match answer(&reply).as_str() {
                    "reserved" if number % 5 == 0 => put_back(&client, user).await,
                    "reserved" => held.push(user),
                    "sold_out" => {}
                    other => panic!("{other}"),
                }
            }
            held
        });
    }
    let mut held: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    let client = Client::new(listening.address);
    let one_in_five = held.split_off(held.len() * 4 / 5);
    assert!(one_in_five.len() as u64 > STOCK / 6, "{} go back", one_in_five.len());
    for user in one_in_five {
        put_back(&client, user).await;
    }
    let start = Instant::now();
    let (mut number, mut refused, mut slowest) = (held.len() as u64, 0, Duration::ZERO);
    while number < STOCK {
        let (user, asked) = (snowflake(USERS + number), Instant::now());
        let reply = client.until_answered(&reserve(user, "t", "n", 3_600)).await;
        slowest = slowest.max(asked.elapsed());
        match answer(&reply).as_str() {
            "reserved" => number += 1,
            answer => {
                assert_eq!(answer, "sold_out");
                let within = FREE_WITHIN + slowest * 2;
                assert!(start.elapsed() < within, "{number} of {STOCK}: {reply:?}");
                refused += 1;
            }
        }
    }
    println!("{} found in {:?}, {refused} refused", STOCK - held.len() as u64, start.elapsed());
    let reply = client.until_answered(&reserve(1, "t", "n", 3_600)).await;
    assert_eq!(answer(&reply), "sold_out");
    let stock = Stock::of(&look("t").of(&app).await);
    assert_eq!((stock.reserved, stock.leased, stock.remaining), (STOCK as i64, 0, 0), "{stock:?}");
    listening.stop().await;
}

async fn put_back(client: &Client, user: u64) {
    let reply = client.until_answered(&cancel(user, "n")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}
