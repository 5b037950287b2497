//! What the books say of each other. Nothing is repaired here: each difference comes with its place and
//! what to do about it.
//!
//! - [`partition`]: accounts that no user has, budgets of rains, and packets, a partition at a time
//! - [`user`]: what one user's records say of each other
//!
//! A call looks at a bounded part; its cursor says where the next one goes on. Records that change while
//! they are looked at are looked at again, so that traffic is no difference.

use domain::answers::unexpected;
use domain::partition::Partition;
use domain::transaction::{Answer, CommitError, Read};
use edge::store::Binding;
use wallet::context::Context;
use wallet::keys::{SigningKeys, VerifyingKeys};
use wallet::records;

pub mod partition;
pub mod user;

/// Users that one call looks at before it gives a cursor.
const USERS_MAX: u64 = 500;
/// Lists of users that one call looks at: most of a small site's are empty.
const LISTS_MAX: u32 = 4_096;
/// Days that one partition knows.
const DAYS_MAX: u32 = 1_024;
/// Users of a list that can be read at once.
const LIST_USERS_MAX: u32 = 1_024;

/// How much to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Users whose wallet changed today or yesterday.
    Recent,
    /// All users there ever were.
    Full,
}

/// Where a call goes on: in which partition, after which day's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    partition: u32,
    after: Option<(i64, u64)>,
}

impl Cursor {
    /// Reads a cursor.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let partition = parts.next()?.parse().ok()?;
        let after = match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) => None,
            (Some(day), Some(bucket), None) => Some((day.parse().ok()?, bucket.parse().ok()?)),
            _ => return None,
        };
        Some(Self { partition, after })
    }

    /// As the client gets it.
    pub fn text(&self) -> String {
        match self.after {
            None => self.partition.to_string(),
            Some((day, bucket)) => format!("{}.{day}.{bucket}", self.partition),
        }
    }
}

/// Two books that do not agree, or something that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The accounts of a partition do not add up to zero.
    AccountsUnbalanced,
    /// A rain's pool has another number of cents than were never leased out.
    PoolDiffers,
    /// In a partition, what was given of a rain is not what is pending and posted of it.
    BudgetDiffers,
    /// Parts and openings of a packet are not what was sent.
    PacketDiffers,
    /// Somebody opened a packet and has no token for it.
    OpeningUnpaid,
    /// A user's balance is not the sum of the entries.
    BalanceDiffers,
    /// A user's income is not that of the entries.
    IncomeDiffers,
    /// What is held is not what withdrawals hold.
    HeldDiffers,
    /// What left is not what withdrawals took.
    WithdrawnDiffers,
    /// An entry is missing or cannot be read.
    EntryBroken,
    /// An entry's order number is not marked as posted by it.
    PostedMarkDiffers,
    /// A withdrawal of an entry is missing, or of another amount.
    WithdrawalDiffers,
    /// A token cannot be read.
    TokenUnreadable,
    /// A token's signature is not right.
    TokenForged,
    /// A token is pending and posted.
    TokenTwice,
    /// A user has pending tokens and is not queued.
    NotQueued,
}

impl What {
    /// Its stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::AccountsUnbalanced => "accounts_unbalanced",
            Self::PoolDiffers => "pool_differs",
            Self::BudgetDiffers => "budget_differs",
            Self::PacketDiffers => "packet_differs",
            Self::OpeningUnpaid => "opening_unpaid",
            Self::BalanceDiffers => "balance_differs",
            Self::IncomeDiffers => "income_differs",
            Self::HeldDiffers => "held_differs",
            Self::WithdrawnDiffers => "withdrawn_differs",
            Self::EntryBroken => "entry_broken",
            Self::PostedMarkDiffers => "posted_mark_differs",
            Self::WithdrawalDiffers => "withdrawal_differs",
            Self::TokenUnreadable => "token_unreadable",
            Self::TokenForged => "token_forged",
            Self::TokenTwice => "token_twice",
            Self::NotQueued => "not_queued",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::AccountsUnbalanced => {
                "stop posting; compare the accounts with the entries of the partition's users"
            }
            Self::PoolDiffers => {
                "stop the rain; compare the pool with the leases, and publish the right budget"
            }
            Self::BudgetDiffers => {
                "tokens were lost or came from elsewhere: ask clients to send theirs"
            }
            Self::PacketDiffers => "close the packet; pay the sender what is missing",
            Self::OpeningUnpaid => "have the user open the packet again, which pays",
            Self::BalanceDiffers | Self::IncomeDiffers => {
                "the entries count: correct the account, and find out who wrote it"
            }
            Self::HeldDiffers | Self::WithdrawnDiffers | Self::WithdrawalDiffers => {
                "compare with the payment provider; void or post the withdrawal"
            }
            Self::EntryBroken => "restore the entry from a backup",
            Self::PostedMarkDiffers => {
                "mark the number as posted by its entry before anybody posts it again"
            }
            Self::TokenUnreadable | Self::TokenForged => {
                "remove the token; the client's copy restores it if there is a right one"
            }
            Self::TokenTwice => "post the user, which drops the copy",
            Self::NotQueued => "post the user",
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
    /// Users that it looked at; one who is on two lists counts twice.
    pub users: u64,
    /// Packets that it looked at.
    pub packets: u64,
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
}

