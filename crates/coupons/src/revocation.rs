//! Operators take a coupon back, or extend it.
//!
//! *Revoking* is one commit in the user's partition: the order, which must be open and what was seen, is revoked, with the
//! operator's reason; its entry in the index of what can be settled goes ([`crate::settling`]); and one unit goes back to
//! the lease, as that of a reservation which is cancelled, so that somebody else can have it. The user's count stays: the
//! user does not get another one. The lease must be there; where it is gone, because the template is no more, the unit goes
//! nowhere. Asked again, what is recorded is told. Redeeming and revoking at the same time: the first commit decides.
//!
//! *Extending* makes a coupon valid until a later moment, and never until an earlier one, so that it may be asked for
//! again, late and in any order.
//! 1. The pool notes until when a coupon of the template is valid at the latest ([`LATEST`]), if that is later than
//!    what it has: so it is known how long the template is needed.
//! 2. The user's partition, one commit: the order, which must be open and what was seen, is valid until then, and its entry
//!    stands there.
//!
//! A crash between them leaves a template that is needed for longer than it is. One whose time is over by the clock of
//! whoever comes has expired first, which is committed ([`crate::expiry`]): so a coupon that was told to have expired never
//! comes back. Of an extension and an expiry at the same time, by clocks that differ, the first commit decides.

use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::{Guard, Value, Write};
use lease::{LEFT, SOLD_OUT_UNTIL};
use store::{Binding, Plan, attempts};

use crate::context::Context;
use crate::expiry::{replace, settled};
use crate::issue::Recorded;
use crate::orders::{Found, find};
use crate::records::{self, Coupon, Gave, Order, Revocation};
use crate::refusal::{Failure, Refusal};
use crate::reservation::put_back;
use crate::seal::{LATEST, demand_open};
use crate::settling::{homeward, lease_is_there};
/// Bytes of an operator's reason, which is kept with each coupon.
pub const REASON_BYTES_MAX: usize = 200;
/// Days from now on until when a coupon may be extended: ten years, as long as one may be valid.
pub const EXTENDED_DAYS_MAX: i64 = 3_660;

/// Why a coupon is not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The order is another one.
    Order,
    /// The lease is gone, or is there after all.
    Lease,
}

/// The open coupon of an order; or why it is none.
fn open(order: &Order) -> Result<&Coupon, Refusal> {
    match &order.gave {
        Gave::Issued(coupon) | Gave::Fallback(coupon) if coupon.redeemed.is_some() => {
            Err(Refusal::AlreadyRedeemed)
        }
        Gave::Issued(_) | Gave::Fallback(_) if order.is_over => Err(Refusal::Expired),
        Gave::Issued(coupon) | Gave::Fallback(coupon) => Ok(coupon),
        Gave::Reserved(..) => Err(Refusal::NotConfirmed),
        Gave::Revoked(..) => Err(Refusal::Revoked),
        Gave::Greeting(_) | Gave::Cancelled | Gave::Expired => Err(Refusal::UnknownCoupon),
    }
}

/// Takes a coupon back that is open.
///
/// # Errors
/// `unknown_coupon`, `not_confirmed`, `already_redeemed`, `expired`; or the store's.
pub async fn revoke<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    id: &OrderNumber,
    reason: &str,
) -> Result<Recorded, Failure> {
    let (recorded, is_back) = take_back(context, user, id, reason).await?;
    if is_back && let Some(coupon) = recorded.order.coupon() {
        put_back(context, coupon, context.home(user)).await?;
    }
    Ok(recorded)
}

/// The same, where nobody waits for the unit; and whether that went back to a lease.
pub(crate) async fn take_back<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    id: &OrderNumber,
    reason: &str,
) -> Result<(Recorded, bool), Failure> {
    let mut is_there = true;
    attempts("take a coupon back", async || {
        let Found { map, order } = find(context, user, id).await?.ok_or(Refusal::UnknownCoupon)?;
        let order = settled(context, user, id, order).await?;
        if let Gave::Revoked(..) = order.gave {
            let recorded = Recorded { number: id.clone(), order, replayed: true };
            return Ok(Some((recorded, false)));
        }
        let coupon = open(&order)?;
        let revocation = Revocation { at: context.now.0, reason: reason.to_owned() };
        let gave = Gave::Revoked(coupon.clone(), revocation);
        let next = Order { gave, ..order.clone() };
        let mut plan = Plan::new();
        replace(&mut plan, Why::Order, map, user, id, &order, &next);
        let lease = records::lease(&coupon.template);
        plan.demand(Why::Lease, lease_is_there(&lease, is_there));
        if is_there {
            plan.write(Write::Add(lease.clone(), LEFT.into(), 1));
            plan.write(Write::Unset(lease, SOLD_OUT_UNTIL.into()));
            plan.write(homeward(&coupon.template));
        }
        plan.write_all(records::HOLDERS.mark(user, context.now));
        match context.commit(context.home(user), plan).await? {
            Ok(_) => {
                let recorded = Recorded { number: id.clone(), order: next, replayed: false };
                Ok(Some((recorded, is_there)))
            }
            Err(refused) => {
                is_there ^= refused.why == Why::Lease;
                Ok(None)
            }
        }
    })
    .await
}

/// Makes an open coupon valid until a moment at least.
///
/// # Errors
/// `unknown_coupon`, `not_confirmed`, `already_redeemed`, `expired`, `revoked`, `unknown_template`; or the store's.
pub async fn extend<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    id: &OrderNumber,
    until: UnixMillis,
) -> Result<Recorded, Failure> {
    attempts("extend a coupon", async || {
        let Found { map, order } = find(context, user, id).await?.ok_or(Refusal::UnknownCoupon)?;
        let order = settled(context, user, id, order).await?;
        let coupon = open(&order)?;
        let valid_until = until.0.saturating_sub(order.at);
        if coupon.valid_until >= valid_until {
            return Ok(Some(Recorded { number: id.clone(), order, replayed: true }));
        }
        note(context, &coupon.template, until).await?;
        let coupon = Coupon { valid_until, ..coupon.clone() };
        let gave = match order.gave {
            Gave::Fallback(_) => Gave::Fallback(coupon),
            _ => Gave::Issued(coupon),
        };
        let next = Order { gave, ..order.clone() };
        let mut plan = Plan::new();
        replace(&mut plan, (), map, user, id, &order, &next);
        let is_done = context.commit(context.home(user), plan).await?.is_ok();
        Ok(is_done.then(|| Recorded { number: id.clone(), order: next, replayed: false }))
    })
    .await
}

/// Notes in the pool that a coupon of the template is valid until a moment, and demands that it is not sealed.
async fn note<B: Binding>(
    context: &Context<'_, B>,
    template: &str,
    until: UnixMillis,
) -> Result<(), Failure> {
    let pool = records::pool(template);
    let latest = Guard::IntegerAtMost(pool.clone(), LATEST.into(), until.0);
    let mut plan = Plan::new();
    plan.demand_all(Note::Sealed, demand_open(context, template));
    plan.demand(Note::Later, latest);
    plan.write(Write::Set(pool, LATEST.into(), Value::Integer(until.0)));
    match context.commit(context.pool(template), plan).await? {
        Err(refused) if refused.why == Note::Sealed => Err(Refusal::UnknownTemplate.into()),
        // Refused, a later moment is noted.
        _ => Ok(()),
    }
}

/// Why nothing is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    /// The template is no more, or is sealed.
    Sealed,
    /// A later moment is noted.
    Later,
}
