//! Sealing activities that are over for long: they go in steps, and their names never come back.
//!
//! An activity is over when the windows of its live version, and of a draft that somebody tries, have ended, and nobody has
//! changed it since; one that was withdrawn, or was never more than a draft, when it was changed last. `configuration_days`
//! later the sweep of promotions seals it:
//!
//! 1. *On its shelf*: the head, demanded exactly as it was read, says that it is sealed, and has no version any more. From
//!    then on nothing is published under the name (`sealed`), and nothing is bought by it. Its key sets leave the index, and
//!    its lists of SKUs the store, as those of any version that nobody needs ([`crate::retire`]), an hour later.
//! 2. *Where its uses are counted*, once they have left: a mark, without a condition. From then on no hold of it comes
//!    ([`purchases::holds`]), whatever is late. So holds only become fewer: where one is left, its order is not collected
//!    yet ([`purchases::collect`]), and this waits for another day. Where none is left, counts, tombstones and lists go.
//! 3. *On its shelf*, an hour later, and behind another look at 2: the head goes, and the name from the list of activities.
//!    A short record of what it was takes its place, and a hash of the name, which is demanded to be absent by whoever
//!    publishes something new.
//!
//! `archive_days` later the short record goes. The hash stays.
//!
//! A draft that nobody tries, of an activity that goes on, goes likewise when nobody has changed the activity for as long.
//!
//! # What can go wrong
//!
//! - *Somebody publishes* at the same time: the head is one exact value. Either the activity goes on, and is over later; or it
//!   is sealed, and publishing is refused.
//! - *A crash* leaves the activity in one of two indexes until the last step, and the next sweep goes on: each step does what
//!   it finds not done.
//! - *Two sweeps at once* demand the same head: one of them is refused, and what it did before is what the other one did.
//! - *A partition that falls back* by some seconds, because its server failed over, undoes one step: the next one comes an
//!   hour later, and looks at it again.
//! - *A hold without an order* keeps its activity from being sealed to its end. Where it is left of an order that was collected,
//!   it goes here; where its order is there, and does not have it, reconciliation tells it.
//! - *A request by a version before* is minutes late, and this is at least a week after the activity was changed last.

use domain::answers;
use domain::due::{Due, Swept};
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Field, Member, READ_FIELDS_MAX, Range, Read, Write};
use purchases::activities::listed;
use purchases::order::Order;
use purchases::records as taken;
use store::codec;
use store::retention::{Retention, Terms};
use store::sealed::Kind;
use store::sweep::{Fault, Sweep};
use store::{Binding, Plan};

use crate::context::Context;
use crate::heads::{self, Found, find, replace};
use crate::records::{self, Archived, Head, Rollout, Sealed};
use crate::refusal::{Failure, Refusal};
use crate::retire::shelves;

/// Between two steps: longer than any request, and whatever is late of one, whatever clocks say.
const PAUSE_MS: i64 = 60 * 60_000;
/// What keeps an activity is looked at again after so long.
const WAIT_MS: i64 = 24 * 60 * 60_000;
/// Activities of one shelf with which a sweep does something. Each takes some swaps of Spin's key-value store, which makes
/// at most 256 for one instance.
const ACTIVITIES_MAX: u64 = 4;
/// Activities of all shelves with which a call does something.
const STEPS_MAX: u32 = 16;
/// Activities of one shelf that a sweep passes over, because they cannot be done.
const PASSED_OVER_MAX: u64 = 256;
/// Pages of units that one call takes away of one activity.
const PAGES_MAX: u32 = 4;
/// Holds of an activity of which a call looks for the order.
const HOLDS_MAX: u32 = 64;

/// What the indexes list, in words for operators.
const OVER: &str = "activities that are over";
const SEALED: &str = "activities that are sealed";
const ARCHIVED: &str = "short records of activities";

/// Does the next step with activities of all shelves that are over for long, as far as one call may. What cannot be done for
/// a fault of its records stops only itself.
///
/// # Errors
/// The store's, where nothing was done or found.
pub async fn sweep<B: Binding>(context: &Context<'_, B>) -> Result<Swept, CommitError> {
    let retention = Retention::place(context.partitions).find(context).await?.record;
    let retention = retention.unwrap_or_default();
    let terms = Terms { retention, now: context.now, dry_run: false };
    let shelves = shelves(context);
    let mut steps = Steps { left: STEPS_MAX, has_more: false };
    let of = |index, name, until| Sweep {
        index,
        name,
        partitions: &shelves,
        until,
        looks_ahead: false,
        sets_aside: true,
        done_max: ACTIVITIES_MAX,
        passed_over_max: PASSED_OVER_MAX,
    };
    let until = terms.configuration_until();
    let sealed =
        of(records::OVER, OVER, until)
            .each(context, async |due| {
                if steps.is_enough() { Ok(false) } else { seal(context, due, until).await }
            })
            .await;
    let gone = of(records::SEALED, SEALED, context.now)
        .each(context, async |due| {
            if steps.is_enough() { Ok(false) } else { go_on(context, due, &mut steps).await }
        })
        .await;
    let forgotten = of(records::ARCHIVED, ARCHIVED, terms.archive_until())
        .each(
            context,
            async |due| {
                if steps.is_enough() { Ok(false) } else { forget(context, due).await }
            },
        )
        .await;
    let mut swept = Swept::default();
    // None keeps the others.
    for result in [sealed, gone, forgotten] {
        match result {
            Ok(one) => swept.add(one),
            Err(failure) => {
                swept.has_more = true;
                swept.failure.get_or_insert(failure);
            }
        }
    }
    swept.has_more |= steps.has_more;
    swept.finish()
}

