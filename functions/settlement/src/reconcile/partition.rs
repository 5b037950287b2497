//! What no user's is: accounts of a partition, budgets of rains, packets.

use std::collections::BTreeMap;

use domain::answers::{fields, integer, unexpected};
use domain::ids::UserId;
use domain::partition::Partition;
use domain::transaction::{Answer, CommitError, Field, READ_FIELDS_MAX, Read, Value};
use edge::store::Binding;
use lease::Lease;
use wallet::account::Account;
use wallet::packet::{self, Failure, Refusal};
use wallet::rain::{self, Rain};
use wallet::records;
use wallet::token::Token;

use super::{FIELDS, LOOKS_MAX, Look, Report, Scope, What, map};

/// A rain, and what it gives.
pub(super) type Named = (String, Rain);

/// The rains there are.
///
/// # Errors
/// The store's.
pub(super) async fn rains<B: Binding>(look: &Look<'_, '_, B>) -> Result<Vec<Named>, CommitError> {
    let partitions = look.context.partitions;
    let home = rain::home_of_all(partitions);
    let answers = look.read(home, vec![Read::Some(rain::all(), READ_FIELDS_MAX)]).await?;
    let listed = map(answers.first())?;
    let mut rains = Vec::new();
    for (field, _) in listed {
        let id = String::from_utf8(field.0.clone()).map_err(|_| unexpected())?;
        let place = rain::place(partitions, &id);
        let read = Read::Fields(place.pool, vec![rain::BODY.into()]);
        let answers = look.read(place.partition, vec![read]).await?;
        let [Some(Value::Bytes(body))] = fields(answers.first())? else { continue };
        rains.push((id, edge::json::stored(body).ok_or_else(unexpected)?));
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
    rains: &[Named],
    report: &mut Report,
) -> Result<(), CommitError> {
    for (id, _) in rains.iter().filter(|(id, _)| look.is_with(index, id)) {
        let place = rain::place(look.context.partitions, id);
        let own = vec![rain::BODY.into()];
        let (own, cents) = look.pool(place.partition, &place.pool, own).await?;
        let [Some(Value::Bytes(body))] = &own[..] else { continue };
        let rain: Rain = edge::json::stored(body).ok_or_else(unexpected)?;
        report.add(What::PoolDiffers, id.as_str(), rain.budget.minor_units(), cents);
    }
    Ok(())
}

/// Looks at a partition.
///
/// # Errors
/// The store's.
pub(super) async fn check<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    rains: &[Named],
    report: &mut Report,
) -> Result<(), CommitError> {
    check_accounts(look, partition, report).await?;
    for (id, rain) in rains {
        check_budget(look, partition, id, rain, report).await?;
    }
    check_packets(look, partition, report).await
}

