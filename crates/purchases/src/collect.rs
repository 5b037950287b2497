//! Collecting a user's orders: what is over for long enough goes, and its uses stay counted.
//!
//! An order is over `numbers_days` after it began, or began to give back, whatever became of it; one that is under way is
//! never over. What goes is added to a count of what is gone beside each sum, in the same commit, so that sums agree with
//! what is left of their records at any moment: a user's uses are those of the orders that are there, and what is gone; an
//! activity's are those of its holds, and what is gone.
//!
//! # The steps
//!
//! 1. *In the user's partition*: an order that has taken uses of all users is kept from then on ([`State::Kept`]). It
//!    gives nothing back any more: whoever asks for that is told `too_old`; whoever asks again for what it took is told
//!    what it took.
//! 2. *In each activity's partition*, an hour later: the holds of all of its attempts go, each demanded exactly as it was
//!    read. What a hold has is added to what is gone of the activity; a tombstone leaves nothing. In front of that, the
//!    order says that it is kept since now.
//! 3. *In the user's partition*, an hour later again, of an order of which no hold is there any more: the order goes,
//!    demanded exactly as it was read, with its place in the user's list. A mark of its number ([`store::numbers`]) and what
//!    is gone of the user's uses are written in the same commit. Its units are listed, so that they are found again.
//! 4. *In the user's partition*: of an activity that is sealed to its end, counts of which everything is gone go, both demanded
//!    exactly. Orders that are there keep them.
//!
//! An order without uses of all users begins with step 3; one that has nothing loses its tombstones and goes at once.
//!
//! # What can go wrong
//!
//! - *A crash* after any step leaves it to the next collection: each step does only what it finds not done. A hold that is
//!   gone is not there a second time, so that step 2 counts it once; an order that is gone is not found by step 3.
//! - *A partition that falls back* by the last seconds, because its server failed over, undoes one step, and not one of
//!   another partition: that is an hour older, or comes an hour later. What was undone is found not done.
//! - *Two collections at once* demand the same values: one of them is refused, and leaves the order to the other one.
//! - *Somebody gives back* at the same time: the order is one exact value, so that either giving back comes first, and the
//!   order is not over any more; or it is kept first, and giving back is `too_old`.
//! - *Somebody takes* at the same time, under the same number: an order that is there says what it is; one that was
//!   refused begins again, and is not what step 3 demands. Behind step 3 the mark refuses the number.
//! - *A hold that is late* is minutes late, and what is collected is over for at least a week. Of an activity that is sealed
//!   no hold comes at all.
//! - *One record that cannot be read* stays, with its order, and is told at the end, when everything else is done.

use std::collections::{BTreeMap, BTreeSet};

use domain::answers::{self, fields, integer, unexpected};
use domain::due;
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::partition::Partition;
use domain::time::UnixMillis;
use domain::transaction::{
    CommitError, Field, Guard, MapKey, Member, Page, Range, Read, Value, Write,
};
use store::codec::decode;
use store::numbers::{Forgetting, Watermarks};
use store::retention::{Collected, Terms};
use store::{Binding, Context, Plan};

use crate::order::{Order, Purchase, State};
use crate::records::{self, Hold};

/// Orders with which one call does something.
const ORDERS_MAX: usize = 256;
/// Orders that one call looks at: those that stay are looked at again another time.
const LOOKED_AT_MAX: usize = 4_096;
/// Orders that are read at once. One may have 64 KB.
const PAGE: u32 = 64;
/// Holds that are read at once. One may have 64 KB.
const HOLDS: usize = 128;
/// Operations of one commit, with room for those that belong to all of it.
const OPERATIONS: usize = 1_900;
/// Units that are compared at once: each takes two guards and three writes.
const UNITS: usize = 300;
/// What has no date of its own is looked at again after so long.
const LATER_MS: i64 = 30 * DAY_MS;
/// What is under way, or was passed over, is looked at again after so long.
const SOON_MS: i64 = DAY_MS;
/// Between two steps in different partitions: longer than what a server loses that fails over, whatever clocks say.
const PAUSE_MS: i64 = 60 * 60_000;
const DAY_MS: i64 = 86_400_000;

