//! Collection: what is over for long enough goes, a day at a time, a page at a time.
//!
//! Users are found by the lists of the days on which something of theirs changed ([`domain::day_lists`]). A call takes the
//! oldest days first. Of each user on a list the rules of coupons, wallets and purchases take away what is over; then the
//! user moves to the list of a later day, on which the first of what is left can go, so that whoever has anything is on
//! a list always. What is over and belongs to no day - withdrawals, packets - stands in due indexes, which are swept.
//!
//! # What a crash leaves, and what comes late
//!
//! 1. What a user's rules do is theirs to make right ([`store::numbers`]): each step is one commit that demands what it saw.
//! 2. A user moves from one list to another in one commit, behind what was collected. A crash before it leaves the user
//!    where they were: collecting again finds less, or nothing.
//! 3. Two calls at once collect the same users: commits of one of them are refused, and both move the user. Where they
//!    saw different things the user stands on two later lists, which is as good.
//! 4. What a user does meanwhile puts them on the list of today, which is no old day.
//! 5. A day leaves the index of days once its lists are empty and everybody's clock says that it is old, so that nobody
//!    moves a user there any more. The commit that takes it out counts its lists, and it is put back where they are not
//!    empty.
//! 6. A user of whom something cannot be read is told (`stuck`), and moves to the list that is next tomorrow: nobody behind
//!    them waits, and they are told every day.

use std::collections::{BTreeMap, BTreeSet};

use domain::answers::{self, unexpected};
use domain::day_lists::{BUCKETS, DayLists, day};
use domain::due::{Stuck, Swept};
use domain::ids::UserId;
use domain::partition::Partition;
use domain::transaction::{Answer, CommitError, Member, Write};
use edge::store::Binding;
use futures::StreamExt as _;
use futures::stream;
use store::Plan;
use store::retention::{Collected, Retention, Terms};

use crate::Books;
use crate::seal::{Sealed, seal};

/// Users of one call where nothing is said.
pub const USERS_DEFAULT: u32 = 1_000;
/// Users who are looked at side by side.
const AT_ONCE: usize = 16;
/// Users of a list who move in one commit: each takes three writes.
const PAGE: u32 = 256;
/// Old days of one partition that a call looks at.
const DAYS_MAX: u32 = 16;

/// What a call took away, or would take away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Whether it only says what would go.
    pub dry_run: bool,
    /// Users who were looked at; one who is on several lists counts on each.
    pub users: u64,
    /// What went, by the name of its kind.
    pub gone: BTreeMap<&'static str, u64>,
    /// Configuration that is over and waits: something of it is out, or was under way a moment ago.
    pub waiting: u64,
    /// Whether another call would find more.
    pub has_more: bool,
    /// What cannot be done for a fault of its own records.
    pub stuck: Vec<Stuck>,
    /// What cannot be done, either, and was set aside by this call.
    pub set_aside: Vec<Stuck>,
    /// The store's failure that kept a part of the call from being done. Then there is more.
    pub interrupted: Option<CommitError>,
}

impl Gone {
    /// Counts what went of something.
    pub(crate) fn add(&mut self, collected: Collected) {
        for (kind, number) in collected.gone {
            *self.gone.entry(kind).or_default() += number;
        }
        self.has_more |= collected.has_more;
    }

    /// Counts what was sealed, and keeps what could not be.
    fn take_sealed(&mut self, sealed: Sealed) {
        for (kind, number) in sealed.counts {
            *self.gone.entry(kind).or_default() += number;
        }
        self.waiting += sealed.waiting;
        self.stuck.extend(sealed.stuck);
        self.set_aside.extend(sealed.set_aside);
        self.has_more |= sealed.has_more;
        sealed.interrupted.into_iter().for_each(|failure| self.interrupt(failure));
    }

    /// Keeps what a sweep could not do, and the store's failure.
    pub(crate) fn take(&mut self, result: Result<(Swept, Collected), CommitError>) {
        match result {
            Ok((Swept { stuck, set_aside, has_more, failure, .. }, collected)) => {
                self.add(collected);
                self.stuck.extend(stuck);
                self.set_aside.extend(set_aside);
                self.has_more |= has_more;
                failure.into_iter().for_each(|failure| self.interrupt(failure));
            }
            Err(error) => self.fail("a sweep", error),
        }
    }

    /// Something could not be done: it is stuck, or the store failed.
    pub(crate) fn fail(&mut self, place: &str, error: CommitError) {
        if error.is_of_records() {
            self.stuck.push(Stuck { place: place.to_owned(), error });
        } else {
            self.interrupt(error);
        }
    }

    fn interrupt(&mut self, failure: CommitError) {
        self.has_more = true;
        self.interrupted.get_or_insert(failure);
    }

    fn is_empty(&self) -> bool {
        self.users == 0
            && self.gone.is_empty()
            && self.stuck.is_empty()
            && self.set_aside.is_empty()
    }
}

