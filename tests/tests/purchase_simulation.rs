//! Purchase limits in all weathers: users who take uses, ask again, give back and sweep, while operators
//! raise the limits, at once, under seeded order and faults. After every answer the store is read past
//! the app: what orders have, what users and activities have counted and what is held agree, and no
//! limit is passed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use end_to_end::app::{Ask, Place, not_loaded};
use end_to_end::purchase::{give_back, limited, save, sweep, take};
use end_to_end::schedules::run_all;
use end_to_end::seed::{Named, seeds};
use end_to_end::weather::{self, Patient};
use futures::future::join_all;
use host::{App, simulate};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;

/// In all.
const SCHEDULES: u64 = 500;
const PARTITIONS: u32 = 4;
const USERS: u64 = 8;
const STEPS: u32 = 10;
/// Orders of one user.
const ORDERS: u32 = 4;
const ATTEMPTS_MAX: u32 = 200;
/// After this time whatever was late has happened, and what is under way is abandoned.
const LATE_MS: u64 = 120_000;
const SWEEPS: u32 = 5;
/// Limits of a user and of all, before they are raised. Only the last one counts by unit.
const ACTIVITIES: [(&str, Option<u32>, Option<u32>); 3] =
    [("user", Some(2), None), ("all", None, Some(5)), ("units", Some(2), Some(4))];
/// Every hash of the store, with its fields, one after the other: a script runs alone.
const DUMP: &str = "local found = {} \
    for _, key in ipairs(redis.call('KEYS', '*')) do \
        if redis.call('TYPE', key).ok == 'hash' then \
            found[#found + 1] = {key, redis.call('HGETALL', key)} \
        end \
    end \
    return found";

type Use = (&'static str, &'static str, u32);

/// What the store holds of one kind: name of the record and field -> value.
type Fields = BTreeMap<(String, String), i64>;

/// What the store says, at one moment.
#[derive(Debug, Default)]
struct Books {
    /// `an`: of users, by activity and unit.
    of_users: Fields,
    /// `as`: of activities, by unit.
    of_all: Fields,
    /// `ax`: holds.
    holds: Fields,
    /// `at`: orders under way.
    under_way: usize,
}

impl Books {
    fn read(connection: &mut redis::Connection) -> Self {
        let dump: Vec<(Vec<u8>, Vec<Vec<u8>>)> =
            redis::cmd("EVAL").arg(DUMP).arg(0).query(connection).expect("the server runs scripts");
        let mut books = Self::default();
        for (key, fields) in dump {
            let key = String::from_utf8(key).expect("names are text");
            let Some((_, name)) = key.split_once("}:m") else { continue };
            let (kind, id) = name.split_at(2.min(name.len()));
            let into = match kind {
                "an" => &mut books.of_users,
                "as" => &mut books.of_all,
                "ax" => &mut books.holds,
                "at" => {
                    books.under_way += fields.len() / 2;
                    continue;
                }
                _ => continue,
            };
            for pair in fields.chunks(2) {
                let field = String::from_utf8(pair[0].clone()).expect("names are text");
                let count = String::from_utf8(pair[1].clone()).expect("digits");
                into.insert((id.to_owned(), field), count.parse().expect("an integer"));
            }
        }
        books
    }
}

/// What an order asks for: always the same, so that a hold says what it holds.
fn uses_of(user: u64, order: u32) -> &'static [Use] {
    match (user + u64::from(order)) % 4 {
        0 => &[("user", "", 1)],
        1 => &[("all", "", 2)],
        2 => &[("user", "", 1), ("all", "", 1), ("units", "red", 1)],
        _ => &[("units", "red", 1), ("units", "blue", 2)],
    }
}

fn number(order: u32) -> String {
    format!("o{order}")
}

/// An activity, and how often a user and all users may use it.
type Limits = (&'static str, Option<u32>, Option<u32>);

/// What was acknowledged of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    Taken,
    /// Somebody tried to give it back, and may do so late.
    GivingBack,
    GivenBack,
}

struct World {
    app: App,
    connection: Mutex<redis::Connection>,
    /// The highest limits that anybody asked for.
    limits: Mutex<Vec<Limits>>,
    known: Mutex<BTreeMap<(u64, u32), Known>>,
    report: Mutex<Report>,
}

/// What simulations did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Report {
    answered: u64,
    failed: u64,
    taken: u64,
    refused: u64,
    given_back: u64,
    checks: u64,
    faults: usize,
}

