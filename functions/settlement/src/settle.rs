//! One call's work, bounded: whoever calls again goes on with what is left.
//!
//! One wave over the partitions finds where something waits, how much and since when. What waits longest is done
//! first, in whatever partition it is. What cannot be done for a fault of its own records is named in the answer,
//! and stops nothing else. What a call leaves is counted.
//!
//! A schedule calls it, or a message on a channel. A call is bounded by a number of users. Its answer counts what
//! is left of every kind of work, names what it cannot do (`stuck_items`), and says whether the store failed it on
//! the way (`interrupted`). It sweeps coupons too, and takes back the leases of rains and templates that are over.

use std::collections::{BTreeMap, BTreeSet};

use coupons::chance::REWARDS;
use coupons::settling::{bring_home, bring_template, settle_due};
use coupons::{expiry, group_buy, records as coupon};
use domain::answers::{self, unexpected};
use domain::due::{self, Due, DueIndex, Stuck, Swept};
use domain::ids::UserId;
use domain::partition::Partition;
use domain::time::{GRACE_MS, UnixMillis};
use domain::transaction::{
    Answer, CommitError, Member, Outcome, READ_FIELDS_MAX, Range, Read, Transaction,
};
use edge::store::{Binding, random};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lease::{Place, World, call_back_all, is_all_home};
use store::Plan;
use store::listing;
use store::published::{Configuration, Publication};
use store::quarantine::{self, SetAside};
use store::sweep::Sweep;
use wallet::context::Context;
use wallet::mode::{self, Mode};
use wallet::packet;
use wallet::pending;
use wallet::posting;
use wallet::rain;
use wallet::records;
use wallet::withdraw;

use crate::Books;

/// Users of one call.
pub const USERS_MAX: u32 = 10_000;
/// Users of one call where nothing is said.
pub const USERS_DEFAULT: u32 = 1_000;
/// Users whose tokens are posted at once.
const AT_ONCE: usize = 16;
/// Pages of queues that one call reads one after the other: users of whom it has seen tokens are passed over.
const PAGES_MAX: u32 = 64;
/// Rains and templates whose leases one call takes back, of each.
const BUDGETS_MAX: u64 = 4;
/// Those that one call passes over.
const PASSED_OVER_MAX: u64 = 1_024;
/// When those are due again of which something is held, at the earliest and at the latest.
const AGAIN_MS_MIN: i64 = 60_000;
const AGAIN_MS_MAX: i64 = 86_400_000;
/// Queues that are looked at, also where fewer users may be posted: at the head of some stands who cannot be.
const QUEUES_MIN: usize = 64;
/// Partitions whose coupons are swept at once.
const WAVE: usize = 64;

/// What a call did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Users whose tokens were posted.
    pub users: u64,
    /// Tokens that were posted.
    pub tokens: u64,
    /// Tokens that are still queued, whether they are posted now or not.
    pub queued: u64,
    /// Items that another call would look at, of every kind; without those that cannot be done.
    pub left: u64,
    /// Group packets that were sent and are now there for certain.
    pub sent: u64,
    /// Openings and refunds of group packets that are now paid for certain.
    pub paid: u64,
    /// Group packets that expired and are closed now.
    pub closed: u64,
    /// Withdrawals that were voided because their time was over.
    pub withdrawals: u64,
    /// Reservations of coupons that expired and were ended.
    pub reservations: u64,
    /// Rewards of group-buys that were given.
    pub rewards: u64,
    /// Coupons with which nothing can be done any more, and of which is known what they did not use.
    pub coupons: u64,
    /// Templates of which something went home from a partition, each for itself.
    pub home: u64,
    /// Rains whose leases were taken back.
    pub rains: u64,
    /// Templates whose leases were taken back.
    pub templates: u64,
    /// What cannot be done for a fault of its own records.
    pub stuck: Vec<Stuck>,
    /// What cannot be done, either, and was set aside by this call.
    pub set_aside: Vec<Stuck>,
    /// Items that are set aside, by this call or before.
    pub quarantined: u64,
    /// How many of them in the partitions of the lists of rains and templates.
    quarantined_of_lists: BTreeMap<Partition, u64>,
    /// The store's failure that kept a part of the call from being done. Then `left` is at least 1.
    pub interrupted: Option<CommitError>,
}

