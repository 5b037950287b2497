//! Payments for which there was no use: they wait, listed, until an operator decides what becomes of the money.

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::due;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, Read, Write};
use serde::{Deserialize, Serialize};
use store::codec::{decode, encode};
use store::listing::{self, Place};
use store::{Plan, Record};

use super::pay::{Late, Payment, Why, give_back};
use super::{DECIDED, LATE, ORDER, Order, PAYMENT, STATE, State};
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
    /// Why there was no use for it.
    pub why: Why,
    /// The payment that the packet has, where it has another one.
    pub instead_of: Option<Payment>,
}

/// What an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// The money goes to the sender's balance.
    Credit,
    /// It was given back elsewhere: nothing moves here.
    Drop,
}

/// A decision, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// When, in unix milliseconds.
    pub at: i64,
    /// What.
    pub decision: Decision,
    /// Why.
    pub reason: Option<String>,
}

impl Record for Decided {
    const NAME: &'static str = "a decision about a payment";
}

/// Why a decision is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDecided {
    /// There is no such payment.
    Unknown,
    /// There was a use for it.
    Applied,
    /// Another decision was made before.
    Otherwise(Decided),
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
    let name = |place: &Place| due::words(&place.member);
    let reads = places.iter().map(|place| {
        let names = [ORDER, PAYMENT, LATE].map(Field::from).to_vec();
        (place.partition, Read::Fields(records::packet(&name(place)), names))
    });
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
    let [Some(order), Some(payment), Some(late)] = fields(Some(answer))? else {
        return Err(unexpected());
    };
    let Late { told, why, instead_of } = decode(late)?;
    let packet = Payment::of_record_name(name).map_or(name, |(_, packet)| packet);
    Ok(Details {
        packet: packet.to_owned(),
        payment: decode(payment)?,
        order: Order::decode(order)?,
        told: UnixMillis(told),
        why,
        instead_of,
    })
}

/// Decides what becomes of a payment, once: two round trips. The decision is kept with its reason. The same decision
/// again is the one that was made.
///
/// # Errors
/// What is known of the payment otherwise, with nothing changed; the store's, also where a record is unreadable that is
/// needed: the order, if the sender is to be credited.
pub async fn decide<B: Binding>(
    context: &Context<'_, B>,
    name: &str,
    decision: Decision,
    reason: Option<&str>,
) -> Result<Result<Decided, NotDecided>, CommitError> {
    let record = records::packet(name);
    let home = records::home_of_packet(context.partitions, name);
    let names = [STATE, ORDER, LATE].map(Field::from).to_vec();
    let answers = context.read(home, vec![Read::Fields(record.clone(), names)]).await?;
    let (order, late) = match fields(answers.first())? {
        [None, ..] => return Ok(Err(NotDecided::Unknown)),
        [Some(_), _, None] => return Ok(Err(NotDecided::Applied)),
        [Some(_), order, Some(late)] => (order, late),
        _ => return Err(unexpected()),
    };
    let Late { told, .. } = decode(late)?;
    let decided = Decided { at: context.now.0, decision, reason: reason.map(str::to_owned) };
    let mut plan = Plan::new();
    let waits = State::Waiting.value();
    plan.at(context.now).demand((), Guard::FieldEquals(record.clone(), STATE.into(), waits));
    plan.write(records::UNAPPLIED.remove(UnixMillis(told), name.as_bytes()));
    plan.write(Write::Set(record.clone(), DECIDED.into(), encode(&decided)));
    plan.read(Read::Fields(record.clone(), vec![DECIDED.into()]));
    match decision {
        Decision::Credit => {
            let order = Order::decode(order.as_ref().ok_or_else(unexpected)?)?;
            plan.write_all(give_back(name, &order, context.now));
        }
        Decision::Drop => {
            plan.write(Write::Set(record, STATE.into(), State::Closed.value()));
        }
    }
    let Err(refused) = context.commit(home, plan).await? else { return Ok(Ok(decided)) };
    let known = fields(refused.reads.first())?.first().and_then(Option::as_ref);
    // A payment that came late, and in time to be credited, was never decided.
    let Some(known) = known else { return Ok(Err(NotDecided::Applied)) };
    let known: Decided = decode(known)?;
    // Whoever lost the answer asks again.
    let is_same = known.decision == decision && known.reason.as_deref() == reason;
    Ok(if is_same { Ok(known) } else { Err(NotDecided::Otherwise(known)) })
}
