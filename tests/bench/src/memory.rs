//! What an id of an id set costs in a real Redis, for each kind of ids that users have. Prints a curve
//! and fails where a figure is above its limit.

use std::time::Instant;

use anyhow::{Result, ensure};
use binding::Binding;
use binding::redis::Redis;
use domain::ids::UserId;
use domain::paid::PaidMark;
use domain::partition::Partitions;
use domain::transaction::{Answer, Outcome, Transaction};
use end_to_end::redis_port::NativeConnector;
use end_to_end::redis_server::RedisServer;
use futures::{StreamExt, TryStreamExt, stream};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::command::Recorder;

/// Users that pay between two waves of commits, one commit a partition.
const WAVE: usize = 250_000;
/// Checks of which round trips are counted.
const CHECKS: usize = 1_000;
const PREFIX: &str = "hongbao";
const STAGE: &str = "live";
/// Commits under way.
const CONCURRENT: usize = 16;
const MILLION: usize = 1_000_000;
const SEED: u64 = 1;
/// Three years in milliseconds: in that time the users came.
const YEARS_MS: u64 = 3 * 365 * 86_400_000;

/// A kind of ids and what it may cost.
struct Kind {
    name: &'static str,
    ids: Vec<u64>,
    /// After how many ids to measure, and how many bytes an id may take by then.
    limits: Vec<(usize, f64)>,
}

/// Measures and prints: up to a million ids, or in full up to four, and 16 of snowflake.
///
/// # Errors
/// The server's; a figure that is above its limit.
pub async fn run(full: bool) -> Result<()> {
    let (dense_most, sparse_most) = if full { (4, 16) } else { (1, 1) };
    let mut random = StdRng::seed_from_u64(SEED);
    println!("\nIds in Redis:\n");
    println!(
        "| ids | number | bytes an id | resident bytes an id | keys | round trips a check | inserts a second |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let dense = |start: u64| (start..start + (dense_most * MILLION) as u64).collect::<Vec<_>>();
    let curve = |limit| match full {
        true => vec![(MILLION, limit), (4 * MILLION, limit)],
        false => vec![(MILLION, limit)],
    };
    let mut sparse = vec![(MILLION / 4, 12.0), (MILLION / 2, 12.0), (MILLION, 9.5)];
    sparse.extend([2, 4, 8, 16].map(|millions| (millions * MILLION, 12.0)));
    sparse.retain(|(count, _)| *count <= sparse_most * MILLION);
    let eight_digits = sample(&mut random, dense_most * MILLION, |random| {
        random.random_range(10_000_000..100_000_000)
    });
    let zero_bits = sample(&mut random, MILLION, |random| snowflake(random) >> 22 << 22);
    let snowflakes = sample(&mut random, sparse_most * MILLION, snowflake);
    let kinds = [
        Kind { name: "dense from 0", ids: dense(0), limits: curve(0.2) },
        Kind { name: "dense from 90,000,000", ids: dense(90_000_000), limits: curve(0.5) },
        Kind { name: "random, 8 digits", ids: eight_digits, limits: curve(12.0) },
        Kind { name: "snowflake, low bits 0", ids: zero_bits, limits: vec![(MILLION, 9.5)] },
        Kind { name: "snowflake", ids: snowflakes, limits: sparse },
    ];
    let mut above = Vec::new();
    for kind in kinds {
        above.extend(measure(kind).await?);
    }
    ensure!(above.is_empty(), "above the limit: {above:?}");
    Ok(())
}

/// Ids as Twitter's snowflake makes them: milliseconds, machine, and a number that begins anew with
/// each millisecond.
fn snowflake(random: &mut StdRng) -> u64 {
    let milliseconds = 60_000_000_000 + random.random_range(0..YEARS_MS);
    let machine = random.random_range(0..32_u64);
    let sequence = u64::from(random.random_range(0..4_u32) == 0);
    milliseconds << 22 | machine << 12 | sequence
}

/// Distinct ids in random order.
fn sample(random: &mut StdRng, count: usize, make: impl Fn(&mut StdRng) -> u64) -> Vec<u64> {
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.extend((ids.len()..count).map(|_| make(random)));
        ids.sort_unstable();
        ids.dedup();
    }
    ids.shuffle(random);
    ids
}

