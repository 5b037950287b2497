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
//!
//! What is over for long enough is collected ([`purchases::collect`]), and its number is forgotten: it never acts again. So
//! the first commit of an order, and of a tombstone, demands behind the guard of its own record that the number is not
//! forgotten; whoever asks again is told `too_old`. Where the request is refused before that, because an activity is over
//! by now, it is asked whether the number is: a refusal would say that nothing was taken.
//!
//! With leases, as coupons have them, taking would be one commit here too, at the price of a pool for every SKU. An
//! activity's partition is hot only while its order rate is. A hold says what it has of each unit. The sweep undoes
//! an order that was abandoned a minute ago.

use domain::due::{Due, Swept};
use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::integer::Count;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Guard};
use pricing::activity::{Activity, Counted};
use purchases::holds::{hold, let_go};
use purchases::order::{NOBODY, Order, Purchase, State, Used, change, counted_for_all, find};
use purchases::records;
use store::attempts::{attempts, lost};
use store::numbers::check_ordered_at;
use store::sweep::Fault;
use store::{Binding, Plan, Seen, Sweep};

use crate::catalogue::View;
use crate::context::Context;
use crate::look_up;
use crate::refusal::{Failure, Refusal};

/// Units of one user that are counted.
const UNITS_MAX: u32 = 4_096;
/// How long an order may be under way before the sweep undoes it.
const ABANDONED_MS: i64 = 60_000;
/// Orders of one partition that one sweep undoes, each with some commits; the next sweep goes on.
const ORDERS_MAX: u64 = 64;
/// Orders of a partition that one sweep passes over.
const PASSED_OVER_MAX: u64 = 1_024;

/// What the index lists, in words for operators.
const NAME: &str = "orders under way";
/// What is tried of one of them.
const ABANDONING: &str = "undo an order";

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

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// Of all of it.
    digest: u64,
    ordered_at: Option<UnixMillis>,
}

/// Takes uses for an order; `true` where it had taken them before.
///
/// # Errors
/// `unknown_activity`, `not_started`, `ended`, `disabled`, `limit_used_up`, naming the use;
/// `order_number_reused`, `given_back`, `too_many_limits`, `too_old`; the store's.
pub async fn take<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    wanted: &[Use],
    ordered_at: Option<UnixMillis>,
) -> Result<(Purchase, bool), Failure> {
    if let Some(at) = ordered_at {
        check_ordered_at(at, context.now, "ordered_at")?;
    }
    let digest = digest(wanted, ordered_at);
    let asked = Asked { digest, ordered_at };
    let mut found = match resolve(context, order.user, wanted).await {
        Ok(uses) => {
            let none = Seen { stored: None, record: None };
            match begin(context, order, asked, uses, &none).await? {
                Begun::Done(purchase) => return Ok((purchase, false)),
                Begun::Found(found) => found,
            }
        }
        // Whatever changed since: an order that has taken has taken.
        Err(failure) => match find_or_forgotten(context, order, ordered_at).await? {
            found if found.record.as_ref().is_some_and(|one| one.state != State::Refused) => found,
            _ => return Err(failure),
        },
    };
    let mut began = false;
    attempts("take what an order uses", async || {
        let known = found.record.as_ref().filter(|purchase| purchase.state != State::Refused);
        let Some(purchase) = known.cloned() else {
            if found.record.as_ref().is_some_and(|purchase| purchase.digest != digest) {
                return Err(Refusal::OrderNumberReused.into());
            }
            let uses = resolve(context, order.user, wanted).await?;
            return Ok(match begin(context, order, asked, uses, &found).await? {
                Begun::Done(purchase) => Some((purchase, false)),
                Begun::Found(now) => {
                    found = now;
                    None
                }
            });
        };
        if matches!(purchase.state, State::GivingBack | State::GivenBack) {
            return Err(Refusal::GivenBack.into());
        }
        if purchase.digest != digest {
            return Err(Refusal::OrderNumberReused.into());
        }
        match purchase.state {
            State::Taken | State::Kept(_) => return Ok(Some((purchase, !began))),
            State::Taking => {
                began = true;
                hold_and_go_on(context, order, &found, purchase).await?;
            }
            State::Undoing(place) => {
                undo(context, order, &found, purchase, State::Refused).await?;
                if place != NOBODY {
                    return Err(Refusal::LimitUsedUp(format!("uses[{place}]")).into());
                }
            }
            State::Refused | State::GivingBack | State::GivenBack => {}
        }
        found = find(context, order).await?;
        Ok(None)
    })
    .await
}

