//! No hot key: how the load of a sale lies on the partitions, the pool's included, and what the size of
//! a lease trades for it. The function's own code, natively, on a real Redis.

use std::cell::Cell;
use std::collections::BTreeMap;

use binding::redis::Redis;
use coupons::context::Templates;
use coupons::issue::{Claim, Number, issue};
use coupons::publish::{look, publish};
use coupons::refusal::{Failure, Refusal};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::{Partition, Partitions};
use end_to_end::counted::Counted;
use end_to_end::coupon::template;
use end_to_end::native::context;
use end_to_end::redis_port::NativeConnector;
use end_to_end::redis_server::RedisServer;
use futures::future::join_all;

/// Clients at the same time, each an instance of its own.
const INSTANCES: u64 = 64;
/// Requests of an instance's life, after which another one begins without knowing anything.
const LIFE: u64 = 128;

/// What a sale did.
struct Sale {
    given: u64,
    refused: u64,
    /// By partition; the users' and those of configuration.
    commits: BTreeMap<Partition, u64>,
    /// Commits in the pool's.
    of_pool: u64,
    /// Coupons that lay in leases when half of the stock was given.
    leased: i64,
}

/// Sells a stock to its last coupon, to users one after the other.
async fn sell(stock: u64, share: i64) -> Sale {
    let server = RedisServer::start(&[]).expect("`cargo xtask test` sets it up");
    let partitions = Partitions::default();
    let connector = NativeConnector::default();
    let store = Redis::new(&connector, vec![server.address()], "hb", "live", partitions);
    let store = Counted::new(store);
    let templates = Templates::default();
    let body = serde_json::from_value(template(stock)).expect("a template");
    publish(&context(&store, &templates, share), "t", &body).await.expect("it is published");

    let (next, given, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let leased = Cell::new(0);
    let instance = async || {
        loop {
            let templates = Templates::default();
            for _ in 0..LIFE {
                let number = next.replace(next.get() + 1);
                let claim = Claim {
                    user: UserId((155_000_000_000 + number * 7) << 22),
                    number: Number::Given(OrderNumber::parse("n", "").expect("a number")),
                    ordered_at: None,
                    template: "t".to_owned(),
                    segments: vec![],
                    hold_ms: None,
                };
                // Boxed, because the compiler follows types only so deep.
                match Box::pin(issue(&context(&store, &templates, share), &claim)).await {
                    Ok(_) => given.set(given.get() + 1),
                    Err(Failure::Refused(Refusal::SoldOut)) => {
                        refused.set(refused.get() + 1);
                        return;
                    }
                    Err(failure) => panic!("{failure:?}"),
                }
                if given.get() == stock / 2 {
                    let context = context(&store, &templates, share);
                    leased.set(look(&context, "t").await.expect("it is there").2.leased);
                }
            }
        }
    };
    join_all((0..INSTANCES).map(|_| instance())).await;
    let commits = store.commits();
    let of_pool = commits[&context(&store, &templates, share).pool("t")];
    Sale { given: given.get(), refused: refused.get(), commits, of_pool, leased: leased.get() }
}

#[tokio::test]
async fn the_busiest_partition_has_at_most_three_times_the_mean() {
    let stock = 1_000_000;
    let sale = sell(stock, lease::SHARE).await;
    assert_eq!((sale.given, sale.refused), (stock, INSTANCES));
    let users: Vec<_> = Partitions::default().all().map(|one| sale.commits[&one]).collect();
    let mean = users.iter().sum::<u64>() as f64 / users.len() as f64;
    println!("commits by partition of users: {users:?}");
    for (partition, commits) in sale.commits.iter().filter(|(_, commits)| **commits > 10_000) {
        println!("{partition}: {commits}");
    }
    let (partition, busiest) = sale.commits.iter().max_by_key(|(_, commits)| **commits).unwrap();
    let ratio = *busiest as f64 / mean;
    println!("mean {mean:.0}; pool {}; busiest {partition}: {busiest}, {ratio:.2}", sale.of_pool);
    assert!(ratio <= 3.0, "{partition} has {ratio} times the mean");
    let total: u64 = sale.commits.values().sum();
    let each = total as f64 / stock as f64;
    println!("{each:.4} commits a coupon");
    // Reads of the template and leases included, the last one of which is a single coupon.
    assert!(each <= 1.1, "{each} commits a coupon");
}

/// A smaller part makes more leases; a larger one lays up more in partitions, where it has to be called
/// back from if others need it first.
#[tokio::test]
async fn the_size_of_a_lease_trades_the_pools_load_for_stock_laid_up() {
    println!("| part | commits in the pool | in leases when half of 50,000 is given |");
    println!("| --- | --- | --- |");
    let (mut loads, mut leased) = (Vec::new(), Vec::new());
    for share in [1, 2, 4, 8, 16] {
        let sale = sell(50_000, share).await;
        println!("| 1/{share} | {} | {} |", sale.of_pool, sale.leased);
        loads.push(sale.of_pool);
        leased.push(sale.leased);
    }
    assert!(loads.is_sorted(), "smaller leases are more leases: {loads:?}");
    assert!(leased.iter().rev().is_sorted(), "larger leases lay up more: {leased:?}");
}
