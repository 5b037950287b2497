//! How what a user had of coupons goes, once it has been over for long enough.
//!
//! - An *order* goes once it [ended](crate::records::Order::ended_at) before [`Terms::numbers_until`]. Its number is
//!   forgotten in the same commit ([`store::numbers`]): it acts no more. The coupon that it gave counts on: for the limit of
//!   the user (in `ck<user>`, for `n<template>`), and as given by the lease (`gone` beside it), so that whoever checks the
//!   books finds that what is left and what went are what there was.
//! - The *counts* of a template go once no order of it is left and the template is sealed: nobody gets a coupon of it then.
//!   A count that is 0 goes at any time: it is as if there were none.
//! - A *chance* goes once its campaign is sealed and each of its groups has ended, and none is owed a reward.
//!
//! # Steps
//!
//! 1. One look at all that is kept of the user, and how far numbers are forgotten.
//! 2. What is over by the clock alone is committed to have expired, as for anybody who meets it ([`crate::expiry`],
//!    [`crate::chance`]). A reservation puts its stock back. Then step 1 again.
//! 3. One commit takes away what goes: it demands each order as it was seen, and the leases; it writes the marks of the
//!    numbers, adds what went to the counts, and lowers the number of pages where the last ones are empty.
//!
//! # What can go wrong
//!
//! - A crash before step 3 leaves orders that have expired, which they have; after it nothing is left to do. Each step is
//!   one commit in the partition of the user: there is no moment with an order and without its count, or with neither the
//!   order nor its mark.
//! - A commit that comes late or twice demands orders that are there no more, or are another way: it is refused as a whole.
//!   What was refused is looked at anew.
//! - Somebody asks for the number: before the commit they are told what it gave, after it `too_old`. What was under way
//!   meets the order or the mark, wherever the order lay ([`crate::orders`]).
//! - Somebody redeems, or rolls back, what goes: one of the two is first, and the other one is refused and looks again.
//! - Orders are moved to a page: the commit demands them where they were.
//! - Clocks: what goes ended a week ago at least, and clocks are minutes off.
//! - A lease that is gone belongs to a template that is sealed: nothing is added to it, or it would come back.
//! - The order of a reward stays as long as the reward counts as due: whoever gives it finds that it was given. A reward
//!   never becomes due again.
//! - What cannot be read stays, and keeps nothing else: it is told at the end, once all else that can go has gone.

use std::collections::{BTreeMap, BTreeSet};

use domain::answers::{integer, unexpected};
use domain::ids::UserId;
use domain::order_number::OrderNumber;
use domain::time::UnixMillis;
use domain::transaction::{
    Answer, CommitError, Field, Guard, READ_FIELDS_MAX, Read, Transaction, Value, Write,
};
use lease::CREDITED;
use store::attempts::{ATTEMPTS_MAX, attempts};
use store::numbers::{Forgetting, KEPT_MS_MIN, Watermarks};
use store::retention::{Collected, Terms};
use store::{Binding, Context, Plan};

use crate::chance::{Chance, Groups, campaign_of};
use crate::expiry::{expire, replace};
use crate::group_buy::rewarded_by;
use crate::orders::{Record, demand_pages, set_pages};
use crate::records::{self, GONE, Order};
use crate::settling::{UNUSED_GONE, returned};

/// Orders that one call takes away, and one commit; and so many that one call says have expired.
const ORDERS_MAX: usize = 256;
/// Orders of which one commit says that they have expired: a reservation takes ten operations.
const OVER_MAX: usize = 128;
/// Templates whose counts one commit takes away, and chances.
const FIELDS_MAX: usize = 64;
/// Where only counts or chances are left, which have no end of their own, a user is looked at again so much later.
const AGAIN_MS: i64 = 30 * DAY_MS;
const DAY_MS: i64 = 86_400_000;

