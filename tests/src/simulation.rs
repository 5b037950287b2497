//! Coupons in all weathers: clients, campaigns and operators at once, on the real components, in the
//! host under seeded time, order, randomness and faults, on a real Redis. After every step the store is
//! read as a whole and must hold what is promised: nothing given twice, nothing above the stock or the
//! limit of a user, nothing lost, and everything that was acknowledged.
//!
//! - [`client`]: what a client does, and what it may rely on afterwards
//! - [`books`]: the store as a whole, and its invariants

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use host::{App, LoadError, simulate};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::app::{Ask, Place, Reply};
use crate::coupon::{Stock, issue, look, publish, template};
use crate::wallet_checks::check_books;
use crate::weather::{self, Patient};

pub mod books;
mod client;

use books::Books;
use client::Client;

/// Few, so that users meet in them.
const PARTITIONS: u32 = 4;
/// The most a client does.
const STEPS_MAX: u32 = 12;
const CLIENTS_MAX: u64 = 6;
/// Attempts until an answer must be there.
const ATTEMPTS_MAX: u32 = 200;
/// Longer than any delay, any time-out and any reservation.
const LATE_MS: u64 = 40_000;
/// So many of those times until everything is at rest: a request whose client is gone waits for a few
/// time-outs one after the other, and what it reserves in the end must expire as well.
const LATE_ROUNDS: u32 = 6;
/// Longer than anybody remembers that nothing is left.
const MEMORY_MS: u64 = 1_100;

/// The templates of a simulation; the first falls back to the second.
pub const TEMPLATES: [&str; 3] = ["t0", "t1", "t2"];
/// Users, so few that they reach their limits.
pub const USERS: [u64; 6] = [1, 2, 3, 1 << 20, 99_999_999, 652_024_209_997_893_632];

/// What a simulation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Faults that were injected.
    pub faults: u64,
    /// Times that the store was read as a whole.
    pub checks: u64,
    /// Coupons that were given.
    pub given: u64,
}

impl Report {
    /// Adds what another one did.
    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.faults += other.faults;
        self.checks += other.checks;
        self.given += other.given;
    }
}

/// What the clients of one simulation share.
struct World {
    app: App,
    books: Mutex<Books>,
    report: Mutex<Report>,
}

impl World {
    fn check(&self) {
        let mut books = self.books.lock().expect("no check has failed before");
        books.read();
        books.check();
        self.report.lock().expect("no check has failed before").checks += 1;
    }
}

/// Runs one seed.
///
/// # Errors
/// The app does not load.
///
/// # Panics
/// An invariant does not hold.
pub fn run(place: &Place, seed: u64) -> Result<Report, LoadError> {
    let books = Books::open(&place.address(), PARTITIONS);
    let simulated = simulate(weather::options(place, seed, PARTITIONS), |app| async move {
        let mut random = StdRng::seed_from_u64(seed);
        let world = Arc::new(World {
            app,
            books: Mutex::new(books),
            report: Mutex::new(Report::default()),
        });
        for (id, template) in templates(&mut random) {
            until_answered(&world.app, &publish(id, &template)).await;
        }
        let clients = random.random_range(2..=CLIENTS_MAX);
        let clients = (0..clients).map(|number| {
            let seed = random.random();
            let mut client = Client::new(number, Arc::clone(&world), StdRng::seed_from_u64(seed));
            let steps = random.random_range(1..=STEPS_MAX);
            async move { client.act(steps).await }
        });
        join_all(clients.collect::<Vec<_>>()).await;
        settle(&world).await;
        (*world.report.lock().expect("no check has failed"), world.app.now_ms())
    })?;
    let faults = simulated.trace.iter().filter(|call| call.fault.is_some()).count() as u64;
    let (report, now_ms) = simulated.result;
    simulate(weather::fair_options(place, seed, PARTITIONS, now_ms), |app| async move {
        check_books(&mut Patient::new(&app, 0)).await;
    })?;
    Ok(Report { faults, ..report })
}

/// Small stocks, limits of one to three, one template with a budget and one with low water.
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

/// Asks until there is an answer.
async fn until_answered(app: &App, asked: &Ask) -> Reply {
    Patient::new(app, ATTEMPTS_MAX).until_answered(asked).await
}

/// Everything comes to rest; then what is left of each template can be given to the last one.
async fn settle(world: &World) {
    for _ in 0..LATE_ROUNDS {
        world.app.advance_time(LATE_MS);
        // What was late happens while these are answered.
        for id in TEMPLATES {
            until_answered(&world.app, &look(id)).await;
        }
    }
    world.check();
    let mut user = 1_000_000;
    for id in TEMPLATES {
        let mut refused = 0;
        while refused < 2 {
            user += 1;
            let reply = until_answered(&world.app, &issue(user, id, "settle")).await;
            if reply.text("outcome").as_deref() == Some("issued") {
                refused = 0;
            } else {
                refused += 1;
                world.app.advance_time(MEMORY_MS);
            }
        }
        world.check();
        let stock = Stock::of(&until_answered(&world.app, &look(id)).await);
        // More than that are out where the stock was lowered afterwards.
        let leasable = world.books.lock().expect("no check has failed").leasable(id);
        assert!(stock.issued >= leasable, "{id}: {leasable} could be given: {stock:?}");
        assert_eq!((stock.reserved, stock.leased), (0, 0), "{id}: {stock:?}");
        world.report.lock().expect("no check has failed").given += stock.issued as u64;
    }
}
