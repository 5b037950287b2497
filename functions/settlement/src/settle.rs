//! One call's work, bounded: whoever calls again goes on with what is left.
//!
//! One wave over the partitions finds where something waits, how much and since when. What waits longest is done
//! first, in whatever partition it is. What cannot be done for a fault of its own records is named in the answer,
//! and stops nothing else. What a call leaves is counted.

use std::collections::{BTreeMap, BTreeSet};

use coupons::context::{BODY, PUBLISHED_VERSION, published};
use coupons::{expiry, group_buy, records as coupon};
use domain::answers::{fields, unexpected};
use domain::due::{self, Due, DueIndex, Stuck, Swept};
use domain::group_buy::REWARDS;
use domain::ids::UserId;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Field, Member, Outcome, READ_FIELDS_MAX, Range, Read, Transaction, Value,
};
use edge::store::{Binding, random, read_all};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lease::call_back_all;
use wallet::context::Context;
use wallet::mode::{self, Mode};
use wallet::packet;
use wallet::pending;
use wallet::posting;
use wallet::rain::{self, Rain};
use wallet::records;
use wallet::sweep::Queue;

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
/// Partitions whose coupons are swept at once.
const WAVE: usize = 64;
/// How long after its end a budget gives nothing for certain: clocks of two instances may be 20 minutes apart,
/// and one that is behind takes leases as long as the end has not come for it. What is taken after the rest
/// was found would stay in the partitions.
const GRACE_MS: i64 = 25 * 60_000;

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
    /// Reservations of coupons that expired and were ended.
    pub reservations: u64,
    /// Rewards of group-buys that were given.
    pub rewards: u64,
    /// Rains whose leases were taken back.
    pub rains: u64,
    /// Templates whose leases were taken back.
    pub templates: u64,
    /// What cannot be done for a fault of its own records.
    pub stuck: Vec<Stuck>,
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
            self.reservations,
            self.rewards,
            self.rains,
            self.templates,
        ];
        done.iter().any(|count| *count > 0)
    }

    /// Counts what a sweep did, and keeps what it could not do; how many it did.
    fn take(&mut self, swept: Swept) -> u64 {
        self.stuck.extend(swept.stuck);
        swept.done
    }
}

/// Settles.
///
/// # Errors
/// The store's, where nothing was done; what was done stays so.
pub async fn settle<B: Binding>(
    books: &Books<'_, B>,
    users_max: u32,
) -> Result<Settled, CommitError> {
    let context = &books.wallets;
    let mut settled = Settled::default();
    // What fails does not keep the rest.
    let (mut waiting, looked) = look(context).await;
    // First, because they give users tokens.
    let mut results = vec![looked, finish_packets(books, &waiting, &mut settled).await];
    if settled.has_done() {
        let (now, looked) = look(context).await;
        results.push(looked);
        waiting = now;
    }
    let is_off = mode::read(context).await?.mode == Mode::Off;
    if !is_off {
        results.push(post(context, &waiting, users_max, &mut settled).await);
    }
    let (coupons, mut rewards_left) = (&books.coupons, false);
    let swept = sweep_coupons(coupons, &waiting, users_max, &mut settled).await;
    results.push(swept.map(|has_more| rewards_left = has_more));
    let mut over = 0;
    for result in [
        take_back_rains(context, &mut settled).await,
        take_back_templates(books, &mut settled).await,
    ] {
        results.push(result.map(|left| over += left));
    }
    if settled.has_done() {
        let (now, looked) = look(context).await;
        results.push(looked);
        waiting = now;
        // What was done is told; whoever calls again goes on.
        settled.interrupted = results.into_iter().find_map(Result::err);
    } else {
        results.into_iter().collect::<Result<(), _>>()?;
    }
    for one in &waiting {
        settled.queued += one.queued;
        settled.left += one.packets + one.reservations;
        // A reward whose template refuses stays due, and another call would find the same.
        settled.left += if rewards_left { one.rewards } else { 0 };
    }
    settled.left += over + if is_off { 0 } else { settled.queued };
    settled.left = settled.left.saturating_sub(settled.stuck.len() as u64);
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
    /// Reservations that have expired.
    reservations: u64,
    /// Rewards that are due.
    rewards: u64,
}

