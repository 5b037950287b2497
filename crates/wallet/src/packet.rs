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
//! The parts are drawn when the packet is written down, and opening takes any one of them: so opening is
//! decided by one commit that knows no amounts, two who open at once never draw from the same rest, and a
//! refusal writes nothing.

use binding::Binding;
use domain::answers::{fields, integer, unexpected};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::transaction::{
    Answer, CommitError, Failed, Field, Guard, MapKey, Outcome, Read, Seen, Transaction, Value,
    Write,
};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Movement};
use crate::context::Context;
use crate::entry::{Entry, What, decoded};
use crate::keys::SigningKeys;
use crate::pending;
use crate::posting;
use crate::records;
use crate::split;
use crate::token::{Payload, Token};

/// The activity that tokens of packets name. No rain can have it.
pub const ACTIVITY: &str = "red-packet";
/// The scene of what somebody took out of a packet.
pub const OPENING: &str = "opening";
/// The scene of what came back to the sender.
pub const REFUND: &str = "refund";
/// A packet expires so long after it was sent, or paid.
pub const LIFE_MS: i64 = 24 * 60 * 60 * 1_000;
/// An order that nobody pays for is forgotten after that: a payment may take days.
const UNPAID_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// When the store may forget a packet that was paid: never.
const NEVER_MS: i64 = 253_402_300_799_999;
/// The first byte of what is encoded here. Another one means another encoding.
const ENCODING: u8 = 1;
/// Attempts: each lost one saw something change.
const ATTEMPTS_MAX: u32 = 16;
/// Bytes of a sender's order number, so that the numbers that follow from it fit.
pub const NUMBER_BYTES_MAX: usize = 128;

const ORDER: &str = "d";
const STATE: &str = "s";
const EXPIRES: &str = "x";

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
}

impl Order {
    fn encode(&self) -> Value {
        // These types have nothing that postcard could refuse.
        Value::Bytes(postcard::to_extend(self, vec![ENCODING]).unwrap_or_default())
    }

    /// Reads it again.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(value: &Value) -> Result<Self, CommitError> {
        decoded(value, ENCODING, "a packet")
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
}

impl State {
    const ALL: [Self; 4] = [Self::Unpaid, Self::Open, Self::Closing, Self::Closed];

    fn value(self) -> Value {
        Value::Integer(self as i64)
    }

