//! Sealing rains that are over for good ([`store::sealed`] has the protocol).
//!
//! # When a rain is over for good
//!
//! A month and a day after its last round, by the version that is published and by all before it ([`SETTLED`] in the pool):
//! until then it may be given further rounds, and the counters of its users are there ([`crate::limits`]). The seal is made
//! so many days later as operators say, and only where
//! - all cents that were not given are in the pool; else leases are called back, and it is looked at again a day later;
//! - no token that could be of it waits to be posted: no partition's queue has an entry that was drawn before its end. So what
//!   is given of it is in the books of the users, but for tokens that were lost or set aside. These keep no rain from being
//!   sealed: its short record says how much was given, and how much of that was posted.
//!
//! # What becomes of it
//!
//! A day after the seal, and each step only where the ones before it are done: the copy goes, and with it all but one copy of
//! the secret; the list entry goes into the archive, once more only where all of this holds. Then in each partition one commit
//! takes the lease away, as it was seen, with nothing left, and moves what the fund gave into [`records::SEALED`]: both or
//! none, so that what was given is at any moment what was posted, for whoever compares them. Another day later that is done
//! once more, because a partition that failed over may have forgotten it. Then the record goes that says whose the activity
//! and the scene are, and leaves a mark: no other rain has them ever again, because the ledger knows a campaign by them. Then
//! the pool goes, with the secret, and leaves its mark; the due entry goes.
//!
//! # What can come late
//!
//! A token that was set aside, or lost and put back by its client, is posted from the fund of its rain, whose account is
//! there again then, in one partition, and balances. It is moved once more when the short record goes.
//!
//! Moving a fund demands the exact amount that was seen, so that it happens once however often it is sent; where a posting
//! comes between it is refused and looked at again. A crash between two partitions leaves leases and funds in the others,
//! and the next call goes on there.

use std::collections::BTreeSet;

use binding::Binding;
use domain::answers::{self, fields, integer, unexpected};
use domain::partition::Partition;
use domain::time::{GRACE_MS, UnixMillis};
use domain::transaction::{Answer, CommitError, Field, Guard, Member, Read, Value, Write};
use lease::{Lease, call_back_all, given_if_home};
use store::life::{Life, Shape};
use store::published::{Configuration as _, SETTLED};
use store::retention::Terms;
use store::sealed::{self, Archived, Kind, Looked, Seal, Sealing, WAIT_MS};
use store::{Plan, attempts};

use crate::context::Context;
use crate::rain::{self, ARCHIVE, Rain, listed, listed_of};
use crate::records;

/// Partitions that one wave looks at or changes.
const WAVE: usize = 256;
/// What due indexes of this module list, in words for operators.
const RAIN: &str = "a rain that is over for good";
const RECORD: &str = "the short record of a rain";

/// Kinds of records of what is sealed.
pub const LIVES: &[Life] = &[
    Life {
        name: "mis",
        shape: Shape::Ordered,
        what: "rains by the moment at which nothing of them acts any more",
        written_by: "publishing and sealing",
        acts: "until the rain is gone",
        ends: "with the last step of its sealing",
    },
    Life {
        name: "miz",
        shape: Shape::Map,
        what: "what is kept of rains that were sealed",
        written_by: "sealing",
        acts: "never: it is only told",
        ends: "each record archive_days after the seal, by sealing",
    },
    Life {
        name: "miy",
        shape: Shape::Ordered,
        what: "rains that were sealed by the moment of their seal",
        written_by: "sealing",
        acts: "as long as there is a short record",
        ends: "with the short record",
    },
];

/// The activities and scenes, as `activity/scene`, of rains that are not sealed and gone: whatever is not among them gives
/// nothing for good, and no rain ever has it again.
///
/// # Errors
/// The store's. A member of the list that cannot be read keeps nothing from being told.
pub async fn live<B: Binding>(context: &Context<'_, B>) -> Result<BTreeSet<String>, CommitError> {
    let home = rain::home_of_all(context.partitions);
    let members = sealed::list(context, home, &rain::all()).await?;
    let of = |member: &Member| {
        let fund = listed_of(member).ok()?.fund;
        Some(fund.strip_prefix(records::FUND)?.to_owned())
    };
    Ok(members.iter().filter_map(of).collect())
}

/// What is kept of a rain that is sealed, as long as that is kept.
///
/// # Errors
/// The store's.
pub async fn archived<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
) -> Result<Option<Archived>, CommitError> {
    let place = rain::publication(context.partitions, id).sealing();
    match place.look(context).await? {
        Seal::Open => Ok(None),
        Seal::Sealed(archived) => Ok(Some(*archived)),
        Seal::Gone => place.archived(context).await,
    }
}

