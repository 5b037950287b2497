//! What the books say of each other. Nothing is repaired here: each difference comes with its place and
//! what to do about it.
//!
//! - [`what`]: what can be wrong
//! - [`partition`]: accounts that no user has, budgets of rains, and packets, a partition at a time
//! - [`coupons`]: stocks, what users have of them, and what they did not use of budgets, a partition at a time
//! - [`groups`]: group-buys, beside the coupons of their users
//! - [`orders`]: what orders took of activities, a user of a partition at a time
//! - [`holds`]: what activities have given to orders, an activity at a time
//! - [`user`]: what one user's wallet says of itself
//!
//! A call looks at a bounded part; its cursor says where the next one goes on. Lists are read page by page to
//! their end. Records that change while they are looked at are looked at again, so that traffic is no difference.
//! A record that cannot be read is a difference, and keeps nothing else from being looked at.
//!
//! # What is compared
//!
//! - Wallets: a rain's pool with its leases, leases with tokens and entries, entries with accounts, marks and
//!   withdrawals, packets with openings, tokens with their signatures.
//! - Coupons: a pool with its leases, leases with the users' orders and what was collected of them, a user's counts
//!   likewise.
//! - Group-buys: a chance with its groups, rewards with their orders and with those that are due.
//! - Promotions: a user's uses with the user's orders, orders under way with their index, the uses of all with the
//!   holds, and each hold with its order.
//!
//! Sixteen packets, or wallets, are looked at at the same time. A call stops behind them, or between users' orders or
//! holds, once it has asked the store 1,500 times. A record that never keeps still, or is too much for one look, counts as
//! `unsettled`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::answers::{self, fields, integer, unexpected};
use domain::day_lists::{BUCKETS, DayLists, day};
use domain::due::DueIndex;
use domain::ids::UserId;
use domain::partition::{Partition, fnv1a, mix};
use domain::transaction::{
    Answer, CommitError, FIELD_BYTES_MAX, Field, MapKey, Member, READ_FIELDS_MAX, Range, Read,
    Value,
};
use edge::store::Binding;
use futures::future::join_all;
use lease::{FREE, credited, returned};
use store::quarantine;
use store::sealed;
use wallet::context::Context;
use wallet::keys::VerifyingKeys;
use wallet::rain::Listed;
use wallet::records::CHANGED;

pub mod coupons;
pub mod groups;
pub mod holds;
pub mod orders;
pub mod partition;
pub mod user;
pub mod what;

pub use what::What;

use crate::Books;

/// Users that one call looks at before it gives a cursor.
const USERS_MAX: u64 = 500;
/// Commits after which a call gives a cursor, at the next place where it can.
const COMMITS_MAX: u64 = 1_500;
/// Partitions that one call looks at.
const PARTITIONS_MAX: u32 = 256;
/// Lists of users that one call looks at: most of a small site's are empty.
const LISTS_MAX: u32 = 4_096;
/// Users of a partition that are added up in one look.
const SUM_USERS_MAX: usize = 65_536;
/// Looks at sums that change while they are added up.
const LOOKS_MAX: u32 = 4;
/// Wallets, packets, or openings of a packet that are looked at at the same time: what a call waits for is the way to the
/// store.
const AT_ONCE: usize = 16;
/// Fields that are read at once.
const FIELDS: usize = 1_000;

/// How much to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Users of whom something changed today or yesterday.
    Recent,
    /// All users there ever were, and what they have together.
    Full,
}

/// Where a call goes on: in which partition, and behind what of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    partition: u32,
    place: Place,
}

/// A user of a day's list: the day, the bucket and the user.
type OfDay = (i64, u64, UserId);

/// A list of users of a day.
struct List {
    day: i64,
    bucket: u64,
    /// The user behind whom it is looked at.
    behind: Option<UserId>,
}

/// Behind what of a partition a call goes on, in the order in which it is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Place {
    /// At its beginning.
    #[default]
    Start,
    /// Behind a withdrawal, as the index of all of them has it.
    Withdrawals(Member),
    /// Behind a packet, as the index of those that end has it.
    Packets(Member),
    /// Behind a user whose orders were looked at.
    Orders(OfDay),
    /// Behind a hold of an activity.
    Holds(String, Member),
    /// Behind a user whose wallet was looked at.
    Wallets(OfDay),
}

