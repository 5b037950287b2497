//! Taking uses of activities for an order, and giving them back: each once by order number.
//!
//! What one user may use is counted in the user's partition, with the order itself: where an activity
//! limits users only, taking is one commit. What all users may use is counted in a partition of the
//! activity's own. Then the order is first written down as *taking*, which counts for the user already;
//! then each activity is asked for a *hold* under the order's number and attempt; then the order has
//! *taken*. Where one activity refuses, or an order gives back, all holds are let go, each leaving a
//! tombstone, so that one that is late cannot come any more; and then the user's counts go back.
//! Each step demands the state that it starts from: whoever asks again goes on where a crash left it, and
//! orders of which nobody asks again are undone by the sweep.

use domain::answers::unexpected;
use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::integer::Count;
use domain::partition::{Partition, fnv1a};
use domain::transaction::{Answer, CommitError, Failed, Guard, Outcome, Read, Transaction, Value};
use edge::store::Binding;
use pricing::activity::{Activity, Counted};

use crate::catalogue::View;
use crate::context::Context;
use crate::holds::{hold, let_go};
use crate::look_up;
use crate::order::{
    Found, NOBODY, Order, Purchase, STEPS_MAX, State, Used, busy, change, counted_for_all, find,
    found,
};
use crate::records;
use crate::refusal::{Failure, Refusal};

/// Units of one user that are counted.
const UNITS_MAX: u32 = 4_096;
/// How long an order may be under way before the sweep undoes it.
const ABANDONED_MS: i64 = 60_000;
/// Orders of one partition that one sweep looks at.
const SWEEP_MAX: u32 = 64;

/// A use that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The activity.
    pub activity: String,
    /// The unit's key, where the activity counts them by unit.
    pub key: Option<String>,
    /// How often.
    pub uses: u32,
}

/// Takes uses for an order; `true` where it had taken them before.
///
/// # Errors
/// `unknown_activity`, `not_started`, `ended`, `disabled`, `limit_used_up`, naming the use;
/// `order_number_reused`, `given_back`, `too_many_limits`; the store's.
pub async fn take<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    wanted: &[Use],
) -> Result<(Purchase, bool), Failure> {
    let digest = digest(wanted);
    let mut found = match resolve(context, order.user, wanted).await {
        Ok(uses) => match begin(context, order, digest, uses, None).await? {
            Begun::Done(purchase) => return Ok((purchase, false)),
            Begun::Found(found) => found,
        },
        // Whatever changed since: an order that has taken has taken.
        Err(failure) => match find(context, order).await? {
            Some(found) if found.1.state != State::Refused => Some(found),
            _ => return Err(failure),
        },
    };
    let mut began = false;
    for _ in 0..STEPS_MAX {
        let (value, purchase) = match found {
            Some((value, purchase)) if purchase.state != State::Refused => (value, purchase),
            before => {
                if before.as_ref().is_some_and(|(_, purchase)| purchase.digest != digest) {
                    return Err(Refusal::OrderNumberReused.into());
                }
                let uses = resolve(context, order.user, wanted).await?;
                match begin(context, order, digest, uses, before).await? {
                    Begun::Done(purchase) => return Ok((purchase, false)),
                    Begun::Found(now) => found = now,
                }
                continue;
            }
        };
        if matches!(purchase.state, State::GivingBack | State::GivenBack) {
            return Err(Refusal::GivenBack.into());
        }
        if purchase.digest != digest {
            return Err(Refusal::OrderNumberReused.into());
        }
        match purchase.state {
            State::Taken => return Ok((purchase, !began)),
            State::Taking => {
                began = true;
                hold_and_go_on(context, order, &value, purchase).await?;
            }
            State::Undoing(place) => {
                undo(context, order, &value, purchase).await?;
                if place != NOBODY {
                    return Err(Refusal::LimitUsedUp(format!("uses[{place}]")).into());
                }
            }
            State::Refused | State::GivingBack | State::GivenBack => {}
        }
        found = find(context, order).await?;
    }
    Err(busy().into())
}

