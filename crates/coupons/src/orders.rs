//! The orders of a user: where they lie, and when a number may act.
//!
//! The orders lie in the user's record, which has at most [`USER_FIELDS_MAX`] fields and some more. Whoever needs room in
//! it moves orders to *pages*, records of their own ([`make_room`]), and goes on. The record says how many pages there are.
//!
//! - New orders, and those that are reserved, are always in the user's record. An order moves once, to a page, and never
//!   back; it goes when it is collected ([`crate::collect`]).
//! - *Acting under a number* ([`demand_new`]) demands that the record has no such order, that there are as many pages as
//!   were seen, and that none of these has it; and then that the number is not forgotten ([`store::numbers`]). Nearly
//!   everybody has no page: that is what is taken to be so at first, and a refusal says how many there are.
//! - *Changing an order* demands its exact bytes in the map where it was found. Where it was moved meanwhile that is
//!   refused, and whoever changes it looks again.
//! - *Looking up* reads the record, and the pages where it has no such order and says that there are some. All of them are
//!   read at one moment, together with how many there are: what is moved meanwhile is seen at one place or the other.
//!
//! # What can go wrong
//!
//! 1. Moving is one commit, which demands each order as it was seen, how many pages there were, and that the page has room
//!    for all. It happens as a whole or not at all: a crash leaves nothing to do, and a commit that comes late or twice
//!    meets other orders, and is refused.
//! 2. Of a redemption and a move of the same coupon, the first commit decides. The other one is refused and looks again.
//! 3. A commit that acts and comes late finds the order where it is now: in the record, in a page that it demanded, behind
//!    another number of pages, or forgotten.
//! 4. Whoever collects the last order of the last page lowers the number of pages in the same commit, which demands that
//!    the page has nothing else. Whoever moves orders there at the same time is refused by the number, or refuses it.
//! 5. Where all pages are full, or nothing in the record can move, `too_many_coupons` is told. Nothing was changed.

use domain::answers::{fields, integer, unexpected};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partitions;
use domain::transaction::{
    Answer, CommitError, Field, Guard, MapKey, READ_FIELDS_MAX, Read, Value, Write,
};
use store::numbers::Number;
use store::{Binding, Context, Plan, attempts};

use crate::records::{self, Gave, Order, USER_FIELDS_MAX};

/// Pages of a user: with the record 8,680 orders, which is more than one a day for as long as any order is kept.
pub const PAGES_MAX: u32 = 15;
/// Orders of a page.
pub const PAGE_ORDERS_MAX: u32 = 512;
/// Orders that one commit moves: so many, that it is not often needed.
const MOVED_MAX: usize = 256;
/// Bytes of them, but for the last one: greetings are long.
const MOVED_BYTES_MAX: usize = 65_536;
/// Counts that are 0 and go in the same commit.
const COUNTS_MAX: usize = 128;

/// An order, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The user's record, or a page of it.
    pub map: MapKey,
    /// The order.
    pub order: Order,
}

/// What is known of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it gave.
    pub found: Option<Found>,
    /// Whether it cannot act any more, because what became of it is forgotten. It may be found nevertheless.
    pub is_forgotten: bool,
    /// What else was read in the same moment.
    pub beside: Vec<Answer>,
}

/// Why a number cannot act, or cannot yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNew {
    /// It has acted: the refusal shows the order.
    Acted,
    /// The user has another number of pages: the refusal shows it, for [`pages`].
    Pages,
    /// What became of it is forgotten.
    Forgotten,
}

/// How many pages the field of a user's record says that there are.
///
/// # Errors
/// It says no such number.
pub fn pages(value: Option<&Value>) -> Result<u32, CommitError> {
    let number = u32::try_from(integer(value)?).ok().filter(|number| *number <= PAGES_MAX);
    number.ok_or_else(|| CommitError::Unreadable("the number of a user's pages is none".into()))
}

/// Demands that there are so many pages, as a user's record says.
pub(crate) fn demand_pages(record: MapKey, pages: u32) -> Guard {
    let field = records::PAGES.into();
    match pages {
        0 => Guard::FieldAbsent(record, field),
        _ => Guard::FieldEquals(record, field, Value::Integer(pages.into())),
    }
}

/// Says how many pages there are.
pub(crate) fn set_pages(record: MapKey, pages: u32) -> Write {
    let field = records::PAGES.into();
    match pages {
        0 => Write::Unset(record, field),
        _ => Write::Set(record, field, Value::Integer(pages.into())),
    }
}

/// Demands that a number has not acted and may act, where its user has so many pages; where its order goes.
pub fn demand_new<R>(
    plan: &mut Plan<R>,
    number: Number<'_>,
    pages: u32,
    partitions: Partitions,
    why: impl Fn(NotNew) -> R,
) -> (MapKey, Field) {
    let (user, field) = (number.user, records::order_field(number.number));
    let record = records::user(user);
    plan.demand(why(NotNew::Acted), Guard::FieldAbsent(record.clone(), field.clone()));
    plan.demand(why(NotNew::Pages), demand_pages(record.clone(), pages));
    for page in 1..=pages {
        let page = records::page(user, page);
        plan.demand(why(NotNew::Acted), Guard::FieldAbsent(page, field.clone()));
    }
    for guard in number.demands(partitions) {
        plan.demand(why(NotNew::Forgotten), guard);
    }
    (record, field)
}