/// What stands in front of a place among withdrawals.
const WITHDRAWALS: &str = "withdrawals";
/// What stands in front of a place among packets.
const PACKETS: &str = "packets";
/// What stands in front of a place among users whose orders are looked at.
const ORDERS: &str = "orders";
/// What stands in front of a place among holds.
const HOLDS: &str = "holds";

impl Cursor {
    /// Reads a cursor.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split('.').collect();
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let member = |text: &str| {
            let bytes = bytes(text).filter(|bytes| (1..=FIELD_BYTES_MAX).contains(&bytes.len()));
            bytes.map(Member)
        };
        let of_day = |day: &str, bucket: &str, user: &str| {
            Some((day.parse().ok()?, bucket.parse().ok()?, user.parse().ok()?))
        };
        let (partition, place) = match parts[..] {
            [partition] => (partition, Place::Start),
            [partition, WITHDRAWALS, one] => (partition, Place::Withdrawals(member(one)?)),
            [partition, PACKETS, packet] => (partition, Place::Packets(member(packet)?)),
            [partition, HOLDS, activity, hold] => {
                let activity = String::from_utf8(bytes(activity)?).ok()?;
                (partition, Place::Holds(activity, member(hold)?))
            }
            [partition, ORDERS, day, bucket, user] => {
                (partition, Place::Orders(of_day(day, bucket, user)?))
            }
            [partition, day, bucket, user] => {
                (partition, Place::Wallets(of_day(day, bucket, user)?))
            }
            _ => return None,
        };
        Some(Self { partition: partition.parse().ok()?, place })
    }

    /// As the client gets it.
    pub fn text(&self) -> String {
        let Self { partition, place } = self;
        let bytes = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match place {
            Place::Start => partition.to_string(),
            Place::Withdrawals(one) => format!("{partition}.{WITHDRAWALS}.{}", bytes(&one.0)),
            Place::Packets(packet) => format!("{partition}.{PACKETS}.{}", bytes(&packet.0)),
            Place::Orders((day, bucket, user)) => {
                format!("{partition}.{ORDERS}.{day}.{bucket}.{user}")
            }
            Place::Holds(activity, hold) => {
                format!("{partition}.{HOLDS}.{}.{}", bytes(activity.as_bytes()), bytes(&hold.0))
            }
            Place::Wallets((day, bucket, user)) => format!("{partition}.{day}.{bucket}.{user}"),
        }
    }
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub what: What,
    /// Where: a user, a partition, a rain, a packet, an order number.
    pub place: String,
    /// What one side says.
    pub expected: i64,
    /// What the other side says.
    pub found: i64,
}

/// What a call found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The differences.
    pub differences: Vec<Difference>,
    /// Users that it looked at, for their coupons, for their orders and for their wallet; one who is on the lists of
    /// two days counts twice.
    pub users: u64,
    /// Packets that it looked at.
    pub packets: u64,
    /// Sums that it could not compare, because what they add up is too much, or did not keep still.
    pub unsettled: u64,
    /// Where the next call goes on.
    pub next: Option<Cursor>,
}

impl Report {
    fn add(&mut self, what: What, place: impl Into<String>, expected: i64, found: i64) {
        if expected != found {
            let place = place.into();
            self.differences.push(Difference { what, place, expected, found });
        }
    }

    /// What a look at one place found.
    fn take(&mut self, other: Self) {
        self.differences.extend(other.differences);
        self.unsettled += other.unsettled;
    }

    /// Something that must not be.
    fn broken(&mut self, what: What, place: impl Into<String>) {
        self.add(what, place, 0, 1);
    }

    /// Keeps what a look at one place cannot read from ending the others.
    ///
    /// # Errors
    /// The store's, which say nothing of the place.
    fn isolate(
        &mut self,
        place: impl FnOnce() -> String,
        result: Result<(), CommitError>,
    ) -> Result<(), CommitError> {
        match result {
            Err(error) if error.is_of_records() => {
                self.broken(What::RecordUnreadable, place());
                Ok(())
            }
            result => result,
        }
    }
}

