//! Settling coupons: what a coupon of a template with a budget did not use of it returns to the budget, exactly once,
//! when nothing can be done with the coupon any more.
//!
//! A coupon is *open*, *redeemed*, *final* (redeemed so long ago that it cannot be rolled back), *expired* or *revoked*.
//! Its template's budget is taken up by its face, what it may take off at the most, from the moment when it is given. What
//! comes back is the face of one that has expired, and of one that is final the face less what the shop said that it
//! took off; nothing, where the shop did not say. One that is revoked is a unit of the stock again ([`crate::revocation`]).
//!
//! # The steps
//!
//! What can be settled stands in an index of the user's partition ([`DUE`]), under the moment from which on nothing can be
//! done with it: until when it is valid, or until when its redemption can be rolled back. The entry follows from the order
//! ([`records::settles_at`]) and comes, moves and goes in the commit that changes the order ([`records::due_writes`]): issuing or confirming puts it in,
//! redeeming and rolling back move it, as does extending; settling and revoking take it out.
//!
//! 1. *The user's partition*, one commit: the order, which must be what was seen, is over and its rest counted; its entry
//!    goes; the lease's count of what was not used ([`UNUSED`]) grows by the rest; and the template is put on the list of
//!    those from which something is to go home ([`HOMEWARD`]). The lease must be there. Where it is not, because the
//!    template is no more, the rest goes nowhere, which the order says.
//! 2. *The pool*, one commit for the partitions that are swept together: [`bring_home`]. It makes as many more coupons free
//!    as stock, budget and what was not used of it allow now, by the version that is seen, which it demands. Publishing
//!    demands what was not used as it saw it. So what may be leased is always that of the version and the sum that are there.
//! 3. *The user's partition*: the template goes off the list, if the count is still the one that the pool has.
//!
//! So never is more given than the budget pays: `given * face - unused <= budget` at any moment, because the pool's
//! sum grows last.
//!
//! # What can go wrong
//!
//! - A crash before step 1 leaves the entry, a crash after it the list: the next sweep goes on. After step 2 it finds
//!   nothing to bring home, and does step 3.
//! - A commit that comes late: step 1 meets another order, step 2 other counts or another version, step 3 another count.
//!   Each of them does nothing then, or what it would have done.
//! - Two sweeps at once: of each commit one is refused, and what is there is right.
//! - A roll-back at the same time as step 1: the first commit decides. Clocks may differ by minutes, so that a redemption
//!   may be final some minutes early: whoever is told so is told from the order.
//! - A retry of a redemption after it is final meets the order, and is told what it says. The order by which it was
//!   redeemed stays in it.
//! - A fail-over of the user's partition makes orders and counts forget together. What was settled is settled again, and
//!   the pool follows only from where its count is passed. One of the pool makes it forget counts and what is free together;
//!   it is brought up when the template is swept next, when it is published, also as it is, and when it is over.
//! - An order that cannot be read keeps its entry, which is set aside in the end, and no other one. A template that cannot
//!   be read, or is gone while its lease is there, keeps its entries, and is told.
//!
//! A coupon that was given while its template had no budget has nothing to return.
//!
//! # Leases of what is over
//!
//! A coupon that is revoked puts a unit back into a lease, perhaps after the template is over and all its units have gone
//! home. So revoking puts the template on the list of step 1, and where the template is over, step 2 takes the lease back,
//! and step 3 demands that nothing is left.

use std::collections::BTreeMap;

use domain::answers::unexpected;
use domain::due::{Swept, of_user};
use domain::partition::Partition;
use domain::time::{GRACE_MS, UnixMillis};
use domain::transaction::{CommitError, Field, Guard, MapKey, Write};
use lease::{
    CREDITED, LEFT, UNUSED, UNUSED_IN_ALL, bring_home as bring_home_counts, call_back, demand,
};
use store::life::{Life, Shape};
use store::listing::Place;
use store::plan::Decided;
use store::published::Version;
use store::sweep::{Fault, Sweep, Tried};
use store::{Binding, Plan, attempts};

