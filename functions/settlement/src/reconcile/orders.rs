//! What orders took of activities, a user at a time: the user's counts against the user's orders, orders under way
//! against the index of those, and what orders have against the holds of activities.
//!
//! What makes it exact under traffic: an order and its user's counts change in one commit, and no order is ever again
//! what it was. So one read sees both in one moment; and where an order is the same in two reads it was the same in
//! between. A hold that was let go is let go for good.

use std::collections::{BTreeMap, BTreeSet};

use domain::answers::{self, fields, integer, unexpected};
use domain::due;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Field, MapKey, Member, Page, READ_FIELDS_MAX, Range, Read, Value,
};
use edge::store::Binding;
use purchases::holds::asked;
use purchases::order::{Purchase, State, counted_for_all};
use purchases::records::{self, Hold, PURCHASERS};
use store::codec::decode;
use store::numbers::KEPT_MS_MIN;
use store::quarantine;
use store::sealed::Kind;

use super::{FIELDS, LOOKS_MAX, Look, OfDay, Report, What, value};

/// Users whose orders are listed at once, and whose holds are looked up together.
const USERS: usize = 16;
/// Orders that are read at once.
pub(super) const ORDERS: usize = 500;
/// Orders of one user that are added up: it takes three reads of each.
const ORDERS_MAX: usize = 16_384;
/// Orders under way that are looked up in the index at once, with four reads each.
const UNDER_WAY: usize = 250;
/// So old is an order that may be collected, by anybody's clock.
const OLD_MS: i64 = KEPT_MS_MIN - 60 * 60_000;

/// An order as it was read.
struct Known {
    user: UserId,
    number: OrderNumber,
    stored: Value,
}

/// What an order must have of an activity.
struct Expected {
    order: Known,
    attempt: u32,
    hold: Hold,
    /// Whether what it let go may be collected by now, so that nothing says so any more.
    may_be_gone: bool,
}

/// By activity.
type Holds = BTreeMap<String, Vec<Expected>>;

/// A user's orders and counts, at one moment.
struct Moment {
    orders: Vec<Option<Value>>,
    counts: Vec<(Field, Value)>,
    /// What orders used that were collected.
    gone: Vec<(Field, Value)>,
    /// Whether these are all of the user's counts.
    is_all: bool,
}

/// A user's orders as they are listed, and when each first began.
type Listed = Vec<(UnixMillis, OrderNumber)>;

/// Looks at the orders of a partition's users behind one of them; the last one, where it stopped.
///
/// # Errors
/// The store's.
pub(super) async fn check<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    after: Option<OfDay>,
    report: &mut Report,
) -> Result<Option<OfDay>, CommitError> {
    // Who is on the lists of several days is looked at once in a call.
    let mut seen = BTreeSet::new();
    for lists in look.lists_behind(partition, PURCHASERS, after).await? {
        let mut users = look.listed(partition, PURCHASERS, &lists, report).await?;
        users.retain(|(.., user)| seen.insert(*user));
        for some in users.chunks(USERS) {
            let last = check_some(look, partition, some, report).await?;
            if look.is_enough() {
                return Ok(last);
            }
        }
    }
    Ok(None)
}

/// Looks at some users; the last one of them, or the one with whom it was enough.
async fn check_some<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    users: &[OfDay],
    report: &mut Report,
) -> Result<Option<OfDay>, CommitError> {
    let (mut last, mut holds) = (None, Holds::new());
    let pages = users.iter().map(|(.., user)| records::page_of_orders(*user, None)).collect();
    let pages = look.read(partition, pages).await?;
    for (of_day, page) in users.iter().zip(&pages) {
        let (first, (.., user)) = (answers::page(Some(page))?, *of_day);
        let result = check_user(look, partition, user, first, &mut holds, report).await;
        report.isolate(|| format!("orders of user {user}"), result)?;
        report.users += 1;
        last = Some(*of_day);
        if look.is_enough() {
            break;
        }
    }
    for (activity, expected) in holds {
        for some in expected.chunks(ORDERS) {
            let result = check_holds(look, partition, &activity, some, report).await;
            report.isolate(|| format!("holds of {activity}"), result)?;
        }
    }
    Ok(last)
}

