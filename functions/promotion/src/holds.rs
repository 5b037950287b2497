//! Holds: what an order has of the uses that an activity gives to all users.

use domain::answers::unexpected;
use domain::transaction::{CommitError, Failed, Guard, Outcome, Seen, Transaction, Value, Write};
use edge::store::Binding;

use crate::context::Context;
use crate::order::{NOBODY, Order, Purchase, STEPS_MAX, Used, busy, counted_for_all};
use crate::records;

/// Asks every activity that an order uses for a hold; the place of a use that was refused.
///
/// # Errors
/// The store's.
pub async fn hold<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    purchase: &Purchase,
) -> Result<Option<u32>, CommitError> {
    let groups = counted_for_all(&purchase.uses);
    let step = |(activity, uses): &(&str, Vec<&Used>)| {
        let (holds, stock) = (records::holds(activity), records::stock(activity));
        let hold = records::hold(order.user, order.number, purchase.attempt);
        let mut guards = vec![Guard::FieldAbsent(holds.clone(), hold.clone())];
        let mut writes = vec![Write::Set(holds, hold, Value::Integer(1))];
        for used in uses {
            let (field, uses) = (records::unit(&used.unit), i64::from(used.uses));
            let most = used.of_all.unwrap_or(0) - uses;
            guards.push(Guard::IntegerAtMost(stock.clone(), field.clone(), most));
            writes.push(Write::Add(stock.clone(), field, uses));
        }
        let partition = records::stock_of(context.partitions, activity);
        (partition, Transaction { guards, writes, ..Transaction::default() })
    };
    let steps: Vec<_> = groups.iter().map(step).collect();
    let mut place = None;
    for (outcome, (_, uses)) in context.commit_all(&steps).await?.into_iter().zip(&groups) {
        let Outcome::Refused(refused) = outcome else { continue };
        match (refused.failed, refused.seen) {
            (Failed::Guard(0), Seen::Field(Some(Value::Integer(1)))) => {}
            // A tombstone: the attempt was undone meanwhile.
            (Failed::Guard(0), _) => place = place.or(Some(NOBODY)),
            (Failed::Guard(guard), _) => {
                place = Some(uses.get(guard - 1).map_or(NOBODY, |used| used.place));
            }
            (Failed::Write(_), _) => return Err(unexpected()),
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
    let mut groups = counted_for_all(&purchase.uses);
    let mut is_held = true;
    for _ in 0..STEPS_MAX {
        let step = |(activity, uses): &(&str, Vec<&Used>)| {
            let (holds, stock) = (records::holds(activity), records::stock(activity));
            let hold = records::hold(order.user, order.number, purchase.attempt);
            let mut writes = vec![Write::Set(holds.clone(), hold.clone(), Value::Integer(0))];
            let guard = if is_held {
                writes.extend(uses.iter().map(|used| {
                    let field = records::unit(&used.unit);
                    Write::Add(stock.clone(), field, -i64::from(used.uses))
                }));
                Guard::FieldEquals(holds, hold, Value::Integer(1))
            } else {
                Guard::FieldAbsent(holds, hold)
            };
            let partition = records::stock_of(context.partitions, activity);
            let guards = vec![guard];
            (partition, Transaction { guards, writes, ..Transaction::default() })
        };
        let steps: Vec<_> = groups.iter().map(step).collect();
        let outcomes = context.commit_all(&steps).await?;
        let mut open = Vec::new();
        for (group, outcome) in groups.into_iter().zip(outcomes) {
            let Outcome::Refused(refused) = outcome else { continue };
            match refused.seen {
                Seen::Field(Some(Value::Integer(0))) => {}
                // Held where it was thought not to be, or the other way round.
                Seen::Field(None | Some(Value::Integer(1))) => open.push(group),
                // No step would ever change what no hold is.
                _ => return Err(unexpected()),
            }
        }
        groups = open;
        if groups.is_empty() {
            return Ok(());
        }
        is_held = !is_held;
    }
    Err(busy())
}
