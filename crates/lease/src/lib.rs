//! Leases: how a budget is spread over the partitions. Giving some of it is one commit in the partition
//! of the user, and no partition is hotter than the others. The units of a budget are whatever is given:
//! coupons of a template, or cents.
//!
//! Between the pool and a partition lie two one-way channels, each a cumulative count that is kept
//! at both ends and only grows:
//! - *credited*: the pool adds to its count and takes from its free units; the partition later
//!   raises its own count to the pool's, and has the difference;
//! - *returned*: the partition adds to its count and takes from what it has left; the pool later
//!   raises its own count to the partition's, and has the difference.
//!
//! Each step demands the count that it starts from. So it happens once however often it is sent, and the
//! next request finishes what a crash left between two steps. No unit is ever in both places. If a
//! fail-over made one end forget, its count is behind in its own channel: the next step raises it to the
//! other end's, and the units with it.
//!
//! A third channel, *unused*, tells the pool what units that were given did not use of what the budget is counted
//! in (see [`bring_home`]): the partition raises its count, the pool follows.
//!
//! In reading order:
//! - [`Budget`] and [`World`]: what is spread, and on what
//! - [`Lease`] and [`Source`]: what a partition has, and how some of it is given
//! - [`refill`]: more for a partition that has too little
//! - [`call_back`]: what others have left, for whoever needs it; [`is_all_home`]: whether all of it has come
//! - [`close`], [`close_all`]: the end of leases of a budget that is over for good
//! - [`bring_home`]: what was not used
//! - [`is_sold_out`], [`forget_sold_out`]: how long a partition takes it that nothing is left anywhere
//!
//! Whoever gives begins with [`Source::Left`]. Where too little is left they read the lease, call
//! [`refill`] and try again with what it says.
//!
//! # Why it is built this way
//!
//! - *Two channels.* The first design had one sequence number per partition for both directions, and had to settle
//!   each return before the next lease. With two channels a lease and a return may be under way at once.
//! - *Size.* A lease is a quarter of a partition's even share of what is free ([`SHARE`]). The pool then sees 7
//!   commits per 1,000 coupons, and its partition 2.8 times the mean load while a million are issued
//!   (`tests/tests/load/leases.rs` prints other sizes). A lease is never smaller than what one request needs,
//!   except for the rest of the budget. Where units are given in amounts, the last amount may therefore be smaller.
//! - *Given units are counted nowhere*: they are what was credited, less what was returned, is left, or is held.
//! - *Reclaiming.* Before anybody is told that nothing is left, one request reclaims leases from all partitions in a
//!   wave ([`call_back`]); the others wait for it. Partitions then remember "sold out" until a term after that wave
//!   began, and the next wave finds whatever came back later. The *term* is twice as long as the wave took, between one
//!   second and ten. So as long as a wave takes less than five seconds, the waves of one budget take at most half of the
//!   time. (The term was a fixed second at first. Once a sale was over and a wave took longer than that, each
//!   refusal began a wave of its own, and the waves kept each other slow.)
//! - *Waves that do not end.* Who waits for a wave loses patience after a term of the last one that ended, and begins another
//!   one beside it, which is given twice the patience, ten seconds at most; of one that began ten seconds ago nobody
//!   expects an end. Where a wave fails the pool says so, and nobody begins another one for a second: who asks
//!   meanwhile is told that the store is unavailable, as is who has waited for 15 seconds.
//! - *A raised stock* removes the marks.
//! - *Clocks ahead.* A mark that reaches more than ten seconds into the future does not count, and whoever meets it
//!   removes it. Nor does what a wave found that is dated more than a second into the future. Between clocks that are
//!   minutes apart, which a store with a clock prevents, waves follow each other without rest, two at a time.
//! - *The end.* Settlement reclaims the leases of a budget that is over. A partition may still hold units for
//!   somebody, and these come back to the lease later. So the budget is put to rest only when no partition has
//!   anything left or held. Until then settlement looks again, after as long again as the budget has been over, at
//!   most a day later.

use std::cell::Cell;

use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Field, Guard, MapKey};
use store::{Binding, Context};

mod pool;
mod reclaim;
mod record;
mod refill;
mod size;
mod steps;
mod unused;

pub use reclaim::{
    call_back, call_back_all, close, close_all, forget_sold_out, given_if_home, is_all_home,
};
pub use record::{
    CREDITED, Draw, HELD, LEFT, Lease, RETURNED, SIZE, SOLD_OUT_UNTIL, Source, Why, is_sold_out,
};
pub use refill::{Refill, refill};
pub use size::is_low;
pub use steps::{FREE, LEASED, credited, returned};
pub use unused::{UNUSED, UNUSED_IN_ALL, bring_home, unused};

/// A lease is a quarter of a partition's even share of what is free: `tests/leases.rs` prints what a
/// larger and a smaller part would do.
pub const SHARE: i64 = 4;

/// What leases need of the function whose budget they spread.
pub trait World {
    /// The kind of store.
    type Store: Binding;

    /// The store, the time and the partitions of the request.
    fn context(&self) -> Context<'_, Self::Store>;

    /// A lease is one part in so many of a partition's even share of what is free.
    fn lease_share(&self) -> i64 {
        SHARE
    }

    /// Ends what keeps units from being given and is over, in partitions that are about to be called
    /// back from: reservations that have expired. Where nothing holds units it does nothing.
    fn before_recall(
        &self,
        _partitions: &[Partition],
        _now: UnixMillis,
    ) -> impl Future<Output = Result<(), CommitError>> {
        async { Ok(()) }
    }
}

impl<B: Binding> World for Context<'_, B> {
    type Store = B;

    fn context(&self) -> Context<'_, B> {
        *self
    }
}

/// Where a budget lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition of the pool.
    pub partition: Partition,
    /// The pool's record, which may have fields of its owner's.
    pub pool: MapKey,
    /// The record of the lease, of this name in each partition.
    pub lease: MapKey,
}

/// A budget.
#[derive(Clone, Debug)]
pub struct Budget<'a> {
    /// Where it lies.
    pub place: Place,
    /// Units that may be leased out in all.
    pub total: i64,
    /// Units that the pool had to lease out when this instance last saw it, if it did: a hint for how
    /// many to ask for.
    pub free: &'a Cell<Option<i64>>,
}

/// Demands that an integer, or nothing for 0, is this one. Two guards tell which way it differs.
pub fn demand(record: &MapKey, field: &Field, value: i64) -> [Guard; 2] {
    [
        Guard::IntegerAtLeast(record.clone(), field.clone(), value),
        Guard::IntegerAtMost(record.clone(), field.clone(), value),
    ]
}