/// Seals rains that are over, and takes away those that are sealed, and short records that were kept long enough.
///
/// # Errors
/// The store's, where it failed before anything was done or found. What cannot be read stops only itself.
pub async fn rains<B: Binding>(
    context: &Context<'_, B>,
    terms: &Terms,
) -> Result<Sealing, CommitError> {
    let lists = rain::home_of_all(context.partitions);
    let look = async |id: &str| look_at(context, id, terms).await;
    let mut sealing = ARCHIVE.seal_due(context, lists, RAIN, terms, look).await?;
    let before = async |_: &str, archived: &Archived| match of(archived) {
        Some((activity, scene)) => fold_all(context, &records::fund(activity, scene)).await,
        None => Ok(()),
    };
    sealing.add(ARCHIVE.end(context, lists, RECORD, terms, before).await?);
    Ok(sealing)
}

/// The activity and the scene of a rain that is sealed.
fn of(archived: &Archived) -> Option<(&str, &str)> {
    archived.activity.as_deref().zip(archived.scene.as_deref())
}

async fn look_at<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    terms: &Terms,
) -> Result<Looked, CommitError> {
    let publication = rain::publication(context.partitions, id);
    match publication.sealing().look(context).await? {
        Seal::Gone => Ok(Looked::Nothing),
        Seal::Open => seal(context, id, terms).await,
        Seal::Sealed(archived) if terms.now.0 < archived.sealed_at.0.saturating_add(WAIT_MS) => {
            Ok(Looked::Waits)
        }
        Seal::Sealed(archived) => take(context, id, &archived, terms).await,
    }
}

async fn seal<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    terms: &Terms,
) -> Result<Looked, CommitError> {
    let publication = rain::publication(context.partitions, id);
    let gone = || CommitError::Unreadable(format!("the rain {id} is listed, and not there"));
    let (version, [settled]) = publication.find(context, [SETTLED]).await?.ok_or_else(gone)?;
    let at = version.record.settled_at().max(UnixMillis(settled));
    if at > terms.configuration_until() {
        return Ok(Looked::Later(at));
    }
    let rain = &version.record.rain;
    let totals = totals(context, id, rain, !terms.dry_run).await?;
    let Some((given, posted)) = totals else { return Ok(Looked::Waits) };
    if terms.dry_run {
        return Ok(Looked::Sealed);
    }
    let archived = Archived {
        activity: Some(rain.activity.clone()),
        scene: Some(rain.scene.clone()),
        from: rain.rounds.iter().map(|round| round.from).min(),
        until: Some(rain.until()),
        total: Some(rain.budget.minor_units()),
        given: Some(given),
        posted: Some(posted),
        ..Archived::of(version.number, terms.now)
    };
    let is_sealed = publication.seal(context, &version, [], &archived).await?;
    Ok(if is_sealed { Looked::Sealed } else { Looked::Waits })
}

/// Cents that were given of a rain, and those of them that were posted; nothing where some may still be given back or
/// posted. `calls_back` leases first where it has to.
async fn totals<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    rain: &Rain,
    calls_back: bool,
) -> Result<Option<(i64, i64)>, CommitError> {
    let place = rain::place(context.partitions, id);
    let mut given = given_if_home(context, &place).await?;
    if given.is_none() && calls_back {
        call_back_all(context, &place).await?;
        given = given_if_home(context, &place).await?;
    }
    let until = UnixMillis(rain.until().0.saturating_add(GRACE_MS));
    let fund = Field::from(records::fund(&rain.activity, &rain.scene).as_str());
    let partitions: Vec<_> = context.partitions.all().collect();
    let mut posted = 0;
    for wave in partitions.chunks(WAVE) {
        let queues = wave.iter().map(|one| (*one, records::QUEUE.page(until, None, 1)));
        for queue in context.read_all(queues.collect()).await? {
            if !answers::page(Some(&queue))?.members.is_empty() {
                return Ok(None);
            }
        }
        let read = || Read::Fields(records::accounts(), vec![fund.clone()]);
        let funds = wave.iter().map(|one| (*one, read())).collect();
        for answer in context.read_all(funds).await? {
            posted -= amount(Some(&answer))?.unwrap_or(0);
        }
    }
    Ok(given.map(|given| (given, posted)))
}

/// What a fund of a partition gave, below 0; nothing where it has no account there.
fn amount(answer: Option<&Answer>) -> Result<Option<i64>, CommitError> {
    match fields(answer)? {
        [None] => Ok(None),
        [value] => integer(value.as_ref()).map(Some),
        _ => Err(unexpected()),
    }
}