/// Takes away what a user had of coupons and is over for long enough: at most 256 orders a call. `live` are all templates
/// that are not sealed, and `campaigns` all such group-buy campaigns: what is missing there counts as sealed.
///
/// # Errors
/// The store's. Of a record that cannot be read, or changed, only once all else that can go has gone.
pub async fn user<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    terms: &Terms,
    live: &BTreeSet<String>,
    campaigns: &BTreeSet<String>,
) -> Result<Collected, CommitError> {
    let rules = Rules { terms, live, campaigns };
    let (mut gone, mut faults) = (Collected::default(), Faults::default());
    let (mut room, mut ends) = (ORDERS_MAX, ORDERS_MAX);
    for _ in 0..ATTEMPTS_MAX {
        let seen = look(context, user).await?;
        let found = find(&seen, &rules, &mut faults);
        if terms.dry_run {
            let all = found.first(usize::MAX, usize::MAX);
            gone.count("orders", found.over.len() as u64);
            all.count(&mut gone);
            gone.next = found.next;
            return faults.or(gone);
        }
        if found.is_over() && ends > 0 {
            let most = ends.min(OVER_MAX).min(faults.batch);
            ends -= end(context, user, &found, most, terms.now, &mut faults).await?;
            continue;
        }
        let taken = found.first(room.min(faults.batch), FIELDS_MAX);
        if !taken.is_empty() {
            let plan = take(context, &seen, &taken, terms, &faults.without_lease)?;
            match context.commit(context.home(user), plan).await {
                Err(error) if error.is_of_records() => {
                    faults.isolate(taken.go, error);
                    continue;
                }
                Err(error) => return Err(error),
                Ok(Err(refused)) => {
                    if let Why::Lease(template) = refused.why {
                        faults.without_lease.insert(template);
                    }
                    continue;
                }
                Ok(Ok(_)) => {}
            }
            taken.count(&mut gone);
            room -= taken.go.len();
        }
        if taken.is_last && !found.is_over() {
            gone.next = found.next;
            return faults.or(gone);
        }
        if taken.is_last || room == 0 {
            break;
        }
    }
    // It is to be looked at again at once.
    gone.has_more = true;
    gone.keep_until(terms.now);
    Ok(gone)
}

/// All that is kept of a user, at one moment.
struct Seen {
    record: Record,
    /// How many coupons were collected, by template.
    collected: Vec<(Field, Value)>,
    marks: Watermarks,
}

async fn look<B: Binding>(context: &Context<'_, B>, user: UserId) -> Result<Seen, CommitError> {
    let mut pages = 0;
    attempts("look at what a user had", async || {
        let mut reads =
            vec![Watermarks::read(user), Read::All(records::collected(user), READ_FIELDS_MAX)];
        reads.extend(Record::reads(user, pages));
        let mut answers = context.read(context.home(user), reads).await?.into_iter();
        let marks = Watermarks::answered(answers.next().as_ref())?;
        let Some(Answer::Map(collected)) = answers.next() else { return Err(unexpected()) };
        let record = Record::answered(user, answers)?;
        let there = record.page_count()?;
        let is_whole = there == pages;
        pages = there;
        Ok(is_whole.then_some(Seen { record, collected, marks }))
    })
    .await
}

/// What may go.
struct Rules<'a> {
    terms: &'a Terms,
    live: &'a BTreeSet<String>,
    campaigns: &'a BTreeSet<String>,
}

/// An order.
struct Old {
    page: u32,
    number: OrderNumber,
    stored: Value,
    order: Order,
}

/// The counts of a template.
#[derive(Default)]
struct Counts {
    /// How many the user got, as it is stored.
    had: Option<Value>,
    /// How many of them were collected.
    collected: Option<Value>,
    /// Orders that hold or have a coupon of it.
    present: i64,
    is_live: bool,
}

/// What of a user's can go, and has to be over first.
#[derive(Default)]
struct Found {
    /// Orders that are over by the clock alone.
    over: Vec<Old>,
    /// Groups likewise: the commit that says so.
    groups_over: Vec<Transaction>,
    /// Orders that go.
    go: Vec<Old>,
    counts: BTreeMap<String, Counts>,
    /// Chances that go.
    chances: Vec<(Field, Value)>,
    /// How many orders each page has, the first one first.
    pages: Vec<usize>,
    /// When something of the rest can go.
    next: Option<UnixMillis>,
}

/// What was at fault so far.
struct Faults {
    /// The first of it.
    first: Option<CommitError>,
    /// Orders that cannot be ended or taken away.
    orders: BTreeSet<OrderNumber>,
    /// Templates without a lease here.
    without_lease: BTreeSet<String>,
    /// Orders of one commit: one, once a commit of several was at fault.
    batch: usize,
}

impl Default for Faults {
    fn default() -> Self {
        let (orders, without_lease) = Default::default();
        Self { first: None, orders, without_lease, batch: ORDERS_MAX }
    }
}

