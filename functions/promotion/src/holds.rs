//! Holds: what an order has of the uses that an activity gives to all users.

use domain::partition::Partition;
use domain::transaction::{CommitError, Guard, Write};
use store::{Binding, Plan, Versioned, attempts, codec};

use crate::context::Context;
use crate::order::{NOBODY, Order, Purchase, Used, counted_for_all};
use crate::records::{self, Hold};

/// Why an activity gives no hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The attempt has one, or let it go.
    Known,
    /// The use of this place in the request is too much.
    UsedUp(u32),
}

/// Where the hold of an attempt lies.
fn place<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    purchase: &Purchase,
    activity: &str,
) -> Versioned<Hold> {
    let hold = records::hold(order.user, order.number, purchase.attempt);
    Versioned::new(records::stock_of(context.partitions, activity), records::holds(activity), hold)
}

/// Asks every activity that an order uses for a hold; the place of a use that was refused.
///
/// # Errors
/// The store's.
pub async fn hold<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    purchase: &Purchase,
) -> Result<Option<u32>, CommitError> {
    let step = |(activity, uses): (&str, Vec<&Used>)| -> (Partition, Plan<Why>) {
        let (place, stock) = (place(context, order, purchase, activity), records::stock(activity));
        let mut plan = Plan::new();
        plan.demand(Why::Known, place.unchanged(None)).write(place.set(&Hold::Held));
        for used in uses {
            let (field, uses) = (records::unit(&used.unit), i64::from(used.uses));
            let most = used.of_all.unwrap_or(0) - uses;
            let guard = Guard::IntegerAtMost(stock.clone(), field.clone(), most);
            plan.demand(Why::UsedUp(used.place), guard);
            plan.write(Write::Add(stock.clone(), field, uses));
        }
        (place.partition, plan)
    };
    let steps = counted_for_all(&purchase.uses).into_iter().map(step).collect();
    let mut place = None;
    for decided in context.commit_all(steps).await? {
        let Err(refused) = decided else { continue };
        match refused.why {
            Why::UsedUp(used) => place = Some(used),
            Why::Known => match refused.field()?.map(codec::decode).transpose()? {
                Some(Hold::Held) => {}
                // The attempt was undone meanwhile.
                Some(Hold::LetGo) | None => place = place.or(Some(NOBODY)),
            },
        }
    }
    Ok(place)
}

/// Lets go of every hold of an attempt, and leaves a tombstone for those that may still come.
///
/// # Errors
/// The store's.
pub async fn let_go<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    purchase: &Purchase,
) -> Result<(), CommitError> {
    // What is thought to be there of each activity: at first a hold.
    let all = counted_for_all(&purchase.uses).into_iter();
    let mut groups: Vec<_> =
        all.map(|(activity, uses)| (activity, uses, Some(Hold::Held))).collect();
    attempts("let go of the holds of an order", async || {
        let step = |(activity, uses, thought): &(&str, Vec<&Used>, Option<Hold>)| {
            let place = place(context, order, purchase, activity);
            let mut plan = Plan::new();
            plan.demand((), place.unchanged(thought.as_ref().map(codec::encode).as_ref()));
            plan.write(place.set(&Hold::LetGo));
            if thought.is_some() {
                let stock = records::stock(activity);
                plan.write_all(uses.iter().map(|used| {
                    let field = records::unit(&used.unit);
                    Write::Add(stock.clone(), field, -i64::from(used.uses))
                }));
            }
            (place.partition, plan)
        };
        let steps = groups.iter().map(step).collect();
        let mut open = Vec::new();
        let decided = context.commit_all(steps).await?;
        for ((activity, uses, _), decided) in std::mem::take(&mut groups).into_iter().zip(decided) {
            let Err(refused) = decided else { continue };
            match refused.field()?.map(codec::decode).transpose()? {
                Some(Hold::LetGo) => {}
                seen @ (None | Some(Hold::Held)) => open.push((activity, uses, seen)),
            }
        }
        groups = open;
        Ok(groups.is_empty().then_some(()))
    })
    .await
}