async fn check_user<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    user: UserId,
    first: &Page,
    holds: &mut Holds,
    report: &mut Report,
) -> Result<(), CommitError> {
    for attempt in 0..LOOKS_MAX {
        let page = |after| records::page_of_orders(user, after);
        let listed = match attempt {
            0 if !first.has_more => first.members.clone(),
            _ => look.members(partition, None, page).await?,
        };
        if listed.len() > ORDERS_MAX {
            break;
        }
        let order = |member: &Member| records::listed_order_of(member).ok();
        let orders: Listed = listed.iter().filter_map(order).collect();
        let Some(moment) = moment(look, partition, user, &orders, listed.len()).await? else {
            continue;
        };
        for wrong in listed.iter().filter(|member| order(member).is_none()) {
            let name = due::due(wrong).map_or(&*wrong.0, |due| due.what);
            report.broken(What::RecordUnreadable, format!("{user}/{}", name.escape_ascii()));
        }
        let under_way = compare(look.context.now, user, orders, moment, holds, report);
        return check_under_way(look, partition, &under_way, report).await;
    }
    report.unsettled += 1;
    Ok(())
}

/// A user's orders and counts, where nothing of them changed while they were read.
async fn moment<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    user: UserId,
    orders: &Listed,
    listed: usize,
) -> Result<Option<Moment>, CommitError> {
    let count = Read::Count(records::orders(user), Range::default());
    let all = Answer::Size(listed as u64);
    let counts =
        [records::user(user), records::gone(user)].map(|map| Read::All(map, READ_FIELDS_MAX));
    if orders.len() <= ORDERS {
        let mut reads = vec![count.clone()];
        reads.extend(counts.clone());
        reads.extend(orders.iter().map(|(_, number)| read(user, number)));
        let answers = look.read(partition, reads).await?;
        let [now, counts, gone, orders @ ..] = &answers[..] else { return Err(unexpected()) };
        if *now != all {
            return Ok(None);
        }
        if let (Answer::Map(counts), Answer::Map(gone)) = (counts, gone) {
            let orders = orders.iter().map(|answer| Ok(value(Some(answer))?.cloned()));
            let orders = orders.collect::<Result<_, CommitError>>()?;
            let (counts, gone) = (counts.clone(), gone.clone());
            return Ok(Some(Moment { orders, counts, gone, is_all: true }));
        }
    }
    // Too much for one read. Counts change only with orders, and with those that go: where the list is the same before and
    // behind it, and all orders are, they stood still.
    let before = orders_of(look, partition, user, orders).await?;
    let own: Vec<_> = [count].into_iter().chain(counts).collect();
    let first = look.read(partition, own.clone()).await?;
    let (mut both, mut is_all) = (Vec::new(), true);
    for (map, answer) in [records::user(user), records::gone(user)].into_iter().zip(&first[1..]) {
        both.push(match answer {
            Answer::Map(fields) => fields.clone(),
            answer => {
                let names = names_of(look, partition, user, &before).await?;
                let fields = counts_of(look, partition, &map, &names).await?;
                is_all &= *answer == Answer::Size(fields.len() as u64);
                fields
            }
        });
    }
    let after = orders_of(look, partition, user, orders).await?;
    let last = look.read(partition, own).await?;
    if before != after || first != last || last.first() != Some(&all) {
        return Ok(None);
    }
    let [counts, gone] = <[_; 2]>::try_from(both).map_err(|_| unexpected())?;
    Ok(Some(Moment { orders: before, counts, gone, is_all }))
}

