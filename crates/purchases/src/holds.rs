//! Holds: what an order has of the uses that an activity gives to all users.

use domain::partition::Partition;
use domain::transaction::{CommitError, Guard, Member, Write};
use store::{Binding, Context, Plan, Versioned, attempts, codec};

use crate::order::{NOBODY, Order, Purchase, Used, counted_for_all};
use crate::records::{self, HeldUses, Hold};

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

/// The hold that uses of one activity ask for.
pub fn asked(uses: &[&Used]) -> Hold {
    let of_unit = |used: &&Used| HeldUses { unit: used.unit.clone(), uses: used.uses };
    Hold::Held(uses.iter().map(of_unit).collect())
}

/// The name of a hold in [`records::held`].
fn name(place: &Versioned<Hold>) -> Member {
    Member(place.field.0.clone())
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
        plan.demand(Why::Known, place.unchanged(None)).write(place.set(&asked(&uses)));
        plan.write(Write::AddMember(records::activities(), activity.into()));
        plan.write(Write::AddMember(records::held(activity), name(&place)));
        for used in uses {
            let (field, uses) = (records::unit(&used.unit), i64::from(used.uses));
            let most = used.of_all.unwrap_or(0) - uses;
            let guard = Guard::IntegerAtMost(stock.clone(), field.clone(), most);
            plan.demand(Why::UsedUp(used.place), guard);
            plan.write(Write::Add(stock.clone(), field, uses));
            if !used.unit.is_empty() {
                let unit = used.unit.as_str().into();
                plan.write(Write::AddMember(records::units(activity), unit));
            }
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
                Some(Hold::Held(_)) => {}
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
    let mut groups: Vec<_> = all.map(|(activity, uses)| (activity, Some(asked(&uses)))).collect();
    attempts("let go of the holds of an order", async || {
        let step = |(activity, thought): &(&str, Option<Hold>)| {
            let place = place(context, order, purchase, activity);
            let mut plan = Plan::new();
            plan.demand((), place.unchanged(thought.as_ref().map(codec::encode).as_ref()));
            plan.write(place.set(&Hold::LetGo));
            if let Some(Hold::Held(uses)) = thought {
                let stock = records::stock(activity);
                plan.write_all(uses.iter().map(|one| {
                    let field = records::unit(&one.unit);
                    Write::Add(stock.clone(), field, -i64::from(one.uses))
                }));
                plan.write(Write::RemoveMember(records::held(activity), name(&place)));
            }
            (place.partition, plan)
        };
        let steps = groups.iter().map(step).collect();
        let mut open = Vec::new();
        let decided = context.commit_all(steps).await?;
        for ((activity, _), decided) in std::mem::take(&mut groups).into_iter().zip(decided) {
            let Err(refused) = decided else { continue };
            match refused.field()?.map(codec::decode).transpose()? {
                Some(Hold::LetGo) => {}
                seen @ (None | Some(Hold::Held(_))) => open.push((activity, seen)),
            }
        }
        groups = open;
        Ok(groups.is_empty().then_some(()))
    })
    .await
}