impl Settled {
    /// Whether anything was done.
    fn has_done(&self) -> bool {
        let done = [
            self.users,
            self.tokens,
            self.sent,
            self.paid,
            self.closed,
            self.withdrawals,
            self.reservations,
            self.rewards,
            self.coupons,
            self.home,
            self.rains,
            self.templates,
        ];
        done.iter().any(|count| *count > 0) || !self.set_aside.is_empty()
    }

    /// Keeps what a sweep could not do, and the store's failure; what it did.
    fn take(&mut self, result: Result<Swept, CommitError>) -> Taken {
        match result {
            Ok(Swept { done, stuck, set_aside, has_more, failure }) => {
                let taken = Taken { done, stuck: stuck.len() as u64, has_more };
                self.stuck.extend(stuck);
                self.set_aside.extend(set_aside);
                failure.into_iter().for_each(|failure| self.interrupt(failure));
                taken
            }
            Err(failure) => {
                self.interrupt(failure);
                Taken { done: 0, stuck: 0, has_more: true }
            }
        }
    }

    /// The store kept something from being done.
    fn interrupt(&mut self, failure: CommitError) {
        self.interrupted.get_or_insert(failure);
    }
}

/// What a sweep did, in numbers.
struct Taken {
    done: u64,
    stuck: u64,
    has_more: bool,
}

/// Items that cannot be done, by kind.
#[derive(Default)]
struct StuckCounts {
    tokens: u64,
    packets: u64,
    withdrawals: u64,
    reservations: u64,
    rewards: u64,
    coupons: u64,
    home: u64,
}

/// Settles.
///
/// # Errors
/// The store's, where nothing was done or found; what was done stays so.
pub async fn settle<B: Binding>(
    books: &Books<'_, B>,
    users_max: u32,
) -> Result<Settled, CommitError> {
    let context = &books.wallets;
    let (mut settled, mut stuck) = (Settled::default(), StuckCounts::default());
    // What fails does not keep the rest.
    let mut waiting = look(context, &mut settled).await;
    // First, because they give users tokens.
    finish_packets(books, &waiting, &mut settled, &mut stuck).await;
    void_withdrawals(context, &waiting, &mut settled, &mut stuck).await;
    if settled.has_done() {
        waiting = look(context, &mut settled).await;
    }
    let is_off = match mode::read(context).await {
        Ok(switches) => switches.mode == Mode::Off,
        Err(failure) => {
            settled.interrupt(failure);
            true
        }
    };
    if !is_off {
        stuck.tokens = post(context, &waiting, users_max, &mut settled).await;
    }
    let rewards_left =
        sweep_coupons(&books.coupons, &waiting, users_max, &mut settled, &mut stuck).await;
    let over = take_back_rains(context, &mut settled).await
        + take_back_templates(&books.coupons, &mut settled).await;
    if settled.has_done() {
        waiting = look(context, &mut settled).await;
    } else if settled.stuck.is_empty()
        && let Some(failure) = settled.interrupted
    {
        return Err(failure);
    }
    let sum = |of: fn(&Waiting) -> u64| waiting.iter().map(of).sum::<u64>();
    settled.queued = sum(|one| one.queued);
    settled.quarantined =
        sum(|one| one.quarantined) + settled.quarantined_of_lists.values().sum::<u64>();
    settled.left = over
        + sum(|one| one.packets).saturating_sub(stuck.packets)
        + sum(|one| one.withdrawals).saturating_sub(stuck.withdrawals)
        + sum(|one| one.reservations).saturating_sub(stuck.reservations)
        + sum(|one| one.coupons).saturating_sub(stuck.coupons)
        + sum(|one| one.home).saturating_sub(stuck.home);
    if rewards_left {
        // Else those that are due are such whose template refuses: another call would find the same.
        settled.left += sum(|one| one.rewards).saturating_sub(stuck.rewards);
    }
    if !is_off {
        settled.left += settled.queued.saturating_sub(stuck.tokens);
    }
    settled.left = settled.left.max(u64::from(settled.interrupted.is_some()));
    Ok(settled)
}