use crate::context::Context;
use crate::expiry::replace;
use crate::listed::{self, Listed};
use crate::orders::Found;
use crate::records::{self, DUE, Gave, HOMEWARD, HOMEWARD_AT, Order, Unused};
use crate::template::Template;

/// Of a lease, beside what was not used: the part of it that was returned by orders which are kept no more. Whoever takes
/// an order away adds what it [returned], so that the books agree.
pub const UNUSED_GONE: &str = "gone_u";
/// Coupons of a partition after which a sweep reads no further page of them. The next sweep goes on.
pub const SETTLED_MAX: u64 = 256;
/// Entries of a partition that one sweep passes over.
const PASSED_OVER_MAX: u64 = 4_096;

/// Kinds of records of this module.
pub const LIVES: &[Life] = &[
    Life {
        name: "ds",
        shape: Shape::Ordered,
        what: "coupons of templates with a budget that are not settled, by when they can be",
        written_by: "whoever gives, redeems, rolls back, extends, revokes or settles a coupon",
        acts: "until the coupon is settled or revoked",
        ends: "with that commit",
    },
    Life {
        name: "du",
        shape: Shape::Ordered,
        what: "templates of which something is to go home from the partition",
        written_by: "settling and revoking coupons",
        acts: "until it is in the pool",
        ends: "with the next sweep",
    },
];

/// Cents of the budget that an order has returned to it.
pub fn returned(order: &Order) -> i64 {
    match &order.gave {
        Gave::Issued(coupon) | Gave::Fallback(coupon) if coupon.unused == Unused::Counted => {
            let face = coupon.cap.unwrap_or(0);
            match &coupon.redeemed {
                None => face,
                Some(redeemed) => redeemed.amount.map_or(0, |amount| (face - amount).max(0)),
            }
        }
        _ => 0,
    }
}

/// An order that is settled at a moment: its time is over, and what it did not use is known. Nothing where there is still
/// something to be done with it.
fn settled(order: &Order, now: UnixMillis, unused: Unused) -> Option<Order> {
    let at = records::settles_at(order)?;
    let over = order.expired_at(now).or_else(|| order.final_at(now));
    let mut over = over.or_else(|| (order.is_over && now >= at).then(|| order.clone()))?;
    let (Gave::Issued(coupon) | Gave::Fallback(coupon)) = &mut over.gave else { return None };
    coupon.unused = unused;
    Some(over)
}

/// Puts a template on the list of those from which something is to go home.
pub fn homeward(template: &str) -> Write {
    HOMEWARD.add(HOMEWARD_AT, template.as_bytes())
}

/// Demands that a lease is there, or that it is not. Whoever writes into it would make it again otherwise.
pub fn lease_is_there(lease: &MapKey, is_there: bool) -> Guard {
    let (record, field) = (lease.clone(), Field::from(CREDITED));
    if is_there { Guard::FieldPresent(record, field) } else { Guard::FieldAbsent(record, field) }
}

/// Settles the coupons of some partitions with which nothing can be done any more, those first that wait longest.
///
/// # Errors
/// The store's. An order that cannot be read, or settled, stops only itself.
pub async fn settle_due<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
) -> Result<Swept, CommitError> {
    let sweep = Sweep {
        index: DUE,
        name: "coupons to settle",
        partitions,
        until: context.now,
        looks_ahead: false,
        sets_aside: true,
        done_max: SETTLED_MAX,
        passed_over_max: PASSED_OVER_MAX,
    };
    sweep.run(context, async |items| settle_all(context, items).await).await
}