/// Gives back whatever an order took. Of an order that is not known nothing can be taken any more.
///
/// # Errors
/// The store's.
pub async fn give_back<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
) -> Result<Purchase, Failure> {
    for _ in 0..STEPS_MAX {
        let found = find(context, order).await?;
        let Some((value, mut purchase)) = found else {
            let (at, uses) = (context.now.0, vec![]);
            let none = Purchase { digest: 0, attempt: 0, state: State::GivenBack, at, uses };
            if change(context, order, None, &none, vec![]).await? {
                return Ok(none);
            }
            continue;
        };
        match purchase.state {
            State::GivenBack => return Ok(purchase),
            State::Refused => {
                purchase.state = State::GivenBack;
                purchase.uses.clear();
                change(context, order, Some(&value), &purchase, vec![]).await?;
            }
            State::Taken | State::Taking if counted_for_all(&purchase.uses).is_empty() => {
                close(context, order, &value, purchase, State::GivenBack).await?;
            }
            State::Taken | State::Taking => {
                purchase.state = State::GivingBack;
                purchase.at = context.now.0;
                change(context, order, Some(&value), &purchase, vec![]).await?;
            }
            State::Undoing(_) => undo(context, order, &value, purchase).await?,
            State::GivingBack => {
                let_go(context, order, &purchase).await?;
                close(context, order, &value, purchase, State::GivenBack).await?;
            }
        }
    }
    Err(busy().into())
}

/// What an order took.
///
/// # Errors
/// `unknown_order`; the store's.
pub async fn look<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
) -> Result<Purchase, Failure> {
    let found = find(context, order).await?;
    let known = found.filter(|(_, purchase)| purchase.state != State::Refused);
    known.map(|(_, purchase)| purchase).ok_or_else(|| Refusal::UnknownOrder.into())
}

/// Undoes orders of these partitions that nobody asks for any more; how many.
///
/// # Errors
/// The store's.
pub async fn sweep<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
) -> Result<u64, Failure> {
    let read = |one: &Partition| (*one, Read::Some(records::under_way(), SWEEP_MAX));
    let reads: Vec<_> = partitions.iter().map(read).collect();
    let mut swept = 0;
    for answer in context.read_all(reads).await? {
        let Answer::Map(marks) = answer else { return Err(unexpected().into()) };
        for (field, at) in marks {
            let Value::Integer(at) = at else { continue };
            let Some((user, number)) = records::under_way_of(&field) else { continue };
            if at + ABANDONED_MS <= context.now.0 {
                abandon(context, Order { user, number: &number }).await?;
                swept += 1;
            }
        }
    }
    Ok(swept)
}

async fn abandon<B: Binding>(context: &Context<'_, B>, order: Order<'_>) -> Result<(), Failure> {
    for _ in 0..STEPS_MAX {
        let Some((value, mut purchase)) = find(context, order).await? else { return Ok(()) };
        match purchase.state {
            State::Taken | State::Refused | State::GivenBack => return Ok(()),
            State::Undoing(_) => undo(context, order, &value, purchase).await?,
            State::Taking => {
                purchase.state = State::Undoing(NOBODY);
                change(context, order, Some(&value), &purchase, vec![]).await?;
            }
            State::GivingBack => {
                give_back(context, order).await?;
            }
        }
    }
    Ok(())
}

/// Of the request, so that the same number with another body is told.
fn digest(wanted: &[Use]) -> u64 {
    let mut text = String::new();
    for Use { activity, key, uses } in wanted {
        let key = key.as_deref().unwrap_or_default();
        text.push_str(&format!("{activity}\n{}\n{key}\n{uses}\n", key.len()));
    }
    // 0 is an order that was never asked for.
    fnv1a(text.as_bytes()).max(1)
}

/// What is wanted, as far as it is limited.
async fn resolve<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    wanted: &[Use],
) -> Result<Vec<Used>, Failure> {
    let mut uses: Vec<Used> = Vec::new();
    for (place, one) in (0..).zip(wanted) {
        let field = format!("uses[{place}].activity");
        let head = look_up::head(context, &one.activity).await?;
        let version = head.as_ref().and_then(|head| head.version(View::Of(Some(user))));
        let Some((version, _)) = version else {
            return Err(Refusal::UnknownActivity(field).into());
        };
        if let Some(used) = limited(&version.activity, one, place, context.now.0, field)? {
            let same =
                |other: &&mut Used| other.activity == used.activity && other.unit == used.unit;
            match uses.iter_mut().find(same) {
                Some(other) => other.uses = other.uses.saturating_add(used.uses),
                None => uses.push(used),
            }
        }
    }
    Ok(uses)
}

