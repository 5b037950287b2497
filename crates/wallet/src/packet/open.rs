//! What is in a packet, and how it is taken.

use binding::Binding;
use domain::answers::{fields, integer, unexpected};
use domain::due;
use domain::ids::UserId;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, MapKey, Read, Value, Write};
use store::numbers::{Family, Number};
use store::{Plan, attempts};

use super::{
    ACTIVITY, DISPLAY, Display, EXPIRES, Failure, OPENING, ORDER, Order, Payment, REFUND, Refusal,
    STATE, State,
};
use crate::context::Context;
use crate::keys::SigningKeys;
use crate::pending;
use crate::posting;
use crate::records;
use crate::split;
use crate::token::Payload;

/// What somebody took out of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Who.
    pub user: UserId,
    /// Cents.
    pub amount: i64,
    /// When, in unix milliseconds.
    pub at: i64,
}

/// A packet as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// What was asked for.
    pub order: Order,
    /// In what state it is.
    pub state: State,
    /// Until when it can be opened, where it can.
    pub expires: Option<i64>,
    /// What is shown of it.
    pub display: Display,
    /// What was taken out of it, in the order of time.
    pub openings: Vec<Opening>,
}

impl Details {
    /// Cents that were taken.
    pub fn taken(&self) -> i64 {
        self.openings.iter().map(|opening| opening.amount).sum()
    }

    /// Whether nothing is left to take.
    pub fn is_finished(&self) -> bool {
        self.openings.len() == self.order.count as usize
    }

    /// Whether its time is over, for everybody and for good.
    pub fn is_expired(&self) -> bool {
        matches!(self.state, State::Closing | State::Closed | State::Waiting)
    }

    /// Whether it is to be closed before anything is told of it: its time is over by this clock, and
    /// something is left in it.
    fn is_over(&self, now_ms: i64) -> bool {
        let is_over = self.expires.is_some_and(|until| now_ms >= until);
        is_over && self.state == State::Open && !self.is_finished()
    }

    /// The largest part, once all are taken; of equal ones the first.
    pub fn best_luck(&self) -> Option<Opening> {
        let most = self.openings.iter().map(|opening| opening.amount).max()?;
        let first = self.openings.iter().find(|opening| opening.amount == most).copied();
        first.filter(|_| self.is_finished())
    }

    /// Why a user cannot open it, if so.
    pub fn refuses(&self, user: UserId) -> Option<Refusal> {
        if self.openings.iter().any(|opening| opening.user == user) {
            Some(Refusal::AlreadyOpened)
        } else if self.state == State::Unpaid {
            Some(Refusal::Unpaid)
        } else if self.is_finished() {
            Some(Refusal::Finished)
        } else if self.is_expired() {
            Some(Refusal::Expired)
        } else {
            None
        }
    }
}

/// Reads of [`details`].
pub const READS: usize = 3;

/// What [`details`] reads, and the parts that nobody has.
pub fn reads_of_all(packet: &str) -> Vec<Read> {
    let mut reads = reads(packet);
    reads.push(Read::All(records::parts(packet), split::COUNT_MAX));
    reads
}

fn reads(packet: &str) -> Vec<Read> {
    let count = split::COUNT_MAX;
    vec![
        Read::Fields(
            records::packet(packet),
            [ORDER, STATE, EXPIRES, DISPLAY].map(Field::from).to_vec(),
        ),
        Read::All(records::openings(packet), count),
        Read::All(records::opened_at(packet), count),
    ]
}

/// A packet as it is now: one round trip, and one more for the first who meets it after its time.
///
/// # Errors
/// `unknown_packet`; the store's.
pub async fn look<B: Binding>(context: &Context<'_, B>, packet: &str) -> Result<Details, Failure> {
    let home = records::home_of_packet(context.partitions, packet);
    let details = details(&context.read(home, reads(packet)).await?)?;
    if !details.is_over(context.now.0) {
        return Ok(details);
    }
    self::details(&close(context, packet, reads(packet)).await?)
}

