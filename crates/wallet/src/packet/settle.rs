//! What a crash left half-way, and what has expired.

use binding::Binding;
use domain::answers::{fields, integer, unexpected};
use domain::due::{self, Due, DueIndex, Swept};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Read, Value, Write};

use super::open::{pay_refund, step};
use super::send::write_down;
use super::{CLOSED_AT, EXPIRES, Failure, ORDER, Opening, Order, STATE, State, name, pay_opening};
use crate::context::Context;
use crate::keys::SigningKeys;
use crate::records;
use crate::split;
use store::Sweep;

/// What settling the packets of a partition did, or the store's failure where it failed before anything was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Packets that were sent and are now written down for certain.
    pub sent: Result<Swept, CommitError>,
    /// Openings and refunds that are now paid for certain.
    pub paid: Result<Swept, CommitError>,
    /// Packets that expired and are closed now.
    pub closed: Result<Swept, CommitError>,
}

/// What one call does in a partition, of each kind; the next one goes on.
const SETTLE_MAX: u64 = 256;
/// Packets of each kind that one call passes over, beside those that it does.
const PASSED_OVER_MAX: u64 = 1_024;
/// Everything in an index is due: nothing is later.
const ALWAYS: UnixMillis = UnixMillis(i64::MAX);

/// Finishes what is under way in a partition, and closes packets that have expired; each kind the oldest first,
/// bounded. What cannot be done for a fault of its own records is named, and stops nothing else; nor does a kind
/// with which the store fails.
pub async fn settle<B: Binding>(
    context: &Context<'_, B>,
    keys: &SigningKeys,
    stage: &str,
    partition: Partition,
    random: &mut dyn FnMut() -> u64,
) -> Settled {
    let partitions = &[partition];
    let sweep = |index, until, name| Sweep {
        index,
        name,
        partitions,
        until,
        looks_ahead: false,
        sets_aside: true,
        done_max: SETTLE_MAX,
        passed_over_max: PASSED_OVER_MAX,
    };
    let sent = sweep(records::UNSENT, ALWAYS, "a packet on its way")
        .each(context, async |due| Ok(finish_sending(context, partition, &due, random).await?))
        .await;
    let paid = sweep(records::OWED, ALWAYS, "an opening that is owed")
        .each(context, async |due| Ok(finish_paying(context, keys, stage, partition, &due).await?))
        .await;
    let closed = sweep(records::ENDS, context.now, "a packet that has expired")
        .each(context, async |due| Ok(close(context, keys, stage, partition, &due).await?))
        .await;
    Settled { sent, paid, closed }
}

async fn finish_sending<B: Binding>(
    context: &Context<'_, B>,
    partition: Partition,
    due: &Due<'_>,
    random: &mut dyn FnMut() -> u64,
) -> Result<bool, CommitError> {
    let (sender, number) = due::user_of(due.what)?;
    let read = Read::Fields(records::sent(sender), vec![number.into()]);
    let answers = context.read(partition, vec![read]).await?;
    let value = fields(answers.first())?.first().and_then(Option::as_ref);
    let order = Order::decode(value.ok_or_else(unexpected)?)?;
    let number = OrderNumber::parse(number, "order_number").map_err(|_| unexpected())?;
    match write_down(context, &name(sender, &number), &order, None, random).await {
        Ok(_) => {}
        Err(Failure::Store(error)) => return Err(error),
        Err(Failure::Refused(_)) => return Err(unexpected()),
    }
    forget(context, partition, records::UNSENT, due).await
}

async fn finish_paying<B: Binding>(
    context: &Context<'_, B>,
    keys: &SigningKeys,
    stage: &str,
    partition: Partition,
    due: &Due<'_>,
) -> Result<bool, CommitError> {
    let (user, packet) = due::user_of(due.what)?;
    let one = records::user_field(user);
    let reads = vec![
        Read::Fields(records::openings(packet), vec![one.clone()]),
        Read::Fields(records::opened_at(packet), vec![one]),
    ];
    let answers = context.read(partition, reads).await?;
    match (fields(answers.first())?, fields(answers.get(1))?) {
        ([Some(Value::Integer(amount))], [Some(Value::Integer(at))]) => {
            let opening = Opening { user, amount: *amount, at: *at };
            pay_opening(context, keys, stage, packet, &opening).await?;
        }
        _ => return Err(unexpected()),
    }
    forget(context, partition, records::OWED, due).await
}

/// Takes an item out that is done. A commit that comes late finds nothing: what was done is never due again.
async fn forget<B: Binding>(
    context: &Context<'_, B>,
    partition: Partition,
    index: DueIndex,
    due: &Due<'_>,
) -> Result<bool, CommitError> {
    context.write(partition, [index.remove(due.at, due.what)]).await?;
    Ok(true)
}

/// Keeps when a packet was closed.
pub(super) fn closed_at(name: &str, now: UnixMillis) -> Write {
    Write::Set(records::packet(name), CLOSED_AT.into(), Value::Integer(now.0))
}

/// Closes a packet, and gives back what is left of it: first nobody can open it any more, then what is
/// left is known for good and paid under its number, then it is closed.
async fn close<B: Binding>(
    context: &Context<'_, B>,
    keys: &SigningKeys,
    stage: &str,
    partition: Partition,
    due: &Due<'_>,
) -> Result<bool, CommitError> {
    let packet = std::str::from_utf8(due.what).map_err(|_| unexpected())?;
    let reads = vec![
        Read::Fields(records::packet(packet), [ORDER, STATE, EXPIRES].map(Field::from).to_vec()),
        Read::All(records::parts(packet), split::COUNT_MAX),
    ];
    let closing = step(packet, State::Open, State::Closing, reads);
    let answers = context.commit(partition, closing).await?.unwrap_or_else(|refused| refused.reads);
    let [Some(order), state, Some(expires)] = fields(answers.first())? else {
        return Err(unexpected());
    };
    if State::of(state.as_ref())? == State::Closing {
        let Some(Answer::Map(parts)) = answers.get(1) else { return Err(unexpected()) };
        let mut left = 0;
        for (_, cents) in parts {
            left += integer(Some(cents))?;
        }
        if left > 0 {
            let user = UserId(Order::decode(order)?.sender);
            let refund = Opening { user, amount: left, at: integer(Some(expires))? };
            pay_refund(context, keys, stage, packet, &refund).await?;
        }
        let mut closed = step(packet, State::Closing, State::Closed, vec![]);
        closed.write(closed_at(packet, context.now));
        context.commit(partition, closed).await?.ok();
    }
    forget(context, partition, records::ENDS, due).await
}
