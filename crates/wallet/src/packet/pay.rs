//! Payments for packets, of which events tell. The steps are those of [`super`].

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::error::InvalidInput;
use domain::time::UnixMillis;
use domain::transaction::{Field, Guard, Read, Value, Write};
use serde::{Deserialize, Serialize};
use store::codec::{decode, encode};
use store::{Plan, Record, attempts};

use super::send::{draw_parts, open_until};
use super::{
    EXPIRES, Failure, Funding, LATE, LIFE_MS, ORDER, Order, PAYMENT, Refusal, STATE, State,
    sender_of,
};
use crate::context::Context;
use crate::records;

/// An order that nobody pays for is forgotten after that: a payment may take days.
pub(super) const UNPAID_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// So long after it was sent a payment for a packet that was forgotten still credits the sender.
const CREDITED_MS: i64 = 30 * 24 * 60 * 60 * 1_000;
/// Bytes of a payment's number: with that of a packet it is part of an order number.
pub const PAYMENT_BYTES_MAX: usize = 64;

/// A payment's number at the payment provider, or that it has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment(String);

impl Record for Payment {
    const NAME: &'static str = "the number of a payment";
}

impl Payment {
    /// A payment of which no number is known: a packet has one at most.
    pub const NONE: Self = Self(String::new());

    /// Reads a number that a provider gave.
    ///
    /// # Errors
    /// `invalid_payment` for an empty or too long text, and for a character that is not a letter, a digit, or one
    /// of `_ - .`.
    pub fn parse(text: &str, field: &str) -> Result<Self, InvalidInput> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !text.is_empty() && text.len() <= PAYMENT_BYTES_MAX && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        let detail = format!("must be 1 to {PAYMENT_BYTES_MAX} letters, digits or any of _ - .");
        Err(InvalidInput::new("invalid_payment", field, detail))
    }

    /// The number, where there is one.
    pub fn number(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&self.0)
    }

    /// The name of the record of a payment for which a packet had no use. No packet has such a name.
    pub fn record_name(&self, packet: &str) -> String {
        format!("{PREFIX}{}:{packet}", self.0)
    }

    /// The payment and the packet of a record's name.
    pub fn of_record_name(name: &str) -> Option<(Self, &str)> {
        let (payment, packet) = name.strip_prefix(PREFIX)?.split_once(':')?;
        sender_of(packet)?;
        match payment {
            "" => Some((Self::NONE, packet)),
            number => Some((Self::parse(number, "").ok()?, packet)),
        }
    }
}

/// What became of a payment that an event told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The packet has it, or its sender was credited, or an operator has decided: now or earlier.
    Applied,
    /// The packet is too old: it waits for an operator.
    TooOld,
    /// The packet has another payment, or was sent from a balance: it waits for an operator.
    AlreadyPaid,
}

/// Before the name of the record of a payment.
const PREFIX: &str = "payment:";

/// Whether a packet that was forgotten cannot be paid for any more.
pub(super) fn is_too_old<B: Binding>(context: &Context<'_, B>, order: &Order) -> bool {
    context.now.0 >= order.at + CREDITED_MS
}

/// Pays for a packet: its parts are drawn now. Idempotent. Where it was forgotten, the payment credits the sender
/// once; where it is too old, or paid for already, the payment is listed for operators.
///
/// # Errors
/// `unknown_packet`; the store's.
pub async fn pay<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    payment: &Payment,
    random: &mut dyn FnMut() -> u64,
) -> Result<Told, Failure> {
    let record = records::packet(packet);
    let home = records::home_of_packet(context.partitions, packet);
    attempts("pay for a packet", async || {
        let names = [ORDER, STATE, PAYMENT].map(Field::from).to_vec();
        let answers = context.read(home, vec![Read::Fields(record.clone(), names)]).await?;
        let [Some(order), state, paid_by] = fields(answers.first())? else {
            return pay_late(context, packet, payment).await;
        };
        let (order, state) = (Order::decode(order)?, State::of(state.as_ref())?);
        if state == State::Unpaid {
            return pay_in_time(context, packet, &order, payment, random).await;
        }
        match (paid_by, order.funding) {
            (Some(paid_by), _) if decode::<Payment>(paid_by)? == *payment => {
                let waits = state == State::Waiting;
                Ok(Some(if waits { Told::TooOld } else { Told::Applied }))
            }
            (Some(_), _) | (None, Funding::Balance) => {
                keep_unapplied(context, packet, &order, payment).await
            }
            (None, Funding::Payment) => Err(unexpected().into()),
        }
    })
    .await
}

/// What a payment moves: it comes in, and is in the packet.
fn pay_in(total: i64) -> impl Iterator<Item = Write> {
    [(records::PAID_IN, -total), (records::PACKETS, total)]
        .into_iter()
        .map(|(account, cents)| Write::Add(records::accounts(), account.into(), cents))
}

/// Pays a packet that is there, if it still is unpaid.
async fn pay_in_time<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    order: &Order,
    payment: &Payment,
    random: &mut dyn FnMut() -> u64,
) -> Result<Option<Told>, Failure> {
    let record = records::packet(packet);
    let mut plan = Plan::new();
    let unpaid = State::Unpaid.value();
    plan.at(context.now).demand((), Guard::FieldEquals(record.clone(), STATE.into(), unpaid));
    plan.write(Write::Set(record.clone(), PAYMENT.into(), encode(payment)));
    plan.write_all(open_until(packet, context.now.0 + LIFE_MS));
    plan.write_all(draw_parts(packet, order, random));
    plan.write_all(pay_in(order.total));
    // What was paid for may not be collected, and may not be taken by a store that is short of memory either.
    plan.write(Write::Keep(record));
    let home = records::home_of_packet(context.partitions, packet);
    let Err(refused) = context.commit(home, plan).await? else { return Ok(Some(Told::Applied)) };
    match refused.field()? {
        // It was forgotten between the two.
        None => pay_late(context, packet, payment).await,
        Some(_) => Ok(None),
    }
}

