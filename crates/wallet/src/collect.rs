//! What is over goes: entries become lines of months, withdrawals and packets leave marks of their numbers.
//!
//! - [`user`]: the entries of one user, found by the lists of days ([`records::CHANGED`]); the protocol is that of
//!   [`crate::carried`]
//! - [`withdrawals`]: those that ended long ago, found by an index of each partition; [`crate::withdraw`]
//! - [`packets`]: packets and payments for them, likewise; `packet/forget.rs`
//!
//! Each call is bounded, and says whether there is more. What cannot be read stays, keeps nothing else, and is told.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use binding::Binding;
use domain::answers::{fields, unexpected};
use domain::due::{self, Swept};
use domain::ids::UserId;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{Answer, CommitError, Field, Guard, Read, Value, Write};
use store::Plan;
use store::listing::Place;
use store::numbers::Watermarks;
use store::retention::{Collected, Terms};
use store::sweep::{Fault, Sweep, Tried};

use crate::account::{Account, Gone};
use crate::carried::{Carried, Months};
use crate::context::Context;
use crate::entry::{Entry, What};
use crate::packet;
use crate::records;
use crate::statement;
use crate::token::Token;
use crate::withdraw::{State, Withdrawal};

/// Entries that one call carries: each takes three writes at most, and each of their months a guard and a write.
const ENTRIES_MAX: i64 = 256;
/// Withdrawals that one call takes away in a partition, and that it passes over: those that are pending stay in front.
const WITHDRAWALS_MAX: u64 = 256;
const PASSED_OVER_MAX: u64 = 16_384;
/// A user of whom something is left is looked at again after that, where nothing says when.
const AGAIN_MS: i64 = 30 * 86_400_000;
const DAY_MS: i64 = 86_400_000;

/// Carries the entries of a user that are old enough, up to the first that may not go. `live` are the rains that are not
/// sealed, as "activity/scene".
///
/// # Errors
/// The store's; that of an entry which cannot be read, once all before it went.
pub async fn user<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    terms: &Terms,
    live: &BTreeSet<String>,
) -> Result<Collected, CommitError> {
    let home = context.home(user);
    let mut collected = Collected::default();
    let reads = vec![
        Account::read(user),
        Months::read(user),
        Watermarks::read(user),
        Read::Size(records::pending(user)),
    ];
    let answers = context.read(home, reads).await?;
    let account = Account::answered(answers.first())?;
    let months = Months::answered(answers.get(1))?;
    let watermarks = Watermarks::answered(answers.get(2))?;
    let is_empty = account == Account::default() && months == Months::default();
    if is_empty && answers.get(3) == Some(&Answer::Size(0)) {
        return Ok(collected);
    }
    let Candidates { entries, stopped } = candidates(context, user, &account, terms, live).await?;
    if matches!(stopped, Stopped::AtFault(_)) {
        // What somebody else carried meanwhile is not there, and not at fault.
        let answers = context.read(home, vec![Account::read(user)]).await?;
        if Account::answered(answers.first())?.carried != account.carried {
            return Ok(Collected { has_more: true, ..Collected::default() });
        }
    }
    let mut next = months.clone();
    entries.iter().for_each(|one| next.add(&one.carried, &one.bytes));
    let merged = next.merge(terms.archive_until());
    collected.count("entries", entries.len() as u64);
    collected.count("months", merged as u64);
    if !collected.gone.is_empty() && !terms.dry_run {
        let plan = carry(context, user, &account, &watermarks, &entries, terms, (&months, &next));
        if context.commit(home, plan.ok_or_else(unexpected)?).await?.is_err() {
            // Somebody else carries them.
            return Ok(Collected { has_more: true, ..Collected::default() });
        }
    }
    match stopped {
        // What went before it is told first, and it by the next call.
        Stopped::AtFault(error) if collected.gone.is_empty() || terms.dry_run => return Err(error),
        Stopped::AtFault(_) | Stopped::AtBound => collected.has_more = true,
        Stopped::Until(at) => collected.keep_until(at),
        Stopped::AtEnd => {}
    }
    if collected.next.is_none() {
        collected.keep_until(UnixMillis(terms.now.0 + AGAIN_MS));
    }
    Ok(collected)
}

/// An entry that may go.
struct Candidate {
    sequence: i64,
    entry: Entry,
    /// Its token, where it is one's.
    token: Option<Token>,
    carried: Carried,
    bytes: Vec<u8>,
}