/// What waits in a partition.
struct Waiting {
    partition: Partition,
    /// Tokens that are not posted.
    queued: u64,
    /// When the oldest of them was drawn.
    since: Option<UnixMillis>,
    /// Packets that are on their way, owed, or to be closed.
    packets: u64,
    /// Pending withdrawals whose time is over.
    withdrawals: u64,
    /// Reservations that have expired.
    reservations: u64,
    /// Rewards that are due.
    rewards: u64,
    /// Coupons to settle.
    coupons: u64,
    /// Templates of which something is to go home.
    home: u64,
    /// Items that are set aside.
    quarantined: u64,
}

/// One wave finds what waits, and where; where the store fails nothing is done in this call.
async fn look<B: Binding>(context: &Context<'_, B>, settled: &mut Settled) -> Vec<Waiting> {
    let all = |index: DueIndex| Read::Count(index.key(), Range::default());
    let look = |one: Partition| {
        let reads = vec![
            records::QUEUE.page_of_all(None, 1),
            all(records::QUEUE),
            all(records::UNSENT),
            all(records::OWED),
            records::ENDS.count(context.now),
            records::WITHDRAWAL_ENDS.count(context.now),
            coupon::ENDS.count(context.now),
            all(REWARDS),
            coupon::DUE.count(context.now),
            all(coupon::HOMEWARD),
            quarantine::count(),
        ];
        (one, Transaction { reads, ..Transaction::default() })
    };
    let wave: Vec<_> = context.partitions.all().map(look).collect();
    let mut waiting = Vec::new();
    for ((partition, _), outcome) in wave.iter().zip(context.store.commit_some(&wave).await) {
        let found = match outcome {
            Ok(Outcome::Committed(answers)) => found(*partition, &answers),
            Ok(Outcome::Refused(_)) => Err(unexpected()),
            Err(error) => Err(error),
        };
        match found {
            Ok(one) => waiting.push(one),
            Err(error) if error.is_of_records() => {
                let place = format!("the indexes of {partition}");
                // A call looks more than once.
                if !settled.stuck.iter().any(|one| one.place == place) {
                    settled.stuck.push(Stuck { place, error });
                }
            }
            Err(failure) => settled.interrupt(failure),
        }
    }
    waiting
}

/// What one partition answered.
fn found(partition: Partition, answers: &[Answer]) -> Result<Waiting, CommitError> {
    let [first, counts @ ..] = answers else { return Err(unexpected()) };
    let oldest = answers::page(Some(first))?.members.first();
    // One that cannot be read is named when its turn comes, which is now.
    let since = oldest.map(|oldest| due::due(oldest).map_or(UnixMillis(i64::MIN), |due| due.at));
    let count = |answer: &Answer| match answer {
        Answer::Size(size) => Ok(*size),
        _ => Err(unexpected()),
    };
    let counts = counts.iter().map(count).collect::<Result<Vec<_>, _>>()?;
    let [
        queued,
        unsent,
        owed,
        ends,
        withdrawals,
        reservations,
        rewards,
        coupons,
        home,
        quarantined,
    ] = counts[..]
    else {
        return Err(unexpected());
    };
    let packets = unsent + owed + ends;
    Ok(Waiting {
        partition,
        queued,
        since,
        packets,
        withdrawals,
        reservations,
        rewards,
        coupons,
        home,
        quarantined,
    })
}

async fn finish_packets<B: Binding>(
    books: &Books<'_, B>,
    waiting: &[Waiting],
    settled: &mut Settled,
    stuck: &mut StuckCounts,
) {
    for one in waiting.iter().filter(|one| one.packets > 0) {
        let Books { wallets, keys, stage, .. } = books;
        let packet::Settled { sent, paid, closed } =
            packet::settle(wallets, keys, stage, one.partition, &mut random).await;
        let [sent, paid, closed] = [sent, paid, closed].map(|result| settled.take(result));
        settled.sent += sent.done;
        settled.paid += paid.done;
        settled.closed += closed.done;
        stuck.packets += sent.stuck + paid.stuck + closed.stuck;
    }
}