/// Reads an order. Of one that is not there its number must not be forgotten, either.
async fn find_or_forgotten<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    ordered_at: Option<UnixMillis>,
) -> Result<Seen<Purchase>, Failure> {
    let place = order.place(context.partitions);
    let mut plan = Plan::new();
    plan.demand(WhyNot::Known, place.unchanged(None));
    plan.demand_all(WhyNot::Forgotten, order.as_number(ordered_at).demands(context.partitions));
    match context.commit(place.partition, plan).await? {
        Ok(_) => Ok(Seen { stored: None, record: None }),
        Err(refused) => match refused.why {
            WhyNot::Known => Ok(Seen::of(refused.field()?.cloned())?),
            WhyNot::Forgotten => Err(Refusal::TooOld.into()),
        },
    }
}

/// Why nothing is known under a number, or why it must not act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhyNot {
    /// Something is known.
    Known,
    /// It is forgotten what became of it.
    Forgotten,
}

/// Gives back whatever an order took. Of an order that is not known nothing can be taken any more.
///
/// # Errors
/// `too_old` where it is kept for good, or its number is forgotten; `order_number_reused` where it was ordered at another
/// time; the store's.
pub async fn give_back<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    ordered_at: Option<UnixMillis>,
) -> Result<Purchase, Failure> {
    if let Some(at) = ordered_at {
        check_ordered_at(at, context.now, "ordered_at")?;
    }
    attempts("give back what an order took", async || {
        let found = find(context, order).await?;
        let Some(mut purchase) = found.record.clone() else {
            return refuse_for_good(context, order, ordered_at).await;
        };
        if purchase.ordered_at != ordered_at.map(|at| at.0) {
            return Err(Refusal::OrderNumberReused.into());
        }
        match purchase.state {
            State::GivenBack => return Ok(Some(purchase)),
            State::Kept(_) => return Err(Refusal::TooOld.into()),
            State::Refused => {
                purchase.state = State::GivenBack;
                purchase.let_go = purchase.held_beside(&[]);
                purchase.uses.clear();
                purchase.at = context.now.0;
                change(context, order, &found, &purchase, vec![]).await?;
            }
            State::Taken | State::Taking if counted_for_all(&purchase.uses).is_empty() => {
                purchase.at = context.now.0;
                close(context, order, &found, purchase, State::GivenBack).await?;
            }
            State::Taken | State::Taking => {
                purchase.state = State::GivingBack;
                purchase.at = context.now.0;
                change(context, order, &found, &purchase, vec![]).await?;
            }
            State::Undoing(_) => undo(context, order, &found, purchase, State::Refused).await?,
            State::GivingBack => {
                undo(context, order, &found, purchase, State::GivenBack).await?;
            }
        }
        Ok(None)
    })
    .await
}

/// Writes down that an order which nobody asked for yet takes nothing any more; nothing where somebody was first.
async fn refuse_for_good<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    ordered_at: Option<UnixMillis>,
) -> Result<Option<Purchase>, Failure> {
    let purchase = Purchase {
        digest: 0,
        attempt: 0,
        state: State::GivenBack,
        at: context.now.0,
        begun: context.now.0,
        ordered_at: ordered_at.map(|at| at.0),
        uses: vec![],
        let_go: vec![],
    };
    let place = order.place(context.partitions);
    let mut plan = Plan::new();
    plan.demand(WhyNot::Known, place.unchanged(None));
    plan.demand_all(WhyNot::Forgotten, order.as_number(ordered_at).demands(context.partitions));
    plan.write(place.set(&purchase));
    plan.write_all(order.marks(None, &purchase, context.now));
    match context.commit(place.partition, plan).await? {
        Ok(_) => Ok(Some(purchase)),
        Err(refused) => match refused.why {
            WhyNot::Known => Ok(None),
            WhyNot::Forgotten => Err(Refusal::TooOld.into()),
        },
    }
}