impl World {
    /// What the store says, and what must hold of it at any moment.
    fn check(&self) -> Books {
        let books = Books::read(&mut self.connection.lock().expect("no check has failed"));
        self.report.lock().expect("no check has failed").checks += 1;
        let mut held = Fields::new();
        let mut holds: BTreeMap<(u64, u32), u32> = BTreeMap::new();
        for ((activity, field), is_held) in &books.holds {
            let mut parts = field.split(':');
            let user: u64 = parts.next().and_then(|user| user.parse().ok()).expect("a user");
            let order = parts.next().and_then(|order| order.strip_prefix('o')).expect("an order");
            let order: u32 = order.parse().expect("a number");
            assert!([0, 1].contains(is_held), "{activity} {field}: {is_held}");
            if *is_held == 1 {
                *holds.entry((user, order)).or_default() += 1;
                for (id, unit, uses) in uses_of(user, order) {
                    if id == activity {
                        *held.entry((activity.clone(), format!("n{unit}"))).or_default() +=
                            i64::from(*uses);
                    }
                }
            }
        }
        let mut counted = books.of_all.clone();
        counted.retain(|_, count| *count != 0);
        assert_eq!(counted, held, "what activities count is what is held");
        let limits = self.limits.lock().expect("no check has failed").clone();
        for (id, per_user, total) in limits {
            for ((activity, unit), count) in &books.of_all {
                let most = total.map_or(0, i64::from);
                assert!(activity != id || (0..=most).contains(count), "{id} {unit}: {count}");
            }
            for ((user, unit), count) in &books.of_users {
                let is_it = unit.split_once('/').is_some_and(|(activity, _)| activity == id);
                let most = per_user.map_or(0, i64::from);
                assert!(!is_it || (0..=most).contains(count), "{user} {unit}: {count}");
            }
        }
        for ((user, order), known) in self.known.lock().expect("no check has failed").iter() {
            let count = holds.get(&(*user, *order)).copied().unwrap_or(0);
            let mut with_total: Vec<_> = uses_of(*user, *order).iter().map(|one| one.0).collect();
            with_total.retain(|id| *id != "user");
            with_total.dedup();
            match known {
                Known::Taken => assert_eq!(count as usize, with_total.len(), "{user} {order}"),
                Known::GivenBack => assert_eq!(count, 0, "{user} {order} still holds"),
                Known::Nothing | Known::GivingBack => {}
            }
        }
        books
    }

    fn known(&self, order: (u64, u32)) -> Known {
        let known = self.known.lock().expect("no check has failed");
        known.get(&order).copied().unwrap_or(Known::Nothing)
    }

    fn learn(&self, order: (u64, u32), what: Known) {
        self.known.lock().expect("no check has failed").insert(order, what);
    }

    async fn until_answered(&self, asked: &Ask) -> end_to_end::app::Reply {
        Patient::new(&self.app, ATTEMPTS_MAX).until_answered(asked).await
    }

    async fn take(&self, user: u64, order: u32) -> Option<()> {
        let before = self.known((user, order));
        let asked = take(user, &number(order), uses_of(user, order));
        let reply = weather::ask(&self.app, &asked).await?;
        let code = reply.text("code").unwrap_or_default();
        let mut report = self.report.lock().expect("no check has failed");
        match (reply.status, code.as_str(), before) {
            (201, _, Known::Nothing) => {
                report.taken += 1;
                self.learn((user, order), Known::Taken);
            }
            (201, _, Known::Taken) => assert_eq!(reply.json()["replayed"], true, "{reply:?}"),
            (201, _, Known::GivingBack) => {}
            (409, "given_back", Known::GivingBack | Known::GivenBack) => {}
            (409, "limit_used_up", Known::Nothing | Known::GivingBack) => report.refused += 1,
            _ => panic!("{user} {order} was {before:?}: {reply:?}"),
        }
        Some(())
    }

    async fn give_back(&self, user: u64, order: u32) -> Option<()> {
        if self.known((user, order)) != Known::GivenBack {
            self.learn((user, order), Known::GivingBack);
        }
        let reply = weather::ask(&self.app, &give_back(user, &number(order))).await?;
        assert_eq!(reply.text("state").as_deref(), Some("given_back"), "{reply:?}");
        self.learn((user, order), Known::GivenBack);
        self.report.lock().expect("no check has failed").given_back += 1;
        Some(())
    }

    /// One use more, for each user and for all.
    async fn raise(&self, which: usize) -> Option<()> {
        let (id, per_user, total) = {
            let mut limits = self.limits.lock().expect("no check has failed");
            let (_, per_user, total) = &mut limits[which];
            per_user.iter_mut().chain(total).for_each(|limit| *limit += 1);
            limits[which]
        };
        let reply = weather::ask(&self.app, &publish(id, per_user, total)).await?;
        let meanwhile = reply.text("code").as_deref() == Some("published_meanwhile");
        assert!(reply.status == 200 || meanwhile, "{reply:?}");
        Some(())
    }
}

fn publish(id: &str, per_user: Option<u32>, total: Option<u32>) -> Ask {
    let counted = if id == "units" { "by_unit" } else { "by_activity" };
    let total = total.map(|total| total.to_string());
    save(id, "", &limited(&json!({"per_user": per_user, "total": total, "counted": counted})))
}

