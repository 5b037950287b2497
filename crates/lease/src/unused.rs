//! What units did not use: a budget may be counted in something else than its units, of which a unit may use less than
//! was set aside for it. Coupons are counted, and their budget is in cents. What was not used makes more units possible.
//!
//! # The channel
//!
//! The partition counts what its units did not use ([`UNUSED`]); so does the pool, for each partition ([`unused`]) and in
//! all ([`UNUSED_IN_ALL`]). All of them only grow.
//! 1. The partition raises its count, in the commit that finds out what a unit did not use.
//! 2. The pool raises its count of the partition to the partition's, what it has in all by the difference, and what is
//!    free by the units that this makes possible. It demands its counts as they were seen, and that what says how many
//!    units there are is unchanged. So it happens once however often it is sent, and in whatever order.
//!
//! A crash between the steps leaves the pool behind, which the next one brings up. Until then less is given than could be,
//! and never more: units are free only after the second step.
//!
//! # After a fail-over
//!
//! - *The pool forgot*: its counts and what is free were one commit, so that it is behind as a whole. It is brought up to
//!   the partition's count the next time.
//! - *The partition forgot*: the units are there again whose rest it had counted, and it counts them again. The pool has
//!   that already: it follows only from where its own count is passed. Neither is lowered: what the pool had was made
//!   free, and may be given.

use domain::answers::{fields, integer, integers, unexpected};
use domain::partition::Partition;
use domain::transaction::{CommitError, Field, Guard, MapKey, Read, Write};
use store::{Binding, Context, Plan, attempts};

use crate::steps::FREE;
use crate::{Place, demand};

/// Of a lease: what units that were given here did not use. Whoever raises it sees to it that [`bring_home`] follows.
pub const UNUSED: &str = "u";
/// Of the pool: what is known of it of all partitions together.
pub const UNUSED_IN_ALL: &str = "unused";
/// Partitions that one commit brings home from: three operations each.
const WAVE: usize = 512;

/// The pool's count of what units of a partition did not use.
pub fn unused(partition: Partition) -> Field {
    Field(format!("{UNUSED}{partition}").into_bytes())
}

/// Brings home what units of some partitions did not use; the counts that the partitions had, all of which are in the
/// pool then. `units` says how many units there may be by what was not used in all, which more of it never makes less, and
/// `unchanged` that this is so: where it is refused, nothing comes of it and the caller looks again.
///
/// # Errors
/// The store's.
pub async fn bring_home<B: Binding>(
    context: &Context<'_, B>,
    place: &Place,
    partitions: &[Partition],
    unchanged: &Guard,
    units: impl Fn(i64) -> i64,
) -> Result<Option<Vec<i64>>, CommitError> {
    let mut all = Vec::with_capacity(partitions.len());
    for wave in partitions.chunks(WAVE) {
        let counts: Option<Vec<i64>> = attempts("bring home what was not used", async || {
            let seen = Counts::find(context, place, wave).await?;
            let Some(plan) = seen.step(place, wave, unchanged.clone(), &units) else {
                return Ok::<_, CommitError>(Some(Some(seen.partitions)));
            };
            match context.commit(place.partition, plan).await? {
                Ok(_) => Ok(Some(Some(seen.partitions))),
                Err(refused) if refused.why == Why::Unchanged => Ok(Some(None)),
                Err(_) => Ok(None),
            }
        })
        .await?;
        let Some(counts) = counts else { return Ok(None) };
        all.extend(counts);
    }
    Ok(Some(all))
}

/// Why the pool does not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// What says how many units there are is another one.
    Unchanged,
    /// Somebody else brought something home.
    Moved,
}

/// What both ends have counted.
struct Counts {
    in_all: i64,
    pool: Vec<i64>,
    partitions: Vec<i64>,
}

impl Counts {
    async fn find<B: Binding>(
        context: &Context<'_, B>,
        place: &Place,
        partitions: &[Partition],
    ) -> Result<Self, CommitError> {
        let names = partitions.iter().map(|one| unused(*one)).chain([UNUSED_IN_ALL.into()]);
        let of_lease = |record: &MapKey| Read::Fields(record.clone(), vec![UNUSED.into()]);
        let mut reads = vec![(place.partition, Read::Fields(place.pool.clone(), names.collect()))];
        reads.extend(partitions.iter().map(|one| (*one, of_lease(&place.lease))));
        let answers = context.read_all(reads).await?;
        let [pool, leases @ ..] = &answers[..] else { return Err(unexpected()) };
        let pool = fields(Some(pool))?.iter().map(|one| integer(one.as_ref()));
        let mut pool = pool.collect::<Result<Vec<_>, _>>()?;
        let in_all = pool.pop().ok_or_else(unexpected)?;
        let of_lease = |lease| integers(Some(lease)).map(|[count]| count);
        let partitions = leases.iter().map(of_lease).collect::<Result<_, _>>()?;
        Ok(Self { in_all, pool, partitions })
    }