/// What every look needs.
struct Look<'a, 'b, B> {
    context: &'a Context<'b, B>,
    stage: &'a str,
    keys: &'a VerifyingKeys,
    scope: Scope,
    /// How often the store was asked.
    commits: Cell<u64>,
    /// Lists of users that were looked at.
    lists: Cell<u32>,
    /// Templates that are known to be sealed.
    sealed: RefCell<BTreeSet<String>>,
}

impl<B: Binding> Look<'_, '_, B> {
    async fn read(
        &self,
        partition: Partition,
        reads: Vec<Read>,
    ) -> Result<Vec<Answer>, CommitError> {
        self.commits.set(self.commits.get() + 1);
        self.context.read(partition, reads).await
    }

    /// Whether a call has asked the store so often that it gives a cursor.
    fn is_enough(&self) -> bool {
        self.commits.get() >= COMMITS_MAX
    }

    /// All members of an ordered set, page by page, behind one.
    async fn members(
        &self,
        partition: Partition,
        after: Option<Member>,
        page: impl Fn(Option<Member>) -> Read,
    ) -> Result<Vec<Member>, CommitError> {
        let mut members = Vec::new();
        let mut visit = |member: &Member| {
            members.push(member.clone());
            true
        };
        self.visit_list(partition, after, page, &mut visit).await?;
        Ok(members)
    }

    /// Visits the entries of an index, those that are set aside, and those that are dropped, some of them twice; whether
    /// it was to its end, or `visit` said that it is enough.
    async fn visit(
        &self,
        partition: Partition,
        index: DueIndex,
        mut visit: impl FnMut(&Member) -> bool,
    ) -> Result<bool, CommitError> {
        let mut visit_aside =
            |name: &Member| quarantine::entry(name).is_none_or(|(_, entry)| visit(&entry));
        let [set_aside, dropped] = [quarantine::names(), quarantine::dropped_names()];
        let in_set_aside =
            |after| quarantine::page_of(set_aside.clone(), index, after, READ_FIELDS_MAX);
        let in_dropped =
            |after| quarantine::page_of(dropped.clone(), index, after, READ_FIELDS_MAX);
        let went_on = self.visit_list(partition, None, in_set_aside, &mut visit_aside).await?
            && self.visit_list(partition, None, in_dropped, &mut visit_aside).await?;
        if !went_on {
            return Ok(false);
        }
        let in_index = |after| index.page_of_all(after, READ_FIELDS_MAX);
        if !self.visit_list(partition, None, in_index, &mut visit).await? {
            return Ok(false);
        }
        // What was set aside meanwhile was in none of them.
        let mut visit_aside =
            |name: &Member| quarantine::entry(name).is_none_or(|(_, entry)| visit(&entry));
        self.visit_list(partition, None, in_set_aside, &mut visit_aside).await
    }

    async fn visit_list(
        &self,
        partition: Partition,
        mut after: Option<Member>,
        page: impl Fn(Option<Member>) -> Read,
        visit: &mut impl FnMut(&Member) -> bool,
    ) -> Result<bool, CommitError> {
        loop {
            let answers = self.read(partition, vec![page(after)]).await?;
            let page = answers::page(answers.first())?;
            if !page.members.iter().all(&mut *visit) {
                return Ok(false);
            }
            after = page.members.last().cloned();
            if !page.has_more || after.is_none() {
                return Ok(true);
            }
        }
    }

    /// The days of a partition's lists that are to be looked at, in order.
    async fn days(&self, partition: Partition, lists: DayLists) -> Result<Vec<i64>, CommitError> {
        let members = self.members(partition, None, |after| lists.days(after)).await?;
        // What is no day has no users.
        let days = members.iter().filter_map(|member| DayLists::day_of(member).ok());
        let mut days: Vec<_> = days.collect();
        // On lists of later days stand users of whom something is collected then; a clock may be ahead.
        let recent = day(self.context.now) - 1..=day(self.context.now) + 1;
        days.retain(|day| self.scope == Scope::Full || recent.contains(day));
        Ok(days)
    }

