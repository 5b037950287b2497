//! Every back end gives the answers of the reference model, to generated transactions.

use std::time::{SystemTime, UNIX_EPOCH};

use binding::kv::Kv;
use binding::memory::Memory;
use binding::redis::Redis;
use domain::partition::Partitions;
use end_to_end::conformance::run;
use end_to_end::generator::Options;
use end_to_end::key_value::Store;
use end_to_end::redis_port::NativeConnector;
use end_to_end::redis_server::RedisServer;
use end_to_end::seed::seeds;

/// For each seed and each number of partitions; all together more than the 10,000 that are demanded.
const TRANSACTIONS: u32 = 6_000;

fn layouts() -> impl Iterator<Item = Options> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let now_ms = i64::try_from(now.as_millis()).expect("it is before the year 292 million");
    let options = move |seed, count| Options {
        seed,
        transactions: TRANSACTIONS,
        partitions: Partitions::new(count).expect("a power of two"),
        now_ms,
        time_passes: false,
    };
    seeds().into_iter().flat_map(move |seed| [1, 256, 4_096].map(|count| options(seed, count)))
}

#[tokio::test]
async fn memory_answers_as_itself() {
    for options in layouts() {
        run(&Memory::new(), Options { time_passes: true, ..options }).await.assert_varied();
    }
}

#[tokio::test]
async fn key_value_answers_as_the_model() {
    for options in layouts() {
        let store = Store::new(options.seed);
        let port = store.port();
        let back_end = Kv::new(&port, "hongbao", "live");
        run(&back_end, Options { time_passes: true, ..options }).await.assert_varied();
        let is_cell = |key: &String| key.matches(':').count() == 2;
        let (cells, blobs): (Vec<_>, Vec<_>) = store.keys().into_iter().partition(is_cell);
        assert_eq!(cells.len(), blobs.len(), "one blob for each cell, and no garbage");
    }
}

#[tokio::test]
async fn redis_answers_as_the_model() {
    for options in layouts() {
        let server = RedisServer::start(&[]).unwrap();
        let connector = NativeConnector::default();
        let addresses = vec![server.address()];
        let back_end = Redis::new(&connector, addresses, "hongbao", "live", options.partitions);
        run(&back_end, options).await.assert_varied();
        assert_eq!(connector.opened(), 1);
    }
}