impl Faults {
    fn note(&mut self, error: CommitError) {
        self.first.get_or_insert(error);
    }

    /// A commit of these orders is at fault: of several each is tried alone, and one is left out.
    fn isolate(&mut self, orders: &[Old], error: CommitError) {
        if let [one] = orders {
            self.orders.insert(one.number.clone());
            self.note(error);
        } else {
            self.batch = 1;
        }
    }

    /// What went, or what is at fault.
    fn or(self, gone: Collected) -> Result<Collected, CommitError> {
        self.first.map_or(Ok(gone), Err)
    }
}

impl Rules<'_> {
    /// When what ended then can go.
    fn after(&self, ended: UnixMillis) -> UnixMillis {
        let days = i64::from(self.terms.retention.numbers_days);
        UnixMillis(ended.0.saturating_add(days * DAY_MS))
    }

    fn again(&self) -> UnixMillis {
        UnixMillis(self.terms.now.0 + AGAIN_MS)
    }

    /// When an order can go; nothing where it can now.
    fn keeps(&self, user: UserId, number: &OrderNumber, order: &Order) -> Option<UnixMillis> {
        match order.ended_at() {
            Some(ended) if ended < self.terms.numbers_until() => {
                let number = order.number(user, number);
                // A number whose time is later than that of its order: clocks of callers differ.
                let is_young = !number.may_be_forgotten(self.terms.now);
                let at = number.ordered_at.filter(|_| is_young)?;
                Some(UnixMillis(at.0.saturating_add(KEPT_MS_MIN)))
            }
            _ => Some(self.after(order.ends_at())),
        }
    }
}

impl Found {
    fn keep_until(&mut self, at: UnixMillis) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    fn is_over(&self) -> bool {
        !self.over.is_empty() || !self.groups_over.is_empty()
    }
}

/// What of a user's can go, and when the rest can. What cannot be read is noted as at fault.
fn find(seen: &Seen, rules: &Rules<'_>, faults: &mut Faults) -> Found {
    let pages = seen.record.pages.iter().map(Vec::len).collect();
    let mut found = Found { pages, ..Found::default() };
    let owed = find_chances(&seen.record, rules, &mut found, faults);
    find_orders(&seen.record, rules, &owed, &mut found, faults);
    for (field, value) in &seen.record.fields {
        if let Some(template) = records::counted(field) {
            let counts = found.counts.entry(template.to_owned()).or_default();
            counts.had = Some(value.clone());
        }
    }
    for (field, value) in &seen.collected {
        let template = String::from_utf8_lossy(&field.0).into_owned();
        found.counts.entry(template).or_default().collected = Some(value.clone());
    }
    for (template, counts) in &mut found.counts {
        counts.is_live = rules.live.contains(template);
    }
    let all = found.first(usize::MAX, usize::MAX);
    // A count that has orders waits for them, which have dates.
    let is_left = |(template, counts): (&String, &Counts)| {
        let counted = all.counted.get(template.as_str()).copied().unwrap_or(0);
        counts.had.is_some() && counts.present <= counted && !counts.goes(counted)
    };
    if found.counts.iter().any(is_left) {
        found.keep_until(rules.again());
    }
    found
}

/// Finds chances that go; the campaigns whose reward is due, or may be.
fn find_chances<'a>(
    record: &'a Record,
    rules: &Rules<'_>,
    found: &mut Found,
    faults: &mut Faults,
) -> BTreeSet<&'a str> {
    let now = rules.terms.now;
    let mut owed = BTreeSet::new();
    for (field, value) in &record.fields {
        let Some(campaign) = campaign_of(field) else { continue };
        let groups = match Groups::decode(Some(value)) {
            Ok(groups) => groups,
            Err(error) => {
                owed.insert(campaign);
                faults.note(error);
                continue;
            }
        };
        if groups.due().is_some() {
            owed.insert(campaign);
        }
        let last = groups.all().iter().map(|group| group.expires_at()).max();
        let last = last.unwrap_or(now);
        if rules.campaigns.contains(campaign) || groups.due().is_some() {
            found.keep_until(rules.again());
        } else if last >= rules.terms.numbers_until() {
            found.keep_until(rules.after(last));
        } else if groups.at(now) == groups {
            found.chances.push((field.clone(), value.clone()));
        } else {
            let chance = Chance { user: record.user, campaign };
            found.groups_over.push(chance.change(&groups, &groups.at(now)));
        }
    }
    owed
}

