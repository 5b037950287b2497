//! Issuing coupons: requests a second against a bare component that commits as much, what a coupon costs
//! the store, and what the pool sees.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use binding::Binding;
use binding::redis::Redis;
use coupons::context::Templates;
use coupons::issue::{Claim, Number, Recorded};
use coupons::publish::publish;
use coupons::refusal::Failure;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partitions;
use end_to_end::app::Ask;
use end_to_end::counted::Counted;
use end_to_end::coupon::{self as asking, template};
use end_to_end::native::context;
use end_to_end::redis_port::NativeConnector;
use end_to_end::redis_server::RedisServer;
use futures::future::try_join_all;
use serde_json::Value;

use crate::apps;
use crate::check::{Contender, head, load_of, ratio, take_turns};
use crate::command::Command;
use crate::routes::{self, USER};

/// The template of every measurement.
pub const TEMPLATE: &str = "bench";
/// Coupons that are never used up.
const STOCK: u64 = 100_000_000;
/// Coupons whose bytes are counted.
const COUPONS: u64 = 100_000;
/// Issues at the same time.
const CONCURRENT: u64 = 64;
/// One millisecond of snowflake ids.
const ID_STEP: u64 = 1 << 22;

/// Measures and prints.
///
/// # Errors
/// Something cannot be started, or an answer is wrong.
pub async fn run(rounds: u32, time: Duration) -> Result<()> {
    let redis = RedisServer::start(&[])?;
    publish_on(&redis.address()).await?;
    let command = Command::of_issue(&redis.address(), USER).await?;
    let app = apps::load(apps::on_redis(&redis.address(), &command)).await?;
    let server = app.serve().await?;
    let mut contenders = [
        Contender::new("issue, in the host", load_of(&routes::ISSUE, server.address))?,
        Contender::new(
            "bare component, in the host",
            load_of(&routes::BARE_ISSUE, server.address),
        )?,
    ];
    take_turns(&mut contenders, rounds, time, false).await?;
    println!("\nIssuing on Redis, {rounds} rounds of {time:?}:\n");
    head();
    contenders.iter().for_each(Contender::print);
    let [issue, bare] = &contenders;
    println!("\n| ratio, round by round | median | lowest to highest |\n| --- | --- | --- |");
    ratio("issue / bare component", &issue.rates, &bare.rates);
    server.stop().await;
    store().await
}

/// What coupons cost the store, and its pool.
async fn store() -> Result<()> {
    println!("\n| {COUPONS} coupons on Redis | bytes a coupon | commits a coupon | of the pool |");
    println!("| --- | --- | --- | --- |");
    for each in [1, 10] {
        let server = RedisServer::start(&[])?;
        publish_on(&server.address()).await?;
        let partitions = Partitions::default();
        let connector = NativeConnector::default();
        let redis = Redis::new(&connector, vec![server.address()], "hb", "live", partitions);
        let store = Counted::new(redis);
        let templates = Templates::default();
        let before = server.used_memory().await?;
        for first in (0..COUPONS).step_by(CONCURRENT as usize) {
            let claims = (first..COUPONS.min(first + CONCURRENT)).map(|number| {
                let user = USER + number / each * ID_STEP;
                claim(user, &format!("n{}", number % each))
            });
            let claims: Vec<_> = claims.collect::<Result<_>>()?;
            let issued =
                try_join_all(claims.iter().map(|claim| issue(&store, &templates, claim))).await;
            ensure!(issued.is_ok(), "{issued:?}");
        }
        let bytes = server.used_memory().await? - before;
        let commits = store.commits();
        let pool = partitions.of_configuration(&format!("pool:{TEMPLATE}"));
        let total: u64 = commits.values().sum();
        let of_pool = commits.get(&pool).copied().unwrap_or_default();
        let part = |count: u64| count as f64 / COUPONS as f64;
        println!(
            "| {each} a user | {:.0} | {:.3} | {:.4} |",
            part(bytes),
            part(total),
            part(of_pool)
        );
    }
    Ok(())
}

/// The template of the measurements.
pub fn plenty() -> Value {
    let mut body = template(STOCK);
    body["limit_per_user"] = 500.into();
    body
}

/// Publishes the template of the measurements, past the app.
///
/// # Errors
/// The store's.
pub async fn publish_on(address: &str) -> Result<()> {
    let connector = NativeConnector::default();
    let partitions = Partitions::default();
    let redis = Redis::new(&connector, vec![address.to_owned()], "hb", "live", partitions);
    let templates = Templates::default();
    let mut body = template(STOCK);
    body["limit_per_user"] = 500.into();
    let context = context(&redis, &templates, lease::SHARE);
    let published = publish(&context, TEMPLATE, &serde_json::from_value(body)?).await;
    ensure!(published.is_ok(), "{published:?}");
    Ok(())
}

/// Issues past the app, by the function's own code.
///
/// # Errors
/// A refusal, or the store's.
pub async fn issue<B: Binding>(
    store: &B,
    templates: &Templates,
    claim: &Claim,
) -> Result<Recorded, Failure> {
    Box::pin(coupons::issue::issue(&context(store, templates, lease::SHARE), claim)).await
}

/// Asks for a coupon of the template.
///
/// # Errors
/// The number is none.
pub fn claim(user: u64, number: &str) -> Result<Claim> {
    Ok(Claim {
        user: UserId(user),
        number: Number::Given(OrderNumber::parse(number, "order_number")?),
        ordered_at: None,
        template: TEMPLATE.to_owned(),
        segments: Vec::new(),
        hold_ms: None,
    })
}

/// Asks for a coupon of the template over HTTP.
pub fn ask(user: u64) -> Ask {
    asking::issue(user, TEMPLATE, "n")
}

/// Asks for one more coupon of the template over HTTP.
pub fn ask_again(user: u64) -> Ask {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    asking::issue(user, TEMPLATE, &format!("n{number}"))
}
