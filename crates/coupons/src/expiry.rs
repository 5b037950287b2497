//! How a reservation ends, how reservations and coupons expire, and the index by which reservations are
//! found that have.
//!
//! Clocks of instances differ, and a request may be older than the one that overtakes it. So that a
//! reservation or a coupon is over for one and not for the next is no answer: `expired` is told from the
//! record only, never from a clock. The first commit decides:
//!
//! 1. Whoever meets a reservation or a coupon whose time is over by their clock - to tell of it, to confirm,
//!    to redeem, to list, to sweep - commits first that it has expired ([`expire`]). The guard demands the
//!    exact record that was seen; a reservation's stock goes back in the same commit.
//! 2. Where that is committed, `expired` is told, and holds: who comes to confirm or redeem with an older
//!    clock meets it.
//! 3. Where it is refused, somebody else was first, perhaps one who confirmed or redeemed by an older clock.
//!    The refusal shows the record that is there, and that is told.
//! 4. Where the store does not answer, nothing is told (503).
//!
//! A crash before the commit leaves the record as it was, and the next one expires it: for reservations that
//! is the sweep at the latest. A crash after it leaves what would have been told. A commit that arrives late
//! meets the same guard: it ends what nobody has changed since, and whose time is over, or nothing. Until the
//! time is over no step costs anything.

use std::pin::Pin;

use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::{Partition, Partitions};
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Field, Guard, Outcome, Read, Seen, Transaction, Write,
};
use edge::store::Binding;
use lease::World;
use lease::{HELD, LEFT, SOLD_OUT_UNTIL};

use crate::context::Context;
use crate::records::{self, Gave, Order, fields, unexpected};

/// Periods of the index that one read returns: more than half a day's. Of more it returns any, and the
/// next sweep goes on.
const PERIODS_MAX: u32 = 1_024;
/// Reservations of a period that one sweep of a partition ends; the next one goes on.
const ENDS_MAX: u32 = 256;

/// Attempts to end what is over: each lost one saw it change.
const ATTEMPTS_MAX: u32 = 8;

/// How a reservation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The coupon is the user's.
    Confirm,
    /// It goes back.
    Cancel,
    /// It goes back, because nobody came.
    Expire,
}

/// The commit that ends a reservation, if its record is still the same.
pub fn end(
    user: UserId,
    number: &OrderNumber,
    order: &Order,
    end: End,
    now: UnixMillis,
) -> Option<(Order, Transaction)> {
    let Gave::Reserved(coupon, until) = &order.gave else { return None };
    let (record, field) = (records::user(user), records::order(number));
    let lease = records::lease(&coupon.template);
    let gave = match end {
        End::Confirm => Gave::Issued(coupon.clone()),
        End::Cancel => Gave::Cancelled,
        End::Expire => Gave::Expired,
    };
    let next = Order { gave, ..order.clone() };
    // Its validity may be over as well.
    let next = next.expired_at(now).unwrap_or(next);
    let mut writes = vec![
        Write::Set(record.clone(), field.clone(), next.encode()),
        Write::Add(lease.clone(), HELD.into(), -1),
        Write::Unset(
            records::ends_in(records::period(UnixMillis(*until))),
            records::end(user, number),
        ),
    ];
    writes.extend(records::HOLDERS.mark(user, now));
    if end != End::Confirm {
        writes.push(Write::Add(lease.clone(), LEFT.into(), 1));
        writes.push(Write::Unset(lease, SOLD_OUT_UNTIL.into()));
        writes.push(Write::Add(record.clone(), records::held_count(&coupon.template), -1));
    }
    let guards = vec![Guard::FieldEquals(record, field, order.encode())];
    Some((next, Transaction { guards, writes, ..Transaction::default() }))
}

/// The commit that says that a reservation or a coupon has expired, if its record is still the same;
/// nothing where its time is not over, or that has been said.
pub fn expire(
    user: UserId,
    number: &OrderNumber,
    order: &Order,
    now: UnixMillis,
) -> Option<(Order, Transaction)> {
    let next = order.expired_at(now)?;
    if let Gave::Reserved(..) = order.gave {
        return end(user, number, order, End::Expire, now);
    }
    let (record, field) = (records::user(user), records::order(number));
    let guards = vec![Guard::FieldEquals(record.clone(), field.clone(), order.encode())];
    let writes = vec![Write::Set(record, field, next.encode())];
    Some((next, Transaction { guards, writes, ..Transaction::default() }))
}