/// Voids the withdrawals whose time is over.
async fn void_withdrawals<B: Binding>(
    context: &Context<'_, B>,
    waiting: &[Waiting],
    settled: &mut Settled,
    stuck: &mut StuckCounts,
) {
    let partitions = waiting.iter().filter(|one| one.withdrawals > 0);
    let partitions: Vec<_> = partitions.map(|one| one.partition).collect();
    let voided = settled.take(withdraw::expire_due(context, &partitions).await);
    settled.withdrawals += voided.done;
    stuck.withdrawals += voided.stuck;
}

/// Users with their entries in the queue of which a page tells, those who wait longest first.
type Queued = Vec<(UserId, Vec<(UnixMillis, String)>)>;

/// Posts users, those who wait longest first, some at once, each in their own partition. One who fails does not
/// keep the others: who cannot be posted does not count, and a partition with which the store fails is left out.
/// How many entries of the queue cannot be posted for a fault of their own records.
async fn post<B: Binding>(
    context: &Context<'_, B>,
    waiting: &[Waiting],
    users_max: u32,
    settled: &mut Settled,
) -> u64 {
    let mut queues: Vec<(UnixMillis, Partition, Option<Member>)> =
        waiting.iter().filter_map(|one| Some((one.since?, one.partition, None))).collect();
    let mut posting = Posting {
        settled,
        left: users_max as usize,
        seen: BTreeMap::new(),
        failed: BTreeSet::new(),
        at_fault: Vec::new(),
        stuck_entries: 0,
    };
    for _ in 0..PAGES_MAX {
        queues.retain(|(_, partition, _)| !posting.failed.contains(partition));
        if queues.is_empty() || posting.left == 0 {
            break;
        }
        queues.sort();
        // Where there are more queues than users, those that wait longest; some more, because of who cannot be posted.
        let rest = queues.split_off(queues.len().min(posting.left.max(QUEUES_MIN)));
        let each = (posting.left / queues.len()).clamp(1, READ_FIELDS_MAX as usize) as u32;
        let page = |(_, partition, after): &(_, Partition, Option<Member>)| {
            let reads = vec![records::QUEUE.page_of_all(after.clone(), each)];
            (*partition, Transaction { reads, ..Transaction::default() })
        };
        let pages: Vec<_> = queues.iter().map(page).collect();
        let (mut batch, mut next) = (Queued::new(), rest);
        for ((partition, _), outcome) in pages.iter().zip(context.store.commit_some(&pages).await) {
            let page = match outcome {
                Ok(Outcome::Committed(answers)) => answers::page(answers.first()).cloned(),
                Ok(Outcome::Refused(_)) => Err(unexpected()),
                Err(error) => Err(error),
            };
            match page {
                Ok(page) => {
                    batch.extend(posting.users_of(*partition, &page.members, context.now));
                    let last = page.members.last().cloned().filter(|_| page.has_more);
                    if let Some(last) = last {
                        let since = due::due(&last).map_or(UnixMillis(i64::MIN), |due| due.at);
                        next.push((since, *partition, Some(last)));
                    }
                }
                Err(error) => posting.fails(*partition, error),
            }
        }
        posting.post_all(context, batch).await;
        queues = next;
    }
    posting.set_aside(context).await;
    posting.stuck_entries
}

/// What posting a call's users has come to.
struct Posting<'a> {
    settled: &'a mut Settled,
    /// Users who may still be posted.
    left: usize,
    /// Users who had their turn, and whether they cannot be posted.
    seen: BTreeMap<UserId, bool>,
    /// Partitions with which the store failed.
    failed: BTreeSet<Partition>,
    /// Entries of queues that cannot be posted, and have to be set aside.
    at_fault: Vec<(listing::Place, Stuck)>,
    /// Entries of queues that cannot be posted, and stay.
    stuck_entries: u64,
}

