//! One call's work, bounded: whoever calls again goes on with what is left.

use coupons::{expiry, group_buy, records as coupon};
use domain::answers::{fields, unexpected};
use domain::group_buy::due;
use domain::ids::UserId;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Field, Guard, MapKey, Outcome, READ_FIELDS_MAX, Read, Transaction, Value,
    Write,
};
use edge::store::{Binding, random, read_all};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lease::{Place, World, call_back_all};
use wallet::context::Context;
use wallet::mode::{self, Mode};
use wallet::packet;
use wallet::posting;
use wallet::rain::{self, Rain};
use wallet::records;

use crate::Books;

/// Users of one call.
pub const USERS_MAX: u32 = 10_000;
/// Users of one call where nothing is said.
pub const USERS_DEFAULT: u32 = 1_000;
/// Users whose tokens are posted at once.
const AT_ONCE: usize = 16;
/// Rains and templates whose leases one call takes back, of each.
const BUDGETS_MAX: u64 = 4;
/// Partitions whose coupons are swept at once.
const WAVE: usize = 64;
/// How long after its end a budget gives nothing for certain: clocks of two instances may be 20 minutes apart,
/// and one that is behind takes leases as long as the end has not come for it. What is taken after the rest
/// was found would stay in the partitions.
const GRACE_MS: i64 = 25 * 60_000;

/// What a call did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Users whose tokens were posted.
    pub users: u64,
    /// Tokens that were posted.
    pub tokens: u64,
    /// Users who are still queued.
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
}

/// Settles.
///
/// # Errors
/// The store's; what was done stays so.
pub async fn settle<B: Binding>(
    books: &Books<'_, B>,
    users_max: u32,
) -> Result<Settled, CommitError> {
    let context = &books.wallets;
    let mut settled = Settled::default();
    // What fails does not keep the rest.
    let (waiting, looked) = waiting(context).await;
    // First, because they give users tokens.
    let mut results = vec![looked, finish_packets(books, &waiting.packets, &mut settled).await];
    if mode::read(context).await?.mode != Mode::Off {
        results.push(post(context, users_max, &mut settled).await);
    }
    let coupons = &books.coupons;
    results.push(sweep_coupons(coupons, &waiting.coupons, users_max, &mut settled).await);
    results.push(take_back_rains(context, &mut settled).await);
    results.push(take_back_templates(books, &mut settled).await);
    if settled == Settled::default() {
        // Whoever calls again goes on, so that what was done is told.
        results.into_iter().collect::<Result<(), _>>()?;
    }
    let sizes = |one: Partition| (one, Read::Size(records::queue()));
    for answer in read_all(context.store, context.partitions.all().map(sizes).collect()).await? {
        let Answer::Size(users) = answer else { return Err(unexpected()) };
        settled.left += users;
    }
    Ok(settled)
}

/// Partitions where something may have to be done.
#[derive(Default)]
struct Waiting {
    packets: Vec<Partition>,
    coupons: Vec<Partition>,
}

/// One wave finds them; where the store fails nothing is done in this call.
async fn waiting<B: Binding>(context: &Context<'_, B>) -> (Waiting, Result<(), CommitError>) {
    let packets = [records::unsent(), records::owed(), records::ends()];
    let coupons = [coupon::ends(), due()];
    let look = |one: Partition| {
        let reads = packets.iter().chain(&coupons).cloned().map(Read::Size).collect();
        (one, Transaction { reads, ..Transaction::default() })
    };
    let wave: Vec<_> = context.partitions.all().map(look).collect();
    let (mut waiting, mut result) = (Waiting::default(), Ok(()));
    for ((partition, _), outcome) in wave.iter().zip(context.store.commit_some(&wave).await) {
        let sizes = match outcome {
            Ok(Outcome::Committed(sizes)) => sizes,
            failed => {
                result = failed.and_then(|_| Err(unexpected()));
                continue;
            }
        };
        let is_some = |sizes: &[Answer]| sizes.iter().any(|size| *size != Answer::Size(0));
        let (of_packets, of_coupons) = sizes.split_at(packets.len().min(sizes.len()));
        waiting.packets.extend(is_some(of_packets).then_some(*partition));
        waiting.coupons.extend(is_some(of_coupons).then_some(*partition));
    }
    (waiting, result)
}

async fn finish_packets<B: Binding>(
    books: &Books<'_, B>,
    partitions: &[Partition],
    settled: &mut Settled,
) -> Result<(), CommitError> {
    let mut result = Ok(());
    for partition in partitions {
        let Books { wallets, keys, stage, .. } = books;
        match packet::settle(wallets, keys, stage, *partition, &mut random).await {
            Ok(done) => {
                settled.sent += done.sent;
                settled.paid += done.paid;
                settled.closed += done.closed;
            }
            Err(error) => result = Err(error),
        }
    }
    result
}