/// One wave finds what waits, and where; where the store fails nothing is done in this call.
async fn look<B: Binding>(context: &Context<'_, B>) -> (Vec<Waiting>, Result<(), CommitError>) {
    let all = |index: DueIndex| Read::Count(index.key(), Range::default());
    let look = |one: Partition| {
        let reads = vec![
            records::QUEUE.page_of_all(None, 1),
            all(records::QUEUE),
            all(records::UNSENT),
            all(records::OWED),
            records::ENDS.count(context.now),
            coupon::ENDS.count(context.now),
            all(REWARDS),
        ];
        (one, Transaction { reads, ..Transaction::default() })
    };
    let wave: Vec<_> = context.partitions.all().map(look).collect();
    let (mut waiting, mut result) = (Vec::new(), Ok(()));
    for ((partition, _), outcome) in wave.iter().zip(context.store.commit_some(&wave).await) {
        let found = match outcome {
            Ok(Outcome::Committed(answers)) => found(*partition, &answers),
            Ok(Outcome::Refused(_)) => Err(unexpected()),
            Err(error) => Err(error),
        };
        match found {
            Ok(one) => waiting.push(one),
            Err(error) => result = Err(error),
        }
    }
    (waiting, result)
}

/// What one partition answered.
fn found(partition: Partition, answers: &[Answer]) -> Result<Waiting, CommitError> {
    let [first, counts @ ..] = answers else { return Err(unexpected()) };
    let oldest = due::page(Some(first))?.members.first();
    let since = oldest.map(due::due).transpose()?.map(|oldest| oldest.at);
    let count = |answer: &Answer| match answer {
        Answer::Size(size) => Ok(*size),
        _ => Err(unexpected()),
    };
    let counts = counts.iter().map(count).collect::<Result<Vec<_>, _>>()?;
    let [queued, unsent, owed, ends, reservations, rewards] = counts[..] else {
        return Err(unexpected());
    };
    let packets = unsent + owed + ends;
    Ok(Waiting { partition, queued, since, packets, reservations, rewards })
}

async fn finish_packets<B: Binding>(
    books: &Books<'_, B>,
    waiting: &[Waiting],
    settled: &mut Settled,
) -> Result<(), CommitError> {
    let mut result = Ok(());
    for one in waiting.iter().filter(|one| one.packets > 0) {
        let Books { wallets, keys, stage, .. } = books;
        match packet::settle(wallets, keys, stage, one.partition, &mut random).await {
            Ok(packet::Settled { sent, paid, closed }) => {
                settled.sent += settled.take(sent);
                settled.paid += settled.take(paid);
                settled.closed += settled.take(closed);
            }
            Err(error) => result = Err(error),
        }
    }
    result
}

/// Users with their entries in the queue of which a page tells, those who wait longest first.
type Queued = Vec<(UserId, Vec<(UnixMillis, String)>)>;

/// Posts users, those who wait longest first, some at once, each in their own partition. One who fails does not
/// keep the others.
async fn post<B: Binding>(
    context: &Context<'_, B>,
    waiting: &[Waiting],
    users_max: u32,
    settled: &mut Settled,
) -> Result<(), CommitError> {
    let mut queues: Vec<(UnixMillis, Partition, Option<Member>)> =
        waiting.iter().filter_map(|one| Some((one.since?, one.partition, None))).collect();
    queues.sort();
    let (mut seen, mut users_left) = (BTreeSet::new(), users_max as usize);
    for _ in 0..PAGES_MAX {
        if queues.is_empty() || users_left == 0 {
            break;
        }
        // Where there are more queues than users, those that wait longest.
        queues.truncate(users_left);
        let each = (users_left / queues.len()).clamp(1, READ_FIELDS_MAX as usize) as u32;
        let page = |(_, partition, after): &(_, Partition, Option<Member>)| {
            (*partition, records::QUEUE.page_of_all(after.clone(), each))
        };
        let answers = read_all(context.store, queues.iter().map(page).collect()).await?;
        let (mut batch, mut next) = (Queued::new(), Vec::new());
        for ((since, partition, _), answer) in queues.iter().zip(&answers) {
            let page = due::page(Some(answer))?;
            batch.extend(users_of(*partition, &page.members, settled));
            if page.has_more {
                next.push((*since, *partition, page.members.last().cloned()));
            }
        }
        batch.retain(|(user, _)| seen.insert(*user));
        batch.truncate(users_left);
        users_left -= batch.len();
        post_all(context, batch, settled).await?;
        queues = next;
    }
    Ok(())
}

