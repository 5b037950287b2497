//! The Redis back end on a real cluster of three masters.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use binding::Binding;
use binding::redis::Redis;
use domain::ids::UserId;
use domain::partition::{Partition, Partitions};
use domain::transaction::{
    Answer, CommitError, Outcome, READ_FIELDS_MAX, Read, Transaction, Value, Write,
};
use end_to_end::conformance::{check, run};
use end_to_end::generator::Options;
use end_to_end::redis_port::NativeConnector;
use end_to_end::redis_server::RedisCluster;
use end_to_end::seed::seeds;
use tokio::runtime::Builder;

const USERS: u64 = 600;

fn back_end(connector: &NativeConnector, addresses: Vec<String>) -> Redis<&NativeConnector> {
    Redis::new(connector, addresses, "hongbao", "live", Partitions::default())
}

fn home(user: u64) -> Partition {
    Partitions::default().locate(UserId(user)).partition
}

fn set(map: &str) -> Transaction {
    let write = Write::Set(map.into(), "f".into(), Value::Integer(1));
    Transaction { writes: vec![write], ..Transaction::default() }
}

fn read(map: &str) -> Transaction {
    Transaction { reads: vec![Read::Size(map.into())], ..Transaction::default() }
}

fn sizes(size: u64) -> Result<Outcome, CommitError> {
    Ok(Outcome::Committed(vec![Answer::Size(size)]))
}

#[tokio::test]
async fn partitions_spread_over_all_masters_and_each_is_found_at_once() {
    let cluster = RedisCluster::start().await.unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, cluster.addresses());
    for user in 0..USERS {
        redis.commit(home(user), &set(&format!("user:{user}"))).await.unwrap();
    }
    let mut total = 0;
    for node in &cluster.nodes {
        let keys: u64 = node.command(&["DBSIZE"]).await.unwrap();
        assert!(keys > USERS / 6, "a master has {keys} of {USERS} users");
        total += keys;
        let stats: String = node.command(&["INFO", "errorstats"]).await.unwrap();
        assert!(!stats.contains("MOVED"), "slots were learnt: {stats}");
    }
    assert_eq!((total, connector.opened()), (USERS, 3));
}

/// Whoever is told of one node only is sent on by it.
#[tokio::test]
async fn a_single_address_of_a_cluster_is_enough() {
    let cluster = RedisCluster::start().await.unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, vec![cluster.nodes[1].address()]);
    for round in 0..2 {
        for user in 0..USERS {
            redis.commit(home(user), &set(&format!("user:{user}:{round}"))).await.unwrap();
        }
    }
    assert_eq!(connector.opened(), 3);
}

#[test]
fn a_cluster_answers_as_the_model() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let cluster = runtime.block_on(RedisCluster::start()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    for seed in seeds() {
        let options = Options {
            seed,
            transactions: 3_000,
            partitions: Partitions::default(),
            now_ms: i64::try_from(now.as_millis()).expect("it is before the year 292 million"),
            time_passes: false,
            page_entries_max: READ_FIELDS_MAX,
        };
        let report = check(&runtime, options, async |script| {
            for node in &cluster.nodes {
                node.command::<()>(&["FLUSHALL"]).await.unwrap();
            }
            let connector = NativeConnector::default();
            run(&back_end(&connector, cluster.addresses()), script).await
        });
        report.assert_varied();
    }
}

/// A slot moves to another master while it is in use, step by step as an operator's tool does it.
#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let cluster = RedisCluster::start().await.unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, cluster.addresses());
    let home = home(1);
    redis.commit(home, &set("here")).await.unwrap();
    let key = format!("hongbao:live:{{{home}}}:mhere");
    let slot: u16 = cluster.nodes[0].command(&["CLUSTER", "KEYSLOT", &key]).await.unwrap();
    let from = usize::from(slot) * 3 / 16_384;
    let to = (from + 1) % 3;
    let (from_id, to_id) = (cluster.id(from).await.unwrap(), cluster.id(to).await.unwrap());
    let (source, target) = (&cluster.nodes[from], &cluster.nodes[to]);
    let slot = slot.to_string();

    let importing = ["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id];
    target.command::<()>(&importing).await.unwrap();
    let migrating = ["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id];
    source.command::<()>(&migrating).await.unwrap();

    assert_eq!(redis.commit(home, &read("here")).await, sizes(1), "what is here is served here");
    redis.commit(home, &set("new")).await.unwrap();
    let keys = async |node: usize| {
        let all = ["CLUSTER", "GETKEYSINSLOT", &slot, "10"];
        cluster.nodes[node].command::<BTreeSet<String>>(&all).await.unwrap().len()
    };
    assert_eq!((keys(from).await, keys(to).await), (1, 1), "what is new is written there");

    let mut both = read("here");
    both.reads.push(Read::Size("new".into()));
    let error = redis.commit(home, &both).await.unwrap_err();
    assert!(matches!(error, CommitError::Unavailable(_)), "half here, half there: {error}");

    let port = target.port().to_string();
    source.command::<()>(&["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]).await.unwrap();
    assert_eq!(redis.commit(home, &read("here")).await, sizes(1), "it is asked for there");
    assert_eq!(redis.commit(home, &read("new")).await, sizes(1));

    for node in [target, source] {
        node.command::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await.unwrap();
    }
    let opened = connector.opened();
    for _ in 0..3 {
        let both = redis.commit(home, &both).await.unwrap();
        assert_eq!(both, Outcome::Committed(vec![Answer::Size(1), Answer::Size(1)]));
    }
    assert!(connector.opened() <= opened + 1, "the new place is remembered");
}

#[tokio::test]
async fn a_master_that_is_gone_takes_only_its_own_partitions_along() {
    let mut cluster = RedisCluster::start().await.unwrap();
    let connector = NativeConnector::default();
    let redis = back_end(&connector, cluster.addresses());
    let full: Vec<String> = cluster.addresses();
    for node in &cluster.nodes {
        let keep = ["CONFIG", "SET", "cluster-require-full-coverage", "no"];
        node.command::<()>(&keep).await.unwrap();
    }
    for user in 0..USERS {
        redis.commit(home(user), &set(&format!("user:{user}"))).await.unwrap();
    }
    let lost: u64 = cluster.nodes[0].command(&["DBSIZE"]).await.unwrap();
    cluster.nodes[0].kill();
    let mut unavailable = 0;
    for user in 0..USERS {
        match redis.commit(home(user), &read(&format!("user:{user}"))).await {
            Ok(outcome) => assert_eq!(outcome, Outcome::Committed(vec![Answer::Size(1)])),
            Err(CommitError::Unavailable(_)) => unavailable += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(unavailable, lost, "of {full:?}");
}