/// The accounts of a partition add up to zero; and, where all users are looked at, what these have is in
/// them. That lies in many records, so that it is looked at again where anything moved meanwhile; and once
/// more before a difference is told, because something may have moved there and back.
async fn check_accounts<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    report: &mut Report,
) -> Result<(), CommitError> {
    let names = [records::USERS, records::HELD, records::PAID_OUT];
    let mut last = None;
    for attempt in 0..LOOKS_MAX {
        let answers = look.read(partition, vec![accounts(), records::CHANGED.days()]).await?;
        let (before, days) = (balances(answers.first())?, look.days_of(answers.get(1))?);
        if attempt == 0 {
            let total = before.values().sum();
            report.add(What::AccountsUnbalanced, partition.to_string(), 0, total);
        }
        if look.scope == Scope::Recent {
            return Ok(());
        }
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
        let is_still = users.is_empty()
            || balances(look.read(partition, vec![accounts()]).await?.first())? == before;
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

fn accounts() -> Read {
    Read::Some(records::accounts(), READ_FIELDS_MAX)
}

fn balances(answer: Option<&Answer>) -> Result<BTreeMap<Field, i64>, CommitError> {
    let one = |(field, value): &(Field, Value)| Ok((field.clone(), integer(Some(value))?));
    map(answer)?.iter().map(one).collect()
}

/// What was given of a rain in a partition is pending or posted. The pending tokens lie in many records,
/// so that it is looked at again where anything moved meanwhile.
async fn check_budget<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    id: &str,
    rain: &Rain,
    report: &mut Report,
) -> Result<(), CommitError> {
    let fund = Field::from(records::fund(&rain.activity, &rain.scene).as_str());
    let sides = || {
        let fund = Read::Fields(records::accounts(), vec![fund.clone()]);
        vec![Lease::read(rain::lease(id)), fund, Read::Some(records::queue(), READ_FIELDS_MAX)]
    };
    for _ in 0..LOOKS_MAX {
        let answers = look.read(partition, sides()).await?;
        let given = Lease::answered(answers.first())?.issued();
        let posted = fields(answers.get(1))?.first().and_then(Option::as_ref);
        let posted = -integer(posted)?;
        let queue = map(answers.get(2))?;
        if queue.len() >= READ_FIELDS_MAX as usize {
            // More than can be seen in one moment; settlement has to come first.
            break;
        }
        let mut pending = 0;
        for (field, _) in queue {
            let user = records::user_of(field).ok_or_else(unexpected)?;
            pending += pending_of(look, partition, user, rain).await?;
        }
        if look.read(partition, sides()).await? == answers {
            report.add(What::BudgetDiffers, format!("{id}/{partition}"), given, pending + posted);
            return Ok(());
        }
    }
    report.unsettled += 1;
    Ok(())
}

async fn pending_of<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    user: UserId,
    rain: &Rain,
) -> Result<i64, CommitError> {
    let read = Read::All(records::pending(user), records::PENDING_MAX);
    let answers = look.read(partition, vec![read]).await?;
    let tokens = map(answers.first())?;
    let mut sum = 0;
    for (_, value) in tokens {
        let Value::Bytes(stored) = value else { continue };
        // What cannot be read is a difference of the user's.
        let Ok(token) = Token::from_stored(stored) else { continue };
        if token.activity == rain.activity && token.scene == rain.scene {
            sum += token.amount.minor_units();
        }
    }
    Ok(sum)
}

/// Packets of a partition that can still be opened, or are on their way to be closed.
async fn check_packets<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    report: &mut Report,
) -> Result<(), CommitError> {
    let answers = look.read(partition, vec![Read::Some(records::ends(), READ_FIELDS_MAX)]).await?;
    let periods = map(answers.first())?;
    for (field, _) in periods {
        let text = std::str::from_utf8(&field.0).map_err(|_| unexpected())?;
        let period = text.parse().map_err(|_| unexpected())?;
        let read = Read::Some(records::ends_in(period), READ_FIELDS_MAX);
        let answers = look.read(partition, vec![read]).await?;
        let packets = map(answers.first())?;
        for (field, _) in packets {
            let packet = std::str::from_utf8(&field.0).map_err(|_| unexpected())?;
            check_packet(look, partition, packet, report).await?;
            report.packets += 1;
        }
    }
    Ok(())
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
    for opening in &details.openings {
        let number = Field::from(packet::opening_number(packet).as_str());
        let home = look.context.home(opening.user);
        let reads = vec![
            Read::Fields(records::pending(opening.user), vec![number.clone()]),
            Read::Fields(records::posted(opening.user), vec![number]),
        ];
        // First whether its payment is under way: whoever ends that has paid before.
        let owed = Read::Fields(records::owed(), vec![records::pair(opening.user, packet)]);
        let answers = look.read(partition, vec![owed]).await?;
        if fields(answers.first())?.first() != Some(&None) {
            continue;
        }
        let answers = look.read(home, reads).await?;
        let paid =
            answers.iter().any(|answer| matches!(answer, Answer::Fields(f) if f[0].is_some()));
        if !paid {
            report.broken(What::OpeningUnpaid, format!("{packet}/{}", opening.user));
        }
    }
    Ok(())
}