/// Posts users, some at once, each in their own partition. One who fails does not keep the others.
async fn post<B: Binding>(
    context: &Context<'_, B>,
    users_max: u32,
    settled: &mut Settled,
) -> Result<(), CommitError> {
    let each = (users_max / context.partitions.count() + 1).min(READ_FIELDS_MAX);
    let queue = |one: Partition| (one, Read::Some(records::queue(), each));
    let mut users = Vec::new();
    for answer in read_all(context.store, context.partitions.all().map(queue).collect()).await? {
        let Answer::Map(queued) = answer else { return Err(unexpected()) };
        for (field, _) in queued {
            users.push(records::user_of(&field).ok_or_else(unexpected)?);
        }
    }
    users.truncate(users_max as usize);
    let mut failure = None;
    let mut rest = users.into_iter();
    let mut running = FuturesUnordered::new();
    running.extend(rest.by_ref().take(AT_ONCE).map(|user| post_one(context, user)));
    while let Some(posted) = running.next().await {
        match posted {
            Ok(tokens) => {
                settled.users += 1;
                settled.tokens += tokens;
            }
            Err(error) => failure = Some(error),
        }
        running.extend(rest.next().map(|user| post_one(context, user)));
    }
    failure.map_or(Ok(()), Err)
}

async fn post_one<B: Binding>(context: &Context<'_, B>, user: UserId) -> Result<u64, CommitError> {
    let posted = posting::post(context, user).await?;
    if posted.tokens == 0 {
        // Somebody else posted them, or they were lost.
        posting::leave_queue(context, user).await?;
    }
    Ok(posted.tokens)
}

/// Ends reservations that have expired, and gives rewards that are due.
async fn sweep_coupons<B: Binding>(
    context: &coupons::context::Context<'_, B>,
    partitions: &[Partition],
    users_max: u32,
    settled: &mut Settled,
) -> Result<(), CommitError> {
    for wave in partitions.chunks(WAVE) {
        settled.reservations += expiry::expire_due(context, wave).await?;
        settled.rewards += group_buy::settle_due(context, wave).await?;
        if settled.reservations + settled.rewards >= u64::from(users_max) {
            break;
        }
    }
    Ok(())
}

/// Takes back the leases of rains that give nothing any more.
async fn take_back_rains<B: Binding>(
    context: &Context<'_, B>,
    settled: &mut Settled,
) -> Result<(), CommitError> {
    let home = rain::home_of_all(context.partitions);
    let answers = context.read(home, vec![Read::Some(rain::all(), READ_FIELDS_MAX)]).await?;
    let Some(Answer::Map(rains)) = answers.first() else { return Err(unexpected()) };
    for (field, state) in rains {
        let Value::Integer(state @ 1..) = *state else { continue };
        if settled.rains >= BUDGETS_MAX {
            break;
        }
        let id = std::str::from_utf8(&field.0).map_err(|_| unexpected())?;
        let place = rain::place(context.partitions, id);
        let read = Read::Fields(place.pool.clone(), vec![rain::BODY.into()]);
        let answers = context.read(place.partition, vec![read]).await?;
        let [Some(Value::Bytes(body))] = fields(answers.first())? else { continue };
        let rain: Rain = edge::json::stored(body).ok_or_else(unexpected)?;
        if rain.rounds.iter().all(|round| is_over(round.until.0, context.now)) {
            take_back(context, &place, (home, rain::all()), field, state).await?;
            settled.rains += 1;
        }
    }
    Ok(())
}

/// Takes back the leases of templates of which nothing is given any more.
async fn take_back_templates<B: Binding>(
    Books { wallets, coupons: context, .. }: &Books<'_, B>,
    settled: &mut Settled,
) -> Result<(), CommitError> {
    let home = coupon::home_of_list(context.partitions);
    let read = |bucket| Read::Some(coupon::listed(bucket), READ_FIELDS_MAX);
    for answer in &wallets.read(home, (0..coupon::LISTS).map(read).collect()).await? {
        let Answer::Map(templates) = answer else { return Err(unexpected()) };
        for (field, until) in templates {
            let Value::Integer(until @ 1..) = *until else { continue };
            if settled.templates >= BUDGETS_MAX || !is_over(until, context.now) {
                continue;
            }
            let id = std::str::from_utf8(&field.0).map_err(|_| unexpected())?;
            let list = (home, coupon::listed_in(id));
            take_back(context, &context.place(id), list, field, until).await?;
            settled.templates += 1;
        }
    }
    Ok(())
}

fn is_over(until: i64, now: UnixMillis) -> bool {
    until + GRACE_MS <= now.0
}

/// Takes back what partitions have left, and puts the budget to rest: what its list says of it becomes
/// negative. Where somebody published it again meanwhile, the next call looks at it.
async fn take_back<W: World>(
    world: &W,
    place: &Place,
    (home, list): (Partition, MapKey),
    field: &Field,
    state: i64,
) -> Result<(), CommitError> {
    call_back_all(world, place).await?;
    let transaction = Transaction {
        guards: vec![Guard::FieldEquals(list.clone(), field.clone(), Value::Integer(state))],
        writes: vec![Write::Set(list, field.clone(), Value::Integer(-state))],
        ..Transaction::default()
    };
    world.store().commit(home, &transaction).await?;
    Ok(())
}