impl Posting<'_> {
    fn fails(&mut self, partition: Partition, failure: CommitError) {
        self.failed.insert(partition);
        self.settled.interrupt(failure);
    }

    /// An entry cannot be posted for a fault of its own records.
    fn is_stuck(&mut self, item: listing::Place, error: CommitError, now: UnixMillis) {
        let place = format!("the queue of {}: {}", item.partition, due::words(&item.member));
        let is_ripe = quarantine::is_ripe(&item, &error, now);
        let stuck = Stuck { place, error };
        if is_ripe {
            self.at_fault.push((item, stuck));
        } else {
            self.stuck_entries += 1;
            self.settled.stuck.push(stuck);
        }
    }

    async fn set_aside<B: Binding>(&mut self, context: &Context<'_, B>) {
        let at_fault = std::mem::take(&mut self.at_fault);
        let SetAside { aside, stuck, failures } =
            quarantine::set_all_aside(context, records::QUEUE, at_fault).await;
        self.settled.set_aside.extend(aside);
        self.stuck_entries += stuck.len() as u64;
        self.settled.stuck.extend(stuck);
        failures.into_iter().for_each(|failure| self.settled.interrupt(failure));
    }

    /// The users of a page of a queue who had no turn yet.
    fn users_of(&mut self, partition: Partition, members: &[Member], now: UnixMillis) -> Queued {
        let mut places = BTreeMap::new();
        let mut users = Queued::new();
        for member in members {
            let entry = due::due(member).and_then(|Due { at, what }| Ok((at, due::user_of(what)?)));
            match entry {
                Ok((_, (user, _))) if self.seen.contains_key(&user) => {
                    self.stuck_entries += u64::from(self.seen[&user]);
                }
                Ok((drawn, (user, number))) => {
                    let place = *places.entry(user).or_insert_with(|| {
                        users.push((user, Vec::new()));
                        users.len() - 1
                    });
                    users[place].1.push((drawn, number.to_owned()));
                }
                Err(error) => {
                    let item = listing::Place { member: member.clone(), partition };
                    self.is_stuck(item, error, now);
                }
            }
        }
        users
    }

    /// Posts users, as many as may be. Where the store fails with one, no other one of that partition is begun.
    async fn post_all<B: Binding>(&mut self, context: &Context<'_, B>, users: Queued) {
        let mut rest = users.into_iter();
        let one = |(user, entries): (UserId, Vec<_>)| async move {
            let posted = post_one(context, user, &entries).await;
            (user, entries, posted)
        };
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < AT_ONCE.min(self.left)
                && let Some((user, entries)) = rest.next()
            {
                if !self.failed.contains(&context.home(user)) {
                    running.push(one((user, entries)));
                }
            }
            let Some((user, entries, posted)) = running.next().await else { return };
            let mut is_stuck = false;
            let partition = context.home(user);
            let item = |(drawn, number): &(UnixMillis, String)| {
                let member = due::member(*drawn, &due::of_user(user, number));
                listing::Place { member, partition }
            };
            match posted {
                Ok((tokens, lost)) => {
                    self.settled.users += u64::from(tokens > 0);
                    self.settled.tokens += tokens;
                    self.left -= usize::from(tokens > 0);
                    for (number, error) in lost {
                        match entries.iter().find(|(_, other)| *other == number) {
                            Some(entry) => self.is_stuck(item(entry), error, context.now),
                            // Its entry stands elsewhere in the queue.
                            None => {
                                let place = format!("a token of user {user}");
                                self.settled.stuck.push(Stuck { place, error });
                            }
                        }
                    }
                }
                Err(error) if error.is_of_records() => {
                    is_stuck = true;
                    let items = entries.iter().map(item);
                    // An integer may be one of the accounts of the partition, which are everybody's.
                    let may_be_shared = matches!(error, CommitError::Invalid(_));
                    let (ripe, others): (Vec<_>, Vec<_>) = items.partition(|item| {
                        !may_be_shared && quarantine::is_ripe(item, &error, context.now)
                    });
                    for item in ripe {
                        self.is_stuck(item, error.clone(), context.now);
                    }
                    if !others.is_empty() {
                        self.stuck_entries += others.len() as u64;
                        let place = format!("the wallet of user {user}");
                        self.settled.stuck.push(Stuck { place, error });
                    }
                }
                Err(failure) => self.fails(partition, failure),
            }
            self.seen.insert(user, is_stuck);
        }
    }
}

