//! New users: paid orders by event, one or many at once, operators who mark many, and everybody who asks whether
//! users are new. A user whose payment was acknowledged is never new again for anybody; one for whom nobody
//! ever said so is new.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use end_to_end::app::{Ask, CLOUD_EVENTS, Reply, check, check_many, event, mark_paid, order_paid};
use end_to_end::patient::Patient;
use futures::future::BoxFuture;
use http::Method;
use rand::RngExt;
use serde_json::{Value, json};

use super::{Client, Entry, Function};
use crate::books::Books;
use crate::world::{Paid, Step, USERS, World};

/// How it joins.
pub const ENTRY: Entry = Entry {
    name: "new-user",
    actions: &[
        ("check", 4),
        ("check unknown", 1),
        ("check many", 3),
        ("paid", 3),
        ("paid batch", 1),
        ("mark", 2),
        ("mark run", 1),
        ("import", 1),
    ],
    later: &[],
    is_always_in_play: false,
    states: &[
        "new-user: new",
        "new-user: paid",
        "new-user: open",
        "new-user: unknown",
        "new-user: event",
        "new-user: batch",
        "new-user: marked",
        "new-user: run marked",
        "new-user: import declared",
    ],
    create: |_, _| Arc::new(NewUsers { was_declared: AtomicBool::new(false) }),
};

/// Users at the edges of what an id set keeps: the first and the last ids, those around 2^32, numbers of 18 digits
/// as they follow each other, and neighbours on both sides of the end of a chunk.
const EDGES: [u64; 14] = [
    0,
    6,
    7,
    u32::MAX as u64,
    1 << 32,
    (1 << 32) + 1,
    u64::MAX - 1,
    u64::MAX,
    999_999_999_999_999_999,
    652_024_209_997_893_633,
    652_024_209_997_893_632 + (1 << 22),
    CHUNK_USERS - 1,
    CHUNK_USERS,
    CHUNK_USERS + 1,
];
/// Places of a chunk of an id set, in four partitions.
const CHUNK_USERS: u64 = 4_032 * 4;
/// So many neighbours that their chunk becomes a bitmap, in each of four partitions.
const RUN: u64 = 800;
/// Of them, where nothing was said of any.
const FEW: usize = 8;
/// Where runs begin: across the end of a chunk, across 2^32, and at the end of all ids.
const RUNS: [u64; 3] = [CHUNK_USERS - 128, (1 << 32) - 390, u64::MAX - RUN + 1];
/// Of a batch.
const USERS_MAX: usize = 8;

struct NewUsers {
    /// Whether anybody ever tried to say that the import of those who paid earlier is complete.
    was_declared: AtomicBool,
}

impl Function for NewUsers {
    fn set_up(&self) -> Vec<Ask> {
        Vec::new()
    }

    fn client(self: Arc<Self>, _: u64) -> Box<dyn Client> {
        Box::new(Shop { new_users: self })
    }

    fn check(&self, _: &World, _: &Books) {}

    fn rest<'a>(&'a self, world: &'a World, asker: &'a mut Patient) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let neighbours = |user: &u64| [user.saturating_sub(1), *user, user.saturating_add(1)];
            let some: Vec<_> = USERS.iter().chain(&EDGES).flat_map(neighbours).collect();
            // Of a run of whom nobody has paid, a few show it.
            let is_paid = |first: u64| run(first).any(|user| world.paid(user).is_some());
            let shown = |first: u64| if is_paid(first) { RUN as usize } else { FEW };
            let runs = RUNS.iter().map(|first| run(*first).take(shown(*first)).collect());
            for users in runs.chain([some]) {
                let known: Vec<_> = users.iter().map(|user| world.paid(*user)).collect();
                let reply = asker.until_answered(&check_many(&users)).await;
                check_standings(world, &users, &known, &reply);
            }
            for user in USERS {
                let is_new = asker.until_answered(&check(user)).await.is_new();
                check_standing(world, user, world.paid(user), Some(is_new));
            }
        })
    }
}

fn run(first: u64) -> impl Iterator<Item = u64> {
    first..=first + (RUN - 1)
}

/// One answer against what was known before it was asked, if that was an acknowledgement, or after it.
fn check_standing(world: &World, user: u64, before: Option<Paid>, is_new: Option<bool>) {
    match (before, world.paid(user)) {
        (Some(Paid::Acknowledged), _) => {
            assert_eq!(is_new, Some(false), "user {user} has paid and is forgotten");
            world.saw("new-user: paid");
        }
        (_, None) => {
            assert_ne!(is_new, Some(false), "user {user} is new, and nobody said otherwise");
            world.saw("new-user: new");
        }
        // At any moment.
        _ => world.saw("new-user: open"),
    }
}

