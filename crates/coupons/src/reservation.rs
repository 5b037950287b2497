//! Two phases: a coupon is held for a moment, then given or put back. A reservation ends by itself (see
//! [`crate::expiry`]): whoever needs stock, meets it or sweeps puts back what has expired.

use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::transaction::{CommitError, Outcome};
use edge::store::Binding;
use lease::{call_back, is_low};

use crate::context::Context;
use crate::expiry::{End, end};
use crate::issue::{Recorded, look_up, record};
use crate::records::{Coupon, Gave, Order};
use crate::refusal::{Failure, Refusal};

/// Attempts: each lost one saw the order change.
const ATTEMPTS_MAX: u32 = 8;

/// Makes a held coupon the user's.
///
/// # Errors
/// `unknown_order`, `reservation_expired`, `cancelled`; or the store's.
pub async fn confirm<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
) -> Result<Recorded, Failure> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(order) = look_up(context, user, number).await? else {
            return Err(Refusal::UnknownOrder.into());
        };
        let end_with = match &order.gave {
            Gave::Reserved(_, until) if context.now.0 >= *until => End::Expire,
            Gave::Reserved(..) => End::Confirm,
            Gave::Cancelled => return Err(Refusal::Cancelled.into()),
            Gave::Expired => return Err(Refusal::ReservationExpired.into()),
            Gave::Issued(_) | Gave::Fallback(_) | Gave::Greeting(_) => {
                return Ok(Recorded { number: number.clone(), order, replayed: true });
            }
        };
        if let Some(order) = commit_end(context, user, number, &order, end_with).await?
            && end_with == End::Confirm
        {
            return Ok(Recorded { number: number.clone(), order, replayed: false });
        }
    }
    Err(lost().into())
}

/// Puts a held coupon back. A number that never acted can act no more afterwards.
///
/// # Errors
/// `already_confirmed`; or the store's.
pub async fn cancel<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
) -> Result<Recorded, Failure> {
    for _ in 0..ATTEMPTS_MAX {
        let recorded = |order, replayed| Recorded { number: number.clone(), order, replayed };
        let Some(order) = look_up(context, user, number).await? else {
            let tombstone = Order::new(0, context.now, Gave::Cancelled);
            if record(context, user, number, &tombstone).await?.is_none() {
                return Ok(recorded(tombstone, false));
            }
            continue;
        };
        match &order.gave {
            Gave::Reserved(..) => {
                let ended = commit_end(context, user, number, &order, End::Cancel).await?;
                if let Some(ended) = ended {
                    return Ok(recorded(ended, false));
                }
            }
            Gave::Cancelled | Gave::Expired => return Ok(recorded(order, true)),
            Gave::Issued(_) | Gave::Fallback(_) | Gave::Greeting(_) => {
                return Err(Refusal::AlreadyConfirmed.into());
            }
        }
    }
    Err(lost().into())
}

/// Ends a reservation; `None` where it has changed.
async fn commit_end<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
    order: &Order,
    end_with: End,
) -> Result<Option<Order>, Failure> {
    let Some((next, transaction)) = end(user, number, order, end_with, context.now) else {
        return Ok(None);
    };
    let partition = context.home(user);
    if let Outcome::Refused(_) = context.commit(partition, transaction).await? {
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
async fn put_back<B: Binding>(
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

fn lost() -> CommitError {
    CommitError::Unavailable(format!("{ATTEMPTS_MAX} attempts to end a reservation"))
}