/// Entries that may go, and what stops at the first that may not.
struct Candidates {
    entries: Vec<Candidate>,
    stopped: Stopped,
}

/// Why no more entries go.
enum Stopped {
    /// There are no more.
    AtEnd,
    /// A call does no more.
    AtBound,
    /// The next may go at a moment, at the earliest.
    Until(UnixMillis),
    /// The next is at fault.
    AtFault(CommitError),
}

/// The first entries of a user that are not carried: two round trips.
async fn candidates<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    account: &Account,
    terms: &Terms,
    live: &BTreeSet<String>,
) -> Result<Candidates, CommitError> {
    let end = account.sequence.min(account.carried + ENTRIES_MAX);
    let stopped = if end < account.sequence { Stopped::AtBound } else { Stopped::AtEnd };
    let mut found = Candidates { entries: Vec::new(), stopped };
    for (sequence, value) in statement::stored(context, user, account.carried..end).await? {
        match candidate(user, sequence, value.as_ref(), terms, live) {
            Ok(one) => found.entries.push(one),
            Err(stopped) => {
                found.stopped = stopped;
                break;
            }
        }
    }
    if found.entries.is_empty() {
        return Ok(found);
    }
    // Numbers go with their entries, and withdrawals before theirs.
    let (mut posted, mut withdrawn) = (Vec::new(), Vec::new());
    for one in &found.entries {
        match (&one.token, &one.entry.what) {
            (Some(token), _) => posted.push(Field::from(token.order_number.as_str())),
            (None, What::Withdrawal(number) | What::Voided(number)) => {
                withdrawn.push(Field::from(number.as_str()));
            }
            (None, _) => {}
        }
    }
    // A read has at least one field: one that there never is stands behind the others.
    let with_one_more = |mut names: Vec<Field>| {
        names.push(Field(vec![0]));
        names
    };
    let reads = vec![
        Read::Fields(records::posted(user), with_one_more(posted)),
        Read::Fields(records::withdrawals(user), with_one_more(withdrawn)),
    ];
    let answers = context.read(context.home(user), reads).await?;
    let (mut marks, mut kept) = (fields(answers.first())?.iter(), fields(answers.get(1))?.iter());
    for (place, one) in found.entries.iter().enumerate() {
        let stopped = match (&one.token, &one.entry.what) {
            (Some(token), _) => {
                let is_its_own = marks.next() == Some(&Some(Value::Integer(one.sequence)));
                let error =
                    || format!("the number {} is not posted by its entry", token.order_number);
                (!is_its_own).then(|| Stopped::AtFault(CommitError::Unreadable(error())))
            }
            (None, What::Withdrawal(_) | What::Voided(_)) => {
                let is_kept = kept.next().is_some_and(Option::is_some);
                is_kept.then(|| Stopped::Until(UnixMillis(terms.now.0 + AGAIN_MS)))
            }
            (None, _) => None,
        };
        if let Some(stopped) = stopped {
            found.entries.truncate(place);
            found.stopped = stopped;
            break;
        }
    }
    Ok(found)
}

/// An entry that may go, by what it says alone.
fn candidate(
    user: UserId,
    sequence: i64,
    value: Option<&Value>,
    terms: &Terms,
    live: &BTreeSet<String>,
) -> Result<Candidate, Stopped> {
    let at_fault = || {
        let error = format!("the entry {sequence} of user {user} cannot be read");
        Stopped::AtFault(CommitError::Unreadable(error))
    };
    let Some(Value::Bytes(bytes)) = value else { return Err(at_fault()) };
    let entry = Entry::decode(&Value::Bytes(bytes.clone())).map_err(Stopped::AtFault)?;
    let until = terms.entries_until().min(terms.numbers_until());
    if entry.at >= until.0 {
        return Err(Stopped::Until(UnixMillis(entry.at + (terms.now.0 - until.0) + 1)));
    }
    let again = Stopped::Until(UnixMillis(terms.now.0 + AGAIN_MS));
    let token = match &entry.what {
        What::Token(payload) => {
            let token = Token::from_payload(payload)
                .ok()
                .filter(|token| token.user == user && token.amount.minor_units() == entry.amount);
            let token = token.ok_or_else(at_fault)?;
            let is_of_rain = token.activity != packet::ACTIVITY;
            if is_of_rain && live.contains(&format!("{}/{}", token.activity, token.scene)) {
                return Err(again);
            }
            if !token.number().may_be_forgotten(terms.now) {
                return Err(Stopped::Until(UnixMillis(terms.now.0 + DAY_MS)));
            }
            Some(token)
        }
        What::Withdrawal(_) | What::Voided(_) | What::Sent(_) => None,
    };
    let is_income = token.as_ref().is_some_and(|token| !packet::is_refund(token));
    let income = if is_income { entry.amount } else { 0 };
    let (taken, back) = match &entry.what {
        What::Withdrawal(_) => (-entry.amount, 0),
        What::Voided(_) => (0, entry.amount),
        What::Token(_) | What::Sent(_) => (0, 0),
    };
    let (first, until) = (sequence, entry.at);
    let amount = entry.amount;
    let carried = Carried { amount, income, taken, back, count: 1, first, until, hash: 0 };
    Ok(Candidate { sequence, entry, token, carried, bytes: bytes.clone() })
}

