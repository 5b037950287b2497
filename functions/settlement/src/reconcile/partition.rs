//! What no user's is: accounts of a partition, budgets of rains, packets.

use std::collections::{BTreeMap, BTreeSet};

use domain::answers::{self, fields, integer, unexpected};
use domain::due;
use domain::ids::UserId;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Field, Member, READ_FIELDS_MAX, Range, Read, Value,
};
use edge::store::Binding;
use futures::future::join_all;
use lease::Lease;
use store::numbers::{Family, Number};
use store::published::{BODY, VERSION, version};
use store::quarantine;
use wallet::account::Account;
use wallet::packet::{self, Failure, Refusal};
use wallet::rain::{self, Listed, Stored};
use wallet::records;
use wallet::withdraw::{State, Withdrawal};

use super::{AT_ONCE, FIELDS, LOOKS_MAX, Look, Report, Scope, What, map};

/// Wallets that are read at once.
const WALLETS: usize = 32;
/// For so long a withdrawal may be pending without anybody being told.
const OVERDUE_MS: i64 = 3 * 86_400_000;
/// Queued users of a partition whose tokens are added up in one look.
const QUEUED_USERS_MAX: usize = 16_384;

/// Reads the rains there are. What is none is told on the first page of a report.
///
/// # Errors
/// The store's.
pub(super) async fn rains<B: Binding>(
    look: &Look<'_, '_, B>,
    is_first: bool,
    report: &mut Report,
) -> Result<Vec<Listed>, CommitError> {
    let page = |after| Read::Page(rain::all(), Range { after, below: None }, READ_FIELDS_MAX);
    let home = rain::home_of_all(look.context.partitions);
    let mut rains = Vec::new();
    for member in look.members(home, None, page).await? {
        match rain::listed_of(&member) {
            Ok(rain) => rains.push(rain),
            Err(_) if is_first => {
                let place = format!("the list of rains: {}", member.0.escape_ascii());
                report.broken(What::RecordUnreadable, place);
            }
            Err(_) => {}
        }
    }
    Ok(rains)
}

/// Looks at the pools of some rains: what is free and what was leased out are the budget.
///
/// # Errors
/// The store's.
pub(super) async fn check_pools<B: Binding>(
    look: &Look<'_, '_, B>,
    index: u32,
    rains: &[Listed],
    report: &mut Report,
) -> Result<(), CommitError> {
    for Listed { id, .. } in rains.iter().filter(|rain| look.is_with(index, &rain.id)) {
        let result = check_pool(look, id, report).await;
        report.isolate(|| format!("rain {id}"), result)?;
    }
    Ok(())
}

async fn check_pool<B: Binding>(
    look: &Look<'_, '_, B>,
    id: &str,
    report: &mut Report,
) -> Result<(), CommitError> {
    let place = rain::place(look.context.partitions, id);
    let own = [BODY, VERSION].map(Field::from).to_vec();
    let (own, cents) = look.pool(place.partition, &place.pool, own).await?;
    // Of the same moment as the cents.
    let Some(found) = version::<Stored>(Some(&Answer::Fields(own)))? else {
        return look.demand_sealed(&rain::publication(look.context.partitions, id).sealing()).await;
    };
    let stored = found.record;
    report.add(What::PoolDiffers, id, stored.rain.budget.minor_units(), cents);
    Ok(())
}

/// Looks at what of a partition is looked at as a whole.
///
/// # Errors
/// The store's.
pub(super) async fn check<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    rains: &[Listed],
    report: &mut Report,
) -> Result<(), CommitError> {
    let result = check_accounts(look, partition, rains, report).await;
    report.isolate(|| format!("accounts of {partition}"), result)?;
    let result = check_budgets(look, partition, rains, report).await;
    report.isolate(|| format!("budgets of {partition}"), result)?;
    check_dropped(look, partition, report).await
}

/// What an operator said that nobody is to do is told as long as it stands there.
///
/// # Errors
/// The store's.
pub(super) async fn check_dropped<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    report: &mut Report,
) -> Result<(), CommitError> {
    let names = quarantine::dropped_names();
    let page = |after| Read::Page(names.clone(), Range { after, below: None }, READ_FIELDS_MAX);
    for name in look.members(partition, None, page).await? {
        match quarantine::entry(&name) {
            Some((index, entry)) => {
                let place = format!("{} of {partition}: {}", index.0, due::words(&entry));
                report.broken(What::Dropped, place);
            }
            None => {
                let place = format!("what is dropped in {partition}: {}", due::words(&name));
                report.broken(What::RecordUnreadable, place);
            }
        }
    }
    Ok(())
}

