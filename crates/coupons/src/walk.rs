//! Revoking or extending many coupons: those of a template, or those that a batch gave.
//!
//! Users are found by the lists of those who had to do with coupons ([`HOLDERS`]), a partition, a day and a bucket after
//! the other. Each coupon is changed as one is ([`crate::revocation`]), so that what was done stays done: a call is bounded
//! and says where the next one goes on, and a walk that broke off is begun again from its last cursor or from the start. Who
//! is on the lists of several days is met as often, and changed once.
//!
//! Of a template all that is open is changed, of a batch what it gave, of the template or of one that stood in for it. A
//! template that still gives is refused, where all of its coupons are to be revoked: what is put back would be given again
//! behind the walk. It must be switched off or over; who asks an instance that has not read that yet may get one for half a
//! second more, and a reservation may be confirmed. So a walk is begun a second after the switch, and again where it counted
//! reservations.

use domain::answers::page;
use domain::day_lists::{BUCKETS, DayLists};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Member, Range, Read, Value};
use futures::StreamExt;
use futures::stream;
use store::Binding;

use crate::bulk::number_of;
use crate::context::Context;
use crate::issue::look_up;
use crate::orders::Record;
use crate::records::{Gave, HOLDERS, Order};
use crate::refusal::{Failure, Refusal};
use crate::revocation::{extend, take_back};

/// Users of one call.
pub const USERS_MAX: u32 = 1_000;
/// Reads of lists of one call.
const READS_MAX: u32 = 1_000;
/// Users whose coupons are changed at the same time.
const CONCURRENT: usize = 32;

/// What to do with coupons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Take them back, for this reason.
    Revoke(String),
    /// Make them valid until then, at least.
    Extend(UnixMillis),
}

/// Which coupons to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Of this template.
    pub template: String,
    /// Those that this batch of it gave.
    pub batch: Option<String>,
    /// How.
    pub change: Change,
    /// Where an earlier call stopped.
    pub cursor: Option<Cursor>,
}

/// Where a call goes on: in which partition, which day and which bucket, and behind whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    partition: u32,
    day: i64,
    bucket: u64,
    after: Option<UserId>,
}

impl Cursor {
    /// Reads a cursor.
    pub fn parse(text: &str) -> Option<Self> {
        let (place, after) = match text.split('.').count() {
            3 => (text, None),
            _ => text.rsplit_once('.').map(|(place, user)| (place, Some(user)))?,
        };
        let mut parts = place.split('.');
        let cursor = Self {
            partition: parts.next()?.parse().ok()?,
            day: parts.next()?.parse().ok()?,
            bucket: parts.next()?.parse().ok()?,
            after: after
                .map(|user| UserId::parse(user, "cursor").ok().ok_or(()))
                .transpose()
                .ok()?,
        };
        (parts.next().is_none() && cursor.bucket < BUCKETS).then_some(cursor)
    }

    /// As the client gets it.
    pub fn text(&self) -> String {
        let Self { partition, day, bucket, after } = self;
        let after = after.map(|user| format!(".{user}")).unwrap_or_default();
        format!("{partition}.{day}.{bucket}{after}")
    }
}

/// What a call did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Users it looked at; one who is on the lists of two days counts twice.
    pub users: u32,
    /// Coupons that it changed.
    pub changed: u32,
    /// Coupons that are held, which it left.
    pub reserved: u32,
    /// Orders and users that cannot be read.
    pub unreadable: u32,
    /// Where the next call goes on; nothing at the end.
    pub cursor: Option<Cursor>,
}

impl Walked {
    fn add(&mut self, other: &Self) {
        self.changed += other.changed;
        self.reserved += other.reserved;
        self.unreadable += other.unreadable;
    }
}

/// Changes some of the coupons.
///
/// # Errors
/// `unknown_template`, `template_enabled`; or the store's. Then some are changed: ask again from the same cursor.
pub async fn walk<B: Binding>(context: &Context<'_, B>, what: &Walk) -> Result<Walked, Failure> {
    let published = context.publication(&what.template).find(context, []).await?;
    let (version, []) = published.ok_or(Refusal::UnknownTemplate)?;
    let gives = version.record.enabled && context.now < version.record.claim_until;
    if gives && what.batch.is_none() && matches!(what.change, Change::Revoke(_)) {
        return Err(Refusal::TemplateEnabled.into());
    }
    let number = what.batch.as_ref().map(|batch| number_of(&what.template, batch)).transpose()?;
    let mut walking = Walking { context, what, number, walked: Walked::default(), reads: 0 };
    let from = what.cursor.unwrap_or_default();
    for (index, partition) in (0..).zip(context.partitions.all()).skip(from.partition as usize) {
        let from = if index == from.partition { from } else { Cursor::default() };
        let from = Cursor { partition: index, ..from };
        if walking.is_enough() {
            walking.walked.cursor = Some(from);
            break;
        }
        if let Some(cursor) = walking.partition(partition, from).await? {
            walking.walked.cursor = Some(cursor);
            break;
        }
    }
    Ok(walking.walked)
}

struct Walking<'a, 'b, B> {
    context: &'a Context<'b, B>,
    what: &'a Walk,
    number: Option<OrderNumber>,
    walked: Walked,
    reads: u32,
}

impl<B: Binding> Walking<'_, '_, B> {
    async fn read(
        &mut self,
        partition: Partition,
        reads: Vec<Read>,
    ) -> Result<Vec<Answer>, CommitError> {
        self.reads += 1;
        self.context.read(partition, reads).await
    }

