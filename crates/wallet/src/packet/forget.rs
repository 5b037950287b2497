//! How packets are forgotten, and payments about which an operator decided.
//!
//! # Packets
//!
//! A packet has a record with its sender (`mo`) and one where it lives (`mp` and its parts). It is over numbers_days after
//! the last of: 30 days after it was sent, until then a payment still credits the sender; its end; the moment at which it
//! was closed. What is closed changes no more: nobody opens it, and it is given back. Its life ends in two steps, each in
//! one partition, the second an hour after the first:
//!
//! 1. *The order*: the sender's partition is asked whether the packet is still on its way there, and that of the packet
//!    whether it is closed - or was never paid for, and is not there -, and whether anything of it is still owed, to be
//!    closed or set aside. Then one commit in the sender's partition demands the exact order and that the packet is not on
//!    its way; it takes the order away, leaves the mark of the number, and moves the entry from the index of what was
//!    sent (`m1`) to that of what is forgotten (`m5`).
//! 2. *The packet*: one commit in its partition demands that it is closed, and takes all of it away. Then the entry goes.
//!
//! A crash between them leaves the entry, and the next collection goes on. From the first step on, whoever sends under the
//! number is told `too_old`: the mark is that of the sender and the number alone, because the packet is named by them.
//!
//! What was sent from a balance must not be written down a second time, because that makes money:
//!
//! - A request that found the order before the first step writes nothing, where the order is 30 days old
//!   ([`super::send()`]): it was written down, or is noted as on its way. Settlement writes down what is on its way only,
//!   and that is demanded not to be.
//! - Where the store loses the first step again, because a partition falls back by a second, the order is there again,
//!   and so is the packet: it goes an hour later.
//! - So where the order is there and the packet is not, the store lost the packet. Then it is noted as on its way again,
//!   and settlement writes it down, ends it and gives its money back.
//!
//! A payment reads the order, and writes down what it finds unpaid: one that comes between the two steps finds none, and
//! one that read the order before is written down as waiting, or pays a packet that is still there, which then is not
//! closed. Both are closed some day, and go then.
//!
//! # Payments
//!
//! One about which an operator decided goes numbers_days later, once it is closed: one commit demands that, takes its
//! record away, and leaves the mark of its name in the same partition, so that the same payment told again is refused. An
//! index has them (`m4`). The record of a packet's own, which waited, goes with its packet; by itself only where nothing
//! else is left of it.

use std::cell::RefCell;

use binding::Binding;
use domain::answers::{fields, integer, unexpected};
use domain::due::{self, Due, DueIndex, Swept};
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, Member, Read, Write};
use store::numbers::Watermarks;
use store::quarantine;
use store::retention::{Collected, Terms};
use store::sweep::Sweep;
use store::{Plan, Versioned};

use super::{
    CLOSED_AT, CREDITED_MS, EXPIRES, Funding, Order, STATE, State, name, number_of, sender_of,
    with_number_of_payment,
};
use crate::context::Context;
use crate::records;
use crate::split;

/// What one call does, of each kind, in all of its partitions together; in each at least one.
const DONE_MAX: u64 = 256;
/// What it passes over in each: packets that nobody can close yet stand in front of the others.
const PASSED_OVER_MAX: u64 = 1_024;
/// Between the two steps. A partition that falls back loses seconds.
const BETWEEN_MS: i64 = 60 * 60_000;

/// Goes through an index of packets or payments.
fn sweep<'a>(
    index: DueIndex,
    name: &'static str,
    partitions: &'a [Partition],
    until: i64,
    terms: &Terms,
) -> Sweep<'a> {
    Sweep {
        index,
        name,
        partitions,
        until: UnixMillis(until),
        looks_ahead: false,
        sets_aside: !terms.dry_run,
        done_max: (DONE_MAX / partitions.len().max(1) as u64).max(1),
        passed_over_max: PASSED_OVER_MAX,
    }
}

