//! Two phases: a coupon is held for a moment, then given or put back. A reservation ends by itself (see
//! [`crate::expiry`]): whoever needs stock, meets it or sweeps puts back what has expired.

use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::CommitError;
use lease::{call_back, is_low};
use store::numbers::check_ordered_at;
use store::{Binding, Plan, attempts};

use crate::context::Context;
use crate::expiry::{End, end};
use crate::issue::{Recorded, look_up, record};
use crate::records::{Coupon, Gave, Order};
use crate::refusal::{Failure, Refusal};

/// Makes a held coupon the user's.
///
/// # Errors
/// `unknown_order`, `reservation_expired`, `cancelled`; or the store's.
pub async fn confirm<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
) -> Result<Recorded, Failure> {
    attempts("confirm a reservation", async || {
        let Some(order) = look_up(context, user, number).await? else {
            return Err(Refusal::UnknownOrder.into());
        };
        let end_with = match &order.gave {
            Gave::Reserved(_, until) if context.now.0 >= *until => End::Expire,
            Gave::Reserved(..) => End::Confirm,
            Gave::Cancelled => return Err(Refusal::Cancelled.into()),
            Gave::Expired => return Err(Refusal::ReservationExpired.into()),
            Gave::Issued(_) | Gave::Fallback(_) | Gave::Greeting(_) | Gave::Revoked(..) => {
                return Ok(Some(Recorded { number: number.clone(), order, replayed: true }));
            }
        };
        let ended = commit_end(context, user, number, &order, end_with).await?;
        let confirmed = ended.filter(|_| end_with == End::Confirm);
        Ok(confirmed.map(|order| Recorded { number: number.clone(), order, replayed: false }))
    })
    .await
}

/// Puts a held coupon back. A number that never acted can act no more afterwards; that is kept with the time at which it
/// was ordered, as the caller says, which means nothing where the number has acted.
///
/// # Errors
/// `already_confirmed`, `too_old`, `too_many_coupons`; or the store's.
pub async fn cancel<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    ordered_at: Option<UnixMillis>,
) -> Result<Recorded, Failure> {
    if let Some(at) = ordered_at {
        check_ordered_at(at, context.now, "ordered_at")?;
    }
    attempts("cancel a reservation", async || {
        let recorded = |order, replayed| Recorded { number: number.clone(), order, replayed };
        let Some(order) = look_up(context, user, number).await? else {
            let tombstone = Order::new(0, context.now, Gave::Cancelled).ordered_at(ordered_at);
            let earlier = record(context, user, number, &tombstone).await?;
            return Ok(earlier.is_none().then(|| recorded(tombstone, false)));
        };
        match &order.gave {
            Gave::Reserved(..) => {
                let ended = commit_end(context, user, number, &order, End::Cancel).await?;
                Ok(ended.map(|ended| recorded(ended, false)))
            }
            Gave::Cancelled | Gave::Expired => Ok(Some(recorded(order, true))),
            Gave::Issued(_) | Gave::Fallback(_) | Gave::Greeting(_) | Gave::Revoked(..) => {
                Err(Refusal::AlreadyConfirmed.into())
            }
        }
    })
    .await
}

/// Ends a reservation; `None` where it has changed.
async fn commit_end<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    order: &Order,
    end_with: End,
) -> Result<Option<Order>, Failure> {
    let mut plan = Plan::new();
    let Some(next) = end(&mut plan, user, number, order, end_with, context.now) else {
        return Ok(None);
    };
    let partition = context.home(user);
    if context.commit(partition, plan).await?.is_err() {
        return Ok(None);
    }
    if let Some(coupon) = order.coupon()
        && end_with != End::Confirm
    {
        put_back(context, coupon, partition).await?;
    }
    Ok(Some(next))
}

/// Where little is free, what was put back goes to the pool, for whoever needs it.
pub(crate) async fn put_back<B: Binding>(
    context: &Context<'_, B>,
    coupon: &Coupon,
    partition: Partition,
) -> Result<(), CommitError> {
    let Some(published) = context.template(&coupon.template).await? else { return Ok(()) };
    let budget = context.budget(&published);
    if is_low(context, &budget, 1) {
        call_back(context, &budget.place, &[partition]).await?;
    }
    Ok(())
}
