//! Group packets: money that one user puts into a packet and others take out of it.
//!
//! A packet lives in one partition, the sender and those who open it in others. Where money crosses,
//! the first commit decides and leaves a note of what is owed; the second one, idempotent under a number
//! that follows from the packet, pays; whoever comes next, or settlement, finishes what a crash left
//! between them:
//! - *sending from the balance*: the sender's commit takes the money and notes the packet (`mv`); then the
//!   packet is written down.
//! - *opening*: the packet's commit takes a part for the user and notes that it is owed (`mu`); then the
//!   user gets a token for it.
//! - *expiry*: the packet is closed, and what is left is owed to the sender.
//!
//! Clocks of instances differ, and a request may be older than the one that overtakes it. So that a packet
//! is over for one and not for the next is no answer: `expired` is told from the record only, never from a
//! clock, and the first commit decides:
//!
//! 1. Whoever meets an open packet whose time is over by their clock and in which something is left - to look
//!    at it, to ask whether it may be opened, to open it - commits first that it is *closing*. The guard
//!    demands that it is open.
//! 2. From then on nobody opens it, whatever their clock says, and `expired` is told and holds.
//! 3. The same commit shows what is there now: somebody with an older clock may have taken a part before,
//!    perhaps the last one, perhaps for this very user. Then that is told.
//! 4. Where the store does not answer, nothing is told (503).
//!
//! A packet that is closing is still in the index of its period, so that settlement, whose clock passes the
//! end too, gives back what is left, as after its own first step: whoever closes first, the refund is one. A
//! crash before the commit leaves an open packet, a crash after it one that settlement ends. A commit that
//! arrives late meets the same guard: an opening that is late finds a packet that is not open, and takes
//! nothing; a closing that is late changes an open packet whose time is over, or nothing.
//!
//! # Payments
//!
//! An event tells of a payment, by its number at the payment provider. It is the number of the payment, and not of an
//! attempt to tell of it. A packet is paid for by the first payment of which the store learns; its number is kept with the
//! packet and never changes. Told again it changes nothing. What else is told is money that has no use: it is *unapplied*.
//!
//! An order by payment that nobody pays for is collected after seven days; whoever sends it again has seven days
//! from then on. What the sender asked for stays among what the sender sent (`mo`) until the packet is forgotten, at least
//! 37 days later (`forget.rs`). A payment reads the packet, and then one commit in the packet's partition decides:
//!
//! 1. *The packet is unpaid*: it opens, and has the payment's number. The guard demands that it is unpaid.
//! 2. *It is paid for by this payment*, or no number of this one is known: nothing changes.
//! 3. *It is paid for by another one, or from the balance*: `already_paid`; where no number is known of the payment that it
//!    has, `may_be_the_same`; where that one waits or was dropped, as that one is. A record of the payment's own, named by
//!    payment and packet and in a partition that follows from that name, is written as *waiting*, moves no money, and is
//!    listed ([`unapplied`](mod@unapplied)). The guard demands that there is no such record. What was seen of the packet
//!    cannot become wrong meanwhile: no packet changes the payment that it has, and where one is forgotten that stays true.
//! 4. *It is not there*, by what the sender sent: where nobody sent it (or it is sent from a balance at this moment) the
//!    payment is to be told again: `unknown_packet`. Where it was sent less than seven days ago its writer is still on the
//!    way, or did not come: it is written down as paid, and opens. The writer finds it, and that is as well.
//! 5. *It is gone, up to 30 days* after it was sent: the packet is written down as paid and closing, with the
//!    payment's number and the whole sum in one part, and into the index of periods. Settlement gives it back as it does
//!    with what nobody opened, under the number of the refund: the sender is credited once.
//! 6. *It is gone, later*: the packet is written down as *waiting* with the payment's number, moves no money, and is
//!    listed: `too_old`.
//! 7. *It is forgotten*: nothing says how much it was, or which payment it had, but its number left a mark with the sender. A
//!    record of the payment's own, which names no amount, is written as *waiting*, moves no money, and is listed: `too_old`.
//!    It can only be dropped.
//!
//! The guard of 4 to 6 is that of writing down: there is no order. So of a payment and a sending at once, or of two
//! payments, by whatever clocks, the first decides, and the other one reads again. A crash before the commit leaves
//! nothing, and the payment is told again; after it, everything. What comes late or twice meets a packet that is
//! there, or a record of the payment.
//!
//! An operator decides about what waits: the sender is credited, which is step 5 from there on, under a refund's number
//! that follows from the record's name; or it is dropped, for a reason, where the payment was given back elsewhere. Both
//! demand that it stands in the list, and take it out, so that of two one counts; the other one is told which, and whoever lost the answer is told
//! their own again. Told again, a payment that waits or was dropped is refused as before, and one that was credited is
//! applied. Long after the decision its record is forgotten, too, and leaves a mark: then it is refused as `too_old`.
//!
//! A packet that is unpaid is kept for seven days more whenever it is sent again, before that is told; one that is
//! gone for 30 days, or whose payment did not open it, is refused (`too_old`): it could not be paid.
//!
//! The parts are drawn when the packet is written down, and opening takes any one of them: so opening is
//! decided by one commit that knows no amounts, two who open at once never draw from the same rest, and a
//! refusal writes nothing.
//!
//! - [`send`](mod@send): how packets come
//! - [`display`]: what is shown of them
//! - [`open`](mod@open): what is in them, and how it is taken
//! - [`pay`](mod@pay): payments for them
//! - [`unapplied`](mod@unapplied): payments for which there was no use, for operators
//! - [`settle`](mod@settle): what a crash left half-way, and what has expired
//! - `forget`: what is over, and leaves marks
//!
//! # Opening
//!
//! The parts are drawn when the packet is written down, and opening moves any one of them to the opener
//! ([`Write::Move`](domain::transaction::Write::Move)). One commit that knows no amounts decides, two who open at
//! once never draw from one rest, and a refusal writes nothing. Paying the opener is a second round trip. With one,
//! the view of a user who was answered could be short until settlement came, or refused users would have to leave
//! notes.
//!
//! Events are trusted: that a payment is of the packet's sum, and of no other packet, is the payment provider's
//! word.

