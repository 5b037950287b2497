//! What activities have given to orders: what is counted for all users against the holds, and each hold against its
//! order. An activity and its holds lie in one partition, the orders in those of their users. What orders used that were
//! collected is counted beside what all used, as gone, and has no holds any more.

use std::collections::{BTreeMap, BTreeSet};

use domain::answers::{self, fields, integer};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::transaction::{
    Answer, CommitError, FIELD_BYTES_MAX, Field, Member, READ_FIELDS_MAX, RECORD_BYTES_MAX, Range,
    Read, Value,
};
use edge::store::Binding;
use purchases::order::{Purchase, counted_for_all};
use purchases::records::{self, Hold};
use store::codec::decode;

use super::orders::ORDERS;
use super::{FIELDS, LOOKS_MAX, Look, Report, Scope, What, value};

/// Listed units of an activity that are compared in one look.
const UNITS_MAX: usize = 65_536;
/// Holds of one activity that are added up in one look.
const HOLDS_MAX: usize = 65_536;

/// Bytes of an activity's name: those that the names of its records have room for.
const ACTIVITY_BYTES_MAX: usize = RECORD_BYTES_MAX - 2;
/// Behind all holds of an activity: their names are text.
const END: &[u8] = &[0xff];

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
    let mut before = String::new();
    for member in look.members(partition, None, page).await? {
        let activity = String::from_utf8(member.0.clone()).ok();
        let Some(activity) = activity.filter(|name| name.len() <= ACTIVITY_BYTES_MAX) else {
            let place = format!("activities of {partition}: {}", member.0.escape_ascii());
            report.broken(What::RecordUnreadable, place);
            continue;
        };
        let behind = match after {
            Some((last, _)) if activity < *last => continue,
            Some((last, hold)) if activity == *last && hold.0 == END => {
                before = activity;
                continue;
            }
            Some((last, hold)) if activity == *last => Some(hold.clone()),
            _ => None,
        };
        if behind.is_none() && look.is_enough() {
            return Ok(Some((before, Member(END.to_vec()))));
        }
        if behind.is_none() {
            let result = check_sums(look, partition, &activity, report).await;
            report.isolate(|| format!("uses of {activity}"), result)?;
        }
        if let Some(hold) = check_all(look, partition, &activity, behind, report).await? {
            return Ok(Some((activity, hold)));
        }
        before = activity;
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
        let all = [&sums.held, &sums.gone, &sums.counted];
        let units: BTreeSet<_> = all.into_iter().flat_map(Uses::keys).collect();
        for unit in units {
            let of = |uses: &Uses| uses.get(unit).copied().unwrap_or(0);
            let (held, counted) = (of(&sums.held) + of(&sums.gone), of(&sums.counted));
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

/// What an activity counts, what its holds have, and what those had that are gone.
struct Sums {
    counted: Uses,
    held: Uses,
    gone: Uses,
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
    let (fields, is_all) = match map {
        Some(counted) => {
            let one = |(unit, uses): &(Field, Value)| Ok((unit.clone(), integer(Some(uses))?));
            (counted.iter().map(one).collect::<Result<_, CommitError>>()?, true)
        }
        None => counted_of(look, partition, activity, &held).await?,
    };
    let (mut counted, mut gone) = (Uses::new(), Uses::new());
    for (field, uses) in fields {
        match records::unit_of_gone(&field) {
            Some(unit) => drop(gone.insert(unit, uses)),
            None => drop(counted.insert(field, uses)),
        }
    }
    if !is_exact {
        let after = look.read(partition, own()).await?;
        if after[..] != before[..after.len()] {
            return Ok(None);
        }
    }
    Ok(Some(Sums { counted, held, gone, is_exact, is_all }))
}

/// What an activity counts of the units that are listed, or that holds have, and what is gone of them; and whether it counts
/// no other ones.
async fn counted_of<B: Binding>(
    look: &Look<'_, '_, B>,
    partition: Partition,
    activity: &str,
    held: &Uses,
) -> Result<(Uses, bool), CommitError> {
    let page =
        |after| Read::Page(records::units(activity), Range { after, below: None }, READ_FIELDS_MAX);
    let mut listed = Vec::new();
    let mut visit = |unit: &Member| {
        listed.push(unit.clone());
        listed.len() < UNITS_MAX
    };
    // Of those beyond it the sum is unsettled.
    look.visit_list(partition, None, page, &mut visit).await?;
    // One that counts all units together lists none.
    let listed = listed.iter().map(|unit| String::from_utf8_lossy(&unit.0)).chain(["".into()]);
    let listed = listed.flat_map(|unit| [records::unit(&unit), records::gone_unit(&unit)]);
    // What is no unit has no field.
    let listed = listed.filter(|unit| unit.0.len() <= FIELD_BYTES_MAX);
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
        let Some(last) = found.members.last().filter(|_| found.has_more) else { return Ok(None) };
        if look.is_enough() {
            return Ok(Some(last.clone()));
        }
        behind = Some(last.clone());
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use binding::memory::Memory;
    use domain::partition::Partitions;
    use domain::time::UnixMillis;
    use domain::transaction::{Transaction, Write};
    use edge::store::Binding as _;
    use futures::executor::block_on;
    use purchases::records::HeldUses;
    use store::codec::encode;
    use wallet::keys::SigningKeys;

    use super::super::COMMITS_MAX;
    use super::*;

    /// Looks again and again, each time with as many commits as a call may make already, or some less.
    fn look_at(store: &Memory, left: u64) -> (Vec<String>, u32) {
        let partitions = Partitions::new(1).unwrap();
        let context =
            store::Context { store, partitions, now: UnixMillis(0), timer: store::Timer::still() };
        let keys = SigningKeys::parse(&format!("dev-1:{}", "A".repeat(43)), true).unwrap();
        let keys = super::super::VerifyingKeys::parse(&keys.verifying_text(), true).unwrap();
        let (mut report, mut after) = (Report::default(), None);
        for call in 1..100 {
            let (commits, lists) = (Cell::new(COMMITS_MAX - left), Cell::new(0));
            let (context, keys, stage, scope) = (&context, &keys, "test", Scope::Full);
            let sealed = std::cell::RefCell::default();
            let look = Look { context, stage, keys, scope, commits, lists, sealed };
            let behind = after.as_ref().map(|(activity, hold)| (activity, hold));
            let partition = partitions.of_configurations().next().unwrap();
            after = block_on(check(&look, partition, behind, &mut report)).unwrap();
            if after.is_none() {
                let told = report.differences.into_iter().map(|one| one.place);
                return (told.collect(), call);
            }
        }
        panic!("it does not go on")
    }

    /// Holds of no order, of activities that count nothing: one difference for each of both.
    #[test]
    fn wherever_a_call_stops_the_next_one_looks_at_the_rest_and_at_nothing_twice() {
        let store = Memory::new();
        let partition = Partitions::new(1).unwrap().of_configurations().next().unwrap();
        let hold = Hold::Held(vec![HeldUses { unit: String::new(), uses: 1 }]);
        let mut expected = Vec::new();
        for (activity, holds) in [("a", 0), ("b", 2), ("c", 1_200), ("d", 3)] {
            let listed = Write::AddMember(records::activities(), activity.into());
            let mut writes = vec![listed];
            if holds > 0 {
                expected.push(activity.to_owned());
            }
            let mut places = Vec::new();
            for one in 0..holds {
                let name = records::hold(UserId(7), &number(&format!("n{one}")), 1);
                let member = Member(name.0.clone());
                writes.push(Write::AddMember(records::held(activity), member));
                if writes.len() > 1_000 {
                    commit(&store, partition, std::mem::take(&mut writes));
                }
                writes.push(Write::Set(records::holds(activity), name, encode(&hold)));
                places.push(format!("7/n{one} of {activity}"));
            }
            commit(&store, partition, writes);
            expected.extend(places);
        }
        expected.sort();
        let mut calls = Vec::new();
        for left in [COMMITS_MAX, 30, 12, 6, 4, 3, 2] {
            let (mut told, called) = look_at(&store, left);
            told.sort();
            assert_eq!(told, expected, "{left} left");
            calls.push(called);
        }
        assert_eq!(calls.first(), Some(&1));
        assert!(calls.is_sorted() && calls.last() > Some(&4), "{calls:?}");
    }

    fn commit(store: &Memory, partition: Partition, writes: Vec<Write>) {
        let transaction = Transaction { writes, ..Transaction::default() };
        block_on(store.commit(partition, &transaction)).unwrap();
    }

    fn number(text: &str) -> OrderNumber {
        OrderNumber::parse(text, "order_number").unwrap()
    }
}