/// Prints the curve of one kind, and returns what is above its limit.
async fn measure(kind: Kind) -> Result<Vec<String>> {
    // Its log of slow commands would keep a part of the large transactions.
    let server = RedisServer::start(&["--slowlog-log-slower-than", "-1"])?;
    // What the server allocates once does not count: the script, and a histogram of latencies for
    // each command that it meets.
    insert(&server, &kind.ids[..WAVE]).await?;
    server.command::<()>(&["FLUSHALL"]).await?;
    let (used_before, resident_before) = (server.used_memory().await?, resident(&server).await?);
    let (mut done, mut above) = (0, Vec::new());
    for (count, limit) in kind.limits {
        let start = Instant::now();
        insert(&server, &kind.ids[done..count]).await?;
        let rate = (count - done) as f64 / start.elapsed().as_secs_f64();
        done = count;
        let bytes = (server.used_memory().await? - used_before) as f64 / count as f64;
        let resident =
            resident(&server).await?.saturating_sub(resident_before) as f64 / count as f64;
        let keys: u64 = server.command(&["DBSIZE"]).await?;
        let trips = round_trips(&server, &kind.ids[..count]).await?;
        println!(
            "| {} | {count} | {bytes:.3} | {resident:.3} | {keys} | {trips} | {rate:.0} |",
            kind.name
        );
        if bytes > limit {
            above.push(format!("{} at {count}: {bytes:.3} > {limit}", kind.name));
        }
    }
    Ok(above)
}

/// Marks users as paid, a wave after the other, with a connection that is closed afterwards.
async fn insert(server: &RedisServer, ids: &[u64]) -> Result<()> {
    let partitions = Partitions::default();
    let connector = NativeConnector::default();
    let back_end = Redis::new(&connector, vec![server.address()], PREFIX, STAGE, partitions);
    for wave in ids.chunks(WAVE) {
        let mut transactions = vec![Transaction::default(); partitions.count() as usize];
        let mut homes = vec![None; transactions.len()];
        for id in wave {
            let mark = PaidMark::of(UserId(*id), partitions);
            let index: usize = mark.partition().to_string().parse()?;
            homes[index] = Some(mark.partition());
            transactions[index].writes.push(mark.set());
        }
        let commits = homes
            .into_iter()
            .zip(&transactions)
            .filter_map(|(home, transaction)| Some((home?, transaction)));
        stream::iter(commits)
            .map(async |(home, transaction)| back_end.commit(home, transaction).await)
            .buffer_unordered(CONCURRENT)
            .try_for_each(async |outcome| {
                assert!(matches!(outcome, Outcome::Committed(_)), "nothing refuses a mark");
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// Round trips a check, over a sample of the ids, each of which is found.
async fn round_trips(server: &RedisServer, ids: &[u64]) -> Result<f64> {
    let partitions = Partitions::default();
    let recorder = Recorder::default();
    let back_end = Redis::new(&recorder, vec![server.address()], PREFIX, STAGE, partitions);
    let sample = ids.iter().step_by(ids.len().div_ceil(CHECKS));
    let checks = sample.len();
    for id in sample {
        let mark = PaidMark::of(UserId(*id), partitions);
        let transaction = Transaction { reads: vec![mark.read()], ..Transaction::default() };
        let outcome = back_end.commit(mark.partition(), &transaction).await?;
        ensure!(outcome == Outcome::Committed(vec![Answer::Contains(true)]), "{id} is lost");
    }
    Ok(recorder.executed() as f64 / checks as f64)
}

async fn resident(server: &RedisServer) -> Result<u64> {
    let memory: String = server.command(&["INFO", "memory"]).await?;
    let line = memory.lines().find_map(|line| line.strip_prefix("used_memory_rss:"));
    Ok(line.unwrap_or("0").trim().parse()?)
}