/// Activities with which a call may still do something.
struct Steps {
    left: u32,
    /// Whether something was left to another call.
    has_more: bool,
}

impl Steps {
    /// Takes one of those that are left; whether none was.
    fn is_enough(&mut self) -> bool {
        self.has_more |= self.left == 0;
        let is_enough = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_enough
    }
}

/// What an entry stands for, if it still does; one that does not goes.
async fn current<'a, B: Binding>(
    context: &Context<'_, B>,
    due: Due<'a>,
    moment: fn(&Head) -> Option<UnixMillis>,
    entry: fn(UnixMillis, &[u8]) -> Write,
) -> Result<Option<(&'a str, Found)>, CommitError> {
    let (at, id) = records::retiring_of(due)?;
    let found = find(context, id).await?;
    if found.value.is_none() {
        // Its entries go with it.
        return Err(CommitError::Unreadable("an activity that is over is missing".into()));
    }
    if moment(&found.head) != Some(at) {
        heads::forget_entry(context, id, &found, entry(at, id.as_bytes())).await?;
        return Ok(None);
    }
    Ok(Some((id, found)))
}

/// The first step: seals an activity that is over, or takes its draft away where only that is; whether it did.
async fn seal<B: Binding>(
    context: &Context<'_, B>,
    due: Due<'_>,
    until: UnixMillis,
) -> Result<bool, Fault> {
    let over = |at, what: &[u8]| records::OVER.remove(at, what);
    let found = current(context, due, Head::over_since, over).await?;
    let Some((id, found)) = found else { return Ok(false) };
    let mut head = found.head.clone();
    // Requests that are late may still put keys into the index.
    let since = context.now.0 + PAUSE_MS;
    let mut gone = vec![head.draft.take()];
    head.rollout = Rollout::default();
    if found.head.ends_at() <= until {
        head.sealed = Some(Sealed {
            next: since + PAUSE_MS,
            is_closed: false,
            was: archived(&found.head, context.now),
        });
        gone.extend([head.live.take(), head.staged.take()]);
    }
    let retire = |version| head.retire(id, version, since);
    let writes = gone.into_iter().filter_map(retire).collect();
    change(replace(context, id, &found, head, writes).await)
}

/// What became of a change of a head: whether it was made. Where somebody else was first, the next sweep looks again.
fn change(result: Result<bool, Failure>) -> Result<bool, Fault> {
    match result {
        Ok(is_done) => Ok(is_done),
        Err(Failure::Store(error)) => Err(error.into()),
        Err(Failure::Refused(refusal)) => Err(unreadable(&refusal).into()),
        Err(Failure::Invalid(error)) => Err(CommitError::Unreadable(error.detail).into()),
    }
}

fn unreadable(refusal: &Refusal) -> CommitError {
    CommitError::Unreadable(refusal.detail())
}

fn archived(head: &Head, now: UnixMillis) -> Archived {
    let version = head.live.as_ref().or(head.draft.as_ref()).or(head.staged.as_ref());
    let activity = version.map(|version| &version.activity);
    Archived {
        name: activity.map(|activity| activity.name.clone()).unwrap_or_default(),
        version: head.last,
        window: activity.map(|activity| (activity.from.0, activity.until.0)),
        sealed_at: now.0,
    }
}

