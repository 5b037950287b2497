//! Holds: what an order has of the uses that an activity gives to all users.
//!
//! A hold comes at most once under its name: letting go leaves a tombstone there. Of an activity that is sealed no hold
//! comes any more, whatever its name, so that letting go leaves nothing: the mark of the activity, in the same partition,
//! is demanded by every commit that would leave something.

use domain::partition::{Partition, Partitions};
use domain::transaction::{CommitError, Guard, Member, Write};
use store::sealed::Kind;
use store::{Binding, Context, Plan, Versioned, attempts, codec};

use crate::order::{NOBODY, Order, Purchase, Used, counted_for_all};
use crate::records::{self, HeldUses, Hold};

/// Why an activity gives no hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The attempt has one, or let it go.
    Known,
    /// The activity is sealed.
    Sealed,
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

/// Demands that an activity is not sealed.
fn not_sealed(activity: &str, partitions: Partitions) -> Guard {
    Kind::Activity.demand_unused(activity, partitions)
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
        plan.demand(Why::Known, place.unchanged(None))
            .demand(Why::Sealed, not_sealed(activity, context.partitions));
        plan.write(place.set(&asked(&uses)));
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
            Why::Sealed => place = place.or(Some(NOBODY)),
            Why::Known => match refused.field()?.map(codec::decode).transpose()? {
                Some(Hold::Held(_)) => {}
                // The attempt was undone meanwhile.
                Some(Hold::LetGo) | None => place = place.or(Some(NOBODY)),
            },
        }
    }
    Ok(place)
}

/// Why a hold is not let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// It is not what it was thought to be.
    Changed,
    /// The activity is sealed: nothing is to be left.
    Sealed,
}

/// A hold that is to be let go.
struct LettingGo<'a> {
    activity: &'a str,
    /// What is thought to be there: at first a hold.
    thought: Option<Hold>,
    /// Whether the activity is sealed, so that no tombstone is needed.
    is_sealed: bool,
}

impl LettingGo<'_> {
    /// Lets go of it where it is what it is thought to be.
    fn plan(&self, place: &Versioned<Hold>, partitions: Partitions) -> Plan<Kept> {
        let Self { activity, thought, is_sealed } = self;
        let mut plan = Plan::new();
        plan.demand(Kept::Changed, place.unchanged(thought.as_ref().map(codec::encode).as_ref()));
        if *is_sealed {
            plan.write(place.unset());
        } else {
            plan.demand(Kept::Sealed, not_sealed(activity, partitions))
                .write(place.set(&Hold::LetGo));
        }
        if let Some(Hold::Held(uses)) = thought {
            let stock = records::stock(activity);
            plan.write_all(uses.iter().map(|one| {
                let field = records::unit(&one.unit);
                Write::Add(stock.clone(), field, -i64::from(one.uses))
            }));
            plan.write(Write::RemoveMember(records::held(activity), name(place)));
        }
        plan
    }
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
    let all = counted_for_all(&purchase.uses).into_iter();
    let mut open: Vec<_> = all
        .map(|(activity, uses)| LettingGo {
            activity,
            thought: Some(asked(&uses)),
            is_sealed: false,
        })
        .collect();
    attempts("let go of the holds of an order", async || {
        let step = |one: &LettingGo<'_>| {
            let place = place(context, order, purchase, one.activity);
            (place.partition, one.plan(&place, context.partitions))
        };
        let decided = context.commit_all(open.iter().map(step).collect()).await?;
        let mut again = Vec::new();
        for (mut one, decided) in std::mem::take(&mut open).into_iter().zip(decided) {
            let Err(refused) = decided else { continue };
            match refused.why {
                Kept::Sealed => one.is_sealed = true,
                Kept::Changed => one.thought = refused.field()?.map(codec::decode).transpose()?,
            }
            let is_gone = match one.thought {
                Some(Hold::LetGo) => true,
                // Nothing comes any more.
                None => one.is_sealed,
                Some(Hold::Held(_)) => false,
            };
            if !is_gone {
                again.push(one);
            }
        }
        open = again;
        Ok(open.is_empty().then_some(()))
    })
    .await
}
