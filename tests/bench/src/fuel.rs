//! WebAssembly instructions and store round trips of one request of each route, and the sizes of the
//! components. Each is the second request of its instance: the first one reads the configuration and
//! opens the connection.

use anyhow::{Result, ensure};
use end_to_end::coupon::published;
use end_to_end::redis_server::RedisServer;
use host::{App, Options};

use crate::apps;
use crate::command::Command;
use crate::issue::{TEMPLATE, plenty};
use crate::routes::{ALL, BARE, Route, USER};

/// Measures and prints.
///
/// # Errors
/// Something cannot be started, or an answer has the wrong status.
pub async fn run() -> Result<()> {
    let redis = RedisServer::start(&[])?;
    let folder = tempfile::tempdir()?;
    let command = Command::of_check(&redis.address(), USER).await?;
    let counted = async |options| apps::load(Options { fuel: true, ..options }).await;
    let on_redis = counted(apps::on_redis(&redis.address(), &command)).await?;
    let on_key_value = counted(apps::on_key_value(folder.path())).await?;
    for app in [&on_redis, &on_key_value] {
        published(app, TEMPLATE, &plenty()).await;
    }
    println!("\nOne request in a warm instance:\n");
    println!(
        "| route | fuel on Redis | store round trips | fuel on key-value | store round trips |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for route in &ALL {
        let (fuel, trips) = second(&on_redis, route).await?;
        let (key_value_fuel, key_value_trips) = second(&on_key_value, route).await?;
        let name = route.name;
        println!("| {name} | {fuel} | {trips} | {key_value_fuel} | {key_value_trips} |");
    }
    let (fuel, trips) = second(&on_redis, &BARE).await?;
    println!("| {} | {fuel} | {trips} | | |", BARE.name);

    println!("\n| component | built file, bytes | as a component, bytes |\n| --- | --- | --- |");
    for (id, file_bytes, component_bytes) in apps::sizes()? {
        println!("| {id} | {file_bytes} | {component_bytes} |");
    }
    Ok(())
}

/// Fuel and store round trips of the second of two requests.
async fn second(app: &App, route: &Route) -> Result<(u64, u64)> {
    let mut before = app.counters();
    for _ in 0..2 {
        before = app.counters();
        let response = app.request((route.ask)().request()).await;
        let body = response.body().escape_ascii();
        ensure!(response.status() == route.status, "{}: {} {body}", route.name, response.status());
    }
    let used = app.counters().since(&before);
    Ok((used.fuel, used.store_round_trips()))
}