/// Reads an order, of a user who has so many pages.
fn reads(user: UserId, field: &Field, pages: u32) -> Vec<Read> {
    let own = vec![field.clone(), records::PAGES.into()];
    let mut reads = vec![Read::Fields(records::user(user), own)];
    let of_page = |page| Read::Fields(records::page(user, page), vec![field.clone()]);
    reads.extend((1..=pages).map(of_page));
    reads
}

/// What the answers say to [`reads`]: the order, or how many pages there are.
fn read(user: UserId, answers: &[Answer]) -> Result<Result<Found, u32>, CommitError> {
    let [order, said] = fields(answers.first())? else { return Err(unexpected()) };
    let mut orders = vec![order];
    for answer in answers.get(1..).unwrap_or_default() {
        orders.push(fields(Some(answer))?.first().ok_or_else(unexpected)?);
    }
    for (page, order) in (0..).zip(orders) {
        if let Some(order) = order {
            let (map, order) = (records::page(user, page), Order::decode(order)?);
            return Ok(Ok(Found { map, order }));
        }
    }
    pages(said.as_ref()).map(Err)
}

/// An order, and where it lies: one round trip; two where it is not in the user's record, and there are pages.
///
/// # Errors
/// The store's.
pub async fn find<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: &OrderNumber,
) -> Result<Option<Found>, CommitError> {
    let field = records::order(number);
    Ok(look(context, user, &field, &[], &[]).await?.found)
}

/// What is known of a number, and what else lies in the user's partition, at one moment.
///
/// # Errors
/// The store's.
pub async fn know<B: Binding>(
    context: &Context<'_, B>,
    number: Number<'_>,
    beside: &[Read],
) -> Result<Known, CommitError> {
    let field = records::order_field(number.number);
    look(context, number.user, &field, &number.demands(context.partitions), beside).await
}

async fn look<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    field: &Field,
    demands: &[Guard],
    beside: &[Read],
) -> Result<Known, CommitError> {
    let mut pages = 0;
    attempts("find an order", async || {
        let mut plan = Plan::new();
        plan.demand_all((), demands.iter().cloned());
        let reads = reads(user, field, pages);
        let count = reads.len();
        plan.read_all(reads).read_all(beside.iter().cloned());
        let (mut answers, is_forgotten) = match context.commit(context.home(user), plan).await? {
            Ok(answers) => (answers, false),
            Err(refused) => (refused.reads, true),
        };
        let beside = answers.split_off(count.min(answers.len()));
        let found = match read(user, &answers)? {
            Ok(found) => Some(found),
            Err(there) if there == pages => None,
            Err(there) => {
                pages = there;
                return Ok(None);
            }
        };
        Ok(Some(Known { found, is_forgotten, beside }))
    })
    .await
}

/// All that is kept of a user's orders, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose.
    pub user: UserId,
    /// The user's record, sorted by field.
    pub fields: Vec<(Field, Value)>,
    /// The pages, the first one first, each sorted by field.
    pub pages: Vec<Vec<(Field, Value)>>,
}

impl Record {
    /// Reads the record of a user, and so many pages.
    pub fn reads(user: UserId, pages: u32) -> Vec<Read> {
        let read = |page| Read::All(records::page(user, page), READ_FIELDS_MAX);
        (0..=pages).map(read).collect()
    }

    /// The answers to [`Self::reads`].
    ///
    /// # Errors
    /// They are others.
    pub fn answered(
        user: UserId,
        answers: impl IntoIterator<Item = Answer>,
    ) -> Result<Self, CommitError> {
        let map = |answer| match answer {
            Answer::Map(fields) => Ok(fields),
            _ => Err(unexpected()),
        };
        let mut maps = answers.into_iter().map(map);
        let fields = maps.next().ok_or_else(unexpected)??;
        Ok(Self { user, fields, pages: maps.collect::<Result<_, _>>()? })
    }

    /// Reads all of it: one round trip; two where there are pages.
    ///
    /// # Errors
    /// The store's.
    pub async fn load<B: Binding>(
        context: &Context<'_, B>,
        user: UserId,
    ) -> Result<Self, CommitError> {
        let mut pages = 0;
        attempts("read the orders of a user", async || {
            let answers = context.read(context.home(user), Self::reads(user, pages)).await?;
            let record = Self::answered(user, answers)?;
            let there = record.page_count()?;
            let is_whole = there == pages;
            pages = there;
            Ok(is_whole.then_some(record))
        })
        .await
    }

    /// How many pages there are, as the record says.
    ///
    /// # Errors
    /// It says no such number.
    pub fn page_count(&self) -> Result<u32, CommitError> {
        pages(self.field(&records::PAGES.into()))
    }

    /// A field of the user's record.
    pub fn field(&self, field: &Field) -> Option<&Value> {
        value(&self.fields, field)
    }