fn read(user: UserId, number: &OrderNumber) -> Read {
    Read::Fields(records::order(user, number), vec![records::ORDER.into()])
}

async fn orders_of<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    user: UserId,
    listed: &Listed,
) -> Result<Vec<Option<Value>>, CommitError> {
    let mut orders = Vec::with_capacity(listed.len());
    for some in listed.chunks(ORDERS) {
        let reads = some.iter().map(|(_, number)| read(user, number)).collect();
        for answer in look.read(partition, reads).await? {
            orders.push(value(Some(&answer))?.cloned());
        }
    }
    Ok(orders)
}

/// The names of a user's counts: of what these orders use, and of what orders used that were collected.
async fn names_of<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    user: UserId,
    orders: &[Option<Value>],
) -> Result<Vec<Field>, CommitError> {
    let orders = orders.iter().flatten().filter_map(|stored| decode::<Purchase>(stored).ok());
    let uses = orders.flat_map(|order| order.uses);
    let mut names: BTreeSet<_> =
        uses.map(|used| records::unit_of(&used.activity, &used.unit)).collect();
    let page = |after| records::page_of_gone_units(user, after);
    let gone = look.members(partition, None, page).await?;
    names.extend(gone.into_iter().map(|Member(unit)| Field(unit)));
    Ok(names.into_iter().collect())
}

/// Some counts of a user.
async fn counts_of<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    map: &MapKey,
    names: &[Field],
) -> Result<Vec<(Field, Value)>, CommitError> {
    let mut counts = Vec::new();
    for some in names.chunks(FIELDS) {
        let read = Read::Fields(map.clone(), some.to_vec());
        let answers = look.read(partition, vec![read]).await?;
        for (name, count) in some.iter().zip(fields(answers.first())?) {
            counts.extend(count.clone().map(|count| (name.clone(), count)));
        }
    }
    Ok(counts)
}

/// Compares a user's counts with the user's orders, and what is gone; orders that are under way, and since when. Adds what
/// each must have of activities.
fn compare(
    now: UnixMillis,
    user: UserId,
    listed: Listed,
    moment: Moment,
    holds: &mut Holds,
    report: &mut Report,
) -> Vec<(Known, UnixMillis)> {
    let (mut sums, mut under_way) = (BTreeMap::<Field, i64>::new(), Vec::new());
    let mut is_readable = true;
    for ((begun, number), stored) in listed.into_iter().zip(moment.orders) {
        let order = stored.and_then(|stored| Some((decode::<Purchase>(&stored).ok()?, stored)));
        let Some((purchase, stored)) = order else {
            report.broken(What::RecordUnreadable, format!("{user}/{number}"));
            is_readable = false;
            continue;
        };
        if purchase.begun != begun.0 {
            report.broken(What::OrderUnlisted, format!("{user}/{number}"));
        }
        let counted = purchase.uses.iter().filter(|used| used.of_user.is_some());
        for used in counted.filter(|_| purchase.counts()) {
            let field = records::unit_of(&used.activity, &used.unit);
            *sums.entry(field).or_insert(0) += i64::from(used.uses);
        }
        let order = || Known { user, number: number.clone(), stored: stored.clone() };
        under_way.extend(purchase.under_way_since().map(|since| (order(), since)));
        for (activity, uses) in counted_for_all(&purchase.uses) {
            let hold = match purchase.state {
                State::Taken => asked(&uses),
                State::Refused | State::GivenBack => Hold::LetGo,
                // It has some of them.
                State::Taking | State::Kept(_) | State::Undoing(_) | State::GivingBack => continue,
            };
            let (attempt, may_be_gone) = (purchase.attempt, purchase.at <= now.0 - OLD_MS);
            let expected = Expected { order: order(), attempt, hold, may_be_gone };
            holds.entry(activity.to_owned()).or_default().push(expected);
        }
    }
    let place = |field: &Field| format!("{user}/{}", String::from_utf8_lossy(&field.0));
    let (mut counts, mut unreadable) = (BTreeMap::new(), BTreeSet::new());
    for (field, count) in &moment.gone {
        match integer(Some(count)) {
            Ok(count) => *sums.entry(field.clone()).or_insert(0) += count,
            Err(_) => drop(unreadable.insert(field)),
        }
    }
    for (field, count) in &moment.counts {
        match integer(Some(count)) {
            Ok(count) => drop(counts.insert(field.clone(), count)),
            Err(_) => drop(unreadable.insert(field)),
        }
    }
    for field in unreadable {
        report.broken(What::RecordUnreadable, place(field));
        sums.remove(field);
        counts.remove(field);
    }
    if !is_readable {
        // What cannot be read may be what is missing.
        return under_way;
    }
    for (field, sum) in sums {
        let count = counts.remove(&field).unwrap_or(0);
        report.add(What::UsesDiffer, place(&field), sum, count);
    }
    for (field, count) in counts {
        report.add(What::UsesDiffer, place(&field), 0, count);
    }
    report.unsettled += u64::from(!moment.is_all);
    under_way
}