    /// The lists of users of a partition that are to be looked at and are not empty, in order, from that of a user on.
    /// Lists that have few users come together: one read returns them.
    async fn lists_behind(
        &self,
        partition: Partition,
        lists: DayLists,
        after: Option<OfDay>,
    ) -> Result<Vec<Vec<List>>, CommitError> {
        let (mut found, mut room): (Vec<Vec<List>>, u64) = (Vec::new(), 0);
        for day in self.days(partition, lists).await? {
            if after.is_some_and(|(last, ..)| day < last) {
                continue;
            }
            let size = |bucket| Read::Count(lists.list(day, bucket), Range::default());
            let answers = self.read(partition, (0..BUCKETS).map(size).collect()).await?;
            for (bucket, size) in (0..).zip(answers) {
                let behind = match after {
                    Some((last_day, last, _)) if (day, bucket) < (last_day, last) => continue,
                    Some((last_day, last, user)) => {
                        (day, bucket).eq(&(last_day, last)).then_some(user)
                    }
                    None => None,
                };
                let Answer::Size(size @ 1..) = size else { continue };
                let list = List { day, bucket, behind };
                match found.last_mut() {
                    Some(last) if size <= room => last.push(list),
                    _ => {
                        found.push(vec![list]);
                        room = u64::from(READ_FIELDS_MAX);
                    }
                }
                room = room.saturating_sub(size);
            }
        }
        Ok(found)
    }

    /// The users of some lists, in order. What is no user is told.
    async fn listed(
        &self,
        partition: Partition,
        lists: DayLists,
        some: &[List],
        report: &mut Report,
    ) -> Result<Vec<OfDay>, CommitError> {
        self.lists.set(self.lists.get() + some.len() as u32);
        let behind = |list: &List| list.behind.map(DayLists::member);
        let first = |list: &List| lists.users(list.day, list.bucket, behind(list));
        let first = self.read(partition, some.iter().map(first).collect()).await?;
        let mut users = Vec::new();
        for (List { day, bucket, .. }, page) in some.iter().zip(&first) {
            let page = answers::page(Some(page))?;
            let mut members = page.members.clone();
            if let (true, Some(last)) = (page.has_more, page.members.last()) {
                let read = |after| lists.users(*day, *bucket, after);
                members.extend(self.members(partition, Some(last.clone()), read).await?);
            }
            for member in &members {
                match DayLists::user_of(member) {
                    Ok(user) => users.push((*day, *bucket, user)),
                    Err(error) => {
                        report.isolate(|| format!("{day}.{bucket} of {partition}"), Err(error))?;
                    }
                }
            }
        }
        Ok(users)
    }

    /// Everybody on the lists of some days; nothing where that is too many.
    async fn everybody(
        &self,
        partition: Partition,
        lists: DayLists,
        days: &[i64],
    ) -> Result<Option<Vec<UserId>>, CommitError> {
        let mut users = BTreeSet::new();
        for day in days.iter().copied() {
            let first = |bucket| lists.users(day, bucket, None);
            let first = self.read(partition, (0..BUCKETS).map(first).collect()).await?;
            for (bucket, answer) in (0..).zip(&first) {
                let page = answers::page(Some(answer))?;
                users.extend(users_of(&page.members));
                if let (true, Some(last)) = (page.has_more, page.members.last()) {
                    let read = |after| lists.users(day, bucket, after);
                    let rest = self.members(partition, Some(last.clone()), read).await?;
                    users.extend(users_of(&rest));
                }
            }
            if users.len() > SUM_USERS_MAX {
                return Ok(None);
            }
        }
        Ok(Some(users.into_iter().collect()))
    }