/// Forgets what is over of packets and of payments for them.
///
/// # Errors
/// The store's, where it failed before anything was done or found.
pub(crate) async fn forget<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
    terms: &Terms,
) -> Result<(Swept, Collected), CommitError> {
    let collected = RefCell::new(Collected::default());
    let until = terms.numbers_until().0 - 1;
    let orders =
        sweep(records::SENT, "a packet that is over", partitions, until - CREDITED_MS, terms);
    let orders = orders.each(context, async |due| {
        let is_done = forget_order(context, &due, terms).await?;
        // It goes an hour later.
        collected.borrow_mut().count("packets", (is_done && terms.dry_run).into());
        Ok(is_done)
    });
    let mut swept = Swept::default();
    let failed = |failure| Swept { has_more: true, failure: Some(failure), ..Swept::default() };
    swept.add(orders.await.unwrap_or_else(failed));
    let until_gone = terms.now.0 - BETWEEN_MS;
    let gone =
        sweep(records::FORGOTTEN, "a packet that is forgotten", partitions, until_gone, terms);
    let gone = gone.each(context, async |due| {
        let is_done = forget_packet(context, &due, terms).await?;
        collected.borrow_mut().count("packets", is_done.into());
        Ok(is_done)
    });
    swept.add(gone.await.unwrap_or_else(failed));
    let decided = sweep(records::DECIDED, "a payment that is decided", partitions, until, terms);
    let decided = decided.each(context, async |due| {
        let is_done = forget_payment(context, &due, terms).await?;
        collected.borrow_mut().count("payments", is_done.into());
        Ok(is_done)
    });
    swept.add(decided.await.unwrap_or_else(failed));
    let mut collected = collected.into_inner();
    collected.has_more = swept.has_more;
    Ok((swept.finish()?, collected))
}

/// A packet where it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It is not there.
    Absent,
    /// It is over, and nothing of it is left to be done.
    Over,
    /// It is not over yet, or too young.
    Stays,
}

/// What is there of a packet, or of a payment: two round trips.
async fn find<B: Binding>(
    context: &Context<'_, B>,
    name: &str,
    terms: &Terms,
) -> Result<Found, CommitError> {
    let home = records::home_of_packet(context.partitions, name);
    let mut plan = Plan::<()>::new();
    // By the time of the call, so that an unpaid one whose time is over counts as collected.
    plan.at(context.now).read_all([
        Read::Fields(records::packet(name), [STATE, EXPIRES, CLOSED_AT].map(Field::from).to_vec()),
        Read::All(records::opened_at(name), split::COUNT_MAX),
    ]);
    let answers = context.commit(home, plan).await?.map_err(|_| unexpected())?;
    let [state, expires, closed_at] = fields(answers.first())? else { return Err(unexpected()) };
    let Some(state) = state else { return Ok(Found::Absent) };
    if State::of(Some(state))? != State::Closed {
        return Ok(Found::Stays);
    }
    let closed_at = closed_at.as_ref().ok_or_else(unexpected)?;
    let ended = integer(Some(closed_at))?.max(integer(expires.as_ref())?);
    if ended >= terms.numbers_until().0 {
        return Ok(Found::Stays);
    }
    let Some(Answer::Map(opened)) = answers.get(1) else { return Err(unexpected()) };
    let mut reads = Vec::with_capacity(opened.len() * 3 + 3);
    for (user, at) in opened {
        let user = records::user_of(user).ok_or_else(unexpected)?;
        let at = UnixMillis(integer(Some(at))?);
        reads.extend(left(records::OWED, at, &due::of_user(user, name)));
    }
    if let Some(expires) = expires {
        let until = UnixMillis(integer(Some(expires))?);
        reads.extend(left(records::ENDS, until, name.as_bytes()));
    }
    if reads.is_empty() {
        return Ok(Found::Over);
    }
    let answers = context.read(home, reads).await?;
    Ok(if answers.contains(&Answer::Contains(true)) { Found::Stays } else { Found::Over })
}

/// Reads whether something is still to be done: it is in its index, set aside, or dropped.
fn left(index: DueIndex, at: UnixMillis, what: &[u8]) -> [Read; 3] {
    let [aside, dropped] = quarantine::has(index, at, what);
    [index.has(at, what), aside, dropped]
}

