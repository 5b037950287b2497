//! Payments for packets, of which events tell. The steps are those of [`super`].

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::error::InvalidInput;
use domain::time::UnixMillis;
use domain::transaction::{Answer, Field, Guard, Read, Value, Write};
use serde::{Deserialize, Serialize};
use store::codec::{decode, encode};
use store::{Plan, Record, attempts};

use super::send::{draw_parts, open_until};
use super::{
    EXPIRES, Failure, Funding, LIFE_MS, ORDER, Order, PAYMENT, Refusal, STATE, State, UNPAID_MS,
    UNUSED, number_of, sender_of, with_number_of_payment,
};
use crate::context::Context;
use crate::records;

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
    /// The packet has it, or its sender was credited: now or earlier.
    Applied,
    /// There is no use for it: an operator decides about it, or has said that it was given back elsewhere.
    Unapplied(Why),
}

/// Why there is no use for a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The packet is too old.
    TooOld,
    /// The packet has another payment, or was sent from a balance.
    AlreadyPaid,
    /// The packet has a payment of which no number is known: it may be this one.
    MayBeTheSame,
    /// The packet is so old that nothing is kept of it, not even how much it was, or whether it has this payment.
    Forgotten,
}

/// A payment that did not open its packet, as it is kept with its record: one that came late, or has no use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unused {
    /// When it was told, in unix milliseconds.
    pub told: i64,
    /// Why.
    pub why: Why,
    /// The payment that the packet has, where it has one.
    pub instead_of: Option<Payment>,
}

impl Record for Unused {
    const NAME: &'static str = "a payment without use";
}

/// Before the name of the record of a payment.
const PREFIX: &str = "payment:";

/// Pays for a packet: its parts are drawn now. Idempotent. Where it was forgotten, the payment credits the sender
/// once; where there is no use for it, it is listed for operators.
///
/// # Errors
/// `unknown_packet`; `too_old` of a payment about which an operator decided long ago; the store's.
pub async fn pay<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    payment: &Payment,
    random: &mut dyn FnMut() -> u64,
) -> Result<Told, Failure> {
    let record = records::packet(packet);
    let home = records::home_of_packet(context.partitions, packet);
    attempts("pay for a packet", async || {
        let names = [ORDER, STATE, PAYMENT, UNUSED, EXPIRES].map(Field::from).to_vec();
        let answers = context.read(home, vec![Read::Fields(record.clone(), names)]).await?;
        let [Some(order), state, paid_by, unused, expires] = fields(answers.first())? else {
            return pay_from_order(context, packet, payment, random).await;
        };
        let (order, state) = (Order::decode(order)?, State::of(state.as_ref())?);
        if state == State::Unpaid {
            return pay_in_time(context, packet, &order, payment, random).await;
        }
        let unused: Option<Unused> = unused.as_ref().map(decode).transpose()?;
        let paid_by: Option<Payment> = paid_by.as_ref().map(decode).transpose()?;
        let of_packet = told(state, unused.as_ref(), expires.as_ref());
        let why = match (&paid_by, of_packet) {
            // One of which no number is known may be that of the packet.
            (Some(paid_by), _) if *payment == *paid_by || *payment == Payment::NONE => {
                return Ok(Some(of_packet));
            }
            (Some(paid_by), _) if *paid_by == Payment::NONE => Why::MayBeTheSame,
            (Some(_), Told::Unapplied(why)) => why,
            (Some(_), Told::Applied) => Why::AlreadyPaid,
            (None, _) if order.funding == Funding::Balance => Why::AlreadyPaid,
            (None, _) => return Err(unexpected().into()),
        };
        let unused = Unused { told: context.now.0, why, instead_of: paid_by };
        keep_unapplied(context, packet, &order, payment, &unused).await
    })
    .await
}

/// What is told of a payment that is known.
fn told(state: State, unused: Option<&Unused>, expires: Option<&Value>) -> Told {
    // What was dropped has been closed without ever being given back.
    let moved_nothing = state == State::Waiting || (state == State::Closed && expires.is_none());
    match unused {
        Some(Unused { why, .. }) if moved_nothing => Told::Unapplied(*why),
        _ => Told::Applied,
    }
}

/// What a payment moves: it comes in, and is in the packet.
fn pay_in(total: i64) -> impl Iterator<Item = Write> {
    [(records::PAID_IN, -total), (records::PACKETS, total)]
        .into_iter()
        .map(|(account, cents)| Write::Add(records::accounts(), account.into(), cents))
}

/// What is written where a packet is paid for in time: from now on it can be opened.
fn paid_writes(
    packet: &str,
    order: &Order,
    payment: &Payment,
    now: UnixMillis,
    random: &mut dyn FnMut() -> u64,
) -> Vec<Write> {
    let record = records::packet(packet);
    let mut writes = vec![Write::Set(record.clone(), PAYMENT.into(), encode(payment))];
    writes.extend(open_until(packet, now.0 + LIFE_MS));
    writes.extend(draw_parts(packet, order, random));
    writes.extend(pay_in(order.total));
    // What was paid for may not be collected, and may not be taken by a store that is short of memory either.
    writes.push(Write::Keep(record));
    writes
}

