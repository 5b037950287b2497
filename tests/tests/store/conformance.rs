//! Every back end gives the answers of the reference model, to generated transactions.

use std::time::{SystemTime, UNIX_EPOCH};

use binding::Binding;
use binding::kv::Kv;
use binding::memory::Memory;
use binding::redis::Redis;
use domain::partition::{Partition, Partitions};
use domain::transaction::{CommitError, Outcome, READ_FIELDS_MAX, Transaction, Write};
use end_to_end::conformance::{check, find, run};
use end_to_end::generator::Options;
use end_to_end::key_value::Store;
use end_to_end::redis_port::NativeConnector;
use end_to_end::redis_server::RedisServer;
use end_to_end::seed::seeds;
use proptest::test_runner::TestError;
use tokio::runtime::{Builder, Runtime};

/// For each seed and each number of partitions; all together more than the 10,000 that are demanded.
const TRANSACTIONS: u32 = 6_000;
/// Transactions that remain of those.
const REMAINING_MAX: usize = 20;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn layouts() -> impl Iterator<Item = Options> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let now_ms = i64::try_from(now.as_millis()).expect("it is before the year 292 million");
    let options = move |seed, count| Options {
        seed,
        transactions: TRANSACTIONS,
        partitions: Partitions::new(count).expect("a power of two"),
        now_ms,
        time_passes: false,
        page_entries_max: READ_FIELDS_MAX,
    };
    seeds().into_iter().flat_map(move |seed| [1, 256, 4_096].map(|count| options(seed, count)))
}

#[test]
fn memory_answers_as_itself() {
    for options in layouts() {
        let options = Options { time_passes: true, ..options };
        check(&runtime(), options, async |script| run(&Memory::new(), script).await)
            .assert_varied();
    }
}

/// Removes larger ids from another set than it should.
struct Forgetful(Memory);

impl Binding for Forgetful {
    async fn commit(
        &self,
        partition: Partition,
        transaction: &Transaction,
    ) -> Result<Outcome, CommitError> {
        let mut transaction = transaction.clone();
        for write in &mut transaction.writes {
            if let Write::Remove(set, 1_000..) = write {
                *set = "another set".into();
            }
        }
        self.0.commit(partition, &transaction).await
    }
}

/// Of thousands of transactions those remain that put an id there and remove it: two, and now and then a few.
#[test]
fn a_difference_is_found_and_shrinks_to_what_matters() {
    for options in layouts() {
        let test = async |script: &_| run(&Forgetful(Memory::new()), script).await;
        let Err(TestError::Fail(_, script)) = find(&runtime(), options, test) else {
            panic!("nothing was found: {options:?}");
        };
        assert!(script.transactions.len() <= REMAINING_MAX, "{script:#?}");
        let writes = || script.transactions.iter().flat_map(|(_, transaction)| &transaction.writes);
        let inserts =
            |id: &u64| writes().any(|w| matches!(w, Write::Insert(_, other) if other == id));
        let removes =
            |write: &Write| matches!(write, Write::Remove(_, id @ 1_000..) if inserts(id));
        assert!(writes().any(removes), "{script:#?}");
    }
}

#[test]
fn key_value_answers_as_the_model() {
    for options in layouts() {
        let options = Options { time_passes: true, ..options };
        let report = check(&runtime(), options, async |script| {
            let store = Store::new(options.seed);
            let port = store.port();
            let report = run(&Kv::new(&port, "hongbao", "live"), script).await?;
            let is_cell = |key: &String| key.matches(':').count() == 2;
            let (cells, blobs): (Vec<_>, Vec<_>) = store.keys().into_iter().partition(is_cell);
            assert_eq!(cells.len(), blobs.len(), "one blob for each cell, and no garbage");
            Ok(report)
        });
        report.assert_varied();
    }
}

#[test]
fn redis_answers_as_the_model() {
    for options in layouts() {
        let server = RedisServer::start(&[]).unwrap();
        let report = check(&runtime(), options, async |script| {
            server.command::<()>(&["FLUSHALL"]).await.unwrap();
            let connector = NativeConnector::default();
            let addresses = vec![server.address()];
            let back_end = Redis::new(&connector, addresses, "hongbao", "live", options.partitions);
            let report = run(&back_end, script).await?;
            assert_eq!(connector.opened(), 1);
            Ok(report)
        });
        report.assert_varied();
    }
}