    /// The pool's step; nothing where it has all of it.
    fn step(
        &self,
        place: &Place,
        partitions: &[Partition],
        unchanged: Guard,
        units: impl Fn(i64) -> i64,
    ) -> Option<Plan<Why>> {
        let pool = &place.pool;
        let mut plan = Plan::new();
        plan.demand(Why::Unchanged, unchanged);
        let mut in_all = self.in_all;
        for (partition, (before, now)) in
            partitions.iter().zip(self.pool.iter().zip(&self.partitions))
        {
            if now > before {
                let field = unused(*partition);
                plan.demand_all(Why::Moved, demand(pool, &field, *before));
                plan.write(Write::Add(pool.clone(), field, now - before));
                in_all += now - before;
            }
        }
        if in_all == self.in_all {
            return None;
        }
        plan.demand_all(Why::Moved, demand(pool, &UNUSED_IN_ALL.into(), self.in_all));
        plan.write(Write::Add(pool.clone(), UNUSED_IN_ALL.into(), in_all - self.in_all));
        let more = units(in_all) - units(self.in_all);
        plan.write(Write::Add(pool.clone(), FREE.into(), more));
        Some(plan)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use binding::memory::{Interrupted, Memory};
    use domain::partition::Partitions;
    use domain::time::UnixMillis;
    use domain::transaction::{Answer, Outcome, Transaction, Value};
    use futures::FutureExt as _;
    use futures::executor::block_on;

    use super::*;

    const VERSION: &str = "version";

    fn context(store: &Interrupted) -> Context<'_, Interrupted> {
        Context {
            store,
            partitions: Partitions::new(4).unwrap(),
            now: UnixMillis(0),
            timer: store::Timer::still(),
        }
    }

    fn place(context: &Context<'_, Interrupted>) -> Place {
        let partition = context.partitions.of_configuration("pool");
        Place { partition, pool: "p".into(), lease: "l".into() }
    }

    fn unchanged() -> Guard {
        Guard::IntegerAtMost("p".into(), VERSION.into(), 0)
    }

    /// Ten cents make a unit.
    fn bring(context: &Context<'_, Interrupted>) -> Option<Vec<i64>> {
        let partitions: Vec<_> = context.partitions.all().collect();
        let (place, unchanged) = (place(context), unchanged());
        block_on(bring_home(context, &place, &partitions, &unchanged, |one| one / 10)).unwrap()
    }

    fn raise(context: &Context<'_, Interrupted>, index: usize, by: i64) {
        let partition = context.partitions.all().nth(index).unwrap();
        let add = Write::Add("l".into(), UNUSED.into(), by);
        block_on(context.write(partition, [add])).unwrap();
    }

    fn pool(context: &Context<'_, Interrupted>) -> Vec<i64> {
        let names = context.partitions.all().map(unused);
        let names = names.chain([UNUSED_IN_ALL.into(), FREE.into()]).collect();
        let read = Read::Fields("p".into(), names);
        let answers = block_on(context.read(place(context).partition, vec![read])).unwrap();
        let fields = fields(answers.first()).unwrap();
        fields.iter().map(|one| integer(one.as_ref()).unwrap()).collect()
    }

    #[test]
    fn what_was_not_used_comes_home_once_and_makes_units() {
        let store = Interrupted::default();
        let context = context(&store);
        assert_eq!(bring(&context), Some(vec![0; 4]));
        raise(&context, 0, 9);
        assert_eq!(bring(&context), Some(vec![9, 0, 0, 0]));
        assert_eq!(pool(&context), [9, 0, 0, 0, 9, 0]);
        raise(&context, 3, 12);
        for _ in 0..2 {
            assert_eq!(bring(&context), Some(vec![9, 0, 0, 12]));
            assert_eq!(pool(&context), [9, 0, 0, 12, 21, 2]);
        }
    }

    #[test]
    fn somebody_who_comes_between_is_seen() {
        for commits in 0..6 {
            let store = Interrupted::default();
            let context = context(&store);
            raise(&context, 1, 15);
            raise(&context, 2, 15);
            let (partition, other) = (place(&context).partition, commits % 2 == 0);
            // What somebody else brought home of the first, or a version that is published.
            let writes = if other {
                let fields = [(unused(context.partitions.all().nth(1).unwrap()), 15)];
                let add = |(field, by)| Write::Add("p".into(), field, by);
                let of_all = [(Field::from(UNUSED_IN_ALL), 15), (Field::from(FREE), 1)];
                fields.into_iter().chain(of_all).map(add).collect()
            } else {
                vec![Write::Set("p".into(), VERSION.into(), Value::Integer(1))]
            };
            store.interrupt(commits, move |memory: &Memory| {
                let transaction = Transaction { writes, ..Transaction::default() };
                let outcome = Binding::commit(memory, partition, &transaction);
                assert!(matches!(outcome.now_or_never(), Some(Ok(Outcome::Committed(_)))));
            });
            let home = bring(&context);
            assert!(store.was_interrupted(), "{commits}");
            if other {
                assert_eq!(home, Some(vec![0, 15, 15, 0]), "{commits}");
                assert_eq!(pool(&context), [0, 15, 15, 0, 30, 3], "{commits}");
            } else {
                assert_eq!((home, pool(&context)[4]), (None, 0), "{commits}");
            }
        }
    }

    #[test]
    fn an_end_that_forgot_is_passed_or_brought_up_and_none_is_lowered() {
        let store = Interrupted::default();
        let context = context(&store);
        raise(&context, 0, 40);
        bring(&context);
        // The pool forgot all of it, which was one commit.
        block_on(context.write(place(&context).partition, [Write::Drop("p".into())])).unwrap();
        bring(&context);
        assert_eq!(pool(&context), [40, 0, 0, 0, 40, 4]);
        // The partition forgot some of it, and counts it again.
        raise(&context, 0, -25);
        let seen = Cell::new(0);
        for (by, expected) in [(0, 40), (20, 40), (5, 40), (7, 47)] {
            raise(&context, 0, by);
            seen.set(seen.get() + by);
            assert_eq!(bring(&context), Some(vec![15 + seen.get(), 0, 0, 0]));
            assert_eq!(pool(&context)[4..], [expected, expected / 10], "{by}");
        }
        let read = Read::Fields("l".into(), vec![UNUSED.into()]);
        let first = context.partitions.all().next().unwrap();
        let answers = block_on(context.read(first, vec![read])).unwrap();
        assert_eq!(answers, [Answer::Fields(vec![Some(Value::Integer(47))])]);
    }
}