/// An order as it may be told: where its time is over it has expired, for everybody and for good.
///
/// # Errors
/// The store's.
pub async fn settled<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    mut order: Order,
) -> Result<Order, CommitError> {
    for _ in 0..ATTEMPTS_MAX {
        let Some((next, transaction)) = expire(user, number, &order, context.now) else {
            return Ok(order);
        };
        let refused = match context.commit(context.home(user), transaction).await? {
            Outcome::Committed(_) => return Ok(next),
            Outcome::Refused(refused) => refused,
        };
        let Seen::Field(Some(value)) = refused.seen else { return Err(unexpected()) };
        order = Order::decode(&value)?;
    }
    Err(CommitError::Unavailable(format!("{ATTEMPTS_MAX} attempts to end what is over")))
}

/// Ends the reservations of some partitions that have expired; how many.
///
/// # Errors
/// The store's.
pub async fn expire_due<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
) -> Result<u64, CommitError> {
    let index = |one: &Partition| (*one, Read::Some(records::ends(), PERIODS_MAX));
    let due = context.read_all(&partitions.iter().map(index).collect::<Vec<_>>()).await?;
    let now = records::period(context.now);
    let mut lists = Vec::new();
    for (partition, answer) in partitions.iter().zip(due) {
        let Answer::Map(periods) = answer else { return Err(unexpected()) };
        let periods = periods.iter().filter_map(|(Field(name), _)| {
            std::str::from_utf8(name).ok()?.parse().ok().filter(|period: &i64| *period <= now)
        });
        lists.extend(periods.map(|period| (*partition, period)));
    }
    let mut expired = 0;
    for (partition, period) in lists {
        expired += expire_period(context, partition, period).await?;
    }
    Ok(expired)
}

async fn expire_period<B: Binding>(
    context: &Context<'_, B>,
    partition: Partition,
    period: i64,
) -> Result<u64, CommitError> {
    let read = Read::Some(records::ends_in(period), ENDS_MAX);
    let ends = context.read_all(&[(partition, read)]).await?;
    let Some(Answer::Map(ends)) = ends.first() else { return Err(unexpected()) };
    let mut due = Vec::new();
    for (field, until) in ends {
        let until = records::integer(Some(until))?;
        if until <= context.now.0 {
            due.push(records::end_of(field).ok_or_else(unexpected)?);
        }
    }
    let orders: Vec<_> = due
        .iter()
        .map(|(user, number)| {
            let fields = vec![records::order(number)];
            (partition, Read::Fields(records::user(*user), fields))
        })
        .collect();
    let mut steps = Vec::new();
    for ((user, number), answer) in due.iter().zip(context.read_all(&orders).await?) {
        let Some(Some(value)) = fields(Some(&answer))?.first() else { continue };
        if let Some((_, step)) =
            end(*user, number, &Order::decode(value)?, End::Expire, context.now)
        {
            steps.push((partition, step));
        }
    }
    let outcomes = context.commit_all(&steps).await?;
    if ends.is_empty() && period < records::period(context.now) {
        // Nothing can come into a period that is over, but for what comes late: then it stays.
        let forget = Transaction {
            guards: vec![Guard::SizeAtMost(records::ends_in(period), 0)],
            writes: vec![Write::Unset(records::ends(), Field(period.to_string().into_bytes()))],
            ..Transaction::default()
        };
        context.commit(partition, forget).await?;
    }
    Ok(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Committed(_))).count() as u64)
}

/// What leases need: before they are called back, reservations that have expired are ended.
impl<B: Binding> World for Context<'_, B> {
    type Store = B;

    fn store(&self) -> &B {
        self.store
    }

    fn partitions(&self) -> Partitions {
        self.partitions
    }

    fn now(&self) -> UnixMillis {
        self.now
    }

    fn lease_share(&self) -> i64 {
        self.lease_share
    }

    fn pause(&self, ms: u64) -> Pin<Box<dyn Future<Output = ()>>> {
        (self.pause)(ms)
    }

    async fn before_recall(&self, partitions: &[Partition]) -> Result<(), CommitError> {
        expire_due(self, partitions).await.map(drop)
    }
}