/// One wave reads the orders, another one settles; one more where leases are gone.
async fn settle_all<B: Binding>(context: &Context<'_, B>, items: &[Place]) -> Vec<Tried> {
    let mut tried: Vec<Tried> = vec![None; items.len()];
    let (mut found, orders) = (Vec::new(), listed::find(context, items, "coupon").await);
    for (place, (item, order)) in items.iter().zip(orders).enumerate() {
        match order {
            Ok((one, order)) => found.push((place, item.partition, one, order)),
            Err(error) => tried[place] = Some(Err(error.into())),
        }
    }
    for unused in [Unused::Counted, Unused::Dropped] {
        let (mut steps, mut of) = (Vec::new(), Vec::new());
        for (place, partition, one, order) in found {
            match step(&one, &order, context.now, unused) {
                Some((is_settled, step)) => {
                    steps.push((partition, step));
                    of.push((is_settled, (place, partition, one, order)));
                }
                None => tried[place] = Some(Ok(false)),
            }
        }
        found = Vec::new();
        for ((is_settled, one), result) in of.into_iter().zip(context.commit_some(steps).await) {
            let is_done = match result {
                Ok(Err(refused)) if refused.why == Why::Lease && unused == Unused::Counted => {
                    found.push(one);
                    continue;
                }
                // Where it was refused somebody else was first. Beside the order it writes the partition's lease.
                result => result.map(|decided| is_settled && decided.is_ok()),
            };
            tried[one.0] = Some(is_done.map_err(Fault::of_shared_record));
        }
    }
    tried
}

/// Why a coupon is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The order is another one.
    Order,
    /// The lease is gone, or is there after all.
    Lease,
}

/// The commit that settles a coupon, and `true`. Where its order does not stand under this moment, the commit that takes
/// the entry out as long as that is so. Nothing, where there is still something to be done with the coupon.
fn step(
    listed: &Listed,
    found: &Found,
    now: UnixMillis,
    unused: Unused,
) -> Option<(bool, Plan<Why>)> {
    let (Listed { at, user, number }, Found { map, order }) = (listed, found);
    let mut plan = Plan::new();
    if records::settles_at(order) != Some(*at) {
        let field = records::order(number);
        plan.demand(Why::Order, Guard::FieldEquals(map.clone(), field, order.encode()));
        plan.write(DUE.remove(*at, &of_user(*user, number.as_str())));
        return Some((false, plan));
    }
    let after = settled(order, now, unused)?;
    replace(&mut plan, Why::Order, map.clone(), *user, number, order, &after);
    let (rest, template) = (returned(&after), &after.coupon()?.template);
    let lease = records::lease(template);
    if unused == Unused::Dropped {
        plan.demand(Why::Lease, lease_is_there(&lease, false));
    } else if rest > 0 {
        plan.demand(Why::Lease, lease_is_there(&lease, true));
        plan.write(Write::Add(lease, UNUSED.into(), rest));
        plan.write(homeward(template));
    }
    Some((true, plan))
}

/// Brings home what is on the lists of some partitions: what coupons did not use, and what was put back into the leases of
/// templates that are over.
///
/// # Errors
/// The store's. A template that cannot be read stops only itself.
pub async fn bring_home<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
) -> Result<Swept, CommitError> {
    let sweep = Sweep {
        index: HOMEWARD,
        name: "what is to go home",
        partitions,
        until: context.now,
        looks_ahead: false,
        sets_aside: true,
        done_max: SETTLED_MAX,
        passed_over_max: PASSED_OVER_MAX,
    };
    sweep.run(context, async |items| bring_all(context, items).await).await
}

/// Each template once, for all partitions on whose lists it is.
async fn bring_all<B: Binding>(context: &Context<'_, B>, items: &[Place]) -> Vec<Tried> {
    let mut tried: Vec<Tried> = vec![None; items.len()];
    let mut templates = BTreeMap::<&str, Vec<(usize, Partition)>>::new();
    for (place, item) in items.iter().enumerate() {
        let id = item.due().and_then(|due| std::str::from_utf8(due.what).map_err(|_| unexpected()));
        match id {
            Ok(id) => templates.entry(id).or_default().push((place, item.partition)),
            Err(error) => tried[place] = Some(Err(error.into())),
        }
    }
    for (id, places) in templates {
        let partitions: Vec<_> = places.iter().map(|(_, partition)| *partition).collect();
        match bring_one(context, id, &partitions).await {
            Ok(results) => {
                for ((place, _), result) in places.iter().zip(results) {
                    // The template and its pool are everybody's.
                    tried[*place] = Some(result.map_err(Fault::of_shared_record));
                }
            }
            Err(error) => {
                for (place, _) in places {
                    tried[place] = Some(Err(Fault::of_shared_record(error.clone())));
                }
            }
        }
    }
    tried
}

