//! Stocks of coupons, and what users have of them: a template's pool against its leases, a partition's
//! leases against the orders of its users and those that were collected, and each user's counts against their own orders
//! likewise. Orders lie in a user's record and its pages, which are read at one moment. What coupons did not use of a budget
//! likewise: the pool's sum against its counts of partitions, these against those of the partitions, and those against the
//! orders.

use std::collections::{BTreeMap, BTreeSet};

use coupons::context::{BODY, PUBLISHED_VERSION, published};
use coupons::orders::Record;
use coupons::records::{self, DUE, ENDS, GONE, Gave, HOMEWARD, HOMEWARD_AT, Order};
use coupons::settling::{UNUSED_GONE, returned};
use domain::answers::{integer, integers, unexpected};
use domain::due::DueIndex;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Field, Member, READ_FIELDS_MAX, Range, Read, Value,
};
use edge::store::Binding;
use lease::{Lease, UNUSED, UNUSED_IN_ALL, unused};
use store::quarantine;

use super::groups::{self, Missing, Reward};
use super::{FIELDS, LOOKS_MAX, Look, Report, Scope, What, map, value};

/// Users' records that are read at once.
const RECORDS: usize = 64;

/// Entries of an index that are looked up at once, with four reads each.
const ENTRIES: usize = 250;

/// Names of templates.
pub(super) type Templates = BTreeSet<String>;

/// Coupons of a template that users have, or that are held for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Had {
    given: i64,
    held: i64,
    /// Those that were taken back: they count for their users, and for no lease.
    revoked: i64,
    /// Cents that they returned to their budget.
    returned: i64,
}

/// What a partition has of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Of {
    lease: Lease,
    /// Cents that coupons did not use.
    unused: i64,
    /// Coupons that were given here and collected.
    gone: i64,
    /// Cents that those did not use.
    unused_gone: i64,
}

/// An order that stands in an index, as it says itself.
struct Listed {
    user: UserId,
    number: OrderNumber,
    at: UnixMillis,
    order: Value,
}

/// What the users of a partition have.
#[derive(Default)]
struct Holdings {
    had: BTreeMap<String, Had>,
    reservations: Vec<Listed>,
    to_settle: Vec<Listed>,
    rewards: Vec<Reward>,
    missing: Vec<Missing>,
}

/// The templates there are.
///
/// # Errors
/// The store's.
pub(super) async fn templates<B: Binding>(
    look: &Look<'_, '_, B>,
) -> Result<Templates, CommitError> {
    let home = records::home_of_list(look.context.partitions);
    let page =
        |after| Read::Page(records::templates(), Range { after, below: None }, READ_FIELDS_MAX);
    let id = |Member(id): &Member| String::from_utf8_lossy(id).into_owned();
    Ok(look.members(home, None, page).await?.iter().map(id).collect())
}

/// Looks at the pools of some templates: what is free and what was leased out are the stock, and what the budget allows
/// beyond it.
///
/// # Errors
/// The store's.
pub(super) async fn check_pools<B: Binding>(
    look: &Look<'_, '_, B>,
    index: u32,
    templates: &Templates,
    report: &mut Report,
) -> Result<(), CommitError> {
    for id in templates.iter().filter(|id| look.is_with(index, id)) {
        let result = check_pool(look, id, report).await;
        report.isolate(|| format!("template {id}"), result)?;
    }
    Ok(())
}

async fn check_pool<B: Binding>(
    look: &Look<'_, '_, B>,
    id: &str,
    report: &mut Report,
) -> Result<(), CommitError> {
    let home = records::home_of_pool(look.context.partitions, id);
    let own = [BODY, PUBLISHED_VERSION, UNUSED_IN_ALL].map(Field::from);
    let counts = look.context.partitions.all().map(unused);
    let own = own.into_iter().chain(counts).collect();
    let (own, units) = look.pool(home, &records::pool(id), own).await?;
    let counts = own.iter().skip(2).map(|count| integer(count.as_ref()));
    let counts = counts.collect::<Result<Vec<_>, _>>()?;
    let (in_all, counts) = counts.split_first().ok_or_else(unexpected)?;
    let Some((_, template)) = published(Some(&Answer::Fields(own)))? else {
        let publication = records::publication(look.context.partitions, id);
        return look.demand_sealed(&publication.sealing()).await;
    };
    if template.is_counted() {
        report.add(What::StockDiffers, id, template.leasable(*in_all), units);
    }
    report.add(What::UnusedDiffers, id, counts.iter().sum(), *in_all);
    Ok(())
}