/// What an order took.
///
/// # Errors
/// `unknown_order`; the store's.
pub async fn look<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
) -> Result<Purchase, Failure> {
    let known = find(context, order).await?.record;
    let known = known.filter(|purchase| purchase.state != State::Refused);
    known.ok_or_else(|| Refusal::UnknownOrder.into())
}

/// Undoes orders of these partitions of which nobody asks any more, in each the oldest first. An order that
/// cannot be undone for a fault of its records stops only itself.
///
/// # Errors
/// The store's.
pub async fn sweep<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
) -> Result<Swept, CommitError> {
    let sweep = Sweep {
        index: records::UNDER_WAY,
        name: NAME,
        partitions,
        until: UnixMillis(context.now.0.saturating_sub(ABANDONED_MS)),
        looks_ahead: false,
        sets_aside: true,
        done_max: ORDERS_MAX,
        passed_over_max: PASSED_OVER_MAX,
    };
    sweep.each(context, async |due| end(context, due).await).await
}

/// Ends what stands in the index; whether it was still under way.
async fn end<B: Binding>(context: &Context<'_, B>, due: Due<'_>) -> Result<bool, Fault> {
    let (since, user, number) = records::under_way_of(due)?;
    abandon(context, Order { user, number: &number }, since).await
}

/// Undoes an order that is under way since a moment, or finishes that it gives back; whether there was anything
/// to do.
async fn abandon<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    since: UnixMillis,
) -> Result<bool, Fault> {
    // The uses of all users are counted in records of the activities.
    let shared = Fault::of_shared_record;
    let mut is_begun = false;
    let done = attempts(ABANDONING, async || {
        let found = find(context, order).await?;
        let Some(purchase) = &found.record else {
            // An order that is under way is never taken away, and its counts would stay: somebody has to look.
            let lost = CommitError::Unreadable("the order is under way, and not there".into());
            return Err(Fault::from(lost));
        };
        if purchase.under_way_since() != Some(since) {
            if !is_begun {
                // Nothing of it is under way since then: the mark is stale. Where the order is changed at
                // this moment, whoever changes it writes its marks.
                let place = order.place(context.partitions);
                let mut stale = Plan::new();
                stale.demand((), place.unchanged(found.stored.as_ref()));
                stale.write(order.forget(since));
                context.commit(place.partition, stale).await?.ok();
            }
            return Ok(Some(is_begun));
        }
        is_begun = true;
        let mut purchase = purchase.clone();
        match purchase.state {
            State::Taking => {
                purchase.state = State::Undoing(NOBODY);
                change(context, order, &found, &purchase, vec![]).await?;
            }
            State::GivingBack => {
                undo(context, order, &found, purchase, State::GivenBack).await.map_err(shared)?;
            }
            // It is under way, so that nothing else is left.
            _ => undo(context, order, &found, purchase, State::Refused).await.map_err(shared)?,
        }
        Ok(None)
    })
    .await;
    match done {
        // Others change it all the time. It is still in the index, and the next sweep goes on.
        Err(fault) if fault.error == lost(ABANDONING) => Ok(true),
        done => done,
    }
}

/// Of the request, so that the same number with another body is told.
fn digest(wanted: &[Use], ordered_at: Option<UnixMillis>) -> u64 {
    let mut text = ordered_at.map_or_else(String::new, |at| format!("@{}\n", at.0));
    for Use { activity, key, uses } in wanted {
        let key = key.as_deref().unwrap_or_default();
        text.push_str(&format!("{activity}\n{}\n{key}\n{uses}\n", key.len()));
    }
    // 0 is an order that was never asked for.
    domain::digest::digest(text.as_bytes()).max(1)
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
    Found(Seen<Purchase>),
}