    fn of(value: Option<&Value>) -> Result<Self, CommitError> {
        let index = usize::try_from(integer(value)?).map_err(|_| unexpected())?;
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

/// The sender and the number of a packet's name.
pub fn sender_of(packet: &str) -> Option<(UserId, OrderNumber)> {
    let (sender, number) = packet.split_once('.')?;
    let number = OrderNumber::parse(number, "packet").ok()?;
    (number.as_str().len() <= NUMBER_BYTES_MAX).then_some(())?;
    Some((sender.parse().ok()?, number))
}

/// Writes a packet down, if it is not there: its parts are drawn here. Idempotent.
async fn write_down<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    order: &Order,
    random: &mut dyn FnMut() -> u64,
) -> Result<Order, Failure> {
    let record = records::packet(packet);
    let parts = match order.kind {
        Kind::Random => split::split_random(order.total, order.count, random),
        Kind::Equal => split::split_equal(order.total, order.count),
    };
    let of = records::parts(packet);
    let mut writes: Vec<_> = (0_u32..)
        .zip(parts)
        .map(|(index, cents)| {
            let field = Field(index.to_string().into_bytes());
            Write::Set(of.clone(), field, Value::Integer(cents))
        })
        .collect();
    writes.push(Write::Set(record.clone(), ORDER.into(), order.encode()));
    match order.funding {
        Funding::Balance => writes.extend(open_until(packet, order.at + LIFE_MS)),
        Funding::Payment => {
            writes.push(Write::Set(record.clone(), STATE.into(), State::Unpaid.value()));
            for map in [record.clone(), of] {
                writes.push(Write::CollectAfter(map, order.at + UNPAID_MS));
            }
        }
    }
    let guards = vec![Guard::FieldAbsent(record.clone(), ORDER.into())];
    let transaction = Transaction { now_ms: context.now.0, guards, writes, reads: vec![] };
    let home = records::home_of_packet(context.partitions, packet);
    match context.commit(home, transaction).await? {
        Outcome::Committed(_) => Ok(order.clone()),
        Outcome::Refused(refused) => match refused.seen {
            Seen::Field(Some(value)) => {
                let earlier = Order::decode(&value)?;
                let same = earlier.is_same(order);
                if same { Ok(earlier) } else { Err(Refusal::OrderNumberReused.into()) }
            }
            _ => Err(unexpected().into()),
        },
    }
}

/// From now on a packet can be opened, until a moment.
fn open_until(packet: &str, until: i64) -> [Write; 4] {
    let record = records::packet(packet);
    let period = records::period(domain::time::UnixMillis(until));
    let name = period.to_string();
    [
        Write::Set(record.clone(), STATE.into(), State::Open.value()),
        Write::Set(record, EXPIRES.into(), Value::Integer(until)),
        Write::Set(records::ends(), name.as_str().into(), Value::Integer(1)),
        Write::Set(records::ends_in(period), packet.into(), Value::Integer(until)),
    ]
}

/// Sends a packet: two round trips. The order, and whether an earlier call sent it.
///
/// # Errors
/// `exceeds_balance`, `order_number_reused`; the store's.
pub async fn send<B: Binding>(
    context: &Context<'_, B>,
    number: &OrderNumber,
    order: &Order,
    random: &mut dyn FnMut() -> u64,
) -> Result<(Order, bool), Failure> {
    let sender = UserId(order.sender);
    let packet = name(sender, number);
    let (order, replayed) = match order.funding {
        Funding::Payment => (order.clone(), claim(context, number, order).await?),
        Funding::Balance => take_from_sender(context, number, order).await?,
    };
    let written = write_down(context, &packet, &order, random).await?;
    Ok((written.clone(), replayed || written.at != order.at))
}

/// A number of a sender is one packet, whoever pays for it: otherwise the money of one that is sent from the
/// balance could be taken, and its name be another one's. Whether an earlier call claimed it.
async fn claim<B: Binding>(
    context: &Context<'_, B>,
    number: &OrderNumber,
    order: &Order,
) -> Result<bool, Failure> {
    let sender = UserId(order.sender);
    let (record, field) = (records::sent(sender), Field::from(number.as_str()));
    let transaction = Transaction {
        guards: vec![Guard::FieldAbsent(record.clone(), field.clone())],
        writes: vec![Write::Set(record, field, order.encode())],
        ..Transaction::default()
    };
    match context.commit(context.home(sender), transaction).await? {
        Outcome::Committed(_) => Ok(false),
        Outcome::Refused(refused) => match refused.seen {
            Seen::Field(Some(value)) if Order::decode(&value)?.is_same(order) => Ok(true),
            _ => Err(Refusal::OrderNumberReused.into()),
        },
    }
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
    let reads = || vec![Account::read(sender), pending::read(sender)];
    let mut account = posting::post(context, sender).await?.account;
    for _ in 0..ATTEMPTS_MAX {
        let mut movement = Movement::new(sender, &account, context.now);
        movement.demand(Account::demand_balance(sender, order.total));
        movement.credit(records::PACKETS, -order.total);
        let what = What::Sent(number.as_str().to_owned());
        movement.entry(&Entry { amount: -order.total, at: order.at, what });
        movement.write(Write::Set(record.clone(), field.clone(), order.encode()));
        let since = Value::Integer(order.at);
        let mark = records::pair(sender, number.as_str());
        movement.write(Write::Set(records::unsent(), mark, since));
        let mut transaction = movement.transaction(reads());
        transaction.guards.insert(0, Guard::FieldAbsent(record.clone(), field.clone()));
        let refused = match context.commit(home, transaction).await? {
            Outcome::Committed(_) => return Ok((order.clone(), false)),
            Outcome::Refused(refused) => refused,
        };
        if let (Failed::Guard(0), Seen::Field(Some(value))) = (refused.failed, &refused.seen) {
            let earlier = Order::decode(value)?;
            let same = earlier.is_same(order);
            return if same { Ok((earlier, true)) } else { Err(Refusal::OrderNumberReused.into()) };
        }
        account = Account::answered(refused.reads.first())?;
        let pending = pending::answered(refused.reads.get(1))?;
        if account.balance < order.total && pending.is_empty() {
            return Err(Refusal::ExceedsBalance.into());
        }
        if !pending.is_empty() {
            account = posting::post(context, sender).await?.account;
        }
    }
    Err(busy().into())
}

/// A packet that an event says was paid. Idempotent; a payment that comes late counts, and what nobody
/// opens then goes to the sender's balance.
///
/// # Errors
/// `unknown_packet`; the store's.
pub async fn pay<B: Binding>(context: &Context<'_, B>, packet: &str) -> Result<(), Failure> {
    let record = records::packet(packet);
    let home = records::home_of_packet(context.partitions, packet);
    let read = Read::Fields(record.clone(), vec![ORDER.into()]);
    let answers = context.read(home, vec![read]).await?;
    let value = fields(answers.first())?.first().and_then(Option::as_ref);
    let order = Order::decode(value.ok_or(Refusal::UnknownPacket)?)?;
    let mut writes = open_until(packet, context.now.0 + LIFE_MS).to_vec();
    for (account, cents) in [(records::PAID_IN, -order.total), (records::PACKETS, order.total)] {
        writes.push(Write::Add(records::accounts(), account.into(), cents));
    }
    for map in [record.clone(), records::parts(packet)] {
        writes.push(Write::CollectAfter(map, NEVER_MS));
    }
    let guards = vec![
        Guard::FieldPresent(record.clone(), ORDER.into()),
        Guard::FieldEquals(record, STATE.into(), State::Unpaid.value()),
    ];
    let transaction = Transaction { now_ms: context.now.0, guards, writes, reads: vec![] };
    match context.commit(home, transaction).await? {
        Outcome::Refused(refused) if refused.failed == Failed::Guard(0) => {
            Err(Refusal::UnknownPacket.into())
        }
        Outcome::Committed(_) | Outcome::Refused(_) => Ok(()),
    }
}

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

