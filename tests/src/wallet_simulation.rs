//! Wallets in all weathers: users who open packets of rains, send each other packets, withdraw and look,
//! while settlement posts, packets expire and operators switch, at once, on the real components, in the
//! host under seeded time, order, randomness and faults, on a real Redis. After every step the store is
//! read as a whole: every movement has two sides, nothing is given twice, no budget and no packet gives
//! more than it has.
//!
//! - [`client`]: what a client does, and what it may rely on afterwards
//! - [`model`]: what is known of users' money
//! - [`books`]: the store as a whole, and its invariants

use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::join_all;
use host::{App, LoadError, simulate};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::app::{Place, Reply};
use crate::wallet::{
    STAGE, cents, look_at_withdrawal, look_up, open_rain, rain_between, rain_with, set_up_rain,
    switch_posting, view,
};
use crate::wallet_checks::{Budget, Has, check_books, check_users, settle_all};
use crate::weather::{self, Patient};

pub mod books;
mod client;
mod model;

use books::Books;
use client::Client;
use model::{Bounds, Model};

/// Few, so that users meet in them.
const PARTITIONS: u32 = 4;
/// The most a client does.
const STEPS_MAX: u32 = 14;
const CLIENTS_MAX: u64 = 5;
/// Requests of one simulation that fail once clients are gone.
const FAILURES_MAX: u32 = 200;
/// Longer than any delay and any time-out.
const LATE_MS: u64 = 40_000;
/// So many of those times until everything is at rest.
const LATE_ROUNDS: u32 = 6;
/// Longer than anybody remembers that nothing is left.
const MEMORY_MS: u64 = 1_100;
/// How long a packet can be opened.
const LIFE_MS: u64 = wallet::packet::LIFE_MS as u64;

/// The rains; one has packets of 1.00, the other one of up to 3.00.
const RAINS: [&str; 2] = ["r0", "r1"];
/// Users, so few that they share packets.
const USERS: [u64; 4] = [1, 2, 1 << 20, 652_024_209_997_893_632];
/// Who opens what is left of a rain.
const LAST: u64 = 3;
const EVERYBODY: [u64; 5] = [USERS[0], USERS[1], USERS[2], USERS[3], LAST];

/// The most that a packet of a rain has.
fn most(rain: &str) -> i64 {
    if rain == RAINS[0] { 100 } else { 300 }
}

/// The number of a packet of a rain.
fn number(user: u64, rain: &str, award: &str) -> String {
    format!("{user}_{rain}_rain_1_{award}_{STAGE}")
}

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
    /// Packets of rains that were given, in cents.
    pub granted: u64,
    /// Openings of group packets that were answered.
    pub opened: u64,
    /// Withdrawals that were created.
    pub withdrawn: u64,
    /// Views that were compared with what is known.
    pub views: u64,
    /// Those of them of which everything was known.
    pub exact: u64,
}

impl Report {
    /// Adds what another one did.
    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.faults += other.faults;
        self.checks += other.checks;
        self.granted += other.granted;
        self.opened += other.opened;
        self.withdrawn += other.withdrawn;
        self.views += other.views;
        self.exact += other.exact;
    }
}

/// What the clients of one simulation share.
struct World {
    app: App,
    books: Mutex<Books>,
    model: Mutex<Model>,
    /// Packets that somebody tried to send, and what is in them.
    packets: Mutex<Vec<(String, i64)>>,
    report: Mutex<Report>,
    /// Nothing goes wrong, so that a refusal is one for good.
    is_calm: bool,
}