fn find_orders(
    record: &Record,
    rules: &Rules<'_>,
    owed: &BTreeSet<&str>,
    found: &mut Found,
    faults: &mut Faults,
) {
    for (page, number, stored) in record.orders() {
        let order = match Order::decode(stored) {
            Ok(order) => order,
            Err(error) => {
                faults.note(error);
                continue;
            }
        };
        if let Some(coupon) = order.coupon() {
            found.counts.entry(coupon.template.clone()).or_default().present += 1;
        }
        if faults.orders.contains(&number) {
            continue;
        }
        let over = order.over_at(rules.terms.now);
        if let Some(at) = rules.keeps(record.user, &number, over.as_ref().unwrap_or(&order)) {
            found.keep_until(at);
        } else if rewarded_by(&number).is_some_and(|(campaign, _)| owed.contains(campaign)) {
            found.keep_until(rules.again());
        } else {
            let list = if over.is_some() { &mut found.over } else { &mut found.go };
            list.push(Old { page, number, stored: stored.clone(), order });
        }
    }
}

/// Commits that so many orders that are over by the clock are over, and some groups; how many orders that was, whatever
/// came of it: the next look tells.
async fn end<B: Binding>(
    context: &Context<'_, B>,
    user: UserId,
    found: &Found,
    most: usize,
    now: UnixMillis,
    faults: &mut Faults,
) -> Result<usize, CommitError> {
    let home = context.home(user);
    for group in found.groups_over.iter().take(FIELDS_MAX) {
        context.commit(home, Plan::of(group.clone(), ())).await?.ok();
    }
    let over = &found.over[..most.min(found.over.len())];
    if over.is_empty() {
        return Ok(0);
    }
    let mut plan = Plan::new();
    for Old { page, number, order, .. } in over {
        let map = records::page(user, *page);
        if let Some(last) = order.final_at(now) {
            replace(&mut plan, (), map, user, number, order, &last);
        } else {
            expire(&mut plan, map, user, number, order, now);
        }
    }
    match context.commit(home, plan).await {
        Err(error) if error.is_of_records() => faults.isolate(over, error),
        result => drop(result?),
    }
    Ok(over.len())
}

/// What a lease has counted of orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Leased {
    /// Coupons that were given, and not taken back.
    given: i64,
    /// Cents of the budget that they did not use.
    unused: i64,
}

/// What one commit takes away.
struct Taken<'a> {
    go: &'a [Old],
    /// Coupons that count for the limit of the user, by template.
    counted: BTreeMap<&'a str, i64>,
    /// What the leases have counted of them, by template.
    leased: BTreeMap<&'a str, Leased>,
    /// Counts that go.
    counts: Vec<(&'a str, &'a Counts)>,
    chances: &'a [(Field, Value)],
    /// How many pages are left, where that is another number.
    pages: Option<u32>,
    /// Whether nothing else goes.
    is_last: bool,
}

impl Counts {
    /// Whether they go, with so many orders that count.
    fn goes(&self, counted: i64) -> bool {
        let count = |value: &Option<Value>| integer(value.as_ref()).ok();
        let (Some(had), Some(collected)) = (count(&self.had), count(&self.collected)) else {
            return false;
        };
        let is_left = had != collected + counted || self.present != counted;
        let is_none = had == 0 && counted == 0 && self.collected.is_none();
        is_none || !(is_left || self.is_live)
    }
}

impl Found {
    /// The first of what goes: so many orders, and so many counts and chances.
    fn first(&self, orders: usize, fields: usize) -> Taken<'_> {
        let go = &self.go[..orders.min(self.go.len())];
        let mut counted: BTreeMap<&str, i64> = BTreeMap::new();
        let mut leased: BTreeMap<&str, Leased> = BTreeMap::new();
        for Old { order, .. } in go {
            if let Some(coupon) = order.counted() {
                *counted.entry(&coupon.template).or_default() += 1;
            }
            if let Some(coupon) = order.given() {
                let leased = leased.entry(&coupon.template).or_default();
                leased.given += 1;
                leased.unused += returned(order);
            }
        }
        let goes = |(template, counts): &(&String, &Counts)| {
            let counted = counted.get(template.as_str()).copied().unwrap_or(0);
            counts.had.is_some() && counts.goes(counted)
        };
        let all: Vec<_> = self.counts.iter().filter(goes).collect();
        let is_last =
            go.len() == self.go.len() && all.len() <= fields && self.chances.len() <= fields;
        let counts = all.into_iter().take(fields).map(|(name, counts)| (name.as_str(), counts));
        Taken {
            go,
            counts: counts.collect(),
            counted,
            leased,
            chances: &self.chances[..fields.min(self.chances.len())],
            pages: self.pages_without(go),
            is_last,
        }
    }

    /// How many pages are left without these orders, where that is another number.
    fn pages_without(&self, go: &[Old]) -> Option<u32> {
        let mut sizes = self.pages.clone();
        for one in go {
            if let Some(size) = (one.page as usize).checked_sub(1).and_then(|at| sizes.get_mut(at))
            {
                *size -= 1;
            }
        }
        let left = sizes.iter().rposition(|size| *size > 0).map_or(0, |last| last + 1);
        (left < sizes.len()).then_some(left as u32)
    }
}

