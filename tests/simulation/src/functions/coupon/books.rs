//! What must hold of templates, their leases and the orders of users at any moment.

use std::collections::BTreeMap;

use coupons::chance::REWARDS;
use coupons::context::{BODY, PUBLISHED_VERSION};
use coupons::orders::PAGES_MAX;
use coupons::records::{DUE, ENDS, GONE, Gave, HOMEWARD, Order};
use coupons::settling::{UNUSED_GONE, returned};
use coupons::template::Template;
use domain::due;
use domain::money::Amount;
use end_to_end::dump::{Record, integer};
use lease::{CREDITED, FREE, HELD, LEFT, RETURNED, UNUSED, UNUSED_IN_ALL};
use store::codec::decode;
use store::sealed::SEALED;

use super::seen::Seen;
use crate::books::Books;

/// What is known of a template from its records.
struct Known {
    template: Template,
    limit: i64,
    free: i64,
    /// Cents of the budget that coupons did not use, as far as the pool knows.
    unused: i64,
}

impl Known {
    fn leasable(&self) -> i64 {
        self.template.leasable(self.unused)
    }
}

/// What a number of a user gave.
///
/// # Panics
/// The record cannot be read.
pub fn order(books: &Books, user: u64, number: &str) -> Option<Order> {
    let field = format!("o{number}");
    let pages = (1..=PAGES_MAX).map(|page| format!("c{user}:{page}"));
    let mut records = std::iter::once(format!("c{user}")).chain(pages);
    let value = records.find_map(|record| books.of_user(user, &record, &field))?;
    Some(Order::decode(value).expect("an order"))
}

/// How many coupons of a template may be out.
///
/// # Panics
/// There is no such template.
pub fn leasable(books: &Books, id: &str) -> i64 {
    read(books, id).expect("it was published").leasable()
}

/// Coupons of a template that are held.
pub fn held(books: &Books, id: &str) -> i64 {
    let lease = format!("l{id}");
    let held = |partition: String| books.integer(&partition, &lease, HELD);
    books.partitions().all().map(|partition| held(partition.to_string())).sum()
}

fn pool(books: &Books, id: &str) -> String {
    books.partitions().of_configuration(&format!("pool:{id}")).to_string()
}

fn read(books: &Books, id: &str) -> Option<Known> {
    let record = books.record(&pool(books, id), &format!("p{id}"));
    let body = record.get(BODY.as_bytes())?;
    let template: Template = decode(body).expect("a template");
    let limit = i64::from(template.limit_per_user);
    let unused = integer(record, UNUSED_IN_ALL);
    Some(Known { template, limit, free: integer(record, FREE), unused })
}

/// How much of a template was out of its pool when it was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// Coupons that are given, held, in leases or under way.
    pub out: i64,
    /// How many may be.
    pub leasable: i64,
    /// The version that says so.
    pub version: i64,
}

impl Out {
    /// Checks that no more came out since an earlier look than there was: more than may be out are out only
    /// where the stock was lowered, and they are no more than before that.
    ///
    /// # Panics
    /// More came out.
    pub fn check_since(&self, before: &Self, id: &str) {
        let most = self.leasable.max(before.leasable).max(before.out);
        // Of two changes of the stock since then the first may have allowed more.
        assert!(self.out <= most || self.version > before.version + 1, "{id}: {before:?} {self:?}");
    }
}

/// Checks a template and everything that was given of it; what is out of its pool, once it is published and until it is
/// sealed.
///
/// # Panics
/// It does not hold.
pub fn check_template(books: &Books, id: &str) -> Option<Out> {
    let known = read(books, id)?;
    let leasable = known.leasable();
    let Known { template, limit, free, unused } = known;
    let pool = books.record(&pool(books, id), &format!("p{id}"));
    if pool.contains_key(SEALED.as_bytes()) {
        // Its leases go one by one.
        return None;
    }
    let (given, held, out) = check_leases(books, id, pool);
    // Given, held, in leases, under way and in the pool: together the total.
    assert_eq!(out, leasable - free, "{id}: {pool:?}");
    assert!(given + held <= leasable.max(out), "{id}: {given} given, {held} held");

    let (mut coupons, mut reservations, mut amount, mut back) = (0, 0, 0, 0);
    // What each user has in the record and its pages, got, and had that was collected.
    let mut users: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
    for ((_, name), record) in books.records() {
        let Some(name) = name.strip_prefix('c') else { continue };
        if let Some(user) = name.strip_prefix('k') {
            users.entry(user).or_default().2 += integer(record, id);
            continue;
        }
        let orders = orders_of(record, id);
        for order in &orders {
            back += returned(order);
            if let Gave::Revoked(..) = order.gave {
                continue;
            }
            amount += order.coupon().and_then(|coupon| coupon.cap).expect("the most that it costs");
            match order.gave {
                Gave::Reserved(..) => reservations += 1,
                _ => coupons += 1,
            }
        }
        let user = name.split(':').next().unwrap_or(name);
        let (has, got, _) = users.entry(user).or_default();
        *has += orders.len() as i64;
        *got += integer(record, &format!("n{id}"));
    }
    for (user, (has, got, collected)) in users {
        assert_eq!(has + collected, got, "{id}: user {user}");
        assert!(got <= limit, "{id}: user {user} got {got} of {limit}");
    }
    let [gone, gone_unused] = [GONE, UNUSED_GONE].map(|field| gone(books, id, field));
    back += gone_unused;
    assert_eq!((coupons + gone, reservations), (given, held), "{id}: records and counts");
    let face = template.face().expect("the most that one costs");
    let amount = amount + face * gone;
    assert_eq!(amount, face * (given + held), "{id}: records and amounts");
    let budget = template.budget.map(Amount::minor_units);
    let used = amount - back;
    assert!(budget.is_none_or(|budget| used <= budget), "{id}: {used} of {budget:?}");
    check_unused(books, id, pool, back);
    assert!(unused <= back, "{id}: the pool has {unused} of {back}");
    let version = integer(pool, PUBLISHED_VERSION);
    Some(Out { out, leasable, version })
}