/// Posts a user: how many tokens, and the numbers of those that cannot be posted, with what is wrong with each.
async fn post_one<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    entries: &[(UnixMillis, String)],
) -> Result<(u64, Vec<(String, CommitError)>), CommitError> {
    let posted = posting::post(context, user).await?;
    let with_cause = |number: String| {
        let error = pending::unreadable(&number);
        (number, error)
    };
    let mut lost: Vec<_> = posted.unreadable.into_iter().map(with_cause).collect();
    if posted.tokens == 0 {
        // Somebody else posted them, or they are not there.
        for (drawn, number) in entries {
            match posting::leave_queue(context, user, *drawn, number).await {
                Err(error @ CommitError::Unreadable(_)) => lost.push((number.clone(), error)),
                result => result?,
            }
        }
    }
    Ok((posted.tokens, lost))
}

/// Ends reservations that have expired, gives rewards that are due, settles coupons and brings home what they did not use;
/// whether it left rewards of which it does not know that they cannot be given.
async fn sweep_coupons<B: Binding>(
    context: &coupons::context::Context<'_, B>,
    waiting: &[Waiting],
    users_max: u32,
    settled: &mut Settled,
    stuck: &mut StuckCounts,
) -> bool {
    let waits = |one: &&Waiting| one.reservations + one.rewards + one.coupons + one.home > 0;
    let partitions = waiting.iter().filter(waits);
    let partitions: Vec<_> = partitions.map(|one| one.partition).collect();
    let mut has_more = false;
    for wave in partitions.chunks(WAVE) {
        if settled.reservations + settled.rewards + settled.coupons >= u64::from(users_max) {
            return true;
        }
        let reservations = settled.take(expiry::expire_due(context, wave).await);
        settled.reservations += reservations.done;
        stuck.reservations += reservations.stuck;
        let rewards = settled.take(group_buy::settle_due(context, wave).await);
        settled.rewards += rewards.done;
        stuck.rewards += rewards.stuck;
        has_more |= rewards.has_more;
        let coupons = settled.take(settle_due(context, wave).await);
        settled.coupons += coupons.done;
        stuck.coupons += coupons.stuck;
        let home = settled.take(bring_home(context, wave).await);
        settled.home += home.done;
        stuck.home += home.stuck;
    }
    has_more
}

/// Takes back the leases of rains that give nothing any more; how many are left.
async fn take_back_rains<B: Binding>(context: &Context<'_, B>, settled: &mut Settled) -> u64 {
    let partitions = context.partitions;
    let over = Over {
        partition: rain::home_of_all(partitions),
        index: rain::OVER,
        name: "a rain that is over",
        published: |id: &str| (rain::publication(partitions, id), rain::place(partitions, id)),
    };
    let (rains, left) = over.take_back(context, settled, async |_| Ok(())).await;
    settled.rains += rains;
    left
}

/// Takes back the leases of templates of which nothing is given any more; how many are left.
async fn take_back_templates<B: Binding>(
    context: &coupons::context::Context<'_, B>,
    settled: &mut Settled,
) -> u64 {
    let over = Over {
        partition: coupon::home_of_list(context.partitions),
        index: coupon::OVER,
        name: "a template that is over",
        published: |id: &str| (context.publication(id), context.place(id)),
    };
    let partitions: Vec<_> = context.partitions.all().collect();
    // What was not used is on lists, but where a pool forgot that it had it.
    let beside = async |id: &str| bring_template(context, id, &partitions).await.map(drop);
    let (templates, left) = over.take_back(context, settled, beside).await;
    settled.templates += templates;
    left
}

/// Budgets of a kind that are over. Their leases are taken back, and they are put to rest.
///
/// # How nothing stays behind
///
/// What a partition holds for somebody when its lease is taken back may return to the lease later: a reservation ends
/// at its own moment. So a budget is put to rest only when no partition has anything left or held; until then its
/// entry goes to a later moment, and its leases are taken back again.
///
/// 1. An entry is due [`GRACE_MS`] after the budget is over: from then on nothing is given, held or leased.
/// 2. The leases are taken back. Then each partition is asked what it has left and holds, in one read of its lease: a
///    unit goes from held to left in one commit, so that it is seen as the one or the other.
/// 3. Where there is none, and nothing is under way between partitions and pool, the entry goes. Nobody can put
///    anything back any more: who gives a unit back ends what is held.
/// 4. Else a later entry takes its place, in one commit.
/// 5. One that is sealed ([`store::sealed`]) is at rest, and its leases may be gone: only its entry goes.
///
/// A crash leaves the entry as it was, and the next call does the same again. Of two calls at once the first takes the
/// entry out. What is held for ever - its record cannot be read, or a partition gave more than it has after a fail-over -
/// costs two waves a day.
struct Over<F> {
    /// Where they are listed.
    partition: Partition,
    index: DueIndex,
    /// What one is, in words for operators.
    name: &'static str,
    /// Where one is published, and where its budget lies.
    published: F,
}