/// Pays for a packet that was forgotten, unless somebody writes it down meanwhile.
async fn pay_late<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    payment: &Payment,
) -> Result<Option<Told>, Failure> {
    let (sender, number) = sender_of(packet).ok_or(Refusal::UnknownPacket)?;
    let sent = Read::Fields(records::sent(sender), vec![number.as_str().into()]);
    let answers = context.read(context.home(sender), vec![sent]).await?;
    let value = fields(answers.first())?.first().and_then(Option::as_ref);
    let order = Order::decode(value.ok_or(Refusal::UnknownPacket)?)?;
    if order.funding != Funding::Payment || context.now.0 < order.at + UNPAID_MS {
        return Err(Refusal::UnknownPacket.into());
    }
    let is_too_old = is_too_old(context, &order);
    let mut plan = write_down(context, packet, &order, payment);
    if is_too_old {
        plan.write_all(wait(packet, context.now));
    } else {
        plan.write_all(give_back(packet, &order, context.now));
    }
    let home = records::home_of_packet(context.partitions, packet);
    match context.commit(home, plan).await? {
        Err(_) => Ok(None),
        Ok(_) if is_too_old => Ok(Some(Told::TooOld)),
        Ok(_) => Ok(Some(Told::Applied)),
    }
}

/// Keeps a payment for which a packet that is paid for has no use, until an operator has decided; it is kept once.
async fn keep_unapplied<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    order: &Order,
    payment: &Payment,
) -> Result<Option<Told>, Failure> {
    let name = payment.record_name(packet);
    let mut plan = write_down(context, &name, order, payment);
    plan.write_all(wait(&name, context.now));
    let state = Read::Fields(records::packet(&name), vec![STATE.into()]);
    plan.read(state);
    let home = records::home_of_packet(context.partitions, &name);
    let answers = context.commit(home, plan).await?.unwrap_or_else(|refused| refused.reads);
    let state = fields(answers.first())?.first().and_then(Option::as_ref);
    Ok(Some(match State::of(state)? {
        State::Waiting => Told::AlreadyPaid,
        _ => Told::Applied,
    }))
}

/// Writes down, under a name at which nothing is, what was paid for and cannot be opened.
fn write_down<B: Binding>(
    context: &Context<'_, B>,
    name: &str,
    order: &Order,
    payment: &Payment,
) -> Plan<()> {
    let record = records::packet(name);
    let mut plan = Plan::new();
    plan.at(context.now).demand((), Guard::FieldAbsent(record.clone(), ORDER.into()));
    plan.write(Write::Set(record.clone(), ORDER.into(), order.encode()));
    plan.write(Write::Set(record.clone(), PAYMENT.into(), encode(payment)));
    plan.write(Write::Set(record.clone(), LATE.into(), Value::Integer(context.now.0)));
    // Nobody opens it: it is one part.
    let whole = Value::Integer(order.total);
    plan.write(Write::Set(records::parts(name), "0".into(), whole));
    plan.write(Write::Keep(record));
    plan
}

/// Lets a payment wait for an operator.
fn wait(name: &str, now: UnixMillis) -> [Write; 2] {
    [
        Write::Set(records::packet(name), STATE.into(), State::Waiting.value()),
        records::UNAPPLIED.add(now, name.as_bytes()),
    ]
}

/// What was paid for and nobody can open goes to the sender, by settlement.
pub(super) fn give_back(name: &str, order: &Order, now: UnixMillis) -> Vec<Write> {
    let record = records::packet(name);
    let mut writes = vec![
        Write::Set(record.clone(), STATE.into(), State::Closing.value()),
        Write::Set(record, EXPIRES.into(), Value::Integer(now.0)),
        records::ENDS.add(now, name.as_bytes()),
    ];
    writes.extend(pay_in(order.total));
    writes
}

/// What is known of a payment that waits, or waited.
pub(super) fn reads(name: &str) -> Read {
    Read::Fields(records::packet(name), [ORDER, STATE, LATE, PAYMENT].map(Field::from).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{NUMBER_BYTES_MAX, refund_number};
    use domain::order_number::ORDER_NUMBER_BYTES_MAX;

    #[test]
    fn a_record_is_named_by_payment_and_packet_and_fits_an_order_number() {
        let payment = Payment::parse(&"p".repeat(PAYMENT_BYTES_MAX), "payment").unwrap();
        let packet = format!("{}.{}", u64::MAX, "n".repeat(NUMBER_BYTES_MAX));
        for payment in [payment, Payment::NONE] {
            let name = payment.record_name(&packet);
            assert_eq!(Payment::of_record_name(&name), Some((payment, &*packet)));
            assert_eq!(sender_of(&name), None, "it is no packet's");
            assert_eq!(refund_number(&name), name);
            assert!(name.len() <= ORDER_NUMBER_BYTES_MAX, "{}", name.len());
        }
        for wrong in ["", "7.p", "payment:7.p", "payment:a:7", "payment:a b:7.p", "x:a:7.p"] {
            assert_eq!(Payment::of_record_name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn wrong_numbers_of_payments_name_the_field() {
        let too_long = "p".repeat(PAYMENT_BYTES_MAX + 1);
        for wrong in ["", "a:b", "a b", "ä", &too_long] {
            let error = Payment::parse(wrong, "data.payment").unwrap_err();
            assert_eq!((error.code, &*error.field), ("invalid_payment", "data.payment"), "{wrong}");
        }
    }
}