/// Closes a packet whose time is over, if it is still open, and reads what is there then. What is left of
/// it is on its way back.
async fn close<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    reads: Vec<Read>,
) -> Result<Vec<Answer>, CommitError> {
    let home = records::home_of_packet(context.partitions, packet);
    let step = step(packet, State::Open, State::Closing, reads);
    Ok(context.commit(home, step).await?.unwrap_or_else(|refused| refused.reads))
}

/// A step of a packet to its end, and what is there then.
pub(super) fn step(packet: &str, from: State, to: State, reads: Vec<Read>) -> Plan<()> {
    let record = records::packet(packet);
    let mut plan = Plan::new();
    plan.demand((), Guard::FieldEquals(record.clone(), STATE.into(), from.value()));
    plan.write(Write::Set(record, STATE.into(), to.value())).read_all(reads);
    plan
}

/// A packet out of its records.
///
/// # Errors
/// `unknown_packet`; they hold something else.
pub fn details(answers: &[Answer]) -> Result<Details, Failure> {
    let [Some(order), state, expires, display] = fields(answers.first())? else {
        return Err(Refusal::UnknownPacket.into());
    };
    let expires = expires.as_ref().map(|value| integer(Some(value))).transpose()?;
    let (Some(Answer::Map(amounts)), Some(Answer::Map(times))) = (answers.get(1), answers.get(2))
    else {
        return Err(unexpected().into());
    };
    let mut openings = Vec::with_capacity(amounts.len());
    for ((field, amount), (of, at)) in amounts.iter().zip(times) {
        if field != of {
            return Err(unexpected().into());
        }
        let user = records::user_of(field).ok_or_else(unexpected)?;
        openings.push(Opening { user, amount: integer(Some(amount))?, at: integer(Some(at))? });
    }
    openings.sort_by_key(|opening| (opening.at, opening.user));
    Ok(Details {
        order: Order::decode(order)?,
        state: State::of(state.as_ref())?,
        expires,
        display: Display::decode(display.as_ref()),
        openings,
    })
}

/// Takes a part of a packet for a user: decided in one round trip, which writes nothing where it is
/// refused; one more for the first who comes after its time. [`pay_opening`] then pays it.
///
/// # Errors
/// `unknown_packet`, `unpaid`, `finished`, `expired`; the store's.
pub async fn open<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    user: UserId,
) -> Result<(Opening, bool), Failure> {
    let (record, field) = (records::packet(packet), records::user_field(user));
    let read = |map: MapKey| Read::Fields(map, vec![field.clone()]);
    let reads = || {
        vec![
            read(records::openings(packet)),
            read(records::opened_at(packet)),
            Read::Size(records::parts(packet)),
        ]
    };
    let home = records::home_of_packet(context.partitions, packet);
    let (parts, openings) = (records::parts(packet), records::openings(packet));
    let mut plan = Plan::new();
    plan.demand(Why::Opened, Guard::FieldAbsent(openings.clone(), field.clone()));
    let open = State::Open.value();
    plan.demand(Why::State, Guard::FieldEquals(record.clone(), STATE.into(), open));
    plan.demand(Why::Over, Guard::IntegerAtLeast(record, EXPIRES.into(), context.now.0 + 1));
    plan.take_any(Why::Finished, parts, openings, field.clone());
    let at = Value::Integer(context.now.0);
    plan.write(Write::Set(records::opened_at(packet), field.clone(), at));
    plan.write(records::OWED.add(context.now, &due::of_user(user, packet)));
    plan.read_all(reads());
    let opening = |answers: &[Answer]| -> Result<Opening, CommitError> {
        let one = |index: usize| match fields(answers.get(index))? {
            [Some(Value::Integer(integer))] => Ok(*integer),
            _ => Err(unexpected()),
        };
        Ok(Opening { user, amount: one(0)?, at: one(1)? })
    };
    // What is closed stays as it is: where nothing is left in it, that is told as it was before.
    let over = |answers: &[Answer]| match answers.get(2) {
        Some(Answer::Size(0)) => Refusal::Finished,
        _ => Refusal::Expired,
    };
    let refused = match context.commit(home, plan).await? {
        Ok(answers) => return Ok((opening(&answers)?, false)),
        Err(refused) => refused,
    };
    Err(match refused.why {
        Why::Opened => return Ok((opening(&refused.reads)?, true)),
        Why::State => match refused.field()? {
            None => Refusal::UnknownPacket,
            state => match State::of(state)? {
                State::Unpaid => Refusal::Unpaid,
                State::Open | State::Closing | State::Closed | State::Waiting => {
                    over(&refused.reads)
                }
            },
        },
        Why::Over if matches!(refused.reads.get(2), Some(Answer::Size(0))) => Refusal::Finished,
        Why::Over => {
            let answers = close(context, packet, reads()).await?;
            // The user may have opened it meanwhile, by another clock.
            match fields(answers.first())? {
                [Some(_)] => return Ok((opening(&answers)?, true)),
                _ => over(&answers),
            }
        }
        Why::Finished => Refusal::Finished,
    }
    .into())
}