/// The answers are those of the users who were asked about, in their order, and each is right.
fn check_standings(world: &World, users: &[u64], before: &[Option<Paid>], reply: &Reply) {
    let standings = reply.are_new();
    let told: Vec<_> = standings.iter().map(|(user, _)| *user).collect();
    assert_eq!(told, users, "{reply:?}");
    for ((user, is_new), before) in standings.into_iter().zip(before) {
        check_standing(world, user, *before, Some(is_new));
    }
}

/// A client: it knows nothing that others do not.
struct Shop {
    new_users: Arc<NewUsers>,
}

impl Client for Shop {
    fn act<'a>(&'a mut self, action: &'static str, step: &'a mut Step) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            match action {
                "check" => ask_one(step).await,
                "check unknown" => self.ask_unknown(step).await,
                "check many" => ask_many(step).await,
                "paid" => {
                    let user = any_user(step);
                    say_paid(step, &[user], &order_paid(user), "event").await;
                }
                "paid batch" => {
                    let users = any_users(step);
                    let events: Value = users.iter().map(|user| event(*user)).collect();
                    let asked = Ask::post("/v1/events", events.to_string());
                    let asked = asked.header("content-type", CLOUD_EVENTS);
                    say_paid(step, &users, &asked, "batch").await;
                }
                "mark" => {
                    let users = any_users(step);
                    say_paid(step, &users, &mark_paid(&users), "marked").await;
                }
                "mark run" => {
                    let users: Vec<_> = run(step.one_of(&RUNS)).collect();
                    say_paid(step, &users, &mark_paid(&users), "run marked").await;
                }
                _ => self.declare_import(step).await,
            }
        })
    }
}

/// Mostly somebody whom others meet, too.
fn any_user(step: &mut Step) -> u64 {
    match step.random.random_range(0..8) {
        0..=2 => step.user(),
        3 => step.one_of(&RUNS) + step.random.random_range(0..RUN),
        _ => step.one_of(&EDGES),
    }
}

/// Some, and some of them more than once.
fn any_users(step: &mut Step) -> Vec<u64> {
    let count = step.random.random_range(1..=USERS_MAX);
    let mut users: Vec<_> = (0..count).map(|_| any_user(step)).collect();
    if step.random.random_bool(0.3) {
        users.push(users[0]);
    }
    users
}

async fn ask_one(step: &mut Step) {
    let user = any_user(step);
    let before = step.world.paid(user);
    if let Some(reply) = step.ask(&check(user)).await {
        check_standing(&step.world, user, before, Some(reply.is_new()));
    }
}

async fn ask_many(step: &mut Step) {
    let users = any_users(step);
    let before: Vec<_> = users.iter().map(|user| step.world.paid(*user)).collect();
    if let Some(reply) = step.ask(&check_many(&users)).await {
        check_standings(&step.world, &users, &before, &reply);
    }
}

/// Says that users have paid.
async fn say_paid(step: &mut Step, users: &[u64], asked: &Ask, state: &str) {
    users.iter().for_each(|user| step.world.try_paid(*user));
    if let Some(reply) = step.ask(asked).await {
        assert_eq!(reply.status, 204, "{reply:?}");
        users.iter().for_each(|user| step.world.acknowledge_paid(*user));
        step.world.saw(format!("new-user: {state}"));
    }
}

impl Shop {
    /// Whoever has no mark is not known, as long as the import may not be complete.
    async fn ask_unknown(&self, step: &mut Step) {
        let user = any_user(step);
        let before = step.world.paid(user);
        let asked = Ask::get(format!("/v1/users/{user}/new?unknown=ask"));
        let Some(reply) = step.ask(&asked).await else { return };
        assert_eq!(reply.status, 200, "{reply:?}");
        let is_new = reply.json()["new"].as_bool();
        check_standing(&step.world, user, before, is_new);
        let was_declared = self.new_users.was_declared.load(Ordering::Relaxed);
        assert!(was_declared || is_new != Some(true), "nobody said that all are known: {reply:?}");
        if is_new.is_none() {
            assert_eq!(reply.text("code").as_deref(), Some("import_incomplete"), "{reply:?}");
            step.world.saw("new-user: unknown");
        }
    }

    async fn declare_import(&self, step: &mut Step) {
        let complete = step.random.random_bool(0.7);
        if complete {
            self.new_users.was_declared.store(true, Ordering::Relaxed);
        }
        let body = json!({"complete": complete}).to_string();
        let asked = Ask::new(Method::PUT, "/v1/users/import").json(body).operator();
        let Some(reply) = step.ask(&asked).await else { return };
        assert_eq!((reply.status, reply.json()), (200, json!({"complete": complete})), "{reply:?}");
        step.world.saw("new-user: import declared");
    }
}
