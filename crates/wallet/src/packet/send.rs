//! How packets come: from a balance, or as an order that a payment is to follow.

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::due;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Field, Guard, Read, Value, Write};
use store::{Plan, attempts};

use super::{
    DISPLAY, Display, EXPIRES, Failure, Funding, Kind, LIFE_MS, ORDER, Order, Refusal, STATE,
    State, UNPAID_MS, UNUSED, name, number_of,
};
use crate::account::{Account, Movement};
use crate::context::Context;
use crate::entry::{Entry, What};
use crate::pending;
use crate::posting;
use crate::records;
use crate::split;

/// Writes a packet down, if it is not there: its parts are drawn here. Idempotent. What is shown of it is
/// added where it is missing, because settlement, which does not know it, may have come first.
pub(super) async fn write_down<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    order: &Order,
    display: Option<&Display>,
    random: &mut dyn FnMut() -> u64,
) -> Result<Order, Failure> {
    let record = records::packet(packet);
    let home = records::home_of_packet(context.partitions, packet);
    let shown = display.map(|shown| Write::Set(record.clone(), DISPLAY.into(), shown.encode()));
    // From now on: whoever sends it again once it was forgotten has as long to pay.
    let kept = order.at.max(context.now.0) + UNPAID_MS;
    let is_too_old = order.funding == Funding::Payment && order.is_too_old(context.now);
    attempts("write a packet down", async || {
        let mut plan = Plan::new();
        plan.at(context.now).demand((), Guard::FieldAbsent(record.clone(), ORDER.into()));
        if !is_too_old {
            plan.write(Write::Set(record.clone(), ORDER.into(), order.encode()));
            plan.write_all(shown.clone());
        }
        match order.funding {
            Funding::Balance => {
                plan.write_all(draw_parts(packet, order, random));
                plan.write_all(open_until(packet, order.at + LIFE_MS));
            }
            // What nobody pays for costs one small record.
            Funding::Payment => {
                if !is_too_old {
                    let unpaid = State::Unpaid.value();
                    plan.write(Write::Set(record.clone(), STATE.into(), unpaid));
                    plan.write(Write::CollectAfter(record.clone(), kept));
                }
                plan.read(Read::Fields(record.clone(), [STATE, UNUSED].map(Field::from).to_vec()));
            }
        }
        let refused = match context.commit(home, plan).await? {
            Ok(_) if is_too_old => return Err(Refusal::TooOld.into()),
            Ok(_) => return Ok(Some(order.clone())),
            Err(refused) => refused,
        };
        let earlier = Order::decode(refused.field()?.ok_or_else(unexpected)?)?;
        if !earlier.is_same(order) {
            return Err(Refusal::OrderNumberReused.into());
        }
        if order.funding == Funding::Payment {
            let [state, unused] = fields(refused.reads.first())? else {
                return Err(unexpected().into());
            };
            if unused.is_some() {
                return Err(Refusal::TooOld.into());
            }
            let is_unpaid = State::of(state.as_ref())? == State::Unpaid;
            if is_unpaid && !keep_unpaid(context, packet, kept).await? {
                return Ok(None);
            }
        }
        if let Some(write) = shown.clone() {
            let mut add = Plan::new();
            add.demand((), Guard::FieldPresent(record.clone(), ORDER.into()));
            add.demand((), Guard::FieldAbsent(record.clone(), DISPLAY.into())).write(write);
            context.commit(home, add).await?.ok();
        }
        Ok(Some(earlier))
    })
    .await
}

/// Keeps a packet that is unpaid until a moment: whoever is told that it is sent can pay for it until then.
/// Whether it was there.
async fn keep_unpaid<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    until: i64,
) -> Result<bool, CommitError> {
    let record = records::packet(packet);
    let mut plan = Plan::new();
    let unpaid = State::Unpaid.value();
    plan.at(context.now).demand((), Guard::FieldEquals(record.clone(), STATE.into(), unpaid));
    plan.write(Write::CollectAfter(record, until));
    let home = records::home_of_packet(context.partitions, packet);
    Ok(context.commit(home, plan).await?.is_ok())
}

/// The parts of a packet.
pub(super) fn draw_parts(
    packet: &str,
    order: &Order,
    random: &mut dyn FnMut() -> u64,
) -> impl Iterator<Item = Write> {
    let parts = match order.kind {
        Kind::Random => split::split_random(order.total, order.count, random),
        Kind::Equal => split::split_equal(order.total, order.count),
    };
    let record = records::parts(packet);
    (0_u32..).zip(parts).map(move |(index, cents)| {
        let field = Field(index.to_string().into_bytes());
        Write::Set(record.clone(), field, Value::Integer(cents))
    })
}

/// From now on a packet can be opened, until a moment.
pub(super) fn open_until(packet: &str, until: i64) -> [Write; 3] {
    let record = records::packet(packet);
    [
        Write::Set(record.clone(), STATE.into(), State::Open.value()),
        Write::Set(record, EXPIRES.into(), Value::Integer(until)),
        records::ENDS.add(UnixMillis(until), packet.as_bytes()),
    ]
}