/// Whose lists, and so which rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Coupons,
    Wallets,
    Purchases,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Coupons, Self::Wallets, Self::Purchases];

    fn lists(self) -> DayLists {
        match self {
            Self::Coupons => coupons::records::HOLDERS,
            Self::Wallets => wallet::records::CHANGED,
            Self::Purchases => purchases::records::PURCHASERS,
        }
    }
}

/// What is configured and not sealed: of that nothing of users may go that still limits, or can act again.
#[derive(Debug, Default)]
struct Live {
    templates: BTreeSet<String>,
    campaigns: BTreeSet<String>,
    rains: BTreeSet<String>,
    activities: BTreeSet<String>,
}

/// The lists of a day of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OfDay {
    day: i64,
    kind: Kind,
    partition: Partition,
}

/// Collects; or says what would go.
///
/// # Errors
/// The store's, where nothing was done or found.
pub async fn collect<B: Binding>(
    books: &Books<'_, B>,
    retention: Retention,
    dry_run: bool,
    users_max: u32,
) -> Result<Gone, CommitError> {
    let terms = Terms { retention, now: books.wallets.now, dry_run };
    let mut gone = Gone { dry_run, ..Gone::default() };
    // Before anything is collected that goes by what is not sealed.
    match seal(books, &terms).await {
        Ok(sealed) => gone.take_sealed(sealed),
        Err(failure) => gone.interrupt(failure),
    }
    // Without it nobody can tell what of a user's may go; what was sealed is told all the same.
    match live(books).await {
        Ok(live) => Walk { books, terms, live }.days(&mut gone, users_max).await,
        Err(error) => gone.fail("the lists of what is not sealed", error),
    }
    let (context, partitions) = (&books.wallets, books.wallets.partitions.all());
    let partitions: Vec<_> = partitions.collect();
    gone.take(wallet::collect::withdrawals(context, &partitions, &terms).await);
    gone.take(wallet::collect::packets(context, &partitions, &terms).await);
    match gone.interrupted.take() {
        Some(failure) if gone.is_empty() => Err(failure),
        failure => Ok(Gone { interrupted: failure, ..gone }),
    }
}

/// What is configured and not sealed, as it is now: what is published later has nothing that could go yet.
async fn live<B: Binding>(books: &Books<'_, B>) -> Result<Live, CommitError> {
    let Books { wallets, coupons, .. } = books;
    Ok(Live {
        templates: coupons::seal::live(coupons).await?,
        campaigns: coupons::seal::live_campaigns(coupons).await?,
        rains: wallet::seal::live(wallets).await?,
        activities: purchases::activities::live_activities(wallets).await?,
    })
}

/// What a call works with.
struct Walk<'a, 'b, B> {
    books: &'a Books<'b, B>,
    terms: Terms,
    live: Live,
}

impl<B: Binding> Walk<'_, '_, B> {
    /// Takes the oldest days first, until there are none, or enough users were looked at.
    async fn days(&self, gone: &mut Gone, users_max: u32) {
        let mut left = users_max;
        for of_day in self.old_days(gone).await {
            if left == 0 {
                gone.has_more = true;
                return;
            }
            let place = || format!("the lists of day {} in {}", of_day.day, of_day.partition);
            match self.day(of_day, gone, &mut left).await {
                Ok(true) => {}
                Ok(false) => gone.has_more = true,
                Err(error) => gone.fail(&place(), error),
            }
        }
    }

    /// The days of which something may go, the oldest first.
    async fn old_days(&self, gone: &mut Gone) -> Vec<OfDay> {
        let context = &self.books.wallets;
        let until = day(self.terms.numbers_until());
        let of = |kind: Kind| context.partitions.all().map(move |partition| (kind, partition));
        let all: Vec<_> = Kind::ALL.into_iter().flat_map(of).collect();
        let read = |(kind, partition): &(Kind, Partition)| {
            (*partition, kind.lists().days_before(until, DAYS_MAX))
        };
        let answers = context.read_some(all.iter().map(read).collect()).await;
        let mut days = Vec::new();
        for ((kind, partition), answer) in all.into_iter().zip(answers) {
            let place = || format!("the index of days {} in {partition}", kind.lists().0);
            let page = match answer.and_then(|answer| answers::page(Some(&answer)).cloned()) {
                Ok(page) => page,
                Err(error) => {
                    gone.fail(&place(), error);
                    continue;
                }
            };
            gone.has_more |= page.has_more;
            for member in &page.members {
                match DayLists::day_of(member) {
                    Ok(day) => days.push(OfDay { day, kind, partition }),
                    Err(error) => gone.fail(&place(), error),
                }
            }
        }
        days.sort_unstable();
        days
    }