/// What coupons did not use is counted by the partitions, and no more of it by the pool.
fn check_unused(books: &Books, id: &str, pool: &Record, back: i64) {
    let (mut counted, mut known) = (0, 0);
    for partition in books.partitions().all() {
        let of_partition = books.integer(&partition.to_string(), &format!("l{id}"), UNUSED);
        let of_pool = integer(pool, &format!("{UNUSED}{partition}"));
        assert!(of_pool <= of_partition, "{id} {partition}: more came home than was counted");
        counted += of_partition;
        known += of_pool;
    }
    assert_eq!((counted, known), (back, integer(pool, UNUSED_IN_ALL)), "{id}: not used");
}

/// Given, held, and out of the pool.
fn check_leases(books: &Books, id: &str, pool: &Record) -> (i64, i64, i64) {
    let (mut given, mut held, mut out) = (0, 0, 0);
    for partition in books.partitions().all() {
        let lease = books.record(&partition.to_string(), &format!("l{id}"));
        let of_pool = |field: &str| integer(pool, &format!("{field}{partition}"));
        let of_lease = |field: &str| integer(lease, field);
        let (credited, returned) = (of_pool(CREDITED), of_pool(RETURNED));
        let (arrived, sent) = (of_lease(CREDITED), of_lease(RETURNED));
        assert!(arrived <= credited, "{id} {partition}: more arrived than was credited");
        assert!(returned <= sent, "{id} {partition}: more came back than was sent");
        let (left, holds) = (of_lease(LEFT), of_lease(HELD));
        let issued = arrived - sent - left - holds;
        assert!(left >= 0 && holds >= 0 && issued >= 0, "{id} {partition}: {lease:?}");
        given += issued;
        held += holds;
        out += credited - returned;
    }
    (given, held, out)
}

/// Coupons of a template that were given and collected.
fn gone(books: &Books, id: &str, field: &str) -> i64 {
    let lease = format!("l{id}");
    let gone = |partition: String| books.integer(&partition, &lease, field);
    books.partitions().all().map(|partition| gone(partition.to_string())).sum()
}

/// Orders of a record, or of a page, that hold or have a coupon of a template.
fn orders_of(record: &Record, id: &str) -> Vec<Order> {
    let orders = record.iter().filter(|(field, _)| field.starts_with(b"o"));
    let orders = orders.map(|(_, value)| Order::decode(value).expect("an order"));
    let is_of = |order: &Order| order.coupon().is_some_and(|coupon| coupon.template == id);
    orders.filter(is_of).collect()
}

/// What settlement would do with coupons.
pub fn due(books: &Books, now_ms: u64) -> Vec<String> {
    let mut found = Vec::new();
    for partition in books.partitions().all().map(|partition| partition.to_string()) {
        for member in books.entries(&partition, DUE) {
            let due = due::due(&member).expect("an entry of an index");
            if u64::try_from(due.at.0).is_ok_and(|at| at <= now_ms) {
                found.push(format!("{partition}: {} is not settled", due::words(&member)));
            }
        }
        for member in books.entries(&partition, HOMEWARD) {
            found.push(format!("{partition}: {} is to go home", due::words(&member)));
        }
    }
    found
}

/// What is kept of coupons where all of them are over.
pub fn left(books: &Books) -> Vec<String> {
    let mut left = due(books, u64::MAX);
    for partition in books.partitions().all().map(|partition| partition.to_string()) {
        for index in [ENDS, REWARDS] {
            let entries = books.entries(&partition, index).into_iter();
            left.extend(entries.map(|one| format!("{}: {}", index.0, due::words(&one))));
        }
    }
    for ((_, name), record) in books.records() {
        let user = name.strip_prefix('c').and_then(|name| name.split(':').next());
        if user.is_some_and(|user| user.parse::<u64>().is_ok()) {
            let orders = record.keys().filter(|field| field.starts_with(b"o"));
            left.extend(orders.map(|field| format!("{name}: {}", field.escape_ascii())));
        }
    }
    left
}

/// Of a budget exactly that is spent which coupons took off, once all of them are settled.
///
/// # Panics
/// It is not.
pub fn check_used(books: &Books, id: &str, seen: &Seen) {
    let Some(Known { template, unused, .. }) = read(books, id) else { return };
    let pool = books.record(&pool(books, id), &format!("p{id}"));
    if pool.contains_key(SEALED.as_bytes()) {
        return;
    }
    let (given, held, _) = check_leases(books, id, pool);
    let face = template.face().expect("the most that one costs");
    let spent = face * (given + held) - unused;
    assert_eq!((spent, given), seen.used(id), "{id}: what is spent, and what coupons took off");
}