impl Taken<'_> {
    fn is_empty(&self) -> bool {
        self.go.is_empty()
            && self.counts.is_empty()
            && self.chances.is_empty()
            && self.pages.is_none()
    }

    fn count(&self, gone: &mut Collected) {
        gone.count("orders", self.go.len() as u64);
        gone.count("counts", self.counts.len() as u64);
        gone.count("chances", self.chances.len() as u64);
    }
}

/// Why nothing was taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    /// Something of it has changed.
    Changed,
    /// There is no lease of a template any more.
    Lease(String),
}

/// The commit that takes away.
fn take<B>(
    context: &Context<'_, B>,
    seen: &Seen,
    taken: &Taken<'_>,
    terms: &Terms,
    without_lease: &BTreeSet<String>,
) -> Result<Plan<Why>, CommitError> {
    let user = seen.record.user;
    let own = records::user(user);
    let numbers = taken.go.iter().map(|one| one.order.number(user, &one.number));
    let forgetting = seen.marks.forget(numbers, terms.now, context.partitions);
    let Forgetting { guards, writes } = forgetting.ok_or_else(unexpected)?;
    let mut plan = Plan::new();
    for Old { page, number, stored, .. } in taken.go {
        let (map, field) = (records::page(user, *page), records::order(number));
        let is_same = Guard::FieldEquals(map.clone(), field.clone(), stored.clone());
        plan.demand(Why::Changed, is_same);
        plan.write(Write::Unset(map, field));
    }
    plan.demand_all(Why::Changed, guards).write_all(writes);
    for (template, Leased { given, unused }) in &taken.leased {
        if !without_lease.contains(*template) {
            let lease = records::lease(template);
            let is_there = Guard::FieldPresent(lease.clone(), CREDITED.into());
            plan.demand(Why::Lease((*template).to_owned()), is_there);
            plan.write(Write::Add(lease.clone(), GONE.into(), *given));
            if *unused > 0 {
                plan.write(Write::Add(lease, UNUSED_GONE.into(), *unused));
            }
        }
    }
    for (template, counted) in &taken.counted {
        if !taken.counts.iter().any(|(name, _)| name == template) {
            plan.write(Write::Add(records::collected(user), Field::from(*template), *counted));
        }
    }
    for (template, Counts { had, collected, .. }) in &taken.counts {
        let places = [
            (own.clone(), records::held_count(template), had),
            (records::collected(user), Field::from(*template), collected),
        ];
        for (map, field, value) in places {
            plan.demand(
                Why::Changed,
                match value {
                    Some(value) => Guard::FieldEquals(map.clone(), field.clone(), value.clone()),
                    None => Guard::FieldAbsent(map.clone(), field.clone()),
                },
            );
            plan.write(Write::Unset(map, field));
        }
    }
    for (field, value) in taken.chances {
        let is_same = Guard::FieldEquals(own.clone(), field.clone(), value.clone());
        plan.demand(Why::Changed, is_same);
        plan.write(Write::Unset(own.clone(), field.clone()));
    }
    if let Some(left) = taken.pages {
        let there = seen.record.pages.len() as u32;
        plan.demand(Why::Changed, demand_pages(own.clone(), there));
        for (page, orders) in (1..).zip(&seen.record.pages).skip(left as usize) {
            let size = Guard::SizeAtMost(records::page(user, page), orders.len() as u32);
            plan.demand(Why::Changed, size);
        }
        plan.write(set_pages(own, left));
    }
    Ok(plan)
}