    /// Looks at the users of a day; whether at all of them.
    async fn day(
        &self,
        of_day: OfDay,
        gone: &mut Gone,
        left: &mut u32,
    ) -> Result<bool, CommitError> {
        let OfDay { day, kind, partition } = of_day;
        let (context, lists) = (&self.books.wallets, kind.lists());
        let counts = context.read(partition, lists.counts(day)).await?;
        let mut is_done = true;
        for (bucket, count) in (0..BUCKETS).zip(counts) {
            let mut after = None;
            while count != Answer::Size(0) {
                if *left == 0 {
                    return Ok(false);
                }
                let page = lists.page(day, bucket, after, PAGE.min(*left));
                let answers = context.read(partition, vec![page]).await?;
                let page = answers::page(answers.first())?;
                after = page.members.last().cloned();
                let users = page.members.len() as u32;
                is_done &= self.users(of_day, &page.members, gone).await?;
                *left = left.saturating_sub(users);
                if !page.has_more || after.is_none() {
                    break;
                }
            }
        }
        if is_done && !self.terms.dry_run {
            self.forget(of_day).await?;
        }
        Ok(is_done)
    }

    /// Looks at users of a list, and moves them to the lists of the days on which the first of what they have left can go;
    /// whether all of them are moved.
    async fn users(
        &self,
        of_day: OfDay,
        members: &[Member],
        gone: &mut Gone,
    ) -> Result<bool, CommitError> {
        let OfDay { day: of, kind, partition } = of_day;
        let lists = kind.lists();
        let tomorrow = day(self.terms.numbers_until());
        let collect = async |member: &Member| {
            let user = DayLists::user_of(member);
            let collected = match &user {
                Ok(user) => self.user(kind, *user).await,
                Err(error) => Err(error.clone()),
            };
            (member.clone(), user, collected)
        };
        let mut collecting = stream::iter(members).map(collect).buffered(AT_ONCE);
        let (mut writes, mut all_moved) = (Vec::new(), true);
        while let Some((member, user, collected)) = collecting.next().await {
            gone.users += 1;
            let next = match collected {
                Ok(collected) => {
                    let (next, has_more) = (collected.next, collected.has_more);
                    gone.add(collected);
                    if has_more {
                        all_moved = false;
                        continue;
                    }
                    // Lists of days before `tomorrow` are looked at: on that day this one is.
                    next.map(|next| day(next) - i64::from(self.terms.retention.numbers_days) - 1)
                }
                Err(error) if error.is_of_records() => {
                    let place = user.as_ref().map_or_else(
                        |_| format!("the lists of day {of} in {partition}"),
                        |user| format!("user {user} on the lists {}", lists.0),
                    );
                    gone.fail(&place, error);
                    Some(tomorrow)
                }
                Err(error) => {
                    all_moved = false;
                    gone.fail("", error);
                    continue;
                }
            };
            // What is no user goes from the list, and is told by this call alone.
            let Ok(user) = user else {
                let lists = (0..BUCKETS).map(|bucket| lists.list(of, bucket));
                writes.extend(lists.map(|list| Write::RemoveMember(list, member.clone())));
                continue;
            };
            writes.push(lists.unmark(user, of));
            if let Some(next) = next {
                writes.extend(lists.mark_on(user, next.max(tomorrow)));
            }
        }
        if !self.terms.dry_run && !writes.is_empty() {
            self.books.wallets.write(partition, writes).await?;
        }
        Ok(all_moved)
    }

    /// Takes a day out of the index of days, if nobody is on its lists, nor will be.
    async fn forget(&self, of_day: OfDay) -> Result<(), CommitError> {
        let OfDay { day: of, kind, partition } = of_day;
        if of + 1 >= day(self.terms.numbers_until()) {
            return Ok(());
        }
        let (context, lists) = (&self.books.wallets, kind.lists());
        let is_empty = |counts: &[Answer]| counts.iter().all(|count| *count == Answer::Size(0));
        if !is_empty(&context.read(partition, lists.counts(of)).await?) {
            return Ok(());
        }
        let mut plan = Plan::<()>::new();
        plan.write(lists.forget(of)).read_all(lists.counts(of));
        let counts = context.commit(partition, plan).await?.map_err(|_| unexpected())?;
        if !is_empty(&counts) {
            let [in_index, _] = lists.mark_on(UserId(0), of);
            context.write(partition, [in_index]).await?;
        }
        Ok(())
    }

    /// Takes away what is over of a user's.
    async fn user(&self, kind: Kind, user: UserId) -> Result<Collected, CommitError> {
        let Self { books, terms, live } = self;
        match kind {
            Kind::Coupons => {
                let Live { templates, campaigns, .. } = live;
                coupons::collect::user(&books.coupons, user, terms, templates, campaigns).await
            }
            Kind::Wallets => wallet::collect::user(&books.wallets, user, terms, &live.rains).await,
            Kind::Purchases => {
                purchases::collect::user(&books.wallets, user, terms, &live.activities).await
            }
        }
    }
}