/// Looks at a partition: at each user; and, where all of them are looked at, at what they have together.
/// That lies in many records, so that it is looked at again where anything moved meanwhile; and once more
/// before a difference is told, because something may have moved there and back.
///
/// Of a template that is sealed users may still have orders, while its leases go. It was sealed before the first of them went,
/// so that whoever misses one finds the seal afterwards, and does not compare it.
///
/// # Errors
/// The store's.
pub(super) async fn check<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    templates: &Templates,
    report: &mut Report,
) -> Result<(), CommitError> {
    if look.scope == Scope::Recent {
        let days = look.days(partition, records::HOLDERS).await?;
        match look.everybody(partition, records::HOLDERS, &days).await? {
            Some(users) => drop(check_users(look, partition, &users, report).await?),
            None => report.unsettled += 1,
        }
        return Ok(());
    }
    let mut templates = templates.clone();
    let mut last = BTreeMap::new();
    for attempt in 0..LOOKS_MAX {
        let before = leases(look, partition, &templates).await?;
        let days = look.days(partition, records::HOLDERS).await?;
        let Some(users) = look.everybody(partition, records::HOLDERS, &days).await? else { break };
        let holdings = match attempt {
            0 => check_users(look, partition, &users, report).await?,
            // What users' own records say was told by the first look.
            _ => holdings(look, partition, &users, &mut Report::default()).await?,
        };
        // What no user has was read in one moment.
        let is_still = users.is_empty() || leases(look, partition, &templates).await? == before;
        let mut new = Vec::new();
        for id in holdings.had.keys().filter(|id| !templates.contains(*id)) {
            if !is_sealed(look, id).await? {
                new.push(id.clone());
            }
        }
        let is_still = is_still && new.is_empty();
        templates.extend(new);
        let differs = |(id, of): (&String, &Of)| {
            let mut had = holdings.had.get(id).copied().unwrap_or_default();
            had.given += of.gone;
            had.returned += of.unused_gone;
            let (given, held, returned) = (of.lease.issued(), of.lease.held, of.unused);
            let of_lease = Had { given, held, returned, ..had };
            (had != of_lease).then_some((id.clone(), (had, of_lease)))
        };
        let mut differences = BTreeMap::new();
        for (id, difference) in before.iter().filter_map(differs) {
            if !is_sealed(look, &id).await? {
                differences.insert(id, difference);
            }
        }
        if is_still && (differences.is_empty() || differences == last) {
            for (id, (had, of_lease)) in differences {
                let place = format!("{id}/{partition}");
                report.add(What::IssuedDiffers, &place, had.given, of_lease.given);
                report.add(What::ReservedDiffers, &place, had.held, of_lease.held);
                report.add(What::ReturnedDiffers, &place, had.returned, of_lease.returned);
            }
            for (id, _) in before.iter().filter(|(_, of)| of.unused > 0) {
                if !is_sealed(look, id).await? {
                    check_home(look, partition, id, report).await?;
                }
            }
            return Ok(());
        }
        last = differences;
    }
    report.unsettled += 1;
    Ok(())
}

/// Whether a template is sealed. What was found once is remembered.
async fn is_sealed<B: Binding>(look: &Look<'_, '_, B>, id: &str) -> Result<bool, CommitError> {
    if look.sealed.borrow().contains(id) {
        return Ok(true);
    }
    let place = records::publication(look.context.partitions, id).sealing();
    let is_sealed = look.is_sealed(&place).await?;
    if is_sealed {
        look.sealed.borrow_mut().insert(id.to_owned());
    }
    Ok(is_sealed)
}

async fn check_users<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    users: &[UserId],
    report: &mut Report,
) -> Result<Holdings, CommitError> {
    report.users += users.len() as u64;
    let holdings = holdings(look, partition, users, report).await?;
    let reservations = (ENDS, &holdings.reservations, What::ReservationUnlisted);
    let to_settle = (DUE, &holdings.to_settle, What::CouponUnlisted);
    for (index, listed, what) in [reservations, to_settle] {
        check_listed(look, partition, index, listed, what, report).await?;
    }
    groups::check_rewards(look, partition, &holdings.rewards, report).await?;
    groups::check_missing(look, partition, &holdings.missing, report).await?;
    Ok(holdings)
}

