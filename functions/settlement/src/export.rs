//! What the store holds of a day, before it goes: for whoever keeps it elsewhere.
//!
//! A call goes through the users on the lists of the day, and the due indexes of withdrawals and packets, partition by
//! partition, and stops when it has enough, or has asked the store often enough; the next one goes on behind it. It only
//! reads. A day that was collected has
//! nothing any more, so that it is asked for before. What is changed meanwhile may be there as it was, or as it is.
//!
//! What cannot be read is counted, and keeps nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coupons::orders::Record as Orders;
use coupons::records::{HOLDERS, Order as CouponOrder};
use domain::answers::{self, fields};
use domain::day_lists::{BUCKETS, DayLists, day};
use domain::due::{self, DueIndex};
use domain::ids::UserId;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, MapKey, Member, Range, Read, Value};
use edge::store::Binding;
use purchases::order::{Order as PurchaseOf, find};
use purchases::records::PURCHASERS;
use serde::Serialize;
use store::Seen;
use store::codec::decode;
use wallet::account::Account;
use wallet::entry::{Entry, What};
use wallet::packet;
use wallet::records::{CHANGED, SENT, WITHDRAWALS};
use wallet::statement;
use wallet::token::Token;
use wallet::withdraw::Withdrawal;

use crate::Books;

/// Records after which a call stops.
const RECORDS_MAX: usize = 1_000;
/// Round trips after which a call stops: users on lists may have nothing of the day.
const READS_MAX: u32 = 1_500;
/// Users or records that are read between two looks at how much there is.
const PAGE: u32 = 64;
/// Entries of a user that are read at once.
const ENTRIES: i64 = 1_000;
const DAY_MS: i64 = 86_400_000;

/// A record.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(inline))]
pub struct Exported {
    /// What it is.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("enum" = ["coupon_order", "entry", "purchase", "withdrawal", "packet"])))]
    pub kind: &'static str,
    /// Whose.
    pub user: UserId,
    /// Its number; of an entry its place in the statement, counted from 0.
    pub number: String,
    /// When it was made, or changed last.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "domain::time::UnixMillis"))]
    pub at: String,
    /// What it says, with the names of its members in the store: cents, and unix milliseconds.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(with = "serde_json::Map<String, serde_json::Value>")
    )]
    pub record: serde_json::Value,
}

/// What a call found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Records.
    pub records: Vec<Exported>,
    /// Records that cannot be read: reconciliation names them.
    pub unreadable: u64,
    /// Where the next call goes on.
    pub next: Option<Cursor>,
}

/// What a partition has, in the order in which it is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Coupons,
    Wallets,
    Purchases,
    Withdrawals,
    Packets,
}

impl Part {
    const ALL: [Self; 5] =
        [Self::Coupons, Self::Wallets, Self::Purchases, Self::Withdrawals, Self::Packets];
}

/// Where a call goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    partition: u32,
    part: Part,
    bucket: u64,
    after: Option<Member>,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { partition: 0, part: Part::Coupons, bucket: 0, after: None }
    }
}

impl Cursor {
    /// As a text without meaning for anybody else.
    pub fn text(&self) -> String {
        let Self { partition, part, bucket, after } = self;
        let after = after.as_ref().map_or(String::new(), |after| URL_SAFE_NO_PAD.encode(&after.0));
        format!("{partition}.{}.{bucket}.{after}", *part as u8)
    }

    /// From [`Self::text`].
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let partition = parts.next()?.parse().ok()?;
        let part = *Part::ALL.get(parts.next()?.parse::<usize>().ok()?)?;
        let bucket = parts.next()?.parse().ok().filter(|bucket| *bucket < BUCKETS)?;
        let after = match parts.next()? {
            "" => None,
            after => Some(Member(URL_SAFE_NO_PAD.decode(after).ok()?)),
        };
        parts.next().is_none().then_some(Self { partition, part, bucket, after })
    }
}

/// The records of a day, behind a cursor.
///
/// # Errors
/// The store's.
pub async fn export<B: Binding>(
    books: &Books<'_, B>,
    of: i64,
    cursor: Cursor,
) -> Result<Page, CommitError> {
    let mut export = Export { books, of, page: Page::default(), reads: 0 };
    let Cursor { partition: first, part: mut from, mut bucket, mut after } = cursor;
    for (index, partition) in (0..).zip(books.wallets.partitions.all()).skip(first as usize) {
        for part in Part::ALL.into_iter().filter(|part| *part >= from) {
            let behind = (std::mem::take(&mut bucket), after.take());
            if export.is_enough() {
                let (bucket, after) = behind;
                export.page.next = Some(Cursor { partition: index, part, bucket, after });
                return Ok(export.page);
            }
            if let Some((bucket, after)) = export.part(part, partition, behind).await? {
                let next = Cursor { partition: index, part, bucket, after: Some(after) };
                export.page.next = Some(next);
                return Ok(export.page);
            }
        }
        from = Part::Coupons;
    }
    Ok(export.page)
}