/// Brings home what some partitions have of a template, and takes it off their lists.
async fn bring_one<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    partitions: &[Partition],
) -> Result<Vec<Result<bool, CommitError>>, CommitError> {
    let place = context.place(id);
    let home = bring_template(context, id, partitions).await?;
    let is_over = match &home {
        Some((version, _)) => is_over(&version.record, context.now),
        None => false,
    };
    if is_over {
        call_back(context, &place, partitions).await?;
    }
    let off = |(partition, count): (&Partition, Option<i64>)| {
        let mut plan = Plan::new();
        match count {
            Some(count) => plan.demand_all((), demand(&place.lease, &UNUSED.into(), count)),
            // The template is no more.
            None => plan.demand((), lease_is_there(&place.lease, false)),
        };
        if is_over {
            plan.demand((), Guard::IntegerAtMost(place.lease.clone(), LEFT.into(), 0));
        }
        plan.write(HOMEWARD.remove(HOMEWARD_AT, id.as_bytes()));
        (*partition, plan)
    };
    let is_there = home.is_some();
    let counts = home.map(|(_, counts)| counts).unwrap_or_default();
    let counts = counts.into_iter().map(Some).chain(std::iter::repeat(None));
    let plans = partitions.iter().zip(counts).map(off).collect();
    let done = |result: Result<Decided<()>, CommitError>| match result? {
        Ok(_) => Ok(true),
        // Somebody else counted something meanwhile.
        Err(_) if is_there => Ok(false),
        Err(_) => {
            Err(CommitError::Unreadable(format!("the template {id} is gone, and not its lease")))
        }
    };
    Ok(context.commit_some(plans).await.into_iter().map(done).collect())
}

/// Whether nothing is given of a template any more, for every clock.
pub(crate) fn is_over(template: &Template, now: UnixMillis) -> bool {
    now.0 >= template.claim_until.0.saturating_add(GRACE_MS)
}

/// Brings home what coupons did not use in some partitions, whether it is on their lists or not; the version by which it
/// came, and the counts of the partitions. Nothing where there is no such template.
///
/// # Errors
/// The store's.
pub async fn bring_template<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    partitions: &[Partition],
) -> Result<Option<(Version<Template>, Vec<i64>)>, CommitError> {
    let (publication, place) = (context.publication(id), context.place(id));
    attempts("bring home what was not used", async || {
        let Some((version, [_])) = publication.find(context, [UNUSED_IN_ALL]).await? else {
            return Ok(Some(None));
        };
        let unchanged = publication.unchanged(Some(&version));
        let units = |unused| version.record.leasable(unused);
        let counts = bring_home_counts(context, &place, partitions, &unchanged, units).await?;
        Ok(counts.map(|counts| Some((version, counts))))
    })
    .await
}

#[cfg(test)]
mod tests {
    use domain::ids::UserId;
    use domain::order_number::OrderNumber;

    use super::*;
    use crate::records::{Coupon, Redeemed, Revocation};
    use crate::template::tests::published;

    const GIVEN: i64 = 1_000_000;
    const DAY: i64 = 86_400_000;

    fn order(change: impl FnOnce(&mut Coupon)) -> Order {
        let mut coupon = Coupon::of(&published("t", 1), UnixMillis(GIVEN));
        coupon.unused = Unused::Due;
        change(&mut coupon);
        Order::new(1, UnixMillis(GIVEN), Gave::Issued(coupon))
    }

    fn redeemed(amount: Option<i64>) -> Order {
        let redeemed = Redeemed { order: "A".into(), amount, at: GIVEN + DAY };
        order(|coupon| coupon.redeemed = Some(redeemed))
    }