impl World {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().expect("no check has failed before")
    }

    fn bounds(&self, user: u64) -> Bounds {
        self.model().bounds(user, self.app.now_ms())
    }

    /// An answer says what a number gave.
    fn gave(&self, user: u64, number: &str, reply: &Reply) {
        let mut model = self.model();
        model.gave(user, number, cents(reply, "amount"));
        model.hold(user, number, reply.text("token").expect("a token"));
    }

    fn check(&self) {
        let mut books = self.books.lock().expect("no check has failed before");
        books.read();
        books.check(&EVERYBODY, &RAINS);
        let model = self.model();
        for (user, number, cents) in model.acknowledged() {
            assert_eq!(books.given(user, &number), Some(cents), "{user} {number}");
        }
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
            app: app.clone(),
            books: Mutex::new(books),
            model: Mutex::default(),
            packets: Mutex::default(),
            report: Mutex::default(),
            is_calm: seed.is_multiple_of(4),
        });
        let mut patient = Patient::new(&app, FAILURES_MAX);
        for (id, rain) in rains(&mut random) {
            let reply = patient.until_answered(&set_up_rain(id, &rain)).await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        let clients = random.random_range(2..=CLIENTS_MAX);
        let clients = (0..clients).map(|number| {
            let seed = random.random();
            let mut client = Client::new(number, Arc::clone(&world), StdRng::seed_from_u64(seed));
            let steps = random.random_range(1..=STEPS_MAX);
            async move { client.act(steps).await }
        });
        join_all(clients.collect::<Vec<_>>()).await;
        for _ in 0..LATE_ROUNDS {
            app.advance_time(LATE_MS);
            // What was late happens while these are answered.
            patient.until_answered(&switch_posting(&json!({"mode": "queued"}))).await;
            world.check();
        }
        (world, app.now_ms())
    })?;
    let faults = simulated.trace.iter().filter(|call| call.fault.is_some()).count() as u64;
    let (world, start_ms) = simulated.result;
    let options = weather::fair_options(place, seed, PARTITIONS, start_ms);
    let rested = simulate(options, |app| async move {
        rest(&world, &app).await;
        *world.report.lock().expect("no check has failed")
    })?;
    Ok(Report { faults, ..rested.result })
}

/// Small budgets, which run out.
fn rains(random: &mut StdRng) -> [(&'static str, Value); 2] {
    let mut fixed = rain_with("budget", json!(random.random_range(0..1_500).to_string()));
    fixed["activity"] = json!(RAINS[0]);
    let mut between = rain_between(random.random_range(0..2_000), 1, most(RAINS[1]));
    between["activity"] = json!(RAINS[1]);
    [(RAINS[0], fixed), (RAINS[1], between)]
}

/// Everything comes to rest: packets expire, and settlement has nothing left to do. Then all of it is as it
/// was acknowledged, all books agree, and the rest of the budgets can be given.
async fn rest(world: &World, app: &App) {
    let patient = &mut Patient::new(app, 0);
    check_books(patient).await;
    for ms in [0, LIFE_MS + LATE_MS] {
        app.advance_time(ms);
        settle_all(patient).await;
        world.check();
    }
    check_acknowledged(world, patient).await;
    for id in RAINS {
        let least = if id == RAINS[0] { 100 } else { 1 };
        drain(world, app, patient, id, least).await;
    }
    settle_all(patient).await;
    world.check();
    for user in EVERYBODY {
        let reply = patient.until_answered(&view(user)).await;
        let expected = {
            let books = world.books.lock().expect("no check has failed");
            books.wallet(user).balance()
        };
        let has = Has::of(user, &reply);
        assert_eq!((has.balance, cents(&reply, "pending")), (expected, 0), "{user}: {reply:?}");
        check_users(patient, &[has]).await;
    }
    check_books(patient).await;
}

/// Whatever was acknowledged is what the app says now.
async fn check_acknowledged(world: &World, patient: &mut Patient) {
    let (given, taken) = {
        let model = world.model();
        (model.acknowledged(), model.acknowledged_taken())
    };
    for (user, number, amount) in given {
        let reply = patient.until_answered(&look_up(user, &number)).await;
        assert_eq!((cents(&reply, "amount"), &reply.json()["posted"]), (amount, &json!(true)));
    }
    for (user, name, amount) in taken {
        if name.starts_with('w') {
            let reply = patient.until_answered(&look_at_withdrawal(user, &name)).await;
            assert_eq!(cents(&reply, "amount"), amount, "{reply:?}");
        }
    }
}

/// What is left of a rain can be given, to less than the smallest packet.
async fn drain(world: &World, app: &App, patient: &mut Patient, id: &str, least: i64) {
    let mut refused = 0;
    for award in 0.. {
        if refused == 2 {
            break;
        }
        let asked = open_rain(LAST, id, &format!("last{award}"));
        let reply = patient.until_answered(&asked).await;
        if reply.status == 201 {
            refused = 0;
        } else {
            assert_eq!(reply.text("code").as_deref(), Some("budget_exhausted"), "{reply:?}");
            refused += 1;
            app.advance_time(MEMORY_MS);
        }
    }
    let budget = Budget::look(patient, id).await;
    assert!(budget.leased + budget.remaining < least, "{id}: {budget:?}");
    world.report.lock().expect("no check has failed").granted += budget.granted as u64;
}
