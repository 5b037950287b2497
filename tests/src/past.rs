//! What tests write into a store past the app: what only long times would bring about.

use binding::Binding;
use binding::redis::Redis;
use domain::partition::{Partition, Partitions};
use domain::transaction::{Transaction, Write};

use crate::redis_port::NativeConnector;

/// The prefix of keys of the app whose store is written to.
pub const PREFIX: &str = "past";

/// Writes into one partition of a store whose app has the variable `key_prefix` [`PREFIX`], and as many partitions as by
/// default.
///
/// # Panics
/// The store does not commit it.
pub async fn write(address: String, partition: Partition, writes: Vec<Write>) {
    let connector = NativeConnector::default();
    let partitions = Partitions::default();
    let redis = Redis::new(&connector, vec![address], PREFIX, "live", partitions);
    let transaction = Transaction { writes, ..Transaction::default() };
    redis.commit(partition, &transaction).await.expect("the store commits");
}