    /// Whether its time is over.
    pub fn is_expired(&self, now_ms: i64) -> bool {
        let over = self.expires.is_some_and(|until| now_ms >= until);
        over || matches!(self.state, State::Closing | State::Closed)
    }

    /// The largest part, once all are taken; of equal ones the first.
    pub fn best_luck(&self) -> Option<Opening> {
        let most = self.openings.iter().map(|opening| opening.amount).max()?;
        let first = self.openings.iter().find(|opening| opening.amount == most).copied();
        first.filter(|_| self.is_finished())
    }

    /// Why a user cannot open it, if so.
    pub fn refuses(&self, user: UserId, now_ms: i64) -> Option<Refusal> {
        if self.openings.iter().any(|opening| opening.user == user) {
            Some(Refusal::AlreadyOpened)
        } else if self.state == State::Unpaid {
            Some(Refusal::Unpaid)
        } else if self.is_finished() {
            Some(Refusal::Finished)
        } else if self.is_expired(now_ms) {
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
        Read::Fields(records::packet(packet), [ORDER, STATE, EXPIRES].map(Field::from).to_vec()),
        Read::All(records::openings(packet), count),
        Read::All(records::opened_at(packet), count),
    ]
}

/// A packet as it is now: one round trip.
///
/// # Errors
/// `unknown_packet`; the store's.
pub async fn look<B: Binding>(context: &Context<'_, B>, packet: &str) -> Result<Details, Failure> {
    let home = records::home_of_packet(context.partitions, packet);
    details(&context.read(home, reads(packet)).await?)
}

/// A packet out of its records.
///
/// # Errors
/// `unknown_packet`; they hold something else.
pub fn details(answers: &[Answer]) -> Result<Details, Failure> {
    let [Some(order), state, expires] = fields(answers.first())? else {
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
        openings,
    })
}

/// Takes a part of a packet for a user: decided in one round trip, which writes nothing where it is
/// refused. [`pay_opening`] then pays it.
///
/// # Errors
/// `unknown_packet`, `unpaid`, `finished`, `expired`; the store's.
pub async fn open<B: Binding>(
    context: &Context<'_, B>,
    packet: &str,
    user: UserId,
) -> Result<(Opening, bool), Failure> {
    let (record, field) = (records::packet(packet), records::user_field(user));
    let now = Value::Integer(context.now.0);
    let guards = vec![
        Guard::FieldAbsent(records::openings(packet), field.clone()),
        Guard::FieldEquals(record.clone(), STATE.into(), State::Open.value()),
        Guard::IntegerAtLeast(record, EXPIRES.into(), context.now.0 + 1),
    ];
    let writes = vec![
        Write::Move(records::parts(packet), records::openings(packet), field.clone()),
        Write::Set(records::opened_at(packet), field.clone(), now.clone()),
        Write::Set(records::owed(), records::pair(user, packet), now),
    ];
    let read = |map: MapKey| Read::Fields(map, vec![field.clone()]);
    let reads = vec![read(records::openings(packet)), read(records::opened_at(packet))];
    let home = records::home_of_packet(context.partitions, packet);
    let transaction = Transaction { guards, writes, reads, ..Transaction::default() };
    let opening = |answers: &[Answer]| -> Result<Opening, CommitError> {
        let one = |index: usize| match fields(answers.get(index))? {
            [Some(Value::Integer(integer))] => Ok(*integer),
            _ => Err(unexpected()),
        };
        Ok(Opening { user, amount: one(0)?, at: one(1)? })
    };
    match context.commit(home, transaction).await? {
        Outcome::Committed(answers) => Ok((opening(&answers)?, false)),
        Outcome::Refused(refused) => Err(match (refused.failed, refused.seen) {
            (Failed::Guard(0), _) => return Ok((opening(&refused.reads)?, true)),
            (Failed::Guard(1), Seen::Field(None)) => Refusal::UnknownPacket,
            (Failed::Guard(1), Seen::Field(state)) => match State::of(state.as_ref())? {
                State::Unpaid => Refusal::Unpaid,
                State::Open | State::Closing | State::Closed => Refusal::Expired,
            },
            (Failed::Guard(_), _) => Refusal::Expired,
            (Failed::Write(_), _) => Refusal::Finished,
        }
        .into()),
    }
}

