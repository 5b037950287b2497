//! What activities have given to orders: what is counted for all users against the holds, and each hold against its
//! order. An activity and its holds lie in one partition, the orders in those of their users.

use std::collections::{BTreeMap, BTreeSet};

use domain::answers::{self, fields, integer};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::transaction::{
    Answer, CommitError, Field, Member, READ_FIELDS_MAX, Range, Read, Value,
};
use edge::store::Binding;
use purchases::order::{Purchase, counted_for_all};
use purchases::records::{self, Hold};
use store::codec::decode;

use super::orders::ORDERS;
use super::{FIELDS, LOOKS_MAX, Look, Report, Scope, What, value};

/// Holds of one activity that are added up in one look.
const HOLDS_MAX: usize = 65_536;

/// How often units were used.
type Uses = BTreeMap<Field, i64>;

/// A hold that holds something.
struct Held {
    name: Member,
    user: UserId,
    number: OrderNumber,
    attempt: u32,
}

/// Looks at the activities whose uses are counted in a partition, behind a hold of one of them; the last one, where it
/// stopped. It takes all holds there are, so that it is a part of a full look only.
///
/// # Errors
/// The store's.
pub(super) async fn check<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    after: Option<(&String, &Member)>,
    report: &mut Report,
) -> Result<Option<(String, Member)>, CommitError> {
    if look.scope == Scope::Recent {
        return Ok(None);
    }
    let page =
        |after| Read::Page(records::activities(), Range { after, below: None }, READ_FIELDS_MAX);
    for member in look.members(partition, None, page).await? {
        let Ok(activity) = String::from_utf8(member.0.clone()) else {
            let place = format!("activities of {partition}: {}", member.0.escape_ascii());
            report.broken(What::RecordUnreadable, place);
            continue;
        };
        let behind = match after {
            Some((last, _)) if activity < *last => continue,
            Some((last, hold)) if activity == *last => Some(hold.clone()),
            _ => None,
        };
        if behind.is_none() {
            let result = check_sums(look, partition, &activity, report).await;
            report.isolate(|| format!("uses of {activity}"), result)?;
        }
        if let Some(hold) = check_all(look, partition, &activity, behind, report).await? {
            return Ok(Some((activity, hold)));
        }
    }
    Ok(None)
}

/// What is counted of an activity is what its holds have. Holds that one read returns are read with it. Where there are
/// more, it is looked at again where anything moved meanwhile, and once more before a difference is told.
async fn check_sums<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    activity: &str,
    report: &mut Report,
) -> Result<(), CommitError> {
    let mut last = BTreeMap::new();
    for _ in 0..LOOKS_MAX {
        let page = |after| {
            Read::Page(records::held(activity), Range { after, below: None }, READ_FIELDS_MAX)
        };
        let names = look.members(partition, None, page).await?;
        if names.len() > HOLDS_MAX {
            break;
        }
        let Some(sums) = sums(look, partition, activity, &names).await? else { continue };
        let mut differences = BTreeMap::new();
        let units: BTreeSet<_> = sums.held.keys().chain(sums.counted.keys()).collect();
        for unit in units {
            let of = |uses: &Uses| uses.get(unit).copied().unwrap_or(0);
            let (held, counted) = (of(&sums.held), of(&sums.counted));
            if held != counted {
                differences.insert(unit.clone(), (held, counted));
            }
        }
        if sums.is_exact || differences.is_empty() || differences == last {
            for (unit, (held, counted)) in differences {
                let unit = String::from_utf8_lossy(&unit.0).into_owned();
                let place = match unit.strip_prefix('n') {
                    Some("") => activity.to_owned(),
                    name => format!("{activity}/{}", name.unwrap_or(&unit)),
                };
                report.add(What::UsesOfAllDiffer, place, held, counted);
            }
            report.unsettled += u64::from(!sums.is_all);
            return Ok(());
        }
        last = differences;
    }
    report.unsettled += 1;
    Ok(())
}

