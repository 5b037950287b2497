//! Payments that came too late: they wait, listed, until an operator decides what becomes of the money.

use binding::Binding;
use domain::answers::{fields, page};
use domain::due;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Guard, Read, Value, Write};
use store::Plan;

use super::send::give_back;
use super::{Failure, ORDER, Order, Refusal, STATE, State};
use crate::context::Context;
use crate::records;

/// A payment that came too late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The packet.
    pub packet: String,
    /// When it was sent.
    pub sent: UnixMillis,
}

/// What an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The money goes to the sender's balance.
    Credit,
    /// It was given back elsewhere: nothing moves here.
    Drop,
}

/// A page of the payments of a partition that wait, those of the oldest packets first, behind one of them; whether
/// more wait.
///
/// # Errors
/// The store's.
pub async fn list<B: Binding>(
    context: &Context<'_, B>,
    partition: Partition,
    after: Option<&Late>,
    most: u32,
) -> Result<(Vec<Late>, bool), CommitError> {
    let after = after.map(|late| due::member(late.sent, late.packet.as_bytes()));
    let answers = context.read(partition, vec![records::LATE.page_of_all(after, most)]).await?;
    let found = page(answers.first())?;
    let late = found.members.iter().filter_map(|member| {
        // Reconciliation names what is none.
        let entry = due::due(member).ok()?;
        let packet = std::str::from_utf8(entry.what).ok()?.to_owned();
        Some(Late { packet, sent: entry.at })
    });
    let late: Vec<_> = late.collect();
    if late.is_empty() && found.has_more {
        // There is none behind which another page could begin.
        return Err(CommitError::Unreadable("a page of late payments".into()));
    }
    Ok((late, found.has_more))
}

/// Decides what becomes of a payment, once: two round trips. Whether it was decided now; otherwise it did not wait,
/// and nothing is changed.
///
/// # Errors
/// `unknown_packet`; the store's.
pub async fn decide<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    decision: Decision,
) -> Result<bool, Failure> {
    let record = records::packet(packet);
    let home = records::home_of_packet(context.partitions, packet);
    let read = Read::Fields(record.clone(), vec![ORDER.into()]);
    let answers = context.read(home, vec![read]).await?;
    let value: Option<&Value> = fields(answers.first())?.first().and_then(Option::as_ref);
    let order = Order::decode(value.ok_or(Refusal::UnknownPacket)?)?;
    let mut plan = Plan::new();
    let waits = State::TooLate.value();
    plan.at(context.now).demand((), Guard::FieldEquals(record.clone(), STATE.into(), waits));
    plan.write(records::LATE.remove(UnixMillis(order.at), packet.as_bytes()));
    match decision {
        Decision::Credit => plan.write_all(give_back(packet, &order, context.now)),
        Decision::Drop => plan.write(Write::Set(record, STATE.into(), State::Closed.value())),
    };
    Ok(context.commit(home, plan).await?.is_ok())
}