    /// Fields of a pool, and the units that it says there are: those that are free, and those that are
    /// leased out. One moment of one record.
    async fn pool(
        &self,
        partition: Partition,
        pool: &MapKey,
        own: Vec<Field>,
    ) -> Result<(Vec<Option<Value>>, i64), CommitError> {
        let channels = self.context.partitions.all();
        let channels: Vec<_> = channels.flat_map(|one| [credited(one), returned(one)]).collect();
        let read = |names: &[Field]| Read::Fields(pool.clone(), names.to_vec());
        let mut reads: Vec<_> = own.chunks(FIELDS).map(read).collect();
        let of_own = reads.len();
        reads.push(read(&[FREE.into()]));
        reads.extend(channels.chunks(FIELDS).map(read));
        let answers = self.read(partition, reads).await?;
        let mut units = integer(value(answers.get(of_own))?)?;
        for answer in &answers[of_own + 1..] {
            for pair in fields(Some(answer))?.chunks(2) {
                if let [credited, returned] = pair {
                    units += integer(credited.as_ref())? - integer(returned.as_ref())?;
                }
            }
        }
        let mut own = Vec::with_capacity(own.len());
        for answer in &answers[..of_own] {
            own.extend_from_slice(fields(Some(answer))?);
        }
        Ok((own, units))
    }

    async fn is_sealed(&self, place: &sealed::Place) -> Result<bool, CommitError> {
        self.commits.set(self.commits.get() + 1);
        place.is_sealed(self.context).await
    }

    /// What is listed and not there was sealed and taken away since the list was read; else it is lost.
    async fn demand_sealed(&self, place: &sealed::Place) -> Result<(), CommitError> {
        if self.is_sealed(place).await? { Ok(()) } else { Err(unexpected()) }
    }

    /// Whether something with this name, which lies anywhere, is looked at with this partition.
    fn is_with(&self, index: u32, name: &str) -> bool {
        mix(fnv1a(name.as_bytes())) % u64::from(self.context.partitions.count()) == u64::from(index)
    }
}

/// The fields of an answer to a whole record.
fn map(answer: Option<&Answer>) -> Result<&[(Field, Value)], CommitError> {
    match answer {
        Some(Answer::Map(fields)) => Ok(fields),
        _ => Err(unexpected()),
    }
}

/// The value of an answer to one field.
fn value(answer: Option<&Answer>) -> Result<Option<&Value>, CommitError> {
    Ok(fields(answer)?.first().and_then(Option::as_ref))
}

/// The users of a list. What is none of them is told where the list is looked at.
fn users_of(members: &[Member]) -> impl Iterator<Item = UserId> {
    members.iter().filter_map(|member| DayLists::user_of(member).ok())
}

/// Looks at a part of the books.
///
/// # Errors
/// The store's.
pub async fn reconcile<B: Binding>(
    books: &Books<'_, B>,
    scope: Scope,
    cursor: Cursor,
) -> Result<Report, CommitError> {
    // Whether a token of the store is to be believed does not depend on when its key ends.
    let keys =
        VerifyingKeys::parse(&books.keys.verifying_text(), true).map_err(|_| unexpected())?;
    let context = &books.wallets;
    let (commits, lists, sealed) = (Cell::new(0), Cell::new(0), RefCell::default());
    let look = Look { context, stage: books.stage, keys: &keys, scope, commits, lists, sealed };
    let mut report = Report::default();
    let Cursor { partition: first, mut place } = cursor;
    let is_first = first == 0 && place == Place::Start;
    let rains = partition::rains(&look, is_first, &mut report).await?;
    let templates = coupons::templates(&look).await?;
    for (index, partition) in (0..).zip(context.partitions.all()).skip(first as usize) {
        let all = Partitioned { index, partition, rains: &rains, templates: &templates };
        let from = std::mem::take(&mut place);
        if let Some(place) = check_partition(&look, &all, from, &mut report).await? {
            report.next = Some(Cursor { partition: index, place });
            return Ok(report);
        }
        let is_much = report.users >= USERS_MAX || index + 1 - first >= PARTITIONS_MAX;
        if (is_much || look.is_enough()) && index + 1 < context.partitions.count() {
            report.next = Some(Cursor { partition: index + 1, place: Place::Start });
            return Ok(report);
        }
    }
    Ok(report)
}

/// A partition, and what may lie in it.
struct Partitioned<'a> {
    index: u32,
    partition: Partition,
    rains: &'a [Listed],
    templates: &'a coupons::Templates,
}