/// What an activity counts, and what its holds have.
struct Sums {
    counted: Uses,
    held: Uses,
    /// Whether both are of one moment.
    is_exact: bool,
    /// Whether these are all of its units.
    is_all: bool,
}

/// Adds up the holds of these names; nothing where they are not what holds something any more.
async fn sums<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    activity: &str,
    names: &[Member],
) -> Result<Option<Sums>, CommitError> {
    let all = Answer::Size(names.len() as u64);
    let own = || {
        let count = Read::Count(records::held(activity), Range::default());
        vec![count, Read::All(records::stock(activity), READ_FIELDS_MAX)]
    };
    let read = |names: &[Member]| {
        let fields = names.iter().map(|name| Field(name.0.clone())).collect();
        Read::Fields(records::holds(activity), fields)
    };
    let is_one = names.len() <= FIELDS;
    let mut reads = own();
    if is_one && !names.is_empty() {
        reads.push(read(names));
    }
    let before = look.read(partition, reads).await?;
    let mut stored: Vec<Option<Value>> = Vec::new();
    if let Some(holds) = before.get(2) {
        stored.extend_from_slice(fields(Some(holds))?);
    } else {
        for some in names.chunks(FIELDS) {
            let answers = look.read(partition, vec![read(some)]).await?;
            stored.extend_from_slice(fields(answers.first())?);
        }
    }
    let mut held = Uses::new();
    for stored in &stored {
        let hold: Option<Hold> = stored.as_ref().map(decode).transpose()?;
        let Some(Hold::Held(uses)) = hold else { return Ok(None) };
        for one in uses {
            *held.entry(records::unit(&one.unit)).or_insert(0) += i64::from(one.uses);
        }
    }
    if before.first() != Some(&all) {
        return Ok(None);
    }
    let map = match before.get(1) {
        Some(Answer::Map(counted)) => Some(counted),
        _ => None,
    };
    let is_exact = is_one && map.is_some();
    let (counted, is_all) = match map {
        Some(counted) => {
            let one = |(unit, uses): &(Field, Value)| Ok((unit.clone(), integer(Some(uses))?));
            (counted.iter().map(one).collect::<Result<_, CommitError>>()?, true)
        }
        None => counted_of(look, partition, activity, &held).await?,
    };
    if !is_exact {
        let after = look.read(partition, own()).await?;
        if after[..] != before[..after.len()] {
            return Ok(None);
        }
    }
    Ok(Some(Sums { counted, held, is_exact, is_all }))
}

/// What an activity counts of the units that are listed, or that holds have; and whether it counts no other ones.
async fn counted_of<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    activity: &str,
    held: &Uses,
) -> Result<(Uses, bool), CommitError> {
    let page =
        |after| Read::Page(records::units(activity), Range { after, below: None }, READ_FIELDS_MAX);
    let listed = look.members(partition, None, page).await?;
    let listed = listed.iter().map(|unit| records::unit(&String::from_utf8_lossy(&unit.0)));
    let units: BTreeSet<_> = held.keys().cloned().chain(listed).collect();
    let units: Vec<_> = units.into_iter().collect();
    let (mut counted, mut size) = (Uses::new(), None);
    for some in units.chunks(FIELDS) {
        let stock = records::stock(activity);
        let reads = vec![Read::Size(stock.clone()), Read::Fields(stock, some.to_vec())];
        let answers = look.read(partition, reads).await?;
        size = answers.first().cloned();
        for (unit, uses) in some.iter().zip(fields(answers.get(1))?) {
            if uses.is_some() {
                counted.insert(unit.clone(), integer(uses.as_ref())?);
            }
        }
    }
    let is_all = size == Some(Answer::Size(counted.len() as u64));
    Ok((counted, is_all))
}