struct Export<'a, 'b, B> {
    books: &'a Books<'b, B>,
    /// The day.
    of: i64,
    page: Page,
    /// Round trips so far.
    reads: u32,
}

impl<B: Binding> Export<'_, '_, B> {
    async fn read(
        &mut self,
        partition: Partition,
        reads: Vec<Read>,
    ) -> Result<Vec<Answer>, CommitError> {
        self.reads += 1;
        self.books.wallets.read(partition, reads).await
    }

    /// Goes through a part of a partition, behind something; where it stopped, if it was not to the end.
    async fn part(
        &mut self,
        part: Part,
        partition: Partition,
        (bucket, after): (u64, Option<Member>),
    ) -> Result<Option<(u64, Member)>, CommitError> {
        match part {
            Part::Coupons => self.lists(part, HOLDERS, partition, bucket, after).await,
            Part::Wallets => self.lists(part, CHANGED, partition, bucket, after).await,
            Part::Purchases => self.lists(part, PURCHASERS, partition, bucket, after).await,
            Part::Withdrawals => self.index(part, WITHDRAWALS, partition, after).await,
            Part::Packets => self.index(part, SENT, partition, after).await,
        }
    }

    fn is_enough(&self) -> bool {
        self.page.records.len() >= RECORDS_MAX || self.reads >= READS_MAX
    }