    /// The orders, as they are stored, and in which map each lies.
    pub fn orders(&self) -> impl Iterator<Item = (u32, OrderNumber, &Value)> {
        let maps = (0..).zip(std::iter::once(&self.fields).chain(&self.pages));
        maps.flat_map(|(page, fields)| {
            fields
                .iter()
                .filter_map(move |(field, value)| Some((page, records::order_of(field)?, value)))
        })
    }

    /// Whether there is an order of a number.
    pub fn has(&self, number: &OrderNumber) -> bool {
        let field = records::order(number);
        let mut maps = std::iter::once(&self.fields).chain(&self.pages);
        maps.any(|fields| value(fields, &field).is_some())
    }
}

/// The value of a field of a map that is sorted by field.
fn value<'a>(fields: &'a [(Field, Value)], field: &Field) -> Option<&'a Value> {
    let place = fields.binary_search_by(|(name, _)| name.cmp(field)).ok()?;
    fields.get(place).map(|(_, value)| value)
}

/// Makes room in a user's record that is full: orders move to a page, those that ended first, and then the oldest; and
/// counts go that are 0. `false` where nothing of that can be done; else whoever needs the room tries again.
///
/// # Errors
/// The store's.
pub async fn make_room<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
) -> Result<bool, CommitError> {
    let record = Record::load(context, user).await?;
    if record.fields.len() <= USER_FIELDS_MAX as usize {
        // Somebody else did.
        return Ok(true);
    }
    let Some(plan) = moving(&record)? else { return Ok(false) };
    // Refused, something was changed meanwhile: whoever tries again finds out what.
    context.commit(context.home(user), plan).await?.ok();
    Ok(true)
}

/// The page to which orders move, and how many it has room for: one that is begun, where it is worth it, then the next one,
/// and at last whatever has room.
fn roomiest(record: &Record) -> Option<(u32, usize)> {
    let room = |size: usize| (PAGE_ORDERS_MAX as usize).saturating_sub(size);
    let there = (1..).zip(&record.pages).map(|(page, orders)| (page, room(orders.len())));
    let there = there.max_by_key(|(_, room)| *room).filter(|(_, room)| *room > 0);
    let next = record.pages.len() as u32 + 1;
    let next = (next <= PAGES_MAX).then_some((next, PAGE_ORDERS_MAX as usize));
    there.filter(|(_, room)| *room >= MOVED_MAX / 4).or(next).or(there)
}

/// The commit that makes room; nothing where it would do nothing.
fn moving(record: &Record) -> Result<Option<Plan<()>>, CommitError> {
    let (user, there) = (record.user, record.page_count()?);
    let own = records::user(user);
    let mut plan = Plan::new();
    if let Some((page, room)) = roomiest(record) {
        let moved = movable(record, room.min(MOVED_MAX));
        if !moved.is_empty() {
            let map = records::page(user, page);
            plan.demand((), demand_pages(own.clone(), there));
            let size = PAGE_ORDERS_MAX - moved.len() as u32;
            plan.demand((), Guard::SizeAtMost(map.clone(), size));
            for (field, value) in moved {
                let (field, value) = (field.clone(), value.clone());
                plan.demand((), Guard::FieldEquals(own.clone(), field.clone(), value.clone()));
                plan.write(Write::Unset(own.clone(), field.clone()));
                plan.write(Write::Set(map.clone(), field, value));
            }
            plan.write(set_pages(own.clone(), there.max(page)));
        }
    }
    let zero = Value::Integer(0);
    let is_zero =
        |(field, value): &&(Field, Value)| *value == zero && records::counted(field).is_some();
    for (field, value) in record.fields.iter().filter(is_zero).take(COUNTS_MAX) {
        plan.demand((), Guard::FieldEquals(own.clone(), field.clone(), value.clone()));
        plan.write(Write::Unset(own.clone(), field.clone()));
    }
    Ok((!plan.is_empty()).then_some(plan))
}

/// Orders that can move, at most so many: what is reserved stays, and so does what cannot be read.
fn movable(record: &Record, most: usize) -> Vec<&(Field, Value)> {
    let order = |entry: &'_ (Field, Value)| {
        records::order_of(&entry.0)?;
        let order = Order::decode(&entry.1).ok()?;
        let is_reserved = matches!(order.gave, Gave::Reserved(..));
        let ended = order.ended_at();
        (!is_reserved).then(|| (ended.is_none(), ended.map_or(order.at, |at| at.0)))
    };
    let entries = record.fields.iter();
    let mut orders: Vec<_> = entries.filter_map(|entry| Some((order(entry)?, entry))).collect();
    orders.sort_unstable_by(|(one, entry), (other, of_other)| {
        (one, &entry.0).cmp(&(other, &of_other.0))
    });
    let mut size = 0;
    let fits = |entry: &&(Field, Value)| {
        let before = size;
        if let Value::Bytes(bytes) = &entry.1 {
            size += bytes.len();
        }
        before < MOVED_BYTES_MAX
    };
    orders.into_iter().map(|(_, entry)| entry).take(most).take_while(fits).collect()
}