/// The first step.
async fn forget_order<B: Binding>(
    context: &Context<'_, B>,
    due: &Due<'_>,
    terms: &Terms,
) -> Result<bool, CommitError> {
    let (sender, number) = due::user_of(due.what)?;
    let number = OrderNumber::parse(number, "order_number").map_err(|_| unexpected())?;
    let home = context.home(sender);
    let place = Versioned::<Order>::new(home, records::sent(sender), number.as_str());
    let mut reads = vec![place.read()];
    reads.extend(left(records::UNSENT, due.at, due.what));
    let answers = context.read(home, reads).await?;
    let seen = place.answered(answers.first())?;
    let Some(order) = seen.record else {
        let error =
            format!("the packet {} was sent, and its order is not there", name(sender, &number));
        return Err(CommitError::Unreadable(error));
    };
    if answers[1..].contains(&Answer::Contains(true)) {
        return Ok(false);
    }
    let found = find(context, &name(sender, &number), terms).await?;
    let is_lost = found == Found::Absent && order.funding == Funding::Balance;
    if found == Found::Stays {
        return Ok(false);
    }
    if terms.dry_run {
        return Ok(true);
    }
    let mut plan = Plan::new();
    plan.at(context.now).demand((), place.unchanged(seen.stored.as_ref()));
    plan.demand((), records::SENT.demand(due.at, due.what));
    plan.demand_all((), is_not_left(records::UNSENT, due.at, due.what));
    if is_lost {
        plan.write(records::UNSENT.add(due.at, due.what));
    } else {
        let number = number_of(sender, &number, order.ordered_at.map(UnixMillis));
        let forgetting = Watermarks::default().forget([number], terms.now, context.partitions);
        let forgetting = forgetting.ok_or_else(unexpected)?;
        plan.demand_all((), forgetting.guards).write_all(forgetting.writes);
        plan.write(place.unset());
        plan.write(records::SENT.remove(due.at, due.what));
        plan.write(records::FORGOTTEN.add(context.now, due.what));
    }
    Ok(context.commit(home, plan).await?.is_ok() && !is_lost)
}

/// Demands that nothing is left to be done.
fn is_not_left(index: DueIndex, at: UnixMillis, what: &[u8]) -> [Guard; 3] {
    let member: Member = due::member(at, what);
    let name = quarantine::name(index, &member);
    [
        Guard::MemberAbsent(index.key(), member),
        Guard::MemberAbsent(quarantine::names(), name.clone()),
        Guard::MemberAbsent(quarantine::dropped_names(), name),
    ]
}

/// The second step.
async fn forget_packet<B: Binding>(
    context: &Context<'_, B>,
    due: &Due<'_>,
    terms: &Terms,
) -> Result<bool, CommitError> {
    let (sender, number) = due::user_of(due.what)?;
    let number = OrderNumber::parse(number, "order_number").map_err(|_| unexpected())?;
    let packet = name(sender, &number);
    match find(context, &packet, terms).await? {
        Found::Stays => return Ok(false),
        Found::Over | Found::Absent if terms.dry_run => return Ok(true),
        Found::Over if !drop_all(context, &packet, Vec::new()).await? => return Ok(false),
        Found::Over | Found::Absent => {}
    }
    context.write(context.home(sender), [records::FORGOTTEN.remove(due.at, due.what)]).await?;
    Ok(true)
}

/// Takes away all that is kept of a packet or of a payment, if it is closed.
async fn drop_all<B: Binding>(
    context: &Context<'_, B>,
    name: &str,
    beside: Vec<Write>,
) -> Result<bool, CommitError> {
    let record = records::packet(name);
    let closed = Guard::FieldEquals(record.clone(), STATE.into(), State::Closed.value());
    let mut plan = Plan::new();
    plan.at(context.now).demand((), closed);
    plan.write_all([
        Write::Drop(record),
        Write::Drop(records::parts(name)),
        Write::Drop(records::openings(name)),
        Write::Drop(records::opened_at(name)),
    ]);
    plan.write_all(beside);
    let home = records::home_of_packet(context.partitions, name);
    Ok(context.commit(home, plan).await?.is_ok())
}

/// Forgets a payment about which an operator decided.
async fn forget_payment<B: Binding>(
    context: &Context<'_, B>,
    due: &Due<'_>,
    terms: &Terms,
) -> Result<bool, CommitError> {
    let name = std::str::from_utf8(due.what).map_err(|_| unexpected())?;
    let is_gone = match find(context, name, terms).await? {
        Found::Stays => return Ok(false),
        Found::Absent => true,
        Found::Over => match sender_of(name) {
            // A packet's own, which goes with the packet.
            Some((sender, number)) => {
                let sent = Read::Fields(records::sent(sender), vec![number.as_str().into()]);
                let answers = context.read(context.home(sender), vec![sent]).await?;
                matches!(fields(answers.first())?, [Some(_)])
            }
            None => false,
        },
    };
    if terms.dry_run {
        return Ok(!is_gone);
    }
    let leaves = records::DECIDED.remove(due.at, due.what);
    if is_gone {
        let home = records::home_of_packet(context.partitions, name);
        context.write(home, [leaves]).await?;
        return Ok(false);
    }
    let mark = with_number_of_payment(name, |number| {
        Watermarks::default().forget([number], terms.now, context.partitions)
    });
    let mut beside = mark.ok_or_else(unexpected)?.writes;
    beside.push(leaves);
    drop_all(context, name, beside).await
}
