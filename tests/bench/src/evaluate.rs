//! Evaluating carts: requests a second and fuel at 1, 20 and 200 lines, against the check, which is a
//! request without a cart.

use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::carts::{cart, evaluate, of_number, publish};
use end_to_end::redis_server::RedisServer;
use host::{App, Options};

use crate::apps;
use crate::check::{Contender, head, load_of, ratio, take_turns};
use crate::command::Command;
use crate::routes::{self, Route, USER};

/// Activities that name something in a cart of 20 lines or more.
const ACTIVITIES: usize = 25;

const ONE: Route = Route { name: "1 line", ask: || evaluate(&cart(1)), status: 200 };
const TWENTY: Route = Route { name: "20 lines", ask: || evaluate(&cart(20)), status: 200 };
const FULL: Route = Route { name: "200 lines", ask: || evaluate(&cart(200)), status: 200 };

/// Measures and prints.
///
/// # Errors
/// Something cannot be started, or an answer is wrong.
pub async fn run(rounds: u32, time: Duration) -> Result<()> {
    let redis = RedisServer::start(&[])?;
    let command = Command::of_check(&redis.address(), USER).await?;
    let app = apps::load(apps::on_redis(&redis.address(), &command)).await?;
    for number in 0..ACTIVITIES {
        let reply = publish(&format!("a{number}"), &of_number(number)).of(&app).await;
        ensure!(reply.status == 200, "{reply:?}");
    }
    let counted = Options { fuel: true, ..apps::on_redis(&redis.address(), &command) };
    let counted = apps::load(counted).await?;
    println!("\nEvaluation on Redis, {ACTIVITIES} live activities:\n");
    println!("| cart | fuel | bytes of the answer |\n| --- | --- | --- |");
    for route in [&ONE, &TWENTY, &FULL] {
        let (fuel, bytes) = fuel(&counted, route).await?;
        println!("| {} | {fuel} | {bytes} |", route.name);
    }

    let server = app.serve().await?;
    let contender = |route: &Route| Contender::new(route.name, load_of(route, server.address));
    let mut contenders =
        [contender(&ONE)?, contender(&TWENTY)?, contender(&FULL)?, contender(&routes::CHECK)?];
    take_turns(&mut contenders, rounds, time, false).await?;
    println!("\n{rounds} rounds of {time:?}:\n");
    head();
    contenders.iter().for_each(Contender::print);
    let [one, twenty, full, check] = &contenders;
    println!("\n| ratio, round by round | median | lowest to highest |\n| --- | --- | --- |");
    ratio("1 line / check", &one.rates, &check.rates);
    ratio("20 lines / check", &twenty.rates, &check.rates);
    ratio("200 lines / check", &full.rates, &check.rates);
    Ok(())
}

/// Of an instance that knows the activities.
async fn fuel(app: &App, route: &Route) -> Result<(u64, usize)> {
    let ask = (route.ask)();
    ask.of(app).await;
    let before = app.counters();
    let reply = ask.of(app).await;
    ensure!(reply.status == route.status, "{reply:?}");
    Ok((app.counters().since(&before).fuel, reply.body.len()))
}
