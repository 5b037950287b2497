//! The steps of both channels, each a transaction in the pool or in a partition. Pure.

use domain::partition::Partition;
use domain::transaction::{Field, Guard, MapKey, Read, Transaction, Value, Write};

use crate::record::{CREDITED, LEFT, Lease, RETURNED};
use crate::{Place, demand};

/// When the last one began to call back, in unix milliseconds.
pub(crate) const RECALLED_AT: &str = "recalled";
/// Which of those has come to its end.
pub(crate) const RECALL_DONE: &str = "done";
/// Units that the pool may still lease out. Whoever sets up a budget adds them.
pub const FREE: &str = "free";
/// 1 once any unit was leased out.
pub const LEASED: &str = "leased";

/// The pool's count of what it credited to a partition.
pub fn credited(partition: Partition) -> Field {
    Field(format!("{CREDITED}{partition}").into_bytes())
}

/// The pool's count of what a partition returned.
pub fn returned(partition: Partition) -> Field {
    Field(format!("{RETURNED}{partition}").into_bytes())
}

/// The pool's first step of a lease.
pub(crate) fn take(
    place: &Place,
    partition: Partition,
    credited_now: i64,
    size: i64,
    free: i64,
) -> Transaction {
    let pool = &place.pool;
    let [behind, ahead] = demand(pool, &credited(partition), credited_now);
    Transaction {
        guards: vec![behind, ahead, Guard::IntegerAtLeast(pool.clone(), FREE.into(), free)],
        writes: vec![
            Write::Add(pool.clone(), credited(partition), size),
            Write::Add(pool.clone(), FREE.into(), -size),
            Write::Set(pool.clone(), LEASED.into(), Value::Integer(1)),
        ],
        reads: vec![Read::Fields(
            pool.clone(),
            vec![FREE.into(), RECALLED_AT.into(), RECALL_DONE.into(), credited(partition)],
        )],
        ..Transaction::default()
    }
}

/// Where the pool has forgotten what it credited: it is raised to what the partition has.
pub(crate) fn remember_credited(
    place: &Place,
    partition: Partition,
    pool: i64,
    now: i64,
) -> Transaction {
    let record = &place.pool;
    Transaction {
        guards: demand(record, &credited(partition), pool).to_vec(),
        writes: vec![
            Write::Add(record.clone(), credited(partition), now - pool),
            Write::Add(record.clone(), FREE.into(), pool - now),
        ],
        ..Transaction::default()
    }
}

/// The partition's step of both channels: takes what the pool credited, and gives back `back`.
/// `forgotten` of it the pool has already, and it cannot be kept.
pub(crate) fn settle(
    record: &MapKey,
    lease: &Lease,
    credited_now: i64,
    back: i64,
    forgotten: i64,
) -> Transaction {
    let mut guards = demand(record, &CREDITED.into(), lease.credited).to_vec();
    guards.extend(demand(record, &RETURNED.into(), lease.returned));
    let kept = credited_now - lease.credited - back;
    if forgotten == 0 {
        // Another commit may have taken units in between.
        guards.push(Guard::IntegerAtLeast(record.clone(), LEFT.into(), -kept));
    }
    Transaction {
        guards,
        writes: vec![
            Write::Add(record.clone(), CREDITED.into(), credited_now - lease.credited),
            Write::Add(record.clone(), RETURNED.into(), back),
            Write::Add(record.clone(), LEFT.into(), kept),
        ],
        ..Transaction::default()
    }
}

/// The pool's last step of a return.
pub(crate) fn take_back(place: &Place, partition: Partition, pool: i64, now: i64) -> Transaction {
    let record = &place.pool;
    Transaction {
        guards: demand(record, &returned(partition), pool).to_vec(),
        writes: vec![
            Write::Add(record.clone(), returned(partition), now - pool),
            Write::Add(record.clone(), FREE.into(), now - pool),
        ],
        ..Transaction::default()
    }
}
