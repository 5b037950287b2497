//! Coupons: templates with small stocks, fallbacks and greetings; numbers that are issued, reserved, asked for
//! again, confirmed, cancelled, redeemed and rolled back; batches; operators who change stocks. Where weeks pass: budgets
//! that get back what was not used, coupons that are revoked and extended, templates that end, and numbers that are
//! forgotten.
//!
//! - [`holder`]: a client, and what is known of its numbers
//! - [`operators`]: what operators do
//! - [`books`]: what must hold in the store at any moment
//! - [`seen`]: what may become of an order from one look to the next

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use domain::time::UnixMillis;
use end_to_end::app::Ask;
use end_to_end::coupon::{Stock, issue, look, publish, template};
use end_to_end::patient::Patient;
use futures::future::BoxFuture;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use self::books::Out;
use self::seen::Seen;
use super::{Client, Entry, Function};
use crate::books::Books;
use crate::plan::{Plan, START_MS};
use crate::world::{DAY_MS, World};

pub mod books;
mod holder;
mod operators;
pub mod seen;

/// How it joins.
pub const ENTRY: Entry = Entry {
    name: "coupon",
    actions: &[
        ("issue", 6),
        ("reserve", 3),
        ("again", 2),
        ("end", 3),
        ("spend", 3),
        ("publish", 1),
        ("batch", 1),
    ],
    later: &[("revoke", 4), ("extend", 3)],
    is_always_in_play: false,
    states: &[
        "coupon: issued",
        "coupon: fallback",
        "coupon: greeting",
        "coupon: reserved",
        "coupon: confirmed",
        "coupon: cancelled",
        "coupon: expired",
        "coupon: redeemed",
        "coupon: redeemed by one of two",
        "coupon: rolled back",
        "coupon: sold_out",
        "coupon: user_limit",
        "coupon: batch",
        "coupon: stock changed",
        "coupon: extended",
        "coupon: settled",
        "coupon: forgotten",
        "coupon: sealed",
    ],
    create: |random, plan| Arc::new(Coupons::new(random, plan)),
};

/// The templates; the first falls back to the second.
const TEMPLATES: [&str; 3] = ["t0", "t1", "t2"];
/// How long what is reserved stays so.
const RESERVED_SECONDS: u64 = 30;
/// Longer than anybody remembers that nothing is left.
const MEMORY_MS: u64 = 1_100;
/// Users from here on are given what is left.
const LAST_USERS: u64 = 1_000_000;
/// Its own randomness.
const WEEKS: u64 = 1;

/// Coupons in one schedule.
pub struct Coupons {
    templates: Vec<(&'static str, Value)>,
    /// When templates end, if ever.
    ends_ms: BTreeMap<&'static str, u64>,
    /// What was out of each pool at the last look.
    out: Mutex<BTreeMap<&'static str, Out>>,
    /// Orders as they were at the last look.
    seen: Mutex<Seen>,
    revoking: Mutex<Revoking>,
}

/// What operators may have taken back, or take back late.
#[derive(Debug, Default)]
struct Revoking {
    coupons: BTreeSet<(u64, String)>,
    templates: BTreeSet<&'static str>,
}

/// Small stocks, limits of one to three, some with a budget and some with low water.
fn templates(random: &mut StdRng) -> Vec<(&'static str, Value)> {
    let make = |id: &'static str, random: &mut StdRng| {
        let mut body = template(random.random_range(0..=20));
        body["limit_per_user"] = json!(random.random_range(1..=3));
        if random.random_bool(0.3) {
            body["low_water_percent"] = json!(10);
        }
        if random.random_bool(0.3) {
            body["budget"] = json!(random.random_range(0..30_000).to_string());
        }
        (id, body)
    };
    let mut templates: Vec<_> = TEMPLATES.iter().rev().map(|id| make(id, random)).collect();
    // Published after the one it falls back to.
    templates[1].1["greeting"] = json!("Until next time");
    templates[2].1["fallback_template"] = json!(TEMPLATES[1]);
    templates
}

/// Where weeks pass coupons are valid for some days. Most have a budget that gets back what they do not use, and some
/// templates end; then when.
fn with_weeks(body: &mut Value, random: &mut StdRng) -> Option<u64> {
    body["valid_for_days"] = json!(random.random_range(1..=5));
    if random.random_bool(0.7) {
        body["rollback_days"] = json!(random.random_range(0..=2));
        body["budget"] = json!(random.random_range(500..10_000).to_string());
        body["kind"] = json!("percent_off");
        body["value"] = json!("20");
        body["single_cap"] = json!("500");
    }
    let ends_ms = START_MS + random.random_range(2..25) * DAY_MS;
    if random.random_bool(0.6) {
        return None;
    }
    body["claim_until"] = json!(UnixMillis(ends_ms as i64));
    Some(ends_ms)
}