/// Why a packet is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The user opened it already.
    Opened,
    /// It is not there, or not open.
    State,
    /// Its time is over.
    Over,
    /// Nothing is left in it.
    Finished,
}

/// The number under which a user is paid for an opening.
pub fn opening_number(packet: &str) -> String {
    format!("packet:{packet}")
}

/// The number under which a sender gets back what nobody took, or a payment for which there was no use.
pub fn refund_number(name: &str) -> String {
    match Payment::of_record_name(name) {
        Some(_) => name.to_owned(),
        None => format!("refund:{name}"),
    }
}

/// The token for an opening, or for a refund: it follows from the packet, so that it is always the same.
fn token(user: UserId, number: String, scene: &str, amount: i64, at: i64) -> Payload {
    Payload {
        app_id: 0,
        act_id: user.0,
        activity_id: ACTIVITY.to_owned(),
        scene_id: scene.to_owned(),
        amount,
        out_trade_no: number,
        open_time: at,
        rain_id: 0,
        status: 0,
    }
}

/// Pays an opening: the user has a token afterwards, and the number was never paid twice. The token as
/// the client gets it.
///
/// # Errors
/// The store's.
pub async fn pay_opening<B: Binding>(
    context: &Context<'_, B>,
    keys: &SigningKeys,
    stage: &str,
    packet: &str,
    opening: &Opening,
) -> Result<String, CommitError> {
    let Opening { user, amount, at } = *opening;
    let token = token(user, opening_number(packet), OPENING, amount, at);
    pay_token(context, keys, stage, user, &token).await
}

/// Gives back what nobody took, under a number of its own.
///
/// # Errors
/// The store's.
pub(super) async fn pay_refund<B: Binding>(
    context: &Context<'_, B>,
    keys: &SigningKeys,
    stage: &str,
    packet: &str,
    refund: &Opening,
) -> Result<(), CommitError> {
    let Opening { user, amount, at } = *refund;
    let token = token(user, refund_number(packet), REFUND, amount, at);
    pay_token(context, keys, stage, user, &token).await?;
    Ok(())
}

async fn pay_token<B: Binding>(
    context: &Context<'_, B>,
    keys: &SigningKeys,
    stage: &str,
    user: UserId,
    token: &Payload,
) -> Result<String, CommitError> {
    let signed = keys.sign(token, stage).map_err(|_| unexpected())?;
    let (number, drawn) = (&token.out_trade_no, UnixMillis(token.open_time));
    let mark = Number { family: Family::Openings, user, number, ordered_at: None };
    attempts("pay a token", async || {
        let mut plan = Plan::new();
        let [is_new, is_unposted, has_room] = pending::demands(user, number);
        for (why, guard) in [is_new, is_unposted] {
            plan.demand(why, guard);
        }
        // Where its entry was carried it left a mark: it was paid, too.
        plan.demand_all(pending::Why::Known, mark.demands(context.partitions));
        plan.demand(has_room.0, has_room.1);
        let stored = signed.to_stored();
        plan.write_all(pending::writes(user, number, stored, drawn, context.now));
        match context.commit(context.home(user), plan).await? {
            Err(refused) if refused.why == pending::Why::Full => {
                posting::post(context, user).await?;
                Ok(None)
            }
            // It is paid, now or earlier.
            Ok(_) | Err(_) => Ok(Some(signed.to_text())),
        }
    })
    .await
}
