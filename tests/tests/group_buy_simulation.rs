//! Group-buys in all weathers: clients who open groups, say how they ended and look at coupons, at once
//! and about the same users, under seeded order and faults. A group that has ended never changes again,
//! nobody has two chances, and each success is one coupon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use end_to_end::app::{Ask, Place, Reply, not_loaded};
use end_to_end::coupon::{Stock, list, look, publish, sweep, template};
use end_to_end::group_buy::{ended, open_for, put, set_up};
use end_to_end::seed::{Named, seeds};
use end_to_end::weather::{self, Patient, TIMEOUT_MS};
use futures::future::join_all;
use host::{App, Call, Options, Random, Schedule, simulate};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;

/// After this time whatever was late has happened.
const LATE_MS: u64 = 120_000;
/// Requests during which it does.
const LATE_LOOKS: u32 = 10;
const CLIENTS: u64 = 4;
const STEPS: u32 = 12;
const SCHEDULES: u64 = 120;
/// Attempts until an answer must be there.
const ATTEMPTS_MAX: u32 = 200;
/// They lie in two partitions of four.
const USERS: [u64; 3] = [1, 5, 2];
/// Only the second one gives chances back.
const CAMPAIGNS: [&str; 2] = ["once", "back"];
/// With how many seconds each lasts: one expires as soon as anything takes long.
const GROUPS: [(&str, u64); 3] = [("g0", 3_600), ("g1", 3_600), ("g2", 1)];

/// A user, a campaign and a group.
type Name = (u64, &'static str, &'static str);

/// What is known of a group by answers.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The latest state that was told.
    state: Option<String>,
    /// Whether it was acknowledged that it ended.
    ended: bool,
    /// Whether anybody ever said that it ended otherwise than with success.
    otherwise: bool,
    /// Whether it was acknowledged that it succeeded, before anybody said otherwise.
    succeeded_first: bool,
}

#[derive(Clone)]
struct World {
    app: App,
    known: Arc<Mutex<BTreeMap<Name, Known>>>,
}

impl World {
    fn with<R>(&self, name: Name, change: impl FnOnce(&mut Known) -> R) -> R {
        let mut known = self.known.lock().expect("nothing has failed");
        change(known.entry(name).or_default())
    }

    async fn until_answered(&self, asked: &Ask) -> Reply {
        Patient::new(&self.app, ATTEMPTS_MAX).until_answered(asked).await
    }

    /// Opens a group, or sees where it stands: never further back than it was known to be before.
    async fn open(&self, name: Name) -> Option<Reply> {
        let (user, campaign, group) = name;
        let seconds = GROUPS.iter().find(|(each, _)| *each == group).expect("it is one").1;
        let before = self.with(name, |known| known.clone());
        let reply = weather::ask(&self.app, &open_for(user, campaign, group, seconds)).await?;
        if reply.status != 201 {
            let code = reply.text("code").unwrap_or_default();
            assert!(["chance_used", "disabled"].contains(&code.as_str()), "{name:?}: {reply:?}");
            assert_eq!(before.state, None, "{name:?} is forgotten: {reply:?}");
            return Some(reply);
        }
        let state = reply.text("state").expect("a state");
        match before.state.as_deref() {
            None | Some("open") => {
                assert!(!before.ended || state != "open", "{name:?}: {before:?}")
            }
            Some("succeeded") => {
                assert!(["succeeded", "rewarded"].contains(&state.as_str()), "{name:?}: {state}");
            }
            Some(ended) => assert_eq!(state, ended, "{name:?}"),
        }
        self.with(name, |known| {
            // Another client may have been told more in the meantime.
            if known.state.as_deref().is_none_or(|state| state == "open") {
                known.state = Some(state);
            }
        });
        Some(reply)
    }

    /// Says how a group ended.
    async fn end(&self, name: Name, how: &str) {
        let (user, campaign, group) = name;
        if how != "succeeded" {
            self.with(name, |known| known.otherwise = true);
        }
        let opened = self.with(name, |known| known.state.is_some());
        let Some(reply) = weather::ask(&self.app, &ended(how, user, campaign, group)).await else {
            return;
        };
        match reply.status {
            204 => self.with(name, |known| {
                known.ended = true;
                known.succeeded_first |= how == "succeeded" && !known.otherwise;
            }),
            _ => {
                assert_eq!(reply.text("code").as_deref(), Some("unknown_group"), "{reply:?}");
                assert!(!opened, "{name:?} is forgotten");
            }
        }
    }
}