/// The accounts of a partition add up to zero; and, where all users are looked at, what these have is in
/// them. That lies in many records, so that it is looked at again where anything moved meanwhile; and once
/// more before a difference is told, because something may have moved there and back.
async fn check_accounts<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    rains: &[Listed],
    report: &mut Report,
) -> Result<(), CommitError> {
    let names = [records::USERS, records::HELD, records::PAID_OUT];
    let mut last = None;
    for attempt in 0..LOOKS_MAX {
        // An account that no rain explains may be of one that is just begun.
        let Some(before) = balances(look, partition, rains).await? else { break };
        if attempt == 0 {
            let total = before.values().sum();
            report.add(What::AccountsUnbalanced, partition.to_string(), 0, total);
        }
        if look.scope == Scope::Recent {
            return Ok(());
        }
        let days = look.days(partition, records::CHANGED).await?;
        let Some(users) = look.everybody(partition, records::CHANGED, &days).await? else { break };
        let mut sums = [0; 3];
        for users in users.chunks(FIELDS) {
            let reads = users.iter().map(|user| Account::read(*user)).collect();
            for answer in look.read(partition, reads).await? {
                let account = Account::answered(Some(&answer))?;
                let of_user = [account.balance, account.held, account.withdrawn];
                sums.iter_mut().zip(of_user).for_each(|(sum, cents)| *sum += cents);
            }
        }
        // What no user has was read in one moment.
        let is_still =
            users.is_empty() || balances(look, partition, rains).await?.as_ref() == Some(&before);
        if !is_still {
            continue;
        }
        let found = names.map(|name| before.get(&Field::from(name)).copied().unwrap_or(0));
        if sums == found || last == Some((sums, found)) {
            for ((name, sum), found) in names.iter().zip(sums).zip(found) {
                report.add(What::AccountDiffers, format!("{partition}/{name}"), sum, found);
            }
            return Ok(());
        }
        last = Some((sums, found));
    }
    report.unsettled += 1;
    Ok(())
}

/// The accounts of a partition that are no user's, at one moment; nothing where there are too many for one read, and
/// one among them that is neither of the house nor of one of these rains.
async fn balances<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    rains: &[Listed],
) -> Result<Option<BTreeMap<Field, i64>>, CommitError> {
    let all = Read::All(records::accounts(), READ_FIELDS_MAX);
    if let [Answer::Map(all)] = &look.read(partition, vec![all]).await?[..] {
        let one = |(name, cents): &(Field, Value)| Ok((name.clone(), integer(Some(cents))?));
        return all.iter().map(one).collect::<Result<_, _>>().map(Some);
    }
    // Too many for one read: those that there may be, by name.
    let house = [
        records::USERS,
        records::HELD,
        records::PAID_OUT,
        records::PAID_IN,
        records::PACKETS,
        records::SEALED,
    ];
    let mut names: Vec<_> = house.map(Field::from).to_vec();
    names.extend(rains.iter().map(|rain| Field::from(rain.fund.as_str())));
    let mut reads = vec![Read::Size(records::accounts())];
    let parts = names.chunks(FIELDS);
    reads.extend(parts.map(|part| Read::Fields(records::accounts(), part.to_vec())));
    let answers = look.read(partition, reads).await?;
    let mut balances = BTreeMap::new();
    for (part, answer) in names.chunks(FIELDS).zip(&answers[1..]) {
        for (name, value) in part.iter().zip(fields(Some(answer))?) {
            if value.is_some() {
                balances.insert(name.clone(), integer(value.as_ref())?);
            }
        }
    }
    let is_all = answers.first() == Some(&Answer::Size(balances.len() as u64));
    Ok(is_all.then_some(balances))
}

/// What was given of each rain in a partition is pending or posted. The pending tokens lie in many records: a rain
/// of which something moved while they were read is looked at again. Of one that kept still nothing came or went,
/// because each token that comes changes what was given, and each that goes what was posted.
async fn check_budgets<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    rains: &[Listed],
    report: &mut Report,
) -> Result<(), CommitError> {
    let mut rest: Vec<&Listed> = rains.iter().collect();
    for _ in 0..LOOKS_MAX {
        let before = sides(look, partition, &rest).await?;
        let Some(pending) = pending(look, partition).await? else { break };
        let after = sides(look, partition, &rest).await?;
        let mut moved = Vec::new();
        for ((listed, before), after) in rest.into_iter().zip(before).zip(after) {
            let Listed { id, fund } = listed;
            let (Some((given, posted)), Some(after)) = (before, after) else {
                report.broken(What::RecordUnreadable, format!("{id}/{partition}"));
                continue;
            };
            if (given, posted) != after {
                moved.push(listed);
                continue;
            }
            let found = posted + pending.get(fund).copied().unwrap_or(0);
            report.add(What::BudgetDiffers, format!("{id}/{partition}"), given, found);
        }
        rest = moved;
        if rest.is_empty() {
            return Ok(());
        }
    }
    report.unsettled += rest.len() as u64;
    Ok(())
}