impl Coupons {
    fn new(random: &mut StdRng, plan: &Plan) -> Self {
        let (mut templates, mut ends_ms) = (templates(random), BTreeMap::new());
        let mut of_weeks = plan.random_of_weeks(WEEKS);
        for (id, body) in templates.iter_mut().filter(|_| plan.weeks) {
            ends_ms.extend(with_weeks(body, &mut of_weeks).map(|at| (*id, at)));
        }
        let (out, seen, revoking) = Default::default();
        Self { templates, ends_ms, out, seen, revoking }
    }

    fn revoking(&self) -> MutexGuard<'_, Revoking> {
        self.revoking.lock().expect("no check has failed before")
    }

    /// Whether somebody tried to take a coupon back, by itself or with its template. Which that is is not known where one
    /// stands in for another.
    fn may_be_revoked(&self, user: u64, number: &str) -> bool {
        let revoking = self.revoking();
        !revoking.templates.is_empty() || revoking.coupons.contains(&(user, number.to_owned()))
    }

    /// Whether a template may have ended by some clock.
    fn may_have_ended(&self, world: &World, id: &str) -> bool {
        let now_ms = world.app.now_ms() + world.plan.skew_ms_max();
        self.ends_ms.get(id).is_some_and(|ends| now_ms >= *ends)
    }
}

impl Function for Coupons {
    fn set_up(&self) -> Vec<Ask> {
        self.templates.iter().map(|(id, template)| publish(id, template)).collect()
    }

    fn client(self: Arc<Self>, _: u64) -> Box<dyn Client> {
        Box::new(holder::Holder::new(self))
    }

    fn check(&self, world: &World, books: &Books) {
        let mut last = self.out.lock().expect("no check has failed before");
        for id in TEMPLATES {
            let Some(out) = books::check_template(books, id) else {
                if last.remove(id).is_some() {
                    world.saw("coupon: sealed");
                }
                continue;
            };
            if let Some(before) = last.insert(id, out) {
                out.check_since(&before, id);
            }
        }
        let mut seen = self.seen.lock().expect("no check has failed before");
        let seen = seen.look(books, |ended_ms| world.may_be_collected(ended_ms));
        world.saw_times("coupon: forgotten", seen.forgotten);
        world.saw_times("coupon: settled", seen.settled);
    }

    fn due(&self, world: &World, books: &Books) -> Vec<String> {
        let held = |id: &&str| books::held(books, id) > 0;
        let held = TEMPLATES.iter().filter(|id| held(id));
        let held = held.map(|id| format!("{id}: a reservation that expired is still held"));
        held.chain(books::due(books, world.app.now_ms())).collect()
    }

    fn left(&self, _: &World, books: &Books) -> Vec<String> {
        let seen = self.seen.lock().expect("no check has failed before");
        for (id, template) in &self.templates {
            if !template["budget"].is_null() {
                books::check_used(books, id, &seen);
            }
        }
        books::left(books)
    }

    fn drain<'a>(&'a self, world: &'a World, asker: &'a mut Patient) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut user = LAST_USERS;
            for id in TEMPLATES {
                if !self.may_have_ended(world, id) {
                    drain(world, asker, id, &mut user).await;
                }
            }
        })
    }
}

/// What is left of a template can be given to the last one.
async fn drain(world: &World, asker: &mut Patient, id: &str, user: &mut u64) {
    let most = books::leasable(&world.books(), id);
    let (mut given, mut refused) = (0, 0);
    while refused < 2 {
        *user += 1;
        let reply = asker.until_answered(&issue(*user, id, "last")).await;
        if reply.text("outcome").as_deref() == Some("issued") {
            given += 1;
            assert!(given <= most, "{id} gives more than the {most} that may be out");
            refused = 0;
        } else {
            refused += 1;
            world.app.advance_time(MEMORY_MS);
        }
    }
    world.check();
    let stock = Stock::of(&asker.until_answered(&look(id)).await);
    // More than that are out where the stock was lowered afterwards.
    let leasable = books::leasable(&world.books(), id);
    assert!(stock.issued >= leasable, "{id}: {leasable} could be given: {stock:?}");
    assert_eq!((stock.reserved, stock.leased), (0, 0), "{id}: {stock:?}");
    world.saw_times("coupon: given", stock.issued as u64);
}
