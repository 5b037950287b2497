//! How a reservation ends, how reservations and coupons expire, and the index by which reservations are
//! found that have.
//!
//! A reservation counts against the limit of its user until it ends. Whoever is refused by that limit ends the
//! user's own reservations of the template whose time is over ([`end_own`]), and tries again where that made room.
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

use domain::answers::integer;
use domain::due::Swept;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Guard, MapKey, Write};
use lease::{HELD, LEFT, SOLD_OUT_UNTIL, World};
use store::listing::Place;
use store::sweep::{Fault, Sweep, Tried};
use store::{Binding, Plan, attempts};

use crate::context::Context;
use crate::listed::{self, Listed};
use crate::orders::{self, Found};
use crate::records::{self, ENDS, Gave, Order};
use crate::template::Published;

/// Reservations of a partition after which a sweep reads no further page of them: whoever asks for a template
/// that seems sold out waits for all partitions. The next sweep goes on.
pub const ENDS_MAX: u64 = 256;
/// Reservations of a partition that one sweep passes over.
const PASSED_OVER_MAX: u64 = 4_096;
/// Reservations of a user that one commit ends: one makes room already, and a transaction has a bound.
const OWN_MAX: usize = 64;
/// What the index lists, in words.
const LISTED: &str = "reservations that end";

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

/// Puts into a plan what ends a reservation, if its record is still the same; the order as it is then.
pub fn end(
    plan: &mut Plan<()>,
    user: UserId,
    number: &OrderNumber,
    order: &Order,
    end: End,
    now: UnixMillis,
) -> Option<Order> {
    let Gave::Reserved(coupon, until) = &order.gave else { return None };
    let record = records::user(user);
    let lease = records::lease(&coupon.template);
    let gave = match end {
        End::Confirm => Gave::Issued(coupon.clone()),
        End::Cancel => Gave::Cancelled,
        End::Expire => Gave::Expired,
    };
    let next = Order { gave, ..order.clone() };
    // Its validity may be over as well.
    let next = next.expired_at(now).unwrap_or(next);
    // What is reserved is never on a page.
    replace(plan, (), record.clone(), user, number, order, &next);
    plan.write(Write::Add(lease.clone(), HELD.into(), -1));
    plan.write(ENDS.remove(UnixMillis(*until), &records::end(user, number)));
    plan.write_all(records::HOLDERS.mark(user, now));
    if end != End::Confirm {
        plan.write(Write::Add(lease.clone(), LEFT.into(), 1));
        plan.write(Write::Unset(lease, SOLD_OUT_UNTIL.into()));
        plan.write(Write::Add(record, records::held_count(&coupon.template), -1));
    }
    Some(next)
}

/// Puts into a plan that a reservation or a coupon has expired, if its record is still the same, in this map; the order as
/// it is then. Nothing where its time is not over, or that has been said.
pub fn expire(
    plan: &mut Plan<()>,
    map: MapKey,
    user: UserId,
    number: &OrderNumber,
    order: &Order,
    now: UnixMillis,
) -> Option<Order> {
    let next = order.expired_at(now)?;
    if let Gave::Reserved(..) = order.gave {
        return end(plan, user, number, order, End::Expire, now);
    }
    replace(plan, (), map, user, number, order, &next);
    Some(next)
}

/// Puts into a plan that an order is another one, where it is still what was seen in a map of its user; else nothing is
/// written, and this is why.
pub(crate) fn replace<R>(
    plan: &mut Plan<R>,
    changed: R,
    map: MapKey,
    user: UserId,
    number: &OrderNumber,
    order: &Order,
    next: &Order,
) {
    let field = records::order(number);
    plan.demand(changed, Guard::FieldEquals(map.clone(), field.clone(), order.encode()));
    plan.write(Write::Set(map, field, next.encode()));
    plan.write_all(records::due_writes(user, number, Some(order), next));
}

/// An order as it may be told: where its time is over it has expired, for everybody and for good.
///
/// # Errors
/// The store's; `Unknown` where the order was collected meanwhile.
pub async fn settled<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    mut order: Order,
) -> Result<Order, CommitError> {
    if order.expired_at(context.now).is_none() {
        return Ok(order);
    }
    // Nearly everybody has no page.
    let mut map = records::user(user);
    attempts("end what is over", async || {
        let mut plan = Plan::new();
        let Some(next) = expire(&mut plan, map.clone(), user, number, &order, context.now) else {
            return Ok(Some(order.clone()));
        };
        let Err(refused) = context.commit(context.home(user), plan).await? else {
            return Ok(Some(next));
        };
        match refused.field()? {
            Some(now) => order = Order::decode(now)?,
            None => {
                let lost = || CommitError::Unknown("the order is not kept any more".into());
                let found = orders::find(context, user, number).await?.ok_or_else(lost)?;
                (map, order) = (found.map, found.order);
            }
        }
        Ok(None)
    })
    .await
}

