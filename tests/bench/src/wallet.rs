//! Wallets: packets of a rain, openings of group packets and views, a second and in fuel, against the check;
//! and how fast settlement posts a backlog.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use end_to_end::app::Ask;
use end_to_end::redis_server::RedisServer;
use end_to_end::wallet::{self as asking, cents, rain_between, rain_with, set_up_rain};
use futures::future::join_all;
use host::{App, Options};
use serde_json::json;

use crate::apps;
use crate::check::{Contender, head, load_of, ratio, take_turns};
use crate::command::Command;
use crate::routes::{self, Route, USER};

/// Cents that are never used up.
const BUDGET: i64 = 1_000_000_000_000;
/// One millisecond of snowflake ids.
const ID_STEP: u64 = 1 << 22;
/// Packets that are sent before, each of as many parts as one may have.
const PACKETS: u64 = 700;
const PARTS: u64 = wallet::split::COUNT_MAX as u64;
/// Who sends them.
const SENDER: u64 = 7;
/// Who has ten tokens that are not posted, and who has as many as one may have.
const SOME: u64 = USER + ID_STEP;
const MANY: u64 = USER + 2 * ID_STEP;
/// Users of the backlog, and tokens of each.
const USERS: u64 = 10_000;
const TOKENS: u64 = 10;
/// Requests at the same time while something is prepared.
const AT_ONCE: u64 = 64;

const GRANT: Route = Route { name: "packet of a rain", ask: grant, status: 201 };
const AGAIN: Route = Route { name: "packet of a rain", ask: grant_again, status: 201 };
const OPEN: Route = Route { name: "open a group packet", ask: open, status: 200 };
const NONE: Route =
    Route { name: "view, nothing pending", ask: || asking::view(USER), status: 200 };
const TEN: Route = Route { name: "view, 10 pending", ask: || asking::view(SOME), status: 200 };
const FULL: Route = Route { name: "view, 1,000 pending", ask: || asking::view(MANY), status: 200 };

/// A packet of a rain for a user who has had none.
fn grant() -> Ask {
    static NEXT: AtomicU64 = AtomicU64::new(1_000);
    let user = USER + NEXT.fetch_add(1, Ordering::Relaxed) * ID_STEP;
    asking::open_rain(user, "bench", "a")
}