/// Whether a token gives back what was the user's own.
pub fn is_refund(token: &Token) -> bool {
    token.activity == ACTIVITY && token.scene == REFUND
}

/// The number under which a user is paid for an opening.
pub fn opening_number(packet: &str) -> String {
    format!("packet:{packet}")
}

/// The number under which a sender gets back what nobody took.
fn refund_number(packet: &str) -> String {
    format!("refund:{packet}")
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

async fn pay_token<B: Binding>(
    context: &Context<'_, B>,
    keys: &SigningKeys,
    stage: &str,
    user: UserId,
    token: &Payload,
) -> Result<String, CommitError> {
    let signed = keys.sign(token, stage).map_err(|_| unexpected())?;
    let number = &token.out_trade_no;
    for _ in 0..ATTEMPTS_MAX {
        let transaction = Transaction {
            guards: pending::guards(user, number).to_vec(),
            writes: pending::writes(user, number, signed.to_stored(), context.now).to_vec(),
            ..Transaction::default()
        };
        match context.commit(context.home(user), transaction).await? {
            Outcome::Committed(_) => return Ok(signed.to_text()),
            Outcome::Refused(refused) => match refused.failed {
                // It was paid.
                Failed::Guard(0 | 1) => return Ok(signed.to_text()),
                _ => drop(posting::post(context, user).await?),
            },
        }
    }
    Err(busy())
}

/// What settling the packets of a partition did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Packets that were sent and are now written down for certain.
    pub sent: u64,
    /// Openings and refunds that are now paid for certain.
    pub paid: u64,
    /// Packets that expired and are closed now.
    pub closed: u64,
    /// Whether there is more to do.
    pub more: bool,
}

/// What one call looks at, of each kind.
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
        Read::Some(records::ends(), SETTLE_MAX),
    ];
    let answers = context.read(partition, reads).await?;
    let [Answer::Map(unsent), Answer::Map(owed), Answer::Map(ends)] = &answers[..] else {
        return Err(unexpected());
    };
    let more = [unsent, owed, ends].iter().any(|list| list.len() >= SETTLE_MAX as usize);
    let mut settled = Settled { more, ..Settled::default() };
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
    match write_down(context, &name(sender, &number), &order, random).await {
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
    let record = records::packet(packet);
    let step = |from: State, to: State| Transaction {
        guards: vec![Guard::FieldEquals(record.clone(), STATE.into(), from.value())],
        writes: vec![Write::Set(record.clone(), STATE.into(), to.value())],
        reads: vec![
            Read::Fields(record.clone(), [ORDER, STATE, EXPIRES].map(Field::from).to_vec()),
            Read::All(records::parts(packet), split::COUNT_MAX),
        ],
        ..Transaction::default()
    };
    let answers = match context.commit(partition, step(State::Open, State::Closing)).await? {
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
        let sender = UserId(Order::decode(order)?.sender);
        let at = integer(Some(expires))?;
        let token = token(sender, refund_number(packet), REFUND, left, at);
        pay_token(context, keys, stage, sender, &token).await?;
    }
    context.commit(partition, step(State::Closing, State::Closed)).await?;
    Ok(())
}

fn busy() -> CommitError {
    CommitError::Unavailable(format!("{ATTEMPTS_MAX} attempts on a packet"))
}