/// What a partition has of each template.
async fn leases<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    templates: &Templates,
) -> Result<BTreeMap<String, Of>, CommitError> {
    let of = |id: &String| {
        let record = records::lease(id);
        let beside = [UNUSED, GONE, UNUSED_GONE].map(Field::from).to_vec();
        [Lease::read(record.clone()), Read::Fields(record, beside)]
    };
    let reads: Vec<_> = templates.iter().flat_map(of).collect();
    let mut answers = Vec::new();
    for part in reads.chunks(FIELDS) {
        answers.extend(look.read(partition, part.to_vec()).await?);
    }
    let of = |(id, answers): (&String, &[Answer])| -> Result<_, CommitError> {
        let [unused, gone, unused_gone] = integers(answers.get(1))?;
        let lease = Lease::answered(answers.first())?;
        Ok((id.clone(), Of { lease, unused, gone, unused_gone }))
    };
    templates.iter().zip(answers.chunks(2)).map(of).collect()
}

/// Whether the pool of a template knows what coupons of a partition did not use, or will. Of the pool's count and the
/// partition's each only grows, and the pool's follows: whatever is read first is not ahead.
async fn check_home<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    id: &str,
    report: &mut Report,
) -> Result<(), CommitError> {
    let home = records::home_of_pool(look.context.partitions, id);
    let read_pool = || Read::Fields(records::pool(id), vec![unused(partition)]);
    let of_pool = look.read(home, vec![read_pool()]).await?;
    let [of_pool] = integers(of_pool.first())?;
    let mut reads = vec![
        Read::Fields(records::lease(id), vec![UNUSED.into()]),
        HOMEWARD.has(HOMEWARD_AT, id.as_bytes()),
    ];
    reads.extend(quarantine::has(HOMEWARD, HOMEWARD_AT, id.as_bytes()));
    let answers = look.read(partition, reads).await?;
    let [counted] = integers(answers.first())?;
    let place = format!("{id}/{partition}");
    if of_pool > counted {
        report.add(What::UnusedAhead, place, counted, of_pool);
    } else if of_pool < counted && !answers.contains(&Answer::Contains(true)) {
        // It may have come home in between.
        let of_pool = look.read(home, vec![read_pool()]).await?;
        let [of_pool] = integers(of_pool.first())?;
        if of_pool < counted {
            report.add(What::NotHome, place, counted, of_pool);
        }
    }
    Ok(())
}

async fn holdings<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    users: &[UserId],
    report: &mut Report,
) -> Result<Holdings, CommitError> {
    let mut holdings = Holdings::default();
    for users in users.chunks(RECORDS) {
        let read = |user: &UserId| reads_of(*user, 0);
        let answers = look.read(partition, users.iter().flat_map(read).collect()).await?;
        let mut answers = answers.into_iter();
        for user in users {
            // Both are taken, also where the first of them cannot be read.
            let own: Vec<_> = answers.by_ref().take(2).collect();
            let (mut kept, mut looks) = (Kept::answered(*user, own), 1);
            // Whoever has pages is looked at once more, together with them.
            while let Ok(Kept { record, .. }) = &kept
                && let Ok(pages) = record.page_count()
                && pages as usize != record.pages.len()
                && looks < LOOKS_MAX
            {
                let answers = look.read(partition, reads_of(*user, pages)).await?;
                (kept, looks) = (Kept::answered(*user, answers), looks + 1);
            }
            match kept {
                Ok(kept) if kept.is_whole() => add_user(&kept, &mut holdings, report),
                Ok(kept) if kept.record.page_count().is_ok() => report.unsettled += 1,
                _ => report.broken(What::RecordUnreadable, user.to_string()),
            }
        }
    }
    Ok(holdings)
}

/// What is kept of a user, at one moment.
struct Kept {
    record: Record,
    /// How many coupons were collected, by template.
    collected: Vec<(Field, Value)>,
}

/// Reads it, with so many pages.
fn reads_of(user: UserId, pages: u32) -> Vec<Read> {
    let mut reads = vec![Read::All(records::collected(user), READ_FIELDS_MAX)];
    reads.extend(Record::reads(user, pages));
    reads
}