/// Sends a packet: two round trips. The order, and whether an earlier call sent it.
///
/// # Errors
/// `exceeds_balance`, `order_number_reused`, `too_old`; the store's.
pub async fn send<B: Binding>(
    context: &Context<'_, B>,
    number: &OrderNumber,
    order: &Order,
    display: Option<&Display>,
    random: &mut dyn FnMut() -> u64,
) -> Result<(Order, bool), Failure> {
    let sender = UserId(order.sender);
    let packet = name(sender, number);
    let (order, replayed) = match order.funding {
        Funding::Payment => claim(context, number, order).await?,
        Funding::Balance => take_from_sender(context, number, order).await?,
    };
    // What was taken from a balance so long ago was written down, or is noted as on its way; it may be forgotten by now,
    // and must not come again.
    if replayed && order.funding == Funding::Balance && order.is_too_old(context.now) {
        return Ok((order, true));
    }
    let written = write_down(context, &packet, &order, display, random).await?;
    Ok((written.clone(), replayed || written.at != order.at))
}

/// A number of a sender is one packet, whoever pays for it: otherwise the money of one that is sent from the
/// balance could be taken, and its name be another one's.
async fn claim<B: Binding>(
    context: &Context<'_, B>,
    number: &OrderNumber,
    order: &Order,
) -> Result<(Order, bool), Failure> {
    let sender = UserId(order.sender);
    let (record, field) = (records::sent(sender), Field::from(number.as_str()));
    let mut plan = Plan::new();
    plan.demand(Why::Known, Guard::FieldAbsent(record.clone(), field.clone()));
    plan.demand_all(Why::Forgotten, is_remembered(context, number, order));
    plan.write(Write::Set(record, field, order.encode()));
    plan.write(listed(sender, number, order));
    let Err(refused) = context.commit(context.home(sender), plan).await? else {
        return Ok((order.clone(), false));
    };
    if refused.why == Why::Forgotten {
        return Err(Refusal::Forgotten.into());
    }
    let earlier = Order::decode(refused.field()?.ok_or_else(unexpected)?)?;
    if earlier.is_same(order) {
        Ok((earlier, true))
    } else {
        Err(Refusal::OrderNumberReused.into())
    }
}

/// Demands that the number is not forgotten.
fn is_remembered<B: Binding>(
    context: &Context<'_, B>,
    number: &OrderNumber,
    order: &Order,
) -> Vec<Guard> {
    let ordered_at = order.ordered_at.map(UnixMillis);
    number_of(UserId(order.sender), number, ordered_at).demands(context.partitions)
}

/// Puts an order among all that were sent.
fn listed(sender: UserId, number: &OrderNumber, order: &Order) -> Write {
    records::SENT.add(UnixMillis(order.at), &due::of_user(sender, number.as_str()))
}

/// The sender's commit.
async fn take_from_sender<B: Binding>(
    context: &Context<'_, B>,
    number: &OrderNumber,
    order: &Order,
) -> Result<(Order, bool), Failure> {
    let sender = UserId(order.sender);
    let home = context.home(sender);
    let (record, field) = (records::sent(sender), Field::from(number.as_str()));
    let mut account = posting::post(context, sender).await?.account;
    attempts("send a packet", async || {
        let mut plan = Plan::new();
        plan.demand(Why::Known, Guard::FieldAbsent(record.clone(), field.clone()));
        plan.demand_all(Why::Forgotten, is_remembered(context, number, order));
        let mut movement = Movement::new(plan, sender, &account, context.now, Why::Moved);
        movement.demand(Why::Moved, Account::demand_balance(sender, order.total));
        movement.credit(records::PACKETS, -order.total);
        let what = What::Sent(number.as_str().to_owned());
        movement.entry(&Entry { amount: -order.total, at: order.at, what });
        movement.write(Write::Set(record.clone(), field.clone(), order.encode()));
        let mark = due::of_user(sender, number.as_str());
        movement.write(records::UNSENT.add(UnixMillis(order.at), &mark));
        movement.write(listed(sender, number, order));
        let reads = vec![Account::read(sender), pending::read(sender)];
        let Err(refused) = context.commit(home, movement.plan(reads)).await? else {
            return Ok(Some((order.clone(), false)));
        };
        match refused.why {
            Why::Known => {
                let earlier = Order::decode(refused.field()?.ok_or_else(unexpected)?)?;
                if !earlier.is_same(order) {
                    return Err(Refusal::OrderNumberReused.into());
                }
                return Ok(Some((earlier, true)));
            }
            Why::Forgotten => return Err(Refusal::Forgotten.into()),
            Why::Moved => {}
        }
        account = Account::answered(refused.reads.first())?;
        let pending::Found { readable, unreadable } = pending::found(refused.reads.get(1))?;
        if account.balance < order.total && readable.is_empty() {
            // What cannot be read might be enough.
            return Err(match unreadable.first() {
                Some(number) => pending::unreadable(number).into(),
                None => Refusal::ExceedsBalance.into(),
            });
        }
        if !readable.is_empty() {
            account = posting::post(context, sender).await?.account;
        }
        Ok(None)
    })
    .await
}

/// Why nothing is taken from a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The number has acted.
    Known,
    /// The number is forgotten.
    Forgotten,
    /// The account is elsewhere, or has too little.
    Moved,
}