/// Takes away what is over of a user's orders. `live` are the activities that are not sealed to their end, as they were
/// before this call.
///
/// # Errors
/// The store's; and, behind everything else that could be done, the first record that cannot be read.
pub async fn user<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    terms: &Terms,
    live: &BTreeSet<String>,
) -> Result<Collected, CommitError> {
    let home = context.home(user);
    let collected = Collected::default();
    let mut collection = Collection { context, user, home, terms, collected, fault: None };
    collection.orders().await?;
    collection.units(live).await?;
    match collection.fault {
        Some(fault) => Err(fault),
        None => Ok(collection.collected),
    }
}

/// A collection of a user's orders that is going on.
struct Collection<'a, 'b, B> {
    context: &'a Context<'b, B>,
    user: UserId,
    home: Partition,
    terms: &'a Terms,
    collected: Collected,
    /// The first record that could not be read.
    fault: Option<CommitError>,
}

/// An order that is over, as it was read.
#[derive(Clone, Debug)]
struct Over {
    number: OrderNumber,
    /// Its place in the user's list.
    listed: Member,
    stored: Value,
    purchase: Purchase,
}

/// A hold as it was read.
#[derive(Clone, Debug)]
struct Stored {
    /// Whose, by the order's place among those that are over.
    order: usize,
    name: Field,
    stored: Value,
}

/// Holds by activity, some at a time.
type Holds<'o> = BTreeMap<(&'o str, usize), Vec<Stored>>;

impl<B: Binding> Collection<'_, '_, B> {
    /// Takes away orders that are over, the oldest first.
    async fn orders(&mut self) -> Result<(), CommitError> {
        let (mut after, mut acted, mut looked) = (None, 0, 0);
        loop {
            let page = self.page(after, PAGE).await?;
            looked += page.members.len();
            let over = self.over(&page.members).await?;
            acted += self.take_away(over).await?;
            after = page.members.last().cloned();
            if !page.has_more || after.is_none() {
                return self.wait_for_the_next().await;
            }
            if acted >= ORDERS_MAX {
                self.collected.has_more = true;
                return Ok(());
            }
            if looked >= LOOKED_AT_MAX {
                self.keep_for(SOON_MS);
                return Ok(());
            }
        }
    }

    /// A page of the orders that began so long ago that they may be over.
    async fn page(&self, after: Option<Member>, most: u32) -> Result<Page, CommitError> {
        let below = Some(due::member(self.terms.numbers_until(), &[]));
        let read = Read::Page(records::orders(self.user), Range { after, below }, most);
        let answers = self.context.read(self.home, vec![read]).await?;
        answers::page(answers.first()).cloned()
    }

    /// The first order that is younger says when this is to be looked at again: none ends before it began.
    async fn wait_for_the_next(&mut self) -> Result<(), CommitError> {
        let from = due::member(UnixMillis(self.terms.numbers_until().0 - 1), &[0xff; 1]);
        let range = Range { after: Some(from), below: None };
        let read = Read::Page(records::orders(self.user), range, 1);
        let answers = self.context.read(self.home, vec![read]).await?;
        if let Some(first) = answers::page(answers.first())?.members.first() {
            match due::due(first) {
                Ok(first) => self.keep_from(first.at),
                Err(error) => self.told(error),
            }
        }
        Ok(())
    }

