//! What the books say of each other. Nothing is repaired here: each difference comes with its place and
//! what to do about it.
//!
//! - [`what`]: what can be wrong
//! - [`partition`]: accounts that no user has, budgets of rains, and packets, a partition at a time
//! - [`coupons`]: stocks, and what users have of them, a partition at a time
//! - [`user`]: what one user's wallet says of itself
//!
//! A call looks at a bounded part; its cursor says where the next one goes on. Lists are read page by page to
//! their end. Records that change while they are looked at are looked at again, so that traffic is no difference.
//! A record that cannot be read is a difference, and keeps nothing else from being looked at.

use std::cell::Cell;
use std::collections::BTreeSet;

use domain::answers::{self, fields, integer, unexpected};
use domain::day_lists::{BUCKETS, DayLists, day};
use domain::due::DueIndex;
use domain::ids::UserId;
use domain::partition::{Partition, fnv1a, mix};
use domain::transaction::{
    Answer, CommitError, Field, MapKey, Member, READ_FIELDS_MAX, Range, Read, Value,
};
use edge::store::Binding;
use lease::{FREE, credited, returned};
use store::quarantine;
use wallet::context::Context;
use wallet::keys::VerifyingKeys;
use wallet::rain::Listed;
use wallet::records::CHANGED;

pub mod coupons;
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

/// Where a call goes on: in which partition, after which user of which day's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    partition: u32,
    after: Option<(i64, u64, UserId)>,
}

impl Cursor {
    /// Reads a cursor.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let partition = parts.next()?.parse().ok()?;
        let after = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (None, ..) => None,
            (Some(day), Some(bucket), Some(user), None) => {
                Some((day.parse().ok()?, bucket.parse().ok()?, user.parse().ok()?))
            }
            _ => return None,
        };
        Some(Self { partition, after })
    }

    /// As the client gets it.
    pub fn text(&self) -> String {
        match self.after {
            None => self.partition.to_string(),
            Some((day, bucket, user)) => format!("{}.{day}.{bucket}.{user}", self.partition),
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
    /// Users that it looked at, for their coupons and for their wallet; one who is on the lists of two
    /// days counts twice.
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
        let today = day(self.context.now);
        days.retain(|day| self.scope == Scope::Full || *day >= today - 1);
        Ok(days)
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
        let mut reads = vec![read(&own), read(&[FREE.into()])];
        reads.extend(channels.chunks(FIELDS).map(read));
        let answers = self.read(partition, reads).await?;
        let mut units = integer(value(answers.get(1))?)?;
        for answer in &answers[2..] {
            for pair in fields(Some(answer))?.chunks(2) {
                if let [credited, returned] = pair {
                    units += integer(credited.as_ref())? - integer(returned.as_ref())?;
                }
            }
        }
        Ok((fields(answers.first())?.to_vec(), units))
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
    let look = Look { context, stage: books.stage, keys: &keys, scope, commits: Cell::new(0) };
    let mut report = Report::default();
    let rains = partition::rains(&look, cursor, &mut report).await?;
    let templates = coupons::templates(&look).await?;
    let mut lists = 0;
    let mut after = cursor.after;
    for (index, partition) in (0..).zip(context.partitions.all()).skip(cursor.partition as usize) {
        if after.is_none() {
            check_partition(&look, index, partition, &rains, &templates, &mut report).await?;
        }
        for (day, bucket) in lists_of(&look, partition).await? {
            let behind = match after {
                Some((last_day, last, _)) if (day, bucket) < (last_day, last) => continue,
                Some((last_day, last, user)) if (day, bucket) == (last_day, last) => Some(user),
                _ => None,
            };
            let read = |after| CHANGED.users(day, bucket, after);
            let users = look.members(partition, behind.map(DayLists::member), read).await?;
            lists += 1;
            for member in &users {
                let user = match DayLists::user_of(member) {
                    Ok(user) => user,
                    Err(error) => {
                        let place = format!("{day}.{bucket} of {partition}");
                        report.isolate(|| place, Err(error))?;
                        continue;
                    }
                };
                let result = user::check(&look, user, &mut report).await;
                report.isolate(|| format!("user {user}"), result)?;
                report.users += 1;
                let is_much = report.users >= USERS_MAX || lists >= LISTS_MAX;
                if is_much || look.commits.get() >= COMMITS_MAX {
                    let after = Some((day, bucket, user));
                    report.next = Some(Cursor { partition: index, after });
                    return Ok(report);
                }
            }
        }
        after = None;
        let is_much = report.users >= USERS_MAX || index + 1 - cursor.partition >= PARTITIONS_MAX;
        let is_much = is_much || look.commits.get() >= COMMITS_MAX;
        if is_much && index + 1 < context.partitions.count() {
            report.next = Some(Cursor { partition: index + 1, after: None });
            return Ok(report);
        }
    }
    Ok(report)
}

/// What no single user's is, or is all users' of a partition together.
async fn check_partition<B: Binding>(
    look: &Look<'_, '_, B>,
    index: u32,
    partition: Partition,
    rains: &[Listed],
    templates: &coupons::Templates,
    report: &mut Report,
) -> Result<(), CommitError> {
    let place = |what: &str| format!("{what} of {partition}");
    partition::check_pools(look, index, rains, report).await?;
    partition::check(look, partition, rains, report).await?;
    // Lists of what is configured have partitions of their own, as many as users have.
    if let Some(lists) = look.context.partitions.of_configurations().nth(index as usize) {
        partition::check_dropped(look, lists, report).await?;
    }
    coupons::check_pools(look, index, templates, report).await?;
    let result = coupons::check(look, partition, templates, report).await;
    report.isolate(|| place("coupons"), result)
}

/// The lists of users of a partition whose wallets are to be looked at, and that are not empty, in order.
async fn lists_of<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
) -> Result<Vec<(i64, u64)>, CommitError> {
    let mut lists = Vec::new();
    for day in look.days(partition, CHANGED).await? {
        let size = |bucket| Read::Count(CHANGED.list(day, bucket), Range::default());
        let answers = look.read(partition, (0..BUCKETS).map(size).collect()).await?;
        let found = (0..).zip(answers).filter(|(_, size)| *size != Answer::Size(0));
        lists.extend(found.map(|(bucket, _)| (day, bucket)));
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_itself_again() {
        for after in [None, Some((20_000, 63, UserId(7)))] {
            let cursor = Cursor { partition: 7, after };
            assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }
        for text in ["", "x", "1.2", "1.2.3", "1.2.3.4.5", "-1"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