/// Another packet for one user, whose partition has a lease.
fn grant_again() -> Ask {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    asking::open_rain(SENDER, "bench", &format!("g{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// The next part of the packets that were sent.
fn open() -> Ask {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let packet = asking::packet_name(SENDER, &format!("p{}", next / PARTS % PACKETS));
    asking::open(&packet, USER + (1_000_000 + next) * ID_STEP)
}

/// Measures and prints.
///
/// # Errors
/// Something cannot be started, or an answer is wrong.
pub async fn run(rounds: u32, time: Duration) -> Result<()> {
    let redis = RedisServer::start(&[])?;
    let command = Command::of_check(&redis.address(), USER).await?;
    let app = apps::load(apps::on_redis(&redis.address(), &command)).await?;
    prepare(&app).await?;
    let counted = Options { fuel: true, ..apps::on_redis(&redis.address(), &command) };
    let counted = apps::load(counted).await?;
    println!("\nWallets on Redis:\n");
    println!("| request | fuel | store round trips | bytes of the answer |");
    println!("| --- | --- | --- | --- |");
    for route in [&AGAIN, &OPEN, &NONE, &TEN, &FULL] {
        print_cost(&counted, route).await?;
    }

    let server = app.serve().await?;
    let contender = |route: &Route| Contender::new(route.name, load_of(route, server.address));
    let mut contenders = [
        contender(&GRANT)?,
        contender(&OPEN)?,
        contender(&NONE)?,
        contender(&TEN)?,
        contender(&FULL)?,
        contender(&routes::CHECK)?,
    ];
    take_turns(&mut contenders, rounds, time, false).await?;
    println!("\n{rounds} rounds of {time:?}:\n");
    head();
    contenders.iter().for_each(Contender::print);
    let (check, others) = contenders.split_last().expect("there are some");
    println!("\n| ratio, round by round | median | lowest to highest |\n| --- | --- | --- |");
    let names =
        ["grant / check", "open / check", "view / check", "view 10 / check", "view 1,000 / check"];
    for (name, other) in names.into_iter().zip(others) {
        ratio(name, &other.rates, &check.rates);
    }
    server.stop().await;
    settlement().await
}

/// Sets up rains, sends packets, and gives two users tokens.
async fn prepare(app: &App) -> Result<()> {
    let large = BUDGET / 1_000;
    let mut rich = rain_with("amounts", json!({ "fixed": large.to_string() }));
    rich["budget"] = json!(BUDGET.to_string());
    rich["single_cap"] = json!(large.to_string());
    rich["activity"] = json!("rich");
    ask_all(
        app,
        vec![
            set_up_rain("bench", &rain_between(BUDGET, 1, 500)),
            set_up_rain("rich", &rich),
            asking::switch_posting(&json!({"mode": "off"})),
        ],
        200..=200,
    )
    .await?;
    ask_all(app, vec![asking::open_rain(SENDER, "rich", "a")], 201..=201).await?;
    let packet = |number: u64| {
        asking::send(&asking::packet(
            SENDER,
            &format!("p{number}"),
            100 * PARTS as i64,
            PARTS as u32,
        ))
    };
    for number in 0..PACKETS {
        // One after the other: they are all one account's.
        ask_all(app, vec![packet(number)], 201..=201).await?;
    }
    let of = |user: u64, count: u64| {
        (0..count).map(move |number| asking::open_rain(user, "bench", &format!("t{number}")))
    };
    ask_all(app, of(SOME, 10).chain(of(MANY, 1_000)).collect(), 201..=201).await
}

/// Asks some at a time.
async fn ask_all(app: &App, asks: Vec<Ask>, status: std::ops::RangeInclusive<u16>) -> Result<()> {
    for part in asks.chunks(AT_ONCE as usize) {
        for reply in join_all(part.iter().map(|ask| ask.of(app))).await {
            ensure!(status.contains(&reply.status), "{reply:?}");
        }
    }
    Ok(())
}

/// Of an instance that knows the rain, in a partition that has a lease.
async fn print_cost(app: &App, route: &Route) -> Result<()> {
    const TIMES: u64 = 16;
    let mut least = None;
    for _ in 0..TIMES {
        let before = app.counters();
        let reply = (route.ask)().of(app).await;
        ensure!(reply.status == route.status, "{reply:?}");
        let counters = app.counters().since(&before);
        let cost = (counters.fuel, counters.store_round_trips(), reply.body.len());
        least = Some(least.map_or(cost, |least: (u64, u64, usize)| least.min(cost)));
    }
    let (fuel, trips, bytes) = least.expect("it was asked");
    println!("| {} | {fuel} | {trips} | {bytes} |", route.name);
    Ok(())
}

/// A backlog, posted call by call.
async fn settlement() -> Result<()> {
    let redis = RedisServer::start(&[])?;
    let command = Command::of_check(&redis.address(), USER).await?;
    let app = apps::load(apps::on_redis(&redis.address(), &command)).await?;
    ask_all(&app, vec![set_up_rain("bench", &rain_between(BUDGET, 1, 500))], 200..=200).await?;
    let asks = (0..USERS * TOKENS).map(|number| {
        let user = USER + number % USERS * ID_STEP;
        asking::open_rain(user, "bench", &format!("t{}", number / USERS))
    });
    ask_all(&app, asks.collect(), 201..=201).await?;
    println!("\n| settlement, users a call | calls | tokens | tokens a second | slowest call |");
    println!("| --- | --- | --- | --- | --- |");
    let (begin, mut tokens, mut calls, mut slowest) = (Instant::now(), 0, 0, Duration::ZERO);
    loop {
        let call = Instant::now();
        let reply = asking::settle_users(1_000).of(&app).await;
        // Each call gets further, so that this ends.
        ensure!(reply.status == 200 && cents(&reply, "users") > 0, "{reply:?}");
        slowest = slowest.max(call.elapsed());
        tokens += cents(&reply, "tokens");
        calls += 1;
        if cents(&reply, "left") == 0 {
            break;
        }
    }
    let rate = tokens as f64 / begin.elapsed().as_secs_f64();
    println!("| 1,000 | {calls} | {tokens} | {rate:.0} | {slowest:.0?} |");
    ensure!(tokens == (USERS * TOKENS) as i64, "{tokens} tokens were posted");
    Ok(())
}