    /// Those of these orders that are over. The others say when they may be.
    async fn over(&mut self, listed: &[Member]) -> Result<Vec<Over>, CommitError> {
        let (mut known, mut reads) = (Vec::new(), Vec::new());
        for member in listed {
            match records::listed_order_of(member) {
                Ok((_, number)) => {
                    let record = records::order(self.user, &number);
                    reads.push(Read::Fields(record, vec![records::ORDER.into()]));
                    known.push((member, number));
                }
                Err(error) => self.told(error),
            }
        }
        if reads.is_empty() {
            return Ok(vec![]);
        }
        let answers = self.context.read(self.home, reads).await?;
        let mut over = Vec::new();
        for ((member, number), answer) in known.into_iter().zip(&answers) {
            let Some(stored) = fields(Some(answer))?.first().and_then(Option::as_ref) else {
                // Gone since the page was read, by another collection; or lost, which reconciliation tells.
                self.keep_for(SOON_MS);
                continue;
            };
            let purchase: Purchase = match decode(stored) {
                Ok(purchase) => purchase,
                Err(error) => {
                    self.told(error);
                    continue;
                }
            };
            let waits = purchase.under_way_since().is_some()
                || !self.is_ripe(purchase.state)
                || !self.may_be_forgotten(&number, &purchase);
            if waits {
                self.keep_for(SOON_MS);
            } else if purchase.at >= self.terms.numbers_until().0 {
                self.keep_from(UnixMillis(purchase.at));
            } else {
                let (listed, stored) = (member.clone(), stored.clone());
                over.push(Over { number, listed, stored, purchase });
            }
        }
        Ok(over)
    }

    /// Whether the step before is long enough ago.
    fn is_ripe(&self, state: State) -> bool {
        match state {
            State::Kept(since) => since <= self.terms.now.0 - PAUSE_MS,
            _ => true,
        }
    }

    fn may_be_forgotten(&self, number: &OrderNumber, purchase: &Purchase) -> bool {
        let order = Order { user: self.user, number };
        order.as_number(purchase.ordered_at.map(UnixMillis)).may_be_forgotten(self.terms.now)
    }

    /// Does the next step with each of these orders; with how many. One of which it cannot be done stays.
    async fn take_away(&mut self, over: Vec<Over>) -> Result<usize, CommitError> {
        let all = over.len();
        if self.terms.dry_run {
            self.collected.count("purchases", all as u64);
            return Ok(all);
        }
        let has_taken = |one: &Over| {
            one.purchase.state == State::Taken && !one.purchase.held_activities().is_empty()
        };
        let (taken, over): (Vec<_>, Vec<_>) = over.into_iter().partition(has_taken);
        self.keep(&taken).await?;
        let holds = self.holds_of(&over).await?;
        let Some(mut stay) = self.keep_holders(&over, &holds).await? else {
            // Another collection is at work. The next call looks again.
            return Ok(0);
        };
        let kept = stay.len();
        for ((activity, _), holds) in holds {
            self.take_holds(activity, holds, &mut stay).await?;
        }
        let left = stay.len() - kept;
        let places = over.iter().enumerate().filter(|(place, _)| !stay.contains(place));
        let without_holds = places.map(|(_, one)| one).collect();
        self.forget(without_holds).await?;
        Ok(all - left)
    }

    /// Orders say that they are kept since now; whether they do.
    async fn keep(&mut self, orders: &[Over]) -> Result<bool, CommitError> {
        if orders.is_empty() {
            return Ok(true);
        }
        let mut plan = Plan::new();
        for one in orders {
            let order = Order { user: self.user, number: &one.number };
            let place = order.place(self.context.partitions);
            let state = State::Kept(self.terms.now.0);
            plan.demand((), place.unchanged(Some(&one.stored)));
            plan.write(place.set(&Purchase { state, ..one.purchase.clone() }));
        }
        self.keep_for(SOON_MS);
        let is_done = self.context.commit(self.home, plan).await?.is_ok();
        // Else somebody changed one of them, which is another one now.
        self.collected.has_more |= !is_done;
        Ok(is_done)
    }