/// Takes a rain away that is sealed and quiet: all but its home on one day, and that on another one.
async fn take<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    archived: &Archived,
    terms: &Terms,
) -> Result<Looked, CommitError> {
    let publication = rain::publication(context.partitions, id);
    let sealing = publication.sealing();
    let found = publication.find(context, []).await?;
    // Else somebody else has just taken it.
    let Some((version, [])) = found else { return Ok(Looked::Nothing) };
    let rain = &version.record.rain;
    let listed = listed(id, rain);
    let is_listed = sealing.is_listed(context, &listed).await?;
    if terms.dry_run {
        return Ok(if is_listed { Looked::Waits } else { Looked::Gone });
    }
    publication.take_copy(context).await?;
    if is_listed {
        // No lease is gone yet.
        if totals(context, id, rain, true).await?.is_none() {
            return Ok(Looked::Waits);
        }
        sealing.move_into_archive(context, listed, archived).await?;
    }
    let fund = records::fund(&rain.activity, &rain.scene);
    if !close_all(context, id, &fund).await? || is_listed {
        return Ok(Looked::Waits);
    }
    take_owner(context, id, rain).await?;
    let is_first = sealing.take_home(context, archived).await?;
    Ok(if is_first { Looked::Gone } else { Looked::Nothing })
}

/// Takes the leases of a rain away and moves its fund, everywhere; `false` where a partition has cents that were not given,
/// or another commit came first.
async fn close_all<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    fund: &str,
) -> Result<bool, CommitError> {
    let (lease, fund) = (rain::lease(id), Field::from(fund));
    let partitions: Vec<_> = context.partitions.all().collect();
    let mut is_all = true;
    for wave in partitions.chunks(WAVE) {
        let read = |one: &Partition| {
            let mut plan = Plan::<()>::new();
            plan.read(Lease::read(lease.clone()));
            plan.read(Read::Fields(records::accounts(), vec![fund.clone()]));
            (*one, plan)
        };
        let seen = context.commit_all(wave.iter().map(read).collect()).await?;
        let mut plans = Vec::new();
        for (partition, seen) in wave.iter().zip(seen) {
            let answers = seen.map_err(|_| unexpected())?;
            let mut plan = Plan::new();
            let of_partition = Lease::answered(answers.first())?;
            fold(&mut plan, &fund, amount(answers.get(1))?);
            match lease::close(&mut plan, (), &lease, &of_partition) {
                true => plans.push((*partition, plan)),
                false => is_all = false,
            }
        }
        for decided in context.commit_some(plans).await {
            is_all &= decided?.is_ok();
        }
    }
    Ok(is_all)
}

/// Puts into a plan that what a fund gave is moved, if it is what was seen.
fn fold(plan: &mut Plan<()>, fund: &Field, seen: Option<i64>) {
    let accounts = records::accounts();
    match seen {
        None => {
            plan.demand((), Guard::FieldAbsent(accounts, fund.clone()));
        }
        Some(cents) => {
            let value = Value::Integer(cents);
            plan.demand((), Guard::FieldEquals(accounts.clone(), fund.clone(), value));
            plan.write(Write::Unset(accounts.clone(), fund.clone()));
            plan.write(Write::Add(accounts, records::SEALED.into(), cents));
        }
    }
}

/// Moves what a fund gave once more, wherever it has an account again.
async fn fold_all<B: Binding>(context: &Context<'_, B>, fund: &str) -> Result<(), CommitError> {
    let fund = Field::from(fund);
    let partitions: Vec<_> = context.partitions.all().collect();
    attempts("move the fund of a sealed rain", async || {
        let mut is_all = true;
        for wave in partitions.chunks(WAVE) {
            let read = || Read::Fields(records::accounts(), vec![fund.clone()]);
            let reads = wave.iter().map(|one| (*one, read())).collect();
            let mut plans = Vec::new();
            for (partition, answer) in wave.iter().zip(context.read_all(reads).await?) {
                if let Some(cents) = amount(Some(&answer))? {
                    let mut plan = Plan::new();
                    fold(&mut plan, &fund, Some(cents));
                    plans.push((*partition, plan));
                }
            }
            for decided in context.commit_some(plans).await {
                is_all &= decided?.is_ok();
            }
        }
        Ok(is_all.then_some(()))
    })
    .await
}

/// Takes away the record that says whose an activity and a scene are, and marks them as used.
async fn take_owner<B: Binding>(
    context: &Context<'_, B>,
    id: &str,
    rain: &Rain,
) -> Result<(), CommitError> {
    let owner = rain::owner(context.partitions, &rain.activity, &rain.scene);
    let seen = owner.find(context).await?;
    if seen.record.as_ref().is_some_and(|owner| owner.0 == id) {
        let mark = Kind::SceneOfRain.mark_used(&of_rain(rain), context.partitions);
        // Where it is another one, somebody else has just taken it.
        owner.swap(context, &seen, None, vec![mark]).await?;
    }
    Ok(())
}

/// What a rain has alone: its activity and its scene.
pub fn of_rain(rain: &Rain) -> String {
    format!("{}/{}", rain.activity, rain.scene)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_of_the_archive_is_declared() {
        for name in [ARCHIVE.due.0, ARCHIVE.records, ARCHIVE.ends.0] {
            assert_eq!(LIVES.iter().filter(|life| life.matches(name)).count(), 1, "{name}");
        }
    }
}
