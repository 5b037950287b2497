//! Requests a second of the check in the host, against a native server and a bare component that do
//! the same to Redis. They take turns, so that whatever else the machine does hits all of them; the
//! ratios are those of neighbours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use end_to_end::redis_server::RedisServer;
use hdrhistogram::Histogram;

use crate::command::Command;
use crate::load::{self, CONNECTIONS, Load, histogram, wire};
use crate::routes::{self, Route, USER};
use crate::{apps, native};

/// How long each contender runs before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// One of those that take turns.
pub struct Contender {
    name: &'static str,
    load: Load,
    /// A round each.
    pub rates: Vec<f64>,
    /// A round each.
    cpu_us: Vec<f64>,
    latencies: Histogram<u64>,
}

impl Contender {
    /// One that has not run yet.
    ///
    /// # Errors
    /// Of the histogram.
    pub fn new(name: &'static str, load: Load) -> Result<Self> {
        Ok(Self { name, load, rates: Vec::new(), cpu_us: Vec::new(), latencies: histogram()? })
    }

    async fn measure(&mut self, time: Duration) -> Result<()> {
        let measured = load::run(Load { time, ..self.load.clone() }).await?;
        self.rates.push(measured.rate);
        self.cpu_us.push(measured.cpu_us);
        self.latencies.add(measured.latencies)?;
        Ok(())
    }

    /// Its row.
    pub fn print(&self) {
        let [low, median, high] = spread(&self.rates);
        let ms = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1_000.0;
        let (p50, p99) = (ms(0.5), ms(0.99));
        let [_, cpu_us, _] = spread(&self.cpu_us);
        println!(
            "| {} | {median:.0} | {low:.0} to {high:.0} | {p50:.2} | {p99:.2} | {cpu_us:.0} |",
            self.name
        );
    }
}

/// Measures and prints.
///
/// # Errors
/// Something cannot be started, or an answer is wrong.
pub async fn run(rounds: u32, time: Duration) -> Result<()> {
    let redis = RedisServer::start(&[])?;
    let command = Command::of_check(&redis.address(), USER).await?;
    let app = apps::load(apps::on_redis(&redis.address(), &command)).await?;
    let server = app.serve().await?;
    let native = native::serve(&redis.address(), command).await?;
    let mut contenders = [
        Contender::new("check, in the host", load_of(&routes::CHECK, server.address))?,
        Contender::new("native: axum and redis", load_of(&routes::CHECK, native))?,
        Contender::new("bare component, in the host", load_of(&routes::BARE, server.address))?,
    ];
    take_turns(&mut contenders, rounds, time, true).await?;
    println!("\nThe check on Redis, {CONNECTIONS} connections, {rounds} rounds of {time:?}:\n");
    head();
    contenders.iter().for_each(Contender::print);
    let [check, native, bare] = &contenders;
    println!("\n| ratio, round by round | median | lowest to highest |\n| --- | --- | --- |");
    ratio("check / bare component", &check.rates, &bare.rates);
    ratio("check / native", &check.rates, &native.rates);
    ratio("check / bare component, CPU", &check.cpu_us, &bare.cpu_us);

    let folder = tempfile::tempdir()?;
    let key_value = apps::load(apps::on_key_value(folder.path())).await?;
    let key_value_server = key_value.serve().await?;
    let mut others = [
        Contender::new("check, key-value", load_of(&routes::CHECK, key_value_server.address))?,
        Contender::new("check of 1,000, Redis", load_of(&routes::CHECK_MANY, server.address))?,
        Contender::new(
            "check of 1,000, key-value",
            load_of(&routes::CHECK_MANY, key_value_server.address),
        )?,
        Contender::new("event order.paid, Redis", load_of(&routes::PAID, server.address))?,
        Contender::new(
            "event order.paid, key-value",
            load_of(&routes::PAID, key_value_server.address),
        )?,
    ];
    for other in &mut others {
        load::run(Load { time: WARM_UP, ..other.load.clone() }).await?;
        other.measure(time).await?;
    }
    println!(
        "\nOther routes, once {time:?} each (key-value: SQLite, as `cargo xtask up` has it):\n"
    );
    head();
    others.iter().for_each(Contender::print);
    server.stop().await;
    key_value_server.stop().await;
    Ok(())
}

/// The row of a ratio, round by round.
pub fn ratio(name: &str, one: &[f64], other: &[f64]) {
    let ratios: Vec<_> = one.iter().zip(other).map(|(one, other)| one / other).collect();
    let [low, median, high] = spread(&ratios);
    println!("| {name} | {median:.3} | {low:.3} to {high:.3} |");
}

/// Sees that all answer, and where they should the same; warms them up, and lets each measure in every
/// round.
///
/// # Errors
/// An answer is wrong.
pub async fn take_turns(
    contenders: &mut [Contender],
    rounds: u32,
    time: Duration,
    same: bool,
) -> Result<()> {
    let mut answer = None;
    for contender in &*contenders {
        let body = load::once(&contender.load).await?;
        let expected = answer.get_or_insert_with(|| body.clone());
        ensure!(!same || body == *expected, "{}: {}", contender.name, body.escape_ascii());
        load::run(Load { time: WARM_UP, ..contender.load.clone() }).await?;
    }
    for _ in 0..rounds {
        for contender in &mut *contenders {
            contender.measure(time).await?;
        }
    }
    Ok(())
}

/// The load of a route.
pub fn load_of(route: &Route, address: SocketAddr) -> Load {
    let ask = route.ask;
    let request = move || wire(&ask().request());
    let first = request();
    // What is always the same is made once.
    let fixed = request() == first;
    let request: Arc<dyn Fn() -> Bytes + Send + Sync> =
        if fixed { Arc::new(move || first.clone()) } else { Arc::new(request) };
    Load { address, request, status: route.status, time: Duration::ZERO }
}

/// The head of the table of contenders.
pub fn head() {
    println!("| what | requests/s, median | lowest to highest | p50, ms | p99, ms | CPU, us |");
    println!("| --- | --- | --- | --- | --- | --- |");
}

/// The lowest, the median and the highest.
fn spread(values: &[f64]) -> [f64; 3] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        0 => f64::midpoint(at(middle.wrapping_sub(1)), at(middle)),
        _ => at(middle),
    };
    [at(0), median, at(values.len().wrapping_sub(1))]
}