/// What was given of each rain in a partition, and what of it was posted; nothing where that cannot be read.
async fn sides<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    rains: &[&Listed],
) -> Result<Vec<Option<(i64, i64)>>, CommitError> {
    let mut sides = Vec::with_capacity(rains.len());
    for part in rains.chunks(FIELDS) {
        let funds = part.iter().map(|rain| Field::from(rain.fund.as_str())).collect();
        let mut reads = vec![Read::Fields(records::accounts(), funds)];
        reads.extend(part.iter().map(|rain| Lease::read(rain::lease(&rain.id))));
        let answers = look.read(partition, reads).await?;
        let [funds, leases @ ..] = &answers[..] else { return Err(unexpected()) };
        for (fund, lease) in fields(Some(funds))?.iter().zip(leases) {
            let given = Lease::answered(Some(lease)).map(|lease| lease.issued());
            let posted = integer(fund.as_ref()).map(|fund| -fund);
            sides.push(given.ok().zip(posted.ok()));
        }
    }
    Ok(sides)
}

/// The cents that are pending in a partition, by fund; nothing where too many users are queued.
async fn pending<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
) -> Result<Option<BTreeMap<String, i64>>, CommitError> {
    let mut users = BTreeSet::new();
    let visit = |entry: &Member| {
        // Settlement names what is no entry.
        users.extend(due::due(entry).and_then(|due| Ok(due::user_of(due.what)?.0)));
        users.len() <= QUEUED_USERS_MAX
    };
    if !look.visit(partition, records::QUEUE, visit).await? {
        return Ok(None);
    }
    let users: Vec<_> = users.into_iter().collect();
    let mut cents = BTreeMap::new();
    for part in users.chunks(WALLETS) {
        let read = |user: &UserId| Read::All(records::pending(*user), records::PENDING_MAX);
        for answer in look.read(partition, part.iter().map(read).collect()).await? {
            // What cannot be read is a difference of the user's.
            for one in wallet::pending::found(Some(&answer))?.readable {
                let fund = records::fund(&one.token.activity, &one.token.scene);
                *cents.entry(fund).or_insert(0) += one.amount();
            }
        }
    }
    Ok(Some(cents))
}

/// Looks at withdrawals of a partition that have been what they are for days, behind one of them; the last one, where it
/// stopped. Those that are pending, and that no machine will void, are told.
///
/// # Errors
/// The store's.
pub(super) async fn check_withdrawals<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    after: Option<&Member>,
    report: &mut Report,
) -> Result<Option<Member>, CommitError> {
    let now = look.context.now;
    let until = UnixMillis(now.0 - OVERDUE_MS);
    let mut after = after.cloned();
    loop {
        let page = records::WITHDRAWALS.page(until, after, FIELDS as u32);
        let answers = look.read(partition, vec![page]).await?;
        let page = answers::page(answers.first())?;
        check_listed(look, partition, &page.members, report).await?;
        after = page.members.last().cloned();
        if !page.has_more || after.is_none() {
            return Ok(None);
        }
        if look.is_enough() {
            return Ok(after);
        }
    }
}

/// Looks at withdrawals of an index, all at one moment.
async fn check_listed<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    members: &[Member],
    report: &mut Report,
) -> Result<(), CommitError> {
    let (mut listed, mut reads) = (Vec::new(), Vec::new());
    for member in members {
        match due::due(member).and_then(|due| due::user_of(due.what)) {
            Ok((user, number)) => {
                listed.push(format!("{user}/{number}"));
                reads.push(Read::HasMember(records::WITHDRAWALS.key(), member.clone()));
                reads.push(Read::Fields(records::withdrawals(user), vec![number.into()]));
            }
            Err(_) => {
                let place = format!("the withdrawals of {partition}: {}", due::words(member));
                report.broken(What::RecordUnreadable, place);
            }
        }
    }
    if reads.is_empty() {
        return Ok(());
    }
    let answers = look.read(partition, reads).await?;
    for (place, answers) in listed.iter().zip(answers.chunks(2)) {
        let [Answer::Contains(true), found] = answers else { continue };
        match fields(Some(found))?.first().and_then(Option::as_ref).map(Withdrawal::decode) {
            Some(Ok(one)) => {
                let has_end = one.end.is_some_and(|end| end.at > look.context.now.0);
                if one.state == State::Pending && !has_end {
                    report.broken(What::WithdrawalOverdue, place);
                }
            }
            Some(Err(_)) => report.broken(What::RecordUnreadable, format!("withdrawal {place}")),
            None => report.broken(What::WithdrawalDiffers, place),
        }
    }
    Ok(())
}