use domain::answers::unexpected;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::{CommitError, Value};
use serde::{Deserialize, Serialize};
use store::numbers::{Family, Number};
use store::{Record, codec};

use crate::token::Token;

pub mod display;
pub(crate) mod forget;
mod open;
pub mod pay;
mod send;
mod settle;
pub mod unapplied;

pub use crate::token::PACKET_ACTIVITY as ACTIVITY;
pub use display::Display;
pub use open::{
    Details, Opening, READS, details, look, open, opening_number, pay_opening, reads_of_all,
    refund_number,
};
pub use pay::{Payment, Told, Why, pay};
pub use send::send;
pub use settle::{Settled, settle};

/// The scene of what somebody took out of a packet.
pub const OPENING: &str = "opening";
/// The scene of what came back to the sender.
pub const REFUND: &str = "refund";
/// A packet expires so long after it was sent, or paid.
pub const LIFE_MS: i64 = 24 * 60 * 60 * 1_000;
/// Bytes of a sender's order number, so that the numbers that follow from it, and from a payment's, fit.
pub const NUMBER_BYTES_MAX: usize = 90;

/// An order that nobody pays for is not kept as a packet after that: a payment may take days.
const UNPAID_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// So long after it was sent a payment for a packet that was forgotten still credits the sender.
const CREDITED_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

const ORDER: &str = "d";
const STATE: &str = "s";
const EXPIRES: &str = "x";
const DISPLAY: &str = "y";
/// The number of the payment that it has.
const PAYMENT: &str = "p";
/// Of a payment that did not open it: when that was told, why, and which payment it had.
const UNUSED: &str = "l";
/// What an operator decided about it, and why.
const DECIDED: &str = "w";
/// When it was closed: what is closed changes no more.
const CLOSED_AT: &str = "c";

/// Whose money a packet is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Funding {
    /// The sender's balance.
    Balance,
    /// A payment, which an event tells of.
    Payment,
}

/// How a packet is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// By the splitting algorithm.
    Random,
    /// Into parts that differ by a cent at most.
    Equal,
}