/// The commit that carries entries, and merges months; nothing where a token is too young.
fn carry<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    account: &Account,
    watermarks: &Watermarks,
    entries: &[Candidate],
    terms: &Terms,
    (months, next): (&Months, &Months),
) -> Option<Plan<()>> {
    let numbers = entries.iter().filter_map(|one| Some(one.token.as_ref()?.number()));
    let forgetting = watermarks.forget(numbers, terms.now, context.partitions)?;
    let mut plan = Plan::new();
    plan.at(context.now).demand((), account.demand_carried(user));
    let (guards, writes) = months.change(next, user);
    plan.demand_all((), guards).demand_all((), forgetting.guards);
    plan.write_all(writes).write_all(forgetting.writes);
    let mut gone = Gone::default();
    for one in entries {
        plan.write(Write::Unset(records::page(user, one.sequence), records::entry(one.sequence)));
        if let Some(token) = &one.token {
            let number = token.order_number.as_str().into();
            plan.write(Write::Unset(records::posted(user), number));
        }
        gone.taken -= one.carried.taken;
        gone.back -= one.carried.back;
    }
    plan.write_all(gone.writes(user));
    plan.write_all(entries.last().map(|last| Account::set_carried(user, last.sequence + 1)));
    Some(plan)
}

/// Forgets packets of some partitions' senders that are over, and payments about which an operator decided long ago.
///
/// # Errors
/// The store's, where it failed before anything was done or found.
pub async fn packets<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
    terms: &Terms,
) -> Result<(Swept, Collected), CommitError> {
    packet::forget::forget(context, partitions, terms).await
}

/// Forgets withdrawals of some partitions' users that ended long ago. Those of one user go in one commit.
///
/// # Errors
/// The store's, where it failed before anything was done or found.
pub async fn withdrawals<B: Binding>(
    context: &Context<'_, B>,
    partitions: &[Partition],
    terms: &Terms,
) -> Result<(Swept, Collected), CommitError> {
    let sweep = Sweep {
        index: records::WITHDRAWALS,
        name: "a withdrawal that is over",
        partitions,
        until: UnixMillis(terms.numbers_until().0 - 1),
        looks_ahead: false,
        sets_aside: !terms.dry_run,
        done_max: WITHDRAWALS_MAX,
        passed_over_max: PASSED_OVER_MAX,
    };
    let gone = RefCell::new(0);
    let swept = sweep
        .run(context, async |items| {
            let tried = forget_withdrawals(context, items, terms).await;
            *gone.borrow_mut() += tried.iter().filter(|one| **one == Some(Ok(true))).count();
            tried
        })
        .await?;
    let mut collected = Collected { has_more: swept.has_more, ..Collected::default() };
    collected.count("withdrawals", gone.into_inner() as u64);
    Ok((swept, collected))
}

/// A withdrawal of an index: its place among the items, since when, and its number.
type Item<'a> = (usize, UnixMillis, &'a str);