async fn act(world: World, mut random: StdRng) {
    for _ in 0..STEPS {
        let (group, _) = *GROUPS.choose(&mut random).expect("there are some");
        let user = *USERS.choose(&mut random).expect("there are some");
        let name = (user, *CAMPAIGNS.choose(&mut random).expect("there are some"), group);
        match random.random_range(0..10) {
            0..=3 => drop(world.open(name).await),
            4..=5 => world.end(name, "succeeded").await,
            6 => world.end(name, "failed").await,
            7 => world.end(name, "expired").await,
            8 => drop(weather::ask(&world.app, &list(user)).await),
            _ => drop(weather::ask(&world.app, &sweep()).await),
        }
    }
}

/// Everything comes to rest, and agrees. How many rewards were given.
async fn settle(world: &World) -> usize {
    world.app.advance_time(LATE_MS);
    for campaign in CAMPAIGNS {
        let off = json!({"template": "t", "give_back": campaign == "back", "enabled": false});
        world.until_answered(&put(campaign, &off)).await;
    }
    for _ in 0..LATE_LOOKS {
        assert_eq!(world.until_answered(&sweep()).await.status, 200);
    }
    let mut given = 0;
    for user in USERS {
        let mut rewards = BTreeSet::new();
        for campaign in CAMPAIGNS {
            let (mut opened, mut rewarded) = (0, 0);
            for (group, seconds) in GROUPS {
                let name = (user, campaign, group);
                let reply = loop {
                    if let Some(reply) = world.open(name).await {
                        break reply;
                    }
                };
                let state = reply.text("state").unwrap_or_default();
                assert_ne!(state, "succeeded", "{name:?} is not rewarded");
                opened += u32::from(reply.status == 201);
                if state == "rewarded" {
                    rewarded += 1;
                    rewards.insert(format!("group:{campaign}:{group}"));
                }
                let known = world.with(name, |known| known.clone());
                let must = known.succeeded_first && seconds > LATE_MS / 1_000;
                assert!(!must || state == "rewarded", "{name:?} {state}: {known:?}");
            }
            assert!(rewarded <= 1, "{user} {campaign}: {rewarded} rewards");
            assert!(opened <= 1 || campaign == "back", "{user} {campaign}: {opened} groups");
        }
        let page = world.until_answered(&list(user)).await.json();
        let coupons = page["coupons"].as_array().expect("a list").iter();
        let coupons: Vec<_> = coupons.map(|each| each["coupon"].as_str().expect("an id")).collect();
        assert_eq!(coupons.len(), rewards.len(), "{user}: {coupons:?} for {rewards:?}");
        assert!(coupons.iter().all(|each| rewards.contains(*each)), "{user}: {coupons:?}");
        given += rewards.len();
    }
    let stock = Stock::of(&world.until_answered(&look("t")).await);
    assert_eq!((stock.issued, stock.reserved), (given as i64, 0), "{stock:?}");
    given
}

async fn play(app: App, seed: u64) -> usize {
    let world = World { app, known: Arc::default() };
    let mut body = template(100);
    body["limit_per_user"] = json!(10);
    world.until_answered(&publish("t", &body)).await;
    for campaign in CAMPAIGNS {
        let reply = world.until_answered(&set_up(campaign, "t", campaign == "back")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let client = |number: u64| act(world.clone(), StdRng::seed_from_u64(seed ^ (number << 32)));
    join_all((0..CLIENTS).map(client)).await;
    settle(&world).await
}

fn options(place: &Place, seed: u64) -> Options {
    let mut options = place
        .options()
        .variable("partitions", "4")
        .variable("store_timeout_ms", TIMEOUT_MS.to_string())
        .variable("stage", format!("s{:x}", seed & 0xffff_ffff));
    options.schedule = Schedule::Seeded(seed);
    options.random = Random::Seeded(seed);
    let calls = vec![Call::RedisOpen, Call::RedisExecute, Call::KeyValueGet, Call::CasSwap];
    options.faults = weather::faults(seed, calls);
    options
}

#[test]
fn nobody_has_two_chances_and_each_success_is_one_coupon() {
    let redis = Place::redis();
    let (mut given, mut faults) = (0, 0);
    for first in seeds() {
        for seed in (first..).take(SCHEDULES as usize / 2) {
            for place in [&Place::Kv, &redis] {
                let _named = Named::test(seed);
                let simulated = simulate(options(place, seed), move |app| play(app, seed));
                let simulated = simulated.unwrap_or_else(|error| panic!("{}", not_loaded(&error)));
                faults += simulated.trace.iter().filter(|call| call.fault.is_some()).count();
                given += simulated.result;
            }
        }
    }
    println!("{given} rewards, {faults} faults");
    assert!(given > 0 && faults > 0, "both happened");
}