    #[test]
    fn a_coupon_stands_under_the_moment_when_nothing_can_be_done_with_it() {
        let open = order(|_| ());
        let coupon = open.coupon().unwrap().clone();
        let held = Order { gave: Gave::Reserved(coupon.clone(), GIVEN + 5), ..open.clone() };
        let revocation = Revocation { at: GIVEN, reason: String::new() };
        let revoked = Order { gave: Gave::Revoked(coupon, revocation), ..open.clone() };
        for (order, expected) in [
            (&open, Some(GIVEN + 30 * DAY)),
            (&redeemed(None), Some(GIVEN + 31 * DAY)),
            (&order(|coupon| coupon.unused = Unused::None), None),
            (&order(|coupon| coupon.unused = Unused::Counted), None),
            (&held, None),
            (&revoked, None),
        ] {
            assert_eq!(records::settles_at(order), expected.map(UnixMillis), "{order:?}");
        }
        let number = OrderNumber::parse("n", "").unwrap();
        let moved = |before: Option<&Order>, after: &Order| {
            records::due_writes(UserId(7), &number, before, after).collect::<Vec<_>>()
        };
        let what = of_user(UserId(7), "n");
        let (first, second) = (UnixMillis(GIVEN + 30 * DAY), UnixMillis(GIVEN + 31 * DAY));
        assert_eq!(moved(None, &open), [DUE.add(first, &what)]);
        assert_eq!(moved(Some(&held), &open), [DUE.add(first, &what)]);
        let both = [DUE.remove(first, &what), DUE.add(second, &what)];
        assert_eq!(moved(Some(&open), &redeemed(None)), both);
        assert_eq!(moved(Some(&open), &revoked), [DUE.remove(first, &what)]);
        assert_eq!(moved(Some(&open), &open), []);
    }

    #[test]
    fn a_coupon_changes_no_more_once_nothing_can_be_rolled_back() {
        let without = |change: fn(&mut Coupon)| {
            order(|coupon| {
                coupon.unused = Unused::None;
                change(coupon);
            })
        };
        let expired = |order: Order| Order { is_over: true, ..order };
        let open = without(|_| ());
        let rolled_back = without(|coupon| coupon.rolled_back.push(1));
        let revocation = Revocation { at: GIVEN + 5, reason: String::new() };
        let gave = Gave::Revoked(open.coupon().unwrap().clone(), revocation);
        let revoked = Order { gave, ..open.clone() };
        let by = |coupon: &mut Coupon| {
            let redeemed = Redeemed { order: "A".into(), amount: None, at: GIVEN + DAY };
            coupon.redeemed = Some(redeemed);
        };
        for (order, expected) in [
            (open.clone(), None),
            (expired(open), Some(GIVEN + 30 * DAY)),
            (expired(rolled_back), Some(GIVEN + 60 * DAY)),
            (without(by), None),
            (expired(without(by)), Some(GIVEN + 31 * DAY)),
            (revoked, Some(GIVEN + 5)),
        ] {
            assert_eq!(order.ended_at(), expected.map(UnixMillis), "{order:?}");
        }
    }

    #[test]
    fn what_comes_back_is_what_was_not_taken_off() {
        let open = order(|_| ());
        for (order, from, expected) in [
            (&open, 30 * DAY, 1_500),
            (&redeemed(Some(1_500)), 31 * DAY, 0),
            (&redeemed(Some(1_499)), 31 * DAY, 1),
            (&redeemed(Some(0)), 31 * DAY, 1_500),
            (&redeemed(None), 31 * DAY, 0),
        ] {
            assert_eq!(settled(order, UnixMillis(GIVEN + from - 1), Unused::Counted), None);
            let at = UnixMillis(GIVEN + from);
            let after = settled(order, at, Unused::Counted).unwrap();
            assert!(after.is_over);
            assert_eq!((returned(order), returned(&after)), (0, expected), "{order:?}");
            assert_eq!((records::settles_at(order).is_some(), order.ended_at()), (true, None));
            assert_eq!((records::settles_at(&after), after.ended_at()), (None, Some(at)));
            assert_eq!(settled(&after, at, Unused::Counted), None, "once");
            assert_eq!(returned(&settled(order, at, Unused::Dropped).unwrap()), 0);
        }
    }
}