async fn forget_withdrawals<B: Binding>(
    context: &Context<'_, B>,
    items: &[Place],
    terms: &Terms,
) -> Vec<Tried> {
    let mut tried: Vec<Tried> = vec![None; items.len()];
    let mut users: BTreeMap<(Partition, UserId), Vec<Item<'_>>> = BTreeMap::new();
    for (place, item) in items.iter().enumerate() {
        match item.due().and_then(|due| Ok((due.at, due::user_of(due.what)?))) {
            Ok((at, (user, number))) => {
                users.entry((item.partition, user)).or_default().push((place, at, number));
            }
            Err(error) => tried[place] = Some(Err(error.into())),
        }
    }
    let reads = |((partition, user), items): (&(Partition, UserId), &Vec<Item<'_>>)| {
        let names = items.iter().map(|(_, _, number)| (*number).into()).collect();
        [
            (*partition, Read::Fields(records::withdrawals(*user), names)),
            (*partition, Watermarks::read(*user)),
        ]
    };
    let answers = context.read_some(users.iter().flat_map(reads).collect()).await;
    let (mut plans, mut of_plans) = (Vec::new(), Vec::new());
    for (((partition, user), items), answers) in users.iter().zip(answers.chunks(2)) {
        match of_user(context, *user, items, answers, terms, &mut tried) {
            Ok((plan, places)) if !places.is_empty() => {
                plans.push((*partition, plan));
                of_plans.push(places);
            }
            Ok(_) => {}
            Err(error) => {
                for (place, ..) in items {
                    tried[*place] = Some(Err(error.clone().into()));
                }
            }
        }
    }
    if terms.dry_run {
        of_plans.concat().into_iter().for_each(|place| tried[place] = Some(Ok(true)));
        return tried;
    }
    for (places, result) in of_plans.into_iter().zip(context.commit_some(plans).await) {
        let result = result.map(|decided| decided.is_ok());
        for place in places {
            tried[place] = Some(result.clone().map_err(Fault::of_shared_record));
        }
    }
    tried
}

/// The commit that takes withdrawals of one user away, and the places of those that it takes; the others are tried.
fn of_user<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    items: &[Item<'_>],
    answers: &[Result<Answer, CommitError>],
    terms: &Terms,
    tried: &mut [Tried],
) -> Result<(Plan<()>, Vec<usize>), CommitError> {
    let [found, watermarks] = answers else { return Err(unexpected()) };
    let (found, watermarks) = (found.clone()?, watermarks.clone()?);
    let watermarks = Watermarks::answered(Some(&watermarks))?;
    let record = records::withdrawals(user);
    let mut plan = Plan::new();
    plan.at(context.now);
    let (mut gone, mut places, mut numbers) = (Gone::default(), Vec::new(), Vec::new());
    for ((place, at, number), value) in items.iter().zip(fields(Some(&found))?) {
        let field = Field::from(*number);
        let entry = due::of_user(user, number);
        let withdrawal = match value.as_ref().map(Withdrawal::decode).transpose() {
            Ok(withdrawal) => withdrawal,
            Err(error) => {
                tried[*place] = Some(Err(error.into()));
                continue;
            }
        };
        let (Some(value), Some(withdrawal)) = (value, withdrawal.filter(|one| one.at == at.0))
        else {
            // A retry of an operator put back what has gone on since.
            plan.write(records::WITHDRAWALS.remove(*at, &entry));
            plan.demand(
                (),
                match value {
                    Some(value) => Guard::FieldEquals(record.clone(), field, value.clone()),
                    None => Guard::FieldAbsent(record.clone(), field),
                },
            );
            places.push(*place);
            continue;
        };
        let mark = withdrawal.number(user, number);
        if withdrawal.state == State::Pending || !mark.may_be_forgotten(terms.now) {
            tried[*place] = Some(Ok(false));
            continue;
        }
        match withdrawal.state {
            State::Posted => {
                gone.taken += withdrawal.amount;
            }
            State::Voided => {
                gone.taken += withdrawal.amount;
                gone.back += withdrawal.amount;
            }
            State::Pending | State::ExceedsBalance => {}
        }
        plan.demand((), Guard::FieldEquals(record.clone(), field.clone(), value.clone()));
        plan.write(Write::Unset(record.clone(), field));
        plan.write_all(withdrawal.unlisted(user, number));
        numbers.push(mark);
        places.push(*place);
    }
    let forgetting = watermarks.forget(numbers, terms.now, context.partitions);
    let forgetting = forgetting.ok_or_else(unexpected)?;
    plan.demand_all((), forgetting.guards).write_all(forgetting.writes);
    plan.write_all(gone.writes(user));
    Ok((plan, places))
}