/// Why an order does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It is not what it was.
    Changed,
    /// It is forgotten what became of its number.
    Forgotten,
    /// The user's record is full.
    Full,
    /// The user's uses of what stands at this place in the request are used up.
    UsedUp(u32),
}

/// The first step: the order is written down, and counts for the user.
async fn begin<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    Asked { digest, ordered_at }: Asked,
    uses: Vec<Used>,
    before: &Seen<Purchase>,
) -> Result<Begun, Failure> {
    let done = counted_for_all(&uses).is_empty();
    let state = if done { State::Taken } else { State::Taking };
    let (attempt, begun, let_go) = match &before.record {
        Some(before) => (before.attempt + 1, before.begun, before.held_beside(&uses)),
        None => (1, context.now.0, vec![]),
    };
    let (at, ordered_at) = (context.now.0, ordered_at.map(|at| at.0));
    let purchase = Purchase { digest, attempt, state, at, begun, ordered_at, uses, let_go };
    let place = order.place(context.partitions);
    let counts = records::user(order.user);
    let mut plan = Plan::new();
    plan.demand(Why::Changed, place.unchanged(before.stored.as_ref()));
    if before.stored.is_none() {
        let number = order.as_number(purchase.ordered_at.map(UnixMillis));
        plan.demand_all(Why::Forgotten, number.demands(context.partitions));
    }
    plan.demand(Why::Full, Guard::SizeAtMost(counts.clone(), UNITS_MAX));
    for used in &purchase.uses {
        let Some(limit) = used.of_user else { continue };
        let field = records::unit_of(&used.activity, &used.unit);
        let most = i64::from(limit) - i64::from(used.uses);
        plan.demand(Why::UsedUp(used.place), Guard::IntegerAtMost(counts.clone(), field, most));
    }
    plan.write(place.set(&purchase));
    plan.write_all(order.marks(before.record.as_ref(), &purchase, context.now));
    plan.write_all(order.count(&purchase.uses, 1));
    plan.read(place.read());
    match context.commit(place.partition, plan).await? {
        Ok(_) if done => Ok(Begun::Done(purchase)),
        Ok(answers) => Ok(Begun::Found(place.answered(answers.first())?)),
        Err(refused) => match refused.why {
            Why::Changed => Ok(Begun::Found(place.answered(refused.reads.first())?)),
            Why::Forgotten => Err(Refusal::TooOld.into()),
            Why::Full => Err(Refusal::TooManyLimits.into()),
            Why::UsedUp(place) => Err(Refusal::LimitUsedUp(format!("uses[{place}]")).into()),
        },
    }
}

/// Asks every activity for a hold; then the order has taken, or is undone.
async fn hold_and_go_on<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    found: &Seen<Purchase>,
    mut purchase: Purchase,
) -> Result<(), Failure> {
    let refused = hold(context, order, &purchase).await?;
    purchase.state = match refused {
        None => State::Taken,
        Some(place) => State::Undoing(place),
    };
    // Where it was changed meanwhile, the next step looks at what it is now.
    change(context, order, found, &purchase, vec![]).await?;
    Ok(())
}

/// Undoes an attempt, or gives back; then the order is in that state.
async fn undo<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    found: &Seen<Purchase>,
    purchase: Purchase,
    state: State,
) -> Result<(), CommitError> {
    let_go(context, order, &purchase).await?;
    close(context, order, found, purchase, state).await?;
    Ok(())
}

/// The last step back: the user's counts, and what is said of the order.
async fn close<B: Binding>(
    context: &Context<'_, B>,
    order: Order<'_>,
    found: &Seen<Purchase>,
    mut purchase: Purchase,
    state: State,
) -> Result<bool, CommitError> {
    let counts = order.count(&purchase.uses, -1).collect();
    purchase.state = state;
    change(context, order, found, &purchase, counts).await
}
