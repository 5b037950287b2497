//! Payments for which there was no use: they wait, listed, until an operator decides what becomes of the money.

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::due;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Guard, Value, Write};
use serde::{Deserialize, Serialize};
use store::codec::{decode, encode};
use store::listing::{self, Place};
use store::{Plan, Record};

use super::pay::{self, Payment, give_back};
use super::{DECIDED, Failure, Order, Refusal, STATE, State};
use crate::context::Context;
use crate::records;

/// Bytes of the reason of a decision.
pub const REASON_BYTES_MAX: usize = 400;

/// A payment that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unapplied {
    /// Where it stands.
    pub place: Place,
    /// The name of its record, under which it is decided.
    pub name: String,
    /// What is known of it; nothing where its record cannot be read.
    pub details: Option<Details>,
}

/// What is known of a payment that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// For which packet.
    pub packet: String,
    /// Its number.
    pub payment: Payment,
    /// What the packet's sender asked for: the payment is its whole sum.
    pub order: Order,
    /// When it was told.
    pub told: UnixMillis,
    /// Whether the packet was too old for it; else it was paid for already.
    pub is_too_old: bool,
}

/// What an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The money goes to the sender's balance.
    Credit,
    /// It was given back elsewhere: nothing moves here.
    Drop,
}

/// A decision, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Decided {
    /// When, in unix milliseconds.
    at: i64,
    /// Whether the sender was credited; else it was dropped.
    is_credited: bool,
    reason: Option<String>,
}

impl Record for Decided {
    const NAME: &'static str = "a decision about a payment";
}

/// A page of the payments that wait, of each partition those that were told first, behind a place; whether there
/// may be more.
///
/// # Errors
/// The store's.
pub async fn list<B: Binding>(
    context: &Context<'_, B>,
    after: Option<&Place>,
    most: usize,
) -> Result<(Vec<Unapplied>, bool), CommitError> {
    let (places, has_more) = listing::list(context, &records::UNAPPLIED.key(), after, most).await?;
    let name = |place: &Place| due::words(&place.name);
    let reads = places.iter().map(|place| (place.partition, pay::reads(&name(place))));
    let answers = context.read_some(reads.collect()).await;
    let mut found = Vec::with_capacity(places.len());
    for (place, answer) in places.into_iter().zip(answers) {
        let name = name(&place);
        let details = match answer.and_then(|answer| details(&name, &answer)) {
            Ok(details) => Some(details),
            Err(error) if error.is_of_records() => None,
            Err(error) => return Err(error),
        };
        found.push(Unapplied { place, name, details });
    }
    Ok((found, has_more))
}

fn details(name: &str, answer: &Answer) -> Result<Details, CommitError> {
    let [Some(order), _, Some(Value::Integer(told)), Some(payment)] = fields(Some(answer))? else {
        return Err(unexpected());
    };
    let (packet, is_too_old) = match Payment::of_record_name(name) {
        Some((_, packet)) => (packet, false),
        None => (name, true),
    };
    Ok(Details {
        packet: packet.to_owned(),
        payment: decode(payment)?,
        order: Order::decode(order)?,
        told: UnixMillis(*told),
        is_too_old,
    })
}

/// Decides what becomes of a payment, once: two round trips. The decision is kept with its reason. Whether it was
/// decided now; otherwise it does not wait, and nothing is changed.
///
/// # Errors
/// `unknown_packet`: no such payment is known; the store's.
pub async fn decide<B: Binding>(
    context: &Context<'_, B>,
    name: &str,
    decision: Decision,
    reason: Option<&str>,
) -> Result<bool, Failure> {
    let record = records::packet(name);
    let home = records::home_of_packet(context.partitions, name);
    let answers = context.read(home, vec![pay::reads(name)]).await?;
    let [Some(order), _, told, _] = fields(answers.first())? else {
        return Err(Refusal::UnknownPacket.into());
    };
    let Some(Value::Integer(told)) = told else { return Ok(false) };
    let order = Order::decode(order)?;
    let mut plan = Plan::new();
    let waits = State::Waiting.value();
    plan.at(context.now).demand((), Guard::FieldEquals(record.clone(), STATE.into(), waits));
    plan.write(records::UNAPPLIED.remove(UnixMillis(*told), name.as_bytes()));
    let (at, is_credited) = (context.now.0, decision == Decision::Credit);
    let decided = Decided { at, is_credited, reason: reason.map(str::to_owned) };
    plan.write(Write::Set(record.clone(), DECIDED.into(), encode(&decided)));
    match decision {
        Decision::Credit => plan.write_all(give_back(name, &order, context.now)),
        Decision::Drop => plan.write(Write::Set(record, STATE.into(), State::Closed.value())),
    };
    Ok(context.commit(home, plan).await?.is_ok())
}
