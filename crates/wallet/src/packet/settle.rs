//! What a crash left half-way, and what has expired.

use binding::Binding;
use domain::answers::{fields, integer, unexpected};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::transaction::{
    Answer, CommitError, Field, Guard, MapKey, Outcome, Read, Transaction, Value, Write,
};

use super::open::{pay_refund, step};
use super::send::write_down;
use super::{EXPIRES, Failure, ORDER, Opening, Order, STATE, State, name, pay_opening};
use crate::context::Context;
use crate::keys::SigningKeys;
use crate::records;
use crate::split;

/// What settling the packets of a partition did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Packets that were sent and are now written down for certain.
    pub sent: u64,
    /// Openings and refunds that are now paid for certain.
    pub paid: u64,
    /// Packets that expired and are closed now.
    pub closed: u64,
}

/// Periods of the index: a packet lives for as many as a day has, so that all are seen.
const PERIODS_MAX: u32 = 1_024;
/// What one call looks at, of each kind; the next one goes on.
const SETTLE_MAX: u32 = 256;

/// Finishes what is under way in a partition, and closes packets that have expired. Bounded.
///
/// # Errors
/// The store's; what was done stays so.
pub async fn settle<B: Binding>(
    context: &Context<'_, B>,
    keys: &SigningKeys,
    stage: &str,
    partition: Partition,
    random: &mut dyn FnMut() -> u64,
) -> Result<Settled, CommitError> {
    let reads = vec![
        Read::Some(records::unsent(), SETTLE_MAX),
        Read::Some(records::owed(), SETTLE_MAX),
        Read::Some(records::ends(), PERIODS_MAX),
    ];
    let answers = context.read(partition, reads).await?;
    let [Answer::Map(unsent), Answer::Map(owed), Answer::Map(ends)] = &answers[..] else {
        return Err(unexpected());
    };
    let mut settled = Settled::default();
    for (field, _) in unsent {
        finish_sending(context, partition, field, random).await?;
        settled.sent += 1;
    }
    for (field, _) in owed {
        finish_paying(context, keys, stage, partition, field).await?;
        settled.paid += 1;
    }
    let now = records::period(context.now);
    for (field, _) in ends {
        let name = std::str::from_utf8(&field.0).ok().and_then(|text| text.parse::<i64>().ok());
        let period = name.ok_or_else(unexpected)?;
        if period <= now {
            settled.closed += close_due(context, keys, stage, partition, period).await?;
        }
    }
    Ok(settled)
}

async fn finish_sending<B: Binding>(
    context: &Context<'_, B>,
    partition: Partition,
    field: &Field,
    random: &mut dyn FnMut() -> u64,
) -> Result<(), CommitError> {
    let (sender, number) = records::pair_of(field).ok_or_else(unexpected)?;
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
    forget(context, partition, records::unsent(), field).await
}

async fn finish_paying<B: Binding>(
    context: &Context<'_, B>,
    keys: &SigningKeys,
    stage: &str,
    partition: Partition,
    field: &Field,
) -> Result<(), CommitError> {
    let (user, packet) = records::pair_of(field).ok_or_else(unexpected)?;
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
    forget(context, partition, records::owed(), field).await
}

async fn forget<B: Binding>(
    context: &Context<'_, B>,
    partition: Partition,
    list: MapKey,
    field: &Field,
) -> Result<(), CommitError> {
    let writes = vec![Write::Unset(list, field.clone())];
    context.commit(partition, Transaction { writes, ..Transaction::default() }).await?;
    Ok(())
}

/// Closes the packets of a period that have expired; how many.
async fn close_due<B: Binding>(
    context: &Context<'_, B>,
    keys: &SigningKeys,
    stage: &str,
    partition: Partition,
    period: i64,
) -> Result<u64, CommitError> {
    let list = records::ends_in(period);
    let answers = context.read(partition, vec![Read::Some(list.clone(), SETTLE_MAX)]).await?;
    let Some(Answer::Map(packets)) = answers.first() else { return Err(unexpected()) };
    let mut closed = 0;
    for (field, until) in packets {
        if integer(Some(until))? > context.now.0 {
            continue;
        }
        let packet = std::str::from_utf8(&field.0).map_err(|_| unexpected())?;
        close(context, keys, stage, partition, packet).await?;
        forget(context, partition, list.clone(), field).await?;
        closed += 1;
    }
    if packets.is_empty() && period < records::period(context.now) {
        let forget = Transaction {
            guards: vec![Guard::SizeAtMost(list, 0)],
            writes: vec![Write::Unset(records::ends(), Field(period.to_string().into_bytes()))],
            ..Transaction::default()
        };
        context.commit(partition, forget).await?;
    }
    Ok(closed)
}

/// Closes a packet, and gives back what is left of it: first nobody can open it any more, then what is
/// left is known for good and paid under its number, then it is closed.
async fn close<B: Binding>(
    context: &Context<'_, B>,
    keys: &SigningKeys,
    stage: &str,
    partition: Partition,
    packet: &str,
) -> Result<(), CommitError> {
    let reads = vec![
        Read::Fields(records::packet(packet), [ORDER, STATE, EXPIRES].map(Field::from).to_vec()),
        Read::All(records::parts(packet), split::COUNT_MAX),
    ];
    let closing = step(packet, State::Open, State::Closing, reads);
    let answers = match context.commit(partition, closing).await? {
        Outcome::Committed(answers) => answers,
        Outcome::Refused(refused) => refused.reads,
    };
    let [Some(order), state, Some(expires)] = fields(answers.first())? else {
        return Err(unexpected());
    };
    if State::of(state.as_ref())? != State::Closing {
        return Ok(());
    }
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
    context.commit(partition, step(packet, State::Closing, State::Closed, vec![])).await?;
    Ok(())
}