/// Whether each order under way is found by the sweep, or is set aside or dropped. One that is done meanwhile is another
/// one.
async fn check_under_way<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    under_way: &[(Known, UnixMillis)],
    report: &mut Report,
) -> Result<(), CommitError> {
    for some in under_way.chunks(UNDER_WAY) {
        let reads = some.iter().flat_map(|(Known { user, number, .. }, since)| {
            let entry = records::under_way(*user, number);
            let [aside, dropped] = quarantine::has(records::UNDER_WAY, *since, &entry);
            [read(*user, number), records::UNDER_WAY.has(*since, &entry), aside, dropped]
        });
        let answers = look.read(partition, reads.collect()).await?;
        for ((Known { user, number, stored }, _), answers) in some.iter().zip(answers.chunks(4)) {
            let is_same = value(answers.first())? == Some(stored);
            if is_same && !answers.contains(&Answer::Contains(true)) {
                report.broken(What::OrderUnlisted, format!("{user}/{number}"));
            }
        }
    }
    Ok(())
}

/// Whether orders have of an activity what they must. Before a difference is told, the order must be what it was.
async fn check_holds<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    activity: &str,
    expected: &[Expected],
    report: &mut Report,
) -> Result<(), CommitError> {
    let name = |one: &Expected| records::hold(one.order.user, &one.order.number, one.attempt);
    let read_holds = Read::Fields(records::holds(activity), expected.iter().map(name).collect());
    let read_sealed = Kind::Activity.read_used(activity, look.context.partitions);
    let stock = records::stock_of(look.context.partitions, activity);
    let answers = look.read(stock, vec![read_holds, read_sealed]).await?;
    let is_sealed = answers.get(1) == Some(&Answer::Contains(true));
    let mut wrong = Vec::new();
    for (one, stored) in expected.iter().zip(fields(answers.first())?) {
        let what = match stored.as_ref().map(decode::<Hold>) {
            Some(Ok(hold)) if hold == one.hold => continue,
            Some(Ok(Hold::Held(_))) if one.hold == Hold::LetGo => What::HoldLeft,
            None if one.hold == Hold::LetGo && (is_sealed || one.may_be_gone) => continue,
            Some(Ok(_)) | None => What::HoldMissing,
            Some(Err(_)) => What::RecordUnreadable,
        };
        wrong.push((one, what));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let reads = wrong.iter().map(|(one, _)| read(one.order.user, &one.order.number)).collect();
    let answers = look.read(partition, reads).await?;
    for ((Expected { order, .. }, what), answer) in wrong.into_iter().zip(&answers) {
        if value(Some(answer))? == Some(&order.stored) {
            let Known { user, number, .. } = order;
            report.broken(what, format!("{user}/{number} of {activity}"));
        }
    }
    Ok(())
}
