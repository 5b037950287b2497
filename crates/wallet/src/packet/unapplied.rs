//! Payments for which there was no use: they wait, listed, until an operator decides what becomes of the money.

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::money::Amount;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, Read, Write};
use serde::{Deserialize, Serialize};
use store::codec::{decode, encode};
use store::listing::{self, Place};
use store::{Plan, Record};

use super::pay::{Payment, Unused, Why, give_back};
use super::settle::closed_at;
use super::{DECIDED, ORDER, Order, PAYMENT, STATE, State, UNUSED};
use crate::context::Context;
use crate::records;

/// A payment that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unapplied {
    /// Where it stands: by that it is decided.
    pub place: Place,
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
    /// What the packet's sender asked for: the payment is its whole sum. Nothing where nothing is kept of the packet.
    pub order: Option<Order>,
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
    /// No such payment waits, or waited.
    Unknown,
    /// Another decision was made before.
    Otherwise(Decided),
    /// Nothing is kept of its packet, so that it is not known how much to credit.
    NoAmount,
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
    let read = |place: &Place| {
        let names = [ORDER, PAYMENT, UNUSED].map(Field::from).to_vec();
        // What is no name has no record.
        let record = records::packet(name_of(place).unwrap_or_default());
        (place.partition, Read::Fields(record, names))
    };
    let answers = context.read_some(places.iter().map(read).collect()).await;
    let mut found = Vec::with_capacity(places.len());
    for (place, answer) in places.into_iter().zip(answers) {
        let details =
            name_of(&place).and_then(|name| answer.and_then(|answer| details(name, &answer)));
        let details = match details {
            Ok(details) => Some(details),
            Err(error) if error.is_of_records() => None,
            Err(error) => return Err(error),
        };
        found.push(Unapplied { place, details });
    }
    Ok((found, has_more))
}

/// The name of the record of a payment that waits somewhere.
fn name_of(place: &Place) -> Result<&str, CommitError> {
    std::str::from_utf8(place.due()?.what).map_err(|_| unexpected())
}

fn details(name: &str, answer: &Answer) -> Result<Details, CommitError> {
    let [order, Some(payment), Some(unused)] = fields(Some(answer))? else {
        return Err(unexpected());
    };
    let Unused { told, why, instead_of } = decode(unused)?;
    let packet = Payment::of_record_name(name).map_or(name, |(_, packet)| packet);
    let order = order.as_ref().map(Order::decode).transpose()?;
    match &order {
        Some(order) => drop(Amount::new(order.total).map_err(|_| unexpected())?),
        None if why == Why::Forgotten => {}
        None => return Err(unexpected()),
    }
    Ok(Details {
        packet: packet.to_owned(),
        payment: decode(payment)?,
        order,
        told: UnixMillis(told),
        why,
        instead_of,
    })
}

/// Decides what becomes of a payment, once: at most two round trips. The decision is kept with its reason. The same
/// decision again is the one that was made.
///
/// It waits as long as it stands in the index: that is what both decisions demand, and what both take away. So one whose
/// record is damaged can be dropped.
///
/// # Errors
/// What is known of the payment otherwise, with nothing changed; the store's, also where the order cannot be read and the
/// sender is to be credited.
pub async fn decide<B: Binding>(
    context: &Context<'_, B>,
    place: &Place,
    decision: Decision,
    reason: Option<&str>,
) -> Result<Result<Decided, NotDecided>, CommitError> {
    let Place { member, partition } = place;
    // What is no name has no record.
    let name = name_of(place).ok();
    let record = records::packet(name.unwrap_or_default());
    let decided = Decided { at: context.now.0, decision, reason: reason.map(str::to_owned) };
    let mut plan = Plan::new();
    plan.at(context.now);
    plan.demand((), Guard::MemberPresent(records::UNAPPLIED.key(), member.clone()));
    plan.write(Write::RemoveMember(records::UNAPPLIED.key(), member.clone()));
    match (decision, name) {
        (Decision::Credit, _) => {
            let waits = Read::HasMember(records::UNAPPLIED.key(), member.clone());
            let names = [ORDER, UNUSED].map(Field::from).to_vec();
            let answers =
                context.read(*partition, vec![Read::Fields(record.clone(), names), waits]).await?;
            let (order, unused) = match fields(answers.first())? {
                [order, unused] => (order.as_ref(), unused.as_ref()),
                _ => return Err(unexpected()),
            };
            match (name, order) {
                (Some(name), Some(order)) => {
                    plan.write_all(give_back(name, &Order::decode(order)?, context.now));
                }
                // It does not wait: the guard finds that, too.
                _ if answers.get(1) == Some(&Answer::Contains(false)) => {}
                (Some(_), None) => {
                    let Unused { why, .. } = decode(unused.ok_or_else(unexpected)?)?;
                    let is_forgotten = why == Why::Forgotten;
                    return if is_forgotten {
                        Ok(Err(NotDecided::NoAmount))
                    } else {
                        Err(unexpected())
                    };
                }
                _ => return Err(unexpected()),
            }
        }
        (Decision::Drop, Some(_)) => {
            plan.write(Write::Set(record.clone(), STATE.into(), State::Closed.value()));
            plan.write_all(name.map(|name| closed_at(name, context.now)));
        }
        (Decision::Drop, None) => {}
    }
    if let Some(name) = name {
        plan.write(records::DECIDED.add(context.now, name.as_bytes()));
        plan.write(Write::Set(record.clone(), DECIDED.into(), encode(&decided)));
        plan.read(Read::Fields(record, vec![DECIDED.into()]));
    }
    let Err(refused) = context.commit(*partition, plan).await? else { return Ok(Ok(decided)) };
    let known = match refused.reads.first() {
        None => None,
        answer => fields(answer)?.first().and_then(Option::as_ref),
    };
    let Some(known) = known else { return Ok(Err(NotDecided::Unknown)) };
    let known: Decided = decode(known)?;
    // Whoever lost the answer asks again.
    let is_same = known.decision == decision && known.reason.as_deref() == reason;
    Ok(if is_same { Ok(known) } else { Err(NotDecided::Otherwise(known)) })
}