    /// Walks through a partition; where it stopped, if it was not to the end.
    async fn partition(
        &mut self,
        partition: Partition,
        from: Cursor,
    ) -> Result<Option<Cursor>, Failure> {
        for day in self.days(partition, from.day).await? {
            let begin = Cursor { day, bucket: 0, after: None, ..from };
            let begin = if day == from.day { from } else { begin };
            if self.is_enough() {
                return Ok(Some(begin));
            }
            let lists = (0..BUCKETS).map(|one| HOLDERS.list(day, one));
            let reads = lists.map(|list| Read::Count(list, Range::default())).collect();
            let sizes = self.read(partition, reads).await?;
            for (bucket, size) in (0..).zip(sizes) {
                if bucket < begin.bucket {
                    continue;
                }
                let after = begin.after.filter(|_| bucket == begin.bucket);
                let mut cursor = Cursor { bucket, after, ..begin };
                if size == Answer::Size(0) {
                    continue;
                }
                if self.is_enough() {
                    return Ok(Some(cursor));
                }
                if !self.list(partition, &mut cursor).await? {
                    return Ok(Some(cursor));
                }
            }
        }
        Ok(None)
    }

    /// The days of a partition's lists, from one on.
    async fn days(&mut self, partition: Partition, from: i64) -> Result<Vec<i64>, CommitError> {
        let (mut days, mut after) = (Vec::new(), None);
        loop {
            let answers = self.read(partition, vec![HOLDERS.days(after)]).await?;
            let page = page(answers.first())?;
            // What is no day has no users.
            days.extend(page.members.iter().filter_map(|one| DayLists::day_of(one).ok()));
            after = page.members.last().cloned();
            if !page.has_more || after.is_none() {
                days.retain(|day| *day >= from);
                return Ok(days);
            }
        }
    }

    /// Changes coupons of the users of a list, behind one; whether it was to the end of the list.
    async fn list(&mut self, partition: Partition, cursor: &mut Cursor) -> Result<bool, Failure> {
        let mut after = cursor.after.map(DayLists::member);
        loop {
            let read = HOLDERS.users(cursor.day, cursor.bucket, after);
            let answers = self.read(partition, vec![read]).await?;
            let page = page(answers.first())?;
            for members in page.members.chunks(CONCURRENT) {
                self.users(members).await?;
                let last = members.iter().rev().find_map(|one| DayLists::user_of(one).ok());
                cursor.after = last.or(cursor.after);
                if self.is_enough() {
                    return Ok(false);
                }
            }
            after = page.members.last().cloned();
            if !page.has_more || after.is_none() {
                return Ok(true);
            }
        }
    }

    fn is_enough(&self) -> bool {
        self.walked.users >= USERS_MAX || self.reads >= READS_MAX
    }

    async fn users(&mut self, members: &[Member]) -> Result<(), Failure> {
        let (what, number, context) = (self.what, self.number.as_ref(), self.context);
        let one = |member: &Member| {
            let user = DayLists::user_of(member);
            async move {
                match user {
                    Ok(user) => change_of(context, user, what, number).await,
                    Err(_) => Ok(Walked { unreadable: 1, ..Walked::default() }),
                }
            }
        };
        let mut results = stream::iter(members.iter().map(one)).buffer_unordered(CONCURRENT);
        let mut sum = Walked::default();
        while let Some(result) = results.next().await {
            sum.add(&result?);
        }
        drop(results);
        self.walked.users += members.len() as u32;
        self.walked.add(&sum);
        Ok(())
    }
}

/// Changes the coupons of a user. What cannot be read stops only itself.
async fn change_of<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    what: &Walk,
    number: Option<&OrderNumber>,
) -> Result<Walked, Failure> {
    let mut walked = Walked::default();
    let orders = match orders_of(context, user, number).await {
        Err(error) if error.is_of_records() => vec![None],
        orders => orders?,
    };
    for order in orders {
        let Some((number, order)) = order else {
            walked.unreadable += 1;
            continue;
        };
        match &order.gave {
            Gave::Reserved(coupon, _) if coupon.template == what.template => walked.reserved += 1,
            Gave::Issued(coupon) | Gave::Fallback(coupon)
                if coupon.redeemed.is_none()
                    && !order.is_over
                    && order.expired_at(context.now).is_none()
                    && (what.batch.is_some() || coupon.template == what.template) =>
            {
                let result = match &what.change {
                    Change::Revoke(reason) => take_back(context, user, &number, reason)
                        .await
                        .map(|(recorded, _)| recorded),
                    Change::Extend(until) => extend(context, user, &number, *until).await,
                };
                match result {
                    Ok(recorded) => walked.changed += u32::from(!recorded.replayed),
                    // It was redeemed, or has expired, or was taken back meanwhile.
                    Err(Failure::Refused(_)) => {}
                    Err(Failure::Store(error)) if error.is_of_records() => walked.unreadable += 1,
                    Err(failure) => return Err(failure),
                }
            }
            _ => {}
        }
    }
    Ok(walked)
}

/// The orders of a user, or the one under a number; nothing for one that cannot be read.
async fn orders_of<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    number: Option<&OrderNumber>,
) -> Result<Vec<Option<(OrderNumber, Order)>>, CommitError> {
    if let Some(number) = number {
        let order = look_up(context, user, number).await?;
        return Ok(order.map(|order| Some((number.clone(), order))).into_iter().collect());
    }
    let record = Record::load(context, user).await?;
    let order = |(_, number, value): (u32, OrderNumber, &Value)| {
        Order::decode(value).ok().map(|order| (number, order))
    };
    Ok(record.orders().map(order).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_itself_again() {
        for after in [None, Some(UserId(u64::MAX))] {
            let cursor = Cursor { partition: 7, day: 20_000, bucket: 63, after };
            assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }
        for text in ["", "1", "1.2", "1.2.64", "1.2.3.x", "1.2.3.4.5", "1.2.", "-1.2.3", "1.2.3."] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