impl Kept {
    /// The answers to [`reads_of`].
    fn answered(
        user: UserId,
        answers: impl IntoIterator<Item = Answer>,
    ) -> Result<Self, CommitError> {
        let mut answers = answers.into_iter();
        let collected = map(answers.next().as_ref())?.to_vec();
        Ok(Self { record: Record::answered(user, answers)?, collected })
    }

    fn is_whole(&self) -> bool {
        self.record.page_count().is_ok_and(|pages| pages as usize == self.record.pages.len())
    }
}

/// How many coupons a user got, by template, and how many of them were collected. What is no number is told.
fn counts(kept: &Kept, report: &mut Report) -> BTreeMap<String, (i64, i64)> {
    let user = kept.record.user;
    let mut counts = BTreeMap::<String, (i64, i64)>::new();
    let had = kept.record.fields.iter();
    let had = had.filter_map(|(field, value)| Some((records::counted(field)?.to_owned(), value)));
    for (template, value) in had {
        match integer(Some(value)) {
            Ok(count) => counts.entry(template).or_default().0 = count,
            Err(_) => report.broken(What::RecordUnreadable, format!("{user}/{template}")),
        }
    }
    for (Field(template), value) in &kept.collected {
        let template = String::from_utf8_lossy(template).into_owned();
        match integer(Some(value)) {
            Ok(count) => counts.entry(template).or_default().1 = count,
            Err(_) => report.broken(What::RecordUnreadable, format!("{user}/{template}")),
        }
    }
    counts
}

/// Adds what a user has, and compares the user's counts with it.
fn add_user(kept: &Kept, holdings: &mut Holdings, report: &mut Report) {
    let user = kept.record.user;
    let (rewards, missing) = groups::check(&kept.record, report);
    holdings.rewards.extend(rewards);
    holdings.missing.extend(missing);
    let mut counts = counts(kept, report);
    let mut had = BTreeMap::<String, Had>::new();
    for (_, number, value) in kept.record.orders() {
        let Ok(order) = Order::decode(value) else {
            report.broken(What::OrderBroken, format!("{user}/{number}"));
            continue;
        };
        match &order.gave {
            Gave::Issued(coupon) | Gave::Fallback(coupon) => {
                let had = had.entry(coupon.template.clone()).or_default();
                had.given += 1;
                had.returned += returned(&order);
            }
            Gave::Reserved(coupon, until) => {
                had.entry(coupon.template.clone()).or_default().held += 1;
                let (at, order) = (UnixMillis(*until), value.clone());
                holdings.reservations.push(Listed { user, number, at, order });
                continue;
            }
            Gave::Revoked(coupon, _) => {
                had.entry(coupon.template.clone()).or_default().revoked += 1;
            }
            Gave::Greeting(_) | Gave::Cancelled | Gave::Expired => {}
        }
        if let Some(at) = records::settles_at(&order) {
            holdings.to_settle.push(Listed { user, number, at, order: value.clone() });
        }
    }
    for (template, Had { given, held, revoked, returned }) in had {
        let (count, collected) = counts.remove(&template).unwrap_or_default();
        let all = given + held + revoked + collected;
        report.add(What::CouponCountDiffers, format!("{user}/{template}"), all, count);
        let of_all = holdings.had.entry(template).or_default();
        of_all.given += given;
        of_all.held += held;
        of_all.revoked += revoked;
        of_all.returned += returned;
    }
    for (template, (count, collected)) in counts {
        report.add(What::CouponCountDiffers, format!("{user}/{template}"), collected, count);
    }
}

/// Whether each order is found under its moment, or is set aside or dropped. One that has changed meanwhile is another
/// one.
async fn check_listed<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    index: DueIndex,
    listed: &[Listed],
    what: What,
    report: &mut Report,
) -> Result<(), CommitError> {
    for some in listed.chunks(ENTRIES) {
        let reads = some.iter().flat_map(|Listed { user, number, at, .. }| {
            let entry = records::end(*user, number);
            let [aside, dropped] = quarantine::has(index, *at, &entry);
            let order = Read::Fields(records::user(*user), vec![records::order(number)]);
            [order, index.has(*at, &entry), aside, dropped]
        });
        let answers = look.read(partition, reads.collect()).await?;
        for (one, answers) in some.iter().zip(answers.chunks(4)) {
            let is_same = value(answers.first())? == Some(&one.order);
            if is_same && !answers.contains(&Answer::Contains(true)) {
                report.broken(what, format!("{}/{}", one.user, one.number));
            }
        }
    }
    Ok(())
}