/// Looks at packets of a partition that can still be opened, or are on their way to be closed, behind one of them; the
/// last one, where it stopped. Payments for which there was no use are told once, before the first packet.
///
/// # Errors
/// The store's.
pub(super) async fn check_packets<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    after: Option<&Member>,
    report: &mut Report,
) -> Result<Option<Member>, CommitError> {
    if after.is_none() {
        let page = |after| records::UNAPPLIED.page_of_all(after, READ_FIELDS_MAX);
        for member in look.members(partition, None, page).await? {
            report.broken(What::PaymentUnapplied, due::words(&member));
        }
    }
    let mut packets = BTreeSet::new();
    look.visit(partition, records::ENDS, |entry| {
        if after.is_none_or(|after| entry > after) {
            packets.insert(entry.clone());
        }
        true
    })
    .await?;
    let packets: Vec<_> = packets.into_iter().collect();
    for some in packets.chunks(AT_ONCE) {
        let checks = some.iter().map(async |member| {
            let mut found = Report::default();
            let name = due::due(member).map(|due| String::from_utf8_lossy(due.what).into_owned());
            let (name, result) = match name {
                Ok(packet) => {
                    let result = check_packet(look, partition, &packet, &mut found).await;
                    (packet, result)
                }
                Err(error) => (due::words(member), Err(error)),
            };
            (name, found, result)
        });
        for (name, found, result) in join_all(checks).await {
            report.take(found);
            report.isolate(|| format!("packet {name}"), result)?;
            report.packets += 1;
        }
        if let (true, Some(last)) = (look.is_enough(), some.last()) {
            return Ok(Some(last.clone()));
        }
    }
    Ok(None)
}

async fn check_packet<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    packet: &str,
    report: &mut Report,
) -> Result<(), CommitError> {
    let reads = packet::reads_of_all(packet);
    let answers = look.read(partition, reads).await?;
    let details = match packet::details(&answers) {
        Ok(details) => details,
        Err(Failure::Store(error)) => return Err(error),
        Err(Failure::Refused(Refusal::UnknownPacket)) => {
            report.broken(What::PacketDiffers, packet);
            return Ok(());
        }
        Err(Failure::Refused(_)) => return Err(unexpected()),
    };
    let parts = map(answers.get(packet::READS))?;
    let mut sum = details.taken();
    for (_, cents) in parts {
        sum += integer(Some(cents))?;
    }
    report.add(What::PacketDiffers, packet, details.order.total, sum);
    for some in details.openings.chunks(AT_ONCE) {
        // First whether their payments are under way: whoever ends one of them has paid before.
        let owed = some.iter().map(|opening| {
            let (at, mark) = (UnixMillis(opening.at), due::of_user(opening.user, packet));
            let aside = quarantine::has(records::OWED, at, &mark);
            [records::OWED.has(at, &mark)].into_iter().chain(aside).collect::<Vec<_>>()
        });
        let owed: Vec<_> = owed.collect();
        let answers = look.read(partition, owed.concat()).await?;
        let mut answers = &answers[..];
        let mut rest = Vec::new();
        for (opening, reads) in some.iter().zip(&owed) {
            let (own, others) = answers.split_at_checked(reads.len()).ok_or_else(unexpected)?;
            answers = others;
            if !own.contains(&Answer::Contains(true)) {
                rest.push(opening.user);
            }
        }
        let paid = rest.into_iter().map(async |user| (user, is_paid(look, packet, user).await));
        for (user, paid) in join_all(paid).await {
            if !paid? {
                report.broken(What::OpeningUnpaid, format!("{packet}/{user}"));
            }
        }
    }
    Ok(())
}

/// Whether what a user got of a packet has a token, an entry, or a mark of one that was carried.
async fn is_paid<B: Binding>(
    look: &Look<'_, '_, B>,
    packet: &str,
    user: UserId,
) -> Result<bool, CommitError> {
    let name = packet::opening_number(packet);
    let number = Field::from(name.as_str());
    let mark = Number { family: Family::Openings, user, number: &name, ordered_at: None };
    let reads = vec![
        Read::Fields(records::pending(user), vec![number.clone()]),
        Read::Fields(records::posted(user), vec![number]),
        mark.read_forgotten(look.context.partitions),
    ];
    let answers = look.read(look.context.home(user), reads).await?;
    Ok(answers.iter().any(|answer| match answer {
        Answer::Fields(values) => values.iter().any(Option::is_some),
        answer => *answer == Answer::Contains(true),
    }))
}