/// The further steps: closes what all users used of an activity, then takes away what is known of it; whether one was
/// done.
async fn go_on<B: Binding>(
    context: &Context<'_, B>,
    due: Due<'_>,
    steps: &mut Steps,
) -> Result<bool, Fault> {
    let entry = |at, what: &[u8]| records::SEALED.remove(at, what);
    let found = current(context, due, Head::sealing_at, entry).await?;
    let Some((id, found)) = found else { return Ok(false) };
    let Some(sealed) = found.head.sealed.clone() else { return Ok(false) };
    let next = if !found.head.retired.is_empty() {
        // The sweep of old versions takes them out; where it cannot, it tells.
        Sealed { next: context.now.0 + PAUSE_MS, ..sealed }
    } else {
        match close(context, id).await? {
            Closed::All if sealed.is_closed => {
                return Ok(archive(context, id, &found, sealed.was).await?);
            }
            Closed::All => Sealed { next: context.now.0 + PAUSE_MS, is_closed: true, ..sealed },
            Closed::Some => {
                steps.has_more = true;
                return Ok(true);
            }
            Closed::Waits => Sealed { next: context.now.0 + WAIT_MS, is_closed: false, ..sealed },
        }
    };
    let head = Head { sealed: Some(next), ..found.head.clone() };
    change(replace(context, id, &found, head, vec![]).await)
}

/// How far the uses of all users are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    /// Nothing is left.
    All,
    /// Lists are left, of which nothing comes any more.
    Some,
    /// Orders still hold something.
    Waits,
}

/// The second step: nothing is held of an activity any more; where nothing is, what all users used goes.
async fn close<B: Binding>(context: &Context<'_, B>, id: &str) -> Result<Closed, CommitError> {
    let stock = taken::stock_of(context.partitions, id);
    let mark = Kind::Activity.mark_used(id, context.partitions);
    let held = Read::Page(taken::held(id), Range::default(), HOLDS_MAX);
    let mut plan = Plan::<()>::new();
    plan.write(mark).read(held);
    let Ok(answers) = context.commit(stock, plan).await? else { return Ok(Closed::Waits) };
    let held = &answers::page(answers.first())?.members;
    if !held.is_empty() {
        take_orphans(context, stock, id, held).await?;
        return Ok(Closed::Waits);
    }
    // No hold comes any more, so that this needs no condition.
    let all = [
        Write::Drop(taken::stock(id)),
        Write::Drop(taken::holds(id)),
        Write::RemoveMember(taken::activities(), id.into()),
    ];
    context.write(stock, all).await?;
    let units = taken::units(id);
    for _ in 0..PAGES_MAX {
        let page = Read::Page(units.clone(), Range::default(), READ_FIELDS_MAX);
        let answers = context.read(stock, vec![page]).await?;
        let page = answers::page(answers.first())?;
        let gone = |unit: &Member| Write::RemoveMember(units.clone(), unit.clone());
        context.write(stock, page.members.iter().map(gone)).await?;
        if !page.has_more {
            return Ok(Closed::All);
        }
    }
    Ok(Closed::Some)
}

/// Takes holds away whose orders are gone: one of them came back where a server failed over. What counts them goes
/// with the activity.
async fn take_orphans<B: Binding>(
    context: &Context<'_, B>,
    stock: Partition,
    id: &str,
    held: &[Member],
) -> Result<(), CommitError> {
    let mut orders = Vec::new();
    for name in held {
        let (user, number, _) = taken::hold_of(&name.0)?;
        let place = Order { user, number: &number }.place(context.partitions);
        orders.push((place.partition, place.read()));
    }
    let answers = context.read_all(orders).await?;
    let mut gone = Vec::new();
    for (name, answer) in held.iter().zip(&answers) {
        if answers::fields(Some(answer))? == [None] {
            gone.push(Write::Unset(taken::holds(id), Field(name.0.clone())));
            gone.push(Write::RemoveMember(taken::held(id), name.clone()));
        }
    }
    if gone.is_empty() {
        return Ok(());
    }
    context.write(stock, gone).await
}

/// The third step: what is known of an activity goes, and a short record stays; whether it did.
async fn archive<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    found: &Found,
    was: Archived,
) -> Result<bool, CommitError> {
    let place = heads::place(context, id);
    let mut plan = Plan::new();
    plan.demand((), place.unchanged(found.value.as_ref())).write(place.unset());
    plan.write_all(heads::entries(id, &found.head, &Head::default()));
    plan.write(Write::Drop(records::definitions(id)));
    plan.write(Write::RemoveMember(listed(), id.into()));
    plan.write(Kind::Activity.mark_used(id, context.partitions));
    plan.write(Write::Set(records::archive(), id.into(), codec::encode(&was)));
    plan.write(records::ARCHIVED.add(context.now, id.as_bytes()));
    let decided = context.commit(place.partition, plan).await?;
    context.catalogue.outdate();
    Ok(decided.is_ok())
}

/// The last step: a short record goes.
async fn forget<B: Binding>(context: &Context<'_, B>, due: Due<'_>) -> Result<bool, Fault> {
    let (at, id) = records::retiring_of(due)?;
    let mut plan = Plan::new();
    plan.demand((), records::ARCHIVED.demand(at, due.what));
    plan.write(records::ARCHIVED.remove(at, due.what));
    plan.write(Write::Unset(records::archive(), id.into()));
    Ok(context.commit(context.shelf_of(id), plan).await?.is_ok())
}