/// What a sender asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Who sends.
    pub sender: u64,
    /// Cents.
    pub total: i64,
    /// Parts.
    pub count: u32,
    /// How it is divided.
    pub kind: Kind,
    /// Whose money it is.
    pub funding: Funding,
    /// When it was sent, in unix milliseconds.
    pub at: i64,
    /// When the caller said that it was ordered, in unix milliseconds. It is part of what was asked.
    pub ordered_at: Option<i64>,
}

impl Record for Order {
    const NAME: &'static str = "a packet";
}

impl Order {
    fn encode(&self) -> Value {
        codec::encode(self)
    }

    /// Reads it again.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(value: &Value) -> Result<Self, CommitError> {
        codec::decode(value)
    }

    /// Whether the packet, where it was forgotten, cannot be paid for any more.
    fn is_too_old(&self, now: UnixMillis) -> bool {
        now.0 >= self.at + CREDITED_MS
    }

    /// Whether the same was asked for; when does not matter.
    fn is_same(&self, other: &Self) -> bool {
        Self { at: other.at, ..self.clone() } == *other
    }
}

/// In what state a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has paid for it.
    Unpaid,
    /// It can be opened, unless it has expired.
    Open,
    /// It has expired, and what is left is on its way back.
    Closing,
    /// Nothing is in it any more.
    Closed,
    /// Its payment has no use: an operator decides what becomes of the money.
    Waiting,
}

impl State {
    const ALL: [Self; 5] = [Self::Unpaid, Self::Open, Self::Closing, Self::Closed, Self::Waiting];

    fn value(self) -> Value {
        Value::Integer(self as i64)
    }

    fn of(value: Option<&Value>) -> Result<Self, CommitError> {
        let Some(Value::Integer(index)) = value else { return Err(unexpected()) };
        let index = usize::try_from(*index).map_err(|_| unexpected())?;
        Self::ALL.get(index).copied().ok_or_else(unexpected)
    }
}

/// Why a packet gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such packet.
    UnknownPacket,
    /// Nobody has paid for it.
    Unpaid,
    /// Nothing is left in it.
    Finished,
    /// The user has a part of it.
    AlreadyOpened,
    /// Its time is over.
    Expired,
    /// The sender has less than that.
    ExceedsBalance,
    /// The number was used for another packet.
    OrderNumberReused,
    /// It was sent so long ago that it cannot be paid for any more.
    TooOld,
    /// It was sent so long ago that what became of it is not kept.
    Forgotten,
}

/// Why a call gave nothing.
#[derive(Debug)]
pub enum Failure {
    /// A normal answer.
    Refused(Refusal),
    /// The store's.
    Store(CommitError),
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The name of a packet: it follows from who sends it, under which number.
pub fn name(sender: UserId, number: &OrderNumber) -> String {
    format!("{sender}.{number}")
}

/// The number of a packet, as marks know it.
///
/// A packet is named by its sender and its number alone, so that what is forgotten of it is that pair: whatever time
/// comes with the number later.
pub(crate) fn number_of<'a>(
    sender: UserId,
    number: &'a OrderNumber,
    ordered_at: Option<UnixMillis>,
) -> Number<'a> {
    Number { family: Family::Packets, user: sender, number: number.as_str(), ordered_at }
}

/// The number of a payment for which there was no use, as marks know it in the partition of its record. No order number
/// has a space.
pub(crate) fn with_number_of_payment<T>(record: &str, act: impl FnOnce(Number<'_>) -> T) -> T {
    let number = format!("payment {record}");
    let family = Family::Packets;
    act(Number { family, user: UserId(0), number: &number, ordered_at: None })
}

/// The sender and the number of a packet's name.
pub fn sender_of(packet: &str) -> Option<(UserId, OrderNumber)> {
    let (sender, number) = packet.split_once('.')?;
    let number = OrderNumber::parse(number, "packet").ok()?;
    (number.as_str().len() <= NUMBER_BYTES_MAX).then_some(())?;
    Some((sender.parse().ok()?, number))
}

/// Whether a token gives back what was the user's own.
pub fn is_refund(token: &Token) -> bool {
    token.activity == ACTIVITY && token.scene == REFUND
}