fn limited(
    activity: &Activity,
    wanted: &Use,
    place: u32,
    now_ms: i64,
    field: String,
) -> Result<Option<Used>, Failure> {
    if !activity.enabled {
        return Err(Refusal::Disabled(field).into());
    } else if now_ms < activity.from.0 {
        return Err(Refusal::NotStarted(field).into());
    } else if now_ms >= activity.until.0 {
        return Err(Refusal::Ended(field).into());
    }
    let Some(limits) = activity.limits else { return Ok(None) };
    let unit = match (limits.counted, &wanted.key) {
        (Counted::ByActivity, _) => String::new(),
        (Counted::ByUnit, Some(key)) => key.clone(),
        (Counted::ByUnit, None) => {
            let detail = "is required: the activity counts each unit by its key";
            let field = format!("uses[{place}].key");
            return Err(InvalidInput::new("missing_field", field, detail).into());
        }
    };
    Ok(Some(Used {
        activity: activity.id.clone(),
        unit,
        uses: wanted.uses,
        place,
        of_user: limits.per_user,
        of_all: limits.total.map(Count::get),
    }))
}

enum Begun {
    /// Nothing else is to be done.
    Done(Purchase),
    /// What there is now.
    Found(Found),
}

/// The first step: the order is written down, and counts for the user.
async fn begin<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    digest: u64,
    uses: Vec<Used>,
    before: Found,
) -> Result<Begun, Failure> {
    let attempt = before.as_ref().map_or(0, |(_, before)| before.attempt) + 1;
    let done = counted_for_all(&uses).is_empty();
    let state = if done { State::Taken } else { State::Taking };
    let purchase = Purchase { digest, attempt, state, at: context.now.0, uses };
    let (guard, mut writes) = order.change(before.as_ref().map(|(value, _)| value), &purchase);
    writes.extend(order.count(&purchase.uses, 1));
    let mut guards = vec![guard, Guard::SizeAtMost(records::user(order.user), UNITS_MAX)];
    let counted = purchase.uses.iter().filter_map(|used| Some((used, used.of_user?)));
    let counted: Vec<_> = counted.collect();
    guards.extend(counted.iter().map(|(used, limit)| {
        let field = records::unit_of(&used.activity, &used.unit);
        let most = i64::from(*limit) - i64::from(used.uses);
        Guard::IntegerAtMost(records::user(order.user), field, most)
    }));
    let reads = vec![order.read()];
    let transaction = Transaction { guards, writes, reads, ..Transaction::default() };
    match context.commit(context.home(order.user), transaction).await? {
        Outcome::Committed(_) if done => Ok(Begun::Done(purchase)),
        Outcome::Committed(answers) => Ok(Begun::Found(found(answers.first())?)),
        Outcome::Refused(refused) => match refused.failed {
            Failed::Guard(0) => Ok(Begun::Found(found(refused.reads.first())?)),
            Failed::Guard(1) => Err(Refusal::TooManyLimits.into()),
            Failed::Guard(guard) if guard - 2 < counted.len() => {
                let place = counted[guard - 2].0.place;
                Err(Refusal::LimitUsedUp(format!("uses[{place}]")).into())
            }
            _ => Err(unexpected().into()),
        },
    }
}

/// Asks every activity for a hold; then the order has taken, or is undone.
async fn hold_and_go_on<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    value: &Value,
    mut purchase: Purchase,
) -> Result<(), Failure> {
    let refused = hold(context, order, &purchase).await?;
    purchase.state = match refused {
        None => State::Taken,
        Some(place) => State::Undoing(place),
    };
    // Where it was changed meanwhile, the next step looks at what it is now.
    change(context, order, Some(value), &purchase, vec![]).await?;
    Ok(())
}

/// Undoes an attempt.
async fn undo<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    value: &Value,
    purchase: Purchase,
) -> Result<(), Failure> {
    let_go(context, order, &purchase).await?;
    close(context, order, value, purchase, State::Refused).await?;
    Ok(())
}

/// The last step back: the user's counts, and what is said of the order.
async fn close<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    value: &Value,
    mut purchase: Purchase,
    state: State,
) -> Result<bool, CommitError> {
    let counts = order.count(&purchase.uses, -1).collect();
    purchase.state = state;
    change(context, order, Some(value), &purchase, counts).await
}