/// Looks at the holds of an activity behind one of them; the last one, where it stopped.
async fn check_all<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    activity: &str,
    mut behind: Option<Member>,
    report: &mut Report,
) -> Result<Option<Member>, CommitError> {
    loop {
        let range = Range { after: behind.clone(), below: None };
        let page = Read::Page(records::held(activity), range, ORDERS as u32);
        let answers = look.read(partition, vec![page.clone()]).await?;
        let found = answers::page(answers.first())?;
        let result = check_page(look, partition, activity, page, &found.members, report).await;
        report.isolate(|| format!("holds of {activity}"), result)?;
        let last = found.members.last().cloned();
        if look.is_enough() {
            return Ok(Some(last.or(behind).unwrap_or_else(|| Member(Vec::new()))));
        }
        match last {
            Some(last) if found.has_more => behind = Some(last),
            _ => return Ok(None),
        }
    }
}

/// Looks at a page of holds. What is not listed any more has let go meanwhile.
async fn check_page<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    activity: &str,
    page: Read,
    names: &[Member],
    report: &mut Report,
) -> Result<(), CommitError> {
    if names.is_empty() {
        return Ok(());
    }
    let read = |names: Vec<&Member>| {
        let fields = names.into_iter().map(|name| Field(name.0.clone())).collect();
        Read::Fields(records::holds(activity), fields)
    };
    let answers = look.read(partition, vec![page, read(names.iter().collect())]).await?;
    let listed: BTreeSet<_> = answers::page(answers.first())?.members.iter().collect();
    let mut of_home = BTreeMap::<Partition, Vec<Held>>::new();
    for (name, stored) in names.iter().zip(fields(answers.get(1))?) {
        let place = || format!("{} of {activity}", name.0.escape_ascii());
        let hold: Option<Result<Hold, _>> = stored.as_ref().map(decode);
        match (hold, records::hold_of(&name.0)) {
            (Some(Ok(Hold::Held(_))), Ok((user, number, attempt))) => {
                let held = Held { name: name.clone(), user, number, attempt };
                of_home.entry(look.context.home(user)).or_default().push(held);
            }
            (Some(Err(_)), _) | (_, Err(_)) => report.broken(What::RecordUnreadable, place()),
            // Both change in one commit.
            _ if listed.contains(name) => report.broken(What::HoldMissing, place()),
            _ => {}
        }
    }
    let mut without_order = Vec::new();
    for (home, holds) in &of_home {
        let order = |one: &Held| {
            Read::Fields(records::order(one.user, &one.number), vec![records::ORDER.into()])
        };
        let answers = look.read(*home, holds.iter().map(order).collect()).await?;
        for (one, answer) in holds.iter().zip(&answers) {
            let stored = value(Some(answer))?;
            match stored.map(decode::<Purchase>) {
                Some(Ok(order)) if has(&order, one.attempt, activity) => {}
                Some(Err(_)) => {
                    let place = format!("{}/{}", one.user, one.number);
                    report.broken(What::RecordUnreadable, place);
                }
                Some(Ok(_)) | None => without_order.push(one),
            }
        }
    }
    if without_order.is_empty() {
        return Ok(());
    }
    // Whatever an order has not any more it let go before: what still holds now is left.
    let names = without_order.iter().map(|one| &one.name).collect();
    let answers = look.read(partition, vec![read(names)]).await?;
    for (one, stored) in without_order.into_iter().zip(fields(answers.first())?) {
        if matches!(stored.as_ref().map(decode), Some(Ok(Hold::Held(_)))) {
            report.broken(What::HoldLeft, format!("{}/{} of {activity}", one.user, one.number));
        }
    }
    Ok(())
}

/// Whether an order may have something of an activity by an attempt.
fn has(order: &Purchase, attempt: u32, activity: &str) -> bool {
    order.counts()
        && order.attempt == attempt
        && counted_for_all(&order.uses).iter().any(|(of, _)| *of == activity)
}