    /// The holds that are there of the attempts of these orders, some of one activity at a time.
    async fn holds_of<'o>(&mut self, over: &'o [Over]) -> Result<Holds<'o>, CommitError> {
        let mut of_activity = BTreeMap::<&str, Vec<(usize, Field)>>::new();
        for (place, Over { number, purchase, .. }) in over.iter().enumerate() {
            for activity in purchase.held_activities() {
                let hold = |attempt| (place, records::hold(self.user, number, attempt));
                of_activity.entry(activity).or_default().extend((1..=purchase.attempt).map(hold));
            }
        }
        let mut holds = Holds::new();
        for (activity, named) in of_activity {
            let partition = records::stock_of(self.context.partitions, activity);
            for (part, some) in named.chunks(HOLDS).enumerate() {
                let names = some.iter().map(|(_, name)| name.clone()).collect();
                let read = Read::Fields(records::holds(activity), names);
                let answers = self.context.read(partition, vec![read]).await?;
                let stored = some.iter().zip(fields(answers.first())?);
                let there = |((order, name), stored): (&(usize, Field), &Option<Value>)| {
                    let stored = stored.clone()?;
                    Some(Stored { order: *order, name: name.clone(), stored })
                };
                holds.insert((activity, part), stored.filter_map(there).collect());
            }
        }
        Ok(holds)
    }

    /// Orders that are kept, and of which something is held, say that they are kept since now, and stay; nothing where one of
    /// them was changed meanwhile.
    async fn keep_holders(
        &mut self,
        over: &[Over],
        holds: &Holds<'_>,
    ) -> Result<Option<BTreeSet<usize>>, CommitError> {
        let holders: BTreeSet<_> = holds.values().flatten().map(|hold| hold.order).collect();
        let is_kept = |place: &usize| {
            over.get(*place).is_some_and(|one| matches!(one.purchase.state, State::Kept(_)))
        };
        let kept: BTreeSet<_> = holders.into_iter().filter(is_kept).collect();
        let orders: Vec<_> = kept.iter().filter_map(|place| over.get(*place)).cloned().collect();
        Ok(self.keep(&orders).await?.then_some(kept))
    }

    /// Takes holds of an activity away, but those of orders that stay for a fault. Adds the orders that stay because one of
    /// theirs is still there.
    async fn take_holds(
        &mut self,
        activity: &str,
        holds: Vec<Stored>,
        stay: &mut BTreeSet<usize>,
    ) -> Result<(), CommitError> {
        let partition = records::stock_of(self.context.partitions, activity);
        let (map, stock) = (records::holds(activity), records::stock(activity));
        let mut commit = Commit::default();
        for Stored { order, name, stored } in holds {
            let hold: Hold = match decode(&stored) {
                Ok(hold) => hold,
                Err(error) => {
                    self.told(error);
                    stay.insert(order);
                    continue;
                }
            };
            let uses = match &hold {
                Hold::Held(uses) => uses.as_slice(),
                Hold::LetGo => &[],
            };
            if !commit.has_room(3 + uses.len()) {
                self.commit(partition, std::mem::take(&mut commit), stay).await?;
            }
            commit.guards.push(Guard::FieldEquals(map.clone(), name.clone(), stored));
            commit.writes.push(Write::Unset(map.clone(), name.clone()));
            commit.orders.push(order);
            if hold != Hold::LetGo {
                let held = Member(name.0);
                commit.writes.push(Write::RemoveMember(records::held(activity), held));
            }
            for one in uses {
                let field = (stock.clone(), records::gone_unit(&one.unit));
                *commit.added.entry(field).or_insert(0) += i64::from(one.uses);
            }
        }
        self.commit(partition, commit, stay).await
    }

    /// Commits; where it is refused, or cannot be done for a fault of its records, the orders that it is about stay.
    async fn commit(
        &mut self,
        partition: Partition,
        commit: Commit,
        stay: &mut BTreeSet<usize>,
    ) -> Result<(), CommitError> {
        let orders = commit.orders.clone();
        if orders.is_empty() {
            return Ok(());
        }
        match self.context.commit(partition, commit.plan()).await {
            Ok(Ok(_)) => return Ok(()),
            // Another collection came first.
            Ok(Err(_)) => self.collected.has_more = true,
            Err(error) if error.is_of_records() => self.told(error),
            Err(error) => return Err(error),
        }
        stay.extend(orders);
        Ok(())
    }

    /// The third step: orders go, and their numbers are forgotten.
    async fn forget(&mut self, over: Vec<&Over>) -> Result<(), CommitError> {
        let (mut some, mut commit) = (Vec::new(), Commit::default());
        for one in over {
            let counted = one.purchase.uses.iter().filter(|used| used.of_user.is_some());
            if !commit.has_room(4 + 2 * counted.count()) {
                self.forget_some(std::mem::take(&mut some), std::mem::take(&mut commit)).await?;
            }
            self.add_to(&mut commit, one);
            some.push(one);
        }
        self.forget_some(some, commit).await
    }

    /// Puts an order into a commit that takes it away.
    fn add_to(&self, commit: &mut Commit, one: &Over) {
        let order = Order { user: self.user, number: &one.number };
        let place = order.place(self.context.partitions);
        commit.guards.push(place.unchanged(Some(&one.stored)));
        commit.writes.push(Write::Drop(place.map));
        commit.writes.push(Write::RemoveMember(records::orders(self.user), one.listed.clone()));
        for used in one.purchase.uses.iter().filter(|used| used.of_user.is_some()) {
            let unit = records::unit_of(&used.activity, &used.unit);
            commit.listed.insert(Member(unit.0.clone()));
            if one.purchase.counts() {
                let field = (records::gone(self.user), unit);
                *commit.added.entry(field).or_insert(0) += i64::from(used.uses);
            }
        }
    }

    /// Takes some orders away, in one commit.
    async fn forget_some(
        &mut self,
        some: Vec<&Over>,
        mut commit: Commit,
    ) -> Result<(), CommitError> {
        if some.is_empty() {
            return Ok(());
        }
        let answers = self.context.read(self.home, vec![Watermarks::read(self.user)]).await?;
        let watermarks = Watermarks::answered(answers.first())?;
        let numbers = some.iter().map(|one| {
            let order = Order { user: self.user, number: &one.number };
            order.as_number(one.purchase.ordered_at.map(UnixMillis))
        });
        let forgetting = watermarks.forget(numbers, self.terms.now, self.context.partitions);
        // Each of them was looked at.
        let Forgetting { guards, writes } = forgetting.ok_or_else(unexpected)?;
        commit.guards.extend(guards);
        commit.writes.extend(writes);
        let units = records::gone_units(self.user);
        let listed = std::mem::take(&mut commit.listed).into_iter();
        commit.writes.extend(listed.map(|unit| Write::AddMember(units.clone(), unit)));
        match self.context.commit(self.home, commit.plan()).await {
            Ok(Ok(_)) => self.collected.count("purchases", some.len() as u64),
            // Somebody changed one of them, or another collection came first.
            Ok(Err(_)) => self.collected.has_more = true,
            Err(error) if error.is_of_records() => self.told(error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The fourth step: of activities that are sealed, counts go of which everything is gone.
    async fn units(&mut self, live: &BTreeSet<String>) -> Result<(), CommitError> {
        let mut after = None;
        loop {
            let read = records::page_of_gone_units(self.user, after);
            let answers = self.context.read(self.home, vec![read]).await?;
            let page = answers::page(answers.first())?;
            let mut over = Vec::new();
            for unit in &page.members {
                match records::activity_of(&unit.0) {
                    Ok(activity) if live.contains(activity) => self.keep_for(LATER_MS),
                    Ok(_) => over.push(unit),
                    Err(error) => self.told(error),
                }
            }
            for some in over.chunks(UNITS) {
                self.units_of(some).await?;
            }
            after = page.members.last().cloned();
            if !page.has_more || after.is_none() {
                return Ok(());
            }
        }
    }

    /// Takes counts of some units away, if all of their uses are gone.
    async fn units_of(&mut self, units: &[&Member]) -> Result<(), CommitError> {
        let names: Vec<_> = units.iter().map(|unit| Field(unit.0.clone())).collect();
        let [counts, gone] = [records::user(self.user), records::gone(self.user)];
        let reads = vec![
            Read::Fields(counts.clone(), names.clone()),
            Read::Fields(gone.clone(), names.clone()),
        ];
        let answers = self.context.read(self.home, reads).await?;
        let mut plan = Plan::new();
        let mut number = 0;
        let both = fields(answers.first())?.iter().zip(fields(answers.get(1))?);
        for (name, (counted, of_gone)) in names.into_iter().zip(both) {
            match (integer(counted.as_ref()), integer(of_gone.as_ref())) {
                (Ok(counted), Ok(of_gone)) if counted == of_gone => {}
                // An order that is there counts.
                (Ok(_), Ok(_)) => {
                    self.keep_for(LATER_MS);
                    continue;
                }
                (Err(error), _) | (_, Err(error)) => {
                    self.told(error);
                    continue;
                }
            }
            for (map, stored) in [(&counts, counted), (&gone, of_gone)] {
                plan.demand((), unchanged(map, &name, stored.as_ref()));
                plan.write(Write::Unset(map.clone(), name.clone()));
            }
            let member = Member(name.0);
            plan.write(Write::RemoveMember(records::gone_units(self.user), member));
            number += 1;
        }
        if !self.terms.dry_run
            && !plan.is_empty()
            && self.context.commit(self.home, plan).await?.is_err()
        {
            self.collected.has_more = true;
            return Ok(());
        }
        self.collected.count("purchase_counts", number);
        Ok(())
    }

    /// Something is left that is over so long after a moment.
    fn keep_from(&mut self, at: UnixMillis) {
        let kept_ms = self.terms.now.0 - self.terms.numbers_until().0;
        self.collected.keep_until(UnixMillis(at.0.saturating_add(kept_ms).max(self.terms.now.0)));
    }

    /// Something is left that is to be looked at again after so long.
    fn keep_for(&mut self, ms: i64) {
        self.collected.keep_until(UnixMillis(self.terms.now.0.saturating_add(ms)));
    }

    /// Something cannot be read: it stays.
    fn told(&mut self, fault: CommitError) {
        self.keep_for(SOON_MS);
        self.fault.get_or_insert(fault);
    }
}

fn unchanged(map: &MapKey, field: &Field, stored: Option<&Value>) -> Guard {
    match stored {
        Some(stored) => Guard::FieldEquals(map.clone(), field.clone(), stored.clone()),
        None => Guard::FieldAbsent(map.clone(), field.clone()),
    }
}

/// What one commit takes away.
#[derive(Clone, Debug, Default)]
struct Commit {
    guards: Vec<Guard>,
    writes: Vec<Write>,
    /// What is gone, each field once.
    added: BTreeMap<(MapKey, Field), i64>,
    /// Units that are listed, each once.
    listed: BTreeSet<Member>,
    /// The orders whose holds it takes, by their place among those that are over.
    orders: Vec<usize>,
}

impl Commit {
    /// Whether so many operations more fit into it. One item always does.
    fn has_room(&self, more: usize) -> bool {
        let operations =
            self.guards.len() + self.writes.len() + self.added.len() + self.listed.len();
        self.guards.is_empty() || operations + more <= OPERATIONS
    }

    fn plan(self) -> Plan<()> {
        let mut plan = Plan::new();
        plan.demand_all((), self.guards).write_all(self.writes);
        let add = |((map, field), uses)| Write::Add(map, field, uses);
        plan.write_all(self.added.into_iter().map(add));
        plan
    }
}
