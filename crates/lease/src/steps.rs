//! The steps of both channels, each a transaction in the pool or in a partition. Pure.

use domain::partition::Partition;
use domain::transaction::{Field, Guard, MapKey, Read, Value, Write};
use store::Plan;

use crate::pool::Pool;
use crate::record::{CREDITED, LEFT, Lease, RETURNED, SOLD_OUT_UNTIL};
use crate::{Place, demand};

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

/// Why the pool does not give a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The pool has forgotten some of what it credited to the partition.
    Forgotten,
    /// The pool has credited more than has arrived in the partition.
    UnderWay,
    /// Less is free than was thought.
    TooLittle,
}

/// The pool's first step of a lease.
pub(crate) fn take(
    place: &Place,
    partition: Partition,
    credited_now: i64,
    size: i64,
    free: i64,
) -> Plan<NotTaken> {
    let pool = &place.pool;
    let [behind, ahead] = demand(pool, &credited(partition), credited_now);
    let is_free = Guard::IntegerAtLeast(pool.clone(), FREE.into(), free);
    let mut plan = Plan::new();
    plan.demand(NotTaken::Forgotten, behind);
    plan.demand(NotTaken::UnderWay, ahead);
    plan.demand(NotTaken::TooLittle, is_free);
    plan.write(Write::Add(pool.clone(), credited(partition), size));
    plan.write(Write::Add(pool.clone(), FREE.into(), -size));
    plan.write(Write::Set(pool.clone(), LEASED.into(), Value::Integer(1)));
    plan.read(Read::Fields(pool.clone(), Pool::fields(credited(partition))));
    plan
}

/// Where the pool has forgotten what it credited: it is raised to what the partition has.
pub(crate) fn remember_credited(
    place: &Place,
    partition: Partition,
    pool: i64,
    now: i64,
) -> Plan<()> {
    let record = &place.pool;
    let mut plan = Plan::new();
    plan.demand_all((), demand(record, &credited(partition), pool));
    plan.write(Write::Add(record.clone(), credited(partition), now - pool));
    plan.write(Write::Add(record.clone(), FREE.into(), pool - now));
    plan
}

/// The partition's step of both channels: takes what the pool credited, and gives back `back`.
/// `forgotten` of it the pool has already, and it cannot be kept.
pub(crate) fn settle(
    record: &MapKey,
    lease: &Lease,
    credited_now: i64,
    back: i64,
    forgotten: i64,
) -> Plan<()> {
    let kept = credited_now - lease.credited - back;
    let mut plan = Plan::new();
    plan.demand_all((), demand(record, &CREDITED.into(), lease.credited));
    plan.demand_all((), demand(record, &RETURNED.into(), lease.returned));
    if forgotten == 0 {
        // Another commit may have taken units in between.
        plan.demand((), Guard::IntegerAtLeast(record.clone(), LEFT.into(), -kept));
    }
    plan.write_all([
        Write::Add(record.clone(), CREDITED.into(), credited_now - lease.credited),
        Write::Add(record.clone(), RETURNED.into(), back),
        Write::Add(record.clone(), LEFT.into(), kept),
    ]);
    if kept > 0 {
        plan.write(Write::Unset(record.clone(), SOLD_OUT_UNTIL.into()));
    }
    plan
}

/// The pool's last step of a return.
pub(crate) fn take_back(place: &Place, partition: Partition, pool: i64, now: i64) -> Plan<()> {
    let record = &place.pool;
    let mut plan = Plan::new();
    plan.demand_all((), demand(record, &returned(partition), pool));
    plan.write(Write::Add(record.clone(), returned(partition), now - pool));
    plan.write(Write::Add(record.clone(), FREE.into(), now - pool));
    plan
}