impl<F> Over<F> {
    /// How many had their leases taken back, and how many are left. `beside` is what else is done with each of them.
    async fn take_back<W: World, T: Configuration>(
        &self,
        world: &W,
        settled: &mut Settled,
        beside: impl AsyncFn(&str) -> Result<(), CommitError>,
    ) -> (u64, u64)
    where
        F: Fn(&str) -> (Publication<T>, Place),
    {
        let Self { partition, index, name, .. } = *self;
        let context = &world.context();
        // What ended so long ago that it gives nothing for certain: a lease that is taken after the rest was found
        // would stay in its partition.
        let until = UnixMillis(context.now.0.saturating_sub(GRACE_MS));
        let sweep = Sweep {
            index,
            name,
            partitions: &[partition],
            until,
            looks_ahead: false,
            sets_aside: true,
            done_max: BUDGETS_MAX,
            passed_over_max: PASSED_OVER_MAX,
        };
        let act = async |due: Due<'_>| Ok(self.take_back_one(world, &due, until, &beside).await?);
        let taken = settled.take(sweep.each(context, act).await);
        let reads = vec![index.count(until), quarantine::count()];
        match context.read(partition, reads).await.as_deref() {
            Ok([Answer::Size(size), Answer::Size(quarantined)]) => {
                settled.quarantined_of_lists.insert(partition, *quarantined);
                (taken.done, size.saturating_sub(taken.stuck))
            }
            Ok(_) => {
                settled.interrupt(unexpected());
                (taken.done, 1)
            }
            Err(error) => {
                settled.interrupt(error.clone());
                (taken.done, 1)
            }
        }
    }

    /// Takes back the leases of one; `false` where it is not over by what is published now.
    async fn take_back_one<W: World, T: Configuration>(
        &self,
        world: &W,
        due: &Due<'_>,
        until: UnixMillis,
        beside: &impl AsyncFn(&str) -> Result<(), CommitError>,
    ) -> Result<bool, CommitError>
    where
        F: Fn(&str) -> (Publication<T>, Place),
    {
        let (context, index) = (world.context(), self.index);
        let id = std::str::from_utf8(due.what).map_err(|_| unexpected())?;
        let (publication, place) = (self.published)(id);
        if publication.sealing().is_sealed(&context).await? {
            // Its leases have come home for good, and may be gone: they must not be called back.
            context.write(self.partition, [index.remove(due.at, due.what)]).await?;
            return Ok(false);
        }
        let (version, []) = publication.find(&context, []).await?.ok_or_else(unexpected)?;
        let over_at = version.record.over_at();
        let is_over = over_at <= until;
        let mut next = (!is_over).then_some(over_at);
        if is_over {
            call_back_all(world, &place).await?;
            beside(id).await?;
            if !is_all_home(&context, &place).await? {
                next = Some(later(over_at, until));
            }
        }
        // Of two calls at once one takes the entry out, so that there are never two of one budget.
        let mut plan = Plan::new();
        plan.demand((), index.demand(due.at, due.what));
        plan.write(index.remove(due.at, due.what));
        plan.write_all(next.map(|at| index.add(at, due.what)));
        context.commit(self.partition, plan).await?.ok();
        Ok(is_over)
    }
}

/// When a budget is due again of which something is held: after as long again as it has been over, a minute at least
/// and a day at most. `until` is what is due now.
fn later(over_at: UnixMillis, until: UnixMillis) -> UnixMillis {
    let over_for = until.0.saturating_sub(over_at.0);
    UnixMillis(until.0.saturating_add(over_for.clamp(AGAIN_MS_MIN, AGAIN_MS_MAX)))
}