/// Ends the reservations of a template that a user has and that have expired, so that they do not count against the
/// user's limit any more: one round trip to look, and one to end them. Whether the user is below the limit then, whoever
/// made room.
///
/// Each guard demands the exact record that was seen, so that one that is confirmed meanwhile stays. A crash or a
/// commit that comes late does what a sweep would.
///
/// # Errors
/// The store's.
pub async fn end_own<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    published: &Published,
) -> Result<bool, CommitError> {
    let Published { id, template, .. } = published;
    attempts("end reservations of a user", async || {
        let mut plan = Plan::new();
        // An order that cannot be read keeps no other one from ending.
        let found = context.record_of(user).await?;
        let orders = found.iter().filter_map(|(field, value)| {
            Some((records::order_of(field)?, Order::decode(value).ok()?))
        });
        let over = orders.filter(|(_, order)| {
            matches!(&order.gave, Gave::Reserved(coupon, until)
                if coupon.template == *id && context.now.0 >= *until)
        });
        for (number, order) in over.take(OWN_MAX) {
            end(&mut plan, user, &number, &order, End::Expire, context.now);
        }
        if plan.is_empty() {
            let count = records::held_count(id);
            let count = found.iter().find(|(field, _)| *field == count).map(|(_, value)| value);
            return Ok(Some(integer(count)? < template.limit_per_user.into()));
        }
        let is_done = context.commit(context.home(user), plan).await?.is_ok();
        Ok(is_done.then_some(true))
    })
    .await
}

/// Ends the reservations of some partitions that have expired, the oldest first.
///
/// # Errors
/// The store's. An order that cannot be read, or ended, stops only itself.
pub async fn expire_due<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
) -> Result<Swept, CommitError> {
    sweep(context, partitions, true).await
}

/// The same on the way of a request.
///
/// # Errors
/// As [`expire_due`].
pub async fn expire_before_recall<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
) -> Result<Swept, CommitError> {
    sweep(context, partitions, false).await
}

async fn sweep<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
    sets_aside: bool,
) -> Result<Swept, CommitError> {
    let sweep = Sweep {
        index: ENDS,
        name: LISTED,
        partitions,
        until: context.now,
        looks_ahead: false,
        sets_aside,
        done_max: ENDS_MAX,
        passed_over_max: PASSED_OVER_MAX,
    };
    sweep.run(context, async |items| expire_all(context, items).await).await
}

/// One wave reads the orders, another one ends the reservations.
async fn expire_all<B: Binding>(context: &Context<'_, B>, items: &[Place]) -> Vec<Tried> {
    let mut tried: Vec<Tried> = vec![None; items.len()];
    let (mut steps, mut ends) = (Vec::new(), Vec::new());
    let found = listed::find(context, items, "order").await;
    for (place, (item, found)) in items.iter().zip(found).enumerate() {
        match found {
            Ok((one, order)) => {
                let (is_end, step) = step(&one, order, context.now);
                steps.push((item.partition, step));
                ends.push((place, is_end));
            }
            Err(error) => tried[place] = Some(Err(error.into())),
        }
    }
    for ((place, is_end), result) in ends.into_iter().zip(context.commit_some(steps).await) {
        // Where it was refused somebody else was first. Beside the order it writes the partition's lease.
        let result = result.map(|decided| is_end && decided.is_ok());
        tried[place] = Some(result.map_err(Fault::of_shared_record));
    }
    tried
}

/// The commit that ends a reservation, and `true`. Where its order is not reserved until that moment, the commit
/// that takes it out of the index as long as that is so.
fn step(listed: &Listed, found: Found, now: UnixMillis) -> (bool, Plan<()>) {
    let (Listed { at: until, user, number }, Found { map, order }) = (listed, found);
    let is_this = matches!(&order.gave, Gave::Reserved(_, one) if *one == until.0);
    let mut plan = Plan::new();
    if is_this && end(&mut plan, *user, number, &order, End::Expire, now).is_some() {
        return (true, plan);
    }
    let field = records::order(number);
    plan.demand((), Guard::FieldEquals(map, field, order.encode()));
    plan.write(ENDS.remove(*until, &records::end(*user, number)));
    (false, plan)
}

/// What leases need: before they are called back, reservations that have expired are ended.
impl<B: Binding> World for Context<'_, B> {
    type Store = B;

    fn context(&self) -> store::Context<'_, B> {
        self.base
    }

    fn lease_share(&self) -> i64 {
        self.lease_share
    }

    async fn before_recall(
        &self,
        partitions: &[Partition],
        now: UnixMillis,
    ) -> Result<(), CommitError> {
        let context = Context { base: store::Context { now, ..self.base }, ..*self };
        // What is stuck keeps its own unit and no other; a sweep tells of it.
        // Boxed, because the compiler follows types only so deep.
        Box::pin(expire_before_recall(&context, partitions)).await.map(drop)
    }
}