/// Looks at a partition behind a place; where it stopped, if it was not to the end.
async fn check_partition<B: Binding>(
    look: &Look<'_, '_, B>,
    all: &Partitioned<'_>,
    from: Place,
    report: &mut Report,
) -> Result<Option<Place>, CommitError> {
    let Partitioned { index, partition, rains, templates } = *all;
    // Lists of what is configured have partitions of their own, as many as users have.
    let configured = look.context.partitions.of_configurations().nth(index as usize);
    if from == Place::Start {
        partition::check_pools(look, index, rains, report).await?;
        partition::check(look, partition, rains, report).await?;
        if let Some(lists) = configured {
            partition::check_dropped(look, lists, report).await?;
        }
        coupons::check_pools(look, index, templates, report).await?;
        let result = coupons::check(look, partition, templates, report).await;
        report.isolate(|| format!("coupons of {partition}"), result)?;
    }
    // Withdrawals and packets come behind what is looked at as a whole, so that nothing of it is looked at twice.
    let (is_before_packets, after) = match &from {
        Place::Start => (true, None),
        Place::Withdrawals(one) => (true, Some(one)),
        _ => (false, None),
    };
    if is_before_packets {
        let stopped = partition::check_withdrawals(look, partition, after, report).await?;
        if let Some(one) = stopped {
            return Ok(Some(Place::Withdrawals(one)));
        }
    }
    let (is_before_orders, after) = match &from {
        Place::Start | Place::Withdrawals(_) => (true, None),
        Place::Packets(packet) => (true, Some(packet)),
        _ => (false, None),
    };
    if is_before_orders {
        let stopped = partition::check_packets(look, partition, after, report).await?;
        if let Some(packet) = stopped {
            return Ok(Some(Place::Packets(packet)));
        }
    }
    let (is_before_holds, after) = match from {
        Place::Orders(user) => (true, Some(user)),
        _ => (is_before_orders, None),
    };
    if is_before_holds && let Some(user) = orders::check(look, partition, after, report).await? {
        return Ok(Some(Place::Orders(user)));
    }
    let (is_before_wallets, after) = match &from {
        Place::Holds(activity, hold) => (true, Some((activity, hold))),
        _ => (is_before_holds, None),
    };
    if is_before_wallets
        && let Some(lists) = configured
        && let Some((activity, hold)) = holds::check(look, lists, after, report).await?
    {
        return Ok(Some(Place::Holds(activity, hold)));
    }
    let after = match from {
        Place::Wallets(user) => Some(user),
        _ => None,
    };
    Ok(check_wallets(look, partition, after, report).await?.map(Place::Wallets))
}

/// Looks at the wallets of a partition's users behind one of them; the last one, where it stopped.
async fn check_wallets<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    after: Option<OfDay>,
    report: &mut Report,
) -> Result<Option<OfDay>, CommitError> {
    // Who is on the lists of several days is looked at once in a call.
    let mut seen = BTreeSet::new();
    for lists in look.lists_behind(partition, CHANGED, after).await? {
        let mut users = look.listed(partition, CHANGED, &lists, report).await?;
        users.retain(|(.., user)| seen.insert(*user));
        for some in users.chunks(AT_ONCE) {
            let checks = some.iter().map(async |(.., user)| {
                let mut found = Report::default();
                let result = user::check(look, *user, &mut found).await;
                (user, found, result)
            });
            for (user, found, result) in join_all(checks).await {
                report.take(found);
                report.isolate(|| format!("user {user}"), result)?;
                report.users += 1;
            }
            let is_much = report.users >= USERS_MAX || look.lists.get() >= LISTS_MAX;
            if let (true, Some(last)) = (is_much || look.is_enough(), some.last()) {
                return Ok(Some(*last));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_itself_again() {
        let of_day = (20_000, 63, UserId(7));
        let member = || Member(b"\xff.7_a:b.c".to_vec());
        for place in [
            Place::Start,
            Place::Withdrawals(member()),
            Place::Packets(member()),
            Place::Orders(of_day),
            Place::Holds("spring.sale".into(), member()),
            Place::Wallets(of_day),
        ] {
            let cursor = Cursor { partition: 7, place };
            assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }
        let wrong =
            ["", "x", "1.2", "1.2.3", "1.2.3.4.5", "-1", "1.packets", "1.packets.", "1.packets.+"];
        for text in
            wrong.into_iter().chain(["1.orders.2.3", "1.holds.a", "1.holds._w.YQ", "1.holds.YQ."])
        {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