/// What every look needs.
struct Look<'a, 'b, B> {
    context: &'a Context<'b, B>,
    stage: &'a str,
    keys: &'a VerifyingKeys,
}

/// Looks at a part of the books.
///
/// # Errors
/// The store's.
pub async fn reconcile<B: Binding>(
    context: &Context<'_, B>,
    stage: &str,
    keys: &SigningKeys,
    scope: Scope,
    cursor: Cursor,
) -> Result<Report, CommitError> {
    // Whether a token of the store is to be believed does not depend on when its key ends.
    let keys = VerifyingKeys::parse(&keys.verifying_text(), true).map_err(|_| unexpected())?;
    let look = Look { context, stage, keys: &keys };
    let mut report = Report::default();
    let rains = partition::rains(&look).await?;
    let mut lists = 0;
    let mut after = cursor.after;
    for (index, partition) in (0..).zip(context.partitions.all()).skip(cursor.partition as usize) {
        if index == 0 && after.is_none() {
            partition::pools(&look, &rains, &mut report).await?;
        }
        if after.is_none() {
            partition::check(&look, partition, &rains, &mut report).await?;
        }
        for (day, bucket) in lists_of(context, partition, scope).await? {
            if after.is_some_and(|after| (day, bucket) <= after) {
                continue;
            }
            check_list(&look, partition, day, bucket, &mut report).await?;
            lists += 1;
            if report.users >= USERS_MAX || lists >= LISTS_MAX {
                report.next = Some(Cursor { partition: index, after: Some((day, bucket)) });
                return Ok(report);
            }
        }
        after = None;
        if report.users >= USERS_MAX && index + 1 < context.partitions.count() {
            report.next = Some(Cursor { partition: index + 1, after: None });
            return Ok(report);
        }
    }
    Ok(report)
}

/// The lists of users of a partition that are to be looked at, and are not empty, in order.
async fn lists_of<B: Binding>(
    context: &Context<'_, B>,
    partition: Partition,
    scope: Scope,
) -> Result<Vec<(i64, u64)>, CommitError> {
    let answers = context.read(partition, vec![Read::Some(records::days(), DAYS_MAX)]).await?;
    let Some(Answer::Map(fields)) = answers.first() else { return Err(unexpected()) };
    let mut days = Vec::new();
    for (field, _) in fields {
        let text = std::str::from_utf8(&field.0).map_err(|_| unexpected())?;
        days.push(text.parse::<i64>().map_err(|_| unexpected())?);
    }
    let today = records::day(context.now);
    days.retain(|day| scope == Scope::Full || *day >= today - 1);
    days.sort_unstable();
    let mut lists = Vec::new();
    for day in days {
        let size = |bucket| Read::Size(records::changed(day, bucket));
        let answers = context.read(partition, (0..records::BUCKETS).map(size).collect()).await?;
        let found = (0..).zip(answers).filter(|(_, size)| *size != Answer::Size(0));
        lists.extend(found.map(|(bucket, _)| (day, bucket)));
    }
    Ok(lists)
}

async fn check_list<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    day: i64,
    bucket: u64,
    report: &mut Report,
) -> Result<(), CommitError> {
    let read = Read::Some(records::changed(day, bucket), LIST_USERS_MAX);
    let answers = look.context.read(partition, vec![read]).await?;
    let Some(Answer::Map(users)) = answers.first() else { return Err(unexpected()) };
    for (field, _) in users {
        user::check(look, records::user_of(field).ok_or_else(unexpected)?, report).await?;
        report.users += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_itself_again() {
        for after in [None, Some((20_000, 63))] {
            let cursor = Cursor { partition: 7, after };
            assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }
        for text in ["", "x", "1.2", "1.2.3.4", "-1"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