    /// The users of the day's lists.
    async fn lists(
        &mut self,
        part: Part,
        lists: DayLists,
        partition: Partition,
        first: u64,
        mut after: Option<Member>,
    ) -> Result<Option<(u64, Member)>, CommitError> {
        let counts = self.read(partition, lists.counts(self.of)).await?;
        for (bucket, count) in (0..BUCKETS).zip(counts).skip(first as usize) {
            while count != Answer::Size(0) {
                let read = lists.page(self.of, bucket, after.take(), PAGE);
                let answers = self.read(partition, vec![read]).await?;
                let page = answers::page(answers.first())?;
                for member in &page.members {
                    let result = match DayLists::user_of(member) {
                        Ok(user) => self.user(part, user).await,
                        Err(error) => Err(error),
                    };
                    self.isolate(result)?;
                    if self.is_enough() {
                        return Ok(Some((bucket, member.clone())));
                    }
                }
                after = page.members.last().cloned().filter(|_| page.has_more);
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// What stands in an index under moments of the day.
    async fn index(
        &mut self,
        part: Part,
        index: DueIndex,
        partition: Partition,
        after: Option<Member>,
    ) -> Result<Option<(u64, Member)>, CommitError> {
        let moment = |day: i64| due::member(UnixMillis(day.saturating_mul(DAY_MS)), b"");
        let mut after = after.or_else(|| Some(moment(self.of)));
        let below = Some(moment(self.of + 1));
        loop {
            let range = Range { after, below: below.clone() };
            let read = Read::Page(index.key(), range, PAGE);
            let answers = self.read(partition, vec![read]).await?;
            let page = answers::page(answers.first())?;
            for member in &page.members {
                let result = self.listed(part, partition, member).await;
                self.isolate(result)?;
                if self.is_enough() {
                    return Ok(Some((0, member.clone())));
                }
            }
            after = page.members.last().cloned().filter(|_| page.has_more);
            if after.is_none() {
                return Ok(None);
            }
        }
    }

    /// A record that cannot be read is counted.
    fn isolate(&mut self, result: Result<(), CommitError>) -> Result<(), CommitError> {
        match result {
            Err(error) if error.is_of_records() => {
                self.page.unreadable += 1;
                Ok(())
            }
            result => result,
        }
    }

    /// A moment of the day.
    fn is_of_day(&self, at: i64) -> bool {
        day(UnixMillis(at)) == self.of
    }

    fn add<T: Serialize>(
        &mut self,
        kind: &'static str,
        user: UserId,
        number: impl Into<String>,
        at: i64,
        record: &T,
    ) {
        // No record has anything that JSON could not say.
        let record = serde_json::to_value(record).unwrap_or_default();
        let at = UnixMillis(at).to_rfc3339();
        self.page.records.push(Exported { kind, user, number: number.into(), at, record });
    }

    /// What a user has of the day.
    async fn user(&mut self, part: Part, user: UserId) -> Result<(), CommitError> {
        match part {
            Part::Coupons => self.coupon_orders(user).await,
            Part::Wallets => self.entries(user).await,
            Part::Purchases => self.purchases(user).await,
            Part::Withdrawals | Part::Packets => Ok(()),
        }
    }

    async fn coupon_orders(&mut self, user: UserId) -> Result<(), CommitError> {
        self.reads += 1;
        let found = Orders::load(&self.books.coupons, user).await?;
        for (_, number, value) in found.orders() {
            match CouponOrder::decode(value) {
                Ok(order) if self.is_of_day(order.at) => {
                    self.add("coupon_order", user, number.as_str(), order.at, &order);
                }
                Ok(_) => {}
                Err(_) => self.page.unreadable += 1,
            }
        }
        Ok(())
    }

    /// From the last one on: entries stand in the order of their time.
    async fn entries(&mut self, user: UserId) -> Result<(), CommitError> {
        let context = &self.books.wallets;
        let answers = self.read(context.home(user), vec![Account::read(user)]).await?;
        let account = Account::answered(answers.first())?;
        let mut until = account.sequence;
        while until > account.carried {
            let from = (until - ENTRIES).max(account.carried);
            let mut is_before = false;
            self.reads += 1;
            for (sequence, value) in statement::stored(context, user, from..until).await? {
                let entry = value.as_ref().map(Entry::decode);
                match entry {
                    Some(Ok(entry)) if self.is_of_day(entry.at) => {
                        let record = entry_record(&entry);
                        self.add("entry", user, sequence.to_string(), entry.at, &record);
                    }
                    Some(Ok(entry)) => is_before |= day(UnixMillis(entry.at)) < self.of,
                    Some(Err(_)) | None => self.page.unreadable += 1,
                }
            }
            if is_before {
                break;
            }
            until = from;
        }
        Ok(())
    }

    async fn purchases(&mut self, user: UserId) -> Result<(), CommitError> {
        let context = &self.books.wallets;
        // In front of all numbers of the day.
        let start = UnixMillis(self.of.saturating_mul(DAY_MS));
        let mut after = Some(due::member(start, b""));
        loop {
            let read = purchases::records::page_of_orders(user, after.take());
            let answers = self.read(context.home(user), vec![read]).await?;
            let page = answers::page(answers.first())?;
            for member in &page.members {
                let (begun, number) = match purchases::records::listed_order_of(member) {
                    Ok(listed) => listed,
                    Err(error) => {
                        self.isolate(Err(error))?;
                        continue;
                    }
                };
                if day(begun) > self.of {
                    return Ok(());
                }
                self.reads += 1;
                match find(context, PurchaseOf { user, number: &number }).await {
                    Ok(Seen { record: Some(purchase), .. }) => {
                        self.add("purchase", user, number.as_str(), purchase.at, &purchase);
                    }
                    // It went meanwhile.
                    Ok(Seen { record: None, .. }) => {}
                    Err(error) => self.isolate(Err(error))?,
                }
            }
            after = page.members.last().cloned().filter(|_| page.has_more);
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// The record of an entry of an index.
    async fn listed(
        &mut self,
        part: Part,
        partition: Partition,
        member: &Member,
    ) -> Result<(), CommitError> {
        let due = due::due(member)?;
        let (user, number) = due::user_of(due.what)?;
        let map: fn(UserId) -> MapKey = match part {
            Part::Withdrawals => wallet::records::withdrawals,
            _ => wallet::records::sent,
        };
        let read = Read::Fields(map(user), vec![Field::from(number)]);
        let answers = self.read(partition, vec![read]).await?;
        let value: Option<&Value> = fields(answers.first())?.first().and_then(Option::as_ref);
        // It went meanwhile, where there is none.
        let Some(value) = value else { return Ok(()) };
        match part {
            Part::Withdrawals => {
                let withdrawal = Withdrawal::decode(value)?;
                self.add("withdrawal", user, number, withdrawal.at, &withdrawal);
            }
            _ => {
                let order: packet::Order = decode(value)?;
                self.add("packet", user, number, order.at, &order);
            }
        }
        Ok(())
    }
}

/// An entry, with what a token says.
#[derive(Serialize)]
struct EntryRecord {
    amount: i64,
    what: &'static str,
    order_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scene: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drawn_at: Option<String>,
}

fn entry_record(entry: &Entry) -> EntryRecord {
    let plain = |what, number: &str| EntryRecord {
        amount: entry.amount,
        what,
        order_number: number.to_owned(),
        activity: None,
        scene: None,
        drawn_at: None,
    };
    match &entry.what {
        What::Withdrawal(number) => plain("withdrawal", number),
        What::Voided(number) => plain("voided", number),
        What::Sent(number) => plain("sent", number),
        What::Token(payload) => match Token::from_payload(payload) {
            Ok(token) => EntryRecord {
                activity: Some(token.activity.clone()),
                scene: Some(token.scene.clone()),
                drawn_at: Some(token.open_time.to_rfc3339()),
                ..plain("token", token.order_number.as_str())
            },
            Err(_) => plain("token", ""),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_itself_again() {
        for part in Part::ALL {
            for after in [None, Some(Member(vec![0, 255, b'.']))] {
                let cursor = Cursor { partition: 7, part, bucket: 63, after };
                assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
            }
        }
        for text in ["", "1", "1.2", "1.2.3", "1.5.3.", "1.2.64.", "1.2.3.+", "1.2.3..", "x.0.0."] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