/// Pays a packet that is there, if it still is unpaid.
async fn pay_in_time<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    order: &Order,
    payment: &Payment,
    random: &mut dyn FnMut() -> u64,
) -> Result<Option<Told>, Failure> {
    let mut plan = Plan::new();
    let unpaid = State::Unpaid.value();
    let guard = Guard::FieldEquals(records::packet(packet), STATE.into(), unpaid);
    plan.at(context.now).demand((), guard);
    plan.write_all(paid_writes(packet, order, payment, context.now, random));
    let home = records::home_of_packet(context.partitions, packet);
    let Err(refused) = context.commit(home, plan).await? else { return Ok(Some(Told::Applied)) };
    match refused.field()? {
        // It was forgotten between the two.
        None => pay_from_order(context, packet, payment, random).await,
        Some(_) => Ok(None),
    }
}

/// Pays for a packet that is not there, by what its sender asked for, unless somebody writes it down meanwhile: it
/// was not yet, or is forgotten.
async fn pay_from_order<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    payment: &Payment,
    random: &mut dyn FnMut() -> u64,
) -> Result<Option<Told>, Failure> {
    let (sender, number) = sender_of(packet).ok_or(Refusal::UnknownPacket)?;
    let reads = vec![
        Read::Fields(records::sent(sender), vec![number.as_str().into()]),
        number_of(sender, &number, None).read_forgotten(context.partitions),
    ];
    let answers = context.read(context.home(sender), reads).await?;
    let Some(order) = fields(answers.first())?.first().and_then(Option::as_ref) else {
        if answers.get(1) == Some(&Answer::Contains(true)) {
            return keep_forgotten(context, packet, payment).await;
        }
        return Err(Refusal::UnknownPacket.into());
    };
    let order = Order::decode(order)?;
    if order.funding != Funding::Payment {
        // Its writer is on the way.
        return Err(Refusal::UnknownPacket.into());
    }
    let now = context.now;
    let mut plan = Plan::new();
    let absent = Guard::FieldAbsent(records::packet(packet), ORDER.into());
    plan.at(now).demand((), absent);
    let unused = Unused { told: now.0, why: Why::TooOld, instead_of: None };
    let told = if now.0 < order.at + UNPAID_MS {
        plan.write(Write::Set(records::packet(packet), ORDER.into(), order.encode()));
        plan.write_all(paid_writes(packet, &order, payment, now, random));
        Told::Applied
    } else if order.is_too_old(now) {
        plan.write_all(without_parts(packet, &order, payment, &unused));
        plan.write_all(wait(packet, now));
        Told::Unapplied(unused.why)
    } else {
        plan.write_all(without_parts(packet, &order, payment, &unused));
        plan.write_all(give_back(packet, &order, now));
        Told::Applied
    };
    let home = records::home_of_packet(context.partitions, packet);
    Ok(context.commit(home, plan).await?.ok().map(|_| told))
}

/// Keeps a payment for which a packet has no use, until an operator has decided; it is kept once.
async fn keep_unapplied<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    order: &Order,
    payment: &Payment,
    unused: &Unused,
) -> Result<Option<Told>, Failure> {
    let name = payment.record_name(packet);
    let mut writes = without_parts(&name, order, payment, unused).to_vec();
    writes.extend(wait(&name, context.now));
    keep(context, &name, writes).await
}

/// Keeps a payment for a packet of which nothing is kept: how much it is, is not known here.
async fn keep_forgotten<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    payment: &Payment,
) -> Result<Option<Told>, Failure> {
    let name = payment.record_name(packet);
    let record = records::packet(&name);
    let unused = Unused { told: context.now.0, why: Why::Forgotten, instead_of: None };
    let mut writes = vec![
        Write::Set(record.clone(), PAYMENT.into(), encode(payment)),
        Write::Set(record.clone(), UNUSED.into(), encode(&unused)),
        Write::Keep(record),
    ];
    writes.extend(wait(&name, context.now));
    keep(context, &name, writes).await
}

/// Writes the record of a payment, if there is none, and if none was forgotten; what it says then.
async fn keep<B: Binding>(
    context: &Context<'_, B>,
    name: &str,
    writes: Vec<Write>,
) -> Result<Option<Told>, Failure> {
    let record = records::packet(name);
    let mut plan = Plan::new();
    plan.at(context.now);
    plan.demand(false, Guard::FieldAbsent(record.clone(), UNUSED.into()));
    let is_remembered = with_number_of_payment(name, |number| number.demands(context.partitions));
    plan.demand_all(true, is_remembered).write_all(writes);
    plan.read(Read::Fields(record, [STATE, UNUSED, EXPIRES].map(Field::from).to_vec()));
    let home = records::home_of_packet(context.partitions, name);
    let answers = match context.commit(home, plan).await? {
        Ok(answers) => answers,
        Err(refused) if refused.why => return Err(Refusal::Forgotten.into()),
        Err(refused) => refused.reads,
    };
    let [state, Some(unused), expires] = fields(answers.first())? else {
        return Err(unexpected().into());
    };
    let (state, unused) = (State::of(state.as_ref())?, decode(unused)?);
    Ok(Some(told(state, Some(&unused), expires.as_ref())))
}

/// What was paid for and nobody opens: it is one part.
fn without_parts(name: &str, order: &Order, payment: &Payment, unused: &Unused) -> [Write; 5] {
    let record = records::packet(name);
    [
        Write::Set(record.clone(), ORDER.into(), order.encode()),
        Write::Set(record.clone(), PAYMENT.into(), encode(payment)),
        Write::Set(record.clone(), UNUSED.into(), encode(unused)),
        Write::Set(records::parts(name), "0".into(), Value::Integer(order.total)),
        Write::Keep(record),
    ]
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