/// The users of a page of a queue.
fn users_of(partition: Partition, members: &[Member], settled: &mut Settled) -> Queued {
    let mut places = BTreeMap::new();
    let mut users = Queued::new();
    for member in members {
        let entry = due::due(member).and_then(|Due { at, what }| Ok((at, due::user_of(what)?)));
        match entry {
            Ok((drawn, (user, number))) => {
                let place = *places.entry(user).or_insert_with(|| {
                    users.push((user, Vec::new()));
                    users.len() - 1
                });
                users[place].1.push((drawn, number.to_owned()));
            }
            Err(error) => {
                let place = format!("the queue of {partition}: {}", member.0.escape_ascii());
                settled.stuck.push(Stuck { place, error });
            }
        }
    }
    users
}

/// Posts users. Where the store fails nobody else is begun.
async fn post_all<B: Binding>(
    context: &Context<'_, B>,
    users: Queued,
    settled: &mut Settled,
) -> Result<(), CommitError> {
    let mut failure = None;
    let mut rest = users.into_iter();
    let one = |(user, entries)| async move { (user, post_one(context, user, entries).await) };
    let mut running = FuturesUnordered::new();
    running.extend(rest.by_ref().take(AT_ONCE).map(one));
    while let Some((user, posted)) = running.next().await {
        let place = |what: &str| format!("{what} of user {user}");
        match posted {
            Ok((tokens, lost)) => {
                settled.users += u64::from(tokens > 0);
                settled.tokens += tokens;
                let stuck = |error| Stuck { place: place("a token"), error };
                settled.stuck.extend(lost.into_iter().map(stuck));
            }
            Err(error @ (CommitError::Unusable(_) | CommitError::Invalid(_))) => {
                settled.stuck.push(Stuck { place: place("the wallet"), error });
            }
            Err(error) => failure = Some(error),
        }
        if failure.is_none() {
            running.extend(rest.next().map(one));
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Posts a user: how many tokens, and what is wrong with those that cannot be posted.
async fn post_one<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    entries: Vec<(UnixMillis, String)>,
) -> Result<(u64, Vec<CommitError>), CommitError> {
    let posted = posting::post(context, user).await?;
    let mut lost: Vec<_> =
        posted.unreadable.iter().map(|number| pending::unreadable(number)).collect();
    if posted.tokens == 0 {
        // Somebody else posted them, or they are not there.
        for (drawn, number) in entries {
            match posting::leave_queue(context, user, drawn, &number).await {
                Err(error @ CommitError::Unusable(_)) => lost.push(error),
                result => result?,
            }
        }
    }
    Ok((posted.tokens, lost))
}

/// Ends reservations that have expired, and gives rewards that are due; whether it left rewards of which it does
/// not know that they cannot be given.
async fn sweep_coupons<B: Binding>(
    context: &coupons::context::Context<'_, B>,
    waiting: &[Waiting],
    users_max: u32,
    settled: &mut Settled,
) -> Result<bool, CommitError> {
    let partitions = waiting.iter().filter(|one| one.reservations + one.rewards > 0);
    let partitions: Vec<_> = partitions.map(|one| one.partition).collect();
    let mut has_more = false;
    for wave in partitions.chunks(WAVE) {
        if settled.reservations + settled.rewards >= u64::from(users_max) {
            return Ok(true);
        }
        settled.reservations += settled.take(expiry::expire_due(context, wave).await?);
        let rewards = group_buy::settle_due(context, wave).await?;
        has_more |= rewards.has_more;
        settled.rewards += settled.take(rewards);
    }
    Ok(has_more)
}

/// Budgets whose leases are to be taken back: what is due in the index, and how many are left afterwards.
async fn take_back<B: Binding>(
    context: &Context<'_, B>,
    queue: Queue,
    act: impl AsyncFnMut(&Due<'_>) -> Result<bool, CommitError>,
    settled: &mut Settled,
) -> Result<(u64, u64), CommitError> {
    let swept = queue.sweep(context, BUDGETS_MAX, act).await?;
    let mut left = 0;
    if swept.has_more {
        let count = queue.index.count(queue.until);
        if let [Answer::Size(size)] = context.read(queue.partition, vec![count]).await?[..] {
            left = size;
        }
    }
    Ok((settled.take(swept), left))
}

/// Takes back the leases of rains that give nothing any more; how many are left.
async fn take_back_rains<B: Binding>(
    context: &Context<'_, B>,
    settled: &mut Settled,
) -> Result<u64, CommitError> {
    let home = rain::home_of_all(context.partitions);
    let queue = over(home, rain::OVER, "a rain that is over", context.now);
    let act = async |due: &Due<'_>| {
        let id = std::str::from_utf8(due.what).map_err(|_| unexpected())?;
        let place = rain::place(context.partitions, id);
        let read = Read::Fields(place.pool.clone(), vec![rain::BODY.into()]);
        let answers = context.read(place.partition, vec![read]).await?;
        let [Some(Value::Bytes(body))] = fields(answers.first())? else {
            return Err(unexpected());
        };
        let rain: Rain = edge::json::stored(body).ok_or_else(unexpected)?;
        let is_over = rain.until() == due.at;
        if is_over {
            call_back_all(context, &place).await?;
        }
        put_to_rest(context, &queue, due, rain.until()).await?;
        Ok(is_over)
    };
    let (rains, left) = take_back(context, queue, act, settled).await?;
    settled.rains += rains;
    Ok(left)
}

/// Takes back the leases of templates of which nothing is given any more; how many are left.
async fn take_back_templates<B: Binding>(
    Books { wallets: context, coupons, .. }: &Books<'_, B>,
    settled: &mut Settled,
) -> Result<u64, CommitError> {
    let home = coupon::home_of_list(context.partitions);
    let queue = over(home, coupon::OVER, "a template that is over", context.now);
    let act = async |due: &Due<'_>| {
        let id = std::str::from_utf8(due.what).map_err(|_| unexpected())?;
        let own = [BODY, PUBLISHED_VERSION].map(Field::from).to_vec();
        let read = Read::Fields(coupon::pool(id), own);
        let pool = coupon::home_of_pool(context.partitions, id);
        let answers = context.read(pool, vec![read]).await?;
        let (_, template) = published(answers.first())?.ok_or_else(unexpected)?;
        let is_over = template.claim_until == due.at;
        if is_over {
            call_back_all(coupons, &coupons.place(id)).await?;
        }
        put_to_rest(context, &queue, due, template.claim_until).await?;
        Ok(is_over)
    };
    let (templates, left) = take_back(context, queue, act, settled).await?;
    settled.templates += templates;
    Ok(left)
}

fn over(partition: Partition, index: DueIndex, name: &'static str, now: UnixMillis) -> Queue {
    let until = UnixMillis(now.0.saturating_sub(GRACE_MS));
    Queue { partition, index, until, name }
}

/// Takes an entry out. Where the budget ends at another moment than the entry says, it was published again: then
/// there is an entry of its own for that, also where whoever published it did not come to write it.
async fn put_to_rest<B: Binding>(
    context: &Context<'_, B>,
    queue: &Queue,
    due: &Due<'_>,
    until: UnixMillis,
) -> Result<(), CommitError> {
    let mut writes = Vec::new();
    if until != due.at {
        writes.push(queue.index.add(until, due.what));
    }
    writes.push(queue.index.remove(due.at, due.what));
    context.commit(queue.partition, Transaction { writes, ..Transaction::default() }).await?;
    Ok(())
}