async fn act(world: Arc<World>, user: u64, mut random: StdRng) {
    for _ in 0..STEPS {
        let order = random.random_range(0..ORDERS);
        let done = match random.random_range(0..20) {
            0..=10 => world.take(user, order).await,
            11..=14 => world.give_back(user, order).await,
            15 => world.raise(random.random_range(0..ACTIVITIES.len())).await,
            16 | 17 => weather::ask(&world.app, &sweep()).await.map(drop),
            _ => {
                let ms = [100, 1_000, 61_000].choose(&mut random).expect("there are some");
                world.app.advance_time(*ms);
                Some(())
            }
        };
        let mut report = world.report.lock().expect("no check has failed");
        *(if done.is_some() { &mut report.answered } else { &mut report.failed }) += 1;
        drop(report);
        world.check();
    }
}

/// Everything comes to rest; then orders, users and activities agree.
async fn settle(world: &World) {
    for _ in 0..SWEEPS {
        world.app.advance_time(LATE_MS);
        assert_eq!(world.until_answered(&sweep()).await.status, 200);
    }
    let books = world.check();
    assert_eq!(books.under_way, 0, "{books:?}");
    let (mut of_users, mut of_all) = (Fields::new(), Fields::new());
    for user in 1..=USERS {
        for order in 0..ORDERS {
            let asked = end_to_end::purchase::order(user, &number(order));
            let reply = world.until_answered(&asked).await;
            let state = reply.text("state").or_else(|| reply.text("code")).unwrap_or_default();
            match world.known((user, order)) {
                Known::Taken => assert_eq!(state, "taken", "{user} {order}"),
                Known::GivenBack => assert_eq!(state, "given_back", "{user} {order}"),
                Known::Nothing | Known::GivingBack => {}
            }
            if state != "taken" {
                assert!(["given_back", "unknown_order"].contains(&state.as_str()), "{reply:?}");
                continue;
            }
            for (id, unit, uses) in uses_of(user, order) {
                let (_, per_user, total) =
                    ACTIVITIES.iter().find(|one| one.0 == *id).expect("there is one");
                if per_user.is_some() {
                    let name = (user.to_string(), format!("{id}/{unit}"));
                    *of_users.entry(name).or_default() += i64::from(*uses);
                }
                if total.is_some() {
                    let name = ((*id).to_owned(), format!("n{unit}"));
                    *of_all.entry(name).or_default() += i64::from(*uses);
                }
            }
        }
    }
    let Books { of_users: mut users, of_all: mut all, .. } = books;
    users.retain(|_, count| *count != 0);
    all.retain(|_, count| *count != 0);
    assert_eq!((users, all), (of_users, of_all), "what is counted is what orders have");
}

fn run(place: &Place, seed: u64) -> Report {
    let client = redis::Client::open(place.address()).expect("an address");
    let mut connection = client.get_connection().expect("the server accepts connections");
    let flushed: redis::RedisResult<()> = redis::cmd("FLUSHALL").query(&mut connection);
    flushed.expect("the server runs commands");
    place.forget_scripts();
    let options = weather::options(place, seed, PARTITIONS);
    let simulated = simulate(options, move |app| async move {
        let world = Arc::new(World {
            app,
            connection: Mutex::new(connection),
            limits: Mutex::new(ACTIVITIES.to_vec()),
            known: Mutex::default(),
            report: Mutex::default(),
        });
        for (id, per_user, total) in ACTIVITIES {
            let reply = world.until_answered(&publish(id, per_user, total)).await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        let user = |user| act(Arc::clone(&world), user, StdRng::seed_from_u64(seed ^ (user << 40)));
        join_all((1..=USERS).map(user)).await;
        settle(&world).await;
        *world.report.lock().expect("no check has failed")
    });
    let simulated = simulated.unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
    let faults = simulated.trace.iter().filter(|call| call.fault.is_some()).count();
    Report { faults, ..simulated.result }
}

#[test]
fn orders_users_and_activities_agree_after_every_answer() {
    let seeds = seeds();
    let each = SCHEDULES / seeds.len() as u64;
    let schedule = |place: &Place, seed| {
        let _named = Named::test(seed);
        run(place, seed)
    };
    let reports: Vec<_> =
        seeds.into_iter().flat_map(|seed| run_all(seed, each, schedule)).collect();
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let counts = [
        ("taken", sum(|one| one.taken)),
        ("refused", sum(|one| one.refused)),
        ("given back", sum(|one| one.given_back)),
        ("answered", sum(|one| one.answered)),
        ("failed", sum(|one| one.failed)),
        ("faults", sum(|one| one.faults as u64)),
        ("checks", sum(|one| one.checks)),
    ];
    println!("{} schedules: {counts:?}", reports.len());
    assert!(counts.iter().all(|(_, count)| *count > 0), "all of it happened: {counts:?}");
}

#[test]
fn a_seed_repeats_its_schedule() {
    let place = Place::redis();
    let reports = [3, 3, 5].map(|seed| run(&place, seed));
    assert_eq!(reports[0], reports[1]);
    assert_ne!(reports[0], reports[2]);
}
